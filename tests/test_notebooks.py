"""Every notebook: in step with its source and with the package, fully run, light, described. nbval re-runs them (make test)."""

import json
import re
from collections import Counter
from functools import cache

import nbformat
import pytest
from site_build import pages as contents

from recsys_lite import claims
from scripts import notebooks

PAGES = notebooks.pages()
LARGEST, SLOWEST, HUNGRIEST = 1_500_000, 60, 1_000  # bytes, seconds, MB

every_page = pytest.mark.parametrize("page", PAGES)


@cache
def notebook(page):
    return notebooks.stored(page)


def code_cells(page):
    return [cell for cell in notebook(page).cells if cell.cell_type == "code"]


def prose(page):
    return "\n\n".join(cell.source for cell in notebook(page).cells if cell.cell_type == "markdown")


def outputs(page, kind=""):
    return [output for cell in code_cells(page) for output in cell.outputs if kind in output.get("data", {}) or not kind]


def test_each_source_has_its_notebook_in_the_contents_and_each_notebook_its_source():
    stored = {p.relative_to(notebooks.BOOK).with_suffix("").as_posix() for p in notebooks.BOOK.rglob("*.ipynb") if "/." not in str(p)}
    assert stored == set(PAGES)
    assert {f"book/{page}" for page in PAGES} <= set(contents())


@every_page
def test_notebook_is_what_its_source_gives_with_this_package(page):
    need = {"run": "its code, or the package under it, has changed", "words": "its text has changed"}.get(notebooks.state(page))
    assert need is None, f"book/{page}.ipynb is not up to date ({need}): run `make execute` and commit what it writes"


@every_page
def test_notebook_was_run_from_top_to_bottom_without_errors_or_warnings(page):
    assert [cell.execution_count for cell in code_cells(page)] == list(range(1, len(code_cells(page)) + 1))
    assert [output.evalue for output in outputs(page) if output.output_type == "error"] == []
    assert [output.text for output in outputs(page) if output.get("name") == "stderr"] == []


@every_page
def test_notebook_is_light_and_holds_only_what_is_shown(page):
    assert notebooks.notebook_of(page).stat().st_size < LARGEST
    text = notebooks.notebook_of(page).read_text(encoding="utf-8")
    assert "widgets" not in notebook(page).metadata and "vnd.jupyter.widget" not in text
    assert "version" not in notebook(page).metadata.language_info
    assert not any("execution" in cell.metadata for cell in code_cells(page))


@every_page
def test_notebook_ran_in_a_minute_and_a_gigabyte(page):
    run = json.loads(notebooks.results_of(page).read_text(encoding="utf-8"))
    assert 0 < run["peak_mb"] <= HUNGRIEST and run["seconds"] <= SLOWEST


