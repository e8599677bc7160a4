/* The store's twin in memory, for the simulator: the same operations with the same results,
 * commits that take virtual time, fail on demand, and are forgotten by a crash.
 * tests/unit/store/test_store_model.c holds it to the real one. */
#ifndef P2PD_MODEL_STORE_H
#define P2PD_MODEL_STORE_H

#include "daemon/core/node/node.h"

struct model_store;

/* A commit takes 0.1 to 50 ms, drawn from `random` (copied). Running out of memory ends the
 * simulation. */
struct model_store *model_store_new(const struct core_random *random);
void model_store_free(struct model_store *ms);

/* Queue an operation; all that it needs is copied. Operations of the same instant share a
 * commit, as do those that wait while another is under way. */
void model_store_apply(struct model_store *ms, const struct store_op *op, struct mono now);
/* When model_store_collect will have something. MONO_NEVER: nothing is under way. */
struct mono model_store_next(const struct model_store *ms);
/* Take up to `max` results that are due, in order. What they point to stays until the next
 * collect, crash or free. */
size_t model_store_collect(struct model_store *ms, struct mono now,
                           struct store_result *ret_results, size_t max);

/* After `skip` more commits, the next n fail with `error` (a negative errno) and change nothing. */
void model_store_fail(struct model_store *ms, unsigned skip, unsigned n, int error);
/* Forget what was not committed, and every result not collected. The commit under way is lost
 * or, as often, durable without anybody having been told: both happen to a process that dies. */
void model_store_crash(struct model_store *ms);
/* What a node finds at its start; borrowed until the next boot or free. */
void model_store_boot(struct model_store *ms, struct node_boot *ret_boot);
/* The same with n (1 or more) of the messages that are owed: the rest is to be asked for. */
void model_store_boot_first(struct model_store *ms, size_t n, struct node_boot *ret_boot);

/* A client's upload: a file of this name in the spool, until a message takes it over. A crash
 * clears it away. */
void model_spool_put(struct model_store *ms, const char *name, const void *bytes, uint64_t size);

/* Every message and file ever completed and not swept, in order of completion; body is NULL where
 * only the tombstone is left. */
void model_store_visit(const struct model_store *ms,
                       void (*visit)(void *context, enum message_kind kind,
                                     const struct in_record *message),
                       void *context);
/* Every outbound message that is still held. */
void model_store_visit_outs(const struct model_store *ms,
                            void (*visit)(void *context, const struct out_record *record,
                                          const uint8_t *body),
                            void *context);
/* How many messages were ever completed. */
uint64_t model_store_count(const struct model_store *ms);
/* Bytes of messages received, whole ones and parts. */
uint64_t model_store_held(const struct model_store *ms);
/* Bytes of files that were read for sending. */
uint64_t model_store_read(const struct model_store *ms);

#endif
