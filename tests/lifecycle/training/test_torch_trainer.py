import copy
import threading

import numpy as np
import pytest
import torch
from torch import nn

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle import Examples, Failure, NanLossError, Schema, SchemaError, Stopped, TrainingError
from fairlead.lifecycle.failures import TooFewExamplesError
from fairlead.lifecycle.trainers import Keep, TorchTrainer, mlp

SMALL = {"hidden": [8]}


def normed(schema, hidden=8):
    """With a batch norm, dropout and weights that two layers share: whatever a state can hold."""
    middle = nn.Linear(hidden, hidden)
    layers = [nn.Linear(schema.width, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), middle, nn.Dropout(0.3), middle]
    return nn.Sequential(*layers, nn.Linear(hidden, schema.classes or 1))


def saved(trainer, path):
    trainer.save(path / "weights")
    return (path / "weights").read_bytes()


@pytest.mark.parametrize("mode", ["fit", "partial_fit"])
@pytest.mark.parametrize(("optimizer", "stop"), [("adamw", 1), ("adamw", 3), ("adamw", 5), ("sgd", 3), ("adagrad", 3)])
def test_resumed_in_another_trainer_is_as_uninterrupted(mode, optimizer, stop, categorical, tmp_path):
    options = {"momentum": 0.9} if optimizer == "sgd" else None
    trainer = TorchTrainer(
        normed, epochs=5, batch=17, lr=0.01, optimizer=optimizer, optimizer_options=options, class_weights="balanced"
    )
    base = trainer.fresh()
    base.fit(categorical[:80], seed=1)
    base.save(tmp_path / "base")

    def begun():
        made = trainer.fresh()
        if mode == "partial_fit":
            made.load(tmp_path / "base")
        return made, getattr(made, mode)

    whole, train = begun()
    losses = []
    train(categorical[80:], seed=2, report=lambda epoch: losses.append(epoch))
    first, train = begun()

    def report(epoch):
        first.checkpoint(tmp_path / "checkpoint")
        torch.rand(5)  # what others do with torch's random state
        if epoch.number == stop:
            raise Stopped("enough")

    with pytest.raises(Stopped):
        train(categorical[80:], seed=2, report=report)
    second, train = begun()
    second.restore(tmp_path / "checkpoint")
    rest = []
    train(categorical[80:], seed=2, report=lambda epoch: rest.append(epoch))
    assert rest == losses[stop:]
    assert saved(second, tmp_path) == saved(whole, tmp_path)
    train(categorical[80:], seed=2)  # the checkpoint counts once
    if mode == "fit":
        assert saved(second, tmp_path) == saved(whole, tmp_path)


def test_a_checkpoint_is_of_one_training(categorical, binary, tmp_path):
    trainer = TorchTrainer(mlp, SMALL, epochs=2)
    with pytest.raises(TrainingError, match="no training is under way"):
        trainer.checkpoint(tmp_path / "c")
    trainer.fit(categorical, seed=1, report=lambda epoch: trainer.checkpoint(tmp_path / "c"))
    for change, named in (
        ({"seed": 2}, "another seed: 1, now 2"),
        ({"examples": categorical[:50]}, "other examples"),
    ):
        other = trainer.fresh()
        other.restore(tmp_path / "c")
        with pytest.raises(TrainingError, match=named):
            other.fit(change.get("examples", categorical), seed=change.get("seed", 1))
    other = trainer.fresh()
    other.restore(tmp_path / "c")
    other.fit(categorical, seed=1)
    other.restore(tmp_path / "c")
    with pytest.raises(TrainingError, match="another mode"):
        other.partial_fit(categorical, seed=1)
    wider = TorchTrainer(mlp, {"hidden": [9]}, epochs=2)
    wider.restore(tmp_path / "c")
    with pytest.raises(TrainingError, match="another module or optimizer"):
        wider.fit(categorical, seed=1)
    trainer.save(tmp_path / "weights")
    with pytest.raises(TrainingError, match="saved by the trainer 'torch', not by 'torch checkpoint'"):
        trainer.restore(tmp_path / "weights")


