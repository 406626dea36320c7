"""What a model may learn from and what it is judged on. Events keep their order; no event is in two parts."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from recsys_lite.datasets import Dataset
from recsys_lite.examples import Queries
from recsys_lite.interactions import Interactions


@dataclass(frozen=True, eq=False)
class Split:
    """train to learn from, valid (if any) to choose hyper-parameters on, test to report on.

    `history` is what a request may show the model about its user and what is never recommended again; `known` unless
    given. ValueError where the parts differ in their numbers of users or items.
    """

    train: Interactions
    test: Interactions
    valid: Interactions | None = None
    history: Interactions | None = None

    def __post_init__(self):
        for name in ("test", "valid", "history"):
            part = getattr(self, name)
            if part is not None and (part.n_users, part.n_items) != (self.train.n_users, self.train.n_items):
                raise ValueError(f"{name} must have the users and items of train; got {part!r} and {self.train!r}.")
        if self.history is None:
            object.__setattr__(self, "history", self.known)

    @cached_property
    def known(self) -> Interactions:
        """All events before the test ones: what the final model is fitted on."""
        return self.train if self.valid is None else self.train + self.valid

    def tuning(self) -> "Split":
        """The split for choosing hyper-parameters: fit on train, judge on valid, and never look at test."""
        if self.valid is None:
            raise ValueError("tuning needs a validation part; this split has valid=None.")
        return Split(self.train, self.valid)

    def test_users(self) -> np.ndarray:
        """The users with test events, ascending."""
        return np.unique(self.test.users)

    def queries(self, users: np.ndarray) -> Queries:
        """One request a user, with all of the user's `history`."""
        return Queries(torch.tensor(users), torch.from_numpy(self.history.history(users)))


def _part(n, share: float, name: str) -> np.ndarray:
    """floor(share * n), at least 1."""
    if not 0 < share < 1:
        raise ValueError(f"{name} must be a share in (0, 1); got {share}.")
    # 0.29 * 100 is 28.999999999999996 in binary, and its floor has to be 29
    return np.maximum(np.floor(np.multiply(n, share) + 1e-9).astype(int), 1)


def _drawn(n: int, share: float, seed: int) -> np.ndarray:
    """(n,) bool, True for a random `share` of the places."""
    return np.random.default_rng(seed).permutation(n) < _part(n, share, "share")


def _cut_last(events: Interactions, n_last: np.ndarray) -> tuple[Interactions, Interactions]:
    """(all but the last n_last[u] events of each user, those last ones or as many as there are)."""
    ends = np.cumsum(events.user_counts())
    is_last = np.arange(len(events)) >= (ends - n_last)[events.users]
    return events.take(~is_last), events.take(is_last)


def per_user(events: Interactions, test: float = 0.2, valid: float | None = 0.2) -> Split:
    """Each user's last floor(test * n) events are the test, of the rest the last floor(valid * rest) are valid.

    At least one event each, the test first: a user with one event has only a test, one with two no train. Users are cut
    at different moments, so one's train can be later than another's test. valid=None leaves valid out.
    """
    known, tested = _cut_last(events, _part(events.user_counts(), test, "test"))
    if valid is None:
        return Split(known, tested)
    train, validated = _cut_last(known, _part(known.user_counts(), valid, "valid"))
    return Split(train, tested, validated)


def leave_last_out(events: Interactions) -> Split:
    """Each user's last event is the test, the one before it valid (a user with one event has only a test)."""
    known, test = _cut_last(events, np.ones(events.n_users, dtype=int))
    train, valid = _cut_last(known, np.ones(events.n_users, dtype=int))
    return Split(train, test, valid)


def at_random(events: Interactions, test: float = 0.2, seed: int = 0) -> Split:
    """A random floor(test * n) of each user's events, at least one, is the test: this lets the future leak in."""
    n_test = _part(events.user_counts(), test, "test")
    order = np.random.default_rng(seed).permutation(len(events))
    order = order[np.argsort(events.users[order], kind="stable")]  # user by user, each one's events shuffled
    is_test = np.zeros(len(events), dtype=bool)
    is_test[order] = np.arange(len(events)) >= (np.cumsum(events.user_counts()) - n_test)[events.users[order]]
    return Split(events.take(~is_test), events.take(is_test))


