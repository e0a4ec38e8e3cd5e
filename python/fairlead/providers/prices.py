"""What models cost: prices of well-known ones from the package `genai-prices` (extra `prices`), one's own above them.

They are read once and turned into integers, nano-dollars per million tokens; what a call costs is then a matter of the
core. A model that neither knows raises UnknownPriceError: a price is never silently zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timezone
from functools import lru_cache
from typing import Any

from fairlead._core import call_cost
from fairlead.errors import InvalidRecordError, UnknownPriceError, did_you_mean
from fairlead.measure.money import Money, as_nanos, per_million, usd_text
from fairlead.times import as_time, datetime_ns

_DAY = 86_400 * 10**9


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices of a model at a time: integer nano-dollars per million tokens, and a call.

    Tokens read from a cache (`cached`) and written to one, for minutes or for an hour, are part of the input, each at
    its own price. steps: prices for calls with more input tokens than so many, all of whose tokens they hold for.
    uncounted: what else the provider charges for (searches, seconds of audio), which is not counted here.

    >>> prices = Prices.usd(2.5, 10, cached=1.25)
    >>> prices.cost(1_000_000, 100_000, cached=400_000)  # nano-dollars
    3000000000
    """

    input: int
    output: int
    cached: int
    written: int
    written_1h: int
    call: int = 0
    steps: tuple[tuple[int, Prices], ...] = ()
    uncounted: tuple[str, ...] = ()
    _each: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        each = (self.input, self.output, self.cached, self.written, self.written_1h, self.call)
        object.__setattr__(self, "_each", each)

    @classmethod
    def usd(
        cls,
        input: Money,
        output: Money,
        *,
        cached: Money | None = None,
        written: Money | None = None,
        written_1h: Money | None = None,
        call: Money = 0,
        steps: Mapping[int, Prices] | None = None,
    ) -> Prices:
        """From dollars per million tokens (`call`: a call). Cached and written tokens cost what other input does, and
        those written for an hour what others written do, unless a price is given.

        Raises InvalidRecordError that names the price that is none.
        """
        tokens_in = per_million(input, "input")
        kept = tokens_in if written is None else per_million(written, "written")
        return cls(
            tokens_in,
            per_million(output, "output"),
            tokens_in if cached is None else per_million(cached, "cached"),
            kept,
            kept if written_1h is None else per_million(written_1h, "written_1h"),
            as_nanos(call, "call"),
            tuple(sorted((steps or {}).items(), key=lambda step: step[0])),
        )

    def cost(
        self, tokens_in: int, tokens_out: int = 0, *, cached: int = 0, written: int = 0, written_1h: int = 0
    ) -> int:
        """What a call costs in nano-dollars, exactly, rounded up once. cached and written are part of tokens_in,
        written_1h of written.

        Raises InvalidRecordError for numbers of tokens that cannot be.
        """
        held = self
        for above, prices in self.steps:
            if tokens_in > above:
                held = prices
        try:
            return call_cost(held._each, tokens_in, tokens_out, cached, written, written_1h)
        except ValueError as error:
            raise InvalidRecordError(str(error)) from None

    def cost_of(self, usage: Any) -> int:
        """What a call costs in nano-dollars by its usage: an object with input_tokens, output_tokens, cached_tokens and
        cache_write_tokens (and cache_write_1h_tokens), as those of `fairlead.providers`."""
        return self.cost(
            usage.input_tokens,
            usage.output_tokens,
            cached=getattr(usage, "cached_tokens", 0),
            written=getattr(usage, "cache_write_tokens", 0),
            written_1h=getattr(usage, "cache_write_1h_tokens", 0),
        )

    def bound(self, tokens_in: int, max_tokens_out: int) -> int:
        """The most that a call can cost whose prompt has at most so many tokens, and its answer: what to reserve."""
        if not self.steps:  # one cost at the dearest price of input is the same as the dearest of four
            tokens, output, cached, written, written_1h, call = self._each
            each = max(tokens, cached, written, written_1h), output, 0, 0, 0, call
            try:
                return call_cost(each, tokens_in, max_tokens_out, 0, 0, 0)
            except ValueError as error:
                raise InvalidRecordError(str(error)) from None
        sizes = {tokens_in, *(above for above, _ in self.steps if above < tokens_in)}
        return max(
            self.cost(size, max_tokens_out, cached=cached, written=written, written_1h=hour)
            for size in sizes
            for cached, written, hour in ((0, 0, 0), (size, 0, 0), (0, size, 0), (0, size, size))
        )

    def __str__(self) -> str:
        text = (
            f"{usd_text(self.input)} in, {usd_text(self.cached)} cached, {usd_text(self.output)} out a million tokens"
        )
        if self.call:
            text += f", {usd_text(self.call)} a call"
        for above, prices in self.steps:
            text += f"; above {above:,} tokens in: {prices}"
        return text


