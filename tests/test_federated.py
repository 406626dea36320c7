"""Federated averaging: a step by hand, autograd, equality with the central step, what an update reveals."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from recsys_lite.federated import Update, federated_average, local_update, revealed

RANDOM = np.random.default_rng(0)
Y, X = RANDOM.normal(size=(6, 3)), RANDOM.normal(size=(2, 3))
CLIENTS = [(np.array([0, 2, 5, 1]), np.array([1, 1, 0, 0])), (np.array([3, 2]), np.array([1, 0]))]


def test_a_step_by_hand():
    # x = (1, 0), y = (0, 0): sigma = 1/2, so a met item moves by +rate * 1/2 * 1/2 x of two examples, a drawn one by - that
    items, x = np.zeros((3, 2)), np.array([1.0, 0.0])
    after, update = local_update(items, x, [2, 0], [1, 0], learning_rate=0.4)
    np.testing.assert_allclose(update.change, [[-0.1, 0], [0, 0], [0.1, 0]])
    np.testing.assert_allclose(after, x)  # its gradient is a sum of item vectors, all zero
    assert update.n_examples == 2 and (items == 0).all()


def test_a_step_is_the_gradient_of_the_mean_logistic_loss():
    rows, labels = np.array([0, 2, 2, 5]), np.array([1.0, 1.0, 0.0, 0.0])
    items, x = torch.tensor(Y, requires_grad=True), torch.tensor(X[0], requires_grad=True)
    loss = F.binary_cross_entropy_with_logits(items[rows] @ x, torch.tensor(labels))
    of_items, of_x = torch.autograd.grad(loss, (items, x))
    after, update = local_update(Y, X[0], rows, labels, learning_rate=0.3)
    np.testing.assert_allclose(update.change, -0.3 * of_items.numpy())
    np.testing.assert_allclose(after, X[0] - 0.3 * of_x.numpy())


def test_two_steps_are_two_updates_in_a_row():
    middle, first = local_update(Y, X[0], *CLIENTS[0], learning_rate=0.5)
    after, second = local_update(Y + first.change, middle, *CLIENTS[0], learning_rate=0.5)
    end, both = local_update(Y, X[0], *CLIENTS[0], learning_rate=0.5, n_steps=2)
    np.testing.assert_allclose(both.change, first.change + second.change)
    np.testing.assert_allclose(end, after)


def test_one_local_step_averaged_is_one_central_step():
    updates = [local_update(Y, X[u], *CLIENTS[u], learning_rate=0.7)[1] for u in (0, 1)]
    items = torch.tensor(Y, requires_grad=True)
    scores = torch.cat([items[CLIENTS[u][0]] @ torch.tensor(X[u]) for u in (0, 1)])
    labels = torch.tensor(np.concatenate([CLIENTS[u][1] for u in (0, 1)]), dtype=torch.float64)
    (gradient,) = torch.autograd.grad(F.binary_cross_entropy_with_logits(scores, labels), items)
    np.testing.assert_allclose(federated_average(Y, updates), Y - 0.7 * gradient.numpy())


def test_the_average_is_weighted_by_examples():
    updates = [Update(np.full((1, 1), 4.0), 3), Update(np.zeros((1, 1)), 1)]
    assert federated_average(np.ones((1, 1)), updates) == pytest.approx(1 + 3)


def test_an_update_reveals_its_items():
    assert revealed(local_update(Y, X[0], *CLIENTS[0], learning_rate=0.1, n_steps=3)[1].change).tolist() == [0, 1, 2, 5]
    assert revealed(np.zeros((3, 2))).tolist() == []
    assert revealed(np.array([[0.0, -1e-9], [0, 0]])).tolist() == [0]


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match=r"got \(2,\) and \(1,\)"):
        local_update(Y, X[0], [0, 1], [1], learning_rate=0.1)
    with pytest.raises(ValueError, match=r"n_u of 1 or more; got \(0,\)"):
        local_update(Y, X[0], [], [], learning_rate=0.1)
    with pytest.raises(ValueError, match=r"\[0, 6\); got 0 to 6"):
        local_update(Y, X[0], [0, 6], [1, 0], learning_rate=0.1)
    with pytest.raises(ValueError, match="learning_rate must be positive"):
        local_update(Y, X[0], [0], [1], learning_rate=0)
    with pytest.raises(ValueError, match="n_steps at least 1; got 0.1 and 0"):
        local_update(Y, X[0], [0], [1], learning_rate=0.1, n_steps=0)
    with pytest.raises(ValueError, match="at least one device"):
        federated_average(Y, [])
    with pytest.raises(ValueError, match=r"shape of items, \(6, 3\); got \(1, 1\)"):
        federated_average(Y, [Update(np.zeros((1, 1)), 1)])
