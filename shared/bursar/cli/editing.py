"""Changing the arguments of a call before it is approved: in the user's editor, or in one line."""

import json
import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from bursar.cli.arguments import argument_lines, barred
from bursar.cli.deciding import arguments_of
from bursar.errors import BursarError
from bursar.gate.display import readable

__all__ = ["edit", "editable", "shown"]


def edit(arguments_json: str) -> dict[str, Any] | None:
    """Let the person change arguments; None if they left them as they were.

    Raises:
        InvalidInput: what they wrote is no JSON object.
        BursarError: the editor failed.

    """
    before: Any = json.loads(arguments_json)
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    text = _in_editor(before, editor) if editor else _in_one_line(before)
    if text is None or not text.strip():
        return None
    after = arguments_of(text, "arguments")
    return None if after == before and repr(after) == repr(before) else after


def editable(arguments: Any, indent: int | None = None) -> str:
    """Write arguments as JSON that means the same, with codes for all that would not be seen."""
    text = json.dumps(arguments, ensure_ascii=False, indent=indent)
    return "".join(char if char == "\n" or readable(char) == char else _code(char) for char in text)


def shown(arguments: Mapping[str, Any], out: Console) -> list[Text]:
    """The arguments that are about to run."""
    return barred(argument_lines(json.dumps(arguments, ensure_ascii=False)), out)


def _code(char: str) -> str:
    return json.dumps(char)[1:-1]


def _in_editor(arguments: Any, editor: str) -> str | None:
    # A folder of its own, because editors put their own files beside the one that they edit.
    with tempfile.TemporaryDirectory(prefix="bursar-") as folder:
        file = Path(folder, "arguments.json")
        file.write_text(editable(arguments, indent=2) + "\n")
        try:
            ended = subprocess.run([*shlex.split(editor), str(file)], check=False).returncode
        except (OSError, ValueError) as error:
            raise BursarError(f"cannot start {editor!r}: {error}", code="no_editor") from error
        if ended != 0:
            raise BursarError(f"{editor!r} ended with status {ended}", code="no_editor")
        return file.read_text()


def _in_one_line(arguments: Any) -> str | None:
    import readline

    readline.set_startup_hook(lambda: readline.insert_text(editable(arguments)))
    try:
        return input("arguments > ")
    except (EOFError, KeyboardInterrupt):
        print()
        return None
    finally:
        readline.set_startup_hook(None)
