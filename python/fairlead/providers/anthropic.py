"""Anthropic's messages."""

from __future__ import annotations

from types import ModuleType
from typing import Any

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
from fairlead.providers.usage import anthropic_usage
from fairlead.types import Task

_ENDS = {
    "max_tokens": "truncated",
    "model_context_window_exceeded": "truncated",
    "pause_turn": "truncated",
    "refusal": "refused",
}


class AnthropicProvider(LanguageModelProvider):
    """Anthropic's messages, through its SDK: `pip install "fairlead[anthropic]"`. Parameters as in
    LanguageModelProvider.

    >>> AnthropicProvider(stream=True)
    AnthropicProvider(https://api.anthropic.com)
    """

    sdk = "anthropic"

    def __init__(
        self,
        *,
        key: str | None = "ANTHROPIC_API_KEY",
        base_url: str = "https://api.anthropic.com",
        max_tokens: int = 4096,
        **options: Any,
    ) -> None:
        super().__init__(base_url=base_url, key=key, max_tokens=max_tokens, **options)
        self._fixed: dict[str, Any] = {"max_tokens": max_tokens}
        if self._options:  # in the body, whether this version of the SDK knows them or not
            self._fixed["extra_body"] = self._options
        if self._stream:
            self._fixed["stream"] = True

    def _client(self, sdk: ModuleType, secret: Secret | None) -> Any:
        client = sdk.AsyncAnthropic(
            api_key=secret.reveal() if secret is not None else "none",
            base_url=self.base_url,
            max_retries=0,
            timeout=sdk.Timeout(None, connect=CONNECT_SECONDS),
        )
        _ = client.messages  # imports its part of the SDK
        return client

    async def _send(self, client: Any, name: str, task: Task, messages: tuple[str, str], progress: Progress) -> Reply:
        request: dict[str, Any] = {
            "model": name,
            "system": messages[0],
            "messages": [{"role": "user", "content": messages[1]}],
        }
        if self._structured:
            schema = answer_schema(task.kind, task.labels)
            request["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
        made = await client.messages.create(**(request | self._fixed))
        return await _read_stream(made, progress) if self._stream else _read_message(made)


def _read_message(message: Any) -> Reply:
    usage = anthropic_usage(getattr(message, "usage", None))
    try:
        text = "".join(block.text for block in message.content if block.type == "text")
        reason = message.stop_reason
    except (AttributeError, TypeError, KeyError):
        text, reason = "", None
        shown = message if isinstance(message, str) else str(getattr(message, "model_extra", None) or message)
        problem = f"the reply is no message: {quoted(shown)}"
    else:
        problem = "the reply has no text"
        choose_end(reason, _ENDS, usage)
    if not text:
        raise ProviderError("unparsable", problem, usage=usage)
    return Reply(text, usage)


async def _read_stream(stream: Any, progress: Progress) -> Reply:
    parts: list[str] = []
    reason: object = None
    ended = False
    try:
        async for event in stream:
            if event.type == "content_block_delta" and event.delta.type == "text_delta":
                progress.token()
                parts.append(event.delta.text)
            elif event.type == "message_start":
                progress.usage = anthropic_usage(event.message.usage)
            elif event.type == "message_delta":
                progress.usage = anthropic_usage(event.usage, progress.usage)
                reason = event.delta.stop_reason or reason
            elif event.type == "message_stop":
                ended = True
    finally:
        await close_stream(stream)
    usage = progress.usage
    choose_end(reason, _ENDS, usage)
    if not ended:
        raise no_end(stream, "".join(parts), usage)
    text = "".join(parts)
    if not text:
        raise ProviderError("unparsable", "the reply has no text", usage=usage)
    return Reply(text, usage)
