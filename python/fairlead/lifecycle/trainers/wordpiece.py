"""Texts into numbers of word pieces, as BERT does it (Devlin et al., 2019): cleaned, split at spaces and punctuation,
then the longest pieces that the vocabulary has."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairlead.errors import InvalidRecordError

PAD, UNKNOWN, BEGIN, END = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
SPECIAL = (PAD, UNKNOWN, BEGIN, END, "[MASK]")
_LONGEST = 100  # characters of a word; longer ones are unknown
_CHINESE = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


class WordPieces:
    """A vocabulary of word pieces; those within a word begin with `##`. lower: all is lower case, without accents.

    >>> pieces = WordPieces([*SPECIAL, "profit", "##s", "fall", "."])
    >>> pieces.split("Profits fall.")
    ['profit', '##s', 'fall', '.']
    >>> pieces.numbers(["Profits fall.", "Fall"], 8)[0].tolist()
    [[2, 5, 6, 7, 8, 3], [2, 7, 3, 0, 0, 0]]
    """

    def __init__(self, vocabulary: Sequence[str], *, lower: bool = True) -> None:
        self.vocabulary = tuple(vocabulary)
        self.lower = lower
        self._number = {piece: i for i, piece in enumerate(self.vocabulary)}
        for piece in SPECIAL[:4]:
            if piece not in self._number:
                raise InvalidRecordError(f"the vocabulary lacks {piece!r}: it is none of word pieces")

    @classmethod
    def read(cls, folder: Path) -> WordPieces:
        """From a folder with `vocab.txt`, or with a `tokenizer.json` of word pieces. Raises InvalidRecordError."""
        lower = True
        for name in ("tokenizer_config.json", "tokenizer.json"):
            if (folder / name).is_file():
                said = _json(folder / name)
                normaliser = said.get("normalizer") or {}
                found = said.get("do_lower_case", normaliser.get("lowercase") if isinstance(normaliser, dict) else None)
                if isinstance(found, bool):
                    lower = found
                    break
        if (folder / "vocab.txt").is_file():
            lines = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")
            return cls(lines[:-1] if lines[-1] == "" else lines, lower=lower)
        if (folder / "tokenizer.json").is_file():
            model = _json(folder / "tokenizer.json").get("model", {})
            if model.get("type") == "WordPiece" and isinstance(model.get("vocab"), dict):
                return cls(sorted(model["vocab"], key=model["vocab"].__getitem__), lower=lower)
        raise InvalidRecordError(f"{folder} has neither vocab.txt nor a tokenizer.json of word pieces")

    def __len__(self) -> int:
        return len(self.vocabulary)

    def split(self, text: str) -> list[str]:
        """The pieces of a text."""
        return [self.vocabulary[i] for i in self._pieces(text)]

    def numbers(self, texts: Sequence[str], length: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Numbers of pieces between [CLS] and [SEP], (n, longest), at most `length` of a text, and where there are
        any."""
        begin, end = self._number[BEGIN], self._number[END]
        rows = [[begin, *self._pieces(text)[: max(0, length - 2)], end] for text in texts]
        width = max((len(row) for row in rows), default=0)
        out = np.full((len(rows), width), self._number[PAD], dtype=np.int64)
        there = np.zeros((len(rows), width), dtype=np.bool_)
        for i, row in enumerate(rows):
            out[i, : len(row)] = row
            there[i, : len(row)] = True
        return out, there

    def _pieces(self, text: str) -> list[int]:
        return [number for word in words(text, lower=self.lower) for number in self._of_word(word)]

    @cached_property
    def _words(self) -> dict[str, list[int]]:
        return {}

    def _of_word(self, word: str) -> list[int]:
        known = self._words.get(word)
        if known is not None:
            return known
        out: list[int] = []
        at = 0
        while at < len(word) <= _LONGEST:
            for end in range(len(word), at, -1):
                piece = self._number.get(("##" if at else "") + word[at:end])
                if piece is not None:
                    out.append(piece)
                    at = end
                    break
            else:
                break
        found = out if at == len(word) and out else [self._number[UNKNOWN]]
        if len(self._words) < 1 << 16:
            self._words[word] = found
        return found


def words(text: str, *, lower: bool = True) -> list[str]:
    """The words and punctuation marks of a text.

    >>> words("Überraschung: +3% (Q1)")
    ['uberraschung', ':', '+', '3', '%', '(', 'q1', ')']
    """
    clean = []
    for char in text:
        code = ord(char)
        if code in (0, 0xFFFD) or (char not in "\t\n\r" and unicodedata.category(char).startswith("C")):
            continue
        if any(low <= code <= high for low, high in _CHINESE):
            clean.append(f" {char} ")
        else:
            clean.append(" " if char.isspace() else char)
    out: list[str] = []
    for word in "".join(clean).split():
        plain = word
        if lower:
            plain = "".join(c for c in unicodedata.normalize("NFD", word.lower()) if unicodedata.category(c) != "Mn")
        within = False
        for char in plain:
            mark = _punctuation(char)
            if mark or not within:
                out.append(char)
            else:
                out[-1] += char
            within = not mark
    return out


def _punctuation(char: str) -> bool:
    code = ord(char)
    if 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126:
        return True
    return unicodedata.category(char).startswith("P")


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidRecordError(f"{path} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise InvalidRecordError(f"{path} must hold an object")
    return found
