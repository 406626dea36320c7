"""Text sources to executed notebooks: book/_source/<page>.md is edited, book/<page>.ipynb is what readers and tests use.

    python -m scripts.notebooks                   # bring every page up to date, running only what changed
    python -m scripts.notebooks foundations/data  # these pages only
    python -m scripts.notebooks --force           # run all again
    python -m scripts.notebooks --check           # run nothing, list what is not up to date

A page is run again when its code or the part of the package that it uses has changed; where only words changed, the
stored outputs are kept. What a run recorded, its time and its memory go to book/_results/<page>.json.
"""

import argparse
import base64
import hashlib
import io
import json
import os
import sys
import tempfile
import tomllib
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from PIL import Image

from scripts.dependencies import package_hash

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "book"
# one thread and no live widgets, so that a page's output does not depend on the machine
ENVIRONMENT = {"RECSYS_LITE_STATIC": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
COLOURS = 64
# processor time, not the clock's: on one thread they agree, and it does not depend on what else the machine does
PROBE = """
import resource
own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
print(own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime, own.ru_maxrss)"""


class PageFailed(Exception):
    """A page that cannot be stored: a cell raised, or wrote to stderr."""


def pages() -> list[str]:
    """Every page that has a text source, such as "foundations/data"."""
    sources = BOOK / "_source"
    return sorted(path.relative_to(sources).with_suffix("").as_posix() for path in sources.rglob("*.md"))


def source_of(page: str) -> Path:
    """The text that is edited."""
    return BOOK / "_source" / f"{page}.md"


def notebook_of(page: str) -> Path:
    """The executed notebook."""
    return BOOK / f"{page}.ipynb"


def results_of(page: str) -> Path:
    """What the stored run recorded: {"seconds", "peak_mb", "figures": {name: {"value", "tolerance"}}}."""
    return BOOK / "_results" / f"{page}.json"


def install_cell() -> str:
    """The first code cell of every page: installs the package where it is missing; hidden on the site."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    address = project.get("urls", {}).get("Repository")
    missing = 'raise ModuleNotFoundError("Open this notebook in a clone of the book, or install recsys-lite first.")'
    elsewhere = f'clones = ["git+{address}"]' if address else missing
    return f"""\
# Colab, Binder or another environment: install the book's package if it is missing; else this does nothing.
import importlib.util
import pathlib

if importlib.util.find_spec("recsys_lite") is None:
    here = pathlib.Path.cwd()
    clones = [folder for folder in (here, *here.parents) if (folder / "recsys_lite").is_dir()]
    if not clones:
        {elsewhere}
    %pip install --quiet "{{clones[0]}}\""""


def convert(source: str) -> NotebookNode:
    """The notebook of a MyST text, not executed; cell ids follow from the cells' text, so they do not change by chance."""
    converted = jupytext.reads(source, fmt="md:myst")
    cells = list(converted.cells)
    first = next((place for place, cell in enumerate(cells) if cell.cell_type == "code"), None)
    if first is not None:
        hidden = {"tags": ["remove-cell"], "jupyter": {"source_hidden": True}}
        cells.insert(first, nbformat.v4.new_code_cell(install_cell(), metadata=hidden))
    seen: dict[str, int] = {}
    for cell in cells:
        repeat = seen[cell.source] = seen.get(cell.source, -1) + 1
        cell.id = hashlib.sha256(f"{repeat} {cell.source}".encode()).hexdigest()[:8]
    kept = {key: value for key, value in converted.metadata.items() if key not in ("jupytext", "kernelspec")}
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return nbformat.v4.new_notebook(cells=cells, metadata={**kept, "kernelspec": kernel, "language_info": {"name": "python"}})


def code_of(notebook: NotebookNode) -> list[str]:
    """The sources of the code cells, in order."""
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def stored(page: str) -> NotebookNode | None:
    """The page's notebook as it lies in the repository, if there is one."""
    path = notebook_of(page)
    return nbformat.read(path, as_version=4) if path.exists() else None


def state(page: str) -> str:
    """What a page needs: "" nothing, "run" its code or the package changed, "words" only its text or metadata did."""
    wanted, have = convert(source_of(page).read_text(encoding="utf-8")), stored(page)
    if have is None or code_of(wanted) != code_of(have) or not results_of(page).exists():
        return "run"
    if have.metadata.get("package_hash") != package_hash(code_of(wanted)):
        return "run"
    have = without_outputs(have)
    del have.metadata["package_hash"]
    return "" if have == wanted else "words"


def without_outputs(notebook: NotebookNode) -> NotebookNode:
    """A copy as `convert` gives it: no outputs, no execution counts."""
    copy = nbformat.from_dict(json.loads(json.dumps(notebook)))
    for cell in copy.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return copy


def execute(notebook: NotebookNode, folder: Path, environment: dict[str, str] | None = None) -> dict[str, int]:
    """Run a notebook in place in a fresh kernel; {"seconds" of processor time, "peak_mb"}. PageFailed on an error or on stderr."""
    env = {key: value for key, value in os.environ.items() if key != "MPLBACKEND"} | ENVIRONMENT | (environment or {})
    probe = nbformat.v4.new_code_cell(PROBE)
    notebook.cells.append(probe)
    client = NotebookClient(
        notebook, timeout=1200, kernel_name="python3", record_timing=False, store_widget_state=False,
        coalesce_streams=True, extra_arguments=["--log-level=ERROR"], resources={"metadata": {"path": str(folder)}},
    )  # fmt: skip
    try:
        client.execute(env=env)
    except CellExecutionError as error:
        raise PageFailed(str(error)) from None
    notebook.cells.pop()
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                raise PageFailed(f"the page writes to stderr; mend the cause:\n{output.text}")
    seconds, memory = map(float, probe.outputs[0].text.split())
    megabyte = 2**20 if sys.platform == "darwin" else 2**10  # macOS counts bytes, Linux kilobytes
    return {"seconds": round(seconds), "peak_mb": round(memory / megabyte)}


def tidy(notebook: NotebookNode) -> None:
    """In place: no widget state, no timing, no Python version, pictures in 64 colours."""
    notebook.metadata.pop("widgets", None)
    notebook.metadata.language_info = NotebookNode(name="python")
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                data["image/png"] = _fewer_colours(data["image/png"])


def _fewer_colours(png: str) -> str:
    picture = Image.open(io.BytesIO(base64.b64decode(png)))
    if picture.mode == "P":
        return png
    # only the octree keeps transparency; the median cut is nearer where there is none
    opaque = picture.mode != "RGBA" or picture.getextrema()[3] == (255, 255)
    picture = picture.convert("RGB") if opaque else picture
    method = Image.Quantize.MEDIANCUT if opaque else Image.Quantize.FASTOCTREE
    buffer = io.BytesIO()
    picture.quantize(COLOURS, method=method, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def write(path: Path, text: str) -> None:
    """Replace a file as a whole, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def figures_in(folder: Path) -> dict[str, dict]:
    """What pages recorded in a folder through RECSYS_LITE_RESULTS: {page: {name: {"value", "tolerance"}}}."""
    return {p.relative_to(folder).with_suffix("").as_posix(): json.loads(p.read_text(encoding="utf-8")) for p in sorted(folder.rglob("*.json"))}


def differences(page: str, fresh: dict[str, dict]) -> list[str]:
    """Where a run's recorded figures ({page: figures}) and the stored ones differ by more than the stored tolerance."""
    found = [f"figures recorded for {other!r}; a page records under its own name, {page!r}" for other in fresh if other != page]
    new = fresh.get(page, {})
    old = json.loads(results_of(page).read_text(encoding="utf-8"))["figures"] if results_of(page).exists() else {}
    found += [f"{name}: recorded now, not stored" for name in new if name not in old]
    for name, entry in old.items():
        if name not in new:
            found.append(f"{name}: stored, not recorded now")
        elif not abs(new[name]["value"] - entry["value"]) <= entry["tolerance"]:
            found.append(f"{name}: {new[name]['value']:.6g} now, {entry['value']:.6g} stored, tolerance {entry['tolerance']:g}")
    return found


def update(page: str, force: bool = False) -> str:
    """Bring one page up to date; what was done, in words."""
    need = "run" if force else state(page)
    if not need:
        return "up to date"
    notebook = convert(source_of(page).read_text(encoding="utf-8"))
    notebook.metadata["package_hash"] = package_hash(code_of(notebook))
    have = stored(page)
    if need == "words":
        run = [cell for cell in have.cells if cell.cell_type == "code"]
        for cell, old in zip((cell for cell in notebook.cells if cell.cell_type == "code"), run, strict=True):
            cell.outputs, cell.execution_count = old.outputs, old.execution_count
    else:
        with tempfile.TemporaryDirectory() as folder:
            notebook_of(page).parent.mkdir(parents=True, exist_ok=True)
            figures = execute(notebook, notebook_of(page).parent, {"RECSYS_LITE_RESULTS": folder})
            recorded = figures_in(Path(folder))
        if set(recorded) - {page}:
            raise PageFailed(f"figures recorded for {sorted(set(recorded) - {page})}; a page records under its own name, {page!r}")
        write(results_of(page), json.dumps({**figures, "figures": recorded.get(page, {})}, indent=1, ensure_ascii=False) + "\n")
    tidy(notebook)
    # the notebook last: until it is written, the page counts as not up to date
    write(notebook_of(page), nbformat.writes(notebook) + "\n")
    return "words changed, outputs kept" if need == "words" else "ran in {seconds} s, {peak_mb} MB".format(**figures)


def main() -> None:
    """See the module's docstring; exits with 1 if a page failed, or with --check if one is not up to date."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", help="such as foundations/data; all by default")
    parser.add_argument("--force", action="store_true")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    unknown = [page for page in options.pages if not source_of(page).exists()]
    if unknown:
        parser.error(f"no source for {', '.join(unknown)}; there are: {', '.join(pages()) or 'none'}")
    failed = 0
    for page in options.pages or pages():
        try:
            done = (state(page) and "not up to date") if options.check else update(page, options.force)
            failed += bool(options.check and done)
        except PageFailed as error:
            done, failed = f"FAILED\n{error}", failed + 1
        print(f"{page}: {done or 'up to date'}", flush=True)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
