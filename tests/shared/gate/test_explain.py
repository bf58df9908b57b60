"""What is said about a decision before anyone makes it."""

import pytest

from bursar.errors import InvalidInput
from bursar.gate.explain import Explanation, explain, read_action
from bursar.gate.patterns import Action
from bursar.gate.policies import Layer, Layered
from bursar.gate.policy import Effect, Policy, Risk


def asked(
    action: str, *layers: Policy, effect: Effect = "at_most_once", risk: Risk = "low"
) -> Explanation:
    names = ["workspace policy", "code of agent a"]
    found = [Layer(n, p, 3 - 3 * i) for i, (n, p) in enumerate(zip(names, layers, strict=False))]
    return explain(Layered(tuple(found)), read_action(action), agent="a", effect=effect, risk=risk)


def test_the_deciding_rule_is_named_among_all_that_speak_of_the_action() -> None:
    found = asked(
        "exec://git push",
        Policy(ask=["exec://git push **", "exec://git push"]),
        Policy(ask=["exec://git *"], allow=["exec://git push"]),
    )
    assert (found.verdict, found.reason) == (
        "ask", "ask exec://git push (workspace policy, version 3)",
    )  # fmt: skip
    assert [(r.layer, r.version, r.listed, r.pattern, r.decides) for r in found.rules] == [
        ("workspace policy", 3, "ask", "exec://git push", True),
        ("code of agent a", 0, "ask", "exec://git *", False),
        ("code of agent a", 0, "allow", "exec://git push", False),
    ]
    assert "taken out of `ask` in the workspace policy, version 3" in found.needed


def test_a_default_is_said_to_be_one_and_what_permits_it() -> None:
    found = asked("write_report", Policy(), Policy())
    assert (found.verdict, found.reason) == ("ask", "default for tools with effects")
    assert "`tool://local/write_report` in `allow`" in found.needed
    assert asked("write_report", Policy(), effect="pure").verdict == "allow"
    assert found.rules == []


def test_what_it_says_would_help_does() -> None:
    for action in ("file+write://a*b", "exec://ls x", "net://10.0.0.5:80", "custom://a/b?"):
        found = asked(action, Policy())
        pattern = found.needed.split("`")[1]
        assert asked(action, Policy(allow=[pattern])).verdict == "allow", action


@pytest.mark.parametrize(
    ("action", "policy", "verdict", "needed"),
    [
        ("write_report", Policy(allow=["write_report"]), "allow", "nothing"),
        ("write_report", Policy(blocked=["write_*"]), "deny", "`write_*` taken out of `blocked`"),
        ("net://10.0.0.5:80", Policy(allow=["net://**"]), "deny", "`net://10.0.0.5:80` in `allow`"),
        ("file+read://a/../b", Policy(), "deny", "a path without '..'"),
        ("exec://ls; x", Policy(allow=["exec://**"]), "ask", "a person's answer to each call"),
    ],
)
def test_what_is_needed_fits_the_reason(
    action: str, policy: Policy, verdict: str, needed: str
) -> None:
    found = asked(action, policy)
    assert (found.verdict, needed in found.needed) == (verdict, True), found.needed


def test_critical_risk_is_asked_although_a_rule_allows_it() -> None:
    found = asked("write_report", Policy(allow=["write_report"]), risk="critical")
    assert (found.verdict, found.reason) == ("ask", "critical risk always asks")
    assert "a person's answer to each call" in found.needed
    assert asked("x", Policy(blocked=["x"]), risk="critical").verdict == "deny"


def test_an_action_may_be_a_tools_name() -> None:
    assert read_action("write_report") == Action("tool", "local/write_report")
    assert read_action("net://EXAMPLE.org:443") == Action("net", "example.org:443")
    for wrong in ("", "write_*", "a b", "http://x", "net://x", "exec:// "):
        with pytest.raises(InvalidInput) as caught:
            read_action(wrong)
        assert caught.value.field == "action"
