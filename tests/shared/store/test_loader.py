"""Scripts as they are prepared for a server."""

import hashlib
from pathlib import Path

import pytest

from bursar.store.scripts import loader
from bursar.store.scripts.loader import LUA, Script

SCRIPTS = sorted(path.stem for path in LUA.glob("*.lua"))


def test_the_names_of_keys_come_from_the_header() -> None:
    assert Script("budget_reserve").keys == (
        "session", "effects", "hold", "timers", "turn", "account+",
    )  # fmt: skip
    assert Script("inbox_put").keys[-1] == "account"
    assert len(Script("inbox_put").keys) == 26


@pytest.mark.parametrize("name", SCRIPTS)
def test_includes_are_pulled_in_once_and_none_is_left(name: str) -> None:
    body = Script(name).body
    assert "-- include:" not in body
    for definition in ("local function take()", "local function emit(", "local function extend("):
        assert body.count(definition) <= 1


def test_flags_become_the_first_line_on_real_servers_only() -> None:
    script = Script("budget_end")
    assert script.text(shebang=True).startswith("#!lua flags=allow-oom\n--")
    assert script.text(shebang=False).startswith("-- Ends a hold")
    assert Script("budget_reserve").text(shebang=True).startswith("#!lua\n--")


@pytest.mark.parametrize("shebang", [True, False])
def test_the_sha_is_that_of_the_text(shebang: bool) -> None:
    script = Script("lease_claim")
    digest = hashlib.sha1(script.text(shebang=shebang).encode()).hexdigest()  # noqa: S324
    assert script.sha(shebang=shebang) == digest


def test_only_what_frees_or_settles_may_run_out_of_memory() -> None:
    allowed = {name for name in SCRIPTS if "allow-oom" in Script(name).shebang}
    assert allowed == {
        "approval_close", "approval_expire", "audit_trim", "barrier", "budget_end",
        "capability_forget", "context_compact", "lease_release", "lease_renew", "step_commit",
        "timer_defer", "turn_cancel", "turn_finish", "webhook_remove", "workspace_kill",
    }  # fmt: skip


def test_a_part_that_two_parts_include_is_there_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "a.lua").write_text("-- include: c\nlocal a = c\n")
    (tmp_path / "lib" / "b.lua").write_text("-- include: c\nlocal b = c\n")
    (tmp_path / "lib" / "c.lua").write_text("local c = 1\n")
    header = "-- KEYS: one\n--       two three\n-- ARGV: (none)\n"
    (tmp_path / "main.lua").write_text(f"{header}-- include: a\n-- include: b\nreturn a + b\n")
    monkeypatch.setattr(loader, "LUA", tmp_path)
    script = Script("main")
    assert script.keys == ("one", "two", "three")
    assert script.body == f"{header}local c = 1\nlocal a = c\nlocal b = c\nreturn a + b\n"
