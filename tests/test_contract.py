"""What every gradient model must do, and every loss and sampler with one of them: find the item that was withheld."""

import importlib
import inspect
import pkgutil

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import nn

import recsys_lite
from recsys_lite import losses
from recsys_lite.evaluation import evaluate, recommend
from recsys_lite.examples import Batch, Interactions, Prefixes, Queries, Sequences
from recsys_lite.factorization import MatrixFactorization
from recsys_lite.factorization_machines import FactorizationMachine
from recsys_lite.graphs import NGCF, LightGCN, normalised_adjacency
from recsys_lite.interactions import Interactions as Events
from recsys_lite.ncf import NCF
from recsys_lite.negatives import Queue, all_items, in_batch, log_share, mixed, uniform, without_known
from recsys_lite.pooling import HistoryPool
from recsys_lite.popularity import CountMinSketch, StreamingFrequency
from recsys_lite.splits import Split
from recsys_lite.synthetic import checkerboard, ordered
from recsys_lite.towers import (
    Concat,
    HistoryMean,
    HistoryMeanOf,
    ItemBag,
    ItemIds,
    ItemVectors,
    Sum,
    TwoTower,
    UserIds,
    mlp,
)
from recsys_lite.training import batch_scores, fit
from recsys_lite.vectors import Cosine, GradientModel, LearnedTemperature, embedding

N = 12


def shuffled(log, seed=0):
    """The same events, each user's in random order: a history must not give the next item away by its place."""
    times = np.random.default_rng(seed).permutation(len(log))
    return Events.from_events(log.users, log.items, log.n_users, log.n_items, times=times)


TRAIN, TEST = map(shuffled, checkerboard(N))
SPLIT = Split(TRAIN, TEST)
LOG_P = log_share(TRAIN)

# a new gradient model joins the package with a row here: how to build it for n users and items, and its examples
MODELS = {
    MatrixFactorization: (lambda n: MatrixFactorization(n, n, 4), Interactions),
    FactorizationMachine: (lambda n: FactorizationMachine(np.eye(n), np.eye(n), 4), Interactions),
    NCF: (lambda n: NCF(n, n, 8, hidden=(16, 8)), Interactions),
    LightGCN: (lambda n: LightGCN(normalised_adjacency(TRAIN), n, 4), Interactions),
    NGCF: (lambda n: NGCF(normalised_adjacency(TRAIN), n, 4, 2), Interactions),
    TwoTower: (lambda n: TwoTower(HistoryMean(n, 4), ItemIds(n, 4)), Prefixes),
    Cosine: (lambda n: Cosine(MatrixFactorization(n, n, 4), LearnedTemperature(0.3)), Interactions),
}
every_model = pytest.mark.parametrize("build, examples", MODELS.values(), ids=[model.__name__ for model in MODELS])


def fitted(model, examples=None, loss=losses.softmax_loss, negatives=None, **options):
    options = {"n_epochs": 40, "batch_size": 20, "learning_rate": 0.05, "weight_decay": 0.01} | options
    fit(model, examples or Interactions(TRAIN), loss, negatives or all_items(N), **options)
    return model


def share_found(model, split=SPLIT):
    """The share of test users whose withheld item is ranked first among all that they have not met."""
    return float(evaluate(model, split, k=(1,))["recall@1"].mean())


def test_every_gradient_model_of_the_package_is_in_this_contract():
    modules = pkgutil.walk_packages(recsys_lite.__path__, "recsys_lite.")
    values = [value for module in modules for value in vars(importlib.import_module(module.name)).values()]
    models = {value for value in values if inspect.isclass(value) and issubclass(value, GradientModel)}
    assert {model for model in models if not inspect.isabstract(model)} == set(MODELS)


@every_model
def test_the_withheld_item_ranks_first(build, examples):
    model = build(N)
    assert share_found(model) < 0.5
    assert share_found(fitted(model, examples(TRAIN))) == 1


