"""`fairlead models` as a user meets it."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
from registry_doubles import weights

from fairlead.cli import main
from fairlead.cli.models import _pairs
from fairlead.lifecycle import Registry


@pytest.fixture
def folder(registry: Registry) -> str:
    registry.register("elec", weights(1), metrics={"accuracy": 0.81}, lineage={"seed": 7, "first": 1, "last": 100})
    registry.register("elec", weights(2), metrics={"accuracy": 0.84}, lineage={"parent": 1})
    registry.promote("elec", 1, by="me", reason="the first")
    registry.register("weather", b'{"bias": 1}')
    return str(registry.folder)


def run(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> str:
    found = main(["models", *words])
    out = capsys.readouterr()
    assert found == status, out
    return out.out if status < 2 else out.err


def test_list(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = run(capsys, "list", folder).splitlines()
    assert lines[0].split() == ["MODEL", "VERSIONS", "NEWEST", "ALIASES", "BYTES"]
    assert lines[1].split()[:4] == ["elec", "2", "2", "champion=1"]
    assert lines[2].split() == ["weather", "1", "1", "-", "11"]
    lines = run(capsys, "list", folder, "elec").splitlines()
    assert [line.split()[0] for line in lines] == ["VERSION", "1", "2"]
    assert "champion" in lines[1]
    assert "accuracy=0.84" in lines[2]
    models = [json.loads(line) for line in run(capsys, "list", folder, "--json").splitlines()]
    assert [model["aliases"] for model in models] == [{"champion": 1}, {}]
    versions = [json.loads(line) for line in run(capsys, "list", folder, "elec", "--json").splitlines()]
    assert [version["card"]["lineage"] for version in versions][1] == {"parent": 1}


def test_numbers_of_versions_are_told_whole() -> None:
    assert _pairs({"champion": 123456, "accuracy": 0.81234567}) == "champion=123456 accuracy=0.8123"


def test_a_desk_with_a_registry_in_it_will_do(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "list", folder) == run(capsys, "list", str(Path(folder).parent))


def test_info_and_history(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = run(capsys, "info", folder, "elec")
    assert "elec version 1, safetensors" in told
    assert "accuracy=0.81" in told
    assert "first=1 last=100 seed=7" in told
    assert json.loads(run(capsys, "info", folder, "elec", "newest", "--json"))["version"] == 2
    told = run(capsys, "history", folder, "elec")
    assert "champion -> version 1, generation 1, by me, because the first" in told


def test_promote_and_back(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = run(capsys, "promote", folder, "elec", "newest", "--expect", "1", "--by", "me", "--reason", "better")
    assert "elec champion -> version 2, generation 2, by me, because better" in told
    assert "generation 2 (version 2), not 1" in run(capsys, "promote", folder, "elec", "1", "--expect", "1", status=2)
    assert "version 1 (rollback), generation 3" in run(capsys, "rollback", folder, "elec", "--reason", "slow")
    assert "no version to go back to" in run(capsys, "rollback", folder, "elec", status=2)
    assert "challenger -> version 2" in run(capsys, "promote", folder, "elec", "2", "--alias", "challenger")
    assert "challenger -> nothing" in run(capsys, "unalias", folder, "elec", "challenger", "--reason", "refused")
    assert run(capsys, "unalias", folder, "elec", "challenger") == "elec has no challenger\n"


def test_delete(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "version 1 is champion: move the alias first" in run(capsys, "delete", folder, "elec", "1", status=2)
    assert run(capsys, "delete", folder, "elec", "2") == "deleted: elec version 2\n"
    assert "was deleted" in run(capsys, "info", folder, "elec", "2", status=2)


def test_register_and_load(folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(weights(3))
    assert "elec version 3" in run(capsys, "register", folder, "elec", str(path), "--metric", "accuracy=0.9")
    told = run(capsys, "load", folder, "elec", "3", "--to", str(tmp_path / "copy"))
    assert "w  float64 [8]" in told
    assert (tmp_path / "copy").read_bytes() == weights(3)
    assert "dict: bias" in run(capsys, "load", folder, "weather", "1")
    path.write_bytes(pickle.dumps([1]))
    assert "pickle" in run(capsys, "register", folder, "elec", str(path), status=2)
    with pytest.raises(SystemExit):
        main(["models", "register", folder, "elec", str(path), "--metric", "good"])


def test_a_registry_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no registry in" in run(capsys, "list", str(tmp_path), status=2)
    path = tmp_path / "m.json"
    path.write_text("{}")
    assert "m version 1" in run(capsys, "register", str(tmp_path / "new"), "m", str(path))
    assert "m" in run(capsys, "list", str(tmp_path / "new"))


def test_verify_repair_collect(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "verify", folder).startswith("whole: 2 models, 3 versions")
    registry = Registry(folder)
    registry.card_path("elec", 1).unlink()
    registry.objects.path("0" * 64 + ".onnx").write_bytes(b"left")
    told = run(capsys, "verify", folder)
    assert "card:" in told
    assert "left over:" in told
    assert "1.json written anew" in run(capsys, "repair", folder)
    assert "1 files removed, 4 bytes" in run(capsys, "collect", folder)
    registry.path("elec", 1).unlink()
    check = json.loads(run(capsys, "verify", folder, "--json", status=1))
    assert [problem["what"] for problem in check["problems"]] == ["weights"]
    assert "lost: weights of 'elec' version 1" in run(capsys, "repair", folder, "elec", status=1)


def test_import(folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = tmp_path / "found"
    found.mkdir()
    (found / "bert.safetensors").write_bytes(weights(1))
    (found / "old.pkl").write_bytes(pickle.dumps(1))
    told = run(capsys, "import", folder, str(found), status=1)
    assert "bert version 1: safetensors" in told
    assert "old.pkl: .pkl files may run code" in told
    (found / "old.pkl").unlink()
    assert "there already" in run(capsys, "import", folder, str(found))
