/* Our own keys.
 *
 * Threat: whoever takes the machine, its disk or a core dump tomorrow must not read what was sealed
 * to us today. So routing keys are never stored, lie in locked memory, and are overwritten once the
 * grace after their epoch is over. */
#include "daemon/core/identity.h"

#include <assert.h>
#include <sodium.h>

/* The published ones and the one before, in its grace: a power of two, so that an epoch's place is
 * its number's low bits. */
#define RING 8
static_assert(RING == EPOCHS_PUBLISHED + 1, "every epoch in use has a place of its own");

struct epoch_key {
    int64_t epoch;
    bool held;
    struct noise_keypair keypair;
};

struct identity {
    struct node_id id;
    uint8_t sign_secret[crypto_sign_SECRETKEYBYTES];
    struct noise_keypair link;
    struct epoch_key ring[RING];
    struct core_random random;
};

struct identity *identity_new(const uint8_t node_seed[32], const uint8_t link_secret[32],
                              const struct core_random *random) {
    struct identity *identity = sodium_malloc(sizeof *identity);

    if (!identity)
        return NULL;
    memset(identity, 0, sizeof *identity);
    identity->random = *random;
    crypto_sign_seed_keypair(identity->id.bytes, identity->sign_secret, node_seed);
    if (noise_keypair_init(&identity->link, link_secret) < 0) {
        identity_free(identity);
        return NULL;
    }
    return identity;
}

void identity_free(struct identity *identity) {
    sodium_free(identity); /* wipes; takes NULL */
}

const struct node_id *identity_id(const struct identity *identity) {
    return &identity->id;
}

const struct noise_keypair *identity_link_key(const struct identity *identity) {
    return &identity->link;
}

void identity_sign(const struct identity *identity, const uint8_t *message, size_t length,
                   uint8_t ret_signature[SIGNATURE_LEN]) {
    crypto_sign_detached(ret_signature, NULL, message, length, identity->sign_secret);
}

/* ---- Routing keys ---- */

static struct epoch_key *place_of(struct identity *identity, int64_t epoch) {
    return &identity->ring[(uint64_t)epoch % RING];
}

static void make_key(struct identity *identity, struct epoch_key *key, int64_t epoch) {
    struct {
        uint8_t secret[NOISE_DH_LEN];
    } s;

    sodium_memzero(key, sizeof *key);
    do
        random_fill(&identity->random, s.secret, sizeof s.secret);
    while (noise_keypair_init(&key->keypair, s.secret) < 0);
    key->epoch = epoch;
    key->held = true;
    sodium_memzero(&s, sizeof s);
}

bool identity_advance(struct identity *identity, struct wall now) {
    int64_t current = wall_epoch(now);
    bool is_new = false;

    for (size_t i = 0; i < RING; i++) {
        struct epoch_key *key = &identity->ring[i];
        if (key->held && (key->epoch + 1) * EPOCH_US + EPOCH_GRACE_US <= now.us)
            sodium_memzero(key, sizeof *key);
    }
    /* A clock set back finds later epochs in places that it needs: those go, their epochs get new
     * keys in time. */
    for (int64_t epoch = current; epoch < current + EPOCHS_PUBLISHED; epoch++) {
        struct epoch_key *key = place_of(identity, epoch);
        if (key->held && key->epoch == epoch)
            continue;
        make_key(identity, key, epoch);
        is_new = true;
    }
    return is_new;
}

void identity_renew(struct identity *identity, struct wall now) {
    sodium_memzero(identity->ring, sizeof identity->ring);
    identity_advance(identity, now);
}

const struct noise_keypair *identity_epoch_key(const struct identity *identity, int64_t epoch) {
    const struct epoch_key *key = &identity->ring[(uint64_t)epoch % RING];

    return key->held && key->epoch == epoch ? &key->keypair : NULL;
}

const struct noise_keypair *identity_routing_key(const struct identity *identity, uint8_t key_id,
                                                 struct wall now, int64_t *ret_epoch) {
    int64_t first = wall_epoch((struct wall){now.us - EPOCH_GRACE_US});
    int64_t last = wall_epoch((struct wall){now.us + EPOCH_GRACE_US});

    for (int64_t epoch = first; epoch <= last; epoch++) {
        const struct noise_keypair *keypair = identity_epoch_key(identity, epoch);
        if (!keypair || (uint8_t)epoch != key_id)
            continue;
        *ret_epoch = epoch;
        return keypair;
    }
    return NULL;
}
