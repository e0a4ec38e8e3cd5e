"""Attention on the CPU for small sets (models, assets), from numpy and torch, with bias gradients and weights.

torch and matplotlib are imported only by what needs them: extras ``torch`` and ``plot``.
"""

from __future__ import annotations

from fairlead.attention.functional import attention, attention_gradients

__all__ = ["attention", "attention_gradients"]
