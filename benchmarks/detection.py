"""How late drift is found, ours beside river's and frouros's detectors, all at the same rate of false alarms.

    python benchmarks/detection.py [--quick] [--part errors|inputs|monitor|flusight]

Each detector's threshold is set so that on undrifted streams it gives one false alarm in 10,000 events (bisection, on
streams that are not used again); what it then gives on fresh ones is printed beside its delays. Prints Markdown.
"""

from __future__ import annotations

import argparse
import importlib
import math
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import fairlead as fl

EVENTS = 10_000  # between false alarms
Run = Callable[[np.ndarray, float], list[int]]  # a stream and a threshold: where there were alarms


def found(path: str) -> Any:
    """A class of a peer, or None where the peer is not installed."""
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        print(f"not measured: {path} ({error})", file=sys.stderr)
        return None


@dataclass(frozen=True)
class Detector:
    """Its name, how it runs, thresholds between which it is tuned (from many alarms to few), events of a stream that
    it is given in tuning (slow ones fewer)."""

    name: str
    run: Run
    many: float
    few: float
    share: float = 1.0


def ours(make: Callable[[float], Any]) -> Run:
    def run(x: np.ndarray, threshold: float) -> list[int]:
        drifts: list[int] = make(threshold).update_many(x)[0].tolist()
        return drifts

    return run


def rivers(make: Callable[[float], Any]) -> Run:
    """River's detectors start anew by themselves after a drift."""

    def run(x: np.ndarray, threshold: float) -> list[int]:
        detector, alarms = make(threshold), []
        update = detector.update
        for i, value in enumerate(x.tolist()):
            update(value)
            if detector.drift_detected:
                alarms.append(i)
        return alarms

    return run


def frouros(make: Callable[[float], Any]) -> Run:
    def run(x: np.ndarray, threshold: float) -> list[int]:
        detector, alarms = make(threshold), []
        for i, value in enumerate(x.tolist()):
            detector.update(value=value)
            if detector.drift:
                alarms.append(i)
                detector.reset()
        return alarms

    return run


def configured(path: str, **fixed: Any) -> Callable[..., Any] | None:
    """A frouros detector of keyword options, which it wants in a configuration."""
    cls, config = found(path), found(path + "Config")
    if cls is None or config is None:
        return None
    return lambda **options: cls(config=config(**fixed, **options))


def error_detectors() -> Iterator[Detector]:
    """Thresholds are logarithms (base e) where they are probabilities."""
    yield Detector("**fairlead CutScan**", ours(lambda h: fl.CutScan(arl=math.exp(h))), 5.0, 14.0)
    yield Detector("fairlead CutScan, mode both", ours(lambda h: fl.CutScan(arl=math.exp(h), mode="both")), 5.0, 14.0)
    yield Detector(
        "fairlead ADWIN, mode up, clock 1", ours(lambda h: fl.ADWIN(delta=math.exp(-h), clock=1, mode="up")), 0.01, 12.0
    )
    drift, binary = "river.drift.", "river.drift.binary."
    if cls := found(drift + "ADWIN"):
        yield Detector("river ADWIN", rivers(lambda h, c=cls: c(delta=math.exp(-h))), 0.01, 12.0)
        yield Detector("river ADWIN, clock 1", rivers(lambda h, c=cls: c(delta=math.exp(-h), clock=1)), 0.01, 12.0)
    if cls := found(drift + "PageHinkley"):
        for delta in (0.005, 0.05):
            yield Detector(
                f"river Page-Hinkley, delta {delta:g}",
                rivers(lambda h, c=cls, d=delta: c(threshold=math.exp(h), delta=d, mode="up")),
                0.0,
                7.0,
            )
    if cls := found(binary + "DDM"):
        yield Detector("river DDM", rivers(lambda h, c=cls: c(drift_threshold=h)), 1.5, 9.0)
    if cls := found(binary + "EDDM"):
        yield Detector("river EDDM", rivers(lambda h, c=cls: c(beta=1.0 - h, alpha=1.0)), 0.005, 0.6)
    if cls := found(binary + "HDDMA"):
        yield Detector(
            "river HDDM_A", rivers(lambda h, c=cls: c(drift_confidence=math.exp(-h), warning_confidence=0.5)), 1.0, 20.0
        )
    if cls := found(binary + "HDDMW"):
        yield Detector(
            "river HDDM_W", rivers(lambda h, c=cls: c(drift_confidence=math.exp(-h), warning_confidence=0.5)), 1.0, 30.0
        )
    stream = "frouros.detectors.concept_drift."
    if make := configured(stream + "CUSUM", delta=0.05):
        yield Detector("frouros CUSUM", frouros(lambda h, m=make: m(lambda_=math.exp(h))), 0.0, 7.0, 0.12)
    if make := configured(stream + "GeometricMovingAverage"):
        yield Detector("frouros geometric moving average", frouros(lambda h, m=make: m(lambda_=h)), 0.02, 0.9, 0.12)
    if make := configured(stream + "RDDM"):
        yield Detector(
            "frouros RDDM", frouros(lambda h, m=make: m(drift_level=h, warning_level=0.5 * h)), 1.5, 9.0, 0.12
        )
    if make := configured(stream + "STEPD"):
        yield Detector(
            "frouros STEPD", frouros(lambda h, m=make: m(alpha_d=math.exp(-h), alpha_w=0.9)), 1.0, 30.0, 0.08
        )


