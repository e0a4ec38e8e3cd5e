"""What a restart finds: orphans are marked, go on from their checkpoint bit-equal, and each epoch is journaled once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fairlead import Journal, JournalError
from fairlead.journal import read
from fairlead.lifecycle import Examples, Failure
from fairlead.lifecycle.jobs import InlineJobs, JobError, TrainingJobs
from fairlead.lifecycle.jobs import folder as folder_module
from fairlead.lifecycle.jobs import training as training_module
from fairlead.lifecycle.jobs.folder import JobFolder
from fairlead.lifecycle.jobs.orders import EarlyStopping

LONG = 60.0


def wait_until(true: Callable[[], Any]) -> None:
    end = time.monotonic() + LONG
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def epochs_in(desk: Path, run: str) -> list[int]:
    events = read(desk, types="training_run")
    return [e.data["epoch"] for e in events if e.data["run"] == run and "epoch" in e.data]


def ends_in(desk: Path, run: str) -> list[str]:
    events = read(desk, types="training_run")
    return [e.data["status"] for e in events if e.data["run"] == run and "epoch" not in e.data]


@pytest.mark.filterwarnings("ignore::fairlead.JournalWarning")
def test_an_owner_that_is_killed(tmp_path: Path, tiny: Any, examples: Examples) -> None:
    folder, desk, gate = tmp_path / "jobs", tmp_path / "desk", tmp_path / "gate"
    gate.mkdir()
    for epoch in (1, 2):
        (gate / str(epoch)).touch()
    path = str(Path(__file__).parent)
    command = [sys.executable, f"{path}/owner.py", str(folder), str(desk), str(gate)]
    owner = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path})
    try:
        wait_until(lambda: (gate / "in-3").exists() and (gate / "begun").exists())
        place = JobFolder(folder / "m-00001")
        assert place.holder()
        with TrainingJobs(folder) as reader:  # whoever looks meanwhile sees a job that runs
            assert [status.state for status in reader.history()] == ["running", "queued"]
    finally:
        owner.kill()
        owner.wait()
    with TrainingJobs(folder) as reader:  # and afterwards one that does not, though nobody has marked it yet
        assert reader.get("m-00002").status().failure is Failure.orphaned
    with Journal(desk) as journal, TrainingJobs(folder, journal) as jobs:
        with InlineJobs(tmp_path / "plain") as inline:
            plain = [inline.start(tiny.Line(), examples, name="m", seed=seed).result() for seed in (3, 4)]
        first, second = jobs.recover()
        assert place.holder() is None  # its process does not live on
        assert [job.status().failure for job in (first, second)] == [Failure.orphaned] * 2
        assert first.status().message == (
            "the process that started it is gone, after epoch 2; its checkpoint of epoch 2 is kept: "
            "jobs.resume('m-00001', trainer, examples) goes on"
        )
        assert "before the end of its first epoch; it has no checkpoint" in second.status().message
        assert [job.id for job in jobs.recover()] == ["m-00001", "m-00002"]  # and nothing is told twice
        for epoch in (3, 4):
            (gate / str(epoch)).touch()
        again = [jobs.resume(job.id, tiny.Gated(str(gate)), examples).result(LONG) for job in (first, second)]
        assert [result.digest for result in again] == [result.digest for result in plain]
        assert [result.losses for result in again] == [result.losses for result in plain]
        assert jobs.recover() == ()
        journal.wait_durable()
    for run in ("m-00001", "m-00002"):
        assert epochs_in(desk, run) == [1, 2, 3, 4]
    assert ends_in(desk, "m-00001") == ["running", "failed", "running", "done"]
    assert ends_in(desk, "m-00002") == ["failed", "running", "done"]


def test_a_process_that_is_left_alone_ends_itself(tmp_path: Path, tiny: Any, examples: Examples) -> None:
    (tmp_path / "1").touch()
    jobs = TrainingJobs(tmp_path / "jobs")
    job = jobs.start(tiny.Gated(str(tmp_path)), examples, name="m")
    wait_until(lambda: (tmp_path / "in-2").exists())
    process = jobs._running[job.id][1]
    assert process._popen.stdin is not None
    process._popen.stdin.close()  # as the system does when the parent dies
    time.sleep(0.02)
    for epoch in (2, 3, 4):
        (tmp_path / str(epoch)).touch()
    status = job.wait(LONG)
    assert status.failure is Failure.orphaned
    assert status.message == "the process that started it is gone, after epoch 2"
    assert jobs.recover() != ()
    assert jobs.resume(job.id, tiny.Gated(str(tmp_path)), examples).wait(LONG).state == "done"
    jobs.close()


@pytest.mark.filterwarnings("ignore::fairlead.JournalWarning")
def test_an_owner_that_was_forked_and_killed(tmp_path: Path, tiny: Any, examples: Examples) -> None:
    """Whoever was forked off from it keeps neither the folder locked nor the job alive."""
    gate = tmp_path / "gate"
    gate.mkdir()
    path = str(Path(__file__).parent)
    command = [sys.executable, f"{path}/owner.py", str(tmp_path / "jobs"), str(tmp_path / "desk"), str(gate), "fork"]
    owner = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE)
    assert owner.stdout is not None
    other = int(owner.stdout.readline())
    owner.kill()
    owner.wait()
    owner.stdout.close()
    try:
        with TrainingJobs(tmp_path / "jobs") as jobs:
            assert [job.status().failure for job in jobs.recover()] == [Failure.orphaned] * 2
    finally:
        os.kill(other, signal.SIGKILL)


@pytest.mark.parametrize(
    ("file", "data"),
    [("job.json", b""), ("job.json", b"{}"), ("status", b""), ("status", b"{}"), ("epochs.jsonl", bytes(40))],
)
def test_a_file_that_a_power_cut_has_emptied(
    tmp_path: Path, tiny: Any, examples: Examples, told: Any, file: str, data: bytes
) -> None:
    with InlineJobs(tmp_path / "jobs") as jobs:
        hurt, other = (jobs.start(tiny.Line(), examples, name="m", checkpoint_every=1) for _ in range(2))
    kept = (hurt.folder / file).read_bytes()
    (hurt.folder / file).write_bytes(data + (b"\n" + kept if file == "epochs.jsonl" else b""))
    with warnings.catch_warnings(record=True) as warned, InlineJobs(tmp_path / "jobs", told) as jobs:
        warnings.simplefilter("always")
        assert jobs.start(tiny.Line(), examples, name="m").status().state == "done"
        orphans, states = jobs.recover(), {status.id: status.state for status in jobs.history()}
        assert states.pop(other.id) == "done"
        assert states.pop("m-00003") == "done"
        if file == "job.json":
            assert states == {}
            assert "job m-00001 is left out" in str(warned[0].message)
        elif file == "status":
            assert states == {hurt.id: "failed"}
            assert [job.id for job in orphans] == [hurt.id]
            assert "its state was lost" in orphans[0].status().message
            assert jobs.resume(hurt.id, tiny.Line(), examples).status().state == "done"
        else:
            assert jobs.get(hurt.id).status().epoch == 4


@pytest.mark.filterwarnings("ignore::fairlead.JournalWarning")
def test_no_id_is_used_twice(tmp_path: Path, tiny: Any, examples: Examples) -> None:
    for name in ("m-00001", "m-00002"):  # else the journal would seem to know its epochs already
        with Journal(tmp_path / "desk") as journal, InlineJobs(tmp_path / "jobs", journal) as jobs:
            job = jobs.start(tiny.Line(), examples, name="m")
            assert job.id == name
            assert jobs.prune(keep=0) == 1
        assert epochs_in(tmp_path / "desk", name) == [1, 2, 3, 4]


def test_a_job_is_resumed_once(tmp_path: Path, tiny: Any, examples: Examples, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for it while another is about to begin it, is told so."""
    with TrainingJobs(tmp_path / "jobs") as jobs:
        job = jobs.start(tiny.Gated(str(tmp_path)), examples, name="m")
        job.stop(grace_s=0.0)
        assert job.wait(LONG).state == "stopped"
        run, refused = jobs._run, []

        def meanwhile(*given: Any) -> Any:
            with pytest.raises(JobError, match="job m-00001 is queued: only a job that failed or was stopped") as told:
                jobs.resume(job.id, tiny.Gated(str(tmp_path)), examples)
            refused.append(told)
            with pytest.raises(JobError, match="runs: stop it first"):
                jobs.delete(job.id)
            return run(*given)

        monkeypatch.setattr(jobs, "_run", meanwhile)
        again = jobs.resume(job.id, tiny.Gated(str(tmp_path)), examples)
        for epoch in (1, 2, 3, 4):
            (tmp_path / str(epoch)).touch()
        assert again.wait(LONG).state == "done"
        assert len(refused) == 1


