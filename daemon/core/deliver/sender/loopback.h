/* Messages to ourselves, block by block through the store: what is read here the inbox writes. No
 * policy and no quota holds for them. One block is on its way at a time, and each is a turn, so
 * that a long message, or one that cannot be stored, holds up nobody. */
#ifndef P2PD_LOOPBACK_H
#define P2PD_LOOPBACK_H

#include "daemon/core/base/backoff.h"
#include "daemon/core/deliver/sender/sender_turn.h"

enum loopback_stage {
    LOOPBACK_IDLE = 0,
    LOOPBACK_READING, /* the store reads the block */
    LOOPBACK_READY,   /* to be handed to the inbox */
    LOOPBACK_HANDED   /* the inbox has it */
};
struct loopback {
    struct effects *effects;
    struct { /* what a cookie of ours points to */
        uint64_t owner;
    } operation;
    struct message_queue queue;
    enum loopback_stage stage; /* written by loopback_move() alone */
    struct message *message;   /* whose block is on its way; NULL: it was finished meanwhile */
    struct message_id id;
    uint8_t *bytes;
    uint32_t length;
    struct mono retry;
    struct backoff failures;
};

void loopback_init(struct loopback *loopback, struct effects *effects, uint64_t owner,
                   struct mono now);
void loopback_deinit(struct loopback *loopback);

void loopback_enqueue(struct loopback *loopback, struct message *message, uint64_t progress);
/* The message is final. */
void loopback_forget(struct loopback *loopback, struct message *message);
/* Begin the next block, if it is time. */
void loopback_tick(struct loopback *loopback, struct mono now);
struct mono loopback_next(const struct loopback *loopback);
/* Has the store failed to read or take the last block? */
bool loopback_is_stuck(const struct loopback *loopback);

/* A read came back. True: *ret_outcome is what became of the message (SENDER_FAILED). */
bool loopback_stored(struct loopback *loopback, const struct store_result *result, struct mono now,
                     struct sender_outcome *ret_outcome);
/* The next block is to be handed to the inbox: *ret_item, borrowed until loopback_done(). NULL:
 * none just now; else its message. */
struct message *loopback_hand(struct loopback *loopback, struct parcel_item *ret_item);
/* The inbox stored the block, or did not (error: the block is tried again later, unless the error
 * is for good). True: *ret_outcome says what that means for the message. */
bool loopback_done(struct loopback *loopback, const struct message_id *id, int error,
                   struct mono now, struct sender_outcome *ret_outcome);

#endif
