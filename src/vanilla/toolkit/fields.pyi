"""The types of fields.py, which is compiled; what each name means stands there."""

from collections.abc import Iterable

from vanilla.contract.request import Request

def combined(request: Request, name: str | bytes, separator: bytes = b", ") -> bytes | None: ...
def checked_fields(fields: Iterable[tuple[str | bytes, str | bytes]]) -> list[tuple[bytes, bytes]]: ...
