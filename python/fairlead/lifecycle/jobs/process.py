"""The process of a job as its parent sees it: started, told what to do, watched, and killed where it must be."""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from multiprocessing import spawn
from pathlib import Path
from typing import Any

from fairlead.lifecycle.failures import Failure
from fairlead.lifecycle.jobs import child
from fairlead.lifecycle.jobs.folder import JobFolder
from fairlead.lifecycle.jobs.orders import Limits, Order

_BEGIN = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from fairlead.lifecycle.jobs.child import main; "
    "main(*map(int, sys.argv[2:]))"
)
_LOOK_S = 0.05
_DYING_S = 0.3
_READ = 1 << 16

Ended = tuple[str, Failure, str]
"""State, failure and message of a process that could not say itself how it ended."""


class Process:
    """A process that trains. Raises OSError where it cannot be started.

    told: the pipe that it tells by; mute: it has closed it. death: a descriptor that can be read once it has died, None
    where the system has none. ended: what it told when it ended, if it did. paused: whether it waits.
    """

    def __init__(self, place: JobFolder, order: Order, message: int) -> None:
        self.place, self.order = place, order
        self.ended: dict[str, Any] | None = None
        self.paused = False
        self.mute = False
        self._limits: Limits = order.limits
        self._buffer = b""
        self._forced: tuple[str, Failure, str] | None = None
        self._kill_at: float | None = None
        self._stop_at: float | None = None
        self._oom_kills = _oom_kills()
        self._most_mb = 0.0
        lease = place.lease()
        self.told, telling = os.pipe()
        try:
            self._popen = self._start(message, telling, lease)
        except BaseException:
            os.close(self.told)
            raise
        finally:
            os.close(telling)
            os.close(lease)
        os.set_blocking(self.told, False)
        self.pid = self._popen.pid
        self.death = _pidfd(self.pid)
        self._began = self._sign = time.monotonic()
        self._waited = 0.0

    def _start(self, message: int, telling: int, lease: int) -> subprocess.Popen[bytes]:
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
        command = [os.fsdecode(spawn.get_executable() or sys.executable), *flags, "-c", _BEGIN]
        command += [json.dumps([*map(str, sys.path)]), str(message), str(telling), str(lease)]
        with self.place.log.open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=(message, telling, lease),
                start_new_session=True,
                # Sets of strings are walked in the same order in every job.
                env={**os.environ, "PYTHONHASHSEED": "0", "PYTHONUNBUFFERED": "1"},
            )

    # What it is asked.

    def send(self, command: bytes) -> None:
        """A command of `child`; of no use to one that is dead."""
        with contextlib.suppress(OSError, ValueError):
            if self._popen.stdin is not None:
                os.write(self._popen.stdin.fileno(), command)

    def stop(self, grace_s: float) -> None:
        """To end after its epoch, and to be killed after `grace_s` seconds."""
        self.send(child.STOP)
        at = time.monotonic() + grace_s
        self._stop_at = at if self._stop_at is None else min(at, self._stop_at)

    # What it tells.

    def heard(self) -> bool:
        """Reads what it told; whether there was any."""
        try:
            fresh = os.read(self.told, _READ)
        except BlockingIOError:
            return False
        self.mute = not fresh
        *lines, self._buffer = (self._buffer + fresh).split(b"\n")
        for line in lines:
            self._take(json.loads(line))
        return bool(lines)

    def _take(self, what: dict[str, Any]) -> None:
        now = time.monotonic()
        if "paused" in what:
            if self.paused and not what["paused"]:
                self._waited += now - self._sign
            self.paused = what["paused"]
        if "end" in what:
            self.ended = what["end"]
        self._sign = now

    # Whether it lives, and may.

    def dead(self) -> bool:
        """Whether it has died; its remains stay until `bury`."""
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:  # somebody else has waited for it
            return True

    def look(self) -> float | None:
        """Kills it where it breaks a limit. Gives when to look again, in seconds; None: when it tells something."""
        now = time.monotonic()
        if self._kill_at is not None:
            if now >= self._kill_at:
                self._kill()
            return max(0.0, self._kill_at - now) + _LOOK_S
        limits, due = self._limits, []
        if self._stop_at is not None:
            if now >= self._stop_at:
                self._force("stopped", Failure.stopped, "stopped by force: it did not end its epoch in time", now)
            due.append(self._stop_at)
        if limits.memory_mb is not None:
            self._watch_memory(limits.memory_mb, now)
            due.append(now + _LOOK_S)
        if limits.wall_s is not None and not self.paused:
            at = self._began + self._waited + limits.wall_s
            if now >= at:
                self._force("failed", Failure.timed_out, f"it ran for more than wall_s={limits.wall_s:g} seconds", now)
            due.append(at)
        if limits.silence_s is not None and not self.paused:
            at = self._sign + limits.silence_s
            if now >= at:
                words = f"no epoch ended for silence_s={limits.silence_s:g} seconds"
                self._force("failed", Failure.hung, words, now, dump=True)
            due.append(at)
        return max(0.0, min(due) - now) if due and self._kill_at is None else _LOOK_S if due else None

    def _watch_memory(self, most: float, now: float) -> None:
        used = child.resident_mb(self.pid)
        if used is not None:
            self._most_mb = max(self._most_mb, used)
            if used > most:
                words = f"it took {used:.0f} MiB of memory, may take memory_mb={most:g}"
                self._force("failed", Failure.out_of_memory, words, now)

    def _force(self, state: str, failure: Failure, words: str, now: float, dump: bool = False) -> None:
        if self._forced is None:
            self._forced = (state, failure, words)
            self._kill_at = now
            if dump:
                with contextlib.suppress(OSError):
                    os.kill(self.pid, child.DUMP)
                self._kill_at = now + _DYING_S
            else:
                self._kill()

    def _kill(self) -> None:
        """It, and all that it has started."""
        with contextlib.suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)

    def kill(self, state: str, failure: Failure, words: str) -> None:
        """At once."""
        self._force(state, failure, words, time.monotonic())

    # What is left of it.

    def bury(self) -> Ended | None:
        """After its death: ends what it left running, and frees what it held. Gives how it ended where it could not
        say so itself."""
        while self.heard():
            pass
        self._kill()
        code = self._popen.wait()
        if self._popen.stdin is not None:
            with contextlib.suppress(OSError):
                self._popen.stdin.close()
        os.close(self.told)
        if self.death is not None:
            os.close(self.death)
        if self.ended is not None:
            return None
        return self._forced_words() or self._verdict(code)

    def _forced_words(self) -> Ended | None:
        if self._forced is None:
            return None
        state, failure, words = self._forced
        if failure is Failure.hung:
            stood = _stood_at(self.place.log)
            words += f"; it stood in {stood}, all of it in {self.place.log}" if stood else ""
        return state, failure, words

    def _verdict(self, code: int) -> Ended:
        if code == -signal.SIGXCPU:
            words = f"it took more than cpu_s={self._limits.cpu_s:g} seconds of processor time"
            return "failed", Failure.timed_out, words
        if code == -signal.SIGKILL and _oom_kills() > self._oom_kills:
            return "failed", Failure.out_of_memory, "the system ran out of memory and killed it"
        if code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
            crash = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL)
            where = f"; where it stood is in {self.place.log}" if -code in crash else ""
            return "failed", Failure.killed, f"its process was killed by {name}{where}"
        last = _last_line(self.place.log)
        said = f" ({last})" if last else ""
        return "failed", Failure.killed, f"its process ended itself with exit status {code}{said}; see {self.place.log}"

    # In a process that was forked off from its parent.

    def forget(self) -> None:
        """Closes what is the parent's, so that its end is seen though this process lives on."""
        if self._popen.stdin is not None:
            with contextlib.suppress(OSError):
                self._popen.stdin.close()
        self._popen.returncode = 0  # it is no child of this process, which need not look for it
        for file in (self.told, *(() if self.death is None else (self.death,))):
            os.close(file)


