"""logging, called by hand, over sockets, and as a process of its own."""

import atexit
import contextlib
import importlib
import json
import logging
import pathlib
import queue
import re
import runpy
import signal
import subprocess
import sys

import pytest

from vanilla import Request, Response, ServerConfig, Worker
from vanilla.testing import Client, ask, drive, eof

HERE = pathlib.Path(__file__).parent
MODULES = ("app", "jsonlog", "tracing")
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"
COMMAND = "import sys; from vanilla.cli import main; sys.exit(main(sys.argv[1:]))"


@contextlib.contextmanager
def logging_put_back():
    root, server = logging.getLogger(), logging.getLogger("vanilla")
    before = root.handlers[:], root.level, server.handlers[:], server.propagate
    yield
    root.handlers[:], server.handlers[:], server.propagate = before[0], before[2], before[3]
    root.setLevel(before[1])


class App:
    """The example with a log of its own."""

    def __init__(self, module, path: pathlib.Path) -> None:
        self.handle = module.handle
        self._listener = module.listener
        self._path = path
        self._is_stopped = False

    def stop(self) -> None:
        if not self._is_stopped:
            self._is_stopped = True
            self._listener.stop()
            for handler in self._listener.handlers:
                handler.close()

    def lines(self, logger: str) -> list[dict]:
        """What was logged, all of it."""
        self.stop()
        entries = [json.loads(line) for line in self._path.read_text().splitlines()]
        return [entry for entry in entries if entry["logger"] == logger]


@pytest.fixture
def app(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.setenv("LOG_FILE", str(tmp_path / "log"))
    for name in MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    with logging_put_back():
        module = importlib.import_module("app")
        one = App(module, tmp_path / "log")
        yield one
        one.stop()
        atexit.unregister(module.listener.stop)
    for name in MODULES:
        del sys.modules[name]


@pytest.fixture(scope="module")
def tracing() -> dict:
    return runpy.run_path(str(HERE / "tracing.py"))


def get(target: str, *fields: str) -> bytes:
    return "\r\n".join([f"GET {target} HTTP/1.1", "Host: a", *fields, "", ""]).encode()


def test_every_answer_is_a_line_with_its_ids(app) -> None:
    targets = ["/", "/slow", "/broken", "/nothing?secret=1"]
    fields = ("X-Request-Id: order-66", f"traceparent: {PARENT}", "User-Agent: me\t\xe9")
    results = drive(ServerConfig(app.handle), [ask(get(target, *fields)) for target in targets])
    assert [result.statuses for result in results] == [[200], [200], [500], [404]]
    assert {result.frames[0].header("x-request-id") for result in results} == {b"order-66"}
    lines = {line["path"]: line for line in app.lines("access")}
    assert {path: (line["status"], line["level"]) for path, line in lines.items()} == {
        "/": (200, "info"),
        "/slow": (200, "info"),
        "/broken": (500, "error"),
        "/nothing": (404, "info"),
    }
    for line in lines.values():
        assert (line["request_id"], line["trace_id"], line["parent_id"]) == ("order-66", TRACE, SPAN)
        assert (line["method"], line["client"], line["user_agent"]) == ("GET", "127.0.0.1", "me\t\xe9")
    assert lines["/slow"]["bytes"] == 5
    assert lines["/slow"]["duration_ms"] >= 50
    assert results.counters.in_flight == 0


def test_what_handlers_log_has_the_ids_of_their_own_requests(app) -> None:
    numbers = range(8)
    drive(ServerConfig(app.handle, workers=2), [ask(get("/slow", f"X-Request-Id: n{number}")) for number in numbers])
    waited = app.lines("shop")
    assert sorted(line["request_id"] for line in waited) == [f"n{number}" for number in numbers]
    spans = {line["request_id"]: line["span_id"] for line in app.lines("access")}
    assert {line["request_id"]: line["span_id"] for line in waited} == spans
    assert len(set(spans.values())) == len(numbers)


@pytest.mark.parametrize("kind", ["coroutine", "function"])
def test_a_traceback_has_the_ids_of_its_request(app, kind: str) -> None:
    def fail(request, response, worker):
        raise LookupError("no such shelf")

    middleware = sys.modules["app"].with_access_log
    handle = app.handle if kind == "coroutine" else middleware(fail)
    drive(ServerConfig(handle), [ask(get("/broken", "X-Request-Id: order-66"))])
    [line] = [line for line in app.lines("vanilla") if "exception" in line]
    assert line["request_id"] == "order-66"
    assert line["exception"].endswith("LookupError: no such shelf")


def test_what_is_logged_between_requests_has_no_ids(app) -> None:
    response = Response()
    assert app.handle(Request(get("/")), response, Worker()) is None
    logging.getLogger("elsewhere").info("idle")
    [line] = app.lines("elsewhere")
    assert list(line) == ["time", "level", "logger", "message"]


def test_a_call_to_another_service_carries_the_ids_on(app) -> None:
    raw = get("/", "X-Request-Id: order-66", f"traceparent: {PARENT}")
    [result] = drive(ServerConfig(app.handle), [ask(raw)])
    [carried] = json.loads(result.bodies[0]).values()
    [line] = app.lines("access")
    assert carried == {"X-Request-Id": "order-66", "traceparent": f"00-{TRACE}-{line['span_id']}-01"}


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param((), id="none"),
        pytest.param(("X-Request-Id: ",), id="empty"),
        pytest.param(("X-Request-Id: " + "x" * 65,), id="long"),
        pytest.param(('X-Request-Id: "forged", "level": "error"',), id="forged"),
        pytest.param(("X-Request-Id: a", "X-Request-Id: b"), id="two"),
    ],
)
def test_an_id_that_is_none_is_replaced(tracing, fields: tuple[str, ...]) -> None:
    first, second = (tracing["identify"](Request(get("/", *fields))) for _ in range(2))
    assert re.fullmatch(r"[0-9a-f]{32}", first["request_id"])
    assert first["request_id"] != second["request_id"]


