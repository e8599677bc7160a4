/* What is pending: messages accepted from clients (and mail accepted for others) until each is
 * delivered, expired, failed or refused; and the clients that wait for that. The ledger stores
 * before it answers. It knows no path and no key: the outbox hands its messages to the sender, and
 * tells it what became of them.
 *
 * Threat: a client may ask for anything and vanish; a crash may come between any two steps. So
 * nothing is acknowledged to a client before its store operation is done, what is accepted is
 * bounded, and a message is forgotten only when its final state is on disk. */
#ifndef P2PD_LEDGER_H
#define P2PD_LEDGER_H

#include "daemon/core/deliver/message/message.h"
#include "daemon/core/seam/effects.h"
#include "daemon/core/seam/request.h"

/* Beyond it a push is answered with ANSWER_USAGE. The other bounds are in base/limits.h. */
#define LEDGER_SHARDS_MAX 32 /* of a parcel */

struct ledger;
struct node_boot;

struct ledger_config {
    struct messages *messages; /* the rooms are borrowed for the ledger's life */
    struct effects *effects;
    struct budget *budget;
    struct core_random random;
    struct core_trace trace;
    struct node_id self;
    uint64_t owner; /* first word of what a cookie of ours points to */
    size_t message_max;
    int64_t expire_us,
        retention_us;    /* retention 0: final messages are forgotten by the store at once */
    size_t messages_max; /* not final */
};
struct ledger_counters {
    uint64_t messages_sent, messages_delivered;
    uint64_t pushes_refused; /* at one of the bounds, or for want of memory */
};
/* Takes the conversations of boot, and how much is still to be read. The pending messages in boot
 * are for the caller to enter (ledger_message_of(), ledger_enter()). NULL: no memory. */
struct ledger *ledger_new(const struct ledger_config *config, const struct node_boot *boot,
                          struct now now);
void ledger_free(struct ledger *ledger);
void ledger_configure(struct ledger *ledger, size_t message_max, int64_t expire_us,
                      int64_t retention_us);

/* ---- Life of a message ---- */
/* The message of a record of the store. NULL: no memory, or too many conversations. */
struct message *ledger_message_of(struct ledger *ledger, const struct out_record *record);
/* The message is pending from here on; `was_pending`: it was so when we stopped. True: the caller
 * sends it now; false: it has to wait for older ones, and comes out of ledger_load_late(). */
bool ledger_enter(struct ledger *ledger, struct message *message, bool was_pending, struct now now);
/* The message leaves, or is handed to our own inbox: counted once in a run of the daemon. */
void ledger_mark_sent(struct ledger *ledger, struct message *message);
/* The recipient has confirmed all below this offset: store that. 0: the message begins anew. */
void ledger_progress(struct ledger *ledger, const struct message *message, uint64_t below);
/* Why the recipient does not take it for now; NULL: it does. */
void ledger_set_reason(struct message *message, const char *reason);
/* Give the message its final state, store that, and tell who waits. No other room has the message
 * any more; it is freed once the state is stored. */
void ledger_finish(struct ledger *ledger, struct message *message, enum message_state state,
                   const char *reason, struct now now);
/* Until NULL: the next one that is to be finished as expired. */
struct message *ledger_expired(struct ledger *ledger, struct now now);
/* Store again the final states that could not be stored. */
void ledger_tick(struct ledger *ledger, struct mono now);
struct mono ledger_next(const struct ledger *ledger);
/* See outbox_shift() and outbox_age(). */
void ledger_shift(struct ledger *ledger, int64_t by_us);
void ledger_age(struct ledger *ledger, struct now now);

/* ---- To be looked at ---- */
/* The last measured round trip of a recipient, kept after the sender has forgotten the recipient:
 * an old one is better than a guess. False: none is known. */
void ledger_remember_round_trip(struct ledger *ledger, const struct node_id *recipient,
                                int64_t srtt_us, int64_t rttvar_us);
bool ledger_recall_round_trip(const struct ledger *ledger, const struct node_id *recipient,
                              int64_t *ret_srtt_us, int64_t *ret_rttvar_us);
/* Walk over all messages, final ones included. */
struct message *ledger_first(const struct ledger *ledger);
struct message *ledger_after(const struct message *message);
bool ledger_look(const struct ledger *ledger, const struct message_id *id,
                 struct message_report *ret_report);
uint64_t ledger_pending(const struct ledger *ledger);
uint64_t ledger_pending_to(const struct ledger *ledger, const struct node_id *recipient);
bool ledger_has_written(const struct ledger *ledger, const struct node_id *recipient);
/* Everybody to whom messages are pending, until visit returns false. */
void ledger_visit_pending(const struct ledger *ledger,
                          bool (*visit)(void *context, const struct node_id *recipient,
                                        uint64_t pending),
                          void *context);
/* Everybody written to, about `most` of them a call: `at` is 0, then what this returned, until it
 * returns 0 (as it does when visit returned false). Who is new meanwhile may be left out. */
size_t ledger_visit(const struct ledger *ledger, size_t at, size_t most,
                    bool (*visit)(void *context, const struct node_id *recipient, uint64_t pending),
                    void *context);
struct outbox_wait { /* a recipient to which messages are pending */
    struct node_id recipient;
    enum outbox_why why;
    uint64_t messages, mailed; /* mailed: mailboxes have them */
    struct wall oldest;        /* pushed */
    struct wall expires;       /* the first of them */
    uint64_t expiring;         /* expire before `soon` */
};
/* A survey of all messages that wait, in steps, for there may be hundreds of thousands. Beginning
 * it forgets what another one found. */
void ledger_survey_begin(struct ledger *ledger, struct wall soon);
/* Look at so many more; `why_of` says of a message why it waits. True: there is none left. */
bool ledger_survey(struct ledger *ledger, size_t n,
                   enum outbox_why (*why_of)(const void *context, const struct message *message),
                   const void *of);
/* Then, one recipient after the other, what was found. False: that were all. Those for which there
 * was no memory are left out. */
bool ledger_surveyed(struct ledger *ledger, struct outbox_wait *ret_wait);
/* How many messages to those were left out. */
uint64_t ledger_left_out(const struct ledger *ledger);
const struct ledger_counters *ledger_counters(const struct ledger *ledger);
/* Does nothing of ours wait for the store? */
bool ledger_is_idle(const struct ledger *ledger);

#endif
