"""Train what the stored leaderboard lacks: python -m scripts.leaderboard [NAME ...]. Resumes where it was interrupted.

A model is trained again when its configuration, the code that it uses or the data have changed. Each is tuned on valid over its grid,
refitted on known with the best, and judged on test; its row is written as soon as it is finished.
"""

import argparse
import ast
import hashlib
import itertools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from tqdm import tqdm

import recsys_lite
from recsys_lite import baselines, content, datasets, ensembles, evaluation, examples, factorization, factorization_machines, leaderboard
from recsys_lite import linear, losses, metrics, ncf, negatives, neighbors, pooling, popularity, ratings, splits, towers, training
from recsys_lite import graphs, vectors
from recsys_lite.interactions import Interactions
from scripts.dependencies import package_hash

FIXED = {"batch_size": 256, "learning_rate": 0.005}


class Entry(NamedTuple):
    """A row to be: `fit(known, **configuration)` gives the fitted model, the grid names the values tried on valid."""

    name: str
    family: str
    page: str
    fit: Callable[..., evaluation.Recommender]
    grid: Mapping[str, Sequence] = {}


def matrix_factorization(objective: Callable) -> Callable[..., evaluation.Recommender]:
    """MF trained on (user, item) events; objective(known) gives (loss, negatives)."""

    def fit(known: Interactions, dim: int, n_epochs: int, weight_decay: float) -> evaluation.Recommender:
        model = factorization.MatrixFactorization(known.n_users, known.n_items, dim)
        loss, sampler = objective(known)
        training.fit(model, examples.Interactions(known), loss, sampler, n_epochs=n_epochs, weight_decay=weight_decay, **FIXED)
        return model

    return fit


def queued(known: Interactions, dim: int, n_epochs: int, weight_decay: float, size: int) -> evaluation.Recommender:
    model = factorization.MatrixFactorization(known.n_users, known.n_items, dim)
    log_p = negatives.log_share(known)
    sampler = negatives.mixed(negatives.in_batch(log_p), negatives.Queue(model, size, log_p))
    source = examples.Interactions(known)
    training.fit(model, source, losses.logq_loss, sampler, n_epochs=n_epochs, weight_decay=weight_decay, **FIXED)
    return model


def corrected_at_serving(known: Interactions, dim: int, n_epochs: int, weight_decay: float) -> evaluation.Recommender:
    """In-batch without correction; then log p as one more coordinate of the items against a 1 of the users."""
    log_p = negatives.log_share(known)
    objective = lambda known: (losses.softmax_loss, negatives.in_batch(log_p))  # noqa: E731
    trained = matrix_factorization(objective)(known, dim, n_epochs, weight_decay)
    served = factorization.MatrixFactorization(known.n_users, known.n_items, dim + 1)
    served.users.weight.data = torch.cat([trained.users.weight.data, torch.ones(known.n_users, 1)], dim=1)
    served.items.weight.data = torch.cat([trained.items.weight.data, log_p[:, None]], dim=1)
    return served


def explicit_mf(known: Interactions, dim: int, regularization: float) -> evaluation.Recommender:
    """All ratings of known's films that their users gave by then, low ones too."""
    source = datasets.movielens()
    data, _ = splits.protocol(source)
    return ratings.ExplicitMF(dim, regularization).fit(ratings.with_low_ratings(known, data, source))


def factorization_machine(
    known: Interactions, columns: Sequence[str], dim: int, n_epochs: int, weight_decay: float, log_loss: bool = False
) -> evaluation.Recommender:
    """Ids of users and items, and of the films the facts in `columns` that two of them share, each film's at length 1."""
    one_hot = sp.identity(known.n_items)
    if columns:
        facts = content.features(splits.protocol(datasets.movielens())[0].items, columns, min_items=2)
        one_hot = sp.hstack([one_hot, facts.normalised().matrix])
    model = factorization_machines.FactorizationMachine(sp.identity(known.n_users), one_hot, dim, user_terms=log_loss)
    loss, sampler = losses.logq_loss, negatives.in_batch(negatives.log_share(known))
    if log_loss:
        loss, sampler = losses.bce_loss, negatives.uniform(known.n_items, 4, shared=False)
    training.fit(model, examples.Interactions(known), loss, sampler, n_epochs=n_epochs, weight_decay=weight_decay, **FIXED)
    return model