RATES = (0.1, 0.2, 0.35)  # of errors, where all is well


@dataclass(frozen=True)
class Scenario:
    """Errors whose rate changes. rise: by how much; width: events that a gradual change takes; back: events after
    which it goes back, and comes again."""

    name: str
    rise: float
    width: int = 0
    back: int = 0
    horizon: int = 2000

    def stream(self, seed: int) -> tuple[np.ndarray, list[int]]:
        """Errors, and where changes begin."""
        rng = np.random.default_rng(seed)
        calm = int(rng.integers(1000, 3000))
        rate = np.full(calm + self.horizon, RATES[seed % len(RATES)])
        starts = [calm]
        if self.back:
            rate = np.full(calm + 6 * self.back, RATES[seed % len(RATES)])
            starts = [calm + 2 * i * self.back for i in range(3)]
            for start in starts:
                rate[start : start + self.back] += self.rise
        elif self.width:
            rate[calm:] += self.rise * np.minimum(np.arange(1, self.horizon + 1) / self.width, 1.0)
        else:
            rate[calm:] += self.rise
        return (rng.random(len(rate)) < rate).astype(float), starts


SCENARIOS = (
    Scenario("abrupt, +5 points", 0.05),
    Scenario("abrupt, +10 points", 0.10),
    Scenario("abrupt, +20 points", 0.20),
    Scenario("gradual over 1,000, +15 points", 0.15, width=1000, horizon=3000),
    Scenario("recurring, 500 on and 500 off, +15 points", 0.15, back=500),
)


def calm_streams(n: int, length: int, seed: int) -> list[np.ndarray]:
    """Undrifted errors."""
    out = []
    for i in range(n):
        rng = np.random.default_rng(seed + i)
        out.append((rng.random(length) < RATES[i % len(RATES)]).astype(float))
    return out


def rate(run: Run, threshold: float, streams: list[np.ndarray]) -> float:
    """False alarms in EVENTS events."""
    return sum(len(run(x, threshold)) for x in streams) / sum(map(len, streams)) * EVENTS


def tuned(detector: Detector, streams: list[np.ndarray], steps: int = 12) -> float:
    """The threshold at which there is one false alarm in EVENTS events."""
    streams = streams[: max(int(len(streams) * detector.share), 6)]
    many, few = detector.many, detector.few
    for _ in range(steps):
        middle = 0.5 * (many + few)
        if rate(detector.run, middle, streams) > 1.0:
            many = middle
        else:
            few = middle
    return few


