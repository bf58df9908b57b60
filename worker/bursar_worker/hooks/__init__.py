"""An agent's hooks at work; `bursar.hooks` is what users write."""

from bursar_worker.hooks.outcomes import Blocked, PreToolOutcome, ToolText
from bursar_worker.hooks.runner import HookRunner
from bursar_worker.hooks.session_ends import SessionEnds

__all__ = ["Blocked", "HookRunner", "PreToolOutcome", "SessionEnds", "ToolText"]
