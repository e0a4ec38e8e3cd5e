"""A reference is fitted once, saved, and compared with tables of any kind; reports print and draw."""

from __future__ import annotations

import html.parser
import json
import math
import pickle
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fairlead as fl
from fairlead import drift


def table(n: int, seed: int, shift: float = 0.0) -> dict[str, Any]:
    dice = np.random.default_rng(seed)
    plan = dice.choice(["basic", "plus", "trial"], n, p=[0.6 - shift / 4, 0.3, 0.1 + shift / 4]).tolist()
    return {
        "age": dice.normal(40 + 5 * shift, 10, n),
        "score": np.where(dice.random(n) < 0.05, np.nan, dice.random(n)),
        "plan": plan,
        "paid": dice.random(n) < 0.4,
    }


def as_frames(data: dict[str, Any]) -> dict[str, Any]:
    pandas, polars, pyarrow = (pytest.importorskip(name) for name in ("pandas", "polars", "pyarrow"))
    return {"pandas": pandas.DataFrame(data), "polars": polars.DataFrame(data), "pyarrow": pyarrow.table(data)}


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow"])
def test_frames_of_all_kinds_give_the_same_report(kind: str) -> None:
    before, now = table(2000, 1), table(700, 2, 0.5)
    now["plan"][:30] = [None] * 30
    expected = drift.fit(before).compare(now)
    found = drift.fit(as_frames(before)[kind]).compare(as_frames(now)[kind])
    assert found == expected
    assert found["plan"].missing_live == pytest.approx(30 / 700)
    assert found["plan"].bins[-1] == "missing"


def test_nulls_among_numbers_are_missing() -> None:
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    values = [1, 2, None, 4, 5, 6, None, 8]
    plain = drift.fit({"x": values}, bins=3)
    for frame in (polars.DataFrame({"x": values}), pandas.DataFrame({"x": pandas.array(values, dtype="Int64")})):
        found = drift.fit(frame, bins=3).compare(frame)["x"]
        assert found == plain.compare({"x": values})["x"]
        assert found.missing_live == 0.25
        assert found.psi == 0.0


def test_categories_of_frames() -> None:
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    values = ["a", "b", None, "a"]
    expected = drift.fit({"x": values}).compare({"x": values})
    for frame in (
        pandas.DataFrame({"x": pandas.Categorical(values)}),
        pandas.DataFrame({"x": pandas.array(values, dtype="string")}),
        polars.DataFrame({"x": values}, schema={"x": polars.Categorical}),
    ):
        assert drift.fit(frame).compare(frame) == expected


def test_a_feature_is_measured_as_the_functions_do() -> None:
    before, now = table(3000, 3), table(1000, 4, 0.3)
    report = drift.fit(before).compare(now)
    age, single = report["age"], drift.psi(before["age"], now["age"])
    assert (age.psi, age.psi_corrected, age.psi_p) == (single.psi, single.corrected, single.p_value)
    assert age.ks == drift.kolmogorov_smirnov(before["age"], now["age"]).statistic
    assert age.wasserstein == drift.wasserstein(before["age"], now["age"])
    assert age.chi2_p == drift.chi_square(age.reference_counts, age.live_counts).p_value
    assert age.jensen_shannon == drift.jensen_shannon(age.reference_counts, age.live_counts)
    assert age.psi == fl.Psi(before["age"]).compare(now["age"])
    assert math.fsum(age.contributions) == pytest.approx(age.psi, rel=1e-12)
    assert sum(age.live_counts) == age.n_live == 1000
    plan = report["plan"]
    assert plan.bins == ("basic", "plus", "trial")
    assert math.isnan(plan.ks)
    assert plan.p_of("ks") == plan.chi2_p
    assert plan.psi == drift.psi_from_counts(plan.reference_counts, plan.live_counts).psi


def test_the_quick_answer_is_the_same_index() -> None:
    before, now = table(800, 5), table(600, 6, 0.4)
    reference = drift.fit(before)
    assert reference.psi(now) == {row.feature: row.psi for row in reference.compare(now)}
    numbers = np.random.default_rng(1).normal(size=(500, 11))
    fitted = drift.fit(numbers, columns=[f"f{i}" for i in range(11)])
    expected = {row.feature: row.psi for row in fitted.compare(numbers * 1.1)}
    for layout in (np.ascontiguousarray, np.asfortranarray):
        assert fitted.psi(layout(numbers * 1.1)) == expected
    assert fitted.psi((numbers * 1.1).astype(np.float32)) == pytest.approx(expected, abs=0.02)


