"""Calendars against the wall clock of each zone."""

from __future__ import annotations

import pickle
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead._core import Calendar
from fairlead.errors import InvalidRecordError
from fairlead.measure.calendar import calendar_of, day_number, period_name
from fairlead.times import as_time

HOUR = 3600 * 10**9
ZONES = ["Europe/London", "America/New_York", "Asia/Kolkata", "Pacific/Apia", "America/Havana", "Africa/Cairo", "UTC"]


@given(
    zone=st.sampled_from(ZONES),
    when=st.datetimes(datetime(2000, 1, 2), datetime(2069, 12, 30), timezones=st.just(timezone.utc)),
)
def test_a_moment_lies_in_the_day_of_the_wall_clock(zone: str, when: datetime) -> None:
    calendar = calendar_of(zone)
    local = when.astimezone(ZoneInfo(zone))
    day = calendar.day(as_time(when))
    assert day == day_number(local.date())
    assert calendar.start_of_day(day) <= as_time(when) < calendar.start_of_day(day + 1)
    month = calendar.number(3, as_time(when))
    assert month == local.year * 12 + local.month - 1
    assert period_name("monthly", month) == local.strftime("%Y-%m")
    assert period_name("weekly", calendar.number(2, as_time(when))) == local.strftime("%G-W%V")


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/London", date(2026, 3, 29), 23),
        ("Europe/London", date(2026, 10, 25), 25),
        ("America/New_York", date(2026, 3, 8), 23),
        ("America/New_York", date(2026, 11, 1), 25),
        ("Asia/Kolkata", date(2026, 3, 29), 24),
        ("Pacific/Apia", date(2011, 12, 29), 24),
        ("Pacific/Apia", date(2011, 12, 30), 0),  # the day that Samoa left out
        ("Pacific/Apia", date(2011, 12, 31), 24),
        ("America/Havana", date(2026, 3, 8), 23),  # the clock goes forward at midnight
        ("Africa/Cairo", date(2026, 4, 24), 23),
    ],
)
def test_days_that_are_not_24_hours(zone: str, day: date, hours: int) -> None:
    calendar = calendar_of(zone)
    n = day_number(day)
    assert calendar.start_of_day(n + 1) - calendar.start_of_day(n) == hours * HOUR


def test_months_begin_at_local_midnight() -> None:
    for zone in ("Europe/London", "America/New_York", "Asia/Kolkata"):
        calendar = calendar_of(zone)
        for year in (2024, 2025, 2026, 2040):
            for month in range(1, 13):
                midnight = datetime(year, month, 1, tzinfo=ZoneInfo(zone))
                assert calendar.start(3, year * 12 + month - 1) == as_time(midnight)


def test_every_zone_there_is() -> None:
    for zone in sorted(available_timezones())[::12]:
        calendar = calendar_of(ZoneInfo(zone), date(2005, 1, 1), date(2012, 6, 1))
        for n in range(day_number(date(2005, 1, 1)), day_number(date(2012, 6, 1)), 11):
            start = calendar.start_of_day(n)
            assert calendar.day(start - 1) < n <= calendar.day(start)


def test_what_a_calendar_is_made_of() -> None:
    assert calendar_of() == Calendar()
    assert calendar_of(timezone(timedelta(hours=5, minutes=30))) == Calendar(5 * HOUR + HOUR // 2)
    assert len(calendar_of("Asia/Kolkata").runs) == 1
    london = calendar_of("Europe/London")
    assert len(london.runs) < 300
    assert Calendar.from_runs(london.runs) == london == pickle.loads(pickle.dumps(london))
    with pytest.raises(ValueError, match="runs"):
        Calendar.from_runs([])
    mine = Calendar(HOUR)
    assert calendar_of(mine) is mine
    # After the table its last offset goes on.
    late = calendar_of("Europe/London").day(as_time("2200-07-01T12:00Z"))
    assert late == day_number(date(2200, 7, 1))
    with pytest.raises(InvalidRecordError, match="did you mean 'Europe/London'"):
        calendar_of("Europe/Londn")
    for bad in ("../etc/passwd", "", 5):
        with pytest.raises(InvalidRecordError, match="zone is"):
            calendar_of(bad)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="period"):
        mine.number(4, 0)
