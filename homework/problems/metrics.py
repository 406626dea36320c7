"""Metrics and smoothing: nDCG with grades and ties, exposure, an interval over users and seeds, a prior by moments, a ranking."""

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import betaln
from scipy.stats import rankdata

from problems import Contest, Problem

EVALUATION = "Evaluation (foundations/evaluation)"
POPULAR = "Popularity (baselines/popular)"


# --- 1. nDCG with grades, ties in expectation -------------------------------------------------------------------------
def tied_ndcg(scores, gains, k):
    """Mean over users with a gain of E[DCG@k] / ideal DCG@k; a block of equal scores is in random order."""
    n = scores.shape[1]
    discounts = np.where(np.arange(n) < k, 1 / np.log2(np.arange(2, n + 2)), 0)
    total = np.append(0, discounts.cumsum())
    last, first = (rankdata(-scores, method=method, axis=1).astype(int) for method in ("max", "min"))
    expected = (total[last] - total[first - 1]) / (last - first + 1)
    ideal = np.sort(gains, axis=1)[:, ::-1] @ discounts
    some = ideal > 0
    return ((expected * gains).sum(axis=1)[some] / ideal[some]).mean()


def tied_ndcg_loop(scores, gains, k):
    values = []
    for own, worth in zip(scores.tolist(), gains.tolist()):
        if max(worth) == 0:
            continue
        earned = 0.0
        for score, gain in zip(own, worth):
            better, equal = sum(s > score for s in own), sum(s == score for s in own)
            places = range(better + 1, better + equal + 1)
            earned += gain * sum(1 / np.log2(j + 1) for j in places if j <= k) / equal
        best = sorted(worth, reverse=True)[:k]
        values.append(earned / sum(gain / np.log2(j + 1) for j, gain in enumerate(best, start=1)))
    return sum(values) / len(values)


def tied_ndcg_torch(scores, gains, k):
    """The mean gain of each block at each of its places, places being those of a plain sort."""
    scores, gains = torch.tensor(scores), torch.tensor(gains).double()
    ordered, order = scores.sort(dim=1, descending=True)
    same = (ordered[:, :, None] == ordered[:, None, :]).double()
    mean_gain = (same @ gains.gather(1, order)[:, :, None])[:, :, 0] / same.sum(dim=2)
    discounts = 1 / torch.log2(torch.arange(k).double() + 2)
    ideal = (gains.sort(dim=1, descending=True).values[:, :k] * discounts).sum(dim=1)
    return ((mean_gain[:, :k] * discounts).sum(dim=1)[ideal > 0] / ideal[ideal > 0]).mean()


def _discounts(n, k, late=1):
    places = np.arange(1, n + 1)
    return np.where(places <= k, 1 / np.log2(np.maximum(places + late, 2)), 0)


def _ndcg(late=1, ideal_k=None, own_ideal=False, power=False, ties="mean", empty=None):
    """The metric with slips; ties: "mean" of the discounts, "index" order, "kind" to what is relevant, discount of the mean "rank"."""

    def metric(scores, gains, k):
        n, values = scores.shape[1], []
        discounts = _discounts(n, k, late)
        for own, gain in zip(scores, gains):
            if gain.max() == 0:
                values += [] if empty is None else [empty]
                continue
            worth = 2.0**gain - 1 if power else gain
            low, high = rankdata(-own, method="min").astype(int), rankdata(-own, method="max").astype(int)
            order = np.lexsort((-gain if ties == "kind" else np.arange(n), -own))
            if ties == "mean":
                weight = np.array([discounts[a - 1 : b].mean() for a, b in zip(low, high)])
            elif ties == "rank":
                weight = np.where((low + high) / 2 <= k, 1 / np.log2((low + high) / 2 + 1), 0)
            else:
                weight = np.empty(n)
                weight[order] = discounts
            pool = worth[order[:k]] if own_ideal else worth
            ideal = np.sort(pool)[::-1] @ _discounts(len(pool), ideal_k or k, late)
            values.append((weight * worth).sum() / ideal if ideal else 0.0)
        return np.mean(values)

    return metric


