"""Objects as plain JSON and back, for types of packages that are trusted by name. Nothing is pickled, and reading makes
no object of any other type and calls no function: only classes of these packages are made.

An object is what its class and its state are, as `__reduce_ex__` tells. What occurs twice is written once. Sets are
written in order, so that the same objects give the same text.
"""

from __future__ import annotations

import base64
import collections
import copyreg
import datetime
import functools
import json
import math
import random
from collections.abc import Callable, Sequence
from importlib import import_module
from types import BuiltinFunctionType, FunctionType, MethodDescriptorType, MethodType
from typing import Any

import numpy as np

from fairlead.errors import FairleadError

_LISTS: dict[str, type] = {"list": list, "tuple": tuple, "deque": collections.deque}
_SETS: dict[str, type] = {"set": set, "frozenset": frozenset}
_DICTS: dict[str, type] = {
    "dict": dict,
    "Counter": collections.Counter,
    "OrderedDict": collections.OrderedDict,
    "defaultdict": collections.defaultdict,
}
_PLAIN: dict[str, Any] = {  # what may be named besides: types, as by a defaultdict, and what is done to texts
    **{
        f"{kind.__module__}:{kind.__qualname__}": kind
        for kind in (bool, float, int, str, *_LISTS.values(), *_SETS.values(), *_DICTS.values())
    },
    **{f"builtins:{way.__qualname__}": way for way in (str.lower, str.upper, str.casefold, str.strip, str.split)},
}


class Refused(FairleadError, ValueError):
    """What cannot be written or read; the message names the place."""


def to_plain(thing: Any, packages: Sequence[str]) -> Any:
    """The object as JSON types. Raises Refused for what is not of these packages."""
    writer = _Writer(packages)
    try:
        plain = writer.write(thing, "model")
    except RecursionError:
        raise Refused("there are too many objects within objects") from None
    writer.check_keys()
    return plain


def from_plain(plain: Any, packages: Sequence[str]) -> Any:
    """The object back. Raises Refused for what `to_plain` has not written, or what is not of these packages."""
    try:
        return _Reader(packages).read(plain)
    except Refused:
        raise
    except (ArithmeticError, AttributeError, KeyError, IndexError, RecursionError, TypeError, ValueError) as error:
        raise Refused(f"it is not as it was written: {type(error).__name__}: {error}") from error


