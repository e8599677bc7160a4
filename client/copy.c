/* See copy.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "client/copy.h"

#include "client/output.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PIECE (256u << 10)
#define DRAW_EVERY_MS 200
#define NAMES_MAX 10000 /* name.1 to name.9999: somebody fills a folder with one name */

static int64_t now_ms(void) {
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- Progress ---- */

void progress_start(struct progress *progress, const struct context *context, const char *what,
                    uint64_t already, uint64_t total) {
    *progress = (struct progress){.what = what, .total = total, .first = already, .done = already};
    progress->shown = isatty(STDERR_FILENO) && !context->options.quiet && !context->options.json;
    progress->started_ms = now_ms();
}

static void draw(struct progress *progress, int64_t now) {
    char done[TEXT_CELL_MAX], total[TEXT_CELL_MAX], rate[TEXT_CELL_MAX], left[32] = "";
    double seconds = (double)(now - progress->started_ms) / 1e3;
    double bytes_a_second = seconds > 0 ? (double)(progress->done - progress->first) / seconds : 0;
    cell_size(progress->done, done);
    cell_size((uint64_t)bytes_a_second, rate);
    if (progress->total == 0) {
        fprintf(stderr, "\r%s  %s  %s/s\033[K", progress->what, done, rate);
        return;
    }
    cell_size(progress->total, total);
    if (bytes_a_second > 0 && progress->done <= progress->total) {
        double wait = (double)(progress->total - progress->done) / bytes_a_second;
        int64_t whole = wait < 360000 ? (int64_t)wait : 359999;
        snprintf(left, sizeof left, "  %02" PRId64 ":%02" PRId64 ":%02" PRId64, whole / 3600,
                 whole / 60 % 60, whole % 60);
    }
    fprintf(stderr, "\r%s  %3.0f%%  %s of %s  %s/s%s\033[K", progress->what,
            100.0 * (double)progress->done / (double)progress->total, done, total, rate, left);
}

void progress_set(struct progress *progress, uint64_t done) {
    progress->done = done;
    if (!progress->shown)
        return;
    int64_t now = now_ms();
    if (now - progress->drawn_ms < DRAW_EVERY_MS)
        return;
    progress->drawn_ms = now;
    draw(progress, now);
}

void progress_end(struct progress *progress) {
    if (progress->shown && progress->drawn_ms)
        fputs("\r\033[K", stderr);
    progress->shown = false;
}

/* ---- Copying ---- */

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

int copy_file(int from, int to, struct progress *progress, uint64_t *ret_size,
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
        *ret_at_source = n < 0;
        error = n < 0 ? -errno : write_all(to, bytes, (size_t)n);
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

/* ---- A new file ---- */

static void numbered(const char *name, unsigned number, const char *end, char ret_name[256]) {
    if (number == 0)
        snprintf(ret_name, 256, "%s%s", name, end);
    else
        snprintf(ret_name, 256, "%s.%u%s", name, number, end);
}

int copy_create(struct copy_target *target, int folder, const char *name) {
    target->folder = folder;
    target->name = name;
    for (unsigned i = 0; i < NAMES_MAX; i++) {
        numbered(name, i, ".part", target->part);
        target->fd = openat(folder, target->part,
                            O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (target->fd >= 0)
            return 0;
        if (errno != EEXIST)
            return -errno;
    }
    return -EEXIST;
}

/* A link never takes another's place. Where there are none (FAT, some network disks), looking first
 * has to do. */
static int give_name(const struct copy_target *target) {
    struct stat st;
    if (linkat(target->folder, target->part, target->folder, target->final, 0) == 0)
        return unlinkat(target->folder, target->part, 0) < 0 ? -errno : 0;
    if (errno == EEXIST || (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS))
        return -errno;
    if (fstatat(target->folder, target->final, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return -EEXIST;
    return renameat(target->folder, target->part, target->folder, target->final) < 0 ? -errno : 0;
}

int copy_finish(struct copy_target *target) {
    int error = fsync(target->fd) < 0 ? -errno : 0;
    if (close(target->fd) < 0 && error == 0)
        error = -errno;
    target->fd = -1;
    for (unsigned i = 0; error == 0 && i < NAMES_MAX; i++) {
        numbered(target->name, i, "", target->final);
        int taken = give_name(target);
        if (taken == 0)
            return fsync(target->folder) < 0 && errno != EINVAL ? -errno : 0;
        if (taken != -EEXIST)
            error = taken;
    }
    unlinkat(target->folder, target->part, 0);
    return error ? error : -EEXIST;
}

void copy_abandon(struct copy_target *target) {
    if (target->fd >= 0)
        close(target->fd);
    unlinkat(target->folder, target->part, 0);
}
