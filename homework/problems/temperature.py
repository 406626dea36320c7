"""Cosine and temperature: the gradients by log temperature and by a vector, a temperature of a wanted width, one length for all."""

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.special import logsumexp, softmax
from scipy.stats import entropy

from problems import Contest, Problem
from problems._worlds import law_held
from recsys_lite import losses, negatives, training
from recsys_lite.baselines import Popularity
from recsys_lite.examples import Interactions, Queries
from recsys_lite.factorization import MatrixFactorization
from recsys_lite.synthetic import World
from recsys_lite.vectors import Cosine

PAGE = "Cosine and temperature (two_towers/temperature)"


# --- 1. the gradient by log temperature, with the clip ----------------------------------------------------------------
def by_log_temperature(cosines, positives, sigmas):
    """d/d sigma mean_b -log P(p_b), tau = clip(e^sigma, 0.01, 100): mean_b (c_p - sum_i P_i c_i) / tau inside, else 0."""
    rows, found = np.arange(len(cosines)), []
    for sigma in sigmas:
        tau = np.exp(sigma)
        gaps = cosines[rows, positives] - (softmax(cosines / tau, axis=1) * cosines).sum(axis=1)
        found.append(gaps.mean() / tau if 0.01 < tau < 100 else 0.0)
    return np.array(found)


def by_log_temperature_torch(cosines, positives, sigmas):
    c, p, s = torch.tensor(cosines), torch.tensor(positives), torch.tensor(sigmas, requires_grad=True)
    tau = s.exp().clamp(0.01, 100)
    loss = sum(torch.nn.functional.cross_entropy(c / each, p) for each in tau)
    return torch.autograd.grad(loss, s)[0]


def by_log_temperature_numerically(cosines, positives, sigmas):
    """Central differences."""
    rows, h = np.arange(len(cosines)), 1e-5

    def loss(sigma):
        scores = cosines / np.clip(np.exp(sigma), 0.01, 100)
        return (logsumexp(scores, axis=1) - scores[rows, positives]).mean()

    return [(loss(sigma + h) - loss(sigma - h)) / (2 * h) for sigma in sigmas]


def _by_log_temperature(power=-1, clip=True, weights=lambda c, tau: c / tau, sign=1, total=False):
    def slip(cosines, positives, sigmas):
        rows, found = np.arange(len(cosines)), []
        for sigma in sigmas:
            outside = not 0.01 < np.exp(sigma) < 100
            tau = np.clip(np.exp(sigma), 0.01, 100)
            gaps = cosines[rows, positives] - (softmax(weights(cosines, tau), axis=1) * cosines).sum(axis=1)
            value = sign * (gaps.sum() if total else gaps.mean()) * tau**power
            found.append(0.0 if clip and outside else value)
        return np.array(found)

    return slip


def by_log_temperature_inputs(rng):
    n_rows, n = int(rng.integers(3, 6)), int(rng.integers(4, 7))
    sigmas = np.concatenate([rng.uniform(-1.6, -0.4, size=2), rng.uniform(0.3, 1.0, size=1), [-5.0, 5.0]])
    return {
        "cosines": rng.uniform(-1, 1, size=(n_rows, n)), "positives": rng.integers(n, size=n_rows),
        "sigmas": rng.permutation(sigmas),
    }  # fmt: skip


# --- 2. the gradient by the user's vector -----------------------------------------------------------------------------
def by_vector(user, items, positive, tau):
    """dL/dx = (I - u u^T) sum_i (P_i - [i = p]) y_i/|y_i| / (|x| tau), u = x/|x|; (k,)."""
    length = np.linalg.norm(user)
    u, y = user / length, items / np.linalg.norm(items, axis=1, keepdims=True)
    wanted = softmax(y @ u / tau)
    wanted[positive] -= 1
    pull = wanted @ y / tau
    return (pull - (pull @ u) * u) / length


def by_vector_torch(user, items, positive, tau):
    x, y = torch.tensor(user, requires_grad=True), torch.tensor(items)
    scores = torch.cosine_similarity(x[None], y) / tau
    return torch.autograd.grad(scores.logsumexp(0) - scores[positive], x)[0]


