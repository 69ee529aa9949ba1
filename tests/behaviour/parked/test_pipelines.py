"""What stands behind a request that waits is answered after it, in order."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest

from system import write
from vanilla import Limits, Step
from vanilla.testing import Round, Script, drive, frames, repeat

TINY = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
ANSWERS_END = b"\r\n\r\n"


def get(path: str, version: str = "1.1") -> bytes:
    return f"GET {path} HTTP/{version}\r\nHost: a\r\n\r\n".encode()


def read_to_end(client: socket.socket) -> bytes:
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := client.recv(65536):
            data += piece
    return data


@pytest.mark.parametrize(
    ("behind", "statuses"),
    [
        pytest.param(b"", [200], id="nothing"),
        pytest.param(get("/plain") + b"GET / HTTP/1.1\r\n\r\n", [200, 200, 400], id="a_refused_one"),
        pytest.param(b"\0", [200, 400], id="garbage"),
        pytest.param(get("/plain") * 40 + b"BAD\r\n\r\n" + get("/plain"), [200] * 41 + [400], id="a_refused_one_late"),
        pytest.param(
            get("/plain") + b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf", [200] * 2, id="half"
        ),
    ],
)
def test_what_stands_behind_a_request_that_waits_is_answered_after_it(site, behind, statuses, make_pipes) -> None:
    pipes = make_pipes()
    with site(pipes) as running:
        client = running.connect(TINY + behind)
        running.await_parked(1)
        client.shutdown(socket.SHUT_WR)
        running.run(int)
        write(pipes.writers[0], b"first")
        data = read_to_end(client)
        assert [int(part[:3]) for part in data.split(b"HTTP/1.1 ")[1:]] == statuses
        assert data.partition(ANSWERS_END)[2].startswith(b"first")
        pipes.close()


def test_an_incomplete_request_behind_one_that_waits_is_prompted_and_answered_in_its_turn(
    site, make_pipes, receive_answer
) -> None:
    pipes = make_pipes()
    content = b"c" * 100_000
    post = b"POST /plain HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\nExpect: 100-continue\r\n\r\n"
    with site(pipes) as running:
        client = running.connect(TINY + post)
        running.await_parked(1)
        write(pipes.writers[0], b"first")
        data = b""
        while not data.endswith(b"HTTP/1.1 100 Continue\r\n\r\n"):
            data += client.recv(1000)
        assert data.count(b"first") == 1
        client.sendall(content)
        assert receive_answer(client).endswith(b"plain")
        pipes.close()


def test_the_time_for_a_request_that_has_begun_behind_one_that_waits_counts_from_its_turn(site, make_pipes) -> None:
    pipes = make_pipes()
    over = threading.Event()
    with site(pipes, limits=Limits(read_timeout=0.05)) as running:
        with running.busy():
            client = running.connect(TINY + TINY[:9])
        running.await_parked(1)
        running.worker.post(running.worker.call_later, 0.1, over.set)
        assert over.wait(20)
        write(pipes.writers[0], b"first")
        data = read_to_end(client)
        assert [int(part[:3]) for part in data.split(b"HTTP/1.1 ")[1:]] == [200, 408]
        pipes.close()


def test_a_pipeline_of_requests_that_all_wait_is_answered_in_its_order_whatever_is_ready_first(configure) -> None:
    def finish(parked, path):
        parked.resume(answer, path)

    def answer(request, response, worker, payload, event):
        response.reply(200, request.path + payload)

    def handle(request, response, worker):
        worker.call_later(int(request.path[1:]) % 3 / 1000, finish, worker.park(), request.path)
        return Step.SUSPEND

    wire = b"".join(get(f"/{number}") for number in range(30))
    results = drive(configure(handle), repeat(8, Script(rounds=[Round(send=wire, until=frames(30))])))
    assert [result.bodies for result in results] == [[b"/%d/%d" % (n, n) for n in range(30)]] * 8
