"""The index against exact search, what it must never return, and lists that come out short."""

import numpy as np
import pytest
import torch

from recsys_lite.evaluation import recommend
from recsys_lite.examples import Queries
from recsys_lite.factorization import MatrixFactorization
from recsys_lite.index import VectorIndex
from recsys_lite.splits import Split
from recsys_lite.synthetic import checkerboard
from recsys_lite.towers import HistoryMean, ItemIds, TwoTower
from recsys_lite.vectors import Cosine

RANDOM = np.random.default_rng(0)
# clusters of different lengths: maximum inner product is neither nearest neighbour nor cosine here
CENTRES = RANDOM.normal(size=(40, 16)) * RANDOM.uniform(0.5, 2, size=(40, 1))
ITEMS = (CENTRES[RANDOM.integers(40, size=2000)] + 0.3 * RANDOM.normal(size=(2000, 16))).astype(np.float32)
QUERIES = RANDOM.normal(size=(50, 16)).astype(np.float32)


def exact(queries, items, k):
    return np.argsort(-(queries @ items.T), axis=1, kind="stable")[:, :k]


def test_flat_is_exact_and_its_scores_are_inner_products():
    items, scores = VectorIndex(ITEMS).search(QUERIES, 10)
    np.testing.assert_array_equal(items, exact(QUERIES, ITEMS, 10))
    np.testing.assert_allclose(scores, np.take_along_axis(QUERIES @ ITEMS.T, items, axis=1), rtol=1e-5, atol=1e-5)
    nearest = np.argsort(((QUERIES[:, None] - ITEMS[None]) ** 2).sum(-1), axis=1)[:, 0]
    assert (items[:, 0] != nearest).any()


@pytest.mark.parametrize(
    "kind, n_probe, floor", [("IVF20,Flat", 8, 0.9), ("HNSW32,Flat", None, 0.75), ("PQ8", None, 0.6)]
)
def test_approximate_kinds_find_most_of_what_is_there(kind, n_probe, floor):
    index = VectorIndex(ITEMS, kind, n_probe)
    found, best = index.search(QUERIES, 10)[0], exact(QUERIES, ITEMS, 10)
    recall = np.mean([len(np.intersect1d(ours, theirs)) / 10 for ours, theirs in zip(found, best)])
    assert recall >= floor
    again = VectorIndex(ITEMS, kind, n_probe).search(QUERIES, 10)[0]
    np.testing.assert_array_equal(found, again)


def test_more_cells_probed_find_more_and_all_of_them_everything():
    recall = []
    for n_probe in (1, 4, 20):
        found = VectorIndex(ITEMS, "IVF20,Flat", n_probe).search(QUERIES, 10)[0]
        recall.append((np.sort(found) == np.sort(exact(QUERIES, ITEMS, 10))).mean())
    assert recall == sorted(recall) and recall[0] < 0.9 and recall[-1] == 1
    one = VectorIndex(ITEMS, "IVF20,Flat").search(QUERIES, 10)[0]
    np.testing.assert_array_equal(one, VectorIndex(ITEMS, "IVF20,Flat", 1).search(QUERIES, 10)[0])


def test_codes_are_smaller_than_vectors():
    flat, codes = VectorIndex(ITEMS), VectorIndex(ITEMS, "PQ8")
    assert 2000 * 16 * 4 <= flat.n_bytes() < 2000 * 16 * 4 + 1000
    # 8 bytes a vector, and codebooks of 256 centroids x 16 dimensions x 4 bytes
    assert 2000 * 8 + 256 * 16 * 4 <= codes.n_bytes() < 2000 * 8 + 256 * 16 * 4 + 1000


# --- what must not come back ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind, n_probe", [("Flat", None), ("IVF20,Flat", 3), ("HNSW32,Flat", None)])
def test_what_is_excluded_never_comes_back(kind, n_probe):
    best = exact(QUERIES, ITEMS, 30)
    exclude = np.full((50, 24), 2000)
    for row in range(50):
        n = row % 25
        exclude[row, 24 - n :] = best[row, :n]  # the best ones, left-padded, a different number a row, up to all 24
    items, scores = VectorIndex(ITEMS, kind, n_probe).search(QUERIES, 5, exclude=exclude)
    assert items.shape == scores.shape == (50, 5)
    for row in range(50):
        assert not np.isin(items[row], exclude[row]).any()
        if kind == "Flat":
            assert items[row].tolist() == best[row, row % 25 : row % 25 + 5].tolist()
    present = np.take_along_axis(QUERIES @ ITEMS.T, np.maximum(items, 0), axis=1)
    np.testing.assert_allclose(scores[items >= 0], present[items >= 0], rtol=1e-4, atol=1e-4)
    assert (np.diff(scores, axis=1) <= 1e-5).all()


