"""After a promotion: the champion before answers in shadow, and comes back if it is found to be better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle.failures import Failure
from fairlead.lifecycle.proving.comparison import Comparison
from fairlead.lifecycle.proving.guardrails import Check, Guardrails, Reply
from fairlead.lifecycle.proving.losses import LossName, check_loss, label_of
from fairlead.lifecycle.proving.paired import PairedTest, level, number
from fairlead.lifecycle.proving.plan import Decision, Verdict, whole


@dataclass(frozen=True, slots=True)
class WatchPlan:
    """What a watch asks for.

    alpha: of promoted models that are no worse than the champion before at most this share is rolled back by the test
    (guardrails have their own). margin: how much worse it may be, where a loss is in [0, 1]. loss, scale: as in `Plan`.
    labels: so many labelled examples are watched; of the first `least` none rolls back. until: a time, nanoseconds, at
    which the watch ends in any case; None: never.
    """

    alpha: float = 0.05
    margin: float = 0.0
    loss: LossName = "zero_one"
    scale: float | None = None
    least: int = 10
    labels: int = 200
    until: int | None = None

    def __post_init__(self) -> None:
        level(self.alpha, "alpha")
        check_loss(self.loss)
        number(self.margin, "margin")
        if self.scale is not None:
            number(self.scale, "scale")
        if not 0.0 <= self.margin < 1.0:
            raise InvalidRecordError(f"margin is {self.margin!r}, must be at least 0 and below 1")
        if self.scale is not None and not 0.0 < self.scale < float("inf"):
            raise InvalidRecordError(f"scale is {self.scale!r}, must be positive and finite, or None")
        whole(self.least, "least", 1)
        whole(self.labels, "labels", self.least)
        if self.until is not None:
            whole(self.until, "until", -(2**63))

    def as_dict(self) -> dict[str, Any]:
        """The fields, as plain JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> WatchPlan:
        """Back from `as_dict`."""
        return cls(**values)


