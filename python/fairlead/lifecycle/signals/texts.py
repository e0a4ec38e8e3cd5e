"""A text as a few numbers whose distribution can be watched."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

COLUMNS = (("words", 0), ("unknown words", 0), ("word, drawn", 32), ("another word, drawn", 32))
"""Names, and of how many classes each is (0: a number)."""
_WORD = re.compile(r"\w+")
_CLASSES = 32
_MIX = 0x9E3779B1  # odd: another order of the same hashes


def hashes(text: str) -> list[int]:
    """The words of a text, as 32-bit numbers."""
    return [crc32(word.encode()) for word in _WORD.findall(text.lower())]


class Words:
    """Which words are known. A text is: how many words it has, the share of those that are not known, and two of its
    words, drawn by the least of their hashes (A. Broder, "On the resemblance and containment of documents", 1997) and
    sorted into 32 classes: independent from text to text, as the test of PSI wants it.

    >>> words = Words.of([hashes("rates rise"), hashes("rates fall"), hashes("rates rise again")])
    >>> row = words.row("rates soar")
    >>> row[0], row[1]
    (2.0, 0.5)
    """

    def __init__(self, known: Iterable[int] = ()) -> None:
        self.known = frozenset(known)

    @classmethod
    def of(cls, texts: Iterable[Sequence[int]]) -> Words:
        """Those of texts, given as hashes."""
        return cls(h for text in texts for h in text)

    def row(self, text: str) -> tuple[float, float, float, float]:
        """A text as numbers: NaN where it has no words."""
        found = hashes(text)
        if not found:
            return (0.0, np.nan, np.nan, np.nan)
        known = self.known
        unknown = sum(1 for h in found if h not in known)
        return (float(len(found)), unknown / len(found), *drawn(found))


def drawn(found: Sequence[int]) -> tuple[float, float]:
    """Two words, as numbers of their class."""
    other = min((h * _MIX) & 0xFFFFFFFF for h in found)
    return float((min(found) >> 5) % _CLASSES), float((other * _MIX >> 5) % _CLASSES)


def reference_rows(texts: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """The rows of the very texts (as hashes) whose words are known: a word counts as unknown where no other text has
    it, as it would if this text had come later."""
    times = Counter(h for text in texts for h in set(text))
    rows = np.full((len(texts), len(COLUMNS)), np.nan)
    for i, text in enumerate(texts):
        rows[i, 0] = len(text)
        if text:
            rows[i, 1] = sum(1 for h in text if times[h] == 1) / len(text)
            rows[i, 2:] = drawn(text)
    return rows
