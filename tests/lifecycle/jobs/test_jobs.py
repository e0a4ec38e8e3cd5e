"""Jobs in processes of their own: start, pause, resume, stop, two at once, history, what the journal is told."""

from __future__ import annotations

import gc
import io
import json
import time
from pathlib import Path
from typing import Any

import pytest

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle import Examples, Failure, Schema, SchemaError
from fairlead.lifecycle.jobs import (
    EarlyStopping,
    InlineJobs,
    Job,
    JobError,
    JobFailedError,
    JobsLockedError,
    Limits,
    TrainingJobs,
    UnknownJobError,
)

LONG = 60.0


def until(job: Job, state: str = "running", epoch: int = 0) -> None:
    """Waits for a state, or for an epoch; a job that ends another way fails the test."""
    end = time.monotonic() + LONG
    while time.monotonic() < end:
        status = job.status()
        if status.state == state and status.epoch >= epoch:
            return
        assert not status.ended, str(status)
        time.sleep(0.005)
    raise AssertionError(str(job.status()))


def inside(gate: Path, epoch: int) -> None:
    """Waits until the trainer is in an epoch."""
    end = time.monotonic() + LONG
    while not (gate / f"in-{epoch}").exists():
        assert time.monotonic() < end
        time.sleep(0.005)


def opened(gate: Path, *epochs: int) -> None:
    for epoch in epochs:
        (gate / str(epoch)).touch()


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    path = tmp_path / "gate"
    path.mkdir()
    return path


def test_both_runners_give_the_same_bytes(
    jobs: TrainingJobs, tmp_path: Path, tiny: Any, examples: Examples, validation: Examples, told: Any
) -> None:
    options = {"name": "m", "seed": 7, "validation": validation}
    apart = jobs.start(tiny.Line(), examples, **options).result(LONG)
    with InlineJobs(tmp_path / "inline", told) as inline:
        job = inline.start(tiny.Line(), examples, **options)
        here = job.result()
    assert apart.artifact.read_bytes() == here.artifact.read_bytes()
    assert (apart.digest, apart.losses, apart.validation_losses) == (here.digest, here.losses, here.validation_losses)
    assert apart.examples == examples.fingerprint
    assert not list(apart.artifact.parent.glob("checkpoint-*"))
    # Both tell the journal the same but for the times.
    first, second = ([e for e in told.events if e["attempt"] == 1][i : i + 6] for i in (0, 6))
    for ours, theirs in zip(first, second, strict=True):
        timed = ("time", "seconds", "started", "finished")
        assert {k: v for k, v in ours.items() if k not in timed} == {k: v for k, v in theirs.items() if k not in timed}


def test_the_journal_is_told_each_epoch_and_the_end(
    jobs: TrainingJobs, tiny: Any, examples: Examples, told: Any
) -> None:
    job = jobs.start(tiny.Line(epochs=3), examples, name="org/model", seed=3, reason="drift")
    result = job.result(LONG)
    begin, *epochs, end = told.events
    assert job.id == "org-model-00001"
    assert {e["model"] for e in told.events} == {"org/model"}
    assert {e["run"] for e in told.events} == {job.id}
    assert (begin["status"], begin["seed"], begin["mode"], begin["reason"]) == ("running", 3, "full", "drift")
    assert begin["examples"] == examples.fingerprint
    assert [(e["epoch"], e["of"], e["loss"], e["status"]) for e in epochs] == [
        (i + 1, 3, loss, "running") for i, loss in enumerate(result.losses)
    ]
    assert [e["progress"] for e in epochs] == [1 / 3, 2 / 3, 1.0]
    assert (end["status"], end["digest"], end["epochs"]) == ("done", result.digest, 3)
    assert begin["time"] <= epochs[0]["time"] <= epochs[-1]["time"] <= end["time"]
    json.dumps(told.events, allow_nan=False)


def test_a_pause_lets_no_epoch_pass(jobs: TrainingJobs, tiny: Any, examples: Examples, gate: Path) -> None:
    plain = jobs.start(tiny.Line(), examples, name="m").result(LONG)
    job = jobs.start(tiny.Gated(str(gate)), examples, name="m")
    job.pause()
    opened(gate, 1, 2, 3, 4)  # nothing but the pause holds it back
    until(job, "paused", 1)
    before = (job.folder / "epochs.jsonl").read_bytes()
    time.sleep(0.1)
    assert job.status().epoch == 1
    assert (job.folder / "epochs.jsonl").read_bytes() == before
    assert job.status().eta_s is not None
    job.resume()
    assert job.result(LONG).digest == plain.digest


