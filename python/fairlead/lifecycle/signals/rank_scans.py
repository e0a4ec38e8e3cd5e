"""Columns of numbers by their ranks in a reference: whether they have moved, or spread, and since when."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairlead._core import CutScan
from fairlead.lifecycle.signals.chance import block_inflation, inflation
from fairlead.lifecycle.signals.status import LEVELS, Signal

_BLOCK = 32  # rows of which the mean is kept, to tell how much neighbours are alike
_BLOCKS = 128  # how many of them
_HOME = 0.5  # of ranks, and of how far they are from the middle: their mean in the reference
_SELDOM = 8  # calls between looks at them
_LEAST = 0.05  # by how much the mean rank of an alarm moved at least: a sixth of a deviation
_MOST = 1000  # values of a reference that ranks are told by


class RankScans:
    """A CutScan on the rank of each column in the reference (it moves) and on how far that is from the middle (it
    spreads). It finds a shift of the mean sooner than an index over a window does, but no other change of shape.

    Where neighbours are alike in the reference, or turn out to be, both are slower. What is missing has no rank.
    """

    def __init__(self, names: list[str], arl: float, window: int) -> None:
        self.names, self.arl, self.window = names, arl, window
        self.forget()

    def forget(self) -> None:
        """There is no reference."""
        self.sorted: list[NDArray[np.float64]] = []
        self.scans: list[CutScan] = []  # of column i: 2 i, it moves; 2 i + 1, it spreads
        self.least: list[float] = []  # inflation of each, as of the reference
        self.means: list[list[float]] = []  # of blocks of each
        self.seen = 0
        self.found: dict[int, list[float]] = {}  # by scan: since, `seen` then, newer, before, after

    def fit(self, rows: NDArray[np.float64]) -> None:
        """Takes rows as the reference, in the order in which they came."""
        self.forget()
        for column in rows.T:
            some = np.sort(column[~np.isnan(column)])
            if len(some) > _MOST:
                some = some[np.linspace(0, len(some) - 1, _MOST).round().astype(np.int64)]
            self.sorted.append(some)
        for i in range(len(self.names)):
            for score in self._scores(i, rows[:, i], True):
                self.least.append(inflation(score))
                blocks = len(score) // _BLOCK
                means = score[len(score) - blocks * _BLOCK :].reshape(blocks, _BLOCK).mean(axis=1).tolist()
                self.means.append(means[-_BLOCKS:])
                scan = CutScan(arl=self.arl, mode="both", inflation=max(self.least[-1], self._likeness(means)))
                scan.update_many(score)
                self.scans.append(scan)

    def _scores(
        self, i: int, values: NDArray[np.float64], some_missing: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        known = self.sorted[i]
        if not len(known):
            return np.full(len(values), 0.5), np.full(len(values), 0.5)
        places = known.searchsorted(values, "left") + known.searchsorted(values, "right")
        rank = places / (2.0 * len(known))
        away = np.abs(2.0 * rank - 1.0)
        if some_missing:
            missing = np.isnan(values)
            rank[missing] = away[missing] = 0.5
        return rank, away

    @staticmethod
    def _likeness(means: list[float]) -> float:
        return block_inflation(np.array(means), _BLOCK, 1.0 / 12.0)

    def add(self, rows: NDArray[np.float64], time: int) -> None:
        """The rows that came since the last call, in order."""
        self.seen += len(rows)
        missing = bool(np.isnan(rows).any())
        for i, values in enumerate(np.ascontiguousarray(rows.T)):
            for k, score in enumerate(self._scores(i, values, missing)):
                at = 2 * i + k
                scan = self.scans[at]
                drifts = scan.update_many(score)[0]
                # A change within the reference is none against it: at least half of what is newer has come since.
                if len(drifts) and scan.newer <= 2 * self.seen and abs(scan.after - scan.before) >= _LEAST:
                    self._detected(at, scan, time)
                self._alike(at, score)
        for at, (_, when, _, _, after) in list(self.found.items()):
            # Half a window after the detection it is where it was.
            if self.seen - when >= self.window // 2 and (
                abs(self.scans[at].estimation - _HOME) < 0.25 * abs(after - _HOME)
            ):
                del self.found[at]

    def _detected(self, at: int, scan: CutScan, time: int) -> None:
        if abs(scan.after - _HOME) < 0.25 * abs(scan.before - _HOME):
            self.found.pop(at, None)  # it has come back
            return
        since, before = self.found[at][0::3][:2] if at in self.found else (time, scan.before)
        self.found[at] = [since, self.seen, scan.newer, before, scan.after]

    def _alike(self, at: int, score: NDArray[np.float64]) -> None:
        means = self.means[at]
        blocks = len(score) // _BLOCK
        if blocks:
            means.extend(score[len(score) - blocks * _BLOCK :].reshape(blocks, _BLOCK).mean(axis=1).tolist())
            del means[:-_BLOCKS]
        if self.seen % (_SELDOM * len(score)) == 0:
            self.scans[at].inflation = max(self.least[at], self._likeness(means))

    def newer(self) -> int:
        """How many rows have come since the change that is in alarm; 0: there is none."""
        return max((int(newer) + self.seen - int(when) for _, when, newer, _, _ in self.found.values()), default=0)

    def signals(self) -> list[Signal]:
        """One for each column, once there is a reference."""
        out = []
        for i, name in enumerate(self.names[: len(self.scans) // 2]):
            at = max((2 * i, 2 * i + 1), key=lambda j: (j in self.found, self.scans[j].statistic))
            scan, found = self.scans[at], self.found.get(at)
            what = "spread" if at % 2 else "moved"
            words, since = f"{name!r} is where it was", 0
            if found:
                since, newer = int(found[0]), int(found[2]) + self.seen - int(found[1])
                words = (
                    f"{name!r} has {what}: its mean rank was {found[3]:.2f} and is {found[4]:.2f}, {newer} inputs ago"
                )
            elif scan.warning:
                words = f"{name!r} may have {what}"
            level = LEVELS[2 if found else 1 if scan.warning else 0]
            out.append(Signal("input_change", name, scan.statistic, scan.threshold, level, since, words, math.nan))
        return out

    def state(self) -> tuple[dict[str, Any], list[NDArray[Any]]]:
        """The state as plain numbers and arrays; `restore` takes them."""
        header = {"seen": self.seen, "least": self.least, "means": self.means, "n": len(self.sorted)}
        header["found"] = sorted(self.found.items())
        return header, [*self.sorted, *(np.frombuffer(scan.snapshot(), dtype=np.uint8) for scan in self.scans)]

    def restore(self, header: dict[str, Any], arrays: list[NDArray[Any]]) -> None:
        """Goes on from a state that `state` gave."""
        self.seen, self.least, self.means = header["seen"], header["least"], header["means"]
        self.found = {int(at): values for at, values in header["found"]}
        self.sorted = [array.copy() for array in arrays[: header["n"]]]
        self.scans = [CutScan.restore(array.tobytes()) for array in arrays[header["n"] :]]
