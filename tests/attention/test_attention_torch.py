"""Attention of torch tensors: against torch's own, its autograd, its compiler and its transforms."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from attention_oracle import Case, cases
from hypothesis import given, settings

torch = pytest.importorskip("torch")

from fairlead.attention import attention, tensors  # noqa: E402

sdpa = torch.nn.functional.scaled_dot_product_attention


@pytest.fixture(params=["exchange", "asked"])
def way(request: Any) -> Iterator[None]:
    """Both ways to a tensor's memory: DLPack's exchange API, and data_ptr() for torch before 2.10."""
    tensors.tell(exchange=request.param == "exchange")
    yield
    tensors.tell()


def random(*shape: int, dtype: Any = torch.float32, seed: int = 0, grad: bool = False) -> Any:
    made = torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)
    return made.requires_grad_(grad)


def four(batch: int = 2, heads: int = 4, n: int = 9, depth: int = 16, **more: Any) -> tuple[Any, Any, Any, Any]:
    q, k, v = (random(batch, heads, n, depth, seed=i, **more) for i in range(3))
    return q, k, v, random(1, heads, n, n, seed=3, **more)


@settings(max_examples=50)
@given(case=cases(backwards=False))
def test_the_same_bits_as_of_numpy(case: Case) -> None:
    def tensor(x: Any) -> Any:
        return None if x is None else torch.from_numpy(x if x.flags.writeable else x.copy())

    counts = None if case.counts is None else tuple(torch.from_numpy(x) for x in case.counts)
    ours = attention(
        tensor(case.q), tensor(case.k), tensor(case.v), tensor(case.bias), mask=tensor(case.mask), counts=counts,
        scale=case.scale, weights="each", return_lse=True,
    )  # fmt: skip
    theirs = attention(
        case.q,
        case.k,
        case.v,
        case.bias,
        mask=case.mask,
        counts=case.counts,
        scale=case.scale,
        weights="each",
        return_lse=True,
    )
    for x, y in zip(ours, theirs, strict=True):
        assert type(x) is torch.Tensor
        assert np.array_equal(x.numpy(), y)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_against_torch(dtype: Any) -> None:
    q, k, v, bias = four(dtype=dtype)
    expected = sdpa(*(x.double() for x in (q, k, v, bias)))
    tolerance = {torch.float32: 2e-6, torch.bfloat16: 1e-2, torch.float64: 1e-13}[dtype]
    for form in (bias, bias[0], bias.expand(2, -1, -1, -1)):
        found = attention(q, k, v, form)
        assert found.dtype is dtype
        assert (found.double() - expected).abs().max() <= tolerance * expected.abs().max()


@pytest.mark.usefixtures("way")
def test_grouped_heads_mask_and_out() -> None:
    q, mask = random(2, 6, 7, 24), torch.rand(2, 1, 7, 11, generator=torch.Generator().manual_seed(1)) < 0.7
    k, v = random(2, 2, 11, 24, seed=1), random(2, 2, 11, 24, seed=2)
    expected = sdpa(q, k, v, mask, enable_gqa=True)
    out = torch.full_like(q, torch.nan)
    assert attention(q, k, v, mask=mask, out=out) is out
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(attention(q, k, v, mask=mask), expected, rtol=1e-5, atol=1e-6)


def test_strides_are_kept() -> None:
    """Of (batch, rows, heads, depth) seen as heads first: so that the output is seen as rows without a copy."""
    packed = random(2, 9, 3, 4, 16)
    q, k, v = packed.unbind(2)
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    out = attention(q, k, v)
    assert out.transpose(1, 2).is_contiguous()
    torch.testing.assert_close(out, sdpa(q, k, v), rtol=1e-5, atol=1e-6)


def test_rows_that_are_not_side_by_side_are_copied() -> None:
    q, k, v = (random(1, 2, 16, 5, seed=i).transpose(2, 3) for i in range(3))
    torch.testing.assert_close(attention(q, k, v), sdpa(q, k, v), rtol=1e-5, atol=1e-6)
    q.requires_grad_()
    torch.testing.assert_close(attention(q, k, v), sdpa(q, k, v), rtol=1e-5, atol=1e-6)


BIASES = [(2, 4, 5, 5), (1, 4, 5, 5), (4, 5, 5), (2, 1, 5, 5), (5, 5), (2, 1, 1, 5), (4, 5, 1), (5,)]


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("shape", BIASES, ids=str)
@pytest.mark.parametrize("fused", [True, False], ids=["function", "operator"])
def test_gradients_against_autograd(shape: tuple[int, ...], fused: bool) -> None:
    q, k, v, _ = four(n=5, depth=8, dtype=torch.float64, grad=True)
    bias, weight = (
        random(*shape, dtype=torch.float64, seed=7, grad=True),
        random(2, 4, 5, 8, dtype=torch.float64, seed=8),
    )
    through = attention if fused else operator
    ours = torch.autograd.grad((through(q, k, v, bias) * weight).sum(), (q, k, v, bias))
    theirs = torch.autograd.grad((sdpa(q, k, v, bias) * weight).sum(), (q, k, v, bias))
    for x, y in zip(ours, theirs, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-10, atol=1e-12)


def operator(q: Any, k: Any, v: Any, bias: Any) -> Any:
    bias = bias.reshape((1,) * (4 - bias.ndim) + tuple(bias.shape))
    return torch.ops.fairlead.attention(q, k, v, bias, None, None, None, q.shape[-1] ** -0.5, 0, 0)[0]


def test_float32_gradients() -> None:
    given = four(n=33, depth=64, grad=True)
    exact = [x.detach().double().requires_grad_() for x in given]
    ours = torch.autograd.grad(attention(*given).square().sum(), given)
    theirs = torch.autograd.grad(sdpa(*exact).square().sum(), exact)
    for x, y in zip(ours, theirs, strict=True):
        assert (x - y).abs().max() <= 1e-5 * y.abs().max()


def test_an_expanded_bias_has_its_own_gradient() -> None:
    q, k, v, _ = four(n=5, depth=8, dtype=torch.float64, grad=True)
    bias = random(5, 5, dtype=torch.float64, seed=4, grad=True)
    ours = torch.autograd.grad(attention(q, k, v, bias.expand(2, 4, 5, 5)).square().sum(), bias)[0]
    theirs = torch.autograd.grad(sdpa(q, k, v, bias).square().sum(), bias)[0]
    torch.testing.assert_close(ours, theirs)


def test_gradients_of_masked_rows_are_zero() -> None:
    given = four(n=4, grad=True)
    mask = torch.ones(4, 4, dtype=torch.bool)
    mask[1] = False
    out, weights, lse = attention(*given, mask=mask, weights="each", return_lse=True)
    assert not weights.requires_grad
    assert not lse.requires_grad
    out.sum().backward()
    assert all(torch.isfinite(x.grad).all() for x in given)
    assert not given[0].grad[:, :, 1].any()
    assert not given[3].grad[:, :, 1].any()


@pytest.mark.parametrize("shape", BIASES[1:4], ids=str)
def test_gradcheck(shape: tuple[int, ...]) -> None:
    q, k, v, _ = four(n=5, depth=3, dtype=torch.float64, grad=True)
    bias = random(*shape, dtype=torch.float64, seed=5, grad=True)
    assert torch.autograd.gradcheck(lambda *x: attention(*x, counts=([5, 3], [4, 5])), (q, k, v, bias))
    assert torch.autograd.gradcheck(operator, (q, k, v, bias))


def test_second_derivatives_are_refused() -> None:
    given = four(n=4, grad=True)
    gradient = torch.autograd.grad(attention(*given).square().sum(), given[0], create_graph=True)[0]
    with pytest.raises(NotImplementedError, match="no second derivatives"):
        gradient.sum().backward()


def second(way: str, q: Any, k: Any) -> Any:
    def loss(q: Any) -> Any:
        return attention(q, k, k).square().sum()

    if way == "grad":
        first = torch.autograd.grad(loss(q.requires_grad_()), q, create_graph=True)[0]
        return torch.autograd.grad(first.sum(), q)
    if way == "hessian":
        return torch.autograd.functional.hessian(loss, q)
    if way == "operator":
        compiled = torch.compile(loss, fullgraph=True, backend="eager")
        first = torch.autograd.grad(compiled(q.requires_grad_()), q, create_graph=True)[0]
        return torch.autograd.grad(first.sum(), q)
    if way == "func":
        return torch.func.grad(lambda q: torch.func.grad(loss)(q).square().sum())(q)
    return torch.func.jacrev(torch.func.grad(loss))(q)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, while it compiles
@pytest.mark.parametrize("way", ["grad", "hessian", "operator", "func", "jacrev"])
def test_second_derivatives_are_never_zeros(way: str) -> None:
    with pytest.raises(NotImplementedError, match="no second derivatives"):
        second(way, random(1, 1, 3, 4), random(1, 1, 3, 4, seed=1))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.func.jvp
def test_forward_mode_is_refused() -> None:
    q, bias = random(1, 1, 3, 4), random(3, 3)
    with torch.autograd.forward_ad.dual_level():
        assert attention(q, q, q).shape == q.shape  # which carries none
        dual = torch.autograd.forward_ad.make_dual(bias, bias)
        for grad in (False, True):
            with pytest.raises(NotImplementedError, match="no forward-mode derivative"), torch.set_grad_enabled(grad):
                attention(q, q, q, dual)
    with pytest.raises(NotImplementedError, match="no forward-mode derivative"):
        torch.func.jvp(lambda q: attention(q, q, q), (q,), (q,))


@settings(max_examples=40)
@given(case=cases(backwards=False))
def test_bfloat16(case: Case) -> None:
    """Against float64 of the rounded numbers; logits beyond 16 lose digits, as q and k did."""

    def rounded(x: Any) -> Any:
        return None if x is None else torch.from_numpy(np.array(x, np.float32)).bfloat16()

    q, k, v, bias = (rounded(x) for x in (case.q, case.k, case.v, case.bias))
    mask = None if case.mask is None else torch.from_numpy(np.array(case.mask))
    out, weights = attention(q, k, v, bias, mask=mask, counts=case.counts, scale=case.scale, weights="each")
    assert out.dtype is torch.bfloat16
    assert weights.dtype is torch.float32
    exact = Case(
        *(None if x is None else x.double().numpy() for x in (q, k, v, bias)), case.mask, case.counts, case.scale
    )
    expected = exact.expected()
    tolerance = 1e-2 * max(1.0, 2e-4 * expected.size / 16)  # sums are of float32
    assert np.abs(out.double().numpy() - expected.out).max() <= tolerance * max(np.abs(expected.out).max(), 1.0)
    assert np.abs(weights.numpy() - expected.weights).max() <= tolerance


def test_a_graph_of_gradients_may_be_made() -> None:
    given = four(n=4, grad=True)
    one = torch.autograd.grad(attention(*given).square().sum(), given)
    two = torch.autograd.grad(attention(*given).square().sum(), given, create_graph=True)
    assert all(torch.equal(x, y) for x, y in zip(one, two, strict=True))


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("weights", [0, 1, 2])
def test_opcheck(grad: bool, weights: int) -> None:
    given = four(n=6, depth=8, grad=grad)
    mask, counts = torch.ones(6, 6, dtype=torch.bool), torch.tensor([3, 6])
    for more in ((None, None, None), (mask.expand(1, 1, 6, 6), counts, counts)):
        torch.library.opcheck(torch.ops.fairlead.attention.default, (*given, *more, 0.3, weights, 1))
    if weights == 0:
        q, k, v, bias = (x.detach() for x in given)
        out, lse, _ = torch.ops.fairlead.attention(q, k, v, bias, None, None, None, 0.3, 0, 1)
        rest = (None, None, None, 0.3, out, lse, True, 1)
        torch.library.opcheck(
            torch.ops.fairlead.attention_backward.default, (torch.ones_like(out), q, k, v, bias, *rest)
        )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, while it compiles
def test_compiled() -> None:
    q, k, v, bias = four(n=6, depth=8, grad=True)
    mask = torch.ones(6, 6, dtype=torch.bool).tril()

    def function(q: Any, k: Any, v: Any, bias: Any) -> Any:
        out, weights = attention(2 * q, k, v, bias[0], mask=mask, weights="mean", scale=0.4)
        return out.sin(), weights

    compiled = torch.compile(function, fullgraph=True)
    expected = function(q, k, v, bias)
    found = compiled(q, k, v, bias)
    for x, y in zip(found, expected, strict=True):
        torch.testing.assert_close(x, y)
    ours = torch.autograd.grad(found[0].sum(), (q, k, v, bias))
    theirs = torch.autograd.grad(expected[0].sum(), (q, k, v, bias))
    for x, y in zip(ours, theirs, strict=True):
        torch.testing.assert_close(x, y)


@pytest.mark.parametrize(
    "order", ["import fairlead.attention; import torch", "import torch; import fairlead.attention"]
)
def test_compiled_before_anything_else(order: str) -> None:
    """Nothing has to run before the compiler looks at it, whichever was imported first."""
    code = f"""{order}
