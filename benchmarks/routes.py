"""Profiles of the toolkit: what it adds to a request that a plain handler answers, and its files against nginx's."""

from __future__ import annotations

import prepare
from catalogue import APPS, Server, vanilla_command
from load import Profile

PLAIN = "vanilla-plain"
NGINX = "nginx"
ROUTED = "/service217/users/7"

PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            "routing_16", "a route with a parameter, 16 deep", depth=16, saturates=True, target=ROUTED, reference=PLAIN
        ),
        Profile("middlewares_16", "three middlewares, 16 deep", depth=16, saturates=True, reference=PLAIN),
        Profile("cached", "an answer of the cache, 64 connections", saturates=True, reference=PLAIN),
        Profile("cached_16", "an answer of the cache, 16 deep", depth=16, saturates=True, reference=PLAIN),
        Profile("assets", "a page of a bundle, 64 connections", saturates=True, reference=PLAIN),
        Profile("assets_16", "a page of a bundle, 16 deep", depth=16, saturates=True, reference=PLAIN),
        *(
            Profile(
                f"static_{title}",
                f"a file of {size:,} bytes out of a folder, {connections} connections",
                connections=connections,
                target=f"/file_{size}",
                answer_bytes=size,
                saturates=True,
                reference=NGINX,
            )
            for title, size, connections in (("1k", 1024, 64), ("64k", 64 * 1024, 64), ("1m", 1024 * 1024, 4))
        ),
    )
}


def servers_of(name: str, python: str) -> list[Server]:
    """Those that take part in a profile, what they are compared with first."""
    if name == "routing_16":
        return [_vanilla(python, PLAIN, "hello"), *[_routes(python, count) for count in (50, 500, 5000)]]
    if name in ("cached", "cached_16"):
        return [_vanilla(python, PLAIN, "hello"), _vanilla(python, "vanilla-cached", "cached_page")]
    if name in ("assets", "assets_16"):
        return [_vanilla(python, PLAIN, "hello"), _vanilla(python, "vanilla-assets", "assets")]
    if name.startswith("static_"):
        folder = str(prepare.file_of(PROFILES[name].answer_bytes).parent)
        files = ("env", f"FOLDER={folder}", *vanilla_command(python, f"{APPS / 'vanilla_toolkit.py'}:files"))
        nginx = (python, str(APPS / "nginx_file.py"), "PORT", str(prepare.file_of(PROFILES[name].answer_bytes)))
        return [Server(name=NGINX, command=nginx, program="nginx"), Server(name="vanilla-files", command=files)]
    return [
        _vanilla(python, PLAIN, "hello"),
        _vanilla(python, "vanilla-middlewares", "wrapped"),
        _vanilla(python, "vanilla-hooks", "hooked"),
    ]


def _routes(python: str, count: int) -> Server:
    return _vanilla(python, f"vanilla-{count}-routes", f"routes_{count}")


def _vanilla(python: str, name: str, handler: str) -> Server:
    return Server(name=name, command=vanilla_command(python, f"{APPS / 'vanilla_toolkit.py'}:{handler}"))
