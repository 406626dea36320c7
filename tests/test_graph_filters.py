"""Closed forms on the graph: paths counted one by one, numpy's own SVD, and the filter of GF-CF that they make up."""

import itertools
import warnings

import numpy as np
import pytest
import torch

from recsys_lite import graphs, synthetic
from recsys_lite.evaluation import recommend
from recsys_lite.examples import Queries
from recsys_lite.graph_filters import LowPass, PathFilter, WeightedSum, spectral_start, spectrum
from recsys_lite.interactions import Interactions
from recsys_lite.linear import GraphFilter

# user 0 likes items 0 and 1, user 1 likes items 1 and 2, user 2 item 1; user 3 and item 3 have no event
EVENTS = Interactions([0, 0, 1, 1, 2], [0, 1, 1, 2, 1], 4, 4)
EXPONENTS = (0.5, 0.8, 0.35)


def random_events(n_users=11, n_items=8, seed=0):
    """Without repeats; the last user and the last item have none."""
    has = np.random.default_rng(seed).random((n_users, n_items)) < 0.4
    has[-1], has[:, -1] = False, False
    return Interactions(*np.nonzero(has), n_users, n_items)


def everyone(events):
    users = np.arange(events.n_users)
    return Queries(torch.tensor(users), torch.tensor(events.history(users)))


def dense_normalised(events):
    matrix = events.matrix().toarray().astype(float)
    of_users, of_items = (np.maximum(matrix.sum(axis=axis), 1) for axis in (1, 0))
    return matrix / np.sqrt(of_users[:, None] * of_items)


def brute_force(events, *steps):
    """Every path user - item - fan - item - ... - item walked by itself, its weight multiplied up on the way."""
    pairs = set(zip(events.users.tolist(), events.items.tolist()))
    degree_u, degree_i = events.user_counts().astype(float), events.item_counts().astype(float)
    scores = np.zeros((events.n_users, events.n_items))
    for user in range(events.n_users):
        ways = [(item, 1.0) for item in range(events.n_items) if (user, item) in pairs]
        for b, c, d in steps:
            ways = [
                (there, weight * degree_i[here] ** -b * degree_u[fan] ** -c * degree_i[there] ** -d)
                for (here, weight), fan, there in itertools.product(ways, range(events.n_users), range(events.n_items))
                if (fan, here) in pairs and (fan, there) in pairs
            ]
        for item, weight in ways:
            scores[user, item] += weight
    return scores


# paths


def test_weights_of_a_path_by_hand():
    # from user 0 to item 2: only 0 - item 1 - user 1 - item 2; degrees 3, 2, 1: weight 3^-b 2^-c 1^-d
    scores = PathFilter((0.5, 2.0, 0.7)).fit(EVENTS).score_items(everyone(EVENTS))
    assert scores[0, 2] == pytest.approx(3**-0.5 * 2**-2)
    # from user 2 to item 0: item 1, user 0, item 0: again; and to item 1 over its three fans of degrees 2, 2, 1
    assert scores[2, 0] == pytest.approx(3**-0.5 * 2**-2)
    assert scores[2, 1] == pytest.approx(3**-0.5 * (2**-2 + 2**-2 + 1) * 3**-0.7)


