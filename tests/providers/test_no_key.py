"""A key is seen by nobody but the server: not in a log record, a repr, a traceback with its locals, a pickle."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import logging
import os
import pickle
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from server import Reply, Server

from fairlead import FairleadError, Task
from fairlead.providers import (
    AnthropicProvider,
    LanguageModelProvider,
    OpenAIProvider,
    ProviderError,
    Retries,
    Secret,
    SecretsWarning,
)
from fairlead.providers.keys import find_key, scrub

Made = Callable[..., LanguageModelProvider]
TASK = Task("q", text="Will it rain?")


def seen_in(error: BaseException) -> str:
    """All that a traceback can show, chained exceptions and the locals of every frame included, but those of the tests
    themselves, which know the key."""
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    links: list[traceback.TracebackException | None] = [told]
    while links:
        link = links.pop()
        if link is not None:
            links += [link.__cause__, link.__context__]
            link.stack[:] = [frame for frame in link.stack if "/tests/" not in frame.filename]
    return "".join(told.format(chain=True))


@pytest.fixture
def records() -> Iterator[list[logging.LogRecord]]:
    """Every record of every logger, at any level."""
    found: list[logging.LogRecord] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record)

    root, handler = logging.getLogger(), Keep(level=0)
    level = root.level
    root.addHandler(handler)
    root.setLevel(1)
    loud = ["openai", "anthropic", "httpx2", "httpcore2", "httpx", "httpcore", "asyncio", "stamina"]
    for name in loud:
        logging.getLogger(name).setLevel(1)
    yield found
    root.removeHandler(handler)
    root.setLevel(level)
    for name in loud:
        logging.getLogger(name).setLevel(logging.NOTSET)


def said(record: logging.LogRecord) -> str:
    """The record as any handler could show it, the locals of its traceback included."""
    text = f"{record.getMessage()} {record.__dict__!r} {logging.Formatter().format(record)}"
    if record.exc_info and record.exc_info[1] is not None:
        text += seen_in(record.exc_info[1])
    return text


FAILURES = {
    "refused": Reply(status=401, message="Incorrect key {key}; sent as Bearer {key}"),
    "bad request": Reply(status=400, message="header x-api-key: {key}"),
    "rate limit": Reply(status=429, message="{key} is slow down"),
    "server": Reply(status=500, message="{key}"),
    "reset": Reply(reset=True),
    "cut": Reply(cut_after=20),
    "nonsense": Reply(body=b"{"),
    "echo": Reply(text="you sent me {key}, and that is no answer"),
    "hang": Reply(hang=True),
    "good": Reply(),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("what", FAILURES)
def test_no_failure_shows_it(
    made: Made, server: Server, key: str, records: list[logging.LogRecord], what: str, stream: bool
) -> None:
    provider = made(stream=stream)
    for _ in range(3):
        server.script(FAILURES[what])
    deadline = 0.3 if what == "hang" else 10.0

    async def ask() -> str:
        try:
            return repr(await provider.ask("m", TASK, deadline=deadline))
        except ProviderError as error:
            return f"{error!r} {error} {error.__dict__} {seen_in(error)} {pickle.dumps(error)!r}"

    async def call() -> Any:
        return await provider.call("m", TASK, deadline=deadline)

    seen = asyncio.run(ask())
    answer = asyncio.run(call())
    seen += f"{answer!r} {answer.forecast.to_json()} {answer.forecast.error}"
    if answer.failure is not None:
        seen += seen_in(answer.failure)
    seen += "".join(said(record) for record in records)
    assert server.requests[0].key == key  # it did arrive
    assert key not in seen
    assert key[:12] not in seen
    if what != "good":
        assert len(seen) > 200


def test_a_request_that_cannot_even_be_written(
    wire: str, key: str, records: list[logging.LogRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worst case: the frame that fails holds the request with its headers."""
    import h11

    def fails(self: Any, event: Any) -> bytes:
        raise OSError("cannot write")

    monkeypatch.setattr(h11.Connection, "send", fails)
    with Server() as server:
        provider: LanguageModelProvider
        if wire == "openai":
            provider = OpenAIProvider(server.url, key="TEST_KEY", retries=Retries(attempts=1))
        else:
            provider = AnthropicProvider(base_url=server.url, key="TEST_KEY", retries=Retries(attempts=1))
        answer = asyncio.run(_called(provider))
    assert answer.failure is not None
    seen = f"{answer!r} {seen_in(answer.failure)} " + "".join(said(record) for record in records)
    assert "cannot write" in seen
    assert key not in seen


async def _called(provider: LanguageModelProvider) -> Any:
    return await provider.call("m", TASK, deadline=5)


def test_nor_does_a_cancelled_call(made: Made, server: Server, key: str) -> None:
    provider = made()
    server.always = Reply(hang=True)

    async def cancelled() -> str:
        task = asyncio.create_task(_called(provider))
        while not server.requests:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        return seen_in(caught.value)

    assert key not in asyncio.run(cancelled())


def test_nor_the_provider_itself(made: Made, server: Server, key: str) -> None:
    provider = made()
    provider.ask_sync("m", TASK)
    for text in (repr(provider), str(provider), f"{provider}", repr(vars(provider)), repr([provider])):
        assert key not in text
    for dump in (pickle.dumps, copy.deepcopy, json.dumps):
        with pytest.raises((TypeError, ValueError)) as caught:
            dump(provider)
        assert key not in seen_in(caught.value)