def side(n, sign, seed):
    """Two halves of the plane with opposite labels: who learns one after the other forgets the first."""
    x = np.random.default_rng(seed).normal(size=(n, 2))
    x[:, 0] = sign * (np.abs(x[:, 0]) + 1.0)
    return Examples(Schema("binary", ["a", "b"]), x, (x[:, 1] * sign < 0))


def accuracy(trainer, examples):
    return float((trainer.predict(examples.x).argmax(axis=1) == examples.y).mean())


def test_less_is_forgotten():
    """Left half, then right half alone: how much of the left is lost, on average over three seeds."""
    lost, gained = {}, {}
    for name, keep in (
        ("nothing kept", Keep(replay=0, pull=0.0)),
        ("pulled", Keep(replay=0, pull=0.1)),
        ("replayed", Keep(pull=0.0)),
        ("both", Keep()),
    ):
        scores = []
        for seed in range(3):
            trainer = TorchTrainer(mlp, {"hidden": [32]}, epochs=12, lr=0.01, keep=keep)
            trainer.fit(side(500, -1, seed), seed=seed)
            before = accuracy(trainer, side(500, -1, seed + 20))
            trainer.partial_fit(side(300, 1, seed + 10), seed=seed)
            scores.append(
                (before - accuracy(trainer, side(500, -1, seed + 20)), accuracy(trainer, side(500, 1, seed + 30)))
            )
        lost[name], gained[name] = np.mean(scores, axis=0)
    assert lost["nothing kept"] > 0.1
    assert lost["pulled"] < 0.6 * lost["nothing kept"]
    assert lost["replayed"] < 0.03
    assert lost["both"] < 0.03
    assert gained["both"] > 0.93


def test_a_module_itself_begins_with_its_weights(binary, tmp_path):
    module = normed(binary.schema)
    before = copy.deepcopy(module.state_dict())
    trainer = TorchTrainer(module, epochs=2)
    trainer.fit(binary, seed=1)
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    first = saved(trainer, tmp_path)
    with torch.no_grad():
        module[0].weight.add_(1.0)  # nobody else's business
    trainer.fit(binary, seed=1)
    assert saved(trainer, tmp_path) == first


def one_logit(schema):
    return nn.Linear(schema.width, 1)


def test_one_score_does_for_two_classes(binary):
    trainer = TorchTrainer(one_logit, epochs=30, lr=0.1)
    trainer.fit(binary)
    assert accuracy(trainer, binary) > 0.95


def test_inputs_and_targets_are_scaled_and_the_scales_kept(numeric, tmp_path):
    shifted = Examples(numeric.schema, numeric.x * [1e6, 1e-6, 1.0] + [1e9, 0.0, -5.0], numeric.y * 1e5)
    trainer = TorchTrainer(mlp, SMALL, epochs=150, lr=0.03)
    trainer.fit(shifted)
    error = np.abs(trainer.predict(shifted.x) - shifted.y).mean()
    assert error < 0.15 * shifted.y.std()
    trainer.save(tmp_path / "w")
    other = trainer.fresh()
    other.load(tmp_path / "w")
    assert np.array_equal(other.predict(shifted.x), trainer.predict(shifted.x))
    raw = TorchTrainer(mlp, SMALL, epochs=20, lr=0.02, standardise=False)
    raw.fit(numeric)
    assert raw.predict(numeric.x).shape == (120,)


def test_a_missing_value_is_as_the_mean(binary):
    schema = Schema("binary", binary.schema.features, missing=True)
    holes = binary.x.copy()
    holes[::7, 1] = np.nan
    trainer = TorchTrainer(mlp, SMALL, epochs=5)
    trainer.fit(Examples(schema, holes, binary.y))
    row = np.array([[0.5, np.nanmean(holes[:, 1]), 0.1]])
    gone = np.array([[0.5, np.nan, 0.1]])
    assert np.allclose(trainer.predict(row), trainer.predict(gone), atol=1e-6)


