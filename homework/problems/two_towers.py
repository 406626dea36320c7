"""From features to two vectors: pairs between fields, exact vectors with field weights, the gradient, a hybrid for rare items."""

import numpy as np
import torch

from problems import Contest, Problem
from recsys_lite import losses, negatives, training
from recsys_lite.baselines import Popularity
from recsys_lite.examples import Interactions, Queries
from recsys_lite.factorization import MatrixFactorization
from recsys_lite.factorization_machines import FactorizationMachine
from recsys_lite.synthetic import World

PAGE = "From features to two vectors (two_towers/fm_to_two_towers)"
HYBRIDS = "Dual encoders (two_towers/dual_encoder)"


# --- 1. pairs of features of different fields -------------------------------------------------------------------------
def between_fields(features, fields, factors):
    """1/2 (|sum of all|^2 - sum over fields |sum of the field|^2), where sums are of v_a e_a; (S,)."""
    names, place = np.unique(fields, return_inverse=True)
    indicator = np.eye(len(names))[place]  # (n, fields)
    sums = np.einsum("sa,ag,ak->sgk", features, indicator, factors)
    return ((sums.sum(axis=1) ** 2).sum(axis=1) - (sums**2).sum(axis=(1, 2))) / 2


def between_fields_loop(features, fields, factors):
    totals = []
    for row in features:
        total = 0.0
        for a in range(len(row)):
            for b in range(a):
                if fields[a] != fields[b]:
                    total += sum(x * y for x, y in zip(factors[a], factors[b])) * row[a] * row[b]
        totals.append(total)
    return totals


def between_fields_torch(features, fields, factors):
    e, fields, v = torch.tensor(features), torch.tensor(fields), torch.tensor(factors)
    gram = v @ v.T * (fields[:, None] != fields[None, :])
    return torch.einsum("sa,ab,sb->s", e, gram, e) / 2


def _between(half=0.5, subtract="fields", mean=False, binary=False):
    def slip(features, fields, factors):
        features = (features != 0) * 1.0 if binary else features
        total, apart = np.zeros((len(features), factors.shape[1])), np.zeros(len(features))
        for field in np.unique(fields):
            own = fields == field
            part = features[:, own] @ factors[own]
            if mean:
                part = part / np.maximum((features[:, own] != 0).sum(axis=1), 1)[:, None]
            total += part
            apart += (part**2).sum(axis=1)
        if subtract == "features":
            apart = (features**2) @ (factors**2).sum(axis=1)
        if subtract == "nothing":
            apart = np.zeros(len(features))
        return half * ((total**2).sum(axis=1) - apart)

    return slip


def _within_fields(features, fields, factors):
    return _between(subtract="features")(features, fields, factors) - between_fields(features, fields, factors)


def between_fields_inputs(rng):
    fields = rng.permutation([30, 30, 30, 10, 10, 20, *rng.choice([10, 20], size=int(rng.integers(0, 3)))])
    features = rng.choice([0.0, 0.5, 1.0, 2.0], size=(int(rng.integers(4, 6)), len(fields)))
    features[0] = rng.choice([0.5, 2.0], size=len(fields))
    features[-2] = 0.0  # nothing known
    features[-1] = np.where(fields == 30, 2.0, 0.0)  # one field alone
    return {"features": features, "fields": fields, "factors": rng.normal(size=(len(fields), int(rng.integers(2, 4))))}


# --- 2. the two vectors with field weights ----------------------------------------------------------------------------
def two_vectors(user, items, linear, cross, within):
    """x = [1; z_1; ...; z_G] with z_g = sum_f cross_fg p_f, then y_i = [b_i; q_i1; ...; q_iG] a row an item."""
    own = linear + np.einsum("gh,igk,ihk->i", np.triu(within, 1), items, items)
    x = np.concatenate([[1.0], (cross.T @ user).ravel()])
    return np.vstack([x, np.column_stack([own, items.reshape(len(items), -1)])])


def two_vectors_loop(user, items, linear, cross, within):
    n_fields, x, rows = items.shape[1], [1.0], []
    for g in range(n_fields):
        x += list(sum(cross[f, g] * user[f] for f in range(len(user))))
    for i, fields in enumerate(items):
        own = linear[i]
        for g in range(n_fields):
            for h in range(g + 1, n_fields):
                own = own + within[g, h] * (fields[g] @ fields[h])
        rows.append([own, *(number for field in fields for number in field)])
    return [x, *rows]


