"""The trial of a challenger, or the watch of a new champion: what the pipeline needs of them, in one shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fairlead.lifecycle.examples import Examples
from fairlead.lifecycle.failures import Failure
from fairlead.lifecycle.pipeline.contest import of_examples, of_labelled
from fairlead.lifecycle.pipeline.memory import Labelled
from fairlead.lifecycle.pipeline.rival import Rival
from fairlead.lifecycle.pipeline.state import State
from fairlead.lifecycle.proving import Guardrails, Plan, Trial, Watch, WatchPlan
from fairlead.lifecycle.schema import Schema

CONTINUE, PASSED, AGAINST = "continue", "passed", "against"
_STATES = {"prequential": State.VALIDATING, "shadow": State.SHADOW, "canary": State.CANARY}
_AT_ONCE = 256
_LONG_S = 3600.0  # for which the one that answers is waited for
BY_ERRORS = ("drift", "drop", "answers")
"""Rules that ask for a run since the champion answers badly."""


class Proof:
    """A test that is fed with what both versions answered, until it has a verdict."""

    def __init__(self, ours: Rival, rival: Rival) -> None:
        self.ours = ours
        self.rival = rival

    @property
    def of(self) -> tuple[bool, int, int]:
        """Whether it is a watch, and of which two versions."""
        raise NotImplementedError

    @property
    def verdict(self) -> str:
        """`CONTINUE`, `PASSED` (promote, keep) or `AGAINST` (refuse, roll back)."""
        raise NotImplementedError

    @property
    def reason(self) -> str:
        """In words."""
        raise NotImplementedError

    @property
    def failure(self) -> Failure | None:
        """Why it is against."""
        raise NotImplementedError

    @property
    def stage(self) -> State | None:
        """The state of the trial's stage; None once it has a verdict."""
        raise NotImplementedError

    @property
    def doubtful(self) -> bool:
        """Whether nothing speaks for the challenger."""
        return False

    @property
    def canary(self) -> tuple[float, str]:
        """The share of tasks that the rival answers, and the salt of the hash that chooses them."""
        return 0.0, ""

    def begin(self, examples: Examples) -> str:
        """What came before it began and neither of the two has learnt from; gives the verdict."""
        raise NotImplementedError

    def feed(self, fresh: Sequence[Labelled]) -> str:
        """What came since; gives the verdict."""
        for start in range(0, len(fresh), _AT_ONCE):
            if self.verdict != CONTINUE:
                break
            for pair in of_labelled(fresh[start : start + _AT_ONCE], self.ours, self.rival):
                self._observe(pair)
        return self.verdict

    def _observe(self, pair: Any) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Neither is asked any more."""
        self.ours.close()
        self.rival.close()


class OnTrial(Proof):
    """A challenger on trial."""

    def __init__(self, trial: Trial, ours: Rival, rival: Rival) -> None:
        super().__init__(ours, rival)
        self.trial = trial

    @property
    def of(self) -> tuple[bool, int, int]:
        return False, self.ours.version, self.rival.version

    @property
    def verdict(self) -> str:
        return {"continue": CONTINUE, "promote": PASSED, "refuse": AGAINST}[self.trial.verdict.decision]

    @property
    def reason(self) -> str:
        said = self.trial.verdict.reason
        return f"{said}; {self.rival.message}" if self.rival.message and self.verdict == AGAINST else said

    @property
    def failure(self) -> Failure | None:
        return self.trial.verdict.failure

    @property
    def stage(self) -> State | None:
        return _STATES.get(self.trial.stage)

    @property
    def doubtful(self) -> bool:
        return self.trial.test.e_value < self.trial.plan.canary_at

    @property
    def canary(self) -> tuple[float, str]:
        return self.trial.plan.share, self.trial.name

    def __str__(self) -> str:
        return str(self.trial)

    def begin(self, examples: Examples) -> str:
        pairs = of_examples(examples, self.ours, self.rival)
        self.trial.compare(
            [pair.y for pair in pairs],
            [pair.ours for pair in pairs],
            [pair.theirs for pair in pairs],
        )
        return self.verdict

    def _observe(self, pair: Any) -> None:
        self.trial.observe(pair.y, pair.ours, pair.theirs, slices=pair.slices, arm=pair.arm)


class OnWatch(Proof):
    """A new champion, watched beside the one before."""

    def __init__(self, watch: Watch, ours: Rival, rival: Rival) -> None:
        super().__init__(ours, rival)
        self.watch = watch

    @property
    def of(self) -> tuple[bool, int, int]:
        return True, self.ours.version, self.rival.version

    @property
    def verdict(self) -> str:
        return {"continue": CONTINUE, "keep": PASSED, "rollback": AGAINST}[self.watch.verdict.decision]

    @property
    def reason(self) -> str:
        return self.watch.verdict.reason

    @property
    def failure(self) -> Failure | None:
        return self.watch.verdict.failure

    @property
    def stage(self) -> State | None:
        return State.WATCHING

    def begin(self, examples: Examples) -> str:
        for pair in of_examples(examples, self.ours, self.rival):
            self._observe(pair)
        return self.verdict

    def _observe(self, pair: Any) -> None:
        self.watch.observe(pair.y, pair.ours, pair.theirs, slices=pair.slices)

    def __str__(self) -> str:
        return str(self.watch)


class Proving:
    """Makes trials and watches of one model. watch: None: a new champion is not watched."""

    def __init__(
        self,
        schema: Schema,
        plan: Plan | None,
        watch: WatchPlan | None,
        guardrails: Guardrails | None,
        patience_s: float | None,
    ) -> None:
        self.schema = schema
        numeric = schema.kind == "numeric"
        self.plan = plan if plan is not None else Plan(loss="absolute" if numeric else "zero_one")
        if watch is not None and numeric and watch.loss == "zero_one":
            watch = replace(watch, loss="absolute")
        self._given = plan is not None
        self.watch = watch
        self.guardrails = guardrails
        self._patience = patience_s
        self.trial(State.VALIDATING.value, None, 0, None, 1)  # raises for a loss that does not fit

    def trial(self, run: str, model: Any, version: int, other: Any, against: int, *, rule: str = "") -> OnTrial:
        """Of a challenger, `other`, against the champion. rule: that asked for the run. Where that was by the
        champion's errors, the newest examples are those on which it was unlucky, too: they may refuse the challenger,
        but not speak for it, unless a plan was given that says so."""
        ours, rival = self._pair(model, version, other, against)
        plan = replace(self.plan, evidence="screen") if rule in BY_ERRORS and not self._given else self.plan
        return OnTrial(Trial(run, plan, self.guardrails, schemas=(self.schema, self.schema)), ours, rival)

    def watch_of(self, run: str, model: Any, version: int, other: Any, against: int) -> OnWatch | None:
        """Of the new champion beside the one before, `other`; None where nobody watches."""
        if self.watch is None:
            return None
        ours, rival = self._pair(model, version, other, against)
        return OnWatch(Watch(run, self.watch, self.guardrails), ours, rival)

    def _pair(self, model: Any, version: int, other: Any, against: int) -> tuple[Rival, Rival]:
        # In a thread of its own as well, for the latency: where models use threads of OpenMP, the caller's is another.
        ours = Rival(model, version, self.schema, None if self._patience is None else _LONG_S)
        return ours, Rival(other, against, self.schema, self._patience)
