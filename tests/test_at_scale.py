"""The systems for a large graph, in small; and what is stored of them."""

import json
import os

import numpy as np
import pytest
import torch

from recsys_lite import at_scale, datasets, evaluation, losses, scale_results, splits, synthetic
from recsys_lite.examples import Batch, Queries
from recsys_lite.graph_filters import LowPass, PathFilter
from recsys_lite.interactions import Interactions
from recsys_lite.linear import EASE
from recsys_lite.negatives import log_share
from recsys_lite.splits import Split
from scripts import at_scale as trainer
from scripts.leaderboard import configurations

# the same systems with as little of each as shows that it learns
SMALL = {
    "Popularity": {},
    "ItemKNN": {"k": 20, "shrink": 0.0},
    "EASE of 20,000 places": {"regularization": 20.0, "n": 60},
    "ImplicitALS": {"dim": 8, "alpha": 3.0, "regularization": 5.0, "n_iterations": 4},
    "GF-CF": {"alpha": 0.3, "dim": 8},
    "LinkProp": {"exponents": (0.5, 0.8, 0.35)},
    "Sharpened filter": {"exponents": (0.5, 0.8, 0.35), "beta": 0.9, "alpha": 0.3, "dim": 8},
    "LightGCN BPR": {"dim": 8, "stages": [(6, 0.02)], "batch_size": 128, "n_layers": 2},
    "MF softmax": {"layer_weights": (1.0,), "served_weights": (1.0,)},
    "LightGCN softmax": {"layer_weights": (0.0, 0.5, 0.5), "served_weights": (0.0, 0.3, 0.7)},
    "LightGCN cosine": {"layer_weights": (0.0, 0.5, 0.5), "served_weights": (0.0, 0.5, 0.5), "temperature": 0.2},
}
TRAINED = ["LightGCN BPR", "MF softmax", "LightGCN softmax", "LightGCN cosine"]
SOFTMAX = at_scale.SOFTMAX | {"dim": 8, "n_negatives": 32, "batch_size": 128, "stages": [(3, 0.02), (1, 0.004)]}
for name in TRAINED[1:]:
    SMALL[name] = SOFTMAX | SMALL[name]


def nothing(model, epoch):
    """Watch nobody."""


@pytest.fixture(scope="module")
def split() -> Split:
    return splits.at_random(synthetic.World(n_users=150, n_items=100, seed=0).interactions(15, repeats=False))


@pytest.fixture(scope="module")
def popularity(split):
    return recall(at_scale.SYSTEMS["Popularity"].fit(split.known, nothing), split)


def recall(model, split):
    return evaluation.evaluate(model, split)["recall@10"].mean()


def everyone(events):
    users = np.arange(events.n_users)
    return Queries(torch.tensor(users), torch.tensor(events.history(users)))


# the pieces


def test_on_popular_is_the_model_on_the_popular_items_and_the_others_come_last():
    # item 2 has three fans, items 0 and 3 two each, items 1 and 4 one: the three most popular are 0, 2 and 3
    events = Interactions([0, 0, 0, 1, 1, 2, 2, 3, 3], [0, 2, 4, 0, 2, 3, 2, 1, 3], 4, 5)
    model = at_scale.OnPopular(EASE(2.0), 3).fit(events)
    reduced = Interactions([0, 0, 1, 1, 2, 2, 3], [0, 1, 0, 1, 2, 1, 2], 4, 3)
    expected = EASE(2.0).fit(reduced).score_items(everyone(reduced))
    scores = model.score_items(everyone(events))
    assert model.kept.tolist() == [0, 2, 3] and model.n_items == 5
    np.testing.assert_allclose(scores[:, [0, 2, 3]], expected, rtol=1e-6)
    np.testing.assert_array_equal(scores[:, 1], scores[:, 4])
    assert (scores[:, [1]] < expected.min(axis=1, keepdims=True)).all()


