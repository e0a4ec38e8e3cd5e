"""A disk that is full, may not be written to, or fails: clear errors, and nothing has changed."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kill_run import CALLS, DOINGS, points, prepare, state_of
from registry_doubles import weights

from fairlead.lifecycle import Registry, RegistryStorageError, RegistryWarning
from fairlead.lifecycle.failures import Failure
from fairlead.lifecycle.registry import disk


def refusing(monkeypatch: pytest.MonkeyPatch, at: int, error: int, for_good: bool) -> Callable[[], int]:
    """The n-th call of `disk.py` fails (and all after it); a write after half of it was written. Gives how many did."""
    n = failed = 0

    def wrap(name: str, call: Any) -> Any:
        def refused(*given: Any) -> Any:
            nonlocal n, failed
            n += 1
            if n == at or (for_good and n > at):
                failed += 1
                if name in ("write", "pwrite") and error == errno.ENOSPC:
                    data = memoryview(given[1])
                    call(given[0], data[: len(data) // 2], *given[2:])
                raise OSError(error, os.strerror(error), str(given[0]))
            return call(*given)

        return refused

    for name in CALLS:
        monkeypatch.setattr(disk, name, wrap(name, getattr(disk, name)))
    return lambda: failed


def raised_by(call: Callable[[], object]) -> RegistryStorageError | None:
    try:
        call()
    except RegistryStorageError as error:
        return error
    return None


@pytest.mark.usefixtures("unsynced")
@pytest.mark.parametrize(
    ("error", "for_good"),
    [(errno.ENOSPC, False), (errno.ENOSPC, True), (errno.EROFS, True), (errno.EIO, False), (errno.EIO, True)],
    ids=["full once", "full", "read-only", "failing once", "failing"],
)
@pytest.mark.parametrize("doing", [doing for doing in DOINGS if doing not in ("heal", "repair", "collect")])
def test_what_the_disk_refuses_has_not_happened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, doing: str, error: int, for_good: bool
) -> None:
    before = repr(state_of(prepare(tmp_path / "before").folder))
    for at in range(1, points(doing, tmp_path) + 1):
        there = prepare(tmp_path / "there")
        with monkeypatch.context() as patch:
            patch.setattr("fairlead.lifecycle.registry.registry.SMALL", 1 << 26)
            refused = refusing(patch, at, error, for_good)
            raised = raised_by(lambda there=there: DOINGS[doing](there))
            assert refused()
        if raised is None:  # no harm done: room for later entries, the card of a first version, what is taken away
            assert repr(state_of(there.folder)) != before, (doing, at)
        elif "it is not known whether" in str(raised):  # nor may be taken back, on a disk that fails for good
            assert for_good
            assert raised.errno == error
        else:
            assert repr(state_of(there.folder)) == before, (doing, at)
            assert raised.errno == error
            assert (raised.failure is Failure.disk_full) == (error == errno.ENOSPC)
            told = {errno.ENOSPC: "the disk is full", errno.EROFS: "may not be written to"}.get(error, "cannot")
            assert told in str(raised)
        assert Registry(there.folder).verify().whole
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RegistryWarning)  # half an entry, on a disk that fails for good
            there.promote("m", there.register("m", weights(8)))
        assert there.load("m")["w"][0] == 8.0
        shutil.rmtree(there.folder)


def test_promotions_and_rollbacks_need_no_room(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log has some in advance: on a full disk the way back is open."""
    for n in (1, 2):
        registry.register("m", weights(n))
        registry.promote("m", n)
    pwrite = disk.pwrite

    def full(handle: int, data: bytes, offset: int) -> None:
        if offset + len(data) > os.fstat(handle).st_size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        pwrite(handle, data, offset)

    monkeypatch.setattr(disk, "pwrite", full)
    n = 0
    while (raised := raised_by(lambda n=n: registry.promote("m", 1 + n % 2))) is None:
        n += 1
    assert str(raised).startswith("the disk is full: cannot move champion of 'm'")
    assert n > 50
    assert len(registry.history("m")) == n + 2
    monkeypatch.undo()
    assert registry.rollback("m").generation == n + 3


FULL = """
import sys, errno
from pathlib import Path
from fairlead.lifecycle import Registry, RegistryStorageError
registry = Registry(sys.argv[1])
n = 0
try:
    while True:
        n += 1
        registry.register("m", b'{"n": %d, "x": "%s"}' % (n, b"x" * 20_000))
except RegistryStorageError as error:
    assert error.errno == errno.ENOSPC, error
    print(error)
there = Registry(sys.argv[1])
assert len(there.versions("m")) == n - 1
assert there.verify().whole, there.verify()
for k in range(10):
    there.promote("m", n - 1 - k % 2)
there.rollback("m")
there.delete("m", 1)
there.collect()
there.register("m", b'{"n": 0}')
assert there.verify().whole
print("done", n)
"""


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    mount = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs -o size=1m none "{tmp_path}" && exec "$@"', "sh"]
    if shutil.which("unshare") is None or subprocess.run([*mount, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    command = [*mount, sys.executable, "-c", FULL, str(tmp_path / "registry")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the disk is full: cannot register 'm'" in done.stdout
    assert "nothing was changed" in done.stdout


READ_ONLY = """
import sys
from fairlead.lifecycle import Registry, RegistryStorageError
registry = Registry(sys.argv[1])
assert registry.load("m")["n"] == 1
assert registry.serve("m").version == 1
assert registry.verify().whole
for call in (
    lambda: registry.register("m", b"{}"),
    lambda: registry.register("new", b"{}"),
    lambda: registry.promote("m", 1),
    lambda: registry.delete("m", 2),
    lambda: registry.collect(),
):
    try:
        call()
    except RegistryStorageError as error:
        print(error)
    else:
        raise AssertionError
"""


def test_a_folder_that_may_only_be_read(registry: Registry) -> None:
    registry.register("m", b'{"n": 1}')
    registry.register("m", b'{"n": 2}')
    registry.promote("m", 1)
    folder = registry.folder
    mount = f'mount --bind "{folder}" "{folder}" && mount -o remount,ro,bind "{folder}" && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", mount, "sh"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*command, "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("no file system may be mounted here")
    run = [*command, sys.executable, "-c", READ_ONLY, str(folder)]
    done = subprocess.run(run, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("may not be written to") == 5
