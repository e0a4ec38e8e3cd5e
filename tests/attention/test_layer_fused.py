"""The layer's way through the fused kernels: that it is taken, gives the same, and sees when weights have changed."""

from __future__ import annotations

import copy
import io
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from fairlead import _core  # noqa: E402
from fairlead.attention import MultiHeadAttention  # noqa: E402

DEFAULTS: dict[str, Any] = {"key": None, "value": None, "bias": None, "mask": None, "counts": None}


def layer_of(size: int = 32, heads: int = 4, **more: Any) -> Any:
    torch.manual_seed(1)
    layer = MultiHeadAttention(size, heads, **more)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return layer


def composed(layer: Any, query: Any, average: bool = True, **given: Any) -> Any:
    """The same from torch's own parts."""
    given = DEFAULTS | given
    order = [given[name] for name in DEFAULTS]
    return layer._composed(query, *order, True, average)


def taken(layer: Any, query: Any, average: bool = True, **given: Any) -> Any:
    """Through the fused layer, or not at all."""
    given = DEFAULTS | given
    made = _core.attention_module(layer, query, *(given[name] for name in DEFAULTS), None, average)
    assert made is not None
    return made


def left(layer: Any, query: Any, **given: Any) -> None:
    given = DEFAULTS | given
    assert _core.attention_module(layer, query, *(given[name] for name in DEFAULTS), None, True) is None


