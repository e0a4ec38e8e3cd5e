"""The replay as one self-contained HTML page: ``fairlead replay TABLE --report FILE.html``.

The page asks nothing of the network, runs no script and follows the reader's light or dark mode. What it says stands in
parts: here what was replayed, the verdict and the strategies; `report_models` on single models; `report_audits` on what
was decided task by task, and what it cost.
"""

from __future__ import annotations

import math
import os
from html import escape
from pathlib import Path

from fairlead import page, svg
from fairlead.replays import report_audits, report_models
from fairlead.replays import report_cells as cell
from fairlead.replays.result import BEST_SINGLE, FEWEST_ROUNDS, ReplayResult
from fairlead.replays.words import WHAT_IT_DOES
from fairlead.svg import number

_BAD_ROWS_SHOWN = 20
_FAR = 6.0  # times what the mean loses more than the best, from which on a strategy is off the scale
_LEVEL = 0.0005  # relative differences smaller than this are called level


def write_report(result: ReplayResult, path: str | os.PathLike[str], *, title: str) -> None:
    """Write the page of ``render_report`` to ``path``, in UTF-8.

    Raises:
        OSError: The file cannot be written.
    """
    Path(path).write_text(render_report(result, title=title), encoding="utf-8", newline="\n")


def render_report(result: ReplayResult, *, title: str) -> str:
    """The page as HTML: verdict, strategies, models, calibration, costs, contribution, agreement, slices, skipped rows.

    Any text of the table (names, reasons) is escaped. Nothing in the page depends on when or where it
    was made, so the same result gives the same page. What cannot be drawn or told (no history, nothing
    scored) is left out.
    """
    parts = (
        _strategies,
        _over_time,
        report_models.leaderboard,
        report_models.ratings,
        report_models.calibration,
        report_audits.cascade,
        report_audits.contribution,
        report_audits.agreement,
        _slices,
        _bad_rows,
        _glossary,
    )
    header = f'{cell.note(_replayed(result))}<p class="lead">{_headline(result)}</p>\n{_facts(result)}'
    return page.render("Fairlead replay", title, header, "".join(part(result) for part in parts))


_KINDS = {
    "binary": "yes-or-no questions, answered with a probability",
    "categorical": "questions with several possible answers, each given a probability",
    "numeric": "questions whose answer is a number",
}


def _replayed(result: ReplayResult) -> str:
    """What was replayed, in two sentences."""
    models, when = len(result.models), f" ({cell.period(result)})" if len(result.history_time) else ""
    labels = f" ({', '.join(escape(label) for label in result.labels)})" if 2 < len(result.labels) <= 8 else ""
    return (
        f"{result.tasks:,} {_KINDS[result.kind]}{labels}, by {models:,} model{'' if models == 1 else 's'}{when}. "
        "Everything was streamed in the order of time, as if live: every decision used only outcomes already known by "
        "then."
    )


def _headline(result: ReplayResult) -> str:
    """What the default strategy achieved, in words and numbers, whichever way it went."""
    default, mean, best = (result.strategies.get(name) for name in (result.default, "mean", BEST_SINGLE))
    own = cell.loss(result, default) if default else math.nan
    if default is None or not math.isfinite(own):
        return (
            "No task was scored, so there is nothing to compare: "
            "no outcome became known in the part of the table that counts."
        )
    digits, losses, words = cell.digits(result), [], []
    rivals = [("mean", mean, "the equal-weight mean")] if result.default != "mean" else []
    rivals.append((BEST_SINGLE, best, f"the best single model in hindsight, {escape(result.best_single)}"))
    for key, score, name in rivals:
        if score and math.isfinite(other := cell.loss(result, score)):
            losses.append(other)
            words.append(f"{_against(own, other)} {name} ({number(other, digits)}{_noise(result, key)})")
    text = (
        f"Combining {len(result.models):,} model{'' if len(result.models) == 1 else 's'}, the default "
        f"strategy <strong>{escape(result.default)}</strong> reached a {cell.loss_name(result)} of "
        f"<strong>{number(own, digits)}</strong> over {default.n:,} tasks (lower is better)"
        f"{': ' + ' and '.join(words) if words else ''}."
    )
    if len(result.models) == 1:
        return f"{text} With a single model there is nothing to combine."
    if best and best.n != default.n:
        text += f" That model was scored on {best.n:,} tasks, so the comparison is not like for like"
        against = result.against.get(BEST_SINGLE)
        if against is not None and math.isfinite(against.difference):
            more = f"{'less' if against.difference > 0 else 'more'} than it did"
            text += f": on those, {escape(result.default)} lost {number(abs(against.difference), digits)} {more}"
        text += "."
    worse = [own - other > _LEVEL * other for other in losses]
    if worse == [False, True]:
        text += " Only someone who knew that model beforehand would have done better."
    elif len(worse) == 2 and worse[0]:
        text += " Plain equal weights would have done better here."
    return text


