"""What is archived is remembered: reflections do not change when a journal is made smaller."""

from __future__ import annotations

from pathlib import Path

import pytest

import fairlead as fl
from fairlead._core import snapshot_desk
from fairlead.errors import JournalDamagedError
from fairlead.journal import manifest as manifests
from fairlead.reflection import compare_folder, read, reflect_folder

pytest.importorskip("pyarrow")

HOUR = 3600 * 10**9
START = 1767225600 * 10**9  # 2026


def live(desk: Path, first: int, last: int) -> None:
    """Tasks first to last, one an hour, known four hours later; model b comes late."""
    with fl.Fleet.open(desk, clock=lambda: START + first * HOUR, segment_bytes=1 << 14) as fleet:
        if first == 0:
            fleet.add("a")
        for n in range(first, last):
            task = fl.Task(f"t{n}", category=("x", "y")[n % 2], regime="calm", time=START + n * HOUR)
            if n == 20:
                fleet.add("b")
                assert fleet.journal is not None
                fleet.journal.append("training_run", {"run": "r1", "loss": 0.5}, model="a", time=START)
            fleet.record(task, fl.Forecast("a", p=0.2 if n % 3 else 0.8, cost_usd=0.01))
            if n >= 20:
                fleet.record(task, fl.Forecast("b", p=0.5))
            if n > 3:
                fleet.settle(fl.Outcome(f"t{n - 4}", n % 2, time=START + n * HOUR + 1))


def compact(desk: Path, keep: str) -> None:
    report = fl.journal.compact(desk, keep=keep, ensure_snapshot=lambda seq: snapshot_desk(str(desk)))
    assert report.segments > 0


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    folder = tmp_path / "desk"
    live(folder, 0, 300)
    return folder


def test_it_is_the_same_after_compaction(desk: Path) -> None:
    before = {name: reflect_folder(desk, name) for name in "ab"}
    table = compare_folder(desk)
    assert before["a"].summary.scored == 296
    assert before["a"].training is not None
    fl.journal.archive(desk)  # in both places: read once
    assert repr(reflect_folder(desk, "a")) == repr(before["a"])
    for keep in ("150h", "50h"):
        compact(desk, keep)
        for name in "ab":
            assert repr(reflect_folder(desk, name)) == repr(before[name])
        assert repr(compare_folder(desk)) == repr(table)
    with fl.Fleet.open(desk) as fleet:
        assert repr(fleet.reflect("b")) == repr(before["b"])
    live(desk, 300, 420)
    compact(desk, "50h")
    assert reflect_folder(desk, "a").summary.scored == 416


def test_what_a_quota_dropped_is_told(desk: Path) -> None:
    compact(desk, "200h")
    live(desk, 300, 500)
    compact(desk, "100h")
    fl.journal.enforce_quota(desk, 1, ensure_snapshot=lambda seq: snapshot_desk(str(desk)))
    begin = max(file.last for file in manifests.load(desk).dropped) + 1
    for found in (reflect_folder(desk, "a"), compare_folder(desk)):
        assert f"events 1 to {begin - 1} were dropped by a quota" in found.missing[0]
        assert f"what is said begins with event {begin} of 2026-01-" in found.missing[0]
        assert found.missing[0] in str(found)
    with fl.Fleet.open(desk) as fleet:
        assert "dropped by a quota" in fleet.reflect("a").missing[0]


def test_where_nothing_is_left_the_summaries_are_told(desk: Path) -> None:
    compact(desk, "1h")
    assert not reflect_folder(desk, "a").dropped
    with fl.Fleet.open(desk, segment_bytes=1 << 14) as fleet:
        assert fleet.journal is not None
        for n in range(1000):
            fleet.journal.note(f"nothing happens {n}", time=START + (301 + n) * HOUR)
    compact(desk, "1h")
    fl.journal.enforce_quota(desk, 1)
    scored = {
        name: sum(event.data["n"] for event in fl.journal.history(desk, types="summary", models=name)) for name in "ab"
    }
    assert scored["a"] > 200
    for name in "ab":
        found = reflect_folder(desk, name)
        assert found.dropped
        assert found.kinds == ()
        assert str(found).startswith(f"{name}: 0 tasks, 0 scored, of what a quota left (see below)\n")
        assert found.missing[1].startswith("summaries: ")
        assert f"are kept, of {scored[name]} scored answers of {name}" in found.missing[1]
        assert "scores: no answer that is left has an outcome" in found.missing
        assert not any("yet" in text for text in found.missing)
    table = compare_folder(desk)
    assert f"are kept, of {sum(scored.values())} scored answers" in table.missing[1]
    assert "scores: no answer that is left has an outcome" in table.missing


@pytest.mark.parametrize("place", [0, 1])
def test_one_archived_file_that_was_dropped_is_told(desk: Path, place: int) -> None:
    compact(desk, "200h")
    live(desk, 300, 500)
    compact(desk, "100h")
    whole = reflect_folder(desk, "a").summary.tasks
    manifest = manifests.load(desk)
    assert manifest is not None
    gone = manifest.files.pop(place)
    manifest.dropped.append(gone)
    manifests.save(desk, manifest)
    last = min(gone.last, next(fl.journal.read(desk)).seq - 1)
    found = reflect_folder(desk, "a")
    assert 0 < found.summary.tasks < whole
    assert f"events {gone.first} to {last} were dropped by a quota" in found.missing[0]
    assert ("what is said begins with" if place == 0 else "nothing of them is in what is said") in found.missing[0]
    assert f"event {last + 1} of 2026-01-" in found.missing[0]
    manifest.dropped.clear()
    manifests.save(desk, manifest)
    with pytest.raises(JournalDamagedError, match=f"events {gone.first} to {last} are neither"):
        reflect_folder(desk, "a")


def test_segments_that_go_while_it_reads(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = reflect_folder(desk, "a")
    compact(desk, "250h")
    archived, calls = read._archived, 0

    def slowly(*args: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 1:
            compact(desk, "50h")
        return archived(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(read, "_archived", slowly)
    assert repr(reflect_folder(desk, "a")) == repr(before)
    assert calls == 2


def test_the_beginning_is_missing_and_nothing_was_archived(desk: Path) -> None:
    files = sorted((desk / "segments").glob("*.seg"))
    files[0].unlink()
    begin = int(files[1].stem)
    found = reflect_folder(desk, "a")
    assert f"events 1 to {begin - 1} are in no segment and no archive" in found.missing[0]
    assert f"begins with event {begin}" in found.missing[0]
