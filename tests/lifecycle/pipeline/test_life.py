"""The whole life of a managed model, without anything going wrong."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from toy_models import SCHEMA, SECOND, Toy, World, fitted, live, made, options

import fairlead as fl
from fairlead.journal import read
from fairlead.lifecycle import InlineJobs, NoChampionError, read_examples
from fairlead.lifecycle.pipeline import Event, IllegalStepError, Policy, RetrainingPipeline, State, engine

EVENTS = [Event.FIRST, Event.RETRAIN, Event.TRAINED, Event.ADVANCED, Event.ADVANCED, Event.PROMOTED, Event.KEPT]


def test_drift_is_noticed_and_a_better_model_promoted(tmp_path: Path) -> None:
    world, pipeline = World(), made(tmp_path)
    live(pipeline, world, 0, 1500)
    assert [step.event for step in pipeline.steps][:7] == EVENTS
    assert pipeline.state is State.SERVING
    assert pipeline.version == 2
    right = sum((pipeline.predict(world.x[n], f"again{n}").p > 0.5) == world.y[n] for n in range(1500, 2000))
    assert right > 400


def test_labels_that_come_many_at_once(tmp_path: Path) -> None:
    world, pipeline = World(5000), made(tmp_path)
    for n in range(5000):
        now = (n + 1) * 60 * SECOND
        pipeline.predict(world.x[n], f"t{n}", now)
        if n % 1000 == 999:  # more than a trial takes at most
            for k in range(n - 999, n + 1):
                pipeline.learn(f"t{k}", int(world.y[k]), now)
        pipeline.step(now)
    assert Event.PROMOTED in [step.event for step in pipeline.steps]
    assert pipeline.version == 2


def test_what_is_deployed_has_its_lineage(tmp_path: Path) -> None:
    with fl.Journal(tmp_path / "journal") as journal:
        pipeline = made(tmp_path, log=journal)
        live(pipeline, World(), 0, 1200, until=lambda p: p.version == 2)
        journal.wait_durable()
        version = pipeline.registry.info("toy", 2)
        line = version.lineage
        assert line.run == "toy-00001"
        assert line.dependencies["fairlead"] == fl.__version__
        assert version.metrics["accuracy"] > 0.7
        learnt = read_examples(journal.folder, "toy", schema=SCHEMA, first=line.first, last=line.last)
        assert learnt.fingerprint == line.data
        steps = [event.data for event in read(journal.folder, types="deployment", models="toy")]
        assert [step["status"] for step in steps] == [event.value for event in EVENTS[:6]]
        assert "drift" in steps[1]["reason"]
        (note,) = read(journal.folder, types="note", models="toy")
        assert note.data["held_by"] == "fresh"
        assert "examples have come since, 80 are waited for" in note.data["text"]
        assert [event.data["status"] for event in read(journal.folder, types="alert", models="toy")][-1] == "raised"
        (run,) = [event for event in read(journal.folder, types="training_run") if "version" in event.data]
        assert (run.data["run"], run.data["version"]) == ("toy-00001", "2")
        again = fitted().fresh()
        again.fit(learnt, seed=line.seed or 0)
        again.save(tmp_path / "again.json")
        assert (tmp_path / "again.json").read_bytes() == pipeline.registry.path("toy", 2).read_bytes()


def test_step_by_step(tmp_path: Path) -> None:
    pipeline, world = made(tmp_path), World(turn=200)
    for n in range(400):
        pipeline.predict(world.x[n], f"t{n}", n * SECOND + 1)
        pipeline.learn(f"t{n}", int(world.y[n]), n * SECOND + 1)
    assert pipeline.check_drift().level == "alarm"
    assert pipeline.state is State.SERVING
    begun = pipeline.retrain(by="ada", reason="new rules", window=150)
    assert (begun.event, begun.by) == (Event.RETRAIN, "ada")
    with pytest.raises(IllegalStepError, match="veto"):
        pipeline.retrain()
    status = pipeline.validate()
    assert status.state == "shadow"
    assert status.challenger == 2
    with pytest.raises(IllegalStepError, match="has not passed"):
        pipeline.deploy()
    for n in range(400, 450):
        pipeline.predict(world.x[n], f"t{n}", n * SECOND + 1)
        pipeline.learn(f"t{n}", int(world.y[n]), n * SECOND + 1)
        pipeline.validate()
    assert pipeline.state is State.CANARY
    assert pipeline.version == 1
    assert pipeline.deploy(by="ada").event is Event.PROMOTED
    assert pipeline.version == 2
    back = pipeline.rollback(by="ada", reason="on second thoughts")
    assert (back.event, pipeline.version, pipeline.state) == (Event.ROLLED_BACK, 1, State.SERVING)


def test_two_on_one_registry_do_not_refuse_each_other(tmp_path: Path) -> None:
    world = World(1500, turn=500)
    both = [
        RetrainingPipeline(
            "toy", fitted(), tmp_path, jobs=InlineJobs(tmp_path / name), folder=tmp_path / name, **options()
        )
        for name in ("one", "other")
    ]
    for n in range(1500):
        for pipeline in both:
            live(pipeline, world, n, n + 1)
    assert [pipeline.version for pipeline in both] == [2, 2] or [pipeline.version for pipeline in both] == [3, 3]
    events = {step.event for pipeline in both for step in pipeline.steps}
    assert Event.PROMOTED in events
    assert Event.VETOED not in events
    assert len(both[0].registry.versions("toy")) <= 5


def test_without_a_step_nothing_grows_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "QUEUED", 100)
    world, policy = World(), Policy(least=60, capacity=200, pending=150)
    ours = made(tmp_path / "ours", policy=policy)
    other = made(tmp_path / "other", policy=policy)
    for n in range(1500):
        for pipeline in (ours, other):
            pipeline.predict(world.x[n], f"t{n}", (n + 1) * SECOND)
            if n % 2:
                pipeline.learn(f"t{n}", int(world.y[n]), (n + 1) * SECOND)
        assert len(ours._memory.queue) <= 101
        assert len(ours._memory._waiting) <= 150
        other.check_drift()
    assert ours.examples().fingerprint == other.examples().fingerprint
    assert ours.check_drift().as_dict() == other.check_drift().as_dict()


def test_any_number_of_threads(tmp_path: Path) -> None:
    world = World(4000, turn=700)
    problems: list[BaseException] = []
    with fl.Journal(tmp_path / "journal", overflow="spill") as journal:
        pipeline = made(tmp_path, log=journal, clock=iter(range(10**12, 10**15, 60 * SECOND)).__next__)
        turns = iter(range(4000))
        versions = set()

        def works() -> None:
            try:
                for n in turns:
                    versions.add(pipeline.predict(world.x[n], f"t{n}").version)
                    pipeline.learn(f"t{n}", int(world.y[n]))
            except BaseException as error:
                problems.append(error)

        threads = [threading.Thread(target=works) for _ in range(3)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            pipeline.step()
            time.sleep(0.002)
        pipeline.step()
        assert problems == []
        assert pipeline.status().labels == 4000
        assert versions <= {version.number for version in pipeline.registry.versions("toy")}
        assert any(step.event is Event.RETRAIN for step in pipeline.steps)
        learnt = pipeline.examples()
        journal.wait_durable()
        assert read_examples(journal.folder, "toy", schema=SCHEMA).fingerprint == learnt.fingerprint


def test_its_status_says_what_holds_a_run_back(tmp_path: Path) -> None:
    world, pipeline = World(), made(tmp_path)
    seen: list[str] = []

    def look(pipeline: RetrainingPipeline) -> bool:
        status = pipeline.status()
        if status.state == "serving" and status.level == "alarm":
            seen.append(status.progress)
        return False

    live(pipeline, world, 0, 660, until=look)
    assert seen
    assert all("examples have come since, 80 are waited for" in text for text in seen)
    anew = made(tmp_path / "anew", Toy(), schema=SCHEMA)
    for n in range(30):
        with pytest.raises(NoChampionError):
            anew.predict(world.x[n], f"t{n}", n + 1)
        anew.learn(f"t{n}", int(world.y[n]), n + 1)
        anew.step(n + 1)
    assert "waits for examples to train the first version: 30 of 60" in str(anew.status())


@pytest.mark.parametrize("part", ["trigger", "monitor"])
def test_parts_that_are_none_are_named_at_once(tmp_path: Path, part: str) -> None:
    with pytest.raises(fl.InvalidRecordError, match=f"{part} is 5, must be a"):
        RetrainingPipeline("toy", fitted(), tmp_path / "r", **{part: 5})  # type: ignore[arg-type]


def test_a_run_that_a_drop_asks_for_does_not_learn_from_before_it(tmp_path: Path) -> None:
    """Numbers whose meaning turns round at 1,000: whatever sees it first, the model is good again soon."""
    from sklearn.linear_model import LinearRegression

    from fairlead.lifecycle.trainers import SklearnTrainer

    rng = np.random.default_rng(0)
    x = rng.normal(size=(3000, 2))
    y = x[:, 0] * np.where(np.arange(3000) < 1000, 1, -1) + 0.3 * rng.normal(size=3000)
    trainer = SklearnTrainer(LinearRegression())
    trainer.fit(fl.Examples(fl.Schema("numeric", ["a", "b"]), x[:300], y[:300]))
    clock = iter(range(0, 10**18, 10**9))
    jobs = InlineJobs(tmp_path / "jobs")
    pipeline = RetrainingPipeline("n", trainer, tmp_path / "r", jobs=jobs, clock=lambda: next(clock))
    for n in range(300, 3000):
        pipeline.predict(x[n], f"t{n}")
        pipeline.learn(f"t{n}", float(y[n]))
        pipeline.step()
    assert pipeline.version is not None
    assert pipeline.version > 1
    off = [abs(pipeline.predict(x[n], f"again-{n}").value - y[n]) for n in range(2800, 3000)]  # type: ignore[operator]
    assert np.mean(off) < 0.4
