"""What a client may take of the server: bytes, time and connections. The server sees to it; the handler never knows."""

from vanilla import Limits, ServerConfig
from vanilla.toolkit.json_bodies import reply_json

LIMITS = Limits(
    # Bytes.
    max_target_bytes=4 * 1024,  # 414
    max_header_bytes=16 * 1024,  # 431
    max_headers=64,  # 431
    max_body_bytes=10 * 1024 * 1024,  # 413, from the declared length where there is one: not a byte is read
    max_chunk_extension_bytes=1024,  # 400
    max_pending_bytes=256 * 1024,  # answers that one client has not taken; its next request waits
    # Seconds, and bytes a second.
    read_timeout=5,  # 408: for the whole head, however its bytes trickle
    min_receive_rate=16_000,  # 408: of a body, in place of read_timeout, so that a slow but honest upload lives
    min_send_rate=16_000,  # closed: of an answer that its client does not take
    rate_grace=2,
    keepalive_timeout=15,  # closed, between two requests
    # Connections.
    max_connections=10_000,  # others wait
    accept_timeout=2,  # 503: for those that have waited so long
    max_requests_per_connection=1000,  # then the client connects anew, perhaps to another process
)
SERVERS = []  # the one that runs


def handle_request(request, response, worker):
    if request.path == b"/limits":
        return reply_json(response, dict(sorted(SERVERS[-1].counters().limits_reached.items())))
    return response.reply(200, request.body, content_type="application/octet-stream")


config = ServerConfig(handle_request, limits=LIMITS, after_server_start=SERVERS.append)
