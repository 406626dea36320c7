"""Likes as the edges of a graph, and models that send vectors along them: LightGCN and NGCF."""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recsys_lite.examples import Queries
from recsys_lite.interactions import Interactions
from recsys_lite.vectors import VectorModel, embedding, seeded


def adjacency(interactions: Interactions) -> sp.csr_matrix:
    """A = [[0, R], [R^T, 0]], square of side n_users + n_items, float32: users first, then items, an edge an event.

    A pair that met twice is one edge: a graph has it or not.
    """
    matrix = interactions.matrix().sign()
    return sp.bmat([[None, matrix], [matrix.T, None]], format="csr", dtype=np.float32)


def normalised_adjacency(interactions: Interactions) -> sp.csr_matrix:
    """D^-1/2 A D^-1/2, D the diagonal of the degrees: an edge (u, i) weighs 1 / sqrt(d_u d_i) (He et al. 2020, eq. 3).

    Its eigenvalues lie in [-1, 1]. A node without edges keeps a row of zeros.
    """
    edges = adjacency(interactions)
    degrees = np.asarray(edges.sum(axis=1)).ravel()
    scale = sp.diags(np.maximum(degrees, 1) ** -0.5)
    return (scale @ edges @ scale).astype(np.float32).tocsr()


def _times(matrix: sp.csr_matrix, x: Tensor) -> Tensor:
    """The product, row by row a weighted sum of rows of x: an embedding bag is that, and faster than a sparse product."""
    columns, starts, weights = map(torch.from_numpy, (matrix.indices, matrix.indptr, matrix.data))
    how = {"mode": "sum", "include_last_offset": True}
    return F.embedding_bag(columns, x.detach(), starts, per_sample_weights=weights.to(x.dtype), **how)


class _Propagation(torch.autograd.Function):
    """x -> A x for a sparse symmetric A, or some rows of it. The gradient by x is A^T g = A g: no transpose is kept."""

    @staticmethod
    def forward(ctx, x: Tensor, matrix: sp.csr_matrix, nodes: Tensor | None) -> Tensor:
        ctx.matrix, ctx.nodes = matrix, nodes
        return _times(matrix if nodes is None else matrix[nodes.numpy()], x)

    @staticmethod
    def backward(ctx, gradient: Tensor):
        if ctx.nodes is not None:
            whole = gradient.new_zeros(ctx.matrix.shape[0], gradient.shape[1])
            gradient = whole.index_add_(0, ctx.nodes, gradient)
        return _times(ctx.matrix, gradient), None, None


def propagate(matrix: sp.csr_matrix, x: Tensor, nodes: Tensor | None = None) -> Tensor:
    """A x, each node's weighted sum over its neighbours: (n, n) sparse times (n, d). The gradient takes A as symmetric.

    nodes: (m,) node numbers whose rows of it are wanted, (m, d); all unless given.
    """
    return _Propagation.apply(x, matrix, nodes)


def _rows(layer: Tensor, wanted: Tensor | None) -> Tensor:
    return layer if wanted is None else layer.index_select(0, wanted)


class GraphModel(VectorModel):
    """Vectors of all nodes, made together: a subclass says how, in `nodes`. Users stand first, then items.

    matrix: (n, n) sparse and symmetric, such as `normalised_adjacency(known)`. Every user and item has a row in it, so
    one who came later has no vector. ValueError if the matrix is not symmetric or n_users is not below n.
    """

    def __init__(self, matrix: sp.csr_matrix, n_users: int, dim: int, seed: int):
        super().__init__()
        n = matrix.shape[0]
        if matrix.shape != (n, n) or abs(matrix - matrix.T).sum() > 1e-3:
            raise ValueError(
                f"matrix must be square and symmetric, as the gradient takes it to be; got shape {matrix.shape}. "
                "Build it by normalised_adjacency(interactions)."
            )
        if not 0 < n_users < n:
            raise ValueError(f"n_users must be in (0, {n}), the nodes of the graph; got {n_users}.")
        self.matrix, self.n_users, self.n_items = matrix.tocsr().astype(np.float32), n_users, n - n_users
        with seeded(seed):
            self.start = embedding(n, dim)

    @abstractmethod
    def nodes(self, wanted: Tensor | None = None) -> Tensor:
        """(n_users + n_items, d): the final vector of every node; given `wanted`, of these alone, in their order."""

    def encode_users(self, queries: Queries) -> Tensor:
        return self.nodes(queries.row_users())

    def encode_items(self, items: Tensor) -> Tensor:
        return self.nodes(self.n_users + items)

    def forward(self, queries: Queries, items: Tensor) -> tuple[Tensor, Tensor]:
        """Both from one propagation: what a training step costs."""
        users, place = queries.row_users().unique(return_inverse=True)
        of_users, of_items = self.nodes(torch.cat([users, self.n_users + items])).split([len(users), len(items)])
        return of_users[place], of_items


