"""The options: the command line before the environment before the config, and every one of them readable from both."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from system import needs_affinity, needs_unix_sockets
from vanilla.errors import ConfigError
from vanilla.limits import Limits
from vanilla.net.listen import Listener
from vanilla.options import OPTIONS, apply_options, limit_options, parser, read_options
from vanilla.server.config import ServerConfig
from vanilla.server.cpus import usable_cpu_count


def handle(request: object, response: object, worker: object) -> None:
    pass


def options(command_line: list[str], environment: dict[str, str] | None = None) -> dict[str, object]:
    return read_options(vars(parser().parse_args(["app.py", *command_line])), environment or {})


def configured(
    config: ServerConfig, command_line: list[str], environment: dict[str, str] | None = None
) -> ServerConfig:
    return apply_options(config, options(command_line, environment))


EACH = [
    (["--host", "::"], "host", "::"),
    (["--port", "0"], "port", 0),
    (["--bind", "a:1"], "bind", [Listener("a", 1)]),
    (["--uds", "/s"], "uds", "/s"),
    (["--uds-mode", "660"], "uds_mode", 0o660),
    (["--fd", "3"], "fd", 3),
    (["--reuse-port", "true"], "reuse_port", True),
    (["--proxy-protocol", "10.0.0.0/8, ::1"], "proxy_protocol", ("10.0.0.0/8", "::1")),
    (["--forwarded-allow-ips", "unix,10.0.0.0/8"], "forwarded_allow_ips", ("unix", "10.0.0.0/8")),
    (["--workers", "2"], "workers", 2),
    (["--workers", "auto"], "workers", usable_cpu_count()),
    (["--backend", "poll"], "backend", "poll"),
    (["--backlog", "16"], "backlog", 16),
    (["--pin", "true"], "pin", True),
    (["--check-responses", "true"], "check_responses", True),
    (["--timeout-graceful-shutdown", "2.5"], "timeout_graceful_shutdown", 2.5),
    (["--drain-delay", "1"], "drain_delay", 1.0),
    (["--log-level", "WARNING"], "log_level", "warning"),
    (["--timeout-keep-alive", "7"], "limit_keepalive_timeout", 7.0),
    (["--limit-keepalive-timeout", "off"], "limit_keepalive_timeout", None),
    (["--limit-max-body-bytes", "1048576"], "limit_max_body_bytes", 1_048_576),
    (["--limit-max-body-bytes", "OFF"], "limit_max_body_bytes", None),
    (["--limit-rate-grace", "0.5"], "limit_rate_grace", 0.5),
]


@pytest.mark.parametrize(("words", "key", "value"), [pytest.param(*row, id=row[1]) for row in EACH])
def test_each_option_is_read_alike_from_the_command_line_and_the_environment(
    words: list[str], key: str, value: object
) -> None:
    flag, text = words
    is_flag = isinstance(value, bool)
    variable = "VANILLA_" + flag.removeprefix("--").replace("-", "_").upper()
    assert options([flag] if is_flag else words) == {key: value}
    assert options([], {variable: text}) == {key: value}
    assert options([flag] if is_flag else words, {variable: "0"}) == {key: value}  # the command line wins
    assert options([], {variable: ""}) == {}  # set, but empty: as if it were not


def test_every_option_has_a_row_above() -> None:
    assert {option.key for option in OPTIONS} <= {key for _, key, _ in EACH}


def test_every_limit_has_an_option_whose_help_says_what_it_is() -> None:
    fields = {field.name for field in dataclasses.fields(Limits)}
    assert {option.key.removeprefix("limit_") for option in limit_options()} == fields
    assert all(not option.help.startswith("default") for option in limit_options())


@pytest.mark.parametrize("text", ["true", "TRUE", "1", "yes", "on"])
def test_a_flag_is_set_in_the_environment(text: str) -> None:
    assert options([], {"VANILLA_PIN": text}) == {"pin": True}


@needs_affinity
@pytest.mark.parametrize("text", ["false", "0", "no", "Off"])
def test_a_flag_is_unset_in_the_environment(text: str) -> None:
    assert options([], {"VANILLA_PIN": text}) == {"pin": False}
    assert configured(ServerConfig(handle, pin=True), ["--no-pin"]).pin is False


@pytest.mark.parametrize(
    ("command_line", "environment", "message"),
    [
        pytest.param(["--port", "x"], {}, "--port: 'x' is not a whole number", id="port_text"),
        pytest.param([], {"VANILLA_PORT": "x"}, "VANILLA_PORT: 'x' is not a whole number", id="port_variable"),
        pytest.param(["--port", "-1"], {}, "--port: '-1' is not a whole number", id="port_negative"),
        pytest.param(["--port", "²"], {}, "--port: '²' is not", id="port_in_another_script"),
        pytest.param(["--uds-mode", "9"], {}, "--uds-mode: '9' is not an octal mode", id="mode"),
        pytest.param(["--drain-delay", "soon"], {}, "--drain-delay: 'soon' is not a number of seconds", id="seconds"),
        pytest.param(["--drain-delay", "inf"], {}, "--drain-delay: 'inf'", id="endless"),
        pytest.param(["--log-level", "loud"], {}, "--log-level: 'loud' is none of debug, info", id="level"),
        pytest.param(["--limit-max-headers", "1.5"], {}, "--limit-max-headers: '1.5'", id="limit"),
        pytest.param([], {"VANILLA_PIN": "maybe"}, "VANILLA_PIN: 'maybe' is neither true nor false", id="flag"),
        pytest.param(["--bind", "nowhere"], {}, "--bind: bind 'nowhere': cannot be read", id="bind"),
        pytest.param(["--uds", "/s", "--fd", "3"], {}, "uds, fd: give one of them", id="two_places"),
        pytest.param(
            [], {"VANILLA_UDS": "/s", "VANILLA_PORT": "1"}, "port, uds: give one", id="two_places_in_variables"
        ),
        pytest.param(["--workers", "0"], {}, "workers=0", id="out_of_range"),
        pytest.param(["--limit-max-headers", "0"], {}, "max_headers=0", id="limit_out_of_range"),
        pytest.param(["--uds-mode", "660"], {}, "nothing listens on a unix socket", id="mode_without_socket"),
    ],
)
def test_a_wrong_value_is_refused_in_words(command_line: list[str], environment: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configured(ServerConfig(handle, workers=1), command_line, environment)
    assert message in str(caught.value)


OWN = Limits(max_headers=1)


@needs_unix_sockets  # most of these name one
@pytest.mark.parametrize(
    ("given", "command_line", "environment", "listeners"),
    [
        pytest.param([], [], {}, [Listener()], id="nothing"),
        pytest.param([], ["--port", "80"], {}, [Listener(port=80)], id="port"),
        pytest.param([], ["--port", "80"], {"VANILLA_HOST": "::"}, [Listener("::", 80)], id="port_and_variable"),
        pytest.param(
            [Listener("::", 1, limits=OWN)], ["--port", "80"], {}, [Listener("::", 80, limits=OWN)], id="port_of_only"
        ),
        pytest.param([Listener(), Listener(port=1)], ["--port", "80"], {}, [Listener(port=80)], id="port_for_several"),
        pytest.param([Listener(uds="/s")], ["--port", "80"], {}, [Listener(port=80)], id="port_for_unix"),
        pytest.param([Listener(uds="/s")], [], {}, [Listener(uds="/s")], id="config_alone"),
        pytest.param(
            [Listener(uds="/s")],
            ["--bind", "a:1", "--bind", "unix:/t"],
            {},
            [Listener("a", 1), Listener(uds="/t")],
            id="binds_replace",
        ),
        pytest.param([], ["--bind", "a:1"], {"VANILLA_PORT": "9"}, [Listener("a", 1)], id="bind_over_port_variable"),
        pytest.param([], ["--port", "1"], {"VANILLA_BIND": "a:9"}, [Listener(port=1)], id="port_over_bind_variable"),
        pytest.param(
            [], [], {"VANILLA_BIND": "a:1, unix:/t"}, [Listener("a", 1), Listener(uds="/t")], id="bind_variable"
        ),
        pytest.param(
            [], ["--uds", "/s", "--uds-mode", "600"], {}, [Listener(uds="/s", uds_mode=0o600)], id="unix_mode"
        ),
        pytest.param(
            [Listener(uds="/s"), Listener()],
            ["--uds-mode", "600"],
            {},
            [Listener(uds="/s", uds_mode=0o600), Listener()],
            id="mode_of_unix_only",
        ),
        pytest.param([], ["--fd", "3"], {}, [Listener(fd=3)], id="descriptor"),
        pytest.param([], ["--bind", "systemd"], {}, [Listener(systemd=True)], id="systemd"),
        pytest.param(
            [Listener(), Listener(uds="/s")],
            ["--reuse-port"],
            {},
            [Listener(reuse_port=True), Listener(uds="/s")],
            id="reuse_port_of_tcp_only",
        ),
        pytest.param([Listener(backlog=1)], ["--backlog", "2"], {}, [Listener(backlog=2)], id="backlog"),
        pytest.param(
            [Listener(), Listener(uds="/s", proxy_protocol="unix")],
            ["--proxy-protocol", "::1,unix"],
            {},
            [Listener(proxy_protocol=("::1", "unix")), Listener(uds="/s", proxy_protocol=("::1", "unix"))],
            id="proxies",
        ),
        pytest.param(
            [Listener(limits=OWN)],
            ["--limit-max-target-bytes", "9"],
            {},
            [Listener(limits=Limits(max_headers=1, max_target_bytes=9))],
            id="limit_of_a_listener",
        ),
    ],
)
def test_where_it_listens(
    given: list[Listener], command_line: list[str], environment: dict[str, str], listeners: list[Listener]
) -> None:
    config = ServerConfig(handle, listeners=given, workers=1)
    assert list(configured(config, command_line, environment).listeners) == listeners


def test_what_was_given_is_put_over_a_config_and_the_rest_left() -> None:
    config = ServerConfig(
        handle, workers=2, backlog=7, graceful_timeout=1, drain_delay=2, limits=Limits(max_headers=3), make_state=dict
    )
    changed = configured(
        config,
        ["--workers", "3", "--timeout-graceful-shutdown", "9", "--limit-max-body-bytes", "off", "--check-responses"],
        {"VANILLA_DRAIN_DELAY": "4", "VANILLA_WORKERS": "5"},
    )
    expected: dict[str, Any] = {
        "workers": 3,
        "graceful_timeout": 9.0,
        "drain_delay": 4.0,
        "check_responses": True,
        "limits": Limits(max_headers=3, max_body_bytes=None),
    }
    assert changed == dataclasses.replace(config, **expected)
    assert configured(config, []) == config
