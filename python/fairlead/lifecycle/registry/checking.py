"""Is everything there, and what it was? And what can be made whole again.

The log and the cards hold the same versions twice: a card that is gone or changed is written anew from the log, and an
entry of the log that is damaged is written anew from its card. What stood in a damaged entry of an alias is nowhere
else: the alias is then where the entries that are left put it, and the repair says which generations are missing.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.lifecycle.registry import disk
from fairlead.lifecycle.registry.card import Version, as_json
from fairlead.lifecycle.registry.errors import (
    DamagedRegistryError,
    DamagedWeightsError,
    RegistryError,
    UnknownVersionError,
    told,
)
from fairlead.lifecycle.registry.formats import FORMATS
from fairlead.lifecycle.registry.log import Damage, new_log, scan
from fairlead.lifecycle.registry.state import State

if TYPE_CHECKING:
    from fairlead.lifecycle.registry.registry import Registry


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong. what: `log`, `torn end`, `weights`, `card` or `left over`. model: None where it is of none.
    harmless: nothing that was acknowledged is affected."""

    what: str
    where: str
    message: str
    model: str | None = None
    harmless: bool = False

    def __str__(self) -> str:
        return f"{self.what}: {self.message}"


@dataclass(frozen=True, slots=True)
class Verification:
    """What `Registry.verify` found. size: bytes of weights that were read."""

    models: int
    versions: int
    size: int
    problems: tuple[Problem, ...]

    @property
    def whole(self) -> bool:
        """Whether all that was acknowledged is there, and as it was."""
        return all(problem.harmless for problem in self.problems)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON."""
        return {**asdict(self), "problems": [asdict(problem) for problem in self.problems], "whole": self.whole}

    as_dict = to_dict

    def __str__(self) -> str:
        seen = f"{self.models} models, {self.versions} versions, {self.size:,} bytes of weights"
        return "\n".join([f"{'whole' if self.whole else 'NOT WHOLE'}: {seen}", *map(str, self.problems)])


@dataclass(frozen=True, slots=True)
class Repair:
    """What `Registry.repair` did, and what it could not get back, in words."""

    done: tuple[str, ...]
    lost: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)

    as_dict = to_dict

    def __str__(self) -> str:
        return "\n".join([*self.done, *(f"lost: {what}" for what in self.lost)]) or "nothing to repair"


@dataclass(frozen=True, slots=True)
class Collected:
    """What `Registry.collect` removed. size: in bytes."""

    files: tuple[str, ...]
    size: int

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)

    as_dict = to_dict

    def __str__(self) -> str:
        return f"{len(self.files)} files removed, {self.size:,} bytes"


def verify(registry: Registry, name: str | None = None) -> Verification:
    """Every entry, every card, every byte of weights; of all models also what belongs to none."""
    registry = registry.anew()
    problems: list[Problem] = []
    versions: dict[str, Version] = {}
    names = registry.folders() if name is None else (name,)
    n = 0
    for model in names:
        try:
            there = registry.versions(model)
        except DamagedRegistryError as error:
            problems.append(Problem("log", str(registry.log_path(model)), str(error), model))
            there = _whole_versions(registry, model)
        n += len(there)
        problems += _torn(registry, model)
        for version in there:
            problems += _card(registry, version)
            if version.file not in versions:
                problems += _weights(registry, version)
            versions[version.file] = version
    if name is None:
        problems += _left_over(registry, set(versions))
    size = sum(version.size for version in versions.values())
    return Verification(len(names), n, size, tuple(problems))


def _whole_versions(registry: Registry, name: str) -> tuple[Version, ...]:
    path = registry.log_path(name)
    state = State(name)
    with contextlib.suppress(OSError):
        for entry in scan(str(path), path.read_bytes(), 0, 0).entries:
            with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
                state.apply(entry)
    return tuple(state.versions.values())


def _torn(registry: Registry, name: str) -> Iterator[Problem]:
    path = registry.log_path(name)
    with contextlib.suppress(OSError):
        data = path.read_bytes()
        found = scan(str(path), data, 0, 0)
        if found.torn and found.entries:
            text = (
                f"{path} ends in {len(found.torn)} bytes that are no whole entry: a crash tore one that was never "
                f"acknowledged (or the newest was damaged); the next writer puts them aside"
            )
            yield Problem("torn end", str(path), text, name, harmless=True)


def _card(registry: Registry, version: Version) -> Iterator[Problem]:
    path = registry.card_path(version.name, version.number)
    if _read_card(path) != version:
        text = f"{path} is not the card of {version.name!r} version {version.number}: repair writes it from the log"
        yield Problem("card", str(path), text, version.name, harmless=True)


def _weights(registry: Registry, version: Version) -> Iterator[Problem]:
    try:
        registry.objects.check(version.file, version.size)
    except (DamagedWeightsError, OSError) as error:
        text = f"{version.name!r} version {version.number}: {error}"
        yield Problem("weights", str(registry.objects.path(version.file)), text, version.name)


def _left_over(registry: Registry, used: set[str]) -> Iterator[Problem]:
    for path in registry.objects.files():
        if path.name not in used:
            text = f"{path} belongs to no version ({_size(path):,} bytes): `collect` removes it"
            yield Problem("left over", str(path), text, harmless=True)


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _read_card(path: Path) -> Version | None:
    try:
        body = json.loads(path.read_bytes())
        if body.pop("card_of") != "fairlead":
            return None
        return Version.from_dict(body)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def collect(registry: Registry) -> Collected:
    """Removes what belongs to no version. Raises DamagedRegistryError where a log cannot be read: it could be in it."""
    removed, size = [], 0
    if registry.objects.folder.is_dir():
        with told("collect", registry.folder), registry.objects.alone():
            used = registry.files_in_use()
            for path in registry.objects.files():
                if path.name not in used and (path.suffix[1:] in (*FORMATS, "tmp")):
                    size += _size(path)
                    disk.unlink(str(path))
                    removed.append(path.name)
    return Collected(tuple(removed), size)


def repair(registry: Registry, name: str | None = None) -> Repair:
    """Logs first, then cards, of one model or of all."""
    registry = registry.anew()
    done: list[str] = []
    lost: list[str] = []
    names = registry.folders() if name is None else (name,)
    for model in names:
        with told(f"repair {model!r}", registry.folder):
            _repair_log(registry, model, done, lost)
            for version in registry.versions(model):
                path = registry.card_path(model, version.number)
                if _read_card(path) != version:
                    registry.write_card(version, as_json(version.card.to_dict()))
                    done.append(f"{path} written anew from the log")
                lost += [f"weights of {problem.message}" for problem in _weights(registry, version)]
    return Repair(tuple(done), tuple(lost))


def _cards(folder: Path) -> Iterator[Version]:
    """All whole cards of a folder, by number."""
    numbers = sorted(int(path.stem) for path in folder.glob("*.json") if path.stem.isdecimal())
    for number in numbers:
        found = _read_card(folder / f"{number}.json")
        if found is not None and found.number == number and found.name == folder.name:
            yield found


def _repair_log(registry: Registry, name: str, done: list[str], lost: list[str]) -> None:
    path = registry.log_path(name)
    if not path.parent.is_dir():
        raise UnknownVersionError(f"{name!r} is no model of {registry.folder}")
    with disk.LockFile(f"{registry.folder}/models/.lock"), contextlib.ExitStack() as stack:
        data = b""
        if path.exists():
            handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            stack.callback(os.close, handle)
            stack.enter_context(disk.Lock(handle, str(path)))
            data = path.read_bytes()
        found = scan(str(path), data, 0, 0)
        if found.entries and not found.damage and found.entries[0].get("op") == "log":
            return
        damage = found.damage or [Damage(str(path), 1, 0, len(data), "it is gone" if not data else "it is no log")]
        _rebuild(registry, name, path, data, found.entries, damage, done, lost)


def _rebuild(
    registry: Registry,
    name: str,
    path: Path,
    data: bytes,
    entries: list[dict[str, Any]],
    damage: list[Damage],
    done: list[str],
    lost: list[str],
) -> None:
    """A new log of the whole entries, and of the cards where entries are lost, in the place of the damaged one."""
    kept: list[dict[str, Any]] = []
    state = State(name)
    gone = {entry["version"] for entry in entries if entry.get("op") == "deleted"}
    cards = {card.number: card for card in _cards(path.parent) if card.number not in gone}
    known = {e["registered"]["version"] for e in entries if e.get("op") == "registered"}

    def keep(entry: dict[str, Any]) -> None:
        try:
            state.apply(entry)
        except (KeyError, TypeError, ValueError, AttributeError):
            lost.append(f"{name!r}: an entry that says something of what is lost: {as_json(entry).decode()[:200]}")
        else:
            kept.append({key: value for key, value in entry.items() if key != "seq"})

    for number in sorted(set(cards) - known):
        card = cards[number]
        body = {key: value for key, value in card.to_dict().items() if key != "name"}
        keep({"time": card.card.created, "op": "registered", "registered": body, "repaired": True})
        done.append(f"{name!r} version {number}: entry written anew from its card")
    generations: dict[str, int] = {}
    for entry in entries:
        if entry.get("op") == "log":
            continue
        if entry.get("op") == "alias":
            alias, generation = entry["alias"]["alias"], entry["alias"]["generation"]
            missing = generation - generations.get(alias, 0) - 1
            if missing:
                lost.append(f"{name!r}: {missing} moves of {alias} before generation {generation}")
            generations[alias] = generation
        keep(entry)
    lost += [f"{name!r}: {part}" for part in damage]
    if not kept:
        raise RegistryError(f"nothing of {name!r} can be repaired: neither {path} nor a card is whole")
    aside = path.with_name(f"log.damaged-{len(list(path.parent.glob('log.damaged-*'))) + 1}")
    if data:
        with aside.open("xb") as file:
            file.write(data)
            os.fsync(file.fileno())
        done.append(f"{name!r}: the damaged log is kept as {aside}")
    disk.replace(str(path), new_log(name, kept, kept[0]["time"]))
    done.append(f"{name!r}: log written anew, {len(kept)} entries")
