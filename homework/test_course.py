"""The whole loop with made-up submissions, good, bad and hostile; runs in homework/.venv."""

import csv
import json
import re
import shutil
import signal
import subprocess
import sys
import time

import nbformat
import pytest
from course import HOMEWORK, Course, without_hidden_tests

ASSIGNMENTS = sorted(path.stem for path in (HOMEWORK / "source").glob("*.md"))


@pytest.fixture(scope="session")
def course(tmp_path_factory):
    """A term with its releases made."""
    course = Course(tmp_path_factory.mktemp("term"), cell_seconds=40)
    course.release()
    return course


def master(course, assignment="logq"):
    return nbformat.read(course.root / "source" / assignment / f"{assignment}.ipynb", as_version=4)


def released(course, assignment="logq"):
    return nbformat.read(course.root / "release" / assignment / f"{assignment}.ipynb", as_version=4)


def by_id(notebook, grade_id):
    return next(cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade_id") == grade_id)


def replaced(notebook, **sources):
    """The notebook with other sources in its answer cells."""
    for grade_id, source in sources.items():
        by_id(notebook, grade_id.replace("__", "-")).source = source
    return notebook


def submit(course, student, notebook, assignment="logq", name=None):
    folder = course.root / "submitted" / student / assignment
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (name or f"{assignment}.ipynb")
    path.write_bytes(notebook if isinstance(notebook, bytes) else nbformat.writes(notebook).encode())


def grades(course, assignment="logq"):
    """{student: row} after grading."""
    course.grade()
    with open(course.root / "grades" / f"{assignment}.csv", newline="") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


def answers_by_machine(notebook):
    """{grade_id: points} of the cells that are graded by running them."""
    settings = [cell.metadata.get("nbgrader", {}) for cell in notebook.cells]
    return {each["grade_id"]: each["points"] for each in settings if each.get("grade") and not each["solution"]}


# --- the release ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_a_release_has_no_solution_no_hidden_test_no_path_of_the_instructor(course, assignment):
    text = nbformat.writes(released(course, assignment))
    marks = ["### BEGIN", "SOLUTION", "HIDDEN", "import problems", "judge("]
    for secret in (*marks, str(HOMEWORK), str(course.root), course.secret()):
        assert secret not in text
    for cell in master(course, assignment).cells:
        if cell.metadata.get("nbgrader", {}).get("solution"):
            body = cell.source.partition("### BEGIN SOLUTION")[2].partition("### END SOLUTION")[0]
            lines = [line.strip() for line in (body or cell.source).splitlines() if len(line.strip()) > 12]
            assert lines and not any(json.dumps(line)[1:-1] in text for line in lines)


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_a_release_has_the_statement_of_every_problem(course, assignment):
    def headings(notebook):
        return re.findall(r"^#+ .*", "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown"), re.M)

    assert headings(released(course, assignment)) == headings(master(course, assignment))
    tests = [cell for cell in master(course, assignment).cells if cell.metadata.get("nbgrader", {}).get("grade")]
    assert sum("points" in heading for heading in headings(released(course, assignment))) == len(tests)


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_the_points_are_those_that_the_statement_says(course, assignment):
    notebook = master(course, assignment)
    points = [cell.metadata.nbgrader.points for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade")]
    assert 10 <= sum(points) <= 20 and f"{sum(points)} points" in notebook.cells[0].source


# --- right, wrong, nothing ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_the_master_earns_all_automatic_points_and_the_untouched_release_none(course, assignment):
    submit(course, "master", master(course, assignment), assignment)
    submit(course, "untouched", released(course, assignment), assignment)
    rows = grades(course, assignment)
    for problem, points in answers_by_machine(master(course, assignment)).items():
        assert float(rows["master"][problem]) == points and float(rows["untouched"][problem]) == 0
    assert rows["master"]["status"] == rows["untouched"]["status"] == "graded"
    assert float(rows["untouched"]["total"]) == 0


@pytest.fixture(scope="session")
def hostile(course):
    """Rows of the grade table for submissions that are broken or meant to break something."""
    stub = "def {}(*arguments):\n    {}"
    fast = {"recover__answer": "recover = None"}  # the slow problem is not tried again and again

    def answer(**sources):
        return replaced(master(course), **(fast | sources))

    submit(course, "half", answer(gradient__answer="gradient = None"))
    submit(
        course,
        "wrong",
        answer(stratified__answer="def stratified(positive, head, tail, n_head, n_tail):\n    return -positive"),
    )
    submit(course, "syntax error", answer(stratified__answer="def stratified(:"))
    submit(
        course,
        "loop",
        answer(stratified__answer=stub.format("stratified", "while True: pass").replace("*arguments", "**inputs")),
    )
    submit(course, "much text", answer(stratified__answer="while True:\n    print('x' * 1000)"))
    submit(course, "much memory", answer(stratified__answer="x = ['x' * 2**30 for _ in range(1000)]"))
    submit(course, "dies", answer(stratified__answer="import os\nos._exit(0)"))
    overwrite = "homework.check = lambda *rest: None\ndef {}(**inputs):\n    return 0"
    submit(course, "overwrites the check", answer(stratified__answer=overwrite.format("stratified")))

    edited = answer(stratified__answer="stratified = None")
    by_id(edited, "stratified").source = "pass"
    by_id(edited, "stratified").metadata.nbgrader.points = 100
    submit(course, "edits a test", edited)
    deleted = answer()
    deleted.cells.remove(by_id(deleted, "gradient"))
    submit(course, "deletes a test", deleted)
    kernel = answer()
    kernel.metadata.kernelspec = {"name": "ir", "display_name": "R", "language": "R"}
    submit(course, "other kernel", kernel)

    submit(course, "renamed", answer(), name="logq(1).ipynb")
    submit(course, "empty notebook", nbformat.v4.new_notebook())
    submit(course, "empty file", b"")
    submit(course, "not UTF-8", nbformat.writes(answer()).replace("positive", "p\u00f6sitive").encode("latin-1"))
    submit(course, "100 MB", nbformat.writes(answer()).encode() + b" " * (100 << 20))
    return grades(course)


GRADED = {
    "half": (4, 0, 4), "wrong": (0, 3, 4), "syntax error": (0, 3, 4), "loop": (0, 3, 4), "much text": (0, 3, 4),
    "much memory": (0, 3, 4), "overwrites the check": (0, 3, 4), "edits a test": (0, 3, 4), "other kernel": (4, 3, 4),
}  # fmt: skip


@pytest.mark.parametrize("student, points", GRADED.items())
def test_what_is_right_in_a_broken_notebook_counts(hostile, student, points):
    row = hostile[student]
    assert row["status"] == "graded"
    assert tuple(float(row[problem]) for problem in ("stratified", "gradient", "in_batch")) == points


REPORTED = {
    "renamed": "no logq.ipynb; submitted are: logq\\(1\\).ipynb",
    "empty notebook": "none of the assignment's cells",
    "empty file": "not a readable notebook",
    "not UTF-8": "not a readable notebook: UnicodeDecodeError",
    "100 MB": "has 100 MB, allowed are 20",
    "dies": "could not grade it",
}


@pytest.mark.parametrize("student, status", REPORTED.items())
def test_what_cannot_be_graded_is_reported(hostile, course, student, status):
    assert re.search(status, hostile[student]["status"])
    assert float(hostile[student]["total"]) == 0
    assert (course.root / "feedback" / student / "logq.html").exists()


def test_a_deleted_test_earns_nothing_and_the_others_count(hostile):
    row = hostile["deletes a test"]
    assert (float(row["stratified"]), float(row["gradient"]), float(row["in_batch"])) == (4, 0, 4)
    assert row["status"] == "graded; without its test: gradient"


def test_feedback_opens_offline_and_hides_the_tests(hostile, course):
    page = (course.root / "feedback" / "wrong" / "logq.html").read_text()
    assert "Read Sampled softmax" in page and "<h1>logq: 7" in page
    for hidden in ("judge", "HIDDEN", "<script", course.secret(), str(HOMEWORK)):
        assert hidden not in page
    assert not [part for part in page.split('src="')[1:] if not part.startswith("data:")]


def test_without_a_release_there_is_nothing_to_grade(tmp_path):
    with pytest.raises(SystemExit, match="make homework-release"):
        Course(tmp_path).grade()


# --- again ------------------------------------------------------------------------------------------------------------
def test_grading_again_does_nothing_anew_and_a_later_submission_replaces(hostile, course):
    before = {path: path.stat().st_mtime_ns for path in (course.root / "autograded").glob("*/*/status.json")}
    assert grades(course) == hostile
    assert before == {path: path.stat().st_mtime_ns for path in before}
    submit(course, "half", replaced(master(course), recover__answer="recover = None"))
    rows = grades(course)
    assert float(rows["half"]["gradient"]) == 3 and len(rows) == len(hostile)


def test_an_interrupted_grading_is_taken_up_where_it_stopped(hostile, course):
    shutil.copytree(course.root / "submitted" / "half", course.root / "submitted" / "stopped")
    (course.root / "autograded" / "stopped" / "logq").mkdir(parents=True)  # begun, not finished
    assert grades(course)["stopped"]["status"] == "graded"


def test_grading_stopped_by_hand_loses_and_doubles_nothing(tmp_path):
    course = Course(tmp_path)
    course.release()
    for student in ("a", "b", "c"):
        submit(course, student, replaced(master(course), recover__answer="recover = None"))
    call = [sys.executable, str(HOMEWORK / "course.py"), "grade", "--course", str(tmp_path)]
    # in the background of a shell the signal would be ignored
    heard = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
    process = subprocess.Popen(call, stderr=subprocess.PIPE, text=True, preexec_fn=heard)
    while not (tmp_path / "autograded" / "a" / "logq" / "status.json").exists():
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert "goes on from here" in process.communicate(timeout=60)[1] and process.returncode
    before = (tmp_path / "autograded" / "a" / "logq" / "status.json").stat().st_mtime_ns
    rows = grades(course)
    assert [(row["student"], row["total"]) for row in rows.values()] == [("a", "11.0"), ("b", "11.0"), ("c", "11.0")]
    assert before == (tmp_path / "autograded" / "a" / "logq" / "status.json").stat().st_mtime_ns


def test_points_given_by_hand_are_taken_in_and_bad_ones_refused(hostile, course):
    submit(course, "half", replaced(master(course), recover__answer="recover = None"))
    course.grade()
    path = course.root / "grades" / "logq_by_hand.csv"
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["problem"] for row in rows} == {"derive"}

    def write(points):
        mine = [row | {"points": points, "comment": "the limit is missing"} if row["student"] == "half" else row for row in rows]
        with open(path, "w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(mine)

    before = float(grades(course)["half"]["total"])
    write("1.5")
    assert float(grades(course)["half"]["total"]) == before + 1.5
    assert "the limit is missing" in (course.root / "feedback" / "half" / "logq.html").read_text()
    for bad in ("3", "-1", "two", "nan"):
        write(bad)
        with pytest.raises(SystemExit, match="points must be a number from 0 to 2"):
            course.grade()
    write("1.5")
    submit(course, "half", replaced(master(course), recover__answer="recover = None", derive="Another answer."))
    row = grades(course)["half"]
    assert row["derive"] == "" and float(row["total"]) == before, "points of an answer that was replaced"
    submit(course, "half", b"not a notebook any more")
    assert float(grades(course)["half"]["total"]) == 0, "an earlier row by hand must not stop the others' grading"


def test_hidden_tests_are_cut_out_of_what_students_see(course):
    text = nbformat.writes(without_hidden_tests(master(course)))
    assert "judge" not in text and "HIDDEN" not in text
