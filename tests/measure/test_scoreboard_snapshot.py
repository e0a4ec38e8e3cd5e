"""Snapshots of the Scoreboard: who goes on from one is, bit for bit, who never stopped."""

from __future__ import annotations

import copy
import itertools
import math
import pickle
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead._core import STRATEGIES, Scoreboard

Event = tuple[Any, ...]

models = st.integers(0, 5)
unit = st.floats(0.0, 1.0)
often = st.integers(0, 1 << 30)  # which task, counted from the newest
event = st.one_of(
    st.tuples(st.just("add"), models),
    st.tuples(st.just("remove"), models),
    st.tuples(st.just("slice"), st.sampled_from(["category", "regime"]), st.integers(0, 3)),
    st.tuples(st.just("close"), often),
)
life = st.one_of(
    event,
    st.tuples(st.just("open"), st.integers(0, 2), st.integers(2, 5), st.lists(often, max_size=3)),
    st.tuples(st.just("record"), often, models, st.lists(st.floats(0.01, 1.0), min_size=5, max_size=5), unit),
    st.tuples(st.just("record"), often, models, st.lists(st.floats(0.01, 1.0), min_size=5, max_size=5), unit),
    st.tuples(st.just("fail"), often, models, unit),
    st.tuples(st.just("settle"), often, st.integers(0, 5), st.integers(0, 3)),
)


class Life:
    """A board, the tasks it was given and what it said; two of them that start alike and see the same stay alike."""

    def __init__(self, board: Scoreboard) -> None:
        self.board = board
        self.tasks: list[tuple[int, int, int]] = []
        self.now = 0

    def task(self, back: int) -> tuple[int, int, int]:
        return self.tasks[-1 - back % min(len(self.tasks), 6)] if self.tasks else (1 << 32, 0, 0)

    def see(self, event: Event) -> object:
        try:
            return self.apply(*event)
        except (KeyError, ValueError) as error:
            return repr(error)

    def apply(self, what: str, *given: Any) -> object:
        board = self.board
        if what == "add":
            return board.add(f"model {given[0]}")
        if what == "remove":
            return board.remove(given[0])
        if what == "slice":
            return board.slice(given[0], str(given[1]))
        if what == "open":
            kind, labels, slices = given
            handle = board.open(kind, labels, [s % (len(board.slices()) + 1) for s in slices])
            self.tasks.append((handle, kind, labels))
            return handle
        handle, kind, labels = self.task(given[0])
        if what == "close":
            return board.close(handle)
        if what == "fail":
            return board.record(handle, given[1], None, None, None, None, 0, 0, given[2], True)
        if what == "record":
            _, model, p, x = given
            sure = x if x < 0.5 else None
            if kind == 2:
                return board.record(handle, model, None, 10.0 * x, sure, 100.0 * x, 3, 4, x)
            whole = math.fsum(p[:labels])
            answer = p[0] if kind == 0 else [one / whole for one in p[:labels]]
            return board.record(handle, model, answer, None, sure, None, 5, 6, x)
        self.now += given[2] - 1
        return board.settle(handle, given[1], self.now)

    def readings(self) -> str:
        """All that can be read, floats to the last bit (repr is exact; -0.0 and nan have their own)."""
        board, seen = self.board, []
        for (handle, *_), strategy in itertools.product(self.tasks[-20:], range(len(STRATEGIES))):
            try:
                seen.append(repr(board.decide(handle, strategy)))
            except (KeyError, ValueError) as error:
                seen.append(repr(error))
        seen.append(repr((board.open_tasks, board.slices())))
        for model in range(board.n_models):
            seen.append(repr((board.model_name(model), board.active(model), board.confidence_psi(model))))
            for s in range(len(board.slices()) + 1):
                seen.append(repr((board.rating(model, s), board.score(model, s), board.calls(model, s))))
                for kind, span in itertools.product(board.kinds(model, s), (1, 4, 1000)):
                    seen.append(repr((kind, span, board.recent(model, s, kind, span, self.now))))
        return "\n".join(seen)


def made() -> Life:
    board = Scoreboard(history=4, psi_reference=6, psi_window=3, half_life=20.0)
    for i in range(3):
        board.add(f"model {i}")
    return Life(board)


AGAIN: list[Callable[[Scoreboard], Scoreboard]] = [
    lambda board: Scoreboard.restore(board.snapshot()),
    lambda board: pickle.loads(pickle.dumps(board)),
    copy.deepcopy,
]


