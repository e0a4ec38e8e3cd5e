"""How often a challenger is promoted that is no better, and how fast one is that is better.

    python benchmarks/promotion.py [PAIRS]

Whole trials, all stages, looked at after every label. A/A: pairs of models that are equally good, under several laws of
their errors. Real gains: how many labels it takes, beside a test with a horizon fixed beforehand that knows the gain
and the noise, which our test does not: the labels after which it finds the gain with the same probability of .8.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from fairlead.lifecycle.proving import Guardrails, Plan, Reply, Trial, Watch, WatchPlan
from fairlead.lifecycle.proving.bets import STAKES, WEIGHTS
from fairlead.lifecycle.proving.losses import Scale, gain_of, loss_of

Floats = npt.NDArray[np.float64]
HELD_BACK = 100
PLAN = Plan()


@dataclass
class Pairs:
    """Examples with the answers of champion and challenger; p: of class 1, or numbers."""

    y: Floats
    champion: Floats
    challenger: Floats
    numeric: bool = False
    latency: tuple[Floats, Floats] | None = None
    cost: tuple[Floats, Floats] | None = None
    slices: list[dict[str, str]] | None = None
    replies: tuple[list[Reply], list[Reply]] = field(init=False)

    def __post_init__(self) -> None:
        self.replies = (self._replies(self.champion, 0), self._replies(self.challenger, 1))

    def _replies(self, answers: Floats, arm: int) -> list[Reply]:
        given = answers.tolist() if self.numeric else np.stack([1.0 - answers, answers], axis=1).tolist()
        if self.latency is None or self.cost is None:
            return [Reply(answer) for answer in given]
        latency, cost = self.latency[arm].tolist(), self.cost[arm].tolist()
        return [Reply(*each) for each in zip(given, latency, cost, strict=True)]

    def __len__(self) -> int:
        return len(self.y)


Law = Callable[[np.random.Generator, int], Pairs]


def right_or_wrong(right: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> Pairs:
    """Answers that are sure, and right or wrong."""
    return Pairs(np.ones(len(right)), right.astype(float), other.astype(float))


def agreeing(accuracy: float, gain: float, agreement: float) -> Law:
    """Right and wrong, of this accuracy; both are right or both wrong on a share `agreement`."""
    wins, losses = 0.5 * (1.0 - agreement + gain), 0.5 * (1.0 - agreement - gain)

    def law(rng: np.random.Generator, n: int) -> Pairs:
        u = rng.random(n)
        both = accuracy - losses
        champion = (u < both) | ((u >= both) & (u < both + losses))
        challenger = (u < both) | ((u >= both + losses) & (u < both + losses + wins))
        return right_or_wrong(champion, challenger)

    return law


def probabilities(noise: float, gain: float = 0.0, shared: float = 0.7) -> Law:
    """Log odds with noise, most of which both models share; the challenger's own is smaller by `gain`."""

    def law(rng: np.random.Generator, n: int) -> Pairs:
        odds = rng.normal(0.0, 1.5, n)
        y = (rng.random(n) < _share(odds)).astype(float)
        common = rng.normal(0.0, noise, n) * shared
        own = math.sqrt(1.0 - shared**2) * noise
        champion = _share(odds + common + rng.normal(0.0, own, n))
        challenger = _share(odds + common + rng.normal(0.0, own * (1.0 - gain), n))
        return Pairs(y, champion, challenger)

    return law


def heavy_tailed(freedom: float, gain: float = 0.0) -> Law:
    """Numbers with errors of Student's distribution, half of them shared."""

    def law(rng: np.random.Generator, n: int) -> Pairs:
        common, one, other = rng.standard_t(freedom, (3, n))
        return Pairs(np.zeros(n), common + one, common + (1.0 - gain) * other, numeric=True)

    return law


def common_difficulty(rng: np.random.Generator, n: int) -> Pairs:
    """Right and wrong, where how hard it is for both drifts and lasts."""
    level = np.cumsum(rng.normal(0.0, 0.1, n))
    share = _share(0.8 + 1.5 * np.sin(np.arange(n) / 60.0 + rng.random() * 6.0) + level - level.mean())
    return right_or_wrong(rng.random(n) < share, rng.random(n) < share)


