"""``bursar budget top``, ``export`` and ``checkpoint``."""

import csv
import io
import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from bursar.cli import exports
from support.command import Bursar
from support.stub_gateway import Answer, Seen, StubGateway, problem, reply

BUDGET = "/v1/workspaces/default/budget"
CHECKPOINT = {"checkpoint": "5-0", "accounts": 3}
TRIM = f"POST {BUDGET}/trim"


def spending(**members: Any) -> dict[str, Any]:
    one = {"name": "s1", "cost_microusd": 750_000, "tokens": 1234, "calls": 5, "agent": "echo"}
    two = {"name": "s2", "cost_microusd": 250_000, "tokens": 0, "calls": 1, "agent": "unknown"}
    base = {
        "by": "session", "since_ms": 0, "until_ms": 0, "total_microusd": 1_000_000, "entries": 6,
        "complete": True, "spenders": [one, two],
    }  # fmt: skip
    return base | members


class Ledger:
    """Plays the route of a ledger with entries 1-0 to N-0, and notes what was asked."""

    def __init__(self, stub: StubGateway, entries: int) -> None:
        self.entries = [
            {"entry": f"{n}-0", "op": "limit", "to": f"{n},{n}", "at_ms": str(n)}
            for n in range(1, entries + 1)
        ]
        self.queries: list[dict[str, str]] = []
        take = stub.take

        def answered(seen: Seen) -> Answer:
            if seen.path != f"{BUDGET}/ledger":
                return take(seen)
            stub.seen.append(seen)
            return reply(self.page({name: v[0] for name, v in parse_qs(seen.query).items()}))

        stub.take = answered  # type: ignore[method-assign]

    def page(self, query: dict[str, str]) -> list[dict[str, str]]:
        self.queries.append(query)
        after, before = int(query["after"][:-2]), int(query.get("before", "999-0")[:-2])
        found = [one for one in self.entries if after < int(one["entry"][:-2]) < before]
        return found[: int(query["limit"])]


