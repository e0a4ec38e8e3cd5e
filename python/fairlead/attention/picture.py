"""Weights of attention as a heatmap: a self-contained page with tooltips, or a file of matplotlib (extra ``plot``)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from fairlead import page
from fairlead.svg import number, round_ticks, shorten, tick_texts

_CELLS = 40_000  # that a page draws: more would make it slow to open
_WRITTEN = 12  # rows up to which a single map has its numbers written into the cells
_LABEL = 14  # characters
_ROOMY = 24  # names along an axis that fit anywhere
_PITCH = 10  # pixels that a name takes
_NAMED = 100  # names along an axis of a file

_CSS = """
.maps{display:grid;gap:1.2rem 1.6rem;margin:1.4rem 0 0;
grid-template-columns:repeat(auto-fit,minmax(min(100%,max(380px,min(var(--wide),440px))),1fr))}
.maps.one{grid-template-columns:minmax(0,max(720px,var(--wide)))}
.map h3{margin:0 0 .3rem;color:var(--ink)}
.heat{container-type:inline-size;margin:var(--above) 8px 8px var(--beside)}
.heat svg{display:block;width:100%;height:100%;overflow:visible;font-size:12px;fill:var(--ink)}
.heat>svg>rect{fill:none;stroke:var(--faint)}
.heat .cell rect{fill:currentColor}
.heat .cell .whole{fill:transparent;stroke:transparent}
.heat .cell:hover .whole{stroke:var(--ink);stroke-width:1.5}
.heat .cell text{fill:var(--ink);text-anchor:middle;pointer-events:none}
.heat .cell text.light{fill:var(--paper)}
.heat .many{font-size:9.5px}
.heat .none rect{fill:var(--faint)}
.scale{margin:1.6rem 12px 0;max-width:420px;font-size:12px}
.scale svg{display:block;width:100%;height:34px;overflow:visible;fill:var(--soft)}
.scale .bar{stroke:var(--faint)}
"""


def plot_attention(
    weights: Any,
    labels: Sequence[str] | tuple[Sequence[str], Sequence[str]] | None = None,
    *,
    head: int | str | None = None,
    path: str | Path | None = None,
    title: str = "Who looks at whom",
) -> str:
    """Draws weights as a heatmap: a row for each query, a column for each key, all heads on one scale of colours.

    Args:
        weights: (queries, keys) or (heads, queries, keys), of numpy or torch: of one observation, so that a batch of
            more than one is refused.
        labels: Names of the assets; a pair of two such sequences where queries and keys are not the same.
        head: One head by its number, or "mean" for the mean over heads. None: all of them side by side.
        path: Where to write: ``.html`` for the page; else what matplotlib can write, such as ``.png``, ``.svg`` or
            ``.pdf``.
        title: Over the picture.

    Returns:
        The page, HTML that needs nothing else: the weight of a pair shows when the pointer rests on it. Empty where it
        would have more than 40,000 cells.

    Raises:
        ValueError: A shape that is no matrix or stack of them, labels that do not fit, too many cells for a page.
        IndexError: A head that is not there.
        ImportError: matplotlib is not installed, and a file other than a page is asked for.

    >>> import numpy as np
    >>> html = plot_attention(np.eye(2), ["BTC", "ETH"])
    >>> "BTC looks at ETH: 0.000" in html
    True
    """
    maps, names = _maps(weights, head)
    rows, columns = _labels(labels, maps.shape[1], maps.shape[2])
    if path is not None and Path(path).suffix.lower() not in (".html", ".htm"):
        _draw(Path(path), maps, names, rows, columns, title)
        return "" if maps.size > _CELLS else _page(maps, names, rows, columns, title)
    if maps.size > _CELLS:
        raise ValueError(
            f"weights has shape {maps.shape}, more than {_CELLS:,} cells: choose a head, or a path that ends with .png"
        )
    html = _page(maps, names, rows, columns, title)
    if path is not None:
        Path(path).write_text(html, encoding="utf-8")
    return html


def _maps(weights: Any, head: int | str | None) -> tuple[Any, list[str]]:
    """(maps, queries, keys) in float64, and the name of each."""
    try:
        given = weights.detach().cpu().double().numpy() if hasattr(weights, "detach") else np.asarray(weights)
    except (NotImplementedError, ValueError) as error:  # on torch's "meta", or a ragged list
        raise TypeError(f"weights is {type(weights).__name__}, must be an array of numbers: {error}") from error
    if given.dtype.kind not in "fiub":
        raise TypeError(f"weights has dtype {given.dtype}, must be real numbers")
    maps = np.asarray(given, dtype=np.float64)
    while maps.ndim > 3 and maps.shape[0] == 1:
        maps = maps[0]
    if maps.ndim not in (2, 3) or maps.size == 0:
        raise ValueError(
            f"weights has shape {given.shape}, must be (queries, keys) or (heads, queries, keys): take one observation"
        )
    if maps.ndim == 2:
        if head not in (None, "mean", 0):
            raise IndexError(f"head is {head!r}, weights of shape {given.shape} have no heads")
        return maps[None], [""]
    if head is None:
        return maps, [f"head {i}" for i in range(len(maps))]
    if isinstance(head, str):
        if head != "mean":
            raise ValueError(f"head is {head!r}, must be a number, 'mean' or None")
        return maps.mean(axis=0, keepdims=True), ["mean of all heads"]
    if isinstance(head, bool) or not hasattr(head, "__index__"):
        raise TypeError(f"head is {head!r}, must be a number, 'mean' or None")
    if not -len(maps) <= head < len(maps):
        raise IndexError(f"head is {head}, there are {len(maps)}")
    return maps[head][None], [f"head {head % len(maps)}"]


def _labels(labels: Any, rows: int, columns: int) -> tuple[list[str], list[str]]:
    if labels is None:
        return [str(i) for i in range(rows)], [str(j) for j in range(columns)]
    pair = isinstance(labels, tuple) and len(labels) == 2 and not any(isinstance(x, str) for x in labels)
    both = labels if pair else (labels, labels)
    for names in both:
        if isinstance(names, (str, bytes)) or not hasattr(names, "__iter__"):
            raise TypeError(f"labels is {labels!r}, must be a sequence of names, or a pair of them")
    found = [[str(name) for name in names] for names in both]
    for names, size, what in zip(found, (rows, columns), ("queries", "keys"), strict=True):
        if len(names) != size:
            raise ValueError(f"labels has {len(names)} names, the weights have {size} {what}")
    return found[0], found[1]


def _top(maps: Any) -> float:
    finite = maps[np.isfinite(maps)]
    return float(finite.max()) if finite.size and finite.max() > 0 else 1.0


# --- the page ---------------------------------------------------------------------------------------------------------


def _page(maps: Any, names: list[str], rows: list[str], columns: list[str], title: str) -> str:
    top = _top(maps)
    panels = "".join(_map(one, name, rows, columns, top, len(maps) == 1) for one, name in zip(maps, names, strict=True))
    note = (
        '<p class="caption">A row is who looks, a column at whom; a row sums to 1, or to 0 where there is nobody to '
        "look at. Rest the pointer on a cell for its weight.</p>"
    )
    most = max(len(rows), len(columns))
    wide = f"--wide:{_beside(rows) + 8 + _PITCH * most}px"
    body = f'{note}<div class="maps{" one" if len(maps) == 1 else ""}" style="{wide}">{panels}</div>{_scale(top)}'
    # Names for which a narrow map has no room: every asset has one where each gets its pixels.
    css = f"{_CSS}@container (max-width:{_PITCH * most - 1}px){{.heat .more{{display:none}}}}\n"
    return page.render("Fairlead attention", title, "", body, css=css)


def _beside(rows: list[str]) -> int:
    """Pixels that the names of the rows take."""
    return 16 + 7 * max(len(shorten(text, _LABEL)) for text in rows)


def _map(one: Any, name: str, rows: list[str], columns: list[str], top: float, alone: bool) -> str:
    n, m = one.shape
    wide, high = 100.0 / m, 100.0 / n
    beside = _beside(rows)
    above = 12 + (5 if m <= _ROOMY else 6) * max(len(shorten(text, _LABEL)) for text in columns)
    written = alone and max(n, m) <= _WRITTEN
    heading = f"<h3>{escape(name)}</h3>" if name else ""
    out = [
        f'<figure class="map k1">{heading}<div class="heat" style="--beside:{beside}px;--above:{above}px;'
        f'aspect-ratio:{m}/{n}"><svg role="img" aria-label="{escape(name or "weights")}">'
    ]
    for i in range(n):
        for j in range(m):
            value = float(one[i, j])
            place = f'x="{j * wide:.3f}%" y="{i * high:.3f}%" width="{wide:.3f}%" height="{high:.3f}%"'
            share = value / top if math.isfinite(value) else 0.0
            said = f"{rows[i]} looks at {columns[j]}: {number(value, 3)}" + (f" ({name})" if name else "")
            css = "cell" if math.isfinite(value) else "cell none"
            out.append(
                f'<g class="{css}"><title>{escape(said)}</title><rect {place} fill-opacity="{share:.3f}"/>'
                f'<rect class="whole" {place}/>'
            )
            if written:
                light = "light" if share > 0.62 else ""
                middle = f'x="{(j + 0.5) * wide:.3f}%" y="{(i + 0.5) * high:.3f}%" dy=".35em"'
                out.append(f'<text class="{light}" {middle}>{number(value, 2)}</text>')
            out.append("</g>")
    out.append('<rect width="100%" height="100%"/>')
    out += [
        f'<text class="{_fits(i, n)}" x="-8" y="{(i + 0.5) * high:.3f}%" dy=".35em" text-anchor="end">'
        f"{escape(shorten(rows[i], _LABEL))}<title>{escape(rows[i])}</title></text>"
        for i in range(n)
    ]
    leaning = 'transform="rotate(-45)"' if m <= _ROOMY else 'transform="rotate(-90)" dy=".35em"'
    out += [
        f'<svg class="{_fits(j, m)}" x="{(j + 0.5) * wide:.3f}%" y="-8" overflow="visible">'
        f"<text {leaning}>{escape(shorten(columns[j], _LABEL))}<title>{escape(columns[j])}</title></text>"
        "</svg>"
        for j in range(m)
    ]
    return "".join([*out, "</svg></div></figure>"])


def _fits(i: int, n: int) -> str:
    """The class of name i of n."""
    if n <= _ROOMY:
        return ""
    return "many" if i % math.ceil(n / _ROOMY) == 0 else "many more"


def _some(n: int) -> range:
    """Which of n names a file has room for."""
    return range(0, n, math.ceil(n / _NAMED))


def _scale(top: float) -> str:
    """The legend: what a colour means."""
    ticks = round_ticks(0.0, top, 4)
    texts = "".join(
        f'<text x="{100.0 * tick / top:.2f}%" y="30" text-anchor="middle">{text}</text>'
        for tick, text in zip(ticks, tick_texts(ticks), strict=True)
    )
    return (
        '<div class="scale k1"><svg role="img" aria-label="scale of colours"><defs><linearGradient id="weight">'
        '<stop offset="0" stop-color="currentColor" stop-opacity="0"/><stop offset="1" stop-color="currentColor"/>'
        f'</linearGradient></defs><rect class="bar" width="100%" height="14" fill="url(#weight)"/>{texts}</svg></div>'
    )


# --- the file ---------------------------------------------------------------------------------------------------------


def _draw(path: Path, maps: Any, names: list[str], rows: list[str], columns: list[str], title: str) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(f'matplotlib draws {path.name}: pip install "fairlead[plot]"') from error
    across = min(len(maps), math.ceil(math.sqrt(len(maps))))
    down = math.ceil(len(maps) / across)
    small = max(maps.shape[1:]) > _ROOMY
    side = max(3.6, 0.115 * min(max(maps.shape[1:]), _NAMED))  # inches, so that names do not touch
    figure = Figure(figsize=(1.2 + (side + 0.8) * across, 0.6 + (side + 0.6) * down), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False)
    top = _top(maps)
    drawn = None
    for place in range(down * across):
        axis = axes[place // across][place % across]
        if place >= len(maps):
            axis.set_axis_off()
            continue
        drawn = axis.imshow(maps[place], vmin=0.0, vmax=top, cmap="Blues", interpolation="nearest", aspect="equal")
        axis.set_title(names[place], fontsize=10)
        axis.set_xticks(list(_some(maps.shape[2])), [shorten(columns[j], _LABEL) for j in _some(maps.shape[2])])
        axis.set_yticks(list(_some(maps.shape[1])), [shorten(rows[i], _LABEL) for i in _some(maps.shape[1])])
        axis.tick_params(length=0, labelsize=6.5 if small else 8)
        for text in axis.get_xticklabels():
            text.set_rotation(90 if max(map(len, columns)) > 2 else 0)
        if max(maps.shape[1:]) <= _WRITTEN and len(maps) == 1:
            for i, j in np.ndindex(*maps.shape[1:]):
                colour = "white" if maps[place, i, j] > 0.62 * top else "black"
                axis.text(j, i, number(float(maps[place, i, j]), 2), ha="center", va="center", color=colour, fontsize=8)
    figure.suptitle(title)
    if drawn is not None:
        figure.colorbar(drawn, ax=axes, label="weight", shrink=0.8)
    figure.savefig(path, dpi=150)
