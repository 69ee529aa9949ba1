"""The documentation, held against the code: snippets run, names and defaults are the sources', links lead somewhere."""

import ast
import dataclasses
import pathlib
import re
import sys
import types

import pytest

from vanilla import (
    Counters,
    Limits,
    Listener,
    Parked,
    Request,
    RequestTiming,
    Response,
    ServerConfig,
    Takeover,
    Worker,
)
from vanilla.options import OPTIONS, limit_options
from vanilla.toolkit.multipart_forms import MultipartLimits

ROOT = pathlib.Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
SNIPPET = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def rows(page: str) -> dict[str, list[str]]:
    """The cells of each table row, by every name in its first cell."""
    found = {}
    for line in (REFERENCE / page).read_text().splitlines():
        if line.startswith("| `"):
            first, *cells = (cell.strip() for cell in line.strip("|").split(" |"))
            found |= dict.fromkeys(re.findall(r"`(-{0,2}[\w-]+)", first), cells)
    return found


@pytest.mark.parametrize(
    "page", [page for page in PAGES if SNIPPET.search(page.read_text())], ids=lambda page: page.name
)
def test_the_snippets_of_a_page_run_in_their_order(page: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = types.ModuleType("app")  # pages save their handlers as app.py
    monkeypatch.setitem(sys.modules, "app", app)
    for snippet in SNIPPET.findall(page.read_text()):
        exec(compile(snippet, str(page), "exec"), app.__dict__)
        for name in [name for name in vars(app) if name.startswith("test_")]:
            vars(app).pop(name)()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_link_leads_somewhere(page: pathlib.Path) -> None:
    lost = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert not lost


def test_every_limit_is_described_with_its_default() -> None:
    defaults = {field.name: field.default for field in dataclasses.fields(Limits)}
    stated = {name: cells[0] for name, cells in rows("limits.md").items()}
    assert stated == {name: "off" if value is None else f"{value:.10g}" for name, value in defaults.items()}


def test_every_limit_of_a_multipart_form_is_described_with_its_default() -> None:
    defaults = {field.name: str(field.default) for field in dataclasses.fields(MultipartLimits)}
    stated = {name: cells[0] for name, cells in rows("toolkit-reading.md").items() if name in defaults}
    assert stated == defaults


@pytest.mark.parametrize("settings", [ServerConfig, Listener])
def test_every_setting_is_described(settings: type) -> None:
    names = {name for name in settings.__annotations__ if name != "_"}
    assert names <= rows("configuration.md").keys()


def test_every_option_is_described() -> None:
    stated = rows("cli.md").keys()
    options = {f"--{name}" for option in OPTIONS for name in option.names}
    aliases = {f"--{name}" for option in limit_options() for name in option.names[1:]}
    assert stated == options | aliases | {"--limit-NAME", "--version", "--help"}


@pytest.mark.parametrize("measured", [Counters, RequestTiming])
def test_every_counter_is_described(measured: type) -> None:
    between = {f"responses_{number}xx" for number in (2, 3, 4)}  # "1xx to 5xx"
    assert set(measured._fields) - between <= rows("counters.md").keys()  # type: ignore[attr-defined]


def public_names(path: pathlib.Path) -> set[str]:
    """The functions and classes that a module shows; of a compiled one, those in its stub."""
    stub = path.with_suffix(".pyi")
    body = ast.parse((stub if stub.exists() else path).read_text()).body
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in body if isinstance(node, kinds) and not node.name.startswith("_")}


@pytest.mark.parametrize("path", sorted((ROOT / "src/vanilla/toolkit").glob("[!_]*.py")), ids=lambda path: path.stem)
def test_every_name_of_the_toolkit_is_described(path: pathlib.Path) -> None:
    pages = "".join(page.read_text() for page in REFERENCE.glob("toolkit*.md"))
    lost = [name for name in public_names(path) if not re.search(rf"[`.( ]{name}\b", pages)]
    assert not lost


@pytest.mark.parametrize("handed", [Request, Response, Worker, Parked, Takeover])
def test_every_name_that_a_handler_sees_is_described(handed: type) -> None:
    assert {name for name in vars(handed) if name[0] != "_"} <= rows("contract.md").keys()


def test_every_example_is_in_their_list() -> None:
    listed = re.findall(r"^\| \[(\w+)\]\(\1/\) \|", (ROOT / "examples" / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(path.parent.name for path in (ROOT / "examples").glob("*/app.py"))
