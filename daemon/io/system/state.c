/* See state.h. identity.key is text, so that it can be looked at, copied by hand and told from a
 * damaged one:
 *
 *     p2pd identity 1
 *     node-seed 64 hex digits
 *     link-secret 64 hex digits
 *
 * network.key likewise: "p2pd network key 1", tag, key. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "daemon/io/system/state.h"
#include "daemon/io/system/process.h"
#include "daemon/io/system/state_file.h"
#include "shared/text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEX_LEN (2 * KEY_LEN)
#define FILE_ROOM 512

struct state {
    int folder, lock;
    ino_t database; /* inode of messages.db when first seen; 0: not seen yet */
    char path[PATH_MAX];
};

struct state_secrets *state_secrets_new(void) {
    return sodium_malloc(sizeof(struct state_secrets));
}

void state_secrets_free(struct state_secrets *secrets) {
    sodium_free(secrets);
}

/* ---- The folder ---- */

static int make_folders(const char *path, char error[FAILURE_MAX]) {
    char part[PATH_MAX];
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof part)
        return failure(error, -ENAMETOOLONG, "state folder: the path is empty or too long");
    for (size_t i = 1; i <= length; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0700) < 0 && errno != EEXIST && errno != EISDIR) {
            int e = errno;
            struct stat st; /* a read-only file system says EROFS of a folder that is there */
            if (stat(part, &st) < 0 || !S_ISDIR(st.st_mode))
                return failure(error, -e, "state folder %s: cannot make it: %s", part, strerror(e));
        }
    }
    return 0;
}

static int check_folder(const struct state *state, char error[FAILURE_MAX]) {
    struct stat st;
    if (fstat(state->folder, &st) < 0)
        return failure(error, -errno, "state folder %s: %s", state->path, strerror(errno));
    if (st.st_uid != geteuid())
        return failure(
            error, -EPERM,
            "state folder %s: belongs to user %u, but we are user %u: start p2pd as that "
            "user (its init service does), or name another folder (--state)",
            state->path, (unsigned)st.st_uid, (unsigned)geteuid());
    if (st.st_mode & (S_IWGRP | S_IWOTH))
        return failure(error, -EPERM,
                       "state folder %s: others may write to it (mode %04o): chmod go-w %s",
                       state->path, (unsigned)(st.st_mode & 07777), state->path);
    return 0;
}

static int lock_folder(struct state *state, char error[FAILURE_MAX]) {
    char pid[32] = {0};
    state->lock = openat(state->folder, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (state->lock < 0)
        return failure(error, -errno, "state folder %s: lock: %s", state->path, strerror(errno));
    if (flock(state->lock, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK)
            return failure(error, -errno, "state folder %s: lock: %s", state->path,
                           strerror(errno));
        ssize_t n = pread(state->lock, pid, sizeof pid - 1, 0);
        pid[n > 0 ? strspn(pid, "0123456789") : 0] = '\0';
        return failure(error, -EBUSY, "another p2pd (pid %s) is running with the state folder %s",
                       *pid ? pid : "unknown", state->path);
    }
    int length = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(state->lock, 0) < 0 || pwrite(state->lock, pid, (size_t)length, 0) < 0)
        return failure(error, -errno, "state folder %s: lock: %s", state->path, strerror(errno));
    return 0;
}

/* `folder` is owned by the state from here on, also on failure. */
static int open_at(struct state **ret_state, int folder, const char *path,
                   char error[FAILURE_MAX]) {
    struct state *state = calloc(1, sizeof *state);
    if (!state) {
        close(folder);
        return failure(error, -ENOMEM, "out of memory");
    }
    snprintf(state->path, sizeof state->path, "%s", path);
    state->lock = -1;
    state->folder = folder;
    int r = check_folder(state, error);
    if (r == 0)
        r = lock_folder(state, error);
    if (r < 0)
        state_close(state);
    else
        *ret_state = state;
    return r;
}

int state_open(struct state **ret_state, const char *path, char error[FAILURE_MAX]) {
    int r = make_folders(path, error);
    if (r < 0)
        return r;
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return folder < 0 ? failure(error, -errno, "state folder %s: %s", path, strerror(errno))
                      : open_at(ret_state, folder, path, error);
}

