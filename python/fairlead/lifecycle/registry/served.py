"""The model that serves: one attribute to read, swapped whole."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from fairlead.lifecycle.registry.card import Version
from fairlead.lifecycle.registry.errors import UnknownVersionError

if TYPE_CHECKING:
    from fairlead.lifecycle.registry.registry import Registry

Model = TypeVar("Model")


class Served(Generic[Model]):
    """The model that an alias points to, in memory; made by `Registry.serve`.

    Reading `model` or `version` takes no lock and never waits, also while `refresh` loads another: that is made beside
    it, and then put in its place by one pointer. Who needs both of the same moment reads `current`, a tuple of both
    and the alias's generation.

    >>> import tempfile, fairlead as fl
    >>> folder = tempfile.TemporaryDirectory()
    >>> registry = fl.Registry(folder.name)
    >>> for bias in (1, 2):
    ...     version = registry.register("sum", b'{"bias": %d}' % bias)
    >>> _ = registry.promote("sum", 1)
    >>> served = registry.serve("sum")
    >>> served.model, served.version
    ({'bias': 1}, 1)
    >>> _ = registry.promote("sum", 2)
    >>> served.refresh(), served.model
    (True, {'bias': 2})
    >>> folder.cleanup()
    """

    __slots__ = ("__weakref__", "_alias", "_load", "_lock", "_registry", "current", "model", "name", "version")

    model: Model
    version: int | None
    current: tuple[Model, int, int] | None

    def __init__(self, registry: Registry, name: str, alias: str, load: Callable[[Version], Model]) -> None:
        self._registry = registry
        self._alias = alias
        self._load = load
        self._lock = threading.Lock()
        self.name = name
        _ALL.add(self)
        self.unload()
        self.refresh()

    def refresh(self) -> bool:
        """Follows the alias: True where another version serves now. Costs a few microseconds where it has not moved.

        Where the new one cannot be loaded, the error is raised and the old one goes on serving. Raises
        UnknownVersionError where the alias points to nothing any more.
        """
        with self._lock:
            alias = self._registry.alias(self.name, self._alias)
            if alias is None or alias.version is None:
                raise UnknownVersionError(f"{self.name!r} has no {self._alias}")
            if self.current is not None and self.current[1] == alias.version:
                if self.current[2] != alias.generation:
                    self.current = (self.current[0], alias.version, alias.generation)
                return False
            model = self._load(self._registry.info(self.name, alias.version))
            self.current = (model, alias.version, alias.generation)
            self.model, self.version = model, alias.version
            return True

    def unload(self) -> None:
        """Lets go of the model: `model`, `version` and `current` are None until the next `refresh`."""
        self.current = None
        self.version = None
        self.model = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Served {self.name!r} {self._alias}: version {self.version}>"


_ALL: weakref.WeakSet[Served[Any]] = weakref.WeakSet()


def _forked() -> None:
    """A lock that another thread held at the fork, while it loaded, would stay held in the child."""
    for served in _ALL:
        served._lock = threading.Lock()


os.register_at_fork(after_in_child=_forked)
