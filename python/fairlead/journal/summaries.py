"""What hot events amounted to, window by window: the `summary` events that compaction leaves in their place."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fairlead._core import ScoredRecords
from fairlead.errors import JournalDamagedError
from fairlead.journal import columns
from fairlead.journal.arrow import pa, pc
from fairlead.journal.columns import of_type
from fairlead.journal.manifest import Manifest
from fairlead.journal.parquet import EventFile
from fairlead.journal.plain import plain
from fairlead.types import KINDS

_HOT = ("task", "forecast", "outcome", "closed")
_ROWS = 1 << 16  # folded at a time
_COUNTS = ("scored", "correct", "calls", "failed", "unpriced", "tokens_in", "tokens_out")
_TOLD = (
    *("correct", "loss", "log_loss", "latency_ms", "latencies", "calls", "failed", "cost_usd", "unpriced"),
    *("tokens_in", "tokens_out"),
)
_MEASURED = ("loss", "log_loss", "latency_ms")  # NaN: not given
_HOUR = 3600 * 10**9
_WIDTHS = tuple(hours * _HOUR for hours in (1, 6, 24, 7 * 24, 30 * 24))
_HEADER = 40  # bytes of a record before its payload: format.hpp
PART = 10
"""Of the bytes that summaries stand for, they take one in so many, where the window is not given."""


@dataclass(frozen=True, slots=True)
class Grain:
    """How fine summaries are: one for each `window` nanoseconds (0: one for all the time) and category (or for all of
    them). bytes: what they take, about."""

    window: int
    categories: bool
    bytes: int


def grain_of(
    folder: str | os.PathLike[str], manifest: Manifest, first: int, last: int, window: int | None, size: int
) -> Grain:
    """The grain for events `first` to `last`, whose segments have `size` bytes. window: as it is given; None: the
    finest of 1h, 6h, 1d, 7d, 30d and the whole time whose summaries take at most a tenth of these bytes; else one for
    all the time and all categories. Memory: as `summarise` with windows of an hour."""
    sums, names = _folded(folder, manifest, first, last, window or _WIDTHS[0], categories=True)
    made = sums.summaries(*names, first, last)
    each = sum(_HEADER + 8 + len(json.dumps(summary, ensure_ascii=False).encode()) for summary in made)
    if window is not None or not made:
        return Grain(window or _WIDTHS[0], True, each)
    for grain in [*((width, True) for width in _WIDTHS), (0, True)]:
        found = Grain(*grain, each * sums.count(*grain) // len(made))
        if found.bytes * PART <= size:
            return found
    return Grain(0, False, each * sums.count(0, False) // len(made))


def summarise(
    folder: str | os.PathLike[str],
    manifest: Manifest,
    first: int,
    last: int,
    window: int,
    *,
    categories: bool = True,
) -> list[dict[str, Any]]:
    """The summaries of events `first` to `last`, which must be archived: a plain dict for each model, category, kind
    and window of `window` nanoseconds (by the time of the outcome) in which it was settled, in this order of columns.
    window 0: one for all the time, from the first outcome to after the last. Without `categories`, one for all of them,
    whose category is None.

    A task counts where it ended. Sums are over its models' last answers, as the Scoreboard scores them: `n` were
    scored, of `tasks`; `loss` is the sum of Brier scores or squared errors; `latency_ms` the sum over `latencies`
    answers; `cost_usd` that of all `calls` but the `unpriced` ones, whose cost is NaN. A sum that is not finite is told
    as `fairlead.journal.plain` has it.

    Memory: the tasks that are open at a time, at about 100 bytes an answer, the numbers of all tasks of the range, at 8
    bytes, 65,536 rows, and the summaries.
    """
    sums, names = _folded(folder, manifest, first, last, window, categories)
    return sums.summaries(*names, first, last)


def _folded(
    folder: str | os.PathLike[str], manifest: Manifest, first: int, last: int, window: int, categories: bool
) -> tuple[_Sums, tuple[list[str], list[str]]]:
    """The sums, and the names of models and categories."""
    if manifest.covering(first) is None or manifest.covering(last) is None:
        raise JournalDamagedError(f"events {first} to {last} are not in the archive of {folder}")
    scored = ScoredRecords()
    sums = _Sums(window, categories)
    names: tuple[list[str], list[str]] = ([], [])
    for records in _earlier(folder, manifest, first, last):
        scored.apply(records)
    for file in _files(folder, manifest, first, last):
        names = (file.models, file.categories)
        for batch in file.batches(_ROWS):
            for records in columns.records(batch.filter(_inside(batch, first, last, _HOT)), *names):
                scored.apply(records)
            sums.add(scored.rows())
    return sums, names


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

    def __init__(self, window: int, categories: bool) -> None:
        self._window, self._categories = window, categories
        self._span: tuple[int, int] | None = None
        self._sums: dict[_Key, dict[str, Any]] = {}

    def count(self, window: int, categories: bool) -> int:
        """How many there would be with windows that are as wide as several of these, or with one for all the time."""
        keys = np.array(list(self._sums), np.int64)
        keys[:, 0] = keys[:, 0] // window if window else 0
        keys[:, 2] = keys[:, 2] if categories else -1
        return len(np.unique(keys, axis=0))

    def add(self, rows: dict[str, npt.NDArray[Any]]) -> None:
        if len(rows["seq"]) == 0:
            return
        if self._window:
            start = rows["time"] // self._window * self._window
        else:
            start = np.zeros_like(rows["time"])
            low, high = int(rows["time"].min()), int(rows["time"].max())
            self._span = (min(low, self._span[0]), max(high, self._span[1])) if self._span else (low, high)
        if not self._categories:
            rows = {**rows, "category": np.full_like(rows["category"], -1)}
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
        whole = self._span
        return [
            {
                "first": first,
                "last": last,
                "start": whole[0] if whole else key[0],
                "end": whole[1] + 1 if whole else key[0] + self._window,
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
