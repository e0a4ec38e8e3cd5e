"""Memory that attention is given: who shares it with whom, counts in whatever form, sets without anybody."""

from __future__ import annotations

import itertools
import re
from typing import Any

import numpy as np
import pytest

from fairlead.attention import AttentionLayer, attention, attention_gradients


def random(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def same(result: Any, *given: Any, **more: Any) -> None:
    np.testing.assert_array_equal(result, attention(*(x.copy() for x in given), **more))


def test_out_within_the_memory_of_an_input_is_refused() -> None:
    big = random(3, 4, 9, 8)
    q, later = big[:2], big[1:]
    for name, given in (
        ("q", (q, later.copy(), later.copy())),
        ("k", (later.copy(), q, later.copy())),
        ("v", (later.copy(), later.copy(), q)),
    ):
        before = big.copy()
        with pytest.raises(ValueError, match=f"out shares memory with {name}, must have memory of its own"):
            attention(*given, out=later)
        np.testing.assert_array_equal(big, before)
    bias = random(2, 4, 9, 9)
    with pytest.raises(ValueError, match="out shares memory with bias"):
        attention(q, q, q, bias, out=bias.reshape(-1)[:-72].reshape(2, 4, 9, 8))
    mask = np.zeros((2, 4, 9, 36), bool)
    with pytest.raises(ValueError, match="out shares memory with mask"):
        attention(q, q, q, mask=mask[..., :9], out=mask.view(np.float32)[..., :8])


def test_out_may_lie_between_the_rows_of_inputs() -> None:
    packed = random(2, 9, 4, 4, 8)  # batch, rows, q|k|v|out, heads, depth
    q, k, v, out = (packed[:, :, i].swapaxes(1, 2) for i in range(4))
    expected = attention(q.copy(), k.copy(), v.copy())
    assert attention(q, k, v, out=out) is out
    np.testing.assert_array_equal(out, expected)
    halves = random(4, 4, 9, 8)
    same(attention(halves[::2], halves[::2], halves[::2], out=halves[1::2]), *[halves[::2]] * 3)
    heads = random(2, 4, 9, 8)
    first, last = heads[:, 1::-1], heads[:, 2:]
    same(attention(first, first, first, out=last), first, first, first)
    rows = random(1, 2, 9, 16)
    same(attention(*[rows[..., :8]] * 3, out=rows[..., 8:]), *[rows[..., :8]] * 3)
    with pytest.raises(ValueError, match="out shares memory with q"):
        attention(*[rows[..., :8]] * 3, out=rows[..., 7:15])


def test_out_that_overlaps_itself_is_refused() -> None:
    x = random(2, 2, 9, 8)
    memory = np.zeros(4000, np.float32)
    for steps in ((64, 32, 4, 1), (0, 72, 8, 1), (144, 0, 8, 1), (144, 72, 7, 1)):
        out = np.lib.stride_tricks.as_strided(memory, x.shape, [4 * step for step in steps])
        with pytest.raises(ValueError, match="out is a view whose numbers share memory"):
            attention(x, x, x, out=out)
    assert not memory.any()
    empty = np.empty((2, 2, 0, 8), np.float32)
    assert attention(empty, x, x, out=empty.copy()).shape == (2, 2, 0, 8)


class Whole:
    def __init__(self, number: int) -> None:
        self.number = number

    def __index__(self) -> int:
        return self.number


@pytest.mark.parametrize(
    "counts",
    [
        (np.int64(3), np.int64(2)),
        [np.int32(3), 2],
        np.array([3, 2], np.int32),
        np.array([3, 2], np.uint8),
        (np.array(3), np.array(2)),
        range(3, 1, -1),
        (Whole(3), Whole(2)),
        ([3, 2], np.array([3, 2], np.int16)),
    ],
)
def test_counts_of_any_whole_numbers(counts: Any) -> None:
    x = random(2, 4, 9, 8)
    np.testing.assert_array_equal(attention(x, x, x, counts=counts), attention(x, x, x, counts=[3, 2]))


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        (3, "counts is 3, must be an int64 array or a sequence of whole numbers"),
        ([3, 2.5], "counts[1] is 2.5, must be a whole number"),
        ((3, None), "counts[1] is None, must be a whole number"),
        ([[3, 2], [1, 2]], "counts[0] is [3, 2], must be a whole number"),
        ("32", "counts is '32', must be an int64 array or a sequence"),
        (np.ones(2, bool), "counts has dtype bool, must be int64"),
    ],
)
def test_counts_that_are_none(counts: Any, text: str) -> None:
    x = random(2, 4, 9, 8)
    with pytest.raises(TypeError, match=re.escape(text)):
        attention(x, x, x, counts=counts)


def test_counts_that_call_us_again() -> None:
    x = random(2, 4, 9, 8)
    few = random(1, 1, 1, 8)

    class Again(Whole):
        def __index__(self) -> int:
            attention(few, few, few, counts=[1])
            given.clear()
            return self.number

    given: list[Any] = [3, 2]
    counts = (given, [Again(3), Again(2)])
    np.testing.assert_array_equal(attention(x, x, x, counts=counts), attention(x, x, x, counts=[3, 2]))


def test_a_scale_beyond_float32_is_refused() -> None:
    x = random(1, 1, 3, 4)
    with pytest.raises(ValueError, match=r"scale is 1e\+39, must be finite in float32"):
        attention(x, x, x, scale=1e39)
    wide = np.zeros((1, 1, 3, 4))
    assert not attention(wide, wide, wide, scale=1e39).any()


def test_gradients_of_nobody() -> None:
    x, none = random(2, 4, 5, 8), random(2, 4, 0, 8)
    out, lse = attention(none, x, x, return_lse=True)
    dq, dk, dv, dbias = attention_gradients(out, none, x, x, out=out, lse=lse)
    assert dq.shape == none.shape
    assert not dk.any()
    assert not dv.any()
    assert dbias is None


@pytest.mark.parametrize(("batch", "queries", "keys"), [(0, 5, 6), (2, 0, 6), (2, 5, 0)])
def test_a_bias_of_nobody_has_a_gradient_of_zeros(batch: int, queries: int, keys: int) -> None:
    q, k = random(batch, 4, queries, 8), random(batch, 4, keys, 8)
    layer = AttentionLayer(8)
    layer.load({"in_proj_weight": random(24, 8), "out_proj.weight": random(8, 8)})
    x, context = random(batch, queries, 8), random(batch, keys, 8)
    for shape in itertools.product((1, batch), (1, 4), (1, queries), (1, keys)):
        junk = [np.full(shape, 7.0, np.float32) for _ in range(50)]  # so that memory that is given out again shows
        bias = np.zeros(shape, np.float32)
        del junk
        out, lse = attention(q, k, k, bias, return_lse=True)
        dbias = attention_gradients(out, q, k, k, bias, out=out, lse=lse)[3]
        assert dbias.shape == shape
        assert not dbias.any()
        made, saved = layer.forward(x, context, bias=bias)
        assert not layer.backward(made, saved)["bias"].any()
