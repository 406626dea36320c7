"""What makes a page out of date."""

import shutil

import pytest

from scripts import dependencies

BOARD = "from recsys_lite import leaderboard\n"


@pytest.fixture
def package(tmp_path, monkeypatch):
    copy = shutil.copytree(dependencies.PACKAGE, tmp_path / "recsys_lite", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(dependencies, "PACKAGE", copy)
    monkeypatch.setattr(dependencies, "ROWS", copy / "data" / "leaderboard")
    return copy


def changed(cells: str, path) -> bool:
    """Whether a byte more in the file gives these cells another hash."""
    before = dependencies.package_hash([cells])
    path.write_bytes(path.read_bytes() + b"\n#\n")
    return dependencies.package_hash([cells]) != before


def test_a_module_counts_for_those_who_import_it(package):
    assert changed("from recsys_lite import linear", package / "linear.py")
    assert changed("import recsys_lite.baselines", package / "interactions.py")
    assert not changed("from recsys_lite import metrics", package / "graphs.py")


def test_a_docstring_does_not_count(package):
    path = package / "linear.py"
    before = dependencies.package_hash(["from recsys_lite import linear"])
    path.write_text(path.read_text(encoding="utf-8").replace('"""', '"""Anew: ', 1), encoding="utf-8")
    assert dependencies.package_hash(["from recsys_lite import linear"]) == before


@pytest.mark.parametrize(
    ("cells", "counts"),
    [
        ('leaderboard.load("EASE")', True),
        ('leaderboard.load("Tower blend")', False),
        ('for kind in ("tower", "blend"): leaderboard.load(f"{kind}"), "EASE"', True),
        ("leaderboard.names()", True),
    ],
)
def test_a_row_of_the_leaderboard_counts_where_it_is_shown(package, cells, counts):
    assert changed(BOARD + cells, package / "data" / "leaderboard" / "ease.csv.gz") is counts


def test_a_name_of_several_words_may_be_put_together(package):
    cells = BOARD + '[leaderboard.load(f"History {row}") for row in ("cosine", "tower")]'
    assert changed(cells, package / "data" / "leaderboard" / "history_cosine.csv.gz")
    assert not changed(cells, package / "data" / "leaderboard" / "mf_bpr.csv.gz")
