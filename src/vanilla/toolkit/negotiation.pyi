"""The types of negotiation.py, which is compiled; what each name means stands there."""

from collections.abc import Sequence
from typing import TypeVar

_T = TypeVar("_T", str, bytes)

def choose_encoding(accept_encoding: bytes | None, offers: Sequence[_T]) -> _T | None: ...
def choose_type(accept: bytes | None, offers: Sequence[_T]) -> _T | None: ...
def choose_language(accept_language: bytes | None, offers: Sequence[_T]) -> _T | None: ...
