"""toolkit/forwarded.py: whatever a client sends, the client found is one that a trusted proxy has named."""

from __future__ import annotations

import ipaddress

from run import main

from vanilla import Request
from vanilla.toolkit.forwarded import TrustedProxies, find_client

TRUSTED = TrustedProxies(["unix", "10.0.0.0/8"])
NOBODY = TrustedProxies([])
CLIENT = "203.0.113.9"
APPENDED = {
    b"X-Forwarded-For": CLIENT.encode() + b", 10.1.1.1",
    b"Forwarded": b"for=" + CLIENT.encode() + b";proto=http;host=real, for=10.1.1.1;proto=http;host=real",
}


def make(*fields: tuple[bytes, bytes]) -> Request | None:
    """A request with these fields, if a server would take it."""
    lines = b"".join(b"%b: %b\r\n" % field for field in fields)
    try:
        request = Request(b"GET / HTTP/1.1\r\nHost: real\r\n" + lines + b"\r\n")
    except ValueError:
        return None
    return request if len(request.headers()) == len(fields) + 1 else None


def check(data: bytes) -> None:
    """What the client made up, in front of what two proxies of ours append, on a line of its own and on theirs."""
    for name, kind in ((b"X-Forwarded-For", "x-forwarded"), (b"Forwarded", "forwarded")):
        alone = make((name, data))
        if alone is None:
            continue
        assert find_client(alone, NOBODY, fields=kind) == (None, "http", b"real")
        found = find_client(alone, TRUSTED, fields=kind)
        assert found.address is None or str(ipaddress.ip_address(found.address)) == found.address
        assert found.scheme in ("http", "https")
        assert b"\r" not in found.host
        assert b"/" not in found.host
        for request in (
            make((name, data), (name, APPENDED[name])),
            make((name, data + b", " + APPENDED[name])),
        ):
            assert request is not None
            assert find_client(request, TRUSTED, fields=kind) == (CLIENT, "http", b"real"), data
    mixed = make(
        (b"X-Forwarded-For", APPENDED[b"X-Forwarded-For"]), (b"X-Forwarded-Proto", data), (b"X-Forwarded-Host", data)
    )
    if mixed is not None:
        assert find_client(mixed, TRUSTED).address == CLIENT


if __name__ == "__main__":
    main("forwarded", check)
