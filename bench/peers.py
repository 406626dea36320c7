"""The pairs: what is compared with what, on the same data, with the same work. Each gives rows of times and of quality."""

import itertools
import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch

from bench import plain
from bench.measuring import OURS, THEIRS, heaviest, in_turn, peaks
from recsys_lite import datasets, evaluation, examples, factorization, graph_filters, graphs, leaderboard, losses, negatives
from recsys_lite import neighbors, ratings, splits, training
from recsys_lite.interactions import Interactions
from recsys_lite.splits import Split

N_RUNS = 7
BATCH, DIM, LAYERS = 2048, 64, 3


class Found(NamedTuple):
    """What a pair found: times, figures per user of both sides (or none), facts, the heaviest functions, MB of each side."""

    times: list[dict]
    quality: pd.DataFrame | None = None
    facts: dict[str, float | str] = {}
    profile: list[tuple[str, float]] = []
    memory: dict[str, float] = {}


class Factors:
    """Anything that ends in two tables of vectors, as the package's evaluation wants it."""

    def __init__(self, users: np.ndarray, items: np.ndarray, bias: np.ndarray | float = 0.0):
        self.users, self.items, self.bias, self.n_items = users, items, bias, len(items)

    def score_items(self, queries) -> np.ndarray:
        return self.users[queries.users.numpy()] @ self.items.T + self.bias


class Similar:
    """A history times a sparse matrix of similarities."""

    def __init__(self, similarity, known: Interactions):
        self.similarity, self.known, self.n_items = similarity, known.matrix(), known.n_items

    def score_items(self, queries) -> np.ndarray:
        return (self.known[queries.users.numpy()] @ self.similarity).toarray()


def protocol() -> Split:
    return splits.protocol(datasets.movielens())[1]


def ndcg(ours: evaluation.Recommender, theirs: evaluation.Recommender, split: Split) -> pd.DataFrame:
    """NDCG@10 of each test user, both sides judged by the package."""
    return pd.DataFrame(
        {side: evaluation.evaluate(model, split)["ndcg@10"] for side, model in ((OURS, ours), (THEIRS, theirs))}
    ).assign(weight=1)


def tuned(fit: Callable, grid: dict, split: Split) -> dict:
    """The configuration of the grid with the best NDCG@10 on valid."""
    tuning, tried = split.tuning(), [dict(zip(grid, values)) for values in itertools.product(*grid.values())]
    return max(tried, key=lambda one: evaluation.evaluate(fit(tuning.train, **one), tuning)["ndcg@10"].mean())


# closed forms


def als(use_cg: bool, **changed) -> Found:
    """15 alternations, the best configuration of the leaderboard unless changed; c = 1 + alpha for what was liked."""
    split, how = protocol(), leaderboard.load("ImplicitALS")[0]["configuration"] | changed
    results, times, sides = als_sides(split.known, use_cg, N_RUNS, **how)
    return Found(times, ndcg(results[OURS], results[THEIRS], split), how, heaviest(sides[OURS]), peaks(sides))


def als_far(known: Interactions) -> Found:
    """One alternation with 256 dimensions."""
    how = {"dim": 256, "alpha": 10.0, "regularization": 20.0, "n_iterations": 1}
    _, times, sides = als_sides(known, True, 3, **how)
    return Found(times, None, how, heaviest(sides[OURS]), peaks(sides))


def als_sides(
    known: Interactions, use_cg: bool, n_runs: int, dim: int, alpha: float, regularization: float, n_iterations: int = 15
) -> tuple[dict, list[dict], dict]:
    from implicit.als import AlternatingLeastSquares

    matrix = known.matrix().astype(np.float32)

    def ours():
        return factorization.ImplicitALS(dim, alpha, regularization, n_iterations).fit(known)

    def theirs():
        how = {"use_cg": use_cg, "iterations": n_iterations, "num_threads": 1, "random_state": 0}
        model = AlternatingLeastSquares(dim, regularization, 1 + alpha, **how)
        model.fit(matrix, show_progress=False)
        return Factors(model.user_factors, model.item_factors)

    sides = {OURS: ours, THEIRS: theirs}
    return *in_turn(sides, n_runs), sides


