"""What a client that comes back is sent."""

from __future__ import annotations

import pytest

from vanilla.sse.replay import Replay


def filled(size: int, *ids: bytes | None) -> tuple[Replay, list[bytes]]:
    """A replay with the events 1, 2, ... of these ids, and the ids that they have."""
    replay = Replay(size)
    return replay, [replay.add(b"data: %d\n\n" % number, id)[0] for number, id in enumerate(ids, 1)]


def numbers(stream: bytes) -> list[int]:
    return [int(line[6:]) for line in stream.split(b"\n") if line.startswith(b"data: ")]


def test_an_event_without_an_id_gets_one_that_no_other_has() -> None:
    replay = Replay(2)
    id, encoded = replay.add(b"data: a\n\n", None)
    assert encoded == b"id: %b\ndata: a\n\n" % id
    others = [*(replay.add(b"data: a\n\n", None)[0] for _ in range(9)), Replay(2).add(b"data: a\n\n", None)[0]]
    assert len({id, *others}) == 11


def test_an_event_with_an_id_keeps_it() -> None:
    assert Replay(2).add(b"id: 7\ndata: a\n\n", b"7") == (b"7", b"id: 7\ndata: a\n\n")


@pytest.mark.parametrize("kind", ["given", "got"])
@pytest.mark.parametrize("size", range(1, 7))
@pytest.mark.parametrize("seen", range(1, 6))
def test_what_came_after_the_id_is_replayed_as_far_as_it_is_kept(kind: str, size: int, seen: int) -> None:
    replay, ids = filled(size, *[b"abcde"[n : n + 1] if kind == "given" else None for n in range(5)])
    assert numbers(replay.since(ids[seen - 1])) == list(range(max(seen, 5 - size) + 1, 6))


@pytest.mark.parametrize("size", range(1, 7))
def test_an_unknown_id_is_replayed_all_that_is_kept(size: int) -> None:
    replay, _ = filled(size, *[None] * 5)
    _, foreign = filled(size, *[None] * 5)
    for id in (b"x", foreign[3]):
        assert numbers(replay.since(id)) == list(range(max(0, 5 - size) + 1, 6))


def test_nothing_kept_is_nothing_replayed() -> None:
    assert Replay(3).since(b"x") == b""


def test_of_two_events_with_one_id_the_later_counts() -> None:
    replay, _ = filled(3, b"a", b"b", b"a", b"c")
    assert numbers(replay.since(b"a")) == [4]
    replay.add(b"data: 5\n\n", b"d")  # a client may have seen the earlier of the two, but it is not kept any more
    assert numbers(replay.since(b"a")) == [4, 5]


def test_an_id_is_known_without_the_space_around_it() -> None:
    replay, _ = filled(3, b"a", b"\t b ", b"c")
    assert numbers(replay.since(b"b")) == [3]


def test_ids_that_are_not_kept_take_no_memory() -> None:
    replay, _ = filled(3, *[b"%d" % number for number in range(1000)], *[b"same"] * 1000)
    assert len(replay._numbers) == 1
    assert len(replay._kept) == 3
