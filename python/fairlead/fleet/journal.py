"""The journal of a fleet: all that may be logged beside what the fleet logs itself."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from fairlead._core import EVENT_TYPES
from fairlead.errors import InvalidRecordError
from fairlead.events import HOT
from fairlead.journal import Journal

_FLEETS = {name: EVENT_TYPES[name] for name in (*HOT, "budget", "health", "routing")}
_NAMES = {number: name for name, number in _FLEETS.items()}


class FleetJournal(Journal):
    """As `Journal`, but for what the fleet's own state follows from: an answer that was logged here and not recorded
    with the fleet would count only once the desk is opened again. Raises InvalidRecordError for that."""

    def append_bytes(self, type: str | int, *rest: Any) -> int:
        _check(type)
        if type in ("alert", EVENT_TYPES["alert"]):
            _check_alert(rest)
        return super().append_bytes(type, *rest)

    def append_many(self, type: str | int, *rest: Any, **columns: Any) -> tuple[int, int]:
        _check(type)
        return super().append_many(type, *rest, **columns)

    def forecast(self, *_: Any) -> NoReturn:
        raise _refused("forecast")

    def forecasts(self, *_: Any, **__: Any) -> NoReturn:
        raise _refused("forecast")


def _check(type: str | int) -> None:
    if isinstance(type, int):
        type = _NAMES.get(type, type)
    if type in _FLEETS:
        raise _refused(type)


def _check_alert(rest: tuple[Any, ...]) -> None:
    """Alerts of budgets and rules are the fleet's; others are anybody's."""
    payload = next((one for one in rest if isinstance(one, (bytes, bytearray, memoryview))), b"")
    try:
        data = json.loads(bytes(payload))
    except ValueError:
        return
    if isinstance(data, dict) and data.get("kind") in ("budget", "rule"):
        raise InvalidRecordError(
            f"kind is {data['kind']!r}, of an alert that only the fleet logs: use fleet.budgets and fleet.monitor"
        )


def _refused(type: str | int) -> InvalidRecordError:
    return InvalidRecordError(
        f"type is {type!r}, which only the fleet logs on its journal: use fleet.add, route, record, decide, settle and "
        "record_run"
    )
