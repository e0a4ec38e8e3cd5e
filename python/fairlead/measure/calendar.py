"""Where days, weeks and months start in a time zone: what budgets reset by, and spending is added up by."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from fairlead._core import Calendar
from fairlead.errors import InvalidRecordError, did_you_mean

Zone = str | tzinfo | Calendar

FIRST, LAST = date(2000, 1, 1), date(2070, 1, 1)
PERIODS = ("none", "daily", "weekly", "monthly")
_EPOCH = date(1970, 1, 1)


def calendar_of(zone: Zone = "UTC", first: date = FIRST, last: date = LAST) -> Calendar:
    """The calendar of an IANA time zone, for the days from `first` to `last`; before and after, its offset is that of
    the first and the last day. Weeks start on Monday. A day starts at its first midnight, or where the clock lands that
    skips it.

    Raises InvalidRecordError for a zone that is not known.

    >>> from fairlead.times import as_time
    >>> london = calendar_of("Europe/London")
    >>> day = london.day(as_time("2026-03-29T12:00:00Z"))  # the clocks go forward: 23 hours
    >>> (london.start_of_day(day + 1) - london.start_of_day(day)) // 3_600_000_000_000
    23
    """
    if isinstance(zone, Calendar):
        return zone
    if isinstance(zone, str):
        return _named(zone, first, last)
    if isinstance(zone, timezone):
        return Calendar(round(zone.utcoffset(None) / timedelta(microseconds=1)) * 1000)
    if isinstance(zone, tzinfo):
        return _days(zone, first, last)
    raise InvalidRecordError(f"zone is {zone!r}, must be the name of a time zone such as 'Europe/London'")


@lru_cache(maxsize=64)
def _named(zone: str, first: date, last: date) -> Calendar:
    if zone == "UTC":
        return Calendar()
    try:
        found = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        known = available_timezones()
        hint = did_you_mean(zone, known) if known else "; there is none here: pip install tzdata"
        raise InvalidRecordError(f"zone is {zone!r}, which the IANA time zone database does not have{hint}") from error
    return _days(found, first, last)


def _days(zone: tzinfo, first: date, last: date) -> Calendar:
    start = first.toordinal() - _EPOCH.toordinal()
    midnight = datetime(first.year, first.month, first.day, tzinfo=zone)  # fold=0: the first of two midnights
    a_day = timedelta(days=1)
    starts = []
    for n in range(last.toordinal() - first.toordinal()):
        local = midnight + n * a_day  # on the clock of the wall
        offset = local.utcoffset() or timedelta()
        starts.append((start + n) * 86_400_000_000_000 - (offset.days * 86_400 + offset.seconds) * 10**9)
    return Calendar.from_days(start, starts)


def day_name(day: int) -> str:
    """A day of a calendar as ISO date.

    >>> day_name(0)
    '1970-01-01'
    """
    return date.fromordinal(_EPOCH.toordinal() + day).isoformat()


def day_number(day: date) -> int:
    """A date as a day of a calendar.

    >>> day_number(date(1970, 1, 2))
    1
    """
    return day.toordinal() - _EPOCH.toordinal()


def period_name(period: str, number: int) -> str:
    """A period for people: a date, an ISO week, a month.

    >>> period_name("daily", 0), period_name("weekly", 0), period_name("monthly", 1970 * 12)
    ('1970-01-01', '1970-W01', '1970-01')
    """
    if period == "none":
        return "all time"
    first = Calendar.first_day(PERIODS.index(period), number)
    if period == "daily":
        return day_name(first)
    year, week, _ = date.fromordinal(_EPOCH.toordinal() + first).isocalendar()
    return f"{year}-W{week:02d}" if period == "weekly" else day_name(first)[:7]


def time_text(time: int) -> str:
    """A time for people, UTC, to the second.

    >>> time_text(1_775_001_600 * 10**9)
    '2026-04-01 00:00:00Z'
    """
    return (datetime(1970, 1, 1) + timedelta(seconds=time // 10**9)).strftime("%Y-%m-%d %H:%M:%SZ")
