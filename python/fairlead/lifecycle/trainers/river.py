"""Any classifier or regressor of River as a trainer; saved as JSON, with every type checked."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

import numpy as np
import river.base
from numpy.typing import NDArray

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle.examples import Examples
from fairlead.lifecycle.failures import SchemaError, TrainingError
from fairlead.lifecycle.schema import Schema
from fairlead.lifecycle.trainer import Epoch, PathLike, Report, quiet
from fairlead.lifecycle.trainers.base import (
    check_count,
    check_fit,
    check_seed,
    finite,
    fitted,
    probabilities,
    read_file,
    write_file,
)
from fairlead.lifecycle.trainers.object_graph import Refused, from_plain, to_plain


class RiverTrainer:
    """Trains a model of River, one example after the other.

    model: with its parameters; it never learns itself. Each `seed` that is None gets that of `fit`. passes: how often
    `fit` goes over the examples. trusted: packages besides River's whose types a file may hold ("mypackage.models").

    `partial_fit` goes on where it stands: a model of River weighs what is new and what is old by its own rule. The loss
    that is reported is of predictions made before each example was learned. Rows go in as dicts by name, without
    those that are missing; labels as False and True, as numbers of classes, or as numbers; texts as they are.

    The file is JSON of all that the model holds: numbers, collections, and objects whose types stand in River. What
    holds anything else (a function without a name, a type of another package) is refused when it is saved.

    >>> from river import linear_model, preprocessing
    >>> examples = Examples(Schema("binary", ["a"]), [[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
    >>> trainer = RiverTrainer(preprocessing.StandardScaler() | linear_model.LogisticRegression(), passes=20)
    >>> trainer.fit(examples)
    >>> trainer.predict([[0.0], [3.0]]).argmax(axis=1).tolist()
    [0, 1]
    """

    format = "json"

    def __init__(self, model: Any, *, passes: int = 1, trusted: Iterable[str] = ()) -> None:
        if isinstance(model, type) or not all(hasattr(model, n) for n in ("learn_one", "predict_one", "clone")):
            raise InvalidRecordError(f"model is {model!r}, must be a classifier or regressor of River")
        self.model = model.clone()
        self.passes = check_count(passes, "passes", 1)
        self.trusted = tuple(trusted)
        self.schema: Schema | None = None
        self.fitted: Any = None
        """The model that has learned; None until then."""

    def fresh(self) -> RiverTrainer:
        """An untrained one with the same parameters."""
        return RiverTrainer(self.model, passes=self.passes, trusted=self.trusted)

    def params(self) -> dict[str, Any]:
        """For the card: the model, as it is written down."""
        return {"trainer": "river", "model": " ".join(repr(self.model).split()), "passes": self.passes}

    def fit(self, examples: Examples, *, seed: int = 0, report: Report = quiet) -> None:
        """Learns from these examples alone."""
        check_fit(examples)
        self._check_kind(examples.schema)
        self._learn(_seeded(self.model, check_seed(seed)), examples, self.passes, report)

    def partial_fit(self, examples: Examples, *, seed: int = 0, report: Report = quiet) -> None:
        """Learns from these too, in one pass. Of one that was never fitted, it is `fit`."""
        if self.schema is None:
            return self.fit(examples, seed=seed, report=report)
        check_fit(examples, least=1, schema=self.schema)
        check_seed(seed)
        self._learn(self._back(self._plain(self.fitted), "the model"), examples, 1, report)

    def predict(self, x: Any) -> NDArray[np.float64]:
        """Probabilities of shape (n, classes), or numbers (n,). Without an opinion, all are alike, or 0."""
        schema = fitted(self.schema)
        checked = schema.check_x(x)
        if len(checked) == 0:
            return np.empty((0, schema.classes) if schema.classes else 0)
        return probabilities(schema, [_said(self.fitted, row, schema) for row in _rows(schema, checked)])

    def save(self, path: PathLike) -> None:
        """A file of JSON. Raises TrainingError, naming the place, for a model that holds what cannot be in one."""
        schema = fitted(self.schema)
        facts = {
            "trainer": "river",
            "river": version("river"),
            "schema": schema.to_dict(),
            "model": self._plain(self.fitted),
        }
        text = json.dumps(facts, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        write_file(path, text.encode("utf-8", "surrogatepass"))

    def load(self, path: PathLike) -> None:
        """The state that `save` wrote. Raises TrainingError for a file that is none, or that holds a type which is not
        trusted: the message names it."""
        try:
            facts = json.loads(read_file(path).decode("utf-8", "surrogatepass"))
            if facts["trainer"] != "river":
                raise ValueError(f"it was saved by the trainer {facts['trainer']!r}")
            schema, plain, of = Schema.from_dict(facts["schema"]), facts["model"], str(facts["river"])
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise TrainingError(f"{path} is no file that a RiverTrainer has saved: {error}") from error
        model = self._back(plain, str(path) if of == version("river") else f"{path}, of River {of},")
        if type(model) is not type(self.model):
            raise SchemaError(f"{path} holds a {type(model).__name__}, must be a {type(self.model).__name__}")
        self.schema, self.fitted = schema, model

    def _learn(self, model: Any, examples: Examples, passes: int, report: Report) -> None:
        schema = examples.schema
        rows = _rows(schema, examples.x)
        labels = [_label(y, schema) for y in examples.y.tolist()]
        before = self.schema, self.fitted
        for number in range(1, passes + 1):
            total = 0.0
            try:
                for row, label in zip(rows, labels, strict=True):
                    total += _loss(_said(model, row, schema), label, schema)
                    model.learn_one(row, label)
                loss = finite(total / len(rows), number)
            except BaseException:
                self.schema, self.fitted = before
                raise
            self.schema, self.fitted = schema, model
            report(Epoch(number, passes, loss))

    def _check_kind(self, schema: Schema) -> None:
        last = self.model
        while hasattr(last, "_last_step"):
            last = last._last_step
        if isinstance(last, river.base.Regressor) != (schema.kind == "numeric"):
            what = "numbers" if schema.kind == "numeric" else "classes"
            raise SchemaError(f"the labels are {what}, but {type(last).__name__} does not predict these")

    def _plain(self, model: Any) -> Any:
        try:
            return to_plain(model, ("river", *self.trusted))
        except Refused as error:
            raise TrainingError(f"this model of River cannot be saved: {error}") from error

    def _back(self, plain: Any, where: str) -> Any:
        try:
            return from_plain(plain, ("river", *self.trusted))
        except Refused as error:
            raise TrainingError(f"{where} cannot be read: {error}") from error


def _rows(schema: Schema, x: Any) -> list[Any]:
    if schema.text:
        return list(x)
    names = schema.features
    if schema.missing:
        return [{n: v for n, v in zip(names, row, strict=True) if v == v} for row in x.tolist()]
    return [dict(zip(names, row, strict=True)) for row in x.tolist()]


def _label(y: float, schema: Schema) -> bool | int | float:
    return float(y) if schema.kind == "numeric" else (bool(y) if schema.kind == "binary" else int(y))


def _said(model: Any, row: Any, schema: Schema) -> Any:
    """What the model says of one row: a number, or a list of probabilities."""
    if schema.kind == "numeric":
        said = model.predict_one(row)
        return 0.0 if said is None else float(said)
    try:
        shares = model.predict_proba_one(row)
    except NotImplementedError:
        said = model.predict_one(row)
        shares = {} if said is None else {said: 1.0}
    out = [float(shares.get(k, 0.0)) for k in range(schema.classes)]  # False is 0, True is 1
    total = math.fsum(out)
    return [p / total for p in out] if total > 0.0 else [1.0 / schema.classes] * schema.classes


def _loss(said: Any, label: Any, schema: Schema) -> float:
    if schema.kind == "numeric":
        error = float(said) - float(label)
        return error * error
    return -math.log(max(float(said[int(label)]), 1e-15))


def _seeded(model: Any, seed: int) -> Any:
    """A clone whose seeds that are None are this one, those of models within it too."""
    return model.clone(_with_seed(model._get_params(), seed))


def _with_seed(params: dict[str, Any], seed: int) -> dict[str, Any]:
    """Parameters as River writes them down: an object is (its class, its own), a step of a pipeline its own."""
    out: dict[str, Any] = {}
    for name, value in params.items():
        if name == "seed" and value is None:
            out[name] = seed
        elif isinstance(value, dict):
            out[name] = _with_seed(value, seed)
        elif isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], dict):
            out[name] = (value[0], _with_seed(value[1], seed))
        else:
            out[name] = value
    return out
