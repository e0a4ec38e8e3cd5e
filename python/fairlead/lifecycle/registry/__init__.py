"""The registry of models: immutable weights by content, cards, aliases with compare-and-set, and what serves."""

from fairlead.lifecycle.registry.card import Alias, Card, Lineage, Summary, Version, dependencies
from fairlead.lifecycle.registry.checking import Collected, Problem, Repair, Verification
from fairlead.lifecycle.registry.errors import (
    AliasMovedError,
    DamagedRegistryError,
    DamagedWeightsError,
    RefusedWeightsError,
    RegistryError,
    RegistryLockedError,
    RegistryStorageError,
    RegistryWarning,
    UnknownVersionError,
    UntrustedTypeError,
    VersionInUseError,
)
from fairlead.lifecycle.registry.importing import Import
from fairlead.lifecycle.registry.loading import OnnxModel
from fairlead.lifecycle.registry.registry import Registry
from fairlead.lifecycle.registry.served import Served

__all__ = [
    "Alias",
    "AliasMovedError",
    "Card",
    "Collected",
    "DamagedRegistryError",
    "DamagedWeightsError",
    "Import",
    "Lineage",
    "OnnxModel",
    "Problem",
    "RefusedWeightsError",
    "Registry",
    "RegistryError",
    "RegistryLockedError",
    "RegistryStorageError",
    "RegistryWarning",
    "Repair",
    "Served",
    "Summary",
    "UnknownVersionError",
    "UntrustedTypeError",
    "Verification",
    "Version",
    "VersionInUseError",
    "dependencies",
]
