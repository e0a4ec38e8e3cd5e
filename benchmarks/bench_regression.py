"""Ours alone, under pytest-benchmark, to compare one commit with another:

pytest benchmarks --benchmark-autosave             # the commit before
pytest benchmarks --benchmark-compare              # the commit after
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness import Row, Size
from run import FAMILIES

ROWS = [
    pytest.param(row, id=f"{family}: {row.name}")
    for family in FAMILIES
    for row in importlib.import_module(f"rows.{family}").rows(Size(quick=True))
]


@pytest.mark.parametrize("row", ROWS)
def test_speed(row: Row, benchmark: Any) -> None:
    benchmark.extra_info["units"] = f"{row.work} {row.unit}"
    benchmark.pedantic(row.ours, rounds=10, warmup_rounds=1)