def own_luck(memory: float) -> Law:
    """Right and wrong, where each model has good and bad spells of its own. Given the past, the one in its good spell
    is the better one: not what the test promises anything of."""

    def law(rng: np.random.Generator, n: int) -> Pairs:
        spells = np.empty((2, n))
        state = rng.normal(size=2)
        for i, step in enumerate(rng.normal(size=(n, 2)) * math.sqrt(1.0 - memory**2)):
            state = memory * state + step
            spells[:, i] = state
        return right_or_wrong(rng.random(n) < _share(1.0 + spells[0]), rng.random(n) < _share(1.0 + spells[1]))

    return law


def unlucky_champion(rng: np.random.Generator, n: int) -> Pairs:
    """Right and wrong at .75, where retraining was set off by the champion's errors on the held-back data: of a long
    stretch they are the ones on which it was most often wrong."""
    length = 3000
    champion = rng.random(length) < 0.75
    wrong = np.convolve(~champion, np.ones(HELD_BACK), mode="valid")
    first = int(wrong.argmax())
    champion = np.concatenate([champion[first : first + HELD_BACK], rng.random(n - HELD_BACK) < 0.75])
    return right_or_wrong(champion, rng.random(n) < 0.75)


def fully_told(rng: np.random.Generator, n: int) -> Pairs:
    """Probabilities with latencies that come in bursts, costs and eight slices: all that guardrails look at."""
    pairs = probabilities(0.8)(rng, n)
    burst = np.where(_spells(rng, n, 0.97) > 1.5, 4.0, 1.0)
    pairs.latency = (20.0 * burst * rng.lognormal(0.0, 0.5, n), 20.0 * burst * rng.lognormal(0.0, 0.5, n))
    pairs.cost = (1e-3 * rng.lognormal(0.0, 0.7, n), 1e-3 * rng.lognormal(0.0, 0.7, n))
    codes = rng.choice(8, n, p=np.array([30, 20, 15, 12, 10, 7, 4, 2]) / 100.0)
    pairs.slices = [{"kind": f"k{code}"} for code in codes]
    pairs.__post_init__()
    return pairs


def _spells(rng: np.random.Generator, n: int, memory: float) -> Floats:
    out, state = np.empty(n), 0.0
    for i, step in enumerate(rng.normal(size=n) * math.sqrt(1.0 - memory**2)):
        state = memory * state + step
        out[i] = state
    return out


def _share(odds: Floats) -> Floats:
    return 1.0 / (1.0 + np.exp(-odds))


def tried(pairs: Pairs, plan: Plan, name: str, held_back: int = HELD_BACK) -> Trial:
    """A whole trial: held-back data, then one label after the other."""
    trial = Trial(name, plan, Guardrails())
    one, other = pairs.replies
    slices = pairs.slices
    first = slices[:held_back] if slices else None
    y = pairs.y.tolist()
    trial.compare(y[:held_back], one[:held_back], other[:held_back], slices=first)
    for i in range(held_back, len(y)):
        where = slices[i] if slices else None
        trial.observe(y[i], one[i], other[i], slices=where, arm=trial.arm(f"task-{i}"))
        if trial.stage == "done":
            break
    return trial


@dataclass
class Outcome:
    """What became of trials. labels: until the promotion, held-back ones too."""

    trials: int
    promoted: int
    why: Counter[str]
    labels: list[int]
    watched: Counter[str]


