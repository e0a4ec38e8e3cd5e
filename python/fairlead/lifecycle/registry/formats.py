"""What a file of weights is, found by looking into it, never by running it. Pickles are refused, however named."""

from __future__ import annotations

import io
import json
import math
import pickletools
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle.registry.errors import DamagedWeightsError, RefusedWeightsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMATS = ("safetensors", "skops", "onnx", "json")
"""What a registry takes."""

Data = bytes | memoryview

_INSTEAD = (
    "arrays go into safetensors, estimators of scikit-learn into skops (`skops.io.dump`), "
    "graphs into ONNX, and what is plain into JSON"
)
_DTYPES = {
    "BOOL": ("?", 1),
    "U8": ("u1", 1),
    "I8": ("i1", 1),
    "U16": ("<u2", 2),
    "I16": ("<i2", 2),
    "F16": ("<f2", 2),
    "BF16": ("bfloat16", 2),
    "U32": ("<u4", 4),
    "I32": ("<i4", 4),
    "F32": ("<f4", 4),
    "U64": ("<u8", 8),
    "I64": ("<i8", 8),
    "F64": ("<f8", 8),
    "C64": ("<c8", 8),
    "F8_E4M3": ("float8_e4m3fn", 1),
    "F8_E5M2": ("float8_e5m2", 1),
}
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"\x78": "zlib"}


def format_of(data: Data, format: str | None = None) -> str:
    """The format of a file's bytes, checked as far as that goes without running anything.

    Raises RefusedWeightsError for a pickle, for what is none of `FORMATS`, or not the format that was given, and
    InvalidRecordError for a format that there is not.
    """
    if format is not None and format not in FORMATS:
        raise InvalidRecordError(f"format is {format!r}, must be one of {', '.join(FORMATS)}")
    found = _look(data)
    if format is not None and format != found:
        raise RefusedWeightsError(f"format is {format!r}, but the file is {found}")
    return found


def _look(data: Data) -> str:
    head = bytes(data[:16])
    if not data:
        raise RefusedWeightsError("the file of the weights is empty")
    if head[:4] == b"PK\x03\x04":
        return _zip(data)
    if head[8:9] == b"{" and head[5:8] == b"\0\0\0":
        safetensors_header(data)
        return "safetensors"
    if head[0] == 0x80 and head[1:2] in b"\2\3\4\5":
        raise _pickle("a pickle")
    if head.lstrip()[:1] in (b"{", b"["):
        try:
            json.loads(bytes(data))
        except (ValueError, RecursionError) as error:
            raise RefusedWeightsError(f"the file begins as JSON does, but is none: {error}") from None
        return "json"
    if _is_onnx(data):
        return "onnx"
    raise _unknown(data, head)


def _pickle(what: str) -> RefusedWeightsError:
    return RefusedWeightsError(
        f"the file is {what}: it runs whatever it says when it is read, and is refused; {_INSTEAD}"
    )


def _unknown(data: Data, head: bytes) -> RefusedWeightsError:
    for magic, name in _COMPRESSED.items():
        if head.startswith(magic):
            return RefusedWeightsError(
                f"the file is compressed ({name}), as joblib compresses pickles: it is refused; {_INSTEAD}"
            )
    if head[:6] == b"\x93NUMPY":
        return RefusedWeightsError(f"the file is one array of NumPy's own format, which may hold pickles; {_INSTEAD}")
    if head[:4] == b"\x89HDF":
        return RefusedWeightsError(f"the file is HDF5, which may hold code; {_INSTEAD}")
    try:
        if len(data) < 1 << 22:
            for _ in pickletools.genops(bytes(data)):
                pass
            return _pickle("a pickle")
    except Exception:  # then it is none
        pass
    return RefusedWeightsError(f"the file is none of {', '.join(FORMATS)}; {_INSTEAD}")


class _Reader(io.RawIOBase):
    """A file of bytes that are somewhere already: io.BytesIO would copy them."""

    def __init__(self, data: Data) -> None:
        self._data = memoryview(data)
        self._place = 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = max(offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: len(self._data)}[whence], 0)
        return self._place

    def readinto(self, buffer: Any) -> int:
        part = self._data[self._place : self._place + len(buffer)]
        buffer[: len(part)] = part
        self._place += len(part)
        return len(part)


def _zip(data: Data) -> str:
    try:
        with zipfile.ZipFile(io.BufferedReader(_Reader(data))) as file:
            names = file.namelist()
    except (zipfile.BadZipFile, ValueError, EOFError, OSError) as error:
        raise RefusedWeightsError(f"the file begins as a zip does, but is none: {error}") from None
    for name in names:
        if name.endswith(".pkl") or name.endswith(".pickle"):
            raise _pickle("a zip of pickles, as `torch.save` writes it")
    if "schema.json" not in names:
        raise RefusedWeightsError(f"the file is a zip, but not of skops: it has no schema.json; {_INSTEAD}")
    return "skops"


