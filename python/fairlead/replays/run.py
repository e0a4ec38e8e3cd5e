"""Streaming a forecast table through the scoreboard. The loop itself: `cpp/src/replay.cpp`."""

from __future__ import annotations

import os
import time as _time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fairlead._core import Replay, Scoreboard
from fairlead.errors import InvalidRecordError, TableError
from fairlead.measure.scoreboard import new_scoreboard
from fairlead.policy import DEFAULT_STRATEGY, STRATEGIES
from fairlead.replays.audited import table_audits
from fairlead.replays.result import BEST_SINGLE, Against, FoldedState, ModelResult, ReplayResult, Score
from fairlead.replays.table import BadRow, ForecastTable, read_table
from fairlead.settings import Settings
from fairlead.times import as_time
from fairlead.types import KINDS

if TYPE_CHECKING:
    from narwhals.typing import IntoDataFrame
    from numpy.typing import NDArray

    from fairlead.measure.audit import Audit

HISTORY_POINTS = 400
_STEP = 50_000  # forecasts between two calls of `progress`


def replay(
    source: str | os.PathLike[str] | IntoDataFrame | ForecastTable,
    *,
    slices: Sequence[str] = (),
    warmup: int | str | datetime | None = None,
    strict: bool = False,
    settings: Settings | None = None,
    kind: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ReplayResult:
    """Streams a table of forecasts in time order as if it were live; every decision uses only outcomes already known.

    source: a .csv, .csv.gz or .parquet file, a pandas, polars or pyarrow frame, or a table that `read_table` made.
    One row a forecast: `time`, `task`, `model`, the answer as `p`, `p_<label>` columns or `value`, `outcome`, and
    optionally `category`, `outcome_time` (default: the next distinct time), `confidence`, `latency_ms`, `cost_usd`,
    `tokens_in`, `tokens_out`, `error`, `stake_usd`. slices: further columns to keep score by. warmup: tasks decided
    at or before this time are learned from but not scored. strict: the first bad row raises instead of being skipped.
    progress: called with (forecasts done, forecasts in all).

    source may also be a folder with a journal: then what its fleet lived is replayed, event by event, with the settings
    and slices it had. kind: which tasks to score where a journal has several kinds.

    Raises TableError for a table that cannot be read as forecasts, InvalidRecordError for a warmup that is no time.

    >>> import polars
    >>> frame = polars.DataFrame({
    ...     "time": [1, 1, 2, 2], "task": ["a", "a", "b", "b"], "model": ["good", "bad"] * 2,
    ...     "p": [0.9, 0.2, 0.1, 0.7], "outcome": [1, 1, 0, 0]})
    >>> result = replay(frame)
    >>> result.best_single, round(result.strategies["mean"].brier, 5)
    ('good', 0.18125)
    """
    if isinstance(source, (str, os.PathLike)) and Path(source).is_dir():
        from fairlead.replays.lived import replay_lived

        for name, given in (("slices", slices), ("settings", settings)):
            if given:
                raise InvalidRecordError(f"{name} is {given!r}, but a journal is replayed with those it was lived with")
        return replay_lived(source, kind=kind, warmup=warmup, progress=progress)
    table = source if isinstance(source, ForecastTable) else read_table(source, slices=slices, strict=strict)
    if kind is not None and kind != table.kind:
        raise TableError(f"kind is {kind!r}, but the table's forecasts are {table.kind}")
    board = new_scoreboard(settings or Settings())
    for model in table.models:
        board.add(model)

    started = _time.perf_counter()
    run = Replay(
        board,
        KINDS.index(table.kind),
        len(table.labels) if table.kind == "categorical" else 0,
        len(table.dimensions),
        _columns(table, board),
        score_after=None if warmup is None else as_time(warmup, "warmup"),
        history_points=HISTORY_POINTS,
    )
    total = len(table.time)
    while not run.done:
        run.advance(_STEP)
        if progress is not None:
            progress(run.position, total)
    run.finish()
    seconds = _time.perf_counter() - started
    audits = run.take_audits()
    return result_of(
        table.kind,
        table.labels,
        table.models,
        len(table.time),
        table.bad_rows,
        board,
        run.scores(),
        seconds,
        read_audits=lambda: table_audits(audits, table),
    )


def _columns(table: ForecastTable, board: Scoreboard) -> dict[str, Any]:
    """The table's columns as the core takes them."""
    slices = np.full((len(table.tasks), len(table.dimensions)), -1, np.int32)
    for d, dimension in enumerate(table.dimensions):
        ids = np.array([board.slice(dimension.name, value) for value in dimension.values] or [-1], np.int32)
        slices[:, d] = np.where(dimension.codes < 0, -1, ids[dimension.codes])
    return {
        "time": table.time,
        "task": table.task,
        "model": table.model,
        "answer": table.answer,
        "failed": table.failed.view(np.uint8),
        "confidence": table.confidence,
        "latency_ms": table.latency_ms,
        "cost_usd": table.cost_usd,
        "tokens_in": table.tokens_in,
        "tokens_out": table.tokens_out,
        "outcome": table.outcome,
        "outcome_time": table.outcome_time,
        "slices": slices,
    }


def _score(values: dict[str, Any]) -> Score:
    return Score(**{**values, "curve": tuple(values["curve"])})


def best_single(models: Sequence[ModelResult], scored: int) -> ModelResult | None:
    """The best model in hindsight: the lowest Brier score (mean absolute error of numbers) on its own tasks, among
    the models that answered at least half of all scored tasks; where none did, among those that answered the most."""
    if not models:
        return None
    least = min(scored / 2, max(m.score.n for m in models))
    candidates = [m for m in models if m.score.n >= least and m.score.n > 0]
    return min(candidates, key=lambda m: m.score.mae if np.isnan(m.score.brier) else m.score.brier, default=None)


def result_of(
    kind: str,
    labels: tuple[str, ...],
    names: Sequence[str],
    forecasts: int,
    bad_rows: tuple[BadRow, ...],
    board: Scoreboard,
    found: dict[str, Any],
    seconds: float,
    state: FoldedState | None = None,
    read_audits: Callable[[], tuple[Audit, ...]] = tuple,
) -> ReplayResult:
    """What the core found, for people."""
    models = []
    for i, name in enumerate(names):
        calls = board.calls(i)
        models.append(
            ModelResult(
                model=name,
                elo=board.rating(i),
                score=_score(found["models"][i]),
                cost_usd=calls["cost_usd"],
                failed=calls["failed"],
                drift=board.confidence_psi(i),
                against=Against(**found["models_against"][i]),
                adjusted=None if kind == "numeric" else _score(found["adjusted"][i]),
            )
        )
    order = sorted(range(len(models)), key=lambda i: -models[i].elo)
    strategies = {name: _score(values) for name, values in found["strategies"].items()}
    best = best_single(models, found["tasks"])
    against = {name: Against(**values) for name, values in found["strategies_against"].items()}
    history_best: NDArray[np.float64] | tuple[()] = ()
    if best is not None:
        strategies[BEST_SINGLE], against[BEST_SINGLE] = best.score, best.against
        history_best = found["history_excess"][:, list(names).index(best.model)]
    counts = np.maximum(found["history_n"], 1).astype(np.float64)
    mean = found["history_loss"][:, STRATEGIES.index("mean")]
    return ReplayResult(
        kind=kind,
        labels=labels,
        default=DEFAULT_STRATEGY,
        tasks=found["tasks"],
        unsettled=found["unsettled"],
        forecasts=forecasts,
        events_per_second=found["events"] / seconds,
        models=tuple(models[i] for i in order),
        strategies=strategies,
        best_single=best.model if best else "",
        history_time=found["history_time"],
        history_elo=found["history_rating"][:, order],
        history_excess={name: (found["history_loss"][:, i] - mean) / counts for i, name in enumerate(STRATEGIES)},
        slices={
            f"{dimension}={value}": {name: _score(score) for name, score in found["slices"][i].items()}
            for i, (dimension, value) in enumerate(board.slices(), start=1)
        },
        bad_rows=bad_rows,
        state=state,
        against=against,
        history_best=history_best,
        read_audits=read_audits,
    )
