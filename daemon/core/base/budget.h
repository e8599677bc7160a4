/* One budget over all queues and tables in memory (limits.memory), charged by holder. At the bound
 * the oldest of the largest evictable holder goes first; what cannot evict refuses. */
#ifndef P2PD_BUDGET_H
#define P2PD_BUDGET_H

#include "daemon/core/base/base.h"

enum budget_holder {
    BUDGET_EGRESS,
    BUDGET_OUTBOX, /* bodies and parcels */
    BUDGET_INBOX,
    BUDGET_CLIENTS,
    BUDGET_MAILBOX, /* deposits that are put together, or being stored */
    /* Nothing of these can be evicted: each has a part of limits.memory (struct budget_part). */
    BUDGET_MESSAGES,      /* our own messages that are not final, and their recipients */
    BUDGET_CONVERSATIONS, /* everybody we ever wrote to */
    BUDGET_KEPT,          /* mail that is kept for others, and its recipients */
    BUDGET_GOSSIP,        /* what neighbours have announced, and we ask for */
    BUDGET_EFFECTS,       /* what leaves with a step, and what it takes to seal that */
    BUDGET_HOLDERS
};

struct budget {
    size_t used, max;
    size_t held[BUDGET_HOLDERS];
    uint64_t evicted[BUDGET_HOLDERS], refused; /* counters */
    /* Give up the oldest thing held; returns false if there is nothing to give. It calls
     * budget_give itself. */
    bool (*evict[BUDGET_HOLDERS])(void *context);
    void *context[BUDGET_HOLDERS];
};

void budget_init(struct budget *budget, size_t max);
/* Charge. Evicts as needed; false if it does not fit all the same, and nothing is charged. */
bool budget_take(struct budget *budget, enum budget_holder holder, size_t bytes);
void budget_give(struct budget *budget, enum budget_holder holder, size_t bytes);

/* Charge only what is free: nobody is evicted for it. */
bool budget_take_free(struct budget *budget, enum budget_holder holder, size_t bytes);
/* Evict until what is used is within the bound again, as far as that goes. */
void budget_trim(struct budget *budget);

/* What a holder cannot evict gets some percent of limits.memory at most, so that the rest of the
 * node runs beside it. What was accepted stays as long as it lives, even if limits.memory was
 * lowered or the store had more at the start: what does not fit is not charged, and nothing more
 * is accepted until there is less. */
struct budget_part {
    struct budget *budget;
    enum budget_holder holder;
    unsigned percent;
    size_t memory, charged; /* held; and how much of it is charged */
};

/* Of an allocation: its header, places in tables and among timers. */
#define BUDGET_HEAP_EXTRA 48u

void budget_part_init(struct budget_part *part, struct budget *budget, enum budget_holder holder,
                      unsigned percent);
/* Is there room for so much more? Evicts others' as needed. */
bool budget_part_has_room(struct budget_part *part, size_t bytes);
/* An allocation of so many bytes, and BUDGET_HEAP_EXTRA, was made or is freed. */
void budget_part_take(struct budget_part *part, size_t bytes);
void budget_part_give(struct budget_part *part, size_t bytes);
/* So much is held now, in all. Nobody is evicted for it: see budget_trim(). */
void budget_part_set(struct budget_part *part, size_t bytes);
/* budget->max has changed. */
void budget_part_refit(struct budget_part *part);

#endif