def test_on_popular_with_all_items_changes_nothing(split):
    query = everyone(split.known)
    whole = EASE(20.0).fit(split.known).score_items(query)
    np.testing.assert_array_equal(at_scale.OnPopular(EASE(20.0), 100).fit(split.known).score_items(query), whole)


def test_on_popular_takes_the_lower_number_of_equally_popular_items():
    events = Interactions([0, 0, 1, 1], [0, 1, 2, 3], 2, 4)
    assert at_scale.OnPopular(EASE(1.0), 2).fit(events).kept.tolist() == [0, 1]


@pytest.mark.parametrize("n", [0, 101])
def test_on_popular_names_the_range_of_n(n, split):
    with pytest.raises(ValueError, match=rf"n must be in \[1, 100\], the size of the catalogue; got {n}"):
        at_scale.OnPopular(EASE(), n).fit(split.known)


def drawn(events, n, batch_size, seed):
    """The negatives of a random batch."""
    rows = np.random.default_rng(seed).permutation(len(events))[:batch_size]
    batch = Batch(Queries(torch.tensor(events.users[rows])), torch.tensor(events.items[rows]), torch.ones(len(rows)), torch.tensor(rows))
    return batch, at_scale.shared_positives(log_share(events), n)(batch, torch.Generator())


def test_shared_positives_are_the_first_of_the_batch_with_the_counts_that_they_have():
    events = synthetic.World(n_users=60, n_items=20, seed=0).interactions(12, repeats=False)
    counts = np.zeros(20)
    for seed in range(1500):
        batch, negatives = drawn(events, 16, 64, seed)
        counts += np.bincount(negatives.items, minlength=20) / 1500
    torch.testing.assert_close(negatives.items, batch.positives[:16])
    expected = negatives.log_expected_count.exp().numpy()
    np.testing.assert_allclose(expected, 16 * events.item_counts() / len(events), rtol=1e-5)
    np.testing.assert_allclose(counts, expected, atol=0.15)
    assert np.abs(counts - 4 * expected).max() > 1  # batch size in the place of n
    assert negatives.is_negative is None


def test_shared_positives_of_a_small_batch_are_all_that_there_are():
    events = Interactions([0, 0, 1], [0, 1, 1], 2, 2)
    _, negatives = drawn(events, 16, 3, 0)
    assert len(negatives.items) == 3
    np.testing.assert_allclose(negatives.log_expected_count.exp(), [1, 2], rtol=1e-6)


def test_softmax_trains_with_the_one_weights_and_serves_with_the_others(split):
    seen = []

    def trained(served, watch=nothing):
        return at_scale.softmax(split.known, watch, **SOFTMAX | {"layer_weights": (0.0, 1.0, 1.0), "served_weights": served})

    same = trained((0.0, 1.0, 1.0))
    other = trained((0.0, 1.0, 3.0), lambda model, epoch: seen.append(model.layer_weights))
    torch.testing.assert_close(same.start.weight, other.start.weight)
    assert same.layer_weights == [0, 1, 1] and other.layer_weights == [0, 1, 3]
    assert seen == [[0, 1, 3]] * sum(n for n, _ in SOFTMAX["stages"])
    assert np.abs(same.score_items(everyone(split.known)) - other.score_items(everyone(split.known))).max() > 0.01


def test_corrected_is_the_softmax_at_0_and_logq_at_1_and_learns_what_it_says():
    random = np.random.default_rng(0)
    scores = losses.BatchScores(*(torch.tensor(random.normal(size=s)) for s in ((6,), (6, 9))), torch.ones(6, 9, dtype=torch.bool),
                                *(torch.tensor(random.normal(size=s)) for s in ((6,), (6, 9))))  # fmt: skip
    torch.testing.assert_close(at_scale.corrected(0.0)(scores), losses.softmax_loss(scores))
    torch.testing.assert_close(at_scale.corrected(1.0)(scores), losses.logq_loss(scores))


