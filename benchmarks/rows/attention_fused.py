"""The whole layer, and a policy for one observation, from numpy without torch, beside those who run the same in torch,
compiled torch and ONNX Runtime. One thread.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from harness import Row, Run, Size, peer
from rows.attention import SHAPES, Shape, calls, named, one_thread, relative, repeated
from rows.attention_kernels import tried, without_gradients

import fairlead.attention as fa

ASSETS, FEATURES, EMBED, HEADS, FEED, LAYERS = 30, 16, 64, 4, 128, 2


# --- the layer --------------------------------------------------------------------------------------------------------


def layer(torch: Any, shape: Shape, weights: bool) -> Row:
    """Packed projections, attention, output projection; with the weights' mean over heads, or without."""
    batch, heads, n, depth = shape
    torch.manual_seed(7)
    module = torch.nn.MultiheadAttention(heads * depth, heads, batch_first=True).eval()
    ours = fa.AttentionLayer(heads * depth, heads)
    ours.load({name: x.numpy() for name, x in module.state_dict().items()}, gradients=False)
    x = torch.randn(batch, n, heads * depth)
    given, out = x.numpy(), np.empty(x.shape, np.float32)
    times = calls(shape, 4)

    def call() -> Any:
        return module(x, x, x, need_weights=weights)[0]

    run = repeated(times, lambda: ours(given, out=out, need_weights="mean" if weights else False))
    run()
    theirs = without_gradients(torch, times, call)
    double = torch.nn.MultiheadAttention(heads * depth, heads, batch_first=True).double().eval()
    double.load_state_dict(module.state_dict())
    oracle = double(*[x[:2].double()] * 3)[0].detach()
    name = named(f"Layer with{'' if weights else 'out'} weights, numpy", shape)
    bar = f"x {15 if n <= 8 else 5 if n == 32 and depth == 16 else 2.3}" if weights else ""
    return Row(name, "ns/call", times, run, {"torch MultiheadAttention": theirs}, relative(out, oracle), bar)


# --- the policy -------------------------------------------------------------------------------------------------------


def weights_of_policy() -> dict[str, Any]:
    """By the names of AttentionPolicy's file."""
    rng = np.random.default_rng(7)
    found: dict[str, Any] = {}

    def linear(name: str, inner: int, outer: int) -> None:
        found[f"{name}.weight"] = rng.normal(0, inner**-0.5, (outer, inner))
        found[f"{name}.bias"] = rng.normal(0, 0.1, outer)

    linear("embed", FEATURES, EMBED)
    for i in range(LAYERS):
        name = f"layers.{i}"
        found[f"{name}.attention.in_proj_weight"] = rng.normal(0, EMBED**-0.5, (3 * EMBED, EMBED))
        found[f"{name}.attention.in_proj_bias"] = rng.normal(0, 0.1, 3 * EMBED)
        linear(f"{name}.attention.out_proj", EMBED, EMBED)
        found[f"{name}.correlation.slope"] = rng.normal(size=HEADS)
        for norm in ("norm", "feed_norm"):
            found[f"{name}.{norm}.weight"] = rng.normal(1, 0.1, EMBED)
            found[f"{name}.{norm}.bias"] = rng.normal(0, 0.1, EMBED)
        linear(f"{name}.feed.0", EMBED, FEED)
        linear(f"{name}.feed.2", FEED, EMBED)
    for head in ("score", "value"):
        linear(f"heads.{head}.0", EMBED, EMBED)
        linear(f"heads.{head}.2", EMBED, 1)
    return {name: x.astype(np.float32) for name, x in found.items()}


