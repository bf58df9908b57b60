"""The OpenAPI document: what the routes share in it."""

from collections.abc import Mapping, Sequence
from typing import Any

from litestar.openapi import OpenAPIConfig, ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, Example, SecurityScheme
from litestar.params import Body

from bursar import __version__
from bursar_gateway.problems import MEDIA_TYPE, ProblemBody

__all__ = ["CONFIG", "OPEN", "body", "problems"]

_MEANING = {
    400: ("malformed_json", "The request is malformed."),
    401: ("unauthenticated", "There is no valid API key."),
    402: ("budget_exhausted", "A budget refused."),
    403: ("admin_only", "The key is not enough for this."),
    404: ("session_not_found", "It does not exist, or not for this key."),
    409: ("conflict", "It exists, but not in a state that allows this."),
    413: ("body_too_large", "The body is too large."),
    415: ("not_json", "The body is not declared as JSON."),
    422: ("invalid_input", "A value is wrong; `field` names it."),
    429: ("inbox_full", "A cap is reached."),
    503: ("store_unavailable", "Redis does not answer; `Retry-After` says when to try again."),
}
_WITH_KEY = (400, 401, 503)
_WITH_BODY = (413, 415, 422)

OPEN: list[dict[str, list[str]]] = [{}]
"""Security of routes that need no key."""

CONFIG = OpenAPIConfig(
    title="Bursar",
    version=__version__,
    description="Run AI-agent sessions on many machines, on one budget that cannot be overspent.",
    path="/schema",
    render_plugins=[JsonRenderPlugin()],
    components=Components(
        security_schemes={"key": SecurityScheme(type="http", scheme="bearer")},
    ),
    security=[{"key": []}],
    use_handler_docstrings=True,
    operation_id_creator=lambda handler, _method, _path: handler.handler_name,
)


def problems(
    *statuses: int, with_key: bool = True, with_body: bool = False
) -> Mapping[int, ResponseSpec]:
    """Error responses of a route: those given and those that all of its kind have."""
    found = {*statuses, *(_WITH_KEY if with_key else ()), *(_WITH_BODY if with_body else ())}
    return {status: _problem(status) for status in sorted(found)}


def _problem(status: int) -> ResponseSpec:
    code, meaning = _MEANING[status]
    example = {
        "type": f"urn:bursar:problem:{code}",
        "title": meaning,
        "status": status,
        "detail": meaning,
        "code": code,
    }
    return ResponseSpec(
        ProblemBody,
        description=meaning,
        media_type=MEDIA_TYPE,
        generate_examples=False,
        examples=[Example(summary=code, value=example)],
    )


def body(*examples: Mapping[str, Any]) -> Any:
    """Metadata of a body parameter; each route has an example that works as it is."""
    return Body(examples=list(_examples(examples)))


def _examples(values: Sequence[Mapping[str, Any]]) -> Sequence[Example]:
    return [Example(summary=f"example {n}", value=dict(value)) for n, value in enumerate(values, 1)]
