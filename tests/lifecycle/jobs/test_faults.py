"""Every way in which a training goes wrong, made to happen: each is a named state with a message that says what."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fairlead.lifecycle import Examples, Failure, Schema
from fairlead.lifecycle.jobs import InlineJobs, Limits, NotSendableError, TrainingJobs
from fairlead.lifecycle.jobs.process import Process

LONG = 60.0


def pid_of(jobs: TrainingJobs, id: str) -> int:
    return jobs._running[id][1].pid


@pytest.mark.parametrize(
    ("how", "failure", "words"),
    [
        ("raises", Failure.raised, "after epoch 1: ValueError: these numbers cannot be learned (tiny_trainers.py:"),
        ("exits", Failure.raised, "after epoch 1: SystemExit: 4 (tiny_trainers.py:"),
        ("nan", Failure.nan_loss, "the loss is nan at epoch 2 of 4, after 0.487634 at epoch 1; a smaller"),
        ("infinite", Failure.nan_loss, "the loss is inf at epoch 2 of 4"),
    ],
)
def test_in_either_process(
    tmp_path: Path, tiny: Any, examples: Examples, told: Any, how: str, failure: Failure, words: str
) -> None:
    with InlineJobs(tmp_path / "jobs", told) as jobs:
        status = jobs.start(tiny.Broken(how), examples, name="m").wait()
    assert (status.state, status.failure) == ("failed", failure)
    assert words in status.message
    assert told.events[-1]["failure"] == failure.value
    assert told.events[-1]["error"] == status.message


def test_an_epoch_that_was_told_before(tiny: Any, examples: Examples) -> None:
    with InlineJobs() as jobs:
        status = jobs.start(tiny.Twice(), examples, name="m").wait()
    assert (status.failure, status.epoch) == (Failure.raised, 1)
    assert status.message == "the trainer told of epoch 1 after epoch 1"


def test_a_traceback_stays_in_the_log(jobs: TrainingJobs, tiny: Any, examples: Examples, told: Any) -> None:
    job = jobs.start(tiny.Broken("raises"), examples, name="m")
    status = job.wait(LONG)
    assert status.failure is Failure.raised
    assert status.message.endswith(f"the traceback is in {job.folder / 'log.txt'}")
    assert "Traceback (most recent call last)" in job.log
    assert "in raises" in job.log
    assert told.epochs() == [1]
    assert told.events[-1]["status"] == "failed"


def test_weights_that_are_no_numbers_are_no_artifact(tiny: Any, examples: Examples) -> None:
    with InlineJobs() as jobs:
        trainer = tiny.Broken("weights_of_nan", at=4)
        job = jobs.start(trainer, examples, name="m")
        assert job.wait().failure is Failure.nan_loss
        assert "predicts what is no number" in job.status().message
        assert not list(job.folder.glob("artifact*"))


def test_killed_from_outside(jobs: TrainingJobs, tiny: Any, examples: Examples, tmp_path: Path, told: Any) -> None:
    for epoch in (1, 2):
        (tmp_path / str(epoch)).touch()
    job = jobs.start(tiny.Gated(str(tmp_path)), examples, name="m")
    while not (tmp_path / "in-3").exists():
        time.sleep(0.005)
    os.kill(pid_of(jobs, job.id), signal.SIGKILL)
    status = job.wait(LONG)
    assert (status.failure, status.message) == (Failure.killed, "its process was killed by SIGKILL")
    assert told.epochs() == [1, 2]
    for epoch in (3, 4):
        (tmp_path / str(epoch)).touch()
    again = jobs.resume(job.id, tiny.Gated(str(tmp_path)), examples).result(LONG)
    assert again.digest == jobs.start(tiny.Line(), examples, name="m").result(LONG).digest
    assert told.epochs(job.id) == [1, 2, 3, 4]


def test_ways_to_die(jobs: TrainingJobs, tiny: Any, examples: Examples, monkeypatch: pytest.MonkeyPatch) -> None:
    crash, gone = (jobs.start(tiny.Broken(how), examples, name="m") for how in ("crashes", "leaves"))
    status = crash.wait(LONG)
    assert status.failure is Failure.killed
    assert "its process was killed by SIGSEGV" in status.message
    assert "in crashes" in crash.log
    status = gone.wait(LONG)
    assert status.failure is Failure.killed
    assert "its process ended itself with exit status 3" in status.message
    # Of a SIGKILL by the system's out-of-memory killer, there is nothing but its counter.
    counts = iter([7, 8])
    monkeypatch.setattr("fairlead.lifecycle.jobs.process._oom_kills", lambda: next(counts))
    status = jobs.start(tiny.Broken("kills_itself"), examples, name="m").wait(LONG)
    assert (status.failure, status.message) == (
        Failure.out_of_memory,
        "the system ran out of memory and killed it",
    )


def test_memory(jobs: TrainingJobs, tiny: Any, examples: Examples) -> None:
    limits = Limits(memory_mb=150)
    slow, much = (jobs.start(tiny.Broken(how), examples, name="m", limits=limits) for how in ("grows", "asks_much"))
    status = slow.wait(LONG)
    assert status.failure is Failure.out_of_memory
    assert "MiB of memory, may take memory_mb=150" in status.message
    status = much.wait(LONG)
    assert status.failure is Failure.out_of_memory
    assert "Unable to allocate 64.0 GiB" in status.message


@pytest.mark.parametrize("how", ["sleeps", "keeps_the_lock"])
def test_hangs(jobs: TrainingJobs, tiny: Any, examples: Examples, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    job = jobs.start(tiny.Broken(how), examples, name="m", limits=Limits(silence_s=3600))
    while job.status().epoch < 1:
        time.sleep(0.005)
    process: Process = jobs._running[job.id][1]
    process._limits = Limits(silence_s=0.05)  # now that its process has come so far
    jobs._ring()
    status = job.wait(LONG)
    assert status.failure is Failure.hung
    assert status.message.startswith(f"no epoch ended for silence_s=0.05 seconds; it stood in {how} (tiny_trainers.py:")


def test_time(jobs: TrainingJobs, tiny: Any, examples: Examples) -> None:
    slow = jobs.start(tiny.Broken("burns"), examples, name="m", limits=Limits(cpu_s=1))
    late = jobs.start(tiny.Broken("sleeps"), examples, name="m", limits=Limits(wall_s=0.05))
    status = late.wait(LONG)
    assert (status.failure, status.message) == (Failure.timed_out, "it ran for more than wall_s=0.05 seconds")
    status = slow.wait(LONG)
    assert (status.failure, status.message) == (
        Failure.timed_out,
        "it took more than cpu_s=1 seconds of processor time",
    )


def test_time_between_epochs(tiny: Any, examples: Examples) -> None:
    with InlineJobs() as jobs:
        for limits in (Limits(wall_s=1e-9), Limits(cpu_s=1e-9)):
            status = jobs.start(tiny.Line(), examples, name="m", limits=limits).wait()
            assert (status.failure, status.epoch) == (Failure.timed_out, 1)


@pytest.mark.parametrize("where", ["checkpoint", "artifact"])
def test_a_file_too_large(jobs: TrainingJobs, tiny: Any, examples: Examples, where: str) -> None:
    job = jobs.start(tiny.Full(where), examples, name="m", checkpoint_every=1)
    status = job.wait(LONG)
    assert status.failure is Failure.disk_full
    assert "File too large" in status.message
    assert not list(job.folder.glob("*.new"))
    assert not list(job.folder.glob("artifact*"))


def test_words_of_a_full_disk(tiny: Any, examples: Examples) -> None:
    with InlineJobs() as jobs:
        status = jobs.start(tiny.Full("hidden"), examples, name="m").wait()
        assert status.failure is Failure.disk_full
        assert "the disk is full, after epoch 4: RuntimeError: I/O error" in status.message


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = shutil.which("mount")
    made = mount and subprocess.run([mount, "-t", "tmpfs", "-o", "size=256k", "tmpfs", path], capture_output=True)
    if not made or made.returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


@pytest.mark.parametrize("stays", [False, True])
def test_a_disk_that_is_full(small_disk: Path, tiny: Any, examples: Examples, told: Any, stays: bool) -> None:
    litter = str(small_disk / "litter") if stays else ""
    with TrainingJobs(small_disk / "jobs", told) as jobs:
        trainer = tiny.Full("checkpoint", litter or str(small_disk / "jobs" / "m-00001" / "checkpoint-000002.new"))
        job = jobs.start(trainer, examples, name="m", checkpoint_every=1)
        status = job.wait(LONG)
        assert (status.state, status.failure) == ("failed", Failure.disk_full)
        assert "No space left on device" in status.message
        assert told.events[-1]["failure"] == "disk_full"
        if stays:  # nothing can be begun either
            with pytest.raises(Exception, match="No space left on device") as caught:
                jobs.start(tiny.Line(), examples, name="m")
            assert caught.value.failure is Failure.disk_full
            Path(litter).unlink()
        assert jobs.start(tiny.Line(), examples, name="m").wait(LONG).state == "done"


def test_what_cannot_cross(jobs: TrainingJobs, tiny: Any, examples: Examples) -> None:
    def local() -> None: ...

    trainer = tiny.Line()
    for hold, words in (
        ({"loss": lambda p: p}, "trainer.loss is a lambda, which cannot cross to the process of its job"),
        ({"parts": [1, {"a": local}]}, "trainer.parts[1]['a'] is the local function test_what_cannot_cross.<locals>"),
        ({"file": Path(os.devnull).open()}, "trainer.file is a TextIOWrapper"),  # noqa: SIM115
    ):
        vars(trainer).update(hold)
        with pytest.raises(NotSendableError) as caught:
            jobs.start(trainer, examples, name="m")
        assert words in str(caught.value)
        for name, value in hold.items():
            if name == "file":
                value.close()
            delattr(trainer, name)
    assert not jobs.folder.exists()


def test_examples_of_another_schema_than_the_weights(tiny: Any, examples: Examples, tmp_path: Path) -> None:
    class Knowing(tiny.Line):
        def load(self, path: Any) -> None:
            super().load(path)
            self.schema = Schema("binary", ["a", "b", "z"])

    with InlineJobs() as jobs:
        base = jobs.start(tiny.Line(), examples, name="m").result().artifact
        status = jobs.start(Knowing(), examples, name="m", mode="incremental", base=base).wait()
        assert status.failure is Failure.schema
        assert "'z' is missing, 'c' is new" in status.message
