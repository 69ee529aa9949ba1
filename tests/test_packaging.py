"""What pip installed: compiled modules that are compiled, one version, types for users, and nothing unasked for."""

import ast
import importlib
import importlib.metadata
import os
import pathlib
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Callable

import pytest

import vanilla

ROOT = pathlib.Path(__file__).parents[1]
SOURCES = ROOT / "src"
INSTALLED = pathlib.Path(vanilla.__file__).parent
PAIRS = sorted(
    ".".join(path.relative_to(SOURCES).with_suffix("").parts)
    for path in SOURCES.rglob("*.pxd")
    if path.with_suffix(".py").exists()
)
_RING = ("submissions", "listeners", "deliveries", "receives", "sends", "watches")
ONLY_LINUX = {f"vanilla.backends.{name}" for name in ("epoll", "io_uring", "offered", "ring")}
ONLY_LINUX |= {f"vanilla.backends.ring_{name}" for name in _RING}
ONLY_BSD = {"vanilla.backends.kqueue"}
ONLY_WINDOWS = {f"vanilla.backends.{name}" for name in ("acceptex", "completions", "iocp")}
ONLY_WINDOWS |= {f"vanilla.backends.iocp_{name}" for name in ("receives", "sends", "watches")}
ONLY_POSIX = {f"vanilla.backends.{name}" for name in ("poll", "readiness", "sockets")}
IS_WINDOWS = sys.platform == "win32"
IS_BSD = "VANILLA_KQUEUE" in os.environ or not (IS_WINDOWS or sys.platform.startswith("linux"))  # or its emulation
ELSEWHERE = ONLY_LINUX | ONLY_BSD | ONLY_POSIX if IS_WINDOWS else ONLY_WINDOWS | (ONLY_LINUX if IS_BSD else ONLY_BSD)

# `make test-windows` builds for another system than its own, where there is no pip.
needs_installation = pytest.mark.skipif(IS_WINDOWS, reason="the package is built for it, and not installed there")
needs_mypy = pytest.mark.skipif(IS_WINDOWS, reason="there is no mypy, and what it reads is the same everywhere")

HANDLER = """
    from vanilla import Interest, Limits, Listener, Request, Response, Server, ServerConfig, Step, Worker

    def handle(request: Request, response: Response, worker: Worker) -> Step | None:
        length: int = len(request.body) + len(request.body_view) + len(request.raw)
        name: bytes | None = request.header("Host")
        other: bytes | None = request.header(b"X-Name", b"none")
        for field, value in request.headers():
            response += field + b": " + value
        response.write(memoryview(b"x"))
        response.reply(200, b"ok", content_type="text/plain", headers={"X-Length": str(length)})
        response.reply(404, headers=[(b"X-Path", request.path), ("X-Query", request.query)])
        response.clear()
        peer = request.peer
        port: int = peer[1] if peer is not None else 0
        credentials = request.peer_credentials()
        uid: int = credentials.uid if credentials is not None else request.client_fd
        worker.state = {"port": port, "uid": uid, "index": worker.index, "name": (name, other)}
        return Step.CLOSE if worker.draining or worker.counters().limits_reached else None

    def test_it() -> None:
        response = Response()
        assert handle(Request(b"GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n"), response, Worker(state=3)) is None
        assert bytes(response) == b"" and len(response) == 0 and Interest.READABLE

    config = ServerConfig(handle, listeners=[Listener("127.0.0.1", 0, limits=Limits(max_headers=None))], workers=1)
    if __name__ == "__main__":
        Server(config).run()
"""


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def mypy(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[str]]:
    """Type-checks a user's source against the installed package: the complaints, without their file."""
    cache = tmp_path_factory.mktemp("mypy")

    def check(source: str) -> list[str]:
        path = tmp_path_factory.mktemp("user") / "app.py"
        path.write_text(textwrap.dedent(source))
        strictly = ("-m", "mypy", "--strict", "--no-error-summary", "--config-file=", f"--cache-dir={cache}")
        done = run_python(*strictly, str(path))
        assert done.returncode in (0, 1), done.stderr
        return [line.partition(": ")[2] for line in done.stdout.splitlines()]

    return check


@needs_installation
def test_the_package_is_the_installed_one() -> None:
    assert not INSTALLED.is_relative_to(SOURCES)
    assert ("sanitize-" in str(INSTALLED)) == (os.environ.get("VANILLA_SANITIZE") == "1")
    assert ("kqueue-" in str(INSTALLED)) == ("VANILLA_KQUEUE" in os.environ)
    assert ("site-packages" in str(INSTALLED)) == ("-cpython-" not in str(INSTALLED))