def learned_similarity(
    known: Interactions, hidden: Sequence[int], product_dim: int, n_epochs: int, weight_decay: float
) -> evaluation.Recommender:
    model = ncf.NCF(known.n_users, known.n_items, 32, hidden, product_dim)
    source, sampler = examples.Interactions(known), negatives.in_batch(negatives.log_share(known))
    how = FIXED | {"batch_size": 128}
    training.fit(model, source, losses.logq_loss, sampler, n_epochs=n_epochs, weight_decay=weight_decay, **how)
    return model


def history_tower(known: Interactions, dim: int, length: int, n_epochs: int, weight_decay: float) -> evaluation.Recommender:
    model = towers.TwoTower(towers.HistoryMean(known.n_items, dim, length), towers.ItemIds(known.n_items, dim))
    sampler = negatives.in_batch(negatives.log_share(known))
    source = examples.Prefixes(known, length)
    training.fit(model, source, losses.logq_loss, sampler, n_epochs=n_epochs, weight_decay=weight_decay, **FIXED)
    return model


def pooled_history(known: Interactions, temperature: float, learned: bool, n_epochs: int) -> evaluation.Recommender:
    """The last 50 items, a third left out at random in training, with equal or learned weights; cosine."""
    users = pooling.HistoryPool(known.n_items, 64, 50, dropout=0.3, learned=learned)
    model = vectors.Cosine(towers.TwoTower(users, towers.ItemIds(known.n_items, 64)), temperature)
    source, sampler = examples.Prefixes(known, 50), negatives.in_batch(negatives.log_share(known))
    training.fit(model, source, losses.logq_loss, sampler, n_epochs=n_epochs, weight_decay=0.1, **FIXED)
    return model


def described_items(known: Interactions, items: Sequence[str], temperature: float, n_epochs: int, dim: int = 64):
    """The pooled history with learned weights against the sum of what `items` names, "ids", "facts" and "text"; cosine."""
    data = splits.protocol(datasets.movielens())[0]
    text = content.vector_features(data.text_vectors).centred().matrix.toarray()
    text = torch.nn.Sequential(towers.ItemVectors(text / text.std()), towers.mlp(text.shape[1], dim, seed=6))
    parts = {"ids": towers.ItemIds(known.n_items, dim), "facts": towers.ItemBag(film_facts(), dim), "text": text}
    users = pooling.HistoryPool(known.n_items, dim, 50, dropout=0.3, learned=True)
    model = vectors.Cosine(towers.TwoTower(users, towers.Sum(*(parts[name] for name in items))), temperature)
    source, sampler = examples.Prefixes(known, 50), negatives.in_batch(negatives.log_share(known))
    training.fit(model, source, losses.logq_loss, sampler, n_epochs=n_epochs, weight_decay=0.1, **FIXED)
    return model


def content_profile(known: Interactions, cosine: bool, columns=content.FACTS, text: float = 0.0, facts: float = 1.0):
    """Facts by idf and centred text vectors, each at mean squared length 1, by these weights; nothing is learnt from known."""
    data = splits.protocol(datasets.movielens())[0]
    blocks = [content.features(data.items, columns, min_items=2).idf(), content.vector_features(data.text_vectors).centred()]
    weights = [weight / np.mean(block.lengths() ** 2) for block, weight in zip(blocks, (facts, text))]
    return content.ContentProfile(content.stack(blocks, weights), cosine)


def film_facts() -> sp.csr_matrix:
    """The facts that two films or more share, ones and zeros."""
    return content.features(splits.protocol(datasets.movielens())[0].items, content.FACTS, min_items=2).matrix


def two_towers(known: Interactions, items: Sequence[str], dim: int, n_epochs: int, weight_decay: float) -> evaluation.Recommender:
    """User ids against the sum of what `items` names: "ids", "facts" or both."""
    parts = {"ids": towers.ItemIds(known.n_items, dim), "facts": towers.ItemBag(film_facts(), dim)}
    model = towers.TwoTower(towers.UserIds(known.n_users, dim), towers.Sum(*(parts[name] for name in items)))
    source, sampler = examples.Interactions(known), negatives.in_batch(negatives.log_share(known))
    training.fit(model, source, losses.logq_loss, sampler, n_epochs=n_epochs, weight_decay=weight_decay, **FIXED)
    return model


