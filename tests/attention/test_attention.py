"""Attention of numpy arrays, against its formula in float64."""

from __future__ import annotations

import threading
import tracemalloc
from typing import Any

import numpy as np
import pytest
from attention_oracle import Case, attend, cases
from hypothesis import assume, given, settings

from fairlead import _core
from fairlead.attention import attention, attention_gradients

TOLERANCE = {np.float32: 2e-6, np.float64: 1e-13}


def near(given: Any, expected: Any, tolerance: float) -> None:
    """Within `tolerance` of the largest value, infinities in the same places."""
    given, expected = np.asarray(given, np.float64), np.asarray(expected, np.float64)
    assert given.shape == expected.shape
    finite = np.isfinite(expected)
    assert np.array_equal(given[~finite], expected[~finite])
    if finite.any():
        largest = max(np.abs(expected[finite]).max(), 1.0)
        assert np.abs(given[finite] - expected[finite]).max() <= tolerance * largest


def run(case: Case, **more: Any) -> Any:
    return attention(case.q, case.k, case.v, case.bias, mask=case.mask, counts=case.counts, scale=case.scale, **more)


@settings(max_examples=150)
@given(case=cases())
def test_float32(case: Case) -> None:
    out, weights, lse = run(case, weights="each", return_lse=True)
    expected = case.expected()
    assert out.dtype == weights.dtype == lse.dtype == np.float32
    # Large logits lose digits before the softmax: half a unit of float32 at 1e4 is 5e-4.
    tolerance = TOLERANCE[np.float32] * max(1.0, expected.size / 16)
    near(out, expected.out, tolerance)
    near(weights, expected.weights, tolerance)
    near(lse, expected.lse, TOLERANCE[np.float32])
    near(run(case, weights="mean")[1], expected.weights.mean(axis=1), tolerance)


@settings(max_examples=60)
@given(case=cases(np.float64, most=20))
def test_float64(case: Case) -> None:
    out, weights, lse = run(case, weights="each", return_lse=True)
    expected = case.expected()
    assert out.dtype == weights.dtype == lse.dtype == np.float64
    tolerance = 1e-13 * max(1.0, expected.size)
    near(out, expected.out, tolerance)
    near(weights, expected.weights, tolerance)
    near(lse, expected.lse, 1e-13)


@settings(max_examples=40)
@given(case=cases())
def test_threads_and_out_change_no_bit(case: Case) -> None:
    alone = run(case, threads=1)
    many = run(case, threads=3)
    out = np.full_like(alone, np.nan)
    assert run(case, out=out) is out
    assert np.array_equal(alone, many)
    assert np.array_equal(alone, out)


def test_many_heads_on_threads_are_the_same_bits() -> None:
    rng = np.random.default_rng(1)
    q, k, v = (rng.normal(size=(32, 4, 48, 32)).astype(np.float32) for _ in range(3))
    assert np.array_equal(attention(q, k, v, threads=1), attention(q, k, v, threads=2))
    assert np.array_equal(attention(q, k, v, threads=1), attention(q, k, v))


def test_calls_from_several_threads_do_not_disturb_each_other() -> None:
    rng = np.random.default_rng(2)
    given = [rng.normal(size=(3, 8, 4, 64, 32)).astype(np.float32) for _ in range(4)]
    alone = [attention(*x, threads=1) for x in given]
    wrong: list[int] = []

    def work(i: int) -> None:
        wrong.extend(i for _ in range(20) if not np.array_equal(attention(*given[i]), alone[i]))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("level", ["scalar", "avx2", "avx512"])
def test_every_instruction_set(level: str) -> None:
    rng = np.random.default_rng(3)
    q, k, v = (rng.normal(size=(2, 4, 33, 40)).astype(np.float32) for _ in range(3))
    bias = rng.normal(size=(4, 33, 33)).astype(np.float32)
    before = _core.simd_level()
    try:
        _core.set_simd_level(level)
    except ValueError:
        pytest.skip(f"no {level} here")
    try:
        out = attention(q, k, v, bias)
        assert _core.simd_ran() == level
    finally:
        _core.set_simd_level(before)
    near(out, attend(q, k, v, bias).out, 2e-6)


@pytest.mark.parametrize("logit", [-1e4, 0.0, 1e4])
def test_equal_logits_are_the_mean(logit: float) -> None:
    v = np.random.default_rng(4).normal(size=(1, 2, 7, 16)).astype(np.float32)
    q = np.zeros((1, 2, 5, 16), np.float32)
    out = attention(q, np.zeros_like(v), v, np.full((5, 7), logit, np.float32))
    near(out, np.broadcast_to(v.mean(axis=2, keepdims=True), out.shape), 2e-6)


def test_one_logit_far_above_takes_all() -> None:
    v = np.arange(4 * 16, dtype=np.float32).reshape(1, 1, 4, 16)
    q = np.zeros((1, 1, 1, 16), np.float32)
    bias = np.array([-1e4, 1e4, -1e4, 0.0], np.float32)
    near(attention(q, np.zeros_like(v), v, bias)[0, 0, 0], v[0, 0, 1], 2e-6)


