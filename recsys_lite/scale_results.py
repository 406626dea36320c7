"""What `scripts.at_scale` stored of the systems of `at_scale`, trained on Gowalla: one file a system, one an arm of the ideas."""

import json
from pathlib import Path

import pandas as pd

from recsys_lite.at_scale import IDEAS

FOLDER = Path(__file__).parent / "data" / "at_scale"
PARTS = FOLDER / "split" / "parts.json"


def parts(path: Path = PARTS) -> dict:
    """How the published parts of Gowalla differ beside a random cut: shares held back by the item's events, and the spread."""
    return json.loads(path.read_text(encoding="utf-8"))


def ideas(folder: Path = FOLDER / "ideas") -> dict[str, dict]:
    """Arm -> what is stored of it: its key and its curve on valid, in the order of `at_scale.IDEAS`; those not stored are left out."""
    paths = {name: folder / f"{name}.json" for name in IDEAS}
    return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in paths.items() if path.exists()}


def names(folder: Path = FOLDER) -> list[str]:
    """The systems that are stored, best Recall@20 first."""
    return sorted((path.stem for path in folder.glob("*.json")), key=lambda name: -load(name, folder)["recall@20"])


def load(name: str, folder: Path = FOLDER) -> dict:
    """What `scripts.at_scale` stored of a system; ValueError for one that it did not."""
    path = folder / f"{name}.json"
    if not path.exists():
        raise ValueError(f"name must be one of {names(folder)}; got {name!r}. Train it: GOWALLA=folder make at-scale.")
    return json.loads(path.read_text(encoding="utf-8"))


def table(folder: Path = FOLDER) -> pd.DataFrame:
    """One row a stored system, the best first: figures on the test part, seconds of the fit, what was tried."""
    rows = {}
    for name in names(folder):
        stored = load(name, folder)
        rows[name] = {key: value for key, value in stored.items() if not isinstance(value, (list, dict))}
        rows[name] |= stored["figures"]
    return pd.DataFrame.from_dict(rows, orient="index")
