"""A real HTTP server on loopback that speaks OpenAI's chat completions and Anthropic's messages, plain and streamed,
and does as it is told: late, refusing, hanging, broken off, talking nonsense. It keeps what it was sent.

    with Server() as server:
        server.script(Reply(status=429, headers={"Retry-After": "1"}), Reply(text='{"probability": 0.7}'))
        OpenAIProvider(server.url + "/v1", key="SOME_KEY")...     # Anthropic's base_url is server.url itself
        server.requests[0].headers["authorization"]

It runs in a thread of its own, on any free port, and needs nothing but the standard library.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

TOKENS = {"input": 120, "output": 15, "cached": 0, "cache_write": 0, "reasoning": 0}


@dataclass(frozen=True)
class Reply:
    """What the server does with one request. The defaults are a good answer."""

    text: str = '{"probability": 0.7, "confidence": 0.8}'
    status: int = 200
    tokens: Mapping[str, int] | None = field(default_factory=lambda: dict(TOKENS))  # None: no usage at all
    latency_s: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)
    message: str = "as scripted"  # of an error; {key} in it is the key that was sent
    error_type: str = ""
    end: str = ""  # finish_reason or stop_reason; "" = done
    refusal: str = ""  # OpenAI's field
    body: bytes | None = None  # sent as it is, instead of all that
    content_type: str = "application/json"
    hang: bool = False  # never answers
    reset: bool = False  # the connection is reset instead of an answer
    cut_after: int | None = None  # the connection ends: after so many events of a stream, or bytes of a body
    reset_cut: bool = False  # ... by a reset
    chunk_s: float = 0.0  # between the events of a stream
    chunks: int = 3  # pieces that a streamed text is cut into
    stream_error: Mapping[str, Any] | None = None  # told in the middle of a stream


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: Any
    connection: int
    at: float

    @property
    def model(self) -> str:
        return self.body.get("model", "") if isinstance(self.body, dict) else ""

    @property
    def key(self) -> str:
        return self.headers.get("x-api-key") or self.headers.get("authorization", "").removeprefix("Bearer ")


Behaviour = Reply | Callable[[Request], Reply]


class Server:
    """Started by `with` or `start()`. `always` is what is done when no script says otherwise."""

    def __init__(self, always: Behaviour | None = None) -> None:
        self.always: Behaviour = always or Reply()
        self.requests: list[Request] = []
        self.at_once = 0  # requests that are being served
        self.most_at_once = 0
        self.gave_up = 0  # requests whose client went away before the answer
        self._scripts: dict[str, deque[Behaviour]] = {}
        self._models: dict[str, Behaviour] = {}
        self._lock = threading.Lock()
        self._connections = itertools.count()
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()

    # --- what a test says ------------------------------------------------------------------------------------------

    def script(self, *replies: Behaviour, model: str = "") -> None:
        """The next requests (for this model) are answered by these, in order; those after them as always."""
        with self._lock:
            self._scripts.setdefault(model, deque()).extend(replies)

    def model(self, name: str, behaviour: Behaviour) -> None:
        """What is always done with requests for this model."""
        self._models[name] = behaviour

    def reset(self) -> None:
        with self._lock:
            self.requests.clear()
            self._scripts.clear()
            self._models.clear()
            self.always = Reply()
            self.most_at_once = self.gave_up = 0

    def of(self, model: str) -> list[Request]:
        return [request for request in list(self.requests) if request.model == model]

    @property
    def connections(self) -> int:
        return len({request.connection for request in self.requests})

    # --- starting and stopping -------------------------------------------------------------------------------------

    def start(self) -> Server:
        started = threading.Event()

        def run() -> None:
            asyncio.set_event_loop(self._loop)
            self._server = self._loop.run_until_complete(
                asyncio.start_server(self._connected, "127.0.0.1", 0, backlog=512)
            )
            self.port = self._server.sockets[0].getsockname()[1]
            started.set()
            self._loop.run_forever()

        self._thread = threading.Thread(target=run, name="scripted-server", daemon=True)
        self._thread.start()
        assert started.wait(10)
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._wind_up(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _wind_up(self) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # transports that were closed call back once more

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # --- HTTP ------------------------------------------------------------------------------------------------------

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        connection = next(self._connections)
        try:
            while await self._one(reader, writer, connection):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int) -> bool:
        """Serves one request; whether the connection stays open."""
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        raw = await reader.readexactly(int(headers.get("content-length", 0)))
        try:
            body = json.loads(raw) if raw else None
        except ValueError:
            body = raw
        request = Request(method, path, headers, body, connection, time.monotonic())
        with self._lock:
            self.requests.append(request)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await self._answer(request, reader, writer)
        finally:
            with self._lock:
                self.at_once -= 1

    def _behaviour(self, request: Request) -> Reply:
        with self._lock:
            for name in (request.model, ""):
                if self._scripts.get(name):
                    chosen = self._scripts[name].popleft()
                    break
            else:
                chosen = self._models.get(request.model, self.always)
        return chosen if isinstance(chosen, Reply) else chosen(request)

    async def _answer(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        speaks = {"/chat/completions": OpenAIWire, "/v1/messages": AnthropicWire}
        wire = next((speaks[end] for end in speaks if request.path.split("?")[0].endswith(end)), None)
        if wire is None:
            await _send(writer, 404, b'{"error": {"message": "no such path"}}')
            return True
        reply = self._behaviour(request)
        if not await self._patient(reader, None if reply.hang else reply.latency_s):
            return False
        if reply.reset:
            return _reset(writer)
        if reply.status >= 400 and reply.body is None:
            message = reply.message.replace("{key}", request.key)
            body = json.dumps(wire.error(reply.error_type or "scripted_error", message)).encode()
            await _send(writer, reply.status, body, reply.headers)
            return True
        if reply.body is None and request.body.get("stream"):
            return await self._stream(wire, request, reply, writer)
        body = reply.body if reply.body is not None else json.dumps(wire.whole(request, reply)).encode()
        await _send(writer, reply.status, body, reply.headers, reply.content_type, cut_after=reply.cut_after)
        if reply.cut_after is not None and reply.reset_cut:
            return _reset(writer)
        return reply.cut_after is None

    async def _patient(self, reader: asyncio.StreamReader, seconds: float | None) -> bool:
        """Waits, and sees whether the client goes away meanwhile."""
        if seconds == 0.0:
            return True
        gone = asyncio.ensure_future(reader.read(1))
        done, _ = await asyncio.wait({gone}, timeout=seconds)
        if done:
            gone.exception()
            self.gave_up += 1
            return False
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        return True

    async def _stream(self, wire: Any, request: Request, reply: Reply, writer: asyncio.StreamWriter) -> bool:
        extra = "".join(f"{name}: {value}\r\n" for name, value in reply.headers.items())
        writer.write(
            f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n{extra}transfer-encoding: chunked\r\n\r\n".encode()
        )
        for sent, event in enumerate(wire.events(request, reply)):
            if sent == reply.cut_after:
                if reply.reset_cut:
                    return _reset(writer)
                break
            if sent == 2 and reply.stream_error is not None:
                event = wire.stream_error(reply.stream_error)
            data = event.encode()
            writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            await writer.drain()
            if reply.chunk_s:
                await asyncio.sleep(reply.chunk_s)
        # A stream that is cut ends in good order, as when a gateway gives up: only what is missing tells.
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True


async def _send(
    writer: asyncio.StreamWriter,
    status: int,
    body: bytes,
    headers: Mapping[str, str] = {},
    content_type: str = "application/json",
    cut_after: int | None = None,
) -> None:
    extra = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {status} Scripted\r\ncontent-type: {content_type}\r\n{extra}content-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body[: len(body) if cut_after is None else cut_after])
    await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> bool:
    """Closes with RST instead of FIN."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False


