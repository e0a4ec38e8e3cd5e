"""Many streams at once are as many single ones; snapshots and merges lose nothing."""

from __future__ import annotations

import contextlib
import copy
import math
import pickle
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fairlead as fl

VALUES = st.lists(st.one_of(st.floats(-3, 3), st.just(math.nan)), max_size=60)


def fed(keyed: fl.KeyedPsi, name: str, values: list[float]) -> fl.KeyedPsi:
    key = keyed.id(name)
    for x in values:
        keyed.update(key, x)
    return keyed


def state(keyed: fl.KeyedPsi) -> list[tuple[object, ...]]:
    return [tuple(str(value) for value in row.values()) for row in keyed.rows()]


@pytest.mark.parametrize("window", [1, 7, 500])
def test_each_key_is_a_stream_of_its_own(window: int) -> None:
    dice = np.random.default_rng(window)
    keyed = fl.KeyedPsi(60, window=window, bins=8)
    single = {name: fl.StreamingPsi(reference=60, window=window, bins=8) for name in "abc"}
    keys = {name: keyed.id(name) for name in single}
    for _ in range(2500):
        name = dice.choice(list(single))
        x = math.nan if dice.random() < 0.02 else float(dice.normal())
        keyed.update(keys[name], x)
        single[name].add(x)
        found, expected = keyed.index(keys[name]), single[name].index
        assert found == expected or (math.isnan(found) and math.isnan(expected))  # bit for bit
    assert len(keyed) == 3
    assert "a" in keyed
    assert "z" not in keyed


def test_names_and_what_is_shown() -> None:
    psi = fl.Psi([1.0, 2.0, 3.0, math.nan], bins=2)
    keyed, stream = fl.KeyedPsi(psi, window=7), fl.StreamingPsi(reference=2, window=1)
    assert [keyed.id(name) for name in ("b", "a")] == [0, 1]
    assert keyed.names == list(keyed) == ["b", "a"]
    assert repr(keyed) == "KeyedPsi(keys=2, window=7)"
    assert repr(psi) == "Psi(bins=2, n=4, missing=1)"
    assert repr(stream) == "StreamingPsi(window=1, n=0, reference not complete)"
    for x in (1.0, 2.0, 1.0):
        stream.add(x)
    assert repr(stream) == f"StreamingPsi(window=1, n=1, index={stream.index!r})"


def test_a_window_is_the_sample_bit_for_bit() -> None:
    dice = np.random.default_rng(3)
    reference = fl.Psi(dice.normal(size=1000))
    keyed = fl.KeyedPsi(reference, window=200)
    key = keyed.id("k")
    stream = dice.normal(0.2, 1, 700)
    stream[::40] = math.nan
    for i, x in enumerate(stream, start=1):
        keyed.update(key, float(x))
        if i >= 200:
            assert keyed.index(key) == reference.compare(stream[i - 200 : i])
        else:
            assert math.isnan(keyed.index(key))
    row = keyed.rows()[0]
    assert row["n"] == 200
    single = fl.drift.psi_from_counts(reference.reference, reference.count(stream[-200:]))
    assert row["psi"] == pytest.approx(single.psi, rel=1e-12)
    assert row["psi_corrected"] == pytest.approx(single.corrected, rel=1e-12)
    assert row["p_value"] == pytest.approx(single.p_value, rel=1e-12)


def test_a_large_window_outgrows_the_table_of_logarithms() -> None:
    reference = fl.Psi([0.0, 1.0, 2.0, 3.0], bins=2)
    keyed = fl.KeyedPsi(reference, window=70_000)
    key = keyed.id("k")
    stream = np.concatenate([np.zeros(50_000), np.full(20_000, 9.0)])
    keyed.update_many(np.full(70_000, key), stream)
    assert keyed.index(key) == reference.compare(stream)


def test_arrays_are_many_updates() -> None:
    dice = np.random.default_rng(5)
    one, many = fl.KeyedPsi(30, window=20), fl.KeyedPsi(30, window=20)
    for keyed in (one, many):
        for name in "abcd":
            keyed.id(name)
    keys, x = dice.integers(0, 4, 400), dice.normal(size=400)
    for key, value in zip(keys.tolist(), x.tolist(), strict=True):
        one.update(key, value)
    many.update_many(keys.astype(np.int32), x)
    assert state(one) == state(many)
    before = state(many)
    for wrong, words in (([0, 9], r"keys\[1\] is no id"), ([0, -1], r"keys\[1\] is no id")):
        with pytest.raises(KeyError, match=words):
            many.update_many(wrong, [1.0, 2.0])
    with pytest.raises(ValueError, match="x has length 1, keys has 2"):
        many.update_many([0, 1], [1.0])
    assert state(many) == before


def test_ids_that_change_while_they_are_read_do_no_harm() -> None:
    keyed = fl.KeyedPsi(fl.Psi([0.0, 1.0, 2.0]), window=20)
    key = keyed.id("a")
    keys, x, done = np.full(100_000, key, dtype=np.int32), np.zeros(100_000), threading.Event()

    def toggle() -> None:
        while not done.is_set():
            keys.fill(2**31 - 1)
            keys.fill(key)

    thread = threading.Thread(target=toggle)
    thread.start()
    end = time.monotonic() + 1.0
    try:
        while time.monotonic() < end:
            with contextlib.suppress(KeyError, ValueError):
                keyed.update_many(keys, x)
    finally:
        done.set()
        thread.join()
    keyed.update_many(keys, x)
    assert keyed.rows()[0]["n"] == 20
    assert len(keyed) == 1


