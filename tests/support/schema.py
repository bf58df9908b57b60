"""`docs/redis-schema.md`, read by a program, and what a live Redis holds that it does not name."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from bursar.store.codec import text
from bursar.store.store import Store

__all__ = ["DOCUMENT", "KeyDoc", "Schema", "parse", "undocumented"]

DOCUMENT = Path(__file__).parents[2] / "docs" / "redis-schema.md"

_HEADING = re.compile(r"^### `(?P<pattern>[^`]+)`$")
_TYPE = re.compile(r"^Type: (?P<type>\w+)\. Lifetime: (?P<lifetime>[^.]+)\.")
_ROW = re.compile(r"^\| `(?P<name>[^`]+)` \| (?P<second>.*?) \|")
_COMMON = re.compile(r"^The data of every event has (?P<names>(?:`\w+`,? ?)+)", re.MULTILINE)
_NAME = re.compile(r"`([^`]+)`")
_STATES = "idle|queued|running|waiting|ended|succeeded|failed|cancelled|quarantined"
_PLACEHOLDERS = {
    "NN": r"\d{2,3}",
    "ws": r"[a-z0-9][a-z0-9_-]{0,47}",
    "sid": r"[A-Za-z0-9][A-Za-z0-9_~-]{0,63}",
    "root": r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}",
    "join": r"[^:]+",
    "place": r"\d+",
    "slot": r"\d+",
    "tid": r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}",
    "user": r"[A-Za-z0-9._@+-]+",
    "agent": r"[A-Za-z0-9_-]+",
    "worker": r"[A-Za-z0-9._@-]+",
    "state": _STATES,
    "account": r"ws|user:[A-Za-z0-9._@+-]+|s:[A-Za-z0-9_~-]+",
    "scope": r"[^:]+",
    "path": r"[^:]+",
    "hold": r"[^: ]+",
    "seq": r"\d+",
    "key": r".+",
    "call": r".+",
    "approval": r"[A-Za-z0-9_-]+",
    "allowance": r"[A-Za-z0-9_-]+",
    "fate": r"approved|denied|deferred|expired|cancelled|void|granted",
    "kid": r"sk_[0-9a-f]{24}",
    "capability": r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}",
    "server": r"[A-Za-z0-9_-]+",
    "tool": r"[A-Za-z0-9_-]+",
    "webhook": r"[A-Za-z0-9_-]+",
    "draft": r"drf_[A-Za-z0-9]+",
    "message": r"msg_[A-Za-z0-9_]+",
}


@dataclass
class KeyDoc:
    """One key as documented. A hash or stream without named fields may have none."""

    pattern: str
    type: str = ""
    lifetime: str = ""
    fields: list[str] = field(default_factory=list)

    def names_key(self, key: str) -> bool:
        return _as_regex(self.pattern).fullmatch(key) is not None

    def names_field(self, name: str) -> bool:
        return any(_as_regex(known).fullmatch(name) for known in self.fields)


@dataclass
class Schema:
    """The whole document: keys, and for each event the fields of its data."""

    keys: list[KeyDoc]
    events: dict[str, set[str]]


def parse(document: str) -> Schema:
    """Read the headings with a key pattern, their tables, and the table of events."""
    keys: list[KeyDoc] = []
    events: dict[str, set[str]] = {}
    head, _, tail = document.partition("\n## Events\n")
    for line in head.splitlines():
        if match := _HEADING.match(line):
            keys.append(KeyDoc(match["pattern"]))
        elif match := _TYPE.match(line):
            keys[-1].type, keys[-1].lifetime = match["type"], match["lifetime"]
        elif keys and (match := _ROW.match(line)):
            keys[-1].fields.append(match["name"])
    common = _COMMON.search(tail)
    shared = set(_NAME.findall(common["names"])) if common else set()
    if match := re.search(r"`seq` and `at_ms`", tail):
        shared |= {"seq", "at_ms"}
    for line in tail.splitlines():
        if match := _ROW.match(line):
            events[match["name"]] = shared | set(_NAME.findall(match["second"]))
    return Schema(keys, events)


async def undocumented(store: Store, schema: Schema | None = None) -> list[str]:
    """Keys, types, fields and events of a live Redis that the document does not name."""
    schema = schema or parse(DOCUMENT.read_text())
    found: list[str] = []
    for raw in sorted(await store.redis.call("KEYS", "*")):
        key = text(raw)
        doc = next((doc for doc in schema.keys if doc.names_key(key)), None)
        if doc is None:
            found.append(f"key {key}")
            continue
        kind = text(await store.redis.call("TYPE", raw))
        if kind == "none":  # its time was over just now
            continue
        if kind != doc.type:
            found.append(f"{key} is a {kind}, documented as {doc.type}")
            continue
        if await store.redis.call("PTTL", raw) == -1 and not _may_stay(doc.lifetime):
            found.append(f"{key} has no TTL, documented lifetime: {doc.lifetime}")
        found += await _unknown_fields(store, raw, doc)
        if doc.pattern.endswith((":events", ":feed", ":tree")):
            found += await _unknown_events(store, raw, schema)
    return found


def _may_stay(lifetime: str) -> bool:
    """Whether a key of this lifetime is ever without a TTL."""
    return lifetime.startswith(("permanent", "as the session", "while open", "1 h after"))


async def _unknown_fields(store: Store, key: bytes, doc: KeyDoc) -> list[str]:
    names: set[str] = set()
    if doc.type == "hash":
        names = {text(name) for name in await store.redis.call("HKEYS", key)}
    elif doc.type == "stream":
        entries = await store.redis.call("XRANGE", key, "-", "+")
        names = {text(name) for _, fields in entries for name in fields}
    return [f"field {name} of {text(key)}" for name in sorted(names) if not doc.names_field(name)]


async def _unknown_events(store: Store, key: bytes, schema: Schema) -> list[str]:
    found: set[str] = set()
    for _, fields in await store.redis.call("XRANGE", key, "-", "+"):
        kind = text(fields[b"t"])
        known = schema.events.get(kind)
        if known is None:
            found.add(f"event {kind}")
            continue
        data: dict[str, Any] = msgspec.json.decode(fields[b"d"])
        found |= {f"field {name} of event {kind}" for name in data if name not in known}
    return sorted(found)


def _as_regex(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"<(\w+)>", pattern)
    regex = ""
    for index, part in enumerate(parts):
        regex += f"(?:{_PLACEHOLDERS[part]})" if index % 2 else re.escape(part)
    return re.compile(regex, re.DOTALL)
