"""The demo's second act keeps what it promises, through the real lifecycle, and tells it the same each time."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from rich.console import Console

pytest.importorskip("sklearn")

from fairlead import demo
from fairlead.cli import main
from fairlead.demo import second_telling
from fairlead.demo.life import CANARY, CHAMPION, LEARNS, SHADOW, LifeResult, Trial
from fairlead.demo.report import render_report
from fairlead.demo.second_act import ENOUGH, HASTE_AT, IMAGES, MISTAKE_AT, Now
from fairlead.lifecycle import Epoch
from fairlead.lifecycle.jobs import JobStatus


class Told(NamedTuple):
    story: demo.Story
    text: str
    page: str


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    path, out = tmp_path_factory.mktemp("demo") / "demo.html", io.StringIO()
    story = demo.play(Console(file=out, width=80), report=path)
    return Told(story, out.getvalue().replace(str(path), "FILE"), path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def life(told: Told) -> LifeResult:
    return told.story.second


def trial(life: LifeResult, outcome: str) -> Trial:
    return next(trial for trial in life.trials if trial.outcome == outcome)


def test_the_story(life: LifeResult) -> None:
    what = [moment.what for moment in life.moments]
    begin = ["fault", "alarm", "retrain", "shadow", "canary", "promotion", "kept"]
    assert what == [*begin, "mistake", "refusal", "haste", "forced", "rollback"]
    images = [moment.image for moment in life.moments]
    assert images == sorted(images)
    at = dict(zip(what, images, strict=True))
    assert at["fault"] == demo.FAULT_AT
    assert 0 < at["alarm"] - demo.FAULT_AT <= 50
    assert at["retrain"] - demo.FAULT_AT >= ENOUGH
    assert (at["mistake"], at["haste"]) == (MISTAKE_AT, HASTE_AT)


def test_accuracy_falls_and_recovers(life: LifeResult) -> None:
    for before, hurt, again in (life.reads, life.decides):
        assert before > 0.9
        assert hurt < 0.6
        assert again > 0.85
    assert life.accuracy["kept"][-1] < 0.6 < 0.8 < life.accuracy["served"][-1]


def test_the_fleet_follows(life: LifeResult) -> None:
    promoted = next(m.image for m in life.moments if m.what == "promotion") // life.step
    forced = next(m.image for m in life.moments if m.what == "forced") // life.step
    assert max(life.weights["reader"][promoted + 10 : forced]) > 0.8
    assert life.elo["reader"][forced] > max(life.elo[name][forced] for name in life.elo if name != "reader")
    assert len(life.elo["reader"]) == len(life.weights["reader"]) == len(life.accuracy["served"])
    assert len(life.elo["reader"]) == life.images // life.step + 1


def test_one_champion_at_a_time(life: LifeResult) -> None:
    reigns = sorted((span.begin, span.end, span.version) for span in life.spans if span.role == CHAMPION)
    assert [version for _, _, version in reigns] == [1, 2, 4, 2]
    assert reigns[0][0] == 0
    assert reigns[-1][1] == life.images
    assert [end for _, end, _ in reigns[:-1]] == [begin for begin, _, _ in reigns[1:]]
    roles = {(span.version, span.role) for span in life.spans}
    assert roles >= {(2, LEARNS), (2, SHADOW), (2, CANARY), (1, SHADOW), (3, LEARNS), (4, LEARNS)}
    assert (3, CHAMPION) not in roles


def test_the_evidence_is_that_of_the_pipeline(life: LifeResult) -> None:
    for outcome in ("promoted", "rolled back"):
        found = trial(life, outcome)
        said = re.search(r"over (\d+) pairs, e-value (\S+) of 20 needed", found.reason)
        assert said is not None
        assert found.labels == int(said[1])
        e_value = (found.e_worse if found.watch else found.e_better)[-1]
        assert e_value >= found.needed
        assert e_value == pytest.approx(float(said[2]), rel=5e-3)
    refused = trial(life, "refused")
    assert refused.e_worse[-1] >= refused.needed > max(refused.e_worse[:-1])
    assert f"over {refused.labels} pairs" in refused.reason
    assert trial(life, "promoted").gain > 0.3 > 0 > trial(life, "rolled back").gain > refused.gain
    assert max(trial(life, "kept").e_worse) < 20


def test_versions(life: LifeResult) -> None:
    first, champion, slipped, hasty = life.versions
    assert len({one.digest for one in life.versions}) == 4
    assert all(re.fullmatch("[0-9a-f]{64}", one.digest) for one in life.versions)
    assert first.before > 0.9 > champion.after > 0.8 > hasty.after > 0.5 > first.after > slipped.after
    assert [one.fate for one in life.versions[1:]] == ["champion", "refused", "rolled back"]


def test_trainings(life: LifeResult) -> None:
    first, champion, slipped, hasty = life.trainings
    assert [len(one.losses) for one in life.trainings] == [40, 40, 40, 2]
    assert champion.losses[-1] < 0.05 * champion.losses[0]
    assert champion.validation_losses[-1] < 0.5 * champion.validation_losses[0]
    assert slipped.losses[-1] > 10 * champion.losses[-1]  # there is nothing but noise to learn
    assert slipped.validation_losses[-1] > slipped.validation_losses[0]
    assert first.examples == demo.TRAINED
    assert hasty.examples < ENOUGH


def test_what_is_printed(told: Told) -> None:
    text, life = told.text, told.story.second
    assert "\x1b" not in text
    assert "\r" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert "\u2026" not in text  # nothing was cut
    flat = " ".join(text.split())
    for moment in life.moments:
        assert f"{moment.image:,} {moment.words}" in flat
    for share in (*life.reads, *life.decides):
        assert f"{share:.0%}" in flat
    assert "The whole story on one page: FILE" in text
    assert text.index("Ratings move") < text.index("drift alarm") < text.index("Where to go next")


def test_the_page(told: Told) -> None:
    page, life = told.page, told.story.second
    assert page.startswith("<!DOCTYPE html>")
    for forbidden in ("<script", "http:", "https:", "<link", "url("):
        assert forbidden not in page
    assert re.search(r"\b(nan|None)\b", page) is None
    flat = page.replace("&#x27;", "'")
    for number, moment in enumerate(life.moments, 1):
        assert f'<span class="number">{number}</span>' in page
        assert moment.words in flat
    for version in life.versions:
        assert version.digest[:12] in page
        assert f"loss of version {version.number}" in page
    for model in {*life.elo, *(model.name for model in told.story.first.models)}:
        assert model in page
    assert page.count("prefers-color-scheme:dark") == 1


def test_a_page_tells_only_what_happened(told: Told) -> None:
    first, life = told.story
    assert "A bad version was refused and one that a person forced into service was rolled back." in told.page
    trials = tuple(trial for trial in life.trials if trial.outcome in ("promoted", "kept"))
    moments = tuple(moment for moment in life.moments if moment.image < MISTAKE_AT)
    page = render_report(first, replace(life, trials=trials, moments=moments))
    assert "A bad version" not in page
    assert "forced into service" not in page


def test_the_command_tells_the_same_in_another_process(told: Told, tmp_path: Path) -> None:
    path = tmp_path / "demo.html"
    code = f"from fairlead.cli import main; raise SystemExit(main(['demo', '--report', {str(path)!r}]))"
    env = {**os.environ, "PYTHONHASHSEED": "5", "COLUMNS": "80", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=env, check=False, timeout=300)
    assert (done.returncode, done.stderr) == (0, b"")
    assert path.read_text(encoding="utf-8") == told.page
    begin = told.text.index("The same fault again")
    end = told.text.index("The whole story")
    assert told.text[begin:end] in done.stdout.decode()


def test_the_folder_of_a_report_must_be_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--report", "/no/such/folder/demo.html"]) == 2
    assert "'/no/such/folder'" in capsys.readouterr().err


def job(epochs: int) -> JobStatus:
    known = tuple(Epoch(n, 40, 2.0 / n) for n in range(1, epochs + 1))
    return JobStatus(
        "r", "reader", "running", "full", known, None, 0, None, 0.0, None, None, "", 1, None, None
    )  # fmt: skip


@pytest.mark.parametrize("ascii_only", [False, True])
def test_the_screen_shows_the_training(ascii_only: bool) -> None:
    class Out(io.StringIO):
        encoding = "ascii" if ascii_only else "utf-8"

    out = Out()
    console = Console(file=out, width=80)
    now = Now(845, "training", 1, None, "", (0.9, 0.5), {"reader": 0.4, "svm": 0.6}, job(7))
    console.print(second_telling._moment(now, ascii_only))
    later = Now(890, "shadow", 1, 2, "trial r: continue\nmore", (0.9, 0.5), {"reader": 0.4, "svm": 0.6}, None)
    console.print(second_telling._moment(later, ascii_only))
    text = out.getvalue()
    assert text.isascii() == ascii_only
    for words in (
        f"image 845 of {IMAGES:,}: the sensor is broken",
        "epoch 7 of 40",
        "0.29",
        "version 1",
        "trial r: continue",
    ):
        assert words in text
    assert "more" not in text


def test_without_unicode(life: LifeResult) -> None:
    class Ascii(io.StringIO):
        encoding = "ascii"

    out = Ascii()
    console = Console(file=out, width=80)
    console.print(second_telling._curves(life, ascii_only=True))
    console.print(second_telling._versions(life, ascii_only=True))
    assert out.getvalue().isascii()


def test_another_seed_tells_the_same_story(life: LifeResult) -> None:
    other = demo.live(seed=1)
    assert [moment.what for moment in other.moments] == [moment.what for moment in life.moments]
    assert other.reads[1] < 0.6 < 0.85 < other.reads[2]
    assert {one.digest for one in other.versions}.isdisjoint(one.digest for one in life.versions)
