"""Cold start: from content to vectors with unequal evidence, a prior with a shape, honest questions, clipped federated updates."""

from collections import defaultdict

import numpy as np
import torch

from problems import Contest, Problem
from recsys_lite import losses, negatives, training
from recsys_lite.examples import Interactions, Queries
from recsys_lite.factorization import ImplicitALS, MatrixFactorization
from recsys_lite.synthetic import World

ITEMS, USERS = "Cold items (cold_start/items)", "New users (cold_start/users)"


# --- 1. from content to vectors, items weighed by their events --------------------------------------------------------
def content_map(content, vectors, counts, penalty):
    """a + W^T e_i of min sum_j n_j |y_j - a - W^T e_j|^2 + lambda |W|^2: centred on weighted means, (n, d)."""
    weights = counts / counts.sum()
    e, y = content - weights @ content, vectors - weights @ vectors
    gram = (e * counts[:, None]).T @ e + penalty * np.eye(content.shape[1])
    return e @ np.linalg.solve(gram, (e * counts[:, None]).T @ y) + weights @ vectors


def content_map_stacked(content, vectors, counts, penalty):
    """One tall least squares problem: rows times the roots of their weights, the penalty's rows without the intercept."""
    n, k = content.shape
    design, root = np.column_stack([np.ones(n), content]), np.sqrt(counts)[:, None]
    held = np.column_stack([np.zeros(k), np.sqrt(penalty) * np.eye(k)])
    targets = np.vstack([root * vectors, np.zeros((k, vectors.shape[1]))])
    return design @ np.linalg.lstsq(np.vstack([root * design, held]), targets, rcond=None)[0]


def content_map_torch(content, vectors, counts, penalty):
    """Every item as often as it has events."""
    e, y = torch.tensor(content), torch.tensor(vectors)
    rows = torch.repeat_interleave(torch.arange(len(e)), torch.tensor(counts))
    design = torch.cat([torch.ones(len(e), 1, dtype=e.dtype), e], dim=1)
    gram = design[rows].T @ design[rows]
    gram.diagonal()[1:] += penalty
    return design @ torch.linalg.solve(gram, design[rows].T @ y[rows])


def _content_map(weigh=lambda n: n, intercept=True, penalise=0.0, plain_means=False, times=lambda n: 1):
    def slip(content, vectors, counts, penalty):
        weights, shift = np.asarray(weigh(counts), dtype=float), 0
        penalty = penalty * times(counts)
        if plain_means:
            warm = counts > 0
            content, shift = content - content[warm].mean(axis=0), vectors[warm].mean(axis=0)
        design = np.column_stack([np.ones(len(content)) * (intercept and not plain_means), content])
        held = np.full(design.shape[1], float(penalty))
        held[0] = penalty * penalise if intercept and not plain_means else 1.0
        gram = (design * weights[:, None]).T @ design + np.diag(held)
        return design @ np.linalg.solve(gram, (design * weights[:, None]).T @ (vectors - shift)) + shift

    return slip


def content_map_inputs(rng):
    n, k = int(rng.integers(8, 11)), int(rng.integers(2, 4))
    counts = rng.integers(1, 9, size=n)
    counts[0], counts[1], counts[-2:] = 1, 12, 0  # the last two are new
    return {
        "content": rng.normal(size=(n, k)) + 1, "vectors": rng.normal(size=(n, 2)) + 1, "counts": counts,
        "penalty": float(rng.uniform(1, 4)),
    }  # fmt: skip


# --- 2. a prior with a shape ------------------------------------------------------------------------------------------
def shaped_prior(clicks, users, prior, covariance, unmet):
    """argmin_y sum_met c_u (1 - <x_u, y>)^2 + w sum_unmet <x_u, y>^2 + (y - m)^T C^-1 (y - m), (S, d)."""
    precision, rows = np.linalg.inv(covariance), []
    for c, m in zip(clicks, prior):
        weights = np.where(c > 0, c, unmet)
        left = (users * weights[:, None]).T @ users + precision
        rows.append(np.linalg.solve(left, c @ users + precision @ m))
    return np.array(rows)


