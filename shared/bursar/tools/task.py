"""The tool ``task``, by which a model gives work to sub-agents: many calls in a step."""

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta

from bursar.children import Join
from bursar.context import ToolContext
from bursar.tools.tool import Tool, tool

__all__ = ["task_tool"]

_DESCRIPTION = """Give a task to a sub-agent and get its answer as the result. Sub-agents: {names}.

Several calls in one step run at the same time. A sub-agent knows nothing of this conversation, so
its prompt has to say all that it needs."""


def task_tool(subagents: Sequence[str]) -> Tool[..., Any]:
    """Return the tool for an agent that may give tasks to these."""
    only = subagents[0] if len(subagents) == 1 else ""

    def action(arguments: dict[str, Any]) -> str:
        return f"spawn://{arguments.get('agent') or only or '(which one?)'}"

    def task(
        ctx: ToolContext,
        prompt: Annotated[str, Meta(description="The whole task")],
        description: Annotated[str, Meta(description="What it is about, in a few words")] = "",
        agent: Annotated[str, Meta(description="Which sub-agent")] = only,
        model: Annotated[str, Meta(description="Another model than the sub-agent's own")] = "",
        budget_usd: Annotated[
            str | None, Meta(description='What it may spend at most, such as "0.05"')
        ] = None,
        timeout_s: Annotated[float | None, Meta(description="How long it may work")] = None,
        output_schema: Annotated[
            dict[str, Any] | None, Meta(description="JSON Schema of the object to answer with")
        ] = None,
    ) -> Join:
        return ctx.spawn(
            prompt,
            agent=agent,
            description=description,
            model=model,
            budget_usd=budget_usd,
            timeout_s=timeout_s,
            output=output_schema,
        )

    task.__doc__ = _DESCRIPTION.format(names=", ".join(subagents))
    return tool(effect="idempotent", action=action)(task)
