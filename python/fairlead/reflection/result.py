"""What a reflection says."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from fairlead.reflection.calibration import Calibrated
from fairlead.reflection.columns import Kind
from fairlead.reflection.contexts import Context, Contexts
from fairlead.reflection.ensembles import Pair
from fairlead.reflection.inference import Estimate
from fairlead.reflection.paired import Cost, Paired, Regret
from fairlead.reflection.plain import plain
from fairlead.reflection.suggestions import Suggestion, said, span
from fairlead.reflection.summary import Performance, Summary, Training
from fairlead.reflection.trend import Trend

_SHOWN = 3  # contexts, models and the like in a line
_LINES = 6  # suggestions


@dataclass(frozen=True, slots=True)
class KindReflection:
    """A model in one kind of task: losses of different kinds are never mixed in one mean.

    comparisons: with each other model, by the loss that is scored. pairs: with each that it met, pooled; of classes by
    the log-loss alone, see `Pair`. contribution: what the mean of all who answered would lose more without it, by the
    same; None where nobody else answered.
    """

    kind: Kind
    performance: Performance
    trend: Trend
    contexts: Contexts
    calibration: Calibrated | None
    cost: Cost
    regret: Regret | None
    comparisons: tuple[Paired, ...]
    pairs: tuple[Pair, ...]
    contribution: Estimate | None

    def lines(self) -> Iterator[str]:
        """As `print` shows it."""
        p = self.performance
        yield f"{self.kind}: {p.n} scored in {p.rounds} rounds"
        marks = (
            f"MAE {p.mae:.4g}, RMSE {p.rmse:.4g}"
            if self.kind == "numeric"
            else f"Brier {p.brier:.4f}, log-loss {p.log_loss:.4f}, accuracy {p.accuracy:.1%}"
        )
        yield f"  {marks}" + (f"; {p.excess:+.4f} to the others on the same {p.excess_n} tasks" if p.excess_n else "")
        yield f"  trend: {self.trend.state}" + _slopes(self.trend)
        for title, names in (("best", self.contexts.best), ("worst", self.contexts.worst)):
            if names:
                yield f"  {title} contexts: " + "; ".join(_context(self.contexts, name) for name in names[:_SHOWN])
        c = self.calibration
        if c:
            yield (
                f"  calibration: {c.state}, error {c.error:.4f} ({c.error_expected:.4f} if it were right), "
                f"z = {c.z:+.2f}, {said(c.p_value)}, bias {span(c.bias)}"
            )
        if self.cost.total > 0 and not math.isnan(self.cost.per_answer):
            yield "  cost: " + _cost(self.cost)
        r = self.regret
        if r:
            yield (
                f"  regret per 100 tasks: {r.per_100:+.4f} to {r.best} (n = {r.n}), "
                f"{r.peers_per_100:+.4f} to the others (n = {r.peers_n})"
            )
        if self.comparisons:
            yield "  " + _comparisons(self.comparisons)
        if self.contribution:
            gain = self.contribution
            yield f"  contribution to the mean of all: {span(gain)}, {said(gain.p_value)}, n = {gain.n}"


@dataclass(frozen=True, slots=True)
class Reflection:
    """What a model did, how good it is, where that is going, and what follows. `print` it, or take `to_dict`.

    summary: tasks, calls, cost, latency, tokens. training: its training runs, None if the journal has none. kinds: by
    kind of task. suggestions: with their numbers and rule. missing: what could not be told, and for want of what.
    dropped: a quota dropped events of the journal, so all this is of what is left.
    """

    model: str
    summary: Summary
    training: Training | None
    kinds: tuple[KindReflection, ...]
    suggestions: tuple[Suggestion, ...]
    missing: tuple[str, ...] = field(default=())
    dropped: bool = False

    def __getitem__(self, kind: str) -> KindReflection:
        for one in self.kinds:
            if one.kind == kind:
                return one
        raise KeyError(kind)

    @property
    def main(self) -> KindReflection | None:
        """The kind of task with the most scored answers; None if nothing was scored."""
        return max(self.kinds, key=lambda one: one.performance.n) if self.kinds else None

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain JSON types; a number that is not known is None."""
        out: dict[str, Any] = plain(self)
        for suggestion, line in zip(self.suggestions, out["suggestions"], strict=True):
            line["rule"] = suggestion.rule
        return out

    def __str__(self) -> str:
        s = self.summary
        days = f", {when(s.first)[:10]} to {when(s.last)[:10]}" if s.first is not None and s.last is not None else ""
        left = ", of what a quota left (see below)" if self.dropped else ""
        lines = [f"{self.model}: {s.tasks} tasks, {s.scored} scored{days}{left}"]
        cost = f"{s.cost_usd:.4g} USD" if s.cost_n else "cost not known"
        if not math.isnan(s.cost_per_scored):
            cost += f" ({s.cost_per_scored:.4g} a scored answer)"
        if 0 < s.cost_n < s.tasks:
            cost += f" for the {s.cost_n} tasks whose cost is known"
        lines.append(f"  {s.calls} calls, {s.failures} failed, {cost}, {s.tokens_in + s.tokens_out} tokens")
        if s.latency_n:
            lines.append(
                f"  latency: mean {s.latency_mean:.4g}, median {s.latency_median:.4g}, p95 {s.latency_p95:.4g} ms "
                f"(n = {s.latency_n})"
            )
        if self.training:
            data = json.dumps(plain(self.training.data))
            lines.append(
                f"  training: {self.training.runs} runs, the last {when(self.training.last)} "
                f"{data[:80]}{'...' if len(data) > 80 else ''}"
            )
        for kind in self.kinds:
            lines += kind.lines()
        lines += _some_lines([str(s) for s in self.suggestions], _LINES, "suggestions:")
        lines += _some_lines(list(self.missing), _SHOWN, "missing:")
        return "\n".join(lines)


