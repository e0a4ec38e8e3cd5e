"""Small charts as inline SVG: lines over time, calibration curves, a row of dots, and the page they stand on.

Every chart is a plain string of HTML that needs the style sheet ``CHART_CSS`` once on the page and
nothing else. Across, everything is placed in percent, and upwards in pixels, so a chart fills any
width while its text and its lines keep their size. Colours are numbers: 1 to 8 name the palette
(chosen to be told apart by colour-blind readers, on light and on dark), 0 is the grey of the rest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from html import escape
from itertools import groupby, pairwise

COLOURS = 8
_LABEL_GAP = 16.0
_ROW = 34
_HOVER_POINTS = 48
_WIDE, _NARROW = 24, 17  # letters of a name beside a dot, on wide and on narrow screens
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_SECOND = 1_000_000_000
_DAY = 86_400 * _SECOND

_LIGHT = (
    "--paper:#fdfdfc;--ink:#1d2228;--soft:#5d6670;--faint:#e4e6e8;--wash:#eff4f8;--quiet:#b4bac0;"
    "--c1:#1763b6;--c2:#dc6a10;--c3:#14a07a;--c4:#9a2c62;--c5:#5f5a00;--c6:#45a6d9;--c7:#8f6ad8;--c8:#24292e"
)
_DARK = (
    "--paper:#15181c;--ink:#e6e8ea;--soft:#9ba4ad;--faint:#2b3036;--wash:#1c242c;--quiet:#565e67;"
    "--c1:#4aaeff;--c2:#d9774a;--c3:#74e0ab;--c4:#d96bb6;--c5:#d6c23c;--c6:#a5ecff;--c7:#7d66e8;--c8:#f4f4f4"
)

CHART_CSS = (
    f":root{{color-scheme:light dark;{_LIGHT}}}"
    f"@media (prefers-color-scheme:dark){{:root{{{_DARK}}}}}"
    f"@media print{{:root{{color-scheme:light;{_LIGHT}}}}}"
    + "".join(f".k{i}{{color:var(--c{i})}}" for i in range(1, COLOURS + 1))
    + """
.k0{color:var(--quiet)}
.plot{margin:30px 168px 30px 52px}
.plot.dots{margin:30px 70px 30px 172px}
.plot.cost{margin:30px 12px 52px 52px}
.plot.square{margin:8px 10px 24px 30px;aspect-ratio:1}
.plot>svg{display:block;width:100%;height:100%;overflow:visible;font-size:12px;fill:var(--soft)}
.plot polyline,.plot .link{fill:none;stroke:currentColor;stroke-width:1.6;stroke-linejoin:round;
stroke-linecap:round;vector-effect:non-scaling-stroke}
.plot .bar{stroke:currentColor;stroke-width:5;stroke-linecap:round;opacity:.3}
.plot .k0 .bar{opacity:.55}
.plot .k0 polyline{stroke-width:1;opacity:.75}
.plot .strong polyline{stroke-width:2.8}
.plot polyline:hover{stroke-width:3;opacity:1}
.plot .grid{stroke:var(--faint)} .plot .base{stroke:var(--soft);stroke-dasharray:3 3}
.plot .dot{fill:currentColor;stroke:var(--paper);stroke-width:1.5}
.plot .dot.hollow{fill:var(--paper);stroke:currentColor;stroke-width:2}
.plot .hit{fill:currentColor} .plot .hit:not(:hover){opacity:0}
.plot .tag{fill:currentColor;fill:color-mix(in srgb,currentColor 60%,var(--ink))}
.plot .strong .tag{font-weight:650}
.plot .tie{stroke:currentColor;opacity:.55;fill:none}
.plot .ink{fill:var(--ink)}
.plot .brief{display:none}
.legend{display:none;list-style:none;margin:0 0 .6rem;padding:0;font-size:.8rem;gap:.2rem 1rem;flex-wrap:wrap}
.legend li::before{content:"";display:inline-block;width:1.1em;border-top:.2em solid;vertical-align:.25em;
margin-right:.45em}
.legend .dashed::before{border-top:1px dashed var(--soft)}
.legend span{color:var(--ink);overflow-wrap:anywhere}
@media (max-width:640px){
.plot{margin-right:10px}
.plot.dots{margin-left:112px;margin-right:58px}
.plot .side,.plot .alt{display:none}
.plot .brief{display:inline}
.legend{display:flex}}
"""
)


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a chart: ``y`` (NaN leaves a gap) at the times ``x``, nanoseconds since the epoch, or counts.

    ``colour`` 0 draws it grey and without a label; ``strong`` draws it thicker.
    """

    name: str
    x: Sequence[int]
    y: Sequence[float]
    colour: int = 0
    strong: bool = False

    @property
    def css(self) -> str:
        """Its classes in the style sheet."""
        return f"k{self.colour} strong" if self.strong else f"k{self.colour}"

    @property
    def points(self) -> list[tuple[int, float]]:
        """Its finite points, in order."""
        return [point for point in zip(self.x, self.y, strict=True) if math.isfinite(point[1])]


