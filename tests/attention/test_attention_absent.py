"""Without torch: numpy works, and what needs torch says how to get it."""

from __future__ import annotations

import subprocess
import sys


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_numpy_needs_no_torch() -> None:
    code = """
import sys
sys.modules["torch"] = None  # an import of it would raise
import numpy as np
from fairlead.attention import attention
q = np.ones((1, 1, 2, 4), np.float32)
print(attention(q, q, q).sum())
import fairlead.attention
for name in ("MultiHeadAttention", "CorrelationBias"):
    try:
        getattr(fairlead.attention, name)
    except ImportError as error:
        print(error)
"""
    assert run(code).splitlines() == ["8.0", *['this needs torch: pip install "fairlead[torch]"'] * 2]


def test_attention_imports_neither_torch_nor_matplotlib() -> None:
    code = "import sys, fairlead.attention; print([name for name in ('torch', 'matplotlib') if name in sys.modules])"
    assert run(code) == "[]"
