"""What actions, policies and patterns must do, statement by statement."""

from dataclasses import replace

import pytest

from bursar.errors import InvalidInput
from bursar.gate.hosts import net_action
from bursar.gate.patterns import Action, Pattern, escape
from bursar.gate.pipeline import Gate, GateRequest
from bursar.gate.policy import Policy

REQUEST = GateRequest(
    workspace="w", session="s", agent="a", tool="t", action="tool://local/t", effect="at_most_once"
)


def verdict(policy: Policy, action: str) -> str:
    return policy.decide(action, "at_most_once").verdict


# -- actions and policies


KINDS = ["tool://srv/x", "file+read://x", "file+write://x", "file+delete://x", "exec://x y",
         "net://a.b:1", "spawn://x", "custom://jira/close"]  # fmt: skip


@pytest.mark.parametrize("text", KINDS)
def test_each_kind_of_action_has_patterns_of_its_own(text: str) -> None:
    action = Action.parse(text)
    assert str(action) == text
    matching = [pattern for pattern in KINDS if Pattern(pattern).permits(action)]
    assert matching == [text]
    everything = [f"{kind.partition('://')[0]}://**" for kind in KINDS]
    assert [p for p in everything if Pattern(p).permits(action)] == [
        f"{text.partition(':')[0]}://**"
    ]


async def test_blocked_wins_over_every_grant() -> None:
    request = replace(REQUEST, policy=Policy(blocked=["t"], ask=["t"], allow=["t"]))
    assert (await Gate().decide(request)).stage == "policy_block"


def test_a_policy_in_force_is_the_configured_one() -> None:
    """What could not take effect as it is written is refused, and nothing is dropped."""
    lists = {"blocked": ["a"], "ask": ["b"], "allow": ["c"]}
    assert Policy.from_dict(lists).to_dict() == lists
    for wrong in ("exec://python **", "exec://sudo **", "exec://A=1 ls **"):
        with pytest.raises(InvalidInput) as caught:
            Policy(allow=["c", wrong])
        assert caught.value.field == "policy.allow[1]"
        Policy(blocked=[wrong], ask=[wrong])
    mixed = Policy(blocked=["file://se\u0301crets/**", "net://EXAMPLE.org.:443"])
    assert verdict(mixed, "file+read://s\u00e9crets/a") == "deny"
    assert verdict(mixed, "net://example.org:443") == "deny"


@pytest.mark.parametrize("path", ["a/../b", "..", "../x", "a/.."])
def test_two_dots_in_a_path_are_blocked(path: str) -> None:
    policy = Policy(allow=["file+read://**"])
    assert policy.decide(f"file+read://{path}", "pure").verdict == "deny"


@pytest.mark.parametrize("path", ["...", "a..b", "a/...", "..a", "a/b.."])
def test_other_dots_in_a_path_are_not(path: str) -> None:
    assert verdict(Policy(allow=["file+read://**"]), f"file+read://{path}") == "allow"


@pytest.mark.parametrize("path", ["/etc/x", "//etc//x", "/./etc/./x", "/etc/x/", "/etc//./x/."])
def test_doubled_slashes_and_dots_do_not_get_around_a_denied_tree(path: str) -> None:
    policy = Policy(blocked=["file:///etc/**"], allow=["file+read://**"])
    assert verdict(policy, f"file+read://{path}") == "deny"


@pytest.mark.parametrize(
    "url",
    ["https://evil.example", "HTTPS://EVIL.Example./?https://good.example", "https://ann:x@evil.example",
     "https://good.example@evil.example", "https://\uff45vil.example", "https://evil.example:443/#@good"],
)  # fmt: skip
def test_hosts_are_compared_after_parsing_the_url(url: str) -> None:
    policy = Policy(blocked=["net://evil.example:443"], allow=["net://good.example:443"])
    assert verdict(policy, net_action(url)) == "deny"


