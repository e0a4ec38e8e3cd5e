"""A journal with routes, calls and rules: read, queried, archived, compacted, restored, reflected on."""

from __future__ import annotations

import json
import math
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import record_bytes as made

import fairlead as fl
from fairlead import journal
from fairlead._core import SegmentLog, snapshot_desk
from fairlead.cli import main
from fairlead.policy.route import ROUTE_REASONS, Rules
from fairlead.providers import Answer, ProviderError

HOUR = 3600 * 10**9
TASKS = 120


def write(folder: Path, *, routed: bool = True) -> None:
    """Tasks that are routed, fail over, are answered and settled, in segments of 8 KiB."""
    log = SegmentLog(str(folder), 8192)
    for n in range(1, TASKS + 1):
        at = n * HOUR
        log.append("task", at, None, "crypto", made.task(n, f"t{n}", "crypto"))
        if routed:
            others = [(1, 0.6, 0.001, made.NAN)]
            log.append("route", at + 1, "gpt", "crypto", made.route(n, reasons=0b10, others=others, type="tool_use"))
            log.append("called", at + 2, "gpt", "crypto", made.called(n, cost=n, end=1, failure=1))
            log.append("route", at + 3, "llama", "crypto", made.route(n, attempt=2, goal=4, reasons=0b1000001))
            times = (12.5, made.NAN, made.NAN)
            log.append("called", at + 4, "llama", "crypto", made.called(n, attempt=2, cost=2 * n, times=times))
            if n % 40 == 0:
                log.append("routing", at, None, None, made.cold(rules={"all": {"at_least": "fast"}}))
        log.append("forecast", at + 5, "gpt", "crypto", made.forecast(n, 0.25 + 0.5 * (n % 2), cost=0.001))
        log.append("outcome", at + 6, None, "crypto", made.outcome(n, float(n % 2)))
    log.close()


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    folder = tmp_path / "desk"
    write(folder)
    return folder


def test_what_a_route_and_a_call_say(desk: Path) -> None:
    route, call, second, answered = journal.read(desk, types=["route", "called"], limit=4)
    assert (route.model, route.category, route.time) == ("gpt", "crypto", HOUR + 1)
    assert route.data == {
        **{"task": 1, "attempt": 1, "type": "tool_use", "goal": "quality"},
        **{"propensity": 0.5, "quality": 0.7, "spread": 0.1, "cost_usd": 0.002, "latency_ms": 900.0},
        **{"reserved_usd": 0.0, "reserved_nanos": 0, "reasons": ("explored",)},
        "runners_up": [{"model": "llama", "quality": 0.6, "cost_usd": 0.001, "latency_ms": None}],
    }
    unknown = {"latency_ms": None, "first_token_ms": None, "retry_after_ms": None}
    tokens = {"tokens_in": 0, "tokens_out": 0, "tokens_cached": 0, "tokens_written": 0}
    about = {"task": 1, "attempt": 1, "end": "failed", "failure": "timeout"}
    assert call.data == {**about, "cost_usd": 1e-9, "cost_nanos": 1, **unknown, **tokens, "calls": 1}
    assert (second.data["attempt"], second.data["goal"]) == (2, "mix")
    assert second.data["reasons"] == ("best_expected", "tried_before")
    assert (second.data["type"], second.data["runners_up"]) == ("", [])
    assert (answered.data["end"], answered.data["latency_ms"]) == ("answered", 12.5)
    assert "failure" not in answered.data
    assert [event.data for event in journal.read(desk, types="routing", limit=1)] == [
        {"rules": {"all": {"at_least": "fast"}}}
    ]