def item_knn(known: Interactions, n_runs: int, split: Split | None = None) -> Found:
    """Cosines of all pairs of items, the 100 nearest kept (101 there: an item is its own neighbour); split: judged too."""
    from implicit.nearest_neighbours import CosineRecommender

    matrix = known.matrix().astype(np.float64)

    def ours():
        return neighbors.ItemKNN(100).fit(known)

    def theirs():
        model = CosineRecommender(K=101, num_threads=1)
        model.fit(matrix, show_progress=False)
        return model

    sides = {OURS: ours, THEIRS: theirs}
    results, times = in_turn(sides, n_runs)
    quality = ndcg(results[OURS], Similar(results[THEIRS].similarity, known), split) if split else None
    return Found(times, quality, {"k": 100}, heaviest(ours), peaks(sides))


# BPR


def bpr_implicit() -> Found:
    from implicit.bpr import BayesianPersonalizedRanking

    def fit(known: Interactions, learning_rate: float, regularization: float, iterations: int) -> Factors:
        model = BayesianPersonalizedRanking(
            DIM, learning_rate, regularization, iterations=iterations, num_threads=1, random_state=0
        )
        model.fit(known.matrix().astype(np.float32), show_progress=False)
        return Factors(model.user_factors, model.item_factors)

    return bpr(
        fit, {"learning_rate": [0.005, 0.01, 0.02], "regularization": [0.003, 0.01, 0.03], "iterations": [50, 100]}
    )


def bpr_cornac() -> Found:
    import cornac

    def fit(known: Interactions, learning_rate: float, regularization: float, iterations: int) -> Factors:
        events = list(zip(known.users.tolist(), known.items.tolist(), itertools.repeat(1.0)))
        data = cornac.data.Dataset.build(events)
        model = cornac.models.BPR(
            k=DIM, max_iter=iterations, learning_rate=learning_rate, lambda_reg=regularization, num_threads=1, seed=0
        ).fit(data)
        users, items = np.zeros((known.n_users, DIM)), np.zeros((known.n_items, DIM))
        bias = np.full(known.n_items, -1e6)  # who or what had no event has no vector there
        of_users, of_items = list(data.uid_map), list(data.iid_map)
        users[of_users], items[of_items], bias[of_items] = model.u_factors, model.i_factors, model.i_biases
        return Factors(users, items, bias)

    return bpr(
        fit, {"learning_rate": [0.02, 0.05, 0.1], "regularization": [0.003, 0.01, 0.03], "iterations": [100, 200]}
    )


def fit_bpr(known: Interactions, n_epochs: int = 15) -> factorization.MatrixFactorization:
    """MF by BPR as the leaderboard's entry trains it, at 64 dimensions."""
    model = factorization.MatrixFactorization(known.n_users, known.n_items, DIM)
    sampler = negatives.without_known(negatives.uniform(known.n_items, 256), known)
    how = {"n_epochs": n_epochs, "batch_size": 256, "learning_rate": 0.005, "weight_decay": 0.3}
    training.fit(model, examples.Interactions(known), losses.bpr_loss, sampler, **how)
    return model


def bpr(fit: Callable, grid: dict) -> Found:
    """Both tuned on valid: the peer over the grid here, the package's over that of its leaderboard entry."""
    split = protocol()
    best = tuned(fit, grid, split)
    sides = {OURS: lambda: fit_bpr(split.known), THEIRS: lambda: fit(split.known, **best)}
    results, times = in_turn(sides, 3, warm=False)
    return Found(times, ndcg(results[OURS], results[THEIRS], split), best, heaviest(lambda: fit_bpr(split.known, 1)))


