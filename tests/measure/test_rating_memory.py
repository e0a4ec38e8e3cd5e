"""What a fleet of ratings remembers: history, undo, snapshots, merging; and that a replay gives the same bits."""

from __future__ import annotations

import copy
import math
import pickle
import random
import struct
import threading
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rating_systems import DAY, PLAYERS, SYSTEMS, Match, columns, make, matches, play, states

import fairlead as fl

EAST, WEST = PLAYERS[:3], PLAYERS[3:]


@pytest.mark.parametrize("system", SYSTEMS)
@given(st.data())
def test_undo_is_as_if_the_last_events_had_not_been(system: str, data: st.DataObject) -> None:
    played = data.draw(matches())
    kept = data.draw(st.integers(0, 12))
    undone = data.draw(st.integers(0, min(kept, len(played))))
    ratings = make(system, undo=kept, history=True)
    others = make(system, undo=kept, history=True)
    for name in PLAYERS:
        ratings.id(name)
        others.id(name)
    ratings.update_many(*columns(played))
    ratings.undo(undone)
    play(others, played[: len(played) - undone])
    assert states(ratings) == states(others)
    assert ratings.events == others.events
    for name in PLAYERS:
        assert {k: v.tolist() for k, v in ratings.history(name).items()} == {
            k: v.tolist() for k, v in others.history(name).items()
        }
    # It goes on as the other does, too.
    more = data.draw(matches(max_size=5))
    later = [(i, j, s, w, time + 40 * DAY) for i, j, s, w, time in more]
    assert states(play(ratings, later)) == states(play(others, later))


@pytest.mark.parametrize("system", SYSTEMS)
def test_contests_periods_and_set_ratings_are_an_event_each(system: str) -> None:
    ratings = make(system, undo=9)
    ratings.update("a", "b", 1.0)
    ratings.id("c")
    stages = []
    steps = [
        lambda: ratings.contest(["a", "b", "c"], [3, 2, 1]),
        lambda: ratings.update_many(["a", "c"], ["b", "a"], [0.5, 1.0]),
    ]
    if hasattr(ratings, "update_period"):
        steps.append(lambda: ratings.update_period(["a", "b", "a"], ["b", "c", "c"], [0.5, 1.0, 0.0]))
    if hasattr(ratings, "__setitem__"):
        steps.append(lambda: ratings.__setitem__("b", 1234.5))
    for step in steps:
        stages.append((ratings.events, states(ratings)))
        step()
    for events, before in reversed(stages):
        ratings.undo(ratings.events - events)
        assert states(ratings) == before


def test_only_what_is_remembered_can_be_undone() -> None:
    ratings = play(fl.Elo(undo=2), [("a", "b", 1.0, 1.0, k) for k in range(7)])
    with pytest.raises(ValueError, match="n is 3, but 2 events are remembered"):
        ratings.undo(3)
    with pytest.raises(ValueError, match="n is -1"):
        ratings.undo(-1)
    ratings.undo(2)
    assert ratings.events == 5
    with pytest.raises(ValueError, match="0 events are remembered: make the ratings with undo=1"):
        ratings.undo()
    with pytest.raises(ValueError, match="undo is -1"):
        fl.Elo(undo=-1)


@pytest.mark.parametrize("system", SYSTEMS)
@given(matches(), st.integers(0, 40))
def test_a_snapshot_goes_on_as_if_it_had_never_stopped(system: str, played: list[Match], cut: int) -> None:
    options: dict[str, Any] = {"history": True, "undo": 3}
    straight = play(make(system, **options), played)
    first = play(make(system, **options), played[:cut])
    for again in (type(first).restore(first.snapshot()), pickle.loads(pickle.dumps(first)), copy.deepcopy(first)):
        play(again, played[cut:])
        assert again.snapshot() == straight.snapshot()
        again.undo(min(3, len(played)))


@pytest.mark.parametrize("system", SYSTEMS)
def test_bytes_that_are_no_snapshot_are_refused(system: str) -> None:
    ratings = play(make(system, history=True, undo=2), [("a", "b", 1.0, 1.0, k) for k in range(5)])
    whole = ratings.snapshot()
    dice = random.Random(0)
    damaged = [b"", whole[:-1], whole + b"\0", whole[1:]]
    for _ in range(200):
        at = dice.randrange(len(whole))
        damaged.append(whole[:at] + bytes([whole[at] ^ 1 << dice.randrange(8)]) + whole[at + 1 :])
    for bad in damaged:
        with pytest.raises(ValueError, match="snapshot"):
            type(ratings).restore(bad)


