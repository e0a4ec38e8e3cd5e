"""What all providers of language models share: prompt, deadline, retries, parsing, cost, keys and clients.

An SDK's client belongs to the event loop that its connections were opened on. So there is one client a loop; it is
closed when the loop is wound up (`asyncio.run` does so), or by `aclose`.
"""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import os
import threading
from collections.abc import AsyncGenerator, Mapping
from datetime import timedelta
from functools import lru_cache
from importlib import import_module
from time import perf_counter
from types import ModuleType
from typing import Any, ClassVar, NamedTuple, NoReturn, cast
from urllib.parse import urlsplit

from fairlead.errors import InvalidRecordError
from fairlead.providers.deadlines import Deadline, Limit, as_deadline, within
from fairlead.providers.failure import ProviderError, failure_of
from fairlead.providers.keys import Secret, checked_name, find_key, scrub
from fairlead.providers.parsing import parse_reply, quoted
from fairlead.providers.prompts import Prompt, all_prompts, answer_schema
from fairlead.providers.provider import Answer, BaseProvider, as_model, failed, new_forecast
from fairlead.providers.retries import MayRetry, Retries, again, at_least
from fairlead.providers.usage import NOTHING, Usage, cost_of
from fairlead.times import as_seconds
from fairlead.types import Kind, Model, Task

CONNECT_SECONDS = 10.0
"""How long a connection may take to open; a failure of the network when it takes longer."""
ADDED_TOKENS = 512
"""More than servers add to a request: marks of roles, a sentence about the schema."""


@lru_cache(256)
def _schema_size(kind: Kind, labels: tuple[str, ...]) -> int:
    """Bytes of the schema of an answer."""
    return len(json.dumps(answer_schema(kind, labels)).encode())


class Reply(NamedTuple):
    """What a language model wrote, as far as it came."""

    text: str
    usage: Usage


class Progress:
    """What is known of a call that still runs: kept outside it, so that it is known when the call is cut off."""

    __slots__ = ("calls", "first_token_s", "start", "usage")

    def __init__(self) -> None:
        self.start = perf_counter()
        self.first_token_s: float | None = None
        self.usage = NOTHING
        self.calls = 0

    def token(self) -> None:
        """A piece of the reply came."""
        if self.first_token_s is None:
            self.first_token_s = perf_counter() - self.start


