"""What went wrong with a call, precisely enough to decide what to do next."""

from __future__ import annotations

import email.utils
import errno
import math
import time
from collections.abc import Callable
from typing import Any, Literal

from fairlead.errors import FairleadError
from fairlead.providers.usage import NOTHING, Usage

FailureKind = Literal["network", "timeout", "rate_limited", "server", "refused", "unparsable", "truncated", "cancelled"]
FAILURE_KINDS: tuple[FailureKind, ...] = (
    "network",
    "timeout",
    "rate_limited",
    "server",
    "refused",
    "unparsable",
    "truncated",
    "cancelled",
)
MAX_MESSAGE = 300
"""Characters of a provider's words that are kept."""


class ProviderError(FairleadError):
    """A call that brought no answer. `str(error)` is `kind: message`, which is also what Forecast.error says.

    kind: `network` (no connection, or it broke before an answer), `timeout` (the deadline passed), `rate_limited`,
    `server` (it failed: 5xx), `refused` (it will not answer this: bad key, bad request, content filter), `unparsable`
    (an answer that is none), `truncated` (an answer that ended too early), `cancelled` (nobody waits for it any more).
    retry_after_s: when the provider said to come back, in seconds from now, else None. status: of HTTP, else None.
    usage: what was billed all the same, as far as the provider told.

    >>> error = ProviderError("rate_limited", "too many requests", retry_after_s=2.0, status=429)
    >>> print(error, error.retry_after_s)
    rate_limited: too many requests 2.0
    """

    def __init__(
        self,
        kind: FailureKind,
        message: str,
        *,
        retry_after_s: float | None = None,
        status: int | None = None,
        usage: Usage = NOTHING,
    ) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message
        self.retry_after_s = retry_after_s
        self.status = status
        self.usage = usage

    def __reduce__(self) -> tuple[Any, ...]:
        more = {"retry_after_s": self.retry_after_s, "status": self.status, "usage": self.usage}
        return _again, (type(self), self.kind, self.message, more)


def _again(cls: type[ProviderError], kind: FailureKind, message: str, more: dict[str, Any]) -> ProviderError:
    return cls(kind, message, **more)


_REFUSALS = frozenset({"authentication_error", "permission_error", "invalid_request_error", "not_found_error"})
_QUOTA = frozenset({"insufficient_quota", "billing_error", "billing_hard_limit_reached"})
_NETWORK = frozenset(
    {"APIConnectionError", "NetworkError", "TransportError", "ConnectionError", "gaierror", "SSLError"}
)
_UNREACHABLE = frozenset({errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH})
_TIMEOUT = frozenset({"APITimeoutError", "TimeoutException", "TimeoutError"})
_NO_CONNECTION = frozenset({"ConnectTimeout", "PoolTimeout"})


def failure_of(error: BaseException, scrub: Callable[[str], str] = str) -> ProviderError:
    """An exception of an SDK, of its HTTP library or of the system, as what it means. By name and attributes, as the
    SDKs share their shape and none of them need be there. Only text is taken over, and that scrubbed: an exception
    drags along the frames that it passed, with keys in them.
    """
    if isinstance(error, ProviderError):
        return error
    chain = _chain(error)
    names = {name for link in chain for name in _names(link)}
    text = one_line(scrub(_words(error, chain)))
    if "APIResponseValidationError" in names or "JSONDecodeError" in names:
        return ProviderError("unparsable", f"the reply is not what the API promises: {text}")
    if names & _NO_CONNECTION:
        return ProviderError("network", text)
    if names & _TIMEOUT:
        return ProviderError("timeout", text)
    if any("RemoteProtocolError" in _names(link) and "complete message body" in str(link) for link in chain) or (
        "IncompleteRead" in names
    ):
        return ProviderError("truncated", text)
    if names & _NETWORK or getattr(error, "errno", None) in _UNREACHABLE:
        return ProviderError("network", text)
    status = getattr(error, "status_code", None)
    if not isinstance(status, int):
        if "APIError" in names:  # told in the middle of a stream
            status = 200
        else:
            return ProviderError("refused", text)
    return _of_status(error, status, text)


def one_line(text: str) -> str:
    """A text of somebody else's, short and without control characters, as it ends up in logs and in the journal."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text[: 2 * MAX_MESSAGE])
    return " ".join(plain.split())[:MAX_MESSAGE]


def _of_status(error: BaseException, status: int, text: str) -> ProviderError:
    said = _said(error)
    if said & _QUOTA or status == 402:
        return ProviderError("refused", text, status=status)
    if status == 429 or "rate_limit_error" in said or "rate_limit_exceeded" in said:
        return ProviderError("rate_limited", text, status=status, retry_after_s=retry_after_s(error))
    if status == 408:
        return ProviderError("timeout", text, status=status)
    if status == 409 or status >= 500 or (status < 400 and not said & _REFUSALS):
        return ProviderError("server", text, status=status, retry_after_s=retry_after_s(error))
    return ProviderError("refused", text, status=status)


def _said(error: BaseException) -> set[str]:
    """The words for what happened, `type` and `code`, in the body of an error."""
    body = getattr(error, "body", None)
    inner = body.get("error", body) if isinstance(body, dict) else None
    if not isinstance(inner, dict):
        return set()
    return {word for word in (inner.get("type"), inner.get("code")) if isinstance(word, str)}


def _chain(error: BaseException) -> list[BaseException]:
    chain = [error]
    while len(chain) < 8:
        cause = chain[-1].__cause__
        if cause is None or cause in chain:
            break
        chain.append(cause)
    return chain


def _names(error: BaseException) -> set[str]:
    return {cls.__name__ for cls in type(error).__mro__}


def _words(error: BaseException, chain: list[BaseException]) -> str:
    """What the error says; where a provider explained itself, in the words of its body alone."""
    body = getattr(error, "body", None)
    inner = body.get("error", body) if isinstance(body, dict) else None
    if isinstance(inner, dict) and isinstance(inner.get("message"), str):
        code = getattr(error, "status_code", None)
        return f"{code}: {inner['message']}" if isinstance(code, int) and code >= 400 else str(inner["message"])
    words = [str(link).strip() or type(link).__name__ for link in chain]
    told = [word for i, word in enumerate(words) if word not in words[:i]]
    return f"{type(error).__name__}: {'; '.join(told)}"


def retry_after_s(error: BaseException) -> float | None:
    """Seconds, from `retry-after-ms` or `retry-after` (seconds or an HTTP date) of an error's response; None where it
    says nothing of use."""
    headers = getattr(getattr(error, "response", None), "headers", None)
    if headers is None:
        return None
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        value = headers.get(name)
        if not isinstance(value, str):
            continue
        try:
            seconds = float(value) * unit
        except ValueError:
            try:
                seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
            except (ValueError, TypeError, IndexError, OverflowError):
                continue
        if math.isfinite(seconds):
            return max(seconds, 0.0)
    return None
