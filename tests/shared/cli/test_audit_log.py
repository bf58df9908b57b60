"""``bursar audit verify``, ``tail``, ``export``, ``trim`` and ``accept``."""

import json
from pathlib import Path
from typing import Any

import pytest

from bursar.signing import SigningKey
from support.audit_book import Book
from support.command import Bursar
from support.samples import workspace
from support.stub_gateway import Answer, StubGateway, problem

KEYS = "GET /v1/signing-keys"
AUDIT = "/v1/workspaces/acme/audit"
EXPORT = f"GET {AUDIT}/export"


def answer(lines: list[bytes]) -> Answer:
    return Answer(b"".join(line + b"\n" for line in lines), content_type="application/jsonl")


def listed(*keys: SigningKey, state: str = "current") -> list[dict[str, Any]]:
    return [{"kid": key.kid, "public": key.public, "state": state, "created_ms": 1} for key in keys]


@pytest.fixture
def book(stub: StubGateway) -> Book:
    """The log of acme as the gateway shows it."""
    made = Book()
    stub.on("GET /v1/workspaces", [workspace()])
    stub.on(KEYS, listed(made.key))
    stub.on(EXPORT, answer(made.lines()))
    return made


@pytest.fixture
def file(tmp_path: Path, book: Book) -> Path:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(answer(book.lines(until=9)).body)
    return path


def edited(book: Book, seq: int = 5) -> Book:
    other = Book(key=book.key)
    other.seals, other.bodies = book.seals, {**book.bodies, seq: book.body(seq, reason="x")}
    return other


def head_of(book: Book) -> str:
    return f"{book.seals[-1].to_seq}:{book.seals[-1].head}"


# -- verify


def test_all_workspaces_are_verified_and_the_head_is_printed(
    bursar: Bursar, stub: StubGateway, book: Book
) -> None:
    ran = bursar("audit", "verify")
    assert ran.status == 0, ran.err
    head, acme, kept = ran.out.splitlines()
    assert head.split() == ["log", "entries", "seals", "not", "sealed", "yet", "result"]
    assert acme.split() == ["acme", "10", "3", "1", "ok"]
    assert kept == f"head of acme: {head_of(book)}"
    assert stub.asked(EXPORT)[0].query == "unsealed=true"


def test_the_first_wrong_entry_is_named_and_is_status_1(
    bursar: Bursar, stub: StubGateway, book: Book
) -> None:
    stub.replace(EXPORT, answer(edited(book).lines()))
    ran = bursar("audit", "verify", "acme")
    assert ran.status == 1
    assert "wrong from entry 5" in ran.out
    assert "entry 5 is not as it was sealed" in ran.out
    assert "head of" not in ran.out, "such a head is not one to keep"


def test_a_head_from_an_earlier_run_is_compared(bursar: Bursar, book: Book) -> None:
    assert bursar("audit", "verify", "acme", "--head", head_of(book)).status == 0
    ran = bursar("audit", "verify", "acme", "--head", f"6:{'0' * 64}")
    assert ran.status == 1
    assert "up to entry 6 the log is not what it was earlier" in ran.out


@pytest.mark.parametrize("head", ["6", "6:", "x:" + "0" * 64, "6:" + "0" * 63, "6:" + "G" * 64])
def test_what_is_no_head_is_refused(bursar: Bursar, book: Book, head: str) -> None:
    del book
    ran = bursar("audit", "verify", "acme", "--head", head)
    assert ran.status == 2
    assert "--head" in ran.err


def test_a_head_is_of_one_log(bursar: Bursar, book: Book) -> None:
    ran = bursar("audit", "verify", "acme", "beta", "--head", head_of(book))
    assert (ran.status, "one log" in ran.err) == (2, True)


def test_verdicts_as_json(bursar: Bursar, book: Book) -> None:
    ran = bursar("audit", "verify", "acme", "--json")
    (verdict,) = json.loads(ran.out)
    assert (verdict["ok"], verdict["workspace"], verdict["head"]) == (
        True, "acme", book.seals[-1].head,
    )  # fmt: skip


def test_the_installations_log_is_verified_when_asked_for(
    bursar: Bursar, stub: StubGateway, book: Book
) -> None:
    ours = Book("*", key=book.key)
    stub.on("GET /v1/audit/export", answer(ours.lines()))
    ran = bursar("audit", "verify", "--installation")
    assert ran.status == 0
    assert "head of installation: 9:" in ran.out
    assert stub.asked(EXPORT) == []


