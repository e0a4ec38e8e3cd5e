"""Attention as layers of torch: the extra ``torch``."""

from __future__ import annotations

from typing import Any

from fairlead._core import attention_module as _module
from fairlead._core import attention_module_repack as _repack
from fairlead._core import attention_module_weights as _weights_of
from fairlead.attention.functional import attention

try:
    import torch
    from torch import nn
    from torch.nn import functional
except ImportError as error:  # pragma: no cover
    raise ImportError('this needs torch: pip install "fairlead[torch]"') from error

from fairlead.attention import tensors, training

_TOLD = training.READY


class MultiHeadAttention(nn.Module):
    """Multi-head attention of sets (assets, models), with the parameter names of ``torch.nn.MultiheadAttention``.

    Vaswani et al., "Attention Is All You Need", 2017. A state dict of torch's layer loads, and gives the same numbers.

    On the CPU, in float32 or float64, and where keys and values are one tensor, all of it is one call of compiled code,
    forward and backward. What wants to see the parts (hooks, tracing, torch.compile, torch.func, autocast) sees them,
    at torch's speed. Second derivatives are refused.

    The compiled code works with a packed copy of the weights, made anew when they have changed: another tensor, another
    place in memory, another version (any operation of torch in place), or other numbers, for what is written past torch
    (``parameter.data.copy_()``, numpy). Of the numbers all of the biases and of weights up to 1024 are compared, and 64
    of each larger weight: after writing a few numbers of a large weight through ``.data``, call :meth:`repack`.

    Args:
        embed_dim: Numbers of a row of the input and of the output; a multiple of ``heads``.
        heads: Attention heads.
        bias: Whether the projections have one.
        kdim: Numbers of a row of the keys, where that is not ``embed_dim``.
        vdim: Of a row of the values.
        batch_first: (batch, rows, numbers); False: (rows, batch, numbers).
        need_weights: Whether a forward makes the weights, unless it is told otherwise.
        threads: As of :func:`fairlead.attention.attention`.
        device: Of the parameters.
        dtype: Of the parameters.

    Raises ValueError where ``heads`` does not divide ``embed_dim``.

    >>> import torch
    >>> layer = MultiHeadAttention(64)
    >>> out, weights = layer(torch.randn(2, 30, 64))  # two observations of 30 assets
    >>> out.shape, weights.shape
    (torch.Size([2, 30, 64]), torch.Size([2, 30, 30]))
    >>> layer.get_attention_weights().shape  # of each head
    torch.Size([2, 4, 30, 30])
    """

    def __init__(
        self,
        embed_dim: int,
        heads: int = 4,
        *,
        bias: bool = True,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = True,
        need_weights: bool = True,
        threads: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        for name, n in (("embed_dim", embed_dim), ("heads", heads), ("kdim", kdim), ("vdim", vdim)):
            if n is not None and (not hasattr(n, "__index__") or (n < 1 and name != "heads")):
                raise ValueError(f"{name} is {n!r}, must be a whole number, at least 1")
        if heads < 1 or embed_dim % heads != 0:
            raise ValueError(f"heads is {heads}, must divide embed_dim, which is {embed_dim}")
        self.embed_dim, self.heads = embed_dim, heads
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.batch_first, self.need_weights, self.threads = batch_first, need_weights, threads
        self.packed = self.kdim == self.vdim == embed_dim

        def parameter(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(shape, device=device, dtype=dtype))

        if self.packed:
            self.in_proj_weight = parameter(3 * embed_dim, embed_dim)
            self.register_parameter("q_proj_weight", None)
            self.register_parameter("k_proj_weight", None)
            self.register_parameter("v_proj_weight", None)
        else:
            self.register_parameter("in_proj_weight", None)
            self.q_proj_weight = parameter(embed_dim, embed_dim)
            self.k_proj_weight = parameter(embed_dim, self.kdim)
            self.v_proj_weight = parameter(embed_dim, self.vdim)
        if bias:
            self.in_proj_bias = parameter(3 * embed_dim)
        else:
            self.register_parameter("in_proj_bias", None)
        self.out_proj = nn.Linear(embed_dim, embed_dim, bias=bias, device=device, dtype=dtype)
        self._weights: Any = None  # of the last forward; None: the fused layer has them, False: there are none
        self._fused: Any = None  # the fused layer: made by the compiled function when it is first called
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Starts anew, as torch's layer does."""
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                nn.init.xavier_uniform_(weight)
        if self.in_proj_bias is not None:
            nn.init.zeros_(self.in_proj_bias)
            nn.init.zeros_(self.out_proj.bias)

    def __call__(
        self,
        query: torch.Tensor,
        key: torch.Tensor | None = None,
        value: torch.Tensor | None = None,
        *,
        bias: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        counts: Any = None,
        need_weights: bool | None = None,
        average_attn_weights: bool = True,
    ) -> Any:
        """As `forward`: straight to the fused layer where there are no hooks: torch's own way takes as long."""
        made = None
        if self.__class__ is MultiHeadAttention:
            made = _module(self, query, key, value, bias, mask, counts, need_weights, average_attn_weights)
        if made is None:
            made = super().__call__(
                query, key, value, bias=bias, mask=mask, counts=counts, need_weights=need_weights,
                average_attn_weights=average_attn_weights,
            )  # fmt: skip
        return made

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor | None = None,
        value: torch.Tensor | None = None,
        *,
        bias: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        counts: Any = None,
        need_weights: bool | None = None,
        average_attn_weights: bool = True,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The output and, where they are needed, the weights: averaged over heads, or of each. They carry no gradient.

        Args:
            query: (batch, queries, embed_dim), or without the batch.
            key: (batch, keys, kdim). None: the query, which is self-attention.
            value: (batch, keys, vdim). None: the key.
            bias: Added to the logits, broadcast to (batch, heads, queries, keys). :class:`CorrelationBias` makes one.
            mask: Boolean, broadcast as the bias; True where a query may look at a key (torch's layer has it the other
                way round in its ``attn_mask``).
            counts: How many rows of each batch are there: see :func:`fairlead.attention.attention`.
            need_weights: None: as the layer was told when it was made.
            average_attn_weights: False for the weights of each head.

        Rows of the output beyond a count are zeros.

        Raises ValueError and TypeError, which name the argument, where shapes or dtypes do not fit.
        """
        made: Any = _module(self, query, key, value, bias, mask, counts, need_weights, average_attn_weights)
        if made is None:
            made = self._composed(query, key, value, bias, mask, counts, need_weights, average_attn_weights)
        return made  # type: ignore[no-any-return]

    def _composed(
        self,
        query: torch.Tensor,
        key: torch.Tensor | None,
        value: torch.Tensor | None,
        bias: torch.Tensor | None,
        mask: torch.Tensor | None,
        counts: Any,
        need_weights: bool | None,
        average: bool,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The same from torch's parts: what is compiled, traced or hooked, cross-attention with values of their own."""
        key = query if key is None else key
        value = key if value is None else value
        batch = 0 if self.batch_first else 1
        for name, x, size in (("query", query, self.embed_dim), ("key", key, self.kdim), ("value", value, self.vdim)):
            if not isinstance(x, torch.Tensor):
                raise TypeError(f"{name} is {type(x).__name__}, must be a torch tensor")
            if x.ndim not in (2, 3) or x.shape[-1] != size:
                raise ValueError(f"{name} has shape {tuple(x.shape)}, must be (batch, rows, {size}) or (rows, {size})")
            if x.ndim != query.ndim:
                raise ValueError(f"{name} has shape {tuple(x.shape)}, query has {tuple(query.shape)}")
            if x.ndim == 3 and x.shape[batch] != query.shape[batch]:
                raise ValueError(
                    f"{name} has shape {tuple(x.shape)}, query has {tuple(query.shape)}: the batch must be the same"
                )
            if x.dtype is not self.out_proj.weight.dtype and not torch.is_autocast_enabled("cpu"):
                raise TypeError(f"{name} has dtype {x.dtype}, the layer has {self.out_proj.weight.dtype}")
        if value.shape[:-1] != key.shape[:-1]:
            raise ValueError(f"value has shape {tuple(value.shape)}, key has {tuple(key.shape)}: rows must be the same")
        q, k, v = self._projected(query, key, value)
        wanted = self.need_weights if need_weights is None else need_weights
        made = attention(
            q, k, v, bias, mask=mask, counts=counts, weights="each" if wanted else None, threads=self.threads
        )
        out, weights = made if wanted else (made, None)
        self._weights = False if weights is None else weights.detach()
        rows = out.transpose(-3, -2).flatten(-2)
        result: torch.Tensor = self.out_proj(rows)
        if counts is not None:
            result = _cleared(result, counts)
        if not self.batch_first and query.ndim == 3:
            result = result.transpose(0, 1)
        if weights is not None and average:
            weights = weights.mean(dim=-3)
        return result, weights

    def get_attention_weights(self, head: int | None = None) -> torch.Tensor:
        """The weights of the last forward, detached: (batch, heads, queries, keys), of one head (batch, queries, keys).

        Raises RuntimeError where the last forward made none, IndexError for a head that is not there.
        """
        weights: torch.Tensor | None = None if self._weights is False else self._weights
        if self._weights is None and self._fused is not None:
            self._weights = weights = _weights_of(self._fused)
        if weights is None:
            raise RuntimeError("there are no weights: no forward yet, or the last one had need_weights=False")
        if head is None:
            return weights
        if not -self.heads <= head < self.heads:
            raise IndexError(f"head is {head}, there are {self.heads}")
        return weights.select(-3, head)

    def _projected(self, query: Any, key: Any, value: Any) -> Any:
        """q, k and v with heads before rows: views of what the projections make."""
        size, heads = self.embed_dim, self.heads
        if not self.batch_first and query.ndim == 3:
            same, second = key is query, value is key
            query = query.transpose(0, 1)
            key = query if same else key.transpose(0, 1)
            value = key if second else value.transpose(0, 1)
        if self.packed and key is query and value is key:
            packed = functional.linear(query, self.in_proj_weight, self.in_proj_bias)
            return [x.transpose(-3, -2) for x in packed.unflatten(-1, (3, heads, size // heads)).unbind(-3)]
        weights = (
            self.in_proj_weight.chunk(3)
            if self.packed
            else (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        )
        shifts: Any = self.in_proj_bias
        biases = (None,) * 3 if shifts is None else shifts.chunk(3)
        return [
            functional.linear(x, weight, shift).unflatten(-1, (heads, size // heads)).transpose(-3, -2)
            for x, weight, shift in zip((query, key, value), weights, biases, strict=True)
        ]

    def repack(self) -> None:
        """Has the weights packed anew at the next call, whether or not they seem to have changed."""
        if self._fused is not None:
            _repack(self._fused)

    def __getstate__(self) -> dict[str, Any]:
        """Without the fused layer, of which a copy makes its own, and the weights of the last forward."""
        return self.__dict__ | {"_fused": None, "_weights": False}

    def extra_repr(self) -> str:
        """What torch shows of it."""
        return f"{self.embed_dim}, heads={self.heads}"


def _cleared(rows: torch.Tensor, counts: Any) -> torch.Tensor:
    """Zeros beyond the counts: no asset, no output, not even the bias of the projection."""
    there = counts[0] if tensors.is_pair(counts) else counts
    if there is None:
        return rows
    first = torch.as_tensor(there, device=rows.device)
    kept = torch.arange(rows.shape[-2], device=rows.device) < first[:, None]
    return rows.masked_fill(~(kept if rows.ndim == 3 else kept[0])[..., None], 0.0)


class CorrelationBias(nn.Module):
    """An additive bias for each head, learned from a matrix of correlations between assets.

    Each head has a slope for the correlation; with ``hidden`` a small network of it instead. It starts at zero, as if
    there were no bias. A correlation that is NaN (an asset without history) counts as 0.

    Args:
        heads: Attention heads.
        hidden: Hidden units. None: a slope alone.

    >>> import torch
    >>> encode, layer = CorrelationBias(4), MultiHeadAttention(64)
    >>> x = torch.randn(2, 30, 64)
    >>> out, _ = layer(x, bias=encode(torch.corrcoef(torch.randn(30, 250))))
    >>> encode(torch.eye(30)).shape
    torch.Size([4, 30, 30])
    """

    def __init__(self, heads: int = 4, *, hidden: int | None = None, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        for name, n in (("heads", heads), ("hidden", hidden)):
            if n is not None and (not hasattr(n, "__index__") or n < 1):
                raise ValueError(f"{name} is {n!r}, must be a whole number, at least 1")
        self.heads, self.hidden = heads, hidden
        if hidden is None:
            self.slope = nn.Parameter(torch.zeros(heads, device=device, dtype=dtype))
        else:
            self.into = nn.Linear(1, hidden, device=device, dtype=dtype)
            self.onto = nn.Linear(hidden, heads, bias=False, device=device, dtype=dtype)
            nn.init.zeros_(self.onto.weight)

    def forward(self, correlation: Any) -> torch.Tensor:
        """(assets, assets) into (heads, assets, assets); a batch of them into (batch, heads, assets, assets).

        Of torch or numpy. Raises ValueError for a matrix that is not square.
        """
        correlation = torch.as_tensor(correlation)
        if correlation.ndim not in (2, 3) or correlation.shape[-1] != correlation.shape[-2]:
            raise ValueError(
                f"correlation has shape {tuple(correlation.shape)}, must be (assets, assets) or (batch, assets, assets)"
            )
        given = correlation.nan_to_num(nan=0.0)
        if self.hidden is None:
            made: torch.Tensor = self.slope[:, None, None] * given.unsqueeze(-3).to(self.slope.dtype)
            return made
        inner = functional.gelu(self.into(given.unsqueeze(-1).to(self.into.weight.dtype)))
        return (inner @ self.onto.weight.t()).movedim(-1, -3)

    def extra_repr(self) -> str:
        """What torch shows of it."""
        return f"heads={self.heads}"
