"""Answers that are there already: those of the response cache, and the last ones, for an emergency."""

from __future__ import annotations

import json
from collections import OrderedDict
from datetime import timedelta
from typing import Any

from fairlead.providers.cache import ResponseCache
from fairlead.times import as_span
from fairlead.types import Forecast, Model, Task

Question = tuple[Any, ...]
"""What a task asks, and in which state of the market: all that an answer may hang on but the task's id, time and
stake."""


def question(task: Task, state: str) -> Question:
    """The text, or the id of a task that has none, and what else is asked."""
    slices = tuple(task.slices.items()) if task.slices else ()
    return task.text or task.id, task.kind, task.labels, task.category, task.regime, task.expires_in_s, slices, state


class Cached:
    """A ResponseCache between a fleet and its providers.

    The key is the text of the task, the model and, as its state, everything else in `question` and the tags of the
    model: a new version of it is never served the answers of the old one. Entries bear the model's tags, and as
    symbols the slices `symbol` and `symbols` of the task (the latter with commas), so that
    `cache.invalidate(tag=...)` and `cache.price(...)` find them. A task without text is not kept.
    """

    def __init__(self, cache: ResponseCache) -> None:
        self.cache = cache

    def find(self, model: Model, task: Task, asked: Question, now: int) -> Forecast | None:
        """An answer that costs nothing. None where there is none, or it was no answer of this kind."""
        if not task.text:
            return None
        hit = self.cache.lookup(task.text, model.name, _place(model, asked), now)
        return None if hit is None else Forecast(model.name, **json.loads(hit.value), time=now)

    def keep(self, model: Model, task: Task, asked: Question, answer: Forecast, now: int) -> None:
        """What a call brought."""
        if not task.text:
            return
        value = json.dumps({"p": answer.p, "value": answer.value, "confidence": answer.confidence})
        symbols = [task.slices[name] for name in ("symbol",) if name in task.slices]
        symbols += [symbol.strip() for symbol in task.slices.get("symbols", "").split(",") if symbol.strip()]
        tags = model.tags
        if len(symbols) + len(tags) > 16:  # the most that an entry may bear
            return
        self.cache.put(task.text, value, model.name, _place(model, asked), now=now, tags=tags, symbols=symbols)


def _place(model: Model, asked: Question) -> str:
    return repr((asked[1:], model.tags))


class Memory:
    """The last answer to each question, for so long: what is better than nothing when nobody can be asked."""

    def __init__(self, max_age: str | timedelta, most: int = 4096) -> None:
        self.max_age = as_span(max_age, "max_age")
        self._most = most
        self._answers: OrderedDict[Question, tuple[int, Forecast]] = OrderedDict()

    def keep(self, asked: Question, answer: Forecast, now: int) -> None:
        """The newest answer to a question. One that was kept long ago goes where there are too many."""
        answers = self._answers
        known = len(answers)
        answers[asked] = now, answer
        try:
            if len(answers) == known:
                answers.move_to_end(asked)
            elif known >= self._most:
                answers.popitem(last=False)
        except KeyError:  # another thread was faster
            pass

    def find(self, asked: Question, now: int) -> tuple[int, Forecast] | None:
        """Its age in nanoseconds and the answer, if it is fresh. By a clock that was set back, nothing is."""
        found = self._answers.get(asked)
        if found is None or not 0 <= now - found[0] <= self.max_age:
            return None
        return now - found[0], found[1]
