/* What a large answer costs whom sends it through io_uring(7): by IORING_OP_SEND, and without a copy by SEND_ZC, whose
 * buffer is registered or not. It says the sender's CPU per MiB, of rounds that take turns.
 *
 *     zerocopy BYTES [ADDRESS PORT]    answers of so many bytes, to a reader of its own over loopback, or to one of yours
 *
 * The sender has CPU 0, its own reader CPU 1.
 *
 * Facts about zero copy that shape it (Linux 6.1 has all of it):
 * - The kernel says twice that a send is over: when its bytes are queued, and when nobody reads its buffer any more.
 * - What reaches a socket of this machine is copied all the same, over loopback and veth alike: only a reader behind a
 *   network card that gathers shows the saving. What is seen here is the cost of the second word. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    SYS_SETUP = 425,
    SYS_ENTER = 426,
    SYS_REGISTER = 427,
    RING_FLAGS = 1 << 12 | 1 << 13, /* SINGLE_ISSUER DEFER_TASKRUN */
    GETEVENTS = 1,
    OFFSET_SUBMISSIONS = 0x10000000,
    REGISTER_BUFFERS = 0,
    OP_SEND = 26,
    OP_SEND_ZC = 47,
    FIXED_BUFFER = 1 << 2, /* IORING_RECVSEND_FIXED_BUF */
    HAS_MORE = 2,
    IS_NOTICE = 8,
    ENTRIES = 64,
    BUFFERS = 8,
    ROUNDS = 5,
    ROUND_MIB = 2048,
    MIB = 1 << 20,
};

enum mode { COPYING, ZERO_COPY, REGISTERED, MODES };

struct submission {
    uint8_t opcode, flags;
    uint16_t priority;
    int32_t fd;
    uint64_t offset, address;
    uint32_t length, operation_flags;
    uint64_t user_data;
    uint16_t buffer, personality;
    int32_t file_index;
    uint64_t rest[2];
};

struct completion {
    uint64_t user_data;
    int32_t result;
    uint32_t flags;
};

struct parameters {
    uint32_t submissions, completions, flags, cpu, idle, features, workers, reserved[3];
    struct { uint32_t head, tail, mask, entries, flags, dropped, array, reserved; uint64_t user; } sq;
    struct { uint32_t head, tail, mask, entries, overflow, first, flags, reserved; uint64_t user; } cq;
};

static const char *names[MODES] = {"send", "send_zc", "send_zc, registered"};
static int ring_fd;
static struct submission *submissions;
static uint32_t *sq_tail, sq_mask, *cq_head, *cq_tail, cq_mask;
static struct completion *completions;
static char *buffers[BUFFERS];
static int readers[BUFFERS]; /* sends that the kernel may still look into a buffer for */

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void set_up(size_t bytes) {
    struct parameters parameters = {.flags = RING_FLAGS};
    struct iovec registered[BUFFERS];
    ring_fd = (int)syscall(SYS_SETUP, ENTRIES, &parameters);
    if (ring_fd < 0) fail("io_uring_setup");
    size_t size = parameters.cq.first + parameters.completions * sizeof(struct completion);
    size_t least = parameters.sq.array + parameters.submissions * sizeof(uint32_t);
    if (size < least) size = least;
    char *ring = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring_fd, 0);
    submissions = mmap(NULL, parameters.submissions * sizeof *submissions, PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_POPULATE, ring_fd, OFFSET_SUBMISSIONS);
    if (ring == MAP_FAILED || submissions == MAP_FAILED) fail("mmap");
    sq_tail = (uint32_t *)(ring + parameters.sq.tail);
    sq_mask = parameters.submissions - 1;
    uint32_t *array = (uint32_t *)(ring + parameters.sq.array);
    for (uint32_t at = 0; at < parameters.submissions; at++) array[at] = at;
    cq_head = (uint32_t *)(ring + parameters.cq.head);
    cq_tail = (uint32_t *)(ring + parameters.cq.tail);
    cq_mask = parameters.completions - 1;
    completions = (struct completion *)(ring + parameters.cq.first);
    for (int at = 0; at < BUFFERS; at++) {
        buffers[at] = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
        if (buffers[at] == NULL) fail("aligned_alloc");
        memset(buffers[at], 'a', bytes);
        registered[at] = (struct iovec){buffers[at], bytes};
    }
    if (syscall(SYS_REGISTER, ring_fd, REGISTER_BUFFERS, registered, BUFFERS) < 0) fail("io_uring_register");
}

