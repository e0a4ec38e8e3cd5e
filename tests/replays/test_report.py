"""The replay's result as JSON and as a page: complete, escaped, self-contained, whatever is missing."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fairlead as fl
from fairlead import svg
from fairlead.replays.report import render_report, write_report
from fairlead.replays.result import Against, ModelResult, ReplayResult, Score
from fairlead.replays.table import BadRow
from fairlead.replays.words import WHAT_IT_DOES

NAN = math.nan
DAY = 86_400 * 10**9
START = 1_696_118_400 * 10**9  # 1 October 2023
VOID = {"meta", "br", "hr", "img", "input", "link"}
STRATEGIES = ("mean", "median", "log", "weighted", "hedge")


def a_score(loss: float, *, kind: str = "binary", n: int = 200) -> Score:
    if kind == "numeric":
        return Score(n, NAN, NAN, NAN, NAN, loss, 1.3 * loss, ())
    curve = ((0.1, 0.12, 40), (0.5, 0.46, 100), (0.9, 0.85, 60))
    return Score(n, loss, 2 * loss, 1 - loss, loss / 5, NAN, NAN, curve)


def a_result(
    names: tuple[str, ...] = ("alpha", "beta", "gamma"),
    *,
    kind: str = "binary",
    history: int = 30,
    default_loss: float = 0.20,
    mean_loss: float = 0.21,
    best_loss: float = 0.19,
    bad: int = 0,
) -> ReplayResult:
    models = tuple(
        ModelResult(name, 1600.0 - 10 * i, a_score(best_loss + 0.001 * i, kind=kind), 0.5 * i, i, 0.05 * i)
        for i, name in enumerate(names)
    )
    losses = dict.fromkeys(STRATEGIES, 0.22) | {"mean": mean_loss, "hedge": default_loss}
    strategies = {name: a_score(loss, kind=kind) for name, loss in losses.items()}
    elo = 1500 + np.outer(np.arange(history), np.linspace(1, -1, len(names)))
    if history > 3:
        elo[:3, -1] = NAN
    return ReplayResult(
        kind=kind,
        labels=("0", "1") if kind == "binary" else (),
        default="hedge",
        tasks=200,
        unsettled=7,
        forecasts=600,
        events_per_second=2_500_000.0,
        models=models,
        strategies=strategies | {"best_single": a_score(best_loss, kind=kind)},
        best_single=names[0],
        history_time=np.arange(START, START + history * DAY, DAY, dtype=np.int64),
        history_elo=elo.astype(np.float64),
        history_excess={name: np.full(history, losses[name] - mean_loss) for name in STRATEGIES},
        slices={"desk=<rates>": {name: a_score(loss, kind=kind) for name, loss in losses.items()}},
        bad_rows=tuple(BadRow(i + 2, f"p is 1.{i}, outside [0, 1]") for i in range(bad)),
    )


class Page(HTMLParser):
    """Reads a page strictly: every element closed in order. Collects its text, by element and whole."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.seen: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.attributes += attrs
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> repeats an attribute: {names}"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag
        if tag not in ("strong", "span"):
            self.text.append(" ")

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join("".join(self.text).split())


def headline(html: str) -> str:
    match = re.search(r'<p class="lead">(.*?)</p>', html, re.DOTALL)
    assert match
    return Page(match[1]).words


def numbers_drawn(html: str) -> list[float]:
    """Every coordinate in the page's drawings; fails on one that is not a number."""
    places = re.findall(r' (?:x|y|x1|x2|y1|y2|cx|cy|r|points|d)="([^"]*)"', html)
    found = [float(n) for place in places for n in re.findall(r"[^ML, %]+", place)]
    assert found
    return found


@pytest.mark.parametrize("kind", ["binary", "categorical", "numeric"])
@pytest.mark.parametrize("history", [0, 1, 2, 30])
@pytest.mark.parametrize("count", [1, 3, 40])
def test_page_is_well_formed_and_complete(kind: str, history: int, count: int) -> None:
    names = tuple(f"model-{i}" for i in range(count))
    html = render_report(a_result(names, kind=kind, history=history), title="A replay")
    page = Page(html)
    assert page.words.count("A replay") == 2
    for name in (*names, *STRATEGIES, "best_single"):
        assert re.search(rf"\b{name}\b", page.words), name
    assert all(math.isfinite(number) for number in numbers_drawn(html))
    assert not re.search(r"\b(nan|inf|None)\b", page.words)


def test_page_asks_nothing_of_the_network_and_runs_nothing() -> None:
    html = render_report(a_result(bad=3), title="A replay")
    page = Page(html)
    links = [link for link in re.findall(r"https?://[^\s\"'<)]*", html) if "www.w3.org" not in link]
    assert links == []
    assert not {"script", "link", "img", "iframe", "object"} & set(page.seen)
    assert not re.search(r"@import|url\(", html)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in ("src", "href")]