@dataclass(frozen=True, slots=True)
class Tariff:
    """Prices of a model over time. source: whose prices these are, of which model."""

    source: str
    entries: tuple[tuple[int | None, tuple[int, int] | None, Prices], ...] = field(repr=False)
    """(from this nanosecond on, between these nanoseconds of the day, prices); the last that holds counts, else the
    first."""

    def at(self, when: int | str | date) -> Prices:
        """The prices at a time."""
        if len(self.entries) == 1:
            return self.entries[0][2]
        now = as_time(when, "at")
        of_day = now % _DAY
        for start, hours, prices in reversed(self.entries):
            if start is not None and now < start:
                continue
            if hours is None or (
                hours[0] <= of_day < hours[1] if hours[0] <= hours[1] else of_day >= hours[0] or of_day < hours[1]
            ):
                return prices
        return self.entries[0][2]


class PriceTable:
    """Prices by model: one's own, then those of genai-prices. See `load_prices`."""

    def __init__(self, own: Mapping[str, Prices] | None = None, snapshot: Any = None) -> None:
        for name, prices in (own or {}).items():
            if not isinstance(prices, Prices):
                raise InvalidRecordError(f"own[{name!r}] is {prices!r}, must be Prices: Prices.usd(2.5, 10)")
        self.own = dict(own or {})
        self._snapshot = snapshot
        self._found: dict[tuple[str, str | None], Tariff | None] = {}

    def find(self, model: str, provider: str | None = None) -> Tariff | None:
        """The tariff of a model (`"gpt-5"` or `"openai/gpt-5"`), None where it is not known. provider: as genai-prices
        names it, or None: whoever is known for such a model."""
        key = (model, provider)
        if key not in self._found:
            self._found[key] = self._find(model, provider)
        return self._found[key]

    def of(self, model: str, at: int | str | date, provider: str | None = None) -> Prices:
        """The prices of a model at a time. Raises UnknownPriceError where they are not known."""
        tariff = self.find(model, provider)
        if tariff is None:
            raise UnknownPriceError(self._unknown(model, provider))
        return tariff.at(at)

    def models(self) -> list[tuple[str, str]]:
        """All (provider, model) with prices of tokens in genai-prices, and those of one's own under provider `own`."""
        known = [("own", name) for name in self.own]
        for provider in self._snapshot.providers if self._snapshot is not None else ():
            known += [(provider.id, model.id) for model in provider.models if _tariff(provider, model) is not None]
        return known

    def _find(self, model: str, provider: str | None) -> Tariff | None:
        for name in (model, f"{provider}/{model}") if provider else (model,):
            if name in self.own:
                return Tariff(f"own {name}", ((None, None, self.own[name]),))
        if self._snapshot is None:
            return None
        found = _look_up(self._snapshot, model, provider)
        if found is None and provider is None and "/" in model:
            maker, _, rest = model.partition("/")
            found = _look_up(self._snapshot, rest, maker)
        return found

    def _unknown(self, model: str, provider: str | None) -> str:
        known = list(self.own)
        if self._snapshot is not None:
            known += [m.id for p in self._snapshot.providers if provider in (None, p.id) for m in p.models]
        of = f" of provider {provider!r}" if provider else ""
        missing = (
            "" if self._snapshot is not None else "; genai-prices is not installed (pip install 'fairlead[prices]')"
        )
        return (
            f"no price is known for model {model!r}{of}{missing}; give your own in dollars a million tokens: "
            f"load_prices({{{model!r}: Prices.usd(1, 4)}}), or Prices.usd(0, 0) if it costs nothing"
            f"{did_you_mean(model, known)}"
        )