def tied_ndcg_inputs(rng):
    n_users, n, k = int(rng.integers(4, 7)), int(rng.integers(8, 10)), int(rng.integers(3, 5))
    scores = rng.integers(4, size=(n_users, n)) / 2
    gains = rng.integers(4, size=(n_users, n)) * (rng.random((n_users, n)) < 0.7)
    gains[0] = rng.integers(1, 4, size=n)  # one user with more relevant items than places
    scores[0, :3] = scores[0].max() + 1  # tied at the top
    gains[0, :3] = 0, 3, 1
    gains[1, -1] = 3
    gains[rng.integers(2, n_users)] = 0  # nothing is relevant
    return {"scores": scores, "gains": gains, "k": k}


# --- 2. how unequal attention is --------------------------------------------------------------------------------------
def exposure_gini(lists, n_items):
    """Gini index of the items' exposure, 1 / log2(j + 1) for each list that has the item at place j."""
    exposure = np.zeros(n_items)
    rows, places = np.nonzero(lists >= 0)
    np.add.at(exposure, lists[rows, places], 1 / np.log2(places + 2))
    return np.abs(exposure[:, None] - exposure).sum() / (2 * n_items * exposure.sum())


def exposure_gini_loop(lists, n_items):
    exposure = [0.0] * n_items
    for one in lists.tolist():
        for place, item in enumerate(one, start=1):
            if item != -1:
                exposure[item] += 1 / np.log2(1 + place)
    total = sum(abs(a - b) for a in exposure for b in exposure)
    return total / (2 * n_items**2 * (sum(exposure) / n_items))


def exposure_gini_torch(lists, n_items):
    """One less twice the area under the Lorenz curve."""
    places = torch.tensor(lists)
    weight = (1 / torch.log2(torch.arange(places.shape[1]).double() + 2)).expand(places.shape)
    exposure = torch.zeros(n_items + 1).double().index_add_(0, places.flatten() % (n_items + 1), weight.flatten())[:-1]
    curve = torch.cat([torch.zeros(1).double(), exposure.sort().values.cumsum(0)]) / exposure.sum()
    return 1 - 2 * torch.trapezoid(curve, dx=1 / n_items)


def _exposure(discount=lambda j: 1 / np.log2(j + 1), padding=False, shown_only=False, first=1, factor=1.0):
    def gini(lists, n_items):
        exposure = np.zeros(n_items)
        rows, places = np.nonzero(lists >= (-1 if padding else 0))
        np.add.at(exposure, lists[rows, places], discount(places + 1.0))
        exposure = np.sort(exposure[exposure > 0] if shown_only else exposure)
        n = len(exposure)
        return factor * ((2 * np.arange(first, n + first) - n - 1) * exposure).sum() / (n * exposure.sum())

    return gini


def exposure_gini_inputs(rng):
    n_items = int(rng.integers(9, 13))
    chance = rng.dirichlet(np.ones(n_items - 2))
    lists = np.array(
        [rng.choice(n_items - 2, size=4, replace=False, p=0.5 * chance + 0.5 / (n_items - 2)) for _ in range(6)]
    )
    lists[1, 3:] = -1  # short lists; two items are never shown
    lists[4, 2:] = -1
    return {"lists": lists, "n_items": n_items}


# --- 3. an interval where users are the sample ------------------------------------------------------------------------
def interval(one, other, counted):
    """(difference, low, high): mean over seeds within each counted user, then 1.96 standard errors over the users."""
    per_user = (one - other)[:, counted].mean(axis=0)
    half = 1.96 * per_user.std(ddof=1) / np.sqrt(len(per_user))
    return np.array([per_user.mean(), per_user.mean() - half, per_user.mean() + half])


def interval_loop(one, other, counted):
    gaps = []
    for user in range(len(counted)):
        if counted[user]:
            gaps.append(sum(a[user] - b[user] for a, b in zip(one, other)) / len(one))
    middle = sum(gaps) / len(gaps)
    variance = sum((gap - middle) ** 2 for gap in gaps) / (len(gaps) - 1)
    half = 1.96 * (variance / len(gaps)) ** 0.5
    return [middle, middle - half, middle + half]


def interval_by_covariance(one, other, counted):
    """The same by Var(x) + Var(y) - 2 Cov(x, y)."""
    x, y = torch.tensor(one).mean(dim=0)[counted], torch.tensor(other).mean(dim=0)[counted]
    table = torch.cov(torch.stack([x, y]))
    half = 1.96 * ((table[0, 0] + table[1, 1] - 2 * table[0, 1]) / len(x)).sqrt()
    return (x.mean() - y.mean()) + half * torch.tensor([0, -1, 1])


