"""The page of the benchmark from the stored results alone: tables, sentences that follow from them, figures."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from recsys_lite import plots
from recsys_lite.evaluation import paired_difference
from recsys_lite.palette import COLOURS

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
PAGE = ROOT / "book" / "appendix" / "bench.md"
FIGURES = ROOT / "book" / "_static" / "bench"
TABLES = ("times", "quality", "facts", "profile", "memory", "seconds", "growth", "scale", "setup")
HOURS, GIGABYTES = 8, 12  # what is called practical on one machine: a night, and what leaves room beside it


class Pair(NamedTuple):
    """What stands beside what; target: the time allowed, as a share of the peer's; why: said when it is missed."""

    title: str
    peer: str
    target: float | None
    why: str
    unit: str = "NDCG@10"


STEPS = (
    "The package solves all rows together by conjugate gradients until the residual is a millionth, some steps of numpy over all "
    "events; the peer has compiled code for each row."
)
TORCH = (
    "The package takes a matrix product of 256 rows with 256 negatives and moves every row of both tables at each step; the "
    "peer is compiled code that touches three vectors an update."
)
PAIRS = {
    "als": Pair("ImplicitALS, exact", "implicit, Cholesky", 1.0, STEPS),
    "als_weighted": Pair("ImplicitALS, exact, alpha = 2", "implicit, Cholesky, alpha = 2", 1.0, STEPS),
    "als_cg": Pair(
        "ImplicitALS, exact", "implicit, its default (3 conjugate-gradient steps)", 1.0,
        f"{STEPS} It also stops after three steps, wherever they led.",
    ),
    "als_gowalla": Pair(
        "ImplicitALS, Gowalla, exact, an iteration", "implicit, its default (3 conjugate-gradient steps)", None,
        f"{STEPS} It also stops after three steps, wherever they led.",
    ),
    "item_knn": Pair(
        "ItemKNN", "implicit, CosineRecommender", 1.0,
        "The package multiplies a block of rows, then looks for the largest of each; the peer keeps the largest in a heap while "
        "it multiplies.",
    ),
    "item_knn_gowalla": Pair(
        "ItemKNN, Gowalla", "implicit, CosineRecommender", None,
        "The package multiplies a block of rows, then looks for the largest of each; the peer keeps the largest in a heap while "
        "it multiplies.",
    ),
    "bpr_implicit": Pair("MF by BPR, training", "implicit, BayesianPersonalizedRanking", None, TORCH),
    "bpr_cornac": Pair("MF by BPR, training", "cornac, BPR", None, TORCH),
    "ratings": Pair(
        "ExplicitMF", "scikit-surprise, SVD", None,
        "The package solves a system for every user and every film, ten times over; the peer takes gradient steps in compiled code.",
        "RMSE in stars",
    ),
    "evaluation": Pair(
        "evaluation of all users", "a loop over users", 0.1,
        "With 2,078 items a sort is cheap, so that the loop loses Python's own steps only; in the package, the scores themselves, "
        "selecting the largest and looking up the hits take the most. With Gowalla's 40,981 items the sort counts.",
    ),
    "evaluation_gowalla": Pair("evaluation of 2,000 users, Gowalla", "a loop over users", 0.1, ""),
    "lightgcn": Pair(
        "LightGCN step, MovieLens", "torch sparse COO and autograd", 1 / 3,
        "The graph is small: beside the products, the gathers, the loss and the optimiser are the same on both sides and "
        "bound what a faster product can bring.",
    ),
    "lightgcn_gowalla": Pair(
        "LightGCN step, Gowalla", "torch sparse COO and autograd", 1 / 3,
        "Five products with the matrix, and one with the rows of the batch, are most of the package's step.",
    ),
    "lightgcn_recbole": Pair("LightGCN step, MovieLens", "RecBole, LightGCN", None, ""),
    "lightgcn_recbole_gowalla": Pair("LightGCN step, Gowalla", "RecBole, LightGCN", None, ""),
    "softmax": Pair("sampled softmax step, MovieLens", "F.cross_entropy over the catalogue", None, ""),
    "softmax_gowalla": Pair("sampled softmax step, Gowalla", "F.cross_entropy over the catalogue", None, ""),
}  # fmt: skip


