"""Matrix factorization: a half step with biases, the objective without its zeros, BPR's gradient over a batch, a law recovered."""

import numpy as np
import scipy.sparse as sp
import torch

from problems import Contest, Problem
from problems._worlds import law_held
from recsys_lite import losses, negatives, training
from recsys_lite.baselines import Popularity
from recsys_lite.examples import Interactions, Queries
from recsys_lite.factorization import ImplicitALS, MatrixFactorization
from recsys_lite.synthetic import World

IMPLICIT = "Implicit feedback (collaborative/implicit_feedback)"
FACTORS = "Matrix factorization (collaborative/matrix_factorization)"


# --- 1. a half step with biases ---------------------------------------------------------------------------------------
def half_step(R, Y, item_bias, alpha, regularization):
    """Rows (x_u, b_u): argmin of sum_i (1 + alpha r)([r > 0] - c_i - b_u - <x_u, y_i>)^2 + lambda max(1, n_u) (|x_u|^2 + b_u^2)."""
    Z = np.hstack([Y, np.ones((len(Y), 1))])
    gram, shift, rows = Z.T @ Z, item_bias @ Z, []
    for r in R:
        own = np.flatnonzero(r)
        left = gram + alpha * (Z[own].T * r[own]) @ Z[own] + regularization * max(1, len(own)) * np.eye(Z.shape[1])
        right = ((1 + alpha * r[own]) * (1 - item_bias[own]) + item_bias[own]) @ Z[own] - shift
        rows.append(np.linalg.solve(left, right))
    return np.array(rows)


def half_step_rows(R, Y, item_bias, alpha, regularization):
    """Least squares over all items, the penalty as so many more rows."""
    Z, found = np.column_stack([Y, np.ones(len(Y))]), []
    for r in R:
        root = np.sqrt(1 + alpha * r)
        strength = np.sqrt(regularization * max(1, np.count_nonzero(r)))
        rows = np.vstack([root[:, None] * Z, strength * np.eye(Z.shape[1])])
        found.append(np.linalg.lstsq(rows, np.append(root * ((r > 0) - item_bias), 0 * Z[0]), rcond=None)[0])
    return found


def half_step_newton(R, Y, item_bias, alpha, regularization):
    """One Newton step from 0 by autograd: the objective is quadratic."""
    R, Y, bias = (torch.tensor(each, dtype=torch.float64) for each in (R, Y, item_bias))
    found = []
    for r in R:

        def objective(z, r=r):
            error = (r > 0).double() - bias - z[-1] - Y @ z[:-1]
            return ((1 + alpha * r) * error**2).sum() + regularization * max(1, int((r > 0).sum())) * (z**2).sum()

        start = torch.zeros(Y.shape[1] + 1, dtype=torch.float64)
        hessian = torch.autograd.functional.hessian(objective, start)
        gradient = torch.autograd.functional.jacobian(objective, start)
        found.append(-torch.linalg.solve(hessian, gradient))
    return torch.stack(found)


def _half_step(
    left=lambda c, met: c,
    right=lambda c, met: c,
    target=lambda met, r, b: met - b,
    n=lambda r: (r > 0).sum(),
    free=False,
):
    """Dense, with the weights on either side, the target and the number that multiplies lambda exchanged."""

    def slip(R, Y, item_bias, alpha, regularization):
        Z, found = np.column_stack([Y, np.ones(len(Y))]), []
        for r in R:
            met, c = (r > 0).astype(float), 1 + alpha * r
            penalty = regularization * max(1, n(r)) * np.eye(Z.shape[1])
            penalty[-1, -1] *= 0 if free else 1
            values = right(c, met) * target(met, r, item_bias)
            found.append(np.linalg.solve((Z.T * left(c, met)) @ Z + penalty, values @ Z))
        return np.array(found)

    return slip


def _bias_left_out(R, Y, item_bias, alpha, regularization):
    """Vectors alone, the users' biases stay 0."""
    found = []
    for r in R:
        c = 1 + alpha * r
        penalty = regularization * max(1, (r > 0).sum()) * np.eye(Y.shape[1])
        found.append(np.append(np.linalg.solve((Y.T * c) @ Y + penalty, (c * ((r > 0) - item_bias)) @ Y), 0))
    return np.array(found)


