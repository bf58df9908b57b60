"""What a pre-tool hook says, among the other stages of the gate."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from bursar.gate.boundary import Boundary
from bursar.gate.pipeline import Gate, GateRequest
from bursar.gate.policy import Policy
from bursar.gate.requests import Verdict

REQUEST = GateRequest(
    workspace="w", session="s", agent="a", tool="t", action="tool://local/t", effect="at_most_once"
)
ALLOWED, ASKED, BLOCKED = Policy(allow=["t"]), Policy(ask=["t"]), Policy(blocked=["t"])


def said(decision: Literal["allow", "ask", "deny"]) -> Verdict:
    return Verdict(decision, "pre_hook", "hook", "hook h: why", "h")


async def decided(hook: Verdict | None, policy: Policy = ALLOWED, **more: object) -> Verdict:
    return await Gate().decide(replace(REQUEST, hook=hook, policy=policy, **more))  # type: ignore[arg-type]


async def test_a_hook_that_blocks_refuses_whatever_is_allowed() -> None:
    verdict = await decided(said("deny"))
    assert (verdict.decision, verdict.proof, verdict.proof_id) == ("deny", "hook", "h")


async def test_a_hook_that_asks_has_a_person_asked_whatever_the_policy_allows() -> None:
    verdict = await decided(said("ask"))
    assert (verdict.decision, verdict.reason) == ("ask", "hook h: why")
    approved = Verdict("allow", "human", "approval", "approved by ann")
    assert (await decided(said("ask"), approved=approved)).stage == "human"


@pytest.mark.parametrize("policy", [ASKED, Policy(), ALLOWED])
async def test_a_hook_that_allows_answers_the_policys_ask(policy: Policy) -> None:
    verdict = await decided(said("allow"), policy)
    assert (verdict.decision, verdict.proof) == ("allow", "hook")


async def test_a_hook_that_allows_never_overrides_a_block_of_the_policy() -> None:
    assert (await decided(said("allow"), BLOCKED)).stage == "policy_block"


async def test_a_hook_that_allows_never_overrides_the_boundary(tmp_path: Path) -> None:
    outside = {"path": "/etc/hosts"}
    for mode, decision in (("safe", "ask"), ("ci", "deny")):
        boundary = Boundary(base=tmp_path, folder="ws", mode=mode)  # type: ignore[arg-type]
        verdict = await decided(said("allow"), boundary=boundary, arguments=outside)
        assert (verdict.decision, verdict.stage) == (decision, "boundary")


async def test_a_hook_that_allows_does_not_stand_for_a_person() -> None:
    critical = await decided(said("allow"), risk="critical")
    assert (critical.decision, critical.stage) == ("ask", "risk")
    suspect = await decided(said("allow"), suspect="the tool changed")
    assert (suspect.decision, suspect.reason) == ("ask", "the tool changed")
