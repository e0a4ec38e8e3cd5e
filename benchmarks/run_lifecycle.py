"""Drift, promotions and retraining in one file of results; some two hours on two cores.

    python benchmarks/run_lifecycle.py [--quick] [--out benchmarks/RESULTS-lifecycle.md]

What these measure is how good decisions are, not how fast: the same seeds give the same numbers but for the seconds.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from run import hardware, versions

HERE = Path(__file__).parent
PARTS = (
    (
        "Retraining on streams that drift",
        "The same model, managed and not; each row is answered first and learnt from when its label has come "
        "(`lifecycle.py`). A training counts whether its model was promoted or not.",
        ("lifecycle.py", "--seeds", "3"),
        ("lifecycle.py", "--seeds", "1"),
    ),
    (
        "Drift: delay at the same rate of false alarms",
        "Every detector is tuned to one false alarm in 10,000 events on streams of its own (`detection.py`).",
        ("detection.py",),
        ("detection.py", "--quick"),
    ),
    (
        "Promotions, right and wrong",
        "Whole trials, looked at after every label (`promotion.py`).",
        ("promotion.py", "1000"),
        ("promotion.py", "100"),
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer streams and trials, a quarter of an hour")
    parser.add_argument("--out", type=Path, default=HERE / "RESULTS-lifecycle.md")
    arguments = parser.parse_args()
    lines = [
        "# How good drift, promotions and retraining are",
        "",
        "Written by `make bench-lifecycle`. What they cost is in [RESULTS.md](RESULTS.md).",
        "",
        f"- {hardware()}",
        f"- {versions()}",
        "",
    ]
    for title, about, whole, quick in PARTS:
        program, *options = quick if arguments.quick else whole
        found = subprocess.run([sys.executable, HERE / program, *options], check=True, capture_output=True, text=True)
        lines += [f"## {title}", "", about, "", found.stdout.strip(), ""]
    arguments.out.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
