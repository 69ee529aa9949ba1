"""What each redirect means: whether it lasts, and whether the method goes along; and how not to lead users astray."""

from vanilla.toolkit.query import Query
from vanilla.toolkit.routing import Router


def to(status, location):
    """A handler that redirects; what was asked for stands in the query still."""

    def handle(request, response, worker):
        query = b"?" + request.query if request.query else b""
        response.reply(status, headers={"Location": location.encode() + query})

    return handle


def log_in(request, response, worker):
    """Go on, by GET, to where the user wanted to."""
    target = Query(request.query).get("next", b"/dashboard")
    response.reply(303, headers={"Location": target if is_own_path(target) else b"/"})


def is_own_path(target):
    """Whether a target leads to this site, however a browser reads it: `//host` and `/\\host` name another."""
    return (
        target.startswith(b"/")
        and not target.startswith((b"//", b"/\\"))
        and all(33 <= octet < 127 and octet != 92 for octet in target)
    )


def page(request, response, worker):
    response.reply(200, request.path + b"\n", content_type="text/plain")


router = Router()
router.add(None, "/old", to(301, "/new"))  # for good; a browser may make a POST a GET
router.add(None, "/sale", to(302, "/sale/winter"))  # for now, likewise
router.post("/login", log_in)  # 303: go and GET what comes of it
router.add(None, "/upload", to(307, "/upload/eu"))  # for now, with method and content
router.add(None, "/api/v1/users", to(308, "/api/v2/users"))  # for good, with method and content
router.add(None, "/*rest", page)
handle = router
