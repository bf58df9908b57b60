"""Requests about sessions that are made of other ones."""

from collections.abc import Mapping
from types import NoneType
from typing import Any

import msgspec

from bursar.client.calls import Call
from bursar.client.places import Places, given
from bursar.client.views import SessionView
from bursar.ids import new_id as make_id

__all__ = ["CopyRoutes"]


class CopyRoutes(Places):
    def fork_session(
        self,
        session: str | SessionView,
        at: int | None = None,
        *,
        id: str | None = None,  # noqa: A002  (the field's name)
        agent: str | None = None,
        model: str | None = None,
        system_prompt: str | None = None,
        workspace_path: str | None = None,
        priority: str | None = None,
        title: str | None = None,
        tags: tuple[str, ...] | None = None,
        custom: dict[str, Any] | None = None,
        limit_microusd: int | None = None,
        token_limit: int | None = None,
        per_action_microusd: int | None = None,
        per_turn_microusd: int | None = None,
        warn_percent: int | None = None,
    ) -> Call[SessionView]:
        """Make a session that goes on from a message of this one. Safe to repeat.

        What is not given is as there. It has spent nothing, and nothing is allowed to it.

        Args:
            at: index of the last message that is copied; None for all that there are.

        Raises:
            InvalidInput: ``inside_step``: tool calls would lack their results; the details have
                the nearest points ``before`` and ``after``.

        """
        body = given(
            at=at,
            id=id,
            agent=agent,
            model=model,
            system_prompt=system_prompt,
            workspace_path=workspace_path,
            priority=priority,
            title=title,
            tags=tags,
            custom=custom,
            limit_microusd=limit_microusd,
            token_limit=token_limit,
            per_action_microusd=per_action_microusd,
            per_turn_microusd=per_turn_microusd,
            warn_percent=warn_percent,
        )
        path = self._of(session, "/fork")
        return Call(method="POST", path=path, kind=SessionView, body=body, key=make_id("idm"))

    def export_session(self, session: str | SessionView) -> Call[None]:
        return Call(method="GET", path=self._of(session, "/export"), kind=NoneType)

    def import_session(
        self,
        document: bytes | Mapping[str, Any],
        *,
        new_id: bool = False,
        limit_microusd: int | None = None,
        token_limit: int | None = None,
    ) -> Call[SessionView]:
        """Make a session of a document that was exported. Safe to repeat.

        Args:
            document: as JSON, or what that decodes to.
            new_id: whether it gets an id of its own, which is free for sure.
            limit_microusd: of its account; the document's is information.

        Raises:
            InvalidInput: names the place in the document.
            Conflict: ``session_exists``; that one stays as it is.

        """
        body = msgspec.Raw(document) if isinstance(document, bytes) else document
        params: dict[str, str | int] = {"new_id": "true"} if new_id else {}
        params |= given(limit_microusd=limit_microusd, token_limit=token_limit)
        path = self._in_workspace("/sessions/import")
        return Call(
            method="POST",
            path=path,
            kind=SessionView,
            params=params,
            body=body,
            key=make_id("idm"),
        )
