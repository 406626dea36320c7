"""Graphs: hand-derived weights and layers, the identities that tie them to what is already there, the gradient, errors."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from recsys_lite import graphs
from recsys_lite.examples import Queries
from recsys_lite.factorization import MatrixFactorization
from recsys_lite.graphs import (
    NGCF,
    LightGCN,
    adjacency,
    normalised_adjacency,
    propagate,
)
from recsys_lite.interactions import Interactions

# user 0 likes items 0 and 1, user 1 likes item 1 (twice); user 2 and item 2 have no edge
EVENTS = Interactions([0, 0, 1, 1], [0, 1, 1, 1], 3, 3, times=[0, 1, 2, 3])
GRAPH = normalised_adjacency(EVENTS)
R = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 0]], dtype=float)


def random_events(n_users=9, n_items=7, seed=0):
    users, items = np.nonzero(np.random.default_rng(seed).random((n_users, n_items)) < 0.4)
    return Interactions(users, items, n_users, n_items)


def everyone(n_users):
    return Queries(torch.arange(n_users))


def set_start(model, values):
    with torch.no_grad():
        model.start.weight.copy_(torch.as_tensor(values, dtype=torch.float32))
    return model


def test_adjacency_has_r_above_and_its_transpose_below_and_an_edge_once():
    edges = adjacency(EVENTS)
    np.testing.assert_array_equal(edges.toarray(), np.block([[np.zeros((3, 3)), R], [R.T, np.zeros((3, 3))]]))
    assert edges.dtype == np.float32 and edges.format == "csr"


def test_an_edge_weighs_one_over_the_root_of_both_degrees():
    # degrees: users 2, 1, 0; items 1, 2, 0
    weights = np.array(
        [
            [1 / np.sqrt(2 * 1), 1 / np.sqrt(2 * 2), 0],
            [0, 1 / np.sqrt(1 * 2), 0],
            [0, 0, 0],
        ]
    )
    matrix = normalised_adjacency(EVENTS)
    np.testing.assert_allclose(matrix[:3, 3:].toarray(), weights, rtol=1e-6)
    np.testing.assert_array_equal(matrix.toarray(), matrix.T.toarray())
    assert matrix.dtype == np.float32 and matrix[2].nnz == matrix[5].nnz == 0


def test_eigenvalues_are_symmetric_about_zero_and_the_largest_is_one_with_the_root_of_degrees():
    events = random_events()
    values, vectors = np.linalg.eigh(normalised_adjacency(events).toarray().astype(float))
    np.testing.assert_allclose(values, -values[::-1], atol=1e-6)
    assert values[-1] == pytest.approx(1, abs=1e-6)
    roots = np.sqrt(adjacency(events).toarray().sum(axis=1))
    np.testing.assert_allclose(np.abs(vectors[:, -1]), roots / np.linalg.norm(roots), atol=1e-5)


def test_propagate_is_a_product_with_the_gradient_of_a_product():
    matrix = normalised_adjacency(random_events()).astype(np.float64)
    x = torch.randn(
        16,
        3,
        dtype=torch.float64,
        generator=torch.Generator().manual_seed(0),
        requires_grad=True,
    )
    torch.testing.assert_close(propagate(matrix, x), torch.from_numpy(matrix.toarray()) @ x)
    assert torch.autograd.gradcheck(lambda x: propagate(matrix, x), x)
    assert torch.autograd.gradcheck(lambda x: propagate(matrix, torch.tanh(propagate(matrix, x))), x)


def test_propagate_to_some_nodes_gives_their_rows_and_the_gradient_of_these():
    matrix = normalised_adjacency(random_events()).astype(np.float64)
    x = torch.randn(16, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    nodes = torch.tensor([15, 2, 2, 0])
    torch.testing.assert_close(propagate(matrix, x, nodes), torch.from_numpy(matrix.toarray())[nodes] @ x)
    assert torch.autograd.gradcheck(lambda x: torch.tanh(propagate(matrix, propagate(matrix, x), nodes)), x)


def test_propagate_takes_what_is_given_a_graph_without_edges_columns_and_other_types():
    empty = sp.csr_matrix((4, 4), dtype=np.float32)
    assert torch.equal(propagate(empty, torch.ones(4, 2)), torch.zeros(4, 2))
    matrix, x = normalised_adjacency(random_events()), torch.arange(48.0).view(3, 16).T
    expected = torch.from_numpy(matrix.toarray()) @ x
    torch.testing.assert_close(propagate(matrix, x), expected)
    torch.testing.assert_close(propagate(matrix, x.double()), expected.double(), rtol=1e-6, atol=1e-6)
    wide = sp.csr_matrix((matrix.data, matrix.indices.astype(np.int64), matrix.indptr.astype(np.int64)), matrix.shape)
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    torch.testing.assert_close(propagate(wide, x), expected)


@pytest.mark.parametrize("build", [LightGCN, NGCF])
@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_wanted_nodes_are_the_rows_of_all_and_have_their_gradients(build, n_layers):
    model, wanted = build(normalised_adjacency(random_events()), 9, 3, n_layers), torch.tensor([12, 3, 3, 0, 15])
    torch.testing.assert_close(model.nodes(wanted), model.nodes()[wanted])
    weights = torch.randn(model.nodes(wanted).shape, generator=torch.Generator().manual_seed(1))
    few, all_ = (torch.autograd.grad((weights * of).sum(), list(model.parameters())) for of in (model.nodes(wanted), model.nodes()[wanted]))
    torch.testing.assert_close(few, all_)
    assert all(gradient.any() for gradient in few)


def test_a_training_step_multiplies_only_the_rows_of_its_batch_in_the_last_layer(monkeypatch):
    model, sizes, times = LightGCN(normalised_adjacency(random_events()), 9, 3, 3), [], graphs._times
    monkeypatch.setattr(graphs, "_times", lambda matrix, x: sizes.append(matrix.shape[0]) or times(matrix, x))
    model(Queries(torch.tensor([4, 0, 4, 4])), torch.tensor([6, 1]))
    assert sizes == [16, 16, 4]  # users 0 and 4, items 1 and 6


def test_the_gradient_by_the_start_is_that_of_dense_autograd():
    matrix = normalised_adjacency(random_events())
    model = LightGCN(matrix, 9, dim=3, n_layers=3, layer_weights=(0.4, 0.3, 0.2, 0.1))
    (gradient,) = torch.autograd.grad((model.nodes() ** 2).sum(), model.start.weight)
    start = model.start.weight.detach().clone().requires_grad_()
    dense = torch.from_numpy(matrix.toarray())
    nodes = sum(w * torch.linalg.matrix_power(dense, k) @ start for k, w in enumerate((0.4, 0.3, 0.2, 0.1)))
    torch.testing.assert_close(gradient, torch.autograd.grad((nodes**2).sum(), start)[0], rtol=1e-4, atol=1e-6)


def test_lightgcn_by_hand():
    # start 1 a node: one step gives user 0: 1/sqrt 2 + 1/2, user 1: 1/sqrt 2, item 0: 1/sqrt 2, item 1: 1/2 + 1/sqrt 2
    model = set_start(LightGCN(normalised_adjacency(EVENTS), 3, dim=1, n_layers=1), np.ones((6, 1)))
    a, b = 1 / np.sqrt(2), 1 / 2
    expected = (1 + np.array([a + b, a, 0, a, b + a, 0])) / 2
    np.testing.assert_allclose(model.nodes().detach()[:, 0], expected, rtol=1e-6)
    np.testing.assert_allclose(model.score_items(everyone(3)), np.outer(expected[:3], expected[3:]), rtol=1e-6)


def test_layer_weights_choose_the_layers():
    matrix = normalised_adjacency(random_events())
    start, dense = (
        LightGCN(matrix, 9, dim=2).start.weight.detach().numpy(),
        matrix.toarray(),
    )
    mean = (start + dense @ start + dense @ dense @ start) / 3
    np.testing.assert_allclose(LightGCN(matrix, 9, 2, 2).nodes().detach(), mean, atol=1e-6)
    last = LightGCN(matrix, 9, 2, 2, layer_weights=(0, 0, 1.0))
    np.testing.assert_allclose(last.nodes().detach(), dense @ dense @ start, atol=1e-6)


def test_without_layers_it_is_matrix_factorization():
    mf = MatrixFactorization(9, 7, 4)
    model = LightGCN(normalised_adjacency(random_events()), 9, 4, n_layers=0)
    set_start(model, torch.cat([mf.users.weight, mf.items.weight]).detach())
    np.testing.assert_allclose(model.score_items(everyone(9)), mf.score_items(everyone(9)), rtol=1e-6)


def test_ngcf_by_hand():
    # one layer, dim 1, W1 = 2, W2 = -3, start 1: of_sum is 2 (around + 1), of_product -3 around, so 2 - around
    model = set_start(NGCF(normalised_adjacency(EVENTS), 3, dim=1, n_layers=1), np.ones((6, 1)))
    with torch.no_grad():
        model.sums[0].weight.fill_(2.0), model.products[0].weight.fill_(-3.0)
    a, b = 1 / np.sqrt(2), 1 / 2
    around = np.array([a + b, a, 0, a, b + a, 0])
    np.testing.assert_allclose(
        model.nodes().detach().numpy(),
        np.stack([np.ones(6), 2 - around], axis=1),
        rtol=1e-6,
    )
    with torch.no_grad():
        model.products[0].weight.fill_(-30.0)  # 2 - 28 around, times 0.2 where negative
    before = 2 + 2 * around - 30 * around
    np.testing.assert_allclose(
        model.nodes().detach()[:, 1],
        np.where(before < 0, 0.2 * before, before),
        rtol=1e-5,
    )


def test_ngcf_concatenates_all_layers_and_each_has_its_own_weights():
    model = NGCF(normalised_adjacency(random_events()), 9, dim=4, n_layers=3)
    assert model.nodes().shape == (16, 16)
    weights = [layer.weight for layer in [*model.sums, *model.products]]
    assert len(weights) == 6 and not any(torch.equal(one, weights[0]) for one in weights[1:])


def test_ngcf_feeds_each_layer_with_the_one_before():
    model = NGCF(GRAPH, 3, dim=2, n_layers=2)
    first, second, third = model.nodes().detach().split(2, dim=1)
    around = torch.from_numpy(GRAPH.toarray()) @ second
    expected = model.sums[1](around + second) + model.products[1](around * second)
    torch.testing.assert_close(third, torch.where(expected < 0, 0.2 * expected, expected).detach())
    assert torch.equal(first, model.start.weight.detach()) and not torch.equal(first, second)


@pytest.mark.parametrize("build", [LightGCN, NGCF])
def test_forward_is_both_encoders_from_one_propagation(build, monkeypatch):
    model = build(normalised_adjacency(random_events()), 9, dim=3, n_layers=2)
    users, items = Queries(torch.tensor([4, 0, 4])), torch.tensor([6, 1])
    expected = model.encode_users(users), model.encode_items(items)
    calls = []
    nodes = model.nodes
    monkeypatch.setattr(model, "nodes", lambda wanted: calls.append(1) or nodes(wanted))
    for one, other in zip(model(users, items), expected):
        torch.testing.assert_close(one, other)
    assert len(calls) == 1


@pytest.mark.parametrize("build", [LightGCN, NGCF])
def test_the_seed_decides_and_torchs_generator_is_left_alone(build):
    matrix, state = normalised_adjacency(EVENTS), torch.get_rng_state()
    one, same, other = (build(matrix, 3, dim=2, seed=seed).nodes() for seed in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    "build, message",
    [
        (
            lambda: LightGCN(GRAPH[:3], 3),
            r"matrix must be square and symmetric, .*got shape \(3, 6\)",
        ),
        (
            lambda: NGCF(sp.diags([1.0] * 5, 1).tocsr(), 3),
            "matrix must be square and symmetric",
        ),
        (
            lambda: LightGCN(GRAPH, 6),
            r"n_users must be in \(0, 6\), the nodes of the graph; got 6",
        ),
        (lambda: LightGCN(GRAPH, 0), r"n_users must be in \(0, 6\)"),
        (
            lambda: LightGCN(GRAPH, 3, n_layers=-1),
            "n_layers must not be negative; got -1",
        ),
        (
            lambda: LightGCN(GRAPH, 3, layer_weights=(1.0,)),
            r"layer_weights must be n_layers \+ 1 = 4 numbers.*got 1",
        ),
        (lambda: NGCF(GRAPH, 3, n_layers=0), "n_layers must be at least 1; got 0"),
        (lambda: LightGCN(GRAPH, 3, dim=0), "dim must be at least 1; got 0"),
    ],
)
def test_errors_name_the_argument_and_the_remedy(build, message):
    with pytest.raises(ValueError, match=message):
        build()
