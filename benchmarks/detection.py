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
    yield Detector("**fairlead GLR**", ours(lambda h: fl.GLR(arl=math.exp(h))), 4.0, 14.0)
    yield Detector("fairlead GLR, mode both", ours(lambda h: fl.GLR(arl=math.exp(h), mode="both")), 4.0, 14.0)
    yield Detector("fairlead ADWIN, mode up, clock 1", ours(lambda h: fl.ADWIN(delta=math.exp(-h), clock=1, mode="up")), 0.01, 12.0)
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
        yield Detector("river HDDM_A", rivers(lambda h, c=cls: c(drift_confidence=math.exp(-h), warning_confidence=0.5)), 1.0, 20.0)
    if cls := found(binary + "HDDMW"):
        yield Detector("river HDDM_W", rivers(lambda h, c=cls: c(drift_confidence=math.exp(-h), warning_confidence=0.5)), 1.0, 30.0)
    stream = "frouros.detectors.concept_drift."
    if make := configured(stream + "CUSUM", delta=0.05):
        yield Detector("frouros CUSUM", frouros(lambda h, m=make: m(lambda_=math.exp(h))), 0.0, 7.0, 0.3)
    if make := configured(stream + "GeometricMovingAverage"):
        yield Detector("frouros geometric moving average", frouros(lambda h, m=make: m(lambda_=h)), 0.02, 0.9, 0.3)
    if make := configured(stream + "RDDM"):
        yield Detector("frouros RDDM", frouros(lambda h, m=make: m(drift_level=h, warning_level=0.5 * h)), 1.5, 9.0, 0.3)
    if make := configured(stream + "STEPD"):
        yield Detector("frouros STEPD", frouros(lambda h, m=make: m(alpha_d=math.exp(-h), alpha_w=0.9)), 1.0, 30.0, 0.2)


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
        few = max(int(len(seeds) * max(detector.share, 0.3)), 20)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--part", choices=("errors", "inputs", "monitor", "flusight"))
    arguments = parser.parse_args()
    print("\n".join(errors_part(arguments.quick)))


if __name__ == "__main__":
    main()
