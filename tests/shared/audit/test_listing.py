"""Pages of entries, by number and by what they are about."""

import pytest

from bursar.audit.listing import AuditPage, Filter, read_page
from support.audit_desk import Desk


async def page(desk: Desk, wanted: Filter | None = None, **where: int) -> AuditPage:
    more = {"limit": 100, **where}
    return await read_page(desk.store, desk.log, wanted or Filter(), **more)


def seqs(found: AuditPage) -> list[int]:
    return [entry.seq for entry in found.entries]


async def test_the_newest_come_first_and_pages_go_backwards(desk: Desk) -> None:
    await desk.write(6)
    first = await page(desk, limit=3)
    assert (seqs(first), first.more, first.seen_seq) == ([7, 6, 5], True, 5)
    second = await page(desk, before=first.seen_seq, limit=3)
    third = await page(desk, before=second.seen_seq, limit=3)
    assert (seqs(second), seqs(third), third.more) == ([4, 3, 2], [1], False)


async def test_pages_go_forwards_from_an_entry(desk: Desk) -> None:
    await desk.write(6)
    first = await page(desk, after=0, limit=4)
    second = await page(desk, after=first.seen_seq, limit=4)
    assert (seqs(first), seqs(second)) == ([1, 2, 3, 4], [5, 6, 7])
    assert (first.more, second.more) == (True, False)
    assert seqs(await page(desk, after=7)) == []


async def test_entries_are_found_by_what_they_are_about(desk: Desk) -> None:
    await desk.write(2, action="tool://local/read", session="s1")
    await desk.write(2, action="tool://local/write", session="s2")
    await desk.write(1, action="budget.limit")
    assert len(seqs(await page(desk, Filter(action="tool://local/read")))) == 2
    assert len(seqs(await page(desk, Filter(action="tool://*")))) == 4
    assert len(seqs(await page(desk, Filter(session="s2", action="tool://*")))) == 2
    assert seqs(await page(desk, Filter(decision="deny"))) == []
    assert seqs(await page(desk, Filter(action="tool"))) == [], "a word is the whole word"


async def test_a_search_goes_on_where_it_stopped(desk: Desk) -> None:
    await desk.write(20)
    await desk.write(1, action="y")
    wanted = Filter(action="y")
    found = await read_page(desk.store, desk.log, wanted, after=0, limit=5, look_at=10)
    assert (seqs(found), found.more, found.seen_seq) == ([], True, 10)
    rest = await page(desk, wanted, after=found.seen_seq)
    assert (seqs(rest), rest.more) == ([22], False)


@pytest.mark.parametrize("body", ["nonsense", "{}", '{"seq":"x"}', ""])
async def test_an_entry_that_cannot_be_read_is_shown_as_that(desk: Desk, body: str) -> None:
    await desk.store.redis.call("XADD", desk.log.entries, "99-0", "d", body)
    entry = (await page(desk, limit=1)).entries[0]
    assert entry.seq == 99
    assert "verify the log" in entry.reason
    await desk.store.redis.call("XDEL", desk.log.entries, "99-0")