def _interval(deviation=lambda gaps: gaps.mean(axis=0).std(ddof=1) / np.sqrt(gaps.shape[1]), keep_all=False):
    def ends(one, other, counted):
        gaps = (one - other) if keep_all else (one - other)[:, counted]
        return gaps.mean() + 1.96 * deviation(gaps) * np.array([0, -1, 1])

    return ends


def _unpaired(one, other, counted):
    x, y = one[:, counted].mean(axis=0), other[:, counted].mean(axis=0)
    half = 1.96 * np.sqrt((x.var(ddof=1) + y.var(ddof=1)) / len(x))
    return x.mean() - y.mean() + half * np.array([0, -1, 1])


def interval_inputs(rng):
    n_seeds, n_users = int(rng.integers(3, 5)), int(rng.integers(6, 9))
    ease = rng.random(n_users)
    one, other = (np.clip(ease + 0.2 * rng.normal(size=(n_seeds, n_users)) + up, 0.01, 0.99) for up in (0.1, 0.0))
    counted = np.ones(n_users, dtype=bool)
    counted[rng.choice(n_users, size=2, replace=False)] = False
    one[:, ~counted], other[:, ~counted] = 0.0, 0.0
    return {"one": one.round(3), "other": other.round(3), "counted": counted}


# --- 4. a prior by moments --------------------------------------------------------------------------------------------
def by_region(clicks, shows):
    """(x + a p) / (m + a) with each region's own p and a = v / sigma^2, both by moments; p where sigma^2 <= 0."""
    return np.array([_shrink(x, m, *_moments(x, m)) for x, m in zip(clicks.astype(float), shows.astype(float))])


def _moments(x, m, n_shown=None, of_n=1, of_w=1, noise=1.0, weighted=True):
    """p, v, sigma^2 of one region. of_n: S's expectation holds (n - of_n) v; of_w: W's holds (N - of_w n) v."""
    shown = m > 0
    rate = np.divide(x, m, out=np.zeros_like(x), where=shown)
    n, total = shown.sum() if n_shown is None else n_shown, m.sum()
    p = x.sum() / total if weighted else rate[shown].mean()
    v = (m * rate * (1 - rate)).sum() / (total - of_w * n)
    between = (m * (rate - p) ** 2).sum()
    return p, v, (between - noise * (n - of_n) * v) / (total - (m**2).sum() / total)


def _shrink(x, m, p, v, variance):
    return (x + v / variance * p) / (m + v / variance) if variance > 0 else np.full(len(x), p)


def by_region_loop(clicks, shows):
    table = []
    for x, m in zip(clicks.tolist(), shows.tolist()):
        pairs = [(a, b) for a, b in zip(x, m) if b]
        n, total, p = len(pairs), sum(m), sum(x) / sum(m)
        v = sum(a * (1 - a / b) for a, b in pairs) / (total - n)
        s = sum(b * (a / b - p) ** 2 for a, b in pairs)
        variance = max(0, (s - (n - 1) * v) / (total - sum(b * b for b in m) / total))
        table.append([p + variance * (a - b * p) / (b * variance + v) for a, b in zip(x, m)])
    return table


def by_region_torch(clicks, shows):
    """All regions at once, as a weight of the own rate that is 0 where there is nothing to learn from."""
    x, m = torch.tensor(clicks).double(), torch.tensor(shows).double()
    total, n = m.sum(dim=1, keepdim=True), (m > 0).sum(dim=1, keepdim=True)
    rate, p = x / m.clamp(min=1), x.sum(dim=1, keepdim=True) / total
    v = (x * (1 - rate)).sum(dim=1, keepdim=True) / (total - n)
    s = (m * rate**2).sum(dim=1, keepdim=True) - total * p**2
    variance = ((s - (n - 1) * v) / (total - (m**2).sum(dim=1, keepdim=True) / total)).clamp(min=0)
    own = variance * m / (variance * m + v)
    return own * rate + (1 - own) * p


def _by_region(shrink=_shrink, count_all=False, **options):
    def rates(clicks, shows):
        table = []
        for x, m in zip(clicks.astype(float), shows.astype(float)):
            own = {"n_shown": len(m)} if count_all else {}
            table.append(shrink(x, m, *_moments(x, m, **own, **options)))
        return np.array(table)

    return rates


def _to_itself(x, m, p, v, variance):
    return np.divide(x, m, out=np.full(len(x), p), where=m > 0)


def _shows_alone(x, m, p, v, variance):
    return x / (m + v / variance) if variance > 0 else np.full(len(x), p)


