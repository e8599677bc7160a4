/* What happens in the sender: recipients take turns, receipts and reads come in, and what became of
 * messages is said by outcomes. See sender.h. */
#ifndef P2PD_SENDER_TURN_H
#define P2PD_SENDER_TURN_H

#include "daemon/core/deliver/sender/sender.h"

/* ---- Outcomes ---- */
enum sender_outcome_kind {
    SENDER_PROGRESS, /* all below `offset` is confirmed: to be stored; 0: the message begins anew */
    SENDER_TAKEN,    /* a block was confirmed: the message is not refused any more */
    SENDER_NOT_NOW,  /* refused for now, for `reason`: the message will be offered again */
    SENDER_DELIVERED, /* final: */
    SENDER_REFUSED,   /* for `reason` */
    SENDER_FAILED     /* the store cannot read it any more, for `reason` */
};
struct sender_outcome {
    enum sender_outcome_kind kind;
    struct message *message;
    uint64_t offset;
    const char *reason;
};
/* Take the next outcome, until false, after each sender_receipt() and sender_stored(). After a
 * final one call sender_forget(). */
bool sender_outcome(struct sender *sender, struct sender_outcome *ret_outcome);

/* The result of one of our store operations. */
void sender_stored(struct sender *sender, uint64_t cookie, const struct store_result *result);
/* One receipt, of an onion payload of kind PAYLOAD_RECEIPTS. */
enum drop sender_receipt(struct sender *sender, const struct parcel_receipt *receipt,
                         struct now now);
/* Routes or (recipient given) a descriptor changed: unreachable recipients are tried at once, each
 * at most once a second. */
void sender_retry_now(struct sender *sender, const struct node_id *recipient, struct mono now);

/* ---- Turns ---- */
struct sender_turn {            /* what happened in one */
    struct recipient *no_route; /* no path to this recipient, or no keys of it, just now; or NULL */
    bool is_gone;               /* a recipient was idle for long, and freed: */
    void *gone;                 /* what was attached to it, */
    struct sender_route was;    /* its route, */
    int64_t srtt_us, rttvar_us; /* and its round trip; 0 or less: none was measured */
};
/* A tick begins, in which a bounded number of packets is sent. */
void sender_begin(struct sender *sender, struct mono now);
/* One recipient has its turn. False: no more in this tick. */
bool sender_turn(struct sender *sender, struct now now, struct sender_turn *ret_turn);
/* Until NULL, after each turn: a parcel whose first shards left in it. */
struct sender_parcel *sender_departed(struct sender *sender);
/* Its messages, by number; NULL: taken out meanwhile. */
size_t sender_parcel_items(const struct sender_parcel *parcel);
struct message *sender_parcel_message(const struct sender_parcel *parcel, size_t i);
/* The routes that its shards took: scratch memory of the effects. NULL: no memory. */
struct route_report *sender_routes(struct sender *sender, const struct sender_parcel *parcel,
                                   size_t *ret_n);
/* Compute keys or a path for the next parcel, if this step has nothing else to do. */
void sender_make_ready(struct sender *sender, struct now now);
void sender_tick(struct sender *sender, struct now now);
struct mono sender_next(const struct sender *sender);

#endif
