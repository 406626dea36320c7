"""Metrics of ranked lists, each from its formula, in plain numpy.

Shapes throughout: recommended (S, k) int item indices, best first, -1 where a list is short; relevant (S, n_items)
sparse, non-zero where an item of the test set is relevant. Write h_j = 1 if the item at position j (from 1) is
relevant, else 0, and r for the number of relevant items. Metrics of h return (S,) floats in [0, 1], NaN where r = 0.
ValueError where a list repeats an item, or holds what is neither an index nor -1.
"""

import numpy as np
import scipy.sparse as sp


def _lists(recommended: np.ndarray, n_items: int) -> np.ndarray:
    """The lists, checked."""
    recommended = np.asarray(recommended)
    if recommended.ndim != 2 or recommended.shape[1] < 1:
        raise ValueError(f"recommended must be (S, k) with k at least 1; got shape {recommended.shape}.")
    if recommended.dtype.kind not in "iu":
        raise ValueError(f"recommended must hold item indices; got {recommended.dtype}. Scores? Rank them by top_k.")
    low, high = recommended.min(initial=0), recommended.max(initial=-1)
    if high >= n_items or low < -1:
        raise ValueError(f"recommended must hold indices in [0, {n_items}) or -1; got {low} to {high}.")
    in_order = np.sort(recommended, axis=1)
    if ((np.diff(in_order) == 0) & (in_order[:, 1:] >= 0)).any():
        raise ValueError("recommended must not repeat an item within a list; a repeated hit would count twice.")
    return recommended


def _counts(counts: np.ndarray) -> np.ndarray:
    """The counts, checked."""
    counts = np.asarray(counts)
    if counts.ndim != 1 or counts.min(initial=0) < 0 or not 0 < counts.sum() < np.inf:
        raise ValueError(
            "counts must be one-dimensional, not negative, finite and not all zero; "
            f"got shape {counts.shape} with sum {counts.sum()}."
        )
    return counts


def hits(recommended: np.ndarray, relevant: sp.csr_matrix) -> np.ndarray:
    """h, (S, k) bool: is the item at this position relevant? Padding never is."""
    recommended = _lists(recommended, relevant.shape[1])
    if len(recommended) != relevant.shape[0]:
        raise ValueError(f"recommended must have the {relevant.shape[0]} rows of relevant; got {len(recommended)}.")
    if not recommended.size:
        return np.zeros(recommended.shape, dtype=bool)
    rows = np.arange(len(recommended))[:, None]
    found = relevant.tocsr()[rows, np.maximum(recommended, 0)].toarray()
    return (found != 0) & (recommended >= 0)


def _n_relevant(relevant: sp.csr_matrix) -> np.ndarray:
    counts = relevant.count_nonzero(axis=1).astype(float)
    return np.where(counts > 0, counts, np.nan)


def precision(recommended: np.ndarray, relevant: sp.csr_matrix) -> np.ndarray:
    """P@k = sum_j h_j / k: a short list is not forgiven."""
    return hits(recommended, relevant).mean(axis=1) + 0 * _n_relevant(relevant)


def recall(recommended: np.ndarray, relevant: sp.csr_matrix) -> np.ndarray:
    """R@k = sum_j h_j / r. With r > k it cannot reach 1."""
    return hits(recommended, relevant).sum(axis=1) / _n_relevant(relevant)


def hit_rate(recommended: np.ndarray, relevant: sp.csr_matrix) -> np.ndarray:
    """HR@k = max_j h_j."""
    return hits(recommended, relevant).any(axis=1) + 0 * _n_relevant(relevant)


def mrr(recommended: np.ndarray, relevant: sp.csr_matrix) -> np.ndarray:
    """RR@k = 1 / (position of the first hit), 0 without one; its mean over users is the MRR."""
    found = hits(recommended, relevant)
    first = found.argmax(axis=1) + 1
    return np.where(found.any(axis=1), 1 / first, 0.0) + 0 * _n_relevant(relevant)


def average_precision(recommended: np.ndarray, relevant: sp.csr_matrix) -> np.ndarray:
    """AP@k = sum_j h_j (sum_{i<=j} h_i / j) / min(k, r); its mean over users is MAP."""
    found = hits(recommended, relevant)
    positions = np.arange(1, found.shape[1] + 1)
    return (found * found.cumsum(axis=1) / positions).sum(axis=1) / np.minimum(found.shape[1], _n_relevant(relevant))


def ndcg(recommended: np.ndarray, relevant: sp.csr_matrix) -> np.ndarray:
    """nDCG@k = sum_j h_j / log2(j + 1) over the same sum for the ideal list, which opens with min(k, r) hits.

    Järvelin and Kekäläinen (2002), with binary gains. Their own discount leaves positions 1 and 2 whole and divides by
    log2(j) from there; log2(j + 1), which tells the first place from the second, is the later custom.
    """
    found = hits(recommended, relevant)
    discounts = 1 / np.log2(np.arange(2, found.shape[1] + 2))
    n_ideal = np.minimum(found.shape[1], _n_relevant(relevant))
    ideal = np.append(0, discounts.cumsum())[np.nan_to_num(n_ideal).astype(int)]
    return (found * discounts).sum(axis=1) / np.where(np.isnan(n_ideal), np.nan, ideal)


def coverage(recommended: np.ndarray, n_items: int) -> float:
    """Share of the catalogue that appears in at least one list, in [0, 1]."""
    shown = np.unique(_lists(recommended, n_items))
    return float((shown >= 0).sum() / n_items)


def gini(counts: np.ndarray) -> float:
    """G = sum_i (2i - n - 1) c_(i) / (n sum c), c sorted upwards, i from 1: 0 if all are equal, 1 - 1/n if one has all.

    counts: (n,), for example the events or the recommendations of each item.
    """
    counts = np.sort(_counts(counts))
    n = len(counts)
    return float(((2 * np.arange(1, n + 1) - n - 1) * counts).sum() / (n * counts.sum()))


def novelty(recommended: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mean surprise of a list in bits: mean_j of -log2 p(item_j), p the item's share of the events; (S,).

    counts: (n_items,) events of each item. Padding is left out, an empty list gives NaN. An item without events counts
    as having one, so that its surprise is finite.
    """
    counts = _counts(counts)
    recommended = _lists(recommended, len(counts))
    surprise = -np.log2(np.maximum(counts, 1) / counts.sum())
    present = recommended >= 0
    total = (surprise[np.maximum(recommended, 0)] * present).sum(axis=1)
    return total / np.where(present.any(axis=1), present.sum(axis=1), np.nan)


def popularity_thirds(counts: np.ndarray) -> np.ndarray:
    """0 head, 1 middle, 2 tail for each item: most popular first, each third holds about a third of the events.

    counts: (n_items,) events of each item. Item i is in third floor(3 * share), share the part of all events that went
    to the items before it (ties by index).
    """
    counts = _counts(counts)
    order = np.argsort(-counts, kind="stable")
    before = counts[order].cumsum() - counts[order]
    thirds = np.empty(len(counts), dtype=np.int64)
    thirds[order] = np.minimum(3 * before // counts.sum(), 2)
    return thirds
