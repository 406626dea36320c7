"""New users: start them as the average one, ask what tells most about the rest, and a tree of such questions."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

import torch

from recsys_lite.evaluation import Recommender
from recsys_lite.examples import Queries
from recsys_lite.interactions import Interactions

Worth = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (likes, answers) of some users -> (Q,), the largest is asked


class AverageStart:
    """score(u) = f(h_u + a p) = f(h_u) + a f(p): a clicks, spread as everybody's are, stand before a user's own.

    f is a fitted model whose scores are a linear function of the history h_u, such as EASE, ItemKNN, PureSVD and
    ImplicitALS with alpha = 0; p the share of each item in all events, a is `strength`, in clicks. By linearity
    f(p) = sum_u f(h_u) / sum_u n_u over the known users. An empty history gets a f(p) in place of zeros.
    """

    def __init__(self, model: Recommender, strength: float = 10.0):
        if strength <= 0:
            raise ValueError(f"strength must be positive; got {strength}.")
        self.model, self.strength, self.n_items = model, strength, model.n_items

    def fit(self, interactions: Interactions) -> "AverageStart":
        """f(p) from the events that the model was fitted on."""
        users = np.flatnonzero(interactions.user_counts())
        if len(users) == 0:
            raise ValueError("interactions must have events to average; got none.")
        queries = Queries(torch.from_numpy(users), torch.from_numpy(interactions.history(users)))
        self.start = np.sum(self.model.score_items(queries), axis=0, dtype=float) / len(interactions)
        return self

    def score_items(self, queries: Queries) -> np.ndarray:
        return np.asarray(self.model.score_items(queries)) + self.strength * self.start


def question_gains(likes: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Delta_q = sum_g |s_g|^2 / n_g - |s|^2 / n: by how much question q lowers the squared error of the group means.

    The users of a group g gave one answer; n_g is their number, s_g the sum of their rows of `likes`. The error is
    sum_u |r_u - mean of u's group|^2. For two answers Delta_q = (n_1 n_2 / n) |m_1 - m_2|^2, m_g the means.
    likes: (n, m); answers: (n, Q) integers from 0; the result is (Q,), never negative but for rounding. After the
    splitting rule of Golbandi, Koren and Lempel (2011), with every unmet item counted as 0.
    """
    likes, answers = np.asarray(likes), np.asarray(answers)
    if likes.ndim != 2 or answers.ndim != 2 or len(likes) != len(answers):
        raise ValueError(f"likes and answers must be (n, m) and (n, Q) with one n; got {likes.shape} and {answers.shape}.")
    if answers.dtype.kind not in "iu" or answers.min(initial=0) < 0:
        raise ValueError(f"answers must be integers from 0; got {answers.dtype} from {answers.min(initial=0)}.")
    gains = np.full(answers.shape[1], -(likes.sum(axis=0, dtype=float) ** 2).sum() / max(len(likes), 1))
    for answer in range(answers.max(initial=0) + 1):
        gave = (answers == answer).astype(likes.dtype if likes.dtype.kind == "f" else float)
        gains += ((gave.T @ likes) ** 2).sum(axis=1) / np.maximum(gave.sum(axis=0), 1)
    return gains


def taste_gains(likes: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """`question_gains` of rows of unit length, r_u / |r_u|: the volume of a history counts no more, only its direction.

    With plain rows the best first question is one that tells long histories from short ones.
    """
    likes = np.asarray(likes, dtype=np.float32)
    lengths = np.sqrt((likes**2).sum(axis=1, keepdims=True))
    return question_gains(likes / np.where(lengths > 0, lengths, 1), answers)


@dataclass
class Node:
    """Users who gave the same answers so far: the list for them, the next question, a child an answer."""

    scores: np.ndarray
    n_users: int
    question: int | None = None
    children: dict[int, "Node"] = field(default_factory=dict)


class QuestionTree:
    """Ask what is worth most, split the users by their answers, go on in each group; score(u, i) = i's smoothed share.

    In a group g of n_g users the share is (s_gi + a parent's share) / (n_g + a), a is `strength` in users; at the root
    it is the plain share. A path has at most `depth` questions, none twice, and ends where fewer than two users are
    left or nothing is worth asking. `worth` gives each question's worth in a group. After Golbandi, Koren and Lempel (2011).
    """

    def __init__(self, depth: int = 4, strength: float = 20.0, worth: Worth = taste_gains):
        if depth < 0:
            raise ValueError(f"depth must not be negative; got {depth}.")
        if strength <= 0:
            raise ValueError(f"strength must be positive; got {strength}.")
        self.depth, self.strength, self.worth = depth, strength, worth

    def fit(self, interactions: Interactions, answers: np.ndarray) -> "QuestionTree":
        """answers: (n_users, Q) integers from 0, what each user says to each question; users without events are left out."""
        answers = np.asarray(answers)
        if answers.ndim != 2 or len(answers) != interactions.n_users:
            raise ValueError(f"answers must be (n_users, Q) with n_users = {interactions.n_users}; got {answers.shape}.")
        self.n_items, self.n_questions = interactions.n_items, answers.shape[1]
        users = np.flatnonzero(interactions.user_counts())
        if len(users) == 0:
            raise ValueError("interactions must have events to learn from; got none.")
        likes = (interactions.matrix()[users] > 0).toarray().astype(np.float32)
        self.root = self._grow(likes, answers[users], likes.mean(axis=0), self.depth, frozenset())
        return self

    def _grow(self, likes, answers, scores, depth, asked) -> Node:
        node = Node(scores, len(likes))
        if depth == 0 or len(likes) < 2:
            return node
        worth = np.array(self.worth(likes, answers), dtype=float)
        worth[list(asked)] = -np.inf
        if not worth.max(initial=-np.inf) > 1e-6:
            return node
        node.question = int(worth.argmax())
        for answer in np.unique(answers[:, node.question]):
            group = answers[:, node.question] == answer
            share = (likes[group].sum(axis=0) + self.strength * scores) / (group.sum() + self.strength)
            child = self._grow(likes[group], answers[group], share, depth - 1, asked | {node.question})
            node.children[int(answer)] = child
        return node

    def leaf(self, answers: np.ndarray) -> Node:
        """The node that one user's answers (Q,) lead to; it stops where nobody in training gave that answer."""
        node = self.root
        while node.question is not None and int(answers[node.question]) in node.children:
            node = node.children[int(answers[node.question])]
        return node

    def score_items(self, queries: Queries) -> np.ndarray:
        """queries.context["answers"]: (S, Q), of which only those on a user's path are read."""
        if "answers" not in queries.context:
            raise ValueError('queries must carry context["answers"], (S, Q), for this model; got none.')
        answers = np.asarray(queries.context["answers"])
        if answers.shape != (len(queries.users), self.n_questions):
            raise ValueError(f"answers must be {(len(queries.users), self.n_questions)}; got {answers.shape}.")
        return np.array([self.leaf(row).scores for row in answers]).reshape(len(answers), self.n_items)