def test_hostile_names_are_text_and_nothing_else() -> None:
    names = ("<script>alert(1)</script>", 'a&b"c', "'><img src=x onerror=alert(1)>", "</title></style>")
    result = a_result(names)
    hostile = replace(result, bad_rows=(BadRow(2, "model is '<b>bold</b>'"),))
    page = Page(render_report(hostile, title="<i>title</i> & more"))
    assert not {"script", "img", "b", "i"} & set(page.seen)
    assert "onerror" not in {name for name, _ in page.attributes}
    assert set(names) <= {value for name, value in page.attributes if name == "title"}
    for text in (*names, "model is '<b>bold</b>'", "<i>title</i> & more"):
        assert text in page.words


@pytest.mark.parametrize(
    ("default", "mean", "best", "said"),
    [
        (
            0.18,
            0.20,
            0.19,
            ["10.0% better than the equal-weight mean (0.2000)", "5.3% better than the best single"],
        ),
        (
            0.19,
            0.20,
            0.18,
            ["5.0% better than", "5.6% worse than the best single", "knew that model beforehand"],
        ),
        (
            0.22,
            0.20,
            0.18,
            ["10.0% worse than the equal-weight mean", "equal weights would have done better"],
        ),
        (0.20, 0.20, 0.20, ["level with the equal-weight mean", "level with the best single model"]),
        (0.10, 0.00, 0.00, ["worse than the equal-weight mean (0.0000)"]),
        (0.00, 0.00, 0.10, ["level with the equal-weight mean", "100.0% better than the best single"]),
    ],
)
def test_headline_is_honest(default: float, mean: float, best: float, said: list[str]) -> None:
    text = headline(render_report(a_result(default_loss=default, mean_loss=mean, best_loss=best), title="t"))
    for words in said:
        assert words in text
    assert f"{default:.4f}" in text
    assert ("would have done better" in text) == (default > min(mean, best))


def test_headline_says_when_nothing_was_scored() -> None:
    result = a_result(history=0, default_loss=NAN, mean_loss=NAN, best_loss=NAN)
    html = render_report(result, title="t")
    assert "No task was scored" in headline(html)
    assert "nan" not in Page(html).words.lower()


def test_headline_with_one_model_claims_no_gain() -> None:
    text = headline(render_report(a_result(("only",)), title="t"))
    assert "nothing to combine" in text
    assert "Combining 1 model," in text


@pytest.mark.parametrize(("error", "said"), [(0.001, "beyond noise"), (0.02, "within noise")])
def test_differences_are_told_with_their_noise(error: float, said: str) -> None:
    result = a_result(default_loss=0.20, mean_loss=0.21)
    against = {"mean": Against(0.01, error, 40), "hedge": Against(0.0, 0.0, 40), "log": Against(-0.02, 0.004, 40)}
    html = render_report(replace(result, against=against), title="t")
    assert f"4.8% better than the equal-weight mean (0.2100, {said})" in headline(html)
    page = Page(html)
    assert f"+0.0100 \u00b1 {2 * error:.4f}" in page.words
    assert "\u22120.0200 \u00b1 0.0080 better" in page.words
    assert ("worse 200" in page.words) == (said == "beyond noise")


def test_bars_are_drawn_of_what_is_known() -> None:
    result = replace(a_result(), against={"mean": Against(0.01, 0.004, 40), "log": Against(0.02, NAN, 1)})
    dots = render_report(result, title="t").split("Which way of combining")[1].split("</figure>")[0]
    assert dots.count('<line class="bar"') == 1
    assert "chance may explain the difference" in dots
    assert "chance may explain" not in render_report(a_result(), title="t")


def test_every_strategy_is_explained() -> None:
    words = Page(render_report(a_result(), title="t")).words
    assert {*fl.STRATEGIES, "best_single"} == WHAT_IT_DOES.keys()
    for name in STRATEGIES:
        assert WHAT_IT_DOES[name] in words


def test_adjusted_probabilities_are_drawn_over_what_was_said() -> None:
    result = a_result()
    after = replace(result.models[0].score, calibration_error=0.011, curve=((0.1, 0.1, 40), (0.6, 0.6, 160)))
    models = (replace(result.models[0], adjusted=after), *result.models[1:])
    html = render_report(replace(result, models=models), title="t")
    panel = html.split('<div class="panel">')[3]
    assert panel.index('<g class="k0">') < panel.index('<g class="k8">')
    words = Page(html).words
    assert "error 0.038 \u2192 0.011 adjusted" in words
    assert "from 0.0380 to 0.0110" in words
    assert "fell for 1 of 1 model" in words
    same = tuple(replace(m, adjusted=m.score) for m in result.models)
    assert "were left as they are" in render_report(replace(result, models=same), title="t")


