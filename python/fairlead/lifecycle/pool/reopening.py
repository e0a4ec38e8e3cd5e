"""A pool again, from the registry and the examples at hand: who was in it, and what each version said to labels that it
had not been trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from fairlead.lifecycle.failures import Failure
from fairlead.lifecycle.pipeline import Event, RetrainingPipeline, Step
from fairlead.lifecycle.pipeline.answers import Answer, rows_in
from fairlead.lifecycle.pipeline.rival import Rival

RELEARNT = 2_000
"""The newest examples that the weights are learnt from again. Of what the weights knew before them, exp(-4) is left in
the slower kind, and nothing in the other."""
OWN = "the pool"
"""Who ends a trial that the next run overtakes, which is nothing against its challenger."""
HARMFUL = (Failure.vetoed, Failure.guardrail, Failure.schema, Failure.hung, Failure.raised, Failure.out_of_memory)
"""Why a challenger may not answer in a pool either. One that is only no better than the champion may: it has its
weight."""


class Moment(NamedTuple):
    """A step that was taken, or an example that was complete. at_hand: examples there were."""

    step: Step | None
    at: int  # in the examples
    at_hand: int


class Lived(NamedTuple):
    """What a pool goes through again. members: in it before the first moment, in the order in which they came."""

    members: tuple[int, ...]
    moments: tuple[Moment, ...]
    labels: tuple[int | float, ...]


def lived(pipeline: RetrainingPipeline, keep: int) -> Lived:
    """From the pipeline's newest steps and examples."""
    steps, held = pipeline.steps, pipeline.examples()
    examples = held.last(min(RELEARNT, len(held)))
    seqs = examples.seqs.tolist()
    early = [step for step in steps if not seqs or step.position.at < seqs[0]]
    late = list(steps[len(early) :])
    all_labels, capacity = pipeline.status().labels, pipeline.policy.capacity

    def at_hand(at: int) -> int:
        return min(all_labels - len(seqs) + at, capacity)

    moments: list[Moment] = []
    for at, seq in enumerate(seqs):
        while late and late[0].position.at < seq:
            moments.append(Moment(late.pop(0), at, at_hand(at)))
        moments.append(Moment(None, at, at_hand(at)))
    moments += [Moment(step, len(seqs), at_hand(len(seqs))) for step in late]
    return Lived(_members(pipeline, early, steps, keep), tuple(moments), tuple(examples.y.tolist()))


def _members(pipeline: RetrainingPipeline, early: Sequence[Step], steps: Sequence[Step], keep: int) -> tuple[int, ...]:
    """The champion then, and the newest versions that were there and that nothing was found against."""
    late = steps[len(early) :]
    if early:
        champion = early[-1].position.champion
    else:
        champion = None if late and late[0].event is Event.FIRST else pipeline.version
    if champion is None:
        return ()
    barred = set(harmful(steps)) | {version for step in late if (version := brought(step)) is not None}
    numbers = [version.number for version in pipeline.registry.versions(pipeline.name)]
    others = [number for number in numbers if number != champion and number not in barred]
    return (*(others[-(keep - 1) :] if keep > 1 else ()), champion)


def brought(step: Step) -> int | None:
    """The version that a step brings into a pool."""
    if step.event is Event.TRAINED:
        return step.position.challenger
    if step.event in (Event.FIRST, Event.PROMOTED, Event.OVERRULED, Event.ROLLED_BACK):
        return step.position.champion
    return None


def harmful(steps: Iterable[Step]) -> list[int]:
    """Versions that something was found against."""
    found, tried = [], None
    for step in steps:
        if step.event is Event.RETRAIN:
            tried = None
        elif step.event is Event.TRAINED:
            tried = step.position.challenger
        if tried is not None and step.failure in HARMFUL and step.by != OWN:
            found.append(tried)
    return found


class Said:
    """What versions say to the examples of `lived`, each asked for all of them at once."""

    def __init__(self, pipeline: RetrainingPipeline) -> None:
        self._pipeline = pipeline
        held = pipeline.examples()
        self._examples = held.last(min(RELEARNT, len(held)))
        self._found: dict[int, tuple[int, list[Answer | None]]] = {}

    def ask(self, version: int, rival: Rival, at: int) -> None:
        """From the example `at` on, but for those that it, or its early stopping, has seen in training."""
        last = self._pipeline.registry.info(self._pipeline.name, version).lineage.last
        if last is not None:
            at = max(at, int(self._examples.seqs.searchsorted(last, side="right")))
        self._found[version] = (at, rival.many(rows_in(self._examples[at:])))

    def answers(self, at: int) -> dict[int, Answer]:
        """To one example."""
        found: dict[int, Answer] = {}
        for version, (begin, answers) in self._found.items():
            if at >= begin and (answer := answers[at - begin]) is not None:
                found[version] = answer
        return found


def said_to(rivals: Callable[[], dict[int, Rival]], rows: dict[str, Any]) -> dict[str, dict[int, Answer]]:
    """What versions say to inputs that wait for their labels, by task."""
    found: dict[str, dict[int, Answer]] = {task: {} for task in rows}
    for version, rival in rivals().items():
        for task, answer in zip(rows, rival.many(list(rows.values())), strict=True):
            if answer is not None:
                found[task][version] = answer
    return found
