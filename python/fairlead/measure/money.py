"""Money at the edge: dollars as people write them, integer nano-dollars inside."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from fractions import Fraction

from fairlead.errors import InvalidRecordError

Money = int | float | str | Decimal | Fraction

NANOS = 10**9
MAX_USD = 10**9
"""A billion dollars: no call costs more, and no budget is wider."""

_EXACT = Context(prec=60)


def as_nanos(usd: Money, field: str = "usd") -> int:
    """Dollars as integer nano-dollars, exactly: a str, an int, a Decimal or a Fraction must be a whole number of them.
    A float, which hardly ever is, is taken as the nearest.

    Raises InvalidRecordError that names the field for what is no amount: negative, NaN, above a billion dollars, or
    finer than a nano-dollar.

    >>> as_nanos("0.1"), as_nanos(0.1), as_nanos(25)
    (100000000, 100000000, 25000000000)
    >>> as_nanos(0.1 + 0.2)
    300000000
    """
    nanos = _exact(usd, field) * NANOS
    whole = int(nanos) if nanos.denominator == 1 else None
    if whole is None:
        if not isinstance(usd, float):
            raise InvalidRecordError(f"{field} is {usd!r}, finer than a nano-dollar (1e-9 USD)")
        whole = round(nanos)
    return whole


def cost_nanos(usd: Money, field: str = "cost_usd") -> int:
    """What a call cost, as integer nano-dollars: rounded up, where it is finer than that.

    >>> cost_nanos("0.0000000001"), cost_nanos(0.25)
    (1, 250000000)
    """
    nanos = _exact(usd, field) * NANOS
    if isinstance(usd, float) and abs(nanos - round(nanos)) * 2**50 <= nanos:
        return round(nanos)  # as near as a float of this size comes to it
    return math.ceil(nanos)


def as_usd(nanos: int) -> float:
    """Nano-dollars as a float of dollars; `as_nanos` of it gives them back, up to two million dollars.

    >>> as_usd(1_500_000_000)
    1.5
    """
    return nanos / NANOS


def nearest(usd: float) -> int:
    """Back from `as_usd`: the nearest nano-dollar, of any number.

    >>> nearest(0.1)
    100000000
    """
    return round(usd * NANOS)


def usd_text(nanos: int) -> str:
    """Dollars for people: to the cent, and what is below a dollar to three digits.

    >>> usd_text(1_234_567_890_000), usd_text(125_000_000), usd_text(4_200_000), usd_text(0), usd_text(7)
    ('$1,234.57', '$0.125', '$0.0042', '$0.00', '$0.000000007')
    """
    if nanos < 0:
        return f"-{usd_text(-nanos)}"
    usd = Decimal(nanos).scaleb(-9)
    if not nanos or usd >= 1:
        return f"${usd.quantize(Decimal('0.01'), ROUND_HALF_EVEN):,}"
    digits = usd.quantize(Decimal(1).scaleb(usd.adjusted() - 2), ROUND_HALF_EVEN).normalize()
    whole, _, rest = f"{digits:f}".partition(".")
    return f"${whole}.{rest.ljust(2, '0')}"


def _exact(usd: Money, field: str) -> Fraction:
    if isinstance(usd, bool) or not isinstance(usd, (int, float, str, Decimal, Fraction)):
        if not hasattr(usd, "__float__"):
            raise InvalidRecordError(f"{field} is {usd!r}, must be dollars: a number, a string or a Decimal")
        usd = float(usd)
    try:
        value = Fraction(
            _EXACT.create_decimal(usd.strip().replace("_", "").lstrip("$")) if isinstance(usd, str) else usd
        )
    except (InvalidOperation, ValueError, OverflowError) as error:
        raise InvalidRecordError(f"{field} is {usd!r}, must be a finite number of dollars") from error
    if not 0 <= value <= MAX_USD:
        raise InvalidRecordError(f"{field} is {usd}, outside [0, 1e9] dollars")
    return value


def per_million(usd: Money, field: str = "price") -> int:
    """A price in dollars per million tokens as integer nano-dollars per million, rounded up where it is finer.

    >>> per_million("0.15"), per_million(2.5)
    (150000000, 2500000000)
    """
    if isinstance(usd, float):
        return as_nanos(usd, field)
    return math.ceil(_exact(usd, field) * NANOS)
