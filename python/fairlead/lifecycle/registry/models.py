"""The models of a registry on disk: what each one's log comes to, how an entry gets into it, where its files are."""

from __future__ import annotations

import contextlib
import os
import threading
import time as clock_module
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from fairlead.errors import InvalidRecordError, did_you_mean
from fairlead.lifecycle.registry import disk
from fairlead.lifecycle.registry.card import Version
from fairlead.lifecycle.registry.errors import DamagedRegistryError, RegistryError, UnknownVersionError, told
from fairlead.lifecycle.registry.log import Appender, Follower, appending, new_log
from fairlead.lifecycle.registry.names import CHAMPION, NEWEST, check_name
from fairlead.lifecycle.registry.objects import Objects, digest
from fairlead.lifecycle.registry.state import State

Which = int | str | Version
"""A version: its number, an alias that stands for it, `newest`, or the version itself."""


class Models:
    """What `Registry` is made on."""

    def __init__(
        self, folder: str | os.PathLike[str], clock: Callable[[], int] = clock_module.time_ns, durable: bool = True
    ) -> None:
        self.folder = Path(folder)
        self.objects = Objects(self.folder / "objects", durable)
        self._models = self.folder / "models"
        self._place = os.fspath(self._models)
        self._durable = durable
        self._clock = clock
        self._followers: dict[str, Follower] = {}
        self._lock = threading.RLock()
        _ALL.add(self)

    def names(self) -> tuple[str, ...]:
        """The names of all models, sorted."""
        try:
            entries = sorted(entry.name for entry in self._models.iterdir() if not entry.name.startswith("."))
        except (FileNotFoundError, NotADirectoryError):
            return ()
        return tuple(name for name in entries if (self._models / name / "log").is_file())

    def folders(self) -> tuple[str, ...]:
        """The names of all models, sorted, those included that have cards and have lost their log."""
        try:
            entries = sorted(entry.name for entry in self._models.iterdir() if entry.is_dir())
        except (FileNotFoundError, NotADirectoryError):
            return ()
        return tuple(name for name in entries if (self._models / name / "log").exists() or self._has_cards(name))

    def _has_cards(self, name: str) -> bool:
        return any(path.stem.isdecimal() for path in (self._models / name).glob("*.json"))

    # --- files ---

    def log_path(self, name: str) -> Path:
        """The file that says what became of a model."""
        return self._models / check_name(name) / "log"

    def _log_place(self, name: str) -> str:
        return f"{self._place}/{check_name(name)}/log"

    def _card_place(self, name: str, number: int) -> str:
        return f"{self._place}/{name}/{number}.json"

    def card_path(self, name: str, number: int) -> Path:
        """The file of a version's card. The log has the same; it is there for people and other programs."""
        return self._models / check_name(name) / f"{number}.json"

    def write_card(self, version: Version, card: bytes) -> None:
        """The file of a version's card, which is card as JSON. The log has it too: it is neither synced nor kept from
        being torn by a crash; `repair` writes it anew."""
        handle = disk.create(self._card_place(version.name, version.number))
        try:
            body = _body(version, card)
            disk.write(handle, b'{"card_of":"fairlead","name":"%s",%s\n' % (version.name.encode(), body[1:]))
        finally:
            os.close(handle)

    @contextlib.contextmanager
    def _with_card(self, version: Version, card: bytes) -> Iterator[None]:
        """Its card is there, unless what it is written for fails."""
        try:
            self.write_card(version, card)
            yield
        except BaseException:
            with contextlib.suppress(OSError):
                Path(self._card_place(version.name, version.number)).unlink()
            raise

    def files_in_use(self) -> set[str]:
        """The weights that a version has, by the names of their files. Raises DamagedRegistryError where a log is
        damaged, or gone from beside its cards: nobody knows then which weights its versions have."""
        found: set[str] = set()
        for name in self.folders():
            with self._reading(name) as state:
                found.update(version.file for version in state.versions.values())
        return found

    # --- reading and writing a log ---

    @contextlib.contextmanager
    def _reading(self, name: str) -> Iterator[State]:
        with self._lock:
            yield self._read(name)

    def _read(self, name: str) -> State:
        follower = self._follower(name)
        with self._lock, told(f"read {name!r}", self.folder):
            try:
                follower.refresh()
            except (FileNotFoundError, NotADirectoryError):
                raise self._unknown(name) from None
            return follower.state

    def _follower(self, name: str) -> Follower:
        with self._lock:
            found = self._followers.get(name)
            if found is None:
                found = self._followers[name] = Follower(self._log_place(name), name)
            return found

    @contextlib.contextmanager
    def _appending(self, name: str) -> Iterator[tuple[Appender, State]]:
        follower = self._follower(name)
        try:
            with appending(follower, self._lock, self._durable) as appender:
                yield appender, follower.state
        except (FileNotFoundError, NotADirectoryError) as error:
            if Path(follower.path).exists():
                raise
            raise self._unknown(name) from error

    def _unknown(self, name: str) -> RegistryError:
        self._followers.pop(name, None)
        if self._has_cards(name):
            return DamagedRegistryError(
                f"the log of {name!r} is gone, its cards are there: `fairlead models repair` makes a log of them"
            )
        if not self._models.is_dir():
            return UnknownVersionError(f"{name!r} is not known: there is no registry in {self.folder} yet")
        return UnknownVersionError(f"{name!r} is no model of {self.folder}{did_you_mean(name, self.names())}")

    def _resolve(self, state: State, version: Which) -> int:
        if isinstance(version, Version):
            if version.name != state.name:
                raise InvalidRecordError(f"version is {version.number} of {version.name!r}, not of {state.name!r}")
            version = version.number
        if isinstance(version, str):
            version = self._aliased(state, version)
        if isinstance(version, bool) or not isinstance(version, int):
            raise InvalidRecordError(f"version is {version!r}, must be a number or an alias")
        if version not in state.versions:
            gone = "was deleted" if version in state.deleted else "is not known"
            known = ", ".join(map(str, list(state.versions)[-10:])) or "no versions"
            raise UnknownVersionError(f"version {version} of {state.name!r} {gone}; there are {known}")
        return version

    @staticmethod
    def _aliased(state: State, alias: str) -> int:
        if alias == NEWEST and state.versions:
            return max(state.versions)
        if alias.isdecimal() and alias.isascii() and len(alias) < 19:
            return int(alias)
        found = state.aliases.get(alias)
        if found is None or found.version is None:
            close = did_you_mean(alias, [*state.aliases, NEWEST]) if alias != CHAMPION else ""
            hint = ": promote one, or name a number or 'newest'" if alias == CHAMPION else close
            raise UnknownVersionError(f"{state.name!r} has no {alias}{hint}")
        return found.version

    # --- new versions ---

    @contextlib.contextmanager
    def _kept(self) -> Iterator[None]:
        """Nothing is taken away meanwhile."""
        try:
            kept = self.objects.kept()
        except FileNotFoundError:  # the very first version
            for folder in (self.objects.folder, self._models):
                disk.make_folder(os.fspath(folder))
            kept = self.objects.kept()
        with kept:
            yield

    def _commit_version(self, version: Version, card: bytes) -> Version:
        """Under the next number. card: of the version, as JSON."""
        try:
            return self._next_version(version, card)
        except UnknownVersionError:
            with disk.LockFile(f"{self._place}/.lock"):
                if not self.log_path(version.name).exists():
                    return self._first_version(version, card)
        return self._next_version(version, card)

    def _next_version(self, version: Version, card: bytes) -> Version:
        with self._appending(version.name) as (log, state):
            version = replace(version, number=state.newest + 1)
            with self._with_card(version, card):
                entry = b'{"time":%d,"op":"registered","registered":%s}' % (self._now(), _body(version, card))
                log.append(f"version {version.number}", entry)
        return version

    def _first_version(self, version: Version, card: bytes) -> Version:
        self._check_case(version.name)
        path = self._log_place(version.name)
        disk.make_folder(os.path.dirname(path))  # noqa: PTH120
        now, body = self._now(), version.to_dict()
        del body["name"]
        entry = {"time": now, "op": "registered", "registered": body}
        try:
            disk.replace(path, new_log(version.name, [entry], now), self._durable)
        except BaseException:
            for left in (path, disk.beside(path)):
                with contextlib.suppress(OSError):
                    Path(left).unlink()
            raise
        with contextlib.suppress(OSError):  # a card without a log would mean that the log was lost
            self.write_card(version, card)
        return version

    def _check_case(self, name: str) -> None:
        there = [entry.name for entry in self._models.iterdir() if entry.name.lower() == name.lower()]
        if there and name not in there:
            raise InvalidRecordError(
                f"name is {name!r}: there is a model {there[0]!r}, and some file systems cannot tell them apart"
            )

    def digest_of(self, path: str | os.PathLike[str]) -> str:
        """The sha256 that the weights of a file would have here."""
        return digest(path)

    def _now(self) -> int:
        return int(self._clock())


def _body(version: Version, card: bytes) -> bytes:
    """What the log and the card say of a version. It is put together from the card's JSON, which is long."""
    head = b'{"version":%d,"digest":"%s","format":"%s","size":%d,"card":' % (
        version.number,
        version.digest.encode(),
        version.format.encode(),
        version.size,
    )
    return head + card + b"}"


_ALL: weakref.WeakSet[Models] = weakref.WeakSet()


def _forked() -> None:
    """A lock that another thread held at the fork would stay held in the child."""
    for models in _ALL:
        models._lock = threading.RLock()
        models._followers = {}


os.register_at_fork(after_in_child=_forked)
