"""How a managed model is, at a glance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class PipelineStatus:
    """What a pipeline is doing. reason: why it is where it is. level: of drift, as of the last look. progress: of the
    training, or what the trial or the watch has found so far, in words; while it is serving, what holds a run back that
    is asked for (a cooldown, examples that are waited for). waiting: inputs without a label. runs: trainings so far.
    problem: what went wrong in the last step, "" where nothing did. unlogged: inputs that the log did not take.
    together: where versions answer together (`Pooled`), their weights.
    """

    name: str
    state: str
    champion: int | None
    challenger: int | None
    previous: int | None
    run: str
    since: int
    reason: str
    level: str
    progress: str
    examples: int
    labels: int
    waiting: int
    runs: int
    unlogged: int
    problem: str
    together: Mapping[int, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        weights = {str(version): weight for version, weight in self.together.items()}
        return {**asdict(self), "together": weights}

    def __str__(self) -> str:
        who = "no champion yet" if self.champion is None else f"champion version {self.champion}"
        if self.challenger is not None:
            who += f", challenger version {self.challenger}"
        if self.previous is not None:
            who += f", watched beside version {self.previous}"
        if self.together:
            who += f", {len(self.together)} versions answer together" if len(self.together) > 1 else ""
        weights = ", ".join(f"{version}: {weight:.2f}" for version, weight in self.together.items())
        lines = [
            f"{self.name}: {self.state}, {who}",
            f"  {self.reason}" if self.reason else "",
            f"  {self.progress}" if self.progress else "",
            f"  weights {weights}" if weights else "",
            f"  drift: {self.level}; {self.examples:,} examples, {self.waiting:,} inputs wait; {self.runs} runs so far",
            f"  problem: {self.problem}" if self.problem else "",
        ]
        return "\n".join(line for line in lines if line)
