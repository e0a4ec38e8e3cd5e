"""The cost curve of a cascade as one SVG file that stands on its own."""

from __future__ import annotations

import math
from html import escape

from fairlead.policy.cascade.curve import CascadeCurve
from fairlead.svg import CHART_CSS, place_text, round_ticks, shorten, tick_texts

__all__ = ["draw"]

_WIDTH, _HEIGHT = 860, 430
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 24, 44, 54
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:var(--soft)} .paper{fill:var(--paper)} .name{fill:var(--ink)}"
    " .head{font-size:14px;font-weight:600;fill:var(--ink)}"
)


def draw(curve: CascadeCurve) -> str:
    """Accuracy over cost: the cascade at each stop probability (the line), the one that was chosen (the full dot),
    single models (hollow dots), pools of all and the oracle (squares). The cost is on a scale of square roots, so that
    cheap models stand apart."""
    fixed = [(c, "") for c in curve.singles] + [(c, "pool") for c in curve.pools] + [(curve.oracle, "oracle")]
    costs = [c.cost_usd for c, _ in fixed] + [p.cost_usd for p in (*curve.points, curve.chosen)]
    heights = [c.accuracy for c, _ in fixed] + [p.accuracy for p in (*curve.points, curve.chosen)]
    right = 1000 * max(costs) or 1.0
    pad = (max(heights) - min(heights)) * 0.1 or 0.01
    low, high = max(min(heights) - pad, 0.0), min(max(heights) + pad, 1.0)

    def across(usd: float) -> float:
        return _LEFT + math.sqrt(1000 * usd / right) * (_WIDTH - _LEFT - _RIGHT)

    def up(y: float) -> float:
        return _TOP + (high - y) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    title = f"{curve.tasks:,} tasks, {len(curve.singles)} models; {curve.protocol}"
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" role="img" aria-label="{escape(title, quote=True)}">',
        f"<style>{CHART_CSS}{_STYLE}</style>",
        f'<rect class="paper" width="{_WIDTH}" height="{_HEIGHT}"/><g class="plot" style="margin:0">',
        place_text(str(_LEFT), 18.0, title, css="head"),
        place_text(str(_LEFT), _TOP - 10.0, "accuracy"),
    ]
    bottom, end = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    ticks = round_ticks(low, high)
    for tick, text in zip(ticks, tick_texts(ticks), strict=True):
        out.append(f'<line class="grid" x1="{_LEFT}" x2="{end}" y1="{up(tick):.1f}" y2="{up(tick):.1f}"/>')
        out.append(place_text(str(_LEFT - 9), up(tick), text, "end"))
    ticks = [tick for tick in round_ticks(0.0, right) if tick <= right]
    for tick, text in zip(ticks, tick_texts(ticks), strict=True):
        x = across(tick / 1000)
        out.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{bottom}"/>')
        out.append(place_text(f"{x:.1f}", bottom + 16.0, text, "middle"))
    out.append(place_text(f"{(_LEFT + end) / 2:.1f}", bottom + 38.0, "USD a thousand tasks", "middle"))
    path = " ".join(f"{across(p.cost_usd):.1f},{up(p.accuracy):.1f}" for p in curve.points)
    out.append(f'<g class="k1 strong"><polyline points="{path}"/>')
    for p in curve.points:
        told = f"stop {p.stop:g}: {p.accuracy:.3f}, ${1000 * p.cost_usd:.3g}"
        out.append(
            f'<circle class="dot" cx="{across(p.cost_usd):.1f}" cy="{up(p.accuracy):.1f}" r="2.5">'
            f"<title>{escape(told)}</title></circle>"
        )
    p = curve.chosen
    told = f"chosen: {p.accuracy:.3f}, ${1000 * p.cost_usd:.3g}"
    x, y = across(p.cost_usd), up(p.accuracy)
    out.append(f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="6"><title>{escape(told)}</title></circle></g>')
    out.append(place_text(f"{x:.1f}", y - 14.0, "cascade", "middle", css="name"))
    named = {curve.best.name, curve.cheapest.name}
    for c, kind in fixed:
        x, y = across(c.cost_usd), up(c.accuracy)
        told = f"<title>{escape(c.name)}: {c.accuracy:.3f}, ${1000 * c.cost_usd:.3g}</title>"
        colour = "k8" if kind == "oracle" else "k2" if kind else "k0"
        if kind:
            box = f'<rect class="dot" x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8">'
            out.append(f'<g class="{colour}">{box}{told}</rect></g>')
        else:
            dot = f'<circle class="dot hollow" cx="{x:.1f}" cy="{y:.1f}" r="4">'
            out.append(f'<g class="{colour}">{dot}{told}</circle></g>')
        if kind or c.name in named:
            side, anchor = (9.0, "start") if x < (_LEFT + end) / 2 else (-9.0, "end")
            out.append(place_text(f"{x + side:.1f}", y + 15.0, shorten(c.name, 34), anchor, css="name"))
    return "".join([*out, "</g></svg>\n"])
