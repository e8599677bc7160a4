/* A proof that a node signed two versions of its descriptor under one sequence: what is signed of
 * either, without the descriptors. Pure values.
 *
 * Threat: it comes from anyone and takes a node out of all routes, so both signatures are checked
 * before it is believed; whoever has not signed two cannot be convicted. It has one form, so that
 * two ends of a link do not go on exchanging it. Implements p2pd-protocol(7) DIRECTORY. */
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

/* What a descriptor that was decoded from these bytes adds to one. */
void proof_seal(const uint8_t *bytes, size_t length, const struct descriptor *descriptor,
                struct descriptor_seal *ret_seal);
/* In either order; the hashes differ. */
void proof_write(const struct node_id *id, uint64_t sequence, const struct descriptor_seal *a,
                 const struct descriptor_seal *b, uint8_t ret_bytes[PROOF_LEN]);
/* DROP_NONE or DROP_MALFORMED: no signature is looked at. */
enum drop proof_read(const uint8_t bytes[PROOF_LEN], struct proof *ret_proof);
/* DROP_NONE or DROP_AUTH. Two checks of 47 us. */
enum drop proof_verify(const struct proof *proof);
/* The epoch in which the last key of either version has ended. */
uint32_t proof_until(const struct proof *proof);

#endif