def _upside_down(x, m, p, v, variance):
    return _shrink(x, m, p, variance, v) if variance > 0 else np.full(len(x), p)


def _not_floored(x, m, p, v, variance):
    return (x + v / variance * p) / (m + v / variance)


def _one_prior(clicks, shows):
    pooled = _moments(clicks.ravel().astype(float), shows.ravel().astype(float))
    return np.array([_shrink(x, m, *pooled) for x, m in zip(clicks.astype(float), shows.astype(float))])


def by_region_inputs(rng):
    while True:
        n = int(rng.integers(6, 9))
        shows = rng.integers(2, 25, size=(3, n))
        shows[:, -1] = rng.integers(60, 90, size=3)
        theta = np.vstack([rng.beta(1, 4, size=n), rng.beta(2, 3, size=n), np.full(n, 0.25)])
        clicks = rng.binomial(shows, theta)
        clicks[2] = np.round(shows[2] * 0.25)  # a region of items alike: the variance comes out negative
        for region, none in enumerate(rng.integers(n - 1, size=3)):
            shows[region, none] = clicks[region, none] = 0
        shows[0, 0], clicks[0, 0] = (5, 5) if shows[0, 0] else (0, 0)
        variances = [
            _moments(x, m, **options)[2]
            for x, m in zip(clicks.astype(float), shows.astype(float))
            for options in ({}, {"n_shown": n}, {"of_n": 0}, {"of_w": 0})
        ]
        if min(variances[:8]) > 1e-3 and variances[8] < -1e-5:
            return {"clicks": clicks, "shows": shows}


# --- 5. rank by clicks at unequal places ------------------------------------------------------------------------------
def service(seed, n_items=1000, n_places=10, n_lists=8000):
    """A log of lists and the truth: items (N,), places (N,) from 1, clicks (N,), and theta (n_items,).

    The old service ordered by a guess that had little to do with theta, and showed some items far more often than others.
    """
    rng = np.random.default_rng(seed)
    theta = rng.beta(2, 6, size=n_items)
    often = 2.0 * rng.normal(size=n_items)
    placed = 3.0 * rng.normal(size=n_items)
    noise = rng.gumbel(size=(n_lists, n_items)) + often
    shown = np.argsort(-noise, axis=1)[:, :n_places]
    order = np.argsort(-(placed[shown] + rng.gumbel(size=shown.shape)), axis=1)
    items = np.take_along_axis(shown, order, axis=1).ravel()
    places = np.tile(np.arange(1, n_places + 1), n_lists)
    clicks = (rng.random(len(items)) < theta[items] / places).astype(int)
    return items, places, clicks, theta


def _examined(items, places, clicks, n_items):
    """Clicks and expected examinations of each item."""
    return np.bincount(items, clicks, n_items), np.bincount(items, 1 / places, n_items)


def rank(items, places, clicks, n_items):
    """(x + a p) / (e + a), e the examinations that its shows were worth, and (a, p) by maximum likelihood."""
    x, e = _examined(items, places, clicks, n_items)

    def against(logs):
        a, b = np.exp(logs)
        rest = np.maximum(e - x, 0)
        return -(betaln(x + a, rest + b) - betaln(a, b)).sum()

    a, b = np.exp(minimize(against, [0.0, 1.0], method="Nelder-Mead").x)
    return (x + a) / (np.maximum(e, x) + a + b)


def rank_fixed(items, places, clicks, n_items):
    x, e = _examined(items, places, clicks, n_items)
    return (x + 8 * x.sum() / e.sum()) / (e + 8)


def rank_torch(items, places, clicks, n_items):
    """The mode of theta under the exact law of clicks and a Beta prior, by gradients."""
    item, at = torch.tensor(items), 1 / torch.tensor(places).double()
    clicked, logit = torch.tensor(clicks).double(), torch.full((n_items,), -1.0).double().requires_grad_()
    optimizer = torch.optim.Adam([logit], lr=0.1)
    for _ in range(150):
        optimizer.zero_grad()
        chance = logit.sigmoid()
        seen = chance[item] * at
        likelihood = (clicked * seen.log() + (1 - clicked) * (1 - seen).log()).sum()
        (-likelihood - (2.0 * chance.log() + 6.0 * (1 - chance).log()).sum()).backward()
        optimizer.step()
    return logit


def _smoothed_by_shows(items, places, clicks, n_items):
    x, m = np.bincount(items, clicks, n_items), np.bincount(items, minlength=n_items)
    return (x + 20 * x.sum() / m.sum()) / (m + 20)


