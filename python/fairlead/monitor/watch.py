"""Looks at rules: what each says of each model, and which alerts that raises and clears.

Reads, decides and changes nothing: `fairlead.fleet.watching` logs what it finds and tells who listens.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from fairlead.measure.calendar import time_text
from fairlead.monitor.alerts import RuleAlert, judge, key_of
from fairlead.monitor.anomaly import Anomaly, anomaly_of
from fairlead.monitor.metrics import METRICS, Measured, in_words, reading
from fairlead.monitor.rules import AnomalyRule, AnyRule, MetricRule, TrendRule
from fairlead.monitor.series import Pane, series_of
from fairlead.monitor.trend import Trend, adjusted, trend_of

ENOUGH = 20
"""Settled answers by which a model can be recommended."""
FLEET = "the fleet"
"""What all models together are called in a sentence."""


class Source(Protocol):
    """What rules are looked at in: the performance of the models in the fleet now. category: in this one alone."""

    def rows(self, window: str, now: int, category: str | None) -> Mapping[str, Measured]: ...
    def together(self, window: str, now: int, category: str | None) -> Measured: ...
    def panes(self, window: str, now: int, category: str | None) -> Mapping[str, Sequence[Pane]]: ...
    def panes_together(self, window: str, now: int, category: str | None) -> Sequence[Pane]: ...
    def categories(self) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule says of a model (None: the fleet) in a category (None: in all).

    threshold: of the metric; of a test, the end of what is usual, or where the metric began. so: gives it as a
    sentence; other: a model that does better there, or, of the fleet, the worst.
    """

    rule: AnyRule
    model: str | None
    category: str | None
    value: float
    n: int
    threshold: float
    fires: bool
    clears: bool
    known: bool
    so: Callable[[], str]
    other: Callable[[], str]

    @property
    def key(self) -> str:
        return key_of(self.rule.name, self.model, self.category)


