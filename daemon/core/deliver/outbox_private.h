/* What the outbox's files call of each other: outbox.c (requests and the store), outbox_load.c
 * (what was owed when we stopped), outbox_put.c (what is accepted), outbox_batch.c (many at once),
 * outbox_message.c (messages and how they end), outbox_watch.c (who waits for them), outbox_local.c
 * (those to ourselves), outbox_parcel.c (parcels: gathered, read, sealed), outbox_flow.c (per
 * recipient: keys, turns, waiting), outbox_send.c (its paths, and what goes over which),
 * outbox_window.c (estimates and windows), outbox_ack.c (receipts, time-outs), outbox_mail.c (what
 * is left in mailboxes) and outbox_deposit.c (what we keep as a mailbox). Nobody else includes
 * it. */
#ifndef P2PD_OUTBOX_PRIVATE_H
#define P2PD_OUTBOX_PRIVATE_H

#include "daemon/core/deliver/outbox_types.h"

/* ---- outbox.c ---- */
/* An operation to be filled in, listed; NULL: no memory. */
struct out_op *out_op_new(struct outbox *outbox, enum out_op_kind kind);
void out_op_free(struct outbox *outbox, struct out_op *op);
void out_store(struct outbox *outbox, const struct store_op *operation, const struct out_op *op);

/* ---- outbox_load.c ---- */
/* What was owed when we stopped, as far as boot has it. 0 or -ENOMEM. */
int out_load_boot(struct outbox *outbox, const struct node_boot *boot, struct now now);
/* Ask for the next page of the rest, if one is due; its result. */
void out_load_tick(struct outbox *outbox, struct mono now);
struct mono out_load_next(const struct outbox *outbox);
void out_load_done(struct outbox *outbox, const struct store_result *result, struct now now);
/* One that somebody asks for and that was not read yet, from its record. NULL: it is none, or there
 * is no memory. */
struct out_message *out_load_one(struct outbox *outbox, const struct out_record *record,
                                 struct now now);

/* ---- outbox_put.c ---- */
/* The words for a store's error. */
struct out_refusal out_error_words(int error);
/* The conversation with a recipient, made if need be. NULL: no memory, or too many. */
struct out_conversation *out_conversation_get(struct outbox *outbox,
                                              const struct node_id *recipient);
struct out_conversation *out_conversation_find(const struct outbox *outbox,
                                               const struct node_id *recipient);
/* May this push be accepted, and its put be begun? False: *ret_refusal says why not. `batch` may be
 * NULL; else it is told what became of it (out_batch_*), and no client. */
bool out_put(struct outbox *outbox, const struct request *request, const struct node_id *recipient,
             const char *notice, struct out_batch *batch, struct now now,
             struct out_refusal *ret_refusal);
void out_put_done(struct outbox *outbox, struct out_op *op, const struct store_result *result,
                  struct now now);

/* ---- outbox_readdress.c ---- */
void out_readdress_done(struct outbox *outbox, struct out_op *op,
                        const struct store_result *result);
void out_move_free(struct outbox *outbox, struct out_move *move);

/* ---- outbox_batch.c ---- */
/* Results of its puts, in order; after each out_batch_settled(). */
void out_batch_accepted(struct outbox *outbox, struct out_batch *batch,
                        struct out_message *message);
/* One that was accepted before and is final (the record is the store's). */
void out_batch_known(struct out_batch *batch, const struct out_record *record);
void out_batch_refused(struct out_batch *batch, const struct out_refusal *refusal);
void out_batch_settled(struct outbox *outbox, struct out_batch *batch);
/* One that it watches became final; then, its watcher being gone, out_batch_unwatched(). */
void out_batch_final(struct out_batch *batch, const struct out_message *message);
void out_batch_unwatched(struct outbox *outbox, struct out_batch *batch);
void out_batches_gone(struct outbox *outbox, uint64_t client);
void out_batches_deinit(struct outbox *outbox);

