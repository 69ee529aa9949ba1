"""Which handler a request is for, by its method and its path: a radix tree, built once and walked in C."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import cython
from cython.cimports.cpython.bytes import PyBytes_FromStringAndSize
from cython.cimports.libc.stdlib import calloc, free
from cython.cimports.libc.string import memchr, memcmp

from vanilla.errors import BodyError
from vanilla.steps import Step
from vanilla.streaming import may_return_coroutines, streams_requests
from vanilla.toolkit.composition import Handler
from vanilla.toolkit.groups import Group
from vanilla.toolkit.patterns import (
    PARAMETER,
    REST,
    SEGMENT_SAFE,
    Branch,
    grow,
    join,
    normalize,
    parse_pattern,
    toggle_slash,
)
from vanilla.toolkit.percent import decode, encode

SLASH, QUESTION = 47, 63
METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT")
GET, HEAD, OPTIONS, OTHER = 0, 1, 6, 9


@cython.final
@cython.cclass
class Route:
    """One pattern with its method and handler, as `Router.routes` lists them."""

    def __init__(self, method: bytes, pattern: str, handler: object, name: object) -> None:
        self.method = method
        self.pattern = pattern
        self.handler = handler
        self.name = name
        self.pieces = parse_pattern(pattern)
        self.names = tuple(piece[1] for piece in self.pieces if type(piece) is tuple)
        self.call = handler
        self.compiled = None

    def __repr__(self) -> str:
        return f"<Route {self.method.decode() if self.method else 'any method'} {self.pattern}: {self.handler!r}>"

    def read_params(self, request: object) -> dict[str, bytes]:
        """Request.params."""
        number: cython.int
        found: dict = {}
        for number in range(len(self.names)):
            found[self.names[number]] = read_variable(request, number)
        return found

    def fill(self, params: dict[str, object]) -> str:
        """The path of this route with its parameters filled in.

        Raises: ValueError for one that is missing, empty, or unknown.
        """
        unknown = sorted(params.keys() - set(self.names))
        if unknown:
            raise ValueError(f"url_for: {self.pattern} has no parameter {unknown[0]!r}; it has {list(self.names)}")
        parts: list = []
        for piece in self.pieces:
            if type(piece) is bytes:
                parts.append(encode(decode(piece), SEGMENT_SAFE + b"/"))
                continue
            kind, name = piece
            if name not in params:
                raise ValueError(f"url_for: {self.pattern} needs {name!r}")
            value: object = params[name]
            text: bytes = value if type(value) is bytes else str(value).encode()
            if kind is PARAMETER and not text:
                raise ValueError(f"url_for: {name!r} of {self.pattern} is empty, which no path matches")
            parts.append(encode(text, SEGMENT_SAFE + b"/" if kind is REST else SEGMENT_SAFE))
        return b"".join(parts).decode("ascii")


@cython.final
@cython.cclass
class Leaf:
    """Where paths end in the tree: the routes that end there, one for each method."""

    def __init__(self, routes: Iterable[Route]) -> None:
        route: Route
        self.routes = [None] * len(METHODS)
        self.others = {}
        for route in routes:
            if route.method in METHODS:
                self.routes[METHODS.index(route.method)] = route
            else:
                self.others[route.method] = route

    def mask(self) -> int:
        """The methods that there are a route for, as bits; one more for all that have no index, or for any."""
        bits: int = 1 << OTHER if self.others else 0
        if b"" in self.others:
            return (1 << (OTHER + 1)) - 1
        for index in range(len(METHODS)):
            if self.routes[index] is not None:
                bits |= 1 << index
        return bits | bits << HEAD & 1 << HEAD  # HEAD is answered by what answers GET


@cython.final
@cython.cclass
class Router(CompiledHandler):
    """A handler that calls the handler of the route, which finds the variable parts of the path in `request.params`.

    A pattern is a path. A segment of it that begins with `:` is a parameter, and stands for one segment that is not
    empty; a last one that begins with `*` stands for any rest, none included. Where several patterns match, what is
    written out beats a parameter, and a parameter beats a rest, from left to right; one that has not the method is no
    match.

    What has no route is answered 404, or 405 with Allow where another method has one; OPTIONS is answered 204 with
    Allow; HEAD is answered by the handler of GET. All of these are routes of your own if you add them.

    Args:
        not_found: the handler in place of the 404.
        method_not_allowed: the handler in place of the 405; `response.header("allow")` is set after it.
        redirect_slashes: answer 308 where the path with a slash more or less at its end has a route.

    Raises (when routes are added): ValueError for a pattern that is none, or a route that is there already;
        RuntimeError once a request was routed.
    """

    def __cinit__(self, *_: object, **__: object) -> None:
        self.nodes = cython.NULL
        self.children = cython.NULL
        self.masks = cython.NULL

    def __init__(
        self,
        *,
        not_found: object = None,
        method_not_allowed: object = None,
        redirect_slashes: bool = False,
    ) -> None:
        self.routes = []
        self.by_name = {}
        self.by_shape = {}
        self.not_found = not_found
        self.method_not_allowed = method_not_allowed
        self.redirects_slashes = redirect_slashes
        self.lock = threading.Lock()

    def __dealloc__(self) -> None:
        free(self.nodes)
        free(self.children)
        free(self.masks)

    def __repr__(self) -> str:
        return f"<Router of {len(self.routes)} routes>"

    @property
    def is_async(self) -> bool:
        """Whether one of the handlers is an `async def`; the server then has an asyncio loop in each worker."""
        handlers = [route.handler for route in self.routes]
        return any(may_return_coroutines(each) for each in [*handlers, self.not_found, self.method_not_allowed])

    @property
    def streams_requests(self) -> bool:
        """Whether one of the handlers is marked `streaming`. The others are called once the content is whole."""
        return any(streams_requests(route.handler) for route in self.routes)

    # Adding.

    def add(self, method: str | bytes | None, pattern: str, handler: object, *, name: str | None = None) -> Route:
        """Add a route.

        Args:
            method: such as `"GET"`, in capitals; None for any that has no route of its own there.
            pattern: such as `"/users/:id"` or `"/files/*path"`; text, not escaped.
            handler: called as handler(request, response, worker); plain, or an `async def`.
            name: for `url_for`.
        """
        route: Route
        if method is not None and not isinstance(method, str | bytes):
            raise TypeError(f"method {method!r}: give one as str or bytes, or None for any")
        verb: bytes = b"" if method is None else method.encode() if isinstance(method, str) else method
        if not callable(handler):
            raise TypeError(f"{pattern}: handler {handler!r} cannot be called")
        if method is not None and (not verb.isascii() or verb.upper() != verb or not verb):
            raise ValueError(f"{pattern}: method {method!r} is none; write it in capitals, such as 'GET'")
        if self.is_compiled:
            raise RuntimeError(f"{pattern}: this router has routed a request; add routes before the server starts")
        route = Route(verb, pattern, handler, name)
        shape = tuple(piece if type(piece) is bytes else piece[0] for piece in route.pieces), verb
        if shape in self.by_shape:
            raise ValueError(f"{route!r} can never be reached: {self.by_shape[shape]!r} was added before")
        if name is not None and name in self.by_name:
            raise ValueError(f"name {name!r} of {route!r}: {self.by_name[name]!r} has it")
        self.by_shape[shape] = route
        if name is not None:
            self.by_name[name] = route
        self.routes.append(route)
        return route

    def get(self, pattern: str, handler: object, *, name: str | None = None) -> Route:
        """Add a route for GET, and HEAD where that has none of its own. As `add`."""
        return self.add(b"GET", pattern, handler, name=name)

    def head(self, pattern: str, handler: object, *, name: str | None = None) -> Route:
        """Add a route for HEAD. As `add`."""
        return self.add(b"HEAD", pattern, handler, name=name)

    def post(self, pattern: str, handler: object, *, name: str | None = None) -> Route:
        """Add a route for POST. As `add`."""
        return self.add(b"POST", pattern, handler, name=name)

    def put(self, pattern: str, handler: object, *, name: str | None = None) -> Route:
        """Add a route for PUT. As `add`."""
        return self.add(b"PUT", pattern, handler, name=name)

    def patch(self, pattern: str, handler: object, *, name: str | None = None) -> Route:
        """Add a route for PATCH. As `add`."""
        return self.add(b"PATCH", pattern, handler, name=name)

    def delete(self, pattern: str, handler: object, *, name: str | None = None) -> Route:
        """Add a route for DELETE. As `add`."""
        return self.add(b"DELETE", pattern, handler, name=name)

    def options(self, pattern: str, handler: object, *, name: str | None = None) -> Route:
        """Add a route for OPTIONS, in place of the answer that the router gives. As `add`."""
        return self.add(b"OPTIONS", pattern, handler, name=name)

    def group(self, prefix: str, *middleware: object) -> object:
        """What adds routes whose patterns begin with `prefix`, and whose handlers are wrapped in `middleware`."""
        return Group(self, prefix, middleware)

    def mount(self, prefix: str, handler: object) -> None:
        """Have everything at `prefix` and below it answered by a handler, or by the routes of another router.

        A handler gets what stands behind the prefix as `request.params["path"]`, and each method. Another router gives
        the routes that it has now, the names of those with them; its `not_found` and the like stay behind.
        """
        if isinstance(handler, Router):
            for route in handler.routes:
                self.add(route.method or None, join(prefix, route.pattern), route.handler, name=route.name)
            return
        self.add(None, join(prefix, "/*path"), handler)
        if prefix.strip("/"):
            self.add(None, prefix.rstrip("/"), handler)

    def url_for(self, name: str, /, **params: object) -> str:
        """The path of the route called `name`, its parameters filled in and escaped.

        Args:
            name: as it was added.
            params: a value for each variable part: bytes, or anything that is written as its `str`.

        Raises: KeyError for an unknown name; ValueError for a parameter that is missing, empty, or unknown.
        """
        route: Route
        if name not in self.by_name:
            raise KeyError(f"url_for: no route is called {name!r}; there are {sorted(self.by_name)}")
        route = self.by_name[name]
        return route.fill(params)

    # Routing.

    @cython.cfunc
    def answer(self, request: Request, response: Response, worker: object) -> object:
        """Call what the request is for."""
        data: cython.p_const_uchar = request.framed.slab.bytes
        start: cython.Py_ssize_t = request.framed.target_start
        end: cython.Py_ssize_t = request.framed.target_end
        method: cython.p_const_uchar = data + request.framed.start
        index: cython.int = index_method(method, request.framed.method_end - request.framed.start)
        leaf: cython.int
        route: Route
        found: cython.p_void
        path: bytes = None
        if not self.is_compiled:
            self.compile()
        if end > start and data[start] == SLASH:
            data += start
            found = cython.cast(cython.p_void, memchr(data, QUESTION, end - start))
            end = (cython.cast(cython.p_const_uchar, found) - data) if found is not cython.NULL else end - start
            if memchr(data, 37, end) is not cython.NULL:
                path = normalize(PyBytes_FromStringAndSize(cython.cast(cython.p_const_char, data), end))
        else:
            path = normalize(request.path)
        if path is not None:
            data = path
            end = len(path)
        leaf = self.find(0, data, 0, end, 1 << index, request.marks, 0)
        if leaf >= 0:
            route = self.route_of(self.leaves[leaf], request, index)
            if route is not None:
                request.route = route
                request.routed = path
                request._params = None
                request.is_read = True
                if route.compiled is not None:
                    return route.compiled.answer(request, response, worker)
                return route.call(request, response, worker)
        return self.answer_otherwise(request, response, worker, data[:end], index)

    @cython.cfunc
    def route_of(self, leaf: Leaf, request: Request, index: cython.int) -> Route:
        """The route of a leaf for a request's method, or None."""
        route: Route = leaf.routes[index] if index < OTHER else leaf.others.get(request.method)
        if route is None and index == HEAD:
            route = leaf.routes[GET]
        return leaf.others.get(b"") if route is None else route

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def find(
        self,
        number: cython.int,
        path: cython.p_const_uchar,
        at: cython.Py_ssize_t,
        end: cython.Py_ssize_t,
        mask: cython.uint,
        marks: cython.p_int,
        count: cython.int,
    ) -> cython.int:
        """The leaf that path[at:end] leads to from a node, of those that have a method of `mask`; else -1.

        Each node is reached from one place of a path alone, so no path, and no set of routes, has one visited twice.
        """
        node: cython.pointer[Node] = cython.address(self.nodes[number])
        stop: cython.Py_ssize_t
        child: cython.int
        leaf: cython.int
        if node.label_length > end - at or memcmp(self.label_bytes + node.label, path + at, node.label_length) != 0:
            return -1
        at += node.label_length
        if at == end:
            if node.leaf >= 0 and self.masks[node.leaf] & mask:
                return node.leaf
        else:
            child = path[at] - node.first
            if 0 <= child < node.span and self.children[node.child + child] >= 0:
                leaf = self.find(self.children[node.child + child], path, at, end, mask, marks, count)
                if leaf >= 0:
                    return leaf
            if node.parameter >= 0 and path[at] != SLASH:
                stop = at + 1
                while stop < end and path[stop] != SLASH:
                    stop += 1
                marks[2 * count] = at
                marks[2 * count + 1] = stop
                leaf = self.find(node.parameter, path, stop, end, mask, marks, count + 1)
                if leaf >= 0:
                    return leaf
        if node.rest >= 0 and self.masks[node.rest] & mask:
            marks[2 * count] = at
            marks[2 * count + 1] = end
            return node.rest
        return -1

    @cython.cfunc
    def answer_otherwise(
        self, request: Request, response: object, worker: object, path: bytes, index: cython.int
    ) -> object:
        """No route has this method and path."""
        mask: cython.uint = self.list_methods(path)
        other: bytes
        if path == b"*" and index == OPTIONS:
            mask = self.list_all()
        if mask == 0:
            other = toggle_slash(path)
            if self.redirects_slashes and self.list_methods(other):
                target: bytes = toggle_slash(request.path)
                if not target.startswith((b"//", b"/\\")):  # which would name a host
                    if request.query:
                        target += b"?" + request.query
                    return response.reply(308, headers=((b"Location", target),))
            if self.not_found is not None:
                return self.not_found(request, response, worker)
            return response.reply(404, b"Not Found\n", content_type=b"text/plain; charset=utf-8")
        allowed: bytes = describe(mask)
        if index == OPTIONS:
            return response.reply(204, headers=((b"Allow", allowed),))
        if self.method_not_allowed is not None:
            response.before_send(_Allow(allowed))
            return self.method_not_allowed(request, response, worker)
        return response.reply(
            405,
            b"Method Not Allowed\n",
            content_type=b"text/plain; charset=utf-8",
            headers=((b"Allow", allowed),),
        )

    @cython.cfunc
    @cython.exceptval(check=False)
    def list_methods(self, path: bytes) -> cython.uint:
        """The methods that have a route at this path, as bits."""
        marks: cython.int[32]
        index: cython.int
        found: cython.uint = 0
        for index in range(OTHER + 1):
            if self.find(0, path, 0, len(path), 1 << index, marks, 0) >= 0:
                found |= 1 << index
        return found

    def list_all(self) -> int:
        """The methods that have a route anywhere, as bits: what `OPTIONS *` asks for."""
        number: cython.int
        found: cython.uint = 0
        for number in range(len(self.leaves)):
            found |= self.masks[number]
        return found

    # Building the tree.

    def compile(self) -> None:
        """Build what is walked; done by itself when the first request comes. From then on no route can be added."""
        with self.lock:
            if not self.is_compiled:
                self.build()
                self.is_compiled = True

    def build(self) -> None:
        """Lay the tree out in arrays."""
        route: Route
        streams: bool = self.streams_requests
        for route in self.routes:
            route.call = _collecting(route.handler) if streams else route.handler
            route.compiled = route.call if isinstance(route.call, CompiledHandler) else None
        branches: list[Branch] = list(grow([(route.pieces, route) for route in self.routes]).number())
        labels: bytes = b"".join([branch.label for branch in branches])
        spans: int = sum(branch.span() for branch in branches)
        number: cython.int
        label: cython.int = 0
        child: cython.int = 0
        node: cython.pointer[Node]
        self.leaves = []
        self.labels = labels
        self.label_bytes = labels
        self.nodes = cython.cast(cython.pointer[Node], calloc(len(branches), cython.sizeof(Node)))
        self.children = cython.cast(cython.p_int, calloc(max(spans, 1), cython.sizeof(cython.int)))
        self.masks = cython.cast(cython.p_uint, calloc(2 * len(branches), cython.sizeof(cython.uint)))
        if self.nodes is cython.NULL or self.children is cython.NULL or self.masks is cython.NULL:
            raise MemoryError
        for number in range(spans):
            self.children[number] = -1
        for branch in branches:
            node = cython.address(self.nodes[cython.cast(cython.int, branch.index)])
            node.label = label
            node.label_length = len(branch.label)
            node.first = branch.first()
            node.span = branch.span()
            node.child = child
            node.parameter = -1 if branch.parameter is None else branch.parameter.index
            node.leaf = self.add_leaf(branch.leaf)
            node.rest = self.add_leaf(branch.rest)
            for octet, below in branch.children.items():
                self.children[child + cython.cast(cython.int, octet - branch.first())] = below.index
            label += node.label_length
            child += node.span

    def add_leaf(self, routes: list[Route]) -> int:
        """The number of a new leaf with these routes; -1 if there are none."""
        leaf: Leaf
        if not routes:
            return -1
        leaf = Leaf(routes)
        self.masks[len(self.leaves)] = leaf.mask()
        self.leaves.append(leaf)
        return len(self.leaves) - 1


