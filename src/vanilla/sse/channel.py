"""Events for many: published on any thread, encoded once, told in one order to every subscriber on every worker."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from vanilla.contract import Request, Response, Worker
from vanilla.errors import ConfigError
from vanilla.sse.branch import Branch, Shared, encode_reconnection
from vanilla.sse.events import encode, last_event_id
from vanilla.sse.replay import Replay
from vanilla.steps import Step

_Text = str | bytes
_Fields = Mapping[str, _Text] | Mapping[bytes, _Text] | Iterable[tuple[_Text, _Text]]

# Nobody keeps a stream that goes on, and nginx is told not to collect it before it passes it on.
_FIELDS: tuple[tuple[_Text, _Text], ...] = (("Cache-Control", "no-store"), ("X-Accel-Buffering", "no"))


class Channel:
    """Streams of one kind of events. A handler subscribes its request; any thread publishes.

    Every subscriber is sent each event that was published after it subscribed, in the order of publishing, which is
    the same for all. One that comes back with Last-Event-ID is first sent what it has missed, as far as it is kept;
    between the two nothing is lost and nothing comes twice. A subscriber that does not read is dropped rather than
    waited for: its connection is cut, and a browser then comes back by itself.

    When a worker shuts down, its subscribers are told to come back after 1 to 10 seconds, each after another time, and
    their streams end.

    Args:
        replay: how many events are kept for those that come back, 0 or more. Events that were published without an id
            get one then.
        heartbeat: seconds; a stream that was sent nothing for so long, or up to an eighth longer, is sent a comment, so
            that no proxy takes it for dead and a client that is gone is noticed. Keep it below the idle timeouts of
            what stands between, 60 s in nginx. None sends none.
        max_unsent_bytes: what a subscriber may have to take still when the next event comes: with more it is dropped.
            What is replayed counts, so keep `replay` events below it.
        retry: milliseconds after which a client comes back, told to each at its beginning; None leaves it to the
            client. Browsers wait some seconds.

    Raises: ConfigError for a value out of range.
    Source: WHATWG HTML, section 9.2.
    """

    def __init__(
        self,
        *,
        replay: int = 0,
        heartbeat: float | None = 15.0,
        max_unsent_bytes: int = 64 * 1024,
        retry: int | None = None,
    ) -> None:
        _check_whole("replay", replay, 0, "a number of events")
        _check_whole("max_unsent_bytes", max_unsent_bytes, 1, "a number of bytes")
        if heartbeat is not None:
            is_number = isinstance(heartbeat, int | float) and not isinstance(heartbeat, bool)
            if not is_number or not math.isfinite(heartbeat) or heartbeat <= 0:
                raise ConfigError(f"heartbeat={heartbeat!r}: give seconds, more than 0, or None to send none")
        if retry is not None:
            _check_whole("retry", retry, 0, "milliseconds")
        self._shared = Shared(heartbeat, max_unsent_bytes)
        self._beginning = b"" if retry is None else encode(retry=retry)
        self._replay = Replay(replay) if replay else None
        self._published = 0  # the number of the last event
        self._is_closed = False

    def subscribe(self, request: Request, response: Response, worker: Worker, *, headers: _Fields = ()) -> Step:
        """Begin a stream as the answer to a request. A handler, `async def` or not, returns at once what this returns.

        A channel that is closed answers 204, which tells a browser not to come back; one whose worker shuts down
        begins the stream and ends it at once, so that the browser does come back. To HEAD the head alone is sent.

        Args:
            headers: further fields, as in `Response.reply`. A Cache-Control or X-Accel-Buffering among them replaces
                the channel's own, `no-store` and `no`.

        Raises: as `Response.start`.
        """
        if request.disconnected:
            return Step.DONE  # a coroutine that has waited, and whose client has left meanwhile
        begins = request.method != b"HEAD" and not worker.draining
        with self._shared.lock:
            is_closed, seen = self._is_closed, self._published
            if begins and not is_closed:
                missed = self._find_missed(request)
                branch = self._find_branch(worker)
        if is_closed:
            response.reply(204, headers=headers)
            return Step.DONE
        response.start(200, _add_fields(headers), content_type="text/event-stream")
        if not begins:
            response.write(encode_reconnection())  # an answer to HEAD drops it
            return Step.DONE
        if self._beginning or missed:
            response.write(self._beginning + missed)
        branch.join(response.park(on_disconnect=branch.on_gone), seen)
        return Step.SUSPEND

    def publish(
        self,
        data: _Text | None = None,
        *,
        event: _Text | None = None,
        id: _Text | None = None,
        retry: int | None = None,
    ) -> bytes | None:
        """Send one event to every subscriber. Any thread; it waits for none of them.

        Args: as in `encode`.
        Returns: the event's id, the one given or the one that it got; None if it has none.
        Raises: as `encode`; RuntimeError if the channel is closed. Nobody is sent anything then.
        """
        encoded = encode(data, id=id, event=event, retry=retry)
        identity = id.encode() if isinstance(id, str) else id
        with self._shared.lock:
            if self._is_closed:
                raise RuntimeError("publish: this channel is closed")
            if self._replay is not None:
                identity, encoded = self._replay.add(encoded, identity)
            self._published += 1
            for worker, branch in list(self._shared.branches.items()):
                try:
                    branch.add(encoded)
                except RuntimeError:  # its worker has ended
                    del self._shared.branches[worker]
        return identity

    def close(self) -> None:
        """End every stream properly, after what was published. Any thread. Whoever subscribes later is answered 204."""
        with self._shared.lock:
            self._is_closed = True
            branches = list(self._shared.branches.values())
        for branch in branches:
            try:
                branch.worker.post(branch.end)
            except RuntimeError:
                continue  # its worker has ended, and its streams with it

    @property
    def subscribers(self) -> int:
        """How many clients are subscribed now, on all workers."""
        with self._shared.lock:
            return sum(branch.count for branch in self._shared.branches.values())

    @property
    def published(self) -> int:
        """How many events were published."""
        return self._published

    @property
    def dropped(self) -> int:
        """How many subscribers were dropped because they did not read."""
        return self._shared.dropped

    def _find_missed(self, request: Request) -> bytes:
        """What a client that comes back has missed, under the lock."""
        seen_last = last_event_id(request)
        return b"" if self._replay is None or seen_last is None else self._replay.since(seen_last)

    def _find_branch(self, worker: Worker) -> Branch:
        """The branch of this thread's worker, under the lock: from now on it gets what is published."""
        branch = self._shared.branches.get(worker)
        if branch is None:
            branch = self._shared.branches[worker] = Branch(worker, self._shared, self._published)
        return branch


def _add_fields(headers: _Fields) -> list[tuple[_Text, _Text]]:
    """The fields of an event stream: ours, where they are not given, and those given."""
    given: list[tuple[_Text, _Text]] = list(headers.items() if isinstance(headers, Mapping) else headers)
    names = {name.encode().lower() if isinstance(name, str) else name.lower() for name, _ in given}
    return [(name, value) for name, value in _FIELDS if str(name).lower().encode() not in names] + given


def _check_whole(name: str, value: object, least: int, what: str) -> None:
    """Refuse what is not a whole number of `least` or more."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{name}={value!r}: give {what}, a whole number of {least} or more")
