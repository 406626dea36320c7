"""Graders tested by answers, right and wrong; runs in the book's environment."""

import json
import re

import numpy as np
import pytest

import problems
from problems import Contest, Problem, _pages
from recsys_lite import homework

ALL = {
    f"{assignment}/{name}": problem
    for assignment in problems.assignments()
    for name, problem in problems.problems(assignment).items()
}
PROBLEMS = {name: problem for name, problem in ALL.items() if isinstance(problem, Problem)}
CONTESTS = {name: problem for name, problem in ALL.items() if isinstance(problem, Contest)}
SLIPS = [pytest.param(name, hint, id=f"{name}-{hint}") for name, problem in PROBLEMS.items() for hint in problem.slips]
RIGHT = [
    pytest.param(name, answer, id=f"{name}-{answer.__name__}")
    for name, problem in PROBLEMS.items()
    for answer in (problem.reference, *problem.styles)
]


def leaves(value, path=()):
    """(path, leaf) of nested lists and dicts."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if isinstance(value, (dict, list)):
        for key, child in children:
            yield from leaves(child, (*path, key))
    else:
        yield path, value


@pytest.mark.parametrize("assignment", problems.assignments())
def test_the_cases_that_students_get_are_those_of_the_problems(assignment):
    stored = json.loads((homework.FOLDER / f"{assignment}.json").read_text(encoding="utf-8"))
    stored, fresh = dict(leaves(stored)), dict(leaves(json.loads(problems.worked_cases(assignment))))
    numbers = {path: leaf for path, leaf in fresh.items() if isinstance(leaf, float)}
    assert stored.keys() == fresh.keys(), "run: cd homework && ../.venv/bin/python -m problems"
    assert {path: stored[path] for path in numbers} == pytest.approx(numbers, rel=1e-9, abs=1e-12)
    assert all(stored[path] == leaf for path, leaf in fresh.items() if path not in numbers)


@pytest.mark.parametrize("path", _pages.pages(), ids=lambda path: path.stem)
def test_the_pages_of_the_book_are_those_of_the_masters(path):
    again = "run: cd homework && ../.venv/bin/python -m problems"
    assert path.read_text(encoding="utf-8") == _pages.pages()[path], again


@pytest.mark.parametrize("assignment", problems.assignments())
def test_the_guide_says_points_and_minutes_as_the_master_does(assignment):
    assert assignment in _pages.ORDER
    points, minutes = re.findall(r"\d+", _pages.points_and_minutes(assignment))
    guide = (_pages.BOOK / "instructor.md").read_text(encoding="utf-8")
    assert f"]({assignment}.md) | {points} | {minutes} |" in guide


@pytest.mark.parametrize("name, answer", RIGHT)
def test_a_right_answer_passes_public_and_hidden_tests(name, answer):
    assert homework.check(name, answer) == f"{name}: right on {problems.N_PUBLIC} worked cases."
    for secret in ("one year", "the next"):
        PROBLEMS[name].judge(name, answer, secret)


@pytest.mark.parametrize("name, hint", SLIPS)
def test_a_slip_is_named_by_public_and_hidden_tests(name, hint):
    slip = PROBLEMS[name].slips[hint]
    with pytest.raises(AssertionError, match="Read ") as public:
        homework.check(name, slip)
    assert f"slip: {hint}." in str(public.value)
    with pytest.raises(AssertionError) as hidden:
        PROBLEMS[name].judge(name, slip, "one year")
    assert hint in str(hidden.value)
    assert "expected" not in str(hidden.value), "a hidden test must not give its numbers away"


@pytest.mark.parametrize("name", PROBLEMS)
def test_every_function_is_tried_with_five_slips_and_two_styles(name):
    assert len(PROBLEMS[name].slips) >= 5 and len(PROBLEMS[name].styles) >= 2


@pytest.mark.parametrize("name", PROBLEMS)
def test_answers_of_another_year_do_not_help(name):
    one, other = (
        PROBLEMS[name].case(problems._generator(secret, name, 0))["expected"] for secret in ("one year", "the next")
    )
    assert np.shape(one) != np.shape(other) or not np.allclose(one, other)


@pytest.mark.parametrize("name", CONTESTS)
def test_an_open_problem_is_won_by_the_reference_and_not_by_plain_ways(name):
    contest = CONTESTS[name]
    for answer in (contest.reference, *contest.styles):
        contest.judge(name, answer, "one year")
    for way, answer in contest.below.items():
        with pytest.raises(AssertionError, match="reached"):
            contest.judge(name, answer, "one year")
            pytest.fail(f"{way} reached the threshold")


@pytest.mark.parametrize(
    "answer, message",
    [
        (None, "must be a function; got NoneType"),
        (lambda positive: positive, "must take the arguments"),
        (lambda **inputs: None, "returned nothing"),
        (lambda **inputs: "text", "must return a number or an array; got str"),
        (lambda **inputs: 1.0, r"has shape \(\), expected is"),
        (lambda positive, **rest: positive * np.nan, "not finite"),
    ],
)
def test_what_is_no_answer_is_told_so(answer, message):
    with pytest.raises(AssertionError, match=message):
        homework.check("logq/stratified", answer)


def test_a_problem_that_does_not_exist_is_named():
    with pytest.raises(ValueError, match="problem must be one of .*logq/stratified.*; got 'logq/none'"):
        homework.check("logq/none", abs)


def test_an_answer_cannot_change_its_inputs():
    def greedy(positive, head, tail, n_head, n_tail):
        loss = PROBLEMS["logq/stratified"].reference(positive, head, tail, n_head, n_tail)
        head[:], tail[:] = 0, 0
        return loss

    homework.check("logq/stratified", greedy)
    homework.check("logq/stratified", greedy)
