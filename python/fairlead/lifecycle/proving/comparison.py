"""Two models on the same examples: what each loses, the gain of one over the other, and the guardrails."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle.proving.guardrails import Check, Guardrails, Reply, Seen, guards
from fairlead.lifecycle.proving.losses import LossName, Scale, gain_of, loss_of


class Comparison:
    """What a trial and a watch share. `one` is what is compared with, `other` what is on trial."""

    def __init__(self, loss: LossName, scale: float | None, guardrails: Guardrails) -> None:
        self.loss = loss
        self._scale = Scale(scale)
        self._guards = guards(guardrails)
        self._sums = [0.0, 0.0]
        self._n = 0

    def losses_on(
        self, y: float, one: Reply, other: Reply, slices: Mapping[str, str] | None = None
    ) -> tuple[float, float]:
        """What each loses; changes nothing. Raises InvalidRecordError for bad answers, labels and slices."""
        for reply in (one, other):
            if not isinstance(reply, Reply):
                raise InvalidRecordError(f"the answer is {reply!r}, must be a Reply")
        _check_slices(slices)
        return loss_of(self.loss, one.answer, y), loss_of(self.loss, other.answer, y)

    def add(
        self, y: float, one: Reply, other: Reply, losses: tuple[float, float], slices: Mapping[str, str] | None
    ) -> float:
        """Goes on by one example. Returns the gain of `other`, in [-1, 1]."""
        gain = gain_of(self.loss, *losses, self._scale)
        seen = Seen(y, one, other, gain, slices or {})
        for guard in self._guards.values():
            guard.add(seen)
        if math.isfinite(losses[0]) and math.isfinite(losses[1]):
            self._sums[0] += losses[0]
            self._sums[1] += losses[1]
            self._n += 1
        return gain

    @property
    def losses(self) -> tuple[float, float]:
        """Mean losses, in the loss's own units, of examples on which neither failed; NaN without any."""
        n = self._n or math.nan
        return self._sums[0] / n, self._sums[1] / n

    def checks(self) -> tuple[Check, ...]:
        """How the guardrails stand."""
        return tuple(guard.check() for guard in self._guards.values())

    def tripped(self) -> Check | None:
        """The first guardrail that was tripped."""
        return next((guard.check() for guard in self._guards.values() if guard.tripped()), None)

    def as_dict(self) -> dict[str, Any]:
        """All that is not given when it is made, as plain JSON types."""
        return {
            "scale": self._scale.as_dict(),
            "guards": {name: guard.as_dict() for name, guard in self._guards.items()},
            "losses": [*self._sums, self._n],
        }

    def restore(self, values: Mapping[str, Any]) -> None:
        """Back from `as_dict`, of one made from the same."""
        self._scale = Scale.from_dict(values["scale"])
        for name, guard in self._guards.items():
            guard.restore(values["guards"][name])
        one, other, n = values["losses"]
        self._sums, self._n = [float(one), float(other)], int(n)


def _check_slices(slices: Any) -> None:
    if slices is None:
        return
    if not isinstance(slices, Mapping):
        raise InvalidRecordError(f"slices is {slices!r}, must be a mapping of names to values")
    for name, value in slices.items():
        if not (isinstance(name, str) and isinstance(value, str)):
            raise InvalidRecordError(f"slices has {name!r}: {value!r}, must be texts")
