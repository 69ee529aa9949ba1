"""Compiled handlers, called by the engine without Python's calling convention: no tuple, no argument parsing."""

from __future__ import annotations

import cython


@cython.cclass
class CompiledHandler:
    """A handler whose `answer` is a C function; anybody else calls it as any handler."""

    def __call__(self, request: Request, response: Response, worker: object) -> object:
        """What `answer` does."""
        return self.answer(request, response, worker)

    @cython.cfunc
    def answer(self, request: Request, response: Response, worker: object) -> object:
        """Answer one request, as a handler does. A subclass has it."""
        raise NotImplementedError

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def answer_at_once(
        self, worker: Worker, framed: cython.pointer[cython.const[Framed]], answers: ResponseBuffer, date: DateLine
    ) -> cython.int:
        """Append the whole answer to a request of HTTP/1.1, and say its status; 0, with nothing appended, where
        `answer` has to be asked. The connection stays open, and all of the request is there. A subclass may have it.
        """
        return 0
