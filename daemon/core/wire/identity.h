/* Our own keys, and descriptors: what a node says of itself under its signature. Pure but for the
 * random capability.
 *
 * Threat: disk and swap outlive a process, so routing keys live in locked memory only and are wiped
 * 3 min after their epoch. A mail key has to outlive us, or what waits in a mailbox could not be
 * read after a restart: it is on disk, for some days, and whoever takes the disk meanwhile reads
 * what was sealed to it. Its public half is published only once it is there. A descriptor comes
 * from anyone: every length is checked, the signature covers every byte that is kept. Implements
 * p2pd-protocol(7) KEYS and DESCRIPTOR. */
#ifndef P2PD_IDENTITY_H
#define P2PD_IDENTITY_H

#include "daemon/core/base/base.h"
#include "daemon/core/base/limits.h"
#include "daemon/core/wire/noise.h"

#define EPOCH_MAX INT32_MAX /* in a descriptor: its time in microseconds fits 63 bits */
#define DESCRIPTOR_VERSION                                                                         \
    2 /* 1 was signed otherwise: still read, for what stores and mailboxes keep */
#define DESCRIPTOR_SEQUENCE_MAX ((UINT64_C(1) << 48) - 1) /* six bytes in an announcement */
#define SIGNATURE_LEN 64
#define DESCRIPTOR_HASH_LEN 32

static inline int64_t wall_epoch(struct wall t) {
    return t.us / EPOCH_US;
}
static inline int64_t wall_minute(struct wall t) {
    return t.us / US_PER_MINUTE;
}
static inline int64_t wall_ms(struct wall t) {
    return t.us / US_PER_MS;
}
/* Days since 1970; 0 (which names no mail key) for what a counter of days cannot hold. */
static inline uint32_t wall_day(struct wall t) {
    int64_t day = t.us / (24 * US_PER_HOUR);
    return day > 0 && day <= INT32_MAX ? (uint32_t)day : 0;
}

struct descriptor_neighbour {
    uint64_t prefix;
    struct address seen_at; /* where the author sees this neighbour; unspecified if it cannot say */
};
struct descriptor {
    struct node_id id;
    uint8_t version; /* as decoded; what is signed is of DESCRIPTOR_VERSION */
    uint8_t link_key[KEY_LEN];
    uint32_t first_epoch; /* hours since 1970 */
    uint8_t n_epochs;     /* 1..EPOCHS_PUBLISHED */
    uint8_t routing_keys[EPOCHS_PUBLISHED][KEY_LEN];
    struct address addresses[DESCRIPTOR_ADDRESSES_MAX];
    uint8_t n_addresses;
    char name[NODE_NAME_MAX + 1]; /* "" = none */
    bool relay;
    struct descriptor_neighbour neighbours[DESCRIPTOR_NEIGHBOURS_MAX];
    uint8_t n_neighbours;
    uint8_t mail_key[KEY_LEN]; /* if mail_day is not 0 */
    uint32_t mail_day;
    bool mailbox;                                 /* keeps mail for others */
    uint64_t mailboxes[DESCRIPTOR_MAILBOXES_MAX]; /* prefixes of those that keep mail for it */
    uint8_t n_mailboxes;
    uint64_t sequence; /* unix milliseconds, strictly growing; 1 to DESCRIPTOR_SEQUENCE_MAX */
};

/* The routing key for an epoch, or NULL if the descriptor has none for it. */
const uint8_t *descriptor_routing_key(const struct descriptor *descriptor, int64_t epoch);
/* Is `name` one we accept: [A-Za-z0-9._-]{1,32}, neither an IP address nor an id prefix (8+ hex
 * digits)? */
bool descriptor_name_is_valid(const char *name);

/* Decode and check everything but time: format, version, bounds, name, signature. 0,
 * DROP_MALFORMED, DROP_VERSION, DROP_AUTH. Cheap checks first; the signature (47 us) last. */
enum drop descriptor_open(const uint8_t *bytes, size_t length, struct descriptor *ret_descriptor);
/* Decode without checking the signature: for what our own store kept after checking it. */
enum drop descriptor_decode(const uint8_t *bytes, size_t length, struct descriptor *ret_descriptor);
/* The signature alone, of bytes that descriptor_decode() took and found to be this: DROP_NONE or
 * DROP_AUTH. */
