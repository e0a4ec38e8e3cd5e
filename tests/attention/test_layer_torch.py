"""The layer under what torch does with modules: compiling, fake tensors, autocast, torch.func, gradcheck; errors."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from fairlead.attention import CorrelationBias, MultiHeadAttention  # noqa: E402


def made(dtype: Any = torch.float32, **more: Any) -> Any:
    torch.manual_seed(3)
    return MultiHeadAttention(8, 2, dtype=dtype, **more)


def numbers(*shape: int, dtype: Any = torch.float32, seed: int = 4) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("hidden", [None, 3])
def test_gradcheck(hidden: int | None) -> None:
    layer, encode = made(torch.float64), CorrelationBias(2, hidden=hidden, dtype=torch.float64)
    with torch.no_grad():
        for parameter in encode.parameters():
            parameter.copy_(numbers(*parameter.shape, dtype=torch.float64))
    x = numbers(2, 4, 8, dtype=torch.float64).requires_grad_()
    correlation = torch.corrcoef(numbers(4, 9, dtype=torch.float64)).requires_grad_()
    parameters = [*layer.parameters(), *encode.parameters()]

    def function(x: Any, correlation: Any, *_: Any) -> Any:
        return layer(x, bias=encode(correlation), counts=[4, 3])[0]

    assert torch.autograd.gradcheck(function, (x, correlation, *parameters))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, while it compiles
@pytest.mark.parametrize("need_weights", [True, False])
def test_compiled_with_gradients(need_weights: bool) -> None:
    layer, encode = made(), CorrelationBias(2)
    with torch.no_grad():
        encode.slope.copy_(numbers(2))
    x, correlation = numbers(2, 5, 8).requires_grad_(), torch.corrcoef(numbers(5, 9))

    def function(x: Any) -> Any:
        return layer(x, bias=encode(correlation), need_weights=need_weights)

    found, expected = torch.compile(function, fullgraph=True, backend="aot_eager")(x), function(x)
    given = [x, *layer.parameters(), encode.slope]
    ours, theirs = (torch.autograd.grad(y[0].square().sum(), given) for y in (found, expected))
    for a, b in zip((*found, *ours), (*expected, *theirs), strict=True):
        if b is None:
            assert a is None
        else:
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_fake_and_meta_tensors() -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        out, weights = made()(torch.randn(2, 5, 8))
        assert type(out).__name__ == type(weights).__name__ == "FakeTensor"
    assert (out.shape, weights.shape) == ((2, 5, 8), (2, 5, 5))
    out, weights = MultiHeadAttention(8, 2, device="meta")(torch.randn(2, 5, 8, device="meta"))
    assert out.device.type == weights.device.type == "meta"
    assert (out.shape, weights.shape) == ((2, 5, 8), (2, 5, 5))


@pytest.mark.parametrize("grad", [False, True])
def test_autocast(grad: bool) -> None:
    layer, x = made(), numbers(2, 5, 8)
    exact = copy.deepcopy(layer).double()(x.double())[0]
    with torch.set_grad_enabled(grad), torch.autocast("cpu", torch.bfloat16):
        out, _ = layer(x)
    assert out.dtype is torch.bfloat16
    assert (out.double() - exact).abs().max() <= 2e-2 * exact.abs().max()
    if grad:
        out.float().square().sum().backward()
        assert all(parameter.grad.dtype is torch.float32 for parameter in layer.parameters())
    with torch.autocast("cpu", torch.float16), pytest.raises(TypeError, match=r"autocast to torch\.float16"):
        layer(x)


def test_gradients_of_each_sample() -> None:
    layer, x = made(torch.float64), numbers(3, 2, 5, 8, dtype=torch.float64)
    parameters = dict(layer.named_parameters())

    def loss(parameters: Any, x: Any) -> Any:
        return torch.func.functional_call(layer, parameters, (x,), {"need_weights": False})[0].square().sum()

    found = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(parameters, x)
    for i in range(3):
        expected = torch.autograd.grad(layer(x[i])[0].square().sum(), list(parameters.values()))
        for name, gradient in zip(parameters, expected, strict=True):
            torch.testing.assert_close(found[name][i], gradient)


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"query": (2, 6, 7)}, ValueError, "query has shape (2, 6, 7), must be (batch, rows, 8)"),
        ({"query": (8,)}, ValueError, "query has shape (8,), must be (batch, rows, 8)"),
        ({"key": (2, 6, 7)}, ValueError, "key has shape (2, 6, 7), must be (batch, rows, 8)"),
        ({"key": (6, 8)}, ValueError, "key has shape (6, 8), query has (2, 6, 8)"),
        ({"value": (2, 6, 7)}, ValueError, "value has shape (2, 6, 7), must be (batch, rows, 8)"),
        ({"bias": (3, 6, 6)}, ValueError, "bias has shape (3, 6, 6), which does not broadcast to"),
        ({"bias": torch.zeros(6, 6, dtype=torch.float64)}, TypeError, "bias has dtype torch.float64"),
        ({"bias": torch.zeros(6, 6, device="meta")}, ValueError, "bias is on meta"),
        ({"bias": torch.zeros(6, 6).numpy()}, TypeError, "bias is a numpy array"),
        (
            {"mask": torch.ones(7, 6, dtype=torch.bool)},
            ValueError,
            "mask has shape (7, 6), which does not broadcast to",
        ),
        ({"mask": (6, 6)}, TypeError, "mask has dtype torch.float32, must be bool"),
        ({"counts": [1, 2, 3]}, ValueError, "counts has length 3"),
        ({"counts": [1, 7]}, ValueError, "counts[1] is 7, outside [0, 6]"),
        ({"counts": [1.5, 2]}, TypeError, "counts[0] is 1.5, must be a whole number"),
    ],
)
def test_refused(given: dict[str, Any], error: type[Exception], text: str) -> None:
    arguments = {name: torch.zeros(x) if isinstance(x, tuple) else x for name, x in given.items()}
    with pytest.raises(error, match=re.escape(text)):
        made()(**{"query": torch.zeros(2, 6, 8)} | arguments)


@pytest.mark.parametrize("heads", [0, -1, 3, 5])
def test_heads_that_do_not_divide(heads: int) -> None:
    with pytest.raises(ValueError, match=f"heads is {heads}, must divide embed_dim, which is 8"):
        MultiHeadAttention(8, heads)