@pytest.mark.parametrize("exponent", [1.0, 1.4])
def test_corrected_learns_popularity_beside_the_chances_as_it_says(exponent):
    # one user, 60 items with chances p; the negatives come as often as their shares q say
    random, n = np.random.default_rng(0), 3000
    p, q = (torch.tensor(random.dirichlet(np.full(60, 5.0)), dtype=torch.float32) for _ in range(2))
    items = torch.arange(60).repeat_interleave((n * q).round().long())
    is_negative = items != torch.arange(60)[:, None]
    log_expected = (n * q).log()[items].expand(60, -1)
    s = torch.zeros(60, requires_grad=True)
    step = torch.optim.Adam([s], lr=0.03)
    for _ in range(400):
        seen = losses.BatchScores(s, s[items].expand(60, -1), is_negative, torch.zeros(60), log_expected)
        loss = (p * at_scale.corrected(exponent)(seen)).sum()
        step.zero_grad()
        loss.backward()
        step.step()
    slope = np.polyfit(q.log(), (s.detach() - p.log()), 1)[0]
    assert slope == pytest.approx(exponent - 1, abs=0.05)  # not exactly: the positive itself is not corrected


def test_parts_are_compared_by_bands_and_with_a_random_one(split, monkeypatch):
    monkeypatch.setattr(trainer, "BANDS", (20, 30))
    counts = (split.known + split.test).item_counts()
    order = np.lexsort((-counts[split.known.items], split.known.users))  # rare items last in each list
    known = Interactions(split.known.users[order], split.known.items[order], split.known.n_users, split.known.n_items)
    test = Interactions(split.test.users, split.test.items, split.test.n_users, split.test.n_items)
    found = trainer.compare_parts(known, test)
    assert found["bands"] == [20, 30] and list(found["parts"]) == ["published", "a random part", "the end of each list"]
    events = split.known + split.test
    share = split.test.user_counts() / np.maximum(events.user_counts(), 1)
    expected = (counts[split.test.items] < 20).sum() / share[events.users][counts[events.items] < 20].sum()
    assert found["parts"]["published"]["held over expected"][0] == pytest.approx(expected, abs=1e-4)
    random, end = (found["parts"][name] for name in ("a random part", "the end of each list"))
    assert random["held over expected"] == pytest.approx([1, 1, 1], abs=0.25) and random["spread"] == pytest.approx(1, abs=0.2)
    assert end["held over expected"][0] > 2 * end["held over expected"][-1] and end["spread"] > 1.5
    assert found["parts"]["published"]["spread"] == pytest.approx(splits.spread_over_items(split), abs=1e-4)


# the systems


def test_small_ones_are_of_all_systems():
    assert list(SMALL) == list(at_scale.SYSTEMS)


@pytest.mark.parametrize("name", SMALL)
def test_a_system_learns_what_popularity_does_not_know(name, split, popularity):
    watched = []
    model = at_scale.SYSTEMS[name].fit(split.known, lambda model, epoch: watched.append((recall(model, split), epoch)), **SMALL[name])
    n_epochs = sum(n for n, _ in SMALL[name].get("stages", []))
    assert [epoch for _, epoch in watched] == list(range(1, n_epochs + 1))
    assert bool(watched) == (name in TRAINED)
    assert np.isfinite(model.score_items(split.queries(np.arange(5)))).all()
    assert recall(model, split) > (popularity + 0.05 if name != "Popularity" else 0.02)


def test_a_grid_fits_its_system():
    for name, system in at_scale.SYSTEMS.items():
        assert all(set(configuration) == set(SMALL[name]) for configuration in configurations(system.grid)), name
        assert name not in TRAINED or len(configurations(system.grid)) == 1


