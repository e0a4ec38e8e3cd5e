"""The layer against torch's own of the same parameters."""

from __future__ import annotations

import copy
import re
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from fairlead.attention import CorrelationBias, MultiHeadAttention, attention  # noqa: E402


def both(size: int = 32, heads: int = 4, **more: Any) -> tuple[Any, Any]:
    torch.manual_seed(1)
    theirs = torch.nn.MultiheadAttention(size, heads, batch_first=more.pop("batch_first", True), **more)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    ours = MultiHeadAttention(size, heads, batch_first=theirs.batch_first, **more)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def near(x: Any, y: Any) -> None:
    torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("average", [True, False])
def test_self_attention(bias: bool, average: bool) -> None:
    ours, theirs = both(bias=bias)
    x = torch.randn(3, 7, 32)
    out, weights = ours(x, average_attn_weights=average)
    expected, their_weights = theirs(x, x, x, average_attn_weights=average)
    near(out, expected)
    near(weights, their_weights)
    near(ours(x[0])[0], theirs(x[0], x[0], x[0])[0])
    assert [name for name, _ in ours.named_parameters()] == [name for name, _ in theirs.named_parameters()]
    assert ours.state_dict().keys() == theirs.state_dict().keys()


def test_cross_attention_and_other_sizes() -> None:
    ours, theirs = both()
    q, k, v = torch.randn(2, 5, 32), torch.randn(2, 9, 32), torch.randn(2, 9, 32)
    near(ours(q, k, v)[0], theirs(q, k, v)[0])
    near(ours(q, k)[0], theirs(q, k, k)[0])
    ours, theirs = both(kdim=10, vdim=20)
    near(ours(q, k[..., :10], v[..., :20])[0], theirs(q, k[..., :10], v[..., :20])[0])


def test_rows_first() -> None:
    ours, theirs = both(batch_first=False)
    x = torch.randn(7, 3, 32)
    for given in ((x, x, x), (x, x[:4], x[:4])):
        for mine, other in zip(ours(*given), theirs(*given), strict=True):
            near(mine, other)


def test_bias_and_mask() -> None:
    ours, theirs = both()
    x, bias = torch.randn(2, 6, 32), torch.randn(2, 4, 6, 6)
    near(ours(x, bias=bias)[0], theirs(x, x, x, attn_mask=bias.reshape(8, 6, 6))[0])
    mask = torch.ones(6, 6, dtype=torch.bool).tril()
    near(ours(x, mask=mask)[0], theirs(x, x, x, attn_mask=~mask)[0])
    short = ours(x, counts=[6, 3])[0]
    near(short[1, :3], ours(x[1:, :3])[0][0])


def test_gradients() -> None:
    ours, theirs = both()
    x = torch.randn(2, 6, 32)
    ours(x)[0].square().sum().backward()
    theirs(x, x, x)[0].square().sum().backward()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-3, atol=1e-4)


def test_weights_of_the_last_forward() -> None:
    layer = MultiHeadAttention(32)
    with pytest.raises(RuntimeError, match="no weights"):
        layer.get_attention_weights()
    x = torch.randn(2, 6, 32)
    _, mean = layer(x)
    weights = layer.get_attention_weights()
    assert weights.shape == (2, 4, 6, 6)
    assert not weights.requires_grad
    near(weights.mean(1), mean)
    assert torch.equal(layer.get_attention_weights(head=2), weights[:, 2])
    with pytest.raises(IndexError, match="head is 4, there are 4"):
        layer.get_attention_weights(4)
    assert layer(x, need_weights=False)[1] is None
    with pytest.raises(RuntimeError, match="need_weights=False"):
        layer.get_attention_weights()
    assert "_weights" not in layer.state_dict()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, while it compiles
def test_compiled() -> None:
    layer = MultiHeadAttention(16, 2)
    x = torch.randn(2, 5, 16)
    out, weights = torch.compile(layer, fullgraph=True, backend="eager")(x)
    near(out, layer(x)[0])
    near(weights, layer(x)[1])


