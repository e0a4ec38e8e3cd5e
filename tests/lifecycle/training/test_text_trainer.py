import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle import Examples, Schema, SchemaError
from fairlead.lifecycle.trainers import TextTrainer, tiny_encoder
from fairlead.lifecycle.trainers.bert import read_encoder
from fairlead.lifecycle.trainers.wordpiece import SPECIAL, WordPieces, words

HEADLINES = [
    "Überraschung: profits rise 3.5% (Q1)!",
    "\u201cnaïve\u201d don't\tfall",
    "北京 stock-market's 1,000",
    "\u200b zero \ufb01ne",
]


def accuracy(trainer, examples):
    return float((trainer.predict(examples.x).argmax(axis=1) == examples.y).mean())


def test_frozen_and_tuned_both_learn(texts, encoder, tmp_path):
    frozen = TextTrainer(encoder, epochs=40)
    frozen.fit(texts[:90])
    assert accuracy(frozen, texts[90:]) > 0.9
    tuned = TextTrainer(encoder, epochs=20, frozen=False, lr=1e-2)
    tuned.fit(texts[:90])
    assert accuracy(tuned, texts[90:]) > 0.9
    frozen.save(tmp_path / "frozen")
    tuned.save(tmp_path / "tuned")
    small, large = load_file(tmp_path / "frozen"), load_file(tmp_path / "tuned")
    assert not any("encoder" in name for name in small)
    assert any("encoder" in name for name in large)


def test_a_file_belongs_to_its_encoder(texts, encoder, tmp_path):
    trainer = TextTrainer(encoder, epochs=1)
    trainer.fit(texts)
    trainer.save(tmp_path / "m")
    other = tiny_encoder(tmp_path / "other", texts.x, hidden=8, seed=1)
    with pytest.raises(SchemaError, match="its encoder is"):
        TextTrainer(other).load(tmp_path / "m")
    with pytest.raises(SchemaError, match="its frozen is True, must be False"):
        TextTrainer(encoder, frozen=False).load(tmp_path / "m")
    with pytest.raises(SchemaError, match="its pool is 'mean', must be 'cls'"):
        TextTrainer(encoder, pool="cls").load(tmp_path / "m")


def test_columns_are_refused(binary, encoder):
    with pytest.raises(SchemaError, match="this trainer reads texts"):
        TextTrainer(encoder).fit(binary)


def test_a_text_says_the_same_alone_and_among_longer_ones(texts, encoder):
    trainer = TextTrainer(encoder, epochs=1, frozen=False)
    trainer.fit(texts[:20])
    together = trainer.predict(["profits rise", "profits fall by " + "a lot " * 20, ""])
    assert np.allclose(together[:1], trainer.predict(["profits rise"]), atol=1e-6)
    assert np.allclose(together[2:], trainer.predict([""]), atol=1e-6)


