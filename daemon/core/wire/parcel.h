/* What travels between two correspondents, as bytes: the items of a parcel, its sealing, its
 * shards, its receipts. Pure functions and one small table of shared secrets. It decides nothing:
 * what is owed is outbox's, what was got is inbox's.
 *
 * Threat: relays deliver anything, and a known node may send what it likes. Nothing is believed
 * before its mac is verified; every length is checked; a parcel names the sender that Noise proves
 * (no misbinding). Implements p2pd-protocol(7) PARCELS. */
#ifndef P2PD_PARCEL_H
#define P2PD_PARCEL_H

#include "daemon/core/base/base.h"
#include "daemon/core/base/wirebuf.h"
#include "daemon/core/wire/noise.h"
#include "daemon/core/wire/onion.h"
#include "daemon/core/wire/payload.h"
#include "daemon/core/wire/shard.h"

#define PARCEL_ID_LEN 16
#define PARCEL_MAC_LEN 16
#define PARCEL_VERSION 2
#define PARCEL_BLOCK_MAX 61440u /* of messages in one parcel: Noise seals 65535 bytes at most */
#define PARCEL_ITEM_HEADER_LEN                                                                     \
    61u /* kind(1) id(16) sequence(8) sent ms(8) expires ms(8) total(8) offset(8) length(4) */
#define PARCEL_FILE_HEADER_LEN                                                                     \
    (FILE_DIGEST_LEN + 1u + FILE_NAME_MAX) /* digest(32) name length(1) name; KIND_FILE, at most   \
                                              \ */
#define PARCEL_HEAD_LEN (NODE_ID_LEN + 1u) /* sender id, version */
#define PARCEL_ITEMS_MAX 1024u             /* follows from what a parcel has room for; asserted */
#define PARCEL_UNPADDED_MAX                                                                        \
    (PARCEL_HEAD_LEN + PARCEL_ITEM_HEADER_LEN + PARCEL_FILE_HEADER_LEN + PARCEL_BLOCK_MAX)
#define PARCEL_PLAIN_MAX                                                                           \
    (PARCEL_UNPADDED_MAX + SHARD_COUNT_MAX) /* that much padded: by less than a byte a shard */
#define PARCEL_OVERHEAD 96u                 /* Noise_X: e(32) s(48) tag(16) */
#define PARCEL_SEALED_MAX (PARCEL_PLAIN_MAX + PARCEL_OVERHEAD)
#define PARCEL_SHARD_HEADER_LEN 51u
#define PARCEL_SHARD_DATA_MAX (ONION_PAYLOAD_MAX - 1u - PARCEL_SHARD_HEADER_LEN)
#define PARCEL_BITMAP_MAX ((SHARD_COUNT_MAX + 7) / 8)
#define PARCEL_RECEIPT_PATHS_MAX 8
#define PARCEL_RECEIPT_FINAL_LEN 34u /* a receipt that is not partial */
#define PARCEL_RECEIPT_MAX (37u + PARCEL_BITMAP_MAX + 12u * PARCEL_RECEIPT_PATHS_MAX)

struct parcel_id {
    uint8_t bytes[PARCEL_ID_LEN];
};

/* ---- Plaintext: sender id(32) version(1) item* padding, which is zeros ---- */
struct parcel_item {        /* a message, or one block of it */
    enum message_kind kind; /* base.h */
    struct message_id id;
    uint64_t sequence, sent_ms, expires_ms; /* expires: its sender gives up then */
    uint64_t total, offset;
    uint32_t length;
    const uint8_t *bytes;
    const uint8_t *digest; /* KIND_FILE: 32 bytes */
    const char *name;      /* KIND_FILE: name_length bytes, not terminated; anything but NUL */
    uint8_t name_length;   /* 1 to FILE_NAME_MAX */
};
void parcel_put_head(struct wire_writer *writer, const struct node_id *sender);
/* Returns where the item's bytes are, to be filled in later if item->bytes is NULL. NULL: no room
 * (the writer has failed). */
uint8_t *parcel_put_item(struct wire_writer *writer, const struct parcel_item *item);
/* 0, DROP_MALFORMED, DROP_VERSION. */
enum drop parcel_get_head(struct wire_reader *reader, struct node_id *ret_sender);
/* The next item, borrowed; at the padding it reads all of it and leaves ret_item->kind 0. 0;
 * DROP_MALFORMED (bounds, padding that is not zeros); DROP_VERSION (a kind that we do not know). */
