"""The same things as one writes them first: a loop over users, LightGCN by autograd, a softmax over the catalogue."""

import math

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recsys_lite import metrics
from recsys_lite.splits import Split


def evaluate(users: np.ndarray, items: np.ndarray, split: Split) -> list[dict[str, float]]:
    """A row a test user, with the figures of `evaluation.measure`: one user, one sort, one set at a time."""
    seen, relevant = split.known.matrix(), split.test.matrix()
    counts = split.known.item_counts()
    surprise = -np.log2(np.maximum(counts, 1) / counts.sum())
    thirds = metrics.popularity_thirds(counts)
    rows = []
    for user in split.test_users():
        scores = items @ users[user]
        scores[seen[user].indices] = -np.inf
        best = np.argsort(-scores, kind="stable")[:20].tolist()
        wanted = set(relevant[user].indices.tolist())
        row = {}
        for k in (10, 20):
            found = [place for place, item in enumerate(best[:k]) if item in wanted]
            ideal = sum(1 / math.log2(place + 2) for place in range(min(k, len(wanted))))
            row[f"ndcg@{k}"] = sum(1 / math.log2(place + 2) for place in found) / ideal
            row[f"recall@{k}"] = len(found) / len(wanted)
            row[f"mrr@{k}"] = 1 / (found[0] + 1) if found else 0.0
        row["novelty@20"] = sum(surprise[item] for item in best) / 20
        for third, name in enumerate(("head", "middle", "tail")):
            among = {item for item in wanted if thirds[item] == third}
            row[f"recall@20 {name}"] = sum(item in among for item in best) / len(among) if among else math.nan
        rows.append(row)
    return rows


def as_coo(matrix: sp.csr_matrix) -> Tensor:
    """The same as torch's sparse tensor."""
    coo = matrix.tocoo()
    places = torch.from_numpy(np.stack([coo.row, coo.col]).astype(np.int64))
    return torch.sparse_coo_tensor(places, torch.from_numpy(coo.data), coo.shape, check_invariants=False).coalesce()


class LightGCN(nn.Module):
    """The layers' mean by torch's sparse product of a COO matrix; autograd finds the gradient."""

    def __init__(self, matrix: sp.csr_matrix, n_users: int, start: Tensor, n_layers: int):
        super().__init__()
        self.matrix = as_coo(matrix)
        self.start, self.n_users, self.n_layers = nn.Parameter(start.clone()), n_users, n_layers

    def nodes(self) -> Tensor:
        layers = [self.start]
        for _ in range(self.n_layers):
            layers.append(torch.sparse.mm(self.matrix, layers[-1]))
        return torch.stack(layers, dim=1).mean(dim=1)

    def bpr(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        nodes = self.nodes()
        own, items = nodes[users], nodes[self.n_users :]
        difference = (own * items[negatives]).sum(dim=1) - (own * items[positives]).sum(dim=1)
        return F.softplus(difference).mean()


def full_softmax(users: nn.Embedding, items: nn.Embedding, of: Tensor, positives: Tensor) -> Tensor:
    """Cross-entropy with every item of the catalogue as a class."""
    return F.cross_entropy(users(of) @ items.weight.T, positives)
