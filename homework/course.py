"""Release, collect, grade: the instructor's side of the homework.

    python course.py release   # course/release/<assignment>/: what students get, without solutions and hidden tests
    python course.py grade     # course/submitted/<student>/<assignment>/ -> course/grades/*.csv and course/feedback/<student>/*.html

Runs in homework/.venv, which has nbgrader; the notebooks run in the book's .venv. Everything below course/ is made here or
collected, and stays out of the repository.
"""

import argparse
import csv
import hashlib
import html
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
from nbconvert import HTMLExporter
from nbgrader.api import Gradebook
from tqdm import tqdm

HOMEWORK = Path(__file__).resolve().parent
BOOK_PYTHON = HOMEWORK.parent / ".venv" / "bin" / "python"
LARGEST = 20 << 20  # bytes of a submitted notebook
LONGEST = 900  # seconds that one submission may take in all
HIDDEN = re.compile(r"### BEGIN HIDDEN TESTS.*?### END HIDDEN TESTS\n?", re.DOTALL)
BY_HAND = ["student", "problem", "out of", "answer", "points", "comment"]


class Course:
    """One folder with everything of a term: the secret, the release, submissions, gradebook, grades and feedback."""

    def __init__(self, root: Path, cell_seconds: int = 60):
        self.root, self.cell_seconds = root.resolve(), cell_seconds

    def assignments(self) -> list[str]:
        """The names of all assignments."""
        return sorted(path.stem for path in (HOMEWORK / "source").glob("*.md"))

    def released(self) -> list[str]:
        """The names of the assignments that students could get."""
        return sorted(path.parent.name for path in (self.root / "source").glob("*/*.ipynb"))

    def secret(self) -> str:
        """What the hidden tests' inputs are drawn from; made once a course, kept private."""
        path = self.root / "secret.txt"
        if not path.exists():
            self.root.mkdir(parents=True, exist_ok=True)
            path.write_text(secrets.token_hex(16))
            path.chmod(0o600)
        return path.read_text()

    def release(self) -> list[Path]:
        """Make the students' notebooks; returns their paths."""
        for assignment in tqdm(self.assignments(), "releasing", disable=None):
            master = jupytext.read(HOMEWORK / "source" / f"{assignment}.md")
            master.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
            path = self.root / "source" / assignment / f"{assignment}.ipynb"
            path.parent.mkdir(parents=True, exist_ok=True)
            for number, cell in enumerate(master.cells):
                cell.id = f"{assignment}-{number}"
            nbformat.write(master, path)
            self._nbgrader("generate_assignment", assignment, "--force")
        return [self.root / "release" / each / f"{each}.ipynb" for each in self.assignments()]

    def grade(self) -> list[Path]:
        """Grade what is new since the last time, then write grades and feedback; returns the tables' paths."""
        if not self.released():
            raise SystemExit("Nothing was released yet, so there is nothing to grade by: make homework-release.")
        waiting = [place for place in self.submissions() if not self._is_graded(*place)]
        for student, assignment in tqdm(waiting, "grading", disable=None):
            self._grade_one(student, assignment)
        self._take_manual_points()
        return [self._write_table(assignment) for assignment in self.released()]

    def submissions(self) -> list[tuple[str, str]]:
        """(student, assignment) of every folder below submitted/."""
        found = sorted((self.root / "submitted").glob("*/*"))
        return [(path.parent.name, path.name) for path in found if path.name in self.released()]

    # --- one submission ------------------------------------------------------------------------------------------------
    def _grade_one(self, student: str, assignment: str) -> None:
        folder = self.root / "autograded" / student / assignment
        shutil.rmtree(folder, ignore_errors=True)
        problem = self._unreadable(student, assignment)
        if not problem:
            limit = f"--ExecutePreprocessor.timeout={self.cell_seconds}"
            problem = self._nbgrader("autograde", assignment, "--student", student, "--force", limit, check=False)
        folder.mkdir(parents=True, exist_ok=True)
        # written last: without it the submission counts as not graded
        _write(
            folder / "status.json",
            json.dumps({"digest": self._digest(student, assignment), "status": problem or "graded"}),
        )

    def _unreadable(self, student: str, assignment: str) -> str:
        """Why a submission cannot be graded, "" if it can."""
        path = self.root / "submitted" / student / assignment / f"{assignment}.ipynb"
        if not path.is_file():
            others = sorted(each.name for each in path.parent.iterdir())
            return f"no {path.name}; submitted are: {', '.join(others) or 'no files'}"
        if path.stat().st_size > LARGEST:
            return f"the notebook has {path.stat().st_size >> 20} MB, allowed are {LARGEST >> 20}: clear its outputs"
        try:
            notebook = nbformat.read(path, as_version=4)
            nbformat.validate(notebook)
        except Exception as error:  # whatever a damaged file raises, the others are to be graded
            return f"not a readable notebook: {type(error).__name__}: {str(error).splitlines()[0][:120]}"
        if not any(cell.metadata.get("nbgrader", {}).get("grade") for cell in notebook.cells):
            return "the notebook has none of the assignment's cells"
        return ""

    def _digest(self, student: str, assignment: str) -> str:
        files = sorted(path for path in (self.root / "submitted" / student / assignment).rglob("*") if path.is_file())
        digest = hashlib.sha256()
        for path in files:
            digest.update(f"{path.name} {path.stat().st_size}\n".encode() + path.read_bytes())
        return digest.hexdigest()

    def status(self, student: str, assignment: str) -> dict:
        """{"digest", "status"} of the last grading; empty if there was none."""
        path = self.root / "autograded" / student / assignment / "status.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def _is_graded(self, student: str, assignment: str) -> bool:
        return self.status(student, assignment).get("digest") == self._digest(student, assignment)

    # --- the tables ----------------------------------------------------------------------------------------------------
    def _gradebook(self) -> Gradebook:
        return Gradebook(f"sqlite:///{self.root / 'gradebook.db'}")

    def _write_table(self, assignment: str) -> Path:
        """grades/<assignment>.csv, a row a student and a column a problem; the problems to grade by hand; the feedback pages."""
        problems = self._problems(assignment)
        rows, waiting = [], []
        with self._gradebook() as book:
            for student in sorted({student for student, each in self.submissions() if each == assignment}):
                status = self.status(student, assignment).get("status", "not graded")
                points = dict.fromkeys(problems, 0.0)
                for grade in self._grades(book, student, assignment) if status == "graded" else []:
                    points[grade.name] = grade.score
                    if grade.needs_manual_grade and problems[grade.name]["solution"]:
                        waiting.append(self._to_grade(student, assignment, grade))
                        points[grade.name] = ""
                    elif grade.needs_manual_grade:  # nbgrader found no test to run
                        status += f"; without its test: {grade.name}"
                total = sum(each or 0 for each in points.values())
                row = {
                    "student": student,
                    "status": status,
                    **points,
                    "total": total,
                    "out of": sum(each["points"] for each in problems.values()),
                }
                rows.append(row)
                self._write_feedback(student, assignment, row)
        path, by_hand = self.root / "grades" / f"{assignment}.csv", self.root / "grades" / f"{assignment}_by_hand.csv"
        _write_csv(path, ["student", "status", *problems, "total", "out of"], rows)
        known = _read_csv(by_hand)
        done = {(row["student"], row["problem"], row["answer"]) for row in known}
        known += [row for row in waiting if (row["student"], row["problem"], row["answer"]) not in done]
        _write_csv(by_hand, BY_HAND, known)
        return path

    def _grades(self, book: Gradebook, student: str, assignment: str) -> list:
        return book.find_submission_notebook(assignment, assignment, student).grades

    def _problems(self, assignment: str) -> dict[str, dict]:
        """{grade_id: nbgrader's settings} of the graded cells, in order; a "solution" is graded by hand."""
        notebook = nbformat.read(self.root / "source" / assignment / f"{assignment}.ipynb", as_version=4)
        settings = [cell.metadata.get("nbgrader", {}) for cell in notebook.cells]
        return {each["grade_id"]: each for each in settings if each.get("grade")}

    def _to_grade(self, student: str, assignment: str, grade) -> dict:
        """A row for a person to fill in."""
        answer = self._answer(student, assignment, grade.name)
        return {
            "student": student,
            "problem": grade.name,
            "out of": grade.max_score,
            "answer": answer,
            "points": "",
            "comment": "",
        }

    def _answer(self, student: str, assignment: str, problem: str) -> str:
        """A short digest of what the student wrote, so that points are of this answer and not of a later one; "" without one."""
        path = self.root / "autograded" / student / assignment / f"{assignment}.ipynb"
        for cell in nbformat.read(path, as_version=4).cells if path.exists() else []:
            if cell.metadata.get("nbgrader", {}).get("grade_id") == problem:
                return hashlib.sha256(cell.source.encode()).hexdigest()[:8]
        return ""

    def _take_manual_points(self) -> None:
        """Bring the points that were filled in by hand into the gradebook; those of a replaced answer no longer count."""
        with self._gradebook() as book:
            for assignment in self.released():
                path = self.root / "grades" / f"{assignment}_by_hand.csv"
                for line, row in enumerate(_read_csv(path), start=2):
                    where, student, problem = f"{path.name}, line {line}", row["student"], row["problem"]
                    points = _number(row["points"], float(row["out of"]), where) if row["points"].strip() else None
                    answer = self._answer(student, assignment, problem)
                    if problem not in self._problems(assignment) or not self.status(student, assignment):
                        raise SystemExit(f"{where}: no submission of {student!r} has a problem {problem!r}.")
                    if not answer:  # a later submission cannot be read
                        continue
                    grade = book.find_grade(problem, assignment, assignment, student)
                    if row["answer"] == answer and points is not None:
                        grade.manual_score, grade.needs_manual_grade = points, False
                    elif row["answer"] != answer:
                        grade.manual_score, grade.needs_manual_grade = None, True
            book.db.commit()

    def _comment(self, student: str, assignment: str, problem: str) -> str:
        rows = _read_csv(self.root / "grades" / f"{assignment}_by_hand.csv")
        key = student, problem, self._answer(student, assignment, problem)
        return next((row["comment"] for row in rows if (row["student"], row["problem"], row["answer"]) == key), "")

    def _write_feedback(self, student: str, assignment: str, row: dict) -> None:
        """feedback/<student>/<assignment>.html: points, the student's cells and what they printed; no hidden test, no network."""
        lines = ""
        for name, settings in self._problems(assignment).items():
            points = "by hand, not yet" if row[name] == "" else f"{row[name]:g}"
            comment = html.escape(self._comment(student, assignment, name)) if settings["solution"] else ""
            lines += f"<tr><td>{html.escape(name)}</td><td>{points}</td><td>{settings['points']:g}</td><td>{comment}</td></tr>"
        head = f"<h1>{html.escape(assignment)}: {row['total']:g} of {row['out of']:g} points</h1><p>{html.escape(student)}: {html.escape(row['status'])}</p>"
        head += f"<table><tr><th>problem</th><th>points</th><th>out of</th><th></th></tr>{lines}</table>"
        path = self.root / "autograded" / student / assignment / f"{assignment}.ipynb"
        notebook = nbformat.v4.new_notebook()
        if path.exists():
            notebook = without_hidden_tests(nbformat.read(path, as_version=4))
        exporter = HTMLExporter(mathjax_url="", require_js_url="", jquery_url="", embed_images=True)
        body = exporter.from_notebook_node(notebook)[0]
        body = re.sub(r"<script\b[^>]*>.*?</script>", "", body, flags=re.DOTALL)
        body = re.sub(r"(<body[^>]*>)", lambda found: found.group(1) + head, body, count=1)
        _write(self.root / "feedback" / student / f"{assignment}.html", body)

    def _nbgrader(self, command: str, assignment: str, *options: str, check: bool = True) -> str:
        """Run one nbgrader command; "" or why it failed."""
        kernels = self.root / "jupyter" / "kernels" / "submission"
        argv = [str(BOOK_PYTHON), str(HOMEWORK / "kernel.py"), "-f", "{connection_file}"]
        _write(kernels / "kernel.json", json.dumps({"argv": argv, "display_name": "Submission", "language": "python"}))
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"  # nbgrader calls alembic by name
        environment = {
            **os.environ,
            "PATH": path,
            "JUPYTER_PATH": str(kernels.parent.parent),
            "HOMEWORK_SECRET": self.secret(),
        }
        call = [
            sys.executable,
            "-m",
            "nbgrader",
            command,
            f"--CourseDirectory.root={self.root}",
            "--assignment",
            assignment,
            *options,
        ]
        process = subprocess.Popen(
            call,
            cwd=HOMEWORK,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        try:
            log, _ = process.communicate(timeout=LONGEST)
        except (subprocess.TimeoutExpired, KeyboardInterrupt) as error:
            os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, KeyboardInterrupt):
                raise
            return f"took more than {LONGEST} seconds"
        if process.returncode and check:
            raise SystemExit(f"nbgrader {command} {assignment} failed:\n{log}")
        return f"nbgrader could not grade it: {log.strip().splitlines()[-1][:200]}" if process.returncode else ""


