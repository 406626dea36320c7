"""Vectors of new items: by hand, by other ways to the same optimum, and the edges of each function."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import nn

from recsys_lite.cold_items import DroppedIds, content_edges, fold_in, ridge_map, with_edges
from recsys_lite.content import vector_features
from recsys_lite.examples import Queries
from recsys_lite.factorization import ImplicitALS
from recsys_lite.graphs import LightGCN, normalised_adjacency
from recsys_lite.interactions import Interactions


def some_features(n=12, f=5, seed=0):
    return vector_features(np.random.default_rng(seed).normal(size=(n, f)))


def test_ridge_map_by_hand():
    # one feature: warm e = 1, 3 with y = 2, 4; centred (-1, 1) and (-1, 1), so W = 2 / (2 + lambda) = 1/2 at lambda 2
    # and m = 3 + (e - 2) / 2: 2.5, 3.5, and for the new item with e = 6 it is 5; y of the new one is not looked at
    mapped = ridge_map(vector_features(np.array([[1.0], [3.0], [6.0]])), np.array([[2.0], [4.0], [99.0]]), [0, 1], 2.0)
    np.testing.assert_allclose(mapped.ravel(), [2.5, 3.5, 5.0])


@pytest.mark.parametrize("n_features", [3, 40])
def test_ridge_map_is_the_least_squares_solution_with_rows_of_root_lambda(n_features):
    features, random = some_features(15, n_features), np.random.default_rng(1)
    vectors, warm = random.normal(size=(15, 4)), np.arange(2, 11)
    e = features.matrix.toarray().astype(float)
    e -= e[warm].mean(axis=0)
    design = np.vstack([e[warm], np.sqrt(0.7) * np.eye(n_features)])
    target = np.vstack([vectors[warm] - vectors[warm].mean(axis=0), np.zeros((n_features, 4))])
    weights = np.linalg.lstsq(design, target)[0]
    expected = e @ weights + vectors[warm].mean(axis=0)
    np.testing.assert_allclose(ridge_map(features, vectors, warm, 0.7), expected, atol=1e-5)


def test_content_edges_by_hand():
    # warm 0, 1, 2; cosines of item 3 = (1, 1): with (1, 0) and (0, 1) 1/sqrt 2 each, with (-1, 0) below 0: no edge
    features = vector_features(np.array([[1, 0], [0, 1], [-1, 0], [1, 1], [0, 0], [-2, -2]]))
    expected = np.zeros((6, 6))
    expected[3, :2] = 0.5
    expected[5, 2] = 1.0  # the second nearest is on the other side: no edge
    np.testing.assert_allclose(content_edges(features, [0, 1, 2], 2).toarray(), expected, atol=1e-7)


def test_content_edges_lead_from_the_k_most_alike_warm_items_and_never_from_oneself():
    features, warm = some_features(30, 6), np.arange(20)
    edges = content_edges(features, warm, 3).toarray()
    e = features.normalised().matrix.toarray()
    cosine = e @ e[warm].T
    cosine[warm, warm] = -np.inf
    for row in range(30):
        nearest = np.argsort(-cosine[row])[:3]
        nearest = nearest[cosine[row, nearest] > 0]
        assert set(np.flatnonzero(edges[row])) == set(warm[nearest])
        np.testing.assert_allclose(edges[row, warm[nearest]], cosine[row, nearest] / cosine[row, nearest].sum(), rtol=1e-5)


def test_vectors_sent_along_content_edges_score_as_scores_sent_along_them():
    edges, random = content_edges(some_features(30, 6), np.arange(20), 4), np.random.default_rng(2)
    x, y = random.normal(size=(7, 3)), random.normal(size=(30, 3))
    np.testing.assert_allclose(x @ (edges @ y).T, (edges @ (x @ y.T).T).T, atol=1e-9)


def test_fold_in_by_hand():
    # two users x = 1 and 2, lambda = 1, the item has met the second
    events, users = sp.csr_matrix([[0.0, 1.0]]), np.array([[1.0], [2.0]])
    assert fold_in(events, users, 1.0) == pytest.approx(np.array([[2 / 6]]))  # (1 + 4 + 1) y = 2
    assert fold_in(events, users, 1.0, unmet=0.0) == pytest.approx(np.array([[2 / 5]]))  # (4 + 1) y = 2
    assert fold_in(events, users, 1.0, np.array([[3.0]]), 0.5) == pytest.approx(np.array([[5 / 5.5]]))  # (.5 + 4 + 1) y = 5


def random_events(n_users=20, n_items=15, seed=0):
    users, items = np.nonzero(np.random.default_rng(seed).random((n_users, n_items)) < 0.3)
    return Interactions(users, items, n_users, n_items)


@pytest.mark.parametrize("unmet", [0.0, 0.3, 1.0])
def test_fold_in_minimises_its_objective(unmet):
    events, random = random_events().matrix().T.tocsr(), np.random.default_rng(3)
    users, prior = random.normal(size=(20, 4)), random.normal(size=(15, 4))
    y = torch.tensor(fold_in(events, users, 0.5, prior, unmet), dtype=torch.float64, requires_grad=True)
    met, scores = torch.tensor(events.toarray()), y @ torch.tensor(users).T
    loss = (met * (1 - scores) ** 2 + unmet * (1 - met) * scores**2).sum() + 0.5 * ((y - torch.tensor(prior)) ** 2).sum()
    assert torch.autograd.grad(loss, y)[0].abs().max() < 1e-4


def test_fold_in_is_the_item_half_step_of_als_and_leaves_its_fixed_point():
    events = random_events()
    als = ImplicitALS(4, 0.0, 2.0, n_iterations=300).fit(events)
    users = als.user_vectors(Queries(torch.arange(20), torch.from_numpy(events.history(np.arange(20)))))
    np.testing.assert_allclose(fold_in(events.matrix().T.tocsr(), users, 2.0), als.items, atol=1e-4)


def test_without_events_and_with_unmet_0_the_prior_stays():
    users, prior = np.random.default_rng(0).normal(size=(9, 3)), np.arange(6.0).reshape(2, 3)
    np.testing.assert_allclose(fold_in(sp.csr_matrix((2, 9)), users, 2.0, prior, 0.0), prior, atol=1e-6)
    assert np.abs(fold_in(sp.csr_matrix((2, 9)), users, 2.0)).max() == 0


def test_an_event_met_twice_counts_once():
    users = np.random.default_rng(0).normal(size=(9, 3))
    once = sp.csr_matrix(np.eye(9)[:2])
    np.testing.assert_array_equal(fold_in(once, users, 1.0), fold_in(2 * once, users, 1.0))


def old_and_new(n_items=6):
    """A graph in which the last item has no edge, and the same with one edge to user 0."""
    users, items = np.nonzero(np.random.default_rng(1).random((5, n_items - 1)) < 0.6)
    old = Interactions(users, items, 5, n_items)
    return old, old + Interactions(np.array([0]), np.array([n_items - 1]), 5, n_items)


def test_with_edges_by_hand():
    # one user and two items; the first edge of item 1 makes the user's degree 2 and the item's 1
    old, new = Interactions([0], [0], 1, 2), Interactions([0, 0], [0, 1], 1, 2)
    model = LightGCN(normalised_adjacency(old), 1, 1, 1, (0.0, 1.0))
    model.start.weight.data = torch.tensor([[3.0], [5.0], [7.0]])
    grown = with_edges(model, new)
    np.testing.assert_allclose(grown.start.weight.detach(), [[3], [5], [0]])
    np.testing.assert_allclose(grown.item_vectors(), np.array([[3], [3]]) / np.sqrt(2), rtol=1e-6)
    np.testing.assert_allclose(with_edges(model, new, [[9], [9]]).start.weight.detach(), [[3], [5], [9]])


def test_with_edges_keeps_what_was_learned_and_leaves_the_model_alone():
    old, new = old_and_new()
    model = LightGCN(normalised_adjacency(old), 5, 4, 2, (0.5, 0.3, 0.2))
    before = model.start.weight.detach().clone()
    assert abs(model.item_vectors()[-1]).max() > 0  # what was never trained
    grown = with_edges(model, old)
    assert abs(grown.item_vectors()[-1]).max() == 0
    np.testing.assert_allclose(grown.item_vectors()[:-1], model.item_vectors()[:-1], atol=1e-6)
    assert grown.layer_weights == [0.5, 0.3, 0.2]
    assert abs(with_edges(model, new).item_vectors()[-1]).max() > 0
    assert torch.equal(model.start.weight, before)


def test_dropped_ids_are_whole_or_absent_and_absent_for_good_without_events():
    ids = DroppedIds(np.array([3, 0, 1, 0] * 250), 4, dropout=0.3)
    rows = torch.arange(1000)
    torch.manual_seed(0)
    trained = ids(rows).detach()
    present = (trained != 0).any(dim=1)
    assert torch.equal(trained[present], ids.items.weight.detach()[present])
    assert 0.65 < present.float().mean() < 0.75
    assert not torch.equal(present, (ids(rows) != 0).any(dim=1))
    ids.eval()
    served = (ids(rows) != 0).any(dim=1)
    assert torch.equal(served, torch.tensor([True, False, True, False] * 250))
    assert isinstance(ids, nn.Module) and ids.n_items == 1000


F, Y = some_features(), np.zeros((12, 2))
OLD, NEW = old_and_new()
GCN = LightGCN(normalised_adjacency(OLD), 5, 4, 1)


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: ridge_map(F, Y, [0, 1], 0.0), "regularization must be positive; got 0.0"),
        (lambda: ridge_map(F, Y[:5], [0, 1], 1.0), r"vectors must be \(n_items, d\) with n_items = 12; got \(5, 2\)"),
        (lambda: ridge_map(F, Y, [], 1.0), "warm must name the items whose vectors were trained; got none"),
        (lambda: ridge_map(F, Y, [12], 1.0), r"warm must be indices in \[0, 12\)"),
        (lambda: content_edges(F, [0, 1, 2], 3), r"k must be in \[1, 2\], below the number of warm items; got 3"),
        (lambda: content_edges(F, [0, 1, 2], 0), "k must be in"),
        (lambda: fold_in(sp.csr_matrix((2, 9)), Y, 1.0), "events must have a column a user, 12; got 9. Transpose it?"),
        (lambda: fold_in(sp.csr_matrix((2, 12)), Y, 0.0), "regularization must be positive; got 0.0"),
        (lambda: fold_in(sp.csr_matrix((2, 12)), Y, 1.0, unmet=1.1), r"unmet must be a weight in \[0, 1\]; got 1.1"),
        (lambda: fold_in(sp.csr_matrix((2, 12)), Y, 1.0, Y), r"prior must be \(2, 2\), a row a row of events; got \(12, 2\)"),
        (lambda: with_edges(GCN, random_events()), "events must be among the model's 5 users and 6 items; got"),
        (lambda: with_edges(GCN, NEW, Y), r"starts must be \(n_items, dim\) = \(6, 4\); got \(12, 2\)"),
        (lambda: DroppedIds(np.ones(3), 2, 1.0), r"dropout must be a share in \[0, 1\); got 1.0"),
    ],
)
def test_errors_name_the_argument_and_the_remedy(build, message):
    with pytest.raises(ValueError, match=message):
        build()
