"""New users: hand-derived gains, the identity with the squared error, the tree's paths and smoothing, the average start."""

import numpy as np
import pytest
import torch

from recsys_lite.examples import Queries
from recsys_lite.factorization import ImplicitALS
from recsys_lite.interactions import Interactions
from recsys_lite.linear import EASE, history_matrix
from recsys_lite.onboarding import AverageStart, QuestionTree, question_gains, taste_gains

# users 0, 1 like items 0 and 1, user 2 likes item 2, user 3 item 3
LIKES = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], dtype=float)
ANSWERS = np.array([[1, 0, 0], [1, 0, 1], [0, 0, 1], [0, 1, 1]])
EVENTS = Interactions(np.nonzero(LIKES)[0], np.nonzero(LIKES)[1], 4, 4)


def asked(answers):
    answers = np.atleast_2d(answers)
    return Queries(torch.arange(len(answers)), context={"answers": torch.tensor(answers)})


def test_gains_by_hand():
    # s = (2, 2, 1, 1), |s|^2 / 4 = 10/4. Question 0: groups {0, 1} with s = (2, 2, 0, 0), 8/2, and {2, 3}, 2/2
    # question 1: {3}, 1/1, and {0, 1, 2} with (2, 2, 1, 0), 9/3; question 2: {0}, 2/1, and {1, 2, 3}, 4/3
    np.testing.assert_allclose(question_gains(LIKES, ANSWERS), [5 - 2.5, 4 - 2.5, 10 / 3 - 2.5])


def squared_error(likes, answers):
    means = {answer: likes[answers == answer].mean(axis=0) for answer in np.unique(answers)}
    return sum(((row - means[answer]) ** 2).sum() for row, answer in zip(likes, answers))


def test_a_gain_is_what_the_squared_error_falls_by():
    random = np.random.default_rng(0)
    likes, answers = random.random((30, 7)), random.integers(3, size=(30, 5))
    before = squared_error(likes, np.zeros(30))
    expected = [before - squared_error(likes, answers[:, q]) for q in range(5)]
    np.testing.assert_allclose(question_gains(likes, answers), expected)
    assert question_gains(likes, np.zeros((30, 1), int)) == pytest.approx(0, abs=1e-12)


def test_taste_does_not_see_volume():
    lengths = np.array([[1.0], [5.0], [2.0], [9.0]])
    np.testing.assert_allclose(taste_gains(LIKES * lengths, ANSWERS), taste_gains(LIKES, ANSWERS), rtol=1e-6)
    assert np.isfinite(taste_gains(np.zeros((2, 3)), ANSWERS[:2])).all()


def test_the_tree_asks_the_best_question_first_and_smooths_towards_the_parent():
    tree = QuestionTree(depth=1, strength=2.0).fit(EVENTS, ANSWERS)
    assert tree.root.question == 0 and tree.root.n_users == 4
    np.testing.assert_allclose(tree.root.scores, [0.5, 0.5, 0.25, 0.25])
    # the two who said 1: (2 + 2 * 0.5) / (2 + 2), (0 + 2 * 0.25) / 4
    np.testing.assert_allclose(tree.score_items(asked([1, 0, 0]))[0], [0.75, 0.75, 0.125, 0.125])
    np.testing.assert_allclose(tree.score_items(asked([0, 1, 1]))[0], [0.25, 0.25, 0.375, 0.375])


