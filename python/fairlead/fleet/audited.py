"""What was answered, and what became of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fairlead._core import Calibrator, Scoreboard
from fairlead._core import Fleet as _CoreFleet
from fairlead.errors import InvalidRecordError, TaskEndedError, UnknownModelError, UnknownTaskError, did_you_mean
from fairlead.fleet import checks
from fairlead.measure.audit import Audit
from fairlead.policy.answered import Answered
from fairlead.policy.pooled import reason_names
from fairlead.times import as_time
from fairlead.types import KINDS, FrozenDict, Kind, Task


class AuditedFleet:
    """The part of a Fleet that looks back."""

    _core: _CoreFleet
    _board: Scoreboard

    def answers(self, task: Task | str) -> tuple[Answered, ...]:
        """The models' answers to an open task so far, in the order in which they came, without those of models that
        have left the fleet: what a strategy weighs.

        Raises UnknownTaskError, and TaskEndedError where its outcome is known.

        >>> import fairlead as fl
        >>> fleet = fl.Fleet()
        >>> fleet.add("a")
        >>> fleet.record(fl.Task("q1"), fl.Forecast("a", p=0.7, cost_usd=0.01))
        >>> fleet.answers("q1")
        (Answered(model='a', p=0.7, value=None, confidence=0.7, cost_usd=0.01),)
        """
        task_id = checks.task_id(task)
        found = self._core.answers(task_id)
        if found is None:
            raise self._no_open(task_id)
        known = self._core.task(task_id)
        numeric = known is not None and known[0][1] == "numeric"
        return tuple(
            Answered(
                model,
                None if numeric else FrozenDict(answer) if isinstance(answer, dict) else answer,
                answer if numeric else None,
                confidence,
                cost,
            )
            for model, answer, confidence, cost, active in found
            if active
        )

    def audit(self, task: Task | str) -> Audit:
        """What became of a task that was settled: who said what, who was believed, what it cost, and what each model
        and each strategy would have lost by what was known when the models answered.

        Of the newest settled tasks there are as many as fit a mebibyte, and no more than `Settings.remember` ended
        ones: a task that is forgotten has no audit. Raises UnknownTaskError for one that is not among them, or not
        settled.

        >>> import fairlead as fl
        >>> fleet = fl.Fleet()
        >>> fleet.add("a"), fleet.add("b")
        (None, None)
        >>> for model, p in (("a", 0.9), ("b", 0.5)):
        ...     fleet.record(fl.Task("q1"), fl.Forecast(model, p=p))
        >>> _ = fleet.decide("q1", strategy="mean")
        >>> fleet.settle("q1", 1)
        True
        >>> audit = fleet.audit("q1")
        >>> round(audit.loss, 3), {name: round(audit.strategies[name], 3) for name in ("mean", "confidence")}
        (0.09, {'mean': 0.09, 'confidence': 0.01})
        """
        task_id = checks.task_id(task)
        found = self._core.audits(task_id)
        if not found:
            known = self._core.task(task_id)
            if known is not None and not known[1]:
                raise UnknownTaskError(f"task is {task_id!r}, which is not settled yet")
            raise UnknownTaskError(
                f"task is {task_id!r}, which is not among the newest that were settled and are remembered "
                f"(Settings.remember is {self._core.settings['remember']:,})"
            )
        return _audit(found[-1])

    def audits(self, *, since: int | str | datetime | None = None, category: str | None = None) -> tuple[Audit, ...]:
        """The newest settled tasks, oldest first: what `fl.contribution`, `fl.agreement` and `fl.returns` read. As many
        as fit a mebibyte, of those whose record is remembered: with a small `Settings.remember` there are few, and with
        0 none.

        since: only those whose outcome became known at this time or later: nanoseconds, a date or a datetime.
        category: only of this one.
        """
        first = None if since is None else as_time(since, "since")
        return tuple(
            _audit(fields)
            for fields in self._core.audits()
            if (first is None or fields["settled"] >= first) and (category is None or fields["category"] == category)
        )

    def calibrator(self, model: str, kind: Kind = "binary") -> Calibrator:
        """How a model's probabilities have to be adjusted, by what has happened so far: a copy, to look at and to use.

        It adjusts nothing as long as that has not been shown to help. `confidence` and `vote` weigh by adjusted
        answers; pools take answers as they are, since adjusted ones err together more. kind: of the tasks, `"binary"`
        or `"categorical"`. Raises UnknownModelError, and InvalidRecordError for another kind.

        >>> import fairlead as fl
        >>> fleet = fl.Fleet()
        >>> fleet.add("a")
        >>> fleet.calibrator("a").adjust(0.9)
        0.9
        """
        found = self._board.find_model(checks.name(model, "model"))
        if found < 0:
            raise UnknownModelError(f"model is {model!r}, which was never in the fleet")
        if kind not in ("binary", "categorical"):
            raise InvalidRecordError(f"kind is {kind!r}, must be 'binary' or 'categorical'")
        return self._board.calibrator(found, KINDS.index(kind))[0]

    @property
    def drawdown(self) -> float:
        """How far the profits that were told with outcomes have fallen from their peak, as a share of `capital_usd` and
        that peak; 0 where the settings name no capital. At `drawdown_limit` no position is taken."""
        return self._core.drawdown

    def _no_open(self, task_id: str) -> Exception:
        known = self._core.task(task_id)
        if known is not None:
            return TaskEndedError(f"task {task_id!r} has ended")
        return UnknownTaskError(f"task is {task_id!r}, which is not open{did_you_mean(task_id, self._core.open_ids())}")


def _audit(fields: dict[str, Any]) -> Audit:
    return Audit(**{**fields, "reasons": reason_names(fields["reasons"])})
