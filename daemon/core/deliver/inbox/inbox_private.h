/* What the inbox's files share: inbox.c (life, results of the store), inbox_shard.c (shards put
 * together), inbox_take.c (is a parcel taken?), inbox_mail.c (mail in parcels), inbox_item.c (one
 * item), inbox_receipt.c (receipts and their paths), inbox_parcel.c (parcels not stored yet),
 * inbox_keys.c (whose a shard is), inbox_pull.c (handing out) and inbox_local.c (to ourselves).
 * Each calls those that stand behind it in this list alone. */
#ifndef P2PD_INBOX_PRIVATE_H
#define P2PD_INBOX_PRIVATE_H

#include "daemon/core/base/table.h"
#include "daemon/core/base/timer.h"
#include "daemon/core/deliver/inbox/inbox.h"
#include "daemon/core/wire/mail.h"

#include <sys/queue.h>

enum in_op_kind { IN_OP_PARCEL, IN_OP_LOCAL, IN_OP_FETCH, IN_OP_TAKE };
/* What a cookie points to: the first member of a parcel, a local block or a puller. */
struct in_op {
    enum in_op_kind kind;
};

TAILQ_HEAD(in_parcels, in_parcel);

struct in_sender { /* who has parcels here that are not stored yet */
    struct table_link by_id;
    struct node_id id;
    struct in_parcels unfinished; /* oldest first */
    bool is_known;                /* when the first of them came */
    size_t bytes;
    unsigned n_parcels;
};

struct in_mail { /* opened: somebody's messages that a mailbox kept for us */
    struct in_mail *next;
    struct descriptor sender;
    size_t items, length; /* where they begin, and all of it */
    uint8_t plain[];
};

/* A receipt is keyed by a secret that goes with the plaintext: what may have to be said later is
 * written before. FIRST: stored, or refused as it is. */
enum in_verdict {
    IN_VERDICT_FIRST,
    IN_VERDICT_WHOLE, /* stored, and the message or file of which it holds a block is whole */
    IN_VERDICT_QUOTA,
    IN_VERDICT_DAMAGED,
    IN_VERDICT_MALFORMED,
    IN_VERDICT_LOST,
    IN_VERDICT_NO_ROOM,
    IN_VERDICTS
};

#define IN_NO_SHARD 0xff

struct in_parcel {
    struct in_op op;
    struct table_link by_id;
    TAILQ_ENTRY(in_parcel) link; /* among the unfinished ones, oldest first; or the storing ones */
    TAILQ_ENTRY(in_parcel) own;  /* among its sender's unfinished ones */
    TAILQ_ENTRY(in_parcel) want;
    struct timer timer;
    struct in_sender *sender;
    struct parcel_id id;
    int64_t epoch;
    unsigned from;      /* the neighbour that brought the last shard of it */
    bool whole;         /* what was put is whole now, or was before */
    bool storing;       /* complete: waits for the store, and is no longer evictable */
    bool asked_again;   /* while storing, a shard came again: its sender missed an answer before */
    bool wants_receipt; /* partial, at the end of this step: among `wanting` */
    struct mono receipted; /* partially, last; 0: never */
    uint8_t k, m, arrived, since_receipt, quiet_receipts;
    uint16_t length; /* of each shard */
    uint8_t bitmap[PARCEL_BITMAP_MAX];
    uint8_t index[SHARD_COUNT_MAX]; /* which shard is in which place, or IN_NO_SHARD */
    uint8_t n_paths;
    struct parcel_path paths[PARCEL_RECEIPT_PATHS_MAX]; /* the one heard last is the last */
    size_t charged;
    uint8_t *bytes; /* k shards; once storing, the plaintext */
    size_t room;    /* how many there is place for */
    /* Storing: */
    unsigned n_items;          /* those in mail too */
    size_t operations_charged; /* for them; counts for no bound of the sender's */
    unsigned puts;
    int error;
    unsigned n_mails;
    struct in_mail *mails;  /* what was opened of the mail in it */
    struct file_head *file; /* the parcel holds a block of a file, alone */
    uint8_t verdicts[IN_VERDICTS][PARCEL_RECEIPT_FINAL_LEN]; /* receipts, ready for what may come */
};

struct in_done { /* a finished parcel: its receipt, as often as it is asked for. No secret */
    struct table_link by_id;
    struct node_id sender;
    uint8_t receipt[PARCEL_RECEIPT_FINAL_LEN]; /* begins with the parcel's id */
    uint8_t bitmap[PARCEL_BITMAP_MAX];         /* the shards that came, surplus ones too */
    struct mono receipted;
    bool twice; /* over two ways, then */
};

struct in_local { /* a block for ourselves */
    struct in_op op;
    TAILQ_ENTRY(in_local) link;
    struct message_id id;
    enum message_kind kind;
    struct file_head file; /* KIND_FILE */
    bool done;
    int error;
    uint32_t length;
    uint8_t bytes[];
};
TAILQ_HEAD(in_locals, in_local);

struct in_correspondent { /* a path for receipts, and those of this step */
    struct node_id id;
    bool used, is_known; /* known: when it got its place */
    struct courier_lane lane;
    struct path_silence silence;
    struct mono last;
    size_t length;
    uint8_t payload[ONION_PAYLOAD_MAX];
};

