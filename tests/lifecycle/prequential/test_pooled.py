"""A pipeline whose versions answer together: who is in the pool, and who goes."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prequential_streams import drifting, trainer

from fairlead import InvalidRecordError
from fairlead.lifecycle import InlineJobs, Pool, Pooled, Registry, Schema, Stream, pooled
from fairlead.lifecycle.pipeline import Policy, RetrainingPipeline, State
from fairlead.lifecycle.pipeline.rival import Rival

SCHEMA = Schema("binary", ["x0", "x1"])


class Clock:
    now = 0

    def __call__(self) -> int:
        return self.now * 10**9


def made(folder: Path, clock: Clock, **more: Any) -> Pooled:
    policy = Policy(least=25, holdback=0.05, least_holdback=1, patience_s=None)
    jobs = InlineJobs(folder / "jobs", clock=clock)
    registry = Registry(folder, clock=clock)
    return pooled("m", trainer(), registry, schema=SCHEMA, policy=policy, clock=clock, jobs=jobs, **more)


def live(model: Pooled, clock: Clock, stream: Stream, begin: int, end: int) -> list[float]:
    """Streams some rows; P(1) of each that was answered."""
    told = []
    for t in range(begin, end):
        clock.now = t
        if model.pipeline.version is not None:
            p = model.predict(stream.x[t], str(t), clock()).p
            assert isinstance(p, float)
            told.append(p)
        else:
            with pytest.raises(Exception, match="no champion yet"):
                model.predict(stream.x[t], str(t), clock())
        model.learn(str(t), int(stream.y[t]), clock())
        if t % 25 == 24:
            model.step(clock())
    return told


def test_each_version_comes_in_and_the_answer_is_theirs(tmp_path: Path) -> None:
    clock, stream = Clock(), drifting(400)
    model = made(tmp_path, clock)
    live(model, clock, stream, 0, 400)
    versions = [version.number for version in model.pipeline.registry.versions("m")]
    assert len(versions) > 3
    assert set(model.pool.versions) == set(versions[-8:])
    assert sum(model.weights().values()) == pytest.approx(1.0)
    found = model.predict(stream.x[0], "last", clock())
    assert found.arm == "pool"
    models = {v: model.pipeline.registry.load("m", v, into=trainer()) for v in model.pool.versions}
    answers = {v: tuple(m.predict(stream.x[:1])[0].tolist()) for v, m in models.items()}
    assert found.answer == pytest.approx(model.pool.answer(answers))
    assert found.version == max(model.weights(), key=lambda v: model.weights()[v])


def test_made_again_it_has_the_newest_versions_and_goes_on_as_before(tmp_path: Path) -> None:
    clock, stream = Clock(), drifting(600)
    model = made(tmp_path, clock)
    live(model, clock, stream, 0, 300)
    said = model.predict(stream.x[5], "a", clock()).answer  # while it is open: closed, its champion answers alone
    state = model.snapshot()
    model.close()
    model.pipeline.jobs.close()
    again = made(tmp_path, clock)
    assert set(again.pool.versions) <= {v.number for v in again.pipeline.registry.versions("m")}
    assert again.pipeline.version in again.pool
    again.restore(state)
    assert again.snapshot() == state
    assert again.predict(stream.x[5], "a", clock()).answer == pytest.approx(said)
    assert len(live(again, clock, stream, 300, 350)) == 50


def test_a_version_that_a_person_vetoes_goes(tmp_path: Path) -> None:
    clock, stream = Clock(), drifting(300, every=1000)
    model = made(tmp_path, clock)
    live(model, clock, stream, 0, 150)
    while model.pipeline.state is not State.SERVING:
        model.pipeline.veto(by="me", reason="room")
    model.pipeline.retrain(by="me", reason="a test")
    model.pipeline.validate()
    challenger = model.pipeline.position.challenger
    assert challenger is not None
    assert challenger in model.pool
    model.pipeline.veto(by="me", reason="I do not like it")
    assert challenger not in model.pool
    assert "vetoed by me" in model.problem
    model.predict(stream.x[0], "next", clock())


def test_a_version_that_fails_goes_and_the_others_answer(tmp_path: Path) -> None:
    clock, stream = Clock(), drifting(300)
    model = made(tmp_path, clock)
    live(model, clock, stream, 0, 300)
    broken = next(v for v in model.pool.versions if v != model.pipeline.version)

    class Broken:
        def predict(self, x: Any) -> Any:
            raise ValueError("no")

    model._models[broken].model = Broken()
    assert model.predict(stream.x[0], "next", clock()).arm == "pool"
    assert broken not in model.pool
    assert "raised ValueError: no" in model.problem


def test_where_the_champion_fails_the_others_answer(tmp_path: Path) -> None:
    clock, stream = Clock(), drifting(300)
    model = made(tmp_path, clock)
    live(model, clock, stream, 0, 300)
    champion = model.version

    class Broken:
        def predict(self, x: Any) -> Any:
            raise ValueError("no")

    model.pipeline._managed.arms = model.pipeline._managed.arms._replace(model=Broken())
    found = model.predict(stream.x[0], "next", clock())
    assert found.arm == "pool"
    assert found.version != champion
    assert f"version {champion}, the champion, raised ValueError: no" in model.status().problem
    with pytest.raises(InvalidRecordError, match="task is"):
        model.predict(stream.x[0], "", clock())
    with pytest.raises(InvalidRecordError):
        model.predict([1.0], "short", clock())


def test_one_that_does_not_answer_in_time_goes(tmp_path: Path) -> None:
    clock, stream = Clock(), drifting(300)
    model = made(tmp_path, clock)
    live(model, clock, stream, 0, 300)
    slow = next(v for v in model.pool.versions if v != model.version)
    asleep = threading.Event()

    class Slow:
        def predict(self, x: Any) -> Any:
            asleep.wait(60)

    model._models[slow] = Rival(Slow(), slow, SCHEMA, 0.05)
    assert model.predict(stream.x[0], "next", clock()).arm == "pool"
    assert slow not in model.pool
    assert "did not answer" in model.status().problem
    asleep.set()


def test_its_status_has_the_weights(tmp_path: Path) -> None:
    clock, stream = Clock(), drifting(300)
    model = made(tmp_path, clock)
    live(model, clock, stream, 0, 300)
    status = model.status()
    assert status.together == model.weights()
    assert f"{len(model.pool)} versions answer together" in str(status)
    assert set(status.as_dict()["together"]) == {str(version) for version in model.pool.versions}


def test_after_a_change_it_learns_from_what_came_since(tmp_path: Path) -> None:
    clock, stream = Clock(), drifting(900, every=600)
    model = made(tmp_path, clock)
    told = live(model, clock, stream, 0, 900)
    right = (np.array(told) > 0.5) == stream.y[900 - len(told) :]
    assert right[-200:].mean() > 0.85
    reasons = [step.reason for step in model.pipeline.steps if step.event.value == "retrain"]
    changed = next(i for i, reason in enumerate(reasons) if reason.startswith("answers:"))
    assert "learns from" in reasons[changed]
    learnt = int(reasons[changed].split("learns from ")[1].split(" ")[0])
    assert learnt < 120
    assert any("since a change" in reason for reason in reasons[changed:]), reasons


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRecordError, match="must be a RetrainingPipeline"):
        Pooled("m", trainer())  # type: ignore[arg-type]
    pipeline = RetrainingPipeline("m", trainer(), tmp_path, schema=SCHEMA)
    with pytest.raises(InvalidRecordError, match="the pool is numeric"):
        Pooled(pipeline, trainer(), Pool("numeric"))
