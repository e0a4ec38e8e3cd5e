"""Tables of prompts with the quality of each model on each: parquet, CSV or JSON lines."""

from __future__ import annotations

import csv
import gzip
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.errors import TableError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["RoutingTable", "read_prices", "read_routing_table"]

_PROMPT, _SETS = ("prompt", "text"), ("task", "eval_name", "set")
_OTHER = {"prompt_id", "sample_id", "dataset", "split", "id", "oracle_model_to_route_to"}
_COST, _ANSWER, _RESPONSE = "|total_cost", "|answer", "|model_response"
_ANSWER_TOKENS = 100  # of an answer whose length nobody noted
_BYTES_A_TOKEN = 4
_TRUTHS = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True)
class RoutingTable:
    """n prompts and M models.

    quality: (n, M) in [0, 1]. cost_usd: (n, M), of one call; None where nobody knows: then only two models can be
    compared, by their calls. sets: which task set a prompt is of ("" if the table does not say). answers: (n, M) of
    str, or None.
    """

    models: tuple[str, ...]
    texts: list[str]
    sets: list[str]
    quality: np.ndarray[Any, np.dtype[np.float64]]
    cost_usd: np.ndarray[Any, np.dtype[np.float64]] | None = None
    answers: np.ndarray[Any, np.dtype[Any]] | None = None

    def __post_init__(self) -> None:
        import numpy as np

        n, m = len(self.texts), len(self.models)
        if m < 2:
            raise TableError(f"models has {m} entries, a router needs two or more")
        if n == 0 or len(self.sets) != n:
            raise TableError(f"texts has {n} entries, sets has {len(self.sets)}")
        for name in ("quality", "cost_usd", "answers"):
            value = getattr(self, name)
            if value is None and name != "quality":
                continue
            if value.shape != (n, m):
                raise TableError(f"{name} has shape {value.shape}, must be {(n, m)}")
        if not ((self.quality >= 0) & (self.quality <= 1)).all():
            i, j = np.argwhere(~((self.quality >= 0) & (self.quality <= 1)))[0]
            raise TableError(f"quality of {self.models[j]!r} in row {i} is {self.quality[i, j]}, outside [0, 1]")
        if self.cost_usd is not None and not ((self.cost_usd >= 0) & (self.cost_usd < math.inf)).all():
            raise TableError("cost_usd has a number that is negative, infinite or NaN")

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: Sequence[int] | np.ndarray[Any, Any]) -> RoutingTable:
        """Some of its prompts."""
        import numpy as np

        at = np.asarray(rows)
        return RoutingTable(
            self.models,
            [self.texts[i] for i in at],
            [self.sets[i] for i in at],
            self.quality[at],
            None if self.cost_usd is None else self.cost_usd[at],
            None if self.answers is None else self.answers[at],
        )


def read_prices(path: str | PathLike[str]) -> dict[str, tuple[float, float]]:
    """Prices in USD per million tokens, (input, output), by model, from a CSV file with the columns ``model``,
    ``input_usd_per_1M``, ``output_usd_per_1M``. Raises TableError for another layout."""
    out = {}
    with Path(path).open(encoding="utf-8", newline="") as file:
        for line, row in enumerate(csv.DictReader(file), 2):
            try:
                prices = float(row["input_usd_per_1M"]), float(row["output_usd_per_1M"])
                out[row["model"]] = prices
            except (KeyError, TypeError, ValueError):
                wanted = "model, input_usd_per_1M, output_usd_per_1M"
                raise TableError(f"{path}, line {line}: must have the columns {wanted}, and numbers in them") from None
            if not all(0 <= price < math.inf for price in prices):
                raise TableError(f"{path}, line {line}: a price is negative or no number: {prices}")
    return out


