"""What a tool sees of the call that it runs in."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

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
