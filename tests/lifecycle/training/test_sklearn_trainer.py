import io
import json
import zipfile

import numpy as np
import pytest
import skops.io
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle import (
    Examples,
    NanLossError,
    Schema,
    SchemaError,
    TooFewExamplesError,
    TrainingError,
    check_trainer,
)
from fairlead.lifecycle.registry.errors import UntrustedTypeError
from fairlead.lifecycle.trainers import SklearnTrainer
from fairlead.lifecycle.trainers.sklearn import _of_sklearn


class Wrapped(ClassifierMixin, BaseEstimator):
    """An estimator of one's own, whose type scikit-learn does not know."""

    def fit(self, x, y):
        self.classes_ = np.unique(y)
        self.inner_ = GaussianNB().fit(x, y)
        return self

    def predict_proba(self, x):
        return self.inner_.predict_proba(x)


class Other(Wrapped):
    pass


@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(StandardScaler(), SGDClassifier(loss="log_loss")),
        MLPClassifier((4,), max_iter=5),
        KNeighborsClassifier(algorithm="kd_tree"),
        LinearSVC(),
        DecisionTreeClassifier(),
        Wrapped(),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_estimators_of_all_kinds_keep_to_the_rules(estimator, categorical):
    check_trainer(SklearnTrainer(estimator), categorical, process=False)


def test_numbers_and_texts(numeric, texts):
    check_trainer(SklearnTrainer(Ridge()), numeric, process=False)
    check_trainer(SklearnTrainer(make_pipeline(TfidfVectorizer(), LogisticRegression())), texts, process=False)


def test_the_estimator_itself_is_never_fitted(binary):
    estimator = SGDClassifier(loss="log_loss")
    trainer = SklearnTrainer(estimator)
    trainer.fit(binary, seed=3)
    assert not hasattr(estimator, "coef_")
    assert not hasattr(trainer.estimator, "coef_")
    assert trainer.fitted.get_params()["random_state"] == 3
    given = SklearnTrainer(SGDClassifier(loss="log_loss", random_state=9))
    given.fit(binary, seed=3)
    assert given.fitted.random_state == 9


def test_the_file_is_one_of_skops_that_anybody_can_read(binary, tmp_path):
    trainer = SklearnTrainer(LogisticRegression())
    trainer.fit(binary)
    trainer.save(tmp_path / "m.skops")
    model = skops.io.load(tmp_path / "m.skops")
    assert np.array_equal(model.predict_proba(binary.x), trainer.predict(binary.x))
    assert json.loads(model.fairlead_["schema"])["features"] == ["a", "b", "c"]
    assert not hasattr(trainer.fitted, "fairlead_")
    names = zipfile.ZipFile(tmp_path / "m.skops").infolist()
    assert {info.date_time for info in names} == {(1980, 1, 1, 0, 0, 0)}


def test_a_type_that_nobody_trusts_is_refused(binary, tmp_path):
    trainer = SklearnTrainer(Wrapped())
    trainer.fit(binary)
    trainer.save(tmp_path / "m")
    stranger = SklearnTrainer(GaussianNB())
    name = f"{Wrapped.__module__}.Wrapped"
    with pytest.raises(UntrustedTypeError, match="holds types that are not trusted") as error:
        stranger.load(tmp_path / "m")
    assert error.value.types == (name,)
    assert stranger.schema is None
    with pytest.raises(SchemaError, match="holds a Wrapped, must be a GaussianNB"):
        SklearnTrainer(GaussianNB(), trusted=[name]).load(tmp_path / "m")


def test_a_function_of_sklearn_that_runs_what_it_is_given_is_not_trusted(binary, tmp_path):
    from functools import partial

    from sklearn.preprocessing import FunctionTransformer
    from sklearn.utils._testing import assert_run_python_script_without_output as run

    trainer = SklearnTrainer(make_pipeline(FunctionTransformer(), GaussianNB()))
    trainer.fit(binary)
    trainer.fitted.steps[0][1].func = partial(run, "print('it ran')")
    trainer.save(tmp_path / "m")
    with pytest.raises(UntrustedTypeError, match="assert_run_python_script"):
        trainer.fresh().load(tmp_path / "m")


