"""`fairlead models list|info|history|register|import|load|promote|rollback|unalias|delete|verify|repair|collect`."""

from __future__ import annotations

import argparse
import getpass
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fairlead.cli import Commands
    from fairlead.lifecycle.registry import Registry

_VERSION = "its number, an alias, or 'newest' (default: champion)"


def add_models(commands: Commands) -> None:
    """`fairlead models ...`."""
    models = commands.add_parser("models", help="versions of models: list, promote, roll back, check")
    verbs = models.add_subparsers(required=True, metavar="COMMAND")

    _json(_verb(verbs, "list", _list, "all models; of one: all its versions", model="?"))
    _json(_version(_verb(verbs, "info", _info, "the card of a version", model="")))
    _json(_verb(verbs, "history", _history, "where the aliases of a model pointed, and why", model=""))

    register = _verb(verbs, "register", _register, "a new version of a model", model="")
    register.add_argument("file", metavar="FILE", help="its weights: safetensors, skops, ONNX or JSON; never a pickle")
    metric = "of the card; may be repeated"
    register.add_argument("--metric", action="append", default=[], metavar="NAME=NUMBER", type=_metric, help=metric)
    register.add_argument("--description", default="", metavar="TEXT")

    imported = _verb(verbs, "import", _import, "every model in another folder becomes a version; status 1: some cannot")
    imported.add_argument(
        "path", metavar="PATH", help="where they lie: NAME.onnx, NAME/3.skops, NAME/model.safetensors"
    )
    _by(imported)
    _json(imported)

    load = _version(_verb(verbs, "load", _load, "load a version, checked, and say what is in it", model=""))
    load.add_argument("--trust", action="append", default=[], metavar="TYPE", help="of an estimator; may be repeated")
    load.add_argument("--to", metavar="FILE", help="also copy the checked weights to this file")

    promote = _verb(verbs, "promote", _promote, "point an alias to a version", model="")
    promote.add_argument("version", metavar="VERSION", help="its number, an alias, or 'newest'")
    rollback = _verb(verbs, "rollback", _rollback, "point an alias to the version before", model="")
    for move in (promote, rollback):
        move.add_argument("--alias", default="champion", metavar="NAME", help="default: champion")
        move.add_argument("--expect", type=int, metavar="GENERATION", help="only if it is at this one; 0: never set")
        _by(move)

    unalias = _verb(verbs, "unalias", _unalias, "take an alias away from a model", model="")
    unalias.add_argument("alias", metavar="ALIAS", help="champion, challenger, ...")
    _by(unalias)

    delete = _verb(verbs, "delete", _delete, "delete a version that no alias points to, for good", model="")
    delete.add_argument("version", metavar="VERSION", help="its number, or 'newest'")
    _by(delete)

    _json(_verb(verbs, "verify", _verify, "check every log, card and byte of weights; status 1: not whole", model="?"))
    _json(
        _verb(verbs, "repair", _repair, "cards from the log, damaged entries from the cards; 1: some lost", model="?")
    )
    _json(_verb(verbs, "collect", _collect, "remove weights that no version has"))


def _verb(verbs: Commands, name: str, run: Any, about: str, model: str | None = None) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=about, description=about)
    parser.add_argument("folder", metavar="FOLDER", help="of the registry, or a desk with a `registry` in it")
    if model is not None:
        parser.add_argument("model", metavar="MODEL", nargs=model or None)
    parser.set_defaults(run=run)
    return parser


def _version(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("version", metavar="VERSION", nargs="?", default="champion", help=_VERSION)
    return parser


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def _by(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--by", default=None, metavar="NAME", help="who does it (default: the user)")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why; kept in the history")


def _metric(text: str) -> tuple[str, float]:
    name, _, number = text.rpartition("=")
    try:
        if name:
            return name, float(number)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} must look like accuracy=0.81")


def _registry(arguments: argparse.Namespace, *, new: bool = False) -> Registry:
    """The registry of a folder. new: it need not be there yet."""
    from fairlead.lifecycle.registry import Registry, RegistryError

    folder = Path(arguments.folder)
    for place in (folder, folder / "registry"):
        if (place / "models").is_dir() and (place / "objects").is_dir():
            return Registry(place)
    if not new:
        raise RegistryError(f"there is no registry in {folder}")
    return Registry(folder)


def _who(arguments: argparse.Namespace) -> str:
    if arguments.by is not None:
        return str(arguments.by)
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def _show(things: Iterable[Any], as_json: bool) -> None:
    for thing in things:
        print(json.dumps(thing.to_dict()) if as_json else thing)