@dataclass(frozen=True, slots=True)
class Dot:
    """One row of a dot chart. ``hollow`` sets it apart as one to compare with, not to choose; a bar runs from ``low``
    to ``high`` where both are finite."""

    name: str
    value: float
    text: str
    colour: int = 0
    hollow: bool = False
    low: float = math.nan
    high: float = math.nan

    @property
    def barred(self) -> bool:
        """Whether it has a bar."""
        return math.isfinite(self.low) and math.isfinite(self.high)


def round_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About ``count`` round numbers (steps of 1, 2 or 5 times a power of ten) from low to high.

    >>> round_ticks(0.0, 1.0)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    >>> round_ticks(1462, 1655)
    [1500.0, 1550.0, 1600.0, 1650.0]
    """
    if not high > low:
        return [low]
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    digits = max(0, -math.floor(math.log10(step)))
    return [round(i * step, digits) + 0.0 for i in range(first, last + 1)]


def time_ticks(low: int, high: int, count: int = 6) -> list[tuple[int, str]]:
    """At most about ``count`` round moments from low to high (nanoseconds, UTC), with their labels.

    >>> time_ticks(1_696_118_400 * 10**9, 1_704_067_200 * 10**9)
    [(1696118400000000000, 'Oct 2023'), (1698796800000000000, 'Nov 2023'), \
(1701388800000000000, 'Dec 2023'), (1704067200000000000, 'Jan 2024')]
    """
    span = high - low
    if span < 2 * _SECOND:  # too short for a calendar: count from the start
        size, unit = next(((s, u) for s, u in ((10**6, "ms"), (10**3, "µs")) if span >= 2 * s), (1, "ns"))
        return [(low + round(t * size), f"+{t:g} {unit}") for t in round_ticks(0.0, span / size, count)]
    if span > 45 * _DAY:
        return _month_ticks(low, high, count)
    sizes = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 10800, 21600, 43200)
    steps = [size * _SECOND for size in sizes] + [_DAY, 2 * _DAY, 4 * _DAY, 7 * _DAY, 14 * _DAY]
    step = next((s for s in steps if span <= count * s), steps[-1])
    return [(t, _clock(t, step)) for t in range(-(-low // step) * step, high + 1, step)]


def count_ticks(low: int, high: int, count: int = 7) -> list[tuple[int, str]]:
    """Round whole numbers from low to high, with their labels.

    >>> count_ticks(0, 1000, 5)
    [(0, '0'), (200, '200'), (400, '400'), (600, '600'), (800, '800'), (1000, '1,000')]
    """
    return [(round(tick), f"{tick:,.0f}") for tick in round_ticks(low, high, count) if tick == round(tick)]


def _clock(t: int, step: int) -> str:
    moment = _moment(t)
    if step >= _DAY or t % _DAY == 0:
        return f"{moment.day} {moment:%b}"
    return f"{moment:%H:%M}" if step >= 60 * _SECOND else f"{moment:%H:%M:%S}"


def _month_ticks(low: int, high: int, count: int) -> list[tuple[int, str]]:
    first, last = _moment(low), _moment(high)
    begin, end = first.year * 12 + first.month - 1, last.year * 12 + last.month - 1
    sizes = (1, 2, 3, 6, 12, 24, 60, 120, 240, 600)
    step = next((s for s in sizes if end - begin <= count * s), sizes[-1])
    ticks = []
    for month in range(-(-begin // step) * step, end + 1, step):
        moment = datetime(month // 12, month % 12 + 1, 1, tzinfo=timezone.utc)
        t = (moment - _EPOCH) // timedelta(microseconds=1) * 1000
        if low <= t <= high:
            ticks.append((t, f"{moment:%Y}" if step >= 12 else f"{moment:%b %Y}"))
    return ticks


def _moment(t: int) -> datetime:
    return _EPOCH + timedelta(microseconds=t // 1000)


def moment_text(t: int, span: int) -> str:
    """A time, UTC, only as fine as a stretch of ``span`` nanoseconds needs.

    >>> moment_text(1_696_118_400 * 10**9, 90 * 86_400 * 10**9)
    '1 Oct 2023'
    """
    if span < 2 * _SECOND:
        return f"{t} ns"
    moment = _moment(t)
    return f"{moment.day} {moment:%b %Y}{'' if span > 14 * _DAY else f' {moment:%H:%M}'}"


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places for labels: at least ``gap`` apart, each as near to where it is wanted as that allows.

    ``wanted`` is in increasing order. Where they fit between ``low`` and ``high`` they stay inside.

    >>> spread([10.0, 12.0, 50.0], 10.0, 0.0, 100.0)
    [6.0, 16.0, 50.0]
    """
    blocks: list[tuple[float, int]] = []  # (mean of what is wanted, how many labels move together)
    for i, value in enumerate(wanted):
        mean, size = value - i * gap, 1
        while blocks and blocks[-1][0] > mean:
            before, count = blocks.pop()
            mean, size = (before * count + mean * size) / (count + size), count + size
        blocks.append((mean, size))
    top = max(low, high - gap * (len(wanted) - 1))
    starts = [min(max(mean, low), top) for mean, size in blocks for _ in range(size)]
    return [start + i * gap for i, start in enumerate(starts)]


