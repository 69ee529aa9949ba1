"""The command's options as a table: how each is read from the command line or from VANILLA_*, and what it sets."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import re
from collections.abc import Callable, Mapping

from vanilla.backends.choose import BACKENDS
from vanilla.errors import ConfigError
from vanilla.limits import Limits
from vanilla.net.listen import Listener, parse_bind
from vanilla.server.config import ServerConfig, auto_workers
from vanilla.server.log import LEVELS
from vanilla.version import VERSION

ENVIRONMENT_PREFIX = "VANILLA_"
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


def read_whole(text: str) -> int:
    """A decimal whole number."""
    if not re.fullmatch(r"[0-9]+", text, re.ASCII):
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


def read_workers(text: str) -> int:
    """A number of workers; `auto` is one for each CPU that this process may use."""
    return auto_workers() if text == "auto" else read_whole(text)


def read_mode(text: str) -> int:
    """Permission bits in octal, as chmod(1) takes them: 660 or 0o660."""
    if not re.fullmatch(r"(0o)?[0-7]{1,4}", text, re.ASCII):
        raise ValueError(f"{text!r} is not an octal mode such as 660")
    return int(text, 8)


def read_seconds(text: str) -> float:
    """A decimal number of seconds."""
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text, re.ASCII):
        raise ValueError(f"{text!r} is not a number of seconds")
    return float(text)


def read_flag(text: str) -> bool:
    """true or false, 1 or 0."""
    if text.lower() not in _TRUE + _FALSE:
        raise ValueError(f"{text!r} is neither true nor false")
    return text.lower() in _TRUE


def read_level(text: str) -> str:
    """One of the log levels."""
    if text.lower() not in LEVELS:
        raise ValueError(f"{text!r} is none of {', '.join(LEVELS)}")
    return text.lower()


def read_binds(text: str) -> list[Listener]:
    """One --bind, or several with commas between them, as the environment gives them."""
    return [parse_bind(one.strip()) for one in text.split(",")]


def read_networks(text: str) -> tuple[str, ...]:
    """Networks with commas between them."""
    return tuple(one.strip() for one in text.split(","))


def read_limit(whole: bool) -> Callable[[str], float | None]:
    """A reader of one limit: a number, or "off"."""

    def read(text: str) -> float | None:
        if text.lower() == "off":
            return None
        return read_whole(text) if whole else read_seconds(text)

    return read


@dataclasses.dataclass(frozen=True, slots=True)
class Option:
    """One option: `names` without their dashes, the first one also being the key of its value."""

    names: tuple[str, ...]
    read: Callable[[str], object]
    metavar: str
    help: str

    @property
    def key(self) -> str:
        return self.names[0].replace("-", "_")

    @property
    def variables(self) -> list[str]:
        """The names in the environment."""
        return [ENVIRONMENT_PREFIX + name.replace("-", "_").upper() for name in self.names]


OPTIONS = (
    Option(("host",), str, "HOST", "address or name to listen on; default 127.0.0.1, this machine only"),
    Option(("port",), read_whole, "PORT", "TCP port, 0 for any free one; default 3000"),
    Option(("bind",), read_binds, "WHERE", "HOST:PORT, [IPV6]:PORT, unix:PATH, fd:N or systemd[:NAME]; repeatable"),
    Option(("uds",), str, "PATH", "listen on a unix socket"),
    Option(("uds-mode",), read_mode, "MODE", "permissions of unix sockets, in octal; default: by the umask"),
    Option(("fd",), read_whole, "N", "listen on an inherited socket"),
    Option(("reuse-port",), read_flag, "", "share the TCP port with other processes that ask for the same"),
    Option(
        ("proxy-protocol",),
        read_networks,
        "NETWORK,...",
        "take a PROXY header from these load balancers; 'unix' and '*' are some, too; default: from nobody",
    ),
    Option(
        ("forwarded-allow-ips",),
        read_networks,
        "NETWORK,...",
        "believe what these proxies say of their clients; 'unix' and '*' are some, too; default: nobody",
    ),
    Option(("workers",), read_workers, "N", "threads that serve; default auto: one for each CPU it may use"),
    Option(("backend",), str, "NAME", f"event mechanism: auto (default), {', '.join(BACKENDS)}"),
    Option(("backlog",), read_whole, "N", "connections the kernel holds ready for each socket; default 4096"),
    Option(("pin",), read_flag, "", "bind each worker to a CPU of its own"),
    Option(("check-responses",), read_flag, "", "answer 500 for incomplete responses; for development"),
    Option(("timeout-graceful-shutdown",), read_seconds, "SECONDS", "for requests in flight at the end; default 30"),
    Option(("drain-delay",), read_seconds, "SECONDS", "serve on with Connection: close before draining; default 0"),
    Option(("log-level",), read_level, "LEVEL", f"{', '.join(LEVELS)}; default info"),
)


def limit_options() -> list[Option]:
    """An option for each field of Limits, described by its docstring."""
    described = dict(re.findall(r"^    (\w+): ([^.;(]+)", inspect.cleandoc(Limits.__doc__ or ""), re.MULTILINE))
    options = []
    for field in dataclasses.fields(Limits):
        name = "limit-" + field.name.replace("_", "-")
        names = (name, "timeout-keep-alive") if field.name == "keepalive_timeout" else (name,)
        whole = "int" in str(field.type)
        meaning = re.sub(r"\s+", " ", described.get(field.name, "")).replace("`", "").replace("%", "%%")
        default = "off" if field.default is None else f"{field.default:g}" if not whole else field.default
        help_text = f"{meaning.strip()}; default {default}".lstrip("; ")
        off = "|off" if "None" in str(field.type) else ""
        options.append(Option(names, read_limit(whole), ("N" if whole else "SECONDS") + off, help_text))
    return options


def parser() -> argparse.ArgumentParser:
    """The command line; values stay text, so that they and the environment's are read by the same functions."""
    made = argparse.ArgumentParser(
        prog="vanilla",
        description="Serve an HTTP handler.",
        epilog="Every option can also be set in the environment: --drain-delay as VANILLA_DRAIN_DELAY. The command "
        "line wins over the environment, and both win over a config. 'off' turns a limit off.",
        allow_abbrev=False,
    )
    made.add_argument("target", metavar="TARGET", help="path/to/app.py[:name] or package.module[:name]")
    made.add_argument("--version", action="version", version=f"vanilla {VERSION}")
    limits = made.add_argument_group("limits")
    for option in (*OPTIONS, *limit_options()):
        group = limits if option.key.startswith("limit_") else made
        flags = [f"--{name}" for name in option.names]
        if option.read is read_flag:
            action: type[argparse.Action] = argparse.BooleanOptionalAction
            group.add_argument(*flags, dest=option.key, action=action, default=None, help=option.help)
        elif option.key == "bind":
            group.add_argument(*flags, dest=option.key, action="append", metavar=option.metavar, help=option.help)
        else:
            group.add_argument(*flags, dest=option.key, metavar=option.metavar, help=option.help)
    return made


