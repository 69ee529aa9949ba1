"""Problem details, RFC 9457: what went wrong with a request, as JSON that a program can read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from vanilla.contract import Request, Response, Worker
from vanilla.http1.reply import REASONS
from vanilla.toolkit.composition import Handler
from vanilla.toolkit.json_bodies import encode_json

PROBLEM_TYPE = b"application/problem+json"

_Text = str | bytes


def problem(
    response: Response,
    status: int,
    *,
    title: str | None = None,
    detail: str | None = None,
    type: str | None = None,
    instance: str | None = None,
    headers: Mapping[str, _Text] | Mapping[bytes, _Text] | Iterable[tuple[_Text, _Text]] = (),
    **members: Any,
) -> None:
    """Append one complete response that says what went wrong.

    Args:
        response: what to append it to, by `response.reply`.
        status: of the answer; it is in the content as well.
        title: what such a problem is called, the same each time; without a `type`, the status's own phrase.
        detail: what is wrong with this request, and how to put it right; nothing that only you should know.
        type: a URI that names the problem, best one where a person can read about it; left out it is `about:blank`.
        instance: a URI that names this occurrence.
        headers: further fields, as for `response.reply`.
        members: further members of the object, whatever JSON has a form for.

    Raises: what `encode_json` and `response.reply` raise; nothing is appended then.
    Source: RFC 9457 section 3; section 4.2.1 for the title of about:blank.
    """
    response.reply(
        status, describe(status, title, detail, type, instance, members), content_type=PROBLEM_TYPE, headers=headers
    )


def describe(
    status: int,
    title: str | None = None,
    detail: str | None = None,
    type: str | None = None,
    instance: str | None = None,
    members: Mapping[str, Any] | None = None,
) -> bytes:
    """The content of such a response, for those that you put together yourself. Raises: what `encode_json` raises."""
    if title is None and type is None:
        title = REASONS.get(status, b"").decode() or None
    known = {"type": type, "title": title, "status": status, "detail": detail, "instance": instance}
    return encode_json({**{name: value for name, value in known.items() if value is not None}, **(members or {})})


def with_problems(inner: Handler) -> Handler:
    """Middleware: refusals without content get one that says what their status means.

    Every answer of 400 to 599 without content, or with nothing but its status's phrase, is meant, whoever gave it: your
    handler, a router's 404 and 405, what is raised. Its fields stay. One that has other content, or is streamed, stays
    as it is.
    """

    def handle(request: Request, response: Response, worker: Worker) -> Any:
        response.before_send(_explain)
        return inner(request, response, worker)

    return handle


def _explain(request: Request, response: Response, worker: Worker) -> None:
    """The hook: `content` is None for what cannot be changed."""
    status = response.status
    if status >= 400 and response.content in (b"", REASONS.get(status, b"") + b"\n"):
        response.replace_content(describe(status))
        response.set_header(b"Content-Type", PROBLEM_TYPE)
