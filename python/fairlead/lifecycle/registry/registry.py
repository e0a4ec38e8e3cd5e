"""The registry of models: versions that never change, their cards, and aliases that move by compare-and-set."""

from __future__ import annotations

import contextlib
import os
import time as clock_module
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle.registry import disk, loading
from fairlead.lifecycle.registry.card import Alias, Lineage, Summary, Version, as_json, checked_card
from fairlead.lifecycle.registry.errors import (
    AliasMovedError,
    DamagedWeightsError,
    RegistryError,
    UnknownVersionError,
    VersionInUseError,
    told,
)
from fairlead.lifecycle.registry.formats import format_of
from fairlead.lifecycle.registry.models import Models, Which
from fairlead.lifecycle.registry.names import CHAMPION, check_alias, check_name
from fairlead.lifecycle.registry.objects import SMALL
from fairlead.lifecycle.registry.served import Served
from fairlead.lifecycle.registry.state import State
from fairlead.times import as_time

if TYPE_CHECKING:
    from fairlead.lifecycle.registry.checking import Collected, Repair, Verification
    from fairlead.lifecycle.registry.importing import Import


class Log(Protocol):
    """Where events go: `fairlead.Journal` is one."""

    def append(self, type: str, data: Mapping[str, Any], *, model: str | None = None, time: int | None = None) -> int:
        """One event; gives its number."""
        ...


