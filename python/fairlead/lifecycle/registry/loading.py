"""Weights that were checked, as a model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fairlead.lifecycle.registry.card import Version
from fairlead.lifecycle.registry.errors import DamagedWeightsError, UntrustedTypeError
from fairlead.lifecycle.registry.formats import arrays

if TYPE_CHECKING:
    from numpy.typing import NDArray


class OnnxModel:
    """An ONNX model, run by onnxruntime on one thread. inputs, outputs: their names."""

    __slots__ = ("_session", "inputs", "outputs")

    def __init__(self, data: bytes) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise ImportError("to run ONNX models: pip install 'fairlead[onnx]'") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # it has a class of its own for each, all of them RuntimeError or Exception
            raise DamagedWeightsError(f"onnxruntime cannot run the model: {error}") from error
        self.inputs: tuple[str, ...] = tuple(part.name for part in self._session.get_inputs())
        self.outputs: tuple[str, ...] = tuple(part.name for part in self._session.get_outputs())

    def run(self, **inputs: Any) -> dict[str, Any]:
        """All outputs by name, of inputs by name."""
        return dict(zip(self.outputs, self._session.run(None, inputs), strict=True))

    def predict(self, x: Any) -> NDArray[Any]:
        """The last output for one input; that of classifiers made from scikit-learn is the probabilities."""
        import numpy as np

        if len(self.inputs) != 1:
            raise ValueError(f"the model has {len(self.inputs)} inputs ({', '.join(self.inputs)}): use `run`")
        kinds = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(int64)": np.int64}
        kind = kinds.get(self._session.get_inputs()[0].type)
        given = np.asarray(x) if kind is None else np.asarray(x, kind)
        found = self._session.run(None, {self.inputs[0]: given})[-1]
        if isinstance(found, list) and found and isinstance(found[0], dict):  # a ZipMap: probability by label
            return np.array([[row[label] for label in sorted(row)] for row in found])
        return np.asarray(found)


def untrusted_types(data: bytes) -> tuple[str, ...]:
    """Types in a skops file that skops does not trust by itself."""
    return tuple(_skops().get_untrusted_types(data=data))


def model_of(version: Version, data: bytes, trusted: Sequence[str]) -> Any:
    """By format: arrays by name, an estimator, an `OnnxModel`, or what the JSON says.

    Raises UntrustedTypeError, DamagedWeightsError, ImportError.
    """
    if version.format == "safetensors":
        return arrays(data)
    if version.format == "json":
        return json.loads(data)
    if version.format == "onnx":
        return OnnxModel(data)
    return _estimator(version, data, trusted)


def check_trusted(version: Version, data: bytes, trusted: Sequence[str]) -> None:
    """Raises UntrustedTypeError where a skops file holds types that neither skops nor the caller trusts."""
    try:
        unknown = tuple(name for name in untrusted_types(data) if name not in trusted)
    except ImportError:
        raise
    except Exception as error:  # a zip that skops cannot read raises whatever it meets first
        raise DamagedWeightsError(f"skops cannot read {version.name!r} version {version.number}: {error!r}") from error
    if unknown:
        raise UntrustedTypeError(
            f"{version.name!r} version {version.number} holds types that are not trusted: {', '.join(unknown)}. "
            f"Whoever loads it runs their code: look at them, then load it with trusted={list(unknown)!r}",
            unknown,
        )


def _estimator(version: Version, data: bytes, trusted: Sequence[str]) -> Any:
    check_trusted(version, data, trusted)
    try:
        return _skops().loads(data, trusted=list(trusted))
    except Exception as error:
        raise DamagedWeightsError(f"skops cannot read {version.name!r} version {version.number}: {error!r}") from error


def _skops() -> Any:
    try:
        import skops.io
    except ImportError as error:
        raise ImportError("estimators of scikit-learn are read by skops: pip install 'fairlead[lifecycle]'") from error
    return skops.io