def test_softmax_starts_and_corrects_and_scales_as_it_is_told(split):
    def after(**changed):
        how = SOFTMAX | {"layer_weights": (0.0, 1.0), "served_weights": (0.0, 1.0), "stages": [(1, 1e-9)]} | changed  # as good as untrained
        return at_scale.softmax(split.known, nothing, **how)

    spectral, random = after(), after(start="random")
    start = at_scale.spectral_start(split.known, 8)
    np.testing.assert_allclose(spectral.start.weight.detach(), start, atol=1e-5)
    assert np.abs(random.start.weight.detach().numpy() - start).max() > 0.5
    cosine = after(temperature=0.1)
    assert 5 < np.abs(cosine.score_items(split.queries(np.arange(5)))).max() <= 10.001
    trained = {share: after(correction=share, stages=[(2, 0.02)]) for share in (0.0, 1.0, 1.5)}
    popular = split.known.item_counts()
    means = {share: model.score_items(everyone(split.known)).mean(axis=0) for share, model in trained.items()}
    slopes = [np.corrcoef(means[share], popular)[0, 1] for share in means]
    assert slopes[1] > slopes[0] + 0.1  # without logQ popular items are pushed down
    assert slopes[2] > slopes[1] + 0.02  # with more than logQ they are pulled up


def test_filters_are_the_sums_that_their_names_say(split):
    query = split.queries(np.arange(20))
    low = LowPass(8).fit(split.known).score_items(query)
    halves, step = (0.5, 1.0, 0.5), (0.5, 0.8, 0.35)
    once, twice, plain = (PathFilter(*steps).fit(split.known).score_items(query) for steps in ([step], [step, halves], [halves]))
    for name, expected in (("GF-CF", plain + 0.3 * low), ("LinkProp", once), ("Sharpened filter", once - 0.9 * twice + 0.3 * low)):
        found = at_scale.SYSTEMS[name].fit(split.known, nothing, **SMALL[name]).score_items(query)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_bpr_never_takes_a_known_item_for_a_negative(split, monkeypatch):
    seen = []
    monkeypatch.setattr(at_scale, "_trained", lambda model, known, loss, sampler, *rest: seen.append((loss, sampler, rest)) or model)
    at_scale.bpr(split.known, nothing, **SMALL["LightGCN BPR"])
    loss, sampler, _ = seen[0]
    assert loss is at_scale.losses.bpr_loss
    users, items = split.known.users[:64], split.known.items[:64]
    batch = Batch(Queries(torch.tensor(users)), torch.tensor(items), torch.ones(64), torch.arange(64))
    known_to = split.known.matrix().toarray() > 0
    for seed in range(5):
        negatives = sampler(batch, torch.Generator().manual_seed(seed))
        assert negatives.items.shape == (64, 1)
        np.testing.assert_array_equal(negatives.is_negative[:, 0].numpy(), ~known_to[users, negatives.items[:, 0].numpy()])


# what is stored


ROW = {"name": "B", "family": "linear", "recall@20": 0.2, "seconds": 3.0, "configuration": {"dim": 2}, "curve": [], "figures": {"recall@20 head": 0.3}}


def test_names_load_and_table_read_a_folder(tmp_path):
    assert scale_results.names(tmp_path) == []
    for name, recall in (("A", 0.1), ("B", 0.2)):
        (tmp_path / f"{name}.json").write_text(json.dumps(ROW | {"name": name, "recall@20": recall}))
    assert scale_results.names(tmp_path) == ["B", "A"]
    assert scale_results.load("B", tmp_path) == ROW
    table = scale_results.table(tmp_path)
    assert list(table.index) == ["B", "A"] and list(table["recall@20"]) == [0.2, 0.1]
    assert table.loc["A", "recall@20 head"] == 0.3
    assert not {"configuration", "curve", "figures"} & set(table)
    with pytest.raises(ValueError, match=r"name must be one of \['B', 'A'\]; got 'C'. Train it: GOWALLA=folder make at-scale"):
        scale_results.load("C", tmp_path)


