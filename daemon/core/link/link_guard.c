/* Threat: floods. Everything here is cheap, keyed, and of fixed size. A datagram of an outsider
 * costs one BLAKE2b over 1.2 kB and gets no answer. In a flood, a member or a thief of the network
 * key has to return a cookie before a Diffie-Hellman is computed for it. Repeating an overheard
 * message 1 uses up nothing of its sender's rate: replays are found before a token is taken, and
 * nobody can choose which entry of the replay table it overwrites. */
#include "daemon/core/link/link_private.h"

#include <assert.h>

bool replay_is_new(const struct replay_window *window, uint64_t counter) {
    if (counter >= window->last)
        return true;
    if (window->last - counter > REPLAY_BITS)
        return false;
    return !(window->words[counter / 64 % REPLAY_WORDS] >> (counter % 64) & 1);
}

void replay_enter(struct replay_window *window, uint64_t counter) {
    if (counter >= window->last) {
        uint64_t from = window->last == 0 ? 0 : (window->last - 1) / 64 + 1, to = counter / 64;
        if (to >= from && to - from >= REPLAY_WORDS)
            from = to - REPLAY_WORDS + 1;
        for (uint64_t word = from; word <= to; word++)
            window->words[word % REPLAY_WORDS] = 0;
        window->last = counter + 1;
    }
    window->words[counter / 64 % REPLAY_WORDS] |= UINT64_C(1) << (counter % 64);
}

static void derive(uint8_t out[KEY_LEN], const char *label, const uint8_t key[KEY_LEN]) {
    crypto_generichash(out, KEY_LEN, (const uint8_t *)label, strlen(label), key, KEY_LEN);
}

void guard_init(struct guard *guard, const uint8_t network_key[KEY_LEN],
                const struct core_random *random, struct mono now) {
    memset(guard, 0, sizeof *guard);
    derive(guard->mac1_key, "p2pd mac1 1", network_key);
    derive(guard->cookie_key, "p2pd cookie 1", network_key);
    derive(guard->psk, "p2pd psk 1", network_key);
    random_fill(random, guard->cookie_secret, sizeof guard->cookie_secret);
    random_fill(random, guard->seen_key, sizeof guard->seen_key);
    guard->cookie_rotated = now;
}

void guard_mac1(const struct guard *guard, const uint8_t *bytes, size_t length,
                uint8_t ret_mac[MAC_LEN]) {
    crypto_generichash(ret_mac, MAC_LEN, bytes, length, guard->mac1_key, KEY_LEN);
}

bool guard_mac1_is_good(const struct guard *guard, const uint8_t *bytes, size_t length) {
    uint8_t mac[MAC_LEN];
    guard_mac1(guard, bytes, length, mac);
    return sodium_memcmp(mac, bytes + length, MAC_LEN) == 0;
}

uint64_t guard_source(const struct address *address) {
    uint64_t source; /* bytes 8 to 15 hold all of a mapped IPv4 address, behind ffff */
    memcpy(&source, address->ip + (address_is_ipv4(address) ? 8 : 0), sizeof source);
    return source;
}

/* Direct-mapped: sources with the same hash share one rate. Were it renewed for each of them, two
 * sources could refill it by taking turns. */
static struct rate *rate_of(const struct guard *guard, struct rate *rates, size_t n,
                            const struct address *source) {
    uint64_t hash[2], key = guard_source(source);

    crypto_generichash((uint8_t *)hash, sizeof hash, (const uint8_t *)&key, sizeof key,
                       guard->cookie_secret[0], KEY_LEN);
    return &rates[hash[0] % n];
}

bool guard_admit(struct guard *guard, const struct address *source, struct mono now) {
    struct rate *own = rate_of(guard, guard->sources, GUARD_SOURCES, source);
    return rate_take(own, LINK_HANDSHAKE_SOURCE_EACH_US,
                     RATE_ROOM(LINK_HANDSHAKE_SOURCE_EACH_US, LINK_HANDSHAKE_SOURCE_BURST), now) &&
           rate_take(&guard->all, LINK_HANDSHAKE_EACH_US,
                     RATE_ROOM(LINK_HANDSHAKE_EACH_US, LINK_HANDSHAKE_BURST), now);
}

bool guard_admit_proven(struct guard *guard, const struct address *source, struct mono now) {
    /* The source receives at its address, so a rate of its own is limit enough: four times that of
     * an unproven source. It is not the rate that the source has while unproven, because anybody
     * can use that one up by sending in its name. */
    struct rate *own = rate_of(guard, guard->proven, GUARD_PROVEN, source);
    return rate_take(own, LINK_HANDSHAKE_PROVEN_EACH_US,
                     RATE_ROOM(LINK_HANDSHAKE_PROVEN_EACH_US, LINK_HANDSHAKE_SOURCE_BURST), now);
}

