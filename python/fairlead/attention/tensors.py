"""Attention of torch tensors where more is asked for than numbers: gradients, torch.compile, torch.func, autocast.

Three ways lead to the kernel. Plain tensors without gradients go there from C++ and never come here. Training goes
through an ``autograd.Function``, the cheapest thing that torch's engine can call. All else (compiled code, fake
tensors, torch.func) goes through the operators ``torch.ops.fairlead.attention`` and ``attention_backward``, which
torch knows from ``Library``.
"""

from __future__ import annotations

from operator import index
from typing import Any

import torch
from torch.autograd import forward_ad

from fairlead._core import attention as _attention
from fairlead._core import attention_gradients as _gradients
from fairlead._core import attention_numbers as _numbers
from fairlead._core import attention_torch

READY = True
"""Read by who imports this module: torch's side is known to the compiled function."""

_WHICH: dict[str | None, int] = {None: 0, "each": 1, "mean": 2}
_NAMES: tuple[str | None, ...] = (None, "each", "mean")
_KINDS = (torch.float32, torch.bfloat16, torch.float64)


def is_tensor(x: Any) -> bool:
    """Whether torch knows it, of whatever subclass."""
    return isinstance(x, torch.Tensor)


# --- training ---------------------------------------------------------------------------------------------------------


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        bias: torch.Tensor | None,
        mask: torch.Tensor | None,
        counts: Any,
        scale: float | None,
        weights: str | None,
        return_lse: bool,
        threads: int | None,
    ) -> Any:
        counts = kept(counts)
        result = _numbers(q, k, v, bias, mask, counts, scale, weights, True, None, threads)
        out, lse = result[0], result[-1]
        ctx.save_for_backward(q, k, v, bias, mask, out, lse)
        ctx.rest = counts, scale, threads
        if weights is None and not return_lse:
            return out
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*result[1:])
        return result if return_lse else result[:-1]

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor | None, *_: Any) -> Any:
        if torch.is_grad_enabled():  # create_graph=True: fine, as long as nobody goes on through what is made here
            with torch.no_grad():
                made = _backward(ctx, grad)
            return *ended(made[:4], *ctx.saved_tensors[:4], grad), *made[4:]
        return _backward(ctx, grad)


def _backward(ctx: Any, grad: torch.Tensor | None) -> Any:
    if grad is None:
        return (None,) * 10
    q, k, v, bias, mask, out, lse = ctx.saved_tensors
    counts, scale, threads = ctx.rest
    wanted = ctx.needs_input_grad[3]
    dq, dk, dv, dbias = _gradients(q, k, v, bias, mask, counts, scale, out, lse, grad, wanted, threads)
    if dbias is not None and dbias.dtype is not bias.dtype:
        dbias = dbias.to(bias.dtype)
    return dq, dk, dv, dbias, None, None, None, None, None, None


def kept(counts: Any) -> Any:
    """Counts that nobody else can change before the backward pass reads them again."""
    if isinstance(counts, tuple):
        return tuple(map(kept, counts))
    if isinstance(counts, torch.Tensor):
        return counts.clone()
    return counts.copy() if hasattr(counts, "copy") else counts


class _End(torch.autograd.Function):
    """Gradients from where no derivative goes on, whatever that of the output was: ``once_differentiable`` lets them
    pass as constants where that one was constant, or where only some derivatives are asked for."""

    @staticmethod
    def forward(_: Any, n: int, *given: Any) -> Any:  # n gradients, then what they were made of
        return tuple(x if x is None else x.detach() for x in given[:n])

    @staticmethod
    def backward(*_: Any) -> Any:
        raise NotImplementedError(_TWICE)


def ended(gradients: Any, *of: Any) -> Any:
    """The gradients, which were made of these, as what cannot be differentiated."""
    return _End.apply(len(gradients), *gradients, *of)


_TWICE = "attention has no second derivatives: its gradients cannot be differentiated"
_FORWARD_MODE = "attention has no forward-mode derivative (jvp): use backward(), torch.func.grad or torch.func.vjp"


def _rows(x: torch.Tensor) -> torch.Tensor:
    """With the numbers of a row side by side."""
    return x if x.stride(-1) == 1 else x.contiguous()


