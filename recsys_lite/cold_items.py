"""Vectors for items that came after training: from their content, from their first events, and from both."""

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor

from recsys_lite.content import Features
from recsys_lite.graphs import LightGCN, normalised_adjacency
from recsys_lite.interactions import Interactions, as_indices
from recsys_lite.towers import ItemIds


def ridge_map(features: Features, vectors: np.ndarray, warm: np.ndarray, regularization: float) -> np.ndarray:
    """m_i = a + W^T e_i with W, a from min sum_(j in warm) |y_j - a - W^T (e_j - mean)|^2 + lambda |W|^2: (n_items, d) float32.

    features: e, a row an item; vectors: y, (n_items, d), those of `warm` are learnt from and the others never looked at.
    Means are those of the warm items, so an item of which nothing is known gets what no facts at all would mean. It is
    solved by one system with a row a warm item, however many features there are. That a map from attributes to the vectors
    of a trained factorization serves new items is due to Gantner et al. (2010).
    """
    warm = _warm(features, vectors, warm)
    if regularization <= 0:
        raise ValueError(f"regularization must be positive; got {regularization}.")
    rows = features.matrix.toarray().astype(np.float64)
    rows -= rows[warm].mean(axis=0)
    centre = vectors[warm].mean(axis=0, dtype=np.float64)
    gram = rows[warm] @ rows[warm].T
    gram[np.diag_indices(len(warm))] += regularization
    weights = rows[warm].T @ np.linalg.solve(gram, vectors[warm] - centre)
    return (rows @ weights + centre).astype(np.float32)


def content_edges(features: Features, warm: np.ndarray, k: int) -> sp.csr_matrix:
    """W, (n_items, n_items): w_ij = cos(e_i, e_j) / sum_l cos(e_i, e_l) over the k warm items j most like i, without i.

    Cosines of 0 or less make no edge, so rows sum to 1, or to 0 where nothing is alike. Equal cosines: lower index first.
    W y passes vectors along these edges, and s W^T scores: the same, where scores are dot products.
    """
    warm = as_indices(warm, features.n_items, "warm")
    if not 1 <= k < len(warm):
        raise ValueError(f"k must be in [1, {len(warm) - 1}], below the number of warm items; got {k}.")
    rows = features.normalised().matrix
    likeness = (rows @ rows[warm].T).toarray()
    likeness[warm, np.arange(len(warm))] = 0.0
    nearest = np.argsort(-likeness, axis=1, kind="stable")[:, :k]
    weight = np.maximum(np.take_along_axis(likeness, nearest, axis=1), 0.0)
    weight /= np.where(weight.sum(axis=1) > 0, weight.sum(axis=1), 1.0)[:, None]
    places = np.repeat(np.arange(features.n_items), k), warm[nearest.ravel()]
    edges = sp.csr_matrix((weight.ravel(), places), shape=(features.n_items,) * 2)
    edges.eliminate_zeros()
    return edges


