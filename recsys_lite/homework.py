"""Public checks of the homework: a worked case for the student's function, and the name of the slip that its answer shows.

The cases hold numbers alone: inputs, the right answer, and the answers that usual slips give (`homework/problems` makes them).
"""

import copy
import inspect
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

FOLDER = Path(__file__).parent / "data" / "homework"


def check(problem: str, answer: Callable) -> str:
    """A line that says so if the function is right on the problem's worked cases.

    Otherwise AssertionError: what was expected, what came, the usual slip if it is one, and where to read.

    problem: "assignment/problem", such as "logq/stratified"; answer: the student's function, called with the arguments
    that the assignment names.
    """
    cases = _cases(problem)
    for case in cases:
        compare(problem, case, answer)
    return f"{problem}: right on {len(cases)} worked cases."


def compare(problem: str, case: Mapping, answer: Callable, *, show: bool = True) -> None:
    """AssertionError unless answer(**inputs) is the expected value to the tolerance.

    case: {"inputs": {name: value}, "expected", "slips": {hint: what that slip gives}, "tolerance", "read": page};
    show: whether the message may show inputs and expected value; without, it names the slip alone.
    """
    came = _call(problem, case["inputs"], answer)
    expected = np.asarray(case["expected"], dtype=float)
    if came.shape != expected.shape:
        _wrong(problem, case, f"the answer has shape {came.shape}, expected is {expected.shape}.")
    if np.allclose(came, expected, rtol=case["tolerance"], atol=case["tolerance"]):
        return
    if not np.isfinite(came).all():
        _wrong(problem, case, "the answer holds a value that is not finite.")
    hints = [hint for hint, value in case["slips"].items() if _same(came, value, case["tolerance"])]
    found = f" This is what comes out with the slip: {hints[0]}." if hints else ""
    if show:
        given = ", ".join(f"{name}={_short(value)}" for name, value in case["inputs"].items())
        _wrong(problem, case, f"for {given} expected is {_short(expected)}, came {_short(came)}.{found}")
    _wrong(problem, case, f"wrong on a fresh random input.{found}")


def encode(value):
    """A JSON value from which `decode` makes the same number, array or tensor again."""
    if isinstance(value, torch.Tensor):
        return {"tensor": value.tolist(), "dtype": str(value.dtype).removeprefix("torch.")}
    if isinstance(value, np.ndarray):
        return {"array": value.tolist(), "dtype": str(value.dtype)}
    return value.item() if isinstance(value, np.generic) else value


def decode(value):
    """The value that `encode` was given."""
    if isinstance(value, Mapping) and "tensor" in value:
        return torch.tensor(value["tensor"], dtype=getattr(torch, value["dtype"]))
    if isinstance(value, Mapping) and "array" in value:
        return np.array(value["array"], dtype=value["dtype"])
    return value


def _cases(problem: str) -> list[dict]:
    assignment, _, name = problem.partition("/")
    path = FOLDER / f"{assignment}.json"
    stored = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if name not in stored:
        known = [
            f"{p.stem}/{each}"
            for p in sorted(FOLDER.glob("*.json"))
            for each in json.loads(p.read_text(encoding="utf-8"))
        ]
        raise ValueError(f"problem must be one of {known}; got {problem!r}.")
    return [
        case | {
            "inputs": {key: decode(value) for key, value in case["inputs"].items()},
            "expected": decode(case["expected"]),
            "slips": {hint: decode(value) for hint, value in case["slips"].items()},
        }
        for case in stored[name]
    ]  # fmt: skip


def _call(problem: str, inputs: Mapping, answer: Callable) -> np.ndarray:
    """What the function returns for copies of the inputs, as an array of floats."""
    if not callable(answer):
        raise AssertionError(f"{problem}: the answer must be a function; got {type(answer).__name__}.")
    copies = copy.deepcopy(dict(inputs))
    try:
        inspect.signature(answer).bind(**copies)
    except TypeError as error:
        raise AssertionError(f"{problem}: the function must take the arguments {list(inputs)}: {error}.") from None
    came = answer(**copies)
    if came is None:
        raise AssertionError(f"{problem}: the function returned nothing; does every way through it end in `return`?")
    came = came.detach().numpy() if torch.is_tensor(came) else came
    try:
        return np.asarray(came, dtype=float)
    except (TypeError, ValueError):
        raise AssertionError(
            f"{problem}: the function must return a number or an array; got {type(came).__name__}."
        ) from None


def _same(came: np.ndarray, value, tolerance: float) -> bool:
    value = np.asarray(value, dtype=float)
    return value.shape == came.shape and np.allclose(came, value, rtol=tolerance, atol=tolerance, equal_nan=True)


def _short(value) -> str:
    return np.array2string(np.asarray(value), precision=4, separator=", ", threshold=40).replace("\n", "")


def _wrong(problem: str, case: Mapping, message: str) -> None:
    raise AssertionError(f"{problem}: {message} Read {case['read']}.") from None