# evaluation


def films() -> Found:
    """All test users of the book's data, ranked by ImplicitALS."""
    split, users = protocol(), protocol().test_users()
    model = factorization.ImplicitALS(**leaderboard.load("ImplicitALS")[0]["configuration"]).fit(split.known)
    vectors = np.zeros((split.known.n_users, model.dim), np.float32)
    vectors[users] = model.user_vectors(split.queries(users))
    return evaluating(split, vectors, model.item_vectors(), N_RUNS)


def places(known: Interactions, test: Interactions) -> Found:
    """2,000 users of Gowalla, ranked by 64 singular vectors."""
    some = np.random.default_rng(0).choice(np.unique(test.users), 2000, replace=False)
    vectors = graph_filters.spectral_start(known, 64)
    split = Split(known, test.take(np.isin(test.users, some)))
    return evaluating(split, vectors[: known.n_users], vectors[known.n_users :], 5)


def evaluating(split: Split, users: np.ndarray, items: np.ndarray, n_runs: int) -> Found:
    """All items, lists of 20, ten figures a user; both sides must find the same ten."""
    model = Factors(users, items)

    def ours():
        return evaluation.evaluate(model, split)

    sides = {OURS: ours, THEIRS: lambda: plain.evaluate(users, items, split)}
    results, times = in_turn(sides, n_runs)
    loop = pd.DataFrame(results[THEIRS], index=results[OURS].index)[results[OURS].columns]
    worst = float(np.nanmax(np.abs(loop - results[OURS])))
    quality = pd.DataFrame({OURS: results[OURS]["ndcg@10"], THEIRS: loop["ndcg@10"], "weight": 1})
    return Found(times, quality, {"largest difference of a figure": worst}, heaviest(ours), peaks(sides))


# steps