def test_a_log_that_cannot_be_read_is_not_whole(
    bursar: Bursar, stub: StubGateway, book: Book
) -> None:
    del book
    stub.replace(
        EXPORT, problem(409, "audit_unreadable", "the audit log cannot be read: WRONGTYPE")
    )
    ran = bursar("audit", "verify", "acme")
    assert ran.status == 1
    assert "cannot be read" in ran.out


def test_an_answer_that_breaks_off_is_no_verdict(
    bursar: Bursar, stub: StubGateway, book: Book
) -> None:
    whole = answer(book.lines())
    stub.replace(EXPORT, Answer(whole.body[:900], content_type="application/jsonl", cut=True))
    ran = bursar("audit", "verify", "acme")
    assert ran.status == 3
    assert ran.out == ""


def test_only_keys_that_one_believes_count(
    bursar: Bursar, stub: StubGateway, book: Book, tmp_path: Path
) -> None:
    """Also a gateway, or whoever wrote into Redis, may name other keys."""
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps(listed(book.key)))
    assert bursar("audit", "verify", "acme", "--keys", str(keys)).status == 0
    foreign = Book(key=SigningKey.generate())
    stub.replace(KEYS, listed(foreign.key))
    stub.replace(EXPORT, answer(foreign.lines()))
    assert bursar("audit", "verify", "acme").status == 0
    ran = bursar("audit", "verify", "acme", "--keys", str(keys))
    assert (ran.status, "a key that is not known" in ran.out) == (1, True)


@pytest.mark.parametrize(
    "content", ["", "{}", "[1]", '[{"kid":"a","public":"x","state":"current"}]']
)
def test_a_file_without_keys_is_refused(
    bursar: Bursar, book: Book, tmp_path: Path, content: str
) -> None:
    del book
    keys = tmp_path / "keys.json"
    keys.write_text(content)
    assert bursar("audit", "verify", "acme", "--keys", str(keys)).status == 2
    assert bursar("audit", "verify", "acme", "--keys", str(tmp_path / "none")).status == 2


# -- verify --file


def test_a_file_is_verified_without_a_gateway(
    bursar: Bursar, stub: StubGateway, file: Path
) -> None:
    ran = bursar("audit", "verify", "--file", str(file))
    assert ran.status == 0, ran.err
    assert "acme" in ran.out
    assert "--keys says which to believe" in ran.err
    assert stub.seen == []


def test_an_edited_file_is_found_out(bursar: Bursar, book: Book, file: Path) -> None:
    file.write_bytes(answer(edited(book).lines(until=9)).body)
    ran = bursar("audit", "verify", "--file", str(file))
    assert (ran.status, "wrong from entry 5" in ran.out) == (1, True)


def test_a_file_of_somebody_else_is_found_out_by_keys_or_by_a_head(
    bursar: Bursar, book: Book, file: Path, tmp_path: Path
) -> None:
    forged = Book(key=SigningKey.generate())
    forged.bodies = {**forged.bodies, 5: forged.body(5, reason="x")}
    forged.seals = []
    for last in (3, 6, 9):
        forged.seal_up_to(last)
    file.write_bytes(answer(forged.lines(until=9)).body)
    assert bursar("audit", "verify", "--file", str(file)).status == 0, "consistent in itself"
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps(listed(book.key)))
    assert bursar("audit", "verify", "--file", str(file), "--keys", str(keys)).status == 1
    assert bursar("audit", "verify", "--file", str(file), "--head", head_of(book)).status == 1


def test_files_go_on_where_the_one_before_ended(
    bursar: Bursar, book: Book, file: Path, tmp_path: Path
) -> None:
    book.bodies[11] = book.body(11, action="audit.trim", details={"to_seq": 9})
    book.seal_up_to(11)
    second = tmp_path / "second.jsonl"
    second.write_bytes(answer(book.lines(until=11, trimmed=9)).body)
    both = ("--file", str(file), "--file", str(second))
    assert bursar("audit", "verify", *both).status == 0
    other = Book(key=book.key)
    other.bodies = {seq: other.body(seq, reason="x") for seq in other.bodies}
    other.seals = []
    for last in (3, 6, 9):
        other.seal_up_to(last)
    file.write_bytes(answer(other.lines(until=9)).body)
    ran = bursar("audit", "verify", *both)
    assert (ran.status, "not what it was earlier" in ran.out) == (1, True)


