"""The parts of a pipeline, checked, and made where they are not given."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle.failures import SchemaError
from fairlead.lifecycle.pipeline.ledger import FileLedger, Log, LogLedger, PathLike
from fairlead.lifecycle.pipeline.policy import Policy
from fairlead.lifecycle.registry import Registry
from fairlead.lifecycle.registry.names import check_name
from fairlead.lifecycle.schema import Schema
from fairlead.lifecycle.trainer import Trainer


class Parts(NamedTuple):
    """What a pipeline is made of."""

    registry: Registry
    schema: Schema
    policy: Policy
    jobs: Any
    monitor: Any
    trigger: Any


def made_of(
    name: str,
    trainer: Trainer,
    registry: Registry | PathLike,
    jobs: Any,
    monitor: Any,
    trigger: Any,
    policy: Policy | None,
    schema: Schema | None,
    clock: Callable[[], int],
) -> Parts:
    """Raises InvalidRecordError for what cannot be, SchemaError where trainer, champion and schema are not of one."""
    from fairlead.lifecycle.signals import DriftMonitor, RetrainTrigger

    check_name(name)
    if isinstance(trainer, type) or not isinstance(trainer, Trainer):
        raise InvalidRecordError(f"trainer is {trainer!r}, must be a Trainer: an adapter of fairlead.lifecycle, say")
    if not callable(clock):
        raise InvalidRecordError(f"clock is {clock!r}, must be a function that gives integer nanoseconds")
    if isinstance(registry, (str, os.PathLike)):
        registry = Registry(registry, clock=clock)
    elif not isinstance(registry, Registry):
        raise InvalidRecordError(f"registry is {registry!r}, must be a Registry or its folder")
    if policy is not None and not isinstance(policy, Policy):
        raise InvalidRecordError(f"policy is {policy!r}, must be a Policy")
    policy = policy if policy is not None else Policy()
    found = _schema(name, trainer, registry, schema)
    for word, part, does in (("monitor", monitor, "learn"), ("trigger", trigger, "consider")):
        if part is not None and not callable(getattr(part, does, None)):
            raise InvalidRecordError(
                f"{word} is {part!r}, must be a {'DriftMonitor' if part is monitor else 'RetrainTrigger'}"
            )
    if jobs is None:
        from fairlead.lifecycle.jobs import InlineJobs

        jobs = InlineJobs(registry.folder / "jobs", clock=clock)
    return Parts(
        registry,
        found,
        policy,
        jobs,
        monitor if monitor is not None else DriftMonitor(found),
        trigger if trigger is not None else RetrainTrigger(),
    )


def ledger_of(name: str, log: Log | None, folder: PathLike | None, registry: Registry) -> FileLedger | LogLedger:
    """On a journal its events, else a file."""
    if log is not None and folder is None and is_journal(log):
        return LogLedger(log, name)
    return FileLedger(Path(folder if folder is not None else registry.folder / "pipelines") / f"{name}.json")


def is_journal(log: object) -> bool:
    """Whether a log can be read again."""
    from fairlead.journal import Journal

    return isinstance(log, Journal)


def _schema(name: str, trainer: Trainer, registry: Registry, given: Schema | None) -> Schema:
    """The one schema of a model: of the champion, of the trainer where it was fitted, and as it was given."""
    if given is not None and not isinstance(given, Schema):
        raise InvalidRecordError(f"schema is {given!r}, must be a Schema")
    known: list[tuple[str, Schema]] = [] if given is None else [("the schema that was given", given)]
    if trainer.schema is not None:
        known.append(("the trainer's schema", trainer.schema))
    if name in registry.names() and (alias := registry.champion(name)) is not None and alias.version is not None:
        card = registry.info(name, alias.version).card.schema
        if card is not None:
            known.append((f"the schema of the champion, version {alias.version},", Schema.from_dict(card)))
    if not known:
        raise InvalidRecordError(
            f"schema is None, but {name!r} has no champion and the trainer was never fitted: give schema=Schema(...)"
        )
    first, schema = known[-1]
    for other, its in known[:-1]:
        if differ := schema.differences(its):
            raise SchemaError(f"{other} is not {first}: {'; '.join(differ)}")
    return schema
