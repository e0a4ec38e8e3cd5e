"""The paired test against exact arithmetic, and what must hold of it whatever it is shown."""

import json
import math
import random
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle.proving import PairedTest, UnpairedTest
from fairlead.lifecycle.proving.bets import STAKES, WEIGHTS, Bets, least_mean

LOSS = st.floats(0.0, 1.0)
PAIRS = st.lists(st.tuples(LOSS, LOSS), max_size=60)


def exact(x: list[float], mean: float) -> Fraction:
    """The e-value in rational numbers."""
    total = Fraction(0)
    for stake, weight in zip(STAKES, WEIGHTS, strict=True):
        wealth = Fraction(weight)
        for value in x:
            wealth *= 1 + Fraction(stake) * (Fraction(value) / Fraction(mean) - 1)
        total += wealth
    return total


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.0, 1.0), max_size=40), st.floats(0.01, 0.99))
def test_wealth_is_what_exact_arithmetic_gives(x: list[float], mean: float) -> None:
    bets = Bets(mean)
    most = 0.0
    for i, value in enumerate(x):
        bets.add(value)
        log = math.log(exact(x[: i + 1], mean))
        most = max(most, log)
        assert bets.log_e_value == pytest.approx(log, abs=1e-10)
    assert bets.log_most == pytest.approx(most, abs=1e-10)
    assert bets.p_value == pytest.approx(math.exp(-most), rel=1e-9)


@pytest.mark.parametrize("mean", [0.05, 0.5, 0.7])
def test_nobody_wins_on_average_where_the_claim_is_true(mean: float) -> None:
    """Over all sequences of five of which x is 0 or 1 with this mean, the expected e-value is 1: exactly."""
    p = Fraction(mean)
    expected = Fraction(0)
    for code in range(32):
        x = [float(code >> i & 1) for i in range(5)]
        ones = int(sum(x))
        expected += exact(x, mean) * p**ones * (1 - p) ** (5 - ones)
    assert expected == sum(map(Fraction, WEIGHTS))
    assert sum(map(Fraction, WEIGHTS)) == pytest.approx(1.0, abs=1e-15)


@given(PAIRS)
@settings(max_examples=50, deadline=None)
def test_many_at_once_are_one_after_the_other(pairs: list[tuple[float, float]]) -> None:
    one, other = PairedTest(least=0.1), PairedTest(least=0.1)
    for champion, challenger in pairs:
        one.update(champion, challenger)
    other.update_many([a for a, _ in pairs], [b for _, b in pairs])
    assert one.as_dict() == other.as_dict()


@given(PAIRS, PAIRS)
@settings(max_examples=50, deadline=None)
def test_what_was_stored_goes_on_to_the_bit(
    before: list[tuple[float, float]], after: list[tuple[float, float]]
) -> None:
    test = PairedTest(alpha=0.02, least=0.1, beta=0.1, margin=-0.05, bound=2.0)
    for pair in before:
        test.update(*pair)
    other = PairedTest.from_dict(json.loads(json.dumps(test.as_dict(), allow_nan=False)))
    for pair in after:
        assert test.update(*pair) == other.update(*pair)
    assert test.as_dict() == other.as_dict()
    assert test.interval() == other.interval()


@given(PAIRS.filter(bool), st.integers(0, 59), st.floats(0.0, 1.0))
@settings(max_examples=80, deadline=None)
def test_losing_less_is_never_held_against_the_challenger(
    pairs: list[tuple[float, float]], where: int, better: float
) -> None:
    one, other = PairedTest(), PairedTest()
    where %= len(pairs)
    for i, (champion, challenger) in enumerate(pairs):
        one.update(champion, challenger)
        other.update(champion, min(challenger, better) if i == where else challenger)
    slack = 1e-9
    assert other.e_value >= one.e_value * (1.0 - slack)
    assert other.p_value <= one.p_value * (1.0 + slack)
    assert other.interval()[0] >= one.interval()[0]
    assert other.interval()[1] >= one.interval()[1]
    assert not (other.futile and not one.futile)


