"""Stored policies over that of the code: the strictest that speaks of an action wins."""

import itertools
import logging
from pathlib import Path

import msgspec
import pytest

from bursar.gate.boundary import Boundary
from bursar.gate.pipeline import Gate, GateRequest
from bursar.gate.policies import Layer, Layered, StoredPolicy, layers_from, scope_of
from bursar.gate.policy import Policy, Rules

PUSH = "exec://git push"
CODE = Policy(allow=["exec://git push"])


def stored(version: int = 3, **lists: list[str]) -> bytes:
    policy = Policy.from_dict(lists)
    kept = tuple(policy.blocked), tuple(policy.ask), tuple(policy.allow)
    return msgspec.json.encode(StoredPolicy(version, 1, "key:k", *kept))


def rules(ws: bytes | None = None, agent: bytes | None = None, code: Policy = CODE) -> Layered:
    fields = {b"ws": ws, b"agent:support": agent, b"agent:other": stored(blocked=["x"])}
    return layers_from({k: v for k, v in fields.items() if v is not None}, "support", code)


def test_without_stored_policies_the_code_decides() -> None:
    decision = rules().decide(PUSH, "at_most_once")
    assert (decision.verdict, decision.layer) == ("allow", "code of agent support")
    assert decision.rule == "allow exec://git push (code of agent support)"
    assert rules().decide("exec://x", "at_most_once").rule == "default for tools with effects"


def test_a_decision_names_the_rule_the_policy_and_its_version() -> None:
    decision = rules(stored(ask=["net://**"])).decide("net://example.org:443", "pure")
    assert decision.verdict == "ask"
    assert decision.rule == "ask net://** (workspace policy, version 3)"
    decision = rules(agent=stored(7, blocked=["exec://**"])).decide(PUSH, "pure")
    assert decision.rule == "blocked exec://** (workspace policy for agent support, version 7)"
    assert (decision.listed, decision.pattern) == ("blocked", "exec://**")


STRICTNESS = {"blocked": "deny", "ask": "ask", "allow": "allow"}


@pytest.mark.parametrize(
    "lists", list(itertools.product(["blocked", "ask", "allow", None], repeat=3))
)
def test_the_strictest_of_all_layers_wins(lists: tuple[str | None, ...]) -> None:
    """Blocked in any → deny; else ask in any → ask; else allow in any → allow; else the default."""
    of = [{name: ["exec://git push"]} if name else {} for name in lists]
    layered = rules(stored(3, **of[0]), stored(3, **of[1]), Policy.from_dict(of[2]))
    strictest = next((v for k, v in STRICTNESS.items() if k in lists), "ask")
    assert layered.decide(PUSH, "at_most_once").verdict == strictest
    if lists == (None, None, None):
        assert layered.decide(PUSH, "pure").verdict == "allow"


def test_the_policy_of_another_agent_does_not_count() -> None:
    assert rules().decide("tool://local/x", "pure").verdict == "allow"
    assert scope_of("support") == "agent:support"
    assert len(layers_from({b"agent:other": stored()}, "support", CODE).layers) == 1


def test_without_an_agent_only_the_policy_for_all_counts() -> None:
    layered = layers_from({b"ws": stored(allow=[PUSH])}, "", Policy())
    assert [layer.label for layer in layered.layers] == ["workspace policy, version 3"]


def test_the_hash_is_that_of_all_that_is_in_force() -> None:
    base = rules(stored(ask=["net://**"]))
    assert base.hash == rules(stored(9, ask=["net://**"])).hash  # changed and changed back
    others = [
        rules(),
        rules(stored(ask=["net://*:443"])),
        rules(stored(blocked=["net://**"])),
        rules(agent=stored(ask=["net://**"])),
        rules(stored(ask=["net://**"]), stored()),
        rules(stored(ask=["net://**"]), code=Policy()),
    ]
    hashes = {base.hash, *(other.hash for other in others)}
    assert len(hashes) == 7
    assert Policy().hash != CODE.hash


@pytest.mark.parametrize(
    "broken", [b"", b"{}", b"not json", stored().replace(b"]", b',"ftp://x"]').replace(b"[,", b"[")]
)
def test_a_stored_policy_that_cannot_be_read_lets_nothing_through(
    broken: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        layered = rules(broken)
    assert "workspace policy cannot be read" in caplog.text
    for action in (
        "tool://local/x",
        "file+read://a",
        PUSH,
        "net://a.b:1",
        "spawn://a",
        "custom://a/b",
    ):
        decision = layered.decide(action, "pure")
        assert (decision.verdict, "unreadable" in decision.rule) == ("deny", True)


def test_the_same_content_is_decoded_once() -> None:
    first, second = rules(stored(allow=["x"])), rules(stored(allow=["x"]))
    assert first is second


def test_what_it_holds_can_be_shown() -> None:
    shown = rules(stored(ask=["net://**"])).to_dict()
    assert [layer["name"] for layer in shown["layers"]] == [
        "workspace policy", "code of agent support",
    ]  # fmt: skip
    assert shown["layers"][0]["ask"] == ["net://**"]
    assert shown["hash"] == rules(stored(ask=["net://**"])).hash


async def test_the_gate_and_the_boundary_take_layers_where_they_take_a_policy() -> None:
    layered: Rules = rules(stored(blocked=["file://secrets/**"]))
    boundary = Boundary(base=Path("/nowhere"), folder="a", policy=layered)
    assert not boundary.permits("read", "secrets/key")
    assert boundary.permits("read", "docs/a")
    request = GateRequest(
        workspace="w", session="s", agent="support", tool="t", effect="pure",
        action="file+read://secrets/key", policy=layered, boundary=boundary,
    )  # fmt: skip
    verdict = await Gate().decide(request)
    assert (verdict.decision, verdict.stage) == ("deny", "policy_block")
    assert verdict.reason == "blocked file://secrets/** (workspace policy, version 3)"


def test_a_layer_without_a_version_is_called_by_its_name() -> None:
    assert Layer("code of agent a", Policy()).label == "code of agent a"
