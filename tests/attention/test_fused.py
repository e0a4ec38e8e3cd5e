"""The fused layer against its formulas in numpy, and against torch's modules."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from fairlead.attention import AttentionLayer


def weights(rng: np.random.Generator, embed: int, norm: str | None, dtype: Any = np.float32) -> dict[str, Any]:
    size = embed**-0.5
    out = {
        "in_proj_weight": rng.normal(0, size, (3 * embed, embed)),
        "in_proj_bias": rng.normal(0, 0.3, 3 * embed),
        "out_proj.weight": rng.normal(0, size, (embed, embed)),
        "out_proj.bias": rng.normal(0, 0.3, embed),
    }
    if norm:
        out |= {"norm.weight": rng.normal(1, 0.2, embed), "norm.bias": rng.normal(0, 0.2, embed)}
    return {name: x.astype(dtype) for name, x in out.items()}


def formulas(
    layer: AttentionLayer, w: dict[str, Any], x: Any, context: Any = None, bias: Any = 0.0, mask: Any = True
) -> Any:
    """Output, and weights of each head, in float64."""
    w = {name: value.astype(np.float64) for name, value in w.items()}

    def normed(z: Any) -> Any:
        spread = np.sqrt(z.var(-1, keepdims=True) + layer.epsilon)
        return (z - z.mean(-1, keepdims=True)) / spread * w["norm.weight"] + w["norm.bias"]

    def heads(z: Any) -> Any:
        return z.reshape(*z.shape[:2], layer.heads, -1).swapaxes(1, 2)

    x = x.astype(np.float64)
    inner = normed(x) if layer.norm == "before" else x
    source = inner if context is None else context.astype(np.float64)
    (wq, wk, wv), (bq, bk, bv) = np.split(w["in_proj_weight"], 3), np.split(w["in_proj_bias"], 3)
    q, k, v = heads(inner @ wq.T + bq), heads(source @ wk.T + bk), heads(source @ wv.T + bv)
    logits = np.where(mask, q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]) + bias, -np.inf)
    p = np.exp(logits - logits.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    out = (p @ v).swapaxes(1, 2).reshape(x.shape) @ w["out_proj.weight"].T + w["out_proj.bias"]
    if layer.residual:
        out = out + x
    return (normed(out) if layer.norm == "after" else out), p


@pytest.mark.parametrize("norm", [None, "before", "after"])
@pytest.mark.parametrize(
    ("batch", "n", "m", "embed", "heads"), [(1, 8, 8, 64, 4), (3, 17, 5, 24, 2), (2, 70, 70, 20, 5), (1, 1, 1, 3, 1)]
)
def test_the_formulas(norm: Any, batch: int, n: int, m: int, embed: int, heads: int) -> None:
    rng = np.random.default_rng(n)
    layer = AttentionLayer(embed, heads, norm=norm, residual=n % 2 == 0)
    w = weights(rng, embed, norm)
    layer.load(w)
    x = rng.normal(size=(batch, n, embed)).astype(np.float32)
    context = None if n == m else rng.normal(size=(batch, m, embed)).astype(np.float32)
    bias = rng.normal(size=(heads, n, m)).astype(np.float32)
    mask = rng.random((batch, 1, n, m)) < 0.8
    mask[..., 0] = True
    expected, p = formulas(layer, w, x, context, bias, mask)
    out, each = layer(x, context, bias=bias, mask=mask, need_weights="each")
    bound = 8e-6 * np.abs(expected).max()
    assert np.abs(out - expected).max() < bound
    assert np.abs(each - p).max() < 4e-6
    again, mean = layer(x, context, bias=bias, mask=mask, need_weights="mean", threads=2)
    assert np.array_equal(again, out)
    assert np.abs(mean - p.mean(1)).max() < 4e-6
    kept, _ = layer.forward(x, context, bias=bias, mask=mask)
    assert np.array_equal(kept, out)
    # Any layout of the bias: a view that is transposed, and one that numpy has broadcast.
    assert np.array_equal(
        layer(x, context, bias=np.ascontiguousarray(bias.swapaxes(1, 2)).swapaxes(1, 2), mask=mask), out
    )
    whole = np.broadcast_to(bias, (batch, heads, n, m))
    assert np.array_equal(layer(x, context, bias=whole, mask=mask), out)
    into = np.empty_like(out)
    assert layer(x, context, bias=bias, mask=mask, out=into) is into
    assert np.array_equal(into, out)


@pytest.mark.parametrize("norm", [None, "before", "after"])
def test_gradients_are_slopes(norm: Any) -> None:
    rng = np.random.default_rng(3)
    layer = AttentionLayer(6, 2, norm=norm, residual=True)
    w = weights(rng, 6, norm, np.float64)
    x, bias, toward = rng.normal(size=(2, 4, 6)), rng.normal(size=(2, 1, 4)), rng.normal(size=(2, 4, 6))
    layer.load(w)
    _, saved = layer.forward(x, bias=bias)
    found = layer.backward(toward, saved)
    assert found["bias"].shape == bias.shape
    for name, array in {"x": x, "bias": bias, **w}.items():
        slope = np.empty_like(array)
        for at in np.ndindex(array.shape):
            ends = []
            for step in (1e-5, -1e-5):
                old = array[at]
                array[at] = old + step
                ends.append((formulas(layer, w, x, bias=bias)[0] * toward).sum())
                array[at] = old
            slope[at] = (ends[0] - ends[1]) / 2e-5
        assert np.abs(found[name] - slope).max() < 1e-7 * max(1.0, np.abs(slope).max()), name


def test_rows_beyond_a_count_are_not_there() -> None:
    rng = np.random.default_rng(4)
    layer = AttentionLayer(8, 2, norm="after", residual=True)
    layer.load(weights(rng, 8, "after"))
    x = rng.normal(size=(3, 5, 8)).astype(np.float32)
    out, saved = layer.forward(x, counts=[5, 2, 0])
    assert np.array_equal(out[0], layer(x[0]))
    assert np.array_equal(out[1, :2], layer(x[1, :2]))
    assert not out[1, 2:].any()
    assert not out[2].any()
    found = layer.backward(np.ones_like(out), saved)
    assert not found["x"][1, 2:].any()
    assert not found["x"][2].any()
    assert all(np.isfinite(gradient).all() for gradient in found.values())


def test_what_was_saved_before_a_load_is_refused() -> None:
    rng = np.random.default_rng(5)
    layer = AttentionLayer(8, 2)
    x = rng.normal(size=(4, 8)).astype(np.float32)
    with pytest.raises(ValueError, match="the layer has no weights yet: load them first"):
        layer(x)
    layer.load(weights(rng, 8, None))
    out, saved = layer.forward(x)
    layer.load(weights(rng, 8, None))
    with pytest.raises(ValueError, match="have changed since"):
        layer.backward(out, saved)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"x": np.ones((2, 4, 7))}, r"x has shape \(2, 4, 7\), must have embed = 8"),
        ({"context": np.ones((3, 4, 8))}, r"context has shape \(3, 4, 8\), x has \(2, 4, 8\)"),
        ({"bias": np.ones((3, 4, 4))}, r"bias has shape \(3, 4, 4\), must broadcast to .* = \(2, 2, 4, 4\)"),
        ({"mask": np.ones((5, 4), bool)}, r"mask has shape \(5, 4\)"),
        ({"counts": [4, 5]}, r"counts\[1\] is 5, outside \[0, 4\]"),
        ({"counts": [4]}, "counts has length 1, the batch has 2"),
        ({"context_counts": [4, 4]}, "context_counts are given without a context"),
        ({"need_weights": True}, "need_weights is True, must be False, 'each' or 'mean'"),
        ({"need_weights": "all"}, "need_weights is 'all', must be False, 'each' or 'mean'"),
        ({"threads": 0}, r"threads is 0, must be a whole number in \[1, 4096\], or None"),
        ({"threads": -1}, r"threads is -1, must be a whole number in \[1, 4096\], or None"),
        ({"out": np.ones((2, 4, 7), np.float32)}, r"out has shape \(2, 4, 7\), must have \(2, 4, 8\)"),
    ],
)
def test_errors_name_the_argument(given: dict[str, Any], words: str) -> None:
    layer = AttentionLayer(8, 2)
    layer.load(weights(np.random.default_rng(6), 8, None))
    with pytest.raises(ValueError, match=words):
        layer(**({"x": np.ones((2, 4, 8), np.float32)} | given))


def test_wrong_weights_and_sizes() -> None:
    with pytest.raises(ValueError, match="heads is 4, must divide embed, which is 6"):
        AttentionLayer(6, 4)
    with pytest.raises(ValueError, match="embed is 8, heads is 4, epsilon is -1"):
        AttentionLayer(8, epsilon=-1.0)
    with pytest.raises(ValueError, match="norm is 'around'"):
        AttentionLayer(8, norm="around")  # type: ignore[arg-type]
    layer = AttentionLayer(8)
    with pytest.raises(ValueError, match="the layer has no weights yet: load them first"):
        layer(np.ones((2, 8), np.float32))
    good = weights(np.random.default_rng(7), 8, None)
    with pytest.raises(ValueError, match=r"out_proj.weight has shape \(7, 8\), must have \(8, 8\)"):
        layer.load(good | {"out_proj.weight": np.ones((7, 8))})
    with pytest.raises(ValueError, match="'other'"):
        layer.load(good | {"other": np.ones(8)})
    with pytest.raises(KeyError):
        layer.load({"in_proj_weight": good["in_proj_weight"]})
    layer.load(good)
    with pytest.raises(TypeError, match="mask has dtype float64, must be bool"):
        layer(np.ones((2, 8), np.float32), mask=np.ones((2, 2)))


def test_out_within_the_memory_of_a_bias_or_mask_is_refused() -> None:
    layer = AttentionLayer(8, 2)
    layer.load(weights(np.random.default_rng(9), 8, None))
    x, bias = np.ones((2, 8, 8), np.float32), np.zeros((2, 2, 8, 8), np.float32)
    with pytest.raises(ValueError, match="out shares memory with x, context, bias or mask"):
        layer(x, bias=bias, out=bias.reshape(-1)[128:].reshape(2, 8, 8))
    with pytest.raises(ValueError, match="out shares memory with x, context, bias or mask"):
        layer(x, mask=bias.reshape(-1).view(bool)[:128].reshape(2, 1, 8, 8), out=bias[0])


def test_a_bias_of_lists_has_a_gradient_of_its_shape() -> None:
    layer = AttentionLayer(8, 2)
    layer.load(weights(np.random.default_rng(9), 8, None))
    x, bias = np.random.default_rng(3).normal(size=(2, 4, 8)), np.zeros((4, 1))
    out, saved = layer.forward(x, bias=bias.tolist())
    found = layer.backward(np.ones_like(out), saved)["bias"]
    assert found.shape == (4, 1)
    other = layer.forward(x, bias=bias)[1]
    np.testing.assert_array_equal(found, layer.backward(np.ones_like(out), other)["bias"])


def test_threads_may_share_a_layer() -> None:
    rng = np.random.default_rng(8)
    layer = AttentionLayer(32)
    layer.load(weights(rng, 32, None))
    inputs = [rng.normal(size=(n, 32)).astype(np.float32) for n in (5, 9, 33, 64)]
    expected = [layer(x) for x in inputs]
    wrong: list[int] = []

    def work(i: int) -> None:
        wrong.extend(i for _ in range(50) if not np.array_equal(layer(inputs[i]), expected[i]))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("norm", ["before", "after"])
def test_torch(norm: Any) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module, scale = torch.nn.MultiheadAttention(32, 4, batch_first=True), torch.nn.LayerNorm(32)
    x = torch.randn(2, 11, 32, requires_grad=True)
    bias = torch.randn(2, 4, 11, 11, requires_grad=True)
    inner = scale(x) if norm == "before" else x
    made, mean = module(inner, inner, inner, attn_mask=bias.reshape(8, 11, 11))
    made = x + made if norm == "before" else scale(x + made)
    toward = torch.randn_like(made)
    (made * toward).sum().backward()
    layer = AttentionLayer(32, 4, norm=norm, residual=True)
    layer.load(dict(module.named_parameters()) | {f"norm.{name}": x for name, x in scale.state_dict().items()})
    given = x.detach().numpy()
    out, weights_ = layer(given, bias=bias.detach().numpy(), need_weights="mean")
    assert np.abs(out - made.detach().numpy()).max() < 1e-5
    assert np.abs(weights_ - mean.detach().numpy()).max() < 1e-5
    _, saved = layer.forward(given, bias=bias.detach().numpy())
    found = layer.backward(toward.numpy(), saved)
    expected = {"x": x.grad, "bias": bias.grad, "norm.weight": scale.weight.grad, "norm.bias": scale.bias.grad}
    expected |= {name: value.grad for name, value in module.named_parameters()}
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert np.abs(found[name] - value.numpy()).max() < 2e-5 * max(1.0, float(value.abs().max())), name
