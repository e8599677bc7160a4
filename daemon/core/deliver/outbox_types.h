/* What the outbox keeps: messages, parcels, recipients, operations under way. For its own files
 * alone. */
#ifndef P2PD_OUTBOX_TYPES_H
#define P2PD_OUTBOX_TYPES_H

#include "daemon/core/base/table.h"
#include "daemon/core/base/timer.h"
#include "daemon/core/deliver/outbox.h"
#include "daemon/core/wire/mail.h"

#include <sys/queue.h>

/* Packets under way on a path. The least that a round trip can be measured with; what is sent
 * before anything is known; 1024 is all that a path carries, and 12 Mbit/s each 1 s away. */
#define OUTBOX_WINDOW_MIN 2u
#define OUTBOX_WINDOW_FIRST 16u
#define OUTBOX_WINDOW_MAX 1024u
#define OUTBOX_WINDOW_UNIT 256u /* windows are kept in parts of a packet */
#define OUTBOX_BACKOFF_MAX_US (5 * US_PER_MINUTE)
#define OUTBOX_REST_MIN_US (5 * US_PER_S) /* between tries while the recipient has no room */
#define OUTBOX_REST_MAX_US (10 * US_PER_MINUTE)
#define OUTBOX_UNREACHABLE_MIN_US US_PER_S
#define OUTBOX_SLOTS 4      /* kept paths a recipient */
#define OUTBOX_SLOTS_MAX 32 /* with explicit shards: one each */
#define OUTBOX_FLIGHT_BYTES                                                                        \
    (4u << 20) /* of a recipient in memory: 50 Mbit/s, three round trips of 200 ms */
#define OUTBOX_FLIGHT_LEAST                                                                        \
    (512u << 10) /* each, where all of them have a quarter of the memory                           \
                    \ */
#define OUTBOX_LONG_BYTES (OUTBOX_FLIGHT_BYTES / 4 * 3) /* of them, blocks of long messages */
/* Of limits.memory, one of so many parts for the mail that we keep: it stays for weeks, and the
 * rest of the node must run beside it. */
#define OUTBOX_KEPT_SHARE 4
#define OUTBOX_HEAP_EXTRA                                                                          \
    48u                    /* of an allocation: its header, places in tables and among the timers */
#define OUTBOX_PARCELS 128 /* of a recipient in memory, however small */
#define OUTBOX_LONG_PARCELS (OUTBOX_PARCELS / 4 * 3)
#define OUTBOX_AGAIN_BYTES                                                                         \
    (1u << 20) /* of mail that its recipient refused for now: so much at a time asks again */
#define OUTBOX_QUANTUM 32     /* packets a recipient sends before the next one's turn */
#define OUTBOX_FAST_RESENDS 3 /* time-outs without back-off */
#define OUTBOX_SEALED_MAX                                                                          \
    1024 /* parcels sealed at once, over all recipients: their receipt keys are in locked memory   \
            \ */
#define OUTBOX_NO_KEY UINT32_MAX
#define OUTBOX_CREDIT_ALL UINT32_MAX

struct out_watcher {
    TAILQ_ENTRY(out_watcher) link, all;
    struct out_message *message;
    struct out_batch *batch; /* it is one of this batch's, and in its memory */
    uint64_t client;
    bool trace;   /* wants the routes */
    bool wait;    /* wants the final state */
    bool by_code; /* its exit code follows the state (push), not only the asking (status) */
    bool cancel;
};
TAILQ_HEAD(out_watchers, out_watcher);

struct out_message {
    struct table_link by_id;
    TAILQ_ENTRY(out_message) all, queue, cached;
    struct message_id id;
    struct out_flow *flow;                 /* NULL: to ourselves, or final */
    struct out_conversation *conversation; /* NULL: KIND_MAIL */
    uint64_t sequence;
    struct wall created, expires, finished;
    struct mono deadline; /* it expires then, whatever becomes of the wall clock */
    uint64_t size, blocks_left, next_block;
    uint64_t confirmed; /* bytes that the recipient has said to have */
    uint64_t progress;  /* the store knows: all below this offset is confirmed */
    struct mono progress_at;
    enum message_kind kind;
    enum message_state state;
    uint8_t mailed; /* bits: at which of its flow's mailboxes it is */
    const char *reason;
    uint8_t *body; /* kept copy of a small one, or NULL: to be read from the store */
    bool queued;   /* in its flow's queue, or among the local ones */
    bool arrived;  /* short, and taken out of its parcel: it is in none */
    bool owed;     /* was so when we stopped */
    bool late;     /* among those that were pushed before all these were read */
    bool alone;    /* was part of a refused parcel: goes in one of its own, to learn whether it was
                      meant */
    bool refused;  /* for now: a block of it at a time asks whether that is over */
    bool state_lost; /* its final state could not be stored: among `unstored` */
    bool withdrawn;  /* nobody was told that it was accepted: the store forgets it */
    unsigned n_watchers;
    struct out_watchers watchers;
    struct file_head file[]; /* KIND_FILE: one */
};
TAILQ_HEAD(out_messages, out_message);

