"""Ours and the peers on the same data, interleaved in one run; writes RESULTS.md.

    python benchmarks/run.py [--quick] [--build build/release]

Each row: the fastest of many repeats of ours and of the best peer, taken in turns so that a busy machine hurts both,
their ratio, and the error against an oracle. A peer that cannot be imported is named, not hidden.
"""

from __future__ import annotations

import argparse
import importlib
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import real_data

import fairlead as fl

ROOT = Path(__file__).resolve().parent
Run = Callable[[], Any]


@dataclass(frozen=True)
class Row:
    """One comparison. `work` is how many units (matches, samples, forecasts) one call does."""

    name: str
    unit: str
    work: int
    ours: Run
    peers: dict[str, Run]
    error: str
    bar: str = ""


def peer(name: str, missing: list[str]) -> Any:
    """The module, or None with its name noted."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        missing.append(f"{name} ({error})")
        return None


def fastest(runs: dict[str, Run], repeats: int) -> dict[str, float]:
    """Seconds of the fastest call of each, the calls taken in turns."""
    best = dict.fromkeys(runs, math.inf)
    for _ in range(repeats):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def matches(n: int, players: int) -> tuple[Any, Any, Any]:
    """n matches between players of different strength, a tenth of them draws."""
    rng = np.random.default_rng(7)
    i = rng.integers(0, players, n).astype(np.int32)
    j = ((i + rng.integers(1, players, n)) % players).astype(np.int32)
    strength = rng.normal(0, 1, players)
    win = rng.random(n) < 1 / (1 + np.exp(strength[j] - strength[i]))
    score = np.where(rng.random(n) < 0.1, 0.5, win.astype(float))
    return i, j, score


def elo_one_event(n: int) -> Row:
    i, j, score = matches(n, 100)
    events = list(zip(i.tolist(), j.tolist(), score.tolist(), strict=True))

    def ours() -> fl.Elo:
        ratings = fl.Elo(k=32)
        for p in range(100):
            ratings.id(str(p))
        update = ratings.update
        for a, b, s in events:
            update(a, b, s)
        return ratings

    def plain() -> list[float]:
        ratings = [1500.0] * 100
        for a, b, s in events:
            change = 32.0 * (s - 1.0 / (1.0 + 10.0 ** ((ratings[b] - ratings[a]) / 400.0)))
            ratings[a] += change
            ratings[b] -= change
        return ratings

    error = np.abs(ours().ratings() - np.array(plain())).max()
    return Row(
        "Elo, one event from Python",
        "ns/match",
        n,
        ours,
        {"plain Python": plain},
        f"{error:.1e} points",
    )


def elo_batch(n: int, missing: list[str]) -> Row:
    i, j, score = matches(n, 100)

    def ours() -> fl.Elo:
        ratings = fl.Elo(k=32)
        for p in range(100):
            ratings.id(str(p))
        ratings.update_many(i, j, score)
        return ratings

    peers: dict[str, Run] = {}
    error = "-"
    evalica = peer("evalica", missing)
    if evalica is not None:
        winners = np.where(score == 1.0, 1, np.where(score == 0.0, 2, 0))
        outcome = [(evalica.Winner.Draw, evalica.Winner.X, evalica.Winner.Y)[w] for w in winners.tolist()]
        xs, ys, index = evalica.indexing(i.tolist(), j.tolist())
        rules = {"initial": 1500.0, "base": 10.0, "scale": 400.0, "k": 32.0}

        def theirs() -> Any:
            return evalica.elo(i, j, outcome, index=index, **rules)

        def their_core() -> Any:
            # What the public function calls once the names are turned into numbers.
            weights = np.ones(n)
            return evalica._brzo.elo(
                xs=xs,
                ys=ys,
                winners=outcome,
                weights=weights,
                total=len(index),
                win_weight=1.0,
                tie_weight=0.5,
                **rules,
            )

        peers["evalica, arrays"] = theirs
        peers["evalica, its Rust core alone"] = their_core
        scores = theirs().scores
        mine = ours()
        error = f"{max(abs(scores[p] - mine[str(p)]) for p in range(100)):.1e} points"
    return Row("Elo, batch of int32 arrays", "ns/match", n, ours, peers, error)


def rolling(n: int, missing: list[str]) -> Row:
    x = np.random.default_rng(7).normal(0, 1, n).tolist()

    def ours() -> fl.RollingWindow:
        window = fl.RollingWindow(100)
        push = window.push
        for value in x:
            push(value)
            _ = window.mean
            _ = window.variance()
        return window

    peers: dict[str, Run] = {}
    river = peer("river.stats", missing)
    if river is not None:
        utils = importlib.import_module("river.utils")

        def theirs() -> Any:
            variance = utils.Rolling(river.Var, window_size=100)
            mean = utils.Rolling(river.Mean, window_size=100)
            for value in x:
                variance.update(value)
                mean.update(value)
                variance.get()
                mean.get()
            return variance

        peers["river"] = theirs
    exact = float(np.var(np.array(x[-100:], dtype=np.longdouble), ddof=1))
    return Row(
        "Window of 100: push, read mean and variance",
        "ns/sample",
        n,
        ours,
        peers,
        f"{abs(ours().variance() / exact - 1):.0e} relative",
    )


def psi(n: int) -> Row:
    rng = np.random.default_rng(7)
    reference, live = rng.normal(0, 1, n), rng.normal(0.2, 1.1, n)
    fitted = fl.Psi(reference)
    edges = np.quantile(reference, np.arange(1, 10) / 10)
    share = (np.bincount(np.searchsorted(edges, reference), minlength=10) + 0.5) / (n + 5)

    def theirs() -> float:
        q = (np.bincount(np.searchsorted(edges, live), minlength=10) + 0.5) / (n + 5)
        return float(((q - share) * np.log(q / share)).sum())

    def ours() -> float:
        return fitted.compare(live)

    return Row(
        "PSI, 10 bins",
        "ns/value",
        n,
        ours,
        {"numpy searchsorted": theirs},
        f"{abs(ours() - theirs()):.0e}",
    )


def pooling(n: int) -> Row:
    p = np.random.default_rng(7).dirichlet(np.ones(3), (n, 8))

    def theirs() -> Any:
        z = np.exp(np.log(np.maximum(p, 1e-3)).mean(axis=1))
        return z / z.sum(axis=1, keepdims=True)

    def ours() -> Any:
        return fl.pool(p, "log")

    return Row(
        "Log pool of 8 models, 3 classes",
        "ns/task",
        n,
        ours,
        {"numpy": theirs},
        f"{np.abs(ours() - theirs()).max():.0e}",
    )


def replaying(tasks: int, models: int) -> Row:
    from fairlead.replays import read_table, replay

    rng = np.random.default_rng(7)
    truth = rng.random(tasks)
    noise = np.linspace(0.02, 0.4, models)
    frame_module = importlib.import_module("pandas")
    frame = frame_module.DataFrame(
        {
            "time": np.repeat(np.arange(tasks) // 50, models),
            "task": np.repeat(np.arange(tasks), models),
            "model": np.tile([f"m{i}" for i in range(models)], tasks),
            "category": np.repeat((np.arange(tasks) % 4).astype(str), models),
            "p": np.clip(truth[:, None] + noise * rng.normal(size=(tasks, models)), 0, 1).ravel(),
            "outcome": np.repeat((rng.random(tasks) < truth).astype(int), models),
        }
    )
    table = read_table(frame)

    def theirs() -> Any:
        grouped = frame.groupby("task")
        pooled, outcome = grouped["p"].mean(), grouped["outcome"].first()
        return ((pooled - outcome) ** 2).mean()

    error = abs(replay(table).strategies["mean"].brier - theirs())
    return Row(
        "Replay: record, decide by 5 strategies, settle, rate, score",
        "ns/forecast",
        tasks * models,
        lambda: replay(table),
        {},  # we know of no peer that does this
        f"{error:.0e}",
        "<= 500 ns",
    )


def fleet_from_python(tasks: int, models: int) -> Row:
    names = [f"m{i}" for i in range(models)]
    forecasts = [fl.Forecast(name, p=0.5 + i / 100) for i, name in enumerate(names)]

    def ours() -> fl.Fleet:
        fleet = fl.Fleet()
        for name in names:
            fleet.add(name)
        for t in range(tasks):
            task = fl.Task(str(t), category="a")
            for forecast in forecasts:
                fleet.record(task, forecast)
            fleet.decide(task)
            fleet.settle(task, t % 2)
        return fleet

    exact = sum((0.5 - t % 2) ** 2 for t in range(tasks)) / tasks
    error = abs(ours().leaderboard()["m0"].brier - exact)
    return Row(
        "Fleet from Python: a task of 20 models, recorded, decided, settled",
        "ns/forecast",
        tasks * models,
        ours,
        {},
        f"{error:.0e}",
    )


def cpp_percentiles(build: Path) -> str:
    example = build / "trading_loop"
    if not example.exists():
        return f"not built: {example.name} (cmake --preset release && cmake --build --preset release)"
    return subprocess.run([example], check=True, capture_output=True, text=True).stdout.rstrip()


def hardware() -> str:
    info = Path("/proc/cpuinfo")
    model = platform.processor()
    if info.exists():
        # The first core's; a hypervisor may hide the name, but family and model tell the architecture.
        lines = [line.split(":") for line in info.read_text().split("\n\n")[0].splitlines()]
        facts = {line[0].strip(): line[-1].strip() for line in lines}
        model = f"{facts.get('model name')} (family {facts.get('cpu family')}, model {facts.get('model')})"
    compiler = subprocess.run(["c++", "--version"], check=True, capture_output=True, text=True).stdout.splitlines()[0]
    return f"{model}, {os.cpu_count()} cores; {platform.system()}; {compiler}; Python {platform.python_version()}"


def versions(names: list[str]) -> str:
    found = []
    for name in names:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the data, fewer repeats")
    parser.add_argument("--build", type=Path, default=Path("build/release"), help="where the C++ example was built")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("FAIRLEAD_DATA", "../shared/data")))
    parser.add_argument("--out", type=Path, default=ROOT / "RESULTS.md")
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    size, repeats = (10, 5) if arguments.quick else (1, 15)

    missing: list[str] = []
    rows = [
        elo_one_event(200_000 // size),
        elo_batch(1_000_000 // size, missing),
        rolling(100_000 // size, missing),
        psi(1_000_000 // size),
        pooling(100_000 // size),
        replaying(20_000 // size, 15),
        fleet_from_python(2_000 // size, 20),
    ]
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`. Fastest of many repeats, ours and the peers in turns on one core; lower is better.",
        "Timings on a shared machine are noisy: read the ratios.",
        "",
        f"- {hardware()}",
        f"- {versions(['fairlead', 'numpy', 'pandas', 'evalica', 'river', 'pybind11'])}",
        "",
        "| what | unit | fairlead | best peer | | times faster | error against the oracle | bar |",
        "|---|---|--:|--:|---|--:|---|---|",
    ]
    for row in rows:
        took = fastest({"fairlead": row.ours, **row.peers}, repeats)
        ours = took.pop("fairlead") / row.work * 1e9
        name, best = min(took.items(), key=lambda item: item[1], default=("none", math.nan))
        theirs = best / row.work * 1e9
        compared = "- | none | -" if math.isnan(theirs) else f"{theirs:.3g} | {name} | {theirs / ours:.1f}"
        lines.append(f"| {row.name} | {row.unit} | {ours:.3g} | {compared} | {row.error} | {row.bar} |")
        print(lines[-1], file=sys.stderr)
    lines += [
        "",
        *([f"Not installed, so not measured: {'; '.join(missing)}.", ""] if missing else []),
        "## The C++ Scoreboard",
        "",
        "`cpp/examples/trading_loop.cpp`: 20 models, overall and one category; each call timed on its own, the time of",
        "reading the clock (first row) is not taken off. Bars: record <= 60 ns, decide <= 500 ns, settle <= 2,000 ns.",
        "",
        "```",
        cpp_percentiles(arguments.build),
        "```",
        "",
        "## How good the decisions are",
        "",
        "One configuration for all sets; `benchmarks/real_data.py` says what they are. `best single` is the best model",
        "in hindsight, which nobody knows beforehand, on the tasks that it answered.",
        "",
        *(
            [*real_data.table(arguments.data), "", *real_data.sensitivity(arguments.data)]
            if arguments.data.is_dir()
            else [f"Not run: no folder {arguments.data}."]
        ),
    ]
    arguments.out.write_text("\n".join(lines) + "\n")
    print(f"wrote {arguments.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
