"""What the readers of this room raise where a client's bytes are wrong: let through, they are answered their status."""

from __future__ import annotations

from vanilla.errors import RefusedError


class MalformedError(RefusedError):
    """What the client sent has not the form that it has to have; answered 400. The message says what, and where."""

    status = 400


class TooLargeError(RefusedError):
    """The client sent more than the reader was told to take; answered 413."""

    status = 413


class UnsupportedTypeError(RefusedError):
    """The content is of another media type than the reader takes, or of none; answered 415."""

    status = 415
