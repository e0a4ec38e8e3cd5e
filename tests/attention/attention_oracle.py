"""Attention by its formula, in float64, from numpy alone; and random cases of every shape."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st


@dataclass
class Expected:
    out: Any
    weights: Any
    lse: Any
    size: float  # of the largest logit, as the sum of sizes it is made of: what its rounding goes with


def attend(
    q: Any, k: Any, v: Any, bias: Any = None, mask: Any = None, counts: Any = None, scale: Any = None
) -> Expected:
    """For (batch, heads, rows, numbers). A query without keys gets zeros."""
    q, k, v = (np.asarray(x, np.float64) for x in (q, k, v))
    group = q.shape[1] // k.shape[1]
    k, v = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)
    logits = q @ np.swapaxes(k, -1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if bias is not None:
        logits = logits + np.asarray(bias, np.float64)
    if mask is not None:
        logits = np.where(mask, logits, -np.inf)
    if counts is not None:
        queries, keys = counts
        for b in range(q.shape[0]):
            logits[b, :, queries[b] :] = -np.inf
            logits[b, :, :, keys[b] :] = -np.inf
    top = np.max(logits, axis=-1, keepdims=True, initial=-np.inf)
    shift = np.where(np.isfinite(top), top, 0.0)
    parts = np.exp(logits - shift)
    total = parts.sum(axis=-1, keepdims=True)
    weights = np.divide(parts, total, out=np.zeros_like(parts), where=total > 0)
    with np.errstate(divide="ignore"):
        lse = (np.log(total) + shift)[..., 0]
    parts = np.abs(q) @ np.swapaxes(np.abs(k), -1, -2) * abs(q.shape[-1] ** -0.5 if scale is None else scale)
    if bias is not None:
        parts = parts + np.abs(np.where(np.isfinite(bias), bias, 0.0))
    return Expected(weights @ v, weights, lse, float(parts.max(initial=0.0)))


@dataclass
class Gradients:
    q: Any
    k: Any
    v: Any
    bias: Any
    sizes: dict[str, float]  # of each, the largest sum of sizes that a number of it is made of: they may cancel


def differentiate(case: Case, grad: Any) -> Gradients:
    """By the formulas, in float64."""
    q, k, v = (np.asarray(x, np.float64) for x in (case.q, case.k, case.v))
    scale = q.shape[-1] ** -0.5 if case.scale is None else case.scale
    batch, key_heads = k.shape[:2]
    group = q.shape[1] // key_heads
    weights = case.expected().weights
    wide_k, wide_v = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)

    def each_key_head(x: Any) -> Any:
        return x.reshape(batch, key_heads, group, *x.shape[2:]).sum(axis=2)

    towards = grad @ np.swapaxes(wide_v, -1, -2)
    logits = weights * (towards - (weights * towards).sum(axis=-1, keepdims=True))
    turned = np.swapaxes(logits, -1, -2)
    dk, dv = each_key_head(turned @ q * scale), each_key_head(np.swapaxes(weights, -1, -2) @ grad)
    bias = None
    parts = weights * (np.abs(towards) + (weights * np.abs(towards)).sum(axis=-1, keepdims=True))
    made = {
        "q": parts @ np.abs(wide_k) * abs(scale),
        "k": each_key_head(np.swapaxes(parts, -1, -2) @ np.abs(q) * abs(scale)),
        "v": each_key_head(np.swapaxes(weights, -1, -2) @ np.abs(grad)),
    }
    if case.bias is not None:
        full = (1,) * (4 - case.bias.ndim) + case.bias.shape
        shared = tuple(axis for axis in range(4) if full[axis] == 1)
        bias = logits.sum(axis=shared, keepdims=True).reshape(case.bias.shape)
        made["bias"] = parts.sum(axis=shared, keepdims=True)
    sizes = {name: float(x.max(initial=0.0)) for name, x in made.items()}
    return Gradients(logits @ wide_k * scale, dk, dv, bias, sizes)


@dataclass
class Case:
    q: Any
    k: Any
    v: Any
    bias: Any = None
    mask: Any = None
    counts: Any = None
    scale: Any = None
    said: dict[str, Any] = field(default_factory=dict)

    def expected(self) -> Expected:
        return attend(self.q, self.k, self.v, self.bias, self.mask, self.counts, self.scale)


def strided(rng: Any, shape: tuple[int, int, int, int], layout: str, dtype: Any) -> Any:
    """(batch, heads, rows, numbers) of normal numbers, as it may lie in memory."""
    batch, heads, rows, numbers = shape
    if layout == "bnhd":
        return np.moveaxis(rng.normal(size=(batch, rows, heads, numbers)).astype(dtype), 1, 2)
    if layout == "packed":  # one of three in (batch, rows, 3, heads, numbers)
        return np.moveaxis(rng.normal(size=(batch, rows, 3, heads, numbers)).astype(dtype)[:, :, 1], 1, 2)
    if layout == "backwards":
        return rng.normal(size=(batch, heads, rows, numbers)).astype(dtype)[:, ::-1, ::-1]
    return rng.normal(size=shape).astype(dtype)


@st.composite
def cases(draw: st.DrawFn, dtype: Any = np.float32, most: int = 40, backwards: bool = True) -> Case:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    batch, key_heads, group = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(st.integers(1, 3))
    queries, keys = draw(st.integers(1, most)), draw(st.integers(1, most))
    depth = draw(st.sampled_from([1, 5, 16, 24, 32, 64, 80, 128, 144]))
    width = draw(st.sampled_from([depth, 3, 48, 128]))
    layouts = st.sampled_from(["bhnd", "bnhd", "packed"] + (["backwards"] if backwards else []))
    q = strided(rng, (batch, key_heads * group, queries, depth), draw(layouts), dtype)
    k = strided(rng, (batch, key_heads, keys, depth), draw(layouts), dtype)
    v = strided(rng, (batch, key_heads, keys, width), draw(layouts), dtype)
    case = Case(q, k, v)
    kind = draw(st.sampled_from(["plain", "plain", "equal", "large"]))
    if kind == "equal":
        case.q = np.zeros_like(q)
    elif kind == "large":  # logits of about 1e4
        case.q = (q * np.float32(1e4)).astype(dtype)
    full = (batch, key_heads * group, queries, keys)

    def grid() -> tuple[int, ...]:
        sizes = [draw(st.sampled_from([1, size])) for size in full]
        return tuple(sizes[draw(st.integers(0, 3)) :])

    if draw(st.booleans()):
        case.bias = rng.normal(size=grid()).astype(dtype)
        kind = draw(st.sampled_from(["plain", "extreme", "equal", "turned", "holes", "rows", "expanded"]))
        if kind == "extreme":
            case.bias = (np.sign(case.bias) * 1e4).astype(dtype)
        elif kind == "equal":
            case.bias = np.full_like(case.bias, draw(st.sampled_from([-1e4, 1e4])))
        elif kind == "turned" and case.bias.ndim >= 2 and case.bias.shape[-1] == case.bias.shape[-2]:
            case.bias = np.swapaxes(case.bias, -1, -2)
        elif kind == "holes":
            case.bias = np.where(rng.random(case.bias.shape) < 0.3, -np.inf, case.bias).astype(dtype)
        elif kind == "rows":
            gone = rng.random((*case.bias.shape[:-1], 1)) < 0.5
            case.bias = np.where(gone, -np.inf, case.bias).astype(dtype)
        elif kind == "expanded":  # of stride 0
            case.bias = np.broadcast_to(case.bias, full)
    if draw(st.booleans()):
        case.mask = rng.random(grid()) < draw(st.sampled_from([0.0, 0.6, 1.0]))
    if draw(st.booleans()):
        case.counts = (rng.integers(0, queries + 1, batch), rng.integers(0, keys + 1, batch))
    if draw(st.booleans()):
        case.scale = draw(st.sampled_from([0.0, 0.3, 1.0, -0.5]))
    return case
