/* See copy.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "client/ctl/copy.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <unistd.h>

#define PIECE (256u << 10)
#define SIZELESS_MAX (64u << 20) /* most bytes of a file without a size, such as one of /proc */

static int write_all(int fd, const uint8_t *bytes, size_t length) {
    while (length > 0) {
        ssize_t n = write(fd, bytes, length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        bytes += n;
        length -= (size_t)n;
    }
    return 0;
}

static struct timespec changed_at(const struct stat *st) {
#ifdef __APPLE__
    return st->st_mtimespec;
#else
    return st->st_mtim;
#endif
}

void copy_look(int fd, struct copy_source *ret_source) {
    *ret_source = (struct copy_source){.has_size = false};
    if (fstat(fd, &ret_source->was) < 0 || !S_ISREG(ret_source->was.st_mode))
        return;
    off_t at = lseek(fd, 0, SEEK_CUR), end = ret_source->was.st_size;
    ret_source->has_size = true;
    ret_source->size = at >= 0 && at < end ? (uint64_t)(end - at) : 0;
}

uint64_t copy_most(const struct copy_source *source) {
    if (!source->has_size)
        return UINT64_MAX;
    return source->was.st_size > 0 ? source->size : SIZELESS_MAX;
}

bool copy_is_whole(int fd, const struct copy_source *source, uint64_t size) {
    struct stat now;
    if (!source->has_size)
        return true;
    if (fstat(fd, &now) < 0 || now.st_size != source->was.st_size)
        return false;
    struct timespec before = changed_at(&source->was), after = changed_at(&now);
    bool is_touched = before.tv_sec != after.tv_sec || before.tv_nsec != after.tv_nsec;
    return !is_touched && (size == source->size || now.st_size == 0);
}

int copy_file(int from, int to, uint64_t most, struct progress *progress, uint64_t *ret_size,
              uint8_t ret_digest[COPY_DIGEST_LEN], bool *ret_at_source) {
    crypto_hash_sha256_state hash;
    uint8_t *bytes = malloc(PIECE);
    uint64_t size = 0;
    int error = bytes ? 0 : -ENOMEM;
    *ret_at_source = false;
    crypto_hash_sha256_init(&hash);
    while (error == 0) {
        ssize_t n = read(from, bytes, PIECE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            break;
        *ret_at_source = n < 0 || (uint64_t)n > most - size;
        if (*ret_at_source)
            error = n < 0 ? -errno : -EFBIG;
        else
            error = write_all(to, bytes, (size_t)n);
        if (error < 0)
            break;
        crypto_hash_sha256_update(&hash, bytes, (unsigned long long)n);
        size += (uint64_t)n;
        progress_set(progress, size);
    }
    free(bytes);
    if (error < 0)
        return error;
    crypto_hash_sha256_final(&hash, ret_digest);
    *ret_size = size;
    return 0;
}