def two_vectors_torch(user, items, linear, cross, within):
    p, q, w, c, r = (torch.tensor(each) for each in (user, items, linear, cross, within))
    all_pairs = ((r @ q) * q).sum(dim=(1, 2))
    squares = (r.diagonal()[:, None] * q**2).sum(dim=(1, 2))
    y = torch.cat([(w + (all_pairs - squares) / 2)[:, None], q.flatten(1)], dim=1)
    x = torch.cat([torch.ones(1, dtype=p.dtype), torch.einsum("fg,fk->gk", c, p).flatten()])
    return torch.cat([x[None], y])


def _vectors(pairs="right", keep_linear=True, weighted=True, mean=False):
    def slip(user, items, linear, cross, within):
        if pairs == "unweighted":
            within = np.ones_like(within)
        triangle = {"twice": within - np.diag(np.diag(within)), "with itself": np.triu(within), "none": 0 * within}
        own = np.einsum("gh,igk,ihk->i", triangle.get(pairs, np.triu(within, 1)), items, items)
        cross = cross if weighted else np.ones_like(cross)
        z = cross.T @ user / (len(user) if mean else 1)
        y = np.column_stack([own + linear * keep_linear, items.reshape(len(items), -1)])
        return np.vstack([np.concatenate([[1.0], z.ravel()]), y])

    return slip


def two_vectors_inputs(rng):
    n_user, n_item, k = int(rng.integers(2, 4)), int(rng.integers(3, 5)), int(rng.integers(2, 4))
    n, within = int(rng.integers(3, 5)), rng.normal(size=(n_item, n_item))
    return {
        "user": rng.normal(size=(n_user, k)), "items": rng.normal(size=(n, n_item, k)), "linear": rng.normal(size=n),
        "cross": rng.normal(size=(n_user, n_item)), "within": within + within.T,
    }  # fmt: skip


# --- 3. the gradient of the pairs -------------------------------------------------------------------------------------
def factor_gradient(features, factors, upstream):
    """d/dv_a sum_s g_s score_s = sum_s g_s e_sa (sum_b v_b e_sb - v_a e_sa), (n, k)."""
    sums = features @ factors
    return (features * upstream[:, None]).T @ sums - (upstream @ features**2)[:, None] * factors


def factor_gradient_torch(features, factors, upstream):
    e, g, v = torch.tensor(features), torch.tensor(upstream), torch.tensor(factors, requires_grad=True)
    scores = 0
    for a in range(e.shape[1]):
        for b in range(a + 1, e.shape[1]):
            scores = scores + (v[a] @ v[b]) * e[:, a] * e[:, b]
    return torch.autograd.grad((g * scores).sum(), v)[0]


def factor_gradient_loop(features, factors, upstream):
    gradient = np.zeros_like(factors)
    for g, row in zip(upstream, features):
        outer = np.outer(row, row)
        np.fill_diagonal(outer, 0)
        gradient += g * outer @ factors
    return gradient


def _factor_gradient(own_power=2, scale=1.0, use_upstream=True, mean=False, own_value=True):
    def slip(features, factors, upstream):
        upstream = upstream if use_upstream else np.ones_like(upstream)
        gradient = np.zeros_like(factors)
        for g, row in zip(upstream, features):
            minus = 0 if own_power is None else factors * row[:, None] ** (own_power - 1)
            gradient += g * (row[:, None] if own_value else 1.0) * (row @ factors - minus)
        return scale * gradient / (len(features) if mean else 1)

    return slip


def factor_gradient_inputs(rng):
    n_rows, n, k = int(rng.integers(3, 5)), int(rng.integers(4, 7)), int(rng.integers(2, 4))
    features = rng.choice([0.0, 0.5, 2.0, 3.0], size=(n_rows, n))
    features[0] = rng.choice([0.5, 2.0], size=n)
    return {"features": features, "factors": rng.normal(size=(n, k)), "upstream": rng.normal(size=n_rows)}


# --- 4. a hybrid for rare items ---------------------------------------------------------------------------------------
def _train(model, log, loss, sampler, weight_decay):
    options = {"n_epochs": 15, "batch_size": 128, "learning_rate": 0.02, "weight_decay": weight_decay}
    training.fit(model, Interactions(log), loss, sampler, **options)
    return np.vstack([model.user_vectors(Queries(torch.arange(log.n_users))), model.item_vectors()])


