"""Router: which handler a path and a method lead to, what it finds in `params`, and what is answered otherwise."""

from __future__ import annotations

import random
import re

import pytest

from vanilla import Limits, Request, Response, Server, ServerConfig, Step, streaming
from vanilla.toolkit.refusals import MalformedError
from vanilla.toolkit.routing import Router

CHUNKED = b"Transfer-Encoding: chunked\r\n"


def ask(path: str | bytes, method: str = "GET", fields: bytes = b"", content: bytes = b"") -> bytes:
    target = path.encode() if isinstance(path, str) else path
    return b"%b %b HTTP/1.1\r\nHost: a\r\n%b\r\n%b" % (method.encode(), target, fields, content)


def answering(name: str):
    """A handler that answers with its name and what stands in `params`."""

    def handle(request, response, worker):
        found = b"".join(b" %b=%b" % (key.encode(), value) for key, value in request.params.items())
        response.reply(200, name.encode() + found)

    return handle


def route(router: Router, path: str | bytes, method: str = "GET") -> tuple[int, bytes]:
    response = Response()
    assert router(Request(ask(path, method)), response, None) is None
    return response.status, response.content or b""


def routing(*patterns: str, **options) -> Router:
    router = Router(**options)
    for pattern in patterns:
        router.get(pattern, answering(pattern))
    return router


FOUND = [
    (["/"], "/", "/"),
    (["/a", "/a/b", "/ab", "/abc"], "/ab", "/ab"),
    (["/a", "/a/b", "/ab", "/abc"], "/a/b", "/a/b"),
    (["/a/"], "/a/", "/a/"),
    (["/users/:id"], "/users/7", "/users/:id id=7"),
    (["/users/:id"], "/users/7?id=8", "/users/:id id=7"),
    (["/users/:id"], "/users/:id", "/users/:id id=:id"),
    (["/users/:id/posts/:post"], "/users/7/posts/8", "/users/:id/posts/:post id=7 post=8"),
    (["/:a/:b/:c"], "/1/2/3", "/:a/:b/:c a=1 b=2 c=3"),
    (["/files/*path"], "/files/a/b.txt", "/files/*path path=a/b.txt"),
    (["/files/*path"], "/files/", "/files/*path path="),
    (["/*all"], "/", "/*all all="),
    (["/*all"], "//x//", "/*all all=/x//"),
    # what is written out beats a parameter, which beats a rest
    (["/users/me", "/users/:id", "/users/*rest"], "/users/me", "/users/me"),
    (["/users/me", "/users/:id", "/users/*rest"], "/users/mee", "/users/:id id=mee"),
    (["/users/me", "/users/:id", "/users/*rest"], "/users/m", "/users/:id id=m"),
    (["/users/me", "/users/:id", "/users/*rest"], "/users/me/x", "/users/*rest rest=me/x"),
    (["/users/me", "/users/:id", "/users/*rest"], "/users/", "/users/*rest rest="),
    # a way that leads nowhere is left again
    (["/a/b/c", "/a/:x/d"], "/a/b/d", "/a/:x/d x=b"),
    (["/:x/b", "/a/*rest"], "/a/b", "/a/*rest rest=b"),
    (["/a/:x/c", "/:y/b/d"], "/a/b/d", "/:y/b/d y=a"),
    (["/:a/:b/x", "/:c/*rest"], "/1/2/y", "/:c/*rest c=1 rest=2/y"),
    # names belong to their pattern
    (["/:id", "/:name/posts"], "/7/posts", "/:name/posts name=7"),
    # a colon within a segment is one
    (["/things:batch"], "/things:batch", "/things:batch"),
    (["/v1/*rest"], "/v1/a:b*c", "/v1/*rest rest=a:b*c"),
    # escapes make no difference to what is found, and are decoded in what is
    (["/caf\u00e9"], "/caf%C3%A9", "/caf\u00e9"),
    (["/caf\u00e9"], "/c%61f%c3%a9", "/caf\u00e9"),
    (["/a b"], "/a%20b", "/a b"),
    (["/100%"], "/100%25", "/100%"),
    (["/users/:id"], "/users/a%20b", "/users/:id id=a b"),
    (["/users/:id"], "/users/a+b", "/users/:id id=a+b"),
    (["/users/:id"], "/users/a%2Fb", "/users/:id id=a/b"),
    (["/users/:id"], "/users/a%2fb", "/users/:id id=a/b"),
    (["/users/:id"], "/users/%252F", "/users/:id id=%2F"),
    (["/users/:id"], "/users/%3A%3F%23", "/users/:id id=:?#"),
    (["/files/*path"], "/files/%2e%2e/x", "/files/*path path=../x"),
    (["/:a/:b"], "/%61/%62", "/:a/:b a=a b=b"),
]