@pytest.fixture
def ledger(stub: StubGateway, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    monkeypatch.setattr(exports, "_PAGE", 2)
    return Ledger(stub, 6)


def test_the_top_spenders_with_their_shares(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"GET {BUDGET}/spenders", spending())
    head, one, two, total = bursar("budget", "top").out.splitlines()
    assert head.split() == ["session", "agent", "spent", "share", "tokens", "calls"]
    assert one.split()[:3] == ["s1", "echo", "$0.75"]
    assert one.split()[-4:] == ["75", "%", "1,234", "5"]
    assert two.split()[:2] == ["s2", "unknown"]
    assert total == "$1.00 in all"
    assert stub.seen[0].query == "by=session&limit=20"


def test_the_top_of_a_stretch_of_time(
    bursar: Bursar, stub: StubGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0)
    stub.on(f"GET {BUDGET}/spenders", spending(by="model", complete=False))
    options = ["--by", "model", "--since", "2h", "--until", "1970-01-12T00:00Z", "--limit", "3"]
    ran = bursar("budget", "top", *options)
    assert stub.seen[0].query == "by=model&since=992800000&until=950400000&limit=3"
    assert ran.out.split()[:2] == ["model", "spent"]
    assert "only the first 6 entries" in ran.err
    assert json.loads(bursar("budget", "top", "--json").out)["total_microusd"] == 1_000_000


def test_names_are_shown_as_they_are(bursar: Bursar, stub: StubGateway) -> None:
    odd = {"name": "model:[red]x[/]\x1b[2J", "cost_microusd": 5, "tokens": 0, "calls": 1}
    stub.on(f"GET {BUDGET}/spenders", spending(by="model", spenders=[odd]))
    out = bursar("budget", "top", "--by", "model").out
    assert "model:[red]x[/]�[2J" in out
    assert "\x1b" not in out


def test_nothing_spent_is_said(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"GET {BUDGET}/spenders", spending(spenders=[], total_microusd=0))
    assert bursar("budget", "top").out == "nothing was spent\n"


@pytest.mark.parametrize("moment", ["yesterday", "7", "7w", "2026-13-01", "-1h", ""])
def test_a_moment_that_is_none_is_refused_by_name(
    bursar: Bursar, stub: StubGateway, moment: str
) -> None:
    for command in ("top", "export"):
        ran = bursar("budget", command, f"--since={moment}")
        assert (ran.status, "--since" in ran.err) == (2, True)
    assert stub.seen == []


def test_an_export_is_the_whole_ledger_page_by_page(bursar: Bursar, ledger: Ledger) -> None:
    ran = bursar("budget", "export")
    rows = list(csv.DictReader(io.StringIO(ran.out)))
    assert [(row["entry"], row["to"]) for row in rows] == [
        (f"{n}-0", f"{n},{n}") for n in range(1, 7)
    ]
    assert [query["after"] for query in ledger.queries] == ["0-0", "2-0", "4-0", "6-0"]


def test_an_export_as_json_is_one_entry_a_line(
    bursar: Bursar, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 86_400.0)
    ran = bursar("budget", "export", "--format", "json", "--since", "1d")
    assert [json.loads(line) for line in ran.out.splitlines()] == ledger.entries
    assert {query["since"] for query in ledger.queries} == {"0"}


def test_an_export_into_a_file(bursar: Bursar, ledger: Ledger, tmp_path: Path) -> None:
    out = tmp_path / "ledger.csv"
    ran = bursar("budget", "export", "--out", str(out))
    assert ran.out == f"6 entries in {out}\n"
    assert len(out.read_text().splitlines()) == 7
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.csv"]


def test_no_export_is_written_over(
    bursar: Bursar, stub: StubGateway, ledger: Ledger, tmp_path: Path
) -> None:
    out = tmp_path / "ledger.csv"
    out.write_text("all that is left of last year")
    for argv in (["export", "--out"], ["checkpoint", "--export"]):
        ran = bursar("budget", *argv, str(out))
        assert (ran.status, argv[1] in ran.err) == (2, True)
        missing = bursar("budget", *argv, str(tmp_path / "no" / "folder.csv"))
        assert (missing.status, argv[1] in missing.err) == (2, True)
    assert stub.seen == []
    assert out.read_text() == "all that is left of last year"


def test_a_checkpoint_stores_what_it_drops_before_it_does(
    bursar: Bursar, stub: StubGateway, ledger: Ledger, tmp_path: Path
) -> None:
    out = tmp_path / "ledger.json"
    stub.on(f"POST {BUDGET}/checkpoint", CHECKPOINT)
    stub.on(TRIM, {"entries": 3, "more": True}, {"entries": 1, "more": False})
    ran = bursar("budget", "checkpoint", "--export", str(out), "--format", "json")
    assert ran.out == (f"4 entries are in {out} and 4 dropped; 3 accounts were carried forward\n")
    assert [json.loads(line)["entry"] for line in out.read_text().splitlines()] == [
        "1-0", "2-0", "3-0", "4-0",
    ]  # fmt: skip
    order = [seen.path.rpartition("/")[2] for seen in stub.seen]
    assert order == ["checkpoint", *["ledger"] * 3, "trim", "trim"]
    assert {seen.body["checkpoint"] for seen in stub.asked(TRIM)} == {"5-0"}


def test_a_checkpoint_in_json(
    bursar: Bursar, stub: StubGateway, ledger: Ledger, tmp_path: Path
) -> None:
    out = tmp_path / "ledger.csv"
    stub.on(f"POST {BUDGET}/checkpoint", CHECKPOINT)
    stub.on(TRIM, {"entries": 4, "more": False})
    ran = bursar("budget", "checkpoint", "--export", str(out), "--force", "--json")
    assert json.loads(ran.out) == {
        "checkpoint": "5-0", "accounts": 3, "exported": 4, "dropped": 4, "file": str(out),
    }  # fmt: skip
    assert stub.seen[0].body == {"force": True}


@pytest.mark.parametrize("where", ["reading", "writing", "naming"])
def test_nothing_is_dropped_that_could_not_be_stored(
    bursar: Bursar,
    stub: StubGateway,
    ledger: Ledger,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    stub.on(f"POST {BUDGET}/checkpoint", CHECKPOINT)
    stub.on(TRIM, {"entries": 4, "more": False})

    def fails(*_: object) -> None:
        raise OSError(28, "no space left")

    if where == "reading":
        pages = iter([ledger.entries[:2]])
        monkeypatch.setattr(ledger, "page", lambda _: next(pages))
    if where == "writing":
        monkeypatch.setattr("bursar.cli.exports.os.fsync", fails)
    if where == "naming":
        monkeypatch.setattr(Path, "rename", fails)
    ran = bursar("budget", "checkpoint", "--export", str(tmp_path / "ledger.csv"))
    assert ran.status != 0
    assert where == "reading" or "no space left" in ran.err
    assert stub.asked(TRIM) == []
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_that_is_refused_leaves_no_file(
    bursar: Bursar, stub: StubGateway, tmp_path: Path
) -> None:
    stub.on(f"POST {BUDGET}/checkpoint", problem(409, "accounts_differ", "2 figures differ"))
    ran = bursar("budget", "checkpoint", "--export", str(tmp_path / "ledger.csv"))
    assert (ran.status, ran.err) == (2, "bursar: 2 figures differ\n")
    assert list(tmp_path.iterdir()) == []
