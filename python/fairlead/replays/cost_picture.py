"""Accuracy against cost: the cascade's curve among the choices that could have been made for all tasks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from fairlead import svg

_HEIGHT = 340
_LETTER = 7.0  # pixels that one takes, at most
_ROW = 15.0  # pixels between two names
_SCREENS = ((700.0, 24, "alt"), (290.0, 16, "brief"))  # pixels across, letters of a name, and where it is shown


@dataclass(frozen=True, slots=True)
class Choice:
    """A dot: what it costs, how often it is right, and whether it is drawn hollow, as one to compare with."""

    name: str
    cost_usd: float
    accuracy: float
    colour: int = 0
    hollow: bool = False
    large: bool = False


def cost_chart(curve: Sequence[tuple[float, float]], choices: Sequence[Choice], *, title: str, unit: str) -> str:
    """Cost across, on a logarithmic scale where it spans more than a factor of ten; accuracy upwards.

    curve: (cost, accuracy), joined by a line in the order of cost. choices: the most important first, whose names are
    written where there is room; resting on a dot tells every name. Returns HTML.
    """
    curve = sorted(curve)
    costs = [cost for cost, _ in curve] + [choice.cost_usd for choice in choices]
    rates = [rate for _, rate in curve] + [choice.accuracy for choice in choices]
    positive = [cost for cost in costs if cost > 0]
    if not positive:
        return ""
    least, most = min(positive), max(positive)
    logarithmic = most > 10 * least
    begin, end = (math.log10(least), math.log10(most)) if logarithmic else (0.0, most)
    pad = 0.05 * (end - begin) or 0.5
    begin, end = begin - pad if logarithmic else begin, end + pad
    low, high = min(rates), max(rates)
    margin = 0.08 * (high - low) or 0.01
    low, high = low - margin, high + margin

    def across(cost: float) -> float:
        value = math.log10(max(cost, least)) if logarithmic else cost
        return 100.0 * (value - begin) / (end - begin)

    def up(rate: float) -> float:
        return _HEIGHT * (high - rate) / (high - low)

    out = [svg.open_plot("cost", title, _HEIGHT), svg.place_text("-52", -18.0, "accuracy (\u2191 higher is better)")]
    ticks = svg.round_ticks(low, high)
    for tick, text in zip(ticks, svg.tick_texts(ticks), strict=True):
        out.append(f'<line class="grid" x2="100%" y1="{up(tick):.1f}" y2="{up(tick):.1f}"/>')
        out.append(svg.place_text("-9", up(tick), text, "end"))
    for i, tick in enumerate(_cost_ticks(begin, end, logarithmic=logarithmic)):
        place = f"{across(tick):.2f}%"
        out.append(f'<line class="grid" x1="{place}" x2="{place}" y2="100%"/>')
        out.append(svg.place_text(place, _HEIGHT + 16.0, f"${tick:g}", "middle", "alt" if i % 2 else ""))
    out.append(svg.place_text("0", _HEIGHT + 34.0, f"{unit} (\u2190 lower is better)"))
    if len(curve) > 1:
        out.append('<g class="k1">')
        places = [(f"{across(cost):.2f}%", f"{up(rate):.1f}") for cost, rate in curve]
        for (x1, y1), (x2, y2) in pairwise(places):
            out.append(f'<line class="link" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>')
        out.append("</g>")
    for choice in reversed(choices):
        radius = 8 if choice.large else 5
        hint = f"{choice.name}: {choice.accuracy:.1%} right for ${choice.cost_usd:.4g}"
        out.append(f'<g class="k{choice.colour}"><circle class="dot{" hollow" if choice.hollow else ""}"')
        out.append(f' cx="{across(choice.cost_usd):.2f}%" cy="{up(choice.accuracy):.1f}" r="{radius}">')
        out.append(f"<title>{escape(hint)}</title></circle></g>")
    dots = [(across(choice.cost_usd), up(choice.accuracy), choice) for choice in choices]
    for screen, letters, css in _SCREENS:
        out += _names(dots, screen, letters, css)
    return "".join([*out, "</svg></div>"])


def _cost_ticks(begin: float, end: float, *, logarithmic: bool) -> list[float]:
    if not logarithmic:
        return svg.round_ticks(begin, end)
    factors = (1, 2, 5) if end - begin < 2.5 else (1,)
    every = range(math.floor(begin), math.ceil(end) + 1)
    return [f * 10.0**k for k in every for f in factors if begin <= math.log10(f * 10.0**k) <= end]


def _names(dots: Sequence[tuple[float, float, Choice]], screen: float, letters: int, shown: str) -> list[str]:
    """The names that have room beside their dot on a screen so wide, the first ones first."""
    taken = [(x * screen / 100 - 6, x * screen / 100 + 6, y) for x, y, _ in dots]
    out = []
    for at, (x, y, choice) in enumerate(dots):
        text = svg.shorten(choice.name, letters)
        width, centre = _LETTER * len(text), x * screen / 100
        for side, anchor in ((1, "start"), (-1, "end")):
            near, far = centre + side * 12, centre + side * (12 + width)
            left, right = min(near, far), max(near, far)
            clear = all(
                i == at or right < a or left > b or abs(y - other) >= _ROW for i, (a, b, other) in enumerate(taken)
            )
            if clear and left > 0 and right < screen:
                name = svg.place_text(str(12 * side), y, text, anchor, f"ink {shown}" if choice.colour else shown)
                out.append(f'<svg x="{x:.2f}%" overflow="visible">{name}</svg>')
                taken.append((left, right, y))
                break
    return out
