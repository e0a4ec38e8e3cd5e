"""Alerts: raised once, cleared for good, told to all who listen; with records that are made up."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import warnings
from typing import Any

import pytest
from made_records import DAY, NAN, Keeper, Made, Row, answers, calls, panes

import fairlead as fl
from fairlead.fleet.watching import FleetMonitor
from fairlead.monitor import AnomalyRule, MetricRule, RuleAlert, TrendRule
from fairlead.monitor.alerts import key_of

ACCURATE = MetricRule("accuracy", "<", 0.70)


class Watch:
    """A monitor of made-up records, with a clock of the test's own."""

    def __init__(self, *rules: Any) -> None:
        self.keeper, self.source, self.now = Keeper(), Made(), 0
        self.monitor = self.again()
        if rules:
            self.monitor.rules = rules
        self.heard: list[RuleAlert] = []
        self.monitor.on_alert(self.heard.append)

    def again(self) -> FleetMonitor:
        """As another process would: what is raised is still there."""
        return FleetMonitor(self.keeper, self.source, lambda: self.now)

    def see(self, *rows: Row) -> tuple[str, ...]:
        """What is news, once these are the records."""
        self.now += 60 * 10**9
        self.source.said = {row.model: row for row in rows}
        return tuple(alert.state for alert in self.monitor.check())


def test_an_alert_is_raised_once_and_cleared_once() -> None:
    watch = Watch(ACCURATE)
    states = [watch.see(answers("a", 50, value)) for value in (0.8, 0.65, 0.6, 0.71, 0.69, 0.72, 0.75)]
    assert states == [(), ("raised",), (), (), (), ("cleared",), ()]
    raised, cleared = watch.heard
    assert raised == watch.monitor.recent[0]
    assert (raised.model, raised.metric, raised.value, raised.threshold, raised.n) == ("a", "accuracy", 0.65, 0.7, 50)
    assert (raised.severity, raised.window, raised.category) == ("warning", "24h", None)
    assert raised.message == (
        "a: share of answers that were right is 65.0 % over 24h, below 70.0 % (50 settled answers)"
    )
    assert raised.recommendation.startswith("Let another model answer until a has recovered")
    assert (cleared.state, cleared.value, cleared.since) == ("cleared", 0.72, raised.time)
    assert "again" in cleared.message
    assert not watch.monitor.alerts


def test_a_metric_that_hovers_at_the_threshold_raises_once() -> None:
    dice, watch = random.Random(1), Watch(ACCURATE)
    news = [watch.see(answers("a", 50, dice.uniform(0.685, 0.715))) for _ in range(500)]
    assert [state for states in news for state in states] == ["raised"]


def test_quiet_checks_clear_too_but_only_in_a_row() -> None:
    watch = Watch(MetricRule("accuracy", "<", 0.70, quiet=3))
    values = [0.6, 0.705, 0.705, 0.69, 0.705, 0.705, 0.705, 0.705]
    assert [watch.see(answers("a", 50, value)) for value in values] == [
        ("raised",), (), (), (), (), (), ("cleared",), (),
    ]  # fmt: skip


def test_two_calls_raise_nothing_and_too_little_clears_nothing() -> None:
    watch = Watch(ACCURATE)
    assert watch.see(answers("a", 2, 0.0)) == ()
    assert watch.see(answers("a", 19, 0.0)) == ()
    assert watch.see(answers("a", 20, 0.0)) == ("raised",)
    assert watch.see(answers("a", 5, 1.0)) == ()  # who knows
    assert watch.see(answers("a", 0)) == ("cleared",)  # nothing is left in the window
    assert "nothing is left in 24h" in watch.heard[-1].message


def test_another_process_tells_nobody_again_and_can_clear() -> None:
    watch = Watch(ACCURATE)
    watch.see(answers("a", 50, 0.5))
    heard: list[RuleAlert] = []
    watch.monitor = watch.again()
    watch.monitor.rules = (ACCURATE,)
    watch.monitor.on_alert(heard.append)
    (known,) = watch.monitor.alerts
    assert known == watch.heard[0]
    assert watch.see(answers("a", 50, 0.5)) == ()
    assert watch.see(answers("a", 50, 0.9)) == ("cleared",)
    assert [alert.since for alert in heard] == [watch.heard[0].time]


