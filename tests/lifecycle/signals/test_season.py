"""Real drift: the change of season of a forecast hub, where labels come a week or more after the answers."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fairlead.lifecycle.schema import Schema
from fairlead.lifecycle.signals import DriftMonitor

DATA = Path(__file__).resolve().parents[4] / "shared/data/flusight_cat/flusight_cat_dev.parquet"
CLASSES = ("large_decrease", "decrease", "stable", "increase", "large_increase")


@pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data/flusight_cat")
@pytest.mark.parametrize("model", ["FluSight-ensemble"])
def test_the_change_of_season_is_seen_at_once_in_answers_and_with_the_labels_in_errors(model: str) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    rows: list[dict[str, Any]] = parquet.read_table(DATA, filters=[("model", "==", model)]).to_pylist()
    rows.sort(key=lambda r: (r["reference_date"], r["location"], r["horizon"]))
    monitor = DriftMonitor(
        Schema("categorical", ["horizon"], CLASSES), window=424, reference=848, baseline=424, every=53
    )
    waiting: list[tuple[date, Any, int]] = []
    alarms: dict[str, list[tuple[int, set[str]]]] = {"2023/24": [], "2024/25": []}
    week_of = {"2023/24": 0, "2024/25": 0}
    for week in sorted({r["reference_date"] for r in rows}):
        now = [r for r in rows if r["reference_date"] == week]
        season = now[0]["season"]
        week_of[season] += 1
        time = int(np.datetime64(week, "ns").astype(np.int64))
        for _, p, y in [w for w in waiting if (week - w[0]).days >= 7]:
            monitor.learn(p, y, time=time)
        waiting = [w for w in waiting if (week - w[0]).days < 7]
        for row in now:
            p = np.maximum([row[f"p_{name}"] for name in CLASSES], 0.0)
            monitor.update([row["horizon"]], p / p.sum(), time=time)
            waiting.append((row["target_end_date"], p / p.sum(), row["outcome"]))
        raised = {s.kind for s in monitor.check().raised("alarm") if s.since == time}
        if raised:
            alarms[season].append((week_of[season], raised))
    # Its reference is October: that the season begins, peaks and ends is drift too, between which it is quiet.
    weeks = [number for number, _ in alarms["2023/24"]]
    assert min(weeks) > 4
    assert len([number for number in weeks if number > 11]) <= 3
    answers = [number for number, raised in alarms["2024/25"] if raised & {"predictions", "confidence"}]
    errors = [
        number for number, raised in alarms["2024/25"] if raised & {"change", "adwin", "error_rate", "calibration"}
    ]
    assert answers[0] <= 2
    assert errors[0] <= 6
