"""Models of the prompt: against independent packages on the same features, missing labels, files, any text."""

from __future__ import annotations

import copy
import json
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fairlead as fl
from fairlead import _core
from fairlead.policy.tensors_file import read_tensors, write_tensors

KINDS = [fl.LinearPromptModel, fl.NearestPromptModel]
ANY_TEXT = st.text(st.characters(min_codepoint=0, max_codepoint=0x10FFFF, exclude_categories=())) | st.text(
    "aZ9 \n\0?{}é日한😀_'", max_size=600
)
WORDS = [
    "prove",
    "lemma",
    "theorem",
    "book",
    "song",
    "city",
    "river",
    "price",
    "12",
    "2024",
    "table",
    "send",
    "mail",
    "(",
    ")",
    "code",
    "loop",
    "array",
    "who",
    "what",
]


def table(n: int = 120, models: int = 3, seed: int = 0, missing: float = 0.0) -> tuple[list[str], np.ndarray]:
    dice = np.random.default_rng(seed)
    skill = dice.normal(size=(len(WORDS), models))
    counts = dice.integers(0, 2, size=(n, len(WORDS)))
    texts = [" ".join(dice.permutation([w for w, c in zip(WORDS, row, strict=True) if c])) for row in counts]
    p = 1 / (1 + np.exp(-(counts @ skill) / 2))
    quality = (dice.random(p.shape) < p).astype(float)
    quality[dice.random(p.shape) < missing] = np.nan
    return texts, quality


def features(texts: list[str], idf: np.ndarray, bits: int) -> np.ndarray:
    """The documented features, dense."""
    starts, rows = _core.prompt_rows(texts, bits)
    x = np.zeros((len(texts), 2**bits))
    for i in range(len(texts)):
        x[i, rows[starts[i] : starts[i + 1]]] = 1
    x *= idf
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-300)


def test_rows_are_distinct_and_increasing_and_weights_are_those_of_scikit_learn() -> None:
    text_module = pytest.importorskip("sklearn.feature_extraction.text")
    texts, quality = table()
    starts, rows = _core.prompt_rows(texts, 12)
    present = np.zeros((len(texts), 2**12))
    for i in range(len(texts)):
        mine = rows[starts[i] : starts[i + 1]]
        assert (np.diff(mine.astype(int)) > 0).all()
        present[i, mine] = 1
    model = fl.LinearPromptModel.fit(texts, quality, ["a", "b", "c"], bits=12)
    oracle = text_module.TfidfTransformer().fit(present)
    assert np.allclose(model._arrays["idf"], oracle.idf_, rtol=1e-6)
    assert np.allclose(features(texts, oracle.idf_, 12), oracle.transform(present).toarray(), rtol=1e-12)
    assert _core.prompt_rows(["the the THE the"], 16)[1].size == _core.prompt_rows(["the the the"], 16)[1].size


@pytest.mark.parametrize("bits", [10, 17])
def test_linear_is_ridge_on_the_same_features(bits: int) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    texts, quality = table(150)
    model = fl.LinearPromptModel.fit(texts[:100], quality[:100], ["a", "b", "c"], bits=bits, penalty=3.0)
    x = features(texts, model._arrays["idf"].astype(float), bits)
    mean = quality[:100].mean(axis=0)
    if bits < 12:
        oracle = linear.Ridge(alpha=3.0, fit_intercept=False, solver="cholesky").fit(x[:100], quality[:100] - mean)
        wanted = oracle.predict(x)
    else:
        wanted = x @ x[:100].T @ np.linalg.solve(x[:100] @ x[:100].T + 3.0 * np.eye(100), quality[:100] - mean)
    assert np.allclose(model.predict_many(texts), np.clip(mean + wanted, 0, 1), atol=3e-6)


