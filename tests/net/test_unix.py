"""Unix sockets: the stale are replaced, the living and the foreign left alone, and ours are cleaned up."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from vanilla.errors import BindError
from vanilla.net.listen import Listener
from vanilla.net.sockets import open_listener


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:  # short: pytest's own may be too long for sun_path
        yield Path(directory) / "s"


def connects(path: str | Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


def test_all_workers_share_one_socket_and_the_file_goes_at_the_end(path: Path) -> None:
    one = open_listener(Listener(uds=path), 3, backlog=8)
    assert one.addresses == [str(path)]
    assert connects(path)
    fds = [fd for index in range(3) for fd in one.take(index)]
    assert len({os.readlink(f"/proc/self/fd/{fd}") for fd in fds}) == 1  # the same inode
    for fd in fds:
        assert connects(path)
        os.close(fd)
    assert not connects(path)  # the last duplicate is closed
    one.remove_files()
    assert not path.exists()


def test_a_stale_file_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert path.exists()
    one = open_listener(Listener(uds=path), 1, backlog=8)
    assert connects(path)
    one.remove_files()
    one.close()


@pytest.mark.parametrize("clients", [0, 3], ids=["idle", "with_a_full_backlog"])
def test_a_live_socket_is_refused_and_left_alone(path: Path, clients: int) -> None:
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(str(path))
        live.listen(1)
        waiting = [socket.socket(socket.AF_UNIX) for _ in range(clients)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(str(path))
        with pytest.raises(BindError, match=r"already in use; stop the server"):
            open_listener(Listener(uds=path), 1, backlog=8)
        for each in waiting:
            each.close()
        assert stat.S_ISSOCK(path.lstat().st_mode)


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_what_is_not_a_socket_is_refused_and_left_alone(path: Path, kind: str) -> None:
    make = {"file": path.touch, "directory": path.mkdir, "link": lambda: path.symlink_to("elsewhere")}
    make[kind]()
    with pytest.raises(BindError, match="not a socket"):
        open_listener(Listener(uds=path), 1, backlog=8)
    assert os.path.lexists(path)


def test_a_missing_directory_is_one_clear_error(path: Path) -> None:
    with pytest.raises(BindError, match="make its directory first"):
        open_listener(Listener(uds=path / "deeper"), 1, backlog=8)


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o777])
def test_the_mode_is_the_one_asked_for_whatever_the_umask(path: Path, mode: int) -> None:
    one = open_listener(Listener(uds=path, uds_mode=mode), 1, backlog=8)
    assert stat.S_IMODE(path.lstat().st_mode) == mode
    one.close()
    one.remove_files()
    assert not path.exists()


def test_a_file_that_another_server_put_there_is_left_alone(path: Path) -> None:
    ours = open_listener(Listener(uds=path), 1, backlog=8)
    ours.close()
    theirs = open_listener(Listener(uds=path), 1, backlog=8)  # ours is stale by now
    ours.remove_files()
    assert connects(path)
    theirs.close()
    theirs.remove_files()
    assert not path.exists()


def test_the_same_path_can_be_bound_again_at_once(path: Path) -> None:
    for _ in range(3):
        one = open_listener(Listener(uds=path), 2, backlog=8)
        one.close()
        one.remove_files()


def test_an_abstract_name_leaves_no_file() -> None:
    name = f"@vanilla-test-{os.getpid()}"
    one = open_listener(Listener(uds=name), 2, backlog=8)
    assert one.addresses == [name]
    assert connects("\0" + name[1:])
    with pytest.raises(BindError, match="already in use"):
        open_listener(Listener(uds=name), 1, backlog=8)
    one.close()
    assert not connects("\0" + name[1:])
