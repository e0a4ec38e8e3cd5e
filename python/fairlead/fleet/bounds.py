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
        self._models: dict[str, tuple[Model, Callable[[Task], Any]]] = {}

    def connect(self, model: Model, provider: Any) -> None:
        """This provider answers for this model from now on."""
        at_most = getattr(provider, "at_most", None)
        if callable(at_most) and (model.price_in or model.price_out):
            self._models[model.name] = model, at_most
        else:
            self._models.pop(model.name, None)

    def __bool__(self) -> bool:
        return bool(self._models)

    def of(self, task: Task, given: Mapping[str, int] | None = None) -> dict[str, int] | None:
        """Nano-dollars by model, with those that the caller gives before; None where nothing is known.

        >>> from fairlead.providers import OpenAIProvider
        >>> bounds = Bounds()
        >>> bounds.connect(Model("gpt-5", price_in=1.25, price_out=10), OpenAIProvider(max_tokens=100))
        >>> 1_000_000 < bounds.of(Task("q", text="Will it rain?"))["gpt-5"] < 5_000_000
        True
        """
        from fairlead.providers.usage import bound_of

        out: dict[str, int] = {}
        usages: dict[Callable[[Task], Any], Any] = {}  # one prompt for all models of a provider
        for name, (model, at_most) in self._models.items():
            if given is not None and name in given:
                continue
            if at_most not in usages:
                try:
                    usages[at_most] = at_most(task)
                except InvalidRecordError:  # it cannot be asked this, which the call will tell
                    usages[at_most] = None
            if usages[at_most] is not None:
                out[name] = bound_of(model, usages[at_most])
        return {**out, **(given or {})} or None
