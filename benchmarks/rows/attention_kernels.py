"""Attention beyond the plain call: share of the core's peak, weights, backward alone, two threads, bfloat16.

One thread, but for the rows of two. The peers get a 4-D bias, tensors that are made beforehand and, where they take
one, memory for their output.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from harness import MISSING, Row, Run, Size, all_cores, peer, that_runs
from rows.attention import Shape, arrays, calls, exact, named, one_thread, relative, repeated, with_onnx, with_openvino

import fairlead.attention as fa

PROGRAM = Path(__file__).resolve().parents[2] / "build" / "release" / "bench_attention"


def peak() -> float:
    """What this core's fused multiply-adds can do at most, in GFLOP/s; 0 where that is not known."""
    if not PROGRAM.exists():
        MISSING["share of the core's peak"] = "not built: cmake --preset release && cmake --build --preset release"
        return 0.0
    return float(subprocess.run([PROGRAM, "peak"], check=True, capture_output=True, text=True).stdout)


def without_gradients(torch: Any, n: int, call: Callable[[], Any]) -> Run:
    inner = repeated(n, call)

    def run() -> Any:
        with torch.inference_mode():
            return inner()

    return run


def torch_forward(torch: Any, given: list[Any], n: int, threads: int = 1) -> Run:
    tensors = [torch.from_numpy(x) for x in given]
    call = without_gradients(torch, n, lambda: torch.nn.functional.scaled_dot_product_attention(*tensors))

    def run() -> Any:
        torch.set_num_threads(threads)
        return call()

    return run


def tried(name: str, n: int, make: Callable[[], Callable[[], Any] | None]) -> dict[str, Run]:
    """A peer that may refuse when it is made, or called."""
    found: dict[str, Run] = {}

    def first() -> None:
        if (call := make()) is not None:
            call()
            found[name] = repeated(n, call)

    that_runs(name, first)
    return found


def forwards(given: list[Any], n: int, threads: int = 1) -> dict[str, Run]:
    """The peers' forward with a bias."""
    torch = peer("torch")
    found = {} if torch is None else {"torch": torch_forward(torch, given, n, threads)}
    found |= tried("ONNX Runtime", n, lambda: with_onnx(given, threads))
    return found | tried("OpenVINO", n, lambda: with_openvino(given, threads))


def share_of_peak(shape: Shape, peak: float, share: float) -> Row:
    """The time of a forward, as a multiple of what its multiplications and additions take at the core's peak."""
    q, k, v, bias = given = arrays(shape)
    batch, heads, n, depth = shape
    times, out = calls(shape), np.empty_like(q)
    limit = 4 * batch * heads * n * n * depth / peak  # nanoseconds a call
    ours = repeated(times, lambda: fa.attention(q, k, v, bias, out=out, threads=1))
    error = relative(ours(), exact(q, k, v, bias))
    bar = f"{1 / share:.3g}, a share of {share:g}; 2e-06"
    name = named(f"Forward + bias beside the core's peak of {peak:.0f} GFLOP/s", shape)
    return Row(name, "x the time at the peak", round(times * limit), ours, forwards(given, times), error, bar)


def with_weights(shape: Shape) -> Row:
    """The output, and the weights' mean over heads. torch as its own layer does it, as its fused kernel gives none."""
    q, k, v, bias = given = arrays(shape)
    n, out = calls(shape, 2), np.empty_like(q)
    peers: dict[str, Run] = {}
    if (torch := one_thread()) is not None:
        tq, tk, tv, tbias = (torch.from_numpy(x) for x in given)
        scale = shape[-1] ** -0.5

        def formula() -> Any:
            weights = torch.softmax(torch.matmul(tq * scale, tk.transpose(-1, -2)).add_(tbias), dim=-1)
            return torch.matmul(weights, tv), weights.mean(dim=1)

        peers["torch, matmul and softmax"] = without_gradients(torch, n, formula)
    peers |= tried("ONNX Runtime", n, lambda: with_onnx(given, weights=True))
    ours = repeated(n, lambda: fa.attention(q, k, v, bias, out=out, weights="mean", threads=1))
    made, weights = ours()
    oracle = exact_weights(q, k, bias)
    error = max(relative(made, exact(q, k, v, bias)), relative(weights, oracle), key=float)
    return Row(named("Forward + bias, mean weights", shape), "ns/call", n, ours, peers, error, "2e-06")


def exact_weights(q: Any, k: Any, bias: Any) -> Any:
    eye = np.broadcast_to(np.eye(k.shape[2]), (*k.shape[:2], k.shape[2], k.shape[2]))
    return exact(q, k, eye, bias).mean(axis=1)


def backward(torch: Any, shape: Shape) -> Row:
    """The gradients alone, of q, k, v and the bias, from the output and its log-sum-exp: no autograd on our side."""
    given = arrays(shape)
    grad = np.random.default_rng(8).normal(size=shape).astype(np.float32)
    n = calls(shape, 5)
    out, lse = fa.attention(*given, return_lse=True, threads=1)
    ours = repeated(n, lambda: fa.attention_gradients(grad, *given, out=out, lse=lse, threads=1))
    tensors, toward = [torch.from_numpy(x).requires_grad_() for x in given], torch.from_numpy(grad)
    made = torch.nn.functional.scaled_dot_product_attention(*tensors)
    theirs = repeated(n, lambda: torch.autograd.grad(made, tensors, toward, retain_graph=True))
    peers = {"torch": theirs}
    peers |= tried("torch's kernel, no bias gradient", n, lambda: flash_backward([*tensors, toward]))
    some = [x[:2] for x in given]
    out_of_some, lse_of_some = fa.attention(*some, return_lse=True, threads=1)
    found = fa.attention_gradients(grad[:2], *some, out=out_of_some, lse=lse_of_some, threads=1)
    few = [torch.from_numpy(x).double().requires_grad_() for x in some]
    whole = torch.nn.functional.scaled_dot_product_attention(*few)
    oracle = torch.autograd.grad(whole, few, toward[:2].double())
    error = max((relative(x, y) for x, y in zip(found, oracle, strict=True)), key=float)
    return Row(named("Backward + bias gradient, without autograd", shape), "ns/call", n, ours, peers, error, "1e-05")