struct out_item { /* what a parcel holds of a message; NULL: taken out meanwhile */
    struct out_message *message;
    uint64_t offset;
    uint32_t length;
    uint32_t place; /* in the plaintext */
};
enum out_shard_state { OUT_WAITING = 0, OUT_FLYING, OUT_ARRIVED };
struct out_shard {
    struct mono sent;
    uint32_t path;
    uint16_t packet;
    uint8_t slot, sends, state;
};
enum out_parcel_state { OUT_EMPTY = 0, OUT_READING, OUT_SEALED };
struct out_parcel {
    struct table_link by_id; /* while sealed */
    TAILQ_ENTRY(out_parcel) link;
    struct out_flow *flow; /* NULL: dropped, waits for the last read */
    struct parcel_id id;
    enum out_parcel_state state;
    bool is_long, spoiled, traced;
    bool shown; /* a partial receipt told of it */
    bool bare;  /* there was no memory for its parity */
    struct out_item *items;
    size_t n_items;
    uint8_t *plain, *sealed;
    size_t size; /* of its items, for the bound of the flow */
    size_t plain_length, padded_length, charged;
    unsigned reads; /* under way */
    int read_error;
    uint32_t key; /* place of its receipt key */
    struct out_shard *shards;
    size_t length;        /* of a shard */
    uint8_t *parity;      /* computed when the first of it is to be sent */
    unsigned k, m, fresh; /* shards from `fresh` on were never sent */
    unsigned arrived, flying;
    unsigned timeouts;    /* in a row, with nothing heard */
    unsigned pressed;     /* of those to come, so many after a short time only */
    uint32_t credit;      /* shards it may send before something is heard */
    struct mono deadline; /* of what flies */
};
TAILQ_HEAD(out_parcels, out_parcel);

struct out_slot { /* a place for a kept path; its window outlives the path */
    struct path *path;
    struct path_way way; /* the path's, as long as its number stands here: it may be gone before
                            what it carried has had its time. Empty: noted as silent */
    uint32_t id;
    uint16_t packets;
    bool worked;
    bool starting;   /* slow start: doubles each round trip */
    bool based;      /* `base` is known of this path */
    uint32_t window; /* in OUTBOX_WINDOW_UNIT parts of a packet */
    unsigned flight;
    uint32_t loss;        /* share of its packets lost, in 2^-16 */
    uint32_t base;        /* least (arrived - sent), by two clocks */
    int64_t queue_us;     /* how much more it was lately */
    struct mono sampled;  /* what told so was sent then */
    uint32_t high_window; /* when the queue was found above what is aimed at; 0: it is not */
    int64_t high_us;      /* the queue then */
    struct mono high_at;  /* that was sent then */
    struct mono cut;      /* last halved */
    struct mono heard;    /* something sent over this path arrived */
};

enum out_trial_stage { OUT_TRIAL_NONE = 0, OUT_TRIAL_WHOLE, OUT_TRIAL_HALF };
struct out_trial { /* is less lost over windows that are half as large? */
    enum out_trial_stage stage;
    struct mono from, until; /* what is sent in between counts, */
    struct mono end;         /* by when all of it has arrived or is taken for lost */
    unsigned seen, lost;
    uint32_t before; /* the share lost over whole windows */
};

