"""A listener is checked when it is made; `--bind` and `address` speak the same language."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from system import needs_abstract_sockets
from vanilla.errors import ConfigError
from vanilla.limits import Limits
from vanilla.net.listen import UDS_PATH_BYTES_MAX, Listener, check_platform, parse_bind


@pytest.mark.parametrize(
    ("given", "address"),
    [
        pytest.param({}, "127.0.0.1:3000", id="default"),
        pytest.param({"host": "0.0.0.0", "port": 80}, "0.0.0.0:80", id="ipv4"),
        pytest.param({"host": "::1", "port": 0}, "[::1]:0", id="ipv6"),
        pytest.param({"host": "[::]", "port": 8080}, "[::]:8080", id="ipv6_in_brackets"),
        pytest.param({"port": 0}, "127.0.0.1:0", id="port_alone"),
        pytest.param({"host": "localhost"}, "localhost:3000", id="name_alone"),
        pytest.param({"uds": "/run/app.sock"}, "unix:/run/app.sock", id="unix"),
        pytest.param({"uds": Path("/run/app.sock")}, f"unix:{Path('/run/app.sock')}", id="unix_path_object"),
        pytest.param({"uds": "@app"}, "unix:@app", id="abstract", marks=needs_abstract_sockets),
        pytest.param({"fd": 3}, "fd:3", id="descriptor"),
        pytest.param({"systemd": True}, "systemd", id="systemd"),
        pytest.param({"systemd": "web"}, "systemd:web", id="systemd_by_name"),
    ],
)
def test_an_address_reads_back_as_the_listener_that_it_came_from(given: dict[str, Any], address: str) -> None:
    listener = Listener(**given)
    assert listener.address == address
    assert parse_bind(address) == listener


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"port": 65_536}, "port=65536: give a whole number from 0 to 65535", id="port_too_high"),
        pytest.param({"port": -1}, "port=-1", id="port_negative"),
        pytest.param({"port": "80"}, "port='80'", id="port_text"),
        pytest.param({"port": True}, "port=True", id="port_bool"),
        pytest.param({"host": ""}, "for every interface give '0.0.0.0' or '::'", id="host_empty"),
        pytest.param({"host": "a b"}, "host='a b'", id="host_with_space"),
        pytest.param({"host": 1}, "host=1", id="host_number"),
        pytest.param({"uds": ""}, "uds=''", id="uds_empty"),
        pytest.param({"uds": "@"}, "uds='@'", id="uds_abstract_without_name"),
        pytest.param({"uds": "a\0b"}, "uds=", id="uds_with_nul"),
        pytest.param({"uds": "x" * (UDS_PATH_BYTES_MAX + 1)}, "give a shorter path", id="uds_too_long"),
        pytest.param({"uds": "é" * UDS_PATH_BYTES_MAX}, "give a shorter path", id="uds_too_long_in_bytes"),
        pytest.param({"uds": "s", "uds_mode": 0o1000}, "uds_mode=0o1000", id="mode_too_high"),
        pytest.param({"uds_mode": 0o600}, "give uds as well", id="mode_without_uds"),
        pytest.param(
            {"uds": "@a", "uds_mode": 0o600},
            "only a unix socket file",
            id="mode_of_abstract",
            marks=needs_abstract_sockets,
        ),
        pytest.param({"fd": -1}, "fd=-1", id="fd_negative"),
        pytest.param({"systemd": 1}, "systemd=1", id="systemd_number"),
        pytest.param({"backlog": 0}, "backlog=0", id="backlog_zero"),
        pytest.param({"limits": {}}, "limits={}: give a Limits object", id="limits_dict"),
        pytest.param({"uds": "s", "reuse_port": True}, "reuse_port: only host and port", id="reuse_port_of_unix"),
        pytest.param({"uds": "s", "port": 1}, "host/port and uds: one listener has one address", id="uds_and_port"),
        pytest.param({"fd": 3, "systemd": True}, "fd and systemd", id="fd_and_systemd"),
        pytest.param({"proxy_protocol": True}, "proxy_protocol=True: give networks of your proxies", id="proxies_flag"),
        pytest.param({"proxy_protocol": [10]}, "proxy_protocol=[10]: give networks", id="proxies_number"),
        pytest.param({"proxy_protocol": "10.0.0.1/8"}, "has host bits set; give one", id="proxies_beyond_prefix"),
        pytest.param({"proxy_protocol": ["::1", "lb.example"]}, "network 'lb.example'", id="proxies_name"),
        pytest.param({"proxy_protocol": ["::1"] * 257}, "257 networks, 256 are taken", id="proxies_too_many"),
    ],
)
def test_what_cannot_be_listened_on_is_refused_in_words(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Listener(**arguments)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "3000", ":3000", "localhost", "::1:80", "[::1]", "a:b", "a:80:90", "fd:x", "fd:", "unix:", "a:65536"]
)
def test_a_bind_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_bind(text)


def test_a_path_may_be_as_long_as_the_kernel_takes() -> None:
    assert len(str(Listener(uds="x" * UDS_PATH_BYTES_MAX).uds)) == UDS_PATH_BYTES_MAX


@pytest.mark.parametrize(
    ("listener", "message"),
    [
        pytest.param(Listener(uds="s"), "uds='s': Python has no unix sockets in Windows; give host", id="unix"),
        pytest.param(Listener(fd=3), "fd=3: in Windows no socket is inherited", id="descriptor"),
        pytest.param(Listener(systemd="web"), "systemd='web': there is no systemd", id="systemd"),
        pytest.param(Listener(reuse_port=True), "reuse_port=True: Windows shares no port", id="shared_port"),
    ],
)
def test_what_windows_has_not_is_refused_there_in_words(listener: Listener, message: str) -> None:
    check_platform(listener, "linux")
    with pytest.raises(ConfigError) as caught:
        check_platform(listener, "win32")
    assert message in str(caught.value)


def test_a_listener_is_a_value() -> None:
    assert Listener(port=0, limits=Limits(max_headers=1)) == Listener(port=0, limits=Limits(max_headers=1))
    assert len({Listener(), Listener(), Listener(port=1)}) == 2
