"""A monotonic clock that stands until a test moves it."""

from types import ModuleType

import pytest

__all__ = ["HandClock", "hand_clock"]


class HandClock:
    now_s = 100.0


def hand_clock(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> HandClock:
    """Let ``module`` read this clock instead of the machine's."""
    made = HandClock()
    monkeypatch.setattr(module, "monotonic_s", lambda: made.now_s)
    return made
