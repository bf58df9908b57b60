"""The scripts that put capabilities in force and end them: each reply; refusals leave no trace."""

from typing import Any

import msgspec
import pytest

from bursar.audit.entries import Record
from bursar.errors import BursarError
from bursar.gate.capabilities import Capability
from bursar.registry import redis_ms
from bursar.store.codec import decode_json, text
from bursar.store.scripts import capabilities as scripts
from bursar.store.scripts.capabilities import (
    KEEP_MS,
    RevokedCapability,
    forget,
    grant_of,
    put_capability,
    revoke_capability,
)
from support.capabilities import Ring
from support.schema import undocumented
from support.stage import Stage, unchanged

RECORD = Record(workspace="acme", actor="key:k1", action="capability.mint", decision="done")
RING = Ring()


async def token(stage: Stage, parent: Capability | None = None, **changes: Any) -> Capability:
    """A token of now, an hour long."""
    now_s = await redis_ms(stage.store) // 1000
    times = {"issued_s": now_s, "not_before_s": now_s, "expires_s": now_s + 3600}
    return RING.mint(parent, **(times | changes))


async def put(stage: Stage, capability: Capability, *, needs_parent: bool = False) -> None:
    await put_capability(stage.store, stage.ws, capability, RECORD, needs_parent=needs_parent)


async def revoke(stage: Stage, capability: Capability) -> None:
    record = RevokedCapability(capability.token, "key:k1", 1, capability.expires_ms + KEEP_MS)
    done = msgspec.structs.replace(RECORD, action="capability.revoke")
    await revoke_capability(stage.store, stage.ws, capability.id, record, done)


async def code_of(stage: Stage, capability: Capability, *, needs_parent: bool = False) -> str:
    """With what code it is refused; nothing is changed by that."""
    async with unchanged(stage.store):
        with pytest.raises(BursarError) as caught:
            await put(stage, capability, needs_parent=needs_parent)
    return caught.value.code


async def version(stage: Stage) -> str:
    return (await stage.hash(stage.ws.hash)).get("gate_version", "0")


async def actions(stage: Stage) -> list[str]:
    entries = await stage.store.redis.call("XRANGE", stage.ws.audit, "-", "+")
    found = [msgspec.json.decode(fields[b"d"])["action"] for _, fields in entries]
    return [action for action in found if action.startswith("capability.")]


async def due_ms(stage: Stage, capability: Capability) -> int:
    timer = stage.ws.capability_timer(capability.id)
    return int(float(await stage.store.redis.call("ZSCORE", stage.ws.shard.timers, timer)))


async def test_one_that_is_put_is_kept_counted_and_recorded(stage: Stage) -> None:
    made = await token(stage)
    await put(stage, made)
    assert await stage.hash(stage.ws.capabilities) == {made.id: made.token}
    assert await due_ms(stage, made) == made.expires_ms + KEEP_MS
    assert await version(stage) == "1"
    assert await actions(stage) == ["capability.mint"]
    await revoke(stage, made)
    if stage.store.redis.real:
        assert await undocumented(stage.store) == []


async def test_the_same_one_again_is_refused(stage: Stage) -> None:
    made = await token(stage)
    await put(stage, made)
    assert await code_of(stage, made) == "capability_exists"


async def test_one_that_has_expired_is_refused(stage: Stage) -> None:
    now_s = await redis_ms(stage.store) // 1000
    old: dict[str, Any] = {"issued_s": now_s - 9, "not_before_s": now_s - 9, "expires_s": now_s - 1}
    assert await code_of(stage, await token(stage, **old)) == "capability_expired"


async def test_a_workspace_and_a_session_that_are_not_there_are_refused(stage: Stage) -> None:
    elsewhere = stage.store.workspace("nowhere")
    with pytest.raises(BursarError) as caught:
        await put_capability(stage.store, elsewhere, await token(stage), RECORD)
    assert caught.value.code == "workspace_not_found"
    for subject in ("session:ses1/ses9", "tree:ses9"):
        assert await code_of(stage, await token(stage, subject=subject)) == "session_not_found"
    await put(stage, await token(stage, subject="session:ses1/ses1"))
    await stage.store.redis.call("HSET", stage.session.hash, "state", "ended")
    assert await code_of(stage, await token(stage, subject="tree:ses1")) == "session_ended"