class _Writer:
    def __init__(self, packages: Sequence[str]) -> None:
        self.packages = packages
        self.met: dict[int, int] = {}  # address -> number
        self.alive: list[Any] = []  # so that no address is used twice
        self.keys: dict[int, str] = {}  # numbers that are keys -> where

    def write(self, thing: Any, place: str) -> Any:
        if thing is None or isinstance(thing, (bool, str)) or type(thing) is int:
            return thing
        if type(thing) is float:
            return thing if math.isfinite(thing) else {"float": repr(thing)}
        if isinstance(thing, (bytes, bytearray)):
            return {type(thing).__name__: base64.b64encode(thing).decode()}
        if isinstance(thing, (type, FunctionType, BuiltinFunctionType, MethodDescriptorType)):
            return {"name": self._name(thing, place)}
        if isinstance(thing, (datetime.datetime, datetime.date)):
            return {type(thing).__name__: thing.isoformat()}
        if isinstance(thing, datetime.timedelta):
            return {"timedelta": [thing.days, thing.seconds, thing.microseconds]}
        if id(thing) in self.met:
            return {"same": self.met[id(thing)]}
        if isinstance(thing, tuple) and type(thing) is tuple:  # it may lie within itself by no way that matters
            return {"tuple": [self.write(part, f"{place}[{i}]") for i, part in enumerate(thing)]}
        number = self.met[id(thing)] = len(self.alive)
        self.alive.append(thing)
        return {"at": number, **self._object(thing, place)}

    def check_keys(self) -> None:
        """Raises Refused where a dictionary is by the addresses of objects: another process has others."""
        for thing in self.alive:
            for key in (id(thing), object.__hash__(thing)):
                if key in self.keys:
                    raise Refused(f"{self.keys[key]} is by the address in memory of a {type(thing).__name__}")

    def _object(self, thing: Any, place: str) -> dict[str, Any]:
        kind = type(thing)
        if kind in _LISTS.values():
            more = {"maxlen": thing.maxlen} if kind is collections.deque else {}
            return {kind.__name__: [self.write(v, f"{place}[{i}]") for i, v in enumerate(thing)], **more}
        if kind in _SETS.values():
            return {kind.__name__: sorted((self.write(v, f"{place}{{}}") for v in thing), key=json.dumps)}
        if kind in _DICTS.values():
            more = {}
            if kind is collections.defaultdict:
                more = {"factory": self.write(thing.default_factory, f"{place}.default_factory")}
            self.keys |= {k: place for k in thing if type(k) is int}
            pairs = [
                [self.write(k, f"{place} (a key)"), self.write(v, f"{place}[{k!r:.40}]")] for k, v in thing.items()
            ]
            return {kind.__name__: pairs, **more}
        if isinstance(thing, np.ndarray):
            return self._array(thing, place)
        if isinstance(thing, np.generic):
            return {"scalar": self._array(np.asarray(thing), place)["array"]}
        if kind is random.Random:
            return {"Random": self.write(thing.getstate(), f"{place} (its state)")}
        if kind is np.random.RandomState:
            _, keys, *rest = thing.get_state()
            return {"RandomState": [keys.tolist(), *rest]}
        if kind is np.random.Generator:
            bits = thing.bit_generator
            return {"Generator": [type(bits).__name__, self.write(bits.state, f"{place} (its state)")]}
        if kind is functools.partial:
            parts = (thing.func, thing.args, thing.keywords)
            return {"partial": [self.write(part, f"{place} (partial)") for part in parts]}
        if kind is MethodType:
            return {"method": [self.write(thing.__self__, f"{place}.__self__"), thing.__name__]}
        return self._reduced(thing, place)

    def _array(self, array: Any, place: str) -> dict[str, Any]:
        if array.dtype.kind not in "biufSU":
            raise Refused(f"{place} is an array of {array.dtype}")
        plain = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"))
        return {"array": [plain.dtype.str, list(array.shape), base64.b64encode(plain.tobytes()).decode()]}

    def _reduced(self, thing: Any, place: str) -> dict[str, Any]:
        name = self._name(type(thing), place)
        try:
            how: Any = thing.__reduce_ex__(4)
        except Exception as error:
            raise Refused(f"{place}, a {name}, does not say what it is made of: {error}") from error
        if isinstance(how, str):
            raise Refused(f"{place} is {how!r}, a name in {name}")
        parts: list[Any] = [*how, None, None, None]
        make, given, state, items, pairs = parts[:5]
        if make is getattr(copyreg, "__newobj__"):  # noqa: B009 - mypy does not know it
            given, new = given[1:], True
        elif make is type(thing):
            new = False
        else:
            raise Refused(f"{place}, a {name}, is made by {make!r}")
        out: dict[str, Any] = {"object": name, "new": new}
        if given:
            out["given"] = [self.write(v, f"{place} (given)") for v in given]
        if state is not None:
            out["state"] = self._state(thing, state, place)
        if items is not None:
            out["items"] = [self.write(v, f"{place}[{i}]") for i, v in enumerate(items)]
        if pairs is not None:
            out["pairs"] = [[self.write(part, f"{place}[...]") for part in pair] for pair in pairs]
        return out

    def _state(self, thing: Any, state: Any, place: str) -> Any:
        if not isinstance(state, dict):
            if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict):  # of slots
                inner = [None if part is None else self._state(thing, part, place) for part in state]
                return {"slots": inner}
            return {"whole": self.write(state, f"{place} (its state)")}
        unseeded = "seed" in state and state["seed"] is None
        pairs = []
        for name, value in state.items():
            if unseeded and isinstance(value, (random.Random, np.random.RandomState)):
                # By chance alone: no two runs have the same one, so it is written as a fixed one.
                value = type(value)(0)
                self.alive.append(value)
                pairs.append([name, self._object(value, f"{place}.{name}")])
            else:
                pairs.append([name, self.write(value, f"{place}.{name}")])
        return {"fields": pairs}

    def _name(self, thing: Any, place: str) -> str:
        module, name = getattr(thing, "__module__", None) or "builtins", getattr(thing, "__qualname__", "")
        if _PLAIN.get(f"{module}:{name}") is thing:
            return f"{module}:{name}"
        if not _trusted(module, self.packages):
            raise Refused(f"{place} is of {module}.{name}, which is in none of {', '.join(self.packages)}")
        try:
            found = _found(module, name)
        except (ImportError, AttributeError):
            found = None
        if found is not thing:
            raise Refused(f"{place} is {name} in {module}, which has no name there")
        return f"{module}:{name}"


