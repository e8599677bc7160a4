/* Making a backup: see backup.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "daemon/io/system/backup.h"
#include "daemon/io/system/backup_format.h"
#include "daemon/io/system/process.h"
#include "daemon/io/system/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SNAPSHOT "backup.tmp"      /* the database's copy, in clear as the database itself is */
#define SEALED "backup.sealed.tmp" /* what the client gets */

struct writer {
    int folder, out;
    const char *path;
    backup_snapshot *snapshot;
    void *context;
    struct backup_scratch *s;
};

static void put_uint(uint8_t *out, uint64_t value, unsigned length) {
    for (unsigned i = 0; i < length; i++)
        out[i] = (uint8_t)(value >> 8 * (length - 1 - i));
}

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

/* ---- The stream ---- */

/* Derive the key from the passphrase, with less memory on a machine that does not have so much. */
static int derive_key(struct backup_scratch *s, const uint8_t *passphrase, size_t length) {
    static const struct {
        unsigned long long operations;
        size_t memory;
    } limits[] = {
        {crypto_pwhash_OPSLIMIT_MODERATE, crypto_pwhash_MEMLIMIT_MODERATE},
        {crypto_pwhash_OPSLIMIT_SENSITIVE, crypto_pwhash_MEMLIMIT_INTERACTIVE},
    };
    uint8_t *salt = s->head + BACKUP_MAGIC_LEN + 8;
    memcpy(s->head, BACKUP_MAGIC, BACKUP_MAGIC_LEN);
    randombytes_buf(salt, crypto_pwhash_SALTBYTES);
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        put_uint(s->head + BACKUP_MAGIC_LEN, limits[i].operations, 4);
        put_uint(s->head + BACKUP_MAGIC_LEN + 4, limits[i].memory / 1024, 4);
        if (crypto_pwhash(s->key, sizeof s->key, (const char *)passphrase, length, salt,
                          limits[i].operations, limits[i].memory,
                          crypto_pwhash_ALG_ARGON2ID13) == 0)
            return 0;
    }
    return -ENOMEM;
}

static int begin(struct writer *writer, const uint8_t *passphrase, size_t length) {
    struct backup_scratch *s = writer->s;
    int r = derive_key(s, passphrase, length);
    if (r < 0)
        return r;
    crypto_secretstream_xchacha20poly1305_init_push(
        &s->stream, s->head + BACKUP_HEAD_LEN - crypto_secretstream_xchacha20poly1305_HEADERBYTES,
        s->key);
    s->used = 0;
    s->begun = false;
    return write_all(writer->out, s->head, BACKUP_HEAD_LEN);
}

static int put_chunk(struct writer *writer, unsigned char tag) {
    struct backup_scratch *s = writer->s;
    unsigned long long length = 0;
    crypto_secretstream_xchacha20poly1305_push(&s->stream, s->sealed, &length, s->plain, s->used,
                                               s->begun ? NULL : s->head,
                                               s->begun ? 0 : BACKUP_HEAD_LEN, tag);
    s->begun = true;
    s->used = 0;
    return write_all(writer->out, s->sealed, (size_t)length);
}

