"""per_server_workers, called by hand and over sockets: both servers, started and ended as one."""

import dataclasses
import pathlib
import runpy
import socket

import pytest

from vanilla import Listener, Request, Response, Server, Worker
from vanilla.testing import Client, ask

PATH = pathlib.Path(__file__).with_name("app.py")


def wire(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """The module, with the operator's server on a free port, and nothing started."""
    monkeypatch.setenv("ADMIN_PORT", "0")
    return runpy.run_path(str(PATH))


@pytest.fixture
def public(app, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The public server on a free port, not started."""
    return Server(dataclasses.replace(app["config"], listeners=[Listener(port=0)]))


def test_the_cpus_are_shared_out_and_nothing_is_started(app) -> None:
    assert app["admin"].config.workers == app["ADMIN_WORKERS"]
    assert app["config"].workers == max(app["CPUS"] - app["ADMIN_WORKERS"], 1)
    assert app["admin"].workers == []


@pytest.mark.parametrize("path", ["/", "/any", "/healthz"])
def test_the_public_handler_answers_everything_alike(app, path: str) -> None:
    response = Response()
    app["serve"](Request(wire(path)), response, Worker())
    assert bytes(response).endswith(b"\r\n\r\nmain")


def test_the_operators_server_counts_what_the_public_one_does(app, public: Server) -> None:
    admin = app["admin"]
    with public, Client(("127.0.0.1", public.port)) as client, Client(("127.0.0.1", admin.port)) as operator:
        assert [result.bodies for result in client.fire([ask(wire("/"))] * 3).results] == [[b"main"]] * 3
        body = operator.fire([ask(wire("/"))]).results[0].bodies[0]
        assert body == b"workers %d on %b\nopen 3\nrequests 3\n" % (len(public.workers), public.backend.encode())
        assert operator.fire([ask(wire("/healthz"))]).results[0].statuses == [200]
        assert (public.counters().requests, admin.counters().requests) == (3, 2)


def test_the_operators_server_says_that_the_public_one_drains(app) -> None:
    class Draining:
        draining = True

    app["RUNNING"]["public"] = Draining
    response = Response()
    app["report"](Request(wire("/healthz")), response, Worker())
    assert bytes(response).startswith(b"HTTP/1.1 503 ")


def test_both_servers_end_together(app, public: Server) -> None:
    with public:
        ports = (public.port, app["admin"].port)
    assert app["admin"].wait(20)
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=20)