def test_what_a_module_of_sklearn_only_uses_is_not_of_sklearn():
    assert _of_sklearn("sklearn.naive_bayes.GaussianNB")
    for name in ("sklearn.model_selection._search.partial", "sklearn.ensemble._forest.Parallel", "sklearn.pipeline.os"):
        assert not _of_sklearn(name)


def test_a_plain_file_of_skops_is_none_of_a_trainer(binary, tmp_path):
    skops.io.dump(LogisticRegression().fit(binary.x, binary.y), tmp_path / "m")
    with pytest.raises(TrainingError, match="a LogisticRegression that no SklearnTrainer has saved"):
        SklearnTrainer(LogisticRegression()).load(tmp_path / "m")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("schema.json", '{"__loader__": "Nonsense"}')
    (tmp_path / "m").write_bytes(buffer.getvalue())
    with pytest.raises(TrainingError, match="no model of skops"):
        SklearnTrainer(LogisticRegression()).load(tmp_path / "m")


def halves(binary):
    """What is below 0 in the second column, and what is above: other places, the same rule."""
    return binary[binary.x[:, 1] < 0], binary[binary.x[:, 1] >= 0]


def test_going_on_keeps_what_is_known(binary, tmp_path):
    left, right = halves(binary)
    for estimator in (GaussianNB(), make_pipeline(StandardScaler(), SGDClassifier(loss="log_loss"))):
        trainer = SklearnTrainer(estimator, passes=2)
        trainer.fit(left)
        before = trainer.fitted
        epochs = []
        trainer.partial_fit(right, report=epochs.append)
        assert trainer.fitted is not before
        assert [(epoch.number, epoch.of) for epoch in epochs] == [(1, 2), (2, 2)]
    naive = SklearnTrainer(GaussianNB())
    naive.fit(left)
    naive.partial_fit(right)
    assert np.allclose(naive.predict(binary.x), GaussianNB().fit(binary.x, binary.y).predict_proba(binary.x))


def test_an_estimator_that_cannot_go_on_is_fitted_to_old_and_new_together(binary, tmp_path):
    left, right = halves(binary)
    trainer = SklearnTrainer(LogisticRegression())
    trainer.fit(left)
    trainer.save(tmp_path / "m")
    trainer = trainer.fresh()
    trainer.load(tmp_path / "m")  # the kept examples are in the file
    trainer.partial_fit(right)
    both = left + right
    whole = LogisticRegression(random_state=0).fit(both.x, both.y)
    assert np.array_equal(trainer.fitted.coef_, whole.coef_)
    forgetful = SklearnTrainer(LogisticRegression(), replay=0)
    forgetful.fit(left)
    forgetful.partial_fit(right)
    assert np.array_equal(forgetful.fitted.coef_, LogisticRegression(random_state=0).fit(right.x, right.y).coef_)
    few = SklearnTrainer(LogisticRegression(), replay=10)
    for _ in range(3):
        few.partial_fit(binary)
    assert len(few._kept) == 10
    assert few._kept.seen == 360


@pytest.mark.parametrize("replay", [0, 1, 10, 50])
def test_a_trainer_that_keeps_less_loads_what_one_that_kept_more_has_saved(binary, tmp_path, replay):
    more = SklearnTrainer(LogisticRegression(), replay=50)
    more.fit(binary)
    more.save(tmp_path / "m")
    less = [SklearnTrainer(LogisticRegression(), replay=replay) for _ in range(2)]
    for trainer in less:
        trainer.load(tmp_path / "m")
        assert (len(trainer._kept), trainer._kept.seen) == (replay, 120)
        trainer.partial_fit(binary.last(20), seed=1)
        assert (len(trainer._kept), trainer._kept.seen) == (replay, 140 if replay else 120)
        trainer.save(tmp_path / f"{id(trainer)}")
    assert len({(tmp_path / f"{id(trainer)}").read_bytes() for trainer in less}) == 1


