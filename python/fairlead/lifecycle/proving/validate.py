"""A challenger and a champion, side by side on data that neither has learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle.proving.guardrails import Guardrails
from fairlead.lifecycle.proving.plan import Plan
from fairlead.lifecycle.proving.trial import Trial

if TYPE_CHECKING:
    from fairlead.lifecycle.examples import Examples
    from fairlead.lifecycle.trainer import Trainer


def validate(
    challenger: Trainer,
    champion: Trainer,
    held_back: Examples,
    *,
    plan: Plan | None = None,
    guardrails: Guardrails | None = None,
    slices: Sequence[Mapping[str, str]] | None = None,
    name: str = "trial",
) -> Trial:
    """The first stage of a trial: both predict the held-back examples, in their order.

    What comes back is refused - as it was worse, tripped a guardrail, or its schema differs - or goes on in shadow:
    `observe` it. Neither model may have learned from these examples, nor may the challenger have been chosen by them.
    plan: by default `Plan()`, for numbers with absolute errors. Raises InvalidRecordError for a model that is not
    fitted, and what `Trial.compare` raises.
    """
    schemas = champion.schema, challenger.schema
    if schemas[0] is None or schemas[1] is None:
        raise InvalidRecordError(f"the {'champion' if schemas[0] is None else 'challenger'} is not fitted")
    if plan is None:
        plan = Plan(loss="absolute") if schemas[0].kind == "numeric" else Plan()
    trial = Trial(name, plan, guardrails, schemas=(schemas[0], schemas[1]))
    if trial.stage != "done":
        trial.compare(
            held_back.y.tolist(), champion.predict(held_back.x), challenger.predict(held_back.x), slices=slices
        )
    return trial
