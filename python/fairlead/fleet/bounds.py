"""The most that a call can cost, where its provider says what it can use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fairlead.errors import InvalidRecordError
from fairlead.types import Model, Task


class Bounds:
    """Of the models of a fleet whose provider has `at_most(task)`: a language model with `max_tokens`.

    What is reserved by it is never exceeded, as long as the server counts all that it bills in `max_tokens`.
    """

    def __init__(self) -> None:
        self._providers: dict[Callable[[Task], Any], dict[str, Model]] = {}

    def connect(self, model: Model, provider: Any) -> None:
        """This provider answers for this model from now on."""
        left = {
            at_most: {n: m for n, m in models.items() if n != model.name} for at_most, models in self._providers.items()
        }
        at_most = getattr(provider, "at_most", None)
        if callable(at_most) and (model.price_in or model.price_out):
            left.setdefault(at_most, {})[model.name] = model
        self._providers = {at_most: models for at_most, models in left.items() if models}

    def __bool__(self) -> bool:
        return bool(self._providers)

    def of(self, task: Task, given: Mapping[str, int] | None = None) -> dict[str, int] | None:
        """Nano-dollars by model, with those that the caller gives before; None where nothing is known.

        >>> from fairlead.providers import OpenAIProvider
        >>> bounds = Bounds()
        >>> bounds.connect(Model("gpt-5", price_in=1.25, price_out=10), OpenAIProvider(max_tokens=100))
        >>> 1_000_000 < bounds.of(Task("q", text="Will it rain?"))["gpt-5"] < 5_000_000
        True
        """
        out = dict(given or {})
        for at_most, models in self._providers.items():  # one prompt for all models of a provider
            try:
                usage = at_most(task)
            except InvalidRecordError:  # it cannot be asked this, which the call will tell
                continue
            if usage is not None:
                from fairlead.providers.usage import bound_of

                for name, model in models.items():
                    if name not in out:
                        out[name] = bound_of(model, usage)
        return out or None
