"""The prices that hold for one model call. All rates are micro-USD per token, exact Decimals."""

from decimal import ROUND_CEILING, Decimal

import msgspec

from bursar.messages import Usage

__all__ = ["Quote", "Rates"]


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """Rates of calls with more input tokens than ``above_input_tokens``.

    US dollars per million tokens are micro-USD per token, so no figure is ever converted.
    """

    above_input_tokens: int = 0
    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write: Decimal
    reasoning: Decimal


class Quote(msgspec.Struct, frozen=True):
    """``tiers`` ascend from 0. The tier of a call holds for all its tokens, as providers bill.

    ``version`` says where the prices are from: ``genai-prices 0.2.3``, ``flat``,
    ``override 1f2e3d4c``. It is stored with the hold.
    """

    tiers: tuple[Rates, ...]
    version: str
    per_call_microusd: Decimal = Decimal(0)

    @classmethod
    def flat(
        cls,
        input_usd_per_mtok: Decimal,
        output_usd_per_mtok: Decimal,
        *,
        version: str,
        cache_read: Decimal | None = None,
        cache_write: Decimal | None = None,
        reasoning: Decimal | None = None,
    ) -> "Quote":
        rates = Rates(
            input=input_usd_per_mtok,
            output=output_usd_per_mtok,
            cache_read=input_usd_per_mtok if cache_read is None else cache_read,
            cache_write=input_usd_per_mtok if cache_write is None else cache_write,
            reasoning=output_usd_per_mtok if reasoning is None else reasoning,
        )
        return cls((rates,), version)

    def cost_microusd(self, usage: Usage) -> int:
        """Cost of a finished call, rounded up to a whole micro-USD."""
        rates = [tier for tier in self.tiers if _applies(tier, usage.input_tokens)][-1]
        # Providers' figures do not always add up; a part never counts more than its whole.
        written = min(usage.cache_write_tokens, usage.input_tokens)
        read = min(usage.cache_read_tokens, usage.input_tokens - written)
        reasoned = min(usage.reasoning_tokens, usage.output_tokens)
        cost = (
            self.per_call_microusd
            + (usage.input_tokens - written - read) * rates.input
            + written * rates.cache_write
            + read * rates.cache_read
            + (usage.output_tokens - reasoned) * rates.output
            + reasoned * rates.reasoning
        )
        return _up(cost)

    def worst_case_microusd(self, input_tokens_bound: int, max_output_tokens: int) -> int:
        """The most that a call within the two bounds can cost, in any tier and with any caching."""
        cost_in, rate_out = self._worst(input_tokens_bound)
        return _up(cost_in + max_output_tokens * rate_out)

    def affordable_output_tokens(self, available_microusd: int, input_tokens_bound: int) -> int:
        """Most output tokens whose worst case fits; -1 if not even the input does.

        Output that costs nothing has no bound; then this is 2**31.
        """
        cost_in, rate_out = self._worst(input_tokens_bound)
        left = available_microusd - cost_in
        if left < 0:
            return -1
        return int(left // rate_out) if rate_out else 2**31

    @property
    def output_microusd_per_token(self) -> Decimal:
        """The dearest that an output token can be, over all tiers."""
        return max(max(tier.output, tier.reasoning) for tier in self.tiers)

    def _worst(self, input_tokens_bound: int) -> tuple[Decimal, Decimal]:
        """Return the cost of all input and the rate of one output token, at their dearest."""
        tiers = [tier for tier in self.tiers if _applies(tier, input_tokens_bound)]
        rate_in = max(max(tier.input, tier.cache_read, tier.cache_write) for tier in tiers)
        rate_out = max(max(tier.output, tier.reasoning) for tier in tiers)
        return self.per_call_microusd + input_tokens_bound * rate_in, rate_out


def _applies(tier: Rates, input_tokens: int) -> bool:
    return tier.above_input_tokens == 0 or input_tokens > tier.above_input_tokens


def _up(amount: Decimal) -> int:
    return int(amount.to_integral_value(ROUND_CEILING))