def test_rare_and_new_categories_share_a_bin() -> None:
    before = ["a"] * 50 + ["b"] * 30 + ["c"] * 2 + ["d"]
    reference = drift.fit({"x": before}, max_categories=2)
    assert reference.bins("x") == ("a", "b", "other", "missing")
    row = reference.compare({"x": ["a"] * 50 + ["z"] * 5 + [None] * 5 + [float("nan")]})["x"]
    assert row.bins == ("a", "b", "other", "missing")
    assert row.reference_counts == (50, 30, 3, 0)
    assert row.live_counts == (50, 0, 5, 6)
    numbers = drift.fit({"x": [1, 2, 2, 3]}, bins={"x": "categories"})
    assert numbers.compare({"x": [2, 2, 4, 1]})["x"].live_counts == (2, 1, 0, 1)


def test_false_discoveries_are_kept_down() -> None:
    dice = np.random.default_rng(9)
    reference = drift.fit(dice.normal(size=(1000, 60)))
    live = dice.normal(size=(1000, 60))
    plain = reference.compare(live, correction="none")
    for correction in ("bh", "by"):
        report = reference.compare(live, correction=correction)
        assert len(report.drifted) <= 1 <= len(plain.drifted)
    live[:, 7] += 0.3
    assert reference.compare(live).drifted == ("x7",)
    for test in ("psi", "chi2", "ks", "cramer_von_mises"):
        report = reference.compare(live, test=test, correction="by", alpha=0.01)
        assert report.drifted == ("x7",)
        assert report["x7"].p_value == getattr(report["x7"], f"{test}_p")


def test_saved_and_loaded_it_gives_the_same_answers(tmp_path: Path) -> None:
    before, now = table(900, 10), table(500, 11, 0.2)
    before["score"][:3] = [math.inf, -math.inf, 5e-324]
    reference = drift.fit(before, bins={"age": [30.0, 40.0, 40.0, 55.5]})
    path = tmp_path / "reference.drift"
    reference.save(path)
    for again in (drift.load(path), pickle.loads(pickle.dumps(reference))):
        assert again.features == reference.features
        assert again.compare(now) == reference.compare(now)
        assert again.to_bytes() == reference.to_bytes()
    np.testing.assert_array_equal(reference.edges("age"), [30.0, 40.0, 55.5])


def test_damaged_bytes_are_refused() -> None:
    good = drift.fit(table(50, 12)).to_bytes()
    dice = np.random.default_rng(1)
    for _ in range(200):
        place = int(dice.integers(len(good)))
        with pytest.raises(ValueError, match="no saved drift reference"):
            drift.Reference.from_bytes(
                good[:place] + bytes([good[place] ^ (1 << int(dice.integers(8)))]) + good[place + 1 :]
            )
    for wrong in (b"", good[:-1], good + b"x", good[:20]):
        with pytest.raises(ValueError, match="no saved drift reference"):
            drift.Reference.from_bytes(wrong)
    for a, b in ((b'"numeric"', b'"nonsense'), (b'"counts"', b'"c_unts"'), (b'"numbers"', b'"numb_rs"')):
        body = good[:-4].replace(a, b)
        with pytest.raises(ValueError, match=r"no saved drift reference|no such feature"):
            drift.Reference.from_bytes(body + zlib.crc32(body).to_bytes(4, "little"))


def test_many_tables_by_name_or_place() -> None:
    reference = drift.fit(table(500, 13))
    tables = [table(300, 14), table(300, 15, 1.0)]
    by_place = reference.compare_many(tables)
    assert by_place == {0: reference.compare(tables[0]), 1: reference.compare(tables[1])}
    assert reference.compare_many({"tue": tables[1]}, test="ks")["tue"] == reference.compare(tables[1], test="ks")


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=40), st.lists(st.floats(), min_size=1, max_size=40))
def test_any_numbers_give_a_report(before: list[float], now: list[float]) -> None:
    row = drift.fit(before).compare(now)["x0"]
    assert row.psi >= 0.0
    assert 0.0 <= row.psi_p <= 1.0
    assert 0.0 <= row.jensen_shannon <= 1.0
    assert drift.fit(before).compare(before)["x0"].psi == 0.0
    str(drift.fit(before).compare(now))
    drift.fit(before).compare(now).html()


