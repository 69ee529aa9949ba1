"""What the command serves: `path/to/app.py[:name]` or `package.module[:name]`, found and imported."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from types import ModuleType

from vanilla.errors import ConfigError
from vanilla.server.config import Handler, ServerConfig

DEFAULT_NAMES = ("handle", "config")
SYNTAX = "give path/to/app.py[:name] or package.module[:name]"


class ImportFailedError(Exception):
    """The application's own code raised while it was imported; `__cause__` is what."""


def load_target(text: str) -> Handler | ServerConfig:
    """The handler or the config that `text` names; without a name `handle`, else `config`.

    The directory of a file comes first on sys.path, as `python file.py` has it; for a module the current one does, as
    with `python -m`.

    Raises: ConfigError if there is no such file, module or name, or it is neither; ImportFailedError.
    """
    place, name = split_target(text)
    module = _load_file(place) if _is_file(place) else _load_module(place)
    for wanted in (name,) if name else DEFAULT_NAMES:
        found: object = module
        for part in wanted.split("."):
            found = getattr(found, part, None)
        if found is not None:
            break
    else:
        names = f"{name!r}" if name else " or ".join(repr(one) for one in DEFAULT_NAMES)
        raise ConfigError(f"{place}: has no {names}; name your handler: {place}:NAME")
    if not isinstance(found, ServerConfig) and not callable(found):
        raise ConfigError(f"{place}:{wanted}: is {type(found).__name__}, neither a handler nor a ServerConfig")
    return found


def split_target(text: str) -> tuple[str, str]:
    """(file or module, name); the name is empty where none is given."""
    place, colon, name = text.rpartition(":")
    if not colon or _is_file(name):  # C:\app.py has a colon, but no name behind it
        return text, ""
    if not place or not all(part.isidentifier() for part in name.split(".")):
        raise ConfigError(f"target {text!r}: cannot be read; {SYNTAX}")
    return place, name


def _is_file(place: str) -> bool:
    return place.endswith(".py") or "/" in place or os.sep in place


def _load_file(path: str) -> ModuleType:
    if not os.path.isfile(path):
        raise ConfigError(f"{path}: no such file; {SYNTAX}")
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    name = os.path.splitext(os.path.basename(path))[0]
    if name in sys.modules:  # a file called json.py must not replace what others import
        name = f"vanilla_target_{name}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path}: not a Python file; {SYNTAX}")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ImportFailedError(path) from error
    return module


def _load_module(name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise ConfigError(f"target {name!r}: cannot be read; {SYNTAX}")
    sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise ConfigError(f"{name}: no module named {error.name!r} here or on sys.path; {SYNTAX}") from None
        raise ImportFailedError(name) from error  # something that the application imports is missing
    except Exception as error:
        raise ImportFailedError(name) from error
