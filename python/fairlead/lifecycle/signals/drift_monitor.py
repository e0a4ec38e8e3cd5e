"""Drift of one model: its inputs, what it answers, how sure it is of it, and how good it is."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle.examples import Examples
from fairlead.lifecycle.schema import Schema
from fairlead.lifecycle.signals import texts
from fairlead.lifecycle.signals.answers import judge, reader
from fairlead.lifecycle.signals.elo import EloSlide
from fairlead.lifecycle.signals.packing import pack, unpack
from fairlead.lifecycle.signals.performance import LEAST, Performance
from fairlead.lifecycle.signals.psi_window import PsiWindow
from fairlead.lifecycle.signals.rank_scans import RankScans
from fairlead.lifecycle.signals.status import KINDS, LEVELS, DriftStatus

_PARTS = 5  # families that share the false alarms: inputs, their ranks, answers, tests of errors, changes of errors


class DriftMonitor:
    """Watches one model for drift: a fold of what it was asked, what it answered, and what came true.

    schema: of the model. window: how many of the newest inputs, and of the newest labels, are compared. reference: with
    what: examples that the model was trained on (in their order), or how many of the first inputs. answers: those of
    the model to the newest of these examples, made without having seen them (as of `update`): what its predictions,
    confidence and errors are compared with; else the first ones that come are. baseline: how many first errors.

    psi: what the index (less what chance gives) of an alarm is at least, and psi_warning of a warning. accuracy: the
    least that is good, or None. rise: of the error rate against the baseline, .5 is by half. calibration: by how much
    confidence less accuracy may move. slide: points of Elo. adwin: the delta of ADWIN. bins: of a column of numbers.
    arl: events between false alarms of all of these but Elo and ADWIN together, on average at least, where nothing
    drifts. Warnings: at half the threshold of an alarm (PSI: psi_warning), as sure as alarms; of
    the detectors ten times as often. every: events between tests of a window.

    Inputs and labels come at different times, labels may come late, never, and in any order. Nothing is tested before a
    reference and a window of inputs, or a baseline and 30 labels, are there. All p-values allow for neighbours that are
    alike, as they are in the reference. See `check`, `change_point`, `rebase`.

    Raises InvalidRecordError for what cannot be honoured.

    >>> import numpy as np
    >>> rng = np.random.default_rng(1)
    >>> monitor = DriftMonitor(Schema("binary", ["price", "load"]), window=200, reference=500)
    >>> for n in range(2000):
    ...     x = rng.normal(0.0 if n < 1500 else 1.0, 1.0, 2)
    ...     p = 1.0 / (1.0 + np.exp(-2.0 * x[0]))
    ...     monitor.update(x, p, time=n)
    ...     monitor.learn(p, int(rng.random() < (p if n < 1500 else 1.0 - p)), time=n)
    >>> status = monitor.check()
    >>> status.level, sorted({signal.kind for signal in status.raised("alarm")})
    ('alarm', ['adwin', 'calibration', 'change', 'confidence', 'error_rate', 'input_change', 'inputs'])
    >>> abs(monitor.change_point() - 500) < 30
    True
    """

    def __init__(
        self,
        schema: Schema,
        *,
        window: int = 500,
        reference: int | Examples = 500,
        answers: Any = None,
        baseline: int = 200,
        psi: float = 0.25,
        psi_warning: float = 0.1,
        accuracy: float | None = None,
        rise: float = 0.5,
        calibration: float = 0.1,
        slide: float = 100.0,
        adwin: float = 0.002,
        arl: float = 10_000.0,
        bins: int = 10,
        every: int | None = None,
    ) -> None:
        check_kind(schema)
        _within("psi", psi, 0.0, math.inf)
        _within("psi_warning", psi_warning, 0.0, psi)
        if accuracy is not None:
            _within("accuracy", accuracy, 0.0, 1.0)
            if schema.kind == "numeric":
                raise InvalidRecordError(f"accuracy is {accuracy!r}, but a numeric kind has none")
        for name, value in (("rise", rise), ("slide", slide)):
            _within(name, value, 0.0, math.inf)
        _within("calibration", calibration, 0.0, 1.0)
        _within("adwin", adwin, 0.0, 1.0)
        if not 100.0 <= _number("arl", arl) <= 1e9:
            raise InvalidRecordError(f"arl is {arl!r}, must be from 100 to 1e9 events")
        given = reference if isinstance(reference, Examples) else None
        every = max(window // 10, 1) if every is None and isinstance(window, int) else every
        first = 500 if isinstance(reference, Examples) else reference
        counts: dict[str, Any] = {"window": window, "baseline": baseline, "every": every, "bins": bins}
        counts["reference"] = first
        for name, value in counts.items():
            _whole(name, value, 2 if name == "bins" else 20 if name in ("window", "baseline", "reference") else 1)
        assert isinstance(every, int)
        self.schema = schema
        self.baseline = baseline
        self._options = {
            **{"window": window, "baseline": baseline, "psi": psi, "psi_warning": psi_warning, "accuracy": accuracy},
            **{"rise": rise, "calibration": calibration, "slide": slide, "adwin": adwin, "arl": arl, "bins": bins},
            **{"every": every, "reference": first},
        }
        inputs = texts.COLUMNS if schema.text else tuple((name, 0) for name in schema.features)
        psi_options: dict[str, Any] = {
            **{"window": window, "reference": first, "bins": bins, "every": every},
            **{"warning": psi_warning, "alarm": psi, "p_value": min(every * 1.0 / (_PARTS * arl), 0.05)},
        }
        ranked = [name for name, classes in inputs if not classes]
        self._inputs = PsiWindow(
            [("inputs", name, classes) for name, classes in inputs],
            ranks=RankScans(ranked, min(_PARTS * arl * 2 * len(ranked), 1e12), window),
            **psi_options,
        )
        of_answers = (("predictions", "", schema.classes), ("confidence", "", 0))
        self._answers = PsiWindow(of_answers, **psi_options)
        self._performance = Performance(
            numeric=schema.kind == "numeric",
            window=window,
            baseline=baseline,
            every=every,
            p_value=min(every * 1.0 / (3 * _PARTS * arl), 0.05),
            arl=_PARTS * arl,
            adwin=adwin,
            accuracy=accuracy,
            rise=rise,
            calibration=calibration,
        )
        self._elo = EloSlide(slide, window)
        self._read, self._judge, self._width = reader(schema), judge(schema), len(inputs)
        self._words = texts.Words()
        self._texts: list[list[int]] = []  # of the reference that is being gathered, as hashes
        self.inputs = self.labels = 0
        self._then: deque[int] = deque(maxlen=window // every + 2)  # labels known at the newest tests of inputs
        if given is not None:
            self.rebase(given, answers)
        elif answers is not None:
            raise InvalidRecordError("answers is given without examples as reference")

    def update(self, x: Any, answer: Any, *, time: int = 0) -> None:
        """One input and what the model answered.

        x: a row of numbers in the order of the schema (NaN: missing), or a text. answer: a probability for each class
        (of a binary kind also that of class 1), or a number, or (number, confidence). time: nanoseconds, for `since`.
        Raises InvalidRecordError; nothing has changed then.
        """
        prediction, confidence = self._read(answer)
        if self.schema.text:
            self._text(x)
        else:
            slot = self._inputs.slot()
            try:
                if len(x) != self._width:
                    raise ValueError
                slot[:] = x
            except (TypeError, ValueError):
                row = self.schema.check_x([x])  # names the column
                slot[:] = row[0]
        self._answers.slot()[:] = prediction, confidence
        self.inputs += 1
        if self._inputs.add(time):
            self._then.append(self.labels)
        self._answers.add(time)

    def update_many(self, x: Any, answers: Any, times: Iterable[int] | None = None) -> None:
        """As many calls of `update`, with the same state after them; all or none count.

        x: of shape (n, features), or texts. answers: of shape (n, classes) or (n,). times: of shape (n,).
        """
        if self.schema.text:
            rows: Any = self.schema.check_x(x)
        else:
            rows = np.asarray(x, dtype=np.float64)
            if rows.ndim != 2 or rows.shape[1] != self._width:
                rows = self.schema.check_x(x)
        read = [self._read(answer) for answer in answers]
        when = [0] * len(read) if times is None else [int(t) for t in times]
        if not len(rows) == len(read) == len(when):
            raise InvalidRecordError(f"x has {len(rows)} rows, answers {len(read)}, times {len(when)}")
        if self.schema.text:
            for text, pair, time in zip(rows, read, when, strict=True):
                self._text(text)
                self._answers.slot()[:] = pair
                self.inputs += 1
                if self._inputs.add(time):
                    self._then.append(self.labels)
                self._answers.add(time)
            return
        pairs = np.array(read).reshape(len(read), 2)
        for target, values in ((self._inputs, rows), (self._answers, pairs)):
            start = 0
            while start < len(values):
                n = min(target.room(), len(values) - start)
                into = target.first if target.table is None else target.rows
                into[target.at : target.at + n] = values[start : start + n]
                tested = target.add_many(n, when[start + n - 1])
                start += n
                if tested and target is self._inputs:
                    self._then.append(self.labels)
        self.inputs += len(read)

    def learn(self, answer: Any, y: Any, *, time: int = 0) -> None:
        """What came true of an input: the answer that the model gave to it, and the label.

        y: the number or the name of a class, or a number. Raises InvalidRecordError; nothing has changed then.
        """
        error, confidence = self._judge(answer, y)
        self.labels += 1
        self._performance.add(error, confidence, time)

    def learn_many(self, answers: Any, y: Any, times: Iterable[int] | None = None) -> None:
        """As many calls of `learn`; all or none count."""
        judged = [self._judge(answer, label) for answer, label in zip(answers, y, strict=True)]
        when = [0] * len(judged) if times is None else [int(t) for t in times]
        if len(when) != len(judged):
            raise InvalidRecordError(f"times has length {len(when)}, answers has {len(judged)}")
        for (error, confidence), time in zip(judged, when, strict=True):
            self.labels += 1
            self._performance.add(error, confidence, time)

    def rated(self, elo: float, *, time: int = 0) -> None:
        """A new Elo rating of the model, from wherever it is rated."""
        self._elo.add(_number("elo", elo), time)

    def check(self) -> DriftStatus:
        """What is known now: a function of the events so far, that asking does not change."""
        found = [*self._inputs.signals(), *self._answers.signals(), *self._performance.signals(), *self._elo.signals()]
        found = [s for s in found if not math.isnan(s.value)]
        found.sort(key=lambda s: (-LEVELS.index(s.level), KINDS.index(s.kind), -abs(s.value)))
        level = found[0].level if found else "none"
        return DriftStatus(level, tuple(found), self.inputs, self.labels, self._performance.record())

    def change_point(self) -> int:
        """How many of the newest labelled examples came after the drift: what to train on. All (those of the reference
        with answers too) where there is none.

        By the detectors on the errors where they found a change, else by the bins of the inputs or answers that are in
        alarm, as far as their window reaches; then those are counted whose labels came since.
        """
        everything = self._performance.newer()
        if self._performance.found:
            return everything
        for window in (self._inputs, self._answers):
            rows = window.newer()
            if rows:
                return min(self._labels_since(rows), everything)
        return everything

    def rebase(self, examples: Examples | None = None, answers: Any = None) -> None:
        """Starts anew after a promotion. examples, answers: as of `reference` and `answers` of the class; without
        them, the first events to come are what is compared with.
        """
        self._check_reference(examples, answers)
        pairs = rows = None
        if examples is not None and answers is not None and len(answers):
            pairs = np.array([self._read(answer) for answer in answers])
            newest = examples.last(len(answers))
            rows = np.array([self._judge(a, y) for a, y in zip(answers, newest.y.tolist(), strict=True)])
        self.inputs = self.labels = 0
        self._then.clear()
        self._texts, self._words = [], texts.Words()
        for window in (self._inputs, self._answers):
            window.forget()
        self._performance.forget()
        self._elo.forget()
        if examples is None:
            return
        if isinstance(examples.x, tuple):
            found = [texts.hashes(text) for text in examples.x]
            self._words = texts.Words.of(found)
            self._inputs.fit(texts.reference_rows(found))
        else:
            self._inputs.fit(examples.x)
        if pairs is not None and len(pairs) >= LEAST:
            self._answers.fit(pairs)
        if rows is not None and len(rows) >= LEAST:
            self._performance.start(rows)

    def snapshot(self) -> bytes:
        """The whole state as bytes, for `restore`."""
        parts = [part.state() for part in (self._inputs, self._answers, self._performance, self._elo)]
        known = np.array(sorted(self._words.known), dtype=np.int64)
        flat = np.array([h for text in self._texts for h in text], dtype=np.int64)
        ends = np.array([len(text) for text in self._texts], dtype=np.int64)
        header = {
            "schema": self.schema.to_json(),
            "options": self._options,
            "parts": [[state, len(arrays)] for state, arrays in parts],
            "inputs": self.inputs,
            "labels": self.labels,
            "then": list(self._then),
        }
        return pack(header, [known, flat, ends, *(a for _, arrays in parts for a in arrays)])

    @classmethod
    def restore(cls, state: bytes) -> DriftMonitor:
        """A monitor that goes on as if it had never stopped. Raises ValueError for bytes that are no snapshot of one,
        or damaged."""
        header, arrays = unpack(state)
        made = cls(Schema.from_json(header["schema"]), **header["options"])
        known, flat, ends, *rest = arrays
        made._words = texts.Words(known.tolist())
        at = 0
        for n in ends.tolist():
            made._texts.append(flat[at : at + n].tolist())
            at += n
        parts: Sequence[Any] = (made._inputs, made._answers, made._performance, made._elo)
        for part, (plain, n) in zip(parts, header["parts"], strict=True):
            part.restore(plain, rest[:n])
            rest = rest[n:]
        made.inputs, made.labels = header["inputs"], header["labels"]
        made._then.extend(header["then"])
        return made

    def __repr__(self) -> str:
        return f"DriftMonitor({self.inputs} inputs, {self.labels} labels, {self.check().level})"

    def _text(self, x: Any) -> None:
        if not isinstance(x, str):
            raise InvalidRecordError(f"x is {x!r}, must be a text")
        if self._inputs.table is not None:
            self._inputs.slot()[:] = self._words.row(x)
            return
        self._texts.append(texts.hashes(x))
        if len(self._texts) == self._inputs.reference:  # the last row, which `add` is to count
            self._inputs.first[:] = texts.reference_rows(self._texts)
            self._words, self._texts = texts.Words.of(self._texts), []

    def _labels_since(self, rows: int) -> int:
        """How many labels came since so many inputs ago, as far back as is known."""
        tests = math.ceil((rows - self._inputs.seen % self._inputs.every) / self._inputs.every)
        if not self._then:
            return self.labels
        return self.labels - self._then[max(len(self._then) - 1 - tests, 0)]

    def _check_reference(self, examples: Examples | None, answers: Any) -> None:
        if examples is None:
            if answers is not None:
                raise InvalidRecordError("answers is given without examples")
            return
        if not isinstance(examples, Examples):
            raise InvalidRecordError(f"reference is {examples!r}, must be Examples or a number of inputs")
        if differ := self.schema.differences(examples.schema):
            raise InvalidRecordError(f"reference: {'; '.join(differ)}")
        if len(examples) < 20:
            raise InvalidRecordError(f"reference has {len(examples)} examples, needs 20 at least")
        if answers is not None and len(answers) > len(examples):
            raise InvalidRecordError(f"answers has length {len(answers)}, reference has {len(examples)}")


def check_kind(schema: object) -> None:
    """Raises InvalidRecordError for what is no schema."""
    if not isinstance(schema, Schema):
        raise InvalidRecordError(f"schema is {schema!r}, must be a Schema")


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.floating)) or not math.isfinite(value):
        raise InvalidRecordError(f"{name} is {value!r}, must be a finite number")
    return float(value)


def _within(name: str, value: object, low: float, high: float) -> None:
    if not low < _number(name, value) <= high:
        raise InvalidRecordError(f"{name} is {value!r}, outside ({low:g}, {high:g}]")


def _whole(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidRecordError(f"{name} is {value!r}, must be a whole number, at least {least}")
