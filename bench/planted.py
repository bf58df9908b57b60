"""A bug on purpose: a ledger that skips a check now and then, so that it must be found."""

from collections.abc import Iterable, Sequence
from typing import Any

from bursar.store.scripts.loader import Script
from bursar.store.store import Store

__all__ = ["PlantedStore"]

_CHECK = "local function refusal_of(limit, posted, pending, wanted)\n"
# By the hold's id, so that a repeat meets the same bug; a hash, because ids differ in few digits.
_SKIP = """\
  local sum = 0
  for i = 1, #ARGV[3] do sum = (sum * 31 + string.byte(ARGV[3], i)) % 1000003 end
  if sum % 50 == 0 then return nil end
"""


class _Planted(Script):
    def text(self, *, shebang: bool) -> str:
        whole = super().text(shebang=shebang)
        if whole.count(_CHECK) != 1:
            raise ValueError(f"{self.name} has no check to skip any more")
        return whole.replace(_CHECK, _CHECK + _SKIP)


_RESERVE = _Planted("budget_reserve")


class PlantedStore(Store):
    """A store whose holds are let through unchecked in 2 % of the cases."""

    @classmethod
    def over(cls, store: Store) -> "PlantedStore":
        return cls(store.redis, store.settings, generation=store.generation, pepper=store.pepper)

    async def run(
        self, script: Script, keys: Sequence[str], args: Iterable[Any], **options: Any
    ) -> list[Any]:
        planted = _RESERVE if script.name == _RESERVE.name else script
        return await super().run(planted, keys, args, **options)
