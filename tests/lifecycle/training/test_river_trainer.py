import json

import numpy as np
import pytest
from river import (
    drift,
    ensemble,
    feature_extraction,
    linear_model,
    naive_bayes,
    neighbors,
    optim,
    preprocessing,
    rules,
    tree,
)

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle import Examples, Schema, SchemaError, TrainingError, check_trainer
from fairlead.lifecycle.trainers import RiverTrainer


@pytest.mark.parametrize(
    "model",
    [
        preprocessing.StandardScaler() | linear_model.LogisticRegression(optimizer=optim.Adam()),
        tree.HoeffdingAdaptiveTreeClassifier(grace_period=10),
        naive_bayes.GaussianNB(),
        neighbors.KNNClassifier(engine=neighbors.LazySearch(window_size=30)),
        ensemble.ADWINBaggingClassifier(tree.HoeffdingTreeClassifier(grace_period=10), 2),
    ],
    ids=lambda model: type(model).__name__,
)
def test_classifiers_keep_to_the_rules(model, binary):
    check_trainer(RiverTrainer(model), binary, process=False)


def test_numbers_and_texts(numeric, texts):
    scaled = preprocessing.StandardScaler() | linear_model.LinearRegression()
    check_trainer(RiverTrainer(scaled, passes=2), numeric, process=False)
    check_trainer(RiverTrainer(feature_extraction.BagOfWords() | naive_bayes.MultinomialNB()), texts, process=False)


def test_it_is_what_river_does(binary):
    trainer = RiverTrainer(preprocessing.StandardScaler() | linear_model.LogisticRegression())
    losses = []
    trainer.fit(binary, report=lambda epoch: losses.append(epoch.loss))
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    loss = 0.0
    for row, y in zip(binary.x.tolist(), binary.y.tolist(), strict=True):
        row = dict(zip("abc", row, strict=True))
        loss -= np.log(model.predict_proba_one(row)[bool(y)])
        model.learn_one(row, bool(y))
    said = [model.predict_proba_one(dict(zip("abc", row, strict=True)))[True] for row in binary.x.tolist()]
    assert np.allclose(trainer.predict(binary.x)[:, 1], said, rtol=0, atol=1e-15)
    assert losses == [pytest.approx(loss / 120)]


def test_missing_values_are_left_out():
    schema = Schema("binary", ["a", "b"], missing=True)
    x = np.random.default_rng(0).normal(size=(80, 2))
    x[::3, 1] = np.nan
    trainer = RiverTrainer(naive_bayes.GaussianNB())
    trainer.fit(Examples(schema, x, x[:, 0] > 0))
    assert np.isfinite(trainer.predict(x)).all()


def test_what_cannot_be_saved_is_refused_by_its_place(numeric, binary, tmp_path):
    trainer = RiverTrainer(rules.AMRules())  # whose drift detectors go by hash(rule)
    x = np.random.default_rng(0).normal(size=(400, 3))
    trainer.fit(Examples(numeric.schema, x, 2.0 * x[:, 0]))
    with pytest.raises(TrainingError, match="_rules is by the address in memory of a RegRule"):
        trainer.save(tmp_path / "m")
    trainer = RiverTrainer(preprocessing.StandardScaler() | naive_bayes.GaussianNB())
    trainer.fit(binary)
    trainer.fitted.steps["StandardScaler"].extra = lambda x: x
    with pytest.raises(TrainingError, match=r"steps\['StandardScaler'\].extra is"):
        trainer.save(tmp_path / "m")
    assert not list(tmp_path.iterdir())


def test_a_file_of_another_model_or_of_strange_types_is_refused(binary, tmp_path):
    trainer = RiverTrainer(naive_bayes.GaussianNB())
    trainer.fit(binary)
    trainer.save(tmp_path / "m")
    with pytest.raises(SchemaError, match="holds a GaussianNB, must be a HoeffdingTreeClassifier"):
        RiverTrainer(tree.HoeffdingTreeClassifier()).load(tmp_path / "m")
    facts = json.loads((tmp_path / "m").read_text())
    for strange in ("subprocess:Popen", "river.datasets.phishing:Phishing", "builtins:eval", "river.tree:nothing"):
        facts["model"] = {"at": 0, "object": strange, "new": False, "given": [["touch", "/tmp/x"]]}
        (tmp_path / "bad").write_text(json.dumps(facts))
        with pytest.raises(TrainingError, match="cannot be read"):
            trainer.load(tmp_path / "bad")
    facts["trainer"] = "other"
    (tmp_path / "bad").write_text(json.dumps(facts))
    with pytest.raises(TrainingError, match="was saved by the trainer 'other'"):
        trainer.load(tmp_path / "bad")


def test_clear_errors(binary, numeric):
    for bad in (naive_bayes.GaussianNB, 5, preprocessing.StandardScaler(), drift.ADWIN()):
        with pytest.raises(InvalidRecordError, match="model is"):
            RiverTrainer(bad)
    scaled = preprocessing.StandardScaler() | linear_model.LinearRegression()
    with pytest.raises(SchemaError, match="labels are classes, but LinearRegression"):
        RiverTrainer(scaled).fit(binary)
    with pytest.raises(SchemaError, match="labels are numbers, but GaussianNB"):
        RiverTrainer(naive_bayes.GaussianNB()).fit(numeric)
