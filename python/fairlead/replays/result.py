"""What a replay found: the scores, the ratings and how both moved over time.

These records are plain and frozen. The terminal leaderboard, ``--json`` and the HTML report all read
them and compute nothing of their own, so the three can never disagree.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fairlead.measure.audit import Audit
    from fairlead.replays.table import BadRow

BEST_SINGLE = "best_single"
_CLEAR = 2.0  # standard errors from which on a difference is beyond noise
FEWEST_ROUNDS = 10  # rounds below which there is no telling


def _number(value: float) -> float | None:
    """The value as JSON can carry it: ``None`` for NaN and for the infinities."""
    return float(value) if math.isfinite(value) else None


@dataclass(frozen=True, slots=True)
class Score:
    """How good one model or one strategy was over the tasks that were scored.

    Lower is better everywhere but in ``accuracy``. What does not apply to the kind of answer is NaN.

    Attributes:
        n: How many tasks it was scored on.
        brier: Mean Brier score. Binary: ``(p - y)**2``; categorical: the sum over the classes.
            NaN for numeric answers.
        log_loss: Mean log loss, natural logarithm. NaN for numeric answers.
        accuracy: Share of tasks where the most likely answer was right. NaN for numeric answers.
        calibration_error: Expected calibration error over 10 bins. Binary: P(1) against how often 1
            came; categorical: the most likely label. NaN for numeric answers.
        mae: Mean absolute error. Numeric answers only, else NaN.
        rmse: Root mean squared error. Numeric answers only, else NaN.
        curve: The calibration curve: ``(mean predicted, observed frequency, count)`` of each bin that
            is not empty, in order of prediction.

    >>> nan = float("nan")
    >>> Score(n=2, brier=0.25, log_loss=0.69, accuracy=0.5, calibration_error=nan,
    ...       mae=nan, rmse=nan, curve=()).to_dict()["calibration_error"] is None
    True
    """

    n: int
    brier: float
    log_loss: float
    accuracy: float
    calibration_error: float
    mae: float
    rmse: float
    curve: tuple[tuple[float, float, int], ...]

    def to_dict(self) -> dict[str, Any]:
        """The scores and ``n`` as strict JSON; NaN becomes ``None``. The curve is left out."""
        return {
            "brier": _number(self.brier),
            "log_loss": _number(self.log_loss),
            "accuracy": _number(self.accuracy),
            "calibration_error": _number(self.calibration_error),
            "mae": _number(self.mae),
            "rmse": _number(self.rmse),
            "n": int(self.n),
        }


@dataclass(frozen=True, slots=True)
class Against:
    """How much more a model or a strategy lost than the default strategy did on the same tasks.

    Tasks whose outcomes became known at the same time are a round, and err together; so the standard error is that of
    rounds, which are taken for independent of one another (cluster-robust: K.-Y. Liang, S. L. Zeger, 1986).

    Attributes:
        difference: Mean of its Brier score (absolute error of numbers) less the default's. Negative is better.
        standard_error: Of that mean; NaN with fewer than two rounds.
        rounds: How many there were.

    >>> Against(difference=0.02, standard_error=0.004, rounds=30).verdict
    'worse'
    >>> Against(difference=0.002, standard_error=0.004, rounds=30).verdict
    ''
    """

    difference: float = math.nan
    standard_error: float = math.nan
    rounds: int = 0

    @property
    def verdict(self) -> str:
        """`"better"` or `"worse"` than the default by over two standard errors; empty where noise may explain it, and
        below ten rounds, where there is no telling."""
        if self.rounds < FEWEST_ROUNDS or not abs(self.difference) > _CLEAR * self.standard_error:
            return ""
        return "better" if self.difference < 0 else "worse"

    def to_dict(self) -> dict[str, Any]:
        """The fields as strict JSON."""
        return {
            "difference": _number(self.difference),
            "standard_error": _number(self.standard_error),
            "rounds": int(self.rounds),
        }


@dataclass(frozen=True, slots=True)
class ModelResult:
    """One line of the leaderboard.

    Attributes:
        model: The model's name.
        elo: Its rating at the end of the replay.
        score: How good its own forecasts were.
        cost_usd: What its calls cost altogether, in USD.
        failed: How many of its calls failed.
        drift: PSI of its confidence, last window against its first; NaN with too few forecasts.
        against: How it did beside the default strategy, on the tasks that it answered.
        adjusted: How good its probabilities would have been as adjusted by what was known when each task was decided:
            `Calibrator` learns it online. None of numbers.
    """

    model: str
    elo: float
    score: Score
    cost_usd: float
    failed: int
    drift: float
    against: Against = field(default_factory=Against)
    adjusted: Score | None = None

    def to_dict(self) -> dict[str, Any]:
        """The line as one flat JSON object, the score's fields beside the model's own."""
        return {
            "model": self.model,
            "elo": _number(self.elo),
            **self.score.to_dict(),
            "cost_usd": _number(self.cost_usd),
            "failed": int(self.failed),
            "drift": _number(self.drift),
            "against": self.against.to_dict(),
            "adjusted": None if self.adjusted is None else self.adjusted.to_dict(),
        }


@dataclass(frozen=True, slots=True)
class FoldedState:
    """The state in which the replay of a journal ended, which is the one that opening it ends in.

    Attributes:
        event: Number of the last event.
        crc: CRC-32C of the state there.
        snapshot: The event of the newest snapshot, ``None`` where there is none.
        agrees: Whether the state in that snapshot is the one that was folded up to its event.
    """

    event: int
    crc: int
    snapshot: int | None
    agrees: bool

    def __str__(self) -> str:
        told = f"state at event {self.event:,}: {self.crc:08x}"
        if self.snapshot is None:
            return told
        return f"{told}; the snapshot of event {self.snapshot:,} {'agrees' if self.agrees else 'DIFFERS'}"

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON types."""
        return {"event": self.event, "crc": self.crc, "snapshot": self.snapshot, "agrees": self.agrees}


