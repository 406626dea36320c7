"""splits: every event in one part, nobody's future before their past, and the protocol equal to the stored one."""

import gzip
from fractions import Fraction
from itertools import chain, combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_lite import splits, synthetic
from recsys_lite.datasets import Dataset, movielens
from recsys_lite.interactions import IdMap, Interactions

prop = settings(deadline=None, derandomize=True, max_examples=80)
SHARES = st.sampled_from([0.1, 0.2, 0.29, 0.5, 0.9])


@st.composite
def events(draw, max_events=40):
    """Small event sets with empty users, single events, ties in time and repeats at other times."""
    n_users, n_items = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    triple = st.tuples(st.integers(0, n_users - 1), st.integers(0, n_items - 1), st.integers(0, 6))
    rows = draw(st.lists(triple, min_size=1, max_size=max_events, unique=True))
    users, items, times = np.array(rows).T
    return Interactions.from_events(users, items, n_users, n_items, times)


def rows(part):
    return list(zip(part.users.tolist(), part.items.tolist(), part.times.tolist()))


def of_user(part, user):
    return [row for row in rows(part) if row[0] == user]


def assert_partition(whole, *parts):
    assert sorted(chain.from_iterable(map(rows, parts))) == sorted(rows(whole))


def floor(share, n):
    return max(1, int(Fraction(str(share)) * n))  # exact: the share is the decimal as written


@prop
@given(events(), SHARES, SHARES)
def test_per_user_cuts_each_history_twice(data, test, valid):
    split = splits.per_user(data, test, valid)
    assert_partition(data, split.train, split.valid, split.test)
    for user in range(data.n_users):
        history = of_user(data, user)
        n_test = min(floor(test, len(history)), len(history))
        rest = len(history) - n_test
        n_valid = min(floor(valid, rest), rest)
        assert of_user(split.test, user) == history[rest:]
        assert of_user(split.valid, user) == history[rest - n_valid : rest]
        assert of_user(split.train, user) == history[: rest - n_valid]
        assert of_user(split.known, user) == history[:rest]


@prop
@given(events(), SHARES)
def test_per_user_without_valid(data, test):
    split = splits.per_user(data, test, valid=None)
    assert split.valid is None
    assert rows(split.test) == rows(splits.per_user(data, test).test)
    assert rows(split.train) == rows(split.known) == rows(splits.per_user(data, test).known)


def test_the_floor_is_exact():
    # 0.29 * 100 is 28.999999999999996 in binary
    data = Interactions(np.zeros(100, dtype=int), np.arange(100), 1, 100, np.arange(100))
    assert len(splits.per_user(data, 0.29, None).test) == 29
    assert len(splits.at_random(data, 0.29).test) == 29
    assert len(splits.by_time(data, 0.29).test) == 29
    assert len(splits.cold_items(data, 0.29).test) == 29


@prop
@given(events())
def test_leave_last_out(data):
    split = splits.leave_last_out(data)
    assert_partition(data, split.train, split.valid, split.test)
    for user in range(data.n_users):
        history = of_user(data, user)
        assert of_user(split.test, user) == history[-1:]
        assert of_user(split.valid, user) == history[-2:-1]
        assert of_user(split.train, user) == history[:-2]


@prop
@given(events(), SHARES)
def test_by_time_is_one_moment_for_everybody(data, test):
    try:
        split = splits.by_time(data, test)
    except ValueError:  # the cut falls into the last moment of all
        times = np.sort(data.times)
        assert len(times) == 1 or times[-floor(test, len(times)) - 1] == times[-1]
        return
    assert_partition(data, split.train, split.test)
    assert split.train.times.max() < split.test.times.min()
    # as many as asked for, or fewer where the cut falls into a moment; one more moment would be too many
    last_moment = (split.train.times == split.train.times.max()).sum()
    assert len(split.test) <= floor(test, len(data)) < len(split.test) + last_moment


@prop
@given(events(), SHARES, st.integers(0, 3))
def test_at_random_draws_a_share_of_each_user(data, test, seed):
    split = splits.at_random(data, test, seed)
    assert_partition(data, split.train, split.test)
    for user in range(data.n_users):
        n = len(of_user(data, user))
        assert len(of_user(split.test, user)) == min(floor(test, n), n)
    assert rows(splits.at_random(data, test, seed).test) == rows(split.test)


