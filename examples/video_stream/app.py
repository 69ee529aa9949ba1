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


def answer(request, response, worker):
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
    etag = b'"%x-%x-%x"' % (status.st_ino, status.st_mtime_ns, status.st_size)
    kind = mimetypes.guess_type(FILM.name)[0] or "application/octet-stream"
    headers = {"Accept-Ranges": "bytes", "ETag": etag}
    part = find_part(request, etag, status.st_size)
    start, end = part or (0, status.st_size)
    if part and start >= end:
        return response.reply(416, headers={"Content-Range": f"bytes */{status.st_size}"})
    if part:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{status.st_size}"
    response.start(206 if part else 200, headers, content_type=kind, length=end - start)
    if request.method == b"GET":
        response.send_file(file, start, end - start)
    return None


def find_part(request, etag, length):
    """[start, end) of the part that is asked for, empty if the film has nothing of it; None for the whole film."""
    match = RANGE.fullmatch(request.header("range", b""))
    # Ranges are for GET alone. If-Range wants a part of the film that it names, else the whole: section 13.1.5.
    if match is None or request.method != b"GET" or request.header("if-range", etag) != etag:
        return None
    first, last, suffix = match.groups()
    if suffix:
        return max(length - int(suffix), 0), length
    if last and int(last) < int(first):
        return None
    return int(first), min(int(last) + 1, length) if last else length


config = ServerConfig(answer)
