"""A drift report as one self-contained HTML page: the table, and reference against live for each feature."""

from __future__ import annotations

import math
from html import escape

from fairlead import page
from fairlead.measure.drift.distances import p_text
from fairlead.measure.drift.report import DriftReport, FeatureDrift
from fairlead.svg import number, open_plot, place_text, round_ticks, shorten, tick_texts

_DRAWN = 24  # features; the others are in the table
_BINS = 16  # of categories; the others are in the text that shows when the pointer rests
_SHARES, _PARTS, _GAP = 150, 46, 34  # pixels: the histogram, the contributions, the labels between them

_CSS = """
@media screen and (min-width:641px){table{font-size:.82rem} th,td{padding:.38rem .42rem} .name{max-width:12rem}}
.one h3{margin-top:1.6rem}
.plot.bins{margin:26px 10px 26px 52px}
.plot .was{fill:var(--quiet)} .plot .now{fill:var(--c1)} .plot .part{fill:var(--c2)}
.plot.bins .slim{display:none}
.plot .zero{stroke:var(--soft)}
.plot .bin:hover rect{opacity:.7} .plot .bin .whole{fill:transparent}
.keys{display:flex;flex-wrap:wrap;gap:.2rem 1.4rem;font-size:.85rem;color:var(--soft);
margin:.6rem 0 0;padding:0;list-style:none}
.keys li::before{content:"";display:inline-block;width:.8em;height:.8em;margin-right:.5em;vertical-align:-.05em;
background:currentColor}
.keys span{color:var(--ink)}
.keys .was{color:var(--quiet)} .keys .now{color:var(--c1)} .keys .part{color:var(--c2)}
@media (max-width:640px){.plot.bins .full{display:none}.plot.bins .slim{display:inline}
.plot.bins{margin-left:44px}.plot.bins .alt{display:none}}
"""


def render(report: DriftReport, title: str) -> str:
    """The page. All text of the data is escaped, and nothing depends on when or where it was made."""
    header = f'<p class="lead">{escape(report.headline())}</p>'
    return page.render(
        "Fairlead drift", title, header, _table(report) + _features(report) + _glossary(report), css=_CSS
    )


def _table(report: DriftReport) -> str:
    head = ["feature", "live", "missing", "PSI", "corrected", "level", "p", "adjusted p", "KS", "JS", "Hellinger", "W1"]
    cells = "".join(f'<th scope="col" class="{"name" if text == "feature" else ""}">{text}</th>' for text in head)
    rows = []
    for row in report.worst_first():
        texts = [
            f"{row.n_live:,}",
            f"{row.missing_live:.1%}",
            number(row.psi, 4),
            number(row.psi_corrected, 4),
            row.level,
            p_text(row.p_value),
            p_text(row.p_adjusted),
            number(row.ks, 3),
            number(row.jensen_shannon, 3),
            number(row.hellinger, 3),
            _in_unit(row.wasserstein),
        ]
        warned = "warn" if row.drifted else ""
        rows.append(
            f'<tr><th scope="row" class="name {warned}" title="{escape(row.feature)}">{escape(row.feature)}</th>'
            + "".join(f"<td>{escape(text)}</td>" for text in texts)
            + "</tr>"
        )
    note = (
        '<p class="caption">The smallest adjusted p-value first; features that drifted are marked. A level compares '
        "the index with the fixed thresholds .1 and .25, whatever the sizes; the p-values take them into account.</p>"
    )
    body = "".join(rows)
    table = f'<div class="wide"><table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>'
    return page.section("All features", note + table)


def _in_unit(distance: float) -> str:
    """A distance that may be of any size."""
    return f"{distance:.3g}" if 0.0 < distance < 1e-3 or 1e4 <= distance < math.inf else number(distance, 3)


def _features(report: DriftReport) -> str:
    rows = report.worst_first()
    keys = (
        '<ul class="keys"><li class="was"><span>reference</span></li><li class="now"><span>live</span></li>'
        '<li class="part"><span>contribution to the index</span></li></ul>'
    )
    rest = f" The first {_DRAWN} of {len(rows)} are drawn." if len(rows) > _DRAWN else ""
    note = (
        '<p class="caption">Upwards: the share of each side in a bin. Below: what the bin adds to the index; these '
        f"bars sum to it. An edge belongs to the bin on its left.{rest}</p>"
    )
    return page.section("Feature by feature", note + keys + "".join(_panel(row) for row in rows[:_DRAWN]))


def _panel(row: FeatureDrift) -> str:
    said = f"PSI {number(row.psi, 3)} ({row.level}), adjusted p {p_text(row.p_adjusted)}"
    name = f'{escape(row.feature)} <span class="note">{escape(said)}</span>'
    return f'<figure class="one"><h3 class="{"warn" if row.drifted else ""}">{name}</h3>{bins_chart(row)}</figure>'


