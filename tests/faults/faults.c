/* Makes system calls of the engine fail or fall short at random. Preloaded into the tests by run.py; never shipped.
 *
 * Only calls from the package's compiled modules are touched: the return address tells, so the tests' own sockets in
 * the same process, and other servers that they start, see the kernel as it is. A fault is one that a kernel may make:
 *
 * - EINTR: POSIX lets any of these calls be interrupted before it has done anything.
 * - EAGAIN, and fewer bytes than were there or than were given: the kernel does so only where an edge announces that
 *   there is more, and connections are edge-triggered. So the shim gives it one: EPOLL_CTL_MOD with the events that the
 *   engine asked for last, looks anew, and epoll_wait(2) reports again what is still ready. A descriptor that is in no
 *   epoll set gets no such fault.
 * - Once the peer has shut its side, a receive that falls short is the last but one: epoll(7) lets it be taken so. From
 *   then on receives are left alone.
 * - Two receives in a row on one descriptor never fall short or find nothing: a client's barrier (vanilla.testing)
 *   proves that a piece has arrived because events are first in, first out, and one edge more mostly keeps that order.
 * - sendfile(2) may take less for no reason, edge or not.
 * - accept(2) fails for want of descriptors or memory, and hands on what befell a connection while it waited. The
 *   connection stays in the backlog, as the next in line would.
 * - epoll_wait(2) may report fewer events than there are; the others are reported next.
 *
 * Left alone: the wake-up (a non-blocking eventfd is never interrupted), a look at what has arrived (MSG_PEEK is only
 * interrupted), and what ends a connection at once (ENOBUFS and ENOMEM from send, ENOMEM and ENOSPC from epoll_ctl).
 *
 * From the environment: FAULTS_ENGINE, the package's folder; FAULTS_COUNTS, a file of at least 8 bytes for each kind,
 * shared by all processes of a run, for how many of each were injected; FAULTS_SEED; FAULTS_RATES, other rates than
 * those below: "recv_short=500,accept_emfile=0", per thousand calls.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

enum call { RECV, SEND, SENDFILE, ACCEPT, WAIT, CALLS };

#define SHORT 0

static struct kind {
    const char *name;
    enum call call;
    int error;      /* or SHORT: the call succeeds, with less */
    unsigned usual; /* per thousand calls */
    unsigned rate;  /* the same, for the present test */
} kinds[] = {
    {"recv_eintr", RECV, EINTR, 20, 0},
    {"recv_eagain", RECV, EAGAIN, 50, 0},
    {"recv_short", RECV, SHORT, 200, 0},
    {"send_eintr", SEND, EINTR, 20, 0},
    {"send_eagain", SEND, EAGAIN, 40, 0},
    {"send_short", SEND, SHORT, 100, 0},
    {"sendfile_eintr", SENDFILE, EINTR, 20, 0},
    {"sendfile_eagain", SENDFILE, EAGAIN, 40, 0},
    {"sendfile_short", SENDFILE, SHORT, 200, 0},
    {"accept_eintr", ACCEPT, EINTR, 20, 0},
    {"accept_econnaborted", ACCEPT, ECONNABORTED, 20, 0},
    {"accept_eproto", ACCEPT, EPROTO, 20, 0},
    {"accept_emfile", ACCEPT, EMFILE, 2, 0}, /* each of these four stops a listener for 100 ms */
    {"accept_enfile", ACCEPT, ENFILE, 2, 0},
    {"accept_enobufs", ACCEPT, ENOBUFS, 2, 0},
    {"accept_enomem", ACCEPT, ENOMEM, 2, 0},
    {"epoll_wait_eintr", WAIT, EINTR, 20, 0},
    {"epoll_wait_short", WAIT, SHORT, 200, 0},
};
enum { KINDS = sizeof kinds / sizeof *kinds, DESCRIPTORS = 65536, ADDRESSES = 256 };

/* What the engine asked epoll(7) for last. A descriptor belongs to one worker at a time, which is the one that uses
 * its entry; one that was closed leaves its entry behind, and EPOLL_CTL_MOD finds nothing then. */
static struct {
    int epoll_fd;
    struct epoll_event event;
    bool is_known;
    bool had_fault; /* the last receive */
} watched[DESCRIPTORS];

static const char *engine;
static uint64_t seed;
static uint64_t drawn[CALLS];
static uint64_t *counts;
static bool is_counting = true; /* what a test asked for itself is not: it would hide what chance never injects */
static uintptr_t addresses[ADDRESSES]; /* return addresses seen: twice the address, plus one where it is the engine's */

static ssize_t (*real_recv)(int, void *, size_t, int);
static ssize_t (*real_send)(int, const void *, size_t, int);
static ssize_t (*real_sendfile)(int, int, off64_t *, size_t);
static int (*real_accept4)(int, struct sockaddr *, socklen_t *, int);
static int (*real_epoll_ctl)(int, int, int, struct epoll_event *);
static int (*real_epoll_wait)(int, struct epoll_event *, int, int);