class _Allow:
    """Sets Allow on what a user's handler answered."""

    def __init__(self, allowed: bytes) -> None:
        self._allowed = allowed

    def __call__(self, request: object, response: Any, worker: object) -> None:
        response.set_header(b"Allow", self._allowed)


def _collecting(handler: Handler) -> Handler:
    """The handler as it is called by a router that streams: one that is not marked waits for the whole content."""
    if streams_requests(handler):
        return handler
    if may_return_coroutines(handler):

        async def collect(request: Any, response: Any, worker: Any) -> object:
            give_content(request, await request.read())
            result = handler(request, response, worker)
            return await result if hasattr(result, "__await__") else result

    else:

        def collect(request: Any, response: Any, worker: Any) -> object:  # type: ignore[misc]
            pieces: list[bytes] = []

            def go_on(request: Any, response: Any, worker: Any, piece: Any, event: object) -> object:
                if isinstance(piece, BodyError):
                    raise piece
                if piece:
                    pieces.append(piece)
                    request.on_body(go_on)
                    return Step.SUSPEND
                give_content(request, b"".join(pieces))
                return handler(request, response, worker)

            if is_whole(request):
                return handler(request, response, worker)
            request.on_body(go_on)
            return Step.SUSPEND

    return collect


@cython.ccall
def is_whole(request: Request) -> cython.bint:
    """Whether the whole content is there."""
    return not request.framed.is_partial


