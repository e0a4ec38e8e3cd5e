"""The settled tasks that a fleet remembers, kept up to date by those that are new."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from fairlead.policy.cascade.reading import Reading
from fairlead.types import Kind

__all__ = ["Past", "Settled"]

_AT_ONCE = 256
"""Settled tasks that are fetched one by one; where more are new, all are fetched: some 30 ms."""


class Settled(NamedTuple):
    """What a Reading needs of an Audit."""

    task: str
    kind: Kind
    category: str
    answers: dict[str, Any]
    outcome: Any
    costs: dict[str, float]


class Past:
    """What `audits` would tell at this moment, without asking it for what is known: `note` each task that is settled.

    audits: of one task, or of all, oldest first, as dicts. It forgets the oldest first, and so does this: what is read
    is the same as from all of them, and as on a desk that was opened again.
    """

    def __init__(self, audits: Callable[..., list[dict[str, Any]]]) -> None:
        self._audits = audits
        self._new: deque[str] = deque()
        self._known: deque[Settled] | None = None

    def note(self, task: str) -> None:
        """A task was settled, or voided. Safe in any thread."""
        if len(self._new) <= _AT_ONCE:
            self._new.append(task)

    def reading(self) -> Reading:
        """Of all that is remembered."""
        return Reading(self.settled())

    def settled(self) -> list[Settled]:
        """All that is remembered, oldest first."""
        new = [self._new.popleft() for _ in range(len(self._new))]
        if self._known is None or len(new) > _AT_ONCE:
            self._known = deque(_settled(fields) for fields in self._audits())
            return list(self._known)
        known = self._known
        newest = {one.task for one in list(known)[-_AT_ONCE:]}  # noted after all were fetched
        for task in new:
            if task not in newest and (found := self._audits(task)):
                known.append(_settled(found[-1]))
        settled = list(known)
        low, high = 0, len(settled)  # the first that is not forgotten
        while low < high:
            middle = (low + high) // 2
            if self._audits(settled[middle].task):
                high = middle
            else:
                low = middle + 1
        for _ in range(low):
            known.popleft()
        return settled[low:]


def _settled(fields: dict[str, Any]) -> Settled:
    return Settled(*(fields[name] for name in Settled._fields))
