"""Files of safetensors with one string of metadata beside the arrays: several would come in any order."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from fairlead.lifecycle.failures import TrainingError

_KEY = "fairlead"
_MOST_HEADER = 100 << 20


def to_bytes(arrays: dict[str, NDArray[Any]], facts: dict[str, Any]) -> bytes:
    """The bytes of a file; the same arrays and facts give the same ones."""
    return safetensors.numpy.save(
        {name: np.ascontiguousarray(array) for name, array in sorted(arrays.items())}, metadata=metadata(facts)
    )


def metadata(facts: dict[str, Any]) -> dict[str, str]:
    """Facts as the metadata of a file."""
    return {_KEY: json.dumps(facts, sort_keys=True, separators=(",", ":"))}


def facts_of(data: bytes, where: str, trainer: str) -> dict[str, Any]:
    """The facts in the bytes of a file. Raises TrainingError where it is none, or was not saved by this trainer."""
    try:
        size = int.from_bytes(data[:8], "little")
        if len(data) < 8 or size > min(len(data) - 8, _MOST_HEADER):
            raise ValueError("its header is cut short")
        found = json.loads(json.loads(data[8 : 8 + size])["__metadata__"][_KEY])
        if not isinstance(found, dict):
            raise ValueError("its metadata are no object")
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise TrainingError(f"{where} is no file of safetensors that a trainer has saved: {error}") from error
    if found.get("trainer") != trainer:
        raise TrainingError(f"{where} was saved by the trainer {found.get('trainer')!r}, not by {trainer!r}")
    return found


def arrays_of(data: bytes, where: str) -> dict[str, NDArray[Any]]:
    """The arrays in the bytes of a file. Raises TrainingError where it is damaged."""
    try:
        return safetensors.numpy.load(data)
    except safetensors.SafetensorError as error:
        raise TrainingError(f"{where} is no file of safetensors: {error}") from error