def dssm(known: Interactions, hidden: int, temperature: float, n_epochs: int, dim: int = 64) -> evaluation.Recommender:
    """Histories against ids and facts, a hidden layer in each tower, cosine; hidden = 0: no layers, ids and facts are added."""
    ids, bag = towers.ItemIds(known.n_items, dim), towers.ItemBag(film_facts(), dim)
    users, items = towers.HistoryMean(known.n_items, dim), towers.Sum(ids, bag)
    if hidden:
        users = torch.nn.Sequential(users, towers.mlp(dim, hidden, dim, seed=4))
        items = torch.nn.Sequential(towers.Concat(ids, bag), towers.mlp(2 * dim, hidden, dim, seed=5))
    model = vectors.Cosine(towers.TwoTower(users, items), temperature)
    source, sampler = examples.Prefixes(known), negatives.in_batch(negatives.log_share(known))
    training.fit(model, source, losses.logq_loss, sampler, n_epochs=n_epochs, weight_decay=0.1, **FIXED)
    return model


def tower_blend(known: Interactions, other: str, weight: float) -> evaluation.Recommender:
    """The best tower on valid, as its own row found it, `weight` times, and one closed form as its row found it, once."""
    others = {
        "EASE": linear.EASE(100),
        "ItemKNN": neighbors.ItemKNN(100, 0),
        "ImplicitALS": factorization.ImplicitALS(32, 0.0, 10.0),
    }
    tower = described_items(known, ["ids", "facts", "text"], temperature=0.15, n_epochs=9)
    return ensembles.ScoreBlend([tower, others[other].fit(known)], [weight, 1.0])


def on_graph(objective: Callable) -> Callable[..., evaluation.Recommender]:
    """LightGCN by its layer weights, or NGCF without them; objective(known) gives (loss, negatives)."""

    def fit(
        known: Interactions, dim: int, n_epochs: int, weight_decay: float, layer_weights: Sequence[float] = (), n_layers: int = 0
    ) -> evaluation.Recommender:
        matrix = graphs.normalised_adjacency(known)
        if layer_weights:
            model = graphs.LightGCN(matrix, known.n_users, dim, len(layer_weights) - 1, layer_weights)
        else:
            model = graphs.NGCF(matrix, known.n_users, dim, n_layers)
        loss, sampler = objective(known)
        how = {"batch_size": 512, "learning_rate": 0.01, "n_epochs": n_epochs, "weight_decay": weight_decay}
        training.fit(model, examples.Interactions(known), loss, sampler, **how)
        return model

    return fit


def bpr(known: Interactions) -> tuple[losses.Loss, negatives.NegativeSampler]:
    """BPR with 256 shared uniform negatives."""
    return losses.bpr_loss, negatives.without_known(negatives.uniform(known.n_items, 256), known)


def cosine(
    known: Interactions, temperature: float | None, dim: int, n_epochs: int, weight_decay: float
) -> evaluation.Recommender:
    """MF by cosine, in-batch with logQ; temperature None: learned from 1 on."""
    tau = vectors.LearnedTemperature() if temperature is None else temperature
    model = vectors.Cosine(factorization.MatrixFactorization(known.n_users, known.n_items, dim), tau)
    source, sampler = examples.Interactions(known), negatives.in_batch(negatives.log_share(known))
    training.fit(model, source, losses.logq_loss, sampler, n_epochs=n_epochs, weight_decay=weight_decay, **FIXED)
    return model