@dataclass(frozen=True, eq=False)
class ReplayResult:
    """Everything a replay found.

    Attributes:
        kind: ``"binary"``, ``"categorical"`` or ``"numeric"``.
        labels: The classes in order; empty for numeric answers.
        default: Name of the default strategy, a key of ``strategies``.
        tasks: How many tasks were settled and scored.
        unsettled: How many tasks never had an outcome.
        forecasts: How many rows of the table were good.
        events_per_second: Record, decide and settle events of the core, per second.
        models: The leaderboard, best rating first.
        strategies: Score of each way of combining the models, and of ``"best_single"``, the model
            that turned out best, which nobody could know beforehand.
        best_single: The name of that model.
        history_time: ``(H,)`` int64, nanoseconds since the epoch in UTC, increasing, at most 400.
        history_elo: ``(H, M)`` ratings at those times, columns in the order of ``models``; NaN
            before a model's first contest.
        history_excess: For each strategy but ``"best_single"``, ``(H,)``: its mean loss so far less
            that of the equal-weight mean. Negative is better than the mean.
        slices: For each slice, such as ``"horizon=2"``, the score of each strategy on its scored tasks.
        bad_rows: The rows that were skipped, and why.
        state: Of a journal: the state in which it ended; ``None`` of a table.
        against: For each key of ``strategies``: how it did beside the default, on the same tasks.
        history_best: ``(H,)``: mean loss so far of the best single model less that of the equal-weight mean, on the
            tasks that it answered; NaN before its first. Empty where there is none.
        read_audits: Makes ``audits``.
    """

    kind: str
    labels: tuple[str, ...]
    default: str
    tasks: int
    unsettled: int
    forecasts: int
    events_per_second: float
    models: tuple[ModelResult, ...]
    strategies: dict[str, Score]
    best_single: str
    history_time: NDArray[np.int64]
    history_elo: NDArray[np.float64]
    history_excess: dict[str, NDArray[np.float64]]
    slices: dict[str, dict[str, Score]]
    bad_rows: tuple[BadRow, ...]
    state: FoldedState | None = None
    against: dict[str, Against] = field(default_factory=dict)
    history_best: NDArray[np.float64] | tuple[()] = ()
    read_audits: Callable[[], tuple[Audit, ...]] = field(default=tuple, repr=False)

    @cached_property
    def audits(self) -> tuple[Audit, ...]:
        """The newest scored tasks, oldest outcome first: who answered what, whom the default strategy believed, and
        what each model and each strategy lost. As many as fit 32 MiB; made when they are first asked for."""
        return self.read_audits()

    @property
    def ranked(self) -> list[tuple[str, Score]]:
        """The strategies, lowest loss first, with ``"best_single"`` among them; those without a score last."""
        loss = "mae" if self.kind == "numeric" else "brier"
        order = sorted(self.strategies.items(), key=lambda item: getattr(item[1], loss))
        return sorted(order, key=lambda item: math.isnan(getattr(item[1], loss)))

    def __getstate__(self) -> dict[str, Any]:
        # As arrays and records, that can be sent to another process.
        audits = self.audits
        state = {f.name: getattr(self, f.name) for f in fields(self)}
        return {**state, "audits": audits, "read_audits": tuple}

    def largest_slices(self, most: int = 20) -> list[tuple[str, dict[str, Score]]]:
        """The slices with the most scored tasks, and each strategy's score there; largest first."""
        return sorted(self.slices.items(), key=lambda item: -item[1]["mean"].n)[:most]

    def to_dict(self) -> dict[str, Any]:
        """What ``fairlead replay --json`` prints: strict JSON, NaN as ``None``, no histories.

        ``bad_rows`` is a count here, ``bad_row_list`` holds the first 1,000.
        """
        state = {} if self.state is None else {"state": self.state.to_dict()}
        return {
            **state,
            "default": self.default,
            "kind": self.kind,
            "tasks": int(self.tasks),
            "unsettled": int(self.unsettled),
            "forecasts": int(self.forecasts),
            "bad_rows": len(self.bad_rows),
            "bad_row_list": [{"line": row.line, "reason": row.reason} for row in self.bad_rows[:1000]],
            "events_per_second": _number(self.events_per_second),
            "best_single": self.best_single,
            "models": [model.to_dict() for model in self.models],
            "strategies": {
                name: {**score.to_dict(), "against": self.against.get(name, Against()).to_dict()}
                for name, score in self.ranked
            },
            "slices": {
                name: {strategy: score.to_dict() for strategy, score in scores.items()}
                for name, scores in self.slices.items()
            },
        }
