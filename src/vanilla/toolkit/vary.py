"""Vary: which fields of a request its answer depends on, so that a cache hands it to nobody else. RFC 9110 12.5.5."""

from __future__ import annotations

from vanilla.contract import Response


def vary(response: Response, *names: str | bytes) -> None:
    """Have the Vary of an answer that was appended name these fields too; what it names already stays.

    Args:
        response: its head has been appended, and has not left: after `reply` or `start`, or in a `before_send` hook.
        names: of fields of the request, such as `"Origin"`.

    Raises: RuntimeError where no whole head was appended, or it has left; ValueError for what is no list of names.
    Source: RFC 9110 section 12.5.5; `*` says all that there is to say.
    """
    values = [value for name, value in response.headers() if name.lower() == b"vary"]
    present = [element.strip() for value in values for element in value.split(b",") if element.strip()]
    known = {element.lower() for element in present}
    missing = []
    for name in names:
        field = name.encode() if isinstance(name, str) else name
        if field.lower() not in known:
            known.add(field.lower())
            missing.append(field)
    if missing and b"*" not in known - set(missing):
        response.set_header(b"Vary", b", ".join([*present, *missing]))