def fold_in(
    events: sp.csr_matrix, users: np.ndarray, regularization: float, prior: np.ndarray | None = None, unmet: float = 1.0
) -> np.ndarray:
    """y_i = argmin_y sum_(u met i) (1 - <x_u, y>)^2 + w sum_(u did not) <x_u, y>^2 + lambda |y - m_i|^2: (S, d) float32.

    The solution of (w X^T X + (1 - w) sum_(u met i) x_u x_u^T + lambda I) y = sum_(u met i) x_u + lambda m_i.
    events: (S, n_users), a row an item, users it has met; users: X, (n_users, d); prior: m, (S, d), zeros by default;
    unmet: w in [0, 1]. With w = 1 and m = 0 this is the item half step of `ImplicitALS` with alpha = 0 (Hu, Koren and
    Volinsky 2008, eq. 5). With w = 0 an item without events gets m_i itself.
    """
    if regularization <= 0:
        raise ValueError(f"regularization must be positive; got {regularization}.")
    if not 0 <= unmet <= 1:
        raise ValueError(f"unmet must be a weight in [0, 1]; got {unmet}.")
    events, dim = sp.csr_matrix(events).sign(), users.shape[1]
    if events.shape[1] != len(users):
        raise ValueError(f"events must have a column a user, {len(users)}; got {events.shape[1]}. Transpose it?")
    prior = np.zeros((events.shape[0], dim)) if prior is None else np.asarray(prior)
    if prior.shape != (events.shape[0], dim):
        raise ValueError(f"prior must be {(events.shape[0], dim)}, a row a row of events; got {prior.shape}.")
    users = users.astype(np.float64)
    shared = unmet * users.T @ users + regularization * np.eye(dim)
    right = events @ users + regularization * prior
    solved = np.empty((events.shape[0], dim), dtype=np.float32)
    for row in range(events.shape[0]):
        own = users[events.indices[events.indptr[row] : events.indptr[row + 1]]]
        solved[row] = np.linalg.solve(shared + (1 - unmet) * own.T @ own, right[row])
    return solved


def with_edges(model: LightGCN, events: Interactions, starts: np.ndarray | None = None) -> LightGCN:
    """The trained LightGCN on the graph of `events`, nothing trained again: vectors of old nodes are sent along new edges.

    starts: (n_items, dim) start vectors of the items that had no edge in the model's graph, other rows are not looked
    at; zeros by default, since what stands there was never trained. ValueError if the nodes are others.
    """
    if (events.n_users, events.n_items) != (model.n_users, model.n_items):
        raise ValueError(
            f"events must be among the model's {model.n_users} users and {model.n_items} items; got {events!r}."
        )
    learned = model.start.weight.detach().clone()
    shape = (model.n_items, learned.shape[1])
    starts = np.zeros(shape, dtype=np.float32) if starts is None else np.asarray(starts, dtype=np.float32)
    if starts.shape != shape:
        raise ValueError(f"starts must be (n_items, dim) = {shape}; got {starts.shape}.")
    unseen = np.flatnonzero(np.diff(model.matrix.indptr)[model.n_users :] == 0)
    learned[model.n_users + torch.from_numpy(unseen)] = torch.from_numpy(starts[unseen])
    weights = model.layer_weights
    grown = LightGCN(normalised_adjacency(events), model.n_users, shape[1], len(weights) - 1, weights)
    grown.start.weight.data = learned
    return grown


class DroppedIds(ItemIds):
    """Item vector = a learned row, in training zeros with probability `dropout`; afterwards zeros where counts is 0.

    For a `Sum` or `Concat` with a tower of content, which so learns to do without the id (Volkovs et al. 2017, of both
    sides). An id is dropped anew for each batch, and left as it is otherwise: a new item lacks the whole of it.
    counts: (n_items,) training events of each item.
    """

    def __init__(self, counts: np.ndarray, dim: int, dropout: float = 0.5, seed: int = 1):
        super().__init__(len(counts), dim, seed)
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be a share in [0, 1); got {dropout}.")
        self.dropout = dropout
        self.register_buffer("is_trained", torch.from_numpy(np.asarray(counts) > 0))

    def forward(self, items: Tensor) -> Tensor:
        rows = self.items(items)
        kept = self.is_trained[items]
        if self.training:
            kept = F.dropout(torch.ones(len(items)), self.dropout) > 0
        return rows * kept[:, None]


def _warm(features: Features, vectors: np.ndarray, warm: np.ndarray) -> np.ndarray:
    if np.ndim(vectors) != 2 or len(vectors) != features.n_items:
        raise ValueError(f"vectors must be (n_items, d) with n_items = {features.n_items}; got {np.shape(vectors)}.")
    warm = as_indices(warm, features.n_items, "warm")
    if not len(warm):
        raise ValueError("warm must name the items whose vectors were trained; got none.")
    return warm