/* ---- outbox_message.c ---- */
struct out_message *out_find(const struct outbox *outbox, const struct message_id *id);
/* The same for clients: mail of others is nobody's here. */
struct out_message *out_find_own(const struct outbox *outbox, const struct message_id *id);
/* Not entered yet; NULL: no memory. */
struct out_message *out_message_new(struct outbox *outbox, const struct out_record *record,
                                    struct out_conversation *conversation);
/* One that never was entered; takes NULL. */
void out_message_discard(struct outbox *outbox, struct out_message *message);
/* All of it but what lies below `progress` is to be sent, by the flow that it has. */
void out_message_plan(struct out_message *message, uint64_t progress);
/* It is owed to another recipient, who has nothing of it yet. */
void out_message_turn(struct out_message *message, struct out_conversation *to, uint64_t sequence);
/* How much of it goes into one parcel. */
uint32_t out_block_size(const struct out_message *message);
/* Does it go block by block, behind those that are sent whole? Files do whatever their size: a
 * block of one is alone in its parcel. */
bool out_is_long(const struct out_message *message);
/* It is for its flow to send, or for ourselves. */
void out_message_enqueue(struct outbox *outbox, struct out_message *message);
/* Put it where it belongs among those that wait: files behind long messages. */
void out_message_queue(struct out_messages *queue, struct out_message *message);
/* What an item of it takes in a parcel, with so many bytes; and its head. */
size_t out_item_length(const struct out_message *message, uint32_t length);
struct parcel_item out_item(const struct out_message *message, uint64_t offset, uint32_t length);
/* Why a read failed for good; NULL: it may succeed later. */
const char *out_lost_words(const struct out_message *message, int error);
/* The recipient has one more block, of `length` bytes. May finish the message. */
/* Its recipient does not take it for now: it comes again, from the first block that is not
 * confirmed; `anew`: from the beginning. */
void out_refused_for_now(struct outbox *outbox, struct out_message *message, bool anew,
                         const char *reason, struct mono now);
void out_confirm(struct outbox *outbox, struct out_message *message, uint32_t length,
                 struct now now);
/* From here on it is owed; the recipient has what lies below `progress`. Its flow has counted it
 * already. */
void out_message_enter(struct outbox *outbox, struct out_message *message, uint64_t progress,
                       struct now now);
void out_message_free(struct outbox *outbox, struct out_message *message);
void out_set_state(struct out_message *message, enum message_state state);
/* It leaves, or is handed to our own inbox: counted, once in this run, before it can be
 * delivered. */
void out_mark_sent(struct outbox *outbox, struct out_message *message);
void out_drop_body(struct outbox *outbox, struct out_message *message);
/* Move to a final state, store it, tell who waits. The message is freed once that is stored. */
void out_finish(struct outbox *outbox, struct out_message *message, enum message_state state,
                const char *reason, struct now now);
void out_state_done(struct outbox *outbox, struct out_message *message, int error, struct mono now);
void out_retry_states(struct outbox *outbox, struct mono now);
void out_expire(struct outbox *outbox, struct now now);

/* ---- outbox_watch.c ---- */
/* One more who waits; NULL after an answer that says why not. */
struct out_watcher *out_watch(struct outbox *outbox, struct out_message *message, uint64_t client);
void out_watch_for_batch(struct outbox *outbox, struct out_message *message,
                         struct out_batch *batch);
void out_watcher_free(struct outbox *outbox, struct out_watcher *watcher);
/* It is final: tell them. */
void out_watchers_answer(struct outbox *outbox, struct out_message *message);
void out_watchers_gone(struct outbox *outbox, uint64_t client);
struct message_report out_report(const struct out_message *message);
struct message_report out_report_record(const struct out_record *record);
enum answer_code out_state_code(enum message_state state);
const char *out_state_word(enum message_state state);
void out_answer(struct outbox *outbox, uint64_t client, enum answer_code code, bool end,
                const struct message_report *report, const char *text);