# Past what Function.apply does in Python for torch.func, which never comes here: a fifth of the time of a small call.
_train: Any = super(torch.autograd.Function, _Attention).apply


# --- the operators ----------------------------------------------------------------------------------------------------

_library = torch.library.Library("fairlead", "DEF")
_library.define(
    "attention(Tensor q, Tensor k, Tensor v, Tensor? bias, Tensor? mask, Tensor? query_counts, Tensor? key_counts, "
    "float scale, int weights, int threads) -> (Tensor out, Tensor lse, Tensor weights)",
    tags=(torch.Tag.needs_fixed_stride_order,),
)
_library.define(
    "attention_backward(Tensor grad, Tensor q, Tensor k, Tensor v, Tensor? bias, Tensor? mask, Tensor? query_counts, "
    "Tensor? key_counts, float scale, Tensor out, Tensor lse, bool bias_wanted, int threads) "
    "-> (Tensor dq, Tensor dk, Tensor dv, Tensor dbias)",
    tags=(torch.Tag.needs_fixed_stride_order,),
)


def _counts(query_counts: Any, key_counts: Any) -> Any:
    return None if query_counts is None and key_counts is None else (query_counts, key_counts)


def _wide(q: torch.Tensor) -> torch.dtype:
    return torch.float64 if q.dtype is torch.float64 else torch.float32


def _numbers_of(x: Any) -> Any:
    """The tensor itself, where it is of a subclass."""
    return x if x is None or type(x) is torch.Tensor else x.as_subclass(torch.Tensor)


def _forward_cpu(
    q: Any,
    k: Any,
    v: Any,
    bias: Any,
    mask: Any,
    query_counts: Any,
    key_counts: Any,
    scale: float,
    weights: int,
    threads: int,
) -> Any:
    q, k, v, bias, mask = (_numbers_of(x) for x in (q, k, v, bias, mask))
    result = _numbers(
        _rows(q), _rows(k), _rows(v), bias, mask, _counts(query_counts, key_counts), scale, _NAMES[weights], True, None,
        threads or None,
    )  # fmt: skip
    return result[0], result[-1], result[1] if weights else q.new_empty((0,), dtype=_wide(q))


def _forward_fake(
    q: Any,
    k: Any,
    v: Any,
    bias: Any,
    mask: Any,
    query_counts: Any,
    key_counts: Any,
    scale: float,
    weights: int,
    threads: int,
) -> Any:
    check(q, k, v, bias, mask, query_counts, key_counts)
    batch, heads, queries, depth = q.shape
    keys, width = v.shape[-2:]
    out = torch.empty_like(_rows(q)) if width == depth else q.new_empty((batch, heads, queries, width))
    shape = ((0,), (batch, heads, queries, keys), (batch, queries, keys))[weights]
    return out, q.new_empty((batch, heads, queries), dtype=_wide(q)), q.new_empty(shape, dtype=_wide(q))


def _backward_cpu(
    grad: Any, q: Any, k: Any, v: Any, bias: Any, mask: Any, query_counts: Any, key_counts: Any, scale: float, out: Any,
    lse: Any, bias_wanted: bool, threads: int,
) -> Any:  # fmt: skip
    q, k, v, bias, mask, out, lse, grad = (_numbers_of(x) for x in (q, k, v, bias, mask, out, lse, grad))
    dq, dk, dv, dbias = _gradients(
        _rows(q), _rows(k), _rows(v), bias, mask, _counts(query_counts, key_counts), scale, _rows(out),
        lse.contiguous(), _rows(grad), bias_wanted, threads or None,
    )  # fmt: skip
    return dq, dk, dv, q.new_empty((0,)) if dbias is None else dbias.to(bias.dtype)


def _backward_fake(
    grad: Any, q: Any, k: Any, v: Any, bias: Any, mask: Any, query_counts: Any, key_counts: Any, scale: float, out: Any,
    lse: Any, bias_wanted: bool, threads: int,
) -> Any:  # fmt: skip
    dbias = q.new_empty((0,)) if bias is None or not bias_wanted else bias.new_empty(bias.shape)
    return torch.empty_like(_rows(q)), torch.empty_like(_rows(k)), torch.empty_like(_rows(v)), dbias