def with_torch(torch: Any, weights: dict[str, Any], dtype: Any) -> Callable[[Any, Any], Any]:
    """The policy as torch runs it fastest: one projection for q, k and v, and its fused attention."""
    functional = torch.nn.functional
    w = {name: torch.from_numpy(x).to(dtype) for name, x in weights.items()}

    def linear(name: str, x: Any) -> Any:
        return functional.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    def norm(name: str, x: Any) -> Any:
        return functional.layer_norm(x, (EMBED,), w[f"{name}.weight"], w[f"{name}.bias"], 1e-5)

    def perceptron(name: str, x: Any) -> Any:
        return linear(f"{name}.2", torch.relu(linear(f"{name}.0", x)))

    def policy(observation: Any, correlation: Any) -> Any:
        x = linear("embed", observation)
        for i in range(LAYERS):
            name = f"layers.{i}"
            inner = f"{name}.attention"
            packed = functional.linear(x, w[f"{inner}.in_proj_weight"], w[f"{inner}.in_proj_bias"])
            q, k, v = packed.view(ASSETS, 3, HEADS, EMBED // HEADS).permute(1, 2, 0, 3).unsqueeze(1)
            bias = (w[f"{name}.correlation.slope"][:, None, None] * correlation).unsqueeze(0)
            made = functional.scaled_dot_product_attention(q, k, v, bias)
            made = linear(f"{inner}.out_proj", made.squeeze(0).transpose(0, 1).reshape(ASSETS, EMBED))
            x = norm(f"{name}.norm", x + made)
            x = norm(f"{name}.feed_norm", x + perceptron(f"{name}.feed", x))
        return perceptron("heads.score", x), perceptron("heads.value", x.mean(dim=0))

    return policy


def with_onnx(weights: dict[str, Any], x: Any, correlation: Any) -> Callable[[], Any] | None:
    """The same as a graph of ONNX, with its Attention (3-D: it splits the heads itself), all memory bound."""
    onnx, runtime = peer("onnx"), peer("onnxruntime")
    if onnx is None or runtime is None:
        return None
    make = onnx.helper
    nodes: list[Any] = []
    constants: dict[str, Any] = {"axis": np.array([0])}

    def node(kind: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        name = name or f"t{len(nodes)}"
        nodes.append(make.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(name: str, value: Any) -> str:
        constants[name] = np.ascontiguousarray(value)
        return name

    def linear(name: str, given: str, out: str = "", weight: Any = None, bias: Any = None) -> str:
        weight = weights[f"{name}.weight"] if weight is None else weight
        bias = weights[f"{name}.bias"] if bias is None else bias
        return node("Gemm", given, constant(f"{name}.w", weight.T), constant(f"{name}.b", bias), name=out)

    def norm(name: str, given: str) -> str:
        named = [constant(f"{name}.{part}", weights[f"{name}.{part}"]) for part in ("weight", "bias")]
        return node("LayerNormalization", given, *named, epsilon=1e-5)

    def perceptron(name: str, given: str, out: str = "") -> str:
        return linear(f"{name}.2", node("Relu", linear(f"{name}.0", given)), out)

    at = linear("embed", "observation")
    for i in range(LAYERS):
        name = f"layers.{i}"
        inner = f"{name}.attention"
        packed = linear(
            inner, at, "", weights[f"{inner}.in_proj_weight"], weights[f"{inner}.in_proj_bias"]
        )  # one product for all three
        parts = [f"{name}.{part}" for part in "qkv"]
        nodes.append(make.make_node("Split", [node("Unsqueeze", packed, "axis")], parts, axis=-1, num_outputs=3))
        slope = constant(f"{name}.slope", weights[f"{name}.correlation.slope"].reshape(1, HEADS, 1, 1))
        bias = node("Mul", slope, "correlation")
        made = node("Attention", *parts, bias, q_num_heads=HEADS, kv_num_heads=HEADS)
        made = linear(f"{inner}.out_proj", node("Squeeze", made, "axis"))
        at = norm(f"{name}.norm", node("Add", at, made))
        at = norm(f"{name}.feed_norm", node("Add", at, perceptron(f"{name}.feed", at)))
    perceptron("heads.score", at, "score")
    perceptron("heads.value", node("ReduceMean", at, "axis", keepdims=1), "value")

    def typed(name: str, shape: Any) -> Any:
        return make.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    inputs = {"observation": x, "correlation": correlation}
    outputs = {"score": (ASSETS, 1), "value": (1, 1)}
    graph = make.make_graph(
        nodes,
        "policy",
        [typed(name, value.shape) for name, value in inputs.items()],
        [typed(name, shape) for name, shape in outputs.items()],
        initializer=[onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 23)])
    model.ir_version = 10
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    binding, values = session.io_binding(), []
    for name, value in inputs.items():
        binding.bind_ortvalue_input(name, runtime.OrtValue.ortvalue_from_numpy(value))
    for name, shape in outputs.items():
        values.append(runtime.OrtValue.ortvalue_from_numpy(np.empty(shape, np.float32)))
        binding.bind_ortvalue_output(name, values[-1])

    def call() -> Any:
        session.run_with_iobinding(binding)
        return values

    return call


def policy() -> Row:
    weights = weights_of_policy()
    rng = np.random.default_rng(8)
    x = rng.normal(size=(ASSETS, FEATURES)).astype(np.float32)
    correlation = np.corrcoef(rng.normal(size=(ASSETS, 60))).astype(np.float32)
    ours = fa.AttentionPolicy.read(fa.policy_bytes(weights, heads=HEADS, pooled=["value"]))
    n = 500
    results = {"fairlead": (lambda out: (out["score"], out["value"]))(ours(x, correlation))}
    peers: dict[str, Run] = {}
    torch = one_thread()
    if torch is not None:
        tensors = [torch.from_numpy(x), torch.from_numpy(correlation)]
        eager = with_torch(torch, weights, torch.float32)

        def compiled() -> Callable[[], Any]:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of torch, while it compiles
                function = torch.compile(eager, fullgraph=True)
                with torch.inference_mode():
                    results["torch.compile"] = function(*tensors)
            return lambda: function(*tensors)

        def plain() -> Any:
            return eager(*tensors)

        results["torch"] = plain()
        peers["torch"] = without_gradients(torch, n, plain)
        for name, run in tried("torch.compile", n, compiled).items():
            peers[name] = without_gradients(torch, 1, run)

    def graph() -> Callable[[], Any] | None:
        if (call := with_onnx(weights, x, correlation)) is not None:
            results["ONNX Runtime"] = [value.numpy() for value in call()]
        return call

    peers |= tried("ONNX Runtime", n, graph)
    error = "-"
    if torch is not None:
        exact = with_torch(torch, weights, torch.float64)(*(tensor.double() for tensor in tensors))
        error = ", ".join(
            f"{name} {max((relative(np.ravel(x), np.ravel(y)) for x, y in zip(made, exact, strict=True)), key=float)}"
            for name, made in results.items()
        )
    name = f"Policy: {LAYERS} layers, d = {EMBED}, feed {FEED}, {ASSETS} assets, two heads of two layers"
    return Row(name, "ns/observation", n, repeated(n, lambda: ours(x, correlation)), peers, error)


def rows(size: Size) -> Iterator[Row]:
    yield policy()
    if (torch := one_thread()) is None:
        return
    for weights in (True, False):
        for shape in SHAPES:
            if not size.quick or shape[0] * shape[2] <= 2048:
                yield layer(torch, shape, weights)
