"""A challenger's trial against the champion: held-back data, then shadow, then canary, and one verdict.

    prequential   answers on data that are held back: neither model has learned from them
    shadow        the challenger answers beside the champion and decides nothing
    canary        it serves a share of tasks, chosen by a hash of their ids; the champion answers in shadow there. When
                  nothing speaks for it any more (e-value below 1) it goes back to the shadow
    done          promote or refuse, with a reason

One test (`PairedTest`) runs through all of them, so that what was seen earlier counts on. It may be looked at after
each pair: of challengers that are no better than the champion at most a share `alpha` is promoted. What must be seen
besides (the least number of labels of each stage, guardrails) can only lower that.

A `Trial` is a pure function of what it was shown: no clock, no randomness; made again from `as_dict` it goes on to the
bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle.failures import Failure, LifecycleError, SchemaError
from fairlead.lifecycle.proving.canary import Arm, served_by
from fairlead.lifecycle.proving.comparison import Comparison
from fairlead.lifecycle.proving.guardrails import Check, Guardrails, Reply
from fairlead.lifecycle.proving.losses import NUMERIC, check_loss, label_of
from fairlead.lifecycle.proving.paired import PairedTest
from fairlead.lifecycle.proving.plan import Decision, Plan, Stage, Verdict

if TYPE_CHECKING:
    from fairlead.lifecycle.schema import Schema


class Trial:
    """The trial of one challenger.

    name: of the trial, such as its run's id: it decides which tasks are the canary's. schemas: of champion and
    challenger; where they differ the challenger is refused before anything runs.

    >>> trial = Trial("run-7", Plan(held_back=20, shadow=5, canary=0))
    >>> wrong, right = [0.9, 0.1], [0.2, 0.8]
    >>> verdict = trial.compare([1] * 30, champion=[wrong, right, right] * 10, challenger=[right] * 30)
    >>> verdict.decision, trial.stage
    ('continue', 'shadow')
    >>> while trial.stage == "shadow":
    ...     verdict = trial.observe(1, Reply(wrong), Reply(right))
    >>> print(verdict)
    promote: better by 0.4286 (zero_one) over 35 pairs, e-value 2.58e+03 of 20 needed
    """

    def __init__(
        self,
        name: str,
        plan: Plan | None = None,
        guardrails: Guardrails | None = None,
        *,
        schemas: tuple[Schema, Schema] | None = None,
    ) -> None:
        self.name = name
        self.plan = plan if plan is not None else Plan()
        self.guardrails = guardrails if guardrails is not None else Guardrails()
        self._start()
        if schemas is None:
            return
        differences = schemas[0].differences(schemas[1])
        if differences:
            self._end("refuse", f"the schema is not the champion's: {'; '.join(differences)}", Failure.schema)
        else:
            check_loss(self.plan.loss, schemas[0].kind == "numeric")

    def _start(self) -> None:
        plan = self.plan
        self.stage: Stage = "prequential"
        self.test = PairedTest(alpha=plan.alpha, least=plan.least, beta=plan.beta)
        self._screen = PairedTest(alpha=plan.alpha, least=plan.least, beta=plan.beta)
        self._models = Comparison(plan.loss, plan.scale, self.guardrails)
        self._pairs: dict[Stage, int] = {"prequential": 0, "shadow": 0, "canary": 0}
        self._served = 0
        self._ended: Verdict | None = None
        self._before: list[Verdict] = []

    # What is shown to it

    def compare(
        self,
        y: Sequence[float],
        champion: Iterable[Any],
        challenger: Iterable[Any],
        *,
        slices: Sequence[Mapping[str, str]] | None = None,
        more: bool = False,
    ) -> Verdict:
        """The prequential stage: labels of held-back examples in their order, and what both models answered
        (probabilities of shape (n, classes), numbers, or `Reply`). Then the shadow begins, unless more of them follow
        or the challenger is refused, at which it stops.

        Raises LifecycleError after the stage, InvalidRecordError for lengths that differ and bad answers.
        """
        if self._ended is not None:
            return self._ended
        if self.stage != "prequential":
            raise LifecycleError(f"the trial {self.name!r} is in its {self.stage} stage: held-back data come first")
        labels = [label_of(label) for label in y]
        one, other = list(_replies(champion)), list(_replies(challenger))
        where: Sequence[Mapping[str, str]] = slices if slices is not None else [{}] * len(labels)
        for name, given in (("champion", one), ("challenger", other), ("slices", where)):
            if len(given) != len(labels):
                raise InvalidRecordError(f"{name} has {len(given)} entries, y has {len(labels)}")
        pairs = [
            self._models.losses_on(*pair) for pair in zip(labels, one, other, where, strict=True)
        ]  # nothing has changed yet
        for i, losses in enumerate(pairs):
            self._add(labels[i], one[i], other[i], losses, where[i])
            if self._judge():
                return self.verdict
        if not more:
            self.stage = "shadow"
            self._judge()
        return self.verdict

    def observe(
        self,
        y: float,
        champion: Reply,
        challenger: Reply,
        *,
        slices: Mapping[str, str] | None = None,
        arm: Arm = "champion",
    ) -> Verdict:
        """One labelled example that both answered while the champion serves; arm: whose answer was served. The first
        one ends the prequential stage. After the verdict nothing changes any more."""
        if self._ended is not None:
            return self._ended
        if arm not in ("champion", "challenger"):
            raise InvalidRecordError(f"arm is {arm!r}, must be champion or challenger")
        y = label_of(y)
        losses = self._models.losses_on(y, champion, challenger, slices)
        if self.stage == "prequential":
            self.stage = "shadow"
        self._add(y, champion, challenger, losses, slices)
        self._served += self.stage == "canary" and arm == "challenger"
        self._judge()
        return self.verdict

    def arm(self, task: str) -> Arm:
        """Who serves this task: of the canary the share whose hash says so, else the champion."""
        return served_by(task, self.plan.share, salt=self.name) if self.stage == "canary" else "champion"

    def force(self, by: str, reason: str) -> Verdict:
        """A person promotes it, whatever was found, even after a refusal; not where the schema differs, since it could
        not answer: SchemaError."""
        if self._ended is not None and self._ended.failure is Failure.schema:
            raise SchemaError(f"the trial {self.name!r} cannot be forced: {self._ended.reason}")
        return self._by_hand("promote", by, reason, None)

    def veto(self, by: str, reason: str) -> Verdict:
        """A person refuses it, whatever was found, even after it was to be promoted."""
        return self._by_hand("refuse", by, reason, Failure.vetoed)

    # How it stands

    @property
    def verdict(self) -> Verdict:
        """Where the trial stands, with the reason in words."""
        return self._ended if self._ended is not None else Verdict("continue", self.stage, self._waits_for())

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Every verdict that there was: more than one where a person overruled."""
        return (*self._before, self._ended) if self._ended is not None else ()

    @property
    def pairs(self) -> dict[str, int]:
        """Labelled pairs by stage."""
        return {str(stage): n for stage, n in self._pairs.items()}

    @property
    def losses(self) -> tuple[float, float]:
        """Mean losses of champion and challenger, in the loss's own units; NaN without any."""
        return self._models.losses

    def checks(self) -> tuple[Check, ...]:
        """How the guardrails stand."""
        return self._models.checks()

    def as_dict(self) -> dict[str, Any]:
        """All of it, as plain JSON types; what is made from it goes on to the bit."""
        return {
            "name": self.name,
            "plan": self.plan.as_dict(),
            "guardrails": self.guardrails.as_dict(),
            "stage": self.stage,
            "test": self.test.as_dict(),
            "screen": self._screen.as_dict(),
            "models": self._models.as_dict(),
            "pairs": self.pairs,
            "served": self._served,
            "verdicts": [verdict.as_dict() for verdict in self.verdicts],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Trial:
        """Back from `as_dict`."""
        trial = cls(values["name"], Plan.from_dict(values["plan"]), Guardrails.from_dict(values["guardrails"]))
        trial.stage = values["stage"]
        trial.test, trial._screen = PairedTest.from_dict(values["test"]), PairedTest.from_dict(values["screen"])
        trial._models.restore(values["models"])
        trial._pairs = {stage: int(values["pairs"][stage]) for stage in trial._pairs}
        trial._served = int(values["served"])
        verdicts = [Verdict.from_dict(verdict) for verdict in values["verdicts"]]
        trial._before, trial._ended = verdicts[:-1], verdicts[-1] if verdicts else None
        return trial

    def __str__(self) -> str:
        lines = [f"trial {self.name}, {self.stage}: {self.verdict}"]
        counts = [f"{n} {'held back' if stage == 'prequential' else stage}" for stage, n in self._pairs.items() if n]
        if counts:
            one, other = self.losses
            lines += [
                f"  pairs        {', '.join(counts)}",
                f"  {self.plan.loss:<12} challenger {other:.4g}, champion {one:.4g}",
                f"  test         {self.test}",
            ]
        lines += [f"  {'TRIPPED' if check.tripped else 'fine':<12} {check}" for check in self.checks() if check.n]
        return "\n".join(lines)

    # How it decides

    def _add(
        self,
        y: float,
        champion: Reply,
        challenger: Reply,
        losses: tuple[float, float],
        slices: Mapping[str, str] | None,
    ) -> None:
        gain = self._models.add(y, champion, challenger, losses, slices)
        screened = self.stage == "prequential" and self.plan.evidence == "screen"
        (self._screen if screened else self.test).add(gain)
        self._pairs[self.stage] += 1

    def _judge(self) -> bool:
        """Ends the trial, or goes on to the next stage, where it is time to. Whether it has ended."""
        check = self._models.tripped()
        if check is not None:
            return self._end("refuse", check.message, Failure.guardrail)
        for test in (self.test, self._screen):
            if test.futile:
                return self._end("refuse", f"no better by {self.plan.least:g}: {test}", Failure.worse)
        if self.stage == "shadow" and self._shadowed() and self._trusted():
            if self.plan.canary:
                self.stage = "canary"
            elif self._proven():
                return self._promote()
        elif self.stage == "canary" and self._served >= self.plan.canary and self._proven():
            return self._promote()
        elif self.stage == "canary" and self.test.e_value < 1.0:
            self.stage = "shadow"  # what spoke for it is gone
        serves = (
            self.stage == "canary" and self._proven()
        )  # only labels of what it served are lacking: they may be late
        if self._pairs["shadow"] + self._pairs["canary"] >= self.plan.at_most and not serves:
            return self._end("refuse", f"not found better in time: {self.test}", Failure.worse)
        return False

    def _shadow_least(self) -> int:
        return self.plan.shadow + max(0, self.plan.held_back - self._pairs["prequential"])

    def _shadowed(self) -> bool:
        return self._pairs["shadow"] >= self._shadow_least()

    def _trusted(self) -> bool:
        return self.test.e_value >= self.plan.canary_at

    def _proven(self) -> bool:
        """Found better, and not given the lie since."""
        return self.test.better and self._trusted()

    def _promote(self) -> bool:
        test = self.test
        units = f"{self.plan.loss}, in usual differences" if self.plan.loss in NUMERIC else self.plan.loss
        found = f"e-value {test.e_value:.3g} of {1.0 / test.alpha:.3g} needed"
        if test.e_value < 1.0 / test.alpha:
            found += f" and reached, at {1.0 / test.p_value:.3g}, before"
        return self._end("promote", f"better by {test.gain:.4f} ({units}) over {test.n} pairs, {found}", None)

    def _end(self, decision: Decision, reason: str, failure: Failure | None) -> bool:
        self._ended = Verdict(decision, self.stage, reason, failure)
        self.stage = "done"
        return True

    def _by_hand(self, decision: Decision, by: str, reason: str, failure: Failure | None) -> Verdict:
        if not by or not reason:
            raise InvalidRecordError(f"by is {by!r} and reason is {reason!r}: both must be given")
        if self._ended is not None:
            self._before.append(self._ended)
        at: Stage = self._ended.stage if self._ended is not None else self.stage
        self._ended = Verdict(decision, at, reason, failure, by)
        self.stage = "done"
        return self._ended

    def _waits_for(self) -> str:
        if self.stage == "prequential":
            return "held-back data to compare on"
        if self.stage == "shadow" and not self._shadowed():
            return f"{self._pairs['shadow']} of {self._shadow_least()} labels in shadow"
        if self.stage == "canary" and self._served < self.plan.canary:
            return f"{self._served} of {self.plan.canary} labels of tasks that the challenger served"
        return f"not yet sure: e-value {self.test.e_value:.3g} of {1.0 / self.test.alpha:.3g} needed"


def _replies(given: Iterable[Any]) -> Iterator[Reply]:
    rows = given.tolist() if hasattr(given, "tolist") else given
    for row in rows:
        yield row if isinstance(row, Reply) else Reply(row)