def test_a_journal_that_is_full_is_asked_again(tmp_path: Path, tiny: Any, examples: Examples, told: Any) -> None:
    with InlineJobs(tmp_path / "jobs") as jobs:
        jobs.start(tiny.Line(), examples, name="m")

    class Full:
        def append(self, *_: Any, **__: Any) -> int:
            raise JournalError("the disk is full")

    with InlineJobs(tmp_path / "jobs", Full()) as jobs:
        for _ in range(2):  # and is not taken for told the second time
            with pytest.raises(JournalError, match="the disk is full"):
                jobs.recover()
    with InlineJobs(tmp_path / "jobs", told) as jobs:
        assert jobs.recover() == ()
    assert told.epochs() == [1, 2, 3, 4]


def test_a_checkpoint_that_cannot_be_read(tmp_path: Path, tiny: Any, examples: Examples) -> None:
    with InlineJobs(tmp_path / "jobs") as jobs:
        job = jobs.start(tiny.Broken("raises", at=3), examples, name="m", checkpoint_every=1)
        assert job.status().epoch == 2
        (job.folder / "checkpoint-000002").write_text("{")
        trainer = tiny.Broken("raises", at=3)
        status = jobs.resume(job.id, trainer, examples).status()
        assert "cannot be gone on from (JSONDecodeError" in status.message
        assert "from_start=True begins anew" in status.message
        assert jobs.resume(job.id, trainer, examples, from_start=True).status().message.startswith("the trainer raised")


