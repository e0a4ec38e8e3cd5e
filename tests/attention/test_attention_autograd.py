"""Where autograd, torch.func and torch's settings meet attention: nothing may be wrong in silence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from fairlead.attention import attention  # noqa: E402


def random(*shape: int, seed: int = 0, grad: bool = False, dtype: Any = torch.float32) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype).requires_grad_(grad)


class Marked(torch.Tensor):
    pass


@pytest.mark.parametrize("form", [list, np.array, torch.tensor])
@pytest.mark.parametrize("pair", [False, True])
def test_counts_changed_after_forward_do_not_reach_backward(form: Any, pair: bool) -> None:
    def gradient(change: bool) -> Any:
        x, counts = random(2, 4, 6, 8, grad=True), form([3, 4])
        out = attention(x, x, x, counts=(counts, None) if pair else counts)
        if change:
            counts[0] = counts[1] = 6
        out.square().sum().backward()
        return x.grad

    assert torch.equal(gradient(True), gradient(False))


@pytest.mark.parametrize("kind", [torch.Tensor, Marked])
def test_second_derivatives_are_refused_even_where_the_first_is_linear(kind: Any) -> None:
    x = random(1, 2, 5, 8).as_subclass(kind).requires_grad_()
    # The gradient of this sum is constant in the output, so nothing tells torch that attention itself is not linear.
    gradient = torch.autograd.grad(attention(x, x, x).sum() + (x**3).sum(), x, create_graph=True)[0]
    with pytest.raises(RuntimeError, match="attention has no second derivatives"):
        torch.autograd.grad(gradient.square().sum(), x)


def test_second_derivatives_of_func_are_refused() -> None:
    def loss(x: Any) -> Any:
        return attention(x, x, x).sum()

    with pytest.raises(RuntimeError, match="attention has no second derivatives"):
        torch.func.grad(lambda x: torch.func.grad(loss)(x).square().sum())(random(1, 2, 5, 8))


def test_create_graph_gives_the_same_gradients() -> None:
    given = [random(2, 4, 5, 8, seed=i, grad=True) for i in range(3)]
    bias = random(4, 5, 1, seed=4, grad=True)
    once = torch.autograd.grad(attention(*given, bias).sum(), (*given, bias))
    graph = torch.autograd.grad(attention(*given, bias).sum(), (*given, bias), create_graph=True)
    for x, y in zip(once, graph, strict=True):
        assert torch.equal(x, y)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch: its decompositions for jvp
def test_forward_mode_is_refused() -> None:
    from torch.autograd import forward_ad

    x = random(1, 2, 5, 8)
    with pytest.raises(NotImplementedError, match="attention has no forward-mode derivative"):
        torch.func.jvp(lambda x: attention(x, x, x), (x,), (x,))
    for grad in (False, True):
        with forward_ad.dual_level():
            dual = forward_ad.make_dual(x.clone().requires_grad_(grad), torch.ones_like(x))
            with pytest.raises(NotImplementedError, match="attention has no forward-mode derivative"):
                attention(dual, x, x)
            with pytest.raises(NotImplementedError, match="attention has no forward-mode derivative"):
                attention(x, x, x, dual[0, :, :, :5])
            assert torch.equal(attention(x, x, x), attention(x.clone(), x, x))


def test_writing_to_out_is_told_to_autograd() -> None:
    x, out, scale = random(2, 4, 6, 8), torch.ones(2, 4, 6, 8), random(2, 4, 6, 8, grad=True)
    product = (out * scale).sum()  # keeps out for its backward pass
    attention(x, x, x, out=out)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.backward()


def test_out_that_wants_a_gradient_is_refused() -> None:
    x = random(2, 4, 6, 8)
    with pytest.raises(ValueError, match="out is given, but a gradient is asked for"):
        attention(x, x, x, out=torch.empty_like(x).requires_grad_())
    with torch.no_grad():
        attention(x, x, x, out=torch.empty_like(x).requires_grad_())


def test_another_default_device_changes_nothing() -> None:
    x, bias = random(2, 4, 6, 8, grad=True), random(4, 1, 6, seed=1, grad=True)
    expected = attention(x, x, x, bias, weights="mean", return_lse=True, counts=[3, 6])
    gradient = torch.autograd.grad(expected[0].sum(), bias)[0]
    torch.set_default_device("meta")
    try:
        with torch.no_grad():
            plain = attention(x, x, x, bias, weights="mean", return_lse=True, counts=[3, 6])
        found = attention(x, x, x, bias, weights="mean", return_lse=True, counts=[3, 6])
        other = torch.autograd.grad(found[0].sum(), bias)[0]
        marked = attention(*[x.as_subclass(Marked)] * 3, bias, counts=[3, 6])
    finally:
        torch.set_default_device(None)
    for result in (plain, found):
        for one, two in zip(result, expected, strict=True):
            assert torch.equal(one, two)
    assert torch.equal(other, gradient)
    assert torch.equal(marked.as_subclass(torch.Tensor), expected[0])


def test_counts_of_torch() -> None:
    x = random(2, 4, 6, 8)
    expected = attention(x, x, x, counts=[3, 4])
    marked = x.as_subclass(Marked)
    for counts in (torch.tensor([3, 4], dtype=torch.int32), (torch.tensor(3), torch.tensor(4)), (np.int64(3), 4)):
        assert torch.equal(attention(x, x, x, counts=counts), expected)
        assert torch.equal(attention(marked, x, x, counts=counts).as_subclass(torch.Tensor), expected)
    for given in (x, marked):
        with pytest.raises(TypeError, match=r"counts has dtype torch\.float32, must be int64"):
            attention(given, x, x, counts=torch.tensor([3.0, 4.0]))
        with pytest.raises(ValueError, match="counts is on meta, must be on the CPU"):
            attention(given, x, x, counts=torch.tensor([3, 4], device="meta"))


def test_out_of_the_wrong_shape_is_refused_where_it_is_copied_to() -> None:
    x = random(2, 4, 6, 8)
    with pytest.raises(ValueError, match=r"out has shape \(3, 2, 4, 6, 8\), must have"):
        attention(x.as_subclass(Marked), x, x, out=torch.empty(3, 2, 4, 6, 8))


@pytest.mark.parametrize("shape", [(0, 4, 5, 8), (2, 4, 0, 8)])
def test_gradients_of_nobody(shape: tuple[int, ...]) -> None:
    x, bias = torch.zeros(shape, requires_grad=True), torch.zeros(4, 1, 1, requires_grad=True)
    del [torch.full((4, 1, 1), 7.0) for _ in range(50)][:]
    attention(x, x, x, bias).sum().backward()
    assert x.grad.shape == shape
    assert not bias.grad.any()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("grad", [False, True])
def test_torch_jit_trace_records_the_operator(grad: bool) -> None:
    x = random(1, 2, 5, 8, grad=grad)
    traced = torch.jit.trace(lambda x: attention(x, x, x) * 1, x)
    assert "fairlead::attention" in str(traced.graph)
    assert torch.equal(traced(2 * x), attention(2 * x, 2 * x, 2 * x))
