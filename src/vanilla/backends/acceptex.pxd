from vanilla.backends.completions cimport Accepting, CompletionPort, Operation, Polling
from vanilla.backends.interface cimport Backend, Completion
from vanilla.net.platform cimport PeerAddress
from vanilla.net.windows cimport (
    DWORD,
    HANDLE,
    LPFN_ACCEPTEX,
    LPFN_GETACCEPTEXSOCKADDRS,
    LPFN_TRANSMITFILE,
    SOCKET,
    WSAPROTOCOL_INFOW,
    sockaddr,
    sockaddr_in,
    sockaddr_in6,
)

cdef int ACCEPTS_BEGUN, ADDRESS_BYTES, GATHER_TURNS, GATHER_TURN_MS

cdef class AcceptsAhead(Backend):
    cdef CompletionPort outcomes
    cdef bint skips_success      # what succeeds at once has no outcome
    cdef LPFN_ACCEPTEX accept_later
    cdef LPFN_GETACCEPTEXSOCKADDRS find_addresses
    cdef LPFN_TRANSMITFILE transmit_file

    cdef int listener_fds[64]
    cdef int families[64]
    cdef bint has_listener_armed[64]
    cdef bint is_associated[64]
    cdef int begun_counts[64]    # of accepts under way
    cdef Accepting *first_accepted[64]
    cdef Accepting *last_accepted[64]
    cdef Polling *listener_polls[64]
    cdef bint has_listener_listed

    cdef int find_functions(self, int fd) noexcept nogil
    cdef void begin_accepts(self) noexcept nogil
    cdef bint begin_accept(self, int number) noexcept nogil
    cdef void report_failure(self, int number, int error) noexcept nogil
    cdef void watch_listener(self, int number) noexcept nogil
    cdef void take_accepted(self, Accepting *accepting, bint is_kept) noexcept nogil
    cdef int finish_accept(self, Accepting *accepting, PeerAddress *peer) noexcept nogil
    cdef void gather_accepted(self, int number) noexcept nogil
    cdef void accept_ready(self, int number) noexcept nogil

cdef bint has_failed(Operation *operation) noexcept nogil
cdef void settle_in(int fd) noexcept nogil
cdef void note_peer(PeerAddress *peer, sockaddr_in6 *address) noexcept nogil
