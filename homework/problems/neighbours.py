"""Neighbours and EASE: adjusted cosine of co-raters, a broken weighted EASE, a user who is forgotten, a list in closed form."""

import numpy as np
import torch
from scipy.linalg import cho_factor, cho_solve

from problems import Contest, Problem
from recsys_lite.baselines import Popularity
from recsys_lite.examples import Queries
from recsys_lite.linear import EASE, GraphFilter
from recsys_lite.neighbors import ItemKNN
from recsys_lite.synthetic import World

PAGE = "Neighbours (collaborative/neighbours)"


# --- 1. adjusted cosine, weighted by the number of co-raters ----------------------------------------------------------
def adjusted_cosine(ratings, a):
    """c / (c + a) times the cosine, over the c users who rated both, of ratings less the user's mean; diagonal 0."""
    rated = (ratings > 0).astype(float)
    means = ratings.sum(axis=1, keepdims=True) / np.maximum(rated.sum(axis=1, keepdims=True), 1)
    centred = np.where(ratings > 0, ratings - means, 0)
    squares = (centred**2).T @ rated  # of the first item, over those who rated both
    return _ratio(centred.T @ centred, np.sqrt(squares * squares.T), rated.T @ rated, a)


def _ratio(products, lengths, common, a, diagonal=False):
    n = len(products)
    cosine = np.divide(products, lengths, out=np.zeros((n, n)), where=lengths > 1e-12)
    weight = np.divide(common, common + a, out=np.zeros((n, n)), where=common > 0)
    return cosine * weight * (1 if diagonal else 1 - np.eye(n))


def adjusted_cosine_loop(ratings, a):
    n = ratings.shape[1]
    means = [np.mean([r for r in row if r]) if any(row) else 0.0 for row in ratings.tolist()]
    table = [[0.0] * n for _ in range(n)]
    for i in range(n):
        for j in range(n):
            pairs = [(row[i] - mean, row[j] - mean) for row, mean in zip(ratings, means) if row[i] and row[j]]
            length = (sum(x * x for x, _ in pairs) * sum(y * y for _, y in pairs)) ** 0.5
            if i != j and length > 0:
                table[i][j] = sum(x * y for x, y in pairs) / length * len(pairs) / (len(pairs) + a)
    return table


def adjusted_cosine_torch(ratings, a):
    """Every pair of columns at once, with a mask for those who rated both."""
    r = torch.tensor(ratings, dtype=torch.float64)
    rated = r > 0
    d = r - (r.sum(dim=1) / rated.sum(dim=1).clamp(min=1))[:, None]
    both = rated[:, :, None] & rated[:, None, :]
    left, right = d[:, :, None] * both, d[:, None, :] * both
    length = (left.square().sum(dim=0) * right.square().sum(dim=0)).sqrt()
    common = both.sum(dim=0)
    similarity = torch.where(length > 0, (left * right).sum(dim=0) / length, 0.0) * common / (common + a)
    return similarity.fill_diagonal_(0)


def _adjusted(centre="user", own_norms=False, a_in="factor", diagonal=False, fill=False):
    def slip(ratings, a):
        rated = (ratings > 0).astype(float)
        n_rated = np.maximum(rated.sum(axis=1, keepdims=True), 1)
        means = {
            "user": ratings.sum(axis=1, keepdims=True) / n_rated,
            "zeros": ratings.mean(axis=1, keepdims=True),
            "item": ratings.sum(axis=0) / np.maximum(rated.sum(axis=0), 1),
            "all": ratings.sum() / rated.sum(),
            "none": 0.0,
        }[centre]
        centred = ratings - means if fill else np.where(ratings > 0, ratings - means, 0)
        squares = (centred**2).T @ (np.ones_like(rated) if own_norms or fill else rated)
        lengths, common = np.sqrt(squares * squares.T), rated.T @ rated
        if a_in == "lengths":
            return _ratio(centred.T @ centred, np.where(lengths > 1e-12, lengths + a, 0), common, 0.0, diagonal)
        if a_in == "fans":
            return _ratio(centred.T @ centred, lengths, np.sqrt(np.outer(rated.sum(axis=0), rated.sum(axis=0))), a)
        return _ratio(centred.T @ centred, lengths, common, a if a_in else 0.0, diagonal)

    return slip


def adjusted_cosine_inputs(rng):
    n_users, n = int(rng.integers(7, 10)), int(rng.integers(4, 6))
    ratings = rng.integers(1, 6, size=(n_users, n)) * (rng.random((n_users, n)) < 0.7)
    ratings[:2] = rng.permuted(np.tile([1, 2, 3, 5, 5], (2, 1)), axis=1)[:, :n]
    ratings[:, -1] = 0  # an item that shares no rater with the first
    ratings[2], ratings[2, -2:] = 0, (2, 5)
    ratings[3] = 0  # a user without ratings
    ratings[4], ratings[4, -1] = np.where(np.arange(n) == 0, 0, ratings[4]), 3
    return {"ratings": ratings.astype(float), "a": float(rng.integers(2, 6))}