def _raw_by_place(items, places, clicks, n_items):
    x, e = _examined(items, places, clicks, n_items)
    return x / np.maximum(e, 1e-9)


def score(answer, seed):
    """The mean true rate of the 100 best by the student's scores over that of the 100 best in truth, in a fresh service."""
    items, places, clicks, theta = service(seed)
    scores = answer(items.copy(), places.copy(), clicks.copy(), len(theta))
    scores = np.asarray(scores.detach() if torch.is_tensor(scores) else scores, dtype=float)
    if scores.shape != theta.shape or not np.isfinite(scores).all():
        raise AssertionError(f"scores must be {len(theta)} finite numbers, one an item; got shape {scores.shape}.")
    return theta[np.argsort(-scores, kind="stable")[:100]].mean() / np.sort(theta)[-100:].mean()


PROBLEMS = {
    "tied_ndcg": Problem(
        tied_ndcg, tied_ndcg_inputs,
        {
            "discount log2(j) in place of log2(j + 1), so that places 1 and 2 weigh alike": _ndcg(late=0),
            "the ideal list is not cut at k": _ndcg(ideal_k=1000),
            "the ideal list is made of the k recommended items alone": _ndcg(own_ideal=True),
            "users without gains counted as 0": _ndcg(empty=0.0),
            "users without gains counted as 1": _ndcg(empty=1.0),
            "ties broken by index": _ndcg(ties="index"),
            "ties broken in favour of what is relevant": _ndcg(ties="kind"),
            "the discount of the mean place instead of the mean of the discounts": _ndcg(ties="rank"),
            "gains 2^g - 1 in place of g": _ndcg(power=True),
        },
        [tied_ndcg_loop, tied_ndcg_torch], EVALUATION,
    ),
    "exposure_gini": Problem(
        exposure_gini, exposure_gini_inputs,
        {
            "padding -1 taken as the last item": _exposure(padding=True),
            "items that are never shown are left out": _exposure(shown_only=True),
            "all places weigh alike": _exposure(discount=np.ones_like),
            "places counted from 0 twice, log2(j + 2)": _exposure(discount=lambda j: 1 / np.log2(j + 2)),
            "ranks counted from 0": _exposure(first=0),
            "the factor 1/2 left out": _exposure(factor=2.0),
        },
        [exposure_gini_loop, exposure_gini_torch], POPULAR,
    ),
    "interval": Problem(
        interval, interval_inputs,
        {
            "two independent samples of users, not pairs": _unpaired,
            "seeds of one user counted as so many users": _interval(lambda gaps: gaps.std(ddof=1) / np.sqrt(gaps.size)),
            "seeds are the sample, not users": _interval(lambda gaps: gaps.mean(axis=1).std(ddof=1) / np.sqrt(len(gaps))),
            "the root of the number of users left out": _interval(lambda gaps: gaps.mean(axis=0).std(ddof=1)),
            "variance divided by n, not n - 1": _interval(lambda gaps: gaps.mean(axis=0).std() / np.sqrt(gaps.shape[1])),
            "users without a relevant item taken as 0": _interval(keep_all=True),
        },
        [interval_loop, interval_by_covariance], EVALUATION,
    ),
    "by_region": Problem(
        by_region, by_region_inputs,
        {
            "the variance of the observed rates in place of that of the true ones": _by_region(noise=0.0),
            "p is the mean of the raw rates, not the pooled rate": _by_region(weighted=False),
            "pulled towards the item's own raw rate": _by_region(_to_itself),
            "the imagined shows bring no clicks": _by_region(_shows_alone),
            "strength upside down": _by_region(_upside_down),
            "items without shows counted in n": _by_region(count_all=True),
            "n in place of n - 1": _by_region(of_n=0),
            "v = W / N": _by_region(of_w=0),
            "a negative variance used as it is": _by_region(_not_floored),
            "one prior for all regions": _one_prior,
        },
        [by_region_loop, by_region_torch], POPULAR,
    ),
    "rank": Contest(
        rank, score, 0.75,
        {
            "count of clicks": lambda items, places, clicks, n_items: np.bincount(items, clicks, n_items),
            "smoothed rate by shows": _smoothed_by_shows,
            "raw rate by examinations": _raw_by_place,
        },
        [rank_fixed, rank_torch], POPULAR,
    ),
}  # fmt: skip
