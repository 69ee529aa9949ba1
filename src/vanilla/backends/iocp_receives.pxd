from vanilla.backends.acceptex cimport AcceptsAhead
from vanilla.backends.completions cimport Operation, Polling, Sending
from vanilla.backends.interface cimport Channel, Completion
from vanilla.backends.listing cimport ChannelList
from vanilla.net.windows cimport DWORD, HANDLE, WSABUF

# What is known of a channel besides what the engine sees of it.
ctypedef struct Port:
    Operation *receiving     # of no byte: it tells that there is something to receive
    Polling *hangup          # for a reset, while nothing is received; NULL until that was needed
    Sending *sending         # what the kernel has not taken yet; NULL
    long long taken          # bytes that it has taken of what was sent
    int error                # that broke the connection
    int send_error           # that a send has failed with
    bint has_input           # it may have something to receive: bytes, or the end
    bint has_told_end
    bint has_file_ended      # where the last range of a file was to be sent from
    bint is_listed           # to be looked at when the next wait begins

cdef class IocpReceives(AcceptsAhead):
    cdef Port *ports             # of channels, by their index
    cdef unsigned int port_size
    cdef ChannelList listed      # to be looked at when the next wait begins

    cdef void give_up_channels(self) noexcept nogil
    cdef void look_later(self, Channel *channel) noexcept nogil
    cdef void look_at_listed(self) noexcept nogil
    cdef void arm(self, Channel *channel, Port *port) noexcept nogil
    cdef void watch_hangup(self, Channel *channel, Port *port) noexcept nogil
    cdef void take_input(self, Operation *operation) noexcept nogil
    cdef void take_hangup(self, Polling *polling) noexcept nogil
    cdef void fail(self, Channel *channel, Port *port, int error) noexcept nogil
    cdef void receive(self, Channel *channel, Port *port) noexcept nogil
