"""What a fleet on a journal lived, once more: its events in their order, and beside them what every strategy would have
decided. The fold is the one that `Fleet.open` does, `Fleet::apply` in `cpp/src/fleet/apply.cpp`."""

from __future__ import annotations

import os
import time as _time
from collections.abc import Callable
from datetime import datetime

from fairlead.errors import TableError, did_you_mean
from fairlead.replays.audited import lived_audits
from fairlead.replays.result import FoldedState, ReplayResult
from fairlead.replays.run import HISTORY_POINTS, result_of
from fairlead.times import as_time
from fairlead.types import KINDS


def replay_lived(
    folder: str | os.PathLike[str],
    *,
    kind: str | None = None,
    warmup: int | str | datetime | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ReplayResult:
    """Replays the journal in a folder. A task is decided by every strategy once its last forecast is in, and scored
    when its outcome comes, in every slice it lies in.

    kind: of the tasks to score; it may be left out where there is but one. warmup: tasks decided at or before this time
    are learned from but not scored. progress: called with (forecasts done, forecasts in all).

    Raises TableError for a journal without forecasts, or with several kinds where none is named; JournalError where
    there is no journal, or its beginning was archived.
    """
    from fairlead._core import census_desk, replay_desk  # not everywhere: the journal is POSIX

    place = os.fspath(folder)
    after = None if warmup is None else as_time(warmup, "warmup")
    started = _time.perf_counter()
    census = census_desk(place)
    found = [name for name, n in zip(KINDS, census.forecasts, strict=True) if n > 0]
    if not found:
        raise TableError(f"{place}: no forecasts in {census.last:,} events")
    if kind is None and len(found) > 1:
        raise TableError(f"{place}: there are {' and '.join(found)} forecasts: say which kind to replay")
    kind = kind or found[0]
    if kind not in found:
        raise TableError(
            f"{place}: kind is {kind!r}; there are {' and '.join(found)} forecasts{did_you_mean(kind, found)}"
        )
    total = census.forecasts[KINDS.index(kind)]
    advanced = None if progress is None else lambda done: progress(done, total)
    core, scores, state, audits = replay_desk(place, census, KINDS.index(kind), after, HISTORY_POINTS, advanced)
    if progress is not None:
        progress(total, total)
    seconds = _time.perf_counter() - started
    board = core.board
    return result_of(
        kind,
        census.labels if kind == "categorical" else (),
        [board.model_name(i) for i in range(board.n_models)],
        scores["forecasts"],
        (),
        board,
        scores,
        seconds,
        FoldedState(**state),
        lambda: lived_audits(audits, core),
    )
