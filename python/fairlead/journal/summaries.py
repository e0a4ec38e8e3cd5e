"""What hot events amounted to, window by window: the `summary` events that compaction leaves in their place."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fairlead._core import ScoredRecords
from fairlead.errors import JournalDamagedError
from fairlead.journal import columns
from fairlead.journal.arrow import pa, pc
from fairlead.journal.columns import KINDS, of_type
from fairlead.journal.manifest import Manifest
from fairlead.journal.parquet import EventFile
from fairlead.journal.plain import plain

_HOT = ("task", "forecast", "outcome", "closed")
_ROWS = 1 << 16  # folded at a time
_COUNTS = ("scored", "correct", "calls", "failed", "unpriced", "tokens_in", "tokens_out")
_TOLD = (
    *("correct", "loss", "log_loss", "latency_ms", "latencies", "calls", "failed", "cost_usd", "unpriced"),
    *("tokens_in", "tokens_out"),
)
_MEASURED = ("loss", "log_loss", "latency_ms")  # NaN: not given


def summarise(
    folder: str | os.PathLike[str], manifest: Manifest, first: int, last: int, window: int
) -> list[dict[str, Any]]:
    """The summaries of events `first` to `last`, which must be archived: a plain dict for each model, category, kind
    and window of `window` nanoseconds (by the time of the outcome) in which it was settled, in this order of columns.

    A task counts where it ended. Sums are over its models' last answers, as the Scoreboard scores them: `n` were
    scored, of `tasks`; `loss` is the sum of Brier scores or squared errors; `latency_ms` the sum over `latencies`
    answers; `cost_usd` that of all `calls` but the `unpriced` ones, whose cost is NaN. A sum that is not finite is told
    as `fairlead.journal.plain` has it.

    Memory: the tasks that are open at a time, at about 100 bytes an answer, the numbers of all tasks of the range, at 8
    bytes, 65,536 rows, and the summaries.
    """
    if manifest.covering(first) is None or manifest.covering(last) is None:
        raise JournalDamagedError(f"events {first} to {last} are not in the archive of {folder}")
    scored = ScoredRecords()
    sums = _Sums(window)
    names: tuple[list[str], list[str]] = ([], [])
    for records in _earlier(folder, manifest, first, last):
        scored.apply(records)
    for file in _files(folder, manifest, first, last):
        names = (file.models, file.categories)
        for batch in file.batches(_ROWS):
            for records in columns.records(batch.filter(_inside(batch, first, last, _HOT)), *names):
                scored.apply(records)
            sums.add(scored.rows())
    return sums.summaries(*names, first, last)


def _files(folder: str | os.PathLike[str], manifest: Manifest, first: int, last: int) -> Iterator[EventFile]:
    for file in manifest.readable:
        if file.last >= first and file.first <= last:
            yield EventFile(Path(folder) / "archive" / file.file)


def _inside(batch: pa.RecordBatch, first: int, last: int, types: Sequence[str]) -> pa.Array:
    """Which rows are events of these types in a range."""
    seq = batch["seq"].to_numpy()
    return pc.and_(pa.array((seq >= first) & (seq <= last)), of_type(batch, types))


def _earlier(
    folder: str | os.PathLike[str], manifest: Manifest, first: int, last: int
) -> Iterator[npt.NDArray[np.uint8]]:
    """Tasks that ended in the range and were opened before it, with their forecasts: from the files before."""
    ended: list[npt.NDArray[np.uint64]] = []
    opened: list[npt.NDArray[np.uint64]] = []
    for file in _files(folder, manifest, first, last):
        for batch in file.batches(_ROWS, ("seq", "type", "task")):
            for numbers, types in ((ended, ("outcome", "closed")), (opened, ("task",))):
                numbers.append(batch["task"].filter(_inside(batch, first, last, types)).drop_null().to_numpy())
    wanted = np.setdiff1d(np.concatenate(ended), np.concatenate(opened)) if ended else np.zeros(0, np.uint64)
    if not len(wanted):
        return
    tasks = pa.array(wanted)
    for file in _files(folder, manifest, 1, first - 1):
        for batch in file.batches(_ROWS, tasks=(int(wanted[0]), int(wanted[-1]))):
            inside = pc.and_(_inside(batch, 0, first - 1, ("task", "forecast")), pc.is_in(batch["task"], tasks))
            yield from columns.records(batch.filter(inside), file.models, file.categories)


_Key = tuple[int, int, int, int]  # start of the window, model, category, kind


class _Sums:
    """Sums of settled forecasts by window, model, category and kind, over as many rows as come."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._sums: dict[_Key, dict[str, Any]] = {}

    def add(self, rows: dict[str, npt.NDArray[Any]]) -> None:
        if len(rows["seq"]) == 0:
            return
        start = rows["time"] // self._window * self._window
        order = np.lexsort((rows["kind"], rows["category"], rows["model"], start))
        rows = {name: values[order] for name, values in rows.items()}
        keys = np.stack([start[order], rows["model"], rows["category"], rows["kind"]])
        at = np.flatnonzero(np.concatenate([[True], (keys[:, 1:] != keys[:, :-1]).any(axis=0)]))

        def total(values: npt.NDArray[Any]) -> list[Any]:
            with np.errstate(over="ignore", invalid="ignore"):
                out: list[Any] = np.add.reduceat(values, at).tolist()
            return out

        parts = {"tasks": total(np.ones(len(start), np.int64))}
        parts |= {name: total(rows[name].astype(np.int64)) for name in _COUNTS}
        parts |= {name: total(np.where(np.isnan(rows[name]), 0.0, rows[name])) for name in _MEASURED}
        parts["cost_usd"] = total(rows["cost_usd"])
        parts["latencies"] = total((~np.isnan(rows["latency_ms"])).astype(np.int64))
        for i, key in enumerate(map(tuple, keys[:, at].T.tolist())):
            known = self._sums.setdefault(key, dict.fromkeys(parts, 0))
            for name, values in parts.items():
                known[name] += values[i]

    def summaries(
        self, models: Sequence[str], categories: Sequence[str], first: int, last: int
    ) -> list[dict[str, Any]]:
        return [
            {
                "first": first,
                "last": last,
                "start": key[0],
                "end": key[0] + self._window,
                "model": _name(models, key[1]),
                "category": _name(categories, key[2]),
                "kind": KINDS[key[3]],
                "tasks": sums["tasks"],
                "n": sums["scored"],
                **{name: plain(sums[name]) for name in _TOLD},
            }
            for key, sums in sorted(self._sums.items())
        ]


def _name(names: Sequence[str], number: int) -> str | None:
    return names[number] if 0 <= number < len(names) else None


def key(summary: dict[str, Any]) -> str:
    """What makes a summary the one it is: so that none is written twice."""
    parts = ("first", "last", "start", "end", "model", "category", "kind")
    return json.dumps([summary.get(part) for part in parts])
