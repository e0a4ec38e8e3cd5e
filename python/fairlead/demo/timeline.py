"""The second act as one picture: accuracy, who served when, and the evidence, over the same axis of images."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

from fairlead import svg
from fairlead.demo.life import CANARY, CHAMPION, LEARNS, SHADOW, LifeResult, Moment, Trial

CSS = """
.plot.story{margin-top:58px}
.plot .fault{fill:var(--wash)} .story .at{stroke:var(--soft);stroke-dasharray:2 3;opacity:.75}
.story .badge circle{fill:var(--ink)}
.story .badge text{fill:var(--paper);font-size:11px;font-weight:650}
.story .kept polyline{stroke-dasharray:5 4;stroke-width:1.4;opacity:1}
.story .lane rect{fill:currentColor} .lane .learns{opacity:.9}
.lane .shadow{opacity:.28} .lane .canary{opacity:.58}
.roles{list-style:none;display:flex;flex-wrap:wrap;gap:.2rem 1.3rem;margin:.4rem 0 0 52px;padding:0;font-size:.8rem;
color:var(--soft)}
.roles i{display:inline-block;width:1.6em;height:.7em;margin-right:.5em;background:var(--c1);border-radius:1px}
.roles .learns{height:.2em;vertical-align:.25em} .roles .shadow{opacity:.28} .roles .canary{opacity:.58}
.plot.loss{margin:8px 10px 26px 36px} .loss .held polyline{stroke-dasharray:4 3}
.areas polygon{fill:currentColor;opacity:.82;stroke:var(--paper);stroke-width:1;vector-effect:non-scaling-stroke}
@media (max-width:640px){.roles{margin-left:0} .story .badge,.story .up{display:none}}
"""

_ACCURACY, _LANE, _EVIDENCE, _GAP = 250, 26, 150, 62  # heights, in pixels
_BADGE = 3.1  # percent of the width between two numbers over the picture
_ROLES = {CHAMPION: "champion", CANARY: "canary", SHADOW: "shadow", LEARNS: "learns"}
_VERSION_COLOURS = (5, 1, 2, 4, 7, 6)


def colour_of(version: int) -> int:
    """The colour of a version, everywhere on the page."""
    return _VERSION_COLOURS[(version - 1) % len(_VERSION_COLOURS)]


def story_chart(life: LifeResult) -> str:
    """The picture, as HTML, with numbers over it that stand for `life.moments`."""
    lanes = max(span.version for span in life.spans)
    lanes_at = _ACCURACY + _GAP
    evidence_at = lanes_at + lanes * _LANE + _GAP
    height = evidence_at + _EVIDENCE
    across = _Across(life.images)
    out = [svg.open_plot("story", "accuracy, versions and evidence over the images", height)]
    out.append(f'<rect class="fault" x="{across(life.fault_at)}" y="0" width="{across(life.images - life.fault_at)}"')
    out.append(f' height="{height}"/>')
    for i, (image, text) in enumerate(svg.count_ticks(0, life.images, 9)):
        out.append(f'<line class="grid" x1="{across(image)}" x2="{across(image)}" y2="100%"/>')
        out.append(svg.place_text(across(image), height + 16.0, text, "middle", "alt" if i % 2 else ""))
    out.append(svg.place_text("100%", height + 34.0, "images shown", "end"))
    out += _badges(life.moments, across, height)
    out += _accuracy(life)
    out += _lanes(life, across, lanes_at, lanes)
    out += _evidence(life.trials, across, evidence_at)
    roles = "".join(f'<li><i class="{css}"></i>{escape(role)}</li>' for role, css in _ROLES.items())
    lines = "".join(f'<li class="{css}"><span>{escape(words)}</span></li>' for _, words, css in _lines(life))
    return "".join([*out, f'</svg></div><ul class="legend">{lines}</ul><ul class="roles">{roles}</ul>'])


def _lines(life: LifeResult) -> tuple[tuple[str, str, str], ...]:
    """The lines of accuracy: the key, the words, the classes. The last is drawn on top."""
    return (
        ("fleet", "the fleet\u2019s decision", "k3"),
        ("kept", "never retrained", "k0 kept"),
        ("served", life.name, "k1 strong"),
    )


class _Across:
    def __init__(self, images: int) -> None:
        self._images = images

    def __call__(self, image: float) -> str:
        return f"{100.0 * image / self._images:.2f}%"

    def thousandth(self, image: float) -> float:
        return 1000.0 * image / self._images


def _badges(moments: Sequence[Moment], across: _Across, height: int) -> list[str]:
    """The numbers, moved apart where moments are close, each with a line down to its image."""
    out = []
    wanted = [float(across(moment.image)[:-1]) for moment in moments]
    for i, (moment, at) in enumerate(zip(moments, svg.spread(wanted, _BADGE, 0.0, 100.0), strict=True), 1):
        x, place = across(moment.image), f"{at:.2f}%"
        hint = f"image {moment.image}: {moment.words}"
        out.append(f'<line class="at" x1="{x}" x2="{x}" y1="-6" y2="{height}"/>')
        out.append(f'<line class="at up" x1="{place}" x2="{x}" y1="-20" y2="-6"/>')
        out.append(f'<g class="badge"><circle cx="{place}" cy="-29" r="9"><title>{escape(hint)}</title></circle>')
        out.append(svg.place_text(place, -29.0, str(i), "middle", "", hint) + "</g>")
    return out


def _accuracy(life: LifeResult) -> list[str]:
    lines = _lines(life)
    values = [y for name, _, _ in lines for y in life.accuracy[name] if math.isfinite(y)]
    low, high = math.floor(min(values) * 10) / 10, 1.0

    def up(y: float) -> float:
        return _ACCURACY * (high - y) / (high - low)

    out, ends = [svg.place_text("-52", -52.0, f"accuracy over the last {life.window} images")], []
    for tick in svg.round_ticks(low, high):
        out.append(f'<line class="grid" x2="100%" y1="{up(tick):.1f}" y2="{up(tick):.1f}"/>')
        out.append(svg.place_text("-9", up(tick), f"{tick:.0%}", "end"))
    out.append(_sheet(_ACCURACY, 0))
    for name, _, css in lines:
        points = [(1000.0 * i * life.step / life.images, y) for i, y in enumerate(life.accuracy[name])]
        out.append(f'<g class="{css}">{_polyline((x, up(y)) for x, y in points if math.isfinite(y))}</g>')
    out.append("</svg>")
    for name, words, css in lines:
        ends.append((up(life.accuracy[name][-1]), words, css))
    return [*out, svg.side_labels(ends, _ACCURACY)]


def _lanes(life: LifeResult, across: _Across, top: int, lanes: int) -> list[str]:
    """A row for each version; what it does is how strongly it is drawn."""
    out = [svg.place_text("-52", top - 16.0, f"versions of {life.name}")]
    for version in range(1, lanes + 1):
        y = top + (version - 1) * _LANE
        out.append(f'<line class="grid" x2="100%" y1="{y + _LANE}" y2="{y + _LANE}"/>')
        out.append(f'<g class="lane k{colour_of(version)}">')
        for span in life.spans:
            if span.version != version:
                continue
            tall = 3 if span.role == LEARNS else 14
            hint = f"version {version} {span.role}, image {span.begin} to {span.end}"
            out.append(f'<rect class="{_ROLES[span.role]}" x="{across(span.begin)}" y="{y + (_LANE - tall) / 2}"')
            out.append(f' width="{across(span.end - span.begin)}" height="{tall}"><title>{escape(hint)}</title></rect>')
        out.append(svg.place_text("-9", y + _LANE / 2, f"v{version}", "end", "tag"))
        fate = next((one.fate for one in life.versions if one.number == version), "")
        out.append('<svg class="side" x="100%" overflow="visible">')
        out.append(svg.place_text("18", y + _LANE / 2, svg.shorten(fate, 24), "start", "", fate) + "</svg></g>")
    return out


def _evidence(trials: Sequence[Trial], across: _Across, top: int) -> list[str]:
    """E-values on a logarithmic scale, in the colour of the version: better upwards, worse downwards."""
    needed, most, half = trials[0].needed, 1e4, _EVIDENCE / 2

    def up(signed: float) -> float:
        """Of a logarithm to base 10: of the evidence for it less of that against it."""
        level = math.log10(most)
        return half * (1 - min(max(signed, -level), level) / level)

    out = [svg.place_text("-52", top - 18.0, "evidence: \u2191 better, \u2193 worse than the other version")]
    for power in (-4, -2, 0, 2, 4):
        y = top + up(power)
        out.append(f'<line class="grid" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>')
        out.append(svg.place_text("-9", y, f"{10 ** abs(power):,}", "end"))
    for sign, words in ((1, "promote"), (-1, "refuse, roll back")):
        y = top + up(sign * math.log10(needed))
        out.append(f'<line class="base" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>')
        out.append('<svg class="side" x="100%" overflow="visible">')
        out.append(svg.place_text("18", y, f"from {needed:g}: {words}", "start") + "</svg>")
    out.append(_sheet(_EVIDENCE, top))
    for trial in trials:
        evidence = zip(trial.images, trial.e_better, trial.e_worse, strict=True)
        points = [(across.thousandth(x), up(_log(better) - _log(worse))) for x, better, worse in evidence]
        if points:
            points.insert(0, (across.thousandth(trial.images[0] - 1), half))
        hint = f"version {trial.version} beside version {trial.against}: {trial.outcome}"
        css = f"k{colour_of(trial.version)}{'' if trial.watch else ' strong'}"
        out.append(f'<g class="{css}">{_polyline(points, hint)}</g>')
    return [*out, "</svg>"]


def _log(e_value: float) -> float:
    return max(math.log10(e_value), 0.0) if e_value > 0.0 else 0.0


def weights_chart(life: LifeResult, names: Sequence[str]) -> str:
    """Who is trusted how much: a band for each model, together 100 %."""
    height = 240
    out = [svg.open_plot("areas", "weight of each model over the images", height)]
    out.append(svg.place_text("-52", -18.0, "share of the decision"))
    ticks = (0.0, 0.25, 0.5, 0.75, 1.0)
    out += [svg.place_text("-9", height * (1 - tick), f"{tick:.0%}", "end") for tick in ticks]
    for i, (image, text) in enumerate(svg.count_ticks(0, life.images, 9)):
        place = f"{100.0 * image / life.images:.2f}%"
        out.append(svg.place_text(place, height + 16.0, text, "middle", "alt" if i % 2 else ""))
    out.append(_sheet(height, 0))
    points = len(life.weights[names[0]])
    below, ends = [0.0] * points, []
    for i, name in enumerate(names, 1):
        above = [low + weight for low, weight in zip(below, life.weights[name], strict=True)]
        there = [j for j in range(points) if math.isfinite(above[j])]
        x = [1000.0 * j * life.step / life.images for j in range(points)]
        edge = [f"{x[j]:.1f},{height * (1 - above[j]):.1f}" for j in there]
        edge += [f"{x[j]:.1f},{height * (1 - below[j]):.1f}" for j in reversed(there)]
        hint = f"{name}: {life.weights[name][-1]:.0%} at the end"
        out.append(f'<g class="k{i}"><polygon points="{" ".join(edge)}"><title>{escape(hint)}</title></polygon></g>')
        ends.append((height * (1 - (below[-1] + above[-1]) / 2), name, f"k{i}"))
        below = above
    legend = "".join(f'<li class="k{i}"><span>{escape(name)}</span></li>' for i, name in enumerate(names, 1))
    return "".join([*out, "</svg>", svg.side_labels(ends, height), f'</svg></div><ul class="legend">{legend}</ul>'])


def loss_chart(losses: Sequence[float], validation: Sequence[float], colour: int, title: str) -> str:
    """The loss after each epoch, of training and (dashed) of examples kept apart."""
    height, lines = 150, [line for line in (losses, validation) if line]
    high = max(max(line) for line in lines) * 1.05
    ticks = svg.round_ticks(0.0, high, 3)
    out = [svg.open_plot("loss", title, height)]
    for tick, text in zip(ticks, svg.tick_texts(ticks), strict=True):
        y = height * (1 - tick / high)
        out.append(f'<line class="grid" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>{svg.place_text("-7", y, text, "end")}')
    out.append(svg.place_text("0", height + 15.0, "1"))
    out.append(svg.place_text("100%", height + 15.0, f"epoch {len(losses)}", "end"))
    out.append(_sheet(height, 0))
    for line, css in ((validation, "held"), (losses, "strong")):
        span = max(len(line) - 1, 1)
        drawn = _polyline((1000.0 * i / span, height * (1 - loss / high)) for i, loss in enumerate(line))
        out.append(f'<g class="k{colour} {css}">{drawn}</g>')
    return "".join([*out, "</svg></svg></div>"])


def _sheet(height: int, top: int) -> str:
    """Opens an SVG in which x goes from 0 to 1000, however wide it is drawn."""
    return f'<svg width="100%" y="{top}" height="{height}" viewBox="0 0 1000 {height}" preserveAspectRatio="none">'


def _polyline(points: Iterable[tuple[float, float]], hint: str = "") -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}">{f"<title>{escape(hint)}</title>" if hint else ""}</polyline>'
