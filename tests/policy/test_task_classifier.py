"""The classifier of task types: what comes with the package, types of one's own, any text, files."""

from __future__ import annotations

import copy
import json
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fairlead
from fairlead import TaskClassifier, TaskType

CLASSIFIER = TaskClassifier()
ANY_TEXT = st.text(st.characters(min_codepoint=0, max_codepoint=0x10FFFF, exclude_categories=())) | st.text(
    "aZ9 \n\0?{}é日한😀_'", max_size=600
)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Book a table for two in Lisbon tomorrow at 8 pm and text me the address.", "tool_use"),
        ("What is the weather in Oslo right now?", "tool_use"),
        ("Send the invoice to Maria and set a reminder for Friday.", "tool_use"),
        ("Prove that the product of two odd numbers is odd.", "reasoning"),
        ("Write a Python function that returns the longest common prefix of a list of strings.", "reasoning"),
        ("A tap fills a bath in 12 minutes, another in 6. How long do both of them need together?", "reasoning"),
        ("Who painted the Night Watch?", "simple"),
        ("what is the capital of mongolia", "simple"),
    ],
)
def test_what_comes_with_the_package(text: str, name: str) -> None:
    found = CLASSIFIER.classify(text)
    assert found == name
    assert CLASSIFIER.explain(text).task_type == found


@given(ANY_TEXT)
def test_any_text_has_a_type_and_its_reasons_sum_to_the_logits(text: str) -> None:
    found = CLASSIFIER.classify(text)
    p = found.probabilities
    assert list(p) == list(CLASSIFIER.types) == ["reasoning", "simple", "tool_use"]
    assert sum(p.values()) == pytest.approx(1, abs=1e-12)
    assert found.probability == max(p.values()) == p[found.name]
    assert np.array_equal(CLASSIFIER.probabilities([text]), [list(p.values())])
    why = CLASSIFIER.explain(text)
    gap = np.log(found.probability / p[why.runner_up])
    assert sum(weight for _, weight in why.reasons) == pytest.approx(gap, abs=1e-6)
    assert why.runner_up != found.name
    sizes = [abs(weight) for _, weight in why.reasons]
    assert sizes == sorted(sizes, reverse=True)


def test_a_feature_that_decides_is_named() -> None:
    texts = [f"{word} the {thing}" for thing in ("box", "car", "lamp", "cup") for word in ("please fetch", "explain")]
    classifier = TaskClassifier.fit(texts, ["do", "say"] * 4)
    why = classifier.explain("please fetch the tea")
    assert why.task_type == "do"
    assert {"fetch", "please", "please fetch"} <= {feature for feature, weight in why.reasons[:8] if weight > 0}
    assert str(why).splitlines()[0].startswith("do (")
    assert json.loads(json.dumps(why.as_dict()))["runner_up"] == "say"


def test_odd_texts() -> None:
    for text in ("", "\0", "\0book\0", " " * 5000, "\ud83d", "ab\ud83dcd", "é" * 3000):
        assert CLASSIFIER.classify(text).name in CLASSIFIER.types
    assert CLASSIFIER.classify("book\0a flight") == CLASSIFIER.classify("book a flight")
    head, tail = "Prove it. " * 307 + "So", "Then we see. " * 100 + "This is."
    assert len(head) == 3072
    long = head + "book a flight now " * 60_000 + tail[-1024:]
    assert len(long) > 1_000_000
    assert CLASSIFIER.classify(long).probabilities == CLASSIFIER.classify(head + tail[-1024:]).probabilities
    for wrong in (b"book", None, 3):
        with pytest.raises(TypeError, match=r"text is a .*, must be a str"):
            CLASSIFIER.classify(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="takes 1 positional"):
        CLASSIFIER.classify()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="texts is one str"):
        CLASSIFIER.probabilities("book")
    assert CLASSIFIER.probabilities([]).shape == (0, 3)


def test_task_type() -> None:
    found = CLASSIFIER.classify("Who painted the Night Watch?")
    assert isinstance(found, TaskType)
    assert found == "simple"
    assert found != "reasoning"
    assert found != 3
    assert hash(found) == hash("simple")
    assert str(found) == "simple"
    assert repr(found).startswith("TaskType('simple', probability=0.")
    again = pickle.loads(pickle.dumps(found))
    assert again == copy.copy(found) == found
    assert again.probabilities == found.probabilities
    assert TaskType({"a": 0.5, "b": 0.5}) == "a"
    for wrong, error, words in (
        ({}, ValueError, "empty"),
        ({"a": 1.5}, ValueError, r"probabilities\['a'\] is 1.5"),
        ({"a": float("nan")}, ValueError, "nan"),
        ({1: 0.5}, TypeError, "no str"),
        ({"a": "b"}, TypeError, "real number"),
        ("a", TypeError, "dict"),
    ):
        with pytest.raises(error, match=words):
            TaskType(wrong)  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        found.name = "tool_use"  # type: ignore[misc]