@pytest.mark.parametrize("system", SYSTEMS)
@given(st.data())
def test_merged_fleets_are_one_fleet_that_saw_both(system: str, data: st.DataObject) -> None:
    east, west = data.draw(matches(EAST)), data.draw(matches(WEST))
    merged, other = play(make(system, history=True), east), play(make(system, history=True), west)
    merged.merge(other)
    both = make(system, history=True)
    for match in [*east, *west]:
        both.id(match[0])
        both.id(match[1])
    for match in sorted([*east, *west], key=lambda match: match[4]):
        both.update(*match)
    assert states(merged) == states(both)
    assert merged.names() == both.names()
    assert merged.events == both.events
    for name in merged.names():
        assert list(merged.history(name).values())[2].tolist() == list(both.history(name).values())[2].tolist()
    assert (
        play(merged, [("player 0", "player 5", 1.0, 1.0, 50 * DAY)]).table()["name"]
        == (play(both, [("player 0", "player 5", 1.0, 1.0, 50 * DAY)]).table()["name"])
    )


def test_fleets_that_share_a_player_do_not_merge() -> None:
    first, second = fl.Elo(undo=5), fl.Elo()
    first.update("a", "b", 1.0)
    second.update("c", "b", 1.0)
    before = first.snapshot()
    with pytest.raises(ValueError, match="'b'"):
        first.merge(second)
    with pytest.raises(ValueError, match="'a'"):
        first.merge(first)
    with pytest.raises(ValueError, match="other options"):
        first.merge(fl.Elo(k=16))
    with pytest.raises(ValueError, match="without history"):
        fl.Elo(history=True).merge(first)
    with pytest.raises(TypeError):
        first.merge("b")  # type: ignore[arg-type]
    assert first.snapshot() == before


@pytest.mark.parametrize("system", SYSTEMS)
@given(matches())
def test_history_answers_for_any_time(system: str, played: list[Match]) -> None:
    ratings = make(system, history=True)
    for name in PLAYERS:
        ratings.id(name)
    # What is asked afterwards is what was there at the time.
    asked: dict[int, dict[str, float]] = {}
    for i, j, score, weight, time in played:
        ratings.update(i, j, score, weight, time)
        asked[time] = {name: ratings.rating(name, at=time) for name in PLAYERS}
    for time, answers in asked.items():
        assert {name: ratings.rating(name, at=time) for name in PLAYERS} == answers
        table = ratings.table(at=time)
        column = next(key for key in table if key != "name")
        assert dict(zip(table["name"], table[column].tolist(), strict=True)) == answers
    assert sum(len(ratings.history(name)["event"]) for name in PLAYERS) == 2 * len(played)


def test_history_is_a_table_of_what_a_player_was() -> None:
    ratings = fl.Elo(history=True)
    ratings.update("a", "b", 1.0)
    ratings.update("b", "c", 1.0, 1.0, "2024-05-01")
    ratings.update("a", "c", 0.5, 1.0, "2024-06-01")
    table = pd.DataFrame(ratings.history("a"))
    assert table.columns.tolist() == ["event", "time", "rating"]
    assert table["event"].tolist() == [1, 3]
    assert table["time"].isna().tolist() == [True, False]
    assert table["rating"].tolist() == [1516.0, ratings["a"]]
    assert ratings.rating("c", at="2024-04-30") == 1500.0
    assert ratings.rating("c", at="2024-05-15") == ratings.history("c")["rating"][0]
    assert ratings.rating("a", at="2023-01-01") == 1516.0  # a match without a time is before all times
    with pytest.raises(KeyError, match="'nobody'"):
        ratings.history("nobody")


def test_the_past_is_not_told_without_history() -> None:
    ratings = play(fl.Elo(), [("a", "b", 1.0, 1.0, 100)])
    for ask in (lambda: ratings.rating("a", at=99), lambda: ratings.state("a", at=99), lambda: ratings.table(at=99)):
        with pytest.raises(ValueError, match="history=True"):
            ask()
    with pytest.raises(ValueError, match="history=True"):
        ratings.history("a")
    assert ratings.rating("a", at=100) == ratings.rating(0, at=101) == 1516.0


