"""Write what is made from the problems: the worked cases in the package, the pages in the book."""

from problems import _pages, assignments, worked_cases
from recsys_lite import homework

homework.FOLDER.mkdir(exist_ok=True)
for assignment in assignments():
    (homework.FOLDER / f"{assignment}.json").write_text(worked_cases(assignment), encoding="utf-8")
for path, text in _pages.pages().items():
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