@given(PAIRS)
@settings(max_examples=50, deadline=None)
def test_the_two_directions_mirror_each_other(pairs: list[tuple[float, float]]) -> None:
    one, other = PairedTest(), PairedTest()
    for champion, challenger in pairs:
        one.update(champion, challenger)
        other.update(challenger, champion)
    low, high = one.interval()
    assert other.interval() == (-high, -low)
    assert other.gain == -one.gain or math.isnan(one.gain)
    assert one.futile == (other._for.log_most >= math.log(20.0))


@given(PAIRS.filter(bool), st.floats(0.6, 0.99))
@settings(max_examples=50, deadline=None)
def test_intervals_nest_and_hold_the_mean(pairs: list[tuple[float, float]], level: float) -> None:
    test = PairedTest()
    for pair in pairs:
        test.update(*pair)
    wide, narrow = test.interval(0.995), test.interval(level)
    assert -1.0 <= wide[0] <= narrow[0] <= test.gain <= narrow[1] <= wide[1] <= 1.0


def test_the_interval_is_what_the_bets_do_not_refute() -> None:
    rng = random.Random(3)
    test = PairedTest()
    gains = [rng.choice((-1.0, 0.0, 0.0, 1.0, 1.0)) for _ in range(200)]
    for gain in gains:
        test.add(gain)
    low, high = test.interval(0.9)
    inside, outside = exact_at(gains, low + 1e-5), exact_at(gains, low - 1e-5)
    assert inside < 20.0 < outside
    mirrored = [-gain for gain in gains]
    assert exact_at(mirrored, -high + 1e-5) < 20.0 < exact_at(mirrored, -high - 1e-5)


def exact_at(gains: list[float], mean: float) -> float:
    return float(exact([0.5 + 0.5 * gain for gain in gains], 0.5 + 0.5 * mean))


def test_the_interval_covers_at_all_times_together() -> None:
    """90 % intervals looked at after every tenth of 200 pairs miss the mean at most in a tenth of runs."""
    missed = 0
    for seed in range(150):
        rng = random.Random(seed)
        test = PairedTest()
        for i in range(1, 201):
            u = rng.random()
            test.add(1.0 if u < 0.35 else -1.0 if u < 0.45 else 0.0)
            low, high = test.interval(0.9) if i % 10 == 0 else (-1.0, 1.0)
            if not low <= 0.25 <= high:
                missed += 1
                break
    assert missed <= 25  # of 150 at .1: 15, and three standard deviations


def test_a_histogram_rounds_outwards() -> None:
    test = PairedTest()
    test.update_many([0.5003] * 50, [0.5] * 50)
    finer = least_mean([(0.5 + 0.5 * 0.0003, 50)], 0.025)
    assert test.interval(0.95)[0] <= 2.0 * finer - 1.0


def test_a_gain_past_the_bound_is_cut_and_a_margin_moves_the_null() -> None:
    cut, whole = PairedTest(bound=0.5), PairedTest()
    for _ in range(5):
        assert cut.update(9.0, 0.0) == whole.update(1.0, 0.0)
    assert cut.gain == 0.5
    strict, lenient = PairedTest(margin=0.2, least=0.2), PairedTest(margin=-0.2)
    for _ in range(30):
        strict.update(0.5, 0.4)
        lenient.update(0.5, 0.6)
    assert strict.e_value < 1.0 < lenient.e_value
    assert not strict.better


def test_a_hopeless_challenger_is_futile_before_one_of_which_less_is_asked() -> None:
    tests = [PairedTest(least=least) for least in (0.0, 0.1, 0.3)]
    at: list[int | None] = [None, None, None]
    rng = random.Random(1)
    for i in range(3000):
        u = rng.random()
        gain = 1.0 if u < 0.05 else -1.0 if u < 0.2 else 0.0
        for k, test in enumerate(tests):
            test.add(gain)
            if test.futile and at[k] is None:
                at[k] = i
    assert all(where is not None for where in at)
    assert at[0] >= at[1] >= at[2]  # type: ignore[operator]
    assert not tests[0].better


