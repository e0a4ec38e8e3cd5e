"""What the tests of the store share: a PostgreSQL server, an empty place on each database, and made-up journals."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from fairlead.events import Event

sys.path.insert(0, str(Path(__file__).resolve().parent))

from made_up import make_journal
from postgres_server import NotHereError, new_schema, server


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a PostgreSQL server of its own on loopback, stopped when the tests are over."""
    running = server()
    try:
        address = running.__enter__()
    except NotHereError as error:
        pytest.skip(str(error))
    try:
        yield address
    finally:
        running.__exit__(None, None, None)


_numbers = count()


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty store can be, on each database."""
    if request.param == "sqlite":
        return str(tmp_path / "store.sqlite")
    return new_schema(request.getfixturevalue("postgres"), f"store{next(_numbers)}")


@pytest.fixture(scope="session")
def journal() -> Callable[..., list[Event]]:
    """Makes up a journal: `journal(seed, n)` gives about n events of all types, as a fleet would write them, with late
    and missing outcomes, answers given twice, failures, and times that go back."""
    return make_journal