def half_step_inputs(rng):
    n_users, n, dim = int(rng.integers(3, 5)), int(rng.integers(6, 9)), int(rng.integers(2, 4))
    R = rng.integers(1, 5, size=(n_users, n)) * (rng.random((n_users, n)) < 0.5)
    R[0, :3] = 0, 2, 3
    R[1] = 0  # a user without events
    return {
        "R": R.astype(float), "Y": rng.normal(size=(n, dim)).round(3), "item_bias": rng.uniform(0.05, 0.6, size=n).round(3),
        "alpha": round(rng.uniform(0.3, 2), 2), "regularization": round(rng.uniform(0.3, 2), 2),
    }  # fmt: skip


# --- 2. the objective without all pairs -------------------------------------------------------------------------------
def objective(X, Y, users, items, alpha, regularization):
    """sum_ui c ([r > 0] - <x, y>)^2 + lambda (|X|^2 + |Y|^2), all pairs by <X^T X, Y^T Y>, the met ones mended."""
    pairs, r = np.unique(np.stack([users, items]), axis=1, return_counts=True)
    s = np.einsum("nd,nd->n", X[pairs[0]], Y[pairs[1]])
    met = ((1 + alpha * r) * (1 - s) ** 2 - s**2).sum()
    return ((X.T @ X) * (Y.T @ Y)).sum() + met + regularization * ((X**2).sum() + (Y**2).sum())


def objective_dense(X, Y, users, items, alpha, regularization):
    R = np.zeros((len(X), len(Y)))
    np.add.at(R, (users, items), 1)
    loss = ((1 + alpha * R) * ((R > 0) - X @ Y.T) ** 2).sum()
    return loss + regularization * (np.linalg.norm(X) ** 2 + np.linalg.norm(Y) ** 2)


def objective_sparse(X, Y, users, items, alpha, regularization):
    """All pairs by the singular values of X and Y; the met ones from a sparse matrix and torch."""
    R = sp.csr_matrix((np.ones(len(users)), (users, items)), shape=(len(X), len(Y))).tocoo()
    R.sum_duplicates()
    s = (torch.tensor(X)[R.row] * torch.tensor(Y)[R.col]).sum(dim=1)
    met = (1 + alpha * torch.tensor(R.data)) * (1 - 2 * s + s**2) - s**2
    _, a, V = np.linalg.svd(X, full_matrices=False)
    _, b, W = np.linalg.svd(Y, full_matrices=False)
    everything = float(((np.outer(a, b) * (V @ W.T)) ** 2).sum())
    return everything + met.sum() + regularization * float((a**2).sum() + (b**2).sum())


def objective_loop(X, Y, users, items, alpha, regularization):
    counts, value = {}, 0.0
    for pair in zip(users.tolist(), items.tolist()):
        counts[pair] = counts.get(pair, 0) + 1
    for u, x in enumerate(X):
        for i, y in enumerate(Y):
            r = counts.get((u, i), 0)
            value += (1 + alpha * r) * ((r > 0) - sum(x * y)) ** 2
    return value + regularization * (sum(sum(x * x) for x in X) + sum(sum(y * y) for y in Y))


def _objective(
    everything=lambda X, Y: ((X.T @ X) * (Y.T @ Y)).sum(),
    met=lambda r, s, alpha: (1 + alpha * r) * (1 - s) ** 2 - s**2,
    merge=True,
    penalty=lambda X, Y, users, items: (X**2).sum() + (Y**2).sum(),
):
    def slip(X, Y, users, items, alpha, regularization):
        pairs, r = np.stack([users, items]), np.ones(len(users))
        if merge:
            pairs, r = np.unique(pairs, axis=1, return_counts=True)
        s = (X[pairs[0]] * Y[pairs[1]]).sum(axis=1)
        return everything(X, Y) + met(r, s, alpha).sum() + regularization * penalty(X, Y, users, items)

    return slip


