"""The journal of a fleet: all that may be logged beside what the fleet logs itself."""

from __future__ import annotations

from typing import Any, NoReturn

from fairlead.errors import InvalidRecordError
from fairlead.journal import Journal

_FLEETS = ("settings", "model", "model_removed", "task", "forecast", "decision", "outcome", "closed")
_FIRST = 16  # the number of the first of these; the others follow


class FleetJournal(Journal):
    """As `Journal`, but for what the fleet's own state follows from: an answer that was logged here and not recorded
    with the fleet would count only once the desk is opened again. Raises InvalidRecordError for that."""

    def append_bytes(self, type: str | int, *rest: Any) -> int:
        _check(type)
        return super().append_bytes(type, *rest)

    def append_many(self, type: str | int, *rest: Any, **columns: Any) -> tuple[int, int]:
        _check(type)
        return super().append_many(type, *rest, **columns)

    def forecast(self, *_: Any) -> NoReturn:
        raise _refused("forecast")

    def forecasts(self, *_: Any, **__: Any) -> NoReturn:
        raise _refused("forecast")


def _check(type: str | int) -> None:
    if isinstance(type, int) and 0 <= type - _FIRST < len(_FLEETS):
        type = _FLEETS[type - _FIRST]
    if type in _FLEETS:
        raise _refused(type)


def _refused(type: str | int) -> InvalidRecordError:
    return InvalidRecordError(
        f"type is {type!r}, which only the fleet logs on its journal: use fleet.add, record, decide and settle"
    )
