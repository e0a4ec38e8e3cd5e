"""Kills writers of a journal at random moments and looks at what is left: nothing acknowledged may be lost, nothing
torn, nothing invented.

    python tests/crash/run.py --kills 10000

Each child opens the journal, which may mean to recover what the last one left, and writes from some threads as fast as
it can: single forecasts, batches of them, raw bytes, cold events, new names; under all sync and overflow policies, into
segments so small that they roll over all the time. What the journal has acknowledged it notes in memory that outlives
it. Then it is killed with -9: anywhere, also while it opens. What is read back must begin with all that was
acknowledged, in each thread's order, byte by byte, under numbers that are dense. Sometimes the next child comes before
anybody has looked.
"""

from __future__ import annotations

import argparse
import mmap
import os
import random
import shutil
import signal
import struct
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path
from typing import Any

from fairlead import Journal, JournalFullError
from fairlead.journal import read, verify

THREADS = 3
BATCH = 20
PER_FOLDER = 25  # kills, then a whole check and a new folder

_HEAD = struct.Struct("<QQQ")
_TIME = 1_700_000_000_000_000_000


def payload(trial: int, thread: int, n: int) -> bytes:
    """The bytes of a raw event follow from who wrote it."""
    rest = (n * 7919 + trial) % 300
    return _HEAD.pack(trial, thread, n) + bytes((trial + n + i) & 255 for i in range(rest))


def task_number(trial: int, thread: int, n: int) -> int:
    """A forecast tells the same with the number of its task."""
    return (trial * THREADS + thread) << 40 | n