def _list(arguments: argparse.Namespace) -> int:
    registry = _registry(arguments)
    if arguments.model is None:
        found = registry.list()
        if arguments.json:
            _show(found, True)
        else:
            _table(
                ("MODEL", "VERSIONS", "NEWEST", "ALIASES", "BYTES"),
                [(s.name, s.versions, s.newest or "-", _pairs(s.aliases), f"{s.size:,}") for s in found],
            )
        return 0
    versions = registry.versions(arguments.model)
    if arguments.json:
        _show(versions, True)
        return 0
    from fairlead.lifecycle.registry.card import iso

    at: dict[int, list[str]] = {}
    for alias in registry.aliases(arguments.model):
        at.setdefault(alias.version or 0, []).append(alias.alias)
    _table(
        ("VERSION", "CREATED", "FORMAT", "BYTES", "ALIASES", "METRICS"),
        [
            (v.number, iso(v.card.created), v.format, f"{v.size:,}", " ".join(at.get(v.number, "-")), _pairs(v.metrics))
            for v in versions
        ],
    )
    return 0


def _pairs(table: Any) -> str:
    return " ".join(f"{k}={v}" if type(v) is int else f"{k}={v:.4g}" for k, v in table.items()) or "-"


def _table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    """Columns as wide as they need to be; numbers to the right."""
    lines = [head, *[tuple(map(str, row)) for row in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    right = [all(line[i].replace(",", "").isdigit() or line[i] == "-" for line in lines[1:]) for i in range(len(head))]
    for line in lines:
        cells = [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(line, widths, right, strict=True)]
        print("  ".join(cells).rstrip())


def _info(arguments: argparse.Namespace) -> int:
    _show([_registry(arguments).info(arguments.model, arguments.version)], arguments.json)
    return 0


def _history(arguments: argparse.Namespace) -> int:
    _show(_registry(arguments).history(arguments.model), arguments.json)
    return 0


def _register(arguments: argparse.Namespace) -> int:
    registry = _registry(arguments, new=True)
    made = registry.register(
        arguments.model, arguments.file, metrics=dict(arguments.metric), description=arguments.description
    )
    print(f"{made.name} version {made.number}: {made.format}, {made.size:,} bytes, {made.digest}")
    return 0


def _import(arguments: argparse.Namespace) -> int:
    done = _registry(arguments, new=True).import_folder(arguments.path, by=_who(arguments))
    _show([done], arguments.json)
    return 1 if done.refused else 0


def _load(arguments: argparse.Namespace) -> int:
    registry = _registry(arguments)
    version = registry.info(arguments.model, arguments.version)
    start = time.perf_counter()
    model = registry.load(arguments.model, version, trusted=arguments.trust)
    took = time.perf_counter() - start
    print(f"{version.name} version {version.number}: {version.format}, {version.size:,} bytes, in {took * 1e3:.1f} ms")
    for line in _contents(version.format, model):
        print(f"  {line}")
    if arguments.to is not None:
        to = Path(arguments.to)
        with to.open("xb") as file:
            file.write(registry.objects.read(version.file, version.size))
        print(f"  copied to {to}")
    return 0


def _contents(format: str, model: Any) -> list[str]:
    if format == "safetensors":
        return [f"{name}  {array.dtype} {list(array.shape)}" for name, array in model.items()] or ["no arrays"]
    if format == "onnx":
        return [f"inputs: {', '.join(model.inputs)}", f"outputs: {', '.join(model.outputs)}"]
    if format == "json":
        keys = ", ".join(map(str, model)) if isinstance(model, dict) else f"{len(model)} items"
        return [f"{type(model).__name__}: {keys}"]
    return str(model).splitlines()


def _promote(arguments: argparse.Namespace) -> int:
    print(
        _registry(arguments).promote(
            arguments.model,
            arguments.version,
            alias=arguments.alias,
            expect=arguments.expect,
            by=_who(arguments),
            reason=arguments.reason,
        )
    )
    return 0


def _rollback(arguments: argparse.Namespace) -> int:
    move = {"alias": arguments.alias, "expect": arguments.expect, "by": _who(arguments), "reason": arguments.reason}
    print(_registry(arguments).rollback(arguments.model, **move))
    return 0


def _unalias(arguments: argparse.Namespace) -> int:
    who = _who(arguments)
    gone = _registry(arguments).unalias(arguments.model, arguments.alias, by=who, reason=arguments.reason)
    print(gone or f"{arguments.model} has no {arguments.alias}")
    return 0


def _delete(arguments: argparse.Namespace) -> int:
    gone = _registry(arguments).delete(arguments.model, arguments.version, by=_who(arguments), reason=arguments.reason)
    print(f"deleted: {gone.name} version {gone.number}")
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    check = _registry(arguments).verify(arguments.model)
    _show([check], arguments.json)
    return 0 if check.whole else 1


def _repair(arguments: argparse.Namespace) -> int:
    done = _registry(arguments).repair(arguments.model)
    _show([done], arguments.json)
    return 1 if done.lost else 0


def _collect(arguments: argparse.Namespace) -> int:
    _show([_registry(arguments).collect()], arguments.json)
    return 0
