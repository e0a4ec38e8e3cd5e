"""Windows as an object: policies, arrays, peeking, snapshots, merging, keys and what is refused."""

from __future__ import annotations

import copy
import math
import pickle
import random
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fairlead as fl

SECOND = 10**9
ALL = [
    "count", "sum", "mean", "var", "std", "skew", "kurt", "min", "max", "range", "argmin", "argmax", "min_age",
    "max_age", "first", "last", "rate", "median", "q0.9", "ewm", "ewm_var", "ewm_std",
]  # fmt: skip
PAIRS = [*ALL, "cov", "corr", "beta"]
WINDOWS = ["9s", 5, "40s", 33]
CLOSED = ["right", "left", "both", "neither"]


def bits(a: np.ndarray) -> bytes:
    return a.tobytes()


def events(seed: str, n: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times, with ties and gaps, and two columns of samples."""
    dice = random.Random(seed)
    steps = [dice.choice([0, 0, 1, SECOND // 3, SECOND, SECOND, 4 * SECOND, 50 * SECOND]) for _ in range(n)]
    x = [dice.choice([dice.gauss(0, 1), 1e9 + dice.gauss(0, 1), 0.5]) for _ in range(n)]
    return np.cumsum(steps).astype(np.int64), np.array(x), np.array([dice.gauss(0, 1) for _ in range(n)])


def made(**settings: Any) -> fl.Windows:
    return fl.Windows(WINDOWS, stats=PAIRS, **settings)


# --- arrays are events ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("closed", CLOSED)
def test_arrays_equal_events_bit_for_bit(closed: str) -> None:
    times, x, y = events(closed)
    names = [random.Random(i).choice("abc") for i in range(len(x))]
    live, batch, rolled = (made(closed=closed) for _ in range(3))
    out = np.empty((len(live.windows), len(live.stats)))
    one_by_one = []
    for k, t, a, b in zip(names, times.tolist(), x.tolist(), y.tolist(), strict=True):
        assert live.update(live.handle(k), t, a, b, out) is out
        one_by_one.append(out.copy())
    batch.update_many(names, times, x, y)
    handles = np.array([rolled.handle(k) for k in names], dtype=np.int32)
    into = np.empty((len(x), len(live.windows), len(live.stats)))
    assert rolled.roll(handles, times, x, y, out=into) is into
    assert bits(into) == bits(np.stack(one_by_one))
    assert bits(batch.read_all()) == bits(live.read_all()) == bits(rolled.read_all())
    assert live.snapshot() == batch.snapshot() == rolled.snapshot()


def test_what_arrays_may_be() -> None:
    W = fl.Windows("1h", stats="sum", keys=["model", "category"])
    W.update_many(("gpt", "crypto"), np.array(["1970-01-01T00:00:01", "1970-01-01T00:00:02"], "datetime64[s]"), [1, 2])
    W.update_many([("gpt", "crypto"), ("b", "")], [3 * SECOND, 1], np.array([3, 4], np.float32))
    W.update_many((h for h in (1, 1)), [4 * SECOND] * 2, [0.0, 0.0])
    W.update_many(np.array([1], np.uint8), [4 * SECOND], [0.0])
    W.update_many(0, [], [])
    W.update_many([], [], [])
    assert list(W) == [("gpt", "crypto"), ("b", "")]
    assert W.read_all().tolist() == [[[6.0]], [[4.0]]]
    assert W.newest(0) == 3 * SECOND
    assert W.roll(0, [], []).shape == (0, 1, 1)


# --- peek -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"closed": "left"}, {"max_samples": 20, "full": "drop"}, {"nan": "skip"}])
def test_peek_is_update_without_a_trace(settings: dict[str, Any]) -> None:
    times, x, y = events("peek", 200)
    W, never = made(**settings), made(**settings)
    h = W.handle("a"), never.handle("a")
    for t, a, b in zip(times.tolist(), x.tolist(), y.tolist(), strict=True):
        for later in (0, SECOND, 1000 * SECOND):
            W.peek(h[0], t + later, a * 3.0 - 1.0, b)
        seen = W.peek(h[0], t, a, b)
        assert W.snapshot() == never.snapshot()
        W.update(h[0], t, a, b)
        never.update(h[1], t, a, b)
        assert bits(seen) == bits(W.read(h[0])) == bits(never.read(h[1]))
    out = np.empty_like(seen)
    assert W.peek(h[0], int(times[-1]), 1.0, 2.0, out) is out
    if "nan" in settings:
        assert bits(W.peek(h[0], int(times[-1]), math.nan, 2.0)) == bits(W.read(h[0]))


def test_peek_at_a_late_sample() -> None:
    W = fl.Windows(["10s", 3], stats=["count", "mean", "max"], late="insert", lateness="5s")
    W.update_many("a", [0, 4 * SECOND, 8 * SECOND], [1.0, 2.0, 3.0])
    before = W.snapshot()
    seen = W.peek("a", 5 * SECOND, 9.0)
    assert W.snapshot() == before
    W.update("a", 5 * SECOND, 9.0)
    assert bits(seen) == bits(W.read("a"))


# --- snapshots --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("closed", CLOSED)
@pytest.mark.parametrize(
    "again", [lambda w: fl.Windows.restore(w.snapshot()), copy.deepcopy, lambda w: pickle.loads(pickle.dumps(w))]
)
def test_restored_is_as_if_never_stopped(closed: str, again: Any) -> None:
    times, x, y = events("stop", 240)
    W = made(closed=closed, keys=("model", "category"))
    for start in range(0, 240, 40):
        part = slice(start, start + 40)
        other = again(W)
        assert type(other) is fl.Windows
        assert other.snapshot() == W.snapshot()
        key = ("gpt", "x" if start < 120 else "y")
        assert bits(other.roll(key, times[part], x[part], y[part])) == bits(W.roll(key, times[part], x[part], y[part]))
        assert other.snapshot() == W.snapshot()
        assert (other.windows, other.stats, other.key_names, list(other)) == (W.windows, W.stats, W.key_names, list(W))
        assert other.counters(key) == W.counters(key)
        W = other


@given(st.data())
def test_damaged_snapshots_are_refused(data: st.DataObject) -> None:
    W = fl.Windows([3, "5s"], stats=["mean", "median", "max"])
    W.update_many(["a", "b", "a"], [1, 2, 3], [1.0, 2.0, 3.0])
    good = W.snapshot()
    cut = data.draw(st.integers(0, len(good) - 1))
    byte = data.draw(st.integers(1, 255))
    for bad in (good[:cut], good[:cut] + bytes([good[cut] ^ byte]) + good[cut + 1 :]):
        with pytest.raises(ValueError, match="data"):
            fl.Windows.restore(bad)


# --- merging ----------------------------------------------------------------------------------------------------------


def test_merge_of_disjoint_keys_is_exact() -> None:
    times, x, y = events("merge")
    whole, a, b = made(), made(), made()
    for W in (whole, a):
        W.update_many("a", times, x, y)
    for W in (whole, b):
        W.update_many("b", times, y, x)
    a.merge(b)
    assert a.snapshot() == whole.snapshot()


@pytest.mark.parametrize("closed", ["right", "both"])
@pytest.mark.parametrize("cut", [1, 7, 150, 299])
def test_merge_of_times_is_concatenation(cut: int, closed: str) -> None:
    dice = random.Random(cut)
    times = np.cumsum([dice.choice([1, SECOND, 2 * SECOND]) for _ in range(300)])
    _, _, y = events("merge")
    x = np.random.default_rng(cut).normal(3, 1, 300)
    whole = made(closed=closed)
    parts = [made(closed=closed) for _ in range(4)]
    whole.update_many("a", times, x, y)
    for early, late in ((parts[0], parts[1]), (parts[2], parts[3])):
        early.update_many("a", times[:cut], x[:cut], y[:cut])
        late.update_many("a", times[cut:], x[cut:], y[cut:])
    parts[0].merge(parts[1])
    parts[3].merge(parts[2])  # the other way round
    for merged in (parts[0], parts[3]):
        np.testing.assert_allclose(merged.read("a"), whole.read("a"), rtol=1e-12, atol=1e-12)
        assert merged.counters("a") == whole.counters("a")
        more = [w.roll("a", times + int(times[-1]), y, x) for w in (merged, copy.deepcopy(whole))]
        np.testing.assert_allclose(*more, rtol=1e-10, atol=1e-10)


def test_what_cannot_be_merged_changes_nothing() -> None:
    a, b, other = made(), made(), fl.Windows(WINDOWS, stats=ALL)
    a.update_many("a", [1, 5], [1.0, 2.0], [1.0, 2.0])
    b.update_many(["z", "a"], [3, 3], [1.0, 2.0], [1.0, 2.0])
    before = a.snapshot()
    with pytest.raises(ValueError, match="overlap"):
        a.merge(b)
    with pytest.raises(ValueError, match="other cannot be merged"):
        a.merge(other)
    with pytest.raises(ValueError, match="other has keys"):
        a.merge(made(keys=("x",)))
    assert a.snapshot() == before


# --- policies ---------------------------------------------------------------------------------------------------------


def test_nan_policies() -> None:
    for bad in (math.nan, math.inf, -math.inf):
        W = fl.Windows(3, stats=["count", "mean", "max", "median", "ewm"])
        W.update("a", 1, 5.0)
        before = W.snapshot()
        for call in (lambda w: w.update("a", 9, bad), lambda w: w.peek("a", 9, bad), lambda w: w.update("b", 9, bad)):  # noqa: B023
            with pytest.raises(ValueError, match=r"x is (nan|-?inf), must be finite"):
                call(W)
        with pytest.raises(ValueError, match=r"x\[1\] is"):
            W.update_many(["a", "c"], [2, 3], [1.0, bad])
        assert W.snapshot() == before

        skip = fl.Windows(["3s", 3], stats=["count", "mean"], nan="skip")
        skip.update_many("a", [0, SECOND, 3 * SECOND], [1.0, 2.0, bad])
        assert skip.read("a").tolist() == [[1.0, 2.0], [2.0, 1.5]]  # time moved on
        assert skip.counters("a") == {"samples": 2, "held": 2, "late": 0, "dropped": 0, "skipped": 1}

        marked = fl.Windows(3, stats=["count", "mean", "max", "median", "var"], nan="propagate")
        found = marked.roll("a", range(6), [1.0, bad, 2.0, 4.0, 6.0, 8.0])[:, 0]
        assert np.isnan(found[1:4, 1:]).all()
        assert found[:, 0].tolist() == [1, 1, 2, 2, 3, 3]
        assert found[4:].tolist() == [[3, 4, 6, 4, 4], [3, 6, 8, 6, 4]]


def test_late_policies() -> None:
    def late(policy: str, **settings: Any) -> tuple[list[float], dict[str, int]]:
        W = fl.Windows(["10s", 2], stats=["sum", "last"], late=policy, **settings)
        W.update_many("a", [0, 10 * SECOND, 10 * SECOND, 8 * SECOND, 3 * SECOND], [1.0, 2.0, 4.0, 8.0, 16.0])
        return W.read("a").ravel().tolist(), W.counters("a")

    with pytest.raises(ValueError, match=r"times\[3\] is 8000000000, before the newest"):
        late("raise")
    assert late("drop") == ([6, 4, 6, 4], {"samples": 3, "held": 2, "late": 2, "dropped": 2, "skipped": 0})
    assert late("clamp") == ([30, 16, 24, 16], {"samples": 5, "held": 4, "late": 2, "dropped": 0, "skipped": 0})
    assert late("insert", lateness="5s") == (
        [14, 4, 6, 4],
        {"samples": 4, "held": 3, "late": 2, "dropped": 1, "skipped": 0},
    )
    assert late("insert", lateness="9s") == (
        [30, 4, 6, 4],
        {"samples": 5, "held": 4, "late": 2, "dropped": 0, "skipped": 0},
    )


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(-9, 9)), min_size=1, max_size=50))
def test_inserted_late_samples_read_as_if_in_order(samples: list[tuple[int, int]]) -> None:
    stats = ["count", "sum", "var", "min", "argmax", "median", "first", "last", "kurt"]
    mixed = fl.Windows(["20s", 7], stats=stats, late="insert", lateness="60s")
    ordered = fl.Windows(["20s", 7], stats=stats)
    for t, x in samples:
        mixed.update("a", t * SECOND, x)
    for t, x in sorted(samples, key=lambda s: s[0]):
        ordered.update("a", t * SECOND, x)
    np.testing.assert_allclose(mixed.read("a"), ordered.read("a"), rtol=1e-9, atol=1e-9)


def test_a_bounded_ring() -> None:
    times = [i * SECOND for i in range(10)]
    W = fl.Windows(["60s", 2], stats=["count", "sum", "max", "median"], max_samples=4, full="drop")
    W.update_many("a", times, [9.0, *range(1, 10)])
    assert W.read("a").tolist() == [[4, 30, 9, 7.5], [2, 17, 9, 8.5]]
    assert W.counters("a") == {"samples": 10, "held": 4, "late": 0, "dropped": 6, "skipped": 0}
    full = fl.Windows(["6s", 2], stats=["count", "sum"], max_samples=4)
    full.update_many("a", times[:4], [1.0] * 4)
    before = full.snapshot()
    with pytest.raises(ValueError, match="max_samples is 4: the sample would be one more"):
        full.update("a", times[4], 1.0)
    with pytest.raises(ValueError, match=r"max_samples is 4: the sample\[5\]"):
        full.update_many(["b", *["a"] * 5], [0, *[20 * SECOND] * 5], [1.0] * 6)
    assert full.snapshot() == before
    full.update("a", 20 * SECOND, 1.0)  # the others are too old by now
    assert full.counters("a")["held"] == 2


def test_min_periods_and_ddof() -> None:
    W = fl.Windows([3], stats=["sum", "var", "count", "ewm"], min_periods=2, ddof=0)
    assert W.roll("a", [0, 1], [1.0, 3.0])[:, 0].tolist()[1] == [4.0, 1.0, 2.0, pytest.approx(2.1150, abs=1e-4)]
    assert np.isnan(W.roll("b", [0], [1.0])[0, 0, [0, 1, 3]]).all()
    none = fl.Windows("5s", stats=["sum", "mean"], min_periods=0)
    none.update("a", 0, 1.0)
    none.advance(9 * SECOND)
    assert none["a"]["5s"] == pytest.approx({"sum": 0.0, "mean": math.nan}, nan_ok=True)


def test_keys_and_views() -> None:
    W = fl.Windows([2, "1h"], stats=["sum", "max"], keys=("model", "category"))
    h = W.handle("gpt", "crypto")
    assert h == W.handle(("gpt", "crypto")) == 0
    assert W.handle("gptc", "rypto") == 1
    W.update(h, datetime(2024, 1, 1), 1.0)
    W.update(("gpt", "crypto"), "2024-01-01T00:00:01Z", 2.0)
    W.update(np.int64(0), 1704067202 * SECOND, 3.0)
    assert ("gpt", "crypto") in W
    assert ("gpt", "") not in W
    assert len(W) == 2
    assert W[h] == W["gpt", "crypto"] == {"2": {"sum": 5.0, "max": 3.0}, "1h": {"sum": 6.0, "max": 3.0}}
    assert W.to_dicts()[1] == {"model": "gpt", "category": "crypto", "window": "1h", "sum": 6.0, "max": 3.0}
    assert "2 keys" in repr(W)
    single = fl.Windows(timedelta(seconds=2), stats="sum", keys=())
    assert single.roll(0, [1, 2], [1.0, 2.0]).ravel().tolist() == [1.0, 3.0]


def test_ewm_is_that_of_pandas() -> None:
    pd = pytest.importorskip("pandas")
    times, x, _ = events("ewm", 200)
    x -= 1e9 * (x > 1e8)
    W = fl.Windows(["9s", 5], stats=["ewm", "ewm_var", "ewm_std"])
    found = W.roll("a", times, x)
    series = pd.Series(x)
    by_time = series.ewm(halflife="9s", times=pd.Series(pd.to_datetime(times)))
    np.testing.assert_allclose(found[:, 0, 0], by_time.mean(), rtol=1e-10)
    by_count = series.ewm(halflife=5)
    np.testing.assert_allclose(
        found[:, 1], np.stack([by_count.mean(), by_count.var(), by_count.std()], axis=1), rtol=1e-10
    )
    fixed = fl.Windows(["9s", 5], stats=["ewm"], half_life=5).roll("a", times, x)
    np.testing.assert_allclose(fixed[:, :, 0], np.stack([by_count.mean()] * 2, axis=1), rtol=1e-10)


@pytest.mark.parametrize("closed", CLOSED)
def test_windows_are_those_of_pandas(closed: str) -> None:
    pd = pytest.importorskip("pandas")
    times = np.cumsum(np.random.default_rng(1).integers(1, 4 * SECOND, 300))
    x = np.random.default_rng(2).normal(0, 1, 300)
    found = fl.Windows(["9s", 6], stats=["mean", "var", "min", "max", "median", "skew", "kurt"], closed=closed).roll(
        "a", times, x
    )
    series = pd.Series(x, index=pd.to_datetime(times))
    for w, window in enumerate(["9s", 6]):
        rolling = series.rolling(window, min_periods=1, closed=closed)
        for s, name in enumerate(["mean", "var", "min", "max", "median", "skew", "kurt"]):
            np.testing.assert_allclose(found[:, w, s], getattr(rolling, name)(), rtol=1e-8, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("n", [700, 5000])
def test_quantiles_of_large_windows(n: int) -> None:
    dice = np.random.default_rng(n)
    x = np.concatenate([np.arange(n), dice.normal(0, 1, n), dice.integers(0, 5, n), -np.arange(n), np.zeros(n)]).astype(
        float
    )
    found = fl.Windows(n, stats=["median", "q0.99", "q0", "quantile(1)"]).roll("a", np.arange(len(x)), x)[:, 0]
    for i in range(0, len(x), 97):
        held = x[max(0, i + 1 - n) : i + 1]
        np.testing.assert_allclose(found[i], np.quantile(held, [0.5, 0.99, 0, 1]), rtol=1e-12, atol=1e-12)


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"windows": 0}, "windows: 0"),
        ({"windows": []}, "windows is empty"),
        ({"windows": 3.5}, "windows: 3.5 must be a number of samples"),
        ({"stats": 5}, "stats: 5 must be"),
        ({"windows": [3, 4], "min_periods": 5}, "min_periods is 5, more samples than any window holds"),
        ({"half_life": 5}, "half_life is 5, but stats has none of ewm"),
        ({"windows": ["24x"]}, "windows is '24x'"),
        ({"windows": [1.5]}, "windows: 1.5"),
        ({"windows": [True]}, "windows: True"),
        ({"windows": [3, 3]}, "windows: '3' is there twice"),
        ({"stats": "avg"}, "stats: 'avg'"),
        ({"stats": "q1.5"}, "stats: 'q1.5'"),
        ({"stats": "quantile"}, "stats: 'quantile'"),
        ({"stats": []}, "stats is empty"),
        ({"closed": "up"}, "closed is 'up'"),
        ({"nan": "x"}, "nan is 'x'"),
        ({"late": "x"}, "late is 'x'"),
        ({"late": "insert"}, "lateness is None"),
        ({"lateness": "5s"}, "lateness is '5s'"),
        ({"full": "x"}, "full is 'x'"),
        ({"min_periods": -1}, "min_periods is -1"),
        ({"min_periods": 2**70}, f"min_periods is {2**70}"),
        ({"ddof": -1.0}, "ddof is -1.0"),
        ({"ddof": math.nan}, "ddof is nan"),
        ({"max_samples": 0}, "max_samples is 0"),
        ({"max_samples": 2**64}, f"max_samples is {2**64}"),
        ({"half_life": 0, "stats": "ewm"}, "half_life: 0"),
        ({"keys": ["a", "a"]}, "keys: 'a' is there twice"),
        ({"keys": [1]}, "keys: 1 is no str"),
    ],
)
def test_settings_that_cannot_be_honoured(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(fl.InvalidRecordError, match=words.replace("(", r"\(")):
        fl.Windows(**{"windows": 3, **settings})


def test_numbers_of_samples_may_be_of_numpy() -> None:
    assert fl.Windows(np.int64(3), max_samples=np.int32(7)).windows == ("3",)
    assert fl.Windows([np.int64(3), "1h"], "ewm", half_life=np.int8(2)).windows == ("3", "1h")
    assert fl.Windows(np.array([3, 5])).windows == ("3", "5")
    for least, closed in [(4, "both"), (3, "right"), (1, "neither")]:
        assert len(fl.Windows(3, min_periods=least, closed=closed)) == 0
    assert len(fl.Windows([3, "1h"], min_periods=9)) == 0
    for bad in (True, [True], [np.array([3, 5])], [np.float64(3.0)]):
        with pytest.raises(fl.InvalidRecordError, match="windows: "):
            fl.Windows(bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("windows", [[1], [1, 3]])
def test_a_result_may_lie_over_what_it_is_made_from(windows: list[int]) -> None:
    times, x = np.arange(10, 16), np.array([1.0, 4.0, 2.0, 8.0, 5.0, 7.0])
    right = fl.Windows(windows, stats=["mean", "max"]).roll("a", times, x)
    for source in (x, times):
        for shift in (0, 3):
            room = np.zeros(right.shape)
            over = room.reshape(-1).view(source.dtype)[shift : shift + 6]
            over[:] = source
            given = (over, x) if source is times else (times, over)
            found = fl.Windows(windows, stats=["mean", "max"]).roll("a", *given, out=room)
            assert found is room
            assert bits(found) == bits(right)


def test_calls_that_cannot_be_honoured_change_nothing() -> None:
    W = fl.Windows([3, "5s"], stats=["mean", "max"])
    h = W.handle("a")
    W.update(h, 10, 1.0)
    before = W.snapshot()
    cases: list[tuple[Any, type[Exception], str]] = [
        (lambda: W.update(h, 9, 1.0), ValueError, "ts is 9, before the newest time of its key, 10"),
        (lambda: W.update(7, 11, 1.0), KeyError, "handle 7"),
        (lambda: W.update(-1, 11, 1.0), KeyError, "handle -1"),
        (lambda: W.update(None, 11, 1.0), TypeError, "h is None, must be a handle"),
        (lambda: W.update(2**70, 11, 1.0), KeyError, "handle"),
        (lambda: W.update(h, "x", 1.0), ValueError, "ts is 'x'"),
        (lambda: W.update(h, 1.5, 1.0), ValueError, "ts is 1.5"),
        (lambda: W.update(h, 2**63, 1.0), ValueError, "outside the 64-bit"),
        (lambda: W.update(h, 11, "x"), TypeError, "real number"),
        (lambda: W.update(h, 11), TypeError, "from 3 to 4"),
        (lambda: W.update(("a", "b"), 11, 1.0), TypeError, "key is"),
        (lambda: W.update(h, 11, 1.0, np.empty((2, 3))), ValueError, "out has shape"),
        (lambda: W.update(h, 11, 1.0, np.empty((2, 2), np.float32)), TypeError, "out is"),
        (lambda: W.update(h, 11, 1.0, 5.0), TypeError, "out is"),
        (lambda: W.handle("a", "b"), TypeError, "must be a str: key"),
        (lambda: W.handle(3), TypeError, "key is 3"),
        (lambda: W.read("b"), KeyError, "no key is 'b'"),
        (lambda: W["b"], KeyError, "no key is 'b'"),
        (lambda: W.update_many(h, [11, 10], [1.0, 2.0]), ValueError, r"times\[1\] is 10"),
        (lambda: W.update_many(h, [11], [1.0, 2.0]), ValueError, "times has length 1, x has 2"),
        (lambda: W.update_many([h, 5], [11, 12], [1.0, 2.0]), KeyError, r"h\[1\]"),
        (lambda: W.update_many([h], [11, 12], [1.0, 2.0]), ValueError, "h has length 1, x has 2"),
        (lambda: W.update_many(["b", "b"], [12, 11], [1.0, 2.0]), ValueError, r"times\[1\] is 11"),
        (lambda: W.update_many(h, [11.0], [1.0]), TypeError, "times has dtype float64"),
        (lambda: W.update_many(h, [11], ["a"]), TypeError, "x has dtype"),
        (lambda: W.update_many(h, [11], [[1.0]]), ValueError, "x has shape"),
        (lambda: W.update_many(h, np.array(["NaT"], "M8[ns]"), [1.0]), ValueError, r"times\[0\] is NaT"),
        (lambda: W.update_many(h, [11], [1.0], [1.0]), TypeError, "y is given"),
        (lambda: W.roll(h, [11], [1.0], out=np.empty((2, 2, 2))), ValueError, "out has shape"),
        (lambda: made().update_many("a", [11], [1.0]), TypeError, "y is missing"),
    ]
    for call, error, words in cases:
        with pytest.raises(error, match=words):
            call()
        assert W.snapshot() == before
