"""A BERT encoder (Devlin et al., 2019) read from a local folder: `config.json`, `vocab.txt` and `model.safetensors`, by
the names that Hugging Face's files have. Nothing is fetched, nothing is unpickled."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, cast

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle.failures import SchemaError
from fairlead.lifecycle.trainers.wordpiece import SPECIAL, words

_ACTIVATIONS = {
    "gelu": functional.gelu,
    "gelu_new": lambda x: functional.gelu(x, approximate="tanh"),
    "relu": functional.relu,
}
_FILES = ("config.json", "vocab.txt", "tokenizer.json", "tokenizer_config.json", "model.safetensors")


@dataclass(frozen=True, slots=True)
class Shape:
    """What `config.json` says."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1

    @classmethod
    def read(cls, folder: Path) -> Shape:
        """Raises InvalidRecordError for a folder whose model is not of BERT's kind."""
        path = folder / "config.json"
        if not path.is_file():
            raise InvalidRecordError(f"{folder} has no config.json: it is no folder of an encoder")
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
            if said.get("model_type", "bert") != "bert":
                raise InvalidRecordError(f"{path}: model_type is {said['model_type']!r}, must be 'bert'")
            if said.get("position_embedding_type", "absolute") != "absolute":
                raise InvalidRecordError(f"{path}: positions are {said['position_embedding_type']!r}, must be absolute")
            shape = cls(**{f.name: said[f.name] for f in fields(cls) if f.name in said})
        except (AttributeError, TypeError, ValueError) as error:
            raise error if isinstance(error, InvalidRecordError) else InvalidRecordError(f"{path}: {error}") from error
        if shape.hidden_act not in _ACTIVATIONS:
            raise InvalidRecordError(f"{path}: hidden_act is {shape.hidden_act!r}, must be one of {[*_ACTIVATIONS]}")
        if shape.hidden_size % shape.num_attention_heads:
            raise InvalidRecordError(f"{path}: {shape.hidden_size} is no multiple of {shape.num_attention_heads} heads")
        return shape