# --- 2. a broken EASE with weights ------------------------------------------------------------------------------------
def weighted_ease(R, users, penalties):
    """argmin of sum_u w_u |r_u - r_u B|^2 + sum_ij lambda_i b_ij^2 with diagonal 0: -P_ij / P_jj, P = (R^T W R + Lambda)^-1."""
    return _weights(np.linalg.inv((R.T * users) @ R + np.diag(penalties)))


def _weights(P):
    B = -P / np.diag(P)
    np.fill_diagonal(B, 0)
    return B


def weighted_ease_columns(R, users, penalties):
    """A ridge regression of each column on the others."""
    n = R.shape[1]
    B = np.zeros((n, n))
    for j in range(n):
        others = [i for i in range(n) if i != j]
        X = np.sqrt(users)[:, None] * R
        rows = np.vstack([X[:, others], np.diag(np.sqrt(penalties[others]))])
        B[others, j] = np.linalg.lstsq(rows, np.append(X[:, j], np.zeros(n - 1)), rcond=None)[0]
    return B


def weighted_ease_lagrange(R, users, penalties):
    """One linear system a column, with a multiplier for the entry of the diagonal."""
    R, users, penalties = torch.tensor(R), torch.tensor(users), torch.tensor(penalties)
    n = R.shape[1]
    gram = R.T @ (users[:, None] * R)
    columns = []
    for j in range(n):
        one = torch.eye(n, dtype=torch.float64)[:, j : j + 1]
        system = torch.cat(
            [torch.cat([gram + torch.diag(penalties), one], 1), torch.cat([one.T, torch.zeros(1, 1).double()], 1)]
        )
        columns.append(torch.linalg.solve(system, torch.cat([gram[:, j], torch.zeros(1).double()]))[:n])
    return torch.stack(columns, dim=1)


def _by_target(R, users, penalties):
    """Each column with the penalty of its own item."""
    gram = (R.T * users) @ R
    return np.stack(
        [_weights(np.linalg.inv(gram + own * np.eye(len(gram))))[:, j] for j, own in enumerate(penalties)], axis=1
    )


def _ease(power=1.0, penalty=lambda p: p, finish=_weights):
    def slip(R, users, penalties):
        return finish(np.linalg.inv((R.T * users**power) @ R + np.diag(penalty(penalties))))

    return slip


def _rows_divided(P):
    B = -P / np.diag(P)[:, None]
    np.fill_diagonal(B, 0)
    return B


def weighted_ease_inputs(rng):
    n_users, n = int(rng.integers(8, 12)), int(rng.integers(4, 6))
    R = (rng.random((n_users, n)) < 0.5).astype(float)
    R[:2] = np.eye(n)[rng.choice(n, 2, replace=False)]
    R[2, :2] = 1
    return {
        "R": R,
        "users": rng.uniform(0.2, 3, size=n_users).round(2),
        "penalties": rng.uniform(0.5, 6, size=n).round(2),
    }


# --- 3. forget a user -------------------------------------------------------------------------------------------------
def forget(P, x):
    """EASE's weights without the user whose row is x, from P = (R^T R + lambda I)^-1 with that user, in O(n^2)."""
    Px = P @ x
    return _weights(P + np.outer(Px, Px) / (1 - x @ Px))


def forget_solve(P, x):
    """The same by inverting twice."""
    return _weights(np.linalg.inv(np.linalg.inv(P) - np.outer(x, x)))


def forget_items(P, x):
    """By Woodbury's formula on the user's items, as the loops of a service would, in torch."""
    P, own = torch.tensor(P), torch.tensor(np.flatnonzero(x))
    k = len(own)
    core = torch.eye(k, dtype=torch.float64) - P[own][:, own] @ torch.ones(k, k, dtype=torch.float64)
    new = P + P[:, own] @ torch.ones(k, k, dtype=torch.float64) @ torch.linalg.solve(core, P[own])
    B = torch.empty_like(P)
    for j in range(len(P)):
        B[:, j] = -new[:, j] / new[j, j]
        B[j, j] = 0
    return B


def forget_cholesky(P, x):
    n = len(x)
    gram = cho_solve(cho_factor(P), np.eye(n)) - x[:, None] * x
    return _weights(cho_solve(cho_factor(gram), np.eye(n)))


def _forget(sign=1, bottom=lambda q: 1 - q, direction=lambda P, x: P @ x, finish=None):
    def slip(P, x):
        move = direction(P, x)
        new = P + sign * np.outer(move, move) / bottom(x @ P @ x)
        return _weights(new) if finish is None else finish(new, P)

    return slip


def _old_diagonal(new, P):
    B = -new / np.diag(P)
    np.fill_diagonal(B, 0)
    return B


def _rows_zeroed(P, x):
    """The user's items struck out of the weights."""
    return _weights(P) * (1 - x)[:, None]


def forget_inputs(rng):
    n_users, n = int(rng.integers(7, 10)), int(rng.integers(4, 7))
    R = (rng.random((n_users, n)) < 0.5).astype(float)
    R[0, :2], R[0, 2] = 1, 0  # whoever is forgotten has some items and not all
    P = np.linalg.inv(R.T @ R + rng.uniform(0.5, 2) * np.eye(n))
    return {"P": P, "x": R[0]}


