"""What crosses to the process of a job: the trainer and the examples, and the way to their classes.

They cross by pickle, through memory that the two processes alone share: nothing on disk is ever unpickled.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import sys
import tempfile
import types
from collections.abc import Mapping
from multiprocessing import spawn
from pathlib import Path
from typing import Any

from fairlead.lifecycle.jobs.faults import JobError, NotSendableError

_DEPTH = 4
_HEAD = struct.Struct("<QQ")
_MAIN = b"__main__"


def pack(trainer: object, examples: object, validation: object) -> bytes:
    """What the other process needs of these three. Raises NotSendableError naming what cannot cross."""
    parts = []
    for name, value in (("trainer", trainer), ("examples", examples), ("validation", validation)):
        try:
            parts.append(pickle.dumps(value, protocol=5))
        except Exception as error:
            where, what = _culprit(value, name)
            raise NotSendableError(
                f"{where} is {what}, which cannot cross to the process of its job ({error}); use what a module "
                "defines by name, or InlineJobs, which train in this process"
            ) from error
    mains = _main_names(trainer) if _MAIN in parts[0] else []
    if mains and not _main_can_be_imported():
        raise NotSendableError(
            f"trainer needs {mains[0]!r}, which this interactive session defines: the process of its job cannot import "
            "it. Put it into a module, or use InlineJobs, which train in this process"
        )
    return b"".join(len(part).to_bytes(8, "little") + part for part in parts)


def unpack(data: bytes) -> tuple[Any, Any, Any]:
    """The three again."""
    stream = io.BytesIO(data)
    trainer, examples, validation = (
        pickle.loads(stream.read(int.from_bytes(stream.read(8), "little"))) for _ in range(3)
    )
    return trainer, examples, validation


def surroundings(packed: bytes) -> dict[str, Any]:
    """What the other process has to set up before it unpacks: where modules are found, and the main script where a
    class of it is needed. Raises JobError in a process that is just being set up so itself."""
    try:
        found = dict(spawn.get_preparation_data("fairlead-job"))
    except RuntimeError as error:
        raise JobError(
            "a job cannot be started while the process of another imports this script: begin what the script does with "
            "`if __name__ == '__main__':`"
        ) from error
    kept: tuple[str, ...] = ("name", "sys_path", "sys_argv", "orig_dir", "dir", "start_method")
    kept += ("init_main_from_name", "init_main_from_path") if _MAIN in packed else ()
    return {name: found[name] for name in kept if found.get(name) is not None}


def write_message(head: Mapping[str, Any], packed: bytes) -> int:
    """A file in memory with both: its descriptor, at its beginning."""
    text = json.dumps(head).encode()
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("fairlead-job", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as unnamed:
            file = os.dup(unnamed.fileno())
    with os.fdopen(os.dup(file), "wb") as stream:
        stream.write(_HEAD.pack(len(text), len(packed)))
        stream.write(text)
        stream.write(packed)
    os.lseek(file, 0, os.SEEK_SET)
    return file


def read_message(file: int) -> tuple[dict[str, Any], bytes]:
    """Both again; closes the file."""
    with os.fdopen(file, "rb") as stream:
        head, body = _HEAD.unpack(stream.read(_HEAD.size))
        return json.loads(stream.read(head)), stream.read(body)


def _main_names(trainer: object) -> list[str]:
    """What a trainer needs of the main script."""
    found: list[str] = []

    class Names(pickle.Pickler):
        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, (type, types.FunctionType)) and obj.__module__ == "__main__":
                found.append(obj.__qualname__)
            return NotImplemented

    Names(io.BytesIO(), protocol=5).dump(trainer)
    return found


def _main_can_be_imported() -> bool:
    main = sys.modules["__main__"]
    if getattr(main, "__spec__", None) is not None:
        return True
    path = getattr(main, "__file__", None)
    return path is not None and Path(path).is_file()


def _culprit(value: object, path: str, depth: int = _DEPTH) -> tuple[str, str]:
    """The innermost part that cannot be pickled: where it stands, and what it is."""
    if depth:
        for name, part in _parts(value):
            if not _crosses(part):
                return _culprit(part, f"{path}{name}", depth - 1)
    if isinstance(value, types.FunctionType):
        return path, "a lambda" if value.__name__ == "<lambda>" else f"the local function {value.__qualname__}"
    if isinstance(value, type):
        return path, f"the local class {value.__qualname__}"
    kind = type(value)
    local = " of a local class" if "<locals>" in kind.__qualname__ else ""
    return path, f"a {kind.__qualname__.rpartition('.')[2]}{local}"


def _parts(value: object) -> list[tuple[str, object]]:
    if isinstance(value, Mapping):
        return [(f"[{key!r}]", part) for key, part in value.items()]
    if isinstance(value, (list, tuple)):
        return [(f"[{i}]", part) for i, part in enumerate(value)]
    if isinstance(value, (type, types.FunctionType, types.MethodType, types.ModuleType)):
        return []
    found = dict(getattr(value, "__dict__", {}))
    for kind in type(value).__mro__:
        names = getattr(kind, "__slots__", ())
        for name in (names,) if isinstance(names, str) else names:
            if hasattr(value, name):
                found[name] = getattr(value, name)
    return [(f".{name}", part) for name, part in found.items()]


def _crosses(value: object) -> bool:
    try:
        pickle.dumps(value, protocol=5)
    except Exception:
        return False
    return True
