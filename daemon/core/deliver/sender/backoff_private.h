/* When something is sent again, and to whom nothing is sent for now: the only writer of a parcel's
 * deadline and credit, and of a recipient's reachability and rest. For the sender's own files
 * (sender_private.h includes it).
 *
 * The timers, what starts each and what stops it:
 *   a parcel's deadline     each shard that leaves -> something is heard, or it times out
 *   a recipient's resume    no key, no way, no memory, a full link -> it passes, or retry_now
 *   a recipient's kept_turn mail kept for it timed out -> its turn comes, by its parcel's deadline
 *   a recipient's rest      it has no room -> a whole parcel is taken, or it passes
 *   a recipient's draw_after (sender_path.c) a further path could not be had -> it passes */
#ifndef P2PD_BACKOFF_PRIVATE_H
#define P2PD_BACKOFF_PRIVATE_H

/* ---- A parcel ---- */
void backoff_parcel_init(struct sender_parcel *parcel);
/* How long to wait for a receipt of what a parcel sends now. */
int64_t backoff_delay_us(struct sender *sender, const struct sender_parcel *parcel);
/* The parcel was sealed; a shard of it leaves: a receipt is expected in time. */
void backoff_parcel_sealed(struct sender *sender, struct sender_parcel *parcel, struct mono now);
void backoff_parcel_sent(struct sender *sender, struct sender_parcel *parcel, struct mono now);
/* No receipt came in time: until one comes only a shard or two are sent. */
void backoff_parcel_timed_out(struct sender *sender, struct sender_parcel *parcel, struct mono now);
/* A parcel timed out, or is to ask anew: may it, now? One of mail that is kept waits for its turn
 * among all of these, and false is returned until that comes. */
bool backoff_parcel_takes_turn(struct sender *sender, struct sender_parcel *parcel,
                               struct mono now);
/* It was emptied since it was sent, and will be read and sealed again to ask into the silence: that
 * counts as a time-out. */
void backoff_parcel_asks_anew(struct sender_parcel *parcel);
/* The parcel could not send, as no window had room: look again later. */
void backoff_parcel_postpone(struct sender_parcel *parcel, struct mono now);
/* The recipient is silent, and its first parcel asks whether it is there: this one waits. */
void backoff_parcel_rest(struct sender_parcel *parcel);
/* The recipient's keys changed: as if the parcel had never been sent. */
void backoff_parcel_restart(struct sender_parcel *parcel);

/* ---- A recipient ---- */
void backoff_init(struct recipient *recipient);
/* No receipt came for the first parcel in more than SENDER_FAST_RESENDS tries. */
bool backoff_is_silent(const struct recipient *recipient);
/* A receipt came: all parcels may be sent again. */
void backoff_heard(struct sender *sender, struct recipient *recipient, struct mono now);
/* A path was drawn to it; it has its turn, with keys and a path. */
void backoff_has_path(struct recipient *recipient);
void backoff_has_turn(struct recipient *recipient);
/* The recipient has no keys, or there is no path to it: it is tried again after a while, or when
 * backoff_retry_now() is called. */
void backoff_unreachable(struct sender *sender, struct recipient *recipient, struct mono now);
void backoff_pause(struct recipient *recipient, struct mono now, int64_t us);
void backoff_set_why(struct recipient *recipient, enum outbox_why why);
/* The recipient refused something for now: pause; it took a whole parcel: the next pause is short
 * again. */
void backoff_rest(struct sender *sender, struct recipient *recipient, struct mono now);
void backoff_rested(struct recipient *recipient);
/* Routes or the recipient's descriptor changed: try at once. False: it is not waiting. */
bool backoff_retry_now(struct recipient *recipient, struct mono now);

#endif
