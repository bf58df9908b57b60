"""The keys that sign: one current one, whoever starts when; rotation, revocation, the setting."""

import asyncio
import base64

import msgspec
import pytest
from pydantic import SecretStr

from bursar.audit.entries import Record
from bursar.errors import Conflict, InvalidInput, NotFound, StoreUnfit
from bursar.settings import GatewaySettings, Settings
from bursar.signing import MAX_AGE_S, PublicKeys, SigningKey, SigningKeys
from bursar.store.codec import text
from bursar.store.keys import GlobalKeys
from bursar.store.scripts.signing import KeyChange, change_keys
from bursar.store.store import Store
from support.gateway import wait_until
from support.schema import undocumented
from support.stage import unchanged

SEED = base64.b64encode(bytes(range(32))).decode()
OTHER_SEED = base64.b64encode(bytes(range(1, 33))).decode()


@pytest.fixture
def plain(settings: Settings) -> GatewaySettings:
    return GatewaySettings(redis_url=settings.redis_url)


def with_seed(plain: GatewaySettings, seed: str) -> GatewaySettings:
    return plain.model_copy(update={"signing_key": SecretStr(seed)})


async def states(store: Store) -> dict[str, str]:
    return {view.kid: view.state for view in await PublicKeys(store).list_keys()}


async def secrets(store: Store) -> set[str]:
    return {text(kid) for kid in await store.redis.call("HKEYS", GlobalKeys.signing_secrets)}


async def recorded(store: Store) -> list[tuple[str, str, str]]:
    """What the installation's log says of keys: what was done, by whom, to which."""
    entries = await store.redis.call("XRANGE", GlobalKeys.audit, "-", "+")
    found = [msgspec.json.decode(fields[b"d"]) for _, fields in entries]
    return [(one["action"], one["actor"], one["proof_id"]) for one in found]


async def test_the_first_gateway_makes_a_key_and_the_next_takes_it(
    store: Store, plain: GatewaySettings
) -> None:
    first = await SigningKeys.load(store, plain)
    second = await SigningKeys.load(store, plain)
    kid = first.current.kid
    assert second.current.kid == kid
    assert second.current.seed == first.current.seed
    assert await states(store) == {kid: "current"}
    assert await secrets(store) == {kid}
    assert await recorded(store) == [("signing_key.create", "system", kid)]
    assert await undocumented(store) == []


async def test_gateways_that_start_at_once_end_with_one_key(
    store: Store, plain: GatewaySettings
) -> None:
    loaded = await asyncio.gather(*(SigningKeys.load(store, plain) for _ in range(8)))
    (kid,) = {keys.current.kid for keys in loaded}
    assert await states(store) == {kid: "current"}
    assert await secrets(store) == {kid}


async def test_what_the_private_half_signs_the_public_half_verifies(
    store: Store, plain: GatewaySettings
) -> None:
    signing = await SigningKeys.load(store, plain)
    signature = signing.current.sign(b"data")
    public = await (await PublicKeys.load(store)).get(signing.current.kid)
    assert public is not None
    assert public.verify(signature, b"data")
    assert not public.verify(signature, b"date")
    assert not public.verify(signature[:-1] + b"x", b"data")
    assert not public.verify(b"", b"data")


def test_a_key_is_the_same_in_whatever_form_it_is_given() -> None:
    one = SigningKey.from_seed(SEED)
    unpadded = base64.urlsafe_b64encode(bytes(range(32))).decode().rstrip("=")
    assert SigningKey.from_seed(f" {unpadded}\n").kid == one.kid
    assert SigningKey.from_seed(one.seed).public == one.public
    assert one.seed not in repr(one)


async def test_rotation_lets_old_keys_verify_and_drops_their_private_halves(
    store: Store, plain: GatewaySettings
) -> None:
    signing, other = await SigningKeys.load(store, plain), await SigningKeys.load(store, plain)
    old = signing.current
    view = await signing.rotate("key:k1")
    assert (view.kid, view.state) == (signing.current.kid, "current")
    assert view.kid != old.kid
    assert await states(store) == {old.kid: "retired", view.kid: "current"}
    assert await secrets(store) == {view.kid}
    public = await PublicKeys(store).get(old.kid)
    assert public is not None
    assert (public.is_revoked, public.verify(old.sign(b"x"), b"x")) == (False, True)
    assert (await recorded(store))[-1] == ("signing_key.rotate", "key:k1", view.kid)

    await other.refresh(max_age_s=0)
    assert other.current.kid == view.kid


