"""Managed models of a fleet: they answer as others do, learn from outcomes, and are retrained, proved and promoted.

What a managed model is stands in `fairlead.lifecycle.pipeline`. Here is how it sits in a fleet: `predict` and `ask` ask
it, `settle` tells it what came true, the fleet's journal has its events, and `watch` lets all of them go on unattended.
"""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from fairlead.errors import FairleadError, InvalidRecordError, UnknownModelError, did_you_mean
from fairlead.fleet import checks
from fairlead.fleet.unattended import Watching
from fairlead.types import Forecast, Model, Task

if TYPE_CHECKING:
    from fairlead._core import Fleet as CoreFleet
    from fairlead.journal import Journal
    from fairlead.lifecycle import Schema, Trainer
    from fairlead.lifecycle.pipeline import ManagedModel, Prediction, RetrainingPipeline, Step
    from fairlead.lifecycle.registry import Registry

Made = TypeVar("Made", bound="ManagedModel")
Features = Callable[[Task], Any]
_MOST_OPEN = 100_000


class ManagedFleet:
    """The part of the façade that `Fleet` inherits."""

    _core: CoreFleet
    _journal: Journal | None
    _clock: Callable[[], int]
    _settle_core: Callable[..., int]
    _managing: Managing | None

    def _start_managing(self) -> None:
        self._managing = None
        self._settle_core = self._core.settle

    @overload
    def manage(
        self,
        name: str,
        trainer: Trainer,
        *,
        registry: Registry | str | os.PathLike[str] | None = None,
        features: Features | None = None,
        model: Model | None = None,
        threads: int = 0,
        make: None = None,
        **options: Any,
    ) -> RetrainingPipeline: ...

    @overload
    def manage(
        self,
        name: str,
        trainer: Trainer,
        *,
        registry: Registry | str | os.PathLike[str] | None = None,
        features: Features | None = None,
        model: Model | None = None,
        threads: int = 0,
        make: Callable[..., Made],
        **options: Any,
    ) -> Made: ...

    def manage(
        self,
        name: str,
        trainer: Trainer,
        *,
        registry: Registry | str | os.PathLike[str] | None = None,
        features: Features | None = None,
        model: Model | None = None,
        threads: int = 0,
        make: Callable[..., Any] | None = None,
        **options: Any,
    ) -> Any:
        """Manages a model: it answers what the fleet is asked, learns from what comes true, and is retrained when it
        drifts; a new version answers once it is proved. `fleet.watch()` lets it go on by itself.

        name: of the model in the fleet, which is added if it is not there, and in the registry. trainer: what learns
        (`fairlead.lifecycle.trainers` has adapters); one that was fitted is the first version. registry: an
        `fl.Registry` or its folder; on a desk that is `registry` in its folder if not given. features: what the model
        is given of a task; without it the text, where the schema is of texts. `fleet.predict(task, x)` needs none.
        model: its record in the fleet. threads: in which `fleet.ask` calls it, as `CallableProvider` has them; 0: where
        it is asked. make: what makes the managed model, of (name, trainer, registry) and options: a
        `RetrainingPipeline`, whose champion answers alone, if not given; `fl.lifecycle.pooled`, whose versions answer
        together, for streams that drift. options: as of what makes it: monitor, trigger, plan, watch, guardrails,
        policy, schema, jobs. Jobs train in processes of their own, in `jobs` in the registry's folder, if none are
        given.

        On a desk everything is an event of the journal; a fleet that is opened again, and told to manage the same
        model, goes on where the last one was: with a training that its death cut short too.

        Raises InvalidRecordError for what cannot be, as for a name that the fleet manages already, and what
        `RetrainingPipeline` raises.

        >>> import tempfile
        >>> from sklearn.linear_model import LogisticRegression
        >>> from fairlead import Examples, Fleet, Schema
        >>> from fairlead.lifecycle.trainers import SklearnTrainer
        >>> trainer = SklearnTrainer(LogisticRegression())
        >>> trainer.fit(Examples(Schema("binary", ["load"]), [[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1]))
        >>> desk = tempfile.TemporaryDirectory()
        >>> with Fleet.open(desk.name) as fleet:
        ...     demand = fleet.manage("demand", trainer)
        ...     forecast = fleet.predict(Task("q-17"), [2.5])
        ...     decided = fleet.decide("q-17").answer == forecast.p
        ...     fleet.settle("q-17", 1)
        ...     print(decided, demand.version, len(demand.examples()))
        True
        True 1 1
        >>> desk.cleanup()
        """
        if self._managing is None:
            self._managing = Managing(self)
            self._settle_core = self._managing.settle
        return self._managing.add(name, trainer, registry, features, model, threads, make, options)

    def predict(self, task: Task, x: Any = None, *, model: str | None = None) -> Forecast:
        """What a managed model says to a task, recorded as its forecast.

        x: a row of numbers (or a mapping by name), or a text; without it what `features` of `manage` makes of the task.
        model: which, where the fleet manages several.

        Raises UnknownModelError where there is none of that name, InvalidRecordError for an input that is not of the
        schema, NoChampionError before the first version, TaskEndedError, and what the model raises.
        """
        if self._managing is None:
            raise UnknownModelError("the fleet manages no model: fleet.manage(name, trainer)")
        return self._managing.predict(task, x, model)

    @property
    def managed(self) -> Mapping[str, ManagedModel]:
        """The managed models, by name."""
        return MappingProxyType({}) if self._managing is None else self._managing.pipelines

    def watch(self, every: float | str | timedelta = "1s") -> Watching:
        """Lets all managed models go on by themselves, those that come later too: in a thread, until `stop()` of what
        this returns, or until the fleet is closed or gone; also with `with`.

        every: seconds, a span such as "500ms", or a timedelta. What goes wrong with one of them is a RuntimeWarning, an
        alert in the journal, and its `status().problem`; the others go on, and so does it with the next round.
        """
        if self._managing is None:
            self._managing = Managing(self)
            self._settle_core = self._managing.settle
        return self._managing.watch(every)

    def _end_managing(self) -> None:
        if self._managing is not None:
            self._managing.close()


