"""How a job stands, and what came out of it, in numbers and in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from fairlead.lifecycle.failures import Failure
from fairlead.lifecycle.jobs.folder import JobFolder
from fairlead.lifecycle.jobs.orders import Order
from fairlead.lifecycle.trainer import Epoch

FINAL = ("done", "failed", "stopped")
"""States that a job does not leave, but by being resumed."""

_TICKS = "▁▂▃▄▅▆▇█"
_RECENT = 5


@dataclass(frozen=True, slots=True)
class JobStatus:
    """How a job stands.

    state: "queued", "running", "paused", "stopping", "stopped", "done" or "failed". epochs: those that ended, in order;
    epoch, of, loss, validation_loss: of the newest (0, None before it). best: the epoch of the least validation loss.
    started, finished: nanoseconds since the epoch. seconds: spent in training. eta_s: seconds left, going by the newest
    epochs; None where nobody knows. failure, message: why it failed or was stopped. rss_mb, cpu_s: memory and processor
    time of its process when it last told.
    """

    id: str
    name: str
    state: str
    mode: str
    epochs: tuple[Epoch, ...]
    best: int | None
    started: int | None
    finished: int | None
    seconds: float
    eta_s: float | None
    failure: Failure | None
    message: str
    attempt: int
    rss_mb: float | None
    cpu_s: float | None

    @property
    def ended(self) -> bool:
        """Whether it is done, failed or stopped."""
        return self.state in FINAL

    @property
    def epoch(self) -> int:
        """Number of the newest epoch that ended; 0: none."""
        return self.epochs[-1].number if self.epochs else 0

    @property
    def of(self) -> int | None:
        """How many epochs there will be at most."""
        return self.epochs[-1].of if self.epochs else None

    @property
    def loss(self) -> float | None:
        """Of the newest epoch."""
        return self.epochs[-1].loss if self.epochs else None

    @property
    def validation_loss(self) -> float | None:
        """Of the newest epoch."""
        return self.epochs[-1].validation_loss if self.epochs else None

    @property
    def losses(self) -> tuple[float | None, ...]:
        """Of every epoch."""
        return tuple(epoch.loss for epoch in self.epochs)

    @property
    def validation_losses(self) -> tuple[float | None, ...]:
        """Of every epoch."""
        return tuple(epoch.validation_loss for epoch in self.epochs)

    @property
    def progress(self) -> float | None:
        """The share of the epochs that ended, 1 once it is done; None where nobody knows how many there will be."""
        if self.state == "done":
            return 1.0
        return self.epoch / self.of if self.of else (0.0 if not self.epochs else None)

    def bar(self, width: int = 20) -> str:
        """The progress as a bar of `width` letters; empty where it is not known."""
        share = self.progress
        if share is None:
            return ""
        full = round(min(share, 1.0) * width)
        return "━" * full + "╌" * (width - full)

    def sparkline(self, width: int = 30) -> str:
        """The loss curve in a line: of validation, where there is one."""
        known = [loss for loss in self.validation_losses if loss is not None]
        return sparkline(known or [loss for loss in self.losses if loss is not None], width)

    def curve(self, *, height: int = 260) -> str:
        """The loss curve as HTML, which needs `fairlead.svg.CHART_CSS` once on its page; empty before two epochs."""
        from fairlead.lifecycle.jobs.picture import loss_curve

        return loss_curve(self.epochs, title=f"Loss of {self.id}", best=self.best, height=height)

    def as_dict(self) -> dict[str, Any]:
        """The fields, as plain JSON types; `epochs` as a list of rows."""
        found = asdict(self)
        found["failure"] = None if self.failure is None else self.failure.value
        return found | {"epochs": [asdict(epoch) for epoch in self.epochs]}

    def __str__(self) -> str:
        parts = [self.id, f"{self.state}" if self.failure is None else f"{self.state} ({self.failure})"]
        if self.epochs:
            parts.append(f"epoch {self.epoch}" + ("" if self.of is None else f"/{self.of}"))
        if not self.ended and (bar := self.bar()):
            parts.append(bar)
        if self.loss is not None:
            parts.append(f"loss {self.loss:.4g}")
        if self.validation_loss is not None:
            parts.append(f"validation {self.validation_loss:.4g}")
        if curve := self.sparkline():
            parts.append(curve)
        if self.eta_s is not None and not self.ended:
            parts.append(f"{span_words(self.eta_s)} left")
        if self.ended and self.seconds:
            parts.append(f"in {span_words(self.seconds)}")
        return "  ".join([*parts, *([self.message] if self.message else [])])


@dataclass(frozen=True, slots=True)
class JobResult:
    """What came out of a job.

    artifact: the file of the weights. digest: its SHA-256. examples: fingerprint of what it learned from. best: the
    epoch of the weights under early stopping, None: the last. seconds: spent in training.
    """

    id: str
    name: str
    artifact: Path
    digest: str
    format: str
    bytes: int
    seconds: float
    losses: tuple[float | None, ...]
    validation_losses: tuple[float | None, ...]
    best: int | None
    mode: str
    seed: int
    examples: str
    base_digest: str | None


def read_status(place: JobFolder, order: Order, now: int, alive: bool | None = None) -> JobStatus:
    """How a job stands by its folder. alive: whether its process is; None: by its lease."""
    said = place.status()
    epochs = place.epochs()
    state, failure, message = said["state"], said.get("failure"), said.get("message") or ""
    if state not in FINAL and alive is not True and (alive is False or place.holder() is None):
        said = place.status()  # it may have ended between the two looks
        state, failure, message = said["state"], said.get("failure"), said.get("message") or ""
        if state not in FINAL:
            state, failure, message = "failed", Failure.orphaned.value, _orphaned_words(place, len(epochs))
    heart = place.heartbeat()
    return JobStatus(
        id=place.id,
        name=order.name,
        state=state,
        mode=order.mode,
        epochs=tuple(Epoch(e["epoch"], e["of"], e["loss"], e["validation_loss"]) for e in epochs),
        best=_best(epochs, order),
        started=said.get("started"),
        finished=said.get("finished"),
        seconds=epochs[-1]["seconds"] if epochs else 0.0,
        eta_s=None if state in FINAL else _eta(epochs, now, state),
        failure=None if failure is None else Failure(failure),
        message=message,
        attempt=said.get("attempt", 1),
        rss_mb=heart[1] if heart else None,
        cpu_s=heart[2] if heart else None,
    )


def sparkline(values: Sequence[float], width: int = 30) -> str:
    """Numbers as a line of small bars; more than `width` are put together by their mean.

    >>> sparkline([8.0, 4.0, 2.0, 1.0, 1.0])
    '█▄▂▁▁'
    """
    known = [value for value in values if math.isfinite(value)]
    if not known or width < 1:
        return ""
    if len(known) > width:
        cuts = [len(known) * i // width for i in range(width + 1)]
        known = [math.fsum(known[a:b]) / (b - a) for a, b in pairwise(cuts)]
    low, high = min(known), max(known)
    if not high > low:
        return _TICKS[0] * len(known)
    top = len(_TICKS) - 1
    return "".join(_TICKS[round((value - low) / (high - low) * top)] for value in known)


def span_words(seconds: float) -> str:
    """Seconds, as a person says them.

    >>> span_words(0.25), span_words(12.4), span_words(200), span_words(7300)
    ('0.2 s', '12 s', '3 min 20 s', '2 h 1 min')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _orphaned_words(place: JobFolder, epochs: int) -> str:
    at = f"after epoch {epochs}" if epochs else "before the end of its first epoch"
    kept = place.newest("checkpoint")
    how = f"its checkpoint of epoch {kept} is kept" if kept else "it has no checkpoint and would begin anew"
    return f"the process that started it is gone, {at}; {how}: jobs.resume({place.id!r}, trainer, examples) goes on"


def _best(epochs: list[dict[str, Any]], order: Order) -> int | None:
    least = order.early_stopping.least if order.early_stopping else 0.0
    best: tuple[int, float] | None = None
    for epoch in epochs:
        loss = epoch["validation_loss"]
        if loss is not None and (best is None or loss < best[1] - least):
            best = (epoch["epoch"], loss)
    return best[0] if best else None


def _eta(epochs: list[dict[str, Any]], now: int, state: str) -> float | None:
    if not epochs or epochs[-1]["of"] is None:
        return None
    back = epochs[-_RECENT - 1] if len(epochs) > _RECENT else None
    count = epochs[-1]["epoch"] - (back["epoch"] if back else 0)
    mean = (epochs[-1]["seconds"] - (back["seconds"] if back else 0.0)) / count
    left = mean * (epochs[-1]["of"] - epochs[-1]["epoch"])
    since = 0.0 if state == "paused" else max(0.0, (now - epochs[-1]["time"]) / 1e9)
    return float(max(0.0, left - min(since, mean)))
