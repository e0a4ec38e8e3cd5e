"""Migrations of the store's tables, by Alembic: forward only, and tested from each released version."""

from __future__ import annotations

RELEASES = {"0.1.0.dev1": "0001", "0.1.0.dev2": "0002", "0.1.0": "0003"}
"""The revision that each released version of fairlead came with."""
