/* link: tests/fuzz/rig libp2pd-core.a shared/address */
/* Descriptors behind their signature: bodies of any bytes, each signed anew for one of a few keys,
 * come into a directory, and what it then says of its nodes holds together; proofs against them
 * too. The input is a run of (what 1, who 1, length 2, bytes). */
#include "tests/fuzz/rig.h"

#include "daemon/core/directory/directory_version.h"

#define STEPS_MAX 32
#define AUTHORS 6
#define DIRECTORY_MAX 4 /* fewer than there are authors: the bound is met */
#define LABEL "p2pd descriptor 2"
#define LABEL_LEN (sizeof LABEL - 1)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
    struct rig rig;
    struct directory *directory;
    struct node_id self;
};

static void author(unsigned who, uint8_t public[32], uint8_t secret[64]) {
    const uint8_t seed[32] = {(uint8_t)(1 + who % AUTHORS), 3};
    crypto_sign_seed_keypair(public, secret, seed);
}

static void *find(void *bytes, size_t length, const void *wanted, size_t n) {
    uint8_t *at = bytes;
    for (; length >= n; at++, length--)
        if (memcmp(at, wanted, n) == 0)
            return at;
    return NULL;
}

/* Make it the author's: its id is put in wherever the body has one, and the signature is good.
 * Returns the length. */
static size_t sign(unsigned who, const uint8_t *body, size_t length, uint8_t out[DESCRIPTOR_MAX]) {
    uint8_t public[32], secret[64], message[LABEL_LEN + 8 + 4 + DESCRIPTOR_HASH_LEN];
    struct descriptor descriptor = {0};
    uint8_t *id;

    if (length > DESCRIPTOR_MAX - SIGNATURE_LEN)
        length = DESCRIPTOR_MAX - SIGNATURE_LEN;
    author(who, public, secret);
    memset(out, 0, SIGNATURE_LEN);
    memcpy(out + SIGNATURE_LEN, body, length);
    if (descriptor_decode(out, SIGNATURE_LEN + length, &descriptor) == DROP_NONE &&
        (id = find(out + SIGNATURE_LEN, length, descriptor.id.bytes, NODE_ID_LEN)))
        memcpy(id, public, sizeof public);
    struct wire_writer w = wire_writer(message, sizeof message);
    wire_put(&w, LABEL, LABEL_LEN);
    wire_put_uint(&w, descriptor.sequence, 8);
    wire_put_uint(&w, descriptor.first_epoch + descriptor.n_epochs, 4);
    descriptor_hash(out, SIGNATURE_LEN + length, w.at);
    crypto_sign_detached(out, NULL, message, sizeof message, secret);
    return SIGNATURE_LEN + length;
}

static void offer(struct world *world, unsigned who, const uint8_t *body, size_t length) {
    uint8_t bytes[DESCRIPTOR_MAX];
    const struct directory_entry *entry = NULL;
    enum drop drop = DROP_NONE;

    length = sign(who, body, length, bytes);
    uint8_t *copy = malloc(length);
    rig_check(copy != NULL);
    memcpy(copy, bytes, length);
    enum directory_outcome outcome =
        directory_offer(world->directory, copy, length,
                        (struct now){world->rig.now, world->rig.wall}, &entry, &drop);
    rig_check(outcome != DIRECTORY_BAD || drop != DROP_NONE);
    rig_check(outcome != DIRECTORY_NEWS ||
              (entry->live && entry->length == length && memcmp(entry->bytes, copy, length) == 0));
    free(copy);
}

/* A proof against the author: untils, and hashes of one byte each, as the input has them; signed,
 * or nearly. */
static void prove(struct world *world, unsigned who, struct wire_reader r) {
    struct descriptor_seal seals[2];
    uint8_t secret[64], message[LABEL_LEN + 8 + 4 + DESCRIPTOR_HASH_LEN], proof[PROOF_LEN];
    struct node_id id;
    uint64_t sequence = wire_get_uint(&r, 8);
    enum drop drop = DROP_NONE;

    author(who, id.bytes, secret);
    for (unsigned i = 0; i < 2; i++) {
        struct wire_writer w = wire_writer(message, sizeof message);
        seals[i].until = (uint32_t)wire_get_uint(&r, 4);
        memset(seals[i].hash, (int)(2 * wire_get_uint(&r, 1) + i), DESCRIPTOR_HASH_LEN);
        wire_put(&w, LABEL, LABEL_LEN);
        wire_put_uint(&w, sequence, 8);
        wire_put_uint(&w, seals[i].until, 4);
        wire_put(&w, seals[i].hash, DESCRIPTOR_HASH_LEN);
        crypto_sign_detached(seals[i].signature, NULL, message, sizeof message, secret);
    }
    proof_write(&id, sequence, &seals[0], &seals[1], proof);
    proof[PROOF_LEN - 1] ^= (uint8_t)wire_get_uint(&r, 1);
    enum directory_outcome outcome =
        directory_take_proof(world->directory, proof, world->rig.wall, &drop);
    rig_check((outcome == DIRECTORY_BAD) == (drop != DROP_NONE));
    const struct directory_entry *entry = directory_find(world->directory, &id);
    rig_check(outcome != DIRECTORY_NEWS || (entry && entry->convicted && !entry->relay));
}

