"""Statistics of many windows over many keys, live or from arrays. The kernel: `cpp/include/fairlead/windows.hpp`."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from fairlead._core import WINDOW_STATS
from fairlead._core import Windows as _Windows
from fairlead.errors import InvalidRecordError
from fairlead.times import as_span

Length = int | str | timedelta
Key = str | tuple[str, ...]

_CLOSED = ("right", "left", "both", "neither")
_NAN = ("raise", "skip", "propagate")
_LATE = ("raise", "drop", "clamp", "insert")
_FULL = ("raise", "drop")
_QUANTILE = re.compile(r"(?:q|quantile\()(\d*\.?\d+(?:[eE]-?\d+)?)(\))?")
_DEFAULT = ("count", "mean", "std", "min", "max")


class Windows(_Windows):
    """Statistics of several windows for each of many keys, up to date after every sample.

    A key has one ring of samples, which all its windows and statistics share. The same object takes a live event
    (`update`, `read`, `peek`) and arrays (`update_many`, `roll`), with the same bits. For speed, look up a key's
    handle once, and let `update` write what it knows then into your own array: `W.update(h, ts, x, out)`.

    windows: how many samples (an int) or how long (`"24h"`, a timedelta), one or a list. A window of time holds the
    samples with now - span < time <= now, now being the newest time of the key. Times are int64 nanoseconds.

    stats: one or a list of

    - `count`, `sum`, `mean`, `var`, `std` (with ddof), `skew`, `kurt` (unbiased, as pandas), `min`, `max`, `range`
    - `argmin`, `argmax`: place in the window, 0 the oldest sample (numpy's); of equal samples, the first.
      `min_age`, `max_age`: seconds from it to now
    - `median`, `quantile(0.9)` or `q0.9`: linear between two samples, as numpy
    - `first`, `last`, and `rate`, in samples a second: over the span, or from the first to the last sample of a count
    - `ewm`, `ewm_var`, `ewm_std`: exponentially weighted over all samples seen, not the window alone, as pandas'
      `ewm(halflife=...)`; half_life: a number of samples or a span, or None: each window's own length
    - `cov`, `corr`, `beta` (slope of y on x): samples are pairs then, `update(h, ts, x, y)`; the rest is of x

    keys: names of the parts of a key, each a str; one part, unless given. `()`: a single stream, whose handle is 0.
    closed: which ends belong to a window, `"right"`, `"left"`, `"both"` or `"neither"`, as pandas' rolling; a window
    without its right end leaves out what is as new as now (of a count: the newest sample), so nothing leaks.
    min_periods: all but count and rate are NaN with fewer samples.
    nan, for a sample that is NaN or infinite: `"raise"`; `"skip"`, time moves on and that is all; `"propagate"`, it
    takes its place, and statistics are NaN until it has left; count counts numbers.
    late, for a sample older than its key's newest time: `"raise"`; `"drop"`, counted; `"clamp"`, taken as of the newest
    time; `"insert"`, put in its place if no more than `lateness` late, else dropped: costs a pass over the ring.
    `counters` tells how many. Equal times are never late; they keep the order of arrival.
    max_samples bounds the ring of a key, which else holds what the longest window holds (16 bytes a sample, more for
    some statistics); full: `"raise"`, or `"drop"`, the oldest leave all windows early, counted.

    Variance is summed about a local pivot, in pairs of doubles: it is never negative, a constant window has exactly 0,
    and a spike that left has left. Min and max cost at most O(log n) a sample, quantiles a move in a sorted block.

    Raises InvalidRecordError that names the argument for settings that cannot be honoured. Sources: D. E. Knuth, TwoSum
    (TAOCP 2, 4.2.2); D. Lemire, "Streaming maximum-minimum filter" (2006); D. H. D. West (1979) for ewm.

    >>> W = Windows(["24h", 3], stats=["count", "mean", "max"], keys=("model", "category"))
    >>> h = W.handle("gpt", "crypto")
    >>> for hour, x in enumerate([1.0, 2.0, 4.0, 6.0]):
    ...     W.update(h, hour * 3600 * 10**9, x)
    >>> W.read(h)
    array([[4.  , 3.25, 6.  ],
           [3.  , 4.  , 6.  ]])
    >>> W["gpt", "crypto"]["24h"]
    {'count': 4.0, 'mean': 3.25, 'max': 6.0}
    >>> W.advance("1970-01-02T02:00:00Z")  # 26 hours in
    >>> W.read(h)
    array([[1., 6., 6.],
           [3., 4., 6.]])
    """

    def __init__(
        self,
        windows: Length | Sequence[Length],
        stats: str | Sequence[str] = _DEFAULT,
        *,
        keys: str | Sequence[str] = "key",
        closed: str = "right",
        min_periods: int = 1,
        ddof: float = 1.0,
        nan: str = "raise",
        late: str = "raise",
        lateness: int | str | timedelta | None = None,
        half_life: Length | None = None,
        max_samples: int | None = None,
        full: str = "raise",
    ) -> None:
        one = isinstance(windows, (str, timedelta)) or _index(windows) is not None or isinstance(windows, bool)
        lengths: list[Length] = [windows] if one else _several("windows", windows)  # type: ignore[list-item]
        names = [stats] if isinstance(stats, str) else _several("stats", stats)
        parts = [keys] if isinstance(keys, str) else _several("keys", keys)
        _distinct("windows", labels := [_label(length) for length in lengths])
        _distinct("stats", names)
        _distinct("keys", parts, least=0)
        if (late == "insert") != (lateness is not None):
            raise InvalidRecordError(
                f"lateness is {lateness!r} and late is {late!r}: 'insert', and nothing else, needs a lateness"
            )
        sizes = [_length(length, "windows") for length in lengths]
        kinds = [_stat(name) for name in names]
        least = _whole("min_periods", min_periods, 0)
        most = max(samples for samples, _ in sizes) + (closed == "both")
        if least > most and all(span == 0 for _, span in sizes):
            raise InvalidRecordError(f"min_periods is {min_periods!r}, more samples than any window holds ({most})")
        if half_life is not None and not any(WINDOW_STATS[kind].startswith("ewm") for kind, _ in kinds):
            raise InvalidRecordError(f"half_life is {half_life!r}, but stats has none of ewm, ewm_var, ewm_std")
        super().__init__(
            windows=labels,
            lengths=sizes,
            stats=names,
            kinds=kinds,
            keys=parts,
            closed=_choice("closed", closed, _CLOSED),
            min_periods=least,
            ddof=_ddof(ddof),
            on_nan=_choice("nan", nan, _NAN),
            on_late=_choice("late", late, _LATE),
            lateness=0 if lateness is None else as_span(lateness, "lateness"),
            half_life=(0, 0) if half_life is None else _length(half_life, "half_life"),
            max_samples=0 if max_samples is None else _whole("max_samples", max_samples, 1),
            on_full=_choice("full", full, _FULL),
        )

    @classmethod
    def restore(cls, data: bytes) -> Windows:
        """The object whose `snapshot` this is, as if it had never stopped. Raises ValueError for any other bytes.

        >>> W = Windows(2, stats="mean")
        >>> W.update("a", 0, 1.0)
        >>> Windows.restore(W.snapshot())["a"]
        {'2': {'mean': 1.0}}
        """
        self = cls.__new__(cls)
        _Windows.__init__(self, data)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return self.restore, (self.snapshot(),)

    def __getitem__(self, key: Key | int) -> dict[str, dict[str, float]]:
        """What is known of a key (or handle): window -> statistic -> value. Raises KeyError for an unknown key."""
        rows = self.read(key).tolist()
        return {window: dict(zip(self.stats, row, strict=True)) for window, row in zip(self.windows, rows, strict=True)}

    def __iter__(self) -> Iterator[Key]:
        """The keys, in the order of their handles."""
        return (self.key(h) for h in range(len(self)))

    def to_dicts(self) -> list[dict[str, Any]]:
        """A dictionary for each key and window, ready for a data frame: the parts of the key, window, statistics.

        >>> W = Windows(["1h", 2], stats=["sum"], keys="model")
        >>> W.update("gpt", 0, 1.5)
        >>> W.to_dicts()
        [{'model': 'gpt', 'window': '1h', 'sum': 1.5}, {'model': 'gpt', 'window': '2', 'sum': 1.5}]
        """
        rows = []
        for h in range(len(self)):
            key = self.key(h)
            parts = dict(zip(self.key_names, (key,) if isinstance(key, str) else key, strict=True))
            rows += [{**parts, "window": window, **values} for window, values in self[h].items()]
        return rows

    def __repr__(self) -> str:
        return f"Windows({list(self.windows)}, stats={list(self.stats)}, keys={self.key_names}): {len(self)} keys"


def _index(value: Any) -> int | None:
    """An integer of any kind as an int; None for what is none, as callers may have no type checker."""
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def _several(name: str, values: Any) -> list[Any]:
    try:
        return list(values)
    except TypeError:
        kind = (
            "a number of samples, a span such as '24h', or a list of them" if name == "windows" else "a str or a list"
        )
        raise InvalidRecordError(f"{name}: {values!r} must be {kind}") from None


def _label(length: Length) -> str:
    return length if isinstance(length, str) else str(length)


def _length(length: Length, name: str) -> tuple[int, int]:
    """(samples, 0) or (0, nanoseconds)."""
    if isinstance(length, (str, timedelta)):
        return 0, as_span(length, name)
    samples = _index(length)
    if samples is None:
        raise InvalidRecordError(f"{name}: {length!r} must be a number of samples or a span such as '24h'")
    if not 1 <= samples < 2**30:
        raise InvalidRecordError(f"{name}: {length!r} samples are outside [1, 2**30)")
    return samples, 0


def _stat(name: str) -> tuple[int, float]:
    if name == "median":
        return WINDOW_STATS.index("quantile"), 0.5
    match = _QUANTILE.fullmatch(name)
    if match is not None and name.startswith("quantile") == (match[2] is not None):
        if not float(match[1]) <= 1.0:
            raise InvalidRecordError(f"stats: {name!r} is no quantile between 0 and 1")
        return WINDOW_STATS.index("quantile"), float(match[1])
    if name not in WINDOW_STATS or name == "quantile":
        known = ", ".join(known for known in WINDOW_STATS if known != "quantile")
        raise InvalidRecordError(f"stats: {name!r} is none of {known}, median, quantile(0.9)")
    return WINDOW_STATS.index(name), 0.5


def _distinct(name: str, values: Sequence[object], least: int = 1) -> None:
    if len(values) < least:
        raise InvalidRecordError(f"{name} is empty")
    for value in values:
        if not isinstance(value, str):
            raise InvalidRecordError(f"{name}: {value!r} is no str")
        if values.count(value) > 1:
            raise InvalidRecordError(f"{name}: {value!r} is there twice")


def _choice(name: str, value: str, known: tuple[str, ...]) -> int:
    if value not in known:
        raise InvalidRecordError(f"{name} is {value!r}, must be one of {', '.join(known)}")
    return known.index(value)


def _whole(name: str, value: int, least: int) -> int:
    whole = _index(value)
    if whole is None or not least <= whole < 2**62:
        raise InvalidRecordError(f"{name} is {value!r}, must be an integer of at least {least} and below 2**62")
    return whole


def _ddof(value: float) -> float:
    if not 0 <= value < float("inf"):
        raise InvalidRecordError(f"ddof is {value!r}, must be at least 0")
    return float(value)
