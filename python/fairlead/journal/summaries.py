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
from fairlead.journal.columns import KINDS
from fairlead.journal.manifest import Manifest
from fairlead.journal.parquet import EventFile

_SUMS = ("calls", "failed", "cost_usd", "tokens_in", "tokens_out")


def summarise(
    folder: str | os.PathLike[str], manifest: Manifest, first: int, last: int, window: int
) -> list[dict[str, Any]]:
    """The summaries of events `first` to `last`, which must be archived: a plain dict for each model, category, kind
    and window of `window` nanoseconds (by the time of the outcome) in which it was settled, in this order of columns.

    A task counts where it ended. Sums are over its models' last answers, as the Scoreboard scores them: `n` were
    scored, of `tasks`; `loss` is the sum of Brier scores or squared errors; `latency_ms` the sum over `latencies`
    answers.
    """
    scored = ScoredRecords()
    names: tuple[list[str], list[str]] = ([], [])
    events = list(_range(folder, manifest, first, last))
    for records in _earlier(folder, manifest, first, events):
        scored.apply(records)
    for batch, file in events:
        names = (file.models, file.categories)
        for records in columns.records(batch, file.models, file.categories):
            scored.apply(records)
    return _grouped(scored.rows(), *names, first, last, window)


def _files(folder: str | os.PathLike[str], manifest: Manifest, first: int, last: int) -> Iterator[EventFile]:
    for file in manifest.files:
        if file.last >= first and file.first <= last:
            yield EventFile(Path(folder) / "archive" / file.file)


_HOT = ("task", "forecast", "outcome", "closed")


def _range(
    folder: str | os.PathLike[str], manifest: Manifest, first: int, last: int
) -> Iterator[tuple[pa.RecordBatch, EventFile]]:
    """The hot events of a range, in batches."""
    if manifest.covering(first) is None or manifest.covering(last) is None:
        raise JournalDamagedError(f"events {first} to {last} are not in the archive of {folder}")
    for file in _files(folder, manifest, first, last):
        for batch in file.batches():
            seq = batch["seq"].to_numpy()
            inside = (seq >= first) & (seq <= last) & _of_type(batch, _HOT)
            if inside.any():
                yield batch.filter(pa.array(inside)), file


def _of_type(batch: pa.RecordBatch, types: Sequence[str]) -> npt.NDArray[np.bool_]:
    array = batch["type"]
    known = pc.is_in(array.dictionary, value_set=pa.array(types, pa.string()))
    return np.asarray(pc.fill_null(known.take(array.indices), False))


def _earlier(
    folder: str | os.PathLike[str], manifest: Manifest, first: int, events: Sequence[tuple[pa.RecordBatch, EventFile]]
) -> Iterator[npt.NDArray[np.uint8]]:
    """Tasks that ended in the range and were opened before it, with their forecasts: from the files before."""
    ended: set[int] = set()
    opened: set[int] = set()
    for batch, _ in events:
        task = batch["task"].fill_null(0).to_numpy()
        ended.update(task[_of_type(batch, ("outcome", "closed"))].tolist())
        opened.update(task[_of_type(batch, ("task",))].tolist())
    wanted = ended - opened
    if not wanted:
        return
    numbers = pa.array(sorted(wanted), pa.uint64())
    for file in _files(folder, manifest, 1, first - 1):
        for batch in file.batches(tasks=(min(wanted), max(wanted))):
            inside = (batch["seq"].to_numpy() < first) & _of_type(batch, ("task", "forecast"))
            inside &= np.asarray(pc.is_in(batch["task"], value_set=numbers))
            if inside.any():
                yield from columns.records(batch.filter(pa.array(inside)), file.models, file.categories)


def _grouped(
    rows: dict[str, npt.NDArray[Any]],
    models: Sequence[str],
    categories: Sequence[str],
    first: int,
    last: int,
    window: int,
) -> list[dict[str, Any]]:
    if len(rows["seq"]) == 0:
        return []
    start = rows["time"] // window * window
    order = np.lexsort((rows["kind"], rows["category"], rows["model"], start))
    rows = {name: values[order] for name, values in rows.items()}
    keys = np.stack([start[order], rows["model"], rows["category"], rows["kind"]])
    at = np.flatnonzero(np.concatenate([[True], (keys[:, 1:] != keys[:, :-1]).any(axis=0)]))

    def total(values: npt.NDArray[Any]) -> list[Any]:
        out: list[Any] = np.add.reduceat(values, at).tolist()
        return out

    def given(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.where(np.isnan(values), 0.0, values)

    scored = rows["scored"].astype(np.int64)
    parts = {
        "tasks": total(np.ones(len(scored), np.int64)),
        "n": total(scored),
        "correct": total(rows["correct"].astype(np.int64)),
        "loss": total(given(rows["loss"])),
        "log_loss": total(given(rows["log_loss"])),
        "latency_ms": total(given(rows["latency_ms"])),
        "latencies": total((~np.isnan(rows["latency_ms"])).astype(np.int64)),
        **{name: total(rows[name].astype(np.int64) if rows[name].dtype.kind == "u" else rows[name]) for name in _SUMS},
    }
    return [
        {
            "first": first,
            "last": last,
            "start": int(keys[0, place]),
            "end": int(keys[0, place]) + window,
            "model": _name(models, keys[1, place]),
            "category": _name(categories, keys[2, place]),
            "kind": KINDS[keys[3, place]],
            **{name: values[i] for name, values in parts.items()},
        }
        for i, place in enumerate(at)
    ]


def _name(names: Sequence[str], number: int) -> str | None:
    return names[number] if 0 <= number < len(names) else None


def key(summary: dict[str, Any]) -> str:
    """What makes a summary the one it is: so that none is written twice."""
    parts = ("first", "last", "start", "end", "model", "category", "kind")
    return json.dumps([summary.get(part) for part in parts])
