"""The bytes of a skops file, made the same for the same model: skops names its parts by addresses in memory, and dates
them. skops is not asked: a file of skops is a zip of `schema.json` and the arrays that it names."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import numpy as np

_DATE = (1980, 1, 1, 0, 0, 0)


def canonical(data: bytes) -> bytes:
    """The same model in a file of its own bytes: parts numbered in the order in which they are met, undated."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        tree = json.loads(archive.read("schema.json"))
        parts = {name: _filled(name, archive.read(name)) for name in archive.namelist() if name != "schema.json"}
    ids: dict[Any, int] = {}
    files: dict[str, str] = {}
    _renumber(tree, ids, files)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, data in [
            ("schema.json", json.dumps(tree, separators=(",", ":")).encode()),
            *((new, parts[old]) for old, new in files.items()),
        ]:
            archive.writestr(zipfile.ZipInfo(name, _DATE), data)
    return out.getvalue()


def _filled(name: str, data: bytes) -> bytes:
    """An array of records has gaps between its fields, in which whatever was in memory stands: zeros instead."""
    if not name.endswith(".npy") or b"[('" not in data[:256]:  # as its header names them
        return data
    array = np.load(io.BytesIO(data), allow_pickle=False)
    clean = np.zeros(array.shape, array.dtype)
    for field in array.dtype.names:
        clean[field] = array[field]
    out = io.BytesIO()
    np.save(out, clean, allow_pickle=False)
    return out.getvalue()


def _forget(node: dict[str, Any]) -> None:
    """Sets to 0 what scikit-learn keeps and is not of the model: how often a tree of neighbours was asked, and where
    in memory a vectorizer's stop words were."""
    if node.get("__class__") in ("KDTree", "BallTree") and isinstance(node.get("content"), dict):
        state = node["content"].get("content", [])
        numbers = [at for at, part in enumerate(state) if part.get("__loader__") == "JsonNode"]
        for at in numbers[3:7]:  # behind the size of a leaf, the number of levels and that of nodes
            state[at]["content"] = "0"
    if isinstance(words := node.get("_stop_words_id"), dict) and "content" in words:
        words["content"] = "0"


def _renumber(node: Any, ids: dict[Any, int], files: dict[str, str]) -> None:
    if isinstance(node, list):
        for part in node:
            _renumber(part, ids, files)
    elif isinstance(node, dict):
        _forget(node)
        if "__loader__" in node:
            # Constants are equal or not: which of them were one object in memory is chance.
            constant = node["__loader__"] in ("JsonNode", "TypeNode")
            key = (node["__module__"], node["__class__"], node.get("content")) if constant else node.get("__id__")
            if "__id__" in node:
                node["__id__"] = ids.setdefault(key, len(ids) + 1)
            if isinstance(name := node.get("file"), str):
                ending = name.rpartition(".")[2]
                node["file"] = files.setdefault(name, f"{len(files) + 1}.{ending}")
        for key, part in node.items():
            if key not in ("__id__", "file"):
                _renumber(part, ids, files)
