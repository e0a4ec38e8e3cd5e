"""The strategies once more, from their definitions, in plain numpy: what the core must agree with. Imports no fairlead.

    oracle = Oracle(models)
    oracle.open("t", "binary", 2, ["category=a"])
    oracle.record("t", 3, [0.4, 0.6], 0.6)  # a row of all classes, of a number one value; its calibrated confidence
    weights, answer = oracle.decide("t", "auto")
    losses = oracle.settle("t", 1, time=7)  # all that is settled at one time in a row is one round

The losses are what each strategy would have lost by the standings that the models had when they answered.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

HALF_LIFE = 200.0  # tasks; of models' records, and of the recalibration
AUTO_HALF_LIFE = 1000.0  # tasks; of strategies' records
EVIDENCE = 20.0  # tasks until a narrow slice is believed half
MAX_RATE = 0.5
DOUBT = 2.0  # standard errors before a strategy's record, or a recalibration, counts at all
OUTSIDER = 0.1  # of what a strategy outside the core has proven, goes into its share of auto
TRIM = 0.2  # of the answers, at each end
AGREEMENT = 2 / 3  # of the models, for a consensus
AMBIGUITY = 0.75  # of numbers: how much of a bounded distance from the core is taken off a bounded loss
FADE = 0.05  # of numbers: of the usual squared error
LOG_FLOOR = 1e-3  # probabilities are raised to it before logarithms are taken
RIDGE = 10.0  # tasks' worth of curvature in the recalibration
BOUND = 2.0  # of each recalibration parameter

CORE = ("hedge", "weighted", "stacked")
OUTSIDERS = ("mean", "median", "trimmed", "log")
MIXED = CORE + OUTSIDERS  # what auto is made of
BY_NAME = ("confidence", "consensus", "vote")
STRATEGIES = (*MIXED, *BY_NAME, "auto")


def softmax(z: Array) -> Array:
    w = np.exp(z - z.max())
    return np.asarray(w / w.sum())


class Decayed:
    """Decayed sums of x, of 1, and of squares of what x came to in a round; a column sits out where it is absent."""

    def __init__(self, n: int, half_life: float) -> None:
        self.keep = 2.0 ** (-1.0 / half_life)
        self.sum, self.square, self.round, self.n = (np.zeros(n) for _ in range(4))
        self.time: int | None = None

    def add(self, x: Array, present: npt.NDArray[np.bool_], time: int) -> None:
        if self.time is not None and time != self.time:  # a new time closes the round before it
            self.square += self.round**2
            self.round[:] = 0.0
        self.time = time
        for column in (self.sum, self.square, self.round, self.n):
            column *= self.keep
        x = np.where(present, x, 0.0)
        self.sum += x
        self.round += x
        self.n += present

    @property
    def variance(self) -> Array:
        return np.asarray(self.square + self.round**2)

    @property
    def evidence(self) -> Array:
        return np.asarray(self.n / (self.n + EVIDENCE))


class Weights:
    """Log-weights from decayed excess losses, with the second-order rate."""

    def __init__(self, models: int) -> None:
        self.record = Decayed(models, HALF_LIFE)
        self.met = np.zeros(models, bool)

    def add(self, loss: Array, present: npt.NDArray[np.bool_], time: int) -> None:
        self.met |= present
        self.record.add(loss - loss[present].mean(), present, time)

    @property
    def advantage(self) -> Array:
        rate = np.sqrt(np.log(max(self.met.sum(), 2)) / np.maximum(self.record.variance, 1e-12))
        return np.asarray(-np.minimum(rate, MAX_RATE) * self.record.sum)


class Choice:
    """What each strategy would have gained over the core."""

    def __init__(self) -> None:
        self.record = Decayed(len(MIXED), AUTO_HALF_LIFE)

    @property
    def advantage(self) -> Array:
        gain, variance = self.record.sum, np.maximum(self.record.variance, 1e-12)
        clear = np.sign(gain) * np.maximum(np.abs(gain) - DOUBT * np.sqrt(variance), 0.0)
        return np.asarray(np.minimum(np.sqrt(np.log(len(MIXED)) / variance), MAX_RATE) * clear)


class Recalibration:
    """Log-odds times 1 + t, and plus b of two classes: one Newton step of the Brier score from no change, shrunk."""

    def __init__(self, binary: bool) -> None:
        self.binary = binary
        self.gradient = Decayed(1 + binary, HALF_LIFE)
        self.curvature = np.zeros(1 + binary)
        self.step = np.array([0.5, 1.0])[: 1 + binary]

    def add(self, p: Array, truth: Array, time: int) -> None:
        z = np.log(np.maximum(p, LOG_FLOOR))
        s = softmax(z)
        slopes = [s * (z - s @ z)]
        if self.binary:
            slopes.append(s[0] * s[1] * np.array([-1.0, 1.0]))
        d = np.array(slopes)
        self.gradient.add(2.0 * d @ (s - truth), np.ones(len(d), bool), time)
        self.curvature = self.curvature * self.gradient.keep + 2.0 * (d**2).sum(axis=1)

    @property
    def parameters(self) -> tuple[float, float]:
        g, v = self.gradient.sum, self.gradient.variance
        with np.errstate(divide="ignore", invalid="ignore"):
            shrink = np.where(g == 0.0, 0.0, np.maximum(1.0 - DOUBT**2 * v / g**2, 0.0))
        found = np.clip(-self.step * shrink * g / (self.curvature + RIDGE), -BOUND, BOUND)
        return float(found[0]), float(found[1]) if self.binary else 0.0


@dataclass
class Mixture:
    """How `auto` was made up when the newest answer came, and what else a strategy looks up."""

    share: Array
    t: float
    b: float
    tolerance: float


@dataclass
class Open:
    kind: str
    classes: int
    slices: list[str]
    models: list[int] = field(default_factory=list)
    rows: list[Array] = field(default_factory=list)
    standing: list[Array] = field(default_factory=list)  # log-weights of hedge and weighted
    confidence: list[float] = field(default_factory=list)
    mixture: Mixture | None = None


class Family:
    """Probabilities, or numbers: skill at one says little of the other."""

    def __init__(self, models: int) -> None:
        self.models = models
        self.hedge: dict[str, Weights] = {}
        self.weighted: dict[str, Weights] = {}
        self.choice: dict[str, Choice] = {}
        self.known: dict[tuple[str, ...], list[Array]] = {}  # advantages until the next outcome

    def slice(self, name: str) -> tuple[Weights, Weights, Choice]:
        if name not in self.hedge:
            self.hedge[name], self.weighted[name], self.choice[name] = (
                Weights(self.models),
                Weights(self.models),
                Choice(),
            )
        return self.hedge[name], self.weighted[name], self.choice[name]

    def advantages(self, slices: list[str]) -> list[Array]:
        """Of hedge, weighted and the strategies: a narrow slice by its evidence, the rest from overall; their mean."""
        if tuple(slices) in self.known:
            return self.known[tuple(slices)]
        broad = self.slice("")
        out = [] if slices else [record.advantage for record in broad]
        for k in range(3 if slices else 0):
            each = []
            for name in slices:
                narrow = self.slice(name)[k]
                e = narrow.record.evidence
                each.append(e * narrow.advantage + (1.0 - e) * broad[k].advantage)
            out.append(np.mean(each, axis=0))
        self.known[tuple(slices)] = out
        return out


class Oracle:
    def __init__(self, models: int) -> None:
        self.families = {False: Family(models), True: Family(models)}  # by whether it is of numbers
        self.recalibration = {"binary": Recalibration(True), "categorical": Recalibration(False)}
        self.scale: dict[str, float] = {}  # numbers: the usual squared error of a slice
        self.tasks: dict[str, Open] = {}
        self.removed: set[int] = set()
        self.moved = 0.0  # how far stacked was ever from the core, and
        self.let_in = 0.0  # how much the outsiders ever had of auto

    def open(self, task: str, kind: str, classes: int, slices: list[str]) -> None:
        self.tasks[task] = Open(kind, classes, slices)

    def record(self, task: str, model: int, row: Array, confidence: float = float("nan")) -> None:
        t = self.tasks[task]
        if model not in t.models:
            t.models.append(model)
            t.rows.append(row)
            t.standing.append(np.zeros(2))
            t.confidence.append(0.0)
        i = t.models.index(model)
        t.rows[i] = row
        t.confidence[i] = confidence
        hedge, weighted, _ = self.families[t.kind == "numeric"].advantages(t.slices)
        t.standing[i] = np.array([hedge[model], weighted[model]])
        t.mixture = self.mixture(t)

    def mixture(self, t: Open) -> Mixture:
        a = self.families[t.kind == "numeric"].advantages(t.slices)[2]
        core = np.array([name in CORE for name in MIXED])
        raw = np.where(core, np.exp(a), OUTSIDER * np.maximum(np.exp(a) - 1.0, 0.0))
        learned = self.recalibration[t.kind].parameters if t.kind != "numeric" else (0.0, 0.0)
        self.let_in = max(self.let_in, float(1.0 - raw[core].sum() / raw.sum()))
        return Mixture(raw / raw.sum(), *learned, float(np.sqrt(self.scale.get("", 0.0))))

    def decide(self, task: str, strategy: str) -> tuple[dict[int, float], Array]:
        """By what is known now."""
        t = self.tasks[task]
        here = [i for i, model in enumerate(t.models) if model not in self.removed]
        hedge, weighted, _ = self.families[t.kind == "numeric"].advantages(t.slices)
        who = [t.models[i] for i in here]
        rows, sure = np.array([t.rows[i] for i in here]), np.array([t.confidence[i] for i in here])
        w, p = self.answer(t, rows, sure, hedge[who], weighted[who], self.mixture(t))[strategy]
        return dict(zip(who, w.tolist(), strict=True)), p

    def answer(
        self, t: Open, p: Array, confidence: Array, hedge: Array, weighted: Array, mixture: Mixture
    ) -> dict[str, tuple[Array, Array]]:
        """Weights and answer of every strategy; p is (models, classes)."""
        m, numeric = len(p), t.kind == "numeric"
        equal = np.full(m, 1.0 / m)
        w = dict.fromkeys(STRATEGIES, equal)
        w["hedge"], w["weighted"] = softmax(hedge), softmax(weighted)
        w["stacked"] = (w["hedge"] + w["weighted"]) / 2
        w["confidence"], w["vote"], w["consensus"] = self.by_name(t, p, confidence, hedge, mixture)
        out = {name: w[name] @ p for name in STRATEGIES}
        out["median"], out["trimmed"] = ordered(p, (m - 1) // 2), ordered(p, int(TRIM * m))
        if numeric:
            out["vote"] = out["median"]
        else:
            out["log"] = softmax(np.log(np.maximum(p, LOG_FLOOR)).mean(axis=0))
            ballots = np.repeat((1.0 - confidence[:, None]) / (t.classes - 1), t.classes, axis=1)
            ballots[np.arange(m), p.argmax(axis=1)] = confidence
            out["vote"] = w["vote"] @ ballots
            z = (1.0 + mixture.t) * np.log(np.maximum(out["stacked"], LOG_FLOOR))
            z[-1] += mixture.b
            if mixture.t or mixture.b:
                self.moved = max(self.moved, float(np.abs(softmax(z) - out["stacked"]).max()))
                out["stacked"] = softmax(z)
        w["auto"] = np.sum([u * w[s] for u, s in zip(mixture.share, MIXED, strict=True)], axis=0)
        out["auto"] = np.sum([u * out[s] for u, s in zip(mixture.share, MIXED, strict=True)], axis=0)
        return {name: (w[name], out[name]) for name in STRATEGIES}

    def by_name(
        self, t: Open, p: Array, confidence: Array, hedge: Array, mixture: Mixture
    ) -> tuple[Array, Array, Array]:
        """Weights of confidence, vote and consensus."""
        m = len(p)
        equal = np.full(m, 1.0 / m)
        if t.kind == "numeric":
            stated = hedge if np.isnan(confidence).all() else np.nan_to_num(confidence, nan=-1.0)
            sure, votes = (stated >= stated.max()).astype(float), equal
            agree = np.abs(p[:, 0] - np.median(p[:, 0])) <= mixture.tolerance
        else:
            named = p.argmax(axis=1)
            chance = 1.0 / t.classes
            sure = (confidence >= confidence.max()).astype(float)
            votes = np.maximum((confidence - chance) / (1.0 - chance), 0.01)
            counts = np.bincount(named, minlength=t.classes)
            agree = named == np.lexsort((-p.mean(axis=0), -counts))[0]  # of those that tie, the likeliest
        consensus = agree / agree.sum() if agree.sum() >= AGREEMENT * m - 1e-6 else equal
        return sure / sure.sum(), votes / votes.sum(), consensus

    def settle(self, task: str, outcome: float, time: int) -> dict[str, float]:
        t = self.tasks.pop(task)
        assert t.mixture is not None
        numeric, models = t.kind == "numeric", self.families[False].models
        truth = np.array([outcome]) if numeric else np.eye(t.classes)[int(outcome)]
        p, (hedge, weighted) = np.array(t.rows), np.array(t.standing).T
        given = self.answer(t, p, np.array(t.confidence), hedge, weighted, t.mixture)
        answers = {name: answer for name, (_, answer) in given.items()}
        core = (answers["hedge"] + answers["weighted"]) / 2
        present = np.isin(np.arange(models), t.models)
        loss, apart = np.zeros(models), np.zeros(models)
        loss[t.models] = ((p - truth) ** 2).sum(axis=1)
        apart[t.models] = ((p - core) ** 2).sum(axis=1)
        lost = {name: float(((a - truth) ** 2).sum()) for name, a in answers.items()}
        lost_by_core = float(((core - truth) ** 2).sum())
        if not numeric:
            self.recalibration[t.kind].add(core, truth, time)
        for name in ("", *t.slices):
            hedge, weighted, choice = self.families[numeric].slice(name)
            scale = self.usual(name, float(loss[present].mean())) if numeric else None
            ambiguity = AMBIGUITY if numeric else 1.0
            gains = bounded(lost_by_core, scale) - bounded(np.array([lost[s] for s in MIXED]), scale)
            choice.record.add(gains, np.ones(len(MIXED), bool), time)
            hedge.add(bounded(loss, scale), present, time)
            weighted.add(bounded(loss, scale) - ambiguity * bounded(apart, scale), present, time)
        self.families[numeric].known.clear()
        half = 0.5 if t.kind == "binary" else 1.0  # a binary task's Brier score is of one class
        return {name: half * loss for name, loss in lost.items()}

    def usual(self, name: str, mean: float) -> float:
        scale = self.scale.get(name, 0.0) or mean
        self.scale[name] = scale + FADE * (min(mean, 10.0 * scale) - scale)
        return scale


def bounded(loss: Array | float, scale: float | None) -> Array:
    """Losses of probabilities lie in [0, 2]; squared errors are brought there by what is usual in the slice."""
    x = np.asarray(loss, dtype=float)
    if scale is None:
        return x
    return np.where(x > 0.0, 2.0 * x / np.maximum(x + scale, 1e-300), 0.0)


def ordered(p: Array, cut: int) -> Array:
    """The mean of what is left of each class when so many are cut at each end, normalised unless it is a number."""
    out = np.asarray(np.sort(p, axis=0)[cut : len(p) - cut].mean(axis=0))
    return out / out.sum() if len(out) > 1 else out