@every_page
def test_every_image_has_alternative_text(page):
    for cell in code_cells(page):
        if any(kind.startswith("image/") for output in cell.outputs for kind in output.get("data", {})):
            assert len(cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")) >= 20, f"no alt text for:\n{cell.source}"
    shown = "\n".join([prose(page), *("".join(output.data["text/html"]) for output in outputs(page, "text/html"))])
    assert [tag for tag in re.findall(r"<img\b[^>]*>", shown) if not re.search(r"\balt=[\"'][^\"']+", tag)] == []
    assert re.findall(r"!\[\]\([^)]*\)", shown) == []


@every_page
def test_every_captioned_figure_is_there(page):
    for cell in code_cells(page):
        if "figure" in cell.metadata.get("mystnb", {}):
            assert any("image/png" in output.get("data", {}) for output in cell.outputs), f"no picture from:\n{cell.source}"


@every_page
def test_directives_are_colon_fences(page):
    """Backtick fences would show as code in Colab and on GitHub, where directives stay raw."""
    assert re.findall(r"^`{3,}\{.*", prose(page), re.M) == []


@every_page
def test_each_claim_is_stated_once_and_then_verified_once(page):
    stated = re.findall(r"^:name: claim-(\S+)$", prose(page), re.M)
    verified = claims.harvest(notebook(page))
    assert stated == [claim["id"] for claim in verified]
    assert [claim["id"] for claim in verified if claim["evidence"] is None] == [], "no evidence shown: end the cell with the call"


@every_page
def test_a_claim_stands_right_above_its_verification(page):
    """The site draws one frame around both."""
    cells = notebook(page).cells
    for cell, below in zip(cells, cells[1:]):
        last = re.findall(r"^:name: claim-(\S+)$", cell.source, re.M)[-1:] if cell.cell_type == "markdown" else []
        assert all(f'"{id}"' in below.source for id in last)


def test_claim_ids_are_unique_in_the_book():
    ids = Counter(claim["id"] for page in PAGES for claim in claims.harvest(notebook(page)))
    assert [name for name, times in ids.items() if times > 1] == []


@every_page
def test_figures_that_nbval_does_not_compare_are_recorded(page):
    """A cell may be exempt from comparison for its trained figures or its explorable; the figures are then compared as recorded."""
    exempt = [cell for cell in code_cells(page) if "nbval-ignore-output" in cell.metadata.get("tags", [])]
    printed = [cell for cell in exempt if "widgets." not in cell.source and cell.outputs]
    recorded = json.loads(notebooks.results_of(page).read_text(encoding="utf-8"))["figures"]
    assert recorded or not printed, f"record these figures with claims.record:\n{printed[0].source}"
    assert not any("nbval-skip" in cell.metadata.get("tags", []) for cell in code_cells(page))


# the pipeline itself, on a small page in a folder of its own

SOURCE = """\
---
lecture_map: ["1.3"]
---

# A page

Words.

```{code-cell} ipython3
from recsys_lite import claims

claims.record("part/page", {"x": 0.5}, tolerance=0.01)
2 + 3
```
"""


@pytest.fixture
def page(tmp_path, monkeypatch):
    monkeypatch.setattr(notebooks, "BOOK", tmp_path)
    source = notebooks.source_of("part/page")
    source.parent.mkdir(parents=True)
    source.write_text(SOURCE)
    return "part/page"


def test_conversion_keeps_metadata_and_puts_the_install_cell_before_the_first_code(page):
    converted = notebooks.convert(SOURCE)
    assert converted.metadata.lecture_map == ["1.3"]
    assert [cell.cell_type for cell in converted.cells] == ["markdown", "code", "code"]
    assert "%pip install" in converted.cells[1].source and converted.cells[1].metadata.tags == ["remove-cell"]
    assert notebooks.convert(SOURCE) == converted
    nbformat.validate(converted)


def test_a_page_runs_when_its_code_changes_and_only_then(page, monkeypatch):
    assert notebooks.state(page) == "run"
    assert notebooks.update(page).startswith("ran in")
    assert notebooks.stored(page).cells[2].outputs[0].data["text/plain"] == "5"
    assert notebooks.state(page) == "" and notebooks.update(page) == "up to date"

    notebooks.source_of(page).write_text(SOURCE.replace("Words.", "Other words."))
    assert notebooks.state(page) == "words"
    monkeypatch.setattr(notebooks, "execute", lambda *_: pytest.fail("words need no run"))
    notebooks.update(page)
    assert notebooks.stored(page).cells[0].source.endswith("Other words.")
    assert notebooks.stored(page).cells[2].outputs[0].data["text/plain"] == "5"

    notebooks.source_of(page).write_text(SOURCE.replace("2 + 3", "2 + 4"))
    assert notebooks.state(page) == "run"
    notebooks.source_of(page).write_text(SOURCE)
    assert notebooks.state(page) == "words"
    monkeypatch.setattr(notebooks, "package_hash", lambda cells: "another package")
    assert notebooks.state(page) == "run"


@pytest.mark.parametrize(
    "code, message", [("1 / 0", "ZeroDivisionError"), ("import warnings; warnings.warn('beware')", "writes to stderr(.|\n)*beware")]
)
def test_a_page_that_fails_or_warns_is_not_stored(page, code, message):
    notebooks.source_of(page).write_text(SOURCE.replace("2 + 3", code))
    with pytest.raises(notebooks.PageFailed, match=message):
        notebooks.update(page)
    assert notebooks.stored(page) is None


def test_recorded_figures_are_compared_by_name_and_tolerance(page):
    notebooks.write(notebooks.results_of(page), json.dumps({"figures": {"x": {"value": 0.5, "tolerance": 0.01}}}))

    def differences(**figures):
        return notebooks.differences(page, {page: {name: {"value": value} for name, value in figures.items()}})

    assert differences(x=0.509) == []
    assert differences(x=0.511) == ["x: 0.511 now, 0.5 stored, tolerance 0.01"]
    assert differences(x=float("nan")) == ["x: nan now, 0.5 stored, tolerance 0.01"]
    assert differences() == ["x: stored, not recorded now"]
    assert differences(x=0.5, y=1.0) == ["y: recorded now, not stored"]
    assert "records under its own name" in notebooks.differences("part/page", {"part/other": {}, page: {"x": {"value": 0.5}}})[0]