def test_it_goes_on_past_what_a_double_holds() -> None:
    test = PairedTest()
    for _ in range(3000):
        test.add(1.0)
    assert test.e_value == math.inf
    assert test.p_value == 0.0
    for _ in range(9000):
        test.add(-1.0)
    assert 0.0 <= test.e_value < 1e-30
    assert test.better
    assert test.futile
    json.dumps(test.as_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"alpha": 0.0}, "alpha"),
        ({"alpha": True}, "alpha"),
        ({"beta": 1.0}, "beta"),
        ({"bound": 0.0}, "bound"),
        ({"bound": math.nan}, "bound"),
        ({"margin": 1.0}, "margin"),
        ({"margin": None}, "margin is None"),
        ({"bound": "x"}, "bound is 'x'"),
        ({"least": -2.0}, "least"),
        ({"margin": 0.2}, "least"),
    ],
)
def test_what_cannot_be_is_refused_by_name(arguments: dict[str, float], named: str) -> None:
    with pytest.raises(InvalidRecordError, match=named):
        PairedTest(**arguments)


def test_a_bad_loss_changes_nothing() -> None:
    test = PairedTest()
    test.update(1.0, 0.0)
    before = test.as_dict()
    with pytest.raises(InvalidRecordError, match="challenger is nan"):
        test.update(0.0, math.nan)
    with pytest.raises(InvalidRecordError, match="champion is inf"):
        test.update(math.inf, 0.0)
    with pytest.raises(InvalidRecordError, match="champion is 'a'"):
        test.update("a", 0.0)  # type: ignore[arg-type]
    with pytest.raises(InvalidRecordError, match=r"challenger\[0\] is None"):
        test.update_many([1.0], [None])  # type: ignore[list-item]
    with pytest.raises(InvalidRecordError, match=r"challenger\[1\] is inf"):
        test.update_many([1.0, 1.0], [0.0, math.inf])
    with pytest.raises(InvalidRecordError, match="challenger has 1 losses, champion has 2"):
        test.update_many([1.0, 1.0], [0.0])
    with pytest.raises(InvalidRecordError, match="level is 1"):
        test.interval(1.0)
    with pytest.raises(InvalidRecordError, match=r"gain is 1\.5"):
        test.add(1.5)
    assert test.as_dict() == before
    assert str(PairedTest()) == "no pairs yet"
    bets = Bets(0.3)
    with pytest.raises(InvalidRecordError, match=r"x is -0\.1"):
        bets.add(-0.1)
    assert bets.n == 0
    with pytest.raises(InvalidRecordError, match="mean is 1"):
        Bets(1.0)


def test_unpaired_blocks_are_pairs_of_means() -> None:
    unpaired, paired = UnpairedTest(alpha=0.1), PairedTest(alpha=0.1)
    for arm, loss in [
        ("champion", 0.9),
        ("champion", 0.7),
        ("challenger", 0.3),
        ("challenger", 0.1),
        ("champion", 0.5),
    ]:
        unpaired.add(arm, loss)  # type: ignore[arg-type]
    paired.update(0.8, 0.3)
    paired.update(0.5, 0.1)
    assert unpaired.test.e_value == pytest.approx(paired.e_value, rel=1e-12)
    again = UnpairedTest.from_dict(json.loads(json.dumps(unpaired.as_dict())))
    assert again.as_dict() == unpaired.as_dict()
    assert again.add("challenger", 0.2) == unpaired.add("challenger", 0.2)
    assert again.add("champion", 0.3) == unpaired.add("champion", 0.3)
    with pytest.raises(InvalidRecordError, match="arm is 'both'"):
        unpaired.add("both", 0.1)  # type: ignore[arg-type]
    with pytest.raises(InvalidRecordError, match="loss is nan"):
        unpaired.add("champion", math.nan)


def test_unpaired_a_and_a_are_rarely_told_apart_and_a_gain_is_found() -> None:
    found = [0, 0]
    for k, gain in enumerate((0.0, 0.35)):
        for seed in range(60):
            rng = random.Random(seed)
            unpaired = UnpairedTest()
            for _ in range(400):
                arm = "challenger" if rng.random() < 0.5 else "champion"
                unpaired.add(arm, float(rng.random() < 0.5 - (gain if arm == "challenger" else 0.0)))  # type: ignore[arg-type]
            found[k] += unpaired.test.better
    assert found[0] <= 8  # of 60 at .05: 3, and three standard deviations
    assert found[1] >= 57