def read_routing_table(
    path: str | PathLike[str],
    *,
    prices: Mapping[str, tuple[float, float]] | None = None,
    where: Mapping[str, str] | None = None,
    models: Sequence[str] | None = None,
) -> RoutingTable:
    """A table from ``.parquet``, ``.csv`` or ``.jsonl`` (the latter two also ``.gz``), one row a prompt.

    Columns: ``prompt`` (or ``text``); if you like ``task`` (or ``eval_name``), the set a prompt is of; one column a
    model, with its quality there: in [0, 1], or true and false. ``MODEL|total_cost``: what that call cost, in USD (as
    RouterBench has it); else `prices`, as `read_prices` gives them, make it, with a token for 4 bytes and 100 tokens
    an answer. ``MODEL|answer``: what it said, for agreement. Other columns of texts are left out.

    where: only rows in which these columns have these values, as in ``{"dataset": "mmlu"}``. models: which columns are
    models; every column of numbers, where it is None.

    Raises TableError, naming the column and the row, for what is missing or no number, and OSError.
    """
    import numpy as np

    columns = _columns(Path(path))
    count = len(next(iter(columns.values()), []))
    for name, value in (where or {}).items():
        if name not in columns:
            raise TableError(f"{path}: where names column {name!r}, there are {sorted(columns)}")
        keep = [str(cell) == str(value) for cell in columns[name]]
        columns = {key: [c for c, k in zip(cells, keep, strict=True) if k] for key, cells in columns.items()}
        if not any(keep):
            raise TableError(f"{path}: no row of {count} has {name} = {value!r}")
    prompt = next((name for name in _PROMPT if name in columns), None)
    if prompt is None:
        raise TableError(f"{path}: there is no column 'prompt'; there are {sorted(columns)}")
    sets = next((name for name in _SETS if name in columns), None)
    names = list(models) if models is not None else _models(columns, {prompt, sets})
    for name in names:
        if name not in columns:
            raise TableError(f"{path}: models names column {name!r}, there are {sorted(columns)}")
    texts = columns[prompt]
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise TableError(f"{path}: {prompt} in row {i} is {text!r}, must be a text")
    quality = np.array([[_number(path, name, i, cell) for i, cell in enumerate(columns[name])] for name in names]).T
    cost = None
    if all(name + _COST in columns for name in names):
        named = [name + _COST for name in names]
        cost = np.array([[_number(path, name, i, cell) for i, cell in enumerate(columns[name])] for name in named]).T
    elif prices is not None:
        if missing := [name for name in names if name not in prices]:
            raise TableError(f"prices has no model {missing[0]!r}; it has {sorted(prices)}")
        tokens = np.array([len(text.encode("utf-8", "surrogatepass")) / _BYTES_A_TOKEN for text in texts])
        cost = np.column_stack([(prices[m][0] * tokens + prices[m][1] * _ANSWER_TOKENS) / 1e6 for m in names])
    answers = None
    if all(name + _ANSWER in columns for name in names):
        answers = np.array([[str(cell) for cell in columns[name + _ANSWER]] for name in names], dtype=object).T
    kinds = [str(cell) for cell in columns[sets]] if sets else [""] * len(texts)
    return RoutingTable(tuple(names), texts, kinds, quality.reshape(len(texts), len(names)), cost, answers)


def _columns(path: Path) -> dict[str, list[Any]]:
    kinds = path.suffixes[-2:]
    packed = kinds[-1:] == [".gz"]
    kind = (kinds[:-1] if packed else kinds)[-1:]
    if kind == [".parquet"] and not packed:
        try:
            import pyarrow.parquet as parquet
        except ImportError as error:
            raise ImportError("parquet needs pyarrow: pip install 'fairlead[parquet]'") from error
        columns: dict[str, list[Any]] = parquet.read_table(path).to_pydict()
        return columns
    if kind not in ([".csv"], [".jsonl"]):
        raise TableError(f"{path}: must end in .parquet, .csv, .csv.gz, .jsonl or .jsonl.gz")
    with (
        gzip.open(path, "rt", encoding="utf-8", newline="")
        if packed
        else path.open(encoding="utf-8", newline="") as file
    ):
        rows: list[Any] = []
        try:
            if kind == [".csv"]:
                rows = list(csv.DictReader(file))
            else:
                rows = [json.loads(line) for line in file if line.strip()]
        except (ValueError, csv.Error) as error:
            raise TableError(f"{path}, row {len(rows)}: {error}") from None
    if not rows:
        raise TableError(f"{path}: has no rows")
    for i, row in enumerate(rows):
        if not isinstance(row, dict) or row.keys() != rows[0].keys():
            raise TableError(f"{path}: row {i} has other columns than the first one")
    return {name: [row[name] for row in rows] for name in rows[0]}


def _models(columns: Mapping[str, Sequence[Any]], known: set[str | None]) -> list[str]:
    def is_quality(name: str) -> bool:
        if name in known or name in _OTHER or name.endswith((_COST, _ANSWER, _RESPONSE)):
            return False
        cells = columns[name]
        return all(not isinstance(cell, str) or _reads(cell) for cell in cells[:100])

    return [name for name in columns if is_quality(name)]


def _reads(text: str) -> bool:
    return _is_float(text) or text.strip().lower() in _TRUTHS


def _number(path: object, name: str, row: int, cell: Any) -> float:
    try:
        number = _TRUTHS[cell.strip().lower()] if isinstance(cell, str) and not _is_float(cell) else float(cell)
    except (KeyError, TypeError, ValueError):
        number = math.nan
    if math.isnan(number):
        raise TableError(f"{path}: {name} in row {row} is {cell!r}, must be a number: drop rows without all models")
    return number


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
