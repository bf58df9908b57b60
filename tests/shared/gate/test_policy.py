import pytest

from bursar.errors import InvalidInput
from bursar.gate.policy import Effect, Policy

WRITE = "tool://local/write_report"


@pytest.mark.parametrize(
    ("effect", "verdict"), [("pure", "allow"), ("idempotent", "ask"), ("at_most_once", "ask")]
)
def test_without_rules_only_pure_tools_are_allowed(effect: Effect, verdict: str) -> None:
    assert Policy().decide(WRITE, effect).verdict == verdict


def test_blocked_wins_over_ask_and_ask_over_allow() -> None:
    everything = ["tool://**"]
    assert Policy(blocked=everything, ask=everything, allow=everything).decide(
        WRITE, "pure"
    ).verdict == ("deny")
    assert Policy(ask=everything, allow=everything).decide(WRITE, "pure").verdict == "ask"
    assert Policy(allow=everything).decide(WRITE, "at_most_once").verdict == "allow"


def test_a_decision_names_its_rule() -> None:
    assert Policy(allow=["write_*"]).decide(WRITE, "idempotent").rule == "allow write_*"


def test_a_parent_step_in_a_path_is_blocked_whatever_is_allowed() -> None:
    policy = Policy(allow=["file://**"])
    assert policy.decide("file://a/../b", "pure").verdict == "deny"
    assert policy.decide("file://a/.../b", "idempotent").verdict == "allow"


def test_sudo_is_blocked_and_sum_is_not() -> None:
    policy = Policy(blocked=["exec://sudo **"], allow=["exec://**"])
    assert policy.decide("exec://sudo ls", "at_most_once").verdict == "deny"
    assert policy.decide("exec://sum a.txt", "at_most_once").verdict == "allow"


def test_detours_do_not_get_around_a_blocked_tree() -> None:
    policy = Policy(blocked=["file://secret/**"], allow=["file://**"])
    for path in ("secret/a", "./secret/a", "secret//a", "secret/./a"):
        assert policy.decide(f"file://{path}", "pure").verdict == "deny", path


def test_shell_syntax_is_never_allowed_by_a_rule() -> None:
    policy = Policy(allow=["exec://**"])
    assert policy.decide("exec://ls; rm x", "at_most_once").verdict == "ask"


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"allow": ["ok", "not ok"]}, "policy.allow[1]"),
        ({"ask": "write_report"}, "policy.ask"),
        ({"blocked": [3]}, "policy.blocked[0]"),
        ({"deny": []}, "policy.deny"),
        ([], "policy"),
    ],
)
def test_a_wrong_policy_names_the_place(data: object, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Policy.from_dict(data)  # type: ignore[arg-type]
    assert caught.value.field == field


def test_a_policy_survives_the_way_through_a_dict() -> None:
    policy = Policy(blocked=["exec://sudo **"], allow=["write_report"])
    assert Policy.from_dict(policy.to_dict()) == policy