def made(types: int, n: int = 120) -> tuple[list[str], list[str]]:
    dice = np.random.default_rng(types)
    labels = [f"type {i % types}" for i in range(n)]
    words = ["one", "two", "three", "ja", "日本", "né", "(x)", "12"]
    return [" ".join([*dice.choice(words, 5), f"mark{'x' * (i % types)}"]) for i in range(n)], labels


@pytest.mark.parametrize("types", [2, 3, 4, 40])
def test_types_of_ones_own(types: int, tmp_path: Path) -> None:
    texts, labels = made(types)
    classifier = TaskClassifier.fit(texts, labels, bits=12)
    assert classifier.types == tuple(sorted(set(labels)))
    right = [classifier.classify(text) == label for text, label in zip(texts, labels, strict=True)]
    assert np.mean(right) > 0.95
    path = tmp_path / "mine.safetensors"
    classifier.save(path)
    for again in (TaskClassifier(path), TaskClassifier.read(path.read_bytes()), pickle.loads(pickle.dumps(classifier))):
        assert again.to_bytes() == classifier.to_bytes() == path.read_bytes()
        assert np.array_equal(again.probabilities(texts), classifier.probabilities(texts))
    assert repr(again).startswith("TaskClassifier(types=['type 0', ")


def test_training_is_deterministic_and_knows_sources() -> None:
    texts, labels = made(3)
    sources = [0 if i < 90 else i % 5 for i in range(len(texts))]
    one = TaskClassifier.fit(texts, labels, sources)
    assert one.to_bytes() == TaskClassifier.fit(list(texts), tuple(labels), [f"s{s}" for s in sources]).to_bytes()
    assert one.to_bytes() != TaskClassifier.fit(texts, labels).to_bytes()
    assert TaskClassifier.fit(texts, labels, folds=0).temperature == 1


def test_probabilities_of_noise_are_humble() -> None:
    dice = np.random.default_rng(0)
    texts = [" ".join(dice.choice(list("abcdefghijklmnop"), 6)) for _ in range(600)]
    labels = list(dice.choice(["x", "y"], 600))
    sure = TaskClassifier.fit(texts[:300], labels[:300], folds=0).probabilities(texts[300:]).max(1).mean()
    humble = TaskClassifier.fit(texts[:300], labels[:300], folds=3).probabilities(texts[300:]).max(1).mean()
    assert sure > 0.7
    assert humble < 0.6


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labels": ["a"]}, "labels has 1 entries, texts has 2"),
        ({"sources": [1]}, "sources has 1 entries, texts has 2"),
        ({"labels": ["a", "a"]}, "labels has 1 types"),
        ({"texts": [], "labels": []}, "labels has 0 types"),
        ({"l2": 0.0}, "l2 is 0.0"),
        ({"l2": float("nan")}, "l2 is nan"),
        ({"structure": -1.0}, "structure is -1.0"),
        ({"balance": -0.1}, r"balance is -0.1, outside \[0, 1\]"),
        ({"bits": 21}, "bits is 21"),
        ({"folds": -1}, "folds is -1"),
        ({"least_sources": 0}, "least_sources is 0"),
    ],
)
def test_fit_refuses(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        TaskClassifier.fit(**({"texts": ["a", "b"], "labels": ["x", "y"]} | change))


def test_fit_refuses_what_is_no_text_or_label() -> None:
    with pytest.raises(TypeError, match="text is a int"):
        TaskClassifier.fit(["a", 3], ["x", "y"])  # type: ignore[list-item]
    with pytest.raises(TypeError, match=r"labels\[1\] is 3, must be a str"):
        TaskClassifier.fit(["a", "b"], ["x", 3])  # type: ignore[list-item]


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    good = CLASSIFIER.to_bytes()
    for n in (0, 7, 100, len(good) - 1):
        with pytest.raises(ValueError, match="no task classifier: "):
            TaskClassifier.read(good[:n])
    with pytest.raises(ValueError, match="this version reads '1'"):
        TaskClassifier.read(good.replace(b'"features":"1"', b'"features":"2"'))
    with pytest.raises(FileNotFoundError):
        TaskClassifier(tmp_path / "none")


def test_threads_share_a_classifier() -> None:
    texts = [f"Prove {i}. Book {i * 7} flights to Rome" * (i % 9 + 1) for i in range(200)]
    expected = [CLASSIFIER.classify(text).probabilities for text in texts]
    wrong: list[int] = []

    def work() -> None:
        wrong.extend(i for i, text in enumerate(texts) if CLASSIFIER.classify(text).probabilities != expected[i])
        wrong.extend(np.flatnonzero((CLASSIFIER.probabilities(texts) != [list(p.values()) for p in expected]).any(1)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_card_says_where_the_weights_come_from() -> None:
    card = TaskClassifier.card()
    assert card["types"] == list(CLASSIFIER.types)
    assert {"licence", "sources", "protocol", "scores", "options"} <= set(card)
    assert all(source["licence"] != "not known" for source in card["sources"])
    weights = Path(fairlead.policy.__file__).parent / "weights" / "task_types.safetensors"
    assert weights.stat().st_size <= 500_000
    assert weights.read_bytes() == CLASSIFIER.to_bytes()
    assert card["temperature"] == pytest.approx(CLASSIFIER.temperature, abs=1e-4)
