"""Aliases: compare-and-set, history, the way back; and the model that serves."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from registry_doubles import weights

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle import AliasMovedError, DamagedWeightsError, Registry, UnknownVersionError


@pytest.fixture
def three(registry: Registry) -> Registry:
    for n in (1, 2, 3):
        registry.register("m", weights(n))
    return registry


def test_an_alias_moves_only_from_where_it_was_expected(three: Registry) -> None:
    assert three.champion("m") is None
    first = three.promote("m", 1, expect=0, by="me", reason="the first")
    assert (first.version, first.generation, first.previous, first.by, first.reason) == (1, 1, None, "me", "the first")
    assert three.promote("m", 2, expect=first.generation).generation == 2
    with pytest.raises(AliasMovedError, match=r"champion of 'm' is at generation 2 \(version 2\), not 1") as raised:
        three.promote("m", 3, expect=1)
    assert (raised.value.expected, raised.value.found) == (1, 2)
    assert three.champion("m").version == 2  # type: ignore[union-attr]
    with pytest.raises(AliasMovedError, match=r"generation 0 \(nothing\)"):
        three.promote("m", 3, alias="challenger", expect=1)
    with pytest.raises(InvalidRecordError, match="expect is '1'"):
        three.promote("m", 3, expect="1")  # type: ignore[arg-type]


def test_the_history_has_every_move(three: Registry) -> None:
    three.promote("m", 1)
    three.promote("m", 2, alias="challenger")
    three.promote("m", "challenger")
    assert three.unalias("m", "challenger", reason="it won") is not None
    assert three.unalias("m", "challenger") is None
    three.rollback("m", reason="slow")
    moves = [(a.alias, a.version, a.previous, a.generation, a.rollback) for a in three.history("m")]
    assert moves == [
        ("champion", 1, None, 1, False),
        ("challenger", 2, None, 1, False),
        ("champion", 2, 1, 2, False),
        ("challenger", None, 2, 2, False),
        ("champion", 1, 2, 3, True),
    ]
    assert Registry(three.folder).history("m") == three.history("m")
    assert [a.generation for a in three.history("m", "challenger")] == [1, 2]
    assert "champion -> version 1 (rollback), generation 3, because slow" in str(three.history("m")[-1])
    assert [alias.alias for alias in three.aliases("m")] == ["champion"]


def test_rollbacks_go_back_one_by_one(three: Registry) -> None:
    with pytest.raises(UnknownVersionError, match="no version to go back to"):
        three.rollback("m")
    for n in (1, 2, 2, 3):
        three.promote("m", n)
    assert [three.rollback("m").version for _ in range(2)] == [2, 1]
    with pytest.raises(UnknownVersionError, match="no version to go back to"):
        three.rollback("m")
    three.promote("m", 3)
    assert three.rollback("m", expect=7).version == 1
    with pytest.raises(AliasMovedError):
        three.rollback("m", expect=7)


def test_a_rollback_passes_over_what_was_deleted(three: Registry) -> None:
    for n in (1, 2, 3):
        three.promote("m", n)
    three.delete("m", 2)
    assert three.rollback("m").version == 1


def test_a_rollback_brings_back_what_was_taken_away(three: Registry) -> None:
    three.promote("m", 2)
    three.unalias("m", "champion")
    assert three.rollback("m").version == 2


moves = st.lists(st.one_of(st.integers(1, 4), st.just("back"), st.just("away"), st.just("delete")), max_size=25)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves)
@pytest.mark.usefixtures("unsynced")
def test_a_rollback_is_to_the_version_that_served_before(
    tmp_path_factory: pytest.TempPathFactory, moves: list[Any]
) -> None:
    """Against a stack of what served."""
    registry = Registry(tmp_path_factory.mktemp("registry"))
    for n in (1, 2, 3, 4):
        registry.register("m", weights(n))
    stack: list[int] = []
    now: int | None = None
    alive = {1, 2, 3, 4}
    for move in moves:
        if move == "back":
            while stack and (stack[-1] not in alive or stack[-1] == now):
                stack.pop()
            if not stack:
                with pytest.raises(UnknownVersionError):
                    registry.rollback("m")
                continue
            now = stack.pop()
            assert registry.rollback("m").version == now
        elif move == "away":
            if now is not None:
                stack.append(now)
            now = None
            registry.unalias("m", "champion")
        elif move == "delete":
            gone = next(iter(sorted(alive - {now})), None)
            if gone is not None:
                alive.discard(gone)
                registry.delete("m", gone)
        elif move in alive:
            if now is not None and now != move:
                stack.append(now)
            now = move
            registry.promote("m", move)
        there = registry.champion("m")
        assert (None if there is None else there.version) == now
    assert Registry(registry.folder).champion("m") == registry.champion("m")


# --- many at once ---


CHILD = """
import json, sys
from fairlead.lifecycle import AliasMovedError, Registry
folder, who, successes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
registry = Registry(folder)
sys.stdin.readline()
won = []
while len(won) < successes:
    champion = registry.champion("m")
    at = 0 if champion is None else champion.generation
    try:
        moved = registry.promote("m", 1 + (at + who) % 3, expect=at, by=f"{who}-{len(won)}")
    except AliasMovedError:
        continue
    won.append((moved.generation, moved.by))
