"""Sampled softmax and logQ: strata, the gradient by hand, a broken in-batch loss, a model of a log with popular items."""

import numpy as np
import torch
from scipy.special import logsumexp, softmax

from problems import Contest, Problem
from problems._worlds import law_held
from recsys_lite import losses, negatives, training
from recsys_lite.baselines import Popularity
from recsys_lite.examples import Interactions, Queries
from recsys_lite.factorization import MatrixFactorization
from recsys_lite.synthetic import World

PAGE = "Sampled softmax and logQ (two_towers/logq)"


# --- 1. negatives drawn from two strata -------------------------------------------------------------------------------
def stratified(positive, head, tail, n_head, n_tail):
    """Loss a row: log(e^s_p + (H/h) sum e^s_head + (T/t) sum e^s_tail) - s_p."""
    head = head + np.log(n_head / head.shape[1])
    tail = tail + np.log(n_tail / tail.shape[1])
    return logsumexp(np.hstack([positive[:, None], head, tail]), axis=1) - positive


def stratified_loop(positive, head, tail, n_head, n_tail):
    losses = []
    for row in range(len(positive)):
        z = np.exp(positive[row])
        z += n_head * np.mean([np.exp(score) for score in head[row]])
        z += n_tail * np.mean([np.exp(score) for score in tail[row]])
        losses.append(np.log(z) - positive[row])
    return losses


def stratified_torch(positive, head, tail, n_head, n_tail):
    p, h, t = (torch.tensor(each) for each in (positive, head, tail))
    z = p.exp() + h.exp().mean(dim=1) * n_head + t.exp().mean(dim=1) * n_tail
    return z.log() - p


def _stratified(head_weight, tail_weight, positive_term=True):
    """The loss with other weights; a weight is a function of (own size, own number of draws, other size, other draws)."""

    def loss(positive, head, tail, n_head, n_tail):
        h, t = head.shape[1], tail.shape[1]
        head = head + np.log(head_weight(n_head, h, n_tail, t))
        tail = tail + np.log(tail_weight(n_tail, t, n_head, h))
        terms = [positive[:, None]] * positive_term + [head, tail]
        return logsumexp(np.hstack(terms), axis=1) - positive

    return loss


def _same_weight(weight, **options):
    return _stratified(weight, weight, **options)


def stratified_inputs(rng):
    shape = rng.integers(2, 5), rng.integers(2, 4), rng.integers(4, 7)
    return {
        "positive": rng.normal(size=shape[0]), "head": rng.normal(size=(shape[0], shape[1])),
        "tail": rng.normal(size=(shape[0], shape[2])), "n_head": int(rng.integers(10, 30)), "n_tail": int(rng.integers(50, 90)),
    }  # fmt: skip


# --- 2. the gradient by hand ------------------------------------------------------------------------------------------
def gradient(positive, negative, log_expected):
    """d loss / d (s_p, s_1, ..., s_n) of log(e^s_p + sum_j e^(s_j - log E_j)) - s_p, (B, 1 + n)."""
    weights = softmax(np.hstack([positive[:, None], negative - log_expected]), axis=1)
    weights[:, 0] -= 1
    return weights


def gradient_torch(positive, negative, log_expected):
    p, n = (torch.tensor(each, requires_grad=True) for each in (positive, negative))
    value = torch.logsumexp(torch.cat([p[:, None], n - torch.tensor(log_expected)], dim=1), dim=1) - p
    value.sum().backward()
    return torch.cat([p.grad[:, None], n.grad], dim=1)


def gradient_loop(positive, negative, log_expected):
    rows = []
    for s, others, log_e in zip(positive, negative, log_expected):
        terms = [np.exp(s)] + [np.exp(a) / np.exp(b) for a, b in zip(others, log_e)]
        share = [term / sum(terms) for term in terms]
        rows.append([share[0] - 1, *share[1:]])
    return rows


def _gradient(of_log_expected=lambda e: e, of_positive=lambda share: share - 1, of_others=lambda share: share):
    def slip(positive, negative, log_expected):
        shares = softmax(np.hstack([positive[:, None], negative - of_log_expected(log_expected)]), axis=1)
        return np.hstack([of_positive(shares[:, :1]), of_others(shares[:, 1:])])

    return slip


def _decoupled(positive, negative, log_expected):
    """The gradient where the positive is left out of the denominator."""
    return np.hstack([-np.ones((len(positive), 1)), softmax(negative - log_expected, axis=1)])


def gradient_inputs(rng):
    shape = rng.integers(2, 5), rng.integers(3, 6)
    return {
        "positive": rng.normal(size=shape[0]),
        "negative": rng.normal(size=shape),
        "log_expected": rng.normal(size=shape),
    }


# --- 3. a broken in-batch loss ----------------------------------------------------------------------------------------
def in_batch(scores, items, log_p):
    """Loss a row of an in-batch softmax: column j stands for items[j] with E_j = (B - 1) p_j; hits are masked."""
    n = len(items)
    corrected = scores - log_p[items] - np.log(n - 1)
    hit = items[:, None] == items
    corrected[hit] = -np.inf
    positive = np.diag(scores)
    return logsumexp(np.hstack([positive[:, None], corrected]), axis=1) - positive


