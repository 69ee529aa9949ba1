/* epoll.c's twin over io_uring(7): the same bytes, the same counting of blank lines, and one system call for each turn
 * of its loop. It is what vanilla's io_uring mechanism is a ratio of.
 *
 *     uring PORT          answer on 127.0.0.1:PORT, keeping every connection
 *     uring PORT close    close each connection after its answer, for the profile of short connections
 *
 * Facts about io_uring that shape it (Linux 6.12 has all of it; no library, since installed headers may be older):
 * - DEFER_TASKRUN: what completes does so inside the wait, on this thread, many at a time.
 * - A multishot accept and one multishot receive for each connection are submitted once. Received bytes stand in buffers
 *   that connections share (IOU_PBUF_RING_INC); one that is used up is offered again after the turn.
 * - A send that does not wait (MSG_DONTWAIT) is over when it was submitted; one that was taken whole has no completion. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define RESPONSE \
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\nConnection: keep-alive\r\n\r\nHello, World!"
#define BLANK_LINE "\r\n\r\n"

enum {
    SYS_SETUP = 425,
    SYS_ENTER = 426,
    SYS_REGISTER = 427,
    RING_FLAGS = 1 << 3 | 1 << 7 | 1 << 8 | 1 << 12 | 1 << 13, /* CQSIZE SUBMIT_ALL COOP_TASKRUN SINGLE_ISSUER DEFER_TASKRUN */
    GETEVENTS = 1,
    OFFSET_SUBMISSIONS = 0x10000000,
    REGISTER_PBUF_RING = 22,
    INCREMENTAL = 2,
    OP_POLL_ADD = 6,
    OP_ACCEPT = 13,
    OP_ASYNC_CANCEL = 14,
    OP_CLOSE = 19,
    OP_SEND = 26,
    OP_RECV = 27,
    BUFFER_SELECT = 1 << 5,
    SKIP_SUCCESS = 1 << 6,
    ACCEPT_MULTISHOT = 1,
    RECV_MULTISHOT = 2,
    HAS_BUFFER = 1,
    HAS_MORE = 2,
    BUFFER_HAS_MORE = 16,
    POLL_OUT = 4,
};

enum {
    SUBMISSIONS = 1024,
    COMPLETIONS = 8192,
    BUFFERS = 16,
    BUFFER_BYTES = 64 * 1024,
    FD_MAX = 1 << 20,
    BACKLOG = 4096,
    CARRIED_MAX = 3,
    REQUEST_BYTES_MIN = 4,
    RESPONSE_BYTES = sizeof RESPONSE - 1,
    BATCH_MAX = (BUFFER_BYTES + CARRIED_MAX) / REQUEST_BYTES_MIN,
};

enum kind { NOTHING, ACCEPTED, RECEIVED, SENT, WRITABLE };

struct submission {
    uint8_t opcode, flags;
    uint16_t priority;
    int32_t fd;
    uint64_t offset, address;
    uint32_t length, operation_flags;
    uint64_t user_data;
    uint16_t group, personality;
    int32_t file_index;
    uint64_t rest[2];
};

struct completion {
    uint64_t user_data;
    int32_t result;
    uint32_t flags;
};

struct offered {
    uint64_t address;
    uint32_t length;
    uint16_t id, tail;
};

struct parameters {
    uint32_t submissions, completions, flags, cpu, idle, features, workers, reserved[3];
    struct { uint32_t head, tail, mask, entries, flags, dropped, array, reserved; uint64_t user; } sq;
    struct { uint32_t head, tail, mask, entries, overflow, first, flags, reserved; uint64_t user; } cq;
};

static char carry[CARRIED_MAX + BUFFER_BYTES];
static char responses[(size_t)BATCH_MAX * RESPONSE_BYTES];
static uint8_t carried[FD_MAX];
static uint64_t unsent[FD_MAX];
static char buffers[BUFFERS][BUFFER_BYTES];
static uint32_t used[BUFFERS];
static struct offered *offers;
static uint16_t offer_tail;
static int ring_fd;
static bool closes;
static uint32_t unsubmitted;
static struct submission *submissions;
static uint32_t *sq_head, *sq_tail, sq_mask;
static struct completion *completions;
static uint32_t *cq_head, *cq_tail, cq_mask;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void enter(uint32_t wanted) {
    long count = syscall(SYS_ENTER, ring_fd, unsubmitted, wanted, GETEVENTS, NULL, 0);
    if (count < 0 && errno != EINTR) fail("io_uring_enter");
    if (count > 0) unsubmitted -= (uint32_t)count;
}

