/* What we owe: messages accepted from clients (and mail accepted for others) until each is
 * delivered, expired, failed or refused; and the clients that wait for that. The ledger stores
 * before it answers. It knows no path and no key: what is sent, and what became of it, it is told
 * by the outbox.
 *
 * Threat: a client may ask for anything and vanish; a crash may come between any two steps. So
 * nothing is acknowledged to a client before its store operation is done, what is accepted is
 * bounded, and a message is forgotten only when its final state is on disk. */
#ifndef P2PD_LEDGER_H
#define P2PD_LEDGER_H

#include "daemon/core/deliver/message/message.h"
#include "daemon/core/seam/effects.h"
#include "daemon/core/seam/request.h"

/* Bounds; beyond each a push is answered with ANSWER_LIMIT. */
#define LEDGER_MESSAGES_MAX                                                                        \
    262144 /* not final, about 250 bytes of memory each; bodies are on disk */
#define LEDGER_CONVERSATIONS_MAX                                                                   \
    262144                    /* recipients written to, ever: their sequence must not begin again */
#define LEDGER_FILES_MAX 4096 /* of the messages, files: their names are held in memory */
#define LEDGER_WATCHERS_MAX 16 /* clients that wait for one message */
#define LEDGER_BATCHES_MAX 256 /* pushes of many that are not answered to their end */
#define LEDGER_SHARDS_MAX 32   /* of a parcel, that a push may ask for */

struct ledger;
struct ledger_batch;
struct ledger_put;
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
struct ledger_refusal { /* why something is not accepted */
    enum answer_code code;
    char text[192];
};

/* Knows of what boot says of conversations and of what is still to be read; the pending messages in
 * it are the caller's to enter. NULL: no memory. */
struct ledger *ledger_new(const struct ledger_config *config, const struct node_boot *boot,
                          struct now now);
void ledger_free(struct ledger *ledger);
void ledger_configure(struct ledger *ledger, size_t message_max, int64_t expire_us,
                      int64_t retention_us);

/* ---- Pushes ---- */
/* May this be accepted, as far as the ledger is concerned? False: *ret_refusal says why not. */
bool ledger_may_accept(const struct ledger *ledger, const struct request *request,
                       struct ledger_refusal *ret_refusal);
/* Is it one that we have already? Then it will be answered as that one. */
bool ledger_knows(const struct ledger *ledger, const struct message_id *id);
/* Begin to accept it, with all that it will need once it is stored, so that nothing can fail then.
 * NULL: no, *ret_refusal says why. `batch` may be NULL; else that is told what becomes of it, and
 * no client. Then ledger_put_store(), or ledger_put_abandon(). */
struct ledger_put *ledger_put_begin(struct ledger *ledger, const struct request *request,
                                    const struct node_id *recipient, const char *notice,
                                    struct ledger_batch *batch, struct wall wall,
                                    struct ledger_refusal *ret_refusal);
struct message *ledger_put_message(const struct ledger_put *put);
void ledger_put_store(struct ledger *ledger, struct ledger_put *put, const struct request *request);
void ledger_put_abandon(struct ledger *ledger, struct ledger_put *put);
/* A push is refused: count and answer that. */
void ledger_refuse(struct ledger *ledger, uint64_t client, const struct ledger_refusal *refusal);
struct ledger_refusal ledger_error_words(int error);
/* Is there room for one more message, of a mail of others? */
bool ledger_has_room(const struct ledger *ledger);
void ledger_count_putting(struct ledger *ledger, int by);

/* A REQUEST_PUSH_MANY. NULL after an answer that says why not. Each put that was begun is counted
 * (ledger_batch_submitted()); `refusal`: one was not, and none behind it was tried. */
struct ledger_batch *ledger_batch_new(struct ledger *ledger, const struct request *request,
                                      const char *notice);
void ledger_batch_submitted(struct ledger *ledger, struct ledger_batch *batch, size_t n,
                            const struct ledger_refusal *refusal);

/* ---- Requests about messages, which are answered ---- */
/* `notice` (may be NULL) is said of one in memory that is not final. */
void ledger_status(struct ledger *ledger, const struct request *request, const char *notice);
/* The message that is to be finished as cancelled, its client waiting for that; or NULL. */
struct message *ledger_cancel(struct ledger *ledger, const struct request *request);
void ledger_client_gone(struct ledger *ledger, uint64_t client);

/* ---- The store ---- */
/* The record of a message that somebody asks for, or pushes again, and that was not read yet: it is
 * to be entered before ledger_stored(). NULL: there is none. */
const struct out_record *ledger_record_ahead(const struct ledger *ledger, uint64_t cookie,
                                             const struct store_result *result);
/* What comes of a store operation, for the others. */
enum ledger_news_kind {
    LEDGER_NOTHING,
    LEDGER_ACCEPTED, /* `message` is to be sent; if it is withdrawn, finished instead */
    LEDGER_RELEASED, /* nothing of so many bytes will be sent to `recipient` */
    LEDGER_CANCELLED /* `message` is to be finished */
};
struct ledger_news {
    enum ledger_news_kind kind;
    struct message *message;
    struct recipient *recipient;
    uint64_t size;
};
struct ledger_news ledger_stored(struct ledger *ledger, uint64_t cookie,
                                 const struct store_result *result, struct now now);