@pytest.mark.parametrize("name", [name for name in PAIRS if name not in ELSEWHERE])
def test_a_module_with_a_pxd_is_compiled(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__file__ is not None
    assert module.__file__.endswith(".pyd" if IS_WINDOWS else ".so")
    assert name == module.__name__


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_module_of_another_platform_is_there_to_be_read(name: str) -> None:
    beginning = INSTALLED.parent.joinpath(*name.split("."))
    assert [path.name for path in sorted(beginning.parent.glob(f"{beginning.name}.*"))] == [
        f"{beginning.name}.pxd",
        f"{beginning.name}.py",
    ]


def test_mypy_leaves_out_the_compiled_modules_and_no_others() -> None:
    overrides = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["overrides"]
    [left_out] = [one["module"] for one in overrides if one.get("ignore_errors")]
    assert left_out == [name for name in PAIRS if not name.startswith("vanilla.contract.")]  # users see a .pyi


@needs_installation
def test_the_version_is_the_same_everywhere() -> None:
    assert importlib.metadata.version("vanilla-http") == vanilla.__version__
    assert run_python("-m", "vanilla", "--version").stdout == f"vanilla {vanilla.__version__}\n"


def test_the_changelog_speaks_of_this_version() -> None:
    assert f"## {vanilla.__version__}" in (ROOT / "CHANGELOG.md").read_text()


@needs_installation
def test_the_command_is_installed() -> None:
    [command] = importlib.metadata.entry_points(group="console_scripts", name="vanilla")
    assert command.value == "vanilla.cli:main"


@pytest.mark.parametrize(
    "name",
    ["py.typed", "contract/worker.pyi", "contract/worker.py", "contract/worker.pxd", "net/linux.pxd", "net/bsd.pxd"],
)
def test_a_file_that_tools_look_for_is_installed(name: str) -> None:
    assert (INSTALLED / name).is_file()


def test_no_c_is_installed() -> None:
    assert not [*INSTALLED.rglob("*.c"), *INSTALLED.rglob("*.h")]


def test_the_public_names_are_there() -> None:
    assert [name for name in vanilla.__all__ if not hasattr(vanilla, name)] == []


def test_an_import_brings_no_event_loop_and_no_thread() -> None:
    program = "import sys, threading, vanilla; print('asyncio' in sys.modules, threading.active_count())"
    assert run_python("-c", program).stdout == "False 1\n"


def test_an_import_brings_nothing_of_the_toolkit() -> None:
    program = "import sys, vanilla; print([name for name in sys.modules if name.startswith('vanilla.toolkit')])"
    assert run_python("-c", program).stdout == "[]\n"


def test_the_server_is_imported_when_it_is_named() -> None:
    program = "import sys, vanilla; print('vanilla.server' in sys.modules, vanilla.Server.__module__)"
    assert run_python("-c", program).stdout == "False vanilla.server.server\n"
    program = "import vanilla; print(hasattr(vanilla, 'Sever')); from vanilla import *; print(ServerConfig.__name__)"
    assert run_python("-c", program).stdout == "False\nServerConfig\n"


@pytest.mark.skipif(getattr(sys, "_is_gil_enabled", lambda: True)(), reason="this Python has, or was given, the GIL")
def test_an_import_leaves_the_gil_off() -> None:
    done = run_python("-W", "error", "-c", "import sys, vanilla.server; print(sys._is_gil_enabled())")
    assert (done.stdout, done.stderr) == ("False\n", "")


@needs_mypy
def test_a_handler_type_checks_strictly(mypy: Callable[[str], list[str]]) -> None:
    assert mypy(HANDLER) == []


@needs_mypy
@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        pytest.param('response.write("text")', 'incompatible type "str"', id="text_written"),
        pytest.param("response.reply(200, 'text')", 'incompatible type "str"', id="text_replied"),
        pytest.param("response.reply(b'body')", 'incompatible type "bytes"', id="no_status"),
        pytest.param("request.method = b'GET'", "read-only", id="request_changed"),
        pytest.param("request.heder('Host')", 'has no attribute "heder"', id="misspelt"),
        pytest.param("worker.index = 3", "read-only", id="worker_renumbered"),
    ],
)
def test_a_mistake_is_found_by_types(mypy: Callable[[str], list[str]], line: str, complaint: str) -> None:
    source = "from vanilla import Request, Response, Worker\n"
    complaints = mypy(
        f"{source}def handle(request: Request, response: Response, worker: Worker) -> None:\n    {line}\n"
    )
    assert len(complaints) == 1
    assert complaint in complaints[0]


def test_the_stub_names_what_the_compiled_classes_have() -> None:
    stubs = {path.stem: ast.parse(path.read_text()) for path in (INSTALLED / "contract").glob("*.pyi")}
    assert len(stubs) == 5
    for name, node in [(name, node) for name, stub in stubs.items() for node in stub.body]:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            stated = {item.name for item in node.body if isinstance(item, ast.FunctionDef)}
            stated |= {item.target.id for item in node.body if isinstance(item, ast.AnnAssign)}  # type: ignore[union-attr]
            real = {
                name
                for name in vars(getattr(importlib.import_module(f"vanilla.contract.{name}"), node.name))
                if not name.startswith("_")
            }
            assert {name for name in stated if not name.startswith("_")} == real
