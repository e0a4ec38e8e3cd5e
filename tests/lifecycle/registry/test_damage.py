"""Damaged logs, cards that are gone, and how they are made whole; torn ends; other people's files."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from registry_doubles import START, weights

from fairlead.lifecycle import DamagedRegistryError, Registry, RegistryLockedError, RegistryWarning
from fairlead.lifecycle.registry import disk
from fairlead.lifecycle.registry.card import as_json
from fairlead.lifecycle.registry.log import ROOM, line_of, new_log, scan


@pytest.fixture
def served(registry: Registry) -> Registry:
    for n in (1, 2, 3):
        registry.register("m", weights(n), metrics={"n": n})
    for n in (1, 2, 3):
        registry.promote("m", n, by=f"p{n}")
    return registry


def lines_of(registry: Registry) -> list[bytes]:
    return registry.log_path("m").read_bytes().rstrip(b"\n").split(b"\n")


def rewrite(registry: Registry, lines: list[bytes]) -> None:
    registry.log_path("m").write_bytes(b"".join(line + b"\n" for line in lines).ljust(2 * ROOM, b"\n"))


def test_a_log_is_lines_of_json_that_people_can_read(served: Registry) -> None:
    entries = [json.loads(line[9:]) for line in lines_of(served)]
    assert [entry["seq"] for entry in entries] == list(range(7))
    assert [entry["op"] for entry in entries] == ["log"] + ["registered"] * 3 + ["alias"] * 3
    assert entries[0]["log"] == {"format": "fairlead-model-log", "layout": 1, "name": "m"}


@pytest.mark.parametrize("line", range(6))
def test_damage_within_a_log_is_told_and_never_passed_over(served: Registry, line: int) -> None:
    lines = lines_of(served)
    lines[line] = lines[line][:20] + b"#" + lines[line][21:]
    rewrite(served, lines)
    there = Registry(served.folder)
    for call in (
        lambda: there.champion("m"),
        lambda: there.load("m"),
        lambda: there.promote("m", 1),
        lambda: there.register("m", weights(4)),
        lambda: there.collect(),
    ):
        with pytest.raises(DamagedRegistryError, match=rf"log, line {line + 1} .*checksum.*repair"):
            call()
    check = served.verify()
    assert not check.whole
    assert [problem.what for problem in check.problems if not problem.harmless] == ["log"]
    assert not list(served.folder.glob("**/log.torn*"))


@pytest.mark.parametrize("line", [1, 3, 5])
def test_a_line_that_is_missing_is_told(served: Registry, line: int) -> None:
    lines = lines_of(served)
    del lines[line]
    rewrite(served, lines)
    with pytest.raises(DamagedRegistryError, match=rf"entry {line + 1} stands where entry {line} belongs"):
        Registry(served.folder).champion("m")


@pytest.mark.parametrize("line", range(6))
def test_what_is_damaged_comes_back_from_the_cards(served: Registry, line: int) -> None:
    before = served.versions("m")
    lines = lines_of(served)
    lines[line] = b"\0" * len(lines[line])
    rewrite(served, lines)
    done = served.repair("m")
    assert Registry(served.folder).versions("m") == before
    assert served.champion("m").version == 3  # type: ignore[union-attr]
    assert any("line" in what for what in done.lost)
    moves = [alias.generation for alias in served.history("m")]
    if line < 4:
        assert moves == [1, 2, 3]
    else:
        assert moves == [generation for generation in (1, 2, 3) if generation != line - 3]
        assert any(f"1 moves of champion before generation {line - 2}" in what for what in done.lost)
    assert served.log_path("m").with_name("log.damaged-1").exists()
    assert served.verify().whole
    assert served.promote("m", 1, expect=3).generation == 4
    assert served.repair().done == ()


def test_a_log_that_is_gone_comes_back_from_the_cards(served: Registry) -> None:
    before = served.versions("m")
    served.log_path("m").unlink()
    for there in (served, Registry(served.folder)):
        with pytest.raises(DamagedRegistryError, match="the log of 'm' is gone"):
            there.champion("m")
        with pytest.raises(DamagedRegistryError, match="the log of 'm' is gone"):
            there.register("m", weights(4))
        assert not there.verify().whole
    assert served.repair().lost != ()
    assert served.versions("m") == before
    assert served.champion("m") is None
    assert served.register("m", weights(4)).number == 4


def test_weights_of_a_model_whose_log_is_gone_are_not_collected(served: Registry) -> None:
    served.register("other", weights(9))
    served.log_path("m").unlink()
    with pytest.raises(DamagedRegistryError, match="the log of 'm' is gone"):
        Registry(served.folder).collect()
    served.repair()
    assert served.verify().whole
    assert served.collect().files == ()


@pytest.mark.parametrize("how", ["damaged", "gone"])
def test_a_deletion_that_holds_is_no_error_beside_another_damaged_model(served: Registry, how: str) -> None:
    for n in (1, 2):
        served.register("other", weights(n))
    if how == "gone":
        served.log_path("m").unlink()
    else:
        rewrite(served, [b"#" + line for line in lines_of(served)])
    there = Registry(served.folder)
    assert there.delete("other", 1).number == 1
    assert [version.number for version in there.versions("other")] == [2]
    served.repair()
    assert served.verify("m").whole  # its weights, which the deleted version had too


def test_a_reader_that_was_open_sees_the_repaired_log(served: Registry) -> None:
    other = Registry(served.folder)
    assert other.champion("m") is not None
    lines = lines_of(served)
    rewrite(served, [*lines[:2], b"bad", *lines[3:]])
    served.repair("m")
    assert other.history("m") == served.history("m")
    other.promote("m", 1)
    assert served.champion("m").version == 1  # type: ignore[union-attr]


def test_cards_come_back_from_the_log(served: Registry) -> None:
    card = served.card_path("m", 2)
    whole = card.read_bytes()
    for wrong in (None, b"", b"{}", whole.replace(b'"n":2', b'"n":9')):
        card.unlink()
        if wrong is not None:
            card.write_bytes(wrong)
        check = served.verify()
        assert check.whole
        assert [problem.what for problem in check.problems] == ["card"]
        assert "2.json written anew" in served.repair().done[0]
        assert card.read_bytes() == whole
        assert served.verify().problems == ()


def test_a_log_of_another_model_is_refused(served: Registry) -> None:
    path = served.folder / "models" / "other" / "log"
    path.parent.mkdir()
    path.write_bytes(served.log_path("m").read_bytes())
    with pytest.raises(DamagedRegistryError, match="is the log of 'm', not of 'other'"):
        served.champion("other")


def test_a_newer_log_is_refused(served: Registry) -> None:
    data = new_log("m", [], START)
    served.log_path("m").write_bytes(data.replace(data[:8], b"0" * 8, 1))
    head = {"seq": 0, "time": 0, "op": "log", "log": {"format": "fairlead-model-log", "layout": 2, "name": "m"}}
    served.log_path("m").write_bytes(line_of(as_json(head)))
    with pytest.raises(DamagedRegistryError, match="layout 2, this fairlead reads 1"):
        Registry(served.folder).champion("m")
    head["log"] = {"format": "fairlead-model-log", "layout": 1, "name": "m"}
    served.log_path("m").write_bytes(line_of(as_json(head)) + line_of(as_json({"seq": 1, "time": 0, "op": "sealed"})))
    with pytest.raises(DamagedRegistryError, match="the kind 'sealed', which this version of fairlead does not know"):
        Registry(served.folder).champion("m")


# --- torn ends ---


@pytest.mark.parametrize("left", [1, 8, 9, 40, -2, -1])
def test_a_torn_end_is_put_aside_by_the_next_writer(served: Registry, left: int) -> None:
    state = served.history("m")
    path = served.log_path("m")
    lines = lines_of(served)
    end = sum(len(line) + 1 for line in lines)
    entry = {"seq": 7, "time": START, "op": "alias", "alias": {"alias": "champion", "version": 1, "generation": 4}}
    torn = line_of(as_json(entry))[:left]
    with path.open("r+b") as file:
        file.seek(end)
        file.write(torn if left != -1 else torn[:30] + b"\0" * 10 + torn[40:])
    for there in (served, Registry(served.folder)):
        assert there.history("m") == state
    assert [problem.what for problem in served.verify().problems] == ["torn end"]
    assert served.verify().whole
    with pytest.warns(RegistryWarning, match="never acknowledged"):
        moved = served.promote("m", 2)
    assert moved.generation == 4
    assert Registry(served.folder).history("m") == (*state, moved)
    assert next(served.folder.glob("**/log.torn-*")).read_bytes().rstrip(b"\n") in (
        torn,
        torn[:30] + b"\0" * 10 + torn[40:],
    )
    assert served.verify().problems == ()


def test_an_end_torn_at_a_sector_is_put_aside(served: Registry) -> None:
    """A power cut may keep the second sector of a write, and not the first."""
    end = sum(len(line) + 1 for line in lines_of(served))
    with served.log_path("m").open("r+b") as file:
        file.seek(end + 600)
        file.write(b"the rest of a line\n")
    assert Registry(served.folder).champion("m").version == 3  # type: ignore[union-attr]
    with pytest.warns(RegistryWarning, match="never acknowledged"):
        served.promote("m", 1)
    assert Registry(served.folder).champion("m").version == 1  # type: ignore[union-attr]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 1500), st.binary(min_size=1, max_size=40))
@pytest.mark.usefixtures("unsynced")
def test_no_change_of_a_log_is_taken_for_something_else(
    tmp_path_factory: pytest.TempPathFactory, place: int, junk: bytes
) -> None:
    """Overwriting gives an error, or what was there without the last entries, where it touched all of these."""
    registry = Registry(tmp_path_factory.mktemp("registry"), clock=lambda: START)
    registry.register("m", b"{}")
    for _ in range(3):
        registry.promote("m", 1)
    path = registry.log_path("m")
    data = bytearray(path.read_bytes())
    whole = scan(str(path), bytes(data), 0, 0).entries
    ends = [n + 1 for n, byte in enumerate(data) if byte == 10][: len(whole)]
    was = bytes(data)
    data[place : place + len(junk)] = junk
    path.write_bytes(data)
    try:
        history = Registry(registry.folder).history("m")
    except DamagedRegistryError:
        return
    touched = [n for n, end in enumerate(ends) if was[:end][([0, *ends])[n] :] != data[([0, *ends])[n] : end]]
    kept = len(whole) - len(touched)
    assert touched == list(range(kept, len(whole)))
    assert history == registry_history(whole[:kept])


def registry_history(entries: list[dict[str, object]]) -> tuple[object, ...]:
    from fairlead.lifecycle.registry.state import State

    state = State("m")
    for entry in entries:
        state.apply(entry)
    return tuple(state.history)


def test_a_log_grows(registry: Registry) -> None:
    registry.register("m", b"{}")
    registry.promote("m", 1, reason="x" * 9_000)
    size = registry.log_path("m").stat().st_size
    for _ in range(8):
        registry.promote("m", 1, reason="y" * 9_000)
    assert registry.log_path("m").stat().st_size > size + 3 * ROOM
    assert len(Registry(registry.folder).history("m")) == 9
    assert registry.verify().problems == ()


# --- locks ---


def test_a_writer_that_holds_the_lock_for_too_long_is_told(served: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "PATIENCE_S", 0.05)
    handle = os.open(served.log_path("m"), os.O_RDWR)
    with disk.Lock(handle, str(served.log_path("m"))):
        with pytest.raises(RegistryLockedError, match="another process holds"):
            served.promote("m", 1)
        assert served.champion("m").version == 3  # type: ignore[union-attr]
        assert served.load("m")["w"][0] == 3.0
    os.close(handle)
    assert served.promote("m", 1).version == 1


def test_a_deletion_waits_for_who_is_registering(served: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the weights that are found there could go before the version that has them is there."""
    served.promote("m", 1)
    go_on, found = threading.Event(), threading.Event()
    commit = Registry._commit_version

    def slow(self: Registry, *given: object) -> object:
        found.set()
        go_on.wait(10)
        return commit(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Registry, "_commit_version", slow)
    other = Registry(served.folder)
    writer = threading.Thread(target=lambda: served.register("n", weights(3)))
    writer.start()
    assert found.wait(10)
    deleter = threading.Thread(target=lambda: other.delete("m", 3))
    deleter.start()
    deleter.join(0.1)
    assert deleter.is_alive()
    go_on.set()
    writer.join()
    deleter.join()
    assert other.load("n", 1)["w"][0] == 3.0


