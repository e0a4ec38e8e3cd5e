"""A labelled stream through a managed model, beside its rivals."""

from __future__ import annotations

from fairlead.lifecycle.streamed.history import with_history
from fairlead.lifecycle.streamed.result import Contender, Prequential
from fairlead.lifecycle.streamed.run import RIVALS, default_trainer, prequential
from fairlead.lifecycle.streamed.stream import Stream, read_stream

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