class Balanced(html.parser.HTMLParser):
    """That every element is closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in ("meta", "rect", "line"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_report_prints_and_draws(tmp_path: Path) -> None:
    before, now = table(2000, 16), table(800, 17, 0.6)
    evil = "<script>alert('x')</script>"
    before[evil], now[evil] = before["age"], now["age"]
    now["plan"][:9] = [evil] * 9
    before["many"], now["many"] = [f"level {i % 40}" for i in range(2000)], [f"level {i % 39}" for i in range(800)]
    before["one"], now["one"] = np.full(2000, 7.0), np.full(800, 7.0)
    report = drift.fit(before).compare(now)
    lines = str(report).splitlines()
    assert lines[0] == report.headline()
    assert lines[0].startswith("4 of 7 features drifted") or len(report.drifted) != 4
    assert len(lines) == 3 + len(report)
    assert [line.split()[0] for line in lines[3:]] == [row.feature.split()[0] for row in report.worst_first()]
    page = report.html(title="March & April")
    assert "<script" not in page
    assert "March &amp; April" in page
    assert "nan" not in page.replace("nance", "")
    assert page.count('class="plot bins"') == len(report)
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    report.save(tmp_path / "drift.html", title="March & April")
    assert (tmp_path / "drift.html").read_text(encoding="utf-8") == page == report.html(title="March & April")
    shown = report._repr_html_()
    assert shown.startswith("<iframe")
    assert html.unescape(shown.partition('srcdoc="')[2].rpartition('"')[0]) == report.html()
    assert repr(report).startswith(f"DriftReport({len(report.drifted)} of 7 features drifted: ")
    assert len(repr(report)) < 200


def test_rows_are_for_frames_and_json() -> None:
    pandas = pytest.importorskip("pandas")
    report = drift.fit(table(300, 18)).compare(table(200, 19))
    frame = pandas.DataFrame(report.rows_as_dicts())
    assert frame["feature"].tolist() == ["age", "score", "plan", "paid"]
    bins = pandas.DataFrame(report.bin_rows())
    sums = bins.groupby("feature")["contribution"].sum()
    np.testing.assert_allclose([sums[row.feature] for row in report], [row.psi for row in report], rtol=1e-12)
    assert json.loads(json.dumps(report.as_dict()))["rows"][0]["psi"] == report["age"].psi
    with pytest.raises(KeyError, match="weight"):
        report["weight"]


def no_numbers() -> Any:
    return drift.fit({"a": [math.nan, math.nan]})


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: drift.fit(5), TypeError, "reference is int"),
        (lambda: drift.fit({}), ValueError, "reference has no columns"),
        (lambda: drift.fit([]), ValueError, "reference is empty"),
        (no_numbers, ValueError, r"reference\['a'\] holds no number"),
        (lambda: drift.fit({"a": [None]}), ValueError, r"reference\['a'\] holds no category"),
        (
            lambda: drift.fit({"a": [1], "b": [1, 2]}),
            ValueError,
            r"reference\['b'\] has length 2, reference\['a'\] has 1",
        ),
        (lambda: drift.fit({"a": [1, 2]}, bins=1), ValueError, "bins is 1"),
        (lambda: drift.fit({"a": [1, 2]}, bins={"b": 3}), ValueError, "bins names 'b'"),
        (lambda: drift.fit({"a": [1, 2]}, bins={"a": 1}), ValueError, "bins of 'a': bins is 1"),
        (lambda: drift.fit({"a": [1, 2]}, bins={"a": [3, 1]}), ValueError, "bins of 'a': edges must be"),
        (
            lambda: drift.fit({"a": ["x"]}, bins={"a": 5}),
            ValueError,
            r"bins of 'a' is 5, but reference\['a'\] holds",
        ),
        (lambda: drift.fit({"a": [1, 2]}, bins="auto"), ValueError, "bins of 'a' is 'auto'"),
        (lambda: drift.fit({"a": [1, 2]}, how="depth"), ValueError, "how is 'depth'"),
        (lambda: drift.fit({"a": [1, 2]}, max_categories=0), ValueError, "max_categories is 0"),
        (lambda: drift.fit({"a": [1, 2]}, columns=["b"]), ValueError, "reference has no column 'b'; it has 'a'"),
        (lambda: drift.fit([[1, 2]], columns=["b"]), ValueError, "names is .'b'., must be 2 different names"),
        (lambda: drift.fit({"a": [1, 2]}).compare({"b": [1]}), ValueError, "live has no column 'a'"),
        (lambda: drift.fit({"a": [1, 2]}).compare({"a": ["x"]}), TypeError, r"live\['a'\] has dtype"),
        (lambda: drift.fit({"a": [1, 2]}).compare({"a": []}), ValueError, "live is empty"),
        (lambda: drift.fit([[1, 2]]).compare([[1, 2, 3]]), ValueError, "live has 3 columns, the reference has 2"),
        (lambda: drift.fit([[1, 2]]).psi(np.ones((3, 1))), ValueError, "live has 1 columns, the reference has 2"),
        (lambda: drift.fit([1, 2]).compare([1], test="t"), ValueError, "test is 't'"),
        (lambda: drift.fit([1, 2]).compare([1], correction="x"), ValueError, "correction is 'x'"),
        (lambda: drift.fit([1, 2]).compare([1], alpha=1.0), ValueError, "alpha is 1.0"),
        (
            lambda: drift.fit({"a": np.array(["2020"], dtype="M8[D]")}),
            TypeError,
            r"reference\['a'\] has dtype datetime64.*leave it out with columns",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


def test_a_column_of_times_in_a_frame_is_refused_unless_left_out() -> None:
    polars = pytest.importorskip("polars")
    from datetime import datetime

    frame = polars.DataFrame({"when": [datetime(2026, 1, 1)] * 3, "x": [1.0, 2.0, 3.0]})
    with pytest.raises(TypeError, match="leave it out with columns"):
        drift.fit(frame)
    reference = drift.fit(frame, columns=["x"])
    assert reference.compare(frame)["x"].psi == 0.0


def test_a_frame_that_cannot_be_taken_is_told_so() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    with pytest.raises(ValueError, match="reference has no column 'zz'; it has 'a', 'b'"):
        drift.fit(frame, columns=["zz"])
    with pytest.raises(TypeError, match="live is one DataFrame, must be a list or a mapping of tables"):
        drift.fit(frame).compare_many(frame)
    frame.columns = ["a", "a"]
    with pytest.raises(ValueError, match="reference has two columns named 'a'"):
        drift.fit(frame)


def test_the_module_shows_its_names_alone() -> None:
    assert dir(drift) == sorted(drift.__all__)


def test_columns_may_have_numbers_for_names() -> None:
    pandas = pytest.importorskip("pandas")
    values = np.random.default_rng(20).normal(size=(200, 2))
    for before in (pandas.DataFrame(values), {0: values[:, 0], 1: values[:, 1]}):
        reference = drift.fit(before)
        assert reference.features == ("0", "1")
        report = drift.Reference.from_bytes(reference.to_bytes()).compare(before)
        assert [row.psi for row in report] == [0.0, 0.0]
        assert "\n1 " in str(report)
    with pytest.raises(ValueError, match="reference has two columns named '1'"):
        drift.fit({1: [1.0, 2.0], "1": [1.0, 2.0]})


@pytest.mark.parametrize("test", ["psi", "chi2", "ks", "cramer_von_mises"])
def test_a_feature_that_went_missing_has_drifted(test: Any) -> None:
    polars = pytest.importorskip("polars")
    reference = drift.fit({"x": range(300)})
    for gone in ([None] * 90, [math.nan] * 90, polars.Series([None] * 90)):
        live: Any = polars.DataFrame({"x": gone}) if isinstance(gone, polars.Series) else {"x": gone}
        report = reference.compare(live, test=test)
        assert report.drifted == ("x",)
        assert report["x"].missing_live == 1.0


def test_edges_are_told_apart_in_words() -> None:
    seconds = 1.7e9 + np.arange(1000)
    assert drift.fit({"x": [3.5] * 9}).bins("x") == ("up to 3.5", "3.5 to 3.5", "above 3.5", "missing")
    for values in (seconds, 2000.0 + np.arange(1000) / 1e4, np.arange(1000) / 1e300):
        labels = drift.fit({"x": values}).bins("x")
        assert len(set(labels)) == len(labels)
        assert all(len(set(label.split(" to "))) == 2 for label in labels if " to " in label and "up" not in label)


def test_a_reference_of_one_infinite_value_is_saved_and_loaded() -> None:
    for value in (math.inf, -math.inf):
        reference = drift.fit({"x": [value] * 9})
        again = drift.Reference.from_bytes(reference.to_bytes())
        assert again.compare({"x": [value] * 5})["x"].psi == pytest.approx(reference.psi({"x": [value] * 5})["x"])
        assert fl.Psi([value] * 9).edges.tolist() == sorted(set(fl.Psi([value] * 9).edges.tolist()))


@pytest.mark.parametrize(
    "head",
    [
        '[{"numbers": -1}]',
        '[{"name": "x", "kind": "categorical", "levels": [], "counts": [-1, 0]}]',
        "[1]",
        "{",
        "[" * 9999,
    ],
)
def test_a_made_up_file_with_a_good_checksum_is_refused(head: str) -> None:
    data = drift.fit([1.0, 2.0]).to_bytes()
    made_up = data[:12] + len(head).to_bytes(8, "little") + head.encode()
    with pytest.raises(ValueError, match="no saved drift reference"):
        drift.Reference.from_bytes(made_up + zlib.crc32(made_up).to_bytes(4, "little"))