void guard_rotate(struct guard *guard, const struct core_random *random, struct mono now) {
    if (now.us - guard->cookie_rotated.us < LINK_COOKIE_LIFE_US)
        return;
    memcpy(guard->cookie_secret[1], guard->cookie_secret[0], KEY_LEN);
    random_fill(random, guard->cookie_secret[0], KEY_LEN);
    guard->cookie_rotated = now;
}

void guard_cookie(struct guard *guard, unsigned which, const struct address *source,
                  uint8_t ret_cookie[COOKIE_LEN]) {
    uint8_t wire[ADDRESS_WIRE_LEN];
    address_pack(source, wire);
    crypto_generichash(ret_cookie, COOKIE_LEN, wire, sizeof wire, guard->cookie_secret[which],
                       KEY_LEN);
}

bool guard_cookie_is_good(struct guard *guard, const struct address *source, const uint8_t *init) {
    uint8_t cookie[COOKIE_LEN], mac2[MAC_LEN];

    for (unsigned which = 0; which < 2; which++) {
        guard_cookie(guard, which, source, cookie);
        crypto_generichash(mac2, MAC_LEN, init, DATAGRAM_LEN - MAC_LEN, cookie, COOKIE_LEN);
        if (sodium_memcmp(mac2, init + DATAGRAM_LEN - MAC_LEN, MAC_LEN) == 0)
            return true;
    }
    return false;
}

/* The first of the GUARD_WAYS places for this ephemeral key, and in *ret_tag the tag that it has
 * there. */
static size_t seen_at(const struct guard *guard, const uint8_t ephemeral[KEY_LEN],
                      uint32_t *ret_tag) {
    uint32_t hash[2];

    static_assert(sizeof hash == crypto_shorthash_BYTES, "two halves");
    crypto_shorthash((uint8_t *)hash, ephemeral, KEY_LEN, guard->seen_key);
    *ret_tag = hash[1] != 0 ? hash[1] : 1;
    return hash[0] % (GUARD_SEEN / GUARD_WAYS) * GUARD_WAYS;
}

bool guard_is_replay(const struct guard *guard, const uint8_t ephemeral[KEY_LEN]) {
    uint32_t tag;
    size_t at = seen_at(guard, ephemeral, &tag);

    /* Look in both tables: a message 1 that came with a cookie may be repeated without it. */
    for (size_t way = 0; way < GUARD_WAYS; way++)
        if (guard->seen[0][at + way].tag == tag || guard->seen[1][at + way].tag == tag)
            return true;
    return false;
}

void guard_enter(struct guard *guard, const uint8_t ephemeral[KEY_LEN], bool proven) {
    uint32_t tag;
    struct guard_seen *ways = &guard->seen[proven][seen_at(guard, ephemeral, &tag)], *goes = ways;

    guard->n_seen++;
    for (size_t way = 1; way < GUARD_WAYS && goes->tag != 0; way++)
        if (ways[way].tag == 0 || guard->n_seen - ways[way].entry > guard->n_seen - goes->entry)
            goes = &ways[way];
    *goes = (struct guard_seen){tag, guard->n_seen};
}

void guard_seal_cookie(const struct guard *guard, uint32_t receiver,
                       const uint8_t cookie[COOKIE_LEN], struct wall wall,
                       const uint8_t mac1[MAC_LEN], const struct core_random *random,
                       uint8_t ret[COOKIE_ANSWER_LEN]) {
    struct wire_writer w = wire_writer(ret, COOKIE_ANSWER_LEN);
    uint8_t nonce[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES], plain[COOKIE_LEN + 8];
    struct wire_writer p = wire_writer(plain, sizeof plain);

    random_fill(random, nonce, sizeof nonce);
    wire_put_uint(&w, TYPE_COOKIE, 1);
    wire_put_uint(&w, LINK_VERSION, 1);
    wire_put_uint(&w, 0, 2);
    wire_put_uint(&w, receiver, 4);
    wire_put(&w, nonce, sizeof nonce);
    wire_put(&p, cookie, COOKIE_LEN);
    wire_put_uint(&p, (uint64_t)wall.us, 8);
    crypto_aead_xchacha20poly1305_ietf_encrypt(wire_reserve(&w, sizeof plain + 16), NULL, plain,
                                               sizeof plain, mac1, MAC_LEN, NULL, nonce,
                                               guard->cookie_key);
}

bool guard_open_cookie(const struct guard *guard, const uint8_t answer[COOKIE_ANSWER_LEN],
                       const uint8_t mac1[MAC_LEN], uint8_t ret_cookie[COOKIE_LEN],
                       struct wall *ret_wall) {
    uint8_t plain[COOKIE_LEN + 8];

    if (crypto_aead_xchacha20poly1305_ietf_decrypt(plain, NULL, NULL, answer + 32,
                                                   COOKIE_ANSWER_LEN - 32, mac1, MAC_LEN,
                                                   answer + 8, guard->cookie_key) != 0)
        return false;
    struct wire_reader r = wire_reader(plain, sizeof plain);
    wire_get(&r, ret_cookie, COOKIE_LEN);
    ret_wall->us = (int64_t)wire_get_uint(&r, 8);
    return true;
}
