/* What telling everybody costs: one send of the same bytes to every subscriber.
 *
 *     publish PORT        GET /events subscribes, POST publishes the next event, any other request has the greeting
 *
 * A subscriber whose socket is full would lose the event, which the subscribers in subscribers.c notice. */

#include "loop.h"

#define STREAM_HEAD \
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n" \
    "Transfer-Encoding: chunked\r\n\r\n"
#define EVENT "data: %010d %s\n\n"
#define FILLING "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static int subscribers[FD_MAX];
static int subscriber_count;
static int event_number;

static void publish(void) {
    char event[160], chunk[192];
    event_number++;
    int event_bytes = snprintf(event, sizeof event, EVENT, event_number, FILLING);
    int length = snprintf(chunk, sizeof chunk, "%x\r\n%s\r\n", event_bytes, event);
    for (int i = 0; i < subscriber_count; i++) send(subscribers[i], chunk, (size_t)length, MSG_NOSIGNAL);
}

static void forget(int fd) {
    for (int i = 0; i < subscriber_count; i++) {
        if (subscribers[i] == fd) {
            subscribers[i] = subscribers[--subscriber_count];
            return;
        }
    }
}

static bool serve(int fd, uint32_t events) {
    if (!(events & EPOLLIN)) return true;
    ssize_t length = recv(fd, received, RECEIVE_BYTES, 0);
    if (length <= 0) return length < 0 && errno == EAGAIN;
    if (length >= 11 && memcmp(received, "GET /events", 11) == 0) {
        subscribers[subscriber_count++] = fd;
        return send_whole(fd, STREAM_HEAD, sizeof STREAM_HEAD - 1);
    }
    if (memcmp(received, "POST", 4) == 0) publish();
    return send_whole(fd, HELLO, sizeof HELLO - 1);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s PORT\n", argv[0]);
        return 2;
    }
    run_loop(argv[1], serve, forget);
}
