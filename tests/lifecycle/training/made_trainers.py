"""One trainer of each kind, and examples that they learn from in a moment."""

from __future__ import annotations

import hashlib

import numpy as np

import fairlead as fl
from fairlead.lifecycle import Examples, Schema
from fairlead.lifecycle.conformance import trained
from fairlead.lifecycle.trainers import FunctionTrainer, RiverTrainer, SklearnTrainer, TextTrainer, TorchTrainer

FEATURES = ["a", "b", "c"]


def made(kind, n=120, seed=0):
    x = np.random.default_rng(seed).normal(size=(n, 3))
    if kind == "numeric":
        return Examples(Schema("numeric", FEATURES), x, 2.0 * x[:, 0] + 5.0)
    if kind == "categorical":
        return Examples(Schema("categorical", FEATURES, ["low", "mid", "high"]), x, np.digitize(x[:, 0], [-0.5, 0.5]))
    if kind == "text":
        texts = [f"profits {'rise' if v > 0 else 'fall'} by {abs(v):.1f}" for v in x[:, 0]]
        return Examples(Schema("binary", text=True), texts, x[:, 0] > 0)
    return Examples(Schema("binary", FEATURES), x, x[:, 0] > 0)


def nearest(x, y, seed, schema):
    return {"means": np.stack([x[y == k].mean(axis=0) if (y == k).any() else x[0] for k in range(schema.classes)])}


def how_near(state, x):
    return np.exp(-((x[:, None, :] - state["means"]) ** 2).sum(axis=2))


def mean(x, y, seed):
    return {"mean": y.mean(), "n": len(y), "words": ["kept", None, {"as": 1.5}]}


def further(state, x, y, seed):
    n = state["n"] + len(y)
    return {"mean": state["mean"] + (y.mean() - state["mean"]) * len(y) / n, "n": n}


def the_mean(state, x):
    return np.full(len(x), state["mean"])


def sklearn_model():
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return SklearnTrainer(make_pipeline(StandardScaler(), RandomForestClassifier(5)))


def river_model():
    from river import forest, preprocessing

    return RiverTrainer(preprocessing.StandardScaler() | forest.ARFClassifier(2, grace_period=10))


def torch_model():
    return TorchTrainer(options={"hidden": [8], "dropout": 0.2}, epochs=3)


def all_trainers(encoder):
    """One of each kind, and what it learns from."""
    return {
        "sklearn": (sklearn_model(), "categorical"),
        "river": (river_model(), "categorical"),
        "torch": (torch_model(), "categorical"),
        "functions": (FunctionTrainer(nearest, how_near), "categorical"),
        "text": (TextTrainer(encoder, epochs=2), "text"),
        "tuned": (TextTrainer(encoder, epochs=2, frozen=False, lr=1e-3), "text"),
    }


def written(folder, kinds=("categorical", "text")):
    """A journal with what there is to learn, and the last event of it."""
    with fl.Journal(folder) as journal:
        for kind in kinds:
            for n, (x, y) in enumerate(zip(list(made(kind).x), made(kind).y.tolist(), strict=True)):
                x = x if kind == "text" else x.tolist()
                journal.append("input", {"task": f"{kind}-{n}", "x": x}, model=kind, time=n)
                last = journal.append("label", {"task": f"{kind}-{n}", "y": y}, model=kind, time=n)
    return last


def hashes(folder, encoder, path, last):
    """What each trainer comes to from a range of a journal, fitted and gone on."""
    out = []
    for trainer, learned in all_trainers(encoder).values():
        examples = fl.read_examples(folder, learned, schema=made(learned).schema, last=last)
        out.append(trained(trainer, examples, 11, str(path)))
        trainer.partial_fit(examples.last(20), seed=12)
        trainer.save(path)
        out.append(hashlib.sha256(path.read_bytes()).hexdigest())
    return out
