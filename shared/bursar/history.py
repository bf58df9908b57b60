"""The messages of a session: read the newest, add one without a turn."""

from bursar.errors import InvalidInput
from bursar.messages import Message
from bursar.sessions import locate, read_facts
from bursar.store.codec import decode_message
from bursar.store.scripts import sessions as scripts
from bursar.store.scripts.sessions import Idempotency
from bursar.store.store import Store

__all__ = ["add_message", "read_messages"]


async def read_messages(store: Store, workspace: str, sid: str, *, last: int) -> list[Message]:
    """The newest ``last`` messages, oldest of them first."""
    if not 1 <= last <= 1000:
        raise InvalidInput("expected an integer from 1 to 1000", field="last")
    session = locate(store, workspace, sid)
    raw = store.redis.call("LRANGE", session.messages, -last, -1)
    await read_facts(store, session)  # refuses a session that does not exist
    return [decode_message(entry) for entry in await raw]


async def add_message(
    store: Store,
    workspace: str,
    sid: str,
    message: Message,
    idempotency: Idempotency = Idempotency(),  # noqa: B008  (frozen)
) -> int:
    """Append a message without starting a turn; returns its index.

    Raises:
        Conflict: a turn is under way (``session_busy``), or the session has ended.

    """
    session = locate(store, workspace, sid)
    role = str(type(message).__struct_config__.tag)
    facts = await read_facts(store, session)
    return await scripts.add_message(
        store,
        session,
        message,
        role=role,
        user=facts.user,
        workspace_path=facts.workspace_path,
        idempotency=idempotency,
    )
