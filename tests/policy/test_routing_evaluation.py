"""Tables of prompts, the evaluation of routers on them, its picture and its command; and the public data, if there."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from fairlead.cli import main
from fairlead.errors import TableError
from fairlead.policy.routing import RoutingTable, draw, evaluate_routers, read_prices, read_routing_table

TOPICS = {"prove": (0.2, 0.9), "recall": (0.9, 0.95), "sum": (0.6, 0.7)}


def made(n: int = 300, models: int = 2, seed: int = 0, cost: bool = False) -> RoutingTable:
    dice = np.random.default_rng(seed)
    sets = [list(TOPICS)[i] for i in dice.integers(0, 3, size=n)]
    texts = [f"{kind} the thing number {dice.integers(1000)} " + "please " * int(dice.integers(4)) for kind in sets]
    p = np.array([np.linspace(*TOPICS[kind], models) for kind in sets])
    quality = (dice.random(p.shape) < p).astype(float)
    prices = np.broadcast_to(np.geomspace(1e-6, 1e-4, models), p.shape)
    return RoutingTable(tuple("abcdefgh"[:models]), texts, sets, quality, prices if cost else None)


def test_two_models_give_apgr() -> None:
    report = evaluate_routers(made(), bootstrap=50)
    assert report.metric == "APGR"
    names = [router.name for router in report.routers]
    assert names == ["linear", "nearest", "task type", "set mean", "length", "random", "oracle"]
    random = report["random"]
    assert (random.score, random.low, random.high) == pytest.approx((0.5, 0.5, 0.5), abs=1e-9)
    assert report["random"].half == pytest.approx(0.5)
    assert min(report["linear"].score, report["nearest"].score, report["set mean"].score) > 0.6
    assert report["oracle"].score > report["set mean"].score
    for router in report.routers:
        assert router.low <= router.score + 1e-9
        assert router.score <= router.high + 1e-9
    assert [model.name for model in report.singles] == ["b", "a"]
    assert "APGR" in str(report)
    assert json.loads(json.dumps(report.as_dict()))["routers"][0]["name"] == "linear"
    with pytest.raises(KeyError, match="no router 'x'"):
        report["x"]


def test_labels_draw_and_the_seed_repeats() -> None:
    table = made()
    first, again, other = (evaluate_routers(table, labels=100, repeats=2, seed=s, bootstrap=0) for s in (1, 1, 2))
    assert first.protocol == "fitted on 100, judged on the rest, 2 times"
    assert str(first) == str(again) != str(other)
    assert np.isnan(first["linear"].low)


def test_many_models_give_aiq_and_agreement() -> None:
    report = evaluate_routers(made(400, models=4, cost=True), bootstrap=20, folds=3)
    assert report.metric == "AIQ"
    scores = {router.name: router.score for router in report.routers}
    assert scores["random"] <= scores["single models"] + 1e-12 < scores["linear"] < scores["oracle"] <= 1
    plain, told = report.agreement
    assert (plain.name, told.name) == ("agreement", "agreement + linear")
    assert plain.came[0].n + plain.came[1].n == 400
    assert abs(plain.said[0] - plain.came[0].first) < 0.1
    assert told.cost <= 0.55
    assert "chance said" in str(report)
    for x, y in report.curves.values():
        assert len(x) == len(y) == 101
        assert (np.diff(y) >= -1e-12).all()


def test_a_perfect_single_model_by_hand() -> None:
    """The cheapest model is always right: every router that sees it reaches 1, whatever it spends."""
    n = 60
    quality = np.column_stack([np.ones(n), np.zeros(n), np.zeros(n)])
    cost = np.broadcast_to([1e-6, 2e-6, 3e-6], quality.shape)
    table = RoutingTable(("a", "b", "c"), [f"text {i}" for i in range(n)], [""] * n, quality, cost)
    report = evaluate_routers(table, folds=2, bootstrap=0)
    assert {router.name: router.score for router in report.routers} == dict.fromkeys(
        ["linear", "nearest", "task type", "length", "random", "oracle", "single models"], pytest.approx(1.0)
    )
    assert report.agreement == ()  # nothing is cheaper than the best one


@pytest.mark.parametrize("table", [made(80), made(120, models=4, cost=True)], ids=["pair", "many"])
def test_picture(table: RoutingTable) -> None:
    text = draw(evaluate_routers(table, folds=2, bootstrap=5))
    root = ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    drawn = "".join(root.itertext())
    for word in ("linear", "oracle", "length", "random", "set mean"):
        assert word in drawn
    assert text.count("<polyline") == (7 if len(table.models) == 2 else 8)
    assert "nan" not in text.split("</style>")[1]


def test_options_outside_their_range_are_named() -> None:
    for options, words in (
        ({"labels": 300}, "labels is 300"),
        ({"folds": 1}, "folds is 1"),
        ({"labels": 5, "repeats": 0}, "repeats is 0"),
        ({"bootstrap": -1}, "bootstrap is -1"),
    ):
        with pytest.raises(ValueError, match=words):
            evaluate_routers(made(), **options)
    with pytest.raises(TableError, match="more than two models and no costs"):
        evaluate_routers(made(models=3))


# --- tables ----------------------------------------------------------------------------------------------------------

RECORDS: list[dict[str, Any]] = [
    {"prompt": "one", "task": "x", "dataset": "d", "a": True, "b": 0.5, "a|total_cost": 1e-3, "b|total_cost": 2e-3},
    {"prompt": "two, ü", "task": "y", "dataset": "e", "a": False, "b": 1, "a|total_cost": 1e-3, "b|total_cost": 2e-3},
]


def written(folder: Path, kind: str, records: list[dict[str, Any]]) -> Path:
    path = folder / f"table.{kind}"
    if kind == "parquet":
        pandas = pytest.importorskip("pandas")
        pytest.importorskip("pyarrow")
        pandas.DataFrame(records).to_parquet(path)
        return path
    if kind.startswith("csv"):
        lines = [list(records[0])] + [list(record.values()) for record in records]
        text = "\n".join(",".join(f'"{cell}"' for cell in line) for line in lines)
    else:
        text = "\n".join(json.dumps(record) for record in records) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if kind.endswith("gz") else text.encode())
    return path


@pytest.mark.parametrize("kind", ["parquet", "csv", "csv.gz", "jsonl", "jsonl.gz"])
def test_every_layout_reads_alike(kind: str, tmp_path: Path) -> None:
    table = read_routing_table(written(tmp_path, kind, RECORDS))
    assert table.models == ("a", "b")
    assert table.texts == ["one", "two, ü"]
    assert table.sets == ["x", "y"]
    assert table.quality.tolist() == [[1, 0.5], [0, 1]]
    assert table.cost_usd is not None
    assert table.cost_usd.tolist() == [[1e-3, 2e-3]] * 2
    assert read_routing_table(tmp_path / f"table.{kind}", where={"dataset": "e"}).texts == ["two, ü"]
    assert read_routing_table(tmp_path / f"table.{kind}", models=["b", "a"]).quality.tolist() == [[0.5, 1], [1, 0]]


def test_prices_and_answers(tmp_path: Path) -> None:
    bare = [{"prompt": "x" * 400, "a": 1, "b": 0, "a|answer": "A", "b|answer": "B"}]
    prices = tmp_path / "prices.csv"
    prices.write_text("model,input_usd_per_1M,output_usd_per_1M\na,1,2\nb,3,4\n")
    table = read_routing_table(written(tmp_path, "jsonl", bare), prices=read_prices(prices))
    assert table.cost_usd is not None
    assert np.allclose(table.cost_usd, [[3e-4, 7e-4]])  # 100 tokens there, 100 back
    assert table.answers is not None
    assert table.answers.tolist() == [["A", "B"]]
    assert table.sets == [""]
    with pytest.raises(TableError, match="prices has no model 'b'"):
        read_routing_table(tmp_path / "table.jsonl", prices={"a": (1, 1)})
    prices.write_text("model,input_usd_per_1M,output_usd_per_1M\na,1,x\n")
    with pytest.raises(TableError, match="line 2"):
        read_prices(prices)
    prices.write_text("model,input_usd_per_1M,output_usd_per_1M\na,1,-2\n")
    with pytest.raises(TableError, match="negative"):
        read_prices(prices)


def test_what_is_wrong_with_a_table_is_named(tmp_path: Path) -> None:
    for records, words in (
        ([{"a": 1, "b": 1}], "no column 'prompt'"),
        ([{"prompt": "x", "a": 1}], "models has 1 entries"),
        ([{"prompt": 3, "a": 1, "b": 1}], "prompt in row 0 is 3"),
        ([{"prompt": "x", "a": 1, "b": 2}], "quality of 'b' in row 0 is 2.0"),
        ([{"prompt": "x", "a": 1, "b": None}], "b in row 0 is None"),
        ([{"prompt": "x", "a": 1, "b": 1}, {"prompt": "x", "a": 1}], "row 1 has other columns"),
    ):
        with pytest.raises(TableError, match=words):
            read_routing_table(written(tmp_path, "jsonl", records))
    path = written(tmp_path, "jsonl", RECORDS)
    for options, words in (
        ({"where": {"x": "1"}}, "where names column 'x'"),
        ({"where": {"task": "z"}}, "no row of 2 has task = 'z'"),
        ({"models": ["a", "c"]}, "models names column 'c'"),
    ):
        with pytest.raises(TableError, match=words):
            read_routing_table(path, **options)  # type: ignore[arg-type]
    for name, text in (("x.txt", "a"), ("x.jsonl", "{"), ("y.jsonl", "[1]\n"), ("z.csv", "")):
        (tmp_path / name).write_text(text)
        with pytest.raises(TableError):
            read_routing_table(tmp_path / name)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = made(60)
    records = [
        {"prompt": text, "task": kind, "weak": row[0], "strong": row[1]}
        for text, kind, row in zip(source.texts, source.sets, source.quality.tolist(), strict=True)
    ]
    path, out = str(written(tmp_path, "jsonl", records)), tmp_path / "curve.svg"
    assert main(["route", "eval", path, "--folds", "2", "--out", str(out)]) == 0
    assert "APGR" in capsys.readouterr().out
    assert out.read_text("utf-8").startswith("<svg")
    assert main(["route", "eval", path, "--labels", "30", "--repeats", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["metric"] == "APGR"
    assert found["prompts"] == 60
    for wrong, words in (
        (["--labels", "60"], "labels is 60, outside [1, 59]"),
        (["--where", "task"], "must be COLUMN=VALUE"),
        (["--models", "weak"], "models has 1 entries"),
    ):
        assert main(["route", "eval", path, *wrong]) == 2
        assert words in capsys.readouterr().err


# --- the public data -------------------------------------------------------------------------------------------------


def test_routellm_mmlu(shared_data: Path) -> None:
    pytest.importorskip("pyarrow")
    path = shared_data / "routing" / "routellm_2model_dev.parquet"
    table = read_routing_table(path, where={"dataset": "mmlu"})
    report = evaluate_routers(table, labels=1500, repeats=2, bootstrap=0)
    assert report["linear"].score >= 0.63
    assert report["nearest"].score >= 0.63
    assert report["length"].score == pytest.approx(0.581, abs=0.01)
    assert report["linear"].score > report["length"].score + 0.05
    assert [round(model.quality, 2) for model in report.singles] == [0.80, 0.68]


def test_llmrouter_nine_models(shared_data: Path) -> None:
    pytest.importorskip("pyarrow")
    prices = read_prices(shared_data / "routing" / "llmrouter_9model_prices.csv")
    table = read_routing_table(shared_data / "routing" / "llmrouter_9model_dev.parquet", prices=prices)
    report = evaluate_routers(table.take(np.arange(0, len(table), 2)), folds=2, bootstrap=0)
    assert report["linear"].score > report["single models"].score > report["random"].score
    told = report.agreement[1]
    assert told.quality >= 0.96  # on all prompts, 5-fold: see docs/routing.md
    assert told.cost <= 0.5