enum drop parcel_get_item(struct wire_reader *reader, struct parcel_item *ret_item);

/* ---- Sealing ---- */
/* Seal for recipient's routing key of `epoch`. `known` (may be NULL): what was exchanged with that
 * key before; its ephemeral serves once. out holds length + PARCEL_OVERHEAD. Returns the
 * sealed length, or -EINVAL (a key that yields zero). ret_receipt_key is what the final receipt
 * will be keyed by. */
int parcel_seal(const struct noise_keypair *link_key, const struct node_id *recipient,
                const uint8_t routing_key[KEY_LEN], int64_t epoch, const uint8_t ephemeral[32],
                const struct noise_known *known, const uint8_t *plain, size_t length, uint8_t *out,
                uint8_t ret_receipt_key[KEY_LEN]);
/* Open, and hold the sender named inside and the link key proven by Noise against the expected
 * ones. plain holds length - PARCEL_OVERHEAD and is undefined on failure. 0, DROP_MALFORMED,
 * DROP_AUTH. */
enum drop parcel_open(const struct noise_keypair *routing_key, const struct node_id *recipient,
                      int64_t epoch, const struct node_id *sender,
                      const uint8_t sender_link_key[KEY_LEN], const struct noise_known *known,
                      const uint8_t *sealed, size_t length, uint8_t *plain, size_t *ret_length,
                      uint8_t ret_receipt_key[KEY_LEN]);
/* How a plaintext of so many bytes is cut: into k data shards (k_wanted if not 0, else as few as
 * will do) of `length` bytes each, for which it is to be padded to *ret_padded bytes. k = 1: as it
 * is. More: padded, sealed and SHARD_TRANSFORM_LEN are k * length bytes, to be transformed.
 * -EMSGSIZE: so many shards do not hold it, or one parcel does not. */
int parcel_cut(size_t plain_length, unsigned k_wanted, unsigned *ret_k, size_t *ret_length,
               size_t *ret_padded);

/* ---- Shards: kind(1) id(16) k(1) m(1) index(1) length(2) sender(8) path(4) packet(2) mac(16) data
 * ---- */
struct parcel_shard {
    struct parcel_id id;
    uint8_t k, m, index; /* index < k: data, else parity. All shards of a parcel have one length */
    uint16_t length;
    uint64_t sender;
    uint32_t path;
    uint16_t packet;
    const uint8_t *data;
    const uint8_t *header, *mac; /* decoded ones: what the mac covers, besides the data */
};
/* Returns the length of the payload. Precondition: length 1..PARCEL_SHARD_DATA_MAX. */
size_t parcel_shard_encode(const struct parcel_shard *shard, const uint8_t key[KEY_LEN],
                           uint8_t ret_payload[ONION_PAYLOAD_MAX]);
/* Borrows from payload. 0; DROP_MALFORMED (a length or number that cannot be: k = 0, k + m >
 * SHARD_COUNT_MAX, index >= k + m, k > 1 with shards shorter than SHARD_LENGTH_MIN, k of them
 * longer than a parcel). */
enum drop parcel_shard_decode(const uint8_t *payload, size_t length,
                              struct parcel_shard *ret_shard);
bool parcel_shard_is_authentic(const struct parcel_shard *shard, const uint8_t key[KEY_LEN]);

/* ---- Receipts: kind(1) receipt*; receipt = id(16) status(1) reason(1) [partial: k(1) m(1)
 * bitmap of k + m, n(1) (path 4, highest 2, count 2, arrived 4)*n] mac(16) ---- */
enum parcel_status { PARCEL_COMPLETE = 1, PARCEL_PARTIAL = 2, PARCEL_REFUSED = 3 };
/* In place of the reason where the status is COMPLETE: the long message or file of which the parcel
 * held a block is whole, and stored. */
