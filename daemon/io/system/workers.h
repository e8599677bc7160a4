/* Threads that compute for the node: its third capability (struct core_compute). They take items of
 * one array at a time, beside the caller, who takes items too and returns when all are done. So the
 * caller never waits for a thread to begin: what no thread has begun it computes itself.
 *
 * The threads are for bursts: a lone packet is computed by the caller at once. Where the processors
 * are busy with other processes, so that woken threads come too late, they are woken ever less
 * often. Not for work that waits or locks. */
#ifndef P2PD_WORKERS_H
#define P2PD_WORKERS_H

#include "daemon/core/base/base.h"

struct workers;

/* Make workers for `threads` threads in all, the caller's included; the threads are made when there
 * is enough work for the first time. NULL: no memory. If some threads cannot be made, there are
 * fewer. */
struct workers *workers_new(unsigned threads);
/* Takes NULL. */
void workers_free(struct workers *workers);
/* How many threads compute, the caller's included. */
unsigned workers_count(const struct workers *workers);
/* The capability to hand to the node, valid as long as the workers. Only one thread may use it. */
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
