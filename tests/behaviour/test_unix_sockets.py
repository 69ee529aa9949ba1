"""Unix sockets: the same behaviour on a path, the path's own life, and who is at the other end."""

import os
import socket
import stat

import pytest

from system import needs_unix_sockets
from vanilla import BindError, Listener, Server
from vanilla.testing import Client, Round, Script, Session, ask, drive, frames, repeat

pytestmark = needs_unix_sockets
GET = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
def path(tmp_path) -> str:
    return str(tmp_path / "server.sock")


def test_requests_are_served_and_the_file_removed(configure, numbered, path: str) -> None:
    rounds = [Round(send=b"".join(GET % n for n in range(4)), until=frames(4)), Round(send=GET % 4)]
    results = drive(configure(numbered, uds=path), repeat(2, Script(rounds=rounds)))
    assert [result.bodies for result in results] == [[b"0", b"1", b"2", b"3", b"4"]] * 2
    assert (results.counters.accepted, results.counters.in_flight, results.counters.open) == (2, 0, 0)
    assert not os.path.exists(path)


def test_a_path_can_be_bound_again_at_once(configure, numbered, path: str) -> None:
    for n in range(5):
        assert drive(configure(numbered, uds=path), [ask(GET % n)])[0].bodies == [b"%d" % n]


def test_a_hundred_clients_share_one_path_over_two_workers(configure, numbered, path: str) -> None:
    results = drive(configure(numbered, uds=path, workers=2), repeat(100, ask(GET % 1 + GET % 2, frames(2))))
    assert [result.bodies for result in results] == [[b"1", b"2"]] * 100


def test_every_split_gives_the_same_bytes_on_a_path(configure, numbered, path: str) -> None:
    stream = GET % 1 + GET % 2
    scripts = [ask([stream[:at], stream[at:]], frames(2)) for at in range(1, len(stream))]
    results = drive(configure(numbered, uds=path), scripts)
    assert {tuple(result.bodies) for result in results} == {(b"1", b"2")}


def test_an_abstract_name_is_served(configure, numbered) -> None:
    name = f"@vanilla-test-{os.getpid()}"
    assert drive(configure(numbered, uds=name), [ask(GET % 1)])[0].bodies == [b"1"]


def test_the_mode_of_the_file_is_the_one_asked_for(configure, numbered, path: str) -> None:
    with Session(configure(numbered, listeners=[Listener(uds=path, uds_mode=0o640)])):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o640


def test_a_stale_file_is_replaced(configure, numbered, path: str) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    assert drive(configure(numbered, uds=path), [ask(GET % 1)])[0].bodies == [b"1"]


def test_a_live_socket_is_refused_and_left_alone(configure, numbered, path: str) -> None:
    with Session(configure(numbered, uds=path)) as session:
        with pytest.raises(BindError, match=r"server\.sock"):
            Server(configure(numbered, uds=path)).start()
        assert session.fire([ask(GET % 1)]).results[0].bodies == [b"1"]


def test_a_file_that_is_no_socket_is_refused_and_left_alone(configure, numbered, tmp_path) -> None:
    file = tmp_path / "file"
    file.write_text("precious")
    with pytest.raises(BindError):
        Server(configure(numbered, uds=str(file))).start()
    assert file.read_text() == "precious"


def test_a_path_that_is_not_there_is_a_connect_error(path: str) -> None:
    with Client(path) as client:
        assert isinstance(client.fire([ask(GET % 1)]).results[0].connect_error, OSError)


def who(request, response, worker) -> None:
    """Answers with who asks, and 403 to those of whom the kernel says nothing."""
    credentials = request.peer_credentials()
    if credentials is None:
        response.reply(403)
    else:
        response.reply(200, b"%d %d %d" % (credentials.pid, credentials.uid, credentials.gid))


def test_the_client_of_a_path_is_known_to_the_kernel(configure, path: str) -> None:
    ourselves = b"%d %d %d" % (os.getpid(), os.getuid(), os.getgid())
    results = drive(configure(who, uds=path), [ask(GET % 1 + GET % 2, frames(2))])
    assert results[0].bodies == [ourselves] * 2


def test_the_client_of_a_port_is_not(configure) -> None:
    assert drive(configure(who), [ask(GET % 1)])[0].statuses == [403]


def test_the_peer_of_a_port_is_an_address_and_of_a_path_is_none(configure, path: str) -> None:
    def handle(request, response, worker):
        response.reply(200, repr(request.peer).encode())

    assert drive(configure(handle, uds=path), [ask(GET % 1)])[0].bodies == [b"None"]
    body = drive(configure(handle), [ask(GET % 1)])[0].bodies[0]
    assert body.startswith(b"('127.0.0.1', ")
