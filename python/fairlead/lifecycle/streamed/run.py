"""`prequential`: a stream, row by row: each is answered first, and learnt from when its label has come."""

from __future__ import annotations

import tempfile
import time as _time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairlead.errors import InvalidRecordError, did_you_mean
from fairlead.lifecycle.examples import CAPACITY, Examples
from fairlead.lifecycle.failures import LifecycleError
from fairlead.lifecycle.jobs import InlineJobs
from fairlead.lifecycle.pipeline import Event, NoChampionError, Policy, RetrainingPipeline, Step
from fairlead.lifecycle.pool import Pooled, pooled
from fairlead.lifecycle.proving import Guardrails, Plan
from fairlead.lifecycle.proving.plan import whole
from fairlead.lifecycle.registry import Registry
from fairlead.lifecycle.schema import Schema
from fairlead.lifecycle.streamed.ahead import AheadTrainer, Feed
from fairlead.lifecycle.streamed.history import with_history
from fairlead.lifecycle.streamed.result import Prequential, contender
from fairlead.lifecycle.streamed.rivals import Course, Track, never, no_change, on_adwin, on_schedule
from fairlead.lifecycle.streamed.stream import Stream
from fairlead.lifecycle.trainer import PathLike, Trainer

Managed = Pooled | RetrainingPipeline
RIVALS: dict[str, Callable[[Course, int], Track]] = {
    "never retrained": lambda course, retrains: never(course),
    "fixed schedule": lambda course, retrains: on_schedule(course, retrains, lambda run: course.buffer),
    "ADWIN-triggered": lambda course, retrains: on_adwin(course, own_window=False),
    "ADWIN, its window": lambda course, retrains: on_adwin(course, own_window=True),
    "no change": lambda course, retrains: no_change(course),
}
"""By name; each is told how often the managed model was retrained."""
_EVERY = 25  # rows between two looks of the pipeline
_LEAST = 25  # examples that a run learns from
_SECOND = 10**9


