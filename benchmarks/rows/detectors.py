"""Online drift detectors: one event at a time from Python, and whole arrays."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from harness import Row, Run, Size, peer

import fairlead as fl

SLOW = 20  # frouros and menelaus are given one event in so many


@dataclass(frozen=True)
class Contest:
    """A detector here, in river, in frouros and in menelaus (module below the package and class); errors: it takes
    those of a classifier. rule: what stands for the error where river has another rule."""

    ours: str
    river: str = ""
    frouros: str = ""
    menelaus: str = ""
    errors: bool = False
    rule: str = ""
    bar: str = ""


CONTESTS = [
    Contest("ADWIN", "drift.ADWIN", "ADWIN", "change_detection.ADWIN", bar="<= 50 ns"),
    Contest("PageHinkley", "drift.PageHinkley", "PageHinkley", "change_detection.PageHinkley", bar="<= 30 ns"),
    Contest("CutScan", "drift.ADWIN", errors=True, rule="exact in tests; the peer is ADWIN"),
    Contest("CUSUM", "", "CUSUM", "change_detection.CUSUM", rule="exact in tests"),
    Contest("KSWIN", "drift.KSWIN", "KSWIN", rule="drawn at random"),
    Contest("DDM", "drift.binary.DDM", "DDM", "concept_drift.DDM", errors=True),
    Contest("EDDM", "drift.binary.EDDM", "EDDM", "concept_drift.EDDM", errors=True, rule="MOA's, exact in tests"),
    Contest("HDDM_A", "drift.binary.HDDMA", "HDDMA", errors=True),
    Contest("HDDM_W", "drift.binary.HDDMW", "HDDMW", errors=True, rule="MOA's, exact in tests"),
]


def stream(n: int, errors: bool) -> np.ndarray:
    """Stretches of 5,000 events, every second one shifted."""
    rng = np.random.default_rng(7)
    shifted = np.arange(n) // 5000 % 2 == 1
    if errors:
        return (rng.random(n) < np.where(shifted, 0.4, 0.2)).astype(float)
    return rng.normal(np.where(shifted, 5.5, 5.0), 1.0)  # the ADWIN of frouros takes no negative sums


def found(name: str) -> Any:
    """The class of a peer, or None."""
    package, _, path = name.partition(".")
    module, _, cls = path.rpartition(".")
    if peer(package) is None or peer(f"{package}.{module}") is None:
        return None
    return getattr(importlib.import_module(f"{package}.{module}"), cls)


def river_run(cls: Callable[[], Any], x: list[float]) -> int:
    detector, drifts = cls(), 0
    for value in x:
        detector.update(value)
        if detector.drift_detected:
            drifts += 1
    return drifts


def frouros_run(cls: Callable[[], Any], x: list[float]) -> int:
    detector, drifts = cls(), 0
    for value in x:
        detector.update(value=value)
        if detector.drift:
            drifts += 1
            detector.reset()
    return drifts


def menelaus_run(cls: Callable[[], Any], x: list[float], errors: bool) -> int:
    detector, drifts = cls(), 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for value in x:
            if errors:
                detector.update(0, int(value))
            else:
                detector.update(np.array([[value]]))
            drifts += detector.drift_state == "drift"
    return drifts


def our_run(cls: Callable[[], Any], x: list[float]) -> int:
    update, drifts = cls().update, 0
    for value in x:
        if update(value):
            drifts += 1
    return drifts


def difference(contest: Contest, theirs: Callable[[], Any] | None, x: list[float]) -> str:
    """How many drifts are not where river's are."""
    if contest.rule or theirs is None:
        return contest.rule or "-"
    our, their, drifts, differ = getattr(fl, contest.ours)(), theirs(), 0, 0
    for value in x:
        drift = our.update(value)
        their.update(value)
        drifts += drift
        differ += drift != their.drift_detected
        if drift and contest.ours == "ADWIN":
            our.reset()  # river's forgets its window
    return f"{differ} of {drifts} drifts differ"


def contest_row(contest: Contest, n: int) -> Row:
    data = stream(n, contest.errors).tolist()
    cls = getattr(fl, contest.ours)
    few = data[: max(n // SLOW, 2000)]
    peers: dict[str, Run] = {}
    work: dict[str, int] = {}
    river = found(f"river.{contest.river}") if contest.river else None
    if river is not None:
        events = few if contest.ours == "KSWIN" else data
        peers["river"] = lambda: river_run(river, events)
        work["river"] = len(events)
    frouros = found(f"frouros.detectors.concept_drift.{contest.frouros}") if contest.frouros else None
    if frouros is not None:
        peers["frouros"] = lambda: frouros_run(frouros, few)
        work["frouros"] = len(few)
    menelaus = found(f"menelaus.{contest.menelaus}") if contest.menelaus else None
    if menelaus is not None:
        peers["menelaus"] = lambda: menelaus_run(menelaus, few, contest.errors)
        work["menelaus"] = len(few)
    return Row(
        f"{contest.ours}: update, one event",
        "ns/event",
        n,
        lambda: our_run(cls, data),
        peers,
        difference(contest, river, data),
        contest.bar,
        work,
    )


def batch_row(contest: Contest, n: int, bar: str) -> Row:
    """An array at once, which no peer has: river's loop beside it."""
    x = stream(n, contest.errors)
    data = x.tolist()
    cls = getattr(fl, contest.ours)
    river = found(f"river.{contest.river}")
    peers: dict[str, Run] = {} if river is None else {"river, a loop": lambda: river_run(river, data)}
    return Row(
        f"{contest.ours}: update_many of an array",
        "ns/event",
        n,
        lambda: cls().update_many(x),
        peers,
        f"{len(cls().update_many(x)[0]) - our_run(cls, data)} drifts more than by update",
        bar,
    )


def rows(size: Size) -> Iterator[Row]:
    for contest in CONTESTS:
        yield contest_row(contest, size.scaled(20_000 if contest.ours == "KSWIN" else 200_000))
    yield batch_row(CONTESTS[0], size.scaled(200_000), "<= 20 ns")
    yield batch_row(CONTESTS[1], size.scaled(200_000), "<= 5 ns")
