"""What a model's log comes to: its versions, where its aliases point, and how they came there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fairlead.lifecycle.registry.card import Alias, Version
from fairlead.lifecycle.registry.names import CHAMPION


class State:
    """A fold over the entries of a log, in their order.

    newest: the highest number that a version ever had. behind: for each alias the versions it stood at before, each of
    which a rollback may go back to, the latest last.
    """

    __slots__ = ("aliases", "behind", "deleted", "generations", "history", "name", "newest", "updated", "versions")

    def __init__(self, name: str) -> None:
        self.name = name
        self.versions: dict[int, Version] = {}
        self.deleted: dict[int, str] = {}
        self.newest = 0
        self.aliases: dict[str, Alias] = {}
        self.generations: dict[str, int] = {}
        self.behind: dict[str, list[int]] = {}
        self.history: list[Alias] = []
        self.updated = 0

    def apply(self, entry: Mapping[str, Any]) -> None:
        """One entry. Raises ValueError for one that this version of fairlead does not know."""
        op = entry["op"]
        if op == "registered":
            version = Version.from_dict({**entry["registered"], "name": self.name})
            self.versions[version.number] = version
            if version.number < self.newest:  # a repair put it back
                self.versions = dict(sorted(self.versions.items()))
            self.newest = max(self.newest, version.number)
        elif op == "alias":
            self._move(Alias(name=self.name, time=entry["time"], **entry["alias"]))
        elif op == "deleted":
            number = entry["version"]
            self.deleted[number] = self.versions.pop(number).digest
        elif op != "log":
            raise ValueError(f"an entry of the kind {op!r}, which this version of fairlead does not know")
        self.updated = entry["time"]

    def _move(self, alias: Alias) -> None:
        behind = self.behind.setdefault(alias.alias, [])
        if alias.rollback:
            while behind and behind.pop() != alias.version:
                pass
        elif alias.previous is not None and alias.version != alias.previous:
            behind.append(alias.previous)
        if alias.version is None:
            self.aliases.pop(alias.alias, None)
        else:
            self.aliases[alias.alias] = alias
        self.generations[alias.alias] = alias.generation
        self.history.append(alias)

    def next_alias(
        self, alias: str, version: int | None, time: int, by: str, reason: str, *, rollback: bool = False
    ) -> Alias:
        """The alias as it will be once it is moved to a version."""
        now = self.aliases.get(alias)
        generation = self.generations.get(alias, 0) + 1
        previous = None if now is None else now.version
        return Alias(self.name, alias, version, generation, time, by, reason, previous, rollback)

    def before(self, alias: str) -> int | None:
        """The version to go back to: the latest that the alias stood at before, and that is still there."""
        now = self.aliases.get(alias)
        at = None if now is None else now.version
        return next((n for n in reversed(self.behind.get(alias, [])) if n in self.versions and n != at), None)

    def aliases_of(self, number: int) -> list[str]:
        """Of a version, champion first."""
        found = sorted(name for name, alias in self.aliases.items() if alias.version == number)
        return sorted(found, key=lambda name: name != CHAMPION)
