"""Recommend what similar users liked, or what is similar to what the user liked; similarity is the cosine in R."""

from itertools import pairwise

import numpy as np
import scipy.sparse as sp

from recsys_lite.examples import Queries
from recsys_lite.interactions import Interactions
from recsys_lite.linear import history_matrix

ROWS_AT_ONCE = 256  # their similarities with all rows are held together


def _check(k: int, shrink: float) -> None:
    if k < 1:
        raise ValueError(f"k must be at least 1; got {k}.")
    if shrink < 0:
        raise ValueError(f"shrink must not be negative; got {shrink}.")


def cosines(left: sp.csr_matrix, right: sp.csr_matrix, shrink: float = 0.0) -> sp.csr_matrix:
    """cos(a, b) = <a, b> / (|a| |b| + shrink) of every row of `left` with every row of `right`, sparse.

    shrink pulls towards 0 the similarity of rows that share little.
    """
    return _cosines(left, right.T.tocsr(), lengths_of(right), shrink)


def _cosines(left: sp.csr_matrix, columns: sp.csr_matrix, column_lengths: np.ndarray, shrink: float) -> sp.csr_matrix:
    products = left @ columns
    lengths = per_entry(products, lengths_of(left)) * column_lengths[products.indices]
    products.data = products.data / (lengths + shrink)
    return products


def lengths_of(rows: sp.csr_matrix) -> np.ndarray:
    """|a| of each row, (n,)."""
    return np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())


def per_entry(matrix: sp.csr_matrix, of_rows: np.ndarray) -> np.ndarray:
    """A number a row, given to each entry of the row that is stored."""
    return of_rows.repeat(np.diff(matrix.indptr))


def only(matrix: sp.csr_matrix, kept: np.ndarray) -> sp.csr_matrix:
    """The stored entries for which `kept`, a truth value each, holds."""
    places = np.flatnonzero(kept)
    starts = np.searchsorted(places, matrix.indptr)
    return sp.csr_matrix((matrix.data[places], matrix.indices[places], starts), shape=matrix.shape)


def keep_largest(similarity: sp.csr_matrix, k: int) -> sp.csr_matrix:
    """The k largest entries of each row, the others dropped; of equal ones those with the lower column.

    The k-th largest of a row is found without sorting the row; only entries equal to it are put in order.
    """
    starts, data = similarity.indptr, similarity.data
    kth = np.full(similarity.shape[0], -np.inf, dtype=data.dtype)
    for row, (start, end) in enumerate(pairwise(starts.tolist())):
        if end - start > k:
            kth[row] = np.partition(data[start:end], -k)[-k]
    least = per_entry(similarity, kth)
    kept, equal = data > least, np.flatnonzero(data == least)
    rows = np.searchsorted(starts, equal, side="right") - 1
    equal = equal[np.lexsort((similarity.indices[equal], rows))]
    place = np.arange(len(rows)) - np.searchsorted(rows, rows)
    n_larger = np.diff(np.searchsorted(np.flatnonzero(kept), starts))
    kept[equal[place < k - n_larger[rows]]] = True
    return only(similarity, kept)


def nearest(left: sp.csr_matrix, right: sp.csr_matrix, own: np.ndarray, k: int, shrink: float) -> sp.csr_matrix:
    """The k largest cosines of each row of `left` with the rows of `right`, but for that with its own row, own[row]."""
    columns, lengths, blocks = right.T.tocsr(), lengths_of(right), []
    for start in range(0, max(1, left.shape[0]), ROWS_AT_ONCE):
        similarity = _cosines(left[start : start + ROWS_AT_ONCE], columns, lengths, shrink)
        similarity.data[similarity.indices == per_entry(similarity, own[start : start + ROWS_AT_ONCE])] = -np.inf
        largest = keep_largest(similarity, k)
        blocks.append(only(largest, largest.data > -np.inf))
    return sp.vstack(blocks, format="csr")


class ItemKNN:
    """score(u, i) = sum over j in u's history of s_ij, with j among the k items most similar to i and s their cosine.

    The item-based neighbourhood of Sarwar et al. (2001), for ranks instead of ratings: the sum is not normalised.
    """

    def __init__(self, k: int = 100, shrink: float = 0.0):
        _check(k, shrink)
        self.k, self.shrink = k, shrink

    def fit(self, interactions: Interactions) -> "ItemKNN":
        columns = interactions.matrix().T.tocsr()
        self.n_items = interactions.n_items
        self.similarity = nearest(columns, columns, np.arange(self.n_items), self.k, self.shrink)
        return self

    def score_items(self, queries: Queries) -> np.ndarray:
        return (history_matrix(queries, self.n_items) @ self.similarity.T).toarray()


class UserKNN:
    """score(u, i) = sum over the k known users v most similar to u of s_uv r_vi, s the cosine of their rows of R.

    The user-based neighbourhood of Herlocker et al. (1999), for ranks instead of ratings. The similarity is that of the
    request's history, so an unseen user works; nobody is a neighbour of their own.
    """

    def __init__(self, k: int = 20, shrink: float = 50.0):
        _check(k, shrink)
        self.k, self.shrink = k, shrink

    def fit(self, interactions: Interactions) -> "UserKNN":
        self.n_items = interactions.n_items
        self.known = interactions.matrix()
        return self

    def neighbours(self, queries: Queries) -> sp.csr_matrix:
        """(S, n_users) sparse, columns in order: the similarity of each request's k nearest known users."""
        histories = history_matrix(queries, self.n_items)
        return nearest(histories, self.known, queries.users.numpy(), self.k, self.shrink).sorted_indices()

    def score_items(self, queries: Queries) -> np.ndarray:
        return (self.neighbours(queries) @ self.known).toarray()
