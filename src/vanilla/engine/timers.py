"""All deadlines of a worker in one hierarchical wheel: adding, moving and removing one is O(1), whatever their number.

# Facts about the wheel
Six levels of 64 slots; a slot of level n spans 64**n milliseconds. A node stands at the level of the highest bit group
in which its due time differs from now, so it moves down a level each time its slot is reached, at most five times. One
64-bit word a level says which slots are occupied: the next deadline is one count of trailing zeros away.
"""

from __future__ import annotations

import cython

LEVELS, SLOT_BITS, SLOTS = 6, 6, 64
NEVER = -1
_NEVER = NEVER
AHEAD_MS = 2**35  # about a year: a later deadline is looked at again then, half a turn of the top level ahead


@cython.final
@cython.cclass
class TimerWheel:
    """Nodes by due time. It owns none: they live in what they are embedded in, and are removed before that goes."""

    def __cinit__(self) -> None:
        level: cython.int
        slot: cython.int
        self.now_ms = 0
        self.due = cython.NULL
        for level in range(LEVELS):
            self.occupied[level] = 0
            for slot in range(SLOTS):
                self.slots[level][slot] = cython.NULL

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def add(self, node: cython.pointer[TimerNode], due_ms: cython.longlong) -> cython.void:
        """Have `node`, which is in no wheel, come due at `due_ms`; in the past means at the next advance."""
        level: cython.int
        slot: cython.int
        head: cython.pointer[cython.pointer[TimerNode]]
        at_ms: cython.longlong = min(max(due_ms, self.now_ms + 1), self.now_ms + AHEAD_MS)
        differing: cython.ulonglong = cython.cast(cython.ulonglong, (at_ms ^ self.now_ms) | (SLOTS - 1))
        node.due_ms = due_ms
        level = min((63 - leading_zeros(differing)) // SLOT_BITS, LEVELS - 1)
        slot = cython.cast(cython.int, (at_ms >> (level * SLOT_BITS)) & (SLOTS - 1))
        self.occupied[level] |= cython.cast(uint64_t, 1) << slot
        head = cython.address(self.slots[level][slot])
        node.next = head[0]
        node.link = head
        if node.next is not cython.NULL:
            node.next.link = cython.address(node.next)
        head[0] = node

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def remove(self, node: cython.pointer[TimerNode]) -> cython.void:
        """Forget `node`, if it is in the wheel. An emptied slot stays marked until it is reached: that does no harm."""
        if node.link is cython.NULL:
            return
        node.link[0] = node.next
        if node.next is not cython.NULL:
            node.next.link = node.link
        node.link = cython.NULL

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def find_expiring(self, level: cython.p_int, slot: cython.p_int) -> cython.longlong:
        """When the first occupied slot begins, and which one it is; NEVER if there is none."""
        shift: cython.int
        current: cython.int
        ahead: cython.int
        word: uint64_t
        base: cython.longlong
        begins_ms: cython.longlong
        for level[0] in range(LEVELS):
            word = self.occupied[level[0]]
            if word == 0:
                continue
            shift = level[0] * SLOT_BITS
            current = cython.cast(cython.int, (self.now_ms >> shift) & (SLOTS - 1))
            if current > 0:
                word = (word >> current) | (word << (SLOTS - current))
            ahead = trailing_zeros(word)
            slot[0] = (current + ahead) & (SLOTS - 1)
            base = (self.now_ms >> (shift + SLOT_BITS)) << (shift + SLOT_BITS)
            begins_ms = base + (cython.cast(cython.longlong, slot[0]) << shift)
            if begins_ms <= self.now_ms and ahead > 0:
                begins_ms += cython.cast(cython.longlong, 1) << (shift + SLOT_BITS)
            return begins_ms
        return _NEVER

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def next_ms(self) -> cython.longlong:
        """When to look again: no node is due before. NEVER if the wheel is empty."""
        level: cython.int = 0
        slot: cython.int = 0
        return self.find_expiring(cython.address(level), cython.address(slot))

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def advance(self, now_ms: cython.longlong) -> cython.void:
        """Let time pass until `now_ms`: what came due waits for take_due, what did not moves a level down."""
        level: cython.int = 0
        slot: cython.int = 0
        begins_ms: cython.longlong
        node: cython.pointer[TimerNode]
        following: cython.pointer[TimerNode]
        while True:
            begins_ms = self.find_expiring(cython.address(level), cython.address(slot))
            if begins_ms == _NEVER or begins_ms > now_ms:
                break
            self.now_ms = max(self.now_ms, begins_ms)
            self.occupied[level] &= ~(cython.cast(uint64_t, 1) << slot)
            node = self.slots[level][slot]
            self.slots[level][slot] = cython.NULL
            while node is not cython.NULL:
                following = node.next
                node.link = cython.NULL
                if node.due_ms > self.now_ms:
                    self.add(node, node.due_ms)
                else:
                    node.next = self.due
                    node.link = cython.address(self.due)
                    if self.due is not cython.NULL:
                        self.due.link = cython.address(node.next)
                    self.due = node
                node = following
        self.now_ms = max(self.now_ms, now_ms)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def take_due(self) -> cython.pointer[TimerNode]:
        """One node that came due, now in no wheel; NULL when there are no more."""
        node: cython.pointer[TimerNode] = self.due
        if node is not cython.NULL:
            self.remove(node)
        return node


def run_wheel(start_ms: int, due_ms: list[int], steps_ms: list[int], removed: tuple[int, ...] = ()) -> list[list[int]]:
    """For tests: which of `due_ms`, by index, come due at each step of the clock; those in `removed` are taken out."""
    wheel: TimerWheel = TimerWheel()
    nodes: cython.pointer[TimerNode] = cython.cast(
        cython.pointer[TimerNode], calloc(max(len(due_ms), 1), cython.sizeof(TimerNode))
    )
    node: cython.pointer[TimerNode]
    wheel.now_ms = start_ms
    result: list = []
    try:
        for index, due in enumerate(due_ms):
            wheel.add(cython.address(nodes[index]), due)
        for index in removed:
            wheel.remove(cython.address(nodes[index]))
        for step in steps_ms:
            wheel.advance(step)
            came_due: list = []
            while True:
                node = wheel.take_due()
                if node is cython.NULL:
                    break
                came_due.append(cython.cast(cython.Py_ssize_t, node - nodes))
            result.append(sorted(came_due))
    finally:
        free(nodes)
    return result
