"""A registry of one's own for each test; and what several files share is importable."""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path

import pytest

from fairlead.lifecycle.registry import Registry

sys.path.insert(0, str(Path(__file__).resolve().parent))

from registry_doubles import START


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    clock = count(START, 10**9)
    return Registry(tmp_path / "registry", clock=lambda: next(clock))


@pytest.fixture
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no crash is looked at: a busy disk takes milliseconds for each sync."""
    for name in ("sync", "datasync"):
        monkeypatch.setattr(f"fairlead.lifecycle.registry.disk.{name}", lambda handle: None)
