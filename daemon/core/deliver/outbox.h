/* What is pending: messages accepted from clients, and mail kept for others, until each is
 * delivered, expired, failed or refused. The outbox is the face of four rooms that do not know each
 * other, and carries the word between them:
 *
 *   ledger/    what was accepted, its states, and the clients that wait for it
 *   sender/    reliable transport to recipients (and loopback.h: to ourselves)
 *   depot/     mail left with mailboxes (depositor.h), and mail that we keep as one (keeper.h)
 *   message/   the messages themselves, which all three look at
 *
 * A message is stored by the ledger, handed to the sender, and what became of it (an outcome) is
 * handed back. Implements p2pd-protocol(7) DELIVERY. */
#ifndef P2PD_OUTBOX_H
#define P2PD_OUTBOX_H

#include "daemon/core/base/budget.h"
#include "daemon/core/deliver/depot/keeper.h"
#include "daemon/core/deliver/ledger/ledger.h"
#include "daemon/core/route/courier.h"
#include "daemon/core/seam/effects.h"
#include "daemon/core/seam/request.h"
#include "daemon/core/wire/identity.h"
#include "daemon/core/wire/parcel.h"

/* Timers (outbox_next() is the earliest; outbox_tick() serves what is due):
 *
 * of each recipient, one timer, set when it had its turn (sender/sender.c; backoff_private.h has
 * what it is set by), at the earliest of
 * - the time-outs of its parcels: started when a shard is sent (RFC 6298; into silence 3 s, at last
 *   5 min); stopped by the receipt that tells of it, or shards are sent again;
 * - resume: a pause. No keys or no route (1 s doubling to 5 min, a quarter more or less), no memory
 *   (100 ms), the link's queue is full (10 ms); stopped by outbox_retry_now() or its end;
 * - rest (5 s to 10 min): the recipient has no room; started by its refusal; stopped by its end;
 * - idle (10 s): what was measured is forgotten. Started when nothing is left for it; stopped by
 *   the next message.
 *
 * of all together:
 * - expiry (ledger): at the earliest deadline of a message, once a second at most. Started by a
 *   message; stopped when none is left.
 * - ready (sender): keys and a path are made ahead. Started by a message or a promise of one;
 *   stopped when no recipient waits for it.
 * - paths_next() of route/path.h: spare paths.
 * - state retry (ledger; 1 s doubling to 1 min): a final state could not be stored. Stopped once it
 *   is.
 * - keys (sender; 15 min): shared secrets of old epochs are dropped. Started by the first secret;
 *   stopped when none is left.
 * - scan (depositor; 2 s): whose recipient is away, for its mailboxes; while messages are pending.
 *   Each deposit under way: a batch each 10 ms until it is sent, then its answer is waited for.
 * - load (ledger; at once; 1 s after an error): the next page of what was pending when we stopped.
 *   Stopped when all is read.
 * - retry (loopback; doubling to 1 min): a message to ourselves could not be stored. Stopped once
 *   it is. */

struct outbox;
struct node_boot;
struct outbox_config {
    const struct identity *identity; /* the rooms are borrowed for the outbox's life */
    struct directory *directory;
    struct paths *paths;
    struct courier *courier;
    struct effects *effects;
    struct budget *budget;
    struct core_random random;
    struct core_trace trace;
    size_t message_max;
    int64_t expire_us,
        retention_us;    /* retention 0: final messages are forgotten by the store at once */
    size_t messages_max; /* 0: OUTBOX_MESSAGES_MAX */
};
struct outbox_counters {
    uint64_t messages_sent, messages_delivered, retransmissions;
    uint64_t pushes_refused; /* at one of the bounds, or for want of memory */
};

/* Takes what boot says of pending messages and conversations. NULL: no memory. It enters itself as
 * BUDGET_OUTBOX's evictor. */
struct outbox *outbox_new(const struct outbox_config *config, const struct node_boot *boot,
                          struct now now);
void outbox_free(struct outbox *outbox);
void outbox_configure(struct outbox *outbox, size_t message_max, int64_t expire_us,
                      int64_t retention_us);

/* A push to a resolved recipient (ourselves too). It is refused at once with one final answer; or
 * stored, and then answered ANSWER_MESSAGE, which is final unless wait or trace is set. With trace
 * ANSWER_ROUTES follows once the first packets leave, and without wait a final ANSWER_MESSAGE. With
 * wait an ANSWER_MESSAGE follows at the final state. `notice` (may be NULL) goes into the first
 * answer's text. With check nothing is stored: ANSWER_TEXT says whether the push would be accepted.
 */
void outbox_push(struct outbox *outbox, const struct request *request,
                 const struct node_id *recipient, const char *notice, struct now now);
/* The same for many messages, in order. ANSWER_MANY comes once all are stored or one is refused:
 * those before that one are accepted, it and those behind it are not. With wait, and all of them
 * accepted, a second ANSWER_MANY comes when all are final. */
void outbox_push_many(struct outbox *outbox, const struct request *request,
                      const struct node_id *recipient, const char *notice, struct now now);
/* What has become of a message; `notice` (may be NULL) is added if it is in memory and not final.
 */
