"""The sub-agents of one step: they are spawned, looked at when their ends are news, and read.

Nothing waits in here. A call that spawned is in the state ``children <join>``; its turn lets go of
the worker, and the join's inbox item brings the turn back to look at it again. A join opens a
window of its children at a time; each look opens more in the place of those that have ended.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from bursar.children import Join, Task
from bursar.errors import InvalidInput, LimitReached, WorkspaceKilled
from bursar.events import Span
from bursar.failpoints import failpoint
from bursar.messages import ToolCall
from bursar.store.scripts import children as scripts
from bursar.store.scripts.children import NewChild, Spawn
from bursar_worker.calls import Outcome
from bursar_worker.children.offspring import Offspring
from bursar_worker.children.reports import Report, read_reports, rendered
from bursar_worker.scope import Scope

__all__ = ["Children", "JoinState", "fitting"]

_BATCH = 32  # children a script, and
_BATCH_BYTES = 512 * 1024  # of what is written of them: it stays at a few milliseconds
_AGAIN_MS = 2000
_OTHERS = "enough of the others have succeeded"
_task_encoder = msgspec.msgpack.Encoder()
_form_decoder = msgspec.msgpack.Decoder(Task)
_rest_decoder = msgspec.msgpack.Decoder(dict[str, Any])


class JoinState(msgspec.Struct, frozen=True):
    """How far a join is; counts of children."""

    n: int
    need: int
    window: int
    opened: int
    ended: int
    ok: int
    decided: bool
    single: bool

    @property
    def room(self) -> int:
        """How many more may be opened now."""
        free = self.window - (self.opened - self.ended)
        return 0 if self.decided else max(0, min(self.n - self.opened, free))


class Children:
    """One a step."""

    def __init__(self, scope: Scope, span: Span, offspring: Offspring | None = None) -> None:
        self._scope = scope
        self._span = span
        self._offspring = offspring or Offspring(scope, span)
        self.again_ms = 0
        """When to look again although nobody tells: a cap of the workspace let none be opened."""

    async def open(self, call: ToolCall, join: Join) -> str | Outcome:
        """Spawn what a tool asks for.

        Returns the id of the join that the call waits for now; an outcome if it does not wait.
        """
        name = f"{self._span.step}-{call.id}"
        try:
            tasks = [await self._offspring.completed(task) for task in join.tasks]
            first = list(enumerate(tasks))[: min(self.window, _BATCH)]
            children = fitting(await self._offspring.of(name, first))
            await self._spawn(self._wish(call, name, join, tasks, children))
        except (InvalidInput, LimitReached, WorkspaceKilled) as error:
            return Outcome(f"No sub-agent was started: {error}", is_error=True)
        if join.detached:
            started = ", ".join(child.session.id for child in children)
            return Outcome(f"Started, and not waited for: {started}")
        if len(tasks) > len(children):
            await self.look(name)
        return name

    def _wish(
        self, call: ToolCall, name: str, join: Join, tasks: list[Task], children: list[NewChild]
    ) -> Spawn:
        plan = _planned(name, tasks, len(children))
        if join.single:
            plan[f"{name}:single"] = b"1"
        return Spawn(
            turn=self._span.turn,
            call=f"call:{call.id}",
            join=name,
            total=len(tasks),
            need=join.need,
            window=self.window,
            children=children,
            step=self._span.step,
            counts=join.single,
            detached=join.detached,
            plan=plan,
        )

    async def look(self, join: str) -> Outcome | None:
        """What a call's sub-agents brought, or None while it has to wait."""
        state = await self.state(join)
        if state is None:
            return Outcome("Its sub-agents are not known any more.", is_error=True)
        if not state.decided:
            await self.refill(join, state)
            return None
        reports = await self.reports(join, state.n)
        await self.stop([each for each in reports if not each.ended])
        told = [
            each if each.ended else msgspec.structs.replace(each, state="stopped", reason=_OTHERS)
            for each in reports
        ]
        limit = self._scope.kit.settings.tool_output_max
        return rendered(told, single=state.single, max_chars=limit)

    async def reports(self, join: str, count: int) -> list[Report]:
        """What is known of all of a join's sub-agents, in the order of their tasks."""
        slots = await self._read("HMGET", *(f"{join}:{slot}" for slot in range(count)))
        return await read_reports(self._scope.store, self._scope.session.workspace, slots)

    async def state(self, join: str) -> JoinState | None:
        names = ("decided", "single", "n", "need", "window", "opened", "ended", "ok")
        decided, single, *numbers = await self._read("HMGET", *(f"{join}:{name}" for name in names))
        if numbers[0] is None:
            return None
        n, need, window, opened, ended, ok = (int(each) for each in numbers)
        known = decided is not None, single is not None
        return JoinState(n, need, window, opened, ended, ok, *known)

    async def refill(self, join: str, state: JoinState) -> None:
        """Open more children in the place of those that have ended."""
        left, most = range(state.opened, state.opened + state.room), _BATCH
        while left:
            children, plan = await self.following(join, left[:most])
            wish = Spawn(
                turn=self._span.turn,
                call="",
                join=join,
                total=state.n,
                need=state.need,
                window=state.window,
                children=children,
                plan=plan,
            )
            try:
                await self._spawn(wish)
            except LimitReached:
                # Others of the tree or the workspace have the places; a few may be free.
                if len(children) == 1:
                    self.again_ms = _AGAIN_MS
                    return
                most = len(children) // 2
            except WorkspaceKilled:
                # Whoever killed it cancels this turn, too, unless it is revived before that.
                self.again_ms = _AGAIN_MS
                return
            else:
                left = left[len(children) :]
                most = min(_BATCH, 2 * len(children))

    async def following(
        self, join: str, places: range
    ) -> tuple[list[NewChild], Mapping[str, bytes]]:
        """The children of the next places, and what is to be put on record with them.

        At least one, and perhaps not of all places.
        """
        fields = (f"{join}:in:{slot}" for slot in places)
        form, *planned = await self._read("HMGET", f"{join}:form", *fields)
        common = _form_decoder.decode(form)
        tasks = [
            (slot, msgspec.structs.replace(common, **_rest_decoder.decode(rest)))
            for slot, rest in zip(places, planned, strict=True)
        ]
        return fitting(await self._offspring.of(join, tasks)), {}

    async def stop(self, reports: Sequence[Report]) -> None:
        """Stop sub-agents that are not waited for any more."""
        workspace, inputs = self._scope.session.workspace, self._scope.kit.inputs
        for report in reports:
            child = workspace.session(report.session)
            await inputs.cancel_session(child, _OTHERS)
            await inputs.cancel_below(child, _OTHERS)

    @property
    def window(self) -> int:
        return 2 * self._scope.kit.settings.max_tree_running

    async def _read(self, command: str, *fields: str) -> Any:
        scope = self._scope
        return await scope.writer.read(command, scope.session.joins, *fields)

    async def _spawn(self, wish: Spawn) -> None:
        scope = self._scope
        rung = await scope.writer.write(
            lambda: scripts.spawn(
                scope.store,
                scope.lease,
                wish,
                user=scope.fields["user"],
                workspace_path=scope.fields["workspace_path"],
            )
        )
        failpoint("C15")
        await asyncio.gather(*(scope.kit.bells.ring(child.ring) for child in rung))


def fitting(children: list[NewChild]) -> list[NewChild]:
    """Return the first ones, as many as one script may open."""
    room = _BATCH_BYTES
    for count, child in enumerate(children):
        room -= child.size
        if room < 0 and count:
            return children[:count]
    return children


def _planned(join: str, tasks: Sequence[Task], opened: int) -> dict[str, bytes]:
    """What is kept of tasks to open them later: what most of them share, such as a schema, once."""
    if opened == len(tasks):
        return {}
    form = msgspec.structs.replace(tasks[opened], prompt="")
    plan = {f"{join}:form": _task_encoder.encode(form)}
    for slot in range(opened, len(tasks)):
        rest = {
            name: value
            for name, value in msgspec.structs.asdict(tasks[slot]).items()
            if value != getattr(form, name)
        }
        plan[f"{join}:in:{slot}"] = _task_encoder.encode(rest)
    return plan
