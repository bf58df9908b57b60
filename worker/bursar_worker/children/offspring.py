"""From a task to a sub-agent's session: what it takes over, what it has of its own."""

from collections.abc import Sequence

import msgspec

from bursar.children import Task, check_output, child_name
from bursar.clock import wall_ms
from bursar.errors import InvalidInput
from bursar.events import Span
from bursar.gate.chain import ChainLink, decode_chain, encode_chain
from bursar.messages import UserMessage
from bursar.registry import AgentEntry
from bursar.store.codec import encode_json, encode_message, text
from bursar.store.keys import PRIORITIES
from bursar.store.opening import SCHEMA_VERSION
from bursar.store.scripts.children import NewChild
from bursar_worker.scope import Scope

__all__ = ["Offspring"]

_ROLE = (
    "Another agent gave you one task. Your answer goes back to it and to nobody else: answer with "
    "the result alone, as completely as the task asks for, and say so if something could not be "
    "done."
)
_ABOUT = "\n\nThe task: {description}"
_OUTPUT = "\n\nYour answer is one JSON object, with no text around it, that has this JSON Schema:\n"


class Offspring:
    """Makes the sub-agents of one step.

    Args:
        of_people: what they are given is the input of a person, and no agent's task.

    """

    def __init__(self, scope: Scope, span: Span, *, of_people: bool = False) -> None:
        self._scope = scope
        self._span = span
        self._of_people = of_people
        self._entries: dict[str, AgentEntry] = {}

    async def completed(self, task: Task) -> Task:
        """Return the task with its agent named.

        Raises:
            InvalidInput: this agent may not give tasks to that one, nobody ever served it, or no
                answer can be checked against the task's schema.

        """
        check_output(task.output)
        allowed = self._scope.agent.subagents
        agent = task.agent or (allowed[0] if len(allowed) == 1 else "")
        if agent not in allowed:
            known = ", ".join(allowed) or "none; name them in the agent's `subagents`"
            what = f"{agent!r} is none that may be given tasks" if agent else "which one?"
            raise InvalidInput(f"{what}; there are: {known}", field="agent")
        await self._entry(agent)
        return msgspec.structs.replace(task, agent=agent)

    async def of(
        self, join: str, tasks: Sequence[tuple[int, Task]], attempt: int = 1
    ) -> list[NewChild]:
        """Return sessions for tasks by their places in a join; again, they have the same ids."""
        if not tasks:
            return []
        scope = self._scope
        parent = scope.session
        stored = await scope.writer.read("HMGET", parent.text, "context", "chain")
        context, chain = map(text, stored)
        action = await self._per_action()
        link = ChainLink(scope.agent.name, scope.agent.policy.to_dict())
        links = encode_chain([*decode_chain(chain), link])
        children = []
        for slot, task in tasks:
            name = child_name(parent.id, self._span.turn, join, slot, attempt)
            texts = {"system_prompt": self._prompt(task), "chain": links, "context": context}
            if task.output:
                texts["output"] = encode_json(task.output).decode()
            children.append(await self._child(name, slot, task, action, texts))
        return children

    async def _per_action(self) -> int:
        """What one action of a child may cost at most."""
        if self._of_people:
            # A purse cuts down its own session's to its size. Its raise would not reach the items'.
            return self._scope.kit.settings.per_action_limit_microusd
        account = self._scope.session.account
        return int(text(await self._scope.writer.read("HGET", account, "per_action")))

    async def _child(
        self, name: str, slot: int, task: Task, per_action: int, texts: dict[str, str]
    ) -> NewChild:
        scope = self._scope
        parent, settings = scope.session, scope.kit.settings
        session, turn = parent.workspace.session(f"{parent.root}~{name}"), f"trn_{name}"
        entry = await self._entry(task.agent)
        limit = task.limit_microusd or None
        fields = {
            "ws": parent.workspace.id,
            "user": scope.fields["user"],
            "agent": task.agent,
            "model": task.model or entry.model,
            "parent": parent.id,
            "workspace_path": scope.fields["workspace_path"],
            "priority": PRIORITIES[1],
            "title": task.description,
            "tags": "",
            "schema_version": SCHEMA_VERSION,
        }
        message = UserMessage(task.prompt, turn=turn, at_ms=wall_ms(), custom=task.custom)
        timeout_s = min(task.timeout_s or settings.child_timeout_s, settings.child_timeout_max_s)
        spawned = self._span.event(
            "child.spawned",
            child=session.id,
            child_turn=turn,
            agent=task.agent,
            description=task.description,
            slot=slot,
        )
        return NewChild(
            session=session,
            turn=turn,
            slot=slot,
            input=encode_message(message),
            time_ms=int(timeout_s * 1000),
            limit_microusd=limit,
            per_action_microusd=min(per_action, limit or per_action),
            no_worker=not entry.live,
            fields=fields,
            texts={key: value for key, value in texts.items() if value},
            spawned=spawned.body,
        )

    def _prompt(self, task: Task) -> str:
        """What the sub-agent reads beside its agent's own instructions."""
        output = _OUTPUT + encode_json(task.output).decode() if task.output else ""
        if self._of_people:
            return output.strip()
        about = _ABOUT.format(description=task.description) if task.description else ""
        return _ROLE + about + output

    async def _entry(self, agent: str) -> AgentEntry:
        """What the registry knows of an agent, looked up once a step."""
        if agent not in self._entries:
            self._entries[agent] = await self._scope.kit.registry.require(agent)
        return self._entries[agent]
