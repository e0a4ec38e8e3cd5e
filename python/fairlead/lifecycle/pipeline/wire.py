"""`input` and `label` events on their way into a log, and back. A journal takes text that is made here, since that of
the `json` module costs more than all else that a prediction does."""

from __future__ import annotations

from collections.abc import Mapping
from json.encoder import encode_basestring as quote
from typing import Any

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle.pipeline.answers import Answer
from fairlead.lifecycle.pipeline.ledger import Log
from fairlead.lifecycle.pipeline.memory import Asked
from fairlead.lifecycle.schema import Schema


class Writer:
    """Writes the events of one model. Each call gives the number of the event, and raises what the log raises."""

    def __init__(self, log: Log, model: str, schema: Schema) -> None:
        self._log: Any = log
        self._model = model
        self._schema = schema
        self._number: int | None = None
        if hasattr(log, "append_bytes") and hasattr(log, "name"):
            self._number = log.name("models", model)

    def input(
        self,
        when: int,
        task: str,
        row: Any,
        answer: Answer | None,
        version: int | None,
        arm: str,
        latency: float,
        slices: Mapping[str, str] | None,
        error: str,
    ) -> int:
        """An input and its answer."""
        if self._number is None or slices or error or version is None:
            data = _data(self._schema, row, task, answer, version, arm, latency)
            if slices:
                data["slices"] = dict(slices)
            if error:
                data["error"] = error
            return int(self._log.append("input", data, model=self._model, time=when))
        if self._schema.text:
            x = quote(row[0])
        else:
            x = str(row[0].tolist())  # lists of floats look the same in JSON
            if "n" in x:
                x = x.replace("nan", "null")
        said = f'"p":[{str(answer)[1:-1]}]' if isinstance(answer, tuple) else f'"value":{answer!r}'
        text = f'{{"task":{quote(task)},"x":{x},"version":{version},"arm":"{arm}","latency_ms":{latency:.4f},{said}}}'
        return int(self._log.append_bytes("input", when, self._number, None, _encoded(text)))

    def label(self, when: int, task: str, label: int | float | None) -> int:
        """What a task came to."""
        if self._number is None:
            return int(self._log.append("label", {"task": task, "y": label}, model=self._model, time=when))
        text = f'{{"task":{quote(task)},"y":{"null" if label is None else repr(label)}}}'
        return int(self._log.append_bytes("label", when, self._number, None, _encoded(text)))


def asked_of(schema: Schema, seq: int, time: int, data: Any) -> Asked:
    """The input again from the data of its event. Raises InvalidRecordError where it does not fit the schema."""
    p, value = data.get("p"), data.get("value")
    answer: Answer | None = tuple(p) if p is not None else None if value is None else float(value)
    row = schema.check_x([data["x"]])
    version, arm = data.get("version"), data.get("arm", "champion")
    return Asked(
        seq, time, data["task"], row, answer, version or 0, arm, data.get("latency_ms") or 0.0, data.get("slices")
    )


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRecordError(f"{error.object[error.start : error.end]!r} is no text: {error.reason}") from error


def _data(
    schema: Schema, row: Any, task: str, answer: Answer | None, version: int | None, arm: str, latency: float
) -> dict[str, Any]:
    """The data of an `input` event."""
    x: Any = row[0] if schema.text else row[0].tolist()
    if schema.missing:
        x = [None if value != value else value for value in x]
    data: dict[str, Any] = {"task": task, "x": x, "version": version, "arm": arm, "latency_ms": round(latency, 4)}
    if answer is not None:
        data["p" if isinstance(answer, tuple) else "value"] = answer
    return data