def outcomes(law: Law, plan: Plan, trials: int, seed: int, held_back: int = HELD_BACK, watch: int = 0) -> Outcome:
    rng = np.random.default_rng(seed)
    out = Outcome(trials, 0, Counter(), [], Counter())
    for i in range(trials):
        trial = tried(law(rng, held_back + plan.at_most), plan, f"trial-{seed}-{i}", held_back)
        verdict = trial.verdict
        if verdict.decision == "promote":
            out.promoted += 1
            out.labels.append(sum(trial.pairs.values()))
        else:
            kind = verdict.reason.split(":")[0]
            out.why[kind if verdict.failure is not None and verdict.failure.value == "guardrail" else kind[:9]] += 1
        if watch:
            seen = Watch("w", WatchPlan(loss=plan.loss, labels=watch))
            pairs = law(rng, watch)
            for y, one, other in zip(pairs.y.tolist(), *pairs.replies, strict=True):
                seen.observe(y, promoted=other, before=one)
            out.watched[seen.verdict.decision] += 1
    return out


LAWS: dict[str, tuple[Law, Plan]] = {
    "right or wrong, agree on 95 %": (agreeing(0.8, 0.0, 0.95), PLAN),
    "right or wrong, agree on 80 %": (agreeing(0.75, 0.0, 0.8), PLAN),
    "right or wrong, agree on 60 %": (agreeing(0.6, 0.0, 0.6), PLAN),
    "right or wrong, difficulty drifts": (common_difficulty, PLAN),
    "Brier, much noise": (probabilities(1.5), replace(PLAN, loss="brier")),
    "Brier, all guardrails at work": (fully_told, replace(PLAN, loss="brier")),
    "log loss": (probabilities(1.0), replace(PLAN, loss="log")),
    "absolute errors, normal tails": (heavy_tailed(50.0), replace(PLAN, loss="absolute")),
    "absolute errors, Student 1.5": (heavy_tailed(1.5), replace(PLAN, loss="absolute")),
    "squared errors, Student 1.5": (heavy_tailed(1.5), replace(PLAN, loss="squared")),
}

BEYOND: dict[str, tuple[Law, Plan]] = {
    "champion unlucky on held-back data, which are evidence": (unlucky_champion, PLAN),
    "champion unlucky on held-back data, which screen": (unlucky_champion, replace(PLAN, evidence="screen")),
    "own spells, correlation .5 from one to the next": (own_luck(0.5), PLAN),
    "own spells, correlation .9": (own_luck(0.9), PLAN),
    "own spells, correlation .9, alpha .05 ** 4": (own_luck(0.9), replace(PLAN, alpha=0.05**4)),
}

GAINS: dict[str, tuple[Law, Plan]] = {
    "accuracy .60 to .85, agree on 65 %": (agreeing(0.6, 0.25, 0.65), PLAN),
    "accuracy .70 to .80, agree on 80 %": (agreeing(0.7, 0.1, 0.8), PLAN),
    "accuracy .75 to .80, agree on 85 %": (agreeing(0.75, 0.05, 0.85), PLAN),
    "accuracy .75 to .80, agree on 75 %": (agreeing(0.75, 0.05, 0.75), PLAN),
    "accuracy .80 to .82, agree on 95 %": (agreeing(0.8, 0.02, 0.95), PLAN),
    "Brier, own noise gone": (probabilities(1.5, 1.0), replace(PLAN, loss="brier")),
    "log loss, own noise gone": (probabilities(1.5, 1.0), replace(PLAN, loss="log")),
    "absolute errors, own ones smaller by half": (heavy_tailed(3.0, 0.5), replace(PLAN, loss="absolute")),
}


def wrong_promotions(laws: dict[str, tuple[Law, Plan]], trials: int, seed: int) -> Iterator[str]:
    yield "| A/A, equally good | pairs | promoted | at most | refused by a guardrail | rolled back in a watch |"
    yield "|---|--:|--:|--:|---|--:|"
    for i, (name, (law, plan)) in enumerate(laws.items()):
        found = outcomes(law, plan, trials, seed + i, watch=200)
        trips = {why: n for why, n in found.why.items() if why in GUARDRAILS}
        guards = ", ".join(f"{why} {n / trials:.1%}" for why, n in trips.items()) or "0.0%"
        share = found.promoted / trials
        back = found.watched["rollback"] / trials
        yield f"| {name} | {trials:,} | {share:.1%} | {max(plan.alpha, 0.05):.0%} | {guards} | {back:.1%} |"


GUARDRAILS = ("errors", "latency", "cost", "calibration", "worst_slice")


