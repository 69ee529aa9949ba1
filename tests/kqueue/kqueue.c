/* kqueue(2) and kevent(2) over epoll(7), so that a kqueue backend can be tested on Linux. README.md beside this says what
 * it supports, where it differs from the real ones, and how to build it.
 *
 * It does what their kernels do. A knote that may have something to tell stands in its kqueue's queue; kevent() takes one
 * after the other, asks its filter whether that still holds, and leaves a level-triggered one at the end of the queue.
 * Where a kernel puts knotes into the queue as data arrives, this learns of it from epoll, edge-triggered.
 *
 * Facts about Linux that shape it:
 * - A registration is a pair of open file and number, and there is one of each pair in a set. Of an edge it does not say
 *   which direction it was in. So reading and writing are watched in two sets, or room to write would tell a reader again
 *   of bytes that it has left unread.
 * - A set forgets an open file with its last duplicate, kqueue a descriptor with its close(2), which nobody here sees.
 *   But adding a descriptor fails with EEXIST exactly if this number still stands for the file that was registered, so
 *   that is asked before a knote is believed. What a set goes on telling of a number that is gone names it by serial
 *   number, and finds nobody.
 * - SO_ERROR is cleared by reading it, and would be missing from the caller's next recv(2). The error is derived instead.
 * - A stream socket that was never connected polls as hung up, but without POLLRDHUP; one whose connection is over has
 *   both.
 *
 * One lock guards everything, and is not held while waiting. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/event.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef KQUEUE_ADD_ENABLES
#define KQUEUE_ADD_ENABLES 1 /* as the manuals say; 0: only EV_ENABLE enables a known knote, as the kernels do */
#endif

#define FOREVER UINT64_MAX
#define NANOSECONDS_MAX (UINT64_MAX / 4) /* 146 years: two of them can be added */
#define SECOND_NS 1000000000L
#define SERIAL_SHIFT 32 /* an epoll event carries serial number and descriptor */
#define WAKE UINT64_MAX /* or one of these */
#define WRITERS (UINT64_MAX - 1)
#define KEPT_FLAGS (EV_ONESHOT | EV_CLEAR | EV_RECEIPT | EV_DISPATCH)

enum { BUCKETS = 1024, EDGES_MAX = 64 };

enum kind { TCP, UNIX_STREAM, OTHER_SOCKET, PIPE, OTHER_FILE };

struct knote {
    struct kevent event; /* as it was given: ident, filter, udata, what fflags and data a filter keeps, KEPT_FLAGS */
    enum kind kind;      /* of the descriptor */
    uint32_t serial;     /* of the registration in a set */
    bool is_disabled;
    bool is_queued;
    bool is_triggered;    /* USER */
    intptr_t expirations; /* TIMER: not told yet */
    uint64_t interval_ns;
    uint64_t due_ns;
    struct knote *in_bucket;
    struct knote *next_timer;
    struct knote *before, *behind; /* in the queue */
};