@pytest.mark.parametrize(
    "place",
    ["10.0.0.5:80", "[::1]:80", "localhost:80", "redis:6379", "169.254.169.254:80",
     "metadata.google.internal:80", "0x7f.1:80", "[::ffff:10.0.0.5]:80"],
)  # fmt: skip
def test_private_and_link_local_targets_are_blocked_unless_listed(place: str) -> None:
    action = f"net://{place}"
    for allow in (
        [],
        ["net://**"],
        ["net://**:*"],
        [action.replace(":80", ":*")],
        ["net://a.b:80"],
    ):
        decision = Policy(allow=[p for p in allow if p != action]).decide(action, "pure")
        assert decision.verdict == "deny", allow
        assert "no policy names it" in decision.rule
    assert verdict(Policy(allow=[action]), action) == "allow"
    assert verdict(Policy(ask=[action]), action) == "ask"
    assert verdict(Policy(blocked=["net://**"], allow=[action]), action) == "deny"
    other = action.replace(":80", ":81").replace(":6379", ":6380")
    assert verdict(Policy(allow=[action]), other) == "deny"


def test_public_targets_follow_the_rules() -> None:
    assert (
        verdict(Policy(allow=["net://*.example.org:443"]), "net://api.example.org:443") == "allow"
    )
    assert verdict(Policy(), "net://example.org:443") == "ask"


async def test_critical_risk_is_asked_whatever_the_rule() -> None:
    for risk, expected in (("high", "allow"), ("critical", "ask")):
        request = replace(REQUEST, risk=risk, policy=Policy(allow=["t"]))  # type: ignore[arg-type]
        assert (await Gate().decide(request)).decision == expected


# -- patterns


@pytest.mark.parametrize(
    ("approved", "other"),
    [
        ("file+read://**/*", "file+read://a/b"),
        ("exec://ls *", "exec://ls x; rm -rf y"),
        ("exec://ls *", "exec://ls x"),
        ("exec://git status", "exec://git push --force"),
        ("exec://git status", "exec://git status --short"),
        ("tool://srv/get_*", "tool://srv/get_all"),
        ("custom://jira/*", "custom://jira/close"),
        ("file+write://a?", "file+write://ab"),
        ("file+read://a\\*", "file+read://a\\x"),
    ],
)
def test_what_a_person_approved_is_never_a_pattern(approved: str, other: str) -> None:
    pattern = Pattern(escape(approved))
    assert pattern.exact
    assert pattern.permits(Action.parse(approved))
    assert not pattern.permits(Action.parse(other))


def test_globs_take_the_whole_string_by_characters_and_case() -> None:
    assert Pattern("file+read://a?c").permits(Action.parse("file+read://a\U0001f600c"))
    for action in ("file+read://A", "file+read://xa", "file+read://ax", "file+read://a/x"):
        assert not Pattern("file+read://a").permits(Action.parse(action))
    assert not Pattern("file+read://*").permits(Action.parse("file+read://a/b"))
    assert not Pattern("file+read://a?b").permits(Action.parse("file+read://a/b"))
    assert Pattern("file+read://**").permits(Action.parse("file+read://a/b"))


def test_a_pattern_bound_to_a_folder_matches_nothing_in_another_or_in_none() -> None:
    for text in ("file+write://out/*", "exec://make"):
        pattern = Pattern(text, root="reports")
        action = Action.parse(text.replace("*", "a"))
        assert pattern.permits(action.within("reports"))
        assert pattern.covers(action.within("reports"))
        for root in (None, "", "report", "reports/x", "Reports"):
            assert not pattern.permits(action.within(root)), root
            assert not pattern.covers(action.within(root)), root
        assert Pattern(text).permits(action.within("other"))


@pytest.mark.parametrize(
    "hidden", ["\x00", "\x1b", "\u202e", "\u200b", "\u2060", "\ufeff", "\u2028", "\u00ad", "\ue000"]
)
def test_untrusted_text_in_patterns_hides_nothing(hidden: str) -> None:
    for text in (f"file://a{hidden}b", f"tool://srv/a{hidden}", f"exec://ls {hidden}"):
        with pytest.raises(InvalidInput, match="seen"):
            Pattern(text)


def test_names_and_resources_in_patterns_are_bounded() -> None:
    for kind in ("tool://srv/", "spawn://", "custom://a/", "net://a.b:443/"):
        with pytest.raises(InvalidInput):
            Pattern(kind + "a" * 257)
    for kind in ("file://", "exec://"):
        Pattern(kind + "a" * 1000)
        with pytest.raises(InvalidInput):
            Pattern(kind + "a" * 1024)


@pytest.mark.parametrize(
    "text",
    ["custom://x", "tool://x", "exec:// ", "net://x", "net://a.b:***", "model://x", "spawn://"],
)
def test_what_matches_no_action_is_no_pattern(text: str) -> None:
    with pytest.raises(InvalidInput):
        Pattern(text)