def test_rules_models_and_categories_that_are_gone_clear() -> None:
    watch = Watch(ACCURATE, MetricRule("accuracy", "<", 0.7, scope="category", window="7d"))
    watch.source.in_category = {("a", "politics"): answers("a", 30, 0.2), ("a", "rates"): answers("a", 30, 0.9)}
    assert watch.see(answers("a", 50, 0.5), answers("b", 50, 0.5)) == ("raised",) * 3
    assert {(alert.model, alert.category) for alert in watch.heard} == {("a", None), ("b", None), ("a", "politics")}
    assert watch.see(answers("a", 50, 0.5)) == ("cleared",)  # b has left
    assert watch.heard[-1].model == "b"
    watch.source.in_category = {}
    assert watch.see(answers("a", 50, 0.5)) == ("cleared",)
    watch.monitor.rules = ()
    assert watch.see(answers("a", 50, 0.5)) == ("cleared",)
    assert "gone" in watch.heard[-1].message
    assert not watch.monitor.alerts


def test_scopes_and_names() -> None:
    watch = Watch(
        MetricRule("accuracy", "<", 0.7, models="b"),
        MetricRule("error_rate", ">", 0.15, scope="fleet", severity="critical"),
        MetricRule("accuracy", "<", 0.7, categories="rates", name="rates"),
    )
    watch.source.whole = calls("", 100, failed=20)
    watch.source.in_category = {("a", "rates"): answers("a", 30, 0.1), ("a", "politics"): answers("a", 30, 0.1)}
    watch.see(answers("a", 50, 0.1), answers("b", 50, 0.2))
    assert {(alert.model, alert.category, alert.metric) for alert in watch.heard} == {
        ("b", None, "accuracy"),
        (None, None, "error_rate"),
        ("a", "rates", "accuracy"),
    }
    assert [alert.severity for alert in watch.monitor.alerts] == ["critical", "warning", "warning"]
    assert watch.monitor.alerts[0].message.startswith("the fleet: ")
    assert key_of("rates", "a", "rates") in {alert.key for alert in watch.monitor.alerts}


def test_recommendations_name_a_model_that_does_better() -> None:
    watch = Watch(ACCURATE, MetricRule("error_rate", ">", 0.1, scope="fleet"))
    watch.source.whole = calls("", 300, failed=60)
    watch.see(
        answers("a", 50, 0.5, calls=100, error_rate=0.4),
        answers("b", 50, 0.8, calls=100, error_rate=0.1),
        answers("c", 50, 0.9, calls=100, error_rate=0.2),
        answers("few", 3, 1.0),
    )
    of_model, of_fleet = watch.heard
    assert of_model.recommendation == "Let c answer until a has recovered, or give a less weight there."
    assert of_fleet.recommendation.startswith("a is worst. Look at a's errors")
    watch.monitor.rules = (MetricRule("accuracy", "<", 0.7, recommendation="Call Ada.", name="mine"),)
    watch.see(answers("a", 50, 0.5))
    assert watch.heard[-1].recommendation == "Call Ada."


def test_anomalies_and_trends_can_alert() -> None:
    watch = Watch(AnomalyRule("error_rate"), TrendRule("accuracy", window="30d"))
    usual = [calls("a", 100, failed=3 + i % 4) for i in range(11)]
    falling = [answers("b", 50, 0.9 - 0.02 * i + 0.003 * (i % 2)) for i in range(15)]
    watch.source.over_time = {"a": panes([*usual, calls("a", 100, failed=60)]), "b": panes(falling, 2 * DAY)}
    assert watch.see(calls("a")) == ("raised", "raised")
    unusual, worse = watch.heard
    assert (unusual.model, unusual.metric, unusual.value) == ("a", "error_rate", 0.6)
    assert unusual.value > unusual.threshold
    assert "usual" in unusual.message
    assert (worse.model, worse.metric) == ("b", "accuracy")
    assert "went from 90" in worse.message
    assert watch.see(calls("a")) == ()
    watch.source.over_time = {"a": panes([*usual, calls("a", 100, failed=5)]), "b": panes(falling[::-1], 2 * DAY)}
    assert watch.see(calls("a")) == ("cleared", "cleared")


