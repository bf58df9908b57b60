"""How values are written to Redis and read back: the one place for it.

Messages are MessagePack (compact, typed); events are JSON, because the gateway forwards their bytes
to clients untouched. Nothing here can name a class, so data from Redis never runs code.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from bursar.messages import Message

__all__ = [
    "decode_json",
    "decode_message",
    "encode_json",
    "encode_message",
    "hash_fields",
    "pairs",
    "scored",
    "text",
    "text_list",
    "unlimited_or",
]

T = TypeVar("T")

_message_encoder = msgspec.msgpack.Encoder()
_message_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)
_json_encoder = msgspec.json.Encoder(decimal_format="string")


def encode_message(message: Message) -> bytes:
    return _message_encoder.encode(message)


def decode_message(data: bytes) -> Message:
    return _message_decoder.decode(data)


def encode_json(value: Any) -> bytes:
    return _json_encoder.encode(value)


def decode_json(data: bytes | str, kind: type[T]) -> T:
    return msgspec.json.decode(data, type=kind)


def text(value: Any) -> str:
    """A reply as text. Redis answers bytes; absent fields are an empty string."""
    if value is None:
        return ""
    return value.decode() if isinstance(value, bytes) else str(value)


def text_list(values: Iterable[Any]) -> list[str]:
    return [text(value) for value in values]


def scored(reply: Sequence[Any]) -> list[tuple[str, int]]:
    """Members with whole scores, of a reply that has them in pairs or one after the other."""
    if reply and isinstance(reply[0], tuple):
        return [(text(member), int(score)) for member, score in reply]
    return [(text(reply[i]), int(float(text(reply[i + 1])))) for i in range(0, len(reply), 2)]


def unlimited_or(limit: int | None) -> str:
    """A limit as accounts hold it."""
    return "unlimited" if limit is None else str(limit)


def hash_fields(flat: Iterable[Any]) -> dict[str, bytes]:
    """Turn the flat field, value, … reply of HGETALL inside a script into a dict."""
    items = list(flat)
    return {text(items[i]): items[i + 1] for i in range(0, len(items), 2)}


def pairs(fields: Mapping[str, Any]) -> list[Any]:
    """A list argument of scripts: its number of pairs, then field, value, …"""
    flat: list[Any] = [len(fields)]
    for field, value in fields.items():
        flat.append(field)
        flat.append(int(value) if isinstance(value, bool) else value)
    return flat
