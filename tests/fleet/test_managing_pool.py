"""A managed model whose versions answer together, in a fleet: asked, told by outcomes, and there again when the fleet
is opened again, or its process was killed."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_models import SECOND, Toy, World, fitted

import fairlead as fl
from fairlead.errors import InvalidRecordError
from fairlead.journal import read
from fairlead.lifecycle import InlineJobs, Policy, Pooled, pooled, read_examples
from fairlead.lifecycle.pipeline import Event
from fairlead.lifecycle.pipeline.rival import Rival
from fairlead.lifecycle.proving import Guardrails


class Clock:
    n = 0

    def __call__(self) -> int:
        return (self.n + 1) * 60 * SECOND


def features(task: fl.Task) -> list[float]:
    return [float(word) for word in task.text.split()]


def manage(fleet: fl.Fleet, folder: Path | str, **more: Any) -> Pooled:
    given: dict[str, Any] = {
        "policy": Policy(least=50, holdback=0.05, least_holdback=2, check_every=10, patience_s=5.0),
        "jobs": InlineJobs(f"{folder}/jobs", fleet.journal),
        "features": features,
        "guardrails": Guardrails(latency=None),  # so that two lives are the same
        **more,
    }
    return fleet.manage("toy", given.pop("trainer", fitted()), registry=f"{folder}/models", make=pooled, **given)


def task_of(world: World, n: int) -> fl.Task:
    a, b = world.x[n].tolist()
    return fl.Task(f"t{n}", text=f"{a!r} {b!r}")


def live(fleet: fl.Fleet, clock: Clock, world: World, last: int) -> list[bool]:
    right = []
    while clock.n < last:
        task = task_of(world, clock.n)
        if clock.n % 2:
            p = fleet.predict(task, world.x[clock.n]).p
        else:
            asyncio.run(fleet.ask(task))
            p = fleet.decide(task.id).answer
        right.append((p > 0.5) == bool(world.y[clock.n]))  # type: ignore[operator]
        fleet.settle(task.id, int(world.y[clock.n]))
        fleet.managed["toy"].step()
        clock.n += 1
    return right


def ended(fleet: fl.Fleet) -> None:
    model = fleet.managed["toy"]
    assert isinstance(model, Pooled)
    fleet.close()
    model.pipeline.jobs.close()


def same(a: Any, b: Any) -> None:
    """Snapshots that are the same, but for rounding."""
    assert a["newest"] == b["newest"]
    assert a["pool"]["versions"] == b["pool"]["versions"]
    np.testing.assert_allclose(a["pool"]["log"], b["pool"]["log"], rtol=1e-9, atol=1e-9)
    for name in ("loss", "mass"):
        np.testing.assert_allclose(a["windows"][name], b["windows"][name], rtol=1e-9, atol=1e-12)
    assert {**a["windows"], "loss": 0, "mass": 0} == {**b["windows"], "loss": 0, "mass": 0}


def test_it_answers_learns_and_recovers(tmp_path: Path) -> None:
    world, clock = World(turn=400), Clock()
    with fl.Fleet.open(tmp_path / "desk", clock=clock) as fleet:
        model = manage(fleet, tmp_path)
        right = live(fleet, clock, world, 800)
        assert isinstance(model, Pooled)
        assert len(model.weights()) > 2
        assert np.mean(right[-200:]) > 0.8
        assert model.status().waiting == 0
        assert model.status().labels == 800
        (note,) = [note for note in fleet.report().notes if note.startswith("toy")]
        assert f"{len(model.weights())} versions answer together" in note
        fleet.sync()
        types = [event.type for event in read(tmp_path / "desk", models="toy")]
        assert types.count("input") == 800
        assert "label" not in types
        found = read_examples(tmp_path / "desk", "toy", schema=model.schema)
        assert found.fingerprint == model.examples().fingerprint


@pytest.mark.parametrize("last", [90, 333, 700])
def test_opened_again_it_is_as_it_was(tmp_path: Path, last: int) -> None:
    world, clock = World(turn=200, again=True), Clock()
    fleet = fl.Fleet.open(tmp_path / "desk", clock=clock)
    before = manage(fleet, tmp_path)
    live(fleet, clock, world, last)
    fleet.predict(task_of(world, clock.n))  # without an outcome yet
    before.step()
    known, position, labels = before.snapshot(), before.position, before._labels
    ended(fleet)
    with fl.Fleet.open(tmp_path / "desk", clock=clock) as fleet:
        after = manage(fleet, tmp_path)
        same(after.snapshot(), known)
        assert after.position == position
        assert after._labels == labels
        assert after.answers is not None
        assert before.answers is not None
        assert after.answers.since == before.answers.since
        assert after.waiting() == (f"t{clock.n}",)
        fleet.settle(f"t{clock.n}", int(world.y[clock.n]))  # the weights hear of it
        assert after.snapshot() != known
        assert not after.waiting()
        clock.n += 1
        live(fleet, clock, world, last + 50)
        assert after.status().labels == last + 50


def test_the_watch_moves_it(tmp_path: Path) -> None:
    world = World(turn=100)
    with fl.Fleet.open(tmp_path / "desk") as fleet:
        model = manage(fleet, tmp_path)
        done = []
        model.on_step(done.append)
        with fleet.watch(every="2ms"):
            for n in range(400):
                fleet.predict(task_of(world, n), world.x[n])
                fleet.settle(f"t{n}", int(world.y[n]))
                if n % 50 == 49:
                    model.step()
        assert any(step.event is Event.TRAINED for step in done)
        assert len(model.weights()) > 1


def test_a_version_that_fails_goes_and_a_vetoed_one_stays_away(tmp_path: Path) -> None:
    world, clock = World(turn=200, again=True), Clock()
    fleet = fl.Fleet.open(tmp_path / "desk", clock=clock)
    model = manage(fleet, tmp_path)
    live(fleet, clock, world, 500)
    broken = next(version for version in model.weights() if version != model.version)
    bad = Toy()
    bad.fitted = "raise"
    model._models[broken] = Rival(bad, broken, model.schema, 0.5)
    assert fleet.predict(task_of(world, clock.n)).p is not None
    fleet.settle(f"t{clock.n}", int(world.y[clock.n]))
    clock.n += 1
    assert broken not in model.weights()
    assert "no answer today" in model.status().problem
    while model.position.challenger is None and clock.n < 1000:
        live(fleet, clock, world, clock.n + 1)
    challenger = model.position.challenger
    assert challenger in model.weights()
    model.veto(by="me", reason="I do not like it")
    assert challenger not in model.weights()
    ended(fleet)
    with fl.Fleet.open(tmp_path / "desk", clock=clock) as fleet:
        again = manage(fleet, tmp_path)
        assert challenger not in again.weights()
        live(fleet, clock, world, clock.n + 100)


def test_no_version_is_judged_by_what_it_learnt_from(tmp_path: Path) -> None:
    world, clock = World(turn=200, again=True), Clock()
    with fl.Fleet.open(tmp_path / "desk", clock=clock) as fleet:
        live_model = manage(fleet, tmp_path)
        live(fleet, clock, world, 500)
        from fairlead.lifecycle.pool.reopening import Said

        said, seqs = Said(live_model.pipeline), live_model.examples().seqs
        for version, rival in live_model._models.items():
            said.ask(version, rival, 0)
            last = live_model.registry.info("toy", version).lineage.last or 0
            for at, seq in enumerate(seqs.tolist()):
                assert (version in said.answers(at)) == (seq > last)


def test_what_makes_it_is_named_where_it_cannot(tmp_path: Path) -> None:
    fleet = fl.Fleet()
    with pytest.raises(InvalidRecordError, match="make is 7"):
        fleet.manage("toy", fitted(), registry=tmp_path, make=7)  # type: ignore[call-overload]
    with pytest.raises(InvalidRecordError, match="trigger is given"):
        manage(fleet, tmp_path, trigger=None)


def life(folder: str, last: int) -> None:
    """Ends by a kill."""
    world, clock = World(turn=200, again=True), Clock()
    fleet = fl.Fleet.open(f"{folder}/desk", clock=clock)
    model = manage(fleet, folder)
    clock.n = model.status().labels
    live(fleet, clock, world, last)
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.filterwarnings("ignore::fairlead.errors.JournalWarning")
def test_killed_it_is_the_same_as_one_that_lived(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    (tmp_path / "killed").mkdir()
    (tmp_path / "lived").mkdir()
    for last in (150, 320):
        child = context.Process(target=life, args=(str(tmp_path / "killed"), last))
        child.start()
        child.join(60)
        assert child.exitcode == -signal.SIGKILL
    world, clock = World(turn=200, again=True), Clock()
    with fl.Fleet.open(tmp_path / "lived" / "desk", clock=clock) as fleet:
        model = manage(fleet, tmp_path / "lived")
        live(fleet, clock, world, 320)
        known = model.snapshot()
    with fl.Fleet.open(tmp_path / "killed" / "desk", clock=clock) as fleet:
        same(manage(fleet, tmp_path / "killed").snapshot(), known)