def default_trainer() -> Trainer:
    """Gradient boosted trees as scikit-learn has them, each of whose splits looks at a fifth of the columns, so that
    versions err on different rows. Needs scikit-learn and skops."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    from fairlead.lifecycle.trainers import SklearnTrainer

    model = HistGradientBoostingClassifier(max_features=0.2, early_stopping=False)
    return SklearnTrainer(model, replay=0)


def prequential(
    x: Any,
    y: Any = None,
    *,
    trainer: Trainer | None = None,
    history: bool = True,
    warm: int | None = None,
    delay: int = 1,
    seed: int = 0,
    manage: Callable[..., Managed] = pooled,
    rivals: Sequence[str] | None = None,
    folder: PathLike | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Prequential:
    """A labelled stream through a managed model, beside the same model without management.

    x, y: rows of numbers and labels in the order of time, or a `Stream` (`read_stream`). trainer: of everybody, the
    default `default_trainer()`. history: whether everybody is told the past of a row too (`with_history`). warm: rows
    that the first version is trained on, 1,000 or a tenth of the stream if not given. delay: the label of row t is
    known before row t + delay is answered, and not sooner. manage: makes what answers, as `pooled` does, of (name,
    trainer, registry) and more. rivals: names of `RIVALS`, all if not given; "fixed schedule" trains as often as the
    managed model did, from the whole buffer of 10,000. folder: of the registry, kept; else a temporary one. progress:
    called with rows done, and rows.

    A training counts each time, whether its model was ever promoted or not. Time is simulated; a second a row.

    Raises InvalidRecordError for what is no such stream.
    """
    stream = x if isinstance(x, Stream) else Stream.of(x, y)
    trainer = default_trainer() if trainer is None else trainer
    names = list(RIVALS) if rivals is None else list(rivals)
    for name in names:
        if name not in RIVALS:
            raise InvalidRecordError(f"rivals holds {name!r}{did_you_mean(name, RIVALS)}")
    course = _course(stream, trainer, history=history, warm=warm, delay=delay, seed=seed)
    with tempfile.TemporaryDirectory(prefix="fairlead-stream-") as own:
        place = Path(own if folder is None else folder)
        answers, retrains, spent, took, managed, steps = _managed(course, manage, place, progress)
    truth = np.asarray(course.examples.y[course.start :], dtype=np.int64)
    contenders = [contender("managed", answers, truth, answers, retrains=retrains, training_s=spent, seconds=took)]
    for name in names:
        track = RIVALS[name](course, retrains)
        contenders.append(
            contender(
                name,
                track.answers,
                truth,
                answers,
                retrains=track.retrains,
                training_s=track.training_s,
                seconds=track.seconds,
            )
        )
    return Prequential(
        contenders=tuple(contenders),
        rows=len(stream),
        warm=course.start,
        delay=delay,
        classes=stream.labels,
        features=course.schema.features,
        promoted=sum(step.event is Event.PROMOTED for step in steps),
        weights=managed.weights() if isinstance(managed, Pooled) else {},
        events=tuple(str(step) for step in steps),
    )


def _course(stream: Stream, trainer: Trainer, *, history: bool, warm: int | None, delay: int, seed: int) -> Course:
    n = len(stream)
    whole(delay, "delay", 1)
    whole(seed, "seed", 0)
    if warm is None:
        warm = min(1000, max(n // 10, 50))
    whole(warm, "warm", 10)
    start = warm + delay - 1
    if n < start + 10:
        raise InvalidRecordError(f"the stream has {n} rows, {start + 10} are needed beside warm={warm}, delay={delay}")
    x, features = stream.x, stream.names
    if history:
        x, features = with_history(x, stream.y, classes=len(stream.labels), names=features, delay=delay)
    kind: Any = "binary" if len(stream.labels) == 2 else "categorical"
    labels = () if kind == "binary" else stream.labels
    missing = bool(np.isnan(x).any())
    examples = Examples(Schema(kind, features, labels, missing=missing), x, stream.y)
    if len(set(stream.y[:warm].tolist())) < 2:
        raise InvalidRecordError(f"the first {warm} rows have one label alone: give more of them (warm)")
    return Course(examples, start, delay, CAPACITY, trainer, seed)


def _managed(
    course: Course, manage: Callable[..., Managed], place: Path, progress: Callable[[int, int], object] | None
) -> tuple[NDArray[np.int64], int, float, float, Managed, list[Step]]:
    """What it answered, retrains, seconds of training, seconds of all, itself, and what it did."""
    begin = _time.perf_counter()
    x: Any = course.examples.x
    y = course.examples.y.tolist()
    n, start, delay = len(y), course.start, course.delay
    feed = Feed(x)
    trainer = AheadTrainer(course.trainer.fresh(), feed)
    now = [0]

    def clock() -> int:
        return now[0] * _SECOND

    registry = Registry(place, clock=clock)
    least = min(course.known(start), _LEAST)
    managed = manage(
        "stream",
        trainer,
        registry,
        schema=course.schema,
        jobs=InlineJobs(place / "jobs", clock=clock),
        policy=Policy(
            least=least, holdback=0.01, least_holdback=1, seed=course.seed, patience_s=None, check_every=_EVERY
        ),
        plan=Plan(loss="brier"),
        guardrails=Guardrails(latency=None, cost=None),
        clock=clock,
    )
    steps: list[Step] = []
    _pipeline(managed).on_step(steps.append)
    answers = np.zeros(n - start, dtype=np.int64)
    for t in range(n):
        now[0] = feed.at = t
        told = t - delay
        if told >= 0:
            managed.learn(str(told), y[told], clock())
        if t >= start and (t - start) % _EVERY == 0:
            managed.step(clock())
            if progress is not None:
                progress(t, n)
        if t < start:
            try:
                managed.predict(x[t], str(t), clock())
            except NoChampionError:
                continue
        else:
            answer: Any = _ask(managed, x[t], str(t), clock())
            answers[t - start] = max(range(len(answer)), key=answer.__getitem__)
    managed.close()
    return answers, len(feed.trained) - 1, sum(feed.trained), _time.perf_counter() - begin, managed, steps


def _ask(managed: Managed, row: Any, task: str, time: int) -> Any:
    try:
        return managed.predict(row, task, time).answer
    except NoChampionError as error:
        steps = _pipeline(managed).steps
        why = steps[-1].reason if steps else "nothing was trained"
        raise LifecycleError(f"the first version could not be trained: {why}") from error


def _pipeline(managed: Managed) -> RetrainingPipeline:
    return managed.pipeline if isinstance(managed, Pooled) else managed
