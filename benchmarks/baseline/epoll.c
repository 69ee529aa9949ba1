/* The bare loop that every figure is a ratio of: what answering HTTP/1.1 costs on one thread when nothing is done but
 * the system calls and finding where requests end. It parses no request, has no limits and no timeouts.
 *
 *     epoll PORT          answer on 127.0.0.1:PORT, keeping every connection
 *     epoll PORT close    close each connection after its answer, for the profile of short connections
 *
 * Facts about epoll(7) and tcp(7) that shape it:
 * - Edge-triggered, a connection is registered once and never modified: one request costs a recv, a send, and its
 *   share of one epoll_wait.
 * - A recv that did not fill the buffer has drained the socket. Bytes that arrive later are a new edge, so there is no
 *   second recv to be told EAGAIN. A FIN that arrived with the bytes is told by EPOLLRDHUP in the same event.
 * - EPOLLOUT is asked for only while the kernel has refused bytes. A client that reads its answers never causes that. */

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
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define RESPONSE \
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\nConnection: keep-alive\r\n\r\nHello, World!"
#define BLANK_LINE "\r\n\r\n"

enum {
    EVENTS_MAX = 1024,
    FD_MAX = 1 << 20,
    BACKLOG = 4096,
    CARRIED_MAX = 3, /* bytes of a blank line that a recv may have ended within */
    RECEIVE_BYTES = 64 * 1024,
    REQUEST_BYTES_MIN = 4, /* a blank line alone counts as a request here */
    RESPONSE_BYTES = sizeof RESPONSE - 1,
    BATCH_MAX = (RECEIVE_BYTES + CARRIED_MAX) / REQUEST_BYTES_MIN,
};

static char received[CARRIED_MAX + RECEIVE_BYTES];
static char responses[(size_t)BATCH_MAX * RESPONSE_BYTES]; /* the answer to any batch is a prefix of it */
static uint8_t carried[FD_MAX];                            /* how much of a blank line the stream so far ends with */
static uint64_t unsent[FD_MAX];                            /* bytes of answers that the kernel has not taken */
static int epoll_fd;
static bool closes;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

/* Counts the blank lines in [at, end) and leaves in *rest how many of the last bytes may be the start of another.
 * Looks at every fourth byte only: a byte that is neither CR nor LF is in no blank line. */
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
                at += 2; /* it may still be the second byte of one */
            }
        } else {
            at += last == '\r' ? 1 : 4; /* a CR may be the third byte of one, or the first */
        }
    }
    uint8_t length = (uint8_t)(end - searched < CARRIED_MAX ? end - searched : CARRIED_MAX);
    while (length > 0 && memcmp(end - length, BLANK_LINE, length) != 0) length--;
    *rest = length;
    return count;
}

static void watch(int operation, int fd, uint32_t events) {
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(epoll_fd, operation, fd, &event) < 0) fail("epoll_ctl");
}

static void accept_all(int listener) {
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EAGAIN || errno == ECONNABORTED) return;
            fail("accept4");
        }
        if (fd >= FD_MAX) {
            close(fd);
            continue;
        }
        carried[fd] = 0;
        unsent[fd] = 0;
        watch(EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLRDHUP | EPOLLET);
    }
}

/* Sends what is owed. Every answer is the same, so that what is unsent begins inside one and ends with one. */
static bool send_owed(int fd, uint64_t owed) {
    bool was_parked = unsent[fd] > 0;
    while (owed > 0) {
        size_t offset = (RESPONSE_BYTES - owed % RESPONSE_BYTES) % RESPONSE_BYTES;
        size_t length = owed < sizeof responses - offset ? owed : sizeof responses - offset;
        ssize_t sent = send(fd, responses + offset, length, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno != EAGAIN) return false;
            break;
        }
        owed -= (uint64_t)sent;
    }
    unsent[fd] = owed;
    if ((owed > 0) != was_parked) {
        watch(EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLRDHUP | EPOLLET | (owed > 0 ? EPOLLOUT : 0));
    }
    return true;
}

/* Answers what has arrived; false once the connection is done with. */
static bool serve(int fd, uint32_t events) {
    if (events & (EPOLLERR | EPOLLHUP)) return false;
    if (unsent[fd] > 0 && !send_owed(fd, unsent[fd])) return false;
    if (!(events & (EPOLLIN | EPOLLRDHUP))) return true;
    for (;;) {
        ssize_t length = recv(fd, received + CARRIED_MAX, RECEIVE_BYTES, 0);
        if (length <= 0) return length < 0 && errno == EAGAIN;
        char *start = received + CARRIED_MAX - carried[fd];
        memcpy(start, BLANK_LINE, carried[fd]);
        int count = count_requests(start, received + CARRIED_MAX + length, &carried[fd]);
        if (count > 0) {
            if (!send_owed(fd, unsent[fd] + (uint64_t)count * RESPONSE_BYTES)) return false;
            if (closes) return false;
        }
        if (length < RECEIVE_BYTES && !(events & EPOLLRDHUP)) return true;
    }
}

static int listen_on(uint16_t port) {
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) fail("socket");
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0) fail("SO_REUSEADDR");
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0) fail("SO_REUSEPORT");
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0) fail("TCP_NODELAY"); /* accepted sockets inherit it */
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) fail("bind");
    if (listen(fd, BACKLOG) < 0) fail("listen");
    return fd;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: %s PORT [close]\n", argv[0]);
        return 2;
    }
    closes = argc > 2 && strcmp(argv[2], "close") == 0;
    for (int i = 0; i < BATCH_MAX; i++) memcpy(responses + (size_t)i * RESPONSE_BYTES, RESPONSE, RESPONSE_BYTES);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0) fail("epoll_create1");
    int listener = listen_on((uint16_t)atoi(argv[1]));
    watch(EPOLL_CTL_ADD, listener, EPOLLIN);
    static struct epoll_event events[EVENTS_MAX];
    for (;;) {
        int count = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);
        if (count < 0 && errno != EINTR) fail("epoll_wait");
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                accept_all(listener);
            } else if (!serve(fd, events[i].events)) {
                close(fd);
            }
        }
    }
}
