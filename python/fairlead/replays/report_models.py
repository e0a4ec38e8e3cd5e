"""The parts of a replay's page that are about single models: leaderboard, ratings, calibration."""

from __future__ import annotations

import math
from html import escape

from fairlead import page, svg
from fairlead.replays import report_cells as cell
from fairlead.replays.result import ModelResult, ReplayResult, Score
from fairlead.svg import number

_PANELS = 6
_SHIFTED = 0.25  # the usual reading of PSI: below 0.1 stable, above 0.25 shifted


def leaderboard(result: ReplayResult) -> str:
    """Every model, best rating first."""
    best, rows = cell.best(result, [entry.score for entry in result.models]), []
    failed = any(entry.failed for entry in result.models)
    paid = any(entry.cost_usd for entry in result.models)
    compared = any(math.isfinite(entry.against.difference) for entry in result.models)
    for rank, entry in enumerate(result.models):
        name, drift = escape(entry.model), number(entry.drift, 2)
        shifted = "warn" if entry.drift > _SHIFTED else ""
        rows.append(
            f'<tr><td>{rank + 1}</td><th scope="row" class="name" title="{name}">'
            f'<span class="chip k{cell.model_colour(rank)}"></span>{name}</th><td>{number(entry.elo, 0)}</td>'
            f"{cell.cells(result, entry.score, best)}"
            f"{cell.apart(result, entry.against) if compared else ''}<td>{entry.score.n:,}</td>"
            f"{f'<td>{entry.failed:,}</td>' if failed else ''}"
            f"{f'<td>${number(entry.cost_usd, 2)}</td>' if paid else ''}"
            f'<td class="{shifted}">{drift}</td></tr>'
        )
    default = escape(result.default)
    beside = (
        f" \u201cBeside {default}\u201d is how much more the model lost than the default strategy on the same tasks; "
        "plus is worse. Orange: worse beyond noise; bold: better beyond noise; grey: noise may explain it."
    )
    note = cell.note(
        "Best rating first; the best value of each score is bold. Scores are over the tasks a model answered, so "
        f"models that answered different tasks compare better by rating.{beside if compared else ''}"
    )
    head = ["", "model", "rating", *cell.columns(result).values()]
    head += [f"beside {result.default}"] if compared else []
    head += ["tasks", *(["failed"] if failed else []), *(["cost"] if paid else []), "drift"]
    return page.section("The models, one by one", note + cell.table(head, rows))


def ratings(result: ReplayResult) -> str:
    """How the ratings moved."""
    times, moved = result.history_time.tolist(), result.history_elo.T.tolist()
    lines = [
        svg.Series(entry.model, times, rating, cell.model_colour(rank))
        for rank, (entry, rating) in enumerate(zip(result.models, moved, strict=bool(times)))
    ]
    chart = svg.line_chart(lines, title="rating of each model over time", axis="Elo rating (\u2191 higher is better)")
    rest = len(result.models) - svg.COLOURS
    others = f"The {svg.COLOURS} best at the end are named, the other {rest} grey. " if rest > 0 else ""
    caption = (
        "On every task each model meets every other, and whichever came closer to the outcome takes points "
        f"from the other; all start level. Higher is better. {others}"
    )
    if not chart:
        return ""
    return page.section("How the ratings moved", page.figure(chart, f"{caption}{cell.period(result)}."))