def _pieces(reply: Reply) -> list[str]:
    size = max(1, -(-len(reply.text) // reply.chunks))
    return [reply.text[i : i + size] for i in range(0, len(reply.text), size)]


class OpenAIWire:
    """https://platform.openai.com/docs/api-reference/chat"""

    @staticmethod
    def usage(reply: Reply) -> dict[str, Any] | None:
        if reply.tokens is None:
            return None
        tokens = {**TOKENS, **reply.tokens}
        return {
            "prompt_tokens": tokens["input"],
            "completion_tokens": tokens["output"],
            "total_tokens": tokens.get("total", tokens["input"] + tokens["output"]),
            "prompt_tokens_details": {"cached_tokens": tokens["cached"], "cache_write_tokens": tokens["cache_write"]},
            "completion_tokens_details": {"reasoning_tokens": tokens["reasoning"]},
        }

    @staticmethod
    def head(request: Request, kind: str) -> dict[str, Any]:
        return {"id": "chatcmpl-1", "object": kind, "created": 1_700_000_000, "model": request.model}

    @classmethod
    def whole(cls, request: Request, reply: Reply) -> dict[str, Any]:
        message = {"role": "assistant", "content": reply.text or None, "refusal": reply.refusal or None}
        choice = {"index": 0, "message": message, "finish_reason": reply.end or "stop", "logprobs": None}
        return {**cls.head(request, "chat.completion"), "choices": [choice], "usage": cls.usage(reply)}

    @classmethod
    def events(cls, request: Request, reply: Reply) -> Iterator[str]:
        def event(choices: list[Any], **more: Any) -> str:
            return f"data: {json.dumps({**cls.head(request, 'chat.completion.chunk'), 'choices': choices, **more})}\n\n"

        def choice(delta: dict[str, Any], end: str | None = None) -> list[Any]:
            return [{"index": 0, "delta": delta, "finish_reason": end, "logprobs": None}]

        yield event(choice({"role": "assistant", "content": ""}))
        if reply.refusal:
            yield event(choice({"refusal": reply.refusal}))
        for piece in _pieces(reply) if reply.text else ():
            yield event(choice({"content": piece}))
        yield event(choice({}, reply.end or "stop"))
        if reply.tokens is not None and (request.body.get("stream_options") or {}).get("include_usage"):
            yield event([], usage=cls.usage(reply))
        yield "data: [DONE]\n\n"

    @staticmethod
    def error(kind: str, message: str) -> dict[str, Any]:
        return {"error": {"message": message, "type": kind, "param": None, "code": kind}}

    @staticmethod
    def stream_error(error: Mapping[str, Any]) -> str:
        return f"data: {json.dumps({'error': error})}\n\n"


class AnthropicWire:
    """https://docs.anthropic.com/en/api/messages and .../messages-streaming"""

    @staticmethod
    def usage(reply: Reply) -> dict[str, Any] | None:
        if reply.tokens is None:
            return None
        tokens = {**TOKENS, **reply.tokens}
        return {
            "input_tokens": tokens["input"] - tokens["cached"] - tokens["cache_write"],
            "cache_read_input_tokens": tokens["cached"],
            "cache_creation_input_tokens": tokens["cache_write"],
            "output_tokens": tokens["output"],
            "output_tokens_details": {"thinking_tokens": tokens["reasoning"]},
        }

    @classmethod
    def whole(cls, request: Request, reply: Reply) -> dict[str, Any]:
        return {
            **{"id": "msg_1", "type": "message", "role": "assistant", "model": request.model},
            "content": [{"type": "text", "text": reply.text}] if reply.text else [],
            "stop_reason": reply.end or "end_turn",
            "stop_sequence": None,
            "usage": cls.usage(reply),
        }

    @classmethod
    def events(cls, request: Request, reply: Reply) -> Iterator[str]:
        def event(kind: str, **more: Any) -> str:
            return f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n"

        message = {**cls.whole(request, reply), "content": [], "stop_reason": None}
        if message["usage"] is not None:
            message["usage"] = {**message["usage"], "output_tokens": 1}
        yield event("message_start", message=message)
        yield event("content_block_start", index=0, content_block={"type": "text", "text": ""})
        for piece in _pieces(reply) if reply.text else ():
            yield event("content_block_delta", index=0, delta={"type": "text_delta", "text": piece})
        yield event("content_block_stop", index=0)
        written = {"output_tokens": {**TOKENS, **(reply.tokens or {})}["output"]}
        yield event(
            "message_delta", delta={"stop_reason": reply.end or "end_turn", "stop_sequence": None}, usage=written
        )
        yield event("message_stop")

    @staticmethod
    def error(kind: str, message: str) -> dict[str, Any]:
        return {"type": "error", "error": {"type": kind, "message": message}}

    @staticmethod
    def stream_error(error: Mapping[str, Any]) -> str:
        return f"event: error\ndata: {json.dumps({'type': 'error', 'error': error})}\n\n"
