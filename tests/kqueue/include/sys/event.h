/* <sys/event.h> for Linux: as much of it as kqueue.c, two folders up, implements. A name that is missing here is a
 * feature that is missing there, so that a use of it does not compile. Layout and values are those of macOS, which has
 * kept the classic struct; portable code relies on the names alone. README.md says where the real ones differ. */

#ifndef KQUEUE_EMULATION_SYS_EVENT_H
#define KQUEUE_EMULATION_SYS_EVENT_H

#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct kevent {
    uintptr_t ident; /* a descriptor, or whatever number names a timer or a user event */
    int16_t filter;  /* EVFILT_ */
    uint16_t flags;  /* EV_ */
    uint32_t fflags; /* NOTE_; in a READ or WRITE event with EV_EOF the socket's error */
    intptr_t data;   /* bytes, connections, expirations; a timer's period; the errno of an EV_ERROR */
    void *udata;     /* given back with each event */
};

#define EV_SET(kevp, ident_, filter_, flags_, fflags_, data_, udata_) \
    do {                                                              \
        struct kevent *kevent_to_set = (kevp);                        \
        kevent_to_set->ident = (ident_);                              \
        kevent_to_set->filter = (filter_);                            \
        kevent_to_set->flags = (flags_);                              \
        kevent_to_set->fflags = (fflags_);                            \
        kevent_to_set->data = (data_);                                \
        kevent_to_set->udata = (udata_);                              \
    } while (0)

#define EVFILT_READ (-1)
#define EVFILT_WRITE (-2)
#define EVFILT_TIMER (-7)
#define EVFILT_USER (-10)

/* What a change does */
#define EV_ADD 0x0001
#define EV_DELETE 0x0002
#define EV_ENABLE 0x0004
#define EV_DISABLE 0x0008

/* How events are delivered */
#define EV_ONESHOT 0x0010  /* once, then the knote is deleted */
#define EV_CLEAR 0x0020    /* once for each change of state */
#define EV_RECEIPT 0x0040  /* answer the change with EV_ERROR, data 0 if it succeeded */
#define EV_DISPATCH 0x0080 /* once, then the knote is disabled */

/* What events tell */
#define EV_SYSFLAGS 0xF000
#define EV_ERROR 0x4000
#define EV_EOF 0x8000

/* EVFILT_TIMER: the unit of data, milliseconds without any of these */
#define NOTE_SECONDS 0x00000001
#define NOTE_USECONDS 0x00000002
#define NOTE_NSECONDS 0x00000004

/* EVFILT_USER */
#define NOTE_TRIGGER 0x01000000
#define NOTE_FFNOP 0x00000000U
#define NOTE_FFAND 0x40000000U
#define NOTE_FFOR 0x80000000U
#define NOTE_FFCOPY 0xC0000000U
#define NOTE_FFCTRLMASK 0xC0000000U
#define NOTE_FFLAGSMASK 0x00FFFFFFU

#ifdef __cplusplus
extern "C" {
#endif

int kqueue(void);
int kevent(int kq, const struct kevent *changelist, int nchanges, struct kevent *eventlist, int nevents,
           const struct timespec *timeout);

#ifdef __cplusplus
}
#endif

#endif
