"""Rights that an answer gives out beside, and those that end with their session."""

from typing import Any

import pytest

from bursar.errors import InvalidInput
from bursar.gate import capability_views, minting
from bursar.gate.capabilities import Capability, verify
from bursar.gate.terms import DerivedCapability, NewCapability
from bursar.registry import redis_ms
from bursar.settings import GatewaySettings
from bursar.signing import PublicKeys, SigningKeys
from bursar.store.store import Store
from support.stage import Stage, unchanged

WISH = NewCapability(patterns=("send",))


class Office:
    """Whoever gives rights out in the stage's workspace."""

    def __init__(self, stage: Stage, signing: SigningKeys) -> None:
        self.stage, self.signing = stage, signing
        self.keys = PublicKeys(stage.store)

    async def mint(self, **more: Any) -> Capability:
        wish = NewCapability(**({"patterns": ("send",)} | more))
        return await minting.mint(self.stage.store, self.stage.ws, self.signing, wish, by="key:k1")

    async def derive(self, parent: Capability, **more: Any) -> Capability:
        wish = DerivedCapability(token=parent.token, **more)
        stage = self.stage
        return await minting.derive(
            stage.store, stage.ws, self.signing, self.keys, wish, by="key:k2"
        )

    async def states(self) -> dict[str, str]:
        stage = self.stage
        found = await capability_views.list_capabilities(stage.store, stage.ws, self.keys)
        return {one.capability.id: one.state for one in found if one.capability}


@pytest.fixture
async def office(store: Store) -> Office:
    stage = await Stage.build(store)
    settings = GatewaySettings(redis_url=store.settings.redis_url)
    return Office(stage, await SigningKeys.load(store, settings))


async def test_what_an_answer_gives_out_is_good_and_names_the_question(office: Office) -> None:
    """It is not in force by itself: the script that takes the answer stores it."""
    stage = office.stage
    async with unchanged(stage.store):
        made, record = await minting.for_answer(
            stage.store,
            stage.ws,
            office.signing,
            NewCapability(patterns=("send",), expires_in_s=30 * 86_400, depth=0),
            approval="apr_1",
            by="key:k1",
        )
    await office.keys.refresh()
    now = await redis_ms(stage.store)
    found = verify(made.token, office.keys, workspace="acme", now_ms=now)
    assert (found.claims.approval, found.claims.audit_seq, found.chain) == ("apr_1", 0, ())
    assert (record.action, record.proof_id, record.actor) == ("capability.mint", made.id, "key:k1")
    assert record.details["approval"] == "apr_1"


async def test_a_long_wish_is_refused_before_anything_is_on_record(office: Office) -> None:
    stage = office.stage
    patterns = tuple(f"file+read://{'x' * 900}{n}" for n in range(10))
    async with unchanged(stage.store):
        with pytest.raises(InvalidInput) as caught:
            await office.mint(patterns=patterns)
    assert caught.value.code == "capability_too_large"


async def test_a_chain_that_grows_too_long_says_so(office: Office) -> None:
    first = await office.mint(patterns=("file+read://" + "x" * 1000,), depth=4)
    third = await office.derive(await office.derive(first))
    with pytest.raises(InvalidInput) as caught:
        await office.derive(third)
    assert caught.value.code == "capability_too_large"


async def test_what_is_derived_may_be_derived_from_as_often_as_was_said(office: Office) -> None:
    first = await office.mint(depth=2)
    second = await office.derive(first)
    third = await office.derive(second)
    assert [one.claims.depth for one in (first, second, third)] == [2, 1, 0]
    assert third.chain == (second.id, first.id)
    with pytest.raises(InvalidInput) as caught:
        await office.derive(third)
    assert caught.value.code == "capability_too_deep"


async def test_a_session_takes_what_was_given_to_it_along(office: Office) -> None:
    stage = office.stage
    child = stage.other("ses2")
    await child.open(parent="ses1")
    of_tree = await office.mint(scope="tree", session="ses2")
    of_root = await office.mint(scope="session", session="ses1")
    of_child = await office.mint(scope="session", session="ses2")
    of_all = await office.mint()
    part = await office.derive(of_all, scope="session", session="ses2")
    assert set((await office.states()).values()) == {"valid"}

    await capability_views.end_of_session(stage.store, stage.ws, "ses2", "ses1")
    states = await office.states()
    assert {id_ for id_, state in states.items() if state == "revoked"} == {of_child.id, part.id}
    await capability_views.end_of_session(stage.store, stage.ws, "ses1", "ses1")
    states = await office.states()
    assert {id_ for id_, state in states.items() if state == "valid"} == {of_all.id}
    assert (states[of_tree.id], states[of_root.id]) == ("revoked", "revoked")
    async with unchanged(stage.store):
        await capability_views.end_of_session(stage.store, stage.ws, "ses1", "ses1")


async def test_what_cannot_be_read_can_be_seen_through_and_ended(office: Office) -> None:
    stage = office.stage
    await stage.store.redis.call("HSET", stage.ws.capabilities, "cap_odd", "no token")
    (found,) = await capability_views.list_capabilities(stage.store, stage.ws, office.keys)
    assert (found.state, found.code, found.capability) == ("invalid", "capability_malformed", None)
    await capability_views.end_of_session(stage.store, stage.ws, "ses1", "ses1")
    ended = await capability_views.revoke(stage.store, stage.ws, "cap_odd", by="key:k1")
    assert ended.state == "revoked"
    assert await stage.hash(stage.ws.capabilities) == {}
