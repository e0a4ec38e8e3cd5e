"""Batch rolling functions: arrays of any layout, results put where they are wanted, and what is refused."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

import fairlead as fl

X = np.random.default_rng(1).normal(0, 1, 50)
ROLLING = ["sum", "mean", "var", "std", "skew", "kurt", "min", "max", "median", "rank", "count"]


@pytest.mark.parametrize("stat", [*ROLLING, "argmin", "argmax"])
def test_empty_and_one(stat: str) -> None:
    run: Callable[..., Any] = getattr(fl.rolling, stat)
    for window, times in ((1, None), (5, None), ("1h", np.empty(0, dtype=np.int64))):
        assert run([], window, times=times).shape == (0,)
        assert run(np.empty((3, 0)), window, times=times).shape == (3, 0)
        assert run(np.empty((0, 3)), window, times=None if times is None else [1, 2, 3]).shape == (0, 3)
    right = {"argmin": 0, "argmax": 0, "rank": 1.0, "count": 1.0}
    right |= dict.fromkeys(["sum", "mean", "min", "max", "median"], 3.0)
    for one in (run([3.0], 1)[0], run([3.0], "1h", times=[7])[0]):
        assert one == right[stat] if stat in right else math.isnan(one)
    few = {"count": 1.0, "argmin": -1, "argmax": -1}
    assert run([3.0], 5)[0] == few[stat] if stat in few else math.isnan(run([3.0], 5)[0])


@pytest.mark.parametrize("stat", ROLLING)
def test_layouts_and_dtypes(stat: str) -> None:
    run: Callable[..., Any] = getattr(fl.rolling, stat)
    whole = np.round(X * 10)
    right = run(whole, 7)
    wide = np.empty((50, 3))
    wide[:, 1] = whole
    copies = [whole.astype(np.float32), whole.astype(np.int16), whole.tolist(), whole.astype(">f8")]
    for given in (*copies, wide[:, 1], whole[::-1].copy()[::-1], np.asfortranarray(wide)[:, 1]):
        np.testing.assert_array_equal(run(given, 7), right)
    rows = np.asfortranarray(np.stack([whole, -whole]))
    np.testing.assert_array_equal(run(rows, 7)[0], right)


@pytest.mark.parametrize("stat", ROLLING)
def test_out(stat: str) -> None:
    run: Callable[..., Any] = getattr(fl.rolling, stat)
    for window, times in ((7, None), ("7ns", np.arange(50))):
        right = run(X, window, times=times)
        out = np.empty(50)
        assert run(X, window, times=times, out=out) is out
        np.testing.assert_array_equal(out, right)
        in_place = X.copy()
        assert run(in_place, window, times=times, out=in_place) is in_place
        np.testing.assert_array_equal(in_place, right)
        longer = np.concatenate([X, X])
        run(longer[:50], window, times=times, out=longer[25:75])
        np.testing.assert_array_equal(longer[25:75], right)
        stack = np.empty((2, 50))
        run(np.stack([X, X]), window, times=times, out=stack)
        np.testing.assert_array_equal(stack, [right, right])


def test_out_of_the_others() -> None:
    places = np.empty(50, dtype=np.int64)
    assert fl.rolling.argmax(X, 5, out=places) is places
    both = X.copy()
    np.testing.assert_array_equal(fl.rolling.corr(X, both, 5, out=both)[10:], fl.rolling.corr(X, X, 5)[10:])
    outs = {"mean": np.empty(50), "argmin": np.empty(50, dtype=np.int64)}
    found = fl.rolling.many(X, 5, ["argmin", "mean"], out=outs)
    assert found["mean"] is outs["mean"]
    assert found["argmin"] is outs["argmin"]
    decayed = X.copy()
    right = fl.rolling.ewm_mean(X, span=5)
    np.testing.assert_array_equal(fl.rolling.ewm_mean(decayed, span=5, out=decayed), right)


def bad_out(value: Any) -> dict[str, Any]:
    return {"out": value}


readonly = np.empty(50)
readonly.flags.writeable = False
TIMES = np.arange(50)
REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"window": 0}, ValueError, "window is 0, must be at least 1"),
    ({"window": -3}, ValueError, "window is -3"),
    ({"window": 2.5}, ValueError, r"window is 2\.5, must be a number of samples"),
    ({"window": True}, ValueError, "window is True"),
    ({"window": "soon"}, ValueError, "window is 'soon'"),
    ({"window": timedelta(0), "times": TIMES}, ValueError, "window is"),
    ({"window": "1h"}, TypeError, "times are needed"),
    ({"times": TIMES}, TypeError, "times are of no use"),
    ({"window": "1h", "times": TIMES[:-1]}, ValueError, "times has length 49, x has 50"),
    ({"window": "1h", "times": TIMES[::-1]}, ValueError, r"times\[1\] is 48, before times\[0\], which is 49"),
    ({"window": "1h", "times": [*range(40), *range(10)]}, ValueError, r"times\[40\] is 0, before times\[39\]"),
    ({"window": "1h", "times": TIMES.reshape(5, 10)}, ValueError, "times has shape"),
    ({"window": "1h", "times": TIMES * 0.5}, TypeError, "times has dtype float64, must be integers"),
    ({"window": "1h", "times": np.array([np.datetime64("NaT", "s")] * 50)}, ValueError, r"times\[0\] is NaT"),
    ({"window": "1h", "times": ["never"] * 50}, ValueError, r"times\[0\] is 'never'"),
    ({"min_periods": -1}, ValueError, "min_periods is -1"),
    ({"min_periods": 8}, ValueError, "min_periods is 8, must not be negative or more than the window, 7"),
    ({"min_periods": 1.5}, TypeError, r"min_periods is 1\.5"),
    ({"closed": "middle"}, ValueError, "closed is 'middle', must be one of 'right'"),
    ({"nan": "drop"}, ValueError, "nan is 'drop', must be one of 'skip'"),
    ({"x": np.array([1.0, math.nan]), "nan": "raise"}, ValueError, r"x\[1\] is NaN"),
    ({"x": np.array([[1.0, 2.0], [math.nan, 2.0]]), "nan": "raise"}, ValueError, r"x\[1, 0\] is NaN"),
    ({"x": np.zeros((2, 2, 2))}, ValueError, r"x has shape \(2, 2, 2\)"),
    ({"x": 3.0}, ValueError, r"x has shape \(\)"),
    ({"x": ["a", "b"]}, TypeError, "x has dtype"),
    ({"x": np.zeros(3, dtype=complex)}, TypeError, "x has dtype complex128"),
    ({"x": None}, TypeError, "x has dtype object"),
    (bad_out(np.empty(49)), ValueError, r"out has shape \(49,\), must have \(50,\)"),
    (bad_out(np.empty((1, 50))), ValueError, "out has shape"),
    (
        bad_out(np.empty(50, dtype=np.float32)),
        TypeError,
        "out is an array of float32, must be a C-contiguous float64 array",
    ),
    (bad_out(np.empty(100)[::2]), TypeError, "must be a C-contiguous float64 array"),
    (bad_out([0.0] * 50), TypeError, "out is <class 'list'>"),
    (bad_out(readonly), ValueError, "out is read-only"),
]


@pytest.mark.parametrize(("change", "error", "text"), REFUSED)
@pytest.mark.parametrize("stat", ["mean", "max", "median"])
def test_refused(stat: str, change: dict[str, Any], error: type[Exception], text: str) -> None:
    arguments = {"x": X, "window": 7, **change}
    before = {name: np.array(value) for name, value in arguments.items()}
    with pytest.raises(error, match=text):
        getattr(fl.rolling, stat)(**arguments)
    if "out" in change and isinstance(change["out"], np.ndarray):
        np.testing.assert_array_equal(change["out"], before["out"])


def test_a_window_that_is_none_is_an_invalid_record() -> None:
    with pytest.raises(fl.InvalidRecordError):
        fl.rolling.mean(X, 0)


def test_refused_by_some() -> None:
    with pytest.raises(ValueError, match=r"y has shape \(49,\), x has \(50,\)"):
        fl.rolling.corr(X, X[:-1], 5)
    with pytest.raises(ValueError, match=r"y\[2\] is NaN"):
        fl.rolling.corr([1.0, 2.0, 3.0], [1.0, 2.0, math.nan], 2, nan="raise")
    with pytest.raises(ValueError, match=r"q is 1\.5, outside \[0, 1\]"):
        fl.rolling.quantile(X, 5, 1.5)
    with pytest.raises(ValueError, match="q is nan"):
        fl.rolling.quantile(X, 5, math.nan)
    with pytest.raises(ValueError, match=r"ddof is -0\.5, must be finite and at least 0"):
        fl.rolling.var(X, 3, ddof=-0.5)
    with pytest.raises(ValueError, match="ddof is nan"):
        fl.rolling.var(X, 5, ddof=math.nan)
    with pytest.raises(TypeError, match="must be a C-contiguous int64 array"):
        fl.rolling.argmin(X, 5, out=np.empty(50))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="rate is of a window of time"):
        fl.rolling.many(X, 5, ["rate"])
    with pytest.raises(ValueError, match="stats is 'men', must be one of"):
        fl.rolling.many(X, 5, ["men"])
    with pytest.raises(ValueError, match="stats has mean twice"):
        fl.rolling.many(X, 5, ["mean", "mean"])
    with pytest.raises(ValueError, match="stats is empty"):
        fl.rolling.many(X, 5, [])
    with pytest.raises(ValueError, match="which needs q"):
        fl.rolling.many(X, 5, ["quantile"])
    with pytest.raises(TypeError, match="corr needs y"):
        fl.rolling.many(X, 5, ["corr"])
    with pytest.raises(TypeError, match="mean is of one row, but y is given"):
        fl.rolling.many(X, 5, ["mean"], y=X)
    with pytest.raises(ValueError, match="must have an array for each of"):
        fl.rolling.many(X, 5, ["mean"], out={"var": np.empty(50)})
    room = np.full(75, -7.0)
    for other in (room[:50], room[25:]):
        with pytest.raises(ValueError, match="out: the arrays of mean and max overlap"):
            fl.rolling.many(X, 5, ["mean", "max"], out={"mean": room[:50], "max": other})
    assert (room == -7.0).all()
    with pytest.raises(ValueError, match=rf"min_periods is {2**70}, must not be negative or more than 2\*\*62"):
        fl.rolling.mean(X, "1h", times=np.arange(50), min_periods=2**70)
    with pytest.raises(fl.InvalidRecordError, match=rf"window is {2**62}, must be below 2\*\*62$"):
        fl.rolling.mean(X, 2**62)


@pytest.mark.parametrize(
    ("times", "found"),
    [
        (np.array(["2024-01-01", "3000-01-01"], dtype="M8[D]"), "times[1] is 3000-01-01"),
        (np.array(["1000-01-01", "3000-01-01"], dtype="M8[D]"), "times[0] is 1000-01-01"),
        (np.array([2**62, 2**62], dtype="M8[s]"), "times[0] is "),
        (np.array([7, 2**64 - 1], dtype=np.uint64), f"times[1] is {2**64 - 1}"),
    ],
)
def test_times_that_do_not_fit_are_not_wrapped_around(times: Any, found: str) -> None:
    windows = fl.Windows("2d")
    for run in (
        lambda: fl.rolling.mean([1.0, 2.0], "2d", times=times),
        lambda: fl.rolling.ewm_mean([1.0, 2.0], half_life="2d", times=times),
        lambda: windows.update_many("a", times, [1.0, 2.0]),
    ):
        with pytest.raises(ValueError, match="outside the 64-bit nanoseconds") as error:
            run()
        assert str(error.value).startswith(found)
    assert len(windows) == 0


def test_times_of_any_unit_that_fit() -> None:
    for unit in ("D", "s", "us", "ns", "ps"):
        times = np.array([1, 2], dtype=f"M8[{unit}]")
        assert fl.rolling.mean([1.0, 2.0], "3d", times=times).tolist() == [1.0, 1.5]
    windows = fl.Windows("3d", stats="mean")
    assert windows.roll("a", np.array([1, 2], dtype=np.uint64), [1.0, 2.0]).ravel().tolist() == [1.0, 1.5]


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({}, TypeError, "one of alpha, span and half_life must be given, not none"),
        ({"alpha": 0.1, "span": 3}, TypeError, "not alpha and span"),
        ({"alpha": 0.0}, ValueError, r"alpha is 0\.0, outside \(0, 1\]"),
        ({"alpha": math.nan}, ValueError, "alpha is nan"),
        ({"span": 0.5}, ValueError, r"span is 0\.5, must be at least 1"),
        ({"half_life": -1}, ValueError, "half_life is -1, must be positive"),
        ({"half_life": "1h"}, TypeError, "times are needed"),
        ({"alpha": 0.1, "times": TIMES}, TypeError, "alpha counts samples"),
        ({"half_life": 2.5, "times": TIMES}, ValueError, r"half_life is 2\.5, must be a span"),
        ({"half_life": "1h", "times": TIMES, "adjust": False}, ValueError, "adjust is False"),
        ({"half_life": "1h", "times": TIMES[::-1]}, ValueError, r"times\[1\]"),
        ({"alpha": 0.1, "min_periods": -1}, ValueError, "min_periods is -1"),
        ({"alpha": 0.1, "out": np.empty(3)}, ValueError, "out has shape"),
    ],
)
def test_weights_refused(arguments: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        fl.rolling.ewm_mean(X, **arguments)


def test_threads_at_once() -> None:
    x = np.random.default_rng(2).normal(0, 1, 30_000)
    right = fl.rolling.median(x, 100), fl.rolling.var(x, 100)
    wrong: list[int] = []

    def work(k: int) -> None:
        for _ in range(5):
            if not np.array_equal(fl.rolling.median(x, 100)[99:], right[0][99:]):
                wrong.append(k)
            if not np.array_equal(fl.rolling.var(x, 100)[99:], right[1][99:]):
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