# --- 4. a list in closed form -----------------------------------------------------------------------------------------
def _queries(log):
    users = np.arange(log.n_users)
    return Queries(torch.tensor(users), torch.from_numpy(log.history(users)))


def _model(make):
    def recommend(log):
        return np.asarray(make().fit(log).score_items(_queries(log)))

    return recommend


def held_of_new(answer, seed):
    """The law's share, of what the ten best new items hold, that the ten new items of the highest score hold; mean over users."""
    world = World(n_users=400, n_items=200, taste=6.0, popularity=0.7, seed=seed)
    log = world.interactions(per_user=25, repeats=False)
    scores = answer(log)
    scores = np.array(scores.detach() if torch.is_tensor(scores) else scores, dtype=float)
    if scores.shape != (log.n_users, log.n_items) or not np.isfinite(scores).all():
        raise AssertionError(f"scores must be finite and ({log.n_users}, {log.n_items}); got shape {scores.shape}.")
    met = log.matrix().toarray() > 0
    scores[met], law = -np.inf, np.where(met, 0, world.probabilities())
    top = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    return float((np.take_along_axis(law, top, axis=1).sum(axis=1) / np.sort(law, axis=1)[:, -10:].sum(axis=1)).mean())


def by_free_ridge(log):
    """Ridge regression without the zero diagonal: R (R^T R + lambda I)^-1 R^T R."""
    R = log.matrix().toarray().astype(float)
    gram = R.T @ R
    return R @ np.linalg.solve(gram + 150 * np.eye(len(gram)), gram)


def by_kernel(log):
    """The same family from the users' side: K (K + lambda I)^-1 R with K the cosines of users, one's own row left in."""
    R = log.matrix().toarray().astype(float)
    rows = R / np.sqrt(np.maximum(R.sum(axis=1, keepdims=True), 1))
    kernel = rows @ rows.T
    return kernel @ np.linalg.solve(kernel + 3 * np.eye(len(kernel)), R)


by_ease = _model(lambda: EASE(150))


PROBLEMS = {
    "adjusted_cosine": Problem(
        adjusted_cosine, adjusted_cosine_inputs,
        {
            "the user's mean taken over zeros as well": _adjusted("zeros"),
            "the item's mean taken off, not the user's": _adjusted("item"),
            "one mean for all taken off": _adjusted("all"),
            "nothing taken off": _adjusted("none"),
            "missing ratings count as 0 less the mean": _adjusted(fill=True),
            "lengths over all raters of an item, not over those of both": _adjusted(own_norms=True),
            "a added to the lengths": _adjusted(a_in="lengths"),
            "the weight from the raters of each, not from those of both": _adjusted(a_in="fans"),
            "no weight for few common raters": _adjusted(a_in=None),
            "items are their own neighbours": _adjusted(diagonal=True),
        },
        [adjusted_cosine_loop, adjusted_cosine_torch], PAGE,
    ),
    "weighted_ease": Problem(
        weighted_ease, weighted_ease_inputs,
        {
            "diagonal not zeroed": _ease(finish=lambda P: -P / np.diag(P)),
            "divided by the diagonal of the row": _ease(finish=_rows_divided),
            "not divided by the diagonal": _ease(finish=lambda P: -P * (1 - np.eye(len(P)))),
            "sign": _ease(finish=lambda P: -_weights(P)),
            "users weighted by the square of the weight": _ease(power=2.0),
            "users not weighted": _ease(power=0.0),
            "one mean penalty for all items": _ease(penalty=lambda p: np.full(len(p), p.mean())),
            "the penalty of the item that is voted for, not of the one that votes": _by_target,
            "Lambda on the wrong side of the inverse": _ease(penalty=lambda p: 1 / p),
        },
        [weighted_ease_columns, weighted_ease_lagrange], PAGE,
    ),
    "forget": Problem(
        forget, forget_inputs,
        {
            "sign of the update: the user is added once more": _forget(sign=-1, bottom=lambda q: 1 + q),
            "sign of the update alone": _forget(sign=-1),
            "1 + x P x in the denominator": _forget(bottom=lambda q: 1 + q),
            "no denominator": _forget(bottom=lambda q: 1.0),
            "x itself in place of P x": _forget(direction=lambda P, x: x),
            "divided by the old diagonal": _forget(finish=_old_diagonal),
            "divided by the diagonal of the row": _forget(finish=lambda new, P: _rows_divided(new)),
            "the rows of the user's items struck out": _rows_zeroed,
            "nothing forgotten": lambda P, x: _weights(P),
        },
        [forget_solve, forget_items, forget_cholesky], PAGE,
    ),
    "recommend": Contest(
        by_ease, held_of_new, 0.775,
        {
            "popularity": _model(Popularity),
            "five nearest items": _model(lambda: ItemKNN(5)),
            "EASE with hardly a penalty": _model(lambda: EASE(10)),
        },
        [by_free_ridge, by_kernel, _model(lambda: GraphFilter(8, 0.3))], PAGE,
    ),
}  # fmt: skip
