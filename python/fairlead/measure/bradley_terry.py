"""Bradley-Terry ratings of all matches at once. The fit: `cpp/include/fairlead/bradley_terry.hpp`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairlead._core import BradleyTerryFit as _Fit

_OPEN_ABOVE = ("undefeated", "above", "apart")
_OPEN_BELOW = ("winless", "below", "apart")
_STANDINGS = ("ok", "undefeated", "winless", "above", "below", "apart", "unplayed")
Interval = Literal["sandwich", "model", "bootstrap"]


@dataclass(frozen=True, slots=True)
class BradleyTerryRow:
    """One player of a fit.

    rating, error (standard error by the sandwich), model_error (by the observed information), lower and upper are on
    the scale of the fit. rank counts from 1, best first, within the component; best_rank to worst_rank are the ranks
    that are not significantly different. games and points (a draw is half) are sums of weights. status: "ok", or
    why the maximum is infinite: "undefeated", "winless", "above", "below" or "apart" (from the main group). component:
    0 is the largest; ratings of different components cannot be compared.
    """

    player: Any
    rating: float
    error: float
    model_error: float
    lower: float
    upper: float
    rank: int
    best_rank: int
    worst_rank: int
    games: float
    points: float
    status: str
    component: int


@dataclass(frozen=True, slots=True)
class Coefficient:
    """The effect of one covariate on the log-odds of a win of i: value, standard errors, interval.

    rating: the value in points of the rating scale.
    """

    name: str
    value: float
    rating: float
    error: float
    model_error: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Contrast:
    """The lead of one player over another, in rating points. error: by the sandwich; p_value: of no lead, two-sided."""

    difference: float
    error: float
    model_error: float
    lower: float
    upper: float
    p_value: float


class BradleyTerryRatings(Mapping[Any, float]):
    """What `BradleyTerry.fit` returns: a mapping from player to rating, best first; prints as a table.

    Standard errors and ranks are computed when first read. Intervals are of the distance to the centre (the mean of a
    component's main group), so an anchor moves them without making them wider.

    >>> import fairlead as fl
    >>> i = ["gpt"] * 30 + ["local"] * 30 + ["gpt"] * 30
    >>> j = ["local"] * 30 + ["tiny"] * 30 + ["tiny"] * 30
    >>> fit = fl.BradleyTerry().fit(i, j, [1] * 25 + [0] * 5 + [1] * 18 + [0] * 12 + [1] * 28 + [0.5] * 2)
    >>> print(fit)
    player  rating  s.e.           95%  rank  ranks  games  points
    gpt       1758    46  1668 .. 1849     1   1..1     60      54
    local     1421    40  1343 .. 1500     2   2..3     60      23
    tiny      1320    36  1250 .. 1391     3   2..3     60      13
    """

    def __init__(self, fit: _Fit, names: list[Any] | None, settings: BradleyTerry, covariates: tuple[str, ...]) -> None:
        self._fit = fit
        self._settings = settings
        self._covariates = covariates
        self._unit = settings.scale / math.log(10.0)
        strengths = fit.strengths
        self._component = np.asarray(fit.components)
        self._standing = fit.standings
        self._names = list(range(len(strengths))) if names is None else names
        self._id = {name: k for k, name in enumerate(self._names)}
        self._strengths = strengths
        self._z = NormalDist().inv_cdf(0.5 + settings.confidence / 2.0)
        self._base = np.full(len(strengths), settings.mean)
        if settings.anchor is not None:
            anchor, rating = settings.anchor
            k = self._known(anchor, "anchor")
            self._base[self._component == self._component[k]] = rating - self._unit * strengths[k]
        self._ratings = self._base + self._unit * strengths
        played = np.flatnonzero(self._component >= 0)
        self._order = played[np.lexsort((-self._ratings[played], self._component[played]))]
        self._rounds: NDArray[np.float64] | None = None

    def _known(self, player: Any, what: str = "player") -> int:
        k = self._id.get(player)
        if k is None or self._component[k] < 0:
            raise KeyError(f"{what} {player!r} has not played")
        return k

    # --- a mapping ---------------------------------------------------------------------------------------------------

    def __getitem__(self, player: Any) -> float:
        return float(self._ratings[self._known(player)])

    def __iter__(self) -> Iterator[Any]:
        return (self._names[k] for k in self._order)

    def __len__(self) -> int:
        return len(self._order)

    # --- what was fitted ---------------------------------------------------------------------------------------------

    @property
    def strengths(self) -> dict[Any, float]:
        """Log-strengths, centred: i beats j with odds exp(strength of i - strength of j)."""
        return {self._names[k]: float(self._strengths[k]) for k in self._order}

    @property
    def log_likelihood(self) -> float:
        """Of the matches at the fit (natural logarithm), without the prior."""
        return self._fit.log_likelihood

    @property
    def deviance(self) -> float:
        """Twice the log-likelihood ratio of a model with each pair's own frequencies to this one; at least 0."""
        return self._fit.deviance

    @property
    def tie_strength(self) -> float:
        """Davidson's nu: between equals a draw has probability nu / (2 + nu). 0 where ties count as halves."""
        return self._fit.tie_strength

    @property
    def matches(self) -> int:
        """How many matches were given."""
        return self._fit.matches

    @property
    def unplayed(self) -> list[Any]:
        """Players of whom there is no match of positive weight; they have no rating."""
        return [self._names[k] for k in np.flatnonzero(self._component < 0)]

    @property
    def affected(self) -> dict[Any, str]:
        """Players without a finite maximum, kept finite by the prior, and their status."""
        return {self._names[k]: _STANDINGS[self._standing[k]] for k in self._order if self._standing[k] != 0}

    @property
    def notes(self) -> list[str]:
        """What had to be guarded, in words; empty where every number is the plain maximum."""
        out = []
        if self.affected:
            listed = ", ".join(f"{player} ({status})" for player, status in list(self.affected.items())[:5])
            more = f" and {len(self.affected) - 5} more" if len(self.affected) > 5 else ""
            out.append(
                f"no finite maximum for {listed}{more}: kept finite by {self._settings.prior:g} virtual draws each"
            )
        if len(self.components) > 1:
            out.append(f"{len(self.components)} sets of players are not connected: compare ratings within a set only")
        if self.unplayed:
            out.append(f"{len(self.unplayed)} players have not played and have no rating")
        if self._fit.ties_guarded:
            out.append(f"tie_strength has no finite maximum: kept finite by {self._settings.prior:g} virtual wins")
        return out

    @property
    def components(self) -> list[list[Any]]:
        """Players whom chains of matches connect, the largest set first. Ratings of two sets cannot be compared."""
        out: list[list[Any]] = [[] for _ in range(int(self._component.max()) + 1)]
        for k in self._order:
            out[self._component[k]].append(self._names[k])
        return out

    # --- how sure ----------------------------------------------------------------------------------------------------

    @cached_property
    def _errors(self) -> tuple[NDArray[np.float64], NDArray[np.float64], bool]:
        return self._fit.errors()

    @property
    def exact_errors(self) -> bool:
        """Whether standard errors are exact: above 2,048 players they are estimated from random residuals."""
        return self._errors[2]

    def rows(self, interval: Interval = "sandwich") -> list[BradleyTerryRow]:
        """All who played, by component, best first.

        interval: "sandwich", "model" (trusts the model), or "bootstrap" (percentiles of `bootstrap()`, which is run
        with its defaults if it was not before). Of a player who is undefeated (or "above") the upper end is infinite,
        of a winless one (or "below") the lower end, of one "apart" both.
        """
        model, sandwich, _ = self._errors
        lower, upper = self._bounds(interval, model, sandwich)
        best, worst = self._fit.ranks(self._z)
        games, points = self._fit.records()
        out = []
        rank: dict[int, int] = {}
        for k in self._order:
            component = int(self._component[k])
            rank[component] = rank.get(component, 0) + 1
            status = _STANDINGS[self._standing[k]]
            out.append(
                BradleyTerryRow(
                    player=self._names[k],
                    rating=float(self._ratings[k]),
                    error=float(self._unit * sandwich[k]),
                    model_error=float(self._unit * model[k]),
                    lower=-math.inf if status in _OPEN_BELOW else float(lower[k]),
                    upper=math.inf if status in _OPEN_ABOVE else float(upper[k]),
                    rank=rank[component],
                    best_rank=int(best[k]),
                    worst_rank=int(worst[k]),
                    games=float(games[k]),
                    points=float(points[k]),
                    status=status,
                    component=component,
                )
            )
        return out

    def _bounds(self, interval: Interval, model: Any, sandwich: Any) -> tuple[Any, Any]:
        if interval == "bootstrap":
            rounds = self._rounds if self._rounds is not None else self.bootstrap()
            tail = 50.0 * (1.0 - self._settings.confidence)
            ends = np.full((2, len(self._names)), np.nan)
            played = rounds[:, self._order]
            ends[:, self._order] = np.nanpercentile(played, [tail, 100.0 - tail], axis=0)
            return ends[0], ends[1]
        if interval not in ("sandwich", "model"):
            raise ValueError(f"interval is {interval!r}, must be 'sandwich', 'model' or 'bootstrap'")
        half = self._z * self._unit * (model if interval == "model" else sandwich)[: len(self._names)]
        return self._ratings - half, self._ratings + half

    def bootstrap(self, rounds: int = 100, seed: int = 0) -> NDArray[np.float64]:
        """Ratings in refits of samples of as many matches, drawn with replacement: float64 of shape (rounds, players).

        Columns are players by id (in the order of `names` or of first appearance), NaN where a player is not in the
        sample, or where the sample does not determine the covariates. The same seed gives the same samples. Percentiles
        of the newest call are what `rows("bootstrap")` shows. Raises ValueError for rounds below 1. Source: B. Efron
        (1979).
        """
        if not 0 <= seed < 2**64:
            raise ValueError(f"seed is {seed!r}, must be an integer in [0, 2**64)")
        drawn = self._fit.bootstrap(rounds, seed)[:, : len(self._names)]
        self._rounds = self._base + self._unit * drawn
        return self._rounds.copy()

    def contrast(self, a: Any, b: Any) -> Contrast:
        """How far a stands above b, with the standard error of that difference itself; exact for any number of players.

        Where a or b has no finite maximum, the interval is open on that side, and there is no p-value (NaN).

        Raises KeyError for a player who has not played, ValueError where no chain of matches connects the two.
        """
        first, second = self._connected(a, b)
        difference, model, sandwich = self._fit.contrast(first, second)
        error = math.sqrt(sandwich)
        p_value = 2.0 * NormalDist().cdf(-abs(difference) / error) if error > 0.0 else float(difference == 0.0)
        difference, error, half = self._unit * difference, self._unit * error, self._z * self._unit * error
        statuses = _STANDINGS[self._standing[first]], _STANDINGS[self._standing[second]]
        open_above = statuses[0] in _OPEN_ABOVE or statuses[1] in _OPEN_BELOW
        open_below = statuses[0] in _OPEN_BELOW or statuses[1] in _OPEN_ABOVE
        return Contrast(
            difference,
            error,
            self._unit * math.sqrt(model),
            -math.inf if open_below else difference - half,
            math.inf if open_above else difference + half,
            math.nan if open_above or open_below else p_value,
        )

    def against(self, player: Any) -> dict[Any, Contrast]:
        """The contrast of everyone in the player's component to that player, best first."""
        component = self._component[self._known(player)]
        return {
            self._names[k]: self.contrast(self._names[k], player)
            for k in self._order
            if self._component[k] == component
        }

    def _connected(self, a: Any, b: Any) -> tuple[int, int]:
        first, second = self._known(a), self._known(b)
        if self._component[first] != self._component[second]:
            raise ValueError(f"no chain of matches connects {a!r} and {b!r}: their ratings cannot be compared")
        return first, second

    def probability(self, a: Any, b: Any, covariates: Sequence[float] | None = None) -> float:
        """Expected score of a against b, in (0, 1): the probability of a win, and half of that of a draw.

        covariates: the values for this match, zeros if left out. Raises KeyError and ValueError as `contrast` does.
        """
        win, draw, _ = self.probabilities(a, b, covariates)
        return win + 0.5 * draw

    def probabilities(self, a: Any, b: Any, covariates: Sequence[float] | None = None) -> tuple[float, float, float]:
        """Probabilities that a wins, draws and loses against b. Draws have 0 where ties count as halves."""
        first, second = self._connected(a, b)
        values = [0.0] * len(self._covariates) if covariates is None else [float(x) for x in covariates]
        win, draw, loss = self._fit.probability(first, second, values).tolist()
        return win, draw, loss

    @property
    def coefficients(self) -> list[Coefficient]:
        """Effects of the covariates, in their order."""
        model, sandwich, _ = self._errors
        out = []
        for k, (name, value) in enumerate(zip(self._covariates, self._fit.coefficients.tolist(), strict=True)):
            error, half = float(sandwich[len(self._names) + k]), self._z * float(sandwich[len(self._names) + k])
            model_error = float(model[len(self._names) + k])
            out.append(Coefficient(name, value, self._unit * value, error, model_error, value - half, value + half))
        return out

    # --- how it looks ------------------------------------------------------------------------------------------------

    def as_dict(self, interval: Interval = "sandwich") -> dict[str, list[Any]]:
        """A column for each field of `rows`, ready for a data frame."""
        rows = [asdict(row) for row in self.rows(interval)]
        return {field: [row[field] for row in rows] for field in BradleyTerryRow.__dataclass_fields__}

    def __repr__(self) -> str:
        return f"BradleyTerryRatings({len(self)} players, {self.matches} matches)"

    def __str__(self) -> str:
        rows = self.rows()
        confidence = f"{100 * self._settings.confidence:g}%"
        head = ["player", "rating", "s.e.", confidence, "rank", "ranks", "games", "points"]
        flagged, apart = bool(self.affected), int(self._component.max()) > 0
        head += ["status"] * flagged + ["component"] * apart
        cells = [head]
        for row in rows:
            line = [str(row.player), f"{row.rating:.0f}", f"{row.error:.0f}", f"{row.lower:.0f} .. {row.upper:.0f}"]
            line += [str(row.rank), f"{row.best_rank}..{row.worst_rank}", f"{row.games:g}", f"{row.points:g}"]
            cells.append(line + [row.status] * flagged + [str(row.component)] * apart)
        widths = [max(len(line[c]) for line in cells) for c in range(len(head))]
        return "\n".join(
            "  ".join(
                cell.ljust(width) if c == 0 or head[c] == "status" else cell.rjust(width)
                for c, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in cells
        )


class BradleyTerry:
    """Ratings by maximum likelihood of all matches at once: no order, no K. Fit a table of matches with `fit`.

    ties: "half" (a draw is half a win and half a loss; any score in [0, 1] is allowed) or "davidson" (draws have a
    probability of their own; scores are 0, 0.5 and 1). scale: a lead of so many points means odds of 10 to 1; mean:
    rating of the average player of each component; anchor: (player, rating), which sets the level of that player's
    component instead. confidence: of intervals and rank sets.

    Players without a finite maximum (undefeated, winless, or in a group that only won or only lost against the rest)
    get `prior` virtual draws against the average of the rest, and their status tells; nobody else has a prior unless
    prior_for_all.

    Raises ValueError for a setting out of range. Sources: R. A. Bradley, M. E. Terry (1952); R. R. Davidson (1970);
    P. J. Huber (1967) for the sandwich.

    >>> import fairlead as fl
    >>> fit = fl.BradleyTerry().fit(["gpt", "gpt", "gpt", "local"], ["local", "local", "local", "gpt"], [1, 1, 1, 1])
    >>> {player: round(rating, 1) for player, rating in fit.items()}
    {'gpt': 1595.4, 'local': 1404.6}
    >>> round(fit.probability("gpt", "local"), 12)
    0.75
    """

    def __init__(
        self,
        *,
        ties: Literal["half", "davidson"] = "half",
        scale: float = 400.0,
        mean: float = 1500.0,
        anchor: tuple[Any, float] | None = None,
        prior: float = 1.0,
        prior_for_all: bool = False,
        confidence: float = 0.95,
    ) -> None:
        if ties not in ("half", "davidson"):
            raise ValueError(f"ties is {ties!r}, must be 'half' or 'davidson'")
        if not 1e-3 <= scale <= 1e9:
            raise ValueError(f"scale is {scale!r}, outside [1e-3, 1e9]")
        if not abs(mean) <= 1e9:
            raise ValueError(f"mean is {mean!r}, outside [-1e9, 1e9]")
        if not 0.0 < prior <= 1e6:
            raise ValueError(f"prior is {prior!r}, outside (0, 1e6]")
        if not 0.0 < confidence < 1.0:
            raise ValueError(f"confidence is {confidence!r}, outside (0, 1)")
        given: Any = anchor
        if given is not None and not (isinstance(given, tuple | list) and len(given) == 2):
            raise ValueError(f"anchor is {anchor!r}, must be a pair (player, rating)")
        if anchor is not None and not abs(float(anchor[1])) <= 1e9:
            raise ValueError(f"anchor is {anchor!r}, its rating is outside [-1e9, 1e9]")
        self.ties: Literal["half", "davidson"] = ties
        self.scale, self.mean = float(scale), float(mean)
        self.anchor = None if anchor is None else (anchor[0], float(anchor[1]))
        self.prior, self.prior_for_all, self.confidence = float(prior), bool(prior_for_all), float(confidence)

    def __repr__(self) -> str:
        return f"BradleyTerry(ties={self.ties!r}, scale={self.scale:g}, mean={self.mean:g}, anchor={self.anchor!r})"

    def fit(
        self,
        i: Any,
        j: Any,
        score: ArrayLike,
        weight: ArrayLike | None = None,
        *,
        covariates: ArrayLike | Mapping[str, ArrayLike] | None = None,
        names: Sequence[Any] | None = None,
    ) -> BradleyTerryRatings:
        """Ratings of all who played.

        i, j: players, of shape (n,): int32 (or int64) ids, names, or dictionary-encoded columns of pandas, polars or
        pyarrow. score: float64 of shape (n,), 1 = i won, 0.5 = draw, 0 = j won. weight: float64 of shape (n,), in
        [0, 1e6]; the sandwich and the bootstrap take it as importance, not as a count of matches. covariates: float64
        of shape (n, c), or a mapping of c columns by name: what speaks for i rather than for j, such as a column of
        ones for playing at home. names: of the players with ids 0, 1, ...

        Raises ValueError (TypeError for a wrong dtype) naming the argument for unequal lengths, unknown ids, a match of
        a player against itself, scores and weights out of range, NaN, no match at all, or covariates that the matches
        do not determine; KeyError for an anchor who did not play.
        """
        labels = None if names is None else list(names)
        if labels is not None and len(set(labels)) != len(labels):
            raise ValueError("names holds a name twice")
        columns: tuple[str, ...] = ()
        design: Any = covariates
        if hasattr(design, "columns"):  # a data frame
            covariates = {name: design[name] for name in design.columns}
        if isinstance(covariates, Mapping):
            columns = tuple(str(name) for name in covariates)
            values = [np.asarray(column, dtype=np.float64) for column in covariates.values()]
            for name, column in zip(columns, values, strict=True):
                if column.shape != (len(i),):
                    raise ValueError(f"covariates[{name!r}] has shape {column.shape}, i has length {len(i)}")
            design = np.column_stack(values) if values else None
        elif covariates is not None:
            design = np.asarray(covariates)
            columns = tuple(f"x{k}" for k in range(design.shape[1] if design.ndim == 2 else 0))
        if design is not None and design.ndim == 2 and design.shape[1] == 0:
            design = None
        players = -1 if labels is None else len(labels)
        fit = _Fit(i, j, score, weight, design, players, self.ties, self.prior, self.prior_for_all)
        for name, value, column in zip(columns, fit.coefficients, np.transpose(design) if columns else (), strict=True):
            # e^-30 of a game: what is left to gain, which Newton's method chases for ever.
            if abs(value) * np.abs(column).max() > 30.0:
                raise ValueError(f"covariates[{name!r}] separates wins from losses: no finite effect is most likely")
        return BradleyTerryRatings(fit, fit.names if labels is None else labels, self, columns)
