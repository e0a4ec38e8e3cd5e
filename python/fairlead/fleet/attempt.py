"""One routed call: whatever becomes of it, its end is told exactly once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from copy import copy
from time import perf_counter
from typing import Any, Protocol

from fairlead.errors import FairleadError, InvalidRecordError, JournalError, UnknownModelError
from fairlead.fleet import checks
from fairlead.policy.route import Route
from fairlead.providers.deadlines import Deadline
from fairlead.providers.failure import FailureKind, ProviderError, failure_of
from fairlead.providers.keys import scrub
from fairlead.providers.provider import Answer, BaseProvider, Provider, call, failed
from fairlead.types import Forecast, Model, Task

_NONE: Mapping[str, Any] = {}  # never changed


class Line(Protocol):
    """What a call needs of a fleet."""

    @property
    def route(self) -> Callable[..., Route]: ...
    def called(self, route: Route, answer: Answer) -> None: ...
    def release(self, route: Route) -> None: ...
    def record(self, task: Task | str, forecast: Forecast) -> None: ...


class Attempt:
    """A call that a route stands for: its money is held, and the breaker knows that it is under way.

    It ends by an answer or a failure; by `give_up`, when nobody waits for it any more; or it never was, where the
    provider was not asked. A provider that repeats a call repeats it as a call of its own: what was held is settled,
    the breaker hears of the failure, and a new route is asked whether there may be another.
    """

    __slots__ = (
        "_begun",
        "_limit",
        "_line",
        "_over",
        "_provider",
        "_recorded",
        "_repeated",
        "_start",
        "_task",
        "_wishes",
        "model",
        "route",
        "unfit",
    )

    def __init__(
        self,
        line: Line,
        route: Route,
        who: tuple[Model, Provider],
        task: Task,
        limit: Deadline | None,
        wishes: Mapping[str, Any] = _NONE,
        recorded: bool = True,
    ) -> None:
        self._line = line
        self.route = route
        self.model, self._provider = who
        self._task = task
        self._limit = limit
        self._wishes = wishes
        self._recorded = recorded
        self._begun = False
        self._over = False
        self._repeated = False
        self.unfit: InvalidRecordError | None = None

    async def run(self) -> Answer:
        """The provider's answer, or how the call failed: told already, and recorded where it failed. `unfit` says why
        this model cannot be asked this task, and was not. Raises CancelledError."""
        self._start = perf_counter()
        self._begun = True
        provider, model, task = self._provider, self.model, self._task
        try:
            if isinstance(provider, BaseProvider):
                answer = await provider.call(model, task, deadline=self._limit, may_retry=self._may_repeat)
            else:
                answer = await call(provider, model, task, deadline=self._limit)
        except InvalidRecordError as error:
            self.unfit = error
            self._free()
            return failed(model, ProviderError("refused", str(error)), self._start)
        except Exception as error:  # a provider of somebody's own
            answer = failed(model, failure_of(error, scrub), self._start)
        except BaseException:
            self.give_up()
            raise
        if answer.failure is None:
            try:
                checks.answer(task, answer.forecast)
            except InvalidRecordError as error:
                misfit = ProviderError("unparsable", str(error), usage=answer.usage)
                answer = failed(model, misfit, self._start, calls=answer.calls)
        if not self._over:
            self._end(answer)
        return answer

    def elapsed(self) -> float:
        """Seconds since it began."""
        return perf_counter() - self._start if self._begun else 0.0

    def give_up(self, kind: FailureKind = "cancelled", why: str = "nobody waits for it any more") -> None:
        """Tells that the call was cut off, if its end was not told yet. One that had begun may be billed, so it costs
        what is held for it; one that had not never was."""
        if self._over:
            return
        if self._begun:
            self._end(failed(self.model, ProviderError(kind, why), self._start))
        else:
            self._free()

    def _end(self, answer: Answer) -> None:
        self._over = True
        if self._repeated:  # the calls before were told one by one
            answer = answer._replace(calls=1)
        try:
            self._line.called(self.route, answer)
        except (KeyError, FairleadError) as error:
            if isinstance(error, JournalError):
                raise  # all else says that it has ended: somebody has recorded its answer by hand, which settles it
        failure = answer.failure
        if failure is not None and self._recorded and failure.kind != "cancelled":
            with contextlib.suppress(UnknownModelError):  # it has left the fleet meanwhile
                self._line.record(self._task, answer.forecast)

    def _free(self) -> None:
        self._over = True
        self._line.release(self.route)

    def _may_repeat(self, failure: ProviderError) -> bool:
        """Asked by the provider after a failure that it would try again."""
        if self._over:
            return False
        self._end(failed(self.model, copy(failure), self._start))  # a copy, as its traceback is the provider's
        same = {name: self._wishes[name] for name in ("type", "bounds") if name in self._wishes}
        again = self._line.route(self._task, pin=self.model.name, **same)
        if not again:
            return False
        self.route = again
        self._over = False
        self._repeated = True
        return True
