"""proxy/header.py: any bytes are refused, incomplete, or read as a second implementation reads them."""

from __future__ import annotations

import ipaddress
import re

from run import main

from vanilla.proxy.header import read_proxy_header

LINE = re.compile(
    rb"PROXY (?:UNKNOWN(?: [^\r\n]*)?|TCP(?P<version>[46]) (?P<source>\S+) (?P<target>\S+) "
    rb"(?P<port>0|[1-9][0-9]{0,4}) (?P<last>0|[1-9][0-9]{0,4}))\r\n"
)
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LENGTHS = {0x11: 12, 0x21: 36, 0x31: 216}

Header = tuple[int, bytes | None, int]


def read_line(data: bytes) -> Header:
    """Version 1, by a pattern and the standard library. Raises: ValueError."""
    found = LINE.match(data[:107])
    if found is None:
        raise ValueError(data)
    if found["version"] is None:
        return found.end(), None, 0
    addresses = [ipaddress.ip_address(found[name].decode("ascii")) for name in ("source", "target")]
    if b"%" in found[0] or {address.version for address in addresses} != {int(found["version"])}:
        raise ValueError(data)
    if max(int(found["port"]), int(found["last"])) > 65535:
        raise ValueError(data)
    return found.end(), addresses[0].packed, int(found["port"])


def read_binary(data: bytes) -> Header:
    """Version 2, of data that is long enough. Raises: ValueError."""
    command, kind, length = data[12], data[13], int.from_bytes(data[14:16], "big")
    if not data.startswith(SIGNATURE) or command not in (0x20, 0x21) or length > 4080:
        raise ValueError(data)
    if command == 0x20 or kind == 0:
        return 16 + length, None, 0
    if length < LENGTHS.get(kind, 1 << 16):
        raise ValueError(data)
    content = data[16 : 16 + length]
    if kind == 0x31:
        return 16 + length, b"", 0
    size = 4 if kind == 0x11 else 16
    return 16 + length, content[:size], int.from_bytes(content[2 * size : 2 * size + 2], "big")


def judge(data: bytes) -> Header | None:
    """What there is to be read of whole data; None for what is malformed."""
    try:
        return read_binary(data) if data.startswith(b"\r") else read_line(data)
    except ValueError:
        return None


def check(data: bytes) -> None:
    """The parser against the other one, whole and in every beginning."""
    found: Header | None = None
    try:
        found = read_proxy_header(data)
    except ValueError:
        was_refused = True
    else:
        was_refused = False
    # A beginning that is incomplete is judged with what would make it long enough.
    long_enough = data.ljust(16 + 4080, b"\0") if data.startswith(b"\r") else data
    expected = judge(long_enough)
    if was_refused:
        assert expected is None, (data, expected)
    elif found is not None:
        assert found == expected, (data, found, expected)
    else:
        assert expected is None or expected[0] > len(data), (data, expected)
    for split in range(min(len(data), 250)):
        try:
            part = read_proxy_header(data[:split])
        except ValueError:
            assert was_refused, (data, split)
            break
        assert part is None or (part == found and part[0] <= split), (data, split, part)


if __name__ == "__main__":
    main("proxy", check)
