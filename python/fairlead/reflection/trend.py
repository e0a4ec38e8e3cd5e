"""Is a model getting better or worse? The slope of its losses over its tasks, tested as `inference` says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fairlead.reflection import implied
from fairlead.reflection.columns import Answers
from fairlead.reflection.inference import ALPHA, Estimate, slope

State = Literal["improving", "stable", "degrading", "unknown"]

MIN_ROUNDS = 20
TEST = "slope by task, t test with series long-run variance (Mueller 2007; Lazarus et al. 2018)"


@dataclass(frozen=True, slots=True)
class Trend:
    """Where the losses of a model are going.

    state: by the test of `basis` at 5 %; 'unknown' with fewer than 20 rounds. basis: 'excess', if others answered at
    least half of its tasks, so that harder tasks are not read as degradation: what it loses less what the others lost
    on the same task, each freed of how good it is on the whole; so one that stands still while the others learn
    degrades. Else 'raw'. excess, raw: slopes per 100 of the model's tasks. test: what was done.
    statistic, p_value, slope, low, high, n, rounds: of the basis.
    """

    state: State
    basis: Literal["excess", "raw"]
    excess: Estimate
    raw: Estimate
    test: str = TEST

    @property
    def chosen(self) -> Estimate:
        """The slope that decided."""
        return self.excess if self.basis == "excess" else self.raw

    @property
    def p_value(self) -> float:
        """Of no slope, two-sided."""
        return self.chosen.p_value


def trend_of(answers: Answers, model: int) -> Trend:
    """The trend of one model."""
    places = answers.of(model)
    loss, rounds = answers.loss[places], answers.round[places]
    if answers.kind == "numeric":
        loss = np.sqrt(loss)  # of squared errors, a few would be all there is
        excess = answers.adjusted_absolute[places]
    else:
        excess = answers.adjusted[places]
    met = ~np.isnan(excess)
    raw = slope(loss, rounds, implied.of_loss(answers, places), least=MIN_ROUNDS)
    relative = slope(excess[met], rounds[met], implied.of_excess(answers, places[met]), least=MIN_ROUNDS)
    basis: Literal["excess", "raw"] = "excess" if 2 * int(met.sum()) >= len(places) and met.any() else "raw"
    return Trend(state_of(relative if basis == "excess" else raw), basis, relative, raw)


def state_of(found: Estimate) -> State:
    """What a slope of losses means."""
    if np.isnan(found.p_value):
        return "unknown"
    if found.p_value >= ALPHA:
        return "stable"
    return "degrading" if found.value > 0 else "improving"
