"""Trainers so small that a job is all about the job. The process of a job imports this file by its name."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import json
import os
import resource
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np

from fairlead.lifecycle import Epoch, Examples, Schema, TrainingError, quiet


class Line:
    """Logistic regression by stochastic gradient descent, one shuffled pass an epoch: it goes on from checkpoints."""

    format = "json"

    def __init__(self, epochs: int = 4, rate: float = 0.1) -> None:
        self.epochs = epochs
        self.rate = rate
        self.schema: Schema | None = None
        self.weights = np.zeros(0)
        self._under_way: dict[str, Any] | None = None
        self._restored: dict[str, Any] | None = None

    def params(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if isinstance(value, (int, float, str))}

    def fresh(self) -> Line:
        return type(self)(**{k: v for k, v in self.params().items() if not k.startswith("_")})

    def fit(self, examples: Examples, *, seed: int = 0, report: Any = quiet) -> None:
        if self._restored is None:
            self.weights = np.zeros(examples.x.shape[1] + 1)
        self._learn(examples, seed, report)

    def partial_fit(self, examples: Examples, *, seed: int = 0, report: Any = quiet) -> None:
        if not len(self.weights):
            self.weights = np.zeros(examples.x.shape[1] + 1)
        self._learn(examples, seed, report)

    def _learn(self, examples: Examples, seed: int, report: Any) -> None:
        self.schema = examples.schema
        rng = np.random.default_rng(seed)
        first = 1
        if self._restored is not None:
            rng.bit_generator.state = self._restored["rng"]
            first, self._restored = self._restored["epoch"] + 1, None
        rows = np.column_stack([examples.x, np.ones(len(examples))])
        for number in range(first, self.epochs + 1):
            loss = 0.0
            for i in rng.permutation(len(rows)):
                p = 1.0 / (1.0 + np.exp(-rows[i] @ self.weights))
                loss -= np.log(max(p if examples.y[i] else 1.0 - p, 1e-15))
                self.weights = self.weights + self.rate * (examples.y[i] - p) * rows[i]
            self._under_way = {"epoch": number, "rng": rng.bit_generator.state}
            loss = self.after(number, float(loss / len(rows)))
            report(Epoch(number, self.epochs, loss))
        self._under_way = None

    def after(self, number: int, loss: float) -> float:
        """What goes wrong in those below."""
        return loss

    def predict(self, x: Any) -> np.ndarray:
        p = 1.0 / (1.0 + np.exp(-(np.column_stack([x, np.ones(len(x))]) @ self.weights)))
        return np.column_stack([1.0 - p, p])

    def save(self, path: Any) -> None:
        Path(path).write_text(json.dumps(self.weights.tolist()))

    def load(self, path: Any) -> None:
        self.weights = np.array(json.loads(Path(path).read_text()))

    def checkpoint(self, path: Any) -> None:
        if self._under_way is None:
            raise TrainingError("no training is under way")
        Path(path).write_text(json.dumps({"weights": self.weights.tolist(), **self._under_way}))

    def restore(self, path: Any) -> None:
        found = json.loads(Path(path).read_text())
        self.weights = np.array(found.pop("weights"))
        self._restored = found


class Gated(Line):
    """Waits at the end of an epoch until the file of that epoch is there: a test says when it goes on. It says by a
    file that it has come there."""

    def __init__(self, gate: str, epochs: int = 4, rate: float = 0.1) -> None:
        super().__init__(epochs, rate)
        self.gate = gate

    def after(self, number: int, loss: float) -> float:
        (Path(self.gate) / f"in-{number}").touch()
        while not (Path(self.gate) / str(number)).exists():
            time.sleep(0.002)
        return loss


class Broken(Line):
    """Breaks at an epoch in one of many ways."""

    def __init__(self, how: str, at: int = 2, epochs: int = 4, rate: float = 0.1) -> None:
        super().__init__(epochs, rate)
        self.how = how
        self.at = at

    def after(self, number: int, loss: float) -> float:
        return getattr(self, self.how)(loss) if number == self.at else loss

    def raises(self, loss: float) -> float:
        raise ValueError("these numbers cannot be learned")

    def nan(self, loss: float) -> float:
        return float("nan")

    def infinite(self, loss: float) -> float:
        return float("inf")

    def sleeps(self, loss: float) -> float:
        while True:
            time.sleep(60)

    def keeps_the_lock(self, loss: float) -> float:
        return sum(itertools.repeat(loss))  # for ever, and no other thread of Python runs

    def burns(self, loss: float) -> float:
        while True:
            pass

    def grows(self, loss: float) -> float:
        self.held = []
        while True:
            self.held.append(np.ones(1 << 20))
            time.sleep(0.001)

    def asks_much(self, loss: float) -> float:
        return float(np.ones(1 << 33)[0])

    def kills_itself(self, loss: float) -> float:
        os.kill(os.getpid(), signal.SIGKILL)
        return loss

    def crashes(self, loss: float) -> float:
        ctypes.string_at(0)
        return loss

    def leaves(self, loss: float) -> float:
        os._exit(3)

    def exits(self, loss: float) -> float:
        raise SystemExit(4)

    def tells(self, loss: float) -> float:
        limits = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_CPU, resource.RLIMIT_CORE)]
        cpus, nice = sorted(os.sched_getaffinity(0)), os.nice(0)
        print(f"cpus={cpus} nice={nice} cpu_s={limits[0]} core={limits[1]} hash={os.environ['PYTHONHASHSEED']}")
        return loss

    def weights_of_nan(self, loss: float) -> float:
        self.weights = self.weights * np.nan
        return loss


class Full(Line):
    """Finds no room on the disk: at the checkpoint of epoch 2, or for the artifact. `litter`: a file that takes what
    room is left, and stays."""

    def __init__(self, where: str, litter: str = "", epochs: int = 4, rate: float = 0.1) -> None:
        super().__init__(epochs, rate)
        self.where = where
        self.litter = litter

    def checkpoint(self, path: Any) -> None:
        if self.where == "checkpoint" and self._under_way["epoch"] == 2:
            self._fill(path)
        super().checkpoint(path)

    def save(self, path: Any) -> None:
        if self.where == "artifact":
            self._fill(path)
        if self.where == "hidden":  # as writers in other languages have it
            raise RuntimeError("I/O error: No space left on device (os error 28)")
        super().save(path)

    def _fill(self, path: Any) -> None:
        if self.litter:
            with contextlib.suppress(OSError):
                Path(self.litter).write_bytes(b"x" * (1 << 22))
            with contextlib.suppress(OSError), Path(self.litter).open("ab", buffering=0) as file:
                while True:  # the last bytes of it
                    file.write(b"x")
        else:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        Path(path).write_bytes(b"x" * (1 << 22))


class Anew(Broken):
    """One that cannot go on from a checkpoint, and breaks at its third epoch."""

    checkpoint = None
    restore = None

    def __init__(self, name: str = "", how: str = "raises", at: int = 3, epochs: int = 4, rate: float = 0.1) -> None:
        super().__init__(how, at, epochs, rate)
        self.name = name


class Twice(Line):
    """Tells of its first epoch twice, and takes no notice of what the report raises."""

    def _learn(self, examples: Examples, seed: int, report: Any) -> None:
        def twice(epoch: Epoch) -> None:
            report(epoch)
            with contextlib.suppress(Exception):
                report(epoch)

        super()._learn(examples, seed, twice)


class Worsening(Line):
    """Its validation gets worse after its good epochs."""

    def __init__(self, good: int = 3, epochs: int = 4, rate: float = 0.1) -> None:
        super().__init__(epochs, rate)
        self.good = good

    def after(self, number: int, loss: float) -> float:
        if number > self.good:
            self.weights = self.weights - 5.0
        return loss


class GatedWorsening(Gated):
    """Both."""

    def after(self, number: int, loss: float) -> float:
        self.weights = self.weights - (5.0 if number > 3 else 0.0)
        return super().after(number, loss)
