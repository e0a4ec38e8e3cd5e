"""The newest rows of numbers, column by column, against a reference: population stability index with what chance, and
the likeness of neighbours, would give."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairlead._core import Psi, PsiTable
from fairlead.lifecycle.signals.chance import apart, f_tail
from fairlead.lifecycle.signals.rank_scans import RankScans
from fairlead.lifecycle.signals.status import LEVELS, Signal

BLOCKS = 8  # stretches of the reference, by which the likeness of neighbours is told
_LEAST_BLOCK = 8
_ALIKE = 1.5  # inflation above which neighbours are taken to be alike
_KEPT = 0.8  # of a threshold: below, what was raised is let go


class PsiWindow:
    """PSI of the last `window` rows against a reference: rows that are given, or the first ones that come.

    Without drift PSI is about (c / M + c / N) chi2(B - 1) for M and N values in B bins: c, by how much the shares of
    bins vary more between stretches of the reference than those of independent values would (J. N. K. Rao, A. J. Scott,
    "On chi-squared tests for multiway contingency tables", Annals of Statistics 12, 1984), is estimated from blocks of
    the reference, which should be in the order in which it came. What is compared with the thresholds is the index less
    this expectation. The p-value is of Pearson's chi-square over that of the blocks, by Fisher's F, as both are
    estimates; where neighbours are alike with two degrees of freedom instead of B - 1, as what moves slowly moves all
    bins together, up and down or in and out.

    columns: kind, name, and how many classes a column of class numbers has; 0: numbers. ranks: watch these columns of
    numbers too.
    """

    def __init__(
        self,
        columns: Sequence[tuple[str, str, int]],
        *,
        window: int,
        reference: int,
        bins: int,
        every: int,
        warning: float,
        alarm: float,
        p_value: float,
        ranks: RankScans | None = None,
    ) -> None:
        self.columns = tuple(columns)
        self.window, self.reference, self.bins, self.every = window, reference, bins, every
        self.warning, self.alarm, self.p_value = warning, alarm, p_value
        self.ranks = ranks
        self._ranked = [i for i, (_, _, classes) in enumerate(self.columns) if not classes]
        self.rows = np.full((window, len(self.columns)), np.nan)
        self.first = np.full((reference, len(self.columns)), np.nan)
        self.at: int  # the slot that comes next, of `first` while there is no reference, else of `rows`
        self.seen: int  # rows since there is a reference
        self.raised_rows: int  # `seen`, less the rows that came after the drift, when the first alarm was raised
        self.table: PsiTable | None = None
        self._forget()

    def _forget(self) -> None:
        self.at = self.seen = self.raised_rows = 0
        self.rows.fill(np.nan)
        n = len(self.columns)
        self.psi, self.corrected, self.p = (np.full(n, np.nan) for _ in range(3))
        self.levels, self.since = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)

    def slot(self) -> NDArray[np.float64]:
        """Where the next row is to be written; it counts once `add` is called."""
        found: NDArray[np.float64] = (self.first if self.table is None else self.rows)[self.at]
        return found

    def add(self, time: int) -> bool:
        """The row in the slot counts. Whether a test was made."""
        self.at += 1
        if self.table is None:
            if self.at == self.reference:
                self.fit(self.first)
            return False
        self.seen += 1
        if self.at == self.window:
            self.at = 0
        if self.seen % self.every:
            return False
        if self.ranks is not None:
            newest = np.arange(self.at - self.every, self.at) % self.window
            self.ranks.add(self.rows[newest][:, self._ranked], time)
        if self.seen < self.window:
            return self.ranks is not None
        self._test(time)
        return True

    def room(self) -> int:
        """How many rows may be written from the slot on before anything is to be looked at."""
        if self.table is None:
            return self.reference - self.at
        return min(self.window - self.at, self.every - self.seen % self.every)

    def add_many(self, n: int, time: int) -> bool:
        """As many calls of `add`, for at most `room()` rows."""
        self.at += n - 1
        if self.table is not None:
            self.seen += n - 1
        return self.add(time)

    def fit(self, rows: NDArray[np.float64]) -> None:
        """Takes rows as the reference, in the order in which they came; nothing has been compared with it."""
        self.psis = [_fitted(rows[:, i], c[2], self.bins) for i, c in enumerate(self.columns)]
        self.inflation, self.freedom, self.blocks = _likeness(rows, self.psis, self.window)
        self._prepare()
        self._forget()
        if self.ranks is not None:
            self.ranks.fit(rows[:, self._ranked])

    def forget(self) -> None:
        """The first rows to come are the reference."""
        self.table = None
        self._forget()
        if self.ranks is not None:
            self.ranks.forget()

    def _prepare(self) -> None:
        self.table = PsiTable(self.psis)
        n = np.array([float(psi.reference.sum()) for psi in self.psis])
        used = np.array([float(np.count_nonzero(psi.reference)) for psi in self.psis])
        self.scale = self.inflation * (1.0 / self.window + 1.0 / n)
        self.expected = self.scale * np.maximum(used - 1.0, 1.0)

    def _test(self, time: int) -> None:
        assert self.table is not None
        self.psi = self.table.psi(self.rows)
        self.corrected = self.psi - self.expected
        many = self.corrected > _KEPT * self.warning
        if not many.any() and not self.levels.any():
            self.p.fill(np.nan)
            return
        before = self.levels.max()
        least = self.p_value / len(self.columns)
        for i in np.flatnonzero(many | (self.levels > 0)).tolist():
            self.p[i] = self._p_of(i)
            old, new = int(self.levels[i]), 0
            if self.p[i] <= least:
                value = float(self.corrected[i])
                new = 2 if value >= self.alarm else 1 if value >= self.warning else 0
                if new < old:  # let go a little later than raised
                    new = max(new, 2 if old == 2 and value >= _KEPT * self.alarm else 0)
                    new = max(new, 1 if value >= _KEPT * self.warning else 0)
            if new != old:
                self.levels[i], self.since[i] = new, time
        if before < 2 <= self.levels.max():
            self.raised_rows = self.seen - self._newer()

    def _p_of(self, i: int) -> float:
        psi, freedom = self.psis[i], float(self.freedom[i])
        counts = psi.count(np.ascontiguousarray(self.rows[:, i])).astype(float)
        ratio = float(apart(counts, psi.reference.astype(float))) / float(self.inflation[i])
        return f_tail(ratio, freedom, freedom * self.blocks)

    def _newer(self) -> int:
        """How many of the newest rows come after the drift, by the likelihood of bins of the columns in alarm."""
        rows = np.concatenate([self.rows[self.at :], self.rows[: self.at]])
        which = np.flatnonzero(self.levels == 2).tolist()
        codes = {i: bins_of(self.psis[i], rows[:, i]) for i in which}
        newer = self.window
        for _ in range(2):  # the second time by what the first found
            likelier = np.zeros(self.window)
            for i in which:
                before = self.psis[i].reference + 0.5
                now = np.bincount(codes[i][self.window - newer :], minlength=len(before)) + 0.5
                likelier += np.log((now / now.sum()) / (before / before.sum()))[codes[i]]
            sums = np.cumsum(likelier[::-1])
            newer = int(np.argmax(sums)) + 1
        return newer

    def newer(self) -> int:
        """How many rows have come since the drift that is in alarm; 0: there is none."""
        if self.ranks is not None and (newer := self.ranks.newer()):
            return newer
        return self.seen - self.raised_rows if self.levels.max(initial=0) == 2 else 0

    def signals(self) -> list[Signal]:
        """What the last test found, column by column."""
        found = [] if self.ranks is None else self.ranks.signals()
        if math.isnan(self.psi[0]):
            return found
        return [*found, *(self._signal(i) for i in range(len(self.columns)))]

    def _signal(self, i: int) -> Signal:
        kind, name, _ = self.columns[i]
        value, code = float(self.corrected[i]), int(self.levels[i])
        what = f"of {name!r}" if kind == "inputs" else f"of {kind}"
        chance = "" if math.isnan(self.p[i]) else f", p = {self.p[i]:.1e}"
        message = (
            f"PSI {what} is {value:.2f} above what chance gives (in all {self.psi[i]:.2f}{chance}) over the last "
            f"{self.window}, the threshold is {self.alarm:g}"
        )
        return Signal(kind, name, value, self.alarm, LEVELS[code], int(self.since[i]), message, float(self.p[i]))

    def state(self) -> tuple[dict[str, Any], list[NDArray[Any]]]:
        """The state as plain numbers and arrays; `restore` takes them."""
        header: dict[str, Any] = {
            "at": self.at,
            "seen": self.seen,
            "raised": self.raised_rows,
            "fitted": self.table is not None,
        }
        arrays: list[NDArray[Any]] = [self.psi, self.corrected, self.p, self.levels, self.since]
        if self.table is None:
            return header, [*arrays, self.first[: self.at]]
        header["blocks"] = self.blocks
        more: list[NDArray[Any]] = []
        if self.ranks is not None:
            header["ranks"], more = self.ranks.state()
        arrays += [self.rows, self.inflation, self.freedom]
        for psi in self.psis:
            arrays += [psi.edges, psi.reference]
        return header, arrays + more

    def restore(self, header: dict[str, Any], arrays: list[NDArray[Any]]) -> None:
        """Goes on from a state that `state` gave."""
        self.at, self.seen, self.raised_rows = header["at"], header["seen"], header["raised"]
        self.psi, self.corrected, self.p, self.levels, self.since = (array.copy() for array in arrays[:5])
        if not header["fitted"]:
            self.first[: self.at] = arrays[5]
            return
        self.blocks = header["blocks"]
        self.rows, self.inflation, self.freedom = (array.copy() for array in arrays[5:8])
        pairs = arrays[8 : 8 + 2 * len(self.columns)]
        if self.ranks is not None:
            self.ranks.restore(header["ranks"], arrays[8 + len(pairs) :])
        self.psis = [
            Psi.from_counts(edges, counts.astype(np.int64))
            for edges, counts in zip(pairs[::2], pairs[1::2], strict=True)
        ]
        self._prepare()


def bins_of(psi: Psi, values: NDArray[np.float64]) -> NDArray[np.int64]:
    """The bin of each value: edge[i-1] < x <= edge[i]; NaN has the last."""
    found = np.searchsorted(psi.edges, values, side="left")
    found[np.isnan(values)] = len(psi.edges) + 1
    return found


def _fitted(values: NDArray[np.float64], classes: int, bins: int) -> Psi:
    if classes:
        return Psi.from_edges(np.arange(max(classes - 1, 1)) + 0.5, values)
    if np.isnan(values).all():
        return Psi.from_edges([0.0], values)  # all in the bin of what is missing
    return Psi(values, bins)


def _likeness(
    rows: NDArray[np.float64], psis: list[Psi], window: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Inflation and degrees of freedom of each column, and of how many blocks.

    Blocks are as long as the window where the reference has room for it. Where it has not, what longer blocks add to
    shorter ones is taken to go on.
    """
    n = len(rows)
    length = max(min(window, n // BLOCKS), 1)
    blocks = n // length
    ones = np.ones(len(psis))
    if length < _LEAST_BLOCK or blocks < 2:
        freedom = np.array([max(np.count_nonzero(psi.reference) - 1.0, 1.0) for psi in psis])
        return ones, freedom, BLOCKS
    found, freedom = ones.copy(), ones.copy()
    for i, psi in enumerate(psis):
        codes = bins_of(psi, rows[:, i])
        used = max(np.count_nonzero(psi.reference) - 1.0, 1.0)
        mean = float(_ratios(codes, len(psi.reference), length).mean())
        found[i] = max(mean, 1.0)
        freedom[i] = used if mean <= _ALIKE else min(used, 2.0)
        if length < window and mean > _ALIKE and length // 4 >= _LEAST_BLOCK:
            shorter = max(float(_ratios(codes, len(psi.reference), length // 4).mean()), 1.0)
            growth = min(max(math.log(mean / shorter) / math.log(4.0), 0.0), 1.0)
            found[i] *= (window / length) ** growth
    return found, freedom, blocks


def _ratios(codes: NDArray[np.int64], bins: int, length: int) -> NDArray[np.float64]:
    blocks = len(codes) // length
    kept = codes[len(codes) - blocks * length :].reshape(blocks, length)
    counts = np.zeros((blocks, bins))
    np.add.at(counts, (np.repeat(np.arange(blocks), length), kept.ravel()), 1.0)
    return apart(counts, np.bincount(codes, minlength=bins) - counts)
