/* Our own keys.
 *
 * Threat: whoever takes the machine, its disk or a core dump tomorrow must not read what was sealed
 * to us today. So routing keys are never stored, lie in locked memory, and are overwritten once the
 * grace after their epoch is over. */
#include "daemon/core/wire/identity.h"

#include <assert.h>
#include <sodium.h>

/* The published ones and the one before, in its grace: a power of two, so that an epoch's place is
 * its number's low bits. */
#define RING 8
static_assert(RING == EPOCHS_PUBLISHED + 1, "every epoch in use has a place of its own");

#define MAIL_KEEP_DEFAULT 8 /* days: delivery.expire's default and one more */

struct epoch_key {
    int64_t epoch;
    bool held;
    struct noise_keypair keypair;
};

enum mail_state { MAIL_NONE = 0, MAIL_FRESH, MAIL_STORING, MAIL_DURABLE };
struct mail_key { /* never moved: the store reads the secret from here */
    enum mail_state state;
    uint32_t day;
    struct noise_keypair keypair;
};

struct identity {
    struct node_id id;
    uint8_t sign_secret[crypto_sign_SECRETKEYBYTES];
    struct noise_keypair link;
    struct epoch_key ring[RING];
    struct mail_key mail[MAIL_KEYS_MAX];
    uint32_t mail_keep;
    bool mail_is_held;
    struct core_random random;
};

struct identity *identity_new(const uint8_t node_seed[32], const uint8_t link_secret[32],
                              const struct core_random *random) {
    struct identity *identity = sodium_malloc(sizeof *identity);

    if (!identity)
        return NULL;
    memset(identity, 0, sizeof *identity);
    identity->random = *random;
    identity->mail_keep = MAIL_KEEP_DEFAULT;
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

static void make_keypair(struct identity *identity, struct noise_keypair *keypair) {
    struct {
        uint8_t secret[NOISE_DH_LEN];
    } s;

    do
        random_fill(&identity->random, s.secret, sizeof s.secret);
    while (noise_keypair_init(keypair, s.secret) < 0);
    sodium_memzero(&s, sizeof s);
}

static void make_key(struct identity *identity, struct epoch_key *key, int64_t epoch) {
    sodium_memzero(key, sizeof *key);
    make_keypair(identity, &key->keypair);
    key->epoch = epoch;
    key->held = true;
}

/* ---- Mail keys ---- */

static struct mail_key *find_mail(struct identity *identity, uint32_t day) {
    for (struct mail_key *key = identity->mail; key < identity->mail + MAIL_KEYS_MAX; key++)
        if (key->state != MAIL_NONE && key->day == day)
            return key;
    return NULL;
}

/* A free place, else that of the oldest which the store does not read just now (one at a time
 * is). */
static struct mail_key *mail_place(struct identity *identity) {
    struct mail_key *oldest = NULL;
    for (struct mail_key *key = identity->mail; key < identity->mail + MAIL_KEYS_MAX; key++) {
        if (key->state == MAIL_NONE)
            return key;
        if (key->state != MAIL_STORING && (!oldest || key->day < oldest->day))
            oldest = key;
    }
    sodium_memzero(oldest, sizeof *oldest);
    return oldest;
}

/* When was it replaced by a later one that is durable? 0: it was not. */
static uint32_t replaced_on(const struct identity *identity, uint32_t day) {
    uint32_t next = 0;
    for (const struct mail_key *key = identity->mail; key < identity->mail + MAIL_KEYS_MAX; key++)
        if (key->state == MAIL_DURABLE && key->day > day && (next == 0 || key->day < next))
            next = key->day;
    return next;
}

static bool has_mail(const struct identity *identity) {
    for (const struct mail_key *key = identity->mail; key < identity->mail + MAIL_KEYS_MAX; key++)
        if (key->state != MAIL_NONE)
            return true;
    return false;
}

void identity_hold_mail(struct identity *identity, bool is_held) {
    identity->mail_is_held = is_held;
}

static void advance_mail(struct identity *identity, uint32_t today) {
    struct mail_key *place;
    if (today == 0 || (identity->mail_is_held && has_mail(identity)))
        return; /* no clock yet, or one that may be wrong: no key goes by it */
    for (struct mail_key *key = identity->mail; key < identity->mail + MAIL_KEYS_MAX; key++) {
        uint32_t replaced = replaced_on(identity, key->day);
        if (key->state != MAIL_NONE && key->state != MAIL_STORING && replaced != 0 &&
            replaced < today && today - replaced > identity->mail_keep)
            sodium_memzero(key, sizeof *key);
    }
    if (find_mail(identity, today))
        return;
    place = mail_place(identity);
    make_keypair(identity, &place->keypair);
    place->day = today;
    place->state = MAIL_FRESH;
}

void identity_mail_keep(struct identity *identity, uint32_t days) {
    identity->mail_keep = days < MAIL_DAYS_MAX + 1 ? days : MAIL_DAYS_MAX + 1;
}

void identity_mail_load(struct identity *identity, uint32_t day, const uint8_t secret[KEY_LEN]) {
    if (day == 0 || find_mail(identity, day))
        return;
    struct mail_key *place = mail_place(identity);
    if (noise_keypair_init(&place->keypair, secret) < 0)
        return;
    place->day = day;
    place->state = MAIL_DURABLE;
}

bool identity_mail_to_store(struct identity *identity, uint32_t *ret_day,
                            const uint8_t **ret_secret, uint32_t *ret_oldest) {
    struct mail_key *fresh = NULL;
    uint32_t oldest = UINT32_MAX;
    for (struct mail_key *key = identity->mail; key < identity->mail + MAIL_KEYS_MAX; key++) {
        if (key->state == MAIL_STORING)
            return false;
        if (key->state == MAIL_FRESH && (!fresh || key->day > fresh->day))
            fresh = key;
        if (key->state != MAIL_NONE && key->day < oldest)
            oldest = key->day;
    }
    if (!fresh)
        return false;
    fresh->state = MAIL_STORING;
    *ret_day = fresh->day;
    *ret_secret = fresh->keypair.secret;
    *ret_oldest = oldest;
    return true;
}

void identity_mail_stored(struct identity *identity, uint32_t day, bool durable) {
    struct mail_key *key = find_mail(identity, day);
    if (key && key->state == MAIL_STORING)
        key->state = durable ? MAIL_DURABLE : MAIL_FRESH;
}

const struct noise_keypair *identity_mail_current(const struct identity *identity, struct wall now,
                                                  uint32_t *ret_day) {
    const struct mail_key *newest = NULL;
    for (const struct mail_key *key = identity->mail; key < identity->mail + MAIL_KEYS_MAX; key++)
        if (key->state == MAIL_DURABLE && key->day <= wall_day(now) &&
            (!newest || key->day > newest->day))
            newest = key;
    if (!newest)
        return NULL;
    *ret_day = newest->day;
    return &newest->keypair;
}

const struct noise_keypair *identity_mail_key(const struct identity *identity, uint32_t day) {
    for (const struct mail_key *key = identity->mail; key < identity->mail + MAIL_KEYS_MAX; key++)
        if (key->state != MAIL_NONE && key->day == day)
            return &key->keypair;
    return NULL;
}

/* ---- Time ---- */

bool identity_advance(struct identity *identity, struct wall now) {
    int64_t current = wall_epoch(now);
    bool is_new = false;

    advance_mail(identity, wall_day(now));
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