def _setup(ctx: Any, inputs: Any, output: Any) -> None:
    q, k, v, bias, mask, query_counts, key_counts, scale, _, threads = inputs
    out, lse, weights = output
    ctx.mark_non_differentiable(lse, weights)
    ctx.save_for_backward(q, k, v, bias, mask, query_counts, key_counts, out, lse)
    ctx.scale, ctx.threads, ctx.bias_wanted = scale, threads, bias is not None and ctx.needs_input_grad[3]


def _op_backward(ctx: Any, grad: Any, *_: Any, through: Any = None) -> Any:
    q, k, v, bias, mask, query_counts, key_counts, out, lse = ctx.saved_tensors
    dq, dk, dv, dbias = (through or torch.ops.fairlead.attention_backward)(
        grad, q, k, v, bias, mask, query_counts, key_counts, ctx.scale, out, lse, ctx.bias_wanted, ctx.threads
    )
    return dq, dk, dv, dbias if ctx.bias_wanted else None, None, None, None, None, None, None


def _no_second(*_: Any) -> Any:
    raise NotImplementedError(_TWICE)


class _Transformed(torch.autograd.Function):
    """The operator under torch.func's grad and vmap, for which ``register_autograd`` does not work."""

    generate_vmap_rule = True
    setup_context = staticmethod(_setup)

    @staticmethod
    def forward(*args: Any) -> Any:
        return torch.ops.fairlead.attention(*args)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return _op_backward(ctx, *grads, through=_TransformedBackward.apply)

    @staticmethod
    def jvp(*_: Any) -> Any:
        raise NotImplementedError(_FORWARD_MODE)


class _TransformedBackward(torch.autograd.Function):
    """The backward operator under torch.func: where derivatives end."""

    generate_vmap_rule = True

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def forward(*args: Any) -> Any:
        return torch.ops.fairlead.attention_backward(*args)

    @staticmethod
    def backward(*_: Any) -> Any:
        raise NotImplementedError(_TWICE)

    @staticmethod
    def jvp(*_: Any) -> Any:
        raise NotImplementedError(_TWICE)


# --- torch.func.vmap: the axis that is mapped becomes part of the batch ---


def _to_front(x: Any, axis: int | None, size: int) -> Any:
    """(size, ...), whether it was mapped or not."""
    if x is None:
        return None
    return x.unsqueeze(0).expand(size, *x.shape) if axis is None else x.movedim(axis, 0)


def _fold_grid(x: Any, batch: int) -> Any:
    """(size, 1 or batch, ...) into (size * batch, ...)."""
    return None if x is None else x.expand(-1, batch, *x.shape[2:]).flatten(0, 1)


def _fold(x: Any) -> Any:
    return None if x is None else x.flatten(0, 1)


def _forward_vmap(info: Any, in_dims: Any, *args: Any) -> Any:
    size = info.batch_size
    front = [_to_front(x, axis, size) for x, axis in zip(args[:7], in_dims[:7], strict=True)]
    q, k, v, bias, mask, query_counts, key_counts = front
    batch = q.shape[1]
    out, lse, weights = torch.ops.fairlead.attention(
        _fold(q), _fold(k), _fold(v), _fold_grid(bias, batch), _fold_grid(mask, batch), _fold(query_counts),
        _fold(key_counts), *args[7:],
    )  # fmt: skip
    weights = weights.unflatten(0, (size, batch)) if args[8] else weights.new_empty((size, 0))
    return (out.unflatten(0, (size, batch)), lse.unflatten(0, (size, batch)), weights), (0, 0, 0)


def _backward_vmap(info: Any, in_dims: Any, *args: Any) -> Any:
    size = info.batch_size
    moved = [_to_front(x, axis, size) for x, axis in zip(args[:8], in_dims[:8], strict=True)]
    grad, q, k, v, bias, mask, query_counts, key_counts = moved
    scale, _, _, bias_wanted, threads = args[8:]
    out, lse = (_to_front(args[i], in_dims[i], size) for i in (9, 10))
    batch = q.shape[1]
    dq, dk, dv, dbias = torch.ops.fairlead.attention_backward(
        _fold(grad), _fold(q), _fold(k), _fold(v), _fold_grid(bias, batch), _fold_grid(mask, batch),
        _fold(query_counts), _fold(key_counts), scale, _fold(out), _fold(lse), bias_wanted, threads,
    )  # fmt: skip
    if bias is None or not bias_wanted:
        dbias = dbias.new_empty((size, 0))
    else:
        dbias = dbias.unflatten(0, (size, batch))
        if bias.shape[1] == 1:
            dbias = dbias.sum(1, keepdim=True)
    return (*(x.unflatten(0, (size, batch)) for x in (dq, dk, dv)), dbias), (0, 0, 0, 0)


