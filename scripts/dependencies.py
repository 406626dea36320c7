"""What of the package a page depends on, as one hash: a page is run again when this changes, not at every commit."""

import ast
import hashlib
from collections.abc import Iterable
from pathlib import Path

from IPython.core.inputtransformer2 import TransformerManager

PACKAGE = Path(__file__).resolve().parent.parent / "recsys_lite"
ROWS = PACKAGE / "data" / "leaderboard"
DATA = {".gz", ".npz", ".json", ".js", ".css"}


def package_hash(cells: Iterable[str]) -> str:
    """A hash of the package's modules that these cells import, directly or through others, and of the data these name.

    A data file counts where an imported module names it or its folder; a row of the leaderboard, where every word of its name is
    in the cells or they ask for all names. Docstrings do not count: mending one need not run the book again (a page that prints
    one is caught by nbval).
    """
    cells = list(cells)
    said = "\n".join(cells).lower()
    sources = {path: _without_docstrings(path.read_text(encoding="utf-8")) for path in sorted(_imported(cells))}
    code = "\n".join(sources.values())
    files = [path for path in sorted(PACKAGE.rglob("*")) if path.suffix in DATA]
    data = [path for path in files if path.name in code or f'"{path.parent.name}"' in code]
    if "leaderboard.names(" not in said:
        data = [path for path in data if path.parent != ROWS or all(word in said for word in path.name.split(".")[0].split("_"))]
    contents = {path: source.encode() for path, source in sources.items()} | {path: path.read_bytes() for path in data}
    digest = hashlib.sha256()
    for path, content in contents.items():
        digest.update(f"{path.relative_to(PACKAGE).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]


def _imported(cells: Iterable[str]) -> set[Path]:
    magic = TransformerManager()
    waiting = {name for cell in cells for name in _names_in(magic.transform_cell(cell))}
    found: set[Path] = set()
    while waiting:
        stem = PACKAGE.parent.joinpath(*waiting.pop().split("."))
        path = next((path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()), None)
        if path and path not in found:
            found.add(path)
            waiting |= _names_in(path.read_text(encoding="utf-8"))
    return found


def _names_in(source: str) -> set[str]:
    """Dotted names of the package that a source may import: `from a.b import c` gives a, a.b and a.b.c."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    names |= {name.rsplit(".", up)[0] for name in names for up in range(1, name.count(".") + 1)}
    return {name for name in names if name.split(".")[0] == PACKAGE.name}


def _without_docstrings(source: str) -> str:
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            first = node.body[0]
            lines[first.lineno - 1 : first.end_lineno] = [""] * (first.end_lineno - first.lineno + 1)
            lines[first.lineno - 1] = " " * first.col_offset + "..."
    return "\n".join(line for line in lines if line.strip())