def objective_inputs(rng):
    n_users, n, dim = int(rng.integers(4, 7)), int(rng.integers(5, 8)), int(rng.integers(2, 4))
    users, items = rng.integers(n_users - 1, size=12), rng.integers(n - 1, size=12)  # the last of each has no events
    users[-3:], items[-3:] = users[:3], items[:3]  # some pairs meet again
    return {
        "X": rng.normal(size=(n_users, dim)).round(3), "Y": rng.normal(size=(n, dim)).round(3), "users": users, "items": items,
        "alpha": round(rng.uniform(0.3, 2), 2), "regularization": round(rng.uniform(0.3, 2), 2),
    }  # fmt: skip


# --- 3. BPR's gradient over a batch -----------------------------------------------------------------------------------
def bpr_gradient(X, Y, item_bias, users, items, others, regularization):
    """Gradient of sum_n -log sigma(s_ui - s_uj) + lambda/2 (|x_u|^2 + |y_i|^2 + |y_j|^2 + b_i^2 + b_j^2), (m + n, d + 1)."""
    own, liked, other = X[users], Y[items], Y[others]
    margin = (own * (liked - other)).sum(axis=1) + item_bias[items] - item_bias[others]
    g = 1 / (1 + np.exp(margin))[:, None]
    full = np.zeros((len(X) + len(Y), X.shape[1] + 1))
    np.add.at(full, users, np.hstack([-g * (liked - other) + regularization * own, 0 * g]))
    for which, sign in ((items, -1), (others, 1)):
        old = np.column_stack([Y[which], item_bias[which]])
        np.add.at(full, len(X) + which, sign * g * np.column_stack([own, np.ones(len(own))]) + regularization * old)
    return full


def bpr_gradient_torch(X, Y, item_bias, users, items, others, regularization):
    X, Y, b = (torch.tensor(each, requires_grad=True) for each in (X, Y, item_bias))
    u, i, j = (torch.tensor(each) for each in (users, items, others))
    scores = [(X[u] * Y[k]).sum(dim=1) + b[k] for k in (i, j)]
    squares = [X[u].square(), Y[i].square(), Y[j].square(), b[i].square()[:, None], b[j].square()[:, None]]
    loss = torch.nn.functional.softplus(scores[1] - scores[0]).sum()
    (loss + regularization / 2 * sum(each.sum() for each in squares)).backward()
    of_users = torch.cat([X.grad, torch.zeros(len(X), 1)], dim=1)
    return torch.cat([of_users, torch.cat([Y.grad, b.grad[:, None]], dim=1)])


def bpr_gradient_loop(X, Y, item_bias, users, items, others, regularization):
    of_users, of_items = np.zeros((len(X), X.shape[1] + 1)), np.zeros((len(Y), X.shape[1] + 1))
    for u, i, j in zip(users, items, others):
        wrong = 1 - 1 / (1 + np.exp(-(X[u] @ Y[i] + item_bias[i] - X[u] @ Y[j] - item_bias[j])))
        of_users[u, :-1] += wrong * (Y[j] - Y[i]) + regularization * X[u]
        of_items[i, :-1] += regularization * Y[i] - wrong * X[u]
        of_items[j, :-1] += regularization * Y[j] + wrong * X[u]
        of_items[i, -1] += regularization * item_bias[i] - wrong
        of_items[j, -1] += regularization * item_bias[j] + wrong
    return np.vstack([of_users, of_items])