def test_what_is_written_of_a_training(split, monkeypatch, capsys):
    small = at_scale.SYSTEMS["GF-CF"]._replace(grid={"alpha": [0.1, 0.3], "dim": [8]})
    monkeypatch.setitem(at_scale.SYSTEMS, "GF-CF", small)
    row = json.loads(json.dumps(trainer.train("GF-CF", split.known, split.test, 1)))
    assert capsys.readouterr().out.count("recall@20") == 2  # a line a configuration
    assert row["name"] == "GF-CF" and row["family"] == "linear" and row["n_tried"] == len(row["tried"]) == 2
    assert row["configuration"] in [tried["configuration"] for tried in row["tried"]]
    assert max(row["tried"], key=lambda one: one["recall@20"])["configuration"] == row["configuration"]
    _check_row(row)
    fresh = at_scale.SYSTEMS["GF-CF"].fit(split.known, nothing, **row["configuration"])
    figures = evaluation.evaluate(fresh, split)
    assert row["recall@20"] == pytest.approx(figures["recall@20"].mean(), abs=1e-5)
    degrees = split.known.user_counts()[figures.index]
    least = degrees <= np.quantile(degrees, 0.25)
    assert row["by degree"][0] == pytest.approx(figures["recall@20"][least].mean(), abs=1e-5)
    assert row["degrees"][0] == degrees[least].max()


def test_a_watch_counts_the_training_alone_and_looks_at_every_nth_epoch(split, monkeypatch, capsys):
    now = [5.0]
    evaluate = evaluation.evaluate

    def slowly(*arguments):
        now[0] += 100  # judging takes 100 s, an epoch 10
        return evaluate(*arguments)

    monkeypatch.setattr(trainer.time, "process_time", lambda: now[0])
    monkeypatch.setattr(trainer.evaluation, "evaluate", slowly)
    watch = trainer.Watch(split, every=2)
    model = at_scale.SYSTEMS["Popularity"].fit(split.known, nothing)
    for epoch in (1, 2, 3, 4):
        now[0] += 10
        watch(model, epoch)
    assert [row["epoch"] for row in watch.curve] == [2, 4]
    assert [row["seconds"] for row in watch.curve] == [20, 40] and watch.seconds() == 40
    assert 0 < watch.curve[0]["recall@20"] < 1
    capsys.readouterr()


def test_the_sample_of_users_is_judged_as_all_are(split, monkeypatch):
    monkeypatch.setattr(trainer, "N_WATCHED", 40)
    sample = trainer.sample_of(split)
    assert len(sample.test_users()) == 40 and sample.known is split.known
    assert set(sample.test_users()) <= set(split.test_users())
    model = at_scale.SYSTEMS["Popularity"].fit(split.known, nothing)
    all_of_them = evaluation.evaluate(model, split)["recall@20"]
    np.testing.assert_allclose(evaluation.evaluate(model, sample)["recall@20"], all_of_them[sample.test_users()])


def test_a_key_sees_the_grid_and_what_the_fit_uses(monkeypatch):
    keys = {name: trainer.key_of(name) for name in ("LinkProp", "GF-CF", "MF softmax")}
    assert len(set(keys.values())) == len(keys)
    changed = at_scale.SYSTEMS["LinkProp"]._replace(grid={"exponents": [(1, 1, 1)]})
    monkeypatch.setitem(at_scale.SYSTEMS, "LinkProp", changed)
    assert trainer.key_of("LinkProp") != keys["LinkProp"] and trainer.key_of("GF-CF") == keys["GF-CF"]


def _check_row(row):
    figures = [row["recall@20"], row["ndcg@20"], row["coverage"], *row["by degree"], *row["figures"].values()]
    figures += [tried["recall@20"] for tried in row["tried"]]
    assert all(0 <= figure <= 1 for figure in figures)
    assert all(0 < row[f"{name} ±"] < 0.1 for name in ("recall@20", "ndcg@20"))
    assert row["seconds"] >= 0 and row["seconds to judge"] >= 0 and row["peak_mb"] > 0 and row["threads"] >= 1
    assert len(row["by degree"]) == len(row["degrees"]) == 4 and row["degrees"] == sorted(row["degrees"])
    _check_curve(row["curve"])
    assert all(look["seconds"] <= row["seconds"] for look in row["curve"])


