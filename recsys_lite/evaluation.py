"""The one path from a model to its ranked lists, its figures per user and the table that compares it with others."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch

from recsys_lite import metrics
from recsys_lite.examples import Queries
from recsys_lite.splits import Split

USERS_AT_ONCE = 512


class Recommender(Protocol):
    """Everything that can be evaluated: score_items gives (S, n_items), higher is better, for S requests."""

    n_items: int

    def score_items(self, queries: Queries) -> np.ndarray: ...


def top_k(scores: np.ndarray, k: int) -> np.ndarray:
    """The k best columns of each row of (S, n) scores: (S, k), best first, equal ones by index, -1 in place of -inf."""
    n = scores.shape[1]
    if not 1 <= k <= n:
        raise ValueError(f"k must be in [1, {n}], the size of the catalogue; got {k}.")
    values, best = (part.numpy() for part in torch.topk(torch.from_numpy(np.require(scores, requirements="W")), k))
    order = np.lexsort((best, -values))
    values, best = np.take_along_axis(values, order, axis=1), np.take_along_axis(best, order, axis=1)
    enough = scores >= values[:, -1:]
    for row in np.flatnonzero(enough.sum(axis=1) > k):  # torch keeps any of those that tie for the last place
        items = np.flatnonzero(enough[row])
        best[row] = items[np.argsort(-scores[row, items], kind="stable")[:k]]
    return np.where(values == -np.inf, -1, best)


def _scores(model: Recommender, queries: Queries, exclude: np.ndarray | None) -> np.ndarray:
    n_rows, n_items = len(queries.users), model.n_items
    scores = np.asarray(model.score_items(queries))
    if scores.shape != (n_rows, n_items):
        raise ValueError(f"score_items must give ({n_rows}, {n_items}); got {scores.shape} from {model!r}.")
    if scores.dtype.kind != "f":
        scores = scores.astype(np.float64)
    if np.isnan(scores).any():
        n_bad = int(np.isnan(scores).sum())
        raise ValueError(f"score_items must not give NaN; got {n_bad} from {model!r}. Did training diverge?")
    if exclude is None:
        return scores
    padded = np.empty((n_rows, n_items + 1), scores.dtype)  # the last column takes the padding of `exclude`
    padded[:, :-1] = scores
    np.put_along_axis(padded, exclude, -np.inf, axis=1)
    return padded[:, :-1]


def recommend(model: Recommender, queries: Queries, k: int, *, exclude: np.ndarray | None = None) -> np.ndarray:
    """The k best items of each request, (S, k), best first, -1 pads; equal scores by lower index.

    exclude: (S, L) items that must not come back, padded with n_items: exclude=queries.history leaves out the seen.
    ValueError if k is not in [1, n_items], a score is NaN or `exclude` is anything else.
    """
    n_rows, n_items = len(queries.users), model.n_items
    if exclude is not None:
        exclude = np.asarray(exclude)
        if exclude.ndim != 2 or len(exclude) != n_rows:
            raise ValueError(f"exclude must be (S, L) with S = {n_rows}, one row a query; got shape {exclude.shape}.")
        if exclude.min(initial=0) < 0 or exclude.max(initial=0) > n_items:
            raise ValueError(
                f"exclude must hold item indices in [0, {n_items}), or {n_items} as padding; "
                f"got {exclude.min()} to {exclude.max()}."
            )
    lists = []
    for start in range(0, n_rows, USERS_AT_ONCE):
        rows = slice(start, start + USERS_AT_ONCE)
        lists.append(top_k(_scores(model, queries.take(rows), None if exclude is None else exclude[rows]), k))
    return np.concatenate(lists) if lists else np.empty((0, k), dtype=np.int64)


def _test_users(split: Split) -> np.ndarray:
    users = split.test_users()
    if len(users) == 0:
        raise ValueError("split must have test events; got an empty test part.")
    return users


def ranks(model: Recommender, split: Split) -> pd.DataFrame:
    """One row a test event: user, item, rank (the item's place among all that the user has not seen) and tied.

    1 is best; `tied` items of equal score, the item itself among them, share the mean of their places. An item that the
    user has seen before the test comes after all others.
    """
    users = _test_users(split)
    rows = []
    for start in range(0, len(users), USERS_AT_ONCE):
        chunk = users[start : start + USERS_AT_ONCE]
        queries = split.queries(chunk)
        scores = _scores(model, queries, queries.history.numpy())
        for user, row in zip(chunk, scores):
            items = np.unique(split.test.items[split.test.users == user])
            better = (row[None, :] > row[items, None]).sum(axis=1)
            equal = (row[None, :] == row[items, None]).sum(axis=1)
            rows.append(pd.DataFrame({"user": user, "item": items, "rank": better + (equal + 1) / 2, "tied": equal}))
    return pd.concat(rows, ignore_index=True)


def measure(recommended: np.ndarray, split: Split, k: tuple[int, ...] = (10, 20)) -> pd.DataFrame:
    """Figures per test user: ndcg, recall and mrr at each k; novelty and recall by popularity third at the largest.

    recommended: (n_test_users, max(k) or more) in the order of split.test_users(). Popularity is that of split.known.
    `recall@20 tail` counts only the user's test items in that third (NaN where there are none), so the means of the
    three do not average to recall@20.
    """
    recommended = np.asarray(recommended)
    if recommended.ndim != 2 or not 1 <= min(k) <= max(k) <= recommended.shape[1]:
        raise ValueError(f"k must be from 1 to the length of the lists; got {tuple(k)}, lists {recommended.shape}.")
    recommended = recommended[:, : max(k)]
    users = _test_users(split)
    relevant = (split.test.matrix()[users] > 0).astype(np.float32)
    counts = split.known.item_counts()
    thirds = metrics.popularity_thirds(counts)
    figures = {}
    for cut in sorted(k):
        for name, metric in (("ndcg", metrics.ndcg), ("recall", metrics.recall), ("mrr", metrics.mrr)):
            figures[f"{name}@{cut}"] = metric(recommended[:, :cut], relevant)
    figures[f"novelty@{max(k)}"] = metrics.novelty(recommended, counts)
    for third, name in enumerate(("head", "middle", "tail")):
        of_third = relevant @ sp.diags((thirds == third).astype(np.float32))
        figures[f"recall@{max(k)} {name}"] = metrics.recall(recommended, of_third)
    return pd.DataFrame(figures, index=pd.Index(users, name="user"))


def evaluate(model: Recommender, split: Split, k: tuple[int, ...] = (10, 20)) -> pd.DataFrame:
    """`measure` of the model's lists for every test user, all items ranked, seen ones left out.

    A test item that the user has seen before cannot come back, so it counts as missed.
    """
    return measure(judged_lists(model, split, max(k)), split, k)


def judged_lists(model: Recommender, split: Split, k: int) -> np.ndarray:
    """The lists that are judged: (n_test_users, k) in the order of split.test_users()."""
    lists = []
    users = _test_users(split)
    for start in range(0, len(users), USERS_AT_ONCE):
        queries = split.queries(users[start : start + USERS_AT_ONCE])
        lists.append(recommend(model, queries, k, exclude=queries.history.numpy()))
    return np.concatenate(lists)


def paired_difference(ours: pd.Series, theirs: pd.Series) -> tuple[float, float]:
    """(mean of ours - theirs over the n users that both have, half width 1.96 s / sqrt(n) of its 95% interval).

    Series of figures per user, matched by their index; s is the standard deviation of the differences.
    """
    difference = (ours - theirs).dropna()
    if len(difference) < 2:
        raise ValueError(f"ours and theirs must share two users or more; got {len(difference)}.")
    return float(difference.mean()), float(1.96 * difference.sem())


def compare(
    models: Mapping[str, Recommender], split: Split, k: tuple[int, ...] = (10, 20), baseline: str | None = None
) -> pd.DataFrame:
    """One row a model: means over users, coverage, and the paired difference in ndcg@min(k) to `baseline`.

    The best comes first; `baseline` is the first of `models` unless named. `±` columns are half widths of 95%
    intervals; a difference smaller than its own is not distinguishable from none.
    """
    if not models:
        raise ValueError("models must name at least one model; got none.")
    baseline = next(iter(models)) if baseline is None else baseline
    if baseline not in models:
        raise ValueError(f"baseline must be one of {list(models)}; got {baseline!r}.")
    lists = {name: judged_lists(model, split, max(k)) for name, model in models.items()}
    figures = {name: measure(recommended, split, k) for name, recommended in lists.items()}
    coverage = {name: metrics.coverage(lists[name], split.test.n_items) for name in lists}
    return summary(figures, coverage, baseline, f"ndcg@{min(k)}")


def summary(
    figures: Mapping[str, pd.DataFrame], coverage: Mapping[str, float], baseline: str, headline: str
) -> pd.DataFrame:
    """The table of `compare` from figures per user, so that stored figures and fresh ones can stand in one table."""
    rows = {}
    for name, per_user in figures.items():
        difference, half_width = paired_difference(per_user[headline], figures[baseline][headline])
        rows[name] = {}
        for column in [headline, *per_user.columns.drop(headline)]:
            rows[name] |= {column: per_user[column].mean(), f"{column} ±": 1.96 * per_user[column].sem()}
        rows[name] |= {"coverage": coverage[name], f"vs {baseline}": difference, f"vs {baseline} ±": half_width}
    return pd.DataFrame.from_dict(rows, orient="index").sort_values(headline, ascending=False)
