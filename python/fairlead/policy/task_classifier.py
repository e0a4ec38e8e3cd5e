"""Which type of task a text is: `TaskClassifier`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from fairlead._core import TaskClassifier as _Core
from fairlead._core import TaskType

__all__ = ["TaskClassifier", "TaskExplanation", "TaskType"]

_WEIGHTS = Path(__file__).parent / "weights"


@dataclass(frozen=True, slots=True)
class TaskExplanation:
    """Why a text was taken for its type, rather than for the second most probable one.

    task_type: what `TaskClassifier.classify` says. runner_up: the second most probable type. reasons: features and what
    each adds to ln(probability / probability of the runner-up), the largest first; all of them sum to it. A feature in
    angle brackets is about the shape of the text (``<numbers: 3...>``: three or four numbers) or a place in it
    (``<first> book``); ``book...`` is the beginning of a longer word, ``a table`` two neighbours, ``99`` a number of
    two digits, and ``(always)`` what the classifier would say of nothing.
    """

    task_type: TaskType
    runner_up: str
    reasons: list[tuple[str, float]]

    def __str__(self) -> str:
        lines = [f"{self.task_type.name} ({self.task_type.probability:.2f}) rather than {self.runner_up}, because of"]
        return "\n".join([*lines, *(f"  {weight:+.2f}  {feature}" for feature, weight in self.reasons[:10])])

    def as_dict(self) -> dict[str, Any]:
        """Everything, as plain Python."""
        return {
            "task_type": self.task_type.name,
            "probabilities": self.task_type.probabilities,
            "runner_up": self.runner_up,
            "reasons": self.reasons,
        }


class TaskClassifier(_Core):
    """Which type of task a text is, in a microsecond: ``reasoning``, ``tool_use`` or ``simple``, or types of your own.

    reasoning: wants several steps of thought (mathematics, code, puzzles, plans). tool_use: wants something done or
    looked up outside (an action, live or private data, a call of a function). simple: one step from what is commonly
    known.

    A linear model over hashed words, pairs of words and the shape of the text, in the core; see
    ``fairlead/task_classifier.hpp`` for the features and `card` for where its weights come from and how good they are
    on sources that it never saw. Of a text longer than 4096 bytes of UTF-8, the first 3072 and the last 1024 count.
    Objects never change, so threads may share one.

    >>> classifier = TaskClassifier()
    >>> found = classifier.classify("Book a table for two in Berlin tomorrow at 7 pm.")
    >>> found.name, found == "tool_use", found.probability > 0.5
    ('tool_use', True, True)
    >>> classifier.classify("Who wrote Hamlet?").name
    'simple'
    >>> print(classifier.explain("Prove that there are infinitely many primes."))
    reasoning (0...) rather than ...
      +...

    Types of your own, from texts that have them:

    >>> texts = ["refund my order", "where is my money", "the app crashes", "error 500 again"]
    >>> support = TaskClassifier.fit(texts, ["billing", "billing", "fault", "fault"])
    >>> support.types, support.classify("an error in the app").name
    (('billing', 'fault'), 'fault')

    path: a file that `save` wrote; the weights that come with the package where it is missing. Raises ValueError,
    saying what is wrong, for a file that is damaged or holds no classifier that this version understands, and OSError
    if it cannot be read.
    """

    def __init__(self, path: str | PathLike[str] | None = None) -> None:
        super().__init__((_WEIGHTS / "task_types.safetensors" if path is None else Path(path)).read_bytes())

    @classmethod
    def read(cls, data: bytes) -> TaskClassifier:
        """From the bytes that `to_bytes` returned. Raises ValueError for others."""
        made = cls.__new__(cls)
        _Core.__init__(made, data)
        return made

    @classmethod
    def fit(
        cls,
        texts: Sequence[str],
        labels: Sequence[str],
        sources: Sequence[Any] | None = None,
        *,
        l2: float = 1e-4,
        structure: float = 0.05,
        balance: float = 0.3,
        least_sources: int = 1,
        bits: int = 15,
        folds: int = 3,
    ) -> TaskClassifier:
        """A classifier trained on texts, a type for each: two to 63 types, in the order of their names.

        Multinomial logistic regression with an L2 penalty, in the core; the same texts give the same bytes. About a
        second for some thousand texts.

        sources: where each text comes from (a data set, a customer, an author), if known: then types weigh alike, the
        sources of a type by their number of texts to the power of `balance`, and the temperature that makes
        probabilities honest is found on sources that were held out, in so many `folds` (0: none, the temperature is 1).
        Without sources, on texts that were held out. l2: the penalty. structure: the value of a feature of shape; less
        trusts words more. least_sources: features that fewer sources have are dropped. bits: 2**bits rows of weights,
        from 8 to 20; each takes a byte for each type in the file and 8 bytes for three types in memory.

        Raises ValueError for lengths that differ, less than two types or more than 63, or an option outside its range.
        """
        if len(labels) != len(texts):
            raise ValueError(f"labels has {len(labels)} entries, texts has {len(texts)}")
        if sources is not None and len(sources) != len(texts):
            raise ValueError(f"sources has {len(sources)} entries, texts has {len(texts)}")
        for i, label in enumerate(labels):
            if not isinstance(label, str):
                raise TypeError(f"labels[{i}] is {label!r}, must be a str")
        types = sorted(set(labels))
        if not 2 <= len(types) <= 63:
            raise ValueError(f"labels has {len(types)} types, must have from 2 to 63")
        for name, value, least, most in (
            ("l2", l2, 0.0, 1e6),
            ("structure", structure, 0.0, 1e3),
            ("balance", balance, -1.0, 1.0),
        ):
            if not least < value <= most or (name == "balance" and value < 0):
                bounds = "[0, 1]" if name == "balance" else f"({least:g}, {most:g}]"
                raise ValueError(f"{name} is {value!r}, outside {bounds}")
        for name, count, lowest, highest in (
            ("least_sources", least_sources, 1, 2**31),
            ("bits", bits, 8, 20),
            ("folds", folds, 0, 100),
        ):
            if not lowest <= count <= highest:
                raise ValueError(f"{name} is {count!r}, outside [{lowest}, {highest}]")
        place = {name: i for i, name in enumerate(types)}
        numbers: dict[Any, int] = {}
        return cls.read(
            _Core.fitted(
                texts,
                [place[label] for label in labels],
                [numbers.setdefault(source, len(numbers)) for source in sources or ()],
                types,
                l2=l2,
                structure=structure,
                balance=balance,
                least_sources=least_sources,
                bits=bits,
                folds=folds,
            )
        )

    def explain(self, text: str) -> TaskExplanation:
        """Which features of a text decided, and by how much."""
        found = self.classify(text)
        order = sorted(range(len(self.types)), key=lambda k: -found.probabilities[self.types[k]])
        best, second = self.types.index(found.name), next(k for k in order if self.types[k] != found.name)
        reasons = [(feature, adds[best] - adds[second]) for feature, adds in self.reasons(text)]
        reasons.sort(key=lambda reason: -abs(reason[1]))
        return TaskExplanation(found, self.types[second], [r for r in reasons if not math.isclose(r[1], 0.0)])

    def save(self, path: str | PathLike[str]) -> None:
        """Writes the file that `TaskClassifier(path)` reads: safetensors, with int8 weights."""
        Path(path).write_bytes(self.to_bytes())

    @staticmethod
    def card() -> dict[str, Any]:
        """Of the weights that come with the package: the sources of their texts, licences, how they were made, and
        scores for sources that were held out."""
        import json

        card: dict[str, Any] = json.loads((_WEIGHTS / "task_types.json").read_text(encoding="utf-8"))
        return card

    def __reduce__(self) -> tuple[Any, tuple[bytes]]:
        return type(self).read, (self.to_bytes(),)

    def __repr__(self) -> str:
        return f"TaskClassifier(types={list(self.types)})"
