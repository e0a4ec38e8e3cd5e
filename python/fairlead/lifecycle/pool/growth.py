"""Rules of a `RetrainTrigger` for versions that answer together."""

from __future__ import annotations

from dataclasses import dataclass

from fairlead._core import CutScan
from fairlead.errors import InvalidRecordError
from fairlead.lifecycle.proving.plan import whole
from fairlead.lifecycle.signals.status import DriftStatus
from fairlead.lifecycle.signals.triggers import Facts


class OnAnswers:
    """When a detector of changes (`fl.CutScan`) finds that the answers that were given have become worse. It is told
    each error by `learn`.

    arl: labels between false alarms, on average at least. inflation: by how much the variance of a sum of errors is
    above that of independent ones, as neighbours are alike in most streams. least: examples since the change, which it
    waits for.

    >>> rule = OnAnswers()
    >>> for t in range(400):
    ...     rule.learn(float(t % 10 == 0 if t < 300 else t % 2 == 0))
    >>> print(rule.due(None, Facts(examples=400, new=400), 0))
    answers: more errors in the answers that were given, since about 96 labels
    """

    name = "answers"

    def __init__(self, *, arl: float = 100_000.0, inflation: float = 2.0, least: int = 30) -> None:
        self.least = least
        self._detector = CutScan(arl=arl, mode="up", inflation=inflation)
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
        if self._detector.update(error):
            self._alarm = True
            self._change = self._labels - self._detector.newer

    def dismiss(self) -> None:
        """The change was none, or one that needs nothing new."""
        self._alarm, self._change = False, None

    def begun(self) -> None:
        """A run has begun: an alarm is answered by it, if there is something to learn from."""
        if (self.since or 0) >= self.least:
            self._alarm = False

    def due(self, status: DriftStatus | None, facts: Facts, now: int) -> str:
        since = self.since
        if not self._alarm or since is None or since < self.least:
            return ""
        return f"answers: more errors in the answers that were given, since about {since:,} labels"


@dataclass(frozen=True, slots=True)
class OnGrowth:
    """When the new labelled examples are a share of all at hand: soon while there are few, seldom later.

    share: .1 is a tenth. least: and at least so many. answers: after a change that this has found, `fresh` of the
    examples since then are enough, too.

    >>> OnGrowth().due(None, Facts(examples=1_100, new=110), 0)
    'growth: 110 new labelled examples of 1,100, 10% are enough'
    """

    share: float = 0.1
    least: int = 50
    answers: OnAnswers | None = None
    fresh: float = 0.25

    def __post_init__(self) -> None:
        for name, share in (("share", self.share), ("fresh", self.fresh)):
            if not 0.0 < share <= 1.0:
                raise InvalidRecordError(f"{name} is {share!r}, outside (0, 1]")
        whole(self.least, "least", 1)

    @property
    def name(self) -> str:
        return "growth"

    def due(self, status: DriftStatus | None, facts: Facts, now: int) -> str:
        since = None if self.answers is None else self.answers.since
        enough = self.share * facts.examples
        if since is not None and self.fresh * since < enough:
            if facts.new < max(self.least, self.fresh * since):
                return ""
            return (
                f"growth: {facts.new:,} new labelled examples of {since:,} since a change, {self.fresh:.0%} are enough"
            )
        if facts.new < max(self.least, enough):
            return ""
        return f"growth: {facts.new:,} new labelled examples of {facts.examples:,}, {self.share:.0%} are enough"
