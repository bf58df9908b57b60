"""What an agent sees of a session, and what its hooks say to inputs before it does."""

from collections.abc import Sequence

import msgspec

from bursar.audit.entries import Record
from bursar.gate.display import MAX_NAME, readable
from bursar.hooks import HookContext
from bursar.leases import InboxItem
from bursar.messages import UserMessage
from bursar.store.codec import decode_message, text
from bursar.store.scripts import turns as scripts
from bursar_worker.hooks import Blocked, HookRunner
from bursar_worker.scope import Scope
from bursar_worker.transcript import Transcript

__all__ = ["admitted", "blocked_record", "hook_context", "joined_messages", "read_transcript"]

_TAIL = -64  # messages that are read of a history which must not be read whole


async def read_transcript(scope: Scope, turn: str, *, tail: bool = False) -> Transcript:
    """Read the context of a turn.

    Args:
        tail: a history that killed three workers is not read again, but for open calls at its end.

    """
    fields = scope.fields
    return await scope.kit.transcripts.read(
        scope.session,
        scope.agent,
        created_ms=fields["created_ms"],
        context_start=_TAIL if tail else int(fields["context_start"]),
        counted_from=int(fields.get("counted_from") or 0),
        turn=turn,
    )


async def admitted(scope: Scope, turn: str) -> Blocked | None:
    """Ask the hooks about a turn that has made no step; again after a crash.

    Returns what stopped it, if something did. An input that a hook changed stands in the history
    as it changed it.
    """
    hooks = scope.hooks
    if not (hooks.has("session_start") or hooks.has("user_prompt")):
        return None
    key, history = scope.session.workspace.turn(turn), scope.session.messages
    done, index = map(text, await scope.writer.read("HMGET", key, "admitted", "first_message"))
    if done == "1":
        return None
    context = hook_context(scope, turn)
    if scope.fields.get("admitted") != "1":
        blocked = await hooks.session_start(context)
        if blocked is not None:
            return blocked
    given = decode_message(await scope.writer.read("LINDEX", history, int(index)))
    changed = given
    if isinstance(given, UserMessage):
        shown = await _shown_to_agent(hooks, context, given)
        if isinstance(shown, Blocked):
            return shown
        changed = shown
    message = None if changed == given else changed
    await scope.writer.write(lambda: scripts.admit(scope.store, scope.lease, turn, message))
    return None


async def joined_messages(scope: Scope, turn: str, items: Sequence[InboxItem]) -> list[UserMessage]:
    """The texts of inputs that joined a turn. One that was taken in already is gone."""
    fields = [f"injected:{item.seq}" for item in items]
    if not fields:
        return []
    key = scope.session.workspace.turn(turn)
    payloads = await scope.writer.read("HMGET", key, *fields)
    messages = [decode_message(payload) for payload in payloads if payload is not None]
    context = hook_context(scope, turn)
    joined = []
    for message in messages:
        if not isinstance(message, UserMessage):
            continue
        shown = await _shown_to_agent(scope.hooks, context, message)
        if isinstance(shown, Blocked):
            # The turn goes on, and its history says that somebody said something.
            shown = msgspec.structs.replace(message, text=f"[an input was refused: {shown.reason}]")
        joined.append(msgspec.structs.replace(shown, turn=turn))
    return joined


async def _shown_to_agent(
    hooks: HookRunner, context: HookContext, message: UserMessage
) -> UserMessage | Blocked:
    """An input as the agent is to see it."""
    shown = await hooks.user_prompt(context, message.text, message.custom)
    if isinstance(shown, Blocked):
        return shown
    return msgspec.structs.replace(message, text=shown)


def blocked_record(scope: Scope, turn: str, blocked: Blocked) -> bytes:
    """The audit entry about an input or a session that a hook did not let in."""
    return Record(
        workspace=scope.session.workspace.id,
        actor=f"agent:{scope.agent.name}",
        action="input",
        decision="deny",
        proof="hook",
        proof_id=blocked.hook,
        session=scope.session.id,
        turn=turn,
        reason=readable(blocked.reason, MAX_NAME),
    ).body


def hook_context(scope: Scope, turn: str, step: int = 0) -> HookContext:
    return HookContext(
        workspace=scope.session.workspace.id,
        session=scope.session.id,
        user=scope.fields["user"],
        agent=scope.agent.name,
        turn=turn,
        step=step,
    )