def real_gains(trials: int, seed: int) -> Iterator[str]:
    yield (
        "| gain | promoted | labels: mean | median | 80 % of all | the test alone: mean | 80 % of all "
        "| fixed horizon, 80 % power | wrong if peeked at |"
    )
    yield "|---|--:|--:|--:|--:|--:|--:|--:|--:|"
    for i, (name, (law, plan)) in enumerate(GAINS.items()):
        plan = replace(plan, at_most=4000)
        found = outcomes(law, plan, trials, seed + i)
        alone = outcomes(law, replace(plan, held_back=0, shadow=0, canary=0), trials, seed + i, held_back=0)
        fixed = fixed_horizon(law, plan, seed + i)
        one, other = _quantiles(found), _quantiles(alone)
        yield (
            f"| {name} | {found.promoted / trials:.1%} | {one[0]} | {one[1]} | {one[2]} | {other[0]} | {other[2]} "
            f"| {fixed} | {peeked(law, plan, fixed, seed):.0%} |"
        )


def _quantiles(found: Outcome) -> tuple[str, str, str]:
    """Mean of those promoted; quantiles of all, where those that were not count as never."""
    labels = sorted(found.labels) + [10**9] * (found.trials - found.promoted)
    cut = [labels[int(share * (found.trials - 1))] for share in (0.5, 0.8)]
    mean = f"{np.mean(found.labels):.0f}" if found.labels else "-"
    return mean, *(f"{n:,}" if n < 10**9 else "-" for n in cut)  # type: ignore[return-value]


def degraded(trials: int, seed: int) -> Iterator[str]:
    yield "| promoted model, before it | watched | rolled back | labels until then: mean | median |"
    yield "|---|--:|--:|--:|--:|"
    for name, law in DEGRADED.items():
        rng = np.random.default_rng(seed)
        labels = []
        for _ in range(trials):
            pairs, watch = law(rng, 500), Watch("w", WatchPlan(labels=500))
            for y, one, other in zip(pairs.y.tolist(), *pairs.replies, strict=True):
                watch.observe(y, promoted=one, before=other)
            if watch.verdict.decision == "rollback":
                labels.append(watch.labels)
        told = f"{np.mean(labels):.0f} | {np.median(labels):.0f}" if labels else "- | -"
        yield f"| {name} | 500 labels | {len(labels) / trials:.1%} | {told} |"


DEGRADED = {
    "accuracy .85 before, .60 promoted": agreeing(0.6, 0.25, 0.65),
    "accuracy .80 before, .70 promoted": agreeing(0.7, 0.1, 0.8),
    "accuracy .80 before, .75 promoted": agreeing(0.75, 0.05, 0.85),
    "equally good, agree on 80 %": agreeing(0.75, 0.0, 0.8),
    "accuracy .75 before, .80 promoted": agreeing(0.8, -0.05, 0.85),
}


def ways_to_bet(trials: int, seed: int) -> Iterator[str]:
    """Labels on which just one of the two is right, until the e-value reaches 20: ours, stakes that are learned (both
    of Waudby-Smith and Ramdas, 2024), and the best stake, which only who knows the gain can choose."""
    yield "| the challenger is the right one | ours | aGRAPA | ONS | best stake | fixed horizon, 80 % power |"
    yield "|---|--:|--:|--:|--:|--:|"
    for share in (0.55, 0.6, 0.7, 0.8, 0.9):
        edge = 2.0 * share - 1.0
        rng = np.random.default_rng(seed)
        signs = np.where(rng.random((trials, int(80 / edge**2) + 60)) < share, 1.0, -1.0)
        ours = np.full(signs.shape, -np.inf)
        for stake, weight in zip(STAKES, WEIGHTS, strict=True):
            ours = np.logaddexp(ours, math.log(weight) + np.cumsum(np.log1p(stake * signs), axis=1))
        ways = (ours, _learned(signs, _agrapa()), _learned(signs, _ons()), np.cumsum(np.log1p(edge * signs), axis=1))
        means = [np.where((hit := way >= math.log(20.0)).any(axis=1), hit.argmax(axis=1) + 1, hit.shape[1]).mean()
                 for way in ways]  # fmt: skip
        fixed = math.ceil((1.6449 + 0.8416 * math.sqrt(1.0 - edge**2)) ** 2 / edge**2)
        yield f"| {share:.0%} | " + " | ".join(f"{mean:.0f}" for mean in means) + f" | {fixed} |"


