"""Hooks: functions of yours that look at what an agent is about to do, and may change or stop it.

    @hook("pre_tool", tools="exec://git push **", priority=10)
    async def only_on_weekdays(call: PreTool) -> Block | None:
        return Block("nothing is pushed on weekends") if is_weekend() else None

    Agent(…, hooks=[only_on_weekdays])

| event           | is given       | may return                      | when it fails |
|-----------------|----------------|---------------------------------|---------------|
| `pre_tool`      | `PreTool`      | Block, Modify(arguments=…), Ask, Allow | blocks |
| `post_tool`     | `PostTool`     | Block, Modify(output=…)         | is ignored    |
| `tool_error`    | `ToolFailure`  | Modify(output=…)                | is ignored    |
| `user_prompt`   | `UserPrompt`   | Block, Modify(input=…)          | blocks        |
| `session_start` | `SessionStart` | Block                           | is ignored    |
| `session_end`   | `SessionEnd`   |                                 | is ignored    |

None lets everything be. Hooks of one event run one after the other, lower priority first, then in
the order of the agent's list. The first that blocks ends that; a change is seen by those after it.
"""

from bursar.hooks.contexts import (
    RESULTS,
    Allow,
    Ask,
    Block,
    HookContext,
    HookEvent,
    HookResult,
    Modify,
    PostTool,
    PreTool,
    SessionEnd,
    SessionStart,
    ToolFailure,
    UserPrompt,
)
from bursar.hooks.hook import Hook, hook

__all__ = [
    "RESULTS",
    "Allow",
    "Ask",
    "Block",
    "Hook",
    "HookContext",
    "HookEvent",
    "HookResult",
    "Modify",
    "PostTool",
    "PreTool",
    "SessionEnd",
    "SessionStart",
    "ToolFailure",
    "UserPrompt",
    "hook",
]
