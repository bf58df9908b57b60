"""From the scripts' words to errors: every word means something to somebody."""

import re

import pytest

from bursar.errors import BudgetRefused, BursarError, Fenced, InvalidInput, LimitReached, NotFound
from bursar.store import statuses
from bursar.store.scripts.loader import LUA, Script
from bursar.store.statuses import raise_for, raise_refused
from support.sources import PACKAGES

HEADER_WORD = re.compile(r"\{'(\w+)'")


def words_of_headers() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for path in LUA.glob("*.lua"):
        source = Script(path.stem).source
        found[path.stem] = set(HEADER_WORD.findall(source[: source.index("\nlocal ")]))
    return found


def test_every_word_of_a_header_is_known_to_its_typed_function_or_to_the_errors() -> None:
    modules = [path.read_text() for path in (PACKAGES["bursar"] / "store").rglob("*.py")]
    modules.append((PACKAGES["bursar"] / "leases.py").read_text())
    known = set(re.findall(r"[\"'`]{1,2}(\w+)[\"'`]{1,2}", "\n".join(modules)))
    unknown = {
        f"{name}: {word}" for name, words in words_of_headers().items() for word in words - known
    }
    # What only says that nothing was to be done: the caller looks for `ring` or `ended` alone.
    assert unknown <= {
        "lease_reap: kept", "ready_ring: kept", "session_unblock: kept", "session_unblock: still",
        "timer_fire: kept", "workspace_open: updated",
    }  # fmt: skip


def test_a_word_of_a_later_version_is_an_internal_error() -> None:
    with pytest.raises(BursarError, match="does not know") as caught:
        raise_for(["unheard_of"])
    assert caught.value.code == "internal"


@pytest.mark.parametrize(
    ("reply", "kind", "code"),
    [
        (["fenced"], Fenced, "fenced"),
        (["gone"], NotFound, "session_not_found"),
        (["no_account", b"s:x"], NotFound, "account_not_found"),
        (["inbox_full", b"5"], LimitReached, "inbox_full"),
        (["workspace_full", b"5"], LimitReached, "workspace_full"),
        (["too_deep", b"3"], LimitReached, "too_deep"),
        (["bad_amount"], InvalidInput, "bad_amount"),
        (["no_parent"], InvalidInput, "parent_not_found"),
        (["parent_ended"], InvalidInput, "parent_ended"),
        (["per_action_above_limit"], InvalidInput, "invalid_input"),
    ],
)
def test_a_word_becomes_an_error_with_a_stable_code(
    reply: list[object], kind: type[BursarError], code: str
) -> None:
    with pytest.raises(kind) as caught:
        raise_for(reply)
    assert caught.value.code == code
    if len(reply) > 1:
        detail = reply[1]
        assert isinstance(detail, bytes)
        assert detail.decode() in str(caught.value)


def test_codes_of_different_words_differ() -> None:
    codes = [code for _, code, _ in statuses._PLAIN.values()]
    assert len(codes) == len(set(codes))


def test_a_refusal_carries_all_figures() -> None:
    reply = ["refused", b"contended", b"ws", b"100", b"30", b"60", b"20", b"10", b"microusd"]
    with pytest.raises(BudgetRefused, match="account ws refused 20") as caught:
        raise_refused(reply)
    assert caught.value.details == {
        "account": "ws", "kind": "contended", "unit": "microusd",
        "limit_microusd": 100, "posted_microusd": 30,
        "pending_microusd": 60, "requested_microusd": 20, "available_microusd": 10,
    }  # fmt: skip
