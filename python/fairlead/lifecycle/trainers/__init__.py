"""Trainers of models of all kinds: scikit-learn, River, torch, texts, plain functions. Each needs its own package when
it is first asked for, and no other."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fairlead.lifecycle.trainers.functions import FunctionTrainer
    from fairlead.lifecycle.trainers.river import RiverTrainer
    from fairlead.lifecycle.trainers.sklearn import SklearnTrainer
    from fairlead.lifecycle.trainers.text import TextTrainer, tiny_encoder
    from fairlead.lifecycle.trainers.torch import TorchTrainer, mlp
    from fairlead.lifecycle.trainers.torch_loop import Keep

_LATER = {
    "FunctionTrainer": "functions",
    "Keep": "torch_loop",
    "RiverTrainer": "river",
    "SklearnTrainer": "sklearn",
    "TextTrainer": "text",
    "TorchTrainer": "torch",
    "mlp": "torch",
    "tiny_encoder": "text",
}

# What has to be installed where a package is missing.
_FROM = {
    "river": "river",
    "safetensors": "'fairlead[lifecycle]'",
    "skops": "'fairlead[lifecycle]'",
    "sklearn": "'fairlead[lifecycle]'",
    "torch": "'fairlead[lifecycle,torch]'",
}

__all__ = [
    "FunctionTrainer",
    "Keep",
    "RiverTrainer",
    "SklearnTrainer",
    "TextTrainer",
    "TorchTrainer",
    "mlp",
    "tiny_encoder",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = import_module(f"{__name__}.{_LATER[name]}")
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _FROM:
            raise
        raise ModuleNotFoundError(f"{name} needs {package}: pip install {_FROM[package]}", name=error.name) from error
    found = getattr(module, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
