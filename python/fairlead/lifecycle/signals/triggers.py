"""When to train again: rules of which any may ask for it, and what may hold it back. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Protocol

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle.signals.quiet import QuietHours
from fairlead.lifecycle.signals.status import LEVELS, DriftStatus, Level
from fairlead.measure.calendar import time_text
from fairlead.times import as_span

HOLDS = ("running", "least", "cooldown", "budget", "quiet")
"""What may hold a retraining back, in the order in which it is looked at."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is so at the moment of the question; all times are nanoseconds since the epoch.

    examples: labelled ones that could be learned from. new: those of them that came since the last retraining.
    retrains: when retrainings started, oldest first. seconds: how long each took, as far as it is known. since: when
    the model was first watched, which a schedule counts from before the first retraining. running: whether one is under
    way. asked: by whom and why one is asked for by hand; empty: it is not.
    """

    examples: int = 0
    new: int = 0
    retrains: tuple[int, ...] = ()
    seconds: tuple[float, ...] = ()
    since: int | None = None
    running: bool = False
    asked: str = ""

    @property
    def last(self) -> int | None:
        """When the last retraining started; None before the first."""
        return self.retrains[-1] if self.retrains else None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether to train again, and why (not).

    reason: in words, for the journal. rule: which asked, empty where none did. held_by: what held it back: 'running',
    'least', 'cooldown', 'budget' or 'quiet'; empty where nothing did. until: when that ends, if it is known.
    """

    retrain: bool
    reason: str
    rule: str = ""
    held_by: str = ""
    until: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """The fields, as plain JSON types."""
        return asdict(self)

    def __bool__(self) -> bool:
        return self.retrain

    def __str__(self) -> str:
        return f"{'retrain' if self.retrain else 'held back' if self.held_by else 'no'}: {self.reason}"


class Rule(Protocol):
    """What may ask for a retraining."""

    @property
    def name(self) -> str:
        """In one word."""

    def due(self, status: DriftStatus | None, facts: Facts, now: int) -> str:
        """Why to train again, in words; empty: there is no reason."""


@dataclass(frozen=True, slots=True)
class OnDrift:
    """While the drift monitor raises an alarm (or, with level 'warning', a warning at least). kinds: only signals of
    these, such as 'inputs' or 'change'; empty: any.

    >>> OnDrift(kinds=("change", "accuracy")).name
    'drift'
    """

    level: Level = "alarm"
    kinds: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.level not in LEVELS[1:]:
            raise InvalidRecordError(f"level is {self.level!r}, must be 'warning' or 'alarm'")
        kinds: object = self.kinds
        object.__setattr__(self, "kinds", (kinds,) if isinstance(kinds, str) else tuple(self.kinds))

    @property
    def name(self) -> str:
        return "drift"

    def due(self, status: DriftStatus | None, facts: Facts, now: int) -> str:
        if status is None:
            return ""
        raised = status.raised(self.level, self.kinds)
        more = f" (and {len(raised) - 1} more)" if len(raised) > 1 else ""
        return f"drift: {raised[0].message}{more}" if raised else ""


@dataclass(frozen=True, slots=True)
class OnSchedule:
    """Every so often since the last retraining, or since the model was first watched.

    >>> rule = OnSchedule("30d")
    >>> rule.due(None, Facts(since=0), 31 * 86_400 * 10**9)
    'schedule: 31 days since the model was first watched, every 30 days'
    """

    every: int | str | timedelta = "30d"

    def __post_init__(self) -> None:
        object.__setattr__(self, "every", as_span(self.every, "every"))

    @property
    def name(self) -> str:
        return "schedule"

    def due(self, status: DriftStatus | None, facts: Facts, now: int) -> str:
        start = facts.since if facts.last is None else facts.last
        assert isinstance(self.every, int)
        if start is None or now - start < self.every:
            return ""
        since = "the model was first watched" if facts.last is None else "the last retraining"
        return f"schedule: {span_text(now - start)} since {since}, every {span_text(self.every)}"


@dataclass(frozen=True, slots=True)
class OnLabels:
    """Enough new labelled examples.

    >>> OnLabels(50).due(None, Facts(examples=400, new=60), 0)
    'labels: 60 new labelled examples, 50 are enough'
    """

    enough: int = 50

    def __post_init__(self) -> None:
        _at_least(self.enough, 1, "enough")

    @property
    def name(self) -> str:
        return "labels"

    def due(self, status: DriftStatus | None, facts: Facts, now: int) -> str:
        if facts.new < self.enough:
            return ""
        return f"labels: {facts.new} new labelled examples, {self.enough} are enough"


