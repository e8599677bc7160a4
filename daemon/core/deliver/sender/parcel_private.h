/* Parcels: gathered, read, sealed, emptied; and the queues that they are gathered from. For the
 * sender's own files (sender_private.h includes it). */
#ifndef P2PD_PARCEL_PRIVATE_H
#define P2PD_PARCEL_PRIVATE_H

/* ---- sender_parcel.c ---- */
static inline bool sender_parcel_is_sealed(const struct sender_parcel *parcel) {
    return parcel->state == PARCEL_SEALED || parcel->state == PARCEL_SENT;
}
static inline bool sender_parcel_is_reading(const struct sender_parcel *parcel) {
    return parcel->state == PARCEL_READING || parcel->state == PARCEL_STALE;
}
/* Empty, of up to so many items, the last of its recipient. NULL: no memory. */
struct sender_parcel *sender_parcel_new(struct sender *sender, struct recipient *recipient,
                                        size_t n_items, bool is_long);
void sender_parcel_add(struct sender_parcel *parcel, struct message *message, uint64_t offset,
                       uint32_t length);
/* Begin to read what it holds. 0; -ENOMEM: later; -ENOENT: it held nothing any more and is gone. */
int sender_parcel_fill(struct sender *sender, struct sender_parcel *parcel);
/* All is read: seal it to the recipient's key. 0, -ENOMEM, -EINVAL (that key is invalid), -EAGAIN
 * (it is stale: to be read again), or the error of a read; on any error it is empty again. */
int sender_parcel_seal(struct sender *sender, struct sender_parcel *parcel, struct mono now);
/* Its first shards leave. */
void sender_parcel_departs(struct sender *sender, struct sender_parcel *parcel);
/* Back to a list of items: unsealed, to be read again. While it is being read it is stale
 * instead. */
void sender_parcel_empty(struct sender *sender, struct sender_parcel *parcel);
void sender_parcel_drop(struct sender *sender, struct sender_parcel *parcel);
/* Take all of a message's items out. False: nothing is left in the parcel. */
bool sender_parcel_forget(struct sender_parcel *parcel, const struct message *message);
bool sender_parcel_holds(const struct sender_parcel *parcel, const struct message *message);
/* The bytes of a shard. NULL: no memory for the parity. */
const uint8_t *sender_shard_data(struct sender *sender, struct sender_parcel *parcel,
                                 unsigned index);
void shard_move(struct sender_shard *shard, enum shard_state state);
/* A read is over; the parcel goes with the last of them if it was dropped. */
void sender_op_done(struct sender *sender, struct sender_op *op);
void sender_outcome_add(struct sender *sender, enum sender_outcome_kind kind,
                        struct message *message, uint64_t offset, const char *reason);

/* ---- sender_queue.c ---- */
/* May a parcel be gathered now? */
bool sender_may_gather(const struct recipient *recipient, struct mono now);
/* Next parcel of what waits, empty; NULL: nothing may go, or no memory. */
struct sender_parcel *sender_gather(struct sender *sender, struct recipient *recipient,
                                    struct mono now);
/* The offset below which all of a message is confirmed: its blocks in parcels, and those not
 * gathered yet, lie behind. */
uint64_t sender_confirmed_below(const struct message *message);
/* A message was refused for now: it goes from its parcels to the end of its queue, and is sent
 * again from `below` on. */
void sender_requeue(struct sender *sender, struct message *message, uint64_t below);
/* The message is not refused any more. */
void sender_accept_again(struct message *message);
/* A parcel of several messages was refused: its messages are queued again, each to go in a parcel
 * of its own, to learn which one was meant. */
void sender_split(struct sender *sender, struct sender_parcel *parcel);

#endif