def test_a_class_that_no_example_had(categorical):
    two = categorical[categorical.y < 2]
    third = categorical[categorical.y == 2]
    for estimator in (GaussianNB(), LogisticRegression()):
        trainer = SklearnTrainer(estimator)
        trainer.fit(two)
        assert trainer.predict(categorical.x).shape == (120, 3)
        assert (trainer.predict(categorical.x)[:, 2] == 0.0).all()
        if isinstance(estimator, GaussianNB):
            with pytest.raises(TrainingError, match="without any example of 'high': it needs a full fit"):
                trainer.partial_fit(third)
        else:
            trainer.partial_fit(third)
            assert trainer.predict(third.x)[:, 2].mean() > 0.8


def test_clear_errors(binary, numeric, categorical):
    for bad in (LogisticRegression, 5, StandardScaler(), object()):
        with pytest.raises(InvalidRecordError, match="estimator is"):
            SklearnTrainer(bad)
    with pytest.raises(SchemaError, match="the labels are numbers, but LogisticRegression is a classifier"):
        SklearnTrainer(LogisticRegression()).fit(numeric)
    with pytest.raises(SchemaError, match="the labels are classes, but Ridge is a regressor"):
        SklearnTrainer(Ridge()).fit(binary)
    with pytest.raises(TooFewExamplesError, match="there are 1 examples, it takes 2"):
        SklearnTrainer(GaussianNB()).fit(binary[:1])
    trainer = SklearnTrainer(GaussianNB())
    trainer.fit(binary)
    with pytest.raises(SchemaError, match="kind: binary became categorical"):
        trainer.partial_fit(categorical)
    for seed in (-1, 2**32, 1.5, True):
        with pytest.raises(InvalidRecordError, match="seed is"):
            trainer.fit(binary, seed=seed)


class Hopeless(LinearRegression):
    def predict(self, x):
        return np.full(len(x), np.nan)


def test_a_model_that_predicts_nan_is_refused(numeric):
    trainer = SklearnTrainer(Hopeless())
    with pytest.raises(NanLossError, match="predicts NaN"):
        trainer.fit(numeric)
    assert trainer.schema is None


def test_numpy_random_state_is_seeded_for_estimators_that_ask_it(binary, tmp_path):
    class_weight = RandomForestClassifier(3, max_samples=0.5)
    files = []
    for chance in (1, 2):
        np.random.seed(chance)
        trainer = SklearnTrainer(class_weight)
        trainer.fit(binary, seed=4)
        trainer.save(tmp_path / "m")
        files.append((tmp_path / "m").read_bytes())
    assert files[0] == files[1]


def test_examples_are_a_fair_sample():
    from fairlead.lifecycle import Schema
    from fairlead.lifecycle.trainers.base import Replay

    schema = Schema("numeric", ["a"])
    counts = np.zeros(40)
    for seed in range(400):
        kept = Replay(10)
        for start in (0, 7, 30):
            stop = {0: 7, 7: 30, 30: 40}[start]
            kept.add(Examples(schema, [[n] for n in range(start, stop)], range(start, stop)), seed)
        assert len(kept) == 10
        counts[[int(y) for y in kept.y]] += 1
    assert kept.seen == 40
    assert abs(counts / 400 - 0.25).max() < 0.09  # 4 standard deviations


def test_a_pipeline_with_an_imputer_comes_back(tmp_path):
    x = np.array([[1.0, np.nan], [2.0, 3.0], [np.nan, 4.0], [5.0, 6.0]] * 10)
    examples = Examples(Schema("binary", ("a", "b"), missing=True), x, [0, 0, 1, 1] * 10)
    trainer = SklearnTrainer(make_pipeline(SimpleImputer(), GaussianNB()))
    trainer.fit(examples)
    trainer.save(tmp_path / "m")
    again = trainer.fresh()
    again.load(tmp_path / "m")
    assert np.array_equal(again.predict(x), trainer.predict(x))
