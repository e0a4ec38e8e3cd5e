"""Gradients of numpy arrays against the formulas in float64, over random shapes, strides, masks and logits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from attention_oracle import Case, cases, differentiate
from hypothesis import given, settings

from fairlead.attention import attention, attention_gradients

NAMES = ("q", "k", "v", "bias")


def compare(case: Case, tolerance: float, large: float) -> None:
    """tolerance: of the largest sum that a gradient is made of; more where logits beyond `large` have lost digits."""
    rng = np.random.default_rng(3)
    more = {"mask": case.mask, "counts": case.counts, "scale": case.scale}
    out, lse = attention(case.q, case.k, case.v, case.bias, return_lse=True, **more)
    grad = rng.normal(size=out.shape).astype(out.dtype)
    found = attention_gradients(grad, case.q, case.k, case.v, case.bias, out=out, lse=lse, **more)
    expected = differentiate(case, grad.astype(np.float64))
    tolerance *= max(1.0, case.expected().size / large)
    for name, gradient in zip(NAMES, found, strict=True):
        exact = getattr(expected, name)
        if exact is None:
            assert gradient is None
            continue
        assert gradient.shape == exact.shape
        assert gradient.dtype == out.dtype
        assert np.abs(gradient - exact).max(initial=0.0) <= tolerance * max(expected.sizes[name], 1.0), name


@settings(max_examples=120)
@given(case=cases())
def test_float32(case: Case) -> None:
    compare(case, 1e-5, 16)


@settings(max_examples=60)
@given(case=cases(np.float64, most=20))
def test_float64(case: Case) -> None:
    compare(case, 1e-13, 1)


@pytest.mark.parametrize("how", ["expanded", "turned", "backwards", "apart"])
def test_any_strides_of_a_bias(how: str) -> None:
    """The gradient has the bias's shape, also where several of its numbers share memory."""
    rng = np.random.default_rng(4)
    q, k, v, grad = (rng.normal(size=(3, 4, 7, 16)).astype(np.float32) for _ in range(4))
    whole = rng.normal(size=(4, 7, 14)).astype(np.float32)
    bias: Any = {
        "expanded": np.broadcast_to(whole[:1, :, :7], (3, 4, 7, 7)),
        "turned": whole[..., :7].swapaxes(1, 2),
        "backwards": whole[::-1, ::-1, 6::-1],
        "apart": whole[..., ::2],
    }[how]
    out, lse = attention(q, k, v, bias, return_lse=True)
    found = attention_gradients(grad, q, k, v, bias, out=out, lse=lse)
    plain = np.ascontiguousarray(bias)
    assert np.array_equal(out, attention(q, k, v, plain))
    for x, y in zip(found, attention_gradients(grad, q, k, v, plain, out=out, lse=lse), strict=True):
        assert np.array_equal(x, y)
    assert found[3].shape == bias.shape


def test_a_gradient_that_is_one_number_everywhere() -> None:
    q = np.random.default_rng(5).normal(size=(1, 2, 5, 8)).astype(np.float32)
    out, lse = attention(q, q, q, return_lse=True)
    one = np.broadcast_to(np.float32(1), q.shape)
    expected = attention_gradients(np.ones_like(q), q, q, q, out=out, lse=lse)
    for x, y in zip(attention_gradients(one, q, q, q, out=out, lse=lse)[:3], expected[:3], strict=True):
        assert np.array_equal(x, y)
