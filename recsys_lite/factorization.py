"""One vector a user, one vector an item, and their dot product."""

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
from scipy.linalg import solve_triangular
from torch import Tensor

from recsys_lite.examples import Queries
from recsys_lite.interactions import Interactions
from recsys_lite.linear import history_matrix
from recsys_lite.vectors import VectorModel, embedding, seeded

ROWS_AT_ONCE = 512  # the vectors of all their events are held together
TOLERANCE = 1e-6


class MatrixFactorization(VectorModel):
    """score(u, i) = <p_u, q_i> with a learned vector for every user and every item (Koren et al. 2009, eq. 1)."""

    def __init__(self, n_users: int, n_items: int, dim: int, seed: int = 0):
        super().__init__()
        self.n_items = n_items
        with seeded(seed):
            self.users, self.items = embedding(n_users, dim), embedding(n_items, dim)

    def encode_users(self, queries: Queries) -> Tensor:
        return self.users(queries.row_users())

    def encode_items(self, items: Tensor) -> Tensor:
        return self.items(items)


def conjugate_gradients(product: Callable[[np.ndarray], np.ndarray], right: np.ndarray) -> np.ndarray:
    """The rows x with product(x) = right, each row a system of its own (Hestenes and Stiefel 1952): (n, d) float32.

    product(x) multiplies each row by its own symmetric positive matrix. It stops where every residual is TOLERANCE of its right
    side or less; after d steps all would be exact, were it not for rounding, and 3 d are the most.
    """
    solved, residual, direction = np.zeros_like(right), right.copy(), right.copy()
    squares = np.einsum("nd,nd->n", residual, residual)
    enough, least = TOLERANCE**2 * squares, np.finfo(np.float32).tiny
    for _ in range(3 * right.shape[1]):
        if (squares <= enough).all():
            break
        along = product(direction)
        step = squares / np.maximum(np.einsum("nd,nd->n", direction, along), least)
        solved += step[:, None] * direction
        residual -= step[:, None] * along
        before, squares = squares, np.einsum("nd,nd->n", residual, residual)
        direction = residual + (squares / np.maximum(before, least))[:, None] * direction
    return solved


class ImplicitALS:
    """min sum_ui c_ui (p_ui - <x_u, y_i>)^2 + lambda (|X|^2 + |Y|^2), p_ui = [r_ui > 0], c_ui = 1 + alpha r_ui.

    Alternating least squares (Hu, Koren and Volinsky 2008, eq. 3-5): with the other side fixed, x_u solves d equations,
        (Y^T Y + alpha sum_i r_ui y_i y_i^T + lambda I) x_u = sum_i (1 + alpha r_ui) y_i,  i over the items of u,
    whose first term is computed once for all users. A history is folded in by the same equation, so a user who came
    after training is served like any other. alpha = 0 weighs seen and unseen alike (the package `implicit` puts alpha
    r_ui in the place of c_ui: its alpha = 1 is 0 here). ValueError if alpha is negative or another number not positive.
    The defaults were the best of 3 x 4 x 3 on the valid part of the book's protocol.
    """

    def __init__(
        self, dim: int = 32, alpha: float = 0.1, regularization: float = 10.0, n_iterations: int = 15, seed: int = 0
    ):
        for name, value in (("dim", dim), ("regularization", regularization), ("n_iterations", n_iterations)):
            if value <= 0:
                raise ValueError(f"{name} must be positive; got {value}.")
        if alpha < 0:
            raise ValueError(f"alpha must not be negative; got {alpha}.")
        self.dim, self.alpha, self.regularization = dim, alpha, regularization
        self.n_iterations, self.seed = n_iterations, seed

    def fit(self, interactions: Interactions) -> "ImplicitALS":
        """Alternate n_iterations times from item vectors N(0, 1/d), users first."""
        matrix = interactions.matrix()
        by_item = matrix.T.tocsr()
        self.n_items = interactions.n_items
        random = np.random.default_rng(self.seed)
        self.items = random.normal(scale=self.dim**-0.5, size=(self.n_items, self.dim)).astype(np.float32)
        for _ in range(self.n_iterations):
            users = self._solve(matrix, self.items)
            self.items = self._solve(by_item, users)
        return self

    def _solve(self, matrix: sp.csr_matrix, fixed: np.ndarray) -> np.ndarray:
        """The vectors of the rows of `matrix`, the other side's fixed: (n_rows, d)."""
        root = np.linalg.cholesky(fixed.T @ fixed + self.regularization * np.eye(self.dim, dtype=np.float32))
        # in the coordinates z = root^-1 y what all rows share is the identity, and conjugate gradients need few steps
        fixed = np.ascontiguousarray(solve_triangular(root, fixed.T, lower=True).T)
        solved = np.empty((matrix.shape[0], self.dim), dtype=np.float32)
        for start in range(0, len(solved), ROWS_AT_ONCE):
            chunk = matrix[start : start + ROWS_AT_ONCE].astype(np.float32)
            seen, lengths, weighted = fixed[chunk.indices], np.diff(chunk.indptr), chunk.copy()

            def product(x: np.ndarray) -> np.ndarray:
                """x_u + alpha sum_i r_ui <z_i, x_u> z_i for all rows of the chunk."""
                weighted.data = self.alpha * chunk.data * np.einsum("ed,ed->e", seen, x.repeat(lengths, axis=0))
                return x + weighted @ fixed

            right = (chunk.sign() + self.alpha * chunk) @ fixed
            solved[start : start + ROWS_AT_ONCE] = conjugate_gradients(product, right)
        return np.ascontiguousarray(solve_triangular(root, solved.T, lower=True, trans="T").T)

    def user_vectors(self, queries: Queries) -> np.ndarray:
        """(S, d) float32: each history folded in."""
        return self._solve(history_matrix(queries, self.n_items), self.items)

    def item_vectors(self) -> np.ndarray:
        """(n_items, d) float32, for the index."""
        return self.items

    def score_items(self, queries: Queries) -> np.ndarray:
        return self.user_vectors(queries) @ self.items.T
