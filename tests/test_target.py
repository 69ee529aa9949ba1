"""What the command serves: files and modules, names given and default, and clear words for all that is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from readmes.run import find_missing
from vanilla.errors import ConfigError
from vanilla.server.config import ServerConfig
from vanilla.target import ImportFailedError, load_target, split_target

EXAMPLES = Path(__file__).parents[1] / "examples"
APP = """
from neighbour import NAME
from vanilla.server.config import ServerConfig
def {name}(request, response, worker): return NAME
class Api:
    def answer(self, request, response, worker): pass
api = Api()
number = 1
config = ServerConfig({name}, workers=3)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current directory, with applications in it; modules and paths are forgotten afterwards."""
    (tmp_path / "app.py").write_text(APP.format(name="handle"))
    (tmp_path / "only_config.py").write_text(APP.format(name="other"))
    (tmp_path / "json.py").write_text(APP.format(name="handle"))
    (tmp_path / "neighbour.py").write_text("NAME = 'neighbour'\n")
    (tmp_path / "empty.py").write_text("")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "needy.py").write_text("import no_such_library\n")
    (tmp_path / "wrong.py").write_text("def handle(:\n")
    package = tmp_path / "package" / "inner"
    package.mkdir(parents=True)
    (tmp_path / "package" / "__init__.py").write_text("")
    (package / "__init__.py").write_text("")
    (package / "app.py").write_text("from .part import handle\n")
    (package / "part.py").write_text("def handle(request, response, worker): pass\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("target", "name"),
    [
        pytest.param("app.py", "handle", id="file"),
        pytest.param("./app.py", "handle", id="file_here"),
        pytest.param("app.py:handle", "handle", id="file_and_name"),
        pytest.param("app.py:api.answer", "answer", id="file_and_dotted_name"),
        pytest.param("only_config.py:other", "other", id="another_name"),
        pytest.param("app", "handle", id="module"),
        pytest.param("app:handle", "handle", id="module_and_name"),
        pytest.param("package.inner.app", "handle", id="module_in_packages"),
        pytest.param("package.inner.app:handle", "handle", id="module_in_packages_and_name"),
    ],
)
def test_a_handler_is_found(folder: Path, target: str, name: str) -> None:
    assert getattr(load_target(target), "__name__", None) == name


@pytest.mark.parametrize("target", ["only_config.py", "only_config", "app.py:config", "app:config"])
def test_a_config_is_found(folder: Path, target: str) -> None:
    found = load_target(target)
    assert isinstance(found, ServerConfig)
    assert found.workers == 3


def test_a_file_comes_from_its_own_directory_wherever_we_are(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    load_target(str(folder / "app.py"))
    assert sys.path[0] == str(folder)


def test_a_file_named_like_a_module_in_use_does_not_replace_it(folder: Path) -> None:
    import json

    load_target("json.py")
    assert sys.modules["json"] is json


@pytest.mark.parametrize(
    ("target", "message"),
    [
        pytest.param("absent.py", "absent.py: no such file", id="file"),
        pytest.param("folder/absent.py:handle", "folder/absent.py: no such file", id="file_and_name"),
        pytest.param("absent/app", "absent/app: no such file", id="path_without_suffix"),
        pytest.param("absent", "absent: no module named 'absent'", id="module"),
        pytest.param("package.absent.app:a", "no module named 'package.absent'", id="module_in_package"),
        pytest.param("app.py:absent", "app.py: has no 'absent'; name your handler: app.py:NAME", id="name"),
        pytest.param("app.py:api.absent", "has no 'api.absent'", id="dotted_name"),
        pytest.param("empty.py", "has no 'handle' or 'config'", id="default_names"),
        pytest.param("app.py:number", "app.py:number: is int, neither a handler nor a ServerConfig", id="a_number"),
        pytest.param("", "cannot be read", id="empty"),
        pytest.param(":handle", "cannot be read", id="name_alone"),
        pytest.param("app.py:", "cannot be read", id="colon_without_name"),
        pytest.param("app.py:a-b", "cannot be read", id="not_a_name"),
        pytest.param("a b", "cannot be read", id="not_a_module"),
        pytest.param("..app", "cannot be read", id="relative_module"),
    ],
)
def test_what_is_missing_is_said_in_words(folder: Path, target: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_target(target)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("target", "cause"),
    [
        pytest.param("broken.py", ZeroDivisionError, id="file_raises"),
        pytest.param("broken", ZeroDivisionError, id="module_raises"),
        pytest.param("needy.py", ModuleNotFoundError, id="file_needs_a_library"),
        pytest.param("needy", ModuleNotFoundError, id="module_needs_a_library"),
        pytest.param("wrong.py", SyntaxError, id="syntax"),
    ],
)
def test_what_the_application_raises_is_its_own(folder: Path, target: str, cause: type[Exception]) -> None:
    with pytest.raises(ImportFailedError) as caught:
        load_target(target)
    assert isinstance(caught.value.__cause__, cause)


@pytest.mark.parametrize(
    ("text", "place", "name"),
    [
        ("app.py", "app.py", ""),
        ("app.py:handle", "app.py", "handle"),
        ("a/b.py:c.d", "a/b.py", "c.d"),
        ("a.b:c", "a.b", "c"),
        ("/x:y/app.py", "/x:y/app.py", ""),
        ("/x:y/app.py:z", "/x:y/app.py", "z"),
    ],
)
def test_the_name_stands_behind_the_last_colon(text: str, place: str, name: str) -> None:
    assert split_target(text) == (place, name)


TELL = """
import sys
from vanilla import ServerConfig
from vanilla.target import load_target
print(isinstance(load_target(sys.argv[1]), ServerConfig))
"""


@pytest.mark.parametrize("app", sorted(EXAMPLES.glob("*/app.py")), ids=lambda app: app.parent.name)
def test_an_example_is_served_with_the_config_that_it_makes(app: Path) -> None:
    """In a process of its own: some set up logging, and their modules have names that others have, too."""
    if missing := find_missing(app.parent):
        pytest.skip(f"not installed: {', '.join(missing)}")
    environment = {**os.environ, "JWT_KEY": "k" * 32}  # which one does not start without
    told = subprocess.run(
        [sys.executable, "-c", TELL, str(app)], env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert told.stdout.strip() == str("ServerConfig(" in app.read_text()), told.stderr
