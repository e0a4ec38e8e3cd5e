"""The second act: the same fault, but one of the readers is managed, and retrained when it should be.

A small neural network joins the four classifiers of the first act that the fault hurts most. It lives in a registry,
answers through a `RetrainingPipeline`, and all that happens to it is decided there: the drift monitor's alarm, a
training job in a process of its own, the trial against the champion, the promotion, the watch. Two things are staged,
later: a mistake in the training, and a person who does not wait for the proof.

Nothing depends on how fast the machine is: while a job trains, the stream goes on with the old champion for as many
images as the job has epochs, and then waits for it.
"""

from __future__ import annotations

import tempfile
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fairlead.demo.cast import Cast, prepare
from fairlead.demo.chronicle import ERRORS, LEAST, SHARE, STEP, Chronicle
from fairlead.demo.life import LifeResult, Moment
from fairlead.demo.sensor import DELAY, FAULT_AT, TRAINED, broken, load
from fairlead.fleet import Fleet
from fairlead.settings import Settings
from fairlead.types import Forecast, Task

if TYPE_CHECKING:
    from fairlead.lifecycle.jobs import JobStatus

NAME = "reader"
OTHERS = ("neighbours", "discriminant", "logistic", "svm")
IMAGES = 1500
ENOUGH = 200  # images since the change that are needed to learn from
MISTAKE_AT = 1100  # then somebody retrains with a mistake
EPOCHS, HASTY = 40, 2
HASTE_AT = 1170  # then somebody is in a hurry, and does not wait for the proof

_SECOND = 10**9
_LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class Now:
    """What can be seen of a moment. accuracy: of the newest images, every ten. progress: of the training, the trial or
    the watch, in words. job: the training under way."""

    image: int
    state: str
    champion: int | None
    challenger: int | None
    progress: str
    accuracy: tuple[float, ...]
    weights: Mapping[str, float]
    job: JobStatus | None


class Watcher:
    """Somebody who looks on. It changes nothing of what happens. pace: seconds that a job rests after each epoch."""

    pace = 0.0

    def happened(self, moment: Moment) -> None:
        """Something happened."""

    def shown(self, now: Now) -> None:
        """Ten more images were shown, or a job went on."""


def live(*, seed: int = 7, cast: Cast | None = None, watcher: Watcher | None = None) -> LifeResult:
    """Plays the second act: 1500 images, through a fleet of which one model is managed.

    seed: of the noise, the order and the training; the same seed gives the same result. cast: of the first act, where
    that was played. watcher: somebody who looks on. Raises ImportError where scikit-learn is missing.
    """
    cast = cast or prepare(seed)
    with tempfile.TemporaryDirectory(prefix="fairlead-demo-") as folder:
        act = _Act(Path(folder), seed, cast, watcher or Watcher())
        try:
            return act.play()
        finally:
            act.close()