def test_weights_of_classes(binary):
    rare = binary[np.flatnonzero((binary.y == 0) | (np.cumsum(binary.y) <= 6))]
    rates = {}
    for name, weights in (("plain", None), ("balanced", "balanced"), ("given", (0.0, 1.0))):
        trainer = TorchTrainer(mlp, {"hidden": []}, epochs=5, lr=0.05, class_weights=weights)
        trainer.fit(rare)
        rates[name] = trainer.predict(rare.x)[:, 1].mean()
    assert rates["plain"] < rates["balanced"] < rates["given"]
    with pytest.raises(TrainingError, match="class_weights has 3 entries, the model has 2"):
        TorchTrainer(class_weights=(1.0, 1.0, 1.0)).fit(binary)


class Poisoned(nn.Module):
    def __init__(self, width, after):
        super().__init__()
        self.layer = nn.Linear(width, 2)
        self.calls = 0
        self.after = after

    def forward(self, x):
        self.calls += self.training
        return self.layer(x) * (float("nan") if self.calls > self.after else 1.0)


def test_a_loss_that_is_no_number_is_an_error_and_leaves_all_as_it_was(binary):
    trainer = TorchTrainer(Poisoned(3, after=4), epochs=5, batch=64)
    with pytest.raises(NanLossError, match="the loss of epoch 3 is nan: a smaller lr") as error:
        trainer.fit(binary)
    assert error.value.failure is Failure.nan_loss
    assert trainer.schema is None
    good = TorchTrainer(mlp, SMALL, epochs=2)
    good.fit(binary)
    before = good.predict(binary.x)
    wild = TorchTrainer(mlp, SMALL, epochs=5, optimizer="sgd", lr=1e30, clip=0.0, keep=Keep(pull=0.0))
    with pytest.raises(NanLossError):
        wild.fit(binary)
    good._plan = wild._plan
    with pytest.raises(NanLossError):
        good.partial_fit(binary)
    assert np.array_equal(good.predict(binary.x), before)


def test_stopped_is_left_as_after_that_epoch(binary, tmp_path):
    files = []
    trainer = TorchTrainer(mlp, SMALL, epochs=6)

    def report(epoch):
        files.append(saved(trainer, tmp_path))
        if epoch.number == 4:
            raise Stopped("early")

    with pytest.raises(Stopped):
        trainer.fit(binary, report=report)
    assert len(files) == 4
    assert saved(trainer, tmp_path) == files[-1]


def test_an_error_in_a_report_leaves_all_as_it_was(binary):
    trainer = TorchTrainer(mlp, SMALL, epochs=3)
    with pytest.raises(ZeroDivisionError):
        trainer.fit(binary, report=lambda epoch: 1 / 0)
    assert trainer.schema is None


def test_what_is_global_is_set_back(binary):
    threads = torch.get_num_threads()
    state = torch.get_rng_state()
    torch.use_deterministic_algorithms(False)
    with torch.no_grad():
        TorchTrainer(normed, epochs=1).fit(binary)
        assert not torch.is_grad_enabled()
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.equal(torch.get_rng_state(), state)


