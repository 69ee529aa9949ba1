"""Completion ports, where they have ways of their own: files sent in two ways, and clients that go in the midst."""

from __future__ import annotations

import os
import pathlib
import socket
from collections.abc import Callable

import pytest

from system import open_descriptors, reset, until
from vanilla import Request, Response, Server, ServerConfig, Worker
from vanilla.backends.choose import why_not
from vanilla.testing import Round, Script, drive, eof, frames

pytestmark = pytest.mark.skipif(why_not("iocp") is not None, reason=str(why_not("iocp")))

PATTERN = b"".join(b"%07d\n" % number for number in range(250_000))  # 2 MB, in which every cut and every swap shows
SHRUNK_BYTES = 700_001


@pytest.fixture(params=["transmit", "read"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How files are sent: as on a Windows for servers, or as on one for workstations."""
    monkeypatch.setenv("VANILLA_IOCP", request.param)
    return str(request.param)


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    """The pattern as a file."""
    path = tmp_path / "pattern"
    path.write_bytes(PATTERN)
    return path


def config_for(handler: Callable[[Request, Response, Worker], None]) -> ServerConfig:
    return ServerConfig(handler, workers=1, port=0, backend="iocp")


def get(path: str) -> bytes:
    return b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode()


@pytest.mark.parametrize("receive", [(None, 262_144), (4096, 16_384)], ids=["fast", "slow"])
def test_files_arrive_whole_and_in_order_with_the_bytes_around_them(
    way: str, path: pathlib.Path, receive: tuple[int | None, int]
) -> None:
    def serve(request: Request, response: Response, worker: Worker) -> None:
        offset, end = map(int, request.path[1:].split(b"-"))
        with path.open("rb") as file:
            response += b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\nbefore" % (end - offset + 12)
            response.send_file(file, offset, end - offset)
            response += b"behind"

    ranges = [(0, 1), (7, 70_007), (0, len(PATTERN)), (len(PATTERN) - 20_000, len(PATTERN))]
    script = Script(
        rounds=[Round(send=b"".join(get(f"{start}-{end}") for start, end in ranges), until=frames(len(ranges)))],
        receive_buffer=receive[0],
        receive_bytes=receive[1],
    )
    results = drive(config_for(serve), [script] * 3)
    expected = [b"before" + PATTERN[start:end] + b"behind" for start, end in ranges]
    assert [result.bodies for result in results] == [expected] * 3
    assert results.counters.bytes_sent == sum(len(result.raw) for result in results)


def test_a_file_that_ends_early_closes_the_connection_short(
    way: str, path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    def serve(request: Request, response: Response, worker: Worker) -> None:
        with path.open("rb") as file:
            response += b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(PATTERN)
            response.send_file(file, 0, len(PATTERN))
        os.truncate(path, SHRUNK_BYTES)

    [result] = drive(config_for(serve), [Script(rounds=[Round(send=get(""), until=eof)])])
    assert result.raw.endswith(b"\r\n\r\n" + PATTERN[:SHRUNK_BYTES])
    assert result.unmet is None
    assert "the file became shorter while it was sent" in caplog.text


@pytest.mark.parametrize("leaves", ["close", "reset"])
def test_what_is_under_way_for_a_client_that_goes_never_reaches_the_next_one(
    way: str, path: pathlib.Path, leaves: str
) -> None:
    """Their places and numbers are taken at once, while outcomes of the former are still to come."""

    def serve(request: Request, response: Response, worker: Worker) -> None:
        if request.path == b"/file":
            with path.open("rb") as file:
                response += b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(PATTERN)
                response.send_file(file, 0, len(PATTERN))
        else:
            response.reply(200, PATTERN if request.path == b"/large" else request.path)

    def connect() -> socket.socket:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(20)
        client.connect(server.addresses[0])
        return client

    with Server(config_for(serve)) as server:
        before = open_descriptors()
        for turn in range(20):
            clients = [connect() for _ in range(8)]
            for number, client in enumerate(clients):
                client.sendall(get(("file", "large")[number % 2]) * 2)
            until(lambda turn=turn: server.counters().requests >= turn * 9 + 8)
            for client in clients:
                client.close() if leaves == "close" else reset(client)
            with connect() as client:
                client.sendall(get(f"{turn}"))
                assert client.recv(65_536).endswith(b"\r\n\r\n/%d" % turn)
        until(lambda: server.counters().open == 0)
        assert server.counters().in_flight == 0
        assert len(open_descriptors() - before) <= 16  # those that wait for clients have other numbers by now


def test_a_server_that_stops_in_the_midst_of_all_leaves_no_handle(path: pathlib.Path, way: str) -> None:
    def serve(request: Request, response: Response, worker: Worker) -> None:
        with path.open("rb") as file:
            response += b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(PATTERN)
            response.send_file(file, 0, len(PATTERN))

    def stop_in_the_midst() -> None:
        with Server(config_for(serve)) as server:
            clients = [socket.create_connection(server.addresses[0]) for _ in range(8)]
            for client in clients[:6]:
                client.sendall(get(""))
            until(lambda: server.counters().requests == 6)
            server.shutdown(grace=0)
        for client in clients:
            client.close()

    stop_in_the_midst()
    before = len(open_descriptors())
    for _ in range(5):
        stop_in_the_midst()
    assert len(open_descriptors()) == before
