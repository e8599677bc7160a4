/* What the sender's files share: sender.c (life, turns), sender_ack.c (receipts, time-outs),
 * sender_send.c (which shard goes, and over which subflow), sender_queue.c (what waits),
 * sender_parcel.c (gathered, read, sealed), sender_recipient.c (recipients and their keys),
 * sender_path.c (subflows and their paths) and sender_backoff.c (when something is sent again, and
 * to whom nothing is sent for now). Each calls those that stand behind it in this list, and
 * window.h, alone. */
#ifndef P2PD_SENDER_PRIVATE_H
#define P2PD_SENDER_PRIVATE_H

#include "daemon/core/base/backoff.h"
#include "daemon/core/base/timer.h"
#include "daemon/core/deliver/sender/sender_turn.h"
#include "daemon/core/deliver/sender/window.h"
#include "daemon/core/wire/mail.h"

#define SENDER_REST_MIN_US (5 * US_PER_S) /* between tries while the recipient has no room */
#define SENDER_REST_MAX_US (10 * US_PER_MINUTE)
#define SENDER_AGAIN_BYTES                                                                         \
    (1u << 20)                /* so many bytes of refused mail are offered again at a time */
#define SENDER_QUANTUM 32     /* packets a recipient sends before the next one's turn */
#define SENDER_FAST_RESENDS 3 /* time-outs without back-off */
#define SENDER_NO_KEY UINT32_MAX
#define SENDER_CREDIT_ALL UINT32_MAX

struct sender_op { /* a read under way; its address is the cookie */
    uint64_t owner;
    TAILQ_ENTRY(sender_op) link;
    struct sender_parcel *parcel;
    size_t item;
};
TAILQ_HEAD(sender_ops, sender_op);

struct sender_item { /* a block of a message in a parcel; message NULL: it was finished meanwhile */
    struct message *message;
    uint64_t offset;
    uint32_t length;
    uint32_t place; /* in the plaintext */
};

enum shard_state { SHARD_WAITING = 0, SHARD_FLYING, SHARD_ARRIVED };
struct sender_shard {
    struct mono sent;
    uint32_t path;
    uint16_t packet;
    uint8_t subflow, sends, state; /* enum shard_state, written by shard_move() alone */
};

enum parcel_state {
    PARCEL_EMPTY = 0, /* a list of items */
    PARCEL_READING,   /* its plaintext is being read from the store */
    PARCEL_STALE,     /* being read, but an item was taken out meanwhile: to be read again */
    PARCEL_SEALED,    /* ready to leave */
    PARCEL_SENT,      /* its first shards left */
    PARCEL_DROPPED    /* no recipient has it any more: it waits for the last of its reads */
};
struct sender_parcel {
    struct table_link by_id; /* while sealed */
    TAILQ_ENTRY(sender_parcel) link;
    TAILQ_ENTRY(sender_parcel) departed;
    struct recipient *recipient; /* NULL: dropped */
    struct parcel_id id;
    enum parcel_state state; /* written by sender_parcel.c alone, by parcel_move() */
    bool is_long;
    bool was_traced; /* its messages were counted as sent, and their routes reported */
    bool shown;      /* a partial receipt listed its shards */
    bool no_parity;  /* there was no memory for its parity */
    struct sender_item *items;
    size_t n_items;
    struct budget_part *part; /* this and the items are charged to it: */
    size_t memory;
    uint8_t *plain, *sealed;
    size_t size; /* what it counts for in recipient->bytes */
    size_t plain_length, padded_length, charged;
    unsigned reads; /* under way */
    int read_error;
    uint32_t key; /* index into sender->receipt_keys, or SENDER_NO_KEY */
    struct sender_shard *shards;
    size_t length;        /* of a shard */
    uint8_t *parity;      /* computed when the first of it is to be sent */
    unsigned k, m, fresh; /* shards from `fresh` on were never sent */
    unsigned arrived, flying;
    /* Written by sender_backoff.c alone. */
    unsigned timeouts; /* time-outs in a row with no receipt */
    unsigned
        pressed; /* so many of the next time-outs are short: the recipient was told to be retried */
    uint32_t credit;      /* shards that it may send before a receipt comes */
    struct mono deadline; /* when its shards in flight count as lost */
};
TAILQ_HEAD(sender_parcels, sender_parcel);

struct subflow { /* one of the paths to a recipient that are used at the same time; windows.v has
                    its window, which outlives the path */
    struct courier_lane lane; /* lane.way is the way of the path `id`: still known after the path
                                 itself is gone, as long as its packets may be reported. Empty: it
                                 was noted as silent */
    uint32_t id;
    uint16_t packets;
    bool worked;
    struct mono heard; /* when something that was sent over this path was last reported */
};

struct silent_path { /* the latest path over which nothing was reported, kept for copies; or none */
    struct courier_lane lane;
    uint32_t id;
    uint16_t packets;
};

