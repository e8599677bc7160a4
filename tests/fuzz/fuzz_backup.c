/* link: daemon/io/system/backup_restore daemon/io/system/state_file */
/* A backup of any bytes: put in place whole, or refused in words with nothing left behind. First
 * byte: 0, the rest is the file; else the rest are records, sealed under a passphrase that is
 * known, with the least work for it, in chunks of what that byte says, the last of them final or
 * not. */
#include "daemon/io/system/backup.h"
#include "daemon/io/system/backup_format.h"
#include "tests/fuzz/replay.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

unsigned replay_variants_max(void) {
    return 60; /* files are made, synced and removed */
}

#define PASSPHRASE "passphrase"
#define NOT_FINAL 1u /* flags of the first byte; the rest is the chunks' size */
#define MORE 2u

struct sealer {
    uint8_t head[BACKUP_HEAD_LEN], key[crypto_secretstream_xchacha20poly1305_KEYBYTES];
    bool is_ready;
};

static void check(bool condition) {
    if (!condition)
        abort();
}

static void put_uint32(uint8_t *bytes, uint32_t value) {
    for (int i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* The same head every time but for the stream's own header. */
static struct sealer *the_sealer(void) {
    static struct sealer sealer;
    uint8_t *head = sealer.head;
    if (sealer.is_ready)
        return &sealer;
    memcpy(head, BACKUP_MAGIC, BACKUP_MAGIC_LEN);
    put_uint32(head + BACKUP_MAGIC_LEN, crypto_pwhash_OPSLIMIT_MIN);
    put_uint32(head + BACKUP_MAGIC_LEN + 4, crypto_pwhash_MEMLIMIT_MIN / 1024);
    check(crypto_pwhash(sealer.key, sizeof sealer.key, PASSPHRASE, strlen(PASSPHRASE),
                        head + BACKUP_MAGIC_LEN + 8, crypto_pwhash_OPSLIMIT_MIN,
                        crypto_pwhash_MEMLIMIT_MIN, crypto_pwhash_ALG_ARGON2ID13) == 0);
    sealer.is_ready = true;
    return &sealer;
}

static void put(FILE *file, const void *bytes, size_t length) {
    check(fwrite(bytes, 1, length, file) == length);
}

static void seal(FILE *file, unsigned how, const uint8_t *data, size_t size) {
    struct sealer *sealer = the_sealer();
    crypto_secretstream_xchacha20poly1305_state stream;
    uint8_t sealed[BACKUP_SEALED_CHUNK], *head = sealer->head;
    size_t chunk = BACKUP_CHUNK >> (how >> 2) % 16;
    crypto_secretstream_xchacha20poly1305_init_push(
        &stream, head + BACKUP_HEAD_LEN - crypto_secretstream_xchacha20poly1305_HEADERBYTES,
        sealer->key);
    put(file, head, BACKUP_HEAD_LEN);
    for (bool first = true; first || size > 0; first = false) {
        size_t n = size < chunk ? size : chunk;
        bool is_final = n == size && !(how & NOT_FINAL);
        unsigned long long length;
        crypto_secretstream_xchacha20poly1305_push(
            &stream, sealed, &length, data, n, first ? head : NULL, first ? BACKUP_HEAD_LEN : 0,
            is_final ? crypto_secretstream_xchacha20poly1305_TAG_FINAL : 0);
        put(file, sealed, (size_t)length);
        data += n;
        size -= n;
    }
    if (how & MORE)
        put(file, "x", 1);
}

/* How many of the two are in the folder; they go. */
static int clear(int folder) {
    int n = unlinkat(folder, BACKUP_IDENTITY, 0) == 0;
    n += unlinkat(folder, BACKUP_DATABASE, 0) == 0;
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[] = "/dev/shm/p2pd-fuzz-XXXXXX", elsewhere[] = "/tmp/p2pd-fuzz-XXXXXX";
    const char *made = access("/dev/shm", W_OK) == 0 ? mkdtemp(path) : mkdtemp(elsewhere);
    char error[FAILURE_MAX] = "";
    FILE *file = tmpfile();
    check(made && file && sodium_init() >= 0);
    int folder = open(made, O_RDONLY | O_DIRECTORY);
    check(folder >= 0);
    if (size > 0 && data[0] == 0)
        put(file, data + 1, size - 1);
    else if (size > 0)
        seal(file, data[0], data + 1, size - 1);
    check(fflush(file) == 0);
    rewind(file);
    int r = backup_restore(fileno(file), folder, (const uint8_t *)PASSPHRASE, strlen(PASSPHRASE),
                           error);
    check(clear(folder) == (r == 0 ? 2 : 0));
    check((r == 0) == (error[0] == '\0') && memchr(error, 0, sizeof error));
    fclose(file);
    close(folder);
    check(rmdir(made) == 0); /* nothing else was left */
    return 0;
}