class _Reader:
    def __init__(self, packages: Sequence[str]) -> None:
        self.packages = packages
        self.made: dict[int, Any] = {}
        self.ways: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
            "float": lambda v, _: float(v),
            "bytes": lambda v, _: base64.b64decode(v),
            "bytearray": lambda v, _: bytearray(base64.b64decode(v)),
            "datetime": lambda v, _: datetime.datetime.fromisoformat(v),
            "date": lambda v, _: datetime.date.fromisoformat(v),
            "timedelta": lambda v, _: datetime.timedelta(*v),
            "name": lambda v, _: self._named(v),
            "same": lambda v, _: self.made[v],
            "tuple": lambda v, _: tuple(self.read(part) for part in v),
            "set": lambda v, plain: self._keep(plain, {self.read(part) for part in v}),
            "frozenset": lambda v, plain: self._keep(plain, frozenset(self.read(part) for part in v)),
            "array": lambda v, plain: self._keep(plain, _array(v)),
            "scalar": lambda v, plain: self._keep(plain, _array(v)[()]),
            "Random": lambda v, plain: self._keep(plain, _random(self.read(v))),
            "RandomState": lambda v, plain: self._keep(plain, _random_state(v)),
            "Generator": lambda v, plain: self._keep(plain, _generator(v[0], self.read(v[1]))),
            "partial": lambda v, plain: self._keep(plain, self._partial(v)),
            "method": lambda v, plain: self._keep(plain, self._method(v)),
            "list": self._list,
            "deque": self._list,
            **dict.fromkeys(_DICTS, self._dict),
            "object": self._object,
        }

    def read(self, plain: Any) -> Any:
        if plain is None or isinstance(plain, (bool, str, int, float)):
            return plain
        if not isinstance(plain, dict):
            raise Refused(f"there is {plain!r:.60}, which means nothing")
        for key, value in plain.items():
            if key in self.ways:
                return self.ways[key](value, plain)
        raise Refused(f"there is an object of {sorted(plain)}, which means nothing")

    def _keep(self, plain: dict[str, Any], thing: Any) -> Any:
        if "at" in plain:
            self.made[plain["at"]] = thing
        return thing

    def _list(self, values: Any, plain: dict[str, Any]) -> Any:
        thing = self._keep(plain, collections.deque(maxlen=plain["maxlen"]) if "deque" in plain else [])
        thing.extend(self.read(value) for value in values)
        return thing

    def _dict(self, pairs: Any, plain: dict[str, Any]) -> Any:
        kind = next(_DICTS[name] for name in plain if name in _DICTS)
        thing = self._keep(plain, kind())
        for key, value in pairs:
            found = self.read(key)
            thing[found] = self.read(value)
        if isinstance(thing, collections.defaultdict):
            thing.default_factory = self.read(plain["factory"])
        return thing

    def _object(self, name: str, plain: dict[str, Any]) -> Any:
        kind = self._named(name)
        if not isinstance(kind, type) or name in _PLAIN:
            raise Refused(f"{name} is no class of an object")
        given = [self.read(value) for value in plain.get("given", ())]
        thing = self._keep(plain, kind.__new__(kind, *given) if plain["new"] else kind(*given))
        if "state" in plain:
            self._set(thing, plain["state"])
        for value in plain.get("items", ()):
            thing.append(self.read(value))
        for key, value in plain.get("pairs", ()):
            thing[self.read(key)] = self.read(value)
        return thing

    def _set(self, thing: Any, state: dict[str, Any]) -> None:
        fields = self._state(state)
        if hasattr(thing, "__setstate__"):
            thing.__setstate__(fields)
            return
        for part in fields if isinstance(fields, tuple) else (fields,):
            for name, value in (part or {}).items():
                if hasattr(thing, "__dict__") and part is not (fields[1] if isinstance(fields, tuple) else None):
                    thing.__dict__[name] = value
                else:
                    object.__setattr__(thing, name, value)

    def _state(self, state: Any) -> Any:
        if state is None:
            return None
        if "fields" in state:
            return {name: self.read(value) for name, value in state["fields"]}
        if "slots" in state:
            return tuple(self._state(part) for part in state["slots"])
        return self.read(state["whole"])

    def _partial(self, parts: Any) -> Any:
        function, given, named = (self.read(part) for part in parts)
        return functools.partial(function, *given, **named)

    def _method(self, parts: Any) -> Any:
        owner, name = self.read(parts[0]), parts[1]
        method = getattr(owner, name)
        if not isinstance(method, MethodType) or not _trusted(type(owner).__module__, self.packages):
            raise Refused(f"{name!r} is no method of a {type(owner).__name__}")
        return method

    def _named(self, full: Any) -> Any:
        module, _, name = str(full).partition(":")
        if full in _PLAIN:
            return _PLAIN[full]
        if not _trusted(module, self.packages):
            raise Refused(f"{full} is not trusted: it is in none of {', '.join(self.packages)}")
        try:
            found = _found(module, name)
        except (ImportError, AttributeError) as error:
            raise Refused(f"{full} is not in this version of its package") from error
        if getattr(found, "__module__", None) != module or getattr(found, "__qualname__", None) != name:
            raise Refused(f"{full} is something else that is only used there")
        return found


_CLOSED = (
    "river.datasets",
    "river.stream",
    "river.checks",
    "river.evaluate",
    "river.api",
    "river.utils.data_conversion",
)


def _trusted(module: str, packages: Sequence[str]) -> bool:
    within = any(module == package or module.startswith(f"{package}.") for package in packages)
    return within and not any(module == closed or module.startswith(f"{closed}.") for closed in _CLOSED)


def _found(module: str, name: str) -> Any:
    found: Any = import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _array(parts: Any) -> Any:
    kind, shape, data = parts
    dtype = np.dtype(kind)
    if dtype.kind not in "biufSU":
        raise Refused(f"there is an array of {kind}")
    return np.frombuffer(base64.b64decode(data), dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _random(state: Any) -> random.Random:
    made = random.Random(0)
    made.setstate(state)
    return made


def _random_state(parts: Any) -> np.random.RandomState:
    keys, *rest = parts
    made = np.random.RandomState(0)
    made.set_state(("MT19937", np.array(keys, dtype=np.uint32), *rest))
    return made


def _generator(name: str, state: Any) -> np.random.Generator:
    if name not in ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"):
        raise Refused(f"{name!r} is no generator of random numbers")
    bits = getattr(np.random, name)(0)
    bits.state = state
    return np.random.Generator(bits)
