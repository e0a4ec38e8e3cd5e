"""A policy over a set of assets without torch: the compiled `AttentionPolicy`, and how its file is written."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from fairlead._core import AttentionPolicy

__all__ = ["AttentionPolicy", "policy_bytes", "policy_metadata"]


def policy_metadata(
    *,
    heads: int,
    norm: Literal["after", "before"] = "after",
    activation: Literal["relu", "gelu", "tanh"] = "relu",
    epsilon: float = 1e-5,
    pooled: Sequence[str] = (),
) -> dict[str, str]:
    """The metadata that `AttentionPolicy` wants in its file, for ``safetensors.torch.save_file(..., metadata=...)``.

    heads: of attention. norm: where LayerNorms stand. activation: between the Linear layers of a Sequential. epsilon:
    of every LayerNorm. pooled: names of the heads that see the mean over the assets.

    >>> policy_metadata(heads=4, pooled=["value"])["pooled"]
    'value'
    """
    if isinstance(pooled, str):
        raise TypeError(f"pooled is {pooled!r}, must be a sequence of names")
    return {
        "fairlead": "attention_policy",
        "heads": str(heads),
        "norm": norm,
        "activation": activation,
        "epsilon": repr(float(epsilon)),
        "pooled": ",".join(pooled),
    }


def policy_bytes(
    tensors: Mapping[str, Any],
    *,
    heads: int,
    norm: Literal["after", "before"] = "after",
    activation: Literal["relu", "gelu", "tanh"] = "relu",
    epsilon: float = 1e-5,
    pooled: Sequence[str] = (),
) -> bytes:
    """The bytes of a policy's file, in the safetensors format, with float32 weights; no other package is needed.

    tensors: arrays, or a torch state dict, by name; see `AttentionPolicy` for the names, `policy_metadata` for the
    rest.

    >>> import numpy as np
    >>> data = policy_bytes({"embed.weight": np.ones((8, 3)), "heads.score.weight": np.ones((1, 8))}, heads=4)
    >>> AttentionPolicy.read(data)
    AttentionPolicy(features=3, embed=8, layers=0, attention_heads=4, heads=['score'])
    """
    import numpy as np

    header: dict[str, Any] = {
        "__metadata__": policy_metadata(heads=heads, norm=norm, activation=activation, epsilon=epsilon, pooled=pooled)
    }
    data = bytearray()
    for name, tensor in tensors.items():
        if hasattr(tensor, "detach"):  # torch's
            tensor = tensor.detach().cpu().float().numpy()
        array = np.asarray(tensor, "<f4")
        start = len(data)
        data += array.tobytes()
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [start, len(data)]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data
