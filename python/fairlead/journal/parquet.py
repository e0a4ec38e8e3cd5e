"""Events in a Parquet file, zstd: how each column is written, and how it is read back.

The encodings were chosen by measurement (benchmarks/rows/archive.py): numbers that grow as differences, names and
numbers that repeat as dictionaries, doubles as they are or byte by byte, as a sample of each file says; columns that
are empty are left out.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fairlead.errors import JournalDamagedError, JournalError
from fairlead.journal import columns
from fairlead.journal.arrow import pa, pc, pq
from fairlead.journal.columns import LISTED, SCHEMA, Nothing, nothing

_GROWING = ("seq", "time", "task")
_SAMPLE = 1 << 14


def encodings(table: pa.Table) -> dict[str, Any]:
    """How to write the columns of `table`: options of `pyarrow.parquet.ParquetWriter`."""
    dictionary, encoding = [], {}
    for field in table.schema:
        if field.name in _GROWING:
            encoding[field.name] = "DELTA_BINARY_PACKED"
        elif pa.types.is_dictionary(field.type) or field.name in ("regime", "error", "reasons", "task_type", *LISTED):
            dictionary.append(_path(field))
        elif field.type in (pa.float64(), pa.int64(), pa.uint32(), pa.uint16()):
            sample = table[field.name].drop_null()[:_SAMPLE].combine_chunks()
            numbers = field.type != pa.float64()
            if pc.count_distinct(sample).as_py() <= len(sample) * (3 if numbers else 1) // 4:
                dictionary.append(field.name)
            elif numbers:
                encoding[field.name] = "DELTA_BINARY_PACKED"
            elif _split_is_smaller(sample):
                encoding[field.name] = "BYTE_STREAM_SPLIT"
        elif field.name in ("labels", "slices"):
            dictionary.append(_path(field))
        elif field.type == pa.list_(pa.float64()):
            encoding[_path(field)] = "BYTE_STREAM_SPLIT"
    return {
        "compression": "zstd",
        "compression_level": 1,
        "use_dictionary": dictionary,
        "column_encoding": encoding,
        "write_page_checksum": True,
        "write_statistics": [f.name for f in table.schema if f.name in ("seq", "time", "task", "type", "model")],
    }


def _path(field: pa.Field) -> str:
    return f"{field.name}.list.element" if pa.types.is_list(field.type) else str(field.name)


def _split_is_smaller(sample: pa.Array) -> bool:
    """Whether doubles take less room byte by byte: measurements do, decimals that come again do not."""
    values = np.asarray(sample).view(np.uint8).reshape(-1, 8)
    codec = pa.Codec("zstd", compression_level=1)
    plain, split = (len(codec.compress(part.tobytes())) for part in (values, np.ascontiguousarray(values.T)))
    return bool(split < plain)


def write(path: Path, table: pa.Table, models: Sequence[str], categories: Sequence[str], journal: str) -> None:
    """A table of events as a durable file (its name is not: the caller renames it)."""
    names = {"models": list(models), "categories": list(categories), "journal": journal}
    table = table.select([name for name in table.column_names if table[name].null_count < len(table) or name == "seq"])
    table = table.replace_schema_metadata({b"fairlead": json.dumps(names).encode()})
    with path.open("wb") as file:
        pq.write_table(table, file, row_group_size=1 << 20, **encodings(table))
        file.flush()
        os.fsync(file.fileno())


class EventFile:
    """An open Parquet file of events. models, categories: the journal's names as of its end.

    Raises JournalDamagedError where the file is missing, truncated, damaged or none of events.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = pq.ParquetFile(path, page_checksum_verification=True)
            names = json.loads((self._file.metadata.metadata or {})[b"fairlead"])
            self.models: list[str] = names["models"]
            self.categories: list[str] = names["categories"]
            self.journal: str = names["journal"]
        except FileNotFoundError as error:
            raise JournalError(f"{path} is missing") from error
        except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
            raise JournalDamagedError(f"{path} is no Parquet file of a journal, or damaged: {error}") from error
        self.rows: int = self._file.metadata.num_rows

    def batches(
        self, rows: int = 1 << 16, wanted: Sequence[str] | None = None, tasks: tuple[int, int] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows as batches of `SCHEMA`; of the columns that are `wanted` alone, if that is given; with `tasks`,
        parts that hold none from the first to the last of these are left out."""
        have = set(self._file.schema_arrow.names)
        fields = [SCHEMA.field(name) for name in wanted] if wanted is not None else list(SCHEMA)
        there = [field.name for field in fields if field.name in have] or ["seq"]
        none: Nothing = {}
        try:
            for batch in self._file.iter_batches(rows, row_groups=self._groups(tasks), columns=there):
                arrays = [_as(field, batch, none) for field in fields]
                yield pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))
        except (pa.ArrowException, OSError) as error:
            raise JournalDamagedError(f"{self.path} is damaged: {error}") from error

    def _groups(self, tasks: tuple[int, int] | None) -> list[int]:
        metadata = self._file.metadata
        place = self._file.schema_arrow.get_field_index("task")
        if tasks is None or place < 0:
            return list(range(metadata.num_row_groups)) if tasks is None else []
        paths = [metadata.schema.column(i).path for i in range(metadata.num_columns)]
        out = []
        for group in range(metadata.num_row_groups):
            found = metadata.row_group(group).column(paths.index("task")).statistics
            if found is None or not found.has_min_max or (found.max >= tasks[0] and found.min <= tasks[1]):
                out.append(group)
        return out

    def records(self) -> Iterator[npt.NDArray[np.uint8]]:
        """The events' bytes; see `columns.records`."""
        for batch in self.batches():
            try:
                yield from columns.records(batch, self.models, self.categories)
            except JournalDamagedError as error:
                raise JournalDamagedError(f"{self.path}: {error}") from error


def _as(field: pa.Field, batch: pa.RecordBatch, none: Nothing) -> pa.Array:
    place = batch.schema.get_field_index(field.name)
    if place < 0:
        return nothing(none, field.type, len(batch))
    array = batch.column(place)
    if array.type == field.type:
        return array
    if pa.types.is_dictionary(array.type) and pa.types.is_dictionary(field.type):
        return pa.DictionaryArray.from_arrays(array.indices.cast(field.type.index_type), array.dictionary)
    return array.dictionary_encode().cast(field.type) if pa.types.is_dictionary(field.type) else array.cast(field.type)
