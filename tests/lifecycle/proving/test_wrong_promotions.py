"""Whole trials, looked at after every label: how often the wrong challenger is promoted, and the right one found.

benchmarks/promotion.py has the same with a thousand pairs of each law.
"""

import math
import random
from collections.abc import Callable

import pytest
from scipy import stats

from fairlead.lifecycle.proving import NO_GUARDRAILS, Guardrails, Plan, Reply, Trial
from fairlead.lifecycle.proving.losses import LossName

Draw = Callable[[random.Random, int], tuple[float, Reply, Reply]]
RIGHT, WRONG = Reply([0.1, 0.9]), Reply([0.9, 0.1])


def right_or_wrong(one: float, other: float) -> Draw:
    def draw(rng: random.Random, _: int) -> tuple[float, Reply, Reply]:
        return 1, RIGHT if rng.random() < one else WRONG, RIGHT if rng.random() < other else WRONG

    return draw


def drifting(rng: random.Random, i: int) -> tuple[float, Reply, Reply]:
    """How hard it is for both goes up and down."""
    share = 0.7 + 0.25 * math.sin(i / 20.0)
    return right_or_wrong(share, share)(rng, i)


def probabilities(own: float) -> Draw:
    """Of the champion with noise of its own of 1, of the challenger with `own`."""

    def draw(rng: random.Random, _: int) -> tuple[float, Reply, Reply]:
        odds = rng.gauss(0.0, 1.5)
        answers = [1.0 / (1.0 + math.exp(-odds - rng.gauss(0.0, noise))) for noise in (1.0, own)]
        y = rng.random() < 1.0 / (1.0 + math.exp(-odds))
        return float(y), Reply([1.0 - answers[0], answers[0]]), Reply([1.0 - answers[1], answers[1]])

    return draw


def numbers(own: float) -> Draw:
    """With errors that have no variance."""

    def draw(rng: random.Random, _: int) -> tuple[float, Reply, Reply]:
        common = rng.gauss(0.0, 1.0)
        errors = [common + noise * rng.choice((-1, 1)) * rng.paretovariate(1.5) for noise in (1.0, own)]
        return 0.0, Reply(errors[0]), Reply(errors[1])

    return draw


def promoted(draw: Draw, loss: LossName, trials: int, labels: int, limits: Guardrails = NO_GUARDRAILS) -> list[int]:
    """After how many labels, of those that were promoted."""
    plan = Plan(loss=loss, held_back=20, shadow=5, canary=2, share=0.5, least=0.0, at_most=labels)
    found = []
    for seed in range(trials):
        rng, trial = random.Random(f"{loss}{seed}"), Trial(f"trial-{seed}", plan, limits)
        first = [draw(rng, i) for i in range(20)]
        trial.compare([y for y, _, _ in first], [one for _, one, _ in first], [other for _, _, other in first])
        i = 20
        while trial.stage != "done":
            trial.observe(*draw(rng, i), arm=trial.arm(f"task-{i}"))
            i += 1
        if trial.verdict.decision == "promote":
            found.append(sum(trial.pairs.values()))
    return found


A_A: dict[str, tuple[Draw, LossName]] = {
    "right or wrong": (right_or_wrong(0.7, 0.7), "zero_one"),
    "drifting difficulty": (drifting, "zero_one"),
    "probabilities": (probabilities(1.0), "brier"),
    "heavy tails": (numbers(1.0), "absolute"),
}


@pytest.mark.parametrize("name", list(A_A))
def test_of_equals_at_most_one_in_twenty_is_promoted(name: str) -> None:
    """Fails with probability .001 at most if the share is .05, and most often at .15."""
    draw, loss = A_A[name]
    trials = 150
    assert len(promoted(draw, loss, trials, 80)) <= stats.binom.ppf(0.999, trials, 0.05)
    assert stats.binom.cdf(stats.binom.ppf(0.999, trials, 0.05), trials, 0.15) < 0.15


def test_peeking_at_a_test_that_is_not_made_for_it_is_found_out_here() -> None:
    """The same pairs, decided by a z test that is looked at after each of them: far more than one in twenty."""
    wrong = 0
    for seed in range(150):
        rng, total, squares = random.Random(seed), 0.0, 0.0
        for i in range(1, 141):
            gain = float(rng.random() < 0.3) - float(rng.random() < 0.3)
            total, squares = total + gain, squares + gain * gain
            if i >= 20 and total > 1.645 * math.sqrt(max(squares - total * total / i, 1e-9)):
                wrong += 1
                break
    assert wrong > stats.binom.ppf(0.999, 150, 0.05)


@pytest.mark.parametrize(
    ("draw", "loss", "within"),
    [
        (right_or_wrong(0.55, 0.9), "zero_one", 60),
        (probabilities(0.0), "brier", 300),
        (numbers(0.2), "absolute", 120),
    ],
)
def test_a_real_gain_is_found_in_time(draw: Draw, loss: LossName, within: int) -> None:
    found = promoted(draw, loss, 30, 600, Guardrails())
    assert len(found) >= 27
    assert sorted(found)[14] <= within


def test_a_worse_challenger_is_never_promoted_in_hundred_trials() -> None:
    assert len(promoted(right_or_wrong(0.75, 0.6), "zero_one", 100, 120)) <= 1
