"""Pictures of weights: what is on the page, what a file holds, what is refused."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fairlead.attention import plot_attention

WEIGHTS = np.random.default_rng(1).dirichlet(np.ones(3), (4, 5))
NAMES = (["a<b", "BTC", "ETH", "SOL", "XRP"], ["up", "flat", "down"])


def shares(html: str) -> list[float]:
    return [float(text) for text in re.findall(r'fill-opacity="([0-9.]+)"', html)]


def test_all_heads() -> None:
    html = plot_attention(WEIGHTS, NAMES)
    assert len(re.findall('<g class="cell', html)) == WEIGHTS.size
    np.testing.assert_allclose(shares(html), (WEIGHTS / WEIGHTS.max()).ravel(), atol=6e-4)
    assert f"ETH looks at flat: {WEIGHTS[3, 2, 1]:.3f} (head 3)" in html
    assert "a&lt;b looks at up" in html
    assert "<b looks" not in html
    assert "<script" not in html
    assert "http" not in html
    ET.fromstring(html.removeprefix("<!DOCTYPE html>"))


def test_one_head_and_the_mean() -> None:
    np.testing.assert_allclose(
        shares(plot_attention(WEIGHTS, head=2)), (WEIGHTS[2] / WEIGHTS[2].max()).ravel(), atol=6e-4
    )
    mean = WEIGHTS.mean(axis=0)
    np.testing.assert_allclose(shares(plot_attention(WEIGHTS, head="mean")), (mean / mean.max()).ravel(), atol=6e-4)
    assert plot_attention(WEIGHTS[None], head=-1) == plot_attention(WEIGHTS, head=3)
    assert "head 3" in plot_attention(WEIGHTS, head=-1)


def test_nothing_to_look_at() -> None:
    html = plot_attention(np.array([[0.0, 0.0], [np.nan, 1.0]]))
    assert "0 looks at 1: 0.000" in html
    assert '<g class="cell none"><title>1 looks at 0: \u2013' in html
    assert shares(plot_attention(np.zeros((2, 2)))) == [0.0] * 4


def test_of_torch() -> None:
    torch = pytest.importorskip("torch")
    weights = torch.from_numpy(WEIGHTS)
    assert plot_attention(weights.requires_grad_()) == plot_attention(WEIGHTS)


@pytest.mark.parametrize("n", [24, 30, 50])
def test_every_asset_has_its_name(n: int, tmp_path: Path) -> None:
    names = [f"asset {i}" for i in range(n)]
    html = plot_attention(np.full((n, n), 1 / n), names)
    written = re.findall(r"<text [^>]*>(asset \d+)<title>", html)
    assert written == names * 2  # rows, columns
    # Those for which a narrow map has no room are marked, and what is left fits.
    assert len(re.findall('class="many more"', html)) == (0 if n <= 24 else 2 * (n - len(range(0, n, -(-n // 24)))))
    pytest.importorskip("matplotlib")
    plot_attention(np.full((n, n), 1 / n), names, path=tmp_path / "weights.svg")
    drawn = (tmp_path / "weights.svg").read_text(encoding="utf-8")
    assert all(drawn.count(f"<!-- {name} -->") == 2 for name in names)


def test_a_page_is_written(tmp_path: Path) -> None:
    html = plot_attention(WEIGHTS, NAMES, path=tmp_path / "weights.html")
    assert (tmp_path / "weights.html").read_text(encoding="utf-8") == html


@pytest.mark.parametrize(("ending", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
@pytest.mark.parametrize("head", [None, "mean"])
def test_matplotlib_writes(tmp_path: Path, ending: str, magic: bytes, head: Any) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / f"weights.{ending}"
    plot_attention(WEIGHTS, NAMES, head=head, path=path)
    assert path.read_bytes().startswith(magic)


def test_large_maps_go_to_a_file(tmp_path: Path) -> None:
    large = np.full((2, 300, 300), 1 / 300)
    with pytest.raises(ValueError, match="more than 40,000 cells"):
        plot_attention(large)
    pytest.importorskip("matplotlib")
    plot_attention(large, path=tmp_path / "weights.png")
    assert (tmp_path / "weights.png").exists()


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=re.escape('pip install "fairlead[plot]"')):
        plot_attention(WEIGHTS, path=tmp_path / "weights.png")


@pytest.mark.parametrize(
    ("weights", "options", "error", "text"),
    [
        (np.ones(3), {}, ValueError, "weights has shape (3,), must be (queries, keys)"),
        (np.ones((2, 4, 3, 3)), {}, ValueError, "weights has shape (2, 4, 3, 3), must be"),
        (WEIGHTS, {"head": 4}, IndexError, "head is 4, there are 4"),
        (WEIGHTS, {"head": "all"}, ValueError, "head is 'all', must be a number, 'mean' or None"),
        (WEIGHTS[0], {"head": 1}, IndexError, "head is 1, weights of shape (5, 3) have no heads"),
        (WEIGHTS, {"labels": ["a"] * 5}, ValueError, "labels has 5 names, the weights have 3 keys"),
        (WEIGHTS, {"labels": (["a"] * 4, ["b"] * 3)}, ValueError, "labels has 4 names, the weights have 5 queries"),
    ],
)
def test_refused(weights: Any, options: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=re.escape(text)):
        plot_attention(weights, **options)