class LanguageModelProvider(BaseProvider):
    """A provider of language models. Its subclasses say how a message is sent by their SDK.

    key: the name of the environment variable, or of the line in the secrets file, that holds the key; None = none is
    needed. secrets: the file, `NAME=value` lines, where the environment does not have it; None = that which
    FAIRLEAD_SECRETS names. prompts: templates by kind of task, instead of `PROMPTS`. stream: read the reply piece by
    piece, which tells the time to the first token. structured: ask the server to hold the model to the answer's JSON
    schema; False for servers that know no schemas. max_tokens: the most that a model may write for an answer. timeout:
    the deadline of a call that is given none. options: more parameters of each request, as the SDK names them. names:
    what a model is called at this provider, where that is not its name in the fleet.
    """

    sdk: ClassVar[str]
    """The module of the SDK, and the extra that installs it."""

    def __init__(
        self,
        *,
        base_url: str | None = None,
        key: str | None = None,
        secrets: str | os.PathLike[str] | None = None,
        prompts: Mapping[Kind, Prompt] | None = None,
        stream: bool = False,
        structured: bool = True,
        max_tokens: int | None = None,
        timeout: float | str | timedelta = 60.0,
        retries: Retries | None = None,
        options: Mapping[str, Any] | None = None,
        names: Mapping[str, str] | None = None,
    ) -> None:
        if base_url is not None and urlsplit(base_url).scheme not in ("http", "https"):
            raise InvalidRecordError(f"base_url is {_shown(base_url)!r}, must begin with http:// or https://")
        if max_tokens is not None:
            at_least(max_tokens, "max_tokens", 1)
        if not as_seconds(timeout, "timeout") > 0.0:
            raise InvalidRecordError(f"timeout is {timeout!r}, must be positive")
        self.base_url = base_url
        self.max_tokens = max_tokens
        self._key = checked_name(key)
        self._secrets = secrets
        self._prompts = all_prompts(prompts)
        self._stream = stream
        self._structured = structured
        self._timeout = as_seconds(timeout, "timeout")
        self._retries = retries or Retries()
        self._options = dict(options or {})
        self._names = dict(names or {})
        self._secret: Secret | None = None
        # By event loop. Taken out when a loop ends, as what hangs on a client keeps its loop alive.
        self._clients: dict[asyncio.AbstractEventLoop, tuple[Any, AsyncGenerator[None, None]]] = {}
        self._opening: dict[asyncio.AbstractEventLoop, asyncio.Task[Any]] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({_shown(self.base_url) if self.base_url else ''})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(f"{self!r} holds a key and open connections: make another one where it is needed")

    def open(self) -> None:
        """Imports the SDK, which takes a second or so, and reads the key. Otherwise the first call does it, in a thread
        and within its deadline.

        Raises ImportError, naming the extra, where the SDK is not installed, and ProviderError where there is no key.
        """
        self._module()
        self._read_key()

    async def call(
        self, model: Model | str, task: Task, *, deadline: Limit = None, may_retry: MayRetry | None = None
    ) -> Answer:
        if not isinstance(model, Model):
            model = as_model(model)
        limit = as_deadline(deadline) or Deadline.after(self._timeout)
        messages = self._prompts[task.kind].render(task)
        progress = Progress()
        try:
            name = self._names.get(model.name, model.name)
            try:
                reply = await within(self._once(name, task, messages, progress), limit)
            except ProviderError as error:
                if self._retries.delay(error) is None:
                    raise
                reply = await within(self._again(error, name, task, messages, progress, limit, may_retry), limit)
            progress.usage = usage = reply.usage
            p, value, confidence = parse_reply(task, reply.text)
        except ProviderError as error:
            failure = error
        else:
            latency_ms = (perf_counter() - progress.start) * 1e3
            forecast = new_forecast(model.name, p, value, confidence, latency_ms, usage, cost_of(model, usage))
            return Answer(forecast, None, usage, progress.first_token_s, progress.calls)
        if failure.usage == NOTHING:
            failure.usage = progress.usage
        failure = self._clean(failure)
        return failed(model, failure, progress.start, calls=progress.calls, first_token_s=progress.first_token_s)

    def at_most(self, task: Task) -> Usage | None:
        """What one call for this task can use at most, for whoever reserves money before it; None without `max_tokens`.

        A token is taken to be at least one byte, and what servers add to a request is allowed for generously. A server
        that does not count reasoning in `max_tokens` can exceed it.
        """
        if self.max_tokens is None:
            return None
        messages = self._prompts[task.kind].render(task)
        size = sum(len(part.encode()) for part in messages)
        if self._structured:
            size += _schema_size(task.kind, task.labels)
        return Usage(size + ADDED_TOKENS, self.max_tokens)

    async def aclose(self) -> None:
        """Closes the connections of this event loop; `close` those of `ask_sync`."""
        held = self._clients.get(asyncio.get_running_loop())
        if held is not None:
            await held[1].aclose()

    # --- what subclasses fill in ------------------------------------------------------------------------------------

    def _client(self, sdk: ModuleType, secret: Secret | None) -> Any:
        """A client of the SDK, with its own retries off."""
        raise NotImplementedError

    async def _send(self, client: Any, name: str, task: Task, messages: tuple[str, str], progress: Progress) -> Reply:
        """One request. Raises ProviderError for a reply that is none; the SDK's exceptions pass."""
        raise NotImplementedError

    async def _close_client(self, client: Any) -> None:
        await client.close()

    # --- the rest ---------------------------------------------------------------------------------------------------

    async def _again(
        self,
        first: ProviderError,
        name: str,
        task: Task,
        messages: tuple[str, str],
        progress: Progress,
        limit: Deadline,
        may_retry: MayRetry | None,
    ) -> Reply:
        async def once() -> Reply:
            return await self._once(name, task, messages, progress)

        return cast(Reply, await again(first, once, self._retries, limit, may_retry))

    async def _once(self, name: str, task: Task, messages: tuple[str, str], progress: Progress) -> Reply:
        """One request, its failure told as a ProviderError. That, and a cancellation, is raised from outside the
        handlers and without a traceback: frames of an SDK hold headers, and headers hold keys."""
        stopped: BaseException
        progress.calls += 1
        try:
            held = self._clients.get(asyncio.get_running_loop())
            client = held[0] if held is not None else await self._first_client()
            return await self._send(client, name, task, messages, progress)
        except Exception as error:
            stopped = copy.copy(failure_of(error, self._scrub))  # those who wait for one client share its failure
            if stopped.kind == "network" and (progress.first_token_s is not None or progress.usage != NOTHING):
                stopped = ProviderError("truncated", stopped.message)  # a part of the reply was there, and is paid for
        except BaseException as error:  # cancelled, or the program is to end
            stopped = error
        stopped.__traceback__ = stopped.__context__ = stopped.__cause__ = None
        try:
            raise stopped
        finally:
            del stopped

    async def _first_client(self) -> Any:
        """The client of this event loop, opened once for all who wait for it, and whoever of them gives up."""
        loop = asyncio.get_running_loop()
        opening = self._opening.get(loop)
        if opening is None:
            opening = loop.create_task(self._open_client(loop))
            with self._lock:
                self._opening[loop] = opening

            def opened(task: asyncio.Task[Any]) -> None:
                with self._lock:
                    self._opening.pop(loop, None)
                if not task.cancelled():
                    task.exception()  # seen, though all who waited for it may have given up

            opening.add_done_callback(opened)
        return await asyncio.shield(opening)

    async def _open_client(self, loop: asyncio.AbstractEventLoop) -> Any:
        """A client, and an async generator that closes it: event loops end those that they have begun. In a thread, as
        the import of an SDK and the certificates of a client would stop the loop."""

        def make() -> Any:
            try:
                module = self._module()
            except ImportError as error:
                missing = str(error)
            else:
                return self._client(module, self._read_key())
            raise ProviderError("refused", missing)

        client = await loop.run_in_executor(None, make)
        guard = self._guard(client, loop)
        await guard.__anext__()
        with self._lock:
            for other in [other for other in self._clients if other.is_closed()]:
                del self._clients[other]
            self._clients[loop] = client, guard
        return client

    async def _guard(self, client: Any, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            with self._lock:
                self._clients.pop(loop, None)
            await self._close_client(client)

    def _module(self) -> ModuleType:
        return load_sdk(self.sdk)

    def _read_key(self) -> Secret | None:
        if self._key is not None and self._secret is None:
            self._secret = find_key(self._key, self._secrets)
        return self._secret

    def _scrub(self, text: str) -> str:
        return scrub(text, () if self._secret is None else (self._secret,))

    def _clean(self, failure: ProviderError) -> ProviderError:
        """Without a key in its words: a reply is quoted there, and a server may have sent back what it was sent."""
        message = self._scrub(failure.message)
        if message == failure.message:
            return failure
        return ProviderError(
            failure.kind, message, retry_after_s=failure.retry_after_s, status=failure.status, usage=failure.usage
        )


_loaded: dict[str, ModuleType] = {}


def load_sdk(name: str) -> ModuleType:
    """The SDK, imported when it is first needed. Raises ImportError that names the extra."""
    found = _loaded.get(name)
    if found is None:
        try:
            found = import_module(name)
            import_module("stamina")
        except ImportError as error:
            raise ImportError(f'{error.name or name} is not installed: pip install "fairlead[{name}]"') from error
        _loaded[name] = found
        for logger in (name, f"{name}._base_client"):
            logging.getLogger(logger).addFilter(_without_frames)
    return found


def _without_frames(record: logging.LogRecord) -> bool:
    """SDKs log exceptions with their tracebacks, whose frames hold headers: the exception's name is enough."""
    if record.exc_info:
        kind = record.exc_info[0]
        record.msg = f"{record.getMessage()} ({kind.__name__ if kind else 'exception'})"
        record.args = ()
        record.exc_info = record.exc_text = None
    return True


def _shown(url: str) -> str:
    """A URL without user, password and query, any of which may be a key."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


async def close_stream(stream: Any) -> None:
    """Gives its connection back; what has no `close` (LiteLLM's streams) does so by itself."""
    close = getattr(stream, "close", None)
    if close is not None:
        await close()


def no_end(stream: Any, text: str, usage: Usage) -> ProviderError:
    """The failure of a stream that ended without saying why: cut off, or no stream at all."""
    headers = getattr(getattr(stream, "response", None), "headers", None) or {}
    kind = str(headers.get("content-type", "text/event-stream"))
    if not text and not kind.startswith("text/event-stream"):
        return ProviderError("unparsable", f"the reply is no stream of events, but {kind:.40}", usage=usage)
    return ProviderError("truncated", f"the stream ended without an end: {quoted(text)}", usage=usage)


def choose_end(reason: object, ends: Mapping[str, str], usage: Usage, said: str = "") -> None:
    """Raises ProviderError where the reason that a model stopped writing is not that it was done."""
    what = ends.get(str(reason))
    if what == "truncated":
        raise ProviderError("truncated", f"the reply ends before its end ({reason})", usage=usage)
    if what == "refused":
        raise ProviderError("refused", f"the model refuses to answer ({said or reason})", usage=usage)
