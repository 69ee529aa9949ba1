"""observability, called by hand and over sockets."""

import asyncio
import dataclasses
import importlib
import math
import pathlib
import re
import socket
import sys

import pytest

from vanilla import Request, Response, Worker
from vanilla.testing import Round, Script, Session, ask, drive, eof, frames, sent

HERE = pathlib.Path(__file__).parent
MODULES = ("app", "checks", "metrics")
SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? (\S+)')
LABEL = re.compile(r'([a-z]+)="((?:[^"\\]|\\.)*)"')


@pytest.fixture
def app(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.delenv("UPSTREAM", raising=False)
    for name in MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module("app")
    for name in MODULES:
        del sys.modules[name]


@pytest.fixture
def metrics(app):
    return sys.modules["metrics"]


@pytest.fixture
def checks(app):
    return sys.modules["checks"]


def get(path: str, method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()


def parse(text: bytes) -> dict[str, float]:
    """Every sample by its name and labels, once the text has been found to keep to the format."""
    assert text.endswith(b"\n")
    samples: dict[str, float] = {}
    types: dict[str, str] = {}
    described = current = ""
    for line in text.decode().splitlines():
        if line.startswith("# HELP "):
            described = line.split(" ", 3)[2]
            assert described not in types, "a family stands in one piece"
        elif line.startswith("# TYPE "):
            _, _, current, kind = line.split(" ")
            assert (current, kind in ("counter", "gauge", "histogram")) == (described, True)
            types[current] = kind
        else:
            match = SAMPLE.fullmatch(line)
            assert match is not None, line
            suffixes = ("_bucket", "_sum", "_count") if types[current] == "histogram" else ("",)
            assert match[1] in [current + suffix for suffix in suffixes]
            key = match[1] + (f"{{{match[2]}}}" if match[2] else "")
            assert key not in samples, "a series comes once"
            samples[key] = float(match[3])
    return samples


def scrape(session: Session) -> dict[str, float]:
    [result] = session.fire([ask(get("/metrics"))]).results
    assert result.statuses == [200]
    assert result.frames[0].header("content-type") == b"text/plain; version=0.0.4; charset=utf-8"
    return parse(result.bodies[0])


def test_a_scrape_adds_up_what_all_workers_have_done(app) -> None:
    asked = [("/", 200)] * 6 + [("/healthz", 200)] * 5 + [("/nothing", 404)] * 2
    with Session(dataclasses.replace(app.config, workers=3)) as session:
        results = session.fire([ask(get(path)) for path, _ in asked] + [ask(get("/", "POST"))]).results
        assert [result.statuses for result in results] == [[status] for _, status in asked] + [[405]]
        assert session.fire([ask(b"garbage\r\n\r\n", eof)]).results[0].statuses == [400]
        session.await_counters(lambda counters: counters.in_flight == 0)
        samples = scrape(session)
        assert samples["http_requests_total"] == 15  # the scrape's own, and not what the server refused
        classes = [samples[f'http_responses_total{{class="{digit}xx"}}'] for digit in range(1, 6)]
        assert classes == [0, 11, 0, 4, 0]
        counts = {
            route: samples[f'http_request_duration_seconds_count{{route="{route}"}}'] for route in [*app.ROUTES, "none"]
        }
        assert counts == {"/": 6, "/healthz": 5, "/readyz": 0, "/metrics": 0, "none": 3}
        assert samples['http_request_duration_seconds_sum{route="/"}'] >= 6 * 0.02
        assert samples["http_requests_in_flight"] == 1  # the scrape
        assert samples["http_connections_total"] == 16
        assert samples["http_handler_running_seconds"] > 0  # the scrape's
        session.await_counters(lambda counters: counters.in_flight == 0)
        assert scrape(session)["http_requests_total"] == 16
        assert session.stop().in_flight == 0


def test_what_waits_is_in_flight(app, checks, monkeypatch) -> None:
    release = asyncio.Event()

    async def wait(worker):
        await release.wait()

    checks.CHECKS["queue"] = wait
    monkeypatch.setattr(checks, "SECONDS", 20.0)
    with Session(dataclasses.replace(app.config, workers=1)) as session:
        group = session.fire([Script(rounds=[Round(send=get("/readyz"), until=sent)])] * 3)
        session.await_counters(lambda counters: counters.parked == 3)
        samples = scrape(session)
        assert (samples["http_requests_in_flight"], samples["http_requests_parked"]) == (4, 3)
        session.server.workers[0].post(release.set)
        assert [result.statuses for result in session.wait(group, frames(1))] == [[200]] * 3


def test_limits_that_were_reached_are_told(app) -> None:
    with Session(app.config) as session:
        session.fire([ask(get("/" + "x" * 10_000), eof)] * 2)
        assert scrape(session)['http_limits_reached_total{limit="max_target_bytes"}'] == 2


def test_buckets_add_up_to_the_count(app, metrics) -> None:
    durations = [metrics.Durations(["/"]) for _ in range(2)]
    observed = [0.0, 0.001, 0.0011, 0.3, 10.0, 10.1, 1e9]
    for index, seconds in enumerate(observed):
        durations[index % 2].observe("/", seconds)
    samples = parse(metrics.render([("d", "histogram", "", metrics.add_up(durations))]))
    for bound in [*metrics.BOUNDS, math.inf]:
        name = "+Inf" if bound == math.inf else repr(bound)
        assert samples[f'd_bucket{{route="/",le="{name}"}}'] == sum(seconds <= bound for seconds in observed)
    assert samples['d_count{route="/"}'] == len(observed)
    assert samples['d_sum{route="/"}'] == pytest.approx(sum(observed))


def test_labels_and_descriptions_are_escaped(app, metrics) -> None:
    text = metrics.render([("x", "gauge", 'a\\b\n"c"', [("", {"a": 'q"\\\n'}, 1), ("", {}, 2.5)])])
    assert text == b'# HELP x a\\\\b\\n"c"\n# TYPE x gauge\nx{a="q\\"\\\\\\n"} 1\nx 2.5\n'
    assert len(parse(text)) == 2


def test_health_asks_nobody(app, checks) -> None:
    checks.CHECKS["broken"] = None
    response = Response()
    assert app.answer_alive(Request(get("/healthz")), response, Worker()) is None
    assert (response.status, response.content) == (200, b"ok\n")


def ready(app, worker: Worker | None = None) -> tuple[int, bytes]:
    response = Response()
    asyncio.run(app.answer_ready(Request(get("/readyz")), response, worker or Worker()))
    return response.status, response.content


def test_who_has_all_that_it_needs_is_ready(app) -> None:
    assert ready(app) == (200, b"ready\n")


def test_who_has_not_says_what_is_missing_and_logs_why(app, checks, monkeypatch, caplog) -> None:
    async def hang(worker):
        await asyncio.Event().wait()

    async def fail(worker):
        raise LookupError("secret reason")

    monkeypatch.setattr(checks, "SECONDS", 0.02)
    checks.CHECKS.update(queue=hang, database=fail)
    assert ready(app) == (503, b"not ready: queue, database\n")
    assert sorted(record.getMessage() for record in caplog.records) == [
        "database: LookupError('secret reason')",
        "queue: TimeoutError()",
    ]


def test_a_full_disk_is_not_ready(app, checks, monkeypatch) -> None:
    monkeypatch.setattr(checks, "FREE_BYTES_MIN", 2**80)
    assert ready(app) == (503, b"not ready: disk\n")


def test_an_upstream_has_to_accept_connections(app, checks, monkeypatch) -> None:
    checks.CHECKS["upstream"] = checks.check_upstream
    with socket.create_server(("127.0.0.1", 0)) as upstream:
        monkeypatch.setenv("UPSTREAM", f"127.0.0.1:{upstream.getsockname()[1]}")
        assert ready(app)[0] == 200
    assert ready(app) == (503, b"not ready: upstream\n")


def test_who_drains_is_not_ready(app) -> None:
    config = dataclasses.replace(app.config, workers=1, drain_delay=20.0)
    with Session(config) as session:
        held = session.fire([ask(get("/readyz"))])
        assert held.results[0].bodies == [b"ready\n"]
        session.server.workers[0].post(session.server.shutdown)  # in a handler or the like it only begins
        session.await_counters(lambda counters: session.server.draining)
        [result] = session.fire([ask(get("/readyz"))]).results
        assert (result.statuses, result.bodies) == ([503], [b"not ready: draining\n"])
        session.server.shutdown(0)


def test_what_is_malformed_is_counted_as_what_was_sent(app) -> None:
    cut = Script(rounds=[Round(send=get("/")[:-2], half_close=True, until=eof)])
    results = drive(app.config, [ask(b"garbage\r\n\r\n", eof), cut])
    assert [result.statuses for result in results] == [[400], []]
    assert (results.counters.requests, results.counters.responses_4xx, results.counters.responses_5xx) == (0, 1, 0)