def test_trainings_in_several_threads_take_turns(binary, categorical, tmp_path):
    """With dropout, so that the random state counts; and a report that waits holds nobody up."""
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    files, waits, done = [], threading.Event(), threading.Event()

    def train(number):
        trainer = TorchTrainer(normed, epochs=6, batch=16)
        if number == 0:
            trainer.fit(binary, seed=5, report=lambda epoch: epoch.number == 2 and (waits.set(), done.wait(60)))
        else:
            assert waits.wait(60)
            TorchTrainer(normed, epochs=2).fit(categorical, seed=number)
            trainer.fit(binary, seed=5)
        trainer.save(tmp_path / str(number))
        files.append((tmp_path / str(number)).read_bytes())

    others = [threading.Thread(target=train, args=(number,)) for number in range(4)]
    for thread in others:
        thread.start()
    for thread in others[1:]:
        thread.join(60)
    assert len(files) == 3
    done.set()
    others[0].join(60)
    assert len(files) == 4
    assert len(set(files)) == 1
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.get_num_threads() == threads


def test_weights_of_another_module_or_damaged_are_refused(binary, categorical, tmp_path):
    trainer = TorchTrainer(mlp, SMALL, epochs=1)
    trainer.fit(binary)
    data = saved(trainer, tmp_path)
    wider = TorchTrainer(mlp, {"hidden": [9]}, epochs=1)
    with pytest.raises(SchemaError, match=r"'0.weight' has shape \(8, 3\), must be \(9, 3\)"):
        wider.load(tmp_path / "weights")
    deep = b'{"__metadata__":' + b"[" * 100_000
    (tmp_path / "weights").write_bytes(len(deep).to_bytes(8, "little") + deep)
    with pytest.raises(TrainingError, match="no file of safetensors"):
        trainer.load(tmp_path / "weights")
    (tmp_path / "weights").write_bytes(data[:-10])
    with pytest.raises(TrainingError, match="no file of safetensors"):
        trainer.load(tmp_path / "weights")
    with pytest.raises(SchemaError, match="another schema than the model: kind: binary became categorical"):
        trainer.partial_fit(categorical)
    with pytest.raises(TooFewExamplesError, match="examples are of one class, '1'"):
        trainer.fit(binary[binary.y == 1])


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"module": 5}, "module is 5"),
        ({"module": "no.such.module:thing"}, 'must be "package.module:function"'),
        ({"module": "math:pi"}, "cannot be called"),
        ({"epochs": 0}, "epochs is 0"),
        ({"batch": 2.5}, "batch is 2.5"),
        ({"lr": 0.0}, "lr is 0.0, must be a number above 0"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"weight_decay": -1.0}, "weight_decay is -1.0"),
        ({"optimizer": "adamm"}, "did you mean 'adam"),
        ({"optimizer": "lbfgs"}, "optimizer is 'lbfgs'"),
        ({"optimizer_options": {"momentun": 0.9}, "optimizer": "sgd"}, "did you mean 'momentum'"),
        ({"optimizer_options": {"lr": 0.1}}, "optimizer_options has 'lr'"),
        ({"device": "cdua"}, "device is 'cdua'"),
        ({"class_weights": "even"}, "class_weights is 'even'"),
        ({"class_weights": [1.0, -1.0]}, "class_weights[1] is -1.0"),
        ({"keep": 3}, "keep is 3"),
        ({"threads": 0}, "threads is 0"),
    ],
)
def test_parameters_are_checked_when_they_are_given(given, named):
    with pytest.raises(InvalidRecordError) as error:
        TorchTrainer(**given)
    assert named in str(error.value)
    for bad in ({"share": 1.0}, {"replay": -1}, {"pull": -0.1}, {"epochs": 0}):
        with pytest.raises(InvalidRecordError):
            Keep(**bad)


def test_modules_that_cannot_be_trained_are_told_so(binary):
    for factory, named in (
        (lambda schema: 5, "made a int, must make a torch.nn.Module"),
        (lambda schema: nn.Identity(), "no weight that can be trained"),
        (lambda schema: nn.Linear(3, 7), r"a tensor of shape \(64, 7\), must be \(n, 2\)"),
    ):
        with pytest.raises(TrainingError, match=named):
            TorchTrainer(factory).fit(binary)
    assert TorchTrainer("fairlead.lifecycle.trainers.torch:mlp", SMALL, epochs=1).fit(binary) is None
