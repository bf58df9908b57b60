"""How much a server may send: what goes beyond costs it the connection, never the worker."""

from bursar.clock import monotonic_s
from bursar_worker.mcp.failures import LostError

__all__ = ["MAX_MESSAGE_BYTES", "Inflow"]

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""One message, such as the result of a call; of that, a model sees ``tool_output_max``."""

_WINDOW_S = 10.0
_MAX_BYTES = 64 * 1024 * 1024
_MAX_MESSAGES = 20_000
_MAX_ODD = 1000


class Inflow:
    """What comes from a server, counted in a window of ten seconds."""

    def __init__(self) -> None:
        self.heard_s = monotonic_s()
        """When the last message came."""
        self.forgotten = False
        """Whether the server has said that it does not know this session, as a new one would."""
        self.refusal = ""
        """The last HTTP status that was an error."""
        self._since_s = self.heard_s
        self._bytes = 0
        self._messages = 0
        self._odd = 0

    def add_bytes(self, count: int) -> None:
        """Raises `LostError` above the limit, as the others do."""
        self._turn_over()
        self._bytes += count
        if self._bytes > _MAX_BYTES:
            raise LostError("it sent more than anybody could read")

    def add_message(self) -> None:
        self._turn_over()
        self.heard_s = monotonic_s()
        self._messages += 1
        if self._messages > _MAX_MESSAGES:
            raise LostError("it sent more messages than anybody could read")

    def add_odd(self) -> None:
        """A line that is no message: some programs greet on their standard output."""
        self._odd += 1
        if self._odd > _MAX_ODD:
            raise LostError("it writes what is no MCP to its standard output")

    def _turn_over(self) -> None:
        now_s = monotonic_s()
        if now_s - self._since_s > _WINDOW_S:
            self._since_s, self._bytes, self._messages = now_s, 0, 0