def shorten(text: str, length: int) -> str:
    """The text, its middle cut out if it is longer than ``length``: names often differ at their ends.

    >>> shorten("gradient-boosting-v2", 12)
    'gradien…g-v2'
    """
    tail = length // 3
    return text if len(text) <= length else f"{text[: length - 1 - tail]}…{text[-tail:]}"


def number(value: float, digits: int = 4, *, signed: bool = False) -> str:
    """A number with a true minus sign and, from 10,000 on, thousands marked; a dash for NaN.

    >>> number(1871.4, 0), number(0.25, 2, signed=True), number(float("nan")) == "\u2013"
    ('1871', '+0.25', True)
    """
    if math.isnan(value):
        return "\u2013"
    if math.isinf(value):
        return "∞" if value > 0 else "\u2212∞"
    text = f"{abs(value):,.{digits}f}" if abs(value) >= 10_000 else f"{abs(value):.{digits}f}"
    if float(text.replace(",", "")) == 0.0:
        return text
    return ("\u2212" if value < 0 else "+" if signed else "") + text


def tick_texts(ticks: Sequence[float], *, signed: bool = False) -> list[str]:
    """What to write at ticks of equal step, with as many decimals as the step needs."""
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return [number(tick, digits, signed=signed) for tick in ticks]


