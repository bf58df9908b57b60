"""Verifying a token costs the same whether or not there is a key of its name."""

import hmac
from typing import Any

import pytest

from bursar.api_keys import ApiKeys
from bursar.errors import Denied
from bursar.store.store import Store


class Watch:
    """What a verification does that takes time: commands to Redis, digests, comparisons."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[str] = []
        call, compare, digest = store.redis.call, hmac.compare_digest, hmac.digest

        def counted(*command: Any) -> Any:
            self.done.append(f"{command[0]} {command[1]}")
            return call(*command)

        def compared(one: Any, other: Any) -> bool:
            self.done.append(f"compare {len(one)} {len(other)}")
            return compare(one, other)

        def digested(key: Any, message: bytes, name: str) -> bytes:
            self.done.append(f"digest {len(message)}")
            return digest(key, message, name)

        monkeypatch.setattr(store.redis, "call", counted)
        monkeypatch.setattr(hmac, "compare_digest", compared)
        monkeypatch.setattr(hmac, "digest", digested)

    async def verifying(self, keys: ApiKeys, token: str) -> list[str]:
        self.done.clear()
        with pytest.raises(Denied) as caught:
            await keys.verify(token)
        assert (caught.value.code, str(caught.value)) == (
            "unauthenticated",
            "a valid API key is needed",
        )
        return list(self.done)


async def test_a_wrong_secret_costs_what_an_unknown_key_does(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = ApiKeys(store, admin_token="a" * 40)
    made = await keys.create(name="x", workspaces=("acme",), admin=False)
    _, key_id, secret = made.token.split("_")
    wrong, unknown = "0" * len(secret), "0" * len(key_id)
    watch = Watch(store, monkeypatch)
    of_known = await watch.verifying(keys, f"bk_{key_id}_{wrong}")
    assert of_known == await watch.verifying(keys, f"bk_{unknown}_{secret}")
    assert [each.split()[0] for each in of_known] == ["compare", "digest", "HGET", "compare"]
    # What is no token at all goes the same way.
    no_token = await watch.verifying(keys, "nonsense")
    assert [each.split()[0] for each in no_token] == ["compare", "digest", "HGET", "compare"]


async def test_a_refusal_is_not_remembered_so_guessing_fills_no_memory(store: Store) -> None:
    keys = ApiKeys(store)
    for number in range(200):
        with pytest.raises(Denied):
            await keys.verify(f"bk_{number}_x")
    assert keys._good == {}
