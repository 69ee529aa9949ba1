"""A Worker made by hand, and handlers that are tested by calling them with one."""

from __future__ import annotations

import copy
import pickle

import pytest

from vanilla import Request, Response, Worker


def get(target: bytes = b"/") -> Request:
    return Request(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target)


def test_state_is_what_it_was_given() -> None:
    state = object()
    worker = Worker(state, index=3)
    assert (worker.state, worker.index, bool(worker.draining)) == (state, 3, False)
    assert repr(worker) == "<Worker 3>"
    worker.state = None
    assert worker.state is None


def test_without_arguments_it_is_the_first_with_no_state() -> None:
    assert (Worker().state, Worker().index) == (None, 0)


def test_what_the_engine_decides_cannot_be_assigned() -> None:
    for name in ("index", "draining", "other"):
        with pytest.raises(AttributeError):
            setattr(Worker(), name, 1)


def test_nothing_is_counted_yet() -> None:
    counters = Worker().counters()
    assert counters.limits_reached == {}
    assert set(counters[:-1]) == {0}


def test_a_handler_is_tested_by_calling_it() -> None:
    def handle(request: Request, response: Response, worker: Worker) -> None:
        response.reply(200, request.path + worker.state, content_type="text/plain")

    response = Response()
    handle(get(b"/a"), response, Worker(b"!"))
    assert bytes(response).endswith(b"\r\n\r\n/a!")


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, pickle.dumps])
@pytest.mark.parametrize("thing", [get(), Response(), Worker()], ids=["request", "response", "worker"])
def test_what_belongs_to_the_engine_is_not_copied(make: object, thing: object) -> None:
    with pytest.raises(TypeError):
        make(thing)  # type: ignore[operator]