static int put(struct writer *writer, const void *bytes, size_t length) {
    struct backup_scratch *s = writer->s;
    const uint8_t *at = bytes;
    while (length > 0) {
        size_t n = BACKUP_CHUNK - s->used < length ? BACKUP_CHUNK - s->used : length;
        memcpy(s->plain + s->used, at, n);
        s->used += n;
        at += n;
        length -= n;
        int r = s->used == BACKUP_CHUNK ? put_chunk(writer, 0) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

static int put_head(struct writer *writer, const char *name, uint64_t size) {
    uint8_t length = (uint8_t)strlen(name), bytes[8];
    int r = put(writer, &length, 1);
    if (r == 0 && length > 0)
        r = put(writer, name, length);
    if (r == 0 && length > 0) {
        put_uint(bytes, size, 8);
        r = put(writer, bytes, sizeof bytes);
    }
    return r;
}

/* ---- What is in it ---- */

static int put_identity(struct writer *writer, char error[FAILURE_MAX]) {
    char shown[PATH_MAX + 16];
    uint8_t *bytes = sodium_malloc(BACKUP_IDENTITY_MAX);
    if (!bytes)
        return failure(error, -ENOMEM, "out of locked memory: raise the limit (ulimit -l)");
    snprintf(shown, sizeof shown, "%s/" BACKUP_IDENTITY, writer->path);
    ssize_t n = state_file_read(writer->folder, BACKUP_IDENTITY, shown, 077, bytes,
                                BACKUP_IDENTITY_MAX, error);
    if (n == -ENOENT)
        failure(error, 0, "%s: is gone", shown);
    int r = n < 0 ? (int)n : put_head(writer, BACKUP_IDENTITY, (uint64_t)n);
    if (r == 0 && (r = put(writer, bytes, (size_t)n)) < 0)
        failure(error, r, "cannot write the backup: %s", strerror(-r));
    sodium_free(bytes);
    return r;
}

/* Copy the database as it is at some instant during the call. */
static int take_snapshot(const struct writer *writer, char error[FAILURE_MAX]) {
    char copy[PATH_MAX + 16];
    snprintf(copy, sizeof copy, "%s/" SNAPSHOT, writer->path);
    unlinkat(writer->folder, SNAPSHOT, 0); /* left by a daemon that was killed */
    return writer->snapshot(writer->context, copy, error);
}

static int put_file(struct writer *writer, int fd, uint64_t size) {
    uint8_t bytes[8192];
    int r = put_head(writer, BACKUP_DATABASE, size);
    while (r == 0 && size > 0) {
        ssize_t n = read(fd, bytes, size < sizeof bytes ? (size_t)size : sizeof bytes);
        if (n <= 0)
            r = n < 0 ? -errno : -EIO;
        else
            r = put(writer, bytes, (size_t)n);
        size -= r == 0 ? (uint64_t)n : 0;
    }
    sodium_memzero(bytes, sizeof bytes);
    return r;
}

static int put_database(struct writer *writer, char error[FAILURE_MAX]) {
    struct stat st;
    int r = take_snapshot(writer, error);
    if (r == 0) {
        int fd = openat(writer->folder, SNAPSHOT, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        r = fd < 0 || fstat(fd, &st) < 0 ? -errno : put_file(writer, fd, (uint64_t)st.st_size);
        if (r < 0)
            failure(error, r, "cannot write the backup: %s", strerror(-r));
        if (fd >= 0)
            close(fd);
    }
    unlinkat(writer->folder, SNAPSHOT, 0);
    return r;
}

static int write_stream(struct writer *writer, const uint8_t *passphrase, size_t length,
                        char error[FAILURE_MAX]) {
    int r = begin(writer, passphrase, length);
    if (r == -ENOMEM)
        return failure(error, r, "the passphrase takes 64 MiB of memory for a moment");
    if (r == 0) {
        r = put_identity(writer, error);
        if (r == 0)
            r = put_database(writer, error);
        if (r < 0)
            return r;
        r = put_head(writer, "", 0);
    }
    if (r == 0)
        r = put_chunk(writer, crypto_secretstream_xchacha20poly1305_TAG_FINAL);
    if (r == 0 && lseek(writer->out, 0, SEEK_SET) < 0)
        r = -errno;
    return r < 0 ? failure(error, r, "cannot write the backup: %s", strerror(-r)) : 0;
}

/* Make a file without a name, so that no crash leaves it behind. */
static int open_nameless(int folder) {
    unlinkat(folder, SEALED, 0);
    int fd = openat(folder, SEALED, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    unlinkat(folder, SEALED, 0);
    return fd;
}

int backup_write(const char *state_folder, backup_snapshot *snapshot, void *context,
                 const uint8_t *passphrase, size_t length, char error[FAILURE_MAX]) {
    struct writer writer = {
        .path = state_folder, .out = -1, .snapshot = snapshot, .context = context};
    writer.folder = open(state_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (writer.folder < 0)
        return failure(error, -errno, "state folder %s: %s", state_folder, strerror(errno));
    int r = 0;
    writer.out = open_nameless(writer.folder);
    if (writer.out < 0)
        r = failure(error, writer.out, "state folder %s: %s", state_folder, strerror(-writer.out));
    writer.s = r == 0 ? sodium_malloc(sizeof *writer.s) : NULL;
    if (r == 0 && !writer.s)
        r = failure(error, -ENOMEM, "out of locked memory: raise the limit (ulimit -l)");
    if (r == 0)
        r = write_stream(&writer, passphrase, length, error);
    sodium_free(writer.s);
    close(writer.folder);
    if (r == 0)
        return writer.out;
    if (writer.out >= 0)
        close(writer.out);
    return r;
}

/* ---- On a thread ---- */

/* Shared by the loop and the thread; whichever ends last frees it. */
struct backup {
    pthread_mutex_t lock;
    pthread_cond_t copied;
    bool is_running, is_copying, is_done, closed;
    backup_snapshot *snapshot;
    void (*wake)(void *context);
    void *context;
    char folder[PATH_MAX];
    uint64_t client;
    uint8_t *passphrase; /* sodium_malloc */
    size_t length;
    int fd;
    char error[FAILURE_MAX];
};

/* Remove what a daemon left that was killed while it made a backup: all messages, in clear. */
static void remove_leftovers(const char *state_folder) {
    int folder = open(state_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return;
    unlinkat(folder, SNAPSHOT, 0);
    unlinkat(folder, SEALED, 0);
    close(folder);
}

struct backup *backup_new(const char *state_folder, backup_snapshot *snapshot,
                          void (*wake)(void *context), void *context) {
    struct backup *backup = calloc(1, sizeof *backup);
    if (!backup)
        return NULL;
    pthread_mutex_init(&backup->lock, NULL);
    pthread_cond_init(&backup->copied, NULL);
    backup->snapshot = snapshot;
    snprintf(backup->folder, sizeof backup->folder, "%s", state_folder);
    remove_leftovers(state_folder);
    backup->wake = wake;
    backup->context = context;
    return backup;
}

static void destroy(struct backup *backup) {
    if (backup->is_done && backup->fd >= 0)
        close(backup->fd);
    sodium_free(backup->passphrase);
    pthread_cond_destroy(&backup->copied);
    pthread_mutex_destroy(&backup->lock);
    free(backup);
}

void backup_free(struct backup *backup) {
    if (!backup)
        return;
    pthread_mutex_lock(&backup->lock);
    backup->closed = true;
    while (backup->is_copying)
        pthread_cond_wait(&backup->copied, &backup->lock);
    bool last = !backup->is_running;
    pthread_mutex_unlock(&backup->lock);
    if (last)
        destroy(backup);
}

/* Called by the thread. After backup_free the store may be gone, so then no snapshot is begun. */
static int guarded_snapshot(void *context, const char *path, char error[FAILURE_MAX]) {
    struct backup *backup = context;
    pthread_mutex_lock(&backup->lock);
    backup->is_copying = !backup->closed;
    bool go = backup->is_copying;
    pthread_mutex_unlock(&backup->lock);
    if (!go)
        return failure(error, -ECANCELED, "the daemon is stopping");
    int r = backup->snapshot(backup->context, path, error);
    pthread_mutex_lock(&backup->lock);
    backup->is_copying = false;
    pthread_cond_broadcast(&backup->copied);
    pthread_mutex_unlock(&backup->lock);
    return r;
}

static void *run(void *context) {
    struct backup *backup = context;
    int fd = backup_write(backup->folder, guarded_snapshot, backup, backup->passphrase,
                          backup->length, backup->error);
    pthread_mutex_lock(&backup->lock);
    sodium_free(backup->passphrase);
    backup->passphrase = NULL;
    backup->fd = fd;
    backup->is_done = true;
    backup->is_running = false;
    bool last = backup->closed;
    if (!last) /* under the lock, so that wake() is never called after backup_free() */
        backup->wake(backup->context);
    pthread_mutex_unlock(&backup->lock);
    if (last)
        destroy(backup);
    return NULL;
}

int backup_start(struct backup *backup, uint64_t client, const uint8_t *passphrase, size_t length) {
    pthread_mutex_lock(&backup->lock);
    bool busy = backup->is_running || backup->is_done;
    pthread_mutex_unlock(&backup->lock);
    if (busy)
        return -EBUSY;
    backup->passphrase = sodium_malloc(length);
    if (!backup->passphrase)
        return -ENOMEM;
    memcpy(backup->passphrase, passphrase, length);
    backup->length = length;
    backup->client = client;
    backup->is_running = true;
    int r = process_thread(run, backup);
    if (r == 0)
        return 0;
    backup->is_running = false;
    sodium_free(backup->passphrase);
    backup->passphrase = NULL;
    return r;
}

bool backup_collect(struct backup *backup, uint64_t *ret_client, int *ret_fd,
                    char ret_error[FAILURE_MAX]) {
    pthread_mutex_lock(&backup->lock);
    bool done = backup->is_done;
    if (done) {
        *ret_client = backup->client;
        *ret_fd = backup->fd;
        memcpy(ret_error, backup->error, FAILURE_MAX);
        backup->is_done = false;
    }
    pthread_mutex_unlock(&backup->lock);
    return done;
}
