"""Any `torch.nn.Module` as a trainer. Saved as safetensors; checkpoints from which training goes on bit for bit."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from typing import Any, Literal, cast

import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle.examples import Examples
from fairlead.lifecycle.failures import SchemaError, Stopped, TrainingError
from fairlead.lifecycle.schema import Schema
from fairlead.lifecycle.trainer import PathLike, Report, quiet
from fairlead.lifecycle.trainers import torch_loop as loop
from fairlead.lifecycle.trainers.base import (
    Replay,
    check_count,
    check_fit,
    check_number,
    check_seed,
    fitted,
    probabilities,
    read_file,
    write_file,
)
from fairlead.lifecycle.trainers.tensor_files import facts_of, metadata
from fairlead.lifecycle.trainers.torch_loop import Keep, Plan, Run, Settings

Factory = Callable[..., nn.Module]
_AT_ONCE = 1024  # examples predicted together


def mlp(schema: Schema, hidden: Sequence[int] = (64, 32), dropout: float = 0.0) -> nn.Module:
    """A perceptron with these hidden layers, and as many outputs as there are classes (1 of a number).

    >>> mlp(Schema("binary", ["a", "b"]), hidden=[8])
    Sequential(
      (0): Linear(in_features=2, out_features=8, bias=True)
      (1): ReLU()
      (2): Linear(in_features=8, out_features=2, bias=True)
    )
    """
    layers: list[nn.Module] = []
    width = schema.width
    for size in hidden:
        layers += [nn.Linear(width, size), nn.ReLU(), *([nn.Dropout(dropout)] if dropout else [])]
        width = size
    return nn.Sequential(*layers, nn.Linear(width, schema.classes or 1))


@dataclass(frozen=True, slots=True)
class Learned:
    """What training leaves: the module, the scales of its inputs (and of a number's target), kept examples."""

    schema: Schema
    module: nn.Module
    scales: Mapping[str, NDArray[np.float64]]
    kept: Replay


class TorchTrainer:
    """Trains a `torch.nn.Module`.

    module: a function that makes it from the Schema (and `options`), or where that stands, "package.module:function";
    or a module itself: `fit` then begins with the weights that it has now. It gives a score (logit) for each class,
    (n, classes), where of a binary kind one may do, (n, 1); or a number, (n, 1). `mlp` by default.

    epochs, batch, optimizer ("adamw", "adam", "sgd", ... of torch.optim), lr, weight_decay, optimizer_options: as ever.
    class_weights: "balanced", or one for each label. clip: the most that the norm of a gradient may be; 0: no limit.
    standardise: whether inputs (and numbers to predict) are scaled by mean and standard deviation of the examples of
    `fit`; these are kept with the weights, and are not changed by `partial_fit`. A missing value becomes the mean.
    keep: what `partial_fit` does so as not to forget. device: of torch. threads: of torch, during a training.

    Early stopping: a report that raises Stopped. The same examples, seed and parameters give the same bytes on the
    same kind of machine: training runs with torch's deterministic algorithms, on `threads` threads; what is global is
    set back afterwards. Trainings in several threads of a process take turns, an epoch each. Only random numbers that
    other threads take from torch's global generator meanwhile would disturb it.

    >>> examples = Examples(Schema("binary", ["a"]), [[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
    >>> trainer = TorchTrainer(mlp, {"hidden": [8]}, epochs=60, lr=0.05)
    >>> trainer.fit(examples, seed=1)
    >>> trainer.predict([[0.0], [3.0]]).argmax(axis=1).tolist()
    [0, 1]
    """

    format = "safetensors"
    _name = "torch"

    def __init__(
        self,
        module: Factory | nn.Module | str = mlp,
        options: Mapping[str, Any] | None = None,
        *,
        epochs: int = 20,
        batch: int = 64,
        optimizer: str = "adamw",
        lr: float = 1e-3,
        weight_decay: float = 1e-2,
        optimizer_options: Mapping[str, Any] | None = None,
        class_weights: Literal["balanced"] | Sequence[float] | None = None,
        clip: float = 1.0,
        standardise: bool = True,
        keep: Keep = Keep(),  # noqa: B008 - frozen
        device: str = "cpu",
        threads: int = 1,
    ) -> None:
        if not (isinstance(module, (nn.Module, str)) or callable(module)):
            raise InvalidRecordError(f"module is {module!r}, must be a module, a function that makes one, or its name")
        if isinstance(module, str):
            _imported(module)  # now, rather than in another process
        if isinstance(module, nn.Module):
            if options:
                raise InvalidRecordError(f"options is {options!r}, but the module is made already")
            module = copy.deepcopy(module)
        self._module = module
        self._options = dict(options or {})
        if class_weights is not None and not isinstance(class_weights, str):
            class_weights = tuple(check_number(w, f"class_weights[{i}]") for i, w in enumerate(class_weights))
        elif class_weights not in (None, "balanced"):
            raise InvalidRecordError(
                f'class_weights is {class_weights!r}, must be "balanced" or a number for each label'
            )
        if not isinstance(keep, Keep):
            raise InvalidRecordError(f"keep is {keep!r}, must be a Keep")
        self._plan = Plan(
            epochs=check_count(epochs, "epochs", 1),
            batch=check_count(batch, "batch", 1),
            optimizer=(named := loop.optimizer_name(optimizer)),
            lr=check_number(lr, "lr", above=True),
            weight_decay=check_number(weight_decay, "weight_decay"),
            optimizer_options=loop.optimizer_options(named, optimizer_options or {}),
            class_weights=cast("Any", class_weights),
            clip=check_number(clip, "clip"),
            keep=keep,
            device=_device(device),
            threads=check_count(threads, "threads", 1),
        )
        self._standardise = bool(standardise)
        self._learned: Learned | None = None
        self._run: Run | None = None
        self._resume: tuple[dict[str, Any], dict[str, Tensor]] | None = None

    # What a trainer of another kind of input does otherwise.

    def _build(self, schema: Schema) -> nn.Module:
        """An untrained module."""
        if isinstance(self._module, nn.Module):
            return copy.deepcopy(self._module)
        made = (_imported(self._module) if isinstance(self._module, str) else self._module)(schema, **self._options)
        if not isinstance(made, nn.Module):
            raise TrainingError(f"the factory made a {type(made).__name__}, must make a torch.nn.Module")
        return made

    def _scales(self, examples: Examples) -> dict[str, NDArray[np.float64]]:
        """By what inputs and targets are scaled, by name."""
        out = {}
        if not examples.schema.text:
            mean, scale = loop.moments(cast("Any", examples.x)) if self._standardise else loop.no_moments(examples)
            out = {"input.mean": mean, "input.scale": scale}
        if examples.schema.kind == "numeric":
            y = examples.y.astype(np.float64)[:, None]
            mean, scale = loop.moments(y) if self._standardise else (np.zeros(1), np.ones(1))
            out |= {"target.mean": mean, "target.scale": scale}
        return out

    def _inputs(self, x: Any, schema: Schema, scales: Mapping[str, NDArray[np.float64]]) -> tuple[Tensor, ...]:
        """What the module takes, for all of x."""
        if schema.text:
            raise SchemaError("the inputs are texts: give a trainer that reads them, as TextTrainer")
        scaled = (np.asarray(x) - scales["input.mean"]) / scales["input.scale"]
        return (torch.from_numpy(np.nan_to_num(scaled, nan=0.0).astype(np.float32)),)

    def _saved(self, module: nn.Module) -> dict[str, Tensor]:
        """The weights that a file holds."""
        return dict(module.state_dict())

    def _facts(self) -> dict[str, Any]:
        """What a file says besides, and must say where it is loaded."""
        return {}

    # The protocol.

    @property
    def schema(self) -> Schema | None:
        """Of the examples that it was fitted to."""
        return None if self._learned is None else self._learned.schema

    @property
    def module(self) -> nn.Module:
        """The trained module. Raises TrainingError where there is none."""
        fitted(self.schema)
        return cast("Learned", self._learned).module

    def fresh(self) -> TorchTrainer:
        """An untrained one with the same parameters."""
        other = copy.copy(self)
        other._learned = other._run = other._resume = None
        return other

    def params(self) -> dict[str, Any]:
        """For the card."""
        named = self._module if isinstance(self._module, str) else getattr(self._module, "__qualname__", None)
        named = named or type(self._module).__qualname__
        return {"trainer": self._name, "module": named, "options": self._options, "standardise": self._standardise} | {
            **asdict(self._plan)
        }

    def fit(self, examples: Examples, *, seed: int = 0, report: Report = quiet) -> None:
        """Learns from these examples alone."""
        check_fit(examples)
        plan = replace(self._plan, keep=None)
        kept = Replay(self._plan.keep.replay if self._plan.keep else 0)
        kept.add(examples, check_seed(seed))
        with Settings(plan, seed) as own:
            module = self._build(examples.schema)
            learned = Learned(examples.schema, module, self._scales(examples), kept)
            self._train(own, learned, examples, None, plan, seed, report)

    def partial_fit(self, examples: Examples, *, seed: int = 0, report: Report = quiet) -> None:
        """Learns from these too, and keeps what it knows as `keep` says. Of one that was never fitted, it is `fit`."""
        if self._learned is None and not (self._resume and self._resume[0]["mode"] == "partial_fit"):
            return self.fit(examples, seed=seed, report=report)
        if self._resume and self._learned is None:
            raise TrainingError("the checkpoint is of a partial_fit: load the weights that it began with first")
        before = cast("Learned", self._learned)
        check_fit(examples, least=1, schema=before.schema)
        kept = before.kept.copy()
        replayed = kept.examples(before.schema) if len(kept) else None
        kept.add(examples, check_seed(seed))
        with Settings(self._plan, seed) as own:
            learned = Learned(before.schema, copy.deepcopy(before.module), before.scales, kept)
            self._train(own, learned, examples, replayed, self._plan, seed, report)

    def predict(self, x: Any) -> NDArray[np.float64]:
        """Probabilities of shape (n, classes), or numbers (n,)."""
        schema = fitted(self.schema)
        learned = cast("Learned", self._learned)
        checked = schema.check_x(x)
        if len(checked) == 0:
            return np.empty((0, schema.classes) if schema.classes else 0)
        with torch.inference_mode():
            inputs = self._inputs(checked, schema, learned.scales)
            parts = [
                learned.module(*(part.to(self._plan.device) for part in parts))
                for parts in zip(*(torch.split(whole, _AT_ONCE) for whole in inputs), strict=True)
            ]
            said = loop.scores(torch.cat(parts), schema).double()
            if schema.kind == "numeric":
                out = said.cpu().numpy() * learned.scales["target.scale"] + learned.scales["target.mean"]
            else:
                out = torch.softmax(said, dim=1).cpu().numpy()
        return probabilities(schema, out)

    def save(self, path: PathLike) -> None:
        """A file of safetensors: weights, scales, and the examples that are kept."""
        schema = fitted(self.schema)
        learned = cast("Learned", self._learned)
        tensors = {f"model.{name}": value for name, value in self._saved(learned.module).items()}
        tensors |= _tensors({**learned.scales, **learned.kept.arrays(schema)})
        facts = {"trainer": self._name, "schema": schema.to_dict(), "seen": learned.kept.seen, **self._facts()}
        write_file(path, _bytes(tensors, facts))

    def load(self, path: PathLike) -> None:
        """The state that `save` wrote. Raises TrainingError for a file that is none, SchemaError where its weights are
        not those of this module."""
        data = read_file(path)
        facts = facts_of(data, str(path), self._name)
        tensors = _read(data, str(path))
        for name, value in self._facts().items():
            if facts.get(name) != value:
                raise SchemaError(f"{path}: its {name} is {facts.get(name)!r}, must be {value!r}")
        try:
            schema = Schema.from_dict(facts["schema"])
            arrays = {name: t.numpy() for name, t in tensors.items() if not name.startswith("model.")}
            kept = Replay.of(self._plan.keep.replay if self._plan.keep else 0, int(facts["seen"]), arrays, schema)
            scales = {name: array for name, array in arrays.items() if not name.startswith("replay.")}
        except (KeyError, TypeError, ValueError) as error:
            raise TrainingError(f"{path} is not as a trainer saves it: {error}") from error
        with Settings(self._plan, 0):
            module = self._build(schema)
            self._put(module, {k[6:]: t for k, t in tensors.items() if k.startswith("model.")}, str(path))
        self._learned = Learned(schema, module.to(self._plan.device).eval(), scales, kept)

    # Going on in another process.

    def checkpoint(self, path: PathLike) -> None:
        """All that the rest of a training needs. Called from a report."""
        if self._run is None:
            raise TrainingError("no training is under way: a checkpoint is made from a report")
        tensors, facts = self._run.state()
        write_file(path, _bytes(tensors, {"trainer": f"{self._name} checkpoint", **facts, **self._facts()}))

    def restore(self, path: PathLike) -> None:
        """Takes a checkpoint: the next training goes on after its epoch."""
        data = read_file(path)
        facts = facts_of(data, str(path), f"{self._name} checkpoint")
        self._resume = facts, _read(data, str(path))

    def _train(
        self,
        own: Settings,
        learned: Learned,
        examples: Examples,
        replayed: Examples | None,
        plan: Plan,
        seed: int,
        report: Report,
    ) -> None:
        before, resume = self._learned, self._resume
        self._resume = None
        facts = {
            "mode": "fit" if plan.keep is None else "partial_fit",
            "seed": seed,
            "examples": examples.fingerprint,
            "replayed": replayed.fingerprint if replayed is not None else "",
        }
        run = Run(own, plan, learned.schema, learned.module, facts)

        def encode(some: Examples) -> tuple[tuple[Tensor, ...], Tensor]:
            return self._inputs(some.x, some.schema, learned.scales), loop.targets(some, learned.scales)

        try:
            run.prepare(encode(examples), None if replayed is None else encode(replayed))
            if resume is not None:
                _check_resumed(resume[0], facts)
                run.go_on(*resume)
            self._run = run
            if run.epoch:  # before the first epoch that is left
                self._learned = learned
            for epoch in run.epochs():
                self._learned = learned
                with own.others():
                    report(epoch)
        except Stopped:
            raise
        except BaseException:
            self._learned = before
            raise
        finally:
            self._run = None

    def _put(self, module: nn.Module, weights: dict[str, Tensor], where: str) -> None:
        have = self._saved(module)
        differ = [
            *(f"{name!r} is missing" for name in have if name not in weights),
            *(f"{name!r} is unknown" for name in weights if name not in have),
            *(
                f"{name!r} has shape {tuple(weights[name].shape)}, must be {tuple(have[name].shape)}"
                for name in have
                if name in weights and weights[name].shape != have[name].shape
            ),
        ]
        if differ:
            more = f" and {len(differ) - 3} more" if len(differ) > 3 else ""
            raise SchemaError(f"{where} holds weights of another module: {', '.join(differ[:3])}{more}")
        module.load_state_dict(weights, strict=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_run": None}


def _check_resumed(then: dict[str, Any], now: dict[str, Any]) -> None:
    for name, value in now.items():
        if then.get(name) != value:
            what = {"examples": "other examples", "replayed": "other kept examples"}.get(name, f"another {name}")
            raise TrainingError(f"the checkpoint is of a training with {what}: {then.get(name)!r}, now {value!r}")


def _imported(name: str) -> Factory:
    module, _, attribute = name.partition(":")
    try:
        found: Any = import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidRecordError(f'module is {name!r}, must be "package.module:function": {error}') from error
    if not callable(found):
        raise InvalidRecordError(f"module is {name!r}, which cannot be called")
    return cast("Factory", found)


def _device(given: object) -> str:
    try:
        return str(torch.device(given))  # type: ignore[call-overload]
    except (RuntimeError, TypeError) as error:
        raise InvalidRecordError(f"device is {given!r}, which torch does not know: {error}") from None


def _tensors(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}


def _bytes(tensors: dict[str, Tensor], facts: dict[str, Any]) -> bytes:
    # Cloned, as weights may be shared between layers, or be parts of a larger array.
    plain = {name: tensors[name].detach().cpu().contiguous().clone() for name in sorted(tensors)}
    return safetensors.torch.save(plain, metadata=metadata(facts))


def _read(data: bytes, where: str) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(data)
    except safetensors.SafetensorError as error:
        raise TrainingError(f"{where} is no file of safetensors: {error}") from error
