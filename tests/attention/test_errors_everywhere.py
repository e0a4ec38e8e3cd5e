"""Errors of every argument name it, with both shapes where shapes do not fit: the ways that torch's tensors take, the
layers, the policy and the picture. Those of numpy's arrays are in test_attention_errors.py."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from fairlead.attention import (
    AttentionLayer,
    AttentionPolicy,
    attention,
    attention_gradients,
    plot_attention,
    policy_bytes,
)


def zeros(*shape: int, dtype: Any = np.float32) -> Any:
    return np.zeros(shape, dtype)


GOOD, LSE = zeros(2, 4, 5, 8), zeros(2, 4, 5)
FULL = "which does not broadcast to (batch, heads, queries, keys) = (2, 4, 5, 5)"


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"scale": "a"}, TypeError, "scale is 'a', must be a number"),
        ({"threads": 1.5}, TypeError, "threads is 1.5, must be a whole number"),
        ({"threads": 10**30}, ValueError, "threads is 1000000000000000000000000000000, beyond 64 bits"),
        ({"counts": 3}, TypeError, "counts is 3, must be an int64 array or a sequence of whole numbers"),
        ({"counts": "ab"}, TypeError, "counts is 'ab', must be an int64 array or a sequence"),
        ({"counts": [1.5, 2]}, TypeError, "counts[0] is 1.5, must be a whole number"),
        ({"counts": (None, [1, "b"])}, TypeError, "counts[1][1] is 'b', must be a whole number"),
        ({"weights": 1}, ValueError, "weights is 1, must be None, 'each' or 'mean'"),
        ({"return_lse": np.ones(2)}, TypeError, "return_lse is array([1., 1.]), must be True or False"),
        ({"mask": [[True]]}, TypeError, "mask is list, must be a numpy array or a torch tensor"),
        ({"out": [1.0]}, TypeError, "out is list, must be a numpy array or a torch tensor"),
        ({"mask": zeros(1, 1, 1, 5, 5, dtype=bool)}, ValueError, "mask has shape (1, 1, 1, 5, 5), must have at most 4"),
    ],
)
def test_attention(given: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=re.escape(text)):
        attention(GOOD, GOOD, GOOD, **given)


@pytest.mark.parametrize("name", ["q", "k", "v", "out", "lse", "grad", "bias", "mask"])
def test_attention_gradients(name: str) -> None:
    arguments = {"grad": GOOD, "q": GOOD, "k": GOOD, "v": GOOD, "out": GOOD, "lse": LSE}
    with pytest.raises(TypeError, match=f"^{name} is list, must be a numpy array or a torch tensor$"):
        attention_gradients(**arguments | {name: [1.0]})
    with pytest.raises(TypeError, match=f"^{name} has dtype int32, |^k has dtype float32, q has int32"):
        attention_gradients(**arguments | {name: np.zeros_like(arguments.get(name, zeros(5, 5)), np.int32)})
    wrong = zeros(3, 4, 6, 9) if name != "mask" else zeros(7, 5, dtype=bool)
    said = {"q": r"k has shape \(2, 4, 5, 8\), q has \(3, 4, 6, 9\)", "mask": r"mask has shape \(7, 5\), which"}
    match = said.get(name, rf"{name} has shape \(3, 4, 6, 9\), .*\(2, 4, 5, ")
    with pytest.raises(ValueError, match=match):
        attention_gradients(**arguments | {name: wrong})
    if name in ("q", "k", "v", "out"):
        apart = zeros(2, 4, 8, 5).swapaxes(2, 3)
        with pytest.raises(ValueError, match=rf"^{name} has a stride of 5 in its last axis, must have 1$"):
            attention_gradients(**arguments | {name: apart})


def test_gaps_in_lse() -> None:
    with pytest.raises(ValueError, match="lse has gaps"):
        attention_gradients(GOOD, GOOD, GOOD, GOOD, out=GOOD, lse=zeros(2, 4, 10)[..., ::2])


# --- torch ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["q", "k", "v", "bias", "mask", "counts", "out", "lse", "grad"])
def test_another_device(name: str) -> None:
    torch = pytest.importorskip("torch")
    good = torch.zeros(2, 4, 5, 8)
    tensors = {"q": good, "k": good, "v": good, "bias": torch.zeros(5, 5), "mask": torch.ones(5, 5, dtype=torch.bool)}
    tensors |= {"counts": torch.tensor([1, 2]), "out": torch.zeros(2, 4, 5, 8)}
    if name in tensors:
        named = "k is on cpu, q is on meta" if name == "q" else f"{name} is on meta, (q is on cpu|must be on the CPU)"
        with pytest.raises(ValueError, match=named):
            attention(**tensors | {name: tensors[name].to("meta")})
    tensors |= {"lse": torch.zeros(2, 4, 5), "grad": good}
    with pytest.raises(ValueError, match=f"^{name} is on meta, must be on the CPU$"):
        attention_gradients(**tensors | {name: tensors[name].to("meta")})


@pytest.mark.parametrize("way", ["plain", "trained", "meta", "vmap", "compiled"])
@pytest.mark.parametrize(
    ("name", "shape", "text"),
    [
        ("k", (2, 4, 5, 9), "k has shape (2, 4, 5, 9), q has (2, 4, 5, 8): the last axis must be the same"),
        ("k", (2, 3, 5, 8), "v has shape (2, 4, 5, 8), k has (2, 3, 5, 8): the heads must be the same"),
        ("v", (2, 4, 6, 8), "v has shape (2, 4, 6, 8), k has (2, 4, 5, 8): the number of keys must be the same"),
        ("bias", (3, 5, 5), f"bias has shape (3, 5, 5), {FULL}"),
        ("mask", (5, 4), f"mask has shape (5, 4), {FULL}"),
        ("bias", "float64", "bias has dtype torch.float64, must be float32 or bfloat16, as q is"),
        ("mask", "float32", "mask has dtype torch.float32, must be bool"),
        ("v", "float64", "v has dtype torch.float64, q has torch.float32"),
        ("counts", [1, 2, 3], "one for each of the batch"),
        ("counts", [1.5, 2.0], "must be "),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, while it compiles
def test_every_way_of_torch(way: str, name: str, shape: Any, text: str) -> None:
    torch = pytest.importorskip("torch")
    tensors = {x: torch.zeros(2, 4, 5, 8) for x in "qkv"}
    if isinstance(shape, str):
        sizes = {"bias": (5, 5), "mask": (5, 5), "v": (2, 4, 5, 8)}[name]
        tensors[name] = torch.zeros(sizes, dtype=getattr(torch, shape))
    else:
        dtype = torch.bool if name == "mask" else None
        tensors[name] = shape if name == "counts" else torch.zeros(shape, dtype=dtype)
    if name == "counts" and way in ("plain", "trained"):
        text = "counts has length 3, the batch is 2" if len(shape) == 3 else "counts[0] is 1.5, must be a whole number"

    def call() -> Any:
        if way == "vmap":
            rest = {x: y for x, y in tensors.items() if x != "q"}
            return torch.func.vmap(lambda q: attention(q, **rest))(tensors["q"].unsqueeze(0))
        if way == "compiled":
            torch.compiler.reset()
            return torch.compile(lambda x: attention(**x), backend="eager", fullgraph=True)(tensors)
        return attention(**tensors)

    if way == "meta":
        tensors = {x: y.to("meta") if isinstance(y, torch.Tensor) else y for x, y in tensors.items()}
    if way == "trained":
        tensors["q"].requires_grad_()
    expected = (ValueError, TypeError) if way != "compiled" else Exception  # the compiler wraps it in one of its own
    with pytest.raises(expected, match=re.escape(text)):
        call()


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"out": (2, 4, 5, 9)}, ValueError, "out has shape (2, 4, 5, 9), must have (2, 4, 5, 8)"),
        ({"bias": (1, 1, 1, 5, 5)}, ValueError, "bias has shape (1, 1, 1, 5, 5), must have at most 4 dimensions"),
        ({"q": (5,)}, ValueError, "q has shape (5,), must be (batch, heads, queries, depth)"),
    ],
)
def test_tensors_without_numbers(given: dict[str, Any], error: type[Exception], text: str) -> None:
    torch = pytest.importorskip("torch")
    tensors = {x: torch.zeros(2, 4, 5, 8, device="meta") for x in "qkv"}
    with pytest.raises(error, match=re.escape(text)):
        attention(**tensors | {name: torch.zeros(shape, device="meta") for name, shape in given.items()})


# --- the layer --------------------------------------------------------------------------------------------------------

WEIGHTS = {"in_proj_weight": zeros(24, 8), "in_proj_bias": zeros(24), "out_proj.weight": zeros(8, 8)}
WEIGHTS |= {"out_proj.bias": zeros(8), "norm.weight": zeros(8), "norm.bias": zeros(8)}
X = zeros(2, 4, 8)


def layer() -> AttentionLayer:
    made = AttentionLayer(8, 2, norm="after")
    made.load(WEIGHTS)
    return made


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"embed": 8.5}, TypeError, "embed is 8.5, must be a whole number"),
        ({"embed": -8}, ValueError, "embed is -8, must be at least 1"),
        ({"embed": 8, "heads": "4"}, TypeError, "heads is '4', must be a whole number"),
        ({"embed": 8, "heads": 0}, ValueError, "heads is 0, must be at least 1"),
        ({"embed": 8, "heads": 3}, ValueError, "heads is 3, must divide embed, which is 8"),
        ({"embed": 8, "epsilon": 0.0}, ValueError, "epsilon is 0.0"),
        ({"embed": 8, "norm": "x"}, ValueError, "norm is 'x', must be None, 'before' or 'after'"),
    ],
)
def test_a_layer_of_wrong_sizes(given: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=re.escape(text)):
        AttentionLayer(**given)


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_of_a_layer(name: str) -> None:
    made = AttentionLayer(8, 2, norm="after")
    wanted = re.escape(str(WEIGHTS[name].shape))
    for shape in ((3, 3), (5,)):
        with pytest.raises(ValueError, match=f"^{name} has shape {re.escape(str(shape))}, must have {wanted}$"):
            made.load(WEIGHTS | {name: zeros(*shape)})
    with pytest.raises(TypeError, match=f"^{name} has dtype <U1, must be real numbers$"):
        made.load(WEIGHTS | {name: np.full(WEIGHTS[name].shape, "a")})
    if name in ("in_proj_weight", "out_proj.weight"):
        with pytest.raises(ValueError, match=f"^{name} is None"):
            made.load(WEIGHTS | {name: None})
        with pytest.raises(KeyError, match=name):
            made.load({x: y for x, y in WEIGHTS.items() if x != name})


def test_parameters_of_torch_are_loaded() -> None:
    torch = pytest.importorskip("torch")
    made = AttentionLayer(8, 2, norm="after")
    made.load({name: torch.nn.Parameter(torch.from_numpy(x)) for name, x in WEIGHTS.items()})
    assert not made(X).any()
    with pytest.raises(TypeError, match="in_proj_weight is Tensor, must be an array of numbers"):
        made.load(WEIGHTS | {"in_proj_weight": torch.zeros(24, 8, device="meta")})
    for tensor in (torch.zeros(2, 4, 8, device="meta"), torch.zeros(2, 4, 8, requires_grad=True)):
        with pytest.raises(TypeError, match="x is Tensor, must be an array of numbers"):
            made(tensor)


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"x": None}, TypeError, "x is None, must be an array"),
        ({"x": zeros(8)}, ValueError, "x has shape (8,), must be (batch, n, 8) or (n, 8)"),
        ({"x": zeros(1, 2, 4, 8)}, ValueError, "x has shape (1, 2, 4, 8), must be (batch, n, 8)"),
        ({"x": np.full((2, 4, 8), "a")}, TypeError, "x has dtype <U1, must be real numbers"),
        ({"x": X + 1j}, TypeError, "x has dtype complex"),
        ({"context": zeros(4, 8)}, ValueError, "context has shape (4, 8), x has (2, 4, 8)"),
        ({"x": X[0], "context": X}, ValueError, "context has shape (2, 4, 8), x has (4, 8)"),
        ({"context": zeros(2, 4, 7)}, ValueError, "context has shape (2, 4, 7), x has (2, 4, 8)"),
        ({"bias": zeros(3, 4, 4)}, ValueError, "bias has shape (3, 4, 4), must broadcast to (batch, heads, queries, "),
        ({"bias": np.full((4, 4), "a")}, TypeError, "bias has dtype <U1, must be float32"),
        ({"bias": zeros(1, 1, 1, 4, 4)}, ValueError, "bias has shape (1, 1, 1, 4, 4), must have at most 4"),
        ({"mask": zeros(5, 4, dtype=bool)}, ValueError, "mask has shape (5, 4), must broadcast to"),
        ({"mask": zeros(4, 4)}, TypeError, "mask has dtype float32, must be bool"),
        ({"counts": [1.0, 2.0]}, TypeError, "counts has dtype float64, must be integers"),
        ({"counts": [[1, 2]]}, ValueError, "counts has shape (1, 2), must have 1 dimension"),
        ({"counts": [1, 5]}, ValueError, "counts[1] is 5, outside [0, 4]"),
        ({"context": X, "context_counts": [1, 9]}, ValueError, "context_counts[1] is 9, outside [0, 4]"),
        ({"need_weights": "all"}, ValueError, "need_weights is 'all', must be False, 'each' or 'mean'"),
        ({"need_weights": True}, ValueError, "need_weights is True, must be False, 'each' or 'mean'"),
        ({"threads": -1}, ValueError, "threads is -1"),
        ({"threads": 1.5}, ValueError, "threads is 1.5"),
        ({"out": zeros(2, 4, 8, dtype=np.float64)}, TypeError, "out is an array of float64, shape (2, 4, 8)"),
        ({"out": [1]}, TypeError, "out is <class 'list'>"),
        ({"x": X[0], "out": [1]}, TypeError, "out is list"),
        ({"x": X[0], "out": zeros(5, 8)}, ValueError, "out has shape (5, 8), must have (4, 8)"),
        ({"out": X}, ValueError, "out shares memory with x, context, bias or mask"),
    ],
)  # fmt: skip
def test_a_call_of_a_layer(given: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=re.escape(text)):
        layer()(**{"x": X} | given)


def test_backward_of_a_layer() -> None:
    made = layer()
    out, saved = made.forward(X)
    for gradient in (zeros(2, 4, 7), zeros(4, 8)):
        text = f"gradient has shape {gradient.shape}, must have (2, 4, 8), as x"
        with pytest.raises(ValueError, match=re.escape(text)):
            made.backward(gradient, saved)
    with pytest.raises(ValueError, match=re.escape("gradient has shape (4, 7), must have (4, 8), as x")):
        made.backward(zeros(4, 7), made.forward(X[0])[1])
    with pytest.raises(TypeError, match="saved is NoneType, must be what forward returned"):
        made.backward(out, None)  # type: ignore[arg-type]


# --- the policy and the picture ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"observation": zeros(1, 4, 3)}, ValueError, "observation has shape (1, 4, 3), must have 2 dimensions"),
        ({"observation": None}, TypeError, "observation has dtype object"),
        ({"observation": zeros(4, 3) + 1j}, TypeError, "observation has dtype complex"),
        ({"correlation": zeros(4)}, ValueError, "correlation has shape (4,), must have 2 dimensions"),
        ({"correlation": np.full((4, 4), "a")}, TypeError, "correlation has dtype <U1"),
        ({"count": 1.5}, TypeError, "count is 1.5, must be a whole number"),
        ({"count": "a"}, TypeError, "count is 'a', must be a whole number"),
        ({"need_weights": "x"}, TypeError, "need_weights"),
    ],
)
def test_a_call_of_a_policy(given: dict[str, Any], error: type[Exception], text: str) -> None:
    tensors = {"embed.weight": zeros(8, 3), "heads.score.weight": zeros(1, 8)}
    policy = AttentionPolicy.read(policy_bytes(tensors, heads=4))
    with pytest.raises(error, match=re.escape(text)):
        policy(**{"observation": zeros(4, 3)} | given)


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"weights": "a"}, TypeError, "weights has dtype <U1, must be real numbers"),
        ({"weights": None}, TypeError, "weights has dtype object"),
        ({"weights": np.ones((2, 2)) + 1j}, TypeError, "weights has dtype complex128"),
        ({"weights": [[1.0, 2.0], [3.0]]}, TypeError, "weights is list, must be an array of numbers"),
        ({"labels": "abc"}, TypeError, "labels is 'abc', must be a sequence of names"),
        ({"labels": 3}, TypeError, "labels is 3, must be a sequence of names"),
        ({"labels": (["a"] * 3, 3)}, TypeError, "labels is (['a', 'a', 'a'], 3)"),
        ({"head": 1.5}, TypeError, "head is 1.5, must be a number, 'mean' or None"),
        ({"head": True}, TypeError, "head is True"),
    ],
)
def test_a_picture(given: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=re.escape(text)):
        plot_attention(**{"weights": np.ones((2, 3, 3)) / 3} | given)


def test_a_picture_of_tensors_without_numbers() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="weights is Tensor, must be an array of numbers"):
        plot_attention(torch.zeros(3, 3, device="meta"))
