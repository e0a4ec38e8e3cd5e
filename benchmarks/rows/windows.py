"""Windows and rolling statistics."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from harness import Row, Run, Size, peer

import fairlead as fl


def rolling(n: int) -> Row:
    x = np.random.default_rng(7).normal(0, 1, n).tolist()

    def ours() -> fl.RollingWindow:
        window = fl.RollingWindow(100)
        push = window.push
        for value in x:
            push(value)
            _ = window.mean
            _ = window.variance()
        return window

    peers: dict[str, Run] = {}
    river = peer("river.stats")
    if river is not None:
        utils = importlib.import_module("river.utils")

        def theirs() -> Any:
            variance = utils.Rolling(river.Var, window_size=100)
            mean = utils.Rolling(river.Mean, window_size=100)
            for value in x:
                variance.update(value)
                mean.update(value)
                variance.get()
                mean.get()
            return variance

        peers["river"] = theirs
    exact = float(np.var(np.array(x[-100:], dtype=np.longdouble), ddof=1))
    return Row(
        "Window of 100: push, read mean and variance",
        "ns/sample",
        n,
        ours,
        peers,
        f"{abs(ours().variance() / exact - 1):.0e} relative",
    )


def rows(size: Size) -> Iterator[Row]:
    yield rolling(size.scaled(100_000))
