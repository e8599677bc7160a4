/* One budget over all queues and tables in memory (limits.memory), charged by holder. At the bound
 * the oldest of the largest evictable holder goes first; what cannot evict refuses. */
#ifndef P2PD_BUDGET_H
#define P2PD_BUDGET_H

#include "daemon/core/base/base.h"

enum budget_holder {
    BUDGET_EGRESS,
    BUDGET_OUTBOX,
    BUDGET_INBOX,
    BUDGET_CLIENTS,
    BUDGET_MAILBOX, /* deposits that are put together, or being stored */
    BUDGET_KEPT, /* what it takes to know of the mail that is kept: nothing that can be evicted */
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

#endif
