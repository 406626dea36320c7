"""The benchmark's stored results and its page agree, its sentences follow from the results, and its plain sides are right."""

import re
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from bench import growth, measuring, page, plain, scale
from recsys_lite import evaluation, graphs, splits
from recsys_lite.interactions import Interactions


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return page.read()


@pytest.fixture(scope="module")
def stored() -> str:
    return page.PAGE.read_text(encoding="utf-8")


def rows_of(text: str, head: str) -> list[list[str]]:
    """The rows of the table whose head has this column."""
    lines = text.split("\n")
    start = next(place for place, line in enumerate(lines) if line.startswith("|") and f"| {head} |" in line)
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            return rows
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


# the page


def test_the_page_is_what_the_results_give(tables, stored):
    assert page.render(tables) == stored, "run: bench/.venv/bin/python -m bench page"


def test_every_pair_is_on_the_page_or_its_absence_is(tables, stored):
    n_ran = tables["times"]["pair"].nunique()
    assert len(rows_of(stored, "ratio of times")) == n_ran
    n_absent = len([line for line in page.absent(tables).split("\n") if line.startswith("- ")])
    assert n_ran + n_absent == len(page.PAIRS)


def test_ratios_and_their_verdicts_follow_from_the_runs(tables, stored):
    times, rows = tables["times"], rows_of(stored, "ratio of times")
    names = [name for name in page.PAIRS if name in set(times["pair"])]
    verdicts = []
    for name, row in zip(names, rows, strict=True):
        one = times[times["pair"] == name].sort_values("run")
        ours, theirs = (one.loc[one["side"] == side, "processor"].to_numpy() for side in ("ours", "theirs"))
        assert len(ours) == len(theirs) >= 3
        shown = [float(number) for number in re.findall(r"\d+\.\d+", row[4])]
        assert shown == [round(value, 2) for value in (np.median(ours / theirs), (ours / theirs).min(), (ours / theirs).max())]
        allowed = page.PAIRS[name].target
        verdicts.append("none set" if allowed is None else "met" if np.median(ours / theirs) <= allowed else "missed")
        assert row[-1] == verdicts[-1]
    n_met, n_missed = verdicts.count("met"), verdicts.count("missed")
    assert f"of the {n_met + n_missed} targets for time {n_met} are met and {n_missed} missed" in stored
    for name, said in zip(names, verdicts, strict=True):
        assert said != "missed" or f"**{page.PAIRS[name].title} beside {page.PAIRS[name].peer}: " in stored


def test_the_runs_were_on_one_thread(tables):
    clock, processor = tables["times"]["clock"], tables["times"]["processor"]
    assert (processor < 1.1 * clock + 0.001).all()


def test_quality_follows_from_the_figures_per_user(tables, stored):
    users, rows = tables["quality"], rows_of(stored, "gain of the package")
    names = [name for name in page.PAIRS if name in set(users["pair"])]
    worse = 0
    for name, row in zip(names, rows, strict=True):
        one = users[users["pair"] == name]
        gains = (one["ours"] - one["theirs"]).to_numpy()
        if name == "ratings":
            assert [float(row[place]) for place in (3, 4)] == [
                pytest.approx(np.average(one[side], weights=one["weight"]) ** 0.5, abs=5e-5) for side in ("ours", "theirs")
            ]
            gains = np.sqrt(one["theirs"].to_numpy()) - np.sqrt(one["ours"].to_numpy())
        half = 1.96 * gains.std(ddof=1) / len(gains) ** 0.5
        assert row[5] == f"{gains.mean():+.4f} ± {half:.4f}"
        if half == 0:
            assert row[-1] == "the same" and (gains == 0).all()
            continue
        place = int(gains.mean() > half) - int(gains.mean() < -half)
        assert row[-1] == {-1: "worse", 0: "not distinguishable", 1: "better"}[place]
        worse += place == -1
    assert (f"worse by more than the interval in {worse} of {len(names)}" in stored) == (worse > 0)


