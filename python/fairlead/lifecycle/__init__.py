"""The life of a model: examples, training, versions, drift, trials, promotion and the way back."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fairlead.lifecycle.failures import (
    Failure,
    LifecycleError,
    NanLossError,
    SchemaError,
    Stopped,
    TooFewExamplesError,
    TrainingError,
)

if TYPE_CHECKING:
    from fairlead.lifecycle.conformance import TrainerFault, check_trainer
    from fairlead.lifecycle.examples import CAPACITY, ExampleBuffer, Examples, Joined, read_examples
    from fairlead.lifecycle.jobs import (
        EarlyStopping,
        InlineJobs,
        Job,
        JobError,
        JobFailedError,
        JobResult,
        Jobs,
        JobsLockedError,
        JobStatus,
        Limits,
        NotSendableError,
        TrainingJobs,
        UnknownJobError,
    )
    from fairlead.lifecycle.pool import OnAnswers, OnGrowth, Pool, Pooled, Windows, pooled
    from fairlead.lifecycle.registry import (
        Alias,
        AliasMovedError,
        Card,
        DamagedRegistryError,
        DamagedWeightsError,
        Lineage,
        OnnxModel,
        RefusedWeightsError,
        Registry,
        RegistryError,
        RegistryLockedError,
        RegistryStorageError,
        RegistryWarning,
        Served,
        UnknownVersionError,
        UntrustedTypeError,
        Version,
        VersionInUseError,
        dependencies,
    )
    from fairlead.lifecycle.schema import Schema
    from fairlead.lifecycle.streamed import Contender, Prequential, Stream, prequential, read_stream, with_history
    from fairlead.lifecycle.trainer import Epoch, Report, Resumable, Trainer, parameters, quiet

# What needs numpy or a model's own package is imported when it is first asked for: name -> its module.
_LATER = {
    "TrainerFault": "conformance",
    "check_trainer": "conformance",
    "CAPACITY": "examples",
    "ExampleBuffer": "examples",
    "Examples": "examples",
    "Joined": "examples",
    "read_examples": "examples",
    "Alias": "registry",
    "AliasMovedError": "registry",
    "Card": "registry",
    "DamagedRegistryError": "registry",
    "DamagedWeightsError": "registry",
    "Lineage": "registry",
    "OnnxModel": "registry",
    "RefusedWeightsError": "registry",
    "Registry": "registry",
    "RegistryError": "registry",
    "RegistryLockedError": "registry",
    "RegistryStorageError": "registry",
    "RegistryWarning": "registry",
    "Served": "registry",
    "UnknownVersionError": "registry",
    "UntrustedTypeError": "registry",
    "Version": "registry",
    "VersionInUseError": "registry",
    "dependencies": "registry",
    "EarlyStopping": "jobs",
    "InlineJobs": "jobs",
    "Job": "jobs",
    "JobError": "jobs",
    "JobFailedError": "jobs",
    "JobResult": "jobs",
    "JobStatus": "jobs",
    "Jobs": "jobs",
    "JobsLockedError": "jobs",
    "Limits": "jobs",
    "NotSendableError": "jobs",
    "TrainingJobs": "jobs",
    "UnknownJobError": "jobs",
    "OnAnswers": "pool",
    "OnGrowth": "pool",
    "Pool": "pool",
    "Pooled": "pool",
    "Windows": "pool",
    "pooled": "pool",
    "Schema": "schema",
    "Contender": "streamed",
    "Prequential": "streamed",
    "Stream": "streamed",
    "prequential": "streamed",
    "read_stream": "streamed",
    "with_history": "streamed",
    "Epoch": "trainer",
    "Report": "trainer",
    "Resumable": "trainer",
    "Trainer": "trainer",
    "parameters": "trainer",
    "quiet": "trainer",
}

__all__ = [
    "CAPACITY",
    "Alias",
    "AliasMovedError",
    "Card",
    "Contender",
    "DamagedRegistryError",
    "DamagedWeightsError",
    "EarlyStopping",
    "Epoch",
    "ExampleBuffer",
    "Examples",
    "Failure",
    "InlineJobs",
    "Job",
    "JobError",
    "JobFailedError",
    "JobResult",
    "JobStatus",
    "Jobs",
    "JobsLockedError",
    "Joined",
    "LifecycleError",
    "Limits",
    "Lineage",
    "NanLossError",
    "NotSendableError",
    "OnAnswers",
    "OnGrowth",
    "OnnxModel",
    "Pool",
    "Pooled",
    "Prequential",
    "RefusedWeightsError",
    "Registry",
    "RegistryError",
    "RegistryLockedError",
    "RegistryStorageError",
    "RegistryWarning",
    "Report",
    "Resumable",
    "Schema",
    "SchemaError",
    "Served",
    "Stopped",
    "Stream",
    "TooFewExamplesError",
    "Trainer",
    "TrainerFault",
    "TrainingError",
    "TrainingJobs",
    "UnknownJobError",
    "UnknownVersionError",
    "UntrustedTypeError",
    "Version",
    "VersionInUseError",
    "Windows",
    "check_trainer",
    "dependencies",
    "parameters",
    "pooled",
    "prequential",
    "quiet",
    "read_examples",
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
