/* Which versions of a node count in a directory, and when: proofs against whoever signed two of one
 * sequence, keys that have yet to settle, the pace at which versions are taken. Threat: see
 * directory_version.c. */
#ifndef P2PD_DIRECTORY_VERSION_H
#define P2PD_DIRECTORY_VERSION_H

#include "daemon/core/base/limits.h"
#include "daemon/core/directory/directory.h"
#include "daemon/core/directory/directory_proof.h"

/* A node is routed through once we have held its keys unchanged for so long: by then everybody has
 * the same ones, or the node that gave out different ones is found out. From the third set of keys
 * within two epochs on, each takes twice as long as the one before, until the time has been doubled
 * DIRECTORY_SETTLE_DOUBLINGS times. NEWS_HOPS intervals of a reached node's pace are added, unless
 * the keys are the first that we know of the node and nobody showed us an older version with
 * others. */
#define DIRECTORY_SETTLE_US (3 * US_PER_S)
#define DIRECTORY_SETTLE_DOUBLINGS 7
#define NEWS_HOPS                                                                                  \
    3 /* intervals: a network of neighbours drawn at random is some three links wide */

/* Judge a proof that came from anyone, without checking its signatures. NEWS: it would convict a
 * node that we know, or outlast the proof held against it, which is about to end. OLD: it would
 * change nothing. BAD: see *ret_drop. */
enum directory_outcome directory_weigh_proof(const struct directory *directory,
                                             const uint8_t bytes[PROOF_LEN], struct wall wall,
                                             enum drop *ret_drop);
/* The same, and check the signatures of one that is NEWS: if they are good, it is held. */
enum directory_outcome directory_take_proof(struct directory *directory,
                                            const uint8_t bytes[PROOF_LEN], struct wall wall,
                                            enum drop *ret_drop);
/* Take the prefix of a node against which a proof came or was found that gossip has yet to send.
 * False: there is none. Of more than 64 at once the rest reaches others by digests. */
bool directory_next_proof(struct directory *directory, uint64_t *ret_prefix);
/* The proof (PROOF_LEN) that is held against a node. NULL: none is. */
const uint8_t *directory_proof(const struct directory *directory, uint64_t prefix);
/* How many proofs against nodes have been taken so far; and whether somebody has shown one against
 * ourselves: then our identity is in use twice, and others do not route through us until those keys
 * have ended. */
uint64_t directory_convictions(const struct directory *directory);
bool directory_is_doubled(const struct directory *directory, struct wall wall);
/* When may the next version of this live entry be asked for? A time that has passed: at once. */
struct mono directory_version_due(const struct directory *directory,
                                  const struct directory_entry *entry, struct mono now);
/* May a version that comes in a handshake be taken? Only if that leaves a token for one that others
 * announce. */
bool directory_takes_handed(const struct directory *directory, uint64_t prefix, struct mono now);
/* Would it matter whether there is an older version than the one held: are the node's keys the
 * first that we know, and have they yet to settle? */
bool directory_is_first(const struct directory *directory, uint64_t prefix);
/* A neighbour shows such an older version, or one of the same sequence and a lesser tag, which
 * decodes to `descriptor`. If its keys are others, somebody may have those, so the keys held do not
 * count as the first any more. Only in that case, or if the sequence is the same, is its signature
 * checked. DROP_NONE, or what is wrong with the version. */
enum drop directory_show_older(struct directory *directory, const uint8_t *bytes, size_t length,
                               const struct descriptor *descriptor, struct now now);
/* Let routes go through the nodes whose keys have been held for long enough. Call at each step,
 * before paths are drawn. */
void directory_settle(struct directory *directory, struct mono now);
/* Have the keys of any node yet to settle? Not counted is `target` if its keys were merely changed:
 * no route has to go through it. */
bool directory_is_settling(const struct directory *directory, uint64_t target);
/* When the keys of the next node may have settled; MONO_NEVER: none has to. */
struct mono directory_settle_due(const struct directory *directory);
/* Are there relays in the network whose keys have yet to settle, and will there be more than `n`
 * relays once they have? Looks at all live entries. */
bool directory_relays_settling(const struct directory *directory, size_t n);

#endif
