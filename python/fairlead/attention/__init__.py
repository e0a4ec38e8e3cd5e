"""Attention over sets of assets and models: fused layers, and policies that need no torch."""

from __future__ import annotations

from fairlead.attention.fused import AttentionLayer
from fairlead.attention.policy import AttentionPolicy, policy_bytes, policy_metadata

__all__ = ["AttentionLayer", "AttentionPolicy", "policy_bytes", "policy_metadata"]