struct kqueue {
    int fd;       /* what kqueue() returned: the set of descriptors that are read, wake_fd and write_fd */
    int write_fd; /* the set of descriptors that are written */
    int wake_fd;  /* readable when those who wait should look again */
    pid_t owner;  /* a child does not inherit it */
    int waiting;  /* threads that sleep in kevent() */
    int queued;   /* knotes in the queue */
    uint32_t last_serial;
    struct knote *head, *tail; /* of the queue */
    struct knote *timers;
    struct knote *buckets[BUCKETS];
    struct kqueue *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct kqueue *kqueues;

static void take_lock(void) {
    pthread_mutex_lock(&lock);
}

static void give_lock(void) {
    pthread_mutex_unlock(&lock);
}

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

/* Not close(2), which may be the one below. */
static void close_descriptor(int fd) {
    syscall(SYS_close, fd);
}

/* The queue. */

static void enqueue(struct kqueue *kq, struct knote *note) {
    if (note->is_queued) {
        return;
    }
    note->is_queued = true;
    note->before = kq->tail;
    note->behind = NULL;
    *(kq->tail != NULL ? &kq->tail->behind : &kq->head) = note;
    kq->tail = note;
    kq->queued++;
}

static void dequeue(struct kqueue *kq, struct knote *note) {
    if (!note->is_queued) {
        return;
    }
    note->is_queued = false;
    *(note->before != NULL ? &note->before->behind : &kq->head) = note->behind;
    *(note->behind != NULL ? &note->behind->before : &kq->tail) = note->before;
    kq->queued--;
}

/* Knotes. */

static bool is_of_descriptor(int16_t filter) {
    return filter == EVFILT_READ || filter == EVFILT_WRITE;
}

static struct knote **bucket_of(struct kqueue *kq, uintptr_t ident) {
    return &kq->buckets[ident % BUCKETS];
}

static struct knote *find_knote(struct kqueue *kq, uintptr_t ident, int16_t filter) {
    struct knote *note = *bucket_of(kq, ident);
    while (note != NULL && (note->event.ident != ident || note->event.filter != filter)) {
        note = note->in_bucket;
    }
    return note;
}

static int set_of(const struct kqueue *kq, const struct knote *note) {
    return note->event.filter == EVFILT_WRITE ? kq->write_fd : kq->fd;
}

/* Whether `fd` still is the number of the open file that was registered in the set as `fd`. */
static bool is_registered(int set_fd, int fd) {
    struct epoll_event nothing = {0};
    if (epoll_ctl(set_fd, EPOLL_CTL_ADD, fd, &nothing) == 0) { /* another file has got the number */
        epoll_ctl(set_fd, EPOLL_CTL_DEL, fd, &nothing);
        return false;
    }
    return errno == EEXIST;
}

static void forget_knote(struct kqueue *kq, struct knote *note) {
    struct knote **link = bucket_of(kq, note->event.ident);
    dequeue(kq, note);
    while (*link != note) {
        link = &(*link)->in_bucket;
    }
    *link = note->in_bucket;
    if (note->event.filter == EVFILT_TIMER) {
        for (link = &kq->timers; *link != note; link = &(*link)->next_timer) {
        }
        *link = note->next_timer;
    }
    if (is_of_descriptor(note->event.filter)) { /* fails if the descriptor is gone, and the registration with it */
        epoll_ctl(set_of(kq, note), EPOLL_CTL_DEL, (int)note->event.ident, &(struct epoll_event){0});
    }
    free(note);
}

/* Filters: whether there is something to tell, and what. */

static int option_of(int fd, int option) {
    int value = 0;
    socklen_t length = sizeof value;
    return getsockopt(fd, SOL_SOCKET, option, &value, &length) == 0 ? value : 0;
}

static struct tcp_info tcp_info_of(int fd) {
    struct tcp_info info = {0};
    socklen_t length = sizeof info;
    getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length);
    return info;
}

static enum kind kind_of(int fd) {
    struct stat status = {0};
    fstat(fd, &status);
    if (!S_ISSOCK(status.st_mode)) {
        return S_ISFIFO(status.st_mode) ? PIPE : OTHER_FILE;
    }
    int domain = option_of(fd, SO_TYPE) == SOCK_STREAM ? option_of(fd, SO_DOMAIN) : AF_UNSPEC;
    return domain == AF_UNIX ? UNIX_STREAM : domain == AF_INET || domain == AF_INET6 ? TCP : OTHER_SOCKET;
}

static int poll_now(int fd, short wanted) {
    struct pollfd one = {.fd = fd, .events = (short)(wanted | POLLRDHUP)};
    return poll(&one, 1, 0) == 1 ? one.revents : 0;
}

/* The error that the next recv(2) or send(2) will return, as far as Linux lets it be known. */
static uint32_t pending_error(const struct knote *note) {
    /* A round trip was measured as soon as there was a connection. */
    bool is_refused = note->kind == TCP && tcp_info_of((int)note->event.ident).tcpi_rtt == 0;
    return is_refused ? ECONNREFUSED : ECONNRESET;
}

static intptr_t readable_bytes(int fd, int polled) {
    int count;
    if (ioctl(fd, FIONREAD, &count) == 0) {
        return count;
    }
    return (polled & POLLIN) != 0; /* an eventfd, a timerfd: something, though not in bytes */
}

