"""contract/request.py: a Request of any bytes is refused or can be read in every part, and its parts fit together."""

from __future__ import annotations

from run import load_uncompiled, main

from vanilla import Request

head = load_uncompiled("head")  # not needed for the check: it tells the fuzzer which bytes lead somewhere new


def check(data: bytes) -> None:
    """Every property of a request made by hand."""
    end, _ = head.parse(data)
    try:
        request = Request(data)
    except ValueError:
        return
    assert end > 0
    assert data.lstrip(b"\r\n").startswith(request.method + b" " + request.target + b" " + request.version + b"\r\n")
    assert request.path in request.target or request.path == b"/"
    assert request.query in request.target
    assert bytes(request.body_view) == request.body
    assert bytes(request.raw).endswith(request.body)
    fields = request.headers()
    for name, value in fields:
        first = next(other for key, other in fields if key.lower() == name.lower())
        assert request.header(name) == request.header(name.lower()) == request.header(name.upper().decode()) == first
        assert value == value.strip(b" \t")
        assert name + b":" in data
    assert request.header(b"x-not-there-at-all") is None
    assert repr(request).startswith("<Request ")


if __name__ == "__main__":
    main("request", check)
