/* Subscribers of Server-Sent Events that lose nothing unnoticed.
 *
 *     subscribers PORT COUNT PUBLISHES
 *
 * Opens COUNT connections that GET /events and prints `held` once each has its head. For every line on standard input
 * it then sends PUBLISHES times a POST /publish, each once all subscribers have the event before, and prints
 * `events seconds bytes errors`. It ends with standard input.
 *
 * The data of event n is `n` in decimal and whatever else; framing, ids and comments are passed over. An event that is
 * not the next one of its subscriber, one that has not come after ten seconds and a lost connection are errors.
 *
 * As load.c it never sleeps: it asks every subscriber in turn, so that a server never pays for waking it. */

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

#define MARK "data: "
#define BLANK_LINE "\r\n\r\n"

enum {
    MARK_BYTES = sizeof MARK - 1,
    RECEIVE_BYTES = 64 * 1024,
    EVENT_SECONDS_MAX = 10,
};

struct subscriber {
    int fd;
    int matched;     /* bytes of MARK that the stream ends with; MARK_BYTES while the number behind it is read */
    int64_t number;  /* the digits read so far */
    int64_t last;    /* the number of the newest event */
    int64_t count;   /* events that came */
    bool is_lost;
};

static struct sockaddr_in server = {.sin_family = AF_INET};
static struct subscriber *subscribers;
static int subscriber_count;
static int64_t received_bytes, errors, published;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void note_error(const char *what) {
    if (++errors <= 3) fprintf(stderr, "subscribers: %s\n", what);
}

static int open_connection(void) {
    int on = 1;
    struct timeval patience = {.tv_sec = EVENT_SECONDS_MAX};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) fail("socket");
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0) fail("TCP_NODELAY");
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0) fail("SO_RCVTIMEO");
    if (connect(fd, (struct sockaddr *)&server, sizeof server) < 0) fail("connect");
    return fd;
}

static void note_event(struct subscriber *subscriber) {
    bool is_next = subscriber->last == 0 || subscriber->number == subscriber->last + 1;
    if (!is_next) note_error("an event is lost or out of order");
    subscriber->last = subscriber->number;
    subscriber->count++;
}

static void read_events(struct subscriber *subscriber, const char *bytes, ssize_t length) {
    for (ssize_t i = 0; i < length; i++) {
        char byte = bytes[i];
        if (subscriber->matched < MARK_BYTES) {
            subscriber->matched = byte == MARK[subscriber->matched] ? subscriber->matched + 1 : byte == MARK[0];
            subscriber->number = 0;
        } else if (byte >= '0' && byte <= '9') {
            subscriber->number = subscriber->number * 10 + (byte - '0');
        } else {
            subscriber->matched = 0;
            note_event(subscriber);
        }
    }
}

/* Reads until the head has ended; what came behind it is the stream's already. */
static void subscribe(struct subscriber *subscriber) {
    static const char request[] = "GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n";
    char bytes[4096];
    ssize_t length = 0;
    subscriber->fd = open_connection();
    if (send(subscriber->fd, request, sizeof request - 1, MSG_NOSIGNAL) < 0) fail("send");
    for (;;) {
        ssize_t more = recv(subscriber->fd, bytes + length, sizeof bytes - (size_t)length, 0);
        if (more <= 0) fail("a subscriber got no head");
        length += more;
        char *end = memmem(bytes, (size_t)length, BLANK_LINE, 4);
        if (end == NULL) continue;
        if (memcmp(bytes, "HTTP/1.1 200", 12) != 0) fail("a subscriber was refused");
        read_events(subscriber, end + 4, length - (end + 4 - bytes));
        return;
    }
}

static void receive(struct subscriber *subscriber) {
    static char bytes[RECEIVE_BYTES];
    ssize_t length = recv(subscriber->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (length < 0 && errno == EAGAIN) return;
    if (length <= 0) {
        subscriber->is_lost = true;
        note_error("a subscriber's connection is lost");
        return;
    }
    received_bytes += length;
    read_events(subscriber, bytes, length);
}

static bool has_newest(const struct subscriber *subscriber) {
    return subscriber->is_lost || subscriber->count >= published;
}

/* One event, and its arrival at everybody. */
static void publish(int control) {
    static const char request[] = "POST /publish HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n";
    char answer[4096];
    if (send(control, request, sizeof request - 1, MSG_NOSIGNAL) < 0) fail("send");
    published++;
    double deadline = now() + EVENT_SECONDS_MAX;
    for (int i = 0; i < subscriber_count; i++) {
        while (!has_newest(&subscribers[i])) {
            receive(&subscribers[i]);
            if (now() > deadline) {
                note_error("an event did not arrive");
                subscribers[i].is_lost = true;
            }
        }
    }
    ssize_t length = recv(control, answer, sizeof answer, 0);
    if (length < 12 || memcmp(answer, "HTTP/1.1 2", 10) != 0) note_error("the publisher was refused");
}

int main(int argc, char **argv) {
    char line[64];
    if (argc != 4) {
        fprintf(stderr, "usage: %s PORT COUNT PUBLISHES\n", argv[0]);
        return 2;
    }
    server.sin_port = htons((uint16_t)atoi(argv[1]));
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    subscriber_count = atoi(argv[2]);
    int publishes = atoi(argv[3]);
    subscribers = calloc((size_t)subscriber_count, sizeof *subscribers);
    if (subscribers == NULL) fail("calloc");
    for (int i = 0; i < subscriber_count; i++) subscribe(&subscribers[i]);
    int control = open_connection();
    printf("held\n");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) != NULL) {
        int64_t bytes_before = received_bytes;
        double began = now();
        for (int i = 0; i < publishes; i++) publish(control);
        printf("%lld %.6f %lld %lld\n", (long long)publishes * subscriber_count, now() - began,
               (long long)(received_bytes - bytes_before), (long long)errors);
        fflush(stdout);
    }
    return 0;
}