def test_stop_keeps_a_checkpoint_and_goes_on_bit_equal(
    jobs: TrainingJobs, tiny: Any, examples: Examples, gate: Path, told: Any
) -> None:
    plain = jobs.start(tiny.Line(), examples, name="m", checkpoint_every=3).result(LONG)
    trainer = tiny.Gated(str(gate))
    job = jobs.start(trainer, examples, name="m", checkpoint_every=3)
    opened(gate, 1)
    inside(gate, 2)
    job.stop()
    until(job, "stopping", 1)
    opened(gate, 2, 3, 4)
    status = job.wait(LONG)
    assert (status.state, status.failure, status.epoch) == ("stopped", Failure.stopped, 2)
    assert status.message == "stopped, after epoch 2"
    with pytest.raises(JobFailedError, match=r"job m-00002 was stopped: stopped, after epoch 2") as caught:
        job.result()
    assert caught.value.failure is Failure.stopped
    again = jobs.resume(job.id, trainer, examples)
    assert again.result(LONG).digest == plain.digest
    assert again.status().losses == plain.losses
    assert again.status().attempt == 2
    assert told.epochs(job.id) == [1, 2, 3, 4]
    assert [e["status"] for e in told.events if e["run"] == job.id and "epoch" not in e] == [
        "running",
        "stopped",
        "running",
        "done",
    ]


def test_stop_by_force(jobs: TrainingJobs, tiny: Any, examples: Examples, gate: Path) -> None:
    job = jobs.start(tiny.Gated(str(gate)), examples, name="m")
    opened(gate, 1)
    inside(gate, 2)
    job.stop(grace_s=0.01)
    status = job.wait(LONG)
    assert (status.state, status.failure) == ("stopped", Failure.stopped)
    assert "by force" in status.message


def test_two_at_once_and_a_third_waits(tmp_path: Path, tiny: Any, examples: Examples, gate: Path) -> None:
    with TrainingJobs(tmp_path / "jobs", parallel=2) as jobs:
        trainer = tiny.Gated(str(gate), epochs=1)
        first, second, third, fourth = (jobs.start(trainer, examples, name="m", seed=i) for i in range(4))
        assert [job.status().state for job in (third, fourth)] == ["queued", "queued"]
        until(first)
        until(second)
        fourth.stop()
        assert fourth.wait(LONG).message == "stopped before it began"
        with pytest.raises(TimeoutError, match=r"job m-00003 has not ended within 0.01 s"):
            third.wait(0.01)
        opened(gate, 1)
        assert [job.wait(LONG).state for job in (first, second, third)] == ["done"] * 3
        assert len({job.result().digest for job in (first, second, third)}) == 3  # of three seeds


def test_history_outlives_its_owner(tmp_path: Path, tiny: Any, examples: Examples) -> None:
    with TrainingJobs(tmp_path / "jobs") as jobs:
        first = jobs.start(tiny.Line(epochs=2), examples, name="a")
        second = jobs.start(tiny.Broken("raises"), examples, name="b")
        digest, failed = first.result(LONG).digest, second.wait(LONG)
        with pytest.raises(JobsLockedError, match=r"are run by process \d+"):
            TrainingJobs(tmp_path / "jobs").start(tiny.Line(), examples, name="a")
    with TrainingJobs(tmp_path / "jobs") as jobs:
        done, also = jobs.history()
        assert (done.id, done.state, done.epoch, done.progress) == ("a-00001", "done", 2, 1.0)
        assert also == failed
        assert jobs.history("b") == (also,)
        assert jobs.get("a-00001").result().digest == digest
        assert jobs.start(tiny.Line(), examples, name="a").id == "a-00003"
        with pytest.raises(UnknownJobError, match=r"no job 'a-0001'.*did you mean 'a-00001'"):
            jobs.get("a-0001")
        with pytest.raises(JobError, match=r"job a-00001 is done: only a job that failed or was stopped"):
            jobs.resume("a-00001", tiny.Line(epochs=2), examples)
    with TrainingJobs(tmp_path / "jobs") as jobs:
        assert jobs.prune(keep=1) == 1  # of "a"
        assert [status.id for status in jobs.history()] == ["b-00002", "a-00003"]


