"""What a row of a stream says beside the rows before it: features of the past, from nothing that is not known yet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fairlead.errors import InvalidRecordError

HALF_LIVES = (4.0, 16.0, 64.0)
"""In rows; a factor of four between two of them."""
LABELS = 3
_MOST = 40  # columns whose past is told: each gives four more
_MOST_CLASSES = 10  # whose shares are told


def with_history(
    x: NDArray[np.float64], y: NDArray[np.int64], *, classes: int, names: Sequence[str], delay: int = 1
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """The columns of x, and with them: the newest `LABELS` known labels, the shares of the labels lately, and of each
    column the change since the row before and since its mean lately; "lately" with each of `HALF_LIVES`.

    x: (n, columns) in the order of time. y: classes by number. delay: the label of row t is known when row t + delay
    comes, so row t sees labels of rows up to t - delay, and columns of rows up to t. names: of the columns. Gives the
    wider x, and names. Before anything is known, labels are in the middle, shares equal, changes 0. More than 40
    columns are left without a past.

    >>> x, names = with_history(np.array([[1.0], [3.0]]), np.array([1, 0]), classes=2, names=["a"])
    >>> dict(zip(names, x[1].tolist()))["a change"], dict(zip(names, x[1].tolist()))["label 1 before"]
    (2.0, 1.0)
    """
    if delay < 1:
        raise InvalidRecordError(f"delay is {delay!r}, must be a whole number from 1")
    n, width = x.shape
    parts: list[NDArray[np.float64]] = [x]
    told = list(names)
    for back in range(1, LABELS + 1):
        gap = min(back + delay - 1, n)
        parts.append(np.concatenate([np.full(gap, (classes - 1) / 2.0), y[: n - gap].astype(np.float64)])[:, None])
        told.append(f"label {back} before")
    shown = [1] if classes == 2 else list(range(min(classes, _MOST_CLASSES)))
    ones = (y[:, None] == np.array(shown)[None, :]).astype(np.float64)
    known = np.vstack([np.full((min(delay, n), len(shown)), 1.0 / classes), ones[: max(n - delay, 0)]])
    past = width <= _MOST
    if past:
        change = np.vstack([np.zeros((1, width)), np.diff(x, axis=0)]) if n else x
        parts.append(change)
        told += [f"{name} change" for name in names]
    for life in HALF_LIVES:
        step = 1.0 - 0.5 ** (1.0 / life)
        parts.append(_mean(known, step, own=True))
        told += [f"share of label {k} lately ({life:g})" for k in shown]
        if past:
            parts.append(x - _mean(x, step, own=False))  # the first: 0
            told += [f"{name} beside lately ({life:g})" for name in names]
    return np.column_stack(parts), tuple(told)


def _mean(values: NDArray[np.float64], step: float, *, own: bool) -> NDArray[np.float64]:
    """Exponentially weighted means of the rows up to each (own), or before it; what is missing changes nothing."""
    out = np.empty_like(values)
    mean = np.full(values.shape[1], np.nan)
    for t, row in enumerate(values):
        if not own:
            out[t] = np.where(np.isnan(mean), row, mean)
        gone = np.isnan(mean)
        there = ~np.isnan(row)
        if gone.any() or not there.all():
            mean = np.where(gone, row, np.where(there, mean + step * (row - mean), mean))
        else:
            mean = mean + step * (row - mean)
        if own:
            out[t] = mean
    return out
