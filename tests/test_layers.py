"""Layers, one direction: ARCHITECTURE's table, held against every import and cimport in the sources."""

import ast
import pathlib
import re

import pytest

SOURCES = pathlib.Path(__file__).parents[1] / "src"

# From the bottom up; a module may import from its own layer and from those below. The longest prefix decides.
LAYERS = (
    ("vanilla.errors", "vanilla.version", "vanilla.steps", "vanilla.counters", "vanilla.atomics", "vanilla.networks"),
    ("vanilla.recording", "vanilla.handles", "vanilla.awaitables", "vanilla.pieces", "vanilla.streaming"),
    ("vanilla.limits",),
    # the platforms' headers: declarations, no code
    (
        "vanilla.net.platform",
        "vanilla.net.posix",
        "vanilla.net.linux",
        "vanilla.net.uring",
        "vanilla.net.bsd",
        "vanilla.net.windows",
    ),
    ("vanilla.files",),
    ("vanilla.buffers",),
    ("vanilla.http1", "vanilla.proxy"),
    ("vanilla.contract",),
    ("vanilla.sse", "vanilla.toolkit"),
    ("vanilla.net", "vanilla.backends"),
    ("vanilla.engine",),
    ("vanilla.server",),
    ("vanilla",),  # the public names
    ("vanilla.options", "vanilla.target", "vanilla.testing"),
    ("vanilla.cli",),
    ("vanilla.__main__",),
)
LAYER_OF = {name: layer for layer, names in enumerate(LAYERS) for name in names}
# Codecs know neither a socket nor a clock, so that each can be tested alone.
_OUTSIDE = {"asyncio", "select", "selectors", "socket", "ssl", "threading", "time"}
FORBIDDEN = {"vanilla.http1": _OUTSIDE, "vanilla.proxy": _OUTSIDE}

MODULES = sorted(path for path in SOURCES.rglob("*.p*") if path.suffix in (".py", ".pxd", ".pyi"))
CIMPORT = re.compile(r"^\s*(?:from\s+(\S+)\s+)?cimport\s+(\S+)", re.MULTILINE)


def name_of(path: pathlib.Path) -> str:
    """The module's dotted name; a package's is its folder's."""
    return ".".join(path.relative_to(SOURCES).with_suffix("").parts).removesuffix(".__init__")


def layer_of(name: str) -> int:
    """The layer of the longest prefix of `name` in the table; whatever stands nowhere else is at the root."""
    while name not in LAYER_OF:
        name = name.rpartition(".")[0]
    return LAYER_OF[name]


def imports_of(path: pathlib.Path) -> set[str]:
    """Every module that `path` imports or cimports, dotted; of `from a import b` both a.b, if it is a module, or a."""
    text = path.read_text()
    if path.suffix == ".pxd":
        return {source or name for source, name in CIMPORT.findall(text)}
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name for name in inner if is_module(name)} or {str(node.module)}
    return {name.removeprefix("cython.cimports.") for name in found}


def is_module(name: str) -> bool:
    place = SOURCES.joinpath(*name.split("."))
    return place.is_dir() or place.with_suffix(".py").exists() or place.with_suffix(".pxd").exists()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCES)))
def test_a_module_imports_from_its_own_layer_or_below(path: pathlib.Path) -> None:
    ours = [name for name in imports_of(path) if name.partition(".")[0] == "vanilla"]
    upward = [name for name in ours if layer_of(name) > layer_of(name_of(path))]
    assert not upward, f"{name_of(path)} imports upwards: {', '.join(upward)}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCES)))
def test_a_codec_imports_nothing_that_waits(path: pathlib.Path) -> None:
    room = name_of(path).rpartition(".")[0]
    assert not imports_of(path) & FORBIDDEN.get(room, set())


def test_every_layer_of_the_table_exists() -> None:
    gone = [name for name in LAYER_OF if not any(name_of(path).startswith(name) for path in MODULES)]
    assert not gone


def test_every_room_has_a_layer_of_its_own() -> None:
    unplaced = {name_of(path) for path in MODULES if layer_of(name_of(path)) == LAYER_OF["vanilla"]} - {"vanilla"}
    assert not unplaced, "say in LAYERS where it belongs"


@pytest.mark.parametrize(
    ("source", "imported"),
    [
        pytest.param("import vanilla.cli", {"vanilla.cli"}, id="import"),
        pytest.param("from vanilla.cli import main", {"vanilla.cli"}, id="from_module"),
        pytest.param("from vanilla import cli", {"vanilla.cli"}, id="module_from_package"),
        pytest.param("def f():\n    import vanilla.cli", {"vanilla.cli"}, id="inside_a_function"),
        pytest.param("from cython.cimports.vanilla.engine.tick import Engine", {"vanilla.engine.tick"}, id="cimports"),
    ],
)
def test_an_import_is_seen_however_it_is_written(source: str, imported: set[str], tmp_path: pathlib.Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(source)
    assert imports_of(module) == imported


def test_a_cimport_is_seen(tmp_path: pathlib.Path) -> None:
    header = tmp_path / "module.pxd"
    header.write_text("from vanilla.engine.tick cimport Engine, Queue\ncimport vanilla.buffers\n")
    assert imports_of(header) == {"vanilla.engine.tick", "vanilla.buffers"}