def by_vector_loop(user, items, positive, tau):
    """Item by item: dc/dx = (y/|y| - c x/|x|) / |x|."""
    length = np.sqrt((user**2).sum())
    cosines, slopes = [], []
    for y in items:
        y = y / np.sqrt((y**2).sum())
        c = y @ user / length
        cosines.append(c)
        slopes.append((y - c * user / length) / length)
    weights = np.exp(np.array(cosines) / tau)
    weights = weights / weights.sum()
    return (sum(w * s for w, s in zip(weights, slopes)) - slopes[positive]) / tau


def _by_vector(project=True, power=-1, tau_power=-1, unit_items=True, in_softmax=-1, sign=1):
    def slip(user, items, positive, tau):
        length = np.linalg.norm(user)
        u, y = user / length, items / np.linalg.norm(items, axis=1, keepdims=True)
        wanted = softmax(y @ u * tau**in_softmax)
        wanted[positive] -= 1
        pull = wanted @ (y if unit_items else items) * tau**tau_power
        return sign * (pull - (pull @ u) * u * project) * length**power

    return slip


def by_vector_inputs(rng):
    n, k = int(rng.integers(4, 7)), int(rng.integers(3, 5))
    return {
        "user": rng.uniform(1.5, 3) * rng.normal(size=k), "items": rng.uniform(0.5, 3, size=(n, 1)) * rng.normal(size=(n, k)),
        "positive": int(rng.integers(n)), "tau": float(rng.uniform(0.2, 0.6)),
    }  # fmt: skip


# --- 3. the temperature of a wanted width -----------------------------------------------------------------------------
def wanted_width(scores, width):
    """tau a row with exp(H(softmax(s / tau))) = width, by bisection of log tau; 1 for a row of equal scores."""
    low, high = np.full(len(scores), np.log(1e-6)), np.full(len(scores), np.log(1e6))
    for _ in range(80):
        middle = (low + high) / 2
        too_wide = np.exp(entropy(softmax(scores / np.exp(middle)[:, None], axis=1), axis=1)) > width
        low, high = np.where(too_wide, low, middle), np.where(too_wide, middle, high)
    return np.where(np.ptp(scores, axis=1) == 0, 1.0, np.exp(low))


def wanted_width_root(scores, width):
    def excess(log_tau, row):
        return entropy(softmax(row / np.exp(log_tau))) - np.log(width)

    return [1.0 if np.ptp(row) == 0 else np.exp(brentq(excess, -9, 9, args=(row,), xtol=1e-12)) for row in scores]


def wanted_width_newton(scores, width):
    """Newton in log gamma, gamma = 1 / tau: H has the derivative -gamma^2 Var(s); steps are kept short."""
    found = []
    for row in scores:
        x = 0.0
        for _ in range(200 if np.ptp(row) > 0 else 0):
            gamma = np.exp(x)
            p = softmax(gamma * row)
            variance = p @ row**2 - (p @ row) ** 2
            step = (entropy(p) - np.log(width)) / max(gamma**2 * variance, 1e-12)
            x += np.clip(step, -0.5, 0.5)
        found.append(np.exp(-x))
    return found


def _wanted(measure, invert=False, together=False, equal=1.0):
    """The same search for another measure of width, a function of the probabilities (R, n)."""

    def slip(scores, width):
        low, high = np.full(len(scores), np.log(1e-6)), np.full(len(scores), np.log(1e6))
        for _ in range(80):
            middle = (low + high) / 2
            values = measure(softmax(scores / np.exp(middle)[:, None], axis=1))
            too_wide = (np.full(len(scores), values.mean()) if together else values) > width
            low, high = np.where(too_wide, low, middle), np.where(too_wide, middle, high)
        tau = np.exp(-low if invert else low)
        return np.where(np.ptp(scores, axis=1) == 0, equal, tau)

    return slip


def _number(p):
    return np.exp(entropy(p, axis=1))


