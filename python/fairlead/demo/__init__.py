"""A story to watch, in two acts: classifiers read handwritten digits, and half-way their sensor breaks.

In the first act a fleet of six lives through it: ratings move, drift shows, the decision holds. In the second one of
the readers is managed: it is retrained, proved and promoted, a bad version is refused, a hasty one rolled back. The
digits and the classifiers come from scikit-learn, the extra `[demo]`. `run` and `live` play the acts and return what
happened, `play` tells both, and draws them on a page.
"""

from __future__ import annotations

import os
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fairlead.demo import first_telling, second_telling
from fairlead.demo.cast import Cast, prepare
from fairlead.demo.first_act import ALARM, DemoResult, ModelStory, Score, run
from fairlead.demo.first_act import score as _score  # noqa: F401  # the tests compare it with scikit-learn
from fairlead.demo.life import LifeResult
from fairlead.demo.report import write_report
from fairlead.demo.second_act import live
from fairlead.demo.sensor import DELAY, FAULT_AT, TRAINED
from fairlead.demo.teller import Teller

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "ALARM",
    "DELAY",
    "FAULT_AT",
    "NEXT",
    "TRAINED",
    "DemoResult",
    "LifeResult",
    "ModelStory",
    "Score",
    "Story",
    "live",
    "play",
    "run",
    "show",
    "write_report",
]

NEXT = """\
import fairlead as fl

fleet = fl.Fleet()
fleet.add("gpt-4o")
fleet.add("local-logit")
task = fl.Task("q-17", kind="binary", category="politics")
fleet.record(task, fl.Forecast("gpt-4o", p=0.72))
fleet.record(task, fl.Forecast("local-logit", p=0.55))
print(fleet.decide(task).answer)
fleet.settle("q-17", outcome=1)
print(fleet.leaderboard())"""


class Story(NamedTuple):
    """Both acts."""

    first: DemoResult
    second: LifeResult


def play(console: Console, *, seed: int = 7, report: str | os.PathLike[str] | None = None) -> Story:
    """Plays both acts and prints them: live on a terminal, plain text elsewhere. report: a file for the page that draws
    them. Raises ImportError as `run` does, OSError where the page cannot be written."""
    teller = Teller(console)
    if report is not None and not (folder := Path(report).absolute().parent).is_dir():
        raise FileNotFoundError(f"report is {os.fspath(report)!r}, but there is no folder {os.fspath(folder)!r}")
    cast = _prepare(teller, seed)
    story = Story(first_telling.tell(teller, cast), second_telling.tell(teller, cast, seed))
    if report is not None:
        write_report(story.first, story.second, report)
        teller.say(f"The whole story on one page: {os.fspath(report)}\n", "bold")
    _where_next(teller)
    return story


def show(console: Console, *, seed: int = 7) -> DemoResult:
    """As `play`, the first act alone."""
    teller = Teller(console)
    result = first_telling.tell(teller, _prepare(teller, seed))
    _where_next(teller)
    return result


def _prepare(teller: Teller, seed: int) -> Cast:
    with teller.busy("six classifiers learn to read ..."):
        return prepare(seed)


def _where_next(teller: Teller) -> None:
    teller.say("Where to go next", "bold")
    teller.say("Replay a table of your own forecasts as if it were live (README.md says which columns it needs):\n")
    teller.say("    fairlead replay your_table.csv --report report.html\n", "bold")
    teller.say("Or put a fleet into your own code:\n\n" + textwrap.indent(NEXT, "    "))