@dataclass(frozen=True, slots=True)
class OnDrop:
    """A relative drop of the accuracy (of a numeric kind: a relative rise of the error) against what it was when the
    model came, proven with a confidence: few labels drop by chance.

    drop: .15 is from .80 to .68. confidence: that there is a drop at all, at each look: as it is looked at again and
    again, chance alone asks for a run now and then; 0: the number as it is.
    """

    drop: float = 0.15
    confidence: float = 0.99

    def __post_init__(self) -> None:
        _share(self.drop, "drop")
        if self.confidence != 0.0:
            _share(self.confidence, "confidence")

    @property
    def name(self) -> str:
        return "drop"

    def due(self, status: DriftStatus | None, facts: Facts, now: int) -> str:
        record = None if status is None else status.record
        if record is None or not record.drop >= self.drop or not record.p_value <= 1.0 - self.confidence:
            return ""
        return f"drop: {record}, a relative drop of {record.drop:.1%}, at most {self.drop:.1%}"


@dataclass(frozen=True, slots=True)
class Budget:
    """At most so many retrainings, and so many seconds of them, within any such span.

    >>> print(Budget(runs=4, per="7d"))
    4 runs in 7 days
    """

    runs: int | None = None
    per: int | str | timedelta = "30d"
    seconds: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "per", as_span(self.per, "per"))
        if self.runs is None and self.seconds is None:
            raise InvalidRecordError("runs and seconds are None: a budget limits one of them")
        if self.runs is not None:
            _at_least(self.runs, 1, "runs")
        if self.seconds is not None and not (_is_number(self.seconds) and self.seconds > 0):
            raise InvalidRecordError(f"seconds is {self.seconds!r}, must be above 0")

    def exhausted(self, facts: Facts, now: int) -> int | None:
        """Until when there is nothing left; None: there is."""
        assert isinstance(self.per, int)
        took = (*facts.seconds, *([0.0] * len(facts.retrains)))
        within = [(t, s) for t, s in zip(facts.retrains, took, strict=False) if t > now - self.per]
        for i in range(len(within) + 1):  # how many have to leave the span
            rest = within[i:]
            few = self.runs is None or len(rest) < self.runs
            if few and (self.seconds is None or math.fsum(s for _, s in rest) < self.seconds):
                return None if i == 0 else within[i - 1][0] + self.per
        return None

    def __str__(self) -> str:
        parts = [] if self.runs is None else [f"{self.runs} run{'s' if self.runs > 1 else ''}"]
        parts += [] if self.seconds is None else [f"{self.seconds:g} s of training"]
        assert isinstance(self.per, int)
        return f"{' and '.join(parts)} in {span_text(self.per)}"