def test_only_the_random_split_lets_the_future_leak():
    n_users, length = 40, 10
    users = np.repeat(np.arange(n_users), length)
    times = np.tile(np.arange(length), n_users)
    data = Interactions(users, np.tile(np.arange(length), n_users), n_users, length, times)

    def n_leaking(split):
        first_test = [min(row[2] for row in of_user(split.test, user)) for user in range(n_users)]
        last_known = [max(row[2] for row in of_user(split.known, user)) for user in range(n_users)]
        return sum(known > test for known, test in zip(last_known, first_test))

    for honest in (splits.per_user, splits.leave_last_out, splits.by_time):
        assert n_leaking(honest(data)) == 0
    assert n_leaking(splits.at_random(data)) > n_users / 2
    # every place in the history can be drawn, not only late ones: 80 draws of 10 places
    drawn = np.bincount(splits.at_random(data).test.times, minlength=length)
    assert drawn.min() > 0 and drawn.max() < 20
    assert rows(splits.at_random(data, seed=1).test) != rows(splits.at_random(data).test)


@prop
@given(events(), SHARES, st.integers(0, 3))
def test_cold_items_have_no_event_in_train(data, share, seed):
    split = splits.cold_items(data, share, seed)
    assert_partition(data, split.train, split.test)
    assert not set(split.train.items) & set(split.test.items)
    assert len(set(split.test.items)) <= floor(share, data.n_items)
    assert rows(splits.cold_items(data, share, seed).test) == rows(split.test)


def test_cold_items_are_as_many_as_asked_for_and_change_with_the_seed():
    data = Interactions(np.repeat(np.arange(2), 20), np.tile(np.arange(20), 2), 2, 20)
    drawn = {seed: frozenset(splits.cold_items(data, 0.25, seed).test.items.tolist()) for seed in range(5)}
    assert {len(items) for items in drawn.values()} == {5}
    assert len(set(drawn.values())) > 1


@prop
@given(events(), SHARES, st.integers(0, 3), st.integers(0, 3))
def test_cold_users_show_their_first_events_only(data, share, n_seen, seed):
    split = splits.cold_users(data, share, n_seen, seed)
    cold = [user for user in range(data.n_users) if of_user(data, user) and not of_user(split.train, user)]
    assert len(cold) <= floor(share, data.n_users)
    for user in range(data.n_users):
        history = of_user(data, user)
        if user in cold:
            assert of_user(split.history, user) == history[:n_seen]
            assert of_user(split.test, user) == history[n_seen:]
        else:
            assert of_user(split.train, user) == of_user(split.history, user) == history
            assert of_user(split.test, user) == []
    assert split.known is split.train


def test_cold_users_are_as_many_as_asked_for_and_change_with_the_seed():
    data = Interactions(np.arange(20), np.zeros(20, dtype=int), 20, 1)
    drawn = {seed: frozenset(splits.cold_users(data, 0.25, seed=seed).test.users.tolist()) for seed in range(5)}
    assert {len(users) for users in drawn.values()} == {5}
    assert len(set(drawn.values())) > 1


# the n-core


@prop
@given(events(), st.integers(1, 4))
def test_core_equals_dropping_one_at_a_time(data, n):
    kept = rows(data)
    while True:
        users, items = [row[0] for row in kept], [row[1] for row in kept]
        weak = [row for row in kept if users.count(row[0]) < n or items.count(row[1]) < n]
        if not weak:
            break
        kept = [row for row in kept if row[0] != weak[0][0]] if users.count(weak[0][0]) < n else [
            row for row in kept if row[1] != weak[0][1]
        ]  # fmt: skip
    core_users, core_items = splits.core(data, n)
    assert core_users.tolist() == sorted({row[0] for row in kept})
    assert core_items.tolist() == sorted({row[1] for row in kept})


