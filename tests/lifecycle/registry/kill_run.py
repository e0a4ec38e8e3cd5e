"""Kills writers of a registry at every call that changes its folder, and at random moments, and looks at what is left.

    python tests/lifecycle/registry/kill_run.py --kills 2000

Every point: a child does one thing (a first version, another one, the same weights again, a large file, a promotion, a
rollback, a deletion, a collection), and dies by kill -9 before the n-th call of `disk.py`, after it, or in the middle
of a write; for every n there is. What then is there must be as before or as after, whole, loadable and writable; what
had been acknowledged must be there.

Power cuts: see `power_cut.py`.

Random moments: children register, promote, roll back and delete as fast as they can, and note in memory that outlives
them what was acknowledged; then they are killed.
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
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from power_cut import Recorder, put

from fairlead.lifecycle import AliasMovedError, Registry, RegistryWarning, UnknownVersionError, VersionInUseError
from fairlead.lifecycle.registry import disk, registry

CALLS = ("create", "create_new", "write", "pwrite", "truncate", "sync", "datasync", "rename", "link", "unlink", "mkdir")
MOMENTS = ("before", "within", "after")


def weights(n: int) -> bytes:
    """A file of weights; the number comes back by `number_of`."""
    return b'{"bias": %d, "more": "%s"}' % (n, b"x" * (n % 7 * 100))


def _first(there: Registry) -> object:
    return there.register("new", weights(9), metrics={"accuracy": 0.5})


def _next(there: Registry) -> object:
    return there.register("m", weights(9), metrics={"accuracy": 0.5})


def _again(there: Registry) -> object:
    return there.register("m", weights(1))


def _large(there: Registry) -> object:
    registry.SMALL = 10
    path = there.folder.with_suffix(".json")
    path.write_bytes(weights(9))
    return there.register("m", path)


def _heal(there: Registry) -> object:
    path = there.path("m", 3)
    path.chmod(0o644)
    path.write_bytes(b"{}")
    return there.register("m", weights(3))


def _grow(there: Registry) -> object:
    return there.promote("m", 3, reason="x" * 9_000)


DOINGS: dict[str, Callable[[Registry], object]] = {
    "first": _first,
    "next": _next,
    "again": _again,
    "large": _large,
    "heal": _heal,
    "grow": _grow,
    "promote": lambda there: there.promote("m", 3, expect=2),
    "rollback": lambda there: there.rollback("m"),
    "unalias": lambda there: there.unalias("m", "champion"),
    "delete": lambda there: there.delete("m", 3),
    "delete shared": lambda there: there.delete("m", 4),
    "collect": lambda there: there.collect(),
    "repair": lambda there: there.repair(),
}


def prepare(folder: Path) -> Registry:
    """Four versions, two of them with the same weights; the champion is the second; something left over."""
    there = Registry(folder, clock=lambda: 1_700_000_000_000_000_000)
    for n in (1, 2, 3, 1):
        there.register("m", weights(n))
    for n in (1, 2):
        there.promote("m", n)
    (folder / "objects" / ("0" * 64 + ".json")).write_bytes(b"{}")
    (folder / "models" / "m" / "2.json").unlink()
    return there


class Killer:
    """Counts the calls of `disk.py`, and dies at one of them."""

    def __init__(self, at: int, moment: str, wrap: Callable[[str, Any], None]) -> None:
        self.n = 0
        self.at = at
        self.moment = moment
        for name in CALLS:
            wrap(name, self._killing(name, getattr(disk, name)))

    def _killing(self, name: str, call: Any) -> Any:
        def killed(*given: Any) -> Any:
            self.n += 1
            mine = self.n == self.at
            if mine and self.moment == "within" and name in ("write", "pwrite"):
                data = memoryview(given[1])
                call(given[0], data[: len(data) // 2], *given[2:])
            if mine and self.moment != "after":
                self.die()
            found = call(*given)
            if mine:
                self.die()
            return found

        return killed

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def state_of(folder: Path) -> tuple[Any, ...]:
    """All that a registry says, checked: every version loads."""
    there = Registry(folder)
    found = []
    for name in there.names():
        versions = there.versions(name)
        for version in versions:
            assert there.load(name, version) is not None
        found.append((name, versions, there.aliases(name), there.history(name)))
    return tuple(found)


def points(doing: str, base: Path) -> int:
    """How many calls there are."""
    folder = base / "count"
    there = prepare(folder)
    was = {name: getattr(disk, name) for name in CALLS}
    killer = Killer(-1, "before", lambda name, call: setattr(disk, name, call))
    large = registry.SMALL
    try:
        DOINGS[doing](there)
    finally:
        registry.SMALL = large
        for name, call in was.items():
            setattr(disk, name, call)
        shutil.rmtree(folder)
    return killer.n


def kill_at_every_point(doing: str, base: Path, moments: tuple[str, ...] = MOMENTS) -> int:
    """Gives how many children died."""
    died = 0
    clock = 1_700_000_000_000_000_000
    whole = base / "whole"
    before = repr(state_of(prepare(whole).folder))
    large = registry.SMALL
    DOINGS[doing](Registry(whole, clock=lambda: clock))
    registry.SMALL = large
    after = repr(state_of(whole))
    shutil.rmtree(whole)
    for at in range(1, points(doing, base) + 1):
        for moment in moments:
            folder = base / f"at-{at}-{moment}"
            prepare(folder)
            acknowledged = mmap.mmap(-1, mmap.PAGESIZE)
            child = os.fork()
            if child == 0:
                try:
                    there = Registry(folder, clock=lambda: clock)
                    Killer(at, moment, lambda name, call: setattr(disk, name, call))
                    DOINGS[doing](there)
                    acknowledged[0] = 1
                finally:
                    os._exit(1)
            status = os.waitpid(child, 0)[1]
            died += os.WIFSIGNALED(status)
            where = f"{doing}, killed {moment} call {at}"
            assert os.WIFSIGNALED(status) == (not acknowledged[0]), where
            check_left(folder, before, after, bool(acknowledged[0]), where)
            shutil.rmtree(folder)
    return died


def check_left(folder: Path, before: str, after: str, acknowledged: bool, where: str) -> None:
    """It is as before or as after, and goes on."""
    there = Registry(folder)
    if where.startswith("heal") and not there.verify().whole:  # damaged on purpose, and so until it is done
        assert not acknowledged, where
        there.register("m", weights(3))
    else:
        left = repr(state_of(folder))
        there_are = (after,) if acknowledged else (before, after)
        assert left in there_are, f"{where}: {left}\nbefore {before}\nafter {after}"
    check = there.verify()
    assert check.whole, f"{where}: {check}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RegistryWarning)
        made = there.register("m", weights(5))
        there.promote("m", made)
    there.register("new", weights(6))
    there.repair()
    there.collect()
    check = there.verify()
    assert check.whole, f"{where}: {check}"
    assert not check.problems, f"{where}: {check}"
    assert there.load("m")["bias"] == 5, where


# --- power cuts ---


def cut_at_every_point(doing: str, base: Path, seed: int, variants: int) -> int:
    """What a power cut may leave after each call, in its extremes and some at random. Gives how many were looked at."""
    clock = 1_700_000_000_000_000_000
    rng = random.Random(seed)
    folder = base / "cut"
    if doing == "heal":
        return 0  # it begins by damaging the weights, not through `disk.py`
    prepare(folder)
    before = repr(state_of(folder))
    recorder = Recorder(folder)
    large = registry.SMALL
    recorder.record(lambda: DOINGS[doing](Registry(folder, clock=lambda: clock)))
    registry.SMALL = large
    after = repr(state_of(folder))
    shutil.rmtree(folder)
    seen = 0
    for n in range(len(recorder.calls) + 1):
        for how in ("least", "most", *["any"] * variants):
            put(folder, *recorder.after_cut(n, rng, how))
            where = f"{doing}, {how} after call {n} of {len(recorder.calls)}"
            check_left(folder, before, after, n == len(recorder.calls), where)
            shutil.rmtree(folder)
            seen += 1
    return seen


# --- random moments ---

_NOTE = struct.Struct("<QQQ")  # versions registered, the newest generation, the version it points to
NAMES = ("a", "b")


def _work(folder: Path, seed: int, note: mmap.mmap, unsynced: bool) -> None:
    """Registers, promotes, rolls back, deletes, and notes what it was told: of the model of its own alone."""
    if unsynced:
        for name in ("sync", "datasync"):
            setattr(disk, name, lambda handle: None)
    warnings.simplefilter("ignore", RegistryWarning)
    rng = random.Random(seed)
    there = Registry(folder)
    name = NAMES[seed % len(NAMES)]
    n = 0
    while True:
        n += 1
        try:
            version = there.register(name, weights(rng.randrange(12)), metrics={"n": n})
            note[0:8] = struct.pack("<Q", version.number)
            moved = there.promote(name, version)
            note[8:24] = struct.pack("<QQ", moved.generation, moved.version or 0)
            if rng.random() < 0.3:
                moved = there.rollback(name)
                note[8:24] = struct.pack("<QQ", moved.generation, moved.version or 0)
            if rng.random() < 0.5:
                there.delete(name, rng.choice(there.versions(name)))
            if rng.random() < 0.1:
                there.collect()
        except (AliasMovedError, VersionInUseError, UnknownVersionError):
            pass


def kill_at_random(base: Path, kills: int, seed: int, unsynced: bool = True) -> tuple[int, int]:
    """Two children at a time, each with a model of its own in one registry; gives how many died, and how many versions
    were acknowledged."""
    rng = random.Random(seed)
    folder = base / "random"
    died = acknowledged = 0
    while died < kills:
        if died % 50 == 0:
            shutil.rmtree(folder, ignore_errors=True)
        notes = [mmap.mmap(-1, mmap.PAGESIZE) for _ in NAMES]
        was = [Registry(folder).history(name)[-1:] if name in Registry(folder).names() else () for name in NAMES]
        children = []
        for which, note in enumerate(notes):
            child = os.fork()
            if child == 0:
                try:
                    _work(folder, rng.randrange(2**31) * len(NAMES) + which, note, unsynced)
                finally:
                    os._exit(3)
            children.append(child)
            rng.random()
        time.sleep(rng.random() ** 2 * 0.05)
        for child in children:
            os.kill(child, signal.SIGKILL)
        for child in children:
            assert os.WIFSIGNALED(os.waitpid(child, 0)[1]), "a child failed"
            died += 1
        state_of(folder)
        there = Registry(folder)
        check = there.verify()
        assert check.whole, check
        for name, note, old in zip(NAMES, notes, was, strict=True):
            number, generation, version = _NOTE.unpack(note[: _NOTE.size])
            if not number:
                continue
            acknowledged += 1
            history = there.history(name, "champion")
            assert [alias.generation for alias in history] == list(range(1, len(history) + 1))
            known = {v.number for v in there.versions(name)}
            assert max([*known, *(a.version or 0 for a in history)]) >= number, (
                "a version that was acknowledged is gone"
            )
            if generation:
                assert len(history) >= generation, "a promotion that was acknowledged is gone"
                assert history[generation - 1].version == version, "another one stands in its place"
            assert list(history[: len(old)]) or not old
    return died, acknowledged


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=2000, help="at random moments (default: 2000)")
    parser.add_argument("--cuts", type=int, default=20, help="of the power, at random, after each call (default: 20)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    parser.add_argument("--quick", action="store_true", help="die within calls alone, not before and after them too")
    parser.add_argument("--synced", action="store_true", help="with real syncs: no difference to kill -9, but slower")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        base = Path(name)
        for doing in DOINGS:
            moments = ("within",) if arguments.quick else MOMENTS  # within what is no write is before it
            print(f"{doing}: {kill_at_every_point(doing, base, moments)} points")
            print(f"{doing}: {cut_at_every_point(doing, base, arguments.seed, arguments.cuts)} power cuts")
        died, acknowledged = kill_at_random(base, arguments.kills, arguments.seed, not arguments.synced)
    print(f"{died} killed at random moments (seed {arguments.seed}), {acknowledged} had acknowledged something")
    return 0


if __name__ == "__main__":
    sys.exit(main())
