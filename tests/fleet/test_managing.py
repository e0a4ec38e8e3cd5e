"""Managed models in a fleet: asked, told by outcomes, written into its journal, and there again when it is opened."""

from __future__ import annotations

import asyncio
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
from toy_models import SCHEMA, SECOND, World, fitted, options

import fairlead as fl
from fairlead.errors import InvalidRecordError, TaskEndedError, UnknownModelError
from fairlead.fleet.unattended import Watching
from fairlead.journal import read
from fairlead.lifecycle import Examples, InlineJobs, Schema, read_examples
from fairlead.lifecycle.pipeline import RetrainingPipeline, State
from fairlead.lifecycle.trainers import FunctionTrainer


class Clock:
    """A minute an event."""

    def __init__(self) -> None:
        self.n = 0

    def __call__(self) -> int:
        return (self.n + 1) * 60 * SECOND


def features(task: fl.Task) -> list[float]:
    return [float(word) for word in task.text.split()]


def manage(fleet: fl.Fleet, folder: Path, **more: Any) -> RetrainingPipeline:
    given: dict[str, Any] = {
        "jobs": InlineJobs(folder / "jobs", fleet.journal),
        "features": features,
        **options(),
        **more,
    }
    return fleet.manage("toy", given.pop("trainer", fitted()), registry=folder / "models", **given)


def task_of(world: World, n: int) -> fl.Task:
    return fl.Task(f"t{n}", text=f"{world.x[n][0]!r} {world.x[n][1]!r}".replace("np.float64(", "").replace(")", ""))


def live(fleet: fl.Fleet, clock: Clock, world: World, last: int, until: State | None = None) -> None:
    """Tasks until `last`: every other one is asked for by `ask`."""
    pipeline = fleet.managed["toy"]
    while clock.n < last and (until is None or pipeline.state is not until):
        task = task_of(world, clock.n)
        if clock.n % 2:
            fleet.predict(task, world.x[clock.n])
        else:
            asyncio.run(fleet.ask(task))
        fleet.settle(task.id, int(world.y[clock.n]))
        pipeline.step()
        clock.n += 1


def test_it_answers_learns_and_is_promoted(tmp_path: Path) -> None:
    world, clock = World(), Clock()
    with fl.Fleet.open(tmp_path / "desk", clock=clock) as fleet:
        pipeline = manage(fleet, tmp_path)
        live(fleet, clock, world, 900)
        assert pipeline.version == 2
        row = next(iter(fleet.leaderboard()))
        assert (row.model, row.n) == ("toy", 900)
        assert pipeline.status().waiting == 0
        fleet.sync()
        types = [event.type for event in read(tmp_path / "desk", models="toy")]
        assert types.count("input") == 900
        assert "label" not in types
        assert "training_run" in types
        assert "model_version" in types
        found = read_examples(tmp_path / "desk", "toy", schema=SCHEMA)
        assert found.fingerprint == pipeline.examples().fingerprint
        assert "toy: serving, champion version 2" in fleet.report().notes


@pytest.mark.parametrize("until", [State.SHADOW, State.CANARY, State.WATCHING, None], ids=str)
def test_opened_again_it_is_as_it_was(tmp_path: Path, until: State | None) -> None:
    world, clock = World(), Clock()
    fleet = fl.Fleet.open(tmp_path / "desk", clock=clock)
    before = manage(fleet, tmp_path)
    live(fleet, clock, world, 900, until)
    fleet.predict(task_of(world, clock.n))  # without an outcome yet
    before.step()
    fleet.close()
    with fl.Fleet.open(tmp_path / "desk", clock=clock) as fleet:
        after = manage(fleet, tmp_path)
        assert after.position == before.position
        assert after.monitor.check().as_dict() == before.monitor.check().as_dict()
        assert after.examples().fingerprint == before.examples().fingerprint
        assert after.examples().seqs.tolist() == before.examples().seqs.tolist()
        assert after.status().waiting == 1
        fleet.settle(f"t{clock.n}", int(world.y[clock.n]))
        clock.n += 1
        live(fleet, clock, world, 900)
        assert after.version == 2
        assert after.status().labels == 900


def test_opened_again_after_a_training_in_a_process_of_its_own(tmp_path: Path) -> None:
    world, clock = World(), Clock()
    with fl.Fleet.open(tmp_path / "desk", clock=clock) as fleet:
        before = manage(fleet, tmp_path, jobs=None, plan=None)
        live(fleet, clock, world, 100)
        run = before.retrain().position.run
        assert before.validate(60.0).challenger == 2
    with fl.Fleet.open(tmp_path / "desk", clock=clock) as fleet:
        after = manage(fleet, tmp_path, jobs=None, plan=None)
        assert after.position == before.position
        assert after.jobs.get(run).status().state == "done"


