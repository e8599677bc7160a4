/* See state_file.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "daemon/io/system/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int check(int fd, uid_t user, const char *shown, mode_t forbidden, char error[FAILURE_MAX]) {
    struct stat st;
    if (fstat(fd, &st) < 0)
        return failure(error, -errno, "%s: %s", shown, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return failure(error, -EPERM, "%s: not a regular file", shown);
    if (st.st_uid != user && st.st_uid != 0)
        return failure(error, -EPERM, "%s: belongs to user %u: chown %u %s", shown,
                       (unsigned)st.st_uid, (unsigned)user, shown);
    if (st.st_mode & forbidden)
        return failure(error, -EPERM, "%s: others may use this secret (mode %04o): chmod 600 %s",
                       shown, (unsigned)(st.st_mode & 07777), shown);
    if (user != geteuid() && st.st_uid != user && !(st.st_mode & (S_IRGRP | S_IROTH)))
        return failure(error, -EACCES, "%s: user %u cannot read it: chown %u %s", shown,
                       (unsigned)user, (unsigned)user, shown);
    return 0;
}

static ssize_t read_all(int fd, char *bytes, size_t room) {
    size_t length = 0;
    while (length < room) {
        ssize_t n = read(fd, bytes + length, room - length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return (ssize_t)length;
        length += (size_t)n;
    }
    char more;
    return read(fd, &more, 1) == 0 ? (ssize_t)length : -EFBIG;
}

ssize_t state_file_read(int folder, const char *name, const char *shown, mode_t forbidden,
                        void *ret_bytes, size_t room, char error[FAILURE_MAX]) {
    return state_file_read_for(geteuid(), folder, name, shown, forbidden, ret_bytes, room, error);
}

ssize_t state_file_read_for(uid_t user, int folder, const char *name, const char *shown,
                            mode_t forbidden, void *ret_bytes, size_t room,
                            char error[FAILURE_MAX]) {
    /* Non-blocking: a FIFO in the file's place must not hang the start. */
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 && errno == ENOENT)
        return -ENOENT;
    if (fd < 0)
        return failure(error, -errno, "%s: %s", shown, strerror(errno));
    ssize_t r = check(fd, user, shown, forbidden, error);
    if (r == 0) {
        r = read_all(fd, ret_bytes, room);
        if (r < 0)
            failure(error, 0, "%s: %s", shown, strerror((int)-r));
    }
    close(fd);
    return r;
}

static int write_all(int fd, const char *bytes, size_t length) {
    while (length > 0) {
        ssize_t n = write(fd, bytes, length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        bytes += n;
        length -= (size_t)n;
    }
    return fsync(fd) < 0 ? -errno : 0;
}

int state_file_write(int folder, const char *name, const void *bytes, size_t length, int replace) {
    static const char temporary[] = "new.tmp";
    /* A temporary file was left by a crash: the folder is locked, so nobody else is writing it. */
    unlinkat(folder, temporary, 0);
    int fd = openat(folder, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int r = write_all(fd, bytes, length);
    if (close(fd) < 0 && r == 0)
        r = -errno;
    if (r == 0 && replace)
        r = renameat(folder, temporary, folder, name) < 0 ? -errno : 0;
    else if (r == 0) /* unlike a rename, a link never takes another's place */
        r = linkat(folder, temporary, folder, name, 0) < 0 ? -errno : 0;
    unlinkat(folder, temporary, 0);
    if (r == 0 && fsync(folder) < 0)
        r = -errno;
    return r;
}