def test_callbacks_that_raise_harm_nobody() -> None:
    watch, heard = Watch(ACCURATE), []

    @watch.monitor.on_alert
    def bad(alert: RuleAlert) -> None:
        raise ValueError(alert.key)

    watch.monitor.on_alert(heard.append)
    with pytest.warns(RuntimeWarning, match="bad failed on a rule alert with ValueError"):
        assert watch.see(answers("a", 50, 0.5)) == ("raised",)
    assert len(heard) == len(watch.heard) == 1
    watch.monitor.forget(bad)
    assert watch.see(answers("a", 50, 0.9)) == ("cleared",)
    with pytest.raises(fl.InvalidRecordError, match="was not told"):
        watch.monitor.forget(bad)
    with pytest.raises(fl.InvalidRecordError, match="callback is 3"):
        watch.monitor.on_alert(3)  # type: ignore[type-var]


def test_coroutines_are_told_on_the_callers_loop_or_on_their_own() -> None:
    watch, threads = Watch(ACCURATE), []

    async def later(alert: RuleAlert) -> None:
        await asyncio.sleep(0)
        threads.append(threading.current_thread())

    watch.monitor.on_alert(later)
    watch.see(answers("a", 50, 0.5))
    assert watch.monitor.finish()

    async def inside() -> None:
        watch.see(answers("a", 50, 0.9))
        for _ in range(20):
            await asyncio.sleep(0)

    asyncio.run(inside())
    assert len(threads) == 2
    assert threads[0] is not threading.main_thread()
    assert threads[1] is threading.main_thread()


def test_a_callback_may_look_and_even_check() -> None:
    watch, found = Watch(ACCURATE), []

    @watch.monitor.on_alert
    def look(alert: RuleAlert) -> None:
        found.append((len(watch.monitor.alerts), watch.monitor.check()))

    watch.see(answers("a", 50, 0.5))
    assert found == [(1, ())]


def test_what_the_journal_refuses_has_not_happened() -> None:
    watch = Watch(ACCURATE)
    watch.keeper.refuse = 27  # journal_failed or another: any refusal
    with pytest.raises(fl.FairleadError):
        watch.see(answers("a", 50, 0.5))
    assert not watch.heard
    assert not watch.monitor.recent
    watch.keeper.refuse = 0
    assert watch.see(answers("a", 50, 0.5)) == ("raised",)


def test_two_threads_that_check_at_once_tell_once() -> None:
    watch = Watch(ACCURATE)
    watch.source.said = {f"m{i}": answers(f"m{i}", 50, 0.5) for i in range(20)}
    start = threading.Barrier(4)

    def run() -> None:
        start.wait()
        for _ in range(5):
            watch.monitor.check()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(watch.heard) == 20


def test_records_are_read_once_however_many_rules_there_are() -> None:
    watch = Watch(*(MetricRule("accuracy", "<", 0.5 + i / 100) for i in range(10)), MetricRule("error_rate", ">", 0.1))
    watch.see(*(answers(f"m{i}", 50, 0.9) for i in range(50)))
    assert watch.source.reads == 1


def test_an_alert_is_what_its_event_says() -> None:
    watch = Watch(ACCURATE)
    watch.see(answers("Ünïcödé", 50, 0.5))
    (text,) = watch.keeper.logged
    data = json.loads(text)
    assert data["kind"] == "rule"
    assert data["state"] == "raised"
    assert data["key"] == "accuracy < 70.0 % over 24h | Ünïcödé"
    assert "category" not in data
    assert RuleAlert.from_json(text, watch.now) == watch.heard[0]
    strange = RuleAlert.from_json('{"kind": "rule", "key": "k", "severity": 3, "n": true, "value": "x"}', 5)
    assert (strange.key, strange.severity, strange.n, strange.metric) == ("k", "warning", 0, "")
    assert "warning" in str(watch.heard[0])
    assert watch.heard[0].as_dict()["category"] is None


