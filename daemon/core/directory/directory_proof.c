/* Threat: see directory_proof.h. */
#include "daemon/core/directory/directory_proof.h"

#include "daemon/core/base/wirebuf.h"

#include <assert.h>

void proof_seal(const uint8_t *bytes, size_t length, const struct descriptor *descriptor,
                struct descriptor_seal *ret_seal) {
    ret_seal->until = descriptor->first_epoch + descriptor->n_epochs;
    descriptor_hash(bytes, length, ret_seal->hash);
    memcpy(ret_seal->signature, bytes, SIGNATURE_LEN);
}

static void put_seal(struct wire_writer *w, const struct descriptor_seal *seal) {
    wire_put_uint(w, seal->until, 4);
    wire_put(w, seal->hash, DESCRIPTOR_HASH_LEN);
    wire_put(w, seal->signature, SIGNATURE_LEN);
}

static void get_seal(struct wire_reader *r, struct descriptor_seal *seal) {
    seal->until = (uint32_t)wire_get_uint(r, 4);
    wire_get(r, seal->hash, DESCRIPTOR_HASH_LEN);
    wire_get(r, seal->signature, SIGNATURE_LEN);
}

void proof_write(const struct node_id *id, uint64_t sequence, const struct descriptor_seal *a,
                 const struct descriptor_seal *b, uint8_t ret_bytes[PROOF_LEN]) {
    struct wire_writer w = wire_writer(ret_bytes, PROOF_LEN);
    int order = memcmp(a->hash, b->hash, DESCRIPTOR_HASH_LEN);

    assert(order != 0);
    wire_put(&w, id->bytes, NODE_ID_LEN);
    wire_put_uint(&w, sequence, 8);
    put_seal(&w, order < 0 ? a : b);
    put_seal(&w, order < 0 ? b : a);
    assert(!w.failed && wire_room(&w) == 0);
}

enum drop proof_read(const uint8_t bytes[PROOF_LEN], struct proof *ret_proof) {
    struct wire_reader r = wire_reader(bytes, PROOF_LEN);

    wire_get(&r, ret_proof->id.bytes, NODE_ID_LEN);
    ret_proof->sequence = wire_get_uint(&r, 8);
    get_seal(&r, &ret_proof->seals[0]);
    get_seal(&r, &ret_proof->seals[1]);
    if (ret_proof->seals[0].until > EPOCH_MAX || ret_proof->seals[1].until > EPOCH_MAX)
        return DROP_MALFORMED; /* no descriptor has such keys */
    return memcmp(ret_proof->seals[0].hash, ret_proof->seals[1].hash, DESCRIPTOR_HASH_LEN) < 0
               ? DROP_NONE
               : DROP_MALFORMED;
}

enum drop proof_verify(const struct proof *proof) {
    for (unsigned i = 0; i < 2; i++)
        if (descriptor_seal_verify(&proof->seals[i], &proof->id, proof->sequence) != DROP_NONE)
            return DROP_AUTH;
    return DROP_NONE;
}

uint32_t proof_until(const struct proof *proof) {
    uint32_t a = proof->seals[0].until, b = proof->seals[1].until;

    return a > b ? a : b;
}
