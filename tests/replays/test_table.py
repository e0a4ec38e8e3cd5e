"""The forecast table: each rule for its columns and rows, and the same table from every kind of source."""

from __future__ import annotations

import gzip
import string
import sys
from dataclasses import fields
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.errors import TableError
from fairlead.replays.table import BadRow, Dimension, ForecastTable, read_table

DAY = 86_400 * 10**9
NEVER = np.iinfo(np.int64).max

BINARY = "time,task,model,p,outcome"
VECTOR = "time,task,model,p_no,p_yes,outcome"


class Csv:
    """Reads rows given as text."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "forecasts.csv"

    def __call__(self, header: str, *rows: str, **options: Any) -> ForecastTable:
        self.path.write_text("\n".join((header, *rows)) + "\n", encoding="utf-8", newline="")
        return read_table(self.path, **options)

    def reason(self, header: str, row: str, *good: str) -> str:
        """The reason why `row`, put after the good rows, is bad."""
        table = self(header, *good, row)
        (bad,) = table.bad_rows
        assert bad.line == len(good) + 2
        return bad.reason


@pytest.fixture
def csv(tmp_path: Path) -> Csv:
    return Csv(tmp_path)


def assert_same(left: ForecastTable, right: ForecastTable) -> None:
    for field in fields(ForecastTable):
        one, other = getattr(left, field.name), getattr(right, field.name)
        if field.name == "dimensions":
            assert [(d.name, d.values, d.codes.tolist()) for d in one] == [
                (d.name, d.values, d.codes.tolist()) for d in other
            ]
        elif isinstance(one, np.ndarray):
            assert one.dtype == other.dtype, field.name
            np.testing.assert_array_equal(one, other, err_msg=field.name)
        else:
            assert one == other, field.name


# --- the columns --------------------------------------------------------------------------------------------


def test_every_part_of_a_table(csv: Csv) -> None:
    table = csv(
        "time,task,model,category,p,confidence,latency_ms,cost_usd,tokens_in,tokens_out,error,stake_usd,regime,"
        "outcome,outcome_time,note",
        "1970-01-02,t1,a,politics,0.7,0.8,900,0.004,10,20,,40,calm,1,1970-01-09,x",
        "1970-01-02,t1,b,politics,,,,,,,timeout,40,calm,,,",
        "1970-01-01,t2,b,,0.2,,,,,,,,wild,,,",
        slices=["regime"],
    )
    assert (table.kind, table.labels) == ("binary", ("0", "1"))
    assert (table.models, table.tasks) == (("b", "a"), ("t2", "t1"))
    assert table.time.tolist() == [0, DAY, DAY]
    assert table.task.tolist() == [0, 1, 1]
    assert table.model.tolist() == [0, 1, 0]
    np.testing.assert_array_equal(table.answer, [[0.2], [0.7], [np.nan]])
    assert table.failed.tolist() == [False, False, True]
    np.testing.assert_array_equal(table.confidence, [np.nan, 0.8, np.nan])
    np.testing.assert_array_equal(table.latency_ms, [np.nan, 900, np.nan])
    assert table.cost_usd.tolist() == [0, 0.004, 0]
    assert table.tokens_in.tolist() == [0, 10, 0]
    assert table.tokens_out.tolist() == [0, 20, 0]
    np.testing.assert_array_equal(table.outcome, [np.nan, 1])
    assert table.outcome_time.tolist() == [DAY, 8 * DAY]
    assert table.decide_time.tolist() == [0, DAY]
    assert table.stake_usd.tolist() == [0, 40]
    category, regime = table.dimensions
    assert (category.name, category.values, category.codes.tolist()) == ("category", ("politics",), [-1, 0])
    assert (regime.name, regime.values, regime.codes.tolist()) == ("regime", ("wild", "calm"), [0, 1])
    assert table.bad_rows == ()


def test_types_and_layout_of_the_arrays(csv: Csv) -> None:
    table = csv(VECTOR, "1,q,a,0.5,0.5,yes", "2,q,a,0.5,0.5,yes")
    kinds = {field.name: getattr(getattr(table, field.name), "dtype", None) for field in fields(table)}
    assert {name for name, kind in kinds.items() if kind == np.int64} == {
        "time", "tokens_in", "tokens_out", "outcome_time", "decide_time",
    }  # fmt: skip
    assert {name for name, kind in kinds.items() if kind == np.int32} == {"task", "model"}
    assert table.answer.flags.c_contiguous
    assert table.answer.dtype == np.float64
    assert isinstance(csv("category," + BINARY, "c,1,q,a,0.5,1").dimensions[0], Dimension)


@pytest.mark.parametrize("name", ["time", "task", "model", "outcome"])
def test_a_required_column_is_missed_by_name(csv: Csv, name: str) -> None:
    with pytest.raises(TableError, match=f"no column '{name}'.*the table has the columns: "):
        csv(BINARY.replace(name, "other"), "1,1,1,0.5,1")


def test_near_misses_are_suggested(csv: Csv) -> None:
    with pytest.raises(TableError, match="no column 'time'; did you mean 'timestamp'"):
        csv("timestamp,task,model,p,outcome", "1,q,a,0.5,1")
    with pytest.raises(TableError, match="no column 'horzion' to slice by; did you mean 'horizon'"):
        csv("horizon," + BINARY, "0,1,q,a,0.5,1", slices=["horzion"])


@pytest.mark.parametrize("answer", ["q", "p_yes", "p_"])
def test_an_answer_column_is_needed(csv: Csv, answer: str) -> None:
    with pytest.raises(TableError, match="no answer column"):
        csv(f"time,task,model,{answer},outcome", "1,q,a,0.5,1")


@pytest.mark.parametrize("answers", ["p,value", "p,p_no,p_yes", "p_no,p_yes,value"])
def test_two_kinds_of_answer_contradict(csv: Csv, answers: str) -> None:
    with pytest.raises(TableError, match="more than one kind of answer"):
        csv(f"time,task,model,outcome,{answers}", "1,q,a,1" + ",0.5" * len(answers.split(",")))


def test_one_lone_vector_column_is_ignored_beside_p(csv: Csv) -> None:
    assert csv(BINARY + ",p_value", "1,q,a,0.5,1,7").kind == "binary"


def test_a_slice_may_start_like_an_answer(csv: Csv) -> None:
    table = csv(VECTOR + ",p_regime", "1,q,a,0.5,0.5,yes,calm", slices=["p_regime"])
    assert table.labels == ("no", "yes")
    assert table.dimensions[0].values == ("calm",)


@pytest.mark.parametrize("name", ["model", "outcome", "p"])
def test_a_column_with_a_meaning_is_no_slice(csv: Csv, name: str) -> None:
    with pytest.raises(TableError, match=f"'{name}' cannot be a slice"):
        csv(BINARY, "1,q,a,0.5,1", slices=[name])


def test_a_dimension_is_kept_once_and_in_order(csv: Csv) -> None:
    table = csv("b,a,category," + BINARY, "1,2,3,1,q,a,0.5,1", slices=["a", "category", "b", "a"])
    assert [dimension.name for dimension in table.dimensions] == ["category", "a", "b"]


def test_a_column_twice(csv: Csv) -> None:
    with pytest.raises(TableError, match="column 'p' is there twice"):
        csv(BINARY + ",p", "1,q,a,0.5,1,0.5")
    assert csv(BINARY + ",,", "1,q,a,0.5,1,,").tasks == ("q",)  # others do not matter


def test_no_rows(csv: Csv) -> None:
    with pytest.raises(TableError, match="no rows"):
        csv(BINARY)
    csv.path.write_text("")
    with pytest.raises(TableError, match="columns: none"):
        read_table(csv.path)


def test_no_good_row_is_left(csv: Csv) -> None:
    with pytest.raises(TableError, match=r"all 2 rows are bad; line 2: p is 7, outside \[0, 1\]"):
        csv(BINARY, "1,q,a,7,1", "1,q,b,8,1")


# --- files and objects --------------------------------------------------------------------------------------


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"absent\.csv: no such file"):
        read_table(tmp_path / "absent.csv")


def test_unknown_kind_of_file(tmp_path: Path) -> None:
    (tmp_path / "table.xlsx").write_text("")
    with pytest.raises(TableError, match=r"unknown kind of file; a table is a \.csv, \.csv\.gz or \.parquet"):
        read_table(str(tmp_path / "table.xlsx"))


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", gzip.compress(b"time,task\n" * 99)[:-9], b"plain text"])
def test_broken_files(tmp_path: Path, content: bytes) -> None:
    for name in ("table.csv.gz", "table.parquet"):
        if name.endswith("parquet"):
            pytest.importorskip("pyarrow")
        (tmp_path / name).write_bytes(content)
        with pytest.raises(TableError, match="table"):
            read_table(tmp_path / name)


def test_a_file_that_is_not_utf8(csv: Csv) -> None:
    csv.path.write_bytes(BINARY.encode() + b"\n1,q\xff,a,0.5,1\n")
    with pytest.raises(TableError, match="utf-8"):
        read_table(csv.path)


def test_a_field_that_never_ends(csv: Csv) -> None:
    with pytest.raises(TableError, match="field larger than field limit"):
        csv(BINARY, '1,"q,a,0.5,1' + "\n" * 200_000)


def test_any_other_object() -> None:
    with pytest.raises(TypeError, match="not list"):
        read_table([1, 2])  # type: ignore[arg-type]


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "table.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r'pip install "fairlead\[parquet\]"'):
        read_table(tmp_path / "table.parquet")


def test_csv_with_byte_order_mark_and_gzip(csv: Csv, tmp_path: Path) -> None:
    table = csv("\ufeff" + BINARY, "1,q,a,0.5,1")
    packed = tmp_path / "TABLE.CSV.GZ"
    packed.write_bytes(gzip.compress(csv.path.read_bytes()))
    assert_same(read_table(packed), table)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_lines_are_physical(csv: Csv, newline: str) -> None:
    rows = ["", BINARY + ",note", "", '1,q,a,9,1,"two', 'lines"', "", "1,q,b,0.5,1,", "1,q,c,9,1,"]
    csv.path.write_bytes(newline.join(rows).encode())
    assert [bad.line for bad in read_table(csv.path).bad_rows] == [4, 8]


def test_lines_across_the_chunks_of_a_long_file(csv: Csv) -> None:
    rows = [f"{i},q{i},a,{9 if i % 100 == 0 else 0.5},1,{chr(34)}x{chr(10) * (i % 3)}{chr(34)}" for i in range(2000)]
    text = "\n".join((BINARY + ",note", *rows)).split("\n")
    expected = [line for line, content in enumerate(text, start=1) if ",9," in content]
    assert [bad.line for bad in csv(BINARY + ",note", *rows).bad_rows] == expected
    assert len(expected) == 20


def test_a_row_of_the_wrong_length(csv: Csv) -> None:
    assert csv.reason(BINARY, "1,q,b,0.5", "1,q,a,0.5,1") == "the row has 4 fields, the header has 5"
    assert csv.reason(BINARY, "1,q,b,0,5,1", "1,q,a,0.5,1") == "the row has 6 fields, the header has 5"


def test_blanks_around_text_do_not_count(csv: Csv) -> None:
    table = csv(" time , task,model,p ,outcome", "1, q , a, 0.5, 1", "1,q,b,0.5,1")
    assert (table.tasks, table.models) == (("q",), ("a", "b"))
    assert csv.reason(BINARY, "1,  ,a,0.5,1", "1,q,a,0.5,1") == "task is missing"


# --- time ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-02", DAY),
        ("1970-01-02 00:00", DAY),
        ("1970-01-02T00:00:00Z", DAY),
        ("1970-01-02T02:00:00+02:00", DAY),
        ("1970-01-01T18:30:00.5-05:30", DAY + 500_000_000),
        ("1970-01-02 00:00:00.000001", DAY + 1_000),
        ("1970-01-02T00:00:00.123456789Z", DAY + 123_456_789),
        ("86400000000000", DAY),
        ("-5", -5),
        ("20240101", 20240101),  # digits are ns
        (" 1970-01-02 ", DAY),
    ],
)
def test_times_as_text(csv: Csv, text: str, ns: int) -> None:
    assert csv(BINARY, f"{text},q,a,0.5,1").time.tolist() == [ns]
    mixed = csv(BINARY, f"{text},q,a,0.5,1", "1970-01-05T00:00:00.25+00:00,q,a,0.5,1", "x,q,b,0.5,1")
    assert mixed.time.tolist() == [ns, 4 * DAY + 250_000_000]


@pytest.mark.parametrize(
    "text",
    [
        "soon",
        "2024-02-30",
        "2024-01-01T25:00",
        "9999-12-31",
        "1500-01-01",
        "99999999999999999999",
        "1.5",
        "T",
    ],
)
def test_what_is_no_time(csv: Csv, text: str) -> None:
    reason = csv.reason(BINARY, f"{text},q,b,0.5,1", "2024-01-01,q,a,0.5,1")
    assert reason == f"time is {text}, not an ISO date or time (such as 2024-05-03) between 1678 and 2262"


@pytest.mark.parametrize("name", ["time", "task", "model"])
def test_missing_names_and_times(csv: Csv, name: str) -> None:
    row = dict(zip(BINARY.split(","), ["1", "q", "b", "0.5", "1"], strict=True)) | {name: ""}
    assert csv.reason(BINARY, ",".join(row.values()), "1,q,a,0.5,1") == f"{name} is missing"


@pytest.mark.parametrize(
    "times",
    [
        [date(1970, 1, 2), date(1970, 1, 3), None],
        [datetime(1970, 1, 2), datetime(1970, 1, 3), None],
        [datetime(1970, 1, 2, tzinfo=timezone.utc), datetime(1970, 1, 3, tzinfo=timezone.utc), None],
        [
            datetime(1970, 1, 2, 2, tzinfo=timezone(timedelta(hours=2))),
            datetime(1970, 1, 3, tzinfo=timezone.utc),
            None,
        ],
        np.array(["1970-01-02", "1970-01-03", "NaT"], dtype="datetime64[ns]"),
        np.array(["1970-01-02", "1970-01-03", "NaT"], dtype="datetime64[ms]"),
        [DAY, 2 * DAY, None],
        [float(DAY), float(2 * DAY), float("nan")],
    ],
    ids=["date", "naive", "utc", "zones", "ns", "ms", "int", "float"],
)
@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_times_in_frames(library: str, times: Any) -> None:
    build = frame_builder(library)
    data = {"time": times, "task": ["q"] * 3, "model": ["a"] * 3, "p": [0.5] * 3, "outcome": [1] * 3}
    table = read_table(build(data))
    assert table.time.tolist() == [DAY, 2 * DAY]
    assert table.bad_rows == (BadRow(3, "time is missing"),)


def test_times_as_objects_of_several_kinds() -> None:
    pandas = pytest.importorskip("pandas")
    times = [np.datetime64("1970-01-02"), date(1970, 1, 3), pandas.Timestamp(7), 5, True, "1970-01-04"]
    frame = pandas.DataFrame({"time": pandas.Series(times, dtype=object), "task": "q", "model": "a", "p": 0.5})
    table = read_table(frame.assign(outcome=1))
    assert table.time.tolist() == [5, 7, DAY, 2 * DAY, 3 * DAY]
    assert table.bad_rows == (
        BadRow(5, "time is True, not an ISO date or time (such as 2024-05-03) between 1678 and 2262"),
    )


def test_typed_times_that_64_bits_cannot_hold() -> None:
    polars = pytest.importorskip("polars")
    data = {"task": ["q"] * 2, "model": ["a"] * 2, "p": [0.5] * 2, "outcome": [1] * 2}
    for times in ([date(2024, 1, 1), date(9999, 1, 1)], [1, 2**63 + 1], [1.0, 2.5], [0.0, 1e300]):
        frame = polars.DataFrame({"time": times, **data}, strict=False)
        (bad,) = read_table(frame).bad_rows
        assert "not an ISO date or time (such as 2024-05-03) between 1678 and 2262" in bad.reason
    with pytest.raises(TableError, match="all 2 rows are bad; row 1: time is True"):
        read_table(polars.DataFrame({"time": [True, True], **data}))


# --- the answer ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", ["1.3", "-0.1", "inf", "-inf"])
def test_a_probability_outside_its_range(csv: Csv, p: str) -> None:
    assert csv.reason(BINARY, f"1,q,b,{p},1", "1,q,a,0.5,1") == f"p is {p}, outside [0, 1]"


@pytest.mark.parametrize("p", ["", "nan", "NaN", "null", "NA"])
@pytest.mark.parametrize("error", ["", "false", "0"])
def test_an_answer_that_is_missing_without_an_error(csv: Csv, p: str, error: str) -> None:
    reason = csv.reason(f"error,{BINARY}", f"{error},1,q,b,{p},1", ",1,q,a,0.5,1")
    assert reason == "p is missing, and error is empty"


def test_an_answer_that_is_no_number(csv: Csv) -> None:
    assert csv.reason(BINARY, "1,q,b,high,1", "1,q,a,0.5,1") == "p is high, not a number"


def test_the_edges_of_a_probability_are_in(csv: Csv) -> None:
    assert csv(BINARY, "1,q,a,0,1", "1,q,b,1,1").answer.tolist() == [[0], [1]]


@pytest.mark.parametrize("answer", ["", "0.5", "7", "what?"])
def test_a_failed_model_has_no_answer_whatever_it_says(csv: Csv, answer: str) -> None:
    for header, cells in (
        (BINARY, answer),
        (VECTOR, f"{answer},0.5"),
        (BINARY.replace("p,", "value,"), answer),
    ):
        table = csv(f"{header},error", f"1,q,a,{cells},,timeout")
        assert table.failed.tolist() == [True]
        assert np.isnan(table.answer).all()
        assert table.bad_rows == ()


@pytest.mark.parametrize("vector", ["0.5,0.5", "0.5004,0.5005", "0.4995,0.4995", "0,0.999", "0.33,0.671"])
def test_a_vector_that_sums_to_one_is_renormalised(csv: Csv, vector: str) -> None:
    answer = csv(VECTOR, f"1,q,a,{vector},yes").answer[0]
    given = np.array(vector.split(","), dtype=float)
    np.testing.assert_array_equal(answer, given / given.sum())
    assert answer.sum() == pytest.approx(1, abs=1e-15)


@pytest.mark.parametrize(
    ("vector", "reason"),
    [
        ("0.5,0.502", "p_no, p_yes sum to 1.002, not 1"),
        ("0.5,0.498", "p_no, p_yes sum to 0.998, not 1"),
        ("-0.1,1.1", "p_no is -0.1, below 0"),
        ("inf,0.5", "p_no, p_yes sum to inf, not 1"),
        ("1e308,1e308", "p_no, p_yes sum to inf, not 1"),
        ("1,", "p_yes is missing, and error is empty"),
        ("1,nan", "p_yes is missing, and error is empty"),
        ("1,x", "p_yes is x, not a number"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_a_bad_vector(csv: Csv, vector: str, reason: str) -> None:
    assert csv.reason(VECTOR, f"1,q,b,{vector},yes", "1,q,a,0.5,0.5,yes") == reason


def test_float32_is_widened_before_the_tolerance() -> None:
    pandas = pytest.importorskip("pandas")
    labels = [f"p_{i}" for i in range(1000)]
    vector = np.full((1, 1000), 0.001, dtype=np.float32)
    frame = pandas.DataFrame(vector, columns=labels).assign(time=1, task="q", model="a", outcome="7")
    answer = read_table(frame).answer
    np.testing.assert_array_equal(answer, vector.astype(float) / vector.astype(float).sum())


@pytest.mark.parametrize(("value", "reason"), [("inf", "value is inf, not finite"), ("x", "value is x, not a number")])
def test_a_bad_number(csv: Csv, value: str, reason: str) -> None:
    header = BINARY.replace("p,", "value,")
    assert csv.reason(header, f"1,q,b,{value},3.5", "1,q,a,-7,3.5") == reason
    assert csv(header, "1,q,a,-7,3.5").answer.tolist() == [[-7]]


# --- the outcome --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "outcome"),
    [("0", 0), ("1", 1), ("true", 1), ("False", 0), ("TRUE", 1), ("1.0", 1), ("", np.nan), ("null", np.nan)],
)
def test_binary_outcomes(csv: Csv, text: str, outcome: float) -> None:
    np.testing.assert_array_equal(csv(BINARY, f"1,q,a,0.5,{text}").outcome, [outcome])


@pytest.mark.parametrize("text", ["2", "-1", "0.5", "yes", "inf"])
def test_binary_outcomes_that_are_none(csv: Csv, text: str) -> None:
    assert csv.reason(BINARY, f"1,r,a,0.5,{text}", "1,q,a,0.5,1") == f"outcome is {text}, not 0, 1, true or false"


@pytest.mark.parametrize(
    ("labels", "text", "outcome"),
    [
        ("no,yes", "yes", 1),
        ("no,yes", "0", 0),
        ("no,yes", "1.0", 1),
        ("no,yes", "", np.nan),
        ("1,0", "0", 1),  # a label before an index
        ("1,0", "0.0", 1),
        ("a,na", "na", 1),  # a label before a word for nothing
        ("10,20", "1", 1),
    ],
)
def test_categorical_outcomes(csv: Csv, labels: str, text: str, outcome: float) -> None:
    first, second = labels.split(",")
    table = csv(f"time,task,model,p_{first},p_{second},outcome", f"1,q,a,0.5,0.5,{text}")
    assert (table.kind, table.labels) == ("categorical", (first, second))
    np.testing.assert_array_equal(table.outcome, [outcome])


@pytest.mark.parametrize("text", ["maybe", "2", "-1", "Yes", "true"])
def test_categorical_outcomes_that_are_none(csv: Csv, text: str) -> None:
    reason = csv.reason(VECTOR, f"1,r,a,0.5,0.5,{text}", "1,q,a,0.5,0.5,yes")
    assert reason == f"outcome is {text}, not one of no, yes, or an index from 0 to 1"


def test_numeric_outcomes(csv: Csv) -> None:
    header = BINARY.replace("p,", "value,")
    np.testing.assert_array_equal(csv(header, "1,q,a,5,-3.25", "1,r,a,5,").outcome, [-3.25, np.nan])
    assert csv.reason(header, "1,r,a,5,up", "1,q,a,5,5") == "outcome is up, not a number"
    assert csv.reason(header, "1,r,a,5,inf", "1,q,a,5,5") == "outcome is inf, not finite"


def test_an_outcome_on_some_rows_of_a_task_is_enough(csv: Csv) -> None:
    table = csv(BINARY, "1,q,a,0.5,", "1,q,b,0.5,1", "1,q,c,0.5,true", "2,q,d,0.5,")
    assert table.outcome.tolist() == [1]
    assert len(table.time) == 4


def test_outcome_time_defaults_to_the_next_time_in_the_table(csv: Csv) -> None:
    table = csv(BINARY, "3,r,a,0.5,1", "1,q,a,0.5,1", "2,q,a,0.5,1", "2,s,a,9,1", "7,u,a,9,1")
    assert table.tasks == ("q", "r")
    assert table.decide_time.tolist() == [2, 3]
    assert table.outcome_time.tolist() == [3, NEVER]


def test_outcome_time_defaults_for_each_task_without_one(csv: Csv) -> None:
    table = csv("outcome_time," + BINARY, ",1,q,a,0.5,1", "9,2,r,a,0.5,1", ",2,r,b,0.5,1")
    assert table.outcome_time.tolist() == [2, 9]


@pytest.mark.parametrize("time", ["5", "6"])
def test_a_forecast_once_the_outcome_is_known(csv: Csv, time: str) -> None:
    header = "outcome_time," + BINARY
    for settled in ("5", ""):
        reason = csv.reason(header, f"{settled},{time},q,b,0.5,1", "5,4,q,a,0.5,1")
        assert reason == f"time is {time}, not before outcome_time 5"


def test_an_outcome_time_that_is_none(csv: Csv) -> None:
    reason = csv.reason("outcome_time," + BINARY, "later,1,r,a,0.5,1", "5,1,q,a,0.5,1")
    assert reason == "outcome_time is later, not an ISO date or time (such as 2024-05-03) between 1678 and 2262"


# --- what the rows of a task share --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [("category", "x", "y"), ("regime", "1", "2"), ("stake_usd", "40", "41"), ("outcome_time", "8", "9")],
)
def test_a_task_has_one_of_each(csv: Csv, name: str, first: str, second: str) -> None:
    slices = ["regime"] if name == "regime" else []
    rows = [f"{cell},1,q,{model},0.5,1" for cell, model in (("", "a"), (first, "b"), (second, "c"), (first, "d"))]
    table = csv(f"{name},{BINARY}", *rows, slices=slices)
    assert table.bad_rows == (BadRow(4, f"{name} is {second}, but {first} for the same task on line 3"),)


def test_a_task_has_one_outcome(csv: Csv) -> None:
    reason = csv.reason(BINARY, "1,q,c,0.5,false", "1,q,a,0.5,", "3,q,b,0.5,true")
    assert reason == "outcome is false, but true for the same task on line 3"


def test_a_bad_row_binds_no_later_one(csv: Csv) -> None:
    table = csv(BINARY, "1,q,a,9,0", "1,q,b,0.5,1")
    assert [bad.line for bad in table.bad_rows] == [2]
    assert table.outcome.tolist() == [1]


# --- the optional numbers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("confidence", "1.2", "outside [0, 1]"),
        ("confidence", "-0.2", "outside [0, 1]"),
        ("confidence", "high", "not a number"),
        *((name, "-1", "below 0") for name in ("latency_ms", "cost_usd", "stake_usd", "tokens_in", "tokens_out")),
        *((name, "inf", "not finite") for name in ("latency_ms", "cost_usd", "stake_usd", "tokens_in", "tokens_out")),
        *((name, "1.5", "not a whole number") for name in ("tokens_in", "tokens_out")),
        ("tokens_in", "1e17", "too many to count"),
    ],
)
def test_a_bad_optional_number(csv: Csv, name: str, value: str, complaint: str) -> None:
    reason = csv.reason(f"{name},{BINARY}", f"{value},1,q,b,0.5,1", "1,1,q,a,0.5,1")
    assert reason == f"{name} is {value}, {complaint}"


@pytest.mark.parametrize("gap", ["", "NA", "nan", " "])
def test_gaps_in_optional_numbers(csv: Csv, gap: str) -> None:
    table = csv(f"confidence,tokens_in,{BINARY}", f"{gap},{gap},1,q,a,0.5,1", "0.5,3.0,1,q,b,0.5,1")
    np.testing.assert_array_equal(table.confidence, [np.nan, 0.5])
    assert table.tokens_in.tolist() == [0, 3]


# --- repeats, order, strictness -----------------------------------------------------------------------------


def test_a_second_forecast_at_the_same_time(csv: Csv) -> None:
    table = csv(BINARY, "2,q,a,0.5,1", "1,q,a,0.1,1", "2,q,a,0.6,1", "2,q,b,0.7,1", "2,q,a,0.8,1")
    reason = "model, task and time are those of line 2"
    assert table.bad_rows == (BadRow(4, reason), BadRow(6, reason))
    assert table.answer.ravel().tolist() == [
        0.1,
        0.5,
        0.7,
    ]  # the first stands, and an earlier one is no repeat


def test_rows_are_sorted_by_time_and_keep_their_order_within(csv: Csv) -> None:
    table = csv(BINARY, "2,q,b,0.1,1", "1,q,b,0.2,1", "2,q,a,0.3,1", "1,q,a,0.4,1")
    assert table.answer.ravel().tolist() == [0.2, 0.4, 0.1, 0.3]
    assert table.models == ("b", "a")


def test_bad_rows_are_sorted_by_line_and_told_once(csv: Csv) -> None:
    table = csv(BINARY + ",confidence", "1,q,a,0.5,1,2", "1,q,b,0.5,1,", "x,q,c,9,3,9", "1,q,d,9,1,")
    assert [bad.line for bad in table.bad_rows] == [2, 4, 5]


def test_strict_stops_at_the_first_bad_row(csv: Csv) -> None:
    with pytest.raises(TableError, match=r"^line 3: confidence is 2, outside \[0, 1\]$"):
        csv(BINARY + ",confidence", "1,q,a,0.5,1,", "1,q,b,0.5,1,2", "1,q,c,9,1,", strict=True)
    assert len(csv(BINARY, "1,q,a,0.5,1", strict=True).time) == 1


def test_the_good_rows_alone_give_the_same_table(csv: Csv) -> None:
    rows = ["3,q,a,0.5,1", "4,q,a,7,0", "4,r,a,0.5,0", "4,r,b,0.5,1", "4,r,a,0.4,0", "9,s,a,9,1"]
    table = csv(BINARY, *rows)
    bad = {row.line for row in table.bad_rows}
    alone = csv(BINARY, *(row for line, row in enumerate(rows, start=2) if line not in bad))
    assert bad == {3, 5, 6, 7}
    assert alone.bad_rows == ()
    assert alone.answer.tolist() == table.answer.tolist()
    assert alone.outcome_time.tolist() == table.outcome_time.tolist()


# --- frames -------------------------------------------------------------------------------------------------


def frame_builder(library: str) -> Any:
    """Makes a frame of a library from a dict of columns; skips the test without it."""
    module = pytest.importorskip(library)
    return module.table if library == "pyarrow" else module.DataFrame


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_typed_columns_with_gaps(library: str) -> None:
    table = read_table(
        frame_builder(library)(
            {
                "time": [1, 2, 3],
                "task": [7, 8, 9],
                "model": ["a", "b", "a"],
                "p": [0.5, None, 7.0],
                "tokens_in": [3, None, None],
                "error": [None, "timeout", None],
                "outcome": [True, None, False],
            }
        )
    )
    assert (table.tasks, table.models) == (("7", "8"), ("a", "b"))
    np.testing.assert_array_equal(table.answer, [[0.5], [np.nan]])
    assert table.tokens_in.tolist() == [3, 0]
    np.testing.assert_array_equal(table.outcome, [1, np.nan])
    assert table.bad_rows == (BadRow(3, "p is 7.0, outside [0, 1]"),)


def test_pandas_nullable_categorical_and_object_columns() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {
            "time": pandas.Series([2**53 + 1, None, 5], dtype="Int64"),
            "task": pandas.Series(["q", "q", "q"], dtype="category"),
            "model": pandas.Series([["a"], "b", None], dtype=object),
            "value": pandas.Series(["1.5", 2, None], dtype=object),
            "outcome": pandas.Series([None, 2.5, 2.5], dtype="Float64"),
        }
    )
    table = read_table(frame)
    assert table.time.tolist() == [2**53 + 1]  # no detour through float64
    assert table.models == ("['a']",)
    assert table.bad_rows == (BadRow(2, "time is missing"), BadRow(3, "model is missing"))


def test_a_time_is_no_number() -> None:
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(
        {"time": [1], "task": ["q"], "model": ["a"], "value": [date(2024, 1, 1)], "outcome": [1.0]}
    )
    with pytest.raises(TableError, match=r"value is 2024-01-01, not a number"):
        read_table(frame)


def test_a_frame_with_a_column_twice() -> None:
    pandas = pytest.importorskip("pandas")
    with pytest.raises(TableError, match="'p' 2 times"):
        read_table(pandas.DataFrame([[1, 2]], columns=["p", "p"]))


def test_parquet_reads_labels_with_dots_and_only_what_it_needs(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {"time": [1], "task": ["q"], "model": ["a"], "p_a.b": [0.25], "p_c": [0.75], "outcome": ["a.b"]}
    parquet.write_table(pyarrow.table({**columns, "prompt": ["long"]}), tmp_path / "table.parquet")
    table = read_table(tmp_path / "table.parquet")
    assert table.labels == ("a.b", "c")
    assert table.answer.tolist() == [[0.25, 0.75]]
    assert table.outcome.tolist() == [0]


# --- the same table from every source -----------------------------------------------------------------------

NAMES = st.text(string.ascii_letters + string.digits + "-_|,é\"'", min_size=1, max_size=4)
MAYBE_AMOUNT = st.none() | st.floats(0, 1e6)
ROW = st.fixed_dictionaries(
    {
        "time": st.integers(0, 4).map(lambda day: datetime(2024, 1, 1) + timedelta(days=day, microseconds=day)),
        "task": NAMES,
        "model": NAMES,
        "category": st.none() | st.sampled_from(["x", "y"]),
        "p_no": st.floats(0, 1).map(lambda p: round(p, 6)),
        "confidence": st.none() | st.floats(-0.1, 1.1),
        "latency_ms": MAYBE_AMOUNT,
        "tokens_in": st.none() | st.integers(0, 10**6),
        "error": st.none() | st.sampled_from(["timeout", "no, really\nnot"]),
        "outcome": st.none() | st.sampled_from(["no", "yes", "perhaps"]),
    }
)


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(ROW, min_size=1, max_size=12), off=st.sampled_from([0.0, 0.0, 0.0005, 0.01]))
def test_every_source_gives_the_same_table(
    rows: list[dict[str, Any]], off: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    good = {"time": datetime(2024, 1, 9), "task": "the good", "model": "row", "p_no": 0.5}
    rows = [*rows, dict.fromkeys(rows[0]) | good]
    columns: dict[str, list[Any]] = {name: [row[name] for row in rows] for name in rows[0]}
    columns["p_yes"] = [1 - p + (off if i == 0 else 0) for i, p in enumerate(columns["p_no"])]

    types = {"confidence": polars.Float64, "latency_ms": polars.Float64, "tokens_in": polars.Int64}
    text = dict.fromkeys(("category", "error", "outcome"), polars.String)
    frame = polars.DataFrame(columns, schema_overrides={**types, **text})
    folder = tmp_path_factory.mktemp("sources")
    frame.write_csv(folder / "table.csv")
    parquet.write_table(frame.to_arrow(), folder / "table.parquet")
    pandas_frame = pandas.DataFrame(columns)

    table = read_table(frame)
    assert len(table.time) + len(table.bad_rows) == len(rows)
    np.testing.assert_allclose(table.answer[~table.failed].sum(axis=1), 1, rtol=0, atol=1e-15)
    assert (table.outcome_time > table.decide_time).all()
    for source in (folder / "table.parquet", frame.to_arrow(), pyarrow.table(columns), pandas_frame):
        assert_same(read_table(source), table)
    assert_same_but_places(read_table(folder / "table.csv"), table)


def assert_same_but_places(from_csv: ForecastTable, table: ForecastTable) -> None:
    """Bad rows of a CSV file are counted in lines, their numbers are shown as written."""
    assert len(from_csv.bad_rows) == len(table.bad_rows)
    for field in fields(ForecastTable):
        if field.name != "bad_rows":
            one, other = getattr(from_csv, field.name), getattr(table, field.name)
            if isinstance(one, np.ndarray):
                np.testing.assert_array_equal(one, other, err_msg=field.name)
    kept = {field.name: getattr(table, field.name) for field in fields(ForecastTable)}
    assert_same(from_csv, ForecastTable(**kept | {"bad_rows": from_csv.bad_rows}))
