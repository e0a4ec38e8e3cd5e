"""Reuse of prompts that ask the same: never across a reversal, and how often across a paraphrase."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_pairs import PARAPHRASES, REVERSALS

from fairlead.errors import InvalidRecordError
from fairlead.providers import ResponseCache, Similar
from fairlead.providers.same_question import signature


def found(one: str, other: str, similar: Similar) -> bool:
    cache = ResponseCache(128 << 10, similar=similar, seed=1)
    cache.put(one, "answer", now=0)
    return cache.lookup(other, now=0) is not None


def alike(prompt: str) -> Sequence[float]:
    """An embedding for which all prompts are the same: the guard is alone."""
    return [1.0, 2.0]


def test_there_are_enough_pairs() -> None:
    assert len(set(REVERSALS)) >= 150
    assert len(set(PARAPHRASES)) >= 60


@pytest.mark.parametrize(("one", "other"), REVERSALS)
def test_no_answer_is_reused_across_a_reversal(one: str, other: str) -> None:
    for similar in (Similar(threshold=0.0), Similar(embed=alike)):
        assert not found(one, other, similar)
        assert not found(other, one, similar)
        assert found(one, f"  {one} ", similar)  # the guard lets through what it should


def test_paraphrases_are_found(record_property: pytest.RecordProperty) -> None:  # type: ignore[valid-type]
    hits = sum(found(one, other, Similar()) for one, other in PARAPHRASES)
    record_property("true_hit_rate", hits / len(PARAPHRASES))  # type: ignore[operator]
    assert hits >= 0.75 * len(PARAPHRASES)


WORDS = (
    *("will", "the", "fed", "Fed", "not", "raise", "cut", "rates", "AAPL", "25", "bps", "%", "by", "March", "before"),
    *("after", "one", "two", "I", "a", ",", ".", "?", "-", "$", "5", "isn't", "IT"),
)


@given(st.lists(st.sampled_from(WORDS), max_size=12), st.data())
def test_another_word_is_another_question(words: list[str], data: st.DataObject) -> None:
    """Any word that carries meaning, put in, taken out or moved, changes the signature."""
    strong = ["not", "AAPL", "cut", "before", "Fed", "without"]
    at = data.draw(st.integers(0, len(words)))
    with_more = [*words[:at], data.draw(st.sampled_from(strong)), *words[at:]]
    assert signature(" ".join(with_more)) != signature(" ".join(words))


@given(st.text(max_size=60))
def test_any_text_has_a_signature(text: str) -> None:
    assert signature(text) == signature(text)
    assert signature(f" {text}\n") == signature(text)


def test_it_is_off_unless_asked_for() -> None:
    cache = ResponseCache()
    cache.put("Will the Fed cut rates?", "v", now=0)
    assert cache.lookup("will the Fed cut rates", now=0) is None


def test_what_a_hit_says_and_what_ends_it() -> None:
    cache = ResponseCache(similar=Similar(), ttl="10s")
    cache.put("Will the Fed cut rates?", "v", "gpt", "calm", now=0, symbols="ES")
    exact = cache.lookup("Will the  Fed cut rates?", "gpt", "calm", 0)
    assert exact is not None
    assert (exact.exact, exact.similarity) == (True, 1.0)
    asked = "Please: will the Fed cut rates?"
    hit = cache.lookup(asked, "gpt", "calm", 0)
    assert hit is not None
    assert (hit.value, hit.prompt, hit.exact) == ("v", "Will the Fed cut rates?", False)
    assert 0.2 < hit.similarity < 1.0
    assert cache.as_dict()["similar_hits"] == 1
    assert cache.lookup(asked, "gpt", "wild", 0) is None
    assert cache.lookup(asked, "mini", "calm", 0) is None
    assert cache.lookup(asked, "gpt", "calm", 10 * 10**9) is None  # too old
    cache.put("Will the Fed cut rates?", "v", "gpt", "calm", now=0, symbols="ES")
    cache.invalidate(symbol="ES")
    assert cache.lookup(asked, "gpt", "calm", 0) is None
    cache.put("Will the Fed cut rates?", "v", "gpt", "calm", now=0)
    hit = cache.lookup(asked, "gpt", "calm", 0)
    assert hit is not None
    cache.report_false_hit(hit)
    assert cache.as_dict()["false_hits"] == 1
    assert cache.lookup(asked, "gpt", "calm", 0) is None
    assert cache.lookup("Will the Fed cut rates?", "gpt", "calm", 0) is None


def test_the_threshold_and_the_callers_embedding_have_a_say() -> None:
    one, other = "Will the Fed cut rates?", "Please: will the Federal Reserve cut rates"
    assert found(one, other, Similar())
    assert not found(one, other, Similar(threshold=0.9))
    assert found(one, other, Similar(threshold=0.9, embed=alike))
    assert not found(one, other, Similar(embed=lambda prompt: [float("P" in prompt), float("P" not in prompt)]))
    assert not found(one, other, Similar(embed=lambda prompt: [0.0]))
    assert found("Will the FOMC cut rates?", "Will the Fed cut rates?", Similar(synonyms={"FOMC": "Fed"}))
    with pytest.raises(ValueError, match="embed gave"):
        found(one, other, Similar(embed=lambda prompt: [1.0] * len(prompt)))


def test_what_is_remembered_is_bounded() -> None:
    cache = ResponseCache(similar=Similar(most=3, longest=30))
    for i in range(5):
        cache.put(f"Is {i} prime?", "v", now=0)
    assert [cache.lookup(f"is {i} prime", now=0) is not None for i in range(5)] == [False, False, True, True, True]
    cache.put("Is this " + "very " * 10 + "long?", "v", now=0)
    assert cache.lookup("is this " + "very " * 10 + "long?", now=0) is None
    for bad in ({"threshold": 1.1}, {"threshold": float("nan")}, {"most": 0}, {"longest": 0}):
        with pytest.raises(InvalidRecordError):
            Similar(**bad)  # type: ignore[arg-type]
