"""io_uring, where it has ways of its own: rings that are too small, kernels that lack features, and kernels without."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from vanilla import ServerConfig
from vanilla.backends.choose import why_not
from vanilla.testing import Round, Script, ask, drive, frames, repeat

pytestmark = pytest.mark.skipif(why_not("io_uring") is not None, reason=str(why_not("io_uring")))

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
SETTINGS = [
    "buffers=4,submissions=8,completions=16",
    "buffers=1,submissions=1,completions=2",
    "without=shared_buffers",
    "without=shared_buffers,buffers=2",
    "without=multishot_receive",
    "without=multishot_accept",
    "without=deferred",
    "without=deferred,without=shared_buffers,without=multishot_receive,without=multishot_accept,buffers=2",
]


@pytest.fixture(params=SETTINGS)
def settings(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """As on kernels that have less."""
    monkeypatch.setenv("VANILLA_IO_URING", request.param)
    return str(request.param)


def echo(request, response, worker) -> None:
    response.reply(200, request.body)


def post(content: bytes) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (len(content), content)


def test_small_rings_and_old_kernels_answer_many_at_once(settings: str) -> None:
    config = ServerConfig(echo, workers=1, port=0, backend="io_uring")
    contents = [b"%d." % number * 20 for number in range(40)]
    results = drive(config, repeat(100, ask(b"".join(map(post, contents)), frames(40))))
    assert [result.bodies for result in results] == [contents] * 100
    assert (results.counters.in_flight, results.counters.requests) == (0, 4000)


def test_small_rings_and_old_kernels_take_and_give_large_content(settings: str) -> None:
    config = ServerConfig(echo, workers=1, port=0, backend="io_uring")
    content = b"".join(b"%07d\n" % number for number in range(125_000))  # 1 MB, in which a swap shows
    slow = Script(rounds=[Round(send=post(content))] * 2, receive_buffer=4096, receive_bytes=65_536)
    fast = Script(rounds=[Round(send=post(content) + post(b"behind"), until=frames(count)) for count in (2, 4)])
    results = drive(config, [slow, fast] * 4)
    for result in results[::2]:
        assert result.bodies == [content] * 2
    for result in results[1::2]:
        assert result.bodies == [content, b"behind"] * 2


def test_requests_that_are_kept_keep_their_bytes(settings: str) -> None:
    """A buffer goes back into the ring only when nobody looks into it."""
    kept: list[memoryview] = []

    def keep(request, response, worker) -> None:
        kept.append(request.body_view)
        response.reply(200)

    contents = [b"%d," % number * 500 for number in range(200)]
    config = ServerConfig(keep, workers=1, port=0, backend="io_uring")
    drive(config, [Script(rounds=[Round(send=post(content)) for content in contents])])
    assert [bytes(view) for view in kept] == contents


def run(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith("VANILLA_")} | environment,
    )


FORBIDDEN = """
    import ctypes, struct
    # A filter that answers io_uring_setup with EPERM, as containers have one: seccomp(2), with the calls of x86-64 and
    # arm64, which are the same from 424 on.
    libc = ctypes.CDLL(None, use_errno=True)
    instructions = [(0x20, 0, 0, 0), (0x15, 0, 1, 425), (0x06, 0, 0, 0x50001), (0x06, 0, 0, 0x7FFF0000)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in instructions))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(instructions), ctypes.addressof(code)))
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, program) == 0
    import logging
    from vanilla import Server, ServerConfig
    from vanilla.backends import choose
    logging.basicConfig(format="%(message)s")
    def handle(request, response, worker): response.reply(200, b"served")
"""


def test_where_it_is_forbidden_auto_falls_back_and_says_so_once() -> None:
    done = run(
        FORBIDDEN
        + """
    choose.BACKENDS = ("io_uring", "epoll", "poll")
    for _ in range(2):
        with Server(ServerConfig(handle, workers=1, port=0)) as server:
            print(server.backend)
    """
    )
    assert (done.stdout, done.returncode) == ("epoll\nepoll\n", 0), done.stderr
    assert done.stderr.splitlines() == [
        "backend auto: io_uring cannot be had here: io_uring_setup: Operation not permitted; trying the next one"
    ]


def test_where_it_is_forbidden_asking_for_it_is_a_clear_error() -> None:
    done = run(FORBIDDEN + "\n    ServerConfig(handle, backend='io_uring')\n")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "vanilla.errors.ConfigError: backend='io_uring': io_uring cannot be had here: io_uring_setup: "
        "Operation not permitted; use auto, or epoll or poll"
    )
