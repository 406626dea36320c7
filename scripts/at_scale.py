"""Train the systems of `recsys_lite.at_scale` on Gowalla: GOWALLA=folder python -m scripts.at_scale [NAME ...]

Each is tuned on the last tenth of each user's events in the training part, fitted again on all of it with the best configuration, and judged
once on the published test part; what came of it is stored under recsys_lite/data/at_scale. A system that the present code has stored is passed
over. The name "split" stands for how the published parts differ.
"""

import argparse
import ast
import hashlib
import inspect
import json
import os
import resource
import time
from pathlib import Path

import numpy as np
import torch

from recsys_lite import at_scale, datasets, evaluation, metrics, scale_results, splits
from recsys_lite.interactions import Interactions
from scripts.dependencies import package_hash
from scripts.leaderboard import configurations
from scripts.notebooks import write

CUTS = (10, 20)
BANDS = (20, 40, 100, 300)  # events of an item
PARTS = "split"
N_WATCHED = 3000  # users by whom configurations are chosen and curves are drawn


def key_of(name: str) -> str:
    """A hash of how a system, or an arm of IDEAS, is written and of all that its fit, its data and its judgement run through."""
    tree = ast.parse(Path(at_scale.__file__).read_text(encoding="utf-8"))
    tables = [node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id in ("SYSTEMS", "IDEAS")]
    written = {key.value: ast.unparse(value) for table in tables for key, value in zip(table.keys, table.values, strict=True)}[name]
    judged = "datasets.gowalla, splits.per_user, evaluation.measure, evaluation.judged_lists"
    used = package_hash([f"from recsys_lite import at_scale, datasets, evaluation, splits\n{judged}\n{written}"])
    how = dict(at_scale.SYSTEMS[name].grid) if name in at_scale.SYSTEMS else at_scale.IDEAS[name][1]
    return hashlib.sha256(f"{used} {written} {how}".encode()).hexdigest()[:16]


def sample_of(split: splits.Split) -> splits.Split:
    """The same split, judged by some of its users alone."""
    users = split.test_users()
    some = np.random.default_rng(0).choice(users, min(N_WATCHED, len(users)), replace=False)
    return splits.Split(split.train, split.test.take(np.isin(split.test.users, some)), history=split.known)


class Watch:
    """Called after each epoch: notes the model's quality; the seconds are of the processor, without those that this takes."""

    def __init__(self, split: splits.Split, every: int = 1):
        self.split, self.every = split, every
        self.curve: list[dict] = []
        self.started, self.paused = time.process_time(), 0.0

    def seconds(self) -> float:
        return time.process_time() - self.started - self.paused

    def __call__(self, model: evaluation.Recommender, epoch: int = 0) -> None:
        seconds, start = self.seconds(), time.process_time()
        if epoch % self.every == 0:
            figures = evaluation.evaluate(model, self.split, CUTS)[["recall@20", "ndcg@20"]].mean()
            self.curve.append({"epoch": epoch, "seconds": round(seconds, 1)} | figures.round(5).to_dict())
            print(f"    {self.curve[-1]}", flush=True)
        self.paused += time.process_time() - start


def tuning(known: Interactions) -> splits.Split:
    """The last tenth of each user's events to choose on: the published test part is no random one either, see `compare_parts`."""
    return splits.per_user(known, test=0.1, valid=None)


def tune(system: at_scale.System, split: splits.Split) -> list[dict]:
    """Every configuration of the grid with its Recall@20 on valid and its seconds."""
    tried = []
    for configuration in configurations(system.grid):
        watch = Watch(sample_of(split), every=10**9)
        model = system.fit(split.known, watch, **configuration)
        watch.every = 1
        watch(model)
        tried.append({"configuration": configuration} | watch.curve[-1])
    return tried