def shaped_prior_stacked(clicks, users, prior, covariance, unmet):
    """Least squares with the prior as d more rows, by the Cholesky factor of the covariance."""
    whiten = np.linalg.inv(np.linalg.cholesky(covariance))
    found = []
    for c, m in zip(clicks, prior):
        root = np.sqrt(np.where(c > 0, c, unmet))
        design = np.vstack([root[:, None] * users, whiten])
        found.append(np.linalg.lstsq(design, np.concatenate([root * (c > 0), whiten @ m]), rcond=None)[0])
    return found


def shaped_prior_around_the_mean(clicks, users, prior, covariance, unmet):
    """y = m + C X^T (X C X^T + W^-1)^-1 (t - X m): a system with a row a user."""
    c, x, m, cov = (torch.tensor(np.asarray(each, dtype=float)) for each in (clicks, users, prior, covariance))
    rows = []
    for row, mean in zip(c, m):
        noise = torch.diag(1 / torch.where(row > 0, row, torch.full_like(row, unmet)))
        gain = cov @ x.T @ torch.linalg.inv(x @ cov @ x.T + noise)
        rows.append(mean + gain @ ((row > 0).double() - x @ mean))
    return torch.stack(rows)


def _shaped_prior(
    shape=np.linalg.inv, per_event=False, on_left=1, on_right=1, everybody=False, once=False, after=False
):
    def slip(clicks, users, prior, covariance, unmet):
        found = []
        for c, m in zip(clicks, prior):
            c = np.minimum(c, 1) if once else c
            precision = shape(covariance) * (c.sum() if per_event else 1)
            weights = c + unmet if everybody else np.where(c > 0, c, unmet)
            left = (users * weights[:, None]).T @ users + on_left * precision
            y = np.linalg.solve(left, c @ users + on_right * precision @ m)
            found.append(y + m if after else y)
        return np.array(found)

    return slip


def shaped_prior_inputs(rng):
    n_users, d = int(rng.integers(5, 8)), int(rng.integers(2, 4))
    clicks = rng.choice([0, 0, 1, 2, 3], size=(4, n_users))
    clicks[0], clicks[1, :3], clicks[2, 0] = 0, [3, 0, 2], 2  # the first item has not met anybody
    half = rng.normal(size=(d, d))
    return {
        "clicks": clicks, "users": rng.normal(size=(n_users, d)), "prior": rng.normal(size=(4, d)),
        "covariance": half @ half.T / d + np.diag(rng.uniform(0.2, 0.6, size=d)), "unmet": float(rng.uniform(0.1, 0.5)),
    }  # fmt: skip


# --- 3. the next question, honestly -----------------------------------------------------------------------------------
def honest_errors(likes, answers, asked):
    """Mean over users of |r_u - mean of the others who answered alike|^2 if q is asked next, (Q,)."""
    n, errors = len(likes), []
    for q in range(answers.shape[1]):
        _, group = np.unique(answers[:, [*asked, q]], axis=0, return_inverse=True)
        alike = (group.ravel()[:, None] == group.ravel()).astype(float)
        np.fill_diagonal(alike, 0)
        alone = alike.sum(axis=1) == 0
        alike[alone] = 1 - np.eye(n)[alone]
        means = alike @ likes / alike.sum(axis=1, keepdims=True)
        errors.append(((likes - means) ** 2).sum(axis=1).mean())
    return np.array(errors)


