from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.budgets.bounds import fit_output_tokens, input_bound_tokens, likely_input_tokens
from bursar.budgets.pricing import PriceBook
from bursar.messages import AssistantMessage, Message, ToolCall, ToolMessage, Usage, UserMessage
from bursar.models import ModelRequest, Price, ToolSpec

QUOTE = PriceBook().quote("m", Price(input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(2)))
MESSAGES: tuple[Message, ...] = (
    UserMessage("Wie geht's? äöü"),
    AssistantMessage(text="gut", tool_calls=(ToolCall("c", "look", '{"a": 1}'),)),
    ToolMessage("c", "look", "x" * 100),
)


def size(message: Message) -> int:
    if isinstance(message, AssistantMessage):
        return len(message.text.encode()) + sum(len(c.arguments) for c in message.tool_calls)
    return len((message.output if isinstance(message, ToolMessage) else message.text).encode())


@given(st.text(max_size=200), st.integers(0, 3))
def test_a_first_call_is_bounded_by_its_bytes(system: str, count: int) -> None:
    request = ModelRequest("m", system, MESSAGES[:count])
    bound = input_bound_tokens(request, None, ())
    assert bound >= len(system.encode()) + sum(map(size, MESSAGES[:count]))


def test_tools_count_with_their_schema_and_what_providers_add() -> None:
    plain = ModelRequest("m", "s", MESSAGES)
    tools = ModelRequest("m", "s", MESSAGES, (ToolSpec("look", "Look.", {"type": "object"}),))
    more = input_bound_tokens(tools, None, ()) - input_bound_tokens(plain, None, ())
    assert more > 1000


def test_a_later_call_is_bounded_by_what_was_used_and_what_is_new() -> None:
    request = ModelRequest("m", "s" * 10_000, MESSAGES)
    bound = input_bound_tokens(request, Usage(2000, 50), MESSAGES[2:])
    assert 2150 <= bound < 2400


def test_a_usage_of_nothing_is_not_believed() -> None:
    request = ModelRequest("m", "s" * 10_000, MESSAGES)
    assert input_bound_tokens(request, Usage(0, 5), ()) > 10_000


def test_a_guess_lies_between_what_was_used_and_the_bound() -> None:
    request = ModelRequest("m", "s" * 9000, MESSAGES)
    bound = input_bound_tokens(request, None, ())
    assert likely_input_tokens(request, None, ()) == bound // 3
    later = likely_input_tokens(request, Usage(2000, 50), MESSAGES[2:])
    assert 2050 < later < input_bound_tokens(request, Usage(2000, 50), MESSAGES[2:])


@pytest.mark.parametrize(
    ("available", "wanted", "floor", "fitting"),
    [
        (None, 500, 64, 500),
        (10_000, 500, 64, 500),
        (1200, 500, 64, 100),
        (1128, 500, 64, 64),
        (1127, 500, 64, 0),
        (999, 500, 0, 0),
        (1040, 20, 64, 20),
        (1038, 20, 64, 0),
    ],
)
def test_the_output_is_cut_to_the_purse_but_not_below_the_floor(
    available: int | None, wanted: int, floor: int, fitting: int
) -> None:
    assert fit_output_tokens(available, QUOTE, 1000, wanted, floor) == fitting
