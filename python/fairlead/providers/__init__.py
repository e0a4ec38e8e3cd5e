"""Whoever answers: language models behind an API or on a server of one's own, and any Python callable."""

from __future__ import annotations

from fairlead.providers.cache import CacheHit, ResponseCache, Similar

__all__ = ["CacheHit", "ResponseCache", "Similar"]