def load_prices(own: Mapping[str, Prices] | None = None) -> PriceTable:
    """Prices of well-known models, as genai-prices has them at this moment (extra `prices`), with one's own above
    them, by model or `"provider/model"`.

    It is the list that was installed: `genai_prices.UpdatePrices` may have brought a newer one. Only one's own where
    genai-prices is not installed. Prices that hold from a date on, or for hours of the day, or for long prompts, hold
    then.

    >>> table = load_prices({"my-model": Prices.usd("0.1", "0.4")})
    >>> print(table.of("my-model", at="2026-04-01"))
    $0.10 in, $0.10 cached, $0.40 out a million tokens
    """
    try:
        from genai_prices.data_snapshot import get_snapshot
    except ImportError:
        return PriceTable(own)
    return PriceTable(own, get_snapshot())


# --- reading genai-prices ---------------------------------------------------------------------------------------------

_TOKENS = ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_1h_mtok", "requests_kcount")


def _look_up(snapshot: Any, model: str, provider: str | None) -> Tariff | None:
    try:
        return _tariff(*snapshot.find_provider_model(model, None, provider, None))
    except LookupError:
        return None


def _tariff(provider: Any, model: Any) -> Tariff | None:
    conditional = model.prices if isinstance(model.prices, list) else None
    listed = (
        [(one.constraint, one.prices) for one in conditional] if conditional is not None else [(None, model.prices)]
    )
    entries = []
    for constraint, prices in listed:
        read = _prices(prices)
        if read is None:
            return None
        start = getattr(constraint, "start_date", None)
        opens, closes = getattr(constraint, "start_time", None), getattr(constraint, "end_time", None)
        hours = (_of_day(opens), _of_day(closes)) if opens is not None and closes is not None else None
        entries.append((None if start is None else datetime_ns(start), hours, read))
    return Tariff(f"genai-prices {provider.id}/{model.id}", tuple(entries)) if entries else None


def _prices(found: Any) -> Prices | None:
    """One set of prices; None where there is none for tokens, nor for a call."""
    listed = {name: value for name, value in vars(found).items() if value is not None and not name.startswith("_")}
    if not any(name in listed for name in ("input_mtok", "output_mtok", "requests_kcount")):
        return None
    thresholds: Iterable[int] = sorted(
        {step.start for value in listed.values() for step in getattr(value, "tiers", ())}
    )
    uncounted = tuple(sorted(name for name in listed if name not in _TOKENS and name != "cache_write_5m_mtok"))

    def of(tokens: int) -> Prices:
        each = {name: _at(listed[name], tokens) for name in _TOKENS if name in listed}
        call = each.get("requests_kcount")
        return Prices.usd(
            each.get("input_mtok", 0),
            each.get("output_mtok", 0),
            cached=each.get("cache_read_mtok"),
            written=each.get(
                "cache_write_mtok",
                _at(listed["cache_write_5m_mtok"], tokens) if "cache_write_5m_mtok" in listed else None,
            ),
            written_1h=each.get("cache_write_1h_mtok"),
            call=0 if call is None else call / 1000,
        )

    steps = tuple((start, of(start + 1)) for start in thresholds)
    return replace(of(0), steps=steps, uncounted=uncounted)


def _at(price: Any, tokens: int) -> Any:
    """A price, or that of the step that so many input tokens reach."""
    if not hasattr(price, "tiers"):
        return price
    held = price.base
    for step in price.tiers:
        if tokens > step.start:
            held = step.price
    return held


@lru_cache(maxsize=256)
def _of_day(moment: time) -> int:
    """A time of the day in UTC as nanoseconds."""
    if moment.tzinfo is not None:
        moment = datetime.combine(date(1970, 1, 2), moment).astimezone(timezone.utc).time()
    return ((moment.hour * 60 + moment.minute) * 60 + moment.second) * 10**9
