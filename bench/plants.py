"""Bugs on purpose in the scripts of the gate, so that each audit shows that it would find them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from bursar.store.scripts.loader import Script
from bursar.store.store import Store

__all__ = ["PLANTS", "Plant", "PlantedStore"]


@dataclass(frozen=True)
class Plant:
    """What a script says instead of what it should say: pairs of the right and the wrong."""

    script: str
    changes: tuple[tuple[str, str], ...]

    def apply(self, text: str) -> str:
        for right, wrong in self.changes:
            if text.count(right) != 1:
                raise ValueError(f"{self.script} has nothing to break any more: {right}")
            text = text.replace(right, wrong)
        return text


def _plant(script: str, *changes: tuple[str, str]) -> Plant:
    return Plant(script, changes)


_RAISE = "redis.call('HINCRBY', workspace, 'gate_version', 1)"

PLANTS = {
    "every answer counts": _plant(
        "approval_answer", ("if a[1] ~= 'pending' and a[1] ~= 'deferred' then", "if false then")
    ),
    "answers wake nobody": _plant(
        "approval_answer",
        (
            "redis.call('RPUSH', inbox, string.format('%d approval ', inbox_seq) .. tid)",
            "if true then return {'held', '', s[1], s[2], s[3], tostring(inbox_seq)} end",
        ),
    ),
    "a no is a yes": _plant("approval_answer", ("'state', answer.state", "'state', 'approved'")),
    "arguments are not compared": _plant("tool_start", ("a[2] ~= parts[1]", "false")),
    "the state is not looked at": _plant(
        "tool_start", ("if not waits and not again then", "if false then")
    ),
    "calls leave no mark": _plant(
        "tool_start",
        ("'state', 'consumed'", "'state', 'approved'"),
        ("'HSET', effects, call, 'sent'", "'HSET', effects, call, before[1]"),
    ),
    "uses are not counted": _plant("tool_start", ("if left then", "if false then")),
    "new rules raise no version": _plant("policy_put", (_RAISE, "local forgotten = 1")),
}
"""By what goes wrong."""


class _Planted(Script):
    def __init__(self, name: str, plant: str) -> None:
        super().__init__(name)
        self._plant = plant

    def text(self, *, shebang: bool) -> str:
        return PLANTS[self._plant].apply(super().text(shebang=shebang))


@cache
def _planted(name: str, plant: str) -> Script:
    return _Planted(name, plant)


class PlantedStore(Store):
    """A store of this process in which one script is wrong."""

    plant: str

    @classmethod
    def over(cls, store: Store, plant: str) -> "PlantedStore":
        made = cls(store.redis, store.settings, generation=store.generation, pepper=store.pepper)
        made.plant = plant
        return made

    async def run(
        self, script: Script, keys: Sequence[str], args: Iterable[Any], **options: Any
    ) -> list[Any]:
        if script.name == PLANTS[self.plant].script:
            script = _planted(script.name, self.plant)
        return await super().run(script, keys, args, **options)
