"""The types of fields.py, which is compiled; what each name means stands there."""

from vanilla.contract.request import Request

def combined(request: Request, name: str | bytes, separator: bytes = b", ") -> bytes | None: ...