@pytest.mark.parametrize("hidden", [None, 8])
def test_correlation_bias_is_learned(hidden: int | None) -> None:
    """The values are reached through the correlation alone: queries and keys are the same for all."""
    torch.manual_seed(2)
    correlation = torch.corrcoef(torch.randn(8, 3))
    encode = CorrelationBias(2, hidden=hidden)
    assert not encode(correlation).any()
    q = torch.zeros(1, 2, 8, 4)
    v = torch.randn(1, 2, 8, 4)
    target = attention(q, q, v, torch.stack([2 * correlation, -correlation]))
    optimiser = torch.optim.Adam(encode.parameters(), lr=0.1)
    losses = []
    for _ in range(150):
        optimiser.zero_grad()
        loss = (attention(q, q, v, encode(correlation)) - target).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.02 * losses[0]
    batch = encode(torch.stack([correlation, correlation]))
    assert batch.shape == (2, 2, 8, 8)
    near(batch[1], encode(correlation))


def test_assets_without_history() -> None:
    encode = CorrelationBias(2)
    with torch.no_grad():
        encode.slope.fill_(1.0)
    assert encode(torch.full((3, 3), torch.nan)).equal(torch.zeros(2, 3, 3))


def test_refused() -> None:
    with pytest.raises(ValueError, match="heads is 5, must divide embed_dim, which is 32"):
        MultiHeadAttention(32, 5)
    layer = MultiHeadAttention(32)
    with pytest.raises(ValueError, match=r"query has shape \(2, 6, 31\), must be \(batch, rows, 32\)"):
        layer(torch.randn(2, 6, 31))
    with pytest.raises(ValueError, match=r"key has shape \(6, 32\), query has \(2, 6, 32\)"):
        layer(torch.randn(2, 6, 32), torch.randn(6, 32))
    with pytest.raises(ValueError, match=r"correlation has shape \(3, 4\)"):
        CorrelationBias()(torch.randn(3, 4))


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"query": np.ones((1, 3, 8))}, TypeError, "query is ndarray, must be a torch tensor"),
        (
            {"query": torch.ones(1, 3, 8, dtype=torch.float64)},
            TypeError,
            "query has dtype torch.float64, the layer has",
        ),
        ({"key": torch.ones(2, 3, 8)}, ValueError, "key has shape (2, 3, 8), query has (1, 3, 8): the batch must be"),
        ({"value": torch.ones(1, 4, 8)}, ValueError, "value has shape (1, 4, 8), key has (1, 3, 8): rows must be"),
    ],
)
def test_what_does_not_fit_is_named_as_the_caller_named_it(given: Any, error: type[Exception], words: str) -> None:
    layer = MultiHeadAttention(8, 2)
    with pytest.raises(error, match=re.escape(words)):
        layer(**({"query": torch.ones(1, 3, 8)} | given))


def test_a_fourth_argument_by_place_is_refused() -> None:
    """torch's is a padding mask, of the opposite sense."""
    x = torch.ones(1, 3, 8)
    with pytest.raises(TypeError, match="positional argument"):
        MultiHeadAttention(8, 2)(x, x, x, torch.zeros(1, 3, dtype=torch.bool))  # type: ignore[misc]


def test_a_copy_has_no_weights_of_a_forward() -> None:
    layer = MultiHeadAttention(8, 2, kdim=6, vdim=6)
    layer(torch.ones(1, 3, 8), torch.ones(1, 4, 6))
    assert layer.get_attention_weights().shape == (1, 2, 3, 4)
    with pytest.raises(RuntimeError, match="there are no weights"):
        copy.deepcopy(layer).get_attention_weights()


def test_correlations_of_numpy() -> None:
    encode = CorrelationBias(2)
    encode.slope.data += 1.0
    correlation = np.corrcoef(np.random.default_rng(0).normal(size=(4, 30)))
    assert torch.equal(encode(correlation), encode(torch.from_numpy(correlation)))


@pytest.mark.parametrize("counts", [(np.int64(3), 4), (torch.tensor(3), torch.tensor(4))], ids=["numpy", "torch"])
def test_two_numbers_of_any_kind_are_the_counts_of_a_batch_of_two(counts: Any) -> None:
    layer, x = MultiHeadAttention(8, 2), torch.randn(2, 5, 8)
    assert torch.equal(layer(x, counts=counts)[0], layer(x, counts=[3, 4])[0])