/* ---- What was owed when we stopped ---- */
/* Ask for the next page, if one is due. */
void ledger_load_tick(struct ledger *ledger, struct mono now);
/* Is this the result of that? Then its records are to be entered (those that are not known), and
 * ledger_load_one() counts each; at the end of it ledger_load_page(). */
bool ledger_is_page(uint64_t cookie);
void ledger_load_one(struct ledger *ledger);
void ledger_load_page(struct ledger *ledger, const struct store_result *result, bool is_whole,
                      struct mono now);
/* Until NULL: messages that had to wait for those and are now to be sent. */
struct message *ledger_load_late(struct ledger *ledger);
/* Is not all read yet? */
bool ledger_is_loading(const struct ledger *ledger);
uint64_t ledger_unread(const struct ledger *ledger);

/* ---- Life of a message ---- */
/* One of the store's. NULL: no memory, or no more conversations. */
struct message *ledger_message_of(struct ledger *ledger, const struct out_record *record);
/* From here on it is owed. True: it is to be sent now; false: ledger_load_late() will have it. */
bool ledger_enter(struct ledger *ledger, struct message *message, bool was_owed, struct now now);
/* It leaves, or is handed to our own inbox: counted once in this run. */
void ledger_mark_sent(struct ledger *ledger, struct message *message);
/* Its recipient has all below this offset: told to the store. 0: begins anew. */
void ledger_progress(struct ledger *ledger, const struct message *message, uint64_t below);
/* Why it is not taken for now; NULL: it is. */
void ledger_set_reason(struct message *message, const char *reason);
/* Move to a final state, store it, tell who waits. It is in nobody's queue any more, and is freed
 * once that is stored. */
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

/* ---- Routes, for the clients that asked for them ---- */
bool ledger_wants_routes(const struct message *message);
/* `routes` are scratch memory of the effects. */
void ledger_answer_routes(struct ledger *ledger, struct message *message,
                          struct route_report *routes, size_t n);
void ledger_answer_no_route(struct ledger *ledger, struct message *message);
/* The same for all messages to it. */
void ledger_no_route_to(struct ledger *ledger, const struct recipient *recipient);

/* ---- Another recipient ---- */
struct conversation *ledger_conversation(struct ledger *ledger, const struct node_id *recipient);
/* The number of its next message, of so many that get one. */
uint64_t ledger_conversation_number(struct conversation *conversation, size_t n);
/* Which of trust->old this one is owed to, or NULL; and count it there. */
struct trust_old *ledger_old_of(struct trust_report *trust, const struct message *message);
void ledger_count_old(struct trust_old *old, const struct message *message);
/* It is owed to another recipient, who has nothing of it yet. */
void ledger_turn(struct message *message, struct conversation *to, uint64_t sequence);

/* ---- To be looked at ---- */
/* A round trip is worth more than a guess though it was measured an hour ago: kept and recalled by
 * recipient. False: none is known. */
void ledger_remember_round_trip(struct ledger *ledger, const struct node_id *recipient,
                                int64_t srtt_us, int64_t rttvar_us);
bool ledger_recall_round_trip(const struct ledger *ledger, const struct node_id *recipient,
                              int64_t *ret_srtt_us, int64_t *ret_rttvar_us);
/* All messages, those that are final included: the first, and the one behind. */
struct message *ledger_first(const struct ledger *ledger);
struct message *ledger_after(const struct message *message);
bool ledger_look(const struct ledger *ledger, const struct message_id *id,
                 struct message_report *ret_report);
uint64_t ledger_pending(const struct ledger *ledger);
uint64_t ledger_pending_to(const struct ledger *ledger, const struct node_id *recipient);
bool ledger_has_written(const struct ledger *ledger, const struct node_id *recipient);
void ledger_visit(const struct ledger *ledger,
                  bool (*visit)(void *context, const struct node_id *recipient), void *context);
struct outbox_wait { /* a recipient to which messages are owed */
    struct node_id recipient;
    enum outbox_why why;
    uint64_t messages, mailed; /* mailed: mailboxes have them */
    struct wall oldest;        /* pushed */
    struct wall expires;       /* the first of them */
    uint64_t expiring;         /* expire before `soon` */
};
/* All of them, each once; `why_of` says of a message why it waits. 0, or -ENOMEM: none was shown.
 */
int ledger_waits(const struct ledger *ledger, struct wall soon,
                 enum outbox_why (*why_of)(const void *context, const struct message *message),
                 const void *of, void (*visit)(void *context, const struct outbox_wait *wait),
                 void *context);
const struct ledger_counters *ledger_counters(const struct ledger *ledger);
/* Does nothing of ours wait for the store? */
bool ledger_is_idle(const struct ledger *ledger);

#endif
