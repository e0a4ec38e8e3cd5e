"""How good a model is: its newest errors against those when it came, and detectors on them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairlead._core import ADWIN, CutScan
from fairlead.lifecycle.signals.chance import block_inflation, inflation, normal_tail
from fairlead.lifecycle.signals.status import LEVELS, Level, Record, Signal

_BLOCK = 32  # labels of which the mean is kept, to tell how much neighbours are alike
_BLOCKS = 256  # how many of them
_FEW = 32  # of them, up to which each is looked at
LEAST = 30  # labels without which a share is not looked at
_KEPT = 0.8  # of a threshold: below, what was raised is let go
ERROR, CONFIDENCE = 0, 1  # columns of what is known of a label


class Performance:
    """The errors of a model, an event at a time, in [0, 1] or of a numeric kind from 0 on.

    The first `baseline` of them, or those given to `start`, are what the model is measured by. Until then nothing is
    told. What neighbours have in common (`inflation`) is estimated from them and from what comes; all tests allow for
    it.

    arl: events between false alarms of the detector of changes. p_value: of each test of the window.
    """

    def __init__(
        self,
        *,
        numeric: bool,
        window: int,
        baseline: int,
        every: int,
        p_value: float,
        arl: float,
        adwin: float,
        accuracy: float | None,
        rise: float,
        calibration: float,
    ) -> None:
        self.numeric, self.window, self.baseline, self.every = numeric, window, baseline, every
        self.p_value, self.arl, self.delta = p_value, arl, adwin
        self.accuracy, self.rise, self.calibration = accuracy, rise, calibration
        self.ring = np.full((window, 2), np.nan)
        self.first = np.full((baseline, 2), np.nan)
        self.forget()

    def forget(self) -> None:
        """The first errors to come are the baseline."""
        self.at = self.seen = 0  # the slot that comes next; labels since there is a baseline
        self.ring.fill(np.nan)
        self.ready = False
        self.scan, self.adwin = CutScan(arl=self.arl), ADWIN(delta=self.delta, mode="up")
        self.sorted = np.empty(0)  # errors of the baseline, of a numeric kind
        self.n_before, self.before, self.inflation, self.least = 0, math.nan, 1.0, 1.0
        self.gap, self.gap_variance, self.variance = math.nan, math.nan, math.nan
        self.thin, self.held, self.kept = 1, 0.0, 0  # ADWIN takes means of so many; their sum and number so far
        self.means: list[float] = []  # of blocks of shares
        self.block = 0.0  # the sum of the one that is under way
        self.found: dict[str, dict[str, float]] = {}  # by detector: what it found, until it is let go
        self.tested: dict[str, list[float]] = {}  # by test: value, p-value, level, since

    def start(self, rows: NDArray[np.float64]) -> None:
        """Errors and confidences, of shape (n, 2), in order: what the model is measured by."""
        errors = rows[:, ERROR]
        self.sorted = np.sort(errors) if self.numeric else np.empty(0)
        shares = self._shares(errors)
        n = len(shares) // _BLOCK
        self.means = shares[len(shares) - n * _BLOCK :].reshape(n, _BLOCK).mean(axis=1).tolist()[-_BLOCKS:]
        self.least = inflation(shares)
        self.inflation = max(self.least, self._likeness())
        self.thin = max(round(self.inflation), 1)
        self.n_before, self.before = len(errors), float(errors.mean())
        self.variance = float(errors.var())
        apart = rows[:, CONFIDENCE] - (1.0 - errors)
        self.gap, self.gap_variance = float(apart.mean()), float(apart.var())
        self.scan = CutScan(arl=self.arl, inflation=self.inflation)
        self.scan.update_many(shares)
        n = len(errors) // self.thin
        self.adwin.update_many(shares[: n * self.thin].reshape(n, self.thin).mean(axis=1))
        self.ready = True
        self.at = self.seen = 0

    def _shares(self, errors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Errors as numbers in [0, 1]: of a numeric kind their place among those of the baseline."""
        if not self.numeric:
            return np.ascontiguousarray(errors)
        places = self.sorted.searchsorted(errors, "left") + self.sorted.searchsorted(errors, "right")
        found: NDArray[np.float64] = places / (2.0 * len(self.sorted))
        return found

    def add(self, error: float, confidence: float, time: int) -> bool:
        """One labelled answer. Whether anything was looked at."""
        if not self.ready:
            self.first[self.at] = error, confidence
            self.at += 1
            if self.at == self.baseline:
                self.start(self.first)
            return False
        self.ring[self.at] = error, confidence
        self.at = self.at + 1 if self.at + 1 < self.window else 0
        self.seen += 1
        share = self._share(error) if self.numeric else error
        self.block += share
        if self.seen % _BLOCK == 0:
            self._alike()
        if self.scan.update(share):
            self._detected("change", time, self.scan.newer, self.scan.before, self.scan.after)
        self.held += share
        self.kept += 1
        if self.kept == self.thin:
            if self.adwin.update(self.held / self.thin):
                before = 0.5 if self.numeric else self.before
                self._detected("adwin", time, self.adwin.width * self.thin, before, self.adwin.estimation)
            self.held, self.kept = 0.0, 0
        if self.seen < LEAST or self.seen % self.every:
            return False
        self._test(time)
        return True

    def _alike(self) -> None:
        """A block of labels is full: what neighbours have in common may be known better."""
        self.means.append(self.block / _BLOCK)
        self.block = 0.0
        if len(self.means) > _BLOCKS:
            del self.means[0]
        if len(self.means) > _FEW and self.seen % (4 * _BLOCK):
            return  # one block more tells little
        self.inflation = max(self.least, self._likeness())
        self.scan.inflation = self.inflation
        if self.kept == 0:
            self.thin = max(self.thin, round(self.inflation))

    def _likeness(self) -> float:
        means = np.array(self.means)
        mean = float(means.mean()) if len(means) else 0.0
        # Numbers between 0 and 1, as places are, vary less than zeros and ones: a twelfth where all are alike likely.
        return block_inflation(means, _BLOCK, 1.0 / 12.0 if self.numeric else mean * (1.0 - mean))

    def _share(self, error: float) -> float:
        places = int(self.sorted.searchsorted(error, "left")) + int(self.sorted.searchsorted(error, "right"))
        return places / (2.0 * len(self.sorted))

    def _detected(self, kind: str, time: int, newer: float, before: float, after: float) -> None:
        if kind in self.found and after <= self.found[kind]["after"]:
            return
        old = self.found.get(kind, {"before": before, "since": time})  # a further rise is part of the same drift
        found = {"since": old["since"], "at": self.seen, "newer": newer, "before": old["before"], "after": after}
        self.found[kind] = found

    def _test(self, time: int) -> None:
        rows = self.ring[: min(self.seen, self.window)]
        n = len(rows)
        errors = rows[:, ERROR]
        rate, c = float(errors.mean()), self.inflation
        if not self.numeric and self.accuracy is not None:
            accuracy = self.accuracy
            spread = math.sqrt(accuracy * (1.0 - accuracy) * c / n)
            p = normal_tail((accuracy - (1.0 - rate)) / spread)
            self._level("accuracy", 1.0 - rate, p, 2 if p <= self.p_value else 1 if 1.0 - rate < accuracy else 0, time)
        p = self._worse(rate, float(errors.var()), n)
        value = rate / self.before - 1.0 if self.before > 0.0 else math.inf if rate > 0.0 else 0.0
        self._level("error_rate", value, p, self._grade("error_rate", value, self.rise, p), time)
        apart = rows[:, CONFIDENCE] - (1.0 - errors)
        gap = float(apart.mean()) - self.gap
        if not math.isnan(gap):
            spread = math.sqrt(c * (float(apart.var()) / n + self.gap_variance / self.n_before)) or math.inf
            p = 2.0 * normal_tail(abs(gap) / spread)
            self._level("calibration", gap, p, self._grade("calibration", abs(gap), self.calibration, p), time)
        for kind, found in list(self.found.items()):
            # The errors are where they were: half a window after the detection the change has passed.
            mean = float(self._shares(errors).mean())
            passed = self.seen - found["at"] >= self.window // 2
            if passed and mean <= found["before"] + 0.25 * (found["after"] - found["before"]):
                del self.found[kind]

    def _worse(self, rate: float, variance: float, n: int) -> float:
        """Chance of errors so much above those of the baseline."""
        if not self.numeric:
            pooled = (rate * n + self.before * self.n_before) / (n + self.n_before)
            variance = own = pooled * (1.0 - pooled)
        else:
            own = self.variance
        spread = math.sqrt(self.inflation * (variance / n + own / self.n_before))
        return normal_tail((rate - self.before) / spread) if spread > 0.0 else 1.0 if rate <= self.before else 0.0

    def _grade(self, kind: str, value: float, threshold: float, p: float) -> int:
        old = int(self.tested[kind][2]) if kind in self.tested else 0
        if p > self.p_value:
            return 0
        new = 2 if value >= threshold else 1 if value >= 0.5 * threshold else 0
        if new < old:  # let go a little later than raised
            new = max(new, 2 if old == 2 and value >= _KEPT * threshold else 0)
            new = max(new, 1 if value >= _KEPT * 0.5 * threshold else 0)
        return new

    def _level(self, kind: str, value: float, p: float, level: int, time: int) -> None:
        old = self.tested.get(kind)
        since = old[3] if old is not None and int(old[2]) == level else time
        self.tested[kind] = [value, p, level, since]

    def record(self) -> Record | None:
        """How good the model is, and was."""
        if not self.ready or self.seen < LEAST:
            return None
        errors = self.ring[: min(self.seen, self.window), ERROR]
        rate, n = float(errors.mean()), len(errors)
        p = self._worse(rate, float(errors.var()), n)
        if self.numeric:
            return Record(rate, self.before, n, self.n_before, p, numeric=True)
        return Record(1.0 - rate, 1.0 - self.before, n, self.n_before, p)

    def newer(self) -> int:
        """How many labels came since the last change that was found; all of them where none was."""
        found = self.found.get("change") or self.found.get("adwin")
        if found:
            return int(found["newer"]) + self.seen - int(found["at"])
        return self.scan.width if self.ready else self.at

    def signals(self) -> list[Signal]:
        """What is known, test by test."""
        if not self.ready:
            return []
        out = [self._signal(kind, *values) for kind, values in self.tested.items()]
        return [*out, self._change(), self._adwin()]

    def _signal(self, kind: str, value: float, p: float, code: float, since: float) -> Signal:
        over = f"over the last {min(self.seen, self.window)} labels"
        chance = f"p = {p:.1e}"
        if kind == "accuracy":
            assert self.accuracy is not None
            threshold = self.accuracy
            message = f"accuracy is {value:.1%} {over}, the threshold is {threshold:.1%} ({chance})"
        elif kind == "error_rate":
            threshold = self.rise
            what = "mean error" if self.numeric else "error rate"
            now, rise = self.before * (1.0 + value), f": {value:+.0%}"
            if math.isinf(value):  # there were none before
                now, rise = float(self.ring[: min(self.seen, self.window), ERROR].mean()), ""
            message = f"{what} is {now:.3g} {over}, it was {self.before:.3g}{rise} ({chance})"
        else:
            threshold = self.calibration
            message = (
                f"confidence less accuracy is {self.gap + value:+.3f} {over}, it was {self.gap:+.3f} ({chance}), "
                f"the threshold is {threshold:g}"
            )
        return Signal(kind, "", value, threshold, LEVELS[int(code)], int(since), message, p)

    def _change(self) -> Signal:
        scan, found = self.scan, self.found.get("change")
        level: Level = "alarm" if found else "warning" if scan.warning else "none"
        words = "no change of the errors"
        if found:
            newer = int(found["newer"]) + self.seen - int(found["at"])
            before, after = (self._in_words(found[name]) for name in ("before", "after"))
            words = f"errors rose from {before} to {after}, {newer} labels ago"
        elif scan.warning:
            cut = scan.likeliest()
            words = (
                f"errors may have risen from {self._in_words(cut['before'])} to {self._in_words(cut['after'])}, "
                f"{cut['newer']} labels ago"
            )
        since = int(found["since"]) if found else 0
        return Signal("change", "", scan.statistic, scan.threshold, level, since, words)

    def _adwin(self) -> Signal:
        found = self.found.get("adwin")
        level: Level = "alarm" if found else "warning" if self.adwin.warning else "none"
        now = self.adwin.estimation
        words = f"ADWIN's window of {self.adwin.width * self.thin} labels has errors of {self._in_words(now)}"
        if found:
            words = (
                f"ADWIN: errors rose to {self._in_words(found['after'])}, they were {self._in_words(found['before'])}"
            )
        return Signal("adwin", "", now, self.delta, level, int(found["since"]) if found else 0, words)

    def _in_words(self, share: float) -> str:
        return f"the {share:.0%} quantile" if self.numeric else f"{share:.1%}"

    def state(self) -> tuple[dict[str, Any], list[NDArray[Any]]]:
        """The state as plain numbers and arrays; `restore` takes them."""
        header = {name: getattr(self, name) for name in _PLAIN}
        detectors = [np.frombuffer(d.snapshot(), dtype=np.uint8) for d in (self.scan, self.adwin)]
        return header, [self.ring, self.sorted, *detectors, self.first[: 0 if self.ready else self.at]]

    def restore(self, header: dict[str, Any], arrays: list[NDArray[Any]]) -> None:
        """Goes on from a state that `state` gave."""
        for name in _PLAIN:
            setattr(self, name, header[name])
        self.ring, self.sorted = arrays[0].copy(), arrays[1].copy()
        self.scan, self.adwin = CutScan.restore(arrays[2].tobytes()), ADWIN.restore(arrays[3].tobytes())
        self.first[: len(arrays[4])] = arrays[4]


_PLAIN = (
    *("at", "seen", "ready", "n_before", "before", "inflation", "gap", "gap_variance", "variance"),
    *("thin", "held", "kept", "found", "tested", "least", "means", "block"),
)
