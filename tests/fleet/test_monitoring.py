"""`fleet.monitor` and `fleet.report` of real fleets: from forecasts to alerts, over restarts, from the command line."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

import fairlead as fl
from fairlead.cli import main
from fairlead.fleet.reporting import report_folder
from fairlead.journal import read
from fairlead.monitor import DEFAULT_RULES

HOUR = 3600 * 10**9
START = 1_772_000_000 * 10**9


class Life:
    """Tasks that "good" answers well and "bad" badly, on a clock of the test's own."""

    def __init__(self, folder: Path | None = None) -> None:
        self.now, self.n, self.folder = START, 0, folder
        self.fleet = self.open()
        self.fleet.add("good")
        self.fleet.add("bad")

    def open(self) -> fl.Fleet:
        if self.folder is None:
            return fl.Fleet(clock=lambda: self.now)
        return fl.Fleet.open(self.folder, clock=lambda: self.now)

    def live(self, tasks: int, *, bad: float = 0.1, fail: int = 0, every: int = 60 * 10**9, **task: Any) -> None:
        """Tasks that come true; bad gives them this probability, and fails at one of `fail`."""
        for _ in range(tasks):
            self.n += 1
            self.now += every
            one = fl.Task(f"task {self.n}", time=self.now, **task)
            self.fleet.record(one, fl.Forecast("good", p=0.9, latency_ms=300, cost_usd=0.01, time=self.now))
            if fail and self.n % fail == 0:
                self.fleet.record(one, fl.Forecast("bad", error="timed out", latency_ms=900, time=self.now))
            else:
                self.fleet.record(one, fl.Forecast("bad", p=bad, latency_ms=300, cost_usd=0.02, time=self.now))
            self.fleet.settle(one, 1, time=self.now)


@pytest.fixture
def life(tmp_path: Path) -> Any:
    life = Life(tmp_path / "desk")
    yield life
    life.fleet.close()


def test_a_model_that_is_wrong_raises_one_alert() -> None:
    life, heard = Life(), []
    life.fleet.monitor.on_alert(heard.append)
    life.live(19)
    assert life.fleet.monitor.check() == ()
    life.live(1)
    (alert,) = life.fleet.monitor.check()
    assert (alert.model, alert.metric, alert.value, alert.n) == ("bad", "accuracy", 0.0, 20)
    assert alert.recommendation.startswith("Let good answer")
    assert life.fleet.monitor.check() == ()
    assert life.fleet.monitor.alerts == (alert,) == tuple(heard)
    life.live(200, bad=0.95)
    (cleared,) = life.fleet.monitor.check()
    assert (cleared.state, cleared.key) == ("cleared", alert.key)


def test_the_window_moves_on_and_the_alert_clears() -> None:
    life = Life()
    life.live(30)
    assert len(life.fleet.monitor.check()) == 1
    life.now += 26 * HOUR
    (cleared,) = life.fleet.monitor.check()
    assert "nothing is left in 24h" in cleared.message
    assert life.fleet.monitor.check(START + HOUR)  # as of then, it was broken


def test_errors_timeouts_latency_and_cost() -> None:
    life = Life()
    life.fleet.monitor.rules = [
        fl.MetricRule("timeout_rate", ">", 0.3),
        fl.MetricRule("latency_p95_ms", ">", 600.0, models="bad"),
        fl.MetricRule("cost_per_task_usd", ">", 0.015),
        fl.MetricRule("calls", ">", 70, scope="fleet", severity="info"),
    ]
    life.live(40, bad=0.9, fail=2)
    found = {(alert.metric, alert.model): alert for alert in life.fleet.monitor.check()}
    assert set(found) == {
        ("timeout_rate", "bad"),
        ("latency_p95_ms", "bad"),
        ("cost_per_task_usd", "bad"),
        ("calls", None),
    }
    assert found["timeout_rate", "bad"].value == 0.5
    assert found["cost_per_task_usd", "bad"].value == pytest.approx(0.02)
    assert found["calls", None].value == 80


def test_categories() -> None:
    life = Life()
    life.fleet.monitor.rules = [fl.MetricRule("accuracy", "<", 0.7, scope="category")]
    life.live(30, bad=0.9, category="rates")
    life.live(30, bad=0.1, category="crypto")
    (alert,) = life.fleet.monitor.check()
    assert (alert.model, alert.category) == ("bad", "crypto")


def test_an_alert_outlives_the_process_and_is_told_once(life: Life) -> None:
    life.live(30)
    (alert,) = life.fleet.monitor.check()
    state = life.fleet._core.state()
    life.fleet.close()
    life.fleet = life.open()
    assert life.fleet._core.state() == state
    assert life.fleet.monitor.alerts == (alert,)
    assert life.fleet.monitor.check() == ()
    life.live(300, bad=0.95)
    (cleared,) = life.fleet.monitor.check()
    assert cleared.since == alert.time
    life.fleet.sync()
    events = list(read(life.folder, types="alert"))
    assert [(event.data["state"], event.data["kind"]) for event in events] == [("raised", "rule"), ("cleared", "rule")]
    assert events[0].time == alert.time
    assert events[0].data["message"] == alert.message


