"""The types of content_ends.py, which is compiled; what each name means stands there."""

from typing import final

@final
class Delimiter:
    def __init__(self, delimiter: bytes) -> None: ...
    def find_in(self, data: bytes, start: int = 0) -> int: ...
