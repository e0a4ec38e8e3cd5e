"""What an archive holds: `archive/manifest.json`, which says of each file what is in it and where it came from."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fairlead.errors import JournalDamagedError, JournalError
from fairlead.journal.folder import write_durably

FORMAT = "fairlead-archive"
VERSION = 1


@dataclass(frozen=True, slots=True)
class ArchivedFile:
    """A Parquet file of an archive: events `first` to `last`, `rows` of them, by their own times from `start` to `end`
    (inclusive, nanoseconds). sha256: of the file. events_crc32c: of the records that the file must give again."""

    file: str
    first: int
    last: int
    rows: int
    types: dict[str, int]
    start: int
    end: int
    bytes: int
    sha256: str
    events_crc32c: int
    segments: list[dict[str, Any]]


@dataclass(slots=True)
class Manifest:
    """All of an archive. files: all events of their ranges. dropped: files that a quota took away. summaries: what it
    left of these, a file of the same range where summaries were in it. compactions: ranges of events whose segments
    were removed. compacting: the range that is being removed, until it is done."""

    journal: str
    files: list[ArchivedFile] = field(default_factory=list)
    dropped: list[ArchivedFile] = field(default_factory=list)
    summaries: list[ArchivedFile] = field(default_factory=list)
    compactions: list[dict[str, Any]] = field(default_factory=list)
    compacting: dict[str, Any] | None = None

    @property
    def readable(self) -> list[ArchivedFile]:
        """All files that are there, in the order of their events."""
        return sorted([*self.files, *self.summaries], key=lambda file: file.first)

    def covering(self, seq: int) -> ArchivedFile | None:
        """The file that holds event `seq`, or what is left where it was."""
        return next((file for file in self.readable if file.first <= seq <= file.last), None)

    def dropped_to(self, seq: int) -> int | None:
        """The last event of the dropped file that held event `seq`."""
        return next((file.last for file in self.dropped if file.first <= seq <= file.last), None)

    def archived_to(self) -> int:
        """The number up to which all events are archived, or were; 0: none."""
        return max((file.last for file in [*self.files, *self.dropped]), default=0)

    def to_bytes(self) -> bytes:
        """As JSON, with a checksum of the rest."""
        self.files.sort(key=lambda file: file.first)
        self.dropped.sort(key=lambda file: file.first)
        self.summaries.sort(key=lambda file: file.first)
        body = {"format": FORMAT, "version": VERSION, **asdict(self)}
        return json.dumps({**body, "sha256": _digest(body)}, indent=1).encode()


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def manifest_path(folder: str | os.PathLike[str]) -> Path:
    """Where the manifest of a journal's archive is."""
    return Path(folder) / "archive" / "manifest.json"


def load(folder: str | os.PathLike[str]) -> Manifest | None:
    """The manifest of the journal's archive; None where nothing was archived.

    Raises JournalDamagedError where it is no manifest or was changed, JournalError where it is of a newer version.
    """
    path = manifest_path(folder)
    try:
        raw = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        body = json.loads(raw)
        given = body.pop("sha256")
        if body.pop("format") != FORMAT:
            raise ValueError("another format")
        version = body.pop("version")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise JournalDamagedError(f"{path} is no manifest of an archive: {error!r}") from error
    if version != VERSION:
        raise JournalError(f"{path} has version {version!r}, this fairlead reads {VERSION}")
    if _digest({"format": FORMAT, "version": version, **body}) != given:
        raise JournalDamagedError(f"{path} was changed: its checksum does not fit")
    try:
        for part in ("files", "dropped", "summaries"):
            body[part] = [ArchivedFile(**file) for file in body[part]]
        return Manifest(**body)
    except (TypeError, KeyError) as error:
        raise JournalDamagedError(f"{path} is no manifest of an archive: {error!r}") from error


def save(folder: str | os.PathLike[str], manifest: Manifest) -> None:
    """Durable when it returns; the one before stays whole until then."""
    write_durably(manifest_path(folder), manifest.to_bytes())