def test_a_model_that_left_is_not_watched() -> None:
    life = Life()
    life.live(30)
    life.fleet.monitor.check()
    life.fleet.remove("bad")
    (cleared,) = life.fleet.monitor.check()
    assert "gone" in cleared.message


def test_nobody_else_logs_such_an_alert(life: Life) -> None:
    journal = life.fleet.journal
    assert journal is not None
    for kind in ("rule", "budget"):
        with pytest.raises(fl.InvalidRecordError, match=f"kind is '{kind}'"):
            journal.append("alert", {"kind": kind, "key": "a", "state": "raised"})
    journal.append("alert", {"kind": "mine", "key": "a", "state": "raised"})
    journal.append("alert", {"name": "mine"})
    assert life.fleet.monitor.alerts == ()


CHILD = """
import os, sys
import fairlead as fl
now = [int(sys.argv[2])]
fleet = fl.Fleet.open(sys.argv[1], clock=lambda: now[0])
os.write(1, f"open {len(fleet.monitor.alerts)}\\n".encode())
fleet.monitor.rules = [fl.MetricRule("accuracy", "<", 0.7, window="1h", min_n=5, name=f"rule {i}") for i in range(40)]
fleet.monitor.on_alert(lambda alert: os.write(1, f"{alert.state} {alert.key}\\n".encode()))
while True:
    fleet.monitor.check()
"""


@pytest.mark.skipif(os.name != "posix", reason="the journal is POSIX")
def test_killed_at_any_moment_nobody_is_told_twice(life: Life) -> None:
    life.live(30, every=10**9)
    life.fleet.close()
    told: list[str] = []
    for wait in (0.0, 0.003, 0.3):
        command = [sys.executable, "-c", CHILD, str(life.folder), str(life.now)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
            assert child.stdout is not None
            assert child.stdout.readline().startswith(b"open")
            time.sleep(wait)
            child.send_signal(signal.SIGKILL)
            told += child.stdout.read().decode().splitlines()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fl.JournalWarning)  # of events that a dead process had left in memory
        life.fleet = life.open()
    raised = {alert.key for alert in life.fleet.monitor.alerts}
    assert len(raised) == 40
    whole = [line.removeprefix("raised ") for line in told if line.startswith("raised ")]
    assert len(whole) == len(set(whole))  # at most once
    assert set(whole) <= raised
    assert whole


def test_health_trends_and_anomalies_of_a_real_fleet() -> None:
    life = Life()
    for day in range(30):
        life.live(20, bad=0.9 if day % 30 > 3 * (life.n % 10) else 0.45, every=HOUR)
        life.live(4, bad=0.2 if day > 20 else 0.9, every=HOUR)
    health = life.fleet.monitor.health("7d")
    assert health["good"].score > health["bad"].score
    assert health.fleet.lowest == "bad"
    trends = {(trend.model, trend.metric): trend for trend in life.fleet.monitor.trends()}
    assert trends["good", "accuracy"].state == "stable"
    assert trends["good", "accuracy"].panes >= 14
    assert {trend.state for trend in trends.values()} <= {"stable", "degrading", "improving", "unknown"}
    assert all(one.state != "worse" for one in life.fleet.monitor.anomalies() if one.model == "good")
    life.live(11, bad=0.9, every=2 * HOUR)
    life.fleet.monitor.rules = [fl.AnomalyRule("latency_p95_ms"), fl.TrendRule("accuracy")]
    life.fleet.monitor.check()


