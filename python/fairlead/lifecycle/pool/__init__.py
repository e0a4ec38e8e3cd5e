"""Versions of one model that answer together: for streams that drift, where yesterday's version may be right again."""

from __future__ import annotations

from fairlead.lifecycle.pool.growth import OnAnswers, OnGrowth
from fairlead.lifecycle.pool.making import pooled
from fairlead.lifecycle.pool.pool import Pool
from fairlead.lifecycle.pool.together import Pooled
from fairlead.lifecycle.pool.windows import Windows

__all__ = ["OnAnswers", "OnGrowth", "Pool", "Pooled", "Windows", "pooled"]