NOT_FOUND = [
    (["/a"], "/"),
    (["/a"], "/a/"),
    (["/a/"], "/a"),
    (["/a"], "/A"),
    (["/a"], "/ab"),
    (["/ab"], "/a"),
    (["/a/b"], "/a//b"),
    (["/a/b"], "/a/./b"),
    (["/a/b"], "/a%2Fb"),
    (["/users/:id"], "/users/"),
    (["/users/:id"], "/users"),
    (["/users/:id"], "/users/7/"),
    (["/users/:id"], "/users//"),
    (["/users/:id/posts"], "/users//posts"),
    (["/files/*path"], "/files"),
    ([], "/"),
    (["/a"], "*"),
]


@pytest.mark.parametrize(("patterns", "path", "expected"), FOUND)
def test_a_path_leads_to_its_pattern(patterns: list[str], path: str, expected: str) -> None:
    for order in (patterns, patterns[::-1]):
        assert route(routing(*order), path) == (200, expected.encode())


@pytest.mark.parametrize(("patterns", "path"), NOT_FOUND)
def test_any_other_path_is_not_found(patterns: list[str], path: str) -> None:
    assert route(routing(*patterns), path, "OPTIONS" if path == "*" and patterns else "GET")[0] in (404, 204)
    if path != "*":
        assert route(routing(*patterns), path) == (404, b"Not Found\n")


@pytest.mark.parametrize("path", ["/users/%", "/users/%4", "/users/%zz", "/%", "/nowhere/%2"])
def test_a_malformed_escape_is_the_client_s_mistake(path: str) -> None:
    with pytest.raises(MalformedError):
        route(routing("/users/:id", "/"), path)
    [answer] = Server(ServerConfig(routing("/users/:id"))).test([ask(path)])
    assert answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("path", ["http://host/users/7", "http://host/users/7?x", "https://h:1/users/%37"])
def test_absolute_form_is_routed_by_its_path(path: str) -> None:
    assert route(routing("/users/:id"), path) == (200, b"/users/:id id=7")


def test_every_method_has_its_own_handler() -> None:
    router = Router()
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"):
        getattr(router, method.lower())("/x", answering(method))
    router.add("PROPFIND", "/x", answering("PROPFIND"))
    router.add("TRACE", "/x", answering("TRACE"))
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "PROPFIND", "TRACE"):
        assert route(router, "/x", method) == (200, method.encode())
    assert route(router, "/x", "MKCOL")[0] == 405


def test_head_is_answered_by_the_handler_of_get() -> None:
    [answer] = Server(ServerConfig(routing("/a"))).test([ask("/a", "HEAD")])
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"Content-Length: 2\r\n\r\n")


def test_another_method_is_told_which_there_are() -> None:
    router = routing("/a", "/b")
    router.post("/a", answering("post"))
    router.delete("/:x", answering("delete"))
    response = Response()
    router(Request(ask("/a", "PUT")), response, None)
    assert response.status == 405
    assert response.header("allow") == b"GET, HEAD, POST, DELETE, OPTIONS"
    response = Response()
    router(Request(ask("/a", "OPTIONS")), response, None)
    assert response.status == 204
    assert response.header("allow") == b"GET, HEAD, POST, DELETE, OPTIONS"
    response = Response()
    router(Request(ask("*", "OPTIONS")), response, None)
    assert response.header("allow") == b"GET, HEAD, POST, DELETE, OPTIONS"


def test_a_method_that_a_better_pattern_lacks_is_looked_for_in_the_others() -> None:
    router = Router()
    router.get("/users/me", answering("me"))
    router.delete("/users/:id", answering("delete"))
    router.post("/users/*rest", answering("rest"))
    assert route(router, "/users/me", "DELETE") == (200, b"delete id=me")
    assert route(router, "/users/me", "POST") == (200, b"rest rest=me")
    assert route(router, "/users/me", "PUT")[0] == 405