struct recipient {
    struct table_link by_id;
    TAILQ_ENTRY(recipient) all, run, unready;
    struct timer timer;
    struct sender_route route;
    void *attached;
    bool running;
    bool is_unready; /* it is in sender->unready */
    bool long_turn;
    struct message_queue shorts, longs;
    struct message_queue again; /* mail that was refused for now */
    size_t n_messages;          /* those being stored included */
    uint64_t held_bytes;        /* of these */
    struct sender_parcels parcels;
    unsigned n_parcels, n_long;
    size_t bytes, long_bytes; /* of parcels */
    struct windows windows;
    struct path_silence
        silence; /* the ways over which nothing was reported: other paths avoid their relays */
    struct silent_path silent;
    struct mono draw_after; /* no path is drawn before: there was none to be had */
    struct mono idle_since;
    /* Keys. */
    bool keyed;
    int64_t epoch;
    uint64_t stamp; /* sequence of the descriptor that the keys are from */
    uint8_t routing_key[KEY_LEN];
    /* Written by sender_backoff.c alone. */
    bool unreachable;
    enum outbox_why why; /* why it is unreachable, or had no memory, when it last ran */
    struct mono resume;  /* it does not run before: it is unreachable, there is no memory, a link is
                            full, or the store failed */
    struct mono tried;   /* the last try to reach it while it was unreachable or silent */
    struct backoff unreached; /* tries in a row without a path */
    /* The recipient refused something for now: nothing is gathered before `rest_until` (of mail,
     * nothing that was refused); the pause doubles each time in a row. */
    struct mono rest_until;
    int64_t rest_us;
    struct mono kept_turn; /* of what is kept: when it may ask again; MONO_NEVER: it has no turn */
    struct subflow subflows[]; /* as many as there are windows, which lie behind them */
};
TAILQ_HEAD(recipients, recipient);

struct sender {
    struct sender_config config;
    struct sender_counters counters;
    struct node_id self;
    struct table recipients, parcels;
    struct recipients all, run, unready;
    size_t n_recipients;
    struct timers timers;
    struct sender_ops ops;
    struct sender_parcels departed;
    struct sender_outcome *outcomes; /* room for as many as one receipt may bring */
    size_t n_outcomes, next_outcome, outcomes_room;
    struct mono ready_at; /* when something may be computed for the recipients in `unready` */
    bool is_expected_now; /* a recipient was added to `unready` in this step: what the step is for
                             goes first */
    struct parcel_keys *keys;
    struct mono keys_check;           /* when keys of a past epoch are to be wiped */
    uint8_t (*receipt_keys)[KEY_LEN]; /* locked */
    uint32_t *free_keys;
    uint32_t n_free_keys;
    struct mono next_kept_turn; /* of the recipients of what is kept; sender_backoff.c writes it */
    unsigned packets_left;      /* in this tick */
    unsigned rounds_left;
    const struct recipient *round_end;   /* the recipient whose turn ends the round */
    const struct sender_parcel *sending; /* sender_evict() passes it over */
};

/* Give it a turn in the next tick. */
static inline void sender_wake(struct sender *sender, struct recipient *recipient) {
    if (recipient->running)
        return;
    recipient->running = true;
    TAILQ_INSERT_TAIL(&sender->run, recipient, run);
}

/* ---- sender_recipient.c ---- */
struct recipient *sender_recipient_get(struct sender *sender, const struct sender_route *route,
                                       enum sender_hold hold, bool *ret_is_new);
void sender_recipient_free(struct sender *sender, struct recipient *recipient);
/* What recipients of this kind are charged to. */
struct budget_part *sender_part(struct sender *sender, const struct sender_route *route);
/* Something will be sent to it: its keys and a path are computed in idle time, not before `at`; 0:
 * from the next step on. */
void sender_expect(struct sender *sender, struct recipient *recipient, struct mono at);
enum sender_keys { SENDER_NO_KEYS, SENDER_SAME_KEYS, SENDER_OTHER_KEYS };
/* NO_KEYS: the recipient is unknown or has no key for now. */
enum sender_keys sender_keys_refresh(struct sender *sender, struct recipient *recipient,
                                     struct wall wall);
struct parcel_secret *sender_secret(struct sender *sender, const struct recipient *recipient,
                                    struct mono now);

/* ---- sender_path.c ---- */
/* The route that the recipient's paths are drawn by. */
struct path_request sender_path_request(const struct recipient *recipient);
/* Is there a path, or can one be drawn? */
bool sender_has_path(struct sender *sender, struct recipient *recipient, struct now now);
/* Is there a path now, without drawing one? */
bool sender_has_kept_path(struct sender *sender, struct recipient *recipient, struct now now);
/* The subflow that a shard goes over. NULL: none has room just now. */
struct subflow *sender_choose(struct sender *sender, struct sender_parcel *parcel, unsigned index,
                              struct now now);
struct window *sender_window(struct recipient *recipient, const struct subflow *subflow);
void sender_retire(struct recipient *recipient, struct subflow *subflow);
/* Nothing was reported over its path: later paths avoid its relays, and it becomes the silent path.
 */
void sender_note_silent(struct sender *sender, struct recipient *recipient, struct subflow *subflow,
                        struct mono now);
void sender_silent_forget(struct recipient *recipient); /* the kept path; the ways stay noted */
void sender_paths_init(struct recipient *recipient);
void sender_paths_free(struct recipient *recipient);

/* ---- sender_backoff.c: see there ---- */
#include "daemon/core/deliver/sender/backoff_private.h"

/* ---- sender_queue.c, sender_parcel.c ---- */
#include "daemon/core/deliver/sender/parcel_private.h"

/* ---- sender_send.c ---- */
/* Has it a shard to send, if a window is open? */
bool sender_parcel_is_due(const struct sender_parcel *parcel);
/* Send a quantum, as far as windows and this tick allow. 0; -EAGAIN: no more just now;
 * -EINVAL: the recipient's keys; -ENOBUFS, -ENOTCONN, -ENOMEM: later. */
int sender_send(struct sender *sender, struct recipient *recipient, struct now now);

/* ---- sender_ack.c ---- */
void sender_time_out(struct sender *sender, struct recipient *recipient, struct mono now);

#endif
