"""What the system may do to a journal while it runs: no room, no rights, a second writer, a fork, a clock set back.
Each ends in a clear error or goes on; what was acknowledged is there."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import fairlead as fl
from fairlead.journal import read, verify

POSIX_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


def python(code: str, *args: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(code), *args]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(child: subprocess.Popen[str]) -> str:
    out, err = child.communicate(timeout=60)
    assert child.returncode == 0, err
    return out.strip()


def fill(journal: fl.Journal) -> int:
    """Writes until the ring is full; gives how many were accepted."""
    accepted = 0
    while True:
        try:
            accepted = journal.append_bytes("custom", 0, None, None, accepted.to_bytes(8, "little") * 25)
        except fl.JournalWarning:  # told once, and before anything is taken
            continue
        except fl.JournalFullError as error:
            if "ring is full" not in str(error):
                raise
            if journal.failure():  # not just faster than the disk
                return accepted
            time.sleep(0.001)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB. Skips where it may not be mounted."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if not POSIX_ROOT or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("no right to mount a small tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_never_stops_the_loop_and_with_room_all_is_written(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(600 << 10))
    with fl.Journal(small_disk / "desk", ring_bytes=1 << 18, segment_bytes=1 << 16) as journal:
        accepted = fill(journal)
        assert accepted > 1000
        assert "No space left" in journal.failure()
        assert journal.accepted == accepted > journal.written
        with pytest.raises(TimeoutError, match="No space left"):
            journal.wait_durable(timeout=0.01)
        # What was written before is whole, and readers go on.
        assert verify(small_disk / "desk").whole
        ballast.unlink()
        journal.wait_durable(timeout=30)
        assert journal.failure() == ""
        assert journal.append("note", {}) == accepted + 1
    events = [event for event in read(small_disk / "desk") if event.type == "custom"]
    assert [event.data["payload"][:8] for event in events] == [n.to_bytes(8, "little") for n in range(accepted)]


def test_a_limit_on_the_size_of_files_is_a_full_disk(tmp_path: Path) -> None:
    code = """
        import resource, signal, sys
        import fairlead as fl
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        journal = fl.Journal(sys.argv[1], ring_bytes=1 << 16)
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 12, limit[1]))
        n = 0
        try:
            while True:
                n = journal.append_bytes("custom", 0, None, None, bytes(100))
        except fl.JournalFullError:
            assert journal.accepted == n, (journal, n)
        try:
            journal.wait_durable(timeout=0.01)
        except TimeoutError as error:
            assert "File too large" in str(error), error
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        journal.close()
        print(n)
    """
    n = int(finish(python(code, str(tmp_path / "desk"))))
    assert n > 100
    assert [event.seq for event in read(tmp_path / "desk")] == list(range(1, n + 1))


def test_what_a_full_disk_did_not_take_waits_in_shared_memory(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(600 << 10))
    journal = fl.Journal(small_disk / "desk", ring_bytes=1 << 16, segment_bytes=1 << 16)
    accepted = fill(journal)
    assert journal.accepted == accepted
    with pytest.raises(fl.JournalError, match=r"No space left.*events stay in /dev/shm/.*the next open writes them"):
        journal.close()
    ballast.unlink()
    with (
        pytest.warns(fl.JournalWarning, match="events that a dead process had left"),
        fl.Journal(small_disk / "desk") as again,
    ):
        assert again.accepted == accepted


@pytest.mark.skipif(POSIX_ROOT and not Path("/usr/bin/setpriv").exists(), reason="root may write everywhere")
def test_a_read_only_folder_is_refused_and_can_be_read(tmp_path: Path) -> None:
    desk = tmp_path / "desk"
    with fl.Journal(desk) as journal:
        journal.note("hello", time=0)
    code = """
        import sys
        import fairlead as fl
        from fairlead.journal import read
        try:
            fl.Journal(sys.argv[1])
        except fl.JournalError as error:
            print(type(error).__name__, error)
        print([event.data["text"] for event in read(sys.argv[1])])
    """
    before = sorted((path, path.stat().st_mtime_ns) for path in desk.rglob("*"))
    command = [sys.executable, "-c", textwrap.dedent(code), str(desk)]
    if POSIX_ROOT:
        for path in (tmp_path, desk, *desk.rglob("*"), *tmp_path.parents):
            if tmp_path.parents[1] in (path, *path.parents):
                path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
        command = ["/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command]
    else:
        desk.chmod(0o555)
        (desk / "lock").chmod(0o444)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if POSIX_ROOT and "Permission denied" in done.stderr and "fairlead" not in done.stdout:
        pytest.skip("another user may not run this Python")
    assert done.returncode == 0, done.stderr
    assert "JournalError cannot open" in done.stdout
    assert "lock: Permission denied" in done.stdout
    assert "['hello']" in done.stdout
    assert sorted((path, path.stat().st_mtime_ns) for path in desk.rglob("*")) == before


def test_a_second_writer_is_told_who_is_the_first(tmp_path: Path) -> None:
    code = """
        import sys
        import fairlead as fl
        journal = fl.Journal(sys.argv[1])
        print(journal.note("first"), flush=True)
        sys.stdin.readline()
        print(journal.note("still first"), flush=True)
        journal.close()
    """
    child = python(code, str(tmp_path))
    assert child.stdout is not None
    assert child.stdout.readline() == "1\n"
    with pytest.raises(fl.JournalLockedError, match=rf"is held by process {child.pid} \(.*python.*\) on .* since 20"):
        fl.Journal(tmp_path)
    # Reading needs no lock.
    assert [event.seq for event in read(tmp_path)] in ([], [1])
    assert finish_with(child, "\n") == "2"
    with fl.Journal(tmp_path) as journal:
        assert journal.note("second") == 3


def finish_with(child: subprocess.Popen[str], text: str) -> str:
    out, err = child.communicate(text, timeout=60)
    assert child.returncode == 0, err
    return out.strip()


def test_a_child_of_fork_has_no_journal_and_holds_no_lock(tmp_path: Path) -> None:
    code = """
        import os, sys, warnings
        import fairlead as fl
        warnings.simplefilter("ignore")
        journal = fl.Journal(sys.argv[1])
        journal.note("parent")
        ready, go = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                journal.note("child")
            except fl.JournalError as error:
                print(error, flush=True)
            try:
                journal.wait_durable(1, timeout=0)
            except fl.JournalError:
                pass
            journal.close()
            del journal
            os.read(ready, 1)
            os._exit(0)
        journal.note("parent")
        journal.close()
        with fl.Journal(sys.argv[1]) as again:
            again.note("parent, while the child lives")
        os.write(go, b"x")
        assert os.waitpid(child, 0)[1] == 0
    """
    told = finish(python(code, str(tmp_path)))
    assert told == "the journal is closed, or belongs to the parent process"
    assert [event.data["text"] for event in read(tmp_path)] == ["parent", "parent", "parent, while the child lives"]


def test_a_reader_follows_while_segments_roll_over(tmp_path: Path) -> None:
    n = 4000
    seen: list[int] = []
    failures: list[BaseException] = []
    with fl.Journal(tmp_path, segment_bytes=1 << 14) as journal:

        def follow() -> None:
            try:
                deadline = time.monotonic() + 60
                while len(seen) < n and time.monotonic() < deadline:
                    for event in read(tmp_path, first=len(seen) + 1):
                        seen.append(event.seq)
                        assert event.data["payload"] == event.seq.to_bytes(8, "little") * 8
            except BaseException as error:
                failures.append(error)

        reader = threading.Thread(target=follow)
        reader.start()
        for seq in range(1, n + 1):
            journal.append_bytes("custom", 0, None, None, seq.to_bytes(8, "little") * 8)
            if seq % 100 == 0:
                journal.wait_durable()
        reader.join()
    assert not failures
    assert seen == list(range(1, n + 1))
    assert len(list((tmp_path / "segments").glob("*.seg"))) > 10


def test_times_need_not_grow(tmp_path: Path) -> None:
    times = [5 * 10**18, -1, 0, 10**18, -(10**18)]
    with fl.Journal(tmp_path) as journal:
        for when in times:
            journal.note("x", time=when)
    assert [event.time for event in read(tmp_path)] == times
    assert [event.time for event in read(tmp_path, start=0)] == [5 * 10**18, 0, 10**18]


def test_a_damaged_ring_is_refused_by_name_and_never_trusted(tmp_path: Path) -> None:
    code = """
        import os, sys
        import fairlead as fl
        journal = fl.Journal(sys.argv[1])
        journal.note("in the ring")
        journal.wait_durable()
        print(journal.id, flush=True)
        os._exit(0)
    """
    identity = finish(python(code, str(tmp_path)))
    (ring,) = Path("/dev/shm").glob(f"fairlead-{identity}-*")
    good = ring.read_bytes()
    try:
        for damaged in (b"", good[:5000], b"\0" * len(good), good[:24] + b"\xff" + good[25:], good[:4000]):
            ring.write_bytes(damaged)
            with pytest.raises(fl.JournalDamagedError, match=rf"{ring}: .*to go on without them, remove the file"):
                fl.Journal(tmp_path)
        ring.write_bytes(good[:8] + b"\x07" + good[9:])
        with pytest.raises(fl.JournalError, match="of version 7, must be 1"):
            fl.Journal(tmp_path)
        ring.write_bytes(good)
        fl.Journal(tmp_path).close()
    finally:
        ring.unlink(missing_ok=True)
    assert [event.seq for event in read(tmp_path)] == [1]


def until_warned(call: Callable[[], object]) -> int:
    """Calls until the disk is told to refuse; gives how many calls were taken before."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for n in range(100_000):
            try:
                call()
            except fl.JournalWarning as warning:
                return n if "No space left" in str(warning) else -1
            time.sleep(0.0002)
    raise AssertionError("no warning")


