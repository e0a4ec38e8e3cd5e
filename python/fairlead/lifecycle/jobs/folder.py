"""The folder of one job: what stands where, written so that a death at any moment leaves it readable.

job.json        what was asked; written once
status          the newest word on its state; replaced whole
epochs.jsonl    a line an epoch, appended
checkpoint-N    the state after epoch N, of trainers that can go on from one
best-N          weights of the best epoch so far, under early stopping
artifact.*      what came out
log.txt         what the job printed, and the traceback where it failed
lease           locked by the process that trains, as long as it lives; its number and heartbeat
journaled       which of its events the journal has
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import math
import os
import threading
import time
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any

from fairlead.lifecycle.jobs.faults import JobError
from fairlead.lifecycle.jobs.orders import Order

_CHUNK = 1 << 20
_TRIES = 20


class JobFolder:
    """Reads and writes the files of one job."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._unwritten: dict[str, Any] | None = None
        self._reading = threading.Lock()
        self._seen: tuple[int, int, list[dict[str, Any]]] = (0, 0, [])  # file number, bytes and lines read so far

    @property
    def id(self) -> str:
        """The id of the job."""
        return self.path.name

    @property
    def log(self) -> Path:
        """What the job printed."""
        return self.path / "log.txt"

    # What was asked.

    def write_order(self, order: Order) -> None:
        """Once, before all else."""
        text = json.dumps(order.as_dict(), indent=1, ensure_ascii=False, allow_nan=False)
        replace(self.path / "job.json", text.encode(), durable=True)

    def order(self) -> Order:
        """What was asked. Raises JobError where the file cannot be read."""
        path = self.path / "job.json"
        found = _json_file(path)
        try:
            return Order.from_dict(found)
        except (TypeError, ValueError, AttributeError) as error:
            raise JobError(f"{path} cannot be read: {error}") from error

    # Its state.

    def write_status(self, status: Mapping[str, Any], *, durable: bool = False) -> None:
        """Replaces the status, whole."""
        replace(self.path / "status", json.dumps(status, ensure_ascii=False).encode(), durable=durable)
        self._unwritten = None

    def insist_status(self, status: Mapping[str, Any]) -> None:
        """The same, and where the disk has no room for it, it is remembered."""
        try:
            self.write_status(status, durable=True)
        except OSError:
            self._unwritten = dict(status)

    def status(self) -> dict[str, Any]:
        """The newest word on its state."""
        if self._unwritten is not None:
            return dict(self._unwritten)
        found = _json_file(self.path / "status")
        if "state" not in found:
            raise JobError(f"{self.path / 'status'} cannot be read: it tells no state")
        return found

    # Its epochs.

    def append_epoch(self, record: Mapping[str, Any]) -> None:
        """A line, in one write."""
        line = json.dumps(record, allow_nan=False, separators=(",", ":")).encode() + b"\n"
        file = os.open(self.path / "epochs.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            before = os.fstat(file).st_size
            if os.write(file, line) != len(line):
                os.ftruncate(file, before)
                raise OSError(28, "No space left on device", str(self.path / "epochs.jsonl"))
        finally:
            os.close(file)

    def epochs(self) -> list[dict[str, Any]]:
        """All whole lines; only what is new is read."""
        with self._reading:
            try:
                file = os.open(self.path / "epochs.jsonl", os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return []
            with os.fdopen(file, "rb") as stream:
                number = os.fstat(file).st_ino
                before, at, lines = self._seen
                if before != number:
                    at, lines = 0, []
                stream.seek(at)
                fresh = stream.read()
            whole = fresh[: fresh.rfind(b"\n") + 1]
            lines = [*lines, *_records(whole)] if whole else lines
            self._seen = (number, at + len(whole), lines)
            return lines

    def keep_epochs(self, most: int) -> None:
        """Cuts what comes after epoch `most`, and a line that a death has torn."""
        lines = [json.dumps(e, separators=(",", ":")) + "\n" for e in self.epochs() if e["epoch"] <= most]
        replace(self.path / "epochs.jsonl", "".join(lines).encode(), durable=True)

    # Files by epoch.

    def numbered(self, stem: str, number: int) -> Path:
        """The file `stem` of an epoch."""
        return self.path / f"{stem}-{number:06d}"

    def newest(self, stem: str) -> int:
        """The newest epoch that has a file `stem`; 0: none."""
        return max((number for number, _ in self._numbered(stem)), default=0)

    def drop(self, stem: str, but: Container[int] = ()) -> None:
        """Removes the files `stem`, but those of some epochs."""
        for number, path in self._numbered(stem):
            if number not in but:
                path.unlink(missing_ok=True)

    def drop_unfinished(self) -> None:
        """Removes what was being written."""
        for path in self.path.glob("*.new"):
            with contextlib.suppress(OSError):
                path.unlink()

    def _numbered(self, stem: str) -> Iterator[tuple[int, Path]]:
        for path in self.path.glob(f"{stem}-*"):
            number = path.name[len(stem) + 1 :]
            if number.isdigit():
                yield int(number), path

    # Whether it lives.

    def lease(self) -> int:
        """Opens and locks the lease: a file descriptor, whose lock lasts until all copies of it are closed. Raises
        JobError where a process holds it."""
        file = os.open(self.path / "lease", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        if not lock(file, patient=True):
            holder = os.pread(file, 4096, 0).decode(errors="replace").split(" ")[0]
            os.close(file)
            raise JobError(f"job {self.id} is held by process {holder or 'unknown'}")
        return file

    def holder(self) -> int | None:
        """The process that holds the lease, 0 where it has not said its number; None: nobody does."""
        try:
            file = os.open(self.path / "lease", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            if lock(file, shared=True):
                return None
            said = os.pread(file, 4096, 0).decode(errors="replace").split()
            return int(said[0]) if said else 0
        finally:
            os.close(file)

    def heartbeat(self) -> tuple[int, float, float] | None:
        """When the process last showed that it lives (nanoseconds since the epoch), its resident memory in MiB and its
        processor time in seconds; None before the first time."""
        try:
            _, time, rss, cpu = (self.path / "lease").read_text().split()
            return int(time), float(rss), float(cpu)
        except (OSError, ValueError):
            return None

    # What the journal has.

    def journaled(self) -> dict[str, int]:
        """begun, ended: attempts that it knows of; epochs: how many; seq: of the newest event."""
        try:
            return {"begun": 0, "epochs": 0, "ended": 0, "seq": 0} | _json_file(self.path / "journaled")
        except JobError:
            return {"begun": 0, "epochs": 0, "ended": 0, "seq": 0}

    def write_journaled(self, mark: Mapping[str, int]) -> None:
        """Replaces it."""
        replace(self.path / "journaled", json.dumps(mark).encode())


def beat(lease: int, pid: int, time: int, rss_mb: float, cpu_s: float) -> None:
    """Writes a heartbeat into an open lease, in one write of one length."""
    os.pwrite(lease, f"{pid} {time} {rss_mb:.1f} {cpu_s:.2f}".ljust(79).encode() + b"\n", 0)


def replace(path: Path, data: bytes, *, durable: bool = False) -> None:
    """Writes a file whole: whoever reads sees the old or the new one. durable: it survives a power cut."""
    new = path.with_name(f"{path.name}.new")
    with new.open("wb") as file:
        file.write(data)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    new.replace(path)
    if durable:
        sync(path.parent)


def settle(new: Path, path: Path, *, durable: bool = True) -> None:
    """Makes a file that was written under another name the one of this name. durable: after a power cut there is this
    one or the one before, whole."""
    if durable:
        sync(new)
    new.replace(path)


def sync(path: Path) -> None:
    """What stands in a file, or was renamed in a folder, survives a power cut from now on."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def digest_of(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def finite(value: float | None) -> float | None:
    """A number that JSON can hold; None for what is none."""
    return float(value) if value is not None and math.isfinite(value) else None


def _records(lines: bytes) -> Iterator[dict[str, Any]]:
    """Epochs, one a line; what a power cut has made of a line is left out."""
    for line in lines.split(b"\n"):
        with contextlib.suppress(ValueError):
            if line and isinstance(found := json.loads(line), dict) and "epoch" in found:
                yield found


def _json_file(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise JobError(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise JobError(f"{path} is no JSON object")
    return found


def lock(file: int, *, shared: bool = False, patient: bool = False) -> bool:
    """Locks an open file, and says whether it could. patient: whoever only looks holds a lock for a moment."""
    for _ in range(_TRIES if patient else 1):
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            if patient:
                time.sleep(0.005)
        else:
            return True
    return False