def flash_backward(tensors: list[Any]) -> Callable[[], Any]:
    """torch's fused kernel, called without autograd. It makes no gradient of the bias."""
    torch = peer("torch")
    q, k, v, bias, grad = (x.detach() for x in tensors)
    out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, 0.0, False, attn_mask=bias)
    gradients = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
    return lambda: gradients(grad, q, k, v, out, lse, 0.0, False, attn_mask=bias)


def two_threads(shape: Shape) -> Row:
    given = arrays(shape)
    n, out = max(2, calls(shape)), np.empty_like(given[0])

    def with_threads(threads: int) -> Run:
        return repeated(n, lambda: fa.attention(*given, out=out, threads=threads))

    peers = {"fairlead, 1 thread": with_threads(1)}
    peers |= {f"{name}, 2 threads": run for name, run in forwards(given, n, 2).items()}
    if (torch := one_thread()) is not None:
        peers["torch, 1 thread"] = torch_forward(torch, given, n)
    error = relative(with_threads(2)(), exact(*given))
    return Row(named("Forward + bias, 2 threads", shape), "ns/call", n, with_threads(2), peers, error, "2e-06")


def two_threads_training(torch: Any, shape: Shape) -> Row:
    tensors = [torch.from_numpy(x).requires_grad_() for x in arrays(shape)]
    grad = torch.ones(shape)
    n = max(2, calls(shape, 8))
    sdpa = torch.nn.functional.scaled_dot_product_attention

    def ours(threads: int) -> Run:
        return repeated(n, lambda: torch.autograd.grad(fa.attention(*tensors, threads=threads), tensors, grad))

    def theirs(threads: int) -> Run:
        inner = repeated(n, lambda: torch.autograd.grad(sdpa(*tensors), tensors, grad))

        def run() -> Any:
            torch.set_num_threads(threads)
            return inner()

        return run

    one, two = ours(1)(), ours(2)()
    same = all(torch.equal(x, y) for x, y in zip(one, two, strict=True))
    peers = {"fairlead, 1 thread": ours(1), "torch, 2 threads": theirs(2), "torch, 1 thread": theirs(1)}
    name = named("Forward + backward + bias gradient, 2 threads", shape)
    return Row(name, "ns/call", n, ours(2), peers, "the bits of 1 thread" if same else "OTHER BITS than 1 thread")


def bfloat16(torch: Any, shape: Shape) -> Row:
    """The numbers are rounded to bfloat16 beforehand; the oracle is float64 of those."""
    tensors = [torch.from_numpy(x).bfloat16() for x in arrays(shape)]
    n, out = calls(shape), torch.empty_like(tensors[0])
    peers = {
        "torch": without_gradients(torch, n, lambda: torch.nn.functional.scaled_dot_product_attention(*tensors)),
    }
    bits = [x.view(torch.uint16).numpy() for x in tensors]
    peers |= tried("ONNX Runtime, bfloat16", n, lambda: with_onnx(bits))
    peers |= tried("OpenVINO, bfloat16", n, lambda: with_openvino(bits))
    ours = without_gradients(torch, n, lambda: fa.attention(*tensors, out=out, threads=1))
    error = relative(ours().float(), exact(*(x.float().numpy() for x in tensors)))
    return Row(named("Forward + bias, bfloat16", shape), "ns/call", n, ours, peers, error, "1e-02")


def rows(size: Size) -> Iterator[Row]:
    torch = one_thread()
    if limit := peak():
        for shape, share in {(1, 4, 32, 64): 0.7, (64, 4, 32, 64): 0.7, (1, 4, 128, 64): 0.85}.items():
            yield share_of_peak(shape, limit, share)
    for shape in ((1, 4, 8, 16), (1, 4, 32, 64), (1, 4, 128, 64), (64, 4, 32, 64)):
        yield with_weights(shape)
    large = () if size.quick else ((256, 4, 128, 64),)
    if torch is not None:
        for shape in ((1, 4, 8, 16), (1, 4, 32, 64), (1, 4, 128, 64), (1, 8, 512, 64), (64, 4, 32, 64), *large):
            yield backward(torch, shape)
        for shape in ((1, 4, 32, 64), (1, 4, 128, 64), (64, 4, 32, 64), *large):
            yield bfloat16(torch, shape)
    if (os.cpu_count() or 1) < 2:
        MISSING["two threads"] = "one core"
        return
    with all_cores():
        for shape in ((1, 4, 128, 64), (1, 8, 512, 64), (64, 4, 32, 64), *large):
            yield two_threads(shape)
        if torch is not None:
            for shape in ((1, 8, 512, 64), (64, 4, 32, 64), *large):
                yield two_threads_training(torch, shape)
    one_thread()