def test_a_degrading_model_is_seen() -> None:
    life = Life()
    dice = random.Random(1)
    for pane in range(15):
        for _ in range(40):
            life.live(1, bad=0.9 if dice.random() > 0.05 * pane else 0.1, every=48 * HOUR // 40)
    trends = {
        trend.metric: trend for trend in life.fleet.monitor.trends(("accuracy", "error_rate")) if trend.model == "bad"
    }
    assert trends["accuracy"].state == "degrading"
    assert trends["error_rate"].state == "stable"
    life.fleet.monitor.rules = [fl.TrendRule("accuracy")]
    (alert,) = life.fleet.monitor.check()
    assert alert.model == "bad"


def test_the_report_of_a_real_fleet() -> None:
    life = Life()
    for _ in range(10):
        life.live(30, category="rates", every=HOUR)
        life.live(30, category="crypto", bad=0.7, every=HOUR)
    life.fleet.budgets.define(fl.Budget(25, "monthly"))
    life.fleet.monitor.check()
    before = life.fleet._core.state()
    report = life.fleet.report()
    assert life.fleet._core.state() == before
    assert set(report.models) == {"good", "bad"}
    assert report.windows["30d"]["bad"].accuracy < report.windows["30d"]["good"].accuracy
    assert report.together["all"].calls == 1200
    assert report.spending is not None
    assert report.spending.by_model["bad"].cost_usd == life.fleet.costs("model", "monthly")["bad"].cost_usd > 1.0
    assert {use.name for use in report.resources} >= {"good", "bad"}
    found = json.loads(report.to_json())
    assert found["calibration"]["good"]
    assert found["spending"]["budgets"]["rows"][0]["budget"] == "all monthly"
    text, page = str(report), report.to_html()
    for part in ("good", "bad", "all monthly"):
        assert part in text
        assert part in page
    assert report.as_dict() == life.fleet.report().as_dict()
    assert life.fleet.report(now=START).together["24h"].calls < 1200


def test_an_empty_fleet_has_a_report() -> None:
    report = fl.Fleet().report()
    assert "no models" in str(report)
    assert report.to_html()
    json.loads(report.to_json())


def test_the_command(life: Life, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    life.live(60)
    life.fleet.monitor.check()
    life.fleet.sync()
    desk = str(life.folder)
    page, data = tmp_path / "r.html", tmp_path / "r.json"
    at = str(life.now)
    assert main(["report", desk, "--at", at, "--html", str(page), "--json", str(data)]) == 0  # while it is open
    text = capsys.readouterr().out
    assert "warning: bad: share of answers that were right is 0.0 %" in text
    assert "\x1b" not in text
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert json.loads(data.read_text(encoding="utf-8"))["alerts"][0]["model"] == "bad"
    assert main(["report", desk, "--json", "-", "--at", at]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["windows"]["24h"][0]["calls"] == 60
    assert found == report_folder(desk, now=life.now).as_dict()
    assert main(["report", desk]) == 0  # as of now nothing happened lately
    assert "last 30 days" in capsys.readouterr().out


def test_what_the_command_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path / "none")]) == 2
    assert "none" in capsys.readouterr().err
    with fl.Fleet.open(tmp_path / "desk"):
        pass
    assert main(["report", str(tmp_path / "desk"), "--at", "yesterday"]) == 2
    assert "yesterday" in capsys.readouterr().err
    assert main(["report", str(tmp_path / "desk"), "--html", str(tmp_path / "none" / "r.html")]) == 2
    assert "fairlead:" in capsys.readouterr().err


def test_the_default_rules_are_set() -> None:
    assert fl.Fleet().monitor.rules == DEFAULT_RULES


def test_what_was_logged_is_told_though_the_next_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    life = Life()
    life.fleet.monitor.rules = [fl.MetricRule("accuracy", "<", 0.7), fl.MetricRule("brier", ">", 0.2)]
    told: list[str] = []
    life.fleet.monitor.on_alert(lambda alert: told.append(alert.key))
    life.live(40)
    taken = life.fleet.monitor._log
    calls = []

    def once(*given: Any) -> Any:
        calls.append(given)
        if len(calls) == 2:
            raise fl.JournalFullError("the ring is full")
        return taken(*given)

    monkeypatch.setattr(life.fleet.monitor, "_log", once)
    with pytest.raises(fl.JournalFullError):
        life.fleet.monitor.check()
    assert len(told) == 1
    life.fleet.monitor.check()
    assert len(told) == len(set(told)) == 2


def test_beyond_the_alerts_that_are_kept_it_goes_on() -> None:
    """The core keeps 4,096: what does not fit is warned of, and no check raises for it."""
    life = Life()
    life.live(20)
    life.fleet.monitor.rules = [fl.MetricRule("brier", ">", 0.3, name=f"rule {i}") for i in range(4100)]
    told: list[str] = []
    life.fleet.monitor.on_alert(lambda alert: told.append(alert.key))
    with pytest.warns(RuntimeWarning, match=r"4 alerts were not raised, .*rule 4096 \| bad.*at most 4,096"):
        assert len(life.fleet.monitor.check()) == len(told) == 4096
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        life.fleet.monitor.rules = life.fleet.monitor.rules[8:]
        assert len(life.fleet.monitor.check()) == 12  # eight cleared, four had waited


def test_the_report_calls_the_best_model_weak_nowhere() -> None:
    """Of two models "good" is by far the better in both regimes, though less so in the calm one."""
    life = Life()
    for _ in range(30):
        life.live(10, bad=0.1, regime="wild", every=HOUR)
        life.live(10, bad=0.7, regime="calm", every=HOUR)
    assert any(not one.strong for one in life.fleet.patterns(against="itself") if one.model == "good")
    report = life.fleet.report()
    assert {(one["model"], one["skill"] > 0) for one in report.patterns} == {("good", True), ("bad", False)}
    assert {one["regime"] for one in report.patterns} == {"wild", "calm"}
    assert "Beside the other models that answered the same tasks:\n- good strong under" in str(report)
    assert "than the other models that answered the same" in report.to_html()
