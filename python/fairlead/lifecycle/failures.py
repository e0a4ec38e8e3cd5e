"""What can become of a training run, by name, and the errors of the life of a model."""

from __future__ import annotations

from enum import Enum

from fairlead.errors import FairleadError, InvalidRecordError


class Failure(str, Enum):
    """Why a run did not end with a new champion. Its value is what the journal holds.

    >>> Failure("nan_loss") is Failure.nan_loss, str(Failure.disk_full), Failure.hung.words
    (True, 'disk_full', 'the trainer showed no sign of life')
    """

    raised = "raised"
    nan_loss = "nan_loss"
    killed = "killed"
    out_of_memory = "out_of_memory"
    hung = "hung"
    timed_out = "timed_out"
    disk_full = "disk_full"
    orphaned = "orphaned"
    schema = "schema"
    worse = "worse"
    guardrail = "guardrail"
    vetoed = "vetoed"
    stopped = "stopped"
    too_few = "too_few"

    def __str__(self) -> str:
        return self.value

    @property
    def words(self) -> str:
        """What it means, in a few words."""
        return _WORDS[self.value]


_WORDS = {
    "raised": "the trainer raised an error",
    "nan_loss": "the loss is not a number any more",
    "killed": "the process was killed",
    "out_of_memory": "the process took more memory than it may",
    "hung": "the trainer showed no sign of life",
    "timed_out": "the run took longer than it may",
    "disk_full": "the disk is full",
    "orphaned": "the process that started the run is gone",
    "schema": "what goes in or comes out differs from what the champion has",
    "worse": "the challenger is no better than the champion",
    "guardrail": "a guardrail was broken",
    "vetoed": "a person refused it",
    "stopped": "a person stopped it",
    "too_few": "there are too few examples to learn from",
}


class LifecycleError(FairleadError):
    """Base of what can go wrong between two versions of a model. failure: the state that a run ends in by it."""

    failure: Failure = Failure.raised


class TrainingError(LifecycleError):
    """A trainer that cannot learn from what it is given, or cannot do what it is asked for; the message says why."""


class NanLossError(TrainingError):
    """The loss became NaN or infinite: the message names the epoch, and what usually helps."""

    failure = Failure.nan_loss


class TooFewExamplesError(TrainingError):
    """Too few examples, or of one class alone."""

    failure = Failure.too_few


class SchemaError(TrainingError, InvalidRecordError):
    """Examples, weights or a challenger whose schema is not the expected one: the message names each difference."""

    failure = Failure.schema


class Stopped(LifecycleError):
    """Raised by a report to end the training after the epoch that it was told of. The trainer passes it on, and is
    left as it was after that epoch: it predicts and can be saved."""

    failure = Failure.stopped