async def test_rotations_at_once_leave_one_current_key(
    store: Store, plain: GatewaySettings
) -> None:
    gateways = [await SigningKeys.load(store, plain) for _ in range(3)]
    made = await asyncio.gather(*(gateway.rotate("key:k1") for gateway in gateways))
    found = await states(store)
    assert len({view.kid for view in made}) == 3
    assert sorted(found.values()) == ["current", "retired", "retired", "retired"]
    (current,) = [kid for kid, state in found.items() if state == "current"]
    assert await secrets(store) == {current}
    for gateway in gateways:
        await gateway.refresh(max_age_s=0)
        assert gateway.current.kid == current


async def test_revoking_a_key_ends_it_and_the_current_one_is_followed_by_another(
    store: Store, plain: GatewaySettings
) -> None:
    signing, other = await SigningKeys.load(store, plain), await SigningKeys.load(store, plain)
    old = signing.current.kid
    view = await signing.revoke(old, "key:k1")
    assert (view.state, view.revoked_ms is not None) == ("revoked", True)
    assert await states(store) == {old: "revoked", signing.current.kid: "current"}
    assert await secrets(store) == {signing.current.kid}
    await other.refresh(max_age_s=0)
    assert other.current.kid == signing.current.kid
    assert ("signing_key.revoke", "key:k1", old) in await recorded(store)


async def test_a_second_revocation_and_an_unknown_key_change_nothing(
    store: Store, plain: GatewaySettings
) -> None:
    signing = await SigningKeys.load(store, plain)
    kid = signing.current.kid
    await signing.revoke(kid, "key:k1")
    async with unchanged(store):
        with pytest.raises(Conflict) as again:
            await signing.revoke(kid, "key:k1")
        with pytest.raises(NotFound) as unknown:
            await signing.revoke("sk_000000000000000000000000", "key:k1")
    assert again.value.code == "signing_key_revoked"
    assert unknown.value.code == "signing_key_not_found"


async def test_other_processes_know_of_a_revocation_within_a_second(
    store: Store, plain: GatewaySettings
) -> None:
    signing, public = await SigningKeys.load(store, plain), await PublicKeys.load(store)
    kid = signing.current.kid
    before = await public.get(kid)
    assert before is not None and not before.is_revoked  # noqa: PT018
    await signing.revoke(kid, "key:k1")

    async def felt() -> bool:
        key = await public.get(kid)
        return key is not None and key.is_revoked

    await wait_until(felt, "the revocation is felt", timeout_s=MAX_AGE_S + 1)