def spread_over_items(split: Split) -> float:
    """sqrt(mean_i z_i^2): about 1 if the test part is a random part of each user's events, more if items matter to it.

    z_i = (t_i - e_i) / sqrt(v_i), t_i item i's events in the test part, e_i and v_i the sums of q_u and of q_u (1 - q_u)
    over all its events, q_u the share of the user's events that is in the test part; each of a user and item once.
    """
    events = split.known + split.test
    share = split.test.user_counts() / np.maximum(events.user_counts(), 1)
    expected, variance = (
        np.bincount(events.items, weight[events.users], events.n_items) for weight in (share, share * (1 - share))
    )
    drawn = variance > 0
    z = (split.test.item_counts() - expected)[drawn] / np.sqrt(variance[drawn])
    return float(np.sqrt((z**2).mean()))


def by_time(events: Interactions, test: float = 0.2) -> Split:
    """The last floor(test * n) of all events are the test, by one moment for everybody.

    Events of that moment itself stay in train together, so the test can be smaller; ValueError if none is left.
    """
    if events.times is None:
        raise ValueError("events must have times to be split by time; got times=None. Use at_random(events).")
    n_test = _part(len(events), test, "test")
    moment = np.sort(events.times)[-n_test - 1] if len(events) > n_test else np.inf
    if not (events.times > moment).any():
        raise ValueError(f"events must have times after the cut at {moment}; got none. Use per_user(events).")
    return Split(events.take(events.times <= moment), events.take(events.times > moment))


def cold_items(events: Interactions, share: float = 0.2, seed: int = 0) -> Split:
    """A random floor(share * n_items) of the items, at least one, lose all their events to the test."""
    is_cold = _drawn(events.n_items, share, seed)[events.items]
    return Split(events.take(~is_cold), events.take(is_cold))


def cold_users(events: Interactions, share: float = 0.2, n_seen: int = 0, seed: int = 0) -> Split:
    """A random floor(share * n_users) of the users, at least one, are not trained on.

    Requests show the first `n_seen` events of such a user, and the test has the others.
    """
    if n_seen < 0:
        raise ValueError(f"n_seen must not be negative; got {n_seen}.")
    starts = np.cumsum(events.user_counts()) - events.user_counts()
    is_seen = np.arange(len(events)) < starts[events.users] + n_seen
    is_cold = _drawn(events.n_users, share, seed)[events.users]
    return Split(
        train=events.take(~is_cold), test=events.take(is_cold & ~is_seen), history=events.take(~is_cold | is_seen)
    )


def core(events: Interactions, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The n-core, (kept users, kept items): users and items with fewer than n events are dropped until there are none.

    It is the largest set in which each user and each item has n events or more within the set.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1; got {n}.")
    kept = np.ones(len(events), dtype=bool)
    while True:
        users = np.bincount(events.users[kept], minlength=events.n_users) >= n
        items = np.bincount(events.items[kept], minlength=events.n_items) >= n
        still = kept & users[events.users] & items[events.items]
        if still.sum() == kept.sum():
            return np.flatnonzero(users), np.flatnonzero(items)
        kept = still


def positives(dataset: Dataset, threshold: float = 4.0, n_core: int = 5, seed: int = 0) -> Dataset:
    """The data of the book: ratings >= threshold as events, of them the n-core, ties in time ordered by `seed`."""
    events = dataset.interactions
    if events.ratings is None or events.times is None:
        raise ValueError("dataset must have ratings and times; got it without. Use its interactions as they are.")
    events = events.take(events.ratings >= threshold)
    users, items = core(events, n_core)
    if len(users) == 0 or len(items) == 0:
        raise ValueError(
            f"the {n_core}-core must not be empty; got no user with ratings >= {threshold} left. Lower one of the two."
        )
    place = {"users": np.full(events.n_users, -1), "items": np.full(events.n_items, -1)}
    place["users"][users], place["items"][items] = (np.arange(len(users)), np.arange(len(items)))
    events = events.take((place["users"][events.users] >= 0) & (place["items"][events.items] >= 0))
    order = np.lexsort((events.items, events.times, events.users))
    order = order[np.random.default_rng(seed).permutation(len(events))]
    new_users, new_items = (place["users"][events.users[order]], place["items"][events.items[order]])
    times, ratings = events.times[order], events.ratings[order]
    return dataset.take(
        Interactions.from_events(new_users, new_items, len(users), len(items), times, ratings), users, items
    )


def protocol(dataset: Dataset) -> tuple[Dataset, Split]:
    """The one protocol of the book: `positives`, split `per_user`. Tune on valid, refit on known, report on test."""
    data = positives(dataset)
    return data, per_user(data.interactions)