@pytest.mark.parametrize("system", SYSTEMS)
@given(matches())
def test_a_period_does_not_depend_on_the_order_of_its_matches(system: str, played: list[Match]) -> None:
    if not hasattr(make(system), "update_period"):
        pytest.skip("this system has no rating periods")
    forth, back, block = make(system), make(system), make(system)
    names = sorted({name for match in played for name in match[:2]})
    for ratings in (forth, back, block):
        for name in names:
            ratings.id(name)
    i, j, score, weight, _ = columns(played)
    forth.update_period(i, j, score, weight)
    back.update_period(i[::-1], j[::-1], score[::-1], weight[::-1])
    with block.period() as period:
        for match in zip(i, j, score, weight, strict=True):
            period.update(*match)
    assert states(block) == states(forth)
    for name in names:
        assert back.rating(name) == pytest.approx(forth.rating(name), abs=1e-9)
    if len(played) == 1:
        single = make(system)
        single.update(*played[0][:4])
        assert single.rating(i[0]) == pytest.approx(forth.rating(i[0]), abs=1e-9)


def test_a_period_that_raises_rates_nothing() -> None:
    ratings = fl.Elo()

    def interrupted() -> None:
        with ratings.period() as period:
            period.update("a", "b", 1.0)
            raise RuntimeError("rain")

    def spoiled() -> None:
        with ratings.period() as period:
            period.update("a", "b", 1.0)
            period.update("a", "b", 3.0)

    with pytest.raises(RuntimeError, match="rain"):
        interrupted()
    with pytest.raises(ValueError, match=r"score is 3\.0"):
        spoiled()
    assert len(ratings) == 0


def test_names_are_cached_without_holding_too_many_or_mistaking_one() -> None:
    ratings, plain = fl.Elo(), fl.Elo()
    rng = np.random.default_rng(0)
    for k in rng.integers(0, 3000, 20_000).tolist():
        # A str that dies at once: its address will be used again for another name.
        ratings.update("player " + str(k), "player " + str(k + 1), 1.0)
        plain.update(plain.id(f"player {k}"), plain.id(f"player {k + 1}"), 1.0)
    assert ratings.items() == plain.items()


def test_updates_by_name_from_many_threads_do_not_crash() -> None:
    ratings = fl.Elo(history=True, undo=10)

    def rate(thread: int) -> None:
        for k in range(3000):
            ratings.update(f"{thread} {k % 700}", "all", (k % 3) / 2)
            if k % 100 == 0:
                ratings.undo(min(1, 10))

    threads = [threading.Thread(target=rate, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ratings.events == 4 * (3000 - 30)
    assert math.fsum(ratings.ratings()) == pytest.approx(1500 * len(ratings), abs=1e-6)


def test_a_period_begins_again_empty() -> None:
    ratings, others = fl.Glicko2(), fl.Glicko2()
    period = ratings.period()
    with period:
        period.update("a", "b", 1.0)
    with pytest.raises(ValueError, match=r"score is 2.0"), period:
        period.update("a", "b", 2.0)
    with pytest.raises(ZeroDivisionError), period:
        period.update("a", "b", 1 / 0)
    assert len(period) == 0
    with period:
        period.update("b", "a", 1.0)
    others.update_period(["a"], ["b"], [1.0])
    others.update_period(["b"], ["a"], [1.0])
    assert states(ratings) == states(others)


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_a_forged_past_is_refused() -> None:
    """More to undo than was, with a good checksum: it would have taken moments out of an empty history."""
    ratings = fl.Elo(history=True, undo=5)
    ratings.update("a", "b", 1.0)
    body = ratings.snapshot()[:-4]
    assert crc32c(body) == int.from_bytes(ratings.snapshot()[-4:], "little")
    kept = struct.pack("<BQ", 1, 5)
    at = body.index(kept + struct.pack("<Q", 40)) + len(kept)
    scale = body.index(struct.pack("<dd", 32, 400)) + 8
    for forged in (
        body[:at] + bytes(16) + body[at + 2 * 48 :],
        body[:scale] + struct.pack("<d", -400) + body[scale + 8 :],
    ):
        with pytest.raises(ValueError, match="no snapshot"):
            fl.Elo.restore(forged + crc32c(forged).to_bytes(4, "little"))


def test_a_rating_that_was_set_falls_from_then_on() -> None:
    ratings = fl.Elo(half_life="30d", history=True)
    ratings.update("a", "b", 1.0, 1.0, 0)
    ratings.update("b", "c", 1.0, 1.0, 300 * DAY)
    for name in ("a", "new"):
        ratings[name] = 2000.0
        assert ratings.rating(name, at=300 * DAY) == 2000.0
        assert ratings.rating(name, at=330 * DAY) == 1750.0
    assert ratings.table(at=10**4 * DAY)["rating"] == pytest.approx([1500.0] * 4)
