"""How good models will be on a prompt, beside scikit-learn's TF-IDF with ridge regression and with kNN, fitted to the
same prompts.

The error column is APGR on RouteLLM's MMLU, held out, all fitted to the same 1,500 prompts; where the data are not
here, prompts are made and nothing is scored. Times are of prompts one after the other, 256 different ones of 200
characters, so that not all weights lie in the nearest cache.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from harness import Row, Run, Size, peer

from fairlead import LinearPromptModel, NearestPromptModel
from fairlead.policy.routing import CallCurve, RoutingTable, read_routing_table

WORDS = ["which", "of", "following", "not", "energy", "market", "price", "theory", "cell", "force", "law", "river"]
Predict = Callable[[list[str]], Any]


def data() -> RoutingTable | None:
    path = Path(os.environ.get("FAIRLEAD_DATA", "../shared/data")) / "routing" / "routellm_2model_dev.parquet"
    return read_routing_table(path, where={"dataset": "mmlu"}) if path.exists() else None


def made(n: int = 1500) -> tuple[list[str], np.ndarray[Any, Any]]:
    dice = np.random.default_rng(0)
    texts = [" ".join(f"{w}{dice.integers(20)}" for w in dice.choice(WORDS, size=35)) for _ in range(n)]
    return texts, dice.integers(0, 2, size=(n, 2)).astype(float)


def scikit(kind: str, texts: list[str], quality: np.ndarray[Any, Any]) -> Predict:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import Ridge
    from sklearn.neighbors import KNeighborsRegressor
    from sklearn.pipeline import make_pipeline

    last = Ridge(alpha=4.0) if kind == "ridge" else KNeighborsRegressor(40, metric="cosine", algorithm="brute")
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), last)
    predict: Predict = model.fit(texts, quality).predict
    return predict


def apgr(predict: Predict, table: RoutingTable, test: np.ndarray[Any, Any]) -> float:
    said = np.asarray(predict([table.texts[i] for i in test]))
    weak, strong = np.argsort(table.quality.mean(axis=0))
    return CallCurve(said[:, strong] - said[:, weak], table.quality[test, weak], table.quality[test, strong]).apgr()


def one_by_one(predict: Callable[[Any], Any], texts: list[Any], calls: int) -> Run:
    def run() -> None:
        for i in range(calls):
            predict(texts[i % len(texts)])

    return run


def rows(size: Size) -> Iterator[Row]:
    table, error = data(), "not scored: the prompts are not here"
    if table is None:
        texts, quality = made()
        ask = texts
    else:
        order = np.random.default_rng(0).permutation(len(table))
        train, test = order[:1500], order[1500:]
        texts, quality = [table.texts[i] for i in train], table.quality[train]
        ask = [table.texts[i] for i in test]
    asked = [(text * 20)[:200] for text in ask[:256]]
    fits: dict[str, Callable[[], tuple[Callable[[str], Any], Predict]]] = {}
    for name, kind in (("linear", LinearPromptModel), ("nearest", NearestPromptModel)):
        model = kind.fit(texts, quality, ["weak", "strong"])
        scored = [f"fairlead {apgr(model.predict_many, table, test):.3f}"] if table is not None else []
        peers: dict[str, Run] = {}
        work: dict[str, int] = {}
        calls = size.scaled(20_000 if name == "linear" else 1000)
        if peer("sklearn") is not None:
            which = "ridge" if name == "linear" else "kNN"
            predict = scikit(which, texts, quality)
            label = f"scikit-learn TF-IDF + {which}"
            work[label] = max(1, calls // (200 if name == "linear" else 20))
            peers[label] = one_by_one(predict, [[text] for text in asked], work[label])
            scored += [f"{label} {apgr(predict, table, test):.3f}"] if table is not None else []
        yield Row(
            f"prompt model {name}, 200 B, 2 models",
            "ns/text",
            calls,
            one_by_one(model.predict, asked, calls),
            peers,
            peer_work=work,
            error="APGR " + ", ".join(scored) if scored else error,
            bar="APGR .63 with 1,500 labels; about a microsecond" if name == "linear" else "APGR .63 with 1,500 labels",
        )
        fits[name] = lambda kind=kind: kind.fit(texts, quality, ["weak", "strong"])  # type: ignore[misc]
    many = np.tile(quality, (1, 8))
    wide = LinearPromptModel.fit(texts, many, [f"model {i}" for i in range(16)], penalty=4.0, folds=0)
    calls = size.scaled(20_000)
    yield Row("prompt model linear, 200 B, 16 models", "ns/text", calls, one_by_one(wide.predict, asked, calls))
    yield Row(
        f"fitting the linear prompt model to {len(texts):,} prompts",
        "ns/text",
        len(texts),
        fits["linear"],
        {"scikit-learn TF-IDF + ridge": lambda: scikit("ridge", texts, quality)} if peer("sklearn") is not None else {},
        error="ours chooses two penalties on five folds, scikit-learn has one given",
    )
