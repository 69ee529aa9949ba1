"""toolkit/cookies.py: any bytes are read as a second implementation reads them, and nothing is refused."""

from __future__ import annotations

from run import main

from vanilla.toolkit.cookies import Cookies
from vanilla.toolkit.set_cookie import set_cookie


def read(field: bytes) -> list[tuple[bytes, bytes]]:
    """The pairs, by splitting."""
    pairs = [piece.strip(b" \t").partition(b"=") for piece in field.split(b";")]
    return [(name.rstrip(b" \t"), value.lstrip(b" \t")) for name, equals, value in pairs if equals and name]


def check(data: bytes) -> None:
    """Pairs and look-ups, against splitting; and what can be set comes back."""
    cookies = Cookies(data)
    pairs = read(data)
    assert list(cookies) == pairs, data
    assert len(cookies) == len(pairs)
    for name in {name for name, _ in pairs} | {b"", b"a", data[:3]}:
        values = [value for other, value in pairs if other == name]
        assert cookies.get_all(name) == values, (data, name)
        assert cookies.get(name) == (values[0] if values else None)
        assert (name in cookies) == bool(values)
    repr(cookies)
    for name, value in pairs:
        try:
            written = set_cookie(name, value).partition(b";")[0]
        except ValueError:
            continue
        assert Cookies(b"junk; " + written).pairs() == [(name, value)], (name, value)


if __name__ == "__main__":
    main("cookies", check)
