"""Settled tasks told apart: by category, kind, strategy, period, or a dimension of slices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone

from fairlead.measure.audit import Audit
from fairlead.types import KINDS, Kind

PERIODS = ("year", "quarter", "month", "week", "day")
By = str | Sequence[str] | Callable[[Audit], object] | None
"""What audits are told apart by: "category", "kind", "strategy", a period ("year", "quarter", "month", "week", "day",
of the time of the decision, UTC), or a dimension of slices; several of them; or a function of an audit."""


def checked(audits: Iterable[Audit]) -> tuple[Audit, ...]:
    """Audits as they came, or TypeError, or ValueError where there are none."""
    if isinstance(audits, Audit) or not isinstance(audits, Iterable):
        raise TypeError(f"audits is {type(audits).__name__}, must be Audit records, as fleet.audits() gives them")
    found = tuple(audits)
    for i, audit in enumerate(found):
        if not isinstance(audit, Audit):
            raise TypeError(f"audits[{i}] is {type(audit).__name__}, must be an Audit, as fleet.audits() gives them")
    if not found:
        raise ValueError("audits is empty: no task has been settled, or none is remembered (Settings.remember)")
    return found


def by_context(audits: Sequence[Audit], by: By) -> dict[tuple[Kind, str], list[Audit]]:
    """Audits by kind, as losses of different kinds are never mixed, and by context: "" if all are one."""
    names = _names(audits, by)
    groups: dict[tuple[Kind, str], list[Audit]] = {}
    for audit in audits:
        context = str(by(audit)) if callable(by) else ", ".join(_context(audit, name) for name in names)
        groups.setdefault((audit.kind, context), []).append(audit)
    return dict(sorted(groups.items(), key=lambda item: (KINDS.index(item[0][0]), item[0][1])))


def _names(audits: Sequence[Audit], by: By) -> tuple[str, ...]:
    if by is None or callable(by):
        return ()
    names = (by,) if isinstance(by, str) else tuple(by)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"by holds {name!r}, must be names, or one function")
        if name in ("category", "kind", "strategy", *PERIODS):
            continue
        if not any(name in audit.slices for audit in audits):
            known = sorted({dimension for audit in audits for dimension in audit.slices})
            raise ValueError(
                f"by is {name!r}, must be category, kind, strategy, {', '.join(PERIODS)}"
                + (f", or a dimension of the audits: {', '.join(known)}" if known else "; the audits have no dimension")
            )
    return names


def _context(audit: Audit, name: str) -> str:
    if name == "category":
        return audit.category or "(no category)"
    if name == "kind":
        return audit.kind
    if name == "strategy":
        return audit.strategy or "(undecided)"
    if name not in PERIODS:
        return audit.slices.get(name, f"(no {name})")
    day = datetime.fromtimestamp(audit.time // 10**9, timezone.utc)
    if name == "week":
        year, week, _ = day.isocalendar()
        return f"{year}-W{week:02d}"
    if name == "quarter":
        return f"{day.year}-Q{(day.month + 2) // 3}"
    return day.strftime({"year": "%Y", "month": "%Y-%m", "day": "%Y-%m-%d"}[name])
