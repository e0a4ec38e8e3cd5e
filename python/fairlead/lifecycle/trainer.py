"""What can be trained: the protocol that adapters, and trainers of one's own, keep to."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from fairlead.lifecycle.examples import Examples
from fairlead.lifecycle.schema import Schema

PathLike = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Epoch:
    """How far a training is, told after each epoch. number: from 1, of `of` (None: nobody knows). loss: of training,
    the mean over the epoch; None where the method has none."""

    number: int
    of: int | None = None
    loss: float | None = None
    validation_loss: float | None = None


Report = Callable[[Epoch], None]
"""Called after each epoch, in the thread that trains. While it runs, the trainer predicts, saves and checkpoints as it
is after that epoch, and that changes nothing of what follows. It may block (a pause), or raise Stopped."""


def quiet(epoch: Epoch) -> None:
    """The report that says nothing."""


@runtime_checkable
class Trainer(Protocol):
    """A model that can be trained, saved and loaded.

    format: of its file, "safetensors", "skops", "onnx" or "json". schema: what it was fitted to, None until then.

    The same examples, seed and parameters give the same file, to the byte: in another process too, and beside other
    threads. Nothing is changed of the examples, nor of what is global (random state, number of threads).

    A trainer crosses to the process of its job by pickle, so all that it holds can be pickled; its file is never one.
    """

    format: str
    schema: Schema | None

    def fresh(self) -> Trainer:
        """An untrained one with the same parameters."""
        ...

    def fit(self, examples: Examples, *, seed: int = 0, report: Report = quiet) -> None:
        """Learns from these examples alone: what it knew is gone.

        Raises TooFewExamplesError, NanLossError, SchemaError, and what the model raises."""
        ...

    def partial_fit(self, examples: Examples, *, seed: int = 0, report: Report = quiet) -> None:
        """Learns from these too, and keeps what it knows as well as its method can. Of one that was never fitted, it
        is `fit`. Raises SchemaError where the examples have another schema, and as `fit`."""
        ...

    def predict(self, x: Any) -> NDArray[np.float64]:
        """Probabilities of shape (n, classes), whose rows sum to 1, for a binary kind too; (n,) of a numeric kind.
        x: as of `Schema.check_x`. Raises TrainingError where it was never fitted."""
        ...

    def save(self, path: PathLike) -> None:
        """One file, which needs no pickle; the same state gives the same bytes."""
        ...

    def load(self, path: PathLike) -> None:
        """The state that `save` wrote. Raises a LifecycleError for a file that is none, or of another model; nothing
        has changed then."""
        ...


@runtime_checkable
class Resumable(Protocol):
    """A trainer whose training can go on in another process: with its optimiser, random state and epoch.

    After `restore`, the next `fit` (or `partial_fit`, whichever was under way) goes on after the epoch of the
    checkpoint, and ends bit-equal to a training that was never interrupted. It needs the same examples and seed: raises
    TrainingError for others.
    """

    def checkpoint(self, path: PathLike) -> None:
        """One file with all that the rest of the training needs. Called from a report. Raises TrainingError where no
        training is under way."""
        ...

    def restore(self, path: PathLike) -> None:
        """Takes the state of a checkpoint. Raises TrainingError for a file that is none."""
        ...


def parameters(trainer: object) -> dict[str, Any]:
    """What a trainer says of its parameters, for the card: its `params()` as plain JSON, {} where it has none."""
    params = getattr(trainer, "params", None)
    found = params() if callable(params) else {}
    return dict(found) if isinstance(found, Mapping) else {}
