"""Many forecasts into one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from harness import Row, Size

import fairlead as fl


def pooling(n: int) -> Row:
    p = np.random.default_rng(7).dirichlet(np.ones(3), (n, 8))

    def theirs() -> Any:
        z = np.exp(np.log(np.maximum(p, 1e-3)).mean(axis=1))
        return z / z.sum(axis=1, keepdims=True)

    def ours() -> Any:
        return fl.pool(p, "log")

    return Row(
        "Log pool of 8 models, 3 classes",
        "ns/task",
        n,
        ours,
        {"numpy": theirs},
        f"{np.abs(ours() - theirs()).max():.0e}",
    )


def rows(size: Size) -> Iterator[Row]:
    yield pooling(size.scaled(100_000))
