/* What the ledger's files share: ledger.c (life, requests about messages, results of the store),
 * ledger_put.c (what is accepted), ledger_batch.c (many at once), ledger_load.c (what was pending
 * when we stopped), ledger_message.c (how messages end), ledger_watch.c (who waits for them),
 * ledger_wait.c (why they wait), ledger_conversation.c and ledger_op.c (store operations). Each
 * calls those that stand behind it in this list alone. */
#ifndef P2PD_LEDGER_PRIVATE_H
#define P2PD_LEDGER_PRIVATE_H

#include "daemon/core/base/backoff.h"
#include "daemon/core/deliver/ledger/ledger_clients.h"
#include "daemon/core/deliver/ledger/ledger_store.h"

#include <sys/queue.h>

/* What a client that waits for a message still wants to be told. */
enum awaited {
    AWAITED_ROUTES,         /* the routes, and nothing else */
    AWAITED_ROUTES_AND_END, /* the routes, and the final state */
    AWAITED_END             /* the final state */
};
struct watcher {
    TAILQ_ENTRY(watcher) link, all;
    struct message *message;
    struct ledger_batch *batch; /* not NULL: it is this batch's, and lies in the batch's memory */
    uint64_t client;
    enum awaited awaited;
    bool by_code; /* the answer's code follows the message's state (push); else it only says that
                     the question was answered (status, cancel) */
};
TAILQ_HEAD(watcher_list, watcher);

enum batch_state {
    BATCH_WHOLE = 0, /* none was refused so far */
    BATCH_STOPPED, /* one was refused before it was submitted; those before it may still be accepted
                    */
    BATCH_BROKEN   /* one was refused: nothing behind it is accepted */
};
struct ledger_batch { /* a REQUEST_PUSH_MANY: its puts are being stored, or the end of its messages
                         is waited for */
    TAILQ_ENTRY(ledger_batch) link;
    uint64_t client;
    bool gone, wait;
    enum batch_state state;
    size_t submitted, settled, watched, used;
    struct many_report report;
    struct ledger_refusal refusal;
    char notice[128];
    size_t charged;
    struct watcher watchers[]; /* with wait: one each */
};
TAILQ_HEAD(ledger_batches, ledger_batch);

enum ledger_op_kind { LEDGER_PUT, LEDGER_STATE, LEDGER_PROGRESS, LEDGER_FIND, LEDGER_LOAD };
struct ledger_op { /* a store operation under way; its address is the cookie */
    uint64_t owner;
    TAILQ_ENTRY(ledger_op) link;
    enum ledger_op_kind kind;
    uint64_t client;
    bool client_gone;
    struct message_id id;
    struct message *message; /* of a PUT (made in advance) or a STATE */
};
TAILQ_HEAD(ledger_ops, ledger_op);
struct ledger_find {
    struct ledger_op op;
    bool wait, cancel;
};
struct ledger_put {
    struct ledger_op op;
    bool wait, trace;
    bool is_new;   /* false: we have it, and its number is that one's */
    uint8_t *body; /* `charged` to BUDGET_CLIENTS; NULL: a file */
    size_t charged;
    char *notice;
    struct ledger_batch *batch; /* one of many, or NULL */
    struct conversation *made;  /* by this put; NULL: it was there */
    struct out_record record;
};

/* What the survey under way has found of a recipient (ledger_survey.c). */
struct surveyed {
    TAILQ_ENTRY(surveyed) link;
    struct conversation *conversation;
    struct outbox_wait wait;
};
TAILQ_HEAD(surveyed_list, surveyed);

struct conversation { /* never freed before the ledger */
    struct table_link by_recipient;
    TAILQ_ENTRY(conversation) pending; /* while n_pending > 0 */
    struct node_id recipient;
    uint64_t sequence;          /* 0: nothing was ever written to it */
    uint64_t n_pending;         /* written by ledger_message.c alone */
    int64_t srtt_us, rttvar_us; /* when last measured; 0: never */
    struct surveyed *surveyed;
};
TAILQ_HEAD(conversation_list, conversation);

