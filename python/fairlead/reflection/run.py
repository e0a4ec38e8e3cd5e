"""From rows to a reflection on one model, or to a comparison of all."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

from numpy.typing import ArrayLike

from fairlead.events import Event
from fairlead.reflection.calibration import calibration_of
from fairlead.reflection.columns import KINDS, Answers, check
from fairlead.reflection.contexts import contexts_of
from fairlead.reflection.ensembles import contribution_of, pairs_of
from fairlead.reflection.fleet_wide import Comparison, all_evidence, compare_kind
from fairlead.reflection.paired import compare_pairs, cost_of, regret_of
from fairlead.reflection.result import KindReflection, Reflection
from fairlead.reflection.suggestions import Evidence, Suggestion, advice, ensemble
from fairlead.reflection.summary import performance_of, summary_of, training_of
from fairlead.reflection.trend import MIN_ROUNDS, trend_of

_PARTNERS = 3  # pairs suggested, at most


def reflect(
    rows: Mapping[str, ArrayLike],
    model: str,
    *,
    models: Sequence[str] = (),
    contexts: Sequence[str] = (),
    events: Iterable[Event] = (),
) -> Reflection:
    """What a model did, how good it is, where that is going, and what follows.

    Args:
        rows: Settled forecasts by column, each of shape (n,): one row for each model and ended task.
            (`reflect_folder` makes them of a journal.) Needed are time (int64 nanoseconds, of the outcome), task, model
            and kind (0 binary, 1 categorical, 2 numeric), scored and loss; the rest is NaN or 0 where it is not there.
        model: Whom to reflect on.
        models: The names that the numbers of the column `model` stand for.
        contexts: The names that those of the column `context` stand for: "category=politics".
        events: Of which those of type `training_run` are looked at.

    Outcomes that became known at the same time are one round, and all tests allow for rounds that depend on each other.
    The same rows give the same bits. Losses of different kinds of tasks are never mixed.

    Raises:
        UnknownModelError: model is not one of models.
        ValueError, TypeError: A column is missing, or of a wrong shape, dtype or range.

    >>> rows = {"time": [1, 1, 2, 2], "task": [1, 1, 2, 2], "model": [0, 1, 0, 1], "kind": [0, 0, 0, 0],
    ...         "scored": [1, 1, 1, 1], "loss": [0.04, 0.25, 0.16, 0.25]}
    >>> reflection = reflect(rows, "a", models=["a", "b"])
    >>> reflection["binary"].performance.brier, reflection["binary"].trend.state
    (0.1, 'unknown')
    """
    table = check(rows, models, contexts)
    number = table.number(model)
    kinds, suggestions, missing = [], [], []
    for kind in KINDS:
        answers = Answers(table, kind)
        if answers.counts[number]:
            one, todo, lacking = _reflect_kind(answers, number)
            kinds.append(one)
            suggestions += todo
            missing += [f"{kind}: {text}" for text in lacking]
    training = training_of(events, model)
    if not kinds:
        missing.append("scores: no answer of it has an outcome yet")
    if training is None:
        missing.append("training: the journal has no training_run of it")
    retired = _retired(suggestions, {model: [k.kind for k in kinds]})
    return Reflection(model, summary_of(table, number), training, tuple(kinds), tuple(retired), tuple(missing))


def _retired(suggestions: list[Suggestion], kinds: Mapping[str, Sequence[str]]) -> list[Suggestion]:
    """A model is retired if that follows in every kind of task it has answers in, or not at all."""
    out = []
    for suggestion in suggestions:
        if suggestion.action == "retire":
            (name,) = suggestion.models
            found = {s.kind for s in suggestions if s.action == "retire" and s.models == (name,)}
            if found != set(kinds[name]):
                continue
        out.append(suggestion)
    return out


def _reflect_kind(answers: Answers, model: int) -> tuple[KindReflection, list[Suggestion], list[str]]:
    others = [other for other in answers.present if other != model]
    against = compare_pairs(answers, [(model, other) for other in others])
    pairs = pairs_of(answers, [(model, other) for other in others])
    trend, calibration = trend_of(answers, model), calibration_of(answers, model)
    contexts, contribution = contexts_of(answers, model), contribution_of(answers, model)
    one = KindReflection(
        answers.kind,
        performance_of(answers, model),
        trend,
        contexts,
        calibration,
        cost_of(answers, model, against),
        regret_of(answers, model, against),
        tuple(against),
        tuple(pairs),
        contribution,
    )
    evidence = Evidence(
        model,
        trend,
        trend.p_value,
        calibration,
        calibration.smaller_p if calibration else math.nan,
        calibration.drift.p_value if calibration else math.nan,
        contribution,
        against,
        pairs,
    )
    suggestions = [ensemble(pair, answers.kind) for pair in pairs if pair.worthwhile][:_PARTNERS]
    todo, missing = advice(answers, evidence)
    lacking = []
    if trend.state == "unknown":
        lacking.append(f"a trend takes {MIN_ROUNDS} rounds of outcomes, there are {trend.chosen.rounds}")
    if not others:
        lacking.append("no other model has answers: nothing to compare or pool it with")
    unmet = sum(math.isnan(paired.p_adjusted) for paired in against)
    if unmet:
        lacking.append(
            f"{unmet} of {len(against)} others could not be compared with it: too few rounds in common, or numbers "
            "whose losses always differ by the same"
        )
    if contexts.rows and not contexts.tested:
        lacking.append("no context has enough tasks and rounds, here and elsewhere, to be told from the rest")
    if calibration and calibration.state == "unknown":
        lacking.append(f"calibration: {calibration.bias.rounds} rounds of outcomes are too few to tell")
    return one, suggestions + todo, lacking + missing


def compare(rows: Mapping[str, ArrayLike], *, models: Sequence[str] = (), contexts: Sequence[str] = ()) -> Comparison:
    """All models against each other, and what follows for the fleet. Arguments as in `reflect`.

    P-values are adjusted for all pairs of models (Holm); those of trends and calibration for all models (Benjamini and
    Hochberg), so that a big fleet is not full of alarms.

    >>> rows = {"time": [1, 1, 2, 2], "task": [1, 1, 2, 2], "model": [0, 1, 0, 1], "kind": [0, 0, 0, 0],
    ...         "scored": [1, 1, 1, 1], "loss": [0.04, 0.25, 0.16, 0.25]}
    >>> compare(rows, models=["a", "b"])["binary"].difference("b", "a").value
    0.15
    """
    table = check(rows, models, contexts)
    kinds, suggestions, missing = [], [], []
    answered: dict[str, list[str]] = {}
    for kind in KINDS:
        answers = Answers(table, kind)
        if not len(answers):
            continue
        both = list(combinations(answers.present, 2))
        against, pairs = compare_pairs(answers, both), pairs_of(answers, both)
        evidence = all_evidence(answers, against, pairs)
        suggestions += [ensemble(pair, kind) for pair in pairs if pair.worthwhile][:_PARTNERS]
        for known in evidence:
            answered.setdefault(table.models[known.model], []).append(kind)
            todo, lacking = advice(answers, known)
            suggestions += todo
            missing += [f"{kind}: {text}" for text in lacking]
        kinds.append(compare_kind(answers, against, pairs, evidence))
    if not kinds:
        missing.append("scores: no answer has an outcome yet")
    return Comparison(tuple(kinds), tuple(_retired(suggestions, answered)), tuple(missing))
