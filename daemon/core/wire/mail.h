/* Mail, as bytes: what is sealed for a recipient who is away, and the deposits that bring it to a
 * mailbox. Pure functions. It decides nothing: who deposits is outbox's, who keeps mailbox's, who
 * opens inbox's business.
 *
 * Threat: a deposit is anonymous, so every byte of it is anybody's. A mailbox is to learn for whom
 * mail is, how much and when; neither from whom nor what it says: the sender stands inside the
 * sealed part alone, and the confirmation leads back over an onion that the sender has made ready.
 * Who steals a mail key reads what was sealed to it: forward secrecy by days, no more. Implements
 * p2pd-protocol(7) MAILBOXES. */
#ifndef P2PD_MAIL_H
#define P2PD_MAIL_H

#include "daemon/core/base/limits.h"
#include "daemon/core/base/wirebuf.h"
#include "daemon/core/wire/identity.h"
#include "daemon/core/wire/onion.h"
#include "daemon/core/wire/parcel.h"
#include "daemon/core/wire/shard.h"

/* ---- Mail: day(4) Noise_X(sender id(32) version(1) length(2) descriptor item*) ---- */
#define MAIL_VERSION 1
#define MAIL_OVERHEAD (4u + PARCEL_OVERHEAD)
#define MAIL_BLOB_MAX PARCEL_BLOCK_MAX /* a mailbox delivers it as one item of a parcel */
#define MAIL_PLAIN_MAX (MAIL_BLOB_MAX - MAIL_OVERHEAD)
#define MAIL_HEAD_LEN (NODE_ID_LEN + 3u) /* and the descriptor */
#define MAIL_BLOB_MIN (MAIL_OVERHEAD + MAIL_HEAD_LEN + SIGNATURE_LEN + PARCEL_ITEM_HEADER_LEN)
/* The largest message that fits, whatever its sender's descriptor. */
#define MAIL_MESSAGE_MAX (MAIL_PLAIN_MAX - MAIL_HEAD_LEN - DESCRIPTOR_MAX - PARCEL_ITEM_HEADER_LEN)

struct mail_head {
    struct node_id sender;
    const uint8_t *descriptor; /* the sender's: its recipient may not know it (any more) */
    size_t descriptor_length;
};
void mail_put_head(struct wire_writer *writer, const struct mail_head *head);
/* Borrows. 0, DROP_MALFORMED, DROP_VERSION. The descriptor is not looked into. */
enum drop mail_get_head(struct wire_reader *reader, struct mail_head *ret_head);

/* Seal for recipient's mail key of `day`; out holds length + MAIL_OVERHEAD. Returns the blob's
 * length, or -EINVAL (a key that yields zero, too long). */
int mail_seal(const struct noise_keypair *link_key, const struct node_id *recipient,
              const uint8_t mail_key[KEY_LEN], uint32_t day, const uint8_t ephemeral[32],
              const uint8_t *plain, size_t length, uint8_t *out);
/* To which day's key it is sealed; 0: no mail. */
uint32_t mail_day(const uint8_t *blob, size_t length);
/* Open; plain holds length - MAIL_OVERHEAD and is undefined on failure. ret_link_key is the
 * sender's, as proven: whose it is, the descriptor inside has to say. 0, DROP_MALFORMED,
 * DROP_AUTH. */
enum drop mail_open(const struct noise_keypair *mail_key, const struct node_id *recipient,
                    const uint8_t *blob, size_t length, uint8_t *plain, size_t *ret_length,
                    uint8_t ret_link_key[KEY_LEN]);
/* Under which a mailbox keeps it: H-128("p2pd mail" || blob). */
struct message_id mail_id(const uint8_t *blob, size_t length);

/* ---- Deposit: version(1) recipient(32) expires ms(8) n(1) (first hop(8) onion packet(1197))*n
 * length(2) descriptor length(4) blob padding ---- */
#define MAIL_DEPOSIT_VERSION 1
#define MAIL_REPLIES_MAX 2
#define MAIL_TOKEN_LEN 16
#define MAIL_DEPOSIT_MAX                                                                           \
    (NODE_ID_LEN + 16u + MAIL_REPLIES_MAX * (8u + ONION_LEN) + DESCRIPTOR_MAX + MAIL_BLOB_MAX)
struct mail_reply {
    uint64_t first; /* whom the mailbox hands it to */
    const uint8_t *packet;
};
struct mail_deposit {
    struct node_id recipient;
    uint64_t expires_ms;
    unsigned n_replies;
    struct mail_reply replies[MAIL_REPLIES_MAX];
    const uint8_t *descriptor; /* the recipient's, which names its mailboxes */
    size_t descriptor_length;
    const uint8_t *blob;
    size_t blob_length;
};
void mail_deposit_encode(const struct mail_deposit *deposit, struct wire_writer *writer);
/* Borrows. 0, DROP_MALFORMED (lengths out of bounds, padding that is not zeros), DROP_VERSION. */
enum drop mail_deposit_decode(const uint8_t *bytes, size_t length,
                              struct mail_deposit *ret_deposit);

/* ---- Its shards: kind(1) id(16) k(1) m(1) index(1) length(2) data ---- */
#define MAIL_SHARD_HEADER_LEN 21u
#define MAIL_SHARD_DATA_MAX (ONION_PAYLOAD_MAX - 1u - MAIL_SHARD_HEADER_LEN)
#define MAIL_SHARDS_MAX                                                                            \
    ((MAIL_DEPOSIT_MAX + SHARD_TRANSFORM_LEN + MAIL_SHARD_DATA_MAX - 1) / MAIL_SHARD_DATA_MAX)
struct mail_cut {
    uint8_t k, m;
    uint16_t length;
};
struct mail_shard {
    uint8_t id[PARCEL_ID_LEN];
    struct mail_cut cut;
    uint8_t index;
    const uint8_t *data;
};
/* How a deposit of so many bytes is cut: as many parity shards as data, as far as numbers go.
 * Nobody tells an anonymous sender what is missing, so half of it may be lost at once. */
struct mail_cut mail_cut(size_t length);
/* Transform `length` bytes, padded, and add the parity: `bytes` holds (k + m) * length of a shard.
 * `key` is random, used once, and the caller's to wipe. */
void mail_shards(const struct mail_cut *cut, uint8_t *bytes, size_t length, const uint8_t key[32]);
/* Returns the length of the payload. */
size_t mail_shard_encode(const struct mail_shard *shard, uint8_t ret_payload[ONION_PAYLOAD_MAX]);
/* Borrows. 0 or DROP_MALFORMED. */
enum drop mail_shard_decode(const uint8_t *payload, size_t length, struct mail_shard *ret_shard);
/* Any k shards, the one at place i having the number index[i], back to the deposit in place.
 * Returns its length, padding included, or -ENOMEM. */
int mail_restore(const struct mail_cut *cut, const uint8_t *index, uint8_t *bytes);

#endif
