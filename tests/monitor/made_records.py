"""Performance records and panes that a test makes up: what `fleet.performances` gives, without a fleet."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

HOUR = 3600 * 10**9
DAY = 24 * HOUR
NAN = math.nan


@dataclass(frozen=True)
class Row:
    """As `PerformanceRow`."""

    model: str = "a"
    category: str | None = None
    window: str = "24h"
    calls: int = 0
    succeeded: int = 0
    failed: int = 0
    timeouts: int = 0
    success_rate: float = NAN
    error_rate: float = NAN
    timeout_rate: float = NAN
    latency_p50_ms: float = NAN
    latency_p95_ms: float = NAN
    latency_p99_ms: float = NAN
    latency_mean_ms: float = NAN
    tokens_in: int = 0
    tokens_out: int = 0
    cost_usd: float = 0.0
    cost_per_call_usd: float = NAN
    settled: int = 0
    accuracy: float = NAN
    brier: float = NAN
    log_loss: float = NAN
    quality: float = NAN
    skill: float = NAN
    confidence: float = NAN
    calibration_error: float = NAN


def calls(model: str = "a", n: int = 100, failed: int = 0, p95: float = 400.0, usd: float = 0.0, **more: object) -> Row:
    """The record of n calls."""
    return replace(
        Row(model),
        calls=n,
        succeeded=n - failed,
        failed=failed,
        success_rate=(n - failed) / n if n else NAN,
        error_rate=failed / n if n else NAN,
        timeout_rate=0.0 if n else NAN,
        latency_p95_ms=p95 if n else NAN,
        cost_usd=usd * n,
        cost_per_call_usd=usd if n else NAN,
        **more,  # type: ignore[arg-type]
    )


def answers(model: str = "a", n: int = 100, accuracy: float = 0.9, **more: object) -> Row:
    """The record of n settled answers."""
    return replace(Row(model), settled=n, accuracy=accuracy if n else NAN, **more)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Pane:
    start: int
    end: int
    row: Row


def panes(rows: Sequence[Row], width: int = 2 * HOUR) -> tuple[Pane, ...]:
    """One after the other."""
    return tuple(Pane(i * width, (i + 1) * width, row) for i, row in enumerate(rows))


@dataclass
class Made:
    """A source whose records are what a test says: by model, and by (model, category)."""

    said: dict[str, Row] = field(default_factory=dict)
    in_category: dict[tuple[str, str], Row] = field(default_factory=dict)
    whole: Row = field(default_factory=Row)
    over_time: dict[str, Sequence[Pane]] = field(default_factory=dict)
    reads: int = 0

    def rows(self, window: str, now: int, category: str | None) -> Mapping[str, Row]:
        self.reads += 1
        if category is None:
            return self.said
        return {model: row for (model, of), row in self.in_category.items() if of == category}

    def together(self, window: str, now: int, category: str | None) -> Row:
        return self.whole

    def panes(self, window: str, now: int, category: str | None) -> Mapping[str, Sequence[Pane]]:
        return self.over_time

    def panes_together(self, window: str, now: int, category: str | None) -> Sequence[Pane]:
        return [pane for some in self.over_time.values() for pane in some][:0]

    def categories(self) -> Sequence[str]:
        return sorted({category for _, category in self.in_category})


class Keeper:
    """The core's alerts, as a dictionary."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[str, int]] = {}
        self.logged: list[str] = []
        self.refuse = 0
        self.most = 4096

    def rule_alert(self, json: str, time: int) -> int:
        import json as codec

        said = codec.loads(json)
        assert said["kind"] == "rule"
        if self.refuse:
            return self.refuse
        raises = said["state"] == "raised"
        if raises == (said["key"] in self.kept):
            return -1
        if raises and len(self.kept) >= self.most:
            return 13  # out of range
        self.logged.append(json)
        if raises:
            self.kept[said["key"]] = (json, time)
        else:
            del self.kept[said["key"]]
        return 0

    def raised_alerts(self) -> list[tuple[str, str, int]]:
        return [(key, json, time) for key, (json, time) in self.kept.items()]