static bool is_readable(const struct knote *note, struct kevent *event) {
    int fd = (int)note->event.ident;
    int polled = poll_now(fd, POLLIN);
    if (note->kind == PIPE || note->kind == OTHER_FILE) {
        if (polled & POLLHUP) {
            event->flags |= EV_EOF;
        }
        event->data = readable_bytes(fd, polled);
        return (polled & (POLLIN | POLLHUP)) != 0; /* POLLERR is a writing end's, which is never readable */
    }
    if (option_of(fd, SO_ACCEPTCONN)) { /* asked each time: listen(2) may come after EV_ADD */
        uint32_t backlog = note->kind == TCP ? tcp_info_of(fd).tcpi_unacked : 0;
        event->data = backlog > 0 ? backlog : 1;
        return (polled & POLLIN) != 0;
    }
    event->data = readable_bytes(fd, polled);
    if (polled & POLLRDHUP) {
        event->flags |= EV_EOF;
        event->fflags = polled & POLLERR ? pending_error(note) : 0;
    }
    return (polled & (POLLIN | POLLRDHUP | POLLERR)) != 0;
}

/* Whether this end can send no more, by shutdown(2) or because the peer does not take it. */
static bool is_shut(const struct knote *note, int polled) {
    int fd = (int)note->event.ident;
    if (polled & POLLHUP) {
        return true;
    }
    if (note->kind == UNIX_STREAM) { /* nothing is sent, yet refused if something would be */
        return polled & POLLOUT && send(fd, "", 0, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == EPIPE;
    }
    if (note->kind == TCP) {
        int state = tcp_info_of(fd).tcpi_state;
        return state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 || state == TCP_CLOSING || state == TCP_LAST_ACK;
    }
    return false;
}

static bool is_writable(const struct knote *note, struct kevent *event) {
    int fd = (int)note->event.ident;
    int polled = poll_now(fd, POLLOUT);
    int unread = 0;
    if (note->kind == OTHER_FILE) {
        event->data = 1;
        return (polled & (POLLOUT | POLLERR | POLLHUP)) != 0;
    }
    if (note->kind == PIPE) {
        if (polled & POLLERR) { /* nobody can read it any more; POLLHUP is a reading end's, which is never writable */
            event->flags |= EV_EOF;
        } else {
            ioctl(fd, FIONREAD, &unread);
            event->data = fcntl(fd, F_GETPIPE_SZ) - unread;
        }
        return (polled & (POLLOUT | POLLERR)) != 0;
    }
    if ((polled & (POLLHUP | POLLRDHUP)) == POLLHUP) {
        return false; /* not connected yet */
    }
    ioctl(fd, SIOCOUTQ, &unread);
    event->data = option_of(fd, SO_SNDBUF) - unread;
    if (event->data < 0) { /* both numbers count the kernel's own overhead, in their own ways */
        event->data = 0;
    }
    if (is_shut(note, polled)) {
        event->flags |= EV_EOF;
        event->fflags = polled & POLLERR ? pending_error(note) : 0;
    }
    return (polled & (POLLOUT | POLLERR)) != 0;
}

static bool has_something_to_tell(const struct knote *note, struct kevent *event) {
    *event = note->event;
    event->fflags = 0;
    event->data = 0;
    switch (note->event.filter) {
    case EVFILT_READ:
        return is_readable(note, event);
    case EVFILT_WRITE:
        return is_writable(note, event);
    case EVFILT_TIMER:
        event->data = note->expirations;
        return note->expirations > 0;
    default: /* EVFILT_USER */
        event->fflags = note->event.fflags;
        event->data = note->event.data;
        return note->is_triggered;
    }
}

/* Changes. */

/* Registers the knote's descriptor. Returns 0 or an errno. */
static int watch(struct kqueue *kq, struct knote *note) {
    int fd = (int)note->event.ident;
    bool is_writer = note->event.filter == EVFILT_WRITE;
    note->kind = kind_of(fd);
    note->serial = ++kq->last_serial;
    if (note->event.fflags != 0) {
        return EINVAL; /* NOTE_LOWAT and others */
    }
    if (is_writer && note->kind == PIPE && poll_now(fd, POLLOUT) & POLLERR) {
        return EPIPE; /* nobody can read it any more: the real kernels refuse to watch it too */
    }
    struct epoll_event edge = {
        .events = (uint32_t)EPOLLET | (is_writer ? EPOLLOUT : EPOLLIN),
        .data.u64 = (uint64_t)note->serial << SERIAL_SHIFT | (uint32_t)fd,
    };
    if (epoll_ctl(set_of(kq, note), EPOLL_CTL_ADD, fd, &edge) == 0) {
        return 0;
    }
    /* EEXIST: the number was closed and has got the same open file back, from a duplicate. */
    return errno == EEXIST && epoll_ctl(set_of(kq, note), EPOLL_CTL_MOD, fd, &edge) == 0 ? 0 : errno;
}

/* Nanoseconds in the unit of a timer's data; 0 if there is no such unit. */
static uint64_t unit_ns_of(uint32_t fflags) {
    switch (fflags) {
    case 0:
        return 1000000;
    case NOTE_SECONDS:
        return SECOND_NS;
    case NOTE_USECONDS:
        return 1000;
    case NOTE_NSECONDS:
        return 1;
    default:
        return 0;
    }
}

/* (Re)starts a timer with the period in `change`. Returns 0 or an errno. */
static int start_timer(struct knote *note, const struct kevent *change) {
    uint64_t unit_ns = unit_ns_of(change->fflags);
    if (unit_ns == 0 || change->data < 0) {
        return EINVAL;
    }
    bool is_periodic = (note->event.flags & EV_ONESHOT) == 0;
    uint64_t count = change->data == 0 && is_periodic ? 1 : (uint64_t)change->data;
    note->interval_ns = count > NANOSECONDS_MAX / unit_ns ? NANOSECONDS_MAX : count * unit_ns;
    note->due_ns = now_ns() + note->interval_ns;
    note->expirations = 0;
    note->event.flags |= EV_CLEAR;
    return 0;
}

static int add_knote(struct kqueue *kq, const struct kevent *change) {
    struct knote *note = calloc(1, sizeof *note);
    if (note == NULL) {
        return ENOMEM;
    }
    note->event = *change;
    note->event.flags &= KEPT_FLAGS;
    note->is_disabled = (change->flags & EV_DISABLE) != 0;
    int error = 0;
    if (is_of_descriptor(change->filter)) {
        error = watch(kq, note);
    } else if (change->filter == EVFILT_TIMER) {
        error = start_timer(note, change);
    } else {
        note->event.fflags &= NOTE_FFLAGSMASK;
    }
    if (error != 0) {
        free(note);
        return error;
    }
    note->in_bucket = *bucket_of(kq, change->ident);
    *bucket_of(kq, change->ident) = note;
    if (change->filter == EVFILT_TIMER) {
        note->next_timer = kq->timers;
        kq->timers = note;
    }
    return 0; /* what is ready already is an edge as well: epoll tells each new registration of it */
}

static void change_user_event(struct knote *note, const struct kevent *change) {
    uint32_t operation = change->fflags & NOTE_FFCTRLMASK;
    uint32_t given = change->fflags & NOTE_FFLAGSMASK;
    if (operation == NOTE_FFAND) {
        note->event.fflags &= given;
    } else if (operation == NOTE_FFOR) {
        note->event.fflags |= given;
    } else if (operation == NOTE_FFCOPY) {
        note->event.fflags = given;
    }
    note->event.data = change->data;
    if (change->fflags & NOTE_TRIGGER) {
        note->is_triggered = true;
    }
    if (change->flags & EV_CLEAR) {
        note->is_triggered = false; /* the very change's trigger too: FreeBSD's filt_usertouch */
    }
}

static int change_knote(struct kqueue *kq, struct knote *note, const struct kevent *change) {
    note->event.udata = change->udata; /* whatever the change is for, and NULL too */
    if (note->event.filter == EVFILT_USER) {
        change_user_event(note, change);
    } else if (note->event.filter == EVFILT_TIMER && change->flags & EV_ADD) {
        int error = start_timer(note, change);
        if (error != 0) {
            return error;
        }
    }
    if (change->flags & EV_DISABLE) {
        note->is_disabled = true;
    } else if (change->flags & EV_ENABLE || (KQUEUE_ADD_ENABLES && change->flags & EV_ADD)) {
        note->is_disabled = false;
    }
    struct kevent unused;
    if (note->is_disabled) {
        dequeue(kq, note);
    } else if (has_something_to_tell(note, &unused)) {
        enqueue(kq, note);
    }
    return 0;
}

/* Applies one change. Returns 0 or an errno. */
static int apply(struct kqueue *kq, const struct kevent *change) {
    bool is_descriptor = is_of_descriptor(change->filter);
    if (!is_descriptor && change->filter != EVFILT_TIMER && change->filter != EVFILT_USER) {
        return EINVAL;
    }
    if (change->flags & EV_ENABLE && change->flags & EV_DISABLE) {
        return EINVAL;
    }
    if (is_descriptor && change->ident > INT_MAX) {
        return EBADF;
    }
    struct knote *note = find_knote(kq, change->ident, change->filter);
    if (note != NULL && is_descriptor && !is_registered(set_of(kq, note), (int)change->ident)) {
        forget_knote(kq, note);
        note = NULL;
    }
    if (is_descriptor && fcntl((int)change->ident, F_GETFD) < 0) {
        return EBADF;
    }
    if (note == NULL) {
        return (change->flags & (EV_ADD | EV_DELETE)) == EV_ADD ? add_knote(kq, change) : ENOENT;
    }
    if (change->flags & EV_DELETE) {
        forget_knote(kq, note);
        return 0;
    }
    return change_knote(kq, note, change);
}

/* Applies the changes in order. Returns how many answers it put into `answers`, or -errno. An answer never overtakes the
 * change that it answers, so the two may be one array. */
static int apply_all(struct kqueue *kq, const struct kevent *changes, int count, struct kevent *answers, int room) {
    int answered = 0;
    for (int at = 0; at < count; at++) {
        struct kevent change = changes[at];
        change.flags &= (uint16_t)~EV_SYSFLAGS;
        int error = apply(kq, &change);
        if (error == 0 && (change.flags & EV_RECEIPT) == 0) {
            continue;
        }
        if (answered == room) {
            return error != 0 ? -error : answered; /* changes behind a receipt without room are not applied: FreeBSD */
        }
        change.flags |= EV_ERROR;
        change.data = error;
        answers[answered++] = change;
    }
    return answered;
}

/* Events. */

static void queue_edge(struct kqueue *kq, int16_t filter, uint64_t name) {
    struct knote *note = find_knote(kq, (uint32_t)name, filter);
    if (note != NULL && note->serial == name >> SERIAL_SHIFT && !note->is_disabled) {
        enqueue(kq, note);
    }
}

/* Queues the knotes whose descriptors have changed since the last time. */
static void gather_edges(struct kqueue *kq, int set_fd, int16_t filter) {
    struct epoll_event edges[EDGES_MAX];
    int count;
    do {
        count = epoll_wait(set_fd, edges, EDGES_MAX, 0);
        for (int at = 0; at < count; at++) {
            if (edges[at].data.u64 == WAKE) {
                eventfd_t unused;
                eventfd_read(kq->wake_fd, &unused);
            } else if (edges[at].data.u64 != WRITERS) {
                queue_edge(kq, filter, edges[at].data.u64);
            }
        }
    } while (count == EDGES_MAX);
}

/* Counts what expired, and queues those timers. */
static void expire_timers(struct kqueue *kq) {
    uint64_t now = kq->timers != NULL ? now_ns() : 0;
    for (struct knote *note = kq->timers; note != NULL; note = note->next_timer) {
        if (note->due_ns > now) {
            continue;
        }
        if (note->event.flags & EV_ONESHOT) {
            note->expirations = 1;
        } else {
            uint64_t expired = 1 + (now - note->due_ns) / note->interval_ns;
            note->expirations += (intptr_t)expired;
            note->due_ns += expired * note->interval_ns;
        }
        if (!note->is_disabled) {
            enqueue(kq, note);
        }
    }
}

static uint64_t next_due_ns(const struct kqueue *kq) {
    uint64_t next = FOREVER;
    for (const struct knote *note = kq->timers; note != NULL; note = note->next_timer) {
        if (!note->is_disabled && note->due_ns < next) {
            next = note->due_ns;
        }
    }
    return next;
}

/* What becomes of a knote whose event was delivered; it is out of the queue. */
static void settle(struct kqueue *kq, struct knote *note) {
    if (note->event.flags & EV_ONESHOT) {
        forget_knote(kq, note);
        return;
    }
    note->expirations = 0;
    if (note->event.flags & EV_CLEAR) {
        note->is_triggered = false;
    }
    if (note->event.flags & EV_DISPATCH) {
        note->is_disabled = true;
    } else if ((note->event.flags & EV_CLEAR) == 0) {
        enqueue(kq, note);
    }
}

/* Takes each queued knote once, until there is no more room. Returns the number of events. */
static int deliver(struct kqueue *kq, struct kevent *events, int room) {
    int delivered = 0;
    for (int unseen = kq->queued; unseen > 0 && delivered < room; unseen--) {
        struct knote *note = kq->head;
        dequeue(kq, note);
        if (is_of_descriptor(note->event.filter) && !is_registered(set_of(kq, note), (int)note->event.ident)) {
            forget_knote(kq, note);
        } else if (has_something_to_tell(note, &events[delivered])) {
            delivered++;
            settle(kq, note);
        }
    }
    return delivered;
}

/* Sleeps, without the lock, until there may be something to deliver, at most until `until`. Returns 0 or an errno. */
static int wait_until(struct kqueue *kq, uint64_t until) {
    struct pollfd one = {.fd = kq->fd, .events = POLLIN};
    uint64_t now = now_ns();
    uint64_t left = until > now ? until - now : 0;
    struct timespec timeout = {.tv_sec = (time_t)(left / SECOND_NS), .tv_nsec = (long)(left % SECOND_NS)};
    kq->waiting++;
    give_lock();
    int error = ppoll(&one, 1, until == FOREVER ? NULL : &timeout, NULL) < 0 ? errno : 0;
    take_lock();
    kq->waiting--;
    return error;
}

/* Returns the number of events, or -errno. */
static int collect(struct kqueue *kq, struct kevent *events, int room, uint64_t until) {
    for (;;) {
        gather_edges(kq, kq->write_fd, EVFILT_WRITE);
        gather_edges(kq, kq->fd, EVFILT_READ);
        expire_timers(kq);
        int delivered = deliver(kq, events, room);
        if (delivered > 0 || (until != FOREVER && until <= now_ns())) {
            return delivered;
        }
        uint64_t due = next_due_ns(kq);
        int error = wait_until(kq, due < until ? due : until);
        if (error != 0) {
            return -error;
        }
    }
}

/* Kqueues. */

/* Whether the number that kqueue() gave out still is this kqueue's. */
static bool is_open(const struct kqueue *kq) {
    return kq->owner == getpid() && is_registered(kq->fd, kq->wake_fd);
}

static struct kqueue *find_kqueue(int fd) {
    struct kqueue *kq = kqueues;
    while (kq != NULL && kq->fd != fd) {
        kq = kq->next;
    }
    return kq != NULL && is_open(kq) ? kq : NULL;
}

/* Frees what belongs to a kqueue whose own descriptor is closed, or about to be. */
static void release(struct kqueue *kq) {
    struct kqueue **link = &kqueues;
    while (*link != kq) {
        link = &(*link)->next;
    }
    *link = kq->next;
    for (int at = 0; at < BUCKETS; at++) {
        for (struct knote *note = kq->buckets[at], *next; note != NULL; note = next) {
            next = note->in_bucket;
            free(note);
        }
    }
    close_descriptor(kq->write_fd);
    close_descriptor(kq->wake_fd);
    free(kq);
}

static void release_closed(void) {
    for (struct kqueue *kq = kqueues, *next; kq != NULL; kq = next) {
        next = kq->next;
        if (kq->waiting == 0 && kq->owner == getpid() && !is_open(kq)) {
            release(kq);
        }
    }
}

static void hold_lock_across_fork(void) {
    pthread_atfork(take_lock, give_lock, give_lock);
}

int kqueue(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, hold_lock_across_fork);
    take_lock();
    release_closed();
    struct epoll_event wake = {.events = EPOLLIN, .data.u64 = WAKE};
    struct epoll_event writers = {.events = EPOLLIN, .data.u64 = WRITERS};
    struct kqueue *kq = calloc(1, sizeof *kq);
    int fd = -1;
    if (kq != NULL) {
        kq->fd = epoll_create1(EPOLL_CLOEXEC);
        kq->write_fd = epoll_create1(EPOLL_CLOEXEC);
        kq->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        kq->owner = getpid();
        if (kq->fd >= 0 && kq->write_fd >= 0 && kq->wake_fd >= 0 &&
            epoll_ctl(kq->fd, EPOLL_CTL_ADD, kq->wake_fd, &wake) == 0 &&
            epoll_ctl(kq->fd, EPOLL_CTL_ADD, kq->write_fd, &writers) == 0) {
            fd = kq->fd;
            kq->next = kqueues;
            kqueues = kq;
        } else {
            int error = errno;
            close_descriptor(kq->fd);
            close_descriptor(kq->write_fd);
            close_descriptor(kq->wake_fd);
            free(kq);
            errno = error;
        }
    }
    give_lock();
    return fd;
}