def test_the_same_tiny_encoder_again(texts, tmp_path):
    state = torch.get_rng_state()
    one, two = (tiny_encoder(tmp_path / name, texts.x, hidden=8) for name in "ab")
    assert torch.equal(torch.get_rng_state(), state)
    for name in ("config.json", "vocab.txt", "model.safetensors"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_folders_that_are_none_are_told_so(texts, encoder, tmp_path):
    with pytest.raises(InvalidRecordError, match=r"has no config.json"):
        TextTrainer(tmp_path)

    def changed(name, change):
        folder = tmp_path / name
        shutil.copytree(encoder, folder)
        change(folder)
        return folder

    def config(**said):
        def change(folder):
            path = folder / "config.json"
            path.write_text(json.dumps({**json.loads(path.read_text()), **said}))

        return change

    for number, (change, named) in enumerate(
        (
            (config(model_type="roberta"), "model_type is 'roberta', must be 'bert'"),
            (config(hidden_act="swish"), "hidden_act is 'swish'"),
            (config(num_attention_heads=3), "no multiple of 3 heads"),
            (config(vocab_size=5), "pieces, the encoder has 5"),
            (lambda folder: (folder / "config.json").write_text("{"), "config.json"),
            (lambda folder: (folder / "vocab.txt").unlink(), "neither vocab.txt nor a tokenizer.json"),
            (lambda folder: (folder / "vocab.txt").write_text("a\nb\n"), "lacks '.PAD.'"),
        )
    ):
        with pytest.raises(InvalidRecordError, match=named):
            TextTrainer(changed(f"f{number}", change))

    def pickled(folder):
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")

    def lacking(folder):
        path = folder / "model.safetensors"
        save_file({k: v.clone() for k, v in load_file(path).items() if "layer.1" not in k}, path)

    for name, change, named in (
        ("pickled", pickled, "pytorch_model.bin is a pickle, which is not read"),
        ("lacking", lacking, "lacks the weights 'encoder.layer.1"),
        ("wider", config(intermediate_size=7), "has shape .*, its config says"),
    ):
        trainer = TextTrainer(changed(name, change))
        with pytest.raises(InvalidRecordError, match=named):
            trainer.fit(texts)


def test_files_by_hugging_face_names(encoder, texts, tmp_path):
    """With the prefix of a classifier, its own head, and the old names of layer norms."""
    folder = tmp_path / "named"
    shutil.copytree(encoder, folder)
    weights = load_file(folder / "model.safetensors")
    named = {f"bert.{k}".replace("LayerNorm.weight", "LayerNorm.gamma"): v.clone() for k, v in weights.items()}
    named |= {"bert.pooler.dense.weight": torch.zeros(8, 8), "classifier.weight": torch.zeros(3, 8)}
    save_file(named, folder / "model.safetensors")
    again = read_encoder(folder).state_dict()
    assert all(torch.equal(again[name], value) for name, value in weights.items())
    vocabulary = {piece: i for i, piece in enumerate(WordPieces.read(encoder).vocabulary)}
    (folder / "vocab.txt").unlink()
    said = {"normalizer": {"lowercase": False}, "model": {"type": "WordPiece", "vocab": vocabulary}}
    (folder / "tokenizer.json").write_text(json.dumps(said))
    pieces = WordPieces.read(folder)
    assert pieces.vocabulary == tuple(vocabulary)
    assert not pieces.lower


def test_words_and_pieces():
    assert words("Überraschung: 北京, don't") == ["uberraschung", ":", "北", "京", ",", "don", "'", "t"]
    assert words("Über", lower=False) == ["Über"]
    assert words(" \t\x00\u200b ") == []
    pieces = WordPieces([*SPECIAL, "un", "##believ", "##able", "able"])
    split = pieces.split("unbelievable able unable disable")
    assert split == ["un", "##believ", "##able", "able", "un", "##able", "[UNK]"]
    assert pieces.split("un" * 60) == ["[UNK]"]
    ids, there = pieces.numbers(["able " * 20, ""], 5)
    assert ids.tolist() == [[2, 8, 8, 8, 3], [2, 3, 0, 0, 0]]
    assert there.sum(axis=1).tolist() == [5, 2]


def test_the_encoder_and_its_pieces_are_those_of_transformers(encoder, tmp_path):
    transformers = pytest.importorskip("transformers")
    texts = [*HEADLINES, "profits rise by 1.5"]
    pieces = WordPieces.read(tiny_encoder(tmp_path / "pieces", texts))
    theirs = transformers.BertTokenizer.from_pretrained(str(tmp_path / "pieces"), do_lower_case=True)
    assert [pieces.split(text) for text in texts] == [theirs.tokenize(text) for text in texts]
    config = transformers.BertConfig(
        vocab_size=len(pieces),
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    model = transformers.BertForSequenceClassification(config).eval()
    model.save_pretrained(tmp_path / "model")
    ids, there = (torch.from_numpy(part) for part in pieces.numbers(texts, 64))
    with torch.no_grad():
        want = model.bert(ids, attention_mask=there.long()).last_hidden_state
        found = read_encoder(tmp_path / "model")(ids, there)
    assert torch.allclose(found[there], want[there], atol=1e-5)


def test_numbers_from_texts(encoder, texts):
    examples = Examples(Schema("numeric", text=True), texts.x, texts.y * 100.0)
    trainer = TextTrainer(encoder, epochs=30)
    trainer.fit(examples)
    assert np.corrcoef(trainer.predict(examples.x), examples.y)[0, 1] > 0.8