@settings(deadline=None, derandomize=True, max_examples=25)
@given(events(max_events=14), st.integers(1, 3))
def test_core_holds_every_set_in_which_all_have_n_events(data, n):
    core_users, core_items = map(set, splits.core(data, n))

    def subsets(size):
        return chain.from_iterable(combinations(range(size), length) for length in range(1, size + 1))

    for users in subsets(data.n_users):
        for items in subsets(data.n_items):
            inside = [row for row in rows(data) if row[0] in users and row[1] in items]
            counts = [[row[0] for row in inside].count(user) for user in users]
            counts += [[row[1] for row in inside].count(item) for item in items]
            if min(counts) >= n:
                assert core_users >= set(users) and core_items >= set(items)


# the book's protocol


def dataset(users, items, ratings, times, n_users=4, n_items=4):
    data = Interactions.from_events(users, items, n_users, n_items, times, ratings)
    table = pd.DataFrame({"title": [f"film {item}" for item in range(n_items)]})
    return Dataset("tiny", data, table, IdMap(range(100, 100 + n_items)), IdMap(range(10, 10 + n_users)))


def test_positives_keep_likes_of_the_core_under_new_indices():
    # likes: users 1, 2, 3 with items 0, 2, 3; user 3 likes item 1 too, which nobody else does; user 0 dislikes
    users = [0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 3]
    items = [0, 0, 2, 3, 3, 2, 0, 0, 1, 2, 3]
    ratings = [1, 5, 4, 4, 4, 5, 4, 4, 5, 4, 4.5]
    data = splits.positives(dataset(users, items, ratings, range(11)), n_core=3)
    assert data.user_ids.ids.tolist() == [11, 12, 13]
    assert data.item_ids.ids.tolist() == [100, 102, 103]
    assert data.items.title.tolist() == ["film 0", "film 2", "film 3"]
    kept = data.interactions
    assert kept.users.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert kept.items.tolist() == [0, 1, 2, 2, 1, 0, 0, 1, 2]
    assert kept.ratings.tolist() == [5, 4, 4, 4, 5, 4, 4, 4, 4.5]
    assert kept.times.tolist() == [1, 2, 3, 4, 5, 6, 7, 9, 10]


