"""Writes the second act down: what happened when, who served, and in the end the numbers that are told."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from fairlead.demo.first_act import mean
from fairlead.demo.life import CANARY, CHAMPION, LEARNS, SHADOW, LifeResult, Moment, Span, Training, Trial, Version
from fairlead.demo.sensor import FAULT_AT, TRAINED
from fairlead.fleet import Fleet
from fairlead.types import Decision, Forecast

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fairlead.lifecycle import Examples
    from fairlead.lifecycle.pipeline import RetrainingPipeline, Step
    from fairlead.lifecycle.signals import DriftStatus

STEP = 10  # images between two points of a line
LEAST = 0.01  # a challenger is given up once it is refuted that it gains so much
SHARE = 0.25  # of the images, which a challenger answers in its canary
WINDOW = 60  # images that accuracy is taken over
ERRORS = ("accuracy", "change", "error_rate")
"""Signals that the reader is retrained for: of its errors. Its inputs move a little all the time, as writers differ."""
ROLES = {"validating": SHADOW, "shadow": SHADOW, "canary": CANARY}

_SECOND = 10**9
_ORIGINS = {1: "before the stream", 2: "after the fault", 3: "labels that slipped", 4: "2 epochs alone"}


class Chronicle:
    """Of one managed model. pixels, digits: all images, also those that are not shown. tell: hears of each moment."""

    def __init__(
        self,
        name: str,
        losses: tuple[float, ...],
        pixels: NDArray[np.float64],
        digits: Sequence[int],
        tell: Callable[[Moment], object],
    ) -> None:
        self.name = name
        self.moments: list[Moment] = []
        self.weights: Mapping[str, float] = {}
        """Of the newest decision."""
        self._losses = losses
        self._pixels, self._digits = pixels, digits
        self._tell = tell
        self._steps: list[tuple[int, Step]] = []
        self._right: list[bool] = []
        self._fleet_right: list[bool] = []
        self._elo: list[Mapping[str, float]] = []
        self._weights: list[Mapping[str, float]] = []

    # --- as it happens ---

    def answered(self, found: Forecast, decision: Decision) -> None:
        """What the managed model answered to the next image, and the fleet."""
        digit = self._digits[len(self._right)]
        self._right.append(_likeliest(found.p) == digit)
        self._fleet_right.append(_likeliest(decision.p) == digit)
        self.weights = decision.weights

    def mark(self, fleet: Fleet) -> None:
        """A point of every line."""
        self._elo.append({row.model: row.elo for row in fleet.leaderboard()})
        self._weights.append(dict(self.weights))

    def drift(self, image: int, status: DriftStatus) -> None:
        """What the drift monitor sees; its first alarm is a moment."""
        raised = status.raised("alarm", ERRORS)
        if raised and not self.had("alarm"):
            self.note(image, "alarm", f"drift alarm: {raised[0].message}")

    def step(self, image: int, step: Step) -> None:
        """A step of the pipeline."""
        position, event = step.position, step.event.value
        self._steps.append((image, step))
        champion, challenger = position.champion, position.challenger
        if event == "retrain" and step.by == "pipeline":
            what = step.reason.rpartition("; ")[2]
            self.note(image, "retrain", f"a training job begins, in a process of its own: it {what}")
        elif event == "advanced" and position.state.value == "canary":
            self.note(image, "canary", f"canary: version {challenger} answers {SHARE:.0%} of the images", challenger)
        elif event == "advanced" and not self.had("haste"):
            words = (
                f"version {challenger} has learned; in shadow of version {champion} it predicts, and decides nothing"
            )
            self.note(image, "shadow", words, challenger)
        elif event == "promoted":
            by_hand = step.by != "pipeline"
            words = (
                f"version {champion} is {step.reason}" if by_hand else f"version {champion} is promoted: {step.reason}"
            )
            self.note(image, "forced" if by_hand else "promotion", words, champion)
        elif event == "refused":
            version = self._newest_challenger()
            self.note(image, "refusal", f"version {version} is refused: {step.reason.partition(' (')[0]}", version)
        elif event == "kept":
            self.note(image, "kept", f"version {champion} is kept, its watch is over: {step.reason}", champion)
        elif event == "rolled_back":
            self.note(image, "rollback", f"rolled back to version {champion}: the other was {step.reason}", champion)

    def note(self, image: int, what: str, words: str, version: int | None = None) -> None:
        """Something happened."""
        self.moments.append(Moment(image, what, words, version))
        self._tell(self.moments[-1])

    def had(self, what: str) -> bool:
        """Whether such a moment was."""
        return any(moment.what == what for moment in self.moments)

    @property
    def accuracy(self) -> tuple[float, ...]:
        """Of the managed model, as it answered."""
        return _rolling(self._right)

    # --- in the end ---

    def result(self, pipeline: RetrainingPipeline) -> LifeResult:
        """All of it, in numbers."""
        examples, images = pipeline.examples(), len(self._right)
        right = {one.number: self._reads(pipeline, one.number) for one in pipeline.registry.versions(self.name)}
        promoted, forced = self._at("promotion", images - 1), self._at("forced", images)
        periods = ((0, FAULT_AT), (FAULT_AT, promoted), (promoted, forced))
        return LifeResult(
            name=self.name,
            images=images,
            fault_at=FAULT_AT,
            step=STEP,
            window=WINDOW,
            accuracy={
                "served": (math.nan, *self.accuracy),
                "kept": (math.nan, *_rolling(right[1][:images])),
                "fleet": (math.nan, *_rolling(self._fleet_right)),
            },
            elo={name: (1500.0, *(row[name] for row in self._elo)) for name in self._elo[0]},
            weights={name: (math.nan, *(row[name] for row in self._weights)) for name in self._elo[0]},
            moments=tuple(self.moments),
            spans=tuple(self._spans(images)),
            trainings=tuple(self._trainings(pipeline, examples)),
            trials=tuple(self._trials(pipeline, examples, right)),
            versions=tuple(self._versions(pipeline, right)),
            reads=tuple(mean(self._right[a:b]) for a, b in periods),
            decides=tuple(mean(self._fleet_right[a:b]) for a, b in periods),
        )

    def _reads(self, pipeline: RetrainingPipeline, version: int) -> list[bool]:
        """Which of all images a version reads rightly."""
        from fairlead.demo.reader import Reader

        model = pipeline.registry.load(self.name, version, into=Reader())
        found: list[int] = model.predict(self._pixels).argmax(axis=1).tolist()
        return [one == digit for one, digit in zip(found, self._digits, strict=True)]

    def _at(self, what: str, otherwise: int) -> int:
        return next((moment.image for moment in self.moments if moment.what == what), otherwise)

    def _newest_challenger(self) -> int | None:
        """Who was on trial last."""
        return next((s.position.challenger for _, s in reversed(self._steps) if s.position.challenger), None)

    def _spans(self, images: int) -> Iterator[Span]:
        """Who did what from when to when."""
        doing: dict[int | None, tuple[str, int]] = {1: (CHAMPION, 0)}
        learning = 0
        for image, step in [*self._steps, (images, None)]:
            if step is None:
                now: dict[int | None, str] = {}
            else:
                position = step.position
                now = {position.champion: CHAMPION}
                if position.challenger is not None:
                    now[position.challenger] = ROLES[position.state.value]
                if position.previous is not None:
                    now[position.previous] = SHADOW
                if step.event.value == "retrain":
                    learning = image
                if step.event.value == "trained":
                    assert position.challenger is not None
                    yield Span(position.challenger, LEARNS, learning, image)
            for version, (role, begin) in list(doing.items()):
                if now.get(version) != role:
                    assert version is not None
                    del doing[version]
                    if image > begin:
                        yield Span(version, role, begin, image)
            for version, role in now.items():
                doing.setdefault(version, (role, image))

    def _trainings(self, pipeline: RetrainingPipeline, examples: Examples) -> Iterator[Training]:
        yield Training(1, "before the stream", TRAINED, self._losses, ())
        reason = ""
        for _, step in self._steps:
            if step.event.value == "retrain":
                reason = "by hand" if step.by != "pipeline" else "after the drift alarm"
            elif step.event.value == "trained":
                job, position = pipeline.jobs.get(step.position.run).status(), step.position
                assert position.trained is not None
                assert position.challenger is not None
                first, last = position.trained
                learned = int(((examples.seqs >= first) & (examples.seqs <= last)).sum())
                yield Training(
                    position.challenger, reason, learned, _numbers(job.losses), _numbers(job.validation_losses)
                )

    def _trials(
        self, pipeline: RetrainingPipeline, examples: Examples, right: Mapping[int, Sequence[bool]]
    ) -> Iterator[Trial]:
        """The evidence of each trial and watch again, label by label, from the same test on the same pairs."""
        begun: tuple[int, int, bool, int] | None = None  # the two versions, whether it is a watch, and what came before
        for image, step in self._steps:
            position, event = step.position, step.event.value
            if begun is not None and event in ("promoted", "refused", "kept", "rolled_back"):
                yield self._trial(pipeline, examples, right, begun, image, event, step)
                begun = None
            if event == "trained":
                assert position.challenger is not None
                assert position.champion is not None
                assert position.trained is not None
                begun = (position.challenger, position.champion, False, position.trained[1])
            elif event == "promoted":
                assert position.previous is not None
                assert position.champion is not None
                begun = (position.champion, position.previous, True, position.at)

    def _trial(
        self,
        pipeline: RetrainingPipeline,
        examples: Examples,
        right: Mapping[int, Sequence[bool]],
        begun: tuple[int, int, bool, int],
        end: int,
        outcome: str,
        step: Step,
    ) -> Trial:
        from fairlead.lifecycle.proving import PairedTest

        version, against, watch, since = begun
        better, worse = PairedTest(), PairedTest(margin=0.0 if watch else -LEAST)
        images, e_better, e_worse = [], [], []
        for seq, time in zip(examples.seqs.tolist(), examples.times.tolist(), strict=True):
            image = time // _SECOND
            if since < seq <= step.position.at:
                wrong = float(not right[version][image - 1]), float(not right[against][image - 1])
                images.append(image)
                e_better.append(1.0 if watch else better.update(wrong[1], wrong[0]))
                e_worse.append(worse.update(*wrong))
                if outcome == "refused" and e_worse[-1] >= 20.0:
                    break
        gain = mean([float(right[version][i - 1]) - float(right[against][i - 1]) for i in images]) if images else 0.0
        outcome = "forced" if outcome == "promoted" and step.by != "pipeline" else outcome.replace("_", " ")
        return Trial(
            version,
            against,
            watch,
            tuple(images),
            tuple(e_better),
            tuple(e_worse),
            20.0,
            gain,
            outcome,
            step.reason,
        )

    def _versions(self, pipeline: RetrainingPipeline, right: Mapping[int, Sequence[bool]]) -> Iterator[Version]:
        learned = [m.image for m in self.moments if m.what in ("retrain", "mistake", "haste")]
        unseen = max(2 * FAULT_AT, *learned)
        told = {
            "promotion": "champion",
            "refusal": "refused",
            "forced": "rolled back" if self.had("rollback") else "forced",
        }
        fates = {m.version: told[m.what] for m in self.moments if m.what in told}
        fates[1] = f"champion until {self._at('promotion', len(self._right)):,}"
        for one in pipeline.registry.versions(self.name):
            number = one.number
            before, after = right[number][:FAULT_AT], right[number][unseen:]
            yield Version(
                number, one.digest, _ORIGINS.get(number, ""), mean(before), mean(after), fates.get(number, "")
            )


def _rolling(right: Sequence[bool]) -> tuple[float, ...]:
    """The share of the newest images, every `STEP` images; NaN before there are enough."""
    ends = range(STEP, len(right) + 1, STEP)
    return tuple(mean(right[end - WINDOW : end]) if end >= WINDOW else math.nan for end in ends)


def _numbers(values: Sequence[float | None]) -> tuple[float, ...]:
    return tuple(value for value in values if value is not None)


def _likeliest(p: object) -> int:
    assert isinstance(p, Mapping)  # the tasks are categorical
    values = list(p.values())
    return values.index(max(values))
