"""Where a model is strong or weak: patterns in its skill by category, regime and time to expiry, beyond chance.

Every model is looked at in every category, regime and time to expiry that it has met, and in every combination of two
or three of these. Each is a test of skill by rounds (`fairlead.measure.rounds`), and what is called a pattern are those
that stand after the false discovery rate is controlled over all of them: Y. Benjamini, Y. Hochberg, "Controlling the
false discovery rate" (JRSS B 57, 1995). That holds for tests that are independent or move together; those of models
that share their tasks also move against each other, for which there is no proof, but what noise gives is measured in
tests/measure/test_patterns.py. A combination that holds the same answers as a wider one is no test of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, Literal

from fairlead.errors import InvalidRecordError
from fairlead.measure.performance import PerformanceRow, sums_of
from fairlead.measure.rounds import Estimate, Sums, benjamini_hochberg, difference, mean

Place = tuple[str, str, str]
"""Category, regime, time to expiry."""
Cell = tuple[str | None, str | None, str | None]
"""The same; None: all."""
Read = Callable[[str | None, str | None, str | None, str | None], PerformanceRow]
_SUBSETS = [subset for size in (1, 2, 3) for subset in combinations(range(3), size)]


@dataclass(frozen=True, slots=True)
class Pattern:
    """A model in a place; None: in all of them. skill: what was tested, of n answers in so many evenly filled rounds;
    for patterns against itself: minus that elsewhere. low, high: its 95 % interval, of this pattern alone. q_value: the
    false discovery rate at which it would just be found. beyond: the interval leaves out what the model shows in every
    wider pattern that was found, and overall: it says something that they do not."""

    model: str
    category: str | None
    regime: str | None
    expiry: str | None
    skill: float
    low: float
    high: float
    n: int
    rounds: float
    p_value: float
    q_value: float
    beyond: bool

    @property
    def strong(self) -> bool:
        """Whether it does well there."""
        return self.skill > 0.0

    def __str__(self) -> str:
        where = []
        if self.category is not None:
            where.append(f"in {self.category or '(no category)'}")
        if self.regime is not None:
            where.append(f"under {self.regime or '(no regime)'}")
        if self.expiry is not None:
            where.append(_EXPIRES[self.expiry])
        how = "strong" if self.strong else "weak"
        return f"{self.model} {how} {' '.join(where)}: {self.skill:+.2g} Brier skill, n={self.n}"


_EXPIRES = {
    "1h": "within the hour",
    "1d": "within the day",
    "7d": "within the week",
    "30d": "within the month",
    "later": "beyond a month",
    "unknown": "without expiry",
}


@dataclass(frozen=True, slots=True)
class PatternReport:
    """Patterns that are not chance, the surest first. Iterates over all; prints those as sentences that say more than
    wider ones (`beyond`).

    tested: how many were. min_n, fdr, against, window: how it was asked.
    """

    patterns: tuple[Pattern, ...]
    tested: int
    min_n: int
    fdr: float
    against: str
    window: str

    def __iter__(self) -> Iterator[Pattern]:
        return iter(self.patterns)

    def __len__(self) -> int:
        return len(self.patterns)

    def of(self, model: str) -> tuple[Pattern, ...]:
        """Those of one model."""
        return tuple(pattern for pattern in self.patterns if pattern.model == model)

    def to_dicts(self) -> list[dict[str, Any]]:
        """A list of dictionaries, ready for a data frame."""
        return [asdict(pattern) for pattern in self.patterns]

    def __str__(self) -> str:
        beside = "the other models" if self.against == "others" else "the model itself elsewhere"
        if not self.tested:
            return f"Nothing to test: no model has {self.min_n} answers in a place, in rounds enough."
        head = f"{len(self.patterns)} of {self.tested} patterns stand out beside {beside}, at a false discovery rate"
        head += f" of {self.fdr:g}"
        lines = [
            f"  {pattern} ({pattern.low:+.2g} to {pattern.high:+.2g})" for pattern in self.patterns if pattern.beyond
        ]
        if lines and len(lines) < len(self.patterns):
            lines.append(
                f"The other {len(self.patterns) - len(lines)} follow from these, or from how the models do overall."
            )
        return "\n".join([head + (":" if lines else "."), *lines])


def find_patterns(
    places: Mapping[str, Sequence[Place]],
    read: Read,
    *,
    window: str = "all",
    min_n: int = 30,
    fdr: float = 0.05,
    against: Literal["others", "itself"] = "others",
) -> PatternReport:
    """Patterns of models in the places that each has met; `read` gives the row of a model in a cell."""
    checked: object = min_n
    if isinstance(checked, bool) or not isinstance(checked, int) or min_n < 2:
        raise InvalidRecordError(f"min_n is {min_n!r}, must be an integer, at least 2")
    if not 0.0 < fdr < 1.0:
        raise InvalidRecordError(f"fdr is {fdr!r}, outside (0, 1)")
    if against not in ("others", "itself"):
        raise InvalidRecordError(f"against is {against!r}, must be 'others' or 'itself'")
    found: list[tuple[str, Cell, Estimate]] = []
    for model, met in places.items():
        found += _tests(model, met, read, min_n, against)
    q_values = benjamini_hochberg([estimate.p_value for _, _, estimate in found])
    sure = [(*test, q) for test, q in zip(found, q_values, strict=True) if q <= fdr]
    known = [(model, cell, at.value) for model, cell, at, _ in sure]
    if against == "others":
        known += [(model, (None, None, None), read(model, None, None, None).skill) for model in places]
    patterns = [
        Pattern(model, *cell, at.value, *at.interval(), at.n, at.rounds, at.p_value, q, _beyond(model, cell, at, known))
        for model, cell, at, q in sure
    ]
    patterns.sort(key=lambda pattern: (pattern.p_value, -abs(pattern.skill)))
    return PatternReport(tuple(patterns), len(found), min_n, fdr, against, window)


def _tests(model: str, met: Sequence[Place], read: Read, min_n: int, against: str) -> list[tuple[str, Cell, Estimate]]:
    whole = read(model, None, None, None)
    seen: set[tuple[Any, ...]] = set()
    if against == "itself":
        seen.add(_marks(whole))  # beside which there is nothing elsewhere
    out = []
    for subset in _SUBSETS:
        for key in sorted({tuple(place[i] for i in subset) for place in met}):
            cell: list[str | None] = [None, None, None]
            for i, value in zip(subset, key, strict=True):
                cell[i] = value
            row = read(model, *cell)
            marks = _marks(row)
            if marks in seen:
                continue
            seen.add(marks)
            estimate = _estimate(row, whole, against)
            if estimate.n >= min_n and estimate.p_value == estimate.p_value:
                out.append((model, (cell[0], cell[1], cell[2]), estimate))
    return out


def _beyond(model: str, cell: Cell, at: Estimate, known: Sequence[tuple[str, Cell, float]]) -> bool:
    """Whether no wider place of the model explains it."""
    low, high = at.interval()
    return not any(
        other == model and cell != wider and _holds(wider, cell) and low <= skill <= high
        for other, wider, skill in known
    )


def _holds(wider: Cell, cell: Cell) -> bool:
    return all(given is None or given == own for given, own in zip(wider, cell, strict=True))


def _marks(row: PerformanceRow) -> tuple[Any, ...]:
    """What tells the answers of a row from those of another."""
    return (row.settled, row.skill, row.skill_deviation)


def _estimate(row: PerformanceRow, whole: PerformanceRow, against: str) -> Estimate:
    if against == "others":
        return mean(sums_of(row, "skill", row.round_width), deviation=row.skill_deviation)
    width = max(row.round_width, whole.round_width)
    here, all_of_it = sums_of(row, "skill", width), sums_of(whole, "skill", width)
    elsewhere = _without(all_of_it, here)
    n, m = (sum(count for _, count in sums.values()) for sums in (here, elsewhere))
    if not n or not m:
        return mean({})
    least = row.skill_deviation**2 / n + whole.skill_deviation**2 / m
    gap = difference(here, elsewhere, least=0.0 if least != least else least)
    return Estimate(gap.value, gap.error, gap.p_value, n, gap.rounds)


def _without(sums: Sums, part: Sums) -> dict[int, tuple[float, int]]:
    out = {}
    for number, (total, n) in sums.items():
        gone, count = part.get(number, (0.0, 0))
        if n > count:
            out[number] = (total - gone, n - count)
    return out
