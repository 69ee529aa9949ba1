"""The types of static_assets.py, which is compiled; what each name means stands there."""

import os
from collections.abc import Callable, Iterable
from typing import Any, final

from vanilla.contract import Request, Response, Worker

_Text = str | bytes

@final
class StaticAssets:
    def __call__(self, request: Request, response: Response, worker: Worker) -> Any: ...

def static_assets(
    source: str | os.PathLike[str],
    *,
    prefix: str = "",
    index: str | None = "index.html",
    fallback: str | None = None,
    hashed: str = ...,
    cache_control: str = "no-cache",
    compress: bool = True,
    headers: Iterable[tuple[_Text, _Text]] = (),
    not_found: Callable[[Request, Response, Worker], object] | None = None,
    max_bytes: int = ...,
) -> StaticAssets: ...