static struct submission *submit(int opcode, int fd, enum kind kind) {
    while (*sq_tail - __atomic_load_n(sq_head, __ATOMIC_ACQUIRE) > sq_mask) enter(0);
    struct submission *entry = &submissions[*sq_tail & sq_mask];
    memset(entry, 0, sizeof *entry);
    entry->opcode = (uint8_t)opcode;
    entry->fd = fd;
    entry->user_data = (uint64_t)fd << 8 | kind;
    __atomic_store_n(sq_tail, *sq_tail + 1, __ATOMIC_RELEASE);
    unsubmitted++;
    return entry;
}

static void submit_accept(int listener) {
    struct submission *entry = submit(OP_ACCEPT, listener, ACCEPTED);
    entry->priority = ACCEPT_MULTISHOT;
    entry->operation_flags = SOCK_NONBLOCK | SOCK_CLOEXEC;
}

static void submit_receive(int fd) {
    struct submission *entry = submit(OP_RECV, fd, RECEIVED);
    entry->priority = RECV_MULTISHOT;
    entry->flags = BUFFER_SELECT;
}

static void submit_close(int fd) {
    struct submission *entry = submit(OP_ASYNC_CANCEL, -1, NOTHING);
    entry->address = (uint64_t)fd << 8 | RECEIVED;
    entry->flags = SKIP_SUCCESS;
    submit(OP_CLOSE, fd, NOTHING)->flags = SKIP_SUCCESS;
}

/* Sends what is owed. Every answer is the same, so that what is unsent begins inside one and ends with one. */
static void submit_send(int fd) {
    size_t offset = (RESPONSE_BYTES - unsent[fd] % RESPONSE_BYTES) % RESPONSE_BYTES;
    size_t length = unsent[fd] < sizeof responses - offset ? unsent[fd] : sizeof responses - offset;
    struct submission *entry = submit(OP_SEND, fd, SENT);
    entry->address = (uintptr_t)(responses + offset);
    entry->length = (uint32_t)length;
    entry->operation_flags = MSG_NOSIGNAL | MSG_DONTWAIT | MSG_WAITALL;
    entry->flags = SKIP_SUCCESS;
    unsent[fd] -= length;
    /* What is not taken is put back when its completion says so. */
    entry->user_data |= (uint64_t)length << 32;
}

static int count_requests(const char *at, const char *end, uint8_t *rest) {
    int count = 0;
    const char *searched = at;
    while (end - at >= 4) {
        char last = at[3];
        if (last == '\n') {
            if (memcmp(at, BLANK_LINE, 4) == 0) {
                count++;
                at += 4;
                searched = at;
            } else {
                at += 2;
            }
        } else {
            at += last == '\r' ? 1 : 4;
        }
    }
    uint8_t length = (uint8_t)(end - searched < CARRIED_MAX ? end - searched : CARRIED_MAX);
    while (length > 0 && memcmp(end - length, BLANK_LINE, length) != 0) length--;
    *rest = length;
    return count;
}

static void offer(uint16_t id) {
    struct offered *entry = &offers[offer_tail++ & (BUFFERS - 1)];
    used[id] = 0;
    entry->address = (uintptr_t)buffers[id];
    entry->length = BUFFER_BYTES;
    entry->id = id;
}

static void serve(int fd, const char *bytes, int length) {
    int count;
    if (carried[fd] > 0) {
        memcpy(carry, BLANK_LINE, carried[fd]);
        memcpy(carry + carried[fd], bytes, (size_t)length);
        count = count_requests(carry, carry + carried[fd] + length, &carried[fd]);
    } else {
        count = count_requests(bytes, bytes + length, &carried[fd]);
    }
    if (count == 0) return;
    bool was_parked = unsent[fd] > 0;
    unsent[fd] += (uint64_t)count * RESPONSE_BYTES;
    if (!was_parked) submit_send(fd);
    if (closes) submit_close(fd);
}

