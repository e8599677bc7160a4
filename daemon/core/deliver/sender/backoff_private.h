/* When something is sent again, and to whom nothing is sent for now: the only writer of a parcel's
 * deadline and credit, and of a recipient's reachability and rest. For the sender's own files
 * (sender_private.h includes it).
 *
 * The timers, what starts each and what stops it:
 *   a parcel's deadline     each shard that leaves -> something is heard, or it times out
 *   a recipient's resume    no key, no way, no memory, a full link -> it passes, or retry_now
 *   a recipient's rest      it has no room -> a whole parcel is taken, or it passes
 *   a recipient's draw_after (sender_path.c) a further path could not be had -> it passes */
#ifndef P2PD_BACKOFF_PRIVATE_H
#define P2PD_BACKOFF_PRIVATE_H

/* ---- A parcel ---- */
void backoff_parcel_init(struct sender_parcel *parcel);
/* How long to wait for an answer to what a parcel sends now. */
int64_t backoff_delay_us(struct sender *sender, const struct sender_parcel *parcel);
/* It is sealed, or a shard of it leaves: an answer is expected. */
void backoff_parcel_sealed(struct sender *sender, struct sender_parcel *parcel, struct mono now);
void backoff_parcel_sent(struct sender *sender, struct sender_parcel *parcel, struct mono now);
/* Nothing was heard in time: little is sent until something is. */
void backoff_parcel_timed_out(struct sender *sender, struct sender_parcel *parcel, struct mono now);
/* No window was open; that of others will be. */
void backoff_parcel_postpone(struct sender_parcel *parcel, struct mono now);
/* Another parcel asks whether anybody is there. */
void backoff_parcel_rest(struct sender_parcel *parcel);
/* What it was sealed with is over: as if it had never been sent. */
void backoff_parcel_restart(struct sender_parcel *parcel);

/* ---- A recipient ---- */
void backoff_init(struct recipient *recipient);
/* Nothing was heard of what was sent again and again. */
bool backoff_is_silent(const struct recipient *recipient);
/* Somebody is there: everything resumes. */
void backoff_heard(struct sender *sender, struct recipient *recipient, struct mono now);
/* A path was drawn; it has its keys and has its turn. */
void backoff_has_path(struct recipient *recipient);
void backoff_has_turn(struct recipient *recipient);
/* Nobody there, or no way: the rest waits for retry_now or its time. */
void backoff_unreachable(struct sender *sender, struct recipient *recipient, struct mono now);
void backoff_pause(struct recipient *recipient, struct mono now, int64_t us);
void backoff_set_why(struct recipient *recipient, enum outbox_why why);
/* It has no room, or has lost what it had; and has room again. */
void backoff_rest(struct sender *sender, struct recipient *recipient, struct mono now);
void backoff_rested(struct recipient *recipient);
/* Routes or its descriptor changed. False: it waits for nothing. */
bool backoff_retry_now(struct recipient *recipient, struct mono now);

#endif
