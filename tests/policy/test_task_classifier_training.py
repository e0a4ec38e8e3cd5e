"""How the shipped classifier is trained and judged: rounds of held-out sources, scores, the command."""

from __future__ import annotations

import gzip
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from fairlead import TaskClassifier
from fairlead.cli import main
from fairlead.errors import TableError
from fairlead.policy import task_training
from fairlead.policy.task_seeds import seed_texts
from fairlead.policy.task_training import LabelledTexts, evaluate, held_out, read_texts

KIN = ["bfcl-exec_*", "bfcl-simple_java*", "bfcl-simple_python,bfcl-multiple,bfcl-parallel*"]


def made() -> LabelledTexts:
    """Three types with three or four sources each; a word says the type, another the source."""
    out = LabelledTexts()
    dice = np.random.default_rng(2)
    for kind, sources in (("a", 3), ("b", 3), ("c", 4)):
        for s in range(sources):
            for _ in range(15):
                filler = " ".join(dice.choice(["red", "blue", "tree", "house", "sky"], 4))
                out.texts.append(f"{filler} type{kind}word source{kind}{chr(97 + s)}word")
                out.types.append(kind)
                out.sources.append(f"{kind}{s}")
                out.families.append(f"{kind}{s}")
    return out


def test_rounds_hold_out_one_family_of_each_type() -> None:
    data = made()
    rounds = held_out(data)
    assert len(rounds) == 12
    assert len(set(rounds)) == 12
    for families in rounds:
        assert [f[0] for f in families] == ["a", "b", "c"]
    assert {f for families in rounds for f in families} == set(data.families)
    with pytest.raises(TableError, match="type 'a' has one family of sources, 'a0'"):
        held_out(data.where(lambda i: data.families[i] not in ("a1", "a2")))
    with pytest.raises(TableError, match="type 'a' has 2 families of sources, must have three"):
        evaluate(data.where(lambda i: data.families[i] != "a2"))


def test_nothing_held_out_is_ever_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    data = made()
    inside: list[set[str]] = []
    fit = LabelledTexts.fit

    class Watched:
        def __init__(self, classifier: TaskClassifier, seen: set[str]) -> None:
            self.classifier, self.seen = classifier, seen

        def probabilities(self, texts: list[str]) -> object:
            scored = {data.families[data.texts.index(text)] for text in texts}
            assert not scored & self.seen
            inside.append(scored)
            return self.classifier.probabilities(texts)

    monkeypatch.setattr(
        LabelledTexts, "fit", lambda self, **options: Watched(fit(self, bits=10, **options), set(self.families))
    )
    scores, options = evaluate(data, threads=1)
    assert options in [{"l2": l2, "structure": 0.05} for l2 in task_training.GRID["l2"]]
    assert len(inside) == 12 * (1 + 3 * 4) + 3 * 4 + 10
    assert scores.macro_f1 > 0.9
    assert scores.recall.keys() == set(data.sources)
    assert "macro-F1 of sources never seen" in str(scores)


def test_scores_against_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    dice = np.random.default_rng(3)
    table = dice.dirichlet([1, 1, 1], 500)
    kinds = ["a", "b", "c"]
    types = [kinds[k] for k in dice.integers(0, 3, 500)]
    ours = task_training._macro_f1(types, table, kinds)
    assert ours == pytest.approx(metrics.f1_score(types, [kinds[k] for k in table.argmax(1)], average="macro"))
    loss, error = task_training._calibration(types, table, kinds)
    assert loss == pytest.approx(metrics.log_loss(types, table, labels=kinds))
    top, right = table.max(1), np.array([kinds[k] for k in table.argmax(1)]) == types
    edges = np.linspace(0, 1, 16)
    slow = 0.0
    for low, high in pairwise(edges):
        here = (top >= low) & (top < high)
        if here.any():
            slow += here.mean() * abs(top[here].mean() - right[here].mean())
    assert error == pytest.approx(slow)


def test_seeds_are_the_same_at_every_call_and_fill_every_pattern() -> None:
    texts, types, sources = seed_texts()
    assert (texts, types, sources) == seed_texts()
    assert len(texts) == len(set(texts)) == len(types) == len(sources) > 2000
    assert set(types) == {"reasoning", "tool_use", "simple"}
    assert len(set(sources)) >= 24
    assert not any("{person}" in text or "{n}" in text for text in texts)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 2: no JSON object"),
        ('{"text": "a", "label": "b"}', "line 2: no JSON object with text, label and source"),
        ("[1]", "line 2: no JSON object"),
        ('{"text": 1, "label": "b", "source": "c"}', "line 2: text, label and source must be strings"),
    ],
)
def test_lines_that_cannot_be_read_are_named(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text('{"text": "a", "label": "b", "source": "c"}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(TableError, match=words):
        read_texts(path)
    assert main(["route", "train-classifier", str(path)]) == 2


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = made()
    path, out = tmp_path / "texts.jsonl.gz", tmp_path / "mine.safetensors"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        for text, label, source in zip(data.texts, data.types, data.sources, strict=True):
            file.write(json.dumps({"text": text, "label": label, "source": source}) + "\n")
    command = [
        "route",
        "train-classifier",
        str(path),
        "--without-made",
        "--kin",
        "c2,c3",
        "--threads",
        "2",
        "--out",
        str(out),
    ]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "macro-F1 of sources never seen" in printed
    assert "mine.safetensors" in printed
    card = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    assert card["families"] == {"c2,c3": ["c2", "c3"]}
    assert sum(source["texts"] for source in card["sources"]) == len(data)
    assert TaskClassifier(out).classify("tree typebword") == "b"


def test_the_shipped_weights_are_what_the_command_makes_of_the_data(shared_data: Path) -> None:
    path = shared_data / "routing" / "task_type_train.jsonl.gz"
    if not path.exists():
        pytest.skip(f"the texts with task types are not here: no file {path}")
    data = read_texts(path, KIN)
    texts, types, sources = seed_texts()
    options = TaskClassifier.card()["options"]
    again = (data + LabelledTexts(texts, types, sources, list(sources))).fit(**options)
    assert again.to_bytes() == TaskClassifier().to_bytes()
    counts = {(s["source"], s["type"]): s["texts"] for s in TaskClassifier.card()["sources"]}
    assert sum(counts.values()) == len(data) + len(texts)


def test_one_round_of_sources_never_seen(shared_data: Path) -> None:
    path = shared_data / "routing" / "task_type_train.jsonl.gz"
    if not path.exists():
        pytest.skip(f"the texts with task types are not here: no file {path}")
    data = read_texts(path, KIN)
    texts, types, sources = seed_texts()
    card = TaskClassifier.card()
    families = {family: set(sources) for family, sources in card["families"].items()}
    told = card["scores"]["rounds"][0]
    assert {s for f in told["held_out"] for s in families.get(f, {f})} <= set(data.sources)
    out = data.where(lambda i: data.families[i] in told["held_out"])
    inside = data.where(lambda i: data.families[i] not in told["held_out"])
    fitted = (inside + LabelledTexts(texts, types, sources, list(sources))).fit(**told["options"], folds=0)
    kinds = sorted(set(data.types))
    assert task_training._macro_f1(out.types, fitted.probabilities(out.texts), kinds) == pytest.approx(
        told["macro_f1"], abs=1e-4
    )