def train(name: str, known: Interactions, test: Interactions, n_threads: int) -> dict:
    """Tune, fit again, judge."""
    system = at_scale.SYSTEMS[name]
    tried = tune(system, tuning(known)) if len(configurations(system.grid)) > 1 else []
    best = max(tried, key=lambda one: one["recall@20"])["configuration"] if tried else configurations(system.grid)[0]
    split = splits.Split(known, test)
    watch = Watch(sample_of(split), every=max(1, sum(n for n, _ in best.get("stages", ())) // 12))
    model = system.fit(known, watch, **best)
    seconds = watch.seconds()
    start = time.process_time()
    lists = evaluation.judged_lists(model, split, max(CUTS))
    judging = time.process_time() - start
    per_user = evaluation.measure(lists, split, CUTS)
    degrees = known.user_counts()[per_user.index]
    quarter = np.searchsorted(np.quantile(degrees, [0.25, 0.5, 0.75]), degrees)
    return {
        "name": name, "family": system.family, "key": key_of(name), "configuration": best, "n_tried": len(tried), "tried": tried,
        "seconds": round(seconds, 1), "seconds to judge": round(judging, 1), "threads": n_threads,
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "recall@20": round(per_user["recall@20"].mean(), 5), "recall@20 ±": round(1.96 * per_user["recall@20"].sem(), 5),
        "ndcg@20": round(per_user["ndcg@20"].mean(), 5), "ndcg@20 ±": round(1.96 * per_user["ndcg@20"].sem(), 5),
        "coverage": round(metrics.coverage(lists, known.n_items), 4),
        "figures": {column: round(float(per_user[column].mean()), 5) for column in per_user if "recall@20 " in column},
        "by degree": [round(float(per_user["recall@20"][quarter == q].mean()), 5) for q in range(4)],
        "degrees": [int(degrees[quarter == q].max()) for q in range(4)],
        "curve": watch.curve,
    }  # fmt: skip


def try_idea(name: str, known: Interactions) -> dict:
    """One arm, watched after each epoch on the valid part of a cut of train."""
    fit, configuration = at_scale.IDEAS[name]
    split = tuning(known)
    watch = Watch(sample_of(split))
    fit(split.known, watch, **configuration)
    return {"key": key_of(name), "curve": watch.curve}


def parts_key() -> str:
    """A hash of all that `compare_parts` runs through."""
    source = inspect.getsource(compare_parts)
    used = package_hash([f"from recsys_lite import datasets, splits\ndatasets.gowalla, splits.per_user\n{source}"])
    return hashlib.sha256(f"{used} {source} {BANDS}".encode()).hexdigest()[:16]


def compare_parts(known: Interactions, test: Interactions) -> dict:
    """What is held back of the events of rare and of common items, over what a random choice would hold back.

    As published, at random, and at the end of each user's list; by bands of the item's events, and the spread over the items.
    """
    everything = known + test
    band = np.searchsorted(BANDS, everything.item_counts(), side="right")
    found = {}
    for name, split in {
        "published": splits.Split(known, test),
        "a random part": splits.at_random(everything, test=len(test) / len(everything)),
        "the end of each list": tuning(known),
    }.items():
        events = split.known + split.test
        share = split.test.user_counts() / np.maximum(events.user_counts(), 1)
        held = np.bincount(band[split.test.items], minlength=len(BANDS) + 1)
        expected = np.bincount(band[events.items], share[events.users], minlength=len(BANDS) + 1)
        over = [round(float(ratio), 4) for ratio in held / np.maximum(expected, 1)]
        found[name] = {"held over expected": over, "spread": round(splits.spread_over_items(split), 4)}
    return {"key": parts_key(), "bands": list(BANDS), "parts": found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="train these again whether out of date or not")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    possible = [PARTS, *at_scale.SYSTEMS, *at_scale.IDEAS]
    unknown = set(arguments.names) - set(possible)
    if unknown:
        parser.error(f"NAME must be one of {possible}; got {sorted(unknown)}.")
    torch.set_num_threads(arguments.threads)
    known, test = datasets.gowalla(os.environ.get("GOWALLA"))
    for name in arguments.names or out_of_date():
        print(name, flush=True)
        if name == PARTS:
            path, found = scale_results.PARTS, compare_parts(known, test)
        elif name in at_scale.IDEAS:
            path, found = scale_results.FOLDER / "ideas" / f"{name}.json", try_idea(name, known)
        else:
            path, found = scale_results.FOLDER / f"{name}.json", train(name, known, test, arguments.threads)
            print(f"  {found['recall@20']:.4f} {found['ndcg@20']:.4f} in {found['seconds']:.0f} s {found['configuration']}", flush=True)
        write(path, json.dumps(found, indent=1, ensure_ascii=False) + "\n")


def out_of_date() -> list[str]:
    """What is not stored or was found by other code."""
    stored = {name: scale_results.load(name)["key"] for name in scale_results.names()}
    stored |= {name: arm["key"] for name, arm in scale_results.ideas().items()}
    stored |= {PARTS: scale_results.parts()["key"]} if scale_results.PARTS.exists() else {}
    fresh = {name: key_of(name) for name in (*at_scale.SYSTEMS, *at_scale.IDEAS)} | {PARTS: parts_key()}
    return [name for name, key in fresh.items() if stored.get(name) != key]


if __name__ == "__main__":
    main()
