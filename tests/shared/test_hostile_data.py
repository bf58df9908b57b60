"""What stands in Redis is data: reading it may fail, but runs nothing and raises nothing odd."""

import json
import logging
import pickle
import random
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bursar.audit.listing import AuditEntry
from bursar.gate.allowances import Allowance, decode_allowances
from bursar.gate.capabilities import decode_stored
from bursar.gate.policies import StoredPolicy, layers_from
from bursar.gate.policy import Policy
from bursar.messages import AssistantMessage, ToolCall, ToolMessage, UserMessage
from bursar.queue import Bell, decode_job, encode_job
from bursar.store.codec import decode_json, decode_message, encode_json, encode_message
from support.capabilities import Ring
from support.seeds import SEED

ROUNDS = 20_000

RING = Ring()


def _layers(data: bytes) -> Any:
    return layers_from({b"ws": data}, "a", Policy())


def _allowances(data: bytes) -> Any:
    return decode_allowances({b"alw_1": data, b"alw_1:left": data[:3]})


def _capabilities(data: bytes) -> Any:
    return decode_stored({b"cap_1": data}, workspace="acme", keys=RING)


READERS: dict[str, Callable[[bytes], Any]] = {
    "message": decode_message,
    "job": decode_job,
    "bell": lambda data: Bell.parse(data.decode(errors="replace")),
    "policy": lambda data: decode_json(data, StoredPolicy),
    "layers": _layers,
    "allowance": lambda data: decode_json(data, Allowance),
    "allowances": _allowances,
    "capabilities": _capabilities,
    "audit entry": lambda data: decode_json(data, AuditEntry),
}
EXPECTED = (msgspec.MsgspecError, ValueError, RecursionError)
NEVER_RAISE = {"bell", "capabilities"}
"""Of these one that is bad must harm no other."""


class Trap:
    """What a pickle can do: this one writes a file when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return Path.write_text, (self.marker, "run")


GOOD: list[bytes] = [
    encode_message(UserMessage("hi", turn="t", custom={"a": 1})),
    encode_message(AssistantMessage("x", tool_calls=(ToolCall("c", "n", "{}"),))),
    encode_message(ToolMessage("c", "n", "out")),
    encode_job({"f": "drive", "a": ["acme/s"], "k": {}}),
    b"wake:acme/ses1:7:3:trn_1:5",
    encode_json(StoredPolicy(1, 2, "key:k", allow=("send",))),
    encode_json(Allowance(id="alw_1", pattern="send", scope="workspace")),
    RING.mint().token.encode(),
    b'{"seq":1,"at_ms":2,"workspace":"acme","actor":"system","action":"x","decision":"done"}',
]
NAMES_OF_CODE = [
    b'{"py/object": "os.system", "py/reduce": [{"py/function": "os.system"}, ["id"]]}',
    b'{"__class__": "subprocess.Popen", "args": ["id"]}',
    b'{"lc": 1, "type": "constructor", "id": ["os", "system"], "kwargs": {"command": "id"}}',
    b"!!python/object/apply:os.system ['id']",
    b"cos\nsystem\n(S'id'\ntR.",
    b'{"$ref": "file:///etc/passwd"}',
]


def mutated(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 8))):
        at = chance.randrange(len(changed) + 1)
        match chance.randrange(4):
            case 0 if changed:
                changed[at % len(changed)] ^= 1 << chance.randrange(8)
            case 1:
                changed[at:at] = chance.randbytes(chance.randrange(1, 9))
            case 2:
                del changed[at : at + chance.randrange(1, 9)]
            case _:
                changed[at:at] = chance.choice(GOOD)[:20]
    return bytes(changed)


def corpus(chance: random.Random, marker: Path) -> list[bytes]:
    traps = [pickle.dumps(Trap(marker), protocol) for protocol in range(6)]
    nested = [b"[" * 100_000, b'{"a":' * 50_000, b"\x91" * 100_000, b"\xdf\xff\xff\xff\xff", b""]
    made = [*traps, *nested, *NAMES_OF_CODE, *GOOD]
    while len(made) < ROUNDS:
        made.append(
            mutated(chance.choice(GOOD), chance)
            if chance.random() < 0.8
            else chance.randbytes(chance.randrange(64))
        )
    return made


@pytest.mark.parametrize("seed", [pytest.param(SEED, id=f"seed-{SEED}")])
def test_nothing_that_is_read_runs_code_or_crashes(
    seed: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    marker = tmp_path / "marker"
    for name, good in zip(
        ("message",) * 3 + ("job", "bell", "policy", "allowance"), GOOD, strict=False
    ):
        READERS[name](good)
    loaded, refused = set(sys.modules), Counter[str]()
    for data in corpus(random.Random(seed), marker):
        for name, read in READERS.items():
            try:
                read(data)
            except EXPECTED:
                assert name not in NEVER_RAISE, data[:200]
                refused[name] += 1
    new = set(sys.modules) - loaded
    # JSON may come in UTF-16, and Python loads that then.
    assert [name for name in new if not name.startswith("encodings.")] == []
    assert not marker.exists()
    assert (
        min(refused[name] for name in READERS if name not in NEVER_RAISE | {"allowances", "layers"})
        > 1000
    )


def test_what_cannot_be_read_allows_nothing() -> None:
    assert decode_allowances({b"alw_1": b"{", b"alw_2": b'{"id":"a","pattern":"**"}'}) == []
    assert decode_stored({b"cap_1": b"\xff"}, workspace="acme", keys=RING) == []
    closed = layers_from({b"ws": json.dumps({"allow": ["**"]}).encode()}, "a", Policy(allow=["x"]))
    assert closed.decide("tool://local/x", "pure").verdict == "deny"


def test_a_pickle_would_have_run(tmp_path: Path) -> None:
    """The trap is one: what is refused above does something where it is loaded."""
    marker = tmp_path / "marker"
    pickle.loads(pickle.dumps(Trap(marker)))  # noqa: S301
    assert marker.read_text() == "run"
