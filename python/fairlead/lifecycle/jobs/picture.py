"""A job to look at: its loss curve as a picture, and a bar that moves while it trains."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from fairlead.lifecycle.jobs.status import JobStatus, span_words
from fairlead.lifecycle.trainer import Epoch
from fairlead.svg import number, open_plot, place_text, round_ticks, tick_texts

if TYPE_CHECKING:
    from fairlead.lifecycle.jobs.job import Job

_LOOK_S = 0.1


def loss_curve(epochs: Sequence[Epoch], *, title: str, best: int | None = None, height: int = 260) -> str:
    """Loss and validation loss by epoch as HTML, which needs `CHART_CSS` once on its page; empty before two epochs.

    best: an epoch that is marked, on the validation's line.
    """
    lines = [
        (name, colour, [(e.number, value) for e, value in zip(epochs, values, strict=True) if value is not None])
        for name, colour, values in (
            ("validation", 2, [e.validation_loss for e in epochs]),
            ("training", 1, [e.loss for e in epochs]),
        )
    ]
    drawn = [line for line in lines if line[2]]
    if len(epochs) < 2 or not drawn:
        return ""
    first, last = epochs[0].number, epochs[-1].number
    least = min(value for _, _, points in drawn for _, value in points)
    most = max(value for _, _, points in drawn for _, value in points)
    pad = (most - least) * 0.06 or abs(most) * 0.01 or 1.0
    low, high = least - pad, most + pad

    def across(epoch: int) -> float:
        return 100.0 * (epoch - first) / (last - first)

    def up(value: float) -> float:
        return height * (high - value) / (high - low)

    out = [open_plot("lines", title, height), place_text("-52", -18.0, "loss")]
    ticks = round_ticks(low, high, 4)
    for tick, text in zip(ticks, tick_texts(ticks), strict=True):
        out.append(f'<line class="grid" x2="100%" y1="{up(tick):.1f}" y2="{up(tick):.1f}"/>')
        out.append(place_text("-9", up(tick), text, "end"))
    for i, tick in enumerate(t for t in round_ticks(first, last, 6) if t == int(t)):
        place = f"{across(int(tick)):.2f}%"
        out.append(place_text(place, height + 16.0, f"epoch {tick:.0f}" if i == 0 else f"{tick:.0f}", "middle"))
    ends = {name: up(points[-1][1]) for name, _, points in drawn}
    apart = 16.0 - abs(ends.get("validation", 0.0) - ends.get("training", 99.0)) if len(ends) > 1 else 0.0
    for name, colour, points in drawn:
        hint = f"{name}: {number(points[-1][1])} at epoch {points[-1][0]}"
        path = " ".join(f"{10 * across(epoch):.1f},{up(value):.1f}" for epoch, value in points)
        out.append(f'<svg width="100%" height="{height}" viewBox="0 0 1000 {height}" preserveAspectRatio="none">')
        out.append(f'<g class="k{colour}"><polyline points="{path}"><title>{hint}</title></polyline></g></svg>')
        if apart > 0:
            above = ends[name] <= min(ends.values()) if ends["validation"] != ends["training"] else name == "training"
            ends[name] += -apart / 2 if above else apart / 2
        out.append(f'<g class="k{colour}"><svg x="100%" overflow="visible">')
        out.append(place_text("10", ends[name], name, "start", "tag", hint) + "</svg></g>")
    known = dict(lines[0][2])
    if best in known:
        hint = f"best: {number(known[best])} at epoch {best}"
        out.append(f'<g class="k2"><circle class="dot" cx="{across(best):.2f}%" cy="{up(known[best]):.1f}" r="5">')
        out.append(f"<title>{hint}</title></circle></g>")
    return "".join([*out, "</svg></div>"])


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