def honest_errors_short(likes, answers, asked):
    """By group sums: r - (s - r) / (n_g - 1) = (n_g r - s) / (n_g - 1)."""
    errors, n = [], len(likes)
    for q in range(answers.shape[1]):
        groups = defaultdict(list)
        for u, row in enumerate(answers):
            groups[tuple(row[[*asked, q]])].append(u)
        total = 0.0
        for members in groups.values():
            size, inside = (len(members), likes[members]) if len(members) > 1 else (n, likes)
            total += (((size * likes[members] - inside.sum(axis=0)) / (size - 1)) ** 2).sum()
        errors.append(total / n)
    return errors


def honest_errors_torch(likes, answers, asked):
    r, a, used = torch.tensor(likes), torch.tensor(answers), torch.tensor(asked)
    errors = torch.zeros(a.shape[1], dtype=r.dtype)
    for q in range(a.shape[1]):
        key = torch.cat([a[:, used], a[:, [q]]], dim=1)
        for u in range(len(r)):
            others = (key == key[u]).all(dim=1)
            others[u] = False
            if not others.any():
                others = torch.arange(len(r)) != u
            errors[q] += ((r[u] - r[others].mean(dim=0)) ** 2).sum() / len(r)
    return errors


def _honest(own=False, use_asked=True, over_groups=False, alone="everybody else", merge=False, total=False):
    def slip(likes, answers, asked):
        answers = np.where(answers == 2, 0, answers) if merge else answers
        errors = []
        for q in range(answers.shape[1]):
            _, group = np.unique(answers[:, [*(asked if use_asked else []), q]], axis=0, return_inverse=True)
            group, each = group.ravel(), np.zeros(len(likes))
            for u in range(len(likes)):
                others = group == group[u]
                others[u] = own
                if not others.any() or (own and others.sum() == 1 and alone == "everybody else"):
                    others = np.arange(len(likes)) != u
                    if alone == "nothing":
                        continue
                each[u] = ((likes[u] - likes[others].mean(axis=0)) ** 2).sum()
            if over_groups:
                errors.append(np.mean([each[group == g].mean() for g in np.unique(group)]))
            else:
                errors.append(each.sum() if total else each.mean())
        return np.array(errors)

    return slip


def honest_errors_inputs(rng):
    n, m, n_questions = int(rng.integers(9, 13)), int(rng.integers(3, 6)), int(rng.integers(3, 5))
    answers = rng.integers(3, size=(n, n_questions))
    asked = rng.permutation(n_questions)[:1]
    answers[:, asked[0]] = np.arange(n) % 2
    answers[0, asked[0]] = 2  # nobody else: this user is alone in a group, whatever is asked next
    return {"likes": rng.normal(size=(n, m)), "answers": answers, "asked": asked}


# --- 4. clipped federated updates -------------------------------------------------------------------------------------
def clipped_average(items, changes, counts, largest):
    """Y + sum_u (n_u / n) change_u min(1, C / |change_u|), the length over the whole table; (m, d)."""
    lengths = np.sqrt((changes**2).sum(axis=(1, 2)))
    scale = np.minimum(1, largest / np.maximum(lengths, 1e-300))
    return items + np.einsum("u,uid->id", scale * counts / counts.sum(), changes)


def clipped_average_loop(items, changes, counts, largest):
    table = items.copy()
    for change, n in zip(changes, counts):
        length = sum(x**2 for x in change.ravel()) ** 0.5
        if length > largest:
            change = change * (largest / length)
        table += change * n / sum(counts)
    return table


def clipped_average_torch(items, changes, counts, largest):
    flat = torch.tensor(changes).flatten(1)
    flat = flat / (flat.norm(dim=1, keepdim=True) / largest).clamp(min=1)
    share = torch.tensor(counts / counts.sum())
    return torch.tensor(items) + (share @ flat).reshape(items.shape)


