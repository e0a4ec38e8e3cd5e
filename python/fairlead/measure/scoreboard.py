"""The scoreboard read for people: one row a model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from fairlead._core import Scoreboard
from fairlead.settings import Settings


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One model on a leaderboard. Scores are means over its settled answers, NaN where it has none of that kind.

    brier is the mean of (p - y)^2 of binary answers and of the sum over classes of categorical ones: where a fleet
    answers both, read it slice by slice. mae and rmse are of numbers. drift: PSI of all the model's confidences, the
    last against the first.
    """

    model: str
    elo: float
    n: int
    brier: float
    log_loss: float
    accuracy: float
    calibration_error: float
    mae: float
    rmse: float
    calls: int
    failed: int
    cost_usd: float
    latency_ms: float
    drift: float
    active: bool


@dataclass(frozen=True, slots=True)
class Window:
    """A model's losses over a window of time. mean, variance, min and max are NaN where there are too few.

    rate: outcomes a second.
    """

    count: int
    mean: float
    variance: float
    min: float
    max: float
    rate: float


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """Models by rating, best first. Prints as a table; iterates over rows.

    slice: `"overall"`, or a dimension and its value such as `"category=politics"`.
    """

    slice: str
    rows: tuple[ModelRow, ...]

    def __iter__(self) -> Iterator[ModelRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, model: str) -> ModelRow:
        for row in self.rows:
            if row.model == model:
                return row
        raise KeyError(model)

    def to_dicts(self) -> list[dict[str, Any]]:
        """A list of dictionaries, ready for a data frame."""
        return [asdict(row) for row in self.rows]

    def __str__(self) -> str:
        columns = [column for column in _COLUMNS if self._has(*column[:2])]
        cells = [[name for name, _, _ in columns]]
        cells += [[show(read(row)) for _, read, show in columns] for row in self.rows]
        widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
        return "\n".join(
            "  ".join(
                cell.ljust(width) if i == 0 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in cells
        )

    def _has(self, column: str, read: Callable[[ModelRow], Any]) -> bool:
        """Whether any model has something to show in this column; no failures and no cost are nothing to show."""
        values = [read(row) for row in self.rows]
        if column in ("failed", "cost $"):
            return any(values)
        return column in ("model", "elo", "n") or any(value == value for value in values)  # NaN is not itself


def _decimals(digits: int) -> Callable[[float], str]:
    return lambda value: "-" if math.isnan(value) else f"{value:.{digits}f}"


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1%}"


_COLUMNS: tuple[tuple[str, Callable[[ModelRow], Any], Callable[[Any], str]], ...] = (
    ("model", lambda row: row.model if row.active else f"{row.model} (left)", str),
    ("elo", lambda row: row.elo, _decimals(0)),
    ("n", lambda row: row.n, str),
    ("brier", lambda row: row.brier, _decimals(4)),
    ("log loss", lambda row: row.log_loss, _decimals(4)),
    ("accuracy", lambda row: row.accuracy, _percent),
    ("cal. error", lambda row: row.calibration_error, _decimals(3)),
    ("mae", lambda row: row.mae, lambda value: "-" if math.isnan(value) else f"{value:.4g}"),
    ("rmse", lambda row: row.rmse, lambda value: "-" if math.isnan(value) else f"{value:.4g}"),
    ("failed", lambda row: row.failed, str),
    ("cost $", lambda row: row.cost_usd, _decimals(4)),
    ("ms", lambda row: row.latency_ms, _decimals(0)),
    ("drift", lambda row: row.drift, _decimals(2)),
)


def new_scoreboard(settings: Settings) -> Scoreboard:
    """An empty core scoreboard with these settings. Raises ValueError naming the setting that cannot be honoured."""
    return Scoreboard(
        k=settings.k,
        scale=settings.scale,
        start=settings.start,
        half_life=settings.half_life,
        history=settings.history,
        psi_reference=settings.psi_reference,
        psi_window=settings.psi_window,
    )


def model_row(board: Scoreboard, model: int, slice: int = 0) -> ModelRow:
    """One model's row in a slice of a core scoreboard; drift is of all its calls."""
    score = board.score(model, slice)
    calls = board.calls(model, slice)
    return ModelRow(
        model=board.model_name(model),
        elo=board.rating(model, slice),
        n=score["n"],
        brier=score["brier"],
        log_loss=score["log_loss"],
        accuracy=score["accuracy"],
        calibration_error=score["calibration_error"],
        mae=score["mae"],
        rmse=score["rmse"],
        calls=calls["answered"] + calls["failed"],
        failed=calls["failed"],
        cost_usd=calls["cost_usd"],
        latency_ms=calls["latency_ms"],
        drift=board.confidence_psi(model),
        active=board.active(model),
    )


def leaderboard(board: Scoreboard, slice: int = 0, name: str = "overall") -> Leaderboard:
    """All models of a slice by rating; ties keep the order in which the models came."""
    rows = [model_row(board, model, slice) for model in range(board.n_models)]
    return Leaderboard(name, tuple(sorted(rows, key=lambda row: -row.elo)))
