"""Every trainer keeps to the rules, and check_trainer finds those that do not."""

import hashlib
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from made_trainers import all_trainers, further, hashes, mean, the_mean, written

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle import Epoch, Schema, Trainer, TrainerFault, check_trainer, parameters
from fairlead.lifecycle.conformance import trained
from fairlead.lifecycle.failures import TooFewExamplesError, TrainingError
from fairlead.lifecycle.trainers import FunctionTrainer, TorchTrainer
from fairlead.lifecycle.trainers.base import check_fit, fitted, probabilities


@pytest.mark.parametrize("kind", ["sklearn", "river", "torch", "functions", "text", "tuned"])
def test_every_adapter_keeps_to_the_rules(kind, encoder, request):
    trainer, learned = all_trainers(encoder)[kind]
    examples = request.getfixturevalue({"text": "texts"}.get(learned, learned))
    check_trainer(trainer, examples, process=False)
    assert isinstance(trainer, Trainer)
    json.dumps(parameters(trainer), allow_nan=False)


@pytest.mark.parametrize(
    "trainer",
    [
        FunctionTrainer(mean, the_mean, partial_fit=further),
        FunctionTrainer(mean, the_mean),
        TorchTrainer(options={"hidden": []}, epochs=2, batch=7, optimizer="sgd", lr=0.1),
    ],
)
def test_numbers_too(trainer, numeric):
    check_trainer(trainer, numeric, process=False)


PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from made_trainers import hashes
print(*hashes(*map(Path, sys.argv[2:5]), int(sys.argv[5])))
"""


def test_another_process_comes_to_the_same_bytes_from_the_same_range_of_a_journal(encoder, tmp_path):
    """With another order of sets, another number of threads, and its own addresses in memory."""
    desk = tmp_path / "desk"
    last = written(desk)
    args = [Path(__file__).parent, desk, encoder, tmp_path / "there", last]
    mine = os.environ.get("PYTHONHASHSEED", "")
    settings = {**os.environ, "PYTHONHASHSEED": "2" if mine == "1" else "1", "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-c", PROGRAM, *map(str, args)]
    process = subprocess.Popen(command, env=settings, stdout=subprocess.PIPE, text=True)
    here = hashes(desk, encoder, tmp_path / "here", last)
    there = process.communicate(timeout=300)[0].split()
    assert process.returncode == 0
    assert there == here
    assert len(set(here)) == 12  # of six trainers, fitted and gone on: none is as another


def test_nothing_is_imported_before_it_is_needed():
    program = """
import sys
import fairlead as fl
fl.trainers, fl.Schema, fl.read_examples, fl.lifecycle.Stopped
print([name for name in ("torch", "sklearn", "river", "skops", "safetensors", "pandas") if name in sys.modules])
sys.modules["skops"] = None
try:
    fl.trainers.SklearnTrainer
except ModuleNotFoundError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100)
    assert done.stdout.splitlines() == ["[]", "SklearnTrainer needs skops: pip install 'fairlead[lifecycle]'"], (
        done.stderr
    )


