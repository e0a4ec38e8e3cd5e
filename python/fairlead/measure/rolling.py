"""Statistics over the last n samples or the last span of time. The kernel: `cpp/include/fairlead/rolling.hpp`."""

from __future__ import annotations

from datetime import timedelta

from fairlead._core import RollingWindow as _RollingWindow
from fairlead.errors import InvalidRecordError
from fairlead.times import as_span


class RollingWindow(_RollingWindow):
    """Count, mean, variance, min, max and rate of the newest samples, up to date after each one in O(1).

    window: how many samples (an int), or how long: `"24h"`, `"7d"`, a timedelta. A time window holds the samples with
    time in (now - span, now], where now is the newest time it has seen; their times are integer nanoseconds. Nothing
    is ever subtracted out of a running sum, so the variance is never negative, and a constant window has variance
    exactly 0. Means and extremes of an empty window are NaN, and so is the rate of a count window (else samples per
    second).

    Raises InvalidRecordError for a window that is not positive, ValueError for a sample that is not finite. Source:
    K. Tangwongsan, M. Hirzel, S. Schneider, "In-order sliding-window aggregation in worst-case constant time" (2021).

    >>> window = RollingWindow(3)
    >>> for x in (1.0, 2.0, 4.0, 6.0):
    ...     window.push(x)
    >>> window.count, window.mean, window.variance(), window.min, window.max
    (3, 4.0, 4.0, 2.0, 6.0)
    >>> day = RollingWindow("24h")
    >>> day.push(1.0, 0)
    >>> day.push(3.0, 24 * 3600 * 10**9)
    >>> day.count, day.mean
    (1, 3.0)
    """

    def __init__(self, window: int | str | timedelta) -> None:
        if isinstance(window, (str, timedelta)):
            super().__init__(span=as_span(window, "window"))
            return
        given: object = window  # callers may have no type checker
        if not isinstance(given, int) or isinstance(given, bool):
            raise InvalidRecordError(f"window is {window!r}, must be a number of samples or a span such as '24h'")
        if window < 1:
            raise InvalidRecordError(f"window is {window!r}, must be at least 1")
        super().__init__(count=window)
