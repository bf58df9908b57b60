"""A provider's HTTP server: real sockets and the wire formats as the providers document them."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Answer:
    """``events`` are sent as server-sent events; ``breaks`` drops the connection after them."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    events: Sequence[tuple[str, Any]] = ()
    breaks: bool = False


@dataclass
class Provider:
    """Gives ``answers`` in order and keeps what was asked as ``(path, headers, body)``."""

    answers: list[Answer]
    url: str = ""
    asked: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    handlers: dict[asyncio.Task[None] | None, asyncio.StreamWriter] = field(default_factory=dict)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handler = asyncio.current_task()
        self.handlers[handler] = writer
        try:
            while line := await reader.readline():
                await self._answer(line.decode().split()[1], reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            del self.handlers[handler]
            writer.close()

    async def close(self) -> None:
        """End the connections that clients keep open, and wait for their handlers."""
        handlers = dict(self.handlers)
        for writer in handlers.values():
            writer.transport.abort()
        await asyncio.gather(*(handler for handler in handlers if handler is not None))

    async def _answer(
        self, path: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        headers: dict[str, str] = {}
        while (line := (await reader.readline()).decode().strip()) != "":
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.asked.append((path, headers, json.loads(body)))
        answer = self.answers.pop(0)
        writer.write(_head(answer))
        if answer.events or answer.body is None:
            for kind, data in answer.events:
                writer.write(_chunk(_event(kind, data)))
                await writer.drain()
            if answer.breaks:
                writer.transport.abort()
                raise ConnectionResetError
            writer.write(b"0\r\n\r\n")
        else:
            text = json.dumps(answer.body).encode()
            writer.write(f"content-length: {len(text)}\r\n\r\n".encode() + text)
        await writer.drain()


def _head(answer: Answer) -> bytes:
    streams = bool(answer.events) or answer.body is None
    kind = "text/event-stream" if streams else "application/json"
    lines = [f"HTTP/1.1 {answer.status} Answer", f"content-type: {kind}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    if streams:
        lines += ["transfer-encoding: chunked", "", ""]
        return "\r\n".join(lines).encode()
    return ("\r\n".join(lines) + "\r\n").encode()


def _event(kind: str, data: Any) -> bytes:
    text = data if isinstance(data, str) else json.dumps(data)
    return (f"event: {kind}\n" if kind else "").encode() + f"data: {text}\n\n".encode()


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


@asynccontextmanager
async def provider(*answers: Answer) -> AsyncIterator[Provider]:
    serving = Provider(list(answers))
    server = await asyncio.start_server(serving.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    serving.url = f"http://{host}:{port}"
    try:
        yield serving
    finally:
        server.close()
        await serving.close()
        await server.wait_closed()


def openai_chat(*deltas: dict[str, Any], finish: str = "stop", usage: bool = True) -> Answer:
    """Chat Completions: a chunk a delta, one with the reason of the end, one with the usage."""
    base: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-x",
    }
    choices: list[dict[str, Any]] = [
        {"index": 0, "delta": delta, "finish_reason": None} for delta in deltas
    ]
    choices.append({"index": 0, "delta": {}, "finish_reason": finish})
    events: list[tuple[str, Any]] = [("", base | {"choices": [choice]}) for choice in choices]
    if usage:
        figures: dict[str, Any] = {
            "prompt_tokens": 30,
            "completion_tokens": 12,
            "total_tokens": 42,
            "prompt_tokens_details": {"cached_tokens": 10},
            "completion_tokens_details": {"reasoning_tokens": 5},
        }
        events.append(("", base | {"choices": [], "usage": figures}))
    return Answer(events=[*events, ("", "[DONE]")])


def anthropic(*blocks: tuple[dict[str, Any], Sequence[dict[str, Any]]]) -> Answer:
    """Messages: start, each block with its deltas, the reason of the end with usage, stop."""
    usage = {"input_tokens": 20, "output_tokens": 1, "cache_read_input_tokens": 7}
    usage["cache_creation_input_tokens"] = 3
    message: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
    }
    message |= {"content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": message}]
    for index, (block, deltas) in enumerate(blocks):
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        events += [
            {"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas
        ]
        events.append({"type": "content_block_stop", "index": index})
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    events.append({"type": "message_delta", "delta": end, "usage": {"output_tokens": 15}})
    events.append({"type": "message_stop"})
    return Answer(events=[(event["type"], event) for event in events])


def openai_responses(*texts: str) -> Answer:
    """Responses: one message item with text deltas, then the whole response with its usage."""
    usage = {"input_tokens": 30, "output_tokens": 12, "total_tokens": 42}
    details: dict[str, Any] = {
        "input_tokens_details": {"cached_tokens": 10},
        "output_tokens_details": {"reasoning_tokens": 5},
    }
    response: dict[str, Any] = {"id": "resp_1", "object": "response", "created_at": 1}
    response |= {"model": "gpt-x", "output": [], "status": "in_progress", "error": None}
    response |= {"tools": [], "tool_choice": "auto", "parallel_tool_calls": True}
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "in_progress"}
    part = {"type": "output_text", "text": "", "annotations": []}
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    done = item | {"status": "completed", "content": [part | {"text": "".join(texts)}]}
    ended = response | {"status": "completed", "output": [done], "usage": usage | details}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": response},
        {"type": "response.output_item.added", "output_index": 0, "item": item | {"content": []}},
        {"type": "response.content_part.added", "part": part} | at,
        *(
            {"type": "response.output_text.delta", "delta": text, "logprobs": []} | at
            for text in texts
        ),
        {"type": "response.output_item.done", "output_index": 0, "item": done},
        {"type": "response.completed", "response": ended},
    ]
    numbered = [event | {"sequence_number": number} for number, event in enumerate(events)]
    return Answer(events=[(event["type"], event) for event in numbered])
