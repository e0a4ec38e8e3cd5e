"""How every model is doing, read for people: one row a model, what they are ranked by, and which ranks are sure.

The numbers come from the core (`cpp/include/fairlead/performance.hpp`), which says what a window holds and how precise
they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from fairlead._core import EXPIRIES, PERFORMANCE_PANES, PERFORMANCE_WINDOWS
from fairlead.errors import InvalidRecordError, did_you_mean
from fairlead.measure import rounds as by_round
from fairlead.measure.budget import table
from fairlead.times import as_span

if TYPE_CHECKING:
    from fairlead.measure.ranking import Ranking

WINDOWS = PERFORMANCE_WINDOWS
"""1h, 6h, 24h, 7d, 30d, all."""
ALL_MODELS = "all models"
"""What a row is called that is of all of them."""
OTHER = "(other)"
"""The category of tasks that came when there were too many combinations of category, regime and expiry."""
_SPANS = {1: 0, 6: 1, 24: 2, 168: 3, 720: 4}  # hours
_RANKED = ("skill", "quality", "accuracy", "brier", "success_rate", "error_rate", "timeout_rate")
LESS = ("brier", "error_rate", "timeout_rate")
"""Metrics of which less is better."""


class Bin(NamedTuple):
    """One bin of a calibration curve: answers, the mean of their probabilities, how often what they were about came
    true. NaN in an empty one."""

    n: int
    mean_p: float
    frequency: float


class Round(NamedTuple):
    """Marks of the answers that were settled in one stretch of time, from `start` (nanoseconds) on: how many
    probabilities (n), how many with a quality (scored), how many beside others (skilled); and sums."""

    start: int
    n: int
    scored: int
    skilled: int
    correct: int
    brier: float
    quality: float
    skill: float


@dataclass(frozen=True, slots=True)
class PerformanceRow:
    """A model over a window, in the cell that category, regime and expiry name; None: in all of them.

    calls: forecasts that came in the window, of which `failed` have an error, `timeouts` of these one that tells of a
    timeout. latency, tokens and cost are of these calls; percentiles are off by at most 0.8 %. confidence: the model's
    own where it gave one, else the probability of what it held most likely.

    settled: answers whose task was settled in the window. accuracy, brier, log_loss and calibration are of those that
    were probabilities. quality: 1 - loss / loss of the uniform answer, for numbers (s - e) / (s + e) with e the squared
    error and s what is usual in their category: 1 is perfect, 0 as good as knowing nothing, or as usual. skill: the
    mean Brier score of all answers to the task minus this one's, for numbers the same of 2 e / (e + s); only of tasks
    that others answered too: above 0 is better than the others. skill_deviation: the standard deviation of one
    answer's.

    NaN where there is nothing.
    """

    model: str
    category: str | None
    regime: str | None
    expiry: str | None
    window: str
    calls: int
    succeeded: int
    failed: int
    timeouts: int
    success_rate: float
    error_rate: float
    timeout_rate: float
    latency_p50_ms: float
    latency_p95_ms: float
    latency_p99_ms: float
    latency_mean_ms: float
    tokens_in: int
    tokens_out: int
    cost_usd: float
    cost_per_call_usd: float
    settled: int
    accuracy: float
    brier: float
    log_loss: float
    quality: float
    skill: float
    confidence: float
    calibration_error: float
    calibration: tuple[Bin, ...]
    skill_deviation: float = math.nan
    rounds: tuple[Round, ...] = field(default=(), repr=False)
    round_width: int = field(default=0, repr=False)

    @property
    def name(self) -> str:
        """The model, and the cell it is in."""
        cell = [
            value
            for value in (self.category, self.regime, self.expiry and f"expiry {self.expiry}")
            if value is not None
        ]
        return f"{self.model} [{', '.join(cell)}]" if cell else self.model

    def estimate(self, metric: str) -> by_round.Estimate:
        """A metric with its error: skill, quality, accuracy and brier by rounds (`fairlead.measure.rounds`), rates as
        shares of independent calls. Raises InvalidRecordError for another metric."""
        check_metric(metric)
        if metric not in SUMS:
            return by_round.share(getattr(self, metric), self.calls)
        deviation = self.skill_deviation if metric == "skill" else math.nan
        if metric == "accuracy":  # as if one more were right, and one wrong: so that all right is no certainty
            n, correct = (sum(getattr(round, name) for round in self.rounds) for name in ("n", "correct"))
            share = (correct + 1.0) / (n + 2.0)
            deviation = math.sqrt(share * (1.0 - share))
        return by_round.mean(sums_of(self, metric, self.round_width), deviation)

    def as_dict(self) -> dict[str, Any]:
        """The fields, as plain types; without rounds."""
        out = asdict(self)
        del out["rounds"], out["round_width"]
        out["calibration"] = [bin._asdict() for bin in self.calibration]
        return out

    def __str__(self) -> str:
        return _table([self])


@dataclass(frozen=True, slots=True)
class Performance:
    """How models are doing over a window that ends at `now`, nanoseconds. Prints as a table; iterates over rows."""

    window: str
    now: int
    rows: tuple[PerformanceRow, ...]

    def __iter__(self) -> Iterator[PerformanceRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, model: str) -> PerformanceRow:
        found = [row for row in self.rows if model in (row.model, row.name)]
        if len(found) != 1:
            raise KeyError(model if not found else f"{model} has {len(found)} rows: {found[0].name!r}, ...")
        return found[0]

    def ranking(self, by: str = "skill", confidence: float = 0.95) -> Ranking:
        """Models by a metric, best first: skill, quality, accuracy, brier, success_rate, error_rate or timeout_rate.
        Those of which it is not known come last.

        Each with its interval, and the ranks that it may have: two are told apart where the interval of their
        difference, round by round, leaves 0 out. Raises InvalidRecordError for another metric.
        """
        from fairlead.measure.ranking import ranked

        return ranked(self.rows, by, self.window, confidence)

    def to_dicts(self) -> list[dict[str, Any]]:
        """A list of dictionaries, ready for a data frame."""
        return [row.as_dict() for row in self.rows]

    def __str__(self) -> str:
        return _table(self.rows)


class PerformancePane(NamedTuple):
    """A stretch of time [start, end), nanoseconds, and what happened in it alone."""

    start: int
    end: int
    row: PerformanceRow


def window_index(window: object, argument: str = "window") -> int:
    """The place in `WINDOWS` of a name or a span of time.

    >>> window_index("7d"), window_index("1d"), window_index("all")
    (3, 2, 5)
    """
    if isinstance(window, str) and window in WINDOWS:
        return WINDOWS.index(window)
    try:
        if isinstance(window, (str, int, timedelta)) and not isinstance(window, bool):
            hours, rest = divmod(as_span(window, argument), 3600 * 10**9)
            if not rest and hours in _SPANS:
                return _SPANS[hours]
    except InvalidRecordError:
        pass
    raise InvalidRecordError(f"{argument} is {window!r}, must be one of {', '.join(WINDOWS)}")


def pane_of(window: int) -> tuple[int, int]:
    """The width of a pane of a window in nanoseconds, and how many of them the window is made of."""
    return PERFORMANCE_PANES[window]


def expiry_index(expiry: object) -> int:
    """The place in `EXPIRIES`; -1 for None."""
    if expiry is None:
        return -1
    if isinstance(expiry, str) and expiry in EXPIRIES:
        return EXPIRIES.index(expiry)
    raise InvalidRecordError(f"expiry is {expiry!r}, must be one of {', '.join(EXPIRIES)}")


def row_of(
    model: str, category: str | None, regime: str | None, expiry: str | None, window: int, told: Mapping[str, Any]
) -> PerformanceRow:
    """A row from what the core tells."""
    width: int = told["round_width"]
    bins = tuple(Bin(n, p / n if n else math.nan, y / n if n else math.nan) for n, y, p in told["bins"])
    rounds = tuple(Round(number * width, *rest) for number, *rest in told["rounds"])
    plain = {name: told[name] for name in _PLAIN}
    return PerformanceRow(
        model, category, regime, expiry, WINDOWS[window], calibration=bins, rounds=rounds, round_width=width, **plain
    )


def sums_of(row: PerformanceRow, metric: str, width: int) -> dict[int, tuple[float, int]]:
    """Sums and numbers of a metric's marks by rounds of a width, which is that of the row's own or some of them."""
    read, count = SUMS[metric]
    out: dict[int, tuple[float, int]] = {}
    for own in row.rounds:
        n = count(own)
        if n:
            total, before = out.get(own.start // width, (0.0, 0))
            out[own.start // width] = (total + read(own), before + n)
    return out


def check_metric(metric: object) -> None:
    if metric not in _RANKED:
        close = did_you_mean(metric, _RANKED) if isinstance(metric, str) else ""
        raise InvalidRecordError(f"by is {metric!r}, must be one of {', '.join(_RANKED)}{close}")


SUMS: dict[str, tuple[Callable[[Round], float], Callable[[Round], int]]] = {
    "skill": (lambda round: round.skill, lambda round: round.skilled),
    "quality": (lambda round: round.quality, lambda round: round.scored),
    "accuracy": (lambda round: float(round.correct), lambda round: round.n),
    "brier": (lambda round: round.brier, lambda round: round.n),
}


def number(value: float, digits: int) -> str:
    """A number as it is written in tables."""
    return "-" if value != value else f"{value:.{digits}f}"


def percent(value: float) -> str:
    """A share as it is written in tables."""
    return "-" if value != value else f"{value:.1%}"


_COLUMNS: tuple[tuple[str, Callable[[PerformanceRow], Any], Callable[[Any], str]], ...] = (
    ("model", lambda row: row.model, str),
    ("category", lambda row: row.category, lambda value: "all" if value is None else value),
    ("regime", lambda row: row.regime, lambda value: "all" if value is None else value),
    ("expiry", lambda row: row.expiry, lambda value: "all" if value is None else value),
    ("calls", lambda row: row.calls, str),
    ("success", lambda row: row.success_rate, percent),
    ("timeouts", lambda row: row.timeouts, str),
    ("p50 ms", lambda row: row.latency_p50_ms, lambda value: number(value, 0)),
    ("p95 ms", lambda row: row.latency_p95_ms, lambda value: number(value, 0)),
    ("$", lambda row: row.cost_usd, lambda value: number(value, 4)),
    ("settled", lambda row: row.settled, str),
    ("accuracy", lambda row: row.accuracy, percent),
    ("brier", lambda row: row.brier, lambda value: number(value, 4)),
    ("log loss", lambda row: row.log_loss, lambda value: number(value, 4)),
    ("quality", lambda row: row.quality, lambda value: number(value, 3)),
    ("skill", lambda row: row.skill, lambda value: "-" if value != value else f"{value:+.4f}"),
    ("cal. error", lambda row: row.calibration_error, lambda value: number(value, 3)),
)


def _table(rows: Iterable[PerformanceRow]) -> str:
    rows = tuple(rows)
    columns = [
        (name, read, show)
        for name, read, show in _COLUMNS
        if name in ("model", "calls", "settled") or any(_told(read(row), name) for row in rows)
    ]
    cells = [tuple(name for name, _, _ in columns)]
    cells += [tuple(show(read(row)) for _, read, show in columns) for row in rows]
    return table(
        cells,
        left=tuple(i for i, (name, _, _) in enumerate(columns) if name in ("model", "category", "regime", "expiry")),
    )


def _told(value: Any, column: str) -> bool:
    """Whether there is something to show; no cost and no timeouts are nothing."""
    if column in ("$", "timeouts"):
        return bool(value)
    return value is not None and value == value


_PLAIN = (
    "calls", "succeeded", "failed", "timeouts", "success_rate", "error_rate", "timeout_rate", "latency_p50_ms",
    "latency_p95_ms", "latency_p99_ms", "latency_mean_ms", "tokens_in", "tokens_out", "cost_usd", "cost_per_call_usd",
    "settled", "accuracy", "brier", "log_loss", "quality", "skill", "confidence", "calibration_error",
    "skill_deviation",
)  # fmt: skip