class Managing:
    """The managed models of one fleet."""

    def __init__(self, fleet: Any) -> None:
        self._fleet = weakref.ref(fleet)
        self._core: CoreFleet = fleet._core
        self._clock: Callable[[], int] = fleet._clock
        self._journal: Journal | None = fleet._journal
        self._by_name: dict[str, ManagedModel] = {}
        self._features: dict[str, Features | None] = {}
        self._open: dict[str, tuple[ManagedModel, ...]] = {}
        """Who waits for the outcome of a task."""
        self._order = threading.Lock()  # outcomes are told in the order of the journal
        self._jobs: dict[Path, Any] = {}
        self._complaints: dict[str, str] = {}  # what was told already
        self._watching: list[weakref.ref[Watching]] = []
        self.pipelines: Mapping[str, ManagedModel] = MappingProxyType(self._by_name)

    def add(
        self,
        name: str,
        trainer: Trainer,
        registry: Registry | str | os.PathLike[str] | None,
        features: Features | None,
        model: Model | None,
        threads: int,
        make: Callable[..., ManagedModel] | None,
        options: dict[str, Any],
    ) -> ManagedModel:
        from fairlead.providers import CallableProvider

        fleet = self._here()
        checks.name(name, "name")
        if name in self._by_name:
            raise InvalidRecordError(f"name is {name!r}, which the fleet manages already")
        if model is not None and getattr(model, "name", None) != name:
            raise InvalidRecordError(f"model is {model!r}, must be a Model of the name {name!r}")
        if features is not None and not callable(features):
            raise InvalidRecordError(f"features is {features!r}, must be a function of a task")
        for taken in ("log", "clock"):
            if taken in options:
                raise InvalidRecordError(f"{taken} is given, but that is the fleet's")
        if make is None:
            from fairlead.lifecycle.pipeline import RetrainingPipeline

            make = RetrainingPipeline
        elif not callable(make):
            raise InvalidRecordError(f"make is {make!r}, must make a managed model, as fl.lifecycle.pooled does")
        place = self._registry(registry)
        jobs = options.pop("jobs", None) or self._own_jobs(place.folder / "jobs")
        if self._journal is not None:
            options = {"log": self._journal, **options}
        pipeline = make(name, trainer, place, jobs=jobs, clock=self._clock, **options)
        if features is None and pipeline.schema.text:
            features = _text
        known = {one.name for one in fleet.models}
        if model is not None or name not in known:
            fleet.add(model if model is not None else Model(name))
        ask = _answerer(weakref.ref(self), name)
        fleet.connect(name, CallableProvider(ask, threads=threads))
        self._features[name] = features
        for task in pipeline.waiting():
            self._wait(task, pipeline)
        self._by_name[name] = pipeline
        return pipeline

    def predict(self, task: Task, x: Any, model: str | None) -> Forecast:
        if not isinstance(task, Task):
            raise InvalidRecordError(f"task is {task!r}, must be a Task")
        if model is None and len(self._by_name) != 1:
            raise InvalidRecordError(
                f"model is None, but the fleet manages {', '.join(self._by_name) or 'none'}: say which"
            )
        name = next(iter(self._by_name)) if model is None else model
        fleet = self._here()
        fleet._refuse_ended(task.id)
        prediction, schema = self.answer(name, task, x)
        forecast = Forecast(name, latency_ms=prediction.latency_ms, **_said(prediction, schema))
        fleet.record(task, forecast)
        return forecast

    def answer(self, name: str, task: Task, x: Any = None) -> tuple[Prediction, Schema]:
        """What a managed model says, without a record of it."""
        pipeline = self._by_name.get(name)
        if pipeline is None:
            raise UnknownModelError(
                f"model is {name!r}, which the fleet does not manage{did_you_mean(name, self._by_name)}"
            )
        if x is None:
            features = self._features[name]
            if features is None:
                raise InvalidRecordError(
                    f"x is None, and {name!r} has no features of a task: give fleet.predict(task, x), or "
                    "fleet.manage(..., features=...)"
                )
            x = features(task)
        schema = pipeline.schema
        if task.kind != schema.kind or (task.kind == "categorical" and set(task.labels) != set(schema.labels)):
            raise InvalidRecordError(f"task {task.id!r} is {task.kind} {task.labels or ''}, {name!r} answers: {schema}")
        self._wait(task.id, pipeline)
        slices = dict(task.slices)
        for dimension in ("category", "regime"):
            if value := getattr(task, dimension):
                slices[dimension] = value
        return pipeline.predict(x, task.id, task.time, slices or None), schema

    def settle(self, task: str, value: Any, time: int, profit: float | None, clock: Any) -> int:
        """As `settle` of the core, which it calls; whoever waits for this outcome is told."""
        if task not in self._open:
            return self._core.settle(task, value, time, profit, clock)
        with self._order:
            found = self._core.task(task)
            status = self._core.settle(task, value, time, profit, clock)
            waiting = self._open.pop(task, ()) if status == 0 else ()
            if waiting and found is not None:
                whole = Task(*found[0])
                seq = self._journal.accepted if self._journal is not None else 0
                for pipeline in waiting:
                    pipeline.settled(task, whole.kind, whole.labels, value, time, seq)
        return status

    def watch(self, every: float | str | timedelta) -> Watching:
        self._watching = [ref for ref in self._watching if (one := ref()) is not None and one.running]
        watching = Watching(self, every)
        self._watching.append(weakref.ref(watching))
        return watching.start()

    def step(self) -> tuple[Step, ...]:
        """One round of all. What goes wrong with one is told, and stops no other."""
        taken: list[Step] = []
        for name, pipeline in tuple(self._by_name.items()):
            try:
                taken.extend(pipeline.step())
                self._complaints.pop(name, None)
            except Exception as error:
                text = f"{type(error).__name__}: {error}"
                if self._complaints.get(name) != text:
                    self._complaints[name] = text
                    self._complain(name, text)
        return tuple(taken)

    @property
    def gone(self) -> bool:
        return self._fleet() is None

    def close(self) -> None:
        for ref in self._watching:
            if (watching := ref()) is not None:
                watching.stop()
        self._watching = []
        for jobs in self._jobs.values():
            jobs.close()
        self._jobs = {}
        for pipeline in self._by_name.values():
            pipeline.close()

    def _complain(self, name: str, text: str) -> None:
        if self._journal is not None:
            data = {"kind": "pipeline", "name": "pipeline", "severity": "warning", "message": text, "status": "raised"}
            with contextlib.suppress(FairleadError):
                self._journal.append("alert", data, model=name, time=self._clock())
        with contextlib.suppress(Warning):
            warnings.warn(f"the managed model {name!r} could not go on: {text}", RuntimeWarning, stacklevel=3)

    def _wait(self, task: str, pipeline: ManagedModel) -> None:
        waiting = self._open.get(task, ())
        if pipeline not in waiting:
            self._open[task] = (*waiting, pipeline)
            if len(self._open) > _MOST_OPEN:
                with contextlib.suppress(KeyError, StopIteration, RuntimeError):
                    del self._open[next(iter(self._open))]

    def _registry(self, given: Any) -> Registry:
        from fairlead.lifecycle.registry import Registry

        if isinstance(given, Registry):
            return given
        if given is None:
            if self._journal is None:
                raise InvalidRecordError("registry is None, but a fleet in memory has no folder for one: give it")
            given = Path(self._journal.folder) / "registry"
        if not isinstance(given, (str, os.PathLike)):
            raise InvalidRecordError(f"registry is {given!r}, must be a Registry or its folder")
        return Registry(given, log=self._journal, clock=self._clock)

    def _own_jobs(self, folder: Path) -> Any:
        from fairlead.lifecycle.jobs import TrainingJobs

        if folder not in self._jobs:
            jobs = TrainingJobs(folder, self._journal, clock=self._clock)
            jobs.recover()
            self._jobs[folder] = jobs
        return self._jobs[folder]

    def _here(self) -> Any:
        fleet = self._fleet()
        if fleet is None:
            raise FairleadError("the fleet is gone")
        return fleet


def _text(task: Task) -> str:
    return task.text


def _answerer(managing: weakref.ref[Managing], name: str) -> Callable[[Task], Mapping[str, Any]]:
    """What `fleet.ask` calls."""

    def answer(task: Task) -> Mapping[str, Any]:
        here = managing()
        if here is None:
            raise FairleadError("the fleet is gone")
        prediction, schema = here.answer(name, task)
        return _said(prediction, schema)

    answer.__qualname__ = f"managed.{name}"
    return answer


def _said(prediction: Prediction, schema: Schema) -> dict[str, Any]:
    """As fields of a Forecast. Probabilities of classes by name: a task may have another order of labels."""
    if schema.kind == "numeric":
        return {"value": prediction.value}
    if schema.kind == "binary":
        return {"p": min(max(prediction.answer[1], 0.0), 1.0)}  # type: ignore[index]
    p: Sequence[float] = prediction.answer  # type: ignore[assignment]
    return {"p": dict(zip(schema.labels, p, strict=True))}
