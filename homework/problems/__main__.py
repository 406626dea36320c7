"""Write the worked cases of every assignment into the package."""

from problems import assignments, worked_cases
from recsys_lite import homework

for assignment in assignments():
    homework.FOLDER.mkdir(exist_ok=True)
    (homework.FOLDER / f"{assignment}.json").write_text(worked_cases(assignment), encoding="utf-8")
