"""What a power cut may leave of what a registry was doing: a model of a disk that lost what was not synced.

The calls of `disk.py` are recorded. A state after a cut is then made of any number of them:

- names (made, linked, renamed, removed), and sizes of files, come to the disk in their order, but how many of them is
  open beyond those that a sync promised: fsync of a file those about this file, fsync of a folder those in it,
  fdatasync the file's own size and first name; and all before these (journalled metadata, as of ext4 and XFS);
- bytes of a file are there where they were written before its last sync. Of later ones any sector of 512 bytes may be
  new, old, or zero where the file was longer than what it held.

What is made so must be as before or as after; as after, where it had been acknowledged.
"""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fairlead.lifecycle.registry import disk

SECTOR = 512
Made = Callable[[], object]


@dataclass
class Call:
    """One that changes something, or a sync. node: the file or folder it is about. place, data: of a write."""

    kind: str
    node: int = 0
    path: str = ""
    to: str = ""
    place: int = 0
    data: bytes = b""


@dataclass
class Recorder:
    """The calls of `disk.py` in a folder, and what there was before."""

    root: Path
    calls: list[Call] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)
    bytes: dict[int, bytes] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for path in self.root.rglob("*"):
            name = str(path.relative_to(self.root))
            if path.is_dir():
                self.folders.add(name)
            else:
                node = path.stat().st_ino
                self.names[name], self.bytes[node] = node, path.read_bytes()

    def _name(self, path: Path | str) -> str:
        return str(Path(path).relative_to(self.root))

    def record(self, doing: Made) -> None:
        """Runs it, and keeps all calls."""
        was = {name: getattr(disk, name) for name in _KINDS}
        for name, call in was.items():
            setattr(disk, name, self._recording(name, call))
        try:
            doing()
        finally:
            for name, call in was.items():
                setattr(disk, name, call)

    def _recording(self, name: str, call: Any) -> Any:
        def recorded(*given: Any) -> Any:
            noted = Call("create" if name == "create_new" else name)
            first = given[0]
            if isinstance(first, int):
                status = os.fstat(first)
                noted.node = status.st_ino
                if stat.S_ISDIR(status.st_mode):
                    noted = Call("folder", path=self._name(Path(f"/proc/self/fd/{first}").readlink()))
                elif name == "write":
                    noted = Call("write", status.st_ino, place=os.lseek(first, 0, os.SEEK_CUR), data=bytes(given[1]))
                elif name == "pwrite":
                    noted = Call("write", status.st_ino, place=given[2], data=bytes(given[1]))
                elif name == "truncate":
                    noted.place = given[1]
            else:
                noted.path = self._name(first)
                if name in ("rename", "link"):
                    noted.to = self._name(given[1])
                if name in ("rename", "link", "unlink"):
                    noted.node = os.lstat(first).st_ino if os.path.lexists(first) else 0
            found = call(*given)
            if noted.kind == "create":
                noted.node = os.fstat(found).st_ino
            self.calls.append(noted)
            return found

        return recorded

    def after_cut(self, n: int, rng: random.Random, how: str) -> tuple[dict[str, bytes], set[str]]:
        """Files and folders as a cut after `n` calls may leave them. how: `least`, `most` or `any` of what is open."""
        calls = self.calls[:n]
        changes = _changes(calls, {node: len(data) for node, data in self.bytes.items()})
        promised = _promised(calls, changes)
        kept = {"least": promised, "most": len(changes), "any": rng.randint(promised, len(changes))}[how]
        names, folders = dict(self.names), set(self.folders)
        sizes = {node: len(data) for node, data in self.bytes.items()}
        for _, call, size in changes[:kept]:
            if call.kind == "mkdir":
                folders.add(call.path)
            elif call.kind == "create":
                names[call.path] = call.node
                sizes[call.node] = 0
            elif call.kind == "link":
                names[call.to] = names[call.path]
            elif call.kind == "rename":
                names[call.to] = names.pop(call.path)
            elif call.kind == "unlink":
                del names[call.path]
            else:
                sizes[call.node] = size
        held = {node: self._bytes(node, sizes.get(node, 0), calls, rng, how) for node in set(names.values())}
        return {name: held[node] for name, node in names.items()}, folders

    def _bytes(self, node: int, size: int, calls: list[Call], rng: random.Random, how: str) -> bytes:
        synced = max((i for i, c in enumerate(calls) if c.node == node and c.kind in ("sync", "datasync")), default=-1)
        data = bytearray(self.bytes.get(node, b"").ljust(size, b"\0"))
        for i, call in enumerate(calls):
            if call.node != node or call.kind != "write":
                continue
            end = call.place + len(call.data)
            data.extend(bytes(max(end - len(data), 0)))
            for start in range(call.place // SECTOR * SECTOR, end, SECTOR):
                if i < synced or how == "most" or (how == "any" and rng.random() < 0.5):
                    a, b = max(start, call.place), min(start + SECTOR, end)
                    data[a:b] = call.data[a - call.place : b - call.place]
        return bytes(data[:size])


_KINDS = (
    "create",
    "create_new",
    "write",
    "pwrite",
    "truncate",
    "sync",
    "datasync",
    "rename",
    "link",
    "unlink",
    "mkdir",
)


def _changes(calls: list[Call], sizes: dict[int, int]) -> list[tuple[int, Call, int]]:
    """Of names and sizes, in their order: number of the call, the call, the size."""
    sizes = dict(sizes)
    found = []
    for i, call in enumerate(calls):
        if call.kind in ("mkdir", "create", "link", "rename", "unlink"):
            found.append((i, call, 0))
        elif call.kind == "truncate" or (
            call.kind == "write" and call.place + len(call.data) > sizes.get(call.node, 0)
        ):
            sizes[call.node] = call.place + len(call.data)
            found.append((i, Call("size", call.node), sizes[call.node]))
    return found


def _promised(calls: list[Call], changes: list[tuple[int, Call, int]]) -> int:
    """How many of these a sync has promised."""
    least = 0
    for i, sync in enumerate(calls):
        if sync.kind not in ("sync", "datasync", "folder"):
            continue
        for n, (at, change, _) in enumerate(changes):
            if at > i:
                break
            if sync.kind == "folder":
                there = {str(Path(path).parent) for path in (change.path, change.to or change.path)}
                mine = sync.path in there and change.kind != "size"
            else:
                mine = change.node == sync.node and (sync.kind == "sync" or change.kind in ("size", "create"))
            if mine:
                least = max(least, n + 1)
    return least


def put(folder: Path, files: dict[str, bytes], folders: set[str]) -> None:
    """Makes a folder of what is left."""
    folder.mkdir()
    for name in sorted(folders):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        if (folder / name).parent.is_dir():
            (folder / name).write_bytes(data)