struct out_flow { /* one recipient (and one kind of route asked for; or what we keep for it) */
    struct table_link by_recipient;
    TAILQ_ENTRY(out_flow) all, run, unready;
    struct timer timer;
    bool running;
    bool is_unready; /* among those that something is to be made ahead for */
    struct node_id recipient;
    uint8_t relays_exact;
    uint8_t shards_k, shards_m; /* 0, 0: as fits */
    bool strict;
    bool is_kept; /* mail of others alone: what is refused of that holds up nothing of our own */
    struct out_messages shorts, longs;
    struct out_messages again; /* mail that was refused for now */
    size_t n_messages;         /* those being stored included */
    struct out_parcels parcels;
    unsigned n_parcels, n_long;
    size_t bytes, long_bytes; /* of parcels */
    bool long_turn;
    int64_t srtt_us, rttvar_us; /* srtt < 0: unmeasured */
    struct mono measured;
    int64_t store_us;    /* how much longer than a round trip a completion takes */
    uint32_t loss;       /* share of packets lost, in 2^-16 */
    unsigned loss_seen;  /* packets that it was measured by, as far as they count */
    uint32_t loss_long;  /* the same, over more of them */
    uint32_t loss_floor; /* of it, what is none of our doing */
    struct out_trial trial;
    struct path_silence silence; /* the ways that nothing came of */
    struct out_silent {          /* the latest of those paths, while it may be used; or none */
        struct path *path;
        uint32_t id;
        uint16_t packets;
    } silent;
    bool keyed;
    int64_t epoch;
    uint64_t stamp; /* sequence of the descriptor that the keys are from */
    uint8_t routing_key[KEY_LEN];
    bool unreachable;
    enum outbox_why why; /* it is; or it had no memory, when it last ran */
    struct mono resume;  /* unreachable, no memory, egress full or the store failed: not before */
    struct mono tried;   /* last attempt while unreachable or silent */
    struct mono draw_after; /* a further path could not be had: not tried before */
    int64_t retry_us;
    /* The recipient has no room: nothing is gathered before `rest_until` (of mail, nothing that was
     * refused before); each time in a row it is longer. */
    struct mono rest_until;
    int64_t rest_us;
    struct mono idle_since;
    struct mono away_since; /* MONO_NEVER: it is there */
    struct out_mail *mail;  /* NULL: nothing of it was to be left in mailboxes */
    size_t n_kept;          /* mails of others that we keep for it, and their bytes */
    uint64_t kept_bytes;
    unsigned n_slots;
    struct out_slot slots[];
};
TAILQ_HEAD(out_flows, out_flow);

#define OUTBOX_TOKENS 16 /* confirmations remembered: each comes twice */
struct out_box {         /* a mailbox of a recipient's */
    uint64_t prefix;
    struct mono due; /* not before */
    unsigned tries;
    struct out_deposit *deposit; /* under way; one at a time */
};
struct out_mail {
    struct out_box boxes[DESCRIPTOR_MAILBOXES_MAX];
    unsigned n;
};
enum out_deposit_state { OUT_MAIL_READING, OUT_MAIL_SEALED };
struct out_deposit { /* messages on their way to a mailbox */
    TAILQ_ENTRY(out_deposit) link;
    struct out_flow *flow; /* NULL: dropped, waits for the last read */
    struct out_box *box;
    enum out_deposit_state state;
    struct message_id *ids;
    uint32_t *places, *lengths; /* in the plaintext, while it is read */
    size_t n;
    struct wall expires;
    uint32_t day;
    uint8_t key[KEY_LEN]; /* the recipient's mail key of that day */
    uint8_t *bytes;       /* plaintext, then the mail */
    size_t length, charged;
    unsigned reads, tries;
    bool spoiled;
    uint8_t token[MAIL_TOKEN_LEN];
    /* Being sent: */
    uint8_t *shards; /* NULL: not just now */
    struct mail_cut cut;
    uint8_t id[PARCEL_ID_LEN];
    unsigned next; /* shard */
    struct path *paths[2];
    struct mono send_at;
};
TAILQ_HEAD(out_deposits, out_deposit);

enum out_op_kind {
    OUT_OP_PUT,
    OUT_OP_STATE,
    OUT_OP_PROGRESS,
    OUT_OP_READ,
    OUT_OP_READ_LOCAL,
    OUT_OP_FIND,
    OUT_OP_READ_MAIL,
    OUT_OP_DEPOSIT,
    OUT_OP_LOAD,
    OUT_OP_READDRESS
};
struct out_op { /* a store operation under way; its address is the cookie */
    TAILQ_ENTRY(out_op) link;
    enum out_op_kind kind;
    bool wait, trace, cancel, client_gone;
    uint64_t client;
    struct message_id id;
    struct out_message *message; /* PUT: made in advance; STATE */
    uint8_t *body;               /* PUT: `charged` to BUDGET_CLIENTS; NULL: a file */
    size_t charged;              /* PUT */
    char *notice;                /* PUT */
    struct out_batch *batch;     /* PUT: one of many */
    struct out_parcel *parcel;   /* READ */
    size_t item;                 /* READ, READ_MAIL */
    struct out_deposit *deposit; /* READ_MAIL */
    uint64_t tag;                /* DEPOSIT */
    int error;                   /* DEPOSIT, once it is done */
    struct out_move *move;       /* READDRESS */
};
TAILQ_HEAD(out_ops, out_op);