async def test_what_is_known_without_reading_grows_old(
    store: Store, plain: GatewaySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("bursar.signing.public.monotonic_s", lambda: now)
    kid = (await SigningKeys.load(store, plain)).current.kid
    public = PublicKeys(store)
    assert public.known(kid) is None, "nothing was read"
    await public.refresh()
    now = 101.0
    assert public.known(kid) is not None
    now = 101.01
    assert public.known(kid) is None
    await public.refresh()
    assert public.known(kid) is not None


async def test_a_key_made_just_now_is_found_and_made_up_names_cost_few_reads(
    store: Store, plain: GatewaySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, reads = 100.0, 0
    monkeypatch.setattr("bursar.signing.public.monotonic_s", lambda: now)
    signing, public = await SigningKeys.load(store, plain), await PublicKeys.load(store)
    call = store.redis.call

    def counted(*command: str | int) -> object:
        nonlocal reads
        reads += 1
        return call(*command)

    kid = (await signing.rotate("key:k1")).kid
    monkeypatch.setattr(store.redis, "call", counted)
    assert await public.get(kid) is None, "read less than a tenth of a second ago"
    now += 0.11
    assert await public.get(kid) is not None
    assert reads == 1
    for _ in range(100):
        assert await public.get("sk_made_up") is None
    assert reads == 1


async def test_of_a_key_in_the_settings_nothing_private_is_stored(
    store: Store, plain: GatewaySettings
) -> None:
    stored = await SigningKeys.load(store, plain)
    given = await SigningKeys.load(store, with_seed(plain, SEED))
    assert given.current.kid == SigningKey.from_seed(SEED).kid
    assert await states(store) == {stored.current.kid: "retired", given.current.kid: "current"}
    assert await secrets(store) == set()
    with pytest.raises(Conflict) as caught:
        await given.rotate("key:k1")
    assert caught.value.code == "signing_key_is_set"


async def test_gateways_with_two_keys_do_not_push_each_other_aside(
    store: Store, plain: GatewaySettings
) -> None:
    """In the middle of a roll-out old and new keys sign side by side, and both verify."""
    old = await SigningKeys.load(store, with_seed(plain, SEED))
    new = await SigningKeys.load(store, with_seed(plain, OTHER_SEED))
    async with unchanged(store):
        for keys in (old, new, old):
            await keys.refresh(max_age_s=0)
    assert (await states(store))[new.current.kid] == "current"
    again = await SigningKeys.load(store, with_seed(plain, SEED))
    assert (await states(store))[again.current.kid] == "current"
    assert again.current.kid == old.current.kid


async def test_without_the_setting_again_a_new_key_is_made(
    store: Store, plain: GatewaySettings
) -> None:
    given = await SigningKeys.load(store, with_seed(plain, SEED))
    stored = await SigningKeys.load(store, plain)
    assert await states(store) == {given.current.kid: "retired", stored.current.kid: "current"}
    assert await secrets(store) == {stored.current.kid}


async def test_a_revoked_key_of_the_settings_signs_nothing_and_starts_nothing(
    store: Store, plain: GatewaySettings
) -> None:
    given = await SigningKeys.load(store, with_seed(plain, SEED))
    await given.revoke(given.current.kid, "key:k1")
    with pytest.raises(Conflict) as caught:
        _ = given.current
    assert caught.value.code == "signing_key_revoked"
    with pytest.raises(StoreUnfit) as refused:
        await SigningKeys.load(store, with_seed(plain, SEED))
    assert refused.value.code == "signing_key_revoked"


@pytest.mark.parametrize(
    "seed", [" ", "no base64!", base64.b64encode(b"x" * 31).decode(), SEED + SEED, "=" * 44]
)
async def test_what_is_no_key_is_refused_and_not_shown(
    store: Store, plain: GatewaySettings, seed: str
) -> None:
    async with unchanged(store):
        with pytest.raises(InvalidInput) as caught:
            await SigningKeys.load(store, with_seed(plain, seed))
    assert caught.value.field == "BURSAR_SIGNING_KEY"
    assert len(seed) < 3 or seed not in str(caught.value)


async def test_when_the_data_are_lost_there_is_a_key_again(
    store: Store, plain: GatewaySettings
) -> None:
    stored = await SigningKeys.load(store, plain)
    given = await SigningKeys.load(store, with_seed(plain, SEED))
    await store.redis.call("DEL", GlobalKeys.signing_keys, GlobalKeys.signing_secrets)
    await given.refresh(max_age_s=0)
    assert (await states(store))[given.current.kid] == "current"
    await store.redis.call("DEL", GlobalKeys.signing_keys, GlobalKeys.signing_secrets)
    await stored.refresh(max_age_s=0)
    assert await secrets(store) == {stored.current.kid}


async def test_a_change_of_keys_that_are_not_as_they_were_read_changes_nothing(
    store: Store,
) -> None:
    """Each half of the comparison: another value, one more, one less."""
    record = Record(workspace="", actor="system", action="signing_key.create", decision="done")
    assert await change_keys(store, {}, [KeyChange("sk_1", b"one", "s1")], record)
    known = {b"sk_1": b"one"}
    async with unchanged(store):
        for wrong in ({}, {b"sk_1": b"two"}, known | {b"sk_2": b"two"}, {b"sk_2": b"one"}):
            assert not await change_keys(store, wrong, [KeyChange("sk_1", b"x", "s")], record)
    assert await change_keys(store, known, [KeyChange("sk_1", b"two")], record)
    assert await secrets(store) == set()
    await store.redis.call("DEL", GlobalKeys.signing_keys)
