"""Stopping tasks for sure."""

import asyncio

__all__ = ["asked_to_stop", "stop"]


async def stop(*tasks: "asyncio.Task[object] | asyncio.Task[None]", again_s: float = 0.2) -> None:
    """Cancel tasks until they are done; what they raise stays in them.

    One cancel is not always enough: libraries lose one that comes just as their I/O completes
    (``asyncio.wait_for`` of Python 3.11 does, and so do those that use it), and go on.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=again_s)


def asked_to_stop() -> bool:
    """Whether a `CancelledError` is meant for this task, and not one that its code lets out.

    Code that awaits a task of its own and cancels that one raises the same error.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
