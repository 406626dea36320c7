"""Up to a million users, a hundred thousand items and twenty million events: one run of what ought to grow in proportion."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from bench.growth import Sizes, events, stepping
from bench.measuring import in_a_child
from recsys_lite import evaluation, factorization, graphs, negatives, neighbors, splits
from recsys_lite.interactions import Interactions
from recsys_lite.splits import Split

BATCH, N_JUDGED, N_STEPS = 2048, 2000, 20
LADDER = [(100_000, 10_000, 2_000_000), (300_000, 30_000, 6_000_000), (1_000_000, 100_000, 20_000_000)]
SIZES = [Sizes(*numbers, batch=BATCH) for numbers in LADDER]


def building(data: Interactions, sizes: Sizes) -> Callable[[], Any]:
    order = np.random.default_rng(1).permutation(len(data))
    users, items = data.users[order], data.items[order]
    return lambda: Interactions.from_events(users, items, sizes.users, sizes.items)


def splitting(data: Interactions, sizes: Sizes) -> Callable[[], Any]:
    return lambda: splits.at_random(data)


def als(data: Interactions, sizes: Sizes) -> Callable[[], Any]:
    return lambda: factorization.ImplicitALS(sizes.dimension, 1.0, n_iterations=1).fit(data)


def item_knn(data: Interactions, sizes: Sizes) -> Callable[[], Any]:
    return lambda: neighbors.ItemKNN(100).fit(data)


def mf(data: Interactions, sizes: Sizes) -> Callable[[], Any]:
    model = factorization.MatrixFactorization(sizes.users, sizes.items, sizes.dimension)
    return stepping(model, data, negatives.in_batch(negatives.log_share(data)), N_STEPS, sizes)


def lightgcn(data: Interactions, sizes: Sizes) -> Callable[[], Any]:
    model = graphs.LightGCN(graphs.normalised_adjacency(data), sizes.users, sizes.dimension, 3)
    return stepping(model, data, negatives.in_batch(negatives.log_share(data)), 1, sizes)


def judging(data: Interactions, sizes: Sizes) -> Callable[[], Any]:
    held = np.unique(data.users, return_index=True)[1][:N_JUDGED]  # an event of each of so many users
    model = factorization.MatrixFactorization(sizes.users, sizes.items, sizes.dimension)
    split = Split(data.take(np.delete(np.arange(len(data)), held)), data.take(held))
    return lambda: evaluation.evaluate(model, split)


CASES = {
    "Interactions from shuffled events": building,
    "a random split": splitting,
    "ImplicitALS, an iteration": als,
    "ItemKNN, fit": item_knn,
    f"MF in-batch, {N_STEPS} steps": mf,
    "LightGCN in-batch, a step": lightgcn,
    f"evaluation of {N_JUDGED:,} users": judging,
}


def measure() -> Iterator[dict]:
    """A row a case and size: processor seconds of the first run, MB added at the peak."""
    for sizes in SIZES:
        data = events(sizes)
        for what, prepare in CASES.items():
            (seconds,), megabytes = in_a_child(lambda: prepare(data, sizes), 1, warm=False)
            row = {"what": what, "users": sizes.users, "items": sizes.items, "interactions": sizes.interactions}
            yield row | {"processor": round(seconds, 4), "megabytes": round(megabytes, 1)}