static uint64_t end_of(const struct timespec *timeout) {
    if (timeout == NULL) {
        return FOREVER;
    }
    uint64_t seconds = (uint64_t)timeout->tv_sec;
    bool is_forever = seconds > NANOSECONDS_MAX / SECOND_NS;
    return is_forever ? FOREVER : now_ns() + seconds * SECOND_NS + (uint64_t)timeout->tv_nsec;
}

int kevent(int fd, const struct kevent *changelist, int nchanges, struct kevent *eventlist, int nevents,
           const struct timespec *timeout) {
    int result;
    take_lock();
    struct kqueue *kq = find_kqueue(fd);
    if (kq == NULL) {
        result = -EBADF;
    } else if (nchanges < 0 || nevents < 0) {
        result = -EINVAL;
    } else if (timeout != NULL && (timeout->tv_sec < 0 || timeout->tv_nsec < 0 || timeout->tv_nsec >= SECOND_NS)) {
        result = -EINVAL;
    } else if ((nchanges > 0 && changelist == NULL) || (nevents > 0 && eventlist == NULL)) {
        result = -EFAULT;
    } else {
        result = apply_all(kq, changelist, nchanges, eventlist, nevents);
        if (result == 0 && nevents > 0) {
            result = collect(kq, eventlist, nevents, end_of(timeout));
        }
        if (kq->waiting > 0) { /* what was changed, or left in the queue, may be for those who sleep */
            eventfd_write(kq->wake_fd, 1);
        }
    }
    give_lock();
    if (result < 0) {
        errno = -result;
        return -1;
    }
    return result;
}

#ifdef KQUEUE_INTERPOSES_CLOSE
/* close(2) for the code that is linked with this: forgets the descriptor's knotes as the real kernels do, and frees a
 * kqueue at once. Protected, so that a shared object's own calls end here whatever else defines a close(). */
__attribute__((visibility("protected"))) int close(int fd) {
    take_lock();
    for (struct kqueue *kq = kqueues, *next; kq != NULL; kq = next) {
        next = kq->next;
        if (!is_open(kq)) {
            continue;
        }
        if (kq->fd == fd) {
            if (kq->waiting == 0) {
                release(kq);
            }
            continue;
        }
        for (int16_t filter = EVFILT_READ; filter >= EVFILT_WRITE; filter--) {
            struct knote *note = find_knote(kq, (uintptr_t)fd, filter);
            if (note != NULL) {
                forget_knote(kq, note);
            }
        }
    }
    give_lock();
    return (int)syscall(SYS_close, fd);
}
#endif
