"""toolkit/query.py and percent.py: any bytes are refused or read as a second implementation reads them."""

from __future__ import annotations

import re

from run import main

from vanilla.toolkit.percent import decode, encode
from vanilla.toolkit.query import Query, TooManyPairsError, encode_pairs
from vanilla.toolkit.refusals import MalformedError

PAIRS_MAX = 50
FAULT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
ESCAPE = re.compile(rb"%(..)", re.DOTALL)


def unescape(data: bytes) -> bytes:
    return ESCAPE.sub(lambda match: bytes.fromhex(match[1].decode()), data)


def read(data: bytes) -> list[tuple[bytes, bytes]]:
    """The pairs, by splitting."""
    pairs = [pair.partition(b"=") for pair in data.replace(b"+", b" ").split(b"&") if pair]
    return [(unescape(name), unescape(value)) for name, _, value in pairs]


def check(data: bytes) -> None:
    """Pairs, look-ups and limits, against splitting."""
    assert decode(encode(data)) == data
    try:
        query = Query(data, max_pairs=PAIRS_MAX)
    except TooManyPairsError:
        assert len([pair for pair in data.split(b"&") if pair]) > PAIRS_MAX
        return
    except MalformedError:
        assert FAULT.search(data), data
        return
    assert not FAULT.search(data), data
    assert decode(data) == unescape(data)
    pairs = read(data)
    assert list(query) == query.pairs() == pairs, data
    assert len(query) == len(pairs)
    for name in {name for name, _ in pairs} | {b"", b"a", data[:3]}:
        values = [value for other, value in pairs if other == name]
        assert query.get_all(name) == values, (data, name)
        assert query.get(name) == (values[0] if values else None)
        assert (name in query) == bool(values)
    assert Query(encode_pairs(pairs)).pairs() == pairs


if __name__ == "__main__":
    main("query", check)
