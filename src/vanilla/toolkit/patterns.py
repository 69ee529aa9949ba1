"""The patterns of routes: what they consist of, and the tree that many of them make.

# Facts about paths
Two spellings of a path are one if they differ in escapes alone (RFC 3986 section 6.2.2), so a path with escapes is
looked up decoded; but an escaped slash separates nothing, and stays escaped until a parameter is read. Nothing else
is made equal: `/a//b`, `/a/./b` and `/a/b/` are three paths, none of which is `/a/b`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from vanilla.toolkit.percent import decode

VARIABLES_MAX = 16  # of one pattern
SEGMENT_SAFE = b"!$&'()*+,;=:@"  # RFC 3986 section 3.3: what stands for itself in a segment
PARAMETER, REST = "parameter", "rest"

Piece: TypeAlias = bytes | tuple[str, str]  # what stands for itself, or (kind, name) of what is variable


def parse_pattern(pattern: str) -> tuple[Piece, ...]:
    """The pieces of a pattern: bytes that stand for themselves, and (kind, name) of what is variable.

    Raises: ValueError, TypeError for what is none.
    """
    if not isinstance(pattern, str):
        raise TypeError(f"pattern {pattern!r}: give it as str, not escaped, such as '/users/:id'")
    if not pattern.startswith("/"):
        raise ValueError(f"pattern {pattern!r}: it begins with a slash, such as '/users/:id'")
    if "?" in pattern or "#" in pattern:
        raise ValueError(f"pattern {pattern!r}: a route is found by its path alone; leave ? and # out")
    pieces: list[Piece] = []
    names: list[str] = []
    plain = b""
    segments = pattern.split("/")[1:]
    for number, segment in enumerate(segments):
        plain += b"/"
        if segment[:1] not in (":", "*"):
            plain += segment.encode().replace(b"%", b"%25")
            continue
        name = segment[1:]
        kind = REST if segment.startswith("*") else PARAMETER
        if not name.isidentifier():
            raise ValueError(f"pattern {pattern!r}: {segment!r} has no name; write {segment[0]}name")
        if name in names:
            raise ValueError(f"pattern {pattern!r}: two parts are called {name!r}")
        if kind is REST and number < len(segments) - 1:
            raise ValueError(f"pattern {pattern!r}: {segment!r} takes all the rest, so nothing can come behind it")
        if len(names) == VARIABLES_MAX:
            raise ValueError(f"pattern {pattern!r}: more than {VARIABLES_MAX} variable parts")
        names.append(name)
        pieces += (plain, (kind, name))
        plain = b""
    if plain:
        pieces.append(plain)
    return tuple(pieces)


def normalize(path: bytes) -> bytes:
    """A path with everything decoded that is escaped, but for slashes and the percent sign itself.

    Raises: MalformedError, answered 400, for a malformed escape.
    """
    first, *others = path.split(b"%")
    if not others:
        return path
    decode(path)  # refuses what is malformed
    parts = [first]
    for part in others:
        octet = bytes.fromhex(part[:2].decode("ascii"))
        parts += (b"%" + part[:2].upper() if octet in (b"/", b"%") else octet, part[2:])
    return b"".join(parts)


def toggle_slash(path: bytes) -> bytes:
    """The path with the slash at its end, if there is one, left out, else added."""
    return path.removesuffix(b"/") if path.endswith(b"/") else path + b"/"


def join(prefix: str, pattern: str) -> str:
    if not prefix.startswith("/"):
        raise ValueError(f"prefix {prefix!r}: it begins with a slash, such as '/api'")
    return prefix.rstrip("/") + pattern


class Branch:
    """A node while the tree grows: the bytes that lead to it from the one above, and what comes behind."""

    def __init__(self) -> None:
        self.label = b""
        self.children: dict[int, Branch] = {}
        self.parameter: Branch | None = None
        self.leaf: list[Any] = []
        self.rest: list[Any] = []
        self.index = 0

    def first(self) -> int:
        """The lowest byte that a child begins with."""
        return min(self.children, default=0)

    def span(self) -> int:
        """How many bytes from there to the highest."""
        return max(self.children) - self.first() + 1 if self.children else 0

    def take(self, octet: int) -> Branch:
        """The child behind a byte."""
        if octet not in self.children:
            below = self.children[octet] = Branch()
            below.label = bytes((octet,))
        return self.children[octet]

    def shorten(self) -> None:
        """Be one with the only child, where nothing else goes on from here."""
        while len(self.children) == 1 and self.parameter is None and not self.leaf and not self.rest:
            [below] = self.children.values()
            self.label += below.label
            self.children, self.parameter = below.children, below.parameter
            self.leaf, self.rest = below.leaf, below.rest

    def number(self) -> Iterator[Branch]:
        """This one and all behind it, each with its place in the order given."""
        waiting = [self]
        index = 0
        while waiting:
            branch = waiting.pop()
            branch.shorten()
            branch.index = index
            index += 1
            yield branch
            waiting.extend(branch.children.values())
            if branch.parameter is not None:
                waiting.append(branch.parameter)


def grow(routes: Iterable[tuple[tuple[Piece, ...], Any]]) -> Branch:
    """The tree of all patterns, one node for each byte; given as (pieces, what is found there)."""
    root = Branch()
    for pieces, route in routes:
        branch = root
        is_rest = False
        for piece in pieces:
            if isinstance(piece, bytes):
                for octet in piece:
                    branch = branch.take(octet)
            elif piece[0] is REST:
                is_rest = True
            else:
                branch.parameter = branch.parameter or Branch()
                branch = branch.parameter
        (branch.rest if is_rest else branch.leaf).append(route)
    return root
