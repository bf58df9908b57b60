"""The chain is what its description says, so that anybody can compute it without this code."""

import hashlib

import pytest

from bursar.audit.chain import genesis, join_marks, link, mark, split_marks


def test_the_chain_is_the_documented_one() -> None:
    head = hashlib.sha256(b"bursar-audit-chain-v1\nacme\n").digest()
    assert genesis("acme") == head
    body = b'{"seq":1}'
    assert link(head, 1, body) == hashlib.sha256(head + b"\0" * 7 + b"\x01" + body).digest()


def test_each_log_has_a_chain_of_its_own() -> None:
    assert genesis("acme") != genesis("beta")


def test_a_head_depends_on_every_entry_its_number_and_its_order() -> None:
    start = genesis("acme")
    head = link(link(start, 1, b"a"), 2, b"b")
    assert head != link(link(start, 1, b"b"), 2, b"a")
    assert head != link(link(start, 1, b"a"), 3, b"b")
    assert head != link(link(start, 1, b"x"), 2, b"b")


def test_marks_come_back_as_they_were_joined() -> None:
    marks = [mark(seq, b"body") for seq in range(1, 8)]
    assert len(set(marks)) == 7
    assert split_marks(join_marks(marks)) == marks


@pytest.mark.parametrize("bad", ["AAAA", "not base64!", "AAAAAAAAA"])
def test_what_is_no_list_of_marks_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        split_marks(bad)