/* No route: tell those who asked for it. */
void out_trace_none(struct outbox *outbox, const struct out_flow *flow);
/* The routes just chosen for a parcel, to those who asked for them; flow NULL: there are none. */
void out_trace(struct outbox *outbox, struct out_message *message, const struct out_flow *flow,
               const struct out_parcel *parcel);

/* ---- outbox_local.c ---- */
/* Messages to ourselves: begin the next block; its read came back. */
void out_local_start(struct outbox *outbox, struct mono now);
void out_local_read(struct outbox *outbox, const struct store_result *result, struct now now);

/* ---- outbox_parcel.c ---- */
/* The largest block that k shards hold (0: as many as it takes); the same for ever, or a restart
 * would cut a message anew. */
uint32_t out_block_max(unsigned k, enum message_kind kind);
/* May a parcel be gathered now? */
bool out_may_gather(const struct out_flow *flow, struct mono now);
/* Next parcel of what waits, empty; NULL: nothing may go, or no memory. */
struct out_parcel *out_parcel_gather(struct out_flow *flow, struct mono now);
/* Where it waits in its flow, or would. */
struct out_messages *out_queue_of(const struct out_message *message);
/* Begin to read what it holds. 0; -ENOMEM: later; -ENOENT: it held nothing any more and is gone. */
int out_parcel_fill(struct outbox *outbox, struct out_parcel *parcel);
/* A read of one item came back. */
void out_parcel_read(struct outbox *outbox, struct out_op *op, const struct store_result *result,
                     struct now now);
/* All is read: seal it, with the flow's keys. 0, -ENOMEM, -EINVAL (the recipient's key is none),
 * -EAGAIN (to be read again), or the error of a read; then it is empty again. */
int out_parcel_finish(struct outbox *outbox, struct out_parcel *parcel, struct mono now);
/* Back to a list of items: unsealed, to be read again. While reading it is spoiled instead. */
void out_parcel_empty(struct outbox *outbox, struct out_parcel *parcel);
void out_parcel_drop(struct outbox *outbox, struct out_parcel *parcel);
/* Take a message that became final out of its flow's queue and parcels. */
void out_flow_forget(struct outbox *outbox, struct out_message *message);
/* Refused for now: out of its parcels, to the end of its queue. */
void out_flow_requeue(struct outbox *outbox, struct out_message *message);
/* Gather nothing for a while: its recipient has no room, or has lost what it had. */
void out_flow_rest(struct outbox *outbox, struct out_flow *flow, struct mono now);
/* Put the messages of a parcel of several back, each to go alone. */
void out_parcel_split(struct outbox *outbox, struct out_parcel *parcel);
/* Evictor of BUDGET_OUTBOX: kept bodies first, then sealed parcels of silent recipients. */
bool out_evict(void *context);
bool out_evict_sealed(struct outbox *outbox);

/* The bytes of a shard. NULL: no memory for the parity. */
const uint8_t *out_shard_data(struct outbox *outbox, struct out_parcel *parcel, unsigned index);

/* ---- outbox_send.c ---- */
/* Is there a path, or can one be drawn? */
bool out_flow_has_path(struct outbox *outbox, struct out_flow *flow, struct now now);
/* Is there one now? */
bool out_flow_has_kept_path(struct outbox *outbox, struct out_flow *flow, struct now now);
/* The route that the flow's paths are drawn by. */
struct path_wish out_flow_wish(const struct out_flow *flow);
/* Has it a shard to send, if a window is open? */
bool out_parcel_is_due(const struct out_parcel *parcel);
/* Send a quantum, as far as windows and this tick allow. 0; -EAGAIN: no more just now;
 * -EINVAL: the recipient's keys; -ENOBUFS, -ENOTCONN, -ENOMEM: later. */
int out_flow_send(struct outbox *outbox, struct out_flow *flow, struct now now);
void out_slot_retire(struct out_slot *slot);
void out_silent_forget(struct out_flow *flow); /* the path, not the ways */