class _Embeddings(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(shape.vocab_size, shape.hidden_size)
        self.position_embeddings = nn.Embedding(shape.max_position_embeddings, shape.hidden_size)
        self.token_type_embeddings = nn.Embedding(shape.type_vocab_size, shape.hidden_size)
        self.LayerNorm = nn.LayerNorm(shape.hidden_size, eps=shape.layer_norm_eps)
        self.dropout = nn.Dropout(shape.hidden_dropout_prob)

    def forward(self, ids: Tensor) -> Tensor:
        places = torch.arange(ids.shape[1], device=ids.device)
        summed = self.word_embeddings(ids) + self.position_embeddings(places) + self.token_type_embeddings.weight[0]
        return cast("Tensor", self.dropout(self.LayerNorm(summed)))


class _Heads(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.num_attention_heads
        self.query = nn.Linear(shape.hidden_size, shape.hidden_size)
        self.key = nn.Linear(shape.hidden_size, shape.hidden_size)
        self.value = nn.Linear(shape.hidden_size, shape.hidden_size)
        self.dropout = nn.Dropout(shape.attention_probs_dropout_prob)

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        n, length, width = x.shape
        q, k, v = (
            part(x).view(n, length, self.heads, -1).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        score = q @ k.transpose(2, 3) / (width // self.heads) ** 0.5
        score = score.masked_fill(~there[:, None, None, :], torch.finfo(score.dtype).min)
        mixed = self.dropout(torch.softmax(score, dim=-1)) @ v
        return cast("Tensor", mixed.transpose(1, 2).reshape(n, length, width))


class _Output(nn.Module):
    def __init__(self, width: int, shape: Shape) -> None:
        super().__init__()
        self.dense = nn.Linear(width, shape.hidden_size)
        self.LayerNorm = nn.LayerNorm(shape.hidden_size, eps=shape.layer_norm_eps)
        self.dropout = nn.Dropout(shape.hidden_dropout_prob)

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        return cast("Tensor", self.LayerNorm(self.dropout(self.dense(x)) + before))


class _Attention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.self = _Heads(shape)
        self.output = _Output(shape.hidden_size, shape)

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        return cast("Tensor", self.output(self.self(x, there), x))


class _Intermediate(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.dense = nn.Linear(shape.hidden_size, shape.intermediate_size)
        self.act = shape.hidden_act

    def forward(self, x: Tensor) -> Tensor:
        return _ACTIVATIONS[self.act](self.dense(x))


class _Layer(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.attention = _Attention(shape)
        self.intermediate = _Intermediate(shape)
        self.output = _Output(shape.intermediate_size, shape)

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        x = self.attention(x, there)
        return cast("Tensor", self.output(self.intermediate(x), x))


class _Layers(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.layer = nn.ModuleList(_Layer(shape) for _ in range(shape.num_hidden_layers))

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        for layer in self.layer:
            x = layer(x, there)
        return x


class Encoder(nn.Module):
    """Numbers of word pieces (n, length), and where there are any, into vectors (n, length, hidden)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embeddings = _Embeddings(shape)
        self.encoder = _Layers(shape)

    def forward(self, ids: Tensor, there: Tensor) -> Tensor:
        """The last layer's vectors."""
        return cast("Tensor", self.encoder(self.embeddings(ids), there))


def read_encoder(folder: Path) -> Encoder:
    """The encoder of a folder. Raises InvalidRecordError for a folder that has none, SchemaError where its weights are
    not those of its config."""
    path = folder / "model.safetensors"
    if not path.is_file():
        pickled = [name for name in ("pytorch_model.bin", "model.bin") if (folder / name).is_file()]
        hint = (
            f", and {pickled[0]} is a pickle, which is not read: load it once where you trust it, and save it with "
            "safetensors.torch.save_file"
            if pickled
            else ""
        )
        raise InvalidRecordError(f"{folder} has no model.safetensors{hint}")
    state = torch.get_rng_state()
    encoder = Encoder(Shape.read(folder))
    torch.set_rng_state(state)  # weights by chance are made for nothing
    try:
        found = safetensors.torch.load_file(path)
    except safetensors.SafetensorError as error:
        raise InvalidRecordError(f"{path} is no file of safetensors: {error}") from error
    have = encoder.state_dict()
    prefix = "bert." if any(name.startswith("bert.") for name in found) else ""
    weights = {}
    for name, tensor in found.items():
        plain = name[len(prefix) :].replace("LayerNorm.gamma", "LayerNorm.weight")
        plain = plain.replace("LayerNorm.beta", "LayerNorm.bias")
        if name.startswith(prefix) and plain in have:
            weights[plain] = tensor.float()
    for name, tensor in have.items():
        if name not in weights:
            raise SchemaError(f"{path} lacks the weights {name!r}")
        if weights[name].shape != tensor.shape:
            shapes = f"{tuple(weights[name].shape)}, its config says {tuple(tensor.shape)}"
            raise SchemaError(f"{path}: {name!r} has shape {shapes}")
    encoder.load_state_dict(weights)
    return encoder.eval()


def digest(folder: Path) -> str:
    """SHA-256 of the files that make the encoder, as hexadecimal."""
    out = hashlib.sha256()
    for name in _FILES:
        if (folder / name).is_file():
            out.update(f"{name} {(folder / name).stat().st_size}\n".encode())
            with (folder / name).open("rb") as file:
                while block := file.read(1 << 20):
                    out.update(block)
    return out.hexdigest()


def tiny_encoder(
    folder: str | os.PathLike[str],
    texts: Iterable[str],
    *,
    hidden: int = 32,
    layers: int = 2,
    heads: int = 2,
    length: int = 64,
    vocabulary: int = 2000,
    seed: int = 0,
) -> Path:
    """Makes a folder with a small encoder of the shape of BERT: word pieces of these texts, and weights by chance. For
    examples and tests where no trained one is at hand; fine-tuned, it learns what word stands for what.

    >>> import tempfile
    >>> from fairlead.lifecycle.trainers.wordpiece import WordPieces
    >>> there = tempfile.TemporaryDirectory()
    >>> folder = tiny_encoder(there.name, ["Profits rise", "Profits fall"], hidden=8)
    >>> WordPieces.read(folder).split("profits rose")
    ['profits', 'r', '##o', '##s', '##e']
    >>> there.cleanup()
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    counted = Counter(word for text in texts for word in words(text))
    letters = sorted({letter for word in counted for letter in word})
    often = sorted(counted, key=lambda word: (-counted[word], word))
    pieces = [*SPECIAL, *letters, *(f"##{letter}" for letter in letters)]
    pieces += [word for word in often if len(word) > 1][: max(0, vocabulary - len(pieces))]
    shape = Shape(len(pieces), hidden, layers, heads, 4 * hidden, length)
    state = torch.get_rng_state()
    try:
        torch.manual_seed(seed)
        encoder = Encoder(shape)
        for name, weight in encoder.named_parameters():
            if "LayerNorm" not in name:
                nn.init.zeros_(weight) if name.endswith("bias") else nn.init.normal_(weight, std=0.02)
    finally:
        torch.set_rng_state(state)
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces), encoding="utf-8")
    config: dict[str, Any] = {"model_type": "bert", **asdict(shape)}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    safetensors.torch.save_file(dict(encoder.state_dict()), folder / "model.safetensors")
    return folder
