"""Training where the data are: devices send changes of a shared item table, a server averages them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import expit


class Update(NamedTuple):
    """What a device sends: the change of the item table, (n_items, d), and its number of examples n_u."""

    change: np.ndarray
    n_examples: int


def local_update(
    items: np.ndarray, user: np.ndarray, rows: np.ndarray, labels: np.ndarray, *, learning_rate: float, n_steps: int = 1
) -> tuple[np.ndarray, Update]:
    """(the user vector after training, what is sent): n_steps gradient steps on the device's own mean logistic loss.

    The loss is -(1/n_u) sum_k [t_k log sigma(s_k) + (1 - t_k) log sigma(-s_k)], s_k = <x, y_{rows[k]}>, with gradients
        (1/n_u) sum_k (sigma(s_k) - t_k) x  over the k of an item,   (1/n_u) sum_k (sigma(s_k) - t_k) y_{rows[k]}  for x,
    both taken before either side moves. items: Y (n_items, d), left as it is; user: x (d,), which stays on the device;
    rows: (n_u,) item indices, labels: (n_u,) t, 1 for met and 0 for drawn ones.
    """
    rows, labels = np.asarray(rows), np.asarray(labels, dtype=float)
    if rows.ndim != 1 or rows.shape != labels.shape or len(rows) == 0:
        raise ValueError(f"rows and labels must be (n_u,) with n_u of 1 or more; got {rows.shape} and {labels.shape}.")
    if rows.min() < 0 or rows.max() >= len(items):
        raise ValueError(f"rows must be item indices in [0, {len(items)}); got {rows.min()} to {rows.max()}.")
    if learning_rate <= 0 or n_steps < 1:
        raise ValueError(f"learning_rate must be positive and n_steps at least 1; got {learning_rate} and {n_steps}.")
    own, place = np.unique(rows, return_inverse=True)
    local, x = items[own].astype(float), np.array(user, dtype=float)
    for _ in range(n_steps):
        error = expit(local[place] @ x) - labels
        of_item = np.bincount(place, weights=error, minlength=len(own)) / len(rows)
        local, x = local - learning_rate * np.outer(of_item, x), x - learning_rate * of_item @ local
    change = np.zeros(items.shape)
    change[own] = local - items[own]
    return x, Update(change, len(rows))


def federated_average(items: np.ndarray, updates: Sequence[Update]) -> np.ndarray:
    """Y + sum_u (n_u / n) change_u, n = sum_u n_u (McMahan et al. 2017, algorithm 1): (n_items, d)."""
    if not updates:
        raise ValueError("updates must hold at least one device's; got none.")
    wrong = [update.change.shape for update in updates if update.change.shape != items.shape]
    if wrong:
        raise ValueError(f"updates must have the shape of items, {items.shape}; got {wrong[0]}.")
    total = sum(update.n_examples for update in updates)
    return items + sum(update.n_examples / total * update.change for update in updates)


def revealed(change: np.ndarray) -> np.ndarray:
    """The items whose rows of a change are not zero, ascending: all that its sender trained on."""
    return np.flatnonzero(np.any(change != 0, axis=1))
