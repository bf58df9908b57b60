"""Every Lua script keeps to its header and to the rules that hold money and Cluster together."""

import ast
import re
from pathlib import Path

import pytest

from bursar.store.scripts.loader import LUA, Script
from support.sources import PACKAGES

SCRIPTS = sorted(path.stem for path in LUA.glob("*.lua"))
FILES = sorted(LUA.rglob("*.lua"))
every_script = pytest.mark.parametrize("name", SCRIPTS)
every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)

_HEADER_WORD = re.compile(r"\{'(\w+)'")
_CALL = re.compile(r"redis\.call\(\s*'[A-Z]+'\s*,\s*([^,)]+)")
_KEY_INDEX = re.compile(r"KEYS\[(\d+)\]")
BINDS_STATE = {
    "self": 4,
    "log": 0,
    "events": 4,
    "stats": 6,
    "state": 13,
    "open": 13,
    "approvals": 26,
}
"""Keys that these includes bind by number."""
BOUND_BY_CALLER = {"keys", "session", "events", "leases", "ready"}
ALLOWED_KEY_NAMES = re.compile(
    r"^[a-z_]+$|^KEYS\[\d+\]$|^[a-z]\.[a-z_]+$|^states(\[from\]|\[to\]|\[state\]|\[s\[2\]\])$|^KEYS\[i\]$"
)


def code(path: Path) -> str:
    """The file without comments."""
    return "\n".join(re.sub(r"--.*", "", line) for line in path.read_text().splitlines())


@every_script
def test_a_script_says_what_it_takes_and_answers(name: str) -> None:
    source = Script(name).source
    for part in ("-- KEYS: ", "-- ARGV: ", "-- Returns "):
        assert part in source, part
    assert Script(name).keys


@every_script
def test_a_script_uses_exactly_the_keys_of_its_header(name: str) -> None:
    """The highest KEYS index is the number of named keys; repeating ones come through keys_from."""
    script = Script(name)
    named = [key for key in script.keys if not re.search(r"[+*]\]?$", key)]
    includes = re.findall(r"^-- include: (\w+)", script.source, re.MULTILINE)
    source = code(LUA / f"{name}.lua")
    used = [int(index) for index in _KEY_INDEX.findall(source)]
    used += [BINDS_STATE[name] for name in includes if name in BINDS_STATE]
    # The session above: its hash, events, inbox, turn and joins, and the ready ones.
    used += [int(first) + 5 for first in re.findall(r"read_report\((\d+)\)", source)]
    loop = re.findall(r"for i = \d+, (\d+) do", source)
    used += [int(last) for last in loop]
    if any(key.startswith("[") for key in script.keys) and "read_commit" in script.body:
        first = re.search(r"read_commit\((\d+)\)", source)
        assert first is not None
        used.append(int(first[1]) + 2)
    assert max(used, default=0) == len(named), (used, named)


@every_file
def test_nothing_hides_errors_or_loses_digits(path: Path) -> None:
    body = code(path)
    for word in ("pcall", "cjson", "cmsgpack", "loadstring", "KEYS pattern"):
        assert word not in body, word
    for line in body.splitlines():
        if "tostring(" in line:
            assert "emit(" in line or "seq" in line or "index" in line or "max_depth" in line, line


BUILDS_KEYS = {"queue_claim"}
"""Not for Cluster: it takes from the queue's own database whatever job is due there."""


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.stem not in BUILDS_KEYS], ids=lambda path: path.stem
)
def test_no_key_is_put_together_in_lua(path: Path) -> None:
    for first in _CALL.findall(code(path)):
        assert ".." not in first, first
        assert ALLOWED_KEY_NAMES.match(first.strip()), first


@every_script
def test_time_is_read_at_most_once(name: str) -> None:
    assert Script(name).body.count("'TIME'") <= 1


@every_script
def test_every_returned_status_word_is_in_the_header(name: str) -> None:
    source = Script(name).source
    header = source[: source.index("\nlocal ")]
    words = set(re.findall(r"return \{'(\w+)'", code(LUA / f"{name}.lua")))
    assert words <= set(_HEADER_WORD.findall(header)), name


def typed_calls() -> dict[str, str]:
    """Each script's name and the source of the module that runs it."""
    found = {}
    for path in PACKAGES["bursar"].rglob("*.py"):
        text = path.read_text()
        for node in ast.walk(ast.parse(text)):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "Script"
                and node.args
                and isinstance(node.args[0], ast.Constant)
            ):
                found[str(node.args[0].value)] = text
    return found


@every_script
def test_every_script_has_a_typed_function(name: str) -> None:
    assert name in typed_calls()


def test_every_included_part_exists_and_is_used() -> None:
    parts = {path.stem for path in (LUA / "lib").glob("*.lua")}
    used: set[str] = set()
    for path in FILES:
        used |= set(re.findall(r"^-- include: (\w+)", path.read_text(), re.MULTILINE))
    assert used == parts
