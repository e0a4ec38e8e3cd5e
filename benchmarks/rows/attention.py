"""Attention: forward with a bias from numpy and torch, training with the bias gradient, the whole layer with weights.

All on one thread. The peers get a 4-D bias: torch's own attention takes a slow path for one of three axes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from harness import Row, Run, Size, peer, that_runs

import fairlead.attention as fa

SHAPES = {  # batch, heads, assets, depth: times faster than torch, and than the best of ONNX Runtime and OpenVINO
    (1, 4, 4, 16): (8, 7),
    (1, 4, 8, 16): (8, 7),
    (1, 4, 32, 16): (3.5, 3),
    (1, 4, 32, 64): (3, 2),
    (1, 4, 128, 64): (2.5, 1.2),
    (1, 8, 512, 64): (2.2, 1.2),
    (64, 4, 32, 64): (2.8, 1.3),
    (256, 4, 128, 64): (2.3, 1.25),
}
Shape = tuple[int, int, int, int]


def arrays(shape: Shape) -> list[Any]:
    """q, k, v and bias."""
    _, heads, n, _ = shape
    rng = np.random.default_rng(7)
    return [rng.normal(size=shape).astype(np.float32) for _ in range(3)] + [
        rng.normal(size=(1, heads, n, n)).astype(np.float32)
    ]


def calls(shape: Shape, cost: float = 1.0) -> int:
    """How many a run, so that it lasts some milliseconds."""
    batch, heads, n, depth = shape
    return max(1, int(1e8 / (batch * heads * n * n * depth * 4 + 1e5) / cost))


def repeated(n: int, call: Callable[[], Any]) -> Run:
    def run() -> Any:
        for _ in range(n - 1):
            call()
        return call()

    return run


def exact(q: Any, k: Any, v: Any, bias: Any) -> Any:
    """In float64, of the first two of the batch."""
    q, k, v = (x[:2].astype(np.float64) for x in (q, k, v))
    logits = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]) + bias
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True) @ v


def relative(ours: Any, oracle: Any) -> str:
    ours, oracle = np.asarray(ours, np.float64), np.asarray(oracle)
    return f"{np.abs(ours[: len(oracle)] - oracle).max() / np.abs(oracle).max():.0e}"


def named(what: str, shape: Shape) -> str:
    return f"{what}, {','.join(map(str, shape))}"


def one_thread() -> Any:
    torch = peer("torch")
    if torch is not None:
        torch.set_num_threads(1)
    return torch


def forward(shape: Shape, bars: tuple[float, float]) -> Row:
    """A call from numpy with out=."""
    q, k, v, bias = arrays(shape)
    n, out = calls(shape), np.empty_like(q)
    attention = fa.attention
    peers: dict[str, Run] = {}
    if (torch := one_thread()) is not None:
        tensors = [torch.from_numpy(x) for x in (q, k, v, bias)]
        sdpa = torch.nn.functional.scaled_dot_product_attention

        def with_torch() -> Any:
            with torch.inference_mode():
                for _ in range(n):
                    sdpa(*tensors)

        peers["torch"] = with_torch
    for name, make in (("ONNX Runtime", with_onnx), ("OpenVINO", with_openvino)):
        if (call := make([q, k, v, bias])) is not None:
            peers |= that_runs(name, repeated(n, call))
    ours = repeated(n, lambda: attention(q, k, v, bias, out=out, threads=1))
    error = relative(ours(), exact(q, k, v, bias))
    bar = f"torch x {bars[0]:g}, the others x {bars[1]:g}; 2e-06"
    return Row(named("Forward + bias", shape), "ns/call", n, ours, peers, error, bar)


def with_onnx(inputs: list[Any], threads: int = 1, weights: bool = False) -> Callable[[], Any] | None:
    """A call with all memory bound. weights: with their mean over heads, too. uint16: the bits of bfloat16."""
    onnx, runtime = peer("onnx"), peer("onnxruntime")
    if onnx is None or runtime is None:
        return None
    make, names = onnx.helper, ["q", "k", "v", "bias"]
    half = inputs[0].dtype == np.uint16
    element = onnx.TensorProto.BFLOAT16 if half else onnx.TensorProto.FLOAT

    def typed(name: str, shape: Any) -> Any:
        return make.make_tensor_value_info(name, element, shape)

    batch, _, n, _ = inputs[0].shape
    outputs = {"out": inputs[0].shape} | ({"weights": (batch, n, n)} if weights else {})
    nodes = [make.make_node("Attention", names, ["out"])]
    if weights:
        nodes = [
            make.make_node("Attention", names, ["out", "", "", "each"], qk_matmul_output_mode=3),
            make.make_node("ReduceMean", ["each", "axis"], ["weights"], keepdims=0),
        ]
    graph = make.make_graph(
        nodes,
        "attention",
        [typed(name, x.shape) for name, x in zip(names, inputs, strict=True)],
        [typed(name, shape) for name, shape in outputs.items()],
        initializer=[onnx.numpy_helper.from_array(np.array([1]), "axis")] if weights else [],
    )
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 23)])
    model.ir_version = 10
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    alive: list[Any] = []  # the memory of bfloat16 stays ours

    def value(x: Any) -> Any:
        alive.append(x)
        make_value = runtime.OrtValue
        return make_value.ortvalue_from_numpy_with_onnx_type(x, element) if half else make_value.ortvalue_from_numpy(x)

    binding = session.io_binding()
    for name, x in zip(names, inputs, strict=True):
        binding.bind_ortvalue_input(name, value(x))
    for name, shape in outputs.items():
        binding.bind_ortvalue_output(name, value(np.empty(shape, inputs[0].dtype)))

    def run(alive: Any = alive) -> None:
        session.run_with_iobinding(binding)

    return run


def with_openvino(inputs: list[Any], threads: int = 1) -> Callable[[], Any] | None:
    """uint16: the bits of bfloat16."""
    openvino, ops = peer("openvino"), peer("openvino.opset13")
    if openvino is None or ops is None:
        return None
    half = inputs[0].dtype == np.uint16
    element = openvino.Type.bf16 if half else openvino.Type.f32
    given = [ops.parameter(list(x.shape), element) for x in inputs]
    model = openvino.Model([ops.scaled_dot_product_attention(*given)], given)
    options = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": "bf16" if half else "f32",
    }
    request = openvino.Core().compile_model(model, "CPU", options).create_infer_request()
    for i, x in enumerate(inputs):
        tensor = openvino.Tensor(x, list(x.shape), element) if half else openvino.Tensor(x, shared_memory=True)
        request.set_input_tensor(i, tensor)
    infer = request.infer
    return lambda: infer(share_inputs=True, share_outputs=True)


def from_torch(torch: Any, shape: Shape) -> Row:
    """The same, torch to torch."""
    q, k, v, bias = arrays(shape)
    tensors = [torch.from_numpy(x) for x in (q, k, v, bias)]
    n, out = calls(shape), torch.empty_like(tensors[0])
    attention, sdpa = fa.attention, torch.nn.functional.scaled_dot_product_attention

    def ours() -> Any:
        with torch.inference_mode():
            for _ in range(n):
                attention(*tensors, out=out, threads=1)
        return out

    def theirs() -> Any:
        with torch.inference_mode():
            for _ in range(n):
                sdpa(*tensors)

    error = relative(ours(), exact(q, k, v, bias))
    return Row(named("Forward + bias, torch tensors", shape), "ns/call", n, ours, {"torch": theirs}, error)


def training(torch: Any, shape: Shape) -> Row:
    """Forward, backward and the gradient of the bias, through autograd."""
    tensors = [torch.from_numpy(x).requires_grad_() for x in arrays(shape)]
    grad = torch.ones(shape)
    n = calls(shape, 8)
    attention, sdpa = fa.attention, torch.nn.functional.scaled_dot_product_attention
    ours = repeated(n, lambda: torch.autograd.grad(attention(*tensors, threads=1), tensors, grad))
    theirs = repeated(n, lambda: torch.autograd.grad(sdpa(*tensors), tensors, grad))
    few = [x.detach()[:2].double().requires_grad_() for x in tensors]
    some = [x.detach()[:2].requires_grad_() for x in tensors]
    found = torch.autograd.grad(attention(*some, threads=1), some, grad[:2])
    oracle = torch.autograd.grad(sdpa(*few), few, grad[:2].double())
    error = max((relative(x, y) for x, y in zip(found, oracle, strict=True)), key=float)
    bar = f"torch x {2.5 if shape[0] == 1 and shape[2] <= 32 else 2}; 1e-05"
    return Row(named("Forward + backward + bias gradient", shape), "ns/call", n, ours, {"torch": theirs}, error, bar)


def layers(torch: Any, shape: Shape) -> tuple[Any, Any, Any]:
    """Ours, torch's with the same weights, and an input."""
    batch, heads, n, depth = shape
    torch.manual_seed(7)
    theirs = torch.nn.MultiheadAttention(heads * depth, heads, batch_first=True)
    ours = fa.MultiHeadAttention(heads * depth, heads, threads=1)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs, torch.randn(batch, n, heads * depth)


