"""A labelled stream through a managed model, beside its rivals."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fairlead.lifecycle.streamed.history import with_history
    from fairlead.lifecycle.streamed.result import Contender, Prequential
    from fairlead.lifecycle.streamed.run import RIVALS, default_trainer, prequential
    from fairlead.lifecycle.streamed.stream import Stream, read_stream

_LATER = {
    "with_history": "history",
    "Contender": "result",
    "Prequential": "result",
    "RIVALS": "run",
    "default_trainer": "run",
    "prequential": "run",
    "Stream": "stream",
    "read_stream": "stream",
}

__all__ = [
    "RIVALS",
    "Contender",
    "Prequential",
    "Stream",
    "default_trainer",
    "prequential",
    "read_stream",
    "with_history",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
