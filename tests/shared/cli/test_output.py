import json
import time

import pytest
from rich.console import Console
from rich.text import Text

from bursar.cli import output
from bursar.cli.output import (
    ago,
    ahead,
    bar,
    clean,
    console,
    fitting_table,
    print_json,
    print_table,
)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-5, "just now"), (0, "just now"), (30, "30 s ago"), (150, "2 min ago"), (7300, "2 h ago")],
)
def test_times_are_relative(seconds: int, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0)
    assert ago((1_000_000 - seconds) * 1000) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-5, "now"), (30, "in 30 s"), (150, "in 2 min"), (7300, "in 2 h"), (200_000, "in 2 d")],
)
def test_times_ahead_are_relative(seconds: int, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0)
    assert ahead((1_000_000 + seconds) * 1000) == said


def test_a_row_that_does_not_fit_becomes_a_block_and_loses_no_digit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    columns = ["account", "posted>", "limit>", "state"]
    rows = [
        ["s:" + "x" * 30, "$1234.567891", "$5000.00", "[red]frozen[/]"],
        ["ws", "$1.00", "", ""],
    ]
    for width, expected in (
        (70, ["account", "s:" + "x" * 30, "ws"]),
        (40, ["s:" + "x" * 30, "posted", "state", "ws", "posted"]),
    ):
        out = Console(width=width, force_terminal=False)
        monkeypatch.setattr(output, "console", lambda out=out: out)
        with out.capture() as captured:
            out.print(fitting_table(columns, rows))
        lines = captured.get().splitlines()
        assert [line.split()[0] for line in lines] == expected
        assert all(len(line) <= width for line in lines)
        for part in ("$1234.567891", "$5000.00", "frozen", "$1.00"):
            assert part in captured.get()


@pytest.mark.parametrize(
    ("used", "limit", "cells", "share", "colour"),
    [
        (0, 100, 0, "0 %", "green"),
        (1, 1000, 1, "<1 %", "green"),
        (50, 100, 5, "50 %", "green"),
        (80, 100, 8, "80 %", "yellow"),
        (100, 100, 10, "100 %", "red"),
        (150, 100, 10, "150 %", "red"),
        (0, 0, 10, "100 %", "red"),
    ],
)
def test_a_bar_is_as_full_as_the_budget(
    used: int, limit: int, cells: int, share: str, colour: str
) -> None:
    markup = bar(used, limit, 80)
    shown = Text.from_markup(markup).plain
    assert shown.count("█") == cells
    assert shown.count("█") + shown.count("░") == 10
    assert shown.endswith(share)
    assert markup.startswith(f"[{colour}]")


def test_cleaning_keeps_text_lines_and_tabs_and_drops_controls() -> None:
    assert clean("ä\tb\n€") == "ä\tb\n€"
    assert clean("\x1b[2J\r\x00\x9b") == "�[2J���"


def test_text_of_others_steers_neither_the_terminal_nor_the_direction_of_writing() -> None:
    shown = clean("a\x1b[2J\x9bb\u202ec\u2066d\u200ee\u2028f\r\n\tg")
    assert shown == "a�[2J�b�c�d�e�f�\n\tg"


def test_json_means_the_same_and_steers_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    text = 'é 漢 \x1b\x7f\x9b\u202e\u2028\u200f"\\'
    print_json({"a": text})
    printed = capsys.readouterr().out
    assert not {"\x1b", "\x7f", "\x9b", "\u202e", "\u2028", "\u200f"} & set(printed)
    assert json.loads(printed) == {"a": text}
    assert "é 漢" in printed


def test_a_name_between_colons_is_no_emoji(capsys: pytest.CaptureFixture[str]) -> None:
    console.cache_clear()
    console().print("a:key:b", markup=False)
    print_table(["x"], [["c:lock:d"]], empty="")
    console.cache_clear()
    printed = capsys.readouterr().out
    assert "a:key:b" in printed
    assert "c:lock:d" in printed
