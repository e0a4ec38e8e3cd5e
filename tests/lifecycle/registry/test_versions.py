"""Versions, cards and names."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from registry_doubles import START, Told, weights

import fairlead as fl
from fairlead.errors import InvalidRecordError
from fairlead.lifecycle import (
    Lineage,
    Registry,
    RegistryError,
    UnknownVersionError,
    VersionInUseError,
)
from fairlead.lifecycle.registry.names import check_name, proposed


def files(registry: Registry) -> list[str]:
    return sorted(path.name for path in registry.objects.files())


def test_a_version_has_a_number_a_digest_and_a_card(registry: Registry, tmp_path: Path) -> None:
    made = registry.register(
        "elec",
        weights(1),
        metrics={"accuracy": 0.81, "n": 3},
        lineage=Lineage(journal="desk", first=1, last=10_000, code="abc", seed=7, data="f00", mode="full"),
        params={"rate": 0.1, "layers": [8, 4], "size": np.int64(3)},
        schema=fl.lifecycle.Schema("binary", ["a"]),
        description="first",
        created="2026-01-02T03:04:05Z",
    )
    assert (made.name, made.number, made.format, made.size) == ("elec", 1, "safetensors", len(weights(1)))
    again = Registry(registry.folder).info("elec", 1)
    assert again == made
    assert again.card.params == {"rate": 0.1, "layers": [8, 4], "size": 3}
    assert again.card.schema == json.loads(fl.lifecycle.Schema("binary", ["a"]).to_json())
    assert again.lineage.seed == 7
    assert again.card.created == 1767323045 * 10**9
    assert registry.path("elec", 1).read_bytes() == weights(1)
    assert registry.path("elec", 1).name == f"{made.digest}.safetensors"
    card = json.loads((registry.folder / "models" / "elec" / "1.json").read_text())
    assert card["card"]["metrics"] == {"accuracy": 0.81, "n": 3}
    assert card["digest"] == made.digest
    assert "2026-01-02T03:04:05Z" in str(made)


def test_weights_from_a_file(registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(weights(1))
    made = registry.register("elec", path)
    path.unlink()
    assert registry.path("elec", 1).read_bytes() == weights(1)
    assert registry.load("elec", made)["w"].tolist() == [1.0] * 8


def test_a_file_too_large_for_memory_gives_the_same(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(weights(1))
    small = registry.register("elec", path)
    monkeypatch.setattr("fairlead.lifecycle.registry.registry.SMALL", 10)
    assert registry.register("elec", path).digest == small.digest
    path.write_bytes(weights(2))
    large = registry.register("elec", path)
    assert registry.load("elec", large)["w"].tolist() == [2.0] * 8
    assert len(files(registry)) == 2
    path.write_bytes(weights(2)[:-1])
    with pytest.raises(fl.lifecycle.RefusedWeightsError, match="safetensors"):
        registry.register("elec", path)
    assert len(files(registry)) == 2


def test_the_same_weights_again_are_a_version_and_no_file(registry: Registry) -> None:
    first, second = registry.register("a", weights(1)), registry.register("a", weights(1))
    other = registry.register("b", weights(1))
    assert (first.number, second.number, other.number) == (1, 2, 1)
    assert len(files(registry)) == 1


def test_weights_that_are_shared_stay_until_the_last_goes(registry: Registry) -> None:
    for name in ("a", "a", "b"):
        registry.register(name, weights(1))
    registry.delete("a", 1)
    registry.delete("b", "newest")
    assert len(files(registry)) == 1
    assert registry.load("a", 2)["w"][0] == 1.0
    registry.delete("a", 2)
    assert files(registry) == []


def test_a_number_is_never_used_again(registry: Registry) -> None:
    registry.register("a", weights(1))
    registry.register("a", weights(2))
    assert registry.delete("a", 2).number == 2
    assert registry.register("a", weights(2)).number == 3
    with pytest.raises(UnknownVersionError, match="version 2 of 'a' was deleted; there are 1, 3"):
        registry.info("a", 2)


def test_what_an_alias_points_to_is_not_deleted(registry: Registry) -> None:
    registry.register("a", weights(1))
    registry.promote("a", 1)
    registry.promote("a", 1, alias="challenger")
    with pytest.raises(VersionInUseError, match="'a' version 1 is champion and challenger"):
        registry.delete("a", 1)
    registry.unalias("a", "challenger")
    registry.unalias("a", "champion")
    registry.delete("a", 1)
    assert registry.versions("a") == ()
    assert [summary.versions for summary in registry.list()] == [0]


def test_what_is_not_there_is_told(registry: Registry) -> None:
    with pytest.raises(UnknownVersionError, match="there is no registry in"):
        registry.info("elec")
    assert registry.list() == ()
    assert not registry.folder.exists()
    registry.register("elec", weights(1))
    with pytest.raises(UnknownVersionError, match="did you mean 'elec'"):
        registry.info("elek")
    with pytest.raises(UnknownVersionError, match="no champion: promote one"):
        registry.info("elec")
    with pytest.raises(UnknownVersionError, match="version 9 of 'elec' is not known; there are 1"):
        registry.promote("elec", 9)
    with pytest.raises(UnknownVersionError, match="has no 999"):
        registry.promote("elec", "9" * 5000)
    with pytest.raises(InvalidRecordError, match=r"version is 1\.5"):
        registry.info("elec", 1.5)  # type: ignore[arg-type]
    with pytest.raises(InvalidRecordError, match="version is True"):
        registry.info("elec", True)
    assert registry.info("elec", "1") == registry.info("elec", "newest")
    with pytest.raises(RegistryError, match="no such file"):
        registry.register("elec", "nowhere.safetensors")
    with pytest.raises(RegistryError, match="a folder"):
        registry.register("elec", registry.folder)


def test_the_list_says_what_there_is(registry: Registry) -> None:
    registry.register("b", weights(1))
    registry.register("a", weights(1))
    registry.register("a", weights(1))
    registry.promote("a", 2)
    found = registry.list()
    assert [(s.name, s.versions, s.newest, s.aliases) for s in found] == [("a", 2, 2, {"champion": 2}), ("b", 1, 1, {})]
    assert found[0].size == len(weights(1))
    assert found[0].updated > START


NAMES = [
    "",
    ".",
    "..",
    "../x",
    "a/b",
    "a\\b",
    "a\0b",
    ".hidden",
    "-x",
    "a.",
    "a b",
    "ä",
    "x" * 129,
    "CON",
    "nul.txt",
    "a\n",
]


@pytest.mark.parametrize("name", [*NAMES, None, 3])
def test_names_that_could_be_paths_are_refused(registry: Registry, name: str) -> None:
    for call in (
        lambda: registry.register(name, weights(1)),
        lambda: registry.info(name),
        lambda: registry.promote(name, 1),
        lambda: registry.delete(name, 1),
        lambda: registry.history(name),
        lambda: registry.path(name, 1),
        lambda: registry.serve(name),
        lambda: registry.verify("" if name is None else name),
        lambda: registry.repair("" if name is None else name),
    ):
        with pytest.raises(InvalidRecordError, match="name"):
            call()
    assert not registry.folder.exists()


@pytest.mark.parametrize("alias", ["..", "7", "newest", "a/b", ""])
def test_aliases_are_names_and_no_versions(registry: Registry, alias: str) -> None:
    registry.register("a", weights(1))
    with pytest.raises(InvalidRecordError, match="alias"):
        registry.promote("a", 1, alias=alias)


def test_names_that_differ_by_case_alone_are_refused(registry: Registry) -> None:
    registry.register("Elec", weights(1))
    with pytest.raises(InvalidRecordError, match="there is a model 'Elec'"):
        registry.register("elec", weights(1))
    assert registry.names() == ("Elec",)


def test_a_model_may_be_called_lock_or_log(registry: Registry) -> None:
    for name in ("lock", "log", "objects", "_", "1"):
        assert registry.register(name, weights(1)).number == 1
    assert registry.verify().whole


@settings(max_examples=50)
@given(st.text(max_size=150))
def test_a_proposed_name_is_one(text: str) -> None:
    assert check_name(proposed(text))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"metrics": {"loss": float("nan")}}, r"metrics\['loss'\] is nan, must be finite"),
        ({"metrics": {"loss": "low"}}, r"metrics\['loss'\] is 'low', must be a number"),
        ({"metrics": [1]}, "metrics is"),
        ({"params": {"f": print}}, "params is .* JSON cannot hold"),
        ({"params": {"x": float("inf")}}, "params is .* JSON cannot hold"),
        ({"params": {3: 1}}, "params has the key 3"),
        ({"params": {"x": "y" * 300_000}}, "the card has"),
        ({"lineage": {"seed": -1}}, "lineage.seed is -1"),
        ({"lineage": {"first": 5, "last": 4}}, "lineage.last is 4"),
        ({"lineage": {"sead": 1}}, "sead"),
        ({"schema": 3}, "schema is 3"),
        ({"description": "\ud800"}, "description is .* JSON cannot hold"),
        ({"created": "then"}, "created is 'then'"),
        ({"format": "pickle"}, "format is 'pickle', must be one of safetensors"),
        ({"format": "onnx"}, "format is 'onnx', but the file is safetensors"),
    ],
)
def test_a_card_that_cannot_be_changes_nothing(registry: Registry, given: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidRecordError, match=message):
        registry.register("a", weights(1), **given)  # type: ignore[arg-type]
    assert not registry.folder.exists()


def test_events_tell_of_versions_and_moves(tmp_path: Path) -> None:
    told = Told()
    registry = Registry(tmp_path, log=told, clock=lambda: START)
    line = Lineage(first=1, last=9, seed=3, parent=None, run="r1", mode="full")
    registry.register("a", weights(1), lineage=line, metrics={"accuracy": 0.5})
    registry.register("a", weights(2), lineage={"parent": 1})
    registry.promote("a", 1, by="me")
    registry.promote("a", 2, reason="better")
    registry.rollback("a")
    registry.delete("a", 2)
    kinds = [(type, data["status"], data.get("version")) for type, _, _, data in told.events]
    assert kinds == [
        ("model_version", "registered", "1"),
        ("model_version", "registered", "2"),
        ("deployment", "promoted", "1"),
        ("deployment", "promoted", "2"),
        ("deployment", "rolled_back", "1"),
        ("model_version", "deleted", "2"),
    ]
    assert told.events[0][3]["first_seq"] == 1
    assert told.events[1][3]["parent"] == "1"
    assert told.events[3][3] == {
        "alias": "champion",
        "stage": "champion",
        "status": "promoted",
        "generation": 2,
        "version": "2",
        "previous_version": "1",
        "by": "",
        "reason": "better",
    }


def test_a_journal_is_such_a_log(tmp_path: Path) -> None:
    with fl.Journal(tmp_path / "desk") as journal:
        registry = Registry(tmp_path / "registry", log=journal)
        registry.register("a", weights(1))
        registry.promote("a", 1)
    events = [e for e in fl.journal.read(tmp_path / "desk") if e.type in ("model_version", "deployment")]
    assert [(e.type, e.model, e.data["version"]) for e in events] == [
        ("model_version", "a", "1"),
        ("deployment", "a", "1"),
    ]


def test_a_registry_needs_no_numpy(tmp_path: Path) -> None:
    code = """
