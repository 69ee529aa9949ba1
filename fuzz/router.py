"""toolkit/routing.py: what a tree of patterns finds is what each pattern by itself, tried in order, finds."""

from __future__ import annotations

import functools
import re

from run import main

from vanilla import Request, Response
from vanilla.toolkit.patterns import normalize
from vanilla.toolkit.percent import decode
from vanilla.toolkit.refusals import MalformedError
from vanilla.toolkit.routing import Router

WORDS = ("a", "ab", "abc", "b", "", "\u00e9", "a:b", "100%")
FOUND: list[tuple[str, dict[str, bytes]]] = []


def answer(pattern: str, request: Request, response: Response, worker: None) -> None:
    FOUND.append((pattern, request.params))
    response.reply(204)


def read_patterns(data: bytes) -> list[str]:
    """Patterns spelt by bytes: each a word, a parameter, a rest, or the end of one."""
    patterns = []
    parts: list[str] = []
    for octet in data:
        choice = octet % 12
        if choice < len(WORDS):
            parts.append(WORDS[choice])
        elif choice < 10:
            parts.append(f":p{len(parts)}")
        else:
            if choice == 10:
                parts.append("*rest")
            if parts:
                patterns.append("/" + "/".join(parts[-5:] if choice == 11 else [*parts[:-1][:5], parts[-1]]))
            parts = []
    return patterns


def expression_of(pattern: str) -> re.Pattern[bytes]:
    """The pattern as a regular expression over a normalized path."""
    segments = []
    for segment in pattern.split("/")[1:]:
        if segment.startswith(":"):
            segments.append(rb"(?P<%b>[^/]+)" % segment[1:].encode())
        elif segment.startswith("*"):
            segments.append(rb"(?P<%b>.*)" % segment[1:].encode())
        else:
            segments.append(re.escape(segment.replace("%", "%25").encode()))
    return re.compile(b"/" + b"/".join(segments), re.DOTALL)


def rank(pattern: str) -> list[int]:
    """What is written out beats a parameter, which beats a rest, from left to right."""
    return [1 if part.startswith(":") else 2 if part.startswith("*") else 0 for part in pattern.split("/")[1:]]


def check(data: bytes) -> None:
    """The first bytes are patterns, the rest is a path."""
    spelt, _, path = data.partition(b"\n")
    patterns = []
    router = Router()
    for pattern in read_patterns(spelt[:60]):
        try:
            router.get(pattern, functools.partial(answer, pattern))
        except ValueError:
            continue
        patterns.append(pattern)
    try:
        request = Request(b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % path)
    except ValueError:
        return
    FOUND.clear()
    response = Response()
    try:
        router(request, response, None)
    except MalformedError:
        assert re.search(rb"%(?![0-9A-Fa-f]{2})", request.path), data
        return
    whole = normalize(request.path)
    matched = [
        (rank(pattern), pattern, found) for pattern in patterns if (found := expression_of(pattern).fullmatch(whole))
    ]
    if not matched:
        assert response.status == 404, data
        return
    _, pattern, found = min(matched, key=lambda one: one[0])
    assert [(pattern, {name: decode(value) for name, value in found.groupdict().items()})] == FOUND, data


if __name__ == "__main__":
    main("router", check)