def test_bad_arguments_are_told() -> None:
    monitor = Watch().monitor
    for call, told in (
        (lambda: monitor.health("2h"), "window is '2h'"),
        (lambda: monitor.trends("acuracy"), "metric is 'acuracy'"),
        (lambda: monitor.trends(window="all"), "window is 'all'"),
        (lambda: monitor.trends(fdr=0.0), r"fdr is 0\.0"),
        (lambda: monitor.anomalies(alpha=2), "alpha is 2"),
        (lambda: monitor.check("yesterday"), "now is 'yesterday'"),
        (lambda: setattr(monitor, "rules", 3), "rules is 3"),
        (lambda: setattr(monitor, "weights", {"acuracy": 1}), "weights has 'acuracy'"),
        (lambda: setattr(monitor, "weights", {"accuracy": -1}), "must be a number, at least 0"),
        (lambda: setattr(monitor, "weights", {"accuracy": NAN}), "must be a number, at least 0"),
        (lambda: setattr(monitor, "weights", {"accuracy": 0}), "none is positive"),
        (lambda: setattr(monitor, "weights", 3), "weights is 3"),
        (lambda: monitor.run(0), "every is 0"),
    ):
        with pytest.raises(fl.InvalidRecordError, match=told):
            call()


def test_it_checks_in_the_background_until_it_is_stopped() -> None:
    watch, told = Watch(ACCURATE), threading.Event()
    watch.source.said = {"a": answers("a", 50, 0.5)}
    watch.monitor.on_alert(lambda alert: told.set())
    with watch.monitor.run(every="10ms") as rounds:
        assert told.wait(5)
        assert rounds.running
        assert "running" in repr(rounds)
    assert not rounds.running

    async def inside() -> None:
        with watch.monitor.run(0.001) as inner:
            watch.source.said = {"a": answers("a", 50, 0.9)}
            while watch.monitor.alerts:
                await asyncio.sleep(0.001)
            assert inner.running
        await asyncio.sleep(0.005)
        assert not inner.running

    asyncio.run(asyncio.wait_for(inside(), 5))


def test_checks_in_the_background_go_on_after_an_error() -> None:
    watch, told = Watch(ACCURATE), threading.Event()
    watch.keeper.refuse = 27
    watch.source.said = {"a": answers("a", 50, 0.5)}
    watch.monitor.on_alert(lambda alert: told.set())

    async def inside() -> None:
        with watch.monitor.run(0.001) as rounds:
            while rounds.problem is None:
                await asyncio.sleep(0.001)
            assert isinstance(rounds.problem, fl.FairleadError)
            for _ in range(20):  # one warning, not one a check
                await asyncio.sleep(0.001)
            assert rounds.running
            assert not told.is_set()
            watch.keeper.refuse = 0  # somebody made room
            while not told.is_set():
                await asyncio.sleep(0.001)
            assert isinstance(rounds.problem, fl.FairleadError)  # still to be read

    with pytest.warns(RuntimeWarning, match="check in the background failed with") as warned:
        asyncio.run(asyncio.wait_for(inside(), 5))
    assert len(warned) == 1
    assert [alert.state for alert in watch.heard] == ["raised"]


@pytest.mark.filterwarnings("error")
def test_a_warning_that_is_an_error_ends_no_checks() -> None:
    watch = Watch(ACCURATE)
    watch.keeper.refuse = 27
    watch.source.said = {"a": answers("a", 50, 0.5)}

    async def inside() -> None:
        with watch.monitor.run(0.001) as rounds:
            while rounds.problem is None:
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.01)
            assert rounds.running

    asyncio.run(asyncio.wait_for(inside(), 5))


def test_alerts_that_do_not_fit_are_warned_of_once_and_raised_when_they_do() -> None:
    watch = Watch(ACCURATE)
    watch.keeper.most = 2
    bad = [answers(f"m{i}", 50, 0.5) for i in range(4)]
    with pytest.warns(RuntimeWarning, match="2 alerts were not raised.*m2.*4,096") as warned:
        assert watch.see(*bad) == ("raised", "raised")
    assert len(warned) == 1
    assert [alert.model for alert in watch.heard] == ["m0", "m1"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert watch.see(*bad) == ()  # known by now
    assert watch.see(answers("m0", 50, 0.9), *bad[1:3]) == ("cleared", "raised")
    with pytest.warns(RuntimeWarning, match="1 alert was not raised.*m3"):  # anew: it was well in between
        assert watch.see(answers("m0", 50, 0.9), *bad[1:]) == ()