def delays(alarms: list[int], starts: list[int], horizon: int) -> list[float]:
    """Of each change, events to the first alarm; the horizon where there was none in time."""
    out = []
    for start in starts:
        later = [a - start for a in alarms if start <= a < start + horizon]
        out.append(float(later[0]) if later else float(horizon))
    return out


def cell(values: np.ndarray, horizon: int) -> str:
    """Mean delay with its standard error, and how many were missed."""
    error = values.std(ddof=1) / math.sqrt(len(values))
    missed = float((values >= horizon).mean())
    return f"{values.mean():.0f} ± {error:.0f}" + (f" ({missed:.0%} missed)" if missed > 0 else "")


def errors_part(quick: bool) -> list[str]:
    """Detectors on the errors of a model."""
    calm, fresh = calm_streams(60 if quick else 240, EVENTS, 10_000), calm_streams(30 if quick else 240, EVENTS, 50_000)
    seeds = range(30 if quick else 300)
    head = ["detector", "false alarms in 10,000", *(s.name for s in SCENARIOS)]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "--:|" * (len(head) - 1)]
    for detector in error_detectors():
        try:
            threshold = tuned(detector, calm)
            again = rate(detector.run, threshold, fresh[: max(int(len(fresh) * detector.share), 6)])
        except Exception as error:
            print(f"not measured: {detector.name} ({error!r})", file=sys.stderr)
            continue
        row = [detector.name, f"{again:.2f}"]
        few = max(int(len(seeds) * max(detector.share, 0.2)), 20)
        for scenario in SCENARIOS:
            horizon = scenario.back or scenario.horizon
            late: list[float] = []
            for seed in seeds[:few]:
                x, starts = scenario.stream(1_000_000 + seed)
                late += delays(detector.run(x, threshold), starts, horizon)
            row.append(cell(np.array(late), horizon))
        lines.append("| " + " | ".join(row) + " |")
        print(lines[-1], file=sys.stderr, flush=True)
    return lines


# ---- inputs: four features, of which the first drifts; a reference of 500 rows is known to all ----

FEATURES, REFERENCE = 4, 500