def layer(torch: Any, shape: Shape) -> Row:
    """Projections, attention, output projection, with the weights, without gradients."""
    n, depth = shape[2:]
    ours, theirs, x = layers(torch, shape)
    times = calls(shape, 4)

    def run(module: Any, training: bool = False) -> Run:
        def go() -> Any:
            module.train(training)  # in training torch takes another way
            with torch.inference_mode():
                for _ in range(times - 1):
                    module(x, x, x, need_weights=True)
                return module(x, x, x, need_weights=True)

        return go

    oracle = theirs.double()(*[x.double()] * 3)[0].detach()
    theirs.float()
    error = relative(run(ours)()[0], oracle)
    bar = f"x {15 if n <= 8 else 5 if n == 32 and depth == 16 else 2.3}; 2e-06"
    peers = {"torch MultiheadAttention": run(theirs), "torch, in training": run(theirs, True)}
    return Row(named("Layer with weights", shape), "ns/call", times, run(ours), peers, error, bar)


def layer_training(torch: Any, shape: Shape) -> Row:
    """The same with its backward pass: gradients of the input and of all weights."""
    ours, theirs, x = layers(torch, shape)
    x.requires_grad_()
    grad = torch.randn_like(x)
    times = calls(shape, 12)

    def gradients(module: Any, x: Any, grad: Any) -> Any:
        out, _ = module(x, x, x, need_weights=True)
        return torch.autograd.grad(out, [x, *module.parameters()], grad)

    found = gradients(ours, x, grad)
    oracle = gradients(theirs.double(), x.detach().double().requires_grad_(), grad.double())
    theirs.float()
    error = max((relative(mine, other) for mine, other in zip(found, oracle, strict=True)), key=float)
    run, peer_run = (repeated(times, lambda module=module: gradients(module, x, grad)) for module in (ours, theirs))
    name = named("Layer with weights, forward + backward", shape)
    return Row(name, "ns/call", times, run, {"torch MultiheadAttention": peer_run}, error, "1e-05")


def rows(size: Size) -> Iterator[Row]:
    shapes = {shape: bars for shape, bars in SHAPES.items() if not size.quick or shape[0] * shape[2] <= 2048}
    for shape, bars in shapes.items():
        yield forward(shape, bars)
    if (torch := one_thread()) is None:
        return
    for shape in shapes:
        yield from_torch(torch, shape)
    for shape in shapes:
        yield training(torch, shape)
    for shape in shapes:
        yield layer(torch, shape)
    for shape in shapes:
        yield layer_training(torch, shape)