@given(st.lists(life, max_size=120), st.lists(life, min_size=10, max_size=60), st.sampled_from(AGAIN))
def test_restored_is_as_if_never_stopped(before: list[Event], after: list[Event], again: Any) -> None:
    one = made()
    for happens in before:
        one.see(happens)
    other = Life(again(one.board))
    other.tasks, other.now = list(one.tasks), one.now
    assert type(other.board) is Scoreboard
    assert other.board.snapshot() == one.board.snapshot()
    assert other.readings() == one.readings()
    for happens in after:
        assert other.see(happens) == one.see(happens)
    assert other.readings() == one.readings()
    assert other.board.snapshot() == one.board.snapshot()


def busy() -> Scoreboard:
    one = made()
    for i in range(120):
        one.see(("open", i % 3, 3, [i]))
        one.see(("slice", "category", i % 4))
        for model in range(3):
            one.see(("record", 0, model, [0.1 + 0.2 * model, 0.3, 0.6, 0.1, 0.1], (i % 7) / 7))
        if i % 5:
            one.see(("settle", 0, i % 2, 2))
    assert one.board.score(0)["n"] > 80
    assert one.board.open_tasks > 20
    assert not math.isnan(one.board.confidence_psi(0))
    return one.board


def test_open_tasks_keep_their_handles_and_the_next_ones_are_the_same() -> None:
    board = Scoreboard()
    for name in "ab":
        board.add(name)
    tasks = [board.open(0) for _ in range(4)]
    board.record(tasks[1], 0, 0.8)
    board.close(tasks[2])
    board.close(tasks[0])
    other = Scoreboard.restore(board.snapshot())
    with pytest.raises(KeyError, match="the task is not open"):
        other.record(tasks[2], 1, 0.5)
    other.record(tasks[1], 1, 0.4)
    board.record(tasks[1], 1, 0.4)
    assert repr(other.decide(tasks[1])) == repr(board.decide(tasks[1]))
    assert [other.open(0) for _ in range(5)] == [board.open(0) for _ in range(5)]
    other.settle(tasks[1], 1.0)
    assert other.rating(0) > 1500.0 == board.rating(0)


@given(st.data())
def test_damaged_snapshots_are_refused(data: st.DataObject) -> None:
    good = busy().snapshot()
    cut = data.draw(st.integers(0, len(good) - 1))
    flip = data.draw(st.integers(1, 255))
    for bad in (good[:cut], good[:cut] + bytes([good[cut] ^ flip]) + good[cut + 1 :], good + b"x"):
        with pytest.raises(ValueError, match="data: the bytes are no snapshot"):
            Scoreboard.restore(bad)


TABLE = []
for byte in range(256):
    c = byte
    for _ in range(8):
        c = (c >> 1) ^ 0x82F63B78 if c & 1 else c >> 1
    TABLE.append(c)


def checked(payload: bytes) -> bytes:
    c = 0xFFFFFFFF
    for byte in payload:
        c = TABLE[(c ^ byte) & 0xFF] ^ (c >> 8)
    return payload + struct.pack("<I", c ^ 0xFFFFFFFF)


SMALL = busy().snapshot()[:-4]


@given(
    st.lists(st.tuples(st.integers(22, len(SMALL) - 1), st.integers(1, 255)), min_size=1, max_size=3),
    st.lists(life, min_size=5, max_size=30),
)
def test_bytes_made_up_with_a_good_checksum_do_no_harm(flips: list[tuple[int, int]], after: list[Event]) -> None:
    assert checked(SMALL) == Scoreboard.restore(checked(SMALL)).snapshot()
    made_up = bytearray(SMALL)
    for at, flip in flips:
        made_up[at] ^= flip
    try:
        other = Life(Scoreboard.restore(checked(bytes(made_up))))
    except ValueError:
        return
    other.tasks = [((1 << 32) | slot, 0, 3) for slot in range(10)]
    for happens in after:
        other.see(happens)
    assert Scoreboard.restore(other.board.snapshot()).snapshot() == other.board.snapshot()


@pytest.mark.parametrize("bad", [b"", b"\x00" * 64, pickle.dumps(None)])
def test_foreign_bytes_are_refused(bad: bytes) -> None:
    with pytest.raises(ValueError, match="data"):
        Scoreboard.restore(bad)
