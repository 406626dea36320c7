"""Measure everything, store it under bench/results, write the page: python -m bench [PAIR ... | growth | scale | page]."""

import os

ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "NUMEXPR")}
os.environ.update(ONE_THREAD)  # before anything loads a library that reads them

import argparse  # noqa: E402
import platform  # noqa: E402
import time  # noqa: E402
import warnings  # noqa: E402
from importlib import metadata  # noqa: E402
from pathlib import Path  # noqa: E402

import pandas as pd  # noqa: E402
import torch  # noqa: E402

from bench import growth, page, peers, scale  # noqa: E402

PACKAGES = ("numpy", "scipy", "torch", "implicit", "cornac", "scikit-surprise", "recbole")


def main() -> None:
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="Method expects CSR input")  # implicit about a matrix that it made itself
    possible = [*peers.pairs(), "growth", "scale", "page"]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", help=f"all unless named: {', '.join(possible)}")
    wanted = parser.parse_args().what or possible
    if set(wanted) - set(possible):
        parser.error(f"what must be among {possible}; got {wanted}. Gowalla's need GOWALLA=<folder of train.txt>.")
    for name, pair in {**peers.pairs(), "growth": growth.measure, "scale": scale.measure}.items():
        if name not in wanted:
            continue
        start = time.perf_counter()
        if name in ("growth", "scale"):
            store(name, pd.DataFrame(pair()))
        else:
            store_pair(name, pair)
        seconds = time.perf_counter() - start
        store("seconds", pd.DataFrame([{"pair": name, "seconds": round(seconds)}]), replaces=name)
        print(f"{seconds:6.0f} s  {name}", flush=True)
    if wanted != ["page"]:
        store("setup", setup())
    page.write()


def store_pair(name: str, pair) -> None:
    """Run a pair and keep what it found; a library that is not there is kept as a fact, and the page says so."""
    try:
        found = pair()
    except ImportError as error:
        tables = {table: pd.DataFrame() for table in ("times", "quality", "profile", "memory")}
        tables["facts"] = pd.DataFrame([{"fact": "not installed", "value": error.name}])
    else:
        tables = {
            "times": pd.DataFrame(found.times),
            "quality": pd.DataFrame() if found.quality is None else found.quality.rename_axis("user").reset_index(),
            "facts": pd.DataFrame(found.facts.items(), columns=["fact", "value"]),
            "profile": pd.DataFrame(found.profile, columns=["function", "share"]),
            "memory": pd.DataFrame(found.memory.items(), columns=["side", "megabytes"]),
        }
    for table, rows in tables.items():
        if len(rows):
            rows.insert(0, "pair", name)
        store(table, rows, replaces=name)


def store(table: str, rows: pd.DataFrame, replaces: str | None = None) -> None:
    """Write rows into results/<table>.csv in place of those of the pair that is named, or of all."""
    path = page.RESULTS / f"{table}.csv"
    if path.exists() and replaces:
        kept = pd.read_csv(path, dtype=str if table == "facts" else None)
        rows = pd.concat([kept[kept["pair"] != replaces], rows], ignore_index=True)
    path.parent.mkdir(exist_ok=True)
    rows.to_csv(path, index=False, float_format="%.6g")


def setup() -> pd.DataFrame:
    """What it was measured on."""
    installed = {package: version(package) for package in PACKAGES}
    facts = {"processor": processor(), "cores": os.cpu_count(), "python": platform.python_version(), **installed}
    facts["load average"] = f"{os.getloadavg()[2]:.1f}"  # of the last 15 minutes
    return pd.DataFrame({**facts, "date": time.strftime("%Y-%m-%d")}.items(), columns=["name", "value"])


def version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