class Look:
    """One look at a source at one time; each of its records is read once, however many rules are about it."""

    def __init__(self, source: Source, now: int) -> None:
        self.source = source
        self.now = now
        self._rows: dict[tuple[str, str | None], Mapping[str, Measured]] = {}
        self._together: dict[tuple[str, str | None], Measured] = {}
        self._panes: dict[tuple[str, str | None], Mapping[str, Sequence[Pane]]] = {}

    def rows(self, window: str, category: str | None = None) -> Mapping[str, Measured]:
        """The record of each model over a window."""
        key = window, category
        if key not in self._rows:
            self._rows[key] = self.source.rows(window, self.now, category)
        return self._rows[key]

    def together(self, window: str, category: str | None = None) -> Measured:
        """The record of all models together."""
        key = window, category
        if key not in self._together:
            self._together[key] = self.source.together(window, self.now, category)
        return self._together[key]

    def panes(self, window: str, category: str | None = None) -> Mapping[str, Sequence[Pane]]:
        """The panes of each model."""
        key = window, category
        if key not in self._panes:
            self._panes[key] = self.source.panes(window, self.now, category)
        return self._panes[key]

    def findings(self, rules: Iterable[AnyRule]) -> list[Finding]:
        """What all rules say."""
        found: list[Finding] = []
        for rule in rules:
            for category in self._categories(rule):
                if isinstance(rule, MetricRule):
                    found += self._thresholds(rule, category)
                elif isinstance(rule, AnomalyRule):
                    found += [self._anomaly(rule, category, one) for one in self._anomalies(rule, category)]
            if isinstance(rule, TrendRule):
                found += self._trends(rule)
        return found

    def _categories(self, rule: AnyRule) -> Sequence[str | None]:
        if rule.categories:
            return rule.categories
        return tuple(self.source.categories()) if rule.scope == "category" else (None,)

    def _thresholds(self, rule: MetricRule, category: str | None) -> list[Finding]:
        rows: Mapping[str | None, Measured]
        if rule.scope == "fleet":
            rows = {None: self.together(rule.window, category)}
        else:
            every = self.rows(rule.window, category)
            rows = {name: every[name] for name in rule.models or every if name in every}
        return [self._threshold(rule, model, category, row) for model, row in rows.items()]

    def _threshold(self, rule: MetricRule, model: str | None, category: str | None, row: Measured) -> Finding:
        value, n = reading(row, rule.metric)
        return Finding(
            rule,
            model,
            category,
            value,
            n,
            rule.threshold,
            fires=n > 0 and rule.proven(value, n),
            clears=rule.clears(value),
            known=n >= rule.min_n and value == value,
            so=lambda: self._so(rule, category, value, n),
            other=lambda: self._other(rule, model, category, value),
        )

    def _so(self, rule: MetricRule, category: str | None, value: float, n: int) -> str:
        where = _where(category)
        over = f"{n:,} {'settled answers' if METRICS[rule.metric].over == 'settled' else 'calls'}"
        way = {"<": "below", "<=": "not above", ">": "above", ">=": "not below"}[rule.comparison]
        return (
            f"{METRICS[rule.metric].words}{where} is {in_words(rule.metric, value)} over {rule.window}, "
            f"{way} {in_words(rule.metric, rule.threshold)} ({over})"
        )

    def _anomalies(self, rule: AnomalyRule, category: str | None) -> list[tuple[str | None, Anomaly]]:
        return [
            (model, anomaly_of(model or FLEET, rule.metric, series_of(panes, rule.metric), rule.window, rule.alpha))
            for model, panes in self._of(rule, category)
        ]

    def _of(self, rule: AnyRule, category: str | None) -> list[tuple[str | None, Sequence[Pane]]]:
        if rule.scope == "fleet":
            return [(None, self.source.panes_together(rule.window, self.now, category))]
        every = self.panes(rule.window, category)
        return [(name, every[name]) for name in rule.models or every if name in every]

    def _anomaly(self, rule: AnomalyRule, category: str | None, one: tuple[str | None, Anomaly]) -> Finding:
        model, found = one
        worse = METRICS[rule.metric].good * found.statistic < 0
        words = [in_words(rule.metric, value) for value in (found.value, found.low, found.high)]
        bound = found.low if METRICS[rule.metric].good > 0 else found.high
        so = (
            f"{METRICS[rule.metric].words}{_where(category)} is {words[0]} in the newest "
            f"{_span(found.end - found.start)} (n = {found.n:,}), where {words[1]} to {words[2]} is usual "
            f"(p = {found.p_value:.2g})"
        )
        return Finding(
            rule,
            model,
            category,
            found.value,
            found.n,
            bound,
            fires=found.state == "worse",
            clears=found.p_value > (rule.clear or 0.0) or not worse,
            known=found.state != "unknown" and found.n >= rule.min_n,
            so=lambda: so,
            other=lambda: self._other(rule, model, category, found.value),
        )

    def _trends(self, rule: TrendRule) -> list[Finding]:
        where, trends = [], []
        for category in self._categories(rule):
            for model, panes in self._of(rule, category):
                where.append((model, category))
                trends.append(
                    trend_of(model or FLEET, rule.metric, series_of(panes, rule.metric, rule.min_n), rule.window)
                )
        decided = zip(where, adjusted(trends, rule.alpha), strict=True)
        return [self._trend(rule, model, category, trend) for (model, category), trend in decided]

    def _trend(self, rule: TrendRule, model: str | None, category: str | None, trend: Trend) -> Finding:
        worse = METRICS[rule.metric].good * trend.tau < 0
        moved = f"{in_words(rule.metric, trend.first)} to {in_words(rule.metric, trend.last)}"
        so = (
            f"{METRICS[rule.metric].words}{_where(category)} went from {moved} over {rule.window} "
            f"(p = {trend.adjusted:.2g}, {trend.panes} stretches of time)"
        )
        return Finding(
            rule,
            model,
            category,
            trend.last,
            trend.n,
            trend.first,
            fires=trend.state == "degrading",
            clears=trend.adjusted > (rule.clear or 0.0) or not worse,
            known=trend.state != "unknown",
            so=lambda: so,
            other=lambda: self._other(rule, model, category, trend.last),
        )

    def _other(self, rule: AnyRule, model: str | None, category: str | None, value: float) -> str:
        """Who to ask instead: of the models that do better by the metric, and do not break the rule, the one with the
        best decision quality; if that is not known, the best by the metric. Of the fleet: its worst. Empty: none."""
        good = METRICS[rule.metric].good or 1
        known = []
        for name, row in self.rows(rule.window, category).items():
            other, n = reading(row, rule.metric)
            if name != model and other == other and n >= rule.min_n:
                known.append((good * other, name, row))
        if model is None:
            return min(known, key=lambda one: one[:2])[1] if known else ""
        broken = rule.fires if isinstance(rule, MetricRule) else lambda _: False
        fine = [one for one in known if one[0] > good * value and not broken(good * one[0])]
        qualities = [(*reading(row, "quality"), name) for _, name, row in fine]
        judged = [(quality, name) for quality, n, name in qualities if n >= ENOUGH and quality == quality]
        if judged:
            return max(judged)[1]
        return max(fine, key=lambda one: one[:2])[1] if fine else ""


