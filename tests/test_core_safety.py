"""What Python can do to the compiled classes that no C++ caller could: none of it may crash."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
import pytest

import fairlead as fl
from fairlead import _core


def test_a_class_with_two_compiled_bases() -> None:
    class Both(_core.Calibration, _core.Elo):
        def __init__(self) -> None:
            _core.Calibration.__init__(self)
            _core.Elo.__init__(self)

    both = Both()
    both.update(both.id("a"), both.id("b"), 1.0)
    assert both["a"] == 1516.0
    both.add(0.5, True)
    assert both.error == 0.5


def test_an_object_that_was_never_initialised() -> None:
    with pytest.raises(TypeError, match="__init__"):
        _core.Elo.__new__(_core.Elo).id("a")


def test_threads_on_one_object() -> None:
    ratings, window = fl.Elo(), fl.RollingWindow(50)
    i = np.zeros(200_000, np.int32)
    ratings.id("a")
    ratings.id("b")

    def rate() -> None:
        ratings.update_many(i, i + 1, np.full(len(i), 0.5))

    def grow() -> None:
        for k in range(20_000):
            ratings.id(str(k))

    def push() -> None:
        window.push_many(np.ones(200_000))

    threads = [threading.Thread(target=work) for work in (rate, grow, push, push, push)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ratings) == 20_002
    assert (window.count, window.variance()) == (50, 0.0)


def test_a_list_that_shrinks_while_it_is_read() -> None:
    board = _core.Scoreboard()
    model = board.add("a")
    task = board.open(1, 4)
    values: list[Any] = []

    class Shrinks:
        def __float__(self) -> float:
            values.clear()
            return 0.25

    values.extend([Shrinks() for _ in range(4)])
    board.record(task, model, values)
    assert board.decide(task)[2] == (0.25,) * 4


def columns(n: int) -> dict[str, Any]:
    return {
        "time": np.arange(n),
        "task": np.arange(n, dtype=np.int32),
        "model": np.zeros(n, np.int32),
        "answer": np.full(n, 0.5),
        "failed": np.zeros(n, np.uint8),
        "confidence": np.full(n, math.nan),
        "latency_ms": np.full(n, math.nan),
        "cost_usd": np.zeros(n),
        "tokens_in": np.zeros(n, np.int64),
        "tokens_out": np.zeros(n, np.int64),
        "outcome": np.ones(n),
        "outcome_time": np.arange(1, n + 1),
        "slices": np.zeros((n, 0), np.int32),
    }


def test_a_replay_does_not_depend_on_what_becomes_of_its_columns() -> None:
    board = _core.Scoreboard()
    board.add("a")
    given = columns(1000)
    replay = _core.Replay(board, 0, 0, 0, given)
    replay.advance(10)
    given["task"][:] = 10**9
    given["model"][:] = -5
    for name in list(given):
        given[name] = None
    replay.advance(10**6)
    replay.finish()
    assert replay.scores()["tasks"] == 1000


@pytest.mark.parametrize("width", [np.int32, np.int64])
def test_ids_of_any_width(width: type) -> None:
    ratings = fl.Elo()
    for name in "ab":
        ratings.id(name)
    ratings.update_many(np.array([0, 1], width), np.array([1, 0], width), np.array([1.0, 0.0]))
    assert ratings["a"] > ratings["b"]
    if width is np.int64:
        with pytest.raises(KeyError):
            ratings.update_many(np.array([2**32]), np.array([1]), np.array([1.0]))  # which is 0 in 32 bits


@pytest.mark.parametrize("options", [{"scale": 1e-310}, {"k": 1e308}, {"k": 0.0}, {"start": math.inf}])
def test_ratings_that_would_overflow_are_refused(options: dict[str, float]) -> None:
    (name,) = options
    with pytest.raises(ValueError, match=name):
        fl.Elo(**options)
    with pytest.raises(fl.InvalidRecordError, match=name):
        fl.Settings(**options)


def test_settings_that_cannot_be_honoured_are_refused() -> None:
    for name in ("remember", "history", "psi_reference", "half_life"):
        with pytest.raises(fl.InvalidRecordError, match=name):
            fl.Settings(**{name: -1})  # type: ignore[arg-type]
