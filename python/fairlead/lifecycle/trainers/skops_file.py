"""The bytes of a skops file, made the same for the same model: skops names its parts by addresses in memory, and dates
them. skops is not asked: a file of skops is a zip of `schema.json` and the arrays that it names."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

_DATE = (1980, 1, 1, 0, 0, 0)


def canonical(data: bytes) -> bytes:
    """The same model in a file of its own bytes: parts numbered in the order in which they are met, undated."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        tree = json.loads(archive.read("schema.json"))
        parts = {name: archive.read(name) for name in archive.namelist() if name != "schema.json"}
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


def _renumber(node: Any, ids: dict[Any, int], files: dict[str, str]) -> None:
    if isinstance(node, list):
        for part in node:
            _renumber(part, ids, files)
    elif isinstance(node, dict):
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
