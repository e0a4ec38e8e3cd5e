"""What the columns and keys of Windows may come as: times in every notation, names from other libraries."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest

import fairlead as fl

ISO = ["2024-01-01T00:00:00", "2024-01-01T12:00:00", "2024-01-02T00:00:00"]
DATES = [datetime.fromisoformat(text) for text in ISO]
STAMPS = np.array(ISO, dtype="M8[ns]")
EAST = timezone(timedelta(hours=3))
X = [1.0, 3.0, 8.0]


def pandas_times(kind: str) -> Any:
    pd = pytest.importorskip("pandas")
    plain = pd.Series(pd.to_datetime(ISO))
    if kind == "plain":
        return plain
    if kind == "objects":
        return plain.astype(object)
    zoned = plain.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")
    return pd.DatetimeIndex(zoned) if kind == "index" else zoned.dt.as_unit(kind)


@pytest.mark.parametrize(
    "times",
    [
        STAMPS,
        STAMPS.astype("M8[s]"),
        list(STAMPS),
        STAMPS.astype(np.int64).tolist(),
        ISO,
        tuple(ISO),
        np.array(ISO),
        DATES,
        [date.replace(tzinfo=timezone.utc).astimezone(EAST) for date in DATES],
        "plain",
        "objects",
        "index",
        "ns",
        "us",
    ],
)
def test_columns_of_times(times: Any) -> None:
    given = pandas_times(times) if isinstance(times, str) else times
    W = fl.Windows("24h", stats="mean")
    assert W.roll("a", given, X).ravel().tolist() == [1.0, 2.0, 5.5]
    assert W.newest("a") == int(STAMPS.astype(np.int64)[-1])
    W = fl.Windows("24h", stats="mean")
    W.update_many("a", given, X)
    assert W["a"] == {"24h": {"mean": 5.5}}
    assert fl.rolling.mean(X, "24h", times=given).tolist() == [1.0, 2.0, 5.5]


@pytest.mark.parametrize("time", [STAMPS[1], STAMPS.astype("M8[s]")[1], ISO[1], DATES[1], STAMPS.astype(np.int64)[1]])
def test_one_time(time: Any) -> None:
    W = fl.Windows("24h", stats="count")
    h = W.handle("a")
    W.update(h, time, 1.0)
    assert W.newest(h) == int(STAMPS.astype(np.int64)[1])
    assert W.peek(h, time, 2.0).tolist() == [[2.0]]
    W.advance(time)
    assert W.newest(h) == int(STAMPS.astype(np.int64)[1])


def test_times_that_are_none_are_named() -> None:
    W = fl.Windows("24h", stats="mean")
    nat = np.datetime64("NaT")
    before = W.snapshot()
    bad: list[Any] = [[STAMPS[0], nat, STAMPS[1]], np.array([STAMPS[0], nat, nat])]
    try:
        import pandas as pd
    except ImportError:
        pass
    else:
        bad += [pd.to_datetime([ISO[0], None, ISO[1]]), pd.to_datetime([ISO[0], None, ISO[1]], utc=True)]
        bad += [[pd.Timestamp(ISO[0]), pd.NaT, pd.Timestamp(ISO[1])]]
        with pytest.raises(ValueError, match="ts is NaT"):
            W.update("a", pd.NaT, 1.0)
    for times in bad:
        with pytest.raises(ValueError, match=r"times\[1\] is NaT"):
            W.update_many("a", times, X)
    with pytest.raises(ValueError, match=r"times\[1\] is 'soon'"):
        W.update_many("a", [ISO[0], "soon", ISO[1]], X)
    with pytest.raises(ValueError, match="ts is NaT"):
        W.update("a", nat, 1.0)
    with pytest.raises(ValueError, match="ts is 3000-01-01, outside the 64-bit"):
        W.advance(np.datetime64("3000-01-01"))
    assert W.snapshot() == before


NAMES = ["b", "a", "b", "ü", "a"]


def as_column(kind: str) -> Any:
    if kind == "numpy":
        return np.array(NAMES)
    if kind == "objects":
        return np.array(NAMES, dtype=object)
    if kind.startswith("pyarrow"):
        pa = pytest.importorskip("pyarrow")
        array = pa.array(NAMES)
        chunks = pa.chunked_array([array[:2], array[2:]])
        return {"": array, "large": array.cast(pa.large_string()), "chunks": chunks}.get(
            kind[8:], array.dictionary_encode()
        )
    if kind == "polars":
        return pytest.importorskip("polars").Series(NAMES)
    pd = pytest.importorskip("pandas")
    categories = pd.Categorical(NAMES, categories=["never", "ü", "a", "b"])
    return {"categorical": categories, "category": pd.Series(categories), "pandas": pd.Series(NAMES)}[kind]


@pytest.mark.parametrize(
    "kind",
    [
        *("numpy", "objects", "pyarrow", "pyarrow_large", "pyarrow_chunks", "pyarrow_dictionary", "polars"),
        *("categorical", "category", "pandas"),
    ],
)
def test_columns_of_keys(kind: str) -> None:
    listed, W = fl.Windows(3, stats="sum"), fl.Windows(3, stats="sum")
    for each in (listed, W):
        each.handle("a")
    x = [1.0, 2.0, 4.0, 8.0, 16.0]
    expected = listed.roll(NAMES, range(5), x)
    assert W.roll(as_column(kind), range(5), x).tolist() == expected.tolist()
    assert list(W) == ["a", "b", "ü"]
    assert W.snapshot() == listed.snapshot()
    before = W.snapshot()
    for call, words in [
        (lambda: W.update_many(as_column(kind), range(10, 14), x[1:]), "h has length 5, x has 4"),
        (lambda: fl.Windows(3).update_many(as_column(kind), [9, 8, 7, 6, 5], x), r"times\[2\] is 7, before"),
    ]:
        with pytest.raises(ValueError, match=words):
            call()
    assert W.snapshot() == before


def test_a_missing_key_is_named() -> None:
    pd = pytest.importorskip("pandas")
    W = fl.Windows(3)
    with pytest.raises(ValueError, match=r"h\[1\] is missing: every sample needs a key"):
        W.update_many(pd.Categorical(["a", None, "b"]), range(3), X)
    pa = pytest.importorskip("pyarrow")
    with pytest.raises(ValueError, match=r"h\[2\] is missing: every sample needs a key"):
        W.update_many(pa.array(["a", "b", None]), range(3), X)
    assert len(W) == 0
