"""How the shipped `TaskClassifier` is trained and judged: on sources that it has never seen, and never otherwise.

A text's type follows from the source it comes from, so a classifier that has seen a source recognises the source, not
the type: random cross-validation flatters it by a tenth and more. Here nothing is chosen or scored on a source that was
trained on.
"""

from __future__ import annotations

import gzip
import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairlead.errors import TableError
from fairlead.policy.task_classifier import TaskClassifier

__all__ = ["LabelledTexts", "Scores", "evaluate", "held_out", "read_texts"]

GRID = {"l2": (3e-4, 1e-4, 3e-5), "structure": (0.05,)}
MOST_ROUNDS = 12


@dataclass
class LabelledTexts:
    """Texts, the type of each, and the family of sources that each comes from."""

    texts: list[str] = field(default_factory=list)
    types: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    families: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.texts)

    def where(self, keep: Callable[[int], bool]) -> LabelledTexts:
        rows = [i for i in range(len(self)) if keep(i)]
        return LabelledTexts(*([column[i] for i in rows] for column in self._columns()))

    def __add__(self, other: LabelledTexts) -> LabelledTexts:
        return LabelledTexts(*(a + b for a, b in zip(self._columns(), other._columns(), strict=True)))

    def fit(self, **options: Any) -> TaskClassifier:
        return TaskClassifier.fit(self.texts, self.types, self.families, **options)

    def _columns(self) -> tuple[list[str], ...]:
        return self.texts, self.types, self.sources, self.families


def read_texts(path: str | os.PathLike[str], kin: Sequence[str] = ()) -> LabelledTexts:
    """From a file of JSON lines, gzipped if it ends in .gz: text, label and source in each.

    kin: patterns of sources that are one family, with commas between them (``"bfcl-exec_*"``, ``"a,b*"``): what is held
    out, and weighed, together. Raises TableError for a line that is not of this form, naming it.
    """
    path = Path(path)
    out = LabelledTexts()
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
                text, label, source = (row[name] for name in ("text", "label", "source"))
            except (ValueError, KeyError, TypeError) as error:
                raise TableError(
                    f"{path}, line {number}: no JSON object with text, label and source ({error})"
                ) from None
            if not all(isinstance(value, str) for value in (text, label, source)):
                raise TableError(f"{path}, line {number}: text, label and source must be strings")
            out.texts.append(text)
            out.types.append(label)
            out.sources.append(source)
            out.families.append(
                next((k for k in kin if any(fnmatchcase(source, pattern) for pattern in k.split(","))), source)
            )
    return out


def held_out(data: LabelledTexts, most: int = MOST_ROUNDS) -> list[tuple[str, ...]]:
    """Rounds: each holds out one family of each type, the i-th round the i-th of each in the order of their names, in
    turn.

    As many rounds as it takes for all combinations to come round, at most `most`, but every family at least once.
    Raises TableError for a type that has less than two families, as then nothing would be left to train on.
    """
    of_type = {
        kind: sorted({f for f, t in zip(data.families, data.types, strict=True) if t == kind})
        for kind in sorted(set(data.types))
    }
    for kind, families in of_type.items():
        if len(families) < 2:
            raise TableError(f"type {kind!r} has one family of sources, {families[0]!r}: it cannot be held out")
    sizes = [len(families) for families in of_type.values()]
    rounds = max(max(sizes), min(most, math.lcm(*sizes)))
    return [tuple(families[i % len(families)] for families in of_type.values()) for i in range(rounds)]


