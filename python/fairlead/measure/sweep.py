"""Elo with many sets of parameters at once, to read off which of them predict best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairlead._core import sweep as _sweep


@dataclass(frozen=True)
class SweepResult:
    """What `sweep` found, for each set of parameters. All arrays but the ratings have the shape S of the sets.

    log_loss: mean of -(s ln p + (1 - s) ln(1 - p)), p being the expected score before a match and s the score after it;
    brier: mean of (s - p)^2. Lower is better in both; NaN where no match was scored. ratings: float64 of shape
    (*S, players), after the last match. names: of the players, where names were given.
    """

    k: NDArray[np.float64]
    scale: NDArray[np.float64]
    home: NDArray[np.float64]
    start: NDArray[np.float64]
    log_loss: NDArray[np.float64]
    brier: NDArray[np.float64]
    ratings: NDArray[np.float64]
    names: list[str] | None = None

    @property
    def best(self) -> dict[str, float]:
        """The parameters of the smallest log-loss, for `Elo(**best)`.

        Raises ValueError where there is no set, or no match was scored.
        """
        if not np.isfinite(self.log_loss).any():
            raise ValueError("no match was scored, so no set of parameters is the best")
        at = np.unravel_index(np.nanargmin(self.log_loss), self.log_loss.shape)
        return {name: float(getattr(self, name)[at]) for name in ("k", "scale", "home", "start")}

    def as_dict(self) -> dict[str, NDArray[np.float64]]:
        """The sets as columns, one row each: a plain dict for pandas.DataFrame or polars.DataFrame."""
        columns = ("k", "scale", "home", "start", "log_loss", "brier")
        return {name: np.ravel(getattr(self, name)) for name in columns}

    def __str__(self) -> str:
        columns = self.as_dict()
        order = np.argsort(columns["log_loss"], kind="stable")
        lines = ["".join(f"{name:>10}" for name in columns)]
        lines += ["".join(f"{columns[name][row]:>10.6g}" for name in columns) for row in order[:10]]
        if len(order) > 10:
            lines.append(f"... and {len(order) - 10} more")
        return "\n".join(lines)


def sweep(
    i: Any,
    j: Any,
    score: ArrayLike,
    *,
    k: ArrayLike = 32.0,
    scale: ArrayLike = 400.0,
    home: ArrayLike = 0.0,
    start: ArrayLike = 1500.0,
    weight: ArrayLike | None = None,
    players: int | None = None,
    skip: int = 0,
) -> SweepResult:
    """Rate the same matches with many sets of Elo parameters side by side, and score what each expected beforehand.

    i, j: columns of shape (n,), as `Elo.update_many` takes them: ids from 0 on, or names. score: of shape (n,), or to
    rate many fleets that play the same pairs, (n, fleets). k, scale, home, start: as of `Elo`; numbers or arrays,
    broadcast against each other (and against the fleets) to the shape S of the sets: `k=[16, 32]` are two sets,
    `k=np.array([[16], [32]]), scale=[300, 400]` a grid of four. weight: of shape (n,), scales K. players: how many
    there are, if not told by the names or the largest id. skip: how many matches at the beginning are rated, but not
    scored.

    Each set gives the ratings of an Elo of its own within 1e-9; the same bits on every instruction set. Odds are taken
    no further than 2^250. A match counts once in the losses, whatever its weight. Raises ValueError for parameters out
    of the range that `Elo` has, ids that are negative or not below players, i == j, a score outside [0, 1], a weight
    outside [0, 1e6], a negative skip or shapes that do not fit, TypeError for what are no numbers.

    >>> import numpy as np
    >>> from fairlead import sweep
    >>> found = sweep(["a", "b", "a"], ["b", "c", "c"], [1, 1, 0.5], k=[8.0, 16.0, 32.0])
    >>> found.log_loss.shape, found.ratings.shape
    ((3,), (3, 3))
    >>> found.best["k"]
    8.0
    """
    parameters = [np.asarray(x) for x in (k, scale, home, start)]
    for name, given in zip(("k", "scale", "home", "start"), parameters, strict=True):
        if given.dtype.kind not in "iuf":
            raise TypeError(f"{name} has dtype {given.dtype}, must be real numbers")
    scores = np.asarray(score)
    fleets = (scores.shape[1],) if scores.ndim == 2 else ()
    try:
        shape = np.broadcast_shapes(*(given.shape for given in parameters), fleets)
    except ValueError:
        shapes = ", ".join(str(given.shape) for given in parameters)
        raise ValueError(f"k, scale, home and start have the shapes {shapes}, which do not broadcast") from None
    if fleets and shape[-1] != fleets[0]:
        raise ValueError(f"score has shape {scores.shape}, but the parameters have shape {shape}")
    sets = [np.ascontiguousarray(np.broadcast_to(given, shape), np.float64) for given in parameters]
    if fleets:
        scores = np.broadcast_to(scores.reshape(-1, *(1,) * (len(shape) - 1), *fleets), (len(scores), *shape))
        scores = np.ascontiguousarray(scores).reshape(len(scores), -1)
    if players is not None and players < 0:
        raise ValueError(f"players is {players}, must not be negative")
    ks, scales, homes, starts = sets
    ratings, log_loss, brier, names = _sweep(
        i,
        j,
        scores,
        ks.ravel(),
        scales.ravel(),
        homes.ravel(),
        starts.ravel(),
        weight,
        -1 if players is None else players,
        skip,
    )
    return SweepResult(
        k=ks,
        scale=scales,
        home=homes,
        start=starts,
        log_loss=log_loss.reshape(shape),
        brier=brier.reshape(shape),
        ratings=ratings.reshape(*shape, ratings.shape[-1]),
        names=names,
    )
