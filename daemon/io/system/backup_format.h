/* The bytes of a backup (p2pd-protocol(7) BACKUP), for its writer and its reader alone.
 *
 *     head: magic(16) operations(4) memory in KiB(4) salt(16) stream header(24)
 *     chunks: at most BACKUP_CHUNK plaintext bytes each, sealed by libsodium's secretstream
 *             (XChaCha20-Poly1305) under Argon2id(passphrase, salt); the first chunk also
 *             authenticates the head; the last one is tagged final
 *     plaintext: records of name length(1) name size(8) bytes, ended by a name of no length
 *
 * Integers are big-endian. */
#ifndef P2PD_BACKUP_FORMAT_H
#define P2PD_BACKUP_FORMAT_H

#include <sodium.h>

#define BACKUP_MAGIC "p2pd backup 1\n\0" /* with the string's final zero: 16 bytes */
#define BACKUP_MAGIC_LEN 16u
#define BACKUP_HEAD_LEN                                                                            \
    (BACKUP_MAGIC_LEN + 8u + crypto_pwhash_SALTBYTES +                                             \
     crypto_secretstream_xchacha20poly1305_HEADERBYTES)
#define BACKUP_CHUNK 65536u
#define BACKUP_SEALED_CHUNK (BACKUP_CHUNK + crypto_secretstream_xchacha20poly1305_ABYTES)

/* The most that a file may ask of its reader: anybody may have written it. */
#define BACKUP_OPERATIONS_MAX 16u
#define BACKUP_MEMORY_MAX_KIB (1024u * 1024u)

#define BACKUP_IDENTITY "identity.key"
#define BACKUP_DATABASE "messages.db"
#define BACKUP_IDENTITY_MAX 512u

/* Secrets and buffers of either side, in one sodium_malloc. */
struct backup_scratch {
    uint8_t key[crypto_secretstream_xchacha20poly1305_KEYBYTES];
    crypto_secretstream_xchacha20poly1305_state stream;
    uint8_t head[BACKUP_HEAD_LEN];
    uint8_t plain[BACKUP_CHUNK];
    uint8_t sealed[BACKUP_SEALED_CHUNK];
    size_t used; /* of plain: bytes filled (writer) or given out (reader) */
    size_t have; /* reader: bytes in plain */
    bool begun, ended;
};

#endif