def test_the_best_single_model_has_a_line_of_its_own() -> None:
    result = replace(a_result(), history_best=np.full(30, -0.01))
    history = render_report(result, title="t").split("How the advantage")[1].split("</figure>")[0]
    assert "best: alpha" in history
    assert history.count("<polyline") == len(STRATEGIES)  # all but the mean, and this one


def test_numeric_answers_show_errors_in_place_of_probability_scores() -> None:
    words = Page(render_report(a_result(kind="numeric", default_loss=1234.5), title="t")).words
    assert "MAE" in words
    assert "RMSE" in words
    for absent in ("Brier", "log loss", "accuracy", "calibration"):
        assert absent not in words
    probabilities = Page(render_report(a_result(), title="t")).words
    assert "MAE" not in probabilities
    assert "calibration error" in probabilities


def test_a_model_with_nothing_known_is_still_listed() -> None:
    result = a_result(("alpha", "silent"))
    silent = ModelResult("silent", 1500.0, Score(0, NAN, NAN, NAN, NAN, NAN, NAN, ()), 0.0, 12, NAN)
    elo = result.history_elo.copy()
    elo[:, 1] = NAN
    html = render_report(replace(result, models=(result.models[0], silent), history_elo=elo), title="t")
    row = re.search(r"<tr>(?:(?!</tr>).)*silent.*?</tr>", html)
    assert row
    assert Page(row[0]).words.count("\u2013") == 5
    assert not re.search(r"\bnan\b", html.lower())


def test_only_the_best_models_are_coloured() -> None:
    html = render_report(a_result(tuple(f"model-{i}" for i in range(40))), title="t")
    ratings = html[html.index("How the ratings moved") : html.index("Do the probabilities")]
    assert ratings.count("<polyline") == 40
    assert ratings.count('<g class="k0"><polyline') == 40 - svg.COLOURS
    assert "the other 32 grey" in ratings


def test_the_best_value_of_each_score_is_bold() -> None:
    html = render_report(a_result(), title="t")
    board = html[html.index("<h2>The models, one by one") :]
    rows = [re.findall(r'<td class="best">([^<]*)<', row) for row in board.split("<tr>")[2:5]]
    assert rows == [["0.1900", "0.3800", "81.0%", "0.0380"], [], []]


def test_numeric_answers_never_show_calibration() -> None:
    result = a_result(kind="numeric")
    curved = replace(result.strategies["hedge"], curve=((0.5, 0.5, 10),))
    html = render_report(replace(result, strategies=result.strategies | {"hedge": curved}), title="t")
    assert "plot square" not in re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)


def test_bad_rows_are_counted_and_the_first_listed() -> None:
    words = Page(render_report(a_result(bad=34), title="t")).words
    assert "34 rows were not usable" in words
    assert "p is 1.19, outside" in words
    assert "p is 1.20, outside" not in words
    assert "Rows skipped" not in Page(render_report(a_result(), title="t")).words


def test_write_report_writes_the_page(tmp_path: Path) -> None:
    result = a_result(("modèle-é", "模型"))
    write_report(result, tmp_path / "page.html", title="Ünïcode")
    assert (tmp_path / "page.html").read_bytes().decode("utf-8") == render_report(result, title="Ünïcode")


def test_json_is_strict_and_has_the_promised_shape() -> None:
    result = a_result(("alpha", "beta"), kind="numeric", bad=2)
    found = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    scores = {"brier", "log_loss", "accuracy", "calibration_error", "mae", "rmse", "n"}
    assert set(found) == {
        "default", "kind", "tasks", "unsettled", "forecasts", "bad_rows", "events_per_second", "best_single",
        "models", "strategies", "slices", "bad_row_list",
    }  # fmt: skip
    assert found["bad_rows"] == 2
    assert found["bad_row_list"][0] == {"line": 2, "reason": "p is 1.0, outside [0, 1]"}
    assert [model["model"] for model in found["models"]] == ["alpha", "beta"]
    assert set(found["models"][0]) == scores | {"model", "elo", "cost_usd", "failed", "drift", "against", "adjusted"}
    assert set(found["strategies"]) == {*STRATEGIES, "best_single"}
    assert set(found["strategies"]["mean"]) == scores | {"against"}
    assert list(found["strategies"])[:3] == ["best_single", "hedge", "mean"]  # best first
    assert found["strategies"]["mean"]["against"] == {"difference": None, "standard_error": None, "rounds": 0}
    assert found["strategies"]["mean"]["brier"] is None
    assert found["strategies"]["mean"]["mae"] == 0.21


