from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from bursar.budgets.quotes import Quote, Rates
from bursar.messages import Usage

rate = st.decimals(min_value=0, max_value=100, places=4)
token = st.integers(min_value=0, max_value=2_000_000)


@st.composite
def quotes(draw: st.DrawFn) -> Quote:
    starts = sorted({0, *draw(st.lists(st.integers(1, 1_000_000), max_size=3))})
    tiers = tuple(
        Rates(
            above_input_tokens=start,
            input=draw(rate),
            output=draw(rate),
            cache_read=draw(rate),
            cache_write=draw(rate),
            reasoning=draw(rate),
        )
        for start in starts
    )
    return Quote(tiers, "test", draw(st.sampled_from([Decimal(0), Decimal("5000.5")])))


@given(quotes(), token, token, token, token, token, token, token)
def test_the_worst_case_is_never_below_a_cost_within_the_bounds(
    quote: Quote,
    used_in: int,
    used_out: int,
    read: int,
    written: int,
    reasoned: int,
    more_in: int,
    more_out: int,
) -> None:
    usage = Usage(used_in, used_out, read, written, reasoned)  # parts may exceed their whole
    worst = quote.worst_case_microusd(used_in + more_in, used_out + more_out)
    assert worst >= quote.cost_microusd(usage) >= 0


@given(quotes(), token, st.integers(min_value=0, max_value=10**12))
def test_affordable_output_is_the_most_that_fits(quote: Quote, bound: int, available: int) -> None:
    affordable = quote.affordable_output_tokens(available, bound)
    if affordable < 0:
        assert quote.worst_case_microusd(bound, 0) > available
    else:
        assert quote.worst_case_microusd(bound, affordable) <= available
        if quote.worst_case_microusd(bound, 2**40) > available:
            assert quote.worst_case_microusd(bound, affordable + 1) > available
