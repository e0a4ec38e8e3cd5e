"""What became of one decision: who was asked, who was believed, what happened, and what everyone would have lost."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from fairlead.types import FrozenDict, Kind

_MAPPINGS = ("weights", "losses", "strategies", "costs", "slices")


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """One settled task.

    task, kind, category. time: when it was decided, settled: when its outcome became known, both in nanoseconds since
    the epoch, UTC. outcome: 0 or 1, the label, or the number. profit_usd: None if nobody said.

    strategy: what decided it, None if it was never decided; chosen: what `auto` followed most then; reasons: names of
    why; position_scale as on the Decision. weights and answers: by model. p: what was decided, P(yes) or {label: p};
    value: the same of a number. loss: of what was decided, the Brier score (over all labels of a
    categorical task) or the squared error; None if it was never decided. losses: by model. strategies: by strategy,
    what it would have lost. disagreement of the answers.

    cost_usd: of all calls, costs: by model. stake_usd, slices (dimension: value): as on the task.

    >>> audit = Audit(
    ...     task="q1", kind="binary", time=0, settled=5, outcome=1, strategy="mean", weights={"a": 0.5, "b": 0.5},
    ...     answers={"a": 0.9, "b": 0.5}, p=0.7, loss=0.09, losses={"a": 0.01, "b": 0.25},
    ... )
    >>> audit.models
    ('a', 'b')
    >>> audit.to_dict()["losses"]
    {'a': 0.01, 'b': 0.25}
    """

    task: str
    kind: Kind
    category: str = ""
    time: int
    settled: int
    outcome: int | float | str
    profit_usd: float | None = None
    strategy: str | None = None
    chosen: str | None = None
    reasons: tuple[str, ...] = ()
    weights: dict[str, float] = field(default_factory=FrozenDict)
    answers: dict[str, float | dict[str, float]] = field(default_factory=FrozenDict)
    p: float | dict[str, float] | None = None
    value: float | None = None
    loss: float | None = None
    losses: dict[str, float] = field(default_factory=FrozenDict)
    strategies: dict[str, float] = field(default_factory=FrozenDict)
    disagreement: float | None = None
    position_scale: float | None = None
    cost_usd: float = 0.0
    costs: dict[str, float] = field(default_factory=FrozenDict)
    stake_usd: float | None = None
    slices: dict[str, str] = field(default_factory=FrozenDict)

    def __post_init__(self) -> None:
        # Frozen all through; what is frozen already is not copied.
        for name in _MAPPINGS:
            object.__setattr__(self, name, _frozen(getattr(self, name)))
        object.__setattr__(self, "p", _frozen(self.p))
        if not (isinstance(self.answers, FrozenDict) and all(_frozen(a) is a for a in self.answers.values())):
            object.__setattr__(self, "answers", FrozenDict({m: _frozen(a) for m, a in self.answers.items()}))

    @property
    def models(self) -> tuple[str, ...]:
        """Who answered."""
        return tuple(self.answers)

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON types."""
        out: dict[str, Any] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, dict):
                value = {k: dict(v) if isinstance(v, dict) else v for k, v in value.items()}
            elif isinstance(value, tuple):
                value = list(value)
            out[f.name] = value
        return out


def _frozen(value: Any) -> Any:
    return FrozenDict(value) if isinstance(value, dict) and not isinstance(value, FrozenDict) else value