class LightGCN(GraphModel):
    """E = sum_k a_k A^k E0 over k = 0..K with learned E0 alone, and score(u, i) = <e_u, e_i> (He et al. 2020, eq. 3-8).

    layer_weights: a_0 to a_K, 1 / (K + 1) each unless given: a mean of the layers. (1.0,) is matrix factorization, (0, 0,
    1.0) the second layer alone. matrix: see GraphModel; the paper's is `normalised_adjacency`. dim: length of a vector.
    ValueError if n_layers is negative or there is not one weight a layer, counted with the zeroth.
    """

    def __init__(
        self,
        matrix: sp.csr_matrix,
        n_users: int,
        dim: int = 64,
        n_layers: int = 3,
        layer_weights: Sequence[float] | None = None,
        seed: int = 0,
    ):
        super().__init__(matrix, n_users, dim, seed)
        if n_layers < 0:
            raise ValueError(f"n_layers must not be negative; got {n_layers}.")
        self.layer_weights = [1 / (n_layers + 1)] * (n_layers + 1) if layer_weights is None else list(layer_weights)
        if len(self.layer_weights) != n_layers + 1:
            raise ValueError(
                f"layer_weights must be n_layers + 1 = {n_layers + 1} numbers, the zeroth layer first; "
                f"got {len(self.layer_weights)}."
            )

    def nodes(self, wanted: Tensor | None = None) -> Tensor:
        layer, weights = self.start.weight, self.layer_weights
        total = weights[0] * _rows(layer, wanted)
        for weight in weights[1:-1]:
            layer = propagate(self.matrix, layer)
            total = total + weight * _rows(layer, wanted)
        if len(weights) > 1:  # the last layer, which none is made from, is needed for the wanted alone
            total = total + weights[-1] * propagate(self.matrix, layer, wanted)
        return total


class NGCF(GraphModel):
    """E_(k+1) = LeakyReLU((A + I) E_k W1 + (A E_k * E_k) W2), final vectors [E_0, ..., E_K] (Wang et al. 2019, eq. 7, 9).

    * is elementwise: how a node and its neighbours agree. W1, W2 are (dim, dim) for each of the K = n_layers layers; the
    slope left of 0 is 0.2, the layers' results are concatenated, (K + 1) dim numbers a node. The paper's dropout of
    messages and nodes is left out. ValueError if n_layers is not at least 1.
    """

    def __init__(
        self,
        matrix: sp.csr_matrix,
        n_users: int,
        dim: int = 64,
        n_layers: int = 3,
        seed: int = 0,
    ):
        super().__init__(matrix, n_users, dim, seed)
        if n_layers < 1:
            raise ValueError(f"n_layers must be at least 1; got {n_layers}.")
        with seeded(seed + 1):
            self.sums = nn.ModuleList(nn.Linear(dim, dim, bias=False) for _ in range(n_layers))
            self.products = nn.ModuleList(nn.Linear(dim, dim, bias=False) for _ in range(n_layers))
            for layer in [*self.sums, *self.products]:
                nn.init.xavier_uniform_(layer.weight)

    def nodes(self, wanted: Tensor | None = None) -> Tensor:
        layers = [self.start.weight]
        for k, (of_sum, of_product) in enumerate(zip(self.sums, self.products), 1):
            of = wanted if k == len(self.sums) else None  # as in LightGCN
            own, around = _rows(layers[-1], of), propagate(self.matrix, layers[-1], of)
            layers.append(F.leaky_relu(of_sum(around + own) + of_product(around * own), 0.2))
        return torch.cat([*(_rows(layer, wanted) for layer in layers[:-1]), layers[-1]], dim=1)
