"""Each guardrail trips where it should, and does not where it should not."""

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle.proving import NO_GUARDRAILS, Guardrails, Reply
from fairlead.lifecycle.proving.guardrails import MOST_SLICES, Seen, guards

Draw = Callable[[random.Random], Seen]
RIGHT, WRONG = [0.1, 0.9], [0.9, 0.1]


def slower(times: float) -> Draw:
    def draw(rng: random.Random) -> Seen:
        burst = 10.0 if rng.random() < 0.05 else 1.0
        one, other = burst * rng.lognormvariate(3.0, 0.3), burst * times * rng.lognormvariate(3.0, 0.3)
        return Seen(1, Reply(RIGHT, one), Reply(RIGHT, other), 0.0)

    return draw


def dearer(times: float) -> Draw:
    def draw(rng: random.Random) -> Seen:
        costs = [rng.lognormvariate(-7.0, 0.5) for _ in range(2)]
        return Seen(1, Reply(RIGHT, cost_usd=costs[0]), Reply(RIGHT, cost_usd=times * costs[1]), 0.0)

    return draw


def failing(share: float, champions: float = 0.05) -> Draw:
    def draw(rng: random.Random) -> Seen:
        one, other = rng.random() < champions, rng.random() < share
        return Seen(1, Reply(None if one else RIGHT), Reply(None if other else RIGHT), 0.0)

    return draw


def claiming(claimed: float, champions: float = 0.75) -> Draw:
    """Both are right three times of four."""

    def draw(rng: random.Random) -> Seen:
        y = rng.random() < 0.75
        return Seen(y, Reply([1.0 - champions, champions]), Reply([1.0 - claimed, claimed]), 0.0)

    return draw


def bad_in_a_slice(loses: float) -> Draw:
    """Better in seven of eight slices, and in one it loses so much more."""

    def draw(rng: random.Random) -> Seen:
        code = rng.randrange(8)
        p = 0.5 + 0.5 * (-loses if code == 3 else 0.1)
        gain = rng.random() < 0.4 and (1.0 if rng.random() < p else -1.0)
        return Seen(1, Reply(RIGHT), Reply(RIGHT), float(gain), {"kind": f"k{code}"})

    return draw


CASES: dict[str, tuple[Draw, Draw]] = {
    "latency": (slower(3.0), slower(1.0)),
    "cost": (dearer(3.0), dearer(1.0)),
    "errors": (failing(0.25), failing(0.05)),
    "calibration": (claiming(0.99), claiming(0.75)),
    "worst_slice": (bad_in_a_slice(0.9), bad_in_a_slice(-0.1)),
}


def run(name: str, draw: Draw, seed: int, n: int) -> int | None:
    """After how many pairs it trips."""
    rng = random.Random(seed)
    guard = guards(Guardrails())[name]
    for i in range(n):
        guard.add(draw(rng))
        if guard.tripped():
            return i + 1
    return None


@pytest.mark.parametrize("name", list(CASES))
def test_it_trips_in_time_where_it_is_broken(name: str) -> None:
    bad, _ = CASES[name]
    assert all(run(name, bad, seed, 1500) is not None for seed in range(10))


@pytest.mark.parametrize("name", list(CASES))
def test_it_hardly_ever_trips_where_both_are_alike(name: str) -> None:
    _, good = CASES[name]
    tripped = sum(run(name, good, seed, 300) is not None for seed in range(60))
    assert tripped <= 3  # of 60 at .01: .6, and three standard deviations


@pytest.mark.parametrize(
    ("name", "draw"),
    [
        ("errors", failing(0.07)),  # two in a hundred more
        ("cost", dearer(1.5)),
        ("latency", slower(1.5)),
        ("calibration", claiming(0.8)),
    ],
)
def test_at_the_limit_itself_it_rarely_trips(name: str, draw: Draw) -> None:
    tripped = sum(run(name, draw, seed, 300) is not None for seed in range(60))
    assert tripped <= 3


def test_a_slow_tail_trips_though_the_usual_call_is_as_fast() -> None:
    def draw(rng: random.Random) -> Seen:
        one, other = rng.lognormvariate(3.0, 0.2), rng.lognormvariate(3.0, 0.2)
        return Seen(1, Reply(RIGHT, one), Reply(RIGHT, other * (10.0 if rng.random() < 0.2 else 1.0)), 0.0)

    assert all(run("latency", draw, seed, 600) is not None for seed in range(10))
    guard, rng = guards(Guardrails())["latency"], random.Random(1)
    while not guard.tripped():
        guard.add(draw(rng))
    assert "slowest twentieth" in str(guard.check())
    usual = guards(Guardrails())["latency"]
    while not usual.tripped():
        usual.add(slower(3.0)(rng))
    assert "usual call" in str(usual.check())


