"""Cold events: JSON objects whose known fields become columns.

A field is known by its name and its type: a text for a text, a number for a number. What has no column, or does not fit
its column, stays in `data`. Nothing is lost and nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import BigInteger, Double, Table

from fairlead.events import Event
from fairlead.store import values
from fairlead.store.tables import alerts, budgets, deployments, model_versions, training_runs

Row = dict[str, Any]

LOGS = {"alert": alerts, "deployment": deployments}
"""A row for each event."""
THINGS = {"budget": budgets, "training_run": training_runs, "model_version": model_versions}
"""A row for each thing that events tell of."""
IDENTITY = {"budget": "name", "training_run": "run", "model_version": "version"}
"""The field that says which. An event without it is a thing of its own: `#` and its number."""

_VERSIONED = {"deployment", "training_run", "model_version"}
_VERSIONS = ("version", "previous_version", "parent")
"""A registry counts versions; other programs name them. Both are texts here."""

_OURS = {"seq", "timestamp", "created", "updated", "model_name", "category", "data"}


def _fields(table: Table) -> dict[str, Callable[[object], Any]]:
    kinds: dict[str, Callable[[object], Any]] = {}
    for column in table.columns:
        if column.name not in _OURS:
            is_name = column.primary_key or any(column in index.columns.values() for index in table.indexes)
            of = {BigInteger: values.integer, Double: values.number}
            kinds[column.name] = of.get(type(column.type), values.name if is_name else values.text)
    return kinds


_FIELDS = {kind: _fields(table) for kind, table in (LOGS | THINGS).items()}


def is_thing(event: Event) -> bool:
    """Whether an event tells of a thing. A budget event may be of the calendar that all budgets share."""
    return event.type != "budget" or "name" in event.data or not event.data.keys() & {"zone", "runs"}


def _said(kind: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """In the words of the columns: the fleet's budgets are in nano-dollars, and end by being removed; alerts of
    rules have a state; versions are texts."""
    limit, spent = values.integer(data.get("limit")), values.integer(data.get("spent"))
    said = dict(data)
    if kind in _VERSIONED:
        return said | {field: _version(said[field]) for field in _VERSIONS if field in said}
    if kind == "alert" and data.get("kind") == "rule":
        for ours, theirs in (("name", "rule"), ("status", "state")):
            if ours not in data and theirs in data:
                said[ours] = said.pop(theirs)
        return said
    if kind == "alert" and data.get("kind") == "budget" and "name" not in data:
        said |= {"name": said.pop("budget", None), "severity": said.pop("level", None)}
        said |= {} if spent is None else {"value": spent / 1e9}
        said |= {} if limit is None else {"threshold": limit / 1e9}
        return said
    if kind != "budget":
        return data
    if limit is not None:
        said |= {"limit_usd": limit / 1e9, "status": "defined"}
        del said["limit"]
        if "on_exhausted" in said:
            said["action"] = said.pop("on_exhausted")
    elif data.get("removed") is True:
        said["status"] = "removed"
        del said["removed"]
    return said


def _version(value: object) -> object:
    return str(value) if type(value) is int else value


def columns(kind: str, data: Mapping[str, Any]) -> tuple[Row, Row]:
    """The known fields by column, and the rest."""
    known: Row = {}
    rest: Row = {}
    fields = _FIELDS[kind]
    for name, value in _said(kind, data).items():
        found = fields[name](value) if name in fields else None
        if found is None:
            rest[name] = value
        else:
            known[name] = found
    return known, values.plain(rest)


def log_row(event: Event, model: str | None, category: str | None) -> Row:
    """The row of an alert or a deployment."""
    known, rest = columns(event.type, event.data)
    if event.type == "alert" and event.data.get("kind") == "rule":  # says itself what it is about
        model = values.name(event.data.get("model")) if model is None else model
        category = values.name(event.data.get("category")) if category is None else category
    row: Row = dict.fromkeys(_FIELDS[event.type])
    row.update(known, seq=event.seq, timestamp=event.time, model_name=model, category=category, data=rest)
    return row


def identity(event: Event, model: str | None, category: str | None) -> dict[str, str]:
    """Which thing an event is about: the key of its row."""
    field = IDENTITY[event.type]
    key = {field: values.name(_version(event.data.get(field))) or f"#{event.seq}"}
    if event.type in ("budget", "model_version"):
        key["model_name"] = model or ""
    if event.type == "budget":
        key["category"] = category or ""
    return key


def merged(old: Mapping[str, Any] | None, event: Event, key: Row, model: str | None, category: str | None) -> Row:
    """The row of a thing after one more event about it: the newest word of each field."""
    known, rest = columns(event.type, {k: v for k, v in event.data.items() if k != IDENTITY[event.type]})
    if old is None:
        about = {"model_name": model, "category": category}
        row: Row = {c.name: about.get(c.name) for c in THINGS[event.type].columns}
        row.update(created=event.time, data={})
    else:
        row = dict(old)
        row["model_name"] = row["model_name"] if model is None else model
        row["category"] = row["category"] if category is None else category
    told = set(known) | set(rest)
    row.update({name: None for name in _FIELDS[event.type] if name in told})
    row.update(known)
    row.update(key)
    row.update(updated=event.time, seq=event.seq)
    row["data"] = {k: v for k, v in row["data"].items() if k not in known} | rest
    return row