def test_deeper_trees_go_on_and_never_repeat_a_question():
    tree = QuestionTree(depth=3, worth=lambda likes, answers: np.array([3.0, 2.0, 1.0])).fit(EVENTS, ANSWERS)
    node, path = tree.root, []
    while node.question is not None:
        path.append(node.question)
        node = node.children[0]
    assert path == [0, 1]  # after 0 and 0 one user is left
    assert tree.root.children[1].question == 1 and tree.root.children[1].children[0].question == 2
    # smoothed towards the parent, not the root: {1, 2, 3} after question 2, then {3} after question 1
    tree = QuestionTree(2, 2.0, worth=lambda likes, answers: np.array([1.0, 2.0, 3.0])).fit(EVENTS, ANSWERS)
    np.testing.assert_allclose(tree.root.children[1].scores, [2 / 5, 2 / 5, 1.5 / 5, 1.5 / 5])
    np.testing.assert_allclose(tree.leaf(np.array([0, 1, 1])).scores, [0.8 / 3, 0.8 / 3, 0.6 / 3, 1.6 / 3])
    shallow = QuestionTree(depth=0).fit(EVENTS, ANSWERS)
    assert shallow.root.question is None
    np.testing.assert_allclose(shallow.score_items(asked([1, 1, 1]))[0], LIKES.mean(axis=0))
    flat = QuestionTree(depth=2).fit(EVENTS, np.zeros((4, 2), int))
    assert flat.root.question is None  # nothing is worth asking


def test_an_answer_that_nobody_gave_ends_the_path():
    tree = QuestionTree(depth=2).fit(EVENTS, ANSWERS)
    assert tree.leaf(np.array([7, 0, 0])) is tree.root


def test_users_without_events_teach_nothing():
    events = Interactions(EVENTS.users, EVENTS.items, 5, 4)
    tree = QuestionTree(depth=2).fit(events, np.vstack([ANSWERS, [1, 1, 1]]))
    assert tree.root.n_users == 4
    np.testing.assert_allclose(tree.root.scores, LIKES.mean(axis=0))


@pytest.mark.parametrize("model", [EASE(2.0), ImplicitALS(dim=2, alpha=0.0, regularization=1.0)])
def test_average_start_is_the_models_score_of_clicks_and_average_clicks(model):
    model.fit(EVENTS)
    start = AverageStart(model, strength=3.0).fit(EVENTS)
    queries = Queries(torch.arange(2), torch.tensor([[4, 4], [4, 2]]))
    p = LIKES.sum(axis=0) / LIKES.sum()
    rows = history_matrix(queries, 4).toarray() + 3 * p
    if isinstance(model, EASE):
        expected = rows @ model.weights
    else:
        Y = model.items
        expected = rows @ Y @ np.linalg.inv(Y.T @ Y + np.eye(2)) @ Y.T
    np.testing.assert_allclose(start.score_items(queries), expected, rtol=1e-4, atol=1e-6)


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match="one n; got"):
        question_gains(LIKES, ANSWERS[:3])
    with pytest.raises(ValueError, match="integers from 0; got int64 from -1"):
        question_gains(LIKES, ANSWERS - 1)
    with pytest.raises(ValueError, match="integers from 0; got float64"):
        question_gains(LIKES, ANSWERS.astype(float))
    with pytest.raises(ValueError, match="depth must not be negative; got -1"):
        QuestionTree(depth=-1)
    with pytest.raises(ValueError, match="strength must be positive; got 0"):
        QuestionTree(strength=0)
    with pytest.raises(ValueError, match="n_users = 4; got"):
        QuestionTree().fit(EVENTS, ANSWERS[:3])
    nothing = EVENTS.take(np.zeros(len(EVENTS), dtype=bool))
    with pytest.raises(ValueError, match="events to learn from"):
        QuestionTree().fit(nothing, ANSWERS)
    tree = QuestionTree().fit(EVENTS, ANSWERS)
    with pytest.raises(ValueError, match="must carry context"):
        tree.score_items(Queries(torch.arange(2)))
    with pytest.raises(ValueError, match=r"answers must be \(1, 3\); got \(1, 2\)"):
        tree.score_items(asked([1, 1]))
    with pytest.raises(ValueError, match="strength must be positive; got 0"):
        AverageStart(EASE().fit(EVENTS), 0)
    with pytest.raises(ValueError, match="events to average"):
        AverageStart(EASE().fit(EVENTS)).fit(nothing)
