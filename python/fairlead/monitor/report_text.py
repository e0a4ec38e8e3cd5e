"""The report of a fleet for a terminal."""

from __future__ import annotations

import math

from fairlead.measure.budget import table
from fairlead.measure.calendar import time_text
from fairlead.measure.money import nearest, usd_text
from fairlead.monitor.health import FORMULAS
from fairlead.monitor.metrics import METRICS, Measured, in_words, reading
from fairlead.monitor.report import Report, value_of

COLUMNS = (
    ("calls", "calls"),
    ("success", "success_rate"),
    ("p50", "latency_p50_ms"),
    ("p95", "latency_p95_ms"),
    ("settled", "settled"),
    ("accuracy", "accuracy"),
    ("Brier", "brier"),
    ("skill", "skill"),
    ("cal. error", "calibration_error"),
    ("cost", "cost_usd"),
    ("a task", "cost_per_task_usd"),
)


def report_text(report: Report) -> str:
    """All of it, a part under each heading; parts of which nothing is known are left out."""
    parts = [f"{report.title}, {time_text(report.time)}", headline(report)]
    for heading, body in (
        ("Alerts", "\n".join(f"{alert} (since {time_text(alert.since)})" for alert in report.alerts)),
        ("Broken, but not raised: nobody has checked since", "\n".join(str(alert) for alert in report.broken)),
        ("What else to do" if report.alerts or report.broken else "What to do", _to_do(report)),
        ("Health", _health(report)),
        *_windows(report),
        ("Trends", _trends(report)),
        ("Unusual now", "\n".join(str(one) for one in report.anomalies if one.state not in ("usual", "unknown"))),
        ("Where models stand out", _patterns(report)),
        ("Money", _money(report)),
        ("Resources", _resources(report)),
        ("Rules", "\n".join(str(rule) for rule in report.rules)),
        ("Notes", "\n".join(report.notes)),
    ):
        if body:
            parts.append(f"{heading}\n{'-' * len(heading)}\n{body}")
    return "\n\n".join(parts)


def _patterns(report: Report) -> str:
    if not report.patterns:
        return ""
    lines = "\n".join(f"- {one['words']}" for one in report.patterns)
    return f"Beside the other models that answered the same tasks:\n{lines}"


def headline(report: Report) -> str:
    """What matters most, in a sentence or two."""
    n, day = len(report.models), report.together.get("24h")
    score = report.health.fleet.score
    if not n:
        return "There are no models in the fleet."
    text = f"{n} model{'' if n == 1 else 's'}"
    text += f", health {score:.2f} of 1" if not math.isnan(score) else ", of whose health too little is known"
    if day is not None and day.calls:
        text += f": {day.calls:,} call{'' if day.calls == 1 else 's'} in the last 24 hours, "
        text += f"{in_words('success_rate', reading(day, 'success_rate')[0])} of them with an answer"
        if day.settled:
            text += f", {in_words('accuracy', reading(day, 'accuracy')[0])} of {day.settled:,} settled answers right"
    worst = [alert for alert in report.alerts if alert.severity == "critical"]
    raised = len(report.alerts)
    text += f". {raised or 'No'} alert{'' if raised == 1 else 's'} {'is' if raised == 1 else 'are'} raised"
    text += f", {len(worst)} of them critical." if worst else "."
    more = len(report.broken)
    return text + (f" {more} more rule{'' if more == 1 else 's'} would raise one." if more else "")


def said(row: Measured, metric: str) -> str:
    """A cell."""
    if metric in METRICS:
        return in_words(metric, float(value_of(row, metric)))
    return f"{value_of(row, metric):,}"


def _to_do(report: Report) -> str:
    told = {alert.recommendation for alert in (*report.alerts, *report.broken)}
    return "\n".join(f"- {one}" for one in report.recommendations if one not in told)


def _health(report: Report) -> str:
    scores = [score for score in report.health if not math.isnan(score.score)]
    if not scores:
        return ""
    cells: list[tuple[str, ...]] = [("model", "health", *FORMULAS)]
    for score in (*scores, report.health.fleet):
        parts = {part.name: part for part in score.parts} if score.model else {}
        cells.append(
            (
                score.model or "(fleet)",
                f"{score.score:.2f}",
                *(f"{parts[name].score:.2f}" if name in parts else "-" for name in FORMULAS),
            )
        )
    first = next(score for score in scores)
    return f"{table(cells, left=(0,))}\n{first.model}: {first.formula}"


def _windows(report: Report) -> list[tuple[str, str]]:
    """Headings and tables; windows that hold the same have one."""
    found: list[tuple[str, str]] = []
    for window in report.windows:
        body, name = _window(report, window), "all time" if window == "all" else f"last {window}"
        if body and found and found[-1][1] == body:
            found[-1] = f"{found[-1][0]}, {name.removeprefix('last ')}", body
        else:
            found.append((name[0].upper() + name[1:], body))
    return found


def _window(report: Report, window: str) -> str:
    rows = [row for row in report.windows[window].values() if row.calls or row.settled]
    if not rows:
        return ""
    cells: list[tuple[str, ...]] = [("model", *(heading for heading, _ in COLUMNS))]
    cells += [(row.model, *(said(row, metric) for _, metric in COLUMNS)) for row in rows]
    if len(rows) > 1 and window in report.together:
        cells.append(("(all)", *(said(report.together[window], metric) for _, metric in COLUMNS)))
    return table(cells, left=(0,))


def _trends(report: Report) -> str:
    moving = [str(trend) for trend in report.trends if trend.state not in ("stable", "unknown")]
    stable = sum(trend.state == "stable" for trend in report.trends)
    if stable:
        moving.append(f"{stable} metric{'' if stable == 1 else 's'} stable")
    return "\n".join(moving)


def _money(report: Report) -> str:
    money = report.spending
    if money is None or not money.by_model.total.calls:
        return ""
    parts = [str(money.by_model), str(money.forecast)]
    if len(money.budgets):
        parts.append(str(money.budgets))
    return "\n\n".join(parts)


def _resources(report: Report) -> str:
    if not report.resources:
        return ""
    head = f"last {report.resources[0].window}"
    cells: list[tuple[str, ...]] = [(head, "API calls", "tokens in", "tokens out", "compute", "memory", "cost")]
    cells += [
        (
            use.name if use.kind == "model" else f"{use.name} (runs)",
            f"{use.api_calls:,}",
            f"{use.tokens_in:,}",
            f"{use.tokens_out:,}",
            span_text(use.compute_s),
            "-" if math.isnan(use.memory_mb) else f"{use.memory_mb:,.0f} MB",
            usd_text(nearest(use.cost_usd)),
        )
        for use in report.resources
    ]
    return table(cells, left=(0,))


def span_text(seconds: float) -> str:
    """A stretch of time for people.

    >>> span_text(42.0), span_text(5400.0), span_text(float("nan"))
    ('42 s', '1.5 h', '-')
    """
    if math.isnan(seconds):
        return "-"
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size or (unit == "h" and seconds >= size):
            return f"{seconds / size:,.3g} {unit}"
    return f"{seconds:.3g} s"
