"""Times are integer nanoseconds since the epoch, UTC. Here is where other notations are turned into them."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone

from fairlead.errors import InvalidRecordError

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_UNITS = {
    "ns": 1,
    "us": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "min": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86400 * 10**9,
    "w": 7 * 86400 * 10**9,
}
_SPAN = re.compile(r"(\d+)\s*(ns|us|ms|s|min|h|d|w)")


def timedelta_ns(span: timedelta) -> int:
    """A timedelta in nanoseconds, exactly."""
    return (span.days * 86400 + span.seconds) * 10**9 + span.microseconds * 1000


def datetime_ns(value: datetime | date) -> int:
    """A datetime (without a zone: UTC) or a date as nanoseconds since the epoch; a pandas.Timestamp keeps its own.

    >>> datetime_ns(date(1970, 1, 2))
    86400000000000
    """
    if not isinstance(value, datetime):
        return timedelta_ns(value - _EPOCH.date())
    aware = value if value.tzinfo else value.replace(tzinfo=timezone.utc)
    nanosecond: int = getattr(value, "nanosecond", 0)
    return timedelta_ns(aware - _EPOCH) + nanosecond


def iso_ns(text: str) -> int:
    """ISO 8601 as nanoseconds since the epoch: up to nine digits after the second, `Z` on every Python version.

    Raises ValueError for anything else.

    >>> iso_ns("1970-01-01T00:00:01.000000007Z")
    1000000007
    """
    text = text.strip()
    if text[-1:] in ("Z", "z"):
        text = f"{text[:-1]}+00:00"
    seconds, _, rest = text.partition(".")
    if seconds[-3:-2] != ":" or seconds[-6:-5] != ":":
        return datetime_ns(datetime.fromisoformat(text))
    zone = rest.lstrip("0123456789")
    digits = rest[: len(rest) - len(zone)]
    return datetime_ns(datetime.fromisoformat(seconds + zone)) + int(digits[:9].ljust(9, "0"))


def as_time(value: int | str | date, field: str = "time") -> int:
    """A point in time as integer nanoseconds since the epoch, UTC. A datetime without a zone is taken as UTC,
    a date as its first moment.

    Raises InvalidRecordError for anything that is not a time.

    >>> as_time("2024-01-01T00:00:00+00:00")
    1704067200000000000
    >>> as_time(datetime(2024, 1, 1))
    1704067200000000000
    """
    if isinstance(value, bool):
        raise InvalidRecordError(f"{field} is {value!r}, must be integer nanoseconds, a datetime or an ISO string")
    try:
        if isinstance(value, str):
            time = iso_ns(value)
        else:
            time = datetime_ns(value) if isinstance(value, date) else int(value.__index__())
    except ValueError as error:
        raise InvalidRecordError(f"{field} is {value!r}, not an ISO date or time") from error
    except AttributeError as error:
        raise InvalidRecordError(
            f"{field} is {value!r}, must be integer nanoseconds, a datetime or an ISO string"
        ) from error
    if not -(2**63) <= time < 2**63:
        raise InvalidRecordError(f"{field} is {time}, outside the 64-bit nanoseconds (years 1677 to 2262)")
    return time


def as_span(value: int | str | timedelta, field: str = "span") -> int:
    """A span of time as integer nanoseconds: `"24h"`, `"7d"`, `"500ms"`, a timedelta, or nanoseconds.

    Units are ns, us, ms, s, min, h, d and w. Raises InvalidRecordError for anything else, or a span that is not
    positive.

    >>> as_span("24h") == as_span(timedelta(days=1)) == 86_400_000_000_000
    True
    """
    span = 0
    if isinstance(value, timedelta):
        span = timedelta_ns(value)
    elif isinstance(value, str):
        match = _SPAN.fullmatch(value.strip())
        if match is None:
            raise InvalidRecordError(
                f"{field} is {value!r}, must look like '24h', '7d' or '500ms' (units: {', '.join(_UNITS)})"
            )
        span = int(match[1]) * _UNITS[match[2]]
    elif isinstance(value, bool) or not hasattr(value, "__index__"):
        raise InvalidRecordError(
            f"{field} is {value!r}, must be a span such as '10ms', a timedelta or integer nanoseconds"
        )
    else:
        span = int(value.__index__())
    if not 0 < span < 2**63:
        raise InvalidRecordError(f"{field} is {value!r}, must be positive and fit 64 bits of nanoseconds")
    return span


def as_seconds(value: float | str | timedelta, field: str = "timeout") -> float:
    """How long to wait, in seconds: a number of them, or a span as `as_span` takes it, but as a string or a timedelta.

    Raises InvalidRecordError for anything else. A number is not looked at further.

    >>> as_seconds(1.5), as_seconds("500ms")
    (1.5, 0.5)
    """
    if isinstance(value, (str, timedelta)):
        return as_span(value, field) / 1e9
    try:
        if isinstance(value, (bool, bytes)):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidRecordError(
            f"{field} is {value!r}, must be seconds, a span such as '500ms' or a timedelta"
        ) from error