def test_linear_with_missing_labels_is_two_ridges() -> None:
    texts, quality = table(90, missing=0.4)
    quality = quality[keep := (~np.isnan(quality)).any(axis=1)]
    texts = [t for t, k in zip(texts, keep, strict=True) if k]
    model = fl.LinearPromptModel.fit(texts, quality, ["a", "b", "c"], bits=10, penalty=2.0)
    x = features(texts, model._arrays["idf"].astype(float), 10)
    mean = np.nanmean(quality, axis=0)
    level = np.nanmean(quality - mean, axis=1)
    several = (~np.isnan(quality)).sum(axis=1) > 1

    def ridge(use: np.ndarray, target: np.ndarray) -> np.ndarray:
        own = x[use]
        return x @ own.T @ np.linalg.solve(own @ own.T + 2.0 * np.eye(len(own)), target[use])

    common = ridge(np.ones(len(texts), bool), level)
    for m in range(3):
        apart = ridge(~np.isnan(quality[:, m]) & several, quality[:, m] - mean[m] - level)
        assert np.allclose(model.predict_many(texts)[:, m], np.clip(mean[m] + common + apart, 0, 1), atol=3e-6)


@pytest.mark.parametrize(("neighbours", "shrink"), [(1, 0.0), (7, 0.0), (20, 2.5)])
def test_nearest_is_knn_of_scikit_learn(neighbours: int, shrink: float) -> None:
    knn = pytest.importorskip("sklearn.neighbors")
    texts, quality = table(200, missing=0.2)
    model = fl.NearestPromptModel.fit(
        texts[:150], quality[:150], ["a", "b", "c"], bits=12, neighbours=neighbours, shrink=shrink
    )
    x = features(texts, model._arrays["idf"].astype(float), 12)
    oracle = knn.NearestNeighbors(n_neighbors=neighbours, metric="cosine", algorithm="brute").fit(x[:150])
    distance, index = oracle.kneighbors(x[150:])
    near = np.where(np.isnan(quality[index]), 0, (1 - distance)[:, :, None])
    mean = np.nanmean(quality[:150], axis=0)
    total = near.sum(axis=1) + shrink
    wanted = (np.nan_to_num(quality[index]) * near).sum(axis=1) + shrink * mean
    wanted = np.where(total > 0, wanted / np.where(total > 0, total, 1), mean)
    assert np.allclose(model.predict_many(texts[150:]), wanted, atol=1e-5)


def test_many_texts_hold_out_fewer_folds_and_are_the_same_ridge() -> None:
    n = 26_000  # one fold of five
    dice = np.random.default_rng(2)
    place = dice.integers(0, len(WORDS), size=(n, 2))
    texts = [f"{WORDS[i]} {WORDS[j]}" for i, j in place]
    quality = (dice.random((n, 2)) < np.column_stack([place[:, 0], place[:, 1]]) / len(WORDS)).astype(float)
    model = fl.LinearPromptModel.fit(texts, quality, ["a", "b"], bits=8)
    x = features(texts[:5000], model._arrays["idf"].astype(float), 8)
    assert np.allclose(
        model.predict_many(texts[:5000]), np.clip(quality.mean(axis=0) + x @ model._arrays["weights"], 0, 1), atol=3e-6
    )
    assert all(0.25 < share < 0.35 for share in model.explained)  # 1/3 can be explained: var(p) / var(y)
    assert model.explained == fl.LinearPromptModel.fit(texts, quality, ["a", "b"], bits=8).explained


