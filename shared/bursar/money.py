"""US dollars as people write them, and the integer micro-USD that everything counts in."""

from decimal import Decimal, InvalidOperation

from bursar.errors import InvalidInput

__all__ = ["MAX_LIMIT_MICROUSD", "MICROUSD_PER_USD", "microusd_from_usd", "usd"]

MICROUSD_PER_USD = 1_000_000
MAX_LIMIT_MICROUSD = 10_000_000_000_000  # $10,000,000; keeps every sum far below 2**53


def microusd_from_usd(usd: str | int | Decimal, *, field: str) -> int:
    """Return ``"0.002"`` dollars as 2000 micro-USD.

    Floats are refused, since 0.1 has no exact one; so are negative, infinite and finer amounts
    than a micro-USD, and more than $10,000,000.
    """
    if isinstance(usd, bool) or not isinstance(usd, str | int | Decimal):
        raise InvalidInput('expected dollars as text, such as "0.002"', field=field)
    try:
        amount = Decimal(usd) * MICROUSD_PER_USD
    except InvalidOperation:
        raise InvalidInput('expected dollars as text, such as "0.002"', field=field) from None
    if not amount.is_finite() or amount < 0 or amount > MAX_LIMIT_MICROUSD:
        raise InvalidInput("expected between 0 and 10000000 dollars", field=field)
    if amount != amount.to_integral_value():
        raise InvalidInput("expected at most 6 decimals of a dollar", field=field)
    return int(amount)


def usd(amount_microusd: int) -> str:
    """An amount for people: whole cents when it is that round, else as many digits as it has."""
    digits = f"{amount_microusd // 1_000_000}.{amount_microusd % 1_000_000:06d}"
    cents, rest = digits[:-4], digits[-4:].rstrip("0")
    return f"${cents}{rest}"
