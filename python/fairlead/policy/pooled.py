"""Pooling strategies, and the words for why a decision looks the way it does.

The rules that make weights stand in `cpp/src/scoreboard.cpp` (`Scoreboard::weigh`) and
`cpp/include/fairlead/hedge.hpp`.

- `hedge`, the default: exponential weights on past outcomes, in the slices of the task, with a learning rate that each
  model's own record sets. Nothing to tune.
- `weighted`: weights by inverse mean loss.
- `mean`, `log`, `median`: every model has one vote. Of numbers, `log` is the mean.
"""

from __future__ import annotations

from typing import Any

from fairlead._core import DEFAULT_STRATEGY, REASONS, STRATEGIES
from fairlead.errors import InvalidRecordError, did_you_mean
from fairlead.types import Decision

__all__ = ["DEFAULT_STRATEGY", "STRATEGIES", "as_decision", "strategy_index"]


def strategy_index(strategy: str) -> int:
    """The core's number of a strategy. Raises InvalidRecordError for a name that is none.

    >>> strategy_index("mean")
    0
    """
    try:
        return STRATEGIES.index(strategy)
    except ValueError as error:
        hint = did_you_mean(str(strategy), STRATEGIES)
        raise InvalidRecordError(f"strategy is {strategy!r}, must be one of {', '.join(STRATEGIES)}{hint}") from error


def as_decision(task: str, strategy: str, found: tuple[Any, ...]) -> Decision:
    """What the core decided of a task, in words."""
    weights, p, value, disagreement, uncertainty, scale, cost, bits, time = found
    return Decision(
        task=task,
        weights=weights,
        p=p,
        value=value,
        disagreement=disagreement,
        uncertainty=uncertainty,
        position_scale=scale,
        cost_usd=cost,
        strategy=strategy,
        reasons=_reasons(bits, weights, disagreement),
        time=time,
    )


def _reasons(bits: int, weights: dict[str, float], disagreement: float) -> tuple[str, ...]:
    top = max(weights, key=lambda name: weights[name])
    sentences = {
        "single_model": f"{top} is the only model that answered",
        "no_history": "no outcome has told these models apart yet: equal weights",
        "equal_weights": "this strategy gives every model one vote",
        "learned_weights": f"past outcomes favour {top}, which carries {weights[top]:.0%} of the weight",
        "models_disagree": f"the models contradict one another (disagreement {disagreement:.2f})",
        "models_failed": "some calls failed and were left out",
        "models_removed": "answers of models that have left were ignored",
        "in_emergency": "no healthy model was left when this was asked: the position scale is cut",
    }
    return tuple(sentences[name] for name, bit in REASONS.items() if bits & bit)