class Watch:
    """The time after a promotion: the test of the trial the other way round, on what came since, and guardrails.

    It ends in `rollback`, with a reason, or in `keep`. A pure function of what it was shown.

    >>> watch = Watch("run-7", WatchPlan(labels=50))
    >>> wrong, right = Reply([0.9, 0.1]), Reply([0.2, 0.8])
    >>> while watch.verdict.decision == "continue":
    ...     verdict = watch.observe(1, promoted=wrong, before=right)
    >>> print(verdict)
    rollback: worse by 1.0000 (zero_one) over 10 pairs, e-value 122 of 20 needed
    """

    def __init__(self, name: str, plan: WatchPlan | None = None, guardrails: Guardrails | None = None) -> None:
        self.name = name
        self.plan = plan if plan is not None else WatchPlan()
        self.guardrails = guardrails if guardrails is not None else Guardrails()
        self.test = PairedTest(alpha=self.plan.alpha, margin=self.plan.margin, least=self.plan.margin)
        self._models = Comparison(self.plan.loss, self.plan.scale, self.guardrails)
        self._labels = 0
        self._ended: Verdict | None = None
        self._before: list[Verdict] = []

    def observe(self, y: float, promoted: Reply, before: Reply, *, slices: Mapping[str, str] | None = None) -> Verdict:
        """One labelled example that both answered: the model that was promoted, and the champion before it. After the
        verdict nothing changes any more. Raises InvalidRecordError for bad answers and labels."""
        if self._ended is not None:
            return self._ended
        y = label_of(y)
        losses = self._models.losses_on(y, before, promoted, slices)
        self.test.add(-self._models.add(y, before, promoted, losses, slices))
        self._labels += 1
        if self._labels >= self.plan.least:
            self._judge()
        return self.verdict

    def check(self, now: int) -> Verdict:
        """Ends the watch if its time is over: `keep`. now: nanoseconds."""
        if self._ended is None and self.plan.until is not None and now >= self.plan.until:
            self._end("keep", f"the watch is over, after {self._labels} labels: {self._found()}")
        return self.verdict

    def rollback(self, by: str, reason: str) -> Verdict:
        """A person rolls it back, whatever was found."""
        return self._by_hand("rollback", by, reason, Failure.vetoed)

    def keep(self, by: str, reason: str) -> Verdict:
        """A person keeps it, whatever was found."""
        return self._by_hand("keep", by, reason, None)

    @property
    def verdict(self) -> Verdict:
        """Where the watch stands, with the reason in words."""
        waits = f"{self._labels} of {self.plan.labels} labels: {self._found()}"
        return self._ended if self._ended is not None else Verdict("continue", "watch", waits)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Every verdict that there was: more than one where a person overruled."""
        return (*self._before, self._ended) if self._ended is not None else ()

    @property
    def labels(self) -> int:
        """How many labelled examples were watched."""
        return self._labels

    @property
    def losses(self) -> tuple[float, float]:
        """Mean losses of the champion before and of the promoted model, in the loss's own units."""
        return self._models.losses

    def checks(self) -> tuple[Check, ...]:
        """How the guardrails stand: `challenger` is the promoted model, `champion` the one before."""
        return self._models.checks()

    def as_dict(self) -> dict[str, Any]:
        """All of it, as plain JSON types; what is made from it goes on to the bit."""
        return {
            "name": self.name,
            "plan": self.plan.as_dict(),
            "guardrails": self.guardrails.as_dict(),
            "test": self.test.as_dict(),
            "models": self._models.as_dict(),
            "labels": self._labels,
            "verdicts": [verdict.as_dict() for verdict in self.verdicts],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Watch:
        """Back from `as_dict`."""
        watch = cls(values["name"], WatchPlan.from_dict(values["plan"]), Guardrails.from_dict(values["guardrails"]))
        watch.test = PairedTest.from_dict(values["test"])
        watch._models.restore(values["models"])
        watch._labels = int(values["labels"])
        verdicts = [Verdict.from_dict(verdict) for verdict in values["verdicts"]]
        watch._before, watch._ended = verdicts[:-1], verdicts[-1] if verdicts else None
        return watch

    def __str__(self) -> str:
        lines = [f"watch {self.name}: {self.verdict}"]
        if self._labels:
            before, promoted = self.losses
            lines.append(f"  {self.plan.loss:<12} promoted {promoted:.4g}, before {before:.4g}")
        lines += [f"  {'TRIPPED' if check.tripped else 'fine':<12} {check}" for check in self.checks() if check.n]
        return "\n".join(lines)

    def _judge(self) -> None:
        check = self._models.tripped()
        if check is not None:
            self._end("rollback", check.message, Failure.guardrail)
        elif self.test.better:
            test = self.test
            found = f"e-value {test.e_value:.3g} of {1.0 / test.alpha:.3g} needed"
            self._end(
                "rollback", f"worse by {test.gain:.4f} ({self.plan.loss}) over {test.n} pairs, {found}", Failure.worse
            )
        elif self._labels >= self.plan.labels:
            self._end("keep", f"{self._labels} labels: {self._found()}")

    def _found(self) -> str:
        before, promoted = self.losses
        return f"not found worse ({self.plan.loss} {promoted:.4g}, before {before:.4g}; p {self.test.p_value:.2g})"

    def _end(self, decision: Decision, reason: str, failure: Failure | None = None) -> None:
        self._ended = Verdict(decision, "watch", reason, failure)

    def _by_hand(self, decision: Decision, by: str, reason: str, failure: Failure | None) -> Verdict:
        if not by or not reason:
            raise InvalidRecordError(f"by is {by!r} and reason is {reason!r}: both must be given")
        if self._ended is not None:
            self._before.append(self._ended)
        self._ended = Verdict(decision, "watch", reason, failure, by)
        return self._ended