class RetrainTrigger:
    """Says when to train again: when any rule asks for it and nothing holds it back.

    rules: by default a drift alarm, a drop of 15 %, a schedule of 30 days. cooldown: from the start of a retraining to
    the next. budget: a Budget, or a number of runs in 30 days. least: labelled examples without which there is nothing
    to learn from; least_new: those that must be new. quiet: QuietHours, or several.

    What is asked for by hand (`Facts.asked`) waits for no cooldown, budget or quiet hours, but for a run under way, and
    for the least number of examples. Raises InvalidRecordError for what cannot be honoured.

    >>> trigger = RetrainTrigger(OnLabels(50), cooldown="1h", least=100)
    >>> print(trigger.consider(None, Facts(examples=80, new=80), now=0))
    held back: labels: 80 new labelled examples, 50 are enough; but there are 80 labelled examples, at least 100 are
    needed
    >>> verdict = trigger.consider(None, Facts(examples=200, new=60), now=0)
    >>> verdict.retrain, verdict.rule
    (True, 'labels')
    >>> trigger.consider(None, Facts(examples=200, new=60, retrains=(0,)), now=10**9).held_by
    'cooldown'
    """

    def __init__(
        self,
        *rules: Rule,
        cooldown: int | str | timedelta | None = "1h",
        budget: Budget | int | None = None,
        least: int = 50,
        least_new: int = 0,
        quiet: QuietHours | Iterable[QuietHours] = (),
    ) -> None:
        for rule in rules:
            if not hasattr(rule, "due") or not hasattr(rule, "name") or isinstance(rule, type):
                raise InvalidRecordError(f"rule is {rule!r}, must be one such as OnDrift() or OnSchedule('30d')")
        self.rules: tuple[Rule, ...] = rules or (OnDrift(), OnDrop(), OnSchedule())
        self.cooldown = None if cooldown is None else as_span(cooldown, "cooldown")
        if isinstance(budget, int):
            _at_least(budget, 1, "budget")
            budget = Budget(budget)
        if budget is not None and not isinstance(budget, Budget):
            raise InvalidRecordError(f"budget is {budget!r}, must be a Budget, a number of runs or None")
        self.budget = budget
        _at_least(least, 0, "least")
        _at_least(least_new, 0, "least_new")
        self.least, self.least_new = least, least_new
        self.quiet = (quiet,) if isinstance(quiet, QuietHours) else tuple(quiet)
        for hours in self.quiet:
            if not isinstance(hours, QuietHours):
                raise InvalidRecordError(f"quiet holds {hours!r}, must be QuietHours('22:00', '06:00')")

    def consider(self, status: DriftStatus | None, facts: Facts, now: int) -> Verdict:
        """Whether to train again at a time. status: of the drift monitor, None where there is none."""
        if facts.asked:
            return self._held(f"by hand: {facts.asked}", "hand", facts, now, HOLDS[:2])
        for rule in self.rules:
            reason = rule.due(status, facts, now)
            if reason:
                return self._held(reason, rule.name, facts, now, HOLDS)
        return Verdict(False, "no rule asks for it")

    def _held(self, reason: str, rule: str, facts: Facts, now: int, holds: Iterable[str]) -> Verdict:
        for hold in holds:
            why, until = getattr(self, f"_{hold}")(facts, now)
            if why:
                return Verdict(False, f"{reason}; but {why}", rule, hold, until)
        return Verdict(True, reason, rule)

    def _running(self, facts: Facts, now: int) -> tuple[str, int | None]:
        return ("a run is under way" if facts.running else ""), None

    def _least(self, facts: Facts, now: int) -> tuple[str, int | None]:
        if facts.examples < self.least:
            return f"there are {facts.examples} labelled examples, at least {self.least} are needed", None
        if facts.new < self.least_new and not facts.asked:
            return f"{facts.new} labelled examples are new, at least {self.least_new} are needed", None
        return "", None

    def _cooldown(self, facts: Facts, now: int) -> tuple[str, int | None]:
        if self.cooldown is None or facts.last is None or now - facts.last >= self.cooldown:
            return "", None
        until = facts.last + self.cooldown
        return f"the last retraining was {span_text(now - facts.last)} ago: cooldown until {time_text(until)}", until

    def _budget(self, facts: Facts, now: int) -> tuple[str, int | None]:
        until = None if self.budget is None else self.budget.exhausted(facts, now)
        return ("", None) if until is None else (f"the budget is spent ({self.budget}) until {time_text(until)}", until)

    def _quiet(self, facts: Facts, now: int) -> tuple[str, int | None]:
        for hours in self.quiet:
            if hours.holds(now):
                until = hours.until(now)
                return f"these are quiet hours ({hours}) until {time_text(until)}", until
        return "", None

    def __repr__(self) -> str:
        return f"RetrainTrigger({', '.join(map(repr, self.rules))})"


def span_text(span: int) -> str:
    """A span of time in the largest unit that leaves little over.

    >>> span_text(30 * 86_400 * 10**9), span_text(90 * 60 * 10**9), span_text(86_400 * 10**9)
    ('30 days', '90 minutes', '24 hours')
    """
    for unit, size in (("days", 86_400_000_000_000), ("hours", 3_600_000_000_000), ("minutes", 60_000_000_000)):
        if span >= 2 * size:
            return f"{span // size} {unit}"
    return f"{span / 1e9:.3g} seconds"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _share(value: object, field: str) -> None:
    if not _is_number(value) or not 0.0 < value < 1.0:  # type: ignore[operator]
        raise InvalidRecordError(f"{field} is {value!r}, outside (0, 1)")


def _at_least(value: object, least: int, field: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidRecordError(f"{field} is {value!r}, must be a whole number, at least {least}")