struct ledger {
    struct ledger_config config;
    struct ledger_counters counters;
    struct table conversations;
    struct conversation_list pending; /* those with pending messages */
    struct {
        struct message *at; /* is looked at next */
        size_t left;        /* messages to look at */
        struct wall soon;
        uint64_t n_left_out; /* messages for whose recipient there was no memory */
        struct surveyed_list found;
    } survey;
    struct message_queue all, unstored;
    size_t n_messages, n_putting;
    uint64_t n_pending;
    struct ledger_batches batches;
    size_t n_batches;
    struct watcher_list all_watchers;
    struct ledger_ops ops;
    /* What was pending when we stopped and is not read yet. Messages that are pushed meanwhile wait
     * in `late`, since they are younger. */
    struct {
        bool is_needed, is_under_way;
        int64_t after, until;
        uint64_t left;
        struct mono due;
        struct message_queue late;
    } load;
    struct wall base; /* the time of what was pending at the start is counted until then,  */
    bool aged;        /* or, if this is set, until now */
    struct mono expiry_check, expiry_checked;
    bool is_expiring;         /* ledger_expired() is in the middle of a scan, */
    struct message *expiring; /* and looks at this one next */
    struct mono expires_next; /* when the first of those that it has passed will expire */
    struct mono state_retry;  /* of `unstored` */
    struct backoff state_failures;
};

/* ---- ledger_op.c ---- */
/* An operation of `size` bytes (its first member is a struct ledger_op), listed; NULL: no memory.
 */
void *ledger_op_new(struct ledger *ledger, enum ledger_op_kind kind, size_t size);
void ledger_op_free(struct ledger *ledger, struct ledger_op *op);
void ledger_store(struct ledger *ledger, const struct store_op *operation,
                  const struct ledger_op *op);
/* The message of this id, for clients: mail of others is hidden from them. */
struct message *ledger_find_own(const struct ledger *ledger, const struct message_id *id);

/* ---- ledger_conversation.c ---- */
struct conversation *ledger_conversation_find(const struct ledger *ledger,
                                              const struct node_id *recipient);
void ledger_conversations_deinit(struct ledger *ledger);

/* ---- ledger_watch.c ---- */
void ledger_answer(struct ledger *ledger, uint64_t client, enum answer_code code, bool end,
                   const struct message_report *report, const char *text);
struct message_report ledger_report(const struct message *message);
struct message_report ledger_report_record(const struct out_record *record);
enum answer_code ledger_state_code(enum message_state state);
const char *ledger_state_word(enum message_state state);
/* Have a client wait for a message. NULL: an answer has said why not. */
struct watcher *ledger_watch(struct ledger *ledger, struct message *message, uint64_t client,
                             enum awaited awaited);
void ledger_watch_for_batch(struct ledger *ledger, struct message *message,
                            struct ledger_batch *batch);
void ledger_watcher_free(struct ledger *ledger, struct watcher *watcher);
/* The message is final: tell those who wait. */
void ledger_watchers_answer(struct ledger *ledger, struct message *message);
void ledger_watchers_gone(struct ledger *ledger, uint64_t client);
void ledger_batch_answer(struct ledger *ledger, const struct ledger_batch *batch, bool end);
void ledger_batch_count(struct ledger_batch *batch, enum message_state state, const char *reason);
void ledger_batch_free(struct ledger *ledger, struct ledger_batch *batch);

/* ---- ledger_message.c ---- */
void ledger_state_done(struct ledger *ledger, struct message *message, int error, struct mono now);
void ledger_message_free(struct ledger *ledger, struct message *message);

/* ---- ledger_batch.c ---- */
/* Results of its puts, in order; after each ledger_batch_settled(). */
void ledger_batch_accepted(struct ledger *ledger, struct ledger_batch *batch,
                           struct message *message);
/* A put found a message that was accepted before and is final (the record is the store's). */
void ledger_batch_known(struct ledger_batch *batch, const struct out_record *record);
void ledger_batch_refused(struct ledger_batch *batch, const struct ledger_refusal *refusal);
void ledger_batch_settled(struct ledger *ledger, struct ledger_batch *batch);

/* ---- ledger_load.c ---- */
/* The conversations, and what is still to be read. 0 or -ENOMEM. */
int ledger_load_boot(struct ledger *ledger, const struct node_boot *boot, struct mono now);
struct mono ledger_load_next(const struct ledger *ledger);
/* The record, if it is one of those still to be read; or NULL. */
const struct out_record *ledger_load_ahead(const struct ledger *ledger,
                                           const struct out_record *record);

/* ---- ledger_put.c ---- */
struct ledger_news ledger_put_done(struct ledger *ledger, struct ledger_put *put,
                                   const struct store_result *result, struct now now);
void ledger_put_free(struct ledger *ledger, struct ledger_put *put);

#endif
