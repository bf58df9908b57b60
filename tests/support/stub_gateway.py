"""A small real HTTP server that answers as a gateway would: each route from a list of answers."""

import json
import socket
import sys
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit

__all__ = ["Answer", "Seen", "StubGateway", "event", "problem", "reply", "stream", "turn_body"]


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class Answer:
    """What to send back. ``cut`` closes the connection in the middle, without a proper end."""

    body: bytes = b""
    status: int = 200
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    drop: bool = False
    """Close the connection without any answer."""
    hang_s: float = 0
    """Keep a complete body open for so long before its end."""


def reply(value: Any, status: int = 200, **headers: str) -> Answer:
    return Answer(json.dumps(value).encode(), status, headers=headers)


def problem(status: int, code: str, detail: str = "no", **members: Any) -> Answer:
    retry = {"Retry-After": str(members.pop("retry_after"))} if "retry_after" in members else {}
    body = {"type": "t", "title": "T", "status": status, "code": code, "detail": detail, **members}
    return Answer(json.dumps(body).encode(), status, "application/problem+json", headers=retry)


def event(
    seq: int,
    kind: str,
    *,
    generation: int = 7,
    session: str = "s1",
    turn: str = "t1",
    place: str = "",
    **data: Any,
) -> bytes:
    """One frame of an event stream; ``place`` is what its id says in the place of ``seq``."""
    step = data.pop("step", 1)
    body = {
        "session": session,
        "turn": turn,
        "step": step,
        "attempt": 1,
        "seq": seq,
        "at_ms": 5,
        **data,
    }
    return f"id: {generation}-{place or seq}\nevent: {kind}\ndata: {json.dumps(body)}\n\n".encode()


def stream(*frames: bytes, cut: bool = False, hang_s: float = 0) -> Answer:
    body = b"retry: 1000\n\n: ping\n\n" + b"".join(frames)
    return Answer(body, content_type="text/event-stream", cut=cut, hang_s=hang_s)


def turn_body(state: str = "succeeded", **members: Any) -> dict[str, Any]:
    return {"id": "t1", "session": "s1", "state": state, "output": "Hello", **members}


class StubGateway:
    """Serves until the end of its ``with`` block; ``seen`` holds what it was asked."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.closing = threading.Event()
        self._answers: dict[tuple[str, str], list[Answer]] = defaultdict(list)
        stub = self

        class Handler(_Handler):
            gateway = stub

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.02])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def on(self, route: str, *answers: Answer | dict[str, Any] | list[Any]) -> None:
        """Answer ``"GET /path"`` with these, one after the other; the last one stays."""
        method, path = route.split(" ")
        self._answers[method, path] += [
            answer if isinstance(answer, Answer) else reply(answer) for answer in answers
        ]

    def replace(self, route: str, *answers: Answer | dict[str, Any] | list[Any]) -> None:
        """Forget a route's answers and give these."""
        method, path = route.split(" ")
        self._answers.pop((method, path), None)
        self.on(route, *answers)

    def asked(self, route: str) -> list[Seen]:
        return [seen for seen in self.seen if f"{seen.method} {seen.path}" == route]

    def take(self, seen: Seen) -> Answer:
        self.seen.append(seen)
        answers = self._answers.get((seen.method, seen.path))
        if not answers:
            return problem(404, "route_not_found", f"the stub has no {seen.method} {seen.path}")
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client may go away at any time; only other errors are the stub's own.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    gateway: ClassVar[StubGateway]
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        parts = urlsplit(self.path)
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = json.loads(raw) if raw else None
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.gateway.take(Seen(self.command, parts.path, parts.query, headers, body))
        if answer.drop:
            self._hang_up()
            return
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Transfer-Encoding", "chunked")
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if answer.body:
            self.wfile.write(f"{len(answer.body):x}\r\n".encode() + answer.body + b"\r\n")
        if answer.cut:
            self._hang_up()
            return
        self.gateway.closing.wait(answer.hang_s)
        self.wfile.write(b"0\r\n\r\n")

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815  (names of the base class)

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Keep the tests' output clean."""