@cython.ccall
def give_content(request: Request, content: bytes) -> object:
    """Have `request.body` be what was collected."""
    request._body = content
    request.is_read = True
    return None


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def index_method(data: cython.p_const_uchar, length: cython.Py_ssize_t) -> cython.int:
    """The place of a method in METHODS, or OTHER."""
    if length == 3:
        if memcmp(data, cython.cast(cython.p_const_char, b"GET"), 3) == 0:
            return GET
        return 3 if memcmp(data, cython.cast(cython.p_const_char, b"PUT"), 3) == 0 else OTHER
    if length == 4:
        if memcmp(data, cython.cast(cython.p_const_char, b"POST"), 4) == 0:
            return 2
        return HEAD if memcmp(data, cython.cast(cython.p_const_char, b"HEAD"), 4) == 0 else OTHER
    if length == 5:
        if memcmp(data, cython.cast(cython.p_const_char, b"PATCH"), 5) == 0:
            return 4
        return 7 if memcmp(data, cython.cast(cython.p_const_char, b"TRACE"), 5) == 0 else OTHER
    if length == 6:
        return 5 if memcmp(data, cython.cast(cython.p_const_char, b"DELETE"), 6) == 0 else OTHER
    if length == 7:
        if memcmp(data, cython.cast(cython.p_const_char, b"OPTIONS"), 7) == 0:
            return OPTIONS
        return 8 if memcmp(data, cython.cast(cython.p_const_char, b"CONNECT"), 7) == 0 else OTHER
    return OTHER


@cython.cfunc
def read_variable(request: Request, number: cython.int) -> bytes:
    """What a variable part stands for, decoded."""
    start: cython.int = request.marks[2 * number]
    end: cython.int = request.marks[2 * number + 1]
    if request.routed is None:
        start += request.framed.target_start
        end += request.framed.target_start
        return PyBytes_FromStringAndSize(
            cython.cast(cython.p_const_char, request.framed.slab.bytes) + start, end - start
        )
    return decode(request.routed[start:end])


def describe(mask: int) -> bytes:
    """The value of Allow: those of the methods in METHODS that have a route, and OPTIONS, which is always answered."""
    return b", ".join([method for index, method in enumerate(METHODS) if mask >> index & 1 or index == OPTIONS])
