"""What attention refuses: each error names the argument, and both shapes where shapes do not fit."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from fairlead.attention import attention, attention_gradients


def zeros(*shape: int, dtype: Any = np.float32) -> Any:
    return np.zeros(shape, dtype)


GOOD = zeros(2, 4, 5, 8)
BROADCAST = "which does not broadcast to (batch, heads, queries, keys) = (2, 4, 5, 5)"
FEW = zeros(2, 3, 5, 8)


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"q": zeros(8)}, ValueError, "q has shape (8,), must be (batch, heads, queries, depth)"),
        ({"q": zeros(1, 2, 4, 5, 8)}, ValueError, "q has shape (1, 2, 4, 5, 8), must have at most 4"),
        ({"k": zeros(4, 5, 8)}, ValueError, "k has shape (4, 5, 8), q has (2, 4, 5, 8): the number of dimensions"),
        ({"k": zeros(1, 4, 5, 8)}, ValueError, "k has shape (1, 4, 5, 8), q has (2, 4, 5, 8): the batch"),
        ({"k": zeros(2, 4, 5, 16)}, ValueError, "k has shape (2, 4, 5, 16), q has (2, 4, 5, 8): the last axis"),
        ({"k": FEW, "v": FEW}, ValueError, "k has shape (2, 3, 5, 8), q has (2, 4, 5, 8): its heads"),
        ({"v": zeros(2, 2, 5, 8)}, ValueError, "v has shape (2, 2, 5, 8), k has (2, 4, 5, 8): the heads"),
        ({"v": zeros(2, 4, 6, 8)}, ValueError, "v has shape (2, 4, 6, 8), k has (2, 4, 5, 8): the number of keys"),
        ({"q": zeros(2, 4, 5, 0), "k": zeros(2, 4, 5, 0)}, ValueError, "q has shape (2, 4, 5, 0), the last axis"),
        ({"q": zeros(2, 4, 5, 8, dtype=np.int64)}, TypeError, "q has dtype int64, must be float32 or float64"),
        ({"q": zeros(2, 4, 5, 8, dtype=np.float16)}, TypeError, "q has dtype float16"),
        ({"q": zeros(2, 4, 5, 8, dtype=">f4")}, TypeError, "q has dtype >f4"),
        ({"k": zeros(2, 4, 5, 8, dtype=np.float64)}, TypeError, "k has dtype float64, q has float32"),
        ({"bias": zeros(3, 5, 5)}, ValueError, f"bias has shape (3, 5, 5), {BROADCAST}"),
        ({"bias": zeros(5, 5, dtype=np.float64)}, TypeError, "bias has dtype float64, must be float32"),
        ({"bias": zeros(5, 5, dtype=bool)}, TypeError, "bias has dtype bool, what is boolean is a mask"),
        ({"mask": zeros(5, 5)}, TypeError, "mask has dtype float32, must be bool"),
        ({"mask": zeros(2, 5, 5, dtype=bool)}, ValueError, "mask has shape (2, 5, 5), which does not broadcast"),
        ({"counts": [1, 6]}, ValueError, "counts[1] is 6, outside [0, 5]"),
        ({"counts": [-1, 2]}, ValueError, "counts[0] is -1, outside [0, 5]"),
        ({"counts": [1]}, ValueError, "counts has length 1, the batch is 2"),
        ({"counts": (None, [1, 2, 3])}, ValueError, "counts[1] has length 3, the batch is 2"),
        ({"counts": np.ones(2)}, TypeError, "counts has dtype float64, must be int64"),
        ({"counts": np.ones(3, np.int64)}, ValueError, "counts has shape (3,), must have (2,)"),
        ({"scale": float("nan")}, ValueError, "scale is nan"),
        ({"weights": "all"}, ValueError, "weights is 'all', must be None, 'each' or 'mean'"),
        ({"threads": 0}, ValueError, "threads is 0, outside [1, 4096]"),
        ({"out": zeros(2, 4, 5, 9)}, ValueError, "out has shape (2, 4, 5, 9), must have (2, 4, 5, 8)"),
        ({"out": zeros(2, 4, 5, 8, dtype=np.float64)}, TypeError, "out has dtype float64, must be float32"),
        ({"out": zeros(2, 4, 8, 5).swapaxes(2, 3)}, ValueError, "out has a stride of 5 in its last axis"),
        ({"out": GOOD}, ValueError, "out shares memory with q"),
        ({"out": np.broadcast_to(zeros(8), (2, 4, 5, 8))}, ValueError, "out is "),
        ({"q": [[1.0]]}, TypeError, "q is list, must be a numpy array or a torch tensor"),
        ({"k": None}, TypeError, "k is NoneType"),
        ({"bias": [[1.0]]}, TypeError, "bias is list"),
        ({"q": np.ma.masked_array(GOOD)}, TypeError, "q is MaskedArray"),
    ],
)  # fmt: skip
def test_refused(given: dict[str, Any], error: type[Exception], text: str) -> None:
    arguments: dict[str, Any] = {"q": GOOD, "k": GOOD, "v": GOOD} | given
    if isinstance(arguments["k"], np.ndarray) and "v" not in given and arguments["k"].shape[-1] == 0:
        arguments["v"] = GOOD
    with pytest.raises(error, match=re.escape(text)):
        attention(**arguments)


def test_read_only_out() -> None:
    out = zeros(2, 4, 5, 8)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="out is read-only"):
        attention(GOOD, GOOD, GOOD, out=out)


def test_an_error_has_written_nothing() -> None:
    out = np.full((2, 4, 5, 8), 7.0, np.float32)
    with pytest.raises(ValueError, match="counts"):
        attention(GOOD, GOOD, GOOD, counts=[1, 9], out=out)
    assert (out == 7.0).all()


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"grad": zeros(2, 4, 5, 7)}, "grad has shape (2, 4, 5, 7), q has (2, 4, 5, 8): it must be that of the output"),
        ({"out": zeros(2, 4, 4, 8)}, "out has shape (2, 4, 4, 8)"),
        ({"lse": zeros(2, 4, 4)}, "lse has shape (2, 4, 4), q has (2, 4, 5, 8)"),
    ],
)
def test_gradients_refuse(given: dict[str, Any], text: str) -> None:
    arguments = {"grad": GOOD, "q": GOOD, "k": GOOD, "v": GOOD, "out": GOOD, "lse": zeros(2, 4, 5)} | given
    with pytest.raises(ValueError, match=re.escape(text)):
        attention_gradients(**arguments)