enum in_puller_state {
    IN_FETCHING = 0, /* the store looks for messages */
    IN_HANDED,       /* the client has a batch, and has not confirmed it */
    IN_TAKING,       /* the store marks the batch as taken */
    IN_PARKED,       /* nothing is there: waits for something new */
    IN_GONE,         /* its client is gone while the store was asked: waits for the result */
    IN_PULLER_STATES
};
struct in_puller {
    struct in_op op; /* FETCH or TAKE: one at a time */
    TAILQ_ENTRY(in_puller) link;
    enum in_puller_state state; /* written by puller_move() alone */
    uint64_t client;
    bool peek, wait, follow, from_any;
    struct node_id from;
    uint32_t max, given;
    struct wall since;
    bool since_message;
    struct message_id since_id;
    int64_t after;          /* looked at up to this place */
    int64_t shown, highest; /* a peek: rows up to `shown` are not shown again; the latest seen */
    uint64_t generation;    /* of the inbox, when the fetch began */
    int64_t rows[INBOX_BATCH_MAX]; /* leased, ascending */
    size_t n_rows;
};
TAILQ_HEAD(in_pullers, in_puller);

struct inbox {
    struct inbox_config config;
    struct inbox_counters counters;
    struct node_id self;
    uint64_t waiting;
    uint32_t clock_origin; /* of the arrival times in receipts: our uptime is nobody's business */
    struct parcel_keys *keys;    /* with senders that have proved themselves */
    struct parcel_keys *guesses; /* with those that somebody says a shard is of */
    struct mono keys_check;
    struct table parcels, senders, done;
    struct in_parcels unfinished, storing, wanting;
    size_t n_parcels;
    struct timers timers;
    struct in_done **done_ring;
    size_t done_next;
    struct in_correspondent *correspondents; /* INBOX_CORRESPONDENTS_MAX */
    unsigned n_receipting;                   /* of them, those with receipts to be sent */
    struct mono drawn_until;                 /* a bucket of paths to strangers: when it is full */
    bool flush;                              /* something is to be sent at the end of this step */
    struct in_locals locals;
    struct in_pullers pullers;
    size_t n_pullers;
    uint64_t generation; /* grows when a parked puller might find something */
};

static inline void in_store(struct inbox *inbox, const struct store_op *operation,
                            const struct in_op *op) {
    effects_store(inbox->config.effects, operation, OWNER_INBOX, (uint64_t)(uintptr_t)op);
}
/* Change what a parcel holds; the budget has been asked already. */
static inline void in_account(struct in_parcel *parcel, size_t charged) {
    parcel->sender->bytes = parcel->sender->bytes - parcel->charged + charged;
    parcel->charged = charged;
}
/* Does the user know this node? */
static inline bool in_knows(const struct inbox *inbox, const struct node_id *id) {
    return inbox->config.policy && policy_is_known(inbox->config.policy, id);
}

/* ---- inbox_keys.c ---- */
#define IN_KEYS_CHECK_US (EPOCH_US / 4)
/* What we share with the proven sender of a parcel. NULL: our key is gone, or there is too much to
 * compute just now for the neighbour that brings it. */
const struct parcel_secret *in_secret(struct inbox *inbox, const struct in_parcel *parcel,
                                      const struct directory_entry *sender, struct mono now);
/* May what this neighbour brings cost an exchange? */
bool in_may_exchange(struct inbox *inbox, unsigned from, struct mono now);
/* Is the shard of whom it names? */
enum drop in_authenticate(struct inbox *inbox, const struct parcel_shard *shard,
                          const struct directory_entry *sender, unsigned from, int64_t epoch,
                          struct mono now);

/* ---- inbox_parcel.c ---- */
struct in_sender *in_sender_find(const struct inbox *inbox, const struct node_id *id);
struct in_parcel *in_parcel_find(const struct inbox *inbox, const struct node_id *sender,
                                 const struct parcel_id *id);
/* NULL: there is no room for it. */
struct in_parcel *in_parcel_new(struct inbox *inbox, const struct node_id *from,
                                const struct parcel_shard *shard, int64_t epoch);
void in_parcel_free(struct inbox *inbox, struct in_parcel *parcel);
/* Evictor of BUDGET_INBOX. */
bool in_evict(void *context);

/* ---- inbox_mail.c, inbox_item.c, inbox_take.c ---- */
#include "daemon/core/deliver/inbox/take_private.h"

/* ---- inbox_receipt.c ---- */
/* Queue a receipt that is ready, for the end of this step. */
void in_receipt_queue(struct inbox *inbox, const struct node_id *to, const uint8_t *receipt,
                      size_t length, struct now now);
/* There will be one to him, once the store has what he sent: have a path ready by then. */
void in_receipt_expect(struct inbox *inbox, const struct node_id *to, struct now now);
/* A parcel is finished: remember its receipt and queue it. */
void in_receipt_final(struct inbox *inbox, const struct in_parcel *parcel,
                      const uint8_t receipt[PARCEL_RECEIPT_FINAL_LEN], struct now now);
/* A shard of a finished parcel came: if again, its receipt did not arrive; if for the first time,
 * it may be mere surplus. False: no such parcel is remembered. */
bool in_receipt_again(struct inbox *inbox, const struct node_id *sender,
                      const struct parcel_shard *shard, struct now now);
/* Something new came for an unfinished parcel (a duplicate: answered at once). */
void in_partial_note(struct inbox *inbox, struct in_parcel *parcel, bool duplicate,
                     struct mono now);
void in_partial_due(struct inbox *inbox, struct in_parcel *parcel, struct mono now);
void in_receipts_deinit(struct inbox *inbox);

/* ---- inbox_pull.c ---- */
void in_fetched(struct inbox *inbox, struct in_puller *puller, const struct store_result *result);
void in_taken(struct inbox *inbox, struct in_puller *puller, const struct store_result *result);
/* Something new may be had. */
void in_wake(struct inbox *inbox);
void in_pullers_deinit(struct inbox *inbox);

#endif
