"""A story to watch: six classifiers read handwritten digits, and half-way their sensor breaks.

The digits and the classifiers come from scikit-learn, the extra `[demo]`. `run` plays the first act and returns what
happened, `show` also tells it.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from fairlead.demo import first_telling
from fairlead.demo.first_act import ALARM, DemoResult, ModelStory, Score, run
from fairlead.demo.first_act import score as _score  # noqa: F401  # the tests compare it with scikit-learn
from fairlead.demo.sensor import DELAY, FAULT_AT, TRAINED
from fairlead.demo.teller import Teller

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["ALARM", "DELAY", "FAULT_AT", "NEXT", "TRAINED", "DemoResult", "ModelStory", "Score", "run", "show"]

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


def show(console: Console, *, seed: int = 7) -> DemoResult:
    """Plays the first act and prints it: live on a terminal, plain text elsewhere. Raises ImportError as `run` does."""
    teller = Teller(console)
    result = first_telling.tell(teller, seed)
    _where_next(teller)
    return result


def _where_next(teller: Teller) -> None:
    teller.say("Where to go next", "bold")
    teller.say("Replay a table of your own forecasts as if it were live (README.md says which columns it needs):\n")
    teller.say("    fairlead replay your_table.csv --report report.html\n", "bold")
    teller.say("Or put a fleet into your own code:\n\n" + textwrap.indent(NEXT, "    "))
