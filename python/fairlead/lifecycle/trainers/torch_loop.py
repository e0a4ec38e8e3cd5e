"""The training loop of torch modules: one run, epoch by epoch, whose state can be written down between two epochs.

Incremental training: experience replay (each batch of new examples beside one of old ones, as Chaudhry et al., "On Tiny
Episodic Memories", 2019), and a pull towards the old weights, as strong as each mattered: L2-SP (Li et al., ICML 2018),
weighted by the diagonal of the Fisher information (elastic weight consolidation, Kirkpatrick et al., PNAS 2017).
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from fairlead.errors import InvalidRecordError, did_you_mean
from fairlead.lifecycle.examples import Examples
from fairlead.lifecycle.failures import NanLossError, TrainingError
from fairlead.lifecycle.schema import Schema
from fairlead.lifecycle.trainer import Epoch
from fairlead.lifecycle.trainers.base import alone, check_count, check_number, finite

Data = tuple[tuple[Tensor, ...], Tensor]
_FISHER = 128  # examples by which it is told how much each weight mattered


@dataclass(frozen=True, slots=True)
class Keep:
    """What incremental training does so as not to forget.

    replay: of how many examples a fair sample is kept, and learned again beside the new ones; share: how much of the
    loss is theirs, in [0, 1). pull: how strongly weights are drawn to what they were; fisher: the more, the more a
    weight mattered for the kept examples (else all alike). epochs: of an incremental training; None: as of a full one.

    >>> Keep(replay=0, pull=0.0)  # nothing
    Keep(replay=0, share=0.5, pull=0.0, fisher=True, epochs=None)
    """

    replay: int = 2000
    share: float = 0.5
    pull: float = 0.1
    fisher: bool = True
    epochs: int | None = None

    def __post_init__(self) -> None:
        check_count(self.replay, "replay")
        check_number(self.pull, "pull")
        if check_number(self.share, "share") >= 1.0:
            raise InvalidRecordError(f"share is {self.share!r}, must be in [0, 1)")
        if self.epochs is not None:
            check_count(self.epochs, "epochs", 1)


@dataclass(frozen=True, slots=True)
class Plan:
    """How to train. keep: None where there is nothing to keep."""

    epochs: int
    batch: int
    optimizer: str
    lr: float
    weight_decay: float
    optimizer_options: dict[str, Any]
    class_weights: Literal["balanced"] | tuple[float, ...] | None
    clip: float
    keep: Keep | None
    device: str
    threads: int


@dataclass(slots=True)
class Run:
    """One training, under its settings. facts: what it is a training of, written into its checkpoints."""

    settings: Settings
    plan: Plan
    schema: Schema
    module: nn.Module
    facts: dict[str, Any]
    epoch: int = 0
    new: Data | None = None
    old: Data | None = None
    optimizer: torch.optim.Optimizer | None = None
    order: torch.Generator = field(default_factory=torch.Generator)
    anchor: dict[str, Tensor] = field(default_factory=dict)
    fisher: dict[str, Tensor] = field(default_factory=dict)
    weights: Tensor | None = None

    @property
    def of(self) -> int:
        """How many epochs there will be."""
        keep = self.plan.keep
        return self.plan.epochs if keep is None or keep.epochs is None else keep.epochs

    def prepare(self, new: Data, old: Data | None) -> None:
        """Everything before the first epoch."""
        plan, device = self.plan, self.plan.device
        self.module.to(device)
        self.new = _to(new, device)
        self.old = None if old is None or plan.keep is None or plan.keep.share == 0.0 else _to(old, device)
        self.weights = self._class_weights(self.new[1])
        self.order.manual_seed(self.facts["seed"])
        # What is drawn to its old weights is not drawn to zero as well.
        pulled = plan.keep is not None and plan.keep.pull > 0.0
        decay = 0.0 if pulled else plan.weight_decay
        made = getattr(torch.optim, plan.optimizer)
        learns = [p for p in self.module.parameters() if p.requires_grad]
        if not learns:
            raise TrainingError("the module has no weight that can be trained")
        self.optimizer = made(learns, lr=plan.lr, weight_decay=decay, **plan.optimizer_options)
        if pulled and plan.keep is not None:
            self.anchor = {n: p.detach().clone() for n, p in self.module.named_parameters() if p.requires_grad}
            if plan.keep.fisher and old is not None:
                self.fisher = self._fisher(_to(old, device))

    def epochs(self) -> Iterator[Epoch]:
        """The epochs that are left. Between two, the module is in evaluation mode."""
        while self.epoch < self.of:
            self.module.train()
            loss = self._pass()
            self.module.eval()
            self.epoch += 1
            finite(loss, self.epoch, _HINT)
            if not all(bool(torch.isfinite(p).all()) for p in self.module.parameters()):
                raise NanLossError(f"a weight is no finite number after epoch {self.epoch}: {_HINT}")
            yield Epoch(self.epoch, self.of, loss)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What the rest of the training needs, as tensors and plain facts."""
        optimizer = cast("torch.optim.Optimizer", self.optimizer).state_dict()
        tensors = {f"model.{name}": value for name, value in self.module.state_dict().items()}
        tensors |= {f"anchor.{name}": value for name, value in self.anchor.items()}
        tensors |= {f"fisher.{name}": value for name, value in self.fisher.items()}
        plain: dict[str, dict[str, Any]] = {}
        for number, values in optimizer["state"].items():
            for name, value in values.items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer.{number}.{name}"] = value
                else:
                    plain.setdefault(str(number), {})[name] = value
        tensors["random.order"] = self.order.get_state()
        tensors["random.torch"], of_device = self.settings.random()
        if of_device is not None:
            tensors["random.device"] = of_device
        return tensors, {**self.facts, "epoch": self.epoch, "groups": optimizer["param_groups"], "plain": plain}

    def go_on(self, facts: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """Takes the state of a checkpoint. Raises TrainingError where it is of another module."""
        state: dict[int, dict[str, Any]] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimizer."):
                _, number, key = name.split(".", 2)
                state.setdefault(int(number), {})[key] = tensor
        for number, values in facts["plain"].items():
            state.setdefault(int(number), {}).update(values)
        groups = [{k: tuple(v) if k == "betas" else v for k, v in group.items()} for group in facts["groups"]]
        try:
            self.module.load_state_dict(_part(tensors, "model."))
            cast("torch.optim.Optimizer", self.optimizer).load_state_dict({"state": state, "param_groups": groups})
        except (KeyError, RuntimeError, ValueError) as error:
            raise TrainingError(f"the checkpoint is of another module or optimizer: {error}") from error
        device = self.plan.device
        self.anchor = {name: t.to(device) for name, t in _part(tensors, "anchor.").items()}
        self.fisher = {name: t.to(device) for name, t in _part(tensors, "fisher.").items()}
        self.order.set_state(tensors["random.order"])
        torch.set_rng_state(tensors["random.torch"])
        if device != "cpu":
            torch.cuda.set_rng_state(tensors["random.device"], device)
        self.module.eval()
        self.epoch = int(facts["epoch"])

    def _pass(self) -> float:
        """One epoch; its mean loss on the new examples."""
        inputs, y = cast("Data", self.new)
        total, n = 0.0, len(y)
        optimizer = cast("torch.optim.Optimizer", self.optimizer)
        for places in _batches(torch.randperm(n, generator=self.order), self.plan.batch):
            loss = self._loss(inputs, y, places)
            value = float(loss.detach())
            finite(value, self.epoch + 1, _HINT)
            total += value * len(places)
            loss = self._and_kept(loss, len(places))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            if self.plan.clip:
                nn.utils.clip_grad_norm_(self.module.parameters(), self.plan.clip)
            optimizer.step()
        return total / n

    def _loss(self, inputs: tuple[Tensor, ...], y: Tensor, places: Tensor) -> Tensor:
        places = places.to(y.device)
        said = scores(self.module(*(part[places] for part in inputs)), self.schema)
        if self.schema.kind == "numeric":
            return functional.mse_loss(said, y[places])
        if self.weights is None:
            return functional.cross_entropy(said, y[places])
        # Over the number of examples: over the sum of their weights, a batch without the rare class would count more.
        return (functional.cross_entropy(said, y[places], reduction="none") * self.weights[y[places]]).mean()

    def _and_kept(self, loss: Tensor, size: int) -> Tensor:
        """The loss, and that of forgetting."""
        keep = self.plan.keep
        if keep is None:
            return loss
        if self.old is not None:
            inputs, y = self.old
            places = torch.randint(len(y), (size,), generator=self.order)
            loss = (1.0 - keep.share) * loss + keep.share * self._loss(inputs, y, places)
        for name, weight in self.module.named_parameters():
            if name in self.anchor:
                moved = (weight - self.anchor[name]) ** 2
                loss = loss + 0.5 * keep.pull * (self.fisher[name] * moved if self.fisher else moved).sum()
        return loss

    def _fisher(self, old: Data) -> dict[str, Tensor]:
        """How much each weight matters for old examples: its mean squared gradient, one on average."""
        inputs, y = old
        self.module.eval()
        squares = {name: torch.zeros_like(weight) for name, weight in self.anchor.items()}
        learns = {n: p for n, p in self.module.named_parameters() if n in squares}
        for at in torch.randperm(len(y), generator=self.order)[:_FISHER]:
            found = torch.autograd.grad(self._loss(inputs, y, at[None]), list(learns.values()), allow_unused=True)
            for name, gradient in zip(learns, found, strict=True):
                if gradient is not None:
                    squares[name] += gradient**2
        total = sum(float(s.sum()) for s in squares.values())
        count = sum(s.numel() for s in squares.values())
        if not total > 0.0:
            return {}
        return {name: s * (count / total) for name, s in squares.items()}

    def _class_weights(self, y: Tensor) -> Tensor | None:
        wanted = self.plan.class_weights
        if wanted is None or self.schema.kind == "numeric":
            return None
        if isinstance(wanted, str):
            counts = torch.bincount(y, minlength=self.schema.classes).float()
            return torch.where(
                counts > 0, len(y) / (counts.clamp(min=1) * (counts > 0).sum()), torch.zeros_like(counts)
            )
        if len(wanted) != self.schema.classes:
            raise TrainingError(f"class_weights has {len(wanted)} entries, the model has {self.schema.classes} classes")
        return torch.tensor(wanted, dtype=torch.float32, device=y.device)


_HINT = "a smaller lr, a lower clip, or a look at extreme inputs usually helps"


def optimizer_name(given: str) -> str:
    """The name of a class of torch.optim. Raises InvalidRecordError."""
    known = {
        name.lower(): name
        for name, thing in vars(torch.optim).items()
        if isinstance(thing, type) and issubclass(thing, torch.optim.Optimizer) and "weight_decay" in _options(thing)
    }
    if str(given).lower() not in known:
        hint = did_you_mean(str(given).lower(), known)
        raise InvalidRecordError(f"optimizer is {given!r}, must be one of torch.optim, as 'adamw' or 'sgd'{hint}")
    return known[str(given).lower()]


def optimizer_options(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a class of torch.optim, but for those that have a parameter of their own. Raises
    InvalidRecordError."""
    known = [option for option in _options(getattr(torch.optim, name)) if option not in ("lr", "weight_decay")]
    for option in given:
        if option not in known:
            hint = did_you_mean(str(option), known)
            raise InvalidRecordError(f"optimizer_options has {option!r}, must be of {', '.join(known)}{hint}")
    return dict(given)


def _options(kind: type) -> list[str]:
    return list(inspect.signature(kind).parameters)[1:]


def scores(out: Any, schema: Schema) -> Tensor:
    """What a module gives as (n, classes), or (n,) of a number. Raises TrainingError for anything else."""
    if not isinstance(out, Tensor):
        raise TrainingError(f"the module gives a {type(out).__name__}, must give a tensor")
    if schema.kind == "numeric":
        if out.ndim == 2 and out.shape[1] == 1:
            return out[:, 0]
        if out.ndim == 1:
            return out
    else:
        if schema.kind == "binary" and (out.ndim == 1 or (out.ndim == 2 and out.shape[1] == 1)):
            flat = out.reshape(-1)
            return torch.stack([torch.zeros_like(flat), flat], dim=1)
        if out.ndim == 2 and out.shape[1] == schema.classes:
            return out
    raise TrainingError(f"the module gives a tensor of shape {tuple(out.shape)}, must be (n, {schema.classes or 1})")


def targets(examples: Examples, scales: Mapping[str, NDArray[np.float64]]) -> Tensor:
    """The labels as a tensor: numbers of classes, or numbers scaled."""
    if examples.schema.kind != "numeric":
        return torch.from_numpy(np.array(examples.y, dtype=np.int64))
    scaled = (examples.y - scales["target.mean"]) / scales["target.scale"]
    return torch.from_numpy(scaled.astype(np.float32))


def moments(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each column, of what is not missing; 1 where a column is constant.

    >>> mean, scale = moments(np.array([[1.0, 5.0], [3.0, 5.0]]))
    >>> mean.tolist(), scale.tolist()
    ([2.0, 5.0], [1.0, 1.0])
    """
    there = ~np.isnan(x)
    count = np.maximum(there.sum(axis=0), 1)
    mean = np.where(there, x, 0.0).sum(axis=0) / count
    scale = np.sqrt((np.where(there, x - mean, 0.0) ** 2).sum(axis=0) / count)
    return mean, np.where(scale > 1e-12 * np.maximum(np.abs(mean), 1e-300), scale, 1.0)


def no_moments(examples: Examples) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Those that change nothing."""
    return np.zeros(examples.schema.width), np.ones(examples.schema.width)


class Settings:
    """While it is entered, torch is seeded, deterministic, and on a stated number of threads, for one training of this
    process at a time; afterwards all that is global is as it was."""

    under_way = 0
    before: tuple[int, bool, bool] = (1, False, False)
    """Number of threads and ways of working, as the first that is under way has found them."""

    def __init__(self, plan: Plan, seed: int) -> None:
        self._plan, self._seed = plan, seed
        self._turn = ExitStack()
        self._own: tuple[Tensor, Tensor | None] | None = None

    def __enter__(self) -> Settings:
        if self._plan.device != "cpu":  # read by cuBLAS when it is first used
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        self._begin()
        torch.manual_seed(self._seed)
        if Settings.under_way == 0:
            Settings.before = (
                torch.get_num_threads(),
                torch.are_deterministic_algorithms_enabled(),
                torch.is_deterministic_algorithms_warn_only_enabled(),
            )
        Settings.under_way += 1
        self._set()
        return self

    def __exit__(self, *_: object) -> None:
        Settings.under_way -= 1
        if Settings.under_way == 0:
            torch.set_num_threads(Settings.before[0])
            torch.use_deterministic_algorithms(Settings.before[1], warn_only=Settings.before[2])
        self._turn.close()

    @contextmanager
    def others(self) -> Iterator[None]:
        """Other trainings have their turn, as in a report, which may take as long as a pause does. Random states are as
        they were before."""
        self._own = own = self._random()
        self._turn.close()
        try:
            with torch.enable_grad():
                yield
        finally:
            self._begin()
            self._set()
            self._put(own)
            self._own = None

    def random(self) -> tuple[Tensor, Tensor | None]:
        """Random states of the training, of torch and of its device, also while others have their turn."""
        return self._own or self._random()

    def _begin(self) -> None:
        with ExitStack() as stack:
            stack.enter_context(alone())
            stack.callback(self._put, self._random())
            stack.enter_context(torch.enable_grad())
            self._turn = stack.pop_all()

    def _set(self) -> None:
        torch.use_deterministic_algorithms(True)
        torch.set_num_threads(self._plan.threads)

    def _random(self) -> tuple[Tensor, Tensor | None]:
        device = self._plan.device
        return torch.get_rng_state(), None if device == "cpu" else torch.cuda.get_rng_state(device)

    def _put(self, states: tuple[Tensor, Tensor | None]) -> None:
        torch.set_rng_state(states[0])
        if states[1] is not None:
            torch.cuda.set_rng_state(states[1], self._plan.device)


def _batches(order: Tensor, size: int) -> list[Tensor]:
    """Parts of an order; none of one example, with which a batch norm can do nothing."""
    parts = list(torch.split(order, size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _to(data: Data, device: str) -> Data:
    return tuple(part.to(device) for part in data[0]), data[1].to(device)
