"""Requests that wait in every way, mixed at random from fixed seeds, while other clients leave whenever they like."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import struct
import threading
import time

import pytest

from system import close, count_descriptors, open_pair, write
from vanilla import Interest, Limits, Step
from vanilla.testing import Session, ask, eof, frames

SEEDS = range(int(os.environ.get("STRESS_FIRST", "0")), int(os.environ.get("STRESS_LAST", "4")))  # more by hand
ENDS = [b"raises", b"raises_late", b"nothing", b"close", b"cut"]  # what ends a connection
GOES_ON = [b"plain", b"pipe", b"later", b"chain", b"timer", b"stream", b"times_out", b"two", b"cancels", b"retimes"]


class Handler:
    """Does what the path says. Each descriptor is closed by its continuation, or by the engine, which then tells."""

    def __init__(self) -> None:
        self.told = 0
        self.writers: set[int] = set()  # those that are open

    def __call__(self, request, response, worker):
        action, _, number = request.path[1:].partition(b"/")
        return getattr(self, action.decode())(request, response, worker, number)

    def plain(self, request, response, worker, number):
        response.reply(200, number)

    def nothing(self, request, response, worker, number):
        return Step.SUSPEND

    def raises(self, request, response, worker, number):
        self.watch(worker, self.fail, number, ready=True)
        return Step.SUSPEND

    def raises_late(self, request, response, worker, number):
        response.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n")
        self.watch(worker, self.fail, number, ready=False)
        return Step.SUSPEND

    cut = raises_late

    def close(self, request, response, worker, number):
        worker.call_later(0.001, worker.park().resume, self.answer_and_close, number)
        return Step.SUSPEND

    def pipe(self, request, response, worker, number):
        self.watch(worker, self.answer, number, ready=True)
        return Step.SUSPEND

    def later(self, request, response, worker, number):
        self.watch(worker, self.answer, number, ready=False)
        return Step.SUSPEND

    def chain(self, request, response, worker, number):
        self.watch(worker, self.go_on, number, ready=int(number) % 2 == 0)
        return Step.SUSPEND

    def timer(self, request, response, worker, number):
        worker.call_later(int(number) % 5 / 1000, worker.park().resume, self.reply, number)
        return Step.SUSPEND

    def stream(self, request, response, worker, number):
        response.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        self.watch(worker, self.more, (number, 3), ready=True)
        return Step.SUSPEND

    def times_out(self, request, response, worker, number):
        ends = self.open_pair()
        payload = (number, *ends)
        worker.watch_fd(ends[0], Interest.READABLE, self.late, payload, timeout=0.002, on_disconnect=self.forget)
        return Step.SUSPEND

    def two(self, request, response, worker, number):
        """Both have the same payload, so that whichever is first closes all."""
        ends = (*self.open_pair(), *self.open_pair())
        payload = (number, *ends)
        for reader, writer, seconds in ((*ends[:2], None), (*ends[2:], 0.001)):
            worker.watch_fd(
                reader,
                Interest.READABLE,
                self.late,
                payload,
                timeout=seconds,
                on_disconnect=lambda _, ends=(number, reader, writer): self.forget(ends),
            )
        write(ends[1 + int(number) % 2 * 2], b"x")
        return Step.SUSPEND

    def cancels(self, request, response, worker, number):
        ends = open_pair()
        worker.watch_fd(ends[0], Interest.READABLE, self.fail, timeout=0).cancel()
        for fd in ends:
            close(fd)
        return self.pipe(request, response, worker, number)

    def retimes(self, request, response, worker, number):
        parked = worker.park()
        when = time.monotonic()
        for index in range(3):
            timer = worker.call_at(when + 0.001 * (index + 1), parked.resume, self.fail_loudly, number)
            worker.call_at(when + 0.001 * index, timer.cancel)
        worker.call_at(when + 0.004, parked.resume, self.reply, number)
        return Step.SUSPEND

    def open_pair(self) -> tuple[int, int]:
        reader, writer = open_pair()
        self.writers.add(writer)
        return reader, writer

    def watch(self, worker, continuation, number, *, ready: bool) -> None:
        reader, writer = self.open_pair()
        payload = (number, reader, writer)
        worker.watch_fd(reader, Interest.READABLE, continuation, payload, timeout=60, on_disconnect=self.forget)
        if ready:
            write(writer, b"x")
        else:
            worker.call_later(0.002, self.write_unless_closed, writer, payload)

    def write_unless_closed(self, writer, payload) -> None:
        """Its number may be another's by now: such a byte is spurious there, and must do no harm."""
        if writer in self.writers:
            with contextlib.suppress(OSError):
                write(writer, b"y")

    def forget(self, payload) -> None:
        self.told += 1
        self.writers.discard(payload[2])
        close(payload[2])  # the other end is the engine's to close

    def release(self, payload) -> bytes:
        for fd in payload[1:]:
            self.writers.discard(fd)
            close(fd)
        return payload[0]

    def fail(self, request, response, worker, payload, event):
        self.release(payload)
        raise ValueError("meant to")

    def fail_loudly(self, request, response, worker, number, event):
        response.reply(500, b"a cancelled timer was called")

    def answer(self, request, response, worker, payload, event):
        response.reply(200, self.release(payload))

    def late(self, request, response, worker, payload, event):
        response.reply(200, self.release(payload))

    def go_on(self, request, response, worker, payload, event):
        self.watch(worker, self.answer, self.release(payload), ready=True)
        return Step.SUSPEND

    def more(self, request, response, worker, payload, event):
        number, left = payload[0]
        self.release(payload)
        if left == 0:
            response.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(number), number))
            return Step.DONE
        self.watch(worker, self.more, (number, left - 1), ready=left % 2 == 0)
        return Step.SUSPEND

    def reply(self, request, response, worker, number, event):
        response.reply(200, number)

    def answer_and_close(self, request, response, worker, number, event):
        response.reply(200, number)
        return Step.CLOSE


