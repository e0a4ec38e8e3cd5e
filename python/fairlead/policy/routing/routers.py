"""The routers that are judged: from labelled prompts to the quality each model is expected to have on others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fairlead.policy.prompt_model import LinearPromptModel, NearestPromptModel
from fairlead.policy.routing.table import RoutingTable

__all__ = ["ROUTERS"]

_Array = np.ndarray[Any, np.dtype[np.float64]]
Router = Callable[[RoutingTable, RoutingTable], _Array]
_SHRINK = 5.0  # results that the overall mean counts as


def linear(train: RoutingTable, test: RoutingTable) -> _Array:
    """`LinearPromptModel`."""
    return LinearPromptModel.fit(train.texts, train.quality, train.models).predict_many(test.texts)


def nearest(train: RoutingTable, test: RoutingTable) -> _Array:
    """`NearestPromptModel`."""
    return NearestPromptModel.fit(train.texts, train.quality, train.models).predict_many(test.texts)


def task_type(train: RoutingTable, test: RoutingTable) -> _Array:
    """The mean of each type that `TaskClassifier` tells."""
    from fairlead.policy.task_classifier import TaskClassifier

    classifier = TaskClassifier()
    names = [[str(classifier.classify(text)) for text in table.texts] for table in (train, test)]
    return _group_means(names[0], train.quality, names[1])


def set_mean(train: RoutingTable, test: RoutingTable) -> _Array:
    """The mean of the task set, which nobody tells a router in earnest."""
    return _group_means(train.sets, train.quality, test.sets)


def length(train: RoutingTable, test: RoutingTable) -> _Array:
    """A line through the logarithm of the length."""
    x, y = (np.log1p([len(text) for text in table.texts]) for table in (train, test))
    spread = x - x.mean()
    slope = (spread @ (train.quality - train.quality.mean(axis=0))) / max(float(spread @ spread), 1e-12)
    out: _Array = train.quality.mean(axis=0) + (y - x.mean())[:, None] * slope
    return out


def random(train: RoutingTable, test: RoutingTable) -> _Array:
    """Knows nothing of the prompt."""
    return np.zeros(test.quality.shape)


def oracle(train: RoutingTable, test: RoutingTable) -> _Array:
    """Knows the answers."""
    return test.quality


ROUTERS: dict[str, Router] = {
    "linear": linear,
    "nearest": nearest,
    "task type": task_type,
    "set mean": set_mean,
    "length": length,
    "random": random,
    "oracle": oracle,
}


def _group_means(groups: Sequence[str], quality: _Array, wanted: Sequence[str]) -> _Array:
    overall = quality.mean(axis=0)
    rows: dict[str, list[int]] = {}
    for i, name in enumerate(groups):
        rows.setdefault(name, []).append(i)
    means = {name: (quality[at].sum(axis=0) + _SHRINK * overall) / (len(at) + _SHRINK) for name, at in rows.items()}
    return np.array([means.get(name, overall) for name in wanted])
