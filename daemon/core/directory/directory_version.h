/* Which versions of a node count in a directory, and when: proofs against whoever signed two of one
 * sequence, keys that have yet to settle, the pace at which versions are taken. Threat: see
 * directory_version.c. */
#ifndef P2PD_DIRECTORY_VERSION_H
#define P2PD_DIRECTORY_VERSION_H

#include "daemon/core/base/limits.h"
#include "daemon/core/directory/directory.h"
#include "daemon/core/directory/directory_proof.h"

/* A node is routed through once we have held its keys unchanged for so long: by then everybody has
 * the same ones, or whoever gave each of us others is found out. Twice as long for each time that
 * they were changed again within two epochs, beyond the first; and longer by some intervals of a
 * node's pace, unless they are the first that we know of it and nobody showed us an older version
 * with others. */
#define DIRECTORY_SETTLE_US (3 * US_PER_S)
#define DIRECTORY_SETTLE_DOUBLINGS 7
#define NEWS_HOPS                                                                                  \
    3 /* intervals: a network of neighbours drawn at random is some three links wide */

/* A proof from anyone, before its signatures are paid for: NEWS if it would convict a node that we
 * know, or goes on where the proof that is held is about to end; OLD if it would change nothing. */
enum directory_outcome directory_weigh_proof(const struct directory *directory,
                                             const uint8_t bytes[PROOF_LEN], struct wall wall,
                                             enum drop *ret_drop);
/* The same with its signatures, and it is held. */
enum directory_outcome directory_take_proof(struct directory *directory,
                                            const uint8_t bytes[PROOF_LEN], struct wall wall,
                                            enum drop *ret_drop);
/* Somebody against whom a proof came or was found that has not been told to others; false: nobody.
 * Beyond a few at once digests tell. */
bool directory_next_proof(struct directory *directory, uint64_t *ret_prefix);
/* The proof (PROOF_LEN) that is held against a node. NULL: none is. */
const uint8_t *directory_proof(const struct directory *directory, uint64_t prefix);
/* How many nodes have been convicted so far; and whether somebody has shown two versions of one
 * sequence of ourselves: then our identity is in use twice, and others do not route through us
 * until those keys have ended. */
uint64_t directory_convictions(const struct directory *directory);
bool directory_is_doubled(const struct directory *directory, struct wall wall);
/* When may the next version of this live entry be asked for? Not in the future: at once. */
struct mono directory_version_due(const struct directory *directory,
                                  const struct directory_entry *entry, struct mono now);
/* May a version that comes in a handshake be taken? It leaves a token for what others tell of. */
bool directory_takes_handed(const struct directory *directory, uint64_t prefix, struct mono now);
/* Would it matter whether there is an older version than the one held: are its keys the first that
 * we know, and have yet to settle? */
bool directory_is_first(const struct directory *directory, uint64_t prefix);
/* Such an older one is shown, or one of the same sequence and a lesser tag, and decodes to this: if
 * it has other keys, others may have those, and the ones held do not count as the first. Only then
 * is its signature paid for, once a node. DROP_NONE, or what is wrong with it. */
enum drop directory_show_older(struct directory *directory, const uint8_t *bytes, size_t length,
                               const struct descriptor *descriptor, struct now now);
/* Let those be routed through whose keys have been held for long enough. Call at each step, before
 * paths are drawn. */
void directory_settle(struct directory *directory, struct mono now);
/* Has anybody yet to settle? A target whose keys were changed is none to wait for. */
bool directory_is_settling(const struct directory *directory, uint64_t target);
/* When there may be one that has; MONO_NEVER: nobody is unsettled. */
struct mono directory_settle_due(const struct directory *directory);
/* Will there be more than `n` relays in the network once those have settled that have not yet?
 * Looks at all; false if none has to. */
bool directory_relays_settling(const struct directory *directory, size_t n);

#endif
