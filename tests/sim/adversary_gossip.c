#include "tests/sim/adversary_gossip.h"

#include "daemon/core/base/wirebuf.h"
#include "daemon/core/node/node_private.h"

#include <sodium.h>
#include <stdlib.h>

static const char label[] = "p2pd descriptor 2";
#define LABEL_LEN (sizeof label - 1)
#define MESSAGE_LEN (LABEL_LEN + 8 + 4 + DESCRIPTOR_HASH_LEN)

struct member {
    uint8_t secret[crypto_sign_SECRETKEYBYTES];
    struct node_id id;
    uint64_t sequence;
};
struct crowd {
    struct sim *sim;
    struct member *members;
    unsigned n, next, proofs;
};

static uint8_t *find(uint8_t *bytes, size_t length, const uint8_t *what, size_t size) {
    for (size_t i = 0; i + size <= length; i++)
        if (memcmp(bytes + i, what, size) == 0)
            return bytes + i;
    return NULL;
}

/* What is signed of a descriptor that has just been changed. */
static void write_message(const uint8_t *bytes, size_t length, uint8_t ret[MESSAGE_LEN]) {
    struct wire_writer w = wire_writer(ret, MESSAGE_LEN);
    uint8_t hash[DESCRIPTOR_HASH_LEN];
    struct descriptor descriptor;

    if (descriptor_decode(bytes, length, &descriptor) != DROP_NONE)
        abort();
    descriptor_hash(bytes, length, hash);
    wire_put(&w, label, LABEL_LEN);
    wire_put_uint(&w, descriptor.sequence, 8);
    wire_put_uint(&w, descriptor.first_epoch + descriptor.n_epochs, 4);
    wire_put(&w, hash, sizeof hash);
}

/* ---- Two versions of one node ---- */

void equivocate(const struct node *node, uint64_t neighbour, uint8_t *bytes, size_t length) {
    uint8_t message[MESSAGE_LEN];
    struct descriptor descriptor;

    if (descriptor_decode(bytes, length, &descriptor) != DROP_NONE ||
        !node_id_is_equal(&descriptor.id, node_id(node)))
        return;
    for (unsigned i = 0; i < descriptor.n_epochs; i++) {
        const uint8_t *key = descriptor.routing_keys[i];
        uint8_t *at = find(bytes, length, key, KEY_LEN);
        uint64_t seed[2] = {neighbour, descriptor.first_epoch + i};
        uint8_t secret[KEY_LEN];
        crypto_generichash(secret, sizeof secret, (const uint8_t *)seed, sizeof seed, NULL, 0);
        if (at)
            crypto_scalarmult_base(at, secret);
    }
    write_message(bytes, length, message);
    identity_sign(node->identity, message, sizeof message, bytes);
}

void equivocate_items(const struct node *node, uint64_t neighbour, uint8_t *items, size_t length) {
    uint64_t prefix = node_id_prefix(node_id(node));
    uint8_t bytes[DESCRIPTOR_MAX];
    struct version version;
    size_t size;
    const uint8_t *own = directory_bytes(node->directory, prefix, &size, &version);

    for (size_t at = 0; own && at + GOSSIP_ITEM_LEN <= length; at += GOSSIP_ITEM_LEN) {
        if (memcmp(items + at, node_id(node)->bytes, 8) != 0)
            continue;
        memcpy(bytes, own, size);
        equivocate(node, neighbour, bytes, size);
        memcpy(items + at + GOSSIP_ITEM_LEN - VERSION_TAG_LEN, version_tag(bytes), VERSION_TAG_LEN);
    }
}

/* ---- Versions in a row ---- */

static size_t write_varint(uint64_t value, uint8_t ret[10]) {
    size_t n = 0;

    for (; value >= 0x80; value >>= 7)
        ret[n++] = (uint8_t)(value | 0x80);
    ret[n++] = (uint8_t)value;
    return n;
}

size_t version_for(const struct node *node, uint64_t peer, uint64_t sequence, bool other_keys,
                   uint8_t ret_bytes[DESCRIPTOR_MAX]) {
    uint8_t message[MESSAGE_LEN], held[10], wanted[10], *at;
    struct version version;
    size_t length, n;
    const uint8_t *own =
        directory_bytes(node->directory, node_id_prefix(node_id(node)), &length, &version);

    if (!own)
        abort();
    memcpy(ret_bytes, own, length);
    if (other_keys)
        equivocate(node, peer, ret_bytes, length);
    n = write_varint(version.sequence, held);
    at = find(ret_bytes + SIGNATURE_LEN, length - SIGNATURE_LEN, held, n);
    if (!at || write_varint(sequence, wanted) != n)
        abort();
    memcpy(at, wanted, n);
    write_message(ret_bytes, length, message);
    identity_sign(node->identity, message, sizeof message, ret_bytes);
    return length;
}

bool version_is_own(const struct node *node, const uint8_t *bytes, size_t length) {
    struct descriptor descriptor;

    return descriptor_decode(bytes, length, &descriptor) == DROP_NONE &&
           node_id_is_equal(&descriptor.id, node_id(node));
}

void version_items(const struct node *node, const uint8_t *descriptor, uint64_t sequence,
                   uint8_t *items, size_t length) {
    for (size_t at = 0; at + GOSSIP_ITEM_LEN <= length; at += GOSSIP_ITEM_LEN) {
        if (memcmp(items + at, node_id(node)->bytes, 8) != 0)
            continue;
        struct wire_writer w = wire_writer(items + at + 8, 6);
        wire_put_uint(&w, sequence, 6);
        memcpy(items + at + GOSSIP_ITEM_LEN - VERSION_TAG_LEN, version_tag(descriptor),
               VERSION_TAG_LEN);
    }
}

