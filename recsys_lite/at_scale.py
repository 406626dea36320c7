"""The systems that are measured on a large graph, each as one function; what came of it is in `scale_results`."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

from recsys_lite import examples, losses, training
from recsys_lite.baselines import Popularity
from recsys_lite.evaluation import Recommender
from recsys_lite.factorization import ImplicitALS
from recsys_lite.graph_filters import LowPass, PathFilter, WeightedSum, spectral_start
from recsys_lite.graphs import LightGCN, normalised_adjacency
from recsys_lite.interactions import Interactions
from recsys_lite.linear import EASE
from recsys_lite.negatives import Negatives, NegativeSampler, log_share, uniform, without_known
from recsys_lite.neighbors import ItemKNN
from recsys_lite.vectors import Cosine, VectorModel

Watch = Callable[[Recommender, int], None]
Stages = Sequence[tuple[int, float]]  # (epochs, learning rate) one after the other


class OnPopular:
    """A model of the n most popular items alone; the others get the lowest score of the row, less one.

    What to do where a model's memory grows with the square of the catalogue. ValueError if n is not in [1, n_items].
    """

    def __init__(self, model, n: int):
        self.model, self.n = model, n

    def fit(self, interactions: Interactions) -> "OnPopular":
        self.n_items = interactions.n_items
        if not 1 <= self.n <= self.n_items:
            raise ValueError(f"n must be in [1, {self.n_items}], the size of the catalogue; got {self.n}.")
        self.kept = np.sort(np.argsort(-interactions.item_counts(), kind="stable")[: self.n])
        place = np.full(self.n_items + 1, self.n)  # so the padding of histories becomes that of the smaller catalogue
        place[self.kept] = np.arange(self.n)
        self.place = torch.from_numpy(place)
        events = interactions.take(np.isin(interactions.items, self.kept))
        self.model.fit(Interactions.from_events(events.users, place[events.items], events.n_users, self.n))
        return self

    def score_items(self, queries: examples.Queries) -> np.ndarray:
        scores = self.model.score_items(queries._replace(history=self.place[queries.history]))
        spread = np.repeat(scores.min(axis=1, keepdims=True) - 1, self.n_items, axis=1)
        spread[:, self.kept] = scores
        return spread


def shared_positives(log_p: torch.Tensor, n: int) -> NegativeSampler:
    """The positives of a batch's first n rows as negatives of all its rows: expected count n p.

    A batch may then be large, so that one propagation serves many positives, without a score for each pair of its rows.
    """

    def sample(batch: examples.Batch, generator: torch.Generator) -> Negatives:
        items = batch.positives[:n]
        return Negatives(items, log_p + float(np.log(len(items))))

    return sample


def corrected(exponent: float) -> Callable[[losses.BatchScores], torch.Tensor]:
    """`logq_loss` with E^exponent in the place of E: 0 is the plain softmax, 1 logQ.

    With E proportional to Q it learns log P(i | u) + (exponent - 1) log Q(i), nearly, as the positive's own term is not
    corrected: above 1 it adds popularity.
    """

    def loss(scores: losses.BatchScores) -> torch.Tensor:
        return losses.logq_loss(scores._replace(log_expected_negative=exponent * scores.log_expected_negative))

    return loss


def bpr(known: Interactions, watch: Watch, *, dim: int, stages: Stages, batch_size: int, n_layers: int) -> LightGCN:
    """LightGCN as its paper trains it: the mean of the layers, BPR with one uniform negative a row, Adam."""
    model = LightGCN(normalised_adjacency(known), known.n_users, dim, n_layers)
    sampler = without_known(uniform(known.n_items, 1, shared=False), known)
    return _trained(model, known, losses.bpr_loss, sampler, watch, stages, batch_size, 0.0)


def softmax(
    known: Interactions,
    watch: Watch,
    *,
    dim: int,
    layer_weights: Sequence[float],
    served_weights: Sequence[float],
    start: str,
    correction: float,
    temperature: float | None,
    n_negatives: int,
    stages: Stages,
    batch_size: int,
    weight_decay: float,
) -> VectorModel:
    """LightGCN by sampled softmax: large batches, shared negatives, and a start "spectral" or "random".

    layer_weights are those of training, served_weights those of scoring afterwards. correction: the exponent of
    `corrected`. temperature: that of a cosine; None is the dot product.
    """
    graph = LightGCN(normalised_adjacency(known), known.n_users, dim, len(layer_weights) - 1, layer_weights)
    if start == "spectral":
        graph.start.weight.data.copy_(torch.from_numpy(spectral_start(known, dim)))
    model = graph if temperature is None else Cosine(graph, temperature)
    sampler = shared_positives(log_share(known), n_negatives)

    def look(model: VectorModel, epoch: int) -> None:
        graph.layer_weights = list(served_weights)
        watch(model, epoch)
        graph.layer_weights = list(layer_weights)

    _trained(model, known, corrected(correction), sampler, look, stages, batch_size, weight_decay)
    graph.layer_weights = list(served_weights)
    return model


def _trained(
    model: VectorModel, known: Interactions, loss, sampler, watch: Watch, stages: Stages, batch_size: int, decay: float
):
    before = 0
    for stage, (n_epochs, learning_rate) in enumerate(stages):
        training.fit(
            model, examples.Interactions(known), loss, sampler,
            n_epochs=n_epochs, batch_size=batch_size, learning_rate=learning_rate, weight_decay=decay, seed=stage,
            on_epoch_end=lambda epoch, before=before: watch(model, before + epoch),
        )  # fmt: skip
        before += n_epochs
    return model


def closed_form(make: Callable[..., Recommender]) -> Callable[..., Recommender]:
    """fit(known, watch, **configuration) of a model that is fitted at once: nothing to watch."""
    return lambda known, watch, **configuration: make(**configuration).fit(known)


class System(NamedTuple):
    """How a system is fitted, and with what: `grid` names the values tried on valid."""

    family: str
    fit: Callable[..., Recommender]
    grid: Mapping[str, Sequence]


def item_knn(k: int, shrink: float) -> ItemKNN:
    """Places by the cosine of who went there."""
    return ItemKNN(k, shrink)


def ease_on_popular(regularization: float, n: int) -> OnPopular:
    """EASE of the n most popular places."""
    return OnPopular(EASE(regularization), n)


def gf_cf(alpha: float, dim: int) -> WeightedSum:
    """The linear and the ideal low-pass filter of GF-CF, the latter from random projections."""
    return WeightedSum([PathFilter((0.5, 1.0, 0.5)), LowPass(dim)], [1.0, alpha])


def link_prop(exponents: Sequence[float]) -> PathFilter:
    """Paths of one step."""
    return PathFilter(exponents)


def sharpened(exponents: Sequence[float], beta: float, alpha: float, dim: int) -> WeightedSum:
    """Paths of one step, less beta times what two steps have blurred, and alpha times the low-pass filter."""
    once, twice = PathFilter(exponents), PathFilter(exponents, (0.5, 1.0, 0.5))
    return WeightedSum([once, twice, LowPass(dim)], [1.0, -beta, alpha])


def one(configuration: Mapping) -> dict[str, list]:
    """The grid of one configuration."""
    return {name: [value] for name, value in configuration.items()}


SOFTMAX = {
    "dim": 128, "layer_weights": (0.0, 1 / 3, 1 / 3, 1 / 3), "served_weights": (0.0, 0.25, 0.5, 0.25),
    "start": "spectral", "correction": 1.3, "temperature": None, "n_negatives": 1024, "batch_size": 4096,
    "weight_decay": 0.1, "stages": ((2, 0.02), (2, 0.004)),
}  # fmt: skip
NO_LAYERS = {"layer_weights": (1.0,), "served_weights": (1.0,)}
AS_TRAINED = {"served_weights": SOFTMAX["layer_weights"]}
COSINE = {"dim": 64, "correction": 1.0, "temperature": 0.1, "stages": ((5, 0.02), (3, 0.004))} | AS_TRAINED
SYSTEMS = {
    "Popularity": System("popular", closed_form(Popularity), {}),
    "ItemKNN": System("neighbours", closed_form(item_knn), {"k": [50, 100], "shrink": [0.0, 5.0]}),
    "EASE of 20,000 places": System("linear", closed_form(ease_on_popular), {"regularization": [100.0], "n": [20_000]}),
    "ImplicitALS": System(
        "factorization",
        closed_form(ImplicitALS),
        {"dim": [256], "alpha": [40.0, 80.0], "regularization": [3.0, 10.0], "n_iterations": [8]},
    ),
    "GF-CF": System("linear", closed_form(gf_cf), {"alpha": [0.2, 0.3, 0.5, 0.8], "dim": [256]}),
    "LinkProp": System(
        "linear",
        closed_form(link_prop),
        {"exponents": [(0.5, 0.8, 0.35), (0.5, 0.7, 0.3), (0.5, 0.6, 0.3), (0.6, 0.7, 0.25)]},
    ),
    "Sharpened filter": System(
        "linear",
        closed_form(sharpened),
        {"exponents": [(0.5, 0.8, 0.35), (0.5, 0.6, 0.3)], "beta": [0.7, 0.9, 1.1], "alpha": [0.4], "dim": [512]},
    ),
    "LightGCN BPR": System(
        "graphs", bpr, {"dim": [64], "stages": [((40, 0.001),)], "batch_size": [2048], "n_layers": [3]}
    ),
    "MF softmax": System("factorization", softmax, one(SOFTMAX | NO_LAYERS)),
    "LightGCN softmax": System("graphs", softmax, one(SOFTMAX)),
    "LightGCN cosine": System("graphs", softmax, one(SOFTMAX | COSINE)),
}


SHORT = SOFTMAX | AS_TRAINED | {"dim": 64, "correction": 1.0, "stages": ((2, 0.02),)}
MEAN = (0.25, 0.25, 0.25, 0.25)
PLAIN = SHORT | {"layer_weights": MEAN, "served_weights": MEAN, "start": "random", "weight_decay": 0.0}
MORE = SHORT | {"correction": 1.3}
SMOOTHER = MORE | {"served_weights": SOFTMAX["served_weights"]}
# Two epochs each. From "softmax, large batches" on an arm adds one thing to the one before; only the last goes back, to
# "and more than logQ", and changes one thing there.
IDEAS = {
    "BPR": (bpr, {"dim": 64, "stages": ((2, 0.001),), "batch_size": 2048, "n_layers": 3}),
    "BPR, larger steps": (bpr, {"dim": 64, "stages": ((2, 0.02),), "batch_size": 2048, "n_layers": 3}),
    "softmax, large batches": (softmax, PLAIN | {"correction": 0.0}),
    "and logQ": (softmax, PLAIN),
    "and spectral start": (softmax, PLAIN | {"start": "spectral"}),
    "and no layer 0": (softmax, SHORT | {"weight_decay": 0.0}),
    "and weight decay": (softmax, SHORT),
    "and more than logQ": (softmax, MORE),
    "and served smoother": (softmax, SMOOTHER),
    "and 128 numbers": (softmax, SMOOTHER | {"dim": 128}),
    "but cosine, with 64": (softmax, MORE | {"temperature": 0.1}),
}
