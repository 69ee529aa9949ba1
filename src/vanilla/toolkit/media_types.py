"""Which media type a file has, by its name alone: the same on every machine, whatever is installed there."""

from __future__ import annotations

import mimetypes

OCTETS = b"application/octet-stream"

# What the standard library does not know, or calls otherwise than WHATWG and IANA do today.
_YOUNG = {
    ".avif": "image/avif",
    ".cjs": "text/javascript",
    ".ico": "image/vnd.microsoft.icon",
    ".js": "text/javascript",
    ".json5": "application/json5",
    ".jsonld": "application/ld+json",
    ".jxl": "image/jxl",
    ".m4a": "audio/mp4",
    ".map": "application/json",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".otf": "font/otf",
    ".toml": "application/toml",
    ".ttf": "font/ttf",
    ".wasm": "application/wasm",
    ".webm": "video/webm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".xml": "application/xml",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".zst": "application/zstd",
}
_TYPES = mimetypes.MimeTypes(())  # without the files of this machine
for _ending, _type in _YOUNG.items():
    _TYPES.add_type(_type, _ending)

# Text that is not text/*: worth compressing, and UTF-8 by its own definition.
_TEXTS = frozenset(
    [
        "application/javascript",
        "application/json",
        "application/ld+json",
        "application/manifest+json",
        "application/toml",
        "application/wasm",
        "application/xhtml+xml",
        "application/xml",
        "application/yaml",
        "application/rss+xml",
        "application/atom+xml",
        "image/svg+xml",
        "font/otf",
        "font/ttf",
    ]
)


def media_type_of(name: str) -> bytes:
    """The value of Content-Type for a file, by its ending: `text/*` with its charset; else application/octet-stream.

    Source: the IANA registry, as Python's mimetypes has it; RFC 9239 for JavaScript.
    """
    kind, coding = _TYPES.guess_type(name, strict=True)
    if coding is not None:  # `a.tar.gz` is a gzip file: what is inside is not what is sent
        return {"gzip": b"application/gzip", "bzip2": b"application/x-bzip2", "xz": b"application/x-xz"}.get(
            coding, OCTETS
        )
    if kind is None:
        return OCTETS
    return kind.encode("ascii") + (b"; charset=utf-8" if kind.startswith("text/") else b"")


def is_compressible(media_type: bytes) -> bool:
    """Whether content of that type becomes smaller: text, not what is compressed by its own format."""
    kind = media_type.partition(b";")[0].strip().lower().decode("latin-1")
    return kind.startswith("text/") or kind in _TEXTS or kind.endswith(("+json", "+xml"))