HELD = {  # what takes the package's memory where it needs more: found by running the same with other sizes of block
    "als_gowalla": "The tables of vectors are copied, into other coordinates and back; smaller blocks of rows would save a tenth.",
    "als": "More than half of the difference goes with the blocks: the vectors of all events of 512 rows are held together, twice. "
    "Smaller blocks need less and take longer.",
    "item_knn": "All of the difference goes with the blocks: the similarities of 256 items to all others are held together. "
    "Smaller blocks need less and take longer.",
    "evaluation": "More than half of the difference goes with the blocks: the scores of 512 users are held together, with what sorts "
    "them; the loop has one user at a time.",
    "lightgcn": "The gathered rows of the batch and their gradients are held beside the layers.",
}


class Job(NamedTuple):
    """What a measured case is a part of, and how many of it that takes."""

    name: str
    times: Callable[[pd.Series], float]


WHOLE = {
    "Interactions from shuffled events": Job("once", lambda row: 1),
    "a random split": Job("once", lambda row: 1),
    "ImplicitALS, an iteration": Job("15 iterations", lambda row: 15),
    "ItemKNN, fit": Job("once", lambda row: 1),
    "MF in-batch, 20 steps": Job("an epoch", lambda row: row["interactions"] / 2048 / 20),
    "LightGCN in-batch, a step": Job("an epoch", lambda row: row["interactions"] / 2048),
    "evaluation of 2,000 users": Job("all users", lambda row: row["users"] / 2000),
}


def read(folder: Path = RESULTS) -> dict[str, pd.DataFrame]:
    """The stored tables by name; facts and setup as text."""
    as_text = {"facts", "setup"}
    return {name: pd.read_csv(folder / f"{name}.csv", dtype=str if name in as_text else None) for name in TABLES}


# what follows from the tables