def test_early_stopping_keeps_the_best_weights(
    inline: InlineJobs, tiny: Any, examples: Examples, validation: Examples
) -> None:
    options = {"name": "m", "validation": validation}
    best = inline.start(tiny.Line(epochs=3), examples, **options).result()
    job = inline.start(tiny.Worsening(epochs=50), examples, early_stopping=EarlyStopping(patience=2), **options)
    result = job.result()
    assert result.best == job.status().best == 3
    assert job.status().epoch == 5
    assert result.digest == best.digest
    assert result.validation_losses[:3] == best.validation_losses
    # An improvement that is too small is none.
    last = inline.start(tiny.Line(epochs=9), examples, early_stopping=EarlyStopping(2, least=10.0), **options)
    assert last.result().best == 1
    assert last.status().epoch == 3
    without = inline.start(tiny.Line(), examples, name="m", early_stopping=EarlyStopping())
    assert "early_stopping needs a validation loss" in without.wait().message


def test_early_stopping_goes_on_after_a_stop(
    jobs: TrainingJobs, tiny: Any, examples: Examples, validation: Examples, gate: Path
) -> None:
    options = {"name": "m", "validation": validation, "early_stopping": EarlyStopping(patience=2)}
    plain = jobs.start(tiny.Worsening(epochs=9), examples, **options).result(LONG)
    trainer = tiny.GatedWorsening(str(gate), epochs=9)
    job = jobs.start(trainer, examples, **options)
    opened(gate, 1, 2, 3)
    inside(gate, 4)
    job.stop()
    until(job, "stopping")
    opened(gate, 4)
    assert job.wait(LONG).epoch == 4
    opened(gate, 5, 6, 7, 8, 9)
    again = jobs.resume(job.id, trainer, examples, validation=validation).result(LONG)
    assert (again.digest, again.best, again.validation_losses) == (plain.digest, 3, plain.validation_losses)


def test_incremental_goes_on_from_weights(inline: InlineJobs, tmp_path: Path, tiny: Any, examples: Examples) -> None:
    first = inline.start(tiny.Line(), examples, name="m").result()
    known = tiny.Line()
    known.load(first.artifact)
    known.schema = examples.schema
    options = {"name": "m", "mode": "incremental", "seed": 5}
    given = inline.start(tiny.Line(), examples, base=first.artifact, **options).result()
    held = inline.start(known, examples, **options).result()
    anew = inline.start(tiny.Line(), examples, **options).result()
    assert given.digest == held.digest != anew.digest
    assert given.base_digest == first.digest
    known.partial_fit(examples, seed=5)
    known.save(tmp_path / "by-hand")
    assert (tmp_path / "by-hand").read_bytes() == given.artifact.read_bytes()


def test_what_is_not_the_same_is_not_resumed(inline: InlineJobs, tiny: Any, examples: Examples) -> None:
    job = inline.start(tiny.Broken("raises"), examples, name="m")
    job.wait()
    before = job.status()
    for trainer, given, words in (
        (tiny.Line(), examples, "the trainer of job m-00001 was 'tiny_trainers.Broken', is 'tiny_trainers.Line'"),
        (tiny.Broken("raises", rate=0.5), examples, "the trainer's parameters of job m-00001"),
        (tiny.Broken("raises"), examples[:50], "the examples' fingerprint of job m-00001"),
    ):
        with pytest.raises(JobError) as caught:
            inline.resume(job.id, trainer, given)
        assert words in str(caught.value)
    with pytest.raises(JobError, match="the validation's fingerprint"):
        inline.resume(job.id, tiny.Broken("raises"), examples, validation=examples)
    assert job.status() == before