def bins_chart(row: FeatureDrift) -> str:
    """Shares of reference and live side by side in each bin, and under them each bin's part of the index. HTML."""
    shown = list(range(len(row.bins)))
    if row.kind == "categorical" and len(shown) > _BINS:
        shown = sorted(sorted(shown, key=lambda i: -row.contributions[i])[:_BINS])
    was = [row.reference_counts[i] / row.n_reference for i in shown]
    now = [row.live_counts[i] / row.n_live for i in shown]
    parts = [row.contributions[i] for i in shown]
    top, most = max(*was, *now) * 1.06 or 1.0, max(parts) or 1.0
    width = 100.0 / len(shown)
    floor, base = float(_SHARES), float(_SHARES + _GAP + _PARTS)

    out = [open_plot("bins", f"reference against live, {row.feature}", _SHARES + _GAP + _PARTS)]
    ticks = round_ticks(0.0, 100.0 * top, 4)
    for tick, text in zip(ticks, tick_texts(ticks), strict=True):
        y = floor * (1.0 - tick / 100.0 / top)
        out.append(f'<line class="grid" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>')
        out.append(place_text("-9", y, f"{text}%", "end"))
    out.append(place_text("-9", floor + _GAP + 8, number(most, 3) if most >= 0.0005 else f"{most:.0e}", "end"))
    for k, i in enumerate(shown):
        x, part = k * width, parts[k]
        hint = (
            f"{row.bins[i]}: reference {was[k]:.2%} ({row.reference_counts[i]:,}), live {now[k]:.2%} "
            f"({row.live_counts[i]:,}), adds {part:.4f}"
        )
        out.append(f'<g class="bin"><title>{escape(hint)}</title>')
        out.append(_bar("whole", x, width, 0.0, base))
        out.append(_bar("was", x + 0.12 * width, 0.36 * width, floor * (1.0 - was[k] / top), floor))
        out.append(_bar("now", x + 0.52 * width, 0.36 * width, floor * (1.0 - now[k] / top), floor))
        out.append(_bar("part", x + 0.12 * width, 0.76 * width, base - _PARTS * part / most, base) + "</g>")
    out.append(f'<line class="zero" x2="100%" y1="{floor}" y2="{floor}"/>')
    out.append(f'<line class="zero" x2="100%" y1="{base}" y2="{base}"/>')
    out.append(_numeric_labels(row, width) if row.kind == "numeric" else _level_labels(row, shown, width))
    return "".join([*out, "</svg></div>"])


def _bar(css: str, x: float, width: float, top: float, bottom: float) -> str:
    place = f'x="{x:.3f}%" width="{width:.3f}%" y="{top:.1f}" height="{max(bottom - top, 0.0):.1f}"'
    return f'<rect class="{css}" {place}/>'


def _numeric_labels(row: FeatureDrift, width: float) -> str:
    """Edges under the borders between bins, as many as there is room for, and the bin of missing values."""
    edges = [text.removeprefix("up to ").split(" to ")[-1] for text in row.bins if not text.startswith("above ")]
    missing = bool(edges) and row.bins[-1] == "missing"
    edges = edges[:-1] if missing else edges
    longest = max(map(len, edges), default=0)
    step = math.ceil(max(7.5, 1.5 + 0.8 * longest) / width)
    out = [
        place_text(
            f"{(i + 1) * width:.2f}%",
            _SHARES + 14.0,
            edge.replace("-", "\u2212"),
            "middle",
            "alt" if i // step % 2 else "",
        )
        for i, edge in enumerate(edges)
        if i % step == 0
    ]
    if missing:
        out.append(place_text(f"{100.0 - width / 2:.2f}%", _SHARES + 14.0, "missing", "middle", "ink"))
    return "".join(out)


def _level_labels(row: FeatureDrift, shown: list[int], width: float) -> str:
    """Categories under their bins, cut to the room there is on a wide page and on a narrow one."""
    out = []
    for k, i in enumerate(shown):
        extra = " ink" if i >= len(row.bins) - 2 and row.bins[i] in ("other", "missing") else ""
        for css, pixels in (("full", 860.0), ("slim", 350.0)):
            text = shorten(row.bins[i], max(3, int(width / 100.0 * pixels / 7.6)))
            out.append(
                place_text(f"{(k + 0.5) * width:.2f}%", _SHARES + 14.0, text, "middle", css + extra, row.bins[i])
            )
    return "".join(out)


def _glossary(report: DriftReport) -> str:
    meanings = {
        "PSI": "Population stability index, half a count added to every bin. Below 0.1 stable, from 0.25 on major.",
        "corrected": "PSI less what chance gives at these sizes, (1/N + 1/M)(B \u2212 1). Without drift, around 0.",
        "p": f"How often chance alone would do as much, by the test {report.test}.",
        "adjusted p": "The same, adjusted for the number of features.",
        "KS": "Largest difference of the two distribution functions, 0 to 1.",
        "JS, Hellinger": "Distances of the binned shares, 0 (the same) to 1 (nothing in common).",
        "W1": "Wasserstein distance: how far values moved on average, in their own unit.",
    }
    items = "".join(f"<dt>{word}</dt><dd>{escape(meaning)}</dd>" for word, meaning in meanings.items())
    return page.section("How to read the numbers", f'<dl class="glossary">{items}</dl>')
