"""Batches of matches: whatever the columns are held in, the bits are those of one match after the other."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rating_systems import PLAYERS, SYSTEMS, Match, columns, make, matches, play

import fairlead as fl


def arrow(kind: str) -> Callable[[list[str]], Any]:
    def column(names: list[str]) -> Any:
        pa = pytest.importorskip("pyarrow")
        made = {
            "strings": lambda: pa.array(names, pa.string()),
            "large strings": lambda: pa.array(names, pa.large_string()),
            "string views": lambda: pa.array(names, pa.string_view()),
            "dictionary": lambda: pa.array(names, pa.string()).dictionary_encode(),
            "dictionary of int8": lambda: pa.array(names).cast(pa.dictionary(pa.int8(), pa.string())),
            "chunks": lambda: pa.chunked_array([names[:3], [], names[3:]], pa.string()),
            "chunks of dictionaries": lambda: pa.chunked_array(
                [pa.array(part, pa.string()).dictionary_encode() for part in (names[:3], names[3:])]
            ),
            "slice": lambda: pa.array(["nobody", "player 5", *names], pa.string()).dictionary_encode()[2:],
            "slice of strings": lambda: pa.array(["nobody", *names], pa.string())[1:],
        }
        return made[kind]()

    return column


KINDS: dict[str, Callable[[list[str]], Any]] = {
    "list": list,
    "tuple": tuple,
    "one str a row": lambda names: ["".join(list(name)) for name in names],
    "numpy objects": lambda names: np.array(names, dtype=object),
    "numpy str": lambda names: np.array(names, dtype="U20"),
    "pandas str": lambda names: pd.Series(names, dtype="str"),
    "pandas objects": lambda names: pd.Series(names, dtype=object),
    "pandas category": lambda names: pd.Series(names, dtype=pd.CategoricalDtype([*reversed(PLAYERS), "nobody"])),
    "pandas Categorical": lambda names: pd.Categorical(names, categories=PLAYERS),
    "pandas CategoricalIndex": lambda names: pd.CategoricalIndex(names, categories=PLAYERS),
    "polars str": lambda names: pl.Series(names, dtype=pl.String),
    "polars Categorical": lambda names: pl.Series(names, dtype=pl.Categorical),
    "polars Enum": lambda names: pl.Series(names, dtype=pl.Enum([*reversed(PLAYERS), "nobody"])),
    **{
        f"pyarrow {kind}": arrow(kind)
        for kind in (
            "strings",
            "large strings",
            "string views",
            "dictionary",
            "dictionary of int8",
            "chunks",
            "chunks of dictionaries",
            "slice",
            "slice of strings",
        )
    },
}

SEASON: list[Match] = [
    (PLAYERS[k % 5], PLAYERS[(k % 5 + 1 + k % 4) % 6], (k * 7 % 3) / 2, 1.0 + k % 2, k * 10**15) for k in range(40)
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_column_gives_the_same_bits(kind: str) -> None:
    first, second, score, weight, time = columns(SEASON)
    at_once = fl.Elo()
    at_once.update_many(KINDS[kind](first), KINDS[kind](second), score, weight, time)
    assert at_once.snapshot() == play(fl.Elo(), SEASON).snapshot()


@pytest.mark.parametrize("system", SYSTEMS)
@given(matches())
def test_a_batch_is_many_updates_bit_for_bit(system: str, played: list[Match]) -> None:
    one_by_one = play(make(system), played)
    at_once, rated = make(system), make(system)
    at_once.update_many(*columns(played))
    rated.rate(*columns(played))
    assert at_once.snapshot() == rated.snapshot() == one_by_one.snapshot()


@pytest.mark.parametrize("system", SYSTEMS)
@given(matches(), st.integers(0, 40))
def test_a_batch_in_two_parts_is_one_batch(system: str, played: list[Match], cut: int) -> None:
    whole, parts = make(system), make(system)
    whole.update_many(*columns(played))
    parts.update_many(*columns(played[:cut]))
    parts.update_many(*columns(played[cut:]))
    assert parts.snapshot() == whole.snapshot()


@pytest.mark.parametrize("system", SYSTEMS)
@given(matches())
def test_rate_tells_what_was_expected_before_each_match(system: str, played: list[Match]) -> None:
    ratings = make(system)
    for name in PLAYERS:
        ratings.id(name)
    before = []
    for i, j, score, weight, time in played:
        before.append(ratings.expected(i, j, time))
        ratings.update(i, j, score, weight, time)
    out = np.full(len(played), math.nan)
    again = make(system)
    assert again.rate(*columns(played), out=out) is out
    assert out.tolist() == before


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_long_batch_is_checked_block_by_block_and_taken_back_whole(system: str) -> None:
    rng = np.random.default_rng(1)
    n = 10_000
    i = rng.integers(0, 3, n)
    j, score = i + 3, rng.integers(0, 3, n) / 2
    ratings, one_by_one = make(system), make(system)
    for name in PLAYERS:
        ratings.id(name)
        one_by_one.id(name)
    untouched = ratings.snapshot()
    for row, bad in ((9_999, math.nan), (5_000, 1.5), (2_048, -1e-300), (0, math.inf)):
        wrong = score.copy()
        wrong[row] = bad
        with pytest.raises(ValueError, match=rf"score is .*match {row}\)"):
            ratings.update_many(i, j, wrong)
        with pytest.raises(ValueError, match=r"time is .*match 7000\)"):
            ratings.update_many(i, j, score, time=np.where(np.arange(n) == 7000, 1, 2 + np.arange(n)))
        assert ratings.snapshot() == untouched
    ratings.update_many(i, j, score)
    for a, b, s in zip(i.tolist(), j.tolist(), score.tolist(), strict=True):
        one_by_one.update(a, b, s)
    assert ratings.snapshot() == one_by_one.snapshot()


BAD_COLUMNS = [
    (["a", None], TypeError, r"i\[1\] is None"),
    (["a", 0.5], TypeError, r"i\[1\] is 0.5"),
    (np.array([0.5, 1.5]), TypeError, "i has dtype float64"),
    (np.array([[0, 1]]), ValueError, "i has shape"),
    ("ab", TypeError, "i is one str"),
    (7, ValueError, "i has shape"),
    (pd.Series(["a", None], dtype="category"), ValueError, r"i\[1\] is missing"),
    (pl.Series(["a", None]), ValueError, r"i\[1\] is missing"),
    (pl.Series(["a", None], dtype=pl.Categorical), ValueError, r"i\[1\] is missing"),
    ([0, 1], KeyError, "no player has the id"),
    (np.array([2**40, 0]), KeyError, "no player has the id"),
    (["a", "b", "c"], ValueError, "j has length 2, i has 3"),
]


@pytest.mark.parametrize(
    ("i", "error", "words"), BAD_COLUMNS, ids=[f"{type(case[0]).__name__}: {case[2]}" for case in BAD_COLUMNS]
)
def test_a_bad_column_is_named_and_adds_nobody(i: Any, error: type[Exception], words: str) -> None:
    ratings = fl.Elo()
    with pytest.raises(error, match=words):
        ratings.update_many(i, ["x", "y"], [1.0, 0.0])
    assert len(ratings) == 0


@pytest.mark.parametrize(
    ("score", "weight", "time", "error", "words"),
    [
        ([1.0, 2.0], None, None, ValueError, r"score is 2.0, outside \[0, 1\] \(match 1\)"),
        ([1.0], None, None, ValueError, "score has length 1, i has 2"),
        (["won", "lost"], None, None, TypeError, "score has dtype"),
        ([1.0, 1.0], [1.0, -1.0], None, ValueError, r"weight is -1.0, outside \[0, 1e6\] \(match 1\)"),
        ([1.0, 1.0], [1.0], None, ValueError, "weight has length 1"),
        ([1.0, 1.0], None, [5, 4], ValueError, r"time is 4, before the latest event at 5 \(match 1\)"),
        ([1.0, 1.0], None, [5.5, 6.5], TypeError, "time has dtype float64"),
        ([1.0, 1.0], None, [5], ValueError, "time has length 1"),
    ],
)
@pytest.mark.parametrize("method", ["update_many", "rate", "update_period"])
def test_a_bad_batch_adds_no_newcomer(
    method: str, score: Any, weight: Any, time: Any, error: type[Exception], words: str
) -> None:
    ratings = fl.Elo()
    with pytest.raises(error, match=words):
        getattr(ratings, method)(["a", "b"], ["b", "c"], score, weight, time)
    assert (len(ratings), ratings.events) == (0, 0)


def test_ids_do_not_come_to_mean_newcomers() -> None:
    ratings = fl.Elo()
    ratings.id("a")
    for i, j in ((["x", 1], ["a", "a"]), (["x", "y"], [0, 1]), (["x", "y"], np.array([0, 2]))):
        with pytest.raises(KeyError, match="no player has the id"):
            ratings.update_many(i, j, [1.0, 1.0])
    assert ratings.names() == ["a"]
    ratings.update_many(["x", 0], [0, "y"], [1.0, 1.0])
    assert ratings.names() == ["a", "x", "y"]


def test_times_are_integers_or_datetimes() -> None:
    stamps = np.array(["2024-01-01", "2024-01-02"], dtype="datetime64[D]")
    first, second = fl.Elo(history=True), fl.Elo(history=True)
    first.update_many(["a", "b"], ["b", "a"], [1, 1], time=stamps)
    second.update_many(["a", "b"], ["b", "a"], [1, 1], time=stamps.astype("datetime64[ns]").astype(np.int64))
    for column in (
        ["2024-01-01", "2024-01-02"],
        stamps.tolist(),
        pd.Series(stamps).dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo"),
        pd.to_datetime(stamps),
        pl.Series(stamps),
    ):
        again = fl.Elo(history=True)
        again.update_many(["a", "b"], ["b", "a"], [1, 1], time=column)
        assert again.snapshot() == first.snapshot()
    with pytest.raises(ValueError, match="time is 'soon'"):
        fl.Elo().update_many(["a"], ["b"], [1], time=["soon"])
    third = play(fl.Elo(history=True), [])
    third.update("a", "b", 1.0, 1.0, "2024-01-01")
    third.update("b", "a", 1.0, 1.0, pd.Timestamp("2024-01-02"))
    assert first.snapshot() == second.snapshot() == third.snapshot()
    assert first.history("a")["time"].tolist() == stamps.astype("datetime64[ns]").tolist()


def test_an_empty_batch_changes_nothing() -> None:
    ratings = fl.Elo()
    ratings.update_many([], [], [])
    assert ratings.rate(np.array([], np.int32), np.array([], np.int32), np.array([])).shape == (0,)
    assert (len(ratings), ratings.events) == (0, 0)


@pytest.mark.parametrize("system", SYSTEMS)
def test_out_may_lie_over_a_column(system: str) -> None:
    n = 9_000
    i = np.arange(n, dtype=np.int32) % 2
    memory = np.arange(n + 1) % 2 * 1.0
    expected = make(system).rate(i.astype(str), (1 - i).astype(str), memory[:-1].copy(), memory[:-1].copy())
    for begin in (0, 1):  # the scores themselves, and one place further on
        memory = np.arange(n + 1) % 2 * 1.0
        out = memory[begin : begin + n]
        assert make(system).rate(i.astype(str), (1 - i).astype(str), memory[:-1], memory[:-1], out=out) is out
        np.testing.assert_array_equal(out, expected)
    ratings = make(system)
    ratings.update("0", "1", 0.5)
    ids = np.zeros(2 * n, np.int32)
    with pytest.raises(ValueError, match="out overlaps i or j"):
        ratings.rate(ids[:n], np.ones(n, np.int32), np.ones(n), out=ids.view(np.float64))
    assert not ids.any()


@pytest.mark.parametrize("newcomers", [False, True])
def test_a_refused_batch_leaves_out_alone(newcomers: bool) -> None:
    ratings = fl.Elo()
    if not newcomers:
        ratings.update("a", "b", 0.5)
    score = np.ones(9_000)
    score[5_000] = 2.0
    out = np.full(9_000, 7.0)
    with pytest.raises(ValueError, match=r"score is 2.0, .* \(match 5000\)"):
        ratings.rate(["a"] * 9_000, ["b"] * 9_000, score, out=out)
    assert (out == 7.0).all()
    assert ratings.events == (0 if newcomers else 1)


class AddsPlayers:
    """A column of scores that adds a player while it is read, as another thread might."""

    def __init__(self, ratings: Any) -> None:
        self.ratings = ratings

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        self.ratings.id("someone")
        return np.array([1.0, 0.0])


@pytest.mark.parametrize("system", SYSTEMS)
def test_newcomers_are_not_mistaken_for_players_added_meanwhile(system: str) -> None:
    for rate in (
        lambda ratings: ratings.update_many(["a", "b"], ["b", "a"], AddsPlayers(ratings)),
        lambda ratings: ratings.contest(["a", "b"], AddsPlayers(ratings)),
    ):
        ratings = make(system)
        with pytest.raises(RuntimeError, match="players were added"):
            rate(ratings)
        assert ratings.names() == ["someone"]
        assert ratings.events == 0


@pytest.mark.parametrize("system", SYSTEMS)
def test_an_id_in_a_contest_is_not_a_newcomer_of_it(system: str) -> None:
    ratings = make(system)
    with pytest.raises(KeyError, match="no player has the id 1"):
        ratings.contest(["a", 1, "c"], [1, 2, 3])
    if hasattr(ratings, "contest_teams"):
        with pytest.raises(KeyError, match="no player has the id 2"):
            ratings.contest_teams([["a", 2], ["c", "d"]], [1, 2])
    assert len(ratings) == 0


def test_datetime64_is_a_time_everywhere() -> None:
    ratings = fl.Elo(history=True)
    ratings.update("a", "b", 1.0, 1.0, np.datetime64("2024-01-01"))
    ratings.update("a", "b", 1.0, 1.0, np.datetime64("NaT"))
    times = ratings.history("a")["time"]
    assert times.tolist() == [np.datetime64("2024-01-01", "ns").item()] * 2
    assert ratings.rating("a", at=times[-1]) == ratings["a"]
    assert ratings.rating("a", at=np.datetime64("2023-12-31T23", "h")) == 1500.0
    late = np.array(["2024-02-01", "NaT", "9999-12-31"], "datetime64[D]")
    with pytest.raises(ValueError, match=r"time is .*9999-12-31.*, outside the 64-bit nanoseconds"):
        ratings.update_many(["a"] * 3, ["b"] * 3, [1.0] * 3, time=late)
    with pytest.raises(ValueError, match=r"at is .*9999-12-31.*, outside the 64-bit nanoseconds"):
        ratings.rating("a", at=late[2])
    assert ratings.events == 2


def test_ids_that_change_while_they_are_read_do_no_harm() -> None:
    """numpy lets go of the GIL while it fills an array, so another thread can write to the columns during a batch."""
    n = 200_000
    ratings = fl.Elo()
    for player in range(50):
        ratings.id(str(player))
    j = np.arange(n, dtype=np.int32) % 49 + 1
    i, score = np.zeros(n, np.int32), np.ones(n)
    done = threading.Event()

    def scribble() -> None:
        while not done.is_set():
            i[:] = 10**8
            i[:] = 0

    thread = threading.Thread(target=scribble)
    thread.start()
    try:
        for _ in range(200):
            with contextlib.suppress(KeyError):
                ratings.update_many(i, j, score)
    finally:
        done.set()
        thread.join()
    assert len(ratings) == 50


@pytest.mark.parametrize("system", [fl.Elo, fl.Glicko2, fl.WengLin, fl.TrueSkill])
def test_a_time_beyond_64_bits_is_refused_and_not_wrapped(system: type[Any]) -> None:
    ratings = system(history=True)
    times = np.array([5, 2**63], dtype=np.uint64)
    with pytest.raises(ValueError, match=r"time\[1\] is 9223372036854775808, outside"):
        ratings.update_many(["a", "a"], ["b", "b"], [1.0, 0.0], time=times)
    assert len(ratings) == 0
