"""Policies from files: against torch's modules, and damaged files; the formulas are tested in C++."""

from __future__ import annotations

import importlib.util
import json
import struct
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fairlead.attention import AttentionPolicy, policy_bytes, policy_metadata


def tensors(seed: int = 0, d: int = 8, features: int = 3) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    shapes = {
        "embed.weight": (d, features),
        "embed.bias": (d,),
        "layers.0.attention.in_proj_weight": (3 * d, d),
        "layers.0.attention.in_proj_bias": (3 * d,),
        "layers.0.attention.out_proj.weight": (d, d),
        "layers.0.attention.out_proj.bias": (d,),
        "heads.score.weight": (1, d),
        "heads.value.0.weight": (5, d),
        "heads.value.0.bias": (5,),
        "heads.value.2.weight": (2, 5),
    }
    return {name: rng.normal(0, 0.4, shape).astype(np.float32) for name, shape in shapes.items()}


def formulas(t: dict[str, Any], x: Any, bias: Any = 0.0) -> dict[str, Any]:
    t = {name: value.astype(np.float64) for name, value in t.items()}
    x = x @ t["embed.weight"].T + t["embed.bias"]
    n, d = x.shape
    name = "layers.0.attention."
    q, k, v = (
        (x @ w.T + b).reshape(n, 2, -1).swapaxes(0, 1)
        for w, b in zip(np.split(t[name + "in_proj_weight"], 3), np.split(t[name + "in_proj_bias"], 3), strict=True)
    )
    p = np.exp(q @ k.swapaxes(1, 2) / np.sqrt(d / 2) + bias)
    p /= p.sum(-1, keepdims=True)
    x = x + (p @ v).swapaxes(0, 1).reshape(n, d) @ t[name + "out_proj.weight"].T + t[name + "out_proj.bias"]
    inner = np.maximum(x.mean(0) @ t["heads.value.0.weight"].T + t["heads.value.0.bias"], 0)
    return {"score": x @ t["heads.score.weight"].T, "value": inner @ t["heads.value.2.weight"].T, "weights": p}


def test_outputs_by_name(tmp_path: Path) -> None:
    t = tensors()
    path = tmp_path / "policy.safetensors"
    path.write_bytes(policy_bytes(t, heads=2, pooled=["value"]))
    policy = AttentionPolicy.load(path)
    assert (policy.features, policy.embed, policy.layers, policy.attention_heads) == (3, 8, 1, 2)
    assert policy.heads == {"score": 1, "value": 2}
    assert policy.pooled == ["value"]
    rng = np.random.default_rng(1)
    x, c = rng.normal(size=(30, 3)), rng.normal(size=(30, 30))
    out, seen = policy(x, c, need_weights=True)
    expected = formulas(t, x, c)
    assert (out["score"].shape, out["value"].shape, seen.shape) == ((30, 1), (2,), (1, 2, 30, 30))
    assert np.abs(out["score"] - expected["score"]).max() < 1e-5
    assert np.abs(out["value"] - expected["value"]).max() < 1e-5
    assert np.abs(seen[0] - expected["weights"]).max() < 1e-5
    few = policy(x, c, count=7)
    alone = policy(x[:7], c[:7, :7])
    assert np.array_equal(few["score"][:7], alone["score"])
    assert not few["score"][7:].any()
    assert np.array_equal(few["value"], alone["value"])
    assert not policy(x, count=0)["value"].any()


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"observation": np.ones((4, 2))}, ValueError, r"observation has shape \(4, 2\), must be \(assets, 3\)"),
        ({"observation": np.ones(3)}, ValueError, "observation has shape"),
        ({"observation": np.ones((0, 3))}, ValueError, "observation has shape"),
        ({"observation": np.array([["a"] * 3])}, TypeError, "observation has dtype"),
        ({"correlation": np.ones((3, 4))}, ValueError, r"correlation has shape \(3, 4\), observation has \(4, 3\)"),
        ({"count": 5}, ValueError, "count is 5, observation has 4 assets"),
        ({"count": -1}, ValueError, "count is -1"),
    ],
)
def test_errors_name_the_argument(given: dict[str, Any], error: type[Exception], words: str) -> None:
    policy = AttentionPolicy.read(policy_bytes(tensors(), heads=2))
    with pytest.raises(error, match=words):
        policy(**({"observation": np.ones((4, 3))} | given))