def _bpr(weight=lambda sigma: 1 - sigma, bias=True, pull=1, push=1, once=False, decay=1.0, mean=False, overwrite=False):
    """The gradient with another weight, without biases in the margin, with other signs, or with updates that get lost."""

    def slip(X, Y, item_bias, users, items, others, regularization):
        own, liked, other = X[users], Y[items], Y[others]
        margin = (own * (liked - other)).sum(axis=1) + bias * (item_bias[items] - item_bias[others])
        g = weight(1 / (1 + np.exp(-margin)))[:, None]
        decayed = 0 if once else decay * regularization
        full, n = np.zeros((len(X) + len(Y), X.shape[1] + 1)), len(X)
        parameters = np.vstack([np.column_stack([X, np.zeros(n)]), np.column_stack([Y, item_bias])])
        one = np.column_stack([own, np.ones(len(own))])
        moves = [(users, np.hstack([-pull * g * (liked - other), 0 * g]) + decayed * parameters[users])]
        moves.append((n + items, -pull * g * one + decayed * parameters[n + items]))
        moves.append((n + others, push * g * one + decayed * parameters[n + others]))
        for where, move in moves:
            if overwrite:
                full[where] += move
            else:
                np.add.at(full, where, move)
        if once:
            touched = np.unique(np.concatenate([users, n + items, n + others]))
            full[touched] += regularization * parameters[touched]
        return full / len(users) if mean else full

    return slip


def bpr_gradient_inputs(rng):
    n_users, n, dim = int(rng.integers(3, 5)), int(rng.integers(4, 6)), int(rng.integers(2, 4))
    users = rng.integers(n_users - 1, size=6)  # somebody has no triple
    items = rng.integers(n, size=6)
    users[1], items[1] = users[0], items[0]  # one pair with two negatives
    others = (items + rng.integers(1, n, size=6)) % n
    others[2], items[2] = items[0], others[0]  # what is liked in one triple is the other in another
    others[3] = others[4] = (items[3] + 1) % n
    items[4] = items[3]
    return {
        "X": rng.normal(size=(n_users, dim)).round(3), "Y": rng.normal(size=(n, dim)).round(3),
        "item_bias": rng.normal(size=n).round(3), "users": users, "items": items, "others": others,
        "regularization": round(rng.uniform(0.1, 0.6), 2),
    }  # fmt: skip


# --- 4. the law of a log ----------------------------------------------------------------------------------------------
LARGEST = 16  # numbers a vector


def _queries(log):
    users = np.arange(log.n_users)
    return Queries(torch.tensor(users), torch.from_numpy(log.history(users)))


def _als(dim, alpha, regularization):
    def recover(log):
        model = ImplicitALS(dim, alpha, regularization).fit(log)
        return model.user_vectors(_queries(log)), model.item_vectors()

    return recover


def _train(loss, sampler, **changed):
    def recover(log):
        model = MatrixFactorization(log.n_users, log.n_items, 8)
        options = {"n_epochs": 12, "batch_size": 128, "learning_rate": 0.02, "weight_decay": 0.1} | changed
        training.fit(model, Interactions(log), loss, sampler(log), **options)
        return model.user_vectors(_queries(log)), model.item_vectors()

    return recover


def popularity(log):
    return np.ones((log.n_users, 1)), Popularity().fit(log).scores[:, None]


def met_pairs_alone(log):
    """Least squares on the pairs that met, all of which are 1."""
    R = log.matrix().toarray() > 0
    Y = np.random.default_rng(0).normal(size=(log.n_items, 8)) / 8**0.5
    for _ in range(10):
        X = np.stack([np.linalg.solve(Y[r].T @ Y[r] + np.eye(8), Y[r].sum(axis=0)) for r in R])
        Y = np.stack([np.linalg.solve(X[r].T @ X[r] + np.eye(8), X[r].sum(axis=0)) for r in R.T])
    return X, Y


def score(answer, seed):
    """The share of the best possible law that the ten best by <x_u, y_i> hold, in a fresh world."""
    world = World(n_users=400, n_items=200, popularity=1.0, leak=0.3, seed=seed)
    answered = answer(world.interactions(per_user=20))
    if not isinstance(answered, (tuple, list)) or len(answered) != 2:
        raise AssertionError("the answer must be two arrays: the users' vectors and the items'.")
    X, Y = (np.asarray(each.detach() if torch.is_tensor(each) else each, dtype=float) for each in answered)
    if X.ndim != 2 or Y.ndim != 2 or X.shape[1] != Y.shape[1] or X.shape[1] > LARGEST:
        raise AssertionError(f"vectors must be of one length, {LARGEST} at most; got shapes {X.shape} and {Y.shape}.")
    return law_held(world, X @ Y.T, 10)


