"""A target for conformance probes: the smallest origin that keeps to RFC 9110 and 9112, strictly read."""

from strict import find_fault

from vanilla import ServerConfig, Step

ALLOW = "GET, HEAD, POST, OPTIONS"
# RFC 9110 section 9 and RFC 5789: known, and not allowed here. Others are not implemented, whatever their names mean.
KNOWN = (b"PUT", b"DELETE", b"PATCH", b"CONNECT", b"TRACE")


def answer(request, response, worker):
    fault = find_fault(request)
    if fault is not None:
        reply(response, 400, fault)
        return Step.CLOSE  # who frames one request wrongly may have framed the next one wrongly, too
    method = request.method
    if method == b"GET" or method == b"HEAD":
        return get(request, response)
    if method == b"POST":
        return reply(response, 200, list_fields(request) if request.path == b"/echo" else b"ok")
    if method == b"OPTIONS":  # of a path, or of the whole server: `OPTIONS *`
        return response.reply(200, headers={"Allow": ALLOW})
    if method in KNOWN:
        return reply(response, 405, b"method not allowed", {"Allow": ALLOW})
    return reply(response, 501, b"method not implemented", {"Allow": ALLOW})


def get(request, response):
    """HEAD gets the fields of GET, its length among them: the server drops the content, RFC 9110 section 9.3.2."""
    target = request.target
    if request.path == b"/" and (target.startswith(b"/") or target[:5].lower() == b"http:"):
        return reply(response, 200, b"ok")
    return reply(response, 404, b"not found")  # an ftp: resource is none of ours


def list_fields(request):
    """The field lines as they were understood, for probes that look for names which were made alike."""
    return b"\n".join(b"%b: %b" % field for field in request.headers())


def reply(response, status, line, headers=()):
    response.reply(status, line + b"\n", content_type="text/plain", headers=headers)


config = ServerConfig(answer, check_responses=True)  # it is here to be looked at, not to be fast
