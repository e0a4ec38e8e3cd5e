"""The parts of the page that come from audits: cost curve, contribution, agreement. Their numbers are those of the
functions that make them, and what cannot be told is said so."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from tables import a_table
from test_report import Page, numbers_drawn

import fairlead as fl
from fairlead.replays.cost_picture import Choice, cost_chart
from fairlead.replays.report import render_report

COSTS = "What it would have cost to ask fewer"
WHO = "Who made the decisions good"
DISAGREE = "What disagreement tells"


def questions(*, costs: bool = True, models: int = 4, tasks: int = 160) -> pd.DataFrame:
    """Models of rising price and skill, whose answers depend on how hard a question is."""
    dice = np.random.default_rng(7)
    rows = []
    for i in range(tasks):
        outcome, hard = int(dice.random() < 0.5), dice.random()
        for m in range(models):
            shift = (0.4 + 0.5 * m) * (1 - hard) * (2 * outcome - 1)
            p = 1 / (1 + math.exp(-dice.normal(2 * shift, 0.6)))
            rows.append((i, f"q{i}", f"m{m}", "xy"[i % 2], p, 0.001 * 4**m if costs else 0.0, outcome))
    return pd.DataFrame(rows, columns=["time", "task", "model", "category", "p", "cost_usd", "outcome"])


@cache
def replayed(costs: bool = True, models: int = 4, tasks: int = 160) -> fl.ReplayResult:
    return fl.replay(questions(costs=costs, models=models, tasks=tasks))


def section(html: str, heading: str) -> str:
    return html.split(f"<h2>{heading}</h2>")[1].split("</section>")[0]


def test_the_parts_stand_in_their_order_and_are_whole() -> None:
    html = render_report(replayed(), title="t")
    headings = re.findall(r"<h2>(.*?)</h2>", html)
    assert headings == [
        "Which way of combining did best",
        "How the advantage built up",
        "The models, one by one",
        "How the ratings moved",
        "Do the probabilities mean what they say",
        COSTS,
        WHO,
        DISAGREE,
        "Slice by slice",
        "How to read the numbers",
    ]
    page = Page(html)
    assert not re.search(r"\b(nan|inf|None)\b", page.words)
    assert all(math.isfinite(number) for number in numbers_drawn(html))
    assert page.seen.count("figcaption") == page.seen.count("figure") == 7
    assert html == render_report(replayed(), title="t")


def test_the_cost_curve_is_the_cascades() -> None:
    result = replayed()
    p = np.array([[audit.answers[f"m{m}"] for m in range(4)] for audit in result.audits])
    cost = np.array([[audit.costs[f"m{m}"] for m in range(4)] for audit in result.audits])
    y = np.array([audit.outcome for audit in result.audits])
    pools = {result.default: np.array([audit.p for audit in result.audits])}
    curve = fl.cascade_curve(p, cost, y, [f"m{m}" for m in range(4)], pools=pools)
    part = section(render_report(result, title="t"), COSTS)
    words = Page(part).words
    assert f"{100 * curve.of_accuracy:.1f}% of the accuracy of {curve.best.name}" in words
    assert f"at {100 * curve.of_cost:.1f}% of its cost" in words
    assert part.count('<circle class="dot"') == 1 + len(curve.pools) + len(curve.singles)
    assert part.count('class="link"') == len(curve.points) - 1


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (lambda: replayed(costs=False), "no costs"),
        (lambda: replayed(models=1), "but one model"),
        (lambda: replayed(tasks=20), "too few"),
        (lambda: fl.replay(a_table("categorical", 3)), "yes-or-no"),
        (lambda: fl.replay(a_table("numeric", 3)), "yes-or-no"),
    ],
    ids=["free", "one model", "few tasks", "categorical", "numeric"],
)
def test_a_missing_cost_curve_says_why(result: object, why: str) -> None:
    assert callable(result)
    part = section(render_report(result(), title="t"), COSTS)
    assert "No cost curve is drawn" in part
    assert why in part
    assert "<svg" not in part


@pytest.mark.parametrize("kind", ["binary", "categorical", "numeric"])
def test_contributions_are_those_of_the_audits(kind: str) -> None:
    result = replayed() if kind == "binary" else fl.replay(a_table(kind, 5))
    group = fl.contribution(result.audits).groups[0]
    part = section(render_report(result, title="t"), WHO)
    table = part.split("<tbody>")[1].split("</tbody>")[0]
    assert re.findall(r'title="(m\d)"', table) == [row.model for row in group.rows]
    for row in group.rows:
        digits = 4 if kind != "numeric" else None
        if digits is not None:
            shown = f"{abs(row.shapley):.4f}"
            assert shown in table
            assert f"{100 * row.weight:.1f}%" in table
    words = Page(part).words
    assert f"{group.rows[0].model} has the largest part" in words
    assert ("squared error" in words) == (kind == "numeric")
    assert "The strongest models by category" in words


def test_contribution_by_a_slice_where_there_is_no_category() -> None:
    frame = a_table("binary", 6).drop(columns="category")
    words = Page(section(render_report(fl.replay(frame, slices=["horizon"]), title="t"), WHO)).words
    assert "The strongest models by horizon" in words
    assert "horizon 0 horizon 1 horizon 2" in words
    plain = Page(section(render_report(fl.replay(frame), title="t"), WHO)).words
    assert "The strongest models by" not in plain


def test_many_models_are_all_in_the_table_and_the_ends_in_the_picture() -> None:
    result = replayed(models=24, tasks=60)
    part = section(render_report(result, title="t"), WHO)
    figure, table = part.split("</figure>")
    assert figure.count('<circle class="dot"') == 16
    assert "Of 24 models the ends are drawn" in figure
    assert table.split("<tbody>")[1].count("<tr>") >= 24


def test_disagreement_is_told_as_it_is() -> None:
    result = replayed()
    group = fl.agreement(result.audits).groups[0]
    words = Page(section(render_report(result, title="t"), DISAGREE)).words
    assert (
        f"rank correlation of disagreement and loss {group.relation.correlation:+.2f}".replace("-", "\u2212") in words
    )
    proven = group.relation.low > 0 or group.relation.high < 0
    assert ("not proven" in words) == (not proven)
    assert f"{group.bins[0].accuracy:.0%} of the decisions were right" in words
    for pair in (group.pairs[0], group.pairs[-1]):
        assert f"{pair.a} {pair.b}" in words


def test_a_single_model_has_nobody_to_agree_with() -> None:
    html = render_report(replayed(models=1), title="t")
    assert WHO not in html
    assert DISAGREE not in html


def test_names_are_escaped_in_all_parts() -> None:
    frame = questions()
    names = {"m0": "<b>0</b>", "m1": 'a"&b', "m2": "'><img src=x>", "m3": "</svg><script>"}
    hostile = frame.assign(model=frame.model.map(names), category=frame.category.map({"x": "<i>x</i>", "y": "&y"}))
    page = Page(render_report(fl.replay(hostile), title="t"))
    assert not {"b", "img", "script", "i"} & set(page.seen)


# --- the picture of costs ---


def test_cheaper_is_further_left_and_better_further_up() -> None:
    chart = cost_chart(
        [(1.0, 0.6), (2.0, 0.7)],
        [Choice("a", 1.5, 0.65, 1), Choice("b", 3.0, 0.5, 2, hollow=True)],
        title="t",
        unit="USD",
    )
    (x1, y1, x2, y2) = map(
        float, re.findall(r'class="link" x1="([\d.]+)%" y1="([\d.]+)" x2="([\d.]+)%" y2="([\d.]+)"', chart)[0]
    )
    assert x1 < x2
    assert y1 > y2
    dots = {
        name: (float(x), float(y))
        for x, y, name in re.findall(r'cx="([\d.]+)%" cy="([\d.]+)" r="5"><title>(\w)', chart)
    }
    assert dots["a"][0] < dots["b"][0]
    assert dots["a"][1] < dots["b"][1]
    assert chart.count("hollow") == 1


def test_costs_that_span_much_are_drawn_by_their_logarithm_and_free_ones_at_the_edge() -> None:
    choices = [Choice(name, cost, 0.5, 1) for name, cost in (("a", 0.0), ("b", 0.01), ("c", 1.0), ("d", 100.0))]
    chart = cost_chart([], choices, title="t", unit="USD")
    x = {name: float(at) for at, name in re.findall(r'cx="([\d.]+)%" cy="[\d.]+" r="5"><title>(\w)', chart)}
    assert x["a"] == x["b"]
    assert x["c"] - x["b"] == pytest.approx(x["d"] - x["c"], abs=0.02)
    assert cost_chart([], [Choice("a", 0.0, 0.5)], title="t", unit="USD") == ""


def test_names_do_not_stand_on_one_another() -> None:
    choices = [Choice(f"model-number-{i}", 1.0 + i / 100, 0.5 + i / 1000, 1) for i in range(30)]
    chart = cost_chart([], choices, title="t", unit="USD")
    names = re.findall(r'<text class="ink alt"[^>]*>(model-number-\d+)</text>', chart)
    assert 1 <= len(names) < 30
    assert names[0] == "model-number-0"
    assert len(re.findall(r"<title>model-number-\d+: ", chart)) == 30


def test_without_audits_there_is_nothing_to_tell() -> None:
    html = render_report(replace(replayed(), read_audits=tuple), title="t")
    assert WHO not in html
    assert DISAGREE not in html