class _Act:
    """The stream, and what it plays on: a desk with a fleet, a registry, training jobs."""

    def __init__(self, folder: Path, seed: int, cast: Cast, watcher: Watcher) -> None:
        import numpy as np

        from fairlead.demo.reader import SCHEMA, Reader
        from fairlead.lifecycle import Examples
        from fairlead.lifecycle.pipeline import Policy
        from fairlead.lifecycle.proving import Guardrails, Plan, WatchPlan
        from fairlead.lifecycle.signals import DriftMonitor, OnDrift, RetrainTrigger

        # Shuffled, so that nothing but the sensor changes, not the hands that wrote the digits. When all were shown,
        # those from before the fault are shown again, through the broken sensor: no version has learned from them.
        rng = np.random.default_rng(seed + 1)
        images, digits = load()
        order = TRAINED + rng.permutation(2 * FAULT_AT)
        order = np.concatenate([order, order[:FAULT_AT]])
        seen = np.concatenate([images[order[:FAULT_AT]], broken(images[order[FAULT_AT:]], rng)])
        self.pixels = seen.reshape(len(seen), SCHEMA.width)
        self.digits = digits[order].tolist()
        self.answers = {name: cast.read(name, seen) for name in OTHERS}
        self.watcher = watcher
        self.image = 0
        self.ready_at = 0

        early = Examples(SCHEMA, images[:TRAINED].reshape(TRAINED, -1), digits[:TRAINED])
        self.reader = Reader(epochs=EPOCHS)
        losses: list[float] = []
        self.reader.fit(early, seed=seed, report=lambda epoch: losses.append(epoch.loss or 0.0))
        self.reader.pace = watcher.pace

        self.fleet = Fleet.open(folder / "desk", settings=Settings(psi_reference=300, psi_window=300), clock=self.clock)
        for name in OTHERS:
            self.fleet.add(name)
        self.pipeline = self.fleet.manage(
            NAME,
            self.reader,
            monitor=DriftMonitor(SCHEMA, window=100, reference=early, baseline=100),
            trigger=RetrainTrigger(OnDrift(kinds=ERRORS), cooldown=None),
            # How fast an answer comes depends on the machine, and who is promoted shall not. That a network of two
            # epochs is not sure enough would be seen first, and hide that it errs.
            guardrails=Guardrails(latency=None, calibration=None),
            plan=Plan(least=LEAST, shadow=40, canary=10, share=SHARE),
            watch=WatchPlan(labels=150),
            policy=Policy(
                least=150,
                fresh=ENOUGH,
                holdback=0.04,
                least_holdback=8,
                validation=0.1,
                check_every=STEP,
                seed=seed,
                patience_s=None,
            ),
        )
        self.chronicle = Chronicle(NAME, tuple(losses), self.pixels, self.digits, watcher.happened)
        self.pipeline.on_step(lambda step: self.chronicle.step(self.image, step))

    def clock(self) -> int:
        """An image a second."""
        return self.image * _SECOND

    def play(self) -> LifeResult:
        """Shows all images."""
        waiting: deque[tuple[str, int]] = deque()
        for self.image in range(1, IMAGES + 1):
            if len(waiting) == DELAY:
                self.fleet.settle(*waiting.popleft())
            waiting.append((self.show(), self.digits[self.image - 1]))
            if self.image == FAULT_AT:
                self.chronicle.note(
                    self.image,
                    "fault",
                    "the sensor breaks: it moves every image one pixel to the right, and adds noise",
                )
            self.move()
            self.stage()
            if self.image % STEP == 0:
                self.chronicle.mark(self.fleet)
                self.look()
        return self.chronicle.result(self.pipeline)

    def show(self) -> str:
        """One image to all readers, and a decision."""
        i = self.image - 1
        task = Task(f"image-{self.image}", kind="categorical", labels=tuple("0123456789"))
        for name, answers in self.answers.items():
            self.fleet.record(task, Forecast(name, p=answers[i]))
        found = self.fleet.predict(task, self.pixels[i])
        self.chronicle.answered(found, self.fleet.decide(task))
        return task.id

    def move(self) -> None:
        """What the pipeline does by itself."""
        if self.pipeline.state == "training":
            if self.image < self.ready_at:
                return
            self.wait_for_job()
        self.pipeline.step()
        if self.image % STEP == 0:
            self.chronicle.drift(self.image, self.pipeline.check_drift())
        self.begun()

    def stage(self) -> None:
        """What people do."""
        state, reader = self.pipeline.state, self.reader
        if self.image >= MISTAKE_AT and state == "serving" and not self.chronicle.had("mistake"):
            reader.slip = 1
            self.chronicle.note(
                self.image, "mistake", "a person retrains, with a mistake: the labels have slipped by one row"
            )
            self.pipeline.retrain(by="a person", reason="there are more images now", window=ENOUGH)
            self.begun()
        elif self.image >= HASTE_AT and state == "serving" and not self.chronicle.had("haste"):
            reader.slip, reader.epochs = 0, HASTY
            words = f"a person in a hurry trains for {HASTY} epochs in place of {EPOCHS}"
            self.chronicle.note(self.image, "haste", words)
            self.pipeline.retrain(by="a person", reason="there is no time", window=ENOUGH)
            self.begun()
        elif self.chronicle.had("haste") and not self.chronicle.had("forced") and self.pipeline.position.challenger:
            self.pipeline.force(by="a person", reason="there is no time")
            reader.epochs = EPOCHS

    def begun(self) -> None:
        """A job that was just begun may take as long as it takes to show so many images."""
        if self.pipeline.state == "training" and self.ready_at <= self.image:
            self.ready_at = self.image + self.reader.epochs

    def wait_for_job(self) -> None:
        job = self.pipeline.jobs.get(self.pipeline.position.run)
        while not job.status().ended:
            self.look()
            time.sleep(_LOOK_S)

    def look(self) -> None:
        """Shows where everything stands."""
        status = self.pipeline.status()
        job = self.pipeline.jobs.get(status.run).status() if status.state == "training" else None
        self.watcher.shown(
            Now(
                self.image,
                status.state,
                status.champion,
                status.challenger,
                status.progress,
                self.chronicle.accuracy,
                self.chronicle.weights,
                job,
            )
        )

    def close(self) -> None:
        """Ends all that runs."""
        self.fleet.close()