def test_a_graph_finds_enough_to_drop_many():
    exclude = exact(QUERIES, ITEMS, 200)
    items, _ = VectorIndex(ITEMS, "HNSW32,Flat").search(QUERIES, 10, exclude=exclude)
    assert (items >= 0).all()
    after = exact(QUERIES, ITEMS, 210)[:, 200:]
    assert np.mean([np.isin(ours, theirs).mean() for ours, theirs in zip(items, after)]) > 0.9


def test_a_list_is_short_when_the_catalogue_is_used_up():
    vectors = np.array([[3.0], [1.0], [2.0]])
    items, scores = VectorIndex(vectors).search([[1.0], [1.0]], 3, exclude=np.array([[3, 0], [0, 2]]))
    assert items.tolist() == [[2, 1, -1], [1, -1, -1]]
    assert scores.tolist() == [[2, 1, -np.inf], [1, -np.inf, -np.inf]]
    items, _ = VectorIndex(vectors).search([[1.0]], 2, exclude=np.array([[0, 1, 2]]))
    assert items.tolist() == [[-1, -1]]


def test_a_list_is_short_when_the_probed_cells_are_used_up():
    centres = np.repeat([[0.0, 1.0], [1.0, 0.0]], [50, 3], axis=0)
    vectors = centres + np.random.default_rng(1).normal(size=(53, 2)) / 99
    items, scores = VectorIndex(vectors, "IVF2,Flat", 1).search(np.array([[1.0, 0.0]]), 5)
    assert sorted(items[0, :3].tolist()) == [50, 51, 52] and items[0, 3:].tolist() == [-1, -1]
    assert scores[0, 3:].tolist() == [-np.inf, -np.inf]
    items, _ = VectorIndex(vectors, "IVF2,Flat", 1).search(np.array([[1.0, 0.0]]), 2, exclude=np.array([[51]]))
    assert sorted(items[0].tolist()) == [50, 52]


@pytest.mark.parametrize(
    "model",
    [
        MatrixFactorization(20, 20, 6),
        TwoTower(HistoryMean(20, 6), ItemIds(20, 6)),
        Cosine(MatrixFactorization(20, 20, 6), 0.1),
    ],
    ids=["MatrixFactorization", "TwoTower", "Cosine"],
)
def test_recommending_through_the_index_is_recommending(model):
    train, test = checkerboard(20)
    queries = Split(train, test).queries(np.arange(20))
    seen = queries.history.numpy()
    index = VectorIndex(model.item_vectors())
    for exclude in (None, seen, queries.history):
        ours = index.recommend(model, queries, 13, exclude=exclude)
        np.testing.assert_array_equal(ours, recommend(model, queries, 13, exclude=None if exclude is None else seen))
    assert (ours[:, :11] >= 0).all() and (ours[:, 11:] == -1).all()  # 9 of 20 are seen, 11 are left


def test_the_index_serves_both_directions():
    """Row 5.5: users to items and items to users from the same vectors."""
    model = MatrixFactorization(20, 30, 6)
    users = model.user_vectors(Queries(torch.arange(20)))
    best_users = VectorIndex(users).search(model.item_vectors(), 3)[0]
    np.testing.assert_array_equal(best_users, exact(model.item_vectors(), users, 3))


# --- errors ---------------------------------------------------------------------------------------------------------
def test_errors():
    index = VectorIndex(ITEMS)
    for bad in (np.zeros(16), np.zeros((0, 16)), np.zeros((2, 3, 4))):
        with pytest.raises(ValueError, match=r"vectors must be \(n, d\) with n >= 1; got"):
            VectorIndex(bad)
    with pytest.raises(ValueError, match=r"queries must be \(n, 16\) with n >= 1; got \(2, 15\)"):
        index.search(np.zeros((2, 15)), 3)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="vectors must be finite; got NaN or infinity"):
            VectorIndex(np.full((3, 2), bad))
        with pytest.raises(ValueError, match="queries must be finite; got NaN or infinity"):
            index.search(np.full((3, 16), bad), 1)
    for k in (0, 2001):
        with pytest.raises(ValueError, match=rf"k must be in \[1, 2000\], the size of the index; got {k}"):
            index.search(QUERIES, k)
    for kind in ("Flatt", "PQ7"):
        with pytest.raises(ValueError, match=f"kind must be a Faiss factory string that fits 16 dim.*got '{kind}'"):
            VectorIndex(ITEMS, kind)
    with pytest.raises(ValueError, match="vectors must be enough to learn 'IVF64,Flat' from; got 50. Take fewer cells"):
        VectorIndex(ITEMS[:50], "IVF64,Flat")
    with pytest.raises(ValueError, match="n_probe must be at least 1; got 0"):
        VectorIndex(ITEMS, "IVF20,Flat", 0)
    with pytest.raises(ValueError, match="n_probe is for kinds with cells such as 'IVF64,Flat'; got kind='Flat'"):
        VectorIndex(ITEMS, "Flat", 3)
    for bad in (np.zeros((49, 2)), np.zeros(50)):
        with pytest.raises(ValueError, match=r"exclude must be \(50, L\), a row a query; got"):
            index.search(QUERIES, 3, exclude=bad)
