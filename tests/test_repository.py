"""What surrounds the book: the commands and their failures, the documents, the pins."""

import ast
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from packaging.requirements import Requirement

from scripts import environment, serve

ROOT = Path(__file__).resolve().parent.parent


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


# making .venv


@pytest.fixture
def outdated(monkeypatch):
    """environment.py run by Python 3.9."""
    python = SimpleNamespace(version_info=(3, 9, 18), executable="/usr/bin/python3", exit=sys.exit)
    monkeypatch.setattr(environment, "sys", python)


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A folder with its own .venv (this environment's Python, not copied) in place of the repository."""
    for name in ("requirements.txt", "pyproject.toml"):
        (tmp_path / name).write_text("")
    monkeypatch.setattr(environment, "ROOT", str(tmp_path))
    monkeypatch.setattr(environment, "STAMP", str(tmp_path / "stamp"))
    monkeypatch.setattr(environment, "PYTHON", sys.executable)
    return tmp_path


def test_a_wrong_python_gets_a_sentence(outdated, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match=r"needs Python 3.11, 3.12 or 3.13; got 3.9 at /usr/bin/python3(.|\n)*make book PYTHON="):
        environment.supported_python()


def test_a_right_python_on_the_path_is_taken_instead(outdated, monkeypatch, capsys):
    monkeypatch.setattr(shutil, "which", lambda name: f"/opt/{name}" if name in ("python3.11", "python3.13") else None)
    # a shim that is on the path but does not run
    monkeypatch.setattr(environment, "version_of", {"/opt/python3.11": (3, 11)}.get)
    assert environment.supported_python() == "/opt/python3.11"
    assert "is Python 3.9; taking /opt/python3.11 instead" in capsys.readouterr().out


def test_old_pythons_can_read_the_script():
    ast.parse(text("scripts/environment.py"), feature_version=(3, 5))


def test_a_venv_of_another_python_is_not_touched(monkeypatch):
    monkeypatch.setattr(environment, "version_of", lambda python: (3, 9))
    with pytest.raises(SystemExit, match=r".venv holds 3.9(.|\n)*rm -rf .venv"):
        environment.make_venv()


def test_a_failed_installation_leaves_no_stamp_and_the_next_try_goes_on(repository, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(environment, "pip_install", lambda arguments: asked.append(arguments) or 0)
    environment.install()
    assert environment.installed() and [command[0] for command in asked] == ["-r", "--no-deps"]

    monkeypatch.setattr(environment, "pip_install", lambda arguments: 1)
    with pytest.raises(SystemExit, match="needs the network(.|\n)*run the same command again"):
        environment.install()
    assert not environment.installed()

    monkeypatch.setattr(environment, "pip_install", lambda arguments: 0)
    environment.install()
    assert environment.installed()
    (repository / "requirements.txt").write_text("numpy==2.4.6")
    assert not environment.installed(), "other pins must be installed"


@pytest.mark.slow
def test_a_half_made_venv_is_completed_or_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "VENV", str(tmp_path / "venv"))
    monkeypatch.setattr(environment, "PYTHON", str(tmp_path / "venv" / "bin" / "python"))
    has_pip = [environment.PYTHON, "-c", "import pip"]
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment.VENV], check=True)
    environment.make_venv()
    subprocess.run(has_pip, check=True)

    Path(environment.PYTHON).unlink()
    Path(environment.PYTHON).symlink_to("/nowhere/python")
    environment.make_venv()
    subprocess.run(has_pip, check=True)


def make(folder: Path, build: str) -> subprocess.CompletedProcess:
    """`make book` in a copy where jupyter-book is a script of ours."""
    shutil.copy(ROOT / "Makefile", folder)
    for path, content in {"scripts/environment.py": "", ".venv/bin/jupyter-book": f"#!/bin/sh\n{build}\n", "_build/.doctrees/page": ""}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    (folder / ".venv/bin/jupyter-book").chmod(0o755)
    return subprocess.run(["make", "--no-print-directory", "book", f"PYTHON={sys.executable}"], cwd=folder, capture_output=True, text=True)