def exchange(chance: random.Random) -> tuple[bytes, list[tuple[int, bytes]], bool]:
    """What one client sends, what it must get, and whether the connection ends then."""
    actions = chance.choices(GOES_ON, k=chance.choice([1, 1, 2, 5, 12]))
    if chance.random() < 0.3:
        actions.append(chance.choice(ENDS))
    wire = b"".join(b"GET /%b/%d HTTP/1.1\r\nHost: a\r\n\r\n" % (action, n) for n, action in enumerate(actions))
    wanted = [(200, b"%d" % number) for number in range(len(actions))]
    ends = actions[-1] in ENDS
    if actions[-1] in (b"raises", b"nothing"):
        wanted[-1] = (500, b"")
    elif actions[-1] in (b"raises_late", b"cut"):
        wanted.pop()  # begun, and cut
    if not ends and chance.random() < 0.15:
        wire += b"NONSENSE\r\n\r\n"
        wanted.append((400, b""))
        ends = True
    elif not ends and chance.random() < 0.3:
        wire += b"GET /behind HTTP/1.1\r\nHo"[: chance.randrange(23)]
    elif ends and chance.random() < 0.5:
        wire += b"GET /plain/never HTTP/1.1\r\nHost: a\r\n\r\n" * 3
    return wire, wanted, ends


def leave_at_random(address: tuple[str, int], chance: random.Random, count: int) -> None:
    """Clients that send some of an exchange, perhaps read some of the answer, and go one way or another."""
    open_clients: list[socket.socket] = []
    for _ in range(count):
        wire, _, _ = exchange(chance)
        client = socket.create_connection(address, timeout=20)
        open_clients.append(client)
        with contextlib.suppress(ConnectionError):
            client.sendall(wire if chance.random() < 0.7 else wire[: chance.randrange(len(wire))])
            if chance.random() < 0.3:
                client.shutdown(socket.SHUT_WR)
            if chance.random() < 0.2:
                client.settimeout(0.001)
                with contextlib.suppress(TimeoutError):
                    client.recv(chance.choice([1, 100, 10_000]))
        while len(open_clients) > chance.randrange(12):
            leaver = open_clients.pop(chance.randrange(len(open_clients)))
            if chance.random() < 0.6:
                leaver.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            leaver.close()
    for client in open_clients:
        client.close()


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_waits_and_whoever_leaves_those_who_stay_are_answered_and_nothing_stays(configure, seed) -> None:
    chance = random.Random(seed)
    handler = Handler()
    fds = count_descriptors()
    with Session(configure(handler, limits=Limits(linger_timeout=0.2))) as session:
        leavers = [
            threading.Thread(target=leave_at_random, args=(session.address, random.Random(seed * 100 + n), 60))
            for n in range(3)
        ]
        for leaver in leavers:
            leaver.start()
        for _ in range(6):
            exchanges = [exchange(chance) for _ in range(30)]
            group = session.fire([ask(wire, eof if ends else frames(len(wanted))) for wire, wanted, ends in exchanges])
            for result, (wire, wanted, _) in zip(group.results, exchanges, strict=True):
                assert list(zip(result.statuses, result.bodies, strict=True)) == wanted, wire
            session.close(group, reset=chance.random() < 0.5)
        for leaver in leavers:
            leaver.join()
        counters = session.await_counters(lambda counters: counters.parked == counters.in_flight == counters.open == 0)
        assert counters.limits_reached.keys() <= {"linger_timeout"}
        session.stop()
    assert count_descriptors() == fds
    assert handler.told > 0
