"""Made-up journals: events of all types, as a fleet would write them."""

from __future__ import annotations

import random
from itertools import count
from typing import Any

from fairlead.events import Event

SECOND = 10**9
HOUR = 3600 * SECOND


def make_journal(seed: int, n: int, *, models: int = 3, routed_from: int = 0, shaped_from: int = 0) -> list[Event]:
    """routed_from: events before that number are those of a journal without routes and calls. shaped_from: before that
    one decisions are of the first layout, and there are no runs."""
    rng, more, most = random.Random(seed), random.Random(seed), random.Random(seed)
    out: list[Event] = []
    now = rng.randrange(0, 10**18)
    names = [f"model-{i}" for i in range(models)]
    open_tasks: dict[int, tuple[str, str, int]] = {}
    tasks = count(1)

    def emit(kind: str, model: str | None, category: str | None, data: dict[str, Any]) -> None:
        nonlocal now
        now += rng.choice([0, 1, SECOND, 600 * SECOND, -SECOND, 3 * HOUR])
        out.append(Event(len(out) + 1, now, kind, model, category, data))

    def answer(kind: str, labels: int) -> dict[str, Any]:
        if kind == "numeric":
            return {"value": rng.choice([rng.gauss(0, 10), 0.1, -0.0, 1e300])}
        if kind == "binary":
            return {"p": rng.choice([rng.random(), 0.0, 1.0])}
        shares = [rng.random() for _ in range(labels)]
        return {"p": tuple(share / sum(shares) for share in shares)}

    for name in names:
        emit("model", name, None, {"name": name, "provider": "lab", "tier": "fast", "tags": ["a"]})
    while len(out) < n:
        if len(out) >= routed_from and more.random() < 0.15:
            out.append(Event(len(out) + 1, now, *_routed(more, names, open_tasks)))
            continue
        if len(out) >= shaped_from and most.random() < 0.05:
            out.append(Event(len(out) + 1, now, *_run(most)))
            continue
        what = rng.random()
        if what < 0.15 or not open_tasks:
            number, kind = next(tasks), rng.choice(["binary", "categorical", "numeric"])
            category = rng.choice(["politics", "rates", ""])
            labels = ("up", "flat", "down") if kind == "categorical" else ()
            open_tasks[number] = (kind, category, len(labels))
            task = {"task": number, "id": f"q-{number}", "kind": kind, "category": category, "labels": labels}
            emit("task", None, category or None, task | {"stake_usd": 5.0, "expires_in_s": None, "slices": {}})
            continue
        number = rng.choice(list(open_tasks))
        kind, category, labels = open_tasks[number]
        about = {"task": number, "kind": kind}
        if what < 0.65:
            failed = rng.random() < 0.2
            rest = {
                "confidence": rng.choice([None, 0.7]),
                "latency_ms": rng.choice([None, rng.random() * 1000]),
                "tokens_in": rng.randrange(1000),
                "tokens_out": rng.randrange(1000),
                "cost_usd": rng.random() / 100,
                "error": "timed out: \0 \ud83d\ude00" if failed else "",
            }
            given = {} if failed else answer(kind, labels)
            emit("forecast", rng.choice(names), category or None, about | given | rest)
        elif what < 0.75:
            measures = {"disagreement": rng.random(), "uncertainty": rng.random(), "position_scale": rng.random()}
            weights = dict.fromkeys(names, 1.0 / models)
            rest = {"strategy": rng.choice(["hedge", "mean"]), "reasons": 3, "cost_usd": 0.25, "weights": weights}
            said = about | answer(kind, labels) | measures | rest
            emit("decision", None, category or None, said | (_shape(most) if len(out) >= shaped_from else {}))
        elif what < 0.9:
            value = rng.gauss(0, 10) if kind == "numeric" else float(rng.randrange(labels or 2))
            emit("outcome", None, category or None, about | {"value": value, "profit_usd": rng.choice([None, -1.5])})
            if rng.random() < 0.85:  # else it is told twice
                del open_tasks[number]
        elif what < 0.92:
            emit("closed", None, category or None, {"task": number})
            del open_tasks[number]
        else:
            emit(*_cold(rng, names))
    return out


