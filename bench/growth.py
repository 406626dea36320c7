"""How time and memory grow when one size doubles and the others stay: random events, four sizes an axis."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from bench.measuring import in_a_child
from recsys_lite import evaluation, examples, factorization, graphs, losses, negatives, neighbors, splits, training
from recsys_lite.interactions import Interactions

N_RUNS = 3
FACTORS = (1, 2, 4, 8)


class Sizes(NamedTuple):
    """What is varied, one at a time; the values are where the axes start."""

    users: int = 3000
    items: int = 3000
    interactions: int = 100_000
    dimension: int = 32
    batch: int = 512


def events(sizes: Sizes) -> Interactions:
    """About that many events: users even, items by a power law, each pair once."""
    random = np.random.default_rng(0)
    share = (np.arange(sizes.items) + 10.0) ** -0.8
    cumulated = (share / share.sum()).cumsum()
    pairs = np.empty(0, dtype=np.int64)
    while len(pairs) < sizes.interactions:
        users = random.integers(sizes.users, size=sizes.interactions)
        items = np.minimum(np.searchsorted(cumulated, random.random(sizes.interactions)), sizes.items - 1)
        pairs = np.unique(np.append(pairs, users * sizes.items + items))
    pairs = np.sort(random.choice(pairs, sizes.interactions, replace=False))
    return Interactions.from_events(pairs // sizes.items, pairs % sizes.items, sizes.users, sizes.items)


def als(sizes: Sizes) -> Callable[[], Any]:
    data = events(sizes)
    return lambda: factorization.ImplicitALS(sizes.dimension, n_iterations=1).fit(data)


def item_knn(sizes: Sizes) -> Callable[[], Any]:
    data = events(sizes)
    return lambda: neighbors.ItemKNN(100).fit(data)


def evaluating(sizes: Sizes) -> Callable[[], Any]:
    split = splits.at_random(events(sizes))
    model = factorization.MatrixFactorization(sizes.users, sizes.items, sizes.dimension)
    return lambda: evaluation.evaluate(model, split)


def stepping(model, data: Interactions, sampler, n_steps: int, sizes: Sizes) -> Callable[[], Any]:
    source, generator = examples.Interactions(data), torch.Generator().manual_seed(0)
    stepper = torch.optim.AdamW(model.parameters(), 1e-3)

    def steps() -> None:
        for batch, _ in zip(source.batches(sizes.batch, generator), range(n_steps)):
            scores = training.batch_scores(model, batch, sampler(batch, generator))
            training._step(stepper, losses.logq_loss(scores), batch.weight)

    return steps


def mf_step(sizes: Sizes) -> Callable[[], Any]:
    data = events(sizes)
    model = factorization.MatrixFactorization(sizes.users, sizes.items, sizes.dimension)
    return stepping(model, data, negatives.in_batch(negatives.log_share(data)), 20, sizes)


def full_step(sizes: Sizes) -> Callable[[], Any]:
    data = events(sizes)
    model = factorization.MatrixFactorization(sizes.users, sizes.items, sizes.dimension)
    return stepping(model, data, negatives.all_items(sizes.items), 5, sizes)


def lightgcn_step(sizes: Sizes) -> Callable[[], Any]:
    data = events(sizes)
    model = graphs.LightGCN(graphs.normalised_adjacency(data), sizes.users, sizes.dimension, 3)
    return stepping(model, data, negatives.in_batch(negatives.log_share(data)), 5, sizes)


DATA = ("users", "items", "interactions")
CASES = {
    "ImplicitALS, an iteration": (als, (*DATA, "dimension")),
    "ItemKNN, fit": (item_knn, DATA),
    "evaluation of all users": (evaluating, (*DATA, "dimension")),
    "MF in-batch, 20 steps": (mf_step, (*DATA, "dimension", "batch")),
    "MF full softmax, 5 steps": (full_step, (*DATA, "dimension", "batch")),
    "LightGCN in-batch, 5 steps": (lightgcn_step, (*DATA, "dimension", "batch")),
}


def measure() -> Iterator[dict]:
    """A row a run: what, axis, size, run, processor seconds, MB added at the peak."""
    mf_step(Sizes(20, 20, 60, 4, 16))()  # what torch loads at its first step is loaded here, not in every child
    for what, (prepare, axes) in CASES.items():
        for axis in axes:
            for factor in FACTORS:
                sizes = Sizes()._replace(**{axis: getattr(Sizes(), axis) * factor})
                seconds, megabytes = in_a_child(lambda: prepare(sizes), N_RUNS)
                for run, value in enumerate(seconds):
                    row = {"what": what, "axis": axis, "size": getattr(sizes, axis), "run": run}
                    yield row | {"processor": round(value, 6), "megabytes": round(megabytes, 2)}
