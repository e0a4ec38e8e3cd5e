"""How well ratings predicted the matches that they were then changed by."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray


class RatesMatches(Protocol):
    """What `evaluate_ratings` needs: `rate` of Elo and its relatives."""

    def rate(
        self,
        i: Any,
        j: Any,
        score: ArrayLike,
        weight: ArrayLike | None = None,
        time: ArrayLike | None = None,
    ) -> NDArray[np.float64]: ...


@dataclass(frozen=True)
class PredictionScore:
    """Scores of pre-match probabilities; lower is better, but for `accuracy`.

    Attributes:
        matches: How many were counted.
        log_loss: Mean of -(s ln p + (1 - s) ln(1 - p)) in nats, with p kept 1e-15 away from 0 and 1; ln 2 = 0.693 is
            what knowing nothing gives where there are no draws.
        brier: Mean of (p - s)^2; 0.25 is what knowing nothing gives where there are no draws.
        accuracy: Share of the matches with a winner whose winner was expected; p = 0.5 counts half. NaN if there
            were none.
    """

    matches: int
    log_loss: float
    brier: float
    accuracy: float

    def as_dict(self) -> dict[str, float]:
        """The fields, for a row of a DataFrame."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"{self.matches:,} matches: log-loss {self.log_loss:.4f}, Brier {self.brier:.4f}, "
            f"accuracy {self.accuracy:.1%}"
        )


def evaluate_ratings(
    ratings: RatesMatches,
    i: Any,
    j: Any,
    score: ArrayLike,
    weight: ArrayLike | None = None,
    time: ArrayLike | None = None,
    *,
    skip: int = 0,
) -> PredictionScore:
    """Predicts each match from the ratings before it, then rates it; tells how good the predictions were.

    No match leaks into its own prediction. Columns are of shape (n,), as `update_many` takes them. skip: how many
    matches at the beginning are rated but not counted, while newcomers find their place. weight scales how much a match
    moves the ratings, not how much its prediction counts.

    Raises what `rate` raises, and ValueError for a skip that leaves no match; the ratings have not changed then.
    Source: prequential evaluation, A. P. Dawid, "Statistical theory: the prequential approach" (1984).

    >>> import fairlead as fl
    >>> found = fl.evaluate_ratings(fl.Elo(k=32), ["a", "a", "a"], ["b", "b", "b"], [1.0, 1.0, 1.0])
    >>> print(found)
    3 matches: log-loss 0.6104, Brier 0.2089, accuracy 83.3%
    """
    import numpy as np

    scores = np.asarray(score, np.float64)
    if not 0 <= skip < max(scores.size, 1) or scores.size == 0:
        raise ValueError(f"skip is {skip}, must be from 0 to below the {scores.size} matches")
    expected = ratings.rate(i, j, scores, weight, time)
    p, s = expected[skip:], scores[skip:]
    near = np.clip(p, 1e-15, 1 - 1e-15)
    decided = s != 0.5
    right = np.where(p == 0.5, 0.5, (p > 0.5) == (s > 0.5))[decided]
    return PredictionScore(
        matches=int(s.size),
        log_loss=float(-(s * np.log(near) + (1 - s) * np.log1p(-near)).mean()),
        brier=float(np.square(p - s).mean()),
        accuracy=float(right.mean()) if right.size else float("nan"),
    )
