"""What `static_files` keeps open in one worker, and the 200s that take nothing but that; for all else it asks itself.

A hit looks a path up, copies the lines of its head and hands the file to the response. A worker's own thread alone
looks into its shelf, without a lock; files are dropped in the order of their last use.
"""

from __future__ import annotations

import threading

import cython

from vanilla.toolkit.fields import combined
from vanilla.toolkit.negotiation import choose_encoding

CHOICES_MAX = 64  # values of Accept-Encoding that are remembered for a path
SIBLINGS_KNOWN_MAX = 2048  # paths of which a worker remembers the siblings

_SPECIAL = frozenset((b"date", b"connection"))


@cython.final
@cython.cclass
class Kept:
    """A file that is open, and all that is said of it. Times are seconds by the clock that the handler gives."""

    def __cinit__(self) -> None:
        self.used.owner = cython.cast(cython.p_void, self)

    def __init__(
        self,
        file: OpenFile,
        names: list[str],
        status: object,
        checked: float,
        etag: bytes,
        media_type: bytes,
        fields: list[tuple[bytes, bytes]],
    ) -> None:
        self.file = file
        self.names = names
        self.status = status
        self.checked = checked
        self.etag = etag
        self.media_type = media_type
        self.fields = fields
        self.whole = [(b"Content-Type", media_type), *fields]

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def make_lines(self) -> cython.int:
        """Have a response write the head of a 200 once, and keep what is around its Date."""
        response: Response = Response()
        end: cython.Py_ssize_t
        self.is_made = True
        for name, _ in self.whole:
            if name.lower() in _SPECIAL:
                return 0
        response.start(200, self.whole, length=self.file.size)
        self.behind = b"Content-Length: %d\r\n\r\n" % self.file.size
        end = len(response) - len(self.behind) - DATE_BYTES
        self.before = bytes(response)[:end]
        return 0


@cython.final
@cython.cclass
class Siblings:
    """The precompressed files that stand beside a file, the best coding first."""

    def __init__(self, looked: float, codings: tuple[str, ...]) -> None:
        self.looked = looked
        self.codings = codings
        self.chosen = {}

    def choose(self, request: Request) -> str | None:
        """The coding to send to who asks; None for the file as it is."""
        return self.choose_for(request)

    @cython.cfunc
    def choose_for(self, request: Request) -> object:
        """`choose`; what clients like is remembered."""
        accepted: object
        coding: object
        if not self.codings:
            return None
        accepted = combined(request, b"accept-encoding")
        coding = self.chosen.get(accepted, self)
        if coding is self:
            coding = choose_encoding(accepted, self.codings)
            if len(self.chosen) < CHOICES_MAX:
                self.chosen[accepted] = coding
        return coding


@cython.final
@cython.cclass
class Shelf:
    """What one worker keeps open: found by path, and in the order of its last use."""

    def __cinit__(self) -> None:
        self.order.newest = self.order.oldest = cython.NULL
        self.kept = {}
        self.siblings = {}

    def __len__(self) -> int:
        return len(self.kept)

    def find(self, path: bytes, coding: str | None) -> Kept | None:
        """What is kept of a path in a coding, used last now."""
        kept: Kept = self.kept.get(key_of(path, coding))
        if kept is not None:
            note_use(cython.address(self.order), cython.address(kept.used))
        return kept

    def add(self, path: bytes, coding: str | None, kept: Kept) -> None:
        """Keep it, as what was used last, in the place of what there was."""
        self.take(path, coding)
        kept.key = key_of(path, coding)
        self.kept[kept.key] = kept
        link(cython.address(self.order), cython.address(kept.used))

    def take(self, path: bytes, coding: str | None) -> Kept | None:
        """Keep it no more; its file stays open."""
        kept: Kept = self.kept.pop(key_of(path, coding), None)
        if kept is not None:
            unlink(cython.address(self.order), cython.address(kept.used))
        return kept

    def drop_oldest(self) -> None:
        """Close what was used longest ago."""
        kept: Kept
        if self.order.oldest is not cython.NULL:
            kept = cython.cast(Kept, self.order.oldest.owner)  # a reference of its own: what is taken is freed
            del self.kept[kept.key]
            unlink(cython.address(self.order), cython.address(kept.used))
            kept.file.close()

    def find_siblings(self, path: bytes) -> Siblings | None:
        """What is known of a path's siblings."""
        return self.siblings.get(path)

    def add_siblings(self, path: bytes, siblings: Siblings) -> None:
        """Know that from now on."""
        if len(self.siblings) >= SIBLINGS_KNOWN_MAX:
            self.siblings.clear()
        self.siblings[path] = siblings


