"""What a model call costs: at worst before it, and really after it.

Prices come from, in this order, the operator's file, the model object's own flat ``price``, and the
table of the ``genai-prices`` package. A model without any price is refused: a budget that does not
know a cost cannot keep a limit.

The file is TOML, in US dollars per million tokens; the last three lines are optional:

    [models."openai:my-model"]
    input_usd_per_mtok = "1.25"
    output_usd_per_mtok = "10"
    cache_read_usd_per_mtok = "0.125"
    cache_write_usd_per_mtok = "1.5625"
    reasoning_usd_per_mtok = "10"
"""

import hashlib
import tomllib
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from bursar.budgets.quotes import Quote, Rates
from bursar.decoding import convert
from bursar.errors import InvalidInput, ModelError
from bursar.models import Price

__all__ = ["PriceBook", "Quote"]

_RATES = (
    "input_mtok",
    "output_mtok",
    "cache_read_mtok",
    "cache_write_mtok",
    "output_reasoning_mtok",
)


class _Override(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    input_usd_per_mtok: Decimal
    output_usd_per_mtok: Decimal
    cache_read_usd_per_mtok: Decimal | None = None
    cache_write_usd_per_mtok: Decimal | None = None
    reasoning_usd_per_mtok: Decimal | None = None


class PriceBook:
    """Quotes for models by name. One a worker; the file is read when the book is made.

    Raises:
        InvalidInput: The file is missing or wrong; ``field`` is ``prices`` or the place inside.

    """

    def __init__(self, overrides: Path | None = None) -> None:
        self._overrides = {} if overrides is None else _read(overrides)

    def quote(self, model_name: str, flat: Price | None = None) -> Quote:
        """Return the prices of a model now.

        Raises:
            ModelError: With code ``price_unknown``; nobody knows what this model costs.

        """
        if model_name in self._overrides:
            return self._overrides[model_name]
        if flat is not None:
            return Quote.flat(flat.input_usd_per_mtok, flat.output_usd_per_mtok, version="flat")
        quote = _from_table(model_name)
        if quote is None:
            raise ModelError(
                f"the price of model {model_name!r} is unknown, so no budget can pay for it. Set "
                f'one in the file that BURSAR_PRICES names, under [models."{model_name}"], or give '
                "the model object an attribute `price = Price(input_usd_per_mtok=…, "
                "output_usd_per_mtok=…)`",
                code="price_unknown",
                model=model_name,
            )
        return quote

    def window_tokens(self, model_name: str) -> int | None:
        """Return how many tokens a model takes in, as far as the price table knows."""
        return _window_from_table(model_name)


def _read(path: Path) -> dict[str, Quote]:
    try:
        data = path.read_bytes()
        # Decimal from the digits in the file: a float would no longer be the written amount.
        tables = tomllib.loads(data.decode(), parse_float=Decimal)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}", field="prices") from None
    version = f"override {hashlib.sha256(data).hexdigest()[:8]}"
    models = tables.get("models")
    if not isinstance(models, dict) or len(tables) > 1:
        raise InvalidInput(f'{path} has tables [models."…"] only', field="prices")
    return {name: _overridden(name, table, version) for name, table in models.items()}


def _overridden(name: str, table: Any, version: str) -> Quote:
    place = f"prices.models.{name}"
    entry = convert(table, _Override, field=place, prefix=place)
    for field in entry.__struct_fields__:
        value = getattr(entry, field)
        if value is not None and not (value.is_finite() and value >= 0):
            raise InvalidInput("expected 0 or more dollars", field=f"{place}.{field}")
    return Quote.flat(
        entry.input_usd_per_mtok,
        entry.output_usd_per_mtok,
        cache_read=entry.cache_read_usd_per_mtok,
        cache_write=entry.cache_write_usd_per_mtok,
        reasoning=entry.reasoning_usd_per_mtok,
        version=version,
    )


def _from_table(model_name: str) -> Quote | None:
    """Look the model up in ``genai-prices``; None if it has no price for text in and out.

    Only names with a provider are looked up. Without one the table would guess, and a private model
    called ``gpt-4-ours`` would be charged as somebody else's.
    """
    found = _found_in_table(model_name)
    return None if found is None else _quote(found.model_price, _table_version())


# Names reach this from sessions too, so the number kept is bounded.
@lru_cache(maxsize=256)
def _window_from_table(model_name: str) -> int | None:
    found = _found_in_table(model_name)
    return None if found is None else found.model.context_window


def _found_in_table(model_name: str) -> Any:
    provider, separator, model = model_name.partition(":")
    if not separator or not model:
        return None
    try:
        # Half a second and 40 MB that a worker of local and flat-priced models never needs.
        import genai_prices
    except ImportError:
        return None
    try:
        return genai_prices.calc_price(
            genai_prices.Usage(input_tokens=0, output_tokens=0), model, provider_id=provider
        )
    except LookupError:
        return None


def _table_version() -> str:
    import genai_prices

    return f"genai-prices {genai_prices.__version__}"


def _quote(price: Any, version: str) -> Quote | None:
    """Translate a ``ModelPrice``, whose prices are Decimals or have tiers by size of the input."""
    if price.input_mtok is None or price.output_mtok is None:
        return None
    starts = {0}
    for key in _RATES:
        starts.update(tier.start for tier in getattr(getattr(price, key), "tiers", ()))
    per_call = (price.requests_kcount or Decimal(0)) * 1000  # dollars a thousand calls
    return Quote(
        tuple(_rates(price, start) for start in sorted(starts)),
        version=version,
        per_call_microusd=per_call,
    )


def _rates(price: Any, above: int) -> Rates:
    plain_in, plain_out = _at(price.input_mtok, above), _at(price.output_mtok, above)
    return Rates(
        above_input_tokens=above,
        input=plain_in,
        output=plain_out,
        cache_read=_at(price.cache_read_mtok, above, plain_in),
        # The dearer one-hour cache is not asked for by any of our calls, so it cannot apply.
        cache_write=_at(price.cache_write_mtok, above, plain_in),
        reasoning=_at(price.output_reasoning_mtok, above, plain_out),
    )


def _at(value: Any, above: int, default: Decimal = Decimal(0)) -> Decimal:
    if value is None:
        return default
    if isinstance(value, Decimal):
        return value
    rate: Decimal = value.base
    for tier in value.tiers:  # ascending
        if above >= tier.start:
            rate = tier.price
    return rate