int state_open_as_owner(struct state **ret_state, const char *path, uid_t *ret_owner,
                        char error[FAILURE_MAX]) {
    struct stat st = {.st_uid = 0};
    int folder = geteuid() == 0 ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    *ret_owner = 0;
    if (folder >= 0 && (fstat(folder, &st) < 0 || st.st_uid == 0)) {
        close(folder);
        folder = -1;
    }
    if (folder < 0)
        return state_open(ret_state, path, error);
    int r = process_become(st.st_uid, st.st_gid, error);
    if (r < 0) {
        close(folder);
        return r;
    }
    *ret_owner = st.st_uid;
    return open_at(ret_state, folder, path, error);
}

static bool is_same_file(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* If somebody removed the lock file, the next daemon would make one of its own: so make and lock it
 * anew. */
static int keep_lock(struct state *state, char error[FAILURE_MAX]) {
    struct stat named, held;
    if (fstatat(state->folder, "lock", &named, AT_SYMLINK_NOFOLLOW) == 0 &&
        fstat(state->lock, &held) == 0 && is_same_file(&named, &held))
        return 0;
    int before = state->lock;
    int r = lock_folder(state, error);
    if (r == 0) {
        close(before);
        return 0;
    }
    if (state->lock >= 0)
        close(state->lock);
    state->lock = before;
    return r;
}

static int keep_database(struct state *state, char error[FAILURE_MAX]) {
    struct stat st;
    bool is_there = fstatat(state->folder, "messages.db", &st, AT_SYMLINK_NOFOLLOW) == 0;
    if (is_there && state->database == 0)
        state->database = st.st_ino;
    if (is_there && st.st_ino == state->database)
        return 0;
    return failure(error, -ENOENT,
                   "%s/messages.db was %s while p2pd runs: what is stored from now on does not "
                   "stay. Put it back, or save it (p2pctl backup) before p2pd ends",
                   state->path, is_there ? "replaced" : "removed");
}

int state_check(struct state *state, char error[FAILURE_MAX]) {
    struct stat named, held;
    if (stat(state->path, &named) < 0 || fstat(state->folder, &held) < 0 ||
        !is_same_file(&named, &held))
        return failure(error, -ENOENT,
                       "the state folder %s was moved, removed or replaced while p2pd runs: what "
                       "is stored from now on does not stay. Put it back, or stop p2pd",
                       state->path);
    int r = keep_lock(state, error);
    if (r == 0)
        r = keep_database(state, error);
    if (r == 0 && fstatat(state->folder, "identity.key", &named, AT_SYMLINK_NOFOLLOW) < 0)
        r = failure(error, -ENOENT,
                    "%s/identity.key was removed while p2pd runs: at its next start this would be "
                    "another node. Put it back from a copy",
                    state->path);
    return r;
}

int state_folder(const struct state *state) {
    return state->folder;
}

void state_close(struct state *state) {
    if (!state)
        return;
    if (state->lock >= 0)
        close(state->lock);
    if (state->folder >= 0)
        close(state->folder);
    free(state);
}

/* ---- Text of two keys under a header ---- */

/* Format both keys as text; `room` is FILE_ROOM. Returns the length. */
static size_t format_keys(const char *header, const char *label1, const uint8_t *key1,
                          const char *label2, const uint8_t *key2, char *ret_text) {
    struct {
        char hex1[HEX_LEN + 1], hex2[HEX_LEN + 1];
    } s;
    text_hex(key1, KEY_LEN, s.hex1);
    text_hex(key2, KEY_LEN, s.hex2);
    int length =
        snprintf(ret_text, FILE_ROOM, "%s\n%s %s\n%s %s\n", header, label1, s.hex1, label2, s.hex2);
    sodium_memzero(&s, sizeof s);
    return (size_t)length;
}

/* Skip `expected` at the front of a text; false: it is not there. */
static bool take(const char **at, const char *expected) {
    size_t length = strlen(expected);
    if (strncmp(*at, expected, length) != 0)
        return false;
    *at += length;
    return true;
}

static bool take_key(const char **at, const char *label, uint8_t *ret_key) {
    char hex[HEX_LEN + 1];
    if (!take(at, label) || !take(at, " ") || strnlen(*at, HEX_LEN + 1) <= HEX_LEN)
        return false;
    memcpy(hex, *at, HEX_LEN);
    hex[HEX_LEN] = '\0';
    bool ok = text_unhex(hex, ret_key, KEY_LEN) == 0;
    sodium_memzero(hex, sizeof hex);
    *at += HEX_LEN;
    return ok && take(at, "\n");
}

static bool parse_keys(const char *text, size_t length, const char *header, const char *label1,
                       uint8_t *ret_key1, const char *label2, uint8_t *ret_key2) {
    const char *at = text;
    return take(&at, header) && take(&at, "\n") && take_key(&at, label1, ret_key1) &&
           take_key(&at, label2, ret_key2) && at == text + length;
}

/* ---- identity.key ---- */

#define IDENTITY_HEADER "p2pd identity 1"

static int create_identity(struct state *state, struct state_secrets *secrets, char *text,
                           char error[FAILURE_MAX]) {
    randombytes_buf(secrets->node_seed, KEY_LEN);
    randombytes_buf(secrets->link_secret, KEY_LEN);
    size_t length = format_keys(IDENTITY_HEADER, "node-seed", secrets->node_seed, "link-secret",
                                secrets->link_secret, text);
    int r = state_file_write(state->folder, "identity.key", text, length, false);
    if (r < 0)
        return failure(error, r, "%s/identity.key: cannot make it: %s", state->path, strerror(-r));
    return 0;
}

static int load_identity(struct state *state, struct state_secrets *secrets, bool *ret_created,
                         char *text, char error[FAILURE_MAX]) {
    char shown[PATH_MAX + 16];
    snprintf(shown, sizeof shown, "%s/identity.key", state->path);
    ssize_t n =
        state_file_read(state->folder, "identity.key", shown, 077, text, FILE_ROOM - 1, error);
    if (n == -ENOENT) {
        int r = create_identity(state, secrets, text, error);
        if (r == 0)
            *ret_created = true;
        return r;
    }
    if (n < 0 && n != -EFBIG)
        return (int)n;
    if (n >= 0)
        text[n] = '\0';
    if (n < 0 || !parse_keys(text, (size_t)n, IDENTITY_HEADER, "node-seed", secrets->node_seed,
                             "link-secret", secrets->link_secret))
        return failure(
            error, -EBADMSG,
            "%s: not an identity of this version, or damaged: restore it from a copy, or move it "
            "away to become a new node",
            shown);
    *ret_created = false;
    return 0;
}

int state_identity(struct state *state, struct state_secrets *secrets, bool *ret_created,
                   char error[FAILURE_MAX]) {
    char *text = sodium_malloc(FILE_ROOM);
    if (!text)
        return failure(error, -ENOMEM, "out of locked memory: raise the limit (ulimit -l)");
    int r = load_identity(state, secrets, ret_created, text, error);
    sodium_free(text);
    return r;
}

/* ---- The network key ---- */

#define NETWORK_HEADER "p2pd network key 1"

/* H(label || length of the name, two bytes || name), which both kinds of network use. */
static void hash_name(const char *label, const char *name, uint8_t *ret_hash, size_t length) {
    crypto_generichash_state hash;
    size_t name_length = strlen(name);
    uint8_t prefix[2] = {(uint8_t)(name_length >> 8), (uint8_t)name_length};
    crypto_generichash_init(&hash, NULL, 0, length);
    crypto_generichash_update(&hash, (const uint8_t *)label, strlen(label));
    crypto_generichash_update(&hash, prefix, sizeof prefix);
    crypto_generichash_update(&hash, (const uint8_t *)name, name_length);
    crypto_generichash_final(&hash, ret_hash, length);
}

/* A tag that names the inputs of a cached key; keyed by the identity (see the threat in
 * state.h). */
static void cache_tag(const struct state_secrets *secrets, const char *name, const char *secret,
                      size_t secret_length, uint8_t ret_tag[KEY_LEN]) {
    static const char label[] = "p2pd network cache";
    crypto_generichash_state hash;
    size_t name_length = strlen(name);
    uint8_t prefix[2] = {(uint8_t)(name_length >> 8), (uint8_t)name_length};
    crypto_generichash_init(&hash, secrets->node_seed, KEY_LEN, KEY_LEN);
    crypto_generichash_update(&hash, (const uint8_t *)label, sizeof label - 1);
    crypto_generichash_update(&hash, prefix, sizeof prefix);
    crypto_generichash_update(&hash, (const uint8_t *)name, name_length);
    crypto_generichash_update(&hash, (const uint8_t *)secret, secret_length);
    crypto_generichash_final(&hash, ret_tag, KEY_LEN);
    sodium_memzero(&hash, sizeof hash);
}

#define SECRET_FILE_MAX (3 + NETWORK_SECRET_MAX + 2) /* with a byte order mark and CR LF */

struct network_scratch {
    char secret[SECRET_FILE_MAX];
    char text[FILE_ROOM];
    uint8_t tag[KEY_LEN], cached_tag[KEY_LEN], key[KEY_LEN];
};

/* systemd hands credentials over in a folder of the service, as files that an ACL opens to us.
 * Their mode then shows a group bit, but no group has access. Root reads them under
 * /run/credentials. */
static mode_t forbidden_bits(const char *path) {
    static const char place[] = "/run/credentials/";
    const char *credentials = getenv("CREDENTIALS_DIRECTORY");
    size_t length = credentials ? strlen(credentials) : 0;
    bool is_credential =
        length > 0 && strncmp(path, credentials, length) == 0 && path[length] == '/';
    return is_credential || strncmp(path, place, sizeof place - 1) == 0 ? 007 : 077;
}

static ssize_t read_secret(const char *path, uid_t user, char *secret, char error[FAILURE_MAX]) {
    static const char mark[3] =
        "\xef\xbb\xbf"; /* some editors begin UTF-8 with it: no part of it */
    ssize_t n = state_file_read_for(user, AT_FDCWD, path, path, forbidden_bits(path), secret,
                                    SECRET_FILE_MAX, error);
    if (n == -ENOENT)
        return failure(error, -ENOENT, "%s: no such file (network.secret_file)", path);
    if (n < 0 && n != -EFBIG)
        return n;
    if (n >= (ssize_t)sizeof mark && memcmp(secret, mark, sizeof mark) == 0) {
        n -= (ssize_t)sizeof mark;
        memmove(secret, secret + sizeof mark, (size_t)n);
    }
    if (n > 0 && secret[n - 1] == '\n')
        n -= n > 1 && secret[n - 2] == '\r' ? 2 : 1;
    if (n == 0)
        return failure(error, -EINVAL, "%s: the network's secret is empty", path);
    if (n < 0 || n > NETWORK_SECRET_MAX)
        return failure(error, -EFBIG, "%s: longer than %d bytes", path, NETWORK_SECRET_MAX);
    return n;
}

static bool is_cached(struct state *state, struct network_scratch *s) {
    char ignored[FAILURE_MAX];
    ssize_t n = state_file_read(state->folder, "network.key", "network.key", 077, s->text,
                                FILE_ROOM - 1, ignored);
    if (n < 0)
        return false;
    s->text[n] = '\0';
    return parse_keys(s->text, (size_t)n, NETWORK_HEADER, "tag", s->cached_tag, "key", s->key) &&
           sodium_memcmp(s->tag, s->cached_tag, KEY_LEN) == 0;
}

static int derive_closed(struct state *state, struct state_secrets *secrets, const char *name,
                         const char *secret_file, struct network_scratch *s,
                         char error[FAILURE_MAX]) {
    ssize_t n = read_secret(secret_file, geteuid(), s->secret, error);
    if (n < 0)
        return (int)n;
    cache_tag(secrets, name, s->secret, (size_t)n, s->tag);
    if (!is_cached(state, s)) {
        uint8_t salt[crypto_pwhash_SALTBYTES];
        hash_name("p2pd network", name, salt, sizeof salt);
        if (crypto_pwhash(s->key, KEY_LEN, s->secret, (unsigned long long)n, salt,
                          crypto_pwhash_OPSLIMIT_INTERACTIVE, crypto_pwhash_MEMLIMIT_INTERACTIVE,
                          crypto_pwhash_ALG_ARGON2ID13) != 0)
            return failure(error, -ENOMEM,
                           "deriving the network key takes 64 MiB of memory for a moment");
        size_t length = format_keys(NETWORK_HEADER, "tag", s->tag, "key", s->key, s->text);
        state_file_write(state->folder, "network.key", s->text, length, true);
    }
    memcpy(secrets->network_key, s->key, KEY_LEN);
    return 0;
}

int state_secret_check(const char *path, uid_t user, char error[FAILURE_MAX]) {
    char *secret = sodium_malloc(SECRET_FILE_MAX);
    if (!secret)
        return failure(error, -ENOMEM, "out of locked memory: raise the limit (ulimit -l)");
    ssize_t n = read_secret(path, user, secret, error);
    sodium_free(secret);
    return n < 0 ? (int)n : 0;
}

int state_network_key(struct state *state, struct state_secrets *secrets, const char *name,
                      const char *secret_file, char error[FAILURE_MAX]) {
    if (*secret_file == '\0') {
        hash_name("p2pd open network", name, secrets->network_key, KEY_LEN);
        return 0;
    }
    struct network_scratch *s = sodium_malloc(sizeof *s);
    if (!s)
        return failure(error, -ENOMEM, "out of locked memory: raise the limit (ulimit -l)");
    int r = derive_closed(state, secrets, name, secret_file, s, error);
    sodium_free(s);
    return r;
}
