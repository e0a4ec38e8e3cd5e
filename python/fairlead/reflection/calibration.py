"""Do events happen as often as a model says?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fairlead._core import Calibration as _Bins
from fairlead.reflection.columns import Answers
from fairlead.reflection.inference import (
    ALPHA,
    MIN_ROUNDS,
    Estimate,
    Floats,
    Implied,
    Ints,
    holm,
    mean,
    normal_tail,
    slope,
)
from fairlead.reflection.trend import MIN_ROUNDS as MIN_ROUNDS_OF_TREND

CalibrationState = Literal["calibrated", "overconfident", "underconfident", "too high", "too low", "unknown"]


@dataclass(frozen=True, slots=True)
class Calibrated:
    """How far the probabilities of a model can be taken at their word: P(1) of binary tasks, else that of its first
    choice.

    state: 'overconfident', if its Brier score is worse than it would be if its own probabilities were true;
    'underconfident', if better; 'too high' or 'too low', if only the mean probability is off; by two tests at 5 %
    together (Holm).
    bins: mean probability, observed frequency and count of each tenth of [0, 1] that holds any. error: the expected
    calibration error; error_expected: what that would be on average if every probability were true, so that few answers
    are not read as bad ones.
    z, z_p: D. Spiegelhalter's statistic (1986), for outcomes independent of each other. p_value: the larger of that and
    of the same difference tested by rounds, for outcomes that come together.
    bias: mean probability less observed frequency, with its test. drift: the slope of that per 100 tasks. Neither's
    error is less than what the probabilities imply (see `inference`): what never happened so far may still.
    gain: how much less it would lose (Brier score) with its log-odds q replaced by a + b q (J. Platt 1999), a and b
    fitted to the other half of the tasks, in time; of binary tasks.
    """

    state: CalibrationState
    n: int
    error: float
    error_expected: float
    z: float
    z_p: float
    p_value: float
    bias: Estimate
    drift: Estimate
    gain: Estimate | None
    bins: tuple[tuple[float, float, int], ...]

    @property
    def smaller_p(self) -> float:
        """The smaller of the two tests' p-values, adjusted for being two (Holm)."""
        known = [p for p in holm([self.p_value, self.bias.p_value]).tolist() if not math.isnan(p)]
        return min(known, default=math.nan)


def calibration_of(answers: Answers, model: int) -> Calibrated | None:
    """The calibration of one model; None of numbers, and where nothing was scored."""
    places = answers.of(model)
    shown, rounds = answers.column("shown")[places], answers.round[places]
    known = (shown >= 0) & (shown <= 1)
    places, shown, rounds = places[known], shown[known], rounds[known]
    if answers.kind == "numeric" or not len(shown):
        return None
    happened = (answers.column("happened")[places] != 0).astype(float)
    bins = _Bins()
    bins.add_many(shown, happened != 0)

    gain = (happened - shown) * (1.0 - 2.0 * shown)  # its Brier score less the one it would expect
    variance = float(np.sum((1.0 - 2.0 * shown) ** 2 * shown * (1.0 - shown)))
    sure = np.sign(gain.sum()) * math.inf if abs(float(gain.sum())) > 1e-9 else 0.0
    z = float(gain.sum()) / math.sqrt(variance) if variance > 0 else float(sure)
    z_p = min(1.0, 2.0 * normal_tail(abs(z)))
    chance = Implied(shown, np.ones_like(shown))  # of what happens, if every probability is true
    spread = mean(gain, rounds, Implied(shown, 1.0 - 2.0 * shown))
    p = math.nan if math.isnan(spread.p_value) else max(z_p, spread.p_value)
    bias = mean(shown - happened, rounds, chance)
    drift = slope(shown - happened, rounds, chance, least=MIN_ROUNDS_OF_TREND)

    p_shape, p_bias = holm([p, bias.p_value]).tolist()
    state: CalibrationState = "unknown" if bias.rounds < MIN_ROUNDS else "calibrated"
    if p_shape < ALPHA:
        state = "overconfident" if z > 0 else "underconfident"
    elif p_bias < ALPHA:
        state = "too high" if bias.value > 0 else "too low"
    curve = tuple((float(p_), float(f), int(k)) for p_, f, k in bins.curve() if k)
    helped = _gain(shown, happened, rounds) if answers.kind == "binary" else None
    return Calibrated(state, len(shown), bins.error, expected_error(shown), z, z_p, p, bias, drift, helped, curve)


def _gain(p: Floats, happened: Floats, rounds: Ints) -> Estimate:
    """What recalibration would have saved, each half of the rounds by what the other half teaches."""
    early = rounds <= rounds[(len(rounds) - 1) // 2]
    q = np.clip(p, 1e-6, 1.0 - 1e-6)
    q = np.log(q) - np.log1p(-q)
    better = p.copy()
    for half in (early, ~early):
        if half.any() and not half.all():
            a, b = _fitted(q[~half], happened[~half])
            better[half] = 0.5 * (1.0 + np.tanh(0.5 * (a + b * q[half])))
    chance = Implied(0.5 * (p + better), 2.0 * (p - better))
    return mean((p - happened) ** 2 - (better - happened) ** 2, rounds, chance)


def _fitted(q: Floats, happened: Floats) -> tuple[float, float]:
    """Logistic regression on the log-odds, drawn to a = 0, b = 1 as by one more answer (Newton's method)."""
    a, b = 0.0, 1.0
    for _ in range(25):
        p = 0.5 * (1.0 + np.tanh(0.5 * (a + b * q)))
        weight = p * (1.0 - p)
        miss = happened - p
        g_a, g_b = float(miss.sum()) - a, float(np.einsum("i,i->", miss, q)) - (b - 1.0)
        h_aa, h_ab = float(weight.sum()) + 1.0, float(np.einsum("i,i->", weight, q))
        h_bb = float(np.einsum("i,i,i->", weight, q, q)) + 1.0
        size = h_aa * h_bb - h_ab * h_ab
        step_a, step_b = (h_bb * g_a - h_ab * g_b) / size, (h_aa * g_b - h_ab * g_a) / size
        longest = max(abs(step_a), abs(step_b))
        scale = min(1.0, 1.0 / longest) if longest > 0 else 0.0
        a, b = a + scale * step_a, b + scale * step_b
        if longest < 1e-9:
            break
    return a, b


def expected_error(p: Floats, bins: int = 10) -> float:
    """The expected calibration error of probabilities that are true, for n answers with these probabilities.

    In each bin the count of what happens is taken for binomial: A. de Moivre's formula for its mean absolute deviation,
    scaled to the variance that the probabilities really have.

    >>> round(expected_error(np.full(100, 0.5)), 4), round(expected_error(np.full(10_000, 0.5)), 4)
    (0.0398, 0.004)
    """
    which = np.minimum((p * bins).astype(np.int64), bins - 1)
    total = 0.0
    for b in range(bins):
        inside = p[which == b]
        n, q = len(inside), float(inside.mean()) if len(inside) else 0.0
        if not 0.0 < q < 1.0:
            continue
        # E|X - nq| = 2 (1 - q) k P(X = k), k the first whole number above nq
        k = min(math.floor(n * q) + 1, n)
        log_p = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * math.log(q)
        deviation = 2.0 * (1.0 - q) * k * math.exp(log_p + (n - k) * math.log1p(-q))
        total += deviation * math.sqrt(float(np.sum(inside * (1.0 - inside))) / (n * q * (1.0 - q)))
    return total / len(p)
