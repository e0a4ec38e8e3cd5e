"""FAIRLEAD_SIMD chooses the instruction set of the kernels, and the chosen one is the one that runs."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import fairlead as fl
from fairlead import _core

LEVELS = ("scalar", "avx2", "avx512")
PROGRAM = """
import numpy as np, fairlead as fl
from fairlead import _core
fl.Psi(np.arange(100.0)).compare(np.arange(100.0))
print(_core.simd_level(), _core.simd_ran())
"""


def run(level: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "FAIRLEAD_SIMD": level}
    return subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("level", LEVELS)
def test_the_environment_chooses(level: str) -> None:
    done = run(level)
    if LEVELS.index(level) > LEVELS.index(_core.simd_best()):
        assert "ImportError" in done.stderr
        assert "FAIRLEAD_SIMD" in done.stderr
        pytest.skip(f"this machine has no {level}")
    assert done.stdout.split() == [level, level], done.stderr


def test_a_level_that_does_not_exist_is_refused() -> None:
    assert "FAIRLEAD_SIMD is 'sse9'" in run("sse9").stderr
    with pytest.raises(ValueError, match="level is 'sse9'"):
        _core.set_simd_level("sse9")


def test_the_widest_is_the_default() -> None:
    if "FAIRLEAD_SIMD" in os.environ:
        pytest.skip("FAIRLEAD_SIMD is set")
    fl.Psi(np.arange(100.0)).compare(np.arange(100.0))
    assert _core.simd_ran() == _core.simd_best()