@pytest.mark.parametrize("how", ["mask", "bias", "counts"])
def test_a_fully_masked_row_is_zeros_with_zero_gradients(how: str) -> None:
    rng = np.random.default_rng(5)
    q, k, v, grad = (rng.normal(size=(1, 2, 4, 8)).astype(np.float32) for _ in range(4))
    bias = np.zeros((4, 4), np.float32)
    extra: dict[str, Any] = {}
    if how == "mask":
        extra["mask"] = np.array([True, True, False, True])[:, None]
    elif how == "counts":
        extra["counts"] = ([2], None)
    else:
        bias[2] = -np.inf
    out, weights, lse = attention(q, k, v, bias, weights="each", return_lse=True, **extra)
    assert not out[:, :, 2].any()
    assert not weights[:, :, 2].any()
    assert np.all(lse[:, :, 2] == -np.inf)
    dq, dk, dv, dbias = attention_gradients(grad, q, k, v, bias, out=out, lse=lse, **extra)
    assert not dq[:, :, 2].any()
    assert not dbias[2].any()
    assert all(np.isfinite(x).all() for x in (dq, dk, dv, dbias))
    assert dq.any()


def test_fewer_axes() -> None:
    rng = np.random.default_rng(6)
    q, k, v = (rng.normal(size=(4, 6, 16)).astype(np.float32) for _ in range(3))
    out, weights, lse = attention(q, k, v, weights="each", return_lse=True)
    whole = attention(q[None], k[None], v[None], weights="each", return_lse=True)
    for part, full in zip((out, weights, lse), whole, strict=True):
        assert np.array_equal(part, full[0])
    assert attention(q, k, v, weights="mean")[1].shape == (6, 6)
    assert np.array_equal(attention(q[0], k[0], v[0]), out[0])


def test_out_is_all_the_memory() -> None:
    rng = np.random.default_rng(10)
    q, k, v = (rng.normal(size=(16, 4, 32, 64)).astype(np.float32) for _ in range(3))
    out = np.empty_like(q)
    attention(q, k, v, out=out)
    tracemalloc.start()
    try:
        for _ in range(10):
            attention(q, k, v, out=out)
        assert tracemalloc.get_traced_memory()[1] < 1_000
    finally:
        tracemalloc.stop()


def test_counts_in_all_forms() -> None:
    rng = np.random.default_rng(7)
    q, k, v = (rng.normal(size=(3, 2, 5, 8)).astype(np.float32) for _ in range(3))
    counts = [2, 0, 5]
    expected = attend(q, k, v, counts=(counts, counts)).out
    for form in (counts, tuple(counts), np.array(counts), (counts, np.array(counts)), np.array(counts * 2)[:3]):
        near(attention(q, k, v, counts=form), expected, 2e-6)
    near(attention(q, k, v, counts=(None, counts)), attend(q, k, v, counts=([5, 5, 5], counts)).out, 2e-6)


def test_empty_sets() -> None:
    full = np.ones((2, 2, 3, 8), np.float32)
    assert attention(full[:, :, :0], full, full).shape == (2, 2, 0, 8)
    assert attention(full[:0], full[:0], full[:0]).shape == (0, 2, 3, 8)
    assert not attention(full, full[:, :, :0], full[:, :, :0]).any()


def test_rows_that_are_not_side_by_side_are_copied() -> None:
    rng = np.random.default_rng(8)
    q, k, v = (rng.normal(size=(1, 2, 16, 6)).astype(np.float32).swapaxes(-1, -2) for _ in range(3))
    near(attention(q, k, v), attend(q, k, v).out, 2e-6)


def test_memory_maps_are_read(tmp_path: Any) -> None:
    q = np.memmap(tmp_path / "q", np.float32, "w+", shape=(1, 1, 4, 8))
    q[:] = 1
    assert np.array_equal(attention(q, q, q), np.asarray(q))


@settings(max_examples=60)
@given(case=cases(np.float64, most=12))
def test_gradients_against_differences(case: Case) -> None:
    rng = np.random.default_rng(9)
    assume(np.abs(case.q).max() < 100)  # differences are no oracle of logits beyond
    out, lse = run(case, return_lse=True)
    grad = rng.normal(size=out.shape)
    extra = {"mask": case.mask, "counts": case.counts, "scale": case.scale}
    if case.bias is not None and np.abs(case.bias[np.isfinite(case.bias)]).max(initial=0.0) > 100:
        case.bias = np.where(np.isfinite(case.bias), case.bias / 1e4, case.bias)
        out, lse = run(case, return_lse=True)
    found = attention_gradients(grad, case.q, case.k, case.v, case.bias, out=out, lse=lse, **extra)
    for name, gradient in zip(("q", "k", "v", "bias"), found, strict=True):
        given = getattr(case, name)
        if given is None:
            assert gradient is None
            continue
        assert gradient.shape == given.shape
        direction = rng.normal(size=given.shape)
        step = 1e-5
        sides = []
        for sign in (1, -1):
            moved = Case(case.q, case.k, case.v, case.bias, case.mask, case.counts, case.scale)
            setattr(moved, name, given + sign * step * direction)
            sides.append((moved.expected().out * grad).sum())
        slope = (sides[0] - sides[1]) / (2 * step)
        assert abs(slope - (gradient * direction).sum()) <= 1e-6 * max(1.0, abs(slope), np.abs(gradient).max())