def recbole(matrix: sp.csr_matrix, n_users: int, start: torch.Tensor, n_layers: int) -> torch.nn.Module:
    """RecBole's LightGCN from the same start, its penalty off; it is given the matrix.

    (RecBole 1.2.1 builds its own by a method that scipy's dok_matrix no longer has.)
    """
    from recbole.model.general_recommender.lightgcn import LightGCN

    class Given(LightGCN):
        def get_norm_adj_mat(self) -> torch.Tensor:
            return plain.as_coo(matrix)

        def bpr(self, users: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
            return self.calculate_loss({"user": users, "item": positives, "neg_item": negatives})

        @property
        def start(self) -> torch.Tensor:
            return torch.cat([self.user_embedding.weight, self.item_embedding.weight])

    class Sizes:
        def num(self, field: str) -> int:
            return n_users if field == "user" else matrix.shape[0] - n_users

        def inter_matrix(self, form: str) -> sp.coo_matrix:
            return matrix[:n_users, n_users:].tocoo()

    names = {"USER_ID_FIELD": "user", "ITEM_ID_FIELD": "item", "NEG_PREFIX": "neg_", "device": torch.device("cpu")}
    model = Given(names | {"embedding_size": start.shape[1], "n_layers": n_layers, "reg_weight": 0.0, "require_pow": False}, Sizes())
    with torch.no_grad():
        model.user_embedding.weight.copy_(start[:n_users])
        model.item_embedding.weight.copy_(start[n_users:])
    return model


def lightgcn(events: Interactions, n_steps: int, n_runs: int, peer: Callable = plain.LightGCN) -> Found:
    """Steps of BPR with one negative a row and Adam, from the same start over the same batches."""
    matrix = graphs.normalised_adjacency(events)
    model = graphs.LightGCN(matrix, events.n_users, DIM, LAYERS)
    start = model.start.weight.detach().clone()
    other = peer(matrix, events.n_users, start, LAYERS)
    batches = list(drawn(events, n_steps))
    steppers = {OURS: torch.optim.Adam(model.parameters(), 1e-3), THEIRS: torch.optim.Adam(other.parameters(), 1e-3)}
    even = torch.full((events.n_items,), float(-np.log(events.n_items)))

    def ours() -> list[float]:
        values = []
        for batch, items in batches:
            scores = training.batch_scores(model, batch, negatives.Negatives(items[:, None], even))
            values.append(training._step(steppers[OURS], losses.bpr_loss(scores), batch.weight))
        return values

    def theirs() -> list[float]:
        values = []
        for batch, items in batches:
            loss = other.bpr(batch.queries.users, batch.positives, items)
            steppers[THEIRS].zero_grad()
            loss.backward()
            steppers[THEIRS].step()
            values.append(loss.item())
        return values

    sides = {OURS: ours, THEIRS: theirs}
    results, times = in_turn(sides, n_runs)
    apart = float(np.max(np.abs(np.divide(results[OURS], results[THEIRS]) - 1)))
    with torch.no_grad():
        moved = model.start.weight - start
        share = float((model.start.weight - other.start).norm() / moved.norm())
    facts = {"largest relative difference of a loss": apart, "vectors apart, by how far they moved": share}
    return Found(per_step(times, n_steps), None, facts, heaviest(ours), peaks(sides))


def drawn(events: Interactions, n_steps: int) -> Iterator[tuple[examples.Batch, torch.Tensor]]:
    """Batches with one negative a row, never the row's own positive."""
    generator = torch.Generator().manual_seed(0)
    source = examples.Interactions(events).batches(BATCH, generator)
    for batch in itertools.islice(source, n_steps):
        other = torch.randint(events.n_items - 1, batch.positives.shape, generator=generator)
        yield batch, other + (other >= batch.positives)


def per_step(times: list[dict], n_steps: int) -> list[dict]:
    return [row | {name: row[name] / n_steps for name in ("clock", "processor")} for row in times]


def softmax(
    events: Interactions, n_drawn: int, n_steps: int, n_runs: int, quality: pd.DataFrame | None = None
) -> Found:
    """Steps of MF with AdamW: n_drawn shared uniform negatives and logQ, against cross-entropy over the catalogue."""
    models = {side: factorization.MatrixFactorization(events.n_users, events.n_items, DIM) for side in (OURS, THEIRS)}
    steppers = {side: torch.optim.AdamW(model.parameters(), 5e-3) for side, model in models.items()}
    batches = [batch for batch, _ in drawn(events, n_steps)]
    sampler, generator = negatives.uniform(events.n_items, n_drawn), torch.Generator().manual_seed(1)

    def ours() -> None:
        for batch in batches:
            scores = training.batch_scores(models[OURS], batch, sampler(batch, generator))
            training._step(steppers[OURS], losses.logq_loss(scores), batch.weight)

    def theirs() -> None:
        model, stepper = models[THEIRS], steppers[THEIRS]
        for batch in batches:
            loss = plain.full_softmax(model.users, model.items, batch.queries.users, batch.positives)
            stepper.zero_grad()
            loss.backward()
            stepper.step()
            loss.item()

    times = in_turn({OURS: ours, THEIRS: theirs}, n_runs)[1]
    return Found(per_step(times, n_steps), quality, {"negatives drawn": n_drawn}, heaviest(ours))


def stored_quality() -> pd.DataFrame:
    """NDCG@10 of the leaderboard's rows, each tuned on valid: sampled softmax with logQ, and full softmax."""
    names = {OURS: "MF uniform logQ", THEIRS: "MF full softmax"}
    return pd.DataFrame({side: leaderboard.load(name)[1]["ndcg@10"] for side, name in names.items()}).assign(weight=1)


def gowalla() -> tuple[Interactions, Interactions] | None:
    """Both parts, from the folder that $GOWALLA names; None without it."""
    return datasets.gowalla(os.environ["GOWALLA"]) if os.environ.get("GOWALLA") else None


# ratings


def stars() -> Found:
    """The 100,004 ratings, a random fifth of them the test; both sides tuned on a fifth of the rest."""
    import surprise

    data = datasets.movielens().interactions
    order = np.random.default_rng(0).permutation(len(data))
    cut = len(data) // 5
    test, rest = data.take(np.sort(order[:cut])), np.sort(order[cut:])
    known = data.take(rest)
    parts = np.random.default_rng(1).permutation(len(known)) < len(known) // 5
    train, valid = known.take(~parts), known.take(parts)

    def fit_ours(events: Interactions, dim: int, regularization: float):
        return ratings.ExplicitMF(dim, regularization).fit(events)

    def fit_theirs(events: Interactions, n_factors: int, reg_all: float, n_epochs: int):
        frame = pd.DataFrame({"user": events.users, "item": events.items, "rating": events.ratings})
        whole = surprise.Dataset.load_from_df(frame, surprise.Reader(rating_scale=(0.5, 5))).build_full_trainset()
        return surprise.SVD(n_factors, n_epochs, reg_all=reg_all, random_state=0).fit(whole)

    def predict_ours(model, events: Interactions) -> np.ndarray:
        return np.clip(model.predict(events.users, events.items), 0.5, 5)

    def predict_theirs(model, events: Interactions) -> np.ndarray:
        return np.array([model.predict(*pair).est for pair in zip(events.users.tolist(), events.items.tolist())])

    def best(fit: Callable, predict: Callable, grid: dict) -> dict:
        tried = [dict(zip(grid, values)) for values in itertools.product(*grid.values())]
        return min(tried, key=lambda one: np.mean((predict(fit(train, **one), valid) - valid.ratings) ** 2))

    own = best(fit_ours, predict_ours, {"dim": [8, 16, 32], "regularization": [10.0, 15.0, 20.0]})
    other = best(
        fit_theirs, predict_theirs, {"n_factors": [50, 100], "reg_all": [0.05, 0.1, 0.15], "n_epochs": [20, 40, 60]}
    )
    sides = {OURS: lambda: fit_ours(known, **own), THEIRS: lambda: fit_theirs(known, **other)}
    results, times = in_turn(sides, 5)
    squares = pd.DataFrame(
        {
            "user": test.users,
            OURS: (predict_ours(results[OURS], test) - test.ratings) ** 2,
            THEIRS: (predict_theirs(results[THEIRS], test) - test.ratings) ** 2,
        }
    )
    quality = squares.groupby("user").mean().assign(weight=squares.groupby("user").size())
    return Found(times, quality, own | other, heaviest(sides[OURS]))


def pairs() -> dict[str, Callable[[], Found]]:
    """Every pair by its name, in the order of the page."""
    known, parts = protocol().known, gowalla()
    found = {
        "als": lambda: als(False),
        "als_weighted": lambda: als(False, alpha=2.0),
        "als_cg": lambda: als(True),
        "item_knn": lambda: item_knn(known, N_RUNS, protocol()),
        "bpr_implicit": bpr_implicit,
        "bpr_cornac": bpr_cornac,
        "ratings": stars,
        "evaluation": films,
        "lightgcn": lambda: lightgcn(known, 5, N_RUNS),
        "lightgcn_recbole": lambda: lightgcn(known, 5, N_RUNS, recbole),
        "softmax": lambda: softmax(known, 255, 5, N_RUNS, stored_quality()),
    }
    if parts is not None:
        far = parts[0]
        found["als_gowalla"] = lambda: als_far(far)
        found["item_knn_gowalla"] = lambda: item_knn(far, 3)
        found["evaluation_gowalla"] = lambda: places(*parts)
        found["lightgcn_gowalla"] = lambda: lightgcn(far, 3, 5)
        found["lightgcn_recbole_gowalla"] = lambda: lightgcn(far, 3, 5, recbole)
        found["softmax_gowalla"] = lambda: softmax(far, 1024, 2, 5)
    return found