print(json.dumps(won))
"""


def test_processes_that_promote_at_once_lose_nothing(three: Registry) -> None:
    processes, each = 8, 25
    command = [sys.executable, "-c", CHILD, str(three.folder)]
    children = [
        subprocess.Popen([*command, str(who), str(each)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for who in range(processes)
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    won = [tuple(move) for child in children for move in json.loads(child.communicate(timeout=120)[0])]
    assert [generation for generation, _ in sorted(won)] == list(range(1, processes * each + 1))
    assert sorted(won) == [(alias.generation, alias.by) for alias in three.history("m")]
    assert len({who.partition("-")[0] for _, who in won}) == processes
    assert three.verify().whole


@pytest.mark.usefixtures("unsynced")
def test_threads_that_share_a_registry_lose_nothing(three: Registry) -> None:
    def work(who: int) -> None:
        for n in range(20):
            three.promote("m", 1 + n % 3, by=f"{who}-{n}")
            three.register("m", weights(who))

    threads = [threading.Thread(target=work, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [alias.generation for alias in three.history("m")] == list(range(1, 81))
    assert [version.number for version in three.versions("m")] == list(range(1, 84))
    assert Registry(three.folder).history("m") == three.history("m")


def test_a_registry_is_of_use_after_a_fork(three: Registry) -> None:
    three.promote("m", 1)
    with three._lock:  # as if another thread were reading at that moment
        child = os.fork()
        if child == 0:
            done = 1
            try:
                three.promote("m", 2, expect=1)
                done = 0
            finally:
                os._exit(done)
    assert os.waitpid(child, 0)[1] == 0
    assert three.champion("m").version == 2  # type: ignore[union-attr]


def test_what_serves_follows_the_alias_after_a_fork(three: Registry) -> None:
    three.promote("m", 1)
    served = three.serve("m")
    three.promote("m", 2)
    with served._lock:  # as if another thread were loading at that moment
        child = os.fork()
        if child == 0:
            done = 1
            try:
                signal.alarm(20)
                done = 0 if served.refresh() and served.version == 2 else 1
            finally:
                os._exit(done)
    assert os.waitpid(child, 0)[1] == 0
    assert served.version == 1


def test_one_process_sees_what_another_does(three: Registry) -> None:
    other = Registry(three.folder)
    assert other.champion("m") is None
    three.promote("m", 2)
    assert other.champion("m") == three.champion("m")
    made = other.register("m", weights(9))
    assert three.info("m", 4) == made


# --- what serves ---


def test_what_serves_follows_the_alias(three: Registry) -> None:
    with pytest.raises(UnknownVersionError, match="'m' has no champion"):
        three.serve("m")
    three.promote("m", 1)
    served = three.serve("m")
    assert served.model["w"][0] == 1.0
    assert served.version == 1
    assert not served.refresh()
    Registry(three.folder).promote("m", 2)
    assert served.version == 1
    assert served.refresh()
    assert (served.model["w"][0], served.version) == (2.0, 2)
    assert served.current is not None
    assert served.current[1:] == (2, 2)
    three.promote("m", 2)
    assert not served.refresh()
    assert served.current[1:] == (2, 3)
    assert served.current[0] is served.model


def test_what_serves_can_be_unloaded(three: Registry) -> None:
    class Model:
        pass

    three.promote("m", 1)
    served = three.serve("m", lambda path: Model())
    alive = weakref.ref(served.model)
    served.unload()
    gc.collect()
    assert alive() is None
    assert (served.model, served.version, served.current) == (None, None, None)
    assert served.refresh()
    assert served.version == 1


def test_the_old_one_serves_where_the_new_one_cannot(three: Registry) -> None:
    three.promote("m", 1)
    served = three.serve("m")
    three.promote("m", 2)
    path = three.path("m", 2)
    path.chmod(0o644)
    path.write_bytes(weights(7))
    with pytest.raises(DamagedWeightsError, match="was changed"):
        served.refresh()
    assert (served.model["w"][0], served.version) == (1.0, 1)
    three.rollback("m")
    assert not served.refresh()
    three.unalias("m", "champion")
    with pytest.raises(UnknownVersionError):
        served.refresh()
    assert served.version == 1


@pytest.mark.usefixtures("unsynced")
def test_readers_never_see_half_a_swap(three: Registry) -> None:
    three.promote("m", 1)
    served = three.serve("m")
    stop = threading.Event()
    wrong: list[object] = []

    def read() -> None:
        while not stop.is_set():
            model, version, _ = served.current  # type: ignore[misc]
            if model["w"][0] != version or not served.model["w"].all():
                wrong.append((model, version))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for n in range(30):
        three.promote("m", 1 + n % 3)
        served.refresh()
    stop.set()
    for reader in readers:
        reader.join()
    assert wrong == []


def test_a_trainer_is_served_as_a_fresh_one(three: Registry, tmp_path: Path) -> None:
    class Trainer:
        format = "safetensors"

        def __init__(self) -> None:
            self.loaded: bytes | None = None

        def fresh(self) -> Trainer:
            return Trainer()

        def load(self, path: Path) -> None:
            self.loaded = path.read_bytes()

    class Json(Trainer):
        format = "json"

    trainer = Trainer()
    three.promote("m", 2)
    assert three.load("m", into=trainer).loaded == weights(2)
    assert three.serve("m", trainer).model.loaded == weights(2)
    assert trainer.loaded is None
    with pytest.raises(DamagedWeightsError, match="'m' version 2 is safetensors, but Json loads json"):
        three.load("m", into=Json())
    with pytest.raises(InvalidRecordError, match="into is 3, must be a Trainer"):
        three.load("m", into=3)
