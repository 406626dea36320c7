"""What the instructor has and the students have not: references, the slips to expect, other right answers, fresh inputs.

    python -m problems   # from homework/: write the worked cases that students get

A module per assignment holds PROBLEMS = {name: Problem or Contest}.
"""

import hashlib
import importlib
import json
import os
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recsys_lite import homework

PUBLIC = "public"
SECRET = "HOMEWORK_SECRET"
N_PUBLIC, N_HIDDEN = 2, 5


@dataclass(frozen=True)
class Problem:
    """A function to write. inputs: fresh arguments from a generator; slips: hint -> what makes that slip; styles: other right ways."""

    reference: Callable
    inputs: Callable[[np.random.Generator], dict]
    slips: Mapping[str, Callable]
    styles: Sequence[Callable]
    read: str
    tolerance: float = 1e-6

    def case(self, rng: np.random.Generator) -> dict:
        """One set of arguments, the right answer, and what each slip makes of them."""
        arguments = self.inputs(rng)
        answers = {hint: slip(**arguments) for hint, slip in self.slips.items()}
        return {
            "inputs": arguments, "expected": self.reference(**arguments), "slips": answers,
            "tolerance": self.tolerance, "read": self.read,
        }  # fmt: skip

    def judge(self, name: str, answer: Callable, secret: str) -> None:
        """AssertionError unless the answer is right on fresh inputs."""
        for k in range(N_HIDDEN):
            homework.compare(name, self.case(_generator(secret, name, k)), answer, show=False)


@dataclass(frozen=True)
class Contest:
    """An open problem: score(answer, seed) on data nobody has seen must reach the threshold; below: answers that must not."""

    reference: Callable
    score: Callable[[Callable, int], float]
    threshold: float
    below: Mapping[str, Callable]
    styles: Sequence[Callable]
    read: str

    def judge(self, name: str, answer: Callable, secret: str) -> None:
        """AssertionError unless the mean score over two hidden data sets reaches the threshold."""
        seeds = [int(_generator(secret, name, k).integers(2**31)) for k in range(2)]
        reached = float(np.mean([self.score(answer, seed) for seed in seeds]))
        if not reached >= self.threshold:
            raise AssertionError(
                f"{name}: reached {reached:.3f} on hidden data, wanted is {self.threshold}. Read {self.read}."
            )


def judge(name: str, answer: Callable) -> None:
    """The hidden test of one problem, "assignment/problem", with the course's secret."""
    assignment, _, problem = name.partition("/")
    problems(assignment)[problem].judge(name, answer, os.environ[SECRET])


def problems(assignment: str) -> dict[str, Problem | Contest]:
    """{name: problem} of one assignment."""
    return importlib.import_module(f"{__name__}.{assignment}").PROBLEMS


def assignments() -> list[str]:
    """Every assignment that has problems."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def worked_cases(assignment: str) -> str:
    """The JSON text of the cases that students get."""
    found = {}
    for name, problem in problems(assignment).items():
        if isinstance(problem, Problem):
            cases = [problem.case(_generator(PUBLIC, f"{assignment}/{name}", k)) for k in range(N_PUBLIC)]
            found[name] = [
                case | {
                    "inputs": {key: homework.encode(value) for key, value in case["inputs"].items()},
                    "expected": homework.encode(case["expected"]),
                    "slips": {hint: homework.encode(value) for hint, value in case["slips"].items()},
                }
                for case in cases
            ]  # fmt: skip
    return json.dumps(found, indent=1) + "\n"


def _generator(secret: str, name: str, k: int) -> np.random.Generator:
    digest = hashlib.sha256(f"{secret}/{name}/{k}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))