def test_make_book_ends_with_the_page_to_open_and_forgets_a_failed_build(tmp_path):
    done = make(tmp_path, 'echo "$@" > arguments')
    assert done.returncode == 0 and "_build/html/index.html" in done.stdout.splitlines()[-1]
    assert "-W --keep-going -n" in (tmp_path / "arguments").read_text()
    assert (tmp_path / "_build/.doctrees/page").exists()

    done = make(tmp_path, "exit 1")
    assert done.returncode != 0 and "_build/html" not in done.stdout
    assert not (tmp_path / "_build/.doctrees").exists(), "the next build would not see the warnings"


# serving


@pytest.mark.parametrize("port, message", [("many", "PORT must be a number"), ("70000", "below 65536; got '70000'")])
def test_serve_refuses_a_wrong_port(port, message, tmp_path, monkeypatch):
    (tmp_path / "index.html").touch()
    monkeypatch.setattr(serve, "SITE", tmp_path)
    with pytest.raises(SystemExit, match=message):
        serve.main(port)


def test_serve_says_when_the_port_is_taken_or_there_is_no_site(tmp_path, monkeypatch):
    monkeypatch.setattr(serve, "SITE", tmp_path)
    with pytest.raises(SystemExit, match="no site yet. Build it first: make book"):
        serve.main("0")
    (tmp_path / "index.html").touch()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(SystemExit, match=f"Port {port} is taken(.*)PORT={port + 1}"):
            serve.main(str(port))


@pytest.mark.slow
def test_jupyterlab_loads_the_extension_that_renders_theorems():
    command = [Path(sys.executable).with_name("jupyter"), "labextension", "list"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (line,) = [line for line in (done.stdout + done.stderr).splitlines() if "jupyterlab-myst v" in line]
    assert "OK" in line, done.stdout + done.stderr


# documents


def test_the_readme_names_targets_that_exist_and_the_same_plain_commands():
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), re.M))
    for name in ("README.md", "CONTRIBUTING.md"):
        assert set(re.findall(r"\bmake ([a-z]+(?:-[a-z]+)*)(?=`|\s+#|\s+PYTHON)", text(name))) <= targets
    nbval = re.search(r"^NBVAL := (.*)$", text("Makefile"), re.M)[1]
    assert f"pytest {nbval} tests book" in text("README.md")
    assert re.search(r"jupyter-book build .* \.(?= )", text("Makefile"))[0] in text("README.md")


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_links_in_documents_lead_to_files(name):
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", text(name))
    folders = re.findall(r"^\| `([\w/.]+)`", text(name), re.M)
    assert [link for link in links + folders if not (ROOT / link).exists()] == []


def test_continuous_integration_runs_the_commands_of_the_readme():
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    lines = script.read_text().splitlines()
    assert "set -euo pipefail" in lines and lines[-2:] == ["make test", "make homework-check"]
    steps = yaml.safe_load(text(".github/workflows/book.yml"))["jobs"]["book"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == ["make book", ".ci/run"]


def test_every_direct_requirement_is_pinned_and_cuda_is_left_to_torch():
    pins = dict(line.split(" ;")[0].split("==") for line in text("requirements.txt").splitlines() if not line.startswith("#"))
    for line in filter(None, (line.split("#")[0].strip() for line in text("requirements.in").splitlines())):
        wanted = Requirement(line)
        pin = pins.get(wanted.name.lower())
        assert pin and wanted.specifier.contains(pin), f"{line} is not in requirements.txt: run make lock"
    assert [name for name in pins if re.match("nvidia|cuda|triton", name)] == []


def test_the_citation_is_of_this_version():
    citation, project = yaml.safe_load(text("CITATION.cff")), tomllib.loads(text("pyproject.toml"))["project"]
    assert citation["version"] == project["version"]
    assert {"cff-version", "title", "message", "authors", "license"} <= set(citation)


def test_no_file_holds_a_path_of_somebodys_machine():
    folders = [ROOT / name for name in ("book", "recsys_lite", "scripts", "tests", ".ci", ".github")]
    files = [path for folder in folders for path in folder.rglob("*")] + list(ROOT.iterdir())
    suffixes = {".md", ".py", ".ipynb", ".json", ".toml", ".yml", ".cff", ".cfg", ".css", ".js", ".bib", ".txt", ".in", ""}
    own = re.compile(r"(/(work|root|home|Users)/\w|[A-Z]:\\Users|/ipykernel[_])")
    texts = [path for path in files if path.is_file() and path.suffix in suffixes and ".ipynb_checkpoints" not in path.parts]
    assert [path.name for path in texts if own.search(path.read_text(encoding="utf-8"))] == []
