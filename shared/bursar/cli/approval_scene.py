"""The demo's approval scene: the agent asks before it writes, whatever happens to the processes.

Somebody at a terminal answers in place. Without one, nobody is waited for: a second party, with a
key of its own, shows the question and answers over HTTP.
"""

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from bursar.cli.conversation import Conversation, desk_here
from bursar.cli.live import LiveView
from bursar.cli.output import clean, console
from bursar.cli.question import Background, ended_as, print_question
from bursar.cli.terminal import is_interactive
from bursar.client import Client
from bursar.errors import BursarError

if TYPE_CHECKING:
    from collections.abc import Callable

    from bursar.audit.verdicts import Verdict
    from bursar.cli.supervisor import Installation
    from bursar.client import ClientEvent, SessionView, TurnResult, TurnStream

__all__ = ["ApprovalScene"]

_TOOL = "write_report"
_PATIENCE_S = 60.0
_SEALED_S = 20.0
_POLL_S = 0.1


class ApprovalScene:
    """Three sessions: one is asked about, the next is not, and after a revocation one is again.

    Args:
        client: with the administrator's key, in the demo's workspace.
        begin: opens a session and starts its turn.

    """

    def __init__(
        self,
        installation: "Installation",
        client: Client,
        view: LiveView,
        begin: "Callable[[], tuple[SessionView, TurnStream]]",
    ) -> None:
        self._installation = installation
        self._client = client
        self._view = view
        self._begin = begin
        self._asked: list[str] = []
        self._kill_next = True
        self._scope = "workspace"
        self._timers: list[threading.Timer] = []
        key = client.create_key("colleague", workspaces=(client.routes.workspace,), approver=True)
        self._colleague = Client(client.base_url, key.token, workspace=client.routes.workspace)

    def play(self) -> "tuple[SessionView, TurnResult]":
        """Run all of it; returns the last session and how its turn ended."""
        with self._colleague:
            self._client.set_policy(ask=[_TOOL])
            self._say(f"In this workspace agents have to ask before they use {_TOOL}:")
            self._say(f"  bursar policy set --ask {_TOOL}", style="dim")
            session, result = self._session("The first session", self._view.show)
            for name in ("The next session", "One more session"):
                if not result.ok:
                    break
                session, result = self._session(name, self._only_the_tool)
                self._revoke()
                self._scope = "once"
        return session, result

    def verify(self) -> bool:
        """Show what the audit log has of it, and whether it is whole."""
        from bursar.cli.audit_log import print_entries
        from bursar.cli.audit_verify import print_verdicts

        self._say("\nWhat the audit log has of it:")
        page = self._client.list_audit(limit=1000)
        shown = {f"tool://local/{_TOOL}", "allowance.grant", "allowance.revoke", "policy.set"}
        print_entries([each for each in reversed(page.entries) if each.action in shown])
        verdict = self._verdict()
        self._say("\nComputed anew from its first entry (bursar audit verify):")
        print_verdicts([verdict])
        return verdict.ok

    def _session(
        self, name: str, show: "Callable[[ClientEvent], None]"
    ) -> "tuple[SessionView, TurnResult]":
        asked_before = len(self._asked)
        self._say(f"\n{name} reads and reports.")
        session, stream = self._begin()

        def see(event: "ClientEvent") -> None:
            show(event)
            if event.kind == "approval.requested":
                self._asked.append(str(event.data.get("approval", "")))
            elif event.kind == "turn.waiting" and event.data.get("reason") == "approval":
                self._waits()

        if is_interactive():
            desk = desk_here(self._client)
            result = Conversation(self._client, session, desk, see, self._view).follow(stream)
        else:
            for event in stream:
                see(event)
            self._view.end()
            result = stream.result()
        for timer in self._timers:
            timer.cancel()
        if len(self._asked) == asked_before:
            self._say(f"{name} was not asked about.")
        return session, result

    def _only_the_tool(self, event: "ClientEvent") -> None:
        if event.kind.startswith("turn.") or event.data.get("name") == _TOOL:
            self._view.show(event)

    def _waits(self) -> None:
        """A turn waits for an answer, which the colleague gives if nobody here does."""
        self._view.end()
        if self._kill_next:
            self._kill_next = False
            self._kill_all()
        question = self._asked[-1]
        if not is_interactive():
            view = self._client.get_approval(question)
            print_question(view, Background.look(self._client, view), console())
            self._say("There is no terminal to ask at, so a colleague answers over HTTP.")
            self._answer(question)
            self._say(f"{question}: {ended_as(self._client.get_approval(question))}", style="dim")
            return
        wish = "w shows the most" if self._scope == "workspace" else "o will do"
        self._say(f"Answer below ({wish}); in {_PATIENCE_S:.0f} s a colleague does.")
        timer = threading.Timer(_PATIENCE_S, self._answer, [question])
        timer.daemon = True
        timer.start()
        self._timers.append(timer)

    def _answer(self, question: str) -> None:
        with suppress(BursarError):  # somebody was faster, or the turn is over
            view = self._colleague.get_approval(question)
            self._colleague.answer_approval(view, "approve", scope=self._scope)

    def _kill_all(self) -> None:
        installation = self._installation
        killed = [each for each in (installation.gateway, *installation.workers) if each]
        pids = ", ".join(f"{child.name} {child.pid}" for child in killed)
        self._say(f"kill -9 of the gateway and all workers ({pids}) …")
        for child in killed:
            child.kill()
        for child in killed:
            child.start()
        installation.wait_ready()
        self._say("… and they run again. The question is where it was:")

    def _revoke(self) -> None:
        """Take back what the answer allowed, if it did."""
        for allowance in self._client.list_allowances():
            self._client.revoke_allowance(allowance.id)
            self._say(f"  bursar allowances revoke {allowance.id}", style="dim")
        for found in self._client.list_capabilities():
            if found.capability is not None and found.state == "valid":
                self._client.revoke_capability(found.capability.id)
                self._say(f"  bursar capabilities revoke {found.capability.id}", style="dim")

    def _verdict(self) -> "Verdict":
        from bursar.audit.verifying import Verifier
        from bursar.cli.audit_verify import lines_of, ring_of

        deadline = time.monotonic() + _SEALED_S
        while (state := self._client.get_audit_head()).sealed_seq < state.audit_seq:
            if time.monotonic() > deadline:
                break  # what has no seal yet is said by the verdict
            time.sleep(_POLL_S)
        verifier = Verifier(ring_of(self._client))
        for line in lines_of(self._client, unsealed=True):
            verifier.feed(line)
        return verifier.finish()

    def _say(self, line: str, *, style: str = "") -> None:
        console().print(clean(line), style=style, markup=False, soft_wrap=True)
