/* Proofs against an identity of which there never were two descriptors: of whatever hashes, as only
 * its owner can make them. */
#ifndef P2PD_PROOF_RIG_H
#define P2PD_PROOF_RIG_H

#include "daemon/core/base/wirebuf.h"
#include "daemon/core/directory/directory_proof.h"

static inline void rig_proof(const struct identity *identity, uint32_t until,
                             uint8_t ret_proof[PROOF_LEN]) {
    static const char label[] = "p2pd descriptor 2";
    uint8_t message[sizeof label - 1 + 8 + 4 + DESCRIPTOR_HASH_LEN];
    struct descriptor_seal seals[2];

    for (unsigned i = 0; i < 2; i++) {
        struct wire_writer w = wire_writer(message, sizeof message);
        seals[i].until = until;
        memset(seals[i].hash, (int)(2 * until + i), DESCRIPTOR_HASH_LEN);
        wire_put(&w, label, sizeof label - 1);
        wire_put_uint(&w, 1, 8);
        wire_put_uint(&w, until, 4);
        wire_put(&w, seals[i].hash, DESCRIPTOR_HASH_LEN);
        identity_sign(identity, message, sizeof message, seals[i].signature);
    }
    proof_write(identity_id(identity), 1, &seals[0], &seals[1], ret_proof);
}

#endif