@dataclass
class Scores:
    """What came of it. rounds: for each, the families held out, macro-F1, and the options that were chosen inside."""

    rounds: list[dict[str, Any]]
    recall: dict[str, float]
    macro_f1: float
    pooled_macro_f1: float
    one_source_out: float
    without_made: float | None
    log_loss: float
    calibration_error: float

    def __str__(self) -> str:
        f1 = [r["macro_f1"] for r in self.rounds]
        lines = ["Held out in each round          macro-F1"]
        lines += [f"  {r['macro_f1']:.3f}  {', '.join(r['held_out'])}  {r['options']}" for r in self.rounds]
        lines += ["Recall of each source, in the rounds that held it out"]
        lines += [f"  {value:.3f}  {source}" for source, value in self.recall.items()]
        lines += [
            f"macro-F1 of sources never seen   {self.macro_f1:.3f}"
            f", from {min(f1):.3f} to {max(f1):.3f}, sd {np.std(f1):.3f}",
            f"  all rounds in one table        {self.pooled_macro_f1:.3f}",
            f"  one source held out at a time  {self.one_source_out:.3f}",
        ]
        if self.without_made is not None:
            lines.append(f"  without the texts made for it  {self.without_made:.3f}")
        lines += [
            f"log-loss                         {self.log_loss:.3f}",
            f"expected calibration error       {self.calibration_error:.3f}",
        ]
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Everything, rounded to four digits."""

        def rounded(value: Any) -> Any:
            if isinstance(value, float):
                return round(value, 4)
            if isinstance(value, dict):
                return {k: v if k == "options" else rounded(v) for k, v in value.items()}
            return [rounded(v) for v in value] if isinstance(value, list) else value

        return {name: rounded(value) for name, value in vars(self).items()}


def evaluate(
    data: LabelledTexts, made: LabelledTexts | None = None, threads: int | None = None
) -> tuple[Scores, dict[str, float]]:
    """Scores on sources held out, and the options to train with on everything.

    made: texts that are trained on in every round, and never scored. Options are chosen in each round by rounds of the
    same kind within what is not held out.
    """
    made = made or LabelledTexts()
    kinds = sorted(set(data.types))
    for kind in kinds:
        if (n := len({f for f, t in zip(data.families, data.types, strict=True) if t == kind})) < 3:
            raise TableError(
                f"type {kind!r} has {n} families of sources, must have three: one to hold out, one to choose by"
            )
    options = [dict(zip(GRID, values, strict=True)) for values in product(*GRID.values())]
    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        rounds = held_out(data)
        found: list[dict[str, Any]] = []
        tables: list[tuple[LabelledTexts, NDArray[np.float64]]] = []
        for families in rounds:
            inside = data.where(lambda i, out=families: data.families[i] not in out)  # type: ignore[misc]
            outside = data.where(lambda i, out=families: data.families[i] in out)  # type: ignore[misc]
            best = _best(inside, made, options, pool)
            table = (inside + made).fit(**best).probabilities(outside.texts)
            tables.append((outside, table))
            found.append(
                {"held_out": list(families), "macro_f1": _macro_f1(outside.types, table, kinds), "options": best}
            )
        chosen = _best(data, made, options, pool)
        alone = list(_alone(data, made, chosen, pool))
        bare = None
        if made:
            bare = float(np.mean(_scores(data, LabelledTexts(), rounds, chosen, pool)))
    recall: dict[str, list[bool]] = {}
    for outside, table in tables:
        for source, kind, k in zip(outside.sources, outside.types, table.argmax(1), strict=True):
            recall.setdefault(source, []).append(kinds[k] == kind)
    everything, table = _joined(tables)
    scores = Scores(
        found,
        {source: float(np.mean(recall[source])) for source in sorted(recall)},
        float(np.mean([r["macro_f1"] for r in found])),
        _macro_f1(everything, table, kinds),
        _macro_f1(*_joined(alone), kinds),
        bare,
        *_calibration(everything, table, kinds),
    )
    return scores, chosen


def _best(
    data: LabelledTexts, made: LabelledTexts, options: list[dict[str, float]], pool: ThreadPoolExecutor
) -> dict[str, float]:
    """The options with the best mean macro-F1 over four rounds within data; the first where some are equal."""
    rounds = held_out(data, most=4)[:4]
    means = [float(np.mean(_scores(data, made, rounds, o, pool))) for o in options]
    return options[means.index(max(means))]


def _scores(
    data: LabelledTexts,
    made: LabelledTexts,
    rounds: Sequence[tuple[str, ...]],
    options: dict[str, float],
    pool: ThreadPoolExecutor,
) -> list[float]:
    kinds = sorted(set(data.types))

    def score(families: tuple[str, ...]) -> float:
        outside = data.where(lambda i: data.families[i] in families)
        fitted = (data.where(lambda i: data.families[i] not in families) + made).fit(**options, folds=0)
        return _macro_f1(outside.types, fitted.probabilities(outside.texts), kinds)

    return list(pool.map(score, rounds))


def _alone(
    data: LabelledTexts, made: LabelledTexts, options: dict[str, float], pool: ThreadPoolExecutor
) -> Iterator[tuple[LabelledTexts, NDArray[np.float64]]]:
    def without(source: str) -> tuple[LabelledTexts, NDArray[np.float64]]:
        outside = data.where(lambda i: data.sources[i] == source)
        fitted = (data.where(lambda i: data.sources[i] != source) + made).fit(**options, folds=0)
        return outside, fitted.probabilities(outside.texts)

    return pool.map(without, sorted(set(data.sources)))


def _joined(tables: Sequence[tuple[LabelledTexts, NDArray[np.float64]]]) -> tuple[list[str], NDArray[np.float64]]:
    return [kind for outside, _ in tables for kind in outside.types], np.concatenate([table for _, table in tables])


def _macro_f1(types: Sequence[str], table: NDArray[np.float64], kinds: Sequence[str]) -> float:
    """The mean over the types of 2 hits / (predicted + actual)."""
    predicted = [kinds[k] for k in table.argmax(1)]
    actual, said = Counter(types), Counter(predicted)
    hits = Counter(t for t, p in zip(types, predicted, strict=True) if t == p)
    return float(np.mean([2 * hits[k] / max(actual[k] + said[k], 1) for k in kinds]))


def _calibration(types: Sequence[str], table: NDArray[np.float64], kinds: Sequence[str]) -> tuple[float, float]:
    """Log-loss, and the expected calibration error of the most probable type in 15 bins of equal width."""
    place = np.array([kinds.index(kind) for kind in types])
    loss = float(-np.log(np.maximum(table[np.arange(len(place)), place], 1e-300)).mean())
    top, right = table.max(1), table.argmax(1) == place
    which = np.minimum((top * 15).astype(int), 14)
    error = sum(abs(top[which == b].sum() - right[which == b].sum()) for b in range(15)) / len(place)
    return loss, float(error)
