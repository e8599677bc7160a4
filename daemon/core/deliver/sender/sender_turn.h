/* What happens in the sender: recipients take turns, receipts and reads come in, and what became of
 * messages is said by outcomes. See sender.h. */
#ifndef P2PD_SENDER_TURN_H
#define P2PD_SENDER_TURN_H

#include "daemon/core/deliver/sender/sender.h"

/* ---- Outcomes ---- */
enum sender_outcome_kind {
    SENDER_PROGRESS,  /* all below `offset` is confirmed: the store may be told; 0: begins anew */
    SENDER_TAKEN,     /* a block was confirmed: nothing is refused any more */
    SENDER_NOT_NOW,   /* refused for now, for `reason`: it comes again */
    SENDER_DELIVERED, /* final: */
    SENDER_REFUSED,   /* for `reason` */
    SENDER_FAILED     /* it cannot be read any more, for `reason` */
};
struct sender_outcome {
    enum sender_outcome_kind kind;
    struct message *message;
    uint64_t offset;
    const char *reason;
};
/* Until false, after sender_receipt() and sender_stored(): what became of messages. A final one is
 * to be forgotten (sender_forget()). */
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
    struct recipient *no_route; /* there is no way to it just now; or NULL */
    bool is_gone;               /* a recipient is no more: */
    void *gone;                 /* what was attached to it, */
    struct sender_route was;    /* its route, */
    int64_t srtt_us, rttvar_us; /* and what was measured with it; 0: nothing */
};
/* A tick begins: so much may be sent in it, by turns. */
void sender_begin(struct sender *sender, struct mono now);
/* One recipient has its turn. False: no more in this tick. */
bool sender_turn(struct sender *sender, struct now now, struct sender_turn *ret_turn);
/* Until NULL, after each turn: a parcel whose first shards left. */
struct sender_parcel *sender_departed(struct sender *sender);
/* Its messages, by number; NULL: taken out meanwhile. */
size_t sender_parcel_items(const struct sender_parcel *parcel);
struct message *sender_parcel_message(const struct sender_parcel *parcel, size_t i);
/* The routes that its shards took: scratch memory of the effects. NULL: no memory. */
struct route_report *sender_routes(struct sender *sender, const struct sender_parcel *parcel,
                                   size_t *ret_n);
/* Compute a piece ahead, if this step has nothing else to do. */
void sender_make_ready(struct sender *sender, struct now now);
void sender_tick(struct sender *sender, struct now now);
struct mono sender_next(const struct sender *sender);

#endif
