"""One task for which several models are asked: all at once, or one after the other until it is clear, and what they
have to agree on."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from fairlead.errors import InvalidRecordError, UnknownModelError, did_you_mean
from fairlead.fleet.attempt import Attempt
from fairlead.fleet.emergency import abstention, told_of
from fairlead.fleet.errand import Alone, Errand
from fairlead.policy.route import Route
from fairlead.providers.provider import Answer
from fairlead.types import Decision, Forecast, Task

if TYPE_CHECKING:
    from fairlead.policy.cascade import Cascade

_SHARE = 2 / 3
"""Of the models that must agree for `consensus`, as in the core."""
_ROUNDING = 1e-9
_AT_ONCE = 64
"""The most models that may be asked for a task."""


class Branch(Errand[Forecast | None]):
    """One answer of several: it is recorded, and the council decides. None: there will be none."""

    __slots__ = ("_busy", "_council", "_holds", "_samples")

    def __init__(self, council: Council, wishes: dict[str, Any], samples: int = 1) -> None:
        super().__init__(council._asking, council._desk, council._task, "", council._strategy, wishes)
        self._asked = council._asked
        self._council = council
        self._busy: tuple[str, ...] = ()
        self._holds: dict[str, float] = {}  # of calls under way, by model, in USD
        self._samples = samples
        self.limit, self.hedge, self.allowance_usd = council.limit, council.hedge, council.allowance_usd

    def _route(self, *also: str) -> Route:
        route = super()._route(*also)
        if route:
            self._busy = (*self._busy, cast(str, route.model))
            self._holds[cast(str, route.model)] = max(route.reserved_usd, route.cost_usd)
        return route

    def _attempt(self, route: Route) -> Attempt | None:
        attempt = super()._attempt(route)
        if attempt is None:
            self._holds.pop(cast(str, route.model), None)
        return attempt

    def _taken(self) -> tuple[str, ...]:
        council = self._council
        others = (name for branch in council.branches if branch is not self for name in branch._busy)
        return (*council.answers, *others, *council.failed)

    def _committed(self) -> float:
        council = self._council
        spent = council.spent_usd + self._spent_usd
        return spent + sum(
            branch._spent_usd + sum(branch._holds.values()) for branch in council.branches if branch is not self
        )

    def _failed(self, attempt: Any, answer: Answer) -> None:
        super()._failed(attempt, answer)
        self._holds.pop(attempt.model.name, None)
        self._council.failed = (*self._council.failed, attempt.model.name)

    def _done(self, answer: Answer) -> Forecast:
        forecast = answer.forecast
        self._recorded(forecast)
        self._keep(forecast, self._desk.now())
        self._spent_usd += forecast.cost_usd
        return forecast

    def _reuse(self, known: Forecast) -> Forecast:
        self._desk.record(self._task, known)
        self._council.reused = (*self._council.reused, known.model)
        return known

    async def _without(self, route: Route) -> None:
        self._council.refusal = route
        self._council.learn_of(self)

    async def _give_in(self, why: str) -> None:
        self._council.learn_of(self)

    async def consult(self) -> Forecast | None:
        """The answer, or the mean of several of the same model."""
        council = self._council
        council.branches = (*council.branches, self)
        try:
            forecast = await self.run()
            if forecast is None:
                return None
            self._holds.clear()
            if self._samples > 1 and forecast.model not in council.reused:
                forecast = await self._again(forecast)
            council.answers[forecast.model] = forecast
            return forecast
        finally:
            council.branches = tuple(branch for branch in council.branches if branch is not self)
            council.spent_usd += self._spent_usd

    async def _again(self, first: Forecast) -> Forecast:
        """Asks the same model until there are enough samples. Each is recorded as a call of its own, with what it cost,
        and brings the mean of those so far. What does not answer again has said it once."""
        same = {name: given for name, given in self._wishes.items() if name in ("type", "bounds")}
        samples, mean = [first], first
        for _ in range(self._samples - 1):
            more = _Sample(self._council, {**same, "pin": first.model}, samples)
            more._holds = self._holds  # which the others see
            found = await more.run()
            self._holds.clear()
            self._spent_usd += more._spent_usd
            if found is None:
                break
            mean = found
        return mean


class _Sample(Branch):
    """One more answer of a model that has answered: the mean of `samples`, with this one among them."""

    __slots__ = ("_given",)

    def __init__(self, council: Council, wishes: dict[str, Any], samples: list[Forecast]) -> None:
        super().__init__(council, wishes)
        self._given = samples
        self.hedge = None

    def _taken(self) -> tuple[str, ...]:
        return ()

    def _failed(self, attempt: Any, answer: Answer) -> None:
        Errand._failed(self, attempt, answer)

    def _done(self, answer: Answer) -> Forecast:
        self._given.append(answer.forecast)
        return super()._done(answer._replace(forecast=_mean_of(self._task, self._given)))

    async def run(self) -> Forecast | None:
        """Without the cache, which has the first answer."""
        route = self._route()
        attempt = self._attempt(route) if route else None
        if attempt is None:
            return None
        answer = await attempt.run()
        if answer.failure is not None:
            self._spent_usd += answer.forecast.cost_usd
            return None
        try:
            return self._done(answer)
        except UnknownModelError:
            return None


class Council(Alone):
    """A task for which several models are asked, and the decision on what they say."""

    __slots__ = ("_cascade", "_count", "_names", "answers", "branches", "failed", "refusal", "reused", "spent_usd")

    def seat(self, models: int | Iterable[str] | None, cascade: Cascade | None) -> None:
        """Who is asked. Raises InvalidRecordError and UnknownModelError, before anything is paid."""
        self._cascade = cascade
        self._count: int | None = None
        self._names: tuple[str, ...] | None = None
        self.answers: dict[str, Forecast] = {}
        self.branches: tuple[Branch, ...] = ()
        self.failed: tuple[str, ...] = ()
        self.reused: tuple[str, ...] = ()
        self.refusal: Route | None = None
        self.spent_usd = 0.0
        if cascade is not None:
            from fairlead.policy.cascade import Cascade

            if not isinstance(cascade, Cascade):
                raise InvalidRecordError(f"cascade is {cascade!r}, must be a Cascade")
        if models is None:
            return
        if isinstance(models, (bool, str)) or not isinstance(models, (int, Iterable)):
            raise InvalidRecordError(f"models is {models!r}, must be a number, or names of models")
        if isinstance(models, int):
            if not 1 <= models <= _AT_ONCE:
                raise InvalidRecordError(f"models is {models!r}, outside [1, {_AT_ONCE}]")
            self._count = models
            return
        names = tuple(models)
        if not names or len(names) > _AT_ONCE or len(set(names)) < len(names):
            raise InvalidRecordError(
                f"models is {names!r}, must be 1 to {_AT_ONCE} names of models, none of them twice"
            )
        if "pin" in self._wishes:
            raise InvalidRecordError(f"pin is {self._wishes['pin']!r}, but models names those that are asked")
        known = [model.name for model in self._desk.models]
        for name in names:
            if name not in known:
                raise UnknownModelError(f"model is {name!r}, which is not in the fleet{did_you_mean(str(name), known)}")
        self._names = names

    async def run(self) -> Decision:
        """Asks, and decides."""
        cascade = self._cascade
        stage = None if cascade is None else cascade.stage(self._task)
        if stage == "one":
            objective = cast("Cascade", cascade).objective
            if objective is not None:
                self._wishes = {"objective": objective, **self._wishes}
            return told_of(await self._one(), f"cascade: {_usd(self._task)} at stake, one model is asked")
        told: list[str] = []
        if stage is None:
            await self._all(1)
            share, more = _SHARE if self._strategy == "consensus" else 0.0, 1
        elif stage == "ensemble":
            told.append(await self._in_turn(cast("Cascade", cascade)))
            share, more = _SHARE if self._strategy == "consensus" else 0.0, 1
        else:
            rule = cast("Cascade", cascade)
            await self._all(rule.samples)
            share, more = rule.agreement, rule.escalate
            each = f", {rule.samples} times each" if rule.samples > 1 else ""
            told.append(f"cascade: {_usd(self._task)} at stake, {_count(len(self.answers))} asked at once{each}")
        if not self.answers:
            return await self._nobody()
        decision = self._desk.decide(self._task, strategy=self._strategy)
        if share:
            decision = await self._agreed(decision, share, more, told)
        if self.reused:
            told.append(f"cached: {', '.join(self.reused)} answered this before")
        if self.failed:
            told.append(f"asked in vain: {', '.join(dict.fromkeys(self.failed))}")
        if self._late():
            told.append("the deadline has passed: what came in time is decided on")
        return replace(decision, reasons=(*told, *decision.reasons)) if told else decision

    # --- who is asked ---

    async def _one(self) -> Decision:
        """As without a council; of several names, the one that a route would ask."""
        if self._names is None:
            return await super().run()
        others = tuple(model.name for model in self._desk.models if model.name not in self._names)
        self._wishes = {**self._wishes, "ban": (*(self._wishes.get("ban") or ()), *others)}
        return await super().run()

    async def _all(self, samples: int) -> None:
        """All at once."""
        wishes: list[dict[str, Any]]
        if self._names is not None:
            wishes = [{**self._wishes, "pin": name} for name in self._names]
        else:
            count = self._count if self._count is not None else 1 if self._cascade is None else len(self._candidates())
            wishes = [self._wishes] * count
        await _together(Branch(self, own, samples).consult() for own in wishes)

    async def _in_turn(self, cascade: Cascade) -> str:
        """One after the other, until another answer would hardly change the decision. Why it stopped, in words."""
        candidates = self._candidates()
        stake = f"cascade: {_usd(self._task)} at stake"
        prices = {model.name: _expected_usd(model) for model in self._desk.models}
        line = None
        if not cascade.explores(self._task):
            line = self._asking.reading().line(self._task, candidates, prices, cascade.stop)
        if line is None:
            await self._all(1)
            why = (
                "all are asked now and then"
                if cascade.explores(self._task)
                else "the record is too short to stop early"
            )
            return f"{stake}, {_count(len(self.answers))} asked: {why}"
        while not self._late():
            left = line.left
            name = line.next(self._sides())
            if name is None:
                if not left:
                    return f"{stake}, {_count(len(self.answers))} asked, nobody is left"
                return (
                    f"{stake}, {_count(len(self.answers))} asked of {len(candidates)}: the others would change the "
                    f"decision with a probability of {line.chance:.1%}"
                )
            await Branch(self, {**self._wishes, "pin": name}).consult()
        return f"{stake}, {_count(len(self.answers))} asked of {len(candidates)}"

    def _candidates(self) -> list[str]:
        """Who may be asked, by pin, ban and names."""
        pin, ban = self._wishes.get("pin"), (*(self._wishes.get("ban") or ()), *self._asking.left_out)
        names = self._names if self._names is not None else [model.name for model in self._desk.models]
        found = [name for name in names if name not in ban and (pin is None or name == pin)]
        return found[: self._count] if self._count is not None else found[:_AT_ONCE]

    def _sides(self) -> dict[str, Any]:
        from fairlead.policy.cascade.reading import by_label

        return {name: by_label(self._task, answer.p) for name, answer in self.answers.items() if answer.p is not None}

    # --- what they agree on ---

    async def _agreed(self, decision: Decision, share: float, more: int, told: list[str]) -> Decision:
        """The decision, if enough agree with it, perhaps after somebody of the reasoning tier was asked; else none."""
        agree = agreement(decision, self.answers)
        if agree >= share - _ROUNDING:
            told.append(f"{agree:.0%} agree, {share:.0%} are needed")
            return decision
        if more and not self._late():
            told.append(f"only {agree:.0%} agree, {share:.0%} are needed: the reasoning tier is asked")
            wishes = {name: given for name, given in self._wishes.items() if name != "pin"} | {"at_least": "reasoning"}
            before = len(self.answers)
            await _together(Branch(self, wishes).consult() for _ in range(more))
            if len(self.answers) > before:
                decision = self._desk.decide(self._task, strategy=self._strategy)
                agree = agreement(decision, self.answers)
                if agree >= share - _ROUNDING:
                    told.append(f"now {agree:.0%} agree")
                    return decision
            else:
                told.append("nobody there could be asked")
        why = f"{agree:.0%} agree, {share:.0%} are needed"
        none = abstention(self._task, self._strategy, why, decision.cost_usd, decision.time)
        return replace(none, disagreement=decision.disagreement)

    # --- where nobody answered ---

    def learn_of(self, branch: Branch) -> None:
        """What a branch that brought nothing knows of why."""
        self._tried = (*self._tried, *branch._tried)
        self._told = branch._told or self._told
        self._unfit = branch._unfit or self._unfit
        self._over_allowance = self._over_allowance or branch._over_allowance

    async def _nobody(self) -> Decision:
        self._spent_usd = self.spent_usd
        if self.refusal is None or (self._late() and not self.refusal.refused_by):
            return await self._give_in(
                "no answer before the deadline" if self._late() else f"nobody has answered{self._told}"
            )
        return await self._without(self.refusal)


async def _together(branches: Iterable[Coroutine[Any, Any, Forecast | None]]) -> None:
    """All at once. Where one raises, or nobody waits any more, the others are cut off and have ended before that is
    told: no call runs on that is nobody's."""
    running = [asyncio.ensure_future(branch) for branch in branches]
    try:
        await asyncio.gather(*running)
    except BaseException:
        for one in running:
            one.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        raise