def when(time: int) -> str:
    """A time in nanoseconds as ISO, to the second."""
    return (datetime(1970, 1, 1) + timedelta(microseconds=time // 1000)).isoformat(timespec="seconds")


def _some_lines(texts: list[str], most: int, title: str) -> list[str]:
    if not texts:
        return []
    more = [f"  and {len(texts) - most} more"] if len(texts) > most else []
    return [title, *(f"  {text}" for text in texts[:most]), *more]


def _slopes(trend: Trend) -> str:
    chosen, other = trend.chosen, trend.raw if trend.basis == "excess" else None
    if trend.state == "unknown":
        return f", {chosen.rounds} rounds are too few"
    name = "against the others" if trend.basis == "excess" else "raw loss, for want of others"
    text = f", {span(chosen)} per 100 tasks {name}, {said(chosen.p_value)}, n = {chosen.n}"
    return text + (f"; raw {other.value:+.3g}, {said(other.p_value)}" if other else "")


def _context(contexts: Contexts, name: str) -> str:
    row: Context = next(row for row in contexts.rows if row.context == name)
    return f"{name} {row.shrunk:+.4f} [{row.low:+.4f}, {row.high:+.4f}] n = {row.n}"


def _cost(cost: Cost) -> str:
    text = f"{cost.per_answer:.4g} USD a scored answer"
    if cost.per_improvement is not None:
        text += f", {cost.per_improvement:.4g} for each unit of loss less than the others"
    if cost.cheaper is not None and cost.cheaper_difference is not None:
        text += f"; {cost.cheaper} costs {cost.cheaper_per_answer:.4g}, loss {span(cost.cheaper_difference)}"
    return text


def _comparisons(rows: tuple[Paired, ...]) -> str:
    better, worse = [p for p in rows if p.better], [p for p in rows if p.worse]
    unknown = sum(math.isnan(p.p_adjusted) for p in rows)
    text = f"better than {len(better)} and worse than {len(worse)} of the {len(rows) - unknown} others compared with"
    if worse:
        worst = sorted(worse, key=lambda p: -p.difference.value)[:_SHOWN]
        text += ": " + ", ".join(f"{p.other} {p.difference.value:+.4f} (n = {p.n})" for p in worst)
    return text
