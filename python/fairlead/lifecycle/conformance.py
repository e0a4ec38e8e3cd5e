"""What every trainer must keep to, as a function that tries it: for trainers of one's own."""

from __future__ import annotations

import hashlib
import multiprocessing
import pickle
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fairlead.errors import FairleadError, InvalidRecordError
from fairlead.lifecycle.examples import Examples
from fairlead.lifecycle.failures import LifecycleError, SchemaError, Stopped, TooFewExamplesError
from fairlead.lifecycle.schema import Schema
from fairlead.lifecycle.trainer import Epoch, Report, Resumable, Trainer, quiet

_FORMATS = ("safetensors", "skops", "onnx", "json")
_SEED = 7


class TrainerFault(FairleadError):
    """What a trainer does that none may do."""


def check_trainer(trainer: Trainer, examples: Examples, *, process: bool = True) -> None:
    """Tries a trainer on these examples, and raises TrainerFault with the first rule that it breaks. It returns where
    it keeps to all:

    - unfitted it says so; fitted it gives finite probabilities whose rows sum to 1 (or numbers), one for each input;
    - the same examples and seed give the same file, again, after another training, and in another process (process);
    - what was saved and loaded predicts the same and is saved the same; no file is a pickle;
    - a file that is none is refused with a LifecycleError, and changes nothing; so are examples of another schema, one
      class alone, and a column too few;
    - `partial_fit` goes on, the same way each time, and after a load as before;
    - epochs are reported from 1 in order; asking it, saving it or being slow in a report changes nothing; Stopped ends
      the training, and what was learned is there;
    - a Resumable that was stopped goes on from its checkpoint and ends in the same bytes;
    - it crosses to another process; it changes neither the examples nor random states that are global.

    examples: about 50 or more, that can be learned from in a moment. The trainer itself is not fitted. process: a
    program calls it under `if __name__ == "__main__":`, as of all that begins processes.

    >>> from fairlead.lifecycle import Schema
    >>> from fairlead.lifecycle.trainers import SklearnTrainer
    >>> from sklearn.naive_bayes import GaussianNB
    >>> examples = Examples(Schema("binary", ["a"]), [[n % 10] for n in range(60)], [n % 10 > 4 for n in range(60)])
    >>> check_trainer(SklearnTrainer(GaussianNB()), examples, process=False)
    """
    if missing := [name for name in _MEMBERS if not hasattr(trainer, name)]:
        raise InvalidRecordError(f"trainer is {trainer!r}, which lacks {', '.join(missing)}")
    given: Any = examples
    if not isinstance(given, Examples) or len(given) < 10:
        raise InvalidRecordError(f"examples is {examples!r}, must be 10 Examples or more")
    if trainer.format not in _FORMATS:
        raise TrainerFault(f"its format is {trainer.format!r}, must be one of {', '.join(_FORMATS)}")
    fingerprint, chance = examples.fingerprint, _chance()
    with tempfile.TemporaryDirectory() as folder:
        _Check(trainer, examples, Path(folder)).all()
        if process:
            _check_elsewhere(trainer, examples, Path(folder))
    if Examples(examples.schema, list(examples.x), examples.y).fingerprint != fingerprint:
        raise TrainerFault("it changes the examples that it is given")
    if _chance() != chance:
        raise TrainerFault("it changes the random state of random, numpy or torch, which others use")


_MEMBERS = ("format", "schema", "fresh", "fit", "partial_fit", "predict", "save", "load")


