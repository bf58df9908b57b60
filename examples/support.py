"""A support desk. Refunds cost money, are never made twice, and large ones are for people.

export ANTHROPIC_API_KEY=…
bursar dev --agents examples.support
bursar run support "My order A-17 arrived broken."
"""

from bursar import Agent, Policy, ToolContext, tool

ORDERS = {"A-17": 4200, "B-02": 99900}
"""Cents that were paid. A real desk asks its shop."""
LARGEST_REFUND = 10_000


@tool(effect="pure")
def find_order(number: str) -> str:
    """Say what was paid for an order, in cents."""
    return f"{number}: {ORDERS[number]} cents" if number in ORDERS else f"no order {number}"


@tool(effect="idempotent", risk="medium", cost_usd="0.05", timeout_s=10)
async def refund(ctx: ToolContext, number: str, reason: str) -> str:
    """Pay the whole price of an order back. Not for more than 10000 cents."""
    if ORDERS.get(number, 0) > LARGEST_REFUND:
        return f"{number} is above {LARGEST_REFUND} cents: pass it on to a person"
    await ctx.emit(f"refunding {number} for {ctx.user}: {reason}")
    # A payment service drops a repeat of this key, so a crash in between pays once.
    return f"refunded {number}, reference {ctx.idempotency_key[:12]}"


support = Agent(
    name="support",
    model="anthropic:claude-sonnet-4-5",
    instructions="You work at a support desk. Look an order up before you refund it. Be brief.",
    tools=[find_order, refund],
    policy=Policy(allow=["refund"]),
    max_steps=10,
)
