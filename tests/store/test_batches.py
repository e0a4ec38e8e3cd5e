"""The projection alone, over tables in memory: wherever a journal is cut, and whoever starts anew there, the rows are
the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.events import Event
from fairlead.store import Projection, cold, performance, projection
from fairlead.store.projection import Changes
from fairlead.store.tables import metadata
from fairlead.store.values import dumps

Journal = Callable[..., list[Event]]
Row = dict[str, Any]


class Tables:
    """What a database does, without one: every row goes through JSON, as it may in a database."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[Any, Row]] = {name: {} for name in metadata.tables}

    def health(self) -> Iterable[Row]:
        return list(self.rows["model_health"].values())

    def window(self, length: int, start: int) -> Iterable[Row]:
        wanted = (length, start)
        rows = self.rows["model_performance"].values()
        return [row for row in rows if (row["window_length"], row["window_start"]) == wanted]

    def tasks(self, numbers: Sequence[int]) -> Iterable[Row]:
        return [row for row in self.rows["open_tasks"].values() if row["task"] in numbers]

    def thing(self, kind: str, key: Mapping[str, Any]) -> Row | None:
        rows = self.rows[cold.THINGS[kind].name].values()
        return next((row for row in rows if key.items() <= row.items()), None)

    def write(self, changes: Changes) -> None:
        for end in changes.ended:
            for row in self.rows["ensemble_decisions"].values():
                if row["task"] == end["of_task"] and row["status"] == "open":
                    row.update({k: v for k, v in end.items() if k != "of_task"})
        for number in changes.closed:
            self.rows["open_tasks"].pop((number,), None)
        for entry in changes.entries:
            assert (entry[0],) not in self.rows["journal_entries"]
            self.rows["journal_entries"][entry[0],] = dict(enumerate(entry))
        for name, rows in [*changes.inserted.items(), *changes.upserted.items()]:
            columns = metadata.tables[name].columns.keys()
            for row in rows:
                assert sorted(row) == sorted(columns)
                key = tuple(row[column.name] for column in metadata.tables[name].primary_key)
                assert name not in changes.inserted or key not in self.rows[name]
                self.rows[name][key] = json.loads(dumps(row))


def cut(events: list[Event], places: list[int]) -> list[list[Event]]:
    edges = sorted({0, len(events), *(place % (len(events) + 1) for place in places)})
    return [events[a:b] for a, b in pairwise(edges)]


def projected(batches: list[list[Event]], *, anew: bool) -> dict[str, dict[Any, Row]]:
    tables = Tables()
    machine = Projection(source=tables)
    for batch in batches:
        tables.write(machine.apply(batch))
        if anew:
            machine = Projection(source=tables)
    return tables.rows


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(1, 200),
    places=st.lists(st.integers(0, 10**6), max_size=12),
    anew=st.booleans(),
)
def test_where_it_is_cut_makes_no_difference(
    journal: Journal, seed: int, n: int, places: list[int], anew: bool
) -> None:
    events = journal(seed, n)
    assert projected(cut(events, places), anew=anew) == projected([events], anew=False)


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32))
def test_one_event_at_a_time(journal: Journal, seed: int) -> None:
    events = journal(seed, 60)
    assert projected([[event] for event in events], anew=True) == projected([events], anew=False)


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32), places=st.lists(st.integers(0, 10**6), max_size=20))
def test_what_was_let_go_is_read_back(journal: Journal, seed: int, places: list[int]) -> None:
    events = journal(seed, 150)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(projection, "_TASKS", 1)
        patch.setattr(performance, "_KEPT", 1)
        cut_up = projected(cut(events, places), anew=False)
    assert cut_up == projected([events], anew=False)


def test_the_same_events_give_the_same_changes(journal: Journal) -> None:
    events = journal(13, 300)
    assert Projection().apply(events) == Projection().apply(events)


def test_pauses_come_often(journal: Journal) -> None:
    turns: list[int] = []
    Projection().apply(journal(13, 300), lambda: turns.append(1))
    assert len(turns) >= 300 // 50
