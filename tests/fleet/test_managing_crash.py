"""A whole process, desk and managed model, is killed at each thing that its pipeline writes; the next one goes on."""

from __future__ import annotations

import multiprocessing
import os
import signal
import warnings
from pathlib import Path
from typing import Any

import pytest
from toy_models import SECOND, World, fitted, make_mortal, options

import fairlead as fl
from fairlead.journal import read
from fairlead.lifecycle import InlineJobs, Registry, read_examples
from fairlead.lifecycle.pipeline import TABLE, Event, State, Step

LAST = 700


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def life(folder: str, dies: int, after: int, processes: bool, slow: bool) -> None:
    """Goes on where the last one died, and ends when a new champion was watched and kept."""
    warnings.simplefilter("ignore")
    world, at = World(turn=250), [0]
    with fl.Fleet.open(f"{folder}/desk", clock=lambda: (at[0] + 1) * 60 * SECOND) as fleet:
        jobs = None if processes else InlineJobs(f"{folder}/jobs", fleet.journal)
        trainer = fitted(fault="slow" if slow else "")
        pipeline = fleet.manage("toy", trainer, registry=f"{folder}/models", jobs=jobs, **options())
        make_mortal(pipeline, {"left": dies, "after": after}, kill)
        pipeline.step()
        for n in range(pipeline.status().labels, LAST):
            at[0] = n
            said = fleet.predict(fl.Task(f"t{n}"), world.x[n])
            assert said.p is not None
            fleet.settle(f"t{n}", int(world.y[n]))
            pipeline.step()
            if processes and pipeline.state is State.TRAINING:
                pipeline._runs.find(pipeline.position.run).wait(30)
                pipeline.step()
            if pipeline.steps[-1].event is Event.KEPT:
                return


def lived(context: Any, folder: Path, dies: int, after: int, *, processes: bool = False) -> int | None:
    child = context.Process(target=life, args=(str(folder), dies, after, processes, processes))
    child.start()
    child.join(60)
    code: int | None = child.exitcode
    child.close()
    return code


@pytest.fixture(scope="module")
def context() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["toy_models", "fairlead.lifecycle.jobs.jobs", "fairlead.lifecycle.registry"])
    return context


def steps(folder: Path) -> list[Step]:
    events = read(folder / "desk", types="deployment", models="toy")
    return [Step.from_dict(event.data, seq=event.seq) for event in events if "position" in event.data]


def sound(folder: Path) -> list[Step]:
    """What a dead process left: a champion that loads, and steps of which each leads from the one before."""
    registry = Registry(folder / "models")
    champion = registry.champion("toy")
    assert champion is not None
    assert registry.load("toy", into=fitted()).predict(World().x[:3]).shape == (3, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fl.Fleet.open(folder / "desk").close()  # so that what is in shared memory is read, too
    found, state = steps(folder), State.SERVING
    for step in found:
        assert step.position.state in TABLE[state, step.event]
        state = step.position.state
    return found


def test_killed_at_each_thing_that_is_written(tmp_path: Path, context: Any) -> None:
    deaths, dies, written, code = 0, 1, 0, -signal.SIGKILL
    while code == -signal.SIGKILL and deaths < 40:
        code = lived(context, tmp_path, dies, deaths % 2)  # before it, and after it
        deaths += code == -signal.SIGKILL
        found = len(sound(tmp_path))
        dies, written = (1, found) if found > written else (dies + 1, found)  # it must come further some time
    assert code == 0
    assert deaths >= 8
    events = [step.event for step in sound(tmp_path)]
    assert events[0] is Event.FIRST
    assert events[-2:] == [Event.PROMOTED, Event.KEPT]
    registry = Registry(tmp_path / "models")
    champion = registry.champion("toy")
    assert champion is not None
    assert champion.version != 1
    line = registry.info("toy").lineage
    learnt = read_examples(tmp_path / "desk", "toy", schema=fitted().schema, first=line.first, last=line.last)  # type: ignore[arg-type]
    assert learnt.fingerprint == line.data


def test_a_training_goes_on_whose_process_was_killed(tmp_path: Path, context: Any) -> None:
    assert lived(context, tmp_path, 2, 1, processes=True) == -signal.SIGKILL  # the word of it is written
    assert sound(tmp_path)[-1].event is Event.RETRAIN
    assert lived(context, tmp_path, 0, 0, processes=True) == 0
    events = [step.event for step in sound(tmp_path)]
    assert Event.RESUMED in events
    assert events[-1] is Event.KEPT
    assert [version.lineage.run for version in Registry(tmp_path / "models").versions("toy")] == [None, "toy-00001"]
