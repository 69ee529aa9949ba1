"""The exceptions that users may catch, one for each thing that a caller would do differently."""

from __future__ import annotations


class ConfigError(ValueError):
    """A setting is wrong; the message says which, why, and what to write instead. Raised before a socket is opened."""


class RefusedError(Exception):
    """A handler that lets it through has its client answered `status`, without a traceback in the log."""

    status = 500


class OverloadError(RefusedError):
    """There is more work than the server takes on at a time; answered 503 unless the handler answers itself."""

    status = 503


class BindError(OSError):
    """An address cannot be listened on: taken, not ours, or not permitted. `errno` is the kernel's reason."""