def _clipped(weights=lambda n: n / n.sum(), clip="each", with_items=True):
    def shorten(x, axes, largest):
        return x * np.minimum(1, largest / np.maximum(np.sqrt((x**2).sum(axis=axes, keepdims=True)), 1e-12))

    def slip(items, changes, counts, largest):
        clipped = {
            "each": lambda: shorten(changes, (1, 2), largest),
            "rows": lambda: shorten(changes, 2, largest),
            "numbers": lambda: np.clip(changes, -largest, largest),
            "all": lambda: changes * largest / np.maximum(np.sqrt((changes**2).sum(axis=(1, 2), keepdims=True)), 1e-12),
        }.get(clip, lambda: changes)()
        average = np.einsum("u,uid->id", weights(counts), clipped)
        average = shorten(average, (0, 1), largest) if clip == "average" else average
        return items * with_items + average

    return slip


def clipped_average_inputs(rng):
    n_devices, shape = int(rng.integers(4, 6)), (int(rng.integers(3, 6)), 2)
    changes, largest = rng.normal(size=(n_devices, *shape)), float(rng.uniform(0.8, 1.2))
    lengths = rng.uniform(1.5, 6, size=n_devices)
    lengths[0] = 0.4  # short of the bound; device 1 sends nothing, device 2 has no examples
    changes *= (lengths * largest / np.sqrt((changes**2).sum(axis=(1, 2))))[:, None, None]
    changes[-1, 0] *= 3
    changes[1] = 0
    counts = rng.integers(2, 20, size=n_devices)
    counts[2] = 0
    return {"items": rng.normal(size=shape), "changes": changes, "counts": counts, "largest": largest}


# --- 5. cold items with facts that say nothing ------------------------------------------------------------------------
def _users(log):
    users = np.arange(log.n_users)
    return Queries(torch.from_numpy(users), torch.from_numpy(log.history(users)))


def _mapped(content, vectors, warm, penalty=1.0):
    mean, target = content[warm].mean(axis=0), vectors[warm].mean(axis=0)
    e = content - mean
    gram = e[warm].T @ e[warm] + penalty * np.eye(e.shape[1])
    return e @ np.linalg.solve(gram, e[warm].T @ (vectors[warm] - target)) + target


def cold_scores(log, content):
    """ALS on the items with events; what content says of its item vectors serves the new ones."""
    model = ImplicitALS(8, 1.0, 5.0).fit(log)
    return model.user_vectors(_users(log)) @ _mapped(content, model.item_vectors(), log.item_counts() > 0).T


def cold_scores_softmax(log, content):
    """The same with a factorization trained by a softmax over the items that have events."""
    warm = np.flatnonzero(log.item_counts())
    known = type(log).from_events(log.users, np.searchsorted(warm, log.items), log.n_users, len(warm), times=log.times)
    model = MatrixFactorization(log.n_users, len(warm), 16)
    options = {"n_epochs": 12, "batch_size": 128, "learning_rate": 0.02, "weight_decay": 0.1}
    training.fit(model, Interactions(known), losses.softmax_loss, negatives.all_items(len(warm)), **options)
    vectors = np.zeros((log.n_items, 16))
    vectors[warm] = model.item_vectors()
    return model.user_vectors(Queries(torch.arange(log.n_users))) @ _mapped(content, vectors, warm).T


def profile(log, content):
    """The mean content of what a user met against the content of each item, both less their means."""
    warm = log.item_counts() > 0
    centred = content - content[warm].mean(axis=0)
    return log.matrix() @ centred @ centred.T


def most_alike(log, content):
    """Each item takes the events of the five known items most like it."""
    warm = np.flatnonzero(log.item_counts())
    unit = content / np.linalg.norm(content, axis=1, keepdims=True)
    nearest = warm[np.argsort(-unit @ unit[warm].T, axis=1)[:, :5]]
    return log.matrix().toarray()[:, nearest].mean(axis=2)


def events_alone(log, content):
    model = ImplicitALS(8, 1.0, 5.0).fit(log)
    return model.score_items(_users(log))


