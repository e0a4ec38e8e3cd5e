"""Endpoints that speak OpenAI's chat completions: OpenAI, xAI, and servers of one's own (vLLM, llama.cpp, Ollama)."""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

from fairlead.errors import InvalidRecordError, did_you_mean
from fairlead.providers.failure import ProviderError
from fairlead.providers.keys import Secret
from fairlead.providers.language_model import (
    CONNECT_SECONDS,
    LanguageModelProvider,
    Progress,
    Reply,
    choose_end,
    close_stream,
    no_end,
)
from fairlead.providers.parsing import quoted
from fairlead.providers.prompts import answer_schema
from fairlead.providers.usage import openai_usage
from fairlead.types import Task


class Endpoint(NamedTuple):
    """Where a server is, which key it takes, and how it calls the bound on what a model writes."""

    base_url: str
    key: str | None
    max_tokens: str = "max_tokens"


ENDPOINTS = {
    "openai": Endpoint("https://api.openai.com/v1", "OPENAI_API_KEY", "max_completion_tokens"),
    "xai": Endpoint("https://api.x.ai/v1", "XAI_API_KEY", "max_completion_tokens"),
    "vllm": Endpoint("http://localhost:8000/v1", None),
    "llama.cpp": Endpoint("http://localhost:8080/v1", None),
    "ollama": Endpoint("http://localhost:11434/v1", None),
}
"""Servers that are known by name."""

_ENDS = {"length": "truncated", "content_filter": "refused"}


class OpenAIProvider(LanguageModelProvider):
    """A server that speaks OpenAI's chat completions, through the openai SDK: `pip install "fairlead[openai]"`.

    server: `openai`, `xai`, `vllm`, `llama.cpp`, `ollama`, or a URL. key: the name of the variable that holds the key;
    None = the one that the server is known to take, if any. The rest as in LanguageModelProvider.

    >>> OpenAIProvider("ollama")
    OpenAIProvider(http://localhost:11434/v1)
    >>> OpenAIProvider("https://llm.example.org/v1", key="EXAMPLE_KEY", structured=False)
    OpenAIProvider(https://llm.example.org/v1)
    """

    sdk = "openai"

    def __init__(self, server: str = "openai", *, key: str | None = None, **options: Any) -> None:
        if "://" in server:
            endpoint = Endpoint(server, key)
        elif server in ENDPOINTS:
            endpoint = ENDPOINTS[server]
        else:
            known = ", ".join(ENDPOINTS)
            raise InvalidRecordError(
                f"server is {server!r}, must be a URL or one of {known}{did_you_mean(server, ENDPOINTS)}"
            )
        base_url = options.pop("base_url", None) or endpoint.base_url
        super().__init__(base_url=base_url, key=key or endpoint.key, **options)
        self._fixed: dict[str, Any] = self._more(self._options) if self._options else {}
        if self.max_tokens is not None:
            self._fixed[endpoint.max_tokens] = self.max_tokens
        if self._stream:
            self._fixed |= {"stream": True, "stream_options": {"include_usage": True}}

    def _more(self, options: dict[str, Any]) -> dict[str, Any]:
        """In the body, whether this version of the SDK knows them or not."""
        return {"extra_body": options}

    def _client(self, sdk: ModuleType, secret: Secret | None) -> Any:
        client = sdk.AsyncOpenAI(
            api_key=secret.reveal() if secret is not None else "none",
            base_url=self.base_url,
            max_retries=0,
            timeout=sdk.Timeout(None, connect=CONNECT_SECONDS),
        )
        if self.base_url != ENDPOINTS["openai"].base_url:  # the SDK took them from the environment
            client.organization = client.project = None
        client.admin_api_key = None
        _ = client.chat.completions  # imports its part of the SDK
        return client

    async def _send(self, client: Any, name: str, task: Task, messages: tuple[str, str], progress: Progress) -> Reply:
        request: dict[str, Any] = {
            "model": name,
            "messages": [{"role": "system", "content": messages[0]}, {"role": "user", "content": messages[1]}],
        }
        if self._structured:
            schema = answer_schema(task.kind, task.labels)
            request["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "strict": True, "schema": schema},
            }
        made = await self._create(client, request | self._fixed)
        return await read_stream(made, progress) if self._stream else read_completion(made)

    async def _create(self, client: Any, request: dict[str, Any]) -> Any:
        return await client.chat.completions.create(**request)


def read_completion(completion: Any) -> Reply:
    """The reply in a chat completion. Nothing of it is certain to be there: the SDK checks nothing."""
    usage = openai_usage(getattr(completion, "usage", None))
    try:
        choice = completion.choices[0]
        message, reason = choice.message, choice.finish_reason
        text, refusal = message.content, getattr(message, "refusal", None)
    except (AttributeError, TypeError, IndexError, KeyError):
        pass
    else:
        choose_end("content_filter" if refusal else reason, _ENDS, usage, quoted(refusal) if refusal else "")
        if isinstance(text, str) and text:
            return Reply(text, usage)
        raise ProviderError("unparsable", "the reply has no text", usage=usage)
    error = getattr(completion, "error", None)
    if error:  # some gateways answer 200 and tell of an error
        message = error.get("message") if isinstance(error, dict) else error
        raise ProviderError("server", str(message)[:200], usage=usage)
    shown = completion if isinstance(completion, str) else str(getattr(completion, "model_extra", None) or completion)
    raise ProviderError("unparsable", f"the reply is no chat completion: {quoted(shown)}", usage=usage)


async def read_stream(stream: Any, progress: Progress) -> Reply:
    """The reply in a stream of pieces. Truncated where it ends without saying why."""
    parts: list[str] = []
    refusals: list[str] = []
    reason: object = None
    try:
        async for chunk in stream:
            reported = getattr(chunk, "usage", None)
            if reported is not None:
                progress.usage = openai_usage(reported)
            for choice in getattr(chunk, "choices", None) or ():
                piece = choice.delta.content if choice.delta is not None else None
                if piece:
                    progress.token()
                    parts.append(piece)
                refusals.append(getattr(choice.delta, "refusal", None) or "")
                reason = choice.finish_reason or reason
    finally:
        await close_stream(stream)
    usage = progress.usage
    if reason is None:
        raise no_end(stream, "".join(parts), usage)
    refusal = "".join(refusals)
    choose_end("content_filter" if refusal else reason, _ENDS, usage, quoted(refusal) if refusal else "")
    text = "".join(parts)
    if not text:
        raise ProviderError("unparsable", "the reply has no text", usage=usage)
    return Reply(text, usage)
