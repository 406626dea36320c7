"""The package's shape: who may import whom, one place for each heavy thing, nothing hidden."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "recsys_lite"
# data flows downward and so do imports: a module may use those before it
ORDER = """
    interactions examples datasets synthetic splits metrics evaluation leaderboard
    popularity losses negatives vectors linear baselines content neighbors factorization
    ratings factorization_machines ncf towers pooling sequences
    graphs graph_filters walks heterogeneous cold_items onboarding federated ensembles training at_scale scale_results distributed index bandits
    palette tables plots widgets claims homework
""".split()
ONLY_IN = {"faiss": "index", "matplotlib": "plots", "ipywidgets": "widgets"}
FILES = sorted(PACKAGE.rglob("*.py"))

every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def module_of(path: Path) -> str:
    """The module or folder right under the package that a file belongs to."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path: Path) -> set[str]:
    """Dotted names that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path.name}: write imports in full, from recsys_lite..."
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def calls(node: ast.AST) -> list[ast.Call]:
    return [child for child in ast.walk(node) if isinstance(child, ast.Call)]


@every_file
def test_imports_go_downward(path):
    if path == PACKAGE / "__init__.py":
        assert imports(path) == set()
        return
    own = module_of(path)
    assert own in ORDER, f"give {own} its place in ORDER"
    used = {name.split(".")[1] for name in imports(path) if name.startswith("recsys_lite.")} - {own}
    assert [name for name in used if ORDER.index(name) > ORDER.index(own)] == []


@every_file
def test_third_party_packages_are_declared_and_the_heavy_ones_stay_in_one_module(path):
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    known = {re.match(r"[\w-]+", line)[0].removesuffix("-cpu") for line in declared} | {"recsys_lite"} | sys.stdlib_module_names
    roots = {name.split(".")[0] for name in imports(path)}
    assert roots - known == set()
    assert {root: ONLY_IN[root] for root in roots & set(ONLY_IN) if ONLY_IN[root] != module_of(path)} == {}


def test_there_is_one_backward_and_it_is_in_training():
    found = [path.name for path in FILES for call in calls(tree(path)) if getattr(call.func, "attr", "") == "backward"]
    assert found == ["training.py"]


SEEDS = re.compile(r"(torch(\.random|\.cuda)?\.(manual_)?seed(_all)?|(np|numpy)\.random\.seed|random\.seed)$")
# numpy's global generator under any name, torch's where no generator is given
NUMPY_GLOBAL = re.compile(r"(np|numpy)\.random\.(?!default_rng$|Generator$|SeedSequence$|PCG64$|Philox$)\w+$")
TORCH_GLOBAL = re.compile(r"torch\.(rand|randn|randint|randperm|rand_like|randn_like|randint_like|multinomial|normal|bernoulli|poisson)$")


@every_file
def test_global_generators_are_left_alone(path):
    module = tree(path)
    forked = {
        id(call)
        for block in ast.walk(module)
        if isinstance(block, ast.With) and any("fork_rng" in ast.unparse(item.context_expr) for item in block.items)
        for call in calls(block)
    }
    for call in calls(module):
        name, options = ast.unparse(call.func), {keyword.arg for keyword in call.keywords}
        touches = SEEDS.fullmatch(name) or NUMPY_GLOBAL.fullmatch(name) or (TORCH_GLOBAL.fullmatch(name) and "generator" not in options)
        assert not touches or id(call) in forked, f"{path.name}:{call.lineno} {name} uses a global generator"


@every_file
def test_no_print_no_assert(path):
    for node in ast.walk(tree(path)):
        assert not isinstance(node, ast.Assert), f"{path.name}:{node.lineno} is an assert; python -O drops it. Raise ValueError."
        assert not (isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "breakpoint")), f"{path.name}:{node.lineno}"


@every_file
def test_every_public_thing_has_a_docstring(path):
    module = tree(path)
    public = {node.name: node for node in module.body if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name[0] != "_"}
    assert [name for name, node in {"the module": module, **public}.items() if not ast.get_docstring(node)] == []


@every_file
def test_a_module_is_read_in_one_sitting(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 260


WATCH = """
import importlib, json, os, sys
touched = []
def watch(event, arguments):
    path = str(arguments[0]) if event == "open" and arguments else ""
    if event in ("socket.connect", "subprocess.Popen") or os.sep + os.path.join("recsys_lite", "data", "") in path:
        touched.append([event, str(arguments)])
sys.addaudithook(watch)
import numpy, torch
def state():
    return numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist(), torch.get_num_threads(), torch.get_default_dtype()
before = state()
light, heavy = (names.split() for names in sys.argv[1:])
for name in light:
    importlib.import_module(name)
loaded = [root for root in ("faiss", "matplotlib", "ipywidgets") if root in sys.modules]
for name in heavy:
    importlib.import_module(name)
print(json.dumps({"touched": touched, "as before": before == state(), "loaded": loaded}))
"""


def test_importing_does_nothing_and_loads_heavy_packages_only_with_their_module():
    dotted = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in FILES}
    heavy = " ".join(name for path, name in dotted.items() if module_of(path) in ONLY_IN.values())
    light = " ".join(name for name in dotted.values() if name not in heavy.split())
    # two threads, else set_num_threads(1) would change nothing here
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", WATCH, light, heavy], capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert json.loads(done.stdout) == {"touched": [], "as before": True, "loaded": []}


def test_no_name_carries_a_chapter_number():
    names = [path.relative_to(ROOT).as_posix() for folder in ("book", "recsys_lite", "scripts", "tests") for path in (ROOT / folder).rglob("*")]
    numbered = re.compile(r"(^|/)\d|(chapter|chap|lecture|part|week)[_-]?\d", re.I)
    assert [name for name in names if numbered.search(name) and "/." not in name] == []
