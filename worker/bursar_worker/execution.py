"""One tool at work: its context, its time, and what becomes of whatever it raises."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bursar.children import Join
from bursar.clock import monotonic_s
from bursar.context import Progress, ToolContext
from bursar.errors import BursarError, Fenced, StoreUnavailable
from bursar.events import Span
from bursar.gate.boundary import Boundary
from bursar.messages import ToolCall
from bursar.tools import Tool, render_output
from bursar_worker.calls import Outcome
from bursar_worker.scope import Scope
from bursar_worker.stopping import asked_to_stop

__all__ = ["execute"]

logger = logging.getLogger(__name__)


async def execute(
    scope: Scope,
    span: Span,
    tool: Tool[..., Any],
    call: ToolCall,
    arguments: dict[str, Any],
    boundary: Boundary,
) -> Outcome | Join:
    """Run a tool to its end, or to where sub-agents are to go on.

    Only the loss of the session gets out of here as an error.
    """
    settings = scope.kit.settings
    timeout_s = settings.tool_timeout_s if tool.timeout_s is None else tool.timeout_s
    context, close = _context(scope, span, call, timeout_s, boundary)
    limit = settings.tool_output_max
    try:
        async with asyncio.timeout(timeout_s):
            value = await tool.run(context, arguments)
        return value if isinstance(value, Join) else Outcome(render_output(value, limit))
    except TimeoutError:
        return Outcome(f"The tool did not answer within {timeout_s:g} s.", is_error=True)
    except asyncio.CancelledError:
        if asked_to_stop():
            raise
        return Outcome("The tool failed: a task of its own was cancelled.", is_error=True)
    except (Fenced, StoreUnavailable):
        raise
    except BursarError as error:
        return Outcome(render_output(f"The tool failed: {error}", limit), is_error=True)
    except (Exception, SystemExit) as error:
        # A tool is user code: whatever it raises is a result for the model, and a log line.
        logger.exception("tool %s raised", tool.name)
        what = f"The tool failed: {type(error).__name__}: {error}"
        return Outcome(render_output(what, limit), is_error=True)
    finally:
        close()


def _context(
    scope: Scope, span: Span, call: ToolCall, timeout_s: float, boundary: Boundary
) -> tuple[ToolContext, Callable[[], None]]:
    """The tool's context, and what closes it: progress after the call's end shows nowhere."""
    closed = asyncio.Event()

    async def emit(progress: Progress) -> None:
        if not closed.is_set():
            scope.writer.emit(
                span.event("tool.progress", call=call.id, name=call.name, progress=progress)
            )

    context = ToolContext(
        workspace=scope.session.workspace.id,
        session=span.session,
        user=scope.fields["user"],
        turn=span.turn,
        step=span.step,
        call_id=call.id,
        deadline=monotonic_s() + timeout_s,
        files=Path(boundary.root) if boundary.folder else None,
        boundary=boundary,
        on_emit=emit,
    )
    return context, closed.set