/* ---- What others signed ---- */

#define ALBUM_MAX 512

struct album {
    struct {
        struct node_id id;
        uint64_t sequence;
        struct descriptor_seal seal;
    } pages[ALBUM_MAX];
    unsigned n;
};

struct album *album_new(void) {
    struct album *album = calloc(1, sizeof *album);
    if (!album)
        abort();
    return album;
}

void album_free(struct album *album) {
    free(album);
}

bool album_keep(struct album *album, const uint8_t *bytes, size_t length,
                uint8_t ret_proof[PROOF_LEN]) {
    struct descriptor descriptor;
    struct descriptor_seal seal;

    if (descriptor_open(bytes, length, &descriptor) != DROP_NONE)
        return false;
    proof_seal(bytes, length, &descriptor, &seal);
    for (unsigned i = 0; i < album->n; i++) {
        if (album->pages[i].sequence != descriptor.sequence ||
            !node_id_is_equal(&album->pages[i].id, &descriptor.id))
            continue;
        if (memcmp(album->pages[i].seal.hash, seal.hash, sizeof seal.hash) == 0)
            return false;
        proof_write(&descriptor.id, descriptor.sequence, &album->pages[i].seal, &seal, ret_proof);
        return true;
    }
    if (album->n < ALBUM_MAX) {
        album->pages[album->n].id = descriptor.id;
        album->pages[album->n].sequence = descriptor.sequence;
        album->pages[album->n++].seal = seal;
    }
    return false;
}

/* ---- Many nodes of one member ---- */

struct crowd *crowd_new(struct sim *sim, unsigned n) {
    struct crowd *crowd = calloc(1, sizeof *crowd);
    if (!crowd || !(crowd->members = calloc(n, sizeof *crowd->members)))
        abort();
    crowd->sim = sim;
    crowd->n = n;
    for (unsigned i = 0; i < n; i++) {
        uint8_t seed[crypto_sign_SEEDBYTES];
        sim_fill(sim, seed, sizeof seed);
        crypto_sign_seed_keypair(crowd->members[i].id.bytes, crowd->members[i].secret, seed);
    }
    return crowd;
}

void crowd_free(struct crowd *crowd) {
    if (crowd)
        free(crowd->members);
    free(crowd);
}

bool crowd_has(const struct crowd *crowd, uint64_t prefix) {
    for (unsigned i = 0; crowd && i < crowd->n; i++)
        if (node_id_prefix(&crowd->members[i].id) == prefix)
            return true;
    return false;
}

/* A descriptor that is right in form: the node's own, under another name. Its address is
 * somebody's. */
static size_t describe(struct crowd *crowd, const struct node *node, struct member *member,
                       uint8_t bytes[DESCRIPTOR_MAX]) {
    struct descriptor descriptor = {.relay = true, .n_addresses = 1};
    uint8_t message[MESSAGE_LEN];
    uint64_t now = (uint64_t)wall_ms(node->now.wall);

    member->sequence = member->sequence >= now ? member->sequence + 1 : now;
    descriptor.sequence = member->sequence;
    descriptor.addresses[0] = crowd->sim->hosts[sim_below(crowd->sim, crowd->sim->n_hosts)].address;
    int length = descriptor_sign(&descriptor, node->identity, node->now.wall, bytes);
    if (length < 0)
        return 0;
    uint8_t *at = find(bytes, (size_t)length, node_id(node)->bytes, NODE_ID_LEN);
    memcpy(at, member->id.bytes, NODE_ID_LEN);
    write_message(bytes, (size_t)length, message);
    crypto_sign_detached(bytes, NULL, message, sizeof message, member->secret);
    return (size_t)length;
}

void crowd_publish(struct crowd *crowd, struct node *node, unsigned n) {
    const struct directory_entry *entry;
    uint8_t bytes[DESCRIPTOR_MAX];
    enum drop drop;

    for (; n > 0; n--) {
        struct member *member = &crowd->members[crowd->next++ % crowd->n];
        size_t length = describe(crowd, node, member, bytes);
        if (length > 0 && directory_offer(node->directory, bytes, length, node->now, &entry,
                                          &drop) == DIRECTORY_NEWS)
            gossip_offer_news(node->gossip, entry->prefix, 0, node->now.mono);
    }
}

void crowd_prove(struct crowd *crowd, const struct node *node, uint8_t ret_proof[PROOF_LEN]) {
    const struct member *member = &crowd->members[crowd->proofs % crowd->n];
    uint32_t hours = crowd->proofs++ / crowd->n % EPOCHS_PUBLISHED,
             until = (uint32_t)wall_epoch(node->now.wall) + 1 + hours;
    struct descriptor_seal seals[2];
    uint8_t message[MESSAGE_LEN];

    for (unsigned i = 0; i < 2; i++) {
        struct wire_writer w = wire_writer(message, MESSAGE_LEN);
        seals[i].until = until;
        memset(seals[i].hash, (int)(until * 2 + i), DESCRIPTOR_HASH_LEN);
        wire_put(&w, label, LABEL_LEN);
        wire_put_uint(&w, 1, 8);
        wire_put_uint(&w, until, 4);
        wire_put(&w, seals[i].hash, DESCRIPTOR_HASH_LEN);
        crypto_sign_detached(seals[i].signature, NULL, message, sizeof message, member->secret);
    }
    proof_write(&member->id, 1, &seals[0], &seals[1], ret_proof);
}
