"""Every way to change a log is found from its lines alone, and named with the first wrong entry."""

from collections.abc import Callable

import msgspec
import pytest

from bursar.audit.keyring import KeyRing
from bursar.audit.lines import Head, Item, item_line, read_line
from bursar.audit.seals import Seal
from bursar.signing import SigningKey
from support.audit_book import NOW_MS, Book, verified

Lines = list[bytes]


@pytest.fixture
def book() -> Book:
    return Book()


def place_of(lines: Lines, kind: str, seq: int) -> int:
    return next(
        at
        for at, line in enumerate(lines)
        if isinstance(read := read_line(line), Item) and getattr(read, kind) == f"{seq}-0"
    )


def entry(seq: int, body: bytes, part: int = 0) -> bytes:
    return item_line("entry", f"{seq}-{part}", body, ()).rstrip()


def found(book: Book, lines: Lines) -> tuple[int | None, set[str]]:
    verdict = book.verify(lines)
    return verdict.wrong_seq, {finding.kind for finding in verdict.findings}


def test_an_untouched_log_is_whole_and_its_head_is_told(book: Book) -> None:
    verdict = book.verify()
    assert verdict.ok, verdict.findings
    assert (verdict.entries, verdict.seals) == (10, 3)
    assert (verdict.first_seq, verdict.last_seq, verdict.sealed_seq) == (1, 10, 9)
    assert verdict.head == book.seals[-1].head
    assert verdict.keys == (book.key.kid,)


def test_an_export_of_what_is_sealed_is_whole(book: Book) -> None:
    verdict = book.verify(book.lines(until=9))
    assert verdict.ok, verdict.findings
    assert verdict.last_seq == 9


def test_a_log_without_entries_is_whole() -> None:
    book = Book(entries=0)
    verdict = book.verify()
    assert verdict.ok, verdict.findings
    assert (verdict.entries, verdict.sealed_seq) == (0, 0)


def test_an_edited_entry_is_named(book: Book) -> None:
    lines = book.lines()
    lines[place_of(lines, "entry", 5)] = entry(5, book.body(5, actor="key:other"))
    assert found(book, lines) == (5, {"changed"})


def test_several_edits_are_all_named(book: Book) -> None:
    """A seal that holds is believed from there on, so one edit does not hide the next."""
    lines = book.lines()
    for seq in (2, 3, 8):
        lines[place_of(lines, "entry", seq)] = entry(seq, book.body(seq, reason="x"))
    verdict = book.verify(lines)
    assert [finding.seq for finding in verdict.findings] == [2, 3, 8]


def test_a_dropped_entry_is_named(book: Book) -> None:
    lines = book.lines()
    del lines[place_of(lines, "entry", 5)]
    assert found(book, lines) == (5, {"missing"})


def test_swapped_entries_are_named(book: Book) -> None:
    lines = book.lines()
    one, other = place_of(lines, "entry", 4), place_of(lines, "entry", 6)
    lines[one], lines[other] = entry(4, book.body(4, x=1)), entry(6, book.body(6, x=2))
    assert found(book, lines)[0] == 4


def test_lines_in_another_order_are_found(book: Book) -> None:
    lines = book.lines()
    at = place_of(lines, "entry", 4)
    lines[at], lines[at + 1] = lines[at + 1], lines[at]
    assert found(book, lines)[0] == 4


def test_an_inserted_entry_is_named(book: Book) -> None:
    lines = book.lines()
    at = place_of(lines, "entry", 5)
    lines.insert(at + 1, entry(5, book.body(5), part=1))
    assert found(book, lines) == (5, {"inserted"})


def test_an_entry_that_says_another_number_is_named(book: Book) -> None:
    lines = book.lines()
    lines[place_of(lines, "entry", 10)] = entry(10, book.body(11))
    assert found(book, lines)[0] == 10, "also one that is not sealed yet"


@pytest.mark.parametrize("body", [b"", b"{}", b"nonsense", b"\xff\xfe", b'{"seq":5}\n'])
def test_an_entry_that_is_none_is_named(book: Book, body: bytes) -> None:
    lines = book.lines()
    lines[place_of(lines, "entry", 5)] = entry(5, body)
    assert found(book, lines)[0] == 5


def test_a_field_beside_the_body_is_found(book: Book) -> None:
    lines = book.lines()
    at = place_of(lines, "entry", 5)
    lines[at] = item_line("entry", "5-0", book.bodies[5], (b"x",)).rstrip()
    assert found(book, lines) == (5, {"changed"})


