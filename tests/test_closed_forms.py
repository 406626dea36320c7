"""Models that are counted or solved: each equals its definition written out densely, and all pass one contract."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from recsys_lite import factorization
from recsys_lite.evaluation import evaluate, recommend
from recsys_lite.examples import Queries
from recsys_lite.factorization import ImplicitALS, conjugate_gradients
from recsys_lite.interactions import Interactions
from recsys_lite.linear import EASE, GraphFilter, PureSVD, history_matrix, item_singular_vectors
from recsys_lite.neighbors import ItemKNN, UserKNN, cosines, keep_largest
from recsys_lite.splits import Split

# one of each, for what all must do; the numbers of dimensions suit the checkerboard
MODELS = {
    "ItemKNN": lambda: ItemKNN(k=5),
    "UserKNN": lambda: UserKNN(k=5, shrink=1),
    "EASE": lambda: EASE(2.0),
    "PureSVD": lambda: PureSVD(dim=2),
    "GraphFilter": lambda: GraphFilter(dim=2, alpha=0.3),
    "ImplicitALS": lambda: ImplicitALS(dim=4, alpha=1.0, regularization=0.5),
}
every_model = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)


def random_events(n_users=14, n_items=9, n=60, seed=0, repeats=True):
    """Events with popular and unpopular items, one user and one item without any, and (by default) repeats."""
    random = np.random.default_rng(seed)
    users, items = random.integers(0, n_users - 1, n), (random.random(n) ** 2 * (n_items - 1)).astype(int)
    if not repeats:
        users, items = np.unique(np.stack([users, items]), axis=1)
    return Interactions.from_events(users, items, n_users, n_items, np.arange(len(users)))


def checkerboard(n=12):
    """Even users like even items, odd like odd; the diagonal is withheld as the test."""
    users, items = np.nonzero(np.add.outer(np.arange(n), np.arange(n)) % 2 == 0)
    held = users == items
    parts = (Interactions(users[side], items[side], n, n) for side in (~held, held))
    return Split(*parts)


def everyone(events):
    users = np.arange(events.n_users)
    return Queries(torch.tensor(users), torch.tensor(events.history(users)))


def dense(events):
    return events.matrix().toarray().astype(float)


def dense_cosines(left, right, shrink):
    scores = np.zeros((len(left), len(right)))
    for a, x in enumerate(left):
        for b, y in enumerate(right):
            if x @ y:
                scores[a, b] = x @ y / (np.linalg.norm(x) * np.linalg.norm(y) + shrink)
    return scores


def dense_largest(similarity, k):
    kept = np.zeros_like(similarity)
    for row, values in enumerate(similarity):
        # rounded, so that equal similarities are equal whatever the order of the sum; of these the lower column
        best = sorted(np.flatnonzero(values), key=lambda column: (-round(values[column], 6), column))[:k]
        kept[row, best] = values[best]
    return kept


# the pieces


def test_history_matrix_counts_and_leaves_padding_out():
    queries = Queries(torch.arange(3), torch.tensor([[4, 4, 4], [4, 0, 3], [1, 1, 3]]))
    assert history_matrix(queries, 4).toarray().tolist() == [[0, 0, 0, 0], [1, 0, 0, 1], [0, 2, 0, 1]]


def test_histories_of_the_training_users_are_the_training_matrix():
    events = random_events()
    np.testing.assert_array_equal(history_matrix(everyone(events), events.n_items).toarray(), dense(events))


def test_cosine_by_hand():
    # <a, b> = 1, |a| = 1, |b| = 2; <a, c> = 0; <b, d> = 4, |d| = sqrt(5)
    left, right = sp.csr_matrix([[1.0, 0, 0], [1, 1, 0]]), sp.csr_matrix([[1.0, 1, 0], [0, 0, 3], [1, 2, 0]])
    plain, shrunk = cosines(left, right).toarray(), cosines(left, right, shrink=2.0).toarray()
    np.testing.assert_allclose(plain, [[1 / 2**0.5, 0, 1 / 5**0.5], [1, 0, 3 / 10**0.5]])
    np.testing.assert_allclose(shrunk, [[1 / (2**0.5 + 2), 0, 1 / (5**0.5 + 2)], [2 / 4, 0, 3 / (10**0.5 + 2)]])


def test_keep_largest_by_hand():
    similarity = sp.csr_matrix([[0.1, 0.5, 0, 0.5, 0.5], [0, 0, 0, 0, 0], [0, 0, 0.2, 0, 0]])
    assert keep_largest(similarity, 2).toarray().tolist() == [[0, 0.5, 0, 0.5, 0], [0] * 5, [0, 0, 0.2, 0, 0]]
    assert (keep_largest(similarity, 9) != similarity).nnz == 0


@pytest.mark.parametrize("k", [1, 2, 5, 50])
def test_keep_largest_is_a_sort_by_value_then_column(k):
    random = np.random.default_rng(0)  # few values, so many ties; columns in no order, some below 0, rows of every length
    rows = [random.permutation(30)[:n] for n in (0, 1, 2, 5, 6, 30, 0, 12)]
    values = [random.integers(-2, 3, len(row)) / 4 for row in rows]
    starts = np.cumsum([0, *map(len, rows)])
    similarity = sp.csr_matrix((np.concatenate(values), np.concatenate(rows), starts), shape=(len(rows), 30))
    kept = keep_largest(similarity, k)
    for row, (columns, data) in enumerate(zip(rows, values)):
        best = sorted(zip(-data, columns))[:k]
        ours = sorted(zip(-kept[row].data, kept[row].indices))
        assert ours == best
    assert kept.shape == similarity.shape


@pytest.mark.parametrize("build", [lambda: ItemKNN(3, 1.0), lambda: UserKNN(3, 1.0)])
def test_neighbours_are_the_same_for_every_block_of_rows(build, monkeypatch):
    events = random_events(seed=3)
    whole = build().fit(events).score_items(everyone(events))
    monkeypatch.setattr("recsys_lite.neighbors.ROWS_AT_ONCE", 4)
    np.testing.assert_array_equal(build().fit(events).score_items(everyone(events)), whole)


def test_no_row_is_its_own_neighbour_and_nobody_is_among_none():
    events = random_events(seed=3)
    items, users = ItemKNN(100).fit(events), UserKNN(100).fit(events)
    assert not items.similarity.diagonal().any() and not users.neighbours(everyone(events)).diagonal().any()
    assert np.isfinite(items.similarity.data).all() and (items.similarity.data > 0).all()
    nobody = Queries(torch.empty(0, dtype=torch.long), torch.empty(0, 1, dtype=torch.long))
    assert users.score_items(nobody).shape == (0, events.n_items)


# the models against their definitions


@pytest.mark.parametrize("k, shrink", [(1, 0.0), (3, 2.0), (100, 0.5)])
def test_item_knn_equals_its_definition(k, shrink):
    events = random_events()
    matrix = dense(events)
    similarity = dense_cosines(matrix.T, matrix.T, shrink)
    np.fill_diagonal(similarity, 0)
    expected = matrix @ dense_largest(similarity, k).T
    measured = ItemKNN(k, shrink).fit(events).score_items(everyone(events))
    np.testing.assert_allclose(measured, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("k, shrink", [(1, 0.0), (3, 2.0), (100, 0.5)])
def test_user_knn_equals_its_definition(k, shrink):
    events = random_events()
    matrix = dense(events)
    similarity = dense_cosines(matrix, matrix, shrink)
    np.fill_diagonal(similarity, 0)  # nobody is their own neighbour
    expected = dense_largest(similarity, k) @ matrix
    model = UserKNN(k, shrink).fit(events)
    np.testing.assert_allclose(model.score_items(everyone(events)), expected, rtol=1e-5, atol=1e-6)
    neighbours = model.neighbours(everyone(events))
    np.testing.assert_allclose(neighbours.toarray(), dense_largest(similarity, k), rtol=1e-5)
    assert all((np.diff(row.indices) > 0).all() for row in neighbours)  # in order, so that a stable sort breaks ties by user


@pytest.mark.parametrize("regularization", [0.1, 3.0, 100.0])
def test_ease_regresses_every_item_on_all_others(regularization):
    events = random_events()
    matrix = dense(events)
    expected = np.zeros((events.n_items, events.n_items))
    for item in range(events.n_items):
        others = np.delete(np.arange(events.n_items), item)  # diag(B) = 0: the item may not explain itself
        features = matrix[:, others]
        gram = features.T @ features + regularization * np.eye(len(others))
        expected[others, item] = np.linalg.solve(gram, features.T @ matrix[:, item])
    model = EASE(regularization).fit(events)
    np.testing.assert_allclose(model.weights, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(model.score_items(everyone(events)), matrix @ expected, rtol=1e-4, atol=1e-5)


def test_ease_meets_the_conditions_of_its_constrained_minimum():
    # the gradient of the Lagrangian, X'XB - X'X + lambda B + diag(gamma), is zero: off the diagonal it has no gamma
    events, regularization = random_events(seed=1), 5.0
    gram, weights = dense(events).T @ dense(events), EASE(regularization).fit(events).weights.astype(float)
    gradient = gram @ weights - gram + regularization * weights
    np.fill_diagonal(gradient, 0)
    assert np.abs(gradient).max() < 1e-4 * np.abs(gram).max()
    assert not np.diag(weights).any()


@pytest.mark.parametrize("dim", [1, 3, 8])
def test_pure_svd_is_the_truncated_svd(dim):
    events = random_events(seed=2)
    left, values, right = np.linalg.svd(dense(events), full_matrices=False)
    expected = (left[:, :dim] * values[:dim]) @ right[:dim]
    model = PureSVD(dim).fit(events)
    np.testing.assert_allclose(model.score_items(everyone(events)), expected, atol=1e-5)


def test_singular_vectors_come_largest_first():
    events = random_events(seed=3)
    vectors = item_singular_vectors(events.matrix(), 4)
    _, _, expected = np.linalg.svd(dense(events), full_matrices=False)
    np.testing.assert_allclose(np.abs(vectors), np.abs(expected[:4].T), atol=1e-5)


@pytest.mark.parametrize("events", [random_events(), checkerboard().train], ids=["random", "checkerboard"])
def test_singular_vectors_agree_to_the_bit(events):
    # signs included; a start vector of ones fails on the checkerboard, whose invariant subspace holds it
    first, *others = (item_singular_vectors(events.matrix(), 3) for _ in range(4))
    for vectors in others:
        np.testing.assert_array_equal(vectors, first)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 2.0])
def test_graph_filter_is_the_sum_of_its_two_filters(alpha):
    events, dim = random_events(seed=4), 3
    matrix = dense(events)
    user_degrees, item_degrees = (np.maximum(matrix.sum(axis=axis), 1) for axis in (1, 0))
    normalised = np.diag(user_degrees**-0.5) @ matrix @ np.diag(item_degrees**-0.5)
    _, _, right = np.linalg.svd(normalised)
    low_pass = right[:dim].T @ right[:dim]
    linear = matrix @ normalised.T @ normalised
    ideal = matrix @ np.diag(item_degrees**-0.5) @ low_pass @ np.diag(item_degrees**0.5)
    measured = GraphFilter(dim, alpha).fit(events).score_items(everyone(events))
    np.testing.assert_allclose(measured, linear + alpha * ideal, atol=1e-5)


# ImplicitALS: every half step is the exact minimum of a convex problem


class AlsRun:
    """The user and item vectors after each half step, and the full dense objective."""

    def __init__(self, alpha, regularization=0.7, dim=3, n_iterations=5):
        self.events = random_events(seed=5)
        counts = dense(self.events)
        assert counts.max() > 1  # repeats: confidence 1 + alpha r with r > 1 is seen
        self.wanted, self.confidence = (counts > 0).astype(float), 1 + alpha * counts
        self.regularization = regularization
        fitted = [ImplicitALS(dim, alpha, regularization, n).fit(self.events) for n in range(1, n_iterations + 1)]
        self.items = [model.item_vectors().astype(float) for model in fitted]
        # the users that follow from the items of n iterations are the first half of iteration n + 1
        self.users = [model.user_vectors(everyone(self.events)).astype(float) for model in fitted]

    def objective(self, users, items):
        errors = self.confidence * (self.wanted - users @ items.T) ** 2
        return errors.sum() + self.regularization * ((users**2).sum() + (items**2).sum())

    def gradients(self, users, items):
        errors = self.confidence * (self.wanted - users @ items.T)
        return -errors @ items + self.regularization * users, -errors.T @ users + self.regularization * items


@pytest.mark.parametrize("alpha", [0.0, 0.5, 4.0])
def test_als_half_steps_are_exact(alpha):
    run = AlsRun(alpha)
    scale = np.abs(run.confidence).max()
    for users, items, next_items in zip(run.users, run.items, run.items[1:]):
        assert np.abs(run.gradients(users, items)[0]).max() < 1e-5 * scale
        assert np.abs(run.gradients(users, next_items)[1]).max() < 1e-5 * scale
    # the control: half a step further the other side is not at its minimum
    assert np.abs(run.gradients(run.users[0], run.items[0])[1]).max() > 1e-3 * scale


@pytest.mark.parametrize("alpha", [0.0, 0.5, 4.0])
def test_als_never_raises_its_objective(alpha):
    run = AlsRun(alpha)
    course = []
    for users, items, next_items in zip(run.users, run.items, run.items[1:]):
        course += [run.objective(users, items), run.objective(users, next_items)]
    assert (np.diff(course) < 1e-5 * course[0]).all()
    assert course[-1] < 0.999 * course[0]


def test_als_is_the_same_for_every_chunk_of_rows(monkeypatch):
    events = random_events(seed=6)
    whole = ImplicitALS(3, 1.0, 0.5).fit(events).score_items(everyone(events))
    monkeypatch.setattr("recsys_lite.factorization.ROWS_AT_ONCE", 4)
    np.testing.assert_allclose(ImplicitALS(3, 1.0, 0.5).fit(events).score_items(everyone(events)), whole, atol=1e-5)


@pytest.mark.parametrize("alpha, near", [(0.0, 1e-5), (0.1, 1e-5), (40.0, 1e-5), (1000.0, 1e-4)])
def test_als_solves_every_row_of_counts_to_rounding(alpha, near):
    random = np.random.default_rng(0)
    counts = sp.random(70, 90, 0.2, "csr", random_state=1, data_rvs=lambda n: random.integers(1, 6, n).astype(float))
    counts = (sp.diags((np.arange(70) != 3).astype(float)) @ counts).tocsr()  # row 3 has none
    fixed, model = random.normal(size=(90, 16)).astype(np.float32), ImplicitALS(16, alpha, 2.0)
    solved, own = model._solve(counts, fixed), fixed.astype(float)
    for row, r in zip(solved, counts.toarray()):
        left = own.T @ own + alpha * (own.T * r) @ own + 2.0 * np.eye(16)
        expected = np.linalg.solve(left, own.T @ (np.sign(r) + alpha * r))
        np.testing.assert_allclose(row, expected, atol=near * max(1, np.abs(expected).max()))
    assert solved.dtype == np.float32 and not solved[3].any()


def test_conjugate_gradients_needs_a_step_a_distinct_eigenvalue_and_stops(monkeypatch):
    values = np.array([[1.0, 1, 1, 1], [2, 5, 5, 5], [3, 3, 3, 3]], dtype=np.float32)
    right, calls = np.array([[1, 2, 3, 4], [4, 3, 2, 1], [0, 0, 0, 0]], dtype=np.float32), []
    solved = conjugate_gradients(lambda x: calls.append(1) or values * x, right)
    np.testing.assert_allclose(solved, right / values, rtol=1e-5)
    assert len(calls) == 2  # two eigenvalues in the second row, one in the first, nothing to do in the third
    monkeypatch.setattr(factorization, "TOLERANCE", 0.0)  # never near enough: 3 d steps and no more
    calls.clear()
    hard = np.linspace(1, 9, 8, dtype=np.float32).reshape(2, 4)
    np.testing.assert_allclose(conjugate_gradients(lambda x: calls.append(1) or hard * x, right[:2]), right[:2] / hard, rtol=1e-4)
    assert len(calls) <= 12


def test_als_without_weights_needs_one_step(monkeypatch):
    calls, solver = [], factorization.conjugate_gradients
    monkeypatch.setattr(factorization, "conjugate_gradients", lambda product, right: solver(lambda x: calls.append(1) or product(x), right))
    ImplicitALS(4, 0.0, 1.0, n_iterations=2).fit(random_events())
    assert len(calls) == 4  # all users, all items, twice: one row's matrix is that of all, the identity in its own coordinates


def test_als_depends_on_its_seed_and_on_nothing_else():
    events = random_events(seed=7)
    first, again, other = (ImplicitALS(3, n_iterations=1, seed=seed).fit(events).item_vectors() for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


# what all models must do


@every_model
def test_the_withheld_square_of_the_checkerboard_ranks_first(make):
    split = checkerboard()
    figures = evaluate(make().fit(split.train), split, k=(1, 2))
    assert figures["ndcg@1"].tolist() == [1] * 12


@every_model
def test_users_who_came_after_training_are_served(make):
    split = checkerboard()
    late = split.train.users < 2  # user 0 (even) and user 1 (odd) are not in the data
    model = make().fit(split.train.take(~late))
    queries = split.queries(np.array([0, 1]))
    lists = recommend(model, queries, 1, exclude=queries.history.numpy())
    assert lists.ravel().tolist() == [0, 1]


@every_model
def test_an_empty_history_scores_zero(make):
    model = make().fit(random_events())
    scores = model.score_items(Queries(torch.tensor([13]), torch.full((1, 4), 9)))
    assert scores.shape == (1, 9)
    np.testing.assert_allclose(scores, 0, atol=1e-7)


@every_model
def test_refit_forgets_the_past(make):
    first, second = random_events(), random_events(n_users=11, n_items=7, n=40, seed=8)
    again, fresh = make().fit(first).fit(second), make().fit(second)
    assert again.n_items == fresh.n_items == 7
    np.testing.assert_array_equal(again.score_items(everyone(second)), fresh.score_items(everyone(second)))


@every_model
def test_two_fits_agree_to_the_bit_and_leave_the_global_generators_alone(make):
    events = random_events()
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    first, second = (make().fit(events).score_items(everyone(events)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(np.random.get_state()[1], before[0])
    assert torch.get_rng_state().equal(before[1])


@every_model
def test_nothing_is_said_on_the_way(make, recwarn, capfd):
    events = random_events()  # with a user and an item without events
    make().fit(events).score_items(everyone(events))
    assert not recwarn.list and capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["PureSVD", "ImplicitALS"])
def test_scores_are_products_of_the_vectors(name):
    events = random_events()
    model = MODELS[name]().fit(events)
    users, items = model.user_vectors(everyone(events)), model.item_vectors()
    assert users.dtype == items.dtype == np.float32
    assert users.shape[1] == items.shape[1] and len(items) == events.n_items
    np.testing.assert_allclose(users @ items.T, model.score_items(everyone(events)), atol=1e-6)


@every_model
def test_a_missing_history_is_named(make):
    model = make().fit(random_events())
    with pytest.raises(ValueError, match="queries must carry a history for this model; got None"):
        model.score_items(Queries(torch.tensor([0])))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: ItemKNN(k=0), "k must be at least 1; got 0"),
        (lambda: UserKNN(k=-3), "k must be at least 1; got -3"),
        (lambda: ItemKNN(shrink=-1), "shrink must not be negative; got -1"),
        (lambda: UserKNN(shrink=-0.5), "shrink must not be negative; got -0.5"),
        (lambda: EASE(0), "regularization must be positive; got 0"),
        (lambda: GraphFilter(alpha=-0.1), "alpha must not be negative; got -0.1"),
        (lambda: PureSVD(9).fit(random_events()), r"dim must be in \[1, 8\], below both sides of R; got 9"),
        (lambda: GraphFilter(0).fit(random_events()), r"dim must be in \[1, 8\], below both sides of R; got 0"),
        (lambda: ImplicitALS(dim=0), "dim must be positive; got 0"),
        (lambda: ImplicitALS(regularization=0), "regularization must be positive; got 0"),
        (lambda: ImplicitALS(n_iterations=-1), "n_iterations must be positive; got -1"),
        (lambda: ImplicitALS(alpha=-1), "alpha must not be negative; got -1"),
    ],
)
def test_a_bad_parameter_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