def speed(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """A row a pair that ran: median milliseconds of both, median, least and largest of the runs' ratios."""
    rows = {}
    for name, runs in tables["times"].groupby("pair"):
        sides = runs.pivot(index="run", columns="side", values="processor")
        ratios = sides["ours"] / sides["theirs"]
        medians = 1000 * sides.median()
        rows[name] = {
            **medians,
            "ratio": ratios.median(),
            "least": ratios.min(),
            "largest": ratios.max(),
            "n": len(ratios),
        }
    return pd.DataFrame.from_dict(rows, orient="index").reindex([name for name in PAIRS if name in rows])


def quality(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """A row a pair that is judged: both sides, the gain of the package, the half width of its 95% interval, a verdict."""
    rows = {}
    for name, users in tables["quality"].groupby("pair"):
        if PAIRS[name].unit == "NDCG@10":
            shown = users[["ours", "theirs"]].mean()
            gain, half = paired_difference(users["ours"], users["theirs"])
        else:  # mean squares a user: the difference is of the users' own root mean squares, less is better
            shown = np.sqrt(users[["ours", "theirs"]].multiply(users["weight"], axis=0).sum() / users["weight"].sum())
            gain, half = paired_difference(np.sqrt(users["theirs"]), np.sqrt(users["ours"]))
        rows[name] = {
            "ours": shown["ours"],
            "theirs": shown["theirs"],
            "gain": gain,
            "half": half,
            "verdict": verdict(gain, half),
        }
    return pd.DataFrame.from_dict(rows, orient="index").reindex([name for name in PAIRS if name in rows])


def verdict(gain: float, half: float) -> str:
    if gain == 0 and half == 0:
        return "the same"
    return "better" if gain > half else "worse" if gain < -half else "not distinguishable"


def met(name: str, ratio: float) -> str:
    target = PAIRS[name].target
    return "none set" if target is None else "met" if ratio <= target else "missed"


def memory(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """A row a pair whose memory was measured: MB of both sides, and whether the package's is no more than the peer's."""
    sides = tables["memory"].pivot(index="pair", columns="side", values="megabytes").reindex(columns=["ours", "theirs"])
    return sides.assign(met=sides["ours"] <= sides["theirs"]).reindex([name for name in PAIRS if name in sides.index])


def at_scale(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """A row a case and size: what was measured, and the hours of the whole job that it is a part of."""
    rows = tables["scale"].copy()
    jobs = [WHOLE[what] for what in rows["what"]]
    times = [job.times(row) for job, (_, row) in zip(jobs, rows.iterrows())]
    hours = rows["processor"] * times / 3600
    practical = (hours <= HOURS) & (rows["megabytes"] <= 1024 * GIGABYTES)
    return rows.assign(job=[job.name for job in jobs], hours=hours, practical=practical)


def slopes(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The slope of log time, and of log memory, over log size: 1 is proportional, 2 quadratic. One row a case and axis."""
    rows = []
    for (what, axis), runs in tables["growth"].groupby(["what", "axis"], sort=False):
        medians = runs.groupby("size")[["processor", "megabytes"]].median()
        row = {
            "what": what,
            "axis": axis,
            "time": slope(medians["processor"]),
            "seconds": medians["processor"].iloc[-1],
        }
        rows.append(row | {"memory": slope(medians["megabytes"]), "megabytes": medians["megabytes"].iloc[-1]})
    return pd.DataFrame(rows)


def slope(values: pd.Series) -> float:
    """NaN where a value is too small to be measured."""
    if (values < 1e-4).any() or values.name == "megabytes" and (values < 1).any():
        return np.nan
    return float(np.polyfit(np.log(values.index.to_numpy(float)), np.log(values), 1)[0])


# as words


def markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def milliseconds(value: float) -> str:
    return f"{value / 1000:,.2f} s" if value >= 1000 else f"{value:,.3g} ms"


def speed_table(tables: dict[str, pd.DataFrame]) -> str:
    rows = []
    for name, row in speed(tables).iterrows():
        pair = PAIRS[name]
        target = "none" if pair.target is None else f"{pair.target:.2g}"
        ratio = f"**{row['ratio']:.2f}** ({row['least']:.2f} to {row['largest']:.2f}, {row['n']:.0f} runs)"
        rows.append(
            [
                pair.title,
                pair.peer,
                milliseconds(row["ours"]),
                milliseconds(row["theirs"]),
                ratio,
                target,
                met(name, row["ratio"]),
            ]
        )
    return markdown(["package", "peer", "package's time", "peer's time", "ratio of times", "allowed", "target"], rows)


def quality_table(tables: dict[str, pd.DataFrame]) -> str:
    rows = []
    for name, row in quality(tables).iterrows():
        pair = PAIRS[name]
        gain = f"{row['gain']:+.4f} ± {row['half']:.4f}"
        rows.append(
            [pair.title, pair.peer, pair.unit, f"{row['ours']:.4f}", f"{row['theirs']:.4f}", gain, row["verdict"]]
        )
    return markdown(["package", "peer", "measure", "package", "peer", "gain of the package", "so the package is"], rows)


def memory_table(tables: dict[str, pd.DataFrame]) -> str:
    rows = []
    for name, row in memory(tables).iterrows():
        sides = [f"{row[side]:,.3g} MB" if row[side] < 100 else f"{row[side]:,.0f} MB" for side in ("ours", "theirs")]
        rows.append([PAIRS[name].title, PAIRS[name].peer, *sides, "met" if row["met"] else "missed"])
    return markdown(["package", "peer", "package's memory", "peer's memory", "no more than the peer's"], rows)


def remembered(tables: dict[str, pd.DataFrame]) -> str:
    found = memory(tables)
    over = [
        f"- **{PAIRS[name].title} beside {PAIRS[name].peer}: {row['ours'] - row['theirs']:,.3g} MB more.** "
        + next(why for kind, why in HELD.items() if name.startswith(kind))
        for name, row in found[~found["met"].astype(bool)].iterrows()
    ]
    said = f"Of {len(found)} pairs the package needs no more than its peer in {len(found) - len(over)}."
    return f"{said} Where it needs more:\n\n" + "\n".join(over) if over else said


def scale_table(tables: dict[str, pd.DataFrame]) -> str:
    found, rows = at_scale(tables), []
    for what, cases in found.groupby("what", sort=False):
        cells = [f"{row['processor']:,.3g} s, {row['megabytes']:,.0f} MB" for _, row in cases.iterrows()]
        last = cases.iloc[-1]
        rows.append([what, *cells, f"{last['job']}: {duration(last['hours'])}"])
    heads = [f"{row.users:,} users, {row.items:,} items, {row.interactions / 1e6:g} million" for row in sizes(found)]
    return markdown(["", *heads, "which makes, at the largest,"], rows)


def sizes(found: pd.DataFrame) -> list:
    return list(found[["users", "items", "interactions"]].drop_duplicates().itertuples(index=False))


def duration(hours: float) -> str:
    return f"{hours:,.1f} hours" if hours >= 1 else f"{60 * hours:.0f} minutes" if hours >= 1 / 30 else f"{3600 * hours:.0f} seconds"


def ends(tables: dict[str, pd.DataFrame]) -> str:
    """Where it stops being practical, in a sentence a case that does."""
    found, lines = at_scale(tables), []
    for what, cases in found.groupby("what", sort=False):
        over = cases[~cases["practical"]]
        if len(over):
            first = over.iloc[0]
            lines.append(
                f"- **{what}** stops being practical between the size before and {first['interactions'] / 1e6:g} million events"
                f": {first['job']} would take {duration(first['hours'])}, with {first['megabytes']:,.0f} MB added."
            )
    rule = f"Call a job practical on one machine if it takes at most {HOURS} hours of one processor and adds at most {GIGABYTES} GB."
    largest = found[found["interactions"] == found["interactions"].max()]
    slowest, heaviest = largest.loc[largest["hours"].idxmax()], largest.loc[largest["megabytes"].idxmax()]
    most = (
        f"At the largest size the longest job is that of {slowest['what']}, {duration(slowest['hours'])} for {slowest['job']}, and "
        f"{heaviest['what']} adds the most memory, {heaviest['megabytes']:,.0f} MB."
    )
    verdict = "\n".join(lines) if lines else "All of these are, up to the largest size."
    return f"{rule} {most}\n\n{verdict}" if lines else f"{rule} {verdict} {most}"


def misses(tables: dict[str, pd.DataFrame]) -> str:
    """A paragraph a missed target and a loss of time without one, each with what the profile says."""
    lines = []
    for name, row in speed(tables).iterrows():
        if met(name, row["ratio"]) == "missed" or (PAIRS[name].target is None and row["least"] > 1):
            said = f"- **{PAIRS[name].title} beside {PAIRS[name].peer}: {row['ratio']:.2f} times its time.** {PAIRS[name].why}"
            lines.append(f"{said} {profile(tables, name)}".replace("  ", " "))
    return "\n".join(lines) if lines else "Every target is met, and nothing is slower than its peer."


def profile(tables: dict[str, pd.DataFrame], name: str) -> str:
    found = tables["profile"][tables["profile"]["pair"] == name]
    shares = ", ".join(f"`{function}` {share:.0%}" for function, share in zip(found["function"], found["share"]))
    return f"Own time in the package's profile: {shares}."


def absent(tables: dict[str, pd.DataFrame]) -> str:
    lines = []
    missing = tables["facts"][tables["facts"]["fact"] == "not installed"].set_index("pair")["value"]
    for name, pair in PAIRS.items():
        if name in missing.index:
            lines.append(f"- {pair.title} beside {pair.peer}: `{missing[name]}` could not be installed here.")
        elif name not in set(tables["times"]["pair"]):
            lines.append(f"- {pair.title} beside {pair.peer}: not run, for want of its data.")
    return "\n".join(lines) if lines else "Every library could be installed, and every pair ran."


def fact(tables: dict[str, pd.DataFrame], pair: str, name: str) -> float:
    facts = tables["facts"]
    return float(facts[(facts["pair"] == pair) & (facts["fact"] == name)]["value"].iloc[0])


def growth_table(tables: dict[str, pd.DataFrame], value: str, largest: str, form: str) -> str:
    found, axes = slopes(tables), ["users", "items", "interactions", "dimension", "batch"]
    rows = []
    for what, cases in found.groupby("what", sort=False):
        cases = cases.set_index("axis")[[value, largest]]
        cells = ["" if axis not in cases.index else cell(*cases.loc[axis], form) for axis in axes]
        rows.append([what, *cells])
    return markdown(["", *axes], rows)


def cell(exponent: float, largest: float, form: str) -> str:
    return "too small to tell" if np.isnan(exponent) else f"{exponent:.2f} ({form.format(largest)})"


def worse(tables: dict[str, pd.DataFrame]) -> str:
    found = quality(tables)
    names = [f"{PAIRS[name].title} beside {PAIRS[name].peer}" for name in found.index[found["verdict"] == "worse"]]
    if not names:
        return "In none of these pairs is the package worse than its peer by more than the interval."
    return f"**The package is worse by more than the interval in {len(names)} of {len(found)}:** {'; '.join(names)}."


def counted(tables: dict[str, pd.DataFrame]) -> str:
    found = speed(tables)
    verdicts = [met(name, row["ratio"]) for name, row in found.iterrows()]
    n_faster, n_set = int((found["largest"] < 1).sum()), len(verdicts) - verdicts.count("none set")
    return (
        f"Of {len(found)} pairs the package is faster than its peer in {n_faster}, in every run; of the {n_set} targets "
        f"for time {verdicts.count('met')} are met and {verdicts.count('missed')} missed."
    )


def agreement(tables: dict[str, pd.DataFrame]) -> str:
    apart = max(
        fact(tables, name, "vectors apart, by how far they moved")
        for name in PAIRS
        if name.startswith("lightgcn") and name in set(tables["times"]["pair"])
    )
    figures = fact(tables, "evaluation", "largest difference of a figure")
    return (
        f"Where both sides compute the same thing, it is checked that they do: the figures of the two evaluations differ by at "
        f"most {figures:.0e}, and the vectors of the LightGCNs, from the same start over the same batches, lie apart by at most "
        f"{apart:.0e} of the way that they went."
    )


def render(tables: dict[str, pd.DataFrame]) -> str:
    """The whole page."""
    setup = tables["setup"].set_index("name")["value"]
    versions = ", ".join(
        f"{name} {setup[name]}" for name in ("numpy", "scipy", "torch", "implicit", "cornac", "scikit-surprise", "recbole")
    )
    return TEXT.format(
        counted=counted(tables), speed=speed_table(tables), quality=quality_table(tables), worse=worse(tables),
        misses=misses(tables), absent=absent(tables), agreement=agreement(tables),
        memory=memory_table(tables), remembered=remembered(tables), scale=scale_table(tables), ends=ends(tables),
        growth_time=growth_table(tables, "time", "seconds", "{:.2g} s"),
        growth_memory=growth_table(tables, "memory", "megabytes", "{:.0f} MB"),
        dimension=32, minutes=f"{tables['seconds']['seconds'].sum() / 60:.0f}", processor=setup["processor"], cores=setup["cores"],
        python=setup["python"], versions=versions, date=setup["date"], load=setup["load average"],
        alt_speed=alt_speed(tables), alt_quality=alt_quality(tables), alt_growth=alt_growth(tables),
    )  # fmt: skip


def alt_speed(tables: dict[str, pd.DataFrame]) -> str:
    said = "; ".join(
        f"{PAIRS[name].title} beside {PAIRS[name].peer} {row['ratio']:.2f}" for name, row in speed(tables).iterrows()
    )
    return f"The package's time divided by the peer's, on a logarithmic axis, a dot a pair: {said}."


def alt_quality(tables: dict[str, pd.DataFrame]) -> str:
    found = quality(tables)
    rows = [
        f"{PAIRS[name].peer} {row['gain']:+.4f} ± {row['half']:.4f}" for name, row in found.iterrows() if by_ndcg(name)
    ]
    return f"The package's NDCG@10 less the peer's, with 95% intervals around: {'; '.join(rows)}."


def alt_growth(tables: dict[str, pd.DataFrame]) -> str:
    found = slopes(tables)
    said = "; ".join(f"{row['what']} slope {row['time']:.2f}" for _, row in found[found["axis"] == "items"].iterrows())
    return f"Time against the number of items, both axes logarithmic, a line a case: {said}."


def by_ndcg(name: str) -> bool:
    return PAIRS[name].unit == "NDCG@10" and not name.startswith("evaluation")


TEXT = """\
---
description: The package beside implicit, cornac, scikit-surprise, RecBole and plain code - times, memory, quality, growth.
---

# Beside other libraries

*How fast is the package, and does it get there by doing less?*

The package is written to be read. This page measures what that costs. Each model stands beside a library's, or beside the code that
one writes first, on the same data, the same machine and one thread. {counted}

Both sides run in turn, and every second run the other one begins. A time is processor time, the median over the runs. The ratio is the
package's time over the peer's in the same run: the median, and in brackets the least and the largest. Below 1 the package is faster.

{speed}
![{alt_speed}](../_static/bench/speed.png)

The data are the book's: MovieLens ml-latest-small by the protocol of [Evaluation](../foundations/evaluation.ipynb), fitted on train and
valid. Models are fitted whole, but on Gowalla ALS runs one iteration, with 256 dimensions, alpha = 10 and penalty 20; a step is one batch of 2,048 events, 64 dimensions, forward, backward and optimiser. LightGCN has three layers and one
negative a row; sampled softmax draws 255 negatives on MovieLens and 1,024 on Gowalla. Ratings are all 100,004, a random fifth of them the test.

## Quality beside speed

A fast model that ranks badly has won nothing. So the package's evaluation judges both sides on the same test users, and their difference
is taken user by user. The interval is 1.96 standard errors of that difference. Both sides were tuned on valid, or share one
configuration where they minimise the same sum. MF by BPR has the configuration of its row in the leaderboard, but the peers' 64 dimensions. The gain is
positive where the package is better, for errors too. For stars, both columns are over all test ratings, but the gain is the mean over users of the
difference between their own errors, so that the columns do not subtract to it.

{quality}
{worse}

![{alt_quality}](../_static/bench/quality.png)

{agreement} The row of sampled softmax takes both models from the stored [leaderboard](../systems/leaderboard.ipynb).
ItemKNN differs in one choice: the package keeps the nearest of the item that is scored, the library the nearest of the item that was liked.

## Slower than allowed, or than the peer, and why

{misses}

## Memory

What one call adds to the memory of its process at its peak, each side in a process of its own. The data and, for a step, the model and the
optimiser's moments are there before and do not count.

{memory}
{remembered}

## Growth

Random events, popular items more often. One size doubles three times, the others stay at 3,000 users, 3,000 items, 100,000 events, 32 dimensions and
batches of 512. The number is the slope of the logarithm of time over that of the size: 0 does not care, 1 is proportional, 2 is
quadratic. In brackets stands the time at the largest size.

{growth_time}
![{alt_growth}](../_static/bench/growth.png)

The same for memory: what the call adds at its peak, measured in a process of its own.

{growth_memory}
## A million users

One run of each at three sizes, users, items and events growing together, with {dimension} dimensions and batches of 2,048. The memory is what the call
adds to that of the data.

{scale}
{ends}

## What is left out

{absent}

RecBole builds LightGCN's matrix by a method that the installed scipy no longer has, so here it is given the matrix; the step is its own, with its
penalty on the vectors set to 0.

Graphics cards and several threads are not measured. The growth axes end where the largest case takes some seconds, so that
the whole stays under half an hour; a slope holds between its ends and no farther. The training of LightGCN and of softmax on Gowalla is measured
by the step, not to the end, so there is no quality there.

## Run it again

`make bench` installs the libraries beside the book's environment, measures everything, stores the results under `bench/results` and writes this page anew.
With `GOWALLA=folder make bench` the folder's `train.txt` and `test.txt`, as LightGCN's authors published them, are measured too. One pair
alone: `bench/.venv/bin/python -m bench als`. No other program should be at work meanwhile: processor time does
not count the others, but they share the caches and the memory.

These results took {minutes} minutes on {date}: {processor}, {cores} cores of which one was used; Python {python}, {versions}. The machine's load
average was {load}; this benchmark alone is 1, so other programs were at work above that.
"""


# figures


def figures(tables: dict[str, pd.DataFrame], folder: Path = FIGURES) -> None:
    """speed.png, quality.png, growth.png."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in {"speed": draw_speed, "quality": draw_quality, "growth": draw_growth}.items():
        draw(tables).figure.savefig(folder / f"{name}.png", metadata={"Software": None})


def draw_speed(tables: dict[str, pd.DataFrame]):
    found = speed(tables)[::-1]
    ax = plots.new_axes(width=7.4, height=0.9 + 0.36 * len(found))
    ax.set_xscale("log")
    for place, (name, row) in enumerate(found.iterrows()):
        hue = COLOURS["sequences" if met(name, row["ratio"]) == "missed" else "neighbours"].light
        spread = [[row["ratio"] - row["least"]], [row["largest"] - row["ratio"]]]
        ax.errorbar(row["ratio"], place, xerr=spread, fmt="o", color=hue)
        if PAIRS[name].target is not None:
            ax.plot([PAIRS[name].target], [place], "|", ms=14, color=COLOURS["ink"].light)
    ax.axvline(1, color=COLOURS["muted"].light, lw=1, ls="--")
    labels = [f"{PAIRS[name].title}\n{PAIRS[name].peer.partition(',')[0]}" for name in found.index]
    ax.set(
        yticks=range(len(found)),
        ylim=(-0.6, len(found) - 0.4),
        xlabel="package's time / peer's time; bars: target; orange: missed",
    )
    ax.set_yticklabels(labels, fontsize=8)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.grid(axis="y", visible=False)
    return ax


def draw_quality(tables: dict[str, pd.DataFrame]):
    found = quality(tables)
    found = found[[by_ndcg(name) for name in found.index]]
    found.index = [
        PAIRS[name].peer.replace(", its default (3 conjugate-gradient steps)", ", default") for name in found.index
    ]
    table = found.rename(columns={"half": "gain ±"})
    kinds = dict.fromkeys(table.index, "factorization") | {"implicit, CosineRecommender": "neighbours"}
    return plots.intervals(table, "gain", families=kinds, xlabel="gain in NDCG@10 over the peer", reference=0)


def draw_growth(tables: dict[str, pd.DataFrame]):
    runs = tables["growth"][tables["growth"]["axis"] == "items"]
    table = runs.groupby(["size", "what"])["processor"].median().unstack()[list(dict.fromkeys(runs["what"]))]
    ax = plots.new_axes(width=7.4)
    ax.set(xscale="log", yscale="log")
    ax.set_xlim(table.index[0] * 0.9, table.index[-1] * 1.1)
    ax.set_ylim(table.to_numpy().min() / 1.5, table.to_numpy().max() * 1.5)
    plots.lines(table, ylabel="processor seconds", xlabel="items", ax=ax)
    ax.set_xticks(table.index, [f"{size:,}" for size in table.index])
    ax.minorticks_off()
    return ax


def write() -> None:
    """The page and its figures, from what is stored."""
    tables = read()
    figures(tables)
    PAGE.write_text(render(tables), encoding="utf-8")
