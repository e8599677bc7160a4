/* Where the rooms put what they want done: one collector a node, emptied by every step. It
 * knows nothing of rooms. */
#ifndef P2PD_EFFECTS_H
#define P2PD_EFFECTS_H

#include "daemon/core/base/limits.h"
#include "daemon/core/seam/answer.h"
#include "daemon/core/seam/store.h"

struct effects;

struct effects *effects_new(void);
void effects_free(struct effects *effects);
/* Begin a step: what the last one put out is gone, scratch memory included. */
void effects_clear(struct effects *effects);

/* What it takes of memory at the end of a step, scratch memory included. */
size_t effects_memory(const struct effects *effects);
/* A step has so many datagrams at most (EFFECTS_DATAGRAMS_MAX if not said). */
void effects_bound(struct effects *effects, size_t n);

/* A buffer of DATAGRAM_LEN bytes for a datagram that may go out: it is queued by effects_send(), or
 * given back by effects_buffer_back(); what is neither goes with the step. NULL: too many this step
 * (effects_bound()), or no memory; the caller drops and counts. */
uint8_t *effects_buffer(struct effects *effects);
void effects_buffer_back(struct effects *effects, uint8_t *buffer);
/* It goes out to `remote` from `local` at the end of the step, behind those queued before; until
 * then it may be written to. */
void effects_send(struct effects *effects, uint8_t *buffer, const struct address *remote,
                  const struct address *local, size_t length);
/* Both at once: a buffer, queued, to fill. NULL: as above. */
uint8_t *effects_datagram(struct effects *effects, const struct address *remote,
                          const struct address *local, size_t length);

/* Queue a store operation for a room: copies the struct and numbers it. What the op points to must
 * stay until its result, which the node hands to `owner` together with `cookie` (the room's own
 * word, opaque here). */
enum store_owner { OWNER_NODE, OWNER_OUTBOX, OWNER_INBOX, OWNER_POOL, OWNER_QUERY };
void effects_store(struct effects *effects, const struct store_op *op, enum store_owner owner,
                   uint64_t cookie);
/* A result came: whose it is. Results come in the order of their operations; false: no such
 * operation is under way. */
bool effects_stored(struct effects *effects, uint64_t tag, enum store_owner *ret_owner,
                    uint64_t *ret_cookie);
/* At the end: the operations whose results will never come, oldest first, until false. */
bool effects_abandon(struct effects *effects, enum store_owner *ret_owner, uint64_t *ret_cookie);

/* Queue an answer; copies the struct. What it points to must stay until the next step:
 * effects_scratch() does. */
void effects_answer(struct effects *effects, const struct answer *answer);
/* An answer of text alone, printf-formatted, which ends the request. */
void effects_answer_text(struct effects *effects, uint64_t client, enum answer_code code,
                         const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Zeroed memory that lives until the next step. NULL: out of memory. */
void *effects_scratch(struct effects *effects, size_t size);

const struct datagram *effects_datagrams(const struct effects *effects, size_t *ret_n);
const struct store_op *effects_ops(const struct effects *effects, size_t *ret_n);
const struct answer *effects_answers(const struct effects *effects, size_t *ret_n);

#endif