def test_json_takes_numpy_scalars_and_infinities() -> None:
    count: Any = np.int64(3)
    brier: Any = np.float32(0.5)
    score = Score(count, brier, math.inf, NAN, NAN, NAN, NAN, ())
    found = json.loads(json.dumps(score.to_dict(), allow_nan=False))
    assert found["n"] == 3
    assert found["brier"] == 0.5
    assert found["log_loss"] is None


@pytest.mark.parametrize(
    "span", [1, 900, 5 * 10**6, 10**9, 7 * 10**9, 3600 * 10**9, DAY, 40 * DAY, 900 * DAY, 90_000 * DAY]
)
def test_time_ticks_are_few_inside_and_distinct(span: int) -> None:
    begin = START + 12_345_678_901 if span < 9_000 * DAY else -START
    ticks = svg.time_ticks(begin, begin + span)
    assert len(ticks) <= 8
    assert all(begin <= moment <= begin + span for moment, _ in ticks)
    assert len({text for _, text in ticks}) == len(ticks)
    assert ticks or span < 1


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-0.021, 0.013), (1130.0, 1905.0), (-3e-9, 2e-9), (5e11, 6e12)])
def test_round_ticks_are_evenly_spaced_inside(low: float, high: float) -> None:
    ticks = svg.round_ticks(low, high)
    assert 3 <= len(ticks) <= 7
    slack = 1e-9 * (high - low)
    assert all(low - slack <= tick <= high + slack for tick in ticks)
    assert np.allclose(np.diff(ticks), ticks[1] - ticks[0], rtol=1e-6)


def test_labels_are_spread_without_overlap_and_stay_near() -> None:
    wanted = sorted(np.random.default_rng(5).uniform(0, 300, 12).tolist())
    places = svg.spread(wanted, 16.0, 4.0, 316.0)
    assert min(np.diff(places)) >= 16.0 - 1e-9
    assert places[0] >= 4.0
    assert places[-1] <= 316.0
    assert svg.spread([20.0, 100.0], 16.0, 0.0, 200.0) == [20.0, 100.0]


def test_line_chart_leaves_gaps_and_needs_something_to_draw() -> None:
    days = [START + i * DAY for i in range(5)]
    chart = svg.line_chart([svg.Series("m", days, [1.0, NAN, 2.0, 3.0, NAN], 1)], title="t", axis="a")
    lines = re.findall(r'<polyline points="([^"]*)"', chart)
    assert [len(set(line.split())) for line in lines] == [1, 2]
    assert svg.line_chart([svg.Series("m", days, [NAN] * 5, 1)], title="t", axis="a") == ""
    assert svg.line_chart([], title="t", axis="a") == ""
    assert svg.line_chart([svg.Series("m", days[:1], [1.0], 1)], title="t", axis="a") == ""


def test_line_chart_puts_later_right_and_higher_up() -> None:
    chart = svg.line_chart([svg.Series("m", [START, START + DAY], [1.0, 2.0], 1)], title="t", axis="a")
    match = re.search(r'<polyline points="([\d.]+),([\d.]+) ([\d.]+),([\d.]+)"', chart)
    assert match
    x1, y1, x2, y2 = map(float, match.groups())
    assert (x1, x2) == (0.0, 1000.0)
    assert 0 < y2 < y1 < 320


def test_dot_chart_puts_lower_values_further_left() -> None:
    chart = svg.dot_chart([svg.Dot("a", 0.3, "0.3"), svg.Dot("b", 0.2, "0.2")], title="t", axis="a", reference=0.25)
    a, b = (float(x) for x in re.findall(r'<circle class="dot" cx="([\d.]+)%"', chart))
    assert 0 < b < a < 100
    assert svg.dot_chart([svg.Dot("a", NAN, "")], title="t", axis="a") == ""


def test_calibration_chart_draws_perfect_points_on_the_diagonal() -> None:
    chart = svg.calibration_chart([(0.2, 0.2, 5), (0.8, 0.8, 50)], title="t")
    places = re.findall(r'<circle class="dot" cx="([\d.]+)%" cy="([\d.]+)%" r="([\d.]+)"', chart)
    assert [(float(x), 100 - float(y)) for x, y, _ in places] == [(20.0, 20.0), (80.0, 80.0)]
    assert float(places[0][2]) < float(places[1][2])


def test_slices_are_shown_and_escaped() -> None:
    page = render_report(a_result(("alpha", "beta")), title="t")
    assert "Slice by slice" in page
    assert "desk=&lt;rates&gt;" in page
    assert "desk=<rates>" not in page
