"""Where the steps of a pipeline are written down, so that another process goes on after this one.

On a journal each step is a `deployment` event, whose `position` is what there is to know. Without one there is a file
of the newest position, replaced as a whole. What is written is a word about what was done: who is champion stands in
the registry alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from fairlead.lifecycle.failures import LifecycleError
from fairlead.lifecycle.pipeline.state import Event, IllegalStepError, Position, check

PathLike = str | os.PathLike[str]


class Log(Protocol):
    """What events go to; `fl.Journal` is one."""

    def append(
        self, type: str | int, data: Mapping[str, Any] | bytes, *, model: str | None = None, time: Any = None
    ) -> int: ...


class Step(NamedTuple):
    """What happened to a managed model. failure: a `Failure`, "" for none. by: who did it, "pipeline" itself or a
    person."""

    seq: int
    time: int
    event: Event
    position: Position
    reason: str
    by: str
    failure: str

    def to_dict(self) -> dict[str, Any]:
        """The data of a `deployment` event; `version`, `previous_version`, `stage`, `status` and `reason` are columns
        of the store."""
        position = self.position
        version = position.challenger if position.challenger is not None else position.champion
        data: dict[str, Any] = {
            "version": None if version is None else str(version),
            "previous_version": None if position.previous is None else str(position.previous),
            "stage": position.state.value,
            "status": self.event.value,
            "reason": self.reason,
            "by": self.by,
        }
        if self.failure:
            data["failure"] = self.failure
        return {**data, "position": position.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, seq: int = 0, time: int = 0) -> Step:
        """Back from `to_dict`. Raises LifecycleError for what is none."""
        try:
            position = Position.from_dict(data["position"])
            check(position)
            event = Event(data["status"])
        except (KeyError, TypeError, ValueError, IllegalStepError) as error:
            raise LifecycleError(f"the step {data!r} cannot be read: {type(error).__name__}: {error}") from error
        return cls(
            seq,
            time,
            event,
            position,
            str(data.get("reason", "")),
            str(data.get("by", "")),
            str(data.get("failure", "")),
        )

    def __str__(self) -> str:
        position = self.position
        who = "" if position.champion is None else f", champion version {position.champion}"
        return f"{self.event.value} -> {position.state.value}{who}: {self.reason}"


def is_step(data: Mapping[str, Any]) -> bool:
    """Whether the data of a `deployment` event is of a pipeline: the registry writes such events too."""
    return "position" in data and "status" in data


class FileLedger:
    """The newest step in a file of its own, which is replaced as a whole and synced."""

    def __init__(self, path: PathLike) -> None:
        self.path = Path(path)

    def write(self, step: Step) -> int:
        """Raises OSError; the file is then as it was."""
        text = json.dumps({**step.to_dict(), "time": step.time, "seq": step.seq}, allow_nan=False)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            with draft.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self.path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return step.seq

    def newest(self) -> Step | None:
        """Raises LifecycleError for a file that is none of these."""
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        try:
            data = json.loads(text)
            return Step.from_dict(data, seq=int(data["seq"]), time=int(data["time"]))
        except (ValueError, KeyError, TypeError, LifecycleError) as error:
            raise LifecycleError(f"{self.path} cannot be read: {error}; take it away to begin anew") from error


class LogLedger:
    """Steps as events of a log."""

    def __init__(self, log: Log, model: str, sync: Callable[[], None] | None = None) -> None:
        self._log = log
        self._model = model
        self._sync = sync

    def write(self, step: Step) -> int:
        """Raises JournalError; nothing was written then. It survives a power cut when this returns."""
        seq = self._log.append("deployment", step.to_dict(), model=self._model, time=step.time)
        if self._sync is not None:
            self._sync()
        return seq