def hybrid(log, content):
    """A factorization machine of ids and content, the content larger so that it is learnt first; all items as negatives."""
    features = np.hstack([0.3 * np.eye(log.n_items), 2 * content])
    model = FactorizationMachine(np.eye(log.n_users), features, 16)
    return _train(model, log, losses.softmax_loss, negatives.all_items(log.n_items), 1.0)


def profile_and_popularity(log, content):
    """No training: the mean content of what a user met, and the log of an item's events as one more coordinate."""
    vectors = content_alone(log, content)
    vectors[: log.n_users] *= 5
    both = np.append(np.ones(log.n_users), np.log(log.item_counts() + 1))
    return np.column_stack([both, vectors])


def ids_alone(log, content, weight_decay=1.0):
    model = MatrixFactorization(log.n_users, log.n_items, 16)
    return _train(model, log, losses.logq_loss, negatives.in_batch(negatives.log_share(log)), weight_decay)


def content_alone(log, content):
    """Users as the mean content of what they met, less everybody's."""
    profiles = log.matrix() @ content / np.maximum(log.user_counts(), 1)[:, None]
    return np.vstack([profiles - profiles.mean(axis=0), content])


def by_popularity(log, content):
    counts = Popularity().fit(log).score_items(Queries(torch.arange(1)))
    return np.vstack([np.ones((log.n_users, 1)), np.asarray(counts).reshape(-1, 1)])


def score(fit, seed):
    """The share of the law that top tens hold, mean of two lists: among all items and among the rarer half."""
    world = World(n_users=300, n_items=300, taste=6.0, content_strength=0.95, seed=seed)
    log, law = world.interactions(per_user=4), world.probabilities()
    vectors = np.asarray(fit(log, world.content.copy()), dtype=float)
    if vectors.ndim != 2 or len(vectors) != 600 or vectors.shape[1] > 32 or not np.isfinite(vectors).all():
        raise AssertionError(f"vectors must be finite, of shape (600, d) with d up to 32; got {vectors.shape}.")
    scores, counts = vectors[:300] @ vectors[300:].T, log.item_counts()
    rare = counts <= np.median(counts)
    return (_held(scores, law) + _held(scores[:, rare], law[:, rare])) / 2


def _held(scores, law):
    top = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    return float((np.take_along_axis(law, top, axis=1).sum(axis=1) / np.sort(law, axis=1)[:, -10:].sum(axis=1)).mean())


PROBLEMS = {
    "between_fields": Problem(
        between_fields, between_fields_inputs,
        {
            "the half is left out, each pair counts twice": _between(half=1.0),
            "the squares of single features are taken off, not those of the fields' sums": _between(subtract="features"),
            "nothing is taken off the square of the sum": _between(subtract="nothing"),
            "the pairs within fields, not those between": _within_fields,
            "a field's features are averaged, not added": _between(mean=True),
            "features count as present or not, their values are left out": _between(binary=True),
        },
        [between_fields_loop, between_fields_torch], PAGE,
    ),
    "two_vectors": Problem(
        two_vectors, two_vectors_inputs,
        {
            "the item's own pairs are left out of its vector": _vectors(pairs="none"),
            "each of the item's own pairs counts twice": _vectors(pairs="twice"),
            "a field is paired with itself": _vectors(pairs="with itself"),
            "the item's own pairs without their field weights": _vectors(pairs="unweighted"),
            "the item's linear terms are left out": _vectors(keep_linear=False),
            "the user's fields are added without the weights": _vectors(weighted=False),
            "the mean over the user's fields where a sum is meant": _vectors(mean=True),
        },
        [two_vectors_loop, two_vectors_torch], PAGE,
    ),
    "factor_gradient": Problem(
        factor_gradient, factor_gradient_inputs,
        {
            "a feature's meeting with itself is not taken off": _factor_gradient(own_power=None),
            "what is taken off has e where e squared belongs": _factor_gradient(own_power=1),
            "the half of the short form is kept": _factor_gradient(scale=0.5),
            "the rows' upstream gradients are left out": _factor_gradient(use_upstream=False),
            "the mean over rows where a sum is meant": _factor_gradient(mean=True),
            "the feature's own value is left out": _factor_gradient(own_value=False),
        },
        [factor_gradient_torch, factor_gradient_loop], PAGE,
    ),
    "hybrid": Contest(
        hybrid, score, 0.58,
        {"popularity": by_popularity, "ids alone": ids_alone, "content alone": content_alone},
        [profile_and_popularity], HYBRIDS,
    ),
}  # fmt: skip
