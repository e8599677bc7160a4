/* Reading a backup: see backup.h. Threat: the file may be anybody's, cut short or changed. So
 * nothing in it is believed before it is authenticated, and nothing is put in place before its end
 * is. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "daemon/io/system/backup.h"
#include "daemon/io/system/backup_format.h"
#include "daemon/io/system/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INCOMING "restore.tmp"

struct reader {
    int in, folder, database;
    struct backup_scratch *s;
    uint8_t identity[BACKUP_IDENTITY_MAX];
    size_t identity_length;
    bool has_identity, has_database;
};

static uint64_t get_uint(const uint8_t *bytes, unsigned length) {
    uint64_t value = 0;
    for (unsigned i = 0; i < length; i++)
        value = value << 8 | bytes[i];
    return value;
}

/* Read up to `room` bytes; fewer at the end of the file. */
static ssize_t read_up_to(int fd, uint8_t *bytes, size_t room) {
    size_t length = 0;
    while (length < room) {
        ssize_t n = read(fd, bytes + length, room - length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        length += (size_t)n;
    }
    return (ssize_t)length;
}

static int damaged(char error[FAILURE_MAX]) {
    return failure(error, -EBADMSG, "the passphrase is wrong, or the file is damaged");
}

/* ---- The stream ---- */

static int begin(struct reader *reader, const uint8_t *passphrase, size_t length,
                 char error[FAILURE_MAX]) {
    struct backup_scratch *s = reader->s;
    ssize_t n = read_up_to(reader->in, s->head, BACKUP_HEAD_LEN);
    if (n < 0)
        return failure(error, (int)n, "cannot be read: %s", strerror((int)-n));
    if (n != BACKUP_HEAD_LEN || memcmp(s->head, BACKUP_MAGIC, BACKUP_MAGIC_LEN) != 0)
        return failure(error, -EBADMSG, "not a backup of p2pd's, or of a later version");
    uint64_t operations = get_uint(s->head + BACKUP_MAGIC_LEN, 4);
    uint64_t memory = get_uint(s->head + BACKUP_MAGIC_LEN + 4, 4);
    const uint8_t *salt = s->head + BACKUP_MAGIC_LEN + 8;
    if (operations < crypto_pwhash_OPSLIMIT_MIN || operations > BACKUP_OPERATIONS_MAX ||
        memory < crypto_pwhash_MEMLIMIT_MIN / 1024 || memory > BACKUP_MEMORY_MAX_KIB)
        return damaged(error);
    if (crypto_pwhash(s->key, sizeof s->key, (const char *)passphrase, length, salt, operations,
                      (size_t)memory * 1024, crypto_pwhash_ALG_ARGON2ID13) != 0)
        return failure(error, -ENOMEM, "the passphrase takes %u MiB of memory for a moment",
                       (unsigned)(memory / 1024));
    if (crypto_secretstream_xchacha20poly1305_init_pull(&s->stream, salt + crypto_pwhash_SALTBYTES,
                                                        s->key) != 0)
        return damaged(error);
    s->begun = s->ended = false;
    s->used = s->have = 0;
    return 0;
}

static int next_chunk(struct reader *reader, char error[FAILURE_MAX]) {
    struct backup_scratch *s = reader->s;
    unsigned long long length = 0;
    unsigned char tag = 0;
    if (s->ended)
        return damaged(error);
    ssize_t n = read_up_to(reader->in, s->sealed, BACKUP_SEALED_CHUNK);
    if (n < 0)
        return failure(error, (int)n, "cannot be read: %s", strerror((int)-n));
    if (n < (ssize_t)crypto_secretstream_xchacha20poly1305_ABYTES ||
        crypto_secretstream_xchacha20poly1305_pull(&s->stream, s->plain, &length, &tag, s->sealed,
                                                   (unsigned long long)n, s->begun ? NULL : s->head,
                                                   s->begun ? 0 : BACKUP_HEAD_LEN) != 0)
        return damaged(error);
    s->begun = true;
    s->ended = tag == crypto_secretstream_xchacha20poly1305_TAG_FINAL;
    s->used = 0;
    s->have = (size_t)length;
    return 0;
}

/* Get a piece of at most `room` bytes, borrowed until the next call. */
static int get_piece(struct reader *reader, uint64_t room, const uint8_t **ret_bytes,
                     size_t *ret_length, char error[FAILURE_MAX]) {
    struct backup_scratch *s = reader->s;
    if (s->used == s->have) {
        int r = next_chunk(reader, error);
        if (r < 0)
            return r;
        if (s->have == 0)
            return damaged(error);
    }
    *ret_length = s->have - s->used < room ? s->have - s->used : (size_t)room;
    *ret_bytes = s->plain + s->used;
    s->used += *ret_length;
    return 0;
}

static int get(struct reader *reader, void *ret_bytes, size_t length, char error[FAILURE_MAX]) {
    uint8_t *out = ret_bytes;
    while (length > 0) {
        const uint8_t *bytes = NULL;
        size_t n = 0;
        int r = get_piece(reader, length, &bytes, &n, error);
        if (r < 0)
            return r;
        memcpy(out, bytes, n);
        out += n;
        length -= n;
    }
    return 0;
}

/* ---- What is in it ---- */

static int get_database(struct reader *reader, uint64_t size, char error[FAILURE_MAX]) {
    /* Left by a process that was killed; the folder is locked. */
    unlinkat(reader->folder, INCOMING, 0);
    reader->database = openat(reader->folder, INCOMING,
                              O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (reader->database < 0)
        return failure(error, -errno, "the state folder cannot be written to: %s", strerror(errno));
    while (size > 0) {
        const uint8_t *bytes = NULL;
        size_t n = 0;
        int r = get_piece(reader, size, &bytes, &n, error);
        if (r < 0)
            return r;
        for (size_t at = 0; at < n;) {
            ssize_t written = write(reader->database, bytes + at, n - at);
            if (written < 0 && errno != EINTR)
                return failure(error, -errno, "the messages cannot be written: %s",
                               strerror(errno));
            at += written > 0 ? (size_t)written : 0;
        }
        size -= n;
    }
    if (fsync(reader->database) < 0)
        return failure(error, -errno, "the messages cannot be written: %s", strerror(errno));
    reader->has_database = true;
    return 0;
}

static int get_record(struct reader *reader, const char *name, uint64_t size,
                      char error[FAILURE_MAX]) {
    if (strcmp(name, BACKUP_DATABASE) == 0 && !reader->has_database)
        return get_database(reader, size, error);
    if (strcmp(name, BACKUP_IDENTITY) != 0 || reader->has_identity || size > BACKUP_IDENTITY_MAX)
        return damaged(error);
    reader->has_identity = true;
    reader->identity_length = (size_t)size;
    return get(reader, reader->identity, (size_t)size, error);
}

static int get_records(struct reader *reader, char error[FAILURE_MAX]) {
    for (;;) {
        char name[UINT8_MAX + 1] = "";
        uint8_t length = 0, size[8];
        int r = get(reader, &length, 1, error);
        if (r < 0 || length == 0)
            return r;
        r = get(reader, name, length, error);
        if (r == 0)
            r = get(reader, size, sizeof size, error);
        if (r == 0)
            r = get_record(reader, name, get_uint(size, sizeof size), error);
        if (r < 0)
            return r;
    }
}

/* ---- In its place ---- */

static int check_empty(int folder, char error[FAILURE_MAX]) {
    static const char *const names[] = {BACKUP_IDENTITY, BACKUP_DATABASE};
    struct stat st;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (fstatat(folder, names[i], &st, AT_SYMLINK_NOFOLLOW) == 0)
            return failure(error, -EEXIST,
                           "the state folder has %s already: move it away, or choose another "
                           "folder (--state)",
                           names[i]);
    return 0;
}

/* Put the messages in place first: a folder that has an identity is complete. */
static int install(struct reader *reader, char error[FAILURE_MAX]) {
    if (linkat(reader->folder, INCOMING, reader->folder, BACKUP_DATABASE, 0) < 0)
        return failure(error, -errno, "messages.db cannot be put in place: %s", strerror(errno));
    int r = state_file_write(reader->folder, BACKUP_IDENTITY, reader->identity,
                             reader->identity_length, false);
    if (r == 0)
        return 0;
    unlinkat(reader->folder, BACKUP_DATABASE, 0);
    return failure(error, r, "identity.key cannot be put in place: %s", strerror(-r));
}

int backup_restore(int fd, int state_folder, const uint8_t *passphrase, size_t length,
                   char error[FAILURE_MAX]) {
    struct reader reader = {.in = fd, .folder = state_folder, .database = -1};
    uint8_t more;
    int r = check_empty(state_folder, error);
    if (r < 0)
        return r;
    reader.s = sodium_malloc(sizeof *reader.s);
    if (!reader.s)
        return failure(error, -ENOMEM, "out of locked memory: raise the limit (ulimit -l)");
    r = begin(&reader, passphrase, length, error);
    if (r == 0)
        r = get_records(&reader, error);
    if (r == 0 && (!reader.s->ended || reader.s->used != reader.s->have || !reader.has_identity ||
                   !reader.has_database || read_up_to(fd, &more, 1) != 0))
        r = damaged(error);
    if (r == 0)
        r = install(&reader, error);
    if (reader.database >= 0)
        close(reader.database);
    unlinkat(state_folder, INCOMING, 0);
    sodium_memzero(reader.identity, sizeof reader.identity);
    sodium_free(reader.s);
    return r;
}
