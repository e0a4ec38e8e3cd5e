"""`import fairlead` is light: nothing heavy comes with it, and what is lazy is there when asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = [
    "asyncio",
    "sqlalchemy",
    "alembic",
    "torch",
    "matplotlib",
    "pandas",
    "polars",
    "pyarrow",
    "rich",
    "narwhals",
    "sklearn",
    "numpy",
    "genai_prices",
    "pydantic",
]


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("name", HEAVY)
def test_nothing_heavy_is_imported(name: str) -> None:
    assert run(f"import sys, fairlead; print({name!r} in sys.modules)") == "False"


def test_a_fleet_works_without_any_of_it() -> None:
    code = f"""
import sys
for name in {HEAVY}:
    sys.modules[name] = None  # an import of it would raise
import fairlead as fl
fleet = fl.Fleet()
fleet.add("a")
fleet.add("b")
task = fl.Task("q")
fleet.record(task, fl.Forecast("a", p=0.9))
fleet.record(task, fl.Forecast("b", p=0.2))
fleet.decide(task)
fleet.settle(task, 1)
print(fleet.leaderboard().rows[0].model)
"""
    assert run(code) == "a"


def test_replay_is_there_when_asked_for() -> None:
    assert run("import fairlead as fl; print(fl.replay.__name__, fl.ReplayResult.__name__)") == "replay ReplayResult"


def test_drift_is_there_when_asked_for() -> None:
    assert run("import fairlead as fl; print(fl.drift.fit.__name__, fl.DriftReport.__name__)") == "fit DriftReport"


def test_every_public_name_is_there() -> None:
    assert run("import fairlead as fl; print([n for n in fl.__all__ if not hasattr(fl, n)])") == "[]"
    assert run("import fairlead as fl; print(set(fl.__all__) - set(dir(fl)))") == "set()"


def test_a_name_that_is_not_there_is_told() -> None:
    assert "no attribute 'repaly'" in run(
        "import fairlead as fl\ntry: fl.repaly\nexcept AttributeError as error: print(error)"
    )
