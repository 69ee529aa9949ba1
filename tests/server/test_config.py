"""A config is checked whole when it is made: what, where, what instead."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import pytest

from system import needs_unix_sockets
from vanilla.backends.choose import available_backends
from vanilla.errors import ConfigError
from vanilla.limits import Limits
from vanilla.net.listen import Listener
from vanilla.server.config import WORKERS_MAX, ServerConfig, connection_shares
from vanilla.server.cpus import usable_cpu_count


def handle(request: object, response: object, worker: object) -> None:
    pass


class Callable_:  # noqa: N801
    def __call__(self, request: object, response: object, worker: object) -> None:
        pass


async def async_handle(request: object, response: object, worker: object) -> None:
    pass


class AsyncCallable:
    async def __call__(self, request: object, response: object, worker: object) -> None:
        pass


class MayBeAsync:
    is_async = True

    def __call__(self, request: object, response: object, worker: object) -> None: ...


async def async_generator(request: object, response: object, worker: object) -> Any:
    yield


def generator(request: object, response: object, worker: object) -> Any:
    yield


@pytest.mark.parametrize(
    "handler",
    [
        pytest.param(handle, id="function"),
        pytest.param(lambda *arguments: None, id="lambda"),
        pytest.param(Callable_(), id="object"),
        pytest.param(functools.partial(print, 1), id="partial"),
        pytest.param(print, id="builtin"),
    ],
)
def test_whatever_takes_three_arguments_is_a_handler(handler: Any) -> None:
    assert ServerConfig(handler).handler is handler


@pytest.mark.parametrize(
    ("handler", "is_async"),
    [
        pytest.param(handle, False, id="plain"),
        pytest.param(async_handle, True, id="async"),
        pytest.param(functools.partial(async_handle), True, id="partial_of_async"),
        pytest.param(AsyncCallable(), True, id="object_with_async_call"),
        pytest.param(MayBeAsync(), True, id="object_that_says_so"),
    ],
)
def test_a_handler_that_may_return_coroutines_is_told_by_its_kind(handler: Any, is_async: bool) -> None:
    assert ServerConfig(handler).is_async is is_async


def test_the_hooks_of_a_worker_may_wait_beside_an_async_handler() -> None:
    hooks: dict[str, Any] = dict.fromkeys(("make_state", "on_worker_start", "on_worker_stop"), async_handle)
    assert ServerConfig(async_handle, **hooks).is_async


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        pytest.param(None, "handler=None: cannot be called", id="none"),
        pytest.param(async_generator, "an asynchronous generator; give response.stream() one", id="async_generator"),
        pytest.param(generator, "append to `response`, or give response.stream() a generator", id="generator"),
        pytest.param(lambda request: None, "it is called with (request, response, worker)", id="one_argument"),
        pytest.param(lambda *, a: None, "it is called with (request, response, worker)", id="keyword_argument"),
    ],
)
def test_what_cannot_handle_a_request_is_refused(handler: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ServerConfig(handler)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({"workers": 0}, "workers=0: give a whole number from 1 to 1024", id="no_workers"),
        pytest.param({"workers": WORKERS_MAX + 1}, "workers=1025", id="too_many_workers"),
        pytest.param({"workers": 2.0}, "workers=2.0", id="workers_float"),
        pytest.param({"workers": None}, "leave it out for one for each CPU", id="workers_none"),
        pytest.param({"backend": "magic"}, "backend='magic'", id="unknown_backend"),
        pytest.param({"backlog": 0}, "backlog=0", id="no_backlog"),
        pytest.param({"limits": None}, "limits=None: give a Limits object", id="no_limits"),
        pytest.param({"forwarded_allow_ips": ["here"]}, "forwarded_allow_ips: network 'here'", id="a_proxys_name"),
        pytest.param({"graceful_timeout": -1}, "graceful_timeout=-1: give a number of seconds", id="negative_grace"),
        pytest.param({"graceful_timeout": math.inf}, "graceful_timeout=inf", id="endless_grace"),
        pytest.param({"drain_delay": "5"}, "drain_delay='5'", id="delay_text"),
        pytest.param({"drain_delay": True}, "drain_delay=True", id="delay_bool"),
        pytest.param({"pin": 1}, "pin=1: give True or False", id="pin_number"),
        pytest.param({"check_responses": "yes"}, "check_responses='yes'", id="check_text"),
        pytest.param({"make_state": {}}, "make_state={}: cannot be called", id="state_instead_of_its_maker"),
        pytest.param({"on_worker_start": async_handle}, "has no asyncio loop here", id="async_hook"),
        pytest.param({"after_server_start": 1}, "after_server_start=1", id="hook_number"),
        pytest.param({"on_timing": 1}, "on_timing=1", id="timing_number"),
        pytest.param({"listeners": ["a:80"]}, "listeners: 'a:80' is not a Listener", id="listener_text"),
        pytest.param(
            {"listeners": [Listener()] * 65}, "listeners: 65 addresses, a server takes 64", id="many_listeners"
        ),
        pytest.param({"listeners": [Listener()], "port": 1}, "short for one listener", id="listeners_and_port"),
        pytest.param({"port": 99_999}, "port=99999", id="port_too_high"),
        pytest.param({"host": "::", "uds": "/s"}, "one listener has one address", id="host_and_uds"),
        pytest.param(
            {"workers": 3, "limits": Limits(max_connections=2)},
            "max_connections=2: listener 127.0.0.1:3000 has 3 sockets",
            id="fewer_connections_than_workers",
        ),
        pytest.param(
            {"workers": 2, "listeners": [Listener(), Listener(port=1, limits=Limits(max_connections=1))]},
            "max_connections=1: listener 127.0.0.1:1 has 2 sockets",
            id="fewer_connections_than_workers_on_one_listener",
        ),
    ],
)
def test_a_wrong_setting_is_refused_in_words(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ServerConfig(handle, **settings)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "listeners"),
    [
        pytest.param({}, (Listener("127.0.0.1", 3000),), id="default"),
        pytest.param({"port": 0}, (Listener("127.0.0.1", 0),), id="port"),
        pytest.param({"host": "::", "port": 80}, (Listener("::", 80),), id="host_and_port"),
        pytest.param({"uds": "/s"}, (Listener(uds="/s"),), id="unix", marks=needs_unix_sockets),
        pytest.param({"fd": 3}, (Listener(fd=3),), id="descriptor", marks=needs_unix_sockets),
        pytest.param({"listeners": [Listener(), Listener(port=0)]}, (Listener(), Listener(port=0)), id="several"),
    ],
)
def test_a_config_ends_with_listeners_however_they_were_given(
    settings: dict[str, Any], listeners: tuple[Listener, ...]
) -> None:
    config = ServerConfig(handle, **settings)
    assert config.listeners == listeners
    assert dataclasses.replace(config, workers=2).listeners == listeners


def test_the_default_is_one_worker_for_each_usable_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VANILLA_WORKERS", raising=False)
    assert ServerConfig(handle).workers == usable_cpu_count()


@pytest.mark.parametrize("text", ["", "auto"])
def test_auto_in_the_environment_is_the_default(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VANILLA_WORKERS", text)
    monkeypatch.setenv("VANILLA_BACKEND", text)
    config = ServerConfig(handle)
    assert (config.workers, config.backend) == (usable_cpu_count(), "auto")


def test_the_backend_of_the_environment_overrides_the_default_but_not_what_was_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = available_backends()[-1]
    monkeypatch.setenv("VANILLA_BACKEND", name)
    assert ServerConfig(handle).backend == name
    assert ServerConfig(handle, backend="auto").backend == "auto"


def test_the_environment_overrides_the_default_but_not_what_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VANILLA_WORKERS", "7")
    assert ServerConfig(handle).workers == 7
    assert ServerConfig(handle, workers=3).workers == 3


@pytest.mark.parametrize("text", ["0", "-1", "x", "1.5", "1025", "²"])
def test_a_wrong_number_of_workers_in_the_environment_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VANILLA_WORKERS", text)
    with pytest.raises(ConfigError, match="VANILLA_WORKERS="):
        ServerConfig(handle)


@pytest.mark.parametrize(
    ("connections_max", "sockets", "shares"),
    [
        pytest.param(None, 2, [0, 0], id="unlimited"),
        pytest.param(2, 2, [1, 1], id="one_each"),
        pytest.param(10, 4, [3, 3, 2, 2], id="uneven"),
        pytest.param(65_536, 1, [65_536], id="alone"),
    ],
)
def test_connections_are_shared_out_to_the_exact_sum(
    connections_max: int | None, sockets: int, shares: list[int]
) -> None:
    assert connection_shares("a:1", connections_max, sockets) == shares
    assert sum(shares) == (connections_max or 0)


def test_a_listener_without_limits_has_the_servers() -> None:
    own = Limits(max_headers=1)
    config = ServerConfig(handle, listeners=[Listener(limits=own), Listener(port=1)], limits=Limits(max_headers=2))
    assert [config.limits_of(one).max_headers for one in config.listeners] == [1, 2]
