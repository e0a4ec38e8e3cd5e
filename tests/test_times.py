"""Times and spans: every notation that is read, exactly, and every one that is refused."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fairlead as fl
from fairlead.times import as_span, as_time, timedelta_ns

SECOND = 10**9
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("1970-01-01", 0),
        ("2024-05-01", 1_714_521_600),
        ("2024-05-01T12:30:00", 1_714_566_600),
        ("2024-05-01T12:30:00Z", 1_714_566_600),
        ("2024-05-01 12:30:00+00:00", 1_714_566_600),
        ("2024-05-01T14:30:00+02:00", 1_714_566_600),
        (datetime(2024, 5, 1, 12, 30), 1_714_566_600),
        (datetime(2024, 5, 1, 12, 30, tzinfo=timezone.utc), 1_714_566_600),
        (datetime(2024, 5, 1, 12, 30, tzinfo=timezone(timedelta(hours=-4))), 1_714_581_000),
        (datetime(1960, 1, 1), -315_619_200),
    ],
)
def test_a_moment_in_every_notation(value: str | datetime, seconds: int) -> None:
    assert as_time(value) == seconds * SECOND


@given(st.datetimes(datetime(1680, 1, 1), datetime(2260, 1, 1)))
def test_microseconds_are_kept_exactly(moment: datetime) -> None:
    since = moment.replace(tzinfo=timezone.utc) - EPOCH
    exact = (since // timedelta(microseconds=1)) * 1000
    assert as_time(moment) == as_time(moment.isoformat()) == timedelta_ns(since) == exact


@given(st.integers(-(2**63), 2**63 - 1))
def test_nanoseconds_stay_what_they_are(time: int) -> None:
    assert as_time(time) == as_time(np.int64(time)) == time


@pytest.mark.parametrize(
    "bad",
    [True, None, 1.0, math.nan, "", "soon", "2024-13-01", "1714521600", b"2024-05-01", 2**63, -(2**63) - 1],
)
def test_what_is_no_time_is_refused_by_name(bad: object) -> None:
    with pytest.raises(fl.InvalidRecordError) as caught:
        as_time(bad, "warmup")
    assert str(caught.value).startswith(f"warmup is {bad!r}")


@pytest.mark.parametrize("bad", [datetime(3000, 1, 1), "3000-01-01", datetime(1500, 1, 1), "1500-01-01"])
def test_a_moment_beyond_64_bits_is_refused(bad: str | datetime) -> None:
    with pytest.raises(fl.InvalidRecordError, match="time is"):
        as_time(bad)


@pytest.mark.parametrize(
    ("value", "span"),
    [
        ("1ns", 1),
        ("5us", 5_000),
        ("500ms", 500_000_000),
        ("2s", 2 * SECOND),
        ("3min", 180 * SECOND),
        ("24h", 86_400 * SECOND),
        (" 24 h ", 86_400 * SECOND),
        ("7d", 7 * 86_400 * SECOND),
        ("2w", 14 * 86_400 * SECOND),
        (timedelta(days=30), 30 * 86_400 * SECOND),
        (timedelta(microseconds=1), 1000),
        (17, 17),
    ],
)
def test_a_span_in_every_notation(value: int | str | timedelta, span: int) -> None:
    assert as_span(value) == span


@pytest.mark.parametrize(
    "bad",
    [
        0,
        -1,
        "0s",
        "-1s",
        "1.5h",
        "h",
        "24",
        "24 hours",
        "",
        None,
        1.5,
        True,
        timedelta(0),
        "99999999w",
        2**63,
    ],
)
def test_what_is_no_span_is_refused_by_name(bad: object) -> None:
    with pytest.raises(fl.InvalidRecordError) as caught:
        as_span(bad, "window")
    assert str(caught.value).startswith(f"window is {bad!r}")


@pytest.mark.parametrize("bad", [0.01, None, True, datetime(2024, 5, 1), b"10ms"])
def test_what_is_no_span_is_told_what_one_looks_like(bad: object) -> None:
    with pytest.raises(fl.InvalidRecordError, match="a span such as '10ms', a timedelta or integer nanoseconds"):
        as_span(bad, "window")  # type: ignore[arg-type]
