"""The command line as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import fairlead as fl
from fairlead.cli import main

GOOD = """\
time,task,model,p,horizon,outcome
1,a,good,0.9,near,1
1,a,bad,0.2,near,1
2,b,good,0.1,far,0
2,b,bad,0.7,far,0
3,c,good,0.8,near,1
3,c,bad,0.4,near,1
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "forecasts.csv"
    path.write_text(GOOD, encoding="utf-8")
    return path


def test_json_has_the_promised_shape(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(table), "--json"]) == 0
    out = capsys.readouterr().out
    found = json.loads(out)
    assert {"default", "tasks", "forecasts", "events_per_second", "models", "strategies"} <= found.keys()
    assert found["default"] in found["strategies"]
    assert {*fl.STRATEGIES, "best_single"} == found["strategies"].keys()
    assert {"model", "elo", "brier", "n"} <= found["models"][0].keys()
    assert {"brier", "log_loss", "accuracy", "n"} <= found["strategies"]["mean"].keys()
    assert (found["tasks"], found["forecasts"]) == (3, 6)
    assert found["models"][0]["model"] == "good"
    assert found["models"][0]["brier"] == pytest.approx((0.01 + 0.01 + 0.04) / 3)


def test_tables_for_people(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(table), "--slice", "horizon"]) == 0
    captured = capsys.readouterr()
    for text in (
        "Models, by rating",
        "Ways to combine them",
        f"{fl.DEFAULT_STRATEGY} (default)",
        f"beside {fl.DEFAULT_STRATEGY}",
        "too little to say",
        "every model has one vote",
        "mean (equal weights)",
        "best in hindsight: good",
    ):
        assert text in captured.out
    assert "6 forecasts, 3 tasks scored" in captured.out
    assert "\x1b" not in captured.out + captured.err  # no control characters where there is no terminal


def test_warmup_scores_only_what_comes_after(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(table), "--warmup", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["tasks"] == 1
    assert found["strategies"]["mean"]["brier"] == pytest.approx((0.6 - 1) ** 2)


def test_bad_rows_are_reported_with_line_and_reason(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table.write_text(GOOD + "4,d,good,1.3,near,1\n4,d,bad,0.5,near,1\n", encoding="utf-8")
    assert main(["replay", str(table)]) == 0
    out = capsys.readouterr().out
    assert "1 bad rows skipped" in out or "1 bad row skipped" in out
    assert "line 8: p is 1.3" in out


def test_strict_stops_at_the_first_bad_row(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table.write_text(GOOD + "4,d,good,1.3,near,1\n", encoding="utf-8")
    assert main(["replay", str(table), "--strict"]) == 2
    captured = capsys.readouterr()
    assert "line 8" in captured.err
    assert "1.3" in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere.csv"], "nowhere.csv"),
        (["{table}", "--slice", "horizn"], "horizon"),
        (["{table}", "--warmup", "soon"], "warmup"),
    ],
)
def test_mistakes_are_told_in_one_line(
    table: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    assert main(["replay", *(a.format(table=table) for a in arguments)]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("fairlead: ")
    assert says in captured.err
    assert captured.err.count("\n") == 1


def test_report_is_one_page(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "report.html"
    assert main(["replay", str(table), "--report", str(page)]) == 0
    assert str(page) in capsys.readouterr().out
    text = page.read_text(encoding="utf-8")
    assert "<svg" in text
    assert "forecasts.csv" in text


def test_a_numeric_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "numbers.csv"
    path.write_text(
        "time,task,model,value,outcome\n1,a,x,2.0,3\n1,a,y,3.5,3\n2,b,x,1,1\n2,b,y,1.5,1\n", encoding="utf-8"
    )
    assert main(["replay", str(path)]) == 0
    out = capsys.readouterr().out
    assert "mae" in out
    assert "brier" not in out


def test_scores_by_slice(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(table), "--slice", "horizon", "--json"]) == 0
    slices = json.loads(capsys.readouterr().out)["slices"]
    assert slices.keys() == {"horizon=near", "horizon=far"}
    assert slices["horizon=near"]["mean"]["n"] == 2
    assert slices["horizon=far"]["mean"]["brier"] == pytest.approx(0.4**2)
    assert main(["replay", str(table), "--slice", "horizon"]) == 0
    assert "Brier score by slice" in capsys.readouterr().out


def test_names_are_not_markup(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table.write_text(GOOD.replace("good", "gpt[beta]").replace("bad", "a[/b]"), encoding="utf-8")
    assert main(["replay", str(table)]) == 0
    out = capsys.readouterr().out
    assert "gpt[beta]" in out
    assert "a[/b]" in out


def test_json_tells_the_bad_rows(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table.write_text(GOOD + "4,d,good,1.3,near,1\n", encoding="utf-8")
    assert main(["replay", str(table), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["bad_rows"] == 1
    assert found["bad_row_list"] == [{"line": 8, "reason": "p is 1.3, outside [0, 1]"}]


@pytest.mark.parametrize(
    ("text", "arguments", "note"),
    [
        (GOOD, ["--warmup", "2025-01-01"], "no task was decided after the warm-up"),
        (GOOD.replace(",1\n", ",\n").replace(",0\n", ",\n"), [], "no outcome is known"),
        (GOOD.replace("1,a", "1714521600,a").replace("2,b", "1714521601,b").replace("3,c", "1714521602,c"), [], "1970"),
    ],
)
def test_what_looks_like_a_mistake_is_said(
    table: Path, capsys: pytest.CaptureFixture[str], text: str, arguments: list[str], note: str
) -> None:
    table.write_text(text, encoding="utf-8")
    assert main(["replay", str(table), *arguments]) == 0
    assert note in capsys.readouterr().err


def test_too_many_slices_and_labels_are_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wide = tmp_path / "wide.csv"
    extra = [f"s{i}" for i in range(9)]
    wide.write_text(
        ",".join(["time,task,model,p,outcome", *extra]) + "\n1,a,x,0.5,1" + ",v" * 9 + "\n", encoding="utf-8"
    )
    assert main(["replay", str(wide), *(word for name in extra for word in ("--slice", name))]) == 2
    assert "9 columns to slice by, at most 6" in capsys.readouterr().err
    labels = [f"p_{i}" for i in range(4097)]
    wide.write_text(",".join(["time,task,model,outcome", *labels]) + "\n", encoding="utf-8")
    assert main(["replay", str(wide)]) == 2
    assert "4097 columns p_<label>, at most 4096" in capsys.readouterr().err
