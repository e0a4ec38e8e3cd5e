"""The curves of routers as one SVG file that stands on its own."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from fairlead.policy.routing.evaluation import RoutingReport
from fairlead.svg import CHART_CSS, place_text, round_ticks, shorten, spread, tick_texts

__all__ = ["draw"]

_WIDTH, _HEIGHT = 860, 470
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 190, 44, 54
_COLOURS = {"linear": 1, "nearest": 2, "set mean": 3, "task type": 4, "length": 5, "oracle": 8}
_GREY = ("random", "single models")
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:var(--soft)} .paper{fill:var(--paper)} .name{fill:var(--ink)}"
    " .head{font-size:14px;font-weight:600;fill:var(--ink)}"
)


def draw(report: RoutingReport) -> str:
    """Quality over the share of calls to the strong model, or over the cost of calls; dots are single models.

    The oracle is left out where it would press the others together: its curve is cut at the top.
    """
    pair = report.metric == "APGR"
    singles = [(m.name, 1000 * m.cost_usd, m.quality) for m in report.singles]
    if pair:
        singles = [(m.name, float(1 - i), m.quality) for i, m in enumerate(report.singles)]
    curves = {name: curve for name, curve in report.curves.items() if name != "oracle"}
    xs = [x for curve in curves.values() for x in (curve[0][0], curve[0][-1])] + [x for _, x, _ in singles]
    left, right = float(min(xs)), float(max(xs))
    right = right if right > left else left + 1.0
    tops = [float(curve[1].max()) for curve in curves.values()]
    bottoms = [float(curve[1].min()) for curve in curves.values()]
    high, low = max(tops), min(bottoms)
    pad = (high - low) * 0.12 or 0.01
    high, low = high + pad, low - pad

    def across(x: float) -> float:
        return _LEFT + (x - left) / (right - left) * (_WIDTH - _LEFT - _RIGHT)

    def up(y: float) -> float:
        return _TOP + (high - y) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    title = f"{report.prompts:,} prompts, {len(report.singles)} models; {report.protocol}"
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" role="img" aria-label="{escape(title, quote=True)}">',
        f"<style>{CHART_CSS}{_STYLE}</style>",
        f'<rect class="paper" width="{_WIDTH}" height="{_HEIGHT}"/><g class="plot" style="margin:0">',
        place_text(str(_LEFT), 18.0, title, css="head"),
        place_text(str(_LEFT), _TOP - 10.0, "mean quality"),
    ]
    bottom, end = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    ticks = round_ticks(low, high)
    for tick, text in zip(ticks, tick_texts(ticks), strict=True):
        out.append(f'<line class="grid" x1="{_LEFT}" x2="{end}" y1="{up(tick):.1f}" y2="{up(tick):.1f}"/>')
        out.append(place_text(str(_LEFT - 9), up(tick), text, "end"))
    ticks = round_ticks(left, right)
    for tick, text in zip(ticks, tick_texts(ticks), strict=True):
        out.append(f'<line class="grid" x1="{across(tick):.1f}" x2="{across(tick):.1f}" y1="{_TOP}" y2="{bottom}"/>')
        out.append(place_text(f"{across(tick):.1f}", bottom + 16.0, text, "middle"))
    axis = f"share of calls to {report.singles[0].name}" if pair else "USD a thousand calls"
    out.append(place_text(f"{(_LEFT + end) / 2:.1f}", bottom + 38.0, axis, "middle"))
    out.append(
        f'<clipPath id="frame"><rect x="{_LEFT}" y="{_TOP}" width="{end - _LEFT}" height="{bottom - _TOP}"/></clipPath>'
    )
    names = [*_GREY, *(name for name in reversed(_COLOURS))]
    for name in (name for name in names if name in report.curves):
        path = " ".join(f"{across(float(x)):.1f},{up(float(y)):.1f}" for x, y in zip(*report.curves[name], strict=True))
        css = f"k{_COLOURS.get(name, 0)}{' strong' if name == 'linear' else ''}"
        dashed = ' stroke-dasharray="5 4"' if name in (*_GREY, "oracle") else ""
        line = f'<polyline clip-path="url(#frame)"{dashed} points="{path}"/>'
        out.append(f'<g class="{css}">{line}</g>')
    for name, x, y in singles:
        if low <= y <= high and x == x:
            out.append(f'<g class="k0"><circle class="dot hollow" cx="{across(x):.1f}" cy="{up(y):.1f}" r="4">')
            out.append(f"<title>{escape(name)}: {y:.3f}</title></circle></g>")
    out += _labels(report, up, bottom, end, pair)
    return "".join([*out, "</g></svg>\n"])


def _labels(report: RoutingReport, up: Any, bottom: float, end: float, pair: bool) -> Sequence[str]:
    """At the right edge, in the order of the scores: where curves of two models all end in the same point, an order by
    height would say nothing."""
    routers = sorted((r for r in report.routers if r.name in report.curves), key=lambda r: -r.score)
    wanted = [
        _TOP + 10.0 + 20.0 * i if pair else min(max(up(float(report.curves[r.name][1][-1])), _TOP), bottom)
        for i, r in enumerate(routers)
    ]
    pairs = sorted(zip(wanted, routers, strict=True), key=lambda item: item[0])
    places = spread([y for y, _ in pairs], 17.0, _TOP + 8.0, bottom)
    out = [place_text(str(end + 16), _TOP - 10.0, report.metric, css="name")]
    for place, (_, r) in zip(places, pairs, strict=True):
        css = f"k{_COLOURS.get(r.name, 0)}{' strong' if r.name == 'linear' else ''}"
        text = f"{shorten(r.name, 22)} {r.score:.3f}"
        out.append(f'<g class="{css}"><line x1="{end + 16}" x2="{end + 32}" y1="{place:.1f}" y2="{place:.1f}" ')
        out.append(
            'stroke="currentColor" stroke-width="2.5"/>' + place_text(str(end + 38), place, text, css="name") + "</g>"
        )
    return out
