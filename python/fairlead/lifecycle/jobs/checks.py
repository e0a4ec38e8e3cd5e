"""Whether what is asked of a job can be: every argument, before anything is written."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle.examples import Examples
from fairlead.lifecycle.failures import SchemaError
from fairlead.lifecycle.jobs.faults import JobError
from fairlead.lifecycle.jobs.folder import digest_of
from fairlead.lifecycle.jobs.orders import EarlyStopping, Limits, Order, checked_mode, checked_name, whole_number
from fairlead.lifecycle.trainer import Trainer, parameters

_MEMBERS = ("format", "schema", "fresh", "fit", "partial_fit", "predict", "save", "load")


def order_of(
    trainer: Trainer,
    examples: Examples,
    *,
    name: str,
    created: int,
    seed: int,
    mode: str,
    base: Any,
    validation: Examples | None,
    early_stopping: EarlyStopping | None,
    limits: Limits | None,
    checkpoint_every: int | None,
    reason: str,
) -> Order:
    """The order, without an id. Raises InvalidRecordError naming the argument that cannot be."""
    checked_name(name)
    checked_mode(mode)
    check_parts(trainer, examples, validation)
    whole_number(seed, "seed", 0, 2**32 - 1)  # as numpy and torch take it
    if not _is_a(early_stopping, EarlyStopping, type(None)):
        raise InvalidRecordError(f"early_stopping is {early_stopping!r}, must be an EarlyStopping")
    if not _is_a(reason, str):
        raise InvalidRecordError(f"reason is {reason!r}, must be a string")
    if any("\ud800" <= letter <= "\udfff" for letter in reason):
        raise InvalidRecordError(f"reason is {reason!r:.200}, which UTF-8 cannot hold")
    if base is not None and mode == "full":
        raise InvalidRecordError(f"base is {os.fspath(base)!r}, but mode is 'full', which begins from nothing")
    path = None if base is None else Path(base).absolute()
    if path is not None and not path.is_file():
        raise InvalidRecordError(f"base is {os.fspath(path)!r}, must be a file of weights")
    return Order(
        id="",
        name=name,
        created=created,
        mode=mode,
        seed=seed,
        trainer=_class_of(trainer),
        format=trainer.format,
        params=_plain(parameters(trainer)),
        examples=examples.fingerprint,
        count=len(examples),
        first_seq=int(examples.seqs.min()),
        last_seq=int(examples.seqs.max()),
        validation=None if validation is None else validation.fingerprint,
        base=None if path is None else str(path),
        base_digest=None if path is None else _digest(path),
        early_stopping=early_stopping,
        limits=limits_of(limits),
        checkpoint_every=None if checkpoint_every is None else whole_number(checkpoint_every, "checkpoint_every", 1),
        reason=reason,
    )


def check_parts(trainer: Any, examples: Any, validation: Any) -> None:
    """Raises InvalidRecordError where one of them is not what it must be."""
    if isinstance(trainer, type) or not isinstance(trainer, Trainer):
        lacking = [name for name in _MEMBERS if not hasattr(trainer, name)]
        what = "is a class" if isinstance(trainer, type) else f"lacks {', '.join(lacking)}"
        raise InvalidRecordError(f"trainer is {_short(trainer)}, which is no Trainer: it {what}")
    for name, value in (("examples", examples), ("validation", validation)):
        if value is None and name == "validation":
            continue
        if not isinstance(value, Examples):
            raise InvalidRecordError(f"{name} is {_short(value)}, must be Examples")
        if len(value) == 0:
            raise InvalidRecordError(f"{name} is empty, must hold at least one example")
    if validation is not None and (differ := examples.schema.differences(validation.schema)):
        raise SchemaError(f"validation has another schema than examples: {'; '.join(differ)}")


def check_same(order: Order, trainer: Trainer, examples: Examples, validation: Examples | None) -> None:
    """Raises JobError where these are not what an order was given with."""
    for what, was, now in (
        ("trainer", order.trainer, _class_of(trainer)),
        ("trainer's parameters", dict(order.params), _plain(parameters(trainer))),
        ("examples' fingerprint", order.examples, examples.fingerprint),
        ("validation's fingerprint", order.validation, None if validation is None else validation.fingerprint),
        ("base's digest", order.base_digest, None if order.base is None else _digest(Path(order.base))),
    ):
        if was != now:
            raise JobError(f"the {what} of job {order.id} was {was!r}, is {now!r}: only the same job can be resumed")


def limits_of(limits: Any) -> Limits:
    """Limits, those of `Limits()` for None. Raises InvalidRecordError for what are none."""
    if limits is not None and not isinstance(limits, Limits):
        raise InvalidRecordError(f"limits is {limits!r}, must be Limits")
    return limits or Limits()


def _class_of(trainer: object) -> str:
    kind = type(trainer)
    return f"{kind.__module__}.{kind.__qualname__}"


def _plain(params: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return dict(json.loads(json.dumps(params, allow_nan=False)))
    except (TypeError, ValueError) as error:
        raise InvalidRecordError(f"trainer.params() is {_short(params)}, which JSON cannot hold: {error}") from error


def _digest(path: Path) -> str:
    try:
        return digest_of(path)
    except OSError as error:
        raise JobError(f"base is {os.fspath(path)!r}, which cannot be read: {error}") from error


def _is_a(value: object, *kinds: type) -> bool:
    return isinstance(value, kinds)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