TOWER_GRID = {"dim": [64], "n_epochs": [10, 15], "weight_decay": [0.3, 0.6, 1.0]}
DSSM_GRID = {"temperature": [0.1, 0.15, 0.2], "n_epochs": [3, 6, 9]}
GRAPH_WEIGHTS = [[0.7, 0.2, 0.1], [1 / 3, 1 / 3, 1 / 3], [0.0, 0.0, 1.0]]
MF_GRID = {"dim": [64], "n_epochs": [6, 10, 15], "weight_decay": [0.01, 0.1, 0.3]}
ENTRIES = [
    Entry("Random", "random", "foundations/evaluation", lambda known: baselines.Random(known.n_items)),
    Entry("Popularity", "popular", "foundations/evaluation", lambda known: baselines.Popularity().fit(known)),
    Entry("Content genres", "content", "baselines/content_based",
          lambda known, **c: content_profile(known, columns=["genres"], **c), {"cosine": [True, False]}),
    Entry("Content text", "content", "baselines/content_based",
          lambda known, **c: content_profile(known, facts=0.0, text=1.0, **c), {"cosine": [True, False]}),
    Entry("Content all", "content", "baselines/content_based",
          content_profile, {"text": [0.1, 0.3, 1.0], "cosine": [True, False]}),
    Entry("UserKNN", "neighbours", "collaborative/neighbours",
          lambda known, **c: neighbors.UserKNN(**c).fit(known), {"k": [10, 20, 50, 100], "shrink": [0, 10, 50]}),
    Entry("ItemKNN", "neighbours", "collaborative/neighbours",
          lambda known, **c: neighbors.ItemKNN(**c).fit(known), {"k": [20, 50, 100, 200], "shrink": [0, 10, 50]}),
    Entry("EASE", "linear", "collaborative/neighbours",
          lambda known, **c: linear.EASE(**c).fit(known), {"regularization": [20, 50, 100, 200, 400]}),
    Entry("PureSVD", "factorization", "collaborative/matrix_factorization",
          lambda known, **c: linear.PureSVD(**c).fit(known), {"dim": [12, 16, 24, 32, 48, 64]}),
    Entry("Explicit MF", "factorization", "collaborative/matrix_factorization", explicit_mf,
          {"dim": [16, 32, 64], "regularization": [2.0, 5.0, 15.0]}),
    Entry("GF-CF", "graphs", "graphs/lightgcn",
          lambda known, **c: linear.GraphFilter(**c).fit(known), {"dim": [16, 32, 64], "alpha": [0.1, 0.3, 1.0]}),
    Entry("LightGCN logQ", "graphs", "graphs/lightgcn",
          on_graph(lambda known: (losses.logq_loss, negatives.in_batch(negatives.log_share(known)))),
          {"dim": [64], "layer_weights": GRAPH_WEIGHTS, "n_epochs": [15], "weight_decay": [0.5]}),
    Entry("LightGCN BPR", "graphs", "graphs/lightgcn", on_graph(bpr),
          {"dim": [64], "layer_weights": GRAPH_WEIGHTS, "n_epochs": [20], "weight_decay": [0.3]}),
    Entry("NGCF", "graphs", "graphs/lightgcn", on_graph(bpr),
          {"dim": [32], "n_layers": [1, 2], "n_epochs": [20], "weight_decay": [0.3]}),
    Entry("ImplicitALS", "factorization", "collaborative/implicit_feedback",
          lambda known, **c: factorization.ImplicitALS(**c).fit(known),
          {"dim": [16, 32, 64], "alpha": [0.0, 0.1, 0.5, 2.0], "regularization": [5.0, 10.0, 20.0]}),
    Entry("MF full softmax", "factorization", "two_towers/logq",
          matrix_factorization(lambda known: (losses.softmax_loss, negatives.all_items(known.n_items))),
          {"dim": [64], "n_epochs": [6, 10], "weight_decay": [0.01, 0.1, 0.3]}),
    Entry("MF in-batch", "factorization", "two_towers/logq",
          matrix_factorization(lambda known: (losses.softmax_loss, negatives.in_batch(negatives.log_share(known)))), MF_GRID),
    Entry("MF in-batch logQ", "factorization", "two_towers/logq",
          matrix_factorization(lambda known: (losses.logq_loss, negatives.in_batch(negatives.log_share(known)))), MF_GRID),
    Entry("MF in-batch all logits", "factorization", "two_towers/logq",
          matrix_factorization(lambda known: (losses.logq_all_loss, negatives.in_batch(negatives.log_share(known)))), MF_GRID),
    Entry("MF in-batch without log n", "factorization", "two_towers/logq",
          matrix_factorization(lambda known: (losses.logq_without_n_loss, negatives.in_batch(negatives.log_share(known)))), MF_GRID),
    Entry("MF uniform logQ", "factorization", "two_towers/negatives",
          matrix_factorization(lambda known: (losses.logq_loss, negatives.uniform(known.n_items, 255))), MF_GRID),
    Entry("MF mixed 64 logQ", "factorization", "two_towers/negatives",
          matrix_factorization(lambda known: (losses.logq_loss, negatives.mixed(
              negatives.in_batch(negatives.log_share(known)), negatives.uniform(known.n_items, 64)))), MF_GRID),
    Entry("MF mixed 256 logQ", "factorization", "two_towers/negatives",
          matrix_factorization(lambda known: (losses.logq_loss, negatives.mixed(
              negatives.in_batch(negatives.log_share(known)), negatives.uniform(known.n_items, 256)))), MF_GRID),
    Entry("MF mixed 1024 logQ", "factorization", "two_towers/negatives",
          matrix_factorization(lambda known: (losses.logq_loss, negatives.mixed(
              negatives.in_batch(negatives.log_share(known)), negatives.uniform(known.n_items, 1024)))), MF_GRID),
    Entry("MF queue 1024 logQ", "factorization", "two_towers/negatives", queued, MF_GRID | {"size": [1024]}),
    Entry("MF in-batch streaming logQ", "factorization", "two_towers/negatives",
          matrix_factorization(lambda known: (
              losses.logq_loss, negatives.in_batch(popularity.StreamingFrequency(known.n_items)))), MF_GRID),
    Entry("MF in-batch log p at serving", "factorization", "two_towers/negatives", corrected_at_serving, MF_GRID),
    Entry("MF BPR", "factorization", "collaborative/implicit_feedback",
          matrix_factorization(lambda known: (
              losses.bpr_loss, negatives.without_known(negatives.uniform(known.n_items, 256), known))),
          {"dim": [64, 128], "n_epochs": [15, 25], "weight_decay": [0.15, 0.3]}),
    Entry("MF uniform BCE", "factorization", "two_towers/objectives",
          matrix_factorization(lambda known: (losses.bce_loss, negatives.uniform(known.n_items, 255))), MF_GRID),
    Entry("MF uniform BPR", "factorization", "two_towers/objectives",
          matrix_factorization(lambda known: (losses.bpr_loss, negatives.uniform(known.n_items, 255))), MF_GRID),
    Entry("MF uniform hinge", "factorization", "two_towers/objectives",
          matrix_factorization(lambda known: (losses.hinge_loss(), negatives.uniform(known.n_items, 255))), MF_GRID),
    Entry("NCF", "towers", "collaborative/implicit_feedback", learned_similarity,
          {"hidden": [[64], [64, 32]], "product_dim": [0], "n_epochs": [6, 10], "weight_decay": [0.1, 0.3]}),
    Entry("NeuMF", "towers", "collaborative/implicit_feedback", learned_similarity,
          {"hidden": [[64, 32]], "product_dim": [32], "n_epochs": [6, 10], "weight_decay": [0.1, 0.3]}),
    Entry("FM ids", "factorization", "two_towers/fm_to_two_towers", factorization_machine,
          {"columns": [[]], "dim": [32], "n_epochs": [6, 9, 12], "weight_decay": [0.1, 0.3, 1.0]}),
    Entry("FM with features", "factorization", "two_towers/fm_to_two_towers", factorization_machine,
          {"columns": [["genres", "directors", "countries"], ["genres", "directors", "cast", "countries"]], "dim": [32],
           "n_epochs": [6, 9], "weight_decay": [0.3, 1.0]}),
    Entry("FM log loss", "factorization", "two_towers/fm_to_two_towers", factorization_machine,
          {"columns": [["genres", "directors", "countries"]], "dim": [32], "n_epochs": [4, 8, 12],
           "weight_decay": [0.1, 0.3], "log_loss": [True]}),
    Entry("Two-tower ids", "towers", "two_towers/dual_encoder", two_towers, {"items": [["ids"]]} | TOWER_GRID),
    Entry("Two-tower facts", "towers", "two_towers/dual_encoder", two_towers, {"items": [["facts"]]} | TOWER_GRID),
    Entry("Two-tower hybrid", "towers", "two_towers/dual_encoder", two_towers, {"items": [["ids", "facts"]]} | TOWER_GRID),
    Entry("DSSM", "towers", "two_towers/dual_encoder", dssm, {"hidden": [128]} | DSSM_GRID),
    Entry("DSSM without layers", "towers", "two_towers/dual_encoder", dssm, {"hidden": [0]} | DSSM_GRID),
    Entry("MF cosine fixed tau", "factorization", "two_towers/temperature", cosine,
          {"temperature": [0.1, 0.15, 0.2, 0.3], "dim": [64], "n_epochs": [6, 10], "weight_decay": [0.1]}),
    Entry("MF cosine learned tau", "factorization", "two_towers/temperature", cosine,
          {"temperature": [None], "dim": [64], "n_epochs": [6, 10], "weight_decay": [0.1, 0.3, 1.0]}),
    Entry("History tower", "towers", "two_towers/user_towers", history_tower,
          {"dim": [64], "length": [50], "n_epochs": [3, 6], "weight_decay": [0.01, 0.1]}),
    Entry("History cosine", "towers", "two_towers/user_towers", pooled_history,
          {"temperature": [0.15, 0.2], "learned": [False], "n_epochs": [9]}),
    Entry("History learned weights", "towers", "two_towers/user_towers", pooled_history,
          {"temperature": [0.1, 0.15, 0.2], "learned": [True], "n_epochs": [9]}),
    Entry("History described items", "towers", "two_towers/item_towers", described_items,
          {"items": [["ids", "facts"], ["ids", "text"], ["ids", "facts", "text"]], "temperature": [0.15, 0.2], "n_epochs": [9]}),
    Entry("Tower blend", "towers", "systems/leaderboard", tower_blend,
          {"other": ["EASE", "ItemKNN", "ImplicitALS"], "weight": [1.0, 2.0, 3.0]}),
]  # fmt: skip


