"""Sealers seal everything once, publish the head, and put no seal on what looks changed."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from bursar.audit import sealing
from bursar.audit.chain import INSTALLATION
from bursar.audit.keyring import KeyRing
from bursar.audit.listing import Filter, read_page
from bursar.audit.sealing import accept_head
from bursar.errors import Conflict
from bursar.signing import SigningKey
from bursar.store.keys import GlobalKeys
from support.audit_desk import Desk


async def test_what_was_appended_is_sealed_and_its_head_published(desk: Desk) -> None:
    await desk.write(4)
    sealed = await desk.seal()
    state = await desk.state()
    assert (sealed.to_seq, sealed.entries, sealed.problem) == (5, 5, "")
    assert (state.audit_seq, state.sealed_seq, state.published_seq) == (5, 5, 5)
    assert [state.published] == await desk.seals()
    assert (await desk.verify()).ok


async def test_a_second_round_finds_nothing_to_do(desk: Desk) -> None:
    await desk.write(4)
    await desk.seal()
    before = await desk.state()
    assert (await desk.seal()).entries == 0
    assert await desk.state() == before


async def test_a_seal_is_for_a_thousand_entries_at_most(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sealing.MAX_ENTRIES == 1000
    monkeypatch.setattr(sealing, "MAX_ENTRIES", 4)
    await desk.write(9)
    assert (await desk.seal()).entries == 10
    assert [(seal.from_seq, seal.to_seq) for seal in await desk.seals()] == [
        (1, 4),
        (5, 8),
        (9, 10),
    ]
    assert (await desk.verify()).ok


async def test_an_empty_log_gets_no_seal(desk: Desk) -> None:
    empty = Desk(desk.store, desk.log, desk.key, desk.ring)
    await desk.store.redis.call("DEL", desk.log.entries)
    await desk.store.redis.call("HSET", desk.log.counter, "audit_seq", 0)
    assert await empty.seal() == sealing.Sealed(0)
    assert (await empty.state()).published is None


async def test_many_sealers_at_once_make_one_chain(desk: Desk) -> None:
    async def writer() -> None:
        for _ in range(20):
            await desk.write()

    async def sealer() -> None:
        for _ in range(20):
            assert (await desk.seal()).problem == ""

    await asyncio.gather(writer(), writer(), *(sealer() for _ in range(5)))
    assert (await desk.seal()).problem == ""
    verdict = await desk.verify()
    assert verdict.ok, verdict.findings
    assert verdict.sealed_seq == verdict.last_seq == 41


async def test_a_head_that_its_sealer_did_not_live_to_publish_is_published_by_the_next(
    desk: Desk,
) -> None:
    await desk.written(4, 4)
    first = (await desk.seals())[0]
    call = desk.store.redis.call
    await call("HSET", GlobalKeys.audit_heads, desk.log.workspace, msgspec.json.encode(first))
    await call("HSET", desk.log.counter, "published_seq", first.to_seq)
    assert (await desk.seal()).problem == ""
    assert (await desk.state()).published == (await desk.seals())[1]


Spoil = Callable[[Desk], Any]


async def edit_the_last_seal(desk: Desk) -> None:
    ((entry, fields),) = await desk.store.redis.call("XRANGE", desk.log.seals, "-", "+")
    await desk.store.redis.call("DEL", desk.log.seals)
    changed = fields[b"d"].replace(b'"count":5', b'"count":4')
    await desk.store.redis.call("XADD", desk.log.seals, entry, "d", changed)


async def drop_the_seals(desk: Desk) -> None:
    await desk.store.redis.call("DEL", desk.log.seals)


async def seal_with_another_key(desk: Desk) -> None:
    seal = (await desk.seals())[-1]
    other = msgspec.structs.replace(seal, kid=SigningKey.generate().kid)
    await drop_the_seals(desk)
    await desk.store.redis.call(
        "XADD", desk.log.seals, f"{seal.to_seq}-0", "d", msgspec.json.encode(other)
    )


async def drop_an_unsealed_entry(desk: Desk) -> None:
    await desk.store.redis.call("XDEL", desk.log.entries, "6-0")


async def number_an_unsealed_entry_anew(desk: Desk) -> None:
    await desk.store.redis.call("XTRIM", desk.log.entries, "MAXLEN", "=", 0)
    await desk.store.redis.call("DEL", desk.log.entries)
    await desk.store.redis.call("XADD", desk.log.entries, "6-0", "d", '{"seq":7}')


async def put_in_uncounted_entries(desk: Desk) -> None:
    await desk.store.redis.call("HSET", desk.log.counter, "audit_seq", 5)


async def make_it_no_log(desk: Desk) -> None:
    await desk.store.redis.call("DEL", desk.log.entries)
    await desk.store.redis.call("HSET", desk.log.entries, "d", 1)


@pytest.mark.parametrize(
    "spoil",
    [edit_the_last_seal, drop_the_seals, seal_with_another_key, drop_an_unsealed_entry,
     number_an_unsealed_entry_anew, put_in_uncounted_entries, make_it_no_log],
)  # fmt: skip
async def test_what_looks_changed_gets_no_seal(
    make_desk: Callable[[str], Desk], spoil: Spoil
) -> None:
    desk = make_desk(INSTALLATION)
    await desk.written(4)
    await desk.write(4)
    seals = await desk.store.redis.call("XLEN", desk.log.seals)
    await spoil(desk)
    assert (await desk.seal()).problem != ""
    assert await desk.store.redis.call("XLEN", desk.log.seals) <= seals
    await desk.store.redis.call("DEL", desk.log.entries)


async def roll_back(desk: Desk) -> None:
    """Nine entries under two seals; then a copy from before the second one is restored."""
    await desk.written(4)
    dumps = [await desk.store.redis.call("DUMP", key) for key in (desk.log.entries, desk.log.seals)]
    names = ("audit_seq", "sealed_seq", "published_seq")
    counters = await desk.store.redis.call("HMGET", desk.log.counter, *names)
    await desk.written(4)
    for key, dump in zip((desk.log.entries, desk.log.seals), dumps, strict=True):
        await desk.store.redis.call("RESTORE", key, 0, dump, "REPLACE")
    for name, value in zip(names, counters, strict=True):
        await desk.store.redis.call("HSET", desk.log.counter, name, value)


async def test_a_log_that_was_rolled_back_keeps_its_published_head(desk: Desk) -> None:
    await roll_back(desk)
    before = (await desk.state()).published
    assert before is not None
    for _ in range(3):
        await desk.write(3)
        sealed = await desk.seal()
        assert f"entry {before.to_seq} was published" in sealed.problem
        assert (await desk.state()).published == before
        verdict = await desk.verify()
        assert not verdict.ok


async def test_a_rolled_back_log_can_be_accepted_and_the_installation_says_so(desk: Desk) -> None:
    await roll_back(desk)
    lost = (await desk.state()).published
    await desk.write(3)
    await desk.seal()
    accepted = await accept_head(
        desk.store, desk.log, desk.ring, actor="key:root", reason="restored"
    )
    state = await desk.state()
    assert lost is not None
    assert state.published is not None
    assert (accepted.published_seq, accepted.published_head) == (lost.to_seq, lost.head)
    assert (accepted.seq, accepted.head) == (state.published.to_seq, state.published.head)
    installation = Desk(
        desk.store, type(desk.log).of(desk.store, INSTALLATION), desk.key, desk.ring
    )
    newest = (await read_page(desk.store, installation.log, Filter(), limit=1)).entries[0]
    assert (newest.actor, newest.action, newest.reason) == ("key:root", "audit.accept", "restored")
    assert newest.details["published_head"] == lost.head
    assert (await desk.seal()).problem == ""
    assert (await desk.verify()).ok
    assert not (await desk.verify({lost.to_seq: lost.head})).ok, "who kept a head still sees it"


async def test_there_is_nothing_to_accept_in_a_log_that_is_in_order(desk: Desk) -> None:
    await desk.written(4)
    with pytest.raises(Conflict) as caught:
        await accept_head(desk.store, desk.log, desk.ring, actor="key:root", reason="x")
    assert caught.value.code == "audit_agrees"


async def test_a_log_with_a_wrong_last_seal_cannot_be_accepted(desk: Desk) -> None:
    await desk.written(4)
    await seal_with_another_key(desk)
    with pytest.raises(Conflict) as caught:
        await accept_head(desk.store, desk.log, desk.ring, actor="key:root", reason="x")
    assert caught.value.code == "audit_differs"


async def test_the_key_may_change_between_seals(desk: Desk) -> None:
    await desk.written(4)
    fresh = SigningKey.generate()
    desk.ring = KeyRing.of_texts({desk.key.kid: desk.key.public, fresh.kid: fresh.public})
    desk.key = fresh
    await desk.written(4)
    verdict = await desk.verify()
    assert verdict.ok, verdict.findings
    assert len(verdict.keys) == 2
