"""One training, in whichever process: epochs, checkpoints, early stopping, and the artifact in the end.

Both kinds of jobs run this, so what comes out is the same, to the byte.
"""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fairlead.lifecycle.examples import Examples
from fairlead.lifecycle.failures import Failure, LifecycleError, NanLossError, SchemaError, Stopped
from fairlead.lifecycle.jobs.control import Control
from fairlead.lifecycle.jobs.faults import LimitError, failure_of, full_text, one_line
from fairlead.lifecycle.jobs.folder import JobFolder, digest_of, finite, settle, sync
from fairlead.lifecycle.jobs.orders import Order
from fairlead.lifecycle.trainer import Epoch, Resumable, Trainer

_TRIED = 64  # so many predictions are looked at before weights are taken for sound
_LEAST_P = 1e-15
_CHECKPOINT_SHARE = 20  # training goes on so many times as long as the checkpoint took, before the next


@dataclass(frozen=True, slots=True)
class End:
    """How a training ended. state: "done", "failed" or "stopped"."""

    state: str
    finished: int
    failure: str | None = None
    message: str = ""
    artifact: str | None = None
    digest: str | None = None
    bytes: int | None = None
    best: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Its fields."""
        return asdict(self)


class _Enough(Stopped):
    """Early stopping."""


class Training:
    """Trains a model by an order.

    place: the job's folder. trainer: one of the same parameters; it is not changed. tell: called after each epoch and
    at each pause, after the files are written. attempt: from 1; later ones go on from the newest checkpoint, if
    `resumed`. started: when the first began. lasting: whether a later attempt could go on from this one.
    """

    def __init__(
        self,
        place: JobFolder,
        order: Order,
        trainer: Trainer,
        examples: Examples,
        validation: Examples | None,
        *,
        control: Control,
        tell: Callable[[Mapping[str, Any]], None],
        attempt: int = 1,
        resumed: bool = False,
        started: int | None = None,
        clock: Callable[[], int] = time.time_ns,
        lasting: bool = True,
    ) -> None:
        self._lasting = lasting
        self._place, self._order = place, order
        self._trainer, self._examples, self._validation = trainer, examples, validation
        self._control, self._tell, self._clock = control, tell, clock
        self._attempt, self._resumed = attempt, resumed
        self._began = time.perf_counter()
        self._cpu = time.process_time()
        self._now = clock()
        self._started = self._now if started is None else started
        self._waited = 0.0  # in pauses
        self._pause_began = 0.0
        self._checkpoint_due = 0.0
        self._safe_best = 0  # best epoch as of the newest checkpoint
        self._writing = False
        self._last: Epoch | None = None
        self._spent = 0.0  # seconds of the epochs before
        self._best: tuple[int, float] | None = None
        self._fault: LifecycleError | None = None
        self._model: Trainer = trainer

    def run(self) -> End:
        """Trains, writes every file, and tells how it ended. Raises nothing but KeyboardInterrupt."""
        try:
            self._write_state("running")
            self._prepare()
            end = self._learn()
        except KeyboardInterrupt:
            self.finish(self._ended("stopped", Failure.stopped, "stopped by the keyboard"))
            raise
        except BaseException as error:
            end = self._failed(error)
        return self.finish(end)

    def finish(self, end: End) -> End:
        """Writes how it ended, and removes what is of no more use."""
        self._place.drop_unfinished()
        if end.state == "done":
            self._place.drop("checkpoint")
            self._place.drop("best")
        with suppress(OSError):  # a full disk: who started the job writes it
            self._write_state(end.state, end)
        return end

    def failed(self, error: BaseException) -> End:
        """Of a training that could not even begin."""
        return self.finish(self._failed(error))

    def _prepare(self) -> None:
        self._model = self._trainer.fresh()
        if self._order.base is not None:
            if digest_of_base(self._order) != self._order.base_digest:
                raise LifecycleError(f"the weights {self._order.base} are not those that the job was started with")
            self._model.load(self._order.base)
        known = self._model.schema
        if known is not None and (differ := known.differences(self._examples.schema)):
            raise SchemaError(f"the examples are not of the weights in {self._order.base}: {'; '.join(differ)}")
        done = self._place.newest("checkpoint") if self._resumed and isinstance(self._model, Resumable) else 0
        self._place.keep_epochs(done)
        for record in self._place.epochs():
            self._last = Epoch(record["epoch"], record["of"], record["loss"], record["validation_loss"])
            self._spent = record["seconds"]
            self._better(self._last)
        if done and isinstance(self._model, Resumable):
            path = self._place.numbered("checkpoint", done)
            try:
                self._model.restore(path)
                self._safe_best = self._best[0] if self._best and self._order.early_stopping else 0
            except Exception as error:
                raise LifecycleError(
                    f"the checkpoint {path} cannot be gone on from ({one_line(error)}); from_start=True begins anew"
                ) from error
        else:
            self._place.drop("checkpoint")
            self._place.drop("best")

    def _learn(self) -> End:
        learn = self._model.fit if self._order.mode == "full" else self._model.partial_fit
        with suppress(_Enough):
            if not self._enough():  # a checkpoint may stand where it was enough
                learn(self._examples, seed=self._order.seed, report=self._report)
        if self._fault is not None:  # raised in the report, and caught by the trainer
            raise self._fault
        path = self._place.path / f"artifact.{self._order.format}"
        best = self._best[0] if self._best and self._order.early_stopping else None
        if best is None:
            self._sound()
            self._save(self._model.save, path)
        else:  # which stays until all is written: a death now goes on from the checkpoint
            self._save(partial(_same, self._place.numbered("best", best)), path)
        size = path.stat().st_size
        return End("done", self._clock(), artifact=path.name, digest=digest_of(path), bytes=size, best=best)

    def _report(self, epoch: Epoch) -> None:
        if self._fault is not None:  # a trainer that went on after it
            raise self._fault
        try:
            self._take(epoch)
        except LifecycleError as error:
            if not isinstance(error, _Enough):
                self._fault = error
            raise

    def _take(self, epoch: Epoch) -> None:
        before = self._last
        if before is not None and epoch.number <= before.number:
            raise LifecycleError(f"the trainer told of epoch {epoch.number} after epoch {before.number}")
        bad = _bad(epoch.loss)
        if self._validation is not None and not bad:
            epoch = Epoch(epoch.number, epoch.of, epoch.loss, self._validation_loss(self._validation))
        seconds = self._spent + time.perf_counter() - self._began - self._waited
        self._place.append_epoch(
            {
                "epoch": epoch.number,
                "of": epoch.of,
                "loss": finite(epoch.loss),
                "validation_loss": finite(epoch.validation_loss),
                "seconds": round(seconds, 6),
                "time": self._clock(),
            }
        )
        self._last = epoch
        self._tell({"epoch": epoch.number})
        if bad or _bad(epoch.validation_loss):
            raise NanLossError(self._nan_words(epoch, before))
        self._keep(epoch)
        if epoch.number != epoch.of:  # what is finished is not stopped any more
            self._hold_to_limits(seconds - self._spent)
            self._control.turn(self._paused)

    def _keep(self, epoch: Epoch) -> None:
        """The best weights, and a checkpoint."""
        if self._better(epoch) and self._order.early_stopping:
            self._save(self._model.save, self._place.numbered("best", epoch.number), durable=False)
            self._place.drop("best", but=(epoch.number, self._safe_best))
        if self._enough():
            raise _Enough
        if self._lasting and epoch.number != epoch.of and self._due(epoch.number):
            self._checkpoint(epoch.number)

    def _due(self, number: int) -> bool:
        every = self._order.checkpoint_every
        if self._control.asked:
            return True
        if every is not None:
            return number % every == 0
        return time.perf_counter() >= self._checkpoint_due

    def _checkpoint(self, number: int) -> None:
        """The state to go on from, with the best weights that belong to it."""
        if not isinstance(self._model, Resumable):
            return
        began = time.perf_counter()
        best = self._best[0] if self._best and self._order.early_stopping else 0
        if best != self._safe_best:
            sync(self._place.numbered("best", best))
        self._save(self._model.checkpoint, self._place.numbered("checkpoint", number))
        self._safe_best = best
        self._place.drop("checkpoint", but=(number,))
        self._place.drop("best", but=(best,))
        ended = time.perf_counter()
        self._checkpoint_due = ended + _CHECKPOINT_SHARE * (ended - began)

    def _save(self, save: Callable[[Any], None], path: Path, *, durable: bool = True) -> None:
        new = path.with_name(f"{path.name}.new")
        self._writing = True
        save(new)
        settle(new, path, durable=durable and self._lasting)
        self._writing = False

    def _better(self, epoch: Epoch) -> bool:
        early, loss = self._order.early_stopping, epoch.validation_loss
        if loss is None:
            if early is not None:
                raise LifecycleError(
                    "early_stopping needs a validation loss, and the trainer tells none: give `validation` examples"
                )
            return False
        if self._best is not None and not loss < self._best[1] - (early.least if early else 0.0):
            return False
        self._best = (epoch.number, loss)
        return True

    def _enough(self) -> bool:
        early, last, best = self._order.early_stopping, self._last, self._best
        return bool(early and last and best and last.number - best[0] >= early.patience)

    def _validation_loss(self, examples: Examples) -> float:
        """Mean log-loss, or mean squared error of numbers."""
        p = np.asarray(self._model.predict(examples.x), dtype=np.float64)
        y = np.asarray(examples.y)
        if examples.schema.kind == "numeric":
            return float(np.mean((p - y) ** 2))
        return float(-np.mean(np.log(np.maximum(p[np.arange(len(y)), y.astype(np.int64)], _LEAST_P))))

    def _sound(self) -> None:
        """Raises NanLossError where the model predicts what is no number."""
        some = self._examples.last(_TRIED)
        if not np.isfinite(np.asarray(self._model.predict(some.x), dtype=np.float64)).all():
            raise NanLossError(
                f"the trained model predicts what is no number for some of the newest {len(some)} examples"
            )

    def _nan_words(self, epoch: Epoch, before: Epoch | None) -> str:
        what, value = ("loss", epoch.loss) if _bad(epoch.loss) else ("validation loss", epoch.validation_loss)
        was = None if before is None else before.loss if what == "loss" else before.validation_loss
        was_words = "" if before is None or was is None else f", after {was:.6g} at epoch {before.number}"
        of = "" if epoch.of is None else f" of {epoch.of}"
        return f"the {what} is {value} at epoch {epoch.number}{of}{was_words}; a smaller learning rate often helps"

    def _hold_to_limits(self, seconds: float) -> None:
        limits, cpu = self._order.limits, time.process_time() - self._cpu
        if limits.wall_s is not None and seconds > limits.wall_s:
            raise LimitError(f"it ran for more than wall_s={limits.wall_s:g} seconds", Failure.timed_out)
        if limits.cpu_s is not None and cpu > limits.cpu_s:
            raise LimitError(f"it took more than cpu_s={limits.cpu_s:g} seconds of processor time", Failure.timed_out)

    def _paused(self, begins: bool) -> None:
        if begins:
            self._pause_began = time.perf_counter()
        else:
            self._waited += time.perf_counter() - self._pause_began
        self._write_state("paused" if begins else "running")
        self._tell({"paused": begins})

    def _failed(self, error: BaseException) -> End:
        fault = self._fault or error
        if isinstance(fault, Stopped):
            at = "before its first epoch" if self._last is None else f"after epoch {self._last.number}"
            state = "stopped" if fault.failure is Failure.stopped else "failed"
            return self._ended(state, fault.failure, f"{str(fault) or 'the trainer stopped itself'}, {at}")
        failure = failure_of(fault, self._place.path if self._writing else None)
        with suppress(OSError), self._place.log.open("a") as log:
            log.write(full_text(fault))
        if isinstance(fault, LifecycleError):
            return self._ended("failed", failure, str(fault))
        at = "before the end of its first epoch" if self._last is None else f"after epoch {self._last.number}"
        said = f"{failure.words}, {at}: {one_line(fault)}; the traceback is in {self._place.log}"
        return self._ended("failed", failure, said)

    def _ended(self, state: str, failure: Failure, message: str) -> End:
        return End(state, self._clock(), failure.value, message, best=self._best[0] if self._best else None)

    def _write_state(self, state: str, end: End | None = None) -> None:
        said: dict[str, Any] = {"state": state, "attempt": self._attempt, "started": self._started, "began": self._now}
        self._place.write_status(
            said if end is None else said | end.as_dict(), durable=self._lasting and end is not None
        )


def digest_of_base(order: Order) -> str | None:
    """The digest of the weights that an incremental job starts from, as they are now; None: they cannot be read."""
    try:
        return None if order.base is None else digest_of(Path(order.base))
    except OSError:
        return None


def _same(path: Path, new: Path) -> None:
    """The same file by another name."""
    new.unlink(missing_ok=True)
    try:
        os.link(path, new)
    except OSError:
        shutil.copyfile(path, new)


def _bad(loss: float | None) -> bool:
    return loss is not None and not math.isfinite(loss)
