"""Strategies by name, and the words for why a decision looks the way it does.

What each strategy does stands in `cpp/include/fairlead/ensemble.hpp`, how `hedge` and `weighted` learn in `hedge.hpp`
and `cpp/src/scoreboard_settle.cpp`, how `auto` mixes in `panel.hpp`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from fairlead._core import DEFAULT_STRATEGY, REASONS, STRATEGIES, filled
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


def as_decision(task: str, strategy: str, found: tuple[Any, ...]) -> Decision:
    """What the core decided of a task, in words. There is nothing to validate, and the constructor of a Decision would
    take longer than the core."""
    (
        weights,
        p,
        value,
        disagreement,
        uncertainty,
        scale,
        cost,
        bits,
        time,
        spread,
        entropy,
        divergence,
        pairwise,
        low,
        high,
        chosen,
        top,
    ) = found
    share = round(100.0 * weights[top])
    return filled(
        Decision,
        (
            task,
            FrozenDict(weights),
            FrozenDict(p) if isinstance(p, dict) else p,
            value,
            disagreement,
            uncertainty,
            scale,
            cost,
            strategy,
            _in_words(bits, top, share, round(disagreement, 2) if bits & _DISAGREE else 0.0),
            time,
            spread,
            entropy,
            divergence,
            pairwise,
            low,
            high,
            STRATEGIES[chosen] if chosen < len(STRATEGIES) else strategy,
        ),
    )


@lru_cache(1024)
def _in_words(bits: int, top: str, share: int, disagreement: float) -> tuple[str, ...]:
    words = [told if isinstance(told, str) else told(top, share, disagreement) for bit, told in _TOLD if bits & bit]
    return tuple(words)


_SENTENCES: dict[str, str | Callable[[str, int, float], str]] = {
    "single_model": lambda top, share, disagreement: f"{top} is the only model that answered",
    "no_history": "no outcome has told these models apart yet: equal weights",
    "equal_weights": "this strategy gives every model one vote",
    "learned_weights": lambda top, share, disagreement: (
        f"past outcomes favour {top}, which carries {share}% of the weight"
    ),
    "models_disagree": lambda top, share, disagreement: (
        f"the models contradict one another (disagreement {disagreement:.2f})"
    ),
    "models_failed": "some calls failed and were left out",
    "models_removed": "answers of models that have left were ignored",
    "in_emergency": "no healthy model was left when this was asked: the position scale is cut",
    "no_consensus": "fewer than two thirds of the models name the same answer: no position is taken",
    "by_confidence": lambda top, share, disagreement: (
        f"{top} is the surest of its answer and carries {share}% of the weight"
    ),
    "drawdown_limit": "profits have fallen from their peak: the position scale is cut",
    "weights_given": lambda top, share, disagreement: f"the weights are the caller's: {top} carries {share}% of them",
    "mixed_by_record": "strategies are mixed by what each would have scored so far",
    "by_agreement": "models that name another answer than most were left out",
}
_DISAGREE = REASONS["models_disagree"]
_TOLD = tuple((bit, _SENTENCES[name]) for name, bit in REASONS.items())


def reason_names(bits: int) -> tuple[str, ...]:
    """The names of reasons that a journal keeps as bits.

    >>> reason_names(1)
    ('single_model',)
    """
    return tuple(name for name, bit in REASONS.items() if bits & bit)
