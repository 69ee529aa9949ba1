/* A load generator cheap enough to keep a server's core saturated from one other core, which wrk is not: it sends
 * prepared bytes and counts the bytes that come back.
 *
 *     load PORT TARGET CONTENT_BYTES CONNECTIONS DEPTH RESPONSE_BYTES SECONDS REQUESTS [close]
 *
 * Runs until SECONDS have passed or REQUESTS are answered, whichever comes first (0: no such bound), then prints
 * `requests seconds errors p99_us`. A request is a GET, or a POST of CONTENT_BYTES where those are not 0. DEPTH
 * requests leave together, the next ones once all of them are answered: the latency is that of such a batch. With
 * `close`, every request goes over a connection of its own and asks for `Connection: close`; the latency is then from
 * before its connect until the server has closed.
 *
 * Facts that shape it:
 * - It never sleeps and has no epoll: it asks every connection in turn with a recv that does not wait. So a server
 *   never pays for waking it, and there is no call besides one send and (mostly) one recv per batch.
 * - MSG_TRUNC makes tcp(7) drop the bytes instead of copying them. The first answer of a connection is read and must
 *   be a 200; every later one is the same number of bytes, or the count no longer comes out even. */

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
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define STATUS "HTTP/1.1 200"

enum {
    DEPTH_MAX = 1024,
    HEAD_BYTES_MAX = 256,
    RECEIVE_BYTES = 1 << 20,
    ERRORS_MAX = 10000,
    LATENCY_US_MAX = 1 << 22, /* four seconds; what took longer counts as that */
};

struct connection {
    int fd;
    bool is_fresh;    /* nothing of its first answer has been read */
    size_t unsent;    /* bytes of its batch that the kernel has not taken: only a batch with content is that long */
    int64_t unread;   /* bytes of answers still to come */
    int64_t began_us; /* when its batch was sent */
};

static struct sockaddr_in server = {.sin_family = AF_INET};
static char *batch;
static size_t batch_bytes;
static int64_t batch_answer_bytes;
static int64_t answered, errors, depth;
static uint32_t latencies[LATENCY_US_MAX + 1]; /* batches by the microseconds they took */
static bool closes;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int64_t now_us(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000) + time.tv_nsec / 1000;
}

static void note_error(const char *what) {
    if (++errors <= 3) fprintf(stderr, "load: %s (%s)\n", what, errno ? strerror(errno) : "no system error");
    if (errors > ERRORS_MAX) {
        fprintf(stderr, "load: more than %d errors\n", ERRORS_MAX);
        exit(1);
    }
}

/* Counts one batch as answered, and returns the time: the next one begins then. */
static int64_t note_answered(const struct connection *connection) {
    int64_t now = now_us(), latency = now - connection->began_us;
    latencies[latency < LATENCY_US_MAX ? latency : LATENCY_US_MAX]++;
    answered += depth;
    return now;
}

/* Microseconds within which 99 of 100 batches were answered. */
static int64_t p99_us(void) {
    int64_t batches = answered / depth, counted = 0, latency = 0;
    while (latency < LATENCY_US_MAX && (counted += latencies[latency]) * 100 < batches * 99) latency++;
    return latency;
}

/* Sends what fits. Whatever went wrong, the next recv tells, and opens another connection. */
static void send_rest(struct connection *connection) {
    const char *rest = batch + (batch_bytes - connection->unsent);
    ssize_t sent = send(connection->fd, rest, connection->unsent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) connection->unsent -= (size_t)sent;
}

static void send_batch(struct connection *connection) {
    connection->unsent = batch_bytes;
    connection->unread = batch_answer_bytes;
    send_rest(connection);
}

/* DEPTH times the same request. */
static void prepare_batch(const char *port, const char *target, size_t content_bytes) {
    char head[HEAD_BYTES_MAX], content_length[64] = "";
    if (content_bytes > 0) snprintf(content_length, sizeof content_length, "Content-Length: %zu\r\n", content_bytes);
    int head_bytes = snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\n%s%s\r\n",
                              content_bytes > 0 ? "POST" : "GET", target, port, content_length,
                              closes ? "Connection: close\r\n" : "");
    if (head_bytes >= HEAD_BYTES_MAX) {
        fprintf(stderr, "load: the target is too long\n");
        exit(2);
    }
    size_t request_bytes = (size_t)head_bytes + content_bytes;
    batch_bytes = (size_t)depth * request_bytes;
    batch = malloc(batch_bytes);
    if (batch == NULL) fail("malloc");
    memset(batch, 'x', batch_bytes);
    for (int64_t i = 0; i < depth; i++) memcpy(batch + (size_t)i * request_bytes, head, (size_t)head_bytes);
}

