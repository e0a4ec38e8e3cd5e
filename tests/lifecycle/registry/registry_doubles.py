"""What several files of tests share: small weights, and a log that keeps what it is told."""

from __future__ import annotations

from typing import Any

import numpy as np
from safetensors.numpy import save

START = 1_700_000_000_000_000_000


def weights(n: float) -> bytes:
    """A small file of weights; another for each number."""
    return save({"w": np.full(8, float(n)), "b": np.arange(3, dtype=np.float32)})


class Told:
    """A log that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str | None, int | None, dict[str, Any]]] = []

    def append(self, type: str, data: Any, *, model: str | None = None, time: int | None = None) -> int:
        self.events.append((type, model, time, dict(data)))
        return len(self.events)