def test_a_route_for_any_method_takes_what_has_no_other() -> None:
    router = Router()
    router.add(None, "/x", answering("any"))
    router.get("/x", answering("get"))
    assert route(router, "/x", "GET") == (200, b"get")
    assert route(router, "/x", "HEAD") == (200, b"get")
    for method in ("POST", "OPTIONS", "PROPFIND"):
        assert route(router, "/x", method) == (200, b"any")


def test_your_own_answers_take_the_place_of_404_and_405() -> None:
    router = routing("/a", not_found=answering("nothing"), method_not_allowed=answering("no"))
    assert route(router, "/b") == (200, b"nothing")
    [answer] = Server(ServerConfig(router)).test([ask("/a", "PUT")])
    assert answer.endswith(b"Allow: GET, HEAD, OPTIONS\r\n\r\nno")


@pytest.mark.parametrize(
    ("pattern", "path", "location"),
    [
        ("/a", "/a/", b"/a"),
        ("/a/", "/a", b"/a/"),
        ("/a/", "/a?b=/c", b"/a/?b=/c"),
        ("/users/:id", "/users/a%20b/", b"/users/a%20b"),
        ("/:x/", "/b", b"/b/"),
    ],
)
def test_a_slash_too_many_or_too_few_redirects_where_asked_for(pattern: str, path: str, location: bytes) -> None:
    response = Response()
    routing(pattern, redirect_slashes=True)(Request(ask(path, "GET")), response, None)
    assert (response.status, response.header("location")) == (308, location)
    assert route(routing(pattern), path)[0] == 404


@pytest.mark.parametrize("path", ["//evil.example/", "//evil.example", "/b/", "/%2Fevil.example/", "/\\evil.example/"])
def test_no_redirect_leads_elsewhere(path: str) -> None:
    response = Response()
    routing("/a", "/:x/:y", "/:x", redirect_slashes=True)(Request(ask(path, "GET")), response, None)
    assert not (response.header("location") or b"").startswith(b"//")


