"""What every file of rows is made of: a row compares ours with peers on the same data.

A file `rows/<family>.py` has one function, `rows(size) -> Iterator[Row]`; `run.py` times them all beside their
peers and `bench_regression.py` times ours alone under pytest-benchmark.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Run = Callable[[], Any]


@dataclass(frozen=True)
class Size:
    """How much data: `scaled(1_000_000)` is 1,000,000, or a tenth of it in a quick run."""

    quick: bool = False

    def scaled(self, n: int) -> int:
        return n // 10 if self.quick else n


@dataclass(frozen=True)
class Row:
    """One comparison. One call of `ours`, or of a peer, does `work` units (matches, samples, forecasts).

    error: ours against the oracle, in words. bar: what was aimed at. peer_work: of peers that are too slow for all of
    the data, how many units a call does. Each call of a `Run` must do all the work anew.
    """

    name: str
    unit: str
    work: int
    ours: Run
    peers: dict[str, Run] = field(default_factory=dict)
    error: str = "-"
    bar: str = ""
    peer_work: dict[str, int] = field(default_factory=dict)


MISSING: dict[str, str] = {}
"""Peers that could not be imported, and why. They are named in the results."""


def peer(name: str) -> Any:
    """The module, or None, with its name noted in MISSING."""
    try:
        return importlib.import_module(name)
    except Exception as error:  # a peer may fail in any way while it is imported
        MISSING[name] = f"{type(error).__name__}: {error}"
        return None


def that_runs(name: str, run: Run, note: str | None = None) -> dict[str, Run]:
    """The peer under its name, or nothing, with `note` (or the name) in MISSING, where a first call of it fails."""
    try:
        run()
    except Exception as error:  # a peer may fail in any way
        MISSING[note or name] = f"{type(error).__name__}: {error}"
        return {}
    return {name: run}


@contextlib.contextmanager
def all_cores() -> Iterator[None]:
    """Takes off the pin to one core for a while: for what has threads of its own."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    pinned = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    try:
        yield
    finally:
        os.sched_setaffinity(0, pinned)


@contextlib.contextmanager
def own_core() -> Iterator[None]:
    """One core for the thread that is timed, that which serves the fewest interrupts of devices; the threads that are
    made meanwhile have the others, once `share_out` is called. So a loop is run that counts its nanoseconds."""
    if not hasattr(os, "sched_setaffinity") or (os.cpu_count() or 1) < 2:
        yield
        return
    pinned = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {_quietest_core()})
    try:
        yield
    finally:
        os.sched_setaffinity(0, pinned)


def share_out() -> None:
    """Gives all threads but this one the cores that this one does not have."""
    if not hasattr(os, "sched_setaffinity") or (os.cpu_count() or 1) < 2:
        return
    rest = set(range(os.cpu_count() or 1)) - os.sched_getaffinity(0)
    for thread in Path("/proc/self/task").iterdir():
        if rest and int(thread.name) != threading.get_native_id():
            os.sched_setaffinity(int(thread.name), rest)


def _quietest_core() -> int:
    served = [0] * (os.cpu_count() or 1)
    for line in Path("/proc/interrupts").read_text().splitlines():
        name, *counts = line.split()
        if name.rstrip(":").isdigit():  # those without a number are no devices'
            for core, count in enumerate(counts[: len(served)]):
                served[core] += int(count)
    return served.index(min(served))


@dataclass
class Timing:
    """Seconds of the calls of one run."""

    calls: list[float]

    @property
    def fastest(self) -> float:
        return min(self.calls)

    @property
    def median(self) -> float:
        return sorted(self.calls)[len(self.calls) // 2]


def interleaved(runs: dict[str, Run], repeats: int, seconds: float) -> dict[str, Timing]:
    """Each run called in turns, so that a busy machine hurts all alike: at most `repeats` times, and no longer than
    `seconds` each, but at least once. The first call of each, which fills caches and compiles, is not counted."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    spent = dict.fromkeys(runs, 0.0)
    for name, run in runs.items():
        start = time.perf_counter()
        run()
        spent[name] = time.perf_counter() - start
    order = list(runs.items())
    for repeat in range(repeats):
        turn = repeat % len(order)  # nobody always follows the one that leaves the memory cold
        for name, run in order[turn:] + order[:turn]:
            if repeat > 0 and spent[name] > seconds:
                continue
            start = time.perf_counter()
            run()
            took = time.perf_counter() - start
            taken[name].append(took)
            spent[name] += took
    return {name: Timing(calls) for name, calls in taken.items()}
