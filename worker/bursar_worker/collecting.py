"""Asking an agent's context provider, once a session, at the start of a turn."""

import asyncio
import logging
from typing import Any

from bursar.context_provider import ContextProvider, ContextRequest, ask_provider
from bursar.messages import well_formed
from bursar.sessions import MAX_TEXT_BYTES
from bursar.store.scripts import contexts
from bursar_worker.scope import Scope
from bursar_worker.stopping import asked_to_stop

__all__ = ["collect_context"]

_TIMEOUT_S = 5.0  # people wait for this before anything else happens in a session

logger = logging.getLogger(__name__)


async def collect_context(scope: Scope, turn: str) -> bool:
    """Keep what the provider says, if the session has no context; again after a crash.

    Returns whether there is one now that there was not before. A provider that fails is asked again
    at the start of the next turn.
    """
    provider, session = scope.agent.context, scope.session
    if provider is None or await scope.writer.read("HEXISTS", session.text, "context"):
        return False
    request = ContextRequest(
        workspace=session.workspace.id,
        session=session.id,
        user=scope.fields["user"],
        agent=scope.agent.name,
        workspace_path=scope.fields["workspace_path"],
        turn=turn,
    )
    context = await _asked(provider, request)
    if context is None:
        return False

    async def write() -> None:
        counted_from = await contexts.put_context(scope.store, scope.lease, context)
        # In here, because the write lands also if the turn is stopped meanwhile.
        scope.fields["counted_from"] = str(counted_from)

    await scope.writer.write(write)
    return bool(context)


async def _asked(provider: ContextProvider, request: ContextRequest) -> str | None:
    """What the provider says; None if it failed, which the log then has."""
    what = "failed"
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            said: Any = await ask_provider(provider, request)
    except TimeoutError:
        what = f"did not answer within {_TIMEOUT_S:g} s"
    except asyncio.CancelledError:
        if asked_to_stop():
            raise
        what = "lost a task of its own that was cancelled"
    except (Exception, SystemExit) as error:
        # User code: a session begins without what it has to say.
        logger.exception("the context provider of agent %s raised", request.agent)
        what = f"raised {type(error).__name__}"
    else:
        text = well_formed(said) if isinstance(said, str) else None
        if text is not None and len(text.encode()) <= MAX_TEXT_BYTES:
            return text
        kind = type(said).__name__
        what = f"gave a {kind}" if text is None else f"gave more than {MAX_TEXT_BYTES} bytes"
    logger.warning("the context provider of agent %s %s", request.agent, what)
    return None