/* Wait once; what a send was taken, 0 for a mere notice. */
static int32_t await_word(void) {
    while (*cq_head == __atomic_load_n(cq_tail, __ATOMIC_ACQUIRE))
        if (syscall(SYS_ENTER, ring_fd, 0, 1, GETEVENTS, NULL, 0) < 0 && errno != EINTR) fail("io_uring_enter");
    struct completion *word = &completions[*cq_head & cq_mask];
    int32_t result = word->flags & IS_NOTICE ? 0 : word->result;
    if (result < 0) {
        errno = -result;
        fail("the send");
    }
    if (word->flags & IS_NOTICE) readers[word->user_data]--;
    if (word->flags & HAS_MORE) readers[word->user_data]++;
    __atomic_store_n(cq_head, *cq_head + 1, __ATOMIC_RELEASE);
    return result;
}

static void send_one(int fd, enum mode mode, int buffer, size_t bytes) {
    size_t sent = 0;
    while (readers[buffer] > 0) await_word();
    while (sent < bytes) {
        struct submission *entry = &submissions[*sq_tail & sq_mask];
        memset(entry, 0, sizeof *entry);
        entry->opcode = mode == COPYING ? OP_SEND : OP_SEND_ZC;
        entry->priority = mode == REGISTERED ? FIXED_BUFFER : 0;
        entry->fd = fd;
        entry->address = (uint64_t)(buffers[buffer] + sent);
        entry->length = (uint32_t)(bytes - sent);
        entry->operation_flags = MSG_WAITALL | MSG_NOSIGNAL;
        entry->user_data = (uint64_t)buffer;
        entry->buffer = (uint16_t)buffer;
        __atomic_store_n(sq_tail, *sq_tail + 1, __ATOMIC_RELEASE);
        int32_t taken = 0;
        if (syscall(SYS_ENTER, ring_fd, 1, 1, GETEVENTS, NULL, 0) < 0) fail("io_uring_enter");
        while (taken == 0) taken = await_word();
        sent += (size_t)taken;
    }
}

static double read_cpu(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void bind_to(int cpu) {
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(cpu, &cpus);
    if (sched_setaffinity(0, sizeof cpus, &cpus) < 0) fail("sched_setaffinity");
}

static void drop_all(int fd) {
    static char dropped[MIB];
    while (read(fd, dropped, sizeof dropped) > 0) continue;
}

int main(int count, char **arguments) {
    size_t bytes = count > 1 ? strtoul(arguments[1], NULL, 10) : 0;
    if (bytes == 0 || (count != 2 && count != 4)) {
        fprintf(stderr, "zerocopy BYTES [ADDRESS PORT]\n");
        return 2;
    }
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    pid_t reader = 0;
    if (count == 4) {
        if (inet_pton(AF_INET, arguments[2], &address.sin_addr) != 1) fail("ADDRESS");
        address.sin_port = htons((uint16_t)strtoul(arguments[3], NULL, 10));
    } else {
        int listener = socket(AF_INET, SOCK_STREAM, 0);
        if (bind(listener, (struct sockaddr *)&address, length) < 0 || listen(listener, 1) < 0) fail("listen");
        getsockname(listener, (struct sockaddr *)&address, &length);
        reader = fork();
        if (reader == 0) {
            bind_to(1);
            drop_all(accept(listener, NULL, NULL));
            return 0;
        }
        close(listener);
    }
    bind_to(0);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&address, length) < 0) fail("connect");
    set_up(bytes);
    long sends = (long)((double)ROUND_MIB * MIB / (double)bytes);
    double best[MODES] = {0};
    for (int round = 0; round < ROUNDS; round++)
        for (enum mode mode = 0; mode < MODES; mode++) {
            double before = read_cpu();
            for (long at = 0; at < sends; at++) send_one(fd, mode, (int)(at % BUFFERS), bytes);
            double taken = read_cpu() - before;
            if (round == 0 || taken < best[mode]) best[mode] = taken;
        }
    for (enum mode mode = 0; mode < MODES; mode++)
        printf("%-20s %7.1f us of CPU per MiB, %.2f of send\n", names[mode], best[mode] * 1e6 / ROUND_MIB,
               best[mode] / best[COPYING]);
    close(fd);
    if (reader > 0) kill(reader, SIGTERM);
    return 0;
}
