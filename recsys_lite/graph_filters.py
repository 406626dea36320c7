"""Closed forms on the graph of likes for large catalogues: paths weighed by degree, and low-pass filters."""

import warnings
from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
import torch

from recsys_lite.examples import Queries
from recsys_lite.interactions import Interactions
from recsys_lite.linear import history_matrix
from recsys_lite.vectors import seeded


def _degrees(matrix: sp.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Events of each user and of each item, (n_users,) and (n_items,) float32, 1 for one without any."""
    return tuple(np.maximum(np.asarray(matrix.sum(axis=axis)).ravel(), 1).astype(np.float32) for axis in (1, 0))


def spectrum(interactions: Interactions, dim: int, n_iterations: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(U, s, V) of D_U^-1/2 R D^-1/2, nearly: (n_users, dim), (dim,) largest first, (n_items, dim), float32.

    By a random projection and `n_iterations` power iterations (Halko, Martinsson and Tropp 2011, algorithms 4.4 and 5.1)
    from a fixed seed. ValueError if dim is not below both sides of R.
    """
    matrix = interactions.matrix()
    if not 1 <= dim < min(matrix.shape):
        raise ValueError(f"dim must be in [1, {min(matrix.shape) - 1}], below both sides of R; got {dim}.")
    of_users, of_items = _degrees(matrix)
    scaled = (sp.diags(of_users**-0.5) @ matrix @ sp.diags(of_items**-0.5)).tocsr().astype(np.float32)
    parts = map(torch.from_numpy, (scaled.indptr, scaled.indices, scaled.data))
    with seeded(0), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch calls its CSR matrices beta; COO takes three times as long
        sparse = torch.sparse_csr_tensor(*parts, scaled.shape, check_invariants=True)
        left, values, right = torch.svd_lowrank(sparse, dim, niter=n_iterations)
    return left.numpy(), values.numpy(), right.numpy()


def spectral_start(interactions: Interactions, dim: int, power: float = 0.4, length: float = 2.0) -> np.ndarray:
    """Vectors to start a graph model from, (n_users + n_items, dim) float32: d_v^power times the node's row of (U, V).

    U and V are those of `spectrum`. All is scaled so that a vector's mean length is `length`.
    """
    left, _, right = spectrum(interactions, dim)
    of_users, of_items = _degrees(interactions.matrix())
    vectors = np.concatenate([left * of_users[:, None] ** power, right * of_items[:, None] ** power])
    return vectors * np.float32(length / np.linalg.norm(vectors, axis=1).mean())


class PathFilter:
    """score = x F_1 ... F_n, F_k = D^-b R^T D_U^-c R D^-d with the exponents (b, c, d) of step k, x the user's history.

    An entry of x F counts the paths from the user over an item and its fans to an item, each weighed by the degrees on
    its way. One step is LinkProp (Fu et al. 2022, eq. 6), with (1/2, 1, 1/2) the linear filter of GF-CF. D and D_U are
    diagonal, the numbers of events of items and users. ValueError without a step.
    """

    def __init__(self, *exponents: Sequence[float]):
        if not exponents or any(len(step) != 3 for step in exponents):
            raise ValueError(f"exponents must be one (b, c, d) or more; got {exponents}.")
        self.exponents = exponents

    def fit(self, interactions: Interactions) -> "PathFilter":
        self.n_items = interactions.n_items
        matrix = interactions.matrix().astype(np.float32)
        self.of_users, self.of_items = _degrees(matrix)
        self.by_user, self.by_item = matrix, matrix.T.tocsr()
        return self

    def score_items(self, queries: Queries) -> np.ndarray:
        paths = history_matrix(queries, self.n_items).T.tocsr()
        for enter, middle, leave in self.exponents:
            entered = sp.diags(self.of_items**-enter) @ paths
            fans = self.by_user @ entered
            fans = fans.toarray() if sp.issparse(fans) else fans
            paths = self.by_item @ (fans * self.of_users[:, None] ** -middle)
            paths *= self.of_items[:, None] ** -leave
        return np.ascontiguousarray(paths.T)


class LowPass:
    """score = x D^-1/2 V V^T D^1/2, V the `dim` leading right singular vectors of D_U^-1/2 R D^-1/2 by `spectrum`.

    The ideal low-pass filter on the item graph: what varies slowly along the edges passes, the rest does not (Shen et
    al. 2021, section 4). x is the user's history, D and D_U the numbers of events of items and users.
    """

    def __init__(self, dim: int = 256, n_iterations: int = 3):
        self.dim, self.n_iterations = dim, n_iterations

    def fit(self, interactions: Interactions) -> "LowPass":
        self.n_items = interactions.n_items
        self.vectors = spectrum(interactions, self.dim, self.n_iterations)[2]
        self.root_degrees = np.sqrt(_degrees(interactions.matrix())[1])
        return self

    def user_vectors(self, queries: Queries) -> np.ndarray:
        """(S, dim) float32: each history projected."""
        return history_matrix(queries, self.n_items) @ (self.vectors / self.root_degrees[:, None])

    def item_vectors(self) -> np.ndarray:
        """(n_items, dim) float32, for the index."""
        return self.vectors * self.root_degrees[:, None]

    def score_items(self, queries: Queries) -> np.ndarray:
        return self.user_vectors(queries) @ self.item_vectors().T


class WeightedSum:
    """score = sum_m w_m s_m(u, i): filters are linear in the history, so their weighted sum is a filter again.

    GF-CF (Shen et al. 2021) is PathFilter((1/2, 1, 1/2)) + alpha LowPass. models: of one catalogue, fitted together.
    """

    def __init__(self, models: Sequence, weights: Sequence[float]):
        if len(models) != len(weights):
            raise ValueError(f"weights must be one a model ({len(models)}); got {weights}.")
        self.models, self.weights = list(models), list(weights)

    def fit(self, interactions: Interactions) -> "WeightedSum":
        self.n_items = interactions.n_items
        for model in self.models:
            model.fit(interactions)
        return self

    def score_items(self, queries: Queries) -> np.ndarray:
        scored = [np.float32(weight) * model.score_items(queries) for weight, model in zip(self.weights, self.models)]
        return np.sum(scored, axis=0)
