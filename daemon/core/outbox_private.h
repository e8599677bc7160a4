/* What the outbox's files call of each other: outbox.c (requests and the store), outbox_message.c
 * (messages and how they end), outbox_parcel.c (parcels: gathered, read, sealed), outbox_flow.c
 * (per recipient: paths, keys, sending), outbox_ack.c (receipts, windows, time-outs), outbox_mail.c
 * (what is left in mailboxes) and outbox_deposit.c (what we keep as a mailbox). Nobody else includes
 * it. */
#ifndef P2PD_OUTBOX_PRIVATE_H
#define P2PD_OUTBOX_PRIVATE_H

#include "daemon/core/outbox_types.h"

/* ---- outbox.c ---- */
/* An operation to be filled in, listed; NULL: no memory. */
struct out_op *out_op_new(struct outbox *outbox, enum out_op_kind kind);
void out_op_free(struct outbox *outbox, struct out_op *op);
void out_store(struct outbox *outbox, const struct store_op *operation, const struct out_op *op);

/* ---- outbox_message.c ---- */
struct out_message *out_find(const struct outbox *outbox, const struct message_id *id);
/* Not entered yet; NULL: no memory. */
struct out_message *out_message_new(const struct out_record *record);
/* From here on it is owed. Its flow has counted it already. */
void out_message_enter(struct outbox *outbox, struct out_message *message, struct mono now,
                       struct wall wall);
void out_message_free(struct outbox *outbox, struct out_message *message);
void out_set_state(struct out_message *message, enum message_state state);
void out_drop_body(struct outbox *outbox, struct out_message *message);
/* Move to a final state, store it, tell who waits. The message is freed once that is stored. */
void out_finish(struct outbox *outbox, struct out_message *message, enum message_state state,
                const char *reason, struct mono now, struct wall wall);
void out_state_done(struct outbox *outbox, struct out_message *message, int error, struct mono now);
void out_retry_states(struct outbox *outbox, struct mono now);
void out_expire(struct outbox *outbox, struct mono now, struct wall wall);
/* One more who waits; NULL after an answer that says why not. */
struct out_watcher *out_watch(struct outbox *outbox, struct out_message *message, uint64_t client);
void out_watchers_gone(struct outbox *outbox, uint64_t client);
struct message_report out_report(const struct out_message *message);
enum answer_code out_state_code(enum message_state state);
const char *out_state_word(enum message_state state);
void out_answer(struct outbox *outbox, uint64_t client, enum answer_code code, bool end,
                const struct message_report *report, const char *text);
/* No route: tell those who asked for it. */
void out_trace_none(struct outbox *outbox, const struct out_flow *flow);
/* The routes just chosen for a parcel, to those who asked for them; flow NULL: there are none. */
void out_trace(struct outbox *outbox, struct out_message *message, const struct out_flow *flow,
               const struct out_parcel *parcel);

/* Messages to ourselves: begin the next block; its read came back. */
void out_local_start(struct outbox *outbox, struct mono now);
void out_local_read(struct outbox *outbox, const struct store_result *result, struct mono now,
                    struct wall wall);

/* ---- outbox_parcel.c ---- */
/* Next parcel of what waits, empty; NULL: nothing may go, or no memory. */
struct out_parcel *out_parcel_gather(struct out_flow *flow);
/* Begin to read what it holds. 0; -ENOMEM: later; -ENOENT: it held nothing any more and is gone. */
int out_parcel_fill(struct outbox *outbox, struct out_parcel *parcel);
/* A read of one item came back. */
void out_parcel_read(struct outbox *outbox, struct out_op *op, const struct store_result *result,
                     struct mono now, struct wall wall);
/* All is read: seal it, with the flow's keys. 0, -ENOMEM, -EINVAL (the recipient's key is none),
 * -EAGAIN (to be read again), or the error of a read; then it is empty again. */
int out_parcel_finish(struct outbox *outbox, struct out_parcel *parcel);
/* Back to a list of items: unsealed, to be read again. While reading it is spoiled instead. */
void out_parcel_empty(struct outbox *outbox, struct out_parcel *parcel);
void out_parcel_drop(struct outbox *outbox, struct out_parcel *parcel);
/* Take a message that became final out of its flow's queue and parcels. */
void out_flow_forget(struct outbox *outbox, struct out_message *message);
/* Put the messages of a parcel of several back, each to go alone. */
void out_parcel_split(struct outbox *outbox, struct out_parcel *parcel);
/* Evictor of BUDGET_OUTBOX: kept bodies first, then sealed parcels of silent recipients. */
bool out_evict(void *context);
bool out_evict_sealed(struct outbox *outbox);

/* ---- outbox_flow.c ---- */
/* Let those recipients run whose turn it is. */
void out_run(struct outbox *outbox, struct mono now, struct wall wall);
/* The flow of a recipient, made if need be. NULL: no memory. */
struct out_flow *out_flow_get(struct outbox *outbox, const struct node_id *recipient,
                              uint8_t relays_exact, bool strict);
void out_flow_free(struct outbox *outbox, struct out_flow *flow);
/* Have it run in the next tick. */
void out_flow_wake(struct outbox *outbox, struct out_flow *flow);
bool out_flow_is_silent(const struct out_flow *flow);
const struct parcel_secret *out_flow_secret(struct outbox *outbox, const struct out_flow *flow,
                                            struct mono now);
void out_flow_enqueue(struct outbox *outbox, struct out_flow *flow, struct out_message *message);

/* ---- outbox_ack.c ---- */
int64_t out_timeout_us(const struct out_flow *flow);
/* How long to wait for an answer to what a parcel sends now. */
int64_t out_delay_us(struct outbox *outbox, const struct out_parcel *parcel);
void out_slot_retire(struct out_slot *slot);
void out_flow_time_out(struct outbox *outbox, struct out_flow *flow, struct mono now);

/* ---- outbox_mail.c ---- */
/* Leave what waits for those who are away with their mailboxes. */
void out_mail_tick(struct outbox *outbox, struct mono now, struct wall wall);
struct mono out_mail_next(const struct outbox *outbox);
/* A read came back. */
void out_mail_read(struct outbox *outbox, struct out_op *op, const struct store_result *result);
void out_mail_abandon_read(struct outbox *outbox, struct out_op *op);
/* The flow goes: so do its deposits. */
void out_mail_forget(struct outbox *outbox, struct out_flow *flow);
/* How many mailboxes have said that they keep it. */
unsigned out_mail_count(const struct out_message *message);

/* ---- outbox_deposit.c ---- */
void out_deposit_stored(struct outbox *outbox, struct out_op *op, const struct store_result *result,
                        struct mono now, struct wall wall);
/* Mail that was there at start counts; what is final does not. */
void out_kept_boot(struct outbox *outbox, const struct out_message *message);
void out_kept_gone(struct outbox *outbox, const struct out_message *message);
void out_deposits_deinit(struct outbox *outbox);

#endif