def without_hidden_tests(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A copy for the student: headings, the student's cells, and of what a test shows the error's last line alone."""
    notebook = nbformat.from_dict(json.loads(json.dumps(notebook)))
    for cell in notebook.cells:
        cell.source = HIDDEN.sub("", cell.source)
        settings = cell.metadata.get("nbgrader", {})
        if cell.cell_type == "markdown" and not settings.get("solution"):
            # the statement is known, and its formulas would need a renderer from the network
            cell.source = "\n".join(line for line in cell.source.splitlines() if line.startswith("#"))
        if cell.cell_type == "code" and settings.get("locked"):
            # what a function prints while it is tested may be the hidden inputs
            cell.outputs = [output for output in cell.outputs if output.output_type == "error"]
            for output in cell.outputs:
                output.traceback = [f"{output.ename}: {output.evalue}"]
    return notebook


def _number(text: str, most: float, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value <= most:
        raise SystemExit(f"{where}: points must be a number from 0 to {most:g}; got {text!r}.")
    return value


def _write(path: Path, text: str) -> None:
    """Replace a file as a whole, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def _write_csv(path: Path, columns: list[str], rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    with open(part, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    os.replace(part, path)


def _read_csv(path: Path) -> list[dict]:
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8-sig") as file:  # spreadsheets put a mark at the start
        return list(csv.DictReader(file))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["release", "grade"])
    parser.add_argument("--course", type=Path, default=HOMEWORK / "course", help="the term's folder")
    arguments = parser.parse_args()
    course = Course(arguments.course)
    try:
        paths = getattr(course, arguments.command)()
    except KeyboardInterrupt:
        raise SystemExit("\nStopped. What is graded is kept; the same command goes on from here.") from None
    print(*paths, sep="\n")


if __name__ == "__main__":
    main()