def _routed(
    rng: random.Random, names: list[str], open_tasks: dict[int, tuple[str, str, int]]
) -> tuple[str, str | None, str | None, dict[str, Any]]:
    """A route of a task that is open, mostly; or the end of a call, also for a task that has ended."""
    number = rng.choice([*open_tasks, rng.randrange(1, 9)])
    category = open_tasks[number][1] if number in open_tasks else ""
    about = {"task": number, "attempt": rng.randrange(4)}
    nanos = rng.choice([None, 0, rng.randrange(10**7)])
    if rng.random() < 0.5:
        expected = ("propensity", "quality", "spread", "cost_usd", "latency_ms")
        others = [{"model": name, "quality": rng.random(), "cost_usd": None} for name in rng.sample(names, 2)]
        return (
            "route",
            rng.choice([None, *names]),
            category or None,
            about
            | {"type": rng.choice(["", "tool_use", "\0 \ud83d"]), "goal": rng.choice(["cost", "mix"])}
            | {name: rng.choice([None, rng.random()]) for name in expected}
            | {"reserved_usd": (nanos or 0) / 1e9, "reserved_nanos": nanos or 0}
            | {"reasons": ("best_expected", "reason_20")[: rng.randrange(3)], "runners_up": others},
        )
    end = rng.choice(["answered", "failed", "released", "lost"])
    counts = ("tokens_in", "tokens_out", "tokens_cached", "tokens_written", "calls")
    return (
        "called",
        rng.choice(names),
        category or None,
        about
        | {"end": end, "cost_usd": None if nanos is None else nanos / 1e9, "cost_nanos": nanos}
        | ({"failure": rng.choice(["timeout", "failure_9"])} if end == "failed" else {})
        | {name: rng.choice([None, rng.random()]) for name in ("latency_ms", "first_token_ms", "retry_after_ms")}
        | {name: rng.randrange(1000) for name in counts},
    )


def _shape(rng: random.Random) -> dict[str, Any]:
    measures = ("spread", "entropy", "divergence", "pairwise", "low", "high")
    return {name: rng.choice([None, rng.random()]) for name in measures} | {"chosen": rng.choice(["log", "\0 mine"])}


def _run(rng: random.Random) -> tuple[str, str | None, str | None, dict[str, Any]]:
    nanos = rng.choice([None, 0, rng.randrange(10**7)])
    return (
        "run",
        rng.choice(["scout", "model-0"]),
        rng.choice([None, "rates"]),
        {"status": rng.choice(["ok", "error", "timeout", "cancelled"])}
        | {name: rng.choice([None, rng.random()]) for name in ("duration_ms", "compute_s", "memory_mb")}
        | {"tokens": rng.randrange(1000), "api_calls": rng.randrange(9), "error": rng.choice(["", "no \0 room"])}
        | {"cost_usd": None if nanos is None else nanos / 1e9, "cost_nanos": nanos},
    )


def _cold(rng: random.Random, names: list[str]) -> tuple[str, str | None, str | None, dict[str, Any]]:
    name = rng.choice(names)
    run = f"run-{rng.randrange(3)}"
    return rng.choice(
        [
            ("note", None, None, {"text": "é \ufffd", "deep": [{"a": None}, 1e-300]}),
            ("alert", name, "rates", {"severity": "high", "value": 3, "threshold": "none", "to": ["desk"]}),
            ("budget", None, None, {"name": "day", "limit_usd": 10.0, "spent_usd": rng.random(), "left": 1}),
            ("training_run", name, None, {"run": run, "status": "running", "loss": rng.random(), "epoch": 3}),
            ("training_run", name, None, {"run": run, "status": rng.choice(["done", 5]), "finished": 17}),
            ("model_version", name, None, {"version": f"v{rng.randrange(3)}", "digest": "ab", "bytes": 2**40}),
            ("deployment", name, None, {"version": "v1", "stage": "canary", "traffic": 0.1, "by": "rule"}),
            ("health", name, None, {"status": "down", "since": 4}),
            ("model_removed", name, None, {}),
            ("custom", None, None, {"payload": b"\x00\xff"}),
            ("dropped", None, None, {"n": 3}),
        ]
    )


class Shelf:
    """A journal in memory, and tails of it."""

    def __init__(self, events: list[Event] | None = None, name: str = "aa") -> None:
        self.events = events or []
        self.name = name
        self.open_tails = 0

    def tail(self, first: int) -> Any:
        shelf = self

        class Tail:
            journal = shelf.name
            at = first

            def take(self, n: int) -> list[Event]:
                found = [event for event in shelf.events if event.seq >= self.at][:n]
                self.at = found[-1].seq + 1 if found else self.at
                return found

            def close(self) -> None:
                shelf.open_tails -= 1

        self.open_tails += 1
        return Tail()