class Registry(Models):
    """The versions of any number of models, in a folder that any number of processes on one machine share.

    folder: made with the first version. log: told of each new version (`model_version`) and each move of an alias
    (`deployment`), after it is done; a `fairlead.Journal` is one. clock: nanoseconds since the epoch.

    What a call returned survives kill -9; and a power cut, where the disk keeps what it has synced. A registration
    syncs twice (the weights, the log), a promotion once; durable=False leaves that to the system, which writes within
    half a minute: then a power cut may cost what was done last, and nobody else on the folder should count on it. A
    call that a crash interrupts has happened or has not; weights without a version may stay, for `collect` to remove.
    One thread or process never waits for another to read; writers of one model wait for each other. Files are locked
    by flock: no network file systems.

    >>> import numpy as np, tempfile
    >>> from safetensors.numpy import save
    >>> folder = tempfile.TemporaryDirectory()
    >>> registry = Registry(folder.name)
    >>> first = registry.register("elec", save({"w": np.zeros(3)}), metrics={"accuracy": 0.81})
    >>> second = registry.register("elec", save({"w": np.ones(3)}), lineage={"parent": 1, "seed": 7})
    >>> registry.promote("elec", 1, expect=0).generation
    1
    >>> registry.promote("elec", second, reason="better on held-back data").previous
    1
    >>> registry.load("elec")["w"]
    array([1., 1., 1.])
    >>> registry.rollback("elec", reason="calibration broke").version
    1
    >>> folder.cleanup()
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        log: Log | None = None,
        durable: bool = True,
        clock: Callable[[], int] = clock_module.time_ns,
    ) -> None:
        super().__init__(folder, clock, durable)
        self._log = log

    def anew(self) -> Registry:
        """The same folder, with nothing of it read yet."""
        return Registry(self.folder, log=self._log, durable=self._durable, clock=self._clock)

    def __repr__(self) -> str:
        return f"Registry({os.fspath(self.folder)!r})"

    # --- new versions ---

    def register(
        self,
        name: str,
        artifact: str | os.PathLike[str] | bytes | bytearray | memoryview,
        *,
        format: str | None = None,
        schema: object = None,
        metrics: Mapping[str, float] | None = None,
        lineage: Lineage | Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        description: str = "",
        created: int | str | date | None = None,
    ) -> Version:
        """A new version of a model. artifact: the file of its weights, or its bytes: safetensors, skops, ONNX or JSON.
        The same weights again are a new version, and take no more room.

        Raises RefusedWeightsError for a pickle and anything else that is none of these, InvalidRecordError for a name
        or a card that cannot be, RegistryStorageError where the disk is full or may not be written to.
        """
        check_name(name)
        when = self._clock() if created is None else as_time(created, "created")
        card, text = checked_card(when, metrics or {}, params or {}, schema, lineage or Lineage(), description)
        with told(f"register {name!r}", self.folder), _opened(artifact) as (data, handle):
            found = format_of(data, format)
            with self._kept():
                size = len(data)
                if handle is None:
                    sha256 = self.objects.put(data, found)
                else:
                    sha256, size = self.objects.put_file(handle, found)
                version = self._commit_version(Version(name, 1, sha256, found, size, card), text)
        self._tell_version(version, "registered")
        return version

    def import_folder(self, path: str | os.PathLike[str], *, by: str = "") -> Import:
        """Registers the models that lie in a folder: see `fairlead.lifecycle.registry.importing`."""
        from fairlead.lifecycle.registry.importing import import_folder

        return import_folder(self, Path(path), by)

    # --- aliases ---

    def promote(
        self,
        name: str,
        version: Which,
        *,
        alias: str = CHAMPION,
        expect: int | None = None,
        by: str = "",
        reason: str = "",
    ) -> Alias:
        """Points an alias to a version. expect: the generation that the alias must have now; 0: it was never set.

        Raises AliasMovedError where it has another: somebody was quicker. Raises UnknownVersionError.
        """
        return self._move(name, check_alias(alias), lambda state: self._resolve(state, version), expect, by, reason)

    def unalias(
        self, name: str, alias: str, *, expect: int | None = None, by: str = "", reason: str = ""
    ) -> Alias | None:
        """Takes an alias away; its generation goes on. None, and nothing is done, where it points to nothing."""
        check_alias(alias)
        if alias not in self._read(name).aliases and expect is None:
            return None
        return self._move(name, alias, lambda state: None, expect, by, reason)

    def rollback(
        self, name: str, *, alias: str = CHAMPION, expect: int | None = None, by: str = "", reason: str = ""
    ) -> Alias:
        """Points an alias to the version before, and with each further call to the one before that.

        Raises UnknownVersionError where there is none, AliasMovedError as `promote`.
        """

        def back(state: State) -> int:
            before = state.before(check_alias(alias))
            if before is None:
                raise UnknownVersionError(f"{name!r} has no version to go back to: no {alias} before this one is left")
            return before

        return self._move(name, alias, back, expect, by, reason, rollback=True)

    def _move(
        self,
        name: str,
        alias: str,
        target: Callable[[State], int | None],
        expect: int | None,
        by: str,
        reason: str,
        *,
        rollback: bool = False,
    ) -> Alias:
        if expect is not None and (isinstance(expect, bool) or not isinstance(expect, int)):
            raise InvalidRecordError(f"expect is {expect!r}, must be a generation: a whole number")
        _check_text("by", by)
        _check_text("reason", reason)
        with told(f"move {alias} of {name!r}", self.folder), self._appending(name) as (log, state):
            generation = state.generations.get(alias, 0)
            if expect is not None and expect != generation:
                now = state.aliases.get(alias)
                at = "nothing" if now is None else f"version {now.version}"
                raise AliasMovedError(
                    f"{alias} of {name!r} is at generation {generation} ({at}), not {expect}: it was moved meanwhile",
                    expect,
                    generation,
                )
            moved = state.next_alias(alias, target(state), self._now(), by, reason, rollback=rollback)
            told_of = {k: v for k, v in moved.to_dict().items() if k not in ("name", "time")}
            log.append(f"the move of {alias}", as_json({"time": moved.time, "op": "alias", "alias": told_of}))
        self._tell_move(moved)
        return moved

    def alias(self, name: str, alias: str = CHAMPION) -> Alias | None:
        """Where an alias points; None: to nothing."""
        check_alias(alias)
        with self._reading(name) as state:
            return state.aliases.get(alias)

    def champion(self, name: str) -> Alias | None:
        """Which version serves; None: none was promoted."""
        return self.alias(name)

    def history(self, name: str, alias: str | None = None) -> tuple[Alias, ...]:
        """All moves of all aliases (or of one), oldest first."""
        with self._reading(name) as state:
            return tuple(move for move in state.history if alias in (None, move.alias))

    # --- looking ---

    def list(self) -> tuple[Summary, ...]:
        """All models, by name."""
        return tuple(self._summary(name) for name in self.names())

    def _summary(self, name: str) -> Summary:
        with self._reading(name) as state:
            versions = state.versions
            aliases = {alias.alias: alias.version for alias in state.aliases.values() if alias.version is not None}
            sizes = {version.file: version.size for version in versions.values()}
            created = min((version.card.created for version in versions.values()), default=None)
            newest = max(versions, default=None)
            return Summary(name, len(versions), newest, aliases, sum(sizes.values()), created, state.updated)

    def versions(self, name: str) -> tuple[Version, ...]:
        """All versions of a model, oldest first. Raises UnknownVersionError where there is no such model."""
        with self._reading(name) as state:
            return tuple(state.versions.values())

    def aliases(self, name: str) -> tuple[Alias, ...]:
        """Where each alias points."""
        with self._reading(name) as state:
            return tuple(state.aliases.values())

    def info(self, name: str, version: Which = CHAMPION) -> Version:
        """A version: by number, alias, or `newest`. Raises UnknownVersionError."""
        with self._reading(name) as state:
            return state.versions[self._resolve(state, version)]

    def path(self, name: str, version: Which = CHAMPION) -> Path:
        """The file of a version's weights, for reading; it is not checked."""
        return self.objects.path(self.info(name, version).file)

    # --- loading ---

    def load(self, name: str, version: Which = CHAMPION, *, into: Any = None, trusted: Sequence[str] = ()) -> Any:
        """A model. By format: safetensors: arrays by name, read-only; skops: an estimator; ONNX: an `OnnxModel`; JSON:
        what it says. into: a Trainer; a fresh one of its kind is loaded, and returned. trusted: types of an estimator
        that skops does not know and you do.

        Raises DamagedWeightsError where the bytes are not those that were registered, UntrustedTypeError,
        UnknownVersionError.
        """
        found = self.info(name, version)
        if isinstance(trusted, str):
            raise InvalidRecordError(f"trusted is {trusted!r}, must be a list of names")
        with told(f"load {name!r} version {found.number}", self.folder):
            if into is None:
                return loading.model_of(found, self.objects.read(found.file, found.size), trusted)
            path = self.objects.check(found.file, found.size)
        if not (callable(getattr(into, "fresh", None)) and callable(getattr(into, "load", None))):
            raise InvalidRecordError(f"into is {into!r}, must be a Trainer: it has `fresh` and `load`")
        if (wanted := getattr(into, "format", found.format)) != found.format:
            raise DamagedWeightsError(
                f"{name!r} version {found.number} is {found.format}, but {type(into).__name__} loads {wanted}"
            )
        fresh = into.fresh()
        fresh.load(path)
        return fresh

    def serve(
        self,
        name: str,
        load: Callable[[Path], Any] | Any = None,
        *,
        alias: str = CHAMPION,
        trusted: Sequence[str] = (),
    ) -> Served[Any]:
        """The model that an alias points to, loaded, for threads that read `served.model` all the time. load: what
        makes a model of a file that was checked, or a Trainer; by default as `Registry.load`.

        Raises UnknownVersionError where the alias points to nothing, and as `Registry.load`.
        """
        if load is None or hasattr(load, "fresh"):

            def loaded(version: Version) -> Any:
                return self.load(name, version, into=load, trusted=trusted)

        else:

            def loaded(version: Version) -> Any:
                return load(self.objects.check(version.file, version.size))

        return Served(self, name, check_alias(alias), loaded)

    # --- taking away, checking ---

    def delete(self, name: str, version: Which, *, by: str = "", reason: str = "") -> Version:
        """Deletes a version; its number is never used again. Its weights go with it, unless another version has them.

        Raises VersionInUseError where an alias points to it, UnknownVersionError.
        """
        _check_text("by", by)
        _check_text("reason", reason)
        with told(f"delete from {name!r}", self.folder):
            self._read(name)
            with self.objects.alone():
                with self._appending(name) as (log, state):
                    number = self._resolve(state, version)
                    if holding := state.aliases_of(number):
                        raise VersionInUseError(
                            f"{name!r} version {number} is {' and '.join(holding)}: move the alias first"
                        )
                    found = state.versions[number]
                    entry = {"time": self._now(), "op": "deleted", "version": number, "by": by, "reason": reason}
                    log.append(f"the deletion of version {number}", as_json(entry))
                with contextlib.suppress(OSError):  # it is deleted; `collect` removes what stays
                    disk.unlink(self._card_place(name, number))
                with contextlib.suppress(OSError, RegistryError):  # of another model whose log is damaged
                    if found.file not in self.files_in_use():
                        disk.unlink(str(self.objects.path(found.file)))
        self._tell_version(found, "deleted")
        return found

    def verify(self, name: str | None = None) -> Verification:
        """Looks at every entry and every byte of weights (of one model). Changes nothing."""
        from fairlead.lifecycle.registry.checking import verify

        return verify(self, name)

    def repair(self, name: str | None = None) -> Repair:
        """Makes cards anew from the log, and entries of the log that are damaged from the cards."""
        from fairlead.lifecycle.registry.checking import repair

        return repair(self, name)

    def collect(self) -> Collected:
        """Removes weights that no version has: what crashes and deletions left behind."""
        from fairlead.lifecycle.registry.checking import collect

        return collect(self)

    # --- events ---

    def _tell_version(self, version: Version, status: str) -> None:
        if self._log is None:
            return
        line = version.lineage
        data: dict[str, Any] = {"version": str(version.number), "status": status, "digest": version.digest}
        data |= {"format": version.format, "bytes": version.size, "path": f"objects/{version.file}"}
        data |= {"first_seq": line.first, "last_seq": line.last, "run": line.run, "metrics": dict(version.metrics)}
        data |= {"parent": None if line.parent is None else str(line.parent), "seed": line.seed, "mode": line.mode}
        data = {key: value for key, value in data.items() if value is not None}
        self._log.append("model_version", data, model=version.name, time=self._now())

    def _tell_move(self, alias: Alias) -> None:
        if self._log is None:
            return
        status = "rolled_back" if alias.rollback else "withdrawn" if alias.version is None else "promoted"
        data = {"alias": alias.alias, "stage": alias.alias, "status": status, "generation": alias.generation}
        for key, number in (("version", alias.version), ("previous_version", alias.previous)):
            data |= {} if number is None else {key: str(number)}
        self._log.append(
            "deployment", {**data, "by": alias.by, "reason": alias.reason}, model=alias.name, time=alias.time
        )