struct out_moved { /* where a message goes, and where from: both kept alive by its being counted
                      there */
    struct out_flow *from, *to;
};
struct out_move { /* messages that belong to no flow while the store gives them another recipient */
    struct trust_report trust;
    struct out_conversation *to;
    size_t n, charged;
    struct readdress_item *items; /* borrowed by the store */
    struct out_moved *moved;
};

struct out_conversation { /* never freed before the outbox */
    struct table_link by_recipient;
    struct node_id recipient;
    uint64_t sequence; /* 0: nothing was ever written to it */
    uint64_t n_pending;
    int64_t srtt_us, rttvar_us; /* when last measured; 0: never */
};

struct out_refusal { /* why something is not accepted */
    enum answer_code code;
    char text[192];
};

struct out_batch { /* a REQUEST_PUSH_MANY: its puts are under way, or its end is waited for */
    TAILQ_ENTRY(out_batch) link;
    uint64_t client;
    bool gone, wait;
    bool routed;  /* there was a route for one of them: the others want the same, now */
    bool stopped; /* one was not even submitted */
    bool broken;  /* one was refused, so none behind it is accepted */
    size_t submitted, settled, watched, used;
    struct many_report report;
    struct out_refusal refusal;
    char notice[128];
    size_t charged;
    struct out_watcher watchers[]; /* with wait: one each */
};
TAILQ_HEAD(out_batches, out_batch);
enum out_local_stage { OUT_LOCAL_NONE = 0, OUT_LOCAL_READING, OUT_LOCAL_READY, OUT_LOCAL_HANDED };

struct outbox {
    struct outbox_config config;
    struct outbox_counters counters;
    struct node_id self;
    struct table messages, conversations, flows, parcels;
    struct out_messages all, cached, unstored, locals;
    /* What was owed when we stopped and is not read yet; meanwhile what is pushed waits, being
     * younger. */
    struct {
        bool is_needed, is_under_way;
        int64_t after, until;
        uint64_t left;
        struct mono due;
        struct out_messages late;
    } load;
    size_t n_messages, n_putting, n_files; /* files: those being put included */
    struct out_batches batches;
    size_t n_batches;
    uint64_t n_pending;
    struct out_flows all_flows, run, unready;
    struct mono ready_at; /* when to do something for them */
    bool is_expected_now; /* one of them in this step: what the step is for goes first */
    struct out_watchers all_watchers;
    struct timers timers;
    size_t n_flows;
    struct out_ops ops;
    struct mono expires_first; /* no message expires before */
    struct wall base;          /* what was owed was owed for so long: until then, */
    bool aged;                 /* or until now */
    struct mono expiry_check, expiry_checked;
    struct mono state_retry; /* of `unstored` */
    int64_t state_retry_us;
    struct parcel_keys *keys;
    struct mono keys_check;           /* when keys of a past epoch are to be wiped */
    uint8_t (*receipt_keys)[KEY_LEN]; /* locked */
    uint32_t *free_keys;
    uint32_t n_free_keys;
    unsigned packets_left;            /* in this tick */
    const struct out_parcel *sending; /* is not given up just now */
    /* Mail: what we leave with others, and what we keep for them. */
    struct out_deposits deposits;
    unsigned n_deposits;
    struct mono mail_scan; /* when recipients are next looked through */
    uint8_t tokens[OUTBOX_TOKENS][MAIL_TOKEN_LEN];
    unsigned next_token;
    struct out_ops deposited; /* to be told of */
    uint64_t n_kept, kept_bytes;
    /* Of memory, for mail and its flows; how much of it is charged: not what was there at the start
     * beyond its part of limits.memory. */
    size_t kept_memory, kept_charged;
    /* The block for ourselves that is on its way, one at a time. */
    enum out_local_stage local_stage;
    struct out_message *local; /* NULL though a stage runs: it was cancelled meanwhile */
    struct message_id local_id;
    uint8_t *local_bytes;
    uint32_t local_length;
    struct mono local_retry;
    int64_t local_retry_us;
};

#endif