def test_without_exponents_it_counts_paths():
    scores = PathFilter((0, 0, 0)).fit(EVENTS).score_items(everyone(EVENTS))
    # user 0: to item 0 over 0-0 and 1-0; to item 1 over user 0 twice (from 0 and from 1), users 1 and 2; to item 2 over 1
    assert scores.tolist() == [[2, 4, 1, 0], [1, 4, 2, 0], [1, 3, 1, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize("steps", [[EXPONENTS], [EXPONENTS, (0.5, 1.0, 0.5)], [(0.2, 0.4, 0.6), EXPONENTS, (1, 0, 0)]], ids=len)
def test_scores_are_sums_over_all_paths(steps):
    events = random_events()
    scores = PathFilter(*steps).fit(events).score_items(everyone(events))
    np.testing.assert_allclose(scores, brute_force(events, *steps), rtol=2e-6, atol=1e-7)
    assert scores.dtype == np.float32 and scores.flags.c_contiguous


def test_with_halves_one_step_is_two_edges_of_the_normalised_graph():
    events = random_events()
    normalised = dense_normalised(events)
    expected = events.matrix().toarray() @ normalised.T @ normalised
    for n_steps in (1, 2):
        scores = PathFilter(*[(0.5, 1.0, 0.5)] * n_steps).fit(events).score_items(everyone(events))
        np.testing.assert_allclose(scores, expected, rtol=2e-6, atol=1e-7)
        expected = expected @ normalised.T @ normalised


def test_who_has_no_events_gets_zeros_and_an_item_without_any_is_never_reached():
    events = random_events()
    for model in (PathFilter(EXPONENTS), PathFilter(EXPONENTS, EXPONENTS), LowPass(3)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            scores = model.fit(events).score_items(everyone(events))
        assert np.isfinite(scores).all()
        np.testing.assert_allclose(scores[-1], 0)
        np.testing.assert_allclose(scores[:, -1], 0, atol=1e-6)


def test_a_user_who_came_later_is_scored_by_the_history():
    events = random_events()
    queries = Queries(torch.tensor([999]), torch.tensor([[8, 2, 5]]))  # 8 pads
    of_one = {item: Queries(torch.tensor([0]), torch.tensor([[item]])) for item in (2, 5)}
    for model in (PathFilter(EXPONENTS), LowPass(3)):
        model.fit(events)
        expected = sum(model.score_items(query) for query in of_one.values())
        np.testing.assert_allclose(model.score_items(queries), expected, rtol=1e-5, atol=1e-6)


# the low-pass filter


def test_spectrum_is_that_of_numpy_where_the_iterations_suffice():
    events = synthetic.World(n_users=60, n_items=50, seed=0).interactions(8, repeats=False)
    left, values, right = spectrum(events, 4, n_iterations=30)  # four communities: behind the fourth value is a gap
    U, s, Vt = np.linalg.svd(dense_normalised(events))
    np.testing.assert_allclose(values, s[:4], rtol=1e-4)
    np.testing.assert_allclose(abs(np.sum(left * U[:, :4], axis=0)), 1, atol=1e-4)
    np.testing.assert_allclose(abs(np.sum(right * Vt[:4].T, axis=0)), 1, atol=1e-4)
    assert left.shape == (60, 4) and right.shape == (50, 4)
    assert {part.dtype for part in (left, values, right)} == {np.dtype(np.float32)}


def test_spectrum_is_the_same_every_time_and_leaves_the_generator_alone_and_says_nothing():
    events = random_events()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = spectrum(events, 3)
    torch.manual_seed(6)
    second = spectrum(events, 3)
    for one, other in zip(first, second):
        np.testing.assert_array_equal(one, other)
    torch.manual_seed(5)
    assert torch.equal(torch.get_rng_state(), before)


def test_more_power_iterations_come_nearer():
    events = synthetic.World(n_users=80, n_items=70, seed=1).interactions(6, repeats=False)
    exact = np.linalg.svd(dense_normalised(events))[1][:10]
    errors = [np.abs(spectrum(events, 10, n)[1] - exact).max() for n in (0, 2, 40)]
    assert errors[0] > 2 * errors[1] > 10 * errors[2]


def test_low_pass_projects_on_the_leading_directions_between_the_roots_of_degrees():
    events = synthetic.World(n_users=60, n_items=50, seed=0).interactions(8, repeats=False)
    model = LowPass(4, n_iterations=30).fit(events)
    V = np.linalg.svd(dense_normalised(events))[2][:4].T
    roots = np.sqrt(np.maximum(events.item_counts(), 1))
    expected = (events.matrix().toarray() / roots) @ V @ V.T * roots
    np.testing.assert_allclose(model.score_items(everyone(events)), expected, atol=1e-4)
    np.testing.assert_allclose(
        model.user_vectors(everyone(events)) @ model.item_vectors().T, model.score_items(everyone(events)), atol=1e-6
    )


def test_path_filter_and_low_pass_make_up_gf_cf():
    events = synthetic.World(n_users=60, n_items=50, seed=0).interactions(8, repeats=False)
    ours = WeightedSum([PathFilter((0.5, 1.0, 0.5)), LowPass(4, n_iterations=30)], [1.0, 0.4]).fit(events)
    theirs = GraphFilter(dim=4, alpha=0.4).fit(events)
    np.testing.assert_allclose(ours.score_items(everyone(events)), theirs.score_items(everyone(events)), atol=1e-4)
    assert ours.n_items == 50


def test_a_weighted_sum_fits_all_and_weighs_each():
    events = random_events()
    models = [PathFilter(EXPONENTS), PathFilter((0, 0, 0)), LowPass(2)]
    both = WeightedSum(models, [2.0, -0.5, 3.0]).fit(events)
    parts = [model.score_items(everyone(events)) for model in models]
    np.testing.assert_allclose(both.score_items(everyone(events)), 2 * parts[0] - 0.5 * parts[1] + 3 * parts[2], rtol=1e-5)
    assert both.score_items(everyone(events)).dtype == np.float32


def test_all_find_the_withheld_item_of_the_checkerboard():
    train, test = synthetic.checkerboard(12)
    query = everyone(train)
    for model in (PathFilter(EXPONENTS), PathFilter(EXPONENTS, (0.5, 1, 0.5)), LowPass(2)):
        found = recommend(model.fit(train), query, 1, exclude=query.history.numpy())
        assert found[:, 0].tolist() == test.items.tolist()


# the start of a graph model


def test_spectral_start_has_users_first_and_the_length_that_was_asked_for():
    events = random_events()
    left, _, right = spectrum(events, 4)
    start = spectral_start(events, 4, power=0.3, length=1.5)
    assert start.shape == (events.n_users + events.n_items, 4) and start.dtype == np.float32
    assert np.linalg.norm(start, axis=1).mean() == pytest.approx(1.5, rel=1e-5)
    degrees = np.maximum(np.concatenate([events.user_counts(), events.item_counts()]), 1)
    unscaled = np.concatenate([left, right]) * degrees[:, None] ** 0.3
    np.testing.assert_allclose(start / np.abs(start).max(), unscaled / np.abs(unscaled).max(), atol=1e-5)


def test_from_the_spectral_start_light_gcn_is_a_filter_before_any_training():
    # with power 0 the columns of the start are eigenvectors of the normalised graph: a layer multiplies them by s
    events = synthetic.World(n_users=60, n_items=50, seed=0).interactions(8, repeats=False)
    start, values = spectral_start(events, 20, power=0.0), spectrum(events, 20)[1]
    model = graphs.LightGCN(graphs.normalised_adjacency(events), 60, 20, 2, [0.0, 0.0, 1.0])
    model.start.weight.data.copy_(torch.from_numpy(start))
    found, expected = model.nodes().detach().numpy(), start * values**2
    np.testing.assert_allclose(found[:, :3], expected[:, :3], atol=0.01)  # the leading ones are near to exact
    assert np.abs(start - expected)[:, :3].max() > 0.3


# errors


@pytest.mark.parametrize("exponents", [(), [(0.5, 1.0)], [EXPONENTS, (1, 2, 3, 4)]], ids=str)
def test_a_step_has_three_exponents(exponents):
    with pytest.raises(ValueError, match=r"exponents must be one \(b, c, d\) or more; got"):
        PathFilter(*exponents)


@pytest.mark.parametrize("dim", [0, 8, 100])
def test_dim_must_be_below_both_sides(dim):
    events = random_events()
    for call in (lambda: spectrum(events, dim), lambda: LowPass(dim).fit(events), lambda: spectral_start(events, dim)):
        with pytest.raises(ValueError, match=rf"dim must be in \[1, 7\], below both sides of R; got {dim}"):
            call()


def test_weights_must_be_one_a_model():
    with pytest.raises(ValueError, match=r"weights must be one a model \(1\); got \[1, 2\]"):
        WeightedSum([LowPass(2)], [1, 2])


def test_histories_are_needed():
    with pytest.raises(ValueError, match="queries must carry a history"):
        PathFilter(EXPONENTS).fit(EVENTS).score_items(Queries(torch.arange(2)))