def calibration(result: ReplayResult) -> str:
    """Whether 70% means 70%: of the default strategy, the mean, the best single model, and others as they came and
    adjusted."""
    if result.kind == "numeric":
        return ""
    panels = []
    for name, kind in ((result.default, "default strategy"), ("mean", "equal weights")):
        score = result.strategies.get(name)
        if score is not None and score.curve and not (name == "mean" and result.default == "mean"):
            panels.append(_panel(name, kind, score, None, 1 if name == result.default else 2))
    first = [entry for entry in result.models if entry.model == result.best_single]
    for entry in [*first, *(entry for entry in result.models if entry not in first)]:
        if entry.score.curve and len(panels) < _PANELS:
            kind = "best single model" if entry.model == result.best_single else "model"
            panels.append(_panel(entry.model, kind, entry.score, entry.adjusted, 8))
    if not panels:
        return ""
    what = "the outcome was 1" if result.kind == "binary" else "the label thought most likely was right"
    adjusted = any(entry.adjusted is not None and entry.adjusted.n for entry in result.models)
    after = (
        " Of a model, grey is what it said, and the strong line what would have been made of it by the adjustment that "
        "was learned from its outcomes so far."
    )
    caption = (
        f"Across: the probability given. Upwards: how often {what}. On the dashed diagonal, 70% means 70%. "
        "Points below it were promised too much, points above it too little. Larger dots stand for more "
        f"forecasts.{after if adjusted else ''} Shown are the default strategy, plain equal weights, the best single "
        f"model{'' if len(result.models) < 2 else ' and the models rated best'}. The calibration error is the mean "
        "distance from the diagonal, over ten bins; with few tasks chance alone makes some."
    )
    body = _adjusting(result) + page.figure(f'<div class="panels">{"".join(panels)}</div>', caption)
    return page.section("Do the probabilities mean what they say", body)


def _panel(name: str, kind: str, score: Score, adjusted: Score | None, colour: int) -> str:
    moved = adjusted is not None and adjusted.n > 0 and adjusted.curve != score.curve
    after = f" \u2192 {number(adjusted.calibration_error, 3)} adjusted" if moved and adjusted else ""
    told = f'<div class="note small">{score.n:,} tasks, error {number(score.calibration_error, 3)}{after}</div>'
    title = f"calibration of {name}"
    if moved and adjusted:
        chart = svg.calibration_chart(adjusted.curve, title=title, colour=colour, before=score.curve)
    else:
        chart = svg.calibration_chart(score.curve, title=title, colour=colour)
    shown = f'{escape(svg.shorten(name, 26))} <span class="note">{kind}</span>'
    return f'<div class="panel"><h3 title="{escape(name)}">{shown}</h3>{told}{chart}</div>'


def _adjusting(result: ReplayResult) -> str:
    """What adjusting their probabilities would have done to the models, in a sentence."""
    pairs = [(entry, entry.adjusted) for entry in result.models if entry.adjusted is not None and entry.adjusted.n > 0]
    if not pairs:
        return ""
    tasks = sum(entry.score.n for entry, _ in pairs)

    def mean(field: str, scores: list[Score]) -> float:
        return sum(float(score.n * getattr(score, field)) for score in scores) / tasks

    before, after = [entry.score for entry, _ in pairs], [score for _, score in pairs]
    if all(b.curve == a.curve for b, a in zip(before, after, strict=True)):
        return cell.note(
            "The models' probabilities were left as they are: no adjustment of them had proven its worth by the time a "
            "task was decided."
        )
    lower = sum(_lower(entry) for entry, _ in pairs)
    return cell.note(
        "Adjusting each model's probabilities by its own past outcomes, wherever that had helped before, would have "
        f"taken their mean calibration error from {number(mean('calibration_error', before), 4)} to "
        f"<strong>{number(mean('calibration_error', after), 4)}</strong> and their mean Brier score from "
        f"{number(mean('brier', before), 4)} to <strong>{number(mean('brier', after), 4)}</strong>; the calibration "
        f"error fell for {lower:,} of {len(pairs):,} model{'' if len(pairs) == 1 else 's'}."
    )


def _lower(entry: ModelResult) -> bool:
    return entry.adjusted is not None and entry.adjusted.calibration_error < entry.score.calibration_error


def drift_meaning() -> str:
    """Of the column in the leaderboard."""
    return f"PSI of the confidence, last window against first. Above {_SHIFTED} it has shifted."
