from vanilla.backends.interface cimport Channel

cdef int ROOM_FIRST

# Each is a field of whoever lists something, blank at first, whose memory it frees.
ctypedef struct Listed:
    Channel *channel
    unsigned int generation

ctypedef struct ChannelList:
    Listed *entries
    int count
    int size

ctypedef struct SlotList:
    unsigned int *slots
    int count
    int size

cdef void list_channel(ChannelList *listed, Channel *channel) noexcept nogil
cdef Channel *listed_at(ChannelList *listed, int index) noexcept nogil
cdef void drop_first(ChannelList *listed, int count) noexcept nogil
cdef void list_slot(SlotList *listed, unsigned int slot) noexcept nogil
cdef void *make_table(void *items, unsigned int *size, unsigned int index, int first, size_t item_bytes) noexcept nogil
