"""nbgrader's settings for this course; `course.py` runs it."""

from pathlib import Path

c = get_config()  # noqa: F821 - nbgrader defines it
c.CourseDirectory.root = str(Path(__file__).resolve().parent / "course")
c.ClearSolutions.code_stub = {"python": 'raise NotImplementedError("your code goes here")'}
c.ClearSolutions.text_stub = "Your answer goes here."
c.ExecutePreprocessor.kernel_name = "submission"
c.ExecutePreprocessor.startup_timeout = 120
c.LimitOutput.max_lines = 200
