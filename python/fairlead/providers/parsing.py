"""From the reply of a language model to an answer. Strict: what is not clearly one answer is refused.

The rules, all of them:

1. A `<think>...</think>` block at the beginning is not part of the reply.
2. The reply is a JSON object, or holds one or more (between words, in a fenced block). Those that have the key of the
   answer count: `probability`, `probabilities` or `value`. They must all say the same; so must a key that is there
   twice.
3. Or the reply as a whole is one number (binary, numeric) or one percentage (binary).
4. A number is a JSON number, or a string that is one. A probability or confidence may be a string that is a percentage,
   "72 %" = 0.72; a bare 72 is not. Probabilities and confidence are in [0, 1]. NaN, infinities and booleans are none.
5. The labels of `probabilities` are those of the task, each once, none missing. Their sum is 1 within 0.01, and is then
   made 1. Confidence may be missing.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from fairlead.providers.failure import ProviderError
from fairlead.types import FrozenDict, Task

ROUNDING = 0.01
"""How far probabilities of labels may be from a sum of 1."""
MAX_REPLY = 65536
"""Characters of a reply that are looked at; a longer one is refused."""
QUOTED = 80
"""Characters of a reply that an error quotes."""

_KEYS = {"binary": "probability", "categorical": "probabilities", "numeric": "value"}
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_PERCENT = re.compile(r"([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))\s*%")
_MAX_STARTS = 200


class ParsedAnswer(NamedTuple):
    """What a reply says: p for a binary or categorical task, value for a numeric one."""

    p: float | dict[str, float] | None
    value: float | None
    confidence: float | None


def parse_reply(task: Task, text: object) -> ParsedAnswer:
    """The answer that a reply holds, by the rules at the top of `fairlead.providers.parsing`.

    Raises ProviderError("unparsable"), which quotes the beginning of the reply.

    >>> parse_reply(Task("q"), 'I would say {"probability": 0.7, "confidence": 0.6}')
    ParsedAnswer(p=0.7, value=None, confidence=0.6)
    >>> parse_reply(Task("q"), "72 %").p
    0.72
    >>> parse_reply(Task("q"), '{"probability": 1.3}')
    Traceback (most recent call last):
    fairlead.providers.failure.ProviderError: unparsable: probability is 1.3, outside [0, 1]: '{"probability": 1.3}'
    """
    reply = _without_thoughts(text.strip()) if isinstance(text, str) else text
    try:
        return _parse(task, reply)
    except _NoAnswerError as error:
        why = str(error)
    raise ProviderError("unparsable", f"{why}: {quoted(reply)}")


def quoted(text: object) -> str:
    """The beginning of a text, in quotes, on one line."""
    if not isinstance(text, str):
        return type(text).__name__
    return ascii(text[:QUOTED])[:-1] + ("...'" if len(text) > QUOTED else ascii(text[:QUOTED])[-1])


class _NoAnswerError(ValueError):
    pass


def _without_thoughts(text: str) -> str:
    if not text.startswith("<think>"):
        return text
    _, closed, rest = text.partition("</think>")
    return rest.strip() if closed else text


def _parse(task: Task, text: object) -> ParsedAnswer:
    if not isinstance(text, str) or not text:
        raise _NoAnswerError("the reply is empty")
    if len(text) > MAX_REPLY:
        raise _NoAnswerError(f"the reply has {len(text)} characters, more than {MAX_REPLY}")
    if text.startswith("<think>"):
        raise _NoAnswerError("the reply ends while the model thinks")
    key = _KEYS[task.kind]
    if text[0] == "{" and text[-1] == "}":  # nothing but an object, as nearly always
        try:
            found, end = _DECODER.raw_decode(text)
        except _NoAnswerError:
            raise
        except (ValueError, RecursionError):
            pass
        else:
            if end == len(text) and key in found:
                return _answer(task, key, found)
    answers = [_answer(task, key, found) for found in _objects(text) if key in found]
    if not answers:
        if task.kind == "binary" and (_NUMBER.fullmatch(text) or _PERCENT.fullmatch(text)):
            return ParsedAnswer(_fraction(text, key), None, None)
        if task.kind == "numeric" and _NUMBER.fullmatch(text):
            return ParsedAnswer(None, _number(text, key), None)
        raise _NoAnswerError(f"the reply has no {key!r}")
    for other in answers[1:]:
        if other != answers[0]:
            raise _NoAnswerError("the reply contradicts itself")
    return answers[0]


def _answer(task: Task, key: str, found: dict[str, Any]) -> ParsedAnswer:
    said = found.get("confidence")
    confidence = None if said is None else _fraction(said, "confidence")
    if task.kind == "binary":
        return ParsedAnswer(_fraction(found[key], key), None, confidence)
    if task.kind == "numeric":
        return ParsedAnswer(None, _number(found[key], key), confidence)
    return ParsedAnswer(_distribution(found[key], task.labels), None, confidence)


def _distribution(said: object, labels: tuple[str, ...]) -> FrozenDict[float]:
    if not isinstance(said, dict):
        raise _NoAnswerError(f"probabilities is {said!r:.40}, must map labels to probabilities")
    for label in said:
        if label not in labels:
            raise _NoAnswerError(f"probabilities has {label!r:.40}, which is no label of the task")
    for label in labels:
        if label not in said:
            raise _NoAnswerError(f"probabilities lacks the label {label!r:.40}")
    p = [_fraction(said[label], f"probability of {label!r:.40}") for label in labels]
    total = math.fsum(p)
    if abs(total - 1.0) > ROUNDING + 1e-9:
        raise _NoAnswerError(f"probabilities sum to {total:g}, must sum to 1 within {ROUNDING:g}")
    if abs(total - 1.0) > 1e-12:
        p = [x / total for x in p]
    return FrozenDict(zip(labels, p, strict=True))


def _number(said: object, where: str) -> float:
    if isinstance(said, str) and _NUMBER.fullmatch(said.strip()):
        said = float(said)
    if isinstance(said, bool) or not isinstance(said, (int, float)):
        raise _NoAnswerError(f"{where} is {said!r:.40}, must be a number")
    try:
        number = float(said)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _NoAnswerError(f"{where} is {number}, must be finite")
    return number


def _fraction(said: object, where: str) -> float:
    if type(said) is float and 0.0 <= said <= 1.0:
        return said
    percent = _PERCENT.fullmatch(said.strip()) if isinstance(said, str) else None
    number = float(percent[1]) / 100.0 if percent else _number(said, where)
    if not 0.0 <= number <= 1.0:
        raise _NoAnswerError(f"{where} is {number:g}, outside [0, 1]")
    return number


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found and found[key] != value:
            raise _NoAnswerError(f"the reply contradicts itself about {key!r:.40}")
        found[key] = value
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs)


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects in a text that stand in no other."""
    start = text.find("{")
    for _ in range(_MAX_STARTS):
        if start < 0:
            return
        try:
            found, end = _DECODER.raw_decode(text, start)
        except _NoAnswerError:
            raise
        except (ValueError, RecursionError):
            end = start + 1  # no JSON from here
        else:
            yield found
        start = text.find("{", end)
    if start >= 0:
        raise _NoAnswerError("the reply has too many braces to look for an answer in it")
