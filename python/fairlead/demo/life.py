"""What the second act tells, in numbers: everything the page draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

CHAMPION, CANARY, SHADOW, LEARNS = "answers", "answers a share", "predicts in shadow", "learns"


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened, once so many images had been shown. version: the one it is about, None of none."""

    image: int
    what: str
    words: str
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """What a version did from one image until another: `CHAMPION`, `CANARY`, `SHADOW` or `LEARNS`."""

    version: int
    role: str
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Training:
    """A job: why it was begun, how many images it learned from, its loss after each epoch."""

    version: int
    reason: str
    examples: int
    losses: tuple[float, ...]
    validation_losses: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """What a version had to prove, or in the watch after its promotion what spoke against it.

    images: those whose labels counted, in order. e_better, e_worse: after each of them the evidence that it is better
    than the other, and that it is worse; in a watch only the second is asked. needed: the e-value that decides. gain:
    by how much more often it was right than the other.
    """

    version: int
    against: int
    watch: bool
    images: tuple[int, ...]
    e_better: tuple[float, ...]
    e_worse: tuple[float, ...]
    needed: float
    gain: float
    outcome: str
    reason: str

    @property
    def labels(self) -> int:
        """How many images counted."""
        return len(self.images)


@dataclass(frozen=True, slots=True)
class Version:
    """A model in the registry. origin: what it learned from. before, after: the share of images that it reads rightly,
    through the working and through the broken sensor, of such as no version learned from."""

    number: int
    digest: str
    origin: str
    before: float
    after: float
    fate: str


@dataclass(frozen=True, slots=True)
class LifeResult:
    """The second act.

    name: of the managed model. images: how many were shown. step: images between two points of every line. accuracy:
    rolling, over the last `window` images, of what the managed model answered ("served"), of its first version had
    nobody retrained it ("kept"), of the fleet's decision ("fleet"). elo, weights: of every model. recovered: the shares
    of images that were read rightly before the fault, from the fault to the promotion, and from it until the end of
    the watch.
    """

    name: str
    images: int
    fault_at: int
    step: int
    window: int
    accuracy: Mapping[str, tuple[float, ...]]
    elo: Mapping[str, tuple[float, ...]]
    weights: Mapping[str, tuple[float, ...]]
    moments: tuple[Moment, ...]
    spans: tuple[Span, ...]
    trainings: tuple[Training, ...]
    trials: tuple[Trial, ...]
    versions: tuple[Version, ...]
    reads: tuple[float, ...]
    decides: tuple[float, ...]
