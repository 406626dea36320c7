"""What makes a page, or a row of the leaderboard, out of date."""

import shutil

import pytest

from scripts import dependencies
from scripts import leaderboard as trainer

BOARD = "from recsys_lite import leaderboard\n"
ALS = "from recsys_lite import factorization\nfactorization.ImplicitALS()"


@pytest.fixture
def package(tmp_path, monkeypatch):
    copy = shutil.copytree(dependencies.PACKAGE, tmp_path / "recsys_lite", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(dependencies, "PACKAGE", copy)
    monkeypatch.setattr(dependencies, "ROWS", copy / "data" / "leaderboard")
    return copy


def changed(cells: str, path, old: str = "", new: str = "") -> bool:
    """Whether another text in the file, or a byte more where none is given, gives these cells another hash."""
    before, text = dependencies.package_hash([cells]), path.read_bytes()
    assert old.encode() in text
    path.write_bytes(text.replace(old.encode(), new.encode(), 1) if old else text + b"\n#\n")
    after = dependencies.package_hash([cells])
    path.write_bytes(text)
    return after != before


@pytest.fixture
def small(package):
    """Two modules of their own beside the package's: seen(cells, old, new) changes the first."""
    (package / "shapes.py").write_text(SHAPES)
    (package / "user.py").write_text("from recsys_lite.shapes import area as extent\n\ndef use():\n    return extent(2)\n")
    return lambda cells, old, new: changed(cells, package / "shapes.py", old, new)


SHAPES = '''\
"""Shapes."""

import math

SIDES = 4
LEFT, RIGHT = -1, 1
NAMES = ["square"]
NAMES += ["circle"]
__all__ = ["area"]
print.shape = 0


def area(side):
    """Of a square."""
    return side ** 2 + corner()


def corner():
    return SIDES * 0


def other():
    return RIGHT


class Base:
    colour = "red"


def marked(function):
    return function


def __getattr__(name):
    raise AttributeError("no such shape")


class Square(Base):
    @property
    def hidden(self):
        return 7


@marked
def round_one():
    from recsys_lite.user import use as employ

    return employ()
'''


@pytest.mark.parametrize(
    ("what", "old", "new", "counts"),
    [
        ("shapes.area(2)", "side ** 2", "side ** 3", True),
        ("shapes.area(2)", "SIDES * 0", "SIDES * 1", True),  # in a function that it calls
        ("shapes.area(2)", "SIDES = 4", "SIDES = 5", True),  # in a constant that this one uses
        ("shapes.area(2)", "return RIGHT", "return LEFT", False),
        ("shapes.area(2)", "-1, 1", "-1, 2", False),
        ("shapes.area(2)", "Of a square", "Of a cube", False),
        ("shapes.area(2)", "import math", "import math, os", False),
        ("shapes.area(2)", '["area"]', '["corner"]', False),
        ("shapes.area(2)", "no such", "not one", True),  # Python itself asks for it
        ("shapes.area(2)", "print.shape = 0", "print.shape = 1", True),  # who knows whom it concerns
        ("shapes.other()", "-1, 1", "-1, 2", True),
        ("shapes.other()", "side ** 2", "side ** 3", False),
        ("shapes.Square()", "return 7", "return 8", True),  # a method that nobody names
        ("shapes.Square()", '"red"', '"blue"', True),  # in a class under it
        ("shapes.Square()", "    return function", "    return print", False),
        ("shapes.round_one()", "    return function", "    return print", True),  # in its decorator
        ("shapes.round_one()", "@marked", "@property", True),
        ("shapes.round_one()", "@marked", "@marked.__call__", True),
        ("shapes.round_one()", "side ** 2", "side ** 3", True),  # by an import inside, under another name
        ("shapes.area(2)", "circle", "ellipse", False),
        ("shapes.NAMES", "circle", "ellipse", True),  # in what is added later
        ("getattr(shapes, 'other')", "return RIGHT", "return LEFT", True),
        ("getattr(shapes, 'area other'.split()[1])", "return RIGHT", "return LEFT", True),
        ("'print'", "side ** 2", "side ** 3", False),
    ],
)
def test_what_is_mentioned_counts_and_nothing_else(small, what, old, new, counts):
    assert small(f"from recsys_lite import shapes\n{what}", old, new) is counts


@pytest.mark.parametrize(
    "cells",
    [
        "import recsys_lite.shapes as s\ns.area(2)",
        "import recsys_lite.shapes\nrecsys_lite.shapes.area(2)",
        "from recsys_lite.shapes import area as a",
        "from recsys_lite.shapes import *",
        "import recsys_lite.user\nrecsys_lite.user.use()",
        "from recsys_lite import user\nuser.extent(2)",
    ],
)
def test_every_way_of_importing_leads_there(small, cells):
    assert small(cells, "side ** 2", "side ** 3")


def test_a_module_that_is_not_imported_does_not_count(small):
    assert not small("area(2)", "side ** 2", "side ** 3")


def test_in_the_package_what_is_used_counts_through_other_modules(package):
    linear = "from recsys_lite import linear\nlinear.EASE().fit(known)"
    assert changed(linear, package / "linear.py", "def history_matrix", "def  history_matrix")
    assert changed(linear, package / "interactions.py", "class Interactions", "class  Interactions")
    assert not changed(linear, package / "linear.py", "class PureSVD", "class  PureSVD")
    assert not changed("from recsys_lite import metrics\nmetrics.recall", package / "graphs.py", "class LightGCN", "class  LightGCN")
    assert changed(ALS, package / "factorization.py", "def _solve", "def  _solve")


@pytest.mark.parametrize(
    ("name", "counts"),
    [("ImplicitALS", True), ("Tower blend", True), ("MF BPR", False), ("MF cosine learned tau", False), ("EASE", False)],
)
def test_a_row_is_of_the_classes_that_it_names(package, name, counts):
    entry = next(entry for entry in trainer.ENTRIES if entry.name == name)
    before, path = trainer.key_of(entry), package / "factorization.py"
    source = path.read_text(encoding="utf-8")
    path.write_text(source.replace("def _solve", "def  _solve"), encoding="utf-8")
    assert (trainer.key_of(entry) != before) is counts
    path.write_text(source.replace("class MatrixFactorization", "class  MatrixFactorization"), encoding="utf-8")
    assert (trainer.key_of(entry) != before) is name.startswith("MF")


@pytest.mark.parametrize(
    ("module", "old"),
    [("splits", "def protocol"), ("datasets/embedded", "def movielens"), ("evaluation", "def evaluate"), ("evaluation", "def measure"),
     ("evaluation", "def judged_lists"), ("metrics", "def ndcg"), ("metrics", "def coverage")],
)  # fmt: skip
def test_a_row_is_of_the_judgement_too(package, module, old):
    entry = next(entry for entry in trainer.ENTRIES if entry.name == "EASE")
    before, path = trainer.key_of(entry), package / f"{module}.py"
    path.write_text(path.read_text(encoding="utf-8").replace(old, old.replace(" ", "  ")), encoding="utf-8")
    assert trainer.key_of(entry) != before


def test_a_docstring_does_not_count(package):
    assert not changed(ALS, package / "factorization.py", '"""', '"""Anew: ')
    there = '        """Alternate n_iterations times from item vectors N(0, 1/d), users first."""\n'
    assert not changed(ALS, package / "factorization.py", there, "")  # nor that there is one
    assert changed(ALS, package / "factorization.py", there, there + "        return self\n")


def test_data_count_where_the_code_that_counts_names_them(package):
    films = "from recsys_lite import datasets\ndatasets.movielens()"
    assert changed(films, next(iter(sorted((package / "data" / "movielens_small").glob("*.gz")))))
    assert not changed(films, package / "data" / "jester" / "ratings.npz")
    assert changed("from recsys_lite import datasets\ndatasets.jester()", package / "data" / "jester" / "ratings.npz")


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
