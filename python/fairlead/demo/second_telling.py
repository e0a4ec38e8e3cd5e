"""The second act, told: a line for each moment, on a terminal with what goes on meanwhile."""

from __future__ import annotations

import math
import textwrap
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from fairlead.demo.cast import Cast
from fairlead.demo.first_act import mean
from fairlead.demo.life import LifeResult, Moment
from fairlead.demo.second_act import IMAGES, NAME, Now, Watcher, live
from fairlead.demo.sensor import FAULT_AT
from fairlead.demo.teller import Teller, sparkline, table_of

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

_PACE = 0.03  # seconds that a job rests after each epoch where somebody watches, so that an eye can follow
_STATES = {
    "serving": "it answers",
    "training": "it answers while a job trains",
    "validating": "on trial",
    "shadow": "a challenger predicts in shadow",
    "canary": "a challenger answers a share",
    "watching": "watched beside the version before",
}


def tell(teller: Teller, cast: Cast, seed: int) -> LifeResult:
    """Plays the second act and prints it."""
    teller.say("The same fault again, and one reader is retrained when it should be", "bold")
    teller.say(
        f"{NAME}, a small neural network, joins the four that the fault hurts most. It is managed: its versions stand "
        "in a registry, a monitor looks for drift, jobs train it, trials decide who answers. The images are the same, "
        f"in another order; from image {2 * FAULT_AT + 1:,} on, those of the first half are shown again, through the "
        "broken sensor.\n"
    )
    with teller.screen() as draw:
        life = live(seed=seed, cast=cast, watcher=_Screen(teller, draw))
    teller.say("")
    read, decided = ([f"{share:.0%}" for share in shares] for shares in (life.reads, life.decides))
    teller.chapter(
        "Accuracy falls, and comes back",
        f"Before the fault {life.name} read {read[0]} of the images rightly, from then until version 2 was promoted "
        f"{read[1]}, and after that {read[2]}. The fleet is told of outcomes alone, and follows, since it learns whom "
        f"to trust: {decided[0]}, {decided[1]} and {decided[2]} of its decisions were right.",
        _curves(life, teller.ascii_only),
    )
    teller.chapter(
        "Each version had its chance",
        "The loss of each training, and the share of images that the version reads rightly while the sensor works and "
        "once it is broken, of images that no version learned from.",
        _versions(life, teller.ascii_only),
    )
    teller.say("")
    return life


class _Screen(Watcher):
    def __init__(self, teller: Teller, draw: Callable[[Any], None] | None) -> None:
        self._teller = teller
        self._draw = draw
        self.pace = 0.0 if draw is None else _PACE

    def happened(self, moment: Moment) -> None:
        lead = f"{moment.image:>7,}  "
        width = min(self._teller.console.width, 88)
        text = textwrap.fill(moment.words, width, initial_indent=lead, subsequent_indent=" " * len(lead))
        self._teller.console.print(text, highlight=False, markup=False)

    def shown(self, now: Now) -> None:
        if self._draw is not None:
            self._draw(_moment(now, self._teller.ascii_only))
            if now.job is None:
                time.sleep(0.02)


def _moment(now: Now, ascii_only: bool) -> Group:
    """The screen: how the reader does, what the job has learned so far, how the trial stands."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    table = table_of("<", "<", "")
    table.show_header = False
    sensor = "is broken" if now.image > FAULT_AT else "works"
    table.title = f"image {now.image:,} of {IMAGES:,}: the sensor {sensor}"
    known = [value for value in now.accuracy if not math.isnan(value)]
    if known:
        table.add_row("accuracy", sparkline(known[-48:], 0.3, 1.0, ascii_only), f"{known[-1]:.0%}")
    for model, weight in now.weights.items():
        table.add_row(f"weight of {model}", ProgressBar(total=1.0, completed=weight, width=48), f"{weight:.0%}")
    answers = "" if now.champion is None else f"version {now.champion}: {_STATES.get(now.state, now.state)}"
    lines: list[Any] = [table, Text(answers)]
    if now.job is not None:
        job = now.job
        of = job.of or 1
        progress = table_of("<", "<", "")
        progress.show_header = False
        progress.add_row("training", ProgressBar(total=of, completed=job.epoch, width=48), f"epoch {job.epoch} of {of}")
        losses = [loss for loss in job.losses if loss is not None]
        if losses:
            line = sparkline(losses[-48:], 0.0, max(losses), ascii_only)
            progress.add_row("loss", line, f"{losses[-1]:.2f}")
        lines.append(progress)
    elif now.progress:
        lines.append(Text(now.progress.partition("\n")[0], style="dim", no_wrap=True, overflow="crop"))
    return Group(*lines)


def _curves(life: LifeResult, ascii_only: bool) -> Table:
    span = 4  # points in one character
    table = table_of("<", f"<accuracy, image 1 to {life.images:,}", "at the end")
    for name, words in (("served", life.name), ("kept", "never retrained"), ("fleet", "the fleet's decision")):
        line = life.accuracy[name]
        parts = [[y for y in line[i : i + span] if not math.isnan(y)] for i in range(0, len(line), span)]
        drawn = (sparkline([mean(part)], 0.3, 1.0, ascii_only) if part else " " for part in parts)
        table.add_row(words, "".join(drawn), f"{line[-1]:.0%}")
    return table


def _versions(life: LifeResult, ascii_only: bool) -> Table:
    table = table_of("<", "<learned from", "<loss", "last", "works", "broken", "<what became of it")
    trainings = {training.version: training.losses for training in life.trainings}
    for one in life.versions:
        losses = trainings.get(one.number, ())
        line = sparkline(_shorter(losses, 12), 0.0, max(losses, default=1.0), ascii_only)
        last = f"{losses[-1]:.2f}" if losses else "-"
        reads = f"{one.before:.0%}", f"{one.after:.0%}"
        table.add_row(f"v{one.number}", one.origin, line, last, *reads, one.fate)
    return table


def _shorter(values: Sequence[float], most: int) -> list[float]:
    """At most so many of them, each the mean of its neighbours."""
    n = min(len(values), most)
    cuts = [len(values) * i // n for i in range(n + 1)] if n else []
    return [mean(values[a:b]) for a, b in pairwise(cuts)]
