"""A managed model beside the same model without management, on streams that drift: the table of RESULTS.md.

    python benchmarks/lifecycle.py [--data FOLDER] [--seeds N] [NAME ...]

NAME: `elec`, `weather_noaa` (real, from FOLDER/drift, which is not part of the project: left out by name without it),
or one of the streams made here. All of them if not given. `fixed schedule, same windows` learns from the three lengths
that the managed model has, in turn.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fairlead.lifecycle import Prequential, Stream, prequential, read_stream
from fairlead.lifecycle.pool.windows import WINDOWS
from fairlead.lifecycle.streamed.rivals import on_schedule
from fairlead.lifecycle.streamed.run import RIVALS

REAL = ("elec", "weather_noaa")
ROWS = 12_000
IN_TURN = "fixed schedule, same windows"
RIVALS[IN_TURN] = lambda course, retrains: on_schedule(course, retrains, lambda run: WINDOWS[run % len(WINDOWS)])


def _flipped(y: npt.NDArray[np.int64], noise: float, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    return np.where(rng.random(len(y)) < noise, 1 - y, y)


def sea(seed: int, concepts: tuple[float, ...], *, gradual: bool = False) -> Stream:
    """Three numbers of which two count: their sum is below a threshold, or not; a tenth of the labels is wrong."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.0, 10.0, (ROWS, 3))
    part = ROWS / len(concepts)
    place = np.arange(ROWS) + (rng.normal(0.0, part / 4.0, ROWS) if gradual else 0.0)
    limit = np.array(concepts)[np.clip(place // part, 0, len(concepts) - 1).astype(int)]
    return Stream.of(x, _flipped((x[:, 0] + x[:, 1] <= limit).astype(np.int64), 0.1, rng))


def hyperplane(seed: int) -> Stream:
    """A plane that turns all the time, in half of its eight directions."""
    rng = np.random.default_rng(seed)
    x, weights, way = rng.random((ROWS, 8)), rng.normal(size=8), rng.choice([-1.0, 1.0], 4)
    y = np.empty(ROWS, dtype=np.int64)
    for t in range(ROWS):
        y[t] = x[t] @ weights >= weights.sum() / 2.0
        weights[:4] += 0.002 * way
        if rng.random() < 0.001:
            way[rng.integers(4)] *= -1.0
    return Stream.of(x, _flipped(y, 0.05, rng))


def agrawal(seed: int, functions: tuple[int, ...], *, gradual: bool = False) -> Stream:
    """Loans by rules that change (river's generator)."""
    from river.datasets import synth

    rng = np.random.default_rng(seed)
    part = ROWS / len(functions)
    place = np.arange(ROWS) + (rng.normal(0.0, part / 4.0, ROWS) if gradual else 0.0)
    which = np.clip(place // part, 0, len(functions) - 1).astype(int)
    made = [
        iter(synth.Agrawal(classification_function=f, seed=seed + i, perturbation=0.05).take(ROWS))
        for i, f in enumerate(functions)
    ]
    rows = [next(made[i]) for i in which]
    return Stream.of([list(x.values()) for x, _ in rows], [y for _, y in rows])


MADE: dict[str, Callable[[int], Stream]] = {
    "SEA, abrupt": lambda seed: sea(seed, (8.0, 9.0, 7.0, 9.5)),
    "SEA, gradual": lambda seed: sea(seed, (8.0, 9.5, 7.0), gradual=True),
    "SEA, no drift": lambda seed: sea(seed, (8.0,)),
    "hyperplane, turning": hyperplane,
    "Agrawal, abrupt": lambda seed: agrawal(seed, (0, 3, 1, 6)),
    "Agrawal, recurring": lambda seed: agrawal(seed, (0, 3, 0, 3, 0, 3)),
    "Agrawal, gradual": lambda seed: agrawal(seed, (0, 3, 1), gradual=True),
    "Agrawal, no drift": lambda seed: agrawal(seed, (2,)),
}


def rows(name: str, results: list[Prequential]) -> list[str]:
    """Lines of the table: means over the seeds."""
    lines = []
    for i, managed in enumerate(results[0].contenders):
        same = [result.contenders[i] for result in results]

        def mean(values: list[float]) -> float:
            return float(np.mean(values))

        error = "" if i == 0 else f"{mean([c.behind for c in same]):+.4f} ± {mean([c.error for c in same]):.4f}"
        lines.append(
            f"| {name if i == 0 else ''} | {managed.name} | {mean([c.accuracy for c in same]):.4f} "
            f"| {mean([c.later for c in same]):.4f} | {mean([c.retrains for c in same]):.0f} "
            f"| {mean([c.training_s for c in same]):.1f} | {mean([c.seconds for c in same]):.1f} | {error} |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("FAIRLEAD_DATA") or beside))
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    print("| stream | model | accuracy | second half | retrains | training s | all s | managed is ahead by |")
    print("|---|---|---|---|---|---|---|---|")
    for name in arguments.names or (*REAL, *MADE):
        file = arguments.data / "drift" / f"{name}_dev.parquet"
        if name in REAL and not file.exists():
            print(f"| {name} | left out: no file {file} | | | | | | |")
            continue
        results = []
        for seed in range(arguments.seeds):
            stream = read_stream(file, target="target") if name in REAL else MADE[name](seed)
            results.append(prequential(stream, seed=seed, history=name in REAL))
        print("\n".join(rows(name, results)), flush=True)


if __name__ == "__main__":
    main()