def _padded(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    pad = (high - low) * 0.06 or abs(high) * 0.01 or 1.0
    return low - pad, high + pad


def place_text(x: str, y: float, text: str, anchor: str = "start", css: str = "", hint: str = "") -> str:
    """A text at ``x`` (with its unit) and ``y`` (pixels); ``hint`` shows when the pointer rests on it."""
    place = f'class="{css}" x="{x}" y="{y:.1f}" dy=".35em" text-anchor="{anchor}"'
    return f"<text {place}>{escape(text)}{f'<title>{escape(hint)}</title>' if hint else ''}</text>"


def open_plot(css: str, title: str, height: int = 0) -> str:
    """The beginning of every chart; it ends with ``</svg></div>``."""
    style = f' style="height:{height}px"' if height else ""
    return f'<div class="plot {css}"{style}><svg role="img" aria-label="{escape(title)}">'


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    axis: str,
    height: int = 320,
    digits: int = 0,
    signed: bool = False,
    baseline: tuple[float, str] | None = None,
    settle_in: float = 0.0,
    greys: float = math.inf,
    unit: str = "",
    behind: str = "",
) -> str:
    """Lines over time; the coloured ones carry their name at their end (a legend on narrow screens).

    Args:
        series: The lines, the most important first: it is drawn on top.
        title: What the chart shows, for those who cannot see it.
        axis: A few words over the vertical axis.
        height: Of the plot, in pixels.
        digits: Decimals of the values shown when the pointer rests on a line.
        signed: Whether values carry a plus sign.
        baseline: A value to compare with, drawn as a labelled dashed line.
        settle_in: This share of the time, at the start, has no say in the scale.
        greys: By how many times the range of the coloured lines the grey ones may widen the scale, to each side.
        unit: What is counted across, where it is no time: "image".
        behind: More of the SVG, under all the rest.

    Returns:
        HTML; empty if there is no finite value to draw, or but one moment.
    """
    lines = [(s, s.points) for s in series if s.points]
    begin = min((points[0][0] for _, points in lines), default=0)
    end = max((max(s.x) for s, _ in lines), default=0)
    if begin == end:
        return ""
    scaled = _settled(lines, begin + settle_in * (end - begin))
    coloured = _settled([line for line in lines if line[0].colour], begin + settle_in * (end - begin))
    if baseline:
        scaled, coloured = [*scaled, baseline[0]], [*coloured, baseline[0]]
    if coloured and max(coloured) > min(coloured):
        slack = greys * (max(coloured) - min(coloured))
        scaled = [min(max(y, min(coloured) - slack), max(coloured) + slack) for y in scaled]
    low, high = _padded(scaled)

    def across(x: int) -> float:
        return 100.0 * (x - begin) / (end - begin)

    def up(y: float) -> float:
        return height * (high - y) / (high - low)

    out = [open_plot("lines", title, height), behind, place_text("-52", -18.0, axis)]
    ticks = round_ticks(low, high)
    for tick, text in zip(ticks, tick_texts(ticks, signed=signed), strict=True):
        out.append(f'<line class="grid" x2="100%" y1="{up(tick):.1f}" y2="{up(tick):.1f}"/>')
        out.append(place_text("-9", up(tick), text, "end"))
    for i, (moment, text) in enumerate(count_ticks(begin, end, 9) if unit else time_ticks(begin, end)):
        place = f"{across(moment):.2f}%"
        out.append(f'<line class="grid" x1="{place}" x2="{place}" y2="100%"/>')
        out.append(place_text(place, height + 16.0, text, "middle", "alt" if i % 2 else ""))
    if baseline:
        out.append(f'<line class="base" x2="100%" y1="{up(baseline[0]):.1f}" y2="{up(baseline[0]):.1f}"/>')

    out.append(f'<svg width="100%" height="{height}" viewBox="0 0 1000 {height}" preserveAspectRatio="none">')
    for s, points in reversed(lines):
        hint = f"{escape(s.name)}: {number(points[-1][1], digits, signed=signed)} at the end"
        for finite, run in groupby(zip(s.x, s.y, strict=True), key=lambda point: math.isfinite(point[1])):
            if finite:
                path = [f"{10 * across(x):.1f},{up(y):.1f}" for x, y in run]
                path = path * 2 if len(path) == 1 else path  # a lone point still shows, as a round dot
                out.append(f'<g class="{s.css}"><polyline points="{" ".join(path)}"><title>{hint}</title>')
                out.append("</polyline></g>")
    out.append("</svg>")

    named = [(s, points) for s, points in lines if s.colour]
    for s, points in reversed(named):
        out.append(f'<g class="{s.css}">')
        for x, y in points[:: -max(1, math.ceil(len(points) / _HOVER_POINTS))]:
            if low <= y <= high:
                place = f"{unit} {x}" if unit else moment_text(x, end - begin)
                hint = f"{s.name}, {place}: {number(y, digits, signed=signed)}"
                out.append(f'<circle class="hit" cx="{across(x):.2f}%" cy="{up(y):.1f}" r="5">')
                out.append(f"<title>{escape(hint)}</title></circle>")
        out.append("</g>")
    ends = [(up(points[-1][1]), s.name, s.css) for s, points in named]
    legend = [f'<li class="k{s.colour}"><span>{escape(s.name)}</span></li>' for s, _ in named]
    if baseline:
        ends.append((up(baseline[0]), baseline[1], ""))
        legend.append(f'<li class="dashed"><span>{escape(baseline[1])}</span></li>')
    out.append(f'{side_labels(ends, height)}</svg></div><ul class="legend">{"".join(legend)}</ul>')
    return "".join(out)