def turns(
    findings: Iterable[Finding], raised: Mapping[str, RuleAlert], quiet: dict[str, int], now: int
) -> list[RuleAlert]:
    """The alerts that are news, those that clear first. `quiet` counts quiet checks by key, and is changed."""
    cleared, new, seen = [], [], set()
    for found in findings:
        key = found.key
        seen.add(key)
        before = raised.get(key)
        verdict, count = judge(
            fires=found.fires, clears=found.clears, known=found.known, empty=found.n == 0,
            raised=before is not None, quiet=quiet.get(key, 0), limit=found.rule.quiet,
        )  # fmt: skip
        if count:
            quiet[key] = count
        else:
            quiet.pop(key, None)
        if verdict == "raise":
            new.append(_raised(found, now))
        elif verdict == "clear" and before is not None:
            cleared.append(_cleared(found, before, now))
    for key, before in raised.items():
        if key not in seen:
            quiet.pop(key, None)
            gone = f"{before.message}: nobody looks any more, the rule, the model or the category is gone"
            cleared.append(before.cleared(math.nan, 0, gone, now))
    return cleared + new


def broken(findings: Iterable[Finding], raised: Iterable[str], now: int) -> tuple[RuleAlert, ...]:
    """What a check would raise now; worst first. raised: keys of alerts that are."""
    known = set(raised)
    found = [_raised(one, now) for one in findings if one.known and one.fires and one.key not in known]
    return tuple(sorted(found, key=lambda alert: (severity_order(alert.severity), alert.key)))


def _raised(found: Finding, now: int) -> RuleAlert:
    rule = found.rule
    who = found.model or FLEET
    return RuleAlert(
        key=found.key,
        rule=rule.name,
        state="raised",
        severity=rule.severity,
        metric=rule.metric,
        value=found.value,
        threshold=found.threshold,
        window=rule.window,
        n=found.n,
        model=found.model,
        category=found.category,
        message=f"{who}: {found.so()}",
        recommendation=rule.recommendation or recommendation(rule.metric, found.model, found.category, found.other()),
        time=now,
        since=now,
    )


def _cleared(found: Finding, before: RuleAlert, now: int) -> RuleAlert:
    who, since = found.model or FLEET, f"raised {time_text(before.since)}"
    what = METRICS[found.rule.metric].words + _where(found.category)
    if not found.n:
        return before.cleared(math.nan, 0, f"{who}: {what}: nothing is left in {found.rule.window} ({since})", now)
    value = in_words(found.rule.metric, found.value)
    return before.cleared(found.value, found.n, f"{who}: {what} is {value} again ({since})", now)


def recommendation(metric: str, model: str | None, category: str | None, other: str) -> str:
    """What to do, in a sentence.

    >>> recommendation("accuracy", "gpt", "politics", "claude")
    'Let claude answer on politics until gpt has recovered, or give gpt less weight there.'
    >>> recommendation("latency_p95_ms", None, None, "gpt")
    "gpt is worst. Give gpt's calls a deadline or hedge them; ask another model where it is urgent."
    """
    cure, where = METRICS[metric].cure, _where(category)
    if model is None:
        if not other:
            return "Look at fleet.monitor.health(): which model did it."
        return f"{other} is worst. " + cure.format(model=other, where=where, other="another model")
    return cure.format(model=model, where=where, other=other or "another model")


def _where(category: str | None) -> str:
    return f" on {category}" if category else ""


def _span(nanoseconds: int) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if nanoseconds >= 2 * size * 10**9:
            return f"{nanoseconds / (size * 10**9):.3g} {unit}"
    return f"{nanoseconds / 1e9:.3g} seconds"


def severity_order(severity: Literal["info", "warning", "critical"] | str) -> int:
    """0 for the worst.

    >>> sorted(["info", "critical", "warning"], key=severity_order)
    ['critical', 'warning', 'info']
    """
    return ("critical", "warning", "info").index(severity)