/* For Python: the name of a kind, NULL behind the last. */
const char *faults_name(int kind) { return kind < KINDS ? kinds[kind].name : NULL; }

/* For Python: from here on choose as `from` says, at the usual rates, whatever was before. */
void faults_begin(uint64_t from) {
    for (int call = 0; call < CALLS; call++)
        __atomic_store_n(&drawn[call], 0, __ATOMIC_RELAXED);
    for (int kind = 0; kind < KINDS; kind++)
        __atomic_store_n(&kinds[kind].rate, kinds[kind].usual, __ATOMIC_RELAXED);
    __atomic_store_n(&seed, from, __ATOMIC_RELAXED);
    __atomic_store_n(&is_counting, true, __ATOMIC_RELAXED);
}

static int find_kind(const char *name) {
    for (int kind = 0; kind < KINDS; kind++)
        if (strcmp(kinds[kind].name, name) == 0)
            return kind;
    return -1;
}

/* For Python: another rate for one kind until the next faults_begin; false if there is no such kind. */
bool faults_set_rate(const char *name, unsigned rate) {
    int kind = find_kind(name);
    if (kind < 0)
        return false;
    __atomic_store_n(&kinds[kind].rate, rate, __ATOMIC_RELAXED);
    __atomic_store_n(&is_counting, false, __ATOMIC_RELAXED);
    return true;
}

static void *find(const char *name) {
    void *function = dlsym(RTLD_NEXT, name);
    if (function == NULL) {
        fprintf(stderr, "faults: no %s to stand before\n", name);
        abort();
    }
    return function;
}

static void set_rates(const char *rates) {
    char name[32];
    unsigned rate;
    int length;
    while (sscanf(rates, "%31[a-z_]=%u%n", name, &rate, &length) == 2) {
        int kind = find_kind(name);
        if (kind < 0)
            break;
        kinds[kind].usual = rate;
        rates += length;
        if (*rates == '\0')
            return;
        rates++;
    }
    fprintf(stderr, "faults: FAULTS_RATES does not end well: %s\n", rates);
    abort();
}

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAULTS_COUNTS");
    int fd;
    real_recv = find("recv");
    real_send = find("send");
    real_sendfile = find("sendfile64");
    real_accept4 = find("accept4");
    real_epoll_ctl = find("epoll_ctl");
    real_epoll_wait = find("epoll_wait");
    if (path == NULL || getenv("FAULTS_ENGINE") == NULL)
        return; /* loaded for its names only */
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 && errno == EACCES)
        return; /* another user's process, which is no server of ours */
    counts = mmap(NULL, KINDS * sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd < 0 || counts == MAP_FAILED) {
        fprintf(stderr, "faults: cannot map FAULTS_COUNTS: %s\n", path);
        abort();
    }
    close(fd);
    if (getenv("FAULTS_SEED"))
        seed = strtoull(getenv("FAULTS_SEED"), NULL, 10);
    if (getenv("FAULTS_RATES") && *getenv("FAULTS_RATES"))
        set_rates(getenv("FAULTS_RATES"));
    faults_begin(seed);
    engine = strdup(getenv("FAULTS_ENGINE"));
}

/* Whether the code behind a return address is the engine's. dladdr(3) searches long, so what it found is kept. */
static bool is_engine(void *address) {
    uintptr_t key = (uintptr_t)address;
    uintptr_t *kept = &addresses[(key ^ key >> 8) % ADDRESSES];
    uintptr_t known = __atomic_load_n(kept, __ATOMIC_RELAXED);
    Dl_info info;
    if (engine == NULL)
        return false;
    if (known >> 1 == key)
        return known & 1;
    known = dladdr(address, &info) && strncmp(info.dli_fname, engine, strlen(engine)) == 0;
    __atomic_store_n(kept, key << 1 | known, __ATOMIC_RELAXED);
    return known;
}

/* The next random number for one function: the same seed gives each function the same numbers in the same order. */
static uint64_t draw(enum call call) {
    uint64_t count = __atomic_fetch_add(&drawn[call], 1, __ATOMIC_RELAXED);
    uint64_t bits = __atomic_load_n(&seed, __ATOMIC_RELAXED) * CALLS + call + 1;
    bits = bits * 0xd1342543de82ef95 + count * 0x9e3779b97f4a7c15; /* splitmix64, which mixes what it counts */
    bits = (bits ^ bits >> 30) * 0xbf58476d1ce4e5b9;
    bits = (bits ^ bits >> 27) * 0x94d049bb133111eb;
    return bits ^ bits >> 31;
}

/* Which fault a call is to have, if any; the rest of the random number is left for how much. */
static struct kind *choose(enum call call, uint64_t *chance) {
    uint64_t at;
    unsigned rate;
    *chance = draw(call);
    at = *chance % 1000;
    *chance /= 1000;
    for (struct kind *kind = kinds; kind < kinds + KINDS; kind++) {
        if (kind->call != call)
            continue;
        rate = __atomic_load_n(&kind->rate, __ATOMIC_RELAXED);
        if (at < rate)
            return kind;
        at -= rate;
    }
    return NULL;
}