static void take(struct completion *completion, int listener, uint16_t *spent, int *spent_count) {
    int fd = (int)(completion->user_data >> 8 & 0xFFFFFF);
    int result = completion->result;
    switch ((enum kind)(completion->user_data & 0xFF)) {
    case ACCEPTED:
        if (!(completion->flags & HAS_MORE)) submit_accept(listener);
        if (result < 0) return;
        carried[result] = 0;
        unsent[result] = 0;
        submit_receive(result);
        return;
    case RECEIVED:
        if (completion->flags & HAS_BUFFER) {
            uint16_t id = (uint16_t)(completion->flags >> 16);
            const char *bytes = buffers[id] + used[id];
            if (result > 0) used[id] += (uint32_t)result;
            if (!(completion->flags & BUFFER_HAS_MORE)) spent[(*spent_count)++] = id;
            if (result > 0) serve(fd, bytes, result);
        }
        if (completion->flags & HAS_MORE) return;
        if (result > 0 || result == -ENOBUFS) {
            submit_receive(fd);
        } else if (result != -ECANCELED) {
            submit(OP_CLOSE, fd, NOTHING)->flags = SKIP_SUCCESS;
        }
        return;
    case SENT:
        if (result < 0 && result != -EAGAIN) return; /* the receive tells of it, too */
        unsent[fd] += (completion->user_data >> 32) - (uint64_t)(result > 0 ? result : 0);
        submit(OP_POLL_ADD, fd, WRITABLE)->operation_flags = POLL_OUT;
        return;
    case WRITABLE:
        if (unsent[fd] > 0) submit_send(fd);
        return;
    case NOTHING:
        return;
    }
}

static int listen_on(uint16_t port) {
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) fail("socket");
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0) fail("SO_REUSEADDR");
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0) fail("SO_REUSEPORT");
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0) fail("TCP_NODELAY");
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) fail("bind");
    if (listen(fd, BACKLOG) < 0) fail("listen");
    return fd;
}

static void make_ring(void) {
    struct parameters made = {.flags = RING_FLAGS, .completions = COMPLETIONS};
    ring_fd = (int)syscall(SYS_SETUP, SUBMISSIONS, &made);
    if (ring_fd < 0) fail("io_uring_setup");
    size_t completions_end = made.cq.first + made.completions * sizeof(struct completion);
    size_t array_end = made.sq.array + made.submissions * sizeof(uint32_t);
    size_t size = completions_end > array_end ? completions_end : array_end;
    char *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring_fd, 0);
    submissions = mmap(NULL, made.submissions * sizeof(struct submission), PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_POPULATE, ring_fd, OFFSET_SUBMISSIONS);
    if (base == MAP_FAILED || submissions == MAP_FAILED) fail("mmap");
    sq_head = (uint32_t *)(base + made.sq.head);
    sq_tail = (uint32_t *)(base + made.sq.tail);
    sq_mask = made.submissions - 1;
    cq_head = (uint32_t *)(base + made.cq.head);
    cq_tail = (uint32_t *)(base + made.cq.tail);
    cq_mask = made.completions - 1;
    completions = (struct completion *)(base + made.cq.first);
    for (uint32_t i = 0; i < made.submissions; i++) ((uint32_t *)(base + made.sq.array))[i] = i;
    offers = mmap(NULL, BUFFERS * sizeof(struct offered), PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
    struct { uint64_t address; uint32_t count; uint16_t group, flags; uint64_t reserved[3]; } registration = {
        .address = (uintptr_t)offers, .count = BUFFERS, .flags = INCREMENTAL};
    if (syscall(SYS_REGISTER, ring_fd, REGISTER_PBUF_RING, &registration, 1) < 0) fail("io_uring_register");
    for (uint16_t id = 0; id < BUFFERS; id++) offer(id);
    __atomic_store_n(&offers[0].tail, offer_tail, __ATOMIC_RELEASE);
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: %s PORT [close]\n", argv[0]);
        return 2;
    }
    closes = argc > 2 && strcmp(argv[2], "close") == 0;
    for (int i = 0; i < BATCH_MAX; i++) memcpy(responses + (size_t)i * RESPONSE_BYTES, RESPONSE, RESPONSE_BYTES);
    make_ring();
    int listener = listen_on((uint16_t)atoi(argv[1]));
    submit_accept(listener);
    static uint16_t spent[COMPLETIONS];
    for (;;) {
        int spent_count = 0;
        enter(1);
        uint32_t head = *cq_head;
        uint32_t tail = __atomic_load_n(cq_tail, __ATOMIC_ACQUIRE);
        for (; head != tail; head++) take(&completions[head & cq_mask], listener, spent, &spent_count);
        __atomic_store_n(cq_head, head, __ATOMIC_RELEASE);
        for (int i = 0; i < spent_count; i++) offer(spent[i]);
        if (spent_count > 0) __atomic_store_n(&offers[0].tail, offer_tail, __ATOMIC_RELEASE);
    }
}
