/* Threads that compute for the node: its third capability (struct core_compute). They take items of
 * one array at a time, beside the caller, who takes items too and returns when all are done; so
 * they are never waited for before there is work, and what they have not begun the caller does
 * itself.
 *
 * They are for bursts: a lone packet is done by the caller at once, and where the processors are
 * busy with others, so that those who were called come too late, they are called ever less often.
 * Not for anything that waits or locks. */
#ifndef P2PD_WORKERS_H
#define P2PD_WORKERS_H

#include "daemon/core/base/base.h"

struct workers;

/* `threads` in all, the caller's included, made when there is enough to do for the first time.
 * NULL: no memory. Where a thread cannot be had there are fewer. */
struct workers *workers_new(unsigned threads);
/* Takes NULL. */
void workers_free(struct workers *workers);
/* How many threads compute, the caller's included. */
unsigned workers_count(const struct workers *workers);
/* The capability; for one thread, the workers' life. */
struct core_compute workers_compute(struct workers *workers);
/* Processors that this process may use, 8 at most: daemon.threads' default. */
unsigned workers_default(void);

struct workers_counters {
    uint64_t calls;  /* computations long enough to be shared */
    uint64_t shared; /* in which a thread besides the caller did something */
    uint64_t wakes;  /* threads woken up */
};
void workers_counters(const struct workers *workers, struct workers_counters *ret_counters);

#endif
