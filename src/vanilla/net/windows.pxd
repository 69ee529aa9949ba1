# What only Windows has: completion ports, overlapped calls on sockets, and AFD, the driver below Winsock, which polls
# them. No GIL; the error stays with the platform, unless a name says errno: then it has the numbers of Python's module.
#
# Declared here is what mingw-w64's headers lack: AFD is documented nowhere, but select() and WSAPoll() are built on it,
# and libuv, mio and wepoll rely on it.
from libc.stdint cimport uint16_t, uint32_t

from vanilla.net.platform cimport EAGAIN

# AFD_POLL_INFO with one handle: what to wait for, and then what has happened.
ctypedef struct AfdPoll:
    long long timeout        # in 100 ns; 2**63 - 1 is for ever
    uint32_t handle_count
    uint32_t is_exclusive
    void *handle
    uint32_t events
    int status

cdef enum:
    POLL_RECEIVE = 0x01
    POLL_SEND = 0x04
    POLL_DISCONNECT = 0x08   # the peer has sent its last byte
    POLL_ABORT = 0x10        # the connection was reset
    POLL_LOCAL_CLOSE = 0x20  # the socket was closed while it was polled
    POLL_ACCEPT = 0x80
    POLL_CONNECT_FAIL = 0x100

cdef extern from * nogil:
    """
    #include <errno.h>
    #include <winsock2.h>
    #include <ws2tcpip.h>
    #include <mswsock.h>
    #include <windows.h>
    #include <winternl.h>

    /* A handle by which sockets are polled, whose outcomes come through the port; NULL, and GetLastError(). */
    CYTHON_UNUSED static HANDLE vanilla_open_afd(HANDLE port, ULONG_PTR key) {
        UNICODE_STRING name;
        OBJECT_ATTRIBUTES attributes = {0};
        IO_STATUS_BLOCK outcome;
        HANDLE afd;
        NTSTATUS status;
        RtlInitUnicodeString(&name, L"\\\\Device\\\\Afd\\\\vanilla");
        attributes.Length = sizeof attributes;
        attributes.ObjectName = &name;
        status = NtCreateFile(&afd, SYNCHRONIZE, &attributes, &outcome, NULL, 0, FILE_SHARE_READ | FILE_SHARE_WRITE,
                              FILE_OPEN, 0, NULL, 0);
        if (status < 0) {
            SetLastError(RtlNtStatusToDosError(status));
            return NULL;
        }
        if (CreateIoCompletionPort(afd, port, key, 0) == NULL) {
            DWORD error = GetLastError();
            CloseHandle(afd);
            SetLastError(error);
            return NULL;
        }
        return afd;
    }

    /* Begin a poll; whether an outcome follows, be it there already or not. */
    CYTHON_UNUSED static int vanilla_poll_afd(HANDLE afd, OVERLAPPED *overlapped, void *poll, unsigned size) {
        IO_STATUS_BLOCK *outcome = (IO_STATUS_BLOCK *)overlapped;
        overlapped->Internal = (ULONG_PTR)STATUS_PENDING;
        return NtDeviceIoControlFile(afd, NULL, NULL, overlapped, outcome, 0x12024, poll, size, poll, size) >= 0;
    }

    CYTHON_UNUSED static int vanilla_socket_errno(int error) {
        switch (error) {
        case WSAEWOULDBLOCK: return EAGAIN;
        case WSAEINTR: return EINTR;
        case WSAEMFILE: return EMFILE;
        case ERROR_NOT_ENOUGH_MEMORY: case ERROR_OUTOFMEMORY: return ENOMEM;
        case ERROR_ACCESS_DENIED: case ERROR_LOCK_VIOLATION: case ERROR_SHARING_VIOLATION: return EACCES;
        /* Winsock has several words for a connection that is gone. */
        case WSAECONNABORTED: case WSAENETRESET: case WSAESHUTDOWN: case WSAENOTCONN:
        case ERROR_NETNAME_DELETED: case ERROR_CONNECTION_ABORTED: return WSAECONNRESET;
        default: return error >= WSABASEERR ? error : EIO;
        }
    }

    CYTHON_UNUSED static int vanilla_last_errno(void) {
        return vanilla_socket_errno(WSAGetLastError());
    }

    /* Why an overlapped call on a socket failed. */
    CYTHON_UNUSED static int vanilla_outcome_errno(SOCKET fd, OVERLAPPED *overlapped) {
        DWORD count, flags;
        return WSAGetOverlappedResult(fd, overlapped, &count, FALSE, &flags) ? 0 : vanilla_last_errno();
    }

    CYTHON_UNUSED static void *vanilla_find_extension(SOCKET fd, GUID name) {
        void *function = NULL;
        DWORD size;
        WSAIoctl(fd, SIO_GET_EXTENSION_FUNCTION_POINTER, &name, sizeof name, &function, sizeof function, &size, NULL, NULL);
        return function;
    }
    #define vanilla_find_acceptex(fd) ((LPFN_ACCEPTEX)vanilla_find_extension(fd, (GUID)WSAID_ACCEPTEX))
    #define vanilla_find_addresses(fd) \\
        ((LPFN_GETACCEPTEXSOCKADDRS)vanilla_find_extension(fd, (GUID)WSAID_GETACCEPTEXSOCKADDRS))
    #define vanilla_find_transmitfile(fd) ((LPFN_TRANSMITFILE)vanilla_find_extension(fd, (GUID)WSAID_TRANSMITFILE))

    /* The handle that AFD knows, below what a layered service provider has put over it. */
    CYTHON_UNUSED static SOCKET vanilla_base_socket(SOCKET fd) {
        SOCKET base;
        DWORD size;
        return WSAIoctl(fd, SIO_BASE_HANDLE, NULL, 0, &base, sizeof base, &size, NULL, NULL) == 0 ? base : fd;
    }

    /* Bytes that TCP has sent and the peer has acknowledged; -1 where that cannot be known (before Windows 10 1703). */
    CYTHON_UNUSED static long long vanilla_acknowledged(SOCKET fd) {
        struct {
            int state;
            ULONG segment;
            unsigned long long connected_ms;
            BOOLEAN has_timestamps;
            ULONG round_us, round_least_us, in_flight, congestion, send_window, receive_window, receive_buffer;
            unsigned long long sent, received;
            ULONG reordered, retransmitted, fast, duplicates, timeouts;
            UCHAR opened_again;
        } info;  /* TCP_INFO_v0 */
        DWORD version = 0, size;
        if (WSAIoctl(fd, _WSAIORW(IOC_VENDOR, 39), &version, sizeof version, &info, sizeof info, &size, NULL, NULL) != 0)
            return -1;
        return (long long)(info.sent - info.in_flight);
    }
    """
    ctypedef void *HANDLE
    ctypedef size_t SOCKET
    ctypedef unsigned long DWORD
    ctypedef struct OVERLAPPED:
        size_t Internal      # an NTSTATUS: below 0, as 32 bits, it has failed
        size_t InternalHigh  # bytes
        DWORD Offset, OffsetHigh
    ctypedef struct OVERLAPPED_ENTRY:
        size_t lpCompletionKey
        OVERLAPPED *lpOverlapped
        DWORD dwNumberOfBytesTransferred
    ctypedef struct WSABUF:
        DWORD len
        char *buf
    void *INVALID_HANDLE_VALUE
    SOCKET INVALID_SOCKET
    DWORD INFINITE, WAIT_TIMEOUT, HANDLE_FLAG_INHERIT
    int WSA_IO_PENDING, WSAENOTSOCK
    unsigned char FILE_SKIP_COMPLETION_PORT_ON_SUCCESS, FILE_SKIP_SET_EVENT_ON_HANDLE

    HANDLE CreateIoCompletionPort(HANDLE file, HANDLE port, size_t key, DWORD threads)
    bint GetQueuedCompletionStatusEx(
        HANDLE port, OVERLAPPED_ENTRY *entries, DWORD size, DWORD *count, DWORD timeout_ms, bint is_alertable
    )
    bint PostQueuedCompletionStatus(HANDLE port, DWORD count, size_t key, OVERLAPPED *overlapped)
    bint SetFileCompletionNotificationModes(HANDLE file, unsigned char flags)
    bint SetHandleInformation(HANDLE file, DWORD mask, DWORD flags)
    bint CancelIoEx(HANDLE file, OVERLAPPED *overlapped)
    bint CloseHandle(HANDLE file)
    DWORD GetLastError()
    HANDLE find_handle "vanilla_find_handle"(int fd)    # of a file

    int AF_INET, AF_INET6, SOCK_STREAM, IPPROTO_TCP, TCP_NODELAY, SOL_SOCKET, SO_TYPE, SO_PROTOCOL_INFOW, SD_SEND, MSG_PEEK
    int SO_UPDATE_ACCEPT_CONTEXT
    long FIONBIO
    DWORD WSA_FLAG_OVERLAPPED, WSA_FLAG_NO_HANDLE_INHERIT, XP1_IFS_HANDLES
    ctypedef struct WSAPROTOCOL_INFOW:
        DWORD dwServiceFlags1
        int iAddressFamily
    struct sockaddr:
        pass
    struct in_addr:
        pass
    struct in6_addr:
        pass
    struct sockaddr_in:
        uint16_t sin_port
        in_addr sin_addr
    struct sockaddr_in6:
        uint16_t sin6_family
        uint16_t sin6_port
        in6_addr sin6_addr
    uint16_t ntohs(uint16_t number)
    SOCKET open_socket "WSASocketW"(int family, int type, int protocol, void *info, unsigned int group, DWORD flags)
    SOCKET accept_socket "accept"(SOCKET fd, sockaddr *address, int *length)
    int ioctlsocket(SOCKET fd, long command, unsigned long *value)
    int shutdown(SOCKET fd, int how)
    int getsockopt(SOCKET fd, int level, int name, char *value, int *length)
    int setsockopt(SOCKET fd, int level, int name, const char *value, int length)
    int WSARecv(
        SOCKET fd, WSABUF *pieces, DWORD count, DWORD *received, DWORD *flags, OVERLAPPED *overlapped, void *routine
    )
    int WSASend(SOCKET fd, WSABUF *pieces, DWORD count, DWORD *sent, DWORD flags, OVERLAPPED *overlapped, void *routine)
    int WSAGetLastError()

    ctypedef bint (*LPFN_ACCEPTEX)(
        SOCKET listener,
        SOCKET fd,
        void *target,
        DWORD room,
        DWORD local_size,
        DWORD remote_size,
        DWORD *received,
        OVERLAPPED *overlapped,
    ) noexcept nogil
    ctypedef void (*LPFN_GETACCEPTEXSOCKADDRS)(
        void *source,
        DWORD room,
        DWORD local_size,
        DWORD remote_size,
        sockaddr **local,
        int *local_length,
        sockaddr **remote,
        int *remote_length,
    ) noexcept nogil
    ctypedef bint (*LPFN_TRANSMITFILE)(
        SOCKET fd, HANDLE file, DWORD length, DWORD step, OVERLAPPED *overlapped, void *around, DWORD flags
    ) noexcept nogil
    LPFN_ACCEPTEX find_acceptex "vanilla_find_acceptex"(SOCKET fd)
    LPFN_GETACCEPTEXSOCKADDRS find_addresses "vanilla_find_addresses"(SOCKET fd)
    LPFN_TRANSMITFILE find_transmitfile "vanilla_find_transmitfile"(SOCKET fd)

    HANDLE open_afd "vanilla_open_afd"(HANDLE port, size_t key)
    bint poll_afd "vanilla_poll_afd"(HANDLE afd, OVERLAPPED *overlapped, AfdPoll *poll, unsigned int size)
    SOCKET base_socket "vanilla_base_socket"(SOCKET fd)
    int last_errno "vanilla_last_errno"()
    int outcome_errno "vanilla_outcome_errno"(SOCKET fd, OVERLAPPED *overlapped)
    long long count_acknowledged "vanilla_acknowledged"(SOCKET fd)