from fairlead.attention import attention
x = torch.randn(1, 2, 3, 4)
compiled = torch.compile(lambda x: attention(x, x, x), backend="eager", fullgraph=True)
print(torch.equal(compiled(x), attention(x, x, x)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.strip() == "True", done.stderr


def test_fake_tensors() -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    given = four()
    with FakeTensorMode() as mode:
        fakes = [mode.from_tensor(x) for x in given]
        out, weights, lse = attention(*fakes, weights="each", return_lse=True)
        assert attention(*fakes, weights="mean")[1].shape == (2, 9, 9)
        assert attention(*(x[0] for x in fakes)).shape == (4, 9, 16)
        with pytest.raises(ValueError, match=r"k has shape \(2, 4, 9, 8\), q has \(2, 4, 9, 16\)"):
            attention(fakes[0], fakes[1][..., :8], fakes[2])
    for fake, shape in ((out, (2, 4, 9, 16)), (weights, (2, 4, 9, 9)), (lse, (2, 4, 9))):
        assert type(fake).__name__ == "FakeTensor"
        assert fake.shape == shape
    assert attention(*(x.to("meta") for x in given)).device.type == "meta"


@pytest.mark.parametrize("grad", [False, True])
def test_autocast(grad: bool) -> None:
    given = four(grad=grad)
    with torch.autocast("cpu", torch.bfloat16):
        out = attention(*given)
        assert out.dtype is torch.bfloat16
        assert sdpa(*given).dtype is torch.bfloat16
        assert attention(*(x.detach().double() for x in given)).dtype is torch.float64
    exact = sdpa(*(x.detach().double() for x in given))
    assert (out.double() - exact).abs().max() <= 2e-2 * exact.abs().max()
    if grad:
        out.float().square().sum().backward()
        assert given[0].grad.dtype is torch.float32
    with torch.autocast("cpu", torch.float16), pytest.raises(TypeError, match=r"autocast to torch\.float16"):
        attention(*given)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of torch: its own attention is slow under vmap
def test_func_grad_and_vmap() -> None:
    q, k, v, bias = four(n=5, depth=8, dtype=torch.float64)

    def loss(through: Any) -> Any:
        return lambda q, k, v, bias: through(q, k, v, bias).square().sum()

    ours = torch.func.grad(loss(attention), argnums=(0, 1, 2, 3))(q, k, v, bias)
    theirs = torch.func.grad(loss(sdpa), argnums=(0, 1, 2, 3))(q, k, v, bias)
    for x, y in zip(ours, theirs, strict=True):
        torch.testing.assert_close(x, y)

    many = torch.stack([q, q + 1, 2 * q])
    for dims in itertools.product((0, None), (0, None)):
        args = (
            many,
            k,
            v if dims[0] is None else torch.stack([v] * 3),
            bias if dims[1] is None else torch.stack([bias] * 3),
        )
        where = (0, None, *dims)
        found = torch.func.vmap(attention, in_dims=where)(*args)
        expected = torch.func.vmap(sdpa, in_dims=where)(*args)
        torch.testing.assert_close(found, expected)
        each = torch.func.vmap(torch.func.grad(loss(attention), argnums=(0, 3)), in_dims=where)(*args)
        exact = torch.func.vmap(torch.func.grad(loss(sdpa), argnums=(0, 3)), in_dims=where)(*args)
        for x, y in zip(each, exact, strict=True):
            torch.testing.assert_close(x, y)


def test_what_is_no_plain_tensor() -> None:
    class Marked(torch.Tensor):
        pass

    x = random(1, 2, 5, 8)
    assert type(attention(*[x.as_subclass(Marked)] * 3)) is Marked
    # The imaginary part of a conjugate holds its numbers with the other sign.
    turned = torch.imag(torch.complex(x, -x).conj())
    assert turned.is_neg()
    bias = torch.imag(torch.complex(x[..., :5], -x[..., :5]).conj())
    assert torch.equal(attention(turned, x, x, bias), attention(x, x, x, x[..., :5]))
    with pytest.raises(ValueError, match="k is on meta, q is on cpu"):
        attention(x, x.to("meta"), x)
    with pytest.raises(TypeError, match=r"q has the layout torch\.sparse_coo"):
        attention(x.to_sparse(), x, x)


def test_exported_and_traced() -> None:
    from torch.fx.experimental.proxy_tensor import make_fx

    x = random(1, 2, 5, 8)
    traced = make_fx(lambda x: attention(x, x, x))(x)
    assert "fairlead.attention" in traced.code
    assert torch.equal(traced(2 * x), attention(2 * x, 2 * x, 2 * x))

    class Module(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return attention(x, x, x)

    assert "fairlead.attention" in torch.export.export(Module(), (x,)).graph_module.code


def test_refused() -> None:
    q, k, v, bias = four()
    for text, error, arguments in (
        ("k is ndarray, must be a torch tensor|k is a numpy array, q is a torch tensor", TypeError, (q, k.numpy(), v)),
        ("bias is list", TypeError, (q, k, v, [1.0])),
        ("q has dtype torch.float16", TypeError, (q.half(), k.half(), v.half())),
        ("k has dtype torch.bfloat16, q has torch.float32", TypeError, (q, k.bfloat16(), v)),
        (r"v has shape \(2, 4, 8, 16\), k has \(2, 4, 9, 16\)", ValueError, (q, k, v[:, :, 1:])),
        (r"bias has shape \(1, 3, 9, 9\), which does not broadcast", ValueError, (q, k, v, bias[:, :3])),
    ):
        with pytest.raises(error, match=text):
            attention(*arguments)
    with pytest.raises(ValueError, match="out is given, but a gradient is asked for"):
        attention(q.requires_grad_(), k, v, out=torch.empty_like(k))
    with torch.no_grad():
        attention(q, k, v, out=torch.empty_like(k))


def test_parameters_and_inference_mode() -> None:
    q, k, v, bias = (torch.nn.Parameter(x) for x in four())
    with torch.inference_mode():
        out = attention(q, k, v, bias)
    assert not out.requires_grad
    assert attention(q, k, v, bias).requires_grad