PROBLEMS = {
    "half_step": Problem(
        half_step, half_step_inputs,
        {
            "lambda not times the number of items": _half_step(n=lambda r: 1),
            "lambda times the number of events, not of items": _half_step(n=lambda r: r.sum()),
            "items not met left out": _half_step(left=lambda c, met: c * met, right=lambda c, met: c * met),
            "alpha on the left only": _half_step(right=lambda c, met: np.ones_like(c)),
            "met items counted once too often beside the Gram matrix": _half_step(left=lambda c, met: c + met),
            "the target is the count, not 1": _half_step(target=lambda met, r, b: r - b),
            "items' biases taken off where the user met the item alone": _half_step(target=lambda met, r, b: met * (1 - b)),
            "items' biases left out": _half_step(target=lambda met, r, b: met),
            "the user's bias pays no penalty": _half_step(free=True),
            "the user's bias is not solved for": _bias_left_out,
        },
        [half_step_rows, half_step_newton], IMPLICIT,
    ),
    "objective": Problem(
        objective, objective_inputs,
        {
            "pairs not met left out": _objective(
                everything=lambda X, Y: 0, met=lambda r, s, alpha: (1 + alpha * r) * (1 - s) ** 2
            ),
            "met pairs counted as zeros as well": _objective(met=lambda r, s, alpha: (1 + alpha * r) * (1 - s) ** 2),
            "weight alpha r in the place of 1 + alpha r": _objective(met=lambda r, s, alpha: alpha * r * (1 - s) ** 2 - s**2),
            "a pair that met twice counted as two pairs": _objective(merge=False),
            "the trace of G_X G_Y mistaken for the product of the traces": _objective(
                everything=lambda X, Y: (X**2).sum() * (Y**2).sum()
            ),
            "the Gram matrices multiplied by their diagonals alone": _objective(
                everything=lambda X, Y: (X**2).sum(axis=0) @ (Y**2).sum(axis=0)
            ),
            "the penalty once an event": _objective(
                penalty=lambda X, Y, users, items: (X[users] ** 2).sum() + (Y[items] ** 2).sum()
            ),
            "norms not squared in the penalty": _objective(
                penalty=lambda X, Y, users, items: np.linalg.norm(X) + np.linalg.norm(Y)
            ),
        },
        [objective_dense, objective_sparse, objective_loop], IMPLICIT,
    ),
    "bpr_gradient": Problem(
        bpr_gradient, bpr_gradient_inputs,
        {
            "weight sigma in the place of 1 - sigma": _bpr(weight=lambda sigma: sigma),
            "the gradient of 1 - sigma, which is not BPR": _bpr(weight=lambda sigma: sigma * (1 - sigma)),
            "sign: uphill": _bpr(pull=-1, push=-1),
            "the other item is pulled up too": _bpr(push=-1),
            "biases left out of the margin": _bpr(bias=False),
            "of rows that occur twice only the last counts": _bpr(overwrite=True),
            "the penalty once a vector, not once a triple": _bpr(once=True),
            "lambda in the place of lambda / 2 times the square": _bpr(decay=2.0),
            "the penalty left out": _bpr(decay=0.0),
            "the mean over triples, not the sum": _bpr(mean=True),
        },
        [bpr_gradient_torch, bpr_gradient_loop], IMPLICIT,
    ),
    "recover": Contest(
        _als(8, 1.0, 10.0), score, 0.865,
        {
            "popularity": popularity,
            "the pairs that met alone": met_pairs_alone,
            "settings copied from elsewhere, alpha = 40": _als(16, 40.0, 0.1),
            "BPR with uniform negatives": _train(losses.bpr_loss, lambda log: negatives.uniform(log.n_items, 1)),
        },
        [_als(16, 0.5, 8.0), _train(losses.softmax_loss, lambda log: negatives.all_items(log.n_items), weight_decay=0.3)], FACTORS,
    ),
}  # fmt: skip
