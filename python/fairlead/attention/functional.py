"""Attention as a function: softmax(q k^T scale + bias) v."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy import ndarray

from fairlead._core import attention as _attention
from fairlead._core import attention_gradients as _gradients
from fairlead._core import attention_numbers as _numbers
from fairlead._core import attention_otherwise

_torch_ready = False


def attention(
    q: Any,
    k: Any,
    v: Any,
    bias: Any = None,
    *,
    mask: Any = None,
    counts: Any = None,
    scale: float | None = None,
    weights: str | None = None,
    return_lse: bool = False,
    out: Any = None,
    threads: int | None = None,
) -> Any:
    """softmax(q kᵀ · scale + bias) v, for numpy arrays and torch tensors alike.

    Exact, with the softmax of one block of queries over all its keys at once (Dao et al., "FlashAttention", 2022, for
    the backward pass). Results are the same bits whatever the number of threads. A query that may look at no key gets
    zeros and zero gradients.

    Args:
        q: (batch, heads, queries, depth), float32, float64 or, for torch, bfloat16. The batch, or batch and heads, may
            be missing in all of q, k and v.
        k: (batch, key_heads, keys, depth). ``key_heads`` divides ``heads``: successive heads of q share one of k and v.
        v: (batch, key_heads, keys, width).
        bias: Added to the logits, -inf allowed. It is broadcast to (batch, heads, queries, keys), axes counted from the
            right, with any strides. Float32 or bfloat16; float64 where q is. In torch it may require a gradient.
        mask: Boolean, broadcast as the bias; True where a query may look at a key.
        counts: How many queries and keys of each batch are there, the first ones; a pair of two such sequences where
            they differ (either may be None). Arrays or plain sequences of whole numbers. What lies beyond is never
            read; of what a mask hides, v must be finite (zero times NaN is NaN).
        scale: 1 / sqrt(depth) if it is None.
        weights: "each" to get the weights (batch, heads, queries, keys), "mean" for their mean over heads (batch,
            queries, keys). They carry no gradient.
        return_lse: To get the logarithm of the sum of exponentials, (batch, heads, queries); -inf where no key takes
            part.
        out: Where to write the output, (batch, heads, queries, width): memory of its own, without gradients. Nothing is
            allocated then.
        threads: At most so many. None: as many as there are cores, one where the work is small.

    Any strides will do, so views of (batch, rows, heads, depth) or of packed projections are not copied; only where the
    numbers of a row do not lie side by side, rows are copied first, and such an ``out`` is refused.

    Returns:
        The output; or a tuple of it, of the weights if they were asked for, and of the lse if that was. The weights
        and lse are float32, or float64 where q is.

    Raises:
        ValueError: Shapes that do not fit together, counts out of range, an ``out`` that cannot be written.
        TypeError: Dtypes that do not fit, or tensors that are neither numpy's nor torch's, or both in one call.

    >>> import numpy as np
    >>> q = np.eye(4, dtype=np.float32).reshape(1, 1, 4, 4)  # one head, four assets
    >>> out, weights = attention(q, q, q, weights="each", scale=1.0)
    >>> weights[0, 0, 0].round(3)
    array([0.475, 0.175, 0.175, 0.175], dtype=float32)
    >>> attention(q, q, q, counts=[2], scale=1.0)[0, 0].round(3)
    array([[0.731, 0.269, 0.   , 0.   ],
           [0.269, 0.731, 0.   , 0.   ],
           [0.   , 0.   , 0.   , 0.   ],
           [0.   , 0.   , 0.   , 0.   ]], dtype=float32)
    """
    if not _torch_ready and type(q) is not ndarray:
        _prepare()
    return _attention(q, k, v, bias, mask, counts, scale, weights, return_lse, out, threads)


def attention_gradients(
    grad: Any,
    q: Any,
    k: Any,
    v: Any,
    bias: Any = None,
    *,
    out: Any,
    lse: Any,
    mask: Any = None,
    counts: Any = None,
    scale: float | None = None,
    threads: int | None = None,
) -> tuple[Any, Any, Any, Any]:
    """Gradients of q, k, v and bias (None without one), from that of the output. For those who train without autograd.

    ``out`` and ``lse`` are what :func:`attention` returned for the same arguments. The gradient of the bias has its
    shape: it is summed over the axes along which the bias was broadcast.

    Raises ValueError and TypeError as :func:`attention` does; rows of q, k, v and out with a stride other than 1 are
    not copied but refused.

    >>> import numpy as np
    >>> q = np.eye(3).reshape(1, 1, 3, 3)
    >>> out, lse = attention(q, q, q, np.zeros((3, 3)), return_lse=True)
    >>> dq, dk, dv, dbias = attention_gradients(np.ones_like(out), q, q, q, np.zeros((3, 3)), out=out, lse=lse)
    >>> dv[0, 0].round(6).tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """
    if not _torch_ready and type(q) is not ndarray:
        _prepare()
    return _gradients(q, k, v, bias, mask, counts, scale, out, lse, grad, bias is not None, threads)


def _prepare() -> None:
    """Makes torch's side ready, if torch is about: there is no tensor without it."""
    global _torch_ready
    if sys.modules.get("torch") is not None:
        from fairlead.attention import tensors

        _torch_ready = tensors.READY


def _otherwise(
    q: Any,
    k: Any,
    v: Any,
    bias: Any,
    mask: Any,
    counts: Any,
    scale: float | None,
    weights: str | None,
    return_lse: bool | None,
    out: Any,
    threads: int | None,
) -> Any:
    """What the compiled function does not do itself: copies of rows, memory maps, and all that torch has in mind."""
    given = {"q": q, "k": k, "v": v, "bias": bias, "mask": mask, "out": out}
    if sys.modules.get("torch") is not None:
        from fairlead.attention import tensors

        if any(tensors.is_tensor(x) for x in given.values()):
            return tensors.attention(q, k, v, bias, mask, counts, scale, weights, bool(return_lse), out, threads)
    for name, x in given.items():
        if x is None and name in ("bias", "mask", "out"):
            continue
        if not isinstance(x, ndarray) or isinstance(x, (np.ma.MaskedArray, np.matrix)):
            raise TypeError(f"{name} is {type(x).__name__}, must be a numpy array or a torch tensor")
    views: dict[str, Any] = {name: x if x is None else np.asarray(x) for name, x in given.items()}
    for name in ("q", "k", "v"):
        views[name] = np.ascontiguousarray(views[name])
    for name in ("bias", "mask"):
        if views[name] is not None:
            views[name] = np.require(views[name], requirements="A")
            if any(step % views[name].itemsize for step in views[name].strides):
                views[name] = np.ascontiguousarray(views[name])
    result = _numbers(
        views["q"], views["k"], views["v"], views["bias"], views["mask"], counts, scale, weights, return_lse,
        views["out"], threads,
    )  # fmt: skip
    return out if out is not None and result is views["out"] else result


attention_otherwise(_otherwise)