@every_model
def test_scores_for_training_are_scores_for_serving(build, examples):
    model = build(N)
    (batch,) = examples(TRAIN).batches(10**6, torch.Generator())
    with torch.no_grad():
        scores = batch_scores(model, batch, all_items(N)(batch, torch.Generator()))
    served = model.score_items(batch.queries)
    assert served.shape == (len(TRAIN), N) and np.isfinite(served).all()
    np.testing.assert_allclose(scores.negative, served, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(scores.positive, served[np.arange(len(TRAIN)), batch.positives], rtol=1e-4, atol=1e-6)


@every_model
def test_two_runs_are_bit_identical_and_training_moves_every_parameter(build, examples):
    runs = [fitted(build(N), examples(TRAIN), negatives=uniform(N, 5), n_epochs=1) for _ in range(2)]
    start = build(N)
    for one, other, before in zip(runs[0].parameters(), runs[1].parameters(), start.parameters()):
        assert torch.equal(one, other) and not torch.equal(one, before)


# --- losses, one by one ---------------------------------------------------------------------------------------------
def own_loss(scores):
    """A reader's loss: the squared shortfall of a margin of 2, summed over the negatives."""
    shortfall = torch.relu(2 - scores.positive[:, None] + scores.negative) ** 2
    return torch.where(scores.is_negative, shortfall, 0.0).sum(dim=1)


@pytest.mark.parametrize(
    "loss",
    [
        losses.bce_loss,
        losses.bpr_loss,
        losses.hinge_loss(),
        losses.softmax_loss,
        losses.logq_loss,
        losses.logq_all_loss,
        losses.logq_without_n_loss,
        losses.logq_decoupled_loss,
        losses.logq_weighted_loss,
        own_loss,
    ],
    ids=lambda loss: loss.__qualname__.split(".")[0],
)
def test_every_loss_finds_the_withheld_item(loss):
    assert share_found(fitted(MatrixFactorization(N, N, 4), loss=loss)) == 1


# --- samplers, one by one -------------------------------------------------------------------------------------------
SAMPLERS = {
    "uniform": lambda model: uniform(N, 8),
    "uniform, a draw a row": lambda model: uniform(N, 8, shared=False),
    "in batch": lambda model: in_batch(LOG_P),
    "in batch without what the user knows": lambda model: without_known(in_batch(LOG_P), TRAIN),
    "mixed": lambda model: mixed(in_batch(LOG_P), uniform(N, 8)),
    "queue": lambda model: mixed(in_batch(LOG_P), Queue(model, 32, LOG_P)),
    "streaming popularity": lambda model: in_batch(StreamingFrequency(N)),
    "sketched popularity": lambda model: in_batch(CountMinSketch(N, width=64)),
}


@pytest.mark.parametrize("build", SAMPLERS.values(), ids=SAMPLERS)
def test_every_sampler_finds_the_withheld_item(build):
    model = MatrixFactorization(N, N, 4)
    assert share_found(fitted(model, loss=losses.logq_loss, negatives=build(model))) == 1


# --- users and orders that only a history tells ---------------------------------------------------------------------
def test_a_history_tower_serves_users_who_came_after_training():
    """Trained on users 0 to 5; users 6 to 11 bring a history only, and nothing is fitted again."""
    first = Split(TRAIN.take(TRAIN.users < N // 2), TEST, history=TRAIN)
    model = fitted(MODELS[TwoTower][0](N), Prefixes(first.train))
    later = np.arange(N // 2, N)
    queries = SPLIT.queries(later)
    best = recommend(model, queries, 1, exclude=queries.history.numpy())
    assert best.ravel().tolist() == later.tolist()


class LastItem(nn.Module):
    """A reader's tower: the user is the item met last, at the end of the row or at each of the places `at`."""

    def __init__(self, n_items, dim):
        super().__init__()
        self.items = embedding(n_items, dim, padding=True)

    def forward(self, queries: Queries):
        if queries.at is None:
            return self.items(queries.history[:, -1])
        return self.items(queries.history.flatten()[queries.at])


PARITY = sp.csr_matrix(np.eye(2)[np.arange(N) % 2])
SHARED = Sum(ItemIds(N, 4), ItemBag(PARITY, 4))
TOWERS = {
    "ids": lambda: (UserIds(N, 4), ItemIds(N, 4), Interactions),
    "features only": lambda: (UserIds(N, 4), ItemBag(PARITY, 4), Interactions),
    "ids plus features": lambda: (UserIds(N, 4), Sum(ItemIds(N, 4), ItemBag(PARITY, 4)), Interactions),
    "deep, ids beside given vectors": lambda: (
        nn.Sequential(UserIds(N, 4), mlp(4, 8, 4, seed=5)),
        nn.Sequential(Concat(ItemIds(N, 4), ItemVectors(PARITY.toarray())), mlp(6, 8, 4, seed=6)),
        Interactions,
    ),
    "history of features": lambda: (HistoryMeanOf(ItemBag(PARITY, 4)), ItemBag(PARITY, 4, seed=7), Prefixes),
    "history, weighted by place": lambda: (HistoryPool(N, 4, dropout=0.3, learned=True), ItemIds(N, 4), Prefixes),
    "one tower on both sides": lambda: (HistoryMeanOf(SHARED), SHARED, Prefixes),
}


@pytest.mark.parametrize("build", TOWERS.values(), ids=TOWERS)
def test_every_way_to_build_a_tower_finds_the_withheld_item(build):
    users, items, examples = build()
    model = TwoTower(users, items)
    assert share_found(fitted(model, examples(TRAIN), learning_rate=0.02)) == 1


ORDERED = ordered(n_items=N, n_users=60, length=8)


@pytest.mark.parametrize(
    "examples, tower",
    [(Prefixes, LastItem(N, 8)), (Sequences, LastItem(N, 8)), (Prefixes, HistoryMean(N, 8, length=1))],
    ids=["Prefixes", "Sequences", "Prefixes, HistoryMean of one"],
)
def test_the_next_item_is_the_last_plus_one(examples, tower):
    examples = examples(ORDERED[0], 8)
    model = fitted(TwoTower(tower, ItemIds(N, 8)), examples, learning_rate=0.05, n_epochs=15)
    train, test = ORDERED
    queries = Split(train, test).queries(test.users)
    assert recommend(model, queries, 1).ravel().tolist() == test.items.tolist()


def test_a_mean_cannot_tell_the_order():
    """The control of the last test: the same items in another order are the same user."""
    tower = HistoryMean(N, 4)
    history = torch.tensor([[1, 2, 3], [3, 1, 2]])
    one, other = tower(Queries(torch.zeros(2, dtype=torch.long), history))
    torch.testing.assert_close(one, other)


def test_batches_of_a_readers_own_examples_plug_in():
    class Pairs:
        """Examples from a list of pairs, always in one batch."""

        n_items = N

        def batches(self, batch_size, generator):
            users, items = torch.tensor(TRAIN.users), torch.tensor(TRAIN.items)
            yield Batch(Queries(users), items, torch.ones(len(users)), torch.arange(len(users)))

    assert share_found(fitted(MatrixFactorization(N, N, 4), Pairs(), n_epochs=150)) == 1