enum drop descriptor_verify(const uint8_t *bytes, size_t length,
                            const struct descriptor *descriptor);
/* What the signature is over, beside the sequence and the epoch in which the last key ends. */
void descriptor_hash(const uint8_t *bytes, size_t length, uint8_t ret_hash[DESCRIPTOR_HASH_LEN]);

/* What is signed of one version: enough to show that it was. */
struct descriptor_seal {
    uint32_t until; /* the epoch after that of its last key */
    uint8_t hash[DESCRIPTOR_HASH_LEN];
    uint8_t signature[SIGNATURE_LEN];
};
/* DROP_NONE, or DROP_AUTH: `id` has signed no such version of this sequence. */
enum drop descriptor_seal_verify(const struct descriptor_seal *seal, const struct node_id *id,
                                 uint64_t sequence);

struct identity; /* opaque: node key, link key, routing keys; one locked allocation */

/* node_seed: Ed25519 seed; link_secret: X25519. Both copied. NULL: no memory. */
struct identity *identity_new(const uint8_t node_seed[32], const uint8_t link_secret[32],
                              const struct core_random *random);
void identity_free(struct identity *identity);

const struct node_id *identity_id(const struct identity *identity);
const struct noise_keypair *identity_link_key(const struct identity *identity);

/* Make the keys of the epochs [now, now + 6 ahead] that are missing; wipe those more than 3 min
 * over. Returns true if a public half is new (the descriptor wants a newer one). The mail key of
 * today (UTC) is made too, and those are wiped that were replaced more than identity_mail_keep()
 * days ago: counted from there, for a key serves until there is another, however long we were
 * away. */
bool identity_advance(struct identity *identity, struct wall now);
/* The clock was far off: wipe all routing keys and make new ones for the true epochs, so that what
 * a drop list which went by the wrong minutes has forgotten cannot come again. */
void identity_renew(struct identity *identity, struct wall now);
/* The routing keypair for key_id (epoch mod 256), if its epoch or the grace around it holds now;
 * *ret_epoch is the epoch. */
const struct noise_keypair *identity_routing_key(const struct identity *identity, uint8_t key_id,
                                                 struct wall now, int64_t *ret_epoch);
const struct noise_keypair *identity_epoch_key(const struct identity *identity,
                                               int64_t epoch); /* NULL: none held */

/* ---- Mail keys: one a day, at most MAIL_KEYS_MAX, beyond that the oldest goes ---- */
/* The clock may be wrong: no mail key is made or goes by it, but a first one. */
void identity_hold_mail(struct identity *identity, bool is_held);
void identity_mail_keep(struct identity *identity, uint32_t days); /* at most MAIL_DAYS_MAX + 1 */
/* One that the store held at start. */
void identity_mail_load(struct identity *identity, uint32_t day, const uint8_t secret[KEY_LEN]);
/* One that is to be stored; false: none. Its secret stays where it is until identity_mail_stored().
 * *ret_oldest: the day of the oldest one held. */
bool identity_mail_to_store(struct identity *identity, uint32_t *ret_day,
                            const uint8_t **ret_secret, uint32_t *ret_oldest);
/* It is durable, and may be published; or it is to be stored again. */
void identity_mail_stored(struct identity *identity, uint32_t day, bool durable);
/* The newest durable one that is not of a day to come, or NULL. */
const struct noise_keypair *identity_mail_current(const struct identity *identity, struct wall now,
                                                  uint32_t *ret_day);
const struct noise_keypair *identity_mail_key(const struct identity *identity,
                                              uint32_t day); /* NULL: none held */

/* Sign what the node key may sign: a labelled descriptor body. */
void identity_sign(const struct identity *identity, const uint8_t *message, size_t length,
                   uint8_t ret_signature[SIGNATURE_LEN]);

/* Fill in id, link key, routing keys and mail key from the identity, sign, encode. Returns the
 * length (<= DESCRIPTOR_MAX), or -EINVAL: a field of the caller's is one that others would refuse,
 * or no key of the current epoch is held. The other fields of *descriptor are the caller's; it is
 * completed in place. */
int descriptor_sign(struct descriptor *descriptor, const struct identity *identity, struct wall now,
                    uint8_t ret_bytes[DESCRIPTOR_MAX]);

#endif
