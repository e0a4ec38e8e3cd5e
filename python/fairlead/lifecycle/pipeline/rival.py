"""A version that predicts beside the one that answers, and cannot hurt it: whatever it raises or however long it takes,
the answer is given without it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from time import perf_counter
from typing import Any

from fairlead.lifecycle.failures import Failure
from fairlead.lifecycle.pipeline.answers import Answer, answers_of, rows_of
from fairlead.lifecycle.schema import Schema

_ENOUGH = 20
"""Calls in a row that fail, after which a rival is not asked any more."""


class Rival:
    """A challenger, or the champion before. patience_s: as in `Policy`.

    A call that raises gives no answer (None), which counts against it. One that hangs, or many in a row that raise, end
    it: `failure` and `message` say why, and from then on it gives nothing.
    """

    def __init__(self, model: Any, version: int, schema: Schema, patience_s: float | None, name: str = "") -> None:
        self.model = model
        self.version = version
        self.name = name or f"version {version}"
        self.failure: Failure | None = None
        self.message = ""
        """What its newest failure said."""
        self.latency_ms: float | None = None
        """Of the newest answer that was made alone."""
        self._schema = schema
        self._patience = patience_s
        self._failed = 0  # in a row
        self._worker: _Worker | None = None
        self._closed = False
        self._starts = threading.Lock()

    def one(self, row: Any) -> tuple[Answer, float] | None:
        """Its answer to one input, which must come in time, and the milliseconds it took; None where there is none."""
        if self.failure is not None or self._closed:
            return None
        found = self._call(row, 1)
        if found is None:
            return None
        answers, self.latency_ms = found
        return answers[0], self.latency_ms

    def many(self, inputs: Sequence[Any]) -> list[Answer | None]:
        """Its answers to several inputs at once; where that fails, to one after the other."""
        if not inputs:
            return []
        found = (
            None if self.failure is not None or self._closed else self._call(rows_of(self._schema, inputs), len(inputs))
        )
        if found is not None:
            return list(found[0])
        return [None if (alone := self.one(row)) is None else alone[0] for row in inputs]

    def _call(self, rows: Any, n: int) -> tuple[list[Answer], float] | None:
        def predict() -> tuple[list[Answer], float]:
            start = perf_counter()  # here, so that the way to the other thread is not its latency
            found = self.model.predict(rows)
            took = (perf_counter() - start) * 1e3
            return answers_of(self._schema, found, n), took

        try:
            if self._patience is None:
                answers = predict()
            else:
                answers = self._own_worker().call(predict, self._patience + 1e-3 * n)
        except _LeftError:  # it was closed meanwhile, in another thread
            return None
        except _LateError:
            self._end(Failure.hung, f"{self.name} did not answer within {self._patience:g} s")
        except MemoryError as error:
            self._end(Failure.out_of_memory, f"{self.name} ran out of memory: {error}")
        except Exception as error:
            self.message = f"{self.name} raised {type(error).__name__}: {error}"
            self._failed += 1
            if self._failed >= _ENOUGH:
                self._end(Failure.raised, f"{self.message}, and so {self._failed} times in a row")
        else:
            self._failed = 0
            return answers
        return None

    def _end(self, failure: Failure, message: str) -> None:
        self.message = message
        self.failure = failure
        self.close()

    def _own_worker(self) -> _Worker:
        with self._starts:
            if self._closed:
                raise _LeftError
            if self._worker is None:
                self._worker = _Worker()
            return self._worker

    def close(self) -> None:
        """It is asked no more; who asks already, in another thread, is answered."""
        with self._starts:
            self._closed = True
            worker, self._worker = self._worker, None
        if worker is not None:
            worker.leave()


class _LateError(Exception):
    """No answer in time."""


class _LeftError(Exception):
    """Nobody is there any more."""


class _Worker:
    """One thread that calls functions, so that one that hangs can be left behind. It keeps no process alive."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[Any] = SimpleQueue()
        self._one = threading.Lock()
        self._left = False
        threading.Thread(target=_work, args=(self._calls,), name="fairlead-rival", daemon=True).start()

    def call(self, function: Callable[[], Any], patience: float) -> Any:
        back: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        if not self._one.acquire(timeout=patience):
            raise _LateError
        try:
            if self._left:
                raise _LeftError
            self._calls.put((function, back))
            found, error = back.get(timeout=patience)
        except Empty:
            raise _LateError from None
        finally:
            self._one.release()
            if self._left:  # while it was called
                self._calls.put(None)
        if error is not None:
            raise error
        return found

    def leave(self) -> None:
        self._left = True
        if self._one.acquire(blocking=False):  # else whoever calls it lets it go
            self._one.release()
            self._calls.put(None)


def _work(calls: SimpleQueue[Any]) -> None:
    while (call := calls.get()) is not None:
        function, back = call
        try:
            back.put((function(), None))
        except BaseException as error:
            back.put((None, error))
        del function, back, call
