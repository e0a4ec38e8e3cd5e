"""Rules of a `RetrainTrigger` for versions that answer together."""

from __future__ import annotations

from dataclasses import dataclass

from fairlead._core import ADWIN
from fairlead.errors import InvalidRecordError
from fairlead.lifecycle.signals.status import DriftStatus
from fairlead.lifecycle.signals.triggers import Facts


class OnAnswers:
    """When ADWIN finds that the answers that were given have become worse. It is told each error by `learn`.

    delta: of ADWIN. least: examples since the change, which it waits for.

    >>> rule = OnAnswers()
    >>> for t in range(400):
    ...     rule.learn(float(t % 10 == 0 if t < 300 else t % 2 == 0))
    >>> print(rule.due(None, Facts(examples=400, new=400), 0))
    answers: ADWIN found more errors in the answers that were given, since about 104 labels
    """

    name = "answers"

    def __init__(self, *, delta: float = 0.002, least: int = 50) -> None:
        self.least = least
        self._adwin = ADWIN(delta=delta, clock=4, mode="up")
        self._alarm = False
        self._labels = 0
        self._change: int | None = None

    @property
    def since(self) -> int | None:
        """Labels since the newest change; None: there was none."""
        return None if self._change is None else self._labels - self._change

    @property
    def alarm(self) -> bool:
        """Whether a change was found since the last run began."""
        return self._alarm

    def learn(self, error: float) -> None:
        """One answer has been found out. error: 0 to 1."""
        self._labels += 1
        if self._adwin.update(error):
            self._alarm = True
            self._change = self._labels - self._adwin.width

    def begun(self) -> None:
        """A run has begun: an alarm is answered by it."""
        self._alarm = False

    def due(self, status: DriftStatus | None, facts: Facts, now: int) -> str:
        since = self.since
        if not self._alarm or since is None or since < self.least:
            return ""
        return f"answers: ADWIN found more errors in the answers that were given, since about {since:,} labels"


@dataclass(frozen=True, slots=True)
class OnGrowth:
    """When the new labelled examples are a share of all at hand: soon while there are few, seldom later.

    share: .1 is a tenth. least: and at least so many. answers: after a change that this has found, only examples since
    then are at hand.

    >>> OnGrowth().due(None, Facts(examples=1_100, new=110), 0)
    'growth: 110 new labelled examples of 1,100, 10% are enough'
    """

    share: float = 0.1
    least: int = 50
    answers: OnAnswers | None = None

    def __post_init__(self) -> None:
        if not 0.0 < self.share <= 1.0:
            raise InvalidRecordError(f"share is {self.share!r}, outside (0, 1]")
        if isinstance(self.least, bool) or not isinstance(self.least, int) or self.least < 1:
            raise InvalidRecordError(f"least is {self.least!r}, must be a whole number from 1")

    @property
    def name(self) -> str:
        return "growth"

    def due(self, status: DriftStatus | None, facts: Facts, now: int) -> str:
        since = None if self.answers is None else self.answers.since
        base = facts.examples if since is None else min(facts.examples, since)
        if facts.new < max(self.least, self.share * base):
            return ""
        return f"growth: {facts.new:,} new labelled examples of {base:,}, {self.share:.0%} are enough"