def score(fit, seed):
    """The share of the law among new items alone that top tens of them hold, when a third of the items is new."""
    world = World(n_users=300, n_items=300, taste=6.0, popularity=0.3, content_strength=0.95, seed=seed)
    rng = np.random.default_rng([5, seed])
    new = np.isin(np.arange(300), rng.permutation(300)[:100])
    events = world.events(per_user=30)
    log = world.as_interactions(events[~new[events["item"].to_numpy()]])
    content = np.hstack([world.content, 0.7 * rng.normal(size=(300, 32))])[:, rng.permutation(40)]
    scores = np.asarray(fit(log, content), dtype=float)
    if scores.shape != (300, 300) or not np.isfinite(scores).all():
        raise AssertionError(f"scores must be finite, of shape (300, 300); got {scores.shape}.")
    scores, law = scores[:, new], world.probabilities()[:, new]
    top = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    return float((np.take_along_axis(law, top, axis=1).sum(axis=1) / np.sort(law, axis=1)[:, -10:].sum(axis=1)).mean())


PROBLEMS = {
    "content_map": Problem(
        content_map, content_map_inputs,
        {
            "the intercept is penalised": _content_map(penalise=1.0),
            "no intercept": _content_map(intercept=False),
            "centred on plain means, though items weigh differently": _content_map(plain_means=True),
            "all items with events weigh the same": _content_map(lambda n: n > 0),
            "the weights enter twice": _content_map(lambda n: n**2),
            "items without events are learnt from": _content_map(lambda n: np.maximum(n, 1)),
            "the penalty is multiplied by the number of events": _content_map(times=lambda n: n.sum()),
        },
        [content_map_stacked, content_map_torch], ITEMS, tolerance=1e-5,
    ),
    "shaped_prior": Problem(
        shaped_prior, shaped_prior_inputs,
        {
            "the covariance where its inverse belongs": _shaped_prior(shape=lambda c: c),
            "the prior is multiplied by the number of clicks": _shaped_prior(per_event=True),
            "pulled towards zero, not towards the prior": _shaped_prior(on_right=0),
            "solved for a prior of zero, and the prior added afterwards": _shaped_prior(on_right=0, after=True),
            "the prior on the right side alone": _shaped_prior(on_left=0),
            "users who met the item are counted as unmet too": _shaped_prior(everybody=True),
            "several clicks count as one": _shaped_prior(once=True),
        },
        [shaped_prior_stacked, shaped_prior_around_the_mean], ITEMS, tolerance=1e-5,
    ),
    "honest_errors": Problem(
        honest_errors, honest_errors_inputs,
        {
            "a user's own row is in the mean": _honest(own=True),
            "a user's own row is in the mean, and one who is alone has no error": _honest(own=True, alone="own"),
            "a user who is alone in a group has no error": _honest(alone="nothing"),
            "the answers given so far are left out": _honest(use_asked=False),
            "the mean over groups, not over users": _honest(over_groups=True),
            "unknown is counted as no": _honest(merge=True),
            "the sum over users, not the mean": _honest(total=True),
        },
        [honest_errors_short, honest_errors_torch], USERS,
    ),
    "clipped_average": Problem(
        clipped_average, clipped_average_inputs,
        {
            "devices count alike, whatever they have": _clipped(lambda n: np.full(len(n), 1 / len(n))),
            "weighted by counts, divided by the number of devices": _clipped(lambda n: n / len(n)),
            "each item's row is clipped by itself": _clipped(clip="rows"),
            "each number is clipped by itself": _clipped(clip="numbers"),
            "short changes are brought to the bound too": _clipped(clip="all"),
            "the average is clipped, not each change": _clipped(clip="average"),
            "the table itself is left out": _clipped(with_items=False),
        },
        [clipped_average_loop, clipped_average_torch], USERS,
    ),
    "cold_scores": Contest(
        cold_scores, score, 0.55,
        {"events alone": events_alone, "content profile": profile, "the items most alike": most_alike},
        [cold_scores_softmax], ITEMS,
    ),
}  # fmt: skip
