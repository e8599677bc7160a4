/* What a malicious member does with descriptors: its own in several versions, those of a crowd of
 * identities that it made up. */
#ifndef P2PD_SIM_ADVERSARY_GOSSIP_H
#define P2PD_SIM_ADVERSARY_GOSSIP_H

#include "daemon/core/directory/directory_proof.h"
#include "daemon/core/node/node.h"
#include "tests/sim/sim.h"

struct crowd; /* identities of one member */

struct crowd *crowd_new(struct sim *sim, unsigned n);
void crowd_free(struct crowd *crowd);
/* The next proof against one of them: all of one end, then all of the next, an hour later. */
void crowd_prove(struct crowd *crowd, const struct node *node, uint8_t ret_proof[PROOF_LEN]);
/* The next `n` of them publish through this node, which announces them as any news. */
void crowd_publish(struct crowd *crowd, struct node *node, unsigned n);
bool crowd_has(const struct crowd *crowd, uint64_t prefix);

/* What was shown of others' descriptors. Two of one sequence: true, and the proof. */
struct album;
struct album *album_new(void);
void album_free(struct album *album);
bool album_keep(struct album *album, const uint8_t *bytes, size_t length,
                uint8_t ret_proof[PROOF_LEN]);

/* A descriptor of this node's own as one neighbour gets it: with routing keys that no other
 * neighbour sees, under the same sequence. The same for a neighbour each time. Changed in place. */
void equivocate(const struct node *node, uint64_t neighbour, uint8_t *bytes, size_t length);
/* The same with announcements of it. */
void equivocate_items(const struct node *node, uint64_t neighbour, uint8_t *items, size_t length);

/* A version of this node's own of another sequence (as long on the wire), with the keys that it has
 * or, as equivocate(), with those that this peer alone sees. Returns its length. */
size_t version_for(const struct node *node, uint64_t peer, uint64_t sequence, bool other_keys,
                   uint8_t ret_bytes[DESCRIPTOR_MAX]);
bool version_is_own(const struct node *node, const uint8_t *bytes, size_t length);
/* Announcements that tell of that one instead. Changed in place. */
void version_items(const struct node *node, const uint8_t *descriptor, uint64_t sequence,
                   uint8_t *items, size_t length);

#endif
