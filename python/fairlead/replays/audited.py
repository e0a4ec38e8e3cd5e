"""The audits of what was replayed, and of all that a journal holds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fairlead.errors import InvalidRecordError, did_you_mean
from fairlead.measure.audit import Audit
from fairlead.policy.pooled import reason_names
from fairlead.times import as_time
from fairlead.types import KINDS

if TYPE_CHECKING:
    from datetime import datetime

    from fairlead._core import Audits
    from fairlead._core import Fleet as CoreFleet
    from fairlead.replays.table import ForecastTable

_STEP = 1_000  # audits that are made at a time


def audits(
    folder: str | os.PathLike[str],
    *,
    since: int | str | datetime | None = None,
    category: str | None = None,
    kind: str | None = None,
) -> Iterator[Audit]:
    """The audit of every settled task that the journal in a folder holds, oldest outcome first: who answered what, who
    was believed, what it cost, and what each model and each strategy would have lost by what was known then.

    The same that `Fleet.audits()` gives of the newest; made one after the other, so a journal may be larger than the
    memory. A desk may be open meanwhile: it goes up to what is written. Where the first segments were archived it
    begins with what the oldest snapshot remembers. since: only those whose outcome became known at this time or later.
    category, kind: only of these.

    Raises JournalError where there is no journal, or the beginning is missing and no snapshot stands for it;
    InvalidRecordError for a kind that is none.

    >>> import fairlead as fl, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> with fl.Fleet.open(folder) as fleet:
    ...     fleet.add("a")
    ...     fleet.record(fl.Task("q1"), fl.Forecast("a", p=0.9))
    ...     _ = fleet.settle("q1", 1)
    >>> [(audit.task, round(audit.losses["a"], 3)) for audit in fl.audits(folder)]
    [('q1', 0.01)]
    """
    from fairlead._core import AuditReader  # not everywhere: the journal is POSIX

    if kind is not None and kind not in KINDS:
        raise InvalidRecordError(f"kind is {kind!r}, must be one of {', '.join(KINDS)}{did_you_mean(kind, KINDS)}")
    start = None if since is None else as_time(since, "since")
    reader = AuditReader(os.fspath(folder))  # now, so that what is wrong is told now

    def read() -> Iterator[Audit]:
        while reader.more:
            for fields in reader.read(_STEP):
                if (
                    (start is None or fields["settled"] >= start)
                    and (category is None or fields["category"] == category)
                    and (kind is None or fields["kind"] == kind)
                ):
                    yield _audit(fields)

    return read()


def table_audits(core: Audits, table: ForecastTable) -> tuple[Audit, ...]:
    """Of a replayed table."""
    out = []
    for fields in core.read(table.models, table.labels):
        row = fields["task"]
        slices = {d.name: d.values[code] for d in table.dimensions if (code := int(d.codes[row])) >= 0}
        out.append(
            _audit(
                fields
                | {
                    "task": table.tasks[row],
                    "kind": table.kind,
                    "category": slices.pop("category", ""),
                    "stake_usd": float(table.stake_usd[row]),
                    "slices": slices,
                }
            )
        )
    return tuple(out)


def lived_audits(core: Audits, fleet: CoreFleet) -> tuple[Audit, ...]:
    """Of a replayed journal."""
    return tuple(_audit(fields) for fields in core.read_of(fleet))


def _audit(fields: dict[str, Any]) -> Audit:
    return Audit(**{**fields, "reasons": reason_names(fields["reasons"])})
