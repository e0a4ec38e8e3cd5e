"""A fleet whose process is killed with -9, again and again, is the fleet that never was: bit for bit."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fairlead as fl
from fairlead import _core
from fairlead.journal import read

KILLS = int(os.environ.get("FAIRLEAD_FLEET_KILLS", "10"))
NARROW = fl.Settings(k=24, history=16, psi_reference=20, psi_window=20, remember=50)

# Goes on after the last step that the journal knows of, and tells every event that it was promised.
CHILD = """
import importlib.util, os, sys, warnings
conftest, desk, seed, stop = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
spec = importlib.util.spec_from_file_location("life", conftest)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
import fairlead as fl
from fairlead.journal import read
warnings.simplefilter("ignore", fl.JournalWarning)
now = [0]
settings = fl.Settings(k=24, history=16, psi_reference=20, psi_window=20, remember=50)
fleet = fl.Fleet.open(desk, settings=settings, clock=lambda: now[0], snapshot_every=2000, segment_bytes=1 << 18)
fleet.sync()  # what is only accepted is not there to be read yet
first = fleet.journal.accepted
here = [e for e in read(desk, first=max(first - 20, 1)) if e.type not in ("name", "gap", "dropped")][-1]
# A task without its answer is half of a step: it is done again.
i = here.time - (1 if here.type == "task" else 0)
os.write(1, b"opened %d %d\\n" % (first, i))
step = module.life(seed)
while i < stop:
    now[0] = i + 1
    step(fleet, i)
    os.write(1, b"%d\\n" % fleet.journal.accepted)
    i += 1
fleet.close()
os.write(1, b"done\\n")
"""


def run(desk: Path, seed: int, stop: int, seconds: float | None) -> tuple[int, int, int]:
    """Runs a child, to the end or until it is killed: the events it found, its first step, and the last promise."""
    conftest = str(Path(__file__).with_name("conftest.py"))
    command = [sys.executable, "-c", CHILD, conftest, str(desk), str(seed), str(stop)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        opened = child.stdout.readline().split()
        assert len(opened) == 3, child.stderr.read().decode()
        said = b""
        if seconds is None:
            said = child.stdout.read()
        else:
            os.set_blocking(child.stdout.fileno(), False)
            end = time.monotonic() + seconds
            while time.monotonic() < end:  # so that the pipe does not hold it up
                said += child.stdout.read() or b""
                time.sleep(0.0002)
            child.send_signal(signal.SIGKILL)
            os.set_blocking(child.stdout.fileno(), True)
            said += child.stdout.read()
        error = child.stderr.read().decode()
    assert child.returncode == (0 if seconds is None else -signal.SIGKILL), error
    if seconds is None:
        assert said.endswith(b"done\n")
    whole = [line for line in said.split(b"\n")[:-1] if line != b"done"]
    return int(opened[1]), int(opened[2]), int(whole[-1]) if whole else 0


@pytest.mark.skipif(os.name != "posix", reason="the journal is POSIX")
@pytest.mark.parametrize("seed", [1])
def test_killed_at_any_moment_it_goes_on_as_if_nothing_had_happened(
    tmp_path: Path, live: Callable[[int], Callable[[fl.Fleet, int], object]], seed: int
) -> None:
    desk, dice = tmp_path / "desk", random.Random(seed)
    promised = steps = 0
    for kill in range(KILLS):
        # Now and then so soon that it is killed while it opens, or while a snapshot is written.
        found, step, told = run(desk, seed, 10**9, 0.0 if kill % 6 == 5 else dice.random() * 0.08)
        assert found >= promised
        assert step >= steps
        promised, steps = max(promised, told), step
    (found, step, _) = run(desk, seed, 0, None)
    assert found >= promised
    stop = step + 500
    run(desk, seed, stop, None)

    memory, now = fl.Fleet(settings=NARROW, clock=lambda: now[0]), [0]
    do = live(seed)
    for i in range(stop):
        now[0] = i + 1
        do(memory, i)
    expected = memory._core.state()
    for snapshots in (True, False):
        core, found_there = _core.fold_desk(str(desk), snapshots=snapshots)
        assert core.state() == expected
        assert found_there["warnings"] == []
        assert core.passed_over == (0, 0)
    with fl.Fleet.open(desk, clock=lambda: now[0]) as fleet:
        assert repr(fleet.leaderboard()) == repr(memory.leaderboard())
        assert said(fleet) == said(memory)
    numbers = [event.seq for event in read(desk)]
    assert numbers == list(range(1, len(numbers) + 1))


def said(fleet: fl.Fleet) -> list[Any]:
    """What every strategy says of every open task."""
    out: list[Any] = []
    for task in fleet.open_tasks[-50:]:
        for strategy in fl.STRATEGIES:
            try:
                out.append(repr(fleet.decide(task, strategy=strategy)))
            except fl.NoForecastError as error:
                out.append(str(error))
    return out