static void open_connection(struct connection *connection) {
    int on = 1;
    connection->began_us = now_us();
    struct linger abort_on_close = {.l_onoff = 1}; /* a reset instead of TIME_WAIT, or 28,000 ports would soon be used up */
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->fd < 0) fail("socket");
    if (setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0) fail("TCP_NODELAY");
    if (setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &abort_on_close, sizeof abort_on_close) < 0) fail("SO_LINGER");
    if (connect(connection->fd, (struct sockaddr *)&server, sizeof server) < 0) fail("connect");
    connection->is_fresh = true;
    send_batch(connection);
}

static void reopen(struct connection *connection) {
    close(connection->fd);
    open_connection(connection);
}

/* Takes what has arrived on one connection and sends its next batch once all of the last one is answered. */
static void advance(struct connection *connection) {
    char status[sizeof STATUS - 1];
    ssize_t length;
    if (connection->unsent > 0) send_rest(connection);
    errno = 0;
    if (connection->is_fresh) {
        length = recv(connection->fd, status, sizeof status, MSG_DONTWAIT);
    } else {
        length = recv(connection->fd, NULL, RECEIVE_BYTES, MSG_DONTWAIT | MSG_TRUNC);
    }
    if (length < 0 && errno == EAGAIN) return;
    bool is_closed_in_order = closes && length == 0 && connection->unread == 0;
    if (is_closed_in_order) {
        note_answered(connection);
        reopen(connection);
        return;
    }
    if (length <= 0) {
        note_error("connection lost before its answer was complete");
        reopen(connection);
        return;
    }
    if (connection->is_fresh && (length < (ssize_t)sizeof status || memcmp(status, STATUS, sizeof status) != 0)) {
        note_error("the answer is not a 200");
        reopen(connection);
        return;
    }
    connection->is_fresh = false;
    connection->unread -= length;
    if (connection->unread < 0) {
        note_error("more bytes than the answers have");
        reopen(connection);
    } else if (connection->unread == 0 && !closes) {
        connection->began_us = note_answered(connection);
        send_batch(connection);
    }
}

int main(int argc, char **argv) {
    if (argc < 9) {
        fprintf(stderr, "usage: %s PORT TARGET CONTENT_BYTES CONNECTIONS DEPTH RESPONSE_BYTES SECONDS REQUESTS [close]\n",
                argv[0]);
        return 2;
    }
    int count = atoi(argv[4]);
    depth = atoi(argv[5]);
    double seconds = atof(argv[7]);
    int64_t requests = atoll(argv[8]);
    closes = argc > 9 && strcmp(argv[9], "close") == 0;
    if (count < 1 || depth < 1 || depth > DEPTH_MAX) {
        fprintf(stderr, "load: at least one connection, and a depth from 1 to %d\n", DEPTH_MAX);
        return 2;
    }
    server.sin_port = htons((uint16_t)atoi(argv[1]));
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    batch_answer_bytes = depth * atoll(argv[6]);
    prepare_batch(argv[1], argv[2], (size_t)atoll(argv[3]));
    struct connection *connections = calloc((size_t)count, sizeof *connections);
    if (connections == NULL) fail("calloc");
    int64_t started_us = now_us();
    double elapsed = 0;
    for (int i = 0; i < count; i++) open_connection(&connections[i]);
    while ((seconds == 0 || elapsed < seconds) && (requests == 0 || answered < requests)) {
        for (int i = 0; i < count; i++) advance(&connections[i]);
        elapsed = (double)(now_us() - started_us) / 1e6;
    }
    printf("%lld %.6f %lld %lld\n", (long long)answered, elapsed, (long long)errors, (long long)p99_us());
    return 0;
}