def test_arguments_are_checked_before_anything_changes(jobs: TrainingJobs, tiny: Any, examples: Examples) -> None:
    other = Examples(Schema("binary", ["a", "b", "d"]), examples.x, examples.y)
    line = tiny.Line()
    for change, error, words in (
        ({"trainer": tiny.Line}, InvalidRecordError, "which is no Trainer: it is a class"),
        ({"trainer": object()}, InvalidRecordError, "it lacks format, schema, fresh"),
        ({"examples": [1, 2]}, InvalidRecordError, "examples is [1, 2], must be Examples"),
        ({"examples": examples[:0]}, InvalidRecordError, "examples is empty"),
        ({"name": ""}, InvalidRecordError, "name is ''"),
        ({"name": "a\nb"}, InvalidRecordError, "name is 'a\\nb'"),
        ({"seed": -1}, InvalidRecordError, "seed is -1, must be a whole number 0 to"),
        ({"seed": True}, InvalidRecordError, "seed is True"),
        ({"seed": 2**32}, InvalidRecordError, "seed is 4294967296, must be a whole number 0 to 4294967295"),
        ({"mode": "incremetal"}, InvalidRecordError, "did you mean 'incremental'?"),
        ({"base": "/nowhere"}, InvalidRecordError, "but mode is 'full'"),
        ({"base": "/nowhere", "mode": "incremental"}, InvalidRecordError, "base is '/nowhere', must be a file"),
        ({"validation": 3}, InvalidRecordError, "validation is 3, must be Examples"),
        ({"validation": other}, SchemaError, "validation has another schema than examples: features: 'c' is missing"),
        ({"early_stopping": 3}, InvalidRecordError, "early_stopping is 3, must be an EarlyStopping"),
        ({"limits": {"cpu_s": 3}}, InvalidRecordError, "limits is {'cpu_s': 3}, must be Limits"),
        ({"checkpoint_every": 0}, InvalidRecordError, "checkpoint_every is 0, must be a whole number from 1"),
        ({"reason": 3}, InvalidRecordError, "reason is 3, must be a string"),
        ({"reason": "\ud800"}, InvalidRecordError, "which UTF-8 cannot hold"),
    ):
        given = {"trainer": line, "examples": examples, "name": "m"} | change
        with pytest.raises(error) as caught:
            jobs.start(given.pop("trainer"), given.pop("examples"), **given)
        assert words in str(caught.value)
    for field, value in (("cpu_s", 0), ("memory_mb", -1), ("wall_s", float("nan")), ("silence_s", "3"), ("nice", 20)):
        with pytest.raises(InvalidRecordError, match=f"{field} is"):
            Limits(**{field: value})
    with pytest.raises(InvalidRecordError, match="patience is 0"):
        EarlyStopping(0)
    with pytest.raises(InvalidRecordError, match="parallel is 0"):
        TrainingJobs(jobs.folder, parallel=0)
    with pytest.raises(InvalidRecordError, match="folder is ''"):
        TrainingJobs("")
    assert not jobs.folder.exists()


def test_closing_stops_what_runs_and_what_waits(tmp_path: Path, tiny: Any, examples: Examples, gate: Path) -> None:
    jobs = TrainingJobs(tmp_path / "jobs", parallel=1)
    running, waiting = (jobs.start(tiny.Gated(str(gate)), examples, name="m") for _ in range(2))
    inside(gate, 1)
    jobs.close(grace_s=0.01)
    jobs.close()
    assert [running.status().state, waiting.status().state] == ["stopped", "stopped"]
    with pytest.raises(JobError, match="were closed"):
        jobs.start(tiny.Line(), examples, name="m")
    with TrainingJobs(tmp_path / "jobs") as again:
        opened(gate, 1, 2, 3, 4)
        assert again.resume(waiting.id, tiny.Gated(str(gate)), examples).result(LONG).losses


def test_a_bar_on_a_terminal(jobs: TrainingJobs, tiny: Any, examples: Examples) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    job = jobs.start(tiny.Line(epochs=3), examples, name="m")
    status = job.show(out)
    assert status.state == "done"
    assert "m-00001" in out.getvalue()
    assert "epoch 3/3" in out.getvalue()


def test_a_job_shows_how_it_goes(jobs: TrainingJobs, tiny: Any, examples: Examples, validation: Examples) -> None:
    job = jobs.start(tiny.Line(epochs=3), examples, name="m", validation=validation)
    out = io.StringIO()
    status = job.show(out)
    lines = out.getvalue().splitlines()
    assert [line[:18] for line in lines[:3]] == [f"m-00001  epoch {i}/3" for i in (1, 2, 3)]
    assert lines[-1] == str(status)
    assert "done  epoch 3/3" in lines[-1]
    curve = status.curve()
    assert curve.count("<polyline") == 2
    assert curve.count('class="dot"') == 1  # the best epoch
    assert "epoch 3</text>" in curve
    assert len(status.sparkline()) == 3
    assert status.as_dict()["epochs"][0]["loss"] == status.losses[0]
    json.dumps(status.as_dict(), allow_nan=False)
    assert repr(job) == f"Job({str(status)!r})"


def test_a_temporary_folder_goes_with_its_jobs(tiny: Any, examples: Examples) -> None:
    jobs = InlineJobs()
    jobs.start(tiny.Line(), examples, name="short")
    folder = Path(jobs.folder)
    assert folder.exists()
    del jobs  # without close, and without a warning
    gc.collect()
    assert not folder.exists()
