"""What all tests share: how Hypothesis runs, and where the shared real data are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# No deadline: a busy machine is not a bug. In CI the same examples every time: a red run must be repeatable.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data: FAIRLEAD_DATA, else `../shared/data` beside the checkout; skips without it."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("FAIRLEAD_DATA") or beside)
    if not folder.is_dir():
        pytest.skip(f"the shared real data are not here: no folder {folder} (FAIRLEAD_DATA names another)")
    return folder