@pytest.mark.parametrize(
    ("value", "flags"),
    [
        (PARENT, "01"),
        (f"00-{TRACE}-{SPAN}-00", "00"),
        (f"00-{TRACE}-{SPAN}-03", "01"),
        (f"01-{TRACE}-{SPAN}-01", "01"),
        (f"01-{TRACE}-{SPAN}-01-what-comes-later", "01"),
    ],
)
def test_a_trace_is_gone_on_with(tracing, value: str, flags: str) -> None:
    assert tracing["read_traceparent"](value.encode()) == (TRACE, SPAN, flags)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "garbage",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01\n",
        f"01-{TRACE}-{SPAN}-01more",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}",
        f"{PARENT}, {PARENT}",
    ],
)
def test_a_trace_that_is_malformed_is_begun_anew(tracing, value: str | None) -> None:
    assert tracing["read_traceparent"](None if value is None else value.encode()) is None


def test_what_there_is_no_room_for_is_counted_and_told() -> None:
    names = runpy.run_path(str(HERE / "jsonlog.py"))
    handler = names["QueueingHandler"](queue.SimpleQueue())
    names["QueueingHandler"].enqueue.__globals__["QUEUED_MAX"] = 2
    record = logging.LogRecord
    for number in range(5):
        handler.handle(record("a", logging.INFO, "", 0, "line %d", (number,), None))
    entries = [json.loads(names["JsonFormatter"]().format(handler.queue.get())) for _ in range(2)]
    assert [entry["message"] for entry in entries] == ["line 0", "line 1"]
    handler.handle(record("a", logging.INFO, "", 0, "line 5", (), None))
    assert json.loads(names["JsonFormatter"]().format(handler.queue.get()))["dropped_before"] == 3


def test_a_record_is_one_line_whatever_is_in_it() -> None:
    formatter = runpy.run_path(str(HERE / "jsonlog.py"))["JsonFormatter"]()
    record = logging.LogRecord("a", logging.INFO, "", 0, "%s", ('x\n{"level": "error"}\u2028\ud800',), None)
    record.fields = {"odd": {1, 2}}
    line = formatter.format(record)
    assert (len(line.splitlines()), line.isascii()) == (1, True)
    assert json.loads(line)["message"] == 'x\n{"level": "error"}\u2028\ud800'


def test_a_log_that_was_moved_away_is_begun_anew(app, tmp_path) -> None:
    drive(ServerConfig(app.handle), [ask(get("/"))])
    logging.getLogger("x").info("first")
    path = tmp_path / "log"
    while not path.exists() or '"first"' not in path.read_text():
        pass  # the test has a timeout
    path.rename(tmp_path / "old")
    logging.getLogger("x").info("second")
    assert [line["message"] for line in app.lines("x")] == ["second"]


def test_what_is_malformed_is_refused_and_logged_by_nobody(app) -> None:
    results = drive(ServerConfig(app.handle), [ask(b"garbage\r\n\r\n", eof), ask(get("/")[:-2] + b"x\r\n\r\n", eof)])
    assert [result.statuses for result in results] == [[400], [400]]
    assert app.lines("access") == []


def test_all_that_the_command_writes_is_json(tmp_path) -> None:
    arguments = [str(HERE / "app.py"), "--port", "0", "--workers", "1"]
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        first = json.loads(process.stdout.readline())
        port = int(re.search(r":(\d+) with", first["message"])[1])
        with Client(("127.0.0.1", port)) as client:
            assert client.fire([ask(get("/"))]).results[0].statuses == [200]
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
        process.communicate()
    lines = [json.loads(line) for line in out.splitlines()]
    assert (process.returncode, err) == (0, "")
    assert [line["logger"] for line in lines] == ["shop", "access", "vanilla"]