def safetensors_header(data: Data) -> dict[str, dict[str, Any]]:
    """The tensors of a file by name: `dtype`, `shape`, `data_offsets`; checked to cover the file without a gap.

    Raises RefusedWeightsError.
    """
    total = len(data)
    (length,) = struct.unpack_from("<Q", data) if total >= 8 else (total,)
    if length > min(total - 8, 100_000_000):
        raise RefusedWeightsError(f"the file is no safetensors: its header has {length:,} bytes, the file {total:,}")
    try:
        header = json.loads(bytes(data[8 : 8 + length]))
        header.pop("__metadata__", None)
        place = 0
        for name, told in sorted(header.items(), key=lambda item: tuple(item[1]["data_offsets"])):
            start, end = told["data_offsets"]
            if any(type(n) is not int for n in (start, end, *told["shape"])):
                raise ValueError(f"tensor {name!r} has a shape or a place that is no whole number")
            size = _DTYPES[told["dtype"]][1] * math.prod(told["shape"])
            if start != place or end - start != size or any(n < 0 for n in told["shape"]):
                raise ValueError(f"tensor {name!r} is at {start} to {end}, must begin at {place} and have {size} bytes")
            place = end
        if place != total - 8 - length:
            raise ValueError(f"the tensors have {place:,} bytes, the file has {total - 8 - length:,} for them")
    except KeyError as error:
        raise RefusedWeightsError(f"the file is no safetensors that is known: {error}") from None
    except (ValueError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise RefusedWeightsError(f"the file is no safetensors: {error}") from None
    tensors: dict[str, dict[str, Any]] = header
    return tensors


def arrays(data: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of a safetensors file by name: read-only views of its bytes.

    >>> import numpy as np, safetensors.numpy
    >>> arrays(safetensors.numpy.save({"w": np.arange(3.0)}))["w"]
    array([0., 1., 2.])
    """
    import numpy as np

    header = safetensors_header(data)
    start = 8 + int.from_bytes(data[:8], "little")
    found = {}
    for name, told in header.items():
        code = _DTYPES[told["dtype"]][0]
        if code[0] in "bf" and len(code) > 3:  # none of NumPy's own
            try:
                import ml_dtypes  # type: ignore[import-not-found,import-untyped,unused-ignore]
            except ImportError:
                raise DamagedWeightsError(
                    f"tensor {name!r} is {told['dtype']}, which NumPy lacks: pip install ml_dtypes, or load into torch"
                ) from None
            dtype = np.dtype(getattr(ml_dtypes, code))
        else:
            dtype = np.dtype(code)
        count = math.prod(told["shape"])
        view = np.frombuffer(data, dtype, count, start + told["data_offsets"][0]) if count else np.empty(0, dtype)
        found[name] = view.reshape(told["shape"])
    return found


# --- ONNX: just enough of protocol buffers to see that it is a model of one file ---


def _is_onnx(data: Data) -> bool:
    """Whether it is a model; raises RefusedWeightsError for one whose weights are in other files."""
    view = memoryview(data)
    version = graph = False
    try:
        for field, value in _fields(view):
            if field == 1:
                version = isinstance(value, int)
            elif field == 7 and isinstance(value, memoryview):
                graph = True
                _check_graph(value)
    except RefusedWeightsError:
        raise
    except (ValueError, IndexError):
        return False
    return version and graph


_DEEPEST = 32


def _check_graph(graph: memoryview, depth: int = 0) -> None:
    if depth > _DEEPEST:
        raise RefusedWeightsError(f"the ONNX graph is nested more than {_DEEPEST} deep")
    for field, value in _fields(graph):
        if field == 5:  # initializer
            _check_tensor(value)
        elif field == 15 and isinstance(value, memoryview):  # sparse initializer: values, indices
            for inner, part in _fields(value):
                if inner in (1, 2):
                    _check_tensor(part)
        elif field == 1 and isinstance(value, memoryview):  # node
            for inner, attribute in _fields(value):
                if inner == 5 and isinstance(attribute, memoryview):
                    _check_attribute(attribute, depth)


def _check_attribute(attribute: memoryview, depth: int) -> None:
    for field, value in _fields(attribute):
        if field in (5, 10):  # t, tensors
            _check_tensor(value)
        elif field in (6, 11) and isinstance(value, memoryview):  # g, graphs
            _check_graph(value, depth + 1)


def _check_tensor(tensor: int | memoryview) -> None:
    if not isinstance(tensor, memoryview):
        raise ValueError("a tensor is no message")
    for field, value in _fields(tensor):
        if field == 13 or (field == 14 and value == 1):  # external_data, data_location
            raise RefusedWeightsError(
                "the ONNX model keeps weights in other files, which could be any: save it as one file "
                "(`onnx.save_model(model, path, save_as_external_data=False)`)"
            )


def _fields(view: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of a message. Raises ValueError or IndexError for what is none."""
    place, end = 0, len(view)
    while place < end:
        tag, place = _varint(view, place)
        field, wire = tag >> 3, tag & 7
        if field == 0:
            raise ValueError("field 0")
        if wire == 0:
            value, place = _varint(view, place)
            yield field, value
            continue
        if wire == 2:
            size, place = _varint(view, place)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if place + size > end:
            raise ValueError("a field ends after its message")
        yield field, view[place : place + size]
        place += size


def _varint(view: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = view[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 64 bits")


def suffix_format(path: Path) -> str | None:
    """The format that a file's name promises."""
    found = path.suffix[1:].lower()
    return found if found in FORMATS else None
