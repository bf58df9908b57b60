"""The gateway's routes about capabilities and signing keys. See `bursar.client.routes`."""

from collections.abc import Sequence
from types import NoneType

from bursar.client.calls import Call
from bursar.client.capability_views import (
    CapabilityInspection,
    MintedCapability,
    OutsidePath,
    SigningKeyView,
)
from bursar.client.places import Places, given, id_of

__all__ = ["CapabilityRoutes"]


class CapabilityRoutes(Places):
    """Builds the requests about signed rights."""

    def mint_capability(
        self,
        patterns: Sequence[str],
        *,
        scope: str | None = None,
        session: str | None = None,
        expires_in_s: int | None = None,
        starts_in_s: int | None = None,
        single_use: bool | None = None,
        depth: int | None = None,
        manifest: str | None = None,
        folder: str | None = None,
        outside: Sequence[OutsidePath] | None = None,
        note: str | None = None,
    ) -> Call[MintedCapability]:
        """Give out a right to call without being asked. Needs an approver's key.

        Args:
            patterns: of the actions, such as ``file+write://reports/**``.
            scope: ``workspace`` (default), ``tree`` or ``session``, with ``session``.
            expires_in_s: an hour if not given, 30 days at most.
            starts_in_s: when it begins to count.
            single_use: for one call in all.
            depth: how many times more something may be derived from it.
            manifest: hash of the tool, if another form of it is not meant.
            folder: the session's folder that the patterns are meant in; none for any.
            outside: places outside of the session's folder that it opens.
            note: what it is for.

        """
        body = {"patterns": list(patterns)} | given(
            scope=scope,
            session=session,
            expires_in_s=expires_in_s,
            starts_in_s=starts_in_s,
            single_use=single_use,
            depth=depth,
            manifest=manifest,
            folder=folder,
            outside=outside,
            note=note,
        )
        path = self._in_workspace("/capabilities")
        return Call(method="POST", path=path, kind=MintedCapability, body=body)

    def derive_capability(
        self,
        token: str,
        *,
        patterns: Sequence[str] | None = None,
        scope: str | None = None,
        session: str | None = None,
        expires_in_s: int | None = None,
        starts_in_s: int | None = None,
        single_use: bool | None = None,
        depth: int | None = None,
        manifest: str | None = None,
        folder: str | None = None,
        outside: Sequence[OutsidePath] | None = None,
        note: str | None = None,
    ) -> Call[MintedCapability]:
        """Make a part of a right that is in force; what is left out is as in ``token``."""
        body = {"token": token} | given(
            patterns=None if patterns is None else list(patterns),
            scope=scope,
            session=session,
            expires_in_s=expires_in_s,
            starts_in_s=starts_in_s,
            single_use=single_use,
            depth=depth,
            manifest=manifest,
            folder=folder,
            outside=outside,
            note=note,
        )
        path = self._in_workspace("/capabilities/derive")
        return Call(method="POST", path=path, kind=MintedCapability, body=body)

    def inspect_capability(
        self,
        *,
        token: str | None = None,
        id: str | None = None,  # noqa: A002  (the field's name)
    ) -> Call[CapabilityInspection]:
        """Ask whether a token, or the capability with an id, is good now, and if not, why not."""
        path, body = self._in_workspace("/capabilities/inspect"), given(token=token, id=id)
        return Call(method="POST", path=path, kind=CapabilityInspection, body=body)

    def list_capabilities(self) -> Call[list[CapabilityInspection]]:
        """All that are in force, and those that ended a short while ago; oldest first."""
        path = self._in_workspace("/capabilities")
        return Call(method="GET", path=path, kind=list[CapabilityInspection])

    def import_capability(self, token: str) -> Call[CapabilityInspection]:
        """Put a token in force again. What was revoked or used up stays so."""
        path, body = self._in_workspace("/capabilities/import"), {"token": token}
        return Call(method="POST", path=path, kind=CapabilityInspection, body=body)

    def revoke_capability(self, capability: str) -> Call[None]:
        """Revoke one by its id, and with it all that were derived from it."""
        path = self._in_workspace(f"/capabilities/{id_of(capability)}")
        return Call(method="DELETE", path=path, kind=NoneType)

    # -- the keys that sign

    def list_signing_keys(self) -> Call[list[SigningKeyView]]:
        """The public halves, newest first."""
        return Call(method="GET", path="/v1/signing-keys", kind=list[SigningKeyView])

    def rotate_signing_key(self) -> Call[SigningKeyView]:
        """Sign with a new key from now on; what older ones signed stays valid."""
        return Call(method="POST", path="/v1/signing-keys/rotate", kind=SigningKeyView)

    def revoke_signing_key(self, kid: str) -> Call[SigningKeyView]:
        """End all that a key ever signed, everywhere within a second."""
        path = f"/v1/signing-keys/{id_of(kid)}"
        return Call(method="DELETE", path=path, kind=SigningKeyView)