_PLACES = (frozenset({"host", "port"}), frozenset({"bind"}), frozenset({"uds"}), frozenset({"fd"}))


def read_options(arguments: Mapping[str, object], environment: Mapping[str, str]) -> dict[str, object]:
    """The values given, by key: the command line's, then the environment's for what it leaves open.

    Raises: ConfigError for one that cannot be read, or for two different places to listen on.
    """
    values: dict[str, object] = {}
    given = {key for key, value in arguments.items() if value is not None}
    place = next((place for place in _PLACES if place & given), None)
    for option in (*OPTIONS, *limit_options()):
        text = arguments.get(option.key)
        source = f"--{option.names[0]}"
        if text is None:
            is_elsewhere = place is not None and option.key not in place and any(option.key in one for one in _PLACES)
            source = next((name for name in option.variables if environment.get(name)), "")
            if not source or is_elsewhere:
                continue  # the command line says where to listen: the environment's other place is overridden
            text = environment[source]
        values[option.key] = _read(option, source, text)
    places = [" and ".join(sorted(place & values.keys())) for place in _PLACES if place & values.keys()]
    if len(places) > 1:
        raise ConfigError(f"{', '.join(places)}: give one of them; --bind can be repeated for several addresses")
    return values


def _read(option: Option, source: str, given: object) -> object:
    try:
        if isinstance(given, list):  # --bind, repeated
            return [parse_bind(text) for text in given]
        return option.read(given) if isinstance(given, str) else given
    except ValueError as error:  # a ConfigError is one
        raise ConfigError(f"{source}: {error}") from None


def apply_options(config: ServerConfig, values: Mapping[str, object]) -> ServerConfig:
    """`config` with what was given put over it.

    Raises: ConfigError if a value is out of range.
    """
    same = ("workers", "backend", "backlog", "check_responses", "forwarded_allow_ips", "pin", "drain_delay")
    names = {"timeout_graceful_shutdown": "graceful_timeout", **{name: name for name in same}}
    changes: dict[str, object] = {names[key]: value for key, value in values.items() if key in names}
    limits = {key.removeprefix("limit_"): value for key, value in values.items() if key.startswith("limit_")}
    if limits:
        changes["limits"] = dataclasses.replace(config.limits, **limits)  # type: ignore[arg-type]  # read by type
    listeners = _placed(tuple(config.listeners), values)
    if "uds_mode" in values and all(one.uds is None for one in listeners):
        raise ConfigError("--uds-mode: nothing listens on a unix socket; give --uds or --bind unix:PATH as well")
    changes["listeners"] = tuple(_changed(one, values, limits) for one in listeners)
    return dataclasses.replace(config, **changes)  # type: ignore[arg-type]  # read by type


def _placed(listeners: tuple[Listener, ...], values: Mapping[str, object]) -> tuple[Listener, ...]:
    """The listeners asked for; those of the config if nothing was. --host and --port may change its only one."""
    if "bind" in values:
        return tuple(values["bind"])  # type: ignore[arg-type]
    if "uds" in values:
        return (Listener(uds=str(values["uds"])),)
    if "fd" in values:
        return (Listener(fd=values["fd"]),)  # type: ignore[arg-type]
    where = {key: values[key] for key in ("host", "port") if key in values}
    if not where:
        return listeners
    only = listeners[0] if len(listeners) == 1 and listeners[0].host is not None else Listener()
    return (dataclasses.replace(only, **where),)  # type: ignore[arg-type]


def _changed(listener: Listener, values: Mapping[str, object], limits: Mapping[str, object]) -> Listener:
    """`listener` with the options that concern an address of its kind."""
    changes: dict[str, object] = {}
    if limits and listener.limits is not None:
        changes["limits"] = dataclasses.replace(listener.limits, **limits)  # type: ignore[arg-type]  # read by type
    if "uds_mode" in values and listener.uds is not None:
        changes["uds_mode"] = values["uds_mode"]
    if "reuse_port" in values and listener.host is not None:
        changes["reuse_port"] = values["reuse_port"]
    if "proxy_protocol" in values:
        changes["proxy_protocol"] = values["proxy_protocol"]
    if "backlog" in values:
        changes["backlog"] = values["backlog"]
    return dataclasses.replace(listener, **changes)  # type: ignore[arg-type]  # read by type
