"""Times are integer nanoseconds since the epoch, UTC. Here is where other notations are turned into them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

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


def as_time(value: int | str | datetime, field: str = "time") -> int:
    """A point in time as integer nanoseconds since the epoch, UTC. A datetime without a zone is taken as UTC.

    Raises InvalidRecordError for anything that is not a time.

    >>> as_time("2024-01-01T00:00:00+00:00")
    1704067200000000000
    >>> as_time(datetime(2024, 1, 1))
    1704067200000000000
    """
    if isinstance(value, bool):
        raise InvalidRecordError(f"{field} is {value!r}, must be integer nanoseconds, a datetime or an ISO string")
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError as error:
            raise InvalidRecordError(f"{field} is {value!r}, not an ISO date or time") from error
    try:
        if isinstance(value, datetime):
            time = timedelta_ns((value if value.tzinfo else value.replace(tzinfo=timezone.utc)) - _EPOCH)
        else:
            time = int(value.__index__())
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
            raise InvalidRecordError(f"{field} is {value!r}, must look like '24h', '7d' or '500ms'")
        span = int(match[1]) * _UNITS[match[2]]
    else:
        span = as_time(value, field)
    if not 0 < span < 2**63:
        raise InvalidRecordError(f"{field} is {value!r}, must be positive and fit 64 bits of nanoseconds")
    return span