class Bad:
    """A trainer that breaks one rule."""

    format = "json"

    def __init__(self, rule=""):
        self.rule = rule
        self.schema = None
        self.rate = None

    def fresh(self):
        return self if self.rule == "fresh" else Bad(self.rule)

    def fit(self, examples, *, seed=0, report=lambda epoch: None):
        if self.rule != "one class":
            check_fit(examples)
        elif len(examples) < 2:
            raise TooFewExamplesError("none")
        if self.rule == "keeps" and self.rate is not None:
            self.rate += 0.01
        else:
            self.rate = float(examples.y.mean())
        if self.rule == "chance":
            self.rate += np.random.default_rng().random() * 1e-9
        if self.rule == "global":
            np.random.seed(seed)
        self.schema = examples.schema
        self._say(report)

    def _say(self, report):
        if self.rule == "swallows":
            try:
                report(Epoch(1, 1, 0.5))
            except Exception:
                return
        else:
            report(Epoch(0 if self.rule == "epochs" else 1, 1, float("nan") if self.rule == "nan" else 0.5))
        if self.rule == "one more":
            report(Epoch(2, 2, 0.5))

    def partial_fit(self, examples, *, seed=0, report=lambda epoch: None):
        if self.schema is None:
            return self.fit(examples, seed=seed, report=report)
        check_fit(examples, least=1, schema=None if self.rule == "schema" else self.schema)
        self.rate = 0.5 * (self.rate + float(examples.y.mean()))
        self._say(report)

    def predict(self, x):
        if self.rule != "unfitted":
            fitted(self.schema)
        n = len(self.schema.check_x(x)) if self.schema is not None and self.rule != "width" else len(x)
        if self.rule == "counts":
            self.rate += 1e-9
        rate = self.rate or 0.5
        if self.rule == "sums":
            return np.full((n, 2), rate)
        if self.rule == "shape":
            return np.full(n, rate)
        return np.tile([1.0 - rate, rate], (n, 1))

    def save(self, path):
        schema = fitted(self.schema)
        facts = {"rate": self.rate, "schema": schema.to_dict()}
        path = Path(path)
        if self.rule == "pickle":
            path.write_bytes(pickle.dumps(facts))
        else:
            path.write_text(json.dumps(facts))
        if self.rule == "litter":
            path.with_suffix(".also").write_text("")

    def load(self, path):
        if self.rule == "empties":
            self.rate = 0.5
        try:
            data = Path(path).read_bytes()
            facts = pickle.loads(data) if self.rule == "pickle" else json.loads(data)
        except Exception as error:
            if self.rule == "raises":
                raise
            raise TrainingError("no model") from error
        self.rate = round(facts["rate"], 2) if self.rule == "rounds" else facts["rate"]
        self.schema = Schema.from_dict(facts["schema"])

    def __reduce__(self):
        if self.rule == "crosses":
            raise TypeError("cannot")
        return Bad, (self.rule,)


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        ("fresh", "fresh.. must give another trainer"),
        ("unfitted", "it predicts before it was fitted"),
        ("shape", "it predicts a .120,., must be .120, 2."),
        ("sums", "do not sum to 1"),
        ("pickle", "looks like a pickle"),
        ("litter", "leaves more than its file behind: model.also"),
        ("keeps", "fit must begin from nothing"),
        ("chance", "the same examples and seed give another file"),
        ("rounds", "loaded, it predicts something else"),
        ("raises", "it loads nothing, or raises JSONDecodeError"),
        ("empties", "what it refused has changed it"),
        ("schema", "partial_fit takes examples of another schema"),
        ("width", "a column too many"),
        ("one class", "one class alone"),
        ("epochs", "epochs are reported as .0."),
        ("one more", "must be 1, 2|are reported, as of"),
        ("nan", "must raise NanLossError"),
        ("counts", "the same examples and seed give another file"),
        ("swallows", "Stopped does not come through"),
        ("crosses", "cannot cross to another process"),
        ("global", "changes the random state"),
    ],
)
def test_a_trainer_that_breaks_a_rule_is_told_which(rule, fault, binary):
    with pytest.raises((TrainerFault, TrainingError), match=fault):
        check_trainer(Bad(rule), binary, process=False)


def test_the_same_trainer_without_a_fault_is_fine(binary):
    check_trainer(Bad(), binary, process=False)


def test_what_is_no_trainer_is_refused(binary):
    with pytest.raises(InvalidRecordError, match="which lacks format, schema, fresh, fit"):
        check_trainer(object(), binary)
    with pytest.raises(InvalidRecordError, match="10 Examples or more"):
        check_trainer(Bad(), binary[:5])


def test_a_digest_is_of_the_file(binary, tmp_path):
    found = trained(Bad(), binary, 0, str(tmp_path / "m"))
    assert found == hashlib.sha256((tmp_path / "m").read_bytes()).hexdigest()


def test_what_a_model_says_is_checked(binary):
    schema = binary.schema
    assert probabilities(schema, [0.25, 1.0]).tolist() == [[0.75, 0.25], [0.0, 1.0]]
    assert probabilities(schema, [[2.0, 6.0], [0.0, 0.0]]).tolist() == [[0.25, 0.75], [0.5, 0.5]]
    for bad, named in (([[0.1, 0.2, 0.7]], "shape"), ([[-0.5, 1.5]], "probability of -0.5"), ([[np.nan, 1.0]], "NaN")):
        with pytest.raises(TrainingError, match=named):
            probabilities(schema, bad)
