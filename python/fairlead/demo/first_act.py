"""The first act: six classifiers read handwritten digits, and half-way their sensor breaks.

Everything runs through `Fleet` as it would live: each image is a task, the models' probabilities are recorded,
the fleet decides, and what the digit really was becomes known a few images later.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count

from fairlead.demo.cast import Cast, prepare
from fairlead.demo.sensor import DELAY, FAULT_AT
from fairlead.fleet import Fleet
from fairlead.measure import Leaderboard
from fairlead.settings import Settings
from fairlead.types import Decision, Forecast, Task

ALARM = 0.25  # drift above this is an alarm

_STEP = 10  # images between two looks at the leaderboard
_WINDOW = 300  # images in the reference and in the window of the drift measure
_SMALLEST = 2.0**-52  # log-loss takes no probability for smaller, as in the core


@dataclass(frozen=True, slots=True)
class Score:
    """Mean scores over the whole stream, and Brier scores before and after the fault."""

    brier: float
    brier_before: float
    brier_after: float
    log_loss: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class ModelStory:
    """What became of one classifier. `before` is when the sensor broke, `after` the end of the stream.

    elo: its rating, every 10 images. alarm: images from the fault until its drift passed `ALARM`, None if it never
    did. share_before: its weight in the decision, mean of the last 100 images before the fault.
    """

    name: str
    sees: str
    elo: tuple[float, ...]
    elo_before: float
    elo_after: float
    drift_before: float
    drift_after: float
    alarm: int | None
    share_before: float
    score: Score


@dataclass(frozen=True, slots=True)
class DemoResult:
    """The first act in numbers.

    models: by rating at the end. best_single: the one with the best Brier score over the whole stream, which is
    known only in hindsight. combined: the fleet's default decision, made with `strategy`. mean: the equal-weight
    mean. reasons: of the last decision. pictures: two digits, each as the working and as the broken sensor sees it, 64
    pixels in [0, 1].
    """

    models: tuple[ModelStory, ...]
    best_single: ModelStory
    combined: Score
    mean: Score
    strategy: str
    reasons: tuple[str, ...]
    pictures: tuple[tuple[float, ...], ...]


def run(*, seed: int = 7) -> DemoResult:
    """Plays the first act: trains six classifiers, streams 1200 images through a fleet, breaks the sensor half-way.

    seed: of the noise and of the classifiers that draw lots; the same seed gives the same result.
    Raises ImportError where scikit-learn is missing.
    """
    return stream(prepare(seed))


def stream(cast: Cast, watch: Callable[[int, Leaderboard, Decision], object] | None = None) -> DemoResult:
    """Streams the images through a fleet, which is told of outcomes, not of the fault. watch: every 10 images."""
    fleet = Fleet(settings=Settings(psi_reference=_WINDOW, psi_window=_WINDOW), clock=count(1).__next__)
    for name in cast.answers:
        fleet.add(name)

    waiting: deque[tuple[str, int]] = deque()
    decisions: list[Decision] = []
    averaged: list[list[float]] = []
    boards: list[Leaderboard] = []
    for i, digit in enumerate(cast.digits):
        if len(waiting) == DELAY:
            fleet.settle(*waiting.popleft())
        task = Task(f"image-{i}", kind="categorical", labels=tuple("0123456789"))
        for name, answers in cast.answers.items():
            fleet.record(task, Forecast(name, p=answers[i]))
        decisions.append(fleet.decide(task))
        averaged.append(vector(fleet.decide(task, strategy="mean")))
        waiting.append((task.id, digit))
        if (i + 1) % _STEP == 0:
            boards.append(fleet.leaderboard())
            if watch is not None:
                watch(i + 1, boards[-1], decisions[-1])

    stories = [_story(name, cast, boards, decisions) for name in cast.answers]
    return DemoResult(
        models=tuple(sorted(stories, key=lambda story: -story.elo_after)),
        best_single=min(stories, key=lambda story: story.score.brier),
        combined=score([vector(decision) for decision in decisions], cast.digits),
        mean=score(averaged, cast.digits),
        strategy=decisions[-1].strategy,
        reasons=decisions[-1].reasons,
        pictures=cast.pictures,
    )


def _story(name: str, cast: Cast, boards: list[Leaderboard], decisions: list[Decision]) -> ModelStory:
    rows = [board[name] for board in boards]
    before, after = rows[FAULT_AT // _STEP - 1], rows[-1]
    return ModelStory(
        name=name,
        sees=cast.sees[name],
        elo=tuple(row.elo for row in rows),
        elo_before=before.elo,
        elo_after=after.elo,
        drift_before=before.drift,
        drift_after=after.drift,
        alarm=next((_STEP * i - FAULT_AT for i, row in enumerate(rows, 1) if row.drift > ALARM), None),
        share_before=mean([decision.weights[name] for decision in decisions[FAULT_AT - 100 : FAULT_AT]]),
        score=score(cast.answers[name], cast.digits),
    )


def vector(decision: Decision) -> list[float]:
    assert isinstance(decision.p, dict)  # the tasks are categorical
    return list(decision.p.values())


def score(answers: Sequence[Sequence[float]], digits: Sequence[int]) -> Score:
    pairs = list(zip(answers, digits, strict=True))
    brier = [math.fsum(x * x for x in p) - 2.0 * p[y] + 1.0 for p, y in pairs]
    return Score(
        brier=mean(brier),
        brier_before=mean(brier[:FAULT_AT]),
        brier_after=mean(brier[FAULT_AT:]),
        log_loss=mean([-math.log(max(p[y], _SMALLEST)) for p, y in pairs]),
        accuracy=mean([float(p.index(max(p)) == y) for p, y in pairs]),
    )


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