def _noise(result: ReplayResult, name: str) -> str:
    """Whether chance may explain a difference from the default."""
    against = result.against.get(name)
    if against is None or against.rounds < FEWEST_ROUNDS or math.isnan(against.standard_error):
        return ""
    return ", beyond noise" if against.verdict else ", within noise"


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


def _strategy_colours(result: ReplayResult) -> dict[str, int]:
    """The default, the mean, hedge and the best single model stand out; the others are grey."""
    return {"mean": 2, "hedge": 3, BEST_SINGLE: svg.COLOURS, result.default: 1}


def _strategies(result: ReplayResult) -> str:
    ranked = result.ranked
    if not ranked:
        return ""
    colours, digits, word = _strategy_colours(result), cell.digits(result), cell.loss_name(result)
    default = result.strategies.get(result.default)
    reference = cell.loss(result, default) if default else math.nan
    dots = []
    for name, score in ranked:
        loss, error = cell.loss(result, score), math.nan
        like_for_like = default is not None and score.n == default.n
        if name != result.default and name in result.against and like_for_like:
            error = 2 * result.against[name].standard_error
        dots.append(
            svg.Dot(
                name, loss, number(loss, digits), colours.get(name, 0), name == BEST_SINGLE, loss - error, loss + error
            )
        )
    # One that is far off shall not press the others together.
    near = [
        cell.loss(result, result.strategies[name]) for name in (result.default, "mean") if name in result.strategies
    ]
    best = min((dot.value for dot in dots if math.isfinite(dot.value)), default=math.nan)
    chart = svg.dot_chart(
        dots,
        title=f"{word} of each strategy",
        axis=f"{word} (\u2190 lower is better)",
        reference=reference,
        most=best + _FAR * (max(near, default=math.nan) - best),
    )
    compared = any(dot.barred for dot in dots)
    caption = (
        "Each dot is one way of turning the models\u2019 answers into one; further left is better. The dashed line is "
        f"the default strategy, {escape(result.default)}. "
    )
    if compared:
        caption += (
            "A bar reaches two standard errors of the difference from it to either side: where it touches the line, "
            "chance may explain the difference. Outcomes that became known together count as one piece of evidence. "
        )
    caption += (
        f"The hollow dot is the model that turned out best, {escape(result.best_single)}: a yardstick, not a choice "
        "anyone could have made beforehand. The scale does not start at zero."
    )
    figure = page.figure(chart, caption) if chart else ""
    return page.section("Which way of combining did best", figure + _strategy_table(result))


def _strategy_table(result: ReplayResult) -> str:
    top = cell.best(result, [score for name, score in result.strategies.items() if name != BEST_SINGLE])
    rows = []
    for name, score in result.ranked:
        chosen = "chosen" if name == result.default else ""
        mark = {BEST_SINGLE: result.best_single, result.default: "default"}.get(name, "")
        does = WHAT_IT_DOES.get(name, "")
        rows.append(
            f'<tr class="{chosen}"><th scope="row" class="name does">{escape(name)} '
            f'<span class="note">{escape(mark)}</span><br/><span class="note small">{escape(does)}</span></th>'
            f"{cell.cells(result, score, top)}{_beside(result, name)}<td>{score.n:,}</td></tr>"
        )
    head = ["strategy", *cell.columns(result).values(), f"beside {result.default}", "", "tasks"]
    note = cell.note(
        f"Best first; the best strategy of each column is bold. \u201cBeside {escape(result.default)}\u201d is how "
        "much more was lost than by the default on the same tasks, \u00b1 two standard errors; plus is worse."
    )
    return note + cell.table(head, rows)


def _beside(result: ReplayResult, name: str) -> str:
    against = result.against.get(name)
    if name == result.default or against is None:
        return "<td></td><td></td>"
    return cell.beside(result, against)


