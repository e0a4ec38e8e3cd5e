"""Attention on the CPU for small sets (models, assets), from numpy and torch, with bias gradients and weights.

torch and matplotlib are imported only by what needs them: extras ``torch`` and ``plot``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fairlead.attention.functional import attention, attention_gradients
from fairlead.attention.fused import AttentionLayer
from fairlead.attention.policy import AttentionPolicy, policy_bytes, policy_metadata

if TYPE_CHECKING:
    from fairlead.attention.layer import CorrelationBias, MultiHeadAttention
    from fairlead.attention.picture import plot_attention

__all__ = [
    "AttentionLayer",
    "AttentionPolicy",
    "CorrelationBias",
    "MultiHeadAttention",
    "attention",
    "attention_gradients",
    "plot_attention",
    "policy_bytes",
    "policy_metadata",
]

_LATER = {
    "CorrelationBias": "fairlead.attention.layer",
    "MultiHeadAttention": "fairlead.attention.layer",
    "plot_attention": "fairlead.attention.picture",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module 'fairlead.attention' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