class _Check:
    def __init__(self, trainer: Trainer, examples: Examples, folder: Path) -> None:
        self.trainer, self.examples, self.folder = trainer, examples, folder
        self.bytes = b""
        self.said: Any = None

    def all(self) -> None:
        self.unfitted()
        self.fitted()
        self.again()
        self.loaded()
        self.refusals()
        self.reports()
        self.goes_on()
        if isinstance(self.trainer, Resumable):
            self.resumed()
        self.crosses()

    def fresh(self) -> Trainer:
        made = self.trainer.fresh()
        if made is self.trainer or made.schema is not None:
            raise TrainerFault("fresh() must give another trainer, that knows nothing")
        return made

    def file(self, trainer: Trainer) -> bytes:
        path = self.folder / "model"
        trainer.save(path)
        data = path.read_bytes()
        others = sorted(p.name for p in self.folder.iterdir() if p != path)
        if others:
            raise TrainerFault(f"save leaves more than its file behind: {', '.join(others)}")
        path.unlink()
        return data

    def unfitted(self) -> None:
        made = self.fresh()
        _refused(lambda: made.predict(self.examples.x[:1]), LifecycleError, "it predicts before it was fitted")
        _refused(lambda: made.save(self.folder / "none"), LifecycleError, "it is saved before it was fitted")
        (self.folder / "none").unlink(missing_ok=True)

    def fitted(self) -> None:
        made = self.fresh()
        made.fit(self.examples, seed=_SEED)
        schema = self.examples.schema
        if made.schema is None or schema.differences(made.schema):
            raise TrainerFault(f"fitted, its schema is {made.schema}, must be {schema}")
        self.said = _answers(made, self.examples)
        if len(_predict(made, self.examples[:0].x)) != 0:
            raise TrainerFault("it predicts something of no inputs")
        self.bytes = self.file(made)
        pickled = self.bytes[:1] == b"\x80" and self.bytes[1:2] <= b"\x05" and self.bytes[-1:] == b"."
        if pickled or (self.bytes[:2] == b"PK" and b".pkl" in self.bytes):
            raise TrainerFault("its file looks like a pickle, which runs code when it is read")

    def again(self) -> None:
        made = self.fresh()
        half = self.examples[: max(2, len(self.examples) // 2)]
        if len(set(half.y.tolist())) > 1:
            made.fit(half, seed=_SEED + 1)
        made.fit(self.examples, seed=_SEED)
        if self.file(made) != self.bytes:
            raise TrainerFault("the same examples and seed give another file: fit must begin from nothing, by the seed")

    def loaded(self) -> None:
        made = self._load()
        if made.schema is None or self.examples.schema.differences(made.schema):
            raise TrainerFault(f"loaded, its schema is {made.schema}, must be {self.examples.schema}")
        if not np.array_equal(_answers(made, self.examples), self.said):
            raise TrainerFault("loaded, it predicts something else")
        if self.file(made) != self.bytes:
            raise TrainerFault("loaded and saved again, it is another file")

    def refusals(self) -> None:
        made, bad = self._load(), self.folder / "bad"
        for what, data in (
            ("nothing", b""),
            ("junk", b"junk" * 50),
            ("a cut file", self.bytes[: len(self.bytes) // 2]),
        ):
            bad.write_bytes(data)
            _refused(lambda: made.load(bad), LifecycleError, f"it loads {what}")
        bad.unlink()
        _refused(lambda: made.load(bad), (LifecycleError, OSError), "it loads a file that is not there")
        schema = self.examples.schema
        if not schema.text:
            other = Schema(schema.kind, [*schema.features, "one more"], _labels(schema), missing=schema.missing)
            wide = Examples(other, np.column_stack([self.examples.x, np.zeros(len(self.examples))]), self.examples.y)
            _refused(lambda: made.partial_fit(wide), SchemaError, "partial_fit takes examples of another schema")
            _refused(lambda: made.predict(wide.x), FairleadError, "it predicts of inputs with a column too many")
        if schema.kind != "numeric":
            one = self.examples[self.examples.y == self.examples.y[0]]
            _refused(lambda: self.fresh().fit(one), TooFewExamplesError, "fit takes examples of one class alone")
        _refused(lambda: made.fit(self.examples[:0]), TooFewExamplesError, "fit takes no examples at all")
        if self.file(made) != self.bytes:
            raise TrainerFault("what it refused has changed it")

    def reports(self) -> None:
        epochs: list[Epoch] = []
        made = self.fresh()

        def busy(epoch: Epoch) -> None:
            epochs.append(epoch)
            random.random()
            np.random.random()
            if (torch := sys.modules.get("torch")) is not None:
                torch.rand(3)
            _answers(made, self.examples)
            self.file(made)

        with _chance_kept():
            made.fit(self.examples, seed=_SEED, report=busy)
        if [epoch.number for epoch in epochs] != list(range(1, len(epochs) + 1)) or not epochs:
            raise TrainerFault(f"epochs are reported as {[e.number for e in epochs]}, must be 1, 2, ...")
        if any(epoch.of not in (None, len(epochs)) for epoch in epochs):
            raise TrainerFault(f"{len(epochs)} epochs are reported, as of {epochs[0].of}")
        if any(epoch.loss is not None and not np.isfinite(epoch.loss) for epoch in epochs):
            raise TrainerFault("a loss that is no finite number is reported: it must raise NanLossError")
        if self.file(made) != self.bytes:
            raise TrainerFault("predicting and saving in a report changes what follows")
        self.stopped()

    def stopped(self) -> None:
        made = self.fresh()
        ran = 0

        def stop(epoch: Epoch) -> None:
            nonlocal ran
            ran += 1
            raise Stopped("enough")

        _refused(lambda: made.fit(self.examples, seed=_SEED, report=stop), Stopped, "Stopped does not come through")
        if ran != 1:
            raise TrainerFault("it goes on after Stopped")
        _answers(made, self.examples)

    def goes_on(self) -> None:
        files = []
        for way in ("loaded", "fitted"):
            made = self._load() if way == "loaded" else self.fresh()
            if way == "fitted":
                made.fit(self.examples, seed=_SEED)
            made.partial_fit(self.examples.last(10), seed=_SEED)
            _answers(made, self.examples)
            if made.schema is None or self.examples.schema.differences(made.schema):
                raise TrainerFault("partial_fit changes its schema")
            files.append(self.file(made))
        if files[0] != files[1]:
            raise TrainerFault("partial_fit of what was loaded gives another file than of what was fitted")
        made = self.fresh()
        made.partial_fit(self.examples, seed=_SEED)
        if self.file(made) != self.bytes:
            raise TrainerFault("partial_fit of one that was never fitted gives another file than fit")

    def resumed(self) -> None:
        path = self.folder / "checkpoint"
        made: Any = self.fresh()

        def stop(epoch: Epoch) -> None:
            made.checkpoint(path)
            if epoch.of is None or epoch.number >= max(1, epoch.of // 2):
                raise Stopped("enough")

        _refused(lambda: made.fit(self.examples, seed=_SEED, report=stop), Stopped, "Stopped does not come through")
        other: Any = self.fresh()
        other.restore(path)
        path.unlink()
        other.fit(self.examples, seed=_SEED)
        if self.file(other) != self.bytes:
            raise TrainerFault("resumed from a checkpoint, it ends in another file than uninterrupted")

    def crosses(self) -> None:
        try:
            made = pickle.loads(pickle.dumps(self.fresh()))
        except Exception as error:
            raise TrainerFault(f"it cannot cross to another process: {error}") from error
        made.fit(self.examples, seed=_SEED)
        if self.file(made) != self.bytes:
            raise TrainerFault("having crossed to another process, it gives another file")

    def _load(self) -> Trainer:
        made, path = self.fresh(), self.folder / "loaded"
        path.write_bytes(self.bytes)
        made.load(path)
        path.unlink()
        return made


def trained(trainer: Trainer, examples: Examples, seed: int, path: str, report: Report = quiet) -> str:
    """Fits a trainer, saves it, and gives the SHA-256 of the file: what two processes must agree on."""
    trainer.fit(examples, seed=seed, report=report)
    trainer.save(path)
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _check_elsewhere(trainer: Trainer, examples: Examples, folder: Path) -> None:
    here = trained(trainer.fresh(), examples, _SEED, str(folder / "here"))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = pool.apply(trained, (trainer.fresh(), examples, _SEED, str(folder / "there")))
    if here != there:
        raise TrainerFault("in another process, the same examples and seed give another file")


def _predict(trainer: Trainer, x: Any) -> Any:
    return trainer.predict(x)


def _answers(trainer: Trainer, examples: Examples) -> Any:
    schema = examples.schema
    said = _predict(trainer, examples.x)
    shape = (len(examples), schema.classes) if schema.classes else (len(examples),)
    if not isinstance(said, np.ndarray) or said.shape != shape:
        raise TrainerFault(f"it predicts a {getattr(said, 'shape', type(said).__name__)}, must be {shape}")
    if not np.isfinite(said).all():
        raise TrainerFault("it predicts what is no finite number")
    if schema.classes and ((said < 0).any() or np.abs(said.sum(axis=1) - 1.0).max() > 1e-6):
        raise TrainerFault("it predicts probabilities that are negative or do not sum to 1")
    return said


def _refused(call: Callable[[], Any], errors: type[Exception] | tuple[type[Exception], ...], fault: str) -> None:
    try:
        call()
    except errors:
        return
    except Exception as error:
        raise TrainerFault(f"{fault}, or raises {type(error).__name__} rather than what it must: {error}") from error
    raise TrainerFault(fault)


def _labels(schema: Schema) -> tuple[str, ...]:
    return schema.labels if schema.kind == "categorical" else ()


def _chance() -> tuple[Any, ...]:
    state = np.random.get_state()
    torch = sys.modules.get("torch")
    own = b"" if torch is None else torch.get_rng_state().numpy().tobytes()
    return random.getstate(), state[1].tobytes(), state[2], own  # type: ignore[index]


class _chance_kept:
    """Sets random states back: what the check itself takes from them is not the trainer's."""

    def __enter__(self) -> None:
        torch = sys.modules.get("torch")
        self.before = random.getstate(), np.random.get_state(), None if torch is None else torch.get_rng_state()

    def __exit__(self, *_: object) -> None:
        random.setstate(self.before[0])
        np.random.set_state(self.before[1])
        if self.before[2] is not None:
            sys.modules["torch"].set_rng_state(self.before[2])