def wanted_width_inputs(rng):
    scores = rng.normal(size=(int(rng.integers(3, 5)), int(rng.integers(30, 40))))
    scores *= rng.uniform(0.5, 3, size=(len(scores), 1))
    scores[-1] = scores[-1, 0]  # equal scores
    return {"scores": scores, "width": float(rng.uniform(2.2, 2.8))}


# --- 4. one length for all --------------------------------------------------------------------------------------------
def one_length(users, items, new_items):
    """Cosines of [x; 0] with [y; sqrt(M^2 - |y|^2)], M the greatest length of old and new items: <x, y> / (|x| M)."""
    y = np.vstack([items, new_items])
    most = np.sqrt((y**2).sum(axis=1).max())
    lengths = np.linalg.norm(users, axis=1, keepdims=True)
    return users @ y.T / np.where(lengths > 0, lengths, 1) / most


def one_length_literally(users, items, new_items):
    """The longer vectors are made and their cosines taken."""
    y = np.vstack([items, new_items])
    squares = (y**2).sum(axis=1)
    y = np.column_stack([y, np.sqrt(squares.max() - squares)])
    x = np.column_stack([users, np.zeros(len(users))])
    rows = []
    for each in x:
        length = np.sqrt(each @ each)
        rows.append([each @ other / np.sqrt(other @ other) / length if length > 0 else 0.0 for other in y])
    return rows


def one_length_torch(users, items, new_items):
    x, y = torch.tensor(users), torch.cat([torch.tensor(items), torch.tensor(new_items)])
    left = (y.norm(dim=1).max() ** 2 - y.norm(dim=1) ** 2).clamp(min=0).sqrt()
    y = torch.nn.functional.normalize(torch.cat([y, left[:, None]], dim=1), dim=1)
    return torch.nn.functional.normalize(x, dim=1) @ y[:, :-1].T


def _one_length(extra=lambda most, squares: np.sqrt(most - squares), most=np.max, users_too=0.0, divide=True):
    def slip(users, items, new_items):
        y = np.vstack([items, new_items])
        squares = (y**2).sum(axis=1)
        top = most(squares) if most is not None else (items**2).sum(axis=1).max()
        y = np.column_stack([y, extra(top, squares)])
        x = np.column_stack([users, np.full(len(users), users_too) * (np.abs(users).sum(axis=1) > 0)])
        length = np.linalg.norm(x, axis=1, keepdims=True)
        scores = x / np.where(length > 0, length, 1) @ y.T
        return scores / np.linalg.norm(y, axis=1) if divide else scores

    return slip


def one_length_inputs(rng):
    n, k = int(rng.integers(3, 6)), int(rng.integers(2, 4))
    users, items = rng.normal(size=(int(rng.integers(3, 5)), k)), rng.normal(size=(n, k))
    users[-1] = 0.0
    new_items = rng.normal(size=(2, k))
    new_items[0] *= 2 * np.linalg.norm(items, axis=1).max() / np.linalg.norm(new_items[0])  # longer than all old ones
    items[0] *= 0.5
    return {"users": users, "items": items, "new_items": new_items}


# --- 5. choose a temperature ------------------------------------------------------------------------------------------
def _cosine(temperature, loss=losses.logq_loss, sampler=None):
    def fit(log):
        model = Cosine(MatrixFactorization(log.n_users, log.n_items, 16), temperature)
        options = {"n_epochs": 10, "batch_size": 128, "learning_rate": 0.02, "weight_decay": 0.1}
        negative = sampler or negatives.in_batch(negatives.log_share(log))
        training.fit(model, Interactions(log), loss, negative, **options)
        return np.vstack([model.user_vectors(Queries(torch.arange(log.n_users))), model.item_vectors()])

    return fit


directions = _cosine(0.2)
directions_fully = _cosine(0.25, losses.softmax_loss, negatives.all_items(200))


def by_popularity(log):
    """Unit vectors whose cosines are in the order of popularity."""
    counts = np.asarray(Popularity().fit(log).score_items(Queries(torch.arange(1)))).ravel()
    angle = np.pi / 2 * (1 - counts / counts.max())
    return np.vstack([np.tile([1.0, 0.0], (log.n_users, 1)), np.column_stack([np.cos(angle), np.sin(angle)])])


