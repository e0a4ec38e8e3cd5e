"""Drift between two samples, and detectors on a stream."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from harness import Row, Size

import fairlead as fl


def psi(n: int) -> Row:
    rng = np.random.default_rng(7)
    reference, live = rng.normal(0, 1, n), rng.normal(0.2, 1.1, n)
    fitted = fl.Psi(reference)
    edges = np.quantile(reference, np.arange(1, 10) / 10)
    share = (np.bincount(np.searchsorted(edges, reference), minlength=10) + 0.5) / (n + 5)

    def theirs() -> float:
        q = (np.bincount(np.searchsorted(edges, live), minlength=10) + 0.5) / (n + 5)
        return float(((q - share) * np.log(q / share)).sum())

    def ours() -> float:
        return fitted.compare(live)

    return Row(
        "PSI, 10 bins",
        "ns/value",
        n,
        ours,
        {"numpy searchsorted": theirs},
        f"{abs(ours() - theirs()):.0e}",
    )


def rows(size: Size) -> Iterator[Row]:
    yield psi(size.scaled(1_000_000))