class Told:
    """What a child was told, in memory that outlives it: for each thread how many of its events were acknowledged."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)
        self.words = memoryview(self._memory).cast("Q")

    def clear(self) -> None:
        for i in range(THREADS + 1):
            self.words[i] = 0


def write_forever(desk: str, options: dict[str, Any], trial: int, told: Told) -> None:
    """The child's life. It ends with a signal."""
    # Warnings: the recovery of what the last child left.
    warnings.simplefilter("ignore")
    sys.setswitchinterval(5e-5)
    journal = Journal(desk, **options)
    told.words[THREADS] = 1
    model = journal.name("models", f"model {trial}")

    def write(thread: int) -> None:
        n = 0
        kind = random.Random(trial * THREADS + thread)
        while True:
            what = kind.randrange(40)
            size = 1
            try:
                if what == 0:
                    data = {"trial": trial, "thread": thread, "n": n}
                    journal.append("alert", data, time=_TIME + n, model=f"late {trial} {n % 5}")
                elif what == 1:
                    size = BATCH
                    tasks = [task_number(trial, thread, n + i) for i in range(size)]
                    journal.forecasts(tasks, model, None, _TIME, 0.5)
                elif what < 20:
                    journal.append_bytes("custom", _TIME + n, model, None, payload(trial, thread, n))
                else:
                    journal.forecast(task_number(trial, thread, n), model, None, _TIME + n, n / 7)
            except JournalFullError:
                time.sleep(1e-4)
                continue
            n += size
            told.words[thread] = n

    threads = [threading.Thread(target=write, args=(thread,)) for thread in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Checker:
    """Reads what a folder holds, from where it last stopped, and compares it with what was acknowledged."""

    def __init__(self, desk: str) -> None:
        self.desk = desk
        self.next = 1
        self.acknowledged: list[list[int]] = []
        self.seen: list[list[int]] = []
        self.events = self.drained = self.gaps = self.cut = 0

    def add(self, acknowledged: list[int]) -> None:
        self.acknowledged.append(acknowledged)
        self.seen.append([0] * THREADS)

    def check(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            journal = Journal(self.desk, ring_bytes=1 << 14)
        recovery = journal.recovery
        journal.close()
        self.drained += recovery["drained"]
        self.gaps += recovery["gaps"]
        self.cut += recovery["cut_bytes"] > 0
        assert recovery["lost"] == 0, recovery
        for event in read(self.desk, first=self.next):
            assert event.seq == self.next, f"event {event.seq} where {self.next} should be"
            self.next += event.data["n"] if event.type == "gap" else 1
            if event.type in ("gap", "name", "dropped"):
                continue
            trial, thread, n = self._who(event)
            expected = self.seen[trial][thread]
            assert n == expected, f"event {event.seq}: thread {thread} of trial {trial} wrote {n}, not {expected}"
            self.seen[trial][thread] = n + 1
            self.events += 1
        for trial, acknowledged in enumerate(self.acknowledged):
            for thread, n in enumerate(acknowledged):
                found = self.seen[trial][thread]
                assert found >= n, f"trial {trial}, thread {thread}: {n} events were acknowledged, {found} are there"

    def _who(self, event: Any) -> tuple[int, int, int]:
        data = event.data
        if event.type == "custom":
            raw: bytes = data["payload"]
            trial, thread, n = _HEAD.unpack_from(raw)
            assert raw == payload(trial, thread, n), f"event {event.seq} is not what was written"
            assert (event.time, event.model) == (_TIME + n, f"model {trial}"), event
            return trial, thread, n
        if event.type == "forecast":
            who, n = data["task"] >> 40, data["task"] & (1 << 40) - 1
            trial, thread = divmod(who, THREADS)
            assert event.model == f"model {trial}", event
            batched = event.time == _TIME and n > 0
            assert batched or event.time == _TIME + n, event
            return trial, thread, n
        assert event.type == "alert", event
        assert event.model == f"late {data['trial']} {data['n'] % 5}", event
        return data["trial"], data["thread"], data["n"]

    def finish(self) -> None:
        report = verify(self.desk)
        assert report.whole, str(report)


def options_for(rng: random.Random) -> dict[str, Any]:
    return {
        "sync": rng.choice(["never", "interval", "always"]),
        "sync_interval": "1ms",
        "overflow": rng.choice(["fail", "fail", "drop", "spill"]),
        "ring_bytes": 1 << rng.randrange(14, 19),
        "spill_bytes": 1 << 18,
        "segment_bytes": 1 << rng.randrange(16, 20),
    }


def kill_loop(kills: int, seed: int, where: Path) -> str:
    """Gives a line that says what was seen. Raises AssertionError where anything is not as it should be."""
    rng = random.Random(seed)
    told = Told()
    start = time.monotonic()
    totals = {"events": 0, "drained": 0, "gaps": 0, "cut": 0}
    opened = acknowledged = 0
    checker: Checker | None = None
    for kill in range(kills):
        if checker is None:
            checker = Checker(str(where / f"desk-{kill}"))
        trial = len(checker.acknowledged)
        told.clear()
        options = options_for(rng)
        child = os.fork()
        if child == 0:
            try:
                write_forever(checker.desk, options, trial, told)
            except BaseException as error:
                print(f"seed {seed}, kill {kill}: the child failed: {error!r}", file=sys.stderr, flush=True)
            finally:
                os._exit(1)
        if rng.random() < 0.75:  # else at any moment, opening included
            while told.words[THREADS] == 0 and os.waitpid(child, os.WNOHANG) == (0, 0):
                time.sleep(2e-4)
        time.sleep(rng.random() ** 2 * 0.03)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), f"seed {seed}, kill {kill}: the child ended by itself"
        opened += told.words[THREADS]
        counts = [told.words[thread] for thread in range(THREADS)]
        acknowledged += sum(counts)
        checker.add(counts)
        last = kill + 1 == kills or trial + 1 == PER_FOLDER
        if last or rng.random() < 0.6:  # else the next child finds what this one left
            try:
                checker.check()
                if last:
                    checker.finish()
            except Exception as error:
                raise AssertionError(f"seed {seed}, kill {kill}, left in {checker.desk}: {error}") from error
        if last:
            for what in totals:
                totals[what] += getattr(checker, what)
            shutil.rmtree(checker.desk)
            checker = None
    return (
        f"{kills} kills in {time.monotonic() - start:.0f} s (seed {seed}), {kills - opened} of them while opening: "
        f"{acknowledged} events acknowledged, {totals['events']} found, {totals['drained']} of them in shared memory "
        f"only; {totals['gaps']} unfinished calls, {totals['cut']} torn ends; 0 lost, 0 torn, 0 invented"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--kills", type=int, default=10_000, help="how many (default: 10000)")
    parser.add_argument("--seed", type=int, default=None, help="of the moments (default: another one each time)")
    args = parser.parse_args()
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(2**32)
    where = Path(tempfile.mkdtemp(prefix="fairlead-crash-"))
    try:
        print(kill_loop(args.kills, seed, where))
    except AssertionError as error:
        print(f"FAILED: {error}", file=sys.stderr)
        return 1
    shutil.rmtree(where)
    return 0


if __name__ == "__main__":
    sys.exit(main())