def test_a_cut_tail_does_not_reach_the_counter(book: Book) -> None:
    lines = book.lines()
    del lines[place_of(lines, "entry", 8) : -1]
    wrong, kinds = found(book, lines)
    assert wrong == 7, "the first one whose seal is gone"
    assert {"missing", "seal", "head"} <= kinds


def test_a_tail_that_was_cut_with_its_counters_does_not_reach_the_published_head(
    book: Book,
) -> None:
    published = book.seals[-1]
    shorter = Book(key=book.key)
    shorter.bodies = {seq: body for seq, body in book.bodies.items() if seq <= 6}
    shorter.seals = book.seals[:2]
    lines = shorter.lines(published=published)
    assert found(book, lines) == (7, {"head"})


def test_a_log_that_was_rolled_back_with_everything_is_found_by_who_kept_a_head(
    book: Book,
) -> None:
    shorter = Book(key=book.key)
    shorter.bodies = {seq: body for seq, body in book.bodies.items() if seq <= 6}
    shorter.seals = book.seals[:2]
    assert book.verify(shorter.lines()).ok, "consistent in itself: nothing else can tell"
    verdict = book.verify(shorter.lines(), heads=book.head)
    assert verdict.wrong_seq == 7


def test_a_kept_head_that_is_still_the_logs_is_fine(book: Book) -> None:
    assert book.verify(heads={6: book.seals[1].head}).ok


def test_a_kept_head_that_the_log_has_not_is_found(book: Book) -> None:
    verdict = book.verify(heads={6: "0" * 64})
    assert (verdict.wrong_seq, verdict.findings[0].kind) == (6, "head")


def change_seal(book: Book, lines: Lines, seq: int, **changes: object) -> None:
    at = place_of(lines, "seal", seq)
    seal = next(seal for seal in book.seals if seal.to_seq == seq)
    changed = msgspec.structs.replace(seal, **changes)
    lines[at] = item_line("seal", f"{seq}-0", msgspec.json.encode(changed), ()).rstrip()


@pytest.mark.parametrize(
    ("field", "value"),
    [("from_seq", 5), ("count", 9), ("head", "0" * 64), ("at_ms", 1), ("workspace", "beta"),
     ("previous", "0" * 64), ("marks", ""), ("signature", "")],
)  # fmt: skip
def test_a_changed_seal_is_named(book: Book, field: str, value: object) -> None:
    lines = book.lines()
    change_seal(book, lines, 6, **{field: value})
    assert found(book, lines) == (4, {"seal"})


def test_a_dropped_seal_is_named(book: Book) -> None:
    lines = book.lines()
    del lines[place_of(lines, "seal", 6)]
    assert found(book, lines) == (4, {"seal"})


def test_an_edit_under_a_changed_seal_is_found_at_the_next_one(book: Book) -> None:
    lines = book.lines()
    lines[place_of(lines, "entry", 5)] = entry(5, book.body(5, reason="x"))
    change_seal(book, lines, 6, at_ms=1)
    wrong, kinds = found(book, lines)
    assert wrong == 4
    assert kinds == {"seal", "changed"}


def test_a_seal_of_a_foreign_key_is_named(book: Book) -> None:
    foreign = SigningKey.generate()
    forged = Book(key=foreign)
    lines = book.lines()
    seal = forged.seals[1]
    at = place_of(lines, "seal", 6)
    lines[at] = item_line("seal", "6-0", msgspec.json.encode(seal), ()).rstrip()
    assert found(book, lines) == (4, {"key"})


def test_a_foreign_seal_under_our_keys_name_is_named(book: Book) -> None:
    forged = Book(key=SigningKey.generate())
    lines = book.lines()
    seal = msgspec.structs.replace(forged.seals[1], kid=book.key.kid)
    at = place_of(lines, "seal", 6)
    lines[at] = item_line("seal", "6-0", msgspec.json.encode(seal), ()).rstrip()
    assert found(book, lines) == (4, {"seal"})


def test_a_seal_of_another_log_is_named(book: Book) -> None:
    other = Book("beta", key=book.key)
    lines = book.lines()
    at = place_of(lines, "seal", 6)
    lines[at] = item_line("seal", "6-0", msgspec.json.encode(other.seals[1]), ()).rstrip()
    assert found(book, lines) == (4, {"seal"})