_library.impl("attention", _forward_cpu, "CPU")
_library.impl("attention_backward", _backward_cpu, "CPU")
torch.library.register_fake("fairlead::attention", _forward_fake, lib=_library)
torch.library.register_fake("fairlead::attention_backward", _backward_fake, lib=_library)
torch.library.register_autograd("fairlead::attention", _op_backward, setup_context=_setup, lib=_library)
torch.library.register_autograd("fairlead::attention_backward", _no_second, lib=_library)
torch.library.register_vmap("fairlead::attention", _forward_vmap, lib=_library)
torch.library.register_vmap("fairlead::attention_backward", _backward_vmap, lib=_library)


# --- the way in -------------------------------------------------------------------------------------------------------


def check(q: Any, k: Any, v: Any, bias: Any, mask: Any, query_counts: Any = None, key_counts: Any = None) -> None:
    """The shapes, for tensors that hold no numbers: the kernel checks those that do, in the same words."""
    for name, x in (("k", k), ("v", v)):
        if x.ndim != q.ndim:
            raise _wrong(name, x, "q", q, "the number of dimensions must be the same")
        if x.shape[0] != q.shape[0]:
            raise _wrong(name, x, "q", q, "the batch must be the same")
        if x.dtype is not q.dtype:
            raise TypeError(f"{name} has dtype {x.dtype}, q has {q.dtype}")
    if k.shape[-1] != q.shape[-1]:
        raise _wrong("k", k, "q", q, "the last axis must be the same")
    if v.shape[1] != k.shape[1]:
        raise _wrong("v", v, "k", k, "the heads must be the same")
    if v.shape[2] != k.shape[2]:
        raise _wrong("v", v, "k", k, "the number of keys must be the same")
    if k.shape[1] == 0 or q.shape[1] % k.shape[1] != 0:
        raise _wrong("k", k, "q", q, "its heads must divide those of q")
    _check_grids(q, k, bias, mask)
    double = q.dtype is torch.float64
    if bias is not None and bias.dtype not in ((torch.float64,) if double else (torch.float32, torch.bfloat16)):
        if bias.dtype is torch.bool:
            raise TypeError("bias has dtype torch.bool, what is boolean is a mask: mask=")
        wanted = "float64" if q.dtype is torch.float64 else "float32 or bfloat16"
        raise TypeError(f"bias has dtype {bias.dtype}, must be {wanted}, as q is {q.dtype}")
    if mask is not None and mask.dtype is not torch.bool:
        raise TypeError(f"mask has dtype {mask.dtype}, must be bool; what is added to the logits is bias=")
    for i, x in enumerate((query_counts, key_counts)):
        if x is not None and tuple(x.shape) != (q.shape[0],):
            raise ValueError(
                f"counts[{i}] has shape {tuple(x.shape)}, must have ({q.shape[0]},): one for each of the batch"
            )
        if x is not None and x.dtype is not torch.int64:
            raise TypeError(f"counts[{i}] has dtype {x.dtype}, must be int64")


def _check_grids(q: Any, k: Any, bias: Any, mask: Any) -> None:
    """That what is given for them is broadcast to the logits of q and k, which have all axes."""
    full = (q.shape[0], q.shape[1], q.shape[2], k.shape[2])
    for name, x in (("bias", bias), ("mask", mask)):
        if x is None:
            continue
        if x.ndim > 4:
            raise ValueError(f"{name} has shape {tuple(x.shape)}, must have at most 4 dimensions")
        if any(size not in (1, whole) for size, whole in zip(reversed(x.shape), reversed(full), strict=False)):
            said = f"{name} has shape {tuple(x.shape)}, which does not broadcast to"
            raise ValueError(f"{said} (batch, heads, queries, keys) = {tuple(full)}")