def kill_orphan(place: JobFolder, timeout: float = 5.0) -> None:
    """Ends a process whose parent is gone, if it still holds the lease of its job."""
    deadline = time.monotonic() + timeout
    while (pid := place.holder()) is not None and time.monotonic() < deadline:
        death = _pidfd(pid) if pid > 0 else None
        # The process of this descriptor is the holder, if the lease is still held after it was opened.
        if pid > 0 and place.holder() == pid:
            with contextlib.suppress(OSError):
                os.killpg(pid, signal.SIGKILL)
        if death is not None:
            readable([death], 0.5)
            os.close(death)
        else:
            time.sleep(0.01)


def readable(files: Iterable[int], timeout: float | None) -> set[int]:
    """Those of these descriptors that can be read, once one can or the seconds have passed; of any number, as they may
    have."""
    poll = select.poll()
    for file in files:
        poll.register(file, select.POLLIN)
    return {file for file, _ in poll.poll(None if timeout is None else max(0, math.ceil(timeout * 1e3)))}


def _pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def _oom_kills() -> int:
    """How many processes the system has killed for memory since it started."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


def _last_line(log: Path) -> str:
    with contextlib.suppress(OSError):
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
            lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
        return lines[-1][:300] if lines else ""
    return ""


def _stood_at(log: Path) -> str:
    """Where the main thread stood, from what `faulthandler` wrote: that thread comes last, its innermost call first."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = log.read_text(errors="replace").splitlines()
        heads = [i for i, line in enumerate(lines) if line.startswith(("Thread 0x", "Current thread 0x"))]
        frame = lines[heads[-1] + 1].strip()  # File "/a/b.py", line 12 in fit
        path, _, rest = frame.removeprefix('File "').partition('", line ')
        number, _, name = rest.partition(" in ")
        return f"{name} ({Path(path).name}:{number})"
    return ""
