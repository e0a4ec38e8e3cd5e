"""Which type of task a text is, beside fastText and scikit-learn's TF-IDF with logistic regression, trained on the same
texts.

The error column is macro-F1 on sources never seen: rounds that hold out a family of sources of each type, as
`fairlead route train-classifier` has them. All train on the same texts, with those that fairlead makes from patterns
and (in brackets) without. Options of ours are those of the shipped weights; the peers' are their defaults for such
work.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from harness import Row, Run, Size, peer

from fairlead import TaskClassifier
from fairlead.policy.task_seeds import seed_texts
from fairlead.policy.task_training import LabelledTexts, held_out, read_texts

KIN = ["bfcl-exec_*", "bfcl-simple_java*", "bfcl-simple_python,bfcl-multiple,bfcl-parallel*"]
PROMPT = (
    "I'm planning a trip to Berlin next Friday and need the weather forecast there for 3 days, in Celsius please. "
    "Could you also find me a hotel near the main station, under 120 euros a night, and then book it? "
)
Predict = Callable[[list[str]], list[str]]


def data() -> LabelledTexts | None:
    path = Path(os.environ.get("FAIRLEAD_DATA", "../shared/data")) / "routing" / "task_type_train.jsonl.gz"
    return read_texts(path, KIN) if path.exists() else None


def made() -> LabelledTexts:
    texts, types, sources = seed_texts()
    return LabelledTexts(texts, types, sources, list(sources))


def ours(train: LabelledTexts) -> tuple[TaskClassifier, Predict]:
    classifier = train.fit(**TaskClassifier.card()["options"], folds=0)
    return classifier, lambda texts: [classifier.types[k] for k in classifier.probabilities(texts).argmax(1)]


def scikit(train: LabelledTexts) -> tuple[Any, Predict]:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True),
        LogisticRegression(C=10, class_weight="balanced", max_iter=200),
    )
    model.fit(train.texts, train.types)
    return model, lambda texts: list(model.predict(texts))


def fast_text(train: LabelledTexts) -> tuple[Any, Predict]:
    import fasttext

    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        for text, kind in zip(train.texts, train.types, strict=True):
            file.write(f"__label__{kind} {flat(text)}\n")
        file.flush()
        model = fasttext.train_supervised(file.name, epoch=10, wordNgrams=2, thread=1, seed=1, verbose=0)
    # Its own `predict` fails with numpy 2; this is what it calls.
    predict = model.f.predict
    return model, lambda texts: [
        predict(flat(text), 1, 0.0, "strict")[0][1].removeprefix("__label__") for text in texts
    ]


def flat(text: str) -> str:
    return text.replace("\n", " ") + "\n"


def macro_f1(fit: Callable[[LabelledTexts], tuple[Any, Predict]], texts: LabelledTexts, more: LabelledTexts) -> float:
    kinds = sorted(set(texts.types))
    scores = []
    for families in held_out(texts):
        out = texts.where(lambda i, f=families: texts.families[i] in f)  # type: ignore[misc]
        inside = texts.where(lambda i, f=families: texts.families[i] not in f)  # type: ignore[misc]
        said = fit(inside + more)[1](out.texts)
        pairs = list(zip(out.types, said, strict=True))
        scores += [2 * sum(t == p == k for t, p in pairs) / sum((t == k) + (p == k) for t, p in pairs) for k in kinds]
    return float(np.mean(scores))


def rows(size: Size) -> Iterator[Row]:
    texts, more = data(), made()
    fits = {"fairlead": ours}
    if peer("sklearn") is not None:
        fits["scikit-learn TF-IDF + LR"] = scikit
    if peer("fasttext") is not None:
        fits["fastText"] = fast_text
    everything = more if texts is None else texts + more
    models = {name: fit(everything)[0] for name, fit in fits.items()}
    error = "not scored: the texts are not here"
    if texts is not None:
        scored = [
            f"{n} {macro_f1(f, texts, more):.3f} ({macro_f1(f, texts, LabelledTexts()):.3f})" for n, f in fits.items()
        ]
        error = "macro-F1 " + ", ".join(scored)
    for length, bar in ((200, ".62 µs from Python, .31 in C++"), (2048, "3.4 µs from Python, 4.5 in C++")):
        text = (PROMPT * 20)[:length]
        yield Row(
            f"task type, {length} B",
            "ns/text",
            calls := size.scaled(2000),
            **timed(models, text, calls),
            error=error,
            bar=bar,
        )
        error = "as above"
    fit_peers = {name: lambda fit=fit: fit(everything) for name, fit in fits.items() if name != "fairlead"}
    yield Row(f"training on {len(everything):,} texts", "ns/text", len(everything), lambda: ours(everything), fit_peers)


def timed(models: dict[str, Any], text: str, calls: int) -> dict[str, Any]:
    def repeated(call: Callable[[], Any], n: int) -> Run:
        def run() -> None:
            for _ in range(n):
                call()

        return run

    classify = models["fairlead"].classify
    peers: dict[str, Run] = {}
    work: dict[str, int] = {}
    for name, model in models.items():
        if name == "fastText":
            predict, line = model.f.predict, flat(text)
            peers[name] = repeated(lambda p=predict, t=line: p(t, 1, 0.0, "strict"), few := max(1, calls // 10))
            work[name] = few
        elif name != "fairlead":
            peers[name] = repeated(lambda model=model: model.predict([text]), few := max(1, calls // 100))
            work[name] = few
    return {"ours": repeated(lambda: classify(text), calls), "peers": peers, "peer_work": work}
