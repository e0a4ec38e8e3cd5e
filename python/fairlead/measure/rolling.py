"""Statistics over the last n samples or span of time: of a stream with `RollingWindow`, of arrays with functions.

>>> import fairlead as fl
>>> fl.rolling.mean([1.0, 2.0, 4.0, 6.0], 2).tolist()
[nan, 1.5, 3.0, 5.0]

What all functions over arrays share:

- **x** is an array of real numbers with shape (n,), or (series, n) for many series at once, each on its own row. The
  result has the same shape. Numbers are computed as float64; arrays of another dtype or layout are copied first.
- **window** is how many samples (an int), or how long: `"24h"`, `"7d"`, a timedelta. A window of time needs
  **times**: n integers (nanoseconds since the epoch), datetime64 or datetimes that never decrease. The window of a
  sample ends with that sample; later ones, even at the same time, are not in it.
- **min_periods**: a window with fewer numbers gives NaN (-1 from argmin and argmax). Unless given it is `window` for
  windows of samples, 1 for windows of time, and 0 for `count` and `rate`.
- **closed**: which ends belong to the window: `"right"` (t - span, t], `"left"` [t - span, t), `"both"`, `"neither"`.
  Where the right end does not belong, nor does any sample of the same time. For a window of samples, `"both"` is one
  longer, `"left"` and `"neither"` end one sample earlier.
- **nan**: `"skip"` leaves NaN out, `"propagate"` makes the windows that hold one NaN, `"raise"` refuses them.
- **out**: a C-contiguous float64 array of the result's shape (int64 for argmin and argmax), which is then returned.
  It may be `x` itself.

Errors, raised before anything is written: InvalidRecordError (a ValueError) for a window that is none; ValueError for
times that decrease (the first that does is named), a wrong shape or length, a read-only `out` and any value that is
out of range; TypeError for what is no array of real numbers, for an `out` of another dtype or layout, and for missing
times.

Precision: what has left a window, a spike, a NaN or an infinity, leaves no trace, as windows are sums of parts from
which nothing was subtracted, or of differences that are seen to lose nothing. A variance is never negative, and that
of a constant window is exactly 0. All instruction sets give the same bits. Windows that hold an infinity give what
numpy gives, inf or NaN. Differences within a window, and in moments their powers, must neither overflow nor underflow.

Source: M. van Herk (1992) and J. Gil, M. Werman (1993) for moments and extremes, J. Suomela, "Median filtering is
equivalent to sorting" (2014) for quantiles and ranks. Statistics, ddof and bias corrections are those of pandas. The
kernels: `cpp/include/fairlead/sliding.hpp` and, for `RollingWindow`, `rolling.hpp`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from fairlead._core import RollingWindow as _RollingWindow
from fairlead._core import decayed as _decayed
from fairlead._core import sliding as _sliding
from fairlead.errors import InvalidRecordError
from fairlead.times import as_span, as_time

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Numbers: TypeAlias = NDArray[np.float64]
    Places: TypeAlias = NDArray[np.int64]

Span: TypeAlias = "int | str | timedelta"
Closed: TypeAlias = Literal["right", "left", "both", "neither"]
Nan: TypeAlias = Literal["skip", "propagate", "raise"]

__all__ = [
    "RollingWindow",
    "argmax",
    "argmin",
    "beta",
    "corr",
    "count",
    "cov",
    "ewm_mean",
    "ewm_std",
    "ewm_var",
    "kurt",
    "many",
    "max",
    "mean",
    "median",
    "min",
    "quantile",
    "rank",
    "rate",
    "skew",
    "std",
    "sum",
    "var",
]


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
        super().__init__(count=_samples(window))


def _samples(window: int) -> int:
    try:
        samples = operator.index(None if isinstance(window, bool) else window)  # type: ignore[arg-type]
    except TypeError:
        message = f"window is {window!r}, must be a number of samples or a span such as '24h'"
        raise InvalidRecordError(message) from None
    if not 1 <= samples < 2**62:
        raise InvalidRecordError(f"window is {window!r}, must be {'at least 1' if samples < 1 else 'below 2**62'}")
    return samples


def _window(window: Span) -> tuple[int, int]:
    """A window as samples and nanoseconds, one of them 0."""
    if isinstance(window, (str, timedelta)):
        return 0, as_span(window, "window")
    if hasattr(window, "astype") and getattr(getattr(window, "dtype", None), "kind", "") == "m":
        return 0, as_span(int(window.astype("timedelta64[ns]").astype("int64")), "window")
    return _samples(window), 0


def _nanoseconds(times: Any, name: str = "times") -> Any:
    """A column of times, or one datetime64, as int64 nanoseconds; None and arrays of numbers as they are."""
    if times is None:
        return None
    import numpy as np

    zoned = getattr(getattr(times, "dtype", None), "tz", None) is not None  # pandas, which else makes objects of them
    array = np.asarray(times, dtype=f"datetime64[{times.dtype.unit}]" if zoned else None)

    def at(i: int) -> str:
        return f"{name}[{i}]" if array.ndim > 0 else name

    if array.dtype.kind in "OU":
        values = array.ravel().tolist()
        unknown = [i for i, time in enumerate(values) if time != time]
        if unknown:
            raise ValueError(f"{at(unknown[0])} is NaT")
        whole = np.array([as_time(time, at(i)) for i, time in enumerate(values)], dtype=np.int64)
        return whole.reshape(array.shape)
    if array.dtype.kind != "M":
        return array
    nat = np.flatnonzero(np.isnat(array))
    if nat.size > 0:
        raise ValueError(f"{at(nat[0])} is NaT")
    exact = array.astype("datetime64[ns]")
    if np.datetime_data(array.dtype)[0] not in ("ps", "fs", "as"):
        there = np.flatnonzero(exact.astype(array.dtype) != array)  # numpy lets what does not fit wrap around
        if there.size > 0:
            time = array.ravel()[there[0]]
            raise ValueError(f"{at(there[0])} is {time}, outside the 64-bit nanoseconds (years 1677 to 2262)")
    return exact.view(np.int64)


def _least(min_periods: int | None, samples: int, closed: str, otherwise: int | None = None) -> int:
    if min_periods is None:
        if otherwise is not None:
            return otherwise
        return samples - 1 if closed == "neither" and samples > 1 else samples or 1
    if isinstance(min_periods, bool) or not hasattr(min_periods, "__index__"):
        raise TypeError(f"min_periods is {min_periods!r}, must be an integer")
    if not 0 <= min_periods <= (samples or 2**62):
        bound = f" or more than {f'the window, {samples}' if samples > 0 else '2**62'}"
        raise ValueError(f"min_periods is {min_periods}, must not be negative{bound}")
    return int(min_periods)


def _roll(
    stats: Sequence[str],
    x: ArrayLike,
    y: ArrayLike | None,
    window: Span,
    times: ArrayLike | None,
    min_periods: int | None,
    closed: str,
    nan: str,
    out: Sequence[Any] | None,
    *,
    ddof: float = 1.0,
    q: float = 0.5,
) -> list[NDArray[Any]]:
    samples, span = _window(window)
    least = _least(min_periods, samples, closed, 0 if stats[0] in ("count", "rate") else None)
    return _sliding(
        stats,
        x,
        y,
        _nanoseconds(times),
        count=samples,
        span=span,
        closed=closed,
        min_periods=least,
        nan=nan,
        ddof=ddof,
        q=q,
        out=out,
    )


def sum(
    x: ArrayLike,
    window: Span,
    *,
    times: ArrayLike | None = None,
    min_periods: int | None = None,
    closed: Closed = "right",
    nan: Nan = "skip",
    out: Numbers | None = None,
) -> Numbers:
    """Sums of windows; see `fairlead.rolling` for the arguments and errors. With min_periods=0 an empty window sums to
    0.

    >>> sum([1.0, 2.0, 4.0, 6.0], 2).tolist()
    [nan, 3.0, 6.0, 10.0]
    """
    return _roll(["sum"], x, None, window, times, min_periods, closed, nan, None if out is None else [out])[0]


def mean(
    x: ArrayLike,
    window: Span,
    *,
    times: ArrayLike | None = None,
    min_periods: int | None = None,
    closed: Closed = "right",
    nan: Nan = "skip",
    out: Numbers | None = None,
) -> Numbers:
    """Means of windows; see `fairlead.rolling` for the arguments and errors.

    >>> mean([1.0, 2.0, 4.0, 6.0], 2, min_periods=1).tolist()
    [1.0, 1.5, 3.0, 5.0]
    >>> mean([1.0, 3.0, 8.0], "24h", times=["2024-01-01", "2024-01-01T12:00", "2024-01-02T00:00"]).tolist()
    [1.0, 2.0, 5.5]
    """
    return _roll(["mean"], x, None, window, times, min_periods, closed, nan, None if out is None else [out])[0]


def var(
    x: ArrayLike,
    window: Span,
    *,
    times: ArrayLike | None = None,
    min_periods: int | None = None,
    closed: Closed = "right",
    nan: Nan = "skip",
    ddof: float = 1.0,
    out: Numbers | None = None,
) -> Numbers:
    """Variances of windows, with n - ddof in the denominator: NaN where that is not positive, exactly 0 where all
    samples are equal. See `fairlead.rolling` for the arguments and errors.

    >>> var([1e9, 1e9 + 2, 1e9 + 4, 7.0, 7.0, 7.0], 2).tolist()[1:3]
    [2.0, 2.0]
    """
    return _roll(["var"], x, None, window, times, min_periods, closed, nan, None if out is None else [out], ddof=ddof)[
        0
    ]


def std(
    x: ArrayLike,
    window: Span,
    *,
    times: ArrayLike | None = None,
    min_periods: int | None = None,
    closed: Closed = "right",
    nan: Nan = "skip",
    ddof: float = 1.0,
    out: Numbers | None = None,
) -> Numbers:
    """Standard deviations of windows, with n - ddof in the denominator: NaN where that is not positive, exactly 0
    where all samples are equal. See `fairlead.rolling` for the arguments and errors.

    >>> std([1e9, 1e9 + 2, 1e9 + 4, 7.0, 7.0, 7.0], 2).tolist()[4:]
    [0.0, 0.0]
    """
    return _roll(["std"], x, None, window, times, min_periods, closed, nan, None if out is None else [out], ddof=ddof)[
        0
    ]


def skew(
    x: ArrayLike,
    window: Span,
    *,
    times: ArrayLike | None = None,
    min_periods: int | None = None,
    closed: Closed = "right",
    nan: Nan = "skip",
    out: Numbers | None = None,
) -> Numbers:
    """Skewness of windows, corrected for bias (G1, Joanes and Gill 1998); NaN for fewer than three samples, or equal
    ones. See `fairlead.rolling` for the arguments and errors.

    >>> [round(value, 6) for value in skew([1.0, 1.0, 2.0, 5.0], 4).tolist()[3:]]
    [1.658524]
    """
    return _roll(["skew"], x, None, window, times, min_periods, closed, nan, None if out is None else [out])[0]


def kurt(
    x: ArrayLike,
    window: Span,
    *,
    times: ArrayLike | None = None,
    min_periods: int | None = None,
    closed: Closed = "right",
    nan: Nan = "skip",
    out: Numbers | None = None,
) -> Numbers:
    """Excess kurtosis of windows, corrected for bias (G2, Joanes and Gill 1998); NaN for fewer than four samples, or
    equal ones. See `fairlead.rolling` for the arguments and errors.

    >>> [round(value, 6) for value in kurt([1.0, 1.0, 2.0, 5.0], 4).tolist()[3:]]
    [2.615468]
    """
    return _roll(["kurt"], x, None, window, times, min_periods, closed, nan, None if out is None else [out])[0]


def min(
    x: ArrayLike,
    window: Span,
    *,
    times: ArrayLike | None = None,
    min_periods: int | None = None,
    closed: Closed = "right",
    nan: Nan = "skip",
    out: Numbers | None = None,
) -> Numbers:
    """The least of each window; see `fairlead.rolling` for the arguments and errors.

    >>> min([3.0, 1.0, 4.0, 5.0], 2).tolist()
    [nan, 1.0, 1.0, 4.0]
    """
    return _roll(["min"], x, None, window, times, min_periods, closed, nan, None if out is None else [out])[0]


def max(
    x: ArrayLike,
    window: Span,
    *,
    times: ArrayLike | None = None,
    min_periods: int | None = None,
    closed: Closed = "right",
    nan: Nan = "skip",
    out: Numbers | None = None,
) -> Numbers:
    """The greatest of each window; see `fairlead.rolling` for the arguments and errors.

    >>> max([3.0, 1.0, 4.0, 5.0], 2).tolist()
    [nan, 3.0, 4.0, 5.0]
    """
    return _roll(["max"], x, None, window, times, min_periods, closed, nan, None if out is None else [out])[0]


def argmin(
    x: ArrayLike,
    window: Span,
    *,
    times: ArrayLike | None = None,
    min_periods: int | None = None,
    closed: Closed = "right",
    nan: Nan = "skip",
    out: Places | None = None,
) -> Places:
    """Where in its series the least of each window stands (int64): the oldest among equals, -1 where there is none.
    See `fairlead.rolling` for the arguments and errors.

    >>> argmin([3.0, 1.0, 1.0, 5.0], 2).tolist()
    [-1, 1, 1, 2]
    """
    return _roll(["argmin"], x, None, window, times, min_periods, closed, nan, None if out is None else [out])[0]


def argmax(
    x: ArrayLike,
    window: Span,
    *,
    times: ArrayLike | None = None,
    min_periods: int | None = None,
    closed: Closed = "right",
    nan: Nan = "skip",
    out: Places | None = None,
) -> Places:
    """Where in its series the greatest of each window stands (int64): the oldest among equals, -1 where there is none.
    See `fairlead.rolling` for the arguments and errors.

    >>> argmax([3.0, 1.0, 1.0, 5.0], 2).tolist()
    [-1, 0, 1, 3]
    """
    return _roll(["argmax"], x, None, window, times, min_periods, closed, nan, None if out is None else [out])[0]


def median(
    x: ArrayLike,
    window: Span,
    *,
    times: ArrayLike | None = None,
    min_periods: int | None = None,
    closed: Closed = "right",
    nan: Nan = "skip",
    out: Numbers | None = None,
) -> Numbers:
    """Medians of windows; of an even number of samples, the mean of the middle two. See `fairlead.rolling` for the
    arguments and errors.

    >>> median([3.0, 1.0, 4.0, 5.0], 3).tolist()
    [nan, nan, 3.0, 4.0]
    """
    return _roll(["median"], x, None, window, times, min_periods, closed, nan, None if out is None else [out])[0]


def quantile(
    x: ArrayLike,
    window: Span,
    q: float,
    *,
    times: ArrayLike | None = None,
    min_periods: int | None = None,
    closed: Closed = "right",
    nan: Nan = "skip",
    out: Numbers | None = None,
) -> Numbers:
    """The quantile q of each window, 0 <= q <= 1, linear between samples as `numpy.quantile`. See `fairlead.rolling`
    for the arguments and errors.

    >>> quantile([3.0, 1.0, 4.0, 5.0], 3, 0.25).tolist()
    [nan, nan, 2.0, 2.5]
    """
    return _roll(["quantile"], x, None, window, times, min_periods, closed, nan, None if out is None else [out], q=q)[0]


def rank(
    x: ArrayLike,
    window: Span,
    *,
    times: ArrayLike | None = None,
    min_periods: int | None = None,
    closed: Closed = "right",
    nan: Nan = "skip",
    out: Numbers | None = None,
) -> Numbers:
    """The rank of the newest sample within its window, from 1; equal samples share their mean rank, and a NaN has
    none. See `fairlead.rolling` for the arguments and errors.

    >>> rank([3.0, 1.0, 1.0, 5.0], 3).tolist()
    [nan, nan, 1.5, 3.0]
    """
    return _roll(["rank"], x, None, window, times, min_periods, closed, nan, None if out is None else [out])[0]


def count(
    x: ArrayLike,
    window: Span,
    *,
    times: ArrayLike | None = None,
    min_periods: int | None = None,
    closed: Closed = "right",
    nan: Nan = "skip",
    out: Numbers | None = None,
) -> Numbers:
    """How many numbers (not NaN) each window holds; see `fairlead.rolling` for the arguments and errors.

    >>> count([3.0, float("nan"), 4.0, 5.0], 2).tolist()
    [1.0, 1.0, 1.0, 2.0]
    """
    return _roll(["count"], x, None, window, times, min_periods, closed, nan, None if out is None else [out])[0]


def rate(
    x: ArrayLike,
    window: str | timedelta,
    *,
    times: ArrayLike,
    min_periods: int | None = None,
    closed: Closed = "right",
    nan: Nan = "skip",
    out: Numbers | None = None,
) -> Numbers:
    """Numbers (not NaN) a second in each window of time, `count` / span.

    See `fairlead.rolling` for the arguments and errors.

    >>> rate([3.0, 4.0, 5.0], "2s", times=[0, 1_000_000_000, 9_000_000_000]).tolist()
    [0.5, 1.0, 0.5]
    """
    return _roll(["rate"], x, None, window, times, min_periods, closed, nan, None if out is None else [out])[0]


def cov(
    x: ArrayLike,
    y: ArrayLike,
    window: Span,
    *,
    times: ArrayLike | None = None,
    min_periods: int | None = None,
    closed: Closed = "right",
    nan: Nan = "skip",
    ddof: float = 1.0,
    out: Numbers | None = None,
) -> Numbers:
    """Covariances of the windows of two series, with n - ddof in the denominator. A place counts where both have a
    number. See `fairlead.rolling` for the arguments and errors; y has the shape of x.

    >>> cov([1.0, 2.0, 4.0], [2.0, 4.0, 8.0], 2).tolist()
    [nan, 1.0, 4.0]
    """
    return _roll(["cov"], x, y, window, times, min_periods, closed, nan, None if out is None else [out], ddof=ddof)[0]


def corr(
    x: ArrayLike,
    y: ArrayLike,
    window: Span,
    *,
    times: ArrayLike | None = None,
    min_periods: int | None = None,
    closed: Closed = "right",
    nan: Nan = "skip",
    out: Numbers | None = None,
) -> Numbers:
    """Pearson correlations of the windows of two series, within [-1, 1]; NaN where either is constant. A place counts
    where both have a number. See `fairlead.rolling` for the arguments and errors; y has the shape of x.

    >>> corr([1.0, 2.0, 4.0], [2.0, 4.0, 3.0], 2).tolist()
    [nan, 1.0, -1.0]
    """
    return _roll(["corr"], x, y, window, times, min_periods, closed, nan, None if out is None else [out])[0]


def beta(
    x: ArrayLike,
    y: ArrayLike,
    window: Span,
    *,
    times: ArrayLike | None = None,
    min_periods: int | None = None,
    closed: Closed = "right",
    nan: Nan = "skip",
    out: Numbers | None = None,
) -> Numbers:
    """Slopes of the least-squares lines of y on x in windows of two series, cov(x, y) / var(x); NaN where x is
    constant. A place counts where both have a number. See `fairlead.rolling` for the arguments and errors; y has
    the shape of x.

    >>> beta([1.0, 2.0, 4.0], [2.0, 4.0, 3.0], 2).tolist()
    [nan, 2.0, -0.5]
    """
    return _roll(["beta"], x, y, window, times, min_periods, closed, nan, None if out is None else [out])[0]


def many(
    x: ArrayLike,
    window: Span,
    stats: Sequence[str],
    *,
    y: ArrayLike | None = None,
    times: ArrayLike | None = None,
    min_periods: int | None = None,
    closed: Closed = "right",
    nan: Nan = "skip",
    ddof: float = 1.0,
    out: Mapping[str, NDArray[Any]] | None = None,
) -> dict[str, NDArray[Any]]:
    """Several statistics of the same windows in one pass: a dict of name -> array, ready for a DataFrame.

    stats: names of functions of this module: sum, mean, var, std, skew, kurt, min, max, argmin, argmax, median, rank,
    count and, for a window of time, rate; or with y cov, corr and beta. min_periods is the same for all. out: an array
    for each name, none of which may share memory with another. The other arguments are those of `fairlead.rolling`.
    Raises what they raise, and ValueError for an unknown or repeated name.

    >>> many([1.0, 2.0, 4.0, 6.0], 2, ["mean", "max"])["max"].tolist()
    [nan, 2.0, 4.0, 6.0]
    """
    names = [stats] if isinstance(stats, str) else list(stats)
    if not names:
        raise ValueError("stats is empty, must name at least one statistic")
    if "quantile" in names:
        raise ValueError("stats has 'quantile', which needs q: use rolling.quantile, or 'median'")
    if out is not None and set(out) != set(names):
        raise ValueError(f"out has {sorted(out)}, must have an array for each of {sorted(names)}")
    outs = None if out is None else [out[name] for name in names]
    samples, _ = _window(window)
    least = _least(min_periods, samples, closed)
    return dict(zip(names, _roll(names, x, y, window, times, least, closed, nan, outs, ddof=ddof), strict=True))


def _decay(
    alpha: float | None, span: float | None, half_life: Span | float | None, times: object
) -> tuple[float, float]:
    """alpha and, for a half-life in time, nanoseconds; one of them 0."""
    given = {"alpha": alpha, "span": span, "half_life": half_life}
    named = [name for name, value in given.items() if value is not None]
    if len(named) != 1:
        raise TypeError(f"one of alpha, span and half_life must be given, not {' and '.join(named) or 'none'}")
    if times is not None:
        if half_life is None:
            raise TypeError(f"{named[0]} counts samples: with times, give half_life as a span such as '1h'")
        if isinstance(half_life, float):
            raise InvalidRecordError(f"half_life is {half_life!r}, must be a span such as '1h' with times")
        return 0.0, float(as_span(half_life, "half_life"))
    if isinstance(half_life, (str, timedelta)):
        raise TypeError(f"times are needed by a half_life of {half_life!r}")
    if alpha is not None:
        if not 0.0 < alpha <= 1.0:
            raise ValueError(f"alpha is {alpha!r}, outside (0, 1]")
        return float(alpha), 0.0
    if span is not None:
        if not span >= 1.0:
            raise ValueError(f"span is {span!r}, must be at least 1")
        return 2.0 / (span + 1.0), 0.0
    assert half_life is not None
    if not half_life > 0.0:
        raise ValueError(f"half_life is {half_life!r}, must be positive")
    return -math.expm1(-math.log(2.0) / half_life), 0.0


def ewm_mean(
    x: ArrayLike,
    *,
    alpha: float | None = None,
    span: float | None = None,
    half_life: Span | float | None = None,
    times: ArrayLike | None = None,
    adjust: bool = True,
    ignore_nan: bool = False,
    min_periods: int = 1,
    out: Numbers | None = None,
) -> Numbers:
    """Exponentially weighted means of all samples so far.

    The weight of a sample falls by 1 - alpha at each step; alpha may be given as span, 2 / (span + 1), or as
    half_life, the steps in which a weight halves. With times, half_life is a span of time (`"1h"`) and weights fall
    by the clock. adjust divides by the sum of weights; without it y[i] = (1 - alpha) y[i-1] + alpha x[i], from y[0]
    = x[0]. NaN takes no part: the last value stands, and the older samples age unless ignore_nan. An infinity stays
    for good. x, out and errors are as in `fairlead.rolling`; the definitions are those of `pandas.DataFrame.ewm`.

    >>> ewm_mean([1.0, 2.0, 4.0], alpha=0.5, adjust=False).tolist()
    [1.0, 1.5, 2.75]
    """
    share, nanoseconds = _decay(alpha, span, half_life, times)
    return _decayed(
        "mean",
        x,
        _nanoseconds(times),
        alpha=share,
        half_life=nanoseconds,
        adjust=adjust,
        ignore_nan=ignore_nan,
        min_periods=_least(min_periods, 0, "right"),
        out=out,
    )


def ewm_var(
    x: ArrayLike,
    *,
    alpha: float | None = None,
    span: float | None = None,
    half_life: Span | float | None = None,
    times: ArrayLike | None = None,
    adjust: bool = True,
    ignore_nan: bool = False,
    bias: bool = False,
    min_periods: int = 1,
    out: Numbers | None = None,
) -> Numbers:
    """Exponentially weighted variances of all samples so far, corrected for bias unless `bias`; see `ewm_mean`.

    >>> ewm_var([1.0, 3.0, 3.0], alpha=0.5, bias=True).tolist()[:2]
    [0.0, 0.888888888888889]
    """
    share, nanoseconds = _decay(alpha, span, half_life, times)
    return _decayed(
        "var",
        x,
        _nanoseconds(times),
        alpha=share,
        half_life=nanoseconds,
        adjust=adjust,
        ignore_nan=ignore_nan,
        bias=bias,
        min_periods=_least(min_periods, 0, "right"),
        out=out,
    )


def ewm_std(
    x: ArrayLike,
    *,
    alpha: float | None = None,
    span: float | None = None,
    half_life: Span | float | None = None,
    times: ArrayLike | None = None,
    adjust: bool = True,
    ignore_nan: bool = False,
    bias: bool = False,
    min_periods: int = 1,
    out: Numbers | None = None,
) -> Numbers:
    """Exponentially weighted standard deviations of all samples so far, the roots of `ewm_var`.

    >>> ewm_std([1.0, 1.0, 1.0], span=9).tolist()
    [nan, 0.0, 0.0]
    """
    share, nanoseconds = _decay(alpha, span, half_life, times)
    return _decayed(
        "std",
        x,
        _nanoseconds(times),
        alpha=share,
        half_life=nanoseconds,
        adjust=adjust,
        ignore_nan=ignore_nan,
        bias=bias,
        min_periods=_least(min_periods, 0, "right"),
        out=out,
    )
