"""Rules of a `RetrainTrigger` for versions that answer together."""

from __future__ import annotations

from dataclasses import dataclass

from fairlead._core import ADWIN
from fairlead.errors import InvalidRecordError
from fairlead.lifecycle.signals.status import DriftStatus
from fairlead.lifecycle.signals.triggers import Facts


@dataclass(frozen=True, slots=True)
class OnGrowth:
    """When the new labelled examples are a share of all at hand: soon while there are few, seldom later.

    share: .1 is a tenth. least: and at least so many.

    >>> OnGrowth().due(None, Facts(examples=1_100, new=110), 0)
    'growth: 110 new labelled examples beside 1,100 at hand, 10% are enough'
    """

    share: float = 0.1
    least: int = 50

    def __post_init__(self) -> None:
        if not 0.0 < self.share <= 1.0:
            raise InvalidRecordError(f"share is {self.share!r}, outside (0, 1]")
        if isinstance(self.least, bool) or not isinstance(self.least, int) or self.least < 1:
            raise InvalidRecordError(f"least is {self.least!r}, must be a whole number from 1")

    @property
    def name(self) -> str:
        return "growth"

    def due(self, status: DriftStatus | None, facts: Facts, now: int) -> str:
        if facts.new < max(self.least, self.share * facts.examples):
            return ""
        return f"growth: {facts.new:,} new labelled examples beside {facts.examples:,} at hand, {self.share:.0%} are enough"


class OnAnswers:
    """When ADWIN finds that the answers that were given have become worse. It is told each error by `learn`.

    least: new labelled examples, without which it waits.
    """

    name = "answers"

    def __init__(self, *, delta: float = 0.002, least: int = 100) -> None:
        self.least = least
        self._adwin = ADWIN(delta=delta, mode="up")
        self._alarm = False

    def learn(self, error: float) -> None:
        """One answer has been found out. error: 0 to 1."""
        if self._adwin.update(error):
            self._alarm = True

    def begun(self) -> None:
        """A run has begun: an alarm is answered by it."""
        self._alarm = False

    def due(self, status: DriftStatus | None, facts: Facts, now: int) -> str:
        if not self._alarm or facts.new < self.least:
            return ""
        return "answers: ADWIN found more errors in the answers that were given"