@pytest.mark.parametrize(
    ("pattern", "complaint"),
    [
        ("users", "begins with a slash"),
        ("", "begins with a slash"),
        ("/a?b", "leave [?] and # out"),
        ("/a#b", "leave [?] and # out"),
        ("/:", "has no name"),
        ("/*", "has no name"),
        ("/:a-b", "has no name"),
        ("/:a/:a", "two parts are called 'a'"),
        ("/*a/b", "takes all the rest"),
        ("".join(f"/:p{number}" for number in range(17)), "more than 16"),
    ],
)
def test_a_pattern_that_is_none_is_refused(pattern: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Router().get(pattern, answering("x"))


@pytest.mark.parametrize(
    ("first", "second"),
    [("/a", "/a"), ("/:id", "/:name"), ("/x/:id/y", "/x/:other/y"), ("/*a", "/*b"), ("/a b", "/a b")],
)
def test_a_route_that_can_never_be_reached_is_refused_and_both_are_named(first: str, second: str) -> None:
    router = routing(first)
    with pytest.raises(ValueError, match="can never be reached") as caught:
        router.get(second, answering("x"))
    assert str(caught.value).count("GET " + second) >= 1
    assert str(caught.value).count("GET " + first) >= 1
    router.post(second, answering("x"))  # another method is another route


@pytest.mark.parametrize(
    ("method", "handler", "error"),
    [("get", print, ValueError), ("", print, ValueError), (7, print, TypeError), ("GET", None, TypeError)],
)
def test_a_method_or_handler_that_is_none_is_refused(method, handler, error) -> None:
    with pytest.raises(error):
        Router().add(method, "/a", handler)


def test_no_route_comes_once_requests_do() -> None:
    router = routing("/a")
    route(router, "/a")
    with pytest.raises(RuntimeError, match="before the server starts"):
        router.get("/b", answering("b"))


def test_groups_put_a_prefix_and_middleware_around_their_routes() -> None:
    def marked(mark: str):
        def middleware(inner):
            def handle(request, response, worker):
                response.before_send(lambda request, response, worker: response.add_header("X-Mark", mark))
                return inner(request, response, worker)

            return handle

        return middleware

    router = Router()
    api = router.group("/api", marked("api"))
    admin = api.group("/admin", marked("admin"))
    api.get("", answering("root"))
    api.get("/:id", answering("one"))
    admin.delete("/:id", answering("delete"))
    router.get("/", answering("home"))
    asked = [ask("/api"), ask("/api/7"), ask("/api/admin/7", "DELETE"), ask("/")]
    answers = Server(ServerConfig(router)).test(asked)
    assert [answer.rpartition(b"\r\n\r\n")[2] for answer in answers] == [b"root", b"one id=7", b"delete id=7", b"home"]
    marks = [re.findall(rb"X-Mark: (\w+)", answer) for answer in answers]
    assert marks == [[b"api"], [b"api"], [b"admin", b"api"], []]
    for prefix in ("api", "/api/", ""):
        with pytest.raises(ValueError, match="prefix"):
            router.group(prefix)


def test_a_router_is_mounted_with_its_routes_and_a_handler_with_all_below() -> None:
    inner = routing("/", "/:id")
    inner.get("/named", answering("named"), name="named")
    router = Router()
    router.mount("/inner", inner)
    router.mount("/old", answering("old"))
    group = router.group("/group")
    group.mount("/deep", inner.routes[0].handler)
    assert route(router, "/inner/") == (200, b"/")
    assert route(router, "/inner/7") == (200, b"/:id id=7")
    assert route(router, "/old") == (200, b"old")
    assert route(router, "/old/a/b", "PATCH") == (200, b"old path=a/b")
    assert route(router, "/older")[0] == 404
    assert route(router, "/group/deep/x") == (200, b"/ path=x")
    assert router.url_for("named") == "/inner/named"


@pytest.mark.parametrize(
    ("pattern", "params", "expected"),
    [
        ("/", {}, "/"),
        ("/users/:id", {"id": 7}, "/users/7"),
        ("/users/:id", {"id": "a/b c?"}, "/users/a%2Fb%20c%3F"),
        ("/users/:id", {"id": b"\xff%"}, "/users/%FF%25"),
        ("/files/*path", {"path": "a/b c"}, "/files/a/b%20c"),
        ("/files/*path", {"path": ""}, "/files/"),
        ("/caf\u00e9/100%", {}, "/caf%C3%A9/100%25"),
    ],
)
def test_a_url_is_made_of_a_name_and_leads_back(pattern: str, params: dict, expected: str) -> None:
    router = Router()
    router.get(pattern, answering("x"), name="it")
    assert router.url_for("it", **params) == expected
    assert route(router, expected)[0] == 200


def test_a_url_without_its_parameters_is_refused() -> None:
    router = Router()
    router.get("/users/:id", answering("x"), name="user")
    for params, complaint in (({}, "needs 'id'"), ({"id": 1, "x": 2}, "no parameter 'x'"), ({"id": ""}, "empty")):
        with pytest.raises(ValueError, match=complaint):
            router.url_for("user", **params)
    with pytest.raises(KeyError, match="no route is called 'users'"):
        router.url_for("users")
    with pytest.raises(ValueError, match="name 'user'"):
        router.get("/other", answering("x"), name="user")


def test_plain_and_async_handlers_mix() -> None:
    async def later(request, response, worker):
        await worker.sleep(0)
        response.reply(200, b"later " + request.params["id"])

    router = routing("/now/:id")
    router.get("/later/:id", later)
    answers = Server(ServerConfig(router)).test([ask("/later/7") + ask("/now/8") + ask("/later/9")])
    assert re.findall(rb"\r\n\r\n([^\r\n]+)", answers[0].replace(b"HTTP/1.1", b"\r\n")) == [
        b"later 7",
        b"/now/:id id=8",
        b"later 9",
    ]
    assert router.is_async
    assert not routing("/").is_async


def test_params_outlive_the_request_and_are_its_own() -> None:
    kept = []

    def handle(request, response, worker):
        kept.append(request)
        response.reply(200)

    router = Router()
    router.get("/:id", handle)
    Server(ServerConfig(router)).test([ask("/a") + ask("/%62") + ask("/c")])
    assert [request.params for request in kept] == [{"id": b"a"}, {"id": b"b"}, {"id": b"c"}]


def test_a_request_by_hand_is_given_its_params() -> None:
    assert Request(ask("/")).params == {}
    assert Request(ask("/"), params={"id": b"7"}).params == {"id": b"7"}


@pytest.mark.parametrize("kind", ["plain", "async"])
@pytest.mark.parametrize("framing", ["length", "chunks", "none"])
def test_beside_streaming_handlers_the_others_get_the_whole_content(kind: str, framing: str) -> None:
    @streaming
    def streams(request, response, worker):
        pieces = []

        def go_on(request, response, worker, piece, event):
            if not piece:
                return response.reply(200, b"streamed %d" % sum(map(len, pieces)))
            pieces.append(piece)
            request.on_body(go_on)
            return Step.SUSPEND

        request.on_body(go_on)
        return Step.SUSPEND

    def plain(request, response, worker):
        response.reply(200, b"whole %d %d" % (len(request.body), len(request.body_view)))

    async def asynchronous(request, response, worker):
        plain(request, response, worker)

    content = b"z" * (300_000 if framing != "none" else 0)
    fields, sent = {
        "length": (b"Content-Length: 300000\r\n", content),
        "chunks": (CHUNKED, b"493e0\r\n" + content + b"\r\n0\r\n\r\n"),
        "none": (b"", b""),
    }[framing]
    router = Router()
    router.post("/stream", streams)
    router.post("/whole", plain if kind == "plain" else asynchronous)
    assert router.streams_requests
    asked = ask("/stream", "POST", fields, sent) + ask("/whole", "POST", fields, sent) + ask("/x", "POST", fields, sent)
    [answer] = Server(ServerConfig(router)).test([asked])
    size = len(content)
    assert b"streamed %d" % size in answer
    assert b"whole %d %d" % (size, size) in answer
    assert b"404 Not Found" in answer


def test_content_beyond_the_limit_is_refused_while_it_is_collected() -> None:
    @streaming
    def streams(request, response, worker):
        response.reply(200)

    router = Router()
    router.post("/stream", streams)
    router.post("/whole", answering("whole"))
    config = ServerConfig(router, limits=Limits(max_body_bytes=1000))
    chunks = b"400\r\n" + bytes(1024) + b"\r\n"
    [answer] = Server(config).test([ask("/whole", "POST", CHUNKED, chunks)])
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_the_tree_finds_what_a_list_of_patterns_finds() -> None:
    """Random sets of patterns, against the rule written down as plainly as can be."""
    chance = random.Random(7)

    def rank(pattern: str, path: str) -> tuple[int, ...] | None:
        kinds: list[int] = []
        segments = path.split("/")[1:]
        parts = pattern.split("/")[1:]
        for number, part in enumerate(parts):
            if part.startswith("*"):
                return (*kinds, 2) if number <= len(segments) - 1 else None
            if number >= len(segments):
                return None
            if part.startswith(":"):
                if not segments[number]:
                    return None
                kinds.append(1)
            elif part == segments[number]:
                kinds.append(0)
            else:
                return None
        return tuple(kinds) if len(parts) == len(segments) else None

    words = ["a", "ab", "abc", "b", "", "x"]
    for _ in range(200):
        patterns: dict[tuple[str, ...], str] = {}
        for _ in range(chance.randint(1, 12)):
            parts = [chance.choice([*words, ":"]) for _ in range(chance.randint(1, 4))]
            if chance.random() < 0.3:
                parts.append("*")
            named = [f"{part}p{number}" if part in (":", "*") else part for number, part in enumerate(parts)]
            patterns[tuple(parts)] = "/" + "/".join(named)
        router = routing(*patterns.values())
        for _ in range(40):
            path = "/" + "/".join(chance.choice([*words, "z"]) for _ in range(chance.randint(1, 5)))
            ranked = [(found, pattern) for pattern in patterns.values() if (found := rank(pattern, path)) is not None]
            status, content = route(router, path)
            if not ranked:
                assert status == 404, (patterns, path)
            else:
                assert content.split(b" ")[0].decode() == min(ranked)[1], (patterns, path)
