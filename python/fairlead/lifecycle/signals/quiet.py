"""Hours in which no retraining starts, by the clock on the wall."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, time, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from fairlead.errors import InvalidRecordError, did_you_mean
from fairlead.measure.calendar import calendar_of
from fairlead.times import timedelta_ns

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From `start` to `end` of a day, past midnight where `end` is not after `start`, in a time zone.

    start, end: "22:00" or a datetime.time; end itself is not quiet. zone: an IANA name, or a tzinfo. days: those on
    which it starts, "mon" to "sun"; empty: all. Where the clocks change, what they show counts.
    Raises InvalidRecordError for what is none of these.

    >>> from fairlead.times import as_time
    >>> nights = QuietHours("22:00", "06:00", zone="Europe/London")
    >>> nights.holds(as_time("2026-07-01T04:59:00Z")), nights.holds(as_time("2026-07-01T05:00:00Z"))
    (True, False)
    >>> print(nights)
    22:00 to 06:00 Europe/London
    """

    start: str | time
    end: str | time
    zone: str | tzinfo = "UTC"
    days: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field in ("start", "end"):
            object.__setattr__(self, field, _clock(getattr(self, field), field))
        calendar_of(self.zone)  # refuses what is none
        given: object = self.days
        if not isinstance(given, Iterable):
            raise InvalidRecordError(f"days is {given!r}, must be some of {', '.join(DAYS)}")
        days = (given,) if isinstance(given, str) else tuple(given)
        for day in days:
            if day not in DAYS:
                raise InvalidRecordError(f"days holds {day!r}, must be some of {', '.join(DAYS)}{_hint(day)}")
        object.__setattr__(self, "days", days)

    def holds(self, now: int) -> bool:
        """Whether a time, in nanoseconds since the epoch, is within them."""
        return self._start(now) is not None

    def until(self, now: int) -> int:
        """When they end that a time is in; the time itself where it is in none."""
        at = now
        for _ in range(15):  # the same hours of each day of the week may follow each other
            started = self._start(at)
            if started is None:
                return at
            assert isinstance(self.end, time)
            over = datetime.combine(started, self.end, self._zone())
            if over <= datetime.combine(started, self._begin(), self._zone()):
                over = datetime.combine(started + timedelta(days=1), self.end, self._zone())
            after = timedelta_ns(over.astimezone(timezone.utc) - _EPOCH)
            # Where the clock goes back, the end comes twice.
            at = after if after > at else at + 900 * 10**9
        return at

    def as_dict(self) -> dict[str, object]:
        """The fields, as plain JSON types."""
        return {"start": _text(self.start), "end": _text(self.end), "zone": str(self.zone), "days": list(self.days)}

    def __str__(self) -> str:
        days = f" ({', '.join(self.days)})" if self.days else ""
        return f"{_text(self.start)} to {_text(self.end)} {self.zone}{days}"

    def _zone(self) -> tzinfo:
        return ZoneInfo(self.zone) if isinstance(self.zone, str) else self.zone

    def _begin(self) -> time:
        assert isinstance(self.start, time)
        return self.start

    def _start(self, now: int) -> datetime | None:
        """The local day on which the hours started that a time is in."""
        here = (_EPOCH + timedelta(microseconds=now // 1000)).astimezone(self._zone())
        clock, start, end = here.time(), self._begin(), self.end
        assert isinstance(end, time)
        day = datetime(here.year, here.month, here.day)
        if start < end:
            found = day if start <= clock < end else None
        elif clock >= start:
            found = day
        else:
            found = day - timedelta(days=1) if clock < end else None
        if found is None or (self.days and DAYS[found.weekday()] not in self.days):
            return None
        return found


def _clock(given: object, field: str) -> time:
    if isinstance(given, time):
        if given.tzinfo is not None:
            raise InvalidRecordError(f"{field} is {given!r}, must have no time zone of its own: give zone")
        return given
    try:
        return time.fromisoformat(given)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise InvalidRecordError(f"{field} is {given!r}, must look like '22:00'") from error


def _text(clock: object) -> str:
    assert isinstance(clock, time)
    return clock.isoformat(timespec="auto" if clock.second or clock.microsecond else "minutes")


def _hint(day: object) -> str:
    return did_you_mean(day[:3].lower(), DAYS) if isinstance(day, str) else ""
