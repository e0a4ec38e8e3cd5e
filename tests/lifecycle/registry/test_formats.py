"""What is taken as weights, what is refused, and what becomes of it when it is loaded."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import pickle
import struct
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from registry_doubles import weights
from safetensors.numpy import load, save

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle import DamagedWeightsError, OnnxModel, RefusedWeightsError, Registry, UntrustedTypeError
from fairlead.lifecycle.registry.formats import arrays, format_of


class Bomb:
    """Says so if it is ever unpickled."""

    went_off = False

    def __reduce__(self) -> Any:
        return exec, ("import test_formats; test_formats.Bomb.went_off = True",)


def onnx_bytes(external: bool = False) -> bytes:
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    weight = onnx.numpy_helper.from_array(np.array([[2.0], [3.0]], dtype=np.float32), "w")
    if external:
        onnx.external_data_helper.set_external_data(weight, location="../../secret.bin")
        weight.ClearField("raw_data")
        weight.data_location = onnx.TensorProto.EXTERNAL
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    x, y = (helper.make_tensor_value_info(name, kind, [None, n]) for name, n in (("x", 2), ("y", 1)))
    graph = helper.make_graph([node], "g", [x], [y], [weight])
    opset = [helper.make_opsetid("", 17)]
    return bytes(helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString())


def estimator() -> Any:
    linear_model = pytest.importorskip("sklearn.linear_model")
    return linear_model.LogisticRegression().fit(np.array([[0.0], [1.0], [2.0], [3.0]]), [0, 0, 1, 1])


def skops_bytes(model: Any) -> bytes:
    return bytes(pytest.importorskip("skops.io").dumps(model))


def pickles() -> dict[str, bytes]:
    joblib = pytest.importorskip("joblib")
    torch = pytest.importorskip("torch")
    found = {f"protocol {n}": pickle.dumps({"model": Bomb()}, n) for n in range(pickle.HIGHEST_PROTOCOL + 1)}
    found["gzip"] = gzip.compress(found["protocol 4"])
    for name, level in (("joblib", 0), ("joblib, compressed", 3)):
        file = io.BytesIO()
        joblib.dump({"w": np.zeros(9), "b": Bomb()}, file, compress=level)
        found[name] = file.getvalue()
    file = io.BytesIO()
    torch.save({"w": torch.zeros(3)}, file)
    found["torch"] = file.getvalue()
    file = io.BytesIO()
    np.save(file, np.array([Bomb()]), allow_pickle=True)
    found["numpy"] = file.getvalue()
    return found


def test_pickles_are_refused_and_never_run(registry: Registry, tmp_path: Path) -> None:
    for name, data in pickles().items():
        for format in ("safetensors", "skops", "onnx", "json", None):
            with pytest.raises(RefusedWeightsError, match=r"pickle|compressed"):
                registry.register("m", data, format=format)
        path = tmp_path / "model.safetensors"
        path.write_bytes(data)
        with pytest.raises(RefusedWeightsError, match=r"safetensors.*skops.*ONNX"):
            registry.register("m", path)
        assert name
    assert not Bomb.went_off
    assert not registry.folder.exists()


def test_a_skops_file_with_a_pickle_in_it_is_refused(registry: Registry) -> None:
    data = io.BytesIO(skops_bytes(estimator()))
    with zipfile.ZipFile(data, "a") as file:
        file.writestr("more/data.pkl", pickle.dumps(1))
    with pytest.raises(RefusedWeightsError, match="a zip of pickles"):
        registry.register("m", data.getvalue())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"hello world, this is no model", "none of safetensors, skops, onnx, json"),
        (b'{"a": 1', "begins as JSON does"),
        (b"PK\x03\x04 and no more", "begins as a zip does"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5"),
        (weights(1)[:-1], "the tensors have"),
        (weights(1) + b"x", "the tensors have"),
        (struct.pack("<Q", 2**39) + b"{" + bytes(50), "its header has"),
        (struct.pack("<Q", 10) + b"{not json}", "no safetensors"),
        (b"[" * 100_000 + b"]" * 100_000, "begins as JSON does"),
        (struct.pack("<Q", 200_005) + b'{"a":' + b"[" * 100_000 + b"]" * 99_999 + b"}", "no safetensors"),
    ],
)
def test_what_is_no_model_is_refused(registry: Registry, data: bytes, message: str) -> None:
    with pytest.raises(RefusedWeightsError, match=message):
        registry.register("m", data)
    assert not registry.folder.exists()


@pytest.mark.parametrize("length", [0x0280, 0x0380, 0x0480, 0x0580])
def test_weights_whose_length_begins_as_pickles_do_are_none(length: int) -> None:
    assert format_of(struct.pack("<Q", length) + b"{}".ljust(length)) == "safetensors"


def _header(tensors: object, size: int) -> bytes:
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text)) + text + bytes(size)


@pytest.mark.parametrize(
    "tensors",
    [
        {"a": {"dtype": "F64", "shape": [2], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F64", "shape": [1], "data_offsets": [8, 16]}},
        {"a": {"dtype": "F64", "shape": [-1], "data_offsets": [0, 16]}},
        {"a": {"dtype": "Q9", "shape": [1], "data_offsets": [0, 16]}},
        {"a": {"dtype": "F64", "shape": [2]}},
        {
            "a": {"dtype": "F64", "shape": [2], "data_offsets": [0, 16]},
            "b": {"dtype": "U8", "shape": [4], "data_offsets": [8, 12]},
        },
        {"a": 3},
        {"a": {"dtype": "F64", "shape": ["2"], "data_offsets": [0, 16]}},
        {"a": {"dtype": "F64", "shape": [2.0], "data_offsets": [0, 16]}},
        {"a": {"dtype": "F64", "shape": [2], "data_offsets": [0.0, 16.0]}},
    ],
)
def test_headers_that_do_not_fit_the_file_are_refused(tensors: object) -> None:
    with pytest.raises(RefusedWeightsError):
        format_of(_header(tensors, 16))


@settings(max_examples=50)
@given(st.integers(0, 5), st.data())
def test_our_arrays_are_those_of_safetensors(n: int, data: st.DataObject) -> None:
    kinds = ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?"]
    given = {}
    for i in range(n):
        kind = data.draw(st.sampled_from(kinds))
        shape = data.draw(st.lists(st.integers(0, 3), max_size=3))
        given[f"t{i}"] = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(kind)
    file = save(given, metadata={"made": "by hand"})
    theirs, ours = load(file), arrays(file)
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        assert array.dtype == theirs[name].dtype
        np.testing.assert_array_equal(array, theirs[name])


def test_bfloat16_is_read_where_there_is_a_type_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    file = _header({"a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}, 0) + b"\x80\x3f\x00\x40"
    pytest.importorskip("ml_dtypes")
    assert arrays(file)["a"].astype(float).tolist() == [1.0, 2.0]
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(DamagedWeightsError, match="BF16"):
        arrays(file)


def test_arrays_cannot_be_written_to(registry: Registry) -> None:
    registry.register("m", weights(1))
    with pytest.raises(ValueError, match="read-only"):
        registry.load("m", 1)["w"][0] = 2


def test_json_is_plain(registry: Registry) -> None:
    assert registry.register("m", b'{"bias": [1, 2]}').format == "json"
    assert registry.load("m", 1) == {"bias": [1, 2]}


def test_an_estimator_comes_back_through_skops(registry: Registry) -> None:
    model = estimator()
    made = registry.register("m", skops_bytes(model))
    assert made.format == "skops"
    x = np.array([[0.5], [2.5]])
    np.testing.assert_array_equal(registry.load("m", 1).predict_proba(x), model.predict_proba(x))


def test_types_that_nobody_trusts_are_not_made(registry: Registry) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")

    class Mine(linear_model.LogisticRegression):  # type: ignore[misc, name-defined]
        pass

    Mine.__qualname__ = "Mine"
    Mine.__module__ = "test_formats"
    globals()["Mine"] = Mine
    sys.modules.setdefault("test_formats", sys.modules[__name__])
    registry.register("m", skops_bytes(Mine().fit([[0.0], [1.0]], [0, 1])))
    with pytest.raises(UntrustedTypeError, match=r"types that are not trusted: test_formats.Mine") as raised:
        registry.load("m", 1)
    assert raised.value.types == ("test_formats.Mine",)
    with pytest.raises(InvalidRecordError, match="trusted is"):
        registry.load("m", 1, trusted="test_formats.Mine")
    assert registry.load("m", 1, trusted=raised.value.types).predict([[1.0]]).tolist() == [1]


def test_a_skops_file_that_skops_cannot_read_is_told(registry: Registry) -> None:
    pytest.importorskip("skops")
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        file.writestr("schema.json", '{"__loader__": "NoSuchNode"}')
    registry.register("m", data.getvalue())
    with pytest.raises(DamagedWeightsError, match="skops cannot read 'm' version 1"):
        registry.load("m", 1)


def test_an_onnx_model_predicts(registry: Registry) -> None:
    pytest.importorskip("onnxruntime")
    assert registry.register("m", onnx_bytes()).format == "onnx"
    model = registry.load("m", 1)
    assert isinstance(model, OnnxModel)
    assert (model.inputs, model.outputs) == (("x",), ("y",))
    assert model.predict([[1.0, 1.0], [0.0, 2.0]]).tolist() == [[5.0], [6.0]]
    assert model.run(x=np.ones((1, 2), np.float32))["y"].tolist() == [[5.0]]


def test_onnx_with_weights_elsewhere_is_refused(registry: Registry) -> None:
    with pytest.raises(RefusedWeightsError, match="keeps weights in other files"):
        registry.register("m", onnx_bytes(external=True))


def test_onnx_that_cannot_run_is_told(registry: Registry) -> None:
    pytest.importorskip("onnxruntime")
    registry.register("m", b"\x08\x09\x3a\x02\x0a\x00")
    with pytest.raises(DamagedWeightsError, match="onnxruntime cannot run"):
        registry.load("m", 1)


@settings(max_examples=150)
@given(st.binary(max_size=200), st.sampled_from([b"", b"\x08\x09\x3a", b"PK\x03\x04", b"{", b"\x10\0\0\0\0\0\0\0{"]))
def test_any_bytes_are_a_format_or_refused(data: bytes, start: bytes) -> None:
    with contextlib.suppress(RefusedWeightsError):
        assert format_of(start + data) in ("onnx", "json", "skops", "safetensors")


# --- damage ---


@pytest.mark.parametrize("how", ["changed", "cut", "gone", "longer"])
def test_damaged_weights_are_not_loaded(registry: Registry, how: str) -> None:
    registry.register("m", weights(1))
    registry.promote("m", 1)
    path = registry.path("m")
    path.chmod(0o644)
    if how == "changed":
        data = bytearray(weights(1))
        data[-1] ^= 1
        path.write_bytes(data)
    elif how == "cut":
        path.write_bytes(weights(1)[:-1])
    elif how == "longer":
        path.write_bytes(weights(1) + b"\0")
    else:
        path.unlink()
    told = {"changed": "was changed", "cut": "bytes", "gone": "gone", "longer": "bytes"}[how]
    with pytest.raises(DamagedWeightsError, match=told):
        registry.load("m")
    with pytest.raises(DamagedWeightsError, match=told):
        registry.serve("m", lambda path: path)
    check = registry.verify()
    assert not check.whole
    assert [problem.what for problem in check.problems] == ["weights"]
    assert registry.register("m", weights(1)).number == 2  # the same weights again make it whole
    assert registry.load("m")["w"][0] == 1.0
    assert registry.verify().whole
