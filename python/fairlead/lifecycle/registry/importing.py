"""Models that lie in a folder, into the registry: each file of weights becomes a version.

    folder/elec.safetensors                     elec, version 1
    folder/elec/1.onnx, folder/elec/2.onnx      elec, versions in the order of their numbers
    folder/elec/3/model.onnx                    elec (as Triton and TensorFlow Serving lay models out)
    folder/bert/model.safetensors               bert (as Hugging Face does)

JSON beside a file of weights, of the same name, is its card: `metrics`, `params`, `lineage`, `schema`, `description`;
`config.json` beside `model.*` becomes its params. Pickles are named and left. What is in the registry already, weights
and name, is not registered again: an import that was interrupted is run again.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle.registry.card import Version
from fairlead.lifecycle.registry.errors import RefusedWeightsError, RegistryError, UnknownVersionError
from fairlead.lifecycle.registry.names import proposed

if TYPE_CHECKING:
    from fairlead.lifecycle.registry.registry import Registry

_WEIGHTS = (".safetensors", ".skops", ".onnx")
_PICKLED = (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".ckpt", ".bin", ".npy", ".npz", ".h5", ".keras")
_USUAL = {"model", "weights", "checkpoint", "pytorch_model", "adapter_model"}  # names that say nothing
_CARD = ("metrics", "params", "lineage", "schema", "description", "created")


@dataclass(frozen=True, slots=True)
class Import:
    """What `Registry.import_folder` did. there: files whose weights the model had already. refused: file and why."""

    imported: tuple[Version, ...]
    there: tuple[Path, ...]
    refused: tuple[tuple[Path, str], ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "imported": [version.to_dict() for version in self.imported],
            "there": [str(path) for path in self.there],
            "refused": [{"path": str(path), "why": why} for path, why in self.refused],
        }

    as_dict = to_dict

    def __str__(self) -> str:
        lines = [f"{v.name} version {v.number}: {v.format}, {v.size:,} bytes" for v in self.imported]
        lines += [f"there already: {path}" for path in self.there]
        lines += [f"refused: {path}: {why}" for path, why in self.refused]
        return "\n".join(lines) or "no models found"


def import_folder(registry: Registry, folder: Path, by: str = "") -> Import:
    """All that lies under a folder. Links are not followed."""
    if not folder.is_dir():
        raise RegistryError(f"path is {os.fspath(folder)!r}, which is no folder")
    imported: list[Version] = []
    there: list[Path] = []
    refused: list[tuple[Path, str]] = []
    for path in _files(folder):
        if path.suffix.lower() not in _WEIGHTS:
            refused.append((path, f"{path.suffix} files may run code when they are read; convert it to {_ways()}"))
            continue
        name = _name(folder, path)
        try:
            made = _import(registry, name, path, by)
        except (RefusedWeightsError, InvalidRecordError) as error:
            refused.append((path, str(error)))
            continue
        if made is None:
            there.append(path)
        else:
            imported.append(made)
    return Import(tuple(imported), tuple(there), tuple(refused))


def _ways() -> str:
    return ", ".join(suffix[1:] for suffix in _WEIGHTS)


def _import(registry: Registry, name: str, path: Path, by: str) -> Version | None:
    told = _told(path)
    digest = registry.digest_of(path)
    try:
        if any(version.digest == digest for version in registry.versions(name)):
            return None
    except UnknownVersionError:
        pass
    if "lineage" not in told:
        told["lineage"] = {"code": f"imported from {path}" + (f" by {by}" if by else "")}
    return registry.register(name, path, **told)


def _told(path: Path) -> dict[str, Any]:
    """What JSON beside a file says of it."""
    beside = path.with_suffix(".json")
    found = _json(beside)
    if found:
        body = found.get("card", found) if isinstance(found.get("card"), dict) else found
        told = {key: body[key] for key in _CARD if key in body}
        return told if told else {"params": found}
    if path.stem in _USUAL and (config := _json(path.with_name("config.json"))):
        return {"params": config}
    return {}


def _json(path: Path) -> dict[str, Any]:
    try:
        if path.is_symlink() or path.stat().st_size > 1 << 20:
            return {}
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _files(folder: Path) -> Iterator[Path]:
    """Weights, and what could be pickled ones, in the order of their versions."""
    found = []
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            path = Path(root, name)
            wanted = path.suffix.lower() in (*_WEIGHTS, *_PICKLED) and not name.startswith(".")
            if wanted and path.is_file() and not path.is_symlink():
                found.append(path)
    yield from sorted(found, key=lambda path: [_natural(part) for part in path.relative_to(folder).parts])


def _natural(text: str) -> list[tuple[int, int, str]]:
    """So that 10 comes after 9."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", text) if part]


def _name(folder: Path, path: Path) -> str:
    """Of the model that a file is of: the last part of its path that is neither a version nor a word for any model."""
    parts = [*path.relative_to(folder).parts[:-1], path.stem]
    named = [part for part in parts if not re.fullmatch(r"v?\d+", part) and part not in _USUAL]
    return proposed(named[-1] if named else folder.resolve().name)
