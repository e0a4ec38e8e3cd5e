"""What agents did that is no forecast: their runs, read for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fairlead.measure.budget import table
from fairlead.measure.performance import WINDOWS, number, percent


@dataclass(frozen=True, slots=True)
class RunRow:
    """What runs of one agent amounted to over a window. latency: how long they took. api_calls, tokens, cost_usd and
    compute_s: sums of what they told; memory_mb and memory_most_mb: the mean and the most. NaN where nobody told."""

    agent: str
    category: str | None
    window: str
    calls: int
    succeeded: int
    failed: int
    timeouts: int
    cancelled: int
    success_rate: float
    error_rate: float
    timeout_rate: float
    latency_p50_ms: float
    latency_p95_ms: float
    latency_p99_ms: float
    latency_mean_ms: float
    tokens: int
    cost_usd: float
    cost_per_call_usd: float
    api_calls: int
    compute_s: float
    memory_mb: float
    memory_most_mb: float

    @property
    def model(self) -> str:
        """As `agent`, so that runs are read like calls."""
        return self.agent

    @property
    def tokens_in(self) -> int:
        """As `tokens`."""
        return self.tokens

    @property
    def tokens_out(self) -> int:
        """0: of runs only the sum is known."""
        return 0

    @property
    def settled(self) -> int:
        """0: runs are not settled."""
        return 0

    def as_dict(self) -> dict[str, Any]:
        """The fields, as plain types."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Runs:
    """What agents did over a window that ends at `now`, nanoseconds. Prints as a table; iterates over rows."""

    window: str
    now: int
    rows: tuple[RunRow, ...]

    def __iter__(self) -> Iterator[RunRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, agent: str) -> RunRow:
        for row in self.rows:
            if row.agent == agent:
                return row
        raise KeyError(agent)

    def to_dicts(self) -> list[dict[str, Any]]:
        """A list of dictionaries, ready for a data frame."""
        return [row.as_dict() for row in self.rows]

    def __str__(self) -> str:
        cells: list[tuple[str, ...]] = [
            ("agent", "runs", "success", "p50 ms", "p95 ms", "tokens", "$", "API calls", "memory MB")
        ]
        for row in self.rows:
            memory = "-" if row.memory_mb != row.memory_mb else f"{row.memory_mb:.0f} (most {row.memory_most_mb:.0f})"
            cells.append(
                (row.agent, str(row.calls), percent(row.success_rate), number(row.latency_p50_ms, 0),
                 number(row.latency_p95_ms, 0), str(row.tokens), number(row.cost_usd, 4), str(row.api_calls), memory)
            )  # fmt: skip
        return table(cells, left=(0,))


def run_row_of(agent: str, category: str | None, window: int, told: Mapping[str, Any]) -> RunRow:
    """A row of runs from what the core tells."""
    plain = {name: told[name] for name in _PLAIN}
    return RunRow(agent, category, WINDOWS[window], tokens=told["tokens_in"], **plain)


_PLAIN = (
    "calls", "succeeded", "failed", "timeouts", "cancelled", "success_rate", "error_rate", "timeout_rate",
    "latency_p50_ms", "latency_p95_ms", "latency_p99_ms", "latency_mean_ms", "cost_usd", "cost_per_call_usd",
    "api_calls", "compute_s", "memory_mb", "memory_most_mb",
)  # fmt: skip