def test_calibration_is_compared_and_sees_both_ways_of_being_wrong() -> None:
    assert run("calibration", claiming(0.99, champions=0.99), 1, 400) is None  # the champion is no better
    assert run("calibration", claiming(0.51), 1, 800) is not None  # too timid is as wrong
    assert run("calibration", claiming(0.75, champions=0.99), 1, 400) is None


def test_calibration_error_is_the_distance_from_what_was_claimed() -> None:
    guard = guards(Guardrails())["calibration"]
    rng = random.Random(5)
    for _ in range(4000):
        guard.add(claiming(0.9)(rng))
    check = guard.check()
    assert check.value == pytest.approx(0.15, abs=0.02)
    assert check.champion == pytest.approx(0.0, abs=0.02)  # the usual estimate is biased upwards here


@pytest.mark.parametrize("name", list(CASES))
def test_the_message_names_the_numbers(name: str) -> None:
    bad, _ = CASES[name]
    guard, rng = guards(Guardrails())[name], random.Random(1)
    assert guard.check().n == 0
    assert guard.check().message in (f"{name}: nothing to look at", "worst_slice: no slices")
    while not guard.tripped():
        guard.add(bad(rng))
    check = guard.check()
    assert check.tripped
    assert check.p_value <= 0.01 + 1e-12
    assert str(check).startswith(f"{name}: ")
    assert f"over {check.n} pairs" in str(check)
    assert f"{check.limit:g}" in str(check) or f"{check.limit:.1%}" in str(check)
    assert json.dumps(check.as_dict())
    if name == "worst_slice":
        assert "kind=k3" in str(check)


@pytest.mark.parametrize("name", list(CASES))
def test_it_goes_on_as_it_was(name: str) -> None:
    bad, good = CASES[name]
    one, other, rng = guards(Guardrails())[name], guards(Guardrails())[name], random.Random(1)
    for _ in range(60):
        one.add(good(rng))
    other.restore(json.loads(json.dumps(one.as_dict(), allow_nan=False)))
    for _ in range(60):
        seen = bad(rng)
        one.add(seen)
        other.add(seen)
    assert one.as_dict() == other.as_dict()
    assert one.check() == other.check()


def test_what_nobody_tells_is_not_looked_at() -> None:
    made = guards(Guardrails())
    for guard in made.values():
        guard.add(Seen(3.0, Reply(2.0), Reply(9.0), -1.0))  # a number, without latency, cost and slices
    assert {name: guard.check().n for name, guard in made.items()} == {
        "errors": 1, "latency": 0, "cost": 0, "calibration": 0, "worst_slice": 0
    }  # fmt: skip
    assert guards(NO_GUARDRAILS) == {}
    assert list(guards(Guardrails(cost=None))) == ["errors", "latency", "calibration", "worst_slice"]


def test_many_slices_share_one_alpha() -> None:
    """A hundred slices, all fair: those past the last that is watched are left alone."""
    counts: Counter[bool] = Counter()
    for seed in range(20):
        rng, guard = random.Random(seed), guards(Guardrails(worst_slice=0.0, alpha=0.05))["worst_slice"]
        for i in range(1500):
            gain = rng.choice((-1.0, 0.0, 1.0))
            guard.add(Seen(1, Reply(RIGHT), Reply(RIGHT), gain, {"kind": str(i % 100)}))
        assert len(guard.as_dict()["slices"]) == MOST_SLICES
        counts[guard.tripped()] += 1
    assert counts[True] <= 4


@pytest.mark.parametrize("name", ["latency", "cost", "errors", "calibration", "worst_slice", "alpha"])
def test_limits_that_cannot_be_are_named(name: str) -> None:
    for value in bad_limits(name):
        with pytest.raises(InvalidRecordError, match=name):
            Guardrails(**{name: value})
    limits = Guardrails(latency=2.0, cost=None, alpha=0.02)
    assert Guardrails.from_dict(json.loads(json.dumps(limits.as_dict()))) == limits


def bad_limits(name: str) -> Iterator[Any]:
    yield "x"
    yield float("nan")
    yield -3.0
    if name not in ("latency", "cost"):
        yield 1.0


@pytest.mark.parametrize("value", [-1.0, float("inf"), float("nan"), "fast"])
def test_a_reply_has_no_negative_latency_or_cost(value: float) -> None:
    with pytest.raises(InvalidRecordError, match="latency_ms"):
        Reply(RIGHT, latency_ms=value)
    with pytest.raises(InvalidRecordError, match="cost_usd"):
        Reply(RIGHT, cost_usd=value)
