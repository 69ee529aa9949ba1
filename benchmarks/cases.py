"""Profiles of one thing each that a server can do besides answering at once: wait, send a file, take an upload.

Each has servers of its own and the one that it is a ratio of: a C loop with the same system calls, vanilla's own plain
handler, or a peer.
"""

from __future__ import annotations

import prepare
from catalogue import APPS, Server, granian_command, uvicorn_command, vanilla_command
from load import Profile

KIB_64 = 64 * 1024
MIB = 1024 * 1024
UPLOAD_COUNT_BYTES = len(str(MIB))  # an upload is answered with its size
PLAIN = "vanilla-sync"
UVICORN = ("uvicorn", "httptools", "uvloop")

PROFILES = {
    profile.name: profile
    for profile in (
        Profile("async", "`async def` that never waits, 64 connections", saturates=True, reference=PLAIN),
        Profile("async_16", "`async def` that never waits, 16 deep", depth=16, saturates=True, reference=PLAIN),
        Profile("timers", "100,000 pending timers, 64 connections", saturates=True, reference=PLAIN),
        Profile("pipe", "suspended on a pipe and resumed, 64 connections", reference="c-pipe"),
        Profile("sleep", "`await asyncio.sleep(0.001)`, 256 connections", connections=256, reference="uvicorn-asgi"),
        Profile(
            "file_64k",
            "files of 64 KiB, 64 connections",
            target="/file",
            answer_bytes=KIB_64,
            saturates=True,
            reference="c-sendfile",
        ),
        Profile(
            "file_1m",
            "files of 1 MiB, 4 connections",
            connections=4,
            target="/file",
            answer_bytes=MIB,
            saturates=True,
            reference="c-sendfile",
        ),
        Profile(
            "upload_1m",
            "uploads of 1 MiB, 16 connections",
            connections=16,
            target="/upload",
            upload_bytes=MIB,
            answer_bytes=UPLOAD_COUNT_BYTES,
            saturates=True,
            reference="c-sink",
        ),
    )
}


def servers_of(name: str, python: str) -> list[Server]:
    """Those that take part in a profile, what they are compared with first."""
    if name in ("async", "async_16"):
        return [_waiting(python, PLAIN, "reply"), _waiting(python, "vanilla-async", "reply_async")]
    if name == "timers":
        return [_waiting(python, PLAIN, "hello"), _waiting(python, "vanilla-timers", "timers")]
    if name == "pipe":
        return [_loop("c-pipe", "pipe"), _waiting(python, "vanilla-pipe", "pipe")]
    if name == "sleep":
        command = (*uvicorn_command(), "asgi_waiting:sleep")
        uvicorn = Server(name="uvicorn-asgi", command=command, distributions=UVICORN)
        return [uvicorn, _waiting(python, "vanilla-async", "sleep")]
    return _uploads(python) if name == "upload_1m" else _files(python, PROFILES[name].answer_bytes)


def _files(python: str, size: int) -> list[Server]:
    path = str(prepare.file_of(size))
    ours = ("env", f"FILE={path}", *vanilla_command(python, str(APPS / "vanilla_files.py")))
    nginx = (python, str(APPS / "nginx_file.py"), "PORT", path)
    return [
        _loop("c-sendfile", "files", path),
        Server(name="vanilla", command=ours),
        Server(name="nginx", command=nginx, program="nginx"),
    ]


def _uploads(python: str) -> list[Server]:
    target, peers = str(APPS / "vanilla_uploads.py"), str(prepare.peers_python())
    roomy = ("--limit-max-body-bytes", str(2 * MIB))
    granian = (*granian_command(), "--interface")
    return [
        _loop("c-sink", "sink"),
        Server(name="vanilla-streamed", command=vanilla_command(python, f"{target}:streamed", *roomy)),
        Server(name="vanilla-buffered", command=vanilla_command(python, f"{target}:buffered", *roomy)),
        Server(
            name="fastpysgi-wsgi",
            command=(peers, str(APPS / "fastpysgi_upload.py"), "PORT"),
            distributions=("fastpysgi",),
        ),
        Server(
            name="granian-rsgi",
            command=(*granian, "rsgi", "rsgi_upload:app"),
            distributions=("granian", "uvloop"),
        ),
        Server(
            name="granian-asgi",
            command=(*granian, "asginl", "asgi_waiting:upload"),
            distributions=("granian", "uvloop"),
        ),
        Server(
            name="uvicorn-asgi",
            command=(*uvicorn_command(), "asgi_waiting:upload"),
            distributions=UVICORN,
        ),
    ]


def _waiting(python: str, name: str, handler: str) -> Server:
    return Server(name=name, command=vanilla_command(python, f"{APPS / 'vanilla_waiting.py'}:{handler}"))


def _loop(name: str, program: str, *arguments: str) -> Server:
    return Server(name=name, command=(str(prepare.compile_program(program)), "PORT", *arguments))
