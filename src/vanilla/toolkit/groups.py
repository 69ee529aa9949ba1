"""Routes that have a prefix and middleware in common."""

from __future__ import annotations

from typing import Any

from vanilla.toolkit.composition import Handler, Middleware, compose
from vanilla.toolkit.patterns import join


class Group:
    """Adds routes to a router, below a prefix, by the same methods that a Router has."""

    def __init__(self, router: Any, prefix: str, middleware: tuple[Middleware, ...]) -> None:
        if not prefix.startswith("/") or prefix.endswith("/"):
            raise ValueError(f"prefix {prefix!r}: it begins with a slash and ends without one, such as '/api'")
        self._router = router
        self._prefix = prefix
        self._middleware = middleware

    def add(self, method: str | bytes | None, pattern: str, handler: Handler, *, name: str | None = None) -> Any:
        """Router.add, with `/prefix` in front of the pattern; `""` is the prefix itself."""
        return self._router.add(method, self._prefix + pattern, self._wrap(handler), name=name)

    def get(self, pattern: str, handler: Handler, *, name: str | None = None) -> Any:
        """Router.get."""
        return self.add(b"GET", pattern, handler, name=name)

    def head(self, pattern: str, handler: Handler, *, name: str | None = None) -> Any:
        """Router.head."""
        return self.add(b"HEAD", pattern, handler, name=name)

    def post(self, pattern: str, handler: Handler, *, name: str | None = None) -> Any:
        """Router.post."""
        return self.add(b"POST", pattern, handler, name=name)

    def put(self, pattern: str, handler: Handler, *, name: str | None = None) -> Any:
        """Router.put."""
        return self.add(b"PUT", pattern, handler, name=name)

    def patch(self, pattern: str, handler: Handler, *, name: str | None = None) -> Any:
        """Router.patch."""
        return self.add(b"PATCH", pattern, handler, name=name)

    def delete(self, pattern: str, handler: Handler, *, name: str | None = None) -> Any:
        """Router.delete."""
        return self.add(b"DELETE", pattern, handler, name=name)

    def options(self, pattern: str, handler: Handler, *, name: str | None = None) -> Any:
        """Router.options."""
        return self.add(b"OPTIONS", pattern, handler, name=name)

    def mount(self, prefix: str, handler: Handler | Any) -> None:
        """Router.mount."""
        if hasattr(handler, "routes"):
            for route in handler.routes:
                self.add(route.method or None, join(prefix, route.pattern), route.handler, name=route.name)
        else:
            self._router.mount(self._prefix + prefix, self._wrap(handler))

    def group(self, prefix: str, *middleware: Middleware) -> Group:
        """Router.group, below this one and inside its middleware."""
        return Group(self._router, self._prefix + prefix, self._middleware + middleware)

    def _wrap(self, handler: Handler) -> Handler:
        if not self._middleware:
            return handler

        return compose(handler, *self._middleware)
