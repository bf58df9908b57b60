from dataclasses import replace

from bursar.gate.patterns import Action
from bursar.gate.pipeline import (
    STAGES,
    Gate,
    GateRequest,
    Verdict,
    policy_block,
    refusal,
)
from bursar.gate.policy import Policy

REQUEST = GateRequest(
    workspace="ws",
    session="s",
    agent="reader",
    tool="write_report",
    action="tool://local/write_report",
    effect="idempotent",
)
ALLOWED = replace(REQUEST, policy=Policy(allow=["write_report"]))


async def test_an_allow_rule_lets_a_call_through_and_says_so() -> None:
    verdict = await Gate().decide(ALLOWED)
    assert verdict == Verdict("allow", "policy_allow", "policy", "allow write_report")


async def test_a_block_decides_before_any_later_stage_is_asked() -> None:
    async def never(request: GateRequest, action: Action) -> Verdict | None:
        raise AssertionError("must not be asked")

    request = replace(REQUEST, policy=Policy(blocked=["write_report"]))
    verdict = await Gate([policy_block, never]).decide(request)
    assert (verdict.decision, verdict.stage) == ("deny", "policy_block")


async def test_critical_risk_asks_whatever_the_policy_allows() -> None:
    verdict = await Gate().decide(replace(ALLOWED, risk="critical"))
    assert (verdict.decision, verdict.reason) == ("ask", "critical risk always asks")


async def test_a_later_stage_answers_an_ask() -> None:
    async def human(request: GateRequest, action: Action) -> Verdict | None:
        return Verdict("allow", "human", "approval", "approved by ann")

    gate = Gate([*STAGES, human])
    assert (await gate.decide(REQUEST)).decision == "allow"
    assert (await gate.decide(replace(REQUEST, risk="critical"))).stage == "human"


async def test_without_stages_nothing_is_allowed() -> None:
    assert (await Gate([]).decide(ALLOWED)).decision == "ask"


async def test_an_action_that_is_none_is_refused() -> None:
    verdict = await Gate().decide(replace(ALLOWED, action="write_report"))
    assert (verdict.decision, verdict.stage) == ("deny", "action")


async def test_the_refusal_names_the_setting_that_permits_the_call() -> None:
    text = refusal(REQUEST, await Gate().decide(REQUEST))
    assert 'Agent(policy=Policy(allow=["write_report"]))' in text
    assert "`reader`" in text


async def test_following_the_refusal_permits_the_call() -> None:
    request = replace(REQUEST, action="file://a*b")
    text = refusal(request, await Gate().decide(request))
    assert r'allow=["file://a\\*b"]' in text
    permitted = replace(request, policy=Policy(allow=["file://a\\*b"]))
    assert (await Gate().decide(permitted)).decision == "allow"


async def test_the_refusal_of_an_ask_rule_says_to_take_it_out() -> None:
    request = replace(REQUEST, policy=Policy(ask=["write_*"]))
    assert 'takes "write_*" out of the `ask` list' in refusal(request, await Gate().decide(request))


async def test_the_refusal_promises_no_setting_where_none_helps() -> None:
    for request in (replace(REQUEST, risk="critical"), replace(REQUEST, action="exec://a; b")):
        text = refusal(request, await Gate().decide(request))
        assert "allow=[" not in text


async def test_the_refusal_of_a_block_names_the_rule() -> None:
    request = replace(REQUEST, policy=Policy(blocked=["write_*"]))
    assert "blocked write_*" in refusal(request, await Gate().decide(request))