def test_positives_order_ties_by_the_seed_and_nothing_else():
    def shuffled(order, seed):
        items = np.arange(40)[order]
        data = dataset(np.zeros(40, dtype=int), items, np.full(40, 5.0), items // 20, n_users=1, n_items=40)
        return splits.positives(data, n_core=1, seed=seed).interactions.items.tolist()

    first = shuffled(np.arange(40), 0)
    assert sorted(first[:20]) == list(range(20)) and sorted(first[20:]) == list(range(20, 40))
    assert first[:20] != list(range(20))  # not the order of the film ids
    assert shuffled(np.arange(40)[::-1], 0) == first  # the order of the rows in the file does not matter
    assert shuffled(np.arange(40), 1) != first


@pytest.fixture(scope="module")
def book():
    return splits.protocol(movielens())


def test_the_protocol_equals_the_reference_row_by_row(book):
    data, split = book
    with gzip.open(Path(__file__).parent / "data" / "ml_small_split.csv.gz", "rt") as file:
        reference = pd.read_csv(file)
    for name in ("train", "valid", "test"):
        part, expected = getattr(split, name), reference[reference.part == name]
        np.testing.assert_array_equal(data.user_ids.ids_of(part.users), expected.user_id)
        np.testing.assert_array_equal(data.item_ids.ids_of(part.items), expected.item_id)


def test_the_protocol_is_what_the_book_says(book):
    data, split = book
    assert (data.interactions.n_users, data.interactions.n_items, len(data.interactions)) == (659, 2078, 44413)
    assert (len(split.train), len(split.valid), len(split.test)) == (28906, 6894, 8613)
    assert data.interactions.ratings.min() == 4
    assert data.interactions.user_counts().min() == 5 and data.interactions.item_counts().min() == 5


# how a test part lies over the items


def test_spread_over_items_by_hand():
    # user 0 has one of its two events in the test, user 1 one of its four: q = 1/2, 1/4
    train = Interactions([0, 1, 1, 1], [0, 0, 2, 3], 2, 5)
    test = Interactions([0, 1], [1, 1], 2, 5)
    z = [(0 - 0.75) / (0.25 + 0.1875) ** 0.5, (2 - 0.75) / (0.25 + 0.1875) ** 0.5, -0.25 / 0.1875**0.5, -0.25 / 0.1875**0.5]
    assert splits.spread_over_items(splits.Split(train, test)) == pytest.approx((sum(x * x for x in z) / 4) ** 0.5)


def test_the_spread_of_a_random_part_is_one_and_that_of_the_popular_ones_more():
    events = synthetic.World(n_users=400, n_items=150, seed=0).interactions(20, repeats=False)
    random = [splits.spread_over_items(splits.at_random(events, seed=seed)) for seed in range(8)]
    assert np.mean(random) == pytest.approx(1, abs=0.03)
    chosen = np.lexsort((events.item_counts()[events.items], events.users))  # each user's most popular items last
    popular = Interactions(events.users[chosen], events.items[chosen], events.n_users, events.n_items)
    assert splits.spread_over_items(splits.per_user(popular, valid=None)) > 1.5


# Split itself


SMALL = Interactions([0, 0, 0, 1, 1], [0, 1, 2, 2, 0], 3, 3, [1, 2, 3, 1, 2])


def test_queries_show_what_was_known_and_pad_on_the_left():
    split = splits.leave_last_out(SMALL)
    queries = split.queries(np.array([1, 0, 2]))
    assert queries.users.tolist() == [1, 0, 2]
    assert queries.history.tolist() == [[3, 2], [0, 1], [3, 3]]
    assert split.test_users().tolist() == [0, 1]


def test_tuning_never_sees_the_test():
    split = splits.leave_last_out(SMALL)
    tuning = split.tuning()
    assert rows(tuning.known) == rows(split.train) and rows(tuning.test) == rows(split.valid)
    assert rows(tuning.history) == rows(split.train)
    with pytest.raises(ValueError, match="tuning needs a validation part; this split has valid=None"):
        tuning.tuning()


def test_parts_of_other_sizes_are_named():
    other = Interactions([0], [0], 3, 4, [1])
    for name in ("test", "valid", "history"):
        with pytest.raises(ValueError, match=f"{name} must have the users and items of train"):
            splits.Split(**{"train": SMALL, "test": SMALL, name: other})


@pytest.mark.parametrize("share", [0, 1, -0.2, 1.5, 20])
def test_a_share_is_between_0_and_1(share):
    calls = {
        "test": [splits.per_user, splits.at_random, splits.by_time],
        "valid": [lambda data, share: splits.per_user(data, 0.2, share)],
        "share": [splits.cold_items, splits.cold_users],
    }
    for name, functions in calls.items():
        for function in functions:
            with pytest.raises(ValueError, match=rf"{name} must be a share in \(0, 1\); got {share}"):
                function(SMALL, share)


def test_what_cannot_be_split_is_named():
    without = Interactions([0, 0], [0, 1], 1, 2)
    with pytest.raises(ValueError, match="events must have times to be split by time; got times=None"):
        splits.by_time(without)
    at_once = Interactions([0, 0], [0, 1], 1, 2, [7, 7])
    with pytest.raises(ValueError, match="events must have times after the cut at 7; got none"):
        splits.by_time(at_once)
    with pytest.raises(ValueError, match="n_seen must not be negative; got -1"):
        splits.cold_users(SMALL, n_seen=-1)
    with pytest.raises(ValueError, match="n must be at least 1; got 0"):
        splits.core(SMALL, 0)


def test_what_has_no_positives_is_named():
    data = dataset([0, 1], [0, 1], [5, 5], [1, 2])
    with pytest.raises(ValueError, match="the 2-core must not be empty; got no user with ratings >= 4.0 left"):
        splits.positives(data, n_core=2)
    for gap in ({"ratings": None}, {"times": None}):
        columns = {"users": [0], "items": [0], "ratings": [5], "times": [1]} | gap
        with pytest.raises(ValueError, match="dataset must have ratings and times; got it without"):
            splits.positives(dataset(**columns))