def fill_up(file: Path) -> None:
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as out:
        while out.write(bytes(1 << 12)):
            pass


def test_a_disk_that_begins_to_refuse_is_told_once(small_disk: Path) -> None:
    rest = small_disk / "rest"
    with fl.Journal(small_disk / "desk", segment_bytes=1 << 16) as journal:
        journal.append_bytes("custom", 0, None, None, b"first")
        journal.wait_durable()
        fill_up(rest)
        assert until_warned(lambda: journal.append_bytes("custom", 0, None, None, bytes(2000))) > 0
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for _ in range(20):  # not again
                number = journal.append_bytes("custom", 0, None, None, b"more")
        assert journal.failure()
        rest.unlink()
        journal.wait_durable(number)
    assert sum(1 for _ in read(small_disk / "desk")) == number


def test_a_fleet_tells_of_its_disk_before_it_takes_anything(small_disk: Path) -> None:
    rest = small_disk / "rest"
    with fl.Fleet.open(small_disk / "desk", segment_bytes=1 << 16) as fleet:
        fleet.add("m")
        task, forecast = fl.Task("open", category="c"), fl.Forecast("m", p=0.5)
        fleet.record(task, forecast)
        fleet.sync()
        fill_up(rest)
        taken = until_warned(lambda: fleet.record(task, forecast))
        assert taken > 0
        fleet.record(task, forecast)
        calls = taken + 2
        rest.unlink()
        fleet.sync()
        assert fleet.leaderboard()["m"].calls == calls
    events = [event for event in read(small_disk / "desk") if event.type == "forecast"]
    assert len(events) == calls


def test_a_journal_that_is_removed_is_not_durable(tmp_path: Path) -> None:
    journal = fl.Journal(tmp_path / "desk")
    journal.append("note", {"text": "a"}, time=1)
    journal.wait_durable()
    shutil.rmtree(tmp_path / "desk")
    journal.append("note", {"text": "b"}, time=2)
    with pytest.raises(fl.JournalError, match="was removed"):
        journal.wait_durable()
    with pytest.raises(fl.JournalError, match="was removed"):
        journal.close()