def test_outcomes_are_told_by_name_and_void_ones_are_forgotten(tmp_path: Path) -> None:
    schema = Schema("categorical", ["a", "b"], labels=("down", "flat", "up"))

    def learn(examples: Examples, weights: Any, seed: int) -> dict[str, Any]:
        return {"n": len(examples)}

    def answer(weights: Any, x: Any) -> Any:
        return [[0.2, 0.3, 0.5]] * len(x)

    trainer = FunctionTrainer(learn, answer)
    trainer.fit(Examples(schema, [[0.0, 1.0]] * 3, ["down", "flat", "up"]))
    with fl.Fleet.open(tmp_path / "desk") as fleet:
        pipeline = fleet.manage("mood", trainer, registry=tmp_path / "models", jobs=InlineJobs(tmp_path / "jobs"))
        for n, outcome in enumerate(("up", 0, None, "flat")):
            task = fl.Task(f"t{n}", kind="categorical", labels=("up", "flat", "down"))
            assert fleet.predict(task, [0.0, n]).p == {"down": 0.2, "flat": 0.3, "up": 0.5}
            if outcome is None:
                fleet.void(task)
            else:
                fleet.settle(task, outcome)
        pipeline.step()
        assert pipeline.examples().y.tolist() == [2, 2, 1]
        assert pipeline.status().waiting == 0
        fleet.sync()
        found = read_examples(tmp_path / "desk", "mood", schema=schema)
        assert found.fingerprint == pipeline.examples().fingerprint
        with pytest.raises(TaskEndedError):
            fleet.predict(fl.Task("t0", kind="categorical", labels=("up", "flat", "down")), [0.0, 0.0])
        assert fleet.managed["mood"].status().waiting == 0
        with pytest.raises(InvalidRecordError, match="binary"):
            fleet.predict(fl.Task("other"), [0.0, 0.0])


def test_watch_lets_all_go_on_and_tells_what_goes_wrong(tmp_path: Path) -> None:
    world = World(turn=5000)
    with fl.Fleet.open(tmp_path / "desk") as fleet:
        good = manage(fleet, tmp_path)
        bad = fleet.manage(
            "bad", fitted(), registry=tmp_path / "others", jobs=InlineJobs(tmp_path / "more"), **options()
        )

        def broken(*_: Any, **__: Any) -> None:
            raise OSError(28, "No space left on device")

        bad.step = broken  # type: ignore[method-assign]
        fleet.managed["toy"].learn("nobody", 1)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            with fleet.watch(every="5ms") as watching:
                assert watching.running
                for n in range(40):
                    fleet.predict(task_of(world, n), world.x[n], model="toy")
                    fleet.settle(f"t{n}", int(world.y[n]))
                until = time.monotonic() + 10
                while good._memory.labels < 40 and time.monotonic() < until:
                    time.sleep(0.01)
            assert not watching.running
        assert good._memory.labels == 40
        assert sum("bad" in str(one.message) for one in told) == 1
        assert "No space left" in str(told[0].message)
        fleet.sync()
        (alert,) = read(tmp_path / "desk", types="alert")
        assert alert.model == "bad"
        assert alert.data["kind"] == "pipeline"


def test_a_watch_that_hangs_in_a_round_does_not_come_back_beside_the_next() -> None:
    class Slow:
        gone = False

        def __init__(self) -> None:
            self.rounds: list[threading.Thread] = []
            self.inside, self.go_on = threading.Event(), threading.Event()

        def step(self) -> None:
            self.rounds.append(threading.current_thread())
            self.inside.set()
            assert self.go_on.wait(10.0)

    slow = Slow()
    watching = Watching(slow, "1ms").start()
    assert slow.inside.wait(10.0)
    assert not watching.stop(timeout=0.01)
    with watching:
        slow.go_on.set()
        slow.rounds[0].join(5.0)
        assert not slow.rounds[0].is_alive()
        assert watching.running


def test_closing_ends_the_watch_and_the_journal_takes_no_more(tmp_path: Path) -> None:
    fleet = fl.Fleet.open(tmp_path / "desk")
    manage(fleet, tmp_path)
    watching = fleet.watch(every=0.01)
    fleet.close()
    assert not watching.running
    assert "champion 1" in repr(fleet.managed["toy"])


def test_in_memory(tmp_path: Path) -> None:
    world, clock = World(), Clock()
    fleet = fl.Fleet(clock=clock)
    with pytest.raises(UnknownModelError, match="manages no model"):
        fleet.predict(fl.Task("t"), [0.0, 0.0])
    with pytest.raises(InvalidRecordError, match="in memory"):
        fleet.manage("toy", fitted())
    manage(fleet, tmp_path)
    live(fleet, clock, world, 800)
    assert fleet.managed["toy"].version == 2


def test_bad_arguments_name_themselves(tmp_path: Path) -> None:
    fleet = fl.Fleet()
    for more, word in (
        ({"features": 7}, "features is 7"),
        ({"log": 7}, "log is given"),
        ({"model": fl.Model("other")}, "must be a Model of the name 'toy'"),
    ):
        with pytest.raises(InvalidRecordError, match=word):
            manage(fleet, tmp_path, **more)
    with pytest.raises(InvalidRecordError, match="registry is 7"):
        fleet.manage("toy", fitted(), registry=7, jobs=InlineJobs(tmp_path))  # type: ignore[arg-type]
    manage(fleet, tmp_path, features=None)
    with pytest.raises(InvalidRecordError, match="manages already"):
        manage(fleet, tmp_path)
    with pytest.raises(InvalidRecordError, match="no features"):
        fleet.predict(fl.Task("t"))
    with pytest.raises(UnknownModelError, match="did you mean 'toy'"):
        fleet.predict(fl.Task("t"), [0.0, 0.0], model="tow")
    with pytest.raises(InvalidRecordError, match="every is 0"):
        fleet.watch(every=0)
