"""Losses, their differences and the scale of numbers; who serves a task."""

import json
import math
import random
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle.proving import LOSSES, served_by
from fairlead.lifecycle.proving.losses import CUT, FLOOR, MEMORY, Scale, check_loss, gain_of, loss_of


def test_losses_are_what_they_say() -> None:
    assert loss_of("zero_one", [0.5, 0.5], 0) == 0.0  # of equals the first
    assert loss_of("zero_one", [0.5, 0.5], 1) == 1.0
    assert loss_of("zero_one", np.array([0.1, 0.2, 0.7]), 2) == 0.0
    assert loss_of("brier", [0.3, 0.7], 1) == pytest.approx(0.09)
    assert loss_of("brier", [1.0, 0.0, 0.0], 1) == 1.0
    assert loss_of("log", [0.0, 1.0], 0) == 1.0
    assert loss_of("log", [1.0, 0.0], 0) == 0.0
    assert loss_of("log", [0.5, 0.5], 0) == pytest.approx(math.log(0.5) / math.log(FLOOR))
    assert loss_of("absolute", -1.0, 2.0) == 3.0
    assert loss_of("squared", np.float64(-1.0), 2.0) == 9.0


@pytest.mark.parametrize("name", ["zero_one", "brier", "log"])
@pytest.mark.parametrize("over", [1e-3, float(np.finfo(np.float32).eps)])
def test_probabilities_that_are_rounded_past_one_gain_no_more_than_all(name: str, over: float) -> None:
    sure = [0.0, 1.0 + over]
    assert loss_of(name, sure, 1) >= 0.0  # type: ignore[arg-type]
    assert loss_of(name, [1.0, 0.0], 1) - loss_of(name, sure, 1) <= 1.0  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["zero_one", "brier", "log"])
def test_a_failed_call_or_nan_is_the_worst(name: str) -> None:
    assert loss_of(name, None, 1) == 1.0  # type: ignore[arg-type]
    assert loss_of(name, [math.nan, 0.5], 1) == 1.0  # type: ignore[arg-type]


@given(st.lists(st.floats(0.0, 1.0), min_size=2, max_size=5).filter(lambda p: sum(p) > 0.1), st.integers(0, 4))
def test_losses_of_probabilities_are_in_the_unit_interval(p: list[float], label: int) -> None:
    p = [q / sum(p) for q in p]
    for name in ("zero_one", "brier", "log"):
        assert 0.0 <= loss_of(name, p, label % len(p)) <= 1.0  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "answer", "y", "named"),
    [
        ("brier", [0.5, 0.6], 1, "sum to 1"),
        ("brier", [1.5, -0.5], 1, "sum to 1"),
        ("brier", [1.0], 0, "two or more"),
        ("brier", 0.5, 1, "probabilities of all classes"),
        ("zero_one", [0.5, 0.5], 2, "y is 2"),
        ("zero_one", [0.5, 0.5], 0.5, "y is 0.5"),
        ("zero_one", [0.5, 0.5], math.nan, "y is nan"),
        ("absolute", [0.5, 0.5], 1.0, "must be a number"),
        ("brier", "ab", 1, "answer is 'ab', must be the probabilities"),
        ("brier", [0.5, None], 1, "must be the probabilities"),
        ("zero_one", [0.5, 0.5], "up", "y is 'up', must be a number"),
        ("absolute", 1.0, math.inf, "y is inf"),
    ],
)
def test_bad_answers_and_labels_are_named(name: str, answer: object, y: float, named: str) -> None:
    with pytest.raises(InvalidRecordError, match=named):
        loss_of(name, answer, y)  # type: ignore[arg-type]


def test_a_loss_must_fit_the_answers() -> None:
    assert [check_loss(name) for name in LOSSES] == list(LOSSES)
    with pytest.raises(InvalidRecordError, match="one of absolute, squared"):
        check_loss("brier", numeric=True)
    with pytest.raises(InvalidRecordError, match="one of zero_one, brier, log"):
        check_loss("absolute", numeric=False)
    with pytest.raises(InvalidRecordError, match="loss is 'mse'"):
        check_loss("mse")


def test_numbers_are_measured_by_earlier_differences_alone() -> None:
    rng = random.Random(1)
    scale, sizes = Scale(), []
    for i in range(2 * MEMORY):
        champion, challenger = rng.expovariate(1.0), rng.expovariate(1.0)
        known = statistics.median(sizes[-MEMORY:]) if sizes else None
        gain = gain_of("absolute", champion, challenger, scale)
        expected = 0.0 if known is None else max(-1.0, min(1.0, (champion - challenger) / (CUT * known)))
        assert gain == pytest.approx(expected, abs=1e-12), i
        sizes.append(abs(champion - challenger))
    assert scale.n == MEMORY


def test_a_scale_that_was_given_counts_from_the_first_pair() -> None:
    scale = Scale(0.5)
    assert gain_of("absolute", 1.5, 0.0, scale) == pytest.approx(0.5)
    assert gain_of("absolute", 0.0, 99.0, scale) == -1.0
    assert gain_of("absolute", 2.0, 2.0, scale) == 0.0
    assert scale.n == 2  # nothing is learned from a tie


def test_numbers_that_were_not_given_are_the_worst() -> None:
    scale = Scale()
    assert gain_of("absolute", loss_of("absolute", None, 1.0), 3.0, scale) == 1.0
    assert gain_of("squared", 3.0, loss_of("squared", math.nan, 1.0), scale) == -1.0
    assert gain_of("squared", math.nan, math.inf, scale) == 0.0
    assert scale.n == 0


def test_a_scale_goes_on_as_it_was() -> None:
    rng = random.Random(2)
    scale = Scale(1.0)
    for _ in range(MEMORY + 20):
        scale.learn(rng.random())
    again = Scale.from_dict(json.loads(json.dumps(scale.as_dict())))
    for _ in range(50):
        size = rng.random()
        assert again.value == scale.value
        assert again.quantile(0.95) == scale.quantile(0.95)
        again.learn(size)
        scale.learn(size)


def test_a_quantile_is_a_value_that_was_there() -> None:
    scale = Scale()
    assert math.isnan(scale.quantile(0.5))
    for i in range(1, 21):
        scale.learn(float(i))
    assert (scale.quantile(0.95), scale.quantile(0.0), scale.quantile(1.0)) == (19.0, 1.0, 20.0)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.9])
def test_the_canary_gets_its_share_and_never_changes_its_mind(share: float) -> None:
    tasks = [f"task-{i}" for i in range(4000)]
    arms = {task: served_by(task, share, salt="run-1") for task in tasks}
    served = sum(arm == "challenger" for arm in arms.values())
    assert abs(served - 4000 * share) < 4.0 * math.sqrt(4000 * share * (1 - share))
    assert all(served_by(task, share, salt="run-1") == arm for task, arm in arms.items())
    more = {task: served_by(task, share + 0.1, salt="run-1") for task in tasks}
    assert all(more[task] == "challenger" for task, arm in arms.items() if arm == "challenger")
    other = [served_by(task, share, salt="run-2") for task in tasks]
    both = sum(a == b == "challenger" for a, b in zip(arms.values(), other, strict=True))
    assert abs(both - 4000 * share**2) < 5.0 * math.sqrt(4000 * share**2)
    with pytest.raises(InvalidRecordError, match=r"share is 1\.5"):
        served_by("task", 1.5)
    with pytest.raises(InvalidRecordError, match="task is 7"):
        served_by(7, 0.5)  # type: ignore[arg-type]
    assert served_by("\ud800", 1.0) == "challenger"
