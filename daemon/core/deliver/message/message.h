/* Messages on their way out, as the ledger, the sender and the depot see them: what a message is,
 * how it is cut into blocks, which of its blocks are left to send, and where it waits. Each part of
 * struct message names the room that writes it; the others read it.
 *
 * struct messages is what these rooms share of all messages in memory: the index by id, the bodies
 * that are kept in memory until they are sealed, and what messages and their recipients are
 * charged.
 *
 * Threat: clients and depositors decide how many messages there are. Bodies are charged to
 * BUDGET_OUTBOX and are the first to go when memory is short, since the store has them. A message
 * and its recipient are charged to BUDGET_MESSAGES, those of mail of others to BUDGET_KEPT: its
 * senders are nobody whom we could charge. None of these can go before the message is final, and
 * conversations (BUDGET_CONVERSATIONS) never: so whoever accepts a message asks for room before,
 * and whom we once wrote to does not keep messages to others out. */
#ifndef P2PD_MESSAGE_H
#define P2PD_MESSAGE_H

#include "daemon/core/base/budget.h"
#include "daemon/core/base/limits.h"
#include "daemon/core/base/table.h"
#include "daemon/core/seam/store.h"
#include "daemon/core/seam/types.h"
#include "daemon/core/wire/parcel.h"

#include <sys/queue.h>

struct conversation;
struct recipient;
struct watcher;

/* In which queue a message stands: it has one link for all of them. From one queue to the next it
 * passes through MESSAGE_NOWHERE (asserted by message_move()). */
enum message_place {
    MESSAGE_NOWHERE = 0,
    MESSAGE_LATE,     /* the ledger's: pushed before all that is older was read */
    MESSAGE_SHORT,    /* its recipient's: goes whole, with others in a parcel */
    MESSAGE_LONG,     /* its recipient's: goes block by block, each in a parcel */
    MESSAGE_AGAIN,    /* its recipient's: mail that was refused for now */
    MESSAGE_LOCAL,    /* the loopback's: is for ourselves */
    MESSAGE_UNSTORED, /* the ledger's: its final state could not be stored */
    MESSAGE_PLACES
};

struct message {
    struct table_link by_id;
    TAILQ_ENTRY(message) all;    /* among the ledger's */
    TAILQ_ENTRY(message) queue;  /* in the queue that `place` says */
    enum message_place place;    /* written by message_move() alone */
    TAILQ_ENTRY(message) cached; /* while it has a body */

    /* The ledger's. */
    struct message_id id;
    struct conversation *conversation; /* NULL: KIND_MAIL */
    uint64_t sequence;
    struct wall created, expires, finished;
    struct mono deadline; /* when it expires, by the monotonic clock */
    uint64_t size;
    enum message_kind kind;
    enum message_state state;
    const char *reason;
    uint8_t shards_k; /* shards of each of its parcels; 0: as many as it takes */
    bool was_pending; /* it was pending when we stopped */
    bool withdrawn;   /* its batch was refused and no client was told of it: the store forgets it */
    unsigned n_watchers;
    TAILQ_HEAD(watchers, watcher) watchers;

    /* The sender's, or the loopback's if it is for ourselves. */
    struct recipient *recipient; /* NULL: to ourselves, or nobody sends it just now */
    bool arrived;   /* it goes whole, and the parcel that held it was confirmed: it is in none */
    bool unbatched; /* it was part of a refused parcel, and is sent in a parcel of its own, to learn
                       whether it was meant */
    bool refused;   /* refused for now: one block at a time asks whether that is over */

    /* Written by message_plan() and message_confirm() alone. */
    uint64_t next_block, blocks_left;
    uint64_t confirmed; /* bytes that the recipient has said to have */
    uint64_t progress;  /* the store was told: all below this offset is confirmed */
    struct mono progress_at;

    /* The depot's. */
    uint8_t mailed; /* bit i: the recipient's mailbox number i keeps it */

    /* Written by messages_keep_body() and messages_drop_body() alone. */
    uint8_t *body; /* a copy of a small body; NULL: to be read from the store */

    struct file_head file[]; /* KIND_FILE: one */
};
TAILQ_HEAD(message_queue, message);

struct messages {
    struct table by_id;
    struct budget *budget;
    struct message_queue cached; /* those with a body, the oldest first */
    size_t n_files;              /* those being put included */
    /* Memory of our own messages and their recipients, of conversations, and of others' mail. */
    struct budget_part own, conversations, kept;
};

/* ---- All of them ---- */
int messages_init(struct messages *messages, const struct core_random *random,
                  struct budget *budget);
void messages_deinit(struct messages *messages);
/* limits.memory has changed. */
void messages_refit(struct messages *messages);
struct message *messages_find(const struct messages *messages, const struct message_id *id);
void messages_add(struct messages *messages, struct message *message);
void messages_remove(struct messages *messages, struct message *message);

/* Keep `body` (of the message's size, allocated) with the message, if there is memory for it. True:
 * it is the message's now. */
bool messages_keep_body(struct messages *messages, struct message *message, uint8_t *body);
void messages_drop_body(struct messages *messages, struct message *message);
/* Drop the oldest body. False: there is none. */
bool messages_evict_body(struct messages *messages);

/* ---- One of them ---- */
/* What one takes of memory. */
size_t message_size(enum message_kind kind);
/* A message that is in no table and no queue yet. NULL: no memory. */
struct message *message_new(struct messages *messages, const struct out_record *record,
                            struct conversation *conversation);
/* Free a message that is in no table and no queue; takes NULL. */
void message_free(struct messages *messages, struct message *message);

/* The largest block that fits into k shards (0: into as many as it takes). It must never change, or
 * a restart would cut messages into other blocks. */
uint32_t message_block_max(unsigned k, enum message_kind kind);
/* Bytes of items that fit into a parcel of k shards; 0: of as many as it takes. */
size_t message_items_max(unsigned k);
/* The size of its blocks: one goes into a parcel. */
uint32_t message_block_size(const struct message *message);
/* Is it sent block by block, behind those that are sent whole? Files are, whatever their size: a
 * block of a file is alone in its parcel. */
bool message_is_long(const struct message *message);
/* The bytes that a block of it takes in a parcel, and the block as an item. */
size_t message_item_length(const struct message *message, uint32_t length);
struct parcel_item message_item(const struct message *message, uint64_t offset, uint32_t length);
/* Why a read failed for good; NULL: it may succeed later. */
const char *message_lost_words(const struct message *message, int error);

/* How many mailboxes have said that they keep it. */
unsigned message_mailboxes(const struct message *message);

/* Plan to send all of it but what lies below `progress`. If all was confirmed, and only the final
 * state was not stored, the last block is sent again. */
void message_plan(struct message *message, uint64_t progress);
/* As if it was never sent: all that the rooms noted of its sending is forgotten. */
void message_renew(struct message *message);
/* One more block is put into a parcel; one more, of so many bytes, is confirmed. True: that was the
 * last one. */
void message_next_block(struct message *message);
bool message_confirm(struct message *message, uint32_t length);
/* Should the store be told how much is confirmed? Not for every block. */
bool message_has_progressed(const struct message *message, struct mono now);
/* Note that the store is told that all below this offset is confirmed. False: it is too little. */
bool message_note_progress(struct message *message, uint64_t below, struct mono now);

/* Note the queue that it goes to; the caller has taken it from the other one. */
void message_move(struct message *message, enum message_place place);
/* Put it into a queue: a file at the end, anything else before the files. */
void message_queue_insert(struct message_queue *queue, struct message *message);

#endif
