"""A page with a film that can be played from anywhere: answers to Range requests, sent from the file by the kernel."""

import mimetypes
import os
import pathlib
import re

from vanilla import ServerConfig

HERE = pathlib.Path(__file__).parent
PAGE = (HERE / "page.html").read_bytes()
FILM = pathlib.Path(os.environ.get("FILM", HERE / "film.webm"))
# One range, RFC 9110 section 14.1.2. What does not match, or asks for several, is answered with the whole film.
RANGE = re.compile(rb"bytes=[ \t]*(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))[ \t]*", re.IGNORECASE)


def handle(request, response, worker):
    if request.path not in (b"/", b"/film"):
        return response.reply(404)
    if request.method not in (b"GET", b"HEAD"):
        return response.reply(405, headers={"Allow": "GET, HEAD"})
    if request.path == b"/":
        return response.reply(200, PAGE, content_type="text/html; charset=utf-8")
    try:
        file = FILM.open("rb")
    except OSError:
        return response.reply(404, b"no film: name one in FILM\n", content_type="text/plain")
    with file:
        return send(request, response, file)


def send(request, response, file):
    status = os.fstat(file.fileno())
    length = status.st_size
    etag = b'"%x-%x-%x"' % (status.st_ino, status.st_mtime_ns, length)
    headers = {"Accept-Ranges": "bytes", "ETag": etag}
    start, end, code = 0, length, 200
    if applies(request, etag) and (match := RANGE.fullmatch(request.header("range", b""))):
        start, end = bounds(match, length)
        if start > end:  # first after last: no range at all, section 14.1.1
            start, end = 0, length
        elif start >= length or start == end:
            return response.reply(416, headers={"Content-Range": f"bytes */{length}"})
        else:
            code, headers["Content-Range"] = 206, f"bytes {start}-{end - 1}/{length}"
    kind = mimetypes.guess_type(FILM.name)[0] or "application/octet-stream"
    response.start(code, headers, content_type=kind, length=end - start)
    if request.method == b"GET":
        response.send_file(file, start, end - start)
    return None


def applies(request, etag):
    """Only GET has ranges; If-Range asks for one of the film that the client has a part of, else for the whole."""
    return request.method == b"GET" and request.header("if-range", etag) == etag


def bounds(match, length):
    """[start, end) of what was asked for, within the film unless it begins behind it."""
    first, last, suffix = match.groups()
    if suffix:
        return max(length - int(suffix), 0), length
    if not last:
        return int(first), max(length, int(first))
    if int(last) < int(first):
        return 1, 0
    return int(first), max(min(int(last) + 1, length), int(first))


app = ServerConfig(handle)
