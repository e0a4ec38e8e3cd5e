"""Agreement-else-escalate: two cheap models, and a strong one where they differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

__all__ = ["Agreement", "AgreementRow"]

_Array = np.ndarray[Any, np.dtype[np.float64]]
_CHEAP = 5  # models tried as first and second
_THRIFTS = (0.0, 0.1, 0.2, 0.4)
_CUTS = 41  # thresholds tried


@dataclass(frozen=True, slots=True)
class AgreementRow:
    """How good the answers were where both cheap models agreed (or not), on `n` prompts: a mean quality each."""

    agreed: bool
    n: int
    first: float
    second: float
    strong: float


@dataclass(frozen=True)
class Agreement:
    """Asks a cheap model; then a second one; if both agree, that is the answer, else a strong one is asked.

    Without a model of the prompt these are the first two of `cheap` and the first of `strong`. With one, they are those
    that it expects most of on this prompt (of cheap ones, less `thrift` times their price, that of the best model
    being 1), and two thresholds save calls: prompts on which the strong model is expected to be better than the cheap
    one by no more than `trust` go to the cheap one alone, by more than `doubt` to the strong one at once. Errors of
    cheap models go together, so agreement is evidence, not proof: `chance` says how much.

    >>> quality = [[1, 1, 1], [1, 1, 1], [0, 1, 1], [1, 0, 1], [0, 0, 0]] * 20
    >>> rule = Agreement.fit(quality, [1.0, 1.0, 10.0], ["a", "b", "large"], budget=0.9)
    >>> rule.ask_next({}), rule.ask_next({"a": "yes"}), rule.ask_next({"a": "yes", "b": "yes"})
    ('a', 'b', None)
    >>> rule.ask_next({"a": "yes", "b": "no"}), rule.chosen({"a": "yes", "b": "no", "large": "no"})
    ('large', 'large')
    >>> round(rule.chance(True), 2), round(rule.chance(False), 2)
    (0.66, 0.5)
    """

    cheap: tuple[str, ...]
    strong: tuple[str, ...]
    trust: float
    doubt: float
    thrift: float
    prices: tuple[float, ...]
    calibration: tuple[AgreementRow, AgreementRow]

    @classmethod
    def fit(
        cls,
        quality: Any,
        cost_usd: Any,
        models: Sequence[str],
        *,
        expected: Any = None,
        agree: Any = None,
        budget: float = 0.5,
    ) -> Agreement:
        """The best rule on n prompts that costs at most `budget` of asking the best model for all of them; the cheapest
        where none is so cheap. Cheap are models that cost at most half of what the best one does.

        quality: (n, M) in [0, 1]. cost_usd: (M,), or (n, M). expected: (n, M) from a model of the prompt that was not
        fitted to these prompts; without it every prompt goes to two cheap models. agree: (n, M, M) of bool, whether two
        models gave the same answer; without it, whether their qualities are less than half apart, which takes two
        wrong answers for the same.

        Raises ValueError for shapes that differ, less than two cheap models, or a budget that is not above 0.
        """
        q = np.asarray(quality, dtype=float)
        if q.ndim != 2 or q.shape[1] != len(models) or not q.size:
            raise ValueError(f"quality has shape {q.shape}, must be (prompts, {len(models)})")
        if not budget > 0:
            raise ValueError(f"budget is {budget!r}, must be above 0")
        given = np.asarray(cost_usd, dtype=float)
        if given.shape not in ((len(models),), q.shape):
            raise ValueError(f"cost_usd has shape {given.shape}, must be ({len(models)},) or {q.shape}")
        cost = np.broadcast_to(given, q.shape)
        e = None if expected is None else np.asarray(expected, dtype=float)
        if e is not None and e.shape != q.shape:
            raise ValueError(f"expected has shape {e.shape}, must be {q.shape}")
        same = _same(q) if agree is None else np.asarray(agree, dtype=bool)
        if same.shape != (*q.shape, len(models)):
            raise ValueError(f"agree has shape {same.shape}, must be {(*q.shape, len(models))}")

        mean, price = q.mean(axis=0), cost.mean(axis=0)
        best = int(mean.argmax())
        ranked = [int(m) for m in np.argsort(-mean, kind="stable")]
        cheap = [m for m in ranked if price[m] <= price[best] / 2 and m != best]
        if len(cheap) < 2:
            raise ValueError(f"less than two models cost at most half of the best one, {models[best]!r}")
        prices = tuple(float(p) for p in price / (price[best] or 1.0))
        options: list[tuple[list[int], list[int], float]]
        if e is None:
            options = [([a, b], [best], 0.0) for a in cheap[:_CHEAP] for b in cheap[:_CHEAP] if a != b]
        else:
            dear = [m for m in ranked if m not in cheap]
            options = [(cheap[:k], dear, thrift) for k in range(2, len(cheap) + 1) for thrift in _THRIFTS]
        found = None
        for low, high, thrift in options:
            roles = _roles(e, len(q), low, high, thrift, prices)
            score, trust, doubt = _thresholds(q, cost, roles, same, budget * float(price[best]))
            if found is None or score > found[0]:
                found = score, low, high, thrift, trust, doubt
        assert found is not None
        _, low, high, thrift, trust, doubt = found
        names = [tuple(models[m] for m in places) for places in (low, high)]
        blank = AgreementRow(True, 0, math.nan, math.nan, math.nan)
        rule = cls(names[0], names[1], trust, doubt, thrift, tuple(prices[m] for m in low), (blank, blank))
        return replace(rule, calibration=rule.run(q, cost, models, expected=e, agree=same)[2:])

    def ask_next(self, answers: Mapping[str, Any], expected: Mapping[str, float] | None = None) -> str | None:
        """Who is to be asked, after these answers by model; None: nobody, `chosen` says whose answer counts.

        expected: the quality that a model of the prompt expects, by model: the same in each call for a prompt. Answers
        are the same where ``==`` says so."""
        if any(name in answers for name in self.strong):
            return None
        first, second, strong = self.cheap[0], self.cheap[1], self.strong[0]
        gain = None
        if expected is not None:
            worth = {m: expected[m] - self.thrift * p for m, p in zip(self.cheap, self.prices, strict=True)}
            first, second = sorted(self.cheap, key=lambda m: -worth[m])[:2]  # equal ones as in `cheap`
            strong = max(self.strong, key=lambda m: expected[m])
            gain = expected[strong] - expected[first]
        if first not in answers:
            return strong if gain is not None and gain > self.doubt else first
        if gain is not None and gain <= self.trust:
            return None
        if second not in answers:
            return second
        return None if answers[first] == answers[second] else strong

    def chosen(self, answers: Mapping[str, Any]) -> str:
        """Whose answer counts, once `ask_next` names nobody: a strong model's, else that of the one asked first.
        Raises ValueError if nobody has answered."""
        if not answers:
            raise ValueError("answers is empty")
        return next(name for name in (*self.strong, *answers) if name in answers)

    def chance(self, agreed: bool) -> float:
        """The quality that the answer of the first model had on the prompts of the fit, where the second agreed or did
        not; one result of 0.5 counts in, so that it is never quite 0 or 1."""
        row = self.calibration[0 if agreed else 1]
        return (row.first * row.n + 0.5) / (row.n + 1) if row.n else 0.5

    def run(
        self, quality: Any, cost_usd: Any, models: Sequence[str], *, expected: Any = None, agree: Any = None
    ) -> tuple[_Array, _Array, AgreementRow, AgreementRow]:
        """What the rule brings on other prompts: the quality and the cost of each, and how good the answers were where
        both cheap models agreed and where they did not. Arguments as for `fit`."""
        q = np.asarray(quality, dtype=float)
        cost = np.broadcast_to(np.asarray(cost_usd, dtype=float), q.shape)
        same = _same(q) if agree is None else np.asarray(agree, dtype=bool)
        places = {name: i for i, name in enumerate(models)}
        low, high = [places[name] for name in self.cheap], [places[name] for name in self.strong]
        prices = [0.0] * len(models)
        for m, p in zip(low, self.prices, strict=True):
            prices[m] = p
        roles = _roles(expected, len(q), low, high, self.thrift, prices)
        alone = np.zeros(len(q), bool) if expected is None else roles.gain <= self.trust
        at_once = np.zeros(len(q), bool) if expected is None else roles.gain > self.doubt
        rows = np.arange(len(q))
        first, second, strong = (q[rows, which] for which in (roles.first, roles.second, roles.strong))
        both = same[rows, roles.first, roles.second]
        asked = ~alone & ~at_once
        use_first = alone | (asked & both)
        paid = np.where(at_once, 0.0, cost[rows, roles.first]) + np.where(asked, cost[rows, roles.second], 0.0)
        paid = paid + np.where(use_first, 0.0, cost[rows, roles.strong])
        told = [_row(agreed, asked & (both == agreed), first, second, strong) for agreed in (True, False)]
        return np.where(use_first, first, strong), paid, told[0], told[1]

    def __str__(self) -> str:
        text = f"{', '.join(self.cheap)}; else {', '.join(self.strong)}"
        if self.trust > -math.inf or self.doubt < math.inf:
            text += f"; alone up to {self.trust:+.2f}, at once from {self.doubt:+.2f}"
        return text

    def as_dict(self) -> dict[str, Any]:
        """Everything, as plain Python."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Roles:
    """Who is who on each prompt, and by how much the strong model is expected to be better than the first."""

    first: Any
    second: Any
    strong: Any
    gain: _Array


