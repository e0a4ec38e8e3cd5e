"""The fused layer in autograd."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.modules import module as _modules

from fairlead._core import attention_module, attention_module_torch
from fairlead._core import attention_module_forward as _forward
from fairlead._core import attention_module_gradients as _gradients
from fairlead.attention import tensors

READY = tensors.READY
"""Read by who imports this module: torch's side is known to the compiled functions."""


class _Layer(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        core: Any,
        query: torch.Tensor,
        context: torch.Tensor | None,
        bias: torch.Tensor | None,
        mask: torch.Tensor | None,
        counts: Any,
        in_weight: torch.Tensor,
        in_bias: torch.Tensor | None,
        out_weight: torch.Tensor,
        out_bias: torch.Tensor | None,
        need_weights: bool,
        average: bool,
        threads: int | None,
    ) -> Any:
        counts = tensors.kept(counts)
        parts = query, context, bias, mask, counts, in_weight, in_bias, out_weight, out_bias
        out, weights, saved = _forward(core, *parts, need_weights, average, threads)
        ctx.save_for_backward(query, context, bias, mask, in_weight, in_bias, out_weight, out_bias, saved)
        ctx.rest = core, counts, threads
        ctx.set_materialize_grads(False)
        if weights is not None:
            ctx.mark_non_differentiable(weights)
        return out, weights

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor | None, *_: Any) -> Any:
        if torch.is_grad_enabled():  # create_graph=True: fine, as long as nobody goes on through what is made here
            with torch.no_grad():
                made = _backward(ctx, grad)
            return tensors.ended(made, *ctx.saved_tensors[:8], grad)
        return _backward(ctx, grad)


def _backward(ctx: Any, grad: torch.Tensor | None) -> Any:
    if grad is None:
        return (None,) * 13
    query, context, bias, mask, in_weight, in_bias, out_weight, out_bias, saved = ctx.saved_tensors
    core, counts, threads = ctx.rest
    _, q, c, b, _, _, w0, w1, w2, w3, *_ = ctx.needs_input_grad
    dq, dc, db, *weights = _gradients(
        core, query, context, bias, mask, counts, in_weight, in_bias, out_weight, out_bias, threads, saved, grad,
        (q, c, b, w0, w1, w2, w3),
    )  # fmt: skip
    return None, dq, dc, db, None, None, *weights, None, None, None


# Past what Function.apply does in Python for torch.func, which never comes here.
_apply: Any = super(torch.autograd.Function, _Layer).apply

attention_module_torch(
    torch.nn.Linear,
    _apply,
    torch._C._get_tracing_state,
    (
        _modules._global_forward_hooks,
        _modules._global_forward_pre_hooks,
        _modules._global_backward_hooks,
        _modules._global_backward_pre_hooks,
    ),
)


def _left(
    module: Any,
    query: Any,
    key: Any,
    value: Any,
    bias: Any,
    mask: Any,
    counts: Any,
    need_weights: Any,
    average: Any,
) -> None:
    """What torch.compile is given in place of the compiled function: all is left to Python."""


torch.compiler.substitute_in_graph(attention_module, skip_signature_check=True)(_left)
