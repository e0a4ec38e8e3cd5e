"""What crosses to the process of a job: classes of scripts, of sessions, limits, and what the journal refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fairlead import JournalError, JournalWarning
from fairlead.lifecycle import Examples, Failure
from fairlead.lifecycle.jobs import InlineJobs, JobError, Limits, TrainingJobs

LONG = 60.0
HERE = str(Path(__file__).parent)

SCRIPT = """
import sys
import numpy as np
from tiny_trainers import Line
from fairlead.lifecycle import Examples, Schema
from fairlead.lifecycle.jobs import TrainingJobs

class Mine(Line):
    pass

print("imported", file=sys.stderr)
x = np.arange(8.0).reshape(-1, 1)
{guard}
    with TrainingJobs(sys.argv[1]) as jobs:
        print(jobs.start({kind}(epochs=1), Examples(Schema("binary", ["a"]), x, x[:, 0] > 3), name="m").wait(60))
"""


def run(folder: Path, guard: str, kind: str, *, as_file: bool) -> subprocess.CompletedProcess[str]:
    text = SCRIPT.format(guard=guard, kind=kind)
    path = folder / "script.py"
    path.write_text(text)
    return subprocess.run(
        [sys.executable, str(path) if as_file else "-", str(folder / "jobs")],
        input=text,
        env={**os.environ, "PYTHONPATH": HERE},
        capture_output=True,
        text=True,
    )


def test_a_class_of_the_script(tmp_path: Path) -> None:
    guarded = run(tmp_path, "if __name__ == '__main__':", "Mine", as_file=True)
    assert "m-00001  done" in guarded.stdout, guarded
    assert (tmp_path / "jobs" / "m-00001" / "log.txt").read_text() == "imported\n"
    open_ = run(tmp_path, "if True:", "Mine", as_file=True)
    assert "m-00002  failed (raised)" in open_.stdout, open_
    assert "begin what the script does with `if __name__ == '__main__':`" in open_.stdout
    # A class of a module needs no such thing: the script is not imported at all.
    other = run(tmp_path, "if True:", "Line", as_file=False)
    assert "m-00003  done" in other.stdout, other
    session = run(tmp_path, "if True:", "Mine", as_file=False)
    assert "trainer needs 'Mine', which this interactive session defines" in session.stderr


def test_limits_are_taken(jobs: TrainingJobs, tiny: Any, examples: Examples) -> None:
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("no affinity here")
    job = jobs.start(tiny.Broken("tells"), examples, name="m", limits=Limits(cpus=1, nice=11, cpu_s=100.5))
    assert job.wait(LONG).state == "done"
    assert f"cpus={sorted(os.sched_getaffinity(0))[-1:]} nice={os.nice(0) + 11} cpu_s=101 core=0" in job.log
    assert "hash=0" in job.log
    status = job.status()
    assert status.rss_mb is not None
    assert status.rss_mb > 1.0


def test_what_the_journal_refuses_is_told_later(tmp_path: Path, tiny: Any, examples: Examples, told: Any) -> None:
    append, refused = told.append, []

    def refuse(*args: Any, **options: Any) -> int:
        refused.append(args)
        if len(refused) < 4:
            raise JournalError("the ring is full")
        return int(append(*args, **options))

    told.append = refuse
    with TrainingJobs(tmp_path / "jobs", told) as jobs, pytest.MonkeyPatch.context() as patch:
        warned: list[str] = []
        patch.setattr("fairlead.lifecycle.jobs.jobs.warn", warned.append)
        assert jobs.start(tiny.Line(), examples, name="m").wait(LONG).state == "done"
    assert told.epochs() == [1, 2, 3, 4]
    assert told.events[-1]["status"] == "done"
    assert "the journal did not take yet what job m-00001 told: JournalError: the ring is full" in warned[0]
    assert issubclass(JournalWarning, UserWarning)


def test_a_folder_that_is_taken_away(jobs: TrainingJobs, tiny: Any, examples: Examples, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.mkdir()
    job = jobs.start(tiny.Gated(str(gate)), examples, name="m")
    while not (gate / "in-1").exists():
        pass
    job.folder.rename(tmp_path / "elsewhere")
    with pytest.MonkeyPatch.context() as patch:
        warned: list[str] = []
        patch.setattr("fairlead.lifecycle.jobs.jobs.warn", warned.append)
        (gate / "1").touch()
        jobs.wait_for(job.id, LONG)
    assert "what became of job m-00001 cannot be written" in warned[-1]
    assert jobs.start(tiny.Line(), examples, name="m").wait(LONG).state == "done"  # the others go on


@pytest.mark.parametrize("then", ["begun", "closed"])
def test_a_folder_that_is_taken_away_from_one_that_waits(
    tmp_path: Path, tiny: Any, examples: Examples, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    warned: list[str] = []
    monkeypatch.setattr("fairlead.lifecycle.jobs.jobs.warn", warned.append)
    with TrainingJobs(tmp_path / "jobs", parallel=1) as jobs:
        first = jobs.start(tiny.Gated(str(tmp_path)), examples, name="m")
        gone = jobs.start(tiny.Line(), examples, name="m")
        last = jobs.start(tiny.Line(), examples, name="m")
        gone.folder.rename(tmp_path / "elsewhere")
        if then == "begun":
            for epoch in (1, 2, 3, 4):
                (tmp_path / str(epoch)).touch()
            assert [first.wait(LONG).state, last.wait(LONG).state] == ["done", "done"]
            jobs.wait_for(gone.id, LONG)
        jobs.close(grace_s=0.0)
        assert first.status().ended
        assert last.status().ended
    assert f"what became of job {gone.id} cannot be written" in warned[0]


def test_one_that_is_started_while_they_are_closed_is_not_forgotten(
    tmp_path: Path, tiny: Any, examples: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = TrainingJobs(tmp_path / "jobs")
    begin = jobs._begin

    def late(*given: Any) -> Any:
        made = begin(*given)
        jobs.close()
        jobs._own()
        return made

    monkeypatch.setattr(jobs, "_begin", late)
    with pytest.raises(JobError, match="these jobs were closed"):
        jobs.start(tiny.Line(), examples, name="m")
    status = jobs.get("m-00001").wait(1.0)
    assert (status.state, status.failure) == ("failed", Failure.raised)
    assert "it was not begun: JobError: these jobs were closed" in status.message
    jobs.close()
    inline = InlineJobs()
    inline.close()
    with pytest.raises(JobError, match="these jobs were closed"):
        inline.start(tiny.Line(), examples, name="m")
    assert not inline.folder.exists()
