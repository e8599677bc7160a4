/* What I got: shards put together, parcels opened, messages stored, and only then receipted; and
 * their handing out to local clients under leases. It never asks anybody for anything.
 *
 * Threat: anybody may send shards. What is held is charged to a sender that its mac proves, by
 * bytes and by parcels; unfinished parcels are the first to go when memory is short. A client may
 * vanish between being handed a message and confirming it: then it was not handed out. Implements
 * p2pd-protocol(7) DELIVERY. */
#ifndef P2PD_INBOX_H
#define P2PD_INBOX_H

#include "daemon/core/base/budget.h"
#include "daemon/core/base/limits.h"
#include "daemon/core/base/share.h"
#include "daemon/core/deliver/inbox/policy.h"
#include "daemon/core/route/courier.h"
#include "daemon/core/seam/effects.h"
#include "daemon/core/seam/request.h"
#include "daemon/core/wire/identity.h"
#include "daemon/core/wire/parcel.h"

/* Timers (inbox_next() is the earliest; inbox_tick() serves what is due):
 * - of each unfinished parcel, partial receipt: started by each new shard (20 ms), again after 40,
 *   80, 160 and 320 ms; stopped by the last of these, or when the parcel is whole or let go.
 * - keys (a quarter of an epoch): secrets, and unfinished parcels, of epochs that are over are
 *   dropped. Started by the first secret; stopped when there are neither. */

#define INBOX_BATCH_MAX 256 /* messages handed out before a confirmation */
#define INBOX_BATCH_BYTES (1024u * 1024u)

struct inbox;
struct inbox_limits {
    size_t message_max;
    int64_t tombstone_us; /* a message id is remembered so long beyond its expiry */
    int64_t retention_us; /* 0: what is taken is forgotten at once */
    uint64_t messages_sender, messages_all; /* bytes of messages not taken; 0: no bound */
    uint64_t files_sender, files_all;       /* bytes of files: the same */
    uint8_t messages_free, files_free;      /* percent of the disk that others leave free */
};
struct inbox_config {
    const struct identity *identity; /* the rooms are borrowed for the inbox's life */
    struct directory *directory;
    struct paths *paths;
    struct courier *courier;
    struct effects *effects;
    struct budget *budget;
    struct core_random random;
    const struct policy *policy; /* NULL: everybody may */
    struct share *share;         /* of the public-key work that shards cost; NULL: no bound */
    struct inbox_limits limits;
    uint64_t waiting; /* from the store, at start */
};
struct inbox_counters {
    uint64_t messages_received, receipts_sent; /* received: files too */
    uint64_t refused_blocked, refused_unknown, refused_quota, refused_files; /* parcels */
};

/* NULL: no memory. It enters itself as BUDGET_INBOX's evictor. */
struct inbox *inbox_new(const struct inbox_config *config);
void inbox_free(struct inbox *inbox);
/* Whatever of this sender's is not whole is let go of. */
void inbox_drop_sender(struct inbox *inbox, const struct node_id *sender);
/* Our routing keys are new: what was derived from the old ones is wiped, unfinished parcels
 * included. */
void inbox_renew(struct inbox *inbox);
void inbox_configure(struct inbox *inbox, const struct inbox_limits *limits);

/* An onion payload of kind PAYLOAD_SHARD (its kind byte included), peeled with our routing key of
 * `epoch`, that the neighbour in place `from` brought. */
enum drop inbox_shard(struct inbox *inbox, const uint8_t *payload, size_t length, unsigned from,
                      int64_t epoch, struct now now);
/* A block of a message to ourselves, from outbox_local(); bytes are copied. 0: what came of it will
 * be told by inbox_local_done(); -ENOMEM: tell outbox_local_done() that now. */
int inbox_local(struct inbox *inbox, const struct parcel_item *item, const struct address *address,
                const char *name, struct wall wall);
/* Until false, after each event: what to tell outbox_local_done(). */
bool inbox_local_done(struct inbox *inbox, struct message_id *ret_id, int *ret_error);

/* The result of one of our store operations. */
void inbox_stored(struct inbox *inbox, uint64_t cookie, const struct store_result *result,
                  struct now now);
/* Send the receipts that this event gave rise to, gathered by sender. Call it at the end of every
 * step. */
void inbox_flush(struct inbox *inbox, struct now now);
void inbox_tick(struct inbox *inbox, struct now now);
struct mono inbox_next(const struct inbox *inbox);

/* Begin to hand out (from: the resolved sender, NULL = any). Batches are answered ANSWER_MESSAGES
 * with end = false, each to be confirmed before the next; when nothing is left, one without
 * messages and end = true. Peek: nothing to confirm. */
void inbox_pull(struct inbox *inbox, const struct request *request, const struct node_id *from);
/* The client has the batch: taken, and the next one follows once that is stored. Or it has these
 * rows of it (NULL: all), and nobody has the others. */
void inbox_confirm(struct inbox *inbox, uint64_t client, const int64_t *rows, size_t n,
                   struct wall wall);
void inbox_client_gone(struct inbox *inbox, uint64_t client);

uint64_t inbox_waiting(const struct inbox *inbox); /* complete messages not taken yet */
const struct inbox_counters *inbox_counters(const struct inbox *inbox);

#endif
