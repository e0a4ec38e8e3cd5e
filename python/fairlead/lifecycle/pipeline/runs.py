"""What a run needs of the jobs and the registry: a job begun, its model loaded, checked, and registered."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fairlead._core import __version__
from fairlead.lifecycle.examples import Examples
from fairlead.lifecycle.failures import Failure, LifecycleError, SchemaError, TooFewExamplesError
from fairlead.lifecycle.pipeline.answers import Answer, rows_in
from fairlead.lifecycle.pipeline.policy import Policy
from fairlead.lifecycle.pipeline.rival import Rival
from fairlead.lifecycle.pipeline.state import Position
from fairlead.lifecycle.registry import Lineage, Registry, Version, dependencies
from fairlead.lifecycle.schema import Schema
from fairlead.lifecycle.trainer import Trainer, parameters

GOING = ("queued", "running", "paused", "stopping")
"""States of a job that has not ended."""


class Runs:
    """Of one managed model."""

    def __init__(
        self,
        name: str,
        trainer: Trainer,
        schema: Schema,
        registry: Registry,
        jobs: Any,
        policy: Policy,
        journal: str | None,
    ) -> None:
        self.name = name
        self.trainer = trainer
        self.schema = schema
        self.registry = registry
        self.jobs = jobs
        self.policy = policy
        self.journal = journal

    def choose(
        self, examples: Examples, since_drift: int, first: bool, window: int | None
    ) -> tuple[Examples, Examples]:
        """What to learn from, and what is held back, the newest. first: there is no champion to prove it against.

        Raises TooFewExamplesError.
        """
        policy, at_hand = self.policy, len(examples)
        if first:
            learn, held = examples.last(policy.most), examples[:0]
        else:
            part = examples.last(policy.look(since_drift, at_hand) if window is None else min(window, at_hand))
            n, _ = policy.split(len(part))
            learn, held = part[:n], part[n:]
        if len(learn) < policy.least:
            more = "" if first else f" beside {len(held)} that are held back"
            raise TooFewExamplesError(f"there are {len(learn)} examples to learn from{more}, {policy.least} are needed")
        return learn, held

    def begin(self, examples: Examples, *, mode: str, seed: int, champion: int | None, reason: str) -> Any:
        """A job that learns from these examples, all of them older than those that are held back."""
        base = self.registry.path(self.name, champion) if mode == "incremental" and champion is not None else None
        mode = "full" if base is None else mode
        validation = None
        if self.policy.validation and (n := round(len(examples) * self.policy.validation)):
            examples, validation = examples[: len(examples) - n], examples[len(examples) - n :]
        return self.jobs.start(
            self.trainer.fresh(),
            examples,
            name=self.name,
            seed=seed,
            mode=mode,
            base=base,
            validation=validation,
            early_stopping=self.policy.early_stopping,
            limits=self.policy.limits,
            reason=reason,
        )

    def find(self, run: str) -> Any | None:
        """The job of a run; None where nobody has it any more."""
        try:
            return self.jobs.get(run)
        except LookupError:
            return None

    def resume(self, run: str, examples: Examples) -> Any:
        """Goes on with a job whose process died. Raises a LifecycleError where it cannot."""
        validation = None
        if self.policy.validation and (n := round(len(examples) * self.policy.validation)):
            examples, validation = examples[: len(examples) - n], examples[len(examples) - n :]
        return self.jobs.resume(run, self.trainer.fresh(), examples, validation=validation)

    def load(self, version: Version | int) -> Any:
        """The model of a version. Raises a LifecycleError where it cannot be loaded."""
        return self.registry.load(self.name, version, into=self.trainer.fresh())

    def answers(self, model: Any, examples: Examples, what: str) -> list[Answer]:
        """What a model says to examples. Raises LifecycleError, whose `failure` says how, where one is none."""
        rival = Rival(model, 0, self.schema, self.policy.patience_s, what)
        try:
            found: list[Answer] = []
            for answer in rival.many(rows_in(examples)):
                if answer is None:
                    error = LifecycleError(rival.message)
                    error.failure = rival.failure or Failure.raised
                    raise error
                found.append(answer)
            return found
        finally:
            rival.close()

    def register(self, job: Any, position: Position, held: Examples, reason: str) -> Version:
        """What a job has made, as a version that is checked and can be loaded.

        Raises SchemaError where it takes or gives something else than this model does, a LifecycleError where it cannot
        be loaded, and what it raises when it is asked. A second time, after a crash, it gives the same version.
        """
        result = job.result()
        model = self.trainer.fresh()
        model.load(result.artifact)
        if model.schema is None:
            raise SchemaError("the challenger has no schema, so nobody knows what it takes")
        if differ := self.schema.differences(model.schema):
            raise SchemaError(f"the challenger's schema is not the champion's: {'; '.join(differ)}")
        answers = self.answers(model, held, "the challenger")
        known = self._registered(job.id, result.digest)
        if known is not None:
            return known
        first, last = position.trained or (None, None)
        incremental = position.mode == "incremental"
        return self.registry.register(
            self.name,
            result.artifact,
            format=self.trainer.format,
            schema=self.schema,
            metrics=scores(self.schema, answers, held),
            lineage=Lineage(
                journal=self.journal,
                first=first,
                last=last,
                code=f"fairlead {__version__}, {type(self.trainer).__module__}.{type(self.trainer).__qualname__}",
                seed=position.seed,
                parent=position.champion if incremental else None,
                data=result.examples,
                run=job.id,
                mode=position.mode,
                dependencies=dependencies(),
            ),
            params=parameters(self.trainer),
            description=reason,
        )

    def adopt(self, reason: str) -> Version:
        """The trainer as it stands, registered."""
        return self.registry.register(
            self.name,
            saved(self.trainer),
            format=self.trainer.format,
            schema=self.schema,
            lineage=Lineage(code=f"fairlead {__version__}", dependencies=dependencies()),
            params=parameters(self.trainer),
            description=reason,
        )

    def _registered(self, run: str, digest: str) -> Version | None:
        known = self.registry.versions(self.name) if self.name in self.registry.names() else ()
        for version in reversed(known):
            if version.lineage.run == run and version.digest == digest:
                return version
        return None


def saved(trainer: Trainer) -> bytes:
    """The file of a trainer, as bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model.{trainer.format}"
        trainer.save(path)
        return path.read_bytes()


def scores(schema: Schema, answers: Sequence[Answer], held: Examples) -> dict[str, float]:
    """How good answers to examples are that were never learnt from: accuracy and Brier score, or errors of a number."""
    if not len(held):
        return {}
    found, y = np.asarray(answers, dtype=np.float64), np.asarray(held.y)
    if schema.kind == "numeric":
        off = found - y
        return {"held": len(held), "mae": float(np.abs(off).mean()), "rmse": float(np.sqrt((off**2).mean()))}
    truth = np.zeros_like(found)
    truth[np.arange(len(y)), y] = 1.0
    brier = ((found - truth) ** 2).sum(axis=1) / (2.0 if schema.kind == "binary" else 1.0)
    return {"held": len(held), "accuracy": float((found.argmax(axis=1) == y).mean()), "brier": float(brier.mean())}