def _wrong(name: str, x: Any, other: str, y: Any, why: str) -> ValueError:
    return ValueError(f"{name} has shape {tuple(x.shape)}, {other} has {tuple(y.shape)}: {why}")


def attention(
    q: Any,
    k: Any,
    v: Any,
    bias: Any = None,
    mask: Any = None,
    counts: Any = None,
    scale: float | None = None,
    weights: str | None = None,
    return_lse: bool | None = False,
    out: Any = None,
    threads: int | None = None,
) -> Any:
    """As :func:`fairlead.attention.attention`, for tensors."""
    given = {"q": q, "k": k, "v": v, "bias": bias, "mask": mask, "out": out}
    for name, x in given.items():
        if x is None and name in ("bias", "mask", "out"):
            continue
        if not isinstance(x, torch.Tensor):
            raise TypeError(f"{name} is {type(x).__name__}, must be a torch tensor, as others are")
        if x.device.type not in ("cpu", "meta"):
            raise ValueError(f"{name} is on {x.device}, must be on the CPU (q is on {q.device})")
        if x.device != q.device:
            raise ValueError(f"{name} is on {x.device}, q is on {q.device}")
        if x.layout is not torch.strided:
            raise TypeError(f"{name} has the layout {x.layout}, must be torch.strided")
    for x in counts if isinstance(counts, tuple) else (counts,):
        if isinstance(x, torch.Tensor) and x.device.type not in ("cpu", q.device.type):
            raise ValueError(f"counts is on {x.device}, must be on the CPU")
    if weights not in _WHICH:
        raise ValueError(f"weights is {weights!r}, must be None, 'each' or 'mean'")
    if q.ndim < 2 or q.ndim > 4:
        raise ValueError(
            f"q has shape {tuple(q.shape)}, must be (batch, heads, queries, depth), or without the leading axes"
        )
    if torch.is_autocast_enabled("cpu"):
        q, k, v = _autocast(q, k, v)
    if q.dtype not in _KINDS:
        raise TypeError(f"q has dtype {q.dtype}, must be float32, bfloat16 or float64")
    needs_grad = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in (q, k, v, bias))
    if out is not None and (needs_grad or (torch.is_grad_enabled() and out.requires_grad)):
        raise ValueError("out is given, but a gradient is asked for: what autograd follows needs memory of its own")
    if torch.compiler.is_compiling() or not _plain(q, k, v, bias, mask, out):
        result = _through_operator(q, k, v, bias, mask, counts, scale, weights, threads)
        return _chosen(result, weights, return_lse, out)
    if forward_ad._current_level >= 0 and any(
        x is not None and forward_ad.unpack_dual(x).tangent is not None for x in (q, k, v, bias)
    ):
        raise NotImplementedError(_FORWARD_MODE)
    q, k, v, bias = (x if x is None else x.resolve_neg() for x in (q, k, v, bias))
    q, k, v = _rows(q), _rows(k), _rows(v)
    if needs_grad:
        return _train(q, k, v, bias, mask, counts, scale, weights, return_lse, threads)
    result = _numbers(q, k, v, bias, mask, counts, scale, weights, return_lse, out, threads)
    if out is not None:
        torch.autograd.graph.increment_version(out)
    return result


def _chosen(result: Any, weights: str | None, return_lse: bool | None, out: Any) -> Any:
    """What was asked for, of what the operator gives."""
    made = result[0]
    if out is not None:
        if out.shape != made.shape:
            raise ValueError(f"out has shape {tuple(out.shape)}, must have {tuple(made.shape)}")
        if out.dtype is not made.dtype:
            raise TypeError(f"out has dtype {out.dtype}, must be {made.dtype}, as q is")
        made = out.copy_(made)
    if weights is None and not return_lse:
        return made
    rest = ([] if weights is None else [result[2]]) + ([result[1]] if return_lse else [])
    return (made, *rest)


def _plain(*given: Any) -> bool:
    """Tensors with memory of their own, and nobody who watches what happens to them."""
    if _dispatch_modes() or _transforms_active() or torch._C._is_tracing():
        return False
    return all(x is None or (type(x) in (torch.Tensor, torch.nn.Parameter) and x.device.type == "cpu") for x in given)


