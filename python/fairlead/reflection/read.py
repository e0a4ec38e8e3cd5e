"""Reflections read from a journal."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from fairlead.reflection.fleet_wide import Comparison
from fairlead.reflection.result import Reflection
from fairlead.reflection.run import compare, reflect


def reflect_folder(folder: str | os.PathLike[str], model: str) -> Reflection:
    """What a journal says of a model: `reflect` on all that is written in the folder now.

    Raises UnknownModelError if the journal has no such model, JournalError if the folder holds no journal, and
    JournalDamagedError where it is damaged.

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
    from fairlead.journal import read  # not everywhere: the journal is POSIX

    settled, lost = _settled(folder)
    found = reflect(model=model, events=read(folder, types="training_run"), **settled)
    return replace(found, missing=(*found.missing, *lost))


def compare_folder(folder: str | os.PathLike[str]) -> Comparison:
    """All models of a journal against each other: `compare` on all that is written in the folder now; raises alike."""
    settled, lost = _settled(folder)
    found = compare(**settled)
    return replace(found, missing=(*found.missing, *lost))


def _settled(folder: str | os.PathLike[str]) -> tuple[dict[str, Any], list[str]]:
    """What `reflect` and `compare` take, and what the journal holds that could not be used."""
    from fairlead._core import ScoredReader

    reader = ScoredReader(os.fspath(folder))
    reader.read()
    lost = []
    if reader.unknown:
        lost.append(f"journal: {reader.unknown} forecasts or outcomes of tasks that it does not know or that had ended")
    if reader.bad:
        lost.append(f"journal: {reader.bad} events that are not what their type says")
    return {"rows": reader.rows(), "models": reader.models, "contexts": reader.contexts}, lost