def test_no_other_object_of_ours_holds_it(made: Made, server: Server, key: str) -> None:
    made().ask_sync("m", TASK)
    ours = [thing for thing in gc.get_objects() if str(type(thing).__module__).startswith("fairlead")]
    assert ours
    for thing in ours:
        held = getattr(thing, "__dict__", {}) if not isinstance(thing, Secret) else {}
        assert key not in [value for value in held.values() if isinstance(value, str)]
        if not isinstance(thing, type):
            assert key not in repr(thing)


def test_a_url_is_shown_without_what_may_be_a_key() -> None:
    provider = OpenAIProvider("https://me:hunter2@llm.example.org/v1?token=hunter2")
    assert repr(provider) == "OpenAIProvider(https://llm.example.org/v1)"
    with pytest.raises(FairleadError) as caught:
        OpenAIProvider("ftp://me:hunter2@llm.example.org/v1")
    assert "hunter2" not in str(caught.value)


# --- Secret ----------------------------------------------------------------------------------------------------------


def test_a_secret_shows_itself_to_nobody(key: str) -> None:
    secret = Secret(key)
    assert secret.reveal() == key
    for text in (
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret:>9}",
        f"{secret!r:>9}",
        repr({"k": secret}),
    ):
        assert key not in text
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        json.dumps({"key": secret})
    assert copy.copy(secret) is secret
    assert copy.deepcopy({"k": secret})["k"] is secret
    assert not hasattr(secret, "__dict__")
    assert key not in repr([getattr(secret, name) for name in dir(secret)])


@pytest.mark.parametrize(
    "text",
    [
        "Incorrect API key provided: sk-proj-AbCdEf12****************wxyz.",
        "xai-AbCdEf1234567890",
        "Authorization: Bearer abc.def-ghi_jkl",
        "sk-ant-api03-AbCdEf_12-34",
        "gsk_AbCdEf1234567890",
    ],
)
def test_what_looks_like_a_key_is_scrubbed_whoever_s_it_is(text: str) -> None:
    assert "***" in scrub(text)
    for part in ("AbCdEf", "abc.def"):
        assert part not in scrub(text)


def test_words_are_not_scrubbed() -> None:
    text = "risk-adjusted task-specific sk-8 ask-me-anything pk"
    assert scrub(text) == text


# --- where keys come from -------------------------------------------------------------------------------------------


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    path = tmp_path / "secrets"
    path.write_text(
        "# keys\nFILE_KEY = 'sk-from-file-1'\nexport OTHER_KEY=sk-other-22\n\nBAD_KEY=two words here\nEMPTY=\n"
    )
    path.chmod(0o600)
    return path


def test_from_the_environment_first(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_key("FILE_KEY", secrets).reveal() == "sk-from-file-1"
    assert find_key("OTHER_KEY", secrets).reveal() == "sk-other-22"
    monkeypatch.setenv("FILE_KEY", "sk-from-environment")
    assert find_key("FILE_KEY", secrets).reveal() == "sk-from-environment"
    monkeypatch.delenv("FILE_KEY")
    monkeypatch.setenv("FAIRLEAD_SECRETS", str(secrets))
    assert find_key("FILE_KEY").reveal() == "sk-from-file-1"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_file_that_others_can_read_is_warned_of(secrets: Path, mode: int) -> None:
    secrets.chmod(mode)
    with pytest.warns(SecretsWarning, match=f"mode {mode:04o}.*chmod 600") as caught:
        assert find_key("FILE_KEY", secrets).reveal() == "sk-from-file-1"
    assert "sk-from" not in str(caught[0].message)


def test_the_warning_as_an_error_does_not_show_the_file(secrets: Path) -> None:
    secrets.chmod(0o644)  # warnings are errors under pytest
    with pytest.raises(SecretsWarning) as caught:
        find_key("FILE_KEY", secrets)
    assert "sk-from-file-1" not in seen_in(caught.value)
    assert "sk-other-22" not in seen_in(caught.value)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("MISSING", "no key: give it in the environment variable MISSING or the line MISSING="),
        ("EMPTY", "no key"),
        ("BAD_KEY", "holds a space"),
    ],
)
def test_no_key(secrets: Path, name: str, why: str) -> None:
    with pytest.raises(ProviderError, match=why) as caught:
        find_key(name, secrets)
    assert caught.value.kind == "refused"
    for value in ("two words", "sk-from-file-1", "sk-other-22"):
        assert value not in seen_in(caught.value)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match="cannot be read: No such file"):
        find_key("FILE_KEY", tmp_path / "nowhere")
    binary = tmp_path / "binary"
    binary.write_bytes(b"FILE_KEY=sk-\xff\xfe-secret")
    binary.chmod(0o600)
    with pytest.raises(ProviderError, match="not UTF-8") as caught:
        find_key("FILE_KEY", binary)
    assert "-secret" not in seen_in(caught.value)


def test_a_key_in_place_of_its_name_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(FairleadError, match="the name of an environment variable") as caught:
        OpenAIProvider("openai", key=key)
    assert key not in str(caught.value)


def test_a_missing_key_is_a_failure_of_the_call() -> None:
    without = OpenAIProvider("http://127.0.0.1:9/v1", key="NO_SUCH_KEY_HERE")
    failure = asyncio.run(_called(without)).failure
    assert failure.kind == "refused"
    assert "NO_SUCH_KEY_HERE" in failure.message
    with pytest.raises(ProviderError):
        without.open()


def test_a_server_of_one_s_own_gets_no_key_of_others(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK would send what it finds in the environment to any server."""
    pytest.importorskip("openai")
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_ADMIN_KEY"):
        monkeypatch.setenv(name, f"sk-{name}-0123456789")
    assert "OPENAI_API_KEY" in os.environ
    provider = OpenAIProvider(server.url + "/v1")
    provider.ask_sync("m", TASK)
    provider.close()
    assert "0123456789" not in repr(server.requests[0].headers)