def score(fit, seed):
    """The share of the law that top tens by the cosine hold in a world of many tastes."""
    world = World(n_users=300, n_items=200, taste=8.0, popularity=0.5, spread=0.8, seed=seed)
    vectors = np.asarray(fit(world.interactions(per_user=20)), dtype=float)
    if vectors.ndim != 2 or len(vectors) != 500 or vectors.shape[1] > 16 or not np.isfinite(vectors).all():
        raise AssertionError(f"vectors must be finite, of shape (500, d) with d up to 16; got {vectors.shape}.")
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return law_held(world, vectors[:300] @ vectors[300:].T, 10)


PROBLEMS = {
    "by_log_temperature": Problem(
        by_log_temperature, by_log_temperature_inputs,
        {
            "by the temperature, not by its logarithm": _by_log_temperature(power=-2),
            "by the inverse temperature, not by the logarithm of the temperature": _by_log_temperature(power=0, sign=-1),
            "the clip passes the gradient on": _by_log_temperature(clip=False),
            "the softmax multiplies by the temperature": _by_log_temperature(weights=lambda c, tau: c * tau),
            "the softmax leaves the temperature out": _by_log_temperature(weights=lambda c, tau: c),
            "sign of the gradient": _by_log_temperature(sign=-1),
            "the sum over rows where the mean is meant": _by_log_temperature(total=True),
        },
        [by_log_temperature_torch, by_log_temperature_numerically], PAGE,
    ),
    "by_vector": Problem(
        by_vector, by_vector_inputs,
        {
            "the part along the user's vector is not taken off": _by_vector(project=False),
            "the division by the user's length is left out": _by_vector(power=0),
            "multiplied by the user's length, not divided": _by_vector(power=1),
            "the temperature is in the softmax, but not before the sum": _by_vector(tau_power=0),
            "multiplied by the temperature, not divided": _by_vector(tau_power=1, in_softmax=1),
            "the item vectors in the sum have their own lengths": _by_vector(unit_items=False),
            "sign of the gradient": _by_vector(sign=-1),
        },
        [by_vector_torch, by_vector_loop], PAGE,
    ),
    "wanted_width": Problem(
        wanted_width, wanted_width_inputs,
        {
            "the inverse of the temperature": _wanted(_number, invert=True),
            "the entropy itself, without the exponential": _wanted(lambda p: entropy(p, axis=1)),
            "2 to the power of an entropy in nats": _wanted(lambda p: 2 ** entropy(p, axis=1)),
            "another number: 1 over the sum of squared shares": _wanted(lambda p: 1 / (p**2).sum(axis=1)),
            "another number: 1 over the largest share": _wanted(lambda p: 1 / p.max(axis=1)),
            "one temperature for all rows": _wanted(_number, together=True),
        },
        [wanted_width_root, wanted_width_newton], PAGE, tolerance=1e-4,
    ),
    "one_length": Problem(
        one_length, one_length_inputs,
        {
            "the root is left out of the new coordinate": _one_length(lambda most, squares: most - squares),
            "the difference of lengths, not the root of that of squares": _one_length(
                lambda most, squares: np.sqrt(most) - np.sqrt(squares)
            ),
            "no new coordinate: items are just brought to length 1": _one_length(lambda most, squares: 0 * squares),
            "the user's vector gets a 1 where a 0 belongs": _one_length(users_too=1.0),
            "the cosine's division by the items' lengths is left out": _one_length(divide=False),
            "the greatest length is that of the old items": _one_length(
                lambda most, squares: np.sqrt(np.maximum(most - squares, 0)), most=None
            ),
        },
        [one_length_literally, one_length_torch], PAGE,
    ),
    "directions": Contest(
        directions, score, 0.81,
        {
            "popularity": by_popularity,
            "temperature 1": _cosine(1.0),
            "a far too small temperature": _cosine(0.01),
        },
        [directions_fully], PAGE,
    ),
}  # fmt: skip
