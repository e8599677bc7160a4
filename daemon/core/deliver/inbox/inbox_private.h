/* What the inbox's files share: inbox.c (life, results of the store), inbox_local.c (to ourselves),
 * inbox_shard.c (shards put together), inbox_take.c (is a parcel taken?), inbox_mail.c (mail in
 * parcels), inbox_item.c (one item), inbox_receipt.c (receipts and their paths), inbox_parcel.c
 * (parcels not stored yet), inbox_keys.c (whose a shard is) and inbox_pull.c (handing out).
 * Each calls those that stand behind it in this list alone. */
#ifndef P2PD_INBOX_PRIVATE_H
#define P2PD_INBOX_PRIVATE_H

#include "daemon/core/base/rate.h"
#include "daemon/core/base/recent.h"
#include "daemon/core/base/table.h"
#include "daemon/core/base/timer.h"
#include "daemon/core/deliver/inbox/inbox.h"
#include "daemon/core/wire/mail.h"

#include <sys/queue.h>

enum inbox_op_kind { INBOX_OP_PARCEL, INBOX_OP_LOCAL, INBOX_OP_FETCH, INBOX_OP_TAKE };
/* What a cookie points to: the first member of a parcel, a local block or a puller. */
struct inbox_op {
    enum inbox_op_kind kind;
};

TAILQ_HEAD(inbox_parcels, inbox_parcel);

struct inbox_sender { /* who has parcels here that are not stored yet */
    struct table_link by_id;
    struct node_id id;
    struct inbox_parcels unfinished; /* oldest first */
    bool is_known;                   /* when the first of them came */
    size_t bytes;
    unsigned n_parcels;
};

struct inbox_mail { /* a mail that was opened: messages that a mailbox kept for us */
    struct inbox_mail *next;
    struct descriptor sender;
    size_t items, length; /* where they begin, and all of it */
    uint8_t plain[];
};

/* Receipts are keyed by a secret that goes with the plaintext. So whatever may have to be answered
 * later is written before. FIRST: stored, or refused as it is. */
enum inbox_verdict {
    INBOX_VERDICT_FIRST,
    INBOX_VERDICT_WHOLE, /* stored, and the message or file of which it holds a block is whole */
    INBOX_VERDICT_QUOTA,
    INBOX_VERDICT_DAMAGED,
    INBOX_VERDICT_MALFORMED,
    INBOX_VERDICT_LOST,
    INBOX_VERDICT_NO_ROOM,
    INBOX_VERDICTS
};

struct inbox_parcel {
    struct inbox_op op;
    struct table_link by_id;
    TAILQ_ENTRY(inbox_parcel)
    link; /* among the unfinished ones, oldest first; or the storing ones */
    TAILQ_ENTRY(inbox_parcel) own; /* among its sender's unfinished ones */
    TAILQ_ENTRY(inbox_parcel) want;
    struct timer timer;
    struct inbox_sender *sender;
    struct parcel_id id;
    int64_t epoch;
    unsigned from;      /* the neighbour that brought the last shard of it */
    bool whole;         /* the message or file of which a block was put is whole */
    bool storing;       /* complete: waits for the store, and is no longer evictable */
    bool asked_again;   /* a shard came again while it was being stored: the sender missed a receipt
                           before */
    bool wants_receipt; /* a partial receipt is sent at the end of this step: it is in `wanting` */
    struct mono receipted; /* when the last partial receipt was sent; 0: never */
    uint8_t k, m, arrived, since_receipt, quiet_receipts;
    uint16_t length; /* of each shard */
    uint8_t bitmap[PARCEL_BITMAP_MAX];
    uint8_t index[SHARD_COUNT_MAX]; /* of the shards that arrived, in that order */
    struct recent growth;           /* shards */
    uint8_t n_paths;
    struct parcel_path paths[PARCEL_RECEIPT_PATHS_MAX]; /* the one heard last is the last */
    size_t charged;
    uint8_t *bytes; /* what arrived; once storing, the plaintext */
    size_t room;    /* how many there is place for: k shards at most */
    /* Storing: */
    unsigned n_items;          /* those in mail too */
    size_t operations_charged; /* the memory of their store operations; it counts for none of the
                                  sender's bounds */
    unsigned puts;
    int error;
    unsigned n_mails;
    struct inbox_mail *mails; /* what was opened of the mail in it */
    struct file_head *file;   /* the parcel holds a block of a file, alone */
    uint8_t verdicts[INBOX_VERDICTS]
                    [PARCEL_RECEIPT_FINAL_LEN]; /* receipts, ready for what may come */
};