def agreement(decision: Decision, answers: dict[str, Forecast]) -> float:
    """The share of the models that give the decision's answer: the same side, the same label; of numbers, 1 less the
    disagreement. Who says exactly one half agrees by half."""
    if decision.value is not None:
        return 1.0 - decision.disagreement
    if not isinstance(decision.p, dict):
        side = 0.0 if decision.p is None else decision.p - 0.5
        given = [cast(float, answer.p) - 0.5 for answer in answers.values()]
        votes = [0.5 if not side or not p else float((p > 0) == (side > 0)) for p in given]
        return sum(votes) / len(votes)
    labels = tuple(decision.p)
    top = max(labels, key=decision.p.__getitem__)
    first = [_top(labels, answer.p) for answer in answers.values()]
    return first.count(top) / len(first)


def _top(labels: tuple[str, ...], p: Any) -> str:
    by_label = p if isinstance(p, dict) else dict(zip(labels, p, strict=True))
    return max(labels, key=by_label.__getitem__)


def _mean_of(task: Task, samples: list[Forecast]) -> Forecast:
    """The last of several answers of a model, with what it cost, but it says the mean of them all."""
    last, n = samples[-1], len(samples)
    said = [sample.confidence for sample in samples]
    confidence = None if None in said else sum(cast("list[float]", said)) / n
    if last.value is not None:
        return replace(last, value=sum(cast(float, s.value) for s in samples) / n, confidence=confidence)
    if task.kind == "categorical":
        given = [s.p if isinstance(s.p, dict) else dict(zip(task.labels, cast(Any, s.p), strict=True)) for s in samples]
        p: Any = {label: sum(one[label] for one in given) / n for label in task.labels}
    else:
        p = sum(cast(float, s.p) for s in samples) / n
    return replace(last, p=p, confidence=confidence)


def _expected_usd(model: Any) -> float:
    """Of a call of which nothing is known but the prices: a thousand tokens in, two hundred out."""
    return float(model.price_in * 1e-3 + model.price_out * 2e-4)


def _usd(task: Task) -> str:
    return f"${task.stake_usd:,.10g}"


def _count(n: int) -> str:
    return "1 model was" if n == 1 else f"{n} models were"
