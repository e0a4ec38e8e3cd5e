"""Bradley-Terry asked too much: guarded answers, anchors, bootstraps, columns of names, input that is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import fairlead as fl

NAMES = ["a", "b", "c", "d", "e"]


def season(n: int = 400, players: int = 5, seed: int = 1) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    i = rng.integers(0, players, n).astype(np.int32)
    j = ((i + rng.integers(1, players, n)) % players).astype(np.int32)
    score = (rng.random(n) < 1 / (1 + np.exp((i - j) * 0.3))).astype(float)
    score[rng.random(n) < 0.1] = 0.5
    return i, j, score


def test_an_undefeated_player_is_told_and_hardly_moves_the_others() -> None:
    i, j, score = season()
    alone = fl.BradleyTerry().fit(i, j, score, names=NAMES)
    i, j, score = np.r_[i, [5] * 6, 6], np.r_[j, 0, 1, 2, 3, 4, 0, 1], np.r_[score, [1.0] * 6, 0.0]
    fit = fl.BradleyTerry(prior=1e-4).fit(i, j, score, names=[*NAMES, "hero", "novice"])
    assert fit.affected == {"hero": "undefeated", "novice": "winless"}
    rows = {row.player: row for row in fit.rows()}
    assert rows["hero"].rank == 1
    assert rows["hero"].upper == math.inf
    assert rows["novice"].lower == -math.inf
    assert "hero (undefeated)" in fit.notes[0]
    assert "undefeated" in str(fit)
    for name in NAMES:
        assert fit[name] == pytest.approx(alone[name], abs=0.1)
        assert rows[name].status == "ok"
    default = fl.BradleyTerry().fit(i, j, score, names=[*NAMES, "hero", "novice"])
    # Six wins and half a virtual one of seven, against the average: (6.5 / 0.5).
    assert default["hero"] == pytest.approx(1500 + 400 * math.log10(13), abs=25)


def test_groups_that_only_won_or_only_lost_are_told() -> None:
    core = [("a", "b"), ("b", "c"), ("c", "a"), ("a", "b")]
    better = [("x", "y"), ("y", "x"), ("x", "a")]
    worse = [("u", "v"), ("v", "u"), ("c", "v")]
    i, j = zip(*core, *better, *worse, strict=True)
    fit = fl.BradleyTerry().fit(list(i), list(j), [1.0] * len(i))
    assert fit.affected == {"x": "above", "y": "above", "u": "below", "v": "below"}
    rows = {row.player: row for row in fit.rows()}
    assert (
        rows["y"].upper
        == math.inf
        > rows["y"].rating
        > rows["a"].rating
        > rows["v"].rating
        > rows["v"].lower
        == -math.inf
    )


def test_players_whom_nothing_connects_have_a_centre_each() -> None:
    i = ["a", "b", "c", "x", "y"]
    j = ["b", "c", "a", "y", "x"]
    fit = fl.BradleyTerry(anchor=("y", 1000.0)).fit(i, j, [1.0, 1.0, 1.0, 1.0, 0.5])
    assert [set(c) for c in fit.components] == [{"a", "b", "c"}, {"x", "y"}]
    assert fit["a"] == pytest.approx(1500)
    assert fit["y"] == pytest.approx(1000)
    assert fit["x"] > 1000
    with pytest.raises(ValueError, match="no chain of matches connects 'a' and 'x'"):
        fit.probability("a", "x")
    with pytest.raises(ValueError, match="cannot be compared"):
        fit.contrast("a", "x")
    assert set(fit.against("x")) == {"x", "y"}
    assert "2 sets of players" in fit.notes[0]
    assert [row.rank for row in fit.rows()] == [1, 2, 3, 1, 2]


def test_an_anchor_moves_ratings_and_widens_nothing() -> None:
    i, j, score = season()
    plain = fl.BradleyTerry().fit(i, j, score, names=NAMES)
    moved = fl.BradleyTerry(anchor=("c", 1234.5)).fit(i, j, score, names=NAMES)
    assert moved["c"] == pytest.approx(1234.5, abs=1e-9)
    for one, other in zip(plain.rows(), moved.rows(), strict=True):
        assert one.player == other.player
        assert one.error == other.error
        assert other.upper - other.lower == pytest.approx(one.upper - one.lower)
        assert other.rating - moved["c"] == pytest.approx(one.rating - plain["c"])
    against = moved.against("c")
    assert against["c"].difference == against["c"].error == 0.0
    assert against["a"].difference == pytest.approx(moved["a"] - moved["c"])
    with pytest.raises(KeyError, match="anchor 'z' has not played"):
        fl.BradleyTerry(anchor=("z", 1500)).fit(i, j, score, names=NAMES)


def test_the_bootstrap_repeats_and_spreads_as_the_sandwich_says() -> None:
    i, j, score = season(3000)
    fit = fl.BradleyTerry().fit(i, j, score)
    rounds = fit.bootstrap(400, seed=7)
    assert rounds.shape == (400, 5)
    assert (rounds == fit.bootstrap(400, seed=7)).all()
    assert (rounds != fit.bootstrap(400, seed=8)).any()
    np.testing.assert_allclose(rounds.mean(axis=1), 1500, rtol=0, atol=1e-6)
    errors = np.array([{row.player: row.error for row in fit.rows()}[k] for k in range(5)])
    np.testing.assert_allclose(rounds.std(axis=0), errors, rtol=0.15)
    np.testing.assert_allclose(rounds.mean(axis=0), [fit[k] for k in range(5)], rtol=0, atol=1.5)
    for boot, row in zip(fit.rows("bootstrap"), fit.rows(), strict=True):
        assert boot.lower == pytest.approx(row.lower, abs=row.error)
        assert boot.upper == pytest.approx(row.upper, abs=row.error)


def test_eight_rounds_at_once_are_rounds_one_by_one() -> None:
    i, j, score = season(1500)
    together = fl.BradleyTerry().fit(i, j, score).bootstrap(20, seed=3)
    # A prior for all is refitted round by round; one so weak changes nothing that can be seen.
    single = fl.BradleyTerry(prior=1e-9, prior_for_all=True).fit(i, j, score).bootstrap(20, seed=3)
    np.testing.assert_allclose(together, single, rtol=0, atol=1e-5)


def test_a_weighted_bootstrap_draws_matches() -> None:
    i, j, score = season(1200)
    weight = np.random.default_rng(2).random(1200) * 2
    fit = fl.BradleyTerry().fit(i, j, score, weight)
    spread = fit.bootstrap(300, seed=1).std(axis=0)
    errors = [{row.player: row.error for row in fit.rows()}[k] for k in range(5)]
    np.testing.assert_allclose(spread, errors, rtol=0.2)


def test_a_sample_of_a_sparse_season_is_guarded_as_a_fit_is() -> None:
    i, j = [0, 1, 2, 0, 3, 1], [1, 2, 0, 3, 0, 3]
    fit = fl.BradleyTerry().fit(i, j, [1, 1, 1, 0.5, 1, 0])
    rounds = fit.bootstrap(64)
    assert np.isfinite(rounds).any(axis=0).all()
    for row in fit.rows("bootstrap"):
        assert row.lower <= row.upper


def test_home_advantage_and_its_probability() -> None:
    i, j, score = season(4000)
    rng = np.random.default_rng(3)
    score = (rng.random(4000) < 1 / (1 + np.exp((i - j) * 0.3 - 0.5))).astype(float)
    fit = fl.BradleyTerry().fit(i, j, score, names=NAMES, covariates={"home": np.ones(4000)})
    (home,) = fit.coefficients
    assert home.name == "home"
    assert home.lower < 0.5 < home.upper
    assert home.rating == pytest.approx(home.value * 400 / math.log(10))
    assert fit.probability("a", "a", [1.0]) == pytest.approx(1 / (1 + math.exp(-home.value)))
    assert fit.probability("a", "b") + fit.probability("b", "a") == pytest.approx(1)
    with pytest.raises(ValueError, match="covariates has length 2, the fit has 1"):
        fit.probability("a", "b", [1.0, 2.0])


@pytest.mark.parametrize("column", [np.zeros(400), np.full(400, np.nan)], ids=["zeros", "nan"])
def test_covariates_that_say_nothing_are_refused(column: Any) -> None:
    i, j, score = season()
    with pytest.raises(ValueError, match="covariates"):
        fl.BradleyTerry().fit(i, j, score, covariates=column[:, None])
    strength = np.arange(5.0)
    with pytest.raises(ValueError, match="covariates are not determined"):  # follows from the players
        fl.BradleyTerry().fit(i, j, score, covariates=(strength[i] - strength[j])[:, None])


def test_draws_without_end_are_guarded() -> None:
    fit = fl.BradleyTerry(ties="davidson").fit(["a", "a", "b"], ["b", "c", "c"], [0.5, 0.5, 0.5])
    assert "tie_strength" in fit.notes[-1]
    assert math.isfinite(fit.tie_strength)
    assert fit["a"] == pytest.approx(1500)
    assert fl.BradleyTerry(ties="davidson").fit([0, 1, 2], [1, 2, 0], [1, 1, 1]).tie_strength == 0.0


FORMS: dict[str, Any] = {
    "tuple": tuple,
    "objects": lambda names: np.array(names, dtype=object),
    "numpy str": np.array,
    "pandas": pd.Series,
    "pandas category": lambda names: pd.Series(names, dtype="category"),
    "polars": pl.Series,
    "polars categorical": lambda names: pl.Series(names, dtype=pl.Categorical),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_columns_of_names_of_every_kind(form: Any) -> None:
    i, j, score = season()
    expected = dict(fl.BradleyTerry().fit(i, j, score, names=NAMES))
    fit = fl.BradleyTerry().fit(form([NAMES[k] for k in i]), form([NAMES[k] for k in j]), score)
    assert dict(fit) == pytest.approx(expected, abs=1e-8)
    frame = pd.DataFrame(fit.as_dict())
    assert frame.rating.is_monotonic_decreasing
    assert list(frame.player) == list(fit)


def test_names_that_do_not_play_have_no_rating() -> None:
    fit = fl.BradleyTerry().fit([0, 1, 2], [1, 2, 0], [1, 1, 0.5], names=NAMES)
    assert fit.unplayed == ["d", "e"]
    assert len(fit) == 3
    assert "d" not in fit
    with pytest.raises(KeyError, match="player 'd' has not played"):
        fit["d"]


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (([0, 1], [1, 0], [1, math.nan]), ValueError, r"score is nan \(match 1\)"),
        (([0, 1], [1, 0], [1, 2]), ValueError, r"score is 2.0 \(match 1\)"),
        (([0, 1], [1, 0], [1, 0], [1, -1]), ValueError, r"weight is -1.0 \(match 1\)"),
        (([0, 1], [1, 0], [1, 0], [0, 0]), ValueError, "every weight is 0"),
        (([0, 1], [1, 0], [1]), ValueError, "score has length 1, i has 2"),
        (([0, 1], [1], [1, 0]), ValueError, "j has length 1, i has 2"),
        (([0, 1], [1, 1], [1, 0]), ValueError, r"both 1 \(match 1\)"),
        (([0, -1], [1, 0], [1, 0]), ValueError, r"i is -1 \(match 1\)"),
        (([0.5, 1], [1, 0], [1, 0]), TypeError, "i"),
        ((["a", None], ["b", "a"], [1, 0]), TypeError, r"i\[1\] is None"),
        ((["a", "b"], [1, 0], [1, 0]), TypeError, "names and ids"),
        (([], [], []), ValueError, "i is empty"),
    ],
)
def test_what_cannot_be_fitted_is_refused(arguments: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        fl.BradleyTerry().fit(*arguments)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ties": "rao"}, "ties is 'rao'"),
        ({"scale": 0.0}, "scale is 0.0"),
        ({"mean": math.nan}, "mean is nan"),
        ({"prior": 0.0}, "prior is 0.0"),
        ({"confidence": 1.0}, "confidence is 1.0"),
        ({"anchor": ("a", math.inf)}, "anchor is"),
    ],
)
def test_settings_out_of_range_are_refused(settings: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fl.BradleyTerry(**settings)


def test_other_requests_that_make_no_sense_are_refused() -> None:
    i, j, score = season()
    fit = fl.BradleyTerry().fit(i, j, score)
    with pytest.raises(ValueError, match="rounds is 0"):
        fit.bootstrap(0)
    with pytest.raises(ValueError, match="seed is -1"):
        fit.bootstrap(10, seed=-1)
    with pytest.raises(ValueError, match="interval is 'wide'"):
        fit.rows("wide")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="score must be 0"):
        fl.BradleyTerry(ties="davidson").fit(i, j, score * 0.9)
    with pytest.raises(ValueError, match="names holds a name twice"):
        fl.BradleyTerry().fit(i, j, score, names=["a", "a", "b", "c", "d"])
    with pytest.raises(ValueError, match=r"covariates\['home'\] has shape"):
        fl.BradleyTerry().fit(i, j, score, covariates={"home": np.ones(3)})


def test_a_sample_that_does_not_determine_covariates_is_nan() -> None:
    rng = np.random.default_rng(0)
    i = rng.integers(0, 3, 8)
    j, score = (i + 1 + rng.integers(0, 2, 8)) % 3, rng.integers(0, 2, 8)
    fit = fl.BradleyTerry().fit(i, j, score, covariates={"home": rng.normal(size=8)})
    rounds = fit.bootstrap(100)
    lost = np.isnan(rounds).all(axis=1)
    assert 0 < lost.sum() < 100
    assert np.isfinite([[row.lower, row.upper] for row in fit.rows("bootstrap") if row.status == "ok"]).all()


def test_a_huge_id_is_no_request_for_memory() -> None:
    with pytest.raises(ValueError, match=r"i or j holds the id 2147483646: ids must be below 2\^26"):
        fl.BradleyTerry().fit([0], [2**31 - 2], [1.0])


@pytest.mark.parametrize("anchor", ["a", 5, ("a",), ("a", 1.0, 2.0)])
def test_an_anchor_is_a_pair(anchor: Any) -> None:
    with pytest.raises(ValueError, match=r"anchor is .*, must be a pair"):
        fl.BradleyTerry(anchor=anchor)


def test_a_covariate_that_separates_is_refused() -> None:
    with pytest.raises(ValueError, match=r"covariates\['home'\] separates"):
        fl.BradleyTerry().fit(["a", "b"] * 2, ["b", "a"] * 2, [1.0] * 4, covariates={"home": [1.0] * 4})


def test_covariates_of_a_data_frame_keep_their_names() -> None:
    i, j, score = season(players=3)
    home = np.ones(len(i))
    for frame in (pd.DataFrame({"home": home}), pl.DataFrame({"home": home})):
        fitted = fl.BradleyTerry().fit(i, j, score, covariates=frame)
        assert [c.name for c in fitted.coefficients] == ["home"]


def test_the_lead_of_an_undefeated_player_has_no_upper_end() -> None:
    fitted = fl.BradleyTerry().fit(["champ", "a", "b", "a"], ["a", "b", "a", "b"], [1.0, 1.0, 1.0, 0.0])
    assert fitted.affected == {"champ": "undefeated"}
    lead, deficit = fitted.contrast("champ", "b"), fitted.contrast("b", "champ")
    assert lead.upper == math.inf == -deficit.lower
    assert math.isfinite(lead.lower)
    assert math.isnan(lead.p_value)
    ordinary = fitted.contrast("a", "b")
    assert math.isfinite(ordinary.upper)
    assert 0.0 <= ordinary.p_value <= 1.0