static struct destination take_destination(struct wire_reader *r) {
    struct destination to = {.kind = (enum destination_kind)(wire_get_uint(r, 1) % 4)};
    size_t length = NODE_NAME_MAX;

    if (to.kind == DEST_ADDRESS) {
        wire_get_address(r, &to.address);
    } else if (to.kind == DEST_NAME) {
        const uint8_t *name = rig_bytes(r, &length);
        memcpy(to.name, name, length);
    } else {
        to.n_digits = to.kind == DEST_ID ? 64 : (uint8_t)(8 + wire_get_uint(r, 1) % 56);
        wire_get(r, to.id, sizeof to.id);
        memset(to.id + (to.n_digits + 1) / 2, 0, sizeof to.id - (to.n_digits + 1u) / 2);
        if (to.n_digits % 2)
            to.id[to.n_digits / 2] &= 0xf0;
    }
    return to;
}

static void ask(struct world *world, unsigned who, struct wire_reader r) {
    struct node_id ids[DIRECTORY_CANDIDATES_MAX], id;
    struct destination to = take_destination(&r);
    uint8_t secret[64];
    size_t n = 0;

    author(who, id.bytes, secret);
    if (who & 0x40)
        directory_pin(world->directory, &id, &to.address);
    if (who & 0x80)
        directory_unpin(world->directory, &to.address);
    if (who & 0x20)
        directory_handshaken(world->directory, &id, &to.address,
                             (struct now){world->rig.now, world->rig.wall});
    enum resolve_outcome outcome = directory_resolve(world->directory, &to, ids, &n);
    rig_check(outcome <= RESOLVE_SELF && n <= DIRECTORY_CANDIDATES_MAX);
    rig_check(outcome != RESOLVE_ONE || n == 1);
    for (size_t i = 0; outcome != RESOLVE_SELF && i < n; i++)
        rig_check(directory_find(world->directory, &ids[i]) != NULL ||
                  outcome == RESOLVE_KEY_CHANGED);
}

static bool count(void *context, uint64_t prefix, const struct version *version,
                  const uint8_t *proof) {
    (void)proof;
    rig_check(prefix != 0 || version->sequence != 0);
    ++*(size_t *)context;
    return true;
}

/* Whoever is in it can be read, and can be led to or not. */
static void inspect(struct world *world) {
    struct topology *topology = directory_topology(world->directory);
    uint64_t path[TOPOLOGY_RELAYS_MAX + 1];
    struct descriptor descriptor = {0};
    size_t n = directory_count(world->directory), visited = 0;

    rig_check(n <= 2 * DIRECTORY_MAX && directory_relays(world->directory) <= n);
    for (size_t i = 0; i < n; i++) {
        const struct directory_entry *entry = directory_at(world->directory, i);
        rig_check(entry->live && entry->prefix != node_id_prefix(&world->self));
        directory_descriptor(entry, &descriptor);
        rig_check(node_id_is_equal(&descriptor.id, &entry->id));
        directory_address(world->directory, entry);
        for (unsigned relays = 0; relays <= 3; relays++) {
            struct topology_query query = {.target = entry->prefix, .relays = relays};
            bool is_there = topology_count(topology, &query, 4) > 0;
            rig_check(is_there ==
                      (topology_sample(topology, &query, &world->rig.random, path) == 0));
            rig_check(!is_there || path[relays] == entry->prefix);
        }
    }
    for (unsigned bucket = 0; bucket < DIRECTORY_BUCKETS; bucket++)
        directory_visit_bucket(world->directory, bucket, count, &visited);
    rig_check(visited == n || visited == n + 1); /* ourselves */
}

static void step(struct world *world, struct wire_reader *r) {
    unsigned what = (unsigned)wire_get_uint(r, 1), who = (unsigned)wire_get_uint(r, 1);
    size_t length = (size_t)wire_get_uint(r, 2);

    if (what % 8 == 0) {
        rig_pass(&world->rig, (int64_t)length * 10 * US_PER_S);
        directory_expire(world->directory, world->rig.wall);
        return;
    }
    const uint8_t *bytes = rig_bytes(r, &length);
    struct address pin = rig_address(who % 8);
    if (what % 8 == 1)
        ask(world, who, wire_reader(bytes, length));
    else if (what % 8 == 2)
        directory_restore(world->directory, bytes, length, who & 1, &pin, world->rig.wall);
    else if (what % 8 == 3)
        directory_set_self(world->directory, bytes, length, world->rig.now);
    else if (what % 8 == 7)
        prove(world, who, wire_reader(bytes, length));
    else
        offer(world, who, bytes, length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct wire_reader r = wire_reader(data, size);
    struct world world;
    uint8_t secret[64];

    rig_init(&world.rig);
    author(0, world.self.bytes, secret);
    world.directory = directory_new(&world.self, DIRECTORY_MAX, &world.rig.random);
    rig_check(world.directory != NULL);
    for (int i = 0; i < STEPS_MAX && wire_left(&r) >= 4; i++)
        step(&world, &r);
    inspect(&world);
    directory_free(world.directory);
    return 0;
}
