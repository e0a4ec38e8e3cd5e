"""What LiteLLM reaches, a hundred more providers: its completion call alone, without its router, retries and
budgets."""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

from fairlead.providers.keys import Secret
from fairlead.providers.openai import OpenAIProvider

_NO_KEY = "none"


class LiteLLMProvider(OpenAIProvider):
    """LiteLLM as an adapter: `pip install "fairlead[litellm]"`. It takes 3 s and 130 MB to import; a provider that
    speaks OpenAI's or Anthropic's protocol needs none of it.

    Names of models are LiteLLM's (`mistral/mistral-small-latest`; `names` maps the fleet's to them). key: None =
    LiteLLM looks for a key in the environment itself. base_url: None = where LiteLLM finds the provider. The rest as in
    LanguageModelProvider.

    >>> LiteLLMProvider(names={"small": "mistral/mistral-small-latest"})
    LiteLLMProvider()
    """

    sdk = "litellm"

    def __init__(self, *, key: str | None = None, base_url: str | None = None, **options: Any) -> None:
        super().__init__("https://unused.invalid", key=key, **options)
        self.base_url = base_url

    def _more(self, options: dict[str, Any]) -> dict[str, Any]:
        return options  # LiteLLM translates them

    def _module(self) -> ModuleType:
        # Otherwise it fetches a list of prices from the network while it is imported.
        os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        return super()._module()

    def _client(self, sdk: ModuleType, secret: Secret | None) -> Any:
        return sdk, secret

    async def _close_client(self, client: Any) -> None:
        close = getattr(client[0], "close_litellm_async_clients", None)
        if close is not None:
            await close()

    async def _create(self, client: Any, request: dict[str, Any]) -> Any:
        sdk, secret = client
        if self.base_url is not None:
            request["api_base"] = self.base_url
        return await sdk.acompletion(
            **request,
            **({} if secret is None else {"api_key": secret.reveal()}),
            num_retries=0,
            max_retries=0,
            timeout=self._timeout,
        )
