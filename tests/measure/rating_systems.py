"""The rating systems that the shared tests run on: what is promised for one is promised for all."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

import fairlead as fl

SYSTEMS: dict[str, tuple[type, dict[str, Any]]] = {
    "Elo": (fl.Elo, {}),
    "Elo with everything": (fl.Elo, {"k": fl.KSchedule.fide(), "home": 60.0, "half_life": "30d"}),
    "Elo, decaying K": (fl.Elo, {"k": fl.KSchedule.decay(first=60, games=5, settled=10)}),
    "Glicko2": (fl.Glicko2, {}),
    "Glicko2 in time": (fl.Glicko2, {"idle": "7d", "tau": 1.2}),
    "WengLin": (fl.WengLin, {}),
    "WengLin in time": (fl.WengLin, {"rule": "plackett_luce", "idle": "7d"}),
    "TrueSkill": (fl.TrueSkill, {}),
    "TrueSkill in time": (fl.TrueSkill, {"idle": "7d", "draw_probability": 0.3}),
}

PLAYERS = [f"player {k}" for k in range(6)]
DAY = 86_400 * 10**9

Match = tuple[str, str, float, float, int]


def make(system: str, **options: Any) -> Any:
    cls, given = SYSTEMS[system]
    return cls(**given, **options)


def matches(players: list[str] = PLAYERS, max_size: int = 40) -> st.SearchStrategy[list[Match]]:
    """Matches (i, j, score, weight, time) in the order of time."""
    pairs = st.tuples(st.sampled_from(players), st.sampled_from(players)).filter(lambda pair: pair[0] != pair[1])
    score = st.sampled_from([0.0, 0.5, 1.0])  # TrueSkill knows no other
    match = st.tuples(pairs, score, st.floats(0, 4), st.integers(0, 20 * DAY))
    return st.lists(match, max_size=max_size).map(
        lambda drawn: [
            (*pair, score, weight, time)
            for (pair, score, weight, _), time in zip(drawn, sorted(m[3] for m in drawn), strict=True)
        ]
    )


def columns(played: list[Match]) -> list[list[Any]]:
    return [[match[c] for match in played] for c in range(5)]


def play(ratings: Any, played: list[Match]) -> Any:
    for i, j, score, weight, time in played:
        ratings.update(i, j, score, weight, time)
    return ratings


def states(ratings: Any) -> dict[str, Any]:
    return {name: ratings.state(name) for name in ratings.names()}
