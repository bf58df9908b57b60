"""The ways through approvals that our documents teach, walked as they are written."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from bursar.cli.app import run
from bursar.cli.supervisor import Installation
from bursar.client import Client
from support.shell_lines import blocks, run_lines
from support.waiting import wait_for

ROOT = Path(__file__).parents[2]
README, APPROVALS = ROOT / "README.md", ROOT / "docs" / "approvals.md"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("files")
    (root / "desk").mkdir()
    return root


@pytest.fixture(scope="module")
def site(files: Path) -> Iterator[Installation]:
    env = {"BURSAR_FILES_ROOT": str(files), "PYTHONPATH": str(ROOT)}
    with Installation(workers=1, agents="examples.scribe", env=env) as running:
        yield running


@pytest.fixture
def client(site: Installation) -> Iterator[Client]:
    with site.client() as made:
        yield made


def placed(text: str, site: Installation, files: Path) -> str:
    return (
        text.replace("/tmp/bursar-files", str(files))  # noqa: S108  (as the documents have it)
        .replace("http://127.0.0.1:8700", site.url)
        .replace("secret", site.key)
    )


@pytest.mark.parametrize("document", [README, APPROVALS], ids=lambda path: path.stem)
def test_the_way_through_approvals_works_as_written(
    document: Path, site: Installation, client: Client, files: Path
) -> None:
    note = files / "note.md"
    note.unlink(missing_ok=True)
    commands = "".join(block for block in blocks(document, "sh") if "approvals" in block)
    environment = {"BURSAR_URL": site.url}
    printed = run_lines(placed(commands, site, files), environment, client)
    assert note.read_text() == "It still rains."
    whole = "\n".join(printed)
    assert f"created {note}" in whole
    assert f"replaced {note}" in whole
    assert f"file+write://{note} needs no answer in the workspace from now on" in whole
    assert "was denied by a person" in whole
    assert client.list_approvals() == []
    assert client.list_allowances() == []


def test_the_program_of_approvals_answers(
    site: Installation, client: Client, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (program,) = [block for block in blocks(APPROVALS, "python") if "Client(" in block]
    session = client.create_session("scribe", workspace_path="desk")
    turn = client.start_turn(session, "a.md: x").turn
    wait_for(lambda: len(client.list_approvals()) == 1, "a question")
    exec(compile(placed(program, site, files), APPROVALS.name, "exec"), {})  # noqa: S102
    assert "file+write://a.md" in capsys.readouterr().out
    wait_for(lambda: client.get_turn(turn).ended, "end of the turn")
    assert not (files / "desk" / "a.md").exists()


def test_the_tool_of_approvals_is_one() -> None:
    (program,) = [block for block in blocks(APPROVALS, "python") if "@tool" in block]
    namespace: dict[str, object] = {}
    exec(compile(program, APPROVALS.name, "exec"), namespace)  # noqa: S102
    assert getattr(namespace["order"], "unanswered", None) == "queue"


def shown_commands() -> list[str]:
    text = "\n".join(blocks(APPROVALS, "console"))
    found: list[str] = re.findall(r"^\$ (?:\w+=\S+ )*(bursar [^|\n]+)", text, re.MULTILINE)
    return found


@pytest.mark.parametrize("line", shown_commands())
def test_every_command_that_is_only_shown_has_these_options(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It gets as far as to a gateway that is not there, or names the help of all its words."""
    monkeypatch.setenv("BURSAR_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("bursar.client.problems._FIRST_PAUSE_S", 0.001)
    words = shlex.split(line)[1:]
    if words[0] == "dev":
        words.append("--help")
    status = run(words)
    printed = capsys.readouterr()
    assert status == (0 if words[0] == "dev" else 3), printed.err