def _settled(lines: Sequence[tuple[Series, list[tuple[int, float]]]], start: float) -> list[float]:
    """The values from a moment on; all where there are none."""
    every = [point for _, points in lines for point in points]
    return [y for x, y in every if x >= start] or [y for _, y in every]


def side_labels(ends: Sequence[tuple[float, str, str]], height: int) -> str:
    """Names (place, name, classes) at the right edge, moved apart where lines end close together."""
    ends = sorted((min(max(y, 0.0), float(height)), name, css) for y, name, css in ends)
    places = spread([y for y, _, _ in ends], _LABEL_GAP, 4.0, height - 4.0)
    out = ['<svg class="side" x="100%" overflow="visible">']
    for (y, name, css), place in zip(ends, places, strict=True):
        out.append(f'<g class="{css}"><path class="tie" d="M2,{y:.1f}L14,{place:.1f}"/>')
        out.append(place_text("18", place, shorten(name, 22), "start", "tag" if css else "", name) + "</g>")
    return "".join([*out, "</svg>"])


def dot_chart(
    dots: Sequence[Dot], *, title: str, axis: str, reference: float = math.nan, most: float = math.nan
) -> str:
    """One dot a row on a common scale, each with its bar, or else tied to the ``reference`` value where there is one.

    Returns HTML; empty if there is no finite value to draw. The scale need not start at zero, and ends at ``most``, if
    that is a number: a dot beyond it is an arrow at the edge.
    """
    drawn = [dot for dot in dots if math.isfinite(dot.value)]
    if not drawn:
        return ""
    tied = math.isfinite(reference)
    ends = [end for dot in drawn if dot.barred for end in (dot.low, dot.high)]
    low, high = _padded([dot.value for dot in drawn] + ends + ([reference] if tied else []))
    if low < most < high:
        low, high = _padded([end for end in (low, *(dot.value for dot in drawn), *ends, most) if end <= most])
    height = _ROW * len(drawn)

    def across(value: float) -> str:
        return f"{100.0 * (value - low) / (high - low):.2f}%"

    out = [open_plot("dots", title, height), place_text("0", -18.0, axis)]
    ticks = round_ticks(low, high, 4)
    for i, (tick, text) in enumerate(zip(ticks, tick_texts(ticks), strict=True)):
        out.append(f'<line class="grid" x1="{across(tick)}" x2="{across(tick)}" y2="100%"/>')
        out.append(place_text(across(tick), height + 16.0, text, "middle", "alt" if i % 2 else ""))
    if tied:
        out.append(f'<line class="base" x1="{across(reference)}" x2="{across(reference)}" y2="100%"/>')
    for i, dot in enumerate(drawn):
        x, y, hint = across(min(dot.value, high)), _ROW * (i + 0.5), f"{dot.name}: {dot.text}"
        out.append(f'<g class="k{dot.colour}">')
        if dot.barred and dot.low < high:
            left, right = across(dot.low), across(min(dot.high, high))
            out.append(f'<line class="bar" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>')
        elif tied:
            out.append(f'<line class="link" x1="{across(reference)}" x2="{x}" y1="{y}" y2="{y}"/>')
        if dot.value > high:
            out.append(f'<svg x="100%" overflow="visible"><path class="dot" d="M-10,{y - 6}L0,{y}L-10,{y + 6}Z">')
            out.append(f"<title>{escape(hint)}</title></path></svg>")
        else:
            out.append(f'<circle class="dot{" hollow" if dot.hollow else ""}" cx="{x}" cy="{y}" r="6">')
            out.append(f"<title>{escape(hint)}</title></circle>")
        if len(dot.name) <= _NARROW:
            out.append(place_text("-12", y, dot.name, "end", "ink", hint))
        else:
            out.append(place_text("-12", y, shorten(dot.name, _WIDE), "end", "ink alt", hint))
            out.append(place_text("-12", y, shorten(dot.name, _NARROW), "end", "ink brief", hint))
        out.append(f'<svg x="100%" overflow="visible">{place_text("10", y, dot.text, "start", "ink")}</svg></g>')
    return "".join([*out, "</svg></div>"])


