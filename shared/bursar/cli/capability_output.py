"""How ``bursar capabilities`` shows them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bursar.cli.output import ago, ahead, clean, console, print_fields, print_json, print_table

if TYPE_CHECKING:
    from bursar.client import CapabilityInspection, CapabilityView, MintedCapability, OutsidePath

__all__ = ["print_capabilities", "print_inspection", "print_minted"]


def print_capabilities(found: "Sequence[CapabilityInspection]") -> None:
    rows = [
        [
            view.id,
            one.state,
            _place(view),
            ahead(view.expires_ms) if one.state == "valid" else "",
            "once" if view.single_use else "",
            _escaped(", ".join(view.patterns)),
            _escaped(view.note),
        ]
        for one in found
        if (view := one.capability) is not None
    ]
    columns = ["capability", "state", "for", "ends", "", "permits", "note"]
    print_table(columns, rows, empty="no capabilities")


def print_minted(made: "MintedCapability", *, as_json: bool) -> None:
    if as_json:
        print_json(made)
        return
    print(made.token)
    view = made.capability
    told = f"{view.id} is in force for {_place(view)} and ends {ahead(view.expires_ms)}"
    console(stderr=True).print(told, style="dim", soft_wrap=True)


def print_inspection(found: "CapabilityInspection") -> None:
    view = found.capability
    fields = {"state": found.state, "why": _escaped(found.why), "code": found.code}
    if view is not None:
        fields |= {
            "capability": view.id,
            "for": _place(view),
            "permits": _escaped("\n".join(view.patterns)),
            "outside": _escaped("\n".join(_place_outside(each) for each in view.outside)),
            "uses": "one" if view.single_use else "any number",
            "given out": f"{ago(view.issued_ms)} by {view.created_by}",
            "ends": ahead(view.expires_ms),
            "derived from": ", ".join(view.ancestors),
            "may be derived": f"{view.depth} times more",
            "manifest": view.manifest,
            "approved by": view.approval
            or (f"audit entry {view.audit_seq}" * bool(view.audit_seq)),
            "note": _escaped(view.note),
            "key": view.kid,
        }
    print_fields(fields)


def _place(view: "CapabilityView") -> str:
    if view.scope == "workspace":
        return "the workspace"
    return f"session {view.session}" if view.scope == "session" else f"the tree of {view.root}"


def _approval(view: "CapabilityView") -> str:
    if view.approval:
        return f"the answer to {view.approval}"
    return f"audit entry {view.audit_seq}" if view.audit_seq else ""


def _place_outside(path: "OutsidePath") -> str:
    return f"{path.operation or 'any use'} of {path.path}{'/**' if path.directory else ''}"


def _escaped(text: str) -> str:
    """What somebody wrote, which is no markup and steers no terminal."""
    from rich.markup import escape

    return escape(clean(text))
