"""Pooling strategies, and the words for why a decision looks the way it does.

The rules that make weights stand in `cpp/src/scoreboard.cpp` (`Scoreboard::weigh`) and
`cpp/include/fairlead/hedge.hpp`.

- `hedge`, the default: exponential weights on past outcomes, in the slices of the task, with a learning rate that each
  model's own record sets. Nothing to tune.
- `weighted`: weights by inverse mean loss.
- `mean`, `log`, `median`: every model has one vote. Of numbers, `log` is the mean.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from fairlead._core import DEFAULT_STRATEGY, REASONS, STRATEGIES
from fairlead.errors import InvalidRecordError, did_you_mean
from fairlead.types import Decision, FrozenDict

__all__ = ["DEFAULT_STRATEGY", "STRATEGIES", "as_decision", "strategy_index"]


_NUMBERS = {strategy: number for number, strategy in enumerate(STRATEGIES)}


def strategy_index(strategy: str) -> int:
    """The core's number of a strategy. Raises InvalidRecordError for a name that is none.

    >>> strategy_index("mean")
    0
    """
    try:
        return _NUMBERS[strategy]
    except (KeyError, TypeError) as error:
        hint = did_you_mean(str(strategy), STRATEGIES)
        raise InvalidRecordError(f"strategy is {strategy!r}, must be one of {', '.join(STRATEGIES)}{hint}") from error


_task, _weights, _p, _value, _disagreement, _uncertainty, _position_scale, _cost_usd, _strategy, _whys, _time = (
    vars(Decision)[field.name].__set__ for field in fields(Decision)
)


def as_decision(task: str, strategy: str, found: tuple[Any, ...]) -> Decision:
    """What the core decided of a task, in words. Written into the slots of a Decision, as there is nothing to validate
    and its constructor would take longer than the core."""
    weights, p, value, disagreement, uncertainty, scale, cost, bits, time = found
    decision = object.__new__(Decision)
    _task(decision, task)
    _weights(decision, FrozenDict(weights))
    _p(decision, FrozenDict(p) if isinstance(p, dict) else p)
    _value(decision, value)
    _disagreement(decision, disagreement)
    _uncertainty(decision, uncertainty)
    _position_scale(decision, scale)
    _cost_usd(decision, cost)
    _strategy(decision, strategy)
    _whys(decision, _reasons(bits, weights, disagreement))
    _time(decision, time)
    return decision


def _reasons(bits: int, weights: dict[str, float], disagreement: float) -> tuple[str, ...]:
    told = _TOLD[bits]
    if not isinstance(told, list):
        return told
    top = next(iter(weights)) if len(weights) == 1 else max(weights, key=weights.__getitem__)
    share = weights[top]
    return tuple([word if isinstance(word, str) else word(top, share, disagreement) for word in told])


_SENTENCES: dict[str, str | Callable[[str, float, float], str]] = {
    "single_model": lambda top, share, disagreement: f"{top} is the only model that answered",
    "no_history": "no outcome has told these models apart yet: equal weights",
    "equal_weights": "this strategy gives every model one vote",
    "learned_weights": lambda top, share, disagreement: (
        f"past outcomes favour {top}, which carries {share:.0%} of the weight"
    ),
    "models_disagree": lambda top, share, disagreement: (
        f"the models contradict one another (disagreement {disagreement:.2f})"
    ),
    "models_failed": "some calls failed and were left out",
    "models_removed": "answers of models that have left were ignored",
    "in_emergency": "no healthy model was left when this was asked: the position scale is cut",
}


class _Told(dict[int, "tuple[str, ...] | list[str | Callable[[str, float, float], str]]"]):
    """The sentences of each sum of bits that has come; a list where some of them are still to be made."""

    def __missing__(self, bits: int) -> tuple[str, ...] | list[str | Callable[[str, float, float], str]]:
        words = [_SENTENCES[name] for name, bit in REASONS.items() if bits & bit]
        told = [word for word in words if isinstance(word, str)]
        self[bits] = found = tuple(told) if len(told) == len(words) else words
        return found


_TOLD = _Told()
