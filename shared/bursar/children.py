"""Tasks for sub-agents: what a tool may ask for, and what it gives back instead of a result.

A tool does not wait for its sub-agents. It returns a `Join`; the worker spawns what it asks for,
the turn lets go of the worker, and what the sub-agents bring becomes the tool's result.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from bursar.errors import InvalidInput
from bursar.ids import check_id
from bursar.money import microusd_from_usd

__all__ = [
    "MAX_DESCRIPTION",
    "MAX_TASKS",
    "Join",
    "Task",
    "Wait",
    "check_output",
    "child_name",
    "join_of",
    "output_schema",
    "task_of",
    "tasks_of",
]

MAX_DESCRIPTION = 200
"""Characters of a description; longer ones are cut."""
MAX_TASKS = 1000
_MAX_TEXT_BYTES = 4 * 1024 * 1024
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"

Wait = int | Literal["all", "any"]


class Task(msgspec.Struct, frozen=True, omit_defaults=True):
    """One sub-agent's work.

    Args:
        agent: its name; empty for the only one that the spawning agent may give tasks to.
        description: what it is about, for people and for the sub-agent's instructions.
        limit_microusd: what it may spend at most; it is never more than the tree has.
        timeout_s: how long it may work on it; 0 takes the setting.
        output: JSON Schema of its answer; empty for text.
        custom: kept with the message and given to the sub-agent's tools, unread.

    """

    prompt: str
    agent: str = ""
    description: str = ""
    model: str = ""
    limit_microusd: int = 0
    timeout_s: float = 0.0
    output: dict[str, Any] = {}
    custom: dict[str, Any] = {}


class Join(msgspec.Struct, frozen=True):
    """What a tool returns to have its result come from sub-agents.

    With one task the tool's result is that sub-agent's answer, with more it is a list of what
    became of each, in the order of the tasks: also of those that failed, with the reason.

    Args:
        need: how many have to succeed; the others are stopped then. All, if it is their number.
        detached: nobody waits for them; they go on when the turn ends or is cancelled.

    """

    tasks: tuple[Task, ...]
    need: int
    detached: bool = False
    single: bool = False


def task_of(
    prompt: str,
    *,
    agent: str = "",
    description: str = "",
    model: str = "",
    budget_usd: str | None = None,
    timeout_s: float | None = None,
    output: Any = None,
) -> Task:
    """Return a task, checked.

    Raises:
        InvalidInput: names the argument that is wrong.

    """
    _check_prompt(prompt, "prompt")
    if agent:
        check_id(agent, "agent")
    limit = 0 if budget_usd is None else microusd_from_usd(budget_usd, field="budget_usd")
    if budget_usd is not None and not limit:
        raise InvalidInput("expected more than nothing", field="budget_usd")
    if timeout_s is not None and not 0 < timeout_s < float("inf"):
        raise InvalidInput("expected seconds, more than 0", field="timeout_s")
    cut = " ".join(description.split())[:MAX_DESCRIPTION]
    schema = {} if output is None else output_schema(output)
    return Task(prompt, agent, cut, model, limit, float(timeout_s or 0), schema)


def tasks_of(prompts: Sequence[str], **form: Any) -> list[Task]:
    """Return tasks that differ in their prompts alone; ``form`` is the rest of `task_of`."""
    if isinstance(prompts, str):
        raise InvalidInput("expected a list of texts", field="prompts")
    for index, prompt in enumerate(prompts):
        _check_prompt(prompt, f"prompts[{index}]")
    if not prompts:
        return []
    first = task_of(prompts[0], **form)
    return [msgspec.structs.replace(first, prompt=prompt) for prompt in prompts]


def _check_prompt(prompt: Any, field: str) -> None:
    if not isinstance(prompt, str) or not prompt.strip():
        raise InvalidInput("expected some text", field=field)


def join_of(
    tasks: Sequence[Task], wait: Wait, *, detached: bool = False, single: bool = False
) -> Join:
    """Return the join of tasks, checked as a whole."""
    if not 1 <= len(tasks) <= MAX_TASKS:
        raise InvalidInput(f"expected 1-{MAX_TASKS} of them", field="prompts")
    if sum(len(task.prompt.encode()) for task in tasks) > _MAX_TEXT_BYTES:
        raise InvalidInput(f"expected at most {_MAX_TEXT_BYTES} bytes in all", field="prompts")
    need = {"all": len(tasks), "any": 1}.get(wait, wait) if isinstance(wait, str) else wait
    if isinstance(need, str | bool) or not 1 <= need <= len(tasks):
        raise InvalidInput(f"expected 'all', 'any' or 1-{len(tasks)}", field="wait")
    return Join(tuple(tasks), need, detached, single)


def output_schema(output: Any) -> dict[str, Any]:
    """Return the JSON Schema of a structured answer: given as one, or as a type."""
    if isinstance(output, dict):
        return output
    try:
        return msgspec.json.schema(output)
    except TypeError as error:
        raise InvalidInput(f"expected a type or a JSON Schema: {error}", field="output") from None


def check_output(schema: dict[str, Any]) -> None:
    """Refuse a schema that no answer can be checked against, before an answer is paid for.

    Raises:
        InvalidInput: it is no JSON Schema, or too large a one; ``field`` is ``output``.

    """
    if not schema:
        return
    # Few tasks ask for this, and the checker takes a while to load.
    from bursar.schemas import bounded, schema_of_answers

    schema_of_answers(bounded(schema, "output"))


def child_name(*place: object) -> str:
    """The last part of a sub-agent's id, the same whenever this place in a turn is worked on."""
    digest = hashlib.sha256("/".join(map(str, place)).encode()).digest()
    number = int.from_bytes(digest[:10], "big")
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(75, -1, -5))