import sys
for name in ("numpy", "safetensors", "skops", "sklearn", "torch", "onnx", "onnxruntime"):
    sys.modules[name] = None  # an import of it would raise
import fairlead as fl
registry = fl.Registry(sys.argv[1])
registry.register("m", b'{"bias": 1}')
registry.promote("m", 1)
print(registry.serve("m").model)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.stdout == "{'bias': 1}\n", done.stderr


def test_dependencies_are_those_of_this_process() -> None:
    found = fl.lifecycle.dependencies()
    assert found["numpy"] == np.__version__
    assert {"python", "fairlead", "safetensors"} <= found.keys()


def test_a_registry_that_leaves_syncs_to_the_system_never_asks_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    for name in ("sync", "datasync"):
        monkeypatch.setattr(f"fairlead.lifecycle.registry.disk.{name}", lambda handle, name=name: asked.append(name))
    quick = Registry(tmp_path / "registry", durable=False)
    quick.register("m", weights(1))
    asked.clear()  # of the folders, once
    quick.register("m", weights(2))
    quick.register("m", weights(2))
    quick.promote("m", 1)
    quick.unalias("m", "champion")
    quick.delete("m", 2)
    assert asked == []
    whole = Registry(tmp_path / "registry")
    assert whole.verify().whole
    whole.register("m", weights(3))
    assert asked == ["sync", "datasync"]
    whole.promote("m", 1)
    assert asked == ["sync", "datasync", "datasync"]
