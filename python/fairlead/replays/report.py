"""The replay as one self-contained HTML page: ``fairlead replay TABLE --report FILE.html``.

The page asks nothing of the network, runs no script and follows the reader's light or dark mode.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from html import escape
from pathlib import Path

from fairlead import page, svg
from fairlead.replays.result import ReplayResult, Score
from fairlead.svg import number

_CURVES = 6
_BAD_ROWS_SHOWN = 20
_SHIFTED = 0.25  # the usual reading of PSI: below 0.1 stable, above 0.25 shifted
_LEVEL = 0.0005  # relative differences smaller than this are called level


def write_report(result: ReplayResult, path: str | os.PathLike[str], *, title: str) -> None:
    """Write the page of ``render_report`` to ``path``, in UTF-8.

    Raises:
        OSError: The file cannot be written.
    """
    Path(path).write_text(render_report(result, title=title), encoding="utf-8", newline="\n")


def render_report(result: ReplayResult, *, title: str) -> str:
    """The page as HTML: headline, strategies, slices, ratings, calibration, leaderboard, skipped rows.

    Any text of the table (names, reasons) is escaped. Nothing in the page depends on when or where it
    was made, so the same result gives the same page. What cannot be drawn or told (no history, nothing
    scored) is left out.
    """
    parts = (_strategies, _slices, _over_time, _ratings, _calibration, _leaderboard, _bad_rows, _glossary)
    header = f'<p class="lead">{_headline(result)}</p>\n{_facts(result)}'
    return page.render("Fairlead replay", title, header, "".join(part(result) for part in parts))


def _table(head: Sequence[str], rows: Sequence[str]) -> str:
    left = {"strategy": "name", "model": "name", "slice": "name", "reason": "why"}
    cells = "".join(f'<th scope="col" class="{left.get(text, "")}">{text}</th>' for text in head)
    body = "".join(rows)
    return f'<div class="wide"><table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>'


def _loss(result: ReplayResult, score: Score) -> float:
    """The score the page leads with."""
    return score.mae if result.kind == "numeric" else score.brier


def _loss_name(result: ReplayResult) -> str:
    return "mean absolute error" if result.kind == "numeric" else "Brier score"


def _digits(result: ReplayResult) -> int:
    """Decimals of a score: four for probabilities, about four figures for numbers of any size."""
    losses = [_loss(result, score) for score in result.strategies.values()]
    sizes = [loss for loss in losses if math.isfinite(loss) and loss > 0.0]
    if result.kind != "numeric" or not sizes:
        return 4
    return min(max(3 - math.floor(math.log10(min(sizes))), 0), 9)


def _headline(result: ReplayResult) -> str:
    """What the default strategy achieved, in words and numbers, whichever way it went."""
    default, mean, best = (result.strategies.get(name) for name in (result.default, "mean", "best_single"))
    own = _loss(result, default) if default else math.nan
    if default is None or not math.isfinite(own):
        return (
            "No task was scored, so there is nothing to compare: "
            "no outcome became known in the part of the table that counts."
        )
    digits, losses, words = _digits(result), [], []
    rivals = [(mean, "the equal-weight mean")] if result.default != "mean" else []
    rivals.append((best, f"the best single model in hindsight, {escape(result.best_single)}"))
    for score, name in rivals:
        if score and math.isfinite(other := _loss(result, score)):
            losses.append(other)
            words.append(f"{_against(own, other)} {name} ({number(other, digits)})")
    text = (
        f"Combining {len(result.models):,} model{'' if len(result.models) == 1 else 's'}, the default "
        f"strategy <strong>{escape(result.default)}</strong> reached a {_loss_name(result)} of "
        f"<strong>{number(own, digits)}</strong> over {default.n:,} tasks (lower is better)"
        f"{': ' + ' and '.join(words) if words else ''}."
    )
    if len(result.models) == 1:
        return f"{text} With a single model there is nothing to combine."
    if best and best.n != default.n:
        text += f" That model was scored on {best.n:,} tasks, so the comparison is not like for like."
    worse = [own - other > _LEVEL * other for other in losses]
    if worse == [False, True]:
        text += " Only someone who knew that model beforehand would have done better."
    elif len(worse) == 2 and worse[0]:
        text += " Plain equal weights would have done better here."
    return text


def _against(own: float, other: float) -> str:
    """How a loss stands against another: "3.9% better than"."""
    if abs(own - other) <= _LEVEL * abs(other):
        return "<strong>level</strong> with"
    by = f"{number(100 * abs(own / other - 1), 1)}% " if other else ""
    return f"<strong>{by}{'better' if own < other else 'worse'}</strong> than"


def _facts(result: ReplayResult) -> str:
    facts = {
        "tasks scored": f"{result.tasks:,}",
        "never settled": f"{result.unsettled:,}",
        "forecasts": f"{result.forecasts:,}",
        "models": f"{len(result.models):,}",
        "rows skipped": f"{len(result.bad_rows):,}",
        "events a second": number(result.events_per_second, 0),
    }
    items = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts.items())
    return f'<dl class="facts">{items}</dl>'


def _columns(result: ReplayResult) -> dict[str, str]:
    """The score columns of this kind of answer: field and heading."""
    if result.kind == "numeric":
        return {"mae": "MAE", "rmse": "RMSE"}
    return {
        "brier": "Brier",
        "log_loss": "log loss",
        "accuracy": "accuracy",
        "calibration_error": "calibration error",
    }


def _best(result: ReplayResult, scores: Sequence[Score]) -> dict[str, float]:
    """The best finite value of each score column; NaN, which equals nothing, if there is no contest."""
    best = {}
    for field in _columns(result):
        values = [v for v in (getattr(score, field) for score in scores) if math.isfinite(v)]
        pick = max if field == "accuracy" else min
        best[field] = pick(values) if len(values) > 1 else math.nan
    return best


def _cells(result: ReplayResult, score: Score, best: dict[str, float]) -> str:
    digits, cells = _digits(result), []
    for field in _columns(result):
        value = getattr(score, field)
        text = _percent(value) if field == "accuracy" else number(value, digits)
        cells.append(f'<td class="{"best" if value == best[field] else ""}">{text}</td>')
    return "".join(cells)


def _percent(share: float, *, signed: bool = False) -> str:
    return number(100 * share, 1, signed=signed) + ("%" if math.isfinite(share) else "")


def _strategy_colours(result: ReplayResult) -> dict[str, int]:
    """The default has the first colour, the mean is grey, the others follow in order."""
    others = [name for name in result.strategies if name not in (result.default, "mean", "best_single")]
    colours = {name: 2 + i % (svg.COLOURS - 2) for i, name in enumerate(others)}
    return {"mean": 0, "best_single": svg.COLOURS, **colours, result.default: 1}


def _strategies(result: ReplayResult) -> str:
    found = ((name, _loss(result, score)) for name, score in result.strategies.items())
    losses = dict(sorted(found, key=lambda pair: (math.isnan(pair[1]), pair[1])))
    colours, digits, word = _strategy_colours(result), _digits(result), _loss_name(result)
    base = losses.get("mean", math.nan) or math.nan
    dots = [
        svg.Dot(name, loss, number(loss, digits), colours[name], name == "best_single") for name, loss in losses.items()
    ]
    chart = svg.dot_chart(
        dots, title=f"{word} of each strategy", axis=f"{word} (\u2190 lower is better)", reference=base
    )
    best = _best(result, [score for name, score in result.strategies.items() if name != "best_single"])
    rows = []
    for name, loss in losses.items():
        score, chosen = result.strategies[name], "chosen" if name == result.default else ""
        note = {"best_single": result.best_single, result.default: "default"}.get(name, "")
        rows.append(
            f'<tr class="{chosen}"><th scope="row" class="name">{escape(name)} '
            f'<span class="note">{escape(note)}</span></th>{_cells(result, score, best)}'
            f"<td>{_percent(loss / base - 1, signed=True)}</td><td>{score.n:,}</td></tr>"
        )
    caption = (
        "Each dot is one way of turning the models\u2019 answers into one; further left is better. The "
        "dashed line is the equal-weight mean, the least to expect of anything cleverer. The hollow dot is "
        f"the model that turned out best, {escape(result.best_single)}: a yardstick, not a choice anyone "
        "could have made beforehand. The scale does not start at zero. In the table the best strategy of "
        "each column is bold."
    )
    head = ["strategy", *_columns(result).values(), "loss against mean", "tasks"]
    figure = page.figure(chart, caption) if chart else ""
    return page.section("Which way of combining did best", figure + _table(head, rows)) if rows else ""


def _slices(result: ReplayResult) -> str:
    names, digits = [name for name in result.strategies if name != "best_single"], _digits(result)
    largest = result.largest_slices()
    rows = []
    for slice_name, scores in largest:
        losses = [_loss(result, scores[name]) for name in names]
        best = min((loss for loss in losses if math.isfinite(loss)), default=math.nan)
        cells = "".join(f'<td class="{"best" if loss == best else ""}">{number(loss, digits)}</td>' for loss in losses)
        rows.append(
            f'<tr><th scope="row" class="name">{escape(slice_name)}</th>{cells}<td>{scores["mean"].n:,}</td></tr>'
        )
    cut = len(result.slices) > len(largest)
    kept = f" The {len(largest)} largest of {len(result.slices)} are shown." if cut else ""
    note = f'<p class="caption">{_loss_name(result)} of each strategy in each slice; lower is better.{kept}</p>'
    return page.section("Slice by slice", note + _table(["slice", *names, "tasks"], rows)) if rows else ""


def _period(result: ReplayResult) -> str:
    first, last = int(result.history_time[0]), int(result.history_time[-1])
    return f"{svg.moment_text(first, last - first)} to {svg.moment_text(last, last - first)}, UTC."


def _over_time(result: ReplayResult) -> str:
    times, colours = result.history_time.tolist(), _strategy_colours(result)
    names = sorted(result.history_excess.keys() - {"mean"}, key=lambda name: (name != result.default, name))
    lines = [
        svg.Series(name, times, result.history_excess[name].tolist(), colours.get(name, 0), name == result.default)
        for name in names
    ]
    chart = svg.line_chart(
        lines,
        title="mean loss of each strategy so far, less that of the equal-weight mean",
        axis="loss so far, less that of the mean (\u2193 lower is better)",
        digits=_digits(result),
        signed=True,
        baseline=(0.0, "equal-weight mean"),
        settle_in=0.1,
    )
    caption = (
        "The mean loss of each strategy over all tasks settled so far, less that of the equal-weight mean. "
        "Below the dashed line a strategy is ahead of the mean; a line that keeps falling is still gaining. "
        "Few tasks stand behind the first tenth, so it may run off the scale. "
    )
    return page.section("How the advantage built up", page.figure(chart, caption + _period(result))) if chart else ""


def _model_colour(rank: int) -> int:
    return rank + 1 if rank < svg.COLOURS else 0


def _ratings(result: ReplayResult) -> str:
    times, ratings = result.history_time.tolist(), result.history_elo.T.tolist()
    lines = [
        svg.Series(entry.model, times, rating, _model_colour(rank))
        for rank, (entry, rating) in enumerate(zip(result.models, ratings, strict=bool(times)))
    ]
    chart = svg.line_chart(lines, title="rating of each model over time", axis="Elo rating (\u2191 higher is better)")
    rest = len(result.models) - svg.COLOURS
    others = f"The {svg.COLOURS} best at the end are named, the other {rest} grey. " if rest > 0 else ""
    caption = (
        "On every task each model meets every other, and whichever came closer to the outcome takes points "
        f"from the other; all start level. Higher is better. {others}"
    )
    return page.section("How the ratings moved", page.figure(chart, caption + _period(result))) if chart else ""


def _calibration(result: ReplayResult) -> str:
    default = result.strategies.get(result.default)
    shown = [(result.default, default, 1)] if default else []
    shown += [(entry.model, entry.score, 8) for entry in result.models]
    curves = [(name, score, colour) for name, score, colour in shown if score.curve][:_CURVES]
    if result.kind == "numeric" or not curves:
        return ""
    panels = []
    for name, score, colour in curves:
        chart = svg.calibration_chart(score.curve, title=f"calibration of {name}", colour=colour)
        kind = ' <span class="note">default strategy</span>' if colour == 1 else ""
        error = f'<div class="note small">calibration error {number(score.calibration_error, 3)}</div>'
        panels.append(f'<div class="panel"><h3>{escape(name)}{kind}</h3>{error}{chart}</div>')
    what = "the outcome was 1" if result.kind == "binary" else "the label thought most likely was right"
    caption = (
        f"Across: the probability given. Upwards: how often {what}. On the dashed diagonal, 70% means 70%. "
        "Points below it were promised too much, points above it too little. Larger dots stand for more "
        "forecasts. Shown are the default strategy and the models rated best."
    )
    return page.section(
        "Do the probabilities mean what they say",
        page.figure(f'<div class="panels">{"".join(panels)}</div>', caption),
    )


def _leaderboard(result: ReplayResult) -> str:
    best, rows = _best(result, [entry.score for entry in result.models]), []
    for rank, entry in enumerate(result.models):
        name, drift = escape(entry.model), number(entry.drift, 2)
        shifted = "warn" if entry.drift > _SHIFTED else ""
        rows.append(
            f'<tr><td>{rank + 1}</td><th scope="row" class="name" title="{name}">'
            f'<span class="chip k{_model_colour(rank)}"></span>{name}</th><td>{number(entry.elo, 0)}</td>'
            f"{_cells(result, entry.score, best)}<td>{entry.score.n:,}</td><td>{entry.failed:,}</td>"
            f'<td>${number(entry.cost_usd, 2)}</td><td class="{shifted}">{drift}</td></tr>'
        )
    note = (
        '<p class="caption">Best rating first; the best value of each score is bold. Scores are over the '
        "tasks a model answered, so models that answered different tasks compare better by rating.</p>"
    )
    head = ["", "model", "rating", *_columns(result).values(), "tasks", "failed", "cost", "drift"]
    return page.section("Leaderboard", note + _table(head, rows))


def _bad_rows(result: ReplayResult) -> str:
    count, shown = len(result.bad_rows), result.bad_rows[:_BAD_ROWS_SHOWN]
    rows = [f'<tr><td>{row.line}</td><td class="why">{escape(row.reason)}</td></tr>' for row in shown]
    total = "One row was" if count == 1 else f"{count:,} rows were"
    first = f" The first {len(shown)} are listed." if count > len(shown) else ""
    note = f'<p class="caption">{total} not usable and left out of everything above.{first}</p>'
    return page.section("Rows skipped", note + _table(["line", "reason"], rows)) if count else ""


def _glossary(result: ReplayResult) -> str:
    meanings = {
        "rating": "Elo. The gap between two models says how often one comes closer.",
        "Brier": "Squared distance between the probabilities and what happened. 0 is perfect.",
        "log loss": "Minus the logarithm of the probability given to what happened. 0 is perfect.",
        "accuracy": "How often the answer thought most likely was right. Higher is better.",
        "calibration error": "Mean gap between probabilities and frequencies, over ten bins. 0 is perfect.",
        "MAE": "Mean absolute error, in the unit of the answer. Lower is better.",
        "RMSE": "Root mean squared error: like MAE, but large misses weigh more.",
        "drift": f"PSI of the confidence, last window against first. Above {_SHIFTED} it has shifted.",
    }
    words = ["rating", *_columns(result).values(), "drift"]
    note = (
        '<p class="caption">The table was streamed in time order as if live: every decision used only '
        "outcomes already known by then.</p>"
    )
    items = "".join(f"<dt>{word}</dt><dd>{meanings[word]}</dd>" for word in words)
    return page.section("How to read the numbers", f'{note}<dl class="glossary">{items}</dl>')
