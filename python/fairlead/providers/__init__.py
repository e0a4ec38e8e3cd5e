"""Whoever answers: language models behind an API or on a server of one's own, and any Python callable.

`as_provider` makes a provider of what it is given; a provider's `ask` brings a Forecast, its `call` an Answer, which
tells precisely what failed. SDKs are imported when they are first needed: extras `openai`, `anthropic`, `litellm`.
"""

from __future__ import annotations

from typing import Any, cast

from fairlead.errors import InvalidRecordError, did_you_mean
from fairlead.providers.anthropic import AnthropicProvider
from fairlead.providers.cache import CacheHit, ResponseCache, Similar
from fairlead.providers.callables import CallableProvider
from fairlead.providers.deadlines import Deadline
from fairlead.providers.failure import FAILURE_KINDS, FailureKind, ProviderError
from fairlead.providers.keys import Secret, SecretsWarning
from fairlead.providers.known_models import KnownModels, known_model, known_models
from fairlead.providers.language_model import LanguageModelProvider
from fairlead.providers.litellm import LiteLLMProvider
from fairlead.providers.openai import ENDPOINTS, Endpoint, OpenAIProvider
from fairlead.providers.parsing import ParsedAnswer, parse_reply
from fairlead.providers.prices import Prices, PriceTable, load_prices
from fairlead.providers.prompts import PROMPTS, Prompt, answer_schema
from fairlead.providers.provider import Answer, BaseProvider, Provider, ask_sync, call
from fairlead.providers.retries import NO_RETRIES, Retries
from fairlead.providers.usage import Usage, cost_of

__all__ = [
    "ENDPOINTS",
    "FAILURE_KINDS",
    "NO_RETRIES",
    "PROMPTS",
    "Answer",
    "AnthropicProvider",
    "BaseProvider",
    "CacheHit",
    "CallableProvider",
    "Deadline",
    "Endpoint",
    "FailureKind",
    "KnownModels",
    "LanguageModelProvider",
    "LiteLLMProvider",
    "OpenAIProvider",
    "ParsedAnswer",
    "PriceTable",
    "Prices",
    "Prompt",
    "Provider",
    "ProviderError",
    "ResponseCache",
    "Retries",
    "Secret",
    "SecretsWarning",
    "Similar",
    "Usage",
    "answer_schema",
    "as_provider",
    "ask_sync",
    "call",
    "cost_of",
    "known_model",
    "known_models",
    "load_prices",
    "parse_reply",
]


def as_provider(thing: Any) -> Provider:
    """A provider as it is, a callable as one, or the provider that is known by a name: `openai`, `xai`, `vllm`,
    `llama.cpp`, `ollama`, `anthropic`, `litellm`.

    Raises InvalidRecordError for anything else.

    >>> as_provider("xai")
    OpenAIProvider(https://api.x.ai/v1)
    >>> from fairlead import Task
    >>> as_provider(lambda task: 0.5).ask_sync("mine", Task("q")).p
    0.5
    """
    if isinstance(thing, str):
        if thing in ENDPOINTS:
            return OpenAIProvider(thing)
        if thing == "anthropic":
            return AnthropicProvider()
        if thing == "litellm":
            return LiteLLMProvider()
        known = (*ENDPOINTS, "anthropic", "litellm")
        raise InvalidRecordError(
            f"provider is {thing!r}, must be one of {', '.join(known)}{did_you_mean(thing, known)}"
        )
    if hasattr(thing, "ask") and not isinstance(thing, type):
        return cast(Provider, thing)
    if callable(thing):
        return CallableProvider(thing)
    raise InvalidRecordError(f"provider is {thing!r}, must be a provider, a callable or the name of a provider")
