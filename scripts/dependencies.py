"""What of the package a page depends on, as one hash: a page is run again when this changes, not at every commit."""

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from IPython.core.inputtransformer2 import TransformerManager

PACKAGE = Path(__file__).resolve().parent.parent / "recsys_lite"
ROWS = PACKAGE / "data" / "leaderboard"
DATA = {".gz", ".npz", ".json", ".js", ".css"}


class Part(NamedTuple):
    """A statement at the top of a module: its lines, the names that it defines (None: it always counts), all it mentions."""

    text: str
    defines: set[str] | None
    mentions: set[str]


def package_hash(cells: Iterable[str]) -> str:
    """A hash of what of the package these cells use, directly or through others, and of the data that this names.

    Of the modules that they import, and these in turn, a function, a class or an assignment counts where its name is mentioned: by
    the cells or by what counts already, as a name, an attribute, an import or a word of a string. Equal names are not told apart:
    rather a run too many. What stands at a module's top and is none of these counts always. A data file counts where this code
    names it or its folder; a row of the leaderboard, where every word of its name is in the cells or they ask for all names.
    Docstrings do not count: mending one need not run the book again (a page that prints one is caught by nbval).
    """
    magic = TransformerManager()
    cells = list(cells)
    said = "\n".join(cells).lower()
    trees = [ast.parse(magic.transform_cell(cell)) for cell in cells]
    sources = _taken(_imported(trees), set().union(*map(_mentions, trees)))
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


def _imported(trees: Iterable[ast.AST]) -> dict[Path, str]:
    """The modules of the package that these import, and those that these import in turn, without docstrings."""
    waiting = set().union(*map(_modules_in, trees))
    found: dict[Path, str] = {}
    while waiting:
        stem = PACKAGE.parent.joinpath(*waiting.pop().split("."))
        path = next((path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()), None)
        if path and path not in found:
            found[path] = _without_docstrings(path.read_text(encoding="utf-8"))
            waiting |= _modules_in(ast.parse(found[path]))
    return dict(sorted(found.items()))


def _modules_in(tree: ast.AST) -> set[str]:
    """Dotted names of the package that a source may import: `from a.b import c` gives a, a.b and a.b.c."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    names |= {name.rsplit(".", up)[0] for name in names for up in range(1, name.count(".") + 1)}
    return {name for name in names if name.split(".")[0] == PACKAGE.name}


def _taken(modules: dict[Path, str], names: set[str]) -> dict[Path, str]:
    """The lines of each module that count where these names are mentioned; a module without any is left out."""
    parts = {path: list(_parts(source)) for path, source in modules.items()}
    n_names = -1
    while len(names) > n_names:
        n_names = len(names)
        taken = {path: [part for part in of_module if _counts(part, names)] for path, of_module in parts.items()}
        names = names.union(*(part.mentions for of_module in taken.values() for part in of_module))
    texts = {path: "\n".join(part.text for part in of_module if part.text) for path, of_module in taken.items()}
    return {path: text for path, text in texts.items() if text}


def _counts(part: Part, names: set[str]) -> bool:
    return part.defines is None or "*" in names or bool(part.defines & names)


def _parts(source: str) -> Iterator[Part]:
    """The statements at the top of a module but its imports; what an import names anew stands for what it had been called."""
    lines = source.splitlines()
    for node in ast.parse(source).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                if alias.asname:
                    yield Part("", {alias.asname}, {alias.name})
            continue
        defines = None
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            defines = None if node.name.startswith("__") else {node.name}  # Python itself asks for __getattr__
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            targets = [child for target in getattr(node, "targets", None) or [node.target] for child in _flat(target)]
            if all(isinstance(target, ast.Name) for target in targets):
                defines = {target.id for target in targets}
        first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])
        yield Part("\n".join(lines[first - 1 : node.end_lineno]), defines, _mentions(node))


def _flat(target: ast.expr) -> list[ast.expr]:
    return [one for element in target.elts for one in _flat(element)] if isinstance(target, (ast.Tuple, ast.List)) else [target]


def _mentions(tree: ast.AST) -> set[str]:
    """Every name, attribute and imported name in a source, and the words of its strings: getattr(losses, "bpr_loss")."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Attribute):
            names.add(node.attr)
        elif isinstance(node, ast.alias):
            names.add(node.name.rpartition(".")[2])
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.update(re.findall(r"\w+", node.value))
    return names


def _without_docstrings(source: str) -> str:
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            first = node.body[0]
            lines[first.lineno - 1 : first.end_lineno] = [""] * (first.end_lineno - first.lineno + 1)
            if len(node.body) == 1:
                lines[first.lineno - 1] = " " * first.col_offset + "..."
    return "\n".join(line for line in lines if line.strip())
