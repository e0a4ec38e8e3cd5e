"""The six classifiers of the first act: how they learn, and what they answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fairlead.demo.sensor import FAULT_AT, TRAINED, broken, centred, load, moved

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Cast:
    """What is fixed before the stream begins. answers[model][image] holds ten probabilities.

    read: what a model answers to more images.
    """

    sees: dict[str, str]
    answers: dict[str, list[list[float]]]
    digits: list[int]
    pictures: tuple[tuple[float, ...], ...]
    read: Callable[[str, NDArray[np.float64]], list[list[float]]]


def prepare(seed: int) -> Cast:
    """Trains the classifiers on the early images and lets them read the later ones, half of them through the fault."""
    images, digits = load()
    import numpy as np
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.svm import SVC
    from threadpoolctl import threadpool_limits  # scikit-learn brings it

    rng = np.random.default_rng(seed)
    early, later = images[:TRAINED], images[TRAINED:]
    seen = np.concatenate([later[:FAULT_AT], broken(later[FAULT_AT:], rng)])
    # One model expects a careless sensor: it also learned from noisy copies moved up, down, left and right.
    moves = 3 * ((0, 1), (0, -1), (1, 0), (-1, 0))
    jittered = np.concatenate([early, *(moved(early, down, right, 0.12, rng) for down, right in moves)])

    svm = CalibratedClassifierCV(SVC(C=10), method="isotonic", ensemble=False)
    network = MLPClassifier(96, alpha=0.3, learning_rate_init=0.002, tol=0.001, n_iter_no_change=3, random_state=seed)
    classifiers: dict[str, tuple[str, Any, NDArray[np.float64]]] = {
        "neighbours": ("raw pixels", KNeighborsClassifier(8, weights="distance"), early),
        "discriminant": ("raw pixels", LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"), early),
        "logistic": ("raw pixels", LogisticRegression(C=100, max_iter=1000), early),
        "svm": ("raw pixels", svm, early),
        "network": ("raw, jittered", network, jittered),
        "forest": ("centred ink", RandomForestClassifier(100, random_state=seed), centred(early)),
    }

    def read(name: str, shown: NDArray[np.float64]) -> list[list[float]]:
        sees, classifier, _ = classifiers[name]
        pixels = centred(shown) if sees == "centred ink" else shown
        with threadpool_limits(1):  # the matrices are so small that threads would only wait for one another
            answers: list[list[float]] = classifier.predict_proba(pixels.reshape(len(pixels), -1)).tolist()
        return answers

    with threadpool_limits(1):
        for _, classifier, learned in classifiers.values():
            classifier.fit(learned.reshape(len(learned), -1), np.resize(digits[:TRAINED], len(learned)))
    pictures = [sensor[i].ravel().tolist() for i in (FAULT_AT, FAULT_AT + 1) for sensor in (later, seen)]
    return Cast(
        sees={name: entry[0] for name, entry in classifiers.items()},
        answers={name: read(name, seen) for name in classifiers},
        digits=digits[TRAINED:].tolist(),
        pictures=tuple(map(tuple, pictures)),
        read=read,
    )
