"""What is optional is imported late, and where it is missing the message says which extra has it."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from fairlead import Task
from fairlead.providers import AnthropicProvider, LanguageModelProvider, LiteLLMProvider, OpenAIProvider, language_model

TASK = Task("q", text="Will it rain?")
URL = "http://127.0.0.1:9"
MADE = {
    "openai": OpenAIProvider(URL),
    "anthropic": AnthropicProvider(base_url=URL, key=None),
    "litellm": LiteLLMProvider(base_url=URL),
}


@pytest.mark.parametrize("extra", MADE)
@pytest.mark.parametrize("missing", ["sdk", "stamina"])
def test_a_missing_sdk_names_its_extra(extra: str, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    provider: LanguageModelProvider = MADE[extra]
    monkeypatch.setattr(language_model, "_loaded", {})
    if missing == "stamina" and extra not in sys.modules:
        monkeypatch.setitem(sys.modules, extra, language_model)  # any module
    monkeypatch.setitem(sys.modules, extra if missing == "sdk" else "stamina", None)  # an import of it raises
    message = rf'is not installed: pip install "fairlead\[{extra}\]"'
    with pytest.raises(ImportError, match=message):
        provider.open()
    answer = asyncio.run(provider.call("m", TASK, deadline=5))
    assert answer.failure is not None
    assert answer.failure.kind == "refused"
    assert f'pip install "fairlead[{extra}]"' in answer.forecast.error


def test_providers_import_no_sdk() -> None:
    code = """
import sys
import fairlead.providers as providers
providers.OpenAIProvider("ollama"), providers.AnthropicProvider(), providers.LiteLLMProvider()
providers.as_provider(lambda task: 0.5).ask_sync("m", __import__("fairlead").Task("q"))
heavy = ["openai", "anthropic", "litellm", "stamina", "httpx", "httpx2", "pydantic", "numpy"]
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_fairlead_imports_no_providers() -> None:
    code = "import sys, fairlead; print([n for n in ('fairlead.providers', 'asyncio') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_a_program_ends_with_connections_open() -> None:
    """The thread that ask_sync waits for is no reason to hang, nor to complain, at the end."""
    code = """
import asyncio, contextlib, threading, fairlead as fl
from fairlead.providers import CallableProvider
async def slow(task):
    await asyncio.sleep(60)
provider = CallableProvider(slow)
def ask():  # it is called off at the end, and a daemon's traceback may meet the closing of stderr
    with contextlib.suppress(BaseException):
        provider.ask_sync("m", fl.Task("q"))
threading.Thread(target=ask, daemon=True).start()
print(CallableProvider(lambda task: 0.5).ask_sync("m", fl.Task("q")).p)
"""
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "0.5"