def _slices(result: ReplayResult) -> str:
    names, digits = [name for name, _ in result.ranked if name != BEST_SINGLE], cell.digits(result)
    largest = result.largest_slices()
    rows = []
    for slice_name, scores in largest:
        losses = [cell.loss(result, scores[name]) for name in names]
        best = min((loss for loss in losses if math.isfinite(loss)), default=math.nan)
        cells = "".join(f'<td class="{"best" if loss == best else ""}">{number(loss, digits)}</td>' for loss in losses)
        rows.append(
            f'<tr><th scope="row" class="name">{escape(slice_name)}</th>{cells}<td>{scores["mean"].n:,}</td></tr>'
        )
    cut = len(result.slices) > len(largest)
    kept = f" The {len(largest)} largest of {len(result.slices)} are shown." if cut else ""
    note = cell.note(
        f"{cell.loss_name(result).capitalize()} of each strategy in each slice, the best of each bold; lower is "
        f"better.{kept}"
    )
    return page.section("Slice by slice", note + cell.table(["slice", *names, "tasks"], rows)) if rows else ""


def _over_time(result: ReplayResult) -> str:
    colours = _strategy_colours(result)
    excess = {name: values.tolist() for name, values in result.history_excess.items() if name != "mean"}
    if len(result.history_best):
        excess[BEST_SINGLE] = [float(value) for value in result.history_best]
    # From the last row at which nothing had been scored; of a warm-up there is nothing to show.
    rows = range(len(result.history_time))
    first = next((i for i in rows if any(values[i] and math.isfinite(values[i]) for values in excess.values())), 0)
    first = max(first - 1, 0)
    times, excess = result.history_time.tolist()[first:], {name: values[first:] for name, values in excess.items()}
    front = (result.default, "hedge", BEST_SINGLE)
    order = sorted(excess, key=lambda name: (front.index(name) if name in front else len(front), name))
    lines = [
        svg.Series(
            f"best: {result.best_single}" if name == BEST_SINGLE else name,
            times,
            excess[name],
            colours.get(name, 0),
            name == result.default,
        )
        for name in order
    ]
    chart = svg.line_chart(
        lines,
        title="mean loss of each strategy so far, less that of the equal-weight mean",
        axis="loss so far, less that of the mean (\u2193 lower is better)",
        digits=cell.digits(result),
        signed=True,
        baseline=(0.0, "equal-weight mean"),
        settle_in=0.1,
        greys=0.6,
    )
    others = sorted(name for name in excess if name not in colours)
    grey = f"Grey are {', '.join(escape(name) for name in others)}; resting on a line tells which. " if others else ""
    caption = (
        "The mean loss of each strategy over all tasks settled so far, less that of the equal-weight mean. "
        "Below the dashed line a strategy is ahead of the mean; a line that keeps falling is still gaining. "
        f"Few tasks stand behind the first tenth, so it may run off the scale. {grey}"
    )
    if not chart:
        return ""
    return page.section("How the advantage built up", page.figure(chart, f"{caption}{cell.period(result)}."))


def _bad_rows(result: ReplayResult) -> str:
    count, shown = len(result.bad_rows), result.bad_rows[:_BAD_ROWS_SHOWN]
    rows = [f'<tr><td>{row.line}</td><td class="why">{escape(row.reason)}</td></tr>' for row in shown]
    total = "One row was" if count == 1 else f"{count:,} rows were"
    first = f" The first {len(shown)} are listed." if count > len(shown) else ""
    note = cell.note(f"{total} not usable and left out of everything above.{first}")
    return page.section("Rows skipped", note + cell.table(["line", "reason"], rows)) if count else ""


def _glossary(result: ReplayResult) -> str:
    meanings = {
        "rating": "Elo. The gap between two models says how often one comes closer.",
        "Brier": "Squared distance between the probabilities and what happened. 0 is perfect.",
        "log loss": "Minus the logarithm of the probability given to what happened. 0 is perfect.",
        "accuracy": "How often the answer thought most likely was right. Higher is better.",
        "calibration error": "Mean gap between probabilities and frequencies, over ten bins. 0 is perfect.",
        "MAE": "Mean absolute error, in the unit of the answer. Lower is better.",
        "RMSE": "Root mean squared error: like MAE, but large misses weigh more.",
        "within noise": "The difference is smaller than two standard errors: another such record might turn it.",
        "drift": report_models.drift_meaning(),
    }
    words = ["rating", *cell.columns(result).values(), "within noise", "drift"]
    items = "".join(f"<dt>{word}</dt><dd>{meanings[word]}</dd>" for word in words)
    return page.section("How to read the numbers", f'<dl class="glossary">{items}</dl>')
