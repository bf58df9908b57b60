"""An export has the very bytes, verifies by itself, and is what trimming asks for."""

from typing import Any

import msgspec
import pytest

from bursar.audit.exporting import export_log
from bursar.audit.keyring import KeyRing
from bursar.audit.lines import End, Head, Item, read_line
from bursar.audit.reading import read_entries
from bursar.audit.trimming import trim_log
from bursar.errors import Conflict
from support.audit_book import verified
from support.audit_desk import Desk


async def test_an_export_verifies_with_the_keys_that_it_names(desk: Desk) -> None:
    await desk.written(4, 3, 2)
    lines = await desk.export()
    end = read_line(lines[-1])
    assert isinstance(end, End)
    verdict = verified(lines, KeyRing.of_texts(end.keys))
    assert verdict.ok, verdict.findings
    assert (verdict.entries, verdict.seals) == (10, 3)


async def test_an_export_has_the_bytes_as_they_are_stored(desk: Desk) -> None:
    await desk.written(4)
    stored = await read_entries(desk.store, "XRANGE", desk.log.entries, "-", "+")
    read = [read_line(line) for line in await desk.export()]
    bodies = [item.stored for item in read if isinstance(item, Item) and item.entry]
    assert bodies == [entry.body for entry in stored]


async def test_an_export_ends_with_what_is_sealed_and_a_look_with_all(desk: Desk) -> None:
    await desk.written(4)
    await desk.write(2)
    sealed, everything = await desk.export(), await desk.export(unsealed=True)
    first = read_line(sealed[0])
    assert isinstance(first, Head)
    assert first.until_seq == 5
    assert len(everything) == len(sealed) + 2
    assert verified(sealed, desk.ring).last_seq == 5
    assert verified(everything, desk.ring).last_seq == 7


async def test_only_a_complete_export_allows_trimming(desk: Desk) -> None:
    await desk.written(4)
    seal = (await desk.seals())[0]
    await desk.export(unsealed=True)
    with pytest.raises(Conflict) as caught:
        await trim_log(desk.store, desk.log, seal.to_seq, seal.head, actor="key:root")
    assert caught.value.code == "not_exported"
    await desk.export()
    assert (await desk.state()).exported_seq == 5
    trimmed = await trim_log(desk.store, desk.log, seal.to_seq, seal.head, actor="key:root")
    assert (trimmed.entries, trimmed.trimmed_seq, trimmed.more) == (5, 5, False)


async def test_a_trimmed_log_verifies_and_goes_on(desk: Desk) -> None:
    await desk.written(4, 3, 2)
    before = verified(await desk.export(), desk.ring)
    middle = (await desk.seals())[1]
    await trim_log(desk.store, desk.log, middle.to_seq, middle.head, actor="key:root")
    kept = {before.sealed_seq: before.head, middle.to_seq: middle.head}
    for _ in range(2):
        verdict = await desk.verify(kept)
        assert verdict.ok, verdict.findings
        assert verdict.first_seq == middle.to_seq + 1
        await desk.written(3)
    second = verified(await desk.export(), desk.ring, kept)
    assert second.ok, second.findings


async def test_much_is_trimmed_in_steps_that_end_with_seals(desk: Desk) -> None:
    await desk.written(3, 3, 3, 3)
    await desk.export()
    last = (await desk.seals())[-1]
    steps = []
    more = True
    while more:
        step = await trim_log(
            desk.store, desk.log, last.to_seq, last.head, actor="key:root", at_most=5
        )
        steps.append((step.entries, step.trimmed_seq))
        more = step.more
    assert steps == [(4, 4), (3, 7), (3, 10), (3, 13)]
    await desk.seal()
    verdict = await desk.verify()
    assert verdict.ok, verdict.findings


async def test_a_step_is_never_smaller_than_a_seal(desk: Desk) -> None:
    await desk.written(9)
    await desk.export()
    (seal,) = await desk.seals()
    step = await trim_log(desk.store, desk.log, seal.to_seq, seal.head, actor="key:root", at_most=2)
    assert (step.entries, step.more) == (10, False)


@pytest.mark.parametrize(
    ("shift", "head", "code"), [(0, "0" * 64, "other_head"), (-1, "", "no_seal")]
)
async def test_whoever_trims_knows_what_was_exported(
    desk: Desk, shift: int, head: str, code: str
) -> None:
    await desk.written(4)
    await desk.export()
    with pytest.raises(Conflict) as caught:
        await trim_log(desk.store, desk.log, 5 + shift, head, actor="key:root")
    assert caught.value.code == code


async def test_an_export_during_a_trimming_breaks_off(desk: Desk) -> None:
    await desk.written(4, 3)
    await desk.export()
    seal = (await desk.seals())[0]
    lines = export_log(desk.store, desk.log, desk.key, desk.ring)
    await anext(lines)
    await trim_log(desk.store, desk.log, seal.to_seq, seal.head, actor="key:root")
    with pytest.raises(Conflict) as caught:
        async for _ in lines:
            pass
    assert caught.value.code == "audit_trimmed"


async def test_what_is_written_while_it_is_read_is_no_alarm(desk: Desk) -> None:
    await desk.written(4)
    lines = export_log(desk.store, desk.log, desk.key, desk.ring, unsealed=True)
    read = [await anext(lines)]
    await desk.written(3)
    await desk.write(2)
    read += [chunk async for chunk in lines]
    verdict = verified(b"".join(read).splitlines(), desk.ring)
    assert verdict.ok, verdict.findings


async def spoil(desk: Desk, body: bytes, **fields: str) -> None:
    entries = await desk.store.redis.call("XRANGE", desk.log.entries, "-", "+")
    await desk.store.redis.call("DEL", desk.log.entries)
    for ident, found in entries:
        flat: list[Any] = ["d", body if ident == b"3-0" else found[b"d"]]
        flat += [part for pair in fields.items() for part in pair] if ident == b"3-0" else []
        await desk.store.redis.call("XADD", desk.log.entries, ident, *flat)


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe", b"{", b"[1]", b'{"a":1}\n{"b":2}', b'{"a":"\xff"}']
)
async def test_whatever_somebody_wrote_comes_out_as_a_line(desk: Desk, body: bytes) -> None:
    await desk.written(4)
    await spoil(desk, body)
    lines = await desk.export()
    items = [item for line in lines if isinstance(item := read_line(line), Item) and item.entry]
    assert items[2].stored == body
    verdict = verified(lines, desk.ring)
    assert verdict.wrong_seq == 3
    await spoil(desk, msgspec.json.encode({"seq": 3}))


async def test_a_log_that_is_no_stream_is_a_refusal(desk: Desk) -> None:
    await desk.written(4)
    await desk.store.redis.call("DEL", desk.log.entries)
    await desk.store.redis.call("SET", desk.log.entries, "x")
    with pytest.raises(Conflict) as caught:
        await desk.export()
    assert caught.value.code == "audit_unreadable"
    await desk.store.redis.call("DEL", desk.log.entries)