/* ---- outbox_window.c ---- */
void out_slot_init(struct out_slot *slot);
/* A new path takes the place: the window stays, the delay of the path is unknown. */
void out_slot_renew(struct out_slot *slot, uint32_t id);
static inline bool out_slot_has_room(const struct out_slot *slot) {
    return (uint64_t)slot->flight * OUTBOX_WINDOW_UNIT < slot->window;
}
/* A packet of the slot is out of flight: it arrived, or was lost. Before its flight is reduced. */
void out_slot_grow(const struct out_flow *flow, struct out_slot *slot);
/* A packet sent over the slot's path then had arrived by the recipient's clock. */
void out_slot_delay(struct out_flow *flow, struct out_slot *slot, struct mono sent,
                    uint32_t arrived);
void out_flow_measure(struct out_flow *flow, int64_t sample_us, struct mono now);
void out_flow_measure_store(struct out_flow *flow, int64_t sample_us);
/* One more packet of the slot, sent then, was lost, or arrived; one taken for lost had arrived. */
void out_slot_count(struct out_flow *flow, struct out_slot *slot, bool lost, struct mono sent,
                    struct mono now);
void out_slot_uncount(struct out_flow *flow, struct out_slot *slot, struct mono sent);
int64_t out_timeout_us(const struct out_flow *flow);
/* Overtaken by others and older than this: lost. */
int64_t out_reorder_us(const struct out_flow *flow);
/* Parity for k shards, so that in most cases none has to be sent again. */
unsigned out_parity(const struct out_flow *flow, unsigned k);

/* ---- outbox_flow.c ---- */
/* Let those recipients run whose turn it is. */
void out_run(struct outbox *outbox, struct now now);
/* The flow of a recipient by this kind of route, made if need be. NULL: no memory. */
struct out_flow *out_flow_get(struct outbox *outbox, const struct node_id *recipient,
                              uint8_t relays_exact, bool strict, uint8_t shards_k,
                              uint8_t shards_m);
/* The same for mail that we keep for it; and NULL: there is none. */
struct out_flow *out_flow_get_kept(struct outbox *outbox, const struct node_id *recipient);
struct out_flow *out_flow_find_kept(const struct outbox *outbox, const struct node_id *recipient);
void out_flow_free(struct outbox *outbox, struct out_flow *flow);
/* Have it run in the next tick. */
void out_flow_wake(struct outbox *outbox, struct out_flow *flow);
bool out_flow_is_silent(const struct out_flow *flow);
struct parcel_secret *out_flow_secret(struct outbox *outbox, const struct out_flow *flow,
                                      struct mono now);
/* Something will be sent to this recipient: what can be computed ahead is, in idle time from `at`
 * on; 0: from the next step on. */
void out_flow_expect(struct outbox *outbox, struct out_flow *flow, struct mono at);
/* Do a piece of that, if this step has nothing else to do. */
void out_make_ready(struct outbox *outbox, struct now now);
void out_flow_enqueue(struct outbox *outbox, struct out_flow *flow, struct out_message *message);

/* ---- outbox_ack.c ---- */
/* How long to wait for an answer to what a parcel sends now. */
int64_t out_delay_us(struct outbox *outbox, const struct out_parcel *parcel);
void out_flow_time_out(struct outbox *outbox, struct out_flow *flow, struct mono now);

/* ---- outbox_mail.c ---- */
/* Leave what waits for those who are away with their mailboxes. */
void out_mail_tick(struct outbox *outbox, struct now now);
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
                        struct now now);
/* Mail that was there at start counts; what is final does not. */
void out_kept_boot(struct outbox *outbox, const struct out_message *message);
void out_kept_gone(struct outbox *outbox, const struct out_message *message);
/* A message of mail, or a flow of such, is made (it was asked before whether there is memory for
 * it), or freed. */
void out_kept_take(struct outbox *outbox, size_t size);
void out_kept_give(struct outbox *outbox, size_t size);
void out_deposits_deinit(struct outbox *outbox);

#endif
