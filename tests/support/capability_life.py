"""Everything that can become of capabilities and of the keys that sign them."""

from bursar.gate.capability_views import revoke
from bursar.gate.minting import derive, mint
from bursar.gate.terms import DerivedCapability, NewCapability
from bursar.signing import PublicKeys, SigningKeys
from bursar.store.scripts.capabilities import forget
from support.stage import Stage

__all__ = ["live_with_capabilities"]


async def live_with_capabilities(stage: Stage) -> None:
    """Leaves one that is in force, one that was revoked and one that was used."""
    store, ws = stage.store, stage.ws
    signing = SigningKeys(store, None)
    await signing.refresh()
    old = signing.current.kid
    await signing.rotate("key:k1")
    wish = NewCapability(patterns=("send",), single_use=True)
    made = [await mint(store, ws, signing, wish, by="key:k1") for _ in range(3)]
    part = DerivedCapability(token=made[0].token)
    await derive(store, ws, signing, PublicKeys(store), part, by="key:k1")
    await store.redis.call("HSET", ws.used, made[0].id, "trn_1/1/c1")
    for each in made[1:]:
        await revoke(store, ws, each.id, by="key:k1")
    await stage.make_due(ws.shard.timers, ws.capability_timer(made[2].id))
    assert await forget(store, ws, made[2].id)
    await signing.revoke(old, "key:k1")
