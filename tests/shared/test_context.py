from dataclasses import replace

import pytest

from bursar.clock import monotonic_s
from bursar.context import MAX_PROGRESS_BYTES, Progress
from bursar.errors import InvalidInput
from bursar.testing import tool_context


def test_the_idempotency_key_is_the_calls_and_nobody_elses() -> None:
    ctx = tool_context()
    again = replace(ctx, deadline=ctx.deadline + 100, user="other")
    assert again.idempotency_key == ctx.idempotency_key
    others = [
        replace(ctx, call_id="call_2"),
        replace(ctx, step=2),
        replace(ctx, turn="turn_2"),
        replace(ctx, session="ses_2"),
        replace(ctx, workspace="ws2"),
    ]
    assert len({ctx.idempotency_key, *(other.idempotency_key for other in others)}) == 6


def test_remaining_time_counts_down_to_zero() -> None:
    assert 0 < tool_context(timeout_s=60).remaining_s <= 60
    assert replace(tool_context(), deadline=monotonic_s() - 1).remaining_s == 0


async def test_emit_hands_progress_on() -> None:
    seen: list[Progress] = []

    async def collect(progress: Progress) -> None:
        seen.append(progress)

    ctx = tool_context(on_emit=collect)
    await ctx.emit("half")
    await ctx.emit({"done": 3})
    assert seen == ["half", {"done": 3}]


async def test_emit_without_listeners_is_fine() -> None:
    await tool_context().emit("nobody")


@pytest.mark.parametrize("progress", [3, {"a": object()}, "x" * MAX_PROGRESS_BYTES])
async def test_emit_refuses_what_an_event_cannot_hold(progress: Progress) -> None:
    with pytest.raises(InvalidInput):
        await tool_context().emit(progress)