struct inbox_done { /* a finished parcel: its receipt, as often as it is asked for. No secret */
    struct table_link by_id;
    struct node_id sender;
    uint8_t receipt[PARCEL_RECEIPT_FINAL_LEN]; /* begins with the parcel's id */
    uint8_t bitmap[PARCEL_BITMAP_MAX];         /* the shards that came, surplus ones too */
    struct mono receipted;
    bool twice; /* over two ways, then */
};

struct inbox_local { /* a block for ourselves */
    struct inbox_op op;
    TAILQ_ENTRY(inbox_local) link;
    struct message_id id;
    enum message_kind kind;
    struct file_head file; /* KIND_FILE */
    bool done;
    int error;
    uint32_t length;
    uint8_t bytes[];
};
TAILQ_HEAD(inbox_locals, inbox_local);

struct inbox_correspondent { /* a node to which receipts are sent: the path, and the receipts of
                                this step */
    struct node_id id;
    bool used, is_known; /* known: when it got its place */
    unsigned from;       /* the neighbour that brought what it is answered for */
    struct courier_lane lane;
    struct path_silence silence;
    struct mono last;
    size_t length;
    uint8_t payload[ONION_PAYLOAD_MAX];
};

enum inbox_puller_state {
    INBOX_FETCHING = 0, /* the store looks for messages */
    INBOX_HANDED,       /* the client has a batch, and has not confirmed it */
    INBOX_TAKING,       /* the store marks the batch as taken */
    INBOX_PARKED,       /* nothing is there: waits for something new */
    INBOX_GONE,         /* its client is gone while the store was asked: waits for the result */
    INBOX_PULLER_STATES
};
struct inbox_puller {
    struct inbox_op op; /* FETCH or TAKE: one at a time */
    TAILQ_ENTRY(inbox_puller) link;
    enum inbox_puller_state state; /* written by puller_move() alone */
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
TAILQ_HEAD(inbox_pullers, inbox_puller);

struct inbox {
    struct inbox_config config;
    struct inbox_counters counters;
    struct node_id self;
    uint64_t waiting;
    uint32_t
        clock_origin; /* added to the arrival times in receipts: our uptime is nobody's business */
    struct parcel_keys *keys;    /* secrets with senders that have proved themselves */
    struct parcel_keys *guesses; /* secrets with nodes that somebody claims to be */
    struct mono keys_check;
    struct table parcels, senders, done;
    struct inbox_parcels unfinished, storing, wanting;
    size_t n_parcels;
    size_t n_puts; /* of parcels: items that the store was given and has not answered */
    const struct inbox_parcel *growing; /* is not evicted just now */
    struct mono now;                    /* of the last shard */
    struct timers timers;
    struct inbox_done **done_ring;
    size_t done_next;
    struct inbox_correspondent *correspondents; /* INBOX_CORRESPONDENTS_MAX */
    unsigned n_receipting;                      /* of them, those with receipts to be sent */
    struct share strangers; /* of the paths to strangers, by who brings what they sent */
    struct rate drawn;      /* the rest of them, for whoever comes */
    bool flush;             /* something is to be sent at the end of this step */
    struct inbox_locals locals;
    struct inbox_pullers pullers;
    size_t n_pullers;
    uint64_t generation; /* grows when a parked puller might find something */
};

static inline void inbox_store(struct inbox *inbox, const struct store_op *operation,
                               const struct inbox_op *op) {
    effects_store(inbox->config.effects, operation, OWNER_INBOX, (uint64_t)(uintptr_t)op);
}
/* Change what a parcel holds; the budget has been asked already. */
static inline void inbox_account(struct inbox_parcel *parcel, size_t charged) {
    parcel->sender->bytes = parcel->sender->bytes - parcel->charged + charged;
    parcel->charged = charged;
}
/* Does the user know this node? */
static inline bool inbox_knows(const struct inbox *inbox, const struct node_id *id) {
    return inbox->config.policy && policy_is_known(inbox->config.policy, id);
}

/* ---- inbox_keys.c ---- */
#define INBOX_KEYS_CHECK_US (EPOCH_US / 4)
/* What we share with the proven sender of a parcel. NULL: our key is gone, or there is too much to
 * compute just now for the neighbour that brings it. */
const struct parcel_secret *inbox_secret(struct inbox *inbox, const struct inbox_parcel *parcel,
                                         const struct directory_entry *sender, struct mono now);
/* May what this neighbour brings cost an exchange? */
bool inbox_may_exchange(struct inbox *inbox, unsigned from, struct mono now);
/* Is the shard of whom it names? */
enum drop inbox_authenticate(struct inbox *inbox, const struct parcel_shard *shard,
                             const struct directory_entry *sender, unsigned from, int64_t epoch,
                             struct mono now);

/* ---- inbox_parcel.c ---- */
struct inbox_sender *inbox_sender_find(const struct inbox *inbox, const struct node_id *id);
struct inbox_parcel *inbox_parcel_find(const struct inbox *inbox, const struct node_id *sender,
                                       const struct parcel_id *id);
/* With place for one shard. NULL: there is no room for it. */
struct inbox_parcel *inbox_parcel_new(struct inbox *inbox, const struct node_id *from,
                                      const struct parcel_shard *shard, int64_t epoch);
/* Place for one shard more. False: there is no room for it. */
bool inbox_parcel_grow(struct inbox *inbox, struct inbox_parcel *parcel);
void inbox_parcel_free(struct inbox *inbox, struct inbox_parcel *parcel);
/* Evictor of BUDGET_INBOX. */
bool inbox_evict(void *context);

/* ---- inbox_mail.c, inbox_item.c, inbox_take.c ---- */
#include "daemon/core/deliver/inbox/take_private.h"

/* ---- inbox_receipt.c ---- */
/* Queue a receipt that is ready, for the end of this step: for what the neighbour `from` brought.
 */
void inbox_receipt_queue(struct inbox *inbox, const struct node_id *to, unsigned from,
                         const uint8_t *receipt, size_t length, struct now now);
/* A receipt to this node will follow once the store has its parcel: prepare a path. */
void inbox_receipt_expect(struct inbox *inbox, const struct node_id *to, struct now now);
/* A parcel is finished: remember its receipt and queue it. */
void inbox_receipt_final(struct inbox *inbox, const struct inbox_parcel *parcel,
                         const uint8_t receipt[PARCEL_RECEIPT_FINAL_LEN], struct now now);
/* A shard of a finished parcel came. A shard that came before: the receipt was lost, and is sent
 * again; a new one may be mere parity. False: no such parcel is remembered. */
bool inbox_receipt_again(struct inbox *inbox, const struct node_id *sender, unsigned from,
                         const struct parcel_shard *shard, struct now now);
/* A shard of an unfinished parcel came; `duplicate`: it was there already, and is answered at once.
 */
void inbox_partial_note(struct inbox *inbox, struct inbox_parcel *parcel, bool duplicate,
                        struct mono now);
void inbox_partial_due(struct inbox *inbox, struct inbox_parcel *parcel, struct mono now);
void inbox_receipts_deinit(struct inbox *inbox);

/* ---- inbox_pull.c ---- */
void inbox_fetched(struct inbox *inbox, struct inbox_puller *puller,
                   const struct store_result *result);
void inbox_taken(struct inbox *inbox, struct inbox_puller *puller,
                 const struct store_result *result);
/* A message came, or a lease ended: pullers that wait look again. */
void inbox_wake(struct inbox *inbox);
void inbox_pullers_deinit(struct inbox *inbox);

#endif