def test_queries_by_type_and_model(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(list(journal.read(desk, types="called", models="llama"))) == TASKS
    assert journal.stats(desk).by_type["route"] == 2 * TASKS
    assert main(["journal", "query", str(desk), "--type", "route", "--model", "llama", "--json", "--limit", "2"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["data"]["reasons"] for line in lines] == [["best_expected", "tried_before"]] * 2
    assert main(["journal", "tail", str(desk), "--no-follow", "-n", "9", "--type", "called"]) == 0
    assert "end=failed" in capsys.readouterr().out


def test_archived_and_live_are_one_table(desk: Path) -> None:
    before = list(journal.read(desk))
    journal.archive(desk)
    assert list(journal.history(desk)) == before
    columns = ["task", "attempt", "model", "ended", "failure", "cost_nanos", "reasons", "runners_up"]
    rows = journal.scan(desk, types=["route", "called"], columns=columns).read_all().to_pylist()
    assert len(rows) == 4 * TASKS
    assert sum(row["cost_nanos"] or 0 for row in rows) == 3 * TASKS * (TASKS + 1) // 2
    assert [row["runners_up"] for row in rows[:2]] == [["llama"], None]
    assert [ROUTE_REASONS[bit] for bit in range(14) if rows[2]["reasons"] >> bit & 1] == [
        "best_expected",
        "tried_before",
    ]
    wanted = journal.dataset(desk).to_table(columns=["failure"]).column("failure").drop_null().to_pylist()
    assert wanted == ["timeout"] * TASKS


@pytest.mark.parametrize("name", ["events.jsonl", "events.parquet"])
def test_exports(desk: Path, tmp_path: Path, name: str) -> None:
    journal.archive(desk)
    assert journal.export(desk, tmp_path / name, types=["route", "called"]) == 4 * TASKS
    if name.endswith("jsonl"):
        lines = [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
        assert lines[0]["data"]["runners_up"][0]["latency_ms"] is None
        assert lines[1]["data"]["failure"] == "timeout"


def summaries(folder: Path) -> list[Any]:
    """What the summaries say, but for the numbers of their events."""
    said = (dict(event.data) for event in journal.history(folder, types="summary"))
    return [{name: value for name, value in data.items() if name not in ("first", "last")} for data in said]


def test_compacted_and_restored(desk: Path, tmp_path: Path) -> None:
    before = list(journal.read(desk))
    report = journal.compact(desk, keep="10h", window="1d")
    assert report.segments > 3
    live = list(journal.read(desk))
    assert live[0].seq > 1
    assert [event for event in journal.history(desk) if event.type != "summary"] == before
    assert journal.restore(desk, tmp_path / "again") == len(before) + report.summaries
    assert list(journal.read(tmp_path / "again"))[: len(before)] == before
    assert main(["store", "update", str(desk)]) == 0
    with fl.Store(desk) as store:
        assert store.query("SELECT count(*) AS n, sum(cost_nanos) AS spent FROM calls") == [
            {"n": 2 * TASKS, "spent": 3 * TASKS * (TASKS + 1) // 2}
        ]
        assert store.query("SELECT count(*) AS n FROM routes WHERE task_id = 't7'") == [{"n": 2}]


def test_summaries_and_reflection_are_those_of_the_forecasts(desk: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    write(plain, routed=False)
    for folder in (desk, plain):
        journal.compact(folder, before=100 * HOUR, window="1d")
    days = len(summaries(plain))
    assert days > 2
    assert summaries(desk)[: days - 1] == summaries(plain)[: days - 1]
    ours, theirs = fl.reflect_folder(desk, "gpt"), fl.reflect_folder(plain, "gpt")
    assert ours.summary.tasks == TASKS
    assert repr(ours["binary"]) == repr(theirs["binary"])  # NaN is none of its equals
    assert ours.missing == theirs.missing


def play(desk: Path, first: int, last: int) -> tuple[bytes, str]:
    """Tasks that are routed, called, some of them twice, and settled, but for each fifth, under a budget. Some calls
    never end. The fleet's state, and what is routed next."""
    now = count(first * HOUR, 20 * 60 * 10**9)
    with fl.Fleet.open(desk, clock=lambda: next(now), segment_bytes=1 << 13) as fleet:
        if first == 0:
            fleet.add(fl.Model("gpt-5", tier="reasoning", price_in=1.25, price_out=10))
            fleet.add(fl.Model("gpt-5-mini", tier="fast", price_in=0.25, price_out=2))
            fleet.rules = Rules(types={"simple": Rules(objective="cost")})
            budget = {"name": "day", "limit": 10**9, "period": "daily", "scope": "all", "on_exhausted": "degrade"}
            assert fleet._core.budget_event(json.dumps(budget), 1) == 0
        for n in range(first, last):
            task = fl.Task(f"t{n}", text=f"{n} + {n}?", category="sums", time=n * HOUR)
            route = fleet.route(task, objective="mix")
            if n % 4 == 0 and route.model is not None:
                error = ProviderError("timeout", "too late")
                fleet.called(route, Answer(fl.Forecast(route.model, error=str(error)), error))
                route = fleet.route(task, without=[route.model])
            if n % 7 == 0 or route.model is None:
                continue  # it never ends
            forecast = fl.Forecast(route.model, p=0.2 + 0.1 * (n % 7), latency_ms=300.0 + n, cost_usd=0.000_123_457)
            fleet.called(route, Answer(forecast))
            fleet.record(task, forecast)
            if n % 5:
                fleet.settle(fl.Outcome(f"t{n}", n % 2, time=n * HOUR + 1))
        return fleet._core.state(), str(fleet.route(fl.Task(f"probe {last}", time=last * HOUR)))


def test_a_fleets_desk_is_compacted_restored_and_replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    desk, twin, again = (tmp_path / name for name in ("desk", "twin", "again"))
    assert play(desk, 0, 80) == play(twin, 0, 80)
    hot = ["route", "called"]
    before = list(journal.read(desk, types=[*hot, "routing", "budget"]))
    assert {event.data["end"] for event in before if event.type == "called"} == {"answered", "failed"}
    assert {event.data["reasons"] for event in before if event.type == "route"} >= {("only_candidate", "tried_before")}
    report = journal.compact(desk, keep=0, ensure_snapshot=lambda seq: snapshot_desk(str(desk)))
    assert report.segments > 2
    assert len(list(journal.read(desk, types=hot))) < len(before) // 2
    assert list(journal.history(desk, types=[*hot, "routing", "budget"])) == before
    assert play(desk, 80, 120) == play(twin, 80, 120)
    assert "lost" in {event.data["end"] for event in journal.read(desk, types="called")}  # those that never ended
    journal.restore(desk, again)
    assert play(again, 120, 130) == play(desk, 120, 130) == play(twin, 120, 130)
    assert main(["replay", str(again)]) == 0
    assert "forecasts" in capsys.readouterr().out
    assert not math.isnan(fl.reflect_folder(desk, "gpt-5-mini")["binary"].performance.brier)
    with fl.Store(desk) as store:
        assert main(["store", "update", str(desk)]) == 0
        spent = store.query("SELECT sum(cost_nanos) AS nanos, count(*) AS n FROM calls WHERE ended = 'answered'")[0]
        assert spent["nanos"] == 123_457 * spent["n"] > 0