def _check_curve(curve):
    assert all(0 < look[name] < 1 for look in curve for name in ("recall@20", "ndcg@20"))
    for figure in ("epoch", "seconds"):
        assert all(earlier[figure] < later[figure] for earlier, later in zip(curve, curve[1:]))


@pytest.mark.parametrize("name", scale_results.names())
def test_a_stored_row_is_of_the_present_code_and_whole(name):
    row = scale_results.load(name)
    assert row["name"] == name and row["key"] == trainer.key_of(name), "out of date; run: GOWALLA=folder make at-scale"
    grid = json.loads(json.dumps(configurations(at_scale.SYSTEMS[name].grid)))  # tuples become lists
    assert row["configuration"] in grid and row["family"] == at_scale.SYSTEMS[name].family
    assert [tried["configuration"] for tried in row["tried"]] == (grid if len(grid) > 1 else [])
    assert len(row["curve"]) > 3 if name in TRAINED else row["curve"] == []
    _check_row(row)


def test_all_systems_are_stored_and_nothing_else():
    assert set(scale_results.names()) == set(at_scale.SYSTEMS), "run: GOWALLA=folder make at-scale"


def test_the_stored_comparison_of_the_parts_is_of_the_present_code():
    assert scale_results.parts()["key"] == trainer.parts_key(), "out of date; run: GOWALLA=folder make at-scale"


# the arms: what each idea bought


def test_an_arm_differs_from_the_one_before_by_what_its_name_says():
    arms = {name: configuration for name, (_, configuration) in at_scale.IDEAS.items()}

    def changed(one, other):
        return {key for key in arms[one] | arms[other] if arms[one].get(key) != arms[other].get(key)}

    assert changed("BPR", "BPR, larger steps") == {"stages"}
    adding = list(arms)[2:-1]
    layers = {"layer_weights", "served_weights"}
    named = [{"correction"}, {"start"}, layers, {"weight_decay"}, {"correction"}, {"served_weights"}, {"dim"}]
    assert [changed(*pair) for pair in zip(adding, adding[1:])] == named
    assert changed("and more than logQ", "but cosine, with 64") == {"temperature"}
    full = at_scale.SYSTEMS["LightGCN softmax"].grid
    assert {key for key, values in full.items() if [arms[adding[-1]][key]] != values} == {"stages"}  # it is only shorter
    assert len({sum(n for n, _ in configuration["stages"]) for configuration in arms.values()}) == 1


def test_ideas_reads_a_folder_in_order_and_leaves_out_what_is_not_there(tmp_path):
    for name in ("and logQ", "BPR"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"key": name, "curve": []}))
    assert list(scale_results.ideas(tmp_path).items()) == [(name, {"key": name, "curve": []}) for name in ("BPR", "and logQ")]


@pytest.mark.parametrize("name", scale_results.ideas())
def test_a_stored_arm_is_of_the_present_code_and_whole(name):
    arm = scale_results.ideas()[name]
    assert arm["key"] == trainer.key_of(name), "out of date; run: GOWALLA=folder make at-scale"
    assert [look["epoch"] for look in arm["curve"]] == [1, 2]
    _check_curve(arm["curve"])


def test_all_arms_are_stored():
    assert set(scale_results.ideas()) == set(at_scale.IDEAS), "run: GOWALLA=folder make at-scale"


@pytest.mark.skipif(not os.environ.get("GOWALLA"), reason="Gowalla has no licence to be shared: GOWALLA=folder runs this")
@pytest.mark.parametrize("name", ["LinkProp", "GF-CF"])
def test_stored_figures_are_those_of_the_model_on_gowalla(name):
    known, test = datasets.gowalla(os.environ["GOWALLA"])
    row = scale_results.load(name)
    model = at_scale.SYSTEMS[name].fit(known, nothing, **row["configuration"])
    figures = evaluation.evaluate(model, Split(known, test))
    for column in ("recall@20", "ndcg@20"):
        assert figures[column].mean() == pytest.approx(row[column], abs=5e-4)
