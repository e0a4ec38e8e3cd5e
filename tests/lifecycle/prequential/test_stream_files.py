"""Streams from files, and the command that runs them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from prequential_streams import drifting, trainer

from fairlead import InvalidRecordError
from fairlead.cli import main
from fairlead.lifecycle import Stream, prequential, read_stream

pa = pytest.importorskip("pyarrow")


def csv(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_columns_become_numbers_and_what_counts_rows_is_left_out(tmp_path: Path) -> None:
    text = "t,a,city,day,label\n0,1.5,Bern,2024-01-01,up\n1,,Basel,2024-01-02,down\n2,2.5,Bern,2024-01-05,up\n"
    stream = read_stream(csv(tmp_path / "s.csv", text), target="label")
    assert stream.names == ("a", "city", "day")
    assert stream.y.tolist() == [1, 0, 1]
    assert stream.labels == ("0", "1")
    assert np.isnan(stream.x[1, 0])
    assert stream.x[:, 1].tolist() == [0.0, 1.0, 0.0]
    assert np.diff(stream.x[:, 2]).tolist() == [86_400.0, 3 * 86_400.0]


def test_rows_are_sorted_by_time_and_those_without_a_label_left_out(tmp_path: Path) -> None:
    path = csv(tmp_path / "s.csv", "when,a,label\n3,30,1\n1,10,0\n2,20,\n4,40,0\n")
    stream = read_stream(path, target="label", time="when")
    assert stream.names == ("a",)
    assert stream.x[:, 0].tolist() == [10.0, 30.0, 40.0]
    assert stream.y.tolist() == [0, 1, 0]


def test_parquet_is_as_csv(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    table = pa.table({"a": np.array([1.0, 5.0, 2.0], dtype=np.float32), "label": ["x", "y", "z"]})
    pq.write_table(table, tmp_path / "s.parquet")
    stream = read_stream(tmp_path / "s.parquet", target="label")
    assert stream.x[:, 0].tolist() == [1.0, 5.0, 2.0]
    assert (stream.labels, stream.y.tolist()) == (("x", "y", "z"), [0, 1, 2])


@pytest.mark.parametrize(
    ("text", "more", "match"),
    [
        ("a,label\n1,0\n3,1\n", {"target": "lable"}, "has no column 'lable'.*did you mean 'label'"),
        ("a,label\n1,0\n3,1\n", {"target": "label", "time": "t"}, "has no column 't'"),
        ("label\n1\n0\n", {"target": "label"}, "no column beside 'label'"),
        ("a,label\n1,0\n3,0\n", {"target": "label"}, "one label alone"),
        ("a,label\n" + "".join(f"{i * i},{i}.5\n" for i in range(300)), {"target": "label"}, "300 different labels"),
    ],
)
def test_files_that_are_no_stream_are_refused(tmp_path: Path, text: str, more: dict[str, str], match: str) -> None:
    with pytest.raises(InvalidRecordError, match=match):
        read_stream(csv(tmp_path / "s.csv", text), **more)  # type: ignore[arg-type]


def test_arrays_that_are_no_stream_are_refused() -> None:
    for x, y, match in (
        ([1.0, 2.0], [0, 1], "x has shape"),
        ([[1.0], [np.inf]], [0, 1], r"x\[1, 0\] is inf"),
        ([[1.0], [2.0]], [0], "y has shape"),
        ([[1.0], [2.0]], [0, None], "lacks a label in row 1"),
        ([["a"], ["b"]], [0, 1], "x must be rows of numbers"),
    ):
        with pytest.raises(InvalidRecordError, match=match):
            Stream.of(x, y)


def test_the_command_needs_nothing_but_the_file_and_the_target(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fairlead.lifecycle.streamed.run.default_trainer", trainer)
    stream = drifting(300, every=150)
    lines = [f"{a:.6f},{b:.6f},{y}" for (a, b), y in zip(stream.x.tolist(), stream.y.tolist(), strict=True)]
    path = csv(tmp_path / "s.csv", "\n".join(["a,b,label", *lines]))
    assert main(["prequential", str(path), "--target", "label", "--warm", "60", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    names = [c["name"] for c in found["contenders"]]
    assert names == [
        "managed",
        "never retrained",
        "fixed schedule",
        "ADWIN-triggered",
        "ADWIN, its window",
        "no change",
    ]
    assert found["contenders"][0]["retrains"] == found["contenders"][2]["retrains"] > 0
    assert main(["prequential", str(path), "--target", "label", "--warm", "60", "--no-history", "--events"]) == 0
    out = capsys.readouterr().out
    assert "first -> serving" in out
    assert "ADWIN-triggered" in out
    assert "\x1b" not in out
    assert main(["prequential", str(path), "--target", "nothing"]) == 2
    assert "has no column 'nothing'" in capsys.readouterr().err


def test_the_trainer_of_the_command_takes_missing_values(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("skops")
    stream = drifting(110, every=200)
    stream.x[::9, 0] = np.nan
    found = prequential(stream, warm=80, rivals=["fixed schedule"])
    assert found.managed.accuracy > 0.5
