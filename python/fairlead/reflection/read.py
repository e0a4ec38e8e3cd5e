"""Reflections read from a journal: from its archive what is in no segment any more, and from the segments the rest."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.errors import JournalDamagedError, JournalError
from fairlead.events import Event
from fairlead.reflection.fleet_wide import Comparison
from fairlead.reflection.result import Reflection, when
from fairlead.reflection.run import compare, reflect

if TYPE_CHECKING:
    from fairlead._core import ScoredReader
    from fairlead.journal.manifest import Manifest

_TRIALS = 3


def reflect_folder(folder: str | os.PathLike[str], model: str) -> Reflection:
    """What a journal says of a model: `reflect` on all that the folder holds now, archived (which needs pyarrow) and
    live. Events that a quota dropped are told in `missing`, with what the summaries of them amount to.

    Raises UnknownModelError if the journal has no such model, JournalError if the folder holds no journal, and
    JournalDamagedError where journal or archive are damaged.

    >>> import tempfile
    >>> import fairlead as fl
    >>> desk = tempfile.TemporaryDirectory()
    >>> with fl.Fleet.open(desk.name) as fleet:
    ...     fleet.add("gpt")
    ...     task = fl.Task("rain tomorrow?", category="weather")
    ...     fleet.record(task, fl.Forecast("gpt", p=0.9))
    ...     _ = fleet.settle(task, 1)
    >>> reflect_folder(desk.name, "gpt")["binary"].performance.accuracy
    1.0
    >>> desk.cleanup()
    """
    settled, training, lost, dropped = _settled(folder)
    found = reflect(model=model, events=training, **settled)
    lost = [*lost, *_summarised(folder, dropped, model)]
    return replace(found, missing=(*lost, *_left(found.missing, dropped)), dropped=bool(dropped))


def compare_folder(folder: str | os.PathLike[str]) -> Comparison:
    """All models of a journal against each other: `compare` on all that the folder holds now; as `reflect_folder`."""
    settled, _, lost, dropped = _settled(folder)
    found = compare(**settled)
    lost = [*lost, *_summarised(folder, dropped, None)]
    return replace(found, missing=(*lost, *_left(found.missing, dropped)))


_Range = tuple[int, int]
_Settled = tuple[dict[str, Any], Iterator[Event], list[str], list[_Range]]


def _left(missing: tuple[str, ...], dropped: list[_Range]) -> list[str]:
    """What is said of all there ever was, as it is true of what is left."""
    said = (" has an outcome yet", ": no answer that is left has an outcome")
    return [f"scores{said[1]}" if dropped and text.endswith(said[0]) else text for text in missing]


def _summarised(folder: str | os.PathLike[str], dropped: list[_Range], model: str | None) -> list[str]:
    """What the summaries of events that were dropped amount to."""
    if not dropped:
        return []
    from fairlead.journal import history

    first, last, n, scored = 0, 0, 0, 0
    for event in history(folder, types="summary", models=model):
        of = event.data
        if any(of["first"] <= end and of["last"] >= begin for begin, end in dropped):
            first, last = min(first or of["first"], of["first"]), max(last, of["last"])
            n, scored = n + 1, scored + of["n"]
    whose = f" of {model}" if model is not None else ""
    if not n:
        return [f"summaries: none{whose} is of events that were dropped"]
    return [f"summaries: {n} of events {first} to {last} are kept, of {scored} scored answers{whose}"]


def _settled(folder: str | os.PathLike[str]) -> _Settled:
    """What `reflect` and `compare` take, training runs, what of the journal is gone or could not be used, and which
    events a quota dropped."""
    for _ in range(_TRIALS - 1):
        try:
            return _read(folder)
        except JournalError:  # compaction or a quota may have taken a file away before we came to it
            continue
    return _read(folder)


def _read(folder: str | os.PathLike[str]) -> _Settled:
    from fairlead._core import ScoredReader  # not everywhere: the journal is POSIX
    from fairlead.journal import history, read
    from fairlead.journal import manifest as manifests

    reader = ScoredReader(os.fspath(folder))
    before = reader.position  # what is in no segment any more: that it was archived was written down earlier
    manifest = manifests.load(folder)
    names, lost = _archived(folder, reader, manifest, before) if before else ([], [])
    reader.read()
    if reader.unknown:
        lost.append(f"journal: {reader.unknown} forecasts or outcomes of tasks that it does not know or that had ended")
    if reader.bad:
        lost.append(f"journal: {reader.bad} events that are not what their type says")
    settled = {"rows": reader.rows(), "models": max(names, reader.models, key=len), "contexts": reader.contexts}
    dropped = [(file.first, file.last) for file in manifest.dropped] if manifest is not None else []
    return settled, (history if names else read)(folder, types="training_run"), lost, dropped


def _archived(
    folder: str | os.PathLike[str], reader: ScoredReader, manifest: Manifest | None, before: int
) -> tuple[list[str], list[str]]:
    """Folds the events up to ``before`` out of the archive. The names of its models, and what is told of those gone."""
    names: list[str] = []
    lost = []
    seq = 1
    for entry in manifest.files if manifest is not None else ():
        if entry.first > before:
            break
        if entry.first > seq:
            lost.append(_gone(folder, manifest, seq, entry.first - 1))
        from fairlead.journal.parquet import EventFile  # pyarrow

        file = EventFile(Path(folder) / "archive" / entry.file)
        for records in file.records():
            reader.apply(records, before)
        names, seq = file.models, entry.last + 1
    if seq <= before:
        lost.append(_gone(folder, manifest, seq, before))
    return names, lost


def _gone(folder: str | os.PathLike[str], manifest: Manifest | None, first: int, last: int) -> str:
    """That events are not there, and what comes after them."""
    from fairlead.journal import history, read

    if manifest is not None and any(manifest.dropped_to(seq) is None for seq in (first, last)):
        raise JournalDamagedError(
            f"events {first} to {last} are neither in the archive nor in the segments of {folder}"
        )
    seek = history if manifest is not None and manifest.covering(last + 1) else read
    following = next(iter(seek(folder, first=last + 1, last=last + 1)), None)
    why = "were dropped by a quota" if manifest is not None else "are in no segment and no archive"
    then = f"event {last + 1}" + (f" of {when(following.time)}" if following is not None else "")
    return f"journal: events {first} to {last} {why}: " + (
        f"what is said begins with {then}" if first == 1 else f"nothing of them is in what is said, up to {then}"
    )
