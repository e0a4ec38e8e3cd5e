"""The report of made-up records, in its three forms."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from made_records import DAY, Keeper, Made, Row, calls, panes

import fairlead as fl
from fairlead.fleet.watching import FleetMonitor
from fairlead.monitor import DEFAULT_RULES, MetricRule
from fairlead.monitor.report import Report, Standing
from fairlead.monitor.report_text import headline
from fairlead.monitor.resources import use_of_model
from fairlead.monitor.rules import WINDOWS
from fairlead.monitor.series import series_of
from fairlead.monitor.watch import Look, broken

NOW = 1_790_000_000 * 10**9
NASTY = "<b>&\"x'</b>"


def full(model: str, n: int, accuracy: float, failed: float = 0.0) -> Row:
    row = calls(model, n, failed=int(failed * n), p95=800.0, usd=0.01)
    return replace(
        row,
        settled=n,
        accuracy=accuracy,
        brier=0.2,
        log_loss=0.6,
        quality=2 * accuracy - 1,
        skill=0.01,
        confidence=0.8,
        calibration_error=0.04,
        latency_p50_ms=300.0,
        latency_p99_ms=1200.0,
        latency_mean_ms=350.0,
        tokens_in=900 * n,
        tokens_out=100 * n,
    )


def made(names: tuple[str, ...] = ("good", NASTY), *, checked: bool = True) -> Report:
    source = Made({name: full(name, 300, 0.9 - 0.3 * i, 0.2 * i) for i, name in enumerate(names)})
    source.whole = full("", 600, 0.75)
    falling = [full(names[-1] if names else "", 60, 0.9 - 0.02 * i) for i in range(15)]
    source.over_time = {name: panes(falling, 2 * DAY) for name in names}
    monitor = FleetMonitor(Keeper(), source, lambda: NOW)
    monitor.rules = (*DEFAULT_RULES, MetricRule("error_rate", ">", 0.1, severity="critical"))
    if checked:
        monitor.check()
    alerts = monitor.alerts
    found = broken(Look(source, NOW).findings(monitor.rules), {alert.key for alert in alerts}, NOW)
    return Report(
        time=NOW,
        standings=tuple(Standing(name, 1500.0) for name in names),
        windows=dict.fromkeys(WINDOWS, source.said),
        together=dict.fromkeys(WINDOWS, source.whole),
        health=monitor.health(),
        alerts=alerts,
        broken=found,
        rules=monitor.rules,
        trends=monitor.trends(),
        anomalies=monitor.anomalies(window="30d"),
        series={"quality": {name: series_of(source.over_time[name], "quality") for name in names}},
        patterns=({"words": f"{names[0]} is strong in crypto"},) if names else (),
        spending=None,
        resources=tuple(use_of_model(row, "30d") for row in source.said.values()),
        recommendations=("Do this.", *(alert.recommendation for alert in alerts)),
    )


class Checker(HTMLParser):
    """That tags are closed in their order, and what the page asks for."""

    VOID = frozenset({"meta", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.headings: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]
        assert tag != "script"
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open, tag
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


def test_the_page_is_whole_and_asks_for_nothing() -> None:
    page = made().to_html()
    seen = Checker(page)
    assert seen.links == []
    assert NASTY not in page
    assert "&lt;b&gt;" in page
    assert {"What needs attention", "How healthy each model is", "How each model did", "How they did over time"} <= set(
        seen.headings
    )
    assert {"Who is getting better or worse", "Where models stand out", "What they use"} <= set(seen.headings)
    assert page.count("<details") == 6
    assert page == made().to_html()
    assert "http" not in re.sub(r"http://www\.w3\.org\S*", "", page)


def test_the_text_tells_the_same() -> None:
    text = str(made())
    for heading in (
        "Alerts",
        "What else to do",
        "Health",
        "Last 1h, 6h, 24h, 7d, 30d, all time",
        "Trends",
        "Resources",
        "Rules",
    ):
        assert f"\n{heading}\n{'-' * len(heading)}\n" in text
    assert "critical: " in text
    assert "- Do this." in text
    assert "degrading" in text
    assert "good is strong in crypto" in text
    assert text.index("critical: ") < text.index("warning: ")


def test_the_dictionary_is_strict_json() -> None:
    report = made()

    def refuse(what: str) -> Any:
        raise AssertionError(what)

    found = json.loads(report.to_json(), parse_constant=refuse)
    assert found == report.as_dict()
    assert {
        "health",
        "alerts",
        "windows",
        "trends",
        "anomalies",
        "calibration",
        "spending",
        "resources",
        "rules",
    } <= set(found)
    assert set(found["windows"]) == set(WINDOWS)
    assert found["windows"]["24h"][0]["accuracy"] == 0.9
    assert found["models"][0] == {"model": "good", "elo": 1500.0, "resting": False}
    assert found["health"]["models"][0]["formula"]
    assert found["at"] == "2026-09-21 14:13:20Z"
    assert len(found["rules"]) == 6


def test_what_nobody_has_checked_is_told_as_such() -> None:
    unchecked, checked = made(checked=False), made()
    assert not unchecked.alerts
    assert {alert.key for alert in unchecked.broken} == {alert.key for alert in checked.alerts}
    assert not checked.broken
    assert "nobody has checked" in str(unchecked)
    assert "not raised yet" in unchecked.to_html()
    assert "not raised yet" not in checked.to_html()
    assert "would raise one" in headline(unchecked)


def test_an_empty_fleet_has_a_report() -> None:
    report = made(())
    assert "There are no models" in str(report)
    Checker(report.to_html())
    json.loads(report.to_json())
    assert "every rule holds" in replace(report, recommendations=()).to_html()


@pytest.mark.parametrize("ending", [".html", ".json", ".txt", ".HTML"])
def test_it_is_saved_by_the_ending_of_the_path(tmp_path: Path, ending: str) -> None:
    report = made()
    path = report.save(tmp_path / f"report{ending}")
    text = path.read_text(encoding="utf-8")
    assert text.startswith({".html": "<!DOCTYPE", ".json": "{", ".txt": "Fleet report"}[ending.lower()])
    assert text.endswith("\n")


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(fl.InvalidRecordError, match=r"must end in \.html, \.json or \.txt"):
        made().save(tmp_path / "report.pdf")
    assert not list(tmp_path.iterdir())
    with pytest.raises(OSError, match="No such file"):
        made().save(tmp_path / "none" / "report.html")


def test_headlines() -> None:
    assert headline(made()).startswith("2 models, health 0.")
    assert "are raised, 1 of them critical." in headline(made())
    one = made(("only",))
    assert headline(one).startswith("1 model, health")
    assert repr(one).startswith("<Report of 1 models at 2026-09-21")
