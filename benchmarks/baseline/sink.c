/* What an upload costs: the body is received into one buffer, counted and dropped, and its size is the answer.
 *
 *     sink PORT           a GET has the usual greeting
 */

#include "loop.h"

static int64_t expected[FD_MAX]; /* the Content-Length of the body that is arriving */
static int64_t missing[FD_MAX];  /* how much of it has not arrived; 0 between two requests */

static bool answer(int fd) {
    char count[24], text[192];
    int count_bytes = snprintf(count, sizeof count, "%lld", (long long)expected[fd]);
    int length = snprintf(text, sizeof text,
                          "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n"
                          "Connection: keep-alive\r\n\r\n%s",
                          count_bytes, count);
    return send_whole(fd, text, (size_t)length);
}

/* Takes the head off `length` received bytes and returns how many of a body are behind it; -1 if it is no such head. */
static ssize_t take_head(int fd, ssize_t length) {
    received[length] = '\0';
    char *end = memmem(received, (size_t)length, "\r\n\r\n", 4);
    if (end == NULL) return -1;
    *end = '\0';
    const char *field = strcasestr(received, "\r\nContent-Length:");
    expected[fd] = missing[fd] = field ? atoll(field + sizeof "\r\nContent-Length:" - 1) : 0;
    return length - (end + 4 - received);
}

static void forget(int fd) {
    missing[fd] = 0;
}

static bool serve(int fd, uint32_t events) {
    if (!(events & EPOLLIN)) return true;
    for (;;) {
        ssize_t length = recv(fd, received, RECEIVE_BYTES, 0);
        if (length <= 0) return length < 0 && errno == EAGAIN;
        ssize_t content = length;
        if (missing[fd] == 0) {
            content = take_head(fd, length);
            if (content < 0) return false;
            if (missing[fd] == 0) return send_whole(fd, HELLO, sizeof HELLO - 1);
        }
        if (content > missing[fd]) return false; /* a client sends no more before it has its answer */
        missing[fd] -= content;
        if (missing[fd] == 0) return answer(fd);
        if (length < RECEIVE_BYTES) return true;
    }
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s PORT\n", argv[0]);
        return 2;
    }
    run_loop(argv[1], serve, forget);
}
