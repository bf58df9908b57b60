"""An audit log from its entries to its trimming, for tests that run every script."""

from bursar.api_keys import ApiKeys
from bursar.audit.chain import INSTALLATION
from bursar.audit.keyring import KeyRing
from bursar.audit.trimming import trim_log
from bursar.settings import GatewaySettings
from bursar.signing import PublicKeys, SigningKeys
from bursar.store.scripts.audit import AuditLog, find_lagging
from support.audit_desk import Desk
from support.stage import Stage

__all__ = ["live_through_the_audit"]


async def live_through_the_audit(stage: Stage) -> None:
    """The workspace's log and the installation's: written, sealed, exported, trimmed, verified."""
    store = stage.store
    keys = ApiKeys(store)
    made = await keys.create(name="ci", workspaces=("*",), admin=False)
    await keys.revoke(made.key.id)
    settings = GatewaySettings(
        redis_url=store.settings.redis_url, queue_url=store.settings.queue_url
    )
    signing = await SigningKeys.load(store, settings)
    ring = KeyRing.of(await (await PublicKeys.load(store)).list_keys())
    for name in (stage.ws.id, INSTALLATION):
        desk = Desk(store, AuditLog.of(store, name), signing.current, ring)
        await desk.write(3)
        assert len(await find_lagging(store, [desk.log.counter])) == 1
        sealed = await desk.seal()
        assert sealed.problem == "", sealed
        assert await find_lagging(store, [desk.log.counter]) == []
        await desk.export()
        last = (await desk.seals())[-1]
        trimmed = await trim_log(store, desk.log, last.to_seq, last.head, actor="key:k")
        assert trimmed.entries >= 3
        verdict = await desk.verify()
        assert verdict.ok, verdict.findings
