"""What a tool sees of the call that it runs in."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from bursar.children import Join, Wait, join_of, task_of, tasks_of
from bursar.clock import monotonic_s
from bursar.errors import InvalidInput
from bursar.gate.boundary import Boundary

__all__ = ["MAX_PROGRESS_BYTES", "Progress", "ToolContext"]

MAX_PROGRESS_BYTES = 32_768
"""Largest progress note; an event log of thousands of them has to stay small."""

Progress = str | Mapping[str, Any]
Emit = Callable[[Progress], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolContext:
    """One tool call: whose it is, until when it may run, and where its files are."""

    workspace: str
    session: str
    user: str
    turn: str
    step: int
    call_id: str
    deadline: float
    """When the call is cut off, in seconds of the monotonic clock; see `remaining_s`."""
    files: Path | None = None
    """The session's workspace folder, or None when it was opened without one."""
    boundary: Boundary | None = None
    """Around ``files``, with what the worker lets tools do; without one, it is closed."""
    on_emit: Emit | None = field(default=None, repr=False, compare=False)

    @property
    def idempotency_key(self) -> str:
        """The same for every repeat of this call, also on another worker after a crash.

        Give it to services that drop duplicates. Turn and step are part of it because some
        providers number their calls from ``call_0`` again in each answer.
        """
        place = f"{self.workspace}/{self.session}/{self.turn}/{self.step}/{self.call_id}"
        return hashlib.sha256(place.encode()).hexdigest()

    @property
    def remaining_s(self) -> float:
        """Seconds until the call is cut off; 0 when the time is over."""
        return max(0.0, self.deadline - monotonic_s())

    def spawn(
        self,
        prompt: str,
        *,
        agent: str = "",
        description: str = "",
        model: str = "",
        budget_usd: str | None = None,
        timeout_s: float | None = None,
        output: Any = None,
        detached: bool = False,
    ) -> Join:
        """Give a sub-agent a task. Return what this returns: the answer becomes the tool's result.

        Args:
            agent: one of the agent's ``subagents``; may be left out if there is only one.
            description: what it is about, at most 200 characters of it.
            budget_usd: what it may spend at most, such as ``"0.05"``.
            timeout_s: how long it may work; waiting for people, money or others does not count.
            output: a type or a JSON Schema that its answer has to have.
            detached: do not wait for it, and let it go on whatever becomes of this turn.

        Raises:
            InvalidInput: names the argument that is wrong.

        """
        task = task_of(
            prompt,
            agent=agent,
            description=description,
            model=model,
            budget_usd=budget_usd,
            timeout_s=timeout_s,
            output=output,
        )
        return join_of([task], "all", detached=detached, single=True)

    def map(
        self,
        prompts: Sequence[str],
        *,
        agent: str = "",
        description: str = "",
        model: str = "",
        budget_usd: str | None = None,
        timeout_s: float | None = None,
        output: Any = None,
        wait: Wait = "all",
    ) -> Join:
        """Give one sub-agent each of many tasks, as `spawn` does; return what this returns.

        The tool's result is a JSON list of what became of each, in the order of ``prompts``.

        Args:
            budget_usd: what each of them may spend at most.
            wait: for ``all``, for ``any`` that succeeds, or for so many; the others are stopped.

        """
        tasks = tasks_of(
            prompts,
            agent=agent,
            description=description,
            model=model,
            budget_usd=budget_usd,
            timeout_s=timeout_s,
            output=output,
        )
        return join_of(tasks, wait)

    async def emit(self, progress: Progress) -> None:
        """Show progress to whoever streams the session. The model never sees it.

        Raises:
            InvalidInput: It is not JSON, or above `MAX_PROGRESS_BYTES`.

        """
        if not isinstance(progress, str | Mapping):
            raise InvalidInput("expected text or a dict", field="progress")
        try:
            size = len(msgspec.json.encode(progress))
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"cannot be written as JSON: {error}", field="progress") from None
        if size > MAX_PROGRESS_BYTES:
            raise InvalidInput(f"expected at most {MAX_PROGRESS_BYTES} bytes", field="progress")
        if self.on_emit is not None:
            await self.on_emit(progress)