void outbox_message(struct outbox *outbox, const struct request *request, const char *notice);
void outbox_cancel(struct outbox *outbox, const struct request *request, struct now now);
void outbox_client_gone(struct outbox *outbox, uint64_t client);

/* The result of one of our store operations. */
void outbox_stored(struct outbox *outbox, uint64_t cookie, const struct store_result *result,
                   struct now now);
/* An onion payload of kind PAYLOAD_RECEIPTS (its kind byte included). The first thing that was
 * wrong with it, or DROP_NONE; what is good in it counts all the same. */
enum drop outbox_receipt(struct outbox *outbox, const uint8_t *payload, size_t length,
                         struct now now);
/* Routes or (recipient given) a descriptor changed: unreachable recipients are tried at once, each
 * at most once a second. */
void outbox_retry_now(struct outbox *outbox, const struct node_id *recipient, struct mono now);

/* Messages to ourselves. In every step call it until it is false: hand *ret_item to inbox_local(),
 * and tell outbox_local_done() what came of it (error: it is tried again later). The item is
 * borrowed until then. */
bool outbox_local(struct outbox *outbox, struct parcel_item *ret_item);
void outbox_local_done(struct outbox *outbox, const struct message_id *id, int error,
                       struct now now);

/* Mail for somebody else, from mailbox_shard(): stored, and delivered when its recipient is there.
 * `quota`: bytes of all the mail that we keep, of which one recipient may take an eighth. 0:
 * outbox_deposit_done() will tell what came of it, and the bytes are borrowed until then; -EDQUOT,
 * -EEXIST, -ENOMEM. */
int outbox_deposit(struct outbox *outbox, const struct outbox_mail *mail, uint64_t quota,
                   struct wall wall);
/* Call it after each event until it is false: the mail of this deposit is durable now, or why it is
 * not. */
bool outbox_deposit_done(struct outbox *outbox, uint64_t *ret_tag, int *ret_error);
/* How many mails we keep, and what they count towards the quota. */
uint64_t outbox_mail_held(const struct outbox *outbox, uint64_t *ret_bytes);
/* An onion payload of kind PAYLOAD_DEPOSITED (its kind byte included): a mailbox keeps what we
 * left. */
enum drop outbox_confirmation(struct outbox *outbox, const uint8_t *payload, size_t length,
                              struct mono now);

/* The wall clock was found to be wrong by so much: the times at which pending messages were pushed,
 * and at which they are said to expire, move with it. When they do expire does not move. */
void outbox_shift(struct outbox *outbox, int64_t by_us);
/* The clock is known to be right, as it was when we stopped: the time in between counts for what
 * was pending then. */
void outbox_age(struct outbox *outbox, struct now now);

/* Do what is due: call it at the end of each step in which outbox_next() is not after now. Shards
 * leave from here alone, so that what is pushed in one step shares parcels. A bounded number
 * leaves; outbox_next() then stays due. */
void outbox_tick(struct outbox *outbox, struct now now);
struct mono outbox_next(const struct outbox *outbox);

uint64_t outbox_pending(const struct outbox *outbox); /* messages not final */
/* What is known of a message in memory: it is newer than what the store says. */
bool outbox_look(const struct outbox *outbox, const struct message_id *id,
                 struct message_report *ret_report);
/* Pending messages to one recipient; was anything ever written to it? */
uint64_t outbox_pending_to(const struct outbox *outbox, const struct node_id *recipient);
bool outbox_has_written(const struct outbox *outbox, const struct node_id *recipient);
/* See ledger_visit_pending(), ledger_visit(). */
void outbox_visit_pending(const struct outbox *outbox,
                          bool (*visit)(void *context, const struct node_id *recipient,
                                        uint64_t pending),
                          void *context);
size_t outbox_visit(const struct outbox *outbox, size_t at, size_t most,
                    bool (*visit)(void *context, const struct node_id *recipient, uint64_t pending),
                    void *context);
/* What is pending to each of trust->old: its numbers are filled in. */
void outbox_count_old(const struct outbox *outbox, struct trust_report *trust);
/* Address to trust->id what is pending to these: the same messages, with the same ids, in their
 * order and until they expire, behind what was written to trust->id before. ANSWER_TRUST comes when
 * that is on disk, all of it at once; else nothing has changed, and the answer says why. */
void outbox_readdress(struct outbox *outbox, uint64_t client, const struct trust_report *trust);
/* Every recipient to which messages are pending, in steps: see ledger_survey_begin(),
 * ledger_survey() and ledger_surveyed(). */
void outbox_survey_begin(struct outbox *outbox, struct wall soon);
bool outbox_survey(struct outbox *outbox, size_t n);
bool outbox_surveyed(struct outbox *outbox, struct outbox_wait *ret_wait);
uint64_t outbox_left_out(const struct outbox *outbox);
/* Messages that were pending when we stopped and are still to be read. */
uint64_t outbox_unread(const struct outbox *outbox);
/* As they are now; valid until the next call. */
const struct outbox_counters *outbox_counters(const struct outbox *outbox);
/* Does nothing of ours wait for the store? For tests. */
bool outbox_is_idle(const struct outbox *outbox);

#endif
