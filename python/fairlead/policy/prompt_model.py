"""How good each model will be on a prompt, from labels: `LinearPromptModel` and `NearestPromptModel`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar, runtime_checkable

from fairlead._core import LinearPromptModel as _LinearCore
from fairlead._core import NearestPromptModel as _NearestCore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

__all__ = ["LinearPromptModel", "NearestPromptModel", "PromptModel", "load_prompt_model"]

_PENALTIES = [128.0, 64.0, 32.0, 16.0, 8.0, 4.0, 2.0, 1.0, 0.5]
_NEIGHBOURS = [10, 20, 40, 80, 160]
_SHRINKS = [0.0, 1.0, 2.0, 4.0, 8.0, 16.0]
_FEATURES = "1"
_Self = TypeVar("_Self", bound="_Saved")


@runtime_checkable
class PromptModel(Protocol):
    """What predicts the quality of models from a text: `LinearPromptModel`, `NearestPromptModel`, or your own."""

    @property
    def models(self) -> tuple[str, ...]:
        """The names of the models."""

    @property
    def weight(self) -> tuple[float, ...]:
        """How many results of a slice a prediction is worth, for each model."""

    def predict(self, text: str, /) -> NDArray[np.float64]:
        """The quality that each model is expected to have on a text, in [0, 1]: (models,)."""

    def predict_many(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """The same for many texts: (texts, models)."""


class _Saved:
    """Files: safetensors, and beside them the card (JSON). The arrays are kept until they are asked for."""

    _kind: ClassVar[str]
    _arrays: dict[str, Any]
    card: dict[str, Any]

    @classmethod
    def _made(cls: type[_Self], models: tuple[str, ...], arrays: dict[str, Any], card: dict[str, Any]) -> _Self:
        raise NotImplementedError

    def to_bytes(self) -> bytes:
        """The bytes of its file."""
        from fairlead.policy.tensors_file import write_tensors

        metadata = {"fairlead": self._kind, "features": _FEATURES, "card": json.dumps(self.card)}
        return write_tensors(metadata, self._arrays)

    @classmethod
    def read(cls: type[_Self], data: bytes) -> _Self:
        """From the bytes that `to_bytes` returned. Raises ValueError, saying what is wrong, for others."""
        from fairlead.policy.tensors_file import read_tensors

        try:
            metadata, arrays = read_tensors(data)
            if metadata.get("fairlead") != cls._kind:
                raise ValueError(f"metadata fairlead is {metadata.get('fairlead')!r}, must be {cls._kind!r}")
            if metadata.get("features") != _FEATURES:
                raise ValueError(f"metadata features is {metadata.get('features')!r}, this version reads {_FEATURES!r}")
            card = json.loads(metadata.get("card", ""))
            if not isinstance(card, dict) or not isinstance(card.get("models"), list):
                raise ValueError("its card names no models")
            return cls._made(tuple(card["models"]), arrays, card)
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"no prompt model: {str(error).removeprefix('no prompt model: ')}") from None

    def save(self, path: str | PathLike[str]) -> None:
        """Writes the file that `load` reads (safetensors), and beside it its card (.json) for people."""
        path = Path(path)
        path.write_bytes(self.to_bytes())
        path.with_suffix(".json").write_text(json.dumps(self.card, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls: type[_Self], path: str | PathLike[str]) -> _Self:
        """From a file that `save` wrote; its card is in it too. Raises ValueError for a file that is damaged or holds
        another kind of model, OSError if it cannot be read."""
        return cls.read(Path(path).read_bytes())

    def __reduce__(self) -> tuple[Any, tuple[bytes]]:
        return type(self).read, (self.to_bytes(),)


class LinearPromptModel(_Saved, _LinearCore):
    """How good each model will be on a text, by ridge regression on hashed words: a microsecond for 200 bytes.

    Features are those of `TaskClassifier` without the shape: words, pairs of neighbours, beginnings, first and last
    token, each counted once, weighted by inverse document frequency. What all models have in common on a text and how
    they differ there are fitted apart. See ``fairlead/prompt_model.hpp``. Objects never change.

    >>> texts = ["prove the lemma", "prove the theorem", "who wrote this book", "who wrote this song"] * 5
    >>> quality = [[0, 1], [0, 1], [1, 1], [1, 1]] * 5
    >>> model = LinearPromptModel.fit(texts, quality, ["small", "large"])
    >>> small, large = model.predict("prove the claim")
    >>> bool(small < 0.5 < large)
    True
    >>> [worth > 0 for worth in model.weight]  # `large` is always right: nothing to explain
    [True, False]

    card: how it was made and how much of the variance of each model's quality it `explained` on texts held out.
    """

    _kind = "linear_prompt_model"

    @classmethod
    def fit(
        cls,
        texts: Sequence[str],
        quality: ArrayLike,
        models: Sequence[str],
        *,
        bits: int = 16,
        penalty: float | None = None,
        folds: int = 5,
    ) -> LinearPromptModel:
        """Fitted to the quality of each of M models on each of n texts.

        quality: (n, M) in [0, 1], NaN where a model was not asked. models: their names. bits: 2**bits rows of weights,
        from 8 to 18. penalty: of squared weights; chosen on held-out folds where it is None, one for what the models
        have in common and one for how they differ. folds: how many (0 or 1: none; then `explained` is 0, and so is
        `weight`).

        Takes about a second for 4,000 texts and two models and grows with texts times models. Of more than 10,000 texts
        fewer folds are held out (from 25,000 on, one): a minute and 320 MB for 100,000 texts of 50 words. Memory is
        about (folds x (models + 1)) x 50 bytes a text. Deterministic: the same texts give the same bytes.

        Raises ValueError for lengths that differ, a quality outside [0, 1], a model without a label, or an option
        outside its range.
        """
        if folds < 0 or folds > 100:
            raise ValueError(f"folds is {folds!r}, outside [0, 100]")
        penalties = _PENALTIES if penalty is None else [penalty]
        names, labels = _checked(quality, models)
        found = _LinearCore.fitted(texts, labels, bits=_count("bits", bits), penalties=penalties, folds=folds)
        level, difference = found.pop("penalties")
        card = _card(cls._kind, names, labels, found, bits=bits, penalty_level=level, penalty_difference=difference)
        return cls._made(names, found, card)

    @classmethod
    def _made(cls, models: tuple[str, ...], arrays: dict[str, Any], card: dict[str, Any]) -> LinearPromptModel:
        _exactly(arrays, ("idf", "weights", "mean", "explained"))
        made = cls.__new__(cls)
        _LinearCore.__init__(made, models, **arrays)
        made._arrays, made.card = arrays, card
        return made

    def __repr__(self) -> str:
        return f"LinearPromptModel(models={list(self.models)})"


class NearestPromptModel(_Saved, _NearestCore):
    """How good each model will be on a text, by how good it was on the most similar ones (kNN by cosine).

    The features are those of `LinearPromptModel`. The k neighbours weigh by their similarity; the mean of a model
    counts as much as a similarity of `shrink`. Time grows with the number of texts: 20 µs for 1,500 and
    200 bytes, .8 ms for 100,000 and 50 words.

    >>> texts = ["prove the lemma", "prove the theorem", "who wrote this book", "who wrote this song"] * 5
    >>> model = NearestPromptModel.fit(texts, [[0, 1], [0, 1], [1, 1], [1, 1]] * 5, ["small", "large"])
    >>> model.predict("prove the claim").round(1).tolist()
    [0.0, 1.0]

    Objects never change, so threads may share one.
    """

    _kind = "nearest_prompt_model"

    @classmethod
    def fit(
        cls,
        texts: Sequence[str],
        quality: ArrayLike,
        models: Sequence[str],
        *,
        bits: int = 16,
        neighbours: int | None = None,
        shrink: float | None = None,
    ) -> NearestPromptModel:
        """Fitted to the quality of each of M models on each of n texts.

        quality, models, bits: as `LinearPromptModel.fit`. neighbours: k, from 1 to 256; shrink: how much similarity the
        mean counts as. Where they are None, they are chosen by leaving out each text (2,000 of them, if there are
        more). Keeps 4 bytes a distinct feature of a text, about 600 for a text of 400 bytes. Raises as there.
        """
        names, labels = _checked(quality, models)
        found = _NearestCore.fitted(
            texts,
            labels,
            bits=_count("bits", bits),
            neighbours=_NEIGHBOURS if neighbours is None else [_count("neighbours", neighbours)],
            shrinks=_SHRINKS if shrink is None else [shrink],
        )
        options = {"neighbours": found.pop("neighbours"), "shrink": found.pop("shrink")}
        return cls._made(names, found, _card(cls._kind, names, labels, found, bits=bits, **options))

    @classmethod
    def _made(cls, models: tuple[str, ...], arrays: dict[str, Any], card: dict[str, Any]) -> NearestPromptModel:
        _exactly(arrays, ("idf", "starts", "rows", "quality", "mean", "explained"))
        options = card.get("options")
        if not isinstance(options, dict) or not {"neighbours", "shrink"} <= options.keys():
            raise ValueError("its card has no options")
        made = cls.__new__(cls)
        _NearestCore.__init__(
            made, models, **arrays, neighbours=_count("neighbours", options["neighbours"]), shrink=options["shrink"]
        )
        made._arrays, made.card = arrays, card
        return made

    def __repr__(self) -> str:
        return f"NearestPromptModel(models={list(self.models)}, texts={self._arrays['quality'].shape[0]})"


def load_prompt_model(path: str | PathLike[str]) -> LinearPromptModel | NearestPromptModel:
    """Whichever model of the prompt `save` wrote there. Raises ValueError for a file that holds none."""
    data = Path(path).read_bytes()
    kind = NearestPromptModel if b"nearest_prompt_model" in data[: 1 << 10] else LinearPromptModel
    return kind.read(data)


def _count(name: str, value: int) -> int:
    if type(value) is not int or not 0 <= value < 2**31:
        raise ValueError(f"{name} is {value!r}, must be a whole number from 0")
    return value


def _checked(quality: ArrayLike, models: Sequence[str]) -> tuple[tuple[str, ...], Any]:
    import numpy as np

    labels = np.asarray(quality)
    if isinstance(models, str):
        raise TypeError("models is one str, must be a sequence of them")
    if labels.ndim != 2 or labels.shape[1] != len(models):
        raise ValueError(f"quality has shape {labels.shape}, must be (texts, {len(models)}) for {len(models)} models")
    return tuple(models), labels


def _exactly(arrays: dict[str, Any], names: tuple[str, ...]) -> None:
    if set(arrays) != set(names):
        raise ValueError(f"it has the tensors {sorted(arrays)}, must have {sorted(names)}")


def _card(kind: str, models: tuple[str, ...], labels: Any, found: dict[str, Any], **options: float) -> dict[str, Any]:
    import numpy as np

    counts = (~np.isnan(labels.astype(float))).sum(axis=0)
    return {
        "kind": kind,
        "models": list(models),
        "texts": int(labels.shape[0]),
        "labels": [int(n) for n in counts],
        "options": options,
        "explained": [round(float(x), 6) for x in found["explained"]],
    }
