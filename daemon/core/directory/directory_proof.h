/* A proof that a node signed two versions of its descriptor with one sequence: what was signed of
 * each, without the descriptors. Pure values.
 *
 * Threat: a proof may come from anyone and takes a node out of all routes, so both signatures are
 * checked before it counts: a node that has not signed two versions cannot be convicted. Two
 * versions make one proof only, to the byte, so that the two ends of a link do not go on exchanging
 * variants. Implements p2pd-protocol(7) DIRECTORY. */
#ifndef P2PD_DIRECTORY_PROOF_H
#define P2PD_DIRECTORY_PROOF_H

#include "daemon/core/wire/identity.h"

/* id(32) sequence(8), then of each version, the smaller hash first: until(4) hash(32)
 * signature(64) */
#define PROOF_LEN (NODE_ID_LEN + 8 + 2 * (4 + DESCRIPTOR_HASH_LEN + SIGNATURE_LEN))

struct proof {
    struct node_id id;
    uint64_t sequence;
    struct descriptor_seal seals[2];
};

/* Make the part of a proof that stands for one version, from a descriptor and its bytes. */
void proof_seal(const uint8_t *bytes, size_t length, const struct descriptor *descriptor,
                struct descriptor_seal *ret_seal);
/* Make a proof of two versions, in either order. Their hashes must differ. */
void proof_write(const struct node_id *id, uint64_t sequence, const struct descriptor_seal *a,
                 const struct descriptor_seal *b, uint8_t ret_bytes[PROOF_LEN]);
/* DROP_NONE or DROP_MALFORMED: no signature is looked at. */
enum drop proof_read(const uint8_t bytes[PROOF_LEN], struct proof *ret_proof);
/* DROP_NONE or DROP_AUTH. Costs two signature checks of 47 us each. */
enum drop proof_verify(const struct proof *proof);
/* The epoch with whose beginning the last key of either version ends. */
uint32_t proof_until(const struct proof *proof);

#endif