#define PARCEL_WHOLE 1
enum parcel_reason {
    PARCEL_REASON_NONE = 0,
    PARCEL_REASON_TOO_LARGE,
    PARCEL_REASON_BLOCKED,
    PARCEL_REASON_QUOTA, /* for now: its sender comes again */
    PARCEL_REASON_VERSION,
    PARCEL_REASON_MALFORMED,
    PARCEL_REASON_UNKNOWN_SENDER, /* inbox.accept */
    PARCEL_REASON_NO_FILES,       /* files.accept */
    PARCEL_REASON_DAMAGED,        /* a file whose digest is wrong */
    PARCEL_REASON_NO_ROOM = 10,   /* on the recipient's disk, for now: its sender comes again */
    PARCEL_REASON_LOST = 9,       /* what came before is no longer here: its sender begins anew */
};
struct parcel_path { /* what arrived over one path of the sender's */
    uint32_t path;
    uint16_t highest, count;
    uint32_t
        arrived; /* when `highest` did: microseconds of the recipient's clock, from an origin of
                         its own, modulo 2^32. Differences alone mean something (one-way delay) */
};
struct parcel_receipt {
    struct parcel_id id;
    enum parcel_status status;
    uint8_t reason;
    uint8_t k, m, n_paths; /* partial */
    uint8_t bitmap[PARCEL_BITMAP_MAX];
    struct parcel_path paths[PARCEL_RECEIPT_PATHS_MAX];
    const uint8_t *start, *mac; /* decoded ones: what the mac covers lies between */
};
/* Append to a payload. The writer fails, as ever, if there is no room. */
void parcel_receipt_encode(const struct parcel_receipt *receipt, const uint8_t key[KEY_LEN],
                           struct wire_writer *writer);
/* Borrows. 0 or DROP_MALFORMED. */
enum drop parcel_receipt_decode(struct wire_reader *reader, struct parcel_receipt *ret_receipt);
bool parcel_receipt_is_authentic(const struct parcel_receipt *receipt, const uint8_t key[KEY_LEN]);
/* The words for a reason; "refused" for one we do not know. */
const char *parcel_reason_words(uint8_t reason);

/* ---- Shared secrets ---- */
struct parcel_secret {
    struct noise_known known; /* ss = X25519(sender's link key, recipient's routing key); and, if it
                                 was prepared, the ephemeral that the next parcel begins with */
    uint8_t shard_key[32];    /* H-256("p2pd shard" || ss || sender id || recipient id || epoch) */
};
void parcel_receipt_key(const struct parcel_secret *secret, const struct parcel_id *id,
                        uint8_t ret_key[KEY_LEN]); /* of a partial receipt */

/* A bounded table of them, by peer and epoch, in one locked allocation; four-way associative, least
 * recently used out. Which peers share a set is random. */
struct parcel_keys;
/* NULL: no memory. count is a multiple of 4. */
struct parcel_keys *parcel_keys_new(size_t count, const struct core_random *random);
void parcel_keys_free(struct parcel_keys *keys); /* wipes; takes NULL */
/* `stamp` is the sequence of the peer's descriptor whose key was used: a newer one misses. Valid
 * until the next call. NULL: not held. */
struct parcel_secret *parcel_keys_find(struct parcel_keys *keys, const struct node_id *peer,
                                       uint64_t stamp, int64_t epoch);
struct parcel_peer {
    const struct node_id *id;
    uint64_t stamp;
    int64_t epoch;
    const uint8_t
        *public_key; /* the peer's: routing key if it is the recipient, link key if the sender */
    const uint8_t *secret; /* ours */
    const struct node_id *self;
    bool is_sender; /* the peer sends */
    bool is_known;  /* to the user: no stranger's secret takes the place of its one */
};
/* Compute and enter. NULL: the exchange yields zero. */
struct parcel_secret *parcel_keys_add(struct parcel_keys *keys, const struct parcel_peer *peer);
/* The same, if that takes no exchange: there is one of the same keys, under a former stamp. Else
 * NULL. */
struct parcel_secret *parcel_keys_renew(struct parcel_keys *keys, const struct parcel_peer *peer);
/* Into another table, from one that holds it. */
struct parcel_secret *parcel_keys_move(struct parcel_keys *to, struct parcel_keys *from,
                                       const struct parcel_peer *peer);
/* Have the ephemeral of the next parcel to the peer ready, from a fresh secret; 0, or -EINVAL (a
 * worthless key; precondition: is_sender is false and the secret is held). It serves once: then
 * parcel_secret_spend(). */
int parcel_secret_prepare(struct parcel_secret *secret, const uint8_t routing_key[KEY_LEN],
                          const uint8_t ephemeral[32]);
void parcel_secret_spend(struct parcel_secret *secret);
/* Wipe what belongs to epochs before `oldest`. Returns how many are left. */
size_t parcel_keys_expire(struct parcel_keys *keys, int64_t oldest);

#endif
