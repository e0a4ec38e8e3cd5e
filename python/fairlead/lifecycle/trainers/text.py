"""A small classifier of texts: word pieces, a BERT encoder from a local folder, and one layer on top."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle.examples import Examples
from fairlead.lifecycle.failures import SchemaError
from fairlead.lifecycle.schema import Schema
from fairlead.lifecycle.trainers.base import check_count
from fairlead.lifecycle.trainers.bert import Encoder, Shape, digest, read_encoder, tiny_encoder
from fairlead.lifecycle.trainers.torch import TorchTrainer
from fairlead.lifecycle.trainers.torch_loop import Keep, moments
from fairlead.lifecycle.trainers.wordpiece import WordPieces

__all__ = ["TextTrainer", "tiny_encoder"]

Pool = Literal["mean", "cls"]
_AT_ONCE = 64  # texts encoded together


class _Classifier(nn.Module):
    """Encoder and head: what is trained where the encoder is."""

    def __init__(self, encoder: Encoder, head: nn.Module, pool: Pool) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.pool = pool

    def forward(self, ids: Tensor, there: Tensor) -> Tensor:
        return cast("Tensor", self.head(_pooled(self.encoder(ids, there), there, self.pool)))


class TextTrainer(TorchTrainer):
    """Trains a classifier of texts (headlines, say) on top of a BERT encoder, as FinBERT is one.

    folder: of the encoder, with `config.json`, `vocab.txt` (or `tokenizer.json`) and `model.safetensors`, as
    Hugging Face's folders have them; nothing is fetched. Without one at hand, `tiny_encoder` makes one.
    frozen: only the layer on top learns, from vectors that are made once: minutes become seconds. Otherwise all weights
    learn, from those of the folder; a smaller `lr` is then in place. length: word pieces of a text that are read.
    pool: what stands for a text, the mean of its vectors or that of its first piece ([CLS]). The rest is of
    TorchTrainer; lr is 0.01 where the encoder is frozen, else 5e-5, unless given.

    A file holds what was trained, and the SHA-256 of the encoder's folder: where it is loaded, that folder must be the
    same one. The schema has text=True. Raises InvalidRecordError for a folder that has no encoder of this kind.

    >>> import tempfile
    >>> from fairlead.lifecycle import Examples
    >>> texts = [f"{what} {how}" for what in ("profits", "sales", "orders") for how in ("rise", "fall")] * 5
    >>> there = tempfile.TemporaryDirectory()
    >>> trainer = TextTrainer(tiny_encoder(there.name, texts))
    >>> trainer.fit(Examples(Schema("binary", text=True), texts, [1, 0] * 15))
    >>> trainer.predict(["sales rise", "sales fall"]).argmax(axis=1).tolist()
    [1, 0]
    >>> there.cleanup()
    """

    _name = "text"

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        frozen: bool = True,
        length: int = 64,
        pool: Pool = "mean",
        dropout: float = 0.1,
        epochs: int = 20,
        batch: int = 32,
        optimizer: str = "adamw",
        lr: float | None = None,
        weight_decay: float = 1e-2,
        optimizer_options: Mapping[str, Any] | None = None,
        class_weights: Literal["balanced"] | Sequence[float] | None = None,
        clip: float = 1.0,
        keep: Keep = Keep(),  # noqa: B008 - frozen
        device: str = "cpu",
        threads: int = 1,
    ) -> None:
        if pool not in ("mean", "cls"):
            raise InvalidRecordError(f"pool is {pool!r}, must be 'mean' or 'cls'")
        self._folder = Path(folder).absolute()
        self._shape = Shape.read(self._folder)
        self._pieces = WordPieces.read(self._folder)
        if len(self._pieces) > self._shape.vocab_size:
            have = f"{len(self._pieces)} pieces, the encoder has {self._shape.vocab_size}"
            raise InvalidRecordError(f"{self._folder}: the vocabulary has {have}")
        self.frozen = bool(frozen)
        self._length = min(check_count(length, "length", 3), self._shape.max_position_embeddings)
        self._pool: Pool = pool
        self._dropout = dropout
        self._encoder: Encoder | None = None
        self._made: tuple[Any, Tensor] | None = None
        self._digest = ""
        super().__init__(
            _nothing,
            epochs=epochs,
            batch=batch,
            optimizer=optimizer,
            lr=(1e-2 if frozen else 5e-5) if lr is None else lr,
            weight_decay=weight_decay,
            optimizer_options=optimizer_options,
            class_weights=class_weights,
            clip=clip,
            standardise=True,
            keep=keep,
            device=device,
            threads=threads,
        )

    def params(self) -> dict[str, Any]:
        """For the card."""
        own = {"encoder": self.digest, "frozen": self.frozen, "length": self._length, "pool": self._pool}
        rest = {name: value for name, value in super().params().items() if name not in ("module", "options")}
        return {**rest, **own, "dropout": self._dropout}

    @property
    def digest(self) -> str:
        """SHA-256 of the encoder's files."""
        if not self._digest:
            self._digest = digest(self._folder)
        return self._digest

    def _facts(self) -> dict[str, Any]:
        return {"encoder": self.digest, "frozen": self.frozen, "pool": self._pool}

    def _build(self, schema: Schema) -> nn.Module:
        if not schema.text:
            raise SchemaError("the inputs are columns, this trainer reads texts: Schema(..., text=True)")
        head = nn.Sequential(nn.Dropout(self._dropout), nn.Linear(self._shape.hidden_size, schema.classes or 1))
        return head if self.frozen else _Classifier(read_encoder(self._folder), head, self._pool)

    def _scales(self, examples: Examples) -> dict[str, NDArray[np.float64]]:
        out = super()._scales(examples)
        if self.frozen:  # a layer on top learns many times faster from vectors that are scaled
            mean, scale = moments(self._vectors(examples.x).double().cpu().numpy())
            out |= {"input.mean": mean, "input.scale": scale}
        return out

    def _inputs(self, x: Any, schema: Schema, scales: Mapping[str, NDArray[np.float64]]) -> tuple[Tensor, ...]:
        if not self.frozen:
            ids, there = self._pieces.numbers(x, self._length)
            return torch.from_numpy(ids), torch.from_numpy(there)
        mean, scale = (torch.from_numpy(scales[name]) for name in ("input.mean", "input.scale"))
        return (((self._vectors(x).cpu().double() - mean) / scale).float(),)

    def _vectors(self, x: Any) -> Tensor:
        """What the frozen encoder makes of texts. The newest ones are kept: a fit asks for them twice."""
        if self._made is not None and self._made[0] is x:
            return self._made[1]
        if self._encoder is None:
            self._encoder = read_encoder(self._folder).to(self._plan.device)
        ids, there = (torch.from_numpy(array) for array in self._pieces.numbers(x, self._length))
        made = []
        with torch.no_grad():
            for some, where in zip(torch.split(ids, _AT_ONCE), torch.split(there, _AT_ONCE), strict=True):
                width = int(where.sum(dim=1).max())  # no longer than the longest of these
                some, where = (part[:, :width].to(self._plan.device) for part in (some, where))
                made.append(_pooled(self._encoder(some, where), where, self._pool))
        vectors = torch.cat(made)
        self._made = (x, vectors) if isinstance(x, tuple) else None
        return vectors

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_encoder": None, "_made": None}


def _pooled(vectors: Tensor, there: Tensor, pool: Pool) -> Tensor:
    if pool == "cls":
        return vectors[:, 0]
    weight = there[:, :, None].to(vectors.dtype)
    return (vectors * weight).sum(dim=1) / weight.sum(dim=1)


def _nothing(schema: Schema) -> nn.Module:
    raise SchemaError("a TextTrainer makes its module from its folder")
