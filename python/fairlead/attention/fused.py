"""A whole layer of attention in one call, for numpy arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fairlead._core import AttentionLayer as _Layer
from fairlead._core import AttentionLayer64 as _Layer64

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

_MUST = ("x", "gradient")
_WHICH: dict[Any, str] = {False: "none", "each": "each", "mean": "mean"}
_NAMES = ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias", "norm.weight", "norm.bias")


class AttentionLayer:
    """Attention with its projections, residual and LayerNorm, forward and backward.

    It computes what ``torch.nn.MultiheadAttention(embed, heads, batch_first=True)`` does, and around it, if wished, the
    residual ``x + ...`` and a ``torch.nn.LayerNorm``: "after" the sum, or "before" attention.

    Weights are given by `load`, under torch's names: ``in_proj_weight`` (3 embed, embed), ``in_proj_bias`` (3 embed,),
    ``out_proj.weight`` (embed, embed), ``out_proj.bias`` (embed,), ``norm.weight`` and ``norm.bias`` (embed,); biases
    may be missing. They are packed for the kernels there and then: after changing them, load again. All is float32, or
    float64 if the weights are (the scalar kernels, to check gradients).

    Raises ValueError if heads do not divide embed.

    >>> import numpy as np
    >>> layer = AttentionLayer(4, heads=2)
    >>> layer.load({"in_proj_weight": np.tile(np.eye(4), (3, 1)), "out_proj.weight": np.eye(4)})
    >>> x = np.array([[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0]])
    >>> layer(x).round(3)
    array([[0.67, 0.33, 0.33, 0.67],
           [0.33, 0.67, 0.67, 0.33]])
    """

    def __init__(
        self,
        embed: int,
        heads: int = 4,
        *,
        norm: Literal["before", "after"] | None = None,
        residual: bool = False,
        epsilon: float = 1e-5,
    ) -> None:
        for name, n in (("embed", embed), ("heads", heads)):
            if not hasattr(n, "__index__"):
                raise TypeError(f"{name} is {n!r}, must be a whole number")
            if n < 1:
                raise ValueError(f"{name} is {n}, must be at least 1")
        if embed % heads != 0:
            raise ValueError(f"heads is {heads}, must divide embed, which is {embed}")
        self.embed, self.heads, self.norm, self.residual, self.epsilon = embed, heads, norm, residual, epsilon
        self.version = 0
        self._core: Any = _Layer(embed, heads, norm, residual, epsilon)

    def __repr__(self) -> str:
        more = "".join(f", {name}={getattr(self, name)!r}" for name in ("norm", "residual") if getattr(self, name))
        return f"AttentionLayer({self.embed}, heads={self.heads}{more})"

    def load(self, weights: Mapping[str, Any], *, gradients: bool = True) -> None:
        """Copies the weights (arrays, or a torch state dict, by name), and packs them.

        gradients: also for `backward`. What `forward` saved before is refused by `backward` after this. Raises KeyError
        for a weight that is missing, ValueError for an unknown name or a wrong shape.
        """
        if unknown := sorted(set(weights) - set(_NAMES if self.norm else _NAMES[:4])):
            raise ValueError(
                f"weights has {unknown[0]!r}, must be among {', '.join(_NAMES if self.norm else _NAMES[:4])}"
            )
        for name in ("in_proj_weight", "out_proj.weight"):
            if weights[name] is None:
                raise ValueError(f"{name} is None, must be an array")
        plain = {name: x.detach() if hasattr(x, "detach") else x for name, x in weights.items()}  # torch's parameters
        given = [_array(plain.get(name), name) for name in _NAMES]
        wide = given[0].dtype == np.float64
        kind: Any = _Layer64 if wide else _Layer
        core = self._core
        if not isinstance(core, kind):
            core = kind(self.embed, self.heads, self.norm, self.residual, self.epsilon)
        core.pack(*given, self.version + 1, gradients)
        self._core = core
        self.version += 1

    def __call__(
        self,
        x: Any,
        context: Any = None,
        *,
        bias: Any = None,
        mask: Any = None,
        counts: Any = None,
        context_counts: Any = None,
        need_weights: Literal[False, "each", "mean"] = False,
        threads: int | None = None,
        out: Array | None = None,
    ) -> Any:
        """The layer's output, of x's shape; with `need_weights` (output, weights).

        x: (batch, n, embed) or (n, embed), queries; keys and values are made of it, too, or of `context` (batch, m,
        embed). bias: added to the logits, broadcast to (batch, heads, n, m). mask: bool, False where a query does not
        look at a key, broadcast likewise. counts: (batch,), rows of x that are there; the others give zeros.
        context_counts: of the context. need_weights: "each" gives (batch, heads, n, m), "mean" (batch, n, m). threads:
        at most so many; None: as many as there are cores, one where the work is small. out: a C-contiguous array for
        the output. Raises ValueError that names the argument and both shapes.
        """
        one, given = self._given(x, context, bias, mask, counts, context_counts)
        if need_weights not in _WHICH:
            raise ValueError(f"need_weights is {need_weights!r}, must be False, 'each' or 'mean'")
        if out is not None and one:
            if not isinstance(out, np.ndarray):
                raise TypeError(f"out is {type(out).__name__}, must be a C-contiguous array")
            if out.shape != given[0].shape[1:]:
                raise ValueError(f"out has shape {out.shape}, must have {given[0].shape[1:]}, as x")
            out = out[None]
        made, weights, _ = self._core.forward(*given, _WHICH[need_weights], False, self.version, _most(threads), out)
        if one:
            made, weights = made[0], None if weights is None else weights[0]
        return (made, weights) if need_weights else made

    def forward(
        self,
        x: Any,
        context: Any = None,
        *,
        bias: Any = None,
        mask: Any = None,
        counts: Any = None,
        context_counts: Any = None,
        threads: int | None = None,
    ) -> tuple[Array, Saved]:
        """(output, what `backward` needs): as calling the layer."""

        one, given = self._given(x, context, bias, mask, counts, context_counts)
        made, _, kept = self._core.forward(*given, "none", True, self.version, _most(threads), None)
        shape = None if bias is None else np.shape(bias)
        return (made[0] if one else made), Saved(one, given, kept, self.version, shape)

    def backward(self, gradient: Any, saved: Saved, *, threads: int | None = None) -> dict[str, Array]:
        """Gradients by name, given that of the output: ``x``, ``context``, ``bias`` and those of the weights.

        Raises ValueError if weights were loaded since `forward`, or loaded without gradients.
        """
        if not isinstance(saved, Saved):
            raise TypeError(f"saved is {type(saved).__name__}, must be what forward returned")
        gradient = _array(gradient, "gradient")
        shape = saved.given[0].shape[1:] if saved.one else saved.given[0].shape
        if gradient.shape != shape:
            raise ValueError(f"gradient has shape {gradient.shape}, must have {shape}, as x")
        if saved.one:
            gradient = gradient[None]
        found: dict[str, Array] = self._core.backward(gradient, saved.kept, *saved.given, saved.version, _most(threads))
        if saved.one:
            for name in ("x", "context"):
                if name in found:
                    found[name] = found[name][0]
        if saved.bias_shape is not None and "bias" in found:
            found["bias"] = found["bias"].reshape(saved.bias_shape)
        return found

    def _given(self, x: Any, context: Any, *rest: Any) -> tuple[bool, tuple[Any, ...]]:
        if self.version == 0:
            raise ValueError("the layer has no weights yet: load them first")
        x = _array(x, "x")
        if x.ndim not in (2, 3):
            raise ValueError(f"x has shape {x.shape}, must be (batch, n, {self.embed}) or (n, {self.embed})")
        one = x.ndim == 2
        if context is not None:
            context = _array(context, "context")
            if context.ndim != x.ndim:
                raise ValueError(f"context has shape {context.shape}, x has {x.shape}: as many axes are needed")
        if one:
            x = x[None]
            context = None if context is None else context[None]
        return one, (x, context, *rest)


def _array(given: Any, name: str) -> Any:
    if given is None or type(given) is np.ndarray:
        if given is None and name in _MUST:
            raise TypeError(f"{name} is None, must be an array")
        return given
    try:
        return np.asarray(given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name} is {type(given).__name__}, must be an array of numbers: {error}") from error


def _most(threads: int | None) -> int:
    """As the core has it: 0 for as many as is best."""
    if threads is not None and (type(threads) is not int or not 1 <= threads <= 4096):
        raise ValueError(f"threads is {threads!r}, must be a whole number in [1, 4096], or None")
    return threads or 0


class Saved:
    """What `AttentionLayer.forward` keeps for `AttentionLayer.backward`."""

    __slots__ = ("bias_shape", "given", "kept", "one", "version")

    def __init__(
        self, one: bool, given: tuple[Any, ...], kept: Array, version: int, bias_shape: tuple[int, ...] | None
    ) -> None:
        self.one, self.given, self.kept, self.version, self.bias_shape = one, given, kept, version, bias_shape