def _autocast(q: Any, k: Any, v: Any) -> Any:
    """As torch does for its own attention: to the dtype of the region, all but float64."""
    to = torch.get_autocast_dtype("cpu")
    if to is not torch.bfloat16:
        raise TypeError(f"autocast to {to}: attention knows float32, bfloat16 and float64")
    return tuple(x if x.dtype is torch.float64 else x.to(to) for x in (q, k, v))


def _through_operator(
    q: Any,
    k: Any,
    v: Any,
    bias: Any,
    mask: Any,
    counts: Any,
    scale: float | None,
    weights: str | None,
    threads: int | None,
) -> Any:
    """With all axes there, as the operators want them."""
    missing = 4 - q.ndim
    for name, x in (("k", k), ("v", v)):
        if x.ndim != q.ndim:
            raise _wrong(name, x, "q", q, "the number of dimensions must be the same")
    q, k, v = (_with_axes(x) for x in (q, k, v))
    _check_grids(q, k, bias, mask)
    bias, mask = _with_axes(bias), _with_axes(mask)
    query_counts, key_counts = (
        (_whole(counts[0], "counts[0]"), _whole(counts[1], "counts[1]"))
        if is_pair(counts)
        else (_whole(counts, "counts"),) * 2
    )
    call = _Transformed.apply if _transforms_active() else torch.ops.fairlead.attention
    out, lse, made = call(
        _rows(q), _rows(k), _rows(v), bias, mask, query_counts, key_counts,
        q.shape[-1] ** -0.5 if scale is None else float(scale), _WHICH[weights], threads or 0,
    )  # fmt: skip
    for _ in range(missing):
        out, lse = out.squeeze(0), lse.squeeze(0)
    if weights is not None:
        for _ in range(missing if weights == "each" else min(missing, 1)):
            made = made.squeeze(0)
    return out, lse, made


def _with_axes(x: Any) -> Any:
    return x if x is None or x.ndim >= 4 else x.reshape((1,) * (4 - x.ndim) + tuple(x.shape))


def is_pair(counts: Any) -> bool:
    """Whether they are those of the queries and those of the keys, and not one for each of a batch of two."""
    return isinstance(counts, tuple) and len(counts) == 2 and not (_number(counts[0]) or _number(counts[1]))


def _number(x: Any) -> bool:
    """Whether it is one: Python's, numpy's or a tensor without axes."""
    return isinstance(x, int) or getattr(x, "ndim", 1) == 0


def _whole(counts: Any, name: str) -> Any:
    if counts is None:
        return None
    if isinstance(counts, torch.Tensor):
        if counts.dtype.is_floating_point or counts.dtype is torch.bool:
            raise TypeError(f"{name} has dtype {counts.dtype}, must be int64")
        return counts.to(torch.int64)
    try:
        return torch.tensor([index(n) for n in counts], dtype=torch.int64, device="cpu")
    except TypeError:
        raise TypeError(f"{name} is {counts!r}, must be an int64 array or a sequence of whole numbers") from None


_dispatch_modes: Any = torch._C._len_torch_dispatch_stack
_transforms_active: Any = getattr(torch._C, "_are_functorch_transforms_active", lambda: False)
_autocast_on: Any = getattr(torch._C, "_is_any_autocast_enabled", None) or (lambda: torch.is_autocast_enabled("cpu"))


def tell(exchange: bool = True) -> None:
    """Tells the compiled function what torch is; without `exchange`, as a torch that has no exchange API."""
    attention_torch(
        torch.Tensor,
        torch.nn.Parameter,
        getattr(torch.Tensor, "__dlpack_c_exchange_api__", None) if exchange else None,
        torch.is_grad_enabled,
        _autocast_on,
        _dispatch_modes,
        _transforms_active,
        _train,
        torch.empty,
        torch.empty_like,
        (torch.float32, torch.float64, torch.bfloat16, torch.bool, torch.int64),
        torch.device("cpu"),
        vars(forward_ad),
        torch.autograd.graph.increment_version,
        torch._C._is_tracing,
    )


tell()
# torch.compile cannot look into a compiled function: it is given this one instead.
torch.compiler.substitute_in_graph(_attention, skip_signature_check=True)(attention)
