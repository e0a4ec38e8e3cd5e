"""Replaying a table of forecasts as if it were live: what would each strategy have scored, and whom would it have
trusted?

`read`, `rules` and `table` turn a file or a frame into checked columns, `run` streams them through the scoreboard,
`result` is what came of it, `audited` task by task, `report` draws it. `lived` does the same with what is in a journal.
"""

from __future__ import annotations

from fairlead.replays.audited import audits
from fairlead.replays.result import Against, FoldedState, ModelResult, ReplayResult, Score
from fairlead.replays.run import replay
from fairlead.replays.table import BadRow, ForecastTable, read_table

__all__ = [
    "Against",
    "BadRow",
    "FoldedState",
    "ForecastTable",
    "ModelResult",
    "ReplayResult",
    "Score",
    "audits",
    "read_table",
    "replay",
]
