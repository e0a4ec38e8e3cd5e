"""What the journal is told of jobs: each epoch once, whoever dies when."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from fairlead.events import Event
from fairlead.lifecycle.jobs.folder import JobFolder
from fairlead.lifecycle.jobs.orders import Order
from fairlead.lifecycle.jobs.status import FINAL

KIND = "training_run"

_MARK_S = 1.0


class Log(Protocol):
    """Where events go: `fairlead.Journal`, or anything that appends as it does."""

    def append(self, type: str, data: Mapping[str, Any], *, model: str | None = None, time: int | None = None) -> int:
        """One event, and gives its number."""
        ...


class Ledger:
    """Writes the `training_run` events of jobs from their folders.

    Every event tells of its `run` (the id of the job), `attempt` and `status`. The first of an attempt holds what was
    asked; then one for each epoch, with `epoch`, `of`, `loss`, `validation_loss`, `progress` and `seconds`; the last
    says how it ended.

    What the journal has is marked in the folder: after each event, or now and then where the log is one that can be
    read (it has a `folder`), as after a death what is in the journal itself counts.
    """

    def __init__(self, log: Log | None) -> None:
        self._log = log
        self._folder = getattr(log, "folder", None)
        self._marks: dict[str, dict[str, int]] = {}
        self._marked_at = 0.0

    def catch_up(self, place: JobFolder, order: Order, *, recovering: bool = False) -> None:
        """Tells all that it does not have yet. recovering: looks into the journal first."""
        if self._log is None:
            return
        mark = self._marks.get(place.id) or place.journaled()
        if recovering:
            for event in self._written(place, order, mark["seq"]):
                mark = self._marks[place.id] = _marked(mark, event.data, event.seq)
        for data, at in _events(place, order, mark):
            seq = self._log.append(KIND, data, model=order.name, time=at)
            mark = self._marks[place.id] = _marked(mark, data, seq)
            # A journal that can be read is its own mark; this one says from where on to read it.
            now = time.monotonic()
            if self._folder is None or data["status"] in FINAL or now > self._marked_at + _MARK_S:
                place.write_journaled(mark)
                self._marked_at = now
            if data["status"] in FINAL:
                del self._marks[place.id]

    def _written(self, place: JobFolder, order: Order, after: int) -> Iterator[Event]:
        if self._folder is None:
            return
        from fairlead.journal import read

        for event in read(self._folder, first=after + 1, types=KIND, models=order.name):
            if event.data.get("run") == place.id and "attempt" in event.data:  # else a pipeline's word of it
                yield event


def _marked(mark: Mapping[str, int], data: Mapping[str, Any], seq: int) -> dict[str, int]:
    found = dict(mark) | {"seq": seq}
    if "epoch" in data and data["status"] == "running":
        found["epochs"] = max(found["epochs"], data["epoch"])
    elif data["status"] in FINAL:
        found["ended"] = max(found["ended"], data["attempt"])
    else:
        found["begun"] = max(found["begun"], data["attempt"])
    return found


def _events(place: JobFolder, order: Order, mark: Mapping[str, int]) -> Iterator[tuple[dict[str, Any], int]]:
    said, epochs = place.status(), place.epochs()
    attempt = said.get("attempt", 1)
    about: dict[str, Any] = {"run": place.id, "attempt": attempt}
    started = said.get("started")
    if started is not None and mark["begun"] < attempt:
        asked = {
            "status": "running",
            "started": started,
            "seed": order.seed,
            "mode": order.mode,
            "trainer": order.trainer,
            "examples": order.examples,
            "count": order.count,
            "first_seq": order.first_seq,
            "last_seq": order.last_seq,
        }
        asked |= {"reason": order.reason} if order.reason else {}
        asked |= {"base": order.base_digest} if order.base_digest else {}
        yield about | asked, said.get("began", started)
    for epoch in epochs[bisect_right(epochs, mark["epochs"], key=lambda epoch: epoch["epoch"]) :]:
        told = {name: epoch[name] for name in ("epoch", "of", "loss", "validation_loss", "seconds")}
        share = {"progress": epoch["epoch"] / epoch["of"]} if epoch["of"] else {}
        yield about | {"status": "running"} | told | share, epoch["time"]
    if said["state"] in FINAL and mark["ended"] < attempt:
        ended = {"status": said["state"], "finished": said["finished"], "epochs": len(epochs)}
        if said["state"] == "done":
            ended |= {"digest": said["digest"], "bytes": said["bytes"], "best": said["best"], "progress": 1.0}
        else:
            ended |= {"failure": said["failure"], "error": said["message"]}
        yield about | ended, said["finished"]