@cython.cclass
class KeptFiles(CompiledHandler):
    """A handler that answers from what it keeps. A subclass has `answer_slowly`, which answers all else, and keeps."""

    def keep_for(self, revalidate: float, has_siblings: bool) -> None:
        """Trust what was looked at within `revalidate` seconds; choose among siblings, or not."""
        self.revalidate = revalidate
        self.has_siblings = has_siblings
        self.local = threading.local()

    @cython.cfunc
    def answer(self, request: Request, response: Response, worker: object) -> object:
        """Look the path up, and append the lines that were made for it, and the file."""
        shelf: Shelf = self.reach(worker)
        now: cython.double = read_monotonic_ns() * 1e-9
        path: bytes
        key: object
        siblings: Siblings
        kept: Kept = None
        if (request.framed.is_head or request.is_get()) and not has_condition(request):
            key = path = request.read_path()
            if self.has_siblings:
                siblings = shelf.siblings.get(path)
                if siblings is None or now - siblings.looked >= self.revalidate:
                    key = None
                elif siblings.codings:
                    key = key_of(path, siblings.choose_for(request))
            if key is not None:
                kept = shelf.kept.get(key)
        if kept is None or now - kept.checked >= self.revalidate:
            return self.answer_slowly(request, response, worker, shelf, now)
        if not kept.is_made:
            kept.make_lines()
        if kept.before is None:
            return self.answer_slowly(request, response, worker, shelf, now)
        note_use(cython.address(shelf.order), cython.address(kept.used))
        response.append_file_answer(kept.before, kept.behind, kept.file)
        return None

    def answer_slowly(self, request: object, response: object, worker: object, shelf: Shelf, now: float) -> object:
        """Answer what is not kept, or asks for more than the whole of it. `now`: seconds, by the clock of `Kept`."""
        raise NotImplementedError

    @cython.cfunc
    def reach(self, worker: object) -> Shelf:
        """What the worker keeps; called by hand, what the thread does."""
        owner: Worker
        shelf: Shelf
        if type(worker) is not Worker:
            shelf = getattr(self.local, "shelf", None)
            if shelf is None:
                shelf = self.local.shelf = Shelf()
            return shelf
        owner = worker
        shelf = owner.find_kept(self)
        if shelf is None:
            shelf = Shelf()
            owner.keep(self, shelf)
        return shelf


@cython.cfunc
def key_of(path: bytes, coding: object) -> object:
    """What a file is found by."""
    return path if coding is None else (path, coding)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def has_condition(request: Request) -> cython.bint:
    """Whether there is a field that asks for something else than the whole file: Range, or one that begins with If-."""
    data: cython.p_const_uchar = request.framed.slab.bytes
    at: cython.Py_ssize_t = request.framed.fields_start
    end: cython.Py_ssize_t = request.framed.fields_end
    first: cython.int
    while at < end:
        first = data[at] | 32
        if first == 105:  # i
            if data[at + 1] | 32 == 102 and data[at + 2] == 45:  # f-
                return True
        elif first == 114 and at + 5 < end and data[at + 5] == COLON and equals(data, at, at + 5, b"range", 5):  # r
            return True
        at = find_line_end(data, at, end) + 2
    return False