@pytest.mark.parametrize("own", [True, False], ids=["own reference", "given reference"])
@given(before=VALUES, after=VALUES)
def test_a_snapshot_is_never_having_stopped(own: bool, before: list[float], after: list[float]) -> None:
    keyed = fl.KeyedPsi(9 if own else fl.Psi([0.0, 1.0, 2.0]), window=11, bins=4)
    fed(fed(keyed, "a", before), "ü", before[:3])
    copies = [fl.KeyedPsi.restore(keyed.snapshot()), pickle.loads(pickle.dumps(keyed)), copy.deepcopy(keyed)]
    fed(keyed, "a", after)
    for again in copies:
        fed(again, "a", after)
        assert again.snapshot() == keyed.snapshot()
        assert state(again) == state(keyed)


@given(VALUES, VALUES)
def test_merging_is_one_stream_after_the_other(first: list[float], second: list[float]) -> None:
    reference = fl.Psi([-1.0, 0.0, 1.0, 2.0], bins=3)
    left = fed(fl.KeyedPsi(reference, window=13), "a", first)
    right = fed(fed(fl.KeyedPsi(reference, window=13), "b", first), "a", second)
    left.merge(right)
    expected = fed(fed(fl.KeyedPsi(reference, window=13), "a", first + second), "b", first)
    assert state(left) == state(expected)
    more = [0.5, -2.0] * 10
    assert state(fed(left, "a", more)) == state(fed(expected, "a", more))


def test_disjoint_keys_merge_whatever_their_reference() -> None:
    left = fed(fl.KeyedPsi(5, window=4), "a", [1.0, 2.0, 3.0, 4.0, 5.0, 1.0, 2.0, 3.0, 9.0])
    right = fed(fl.KeyedPsi(5, window=4), "b", [4.0, 2.0, 3.0, 4.0, 5.0, 1.0, 2.0, 3.0, 9.0])
    fed(right, "unfinished", [1.0, 2.0])
    whole = [*state(left), *state(right)]
    left.merge(right)
    assert state(left) == whole
    fed(left, "unfinished", [3.0, 4.0, 5.0, 1.0, 1.0, 1.0, 1.0])
    assert math.isfinite(left.rows()[-1]["psi"])


def test_what_cannot_be_merged_changes_nothing() -> None:
    full = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    left = fed(fl.KeyedPsi(5, window=4), "a", full)
    before = left.snapshot()
    with pytest.raises(ValueError, match="later holds the key 'a'"):
        left.merge(fed(fed(fl.KeyedPsi(5, window=4), "new", full), "a", full))
    for other in (fl.KeyedPsi(5, window=5), fl.KeyedPsi(6, window=4), fl.KeyedPsi(fl.Psi([1.0, 2.0]), window=4)):
        with pytest.raises(ValueError, match="another reference, window or number of bins"):
            left.merge(other)
    with pytest.raises(ValueError, match="later is the same object"):
        left.merge(left)
    assert left.snapshot() == before


@pytest.mark.parametrize("name", ["KeyedPsi", "StreamingPsi"])
def test_damaged_bytes_are_refused(name: str) -> None:
    kind = getattr(fl, name)
    whole = kind(reference=5, window=4)
    if name == "KeyedPsi":
        fed(whole, "a", [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    else:
        for x in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0):
            whole.add(x)
    good = whole.snapshot()
    for place in range(len(good)):
        with pytest.raises(ValueError, match="no snapshot of this kind"):
            kind.restore(good[:place] + bytes([good[place] ^ 4]) + good[place + 1 :])
        with pytest.raises(ValueError, match="no snapshot of this kind"):
            kind.restore(good[:place])


def test_bins_have_a_snapshot_too() -> None:
    psi = fl.Psi([0.5, 1.0, math.nan, 7.0], bins=3)
    state = psi.snapshot()
    again = fl.Psi.restore(state)
    assert again.snapshot() == state
    assert again.edges.tolist() == psi.edges.tolist()
    assert again.reference.tolist() == psi.reference.tolist()
    for place in range(len(state)):
        with pytest.raises(ValueError, match="no snapshot of this kind"):
            fl.Psi.restore(state[:place] + bytes([state[place] ^ 4]) + state[place + 1 :])


@given(VALUES, VALUES)
def test_a_single_stream_has_a_snapshot_too(before: list[float], after: list[float]) -> None:
    stream = fl.StreamingPsi(reference=7, window=5, bins=3)
    for x in before:
        stream.add(x)
    again = fl.StreamingPsi.restore(stream.snapshot())
    for x in after:
        stream.add(x)
        again.add(x)
    assert again.snapshot() == stream.snapshot()
    assert str(again.index) == str(stream.index)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: fl.KeyedPsi(0), ValueError, "reference is 0"),
        (lambda: fl.KeyedPsi(-3), ValueError, "reference is -3"),
        (lambda: fl.KeyedPsi(1 << 40), ValueError, "reference is 1099511627776, must be at most"),
        (lambda: fl.KeyedPsi("first"), TypeError, "reference is 'first'"),
        (lambda: fl.KeyedPsi(True), TypeError, "reference is True"),
        (lambda: fl.KeyedPsi(window=0), ValueError, "window is 0"),
        (lambda: fl.KeyedPsi(bins=1), ValueError, "bins is 1"),
        (lambda: fl.KeyedPsi().update(0, 1.0), KeyError, "no key has the id 0"),
        (lambda: fl.KeyedPsi().index(-1), KeyError, "no key has the id -1"),
        (lambda: fl.KeyedPsi().index(1 << 40), KeyError, "no key has the id 1099511627776"),
        (lambda: fl.KeyedPsi().update(0), TypeError, "takes 2 positional arguments"),
        (lambda: fl.StreamingPsi().add("x"), TypeError, "must be real number"),
    ],
)
def test_what_makes_no_sense_is_refused(call: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()
