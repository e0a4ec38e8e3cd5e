"""Any estimator of scikit-learn, pipelines too, as a trainer; saved by skops, which pickles nothing."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np
import skops.io
import threadpoolctl
from numpy.typing import NDArray
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle.examples import Examples
from fairlead.lifecycle.failures import SchemaError, TrainingError
from fairlead.lifecycle.registry.errors import UntrustedTypeError
from fairlead.lifecycle.schema import Schema
from fairlead.lifecycle.trainer import Epoch, PathLike, Report, quiet
from fairlead.lifecycle.trainers.base import (
    Replay,
    alone,
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
from fairlead.lifecycle.trainers.skops_file import canonical

# Where scikit-learn's models and what they are made of stand.
_MODELS = (
    *("_loss", "base", "calibration", "cluster", "compose", "covariance", "cross_decomposition", "decomposition"),
    *("discriminant_analysis", "dummy", "ensemble", "feature_extraction", "feature_selection", "frozen"),
    *("gaussian_process", "impute", "isotonic", "kernel_approximation", "kernel_ridge", "linear_model", "manifold"),
    *("metrics", "mixture", "model_selection", "multiclass", "multioutput", "naive_bayes", "neighbors"),
    *("neural_network", "pipeline", "preprocessing", "random_projection", "semi_supervised", "svm", "tree"),
)

_STATE = "fairlead_"  # what a fitted estimator carries besides its own: the schema, and examples to be used again


class SklearnTrainer:
    """Trains an estimator of scikit-learn: a classifier, a regressor, or a pipeline that ends with one.

    estimator: with its parameters; it is never fitted itself. Each `random_state` that is None gets the seed of `fit`.
    replay: of how many examples a fair sample is kept, for estimators that cannot learn further. passes: how often
    `partial_fit` goes over the new examples, of those that can. trusted: names of types that a file may hold, besides
    the classes of scikit-learn's models and those of `estimator`.

    How `partial_fit` keeps what is known: an estimator that has it (SGDClassifier, MLPClassifier, GaussianNB, ...) goes
    on from its weights. So does the last step of a pipeline, behind the other steps as they were fitted. All others
    are fitted anew to the replayed sample and the new examples together.

    Text goes in as it is (schema with text=True): begin the pipeline with a vectorizer. The file holds the fitted
    estimator, with what else is needed in its attribute `fairlead_`, so that `skops.io.load` gives it without fairlead.
    Numerical libraries use one thread during a training, so that the bits do not depend on how many there are.

    >>> from sklearn.linear_model import LogisticRegression
    >>> examples = Examples(Schema("binary", ["a"]), [[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
    >>> trainer = SklearnTrainer(LogisticRegression())
    >>> trainer.fit(examples)
    >>> trainer.predict([[0.0], [3.0]]).argmax(axis=1).tolist()
    [0, 1]
    """

    format = "skops"

    def __init__(self, estimator: Any, *, replay: int = 2000, passes: int = 1, trusted: Iterable[str] = ()) -> None:
        if isinstance(estimator, type) or not all(hasattr(estimator, name) for name in ("fit", "get_params")):
            raise InvalidRecordError(f"estimator is {estimator!r}, must be an estimator of scikit-learn")
        if not (is_classifier(estimator) or is_regressor(estimator) or hasattr(estimator, "predict")):
            raise InvalidRecordError(f"estimator is {estimator!r}, which predicts nothing")
        self.estimator = clone(estimator)
        self.replay = check_count(replay, "replay")
        self.passes = check_count(passes, "passes", 1)
        self.trusted = tuple(trusted)
        self.schema: Schema | None = None
        self.fitted: Any = None
        """The fitted estimator; None until then."""
        self._kept = Replay(self.replay)

    def fresh(self) -> SklearnTrainer:
        """An untrained one with the same parameters."""
        return SklearnTrainer(self.estimator, replay=self.replay, passes=self.passes, trusted=self.trusted)

    def params(self) -> dict[str, Any]:
        """For the card: the estimator, as it is written down."""
        return {"trainer": "sklearn", "estimator": repr(self.estimator), "replay": self.replay, "passes": self.passes}

    def fit(self, examples: Examples, *, seed: int = 0, report: Report = quiet) -> None:
        """Learns from these examples alone."""
        check_fit(examples)
        kept = Replay(self.replay)
        if not _goes_on(self.estimator):
            kept.add(examples, check_seed(seed))
        self._fit(examples, kept, examples.schema, seed, report)

    def partial_fit(self, examples: Examples, *, seed: int = 0, report: Report = quiet) -> None:
        """Learns from these too. Of one that was never fitted, it is `fit`."""
        if self.schema is None:
            return self.fit(examples, seed=seed, report=report)
        check_fit(examples, least=1, schema=self.schema)
        kept = self._kept.copy()
        if not _goes_on(self.estimator):
            before = kept.examples(self.schema)
            kept.add(examples, check_seed(seed))
            return self._fit(before + examples, kept, self.schema, seed, report)
        classes = getattr(self.fitted, "classes_", None)
        new = set() if classes is None else {int(y) for y in examples.y} - {int(c) for c in classes}
        if new:
            names = ", ".join(repr(self.schema.labels[y]) for y in sorted(new))
            raise TrainingError(f"the model was fitted without any example of {names}: it needs a full fit")
        model = _copy(self.fitted, self._types())
        for number in range(1, self.passes + 1):
            with _one_thread(), _own_random(seed):
                _go_on(model, _inputs(examples.x), examples.y)
            self._end(model, examples, kept, self.schema, report, number, self.passes)

    def predict(self, x: Any) -> NDArray[np.float64]:
        """Probabilities of shape (n, classes), or numbers (n,). Of a classifier without `predict_proba` they are made
        from its `decision_function`, or are 0 and 1."""
        schema = fitted(self.schema)
        checked = schema.check_x(x)
        if len(checked) == 0:
            return np.empty((0, schema.classes) if schema.classes else 0)
        return _predict(self.fitted, checked, schema)

    def save(self, path: PathLike) -> None:
        """A file of skops, whose bytes depend on the model alone."""
        schema = fitted(self.schema)
        state = {"schema": schema.to_json(), "seen": self._kept.seen, **self._kept.arrays(schema)}
        setattr(self.fitted, _STATE, state)
        try:
            write_file(path, canonical(skops.io.dumps(self.fitted)))
        finally:
            delattr(self.fitted, _STATE)

    def load(self, path: PathLike) -> None:
        """The state that `save` wrote. Raises TrainingError for a file that is none, UntrustedTypeError for one that
        holds a type which is not trusted: the message names it."""
        model = _loads(read_file(path), self._types(), str(path))
        try:
            state = dict(getattr(model, _STATE))
            schema = Schema.from_json(state.pop("schema"))
            kept = Replay.of(self.replay, int(state.pop("seen")), state, schema)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise TrainingError(f"{path} holds a {type(model).__name__} that no SklearnTrainer has saved") from error
        if type(model) is not type(self.estimator):
            raise SchemaError(f"{path} holds a {type(model).__name__}, must be a {type(self.estimator).__name__}")
        delattr(model, _STATE)
        self.schema, self.fitted, self._kept = schema, model, kept

    def _fit(self, examples: Examples, kept: Replay, schema: Schema, seed: int, report: Report) -> None:
        if schema.kind == "numeric" and is_classifier(self.estimator):
            raise SchemaError(f"the labels are numbers, but {type(self.estimator).__name__} is a classifier")
        if schema.kind != "numeric" and is_regressor(self.estimator):
            raise SchemaError(f"the labels are classes, but {type(self.estimator).__name__} is a regressor")
        model = _seeded(clone(self.estimator), check_seed(seed))
        with _one_thread(), _own_random(seed):
            model.fit(_inputs(examples.x), examples.y)
        self._end(model, examples, kept, schema, report)

    def _end(
        self,
        model: Any,
        examples: Examples,
        kept: Replay,
        schema: Schema,
        report: Report,
        number: int = 1,
        of: int = 1,
    ) -> None:
        loss = mean_loss(schema, _predict(model, examples.x, schema), examples.y)
        self.schema, self.fitted, self._kept = schema, model, kept
        report(Epoch(number, of, finite(loss, number)))

    def _types(self) -> set[str]:
        """Types that are trusted because they were given: those of the estimator, and those named."""
        return {*self.trusted, *skops.io.get_untrusted_types(data=skops.io.dumps(self.estimator))}


def _inputs(x: Any) -> Any:
    return list(x) if isinstance(x, tuple) else x


def _seeded(model: Any, seed: int) -> Any:
    wanted = {
        k: seed for k, v in model.get_params(deep=True).items() if v is None and k.split("__")[-1] == "random_state"
    }
    return model.set_params(**wanted)


def _goes_on(model: Any) -> bool:
    last = model.steps[-1][1] if isinstance(model, Pipeline) else model
    return hasattr(last, "partial_fit")


def _go_on(model: Any, x: Any, y: NDArray[Any]) -> None:
    if isinstance(model, Pipeline):
        for _, step in model.steps[:-1]:
            x = x if step in (None, "passthrough") else step.transform(x)
        model = model.steps[-1][1]
    model.partial_fit(x, y)


def _predict(model: Any, x: Any, schema: Schema) -> NDArray[np.float64]:
    x = _inputs(x)
    if schema.kind == "numeric":
        return probabilities(schema, model.predict(x))
    if hasattr(model, "predict_proba"):
        said = np.asarray(model.predict_proba(x), dtype=np.float64)
    elif hasattr(model, "decision_function"):
        score = np.asarray(model.decision_function(x), dtype=np.float64)
        score = np.column_stack([np.zeros(len(score)), score]) if score.ndim == 1 else score
        said = np.exp(score - score.max(axis=1, keepdims=True))
    else:
        said = np.eye(schema.classes)[np.asarray(model.predict(x), dtype=np.int64)]
        return probabilities(schema, said)
    out = np.zeros((len(said), schema.classes))  # a class of which there was no example has no column
    out[:, np.asarray(model.classes_, dtype=np.int64)] = said
    return probabilities(schema, out)


def _copy(model: Any, types: set[str]) -> Any:
    return _loads(skops.io.dumps(model), types, "the model")


_PLAIN = ("numpy.dtype",)  # what imputers hold, and nothing that runs


def _loads(data: bytes, trusted: set[str], where: str) -> Any:
    try:
        found = skops.io.get_untrusted_types(data=data)
        unknown = [name for name in found if name not in (*_PLAIN, *trusted) and not _of_sklearn(name)]
        if unknown:
            raise UntrustedTypeError(
                f"{where} holds types that are not trusted: {', '.join(unknown)}; if you know them, give "
                f"SklearnTrainer(..., trusted={unknown!r})",
                tuple(unknown),
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return skops.io.loads(data, trusted=found)
    except UntrustedTypeError:
        raise
    except Exception as error:  # whatever skops makes of bytes that are none of its
        raise TrainingError(f"{where} is no model of skops, or of another version: {error}") from error


def _of_sklearn(name: str) -> bool:
    """Whether it is a class of scikit-learn's models: no function, of which some run what they are given."""
    module, _, of = name.rpartition(".")
    first, _, rest = module.partition(".")
    if first != "sklearn" or not (rest.partition(".")[0] in _MODELS or rest == "utils._bunch"):
        return False
    try:
        found = getattr(import_module(module), of, None)
    except ImportError:
        return False
    return isinstance(found, type) and found.__module__ == module  # what is only used there is not of scikit-learn


@contextmanager
def _one_thread() -> Iterator[None]:
    with alone(), threadpoolctl.threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


@contextmanager
def _own_random(seed: int) -> Iterator[None]:
    """numpy's global random state is a seeded one meanwhile, as an estimator may ask it."""
    before = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)