# --- importing ---


def put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def test_a_folder_of_models_is_imported(registry: Registry, tmp_path: Path) -> None:
    found = tmp_path / "found"
    put(found / "elec.safetensors", weights(1))
    put(found / "elec.json", b'{"metrics": {"accuracy": 0.8}, "lineage": {"seed": 3}, "other": 1}')
    for n in (10, 9, 2):
        put(found / "triton" / str(n) / "model.safetensors", weights(n))
    put(found / "Bert (tiny)" / "model.safetensors", weights(4))
    put(found / "Bert (tiny)" / "config.json", b'{"hidden_size": 8}')
    put(found / "versions" / "v2.safetensors", weights(6))
    put(found / "versions" / "v1.safetensors", weights(5))
    put(found / "bad" / "model.onnx", b"no model")
    put(found / "bad" / "model.pt", b"\x80\x04.")
    put(found / ".cache" / "x.safetensors", weights(7))
    put(found / "readme.txt", b"hello")
    (found / "link.safetensors").symlink_to(found / "elec.safetensors")
    done = registry.import_folder(found, by="me")
    assert [(v.name, v.number) for v in done.imported] == [
        ("Bert-tiny", 1),
        ("elec", 1),
        ("triton", 1),
        ("triton", 2),
        ("triton", 3),
        ("versions", 1),
        ("versions", 2),
    ]
    assert [registry.load("triton", n)["w"][0] for n in (1, 2, 3)] == [2.0, 9.0, 10.0]
    assert registry.load("versions", 2)["w"][0] == 6.0
    assert registry.info("elec", 1).metrics == {"accuracy": 0.8}
    assert registry.info("elec", 1).lineage.seed == 3
    assert registry.info("Bert-tiny", 1).card.params == {"hidden_size": 8}
    assert "imported from" in (registry.info("triton", 1).lineage.code or "")
    assert [path.name for path, _ in done.refused] == ["model.onnx", "model.pt"]
    again = registry.import_folder(found)
    assert again.imported == ()
    assert len(again.there) == 7


def test_json_too_deep_to_read_beside_weights_tells_nothing(registry: Registry, tmp_path: Path) -> None:
    put(tmp_path / "found" / "deep.safetensors", weights(1))
    put(tmp_path / "found" / "deep.json", b"[" * 100_000)
    (version,) = registry.import_folder(tmp_path / "found").imported
    assert (version.name, version.metrics) == ("deep", {})