def test_what_has_no_checkpoint_begins_anew(tmp_path: Path, tiny: Any, examples: Examples, told: Any) -> None:
    with InlineJobs(tmp_path / "jobs", told) as jobs:
        plain = jobs.start(tiny.Line(), examples, name="m").result()
        job = jobs.start(tiny.Anew("a"), examples, name="m")
        assert job.status().failure is Failure.raised
        (job.folder / "mended").touch()
        assert not list(job.folder.glob("checkpoint-*"))
        again = jobs.resume(job.id, tiny.Anew("a"), examples)
        assert again.status().failure is Failure.raised
        assert told.epochs(job.id) == [1, 2]
    assert plain.losses[:2] == again.status().losses


@pytest.mark.filterwarnings("ignore::fairlead.JournalWarning")  # it says that it drained the ring of a dead process
@pytest.mark.parametrize("early", [False, True])
def test_a_death_at_any_moment(
    tmp_path: Path, tiny: Any, examples: Examples, validation: Examples, early: bool
) -> None:
    """The process dies before every single write of a training, to its folder and to the journal; what a restart makes
    of it is the same to the byte, and each epoch stands in the journal once."""
    trainer = tiny.Worsening(good=3, epochs=6) if early else tiny.Line(epochs=2)
    options: dict[str, Any] = {"name": "m", "seed": 9, "checkpoint_every": 2 if early else 1}
    options |= {"validation": validation, "early_stopping": EarlyStopping(1)} if early else {}
    with InlineJobs(tmp_path / "plain") as inline:
        plain = inline.start(trainer, examples, **options).result()

    def life(at: Path, moment: int) -> int:
        """A life that ends at a moment; gives the status that it exits with."""
        at.mkdir()
        pid = os.fork()
        if pid:
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        try:
            passed = 0

            def mortal(done: Callable[..., Any]) -> Callable[..., Any]:
                def call(*args: Any, **options: Any) -> Any:
                    nonlocal passed
                    passed += 1
                    if passed == moment:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return done(*args, **options)

                return call

            folder_module.replace = mortal(folder_module.replace)
            training_module.settle = mortal(training_module.settle)
            JobFolder.append_epoch = mortal(JobFolder.append_epoch)  # type: ignore[method-assign]
            journal = Journal(at / "desk", ring_bytes=65536)
            journal.append = mortal(journal.append)  # type: ignore[method-assign]
            jobs = InlineJobs(at / "jobs", journal)
            jobs.start(trainer, examples, **options)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)

    moment = 1
    while (code := life(at := tmp_path / str(moment), moment)) == -signal.SIGKILL:
        with Journal(at / "desk", ring_bytes=65536) as journal, InlineJobs(at / "jobs", journal) as jobs:
            jobs.recover()
            if not jobs.history():  # it was never asked for, as far as the disk knows
                result = jobs.start(trainer, examples, **options).result()
            elif jobs.history()[0].state == "done":
                result = jobs.get("m-00001").result()
            else:
                validated = {"validation": validation} if early else {}
                result = jobs.resume("m-00001", trainer, examples, **validated).result()
            journal.wait_durable()
        assert (result.digest, result.losses, result.best) == (plain.digest, plain.losses, plain.best), moment
        assert epochs_in(at / "desk", result.id) == [*range(1, len(plain.losses) + 1)], moment
        assert ends_in(at / "desk", result.id)[-1:] == ["done"], moment
        moment += 1
    assert code == 0
    assert moment > 15
