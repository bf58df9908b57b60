"""A bug on purpose in whatever script has the line, so that a test of the scripts must find it."""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

from bursar.store.scripts.loader import Script
from bursar.store.store import Store

__all__ = ["BuggyStore"]


class _Buggy(Script):
    def __init__(self, name: str, line: str, instead: str) -> None:
        super().__init__(name)
        self._line = line
        self._instead = instead

    def text(self, *, shebang: bool) -> str:
        return super().text(shebang=shebang).replace(self._line, self._instead)


class BuggyStore(Store):
    """A store whose scripts have one line replaced by another."""

    _planted: Callable[[Script], Script]

    @classmethod
    def over(cls, store: Store, line: str, instead: str) -> "BuggyStore":
        buggy = cls(store.redis, store.settings, generation=store.generation, pepper=store.pepper)

        @cache
        def planted(script: Script) -> Script:
            return _Buggy(script.name, line, instead) if line in script.body else script

        buggy._planted = planted
        return buggy

    async def run(
        self, script: Script, keys: Sequence[str], args: Iterable[Any], **options: Any
    ) -> list[Any]:
        return await super().run(self._planted(script), keys, args, **options)
