"""A query means the same, and is refused in the same words, whatever it is asked of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fairlead.journal as journal
from fairlead.errors import InvalidRecordError
from fairlead.events import TYPES


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some of it archived, some live."""
    folder = tmp_path_factory.mktemp("desk")
    with journal.Journal(folder, segment_bytes=4096) as log:
        for n in range(200):
            log.note(f"note {n}", time=n, model=("gpt", "llama")[n % 2], category=("a", "b", None)[n % 3])
    journal.archive(folder, through=100)
    return folder


def read(folder: Path, **query: Any) -> list[int]:
    return [event.seq for event in journal.read(folder, **query)]


def history(folder: Path, **query: Any) -> list[int]:
    return [event.seq for event in journal.history(folder, **query)]


def scan(folder: Path, **query: Any) -> list[int]:
    return journal.scan(folder, **query).read_all()["seq"].to_pylist()


def export(folder: Path, **query: Any) -> int:
    return journal.export(folder, folder / "out.jsonl", **query)


QUERIES: list[dict[str, Any]] = [
    {},
    {"types": "note"},
    {"types": ()},
    {"models": ("gpt",)},
    {"models": {"llama", "nobody"}, "categories": ["a"]},
    {"categories": "b", "start": 20, "end": 100},
    {"first": 0, "last": 7},
    {"first": np.int64(150), "last": np.uint64(160)},
    {"last": 0},
    {"last": 2**64 - 1},
]


@pytest.mark.parametrize("query", QUERIES)
def test_all_give_the_same(desk: Path, query: dict[str, Any]) -> None:
    found = read(desk, **query)
    assert history(desk, **query) == found
    assert scan(desk, **query) == found
    assert export(desk, **query) == len(found)
    assert bool(found) == (query not in ({"types": ()}, {"last": 0}))


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"types": "forcast"}, "types has 'forcast', no type of event; did you mean 'forecast'"),
    ({"types": "x"}, ", ".join(TYPES)),
    ({"types": 5}, "types has 5, must have names"),
    ({"types": b"note"}, "types has b'note', must have names"),
    ({"models": ["gpt", None]}, "models has None, must have names"),
    ({"categories": [1.5]}, "categories has 1.5, must have names"),
    ({"first": -1}, "first is -1, must be the number of an event"),
    ({"first": True}, "first is True, must be the number of an event"),
    ({"last": 2**64}, "last is 18446744073709551616, must be the number"),
    ({"last": 1.5}, "last is 1.5, must be the number"),
    ({"last": "7"}, "last is '7', must be the number"),
    ({"start": "soon"}, "start is 'soon'"),
    ({"end": True}, "end is True"),
]


@pytest.mark.parametrize(("query", "said"), WRONG)
@pytest.mark.parametrize("ask", [journal.read, journal.scan, journal.history, export])
def test_what_cannot_be_asked(desk: Path, ask: Any, query: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRecordError) as refused:  # at once, before anything is read
        ask(desk, **query)
    assert said in str(refused.value)