def _roles(expected: Any, n: int, low: list[int], high: list[int], thrift: float, prices: Sequence[float]) -> _Roles:
    if expected is None:
        return _Roles(np.full(n, low[0]), np.full(n, low[1]), np.full(n, high[0]), np.zeros(n))
    e, rows = np.asarray(expected, dtype=float), np.arange(n)
    worth = e[:, low] - thrift * np.asarray([prices[m] for m in low])
    order = np.argsort(-worth, axis=1, kind="stable")
    first, second = np.asarray(low)[order[:, 0]], np.asarray(low)[order[:, 1]]
    strong = np.asarray(high)[e[:, high].argmax(axis=1)]
    return _Roles(first, second, strong, e[rows, strong] - e[rows, first])


def _same(quality: _Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
    same: np.ndarray[Any, np.dtype[np.bool_]] = np.abs(quality[:, :, None] - quality[:, None, :]) < 0.5
    return same


def _row(agreed: bool, where: Any, first: _Array, second: _Array, strong: _Array) -> AgreementRow:
    means = [float(x[where].mean()) if where.any() else math.nan for x in (first, second, strong)]
    return AgreementRow(agreed, int(where.sum()), *means)


def _thresholds(
    q: _Array, cost: _Array, roles: _Roles, same: Any, most: float
) -> tuple[tuple[bool, float], float, float]:
    """The best thresholds for these roles: (how good, to be compared), trust, doubt."""
    n, rows = len(q), np.arange(len(q))
    qa, qs = q[rows, roles.first], q[rows, roles.strong]
    ca, cb, cs = cost[rows, roles.first], cost[rows, roles.second], cost[rows, roles.strong]
    both = same[rows, roles.first, roles.second]
    order = np.argsort(roles.gain, kind="stable")
    ranked = roles.gain[order]
    # A threshold lies between prompts that differ, or beyond all of them.
    cuts = np.unique(np.linspace(0, n, _CUTS).astype(int))
    cuts = np.array([c for c in cuts if c in (0, n) or ranked[c] != ranked[c - 1]])

    def sums(x: _Array) -> _Array:
        out: _Array = np.concatenate([[0.0], np.cumsum(x[order])])[cuts] / n
        return out

    i, j = np.triu_indices(len(cuts))
    if not roles.gain.any():  # nothing is expected: all prompts go to both
        i, j = np.array([0]), np.array([len(cuts) - 1])

    def total(alone: _Array, pair: _Array, at_once: _Array) -> _Array:
        a, p, s = sums(alone), sums(pair), sums(at_once)
        out: _Array = a[i] + p[j] - p[i] + s[-1] - s[j]
        return out

    quality = total(qa, np.where(both, qa, qs), qs)
    price = total(ca, ca + cb + np.where(both, 0.0, cs), cs)
    inside = price <= most
    k = int(np.where(inside, quality, -np.inf).argmax()) if inside.any() else int(price.argmin())
    trust, doubt = (
        -math.inf if c == 0 else math.inf if c == n else float((ranked[c - 1] + ranked[c]) / 2)
        for c in (cuts[i[k]], cuts[j[k]])
    )
    return (bool(inside[k]), float(quality[k] if inside[k] else -price[k])), trust, doubt
