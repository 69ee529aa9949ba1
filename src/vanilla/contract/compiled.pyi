"""The types of compiled.py, which is compiled; what each name means stands there."""

from typing import Any

from vanilla.contract.request import Request
from vanilla.contract.response import Response
from vanilla.contract.worker import Worker

class CompiledHandler:
    def __call__(self, request: Request, response: Response, worker: Worker) -> Any: ...
