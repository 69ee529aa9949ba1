/* What waiting for a descriptor costs: every request is answered only after a byte has come back through a pipe of its
 * own. The system calls are those of a handler that calls os.pipe(), watches one end, writes to the other, and reads
 * and closes both once the byte is there.
 *
 *     pipe PORT
 */

#include "loop.h"

/* By descriptor; 0 is none, since neither a client nor a pipe ever has it. */
static int client_of[FD_MAX]; /* whose request waits for this read end */
static int reader_of[FD_MAX]; /* the read end that this client waits for */
static int writer_of[FD_MAX]; /* the other end of that pipe */

static void close_pipe(int reader) {
    reader_of[client_of[reader]] = 0;
    client_of[reader] = 0;
    close(reader);
    close(writer_of[reader]);
}

static void begin(int client) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) fail("pipe2");
    client_of[ends[0]] = client;
    reader_of[client] = ends[0];
    writer_of[ends[0]] = ends[1];
    watch(ends[0], EPOLLIN);
    if (write(ends[1], "x", 1) != 1) fail("write");
}

static void finish(int reader) {
    char byte;
    int client = client_of[reader];
    if (read(reader, &byte, 1) != 1) fail("read");
    close_pipe(reader);
    (void)send_whole(client, HELLO, sizeof HELLO - 1); /* a client that is gone tells so by an event of its own */
}

static void forget(int client) {
    if (reader_of[client]) close_pipe(reader_of[client]);
}

static bool serve(int fd, uint32_t events) {
    if (client_of[fd]) {
        finish(fd);
        return true;
    }
    if (!(events & EPOLLIN)) return true;
    ssize_t length = recv(fd, received, RECEIVE_BYTES, 0);
    if (length <= 0) return length < 0 && errno == EAGAIN;
    if (length < 4 || memcmp(received + length - 4, "\r\n\r\n", 4) != 0 || reader_of[fd]) return false;
    begin(fd);
    return true;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s PORT\n", argv[0]);
        return 2;
    }
    run_loop(argv[1], serve, forget);
}
