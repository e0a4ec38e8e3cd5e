"""What the parts of a replay's page have in common: numbers in cells, and words for how they compare."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from fairlead import svg
from fairlead.replays.result import FEWEST_ROUNDS, Against, ReplayResult, Score
from fairlead.svg import number

_MOMENT = 2 * 10**9
LEFT = {"strategy": "name", "model": "name", "slice": "name", "reason": "why"}


def table(head: Sequence[str], rows: Sequence[str]) -> str:
    """A table that scrolls where it is wider than the page; names stand on the left."""
    cells = "".join(f'<th scope="col" class="{LEFT.get(text, "")}">{escape(text)}</th>' for text in head)
    body = "".join(rows)
    return f'<div class="wide"><table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>'


def note(text: str) -> str:
    """A paragraph that says how to read what follows."""
    return f'<p class="caption">{text}</p>'


def loss(result: ReplayResult, score: Score) -> float:
    """The score the page leads with."""
    return score.mae if result.kind == "numeric" else score.brier


def loss_name(result: ReplayResult) -> str:
    """Its name."""
    return "mean absolute error" if result.kind == "numeric" else "Brier score"


def digits(result: ReplayResult) -> int:
    """Decimals of a score: four for probabilities, about four figures for numbers of any size."""
    losses = [loss(result, score) for score in result.strategies.values()]
    sizes = [value for value in losses if math.isfinite(value) and value > 0.0]
    if result.kind != "numeric" or not sizes:
        return 4
    return min(max(3 - math.floor(math.log10(min(sizes))), 0), 9)


def columns(result: ReplayResult) -> dict[str, str]:
    """The score columns of this kind of answer: field and heading."""
    if result.kind == "numeric":
        return {"mae": "MAE", "rmse": "RMSE"}
    return {
        "brier": "Brier",
        "log_loss": "log loss",
        "accuracy": "accuracy",
        "calibration_error": "calibration error",
    }


def best(result: ReplayResult, scores: Sequence[Score]) -> dict[str, float]:
    """The best finite value of each score column; NaN, which equals nothing, if there is no contest."""
    found = {}
    for field in columns(result):
        values = [v for v in (getattr(score, field) for score in scores) if math.isfinite(v)]
        pick = max if field == "accuracy" else min
        found[field] = pick(values) if len(values) > 1 else math.nan
    return found


def cells(result: ReplayResult, score: Score, top: dict[str, float]) -> str:
    """The score columns of a row."""
    places, out = digits(result), []
    for field in columns(result):
        value = getattr(score, field)
        text = percent(value) if field == "accuracy" else number(value, places)
        out.append(f'<td class="{"best" if value == top[field] else ""}">{text}</td>')
    return "".join(out)


def beside(result: ReplayResult, against: Against) -> str:
    """Two cells: how much more was lost than by the default, and whether chance may explain it."""
    places = digits(result)
    if not math.isfinite(against.difference):
        return "<td>\u2013</td><td></td>"
    known = against.rounds >= FEWEST_ROUNDS and math.isfinite(against.standard_error)
    word = against.verdict or ("within noise" if known else "too little to say")
    error = "" if math.isnan(against.standard_error) else f" \u00b1 {number(2 * against.standard_error, places)}"
    css = {"worse": "warn", "better": "best"}.get(word, "note")
    told = f'{number(against.difference, places, signed=True)}<span class="note">{error}</span>'
    return f'<td>{told}</td><td class="{css}">{word}</td>'


def apart(result: ReplayResult, against: Against) -> str:
    """One cell: how much more was lost than by the default, orange or bold where it is worse or better beyond noise."""
    css = {"worse": "warn", "better": "best"}.get(against.verdict, "note")
    return f'<td class="{css}">{number(against.difference, digits(result), signed=True)}</td>'


def percent(share: float, *, signed: bool = False) -> str:
    """With one decimal; a dash for NaN."""
    return number(100 * share, 1, signed=signed) + ("%" if math.isfinite(share) else "")


def period(result: ReplayResult) -> str:
    """From when to when, as the end of a caption."""
    first, last = int(result.history_time[0]), int(result.history_time[-1])
    if last - first < _MOMENT:  # numbers that count, as those of a calendar are seconds apart
        return f"Times {first} to {last}"
    return f"{svg.moment_text(first, last - first)} to {svg.moment_text(last, last - first)}, UTC"


def model_colour(rank: int) -> int:
    """The best rated have colours of their own, the others are grey."""
    return rank + 1 if rank < svg.COLOURS else 0