def calibration_chart(
    curve: Sequence[tuple[float, float, int]],
    *,
    title: str,
    colour: int = 1,
    before: Sequence[tuple[float, float, int]] = (),
) -> str:
    """Predicted probability across, observed frequency upwards; the diagonal is perfect calibration.

    The area of a dot goes with how many forecasts it stands for. ``before`` is another curve, grey and behind. Returns
    HTML.
    """
    out = [open_plot("square", title)]
    for value, text in ((0, "0"), (50, ".5"), (100, "1")):
        out.append(f'<line class="grid" x1="{value}%" x2="{value}%" y2="100%"/>')
        out.append(f'<line class="grid" x2="100%" y1="{value}%" y2="{value}%"/>')
        out.append(f'<text x="{value}%" y="100%" dy="18" text-anchor="middle">{text}</text>')
        out.append(f'<text x="0" dx="-8" y="{100 - value}%" dy=".35em" text-anchor="end">{text}</text>')
    out.append('<line class="base" x1="0" y1="100%" x2="100%" y2="0"/>')
    most = max((count for drawn in (before, curve) for _, _, count in drawn), default=1)
    for drawn, css in ((before, "k0"), (curve, f"k{colour}")):
        if not drawn:
            continue
        out.append(f'<g class="{css}">')
        places = [(f"{100 * p:.2f}%", f"{100 - 100 * seen:.2f}%") for p, seen, _ in drawn]
        for (x1, y1), (x2, y2) in pairwise(places):
            out.append(f'<line class="link" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>')
        for (x, y), (p, seen, count) in zip(places, drawn, strict=True):
            hint = f"predicted {p:.1%}, came {seen:.1%} of {count:,} times"
            radius = 2.5 + 5.0 * math.sqrt(count / most)
            out.append(f'<circle class="dot" cx="{x}" cy="{y}" r="{radius:.1f}"><title>{hint}</title></circle>')
        out.append("</g>")
    return "".join([*out, "</svg></div>"])