static void count(struct kind *kind) {
    if (__atomic_load_n(&is_counting, __ATOMIC_RELAXED))
        __atomic_fetch_add(&counts[kind - kinds], 1, __ATOMIC_RELAXED);
}

static int fail(struct kind *kind) {
    count(kind);
    errno = kind->error;
    return -1;
}

/* Have an edge follow for whatever is ready by the next wait; false where the descriptor is in no epoll set. */
static bool rearm(int fd) {
    struct epoll_event event;
    if (fd >= DESCRIPTORS || !watched[fd].is_known)
        return false;
    event = watched[fd].event;
    return real_epoll_ctl(watched[fd].epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0;
}

/* Whether a receive on `fd` may be put off: there is data and no end yet, and the last one was not put off either. */
static bool may_put_off(int fd, int flags) {
    struct pollfd state = {.fd = fd, .events = POLLIN | POLLRDHUP};
    if (flags & MSG_PEEK || fd >= DESCRIPTORS || watched[fd].had_fault)
        return false;
    return poll(&state, 1, 0) == 1 && state.revents == POLLIN;
}

ssize_t recv(int fd, void *target, size_t size, int flags) {
    uint64_t chance;
    struct kind *kind;
    int available;
    size_t whole;
    if (!is_engine(__builtin_return_address(0)))
        return real_recv(fd, target, size, flags);
    kind = choose(RECV, &chance);
    if (kind && kind->error == EINTR)
        return fail(kind);
    if (kind && may_put_off(fd, flags) && ioctl(fd, FIONREAD, &available) == 0) {
        whole = size < (size_t)available ? size : (size_t)available;
        if ((kind->error == EAGAIN || whole > 1) && rearm(fd)) {
            watched[fd].had_fault = true;
            if (kind->error == EAGAIN)
                return fail(kind);
            count(kind);
            return real_recv(fd, target, 1 + chance % (whole - 1), flags);
        }
    }
    if (fd < DESCRIPTORS)
        watched[fd].had_fault = false;
    return real_recv(fd, target, size, flags);
}

ssize_t send(int fd, const void *source, size_t length, int flags) {
    uint64_t chance;
    struct kind *kind;
    if (!is_engine(__builtin_return_address(0)))
        return real_send(fd, source, length, flags);
    kind = choose(SEND, &chance);
    if (kind && kind->error == EINTR)
        return fail(kind);
    if (kind && kind->error == EAGAIN && rearm(fd))
        return fail(kind);
    if (kind && kind->error == SHORT && length > 1 && rearm(fd)) {
        count(kind);
        length = 1 + chance % (length - 1);
    }
    return real_send(fd, source, length, flags);
}

ssize_t sendfile64(int fd, int file_fd, off64_t *offset, size_t length) {
    uint64_t chance;
    struct kind *kind;
    if (!is_engine(__builtin_return_address(0)))
        return real_sendfile(fd, file_fd, offset, length);
    kind = choose(SENDFILE, &chance);
    if (kind && kind->error == EINTR)
        return fail(kind);
    if (kind && kind->error == EAGAIN && rearm(fd))
        return fail(kind);
    if (kind && kind->error == SHORT && length > 1) {
        count(kind);
        length = 1 + chance % (length - 1);
    }
    return real_sendfile(fd, file_fd, offset, length);
}

int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags) {
    uint64_t chance;
    struct kind *kind;
    if (!is_engine(__builtin_return_address(0)))
        return real_accept4(fd, address, length, flags);
    kind = choose(ACCEPT, &chance);
    return kind ? fail(kind) : real_accept4(fd, address, length, flags);
}

int epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event) {
    struct epoll_event asked = {0};
    int result;
    if (event != NULL)
        asked = *event;
    result = real_epoll_ctl(epoll_fd, operation, fd, event);
    if (result == 0 && 0 <= fd && fd < DESCRIPTORS && is_engine(__builtin_return_address(0))) {
        watched[fd].epoll_fd = epoll_fd;
        watched[fd].event = asked;
        watched[fd].is_known = operation != EPOLL_CTL_DEL;
        if (operation == EPOLL_CTL_ADD)
            watched[fd].had_fault = false;
    }
    return result;
}

int epoll_wait(int epoll_fd, struct epoll_event *events, int size, int timeout_ms) {
    uint64_t chance;
    struct kind *kind;
    int result;
    if (!is_engine(__builtin_return_address(0)))
        return real_epoll_wait(epoll_fd, events, size, timeout_ms);
    kind = choose(WAIT, &chance);
    if (kind && kind->error == EINTR)
        return fail(kind);
    if (kind && size > 2)
        size = 1 + chance % 2;
    result = real_epoll_wait(epoll_fd, events, size, timeout_ms);
    if (kind && result == size)
        count(kind);
    return result;
}