async def test_a_part_needs_its_parent_in_force_if_it_says_so(stage: Stage) -> None:
    parent = await token(stage)
    child = await token(stage, parent)
    assert await code_of(stage, child, needs_parent=True) == "capability_not_stored"
    await put(stage, parent)
    await put(stage, child, needs_parent=True)
    grandchild = await token(stage, child)
    await put(stage, grandchild)
    assert set(await stage.hash(stage.ws.capabilities)) == {parent.id, child.id, grandchild.id}


async def test_revoking_ends_one_and_bars_all_that_stem_from_it(stage: Stage) -> None:
    parent = await token(stage)
    child = await token(stage, parent)
    await put(stage, parent)
    await put(stage, child)
    await revoke(stage, parent)
    assert set(await stage.hash(stage.ws.capabilities)) == {child.id}
    (kept,) = (await stage.hash(stage.ws.revoked)).values()
    assert decode_json(kept, RevokedCapability).token == parent.token
    assert await version(stage) == "3"
    assert (await actions(stage))[-1] == "capability.revoke"
    assert await due_ms(stage, parent) == parent.expires_ms + KEEP_MS
    for one in (parent, await token(stage, parent), await token(stage, child)):
        assert await code_of(stage, one) == "capability_revoked"


async def test_a_second_revocation_and_one_of_nothing_change_nothing(stage: Stage) -> None:
    made = await token(stage)
    await put(stage, made)
    await revoke(stage, made)
    async with unchanged(stage.store):
        for capability, code in (
            (made, "capability_revoked"),
            (await token(stage), "capability_not_found"),
        ):
            with pytest.raises(BursarError) as caught:
                await revoke(stage, capability)
            assert caught.value.code == code


async def test_one_that_was_used_is_not_brought_back_nor_is_what_shares_its_use(
    stage: Stage,
) -> None:
    single = await token(stage, single_use=True)
    below = await token(stage, single, single_use=True)
    await stage.store.redis.call("HSET", stage.ws.used, single.id, "c1")
    assert await code_of(stage, single) == "capability_used"
    assert await code_of(stage, below) == "capability_used"
    await put(stage, await token(stage, single_use=True))


async def test_a_workspace_has_so_many_and_no_more(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripts, "MAX_CAPABILITIES", 2)
    for _ in range(2):
        await put(stage, await token(stage))
    assert await code_of(stage, await token(stage)) == "capabilities_full"


async def test_one_is_forgotten_when_it_is_due_and_not_before(stage: Stage) -> None:
    made = await token(stage, single_use=True)
    await put(stage, made)
    await stage.store.redis.call("HSET", stage.ws.used, made.id, "c1")
    await revoke(stage, made)
    async with unchanged(stage.store):
        assert not await forget(stage.store, stage.ws, made.id)
        assert not await forget(stage.store, stage.ws, "cap_unknown")
    await stage.make_due(stage.ws.shard.timers, stage.ws.capability_timer(made.id))
    assert await forget(stage.store, stage.ws, made.id)
    for key in (stage.ws.capabilities, stage.ws.revoked, stage.ws.used):
        assert await stage.hash(key) == {}
    assert not await forget(stage.store, stage.ws, made.id), "its timer is gone, too"


async def test_what_an_answer_stores_is_as_if_it_were_put(stage: Stage) -> None:
    made = await token(stage)
    grant = grant_of(stage.ws, made, b"{}")
    await put(stage, made)
    stored = await stage.store.redis.call("HGET", grant.key, grant.id)
    assert (stored, grant.left) == (grant.body, "")
    assert await due_ms(stage, made) == int(grant.until_ms)
    assert text(await stage.store.redis.call("ZSCORE", stage.ws.shard.timers, grant.timer))
