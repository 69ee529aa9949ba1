"""Profiles of the toolkit: what a router or middleware adds to a request that a plain handler answers."""

from __future__ import annotations

from catalogue import APPS, Server, vanilla_command
from load import Profile

PLAIN = "vanilla-plain"
ROUTED = "/service217/users/7"

PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            "routing_16", "a route with a parameter, 16 deep", depth=16, saturates=True, target=ROUTED, reference=PLAIN
        ),
        Profile("middlewares_16", "three middlewares, 16 deep", depth=16, saturates=True, reference=PLAIN),
    )
}


def servers_of(name: str, python: str) -> list[Server]:
    """Those that take part in a profile, what they are compared with first."""
    if name == "routing_16":
        return [_vanilla(python, PLAIN, "hello"), *[_routes(python, count) for count in (50, 500, 5000)]]
    return [
        _vanilla(python, PLAIN, "hello"),
        _vanilla(python, "vanilla-middlewares", "wrapped"),
        _vanilla(python, "vanilla-hooks", "hooked"),
    ]


def _routes(python: str, count: int) -> Server:
    return _vanilla(python, f"vanilla-{count}-routes", f"routes_{count}")


def _vanilla(python: str, name: str, handler: str) -> Server:
    return Server(name=name, command=vanilla_command(python, f"{APPS / 'vanilla_toolkit.py'}:{handler}"))
