"""Chunked transfer coding in both directions: chunked content is sent back, in chunks; any other request gets three."""

PIECES = (b"first piece\n", b"second piece\n", b"third piece\n")
PIECE_BYTES = 16 * 1024


def handle(request, response, worker):
    response.start(200, content_type="text/plain")
    if request.header("Transfer-Encoding") is None:
        response.stream(PIECES)
    else:
        response.stream(split(request.body_view))


def split(content):
    for at in range(0, len(content), PIECE_BYTES):
        yield content[at : at + PIECE_BYTES]
