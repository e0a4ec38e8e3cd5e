"""A job to look at: its loss curve as a picture, and a bar that moves while it trains."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from fairlead.lifecycle.jobs.status import JobStatus, span_words
from fairlead.lifecycle.trainer import Epoch
from fairlead.svg import number, open_plot, place_text, round_ticks, spread, tick_texts

if TYPE_CHECKING:
    from fairlead.lifecycle.jobs.job import Job

_LOOK_S = 0.1
_HOVER_POINTS = 48


def loss_curve(epochs: Sequence[Epoch], *, title: str, best: int | None = None, height: int = 260) -> str:
    """Loss and validation loss by epoch as HTML, which needs `CHART_CSS` once on its page; empty before two epochs.

    best: an epoch that is marked, on the validation's line.
    """
    lines = [
        (name, colour, [(e.number, value) for e, value in zip(epochs, values, strict=True) if value is not None])
        for name, colour, values in (
            ("training", 1, [e.loss for e in epochs]),
            ("validation", 2, [e.validation_loss for e in epochs]),
        )
    ]
    lines = [line for line in lines if line[2]]
    if len(epochs) < 2 or not lines:
        return ""
    first, last = epochs[0].number, epochs[-1].number
    least = min(value for _, _, points in lines for _, value in points)
    most = max(value for _, _, points in lines for _, value in points)
    pad = (most - least) * 0.06 or abs(most) * 0.01 or 1.0
    low, high = least - pad, most + pad

    def across(epoch: float) -> float:
        return 100.0 * (epoch - first) / (last - first)

    def up(value: float) -> float:
        return height * (high - value) / (high - low)

    out = [open_plot("lines", title, height), place_text("-52", -18.0, "loss")]
    ticks = round_ticks(low, high)
    for tick, text in zip(ticks, tick_texts(ticks), strict=True):
        out.append(f'<line class="grid" x2="100%" y1="{up(tick):.1f}" y2="{up(tick):.1f}"/>')
        out.append(place_text("-9", up(tick), text, "end"))
    wholes = [tick for tick in round_ticks(first, last, 6) if tick == int(tick)]
    for i, tick in enumerate(wholes):
        place = f"{across(tick):.2f}%"
        out.append(f'<line class="grid" x1="{place}" x2="{place}" y2="100%"/>')
        text = f"epoch {tick:.0f}" if i == len(wholes) - 1 else f"{tick:.0f}"
        out.append(place_text(place, height + 16.0, text, "middle"))
    for name, colour, points in lines:
        path = " ".join(f"{10 * across(epoch):.1f},{up(value):.1f}" for epoch, value in points)
        out.append(f'<svg width="100%" height="{height}" viewBox="0 0 1000 {height}" preserveAspectRatio="none">')
        out.append(f'<g class="k{colour}"><polyline points="{path}"/></g></svg><g class="k{colour}">')
        dots = [("hit", "", point) for point in points[:: -max(1, -(-len(points) // _HOVER_POINTS))]]
        dots += [("dot", "best, ", point) for point in points if colour == 2 and point[0] == best]
        for css, words, (epoch, value) in dots:
            out.append(f'<circle class="{css}" cx="{across(epoch):.2f}%" cy="{up(value):.1f}" r="5">')
            out.append(f"<title>{words}{name}, epoch {epoch}: {number(value)}</title></circle>")
        out.append("</g>")
    out.append('<svg class="side" x="100%" overflow="visible">')
    ends = sorted((up(points[-1][1]), name, colour) for name, colour, points in lines)
    places = spread([y for y, _, _ in ends], 16.0, 4.0, height - 4.0)
    for (y, name, colour), at in zip(ends, places, strict=True):
        out.append(f'<g class="k{colour}"><path class="tie" d="M2,{y:.1f}L14,{at:.1f}"/>')
        out.append(place_text("18", at, name, "start", "tag") + "</g>")
    legend = "".join(f'<li class="k{colour}"><span>{name}</span></li>' for name, colour, _ in lines)
    return "".join([*out, f'</svg></svg></div><ul class="legend">{legend}</ul>'])


def follow(job: Job, file: TextIO | None = None) -> JobStatus:
    """Shows how a job goes until it has ended; see `Job.show`."""
    out = sys.stdout if file is None else file
    if not out.isatty():
        return _lines(job, out)
    try:
        return _bar(job, out)
    except ImportError:  # without rich
        return _lines(job, out)


def _lines(job: Job, out: TextIO) -> JobStatus:
    told = 0
    while True:
        status = job.status()
        for epoch in status.epochs[told:]:
            of = "" if epoch.of is None else f"/{epoch.of}"
            loss = "" if epoch.loss is None else f"  loss {epoch.loss:.4g}"
            checked = "" if epoch.validation_loss is None else f"  validation {epoch.validation_loss:.4g}"
            print(f"{job.id}  epoch {epoch.number}{of}{loss}{checked}", file=out, flush=True)
        told = len(status.epochs)
        if status.ended:
            print(status, file=out, flush=True)
            return status
        time.sleep(_LOOK_S)


def _bar(job: Job, out: TextIO) -> JobStatus:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(file=out)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[epoch]}  {task.fields[loss]}  {task.fields[curve]}  {task.fields[left]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(job.id, total=None, epoch="", loss="", curve="", left="")
        while not (status := job.status()).ended:
            progress.update(
                task,
                total=status.of,
                completed=status.epoch,
                description=f"{job.id} {status.state}",
                epoch=f"epoch {status.epoch}" + ("" if status.of is None else f"/{status.of}"),
                loss="" if status.loss is None else f"loss {status.loss:.4g}",
                curve=status.sparkline(24),
                left="" if status.eta_s is None else f"{span_words(status.eta_s)} left",
            )
            time.sleep(_LOOK_S)
    console.print(str(status), markup=False, highlight=False)
    return status
