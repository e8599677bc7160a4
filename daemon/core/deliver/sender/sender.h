/* Reliable transport to recipients: what waits for one is gathered into parcels, sealed to its key,
 * cut into shards, sent over kept paths, and sent again until a receipt is in. It opens nothing
 * that others send but receipts. It knows neither clients nor the ledger: what became of a message
 * it says by outcomes, which the outbox carries to the ledger.
 *
 * Threat: relays drop, delay and forge; a recipient may be silent for days. Only a receipt keyed
 * with what the recipient alone can derive is an outcome. One busy recipient must not hold up the
 * others, and what strangers left here for one goes by a recipient of its own (is_kept), so that
 * its being refused holds up nothing that we write. Implements p2pd-protocol(7) DELIVERY. */
#ifndef P2PD_SENDER_H
#define P2PD_SENDER_H

#include "daemon/core/deliver/message/message.h"
#include "daemon/core/directory/directory.h"
#include "daemon/core/route/courier.h"
#include "daemon/core/seam/answer.h"
#include "daemon/core/seam/effects.h"
#include "daemon/core/wire/identity.h"

#define SENDER_SUBFLOWS 4      /* kept paths a recipient */
#define SENDER_SUBFLOWS_MAX 32 /* with explicit shards: one each */

struct sender;
struct sender_parcel;

struct sender_config {
    const struct identity *identity; /* the rooms are borrowed for the sender's life */
    struct directory *directory;
    struct paths *paths;
    struct courier *courier;
    struct effects *effects;
    struct budget *budget;
    struct messages *messages;
    struct core_random random;
    uint64_t owner; /* first word of what a cookie of ours points to */
};
struct sender_counters {
    uint64_t retransmissions;
};

struct sender *sender_new(const struct sender_config *config);
void sender_free(struct sender *sender);
const struct sender_counters *sender_counters(const struct sender *sender);

/* ---- Recipients ---- */
/* A recipient here is a node and a kind of route to it: messages that ask for another kind of route
 * go by another recipient. */
struct sender_route {
    struct node_id to;
    uint8_t relays_exact;
    uint8_t shards_k, shards_m; /* 0, 0: as fits */
    bool strict;
    bool is_kept; /* mail of others alone */
};
/* The route of mail that we keep for a node. */
struct sender_route sender_route_kept(const struct node_id *to);
/* Make a recipient only if its memory is within what is left of limits.memory; or in any case, for
 * a message that was accepted already. */
enum sender_hold { HOLD_IF_ROOM, HOLD_ANYWAY };
/* A message of so many bytes will be sent by this route: the recipient, made if need be. It exists
 * until the message is released or forgotten. NULL: no memory. *ret_is_new: it was made just now
 * (see sender_recall()). */
struct recipient *sender_hold(struct sender *sender, const struct sender_route *route,
                              enum sender_hold hold, uint64_t size, bool *ret_is_new);
/* The same for a recipient that exists. */
void sender_hold_on(struct recipient *recipient, uint64_t size);
void sender_recall(struct recipient *recipient, int64_t srtt_us, int64_t rttvar_us);
/* The message will not be sent. */
void sender_release(struct sender *sender, struct recipient *recipient, uint64_t size);
/* NULL: there is none. */
struct recipient *sender_find(const struct sender *sender, const struct sender_route *route);
const struct sender_route *sender_route_of(const struct recipient *recipient);
/* How many messages it holds, those that are being stored included, and their bytes. */
size_t sender_held(const struct recipient *recipient, uint64_t *ret_bytes);
/* What a recipient of this kind takes in memory. */
size_t sender_recipient_size(const struct sender_route *route);
enum outbox_why sender_why(const struct recipient *recipient);
bool sender_is_silent(const struct recipient *recipient);
bool sender_is_unreachable(const struct recipient *recipient);
struct recipient *sender_first(const struct sender *sender);
struct recipient *sender_after(const struct recipient *recipient);
/* A pointer that the outbox keeps with the recipient; NULL at first. */
void sender_attach(struct recipient *recipient, void *attached);
void *sender_attached(const struct recipient *recipient);

/* Walk over the messages that wait for a recipient and are sent whole: those in parcels, then those
 * in the queue. */
struct sender_walk {
    const struct sender_parcel *parcel;
    size_t item;
    struct message *queued;
};
struct sender_walk sender_walk(const struct recipient *recipient);
struct message *sender_walk_next(struct sender_walk *walk);

/* ---- Messages ---- */
/* The message is this recipient's to send, which has counted it (sender_hold()); NULL: nobody's for
 * now. */
void sender_assign(struct message *message, struct recipient *recipient);
/* Send all of a message but what lies below `progress`, by the recipient that it has. */
void sender_enqueue(struct sender *sender, struct message *message, uint64_t progress);
/* The message is not sent any more: it leaves its recipient's queue and parcels, and the recipient
 * no longer counts it. */
void sender_forget(struct sender *sender, struct message *message);

/* Evict a sealed parcel of a silent recipient. False: there is none. */
bool sender_evict(struct sender *sender);
/* Does nothing of ours wait for the store? */
bool sender_is_idle(const struct sender *sender);

#endif