def _learned(signs: Floats, learn: Callable[[Floats, Floats], Floats]) -> Floats:
    wealth, stake = np.empty(signs.shape), np.full(len(signs), 0.2)
    total = np.zeros(len(signs))
    for i in range(signs.shape[1]):
        total += np.log1p(stake * signs[:, i])
        wealth[:, i] = total
        stake = learn(signs[:, i], stake)
    return wealth


def _agrapa() -> Callable[[Floats, Floats], Floats]:
    sums: list[Any] = [0.0, 0.0, 1.0]  # of gains, their number, squared distances

    def learn(gain: Floats, _: Floats) -> Floats:
        mean = sums[0] / (sums[1] + 1.0)
        sums[0], sums[1], sums[2] = sums[0] + gain, sums[1] + 1.0, sums[2] + (gain - mean) ** 2
        mean, variance = sums[0] / (sums[1] + 1.0), sums[2] / (sums[1] + 1.0)
        return np.clip(mean / (variance + mean * mean), 0.0, 0.9)

    return learn


def _ons() -> Callable[[Floats, Floats], Floats]:
    sums: list[Any] = [1.0]

    def learn(gain: Floats, stake: Floats) -> Floats:
        slope = -gain / (1.0 + stake * gain)
        sums[0] = sums[0] + slope**2
        return np.clip(stake - 2.0 / (2.0 - math.log(3.0)) * slope / sums[0], 0.0, 0.5)

    return learn


def gains_of(law: Law, plan: Plan, rng: np.random.Generator, n: int) -> Floats:
    """Differences of losses as the test sees them."""
    pairs, scale = law(rng, n), Scale(plan.scale)
    return np.array(
        [
            gain_of(plan.loss, loss_of(plan.loss, a.answer, y), loss_of(plan.loss, b.answer, y), scale)
            for y, a, b in zip(pairs.y.tolist(), *pairs.replies, strict=True)
        ]
    )


def fixed_horizon(law: Law, plan: Plan, seed: int) -> int:
    """How many pairs a one-sided z test at the same level needs for power .8, given the true mean and variance."""
    gains = gains_of(law, plan, np.random.default_rng(seed), 20_000)
    return math.ceil(((1.6449 + 0.8416) * gains.std() / gains.mean()) ** 2)


def peeked(law: Law, plan: Plan, n: int, seed: int, trials: int = 1000) -> float:
    """How often that z test is wrong on A/A pairs if it is looked at after each pair from the tenth to four times its
    horizon."""
    rng = np.random.default_rng(seed)
    pool = gains_of(law, plan, rng, 20_000)
    n = min(4 * n, 4000)
    wrong = 0
    for _ in range(trials):
        signs = rng.choice([-1.0, 1.0], n)
        gains = rng.choice(pool, n) * signs
        k = np.arange(1, n + 1)
        sums, squares = np.cumsum(gains), np.cumsum(gains**2)
        wrong += bool((sums[9:] > 1.6449 * np.sqrt(np.maximum(squares - sums**2 / k, 1e-12))[9:]).any())
    return wrong / trials


def table(trials: int) -> Iterator[str]:
    yield from wrong_promotions(LAWS, trials, 1)
    yield ""
    yield "Beyond what is promised:"
    yield ""
    yield from wrong_promotions(BEYOND, trials, 101)
    yield ""
    yield from real_gains(max(trials // 2, 10), 201)
    yield ""
    yield from degraded(max(trials // 2, 10), 301)
    yield ""
    yield from ways_to_bet(max(trials, 10), 401)


if __name__ == "__main__":
    for line in table(int(next(islice(sys.argv, 1, None), "1000"))):
        print(line, flush=True)