def test_leaving_one_out_finds_what_there_is_to_explain() -> None:
    texts, quality = table(600, models=2, seed=3)
    noise = np.random.default_rng(1).integers(0, 2, size=600).astype(float)
    labels = np.column_stack([quality, noise])
    for kind in KINDS:
        model = kind.fit(texts, labels, ["a", "b", "noise"])
        assert min(model.explained[:2]) > 0.05
        assert model.explained[2] < 0.03
        assert min(model.weight[:2]) == 100.0
        assert model.weight[2] < 30.0
        assert model.card["explained"] == pytest.approx(model.explained, abs=1e-6)
        fresh, truth = table(1200, models=2, seed=3)
        error = ((model.predict_many(fresh[600:])[:, :2] - truth[600:]) ** 2).mean(axis=0)
        assert (error < truth[600:].var(axis=0)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_one_by_one_is_many_and_the_same_texts_give_the_same_bytes(kind: Any) -> None:
    texts, quality = table(missing=0.1)
    model = kind.fit(texts, quality, ["a", "b", "c"])
    assert kind.fit(texts, quality, ["a", "b", "c"]).to_bytes() == model.to_bytes()
    many = model.predict_many(texts)
    assert np.array_equal(many, [model.predict(text) for text in texts])
    assert many.shape == (len(texts), 3)
    assert model.predict_many([]).shape == (0, 3)
    assert isinstance(model, fl.PromptModel)
    assert fl.LinearPromptModel.__name__ in repr(model) or "texts=120" in repr(model)
    answers: list[bool] = []
    run = threading.Thread(target=lambda: answers.append(np.array_equal(model.predict_many(texts), many)))
    run.start()
    assert np.array_equal([model.predict(text) for text in texts], many)
    run.join()
    assert answers == [True]


@given(ANY_TEXT)
@settings(max_examples=60)
def test_any_text_has_a_quality(text: str) -> None:
    for model in MODELS:
        p = model.predict(text)
        assert p.dtype == np.float64
        assert ((p >= 0) & (p <= 1)).all()
        assert np.array_equal(p, model.predict_many([text])[0])


@pytest.mark.parametrize("models", [1, 3, 4, 7, 11, 15, 16, 19, 20, 70])
def test_any_number_of_models_is_that_many_models(models: int) -> None:
    texts, quality = table(60, models=models)
    many = fl.LinearPromptModel.fit(texts, quality, [f"m{i}" for i in range(models)], penalty=4.0, folds=0, bits=9)
    x = features(texts, many._arrays["idf"].astype(float), 9)
    wanted = np.clip(quality.mean(axis=0) + x @ many._arrays["weights"], 0, 1)
    assert np.allclose(many.predict_many(texts), wanted, atol=3e-6)
    assert many.weight == (0.0,) * models


@pytest.mark.parametrize("kind", KINDS)
def test_files(kind: Any, tmp_path: Path) -> None:
    texts, quality = table()
    model = kind.fit(texts, quality, ["a", "b", 'ü"c'])
    path = tmp_path / "prompts.safetensors"
    model.save(path)
    assert json.loads((tmp_path / "prompts.json").read_text("utf-8")) == model.card
    for again in (kind.load(path), fl.load_prompt_model(path), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert type(again) is kind
        assert again.models == ("a", "b", 'ü"c')
        assert again.card == model.card
        assert again.weight == model.weight
        assert np.array_equal(again.predict_many(texts), model.predict_many(texts))
        assert again.to_bytes() == model.to_bytes()
    safe = pytest.importorskip("safetensors.numpy") if _has_safetensors() else None
    if safe is not None:
        assert set(safe.load_file(path)) == set(model._arrays)
    other = KINDS[1 - KINDS.index(kind)]
    with pytest.raises(ValueError, match="no prompt model: metadata fairlead is"):
        other.load(path)


def _has_safetensors() -> bool:
    from importlib.util import find_spec

    return find_spec("safetensors") is not None


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_refused_or_sound(kind: Any) -> None:
    texts, quality = table(20)
    data = kind.fit(texts, quality, ["a", "b", "c"], bits=8).to_bytes()
    for size in (0, 4, 8, 100, len(data) - 1):
        with pytest.raises(ValueError, match="no prompt model"):
            kind.read(data[:size])
    with pytest.raises(ValueError, match="no prompt model"):
        kind.read(data + b"\0")
    dice = np.random.default_rng(0)
    refused = 0
    for _ in range(400):
        mutated = bytearray(data)
        for at in dice.integers(0, min(len(data), 1500), size=dice.integers(1, 4)):
            mutated[at] = dice.integers(256)
        try:
            p = kind.read(bytes(mutated)).predict("prove the lemma")
        except ValueError:
            refused += 1
        else:
            assert ((p >= 0) & (p <= 1)).all()
    assert refused > 200
    metadata, arrays = read_tensors(data)
    for name, change, words in (
        ("idf", lambda a: -a, "outside its range"),
        ("idf", lambda a: a * np.float32("nan"), "NaN"),
        ("mean", lambda a: a + 2, "NaN or infinite"),
        ("explained", lambda a: a[:2], "number of values"),
    ):
        with pytest.raises(ValueError, match=f"no prompt model: .*{words}"):
            kind.read(write_tensors(metadata, {**arrays, name: change(arrays[name])}))
    for name in arrays:
        with pytest.raises(ValueError, match="it has the tensors"):
            kind.read(write_tensors(metadata, {k: v for k, v in arrays.items() if k != name}))


def test_a_file_that_points_outside_is_refused() -> None:
    texts, quality = table(20)
    metadata, arrays = read_tensors(fl.NearestPromptModel.fit(texts, quality, ["a", "b", "c"], bits=8).to_bytes())
    rows, starts = arrays["rows"].copy(), arrays["starts"].copy()
    rows[5] = 2**31
    for name, value in (
        ("rows", rows),
        ("rows", arrays["rows"][::-1].copy()),
        ("rows", arrays["rows"][:-1]),
        ("starts", starts[::-1].copy()),
        ("starts", np.minimum(starts + 1, starts[-1])),
        ("starts", np.where(np.arange(21) == 3, 2**32 - 1, starts).astype(np.uint32)),
        ("quality", arrays["quality"] + 1),
    ):
        with pytest.raises(ValueError, match="no prompt model"):
            fl.NearestPromptModel.read(write_tensors(metadata, {**arrays, name: value}))


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_input_is_named(kind: Any) -> None:
    texts, quality = table(20)
    ab = quality[:, :2]
    for call, words in (
        (lambda: kind.fit(texts[:-1], ab, ["a", "b"]), "quality has length 20, texts has 19"),
        (lambda: kind.fit(texts, ab, ["a"]), r"quality has shape \(20, 2\)"),
        (lambda: kind.fit(texts, ab[:, 0], ["a"]), r"quality has shape \(20,\)"),
        (lambda: kind.fit(texts, ab * 2, ["a", "b"]), r"quality\[\d+, \d\] is 2.0"),
        (lambda: kind.fit(texts, np.full((20, 2), np.nan), ["a", "b"]), r"quality\[:, 0\] has no label"),
        (lambda: kind.fit([], np.zeros((0, 2)), ["a", "b"]), "texts is empty"),
        (lambda: kind.fit(texts, ab, ["a", "a"]), "models has 'a' twice"),
        (lambda: kind.fit(texts, ab, ["a", "b"], bits=7), "bits is 7"),
        (lambda: kind.fit(texts, ab, ["a", "b"], bits=19), "bits is 19"),
    ):
        with pytest.raises(ValueError, match=words):
            call()
    with pytest.raises(TypeError, match="models is one str"):
        kind.fit(texts, ab, "ab")
    with pytest.raises(TypeError, match="texts is one str"):
        kind.fit("texts", ab, ["a", "b"])
    with pytest.raises(TypeError, match="text is a int, must be a str"):
        kind.fit(texts, ab, ["a", "b"]).predict(3)


def test_options_outside_their_range_are_named() -> None:
    texts, quality = table(20)
    for option, value in (("penalty", 0.0), ("penalty", float("nan")), ("folds", -1)):
        with pytest.raises(ValueError, match=f"{option} is {value}"):
            fl.LinearPromptModel.fit(texts, quality, ["a", "b", "c"], **{option: value})
    for option, value in (("neighbours", 0), ("neighbours", 257), ("shrink", -1.0)):
        with pytest.raises(ValueError, match=f"{option} is {value}"):
            fl.NearestPromptModel.fit(texts, quality, ["a", "b", "c"], **{option: value})
    assert fl.LinearPromptModel.fit(["one"], [[0.5]], ["a"]).predict("two").tolist() == [0.5]
    assert fl.NearestPromptModel.fit(["one"], [[0.5]], ["a"]).predict("two").tolist() == [0.5]


MODELS = [kind.fit(*table(), ["a", "b", "c"]) for kind in KINDS]
