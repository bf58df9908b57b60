"""What a client reads of jobs. See `bursar.client.views`."""

from typing import Any

import msgspec

__all__ = ["JOB_ENDED", "ItemResult", "JobInput", "JobPage", "JobView"]

JOB_ENDED = frozenset({"succeeded", "partial", "cancelled", "failed"})
"""States of a job that is not at work; one that has not succeeded may be run again."""


class JobInput(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One input. ``id`` is your own name for it; ``custom`` is given to the agent's tools."""

    input: str
    id: str = ""
    custom: dict[str, Any] = {}


class JobView(msgspec.Struct, frozen=True):
    """A job. Times are Unix milliseconds by Redis's clock, amounts micro-USD.

    ``total`` is ``waiting`` + ``open`` + ``succeeded`` + ``failed``. ``running`` are the sessions
    at work, and ``unpaid`` those that wait for the job's own money: those of items, and of
    sub-agents that these have.
    """

    id: str
    workspace: str
    agent: str
    user: str
    title: str
    workspace_path: str
    state: str
    turn: str
    total: int
    waiting: int
    open: int
    running: int
    unpaid: int
    succeeded: int
    failed: int
    cost_microusd: int
    held_microusd: int
    limit_microusd: int | None
    created_ms: int
    started_ms: int
    ended_ms: int
    reason: str

    @property
    def ended(self) -> bool:
        return self.state in JOB_ENDED

    @property
    def ok(self) -> bool:
        return self.state == "succeeded"


class JobPage(msgspec.Struct, frozen=True):
    """``cursor`` continues the list; empty at its end."""

    jobs: list[JobView]
    cursor: str = ""


class ItemResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one input; ``index`` is its place among them.

    ``state`` is ``waiting``, ``open``, ``succeeded``, ``failed``, ``cancelled`` or ``quarantined``.
    ``output`` is a text, or the JSON value that the job asked for.
    """

    index: int
    state: str
    output: Any
    cost_microusd: int
    steps: int
    attempts: int
    id: str = ""
    code: str = ""
    reason: str = ""
    session: str = ""

    @property
    def ok(self) -> bool:
        return self.state == "succeeded"
