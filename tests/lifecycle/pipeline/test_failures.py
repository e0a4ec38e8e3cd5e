"""What goes wrong is a named state with a message that helps, and the champion answers all the while."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_models import SCHEMA, SECOND, World, fitted, live, made

import fairlead as fl
from fairlead.errors import InvalidRecordError
from fairlead.lifecycle import Failure, Schema, SchemaError, TooFewExamplesError
from fairlead.lifecycle.jobs import Limits, TrainingJobs
from fairlead.lifecycle.pipeline import (
    Event,
    IllegalStepError,
    NoChampionError,
    Policy,
    RetrainingPipeline,
    State,
    Step,
)
from fairlead.lifecycle.pipeline.rival import Rival
from fairlead.lifecycle.proving import Plan, WatchPlan
from fairlead.lifecycle.registry import RegistryStorageError

POLICY: dict[str, Any] = {"least": 60, "least_holdback": 20, "check_every": 10, "patience_s": 0.3}


def ended(pipeline: RetrainingPipeline) -> Step | None:
    """How the first run ended."""
    ends = (Event.FAILED, Event.REFUSED, Event.PROMOTED, Event.ROLLED_BACK)
    return next((step for step in pipeline.steps if step.event in ends), None)


def unhurt(pipeline: RetrainingPipeline, world: World, failure: Failure, words: str) -> Step:
    """The first run ended so, and version 1 answers as ever."""
    step = ended(pipeline)
    assert step is not None
    assert step.failure == failure.value, step
    assert words in step.reason
    assert pipeline.registry.champion("toy").version == 1
    challenger = pipeline.registry.alias("toy", "challenger")  # of the next run, if any
    assert challenger is None or challenger.version == pipeline.position.challenger
    assert pipeline.predict(world.x[0], "after").version == 1
    return step


@pytest.mark.parametrize(
    ("fault", "failure", "words"),
    [
        ("raises", Failure.raised, "the data are not to my liking"),
        ("nan", Failure.nan_loss, "epoch 1"),
        ("memory", Failure.out_of_memory, "memory"),
        ("disk", Failure.disk_full, "No space left"),
        ("worse", Failure.worse, "gain"),
    ],
)
def test_a_training_that_fails(tmp_path: Path, fault: str, failure: Failure, words: str) -> None:
    world, pipeline = World(), made(tmp_path, fitted(fault=fault))
    live(pipeline, world, 0, 1100, until=ended)
    unhurt(pipeline, world, failure, words)


@pytest.mark.parametrize(
    ("fault", "limits", "failure", "words"),
    [
        ("killed", None, Failure.killed, "killed"),
        ("hangs", Limits(silence_s=1.0), Failure.hung, "1"),
        ("hangs", Limits(wall_s=1.0), Failure.timed_out, "1"),
    ],
)
def test_a_process_that_is_killed_or_hangs(
    tmp_path: Path, fault: str, limits: Limits | None, failure: Failure, words: str
) -> None:
    world = World()
    with TrainingJobs(tmp_path / "jobs") as jobs:
        policy = Policy(limits=limits, **POLICY)
        pipeline = made(tmp_path, fitted(fault=fault), jobs=jobs, policy=policy)
        at = live(pipeline, world, 0, 1100, until=lambda p: p.state is State.TRAINING)
        assert pipeline.state is State.TRAINING
        assert pipeline.predict(world.x[0], "meanwhile").version == 1
        jobs.get(pipeline.position.run).wait(20)
        live(pipeline, world, at, at + 1)
        unhurt(pipeline, world, failure, words)


@pytest.mark.parametrize(
    ("answers", "failure", "words"),
    [("raise", Failure.raised, "no answer today"), ("nan", Failure.raised, "nan"), ("hang", Failure.hung, "0.3 s")],
)
def test_a_challenger_that_cannot_answer(tmp_path: Path, answers: str, failure: Failure, words: str) -> None:
    world, pipeline = World(), made(tmp_path, fitted(answers=answers), policy=Policy(**POLICY))
    live(pipeline, world, 0, 1100, until=ended)
    unhurt(pipeline, world, failure, words)
    assert len(pipeline.registry.versions("toy")) == 1


def test_a_challenger_that_breaks_in_the_canary(tmp_path: Path) -> None:
    world, pipeline = World(), made(tmp_path, policy=Policy(**POLICY), plan=Plan(held_back=20, shadow=5, canary=50))
    at = live(pipeline, world, 0, 1100, until=lambda p: p.state is State.CANARY)
    rival = pipeline._managed.arms.rival
    assert rival is not None
    rival.model.fitted = "hang"
    for n in range(60):
        said = pipeline.predict(world.x[at + n], f"t{at + n}", (at + n + 1) * 60 * SECOND)
        assert said.version == 1 or n == 0
    live(pipeline, world, at + 60, at + 61)
    unhurt(pipeline, world, Failure.hung, "version 2 did not answer within 0.3 s")


def test_a_rival_that_is_closed_while_it_is_asked_neither_fails_nor_leaves_a_thread() -> None:
    def workers() -> int:
        return sum(thread.name == "fairlead-rival" for thread in threading.enumerate())

    before, asked, go_on = workers(), threading.Event(), threading.Event()

    class Slow:
        def predict(self, x: Any) -> Any:
            asked.set()
            assert go_on.wait(10.0)
            return [[0.25, 0.75]] * len(x)

    rival, found = Rival(Slow(), 2, SCHEMA, 10.0), []
    row = np.zeros((1, 2))
    callers = [threading.Thread(target=lambda: found.append(rival.one(row))) for _ in range(3)]
    for caller in callers:
        caller.start()
    assert asked.wait(10.0)
    rival.close()
    go_on.set()
    for caller in callers:
        caller.join(5.0)  # not the patience
    assert len(found) == 3
    assert [one[0] for one in found if one is not None] == [(0.25, 0.75)]
    assert rival.one(row) is None
    assert rival.many([row, row]) == [None, None]
    assert (rival.failure, rival.message) == (None, "")
    for _ in range(500):
        if workers() <= before:
            break
        time.sleep(0.01)
    assert workers() <= before


def test_a_challenger_of_another_schema(tmp_path: Path) -> None:
    other = Schema("binary", ["a", "c"])
    world, pipeline = World(), made(tmp_path, fitted(schema=other))
    live(pipeline, world, 0, 1100, until=ended)
    step = unhurt(pipeline, world, Failure.schema, "'b' is missing, 'c' is new")
    assert step.event is Event.FAILED
    assert len(pipeline.registry.versions("toy")) == 1


def test_a_disk_that_is_full_when_the_version_is_registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fairlead.lifecycle.registry import disk

    world, pipeline = World(), made(tmp_path)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(disk, "write", full)
    live(pipeline, world, 0, 1100, until=ended)
    unhurt(pipeline, world, Failure.disk_full, "the disk is full")
    monkeypatch.undo()
    live(pipeline, world, 1100, 1600, until=lambda p: p.version == 2)
    assert pipeline.version == 2


def test_a_registry_that_refuses_the_promotion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world, pipeline = World(), made(tmp_path)
    promote = pipeline.registry.promote

    def refuses(name: str, version: Any, **options: Any) -> Any:
        if options.get("alias") == "challenger":
            return promote(name, version, **options)
        error = RegistryStorageError("the disk is full")
        error.failure = Failure.disk_full
        raise error

    monkeypatch.setattr(pipeline.registry, "promote", refuses)
    live(pipeline, world, 0, 1100, until=ended)
    step = ended(pipeline)
    assert step is not None
    assert (step.event, step.failure, pipeline.version) == (Event.FAILED, "disk_full", 1)


def test_one_that_is_worse_after_all_is_rolled_back(tmp_path: Path) -> None:
    world = World(3000)
    pipeline = made(tmp_path, watch=WatchPlan(labels=300))
    at = live(pipeline, world, 0, 1100, until=lambda p: p.version == 2)
    assert pipeline.state is State.WATCHING
    world.y[at:] = 1 - world.y[at:]  # the rule is the old one again
    live(pipeline, world, at, at + 300, until=lambda p: p.version == 1)
    step = pipeline.steps[-1]
    assert (step.event, step.failure, step.by) == (Event.ROLLED_BACK, "worse", "pipeline")
    assert "worse by" in step.reason
    assert pipeline.registry.champion("toy").version == 1
    assert pipeline.predict(world.x[0], "after").version == 1


def test_a_person_may_refuse_force_and_overrule(tmp_path: Path) -> None:
    world, pipeline = World(3000), made(tmp_path, plan=Plan(held_back=20, shadow=500, canary=3, at_most=2000))
    at = live(pipeline, world, 0, 1100, until=lambda p: p.state is State.SHADOW)
    refused = pipeline.veto(by="ada", reason="not on a Friday")
    assert (refused.event, refused.failure, refused.by) == (Event.VETOED, "vetoed", "ada")
    assert pipeline.registry.alias("toy", "challenger") is None
    with pytest.raises(IllegalStepError, match="nothing to refuse"):
        pipeline.veto(by="ada", reason="again")
    at = live(pipeline, world, at, at + 200, until=lambda p: p.state is State.SHADOW)
    with pytest.raises(IllegalStepError, match="has not passed"):
        pipeline.deploy()
    forced = pipeline.force(by="ada", reason="I know better")
    assert (forced.event, pipeline.version, pipeline.state) == (Event.PROMOTED, 3, State.WATCHING)
    taken = pipeline.veto(by="bob", reason="no, she does not")
    assert (taken.event, pipeline.version) == (Event.ROLLED_BACK, 1)
    pipeline.registry.promote("toy", 2, by="eve", reason="an old friend")
    (step,) = pipeline.step((at + 1) * 60 * SECOND)
    assert (step.event, step.by, pipeline.version) == (Event.OVERRULED, "eve", 2)
    assert "an old friend" in step.reason


def test_a_promotion_by_a_person_meanwhile_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world, pipeline = World(), made(tmp_path)
    live(pipeline, world, 0, 1100, until=lambda p: p.state is State.CANARY)
    other = pipeline.registry.register("toy", pipeline.registry.path("toy", 1), schema=SCHEMA)
    champion = pipeline.registry.champion

    def late(name: str) -> Any:
        found = champion(name)
        monkeypatch.undo()
        pipeline.registry.promote("toy", other, by="eve", reason="first")
        return found

    pipeline._reconcile(1)
    monkeypatch.setattr(pipeline.registry, "champion", late)
    pipeline._promote(1, "proven", "pipeline")
    assert pipeline.steps[-1].event is Event.OVERRULED
    assert pipeline.version == other.number == pipeline.registry.champion("toy").version
    assert pipeline.state is State.SERVING


def test_approval_waits_for_a_person(tmp_path: Path) -> None:
    world, pipeline = World(), made(tmp_path, policy=Policy(approval=True, **POLICY))
    live(pipeline, world, 0, 1000)
    assert pipeline.state is State.CANARY
    assert pipeline.version == 1
    assert "promote" in pipeline.status().progress
    assert pipeline.deploy(by="ada").event is Event.PROMOTED


def test_too_few_examples(tmp_path: Path) -> None:
    pipeline = made(tmp_path)
    live(pipeline, World(), 0, 30)
    with pytest.raises(TooFewExamplesError, match="10 examples to learn from"):
        pipeline.retrain()
    assert pipeline.state is State.SERVING


def test_the_first_model_learns_from_what_is_asked(tmp_path: Path) -> None:
    world = World(turn=5000)
    trainer = fitted().fresh()
    pipeline = made(tmp_path, trainer, schema=SCHEMA)
    for n in range(80):
        if pipeline.version is None:
            with pytest.raises(NoChampionError, match="no champion"):
                pipeline.predict(world.x[n], f"t{n}", n * SECOND + 1)
        pipeline.learn(f"t{n}", int(world.y[n]), n * SECOND + 1)
        pipeline.step(n * SECOND + 1)
    assert [step.event for step in pipeline.steps] == [Event.RETRAIN, Event.FIRST], pipeline.steps[1]
    assert pipeline.predict(world.x[0], "t").version == 1


def test_a_log_that_is_full_keeps_nobody_from_an_answer(tmp_path: Path) -> None:
    class Full:
        def append(self, *_: Any, **__: Any) -> int:
            raise fl.JournalFullError("the ring is full")

    pipeline = made(tmp_path, log=Full())
    assert pipeline.predict(World().x[0], "t").version == 1
    assert pipeline.status().unlogged == 1
    with pytest.raises(fl.JournalFullError):
        pipeline.learn("t", 1)


def test_bad_arguments_name_themselves(tmp_path: Path) -> None:
    for options, word in (
        ({"policy": 7}, "policy is 7"),
        ({"clock": 7}, "clock is 7"),
        ({"schema": "x"}, "schema is 'x'"),
    ):
        with pytest.raises(InvalidRecordError, match=word):
            made(tmp_path, **options)
    with pytest.raises(SchemaError, match="'b' is missing"):
        made(tmp_path, schema=Schema("binary", ["a", "c"]))
    with pytest.raises(InvalidRecordError, match="never fitted"):
        made(tmp_path / "other", fitted().fresh())
    for options, word in (({"least": 0}, "least is 0"), ({"mode": "x"}, "mode is 'x'"), ({"seed": 1.5}, "seed is 1.5")):
        with pytest.raises(InvalidRecordError, match=word):
            Policy(**options)
    pipeline = made(tmp_path)
    for x, task, word in (([1.0], "t", "shape"), ([1.0, float("inf")], "t", "'b'"), ([1.0, 2.0], "", "task is ''")):
        with pytest.raises(InvalidRecordError, match=word):
            pipeline.predict(x, task)
    with pytest.raises(InvalidRecordError, match="y is 7"):
        pipeline.learn("t", 7)
    for when, word in (("2026-01-02", "time is '2026-01-02'"), (1.5, "time is 1.5"), (2**63, "time is 9223")):
        with pytest.raises(InvalidRecordError, match=word):
            pipeline.predict([1.0, 2.0], "t", when)
        with pytest.raises(InvalidRecordError, match=word):
            pipeline.learn("t", 1, when)
    for slices, word in ((3, "slices is 3"), ({"category": 3}, "'category': 3")):
        with pytest.raises(InvalidRecordError, match=word):
            pipeline.predict([1.0, 2.0], "t", slices=slices)
    for options, word in (
        ({"window": -5}, "window is -5"),
        ({"window": "x"}, "window"),
        ({"mode": "x"}, "mode is 'x'"),
    ):
        with pytest.raises(InvalidRecordError, match=word):
            pipeline.retrain(**options)
    assert pipeline.status().waiting == 0
