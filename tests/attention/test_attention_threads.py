"""The same bits whatever the number of threads; and other Python threads run meanwhile."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from fairlead.attention import AttentionLayer, AttentionPolicy, attention, attention_gradients, policy_bytes

THREADS = [2, 3, 5]
BIASES = [(5, 6, 13, 13), (1, 6, 13, 13), (5, 1, 13, 13), (1, 1, 13, 13), (13, 13), (6, 1, 13), (13, 1), (1,), None]


def given(shape: tuple[int, ...], seed: int) -> Any:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def same(one: Any, many: Any) -> bool:
    return all(
        (x is None and y is None) or (x.dtype == y.dtype and np.array_equal(x, y, equal_nan=True))
        for x, y in zip(one, many, strict=True)
    )


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("bias_shape", BIASES, ids=str)
@pytest.mark.parametrize("key_heads", [6, 2])
def test_same_bits(threads: int, bias_shape: tuple[int, ...] | None, key_heads: int) -> None:
    q, k, v = given((5, 6, 13, 24), 0), given((5, key_heads, 13, 24), 1), given((5, key_heads, 13, 24), 2)
    bias = None if bias_shape is None else given(bias_shape, 3)
    grad, mask = given(q.shape, 4), np.random.default_rng(5).random((5, 1, 13, 13)) < 0.8
    more = {"mask": mask, "counts": ([13, 13, 0, 5, 12], [13, 1, 4, 0, 13])}

    def everything(threads: int) -> list[Any]:
        found = []
        for weights in ("each", "mean"):
            out, seen, lse = attention(q, k, v, bias, weights=weights, return_lse=True, threads=threads, **more)
            found += [out, seen, lse]
        return found + list(attention_gradients(grad, q, k, v, bias, out=out, lse=lse, threads=threads, **more))

    one = everything(1)
    assert all(np.isfinite(x).all() for x in one[-4:] if x is not None)
    assert same(one, everything(threads))


@pytest.mark.parametrize("batch", [1, 40])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_same_bits_through_autograd(batch: int, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    numbers = torch.Generator().manual_seed(0)
    sizes = [(batch, 4, 33, 16)] * 3 + [(4, 33, 33)]
    tensors = [torch.randn(*size, generator=numbers).to(getattr(torch, dtype)).requires_grad_() for size in sizes]

    def everything(threads: int | None) -> list[Any]:
        out = attention(*tensors, threads=threads)
        return [out, *torch.autograd.grad(out.float().square().sum(), tensors)]

    one = everything(1)
    for threads in (*THREADS, None):
        assert all(torch.equal(x, y) for x, y in zip(one, everything(threads), strict=True))


def layer_of(embed: int = 32) -> AttentionLayer:
    layer = AttentionLayer(embed, norm="before", residual=True)
    layer.load(
        {
            "in_proj_weight": given((3 * embed, embed), 6) / 6,
            "in_proj_bias": given((3 * embed,), 7),
            "out_proj.weight": given((embed, embed), 8) / 6,
            "out_proj.bias": given((embed,), 9),
        }
    )
    return layer


@pytest.mark.parametrize("bias_shape", [(9, 4, 21, 21), (4, 21, 21), (21, 21), None], ids=str)
def test_same_bits_of_the_layer(bias_shape: tuple[int, ...] | None) -> None:
    layer, x = layer_of(), given((9, 21, 32), 10)
    bias = None if bias_shape is None else given(bias_shape, 11)

    def everything(threads: int) -> list[Any]:
        out, weights = layer(x, bias=bias, need_weights="mean", threads=threads)
        again, saved = layer.forward(x, bias=bias, threads=threads)
        found = layer.backward(given(x.shape, 12), saved, threads=threads)
        return [out, weights, again, *(found[name] for name in sorted(found))]

    one = everything(1)
    for threads in THREADS:
        assert same(one, everything(threads))


@pytest.fixture
def no_switching() -> Iterator[None]:
    """Nobody is made to give the interpreter's lock up: another thread runs only when it is let go."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1000.0)
    yield
    sys.setswitchinterval(before)


def runs_meanwhile(call: Callable[[], Any], most: int) -> bool:
    """Whether a thread that waits for the interpreter gets it in one of so many calls."""
    gate, ran = threading.Lock(), []
    gate.acquire()

    def wait() -> None:
        with gate:
            ran.append(True)

    thread = threading.Thread(target=wait)
    thread.start()
    gate.release()  # from here on the thread wants the interpreter
    for _ in range(most):
        call()
        if ran:
            break
    found = bool(ran)
    thread.join()
    return found


def calls() -> dict[str, Callable[[], Any]]:
    q, bias = given((8, 8, 128, 64), 13), given((8, 128, 128), 14)
    out, lse = attention(q, q, q, bias, return_lse=True)
    layer, x = layer_of(), given((16, 100, 32), 15)
    made, saved = layer.forward(x)
    tensors = {"embed.weight": given((64, 8), 16), "heads.score.weight": given((1, 64), 17)}
    tensors |= {
        "layers.0.attention.in_proj_weight": given((192, 64), 18),
        "layers.0.attention.out_proj.weight": given((64, 64), 19),
    }
    policy, observation = AttentionPolicy.read(policy_bytes(tensors, heads=4)), given((500, 8), 20)
    return {
        "attention": lambda: attention(q, q, q, bias, out=out, threads=1),
        "gradients": lambda: attention_gradients(out, q, q, q, bias, out=out, lse=lse, threads=1),
        "layer": lambda: layer(x),
        "layer backward": lambda: layer.backward(made, saved),
        "policy": lambda: policy(observation),
    }


@pytest.mark.usefixtures("no_switching")
@pytest.mark.parametrize("what", ["attention", "gradients", "layer", "layer backward", "policy"])
def test_other_threads_run_during_a_long_call(what: str) -> None:
    call = calls()[what]
    assert runs_meanwhile(call, 200)


@pytest.mark.usefixtures("no_switching")
def test_a_call_that_is_short_keeps_the_interpreter() -> None:
    """Letting go of it costs more than such a call; and so the test above is one that can fail."""
    q = given((1, 1, 2, 16), 21)
    assert not runs_meanwhile(lambda: attention(q, q, q), 200)
