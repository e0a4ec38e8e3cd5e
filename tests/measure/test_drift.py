"""The population stability index against numpy, and the streaming one against the whole."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fairlead as fl


def quantile_edges(reference: np.ndarray, bins: int) -> np.ndarray:
    """Inner quantile edges, each once, without one at the maximum (nothing would lie above it)."""
    numbers = reference[~np.isnan(reference)]
    edges = np.unique(np.quantile(numbers, np.arange(1, bins) / bins))
    return edges[edges < numbers.max()]


def counts(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """How many lie in each bin (below, at] an edge; the last bin is NaN's."""
    numbers = values[~np.isnan(values)]
    inside = np.bincount(np.searchsorted(edges, numbers, side="left"), minlength=len(edges) + 1)
    return np.append(inside, np.isnan(values).sum())


def parts(reference: np.ndarray, live: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """(q - p) ln(q / p) of every bin, half a count added to each; NaN's bin counts if anything is in it."""
    before, after = counts(reference, edges), counts(live, edges)
    used = len(before) if before[-1] + after[-1] else len(before) - 1
    p = (before[:used] + 0.5) / (before[:used] + 0.5).sum()
    q = (after[:used] + 0.5) / (after[:used] + 0.5).sum()
    return np.append((q - p) * np.log(q / p), np.zeros(len(before) - used))


def sample(name: str, n: int, seed: int) -> np.ndarray:
    dice = np.random.default_rng(seed)
    if name == "normal":
        return dice.normal(size=n)
    if name == "shifted":
        return dice.normal(0.5, 1.3, n)
    if name == "ties":
        return dice.integers(0, 7, n).astype(float)
    if name == "holes":
        return np.where(dice.random(n) < 0.1, np.nan, dice.normal(size=n))
    return dice.exponential(size=n)


NAMES = ["normal", "shifted", "ties", "holes", "skewed"]


@pytest.mark.parametrize("bins", [2, 10, 37, 255])
@pytest.mark.parametrize("live", NAMES)
@pytest.mark.parametrize("reference", NAMES)
def test_agrees_with_numpy(reference: str, live: str, bins: int) -> None:
    before, after = sample(reference, 1500, 1), sample(live, 900, 2)
    psi = fl.Psi(before, bins=bins)
    np.testing.assert_allclose(psi.edges, quantile_edges(before, bins), rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(psi.reference, counts(before, psi.edges))
    expected = parts(before, after, psi.edges)
    np.testing.assert_allclose(psi.contributions(after), expected, rtol=1e-12, atol=1e-15)
    assert psi.compare(after) == pytest.approx(expected.sum(), rel=1e-12)


def test_the_default_is_ten_bins() -> None:
    assert len(fl.Psi(sample("normal", 1000, 1)).edges) == 9


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=60), st.lists(st.floats(-10, 10), min_size=1))
def test_is_never_negative_and_zero_for_the_same_sample(before: list[float], after: list[float]) -> None:
    psi = fl.Psi(before)
    assert psi.compare(after) >= 0.0
    assert psi.compare(before) == 0.0
    assert psi.compare(after[::-1]) == psi.compare(after)
    assert psi.compare(after) == pytest.approx(psi.contributions(after).sum(), rel=1e-12)


def test_a_constant_reference_still_sees_what_is_new() -> None:
    psi = fl.Psi([0.5] * 400)
    assert psi.compare([0.5] * 100) < 0.1
    for other in (0.4, 0.6, math.nan):
        assert psi.compare([other] * 100) > 0.25


@pytest.mark.parametrize(("reference", "window", "bins"), [(500, 500, 10), (100, 40, 5), (7, 3, 2)])
def test_a_stream_is_compared_with_its_beginning(reference: int, window: int, bins: int) -> None:
    stream = np.concatenate([sample("normal", reference + window, 3), sample("shifted", 2 * window, 4)])
    psi = fl.StreamingPsi(reference=reference, window=window, bins=bins)
    whole = fl.Psi(stream[:reference], bins=bins)
    for i, x in enumerate(stream, start=1):
        psi.add(x)
        if i < reference + window:
            assert math.isnan(psi.index)
        else:
            assert psi.index == pytest.approx(whole.compare(stream[i - window : i]), rel=1e-12)


def test_drift_shows_in_the_stream() -> None:
    psi = fl.StreamingPsi(reference=300, window=300)
    for x in sample("normal", 600, 5):
        psi.add(x)
    assert psi.index < 0.1
    for x in sample("normal", 300, 6) + 1:
        psi.add(x)
    assert psi.index > 0.25


def test_a_beginning_of_nothing_is_waited_out() -> None:
    psi = fl.StreamingPsi(reference=20, window=10)
    for x in [math.nan] * 20 + list(sample("normal", 29, 8)):
        psi.add(x)
    assert math.isnan(psi.index)
    psi.add(0.0)
    assert psi.index >= 0.0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fl.Psi([1.0, 2.0], bins=1), "bins is 1"),
        (lambda: fl.Psi([1.0, 2.0], bins=256), "bins is 256"),
        (lambda: fl.Psi([]), "reference holds no number"),
        (lambda: fl.Psi([math.nan]), "reference holds no number"),
        (lambda: fl.Psi([[1.0]]), r"reference has shape \(1, 1\), must have 1 dimension"),
        (lambda: fl.Psi([1.0, 2.0]).compare([]), "live is empty"),
        (lambda: fl.StreamingPsi(reference=0), "reference is 0"),
        (lambda: fl.StreamingPsi(window=0), "window is 0"),
        (lambda: fl.StreamingPsi(bins=1), "bins is 1"),
    ],
)
def test_what_makes_no_sense_is_refused(call: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()


def test_none_is_missing_and_a_result_is_one_line() -> None:
    found = fl.drift.psi([1, None, 2, 3], [1, 2, None, None])
    assert found == fl.drift.psi([1.0, math.nan, 2.0, 3.0], [1.0, 2.0, math.nan, math.nan])
    with pytest.raises(TypeError, match=r"live has dtype .*, must be real numbers"):
        fl.drift.psi([1, 2], [1, "x"])
    assert str(fl.drift.psi_from_counts([50, 30, 20], [40, 30, 30])) == "PSI 0.061, corrected 0.021, p = 0.2183, stable"
    assert ", p <1e-99, major" in str(fl.drift.psi_from_counts([10**6, 1], [1, 10**6]))