@contextlib.contextmanager
def _opened(
    artifact: str | os.PathLike[str] | bytes | bytearray | memoryview,
) -> Iterator[tuple[bytes | memoryview, int | None]]:
    """The bytes of an artifact; of a large file a view of it, and its handle."""
    if isinstance(artifact, (bytes, bytearray, memoryview)):
        yield bytes(artifact), None
        return
    if not isinstance(artifact, (str, os.PathLike)):
        raise InvalidRecordError(f"artifact is {type(artifact).__name__}, must be a path or bytes")
    path = Path(artifact)
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise RegistryError(f"artifact is {os.fspath(path)!r}: there is no such file") from None
    try:
        size = os.fstat(handle).st_size
        if path.is_dir():
            raise RegistryError(f"artifact is {os.fspath(path)!r}, a folder: one file has all weights of a version")
        if size <= SMALL:
            with open(handle, "rb", closefd=False) as file:
                yield file.read(), None
            return
        import mmap

        with mmap.mmap(handle, 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as view:
            yield view, handle
    finally:
        os.close(handle)


def _check_text(what: str, given: object) -> None:
    """Of whoever did something, and why."""
    try:
        if isinstance(given, str) and len(given.encode()) <= 10_000:
            return
    except UnicodeEncodeError:
        pass
    raise InvalidRecordError(f"{what} is {given!r:.200}, must be text that UTF-8 holds in at most 10,000 bytes")