def test_what_a_revoked_key_sealed_holds_while_a_good_one_sealed_after_it(book: Book) -> None:
    good = SigningKey.generate()
    texts = {book.key.kid: book.key.public, good.kid: good.public}
    keys = {kid: key for kid in texts if (key := KeyRing.of_texts(texts).get(kid)) is not None}
    ring = KeyRing(keys, revoked=[book.key.kid])
    last = verified(book.lines(), ring)
    assert [finding.kind for finding in last.findings] == ["key"]
    book.seal_up_to(10, key=good)
    assert verified(book.lines(), ring).ok


def trimmed(book: Book, to_seq: int = 3, says: int | None = None) -> Lines:
    """The log after a trimming that its last entry tells of."""
    details = {"to_seq": to_seq if says is None else says}
    book.bodies[11] = book.body(11, action="audit.trim", details=details)
    return book.lines(trimmed=to_seq)


def test_a_trimmed_log_is_whole_from_its_first_seal_on(book: Book) -> None:
    verdict = book.verify(trimmed(book), heads={3: book.seals[0].head})
    assert verdict.ok, verdict.findings
    assert (verdict.first_seq, verdict.entries) == (4, 8)


def test_a_trimming_that_no_entry_tells_of_is_found(book: Book) -> None:
    assert found(book, book.lines(trimmed=3)) == (4, {"trim"})
    assert found(Book(), trimmed(Book(), to_seq=6, says=3))[1] >= {"key"}


def test_more_gone_than_was_trimmed_is_found(book: Book) -> None:
    assert found(book, trimmed(book, to_seq=6, says=3)) == (7, {"trim"})


def test_a_trimmed_log_without_its_first_seal_is_found(book: Book) -> None:
    lines = trimmed(book)
    del lines[place_of(lines, "seal", 3)]
    assert found(book, lines)[0] == 3


def test_a_head_from_before_the_trimming_cannot_be_compared_and_is_told(book: Book) -> None:
    verdict = book.verify(trimmed(book, to_seq=6), heads={3: book.seals[0].head})
    assert (verdict.wrong_seq, verdict.findings[0].kind) == (3, "head")


@pytest.mark.parametrize(
    ("published", "seq"),
    [(None, 3), ("second", 7), ("foreign", 9)],
)
def test_a_published_head_that_is_not_the_logs_is_found(
    book: Book, published: str | None, seq: int
) -> None:
    seal: Seal | None = None
    if published == "second":
        seal = book.seals[1]
    elif published == "foreign":
        seal = Book(key=SigningKey.generate()).seals[-1]
    assert found(book, book.lines(published=seal)) == (seq, {"head"})


def test_a_head_that_was_not_published_yet_is_no_finding(book: Book) -> None:
    """A seal of a moment ago may be on its way to where it is published."""
    before = book.seals[-1]
    book.seal_up_to(10, at_ms=NOW_MS)
    assert book.verify(book.lines(published=before)).ok


Change = Callable[[Book, Lines], None]


def drop_the_last_line(_: Book, lines: Lines) -> None:
    lines.pop()


def drop_the_first_line(_: Book, lines: Lines) -> None:
    lines.pop(0)


def two_first_lines(_: Book, lines: Lines) -> None:
    lines.insert(3, lines[0])


def a_line_of_something_else(_: Book, lines: Lines) -> None:
    lines.insert(3, b"not a line")


def a_line_after_the_last(_: Book, lines: Lines) -> None:
    lines.append(lines[1])


def a_last_line_of_another_log(book: Book, lines: Lines) -> None:
    lines[-1] = Book("beta", key=book.key).lines()[-1]


def a_last_line_of_a_shorter_export(book: Book, lines: Lines) -> None:
    lines[-1] = book.lines(until=9)[-1]


def a_last_line_by_a_foreign_key(_: Book, lines: Lines) -> None:
    lines[-1] = Book(key=SigningKey.generate()).lines()[-1]


def a_later_version(_: Book, lines: Lines) -> None:
    first = read_line(lines[0])
    assert isinstance(first, Head)
    lines[0] = msgspec.json.encode(msgspec.structs.replace(first, bursar_audit=2))


@pytest.mark.parametrize(
    "change",
    [drop_the_last_line, drop_the_first_line, two_first_lines, a_line_of_something_else,
     a_line_after_the_last, a_last_line_of_another_log, a_last_line_of_a_shorter_export,
     a_last_line_by_a_foreign_key, a_later_version],
)  # fmt: skip
def test_a_file_that_is_not_as_it_was_written_is_found(book: Book, change: Change) -> None:
    lines = book.lines()
    change(book, lines)
    assert not book.verify(lines).ok


def test_nothing_at_all_is_no_log(book: Book) -> None:
    verdict = book.verify([])
    assert (verdict.ok, verdict.findings[0].kind) == (False, "file")