def test_files_that_are_no_policy(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none"):
        AttentionPolicy.load(tmp_path / "none")
    with pytest.raises(IsADirectoryError):
        AttentionPolicy.load(tmp_path)
    with pytest.raises(TypeError, match="pooled is 'value', must be a sequence of names"):
        policy_bytes(tensors(), heads=2, pooled="value")
    with pytest.raises(ValueError, match="heads is 3, must divide 8"):
        AttentionPolicy.read(policy_bytes(tensors(), heads=3))
    with pytest.raises(ValueError, match=r"stranger is no part of a policy"):
        AttentionPolicy.read(policy_bytes(tensors() | {"stranger": np.ones(2)}, heads=2))
    with pytest.raises(ValueError, match=r"embed.bias has shape \[7\], must have \[8\]"):
        AttentionPolicy.read(policy_bytes(tensors() | {"embed.bias": np.ones(7)}, heads=2))
    header = json.dumps({"a": {"dtype": "F16", "shape": [1], "data_offsets": [0, 2]}}).encode()
    with pytest.raises(ValueError, match="metadata fairlead"):
        AttentionPolicy.read(struct.pack("<Q", len(header)) + header + b"ab")
    path = tmp_path / "cut"
    path.write_bytes(policy_bytes(tensors(), heads=2)[:-1])
    with pytest.raises(ValueError, match="cut is no policy: its tensors need"):
        AttentionPolicy.load(path)


def test_every_truncation_is_refused_and_no_flipped_bit_is_fatal() -> None:
    good = policy_bytes(tensors(), heads=2)
    (header,) = struct.unpack("<Q", good[:8])
    for n in range(0, len(good), 7):
        with pytest.raises(ValueError, match="is no policy"):
            AttentionPolicy.read(good[:n])
    x = np.ones((3, 3))
    for bit in range(0, (8 + header) * 8, 3):
        data = bytearray(good)
        data[bit // 8] ^= 1 << bit % 8
        try:
            policy = AttentionPolicy.read(data)
        except ValueError:
            continue
        policy(x)


def test_threads_may_share_a_policy() -> None:
    policy = AttentionPolicy.read(policy_bytes(tensors(), heads=2))
    inputs = [np.random.default_rng(n).normal(size=(n, 3)) for n in (2, 30, 77)]
    expected = [policy(x)["score"] for x in inputs]
    wrong: list[int] = []

    def work(i: int) -> None:
        wrong.extend(i for _ in range(100) if not np.array_equal(policy(inputs[i])["score"], expected[i]))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("norm", ["before", "after"])
@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh"])
def test_torch(norm: Any, activation: Any, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    nn = torch.nn
    torch.manual_seed(0)
    acts = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh}

    class Layer(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(64, 4, batch_first=True)
            self.norm, self.feed_norm = nn.LayerNorm(64), nn.LayerNorm(64)
            self.feed = nn.Sequential(nn.Linear(64, 96), acts[activation](), nn.Linear(96, 64))

        def forward(self, x: Any, bias: Any) -> Any:
            if norm == "before":
                y = self.norm(x)
                x = x + self.attention(y, y, y, attn_mask=bias)[0]
                return x + self.feed(self.feed_norm(x))
            x = self.norm(x + self.attention(x, x, x, attn_mask=bias)[0])
            return self.feed_norm(x + self.feed(x))

    class Module(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Linear(5, 64)
            self.layers = nn.ModuleList([Layer(), Layer()])
            self.norm = nn.LayerNorm(64)
            self.heads = nn.ModuleDict(
                {
                    "score": nn.Linear(64, 1),
                    "value": nn.Sequential(nn.Linear(64, 16), acts[activation](), nn.Linear(16, 1)),
                }
            )

        def forward(self, x: Any, bias: Any) -> dict[str, Any]:
            x = self.embed(x)
            for layer in self.layers:
                x = layer(x, bias)
            x = self.norm(x)
            return {"score": self.heads["score"](x), "value": self.heads["value"](x.mean(0))}

    module = Module().eval()
    x, c = torch.randn(30, 5), torch.randn(30, 30)
    with torch.no_grad():
        expected = module(x, c)
    options = {"heads": 4, "norm": norm, "activation": activation, "pooled": ["value"]}
    policies = [AttentionPolicy.read(policy_bytes(module.state_dict(), **options))]
    if importlib.util.find_spec("safetensors") is not None:
        importlib.import_module("safetensors.torch").save_file(
            module.state_dict(), tmp_path / "p.safetensors", policy_metadata(**options)
        )
        policies.append(AttentionPolicy.load(tmp_path / "p.safetensors"))
    for policy in policies:
        out = policy(x.numpy(), c.numpy())
        for name, value in expected.items():
            assert np.abs(out[name] - value.numpy()).max() < 1e-5, name