def near(x: Any, y: Any, bound: float = 1e-5) -> None:
    assert x.shape == y.shape
    assert x.dtype is y.dtype
    assert float((x - y).detach().abs().max()) <= bound * max(1.0, float(y.detach().abs().max()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("average", [True, False])
def test_the_same_as_its_parts(dtype: Any, bias: bool, average: bool) -> None:
    layer = layer_of(bias=bias, dtype=dtype)
    x, y = torch.randn(2, 5, 32, dtype=dtype), torch.randn(2, 9, 32, dtype=dtype)
    more, wide = torch.randn(4, 5, 5, dtype=dtype), torch.randn(2, 1, 5, 9, dtype=dtype)
    mask = torch.ones(5, 5, dtype=torch.bool).tril()
    calls: list[dict[str, Any]] = [
        {},
        {"key": x, "value": x},
        {"key": y},
        {"key": y, "value": y, "bias": wide},
        {"bias": more, "mask": mask},
        {"bias": more.transpose(1, 2)},
        {"bias": more[:1].expand(4, 5, 5)},
        {"mask": torch.zeros(5, 5, dtype=torch.bool)},
        {"counts": [5, 3]},
        {"counts": torch.tensor([0, 5])},
        {"key": y, "counts": ([5, 2], [9, 4])},
    ]
    for given in calls:
        for grad in (False, True):
            with torch.set_grad_enabled(grad):
                out, weights = taken(layer, x, average, **given)
                expected, their = composed(layer, x, average, **given)
            near(out, expected)
            near(weights, their)
            assert out.requires_grad == grad
            assert not weights.requires_grad
    for given in ({}, {"key": y[0]}, {"bias": more}, {"counts": [3]}):  # without a batch
        out, weights = taken(layer, x[0], average, **given)
        expected, their = composed(layer, x[0], average, **given)
        near(out, expected)
        near(weights, their)


@pytest.mark.parametrize(("size", "heads"), [(40, 4), (64, 4), (96, 3), (256, 4)])
@pytest.mark.parametrize("n", [1, 8, 16, 17, 33, 70, 130])
def test_precision_of_each_instruction_set(size: int, heads: int, n: int) -> None:
    layer = layer_of(size, heads)
    exact = copy.deepcopy(layer).double()
    x = torch.randn(2, n, size)
    toward = torch.randn(2, n, size)
    x64 = x.double().requires_grad_()
    expected, weights = exact(x64)
    (expected * toward.double()).sum().backward()
    level = _core.simd_level()
    try:
        for name in ("scalar", "avx2", "avx512"):
            try:
                _core.set_simd_level(name)
            except ValueError:
                continue
            layer.zero_grad()
            given = x.clone().requires_grad_()
            layer.repack()
            with torch.no_grad():
                out, mean = layer(x)
            near(out.double(), expected, 2e-6)
            near(mean.double(), weights, 2e-6)
            kept, _ = layer(given)
            assert torch.equal(kept, out)
            assert torch.equal(layer.forward(x)[0], out)
            (kept * toward).sum().backward()
            near(given.grad.double(), x64.grad, 1e-5)
            for mine, other in zip(layer.parameters(), exact.parameters(), strict=True):
                near(mine.grad.double(), other.grad, 1e-5)
    finally:
        _core.set_simd_level(level)


def test_threads_change_no_bit() -> None:
    layer = layer_of(64)
    x = torch.randn(12, 40, 64)
    with torch.no_grad():
        expected = layer(x)
        for threads in (1, 2, 3):
            layer.threads = threads
            for mine, other in zip(layer(x), expected, strict=True):
                assert torch.equal(mine, other)


# --- weights that change ----------------------------------------------------------------------------------------------


def step(layer: Any) -> Any:
    layer(torch.randn(1, 4, layer.embed_dim))[0].sum().backward()
    torch.optim.SGD(layer.parameters(), lr=0.1).step()
    return layer


def state(layer: Any) -> Any:
    layer.load_state_dict({name: 2 * x for name, x in layer.state_dict().items()})
    return layer


def soft(layer: Any) -> Any:
    """As targets follow in reinforcement learning: not seen by torch's versions."""
    for parameter in layer.parameters():
        parameter.data.copy_(parameter.data * 0.9 + 0.01)
    return layer


def one_bias(layer: Any) -> Any:
    layer.in_proj_bias.data[7] += 1.0
    return layer


def through_numpy(layer: Any) -> Any:
    layer.out_proj.weight.detach().numpy()[:] *= 2.0
    return layer


def one_number(layer: Any) -> Any:
    with torch.no_grad():
        layer.in_proj_weight[3, 5] += 1.0
    return layer


def replaced(layer: Any) -> Any:
    layer.in_proj_weight = torch.nn.Parameter(torch.randn_like(layer.in_proj_weight))
    return layer


def new_data(layer: Any) -> Any:
    layer.out_proj.weight.data = torch.randn_like(layer.out_proj.weight)
    return layer


def new_projection(layer: Any) -> Any:
    layer.out_proj = torch.nn.Linear(layer.embed_dim, layer.embed_dim)
    return layer


def without_bias(layer: Any) -> Any:
    layer.in_proj_bias = None
    return layer


def wide(layer: Any) -> Any:
    return layer.double()


def copied(layer: Any) -> Any:
    other = copy.deepcopy(layer)
    assert other._fused is None
    return soft(other)


def pickled(layer: Any) -> Any:
    return pickle.loads(pickle.dumps(layer))


def saved(layer: Any) -> Any:
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def in_inference_mode(layer: Any) -> Any:
    with torch.inference_mode():
        layer.in_proj_weight.mul_(2.0)
    return layer


CHANGES: list[Callable[[Any], Any]] = [
    step, state, soft, one_bias, through_numpy, one_number, replaced, new_data, new_projection, without_bias, wide,
    copied, pickled, saved, in_inference_mode,
]  # fmt: skip


@pytest.mark.parametrize("size", [32, 128])  # all numbers are compared, or some of them
@pytest.mark.parametrize("change", CHANGES, ids=lambda f: f.__name__)
def test_changed_weights_are_seen(change: Callable[[Any], Any], size: int) -> None:
    layer = layer_of(size)
    x = torch.randn(2, 6, size)
    before = taken(layer, x)[0]
    layer = change(layer)
    x = x.to(layer.out_proj.weight.dtype)
    with torch.no_grad():
        out = taken(layer, x)[0]
        near(out, composed(layer, x)[0])
    assert change in (pickled, saved) or not torch.allclose(out, before.to(out.dtype))


def test_what_nobody_can_see_is_seen_when_told() -> None:
    layer = layer_of(128)
    x = torch.randn(2, 6, 128)
    taken(layer, x)
    layer.in_proj_weight.data[77, 3] += 10.0
    layer.repack()
    near(taken(layer, x)[0], composed(layer, x)[0])


def test_shared_weights_and_two_layers() -> None:
    one, other = layer_of(), layer_of()
    other.in_proj_weight = one.in_proj_weight
    x = torch.randn(2, 6, 32)
    taken(one, x)
    taken(other, x)
    with torch.no_grad():
        one.in_proj_weight.mul_(3.0)
    for layer in (one, other):
        near(taken(layer, x)[0], composed(layer, x)[0])


def test_weights_made_in_inference_mode() -> None:
    with torch.inference_mode():
        layer = layer_of()
        x = torch.randn(2, 6, 32)
        taken(layer, x)
        layer.in_proj_weight.mul_(2.0)
        near(taken(layer, x)[0], composed(layer, x)[0])


# --- gradients --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cross", [False, True])
@pytest.mark.parametrize("shape", [(2, 4, 3, 3), (4, 1, 3), (3,), (1, 4, 3, 1)])
def test_slopes(cross: bool, shape: tuple[int, ...]) -> None:
    layer = layer_of(8, 4, dtype=torch.float64)
    query = torch.randn(2, 3, 8, dtype=torch.float64, requires_grad=True)
    context = torch.randn(2, 3, 8, dtype=torch.float64, requires_grad=True) if cross else None
    bias = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in layer.named_parameters()]

    def call(query: Any, context: Any, bias: Any, *parameters: Any) -> Any:
        for name, parameter in zip(names, parameters, strict=True):
            owner, _, last = name.rpartition(".")
            layer.get_submodule(owner)._parameters[last] = parameter
        out, _ = taken(layer, query, key=context, bias=bias, counts=[3, 2])
        return out

    assert torch.autograd.gradcheck(call, (query, context, bias, *layer.parameters()))


def test_gradients_of_what_is_wanted() -> None:
    layer = layer_of()
    x = torch.randn(2, 6, 32)
    for parameter in layer.parameters():
        parameter.requires_grad_(False)
    assert not layer(x)[0].requires_grad
    bias = torch.randn(1, 4, 1, 6).expand(2, 4, 6, 6).requires_grad_()
    layer(x, bias=bias)[0].square().sum().backward()
    mine, bias.grad = bias.grad, None
    composed(layer, x, bias=bias)[0].square().sum().backward()
    near(mine, bias.grad)
    assert all(parameter.grad is None for parameter in layer.parameters())
    layer.out_proj.weight.requires_grad_(True)
    layer(x)[0].sum().backward()
    assert layer.out_proj.weight.grad is not None
    assert layer.in_proj_weight.grad is None


def test_an_expanded_gradient_and_accumulation() -> None:
    layer = layer_of()
    x = torch.randn(2, 6, 32)
    layer(x)[0].sum().backward()
    once = [parameter.grad.clone() for parameter in layer.parameters()]
    layer(x)[0].sum().backward()
    for parameter, one in zip(layer.parameters(), once, strict=True):
        near(parameter.grad, 2 * one)


@pytest.mark.parametrize("power", [1, 2])  # 1: the gradient of the output is a constant
def test_no_second_derivative(power: int) -> None:
    layer = layer_of()
    x = torch.randn(2, 6, 32, requires_grad=True)
    (first,) = torch.autograd.grad(layer(x)[0].pow(power).sum(), x, create_graph=True)
    with pytest.raises(NotImplementedError, match="no second derivatives"):
        (first.sum() + x.sum()).backward()


def test_counts_that_change_after_the_forward() -> None:
    layer, x = layer_of(), torch.randn(2, 6, 32, requires_grad=True)
    gradients = []
    for change in (False, True):
        counts = torch.tensor([3, 5])
        out = layer(x, counts=counts)[0].square().sum()
        if change:
            counts.fill_(6)
        gradients.append(torch.autograd.grad(out, x)[0])
    assert torch.equal(*gradients)


def test_what_changed_before_the_gradient_is_refused() -> None:
    layer = layer_of()
    x = torch.randn(2, 6, 32)
    out, _ = layer(x)
    with torch.no_grad():
        layer.in_proj_weight.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


def test_a_gradient_after_another_forward() -> None:
    layer = layer_of()
    x, y = torch.randn(2, 6, 32), torch.randn(3, 4, 32)
    first, _ = layer(x)
    layer(y)
    with torch.no_grad():
        layer(y)
    layer.zero_grad()
    first.sum().backward(retain_graph=True)
    mine = layer.in_proj_weight.grad.clone()
    layer.zero_grad()
    composed(layer, x)[0].sum().backward()
    near(mine, layer.in_proj_weight.grad)


# --- what is left to torch's parts ------------------------------------------------------------------------------------


def test_hooks_are_called() -> None:
    layer = layer_of()
    x = torch.randn(2, 6, 32, requires_grad=True)
    expected, _ = layer(x)
    seen: list[str] = []
    for module in (layer, layer.out_proj):
        handle = module.register_forward_hook(lambda *_: seen.append("after"))
        near(layer(x)[0], expected)
        handle.remove()
        handle = module.register_forward_pre_hook(lambda *_: seen.append("before"))
        near(layer(x)[0], expected)
        handle.remove()
        handle = module.register_full_backward_hook(lambda *_: seen.append("back"))
        layer(x)[0].sum().backward()
        handle.remove()
    assert seen == ["after", "before", "back"] * 2
    handle = torch.nn.modules.module.register_module_forward_hook(lambda *_: seen.append("all"))
    layer(x)
    handle.remove()
    assert seen[6:] == ["all", "all"]  # of the projection and of the layer


def test_projections_that_are_something_else() -> None:
    layer = layer_of()
    x = torch.randn(2, 6, 32)
    torch.nn.utils.parametrizations.weight_norm(layer.out_proj)
    left(layer, x)
    assert layer(x)[0].shape == x.shape

    class Doubled(torch.nn.Linear):
        def forward(self, given: Any) -> Any:
            return 2 * super().forward(given)

    layer = layer_of()
    once = layer(x)[0]
    doubled = Doubled(32, 32)
    doubled.load_state_dict(layer.out_proj.state_dict())
    layer.out_proj = doubled
    near(layer(x)[0], 2 * once)

    class Other(MultiHeadAttention):
        def forward(self, query: Any, *given: Any, **more: Any) -> Any:
            return super().forward(query + 1.0, *given, **more)

    other = Other(32)
    other.load_state_dict(layer_of().state_dict())
    near(other(x)[0], layer_of()(x + 1.0)[0])


def test_other_values_strides_and_devices() -> None:
    layer = layer_of()
    x, y = torch.randn(2, 6, 32), torch.randn(2, 6, 32)
    left(layer, x, key=y, value=x)
    near(layer(x, y, x)[0], composed(layer, x, key=y, value=x)[0])
    strided = torch.randn(2, 32, 6).transpose(1, 2)
    near(layer(strided)[0], layer(strided.contiguous())[0])
    left(layer.to(torch.bfloat16), x.to(torch.bfloat16))
    assert layer(x.to(torch.bfloat16))[0].dtype is torch.bfloat16
    nowhere = x.to("meta", torch.bfloat16)
    left(layer.to("meta"), nowhere)
    assert layer(nowhere)[0].shape == x.shape


def test_rows_first() -> None:
    layer, rows = layer_of(), layer_of(batch_first=False)
    x, y = torch.randn(3, 6, 32), torch.randn(3, 4, 32)
    for given in ((x,), (x, y), (x, y, y), (x, y, y + 0)):
        for mine, other in zip(rows(*(z.transpose(0, 1) for z in given)), layer(*given), strict=True):
            near(mine.transpose(0, 1) if mine.shape[:2] == (6, 3) else mine, other)
    near(rows(x[0])[0], layer(x[0])[0])


def test_autocast_modes_and_transforms() -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    layer = layer_of()
    x = torch.randn(2, 6, 32)
    with torch.autocast("cpu", torch.bfloat16):
        left(layer, x)
        assert layer(x)[0].dtype is torch.bfloat16
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        left(layer, mode.from_tensor(x))
        assert layer(mode.from_tensor(x))[0].shape == x.shape
    parameters = dict(layer.named_parameters())

    def loss(parameters: Any, x: Any) -> Any:
        return torch.func.functional_call(layer, parameters, (x,))[0].square().sum()

    found = torch.func.grad(loss)(parameters, x)
    loss(parameters, x).backward()
    for name, gradient in found.items():
        near(gradient, parameters[name].grad)
    each = torch.func.vmap(lambda row: layer(row)[0])(x)
    near(each, layer(x)[0])


@pytest.mark.filterwarnings("ignore")  # torch's own, of tracing
def test_compiled_exported_and_traced() -> None:
    layer = layer_of()
    x = torch.randn(2, 6, 32)
    expected = layer(x)
    for one, other in zip(torch.compile(layer, fullgraph=True, backend="eager")(x), expected, strict=True):
        near(one, other)
    near(torch.compile(lambda y: layer(y + 0)[0], fullgraph=True, backend="aot_eager")(x), expected[0])
    near(torch.export.export(layer, (x,)).module()(x)[0], expected[0])


# --- weights of the last forward --------------------------------------------------------------------------------------


def test_weights_are_those_of_the_last_forward() -> None:
    layer = layer_of()
    x, y = torch.randn(2, 6, 32), torch.randn(2, 4, 32)
    _, first = layer(x, average_attn_weights=False)
    kept = layer.get_attention_weights()
    assert torch.equal(kept, first)
    layer(y)
    assert torch.equal(kept, first)
    assert layer.get_attention_weights().shape == (2, 4, 4, 4)
    layer(x, y, x[:, :4])  # from parts
    near(layer.get_attention_weights(), composed(layer, x, False, key=y, value=x[:, :4])[1])
    layer(x[0])
    near(layer.get_attention_weights(1), first[0, 1])
    layer(x, y, x[:, :4], need_weights=False)
    with pytest.raises(RuntimeError, match="need_weights=False"):
        layer.get_attention_weights()


def test_tensors_are_as_any_other() -> None:
    layer = layer_of()
    with torch.no_grad():
        out, weights = layer(torch.randn(2, 6, 32))
    assert type(out) is torch.Tensor
    assert out.is_contiguous()
    assert weights.is_contiguous()
    before = out.clone()
    out.add_(1.0)
    near(out, before + 1.0)
    near(pickle.loads(pickle.dumps(out)), out)
    view = out[1]
    del out, layer, weights
    near(view, before[1] + 1.0)


def test_threads_may_share_a_layer() -> None:
    layer = layer_of()
    inputs = [torch.randn(2, n, 32) for n in (3, 9, 40, 90)]
    expected = [layer(x)[0].detach() for x in inputs]
    wrong: list[int] = []

    def work(i: int) -> None:
        for turn in range(30):
            if turn % 5 == i:
                layer.repack()
            out, _ = layer(inputs[i])
            out.sum().backward()
            wrong.extend([i] * (not torch.equal(out.detach(), expected[i])))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
