"""The assignments' pages in the book, made from the solved masters: statements without answers, and the list of slips."""

import re
from pathlib import Path

import jupytext

from problems import Contest, problems

HOMEWORK = Path(__file__).resolve().parent.parent
BOOK = HOMEWORK.parent / "book" / "homework"
ORDER = ["metrics", "neighbours", "factorization", "two_towers", "logq", "temperature", "graphs", "cold_start"]
SOLUTION = re.compile(r"^([ ]*)### BEGIN SOLUTION.*?### END SOLUTION", re.DOTALL | re.MULTILINE)
HIDDEN = re.compile(r"### BEGIN HIDDEN TESTS.*?### END HIDDEN TESTS\n?", re.DOTALL)
PAGE = re.compile(r"\*([^*]+)\* \(`(\w+/\w+)`\)")
STUB = r'\1raise NotImplementedError("your code goes here")'


def statement(assignment: str) -> str:
    """The assignment as students get it, as a page: no solutions, no hidden tests."""
    parts = []
    for cell in jupytext.read(HOMEWORK / "source" / f"{assignment}.md").cells:
        graded = cell.metadata.get("nbgrader", {})
        if cell.cell_type == "code":
            code = HIDDEN.sub("", SOLUTION.sub(STUB, cell.source)).strip()
            parts.append(f"```python\n{code}\n```")
        elif graded.get("solution"):
            parts.append("*Your answer goes here.*")
        else:
            parts.append(PAGE.sub(r"[\1](../\2.ipynb)", cell.source))
    return "\n\n".join(parts).replace("# ", "# Homework: ", 1) + "\n"


def points_and_minutes(assignment: str) -> str:
    """The two as the first lines of a master say them: "16 points, about 90 minutes"."""
    text = (HOMEWORK / "source" / f"{assignment}.md").read_text(encoding="utf-8")
    return re.search(r"\d+ points, about \d+ minutes", text)[0]


def answers() -> str:
    """The page that lists, for every function, the wrong answers that the graders are tested with."""
    lines = [
        "# Answers that the graders are tested with",
        "",
        "Every item of these lists is a function that is run by `make homework-check`, as a student's answer would be. A slip",
        "must fail the public check *and* the hidden test, and both must name it in the words of the list. The right answers,",
        "the reference and others in other styles, must pass both. An open problem must be won by the reference and not by the",
        "plain ways. This page is made from `homework/problems`.",
    ]
    for assignment in ORDER:
        lines += ["", f"## {assignment}", ""]
        for name, problem in problems(assignment).items():
            right = ", ".join(f"`{answer.__name__}`" for answer in (problem.reference, *problem.styles))
            contest = isinstance(problem, Contest)
            wrong = problem.below if contest else problem.slips
            lines += [f"### {assignment}/{name}", "", f"Right: {right}.", ""]
            lines += [
                "Must stay below the threshold:" if contest else "Slips, in the words that the student is told:",
                "",
            ]
            lines += [*(f"- {hint}" for hint in wrong), ""]
    return "\n".join(lines).rstrip() + "\n"


def pages() -> dict[Path, str]:
    """{path: text} of every generated page."""
    texts = {BOOK / f"{assignment}.md": statement(assignment) for assignment in ORDER}
    return texts | {BOOK / "answers.md": answers()}