def test_memory_and_its_verdicts_follow_from_the_results(tables, stored):
    both, rows = tables["memory"].set_index(["pair", "side"])["megabytes"], rows_of(stored, "no more than the peer's")
    names = [name for name in page.PAIRS if name in set(tables["memory"]["pair"])]
    assert {"als", "item_knn", "evaluation", "lightgcn"} <= set(names)
    over = 0
    for name, row in zip(names, rows, strict=True):
        ours, theirs = both[name, "ours"], both[name, "theirs"]
        assert row[-1] == ("met" if ours <= theirs else "missed")
        assert [float(cell.removesuffix(" MB").replace(",", "")) for cell in row[2:4]] == pytest.approx([ours, theirs], rel=0.01)
        over += ours > theirs
        assert (f"{page.PAIRS[name].title} beside {page.PAIRS[name].peer}: {ours - theirs:,.3g} MB more" in stored) == (ours > theirs)
    assert f"no more than its peer in {len(names) - over}." in stored


def test_the_largest_sizes_and_where_it_ends(tables, stored):
    rows, found = rows_of(stored, "which makes, at the largest,"), tables["scale"]
    assert [row[0] for row in rows] == list(scale.CASES) == list(dict.fromkeys(found["what"]))
    largest = found[found["interactions"] == found["interactions"].max()].set_index("what")
    steps = largest.loc["LightGCN in-batch, a step"]
    assert f"an epoch: {page.duration(steps['processor'] * steps['interactions'] / 2048 / 3600)}" in rows[5][-1]
    assert rows[2][-1] == f"15 iterations: {page.duration(largest.loc['ImplicitALS, an iteration', 'processor'] * 15 / 3600)}"
    assert rows[6][-1] == f"all users: {page.duration(largest.iloc[6]['processor'] * steps['users'] / 2000 / 3600)}"
    changed = {name: table.copy() for name, table in tables.items()}
    changed["scale"].loc[changed["scale"]["what"] == "ItemKNN, fit", "processor"] = [1.0, 50_000.0, 60_000.0]
    assert "- **ItemKNN, fit** stops being practical between the size before and 6 million events: once would take 13.9 hours" in page.ends(changed)
    changed["scale"]["processor"], changed["scale"]["megabytes"] = 1e-3, 1.0
    assert "All of these are, up to the largest size." in page.ends(changed)
    changed["scale"].loc[0, "megabytes"] = 13_000
    assert "Interactions from shuffled events** stops being practical" in page.ends(changed)


@pytest.mark.parametrize("hours, words", [(2.04, "2.0 hours"), (0.5, "30 minutes"), (0.01, "36 seconds")])
def test_a_duration_is_said_in_its_own_unit(hours, words):
    assert page.duration(hours) == words


def test_the_largest_sizes_are_measured_one_by_one(monkeypatch):
    monkeypatch.setattr(scale, "SIZES", [growth.Sizes(50, 40, 400, 4, 16), growth.Sizes(60, 40, 500, 4, 16)])
    rows = list(scale.measure())
    assert [row["what"] for row in rows] == [*scale.CASES] * 2 and [row["interactions"] for row in rows] == [400] * 7 + [500] * 7
    assert all(row["processor"] > 0 and row["megabytes"] >= 0 for row in rows)


def test_growth_is_the_slope_of_the_logarithms(tables, stored):
    runs = tables["growth"]
    one = runs[(runs["what"] == "MF full softmax, 5 steps") & (runs["axis"] == "items")].groupby("size")["processor"].median()
    x, y = np.log(one.index.to_numpy(float)), np.log(one.to_numpy())
    by_hand = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
    (row,) = [line for line in stored.split("\n") if line.startswith("| MF full softmax")][:1]
    assert row.split("|")[3].strip().startswith(f"{by_hand:.2f} (")


def test_other_results_make_another_page(tables, stored):
    changed = {name: table.copy() for name, table in tables.items()}
    slower = (changed["times"]["pair"] == "evaluation") & (changed["times"]["side"] == "ours")
    changed["times"].loc[slower, "processor"] *= 100
    text = page.render(changed)
    assert text != stored and "**evaluation of all users beside a loop over users: " in text
    changed["quality"].loc[changed["quality"]["pair"] == "als", "ours"] -= 0.05
    assert "**The package is worse by more than the interval" in page.render(changed)
    changed["times"] = changed["times"][changed["times"]["pair"] != "als"]
    changed["facts"].loc[len(changed["facts"])] = ["als", "not installed", "implicit"]
    assert "`implicit` could not be installed here" in page.render(changed)


