"""How good each model was in each window of time: the rows of `model_performance`.

A forecast counts in the window of its own time, its score in the window of the outcome's time, when it became known.
Every sum is folded in the order of the events onto what is stored, so that it has the same bits however the events came
in batches. Scores are those of the core: `cpp/include/fairlead/score.hpp`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from typing import Any

Row = dict[str, Any]
Key = tuple[str, str, str]  # model, category, kind
Window = tuple[int, int]  # length, start

SUMS = (
    "calls",
    "failed",
    "latency_n",
    "latency_ms_sum",
    "cost_usd",
    "tokens_in",
    "tokens_out",
    "scored",
    "correct",
    "brier_sum",
    "log_loss_sum",
    "absolute_error_sum",
    "square_error_sum",
)
_NOTHING = (0, 0, 0, 0.0, 0.0, 0, 0, 0, 0, 0.0, 0.0, 0.0, 0.0)
_LEAST, _MOST = -(2**63), 2**63 - 1
_EPSILON = sys.float_info.epsilon
_KEPT = 64  # windows that stay in memory from one batch to the next


class Performance:
    """The sums of the windows that the newest events fall into.

    lengths: of the windows, in nanoseconds. load: the stored rows of one window.
    """

    def __init__(self, lengths: Iterable[int], load: Callable[[Window], Iterable[Mapping[str, Any]]]) -> None:
        self._lengths = tuple(lengths)
        self._grid = reduce(math.gcd, self._lengths)
        self._load = load
        self._windows: dict[Window, dict[Key, list[Any]]] = {}
        self._touched: dict[tuple[str, str, str, int], tuple[list[Any], ...]] = {}
        self._changed: dict[tuple[Window, Key], list[Any]] = {}

    def call(
        self,
        model: str,
        category: str,
        kind: str,
        time: int,
        latency: float | None,
        cost: float,
        data: Mapping[str, Any],
    ) -> None:
        """A forecast, answered or failed."""
        failed = 1 if data.get("error") else 0
        tokens_in, tokens_out = data.get("tokens_in") or 0, data.get("tokens_out") or 0
        for sums in self._sums(model, category, kind, time):
            sums[0] += 1
            sums[1] += failed
            if latency is not None:
                sums[2] += 1
                sums[3] += latency
            sums[4] += cost
            sums[5] += tokens_in
            sums[6] += tokens_out
            if sums[5] > _MOST or sums[6] > _MOST:
                sums[5], sums[6] = min(sums[5], _MOST), min(sums[6], _MOST)

    def score(self, model: str, category: str, kind: str, time: int, answer: Any, outcome: float) -> None:
        """An answer whose outcome is known now."""
        marks = _mark_number(answer, outcome) if kind == "numeric" else _mark_classes(answer, outcome)
        if marks is None:
            return
        correct, brier, log_loss, miss, square = marks
        for sums in self._sums(model, category, kind, time):
            sums[7] += 1
            sums[8] += correct
            sums[9] += brier
            sums[10] += log_loss
            sums[11] += miss
            sums[12] += square

    def take(self) -> list[Row]:
        """The rows that have changed since the last call."""
        rows = [_row(window, key, sums) for (window, key), sums in self._changed.items()]
        self._changed, self._touched = {}, {}
        for window in list(self._windows)[:-_KEPT]:
            del self._windows[window]
        return rows

    def _sums(self, model: str, category: str, kind: str, time: int) -> tuple[list[Any], ...]:
        place = (model, category, kind, time // self._grid)
        found = self._touched.get(place)
        if found is None:
            found = self._touched[place] = tuple(self._find(place[:3], time))
        return found

    def _find(self, key: Key, time: int) -> Iterable[list[Any]]:
        model, category, kind = key
        for length in self._lengths:
            window = (length, max(time // length * length, _LEAST))
            rows = self._windows.get(window)
            if rows is None:
                rows = self._windows[window] = {
                    (row["model_name"], row["category"], row["kind"]): [row[name] for name in SUMS]
                    for row in self._load(window)
                }
            for where in (category, "") if category else ("",):
                whose = (model, where, kind)
                yield self._changed.setdefault((window, whose), rows.setdefault(whose, list(_NOTHING)))


def _mark_number(answer: Any, outcome: float) -> tuple[int, float, float, float, float] | None:
    if not isinstance(answer, (int, float)):
        return None
    # Bounded as in the core, so that one absurd number does not become an infinity that stays.
    miss = max(-1e70, min(answer - outcome, 1e70))
    if math.isnan(miss):
        return None
    return 0, 0.0, 0.0, abs(miss), miss * miss


def _mark_classes(answer: Any, outcome: float) -> tuple[int, float, float, float, float] | None:
    """Brier score (1950), the sum over classes but for a binary answer (p - y)^2, and log-loss with p >= 2^-52."""
    binary = isinstance(answer, (int, float))
    p = (1.0 - answer, answer) if binary else answer
    if not isinstance(p, (list, tuple)) or outcome not in range(len(p)):
        return None
    happened = int(outcome)
    loss, top = 0.0, 0
    for k, share in enumerate(p):
        miss = share - (1.0 if k == happened else 0.0)
        loss += miss * miss
        if share > p[top]:
            top = k
    if math.isnan(loss):
        return None
    brier = 0.5 * loss if binary else loss
    return int(top == happened), brier, -math.log(max(p[happened], _EPSILON)), 0.0, 0.0


def _row(window: Window, key: Key, sums: list[Any]) -> Row:
    row: Row = {"window_length": window[0], "window_start": window[1]}
    row["model_name"], row["category"], row["kind"] = key
    row.update(zip(SUMS, sums, strict=True))
    row["latency_ms"] = _mean(row["latency_ms_sum"], row["latency_n"])
    numeric = key[2] == "numeric"
    probabilities, numbers = (0, row["scored"]) if numeric else (row["scored"], 0)
    row["brier"] = _mean(row["brier_sum"], probabilities)
    row["log_loss"] = _mean(row["log_loss_sum"], probabilities)
    row["accuracy"] = _mean(row["correct"], probabilities)
    row["mae"] = _mean(row["absolute_error_sum"], numbers)
    square = _mean(row["square_error_sum"], numbers)
    row["rmse"] = None if square is None else math.sqrt(square)
    return row


def _mean(total: float, n: int) -> float | None:
    return total / n if n else None
