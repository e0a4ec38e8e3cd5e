"""The audits of all that a journal holds: the same as of the fleet that lived it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import fairlead as fl
from fairlead.measure.audit import Audit
from fairlead.types import KINDS


@pytest.fixture
def lived(tmp_path: Path, live: Callable[[int], Callable[[fl.Fleet, int], object]]) -> tuple[Path, tuple[Audit, ...]]:
    """A desk that has lived for a while, and its own audits."""
    step = live(5)
    with fl.Fleet.open(tmp_path / "desk", clock=lambda: 10**12) as fleet:
        for i in range(900):
            step(fleet, i)
        return tmp_path / "desk", fleet.audits()


def test_audits_of_a_journal_are_those_of_the_fleet_that_lived_it(lived: tuple[Path, tuple[Audit, ...]]) -> None:
    folder, own = lived
    assert len(own) > 30
    assert {audit.kind for audit in own} == set(KINDS)
    assert any(audit.strategy is not None for audit in own)
    found = tuple(fl.audits(folder))
    assert len(found) == len(own)
    for a, b in zip(found, own, strict=True):
        assert a == b
    with fl.Fleet.open(folder) as again:
        assert again.audits() == own


def test_audits_can_be_chosen(lived: tuple[Path, tuple[Audit, ...]]) -> None:
    folder, own = lived
    middle = own[len(own) // 2].settled
    assert list(fl.audits(folder, since=middle)) == [a for a in own if a.settled >= middle]
    assert list(fl.audits(folder, category="rates")) == [a for a in own if a.category == "rates"]
    assert list(fl.audits(folder, kind="numeric")) == [a for a in own if a.kind == "numeric"]
    with pytest.raises(fl.InvalidRecordError, match="kind is 'number', must be one of"):
        fl.audits(folder, kind="number")
    with pytest.raises(fl.JournalError):
        fl.audits(folder / "nowhere")


def test_audits_go_past_what_a_fleet_remembers(tmp_path: Path) -> None:
    with fl.Fleet.open(tmp_path, settings=fl.Settings(remember=3)) as fleet:
        for m in range(40):
            fleet.add(f"m{m}")
        for i in range(3_000):
            for m in range(40):
                fleet.record(fl.Task(f"q{i}"), fl.Forecast(f"m{m}", p=0.5 + m / 100))
            fleet.settle(f"q{i}", i % 2, time=i + 1)
        assert len(fleet.audits()) == 3
        found = fl.audits(tmp_path)  # while it is open, up to what is written
        assert next(found).task == "q0"
    assert [audit.task for audit in fl.audits(tmp_path)] == [f"q{i}" for i in range(3_000)]


def test_a_replayed_journal_is_audited(tmp_path: Path) -> None:
    with fl.Fleet.open(tmp_path) as fleet:
        fleet.add("a"), fleet.add("b")
        for i in range(20):
            task = fl.Task(f"q{i}", category="xy"[i % 2], time=i + 1)
            for model, p in (("a", 0.8), ("b", 0.4)):
                fleet.record(task, fl.Forecast(model, p=p, cost_usd=0.5))
            fleet.decide(task, strategy="median")
            fleet.settle(task, 1, time=10**12 + i, profit_usd=2.0)
    result = fl.replay(tmp_path)
    assert [audit.task for audit in result.audits] == [f"q{i}" for i in range(20)]
    own = list(fl.audits(tmp_path))
    assert {audit.strategy for audit in own} == {"median"}  # as it was lived
    assert {audit.strategy for audit in result.audits} == {fl.DEFAULT_STRATEGY}  # as the default would have
    for a, b in zip(result.audits, own, strict=True):
        assert (a.category, a.answers, a.losses, a.profit_usd) == (b.category, b.answers, b.losses, b.profit_usd)
    assert result.state is not None
    assert result.state.agrees
