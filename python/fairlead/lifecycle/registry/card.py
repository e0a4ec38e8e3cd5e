"""What a registry tells: versions, their cards and lineage, and where aliases point."""

from __future__ import annotations

import json
import math
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from importlib import metadata
from typing import Any

from fairlead._core import __version__
from fairlead.errors import InvalidRecordError

_MOST_BYTES = 1 << 18
_PACKAGES = {  # what a model may need: the module that is imported -> the distribution it comes with
    "numpy": "numpy",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "skops": "skops",
    "safetensors": "safetensors",
    "torch": "torch",
    "river": "river",
    "onnx": "onnx",
    "onnxruntime": "onnxruntime",
    "transformers": "transformers",
    "xgboost": "xgboost",
    "lightgbm": "lightgbm",
}


def dependencies() -> dict[str, str]:
    """Versions of Python, fairlead, and what this process has imported of the packages that models are made with."""
    found = {"python": platform.python_version(), "fairlead": __version__}
    for module, package in _PACKAGES.items():
        if module in sys.modules and module not in found:
            try:
                found[package] = metadata.version(package)
            except metadata.PackageNotFoundError:
                continue
    return found


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where a version comes from. None: not known.

    journal: its id or folder; first, last: numbers of the first and the last event that was learned from. data: the
    fingerprint of the examples. code: the version of the code, such as a commit. seed: of the training. parent: the
    version whose weights it began with. run: the training job. mode: `full` or `incremental`. dependencies: versions
    of packages by name; `fl.lifecycle.dependencies()` gives those of this process.
    """

    journal: str | None = None
    first: int | None = None
    last: int | None = None
    code: str | None = None
    seed: int | None = None
    parent: int | None = None
    data: str | None = None
    run: str | None = None
    mode: str | None = None
    dependencies: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("first", "last", "seed", "parent"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
                raise InvalidRecordError(f"lineage.{name} is {value!r}, must be a whole number, 0 or more")
        for name in ("journal", "code", "data", "run", "mode"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise InvalidRecordError(f"lineage.{name} is {value!r}, must be text")
        if self.first is not None and self.last is not None and self.last < self.first:
            raise InvalidRecordError(f"lineage.last is {self.last}, before lineage.first, {self.first}")

    def to_dict(self) -> dict[str, Any]:
        """Only what is known."""
        found = {name: value for name in _KNOWN if (value := getattr(self, name)) is not None}
        return {**found, "dependencies": dict(self.dependencies)} if self.dependencies else found


_KNOWN = ("journal", "first", "last", "code", "seed", "parent", "data", "run", "mode")


@dataclass(frozen=True, slots=True)
class Card:
    """What is told of a version. created: integer nanoseconds since the epoch, UTC. schema: what goes in and comes
    out, as `Schema.to_dict()`. metrics: finite numbers by name. params: of the trainer, whatever JSON can hold."""

    created: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    schema: Mapping[str, Any] | None = None
    lineage: Lineage = field(default_factory=Lineage)
    description: str = ""

    def to_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = {"created": self.created, "metrics": dict(self.metrics), "params": dict(self.params)}
        found["schema"] = None if self.schema is None else dict(self.schema)
        return {**found, "lineage": self.lineage.to_dict(), "description": self.description}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Card:
        return cls(**{**data, "lineage": Lineage(**data["lineage"])})


def checked_card(
    created: int,
    metrics: Mapping[str, float],
    params: Mapping[str, Any],
    schema: object,
    lineage: Lineage | Mapping[str, Any],
    description: str,
) -> tuple[Card, bytes]:
    """A card that JSON can hold, and that shares nothing with what it was made of; and it as JSON.

    Raises InvalidRecordError naming the field.
    """
    numbers = {}
    for name, value in _mapping(metrics, "metrics").items():
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            raise InvalidRecordError(f"metrics[{name!r}] is {value!r}, must be a number") from None
        if not math.isfinite(number):
            raise InvalidRecordError(f"metrics[{name!r}] is {value}, must be finite")
        numbers[name] = value if type(value) is int else number
    if schema is not None and not isinstance(schema, Mapping):
        to_dict = getattr(schema, "to_dict", None)
        if not callable(to_dict):
            raise InvalidRecordError(f"schema is {schema!r}, must be a Schema or a mapping")
        schema = to_dict()
    if not isinstance(lineage, Lineage):
        try:
            lineage = Lineage(**_mapping(lineage, "lineage"))
        except TypeError as error:
            raise InvalidRecordError(f"lineage is {lineage!r}: {error}") from None
    if not isinstance(description, str):
        raise InvalidRecordError(f"description is {description!r}, must be text")
    told = None if schema is None else _mapping(schema, "schema")
    body = Card(created, numbers, _mapping(params, "params"), told, lineage, description).to_dict()
    try:
        text = as_json(body)
    except (TypeError, ValueError, RecursionError):
        for name, value in body.items():
            try:
                as_json(value)
            except (TypeError, ValueError, RecursionError) as error:
                raise InvalidRecordError(f"{name} is {value!r}, which JSON cannot hold: {error}") from None
        raise
    if len(text) > _MOST_BYTES:
        raise InvalidRecordError(f"the card has {len(text):,} bytes as JSON, at most {_MOST_BYTES:,} are taken")
    return Card.from_dict(json.loads(text)), text


def _mapping(given: object, what: str) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise InvalidRecordError(f"{what} is {given!r}, must be a mapping")
    for name in given:
        if not isinstance(name, str):
            raise InvalidRecordError(f"{what} has the key {name!r}, must be text")
    return dict(given)


def _plain(value: object) -> object:
    """Scalars of numpy and torch, and schemas within parameters, as what they stand for."""
    for name in ("item", "to_dict"):
        if callable(convert := getattr(value, name, None)):
            return convert()
    raise TypeError(f"{type(value).__name__} is no type of JSON")


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_plain).encode


def as_json(value: object) -> bytes:
    """Compact, strict, UTF-8; raises ValueError or TypeError for what it cannot hold."""
    return _encode(value).encode()


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a model: weights that never change, and their card. number: from 1, never used again. digest: sha256
    of the file, hexadecimal. format: of the file. size: in bytes."""

    name: str
    number: int
    digest: str
    format: str
    size: int
    card: Card

    @property
    def lineage(self) -> Lineage:
        """Where it comes from."""
        return self.card.lineage

    @property
    def metrics(self) -> Mapping[str, float]:
        """What was measured of it."""
        return self.card.metrics

    @property
    def file(self) -> str:
        """The name of its file under `objects/`."""
        return f"{self.digest}.{self.format}"

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON."""
        found = {"name": self.name, "version": self.number, "digest": self.digest, "format": self.format}
        return {**found, "size": self.size, "card": self.card.to_dict()}

    as_dict = to_dict

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Version:
        card = Card.from_dict(data["card"])
        return cls(data["name"], data["version"], data["digest"], data["format"], data["size"], card)

    def __str__(self) -> str:
        card, line = self.card, self.card.lineage.to_dict()
        known = line.pop("dependencies", {})
        parts = [
            f"{self.name} version {self.number}, {self.format}, {self.size:,} bytes",
            f"  digest        {self.digest}",
            f"  created       {iso(card.created)}",
        ]
        parts += [f"  description   {card.description}"] if card.description else []
        for what, table in (("metrics", card.metrics), ("params", card.params), ("schema", card.schema or {})):
            parts += [f"  {what:<13} " + _row(table)] if table else []
        parts += ["  lineage       " + _row(line)] if line else []
        parts += ["  dependencies  " + " ".join(f"{k}=={v}" for k, v in known.items())] if known else []
        return "\n".join(parts)


@dataclass(frozen=True, slots=True)
class Alias:
    """Where an alias points since `time`. version: None where it was taken away. generation: counts how often it was
    set, from 1; `promote(expect=...)` compares it. previous: the version before. by, reason: who, and why. rollback:
    whether it went back."""

    name: str
    alias: str
    version: int | None
    generation: int
    time: int
    by: str = ""
    reason: str = ""
    previous: int | None = None
    rollback: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)

    as_dict = to_dict

    def __str__(self) -> str:
        where = "nothing" if self.version is None else f"version {self.version}"
        told = "".join(f", {word} {text}" for word, text in (("by", self.by), ("because", self.reason)) if text)
        back = " (rollback)" if self.rollback else ""
        return f"{iso(self.time)}  {self.name} {self.alias} -> {where}{back}, generation {self.generation}{told}"


@dataclass(frozen=True, slots=True)
class Summary:
    """A model of a registry. versions: how many there are. aliases: version by alias. size: of all its weights."""

    name: str
    versions: int
    newest: int | None
    aliases: Mapping[str, int]
    size: int
    created: int | None
    updated: int

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON."""
        return {**asdict(self), "aliases": dict(self.aliases)}

    as_dict = to_dict


def iso(time: int) -> str:
    """Nanoseconds as ISO, to the second.

    >>> iso(0)
    '1970-01-01T00:00:00Z'
    """
    return datetime.fromtimestamp(time // 10**9, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _row(table: Mapping[str, Any]) -> str:
    return " ".join(
        f"{name}={value:.6g}" if type(value) is float else f"{name}={value}" for name, value in table.items()
    )
