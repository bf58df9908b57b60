"""Running a plain function beside the event loop."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["run_in_thread"]


async def run_in_thread(function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """Call a function in a thread of its own and wait for what it returns or raises.

    The thread is a daemon: a process that stops does not wait for a function that goes on, as it
    would for one of asyncio's executor.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()
    context = contextvars.copy_context()

    def settle(result: Any, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)

    def work() -> None:
        result: Any = None
        error: BaseException | None = None
        try:
            result = context.run(function, **arguments)
        except StopIteration as stopped:
            error = RuntimeError(f"the tool raised {stopped!r}")  # no future can hold that one
        except BaseException as raised:  # noqa: BLE001  (it is raised again where it is awaited)
            error = raised
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=work, name=f"tool {function.__name__}", daemon=True).start()
    return await future
