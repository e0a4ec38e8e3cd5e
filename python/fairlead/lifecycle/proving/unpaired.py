"""The same test where only one of the two answers a task, since both would be too dear."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle.proving.canary import Arm
from fairlead.lifecycle.proving.paired import PairedTest


class UnpairedTest:
    """Is the challenger better, where each task is answered by one of the two, chosen by chance or by a hash of its id
    (`served_by`)?

    Tasks are taken in blocks, each from the end of the last to the first task at which both have answered; the mean
    losses in a block are one pair of a `PairedTest`. What changes slowly is thus alike for both. A challenger that is
    no better is found better with probability `alpha` at most, as long as the choice of who answers has nothing to do
    with the task, and the tasks of one block are alike: a trend within it is not taken out. It needs several times as
    many labels as pairs do: a difference between two tasks has the variance of both.

    Takes what `PairedTest` takes; `test` is it. Raises InvalidRecordError for another arm and losses that are not
    finite.

    >>> unpaired = UnpairedTest()
    >>> for i in range(60):
    ...     e_value = unpaired.add("challenger" if i % 3 == 0 else "champion", 0.2 if i % 3 == 0 else 0.9)
    >>> unpaired.test.better, unpaired.test.n, unpaired.tasks
    (True, 20, {'champion': 40, 'challenger': 20})
    """

    def __init__(
        self, *, alpha: float = 0.05, least: float = 0.0, beta: float = 0.05, margin: float = 0.0, bound: float = 1.0
    ) -> None:
        self.test = PairedTest(alpha=alpha, least=least, beta=beta, margin=margin, bound=bound)
        self._open: dict[Arm, list[float]] = {"champion": [], "challenger": []}
        self._tasks: dict[Arm, int] = {"champion": 0, "challenger": 0}

    def add(self, arm: Arm, loss: float) -> float:
        """Goes on by the loss of whoever answered. Returns the e-value."""
        if arm not in self._open:
            raise InvalidRecordError(f"arm is {arm!r}, must be champion or challenger")
        if not math.isfinite(loss):
            raise InvalidRecordError(f"loss is {loss!r}, must be finite")
        self._open[arm].append(float(loss))
        self._tasks[arm] += 1
        one, other = self._open["champion"], self._open["challenger"]
        if one and other:
            self.test.update(math.fsum(one) / len(one), math.fsum(other) / len(other))
            one.clear()
            other.clear()
        return self.test.e_value

    @property
    def tasks(self) -> dict[str, int]:
        """How many tasks each has answered."""
        return {str(arm): n for arm, n in self._tasks.items()}

    def as_dict(self) -> dict[str, Any]:
        """All of it, as plain JSON types; what is made from it goes on to the bit."""
        return {
            "test": self.test.as_dict(),
            "open": {arm: list(losses) for arm, losses in self._open.items()},
            "tasks": self.tasks,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> UnpairedTest:
        """Back from `as_dict`."""
        unpaired = cls()
        unpaired.test = PairedTest.from_dict(values["test"])
        for arm in unpaired._open:
            unpaired._open[arm] = [float(loss) for loss in values["open"][arm]]
            unpaired._tasks[arm] = int(values["tasks"][arm])
        return unpaired

    def __str__(self) -> str:
        return (
            f"{self._tasks['champion']} tasks of the champion, {self._tasks['challenger']} of the challenger: "
            + str(self.test)
        )
