"""What a training job was asked to do: its limits, when it stops early, and the order that stands in its folder."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from fairlead.errors import InvalidRecordError, did_you_mean

Mode = Literal["full", "incremental"]
MODES: tuple[str, ...] = get_args(Mode)

_ID = re.compile(r"[A-Za-z0-9._-]+-\d{5,}")
_ODD = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class EarlyStopping:
    """Ends a training whose validation loss does not improve any more, and keeps the weights of its best epoch.

    patience: after so many epochs without an improvement. least: by how much the loss must fall to be one. Raises
    InvalidRecordError for what they cannot be.

    >>> EarlyStopping(patience=3, least=1e-3)
    EarlyStopping(patience=3, least=0.001)
    """

    patience: int = 5
    least: float = 0.0

    def __post_init__(self) -> None:
        whole_number(self.patience, "patience", 1)
        _number(self.least, "least", 0.0)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a job may use at most; None: any amount. What breaks a limit is killed, and says by which it was.

    cpu_s: seconds of processor time, of all its threads. wall_s: seconds since its process began, without pauses.
    silence_s: seconds without a finished epoch, from the start of its process on: what takes longer hangs. memory_mb:
    resident memory in MiB, which includes what Python and its libraries take (numpy 30, torch 220); it is looked at
    twenty times a second, and what asks for half a GiB more at once is refused that. cpus: run on so many processors;
    another number of threads may give other bits. nice: how far the job steps back behind other processes, 0 to 19.

    A job in this process (`InlineJobs`) is held to `cpu_s` and `wall_s` alone, and only between epochs. Raises
    InvalidRecordError for what they cannot be.

    >>> Limits(wall_s=3600, memory_mb=2000).silence_s
    600.0
    """

    cpu_s: float | None = None
    memory_mb: float | None = None
    wall_s: float | None = None
    silence_s: float | None = 600.0
    cpus: int | None = None
    nice: int = 10

    def __post_init__(self) -> None:
        for name in ("cpu_s", "memory_mb", "wall_s", "silence_s"):
            if getattr(self, name) is not None:
                _number(getattr(self, name), name, 0.0, above=True)
        if self.cpus is not None:
            whole_number(self.cpus, "cpus", 1)
        whole_number(self.nice, "nice", 0, 19)


@dataclass(frozen=True, slots=True)
class Order:
    """What a job was asked to do, as `job.json` in its folder holds it.

    trainer: the name of its class; params: what it says of itself. examples, validation: fingerprints, with how many
    there are and which events of a journal they end with. base: the weights that an incremental job starts from.
    """

    id: str
    name: str
    created: int
    mode: str
    seed: int
    trainer: str
    format: str
    params: Mapping[str, Any]
    examples: str
    count: int
    first_seq: int
    last_seq: int
    validation: str | None = None
    base: str | None = None
    base_digest: str | None = None
    early_stopping: EarlyStopping | None = None
    limits: Limits = field(default_factory=Limits)
    checkpoint_every: int | None = None
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Its fields as plain JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Order:
        """The order that `as_dict` told. Fields that this fairlead does not know are left out."""
        known = {name: data[name] for name in cls.__dataclass_fields__ if name in data}
        early, limits = known.get("early_stopping"), known.get("limits") or {}
        known["early_stopping"] = None if early is None else EarlyStopping(**early)
        known["limits"] = Limits(**{name: limits[name] for name in Limits.__dataclass_fields__ if name in limits})
        return cls(**known)


def checked_name(name: Any) -> str:
    """The name of a model. Raises InvalidRecordError for what is none."""
    if not isinstance(name, str) or not name.strip() or len(name) > 200 or not name.isprintable():
        raise InvalidRecordError(f"name is {name!r}, must be the name of a model: 1 to 200 printable characters")
    return name


def checked_mode(mode: Any) -> str:
    """The mode of a training. Raises InvalidRecordError for what is none."""
    if mode not in MODES:
        hint = did_you_mean(mode, MODES) if isinstance(mode, str) else ""
        raise InvalidRecordError(f"mode is {mode!r}, must be one of {', '.join(map(repr, MODES))}{hint}")
    return str(mode)


def whole_number(value: Any, field: str, least: int, most: int | None = None) -> int:
    """A whole number in its bounds. Raises InvalidRecordError for any other."""
    fits = isinstance(value, int) and not isinstance(value, bool) and value >= least and (most is None or value <= most)
    if not fits:
        raise InvalidRecordError(
            f"{field} is {value!r}, must be a whole number {f'from {least}' if most is None else f'{least} to {most}'}"
        )
    return int(value)


def id_of(name: str, number: int) -> str:
    """The id of a job, which is the name of its folder.

    >>> id_of("org/model v2", 7)
    'org-model-v2-00007'
    """
    plain = _ODD.sub("-", name).strip("-.")[:60]
    return f"{plain or 'job'}-{number:05d}"


def is_id(name: str) -> bool:
    """Whether a folder has the name of a job's.

    >>> is_id("m-00007"), is_id("lock")
    (True, False)
    """
    return _ID.fullmatch(name) is not None


def _number(value: Any, field: str, least: float, *, above: bool = False) -> None:
    known = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not known or value < least or (above and value == least):
        raise InvalidRecordError(f"{field} is {value!r}, must be a number {'above' if above else 'from'} {least:g}")
