"""The process of a job: sets itself up, trains, and tells its parent how it goes."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import math
import multiprocessing.spawn
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fairlead.lifecycle.failures import Stopped
from fairlead.lifecycle.jobs import folder
from fairlead.lifecycle.jobs.control import Control, Orphaned
from fairlead.lifecycle.jobs.crossing import read_message, unpack
from fairlead.lifecycle.jobs.folder import JobFolder
from fairlead.lifecycle.jobs.orders import Limits
from fairlead.lifecycle.jobs.training import Training

PAUSE, RESUME, STOP = b"p", b"r", b"s"
DUMP = signal.SIGUSR2
"""Has every thread's traceback written to the log."""

_BEAT_S = 1.0
_ALONE_S = 5.0
_SLACK = 512 << 20
_CPU_GRACE_S = 5


def main(message: int, told: int, lease: int) -> None:
    """Runs the job that the message tells of. Standard input brings commands, and ends with the parent.

    message, told, lease: file descriptors of what is asked, of the pipe to the parent, and of the locked lease.
    """
    commands = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.set_inheritable(lease, False)
    os.set_inheritable(told, False)
    faulthandler.enable()
    faulthandler.register(DUMP, all_threads=True)
    head, packed = read_message(message)
    place = JobFolder(Path(head["folder"]))
    order = place.order()
    control = Control()
    folder.beat(lease, os.getpid(), time.time_ns(), *_use())
    threading.Thread(target=_listen, args=(commands, control), daemon=True).start()
    threading.Thread(target=_beat, args=(lease,), daemon=True).start()

    def tell(what: Mapping[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):  # the parent is gone; `_listen` sees to that
            os.write(told, json.dumps(what).encode() + b"\n")

    def training(trainer: Any, examples: Any, validation: Any) -> Training:
        known = {name: head[name] for name in ("attempt", "resumed", "started")}
        return Training(place, order, trainer, examples, validation, control=control, tell=tell, **known)

    try:
        hold_to(order.limits)
        _prepare(head["surroundings"])
        parts = unpack(packed)
        del packed
    except BaseException as error:
        end = training(None, None, None).failed(error)
    else:
        end = training(*parts).run()
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    tell({"end": end.as_dict()})
    os._exit(0)  # threads that a trainer has left behind are not waited for


def hold_to(limits: Limits) -> None:
    """Takes the limits that the system itself enforces, and steps back behind others."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if limits.cpu_s is not None:
        _limit(resource.RLIMIT_CPU, math.ceil(limits.cpu_s), _CPU_GRACE_S)
    if limits.memory_mb is not None:
        # Resident memory is watched by the parent. This refuses at once what asks for far more than it may have.
        _limit(resource.RLIMIT_DATA, int(limits.memory_mb * 2**20) + _SLACK, 0)
    if limits.cpus is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-limits.cpus :])
    os.nice(limits.nice)
    with contextlib.suppress(OSError):  # where memory runs out, the system is to take this one first
        Path("/proc/self/oom_score_adj").write_text("500")


def _limit(which: int, soft: int, grace: int) -> None:
    _, hard = resource.getrlimit(which)
    most = soft + grace if hard == resource.RLIM_INFINITY else min(soft + grace, hard)
    resource.setrlimit(which, (min(soft, most), most))


def _prepare(head: dict[str, Any]) -> None:
    current = multiprocessing.process.current_process()
    current._inheriting = True  # type: ignore[attr-defined]  # whoever starts a process now is told what is wrong
    try:
        multiprocessing.spawn.prepare(head)
    finally:
        del current._inheriting  # type: ignore[attr-defined]


def _listen(commands: int, control: Control) -> None:
    while command := os.read(commands, 1):
        if command == PAUSE:
            control.pause()
        elif command == RESUME:
            control.resume()
        else:
            control.stop(Stopped("stopped"))
    control.stop(Orphaned("the process that started it is gone"))
    time.sleep(_ALONE_S)
    os._exit(1)


def _beat(lease: int) -> None:
    pid = os.getpid()
    while True:
        time.sleep(_BEAT_S)
        with contextlib.suppress(OSError):
            folder.beat(lease, pid, time.time_ns(), *_use())


def _use() -> tuple[float, float]:
    """Resident memory in MiB and seconds of processor time."""
    return resident_mb(os.getpid()) or 0.0, time.process_time()


def resident_mb(pid: int) -> float | None:
    """The resident memory of a process in MiB; None where it is not known."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except (OSError, IndexError):
        return None
    return int(pages) * resource.getpagesize() / 2**20