def configurations(grid: Mapping[str, Sequence]) -> list[dict]:
    """Every combination of the grid."""
    return [dict(zip(grid, values)) for values in itertools.product(*grid.values())]


def key_of(entry: Entry) -> str:
    """A hash of the entry as written here with all it names, of what these and its judgement use of the package, and of the data."""
    tree = ast.parse(Path(__file__).read_text(encoding="utf-8"))
    named = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    judgement = [ast.unparse(named[name]) for name in ("the_split", "train")]
    named |= {node.targets[0].id: node for node in tree.body if isinstance(node, ast.Assign)}
    modules = {alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    calls = [node for node in ast.walk(named["ENTRIES"]) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Entry"]
    waiting, parts, used = [next(call for call in calls if call.args[0].value == entry.name)], [], {"datasets", "splits", "evaluation"}
    while waiting:
        node = waiting.pop()
        parts.append(ast.unparse(node))
        names = {child.id for child in ast.walk(node) if isinstance(child, ast.Name)}
        used |= names & modules
        waiting += [named.pop(name) for name in sorted(names & set(named))]
    imports = f"from recsys_lite import {', '.join(sorted(used & set(dir(recsys_lite))))}"
    parts.append(package_hash([imports, *parts, *judgement]))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def the_split() -> splits.Split:
    """That of the book's protocol."""
    return splits.protocol(datasets.movielens())[1]


def train(entry: Entry, split: splits.Split, progress: tqdm) -> None:
    """Tune, refit, judge and store one entry."""
    tuning, tried = split.tuning(), configurations(entry.grid)
    scores = []
    for configuration in tried if len(tried) > 1 else []:
        progress.set_postfix_str(f"{entry.name} {len(scores) + 1}/{len(tried)}")
        scores.append(evaluation.evaluate(entry.fit(tuning.known, **configuration), tuning, k=(10,))[leaderboard.HEADLINE].mean())
    best = tried[int(np.argmax(scores))] if scores else tried[0]
    start = time.perf_counter()
    model = entry.fit(split.known, **best)
    seconds = time.perf_counter() - start
    lists = evaluation.judged_lists(model, split, 20)
    description = {
        "key": key_of(entry), "family": entry.family, "page": entry.page, "configuration": best, "n_tried": len(tried),
        "valid": round(float(max(scores)), 4) if scores else None, "fit_seconds": round(seconds, 2),
        "n_parameters": n_parameters(model), "coverage": metrics.coverage(lists, split.test.n_items),
    }  # fmt: skip
    leaderboard.store(entry.name, description, evaluation.measure(lists, split))


def n_parameters(model: evaluation.Recommender) -> int:
    """Numbers that the model keeps: weights of a network, or the entries of a closed form's arrays and sparse matrices."""
    if isinstance(model, ensembles.ScoreBlend):
        return sum(map(n_parameters, model.models))
    if isinstance(model, torch.nn.Module):
        return sum(weight.numel() for weight in model.parameters())
    return int(sum(getattr(value, "nnz", getattr(value, "size", 0)) for value in vars(model).values() if not np.isscalar(value)))


def out_of_date() -> list[Entry]:
    """The entries whose stored row is missing or was made by other code, configuration or data."""
    stored = {name: leaderboard.load(name)[0]["key"] for name in leaderboard.names()}
    return [entry for entry in ENTRIES if stored.get(entry.name) != key_of(entry)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="train these again whether out of date or not")
    chosen = parser.parse_args().names
    unknown = set(chosen) - {entry.name for entry in ENTRIES}
    if unknown:
        parser.error(f"NAME must be one of {[entry.name for entry in ENTRIES]}; got {sorted(unknown)}.")
    entries = [entry for entry in ENTRIES if entry.name in chosen] if chosen else out_of_date()
    torch.set_num_threads(1)
    split = the_split()
    with tqdm(entries, disable=not entries) as progress:
        for entry in progress:
            train(entry, split, progress)
    print(f"{len(entries)} trained; the leaderboard holds {len(leaderboard.names())} models.")


if __name__ == "__main__":
    main()
