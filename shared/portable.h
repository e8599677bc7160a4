/* Unix sockets, descriptors over them, and files, as Linux, macOS and the BSDs all know them. A
 * connection to the control socket is rare enough to spend a system call more on it than
 * SOCK_CLOEXEC and accept4 would. */
#ifndef P2PD_PORTABLE_H
#define P2PD_PORTABLE_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#if defined(__linux__)
#include <sys/prctl.h>
#endif
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>
#if !defined(__linux__)
#include <sys/filio.h>
#endif

/* The type that getgrouplist uses for groups. */
#ifdef __APPLE__
typedef int portable_gid;
#else
typedef gid_t portable_gid;
#endif

/* Old macOS has the option SO_NOSIGPIPE instead: see portable_socket_prepare. */
#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

/* Where this flag is missing, close-on-exec is set right after the call. */
#ifndef MSG_CMSG_CLOEXEC
#define MSG_CMSG_CLOEXEC 0
#endif

/* Close on exec, no SIGPIPE, perhaps no blocking. Returns fd, or -errno with fd closed. */
static inline int portable_socket_prepare(int fd, bool blocking) {
    int flags = blocking ? 0 : O_NONBLOCK;
    if (fd < 0)
        return -errno;
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, flags) < 0) {
        int error = -errno;
        close(fd);
        return error;
    }
#ifdef SO_NOSIGPIPE
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
    return fd;
}

/* A stream socket of the Unix domain. Its descriptor, or -errno. */
static inline int portable_unix_socket(bool blocking) {
    return portable_socket_prepare(socket(AF_UNIX, SOCK_STREAM, 0), blocking);
}

/* The next connection, which does not block. Its descriptor, or -errno. */
static inline int portable_accept(int listener) {
    return portable_socket_prepare(accept(listener, NULL, NULL), false);
}

/* Keep our memory out of core dumps, and away from other processes of our user. Linux gives dumps
 * to a program whatever the limit says, unless the process is not dumpable. (A leak checker is a
 * process of our user, too.) */
static inline void portable_forbid_dumps(void) {
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
#if defined(__linux__) && !defined(__SANITIZE_ADDRESS__)
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

/* To pass through a folder, it need only be searchable, not readable. */
#if defined(O_PATH)
#define PORTABLE_SEARCH O_PATH
#elif defined(O_SEARCH)
#define PORTABLE_SEARCH O_SEARCH
#else
#define PORTABLE_SEARCH O_RDONLY
#endif

/* Open the folder that holds the file of an absolute, resolved path, following no symbolic link:
 * whoever has put one in the place of a folder since then does not lead us elsewhere. Returns its
 * descriptor, to be closed, with the last component in *ret_name (within path); or -errno, -ENOTDIR
 * for a link. */
static inline int portable_open_parent(const char *path, const char **ret_name) {
    int flags = PORTABLE_SEARCH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = *path == '/' ? open("/", flags) : -1;
    if (fd < 0)
        return *path == '/' ? -errno : -EINVAL;
    for (const char *end; *path == '/'; path = end) {
        char name[256];
        path += strspn(path, "/");
        end = path + strcspn(path, "/");
        if (*end == '\0')
            break;
        int next = -1, error = -ENAMETOOLONG;
        if ((size_t)(end - path) < sizeof name) {
            memcpy(name, path, (size_t)(end - path));
            name[end - path] = '\0';
            next = openat(fd, name, flags);
            error = errno == ELOOP || errno == EMLINK ? -ENOTDIR : -errno;
        }
        close(fd);
        if (next < 0)
            return error;
        fd = next;
    }
    *ret_name = path;
    return fd;
}

/* Bring a file's bytes to the disk, and what is needed to find them again. 0, or -errno. macOS's
 * fsync stops at the drive's cache, so there F_FULLFSYNC is used. */
static inline int portable_sync_data(int fd) {
#if defined(__APPLE__)
    if (fcntl(fd, F_FULLFSYNC) == 0)
        return 0;
    return fsync(fd) < 0 ? -errno : 0; /* not every file system of macOS knows F_FULLFSYNC */
#elif defined(_POSIX_SYNCHRONIZED_IO) && _POSIX_SYNCHRONIZED_IO > 0
    return fdatasync(fd) < 0 ? -errno : 0;
#else
    return fsync(fd) < 0 ? -errno : 0;
#endif
}

/* Let the disk begin to write, without waiting and without any promise: only portable_sync_data
 * gives one. */
static inline void portable_start_writing(int fd) {
#ifdef SYNC_FILE_RANGE_WRITE
    sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
#else
    (void)fd;
#endif
}

/* How many bytes that we sent on a Unix socket the peer has not read. 0, or -errno. On the BSDs and
 * macOS they are in the peer's own buffer at once, and the count is zero: there a peer that closes
 * without reading looks like one that has read everything. */
static inline int portable_unread(int fd, int *ret_bytes) {
#if defined(__linux__)
    return ioctl(fd, TIOCOUTQ, ret_bytes) < 0 ? -errno : 0;
#elif defined(SO_NWRITE)
    socklen_t length = sizeof *ret_bytes;
    return getsockopt(fd, SOL_SOCKET, SO_NWRITE, ret_bytes, &length) < 0 ? -errno : 0;
#elif defined(FIONWRITE)
    return ioctl(fd, FIONWRITE, ret_bytes) < 0 ? -errno : 0;
#else
    (void)fd;
    *ret_bytes = 0;
    return 0;
#endif
}

/* Room for the control message that carries one descriptor, aligned for its header. */
union portable_rights {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
};

/* As send(2); `fd` is sent with the first byte, and stays the caller's. */
static inline ssize_t portable_send_fd(int socket, const void *bytes, size_t length, int flags,
                                       int fd) {
    union portable_rights rights = {.bytes = {0}};
    struct iovec part = {.iov_base = (void *)bytes, .iov_len = length};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = rights.bytes,
                             .msg_controllen = sizeof rights.bytes};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    return sendmsg(socket, &message, flags);
}

/* As recv(2). *ret_fd is the descriptor that came with these bytes, to be closed by the caller, or
 * -1. Of several the first one counts; the others are closed. */
static inline ssize_t portable_receive_fd(int socket, void *buffer, size_t size, int flags,
                                          int *ret_fd) {
    union portable_rights rights = {.bytes = {0}};
    struct iovec part = {.iov_base = buffer, .iov_len = size};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = rights.bytes,
                             .msg_controllen = sizeof rights.bytes};
    ssize_t n = recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
    *ret_fd = -1;
    if (n < 0)
        return n;
    for (struct cmsghdr *at = CMSG_FIRSTHDR(&message); at; at = CMSG_NXTHDR(&message, at)) {
        if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS)
            continue;
        /* Room for one descriptor is, once aligned, room for two. */
        size_t count = (at->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(at) + i * sizeof fd, sizeof fd);
            if (*ret_fd >= 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
                close(fd);
            else
                *ret_fd = fd;
        }
    }
    return n;
}

/* Have the file system allocate the bytes from one offset to another; best effort. */
static inline void portable_allocate(int fd, off_t from, off_t to) {
#if defined(__linux__) || defined(__FreeBSD__) || defined(__NetBSD__)
    if (to > from)
        (void)!posix_fallocate(fd, from, to - from);
#else
    (void)fd, (void)from, (void)to;
#endif
}

#endif
