/* What the small baselines share: a listener, connections that an edge-triggered epoll(7) watches from their accept to
 * their close, and nothing else. Each of them includes this and brings its own answer to an event.
 *
 * Facts that shape it:
 * - A connection is registered once, for reading and writing: edge-triggered, EPOLLOUT is told only after the kernel had
 *   refused bytes, so it costs nothing until then.
 * - A head is taken to arrive in one piece, as the generators here send it. What a client does otherwise closes its
 *   connection, which the generators count as an error. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define HELLO \
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\nConnection: keep-alive\r\n\r\nHello, World!"

enum {
    EVENTS_MAX = 1024,
    FD_MAX = 1 << 16,
    BACKLOG = 4096,
    RECEIVE_BYTES = 64 * 1024,
};

/* Answers what an event tells; false once the connection is done with. */
typedef bool serve_function(int fd, uint32_t events);
/* Leaves nothing for the next connection that gets this descriptor, which is closed then. */
typedef void forget_function(int fd);

static int epoll_fd;
static char received[RECEIVE_BYTES + 1]; /* of the connection being served; one spare for a terminating zero */

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void watch(int fd, uint32_t events) {
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) fail("epoll_ctl");
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
        watch(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    }
}

/* Sends an answer that an empty socket buffer has room for; false if it had not. */
static bool send_whole(int fd, const void *bytes, size_t length) {
    return send(fd, bytes, length, MSG_NOSIGNAL) == (ssize_t)length;
}

static int listen_on(uint16_t port) {
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) fail("socket");
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0) fail("SO_REUSEADDR");
    /* Accepted sockets inherit it. */
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0) fail("TCP_NODELAY");
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) fail("bind");
    if (listen(fd, BACKLOG) < 0) fail("listen");
    return fd;
}

static void run_loop(const char *port, serve_function *serve, forget_function *forget) {
    static struct epoll_event events[EVENTS_MAX];
    signal(SIGPIPE, SIG_IGN); /* sendfile has no MSG_NOSIGNAL */
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0) fail("epoll_create1");
    int listener = listen_on((uint16_t)atoi(port));
    watch(listener, EPOLLIN);
    for (;;) {
        int count = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);
        if (count < 0 && errno != EINTR) fail("epoll_wait");
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                accept_all(listener);
            } else if (events[i].events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP) || !serve(fd, events[i].events)) {
                forget(fd);
                close(fd);
            }
        }
    }
}
