"""What the tests of the store share: a PostgreSQL server, an empty place on each database, and made-up journals."""

from __future__ import annotations

import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from fairlead.events import Event

SECOND = 10**9
HOUR = 3600 * SECOND


def _postgres_bin() -> Path | None:
    """The folder of PostgreSQL's server programs: the newest of Debian's, else that on PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: int(p.parts[4].split(".")[0]))
    on_path = shutil.which("postgres")
    where = [*found, *([Path(on_path)] if on_path else [])]
    return where[-1].parent if where and (where[-1].parent / "initdb").exists() else None


def _unprivileged() -> dict[str, Any]:
    """How to run what refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    pytest.skip("PostgreSQL does not run as root, and there is no user postgres or nobody")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a PostgreSQL server of its own on loopback, stopped when the tests are over."""
    programs = _postgres_bin()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    psycopg = pytest.importorskip("psycopg")
    as_whom = _unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="fairlead-pg-"))
    try:
        if as_whom:
            os.chown(folder, as_whom["user"], as_whom["group"])
        data = folder / "data"
        made = [programs / "initdb", "-D", data, "-U", "fairlead", "--auth=trust", "-E", "UTF8", "--no-sync"]
        done = subprocess.run(made, cwd=folder, capture_output=True, text=True, check=False, **as_whom)
        assert done.returncode == 0, done.stderr
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        log = (folder / "log").open("w")
        options = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": folder, "fsync": "off"}
        flags = [text for name, value in options.items() for text in ("-c", f"{name}={value}")]
        server = subprocess.Popen(
            [programs / "postgres", "-D", data, *flags], cwd=folder, stdout=log, stderr=log, **as_whom
        )
        try:
            address = f"postgresql://fairlead@127.0.0.1:{port}"
            for _ in range(600):
                try:
                    psycopg.connect(f"{address}/postgres").close()
                    break
                except psycopg.OperationalError:
                    assert server.poll() is None, (folder / "log").read_text()
                    time.sleep(0.05)
            yield address
        finally:
            server.send_signal(signal.SIGINT)  # fast shutdown: open sessions are ended
            server.wait(timeout=60)
            log.close()
    finally:
        shutil.rmtree(folder)


_numbers = count()


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where an empty store can be, on each database."""
    if request.param == "sqlite":
        yield str(tmp_path / "store.sqlite")
        return
    import psycopg

    address = request.getfixturevalue("postgres")
    name = f"store{next(_numbers)}"
    with psycopg.connect(f"{address}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield f"{address}/{name}"


@pytest.fixture(scope="session")
def journal() -> Callable[..., list[Event]]:
    """Makes up a journal: `journal(seed, n)` gives about n events of all types, as a fleet would write them, with late
    and missing outcomes, answers given twice, failures, and times that go back."""
    return make_journal


def make_journal(seed: int, n: int, *, models: int = 3) -> list[Event]:
    rng = random.Random(seed)
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
            emit("decision", None, category or None, about | answer(kind, labels) | measures | rest)
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
            ("custom", None, None, {"bytes": b"\x00\xff"}),
            ("dropped", None, None, {"n": 3}),
        ]
    )
