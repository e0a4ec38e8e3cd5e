"""The report of a fleet as one self-contained page of HTML; what it tells is in `fairlead.monitor.report`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

from fairlead import page, svg
from fairlead.measure.calendar import time_text
from fairlead.measure.money import nearest, usd_text
from fairlead.monitor.alerts import RuleAlert
from fairlead.monitor.health import FORMULAS, HealthScore
from fairlead.monitor.metrics import METRICS, Measured, in_words
from fairlead.monitor.report import Report, bins_of
from fairlead.monitor.report_text import headline, said, span_text
from fairlead.monitor.series import Point

_CURVES = 6
_NONE = "\u2013"
_EMPTY = f'<td class="note">{_NONE}</td>'
_CSS = """
.alert{border-left:.25rem solid var(--soft);padding:.1rem 0 .1rem 1rem;margin:1.1rem 0}
.alert p{margin:.15rem 0}
.alert.critical{border-color:var(--c4)} .alert.warning{border-color:var(--c2)} .alert.info{border-color:var(--c1)}
.badge{font-size:.75rem;font-weight:650;letter-spacing:.05em;text-transform:uppercase;margin-right:.6em}
.critical .badge{color:color-mix(in srgb,var(--c4) 75%,var(--ink))}
.warning .badge{color:color-mix(in srgb,var(--c2) 70%,var(--ink))}
.info .badge{color:color-mix(in srgb,var(--c1) 75%,var(--ink))}
.todo{padding-left:1.2rem;max-width:46rem} .todo li{margin:.35rem 0}
.meter{display:inline-block;width:3.2rem;height:.5rem;border-radius:.25rem;background:var(--faint);
margin-right:.55em;vertical-align:.08em;overflow:hidden}
.meter i{display:block;height:100%;background:var(--c3)}
.meter.low i{background:var(--c4)} .meter.middle i{background:var(--c2)}
details{margin:.7rem 0 0} summary{cursor:pointer;font-weight:600;font-size:.95rem}
details .wide{margin-top:.6rem}
figure+figure{margin-top:2.4rem}
.good{color:color-mix(in srgb,var(--c3) 65%,var(--ink));font-weight:600}
.sum th,.sum td{border-top:1px solid var(--soft);font-weight:500}
"""
_WINDOW_WORDS = {
    "1h": "The last hour",
    "6h": "The last 6 hours",
    "24h": "The last 24 hours",
    "7d": "The last 7 days",
    "30d": "The last 30 days",
    "all": "All time",
}
_CALLS = (
    ("calls", "calls"),
    ("success", "success_rate"),
    ("errors", "error_rate"),
    ("timeouts", "timeout_rate"),
    ("p50", "latency_p50_ms"),
    ("p95", "latency_p95_ms"),
    ("p99", "latency_p99_ms"),
    ("tokens in", "tokens_in"),
    ("tokens out", "tokens_out"),
    ("cost", "cost_usd"),
    ("a task", "cost_per_task_usd"),
)
_ANSWERS = (
    ("settled", "settled"),
    ("accuracy", "accuracy"),
    ("Brier", "brier"),
    ("log loss", "log_loss"),
    ("quality", "quality"),
    ("skill", "skill"),
    ("cal. error", "calibration_error"),
    ("confidence", "confidence"),
)
_PICTURES = {
    "quality": (
        "decision quality (↑ higher is better)",
        "Decision quality of each model over time: 1 is right and certain, 0 is no better than knowing nothing.",
    ),
    "accuracy": ("accuracy (↑ higher is better)", "The share of settled answers that were right."),
    "latency_p95_ms": (
        "p95 latency, ms (↓ lower is better)",
        "The time within which 95 of 100 calls of each model ended.",
    ),
}
_GLOSSARY = (
    ("health", "from 0 to 1: a weighted mean of how often calls succeed, how often answers are right, skill, "
     "calibration, speed and cost"),
    ("success, errors, timeouts", "the share of calls with an answer, that failed, and of these that ran out of time"),
    ("p50, p95, p99", "the latency that 50, 95 and 99 of 100 calls do not exceed"),
    ("settled", "answers whose outcome is known; accuracy, Brier score and all to their right are of these"),
    ("Brier", "the mean squared distance of the probability from what happened; 0 is perfect, lower is better"),
    ("log loss", "the same idea, but being sure and wrong costs far more; lower is better"),
    ("quality", "1: right and certain; 0: no better than knowing nothing; below 0: worse than that"),
    ("skill", "how much better than the others on the same tasks, in Brier points; 0 is average"),
    ("cal. error", "by how much stated probabilities are off, on average: 0.05 means 5 percentage points"),
    ("a task", "what one answer cost, failed calls included"),
    ("alert", "raised once when a rule is broken, and kept until the metric is clearly good again"),
)  # fmt: skip


def render_report(report: Report) -> str:
    """The page. Any text from outside (names, messages) is escaped; what is not known is left out."""
    header = f'<p class="lead">{escape(headline(report))}</p>\n{_facts(report)}'
    parts = (
        _attention, _health, _windows, _over_time, _trends, _anomalies, _calibration, _patterns, _money, _resources,
        _rules, _glossary,
    )  # fmt: skip
    over = f"Fairlead, {time_text(report.time)}"
    return page.render(over, report.title, header, "".join(part(report) for part in parts), css=_CSS)


def _table(head: Sequence[str], rows: Iterable[str], name: str = "model", why: Sequence[str] = ()) -> str:
    css = {name: "name", "metric": "name", **dict.fromkeys(why, "why")}
    cells = "".join(f'<th scope="col" class="{css.get(text, "")}">{escape(text)}</th>' for text in head)
    return f'<div class="wide"><table><thead><tr>{cells}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _name(text: str, colour: int | None = None) -> str:
    chip = "" if colour is None else f'<span class="chip k{colour}"></span>'
    return f'<th scope="row" class="name" title="{escape(text)}">{chip}{escape(text)}</th>'


def _colours(report: Report) -> dict[str, int]:
    """By rating, as in every picture of the page; beyond the palette grey."""
    return {name: i + 1 if i < svg.COLOURS else 0 for i, name in enumerate(report.models)}


def _facts(report: Report) -> str:
    facts: dict[str, str] = {"models": f"{len(report.models):,}"}
    if not math.isnan(report.health.fleet.score):
        facts["health of the fleet"] = f"{report.health.fleet.score:.2f}"
    facts["alerts raised"] = f"{len(report.alerts):,}"
    day = report.together.get("24h")
    if day is not None and day.calls:
        facts |= {
            "calls, 24 hours": f"{day.calls:,}",
            "success": said(day, "success_rate"),
            "p95 latency": said(day, "latency_p95_ms"),
            "cost, 24 hours": said(day, "cost_usd"),
        }
    items = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts.items())
    return f'<dl class="facts">{items}</dl>'


def _attention(report: Report) -> str:
    out = []
    for alert in (*report.alerts, *report.broken):
        cure = f"<p>{escape(alert.recommendation)}</p>" if alert.recommendation else ""
        out.append(
            f'<div class="alert {alert.severity}"><p><span class="badge">{alert.severity}</span>'
            f"{escape(alert.message)}</p>{cure}"
            f'<p class="note small">{_since(report, alert)}, by the rule “{escape(alert.rule)}”</p></div>'
        )
    told = {alert.recommendation for alert in (*report.alerts, *report.broken)}
    rest = [one for one in report.recommendations if one not in told]
    if rest:
        items = "".join(f"<li>{escape(one)}</li>" for one in rest)
        out.append(f'<h3>{"What else to do" if told else "What to do"}</h3><ul class="todo">{items}</ul>')
    if not out:
        return page.section("What needs attention", '<p class="caption">Nothing: every rule holds.</p>')
    return page.section("What needs attention", "".join(out))


def _lately(window: str) -> str:
    words = _WINDOW_WORDS[window]
    return words[0].lower() + words[1:]


def _since(report: Report, alert: RuleAlert) -> str:
    return f"raised {time_text(alert.since)}" if alert in report.alerts else "not raised yet: nobody has checked since"


def _meter(score: float) -> str:
    level = "low" if score < 0.5 else "middle" if score < 0.75 else ""
    return f'<span class="meter {level}"><i style="width:{100 * score:.0f}%"></i></span>{score:.2f}'


def _health(report: Report) -> str:
    scores = [score for score in report.health if not math.isnan(score.score)]
    if not scores:
        return ""
    scores.sort(key=lambda score: -score.score)
    rows = [_health_row(score, _colours(report)) for score in scores]
    if len(scores) > 1:
        fleet = report.health.fleet
        rows.append(
            f'<tr class="sum">{_name("the fleet, by calls")}<td>{_meter(fleet.score)}</td>'
            + "<td></td>" * len(FORMULAS)
            + "</tr>"
        )
    weights = {part.name: part.weight for part in max(scores, key=lambda score: len(score.parts)).parts}
    words = ", ".join(f"{100 * weight:.0f} % {name}" for name, weight in weights.items())
    formulas = "; ".join(f"{name}: {formula}" for name, (_, formula) in FORMULAS.items() if name in weights)
    caption = (
        f'<p class="caption">One number for each model over {_lately(report.health.fleet.window)}, from 0 to 1: '
        f"{escape(words)}. {escape(formulas[:1].upper() + formulas[1:])}. A part of which too little is known is left "
        "out, and the others count more.</p>"
    )
    return page.section("How healthy each model is", caption + _table(["model", "health", *FORMULAS], rows))


def _health_row(score: HealthScore, colours: dict[str, int]) -> str:
    parts = {part.name: part for part in score.parts}
    cells = "".join(
        f'<td title="{escape(in_words(parts[name].metric, parts[name].value))}">{parts[name].score:.2f}</td>'
        if name in parts
        else _EMPTY
        for name in FORMULAS
    )
    model = score.model or ""
    return f"<tr>{_name(model, colours.get(model, 0))}<td>{_meter(score.score)}</td>{cells}</tr>"


def _windows(report: Report) -> str:
    out, colours = [], _colours(report)
    seen = [window for window, rows in report.windows.items() if any(row.calls or row.settled for row in rows.values())]
    first = "24h" if "24h" in seen else (seen[-1] if seen else "")
    for window in seen:
        tables = []
        for columns, counted in ((_CALLS, "calls"), (_ANSWERS, "settled")):
            rows = [row for row in report.windows[window].values() if getattr(row, counted)]
            if not rows:
                continue
            body = [_row(row, columns, _name(row.model, colours.get(row.model, 0))) for row in rows]
            if len(rows) > 1 and window in report.together:
                body.append(_row(report.together[window], columns, _name("all together"), "sum"))
            tables.append(_table(["model", *(heading for heading, _ in columns)], body))
        opened = " open" if window == first else ""
        out.append(f"<details{opened}><summary>{_WINDOW_WORDS[window]}</summary>{''.join(tables)}</details>")
    caption = (
        '<p class="caption">Each model over six windows of time, those in the fleet by rating. Open a window by its '
        "heading. What the columns mean stands at the end of the page.</p>"
    )
    return page.section("How each model did", caption + "".join(out)) if out else ""


def _row(row: Measured, columns: Sequence[tuple[str, str]], name: str, css: str = "") -> str:
    cells = "".join(f"<td>{_dash(_cell(row, metric))}</td>" for _, metric in columns)
    return f'<tr class="{css}">{name}{cells}</tr>'


def _cell(row: Measured, metric: str) -> str:
    text = said(row, metric)
    if metric not in ("tokens_in", "tokens_out"):
        return text
    n = float(getattr(row, metric))  # many, and only their size matters
    return f"{n / 1e6:,.3g} M" if n >= 1e6 else f"{n / 1e3:.3g} k" if n >= 1e4 else text


def _dash(text: str) -> str:
    return _NONE if text == "-" else escape(text)


def _over_time(report: Report) -> str:
    out, colours = [], _colours(report)
    for metric, by_model in report.series.items():
        if metric not in _PICTURES:
            continue
        axis, words = _PICTURES[metric]
        lines = [_line(model, points, colours.get(model, 0)) for model, points in by_model.items() if points]
        digits = 0 if METRICS[metric].unit == "ms" else 2
        drawing = svg.line_chart(lines, title=words, axis=axis, digits=digits, height=260)
        if drawing:
            out.append(page.figure(drawing, f"{words} {_stretch(by_model.values())}"))
    return page.section("How they did over time", "".join(out)) if out else ""


def _line(model: str, points: Sequence[Point], colour: int) -> svg.Series:
    times = [(point.start + point.end) // 2 for point in points]
    return svg.Series(model, times, [point.value for point in points], colour)


def _stretch(of_models: Iterable[Sequence[Point]]) -> str:
    points = [point for points in of_models for point in points]
    width = max(point.end - point.start for point in points) / 1e9
    return f"Each point stands for {span_text(width)}; where there is none, too little was known."


def _trends(report: Report) -> str:
    metrics = list(dict.fromkeys(trend.metric for trend in report.trends if trend.state != "unknown"))
    if not metrics:
        return ""
    by_model: dict[str, dict[str, str]] = {}
    for trend in report.trends:
        if trend.state == "unknown":
            continue
        moved = f"{in_words(trend.metric, trend.first)} → {in_words(trend.metric, trend.last)}"
        css = {"degrading": "warn", "improving": "good"}.get(trend.state, "note")
        hint = f"p = {trend.adjusted:.2g}, {trend.panes} stretches of time, tau {trend.tau:.2f}"
        shown = f'{trend.state}<br/><span class="note small">{escape(moved)}</span>'
        if trend.state == "stable":
            shown = trend.state
        by_model.setdefault(trend.model, {})[trend.metric] = f'<td class="{css}" title="{escape(hint)}">{shown}</td>'
    colours = _colours(report)
    rows = [
        f"<tr>{_name(model, colours.get(model, 0))}"
        + "".join(cells.get(metric, _EMPTY) for metric in metrics)
        + "</tr>"
        for model, cells in by_model.items()
    ]
    window = report.trends[0].window
    caption = (
        f'<p class="caption">Over {_lately(window)}: “improving” and “degrading” are said only where chance is ruled '
        "out (Mann-Kendall test, allowing for neighbouring days that resemble each other; of all trends that are "
        "called at most one in twenty is expected to be none). “Stable” means: none that shows.</p>"
    )
    headings = [_heading(metric) for metric in metrics]
    return page.section("Who is getting better or worse", caption + _table(["model", *headings], rows))


def _heading(metric: str) -> str:
    return next((heading for heading, name in (*_CALLS, *_ANSWERS) if name == metric), metric)


def _anomalies(report: Report) -> str:
    found = [one for one in report.anomalies if one.state not in ("usual", "unknown")]
    tested = sum(one.state != "unknown" for one in report.anomalies)
    if not tested:
        return ""
    rows = [
        f'<tr>{_name(one.model)}<td class="name">{escape(_heading(one.metric))}</td>'
        f'<td class="{"warn" if one.state == "worse" else "good"}">{one.state}</td>'
        f"<td>{escape(in_words(one.metric, one.value))}</td>"
        f"<td>{escape(in_words(one.metric, one.low))} to {escape(in_words(one.metric, one.high))}</td>"
        f"<td>{one.window}</td><td>{one.p_value:.1g}</td></tr>"
        for one in found
    ]
    words = (
        "The newest stretch of time of each metric beside those before it (2 hours in the last 24, half a day in the "
        "last 7 days, two days in the last 30): "
        f"{tested} were looked at, "
        + ("none is unusual." if not rows else f"{len(rows)} {'is' if len(rows) == 1 else 'are'} unusual.")
    )
    body = f'<p class="caption">{words}</p>'
    if rows:
        body += _table(["model", "metric", "", "now", "usual", "within", "p"], rows)
    return page.section("What is unusual now", body)


def _calibration(report: Report) -> str:
    rows = [row for row in report.windows.get("all", {}).values() if bins_of(row)]
    colours, panels = _colours(report), []
    for row in rows[:_CURVES]:
        chart = svg.calibration_chart(
            bins_of(row), title=f"calibration of {row.model}", colour=colours.get(row.model, 8)
        )
        error = f'<div class="note small">calibration error {said(row, "calibration_error")}</div>'
        panels.append(f'<div class="panel"><h3>{escape(row.model)}</h3>{error}{chart}</div>')
    if not panels:
        return ""
    caption = (
        "Across: the probability a model gave. Upwards: how often it came true. On the dashed diagonal, 70 % means 70 "
        "%. Points below it were promised too much, points above it too little. Larger dots stand for more answers."
    )
    figure = page.figure(f'<div class="panels">{"".join(panels)}</div>', caption)
    return page.section("Do the probabilities mean what they say", figure)


def _patterns(report: Report) -> str:
    if not report.patterns:
        return ""
    items = "".join(f"<li>{escape(str(one['words']))}</li>" for one in report.patterns)
    caption = (
        '<p class="caption">Kinds of tasks on which a model is better or worse than the other models that answered '
        "the same, beyond chance, and by more or less than it is overall. Of all that are found, at most one in twenty "
        "is expected to be none.</p>"
    )
    return page.section("Where models stand out", f'{caption}<ul class="todo">{items}</ul>')


def _money(report: Report) -> str:
    money = report.spending
    if money is None or not money.by_model.total.calls:
        return ""
    out, total = [], nearest(money.by_model.total.cost_usd)
    forecast = money.forecast
    spent_usd, expected = usd_text(nearest(forecast.spent_usd)), usd_text(nearest(forecast.expected_usd))
    words = f"{spent_usd} spent in {forecast.month}, {expected} expected at its end"
    if forecast.low_usd is not None and forecast.high_usd is not None:
        words += (
            f" ({usd_text(nearest(forecast.low_usd))} to {usd_text(nearest(forecast.high_usd))} with "
            f"{100 * forecast.confidence:.0f} % confidence)"
        )
    out.append(f'<p class="caption">{escape(words)}.</p>')
    for heading, spent in (("model", money.by_model), ("category", money.by_category)):
        if heading == "category" and len(spent) < 2:
            continue
        rows = [
            f"<tr>{_name(row.name or '(none)')}<td>{usd_text(nearest(row.cost_usd))}</td>"
            f"<td>{_percent(nearest(row.cost_usd), total)}</td><td>{row.calls:,}</td>"
            f"<td>{row.failed:,}</td><td>{_dollars(row.usd_per_call)}</td>"
            f"<td>{row.tokens_in:,}</td><td>{row.tokens_out:,}</td></tr>"
            for row in spent
        ]
        head = [heading, "cost", "share", "calls", "failed", "a call", "tokens in", "tokens out"]
        out.append(_table(head, rows, name=heading))
    if len(money.budgets):
        rows = [
            f"<tr>{_name(row.budget)}<td>{row.number}</td><td>{usd_text(nearest(row.limit_usd))}</td>"
            f"<td>{usd_text(nearest(row.spent_usd))}</td><td>{usd_text(nearest(row.left_usd))}</td>"
            f'<td class="{"warn" if row.alerts else ""}">'
            f"{_percent(row.spent_usd, row.limit_usd)}</td><td>{row.refused:,}</td></tr>"
            for row in money.budgets
        ]
        out.append(_table(["budget", "period", "limit", "spent", "left", "used", "refused"], rows, name="budget"))
    return page.section("What they cost", "".join(out))


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f} %" if whole else _NONE


def _dollars(usd: float) -> str:
    return _NONE if math.isnan(usd) else usd_text(nearest(usd))


def _resources(report: Report) -> str:
    rows = [
        f"<tr>{_name(use.name)}<td>{use.kind}</td><td>{use.api_calls:,}</td><td>{use.tokens_in:,}</td>"
        f"<td>{use.tokens_out:,}</td><td>{_dash(span_text(use.compute_s))}</td>"
        f"<td>{_megabytes(use.memory_mb)}</td><td>{_megabytes(use.memory_most_mb)}</td>"
        f"<td>{usd_text(nearest(use.cost_usd))}</td></tr>"
        for use in report.resources
    ]
    if not rows:
        return ""
    caption = (
        f'<p class="caption">Over {_lately(report.resources[0].window)}. Compute time of a model is how long its calls '
        "took in all; of a runner, what its runs told.</p>"
    )
    head = ["name", "kind", "API calls", "tokens in", "tokens out", "compute", "memory", "most", "cost"]
    return page.section("What they use", caption + _table(head, rows, name="name"))


def _megabytes(value: float) -> str:
    return _NONE if math.isnan(value) else f"{value:,.0f} MB"


def _rules(report: Report) -> str:
    raised = {alert.rule for alert in (*report.alerts, *report.broken)}
    states = [("warn", "broken") if rule.name in raised else ("note", "holds") for rule in report.rules]
    rows = [
        f'<tr><td class="why">{escape(str(rule))}</td><td class="{css}">{state}</td></tr>'
        for rule, (css, state) in zip(report.rules, states, strict=True)
    ]
    if not rows:
        return ""
    return page.section("The rules that are watched", _table(["rule", "now"], rows, why=("rule",)))


def _glossary(report: Report) -> str:
    items = "".join(f"<dt>{name}</dt><dd>{words}.</dd>" for name, words in _GLOSSARY)
    notes = "".join(f'<p class="caption">{escape(note)}</p>' for note in report.notes)
    return page.section("What the words mean", f'<dl class="glossary">{items}</dl>{notes}')
