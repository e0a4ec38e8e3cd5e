"""Plain functions as a trainer: one that makes a state from examples, one that answers from it."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle.examples import Examples
from fairlead.lifecycle.failures import TrainingError
from fairlead.lifecycle.schema import Schema
from fairlead.lifecycle.trainer import Epoch, PathLike, Report, quiet
from fairlead.lifecycle.trainers.base import (
    Replay,
    check_count,
    check_fit,
    check_seed,
    finite,
    fitted,
    mean_loss,
    probabilities,
    read_file,
    write_file,
)
from fairlead.lifecycle.trainers.tensor_files import arrays_of, facts_of, to_bytes

State = Mapping[str, Any]


class FunctionTrainer:
    """Trains with functions of one's own.

    fit(x, y, seed) gives the state: a mapping of names to arrays, or to what JSON holds. predict(state, x) gives
    probabilities, (n, classes) or of a binary kind (n,), or numbers (n,). partial_fit(state, x, y, seed) gives the
    state that knows these examples too; where there is none, `fit` sees a fair sample of `replay` old examples and the
    new ones. x is as of `Schema.check_x`, y int64 or of numbers float64. Functions that take a `schema` are given it.

    They must stand in a module, so that another process can import them. The file is one of safetensors.

    >>> def fit(x, y, seed):
    ...     return {"mean": np.array([x[y == k].mean() for k in (0, 1)])}
    >>> def predict(state, x):
    ...     return np.abs(x - state["mean"]).argmin(axis=1)
    >>> trainer = FunctionTrainer(fit, predict)
    >>> trainer.fit(Examples(Schema("binary", ["a"]), [[0.0], [1.0], [4.0], [5.0]], [0, 0, 1, 1]))
    >>> trainer.predict([[0.7], [3.1]]).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """

    format = "safetensors"

    def __init__(
        self,
        fit: Callable[..., State],
        predict: Callable[..., Any],
        *,
        partial_fit: Callable[..., State] | None = None,
        replay: int = 2000,
    ) -> None:
        given: dict[str, Any] = {"fit": fit, "predict": predict, "partial_fit": partial_fit or predict}
        for name, function in given.items():
            if not callable(function):
                raise InvalidRecordError(f"{name} is {function!r}, must be a function")
        self._fit, self._predict, self._partial = fit, predict, partial_fit
        self.replay = check_count(replay, "replay")
        self.schema: Schema | None = None
        self.state: State = {}
        """What `fit` gave."""
        self._kept = Replay(self.replay)

    def fresh(self) -> FunctionTrainer:
        """An untrained one with the same functions."""
        return FunctionTrainer(self._fit, self._predict, partial_fit=self._partial, replay=self.replay)

    def params(self) -> dict[str, Any]:
        """For the card: the names of the functions."""
        partial = None if self._partial is None else _named(self._partial)
        return {
            "trainer": "functions",
            "fit": _named(self._fit),
            "predict": _named(self._predict),
            "partial_fit": partial,
            "replay": self.replay,
        }

    def fit(self, examples: Examples, *, seed: int = 0, report: Report = quiet) -> None:
        """Learns from these examples alone."""
        check_fit(examples)
        kept = Replay(0 if self._partial else self.replay)
        kept.add(examples, check_seed(seed))
        state = _call(self._fit, _inputs(examples), examples.y.copy(), seed, schema=examples.schema)
        self._end(state, examples, kept, examples.schema, report)

    def partial_fit(self, examples: Examples, *, seed: int = 0, report: Report = quiet) -> None:
        """Learns from these too. Of one that was never fitted, it is `fit`."""
        if self.schema is None:
            return self.fit(examples, seed=seed, report=report)
        check_fit(examples, least=1, schema=self.schema)
        kept = self._kept.copy()
        if self._partial is not None:
            old = _plain(self.state)
            state = _call(
                self._partial, old, _inputs(examples), examples.y.copy(), check_seed(seed), schema=self.schema
            )
            return self._end(state, examples, kept, self.schema, report)
        both = kept.examples(self.schema) + examples
        kept.add(examples, check_seed(seed))
        state = _call(self._fit, _inputs(both), both.y.copy(), seed, schema=self.schema)
        self._end(state, both, kept, self.schema, report)

    def predict(self, x: Any) -> NDArray[np.float64]:
        """Probabilities of shape (n, classes), or numbers (n,)."""
        schema = fitted(self.schema)
        return self._said(self.state, schema.check_x(x), schema)

    def save(self, path: PathLike) -> None:
        """A file of safetensors: arrays of the state as they are, the rest as JSON."""
        schema = fitted(self.schema)
        arrays = {f"state.{k}": np.asarray(v) for k, v in self.state.items() if isinstance(v, np.ndarray)}
        rest = {k: v for k, v in self.state.items() if not isinstance(v, np.ndarray)}
        facts = {"trainer": "functions", "schema": schema.to_dict(), "seen": self._kept.seen, "state": rest}
        write_file(path, to_bytes({**arrays, **self._kept.arrays(schema)}, facts))

    def load(self, path: PathLike) -> None:
        """The state that `save` wrote. Raises TrainingError for a file that is none."""
        data = read_file(path)
        facts, arrays = facts_of(data, str(path), "functions"), arrays_of(data, str(path))
        try:
            schema = Schema.from_dict(facts["schema"])
            kept = Replay.of(0 if self._partial else self.replay, int(facts["seen"]), arrays, schema)
            state = {**facts["state"], **{k[6:]: v for k, v in arrays.items() if k.startswith("state.")}}
        except (KeyError, TypeError, ValueError) as error:
            raise TrainingError(f"{path} is not as a trainer saves it: {error}") from error
        self.schema, self.state, self._kept = schema, state, kept

    def _said(self, state: State, x: Any, schema: Schema) -> NDArray[np.float64]:
        if len(x) == 0:
            return np.empty((0, schema.classes) if schema.classes else 0)
        said = probabilities(schema, _call(self._predict, state, x, schema=schema))
        if len(said) != len(x):
            raise TrainingError(f"{_named(self._predict)} gives {len(said)} answers to {len(x)} inputs")
        return said

    def _end(self, state: Any, examples: Examples, kept: Replay, schema: Schema, report: Report) -> None:
        state = _checked(state, self._fit)
        loss = finite(mean_loss(schema, self._said(state, _inputs(examples), schema), examples.y), 1)
        self.schema, self.state, self._kept = schema, state, kept
        report(Epoch(1, 1, loss))

    def __getstate__(self) -> dict[str, Any]:
        for function in (self._fit, self._predict, self._partial):
            if function is not None:
                _importable(function)
        return self.__dict__.copy()


def _inputs(examples: Examples) -> Any:
    return list(examples.x) if isinstance(examples.x, tuple) else examples.x.copy()


def _call(function: Callable[..., Any], *given: Any, schema: Schema) -> Any:
    code = getattr(function, "__code__", None)
    wants = code is not None and "schema" in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return function(*given, schema=schema) if wants else function(*given)


def _checked(state: Any, function: Callable[..., Any]) -> State:
    """The state by itself: nobody else can change it. Raises TrainingError for what no file could hold."""
    if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
        raise TrainingError(f"{_named(function)} gives {state!r:.80}, must give a mapping of names")
    for name, value in state.items():
        if isinstance(value, np.ndarray):
            if value.dtype.kind not in "biuf":
                raise TrainingError(f"the state's {name!r} is an array of {value.dtype}, must be of numbers")
            if not np.isfinite(value).all():
                finite(float("nan"), 1, f"the state's {name!r} holds what is no finite number")
    return _plain(state)


def _plain(state: State) -> dict[str, Any]:
    arrays = {name: np.array(value) for name, value in state.items() if isinstance(value, np.ndarray)}
    rest = {name: value for name, value in state.items() if not isinstance(value, np.ndarray)}
    try:
        return {**json.loads(json.dumps(rest, allow_nan=False)), **arrays}
    except (TypeError, ValueError) as error:
        raise TrainingError(f"the state holds what is neither an array nor JSON: {error}") from error


def _named(function: Any) -> str:
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return f"{getattr(function, '__module__', '?')}.{name}"


def _importable(function: Callable[..., Any]) -> None:
    try:
        pickle.dumps(function)
    except Exception as error:
        raise TrainingError(
            f"{_named(function)} cannot cross to another process: write it at the top of a module ({error})"
        ) from error
