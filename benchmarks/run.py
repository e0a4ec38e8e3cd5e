"""Ours and the peers on the same data, interleaved in one run on one core; writes RESULTS.md.

    python benchmarks/run.py [--quick] [--only FAMILY] [--build build/release]

The rows stand in `rows/<family>.py`. A peer that cannot be imported is named, not hidden.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import real_data
from harness import MISSING, Row, Size, interleaved

ROOT = Path(__file__).resolve().parent
NOT_TRIED = (
    "Not tried: arena-rank's fit (needs jax), nannyml and alibi-detect (bring xgboost with CUDA, and TensorFlow), "
    "skillratings (Rust, has no Python face)."
)
FAMILIES = tuple(sorted(path.stem for path in (ROOT / "rows").glob("[!_]*.py")))


def line(row: Row, repeats: int, seconds: float) -> str:
    """One line of the table. Ours and each peer are compared by their fastest calls."""
    took = interleaved({"fairlead": row.ours, **row.peers}, repeats, seconds)
    cost = {name: timing.fastest / row.peer_work.get(name, row.work) * 1e9 for name, timing in took.items()}
    median = took["fairlead"].median / row.work * 1e9
    ours = cost.pop("fairlead")
    ranked = sorted(cost.items(), key=lambda item: item[1])
    best = f"{ranked[0][1]:.3g} | {ranked[0][0]} | {ranked[0][1] / ours:.1f}" if ranked else "- | none | -"
    others = ", ".join(f"{name} {nanoseconds:.3g}" for name, nanoseconds in ranked[1:]) or "-"
    return f"| {row.name} | {row.unit} | {ours:.3g} ({median:.3g}) | {best} | {others} | {row.error} | {row.bar} |"


def program(path: Path, *arguments: str) -> str:
    """What a compiled program prints."""
    if not path.exists():
        return f"not built: {path.name} (cmake --preset release && cmake --build --preset release)"
    return subprocess.run([path, *arguments], check=True, capture_output=True, text=True).stdout.rstrip()


def crash_log(path: Path) -> list[str]:
    """What `make crash` found when it ran last."""
    if not path.exists():
        return []
    return ["## Kill loop", "", "`make crash`:", "", "```", path.read_text().rstrip(), "```", ""]


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


def versions() -> str:
    """Of fairlead, of what it is built with, and of every peer in the extra [bench] that is installed."""
    peers = [text.split(";")[0] for text in metadata.requires("fairlead") or () if 'extra == "bench"' in text]
    found = []
    for name in ("fairlead", *(re.split(r"[<>=~!\[ ]", text)[0] for text in peers)):
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            MISSING.setdefault(name, "not installed")
    return ", ".join(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the data, fewer repeats, two minutes")
    parser.add_argument("--only", choices=FAMILIES, help="print the rows of one family and write nothing")
    parser.add_argument("--build", type=Path, default=Path("build/release"), help="where the C++ example was built")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("FAIRLEAD_DATA", "../shared/data")))
    parser.add_argument("--out", type=Path, default=ROOT / "RESULTS.md")
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    size = Size(arguments.quick)
    repeats, seconds = (7, 0.3) if arguments.quick else (25, 1.0)

    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`. Fastest of many calls, ours (in brackets the median) and the peers in turns on one",
        "core; lower is better. Timings on a shared machine are noisy: read the ratios.",
        "",
        f"- {hardware()}",
        f"- {versions()}",
    ]
    for family in (arguments.only,) if arguments.only else FAMILIES:
        heading = [
            "",
            f"## {family.replace(chr(95), chr(32)).capitalize()}",
            "",
            "| what | unit | fairlead | best peer | | times faster | other peers | error against the oracle | bar |",
            "|---|---|--:|--:|---|--:|---|---|---|",
        ]
        print("\n".join(heading), file=sys.stderr)
        lines += heading
        for row in importlib.import_module(f"rows.{family}").rows(size):
            lines.append(line(row, repeats, seconds))
            print(lines[-1], file=sys.stderr)
    if arguments.only:
        return
    lines += [
        "",
        *(f"Not measured: {name} ({why})." for name, why in sorted(MISSING.items())),
        NOT_TRIED,
        "",
        "## One event in C++",
        "",
        "`benchmarks/cpp/events.cpp`: nanoseconds an event when they come in a row, then each event timed on its own,",
        "in cycles of the time-stamp counter, the reading of which (first row) is not taken off.",
        "",
        "```",
        program(arguments.build / "bench_events", *(["100000"] if arguments.quick else [])),
        "```",
        "",
        "## The journal in C++",
        "",
        "`benchmarks/cpp/journal.cpp`: what a call costs the caller, in nanoseconds, events of 128 bytes; `nothing` is",
        "what timing itself costs. Bars: mean <= 15 ns, 99.9 % <= 200 ns, 99.99 % <= 1.5 us; 1.5 M durable events/s.",
        "",
        "```",
        program(arguments.build / "bench_journal", *(["1000000"] if arguments.quick else [])),
        "```",
        "",
        "## Attention in C++",
        "",
        "`benchmarks/cpp/attention.cpp`: nanoseconds a call on one thread, and the share of the core's peak of fused",
        "multiply-adds, measured in the same run; products on the matrix unit may pass it. Bars: forward >= .7 at 32",
        "rows of 64, >= .85 at 128.",
        "",
        "```",
        program(arguments.build / "bench_attention"),
        "```",
        "",
        "## Breakers and the response cache in C++",
        "",
        "`benchmarks/cpp/health.cpp`. Bars: outcome, cost, budget and breaker together <= 300 ns; a hit <= 200 ns.",
        "",
        "```",
        program(arguments.build / "bench_health"),
        "```",
        "",
        "## Routing in C++",
        "",
        "`benchmarks/cpp/routing.cpp`: 16 models of 4 providers, 3 budgets, 5 contexts. Bars: a decision (type, masks,",
        "pick) p50 <= 1 us, p99 <= 5 us at 200 B; outcome, cost, budget and breaker of a call <= 300 ns.",
        "",
        "```",
        program(
            arguments.build / "bench_routing",
            "200000",
            str(ROOT.parent / "python/fairlead/policy/weights/task_types.safetensors"),
        ),
        "```",
        "",
        *crash_log(ROOT / "crash.txt"),
        "## The C++ Scoreboard",
        "",
        "`cpp/examples/trading_loop.cpp`: 20 models, overall and one category; each call timed on its own, the time of",
        "reading the clock (first row) is not taken off. Bars: record <= 60 ns, decide <= 500 ns, settle <= 2,000 ns.",
        "",
        "```",
        program(arguments.build / "trading_loop"),
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
