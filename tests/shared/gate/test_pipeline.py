import shlex
from dataclasses import replace

from bursar.gate.allowances import Allowance
from bursar.gate.chain import ChainLink, under
from bursar.gate.patterns import Action
from bursar.gate.pipeline import (
    STAGES,
    Gate,
    GateRequest,
    Verdict,
    policy_block,
    refusal,
    remedy_for,
    unanswered,
)
from bursar.gate.policies import layers_from
from bursar.gate.policy import Policy
from bursar.gate.snapshot import Snapshot

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
    rule = "allow write_report"
    assert verdict == Verdict("allow", "policy_allow", "policy", rule, rule)


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


async def test_a_call_that_nobody_answered_says_how_it_could_need_nobody() -> None:
    request = replace(REQUEST, action="file+write://a*b c")
    remedy = remedy_for(request, await Gate().decide(request))
    text = unanswered(request.tool, "default", remedy, "nobody answered in time")
    assert "nobody answered in time" in text
    command = text.rpartition("an approver runs: ")[2]
    *words, pattern, option, workspace = shlex.split(command)
    assert words == ["bursar", "allowances", "add"]
    assert (option, workspace) == ("-w", "ws")
    allowance = Allowance(id="alw_1", pattern=pattern, scope="workspace")
    permitted = replace(request, granted=Snapshot(allowances=(allowance,)))
    assert (await Gate().decide(permitted)).decision == "allow"


async def test_nothing_is_promised_where_nothing_helps() -> None:
    for request in (replace(REQUEST, risk="critical"), replace(REQUEST, action="exec://a; b")):
        assert "allowances add" not in remedy_for(request, await Gate().decide(request))


async def test_an_allowance_answers_what_the_policy_asks_but_not_what_a_person_must() -> None:
    granted = Snapshot(allowances=(Allowance(id="a", pattern="write_*", scope="workspace"),))
    request = replace(REQUEST, granted=granted, policy=Policy(ask=["write_report"]))
    verdict = await Gate().decide(request)
    assert (verdict.decision, verdict.proof, verdict.use.id) == ("allow", "allowance", "a")
    assert (await Gate().decide(replace(request, risk="critical"))).decision == "ask"
    assert (await Gate().decide(replace(request, suspect="it changed"))).decision == "ask"
    blocked = replace(request, policy=Policy(blocked=["write_report"]))
    assert (await Gate().decide(blocked)).decision == "deny"


async def test_the_refusal_of_a_block_names_the_rule() -> None:
    request = replace(REQUEST, policy=Policy(blocked=["write_*"]))
    assert refusal(request, await Gate().decide(request)) == (
        "`write_report` was refused: blocked write_*. Do not repeat this call. "
        "An operator can change that rule."
    )


async def test_a_refusal_promises_no_rule_to_change_where_there_is_none() -> None:
    request = replace(REQUEST, action="file://write//srv/../etc/passwd")
    said = refusal(request, await Gate().decide(request))
    assert said.endswith("Do not repeat this call.")


async def test_whose_rule_it_is_stands_in_the_refusal_of_a_sub_agents_call() -> None:
    link = ChainLink("lead", Policy(blocked=["write_*"]).to_dict())
    rules = under(layers_from({}, "reader", Policy()), [link], {})
    request = replace(REQUEST, policy=rules)
    said = refusal(request, await Gate().decide(request))
    assert "code of agent lead" in said
    assert "reader" not in said
