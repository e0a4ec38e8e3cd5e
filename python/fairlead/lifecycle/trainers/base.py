"""What the trainers share: checks of what they are given and of what they say, a replay buffer, files."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle.examples import Examples
from fairlead.lifecycle.failures import NanLossError, SchemaError, TooFewExamplesError, TrainingError
from fairlead.lifecycle.schema import Schema
from fairlead.lifecycle.trainer import PathLike

_TINY = 1e-15

_alone = threading.RLock()


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """No other training of this process is within this meanwhile: what is global, as random states are, is of one at a
    time, and is set back in the right order."""
    lock = _alone
    with lock:
        yield


def _forked() -> None:
    global _alone
    _alone = threading.RLock()  # the thread that held it stayed behind


os.register_at_fork(after_in_child=_forked)


def check_fit(examples: Examples, *, least: int = 2, schema: Schema | None = None) -> None:
    """Raises InvalidRecordError for what are no examples, SchemaError where they are not of `schema`, and
    TooFewExamplesError where there are fewer than `least` or, for a first fit (no schema), of one class alone."""
    if not isinstance(examples, Examples):
        raise InvalidRecordError(f"examples is {examples!r}, must be Examples")
    if schema is not None and (differ := schema.differences(examples.schema)):
        raise SchemaError(f"the examples have another schema than the model: {'; '.join(differ)}")
    if len(examples) < least:
        raise TooFewExamplesError(f"there are {len(examples)} examples, it takes {least}")
    if schema is None and examples.schema.kind != "numeric" and (examples.y == examples.y[0]).all():
        label = examples.schema.labels[int(examples.y[0])]
        raise TooFewExamplesError(
            f"all {len(examples)} examples are of one class, {label!r}: there is nothing to learn"
        )


def check_seed(seed: object) -> int:
    """A seed. Raises InvalidRecordError."""
    if not isinstance(seed, (int, np.integer)) or isinstance(seed, bool) or not 0 <= seed < 2**32:
        raise InvalidRecordError(f"seed is {seed!r}, must be a whole number in [0, 2**32)")
    return int(seed)


def fitted(schema: Schema | None) -> Schema:
    """Raises TrainingError where there is none."""
    if schema is None:
        raise TrainingError("the trainer was never fitted, nor has it loaded a model")
    return schema


def probabilities(schema: Schema, raw: Any) -> NDArray[np.float64]:
    """What a model says, as a trainer gives it: rows that sum to 1, or numbers. Raises TrainingError for another shape,
    NanLossError for what is not finite."""
    out = np.asarray(raw, dtype=np.float64)
    if schema.kind == "numeric":
        out = out.reshape(len(out), -1)[:, 0] if out.ndim == 2 and out.shape[1] == 1 else out
        if out.ndim != 1:
            raise TrainingError(f"the model predicts an array of shape {out.shape}, must be (n,)")
        if not np.isfinite(out).all():
            raise NanLossError("the model predicts NaN or an infinite number")
        return out
    if out.ndim == 1 or (out.ndim == 2 and out.shape[1] == 1 and schema.kind == "binary"):
        flat = out.reshape(-1)
        out = np.column_stack([1.0 - flat, flat])
    if out.ndim != 2 or out.shape[1] != schema.classes:
        raise TrainingError(f"the model predicts an array of shape {out.shape}, must be (n, {schema.classes})")
    if not np.isfinite(out).all():
        raise NanLossError("the model predicts NaN or an infinite probability")
    if (out < 0.0).any():
        raise TrainingError(f"the model predicts a probability of {out.min():g}")
    total = out.sum(axis=1, keepdims=True)
    found: NDArray[np.float64] = np.where(total > 0.0, out / np.where(total > 0.0, total, 1.0), 1.0 / schema.classes)
    return found


def mean_loss(schema: Schema, predicted: NDArray[np.float64], y: NDArray[Any]) -> float:
    """The mean log-loss (natural logarithm), or of a numeric kind the mean squared error; NaN of no examples.

    >>> schema = Schema("binary", ["a"])
    >>> round(mean_loss(schema, np.array([[0.5, 0.5], [0.1, 0.9]]), np.array([0, 1])), 4)
    0.3993
    """
    if len(y) == 0:
        return float("nan")
    if schema.kind == "numeric":
        return float(np.mean((predicted - y) ** 2))
    return float(-np.mean(np.log(np.maximum(predicted[np.arange(len(y)), y], _TINY))))


def finite(loss: float, epoch: int, hint: str = "look for extreme inputs") -> float:
    """The loss. Raises NanLossError where it is none."""
    if not np.isfinite(loss):
        raise NanLossError(f"the loss of epoch {epoch} is {loss}: {hint}")
    return loss


@dataclass(slots=True)
class Replay:
    """A fair sample of all examples that were ever learned from (reservoir sampling, Vitter's algorithm R)."""

    capacity: int
    seen: int = 0
    x: list[Any] = field(default_factory=list)
    y: list[int | float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.y)

    def add(self, examples: Examples, seed: int) -> None:
        """Each has the same chance to be kept as any that came before."""
        if self.capacity == 0:
            return
        chance = np.random.default_rng([seed, self.seen])
        free = self.capacity - len(self.y)
        labels = examples.y.tolist()
        self.x.extend(examples.x[:free])
        self.y.extend(labels[:free])
        after = np.arange(self.seen + free, self.seen + len(labels))
        for i, at in zip(range(free, len(labels)), chance.integers(0, after + 1).tolist(), strict=True):
            if at < self.capacity:
                self.x[at], self.y[at] = examples.x[i], labels[i]
        self.seen += len(labels)

    def examples(self, schema: Schema) -> Examples:
        """What was kept."""
        return Examples(schema, [*self.x], [*self.y])

    def copy(self) -> Replay:
        """Another one with the same examples."""
        return Replay(self.capacity, self.seen, [*self.x], [*self.y])

    def arrays(self, schema: Schema) -> dict[str, NDArray[Any]]:
        """It as arrays, by name; texts as UTF-8, one after the other."""
        y = np.array(self.y, dtype=np.float64 if schema.kind == "numeric" else np.int64)
        if not schema.text:
            rows = np.array(self.x, dtype=np.float64).reshape(len(self.y), schema.width)
            return {"replay.x": rows, "replay.y": y}
        raw = [text.encode("utf-8", "surrogatepass") for text in self.x]
        sizes = np.array([len(text) for text in raw], dtype=np.int64)
        return {"replay.bytes": np.frombuffer(b"".join(raw), dtype=np.uint8), "replay.sizes": sizes, "replay.y": y}

    @classmethod
    def of(cls, capacity: int, seen: int, arrays: dict[str, NDArray[Any]], schema: Schema) -> Replay:
        """Back from `arrays`. Raises ValueError or KeyError for what is none."""
        y = schema.check_y(arrays["replay.y"]).tolist()
        if schema.text:
            ends = np.cumsum(arrays["replay.sizes"])
            raw = arrays["replay.bytes"].tobytes()
            x: Any = [
                raw[int(end - size) : int(end)].decode("utf-8", "surrogatepass")
                for end, size in zip(ends, arrays["replay.sizes"], strict=True)
            ]
        else:
            x = list(schema.check_x(np.asarray(arrays["replay.x"]).reshape(-1, schema.width)))
        if len(x) != len(y):
            raise ValueError(f"the replay buffer has {len(x)} inputs and {len(y)} labels")
        if len(y) > capacity:  # of a trainer that kept more: a fair sample of a fair sample is one
            places = np.random.default_rng([capacity, seen]).choice(len(y), capacity, replace=False)
            x, y = [x[at] for at in places.tolist()], [y[at] for at in places.tolist()]
        return cls(capacity, seen, x, y)


def check_count(value: object, name: str, least: int = 0) -> int:
    """A whole number. Raises InvalidRecordError."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
        raise InvalidRecordError(f"{name} is {value!r}, must be a whole number from {least}")
    return int(value)


def check_number(value: object, name: str, least: float = 0.0, *, above: bool = False) -> float:
    """A finite number. Raises InvalidRecordError."""
    good = isinstance(value, (int, float, np.floating, np.integer)) and not isinstance(value, bool)
    if not good or not np.isfinite(float(value)) or float(value) < least or (above and float(value) == least):  # type: ignore[arg-type]
        raise InvalidRecordError(f"{name} is {value!r}, must be a number {'above' if above else 'from'} {least:g}")
    return float(value)  # type: ignore[arg-type]


def write_file(path: PathLike, data: bytes) -> None:
    """The file, whole or not at all. Raises OSError where the disk refuses; nothing is left behind then."""
    path = Path(path)
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(beside).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(beside).unlink()
        raise


def read_file(path: PathLike) -> bytes:
    """Its bytes. Raises TrainingError where there is none."""
    try:
        return Path(path).read_bytes()
    except (FileNotFoundError, IsADirectoryError) as error:
        raise TrainingError(f"{os.fspath(path)}: there is no such file") from error