@dataclass(frozen=True)
class Shift:
    """What becomes of the first feature. kind: mean, spread or shape; by: how many deviations, or times."""

    name: str
    kind: str
    by: float
    width: int = 0
    back: int = 0
    horizon: int = 2000

    def stream(self, seed: int) -> tuple[np.ndarray, list[int]]:
        """Rows, the reference first, and where changes begin."""
        rng = np.random.default_rng(seed)
        calm = REFERENCE + int(rng.integers(1000, 2000))
        n = calm + (6 * self.back if self.back else self.horizon)
        x = rng.normal(size=(n, FEATURES))
        since = np.arange(n) - calm
        share = np.clip((since + 1) / max(self.width, 1), 0.0, 1.0)
        starts = [calm]
        if self.back:
            share = ((since >= 0) & (since // self.back % 2 == 0)).astype(float)
            starts = [calm + 2 * i * self.back for i in range(3)]
        if self.kind == "mean":
            x[:, 0] += self.by * share
        elif self.kind == "spread":
            x[:, 0] *= 1.0 + (self.by - 1.0) * share
        else:  # two heaps of the same mean and variance
            heaps = rng.choice([-1.0, 1.0], n) * math.sqrt(0.84) + 0.4 * rng.normal(size=n)
            x[:, 0] = np.where(share > 0, heaps, x[:, 0])
        return x, starts


SHIFTS = (
    Shift("mean + 0.5", "mean", 0.5),
    Shift("mean + 1", "mean", 1.0),
    Shift("spread x 1.5", "spread", 1.5),
    Shift("two heaps", "shape", 0.0),
    Shift("gradual, mean + 1 over 1,000", "mean", 1.0, width=1000, horizon=3000),
    Shift("recurring, 500 on and off, mean + 1", "mean", 1.0, back=500),
)


def monitored(window: int, psi: float | None) -> Run:
    """The alarms of a DriftMonitor on inputs. psi: its threshold, or None for one so low that the p-value decides; the
    threshold given by the tuning is then ln(arl)."""
    from fairlead.lifecycle.schema import Schema
    from fairlead.lifecycle.signals import DriftMonitor

    schema = Schema("binary", [f"x{i}" for i in range(FEATURES)])

    def run(x: np.ndarray, threshold: float) -> list[int]:
        options: dict[str, Any] = {"psi": psi, "arl": 10_000.0} if psi else {"psi": 0.02, "arl": math.exp(threshold)}
        monitor = DriftMonitor(
            schema,
            window=window,
            reference=REFERENCE,
            psi_warning=min(0.1, options["psi"]),
            every=window // 10,
            **options,
        )
        alarms: list[int] = []
        before: set[tuple[str, str]] = set()
        step = window // 10
        for start in range(0, len(x), step):
            rows = x[start : start + step]
            monitor.update_many(rows, [0.5] * len(rows))
            now = {(s.kind, s.name) for s in monitor.check().raised("alarm")}
            if now - before:
                alarms.append(start + len(rows) - 1)
            before = now
        return alarms

    return run


def each_feature(run: Run) -> Run:
    """A detector on each feature: an alarm where any has one."""

    def all_of(x: np.ndarray, threshold: float) -> list[int]:
        return sorted({i for column in x.T for i in run(np.ascontiguousarray(column), threshold)})

    return all_of


def incremental_ks(size: int) -> Run:
    """Frouros's incremental Kolmogorov-Smirnov test of the first feature alone against the reference. Its p-values do
    not hang on the threshold, so each stream is run once."""
    cls = found("frouros.detectors.data_drift.IncrementalKSTest")
    known: dict[bytes, np.ndarray] = {}

    def run(x: np.ndarray, threshold: float) -> list[int]:
        key = x[:, 0].tobytes()
        if key not in known:
            detector = cls(window_size=size)
            detector.fit(X=x[:REFERENCE, 0].copy())
            p = np.ones(len(x))
            for i in range(REFERENCE, len(x)):
                result, _ = detector.update(value=x[i, 0])
                p[i] = 1.0 if result is None else result.p_value
            known[key] = p
        below = known[key] < math.exp(-threshold)
        return (np.flatnonzero(below[1:] & ~below[:-1]) + 1).tolist()

    return run


def input_detectors() -> Iterator[Detector]:
    yield Detector("**fairlead DriftMonitor, as it is**", monitored(500, 0.25), 0.0, 0.0)
    yield Detector("fairlead DriftMonitor, window 200, by p-value", monitored(200, None), 5.0, 16.0)
    if cls := found("river.drift.ADWIN"):
        yield Detector(
            "river ADWIN, each feature", each_feature(rivers(lambda h, c=cls: c(delta=math.exp(-h)))), 0.01, 12.0, 0.5
        )
    if cls := found("river.drift.PageHinkley"):
        yield Detector(
            "river Page-Hinkley, each feature",
            each_feature(rivers(lambda h, c=cls: c(threshold=math.exp(h), delta=0.25, mode="both"))),
            1.0,
            6.0,
            0.5,
        )
    yield Detector(
        "KSWIN (river's rule), each feature", each_feature(ours(lambda h: fl.KSWIN(alpha=math.exp(-h)))), 2.0, 20.0
    )
    if found("frouros.detectors.data_drift.IncrementalKSTest"):
        yield Detector("frouros incremental KS, the first feature alone", incremental_ks(100), 2.0, 30.0, 0.08)


def inputs_part(quick: bool) -> list[str]:
    """Detectors on the inputs of a model."""

    def calm(n: int, seed: int) -> list[np.ndarray]:
        return [np.random.default_rng(seed + i).normal(size=(5000, FEATURES)) for i in range(n)]

    tuning, fresh = calm(40 if quick else 120, 0), calm(40 if quick else 120, 5000)
    lines = ["| detector | false alarms in 10,000 | " + " | ".join(s.name for s in SHIFTS) + " |"]
    lines.append("|---|" + "--:|" * (len(SHIFTS) + 1))
    for detector in input_detectors():
        threshold = tuned(detector, tuning, 8) if detector.few > detector.many else 0.0
        again = rate(detector.run, threshold, fresh[: max(int(len(fresh) * detector.share), 6)])
        row = [detector.name, f"{again:.2f}"]
        few = max(int((30 if quick else 100) * detector.share), 10)
        for shift in SHIFTS:
            late: list[float] = []
            for seed in range(few):
                x, starts = shift.stream(2_000_000 + seed)
                late += delays(detector.run(x, threshold), starts, shift.back or shift.horizon)
            row.append(cell(np.array(late), shift.back or shift.horizon))
        lines.append("| " + " | ".join(row) + " |")
        print(lines[-1], file=sys.stderr, flush=True)
    return lines


# ---- the monitor as it is: false alarms on undrifted streams of several kinds ----


def undrifted(kind: str, seed: int, n: int = 10_000, d: int = 8) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs of shape (n, d), the probabilities of a good model, and labels, which are wrong more often where the
    second input is high: so errors are alike as long as inputs are."""
    rng = np.random.default_rng(seed)
    name, _, number = kind.partition(" ")
    x = rng.normal(size=(n + 1000, d))
    memory = float(number) if name == "memory" else 0.9 if name == "cycle" else 0.0
    if memory:
        for i in range(1, len(x)):
            x[i] = memory * x[i - 1] + math.sqrt(1.0 - memory**2) * x[i]
    x = x[1000:].copy()
    if name == "cycle":
        x += 2.0 * np.sin(2.0 * np.pi * (np.arange(n)[:, None] / float(number) + rng.random(d)))
        x /= math.sqrt(3.0)
    p = 1.0 / (1.0 + np.exp(-2.0 * x[:, 0]))
    y = (rng.random(n) < p).astype(int)
    flip = rng.random(n) < np.where(x[:, 1] > 1.0, 0.35, 0.02)
    return x, p, np.where(flip, 1 - y, y)


def monitor_part(quick: bool) -> list[str]:
    """False alarms of a DriftMonitor with its defaults."""
    from fairlead.lifecycle.schema import Schema
    from fairlead.lifecycle.signals import DriftMonitor

    schema = Schema("binary", [f"x{i}" for i in range(8)])
    kinds = ("independent", "memory 0.5", "memory 0.9", "memory 0.97", "cycle 48", "cycle 336")
    lines = ["| undrifted stream | drifts called in 10,000 events | by what (share of streams) |", "|---|--:|---|"]
    for kind in kinds:
        streams = 20 if quick else 100
        called, by = 0, {}
        for seed in range(streams):
            x, p, y = undrifted(kind, 900 + seed)
            monitor, before = DriftMonitor(schema), set()
            seen: set[str] = set()
            for start in range(0, len(x), 250):
                part = slice(start, start + 250)
                monitor.update_many(x[part], p[part].tolist())
                monitor.learn_many(p[part].tolist(), y[part].tolist())
                now = {(s.kind, s.name) for s in monitor.check().raised("alarm")}
                called += len(now) > 0 and not before
                before = now
                seen |= {k for k, _ in now}
            for k in seen:
                by[k] = by.get(k, 0) + 1
        words = ", ".join(f"{k} {v / streams:.0%}" for k, v in sorted(by.items(), key=lambda item: -item[1])) or "-"
        lines.append(f"| {kind} | {called / streams:.2f} | {words} |")
        print(lines[-1], file=sys.stderr, flush=True)
    return lines


# ---- the change of season ----


def flusight_part(data: Path) -> list[str]:
    """A DriftMonitor on each model of the hub: when it raises an alarm, in weeks of the new season. A label is known
    seven days after the end of its week."""
    path = data / "flusight_cat" / "flusight_cat_dev.parquet"
    if not path.exists():
        return [f"not measured: {path} is not there"]
    import pyarrow.parquet as pq

    from fairlead.lifecycle.schema import Schema
    from fairlead.lifecycle.signals import DriftMonitor

    classes = ("large_decrease", "decrease", "stable", "increase", "large_increase")
    schema = Schema("categorical", ["horizon"], classes)
    by_model: dict[str, list[dict[str, Any]]] = {}
    for row in pq.read_table(path).to_pylist():
        by_model.setdefault(row["model"], []).append(row)
    lines = [
        "| model | inputs in 2023/24 | alarms in it (weeks) | accuracy, then | on answers, week | on errors, week |",
        "|---|--:|---|--:|--:|--:|",
    ]
    for model, rows in sorted(by_model.items()):
        sizes = {season: sum(r["season"] == season for r in rows) for season in ("2023/24", "2024/25")}
        if min(sizes.values()) < 4000:
            continue
        rows.sort(key=lambda r: (r["reference_date"], r["location"], r["horizon"]))
        weeks = sorted({r["reference_date"] for r in rows})
        monitor = DriftMonitor(schema, window=424, reference=848, baseline=424, every=53)
        waiting: list[tuple[Any, Any, int]] = []
        right = dict.fromkeys(sizes, 0)
        early: list[int] = []
        first: dict[str, int] = {}
        number, season_now, level, began = 0, "", "none", 0
        for week in weeks:
            now = [r for r in rows if r["reference_date"] == week]
            number = number + 1 if now[0]["season"] == season_now else 1
            season_now = now[0]["season"]
            time = int(np.datetime64(week, "ns").astype(np.int64))
            began = time if number == 1 else began
            for known, p, y in [w for w in waiting if (week - w[0]).days >= 7]:
                del known
                monitor.learn(p, y, time=time)
            waiting = [w for w in waiting if (week - w[0]).days < 7]
            for row in now:
                p = np.maximum([row[f"p_{name}"] for name in classes], 0.0)
                p /= p.sum()
                monitor.update([float(row["horizon"])], p, time=time)
                waiting.append((row["target_end_date"], p, int(row["outcome"])))
                right[season_now] += int(p.argmax()) == row["outcome"]
            status = monitor.check()
            if season_now == "2023/24":
                if status.level == "alarm" and level != "alarm":
                    early.append(number)
            else:
                for signal in status.raised("alarm"):
                    if signal.since < began:
                        continue  # from the season before
                    kind = "answers" if signal.kind in ("predictions", "confidence") else "errors"
                    first.setdefault(kind, number)
            level = status.level
        then, later = (f"{right[s] / sizes[s]:.0%}" for s in sizes)
        found = [str(first.get(kind, "none")) for kind in ("answers", "errors")]
        weeks_early = ", ".join(map(str, early)) or "none"
        lines.append(f"| {model} | {sizes['2023/24']:,} | {weeks_early} | {then}, {later} | {found[0]} | {found[1]} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer streams")
    parser.add_argument("--part", choices=("errors", "inputs", "monitor", "flusight"), help="one alone")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("FAIRLEAD_DATA", "../shared/data")))
    arguments = parser.parse_args()
    parts: dict[str, tuple[str, Callable[[], list[str]]]] = {
        "errors": ("Errors of a model: mean delay ± standard error", lambda: errors_part(arguments.quick)),
        "inputs": ("Inputs of a model: mean delay ± standard error", lambda: inputs_part(arguments.quick)),
        "monitor": ("False alarms of a DriftMonitor as it is", lambda: monitor_part(arguments.quick)),
        "flusight": ("The change of season (FluSight)", lambda: flusight_part(arguments.data)),
    }
    for name, (title, part) in parts.items():
        if arguments.part in (None, name):
            print(f"### {title}\n", *part(), "", sep="\n", flush=True)


if __name__ == "__main__":
    main()