@pytest.mark.parametrize("content", [b"", b"nonsense\n", b"{}\n", b'{"end":{}}\n'])
def test_a_file_that_is_no_export_is_not_whole(
    bursar: Bursar, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    assert bursar("audit", "verify", "--file", str(path)).status == 1
    ran = bursar("audit", "verify", "--file", str(tmp_path / "none.jsonl"))
    assert (ran.status, "cannot read" in ran.err) == (2, True)


def test_a_file_is_no_workspace(bursar: Bursar, file: Path) -> None:
    assert bursar("audit", "verify", "acme", "--file", str(file)).status == 2


# -- tail


def entry(seq: int, **more: Any) -> dict[str, Any]:
    return {
        "seq": seq, "at_ms": 1_700_000_000_000, "workspace": "acme", "actor": "key:ann",
        "action": "budget.limit", "decision": "done", **more,
    }  # fmt: skip


def page(*entries: dict[str, Any], more: bool = False) -> dict[str, Any]:
    return {
        "entries": list(entries),
        "seen_seq": entries[-1]["seq"] if entries else 0,
        "more": more,
    }


def test_the_newest_entries_are_shown_oldest_first(bursar: Bursar, stub: StubGateway) -> None:
    denied = entry(
        8, decision="deny", actor="agent:echo", action="exec://rm [x]", proof="policy",
        proof_id="blocked:exec://rm *", session="s1", reason="bad\x1b[31m idea",
    )  # fmt: skip
    stub.on(f"GET {AUDIT}", page(denied, entry(7, details={"limit": "5"})))
    ran = bursar("audit", "tail", "-w", "acme", "-n", "2", "--decision", "deny")
    assert ran.status == 0, ran.err
    first, second = ran.out.splitlines()
    assert first.split()[0] == "7"
    assert first.endswith("key:ann  budget.limit  limit=5")
    assert "deny" in second
    assert "agent:echo  exec://rm [x]  s1  policy blocked:exec://rm *" in second
    assert "\x1b" not in second
    assert stub.seen[0].query == "limit=2&decision=deny"


def test_entries_are_followed(
    bursar: Bursar, stub: StubGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("bursar.cli.audit_log.time.sleep", sleep)
    stub.on(f"GET {AUDIT}", page(entry(3)), page(entry(4), more=True), page(entry(5)), page())
    ran = bursar("audit", "tail", "-w", "acme", "-f", "--json")
    assert ran.status == 130
    assert [json.loads(line)["seq"] for line in ran.out.splitlines()] == [3, 4, 5]
    assert [seen.query for seen in stub.asked(f"GET {AUDIT}")] == [
        "limit=20", "after=3&limit=1000", "after=4&limit=1000", "after=5&limit=1000",
    ]  # fmt: skip


def test_the_installations_entries_are_shown(bursar: Bursar, stub: StubGateway) -> None:
    stub.on("GET /v1/audit", page(entry(3, action="login.refused")))
    ran = bursar("audit", "tail", "--installation")
    assert (ran.status, "login.refused" in ran.out) == (0, True)


# -- export, trim, accept


def test_an_export_is_stored_and_verified(
    bursar: Bursar, stub: StubGateway, book: Book, tmp_path: Path
) -> None:
    stub.replace(EXPORT, answer(book.lines(until=9)))
    out = tmp_path / "a.jsonl"
    ran = bursar("audit", "export", "-w", "acme", "--out", str(out))
    assert ran.status == 0, ran.err
    assert out.read_bytes() == answer(book.lines(until=9)).body
    assert f"head of acme: {head_of(book)}" in ran.out
    assert stub.asked(EXPORT)[0].query == ""
    assert bursar("audit", "verify", "--file", str(out)).status == 0
    assert bursar("audit", "export", "-w", "acme", "--out", str(out)).status == 2, "never over it"


def test_an_export_goes_to_standard_output(bursar: Bursar, stub: StubGateway, book: Book) -> None:
    stub.replace(EXPORT, answer(book.lines(until=9)))
    ran = bursar("audit", "export", "-w", "acme")
    assert ran.status == 0
    assert ran.out.encode() == answer(book.lines(until=9)).body


def test_an_export_that_is_not_whole_is_stored_and_is_status_1(
    bursar: Bursar, stub: StubGateway, book: Book, tmp_path: Path
) -> None:
    stub.replace(EXPORT, answer(edited(book).lines(until=9)))
    out = tmp_path / "a.jsonl"
    ran = bursar("audit", "export", "-w", "acme", "--out", str(out))
    assert (ran.status, "wrong from entry 5" in ran.out) == (1, True)
    assert out.exists(), "it is evidence"


def test_an_export_that_breaks_off_leaves_no_file(
    bursar: Bursar, stub: StubGateway, book: Book, tmp_path: Path
) -> None:
    whole = answer(book.lines(until=9))
    stub.replace(EXPORT, Answer(whole.body[:900], content_type="application/jsonl", cut=True))
    ran = bursar("audit", "export", "-w", "acme", "--out", str(tmp_path / "a.jsonl"))
    assert ran.status == 3
    assert list(tmp_path.iterdir()) == []


def test_what_is_stored_and_whole_is_trimmed(
    bursar: Bursar, stub: StubGateway, book: Book, tmp_path: Path
) -> None:
    stub.replace(EXPORT, answer(book.lines(until=9)))
    stub.on(
        f"POST {AUDIT}/trim",
        {"entries": 6, "trimmed_seq": 6, "more": True},
        {"entries": 3, "trimmed_seq": 9, "more": False},
    )
    out = tmp_path / "a.jsonl"
    ran = bursar("audit", "trim", "-w", "acme", "--export", str(out), "--json")
    assert ran.status == 0, ran.err
    wish = {"to_seq": 9, "head": book.seals[-1].head}
    assert [seen.body for seen in stub.asked(f"POST {AUDIT}/trim")] == [wish, wish]
    assert json.loads(ran.out) == {"exported": 9, "dropped": 9, "file": str(out), **wish}
    assert out.exists()


def test_only_what_is_older_than_a_moment_is_trimmed(
    bursar: Bursar, stub: StubGateway, book: Book, tmp_path: Path
) -> None:
    import msgspec

    ages = (1_600_000_000_000, 1_650_000_000_000, 1_700_000_000_000)
    seals = [
        {**msgspec.to_builtins(seal), "at_ms": at_ms}
        for seal, at_ms in zip(book.seals, ages, strict=True)
    ]
    stub.replace(EXPORT, answer(book.lines(until=9)))
    stub.on(f"GET {AUDIT}/seals", seals, [])
    stub.on(f"POST {AUDIT}/trim", {"entries": 6, "trimmed_seq": 6, "more": False})
    out = tmp_path / "a.jsonl"
    ran = bursar("audit", "trim", "-w", "acme", "--export", str(out), "--before", "2023-01-01")
    assert ran.status == 0, ran.err
    assert stub.asked(f"POST {AUDIT}/trim")[0].body == {"to_seq": 6, "head": book.seals[1].head}
    assert f"9 entries are in {out} and 6 dropped" in ran.out


def test_nothing_is_trimmed_of_a_log_that_is_not_whole(
    bursar: Bursar, stub: StubGateway, book: Book, tmp_path: Path
) -> None:
    stub.replace(EXPORT, answer(edited(book).lines(until=9)))
    ran = bursar("audit", "trim", "-w", "acme", "--export", str(tmp_path / "a.jsonl"))
    assert (ran.status, "nothing was dropped" in ran.err) == (2, True)
    assert stub.asked(f"POST {AUDIT}/trim") == []


def test_a_loss_is_accepted(bursar: Bursar, stub: StubGateway) -> None:
    done = {"published_seq": 9, "published_head": "a", "seq": 6, "head": "b"}
    stub.on(f"POST {AUDIT}/accept", done)
    ran = bursar("audit", "accept", "-w", "acme", "--reason", "failover")
    assert ran.status == 0, ran.err
    assert stub.seen[0].body == {"reason": "failover"}
    assert ran.out == "entry 6 is the published head now; it was entry 9\n"
    assert (
        json.loads(bursar("audit", "accept", "-w", "acme", "--reason", "x", "--json").out) == done
    )