def in_batch_loop(scores, items, log_p):
    n, values = len(items), []
    for i in range(n):
        z = np.exp(scores[i, i])
        for j in range(n):
            if items[j] != items[i]:
                z += np.exp(scores[i, j]) / ((n - 1) * np.exp(log_p[items[j]]))
        values.append(np.log(z) - scores[i, i])
    return values


def in_batch_torch(scores, items, log_p):
    scores, items, log_p = torch.tensor(scores), torch.tensor(items), torch.tensor(log_p)
    corrected = (scores - log_p[items] - np.log(len(items) - 1)).masked_fill(items[:, None] == items, -torch.inf)
    corrected = torch.where(torch.eye(len(items), dtype=torch.bool), scores, corrected)
    return torch.nn.functional.cross_entropy(corrected, torch.arange(len(items)), reduction="none")


def _in_batch(sign=-1, of_row=False, keep_hits=False, log_n=True, correct_positive=False):
    def loss(scores, items, log_p):
        n = len(items)
        q = log_p[items] + (np.log(n - 1) if log_n else 0)
        corrected = scores + sign * (q[:, None] if of_row else q)
        positive = np.diag(corrected if correct_positive else scores)
        hit = np.eye(n, dtype=bool) if keep_hits else items[:, None] == items
        corrected = np.where(hit, -np.inf, corrected)
        return logsumexp(np.hstack([positive[:, None], corrected]), axis=1) - positive

    return loss


def in_batch_inputs(rng):
    n = int(rng.integers(4, 7))
    log_p = np.log(rng.dirichlet(np.ones(8)))
    items = rng.integers(8, size=n)
    items[-1] = items[0]  # at least one hit
    return {"scores": rng.normal(size=(n, n)), "items": items, "log_p": log_p}


# --- 4. a model of a log with popular items ---------------------------------------------------------------------------
def _train(loss, sampler):
    def fit(log):
        model = MatrixFactorization(log.n_users, log.n_items, 16)
        options = {"n_epochs": 12, "batch_size": 128, "learning_rate": 0.02, "weight_decay": 0.1}
        training.fit(model, Interactions(log), loss, sampler(log), **options)
        return model.score_items(Queries(torch.arange(log.n_users)))

    return fit


def _in_batch_negatives(log):
    return negatives.in_batch(negatives.log_share(log))


recover = _train(losses.logq_loss, _in_batch_negatives)
recover_fully = _train(losses.softmax_loss, lambda log: negatives.all_items(log.n_items))


def by_popularity(log):
    return Popularity().fit(log).score_items(Queries(torch.arange(log.n_users)))


def score(fit, seed):
    """The share of the best possible law that the ten best by the student's scores hold, in a fresh world."""
    world = World(n_users=300, n_items=200, popularity=1.5, seed=seed)
    return law_held(world, fit(world.interactions(per_user=40)), 10)


PROBLEMS = {
    "stratified": Problem(
        stratified, stratified_inputs,
        {
            "sign of log q": _same_weight(lambda size, n, other, m: n / size),
            "number of draws left out": _same_weight(lambda size, n, other, m: size),
            "size of the stratum left out": _same_weight(lambda size, n, other, m: 1 / n),
            "no correction": _same_weight(lambda size, n, other, m: 1.0),
            "one weight for both strata": _same_weight(lambda size, n, other, m: (size + other) / (n + m)),
            "the positive left out of the denominator": _same_weight(lambda size, n, other, m: size / n, positive_term=False),
        },
        [stratified_loop, stratified_torch], PAGE,
    ),
    "gradient": Problem(
        gradient, gradient_inputs,
        {
            "weights from uncorrected scores": _gradient(lambda e: 0 * e),
            "sign of log q": _gradient(lambda e: -e),
            "the positive left out of the denominator": _decoupled,
            "sign of the gradient": _gradient(of_positive=lambda share: 1 - share, of_others=lambda share: -share),
            "the positive's share without the minus one": _gradient(of_positive=lambda share: share),
        },
        [gradient_torch, gradient_loop], PAGE,
    ),
    "in_batch": Problem(
        in_batch, in_batch_inputs,
        {
            "sign of log q": _in_batch(sign=1),
            "log q of the row's own item, not of the column's": _in_batch(of_row=True),
            "hits are not masked": _in_batch(keep_hits=True),
            "log n left out": _in_batch(log_n=False),
            "the positive is corrected too": _in_batch(correct_positive=True),
        },
        [in_batch_loop, in_batch_torch], PAGE,
    ),
    "recover": Contest(
        recover, score, 0.9,
        {
            "popularity": by_popularity,
            "in-batch without logQ": _train(losses.softmax_loss, _in_batch_negatives),
        },
        [recover_fully], PAGE,
    ),
}  # fmt: skip