def test_figures_are_there_small_and_described(stored, tables, tmp_path):
    shown = re.findall(r"!\[(.{60,})\]\(\.\./_static/bench/(\w+)\.png\)", stored)
    assert [name for _, name in shown] == ["speed", "quality", "growth"]
    for _, name in shown:
        assert 5_000 < (page.FIGURES / f"{name}.png").stat().st_size < 120_000
    page.figures(tables, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.png" for _, name in shown}


def test_no_result_holds_a_folder_of_a_machine(tables):
    text = " ".join(path.read_text(encoding="utf-8") for path in page.RESULTS.glob("*.csv"))
    assert not re.search(r"/(home|root|tmp|work|Users)/|[A-Z]:\\", text)


def test_reading_needs_every_table(tmp_path):
    shutil.copytree(page.RESULTS, tmp_path / "results")
    (tmp_path / "results" / "profile.csv").unlink()
    with pytest.raises(FileNotFoundError, match="profile.csv"):
        page.read(tmp_path / "results")


# what measures


@pytest.fixture(scope="module")
def small() -> Interactions:
    random = np.random.default_rng(0)
    pairs = np.unique(random.integers(40 * 60, size=500))
    return Interactions.from_events(pairs // 60, pairs % 60, 40, 60)


def test_the_loop_finds_what_the_package_finds(small):
    split = splits.at_random(small)
    random = np.random.default_rng(1)
    users, items = random.normal(size=(40, 8)), random.normal(size=(60, 8))

    class Dot:
        n_items = 60

        def score_items(self, queries):
            return users[queries.users.numpy()] @ items.T

    figures = evaluation.evaluate(Dot(), split)
    loop = pd.DataFrame(plain.evaluate(users, items, split), index=figures.index)[figures.columns]
    pd.testing.assert_frame_equal(loop, figures, check_names=False)


def test_the_plain_lightgcn_has_the_package_s_vectors_and_gradient(small):
    matrix = graphs.normalised_adjacency(small)
    model = graphs.LightGCN(matrix, small.n_users, 4, 3)
    other = plain.LightGCN(matrix, small.n_users, model.start.weight.detach(), 3)
    torch.testing.assert_close(other.nodes(), model.nodes())
    weights = torch.randn(100, 4, generator=torch.Generator().manual_seed(0))
    for nodes in (model.nodes(), other.nodes()):
        (weights * nodes).sum().backward()
    torch.testing.assert_close(other.start.grad, model.start.weight.grad)
    users, positives, others = torch.tensor([0, 1]), torch.tensor([2, 3]), torch.tensor([4, 5])
    nodes = model.nodes()
    margins = [nodes[u] @ (nodes[40 + p] - nodes[40 + n]) for u, p, n in zip(users, positives, others)]
    torch.testing.assert_close(other.bpr(users, positives, others), -F.logsigmoid(torch.stack(margins)).mean())


def test_sides_take_turns_and_the_warm_runs_do_not_count():
    order = []
    results, rows = measuring.in_turn({"ours": lambda: order.append("o"), "theirs": lambda: order.append("t")}, 2)
    assert "".join(order) == "to" + "ot" + "to" and len(rows) == 4
    assert [row["run"] for row in rows] == [0, 0, 1, 1] and set(results) == {"ours", "theirs"}
    assert len(measuring.in_turn({"ours": int}, 3, warm=False)[1]) == 3


def test_a_profile_names_functions_without_folders():
    names = [name for name, _ in measuring.heaviest(lambda: sorted(np.arange(1000)), 5)]
    assert names and "builtins.sorted" in names and not any("/" in name for name in names)
    assert measuring.readable(("/somewhere/recsys_lite/factorization.py", 3, "_solve")) == "factorization._solve"


def test_memory_is_that_of_the_call():
    seconds, megabytes = measuring.in_a_child(lambda: lambda: np.ones(5_000_000).sum(), 2)
    assert len(seconds) == 2 and 35 < megabytes < 60


def test_memory_of_two_sides_and_a_single_run():
    found = measuring.peaks({"ours": lambda: np.ones(5_000_000).sum(), "theirs": lambda: np.ones(1_000_000).sum()})
    assert 35 < found["ours"] < 60 and 6 < found["theirs"] < 15
    calls = []
    seconds, _ = measuring.in_a_child(lambda: lambda: calls.append(1) or np.ones(len(calls) * 1_000_000).sum(), 1, warm=False)
    assert len(seconds) == 1


@pytest.mark.parametrize("gain, half, word", [(0.1, 0.05, "better"), (-0.1, 0.05, "worse"), (0.04, 0.05, "not distinguishable")])
def test_a_verdict_needs_more_than_the_interval(gain, half, word):
    assert page.verdict(gain, half) == word
